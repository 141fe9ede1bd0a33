//! The delay of an assignment and what it uses, from the definitions, in SI units and floats.
//!
//! For one request of P prompt and O output tokens every layer does P tokens at once, then one token O − 1 times; the
//! activations cross a link once and O − 1 times. All of it adds up:
//!
//! Σ_l (P + O − 1)·FLOP_l·f(b_l)/C_{i_l} + Σ_l [O·latency + (P + O − 1)·bytes_l/bandwidth of (i_l, i_{l+1})],
//!
//! where the second sum is over the layers whose next layer is on another server. That is the *chain* form. The *paper*
//! form (DILEMMA's y has no index of a layer) charges an ordered pair of servers once, however often it is crossed:
//! with the largest activation that crosses it. It can be smaller, where a placement comes back to a server (a, b, a, b
//! uses the pair a → b twice), and never larger. Bytes sent count every crossing in both forms. Of several models each
//! crosses on its own: pairs are charged once for each model.

use std::collections::BTreeMap;

use super::problem::{Model, Problem, Seat};

/// How far above a limit a sum may be, relatively: sums of decimal fractions are rarely exact.
pub const TOLERANCE: f64 = 1e-9;

/// How communication is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Communication {
    /// Every crossing.
    #[default]
    Chain,
    /// Every ordered pair of servers once, as the paper's objective has it.
    Paper,
}

impl Communication {
    /// Both.
    pub const ALL: [Communication; 2] = [Communication::Chain, Communication::Paper];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Communication::Chain => "chain",
            Communication::Paper => "paper",
        }
    }
}

/// What an assignment costs and uses.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// Sum over the models of the time from a request's first token in to its last token out.
    pub delay_s: f64,
    /// Computation of each layer, seconds.
    pub compute_s: Vec<f64>,
    /// From each layer to the next of its model, seconds; 0 on one server. In the paper form a pair's charge stands at
    /// its first crossing with the largest activation.
    pub link_s: Vec<f64>,
    /// Memory of each server, bytes.
    pub memory_bytes: Vec<f64>,
    /// Time that each server computes, seconds.
    pub busy_s: Vec<f64>,
    /// Bytes that each server sends.
    pub sent_bytes: Vec<f64>,
    /// Sum of weight errors of each model.
    pub quality: Vec<f64>,
}

/// Why an assignment is none, or breaks which limit.
#[derive(Debug, Clone, PartialEq)]
pub enum Violation {
    /// Not one seat for each layer, or a server or width that is not on offer.
    Seat {
        /// The layer.
        layer: usize,
    },
    /// Two servers in a row without a link.
    Link {
        /// The layer before it.
        layer: usize,
        /// The server of that layer.
        from: usize,
        /// The server of the next one.
        to: usize,
    },
    /// A limit of a server or model.
    Limit {
        /// "memory", "busy", "sent" or "quality".
        what: &'static str,
        /// The server; for quality the model.
        at: usize,
        /// Used.
        used: f64,
        /// Allowed.
        limit: f64,
    },
}

/// Time that a layer of `model` takes a server, seconds.
pub(super) fn compute_s(problem: &Problem, model: &Model, flops_per_token: f64, seat: Seat) -> f64 {
    let rate = problem.servers[seat.server].compute_flops;
    model.passes() * flops_per_token * problem.time_factor(seat.bits) / rate
}

