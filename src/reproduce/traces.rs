//! Schedulers on real traces: regret, and what of them an edge node can serve at all.

use std::path::Path;
use std::sync::Arc;

use super::beyond::{IN_USE, REGRET_HEADER, regret_cells};
use super::paper::{READINGS, quantization, settings, throughput_axis};
use super::{Claim, Measured, Section, Study, Table, Target, Verdict, bar_set, number, percent};
use crate::error::{Place, Result};
use crate::experiment::Job;
use crate::experiment::statistics::Comparison;
use crate::instance::Reason;
use crate::report::plot::{Axis, Bars, Panel, Plot};
use crate::scenario::{Padding, Scenario, preset};
use crate::simulation::{self, BatchTime, Settings};
use crate::solver::{Method, Solver};
use crate::workload::arrivals::Recording;
use crate::workload::source::{self, Source};
use crate::workload::trace::Trace;

/// (time compression, merged cells).
const LOADS: [(f64, u32); 3] = [(1.0, 1), (1.0, 4), (4.0, 4)];
/// How long a batch may compute.
const BATCH_TIMES: [BatchTime; 2] = [BatchTime::Deadline, BatchTime::Epoch];

fn load((compression, cells): (f64, u32)) -> String {
    match (compression, cells) {
        (1.0, 1) => "native".to_string(),
        (1.0, _) => format!("scaled: {cells} cells merged"),
        _ => format!("scaled: {cells} cells merged, time ÷ {compression}"),
    }
}

fn ends(batch_time: BatchTime) -> &'static str {
    match batch_time {
        BatchTime::Deadline => "by its deadline",
        BatchTime::Epoch => "with its epoch",
    }
}

/// One NVIDIA L4 serving Qwen2.5-7B with 8-bit weights, ragged batches, interactive users at a mean path loss of 110
/// dB.
fn node(seed: u64) -> Scenario {
    let mut scenario = Scenario::paper();
    let name = "qwen2.5-7b";
    if let (Some(model), Some(node)) = (preset::model(name), preset::node("nvidia-l4")) {
        (scenario.model, scenario.node) = (model, node);
    }
    scenario.quantization = quantization("w8a16", name);
    scenario.padding = Padding::None;
    scenario.synthesis.seed = seed;
    scenario.synthesis.deadline_s = (3.0, 15.0);
    scenario.synthesis.mean_channel_power_gain = 1e-11;
    scenario
}

struct Replay {
    name: String,
    recording: Arc<Recording>,
    load: (f64, u32),
}

type Point<'r> = (&'r Replay, BatchTime, Method);

pub(super) fn traces(study: &Study<'_>) -> Result<Section> {
    let mut replays = Vec::new();
    for path in &study.effort.traces {
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        if replays.iter().any(|replay: &Replay| replay.name == name) {
            let place = Place::file("--traces").field(path.display().to_string());
            return Err(place.error(format!("a second trace called {name}"), "give each trace a name of its own"));
        }
        let trace = read(path)?;
        for load in LOADS {
            let recording = Arc::new(trace.recording(load.0, load.1)?);
            replays.push(Replay { name: name.clone(), recording, load });
        }
    }
    let mut points: Vec<Point<'_>> = Vec::new();
    for replay in &replays {
        for batch_time in BATCH_TIMES {
            points.extend(IN_USE.map(|method| (replay, batch_time, method)));
        }
    }
    let measured = study.measure(points, |&(replay, batch_time, method), seed| {
        let duration_s = replay.recording.duration_ns() as f64 / 1e9;
        let settings = Settings { regret: true, duration_s, batch_time, ..settings(study.effort, READINGS[0]) };
        let source = simulation::Source::Recorded(replay.recording.clone());
        Job { source, ..Job::new(node(seed), settings, Solver::new(method)) }
    })?;
    Ok(Section {
        target: Target::Traces,
        title: "Real traces".to_string(),
        setup: format!(
            "Each trace over its whole length on one NVIDIA L4 (121 TFLOP/s, 24 GB; the data sheet's peak) with Qwen2.5-7B at \
             W8A16, ragged batches, epochs of 2 s with slots of 0.25 s, 20 MHz each way at a mean path loss of 110 dB. Arrival \
             times and lengths are the trace's; latency requirements (uniform in 3 to 15 s), channels (Rayleigh) and accuracy \
             requirements are synthesised; means over seeds 1 to {}, ± 95 % confidence. \"Scaled\" loads are not what was \
             recorded. A batch may compute until the tightest deadline in it, and then the epochs that it outlasts are passed \
             over (\"{}\"), or must leave the node free for the next epoch (\"{}\").",
            study.effort.seeds,
            ends(BATCH_TIMES[0]),
            ends(BATCH_TIMES[1])
        ),
        claims: BATCH_TIMES.map(|batch_time| largest_serves_most(&measured, batch_time)).to_vec(),
        remarks: vec![
            "Regret compares a batch with the largest one of the same queue; throughputs compare whole runs, each with the \
             queues that its own choices left. The two differ: P1 maximises one batch, not the rate."
                .to_string(),
        ],
        tables: vec![
            by_scheduler(
                &measured,
                "traces-throughput",
                "Requests answered in time per second.",
                |m| number(m.goodput().mean()),
            ),
            by_scheduler(
                &measured,
                "traces-regret",
                "Regret: requests missed against the largest batch of each epoch's own queue, of what those batches hold.",
                |m| regret_cells(&m.runs)[1].clone(),
            ),
            schedulers(&measured),
            infeasible(&measured),
        ],
        plots: vec![("traces".to_string(), plot(&measured))],
    })
}

