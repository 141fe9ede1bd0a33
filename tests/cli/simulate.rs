//! `dftsp simulate`: text, JSON, CSV, Markdown and plots of the same runs; traces; whatever is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::support::{AZURE, Folder, MOONCAKE, REQUESTS, VIDUR, message};

/// The schedulers of `all`.
const ALL: [&str; 7] = ["flat", "dftsp", "static", "none", "fcfs", "edf", "shortest"];

/// A short run in which requests wait for some epochs.
const SHORT: [&str; 8] =
    ["simulate", "--rate", "15", "--duration", "30", "--set", "synthesis.deadline_s=[2, 8]", "--nodes=2"];

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

fn json(folder: &Folder, args: &[&str]) -> Value {
    serde_json::from_str(&folder.ok_text(&with(args, &["--format=json"]))).unwrap()
}

/// Files of a folder by name.
fn files(folder: &Folder, name: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder.path().join(name)).unwrap().map(Result::unwrap);
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

/// The rows of a CSV file without quotes, each by column.
fn rows(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let columns: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let row = |line: &'_ str| -> Vec<String> { line.split(',').map(String::from).collect() };
    for line in text.lines() {
        assert_eq!(row(line).len(), columns.len(), "{line}");
    }
    text.lines().skip(1).map(|line| columns.iter().copied().zip(line.split(',')).collect()).collect()
}

