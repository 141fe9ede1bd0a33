//! Several models on a node, and large ones.

use super::paper::{LONG_READINGS, quantization, scenario, setting, settings};
use super::{Claim, Measured, Sample, Section, Study, Table, Target, Verdict, number, percent, range};
use crate::error::Result;
use crate::experiment::Job;
use crate::experiment::statistics::Comparison;
use crate::scenario::{Service, preset};
use crate::simulation::{Settings, Summary};
use crate::solver::{Method, Solver};

/// Models of 30 billion parameters and more, at a precision.
const LARGE: [(&str, &str); 6] = [
    ("opt-30b", "w8a16"),
    ("qwen2.5-32b", "w8a16"),
    ("opt-66b", "w8a16"),
    ("llama-3.1-70b", "w8a16"),
    ("qwen2.5-72b", "w8a16"),
    ("bloom-176b", "w8a16"),
];
/// Models that share a node, and which part of the requests is for each.
const TOGETHER: [(&str, f64); 3] = [("bloom-3b", 0.6), ("bloom-7.1b", 0.3), ("opt-13b", 0.1)];

pub(super) fn models(study: &Study<'_>) -> Result<Section> {
    // A request of the large ones alone computes for longer than an epoch.
    let settings = settings(study.effort, LONG_READINGS[2]);
    let large = study.measure(LARGE.to_vec(), |&(model, precision), seed| {
        let mut scenario = scenario(model, quantization(precision, model), 2.0, seed);
        scenario.synthesis.deadline_s = (10.0, 60.0);
        Job::new(scenario, settings, Solver::new(Method::Flat))
    })?;
    let header = [
        "model",
        "precision",
        "throughput, requests/s",
        "± 95 %",
        "in time, %",
        "mean batch",
        "memory used at most, %",
        "p95 latency, s",
    ];
    let mut table = Table::new(
        "models-large",
        "Models of 30 billion parameters and more on the paper's node, at 2 requests/s, latency requirements of 10 to 60 s.",
        &header,
    );
    for m in &large {
        let y = m.goodput().estimate();
        let batches = m.sum(|s| s.total.batches).max(1) as f64;
        let batch = m.sum(|s| s.counts.in_time) as f64 / batches;
        // Memory while a batch computes: epochs that are passed over use what the batch before them does.
        let memory = m.runs.iter().map(|s| s.peak_used[2]).fold(0.0, f64::max);
        let cells = [y.mean, y.half_width, 100.0 * m.estimate(|s| s.counts.attainment()).mean, batch, 100.0 * memory];
        let mut row = vec![m.point.0.to_string(), m.point.1.to_string()];
        row.extend(cells.map(number));
        row.push(number(m.estimate(|s| s.latency.p95_s).mean));
        table.push(row);
    }
    let shared = shared_node(study, settings)?;
    let times = shared.one.iter().zip(&shared.apart).map(|(one, apart)| one.mean() / apart.mean());
    Ok(Section {
        target: Target::Models,
        title: "Several models on a node, and large ones".to_string(),
        setup: format!(
            "The exact scheduler on {}, all models at W8A16; deadlines from the arrival, batches may outlast their epoch; {}.",
            setting(),
            study.how_long()
        ),
        claims: vec![
            Claim::ours(
                "one node for three models serves at least as many requests as three parts of it",
                format!("{} times as many at {} and {} requests/s", range(times), RATES[0], RATES[1]),
                Verdict::at_least(shared.one.iter().zip(&shared.apart).map(|(one, apart)| one.compare(apart))),
            ),
            Claim::ours(
                "and each of the models at least as many as on its own part",
                format!(
                    "of {} pairs {} serve more on the shared node, {} fewer",
                    shared.each.len(),
                    shared.each.iter().filter(|&&c| c == Comparison::Larger).count(),
                    shared.each.iter().filter(|&&c| c == Comparison::Smaller).count()
                ),
                Verdict::at_least(shared.each.iter().copied()),
            ),
        ],
        remarks: vec![
            "Batches of several models are computed one model after another, and the weights of all stay in memory: the \
             paper's approach adapts to several models without change. But P1 counts requests, and one of the large model \
             costs as much as several of the small one: under load the largest batch is one of small requests. Whoever \
             shares a node must weigh requests or reserve a part, which P1 does not express."
                .to_string(),
        ],
        tables: vec![table, shared.table],
        plots: Vec::new(),
    })
}

