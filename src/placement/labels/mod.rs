//! The chain, layer by layer, as partial assignments (labels) that are extended, bounded and compared.
//!
//! A label is dropped when
//! - its *completion bound* (what it cost, the prices of what it used, the cheapest priced way to the end, less what
//!   all limits are worth) reaches the incumbent. A label that leaves a server becomes two: one that never comes back,
//!   for which the server is *closed* and what is left of it is waste, whose worth is added to the bound; and one that
//!   must come back, which costs at least the cheapest way that does. A server to which no completion below the
//!   incumbent can go, or which is too full for any layer to come, is closed as well. The cheapest way to the end is
//!   that of the root, or in wide passes that of a *context*: with what is left of each server, the servers to come
//!   back to, and the links paid for;
//! - another label at the same server is no slower, has no more weight error, may go wherever the label may, need not
//!   come back where the label need not, and uses no more of any server that both must come back to. This is what makes
//!   the permutations of bits among equal layers, and of the servers behind, one. In the paper form, what the label has
//!   paid for and the other has not is added to the other's cost;
//! - the pass is limited to a width, and others have lower bounds. The least bound dropped so is reported: without one,
//!   the pass has proven its best assignment optimal, or that there is none.
//!
//! The order of work, and so the result, does not depend on threads.

mod bounds;
mod contexts;
mod dominance;
mod rates;
mod rest;
mod runs;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rayon::prelude::*;

use self::contexts::{Contexts, ROOT, State};
use super::delay::Communication;
use super::prices::Reduced;
use super::tables::{BUSY, MEMORY, SENT, Tables};
use crate::search::Clock;

/// Relative distance from the incumbent at which a bound counts as reached: half of what "optimal" allows.
pub(super) const CLOSE: f64 = 5e-10;
/// Relative part of the incumbent that dominance may lose, over all layers together.
const LOST: f64 = 1e-10;
/// Labels of a layer that one thread handles.
const CHUNK: usize = 256;
/// The widest pass without contexts, which take more time than a few labels do.
const NARROW: usize = 128;
/// How many times as many labels are compared as are kept.
const MORE: usize = 3;
/// Servers that can be closed: bits of a word.
const CLOSABLE: usize = 64;

/// What never changes from pass to pass.
pub(super) struct Search<'t> {
    pub t: &'t Tables,
    pub reduced: Reduced,
    /// For each server: cheapest completions that come (back) to it; empty if they would be too large.
    via: Vec<Vec<f64>>,
    /// Least memory of any layer after this one.
    least_memory: Vec<f64>,
    /// Paper form: how many crossings there may be from a layer on, within its model, and the most bytes of one.
    rest: Vec<(usize, f64)>,
    /// Least error of the layers after this one, within its model.
    least_quality: Vec<f64>,
    /// Fewest cells of each server that any layer needs.
    least_units: Vec<usize>,
    pub threads: bool,
    contexts: Contexts,
    /// What all limits but of memory and weight errors are worth together, and the budgets from each model on.
    others: f64,
    budgets: Vec<f64>,
    /// The widest pass without contexts.
    narrow: usize,
    /// Whether a pass looks at paths that come back to servers they left.
    returns: bool,
}

/// What a pass found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Cost, and server and choice of each layer.
    pub best: Option<(f64, Vec<(u32, u32)>)>,
    /// Least bound of what was dropped for the width or time; infinite if nothing was.
    pub open: f64,
    /// Labels kept.
    pub labels: u64,
    pub out_of_time: bool,
}

#[derive(Debug, Clone, Copy)]
struct Label {
    /// With prices for what was used, but for runs on its own server.
    reduced: f64,
    cost: f64,
    /// With the root's prices of computing and sending.
    priced: f64,
    quality: f64,
    /// Worth of what is left on closed servers.
    waste: f64,
    /// The bound at the root's prices without the way to the end.
    floor: f64,
    bound: f64,
    /// Servers that no completion below the incumbent comes to, or is to come to.
    closed: u64,
    /// Of these, those that were left for good.
    done: u64,
    /// Servers that were left and are to be come back to.
    must: u64,
    parent: u32,
    server: u32,
    choice: u32,
    /// The server that was left for this one just now; [`NONE`] if it was this one, or nothing had to be sent.
    left: u32,
    context: u32,
}

