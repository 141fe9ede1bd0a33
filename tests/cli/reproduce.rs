//! `dftsp reproduce`: all targets at little effort, the same bytes every time, and whatever is wrong.

use std::collections::BTreeMap;

use super::support::{Folder, REQUESTS};

const PAPER: [&str; 6] = ["fig5a", "fig5b", "fig6a", "fig6b", "table2", "table3"];
const OWN: [&str; 6] = ["sensitivity", "binding", "fading", "padding", "bursts", "models"];

/// Little enough for a test; verdicts may differ from those of the whole.
const LITTLE: [&str; 4] = ["--seeds", "2", "--duration", "20"];

fn files(folder: &Folder, name: &str) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder.path().join(name)).unwrap().map(Result::unwrap);
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read_to_string(e.path()).unwrap())).collect()
}

fn reproduce(folder: &Folder, targets: &[&str], more: &[&str]) -> String {
    folder.ok_text(&[&["reproduce"], targets, &LITTLE[..], more].concat())
}

#[test]
fn all_is_every_figure_and_table_the_same_on_any_threads() {
    let folder = Folder::new();
    let text = reproduce(&folder, &[], &["--out=a", "--threads=1"]);
    assert_eq!(text.replace("in a\n", "in b\n"), reproduce(&folder, &["all"], &["--out=b", "--threads=3"]));
    let (a, b) = (files(&folder, "a"), files(&folder, "b"));
    assert_eq!(a, b);
    let report = &a["report.md"];
    for target in PAPER.into_iter().chain(OWN) {
        assert!(report.contains(&format!("<a id=\"{target}\"></a>")), "{target}");
    }
    assert!(report.contains("Made by `dftsp reproduce all --out DIR --seeds 2 --duration 20`"), "{report}");
    // Every claim of the terminal is in the report, with its verdict.
    let claims: Vec<&str> = text.lines().filter(|line| !line.starts_with("  ") && line.contains(": ")).collect();
    assert!(claims.len() > 20, "{text}");
    for claim in claims {
        let (_, rest) = claim.split_once(": ").unwrap();
        let (verdict, what) = rest.split_once(": ").unwrap();
        assert!(
            ["holds", "is not refuted", "does not hold", "depends on what the paper leaves open"].contains(&verdict),
            "{claim}"
        );
        assert!(report.contains(what), "{what}");
    }
    // Every file is linked, every linked file is there.
    for (name, text) in &a {
        assert!(name == "report.md" || report.contains(&format!("({name})")), "{name} is not linked");
        if name.ends_with(".svg") {
            assert!(text.contains("</svg>") && text.contains("dftsp reproduce"), "{name}");
            assert!(["per second", "%", "requests"].iter().any(|unit| text.contains(unit)), "{name} has no unit");
        }
        if name.ends_with(".csv") {
            let columns = text.lines().next().unwrap().split(',').count();
            assert!(columns > 2 && text.lines().count() > 1, "{name}");
        }
    }
    for link in report.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(link.starts_with('#') || a.contains_key(link), "{link}");
    }
    for (target, lines) in [("fig5a", 108), ("fig5b", 240), ("fig6a", 48), ("fig6b", 48), ("table2", 12), ("table3", 8)]
    {
        assert_eq!(a[&format!("{target}.csv")].lines().count(), 1 + lines, "{target}");
    }
}

#[test]
fn what_must_hold_holds_at_little_effort() {
    let folder = Folder::new();
    let text = reproduce(&folder, &["fading", "table2", "table3", "fading"], &["--out=out"]);
    for line in [
        "fading: holds: Algorithm 1 finds the largest batch (all users share one channel gain)",
        "table3: holds: pruning saves more than 45 %",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert_eq!(text.matches("all users share one").count(), 1, "a target counts once");
    let names: Vec<String> = files(&folder, "out").into_keys().collect();
    assert_eq!(names, ["fading.csv", "fading.svg", "report.md", "table2.csv", "table3.csv", "table3.svg"]);
}

#[test]
fn a_trace_is_replayed() {
    let folder = Folder::new();
    let rows: String = (0..60).map(|k| format!("{},{},{}\n", f64::from(k) / 4.0, 100 + 50 * k, 1 + 7 * k)).collect();
    folder.write("short.csv", format!("arrived_at,num_prefill_tokens,num_decode_tokens\n{rows}"));
    reproduce(&folder, &["traces"], &["--out=out", "--traces", "short.csv"]);
    let files = files(&folder, "out");
    let traces = &files["traces.csv"];
    assert_eq!(traces.lines().count(), 1 + 3 * 2 * 6, "{traces}");
    assert!(traces.contains("\nshort,native,by its deadline,flat,"), "{traces}");
    assert!(traces.contains("\nshort,\"scaled: 4 cells merged, time ÷ 4\",with its epoch,fcfs,"), "{traces}");
    assert!(files["traces-infeasible.csv"].contains("\nshort,60,"));
    assert!(
        files["report.md"].contains("`dftsp reproduce traces --out DIR --seeds 2 --duration 20 --traces short.csv`")
    );
}

#[test]
fn placements_are_studied_with_what_is_synthetic_named() {
    let folder = Folder::new();
    let text = reproduce(&folder, &["placement"], &["--out=a", "--threads=1"]);
    assert_eq!(text.replace("in a\n", "in b\n"), reproduce(&folder, &["placement"], &["--out=b", "--threads=3"]));
    let (a, b) = (files(&folder, "a"), files(&folder, "b"));
    assert_eq!(a, b);
    let report = &a["report.md"];
    assert!(report.contains("arXiv 2503.01704") && !report.contains("2405.07140"), "{report}");
    for what in ["ratio", "delay", "served"] {
        let (svg, csv) = (&a[&format!("placement-{what}.svg")], &a[&format!("placement-{what}.csv")]);
        assert!(svg.contains("synthetic weight errors") && svg.contains("dftsp reproduce placement"), "{what}");
        assert!(csv.lines().count() > 10 && !csv.contains("NaN"), "{csv}");
    }
    assert_eq!(report.matches("synthetic weight errors)](placement-").count(), 3, "{report}");
    assert!(text.contains("placement: holds: placing and quantising together"), "{text}");
    assert!(!text.contains("does not hold: a larger quality budget makes the delay shorter"), "{text}");
}

#[test]
fn whatever_is_wrong_is_said_before_anything_runs() {
    let folder = Folder::new();
    folder.write("requests.csv", REQUESTS);
    folder.write("file", "");
    for (args, says) in [
        (&["fig7", "--out=o"][..], "reproduce: unknown target 'fig7'; give all, traces, placement, or some of fig5a"),
        (&["traces", "--out=o"], "reproduce traces: no trace is given; give --traces"),
        (&["--traces", "requests.csv", "--out=o"], "--traces: no target needs it"),
        (&["--seeds=1", "--out=o"], "--seeds: 1 seeds; give 2 to"),
        (&["--seeds=10001", "--out=o"], "--seeds: 10001 seeds; give 2 to"),
        (&["--duration=-1", "--out=o"], "--duration: -1 is negative"),
        (&["--duration=nan", "--out=o"], "--duration: not a number"),
        (&["table2", "--out=file"], "file: cannot"),
        (&["traces", "--out=o", "--traces", "requests.csv"], "requests.csv: these are requests without arrival times"),
        (&["traces", "--out=o", "--traces", "none.csv"], "none.csv: cannot open"),
        (&["table2"], "the following required arguments were not provided"),
    ] {
        let said = folder.refused(&[&["reproduce"], args].concat());
        assert!(said.contains(says), "{args:?}: {said}");
    }
}
