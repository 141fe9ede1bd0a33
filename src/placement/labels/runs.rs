//! What runs cost before any price of memory: found once for all prices, for the runs and crossings that a path below a
//! limit may consist of.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::rates::{FACTORS, Open, Parts, Rates, parts};
use crate::placement::prices::{Reduced, fits_alone};
use crate::placement::tables::Tables;

/// What a path below a limit may consist of, at the prices of the root: usually a small part of all crossings and runs.
/// What runs cost on a whole server is in seconds, with the root's prices of computing, and some of weight errors.
pub(super) struct Alive {
    servers: usize,
    layers: usize,
    /// For each layer and server, where a path may go on after the layer, and what that costs.
    pub onto: Vec<Vec<(u32, f64)>>,
    /// For each server and first layer (server × layer): how many layers a run may have: from, and less than.
    lengths: Vec<(u32, u32)>,
    /// And which is the first of these runs.
    first: Vec<usize>,
    /// For each run: where its costs begin, and the fewest cells that it needs.
    runs: Vec<(usize, usize)>,
    /// How many costs there are.
    numbers: usize,
    /// For each factor the least cost with at most so many cells, for as few as it needs, as many as there are, and all
    /// between. Rounded down.
    costs: [OnceLock<Vec<f32>>; FACTORS.len()],
    /// For each number of cells.
    parts: Vec<OnceLock<Parts>>,
}

/// What sums of two numbers in single precision may be too large by, relatively, is taken off before.
pub(super) const ROUNDED: f64 = 1.0 - 6e-8;

/// A number in single precision that is not above another, nor above what sums may be of: the largest.
pub(super) fn below(x: f64) -> f32 {
    let near = x.min(f64::from(f32::MAX / 4.0)) as f32;
    if f64::from(near) > x { near.next_down() } else { near }
}

/// Calls `each` with the layers, fewest cells and costs (for each number of cells up to all) of each run on a whole
/// server that begins at a layer, as long as it fits and that returns true.
fn runs(t: &Tables, node: &[f64], server: usize, layer: usize, mut each: impl FnMut(usize, usize, &[f64]) -> bool) {
    let (s, cells) = (t.servers, t.cells[server]);
    let (mut now, mut next) = (vec![0.0; cells + 1], Vec::new());
    let mut need = 0usize;
    for l in layer..t.layers {
        next.clear();
        next.resize(cells + 1, f64::INFINITY);
        let mut least = usize::MAX;
        for c in t.starts[l]..t.starts[l + 1] {
            let (cost, units) = (node[c * s + server], usize::from(t.units[c * s + server]));
            if cost.is_finite() && units <= cells {
                least = least.min(units);
                for (next, now) in next[units..].iter_mut().zip(&now) {
                    let cost = now + cost;
                    *next = if cost < *next { cost } else { *next };
                }
            }
        }
        need = need.saturating_add(least);
        if need > cells || !each(l + 1 - layer, need, &next) {
            return;
        }
        std::mem::swap(&mut now, &mut next);
    }
}

/// Cost of each choice on each server with the root's price of computing, and some of weight errors.
fn nodes(t: &Tables, r: &Reduced, factor: f64) -> Vec<f64> {
    let mut node = Vec::with_capacity(t.choices.len() * t.servers);
    for l in 0..t.layers {
        for c in t.choices(l) {
            let errors = factor * r.quality[t.model[l]] * c.quality;
            let cost = |i: usize| r.computing(t, c, i) + errors;
            node.extend((0..t.servers).map(|i| if fits_alone(t, l, i, c) { cost(i) } else { f64::INFINITY }));
        }
    }
    node
}

