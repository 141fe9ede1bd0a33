//! `dftsp compare` and `dftsp devices`.

use super::support::{Folder, text_of};

/// A comparison that takes no time. The CPU alone, so that it is the same with and without a device.
const SMALL: [&str; 13] = [
    "compare",
    "--backend=cpu",
    "--requests=50,3000",
    "--threads=1,2",
    "--repeat=2",
    "--cells=20",
    "--cell-requests=40",
    "--instances=fading,shared,paper,continuous,cells,bound-pass",
    "--seed=7",
    "--time-limit=60",
    "--format",
    "text",
    "--out=out",
];

#[test]
fn every_setting_gives_the_same_and_is_in_the_table() {
    let folder = Folder::new();
    let text = folder.ok_text(&SMALL);
    assert!(text.starts_with("solver flat, seed 7, medians of 2\n"), "{text}");
    assert!(text.ends_with("\nthe same rows, certificates and counters everywhere\n"), "{text}");
    // Four kinds and the bound pass at two sizes, and the cells.
    for name in ["cpu, 1 thread ", "cpu, 2 threads"] {
        assert_eq!(text.matches(name).count(), 11, "{text}");
    }
    for part in [" requests/s", " cells/s", " GB/s"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let csv = folder.text("out/compare.csv");
    let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|&column| column == name).unwrap();
    let (size, bound, agrees, unit) = (column("size"), column("bound"), column("agrees"), column("unit"));
    let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 22);
    for pair in rows.chunks(2) {
        assert!(pair.iter().all(|row| row.len() == header.len() && row[agrees] == "true"), "{csv}");
        assert_eq!((pair[0][size], pair[0][bound]), (pair[1][size], pair[1][bound]));
        assert_eq!(pair[0][size], pair[0][bound], "proven optimal: {csv}");
    }
    assert!(rows.iter().any(|row| row[unit] == "cells"));
    let svg = folder.text("out/compare.svg");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for part in ["requests", "time, ms", "cpu, 1 thread", "cpu, 2 threads", "seed 7", "dftsp compare --backend=cpu"] {
        assert!(svg.contains(part), "{part} in {svg}");
    }
    let names: Vec<_> = std::fs::read_dir(folder.path().join("out")).unwrap().collect();
    assert_eq!((names.len(), folder.names().len()), (2, 1), "nothing temporary is left: {names:?}");
}

#[test]
fn json_and_the_table_are_of_the_same_batches() {
    let folder = Folder::new();
    let args = ["compare", "--backend=cpu", "--threads=1", "--repeat=1", "--requests=100,100", "--instances=paper"];
    let json = folder.ok_text(&[args.as_slice(), &["--format=json", "--output=out"]].concat());
    assert!(json.is_empty());
    let json: serde_json::Value = serde_json::from_str(&folder.text("out")).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), 1, "each size once");
    let (row, solved) = (&json["rows"][0], folder.ok_text(&["generate", "paper", "--requests=100"]));
    folder.write("requests.csv", solved);
    folder.ok(&["generate", "paper", "--output=requests.csv", "--scenario-output=scenario.toml"]);
    let args = ["solve", "--scenario=scenario.toml", "--requests=requests.csv", "--format=json"];
    let solution: serde_json::Value = serde_json::from_str(&folder.ok_text(&args)).unwrap();
    for key in ["size", "bound"] {
        assert_eq!(row["settings"][0][key], solution[key]);
    }
    assert_eq!(row["settings"][0]["work"], solution["work"]);
    assert_eq!((&json["agrees"], &row["requests"]), (&true.into(), &100.into()));
}

