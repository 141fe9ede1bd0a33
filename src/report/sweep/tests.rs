use super::*;
use crate::experiment::sweep::{Base, Entrant, Plan, Store};
use crate::generate::{Generator, Spec};
use crate::scenario::file;
use crate::simulation::{CostModel, Settings, Source};
use crate::solver::{Method, Solver};

/// A sweep of the embedded scenario, run.
fn with_report<T>(axes: &[&str], seeds: u64, regret: bool, then: impl FnOnce(&Report<'_>) -> T) -> T {
    let scenario = Generator::new(Spec::embedded()).unwrap().scenario().clone();
    let base = Base { text: file::to_toml(&scenario), name: "s".to_string(), model: None, overrides: Vec::new() };
    let settings = Settings { duration_s: 4.0, regret, ..Settings::default() };
    let entrant = |method: Method| Entrant {
        name: method.name().to_string(),
        options: String::new(),
        solver: Solver::new(method),
    };
    let plan = Plan {
        axes: axes.iter().map(|text| Axis::parse(text).unwrap()).collect(),
        entrants: [Method::Flat, Method::FirstCome].map(entrant).to_vec(),
        seeds,
        source: Source::Generated,
        settings,
        engine: CostModel::default(),
    };
    let sweep = Sweep::new(&base, plan).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let rows = sweep.run(vec![None; sweep.runs()], &Store::new(folder.path()), &|| {}).unwrap();
    let run = Run {
        scenario: "a scenario".to_string(),
        arrivals: "arrivals".to_string(),
        needs: "needs".to_string(),
        scaled: None,
        seed: 1,
        settings,
        epoch: scenario.epoch.clone(),
        slowdown: 1.0,
        node_limit: None,
        command: "dftsp sweep".to_string(),
        assumptions: vec!["something".to_string()],
    };
    then(&Report { sweep: &sweep, rows, run })
}

#[test]
fn every_form_has_every_row() {
    with_report(&["arrivals.rate_per_s=1,10", "synthesis.deadline_s=[0.5,2],[2,4]"], 2, true, |report| {
        let text = to_text(report);
        assert!(text.contains("varied: arrivals.rate_per_s = 1, 10\nvaried: synthesis.deadline_s = [0.5,2], [2,4]\n"));
        assert!(text.contains("runs: 16: 4 points, 2 schedulers, seeds 1 to 2, each with 4 s of arrivals at 1 node"));
        assert_eq!(text.matches(" [2,4]  ").count(), 4, "{text}");
        assert!(text.contains("arrivals: arrivals (first point)\nrequests: needs (first point)\n"), "{text}");
        assert!(text.contains(" infeasible % ") && !text.contains("refused %"), "{text}");
        assert!(text.contains("of requests that were answered\n"), "{text}");
        let points = csv::points(report);
        assert_eq!(points.lines().count(), 9);
        assert!(points.lines().nth(1).unwrap().starts_with("1,\"[0.5,2]\",flat,2,"), "{points}");
        let runs = csv::runs(report);
        assert_eq!(runs.lines().count(), 17);
        for csv in [points, runs] {
            let cells = |line: &str| line.replace("[0.5,2]", "").replace("[2,4]", "").split(',').count();
            let all: Vec<usize> = csv.lines().map(cells).collect();
            assert!(all.iter().all(|&n| n == all[0]), "{csv}");
        }
        let json: serde_json::Value = serde_json::from_str(&to_json(report)).unwrap();
        assert_eq!(json["rows"].as_array().unwrap().len(), 8);
        assert!(json["rows"][0]["metrics"]["goodput_per_s"]["half_width"].is_number());
        let markdown = to_markdown(report, &[("goodput.svg", "Goodput")]);
        assert_eq!(markdown.matches("| fcfs").count(), 4, "{markdown}");
        assert!(markdown.contains("![Goodput](goodput.svg)") && markdown.contains("```toml\n[model]"));
    });
}

#[test]
fn one_seed_has_no_interval_and_no_regret_no_column() {
    with_report(&["arrivals.rate_per_s=1..40:1"], 1, false, |report| {
        let text = to_text(report);
        assert!(!text.contains('±') && !text.contains("regret"), "{text}");
        assert!(text.contains("= 1, 2, …, 40 (40 values)"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&to_json(report)).unwrap();
        assert!(json["rows"][0]["metrics"]["goodput_per_s"]["half_width"].is_null());
        assert!(to_markdown(report, &[]).contains("80 rows. `sweep.csv`"));
        let header: Vec<String> = csv::points(report).lines().next().unwrap().split(',').map(String::from).collect();
        let at = header.iter().position(|name| name == "goodput_per_s_ci95").unwrap();
        assert!(csv::points(report).lines().skip(1).all(|line| line.split(',').nth(at) == Some("")));
    });
}

#[test]
fn a_scaled_trace_is_labelled_wherever_its_numbers_are() {
    const LABEL: &str = "scaled: time compressed 2 times, 3 cells merged";
    with_report(&["node.memory_bytes=3e9,4e9"], 1, true, |report| {
        assert!(csv::points(report).lines().skip(1).chain(csv::runs(report).lines().skip(1)).all(|l| l.ends_with(',')));
        let run = Run { scaled: Some(LABEL.to_string()), ..report.run.clone() };
        let scaled = Report { sweep: report.sweep, rows: report.rows.clone(), run };
        for csv in [csv::points(&scaled), csv::runs(&scaled)] {
            let mut lines = csv.lines();
            assert!(lines.next().unwrap().ends_with(",scaled"), "{csv}");
            assert!(lines.all(|line| line.ends_with(&format!(",\"{LABEL}\""))), "{csv}");
        }
        assert!(to_text(&scaled).contains(LABEL) && to_json(&scaled).contains(LABEL));
        #[cfg(feature = "plots")]
        assert!(plots(&scaled).unwrap().iter().all(|(_, _, svg)| svg.contains(LABEL)));
    });
}

#[cfg(feature = "plots")]
#[test]
fn plots_are_lines_over_numbers_and_bars_over_names() {
    with_report(&["arrivals.rate_per_s=1,10", "node.memory_bytes=3e9..10e9:1e9"], 2, true, |report| {
        let drawn = plots(report).unwrap();
        let files: Vec<&str> = drawn.iter().map(|plot| plot.0).collect();
        assert_eq!(files, ["goodput.svg", "in-time.svg", "latency.svg", "regret.svg"]);
        assert!(drawn[0].2.contains("6 of 8 values of node.memory_bytes are shown"), "{}", drawn[0].2);
    });
    with_report(&["batching.padding=none,longest"], 1, false, |report| {
        let drawn = plots(report).unwrap();
        assert_eq!(drawn.len(), 3);
        assert!(drawn[0].2.contains("longest") && drawn[0].2.contains("batching.padding"));
    });
}
