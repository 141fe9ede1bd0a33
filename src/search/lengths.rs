//! Batches padded to their own longest prompt: a search over that length, around the exact solver for additive costs.
//!
//! A range of lengths [a, b] is relaxed by charging every request with a prompt of at most b as if padded to a (or to
//! its own prompt, if longer): what no such batch can reach, no batch with a longest prompt in the range can. The range
//! with the largest bound is halved, again and again, until it is a single length, which is solved exactly, or no bound
//! is above the incumbent. Good incumbents come first, from a few lengths solved exactly: with one, most ranges are
//! ruled out whole.

use std::collections::BinaryHeap;

use super::flat::{self, Goal, Run};
use super::original_rows;
use crate::bound::cover::join;
use crate::certificate::{Section, Solution, Work};
use crate::device::Ran;
use crate::instance::Instance;

/// A range of indices into the distinct lengths, with what bounds it. Ordered by bound, then longest prompts first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    bound: u64,
    high: usize,
    low: usize,
    /// Index of the proof among the sections.
    section: usize,
}

/// The largest batch of an instance that pads to the longest prompt, with its proof.
pub(crate) fn solve(instance: &Instance, run: &mut Run<'_>) -> Solution {
    let lengths = instance.prompt_lengths();
    let mut search =
        Search { instance, lengths: &lengths, best: Vec::new(), work: Work::default(), solved: Vec::new() };
    let mut sections: Vec<(u64, Section)> = Vec::new();
    let mut open = BinaryHeap::new();
    let mut settled = Vec::new();
    let mut proven = 0;
    if let Some(longest) = lengths.len().checked_sub(1) {
        // A batch first, then a bound, then better batches.
        let proof = search.solve(longest, run);
        search.solved.push((longest, proof));
        let (bound, section) = search.relax(0, longest, run);
        open.push(Range { bound, high: lengths.len() - 1, low: 0, section: 0 });
        sections.push((bound, section));
        search.probe(run);
    }
    while let Some(range) = open.pop() {
        if let Some(told) = &mut run.told {
            // The heap's largest is the largest of what is open.
            told.bound(range.bound.max(proven).max(search.best.len() as u64));
        }
        if range.bound <= search.size() || run.clock.look() {
            settled.push(range.section);
            proven = proven.max(sections[range.section].0);
            continue;
        }
        if range.low == range.high {
            let (bound, section) = search.solve(range.low, run);
            // A search that was stopped must not undo what the relaxation proved.
            if bound < range.bound || bound <= search.size() {
                sections[range.section] = (bound, section);
            }
            settled.push(range.section);
            proven = proven.max(sections[range.section].0);
            continue;
        }
        let middle = range.low + (range.high - range.low) / 2;
        for (low, high) in [(range.low, middle), (middle + 1, range.high)] {
            let (bound, section) = search.relax(low, high, run);
            open.push(Range { bound, high, low, section: sections.len() });
            sections.push((bound, section));
        }
        // Halves that were stopped may know less than the whole.
        let halves = sections.len() - 2;
        if sections[halves].0.max(sections[halves + 1].0) > range.bound {
            open.retain(|half| half.section < halves);
            settled.push(range.section);
            proven = proven.max(sections[range.section].0);
        }
    }
    let size = search.size();
    let certificate = join(size, settled.into_iter().map(|at| sections[at].clone()).collect());
    let mut work = search.work;
    work.stopped = certificate.bound > size;
    Solution { rows: search.best, certificate, work, ran: Ran::CPU }
}

struct Search<'i> {
    instance: &'i Instance,
    lengths: &'i [u32],
    best: Vec<u32>,
    work: Work,
    /// Lengths solved exactly, with their proofs.
    solved: Vec<(usize, (u64, Section))>,
}

impl Search<'_> {
    fn size(&self) -> u64 {
        self.best.len() as u64
    }

    /// A bound for the batches whose longest prompt is in a range.
    fn relax(&mut self, low: usize, high: usize, run: &mut Run<'_>) -> (u64, Section) {
        if let Some((_, proof)) = self.solved.iter().find(|(at, _)| low == high && *at == low) {
            return proof.clone();
        }
        let padded = (self.lengths[low], self.lengths[high]);
        let part = self.instance.padded(padded.0, padded.1);
        let goal = Goal::Bound { size: self.size(), complete: false };
        let found = flat::additive(&part, goal, 0, Some(padded), run);
        // What a bound leaves open is no stop.
        self.work.add(&Work { stopped: false, ..found.work });
        (found.bound, found.section)
    }

    /// The largest batch padded to one length, if it is larger than the incumbent; and the proof of a bound.
    fn solve(&mut self, at: usize, run: &mut Run<'_>) -> (u64, Section) {
        let length = self.lengths[at];
        let part = self.instance.padded(length, length);
        let found = flat::additive(&part, Goal::Batch, self.size(), Some((length, length)), run);
        self.work.add(&found.work);
        if found.rows.len() > self.best.len() {
            self.best = original_rows(self.instance, &part, &found.rows);
            if let Some(told) = &mut run.told {
                told.incumbent(&self.best);
            }
        }
        (found.bound, found.section)
    }

    /// Solves a few lengths exactly: evenly spread ones, then between the best of them and its neighbours.
    fn probe(&mut self, run: &mut Run<'_>) {
        let n = self.lengths.len();
        if n == 0 {
            return;
        }
        let mut step = n.div_ceil(8).max(1);
        let mut probes: Vec<usize> = (0..n).rev().step_by(step).collect();
        let mut center = n - 1;
        loop {
            for at in probes.drain(..) {
                if run.clock.look() {
                    return;
                }
                if self.solved.iter().any(|(solved, _)| *solved == at) {
                    continue;
                }
                let before = self.size();
                let proof = self.solve(at, run);
                self.solved.push((at, proof));
                if self.size() > before {
                    center = at;
                }
            }
            if step == 1 {
                return;
            }
            step = step.div_ceil(4);
            probes
                .extend((1..4).flat_map(|k| [center + k * step, center.saturating_sub(k * step)]).filter(|&at| at < n));
            if step == 1 {
                probes.truncate(4);
            }
        }
    }
}
