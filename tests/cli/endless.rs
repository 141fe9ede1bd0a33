//! Files that are too large, or that never end.

use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use super::support::{Folder, READS, feed, text_of};

/// Runs with a bound on the address space, so that reading everything into memory would fail.
fn bounded(folder: &Folder, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 1000000 && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_dftsp")]).args(args);
    command.current_dir(folder.path());
    command
}

#[test]
fn endless_files_fail_fast_in_bounded_memory() {
    let folder = Folder::new();
    let starts = [
        "",
        "{",
        "{\"timestamp\": 1, \"hash_ids\": [",
        "id,prompt_tokens,output_tokens\n\"a",
        "arrived_at,num_prefill_tokens,num_decode_tokens\n",
    ];
    for (verb, option) in READS {
        for start in starts {
            folder.write("endless", start);
            // Sparse: it takes no space.
            File::options().write(true).open(folder.path().join("endless")).unwrap().set_len(5 << 30).unwrap();
            let began = Instant::now();
            let message = folder.refused_command(&mut bounded(&folder, &[verb, option, "endless"]));
            assert!(message.starts_with("endless"), "{message}");
            assert!(began.elapsed() < Duration::from_secs(20), "{option} {start:?} took {:?}", began.elapsed());
        }
        let message = folder.refused_command(&mut bounded(&folder, &[verb, option, "/dev/zero"]));
        assert!(message.starts_with("/dev/zero"), "{message}");
    }
}

/// Nobody writes to it, so opening it would wait for ever.
#[cfg(unix)]
#[test]
fn a_named_pipe_is_refused() {
    let folder = Folder::with_epoch();
    folder.write("servers.toml", "[request]\nprompt_tokens = 1\n");
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    for args in [
        &["place", "--problem", "pipe"][..],
        &["place", "--problem", "servers.toml", "--layers", "pipe"],
        &["place", "--verify", "pipe"],
        &["place", "--emit-scenario", "n", "--scenario", "pipe"],
        &["solve", "--scenario", "pipe"],
        &["solve", "--model-config", "pipe"],
        &["verify", "--solution", "pipe"],
        &["simulate", "--scenario", "pipe"],
    ] {
        let message = folder.refused(args);
        assert_eq!(message, "pipe: it is a named pipe, not a file; give a file, or /dev/stdin", "{args:?}");
    }
    // A pipe that somebody holds open is read.
    let problem = folder.ok_text(&["place", "--no-baselines", "--problem-output", "/dev/stdout", "--output", "out"]);
    let mut child = folder.spawn_piped(&["place", "--no-baselines", "--problem", "/dev/stdin"]);
    feed(&mut child, problem.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output.stderr));
}

#[test]
fn files_beyond_their_limit_are_refused() {
    let folder = Folder::new();
    for (option, size) in [("--scenario", 1 << 20), ("--model-config", 1 << 24)] {
        folder.write("large", "\n".repeat(size + 1));
        let message = folder.refused(&["solve", option, "large", "--output", "out"]);
        assert!(message.starts_with(&format!("large: the file is larger than {size} bytes")), "{message}");
        folder.write("large", "\n".repeat(size));
        assert!(!folder.refused(&["solve", option, "large"]).contains("larger than"));
    }
}
