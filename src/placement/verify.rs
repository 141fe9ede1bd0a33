//! Checks a solution from the definitions, sharing no code with the search.
//!
//! What is checked: every layer sits on one server at a width on offer; every limit holds; every crossing has a link;
//! the delay is what the definition gives; and the prices prove the bound that the certificate claims for them, by a
//! shortest path of this module's own. What a checker cannot see without repeating it is the enumeration that closes
//! the rest of the gap between that bound and the delay: [`Checked`] says how large that rest is.

use std::collections::HashMap;

use super::delay::{Communication, TOLERANCE};
use super::problem::{Problem, Seat};
use super::solve::{Certificate, Solution};

/// A solution holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Checked {
    /// The delay, from the definition.
    pub delay_s: f64,
    /// What the prices alone prove; 0 without prices.
    pub priced_bound_s: f64,
    /// The part of the delay between the solution's bound and the prices' bound: it rests on the enumeration.
    pub enumerated: f64,
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which: "seats", "memory", "busy", "sent", "quality", "link", "delay", "bound" or "prices".
    pub check: &'static str,
    /// What is wrong.
    pub detail: String,
}

fn fail<T>(check: &'static str, detail: String) -> Result<T, Failure> {
    Err(Failure { check, detail })
}

/// A number for people: what adding up leaves in its last digits is no part of it.
pub(crate) fn rounded(x: f64) -> f64 {
    format!("{x:.11e}").parse().unwrap_or(x)
}

/// Whether `x` is above the limit, or either is no number.
fn is_above(x: f64, limit: f64) -> bool {
    x.is_nan() || limit.is_nan() || x > limit
}

/// Prices that add up to more than so many delays prove nothing: what is left when they are taken off again is
/// rounding.
const DEAREST: f64 = 1e9;

/// Relative difference that rounding may make.
const ROUNDING: f64 = 1e-9;

/// Checks all of it.
///
/// # Errors
/// The first check that fails.
pub fn verify(problem: &Problem, communication: Communication, solution: &Solution) -> Result<Checked, Failure> {
    let delay_s = delay(problem, communication, &solution.seats)?;
    let claimed = solution.usage.delay_s;
    if is_above((claimed - delay_s).abs(), ROUNDING * delay_s) {
        return fail("delay", format!("{} s is claimed, and it is {} s", rounded(claimed), rounded(delay_s)));
    }
    let bound = solution.bound_s;
    if is_above(bound, claimed) || is_above(solution.certificate.root_bound_s.min(claimed), bound) {
        return fail("bound", format!("{} s is not between the prices' bound and the delay", rounded(bound)));
    }
    let c = &solution.certificate;
    let prices = [&c.memory, &c.thirds, &c.quarters, &c.busy, &c.sent, &c.quality].into_iter().flatten();
    if is_above(prices.fold(0.0, |sum, x| sum + x), DEAREST * delay_s.max(f64::MIN_POSITIVE)) {
        return fail("prices", format!("they add up to more than {DEAREST:e} times the delay"));
    }
    let priced_bound_s = if c.memory.is_empty() { 0.0 } else { priced_bound(problem, communication, c)? };
    if is_above(c.root_bound_s, priced_bound_s + ROUNDING * delay_s) {
        return fail(
            "prices",
            format!("they prove {} s, and {} s is claimed", rounded(priced_bound_s), rounded(c.root_bound_s)),
        );
    }
    let enumerated = if delay_s > 0.0 { ((bound - priced_bound_s) / delay_s).max(0.0) } else { 0.0 };
    Ok(Checked { delay_s, priced_bound_s, enumerated })
}

/// Link times of a layer's activations: latency and seconds a byte by ordered pair.
fn links(problem: &Problem) -> HashMap<(usize, usize), (f64, f64)> {
    problem.links.iter().map(|k| ((k.from, k.to), (k.latency_s, 1.0 / k.bandwidth_bytes_per_s))).collect()
}

