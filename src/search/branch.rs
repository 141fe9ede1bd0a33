//! The plain exact solver: Lagrangian bounds for all deadlines, then a depth-first search of each subproblem that they
//! leave open.
//!
//! Right for any additive instance, per-user fading included; practical to a few hundred requests, where a subproblem
//! keeps some tens of requests to branch on. Few output lengths make hard leaves for it (integer counts per class are
//! what the relaxation misses).

use super::Clock;
use super::leaf::{self, Leaf};
use crate::baseline;
use crate::bound::{Cover, Multipliers};
use crate::certificate::{Section, Solution, Work};
use crate::instance::Instance;
use crate::rank::{Left, Ranked};
use crate::search::{original_rows, prove, single};

/// The largest batch of `instance`, with its proof.
pub fn solve(instance: &Instance, clock: &mut Clock) -> Solution {
    if instance.pads_to_longest() {
        return over_lengths(instance, clock);
    }
    let ranked = Ranked::new(instance);
    let mut state = Branch::new(&ranked, 0);
    state.run(clock);
    let (bound, section) = state.section(state.best.len() as u64, None);
    Solution { rows: ranked.rows(&state.best), certificate: single(bound, section), work: state.work }
}

/// Batches padded to their longest prompt: bisects the distinct lengths, and bounds a whole range of them at once where
/// the bound suffices.
fn over_lengths(instance: &Instance, clock: &mut Clock) -> Solution {
    let lengths = instance.prompt_lengths();
    let mut best: Vec<u32> = baseline::shortest_first(instance);
    let mut work = Work::default();
    let mut parts: Vec<(u64, Section)> = Vec::new();
    // Ranges of indices into `lengths` still to settle; the longest prompts first, since they admit the most requests.
    let mut ranges = if lengths.is_empty() { vec![] } else { vec![(0, lengths.len() - 1)] };
    while let Some((low, high)) = ranges.pop() {
        let padded = (lengths[low], lengths[high]);
        let additive = instance.padded(padded.0, padded.1);
        let ranked = Ranked::new(&additive);
        let mut state = Branch::new(&ranked, best.len() as u64);
        let exact = low == high;
        if exact {
            state.run(clock);
            if state.best.len() > best.len() {
                best = original_rows(instance, &additive, &ranked.rows(&state.best));
            }
        } else {
            // Even when the time is over: a range that nothing bounds would make the bound of all the rest worthless.
            let passes = if clock.look() { FIRST_PASSES } else { PASSES };
            state.work.bound_passes += state.cover.tighten(&ranked, best.len() as u64 + 1, passes, passes);
        }
        work.add(&state.work);
        let (bound, section) = state.section(best.len() as u64, Some(padded));
        // Once stopped, a range is as good as its bound; splitting it further would take time that is over.
        if exact || bound <= best.len() as u64 || clock.look() {
            work.stopped |= bound > best.len() as u64;
            parts.push((bound, section));
        } else {
            let middle = low + (high - low) / 2;
            ranges.push((low, middle));
            ranges.push((middle + 1, high));
        }
    }
    let certificate = prove::join(best.len() as u64, parts);
    Solution { rows: best, certificate, work }
}

/// At most this many linear programs for one instance; deadlines still open then are left to the search.
const PASSES: u64 = 1000;
/// So many are solved, with their greedy batches, however little time there is: whoever asks gets a batch and a bound.
const FIRST_PASSES: u64 = 8;

struct Branch<'r> {
    ranked: &'r Ranked,
    /// The caller has a batch of this size already.
    incumbent: u64,
    best: Vec<u32>,
    cover: Cover,
    exhausted: Vec<bool>,
    work: Work,
}

impl<'r> Branch<'r> {
    fn new(ranked: &'r Ranked, incumbent: u64) -> Self {
        let cover = Cover::new(ranked);
        Branch {
            ranked,
            incumbent,
            best: Vec::new(),
            cover,
            exhausted: vec![false; ranked.run_ends().len()],
            work: Work::default(),
        }
    }

    /// The size to look for.
    fn target(&self) -> u64 {
        self.incumbent.max(self.best.len() as u64) + 1
    }

    fn run(&mut self, clock: &mut Clock) {
        loop {
            while self.work.bound_passes < PASSES && (self.work.bound_passes < FIRST_PASSES || !clock.look()) {
                let Some(run) = self.cover.next_unsolved(self.target()) else { break };
                let (multipliers, take) = self.cover.solve(self.ranked, run);
                self.work.bound_passes += 1;
                if self.cover.bound(run) >= self.target() {
                    self.greedy(self.ranked.run_ends()[run] as usize, &multipliers, take);
                }
            }
            let open = self.cover.open(self.target()).filter(|&(run, _)| !self.exhausted[run]);
            let Some((run, _)) = open.max_by_key(|&(run, bound)| (bound, std::cmp::Reverse(run))) else { return };
            if clock.look() {
                self.work.stopped = true;
                return;
            }
            let d = self.ranked.run_ends()[run] as usize;
            let multipliers = self.cover.multipliers(run);
            match leaf::search(self.ranked, d, self.target(), &multipliers, clock, &mut self.work) {
                Leaf::Batch(batch) => self.best = batch,
                Leaf::Empty => self.exhausted[run] = true,
                Leaf::Stopped => {
                    self.work.stopped = true;
                    return;
                }
            }
        }
    }

    /// Fills a batch of F_d in the order of λ·a, after what the relaxation takes of each kind; keeps it if it is larger
    /// than the best.
    fn greedy(&mut self, d: usize, multipliers: &Multipliers, mut take: Vec<u32>) {
        let mut order: Vec<(u128, u32)> =
            (0..d).map(|rank| (multipliers.price(&self.ranked.cost(rank)), rank as u32)).collect();
        order.sort_unstable();
        let mut left = Left(self.ranked.capacities(d));
        let mut batch = Vec::new();
        let mut add = |rank: u32| {
            let cost = self.ranked.cost(rank as usize);
            let fits = left.fits(&cost);
            if fits {
                left.take(&cost);
                batch.push(rank);
            }
            fits
        };
        if let Some((_, kind)) = self.ranked.kinds() {
            order.retain(|&(_, rank)| {
                let wanted = &mut take[kind[rank as usize] as usize];
                let taken = *wanted > 0 && add(rank);
                *wanted -= u32::from(taken);
                !taken
            });
        }
        order.iter().for_each(|&(_, rank)| _ = add(rank));
        if batch.len() as u64 >= self.target() {
            batch.sort_unstable();
            self.best = batch;
        }
    }

    /// The proof that no batch here is larger than the bound returned, which is at least `size`.
    fn section(&self, size: u64, padded: Option<(u32, u32)>) -> (u64, Section) {
        prove::section(self.ranked, &self.cover, size, padded, |run| self.exhausted[run])
    }
}