/// Whether the exact scheduler serves as many as each of the others, over whole runs.
fn largest_serves_most(measured: &[Measured<Point<'_>>], batch_time: BatchTime) -> Claim {
    let all = || measured.chunks(IN_USE.len()).filter(|all| all[0].point.1 == batch_time);
    let others = |all: &[Measured<Point<'_>>]| all[1..].iter().map(|m| m.goodput()).collect::<Vec<_>>();
    let ahead = |all: &&[Measured<Point<'_>>]| {
        let exact = all[0].goodput();
        others(all).iter().any(|other| other.compare(&exact) == Comparison::Larger)
    };
    let points = all().flat_map(|all| others(all).into_iter().map(|other| all[0].goodput().compare(&other)));
    Claim::ours(
        &format!(
            "a scheduler of the largest batches serves the most over time, where a batch ends {}",
            ends(batch_time)
        ),
        format!("on {} of {} loads another scheduler serves more", all().filter(ahead).count(), all().count()),
        Verdict::at_least(points),
    )
}

fn schedulers(measured: &[Measured<Point<'_>>]) -> Table {
    let mut header = vec![
        "trace",
        "load",
        "a batch ends",
        "scheduler",
        "in time, requests/s",
        "± 95 %",
        "in time",
        "against the exact scheduler",
        "p95 latency, s",
    ];
    header.extend(REGRET_HEADER);
    let mut table = Table::new("traces", "Schedulers on real traces.", &header);
    for all in measured.chunks(IN_USE.len()) {
        let exact = all[0].goodput().mean();
        for m in all {
            let (replay, batch_time, method) = m.point;
            let y = m.goodput().estimate();
            let mut cells = vec![
                replay.name.clone(),
                load(replay.load),
                ends(batch_time).to_string(),
                method.to_string(),
                number(y.mean),
                number(y.half_width),
                percent(m.estimate(|s| s.counts.attainment()).mean),
                percent(y.mean / exact),
                number(m.estimate(|s| s.latency.p95_s).mean),
            ];
            cells.extend(regret_cells(&m.runs));
            table.push(cells);
        }
    }
    table
}

/// A line for each load, a column for each scheduler.
fn by_scheduler(
    measured: &[Measured<Point<'_>>],
    name: &str,
    caption: &str,
    cell: impl Fn(&Measured<Point<'_>>) -> String,
) -> Table {
    let mut table = Table::new(name, caption, &["trace", "load", "a batch ends"]);
    table.header.extend(IN_USE.iter().map(Method::to_string));
    for all in measured.chunks(IN_USE.len()) {
        let (replay, batch_time, _) = all[0].point;
        let about = [replay.name.clone(), load(replay.load), ends(batch_time).to_string()];
        table.push(about.into_iter().chain(all.iter().map(&cell)));
    }
    table
}

/// Who can never be served follows from the request and the node alone. A limit on the computation may add to them, so
/// runs without one are looked at.
fn infeasible(measured: &[Measured<Point<'_>>]) -> Table {
    let reasons = &Reason::ALL[..Reason::ALL.len() - 1];
    let mut table = Table::new(
        "traces-infeasible",
        "Requests that the node could never have served, by the first reason that holds.",
        &["trace", "requests", "never servable"],
    );
    table.header.extend(reasons.iter().map(|reason| format!("by {reason}")));
    for m in measured.iter().filter(|m| (m.point.0.load, m.point.1, m.point.2) == (LOADS[0], BATCH_TIMES[0], IN_USE[0]))
    {
        let arrived = m.sum(|s| s.counts.arrived).max(1) as f64;
        let part = |count: u64| percent(count as f64 / arrived);
        let requests = m.runs.first().map_or(0, |s| s.counts.arrived);
        let all = [m.point.0.name.clone(), requests.to_string(), part(m.sum(|s| s.counts.all_infeasible()))];
        let by_reason = reasons.iter().map(|&reason| part(m.sum(|s| s.counts.infeasible[reason as usize])));
        table.push(all.into_iter().chain(by_reason));
    }
    table
}

fn plot(measured: &[Measured<Point<'_>>]) -> Plot {
    let panel = |of: (f64, u32), batch_time: BatchTime| {
        let here: Vec<_> = measured.iter().filter(|m| (m.point.0.load, m.point.1) == (of, batch_time)).collect();
        let set = |method: Method| {
            let of_method = here.iter().filter(|m| m.point.2 == method).map(|m| m.goodput());
            bar_set(method.name(), &of_method.collect::<Vec<_>>())
        };
        let categories = here.iter().filter(|m| m.point.2 == Method::Flat).map(|m| m.point.0.name.clone()).collect();
        Panel {
            title: format!("{}; a batch ends {}", load(of), ends(batch_time)),
            bars: Some(Bars { categories, sets: IN_USE.map(set).to_vec(), stacked: false }),
            ..Panel::default()
        }
    };
    Plot {
        title: "Schedulers on real traces".to_string(),
        caption: vec![
            "Qwen2.5-7B at W8A16 on one NVIDIA L4, ragged batches, latency requirements of 3 to 15 s, Rayleigh fading. \
             `dftsp reproduce traces`"
                .to_string(),
        ],
        x: Axis::default(),
        y: throughput_axis(),
        panels: LOADS.into_iter().flat_map(|of| BATCH_TIMES.map(|batch_time| panel(of, batch_time))).collect(),
    }
}

fn read(path: &Path) -> Result<Trace> {
    match source::read_path(path)? {
        Source::Trace(trace) => Ok(trace),
        Source::Requests(_) => {
            let place = Place::file(path.display().to_string());
            Err(place.error("these are requests without arrival times", "give a trace (Azure, Mooncake or Vidur)"))
        }
    }
}