const NONE: u32 = u32::MAX;

/// What becomes of the server that a label left.
#[derive(Clone, Copy)]
struct Plan {
    closed: u64,
    done: u64,
    must: u64,
    waste: f64,
}

/// Ordered pairs that were paid for, each with its charge.
type Paid = Arc<[(u32, f64)]>;

/// The labels of one layer.
#[derive(Default)]
struct Front {
    labels: Vec<Label>,
    /// `servers × kinds` for each label.
    used: Vec<f64>,
    /// Paper form only.
    paid: Vec<Paid>,
}

impl<'t> Search<'t> {
    pub fn new(t: &'t Tables, reduced: Reduced, threads: bool) -> Search<'t> {
        let mut least_memory = vec![f64::INFINITY; t.layers];
        let mut rest = vec![(0, 0.0); t.layers];
        let mut least_quality = vec![0.0; t.layers];
        let least =
            |l: usize, of: fn(&super::tables::Choice) -> f64| t.choices(l).iter().map(of).fold(f64::INFINITY, f64::min);
        for l in (0..t.layers).rev() {
            if l + 1 < t.layers {
                least_memory[l] = least_memory[l + 1].min(least(l + 1, |c| c.memory));
            }
            if !t.model_ends(l) {
                rest[l] = (rest[l + 1].0 + 1, f64::max(rest[l + 1].1, t.bytes[l]));
                least_quality[l] = least_quality[l + 1] + least(l + 1, |c| c.quality);
            }
        }
        let units = |i: usize| t.units.iter().skip(i).step_by(t.servers).copied().min();
        let least_units = (0..t.servers).map(|i| units(i).map_or(0, usize::from)).collect();
        let others = (0..t.servers).flat_map(|i| &reduced.prices.server[i * t.kinds + 1..(i + 1) * t.kinds]).sum();
        let budgets = (0..t.budget.len()).map(|m| reduced.prices.quality[m..].iter().sum()).collect();
        let mut search = Search {
            t,
            reduced,
            via: Vec::new(),
            least_memory,
            rest,
            least_quality,
            least_units,
            threads,
            contexts: Contexts::new(),
            others,
            budgets,
            narrow: NARROW,
            returns: true,
        };
        search.vias();
        search
    }

    fn vias(&mut self) {
        const LARGEST: usize = 20_000_000;
        let (t, r) = (self.t, &self.reduced);
        let closable = t.servers.min(CLOSABLE);
        if r.tail.len().saturating_mul(closable) > LARGEST {
            return;
        }
        self.via = if self.threads {
            (0..closable).into_par_iter().map(|k| r.via(t, k)).collect()
        } else {
            (0..closable).map(|k| r.via(t, k)).collect()
        };
    }

    /// One pass with at most `width` labels a layer, looking for less than `incumbent`: among all paths, or only those
    /// that never come back to one of the first servers, which can be closed. What the latter drops for want of room
    /// says nothing of the others.
    pub fn pass(&mut self, incumbent: f64, width: usize, returns: bool, clock: &mut Clock) -> Found {
        let t = self.t;
        self.returns = returns;
        let mut found = Found { open: f64::INFINITY, ..Found::default() };
        let limit = if incumbent.is_finite() { incumbent - CLOSE * incumbent.abs() } else { incumbent };
        let scale = if incumbent.is_finite() { incumbent } else { self.reduced.bound.max(0.0) };
        let step = LOST * scale / t.layers as f64;
        let contexts = width > self.narrow;
        if contexts {
            self.contexts.below(t, &self.reduced, &self.least_units, limit, clock);
        }
        let mut history: Vec<Vec<(u32, u32, u32)>> = Vec::with_capacity(t.layers);
        let mut front = Front::default();
        for l in 0..t.layers {
            // Nothing is below the least bound on the way.
            let least = front.labels.iter().map(|x| x.bound).fold(f64::INFINITY, f64::min);
            let least = if l == 0 { self.reduced.bound } else { least };
            let late = |open: f64| Found { open: least.min(open), out_of_time: true, ..Found::default() };
            if clock.look() {
                return Found { labels: found.labels, ..late(found.open) };
            }
            let next = self.extend(&front, l, limit);
            let (mut next, dropped) = self.refine_least(&front, next, l, limit, width, clock);
            found.open = found.open.min(dropped);
            // Far more than will be kept: the rest need not be compared.
            cut(&mut next, width.saturating_mul(MORE), &mut found.open);
            let mut kept = self.undominated(&front, next, l, step, clock);
            // Some were not looked at.
            if clock.look() {
                return Found { labels: found.labels, ..late(found.open) };
            }
            cut(&mut kept, width, &mut found.open);
            front = self.settle(&front, kept, l);
            found.labels += front.labels.len() as u64;
            history.push(front.labels.iter().map(|x| (x.parent, x.server, x.choice)).collect());
            if front.labels.is_empty() {
                return found;
            }
        }
        let best = front.labels.iter().enumerate().min_by(|a, b| a.1.cost.total_cmp(&b.1.cost));
        if let Some((mut at, label)) = best.map(|(at, label)| (at as u32, label)) {
            let mut path = Vec::with_capacity(t.layers);
            for labels in history.iter().rev() {
                let (parent, server, choice) = labels[at as usize];
                path.push((server, choice));
                at = parent;
            }
            path.reverse();
            found.best = Some((label.cost, path));
        }
        found
    }

    /// All extensions to layer l whose bound is below the limit, in the order of their parents.
    fn extend(&self, front: &Front, l: usize, limit: f64) -> Vec<Label> {
        if l == 0 {
            let mut out = Vec::new();
            self.extend_one(None, l, limit, &mut out);
            return out;
        }
        let chunk = |first: usize| {
            let mut out = Vec::new();
            for at in first..(first + CHUNK).min(front.labels.len()) {
                self.extend_one(Some((front, at)), l, limit, &mut out);
            }
            out
        };
        let starts: Vec<usize> = (0..front.labels.len()).step_by(CHUNK).collect();
        if self.threads && starts.len() > 1 {
            starts.into_par_iter().map(chunk).collect::<Vec<_>>().concat()
        } else {
            starts.into_iter().flat_map(chunk).collect()
        }
    }

    fn extend_one(&self, from: Option<(&Front, usize)>, l: usize, limit: f64, out: &mut Vec<Label>) {
        let (t, r) = (self.t, &self.reduced);
        let (s, kinds) = (t.servers, t.kinds);
        let choices = t.choices(l);
        let zero = vec![0.0; if from.is_none() { s * kinds } else { 0 }];
        let (parent, used, parent_at) = match from {
            None => (None, zero.as_slice(), 0),
            Some((front, at)) => (Some(&front.labels[at]), &front.used[at * s * kinds..(at + 1) * s * kinds], at),
        };
        let new_model = l == 0 || t.model_ends(l - 1);
        let worth = r.prices.sum();
        for j in 0..s {
            let closed = parent.map_or(0, |p| p.closed);
            let stays = parent.is_some_and(|p| p.server as usize == j);
            if j < CLOSABLE && closed >> j & 1 == 1 && !stays {
                continue;
            }
            let left = parent.filter(|_| !stays && !new_model).map_or(NONE, |p| p.server);
            let bit = if j < CLOSABLE { 1 << j } else { 0 };
            let (done, must) = parent.map_or((0, 0), |p| (p.done, p.must & !bit));
            let (mut base, mut priced) = ((0.0, 0.0), 0.0);
            let (mut debt, mut newly) = (0.0, 0.0);
            if let Some(p) = parent {
                (base, priced) = ((p.reduced, p.cost), p.priced);
                let i = p.server as usize;
                let mut crossing = 0.0;
                if j != i && !new_model {
                    crossing = t.transfer(l - 1, i, j);
                    if crossing.is_infinite() {
                        continue;
                    }
                    if kinds > SENT && used[i * kinds + SENT] + t.sent(l - 1, i) > t.capacity[i * kinds + SENT] {
                        continue;
                    }
                    base.0 += r.sending(t, l - 1, i);
                    priced += r.sending(t, l - 1, i);
                }
                if j != i {
                    base.0 += self.runs(used, i) - self.runs(used, j);
                }
                if let (Communication::Paper, false, Some((front, at))) = (t.communication, new_model, from) {
                    let pair = (i * s + j) as u32;
                    let mut fresh = j != i;
                    for &(paid, charge) in front.paid[at].iter() {
                        if paid == pair {
                            fresh = false;
                            crossing = (crossing - charge).max(0.0);
                        }
                        debt += self.counted(l, paid);
                    }
                    if fresh {
                        debt += self.counted(l, pair);
                        newly = self.crossing(l, pair);
                    }
                }
                base = (base.0 + crossing, base.1 + crossing);
                priced += crossing;
            }
            let quality = if new_model { 0.0 } else { parent.map_or(0.0, |p| p.quality) };
            let mut waste = parent.map_or(0.0, |p| p.waste);
            if let (true, Some(p)) = (new_model, parent) {
                // What the model before has left of its budget is of no more use.
                let m = t.model[l - 1];
                if r.quality[m] > 0.0 {
                    waste += r.quality[m] * (t.budget[m] - p.quality).max(0.0);
                }
            }
            // A server is left for good, or to come back to it.
            let mut plans = [Some(Plan { closed, done, must, waste }), None];
            if let Some(i) = parent.map(|p| p.server as usize).filter(|&i| !stays && i < CLOSABLE) {
                let bit = 1 << i;
                let room = t.capacity[i * kinds + MEMORY] - used[i * kinds + MEMORY] >= self.least_memory[l];
                let back = Plan { closed, done, must: must | bit, waste };
                waste += self.left_over(used, i, left != NONE, l);
                let gone = Plan { closed: closed | bit, done: done | bit, must, waste };
                plans = [Some(gone), Some(back).filter(|_| self.returns && room && closed & bit == 0)];
            }
            // A context is of the server that it was entered on.
            let context = parent.filter(|_| stays).map_or(ROOT, |p| p.context);
            // The context of the parent does not know what was paid for just now.
            let behind = self.behind(priced - newly, quality, l);
            let leaving = parent.filter(|_| !stays).map(|p| {
                let i = p.server as usize;
                let cells = t.cells_left(i, t.capacity[i * kinds + MEMORY] - used[i * kinds + MEMORY]);
                State { context: p.context, own: i, cells, closed: p.closed, behind }
            });
            let (capacity, own) = (&t.capacity[j * kinds..(j + 1) * kinds], &used[j * kinds..(j + 1) * kinds]);
            for Plan { closed, done, must, waste } in plans.into_iter().flatten() {
                let begun = leaving.map_or(f64::NEG_INFINITY, |state| {
                    let root = base.0 - worth - debt + waste + r.enter[l * s + j];
                    root.max(self.contexts.enter(&State { closed, ..state }, l, j))
                });
                if begun >= limit || (must != 0 && l + 1 == t.layers) {
                    continue;
                }
                for (w, c) in choices.iter().enumerate() {
                    let node = r.node[(t.starts[l] + w) * s + j];
                    let free = capacity[MEMORY] - own[MEMORY] - c.memory;
                    if free < 0.0 || node.is_infinite() {
                        continue;
                    }
                    let cells = t.cells_left(j, free);
                    let reduced = base.0 + node;
                    let floor = reduced - worth - debt + waste;
                    let at = (l * s + j) * t.stride + cells;
                    let root = self.owed(must, floor, at).max(floor + r.tail[at]).max(begun);
                    if root >= limit {
                        continue;
                    }
                    let seconds = t.seconds(c, j);
                    let quality = quality + c.quality;
                    if quality + self.least_quality[l] > t.budget[t.model[l]]
                        || (kinds > BUSY && own[BUSY] + t.busy(seconds, j) > capacity[BUSY])
                    {
                        continue;
                    }
                    let mut label = Label {
                        reduced,
                        floor,
                        cost: base.1 + seconds,
                        priced: priced + r.computing(t, c, j),
                        quality,
                        waste,
                        bound: root,
                        closed,
                        done,
                        must,
                        parent: parent_at as u32,
                        server: j as u32,
                        choice: w as u32,
                        left,
                        context,
                    };
                    label.bound = root.max(self.inside(&label, l, cells));
                    if label.bound < limit {
                        out.push(label);
                    }
                }
            }
        }
    }

    /// What a label uses, written over its parent's.
    fn used(&self, front: &Front, label: &Label, l: usize, out: &mut Vec<f64>) {
        let t = self.t;
        let (s, kinds) = (t.servers, t.kinds);
        let start = out.len();
        if l == 0 {
            out.resize(start + s * kinds, 0.0);
        } else {
            let at = label.parent as usize * s * kinds;
            out.extend_from_slice(&front.used[at..at + s * kinds]);
            let i = front.labels[label.parent as usize].server as usize;
            if kinds > SENT && i != label.server as usize && !t.model_ends(l - 1) {
                out[start + i * kinds + SENT] += t.sent(l - 1, i);
            }
        }
        let own = start + label.server as usize * kinds;
        let c = &t.choices(l)[label.choice as usize];
        out[own + MEMORY] += c.memory;
        if kinds > BUSY {
            out[own + BUSY] += t.busy(t.seconds(c, label.server as usize), label.server as usize);
        }
    }

    fn paid(&self, front: &Front, label: &Label, l: usize) -> Paid {
        let t = self.t;
        if l == 0 || t.model_ends(l - 1) {
            return Paid::default();
        }
        let before = &front.paid[label.parent as usize];
        let (i, j) = (front.labels[label.parent as usize].server as usize, label.server as usize);
        if i == j {
            return Paid::clone(before);
        }
        let (pair, charge) = ((i * t.servers + j) as u32, t.transfer(l - 1, i, j));
        match before.iter().position(|p| p.0 == pair) {
            Some(at) if before[at].1 >= charge => Paid::clone(before),
            Some(at) => before.iter().enumerate().map(|(k, &p)| if k == at { (pair, charge) } else { p }).collect(),
            None => before.iter().copied().chain([(pair, charge)]).collect(),
        }
    }

    fn settle(&self, front: &Front, labels: Vec<Label>, l: usize) -> Front {
        let mut used = Vec::with_capacity(labels.len() * self.t.servers * self.t.kinds);
        for label in &labels {
            self.used(front, label, l, &mut used);
        }
        let paper = self.t.communication == Communication::Paper;
        let paid = if paper { labels.iter().map(|x| self.paid(front, x, l)).collect() } else { Vec::new() };
        Front { labels, used, paid }
    }
}

/// Keeps the labels with the lowest bounds, the first of equal ones, in their order.
fn cut(labels: &mut Vec<Label>, width: usize, open: &mut f64) {
    if labels.len() <= width {
        return;
    }
    let mut order: Vec<u32> = (0..labels.len() as u32).collect();
    let by_bound = |a: &u32, b: &u32| labels[*a as usize].bound.total_cmp(&labels[*b as usize].bound).then(a.cmp(b));
    order.select_nth_unstable_by(width, by_bound);
    let dropped = order[width..].iter().map(|&at| labels[at as usize].bound).fold(f64::INFINITY, f64::min);
    *open = open.min(dropped);
    order.truncate(width);
    order.sort_unstable();
    *labels = order.into_iter().map(|at| labels[at as usize]).collect();
}
