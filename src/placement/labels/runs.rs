//! Ways to the end run by run. What a run costs depends on what is left of its server, and on nothing else that labels left
//! behind: so it is found once, and ways need not go through all cells of memory layer by layer.

use crate::placement::prices::Reduced;
use crate::placement::tables::Tables;

/// What runs cost on a server of which so many cells are left, at the prices of a [`Reduced`].
pub(super) struct Runs {
    /// For each layer that a run begins with, where its costs begin.
    starts: Vec<usize>,
    /// Cost of a run of one layer, of two, and so on as long as they fit.
    costs: Vec<f64>,
}

impl Runs {
    pub fn new(t: &Tables, r: &Reduced, server: usize, cells: usize) -> Runs {
        let mut runs = Runs { starts: vec![0], costs: Vec::new() };
        // The least that layers so far cost, for each number of cells left.
        let (mut now, mut next) = (vec![f64::INFINITY; cells + 1], vec![f64::INFINITY; cells + 1]);
        for first in 0..t.layers {
            now.fill(f64::INFINITY);
            now[cells] = 0.0;
            for l in first..t.layers {
                next.fill(f64::INFINITY);
                for c in t.starts[l]..t.starts[l + 1] {
                    let (cost, units) = (r.node[c * t.servers + server], usize::from(t.units[c * t.servers + server]));
                    if units > cells || cost.is_infinite() {
                        continue;
                    }
                    for (next, now) in next.iter_mut().zip(&now[units..]) {
                        let cost = now + cost;
                        *next = if cost < *next { cost } else { *next };
                    }
                }
                let ends = r.ends(t, server, cells).zip(&next).map(|(end, cost)| end + cost);
                let least = ends.fold(f64::INFINITY, f64::min);
                if least.is_infinite() {
                    break;
                }
                runs.costs.push(least);
                std::mem::swap(&mut now, &mut next);
            }
            runs.starts.push(runs.costs.len());
        }
        runs
    }

    fn from(&self, layer: usize) -> &[f64] {
        &self.costs[self.starts[layer]..self.starts[layer + 1]]
    }
}

/// What a path below the incumbent may consist of, at the prices of the root: usually a small part of all crossings.
pub(super) struct Alive {
    /// For each layer and each server that a run may begin on there, the servers it may be come from, and the cost.
    into: Vec<Vec<(u32, f64)>>,
    /// For each layer and server: how many layers a run that begins there may have, less one.
    lengths: Vec<(u32, u32)>,
}

impl Alive {
    /// Given the runs on each server if it is whole.
    pub fn new(t: &Tables, r: &Reduced, runs: &[&Runs], limit: f64) -> Alive {
        let (s, worth) = (t.servers, r.prices.sum());
        let mut alive = Alive { into: vec![Vec::new(); t.layers * s], lengths: vec![(0, 0); t.layers * s] };
        // Cheapest ways to leave a server after each layer, and to come to where a run has ended.
        let mut leaving = vec![0.0; t.layers * s];
        let mut ended = vec![f64::INFINITY; t.layers * s];
        let crossing = |l: usize, i: usize, j: usize| t.shared_transfer(l, i, j) + r.sending(t, l, i);
        for l in 0..t.layers - 1 {
            for i in 0..s {
                let ways = (0..s).filter(|&j| j != i).map(|j| crossing(l, i, j) + r.enter[(l + 1) * s + j]);
                leaving[l * s + i] = ways.fold(f64::INFINITY, f64::min);
            }
        }
        for l in 0..t.layers {
            for (j, runs) in runs.iter().enumerate() {
                let mut begun = if l == 0 { 0.0 } else { f64::INFINITY };
                for i in (0..s).filter(|&i| l > 0 && i != j) {
                    let cost = crossing(l - 1, i, j);
                    let way = ended[(l - 1) * s + i] + cost;
                    begun = f64::min(begun, way);
                    if way + r.enter[l * s + j] - worth < limit {
                        alive.into[l * s + j].push((i as u32, cost));
                    }
                }
                let lengths = &mut alive.lengths[l * s + j];
                lengths.0 = u32::MAX;
                for (more, cost) in runs.from(l).iter().enumerate() {
                    let at = (l + more) * s + j;
                    ended[at] = ended[at].min(begun + cost);
                    if begun + cost + leaving[at] - worth < limit {
                        *lengths = (lengths.0.min(more as u32), more as u32 + 1);
                    }
                }
            }
        }
        alive
    }
}

