//! What the README shows is what the program prints.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a failure here should stop the run")]

use std::fs;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../README.md");

/// What `dftsp` prints up to the line that holds times: one block of the README, to the letter.
fn printed(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dftsp")).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (block, _) = text.split_once("\nsolver ").unwrap();
    assert!(block.lines().count() > 10, "{block}");
    block.to_string()
}

#[test]
fn the_first_transcript_is_current() {
    let block = printed(&["solve"]);
    assert!(README.contains(&block), "not in README.md:\n{block}");
}

#[test]
fn the_table_of_precisions_and_the_explanation_are_current() {
    for (args, end) in [(["solve", "--quantization", "auto"].as_slice(), "\n\n"), (&["explain"], "\0")] {
        let output = Command::new(env!("CARGO_BIN_EXE_dftsp")).args(args).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let block = text.split(end).next().unwrap().trim_end();
        assert!(block.lines().count() > 4, "{block}");
        let transcript = format!("```text\n$ dftsp {}\n{block}\n```", args.join(" "));
        assert!(README.contains(&transcript), "not in README.md:\n{transcript}");
    }
}

/// What does not depend on the machine: everything but times and rates, which are the last columns.
#[test]
fn the_comparison_is_current() {
    let command = "compare --backend cpu --threads 1 --requests 500,10000 --instances fading,continuous --repeat 3";
    let output = Command::new(env!("CARGO_BIN_EXE_dftsp")).args(command.split(' ')).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let (_, shown) = README.split_once(&format!("```text\n$ dftsp {command}\n")).unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    // Up to the time, which stands before its unit.
    let stable = |text: &str| -> Vec<Vec<String>> {
        let without_time = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(String::from).collect();
            let end = words.iter().position(|word| word == "ms").map_or(words.len(), |at| at - 1);
            words[..end].to_vec()
        };
        text.trim_end().lines().map(without_time).collect()
    };
    assert!(printed.lines().count() > 5, "{printed}");
    assert_eq!(stable(&printed), stable(shown), "not in README.md:\n{printed}");
}

