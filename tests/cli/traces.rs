//! Traces: the window of an epoch, what is synthesised, and times that do not fit together.

use std::path::Path;

use serde_json::Value;

use super::support::{AZURE, Folder, MOONCAKE, SCENARIO, VIDUR, message, without_seconds};

fn solve(folder: &Folder, more: &[&str]) -> String {
    folder.ok_text(
        &[["solve", "--scenario", "scenario.toml", "--requests", "trace", "--format", "json"].as_slice(), more]
            .concat(),
    )
}

fn parsed(folder: &Folder, more: &[&str]) -> Value {
    serde_json::from_str(&solve(folder, more)).unwrap()
}

fn ids(solution: &Value) -> Vec<String> {
    let rejected = solution["rejected"].as_array().unwrap().iter().map(|r| &r["id"]);
    let mut ids: Vec<String> = solution["scheduled"]
        .as_array()
        .unwrap()
        .iter()
        .chain(rejected)
        .map(|id| id.as_str().unwrap().to_string())
        .collect();
    ids.sort();
    ids
}

#[test]
fn the_three_formats_give_the_same_solution() {
    let folder = Folder::with_epoch();
    let bom = format!("\u{feff}{AZURE}");
    let crlf = [
        AZURE.replace('\n', "\r\n"),
        VIDUR.replace('\n', "\r\n"),
        format!("\u{feff}{}", MOONCAKE.replace('\n', "\r\n")),
    ];
    let offset = AZURE.replace("00000,", "00000+02:00,");
    folder.write("trace", AZURE);
    let expected = without_seconds(&solve(&folder, &[]));
    for text in [VIDUR, MOONCAKE, &bom, &crlf[0], &crlf[1], &crlf[2], &offset] {
        folder.write("trace", text);
        assert_eq!(without_seconds(&solve(&folder, &[])), expected, "{text}");
    }
}

#[test]
fn windows_seeds_and_levels() {
    let folder = Folder::with_epoch();
    folder.write("trace", VIDUR);
    assert_eq!(ids(&parsed(&folder, &[])), ["1", "2", "3"]);
    assert_eq!(ids(&parsed(&folder, &["--at", "1"])), ["1", "2"]);
    assert_eq!(ids(&parsed(&folder, &["--at", "10.5"])), ["4"]);
    let first = without_seconds(&solve(&folder, &[]));
    assert_eq!(without_seconds(&solve(&folder, &["--seed", "1"])), first);
    assert_ne!(without_seconds(&solve(&folder, &["--seed", "2"])), first);
    folder.write("scenario.toml", SCENARIO.replace("seed = 1", "seed = 2"));
    assert_eq!(without_seconds(&solve(&folder, &["--seed", "1"])), first, "the option goes before the scenario");
    folder.write("scenario.toml", SCENARIO);
    // Levels that are the lengths change nothing; coarser ones cost more.
    assert_eq!(without_seconds(&solve(&folder, &["--output-levels", "5,10, 20"])), first);
    assert_ne!(without_seconds(&solve(&folder, &["--output-levels", "64"])), first);
    for more in [vec![], vec!["--at", "1", "--seed", "5", "--output-levels", "64"]] {
        folder.write("solution.json", solve(&folder, &more));
        let verify = ["verify", "--scenario", "scenario.toml", "--requests", "trace", "--solution", "solution.json"];
        assert!(folder.ok_text(&[verify.as_slice(), &more].concat()).starts_with("verified: "));
    }
    let text = folder.ok_text(&["solve", "--requests", "trace"]);
    assert!(
        text.contains("3 of 4 arrivals")
            && text.contains("synthesised: deadlines of 0.5 to 2 s")
            && text.contains("(seed 1)"),
        "{text}"
    );
}

#[test]
fn an_empty_window_is_an_epoch_without_requests() {
    let folder = Folder::with_epoch();
    folder.write("trace", AZURE);
    let at = "9.5";
    let solution = parsed(&folder, &["--at", at]);
    assert_eq!(
        (&solution["status"], &solution["size"], &solution["requests"]),
        (&"optimal".into(), &0.into(), &0.into())
    );
    folder.write("solution.json", solution.to_string());
    let verify =
        ["verify", "--scenario", "scenario.toml", "--requests", "trace", "--solution", "solution.json", "--at", at];
    assert!(folder.ok_text(&verify).starts_with("verified: 0 requests"));
    assert!(folder.ok_text(&["solve", "--requests", "trace", "--at", at]).contains("scheduled 0 of 0 requests"));
    for outside in ["0", "1000", "9e9"] {
        let message = folder.refused(&["solve", "--requests", "trace", "--at", outside]);
        assert!(message.starts_with("--at: the epoch before"), "{message}");
    }
}

