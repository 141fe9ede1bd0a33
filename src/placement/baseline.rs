//! What one would do without the exact solver, each with the delay it gives or why it cannot be done.

use std::fmt;
use std::time::Instant;

use super::delay::{self, Communication, Usage};
use super::problem::{Problem, Seat};
use super::solve::{Outcome, Solution, solve_tables};
use super::tables::Tables;
use crate::limits::MAX_WIDTH;
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

    /// A baseline by its name on the command line; of uniform-N for any width N.
    pub fn from_name(name: &str) -> Option<Baseline> {
        let mut all = Baseline::ALL.into_iter().chain((1..=MAX_WIDTH).map(Baseline::Uniform));
        all.find(|b| b.to_string() == name)
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

/// Why there is nothing where there might be something.
const NO_TIME: &str = "the time limit came first";

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
    match baseline {
        Baseline::OneServer => one_server(problem, communication, limits),
        Baseline::EvenSplit => uniform_bits(problem, communication, |_| Some(even(problem))),
        Baseline::Greedy => uniform_bits(problem, communication, |bits| greedy(problem, bits)),
        Baseline::Uniform(bits) => uniform(problem, communication, bits, limits),
        Baseline::PlacementAlone => uniform(problem, communication, 16, limits),
        Baseline::QuantizationAlone => {
            let t = Tables { fixed: Some(even(problem)), ..Tables::new(problem, communication) };
            exact(problem, &t, limits).map_err(|why| format!("even split: {why}"))
        }
    }
}

fn exact(problem: &Problem, t: &Tables, limits: &Limits) -> Result<Placed, String> {
    match solve_tables(problem, t, limits, false) {
        Outcome::Placed(s) => Ok(Placed { seats: s.seats, usage: s.usage, bound_s: s.bound_s }),
        Outcome::Infeasible => Err("no bits or placement keep all limits".to_string()),
        Outcome::Unknown { .. } => Err(NO_TIME.to_string()),
    }
}

/// The best server, all within one time limit.
fn one_server(problem: &Problem, communication: Communication, limits: &Limits) -> Result<Placed, String> {
    let start = Instant::now();
    let mut t = Tables::new(problem, communication);
    let (mut best, mut bound): (Option<Solution>, f64) = (None, f64::INFINITY);
    for i in 0..problem.servers.len() {
        let time = limits.time.map(|time| time.saturating_sub(start.elapsed()));
        if i > 0 && time.is_some_and(|left| left.is_zero()) {
            // The servers that are left may be faster.
            bound = 0.0;
            break;
        }
        t.fixed = Some(vec![i; problem.len()]);
        match solve_tables(problem, &t, &Limits { time, ..limits.clone() }, false) {
            Outcome::Placed(s) => {
                bound = bound.min(s.bound_s);
                if best.as_ref().is_none_or(|b| s.usage.delay_s < b.usage.delay_s) {
                    best = Some(*s);
                }
            }
            Outcome::Infeasible => {}
            Outcome::Unknown { bound_s } => bound = bound.min(bound_s),
        }
    }
    match best {
        Some(Solution { seats, usage, .. }) => Ok(Placed { seats, bound_s: bound.min(usage.delay_s), usage }),
        None if bound.is_finite() => Err(NO_TIME.to_string()),
        None => Err("no server alone holds all layers within the quality budget and its limits".to_string()),
    }
}

fn uniform(problem: &Problem, communication: Communication, bits: u32, limits: &Limits) -> Result<Placed, String> {
    let mut one = problem.clone();
    for layer in one.models.iter_mut().flat_map(|m| &mut m.layers) {
        layer.widths.retain(|w| w.bits == bits);
    }
    if let Some((model, layer)) = one.layers().find(|(_, layer)| layer.widths.is_empty()) {
        return Err(format!("{} has no {} on offer", problem.called(model, layer), self::bits(bits)));
    }
    for model in &one.models {
        let error: f64 = model.layers.iter().flat_map(|l| &l.widths).map(|w| w.error).sum();
        if error > model.budget * (1.0 + delay::TOLERANCE) {
            return Err(format!("weight error{} {error:.4} above the budget {:.4}", problem.of(model), model.budget));
        }
    }
    let t = Tables::new(&one, communication);
    exact(&one, &t, limits).map_err(|why| match why.as_str() {
        NO_TIME => why,
        _ => format!("no placement holds {} everywhere", self::bits(bits)),
    })
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
    for bits in 1..=MAX_WIDTH {
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

fn bits(n: u32) -> String {
    if n == 1 { "1 bit".to_string() } else { format!("{n} bits") }
}

fn widths(a: u32, b: u32) -> String {
    if a == b { bits(a) } else { format!("{a}–{b} bits") }
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