#[test]
fn it_runs_without_any_file_and_says_what_was_run() {
    let folder = Folder::new();
    let text = folder.ok_text(&["simulate", "--duration=10"]);
    for part in [
        "scenario: embedded (that of `dftsp generate binding`); bloom-3b",
        "arrivals: Poisson, 50 a second at each node",
        "run: 10 s of arrivals at 1 node, epochs of 2 s with slots of 0.25 s up and 0.25 s down, seed 1",
        "What became of the requests",
        "Rates and latencies",
        "Regret",
        "Use of the node",
        "What bound the batch",
        "Infeasible requests by reason",
        "assumed: quantization.time_factor",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(folder.names().is_empty());
    let with_all = folder.ok_text(&["simulate", "--duration=10", "--schedulers=all,fcfs"]);
    for name in ALL {
        let lines = with_all.lines().filter(|line| line.trim_start().starts_with(&format!("{name} "))).count();
        assert_eq!(lines, 6, "{name}: once in every table\n{with_all}");
    }
}

#[test]
fn nothing_depends_on_threads_or_on_who_runs_beside() {
    let folder = Folder::new();
    let run = |more: &[&str], out: &str| {
        let args = with(&SHORT, &with(&["--schedulers=all", "--out", out], more));
        (folder.ok(&args), folder.ok(&with(&args, &["--format=json"])), files(&folder, out))
    };
    let first = run(&["--threads=1"], "one");
    assert_eq!(first.2.len(), 2 + 2 * ALL.len() + 6, "{:?}", first.2.keys());
    for (at, more) in [["--threads=4"].as_slice(), &["--threads", "4"], &[], &["--backend=cpu"]].iter().enumerate() {
        let again = run(more, &format!("again{at}"));
        assert_eq!(first.0, again.0, "{more:?}");
        assert_eq!(first.1, again.1, "{more:?}");
        for (name, bytes) in &first.2 {
            assert!(again.2[name] == *bytes, "{name} with {more:?}");
        }
    }
    let alone = with(&SHORT, &["--schedulers=edf", "--out=alone"]);
    folder.ok(&alone);
    let alone = files(&folder, "alone");
    for name in ["epochs-edf.csv", "requests-edf.csv"] {
        assert_eq!(alone[name], first.2[name]);
    }
    assert!(!alone.contains_key("regret.svg"), "there is nobody to compare with");
}

#[test]
fn rows_and_summaries_count_the_same() {
    let folder = Folder::new();
    for (at, more) in [
        ["--slowdown=1.3"].as_slice(),
        &["--queue-limit=20"],
        &["--no-overlap", "--waiting=epoch"],
        &["--batch-time=epoch", "--no-regret"],
        &["--set=synthesis.fading=block", "--set=synthesis.correlation=0.5", "--seed=9"],
    ]
    .iter()
    .enumerate()
    {
        let out = format!("out{at}");
        let args = with(&with(&SHORT, &["--schedulers=flat,fcfs", "--out", &out]), more);
        let report = json(&folder, &args);
        assert_eq!(report, serde_json::from_slice::<Value>(&folder.read(&format!("{out}/summary.json"))).unwrap());
        for scheduler in report["schedulers"].as_array().unwrap() {
            let name = scheduler["scheduler"].as_str().unwrap();
            let summary = &scheduler["summary"];
            check_rows(&folder, &out, name, summary);
            assert_eq!(summary["regret"].is_null(), more.contains(&"--no-regret"));
            let goodput = summary["counts"]["in_time"].as_f64().unwrap() / 30.0;
            assert!((scheduler["goodput_per_s"].as_f64().unwrap() - goodput).abs() < 1e-12);
        }
        let counts = |at: usize| &report["schedulers"][at]["summary"]["counts"];
        assert_eq!(counts(0)["arrived"], counts(1)["arrived"]);
        let [late, refused] = ["late", "refused"].map(|what| counts(1)[what].as_u64().unwrap());
        assert_eq!((late > 0, refused > 0), (more[0] == "--slowdown=1.3", more[0] == "--queue-limit=20"), "{more:?}");
    }
}

/// Counts of the two files, and of the summary, which is made on its own.
fn check_rows(folder: &Folder, out: &str, name: &str, summary: &Value) {
    let (epochs, requests) =
        (folder.text(&format!("{out}/epochs-{name}.csv")), folder.text(&format!("{out}/requests-{name}.csv")));
    let (epochs, requests) = (rows(&epochs), rows(&requests));
    let counts = &summary["counts"];
    let count = |what: &str| counts[what].as_u64().unwrap();
    let infeasible: u64 = counts["infeasible"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
    let ends = ["in_time", "late", "expired", "refused", "unfinished"].map(count);
    assert_eq!(count("arrived"), ends.iter().sum::<u64>() + infeasible, "every request ends once");
    assert_eq!(requests.len() as u64, count("arrived"));
    let ids: BTreeSet<&str> = requests.iter().map(|row| row["id"]).collect();
    assert_eq!(ids.len(), requests.len(), "each once");
    for (fate, expected) in ["in-time", "late", "expired", "refused", "unfinished"].into_iter().zip(ends) {
        assert_eq!(requests.iter().filter(|row| row["fate"] == fate).count() as u64, expected, "{fate}");
    }
    assert_eq!(requests.iter().filter(|row| !row["reason"].is_empty()).count() as u64, infeasible);
    let sum = |column: &str| epochs.iter().map(|row| row[column].parse::<u64>().unwrap()).sum::<u64>();
    assert_eq!(sum("arrived"), count("arrived"));
    assert_eq!((sum("in_time"), sum("scheduled")), (count("in_time"), count("in_time") + count("late")));
    assert_eq!((sum("expired"), sum("refused")), (count("expired"), count("refused")));
    assert_eq!(epochs.len() as u64, summary["total"]["epochs"].as_u64().unwrap());
    assert_eq!(sum("output_tokens"), summary["total"]["output_tokens"].as_u64().unwrap());
    let seconds = |text: &str| text.parse::<f64>().unwrap();
    for row in &requests {
        let served = !row["scheduled_s"].is_empty();
        assert_eq!(served, ["in-time", "late"].contains(&row["fate"]), "{row:?}");
        assert_eq!(row["fate"] == "in-time", served && seconds(row["ended_s"]) <= seconds(row["due_s"]), "{row:?}");
        assert!(seconds(row["ended_s"]) >= seconds(row["arrived_s"]));
    }
    for parts in ["classes", "models"] {
        let arrived = |part: &Value| part["counts"]["arrived"].as_u64().unwrap();
        assert_eq!(summary[parts].as_array().unwrap().iter().map(arrived).sum::<u64>(), count("arrived"));
    }
}

#[test]
fn the_report_shows_its_plots_and_names_its_command() {
    let folder = Folder::new();
    let args = with(&SHORT, &["--schedulers=flat,fcfs", "--out=a/b"]);
    let text = folder.ok_text(&args);
    let (report, files) = (folder.text("a/b/report.md"), files(&folder, "a/b"));
    assert!(report.contains("dftsp simulate --rate 15 --duration 30 --set 'synthesis.deadline_s=[2, 8]'"), "{report}");
    assert!(!report.contains("a/b"), "where it is does not matter: {report}");
    let mut shown = 0;
    for (name, bytes) in &files {
        if name.ends_with(".svg") {
            assert!(report.contains(&format!("]({name})")), "{name} in {report}");
            let svg = std::str::from_utf8(bytes).unwrap();
            assert!(svg.contains("seed 1") && svg.contains("dftsp simulate") && svg.contains("flat"), "{name}: {svg}");
            shown += 1;
        }
    }
    assert_eq!((shown, report.matches("![").count()), (6, 6));
    // The same numbers as in the text.
    for line in text.lines().filter(|line| line.trim_start().starts_with("fcfs")) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let found = |row: &str| row.replace('|', " ").split_whitespace().eq(cells.iter().copied());
        assert!(report.lines().any(found), "{line} in {report}");
    }
    // Again, over what is there.
    folder.ok(&args);
    assert_eq!(folder.text("a/b/report.md"), report);
    assert_eq!(self::files(&folder, "a/b").len(), files.len(), "nothing temporary is left");
}

#[test]
fn the_node_limit_is_kept_and_declared() {
    let folder = Folder::new();
    let args =
        ["simulate", "--rate=60", "--duration=20", "--schedulers=dftsp,flat", "--set=synthesis.deadline_s=[2,6]"];
    let limited = with(&args, &["--node-limit=1"]);
    let text = folder.ok_text(&limited);
    let report = json(&folder, &limited);
    let stopped = report["schedulers"][0]["summary"]["total"]["stopped"].as_u64().unwrap();
    assert!(stopped > 0 && report["node_limit"] == 1, "{report}");
    assert!(text.contains(&format!("dftsp: in {stopped} of ")) && text.contains("its limit of 1 node"), "{text}");
    let report = json(&folder, &args);
    assert_eq!(report["node_limit"], 5_000_000);
    assert!(report["schedulers"][0]["summary"]["total"]["stopped"].as_u64().unwrap() < stopped);
}

#[test]
fn the_three_formats_of_traces_are_the_same_run() {
    let folder = Folder::new();
    let trace = ["simulate", "--trace=trace"];
    let mut texts = BTreeSet::new();
    for text in [AZURE, VIDUR, MOONCAKE] {
        folder.write("trace", text);
        texts.insert(folder.ok_text(&trace));
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
    let text = texts.pop_first().unwrap();
    // All of it, which ends a mean gap after the last arrival.
    assert!(text.contains("trace trace, 4 arrivals in 13.333333333 s") && !text.contains("scaled: "), "{text}");
    assert_eq!(json(&folder, &trace)["schedulers"][0]["summary"]["counts"]["arrived"], 4);
    let scaled = with(&trace, &["--time-compression=10", "--merge-cells=3", "--output-levels=64,128"]);
    let text = folder.ok_text(&scaled);
    assert!(text.contains("scaled: time compressed 10 times, 3 cells merged"), "{text}");
    assert!(text.contains("outputs rounded up to 64,128 tokens"), "{text}");
    let report = json(&folder, &with(&scaled, &["--out=out"]));
    assert_eq!(report["schedulers"][0]["summary"]["counts"]["arrived"], 12);
    assert!(report["scaled"].as_str().unwrap().contains("10 times"));
    for name in ["report.md", "queue.svg"] {
        assert!(folder.text(&format!("out/{name}")).contains("time compressed 10 times"), "{name}");
    }
    let requests = folder.text("out/requests-flat.csv");
    assert!(rows(&requests).iter().all(|row| row["output_tokens"] == "64"));
    // Some of it.
    assert_eq!(json(&folder, &with(&trace, &["--duration=1"]))["schedulers"][0]["summary"]["counts"]["arrived"], 2);
}

#[test]
fn a_public_trace_is_run() {
    let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces/AzureLLMInferenceTrace_conv.csv");
    if !trace.is_file() {
        eprintln!("skipped: ../shared/traces/AzureLLMInferenceTrace_conv.csv is absent");
        return;
    }
    let folder = Folder::new();
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scenarios/edge-l4.toml");
    let args = ["simulate", "--scenario", scenario.to_str().unwrap(), "--trace", trace.to_str().unwrap()];
    let report = json(&folder, &with(&args, &["--schedulers=flat,fcfs", "--duration=200", "--out=out"]));
    for scheduler in report["schedulers"].as_array().unwrap() {
        assert!(scheduler["summary"]["counts"]["in_time"].as_u64() > Some(100), "{report}");
        check_rows(&folder, "out", scheduler["scheduler"].as_str().unwrap(), &scheduler["summary"]);
    }
}

#[test]
fn several_classes_and_models_are_told_apart() {
    let folder = Folder::new();
    folder.ok(&["generate", "binding", "--scenario-output=scenario.toml", "--output=requests.csv"]);
    let more = "
[[qos]]
name = \"quick, \\\"now\\\"\"
share = 0.5
deadline_s = [1, 2]
[[qos]]
name = \"patient\"
share = 0.5
deadline_s = [5, 20]
[[service]]
name = \"opt\"
share = 0.25
[service.model]
preset = \"opt-13b\"
[service.quantization]
preset = \"w4a16-gptq\"
";
    folder.write("scenario.toml", folder.text("scenario.toml") + more);
    let args = ["simulate", "--scenario=scenario.toml", "--set=node.memory_bytes=60e9", "--duration=20", "--out=out"];
    let text = folder.ok_text(&args);
    assert!(text.contains("By class of service") && text.contains("By model"), "{text}");
    assert!(text.contains("scenario.toml, with node.memory_bytes=60e9") && text.contains("for opt: opt-13b"), "{text}");
    let requests = folder.text("out/requests-flat.csv");
    assert!(requests.contains(",\"quick, \"\"now\"\"\",") && requests.contains(",patient,"), "{requests:.400}");
}

#[test]
fn bad_options_are_refused_in_one_line() {
    let folder = Folder::new();
    folder.write("file", "");
    folder.write("requests.csv", REQUESTS);
    let numbers = ["nan", "inf", "-1", "x", ""];
    let cases: [(&str, &[&str], &str); 20] = [
        ("--duration", &["0", "nan", "inf", "-1", "1e30"], "--duration: "),
        ("--rate", &["0", "nan", "inf", "-1", "1e30"], "--rate: "),
        ("--slowdown", &["0", "nan", "inf", "-1", "1e30"], "--slowdown: "),
        ("--duration", &["x", ""], "invalid value "),
        ("--nodes", &["0", "100001"], "--nodes: "),
        ("--nodes", &numbers, "invalid value "),
        ("--queue-limit", &["0", "99999999999"], "--queue-limit: "),
        ("--queue-limit", &numbers, "invalid value "),
        ("--threads", &["0", "-1", "x", "4097"], "invalid value "),
        ("--seed", &["-1", "x"], "invalid value "),
        ("--schedulers", &["", "x", "flat,,fcfs", "Flat", "all,x"], "--schedulers: unknown name "),
        ("--waiting", &["x"], "invalid value "),
        ("--batch-time", &["x"], "invalid value "),
        ("--set", &["x", ""], "--set: "),
        ("--set", &["node.memory=1", "nothing.at=1", "node.memory_bytes=x", "node.memory_bytes=-1"], "--set "),
        ("--batch-size", &["3", "0"], "--batch-size: static is not among"),
        ("--node-limit", &["3"], "--node-limit: a scheduler that keeps to it"),
        ("--out", &["file", "file/out", "requests.csv"], ""),
        ("--output", &["missing/out", "."], ""),
        ("--model-config", &["missing", "file"], ""),
    ];
    for (option, values, start) in cases {
        for value in values {
            let given = format!("{option}={value}");
            let args = ["simulate", given.as_str(), "--out=new/folder"];
            let refused = folder.refused(&args[..if option == "--out" { 2 } else { 3 }]);
            assert!(refused.starts_with(start), "{given}: {refused}");
        }
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = Folder::new();
    folder.write("requests.csv", REQUESTS);
    folder.write("trace", VIDUR);
    folder.write("empty", "arrived_at,num_prefill_tokens,num_decode_tokens\n");
    let cases: [(&[&str], &str); 19] = [
        (&["--trace=requests.csv"], "requests.csv: it holds requests without arrival times"),
        (&["--trace=missing"], "missing: cannot open"),
        (&["--trace=empty"], "empty, line 1: the trace has a header but no rows"),
        (&["--trace=trace", "--rate=5"], "--rate: a trace has its own arrivals"),
        (&["--trace=trace", "--duration=14"], "--duration: 14 s are more than the trace has"),
        (&["--trace=trace", "--time-compression=0"], "--time-compression: "),
        (&["--trace=trace", "--time-compression=nan"], "--time-compression: "),
        (&["--trace=trace", "--merge-cells=0"], "--merge-cells: "),
        (&["--trace=trace", "--merge-cells=9999999"], "--merge-cells: "),
        (&["--trace=trace", "--output-levels=5"], "row 1 of the trace, output_tokens: 20 output tokens"),
        (&["--trace=trace", "--output-levels=x"], "--output-levels: "),
        (&["--time-compression=2"], "--time-compression: it is for traces"),
        (&["--merge-cells=2"], "--merge-cells: it is for traces"),
        (&["--output-levels=128"], "--output-levels: it is for traces"),
        (&["--schedulers=static", "--batch-size=0"], "--batch-size: 0 is not allowed"),
        (&["--scenario=missing"], "missing: cannot open"),
        (&["--scenario=trace"], "trace, line 1"),
        // Found when the run begins: the folder is gone again.
        (&["--batch-time=epoch", "--set=epoch.duration_s=0.25"], "scenario, epoch.duration_s: slots of 0.25 s"),
        (&["--set=node.memory_bytes=1e9"], "scenario, node.memory_bytes: "),
    ];
    for (options, start) in cases {
        let refused = folder.refused(&with(&["simulate", "--out=new/folder"], options));
        assert!(refused.starts_with(start), "{options:?}: {refused}");
    }
}

#[test]
fn places_that_cannot_be_written_are_named_and_nothing_is_left() {
    let folder = Folder::new();
    folder.write("file", "");
    let short = ["simulate", "--duration=4"];
    for place in ["file", "file/out", "/proc/dftsp-out", "/sys/dftsp-out"] {
        if place.starts_with('/') && !Path::new(place).parent().is_some_and(Path::is_dir) {
            eprintln!("skipped: {place} is absent");
            continue;
        }
        let refused = folder.refused(&with(&short, &["--out", place]));
        assert!(refused.contains(": cannot write: ") && refused.contains(place), "{refused}");
    }
    for place in ["missing/out", ".", "/dev/full"] {
        if place.starts_with('/') && !Path::new(place).exists() {
            eprintln!("skipped: {place} is absent");
            continue;
        }
        let refused = folder.refused(&with(&short, &["--out=new/folder", "--output", place]));
        assert!(refused.contains(": cannot write: "), "{refused}");
    }
    // A file that is in the way of one in the folder.
    std::fs::create_dir_all(folder.path().join("out/report.md")).unwrap();
    let output = folder.run(&with(&short, &["--out=out"]));
    assert!(message(&output, "report.md").contains("report.md: cannot write: it is a directory"));
    assert_eq!(files_and_folders(&folder, "out"), ["report.md"]);
    // Old files stay as they are.
    folder.write("out/summary.json", "old");
    folder.run(&with(&short, &["--out=out"]));
    assert_eq!(folder.text("out/summary.json"), "old");
}

fn files_and_folders(folder: &Folder, name: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path().join(name)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn whoever_listens_is_told_nothing_else() {
    // On a pipe there is no bar, however long it takes.
    let folder = Folder::new();
    let output = folder.run(&["simulate", "--duration=4000", "--output=out"]);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    assert!(folder.text("out").contains("4000 s of arrivals"));
}

#[test]
fn the_example_of_a_shared_node_runs_and_every_part_of_it_gets_something() {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scenarios/shared-node.toml");
    let run = json(&Folder::new(), &["simulate", "--duration=600", "--scenario", scenario.to_str().unwrap()]);
    let summary = &run["schedulers"][0]["summary"];
    for (parts, count) in [("classes", 2), ("models", 3)] {
        let parts = summary[parts].as_array().unwrap();
        assert_eq!(parts.len(), count);
        for part in parts {
            assert!(part["counts"]["in_time"].as_u64().unwrap() > 0, "{part}");
        }
    }
}

#[test]
fn a_folder_holds_the_files_of_one_run() {
    let folder = Folder::new();
    let run = |more: &[&str]| {
        folder.ok(&[&["simulate", "--rate=5", "--duration=4", "--out=out"], more].concat());
        let entries = std::fs::read_dir(folder.path().join("out")).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert!(run(&["--schedulers=flat,fcfs"]).contains(&"regret.svg".to_string()));
    // Whoever wrote these, it was not this program.
    let foreign = ["epochs-mine.csv", "requests-flat.csv.bak", "notes.svg"];
    foreign.iter().for_each(|name| folder.write(&format!("out/{name}"), "mine"));
    std::fs::create_dir(folder.path().join("out/epochs-static.csv")).unwrap();
    let again = run(&["--schedulers=edf"]);
    let own = ["report.md", "summary.json", "epochs-edf.csv", "requests-edf.csv"];
    let plots = ["throughput.svg", "latency.svg", "queue.svg", "utilisation.svg", "binding.svg"];
    let mut expected = [&own[..], &plots, &foreign, &["epochs-static.csv"]].concat();
    expected.sort_unstable();
    assert_eq!(again, expected);
}

#[test]
fn the_report_does_not_go_where_a_file_of_the_folder_goes() {
    let folder = Folder::new();
    let run = ["simulate", "--rate=5", "--duration=4", "--out=out", "--output"];
    for there in [false, true] {
        for output in ["out/report.md", "./out/../out/epochs-flat.csv", "out//summary.json"] {
            let refused = folder.refused(&[&run[..], &[output]].concat());
            assert!(refused.starts_with("--output: ") && refused.contains(" of --out; give another file"), "{refused}");
        }
        assert_eq!(folder.path().join("out").exists(), there);
        folder.ok(&[&run[..], &["out/report.txt"]].concat());
    }
}

#[test]
fn control_characters_and_deep_keys_break_no_line() {
    let folder = Folder::new();
    let text = folder.ok_text(&["simulate", "--rate=5", "--duration=4", "--set=synthesis.deadline_s=[2,\n12]"]);
    assert!(text.lines().next().unwrap().contains("with synthesis.deadline_s=[2,\u{fffd}12]; bloom"), "{text}");
    for parts in [6, 20_000] {
        let given = format!("{}=1", vec!["a"; parts].join("."));
        let refused = folder.refused(&["simulate", "--set", &given]);
        assert!(refused.starts_with("--set a.a.a.") && refused.len() < 200, "{refused}");
        let refused = folder.refused(&["sweep", "--out=out", "--vary", &given]);
        assert!(refused.starts_with("--vary a.a.a.") && refused.len() < 200, "{refused}");
    }
    for (given, start) in [
        ("arrivals.process=gamma", "--set arrivals.process, arrivals.cv: the key is missing"),
        ("synthesis.qos_period_s=1e-310", "--set synthesis.qos_period_s: 1e-310 is below 1e-6"),
    ] {
        let refused = folder.refused(&["simulate", "--set", given]);
        assert!(refused.starts_with(start), "{refused}");
    }
    folder.ok(&[
        "simulate",
        "--duration=4",
        "--set=arrivals.prompt_range=[1,512]",
        "--set=arrivals.output_range=[1,9]",
    ]);
}