#[test]
fn mistakes_in_traces_are_named() {
    let folder = Folder::with_epoch();
    let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,1\n";
    let vidur = "arrived_at,num_prefill_tokens,num_decode_tokens\n5,1,1\n";
    let mooncake = "{\"timestamp\": 5, \"input_length\": 1, \"output_length\": 1}\n";
    let mut cases = vec![
        // Times of different origins.
        (azure, "2023-11-16 18:17:02,1,1".to_string(), "line 3, TIMESTAMP: the time goes back"),
        (azure, "2025-11-16 18:17:02,1,1".to_string(), "line 3, TIMESTAMP: the time leaps more than a year"),
        (
            azure,
            "2023-11-16 18:17:03Z,1,1".to_string(),
            "line 3, TIMESTAMP: times with and without UTC offset are mixed",
        ),
        (azure, "6.5,1,1".to_string(), "line 3, TIMESTAMP: '6.5' is not a date and time"),
        (vidur, "4.5,1,1".to_string(), "line 3, arrived_at: the time goes back"),
        (vidur, "1700000000,1,1".to_string(), "line 3, arrived_at: the time leaps more than a year"),
        (vidur, "2023-11-16 18:17:03,1,1".to_string(), "line 3, arrived_at: '2023-11-16 18:17:03' is not a number"),
        (mooncake, mooncake.replace('5', "4"), "line 2, timestamp: the time goes back"),
        (mooncake, mooncake.replace('5', "1700000000000"), "line 2, timestamp: the time leaps more than a year"),
        (mooncake, mooncake.replace('5', "\"2023-11-16 18:17:03\""), "line 2: invalid type: string"),
        // Rows that are none.
        (azure, "2023-11-16 18:17:03,1".to_string(), "line 3: 2 columns where the header has 3"),
        (azure, "2023-11-16 18:17:03,9799600,1,1".to_string(), "line 3: 4 columns where the header has 3"),
        (vidur, "6,1,\"1".to_string(), "line 3: a quote is left open"),
        (mooncake, "{}".to_string(), "line 2: missing field `timestamp`"),
        (mooncake, "{\"timestamp\": 5".to_string(), "line 2: EOF"),
        (mooncake, "[5, 1, 1] x".to_string(), "line 2: trailing characters"),
        (mooncake, mooncake.trim_end().repeat(2), "line 2: trailing characters"),
    ];
    for value in ["", "nan", "inf", "-inf", "-1", "1e30", "1e400", "x"] {
        cases.push((vidur, format!("{value},1,1"), "line 3, arrived_at: "));
        cases.push((azure, format!("{value},1,1"), "line 3, TIMESTAMP: "));
        for (header, time, columns) in [
            (vidur, "6", ["line 3, num_prefill_tokens: ", "line 3, num_decode_tokens: "]),
            (azure, "2023-11-16 18:17:03", ["line 3, ContextTokens: ", "line 3, GeneratedTokens: "]),
        ] {
            for value in [value, "0", "1.5"] {
                cases.push((header, format!("{time},{value},1"), columns[0]));
                cases.push((header, format!("{time},1,{value}"), columns[1]));
            }
        }
    }
    for (key, values) in [
        ("timestamp", ["-1", "-1e30", "1e30"]),
        ("input_length", ["0", "-1", "1e30"]),
        ("output_length", ["0", "1.5", "1e30"]),
    ] {
        for value in values {
            let text = mooncake.split(',').map(|part| match part.contains(key) {
                true => {
                    format!("{}: {value}{}", part.split(':').next().unwrap(), if part.contains('}') { "}" } else { "" })
                }
                false => part.to_string(),
            });
            let place = ["line 2, timestamp: ", "line 2, input_length: ", "line 2, output_length: "];
            let place = place.into_iter().find(|place| place.contains(key)).unwrap();
            cases.push((mooncake, text.collect::<Vec<_>>().join(","), place));
        }
        for value in ["", "NaN", "Infinity", "1e400", "\"x\"", "\"\"", "null", "[]"] {
            let text = mooncake.replacen(&format!("\"{key}\": "), &format!("\"{key}\": {value}, \"x\": "), 1);
            cases.push((mooncake, text, "line 2: "));
        }
    }
    for (start, row, place) in cases {
        let text = format!("{start}{row}\n");
        folder.write("trace", &text);
        let refused = folder.refused(&["solve", "--requests", "trace", "--output", "out"]);
        assert!(refused.starts_with(&format!("trace, {place}")), "{refused}\n{text}");
    }
    for header in [azure, vidur] {
        folder.write("trace", header.lines().next().unwrap());
        let refused = folder.refused(&["solve", "--requests", "trace", "--output", "out"]);
        assert!(refused.starts_with("trace, line 1: the trace has a header but no rows"), "{refused}");
    }
    folder.write("trace", "TIMESTAMP,ContextTokens,GeneratedToken\n2023-11-16 18:17:03,1,1\n");
    let output = folder.run(&["solve", "--requests", "trace"]);
    assert!(message(&output, "misspelt").starts_with("trace, line 1, 'TIMESTAMP': unknown column"));
}

#[test]
fn public_traces_are_solved_and_verified() {
    let traces = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces");
    if !traces.is_dir() {
        eprintln!("skipped: ../shared/traces is absent");
        return;
    }
    let folder = Folder::with_epoch();
    for name in [
        "AzureLLMInferenceTrace_conv.csv",
        "AzureLLMInferenceTrace_code.csv",
        "vidur_splitwise_conv.csv",
        "mooncake_conversation_3000.jsonl",
    ] {
        let path = traces.join(name);
        if !path.is_file() {
            eprintln!("skipped: ../shared/traces/{name} is absent");
            continue;
        }
        let path = path.to_str().unwrap();
        folder.write("scenario.toml", SCENARIO.replace("\"fixed\"", "\"none\""));
        let epoch = ["--scenario", "scenario.toml", "--requests", path];
        let json = folder.ok_text(&[["solve", "--format", "json"].as_slice(), &epoch].concat());
        let solution: Value = serde_json::from_str(&json).unwrap();
        assert!(solution["requests"].as_u64() > Some(1), "{name}");
        folder.write("solution.json", json);
        let verdict = folder.ok_text(&[["verify", "--solution", "solution.json"].as_slice(), &epoch].concat());
        assert!(verdict.starts_with("verified: "), "{name}: {verdict}");
    }
}
