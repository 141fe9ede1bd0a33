//! What runs of layers cost at a price of weight errors: each a knapsack over cells of memory, needs rounded up, so
//! that memories hold.

use rayon::prelude::*;

use crate::placement::prices;
use crate::placement::tables::{BUSY, MEMORY, Tables};

/// All of a server's memory.
pub(super) const ALL: usize = 12;
/// A layer without a server costs so many times the slowest computation of all layers.
const UNCOVERED: f64 = 10.0;

/// A server, or a part of its memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub server: usize,
    /// Of [`ALL`].
    pub share: usize,
    pub cells: usize,
}

/// Costs of crossings and of runs of layers. Orders are of parts.
pub(super) struct Costs<'t> {
    pub t: &'t Tables,
    pub parts: &'t [Part],
    /// What all priced limits cost at their prices, and so the most that costs have on top of delays.
    pub worth: f64,
    /// By choice and server; infinite if it does not fit.
    node: Vec<f64>,
    /// Cells that each choice needs on each server, rounded up.
    units: &'t [usize],
    /// By first layer and part: the cost of each length, and where it starts.
    runs: Vec<f64>,
    starts: Vec<usize>,
    pub uncovered: f64,
    /// Whether crossings take the same after all layers but the last: they are in `links` then, by pair of servers;
    /// otherwise these are of the layer that sends most.
    pub alike: bool,
    links: Vec<f64>,
}

