//! Tighter ways to the end: paths that keep to the budget of weight errors, and remember what is left of some servers.
//!
//! The paths of [`Reduced`] cheat in two ways that prices prevent only on average. Where the budget is only priced, a bound
//! is a mean of paths with few bits on few servers and of paths with many bits on many, and pays for half a link. And
//! they come back to a server and find its memory whole again. Here the state is (layer, levels of the *tracked* servers,
//! budget left, server, memory left on it). The budget is in cells, of which choices need so many, rounded down; what
//! rounding lets through is still priced. A level is whole, at most half left, or too full for any layer: a run that ends
//! with so many cells left lowers the level of its server, rounded up, and a run that begins there later has no more
//! memory than the level says.
//!
//! Tables are in single precision, and lowered by what its rounding may have added.

use rayon::prelude::*;

use super::prices::{Evaluated, Prices, Reduced, leave};
use super::tables::Tables;

/// Cells of the budget: at most; for each layer, where rounding is to lose little; and so few that fewer are worth nothing.
const MOST: usize = 512;
pub(super) const A_LAYER: usize = 10;
pub(super) const FEW: usize = 12;

/// Levels of a server.
const LEVELS: usize = 3;
const FULL: usize = 0;
const HALF: usize = 1;
const WHOLE: usize = 2;

/// What states tell apart.
#[derive(Debug, Clone)]
pub(super) struct States {
    /// Cells of the budget.
    budget: usize,
    /// What each choice needs of them.
    units: Vec<usize>,
    /// What a level of each server counts in the number of all levels; 0 if it is not tracked.
    weight: Vec<usize>,
    levels: usize,
    /// Fewest cells of memory that any layer after l needs on each server (layer × server).
    least: Vec<usize>,
}

impl States {
    /// As many as a table of so many numbers has room for, servers in order of preference, after so many cells of the
    /// budget; none if there is hardly any room.
    pub fn new(t: &Tables, order: &[usize], largest: usize, wanted: usize) -> Option<States> {
        let room = largest / (t.layers * t.servers * t.stride);
        let wanted = wanted.clamp(FEW, MOST);
        if room <= FEW {
            return None;
        }
        let (mut weight, mut levels) = (vec![0; t.servers], 1);
        for &i in order {
            if levels * LEVELS * (wanted + 1) > room {
                break;
            }
            weight[i] = levels;
            levels *= LEVELS;
        }
        let budget = (room / levels - 1).min(MOST);
        let mut units = Vec::with_capacity(t.choices.len());
        for l in 0..t.layers {
            let limit = t.budget[t.model[l]];
            let need = |c: &super::tables::Choice| match c.quality <= limit {
                true => count(c.quality, limit, budget),
                false => usize::MAX,
            };
            units.extend(t.choices(l).iter().map(need));
        }
        let mut least = vec![usize::MAX; t.layers * t.servers];
        for l in (0..t.layers - 1).rev() {
            for i in 0..t.servers {
                let own = (t.starts[l + 1]..t.starts[l + 2]).map(|c| usize::from(t.units[c * t.servers + i])).min();
                least[l * t.servers + i] = own.unwrap_or(usize::MAX).min(least[(l + 1) * t.servers + i]);
            }
        }
        Some(States { budget, units, weight, levels, least })
    }

    /// Cells of the budget left for a label at layer l that used so much of it: never too few.
    pub fn budget_left(&self, t: &Tables, l: usize, used: f64) -> usize {
        let limit = t.budget[t.model[l]];
        let left = (limit - used).max(0.0) * (1.0 + 1e-12);
        if limit > 0.0 && limit.is_finite() { count(left, limit, self.budget) } else { self.budget }
    }

    /// The levels at layer l, given the cells left on each server; 0 where it cannot come back.
    pub fn levels(&self, t: &Tables, l: usize, left: impl Fn(usize) -> usize) -> usize {
        let tracked = (0..t.servers).filter(|&i| self.weight[i] > 0);
        tracked.map(|i| self.weight[i] * self.level_of(t, l, i, left(i))).sum()
    }

    fn level(&self, levels: usize, i: usize) -> usize {
        levels.checked_div(self.weight[i]).map_or(WHOLE, |above| above % LEVELS)
    }

    /// The level of server i after layer l with so many cells left.
    fn level_of(&self, t: &Tables, l: usize, i: usize, cells: usize) -> usize {
        if cells < self.least[l * t.servers + i] {
            FULL
        } else if cells <= t.cells[i] / 2 {
            HALF
        } else {
            WHOLE
        }
    }