/// The delay of an assignment that keeps every limit.
fn delay(problem: &Problem, communication: Communication, seats: &[Seat]) -> Result<f64, Failure> {
    let layers: usize = problem.models.iter().map(|m| m.layers.len()).sum();
    if seats.len() != layers {
        return fail("seats", format!("{} seats for {layers} layers", seats.len()));
    }
    let links = links(problem);
    let n = problem.servers.len();
    let (mut memory, mut busy, mut sent) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let mut total = 0.0;
    let mut rest = seats;
    for model in &problem.models {
        let (own, others) = rest.split_at(model.layers.len());
        rest = others;
        let (p, o) = (f64::from(model.prompt_tokens), f64::from(model.output_tokens));
        let held = f64::from(model.held_requests) * (p + o);
        let mut error = 0.0;
        let mut charges: HashMap<(usize, usize), f64> = HashMap::new();
        for (l, (layer, seat)) in model.layers.iter().zip(own).enumerate() {
            let width = layer.widths.iter().find(|w| w.bits == seat.bits);
            let (Some(width), Some(server)) = (width, problem.servers.get(seat.server)) else {
                let layer = problem.called(model, layer);
                return fail("seats", format!("{layer}: no server {} with {} bits", seat.server, seat.bits));
            };
            error += width.error;
            memory[seat.server] += layer.parameters * f64::from(seat.bits) / 8.0 + layer.kv_bytes_per_token * held;
            let token = layer.flops_per_token * problem.time_factor(seat.bits) / server.compute_flops;
            busy[seat.server] += p * token + (o - 1.0) * token;
            let Some(next) = own.get(l + 1).filter(|next| next.server != seat.server) else { continue };
            let Some(&(latency, per_byte)) = links.get(&(seat.server, next.server)) else {
                let to = &problem.servers.get(next.server).map_or("?", |s| &s.name);
                return fail(
                    "link",
                    format!("there is none from {} to {to}, after {}", server.name, problem.called(model, layer)),
                );
            };
            let prompt = latency + p * layer.activation_bytes * per_byte;
            let token = latency + layer.activation_bytes * per_byte;
            let charge = prompt + (o - 1.0) * token;
            sent[seat.server] += (p + o - 1.0) * layer.activation_bytes;
            let paid = charges.entry((seat.server, next.server)).or_insert(0.0);
            match communication {
                Communication::Chain => *paid += charge,
                Communication::Paper => *paid = paid.max(charge),
            }
        }
        if is_above(error, model.budget * (1.0 + 2.0 * TOLERANCE)) {
            let (error, of) = (rounded(error), problem.of(model));
            return fail("quality", format!("weight error{of} {error}, and the budget is {}", model.budget));
        }
        total += charges.values().sum::<f64>();
    }
    for (i, server) in problem.servers.iter().enumerate() {
        for (check, used, limit) in [
            ("memory", memory[i], Some(server.memory_bytes)),
            ("busy", busy[i], server.max_busy_s),
            ("sent", sent[i], server.max_sent_bytes),
        ] {
            if let Some(limit) = limit.filter(|limit| is_above(used, limit * (1.0 + 2.0 * TOLERANCE))) {
                return fail(check, format!("{} uses {}, and its limit is {limit}", server.name, rounded(used)));
            }
        }
    }
    Ok(total + busy.iter().sum::<f64>())
}

/// Ways to reach a server, as (memory of the run there, cost), leaner ones costlier.
type Ways = Vec<(f64, f64)>;

