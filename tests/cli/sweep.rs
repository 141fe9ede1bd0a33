//! `dftsp sweep`: grids, seeds, files, and going on where it was interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::support::{Folder, SCENARIO, text_of};

/// Two axes, two schedulers, three seeds: 24 runs.
const GRID: &str = "sweep --scenario scenario.toml --vary arrivals.rate_per_s=2,8 --vary synthesis.deadline_s=[0.5,2],[1,4] \
    --seeds 3 --duration 10 --schedulers flat,fcfs";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("scenario.toml", SCENARIO);
    folder
}

fn words<'w>(command: &'w str, more: &[&'w str]) -> Vec<&'w str> {
    command.split_whitespace().chain(more.iter().copied()).collect()
}

/// Every file of a folder but its runs.
fn results(folder: &Folder, name: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder.path().join(name)).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn runs(path: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(path.join("runs")).into_iter().flatten().map(Result::unwrap);
    names.map(|entry| entry.file_name().into_string().unwrap()).filter(|name| name.ends_with(".json")).collect()
}

fn rows(csv: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = csv.lines().map(|line| {
        let (mut cells, mut quoted) = (vec![String::new()], false);
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                c => cells.last_mut().unwrap().push(c),
            }
        }
        cells
    });
    let header = lines.next().unwrap();
    let row = |cells: Vec<String>| {
        assert_eq!(cells.len(), header.len());
        header.iter().cloned().zip(cells).collect()
    };
    lines.map(row).collect()
}

#[test]
fn files_are_the_same_on_any_number_of_threads_and_the_grid_is_full() {
    let folder = folder();
    let one = folder.ok(&words(GRID, &["--threads", "1", "--out", "one"]));
    let four = folder.ok(&words(GRID, &["--threads", "4", "--out", "deep/four"]));
    assert_eq!(text_of(&one), text_of(&four));
    let files = results(&folder, "one");
    assert_eq!(files, results(&folder, "deep/four"));
    let names = ["goodput.svg", "in-time.svg", "latency.svg", "regret.svg", "report.md", "runs.csv", "sweep.csv"];
    assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), names);
    assert_eq!(runs(&folder.path().join("one")).len(), 24);

    let table = rows(&folder.text("one/sweep.csv"));
    let point = |row: &BTreeMap<String, String>| {
        ["arrivals.rate_per_s", "synthesis.deadline_s", "scheduler"].map(|key| row[key].clone()).join(" ")
    };
    let points: BTreeSet<String> = table.iter().map(point).collect();
    assert_eq!((table.len(), points.len()), (8, 8));
    assert!(points.contains("8 [1,4] fcfs"), "{points:?}");
    let report = folder.text("one/report.md");
    assert!(report.contains("--out DIR\n") && !report.contains("--threads"), "{report}");
    assert!(names[..4].iter().all(|name| report.contains(&format!("({name})"))), "{report}");
}