    /// The levels with another one of server i.
    fn with(&self, levels: usize, i: usize, level: usize) -> usize {
        if self.weight[i] == 0 {
            levels
        } else {
            levels - self.weight[i] * self.level(levels, i) + self.weight[i] * level
        }
    }

    /// Cells that a run on server i has.
    fn cells(&self, t: &Tables, levels: usize, i: usize) -> Option<usize> {
        match self.level(levels, i) {
            FULL => None,
            HALF => Some(t.cells[i] / 2),
            _ => Some(t.cells[i]),
        }
    }
}

/// Whole cells of an amount.
fn count(amount: f64, limit: f64, cells: usize) -> usize {
    if limit > 0.0 && limit.is_finite() { ((amount / limit * cells as f64).floor() as usize).min(cells) } else { 0 }
}

/// Ways to the end from every state, at some prices.
#[derive(Debug, Clone)]
pub(super) struct Ways {
    pub states: States,
    /// layer × levels × budget left × server × stride.
    tail: Vec<f32>,
    /// layer × levels × budget left × server.
    enter: Vec<f64>,
    /// What single precision may have added to a way: a part of it, and where numbers are too small for it.
    error: f64,
    smallest: f64,
    pub reduced: Reduced,
    /// No feasible assignment is faster.
    pub bound: f64,
    /// The path of the bound: server and choice of each layer.
    path: Vec<(u32, u32)>,
}

impl Ways {
    pub fn new(t: &Tables, reduced: Reduced, states: &States, threads: bool) -> Ways {
        let planes = states.levels * (states.budget + 1) * t.servers;
        // Each layer adds three times and rounds twice; no term is negative, so the relative error of a sum is below that of the
        // number of its terms.
        let mut ways = Ways {
            states: states.clone(),
            tail: vec![0.0; t.layers * planes * t.stride],
            enter: vec![f64::INFINITY; t.layers * planes],
            error: (6 * t.layers + 6) as f64 * f64::from(f32::EPSILON),
            smallest: (6 * t.layers + 6) as f64 * f64::from(f32::MIN_POSITIVE),
            bound: 0.0,
            path: Vec::with_capacity(t.layers),
            reduced,
        };
        for l in (0..t.layers).rev() {
            ways.layer(t, l, threads);
        }
        ways.walk(t);
        ways
    }

    fn layer(&mut self, t: &Tables, l: usize, threads: bool) {
        let (s, row, budgets) = (t.servers, t.stride, self.states.budget + 1);
        let (states, r) = (&self.states, &self.reduced);
        let (plane, size) = (budgets * s, states.levels * budgets * s);
        let (now, later) = self.tail.split_at_mut((l + 1) * size * row);
        let now = &mut now[l * size * row..];
        let (enter, after) = self.enter.split_at_mut((l + 1) * size);
        let enter = &mut enter[l * size..];
        let last = l + 1 == t.layers;
        // The cheapest ways to leave each server, by the state that is left behind.
        let mut leaves: Vec<f32> = Vec::with_capacity(if last { 0 } else { size });
        let mut next = Vec::new();
        for state in 0..if last { 0 } else { states.levels * budgets } {
            // A new model has a budget of its own.
            let from = if t.model_ends(l) { state / budgets * budgets + budgets - 1 } else { state };
            leave(r, t, l, &mut next, &after[from * s..(from + 1) * s]);
            leaves.extend(next.iter().map(|&x| x as f32));
        }
        let one = |levels: usize, now: &mut [f32], enter: &mut [f64]| {
            for (at, budget, i) in (0..plane).map(|at| (at, at / s, at % s)) {
                let ways = &mut now[at * row..][..t.cells[i] + 1];
                let began = states.cells(t, levels, i).unwrap_or(t.cells[i]);
                if last {
                    r.ends(t, i, began).zip(ways).for_each(|(run, way)| *way = run as f32);
                    continue;
                }
                let ends = [
                    (WHOLE, t.cells[i] + 1),
                    (HALF, t.cells[i] / 2 + 1),
                    (FULL, states.least[l * s + i].min(t.cells[i] + 1)),
                ];
                for (level, end) in ends {
                    ways[..end].fill(leaves[states.with(levels, i, level) * plane + at]);
                }
                r.ends(t, i, began).zip(&mut *ways).for_each(|(run, way)| *way += run as f32);
                let budget = if t.model_ends(l) { budgets - 1 } else { budget };
                for c in t.starts[l + 1]..t.starts[l + 2] {
                    let (cost, units) = (r.node[c * s + i] as f32, usize::from(t.units[c * s + i]));
                    let Some(left) = budget.checked_sub(states.units[c]).filter(|_| units < ways.len()) else {
                        continue;
                    };
                    let later = &later[(levels * plane + left * s + i) * row..][..row];
                    for (way, later) in ways[units..].iter_mut().zip(later) {
                        let cost = cost + later;
                        *way = if cost < *way { cost } else { *way };
                    }
                }
            }
            for (at, enter) in enter.iter_mut().enumerate() {
                let (budget, i) = (at / s, at % s);
                let Some(cells) = states.cells(t, levels, i) else { continue };
                for c in t.starts[l]..t.starts[l + 1] {
                    let memory = cells.checked_sub(t.units[c * s + i].into());
                    if let (Some(memory), Some(budget)) = (memory, budget.checked_sub(states.units[c])) {
                        *enter = enter.min(r.node[c * s + i] + f64::from(now[(budget * s + i) * row + memory]));
                    }
                }
            }
        };
        if threads && states.levels > 1 {
            let parts = now.par_chunks_mut(plane * row).zip(enter.par_chunks_mut(plane));
            parts.enumerate().for_each(|(levels, (now, enter))| one(levels, now, enter));
        } else {
            let parts = now.chunks_mut(plane * row).zip(enter.chunks_mut(plane));
            parts.enumerate().for_each(|(levels, (now, enter))| one(levels, now, enter));
        }
    }

