//! `dftsp solve`, and what `dftsp verify` says of its solutions and of others.

use serde_json::{Value, json};

use super::support::{Folder, message, text_of, without_seconds};

const SOLVERS: [&str; 10] =
    ["flat", "dftsp", "dftsp-unpruned", "dftsp-from-bound", "brute-force", "static", "none", "fcfs", "edf", "shortest"];
const EPOCH: [&str; 4] = ["--scenario", "s.toml", "--requests", "r.csv"];

fn generate(folder: &Folder, family: &str, padding: &str, requests: &str) {
    let to = ["--output", "r.csv", "--scenario-output", "s.toml", "--requests", requests];
    folder.ok(&[["generate", family, "--padding", padding].as_slice(), &to].concat());
}

fn solve(folder: &Folder, more: &[&str]) -> String {
    folder.ok_text(&[["solve", "--format", "json"].as_slice(), &EPOCH, more].concat())
}

fn verify(folder: &Folder) -> std::process::Output {
    folder.run(&[["verify", "--solution", "solution.json"].as_slice(), &EPOCH].concat())
}

#[test]
fn what_every_solver_gives_verifies() {
    let folder = Folder::new();
    for family in ["paper", "binding"] {
        for padding in ["512", "longest", "none"] {
            generate(&folder, family, padding, "12");
            let mut optimum = None;
            for solver in SOLVERS {
                folder.write("solution.json", solve(&folder, &["--solver", solver]));
                let context = format!("{family} {padding} {solver}");
                let output = verify(&folder);
                assert_eq!((output.status.code(), text_of(&output.stderr)), (Some(0), String::new()), "{context}");
                assert!(
                    text_of(&output.stdout).starts_with("verified: ") && text_of(&output.stdout).lines().count() == 1
                );
                let solution: Value = serde_json::from_slice(&folder.read("solution.json")).unwrap();
                assert_eq!(solution["solver"], *solver, "{context}");
                if solver == "flat" {
                    assert_eq!(solution["status"], "optimal", "{context}");
                    optimum = solution["size"].as_u64();
                }
                assert!(solution["size"].as_u64() <= optimum && solution["bound"].as_u64() >= optimum, "{context}");
            }
        }
    }
}

#[test]
fn the_same_command_gives_the_same_bytes_but_for_the_time() {
    let folder = Folder::new();
    generate(&folder, "binding", "longest", "14");
    for solver in SOLVERS {
        let first = without_seconds(&solve(&folder, &["--solver", solver]));
        for threads in ["1", "4"] {
            assert_eq!(
                without_seconds(&solve(&folder, &["--solver", solver, "--threads", threads])),
                first,
                "{solver}"
            );
        }
    }
}

#[test]
fn the_embedded_epoch_is_solved_and_verified() {
    let folder = Folder::new();
    let text = folder.ok_text(&["solve"]);
    assert!(text.contains("proven optimal") && !text.contains("does not bind"), "{text}");
    folder.ok(&["solve", "--format", "json", "--output", "solution.json"]);
    assert!(folder.ok_text(&["verify", "--solution", "solution.json"]).starts_with("verified: "));
}

#[test]
fn a_batch_size_is_kept() {
    let folder = Folder::new();
    let json = folder.ok_text(&["solve", "--solver", "static", "--batch-size", "3", "--format", "json"]);
    let solution: Value = serde_json::from_str(&json).unwrap();
    assert!(solution["size"].as_u64() <= Some(3));
}

/// A solution of twelve requests that leaves some out for either kind of reason.
fn valid() -> (Folder, Value) {
    let folder = Folder::new();
    generate(&folder, "binding", "512", "40");
    let solution: Value = serde_json::from_str(&solve(&folder, &[])).unwrap();
    assert!(solution["scheduled"].as_array().unwrap().len() > 2);
    (folder, solution)
}