/// One node for all models against parts of it, by rate.
struct Shared {
    table: Table,
    one: Vec<Sample>,
    apart: Vec<Sample>,
    /// Each model on the shared node against itself on its part.
    each: Vec<Comparison>,
}

/// Arrivals a second at a shared node: what it can nearly serve, and far more.
const RATES: [f64; 2] = [2.0, 20.0];

fn shared_node(study: &Study<'_>, settings: Settings) -> Result<Shared> {
    let deadline_s = (2.0, 8.0);
    let shared = |rate: f64, seed: u64| {
        let own = TOGETHER[0].0;
        let mut s = scenario(own, quantization("w8a16", own), rate, seed);
        s.synthesis.deadline_s = deadline_s;
        s.services = TOGETHER[1..].iter().filter_map(|&(name, share)| service(name, share)).collect();
        s
    };
    let work: Vec<f64> = TOGETHER.iter().map(|&(name, share)| share * weight(name)).collect();
    let parts: Vec<f64> = work.iter().map(|w| w / work.iter().sum::<f64>()).collect();
    let split = |at: usize, rate: f64, seed: u64| {
        let (name, share) = TOGETHER[at];
        let mut s = scenario(name, quantization("w8a16", name), rate * share, seed);
        s.synthesis.deadline_s = deadline_s;
        s.node.compute_flops *= parts[at];
        s.node.memory_bytes *= parts[at];
        s.radio.uplink_bandwidth_hz *= parts[at];
        s.radio.downlink_bandwidth_hz *= parts[at];
        s
    };
    let nodes = || std::iter::once(None).chain((0..TOGETHER.len()).map(Some));
    let points: Vec<(f64, Option<usize>)> = RATES.iter().flat_map(|&rate| nodes().map(move |at| (rate, at))).collect();
    let measured = study.measure(points, |&(rate, at), seed| {
        let scenario = at.map_or_else(|| shared(rate, seed), |at| split(at, rate, seed));
        Job::new(scenario, settings, Solver::new(Method::Flat))
    })?;
    let header = [
        "arrival rate, requests/s",
        "node",
        "model",
        "share of requests",
        "throughput, requests/s",
        "± 95 %",
        "in time, %",
    ];
    let mut table = Table::new(
        "models-shared",
        "Three models on one node, with shared memory, bands and compute, or each on its own part of the node (in proportion \
         to its work). Latency requirements of 2 to 8 s.",
        &header,
    );
    let (mut one, mut apart, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for all in measured.chunks(1 + TOGETHER.len()) {
        let rate = all[0].point.0;
        for m in all {
            let models = m.point.1.map_or(0..TOGETHER.len(), |at| at..at + 1);
            for (place, at) in models.enumerate() {
                let (name, share) = TOGETHER[at];
                let here = |s: &Summary| s.models.get(place).map_or(0.0, |p| p.counts.in_time as f64 / s.duration_s);
                let part = |s: &Summary| s.models.get(place).map_or(0.0, |p| p.counts.attainment());
                let node =
                    m.point.1.map_or("shared".to_string(), |at| format!("its own, {} of it", percent(parts[at])));
                let y = m.estimate(here);
                let cells = [y.mean, y.half_width, 100.0 * m.estimate(part).mean].map(number);
                let about = [format!("{rate}"), node, name.to_string(), percent(share)];
                table.push(about.into_iter().chain(cells));
            }
        }
        let of_model = |m: &Measured<(f64, Option<usize>)>, place: usize| {
            m.sample(|s| s.models.get(place).map_or(0.0, |part| part.counts.in_time as f64 / s.duration_s))
        };
        each.extend((0..TOGETHER.len()).map(|at| of_model(&all[0], at).compare(&of_model(&all[1 + at], 0))));
        one.push(all[0].goodput());
        let parts: Vec<Sample> = all[1..].iter().map(Measured::goodput).collect();
        let sum = |seed: usize| parts.iter().map(|part| part.0[seed]).sum::<f64>();
        apart.push(Sample((0..all[0].runs.len()).map(sum).collect()));
    }
    Ok(Shared { table, one, apart, each })
}

fn service(name: &str, share: f64) -> Option<Service> {
    Some(Service {
        name: name.to_string(),
        share,
        model: preset::model(name)?,
        quantization: quantization("w8a16", name),
        padding: preset::PAPER_PADDING,
    })
}

/// FLOP of a request of mean length, relative.
fn weight(name: &str) -> f64 {
    preset::model(name).map_or(0.0, |model| crate::cost::Transformer::new(&model).flops(512, 299) as f64)
}
