//! The paper's open parameters varied, and which constraint binds in its setting.

use super::beyond::{BINDING_NODE, binding_node};
use super::figures::RATE;
use super::paper::{LONG_READINGS, READINGS, Reading, Scheduler, quantization, scenario, setting, settings};
use super::{Claim, Measured, Sample, Section, Study, Table, Target, Verdict, number, percent};
use crate::error::Result;
use crate::experiment::Job;
use crate::outcome::CONSTRAINTS;
use crate::report::plot::{Axis, BarSet, Bars, Panel, Plot};
use crate::scenario::{Padding, Scenario};
use crate::solver::{Method, Solver};
use crate::workload::synthesis::ChannelModel;

/// One thing changed against Fig. 5(a) at [`RATE`].
struct Variant {
    what: &'static str,
    reading: Reading,
    change: fn(&mut Scenario),
    /// Of StB, if not the worst-case size.
    size: Option<usize>,
}

fn variants() -> Vec<Variant> {
    let plain: fn(&mut Scenario) = |_| {};
    let of = |what, reading, change, size| Variant { what, reading, change, size };
    let [arrival, epoch, _, epoch_outlasting] = LONG_READINGS;
    vec![
        of("as in Fig. 5(a)", arrival, plain, None),
        of("deadlines count from the epoch after the arrival", epoch, plain, None),
        of("β = 0.5 (8 bits compute twice as fast)", arrival, |s| s.quantization.time_factor = 0.5, None),
        of("StB of 2", arrival, plain, Some(2)),
        of("StB of 4", arrival, plain, Some(4)),
        of("StB of 8", arrival, plain, Some(8)),
        of("StB of 8, deadlines from the epoch", epoch, plain, Some(8)),
        of("ΔPPL of W8A16 is 0.2", arrival, |s| s.quantization.perplexity_increase = 0.2, None),
        of("users fade independently", arrival, |s| s.synthesis.channel = ChannelModel::Rayleigh, None),
        of("prompts are not padded", arrival, |s| s.padding = Padding::None, None),
        of("epochs of 1 s", arrival, |s| s.epoch.duration_s = 1.0, None),
        of("latency requirements of 2 to 8 s", arrival, |s| s.synthesis.deadline_s = (2.0, 8.0), None),
        of(
            "the same, batches may outlast their epoch",
            LONG_READINGS[2],
            |s| s.synthesis.deadline_s = (2.0, 8.0),
            None,
        ),
        of("all latency requirements 2.5 s, from the epoch", epoch, |s| s.synthesis.deadline_s = (2.5, 2.5), None),
        of(
            "the same, batches may outlast their epoch",
            epoch_outlasting,
            |s| s.synthesis.deadline_s = (2.5, 2.5),
            None,
        ),
    ]
}

pub(super) fn sensitivity(study: &Study<'_>) -> Result<Section> {
    let variants = variants();
    let points: Vec<(usize, Scheduler)> =
        (0..variants.len()).flat_map(|at| Scheduler::ALL.map(|scheduler| (at, scheduler))).collect();
    let measured = study.measure(points, |&(at, scheduler), seed| {
        let variant = &variants[at];
        let mut scenario = scenario("bloom-3b", quantization("w8a16", "bloom-3b"), RATE, seed);
        (variant.change)(&mut scenario);
        let solver = match scheduler {
            Scheduler::Static => Solver::new(Method::Static { batch_size: variant.size }),
            other => other.solver(),
        };
        Job::new(scenario, settings(study.effort, variant.reading), solver)
    })?;
    let header = ["what is changed", "DFTSP", "± 95 %", "StB", "± 95 %", "NoB", "± 95 %", "DFTSP ≥ StB and NoB"];
    let mut table = Table::new("sensitivity", "Requests answered in time per second, at 50 requests/s.", &header);
    let mut verdicts = Vec::new();
    for (variant, three) in variants.iter().zip(measured.chunks(3)) {
        let values: Vec<Sample> = three.iter().map(Measured::goodput).collect();
        let verdict = Verdict::at_least(values[1..].iter().map(|other| values[0].compare(other)));
        verdicts.push(verdict);
        let mut cells = vec![variant.what.to_string()];
        cells.extend(values.iter().map(Sample::estimate).flat_map(|v| [number(v.mean), number(v.half_width)]));
        cells.push(verdict.as_str().to_string());
        table.push(cells);
    }
    let count = verdicts.iter().filter(|&&verdict| verdict == Verdict::Holds).count();
    Ok(Section {
        target: Target::Sensitivity,
        title: "What the paper leaves open".to_string(),
        setup: format!(
            "BLOOM-3B at W8A16, {RATE} requests/s, on {}; latency requirements uniform in 0.5 to 2 s from the arrival, and \
             batches that end with their epoch, where nothing else is said; {}.",
            setting(),
            study.how_long()
        ),
        claims: vec![Claim::paper(
            "DFTSP serves at least as many as StB and NoB, whatever is assumed",
            format!("in {count} of {} settings", verdicts.len()),
            Verdict::over(verdicts.into_iter()),
        )],
        remarks: vec![
            "The largest batch of an epoch is not the best for the sum of all epochs: neither what it leaves in the queue \
             nor how long it computes is weighed. Where batches may outlast their epoch, that can cost more than the larger \
             batch brings."
                .to_string(),
        ],
        tables: vec![table],
        plots: Vec::new(),
    })
}

