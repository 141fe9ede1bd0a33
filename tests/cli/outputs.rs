//! Files and pipes that results go to.

use std::path::Path;

use super::support::{Folder, REQUESTS, feed, message, without_seconds};

/// Commands that write a file, without its name.
const WRITERS: [&[&str]; 4] = [
    &["export", "--requests", "requests.csv", "--format", "lp", "--output"],
    &["solve", "--requests", "requests.csv", "--output"],
    &["generate", "paper", "--output"],
    &["generate", "binding", "--output", "out", "--scenario-output"],
];

#[test]
fn the_file_holds_what_standard_output_would() {
    let folder = Folder::with_epoch();
    for format in ["text", "json"] {
        let args = ["solve", "--scenario", "scenario.toml", "--requests", "requests.csv", "--format", format];
        let printed = folder.ok_text(&args);
        assert!(folder.ok([args.as_slice(), &["--output", "out"]].concat().as_slice()).is_empty());
        let written = folder.text("out");
        if format == "json" {
            assert_eq!(without_seconds(&printed), without_seconds(&written));
        } else {
            let stable =
                |text: &str| text.lines().filter(|line| !line.starts_with("solver ")).collect::<Vec<_>>().join("\n");
            assert_eq!(stable(&printed), stable(&written));
            assert_eq!(printed.lines().count(), stable(&printed).lines().count() + 1);
        }
        assert!(printed.ends_with('\n') && written.ends_with('\n'));
    }
    assert_eq!(folder.names().len(), 3, "nothing temporary is left: {:?}", folder.names());
}

#[test]
fn places_that_cannot_be_written_are_named_and_nothing_is_left() {
    let folder = Folder::with_epoch();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    let mut places = vec!["folder", "folder/", "missing/out", "requests.csv/out", "."];
    for place in ["/proc/dftsp-out", "/sys/dftsp-out", "/dev/full"] {
        if Path::new(place).parent().is_some_and(Path::is_dir) && (place != "/dev/full" || Path::new(place).exists()) {
            places.push(place);
        } else {
            eprintln!("skipped: {place} is absent");
        }
    }
    for writer in WRITERS {
        for place in &places {
            let refused = folder.refused(&[writer, &[*place]].concat());
            assert!(refused.contains(": cannot write: "), "{writer:?} {place}: {refused}");
            assert!(refused.contains(place.trim_end_matches('/')), "{writer:?} {place}: {refused}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path().join("folder")).unwrap().count(), 0);
}

#[test]
fn an_output_that_fails_leaves_the_old_file() {
    let folder = Folder::with_epoch();
    folder.write("out", "old");
    folder.write("bad.csv", "id,prompt_tokens,output_tokens\na,1,0\n");
    folder.refused(&["solve", "--requests", "bad.csv", "--output", "out"]);
    folder.refused(&["generate", "paper", "--output", "out", "--scenario-output", "missing/out"]);
    assert_eq!(folder.text("out"), "old");
    folder.ok(&["generate", "paper", "--output", "out"]);
    assert!(folder.text("out").starts_with("id,"));
}

#[test]
fn a_pipe_closed_by_its_reader_is_an_error_in_one_line() {
    let folder = Folder::with_epoch();
    let mut child = folder.spawn_piped(&["generate", "paper", "--requests", "1000000"]);
    drop(child.stdout.take());
    let refused = message(&child.wait_with_output().unwrap(), "generate");
    assert!(refused.starts_with("standard output: cannot write: "), "{refused}");
    for format in ["text", "json"] {
        let mut child = folder.spawn_piped(&["solve", "--requests", "-", "--format", format]);
        // Closed before the requests are there, so before anything is printed.
        drop(child.stdout.take());
        feed(&mut child, REQUESTS.as_bytes());
        let refused = message(&child.wait_with_output().unwrap(), "solve");
        assert!(refused.starts_with("standard output: cannot write: "), "{refused}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_an_error_in_one_line() {
    let folder = Folder::with_epoch();
    let full = Path::new("/dev/full");
    if !full.exists() {
        eprintln!("skipped: /dev/full is absent");
        return;
    }
    for args in
        [["solve", "--format", "json"], ["generate", "paper", "--requests=1000"], ["generate", "paper", "--requests=1"]]
    {
        let file = std::fs::File::options().write(true).open(full).unwrap();
        let refused = folder.refused_command(folder.command(&args).stdout(file));
        assert!(refused.starts_with("standard output: cannot write: "), "{refused}");
    }
}

#[test]
fn standard_input_gives_the_same_as_a_file() {
    let folder = Folder::with_epoch();
    let from_file = folder.ok_text(&["solve", "--requests", "requests.csv", "--format", "json"]);
    let mut child = folder.spawn_piped(&["solve", "--requests", "-", "--format", "json"]);
    feed(&mut child, REQUESTS.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(without_seconds(&String::from_utf8(output.stdout).unwrap()), without_seconds(&from_file));
    let mut child = folder.spawn_piped(&["solve", "--requests", "-"]);
    feed(&mut child, b"id,prompt_tokens,output_tokens\na,1,0\n");
    let refused = message(&child.wait_with_output().unwrap(), "solve");
    assert!(refused.starts_with("standard input, line 2, output_tokens: 0 is not allowed"), "{refused}");
}

#[test]
fn two_outputs_in_one_place_are_refused() {
    let folder = Folder::new();
    for scenario in ["a", "./a"] {
        let message = folder.refused(&["generate", "binding", "--output", "a", "--scenario-output", scenario]);
        assert!(message.starts_with("--scenario-output: it is the file of --output"), "{message}");
    }
}
