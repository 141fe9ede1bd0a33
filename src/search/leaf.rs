//! One subproblem (z, d): is there a batch of exactly z requests in F_d under e_d?
//!
//! With multipliers λ let δ = λ·(U, W, K, e_d) + Σ_{i ≤ d} max(0, 1 − λ·a_i) − z, all in integers.
//!
//! **Lemma.** For a feasible x of size z, the reduced costs r_i = 1 − λ·a_i that x goes against (r_i > 0 left out, r_i
//! < 0 taken) and λ times the capacity left over add up to δ. *Proof.* z = Σ x_i r_i + λ·Σ x_i a_i; subtract from UB. ∎
//!
//! So no batch exists if δ < 0; a request with |r_i| > δ goes the way its sign says; and the others are branched on,
//! largest |r_i| first, natural way first, while the losses so far stay within δ. Of requests with equal costs the ones
//! taken are the first, so equal requests cost no extra branches.

use super::Clock;
use crate::bound::Multipliers;
use crate::certificate::Work;
use crate::rank::{Left, RESOURCES, Ranked};

/// How a leaf ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaf {
    /// A batch of the size asked for, as ranks.
    Batch(Vec<u32>),
    /// There is none.
    Empty,
    /// The clock ran out.
    Stopped,
}

/// A request worth branching on.
#[derive(Debug, Clone, Copy)]
struct Free {
    rank: u32,
    cost: [u64; RESOURCES],
    /// Taken unless it pays to leave it out.
    natural: bool,
    /// |r_i|: the loss of going against `natural`.
    loss: u128,
    /// Whether it costs the same as the one before it.
    twin: bool,
}

/// How many of the last free requests have tables of cheapest sums.
const TABLE: usize = 192;

/// Searches subproblem (`size`, `d`) with the help of `multipliers`.
pub fn search(
    ranked: &Ranked,
    d: usize,
    size: u64,
    multipliers: &Multipliers,
    clock: &mut Clock,
    work: &mut Work,
) -> Leaf {
    work.subproblems += 1;
    let Some(loss_budget) = loss_budget(ranked, d, size, multipliers) else { return Leaf::Empty };
    let mut left = Left(ranked.capacities(d));
    let mut batch = Vec::new();
    let mut free = Vec::new();
    for rank in 0..d {
        let cost = ranked.cost(rank);
        let (one, price) = (multipliers.one(), multipliers.price(&cost));
        let natural = one > price;
        let loss = one.abs_diff(price);
        if loss <= loss_budget {
            free.push(Free { rank: rank as u32, cost, natural, loss, twin: false });
        } else if natural {
            if !left.fits(&cost) {
                return Leaf::Empty;
            }
            left.take(&cost);
            batch.push(rank as u32);
        }
    }
    let Some(need) = (size as usize).checked_sub(batch.len()) else { return Leaf::Empty };
    free.sort_unstable_by_key(|f| (std::cmp::Reverse(f.loss), f.cost, f.rank));
    for i in 1..free.len() {
        free[i].twin = free[i].cost == free[i - 1].cost;
    }
    let cheapest = Cheapest::new(&free);
    let outcome = Tree { free: &free, cheapest, left, loss_left: loss_budget, need }.run(clock, work);
    match outcome {
        Some(Some(taken)) => {
            batch.extend(taken);
            batch.sort_unstable();
            Leaf::Batch(batch)
        }
        Some(None) => Leaf::Empty,
        None => Leaf::Stopped,
    }
}

/// δ in units of 2^-one_bits, or `None` below zero.
fn loss_budget(ranked: &Ranked, d: usize, size: u64, multipliers: &Multipliers) -> Option<u128> {
    let one = multipliers.one();
    let gains: u128 = (0..d).map(|rank| one.saturating_sub(multipliers.price(&ranked.cost(rank)))).sum();
    // Both sides are below 2¹²⁸: see [`Multipliers`]; size is at most d + 1 ≤ 2³⁰ + 1.
    (multipliers.price(&ranked.capacities(d)) + gains).checked_sub(u128::from(size) << multipliers.one_bits())
}

struct Tree<'f> {
    free: &'f [Free],
    cheapest: Cheapest,
    left: Left,
    loss_left: u128,
    need: usize,
}

impl Tree<'_> {
    /// Some(batch or none), or `None` when the clock ran out. Iterative: depth is no danger.
    fn run(mut self, clock: &mut Clock, work: &mut Work) -> Option<Option<Vec<u32>>> {
        let n = self.free.len();
        let mut taken = vec![false; n];
        // How many of the two ways of each request were tried.
        let mut tried = vec![0u8; n + 1];
        let mut at = 0;
        loop {
            if tried[at] == 0 {
                work.nodes += 1;
                if clock.tick() {
                    return None;
                }
                if self.need == 0 {
                    work.paths_checked += 1;
                    return Some(Some((0..at).filter(|&i| taken[i]).map(|i| self.free[i].rank).collect()));
                }
                if n - at < self.need || !self.cheapest.fit(at, self.need, &self.left) {
                    tried[at] = 2;
                }
            }
            if tried[at] < 2 {
                let f = &self.free[at];
                let take = f.natural == (tried[at] == 0);
                let loss = if take == f.natural { 0 } else { f.loss };
                tried[at] += 1;
                let allowed = if take {
                    // A twin is taken only after the one before it.
                    self.left.fits(&f.cost) && (!f.twin || taken[at - 1])
                } else {
                    true
                };
                if allowed && loss <= self.loss_left {
                    self.loss_left -= loss;
                    if take {
                        self.left.take(&f.cost);
                        self.need -= 1;
                    }
                    taken[at] = take;
                    at += 1;
                    tried[at] = 0;
                }
                continue;
            }
            // Both ways are done: undo the decision before.
            if at == 0 {
                return Some(None);
            }
            at -= 1;
            let f = &self.free[at];
            if taken[at] {
                self.left.give(&f.cost);
                self.need += 1;
            }
            if taken[at] != f.natural {
                self.loss_left += f.loss;
            }
        }
    }
}

/// For each of the last free requests, the least that any m of it and its successors need of each resource.
struct Cheapest {
    /// First request with a table.
    first: usize,
    /// `sums[i][m]`: for the suffix that starts at first + i.
    sums: Vec<Vec<[u64; RESOURCES]>>,
}

impl Cheapest {
    fn new(free: &[Free]) -> Self {
        let first = free.len().saturating_sub(TABLE);
        let mut sorted: [Vec<u64>; RESOURCES] = Default::default();
        let mut sums = Vec::with_capacity(free.len() - first);
        for f in free[first..].iter().rev() {
            for (column, &cost) in sorted.iter_mut().zip(&f.cost) {
                column.insert(column.partition_point(|&c| c < cost), cost);
            }
            let mut table = Vec::with_capacity(sorted[0].len() + 1);
            let mut sum = [0; RESOURCES];
            table.push(sum);
            table.extend((0..sorted[0].len()).map(|m| {
                (0..RESOURCES).for_each(|r| sum[r] += sorted[r][m]);
                sum
            }));
            sums.push(table);
        }
        sums.reverse();
        Cheapest { first, sums }
    }

    /// Whether `need` requests from `at` on could fit, resource by resource.
    fn fit(&self, at: usize, need: usize, left: &Left) -> bool {
        match at.checked_sub(self.first).and_then(|i| self.sums.get(i)) {
            Some(table) => table.get(need).is_some_and(|sum| left.fits(sum)),
            None => true,
        }
    }
}