pub(super) fn binding(study: &Study<'_>) -> Result<Section> {
    let mut points: Vec<(String, Scenario)> = Vec::new();
    for model in ["bloom-3b", "bloom-7.1b", "opt-13b"] {
        for rate in [RATE, 250.0] {
            let name = format!("{model}, {rate} requests/s, the paper's node");
            points.push((name, scenario(model, quantization("w8a16", model), rate, 1)));
        }
    }
    points.push((format!("bloom-3b, {RATE} requests/s, the scaled node"), binding_node(Padding::Fixed(512), 1)?));
    let mut loose = binding_node(Padding::Fixed(512), 1)?;
    loose.synthesis.deadline_s = (2.0, 8.0);
    points.push(("the same, latency requirements of 2 to 8 s".to_string(), loose));
    let papers = points.len() - 2;
    let measured = study.measure(points, |(_, scenario), seed| {
        let mut scenario = scenario.clone();
        scenario.synthesis.seed = seed;
        Job::new(scenario, settings(study.effort, READINGS[0]), Solver::new(Method::Flat))
    })?;
    let mut header = vec!["setting".to_string(), "mean batch".to_string(), "largest".to_string()];
    header.extend(["uplink", "downlink", "memory", "compute"].map(|name| format!("{name} used, %")));
    header.extend(CONSTRAINTS.map(|name| format!("{name} keeps out somebody, % of epochs")));
    header.extend(CONSTRAINTS.map(|name| format!("{name} keeps out the most, %")));
    let mut table = Table {
        name: "binding".to_string(),
        caption: "What is used of each resource (mean over epochs: bands of their slots, memory with weights, compute of the \
                  epoch), in which part of the epochs each constraint keeps somebody out of the batch, and in which it keeps \
                  out the most (the first of equals)."
            .to_string(),
        header,
        rows: Vec::new(),
    };
    let mut bound = Vec::new();
    for m in &measured {
        let epochs = (m.sum(|s| s.total.epochs) - m.sum(|s| s.total.busy)).max(1) as f64;
        let some = |r: usize| 100.0 * m.sum(|s| s.total.blocking[r]) as f64 / epochs;
        let most = |r: usize| 100.0 * m.sum(|s| s.total.binding[r]) as f64 / epochs;
        let used = |r: usize| m.estimate(|s| s.mean_used()[r]).mean;
        let batches = m.sum(|s| s.total.batches).max(1) as f64;
        let mut cells = vec![
            m.point.0.clone(),
            number(m.sum(|s| s.counts.in_time) as f64 / batches),
            m.runs.iter().map(|s| s.largest_batch).max().unwrap_or(0).to_string(),
        ];
        cells.extend((0..4).map(|r| number(100.0 * used(r))));
        cells.extend((0..4).map(|r| number(some(r))));
        cells.extend((0..4).map(|r| number(most(r))));
        table.push(cells);
        bound.push(([0, 1, 2, 3].map(some), [0, 1, 2, 3].map(most), [0, 1, 2].map(used)));
    }
    let idle = bound[..papers].iter().flat_map(|(.., used)| *used).fold(0.0, f64::max);
    let only = bound[..papers].iter().all(|(some, ..)| some[..3].iter().all(|&part| part == 0.0));
    let panel_set = |r: usize| BarSet {
        label: CONSTRAINTS[r].to_string(),
        values: bound.iter().map(|(_, most, _)| most[r]).collect(),
        whiskers: None,
    };
    let categories = measured.iter().map(|m| m.point.0.clone()).collect();
    let plot = Plot {
        title: "Which constraint keeps out the most requests".to_string(),
        caption: vec![format!("Flat (exact); {}. `dftsp reproduce binding`", study.how_long())],
        x: Axis::default(),
        y: Axis {
            label: "% of epochs in which the node is free".to_string(),
            from: Some(0.0),
            to: Some(100.0),
            ..Axis::default()
        },
        panels: vec![Panel {
            bars: Some(Bars { categories, sets: (0..4).map(panel_set).collect(), stacked: true }),
            ..Panel::default()
        }],
    };
    Ok(Section {
        target: Target::Binding,
        title: "Which constraint binds".to_string(),
        setup: format!("The exact scheduler on {}. {BINDING_NODE}. {}.", setting(), study.how_long()),
        claims: vec![Claim::paper(
            "communication, memory and computation are jointly scarce (the premise)",
            format!(
                "in the paper's own setting {} ever keeps a request out; uplink, downlink and memory are used to at most {}",
                if only { "nothing but the deadline" } else { "more than the deadline" },
                percent(idle)
            ),
            Verdict::of(!only),
        )],
        remarks: vec![format!(
            "With the paper's literal parameters the scarcest of radio and memory could hold {} times the batches that the \
             deadline allows. Joint allocation matters on smaller nodes, such as the scaled one.",
            number(1.0 / idle.max(1e-9))
        )],
        tables: vec![table],
        plots: vec![("binding".to_string(), plot)],
    })
}