/// Operations that the costs of all runs take at one price, about, and how many numbers they are.
pub(super) fn effort(t: &Tables, parts: &[Part]) -> (f64, f64) {
    let least = t.choices.iter().map(|c| c.memory).fold(f64::INFINITY, f64::min).max(1.0);
    let layers = t.layers as f64;
    let one = |part: &Part| {
        let share = part.share as f64 / ALL as f64;
        let longest = (share * t.capacity[part.server * t.kinds + MEMORY] / least).min(layers);
        (longest * t.choices.len() as f64 * (part.cells + 1) as f64, longest * layers)
    };
    parts.iter().map(one).fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Cells that choices need, rounded up.
pub(super) fn units(t: &Tables) -> Vec<usize> {
    let mut out = Vec::with_capacity(t.choices.len() * t.servers);
    for c in &t.choices {
        for i in 0..t.servers {
            let capacity = t.capacity[i * t.kinds + MEMORY];
            let exact = if capacity > 0.0 { c.memory / capacity * t.cells[i] as f64 } else { 0.0 };
            out.push(if c.memory > capacity { usize::MAX } else { (exact - 1e-9).ceil().max(0.0) as usize });
        }
    }
    out
}

impl<'t> Costs<'t> {
    /// At prices of weight errors and of computing, by model and server.
    pub fn new(
        t: &'t Tables,
        (quality, busy): (&[f64], &[f64]),
        units: &'t [usize],
        parts: &'t [Part],
        threads: bool,
    ) -> Costs<'t> {
        let mut node = Vec::with_capacity(t.choices.len() * t.servers);
        let mut most = 0.0;
        for l in 0..t.layers {
            for c in t.choices(l) {
                for (i, busy) in busy.iter().enumerate() {
                    let seconds = t.seconds(c, i);
                    let time = busy * t.busy(seconds, i);
                    let fits = prices::fits_alone(t, l, i, c);
                    let cost = seconds + time + quality[t.model[l]] * c.quality;
                    most = if fits && cost > most { cost } else { most };
                    node.push(if fits { cost } else { f64::INFINITY });
                }
            }
        }
        let inner = 0..t.layers - 1;
        let same = |l: usize| (t.bytes[l], t.crossings[l]) == (t.bytes[0], t.crossings[0]) && !t.model_ends(l);
        let alike = inner.clone().all(same);
        let longest = inner.max_by(|&a, &b| t.bytes[a].total_cmp(&t.bytes[b])).unwrap_or(0);
        let links = (0..t.servers * t.servers).map(|at| t.transfer(longest, at / t.servers, at % t.servers)).collect();
        let limit = |i: usize| if t.kinds > BUSY { t.capacity[i * t.kinds + BUSY] } else { f64::INFINITY };
        let times = busy.iter().enumerate().filter(|(_, price)| **price > 0.0).map(|(i, price)| price * limit(i));
        let worth = times.sum::<f64>() + t.budget.iter().zip(quality).map(|(b, price)| b * price).sum::<f64>();
        let uncovered = UNCOVERED * most;
        let mut costs =
            Costs { t, parts, worth, node, units, runs: Vec::new(), starts: vec![0], uncovered, alike, links };
        let one = |at: usize| costs.lengths(at / parts.len(), parts[at % parts.len()]);
        let all = 0..t.layers * parts.len();
        let runs: Vec<Vec<f64>> = if threads { all.into_par_iter().map(one).collect() } else { all.map(one).collect() };
        for run in runs {
            costs.runs.extend(run);
            costs.starts.push(costs.runs.len());
        }
        costs
    }

    fn lengths(&self, l: usize, Part { server: i, cells, .. }: Part) -> Vec<f64> {
        let mut used = vec![f64::INFINITY; cells + 1];
        used[0] = 0.0;
        let mut out = Vec::new();
        for e in l..self.t.layers {
            used = self.one_more(e, i, &used);
            let least = used.iter().copied().fold(f64::INFINITY, f64::min);
            if least.is_infinite() {
                break;
            }
            out.push(least);
        }
        out
    }

    fn one_more(&self, l: usize, i: usize, used: &[f64]) -> Vec<f64> {
        let t = self.t;
        let mut next = vec![f64::INFINITY; used.len()];
        for c in t.starts[l]..t.starts[l + 1] {
            let (cost, units) = (self.node[c * t.servers + i], self.units[c * t.servers + i]);
            if cost.is_infinite() || units >= used.len() {
                continue;
            }
            for (next, used) in next[units..].iter_mut().zip(used) {
                let cost = cost + used;
                *next = if cost < *next { cost } else { *next };
            }
        }
        next
    }

    /// The cost of each number of layers from l on, on a part.
    pub fn run(&self, l: usize, part: usize) -> &[f64] {
        let at = l * self.parts.len() + part;
        &self.runs[self.starts[at]..self.starts[at + 1]]
    }

    /// Of a crossing before layer l.
    #[inline]
    pub fn crossing(&self, l: usize, from: usize, to: usize) -> f64 {
        if self.alike {
            self.link(from, to)
        } else {
            self.t.transfer(l - 1, self.parts[from].server, self.parts[to].server)
        }
    }

    /// Of a crossing after the layer that sends most.
    pub fn link(&self, from: usize, to: usize) -> f64 {
        self.links[self.parts[from].server * self.t.servers + self.parts[to].server]
    }

    /// The choices of a run that cost least, appended to a path.
    pub fn choices(&self, l: usize, n: usize, part: usize, path: &mut Vec<(u32, u32)>) -> Option<()> {
        let (t, Part { server: i, cells, .. }) = (self.t, self.parts[part]);
        let mut used = vec![f64::INFINITY; cells + 1];
        used[0] = 0.0;
        let mut rows = vec![used];
        for e in l..l + n {
            rows.push(self.one_more(e, i, &rows[e - l]));
        }
        let mut u = (0..rows[n].len()).min_by(|&a, &b| rows[n][a].total_cmp(&rows[n][b]))?;
        let first = path.len();
        for e in (l..l + n).rev() {
            let way = |c: usize| {
                let before = u.checked_sub(self.units[c * t.servers + i])?;
                Some((self.node[c * t.servers + i] + rows[e - l][before], c, before))
            };
            let ways = (t.starts[e]..t.starts[e + 1]).filter_map(way);
            let (_, c, before) = ways.min_by(|a, b| a.0.total_cmp(&b.0))?;
            path.push((i as u32, (c - t.starts[e]) as u32));
            u = before;
        }
        path[first..].reverse();
        Some(())
    }
}