#[test]
fn estimates_are_those_of_the_runs() {
    let folder = folder();
    folder.ok(&words(GRID, &["--out", "out"]));
    let (table, all) = (rows(&folder.text("out/sweep.csv")), rows(&folder.text("out/runs.csv")));
    assert_eq!(all.len(), 24);
    let mut compared = 0;
    for row in &table {
        let same = |run: &&BTreeMap<String, String>| {
            ["arrivals.rate_per_s", "synthesis.deadline_s", "scheduler"].iter().all(|&key| run[key] == row[key])
        };
        let own: Vec<_> = all.iter().filter(same).collect();
        assert_eq!(own.iter().map(|run| run["seed"].as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
        for metric in ["goodput_per_s", "in_time_percent", "latency_p95_s", "mean_batch_requests", "regret_percent"] {
            let x: Vec<f64> = own.iter().map(|run| run[metric].parse().unwrap()).collect();
            let mean = (x[0] + x[1] + x[2]) / 3.0;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2.0;
            // The 97.5 % quantile of Student's t with two degrees of freedom.
            let half_width = 4.303 * (variance / 3.0).sqrt();
            let told = |name: &str| row[name].parse::<f64>().unwrap();
            assert!((told(metric) - mean).abs() <= 1e-12 * mean.abs(), "{metric}: {mean} in {row:?}");
            let ci = told(&format!("{metric}_ci95"));
            assert!((ci - half_width).abs() <= 1e-9 * half_width.max(1e-3), "{metric}: {half_width} in {row:?}");
            compared += 1;
        }
        for run in own {
            let count = |key: &str| run[key].parse::<u64>().unwrap();
            let infeasible: u64 = run
                .keys()
                .filter(|key| key.starts_with("infeasible_") && !key.ends_with("percent"))
                .map(|key| count(key))
                .sum();
            let ended = count("in_time") + count("late") + count("expired") + count("refused") + count("unfinished");
            assert_eq!(ended + infeasible, count("arrived"));
            assert_eq!(run["goodput_per_s"].parse::<f64>().unwrap(), count("in_time") as f64 / 10.0);
        }
    }
    assert_eq!(compared, 40);
}

#[test]
fn a_damaged_sweep_is_made_whole_again() {
    let folder = folder();
    let stdout = folder.ok(&words(GRID, &["--out", "out"]));
    let (files, kept) = (results(&folder, "out"), runs(&folder.path().join("out")));
    let names: Vec<String> = kept.iter().map(|name| format!("out/runs/{name}")).collect();
    let run_files: Vec<Vec<u8>> = names.iter().map(|name| folder.read(name)).collect();
    // Gone, cut, emptied, of another run, and no JSON; the rest counts.
    fs::remove_file(folder.path().join(&names[0])).unwrap();
    folder.write(&names[1], &run_files[1][..run_files[1].len() / 2]);
    folder.write(&names[2], "");
    folder.write(&names[3], &run_files[4]);
    folder.write(&names[5], "hello");
    folder.write("out/runs/other.json", "{}");
    fs::remove_file(folder.path().join("out/sweep.csv")).unwrap();
    let again = folder.run(&words(GRID, &["--out", "out"]));
    assert_eq!(
        (again.status.code(), text_of(&again.stderr)),
        (Some(0), "19 of 24 runs are there already\n".to_string())
    );
    assert_eq!(text_of(&again.stdout), text_of(&stdout));
    assert_eq!(results(&folder, "out"), files);
    for (name, bytes) in names.iter().zip(&run_files) {
        assert!(folder.read(name) == *bytes, "{name}");
    }
    // Nobody believes another digit, though the key fits and all of it can be read.
    let forged = text_of(&run_files[0]).replacen("\"largest_batch\": ", "\"largest_batch\": 7", 1);
    folder.write(&names[0], forged);
    let forged = folder.run(&words(GRID, &["--out", "out"]));
    assert_eq!(text_of(&forged.stderr), "23 of 24 runs are there already\n");
    assert_eq!(text_of(&forged.stdout), text_of(&stdout));
    assert!(results(&folder, "out") == files && folder.read(&names[0]) == run_files[0]);
    let afresh = folder.ok(&words(GRID, &["--out", "out", "--restart"]));
    assert_eq!(text_of(&afresh), text_of(&stdout));
    assert_eq!(results(&folder, "out"), files);
    // One more value: the runs of the others stay.
    let more = GRID.replace("=2,8", "=2,8,9");
    let more = folder.run(&words(&more, &["--out", "out"]));
    assert_eq!(text_of(&more.stderr), "24 of 36 runs are there already\n");
}

#[test]
fn a_sweep_that_is_killed_goes_on() {
    let folder = folder();
    // Some seconds, so that it is killed in the middle also where the machine is busy.
    let command = "sweep --vary arrivals.rate_per_s=20..60:20 --seeds 6 --duration 5000 --scenario scenario.toml \
        --threads 1";
    let path = folder.path().join("out");
    let mut child =
        folder.command(&words(command, &["--out", "out"])).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while runs(&path).len() < 3 {
        assert!(child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = runs(&path);
    assert!(done.len() >= 3 && done.len() < 18 && !path.join("sweep.csv").exists(), "{done:?}");
    let again = folder.run(&words(command, &["--out", "out"]));
    assert_eq!(
        (again.status.code(), text_of(&again.stderr)),
        (Some(0), format!("{} of 18 runs are there already\n", done.len()))
    );
    let whole = folder.ok(&words(command, &["--out", "whole"]));
    assert_eq!(text_of(&again.stdout), text_of(&whole));
    assert_eq!(results(&folder, "out"), results(&folder, "whole"));
    assert_eq!(runs(&path), runs(&folder.path().join("whole")));
}

#[test]
fn json_and_traces() {
    let folder = folder();
    let trace: String = (0..200).map(|i| format!("{},{},{}\n", f64::from(i) * 0.1, 20 + i, 5 + i % 30)).collect();
    let write = |from: &str, to: &str| {
        folder
            .write("trace.csv", format!("arrived_at,num_prefill_tokens,num_decode_tokens\n{trace}").replace(from, to));
    };
    let command = "sweep --trace trace.csv --scenario scenario.toml --vary node.compute_flops=1e12..4e12:x2 --seeds 2 \
        --format json --out out";
    write("", "");
    let json: serde_json::Value = serde_json::from_slice(&folder.ok(&words(command, &[]))).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), 3);
    assert_eq!(json["axes"][0]["values"][2], "4e12");
    assert_eq!(json["rows"][0]["metrics"]["goodput_per_s"]["values"], 2);
    assert_eq!(json["seeds"], 2);
    // The trace is known by what is in it.
    fs::copy(folder.path().join("trace.csv"), folder.path().join("copy.csv")).unwrap();
    let copy = folder.run(&words(&command.replace("trace.csv", "copy.csv"), &[]));
    assert_eq!(text_of(&copy.stderr), "6 of 6 runs are there already\n");
    write("\n0.1,21,6\n", "\n0.1,22,6\n");
    folder.ok(&words(command, &[]));
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_runs() {
    let folder = folder();
    folder.write("file", "");
    let long = "--vary node.compute_flops=1e13 --vary node.memory_bytes=1e10..2e10:1e6";
    for (options, message) in [
        ("--vary node.memory=1", "--vary node.memory: unknown key; the keys of [node] are preset"),
        ("--vary nodes.memory_bytes=1", "--vary nodes.memory_bytes: unknown table"),
        ("--vary node=1", "--vary node: not a key of a table"),
        ("--vary node.memory_bytes", "--vary: 'node.memory_bytes' has no ="),
        ("--vary node.memory_bytes=2e9..1e9:1e8", "--vary node.memory_bytes: '2e9..1e9:1e8': the range ends before"),
        ("--vary node.memory_bytes=1e10,2e10,-3", "--vary node.memory_bytes: -3 is negative; give bytes"),
        ("--vary qos.0.share=1", "--vary qos.0.share: the file has 0 [[qos]]"),
        ("--vary synthesis.seed=1,2", "--vary synthesis.seed: every point is run with the seeds"),
        (
            "--vary node.memory_bytes=1e12,1e3",
            "--vary node.memory_bytes: with node.memory_bytes = 1e3: the weights of custom",
        ),
        (
            "--vary quantization.preset=w8a16 --vary model.preset=bloom-3b --vary quantization.preset=w8a16",
            "--vary quantization.preset: the key is varied twice",
        ),
        (
            "--vary node.memory_bytes=1e12 --set node.memory_bytes=1e9",
            "--vary node.memory_bytes: --set gives the key too",
        ),
        ("--vary arrivals.process=poisson,gamma", "--vary arrivals.process, arrivals.cv: the key is missing"),
        ("--vary node.memory_bytes=1e12 --set node.memory=1", "--set node.memory: unknown key"),
        (long, "--vary: 10001 points × 1 schedulers × 10 seeds are 100010 runs; give fewer: at most 100000 runs"),
        ("--vary node.memory_bytes=1e12 --seeds 0", "--seeds: 0 seeds; give 1 to 10000"),
        ("--vary node.memory_bytes=1e12 --schedulers x", "--schedulers: unknown name 'x'"),
        ("--vary node.memory_bytes=1e12 --duration -1", "--duration: -1 is negative"),
        ("--vary node.memory_bytes=1e12 --merge-cells 2", "--merge-cells: it is for traces"),
        ("", "the following required arguments were not provided: --vary"),
    ] {
        let command = format!("sweep --scenario scenario.toml --out out {options}");
        let refused = folder.refused(&words(&command, &[]));
        assert!(refused.starts_with(message), "{refused}\n{message}");
    }
    let refused = folder.refused(&words(GRID, &["--out", "file"]));
    assert!(refused.starts_with("file: cannot write: it is not a directory"), "{refused}");
    folder.write("bad.toml", SCENARIO.replace("heads = 32", "heads = x"));
    let refused = folder.refused(&words(&GRID.replace("scenario.toml", "bad.toml"), &["--out", "out"]));
    assert!(refused.starts_with("bad.toml, line 4: "), "{refused}");
}
