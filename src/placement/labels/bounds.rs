//! What labels cost at least: at the prices of the root, and of their contexts; and which servers they need not look
//! at.

use rayon::prelude::*;

use super::contexts::State;
use super::rest::Behind;
use super::{CHUNK, CLOSABLE, Front, Label, MORE, Search};
use crate::placement::tables::MEMORY;
use crate::search::Clock;

impl Search<'_> {
    /// What contexts count of what lies behind, in the model of layer l.
    pub(super) fn behind(&self, priced: f64, quality: f64, l: usize) -> Behind {
        let m = self.t.model[l];
        Behind { cost: priced - self.others, errors: self.reduced.quality[m] * quality - self.budgets[m] }
    }

    /// The bound of a label in its context.
    pub(super) fn inside(&self, label: &Label, l: usize, cells: usize) -> f64 {
        let behind = self.behind(label.priced, label.quality, l);
        let own = label.server as usize;
        self.contexts.tail(&State { context: label.context, own, cells, closed: label.closed, behind }, l)
    }

    /// What bounds count of a pair's crossings from layer l on, at most: it can be crossed after every second layer.
    pub(super) fn counted(&self, l: usize, pair: u32) -> f64 {
        let (t, crossings) = (self.t, self.rest[l].0);
        let share = t.share(l, pair as usize / t.servers, pair as usize % t.servers);
        (crossings.div_ceil(2) as f64 * share).min(1.0) * self.crossing(l, pair)
    }

    /// The most that a crossing of a pair costs from layer l on.
    pub(super) fn crossing(&self, l: usize, pair: u32) -> f64 {
        let pair = pair as usize;
        self.t.crossings[l] * self.t.latency[pair] + self.rest[l].1 * self.t.per_byte[pair]
    }

    /// What a label costs at least that is to come back to servers: `at` is its place in a table of ways.
    pub(super) fn owed(&self, must: u64, floor: f64, at: usize) -> f64 {
        let servers = (0..self.via.len()).filter(|k| must >> k & 1 == 1);
        servers.map(|k| floor + self.via[k][at]).fold(f64::NEG_INFINITY, f64::max)
    }

    /// Those labels whose bounds are the least when all is known, more of them than will be kept, and the least bound
    /// of the rest. They are dropped before their contexts are made: what is known of them is above what is known of
    /// the others. Nothing if the time is over.
    pub(super) fn refine_least(
        &mut self,
        front: &Front,
        mut labels: Vec<Label>,
        l: usize,
        limit: f64,
        width: usize,
        clock: &mut Clock,
    ) -> (Vec<Label>, f64) {
        if width <= self.narrow {
            return (self.refine(front, labels, l, limit), f64::INFINITY);
        }
        // The prices of new contexts are those of the labels before, at first.
        self.contexts.make_room(labels.iter().chain(&front.labels));
        let enough = width.saturating_mul(MORE);
        let many = labels.len() > enough;
        if many {
            labels.sort_by(|a, b| a.bound.total_cmp(&b.bound));
        }
        let mut refined: Vec<Label> = Vec::new();
        while !labels.is_empty() {
            let mut some = labels.split_off(enough.min(labels.len()));
            std::mem::swap(&mut some, &mut labels);
            if many {
                // Again in the order of their parents: what those of one left is looked at once.
                some.sort_by_key(|label| (label.parent, label.server, label.must, label.choice));
            }
            if !self.enter_contexts(front, &mut some, l, clock) {
                return (Vec::new(), f64::INFINITY);
            }
            refined.extend(self.refine(front, some, l, limit));
            if let Some(next) = labels.first()
                && refined.iter().filter(|label| label.bound <= next.bound).count() >= enough
            {
                return (refined, next.bound);
            }
        }
        (refined, f64::INFINITY)
    }

    /// Labels whose bound in their context is below the limit, with closed servers.
    fn refine(&self, front: &Front, labels: Vec<Label>, l: usize, limit: f64) -> Vec<Label> {
        let t = self.t;
        let zero = vec![0.0; t.servers * t.kinds];
        let one = |mut label: Label| {
            let j = label.server as usize;
            let used = if l == 0 { &zero } else { &front.used[label.parent as usize * t.servers * t.kinds..] };
            let c = &t.choices(l)[label.choice as usize];
            let left = t.capacity[j * t.kinds + MEMORY] - used[j * t.kinds + MEMORY] - c.memory;
            let cells = t.cells_left(j, left);
            let cell = (l * t.servers + j) * t.stride + cells;
            let tail = self.reduced.tail(t, l, j, cells);
            let bound = |label: &Label| label.bound.max(label.floor + tail).max(self.inside(label, l, cells));
            label.bound = bound(&label);
            if label.bound < limit {
                self.close(&mut label, used, left, cell, l, limit);
                label.bound = bound(&label);
            }
            (label.bound < limit && label.must & label.closed == 0).then_some(label)
        };
        if self.threads && labels.len() > 4 * CHUNK {
            labels.into_par_iter().with_min_len(CHUNK).filter_map(one).collect()
        } else {
            labels.into_iter().filter_map(one).collect()
        }
    }

    /// Closes servers, and adds what is left of them to the floor. The label's own server can only be closed to a
    /// return.
    fn close(&self, label: &mut Label, used: &[f64], left: f64, cell: usize, l: usize, limit: f64) {
        let t = self.t;
        if l + 1 == t.layers {
            return;
        }
        let j = label.server as usize;
        for k in 0..t.servers.min(CLOSABLE) {
            if label.closed >> k & 1 == 1 {
                continue;
            }
            let own = used[k * t.kinds + MEMORY];
            let left = if k == j { left } else { t.capacity[k * t.kinds + MEMORY] - own };
            let full = left < self.least_memory[l];
            let far = self.via.get(k).is_some_and(|via| label.floor + via[cell] >= limit);
            if full || far {
                label.closed |= 1 << k;
                if k != j {
                    let waste = self.left_over(used, k, label.left == k as u32, l);
                    label.waste += waste;
                    label.floor += waste;
                }
            }
        }
    }

    /// Price of what runs used of a server.
    pub(super) fn runs(&self, used: &[f64], k: usize) -> f64 {
        let left = self.t.capacity[k * self.t.kinds + MEMORY] - used[k * self.t.kinds + MEMORY];
        self.reduced.run(self.t, k, self.t.cells[k] - self.t.cells_left(k, left))
    }

    /// Worth of what is left on a server. If layer l is the first one after it, sending there is not in `used` yet.
    pub(super) fn left_over(&self, used: &[f64], k: usize, just_left: bool, l: usize) -> f64 {
        let t = self.t;
        let sending = if just_left { self.reduced.sending(t, l - 1, k) } else { 0.0 };
        let at = k * t.kinds..(k + 1) * t.kinds;
        let rows = self.reduced.server[at.clone()].iter().zip(&t.capacity[at.clone()]).zip(&used[at]);
        let worth = rows.filter(|((price, _), _)| **price > 0.0).map(|((price, limit), used)| price * (limit - used));
        let runs = self.reduced.run(t, k, t.cells[k]) - self.runs(used, k);
        (worth.sum::<f64>() + runs - sending).max(0.0)
    }
}
