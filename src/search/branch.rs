//! The plain exact solver: Lagrangian bounds for all deadlines, then a depth-first search of each subproblem that they
//! leave open.
//!
//! Right for any instance, per-user fading included. At each λ a greedy batch is tried, after what the relaxation takes
//! of each kind where requests repeat; bounds and such batches settle most instances of any size without a search. What
//! is left is searched request by request ([`leaf`]), which for some instances of continuous lengths takes too long.

use super::Clock;
use super::leaf::{self, Leaf};
use crate::baseline;
use crate::bound::{Cover, Multipliers};
use crate::certificate::{Section, Solution, Work};
use crate::instance::Instance;
use crate::rank::{Left, Ranked};
use crate::search::{original_rows, prove};

/// The largest batch of `instance`, with its proof.
pub fn solve(instance: &Instance, clock: &mut Clock) -> Solution {
    if instance.pads_to_longest() {
        return over_lengths(instance, clock);
    }
    let ranked = Ranked::new(instance);
    let mut state = Branch::new(&ranked, 0);
    state.run(clock);
    let size = state.best.len() as u64;
    let certificate = prove::join(size, vec![state.section(size, None)]);
    Solution { rows: ranked.rows(&state.best), certificate, work: state.work }
}

/// Batches padded to their longest prompt: bisects the distinct lengths, and bounds a whole range of them at once where
/// the bound suffices.
fn over_lengths(instance: &Instance, clock: &mut Clock) -> Solution {
    let lengths = instance.prompt_lengths();
    let mut work = Work::default();
    let mut best = first_batch(instance, &lengths, clock, &mut work);
    let mut parts: Vec<(u64, Section)> = Vec::new();
    // Ranges that were split, with what bounds them whole: all there is when the time ends before their halves are
    // looked at.
    let mut split: Vec<(u64, Section)> = Vec::new();
    let mut fallen_back: Vec<usize> = Vec::new();
    // Ranges of indices into `lengths` still to settle, with the range they are a half of; the longest prompts first,
    // since they admit the most requests.
    let mut ranges = if lengths.is_empty() { vec![] } else { vec![(0, lengths.len() - 1, None)] };
    while let Some((low, high, half_of)) = ranges.pop() {
        if let (Some(whole), true) = (half_of, clock.look()) {
            fallen_back.push(whole);
            continue;
        }
        let padded = (lengths[low], lengths[high]);
        let additive = instance.padded(padded.0, padded.1);
        let ranked = Ranked::new(&additive);
        let mut state = Branch::new(&ranked, best.len() as u64);
        if low == high {
            state.run(clock);
            if state.best.len() > best.len() {
                best = original_rows(instance, &additive, &ranked.rows(&state.best));
            }
        } else {
            let limits = (PASSES, RANGE_PATIENCE);
            let stop = |made| made >= FIRST_PASSES && clock.look();
            state.work.bound_passes += state.cover.tighten(&ranked, best.len() as u64 + 1, limits, stop);
        }
        work.add(&state.work);
        let (bound, section) = state.section(best.len() as u64, Some(padded));
        if low == high || bound <= best.len() as u64 {
            parts.push((bound, section));
        } else {
            let middle = low + (high - low) / 2;
            ranges.push((low, middle, Some(split.len())));
            ranges.push((middle + 1, high, Some(split.len())));
            split.push((bound, section));
        }
    }
    fallen_back.sort_unstable();
    fallen_back.dedup();
    parts.extend(fallen_back.into_iter().map(|whole| split[whole].clone()));
    let certificate = prove::join(best.len() as u64, parts);
    work.stopped = certificate.bound > best.len() as u64;
    Solution { rows: best, certificate, work }
}

/// A batch to start from: greedy batches of a few lengths of the longest prompt, the longest of all first.
fn first_batch(instance: &Instance, lengths: &[u32], clock: &mut Clock, work: &mut Work) -> Vec<u32> {
    let mut best = baseline::shortest_first(instance);
    for eighth in (1..=8).rev() {
        let Some(&length) = (lengths.len() * eighth / 8).checked_sub(1).and_then(|at| lengths.get(at)) else { break };
        if eighth < 8 && clock.look() {
            break;
        }
        let additive = instance.padded(length, length);
        let ranked = Ranked::new(&additive);
        let mut state = Branch::new(&ranked, best.len() as u64);
        state.bound(FIRST_PASSES, clock);
        if state.best.len() > best.len() {
            best = original_rows(instance, &additive, &ranked.rows(&state.best));
        }
        work.add(&state.work);
    }
    best
}

/// At most this many linear programs for one instance; deadlines still open then are left to the search.
const PASSES: u64 = 1000;
/// So many are solved, with their greedy batches, however little time there is: whoever asks gets a batch and a bound.
const FIRST_PASSES: u64 = 8;
/// A range of lengths is given up, and split, when this many linear programs in a row have not lowered its bound.
const RANGE_PATIENCE: u64 = 16;

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

    /// Solves linear programs, at most `passes`, until every deadline is bounded or solved; tries a greedy batch at
    /// each.
    fn bound(&mut self, passes: u64, clock: &mut Clock) {
        while self.work.bound_passes < passes && (self.work.bound_passes < FIRST_PASSES || !clock.look()) {
            let Some(run) = self.cover.next_unsolved(self.target()) else { break };
            let (multipliers, take) = self.cover.solve(self.ranked, run);
            self.work.bound_passes += 1;
            if self.cover.bound(run) >= self.target() {
                self.greedy(self.ranked.run_ends()[run] as usize, &multipliers, take);
            }
        }
    }

    fn run(&mut self, clock: &mut Clock) {
        loop {
            self.bound(PASSES, clock);
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