/// Delay and usage of an assignment, whether or not limits hold.
///
/// # Errors
/// Not one seat for each layer, a width or server that is not on offer, or a crossing without a link.
pub fn usage(problem: &Problem, seats: &[Seat], communication: Communication) -> std::result::Result<Usage, Violation> {
    let (servers, layers) = (problem.servers.len(), problem.len());
    if seats.len() != layers {
        return Err(Violation::Seat { layer: seats.len().min(layers) });
    }
    let links: BTreeMap<(usize, usize), (f64, f64)> =
        problem.links.iter().map(|k| ((k.from, k.to), (k.latency_s, k.bandwidth_bytes_per_s))).collect();
    let mut u = Usage {
        delay_s: 0.0,
        compute_s: Vec::with_capacity(layers),
        link_s: vec![0.0; layers],
        memory_bytes: vec![0.0; servers],
        busy_s: vec![0.0; servers],
        sent_bytes: vec![0.0; servers],
        quality: vec![0.0; problem.models.len()],
    };
    let mut first = 0;
    for (m, model) in problem.models.iter().enumerate() {
        // In the paper form: the layer at which each pair is charged.
        let mut charged: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for (at, layer) in model.layers.iter().enumerate() {
            let l = first + at;
            let seat = seats[l];
            let (Some(error), true) = (layer.error(seat.bits), seat.server < servers) else {
                return Err(Violation::Seat { layer: l });
            };
            let time = compute_s(problem, model, layer.flops_per_token, seat);
            u.compute_s.push(time);
            u.busy_s[seat.server] += time;
            u.memory_bytes[seat.server] += layer.memory_bytes(seat.bits, model.held_tokens());
            u.quality[m] += error;
            let Some(next) = seats.get(l + 1).filter(|_| at + 1 < model.layers.len()) else { continue };
            if next.server == seat.server {
                continue;
            }
            let pair = (seat.server, next.server);
            let Some(&(latency, bandwidth)) = links.get(&pair) else {
                return Err(Violation::Link { layer: l, from: pair.0, to: pair.1 });
            };
            let bytes = model.passes() * layer.activation_bytes;
            u.sent_bytes[seat.server] += bytes;
            let charge = f64::from(model.output_tokens) * latency + bytes / bandwidth;
            match (communication, charged.get(&pair)) {
                (Communication::Paper, Some(&before)) if u.link_s[before] >= charge => {}
                (Communication::Paper, Some(&before)) => {
                    u.link_s[before] = 0.0;
                    u.link_s[l] = charge;
                    charged.insert(pair, l);
                }
                _ => {
                    u.link_s[l] = charge;
                    charged.insert(pair, l);
                }
            }
        }
        first += model.layers.len();
    }
    u.delay_s = u.compute_s.iter().sum::<f64>() + u.link_s.iter().sum::<f64>();
    Ok(u)
}

impl Usage {
    /// The first limit that is broken, by more than [`TOLERANCE`].
    pub fn broken(&self, problem: &Problem) -> Option<Violation> {
        let over = |used: f64, limit: f64| used > limit * (1.0 + TOLERANCE);
        for (at, (model, &used)) in problem.models.iter().zip(&self.quality).enumerate() {
            if over(used, model.budget) {
                return Some(Violation::Limit { what: "quality", at, used, limit: model.budget });
            }
        }
        for (at, server) in problem.servers.iter().enumerate() {
            let limits = [
                ("memory", self.memory_bytes[at], Some(server.memory_bytes)),
                ("busy", self.busy_s[at], server.max_busy_s),
                ("sent", self.sent_bytes[at], server.max_sent_bytes),
            ];
            for (what, used, limit) in limits {
                if let Some(limit) = limit.filter(|&limit| over(used, limit)) {
                    return Some(Violation::Limit { what, at, used, limit });
                }
            }
        }
        None
    }
}

/// Delay and usage of an assignment that keeps every limit.
///
/// # Errors
/// What it breaks.
pub fn feasible(
    problem: &Problem,
    seats: &[Seat],
    communication: Communication,
) -> std::result::Result<Usage, Violation> {
    let usage = usage(problem, seats, communication)?;
    match usage.broken(problem) {
        Some(violation) => Err(violation),
        None => Ok(usage),
    }
}

fn server(problem: &Problem, at: usize) -> &str {
    problem.servers.get(at).map_or("", |s| s.name.as_str())
}

impl Violation {
    /// What is broken, without by how much.
    pub fn name(&self, problem: &Problem) -> String {
        match self {
            Violation::Seat { .. } => "a width that is not on offer".to_string(),
            Violation::Link { from, to, .. } => {
                format!("no link from {} to {}", server(problem, *from), server(problem, *to))
            }
            Violation::Limit { what: "quality", .. } => "weight error above the budget".to_string(),
            Violation::Limit { what, at, .. } => format!("{what} of {} above its limit", server(problem, *at)),
        }
    }

    /// In words, with names.
    pub fn describe(&self, problem: &Problem) -> String {
        let layer =
            |l: usize| problem.layers().nth(l).map_or_else(|| format!("layer {l}"), |(m, x)| problem.called(m, x));
        match self {
            Violation::Seat { layer: l } => format!("no server and width on offer for {}", layer(*l)),
            Violation::Link { layer: l, from, to } => {
                format!("no link from {} to {}, after {}", server(problem, *from), server(problem, *to), layer(*l))
            }
            Violation::Limit { what: "quality", at, used, limit } => {
                let of = problem.models.get(*at).map_or_else(String::new, |model| problem.of(model));
                format!("weight error{of} {used:.6} above the budget {limit:.6}")
            }
            Violation::Limit { what, at, used, limit } => {
                let unit = if *what == "busy" { "s" } else { "bytes" };
                format!("{what} of {}: {used:.6} {unit} above the limit of {limit:.6}", server(problem, *at))
            }
        }
    }
}
