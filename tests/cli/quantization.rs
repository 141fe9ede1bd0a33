//! `--quantization` of `dftsp solve` and `dftsp verify`.

use serde_json::Value;

use super::support::{Folder, text_of};

const EPOCH: [&str; 4] = ["--scenario", "s.toml", "--requests", "r.csv"];

fn with_epoch(family: &str, more: &[&str]) -> Folder {
    let folder = Folder::new();
    let to = ["--output", "r.csv", "--scenario-output", "s.toml"];
    folder.ok(&[["generate", family].as_slice(), &to, more].concat());
    folder
}

fn solve(folder: &Folder, list: &str) -> Value {
    let args = [["solve", "--format", "json", "--quantization", list].as_slice(), &EPOCH].concat();
    serde_json::from_str(&folder.ok_text(&args)).unwrap()
}

/// The scenario of a folder at another preset.
fn rewrite(folder: &Folder, preset: &str) {
    let text = folder.text("s.toml");
    assert!(text.contains("preset = \"w8a16\""), "{text}");
    folder.write("s.toml", text.replace("preset = \"w8a16\"", &format!("preset = \"{preset}\"")));
}

#[test]
fn auto_gives_what_each_precision_gives_by_itself() {
    for padding in ["512", "longest", "none"] {
        let folder = with_epoch("paper", &["--requests", "60", "--seed", "5", "--padding", padding]);
        let choice = solve(&folder, "auto");
        let entries = choice["quantizations"].as_array().unwrap();
        let names: Vec<&str> = entries.iter().map(|e| e["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["fp16", "w8a16", "w4a16-gptq", "w4a16-zq-local"]);
        for entry in entries {
            let alone = with_epoch("paper", &["--requests", "60", "--seed", "5", "--padding", padding]);
            rewrite(&alone, entry["name"].as_str().unwrap());
            let args = [["solve", "--format", "json"].as_slice(), &EPOCH].concat();
            let alone: Value = serde_json::from_str(&alone.ok_text(&args)).unwrap();
            for field in ["status", "size", "bound", "binding"] {
                assert_eq!(entry[field], alone[field], "{padding} {} {field}", entry["name"]);
            }
            assert_eq!(alone["quantization"], entry["name"]);
            let rejected = alone["rejected"].as_array().unwrap();
            for (reason, count) in entry["unservable"].as_object().unwrap() {
                let found = rejected.iter().filter(|r| r["reason"] == *reason).count() as u64;
                assert_eq!(count.as_u64(), Some(found), "{reason}");
            }
            if entry["chosen"] == true {
                assert_eq!(choice["quantization"], entry["name"]);
                for field in ["scheduled", "usage", "rejected", "certificate", "assumptions", "tightest_deadline_s"] {
                    assert_eq!(choice[field], alone[field], "{padding} {field}");
                }
            }
        }
        let largest = entries.iter().map(|e| e["size"].as_u64()).max().unwrap();
        assert_eq!(choice["size"].as_u64(), largest);
        assert_eq!(entries.iter().filter(|e| e["chosen"] == true).count(), 1);
    }
}

#[test]
fn a_solution_verifies_at_its_own_precision_only() {
    let folder = with_epoch("paper", &["--requests", "30"]);
    let solution = solve(&folder, "w4a16-gptq");
    assert_eq!(solution["quantization"], "w4a16-gptq");
    folder.write("solution.json", solution.to_string());
    let verify =
        |more: &[&str]| folder.run(&[["verify", "--solution", "solution.json"].as_slice(), &EPOCH, more].concat());
    let output = verify(&["--quantization", "w4a16-gptq"]);
    let printed = text_of(&output.stdout);
    assert!(output.status.success() && printed.starts_with("verified: ") && printed.ends_with(" at w4a16-gptq\n"));
    for (more, checked) in [([].as_slice(), "w8a16"), (&["--quantization", "fp16"], "fp16")] {
        let output = verify(more);
        let start = format!("not verified: quantization: it was made at 'w4a16-gptq' and is checked at '{checked}'");
        assert_eq!(output.status.code(), Some(1));
        assert!(text_of(&output.stdout).starts_with(&start), "{}", text_of(&output.stdout));
    }
    // Under a false name it is held to the physics of that name.
    let mut renamed = solution.clone();
    renamed["quantization"] = Value::from("w8a16");
    folder.write("solution.json", renamed.to_string());
    assert_eq!(verify(&[]).status.code(), Some(1));
    // A solution that names none is checked at the precision that the command names, and the answer says which.
    let mut unnamed = solution;
    unnamed.as_object_mut().unwrap().remove("quantization");
    folder.write("solution.json", unnamed.to_string());
    assert_eq!(verify(&[]).status.code(), Some(1));
    assert!(verify(&["--quantization", "w4a16-gptq"]).status.success());
    for list in ["auto", "fp16,w8a16", "fp8", ""] {
        let message = folder.refused(&["verify", "--solution", "solution.json", "--quantization", list]);
        assert!(message.starts_with("--quantization: "), "{list}: {message}");
    }
}

#[test]
fn the_report_marks_the_precision_chosen() {
    let text = Folder::new().ok_text(&["solve", "--quantization", "fp16, w8a16"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("    precision") && lines[1].starts_with("    fp16 "), "{text}");
    assert!(lines[1].contains("the weights take 4.7186e9 bytes, more than the memory"), "{text}");
    assert!(lines[2].starts_with("  * w8a16 ") && lines[2].contains(" optimal "), "{text}");
    assert_eq!(lines[3], "chosen: w8a16; no batch at any of them is larger than 8");
    assert!(text.contains("\nscheduled 8 of 100 requests: proven optimal\n"), "{text}");
}

#[test]
fn bad_lists_say_what_is_on_offer() {
    let folder = Folder::new();
    for (list, problem) in [
        ("", "a name is missing"),
        (",", "a name is missing"),
        ("fp16,,w8a16", "a name is missing"),
        ("fp8", "unknown quantisation 'fp8'"),
        ("FP16", "unknown quantisation 'FP16'"),
        ("fp16,auto", "auto stands for all and is given alone"),
        ("w8a16,w8a16", "'w8a16' is given twice"),
        ("a\nb", "unknown quantisation 'a\\nb'"),
    ] {
        let message = folder.refused(&["solve", "--quantization", list, "--output", "out"]);
        let remedy = "give auto, or some of fp16,w8a16,w4a16-gptq,w4a16-zq-local, which are on offer for bloom-3b";
        assert_eq!(message, format!("--quantization: {problem}; {remedy}"));
    }
    let preset = |table: &str, name: &str| format!("[{table}]\npreset = \"{name}\"\n");
    let tables = [("model", "qwen2.5-7b"), ("quantization", "w8a16"), ("node", "nvidia-l4")];
    let tables = tables.into_iter().chain(["radio", "epoch", "batching"].map(|table| (table, "paper")));
    folder.write("s.toml", tables.map(|(table, name)| preset(table, name)).collect::<String>());
    let message = folder.refused(&["solve", "--scenario", "s.toml", "--quantization", "w4a16-gptq"]);
    let problem = "--quantization: 'w4a16-gptq' has no ΔPPL for the model qwen2.5-7b; give auto, or some of fp16,w8a16";
    assert!(message.starts_with(problem), "{message}");
    let small = folder.text("s.toml").replace("preset = \"nvidia-l4\"", "compute_flops = 1e12\nmemory_bytes = 1e9");
    folder.write("s.toml", small);
    let message = folder.refused(&["solve", "--scenario", "s.toml", "--quantization", "auto"]);
    assert!(message.starts_with("s.toml, node.memory_bytes: the weights of qwen2.5-7b take "), "{message}");
}
