//! A placement for where a search was stopped: quick, and with no claim to be good.
//!
//! The layers are walked along servers: on the one where the last layer is while there is room, then on to the one that
//! takes the next ones fastest. Bits are those that an exchange rate of memory against weight error asks for, fewer
//! where only these fit, and at last wider where memory is left until the budgets hold. Some rates, around the one at
//! which the budgets just hold, and some servers to begin at are tried.

use super::delay::Communication;
use super::problem::Seat;
use super::tables::{BUSY, MEMORY, SENT, Tables};

/// Exchange rates, in parts of the one at which the budgets just hold.
const RATES: [f64; 9] = [0.7, 0.8, 0.9, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0];
/// What of a rate the fewest bits are for.
const LEAST: [f64; 3] = [1.0, 0.5, 0.25];
/// Servers to begin at: the fastest.
const STARTS: usize = 2;

/// The fastest placement found, if one is faster than `best`.
pub(super) fn seed(t: &Tables, mut best: f64) -> Option<(f64, Vec<Seat>)> {
    let mut starts: Vec<usize> = (0..t.servers).collect();
    starts.sort_by(|&a, &b| t.slowness[a].total_cmp(&t.slowness[b]).then(a.cmp(&b)));
    starts.truncate(STARTS);
    let just = enough(t);
    let mut found = None;
    for part in RATES {
        let wanted = bits_for(t, just * part);
        for fewer in LEAST {
            let least = bits_for(t, just * part * fewer);
            for &start in &starts {
                let Some(mut walk) = Walk::new(t, (&wanted, &least), start, best) else { continue };
                walk.widen();
                let path = walk.path();
                let cost = t.cost(&path).filter(|cost| *cost < best && t.keeps_limits(&path));
                if let Some(cost) = cost {
                    best = cost;
                    found = Some(path);
                }
            }
        }
    }
    let seat = |(l, &(i, w)): (usize, &(u32, u32))| t.seat(l, i as usize, w as usize);
    found.map(|path| (best, path.iter().enumerate().map(seat).collect()))
}

/// The choice of each layer at which memory, and weight error at this rate, cost least together.
fn bits_for(t: &Tables, rate: f64) -> Vec<usize> {
    let memory: f64 = (0..t.servers).map(|i| t.capacity[i * t.kinds + MEMORY]).sum();
    let choose = |l: usize| {
        let budget = t.budget[t.model[l]].max(1.0);
        let cost = |c: usize| t.choices[c].memory / memory + rate * t.choices[c].quality / budget;
        let least = (t.starts[l]..t.starts[l + 1]).min_by(|&a, &b| cost(a).total_cmp(&cost(b)));
        least.unwrap_or(t.starts[l])
    };
    (0..t.layers).map(choose).collect()
}

/// The least rate at which the budgets hold, or a high one.
fn enough(t: &Tables) -> f64 {
    let (mut low, mut high) = (1e-6, 1e6);
    for _ in 0..24 {
        let middle = f64::sqrt(low * high);
        let path: Vec<(u32, u32)> =
            bits_for(t, middle).iter().zip(&t.starts).map(|(c, start)| (0, (c - start) as u32)).collect();
        if t.within_budgets(&path) { high = middle } else { low = middle }
    }
    high
}

/// Servers and choices of all layers, and what servers have left.
struct Walk<'t> {
    t: &'t Tables,
    servers: Vec<usize>,
    choices: Vec<usize>,
    left: Vec<f64>,
}

impl<'t> Walk<'t> {
    /// From a server, with the choices that are wanted or fewer bits; none where it ends before the layers do, or takes
    /// longer than `best`.
    fn new(t: &'t Tables, (wanted, least): (&[usize], &[usize]), start: usize, best: f64) -> Option<Walk<'t>> {
        let empty = || Vec::with_capacity(t.layers);
        let mut walk = Walk { t, servers: empty(), choices: empty(), left: t.capacity.clone() };
        let (mut at, mut delay) = (start, 0.0);
        for (l, (&wanted, &least)) in wanted.iter().zip(least).enumerate() {
            let choices = least.min(wanted)..wanted + 1;
            let mut chosen = walk.fitting(at, choices.clone());
            if chosen.is_none() {
                let transfer = |to: usize| if l == 0 { 0.0 } else { t.transfer(l - 1, at, to) };
                // The crossing is shared by the layers that there is room for.
                let cost = |i: usize| {
                    let c = walk.fitting(i, choices.clone())?;
                    let choice = &t.choices[c];
                    let room = (walk.left[i * t.kinds + MEMORY] / choice.memory.max(1.0)).floor().max(1.0);
                    let cost = transfer(i) / room + t.seconds(choice, i);
                    cost.is_finite().then_some((cost, i, c))
                };
                let (_, next, c) = (0..t.servers).filter_map(cost).min_by(|a, b| a.0.total_cmp(&b.0))?;
                delay += transfer(next);
                if l > 0 && t.kinds > SENT {
                    walk.left[at * t.kinds + SENT] -= t.sent(l - 1, at);
                }
                (at, chosen) = (next, Some(c));
            }
            let c = chosen?;
            let choice = &t.choices[c];
            delay += t.seconds(choice, at);
            // In the paper's form crossings may cost less than they do here.
            if delay >= best && t.communication == Communication::Chain {
                return None;
            }
            walk.left[at * t.kinds + MEMORY] -= choice.memory;
            if t.kinds > BUSY {
                walk.left[at * t.kinds + BUSY] -= t.busy(t.seconds(choice, at), at);
            }
            walk.servers.push(at);
            walk.choices.push(c);
        }
        Some(walk)
    }

    /// The last of some choices that a server has room for.
    fn fitting(&self, i: usize, mut choices: std::ops::Range<usize>) -> Option<usize> {
        let t = self.t;
        choices.rfind(|&c| {
            let choice = &t.choices[c];
            let busy = || t.busy(t.seconds(choice, i), i) <= self.left[i * t.kinds + BUSY];
            choice.memory <= self.left[i * t.kinds + MEMORY] && (t.kinds <= BUSY || busy())
        })
    }

    /// Servers and choices, as tables count them.
    fn path(&self) -> Vec<(u32, u32)> {
        let choice = |((&i, &c), &start): ((&usize, &usize), &usize)| (i as u32, (c - start) as u32);
        self.servers.iter().zip(&self.choices).zip(&self.t.starts).map(choice).collect()
    }

    /// Wider bits, a step of every layer after the other, where there is room and the budget does not hold yet.
    fn widen(&mut self) {
        let t = self.t;
        let mut error = vec![0.0; t.budget.len()];
        for (l, &c) in self.choices.iter().enumerate() {
            error[t.model[l]] += t.choices[c].quality;
        }
        let mut changed = true;
        while changed {
            changed = false;
            for l in 0..t.layers {
                let (m, c, i) = (t.model[l], self.choices[l], self.servers[l]);
                if error[m] <= t.budget[m] || c + 1 == t.starts[l + 1] {
                    continue;
                }
                let (before, after) = (&t.choices[c], &t.choices[c + 1]);
                let left = &mut self.left[i * t.kinds + MEMORY];
                let memory = after.memory - before.memory;
                if after.quality < before.quality && memory <= *left {
                    error[m] += after.quality - before.quality;
                    *left -= memory;
                    self.choices[l] = c + 1;
                    changed = true;
                }
            }
        }
    }
}
