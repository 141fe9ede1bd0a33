//! Which labels are not worth extending, because another one at the same server is as good in all that counts.

use std::collections::HashMap;

use rayon::prelude::*;

use super::{CHUNK, CLOSABLE, Front, Label, Paid, Search};
use crate::placement::delay::Communication;
use crate::placement::tables::MEMORY;
use crate::search::Clock;

impl Search<'_> {
    /// Labels that no other dominates, by server, in the order of their cost.
    /// Not all of them once the clock has run out.
    pub(super) fn undominated(
        &self,
        front: &Front,
        labels: Vec<Label>,
        l: usize,
        step: f64,
        clock: &Clock,
    ) -> Vec<Label> {
        let mut groups: Vec<Vec<Label>> = vec![Vec::new(); self.t.servers];
        let many = labels.len() > 4 * CHUNK;
        for label in labels {
            groups[label.server as usize].push(label);
        }
        if self.threads && many {
            let one = |group| self.undominated_group(front, group, l, step, clock.clone());
            groups.into_par_iter().map(one).collect::<Vec<Vec<Label>>>().concat()
        } else {
            let one = |group| self.undominated_group(front, group, l, step, clock.clone());
            groups.into_iter().flat_map(one).collect()
        }
    }

    fn undominated_group(
        &self,
        front: &Front,
        mut group: Vec<Label>,
        l: usize,
        step: f64,
        mut clock: Clock,
    ) -> Vec<Label> {
        /// Comparisons of one label with those of a group where they are made one by one: dominance is worth only so
        /// much.
        const LOOKED_AT: usize = 4096;
        let t = self.t;
        let (s, kinds) = (t.servers, t.kinds);
        let stride = s * kinds;
        // What differs by less than dominance may lose counts as equal, so that the leaner one comes first.
        let key = |x: &Label| if step > 0.0 { (x.cost / step).floor() } else { x.cost };
        group.sort_by(|a, b| key(a).total_cmp(&key(b)).then(a.quality.total_cmp(&b.quality)));
        // Where only memory is limited, quality and memories tell all.
        let plain = kinds == 1 && s <= CLOSABLE && t.communication == Communication::Chain;
        let mut kept = Kept::default();
        let mut used = Vec::with_capacity(stride);
        let mut open: Vec<usize> = Vec::with_capacity(stride);
        for (at, label) in group.into_iter().enumerate() {
            if at % CHUNK == 0 && clock.look() {
                break;
            }
            used.clear();
            self.used(front, &label, l, &mut used);
            let own = label.server as usize;
            let Label { closed, done, must, .. } = label;
            open.clear();
            for k in (0..s).filter(|&k| k != own && (k >= CLOSABLE || must >> k & 1 == 1)) {
                open.extend(k * kinds..(k + 1) * kinds);
            }
            // On its own server a label may stay, however closed it is to a return.
            open.extend(own * kinds + 1..(own + 1) * kinds);
            let memory = used[own * kinds + MEMORY];
            let paid = (t.communication == Communication::Paper).then(|| self.paid(front, &label, l));
            let beats = |at: usize| {
                open.iter().all(|&d| kept.used[at * stride + d] <= used[d])
                    && paid
                        .as_ref()
                        .is_none_or(|paid| kept.labels[at].cost + unpaid(&kept.paid[at], paid) <= label.cost + step)
            };
            // Who may not go where the label may, or is to come back to what it need not, is no better.
            let mut groups = kept.groups.iter().filter(|group| group.done & !closed == 0 && group.must & !must == 0);
            let beaten = |group: &Group| match plain {
                true => group.below(&used, label.quality, memory),
                false => group.any(label.quality, memory, LOOKED_AT, beats),
            };
            if groups.any(beaten) {
                continue;
            }
            let at = kept.labels.len() as u32;
            let same = |group: &Group| (group.done, group.must) == (done, must);
            let group = kept.groups.iter().position(same).unwrap_or_else(|| {
                kept.groups.push(Group::new(done, must));
                kept.groups.len() - 1
            });
            match plain {
                true => kept.groups[group].step(&used, label.quality, memory),
                false => kept.groups[group].push(label.quality, memory, at),
            }
            kept.labels.push(label);
            kept.used.extend_from_slice(&used);
            kept.paid.extend(paid);
        }
        kept.labels
    }
}

/// Labels that nothing dominates so far.
#[derive(Default)]
struct Kept {
    labels: Vec<Label>,
    used: Vec<f64>,
    paid: Vec<Paid>,
    /// By the servers that they left.
    groups: Vec<Group>,
}