#[test]
fn a_solution_that_was_tampered_with_fails_the_check_that_is_named() {
    let (folder, valid) = valid();
    type Change = (&'static str, fn(&mut Value));
    let changes: [Change; 15] = [
        ("batch", |s| drop(s["scheduled"].as_array_mut().unwrap().remove(0))),
        ("batch", |s| s["scheduled"][0] = s["scheduled"][1].clone()),
        ("batch", |s| s["scheduled"][0] = json!("nobody")),
        ("batch", |s| s["rejected"][0]["id"] = json!("two\nlines")),
        ("batch", |s| s["size"] = json!(0)),
        ("status", |s| s["bound"] = json!(s["bound"].as_u64().unwrap() + 1)),
        ("status", |s| s["status"] = json!("feasible")),
        ("usage", |s| s["usage"]["memory"] = json!(0.5)),
        ("allocations", |s| s["allocations"][0]["uplink"] = json!(1e-9)),
        ("allocations", |s| s["allocations"] = json!([])),
        ("rejected", |s| drop(s["rejected"].as_array_mut().unwrap().pop())),
        ("certificate", |s| s["certificate"]["bound"] = json!(0)),
        ("certificate", |s| s["certificate"]["sections"] = json!([])),
        ("certificate", |s| {
            let covered = s["certificate"]["sections"][0]["covered"].as_array_mut().unwrap();
            covered.last_mut().unwrap()["multipliers"] = json!([0, 0, 0, 0]);
        }),
        ("certificate", |s| s["certificate"]["sections"][0]["covered"][0]["one_bits"] = json!(u32::MAX)),
    ];
    for (number, (check, change)) in changes.into_iter().enumerate() {
        let mut solution = valid.clone();
        change(&mut solution);
        folder.write("solution.json", solution.to_string());
        let output = verify(&folder);
        let printed = text_of(&output.stdout);
        assert_eq!(
            (output.status.code(), text_of(&output.stderr)),
            (Some(1), String::new()),
            "change {number}: {printed}"
        );
        assert!(printed.starts_with(&format!("not verified: {check}: ")), "change {number}: {printed}");
        assert_eq!((printed.lines().count(), printed.ends_with('\n')), (1, true), "change {number}: {printed}");
    }
}

#[test]
fn a_solution_of_another_epoch_does_not_verify() {
    let (folder, solution) = valid();
    folder.write("solution.json", solution.to_string());
    assert_eq!(verify(&folder).status.code(), Some(0));
    folder.ok(&["generate", "binding", "--requests", "40", "--seed", "2", "--output", "r.csv"]);
    assert_eq!(verify(&folder).status.code(), Some(1));
}

#[test]
fn files_that_are_no_solutions_are_refused() {
    let (folder, valid) = valid();
    let refused = |text: &str, start: &str| {
        folder.write("solution.json", text);
        let output = verify(&folder);
        let message = message(&output, text);
        assert!(message.starts_with(start) && output.stdout.is_empty(), "{text}: {message}");
    };
    for (text, what) in [
        ("", ": the file is empty"),
        ("{", ": the file ends before its JSON does"),
        ("[]", ": "),
        ("null", ": null is not a table of keys"),
        ("1", ": 1 is not a table of keys"),
        ("not JSON", ": not JSON: expected ident"),
        ("{\"status\": \"optimal\"}", ", size: the key is missing"),
        ("\0", ": not JSON: expected value"),
    ] {
        refused(text, &format!("solution.json, line 1{what}"));
    }
    for field in ["status", "size", "bound", "scheduled", "usage", "allocations", "rejected", "certificate"] {
        let mut solution = valid.clone();
        solution.as_object_mut().unwrap().remove(field);
        refused(&solution.to_string(), &format!("solution.json, line 1, {field}: the key is missing; give a file"));
        for value in
            [json!(null), json!(-1), json!(1.5), json!("x"), json!(true), json!([[]]), json!("x".repeat(100_000))]
        {
            let mut solution = valid.clone();
            solution[field] = value;
            refused(&solution.to_string(), "solution.json, ");
        }
    }
    let mut solution = valid;
    solution["rejected"][0]["reason"] = json!("bad luck");
    refused(&solution.to_string(), "solution.json, rejected: unknown reason 'bad luck'");
}

#[test]
fn a_time_limit_of_nothing_still_gives_a_batch_with_a_proven_bound() {
    let folder = Folder::new();
    generate(&folder, "binding", "none", "300");
    folder.write("solution.json", solve(&folder, &["--time-limit", "0"]));
    assert_eq!(verify(&folder).status.code(), Some(0));
}
