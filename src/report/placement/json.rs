//! The JSON contract of a placement, written. [`claim`](super::claim) reads it.

use serde::Serialize;
use serde_json::Value;

use super::{Bound, Report, mean_bits, proven};
use crate::placement::solve::Status;

#[derive(Serialize)]
struct Out<'o> {
    status: &'static str,
    delay_s: f64,
    bound_s: f64,
    gap: f64,
    solver: &'o str,
    bound_by: &'static str,
    communication: &'static str,
    /// None of the embedded example.
    problem: Option<&'o str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers_file: Option<&'o str>,
    /// Of several models in `models`.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_requests: Option<u32>,
    computation_s: f64,
    communication_s: f64,
    layers: Vec<LayerOut<'o>>,
    quality_used: f64,
    quality_budget: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<ModelOut<'o>>,
    memory: Vec<ServerOut<'o>>,
    quantization_ratio: Ratio,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_errors: Option<&'o str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    baselines: Vec<BaselineOut<'o>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sensitivity: Vec<ChangeOut<'o>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<NodeOut<'o>>,
    certificate: CertificateOut<'o>,
    work: WorkOut,
    seconds: f64,
}

#[derive(Serialize)]
struct LayerOut<'o> {
    name: &'o str,
    #[serde(skip_serializing_if = "str::is_empty")]
    model: &'o str,
    server: &'o str,
    bits: u32,
    computation_s: f64,
    communication_s: f64,
}

#[derive(Serialize)]
struct ModelOut<'o> {
    name: &'o str,
    held_requests: u32,
    quality_used: f64,
    quality_budget: f64,
}

#[derive(Serialize)]
struct ServerOut<'o> {
    server: &'o str,
    used_bytes: f64,
    limit_bytes: f64,
    busy_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_busy_s: Option<f64>,
    sent_bytes: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_sent_bytes: Option<f64>,
}

#[derive(Serialize)]
struct Ratio {
    mean_bits: f64,
    of_16_bits: f64,
    of_32_bits: f64,
}

#[derive(Serialize)]
struct BaselineOut<'o> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    best_of_its_kind: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_bits: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'o str>,
}

#[derive(Serialize)]
struct ChangeOut<'o> {
    of: &'static str,
    factor: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_bits: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'o str>,
}

/// What the placed model is to the scheduler.
#[derive(Serialize)]
struct NodeOut<'o> {
    compute_flops: f64,
    memory_bytes: f64,
    memory_factor: f64,
    time_factor: f64,
    perplexity_increase: f64,
    kv_tokens: u64,
    tightest: Option<&'o str>,
    departure: [f64; 2],
}

#[derive(Serialize)]
struct CertificateOut<'o> {
    root_bound_s: f64,
    prices_s: PricesOut<'o>,
    labels: u64,
    exhausted: bool,
}

/// Seconds for the whole of each limit.
#[derive(Serialize)]
struct PricesOut<'o> {
    memory: &'o [f64],
    thirds: &'o [f64],
    quarters: &'o [f64],
    busy: &'o [f64],
    sent: &'o [f64],
    quality: &'o [f64],
}

#[derive(Serialize)]
struct WorkOut {
    price_steps: u64,
    passes: u64,
    orders: u64,
    labels: u64,
    stopped: bool,
}

/// The placement as a JSON document, ending in a line feed.
pub fn to_json(r: &Report<'_>) -> String {
    // Strings, numbers and lists only: none of them can fail.
    let mut text = serde_json::to_string_pretty(&document(r)).unwrap_or_default();
    text.push('\n');
    text
}

/// The same as a tree.
pub(super) fn to_value(r: &Report<'_>) -> Value {
    serde_json::to_value(document(r)).unwrap_or_default()
}

