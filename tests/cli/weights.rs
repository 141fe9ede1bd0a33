//! `dftsp weights`: layers and errors, as text, JSON and TOML; tables kept beside the weights.

use std::fs;

use super::support::Folder;

#[path = "../common/safetensors.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod safetensors;

use safetensors::{file, llama};
use toml::de::{DeTable, DeValue};

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn number(value: &DeValue) -> f64 {
    match value {
        DeValue::Integer(n) => n.as_str().parse().unwrap(),
        DeValue::Float(x) => x.as_str().parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn with_model() -> Folder {
    let folder = Folder::new();
    folder.write("model.safetensors", file(&llama(2)));
    folder
}

fn kept(folder: &Folder) -> Vec<String> {
    folder.names().into_iter().filter(|name| name.starts_with(".dftsp-weights-")).collect()
}

#[test]
fn the_blocks_of_a_problem_are_toml_and_agree_with_json() {
    let folder = with_model();
    let options = ["weights", "--model", ".", "--bits", "4,2,16", "--granularity", "group-32", "--no-cache"];
    let toml = folder.ok_text(&[&options[..], &["--format", "toml"]].concat());
    let json = folder.ok_text(&[&options[..], &["--format", "json"]].concat());
    let toml = DeTable::parse(&toml).unwrap().into_inner();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let blocks = toml["layer"].get_ref().as_array().unwrap();
    let layers = json["layers"].as_array().unwrap();
    assert_eq!((blocks.len(), layers.len(), json["synthetic"].as_bool()), (4, 4, Some(false)));
    for (block, layer) in blocks.iter().zip(layers) {
        let block = block.get_ref();
        assert_eq!(block["name"].get_ref().as_str(), layer["name"].as_str());
        for key in ["parameters", "activation_bytes", "kv_bytes_per_token", "flops_per_token"] {
            assert_eq!(Some(number(block[key].get_ref())), layer[key].as_f64(), "{key}");
        }
        for bits in ["2", "4", "16"] {
            let error = number(block["weight_error"].get_ref()[bits].get_ref());
            assert_eq!(Some(error), layer["weight_error"][bits].as_f64());
        }
    }
    assert!(kept(&folder).is_empty());
    let text = folder.ok_text(&options);
    assert!(text.contains("weights: . (Llama names, 4 layers)") && text.contains("decoder.1"), "{text}");
    assert!(!text.contains("SYNTHETIC"));
}

#[test]
fn a_table_is_kept_beside_the_weights_and_renewed_when_stale_or_damaged() {
    let folder = with_model();
    let options = ["weights", "--model", "model.safetensors", "--format", "json"];
    let first = folder.ok(&options);
    let [name] = &kept(&folder)[..] else { panic!("{:?}", folder.names()) };
    // What is kept is what is used: a table that was changed, checksum and all, shows.
    let text = folder.text(name);
    assert_eq!(folder.ok(&options), first);
    folder.write(name, &text[..text.len() / 3]);
    assert_eq!(folder.ok(&options), first);
    assert_eq!(folder.text(name), text, "a damaged table is replaced");
    let mut parts = llama(2);
    parts[1].bytes[3] ^= 1;
    folder.write("model.safetensors", file(&parts));
    assert_ne!(folder.ok(&options), first);
    assert_ne!(folder.text(name), text, "a stale table is replaced");
    assert_eq!(kept(&folder).len(), 1);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_no_obstacle() {
    let folder = with_model();
    let warned = |cache: &str| {
        let output = folder.run(&["weights", "--model", ".", "--cache", cache, "--format", "json"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text_of(&output.stdout).contains("weight_error"));
        text_of(&output.stderr)
    };
    let what = "dftsp: the table is not kept: --cache: there is no folder";
    for none in ["none", "model.safetensors"] {
        assert_eq!(warned(none), format!("{what} {none}; make it, or give another one\n"));
    }
    fs::create_dir(folder.path().join("tables")).unwrap();
    folder.ok(&["weights", "--model", ".", "--cache", "tables"]);
    let tables: Vec<_> = fs::read_dir(folder.path().join("tables")).unwrap().map(|e| e.unwrap().path()).collect();
    let [table] = &tables[..] else { panic!("{tables:?}") };
    // A folder in the place of the table stands in for one without the right to write, which root would have.
    fs::remove_file(table).unwrap();
    fs::create_dir(table).unwrap();
    let message = warned("tables");
    assert!(message.starts_with("dftsp: the table is not kept: tables/.dftsp-weights-"), "{message}");
    assert!(message.contains("cannot write") && message.contains("; give another --cache FOLDER"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn synthetic_weights_say_so_everywhere_and_do_not_depend_on_threads() {
    let folder = with_model();
    let options = ["weights", "--model", ".", "--no-cache", "--calibration", "synthetic"];
    let on = |threads: &str, format: &str| {
        folder.ok_text(&[&options[..], &["--threads", threads, "--format", format]].concat())
    };
    for format in ["text", "json", "toml"] {
        let one = on("1", format);
        assert_eq!(one, on("3", format));
        let marked = one.contains("SYNTHETIC activations") || one.contains("\"synthetic_activations\": true");
        assert!(marked, "{one}");
    }
    assert!(on("1", "toml").starts_with("# weights: "));
}

#[test]
fn weights_are_placed_in_two_commands() {
    let folder = with_model();
    let (servers, _) = super::place::PROBLEM.split_once("[[layer]]").unwrap();
    folder.write("servers.toml", servers.replace("budget = 0.1", "budget = 10"));
    for (calibration, note) in [(&[][..], None), (&["--calibration", "synthetic"], Some("synthetic activations"))] {
        let weights = ["weights", "--model", ".", "--no-cache", "--format", "toml", "--output", "layers.toml"];
        assert!(folder.ok(&[&weights, calibration].concat()).is_empty());
        let place = ["place", "--problem", "servers.toml", "--layers", "layers.toml", "--format", "json"];
        let out: serde_json::Value = serde_json::from_str(&folder.ok_text(&place)).unwrap();
        assert_eq!((out["status"].as_str(), out["weight_errors"].as_str()), (Some("optimal"), note));
        let names: Vec<_> = out["layers"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["embedding", "decoder.0", "decoder.1", "head"]);
    }
}

#[test]
fn an_untied_head_is_believed_of_any_config() {
    let folder = Folder::new();
    let parts: Vec<_> = llama(1).into_iter().filter(|part| part.name != "lm_head.weight").collect();
    folder.write("model.safetensors", file(&parts));
    let run = ["weights", "--model", ".", "--no-cache"];
    folder.write("config.json", "{\"tie_word_embeddings\": false}");
    let refused = folder.refused(&run);
    assert!(refused.contains("head lacks the tensor 'lm_head.weight'"), "{refused}");
    folder.write("config.json", "{\"tie_word_embeddings\": true}");
    let text = folder.ok_text(&run);
    assert!(text.contains("only tie_word_embeddings of config.json is used: ./config.json, model_type: the"), "{text}");
    assert!(text.contains("codes: group-128, symmetric or asymmetric by layer, clipped by error"), "{text}");
    for (config, what) in
        [("{}", "config.json is not used: ./config.json, model_type: "), ("{", "config.json is not used: ")]
    {
        folder.write("config.json", config);
        let text = folder.ok_text(&run);
        assert!(text.contains(&format!("\n{what}")), "{text}");
    }
}

#[test]
fn scales_and_offsets_are_told_in_every_form() {
    let folder = with_model();
    let options = ["weights", "--model", ".", "--no-cache", "--bits", "4,32", "--scheme", "asymmetric"];
    let json: serde_json::Value =
        serde_json::from_str(&folder.ok_text(&[&options[..], &["--format", "json"]].concat())).unwrap();
    // 64 rows of at most 16 weights are as many groups.
    let decoder = &json["layers"][1];
    assert_eq!(
        (decoder["overhead_bits"]["4"].as_u64(), decoder["overhead_bits"]["32"].as_u64()),
        (Some(2048), Some(0))
    );
    assert_eq!(decoder["overhead_bits_per_parameter"]["4"].as_f64(), Some(2048.0 / 592.0));
    let line = "scales and offsets: 3.5145 bits for each parameter at 4 bits (0.0 MB); the memory of a placement";
    let text = folder.ok_text(&options);
    assert!(text.contains(line) && text.contains("+bits") && text.contains("3.4595"), "{text}");
    assert!(folder.ok_text(&[&options[..], &["--format", "toml"]].concat()).contains(&format!("# {line}")));
}

#[cfg(unix)]
#[test]
fn an_index_that_is_a_pipe_is_refused_without_waiting() {
    let folder = Folder::new();
    let pipe = folder.path().join("model.safetensors.index.json");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let refused = folder.refused(&["weights", "--model", "."]);
    assert!(refused.contains("index.json: it is not a regular file; give an index"), "{refused}");
}

#[test]
fn weights_are_not_written_over() {
    let folder = with_model();
    folder.write("x.safetensors", file(&llama(1)));
    let before = folder.read("model.safetensors");
    for (options, message) in [
        (&["--model", ".", "--output", "model.safetensors"][..], "--output: it is the file of --model; give two files"),
        (&["--model", "model.safetensors", "--output", "./model.safetensors"], "--output: it is the file of --model"),
        (&["--model", ".", "--output", "config.json"], "--output: it is the file of --model"),
        (
            &["--model", ".", "--calibration", "x.safetensors", "--output", "x.safetensors"],
            "--output: it is the file of --calibration",
        ),
        (&["--model", ".", "--output", "none/out"], "none/out: cannot write"),
    ] {
        let output = folder.run(&[&["weights"], options].concat());
        let found = text_of(&output.stderr);
        assert_eq!((output.status.code(), found.lines().count()), (Some(2), 1), "{found}");
        assert!(found.contains(message), "{options:?}: {found}");
    }
    assert_eq!((folder.read("model.safetensors"), folder.names().len()), (before, 2), "{:?}", folder.names());
}

#[test]
fn wrong_options_are_refused() {
    let folder = with_model();
    for (options, message) in [
        (&["--model", "."][..], "--bits: '1x' is no width; give 2 to 16, or 32"),
        (&["--model", "none", "--bits", "4"], "none: cannot open"),
        (&["--synthetic", "gpt-5", "--bits", "4"], "--synthetic: the model 'gpt-5' is not known"),
        (&["--model", ".", "--bits", "17"], "--bits: 17 is no width"),
        (&["--model", ".", "--bits", ""], "--bits: '' is no width"),
        (&["--model", ".", "--bits", "4", "--granularity", "group-7"], "--granularity: 'group-7' is no granularity"),
        (&["--model", ".", "--bits", "4", "--calibration", "none"], "none: cannot open"),
        (&["--bits", "4"], "--model: no weights are given; give --model PATH, or --synthetic MODEL, such as opt-350m"),
        (&["--model", ".", "--threads", "0"], "0 is not in 1..=4096"),
        (&["--model", ".", "--threads", "4097"], "4097 is not in 1..=4096"),
        (&["--bits", "4", "--model", ".", "--synthetic", "opt-350m"], "cannot be used with"),
    ] {
        let bits = if options.contains(&"--bits") { &[][..] } else { &["--bits", "1x"] };
        let output = folder.run(&[&["weights"], options, bits].concat());
        let found = text_of(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len(), found.lines().count()), (Some(2), 0, 1), "{found}");
        assert!(found.contains(message), "{options:?}: {found}");
    }
    let known = folder.run(&["weights", "--synthetic", "gpt-5"]);
    let known = text_of(&known.stderr);
    assert_eq!((known.matches("opt-350m").count(), known.matches("llama-3.1-8b").count()), (1, 1), "{known}");
    folder.write("model.safetensors", &file(&llama(1))[..90]);
    let output = folder.run(&["weights", "--model", "."]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text_of(&output.stderr).contains("the file is truncated"), "{}", text_of(&output.stderr));
}
