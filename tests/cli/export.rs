//! `dftsp export`: models for other solvers. Their meaning is tested in `tests/export.rs`.

use std::process::Stdio;

use super::support::{Folder, SCENARIO, message, text_of};

const EPOCH: [&str; 5] = ["export", "--scenario", "scenario.toml", "--requests", "requests.csv"];
const FORMATS: [(&str, &str); 3] = [("mps", "* dftsp export"), ("lp", "\\ dftsp export"), ("opb", "* #variable= 5 ")];

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [EPOCH.as_slice(), more].concat()
}

/// Three requests that fit alone but not all together.
fn folder() -> Folder {
    let folder = Folder::with_epoch();
    let scenario = SCENARIO.replace("26.6e12", "6e12");
    folder.write("scenario.toml", scenario);
    folder
}

#[test]
fn the_file_holds_what_standard_output_would_every_time() {
    let folder = folder();
    for (format, start) in FORMATS {
        let printed = folder.ok_text(&args(&["--format", format, "--coarsen", "16"]));
        assert!(printed.starts_with(start), "{printed}");
        assert!(printed.is_ascii() && printed.ends_with('\n'));
        for id in ["x1 \"a\"\n", "x2 \"b\"\n", "x3 \"c\"\n"] {
            assert!(printed.contains(id), "{printed}");
        }
        for _ in 0..2 {
            assert!(folder.ok(&args(&["--format", format, "--coarsen", "16", "--output", "out"])).is_empty());
            assert_eq!(folder.text("out"), printed);
        }
    }
    assert_eq!(folder.names().len(), 3, "nothing temporary is left: {:?}", folder.names());
}

#[test]
fn numbers_too_large_for_floats_are_said_on_standard_error_and_in_the_file() {
    let folder = Folder::new();
    for (format, _) in FORMATS {
        let output = folder.run(&["export", "--format", format]);
        assert_eq!(output.status.code(), Some(0));
        let (text, stderr) = (text_of(&output.stdout), text_of(&output.stderr));
        let caution = stderr.strip_prefix("dftsp: caution: numbers reach 4503599627370496, above 10^9: ").unwrap();
        assert!(caution.ends_with('\n') && caution.lines().count() == 1, "{stderr}");
        assert!(text.contains(stderr.trim_end().strip_prefix("dftsp: ").unwrap()), "{stderr}");
    }
}

#[test]
fn nothing_servable_is_an_empty_model() {
    let folder = Folder::with_epoch();
    folder.write("requests.csv", "id,prompt_tokens,output_tokens,deadline_s\na,1,1,0.25\n");
    for (format, text) in [("mps", "ROWS\n N size\nCOLUMNS\n"), ("lp", "Maximize\n size:\nSubject To\nBinary\nEnd\n")] {
        let printed = folder.ok_text(&args(&["--format", format]));
        assert!(printed.contains(text), "{printed}");
    }
    assert!(folder.ok_text(&args(&["--format", "opb"])).starts_with("* #variable= 0 #constraint= 0\n"));
}

#[test]
fn one_longest_prompt_at_a_time() {
    let folder = Folder::with_epoch();
    let refused = folder.refused(&args(&["--format", "lp", "--longest-prompt", "256"]));
    assert_eq!(refused, "--longest-prompt: it is for scenarios with padding longest; leave it out");
    folder.write("scenario.toml", SCENARIO.replace("\"fixed\"\npadded_prompt_tokens = 512", "\"longest\""));
    let refused = folder.refused(&args(&["--format", "lp", "--output", "out"]));
    assert_eq!(
        refused,
        "scenario.toml, batching.padding: with prompts padded to the longest of the batch, costs do not add up to a \
         linear model; give padding fixed or none, or export one longest prompt with --longest-prompt (3 of them, 128 \
         to 512)"
    );
    let refused = folder.refused(&args(&["--format", "lp", "--longest-prompt", "513"]));
    assert!(refused.starts_with("--longest-prompt: 513 is above the longest prompt that can be served, 512"));
    for (tokens, rows) in [("127", 0), ("128", 1), ("256", 2), ("511", 2), ("512", 3)] {
        let text = folder.ok_text(&args(&["--format", "opb", "--coarsen", "20", "--longest-prompt", tokens]));
        assert_eq!(text.matches('"').count(), 2 * rows, "{tokens}: {text}");
    }
}

#[test]
fn bad_options_are_named() {
    let folder = Folder::with_epoch();
    let cases: [(&[&str], &str); 7] = [
        (&[], "the following required arguments were not provided: --format"),
        (&["--format", "gms"], "invalid value 'gms' for '--format <FORMAT>'"),
        (&["--format", "lp", "--coarsen", "7"], "invalid value '7' for '--coarsen <BITS>'"),
        (&["--format", "lp", "--coarsen", "63"], "invalid value '63' for '--coarsen <BITS>'"),
        (&["--format", "lp", "--coarsen", "x"], "invalid value 'x' for '--coarsen <BITS>'"),
        (&["--format", "lp", "--longest-prompt", "0"], "invalid value '0' for '--longest-prompt <TOKENS>'"),
        (&["--format", "lp", "--at", "1"], "--at: it is for traces, and the requests are not one"),
    ];
    for (more, start) in cases {
        let refused = folder.refused(&args(more));
        assert!(refused.starts_with(start), "{refused}");
    }
    folder.write("requests.csv", "id,prompt_tokens,output_tokens\na,1,0\n");
    folder.write("out", "old");
    let refused = folder.refused(&args(&["--format", "lp", "--output", "out"]));
    assert!(refused.starts_with("requests.csv, line 2, output_tokens: 0 is not allowed"), "{refused}");
    assert_eq!(folder.text("out"), "old");
}

#[test]
fn a_pipe_closed_by_its_reader_is_an_error_in_one_line() {
    let folder = Folder::new();
    folder.ok(&["generate", "binding", "--requests", "20000", "--output", "r.csv", "--scenario-output", "s.toml"]);
    let args = ["export", "--scenario", "s.toml", "--requests", "r.csv", "--format", "lp"];
    let mut child = folder.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let refused = message(&child.wait_with_output().unwrap(), "export");
    assert!(refused.starts_with("standard output: cannot write: "), "{refused}");
}