fn document<'r>(r: &'r Report<'_>) -> Out<'r> {
    let (p, s) = (r.problem, r.solution);
    let u = &s.usage;
    let several = p.models.len() > 1;
    let mean = mean_bits(p, &s.seats);
    let models = r.models();
    let (c, w) = (r.certificate(), r.work());
    Out {
        status: match r.status() {
            Status::Optimal => "optimal",
            Status::Feasible => "feasible",
        },
        delay_s: u.delay_s,
        bound_s: if r.bound == Bound::Rule { 0.0 } else { s.bound_s },
        gap: if r.bound == Bound::Rule { 1.0 } else { s.gap() },
        solver: &r.solver,
        bound_by: r.bound.name(),
        communication: r.communication.name(),
        problem: r.problem_file.as_deref(),
        layers_file: r.layers_file.as_deref(),
        held_requests: p.models.first().filter(|_| !several).map(|model| model.held_requests),
        computation_s: u.compute_s.iter().sum(),
        communication_s: u.link_s.iter().sum(),
        layers: p
            .layers()
            .enumerate()
            .map(|(l, (_, layer))| LayerOut {
                name: &layer.name,
                model: if several { &p.models[models[l]].name } else { "" },
                server: &p.servers[s.seats[l].server].name,
                bits: s.seats[l].bits,
                computation_s: u.compute_s[l],
                communication_s: u.link_s[l],
            })
            .collect(),
        quality_used: u.quality.iter().sum(),
        quality_budget: p.models.iter().map(|m| m.budget).sum(),
        models: p
            .models
            .iter()
            .zip(&u.quality)
            .filter(|_| several)
            .map(|(m, &used)| ModelOut {
                name: &m.name,
                held_requests: m.held_requests,
                quality_used: used,
                quality_budget: m.budget,
            })
            .collect(),
        memory: p
            .servers
            .iter()
            .enumerate()
            .map(|(i, server)| ServerOut {
                server: &server.name,
                used_bytes: u.memory_bytes[i],
                limit_bytes: server.memory_bytes,
                busy_s: u.busy_s[i],
                max_busy_s: server.max_busy_s,
                sent_bytes: u.sent_bytes[i],
                max_sent_bytes: server.max_sent_bytes,
            })
            .collect(),
        quantization_ratio: Ratio { mean_bits: mean, of_16_bits: mean / 16.0, of_32_bits: mean / 32.0 },
        weight_errors: p.note.as_deref(),
        baselines: r
            .baselines
            .iter()
            .map(|(baseline, result)| BaselineOut {
                name: baseline.to_string(),
                delay_s: result.as_ref().ok().map(|x| x.usage.delay_s),
                best_of_its_kind: result.as_ref().ok().map(proven),
                mean_bits: result.as_ref().ok().map(|x| mean_bits(p, &x.seats)),
                reason: result.as_ref().err().map(String::as_str),
            })
            .collect(),
        sensitivity: r
            .sensitivity
            .iter()
            .map(|change| ChangeOut {
                of: change.what,
                factor: change.factor,
                delay_s: change.result.as_ref().ok().map(|x| x.0),
                bound_s: change.result.as_ref().ok().map(|x| x.1),
                mean_bits: change.result.as_ref().ok().map(|x| x.2),
                reason: change.result.as_ref().err().map(String::as_str),
            })
            .collect(),
        node: r.node.map(|n| NodeOut {
            compute_flops: n.scenario.node.compute_flops,
            memory_bytes: n.scenario.node.memory_bytes,
            memory_factor: n.scenario.quantization.memory_factor,
            time_factor: n.scenario.quantization.time_factor,
            perplexity_increase: n.scenario.quantization.perplexity_increase,
            kv_tokens: n.kv_tokens,
            tightest: n.tightest.and_then(|i| p.servers.get(i)).map(|server| server.name.as_str()),
            departure: [n.departure.0, n.departure.1],
        }),
        certificate: CertificateOut {
            root_bound_s: c.root_bound_s,
            prices_s: PricesOut {
                memory: &c.memory,
                thirds: &c.thirds,
                quarters: &c.quarters,
                busy: &c.busy,
                sent: &c.sent,
                quality: &c.quality,
            },
            labels: c.labels,
            exhausted: c.exhausted,
        },
        work: WorkOut {
            price_steps: w.price_steps,
            passes: w.passes,
            orders: w.orders,
            labels: w.labels,
            stopped: w.stopped,
        },
        seconds: r.seconds,
    }
}