impl Alive {
    /// Nothing if there would be more than so many numbers.
    pub fn new(t: &Tables, r: &Reduced, limit: f64, most: usize) -> Option<Alive> {
        let (s, layers, worth) = (t.servers, t.layers, r.prices.sum());
        // Cheapest ways to leave a server after each layer.
        let mut leaving = vec![0.0; layers * s];
        let crossing = |l: usize, i: usize, j: usize| t.shared_transfer(l, i, j) + r.sending(t, l, i);
        for l in 0..layers - 1 {
            for i in 0..s {
                let ways = (0..s).filter(|&j| j != i).map(|j| crossing(l, i, j) + r.enter[(l + 1) * s + j]);
                leaving[l * s + i] = ways.fold(f64::INFINITY, f64::min);
            }
        }
        let rates = Rates::of(t, r);
        let price = |i: usize| Open::new(i, t.cells[i], parts(t.cells[i])).prices(&rates);
        let prices: Vec<Vec<f64>> = (0..s).map(price).collect();
        let node = nodes(t, r, 1.0);
        // Cheapest ways to come to where a run has ended.
        let mut ended = vec![f64::INFINITY; layers * s];
        let mut onto = vec![Vec::new(); layers * s];
        let mut lengths = vec![(1, 1); s * layers];
        let mut needs = vec![Vec::new(); s * layers];
        for l in 0..layers {
            for j in 0..s {
                let mut begun = if l == 0 { 0.0 } else { f64::INFINITY };
                for i in (0..s).filter(|&i| l > 0 && i != j) {
                    let cost = crossing(l - 1, i, j);
                    let way = ended[(l - 1) * s + i] + cost;
                    begun = f64::min(begun, way);
                    if way + r.enter[l * s + j] - worth < limit {
                        onto[(l - 1) * s + i].push((j as u32, cost));
                    }
                }
                let (lengths, needs) = (&mut lengths[j * layers + l], &mut needs[j * layers + l]);
                runs(t, &node, j, l, |n, need, costs| {
                    let cost = costs.iter().zip(&prices[j]).map(|(a, b)| a + b).fold(f64::INFINITY, f64::min);
                    let at = (l + n - 1) * s + j;
                    ended[at] = ended[at].min(begun + cost);
                    if begun + cost + leaving[at] - worth < limit {
                        *lengths = (if lengths.1 == 1 { n as u32 } else { lengths.0 }, n as u32 + 1);
                    }
                    needs.push(need);
                    true
                });
            }
        }
        let mut alive = Alive {
            servers: s,
            layers,
            onto,
            lengths,
            first: Vec::with_capacity(s * layers + 1),
            runs: Vec::new(),
            numbers: 0,
            costs: Default::default(),
            parts: (0..t.stride).map(|_| OnceLock::new()).collect(),
        };
        for (at, needs) in needs.iter().enumerate() {
            alive.first.push(alive.runs.len());
            let (least, end) = alive.lengths[at];
            for &need in &needs[least as usize - 1..end as usize - 1] {
                alive.runs.push((alive.numbers, need));
                alive.numbers += t.cells[at / layers] + 1 - need;
            }
        }
        alive.first.push(alive.runs.len());
        (alive.numbers.saturating_mul(FACTORS.len()) <= most).then_some(alive)
    }

    /// Numbers of layers of runs that may be, from and less than.
    pub fn lengths(&self, layer: usize, server: usize) -> Range<usize> {
        let (least, end) = self.lengths[server * self.layers + layer];
        least as usize..end as usize
    }

    /// These runs.
    pub fn runs(&self, layer: usize, server: usize) -> &[(usize, usize)] {
        let at = server * self.layers + layer;
        &self.runs[self.first[at]..self.first[at + 1]]
    }

    /// A server that runs may begin on.
    pub fn open(&self, server: usize, cells: usize) -> Open {
        Open::new(server, cells, Arc::clone(self.parts[cells].get_or_init(|| parts(cells))))
    }

    /// The costs of all runs at one of the [`FACTORS`].
    pub fn costs(&self, t: &Tables, r: &Reduced, factor: usize) -> &[f32] {
        self.costs[factor].get_or_init(|| {
            let node = nodes(t, r, FACTORS[factor]);
            let mut all = Vec::with_capacity(self.numbers);
            for server in 0..self.servers {
                for layer in 0..self.layers {
                    let lengths = self.lengths(layer, server);
                    runs(t, &node, server, layer, |n, need, costs| {
                        if lengths.contains(&n) {
                            all.extend(costs[need..].iter().map(|&cost| below(cost * ROUNDED)));
                        }
                        n + 1 < lengths.end
                    });
                }
            }
            all
        })
    }
}