/// What the prices prove: the cheapest chain where limits are paid for, and where no run of consecutive layers on a
/// server needs more than its memory, and pays for the part of it that it takes. Forwards, with exact memories: the
/// solver goes backwards, in cells.
fn priced_bound(problem: &Problem, communication: Communication, c: &Certificate) -> Result<f64, Failure> {
    let n = problem.servers.len();
    let prices = [&c.memory, &c.thirds, &c.quarters, &c.busy, &c.sent];
    let all = || prices.iter().flat_map(|p| p.iter()).chain(&c.quality);
    let shapes = prices.iter().all(|p| p.len() == n) && c.quality.len() == problem.models.len();
    if !shapes || all().any(|p| *p < 0.0 || !p.is_finite()) {
        return fail("prices", "not one price of at least 0 for each limit".to_string());
    }
    let unlimited = |i: usize| {
        let s = &problem.servers[i];
        (s.max_busy_s.is_none() && c.busy[i] > 0.0) || (s.max_sent_bytes.is_none() && c.sent[i] > 0.0)
    };
    if (0..n).any(unlimited) {
        return fail("prices", "a price for a limit that there is not".to_string());
    }
    // Limits as they are kept: with their tolerance.
    let per = |price: f64, limit: f64| if limit > 0.0 { price / (limit * (1.0 + TOLERANCE)) } else { 0.0 };
    let links = links(problem);
    let usable = usable(problem);
    // A way that leaves its server pays for the part of it that its run takes.
    let run = |i: usize, bytes: f64| {
        let bits = (8.0 * bytes).floor() as u64;
        c.thirds[i] * part(2, bits, usable[i]) + c.quarters[i] * part(3, bits, usable[i])
    };
    let cheapest = |i: usize, ways: &Ways| ways.iter().map(|w| w.1 + run(i, w.0)).fold(f64::INFINITY, f64::min);
    let mut ways: Vec<Ways> = vec![Vec::new(); n];
    for (m, model) in problem.models.iter().enumerate() {
        let (p, o) = (f64::from(model.prompt_tokens), f64::from(model.output_tokens));
        let held = f64::from(model.held_requests) * (p + o);
        let often = often(model, held, &usable);
        let share = |i: usize, j: usize| match communication {
            Communication::Chain => 1.0,
            Communication::Paper => 1.0 / often[i].min(often[j]),
        };
        for (l, layer) in model.layers.iter().enumerate() {
            let mut next: Vec<Ways> = vec![Vec::new(); n];
            for j in 0..n {
                let server = &problem.servers[j];
                // The cheapest way to begin a run here. From model to model nothing crosses, and a run may go on.
                let begin = if (m, l) == (0, 0) {
                    0.0
                } else if l == 0 {
                    (0..n).filter(|&i| i != j).map(|i| cheapest(i, &ways[i])).fold(f64::INFINITY, f64::min)
                } else {
                    let before = &model.layers[l - 1];
                    let bytes = (p + o - 1.0) * before.activation_bytes;
                    let from = |i: usize| {
                        let &(latency, per_byte) = links.get(&(i, j))?;
                        let sending = problem.servers[i].max_sent_bytes.map_or(0.0, |s| per(c.sent[i], s) * bytes);
                        Some(cheapest(i, &ways[i]) + share(i, j) * (o * latency + bytes * per_byte) + sending)
                    };
                    (0..n).filter(|&i| i != j).filter_map(from).fold(f64::INFINITY, f64::min)
                };
                for width in &layer.widths {
                    let bytes = layer.parameters * f64::from(width.bits) / 8.0 + layer.kv_bytes_per_token * held;
                    let seconds =
                        (p + o - 1.0) * layer.flops_per_token * problem.time_factor(width.bits) / server.compute_flops;
                    let busy = server.max_busy_s.map_or(0.0, |s| per(c.busy[j], s) * seconds);
                    // What breaks a limit alone is in no feasible assignment.
                    if width.error > model.budget * (1.0 + 2.0 * TOLERANCE)
                        || server.max_busy_s.is_some_and(|limit| seconds > limit * (1.0 + 2.0 * TOLERANCE))
                    {
                        continue;
                    }
                    let cost = seconds
                        + busy
                        + per(c.memory[j], server.memory_bytes) * bytes
                        + per(c.quality[m], model.budget) * width.error;
                    for &(memory, before) in ways[j].iter().chain([(0.0, begin)].iter()) {
                        if memory + bytes <= server.memory_bytes * (1.0 + 2.0 * TOLERANCE) && before.is_finite() {
                            next[j].push((memory + bytes, before + cost));
                        }
                    }
                }
                thin(&mut next[j], server.memory_bytes);
            }
            ways = next;
        }
    }
    let least = ways.iter().enumerate().map(|(i, ways)| cheapest(i, ways)).fold(f64::INFINITY, f64::min);
    let bound = least - all().sum::<f64>();
    if bound.is_finite() { Ok(bound) } else { fail("prices", "no number comes of them".to_string()) }
}

