//! What one would do without the exact solver, each with the delay it gives or why it cannot be done.

use std::fmt;

use super::delay::{self, Communication, Usage};
use super::problem::{Problem, Seat};
use super::solve::{Outcome, solve_tables};
use super::tables::Tables;
use crate::search::Limits;

/// A way to place layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// All layers on one server, the one with the least delay; bits chosen exactly for it.
    OneServer,
    /// Equal runs of layers on all servers in their order, with the best uniform bits.
    EvenSplit,
    /// The fastest servers first, each filled before the next, with the best uniform bits.
    Greedy,
    /// The best placement with these bits for every layer.
    Uniform(u32),
    /// The best placement with 16 bits for every layer: no quantisation.
    PlacementAlone,
    /// The best bits where the placement is that of the even split.
    QuantizationAlone,
}

impl Baseline {
    /// All, with the uniform widths of the paper's comparisons.
    pub const ALL: [Baseline; 9] = [
        Baseline::OneServer,
        Baseline::EvenSplit,
        Baseline::Greedy,
        Baseline::Uniform(2),
        Baseline::Uniform(4),
        Baseline::Uniform(8),
        Baseline::Uniform(16),
        Baseline::PlacementAlone,
        Baseline::QuantizationAlone,
    ];

    /// A baseline by its name on the command line.
    pub fn from_name(name: &str) -> Option<Baseline> {
        Baseline::ALL.into_iter().find(|b| b.to_string() == name)
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Baseline::OneServer => f.write_str("one-server"),
            Baseline::EvenSplit => f.write_str("even-split"),
            Baseline::Greedy => f.write_str("greedy"),
            Baseline::Uniform(bits) => write!(f, "uniform-{bits}"),
            Baseline::PlacementAlone => f.write_str("placement-alone"),
            Baseline::QuantizationAlone => f.write_str("quantization-alone"),
        }
    }
}

/// What a baseline gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Server and bits of each layer.
    pub seats: Vec<Seat>,
    /// Delay and use.
    pub usage: Usage,
    /// No assignment that keeps to the baseline's rule is faster than this; the delay, if that was proven.
    pub bound_s: f64,
}

/// Places the layers so; or why not.
///
/// # Errors
/// One line that says what does not hold.
pub fn place(
    problem: &Problem,
    baseline: Baseline,
    communication: Communication,
    limits: &Limits,
) -> Result<Placed, String> {
    let fixed = |placement: Vec<usize>| {
        let t = Tables { fixed: Some(placement), ..Tables::new(problem, communication) };
        exact(problem, &t, limits)
    };
    match baseline {
        Baseline::OneServer => {
            let all = (0..problem.servers.len()).map(|i| fixed(vec![i; problem.len()]));
            let best = all.flatten().min_by(|a, b| a.usage.delay_s.total_cmp(&b.usage.delay_s));
            best.ok_or_else(|| "no server alone holds all layers within the quality budget and its limits".to_string())
        }
        Baseline::EvenSplit => uniform_bits(problem, communication, |_| Some(even(problem))),
        Baseline::Greedy => uniform_bits(problem, communication, |bits| greedy(problem, bits)),
        Baseline::Uniform(bits) => uniform(problem, communication, bits, limits),
        Baseline::PlacementAlone => uniform(problem, communication, 16, limits),
        Baseline::QuantizationAlone => fixed(even(problem)).map_err(|why| format!("even split: {why}")),
    }
}

fn exact(problem: &Problem, t: &Tables, limits: &Limits) -> Result<Placed, String> {
    match solve_tables(problem, t, limits, false) {
        Outcome::Placed(s) => Ok(Placed { seats: s.seats, usage: s.usage, bound_s: s.bound_s }),
        Outcome::Infeasible => Err("no bits or placement keep all limits".to_string()),
        Outcome::Unknown { .. } => Err("the time limit came first".to_string()),
    }
}

fn uniform(problem: &Problem, communication: Communication, bits: u32, limits: &Limits) -> Result<Placed, String> {
    let mut one = problem.clone();
    for layer in one.models.iter_mut().flat_map(|m| &mut m.layers) {
        layer.widths.retain(|w| w.bits == bits);
        if layer.widths.is_empty() {
            return Err(format!("{} has no {bits} bits on offer", layer.name));
        }
    }
    for model in &one.models {
        let error: f64 = model.layers.iter().flat_map(|l| &l.widths).map(|w| w.error).sum();
        if error > model.budget * (1.0 + delay::TOLERANCE) {
            return Err(format!("weight error {error:.4} above the budget {:.4}", model.budget));
        }
    }
    let t = Tables::new(&one, communication);
    exact(&one, &t, limits).map_err(|_| format!("no placement holds {bits} bits everywhere"))
}

/// The fastest of the placements with one width for all layers.
fn uniform_bits(
    problem: &Problem,
    communication: Communication,
    placement: impl Fn(u32) -> Option<Vec<usize>>,
) -> Result<Placed, String> {
    let mut best: Option<Placed> = None;
    // Reasons, with the widths that they are for.
    let mut why: Vec<(String, u32, u32)> = Vec::new();
    let mut refuse = |bits: u32, reason: String| match why.last_mut() {
        Some(last) if last.0 == reason => last.2 = bits,
        _ => why.push((reason, bits, bits)),
    };
    for bits in 1..=crate::limits::MAX_WIDTH {
        if problem.layers().any(|(_, l)| l.error(bits).is_none()) {
            continue;
        }
        let Some(servers) = placement(bits) else {
            refuse(bits, "the layers do not fit".to_string());
            continue;
        };
        let seats: Vec<Seat> = servers.into_iter().map(|server| Seat { server, bits }).collect();
        match delay::feasible(problem, &seats, communication) {
            Ok(usage) if best.as_ref().is_none_or(|b| usage.delay_s < b.usage.delay_s) => {
                best = Some(Placed { seats, bound_s: usage.delay_s, usage });
            }
            Ok(_) => {}
            Err(violation) => refuse(bits, violation.name(problem)),
        }
    }
    best.ok_or_else(|| match why.len() {
        0 => "no width is on offer for every layer".to_string(),
        _ => why.iter().map(|(reason, a, b)| format!("{}: {reason}", widths(*a, *b))).collect::<Vec<_>>().join("; "),
    })
}

fn widths(a: u32, b: u32) -> String {
    if a == b { format!("{a} bits") } else { format!("{a}–{b} bits") }
}

/// Equal runs of each model on all servers in their order.
fn even(problem: &Problem) -> Vec<usize> {
    let servers = problem.servers.len();
    let one = |layers: usize| (0..layers).map(move |l| l * servers / layers.max(servers));
    problem.models.iter().flat_map(|m| one(m.layers.len())).collect()
}

/// The fastest servers first, each filled before the next.
fn greedy(problem: &Problem, bits: u32) -> Option<Vec<usize>> {
    let mut order: Vec<usize> = (0..problem.servers.len()).collect();
    order.sort_by(|&a, &b| {
        problem.servers[b].compute_flops.total_cmp(&problem.servers[a].compute_flops).then(a.cmp(&b))
    });
    let mut left: Vec<f64> = problem.servers.iter().map(|s| s.memory_bytes).collect();
    let mut out = Vec::new();
    let mut at = 0;
    for (model, layer) in problem.layers() {
        let bytes = layer.memory_bytes(bits, model.held_tokens());
        while left[*order.get(at)?] < bytes {
            at += 1;
        }
        left[order[at]] -= bytes;
        out.push(order[at]);
    }
    Some(out)
}
