//! Bad files and options.

use super::support::{Folder, HEADER, READS, REQUESTS, SCENARIO, line_of, without_seconds};

/// Text that is no number in range for any field. The last is a number with a comma for a point.
const NEVER: [&str; 10] = ["nan", "NaN", "inf", "-inf", "1e30", "-1e30", "1e400", "-1e400", "x", "1,5"];

/// A field of the requests, and whether it may be negative, zero or empty.
type Field = (&'static str, bool, bool, bool);

const FIELDS: [Field; 7] = [
    ("prompt_tokens", false, false, false),
    ("output_tokens", false, false, false),
    ("deadline_s", false, false, true),
    ("waited_s", false, true, true),
    ("max_perplexity_increase", false, true, true),
    ("channel_power_gain", false, false, true),
    ("uplink_power_dbm", true, true, true),
];

#[test]
fn every_number_of_the_requests_is_checked() {
    let folder = Folder::with_epoch();
    for (name, negative, zero, empty) in FIELDS {
        let column = HEADER.split(',').position(|column| column == name).unwrap();
        let set = |value: &str| {
            let mut lines: Vec<String> = REQUESTS.lines().map(String::from).collect();
            let mut row: Vec<String> = lines[2].split(',').map(String::from).collect();
            row[column] = if value.contains(',') { format!("\"{value}\"") } else { value.to_string() };
            lines[2] = row.join(",");
            folder.write("requests.csv", lines.join("\n"));
        };
        let mut bad = NEVER.to_vec();
        if column <= 2 {
            bad.push("1.5");
        }
        for (value, legal) in [("-1", negative), ("0", zero), ("-0", zero), ("", empty)] {
            if legal {
                set(value);
                folder.ok(&["solve", "--scenario", "scenario.toml", "--requests", "requests.csv"]);
            } else {
                bad.push(value);
            }
        }
        for value in bad {
            set(value);
            folder.solve_refused(&format!("requests.csv, line 3, {name}: "));
        }
    }
}

/// A key of the scenario, and whether it may be negative, zero or a fraction.
type Key = (&'static str, &'static str, bool, bool, bool);

const KEYS: [Key; 24] = [
    ("model", "layers", false, false, false),
    ("model", "hidden_size", false, false, false),
    ("model", "heads", false, false, false),
    ("model", "kv_heads", false, false, false),
    ("model", "head_dim", false, false, false),
    ("model", "ffn_size", false, false, false),
    ("quantization", "memory_factor", false, false, true),
    ("quantization", "time_factor", false, false, true),
    ("quantization", "perplexity_increase", false, true, true),
    ("node", "compute_flops", false, false, true),
    ("node", "memory_bytes", false, false, true),
    ("radio", "uplink_bandwidth_hz", false, false, true),
    ("radio", "downlink_bandwidth_hz", false, false, true),
    ("radio", "noise_density_dbm_per_hz", true, true, true),
    ("radio", "downlink_power_dbm", true, true, true),
    ("radio", "bits_per_token", false, false, false),
    ("epoch", "duration_s", false, false, true),
    ("epoch", "uplink_slot_s", false, false, true),
    ("epoch", "downlink_slot_s", false, false, true),
    ("batching", "padded_prompt_tokens", false, false, false),
    ("synthesis", "seed", false, true, false),
    ("synthesis", "mean_channel_power_gain", false, false, true),
    ("synthesis", "uplink_power_dbm", true, true, true),
    ("synthesis", "deadline_s", false, false, true),
];

#[test]
fn every_number_of_the_scenario_is_checked() {
    let folder = Folder::with_epoch();
    for (table, key, negative, zero, fraction) in KEYS {
        let from = SCENARIO.find(&format!("[{table}]")).unwrap();
        let at = from + SCENARIO[from..].find(&format!("\n{key} =")).unwrap() + 1;
        let line = 1 + SCENARIO[..at].matches('\n').count();
        let pair = SCENARIO[at..].lines().next().unwrap().contains('[');
        let set = |value: &str| {
            let value = if pair { format!("[{value}, 2.0]") } else { value.to_string() };
            let rest = &SCENARIO[at + SCENARIO[at..].find('\n').unwrap()..];
            folder.write("scenario.toml", format!("{}{key} = {value}{rest}", &SCENARIO[..at]));
        };
        let mut bad = vec![
            "nan",
            "inf",
            "-inf",
            "1e30",
            "-1e30",
            "1e400",
            "\"x\"",
            "\"1\"",
            "\"\"",
            "true",
            "[1]",
            "{}",
            "2024-01-01",
        ];
        bad.push("99999999999999999999999999999999");
        for (value, legal) in [("-1", negative), ("0", zero), ("0.0", zero), ("1.5", fraction)] {
            if !legal {
                bad.push(value);
            } else if key != "memory_bytes" {
                // A byte and a half is a memory, but holds no model.
                set(value);
                folder.ok(&["solve", "--scenario", "scenario.toml", "--requests", "requests.csv"]);
            }
        }
        for value in bad {
            set(value);
            folder.solve_refused(&format!("scenario.toml, line {line}, {table}.{key}: "));
        }
        // Not TOML at all.
        for value in ["", "1.5.5", "x", "1,5"] {
            set(value);
            folder.solve_refused(&format!("scenario.toml, line {line}"));
        }
    }
}

#[test]
fn every_table_and_key_of_the_scenario_is_needed_or_has_a_default() {
    let folder = Folder::with_epoch();
    let lines: Vec<&str> = SCENARIO.lines().collect();
    let mut table = "";
    for (at, line) in lines.iter().enumerate() {
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']);
            continue;
        }
        let key = line.split(' ').next().unwrap();
        let without: Vec<&str> = [&lines[..at], &lines[at + 1..]].concat();
        folder.write("scenario.toml", without.join("\n"));
        if table == "synthesis" || ["kv_heads", "gated_ffn"].contains(&key) {
            folder.ok(&["solve", "--scenario", "scenario.toml", "--requests", "requests.csv"]);
        } else {
            folder.solve_refused(&format!(
                "scenario.toml, line {}, {table}.{key}: the key is missing",
                line_of(SCENARIO, &format!("[{table}]"))
            ));
        }
    }
}