/// How often links of each server, of which so many bits are usable, can be crossed in a model: each time with another
/// of its layers there, and at most after every second layer.
fn often(model: &super::problem::Model, held: f64, usable: &[u64]) -> Vec<f64> {
    let narrowest = |layer: &super::problem::Layer| {
        let bits =
            |bits: u32| (8.0 * (layer.parameters * f64::from(bits) / 8.0 + layer.kv_bytes_per_token * held)).ceil();
        layer.widths.iter().map(|w| bits(w.bits)).fold(f64::INFINITY, f64::min)
    };
    let mut needs: Vec<f64> = model.layers.iter().map(narrowest).collect();
    needs.sort_by(f64::total_cmp);
    let fit = |&bits: &u64| {
        let sums = needs.iter().scan(0.0, |sum, need| {
            *sum += need;
            Some(*sum)
        });
        sums.take_while(|sum| *sum <= bits as f64).count()
    };
    let most = (model.layers.len() / 2).max(1);
    usable.iter().map(|bits| fit(bits).clamp(1, most) as f64).collect()
}

/// Bits of each server's memory that some layers can fill: what is beyond a multiple of all needs is not there.
fn usable(problem: &Problem) -> Vec<u64> {
    let mut needs = Vec::new();
    let mut all = 0.0;
    for model in &problem.models {
        let held = f64::from(model.held_requests) * (f64::from(model.prompt_tokens) + f64::from(model.output_tokens));
        for layer in &model.layers {
            let bits =
                |bits: u32| (8.0 * (layer.parameters * f64::from(bits) / 8.0 + layer.kv_bytes_per_token * held)).ceil();
            let own: Vec<f64> = layer.widths.iter().map(|w| bits(w.bits)).collect();
            all += own.iter().copied().fold(0.0, f64::max);
            needs.extend(own);
        }
    }
    let memory = |s: &super::problem::Server| (8.0 * s.memory_bytes * (1.0 + TOLERANCE)).floor().min(all.max(1.0));
    let largest = problem.servers.iter().map(memory).fold(0.0, f64::max);
    let fitting = needs.iter().filter(|need| **need <= largest).map(|need| *need as u64);
    let common = fitting.fold(0, divisor).max(1);
    problem.servers.iter().map(|s| memory(s) as u64 / common * common).collect()
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// What a run that uses so many bits counts as of a server's memory: the dual feasible function u^(k) of Fekete and
/// Schepers (2001). Runs that fit on a server together count as 1 at most.
fn part(k: u64, used: u64, of: u64) -> f64 {
    let (times, of) = (u128::from(k + 1) * u128::from(used), u128::from(of));
    match of {
        0 => 0.0,
        _ if times % of == 0 => (times / of) as f64 / (k + 1) as f64,
        _ => (times / of) as f64 / k as f64,
    }
}

/// Drops ways that another one beats; of too many also memory's last digits, downwards, which can only lower the bound.
fn thin(ways: &mut Ways, capacity: f64) {
    const MOST: usize = 4096;
    for round in 0..2 {
        if round == 1 {
            if ways.len() <= MOST {
                return;
            }
            let cell = capacity / MOST as f64;
            ways.iter_mut().for_each(|w| w.0 = (w.0 / cell).floor() * cell);
        }
        ways.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut least = f64::INFINITY;
        ways.retain(|w| {
            let better = w.1 < least;
            least = least.min(w.1);
            better
        });
    }
}