#[test]
fn the_simulation_is_current() {
    let args = ["--rate", "10", "--set", "synthesis.deadline_s=[2,12]", "--schedulers", "flat,dftsp,fcfs"];
    let args = [&["simulate"], args.as_slice(), &["--duration", "300"]].concat();
    let output = Command::new(env!("CARGO_BIN_EXE_dftsp")).args(&args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (block, _) = text.split_once("\n\nUse of the node, %\n").unwrap();
    let command = args.join(" ").replace("synthesis.deadline_s=[2,12]", "'synthesis.deadline_s=[2,12]'");
    let transcript = format!("```text\n$ dftsp {command}\n{block}\n```");
    assert!(README.contains(&transcript), "not in README.md:\n{transcript}");
}

#[test]
fn the_sweep_is_current() {
    let args = ["--vary", "arrivals.rate_per_s=4..16:x2", "--set", "synthesis.deadline_s=[2,12]"];
    let args = [&["sweep"], args.as_slice(), &["--schedulers", "flat,dftsp,fcfs", "--out", "results"]].concat();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_dftsp")).args(&args).current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (block, _) = text.split_once("\n\nassumed").unwrap();
    let command = args.join(" ").replace("synthesis.deadline_s=[2,12]", "'synthesis.deadline_s=[2,12]'");
    let transcript = format!("```text\n$ dftsp {command}\n{block}\n```");
    assert!(README.contains(&transcript), "not in README.md:\n{transcript}");
}

#[test]
fn the_placement_is_current() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("placement.svg");
    let args = ["place", "--problem", "examples/placement/edge.toml", "--plot"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_dftsp"));
    let output = command.args(args).arg(&plot).current_dir(root).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (block, _) = text.split_once("\n\nproof:").unwrap();
    let transcript = format!("```text\n$ dftsp {}\n{block}\n```", args[..3].join(" "));
    assert!(README.contains(&transcript), "not in README.md:\n{transcript}");
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    assert_eq!(read(&plot), read(&root.join("docs/placement.svg")), "docs/placement.svg");
    let problem = read(&root.join(args[2]));
    assert!(README.contains(&format!("```toml\n{problem}```")), "examples/placement/edge.toml");
    // A budget that nobody can meet.
    let bad = folder.path().join("edge.toml");
    fs::write(&bad, problem.replace("budget = 0.4", "budget = 0.02")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dftsp"));
    let output = command.args(["place", "--problem", "edge.toml"]).current_dir(folder.path()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(README.contains(&format!("```text\n{message}```")), "not in README.md:\n{message}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dftsp"));
    let output = command.args(&args[..3]).args(["--held-requests", "24"]).current_dir(root).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(README.contains(&format!("```text\n{message}```")), "not in README.md:\n{message}");
}

#[test]
fn the_example_problems_are_placed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        assert!(README.contains(&format!("\ndftsp {}\n", args.join(" "))), "{args:?}");
        // Files that are written, and read again, are in a folder of their own.
        let at = |arg: &&str| match *arg {
            "layers.toml" | "placement.svg" | "node.toml" => folder.path().join(arg).display().to_string(),
            other => other.to_string(),
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_dftsp"));
        let output = command.args(args.iter().map(at)).current_dir(root).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["weights", "--synthetic", "opt-350m", "--bits", "2,3,4,8,16", "--format", "toml", "--output", "layers.toml"]);
    let servers = ["place", "--problem", "examples/placement/servers.toml", "--layers", "layers.toml"];
    assert!(run(&[&servers[..], &["--plot", "placement.svg"]].concat()).contains("proven optimal"));
    let node = run(&[&servers[..], &["--held-requests", "2", "--emit-scenario", "node.toml"]].concat());
    assert!(node.contains("proven optimal") && node.contains("as a node for the scheduler"), "{node}");
    assert!(run(&["simulate", "--scenario", "node.toml"]).contains("opt-350m"));
    let two = "examples/placement/two-models.toml";
    assert!(README.contains(two));
    let mut command = Command::new(env!("CARGO_BIN_EXE_dftsp"));
    let output = command.args(["place", "--problem", two]).current_dir(root).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("5 layers of 2 models, 2 servers") && text.contains("proven optimal"), "{text}");
}

#[test]
fn the_columns_of_the_simulation_are_explained() {
    let (_, section) = README.split_once("### Simulate\n").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    for header in [dftsp::report::simulation::csv::EPOCHS, dftsp::report::simulation::csv::REQUESTS] {
        for column in header.trim_end().split(',') {
            assert!(section.contains(&format!("`{column}`")), "{column}");
        }
    }
}

#[test]
fn the_transcripts_of_real_traces_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let traces = root.join("../shared/traces");
    let scenario = root.join("examples/scenarios/edge-l4.toml");
    for name in ["AzureLLMInferenceTrace_conv.csv", "AzureLLMInferenceTrace_code.csv"] {
        let trace = traces.join(name);
        if !trace.exists() {
            eprintln!("skipped: {} is not there", trace.display());
            continue;
        }
        let (scenario, trace) = (scenario.to_str().unwrap(), trace.to_str().unwrap());
        // The paths are the user's own.
        let block = printed(&["solve", "--scenario", scenario, "--requests", trace]).replace(trace, name);
        let block = block.replace(scenario, "examples/scenarios/edge-l4.toml");
        assert!(README.contains(&block), "not in README.md:\n{block}");
    }
}

#[test]
fn what_the_documents_link_to_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for document in ["README.md", "CHANGELOG.md", "docs/reproduction/report.md", "docs/reproduction/traces/report.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let folder = root.join(document).parent().unwrap().to_path_buf();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") {
                assert!(folder.join(file).exists(), "{document} links to {file}");
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "{checked}");
}