/// An epoch is solved for one model.
#[test]
fn a_scenario_of_several_models_is_refused_by_its_name() {
    let folder = Folder::with_epoch();
    let solution =
        folder.ok(&["solve", "--scenario", "scenario.toml", "--requests", "requests.csv", "--format", "json"]);
    folder.write("solution.json", solution);
    folder.write("broken.json", "{}");
    let service =
        "[[service]]\nshare = 0.5\n[service.model]\npreset = \"opt-13b\"\n[service.quantization]\npreset = \"fp16\"\n";
    folder.write("scenario.toml", format!("{SCENARIO}{service}"));
    let epoch = ["--scenario", "scenario.toml", "--requests", "requests.csv"];
    let verbs: [&[&str]; 5] = [
        &["solve"],
        &["explain"],
        &["export", "--format", "lp"],
        &["verify", "--solution", "solution.json"],
        &["verify", "--solution", "broken.json"],
    ];
    for verb in verbs {
        let message = folder.refused(&[verb, &epoch].concat());
        assert!(message.contains("scenario.toml, service: several models share this node"), "{message}");
    }
}

#[test]
fn mistakes_in_the_scenario_are_named() {
    let folder = Folder::with_epoch();
    let cases = [
        ("[node]\n", "[node]\nmemory = 1\n", "scenario.toml, line 14, node.memory: unknown key"),
        ("[node]\n", "[nodes]\n", "scenario.toml, line 13, 'nodes': unknown table"),
        ("[node]\n", "x = 1\n[node]\n", "scenario.toml, line 13, quantization.x: unknown key"),
        ("[model]\n", "x = 1\n[model]\n", "scenario.toml, line 1, 'x': unknown table"),
        ("[node]\n", "[node\n", "scenario.toml, line 13: "),
        ("[node]\n", "[node]\n[node]\n", "scenario.toml, line 14: "),
        ("[node]\n", "[[node]]\n", "scenario.toml, line 13, node: not a table"),
        ("layers = 30\n", "layers = 30\nlayers = 30\n", "scenario.toml, line 3: "),
        ("layers = 30\n", "preset = \"bloom\"\n", "scenario.toml, line 2, model.preset: unknown preset 'bloom'"),
        ("\"fixed\"", "\"longst\"", "scenario.toml, line 27, batching.padding: unknown padding 'longst'"),
        ("\"fixed\"", "\"fixed", "scenario.toml, line 27: "),
        ("\"rayleigh\"", "\"rice\"", "scenario.toml, line 33, synthesis.channel: unknown channel 'rice'"),
        ("[0.5, 2.0]", "[2.0, 0.5]", "scenario.toml, line 31, synthesis.deadline_s: 2 is above 0.5"),
        ("gated_ffn = false", "gated_ffn = 0", "scenario.toml, line 8, model.gated_ffn: "),
        (
            "memory_bytes = 640e9",
            "memory_bytes = 1e9",
            "scenario.toml, node.memory_bytes: the weights of custom at custom take",
        ),
    ];
    for (from, to, message) in cases {
        assert!(SCENARIO.contains(from), "{from}");
        folder.write("scenario.toml", SCENARIO.replacen(from, to, 1));
        folder.solve_refused(message);
    }
    for (text, message) in [("", "scenario.toml: the table [model] is missing"), ("\0", "scenario.toml, line 1: ")] {
        folder.write("scenario.toml", text);
        folder.solve_refused(message);
    }
}