/// Labels that left the same servers, for good or to come back, in the order of their cost.
#[derive(Default)]
struct Group {
    done: u64,
    must: u64,
    /// The servers to come back to.
    owed: Vec<usize>,
    /// Where that tells all: stairs of quality and memory of labels that hold the same on the servers to come back to.
    stairs: Vec<Stairs>,
    known: HashMap<Vec<u64>, usize>,
    /// For each of those servers, what the labels of each of the stairs hold there.
    held: Vec<Vec<f64>>,
    /// Of the labels of each of the stairs, or else of each label: least quality and memory of their own server, which
    /// tell most apart.
    quality: Vec<f64>,
    memory: Vec<f64>,
    at: Vec<u32>,
}

/// Compared at once, without a branch.
const AT_ONCE: usize = 16;

/// Quality and own memory of labels that hold the same elsewhere: ascending and descending, without what others beat.
#[derive(Default)]
struct Stairs(Vec<(f64, f64)>);

impl Stairs {
    /// Whether one needs no more of both.
    fn below(&self, quality: f64, memory: f64) -> bool {
        let upto = self.0.partition_point(|step| step.0 <= quality);
        upto > 0 && self.0[upto - 1].1 <= memory
    }
}

impl Group {
    fn new(done: u64, must: u64) -> Group {
        let owed: Vec<usize> = (0..CLOSABLE).filter(|k| must >> k & 1 == 1).collect();
        Group { done, must, held: vec![Vec::new(); owed.len()], owed, ..Group::default() }
    }

    /// Whether a label needs no more of quality, of its own memory and of what is held elsewhere: `used`, of each
    /// server.
    fn below(&self, used: &[f64], quality: f64, memory: f64) -> bool {
        for (first, stairs) in self.stairs.chunks(AT_ONCE).enumerate().map(|(chunk, stairs)| (chunk * AT_ONCE, stairs))
        {
            let these = first..first + stairs.len();
            let mut leaner = [false; AT_ONCE];
            let least = self.quality[these.clone()].iter().zip(&self.memory[these.clone()]);
            leaner.iter_mut().zip(least).for_each(|(x, (&q, &m))| *x = (q <= quality) & (m <= memory));
            for (held, &k) in self.held.iter().zip(&self.owed) {
                leaner.iter_mut().zip(&held[these.clone()]).for_each(|(x, &held)| *x &= held <= used[k]);
            }
            if stairs.iter().zip(leaner).any(|(stairs, leaner)| leaner && stairs.below(quality, memory)) {
                return true;
            }
        }
        false
    }

    /// Adds a label that none is below.
    fn step(&mut self, used: &[f64], quality: f64, memory: f64) {
        let held = self.owed.iter().map(|&k| used[k]);
        let at = *self.known.entry(held.clone().map(f64::to_bits).collect()).or_insert_with(|| {
            self.held.iter_mut().zip(held).for_each(|(column, held)| column.push(held));
            self.quality.push(quality);
            self.memory.push(memory);
            self.stairs.push(Stairs::default());
            self.stairs.len() - 1
        });
        self.quality[at] = self.quality[at].min(quality);
        self.memory[at] = self.memory[at].min(memory);
        let steps = &mut self.stairs[at].0;
        let first = steps.partition_point(|step| step.0 < quality);
        let beaten = steps[first..].partition_point(|step| step.1 >= memory);
        steps.splice(first..first + beaten, [(quality, memory)]);
    }

    fn push(&mut self, quality: f64, memory: f64, at: u32) {
        self.quality.push(quality);
        self.memory.push(memory);
        self.at.push(at);
    }

    /// Whether one of the first `most` needs no more of both, and `beats`.
    fn any(&self, quality: f64, memory: f64, most: usize, beats: impl Fn(usize) -> bool) -> bool {
        let n = self.at.len().min(most);
        let chunks =
            self.quality[..n].chunks(AT_ONCE).zip(self.memory[..n].chunks(AT_ONCE)).zip(self.at.chunks(AT_ONCE));
        for ((q, m), at) in chunks {
            let leaner = |q: f64, m: f64| (q <= quality) & (m <= memory);
            let some = q.iter().zip(m).fold(false, |some, (&q, &m)| some | leaner(q, m));
            if some && q.iter().zip(m).zip(at).any(|((&q, &m), &at)| leaner(q, m) && beats(at as usize)) {
                return true;
            }
        }
        false
    }
}

/// What `theirs` has paid for and `ours` has not.
fn unpaid(ours: &Paid, theirs: &Paid) -> f64 {
    let missing = |&(pair, charge): &(u32, f64)| {
        let paid = ours.iter().find(|p| p.0 == pair).map_or(0.0, |p| p.1);
        (charge - paid).max(0.0)
    };
    theirs.iter().map(missing).sum()
}
