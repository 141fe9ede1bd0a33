//! What the README shows is what the program prints.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a failure here should stop the run")]

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