/// A dimension of a `config.json`, and whether it is needed.
type Dimension = (&'static str, bool);

/// Families, with their dimensions.
const CONFIGS: [(&str, &[Dimension]); 3] = [
    (
        r#"{"model_type": "llama", "num_hidden_layers": 30, "hidden_size": 2560, "num_attention_heads": 32,
"num_key_value_heads": 8, "head_dim": 80, "intermediate_size": 10240}"#,
        &[
            ("num_hidden_layers", true),
            ("hidden_size", true),
            ("num_attention_heads", true),
            ("num_key_value_heads", false),
            ("head_dim", false),
            ("intermediate_size", true),
        ],
    ),
    (
        r#"{"model_type": "opt", "num_hidden_layers": 30, "hidden_size": 2560, "num_attention_heads": 32,
"ffn_dim": 10240}"#,
        &[("num_hidden_layers", true), ("hidden_size", true), ("num_attention_heads", true), ("ffn_dim", true)],
    ),
    (
        r#"{"model_type": "bloom", "n_layer": 30, "n_embed": 2560, "n_head": 32}"#,
        &[("n_layer", true), ("n_embed", true), ("n_head", true)],
    ),
];

#[test]
fn every_dimension_of_a_model_config_is_checked() {
    let folder = Folder::with_epoch();
    let args = ["solve", "--scenario", "scenario.toml", "--requests", "requests.csv", "--model-config", "config.json"];
    for (config, dimensions) in CONFIGS {
        folder.write("config.json", config);
        folder.ok(&args);
        for (key, needed) in dimensions {
            let start = config.find(&format!("\"{key}\": ")).unwrap() + key.len() + 4;
            let end = start + config[start..].find([',', '}']).unwrap();
            let with = |value: &str| {
                folder.write("config.json", format!("{}{value}{}", &config[..start], &config[end..]));
            };
            let refused = |value: &str, place: &str| {
                with(value);
                let message = folder.refused(&args);
                assert!(message.starts_with(place) && message.contains(": "), "{value}: {message}");
            };
            for value in [
                "-1",
                "0",
                "-0.0",
                "1.5",
                "1e30",
                "-1e30",
                "99999999999",
                "\"x\"",
                "\"32\"",
                "\"\"",
                "true",
                "[]",
                "{}",
            ] {
                refused(value, &format!("config.json, {key}"));
            }
            for value in ["", "NaN", "Infinity", "nan", "1e400", "-1e400", "1.5.5", "\"x"] {
                refused(value, "config.json, line ");
            }
            if *needed {
                refused("null", "config.json, ");
            } else {
                with("null");
                folder.ok(&args);
            }
        }
    }
    for (text, message) in [
        ("", "config.json, line 1: "),
        ("[]", "config.json, model_type: the field is missing"),
        ("{\"model_type\": \"t5\"}", "config.json, model_type: the family 't5'"),
        ("{\"model_type\": \"opt\",\n", "config.json, line 2: "),
        ("{} {}", "config.json, line 1: "),
    ] {
        folder.write("config.json", text);
        let refused = folder.refused(&args);
        assert!(refused.starts_with(message), "{refused}");
    }
}