/// A server that runs may begin on, with what is left of it.
pub(super) struct Open<'r> {
    pub server: usize,
    pub cells: usize,
    pub runs: &'r Runs,
}

/// The cheapest ways to the end from layer `from` on, where crossings in its model cost `factors` (server × server) times
/// what they do at the root, that only begin runs on servers of `open`, and begin one on every
/// server of `must`: for each layer, those that begin a run there on each server (layer × server); and those after it on
/// server `own` with so many cells left (layer × cells).
pub(super) fn onward(
    t: &Tables,
    r: &Reduced,
    (alive, factors): (&Alive, Option<&[f64]>),
    from: usize,
    open: &[Open<'_>],
    own: usize,
    must: &[usize],
) -> (Vec<f64>, Vec<f64>) {
    let (s, n, span) = (t.servers, open.len(), t.layers - from);
    // For each set of those that are still to come (layer × server): where a run begins on one of them, it is no longer.
    let mut enter: Vec<Vec<f64>> = Vec::with_capacity(1 << must.len());
    // Ways to leave each open server after each layer (server × layer), and each server after one of them.
    let (mut leaving, mut now) = (vec![f64::INFINITY; n * span], vec![f64::INFINITY; s]);
    for set in 0..1usize << must.len() {
        let mut at = vec![f64::INFINITY; span * s];
        for l in (from..t.layers).rev() {
            let row = (l - from) * s;
            now.fill(if set == 0 && l + 1 == t.layers { 0.0 } else { f64::INFINITY });
            for o in open.iter().filter(|_| l + 1 < t.layers) {
                let enter = at[row + s + o.server];
                for &(i, mut cost) in &alive.into[(l + 1) * s + o.server] {
                    let i = i as usize;
                    if let Some(factors) = factors.filter(|_| t.model[l] == t.model[from]) {
                        let sending = r.sending(t, l, i);
                        cost = sending + factors[i * s + o.server] * (cost - sending);
                    }
                    let now = &mut now[i];
                    *now = if cost + enter < *now { cost + enter } else { *now };
                }
            }
            for (o, leaving) in open.iter().zip(leaving.chunks_mut(span)) {
                leaving[l - from] = now[o.server];
                let (shortest, longest) = alive.lengths[l * s + o.server];
                let lengths = shortest as usize..(longest as usize).min(o.runs.from(l).len());
                if !lengths.is_empty() {
                    at[row + o.server] =
                        least_sum(&o.runs.from(l)[lengths.clone()], &leaving[l - from + lengths.start..]);
                }
            }
            for (b, k) in must.iter().enumerate().filter(|(b, _)| set >> b & 1 == 1) {
                at[row + k] = enter[set & !(1 << b)][row + k];
            }
        }
        enter.push(at);
    }
    let rows = t.cells[own] + 1;
    let mut tail = vec![f64::INFINITY; span * rows];
    if let Some((at_open, o)) = open.iter().enumerate().find(|(_, o)| o.server == own) {
        for l in (from..t.layers).rev() {
            let (now, after) = tail[(l - from) * rows..].split_at_mut(rows);
            let leaving = leaving[at_open * span + l - from];
            if l + 1 < t.layers {
                r.end_or_stay(t, l, (own, o.cells), leaving, after, now);
            } else {
                r.ends(t, own, o.cells).zip(now).for_each(|(run, way)| *way = run + leaving);
            }
        }
    }
    (enter.pop().unwrap_or_default(), tail)
}

/// The least sum of two numbers at the same place.
fn least_sum(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 4;
    let lesser = |a: f64, b: f64| if b < a { b } else { a };
    let n = a.len().min(b.len());
    let (a, b) = (a[..n].chunks_exact(LANES), b[..n].chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a + b);
    let mut least = [f64::INFINITY; LANES];
    for (a, b) in a.zip(b) {
        least.iter_mut().zip(a.iter().zip(b)).for_each(|(least, (a, b))| *least = lesser(*least, a + b));
    }
    rest.chain(least).fold(f64::INFINITY, lesser)
}