    /// The cheapest way to the end after layer l on a server with so many cells left, with these levels and this budget
    /// left; never too much.
    pub fn tail(&self, t: &Tables, l: usize, levels: usize, budget: usize, server: usize, cells: usize) -> f64 {
        let budgets = self.states.budget + 1;
        let at = ((l * self.states.levels + levels) * budgets + budget) * t.servers + server;
        self.surely(f64::from(self.tail[at * t.stride + cells]))
    }

    /// What a way costs at least, whatever was rounded.
    fn surely(&self, way: f64) -> f64 {
        way * (1.0 - self.error) - self.smallest
    }

    /// The cheapest way on from before layer l on server `at`, by a choice there.
    fn choose(&self, t: &Tables, l: usize, levels: usize, at: usize, left: usize, budget: usize) -> (f64, usize) {
        let way = |c: usize| {
            let memory = left.checked_sub(t.units[c * t.servers + at].into())?;
            let budget = budget.checked_sub(self.states.units[c])?;
            Some((self.reduced.node[c * t.servers + at] + self.tail(t, l, levels, budget, at, memory), c))
        };
        let ways = (t.starts[l]..t.starts[l + 1]).filter_map(way);
        ways.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::INFINITY, t.starts[l]))
    }

    /// The shortest path, and its bound.
    fn walk(&mut self, t: &Tables) {
        let (s, budgets) = (t.servers, self.states.budget + 1);
        let least = |of: &dyn Fn(usize) -> f64| (0..s).min_by(|&a, &b| of(a).total_cmp(&of(b))).unwrap_or(0);
        // All is whole at first.
        let (mut levels, mut budget) = (self.states.levels - 1, budgets - 1);
        let first = (levels * budgets + budget) * s;
        let mut at = least(&|i| self.enter[first + i]);
        self.bound = self.surely(self.enter[first + at]) - self.reduced.prices.sum();
        if self.bound.is_infinite() {
            return;
        }
        let mut left = t.cells[at];
        for l in 0..t.layers {
            let (_, pick) = self.choose(t, l, levels, at, left, budget);
            left = left.saturating_sub(t.units[pick * s + at].into());
            budget = budget.saturating_sub(self.states.units[pick]);
            self.path.push((at as u32, (pick - t.starts[l]) as u32));
            if l + 1 == t.layers {
                break;
            }
            let after = self.states.with(levels, at, self.states.level_of(t, l, at, left));
            let ends = t.model_ends(l);
            if ends {
                budget = budgets - 1;
            }
            let began = self.states.cells(t, levels, at).unwrap_or(t.cells[at]);
            let leaving = self.reduced.sending(t, l, at) + self.reduced.run(t, at, began - left);
            let step = |j: usize| {
                let crossing = match j == at {
                    true => f64::INFINITY,
                    false if ends => 0.0,
                    false => t.shared_transfer(l, at, j),
                };
                let state = ((l + 1) * self.states.levels + after) * budgets + budget;
                crossing + leaving + self.enter[state * s + j]
            };
            let to = least(&step);
            if step(to) < self.choose(t, l + 1, levels, at, left, budget).0 {
                let cells = self.states.cells(t, after, to).unwrap_or(0);
                (at, left, levels) = (to, cells, after);
            }
        }
    }
}

impl Evaluated for Ways {
    fn bound(&self) -> f64 {
        self.bound
    }

    fn prices(&self) -> &Prices {
        &self.reduced.prices
    }

    fn path(&self) -> &[(u32, u32)] {
        &self.path
    }
}