#[test]
fn mistakes_in_the_requests_are_named() {
    let folder = Folder::with_epoch();
    let cases: [(&str, &str); 21] = [
        ("", "requests.csv: the file is empty"),
        ("\n\n", "requests.csv: the file is empty"),
        ("\u{feff}", "requests.csv: the file is empty"),
        ("id,prompt_tokens,output_tokens", "requests.csv, line 1: the file has a header but no requests"),
        ("id,prompt_tokens,output_tokens\n\n", "requests.csv, line 1: the file has a header but no requests"),
        ("id,prompt_tokens\na,1\n", "requests.csv, line 1: the column output_tokens is missing"),
        ("prompt_tokens,output_tokens\n1,1\n", "requests.csv, line 1: the column id is missing"),
        ("id,prompt_tokens,output_token\na,1,1\n", "requests.csv, line 1, 'output_token': unknown column"),
        ("\n\nid,prompt_tokens,output_token\na,1,1\n", "requests.csv, line 3, 'output_token': unknown column"),
        ("ID,prompt_tokens,output_tokens\na,1,1\n", "requests.csv, line 1, 'ID': unknown column"),
        ("id,prompt_tokens,output_tokens,id\na,1,1,b\n", "requests.csv, line 1, 'id': the column is there twice"),
        ("a,1,1\n", "requests.csv, line 1, 'a': unknown column"),
        ("id,prompt_tokens,output_tokens\na,1\n", "requests.csv, line 2: 2 columns where the header has 3"),
        ("id,prompt_tokens,output_tokens\na,1,1,1\n", "requests.csv, line 2: 4 columns where the header has 3"),
        ("id,prompt_tokens,output_tokens\na;1;1\n", "requests.csv, line 2: 1 columns where the header has 3"),
        (
            "id,prompt_tokens,output_tokens\na,1,1\n\n\nb,1,1\na,2,2\n",
            "requests.csv, line 6, id: 'a' is also the id of line 2",
        ),
        ("id,prompt_tokens,output_tokens\n,1,1\n", "requests.csv, line 2, id: the id '' cannot be used"),
        ("id,prompt_tokens,output_tokens\n\"a\nb\",1,1\n", "requests.csv, line 3, id: the id 'a\\nb' cannot be used"),
        ("id,prompt_tokens,output_tokens\na,1,1\n\"b,1,1\nc,1,1\n", "requests.csv, line 3: a quote is left open"),
        ("id,prompt_tokens,output_tokens,deadline_s\na,1,1,\"2\n", "requests.csv, line 2: a quote is left open"),
        ("id,prompt_tokens,output_tokens,\"deadline_s\na,1,1,2\n", "requests.csv, line 1: a quote is left open"),
    ];
    for (text, message) in cases {
        folder.write("requests.csv", text);
        folder.solve_refused(message);
    }
    let long = format!("id,prompt_tokens,output_tokens\n{},1,1\n", "x".repeat(257));
    let wide = format!("id,prompt_tokens,output_tokens\na,1,1{}\n", ",1".repeat(1000));
    let open = format!("id,prompt_tokens,output_tokens\na,1,1\n\"b,1,1\n{}", "c,1,1\n".repeat(100_000));
    for (text, message) in [
        (long, "requests.csv, line 2, id: the id 'xxx"),
        (wide, "requests.csv, line 2: more than 64 columns"),
        (open, "requests.csv, line 3: the record is longer than"),
    ] {
        folder.write("requests.csv", text);
        folder.solve_refused(message);
    }
}

