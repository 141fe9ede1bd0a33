//! What the README shows is what the program prints.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a failure here should stop the run")]

use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../README.md");

/// The lines that `dftsp` prints, without the one that holds times and those that the README leaves out.
fn printed(args: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_dftsp")).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let shown = text.lines().filter(|l| !l.starts_with("solver ") && !l.starts_with("assumed: "));
    shown.map(String::from).collect()
}

#[test]
fn the_first_transcript_is_current() {
    let lines = printed(&["solve"]);
    assert!(lines.len() > 10);
    for line in lines {
        assert!(README.contains(&line), "not in README.md: {line}");
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
        for line in printed(&["solve", "--scenario", scenario, "--requests", trace]) {
            // The path of the trace is the user's own.
            let line = line.replace(trace, name);
            assert!(README.contains(&line), "not in README.md: {line}");
        }
    }
}
