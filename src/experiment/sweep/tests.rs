use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::generate::{Generator, Spec};
use crate::solver::Method;
use crate::workload::arrivals::Recording;

fn base() -> Base {
    let embedded = Generator::new(Spec::embedded()).unwrap().scenario().clone();
    Base { text: file::to_toml(&embedded), name: "s".to_string(), model: None, overrides: Vec::new() }
}

fn plan(axes: &[&str]) -> Plan {
    let entrant = |method: Method| Entrant {
        name: method.name().to_string(),
        options: String::new(),
        solver: Solver::new(method),
    };
    Plan {
        axes: axes.iter().map(|text| Axis::parse(text).unwrap()).collect(),
        entrants: [Method::Flat, Method::NoBatching].map(entrant).to_vec(),
        seeds: 2,
        source: Source::Generated,
        settings: Settings { duration_s: 6.0, ..Settings::default() },
        engine: CostModel::default(),
    }
}

#[test]
fn a_grid_has_every_point_once_and_the_last_axis_changes_fastest() {
    let axes = ["arrivals.rate_per_s=5,10", "batching.padding=none,longest", "node.memory_bytes=1e10..3e10:1e10"];
    let sweep = Sweep::new(&base(), plan(&axes)).unwrap();
    let points: Vec<String> =
        sweep.points().iter().map(|point| sweep.values(point).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!((points.len(), sweep.runs()), (12, 48));
    assert_eq!(points[..4], ["5 none 1e10", "5 none 2e10", "5 none 3e10", "5 longest 1e10"]);
    assert_eq!(points.iter().collect::<HashSet<_>>().len(), 12);
    let point = &sweep.points()[11].scenario;
    assert_eq!((point.arrivals.rate_per_s, point.node.memory_bytes), (10.0, 3e10));
    let keys: HashSet<String> = (0..sweep.runs()).map(|run| sweep.key(run)).collect();
    assert_eq!(keys.len(), sweep.runs());
}

#[test]
fn keys_hold_everything_that_a_run_depends_on() {
    let key = |change: &dyn Fn(&mut Base, &mut Plan)| {
        let (mut base, mut plan) = (base(), plan(&["arrivals.rate_per_s=5"]));
        change(&mut base, &mut plan);
        Sweep::new(&base, plan).unwrap().key(0)
    };
    let recording = |tokens: u32, cells: u32| {
        let rows = [(0, 1, tokens), (1_000_000_000, 2, 3)];
        Source::Recorded(Arc::new(Recording::new(rows.into_iter(), 1.0, cells).unwrap()))
    };
    let set = |base: &mut Base, key: &str, value: &str| base.overrides.push((key.to_string(), value.to_string()));
    type Change<'c> = &'c dyn Fn(&mut Base, &mut Plan);
    let varied = |plan: &mut Plan| plan.axes = vec![Axis::parse("node.memory_bytes=4e9").unwrap()];
    let changes: [Change<'_>; 14] = [
        &|_, _| {},
        &|base, _| set(base, "node.compute_flops", "1e14"),
        &|base, _| set(base, "synthesis.deadline_s", "[0.5, 2.5]"),
        &|base, _| set(base, "arrivals.prompt_tokens", "[64]"),
        &|_, plan| plan.settings.duration_s = 7.0,
        &|_, plan| plan.settings.nodes = 2,
        &|_, plan| plan.settings.waiting = Waiting::FromEpoch,
        &|_, plan| plan.settings.overlap = false,
        &|_, plan| plan.settings.queue_limit = 7,
        &|_, plan| plan.settings.regret = false,
        &|_, plan| plan.engine.slowdown = 1.5,
        &|_, plan| plan.entrants[0].options = "nodes 7".to_string(),
        &|_, plan| {
            (plan.source, ()) = {
                varied(plan);
                (recording(5, 1), ())
            }
        },
        &|_, plan| {
            (plan.source, ()) = {
                varied(plan);
                (recording(6, 1), ())
            }
        },
    ];
    let keys: HashSet<String> = changes.iter().map(|change| key(change)).collect();
    assert_eq!(keys.len(), changes.len());
    assert!(!keys.contains(&key(&|_, plan: &mut Plan| {
        varied(plan);
        plan.source = recording(5, 2);
    })));
    // What is assumed, and how many other points there are, changes nothing.
    let same = key(&|_, plan| plan.axes = vec![Axis::parse("arrivals.rate_per_s=5,10").unwrap()]);
    assert!(keys.contains(&same));
}

#[test]
fn mistakes_are_found_before_anything_runs() {
    let refused = |axes: &[&str], change: &dyn Fn(&mut Base, &mut Plan)| {
        let (mut base, mut plan) = (base(), plan(axes));
        change(&mut base, &mut plan);
        Sweep::new(&base, plan).unwrap_err().to_string()
    };
    let rate = "arrivals.rate_per_s=1,2";
    let recording = || Recording::new([(0, 1, 1)].into_iter(), 1.0, 1).unwrap();
    let ends = [
        (refused(&[], &|_, _| {}), "--vary: 0 keys are varied; give 1 to 3"),
        (refused(&[rate, rate], &|_, _| {}), "--vary arrivals.rate_per_s: the key is varied twice"),
        (
            refused(&[rate], &|base, _| base.overrides.push(("arrivals.rate_per_s".to_string(), "3".to_string()))),
            "--vary arrivals.rate_per_s: --set gives the key too",
        ),
        (
            refused(&[rate], &|_, plan| plan.source = Source::Recorded(Arc::new(recording()))),
            "--vary arrivals.rate_per_s: a trace has its own arrivals",
        ),
        (refused(&[rate], &|_, plan| plan.seeds = 0), "--seeds: 0 seeds; give 1 to 10000"),
        (refused(&[rate], &|_, plan| plan.seeds = u64::MAX), "--seeds: 18446744073709551615 seeds"),
        (
            refused(&["node.memory_bytes=1..400:1", "node.compute_flops=1..400:1"], &|_, _| {}),
            "--vary: 160000 points × 2 schedulers × 2 seeds are 640000 runs; give fewer: at most 100000 runs",
        ),
        (refused(&["node.memory=1"], &|_, _| {}), "--vary node.memory: unknown key; the keys of [node]"),
        (refused(&["node.memory_bytes=1e10,-1"], &|_, _| {}), "--vary node.memory_bytes: -1 is negative"),
        (refused(&["model.preset=bloom-3b,x"], &|_, _| {}), "--vary model.preset: unknown preset 'x'"),
        (
            refused(&["node.memory_bytes=1e10,1e3"], &|_, _| {}),
            "--vary node.memory_bytes: with node.memory_bytes = 1e3: the weights of bloom-3b at w8a16 take",
        ),
        (refused(&["node.memory_bytes=1e10,1e3"], &|base, _| base.text.push_str("[x]\n")), "s, line "),
    ];
    for (is, should) in ends {
        assert!(is.starts_with(should), "{is}\n{should}");
    }
}

#[test]
fn what_is_there_is_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (sweep, store) = (Sweep::new(&base(), plan(&["arrivals.rate_per_s=2,9"])).unwrap(), Store::new(folder.path()));
    let made = AtomicUsize::new(0);
    let run = || {
        made.store(0, Ordering::Relaxed);
        let count = || {
            made.fetch_add(1, Ordering::Relaxed);
        };
        let rows = sweep.run(sweep.load(&store), &store, &count).unwrap();
        (rows, made.load(Ordering::Relaxed))
    };
    let (first, all) = run();
    assert_eq!((first.len(), all), (4, 8));
    std::fs::remove_file(store.path(&sweep.key(3))).unwrap();
    let (again, missing) = run();
    assert_eq!(missing, 1);
    for (a, b) in first.iter().zip(&again) {
        assert_eq!((a.point, a.entrant, &a.runs), (b.point, b.entrant, &b.runs));
    }
    let rate = |row: &Row| row.runs.iter().map(|run| run.counts.arrived).collect::<Vec<_>>();
    assert_eq!(rate(&first[0]), rate(&first[1]), "schedulers see the same arrivals");
    let goodput = first[0].estimate(&METRICS[0]).unwrap();
    assert_eq!(goodput.mean, (first[0].runs[0].goodput() + first[0].runs[1].goodput()) / 2.0);
}