#[test]
fn what_editors_add_is_legal() {
    let folder = Folder::with_epoch();
    let args = [
        "solve",
        "--scenario",
        "scenario.toml",
        "--requests",
        "requests.csv",
        "--model-config",
        "config.json",
        "--format",
        "json",
    ];
    let plain = [("scenario.toml", SCENARIO), ("requests.csv", REQUESTS), ("config.json", CONFIGS[0].0)];
    plain.iter().for_each(|(name, text)| folder.write(name, text));
    let expected = without_seconds(&folder.ok_text(&args));
    for mark in ["", "\u{feff}"] {
        for end in ["\n", "\r\n"] {
            plain
                .iter()
                .for_each(|(name, text)| folder.write(name, mark.to_string() + &text.trim_end().replace('\n', end)));
            folder.write("solution.json", mark.to_string() + &folder.ok_text(&args).replace('\n', end));
            assert_eq!(without_seconds(&folder.ok_text(&args)), expected, "{mark:?} {end:?}");
            let mut verify = args[..7].to_vec();
            verify[0] = "verify";
            verify.extend(["--solution", "solution.json"]);
            assert!(folder.ok_text(&verify).starts_with("verified: "));
        }
    }
}

#[test]
fn other_encodings_are_refused_with_the_line() {
    let folder = Folder::with_epoch();
    folder.write("config.json", CONFIGS[0].0);
    folder.write("solution.json", "{}");
    folder.write("trace.jsonl", "{\"timestamp\": 1, \"input_length\": 1, \"output_length\": 1}\n");
    folder.write("trace.csv", "arrived_at,num_prefill_tokens,num_decode_tokens,note\n1,1,1,x\n");
    let mooncake = b"\n{\"timestamp\": 1, \"input_length\": 1, \"output_length\": 1, \"\xff\": \"\xff\"}\n";
    let cases: [(&str, &str, &[u8]); 6] = [
        ("scenario.toml", "--scenario", b"[model]\n# \xff\n"),
        ("requests.csv", "--requests", b"id,prompt_tokens,output_tokens\n\xe9,1,1\n"),
        ("trace.csv", "--requests", b"arrived_at,num_prefill_tokens,num_decode_tokens,note\n1,1,1,\xff\n"),
        ("trace.jsonl", "--requests", mooncake),
        ("config.json", "--model-config", b"{\n\"_name_or_path\": \"\xff\"}"),
        ("solution.json", "--solution", b"{\n\"status\": \"\xff\"}"),
    ];
    for (name, option, bytes) in cases {
        let good = folder.read(name);
        let verb = if option == "--solution" { "verify" } else { "solve" };
        folder.write(name, bytes);
        let message = folder.refused(&[verb, option, name]);
        assert!(message.starts_with(&format!("{name}, line 2: the line is not valid UTF-8")), "{message}");
        // UTF-16, as some editors and shells write.
        let wide: Vec<u8> = good.iter().flat_map(|&b| [b, 0]).collect();
        folder.write(name, [b"\xff\xfe", wide.as_slice()].concat());
        let message = folder.refused(&[verb, option, name]);
        assert!(message.starts_with(&format!("{name}, line 1: the line is not valid UTF-8")), "{message}");
        folder.write(name, good);
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = Folder::with_epoch();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    for (verb, option) in READS {
        for (name, message) in [
            ("missing", "missing: cannot open: "),
            ("folder", "folder: cannot open: it is a directory, not a file"),
            ("requests.csv/x", "requests.csv/x: cannot open: "),
            ("two\nlines", "two\u{fffd}lines: cannot open: "),
        ] {
            let mut args = vec![verb, option, name];
            if verb == "solve" {
                args.extend(["--output", "out"]);
            }
            let refused = folder.refused(&args);
            assert!(refused.starts_with(message), "{option}: {refused}");
            assert_eq!(refused.matches(": ").count(), 2, "the reason is given once: {refused}");
        }
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let folder = Folder::with_epoch();
    folder.write("trace.csv", "arrived_at,num_prefill_tokens,num_decode_tokens\n0,1,1\n");
    let solve = ["solve", "--requests", "requests.csv", "--output", "out"];
    let trace = ["solve", "--requests", "trace.csv", "--output", "out"];
    let generate = ["generate", "binding", "--output", "out", "--scenario-output", "out2"];
    let cases: [(&[&str], &str, &[&str], &str); 15] = [
        (&solve, "--time-limit", &["nan", "-1", "inf", "-inf", "1e30", "1e400"], "--time-limit: "),
        (&solve, "--batch-size", &["1"], "--batch-size: the solver flat has no batch size"),
        (&solve, "--at", &["1"], "--at: it is for traces"),
        (&solve, "--seed", &["1"], "--seed: it is for traces"),
        (&["solve", "--output", "out"], "--at", &["1"], "--at: it is for traces"),
        (&trace, "--at", &["nan", "-1", "inf", "1e30", "1e400"], "--at: "),
        (&solve, "--output-levels", &["", "0", "-1", "1,,2", "x", "1.5", "1e30", "nan"], "--output-levels: "),
        (
            &solve,
            "--output-levels",
            &["8"],
            "request 'a', output_tokens: 20 output tokens are more than the largest level",
        ),
        (&solve, "--backend", &["cuda"], "--backend cuda: no CUDA driver"),
        (&generate, "--requests", &["0", "1073741825", "18446744073709551615"], "generate, requests: "),
        (&generate, "--tightness", &["nan", "0", "-1", "1.5", "inf", "1e400"], "generate, tightness: "),
        (&generate, "--max-wait", &["nan", "-1", "1e30", "inf"], "generate, max-wait: "),
        (&generate, "--padding", &["0", "-1", "x", "1.5", "1e30", "nan"], "--padding: "),
        (&generate, "--levels", &["0", "513"], "--levels: "),
        (&generate, "--output-levels", &["x", "0", "128,", "1e30", "nan", "128;256", "\u{7}"], "--output-levels: "),
    ];
    for (args, option, values, start) in cases {
        for value in values {
            let given = format!("{option}={value}");
            let message = folder.refused(&[args, &[given.as_str()]].concat());
            assert!(message.starts_with(start), "{given}: {message}");
        }
    }
    let message = folder.refused(&["solve", "--solver", "static", "--batch-size", "0", "--output", "out"]);
    assert!(message.starts_with("--batch-size: 0 is not allowed"), "{message}");
}

/// These are clap's own messages, which take several lines.
#[test]
fn wrong_usage_ends_with_status_2_and_no_output() {
    let folder = Folder::with_epoch();
    let cases: [&[&str]; 17] = [
        &[],
        &["sove"],
        &["solve", "--unknown"],
        &["solve", "extra"],
        &["solve", "--solver", "simplex"],
        &["solve", "--backend", "tpu"],
        &["solve", "--format", "xml"],
        &["solve", "--threads", "0"],
        &["solve", "--threads", "-1"],
        &["solve", "--batch-size", "-1", "--solver", "static"],
        &["solve", "--seed", "-1"],
        &["solve", "--time-limit", "x"],
        &["solve", "--output"],
        &["solve", "--scenario", "scenario.toml", "--scenario", "scenario.toml"],
        &["verify"],
        &["generate"],
        &["generate", "paper", "--requests", "1e3"],
    ];
    for args in cases {
        let before = folder.names();
        let output = folder.run(args);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
        assert_eq!(folder.names(), before, "{args:?}");
    }
}