#[test]
fn bad_options_are_refused_in_one_line_before_anything_is_measured() {
    let folder = Folder::new();
    folder.write("file", "");
    let cases: [(&str, &[&str], &str); 10] = [
        (
            "--requests",
            &["", "0", "-1", "x", "500,,1", "1.5", "1e3", "+5x", "100000001", "99999999999999999999"],
            "--requests: ",
        ),
        ("--threads", &["", "0", "-1", "x", "4097"], "--threads: "),
        ("--cells", &["0", "-1", "x", "200001", "18446744073709551615"], "--cells: "),
        ("--cell-requests", &["0", "-1", "x"], "--cell-requests: "),
        ("--instances", &["", "fadin", "fading,,paper", "all"], "--instances: unknown name "),
        ("--time-limit", &["nan", "-1", "inf", "1e30"], "--time-limit: "),
        ("--repeat", &["0", "1001", "-1", "x"], "invalid value "),
        ("--seed", &["-1", "x"], "invalid value "),
        ("--out", &["file", "file/out"], "file"),
        ("--output", &["missing/out", "."], ""),
    ];
    for (option, values, start) in cases {
        for value in values {
            let given = format!("{option}={value}");
            let args = ["compare", "--backend=cpu", "--requests=50", given.as_str()];
            // What is given last is what holds; clap refuses what is given twice.
            let args: Vec<&str> =
                args.into_iter().filter(|arg| option != "--requests" || *arg != "--requests=50").collect();
            let refused = folder.refused(&args);
            assert!(refused.starts_with(start), "{given}: {refused}");
        }
    }
    let refused = folder.refused(&["compare", "--backend=cuda", "--threads=1"]);
    assert!(refused.starts_with("--threads: the CPU is not compared"), "{refused}");
}

/// What fails after the folder was made leaves neither files nor folder.
#[test]
fn nothing_is_left_over() {
    let folder = Folder::new();
    folder.write("file", "");
    folder.refused(&["compare", "--backend=cpu", "--requests=50", "--out=a/b/c", "--output=missing/out"]);
    folder.refused(&["compare", "--backend=cpu", "--requests=50", "--out=a/b/c", "--output=file/out"]);
    folder.refused(&["compare", "--backend=cpu", "--requests=50", "--out=a", "--instances=x"]);
}

#[test]
fn a_folder_that_is_there_keeps_its_files_until_the_new_ones_are_whole() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("out")).unwrap();
    folder.write("out/compare.csv", "old");
    folder.refused(&["compare", "--backend=cpu", "--requests=50", "--out=out", "--output=missing/out"]);
    assert_eq!(folder.text("out/compare.csv"), "old");
    let args = ["compare", "--backend=cpu", "--requests=50", "--instances=fading", "--repeat=1", "--out=out"];
    folder.ok(&args);
    assert!(folder.text("out/compare.csv").starts_with("instances,"));
}

/// With a device it is listed; without one that is no error, and the reason is given.
#[test]
fn devices_are_listed() {
    let folder = Folder::new();
    let text = folder.ok_text(&["devices"]);
    let json: serde_json::Value = serde_json::from_str(&folder.ok_text(&["devices", "--format=json"])).unwrap();
    let last = text.lines().last().unwrap();
    if json["usable"] == true {
        assert!(last.starts_with("device ") && last.ends_with(" will be used"), "{text}");
        assert!(json["devices"].as_array().unwrap().iter().any(|device| device["usable"] == true));
    } else {
        let reason = json["reason"].as_str().unwrap();
        assert_eq!(last, format!("no CUDA device will be used: {reason}"));
        // The error for whoever insists has the same reason.
        let refused = folder.refused(&["compare", "--backend=cuda", "--requests=50", "--out=out"]);
        assert!(refused.contains(reason) && refused.starts_with("--backend cuda: "), "{refused}");
        // Whoever does not insist is told, and the CPU is compared.
        let args = ["compare", "--requests=50", "--instances=fading", "--repeat=1", "--threads=1"];
        let text = folder.ok_text(&args);
        assert!(text.contains(last) && text.contains("cpu, 1 thread"), "{text}");
    }
    let output = folder.run(&["devices", "--format=xml"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{}", text_of(&output.stderr));
}
