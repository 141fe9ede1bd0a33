//! Algorithm 1 from a proven bound: the batch of [`search`](super::search), and quickly.
//!
//! Algorithm 1 begins with batches of all requests, and most of what it visits are trees that hold no feasible path.
//! Three things are skipped here; each of them holds none, so the first feasible path stays the first:
//! - sizes above the bound that the flat solver proves;
//! - subproblems (z, d) with UB_λ(d) < z, for any λ of that solver's proof;
//! - in a tree, what is below a prefix if its requests, and the cheapest of the groups left that make z with them, need
//!   more of one resource than there is, or cost more at the prices λ than all that there is.
//!
//! The cheapest are taken for each resource by itself and from all groups left together, so what they need is never
//! more than what a path below needs. Where there are many groups, some of those above count as left too, which makes
//! them cheaper still: the table of what they need is then as long as a few of its rows, however many requests wait.

use super::{First, Found, Tree, descend, is_exact};
use crate::backend::Cpu;
use crate::bound::Multipliers;
use crate::certificate::{Section, Work};
use crate::instance::Instance;
use crate::rank::{RESOURCES, Ranked};
use crate::search::Clock;
use crate::search::flat::{self, Goal, Run, Workspace};

/// The resources, and the price of all together.
const NEEDS: usize = RESOURCES + 1;

/// The most entries that the table of a tree has, or as many as its requests if these are more.
const TABLE: usize = if cfg!(test) { 1 << 5 } else { 1 << 14 };
/// What is built for a tree counts as nodes, too: one for so many entries, which take about as long.
const BUILT_PER_NODE: u64 = 8;

/// The batch of Algorithm 1 if it has more than `incumbent` requests; `complete` if the bound or [`is_exact`] rules out
/// everything larger. `ranked` are the requests of `instance`, which must be additive.
pub fn search(instance: &Instance, ranked: &Ranked, incumbent: u64, clock: &mut Clock) -> Found {
    let mut work = Work::default();
    match first(instance, ranked, incumbent, clock, &mut work) {
        None => {
            work.stopped = true;
            Found { batch: None, complete: false, work }
        }
        Some((bound, first)) => {
            let size = first.as_ref().map_or(incumbent, |first| first.batch.len() as u64);
            Found { batch: first.map(|first| first.batch), complete: size >= bound || is_exact(ranked), work }
        }
    }
}

/// A bound, and where Algorithm 1 ends if that is at more than `incumbent` requests. `None` if the clock ran out.
pub(super) fn first(
    instance: &Instance,
    ranked: &Ranked,
    incumbent: u64,
    clock: &mut Clock,
    work: &mut Work,
) -> Option<(u64, Option<First>)> {
    let mut ws = Workspace::default();
    let backend = &Cpu { pool: None };
    // Nodes are counted where Algorithm 1 visits them.
    let run = &mut Run { clock: &mut clock.uncounted(), ws: &mut ws, backend, memory: None, told: None };
    let flat = flat::additive(instance, Goal::Batch, incumbent, None, run);
    // A bound is enough, also where the flat search gave up on a better one.
    work.add(&Work { stopped: false, ..flat.work });
    let ceilings = Ceilings::new(ranked, &flat.section);
    let open = |z: usize, d: usize| ceilings.at(d).bound >= z as u64;
    let walk = |tree: &Tree<'_>, d: usize, clock: &mut Clock, work: &mut Work| {
        let mut prefix = Prefix::new(tree, &ceilings.at(d).multipliers);
        // Visits nothing, but takes its time.
        if clock.spend(prefix.built / BUILT_PER_NODE) {
            return None;
        }
        tree.search(|level, count, sum| prefix.is_hopeless(level, count, sum), clock, work)
    };
    let sizes = incumbent as usize + 1..=flat.bound as usize;
    descend(ranked, sizes, true, open, walk, clock, work).map(|first| (flat.bound, first))
}

/// The least bound of each d, and the λ that gives it.
struct Ceilings {
    of_run: Vec<Ceiling>,
    run_of: Vec<u32>,
}

struct Ceiling {
    bound: u64,
    multipliers: Multipliers,
    /// The same bound with its fraction, by which λ are compared.
    about: f64,
}

impl Ceilings {
    fn new(ranked: &Ranked, section: &Section) -> Self {
        let mut multipliers: Vec<Multipliers> = section.covered.iter().map(|part| part.multipliers).collect();
        multipliers.extend(section.exhausted.iter().map(|part| part.multipliers));
        multipliers.sort_unstable_by_key(|m| (m.one_bits(), m.lambda()));
        multipliers.dedup();
        let trivial = |&d: &u32| Ceiling { bound: d.into(), multipliers: Multipliers::ZERO, about: d.into() };
        let mut of_run: Vec<Ceiling> = ranked.run_ends().iter().map(trivial).collect();
        for multipliers in multipliers {
            for (best, exact) in of_run.iter_mut().zip(multipliers.exact_bounds(ranked)) {
                let about = exact as f64 / multipliers.one() as f64;
                if about < best.about {
                    // Below d, so it fits in a word.
                    let bound = best.bound.min((exact >> multipliers.one_bits()) as u64);
                    *best = Ceiling { bound, multipliers, about };
                }
            }
        }
        let mut run_of = Vec::with_capacity(ranked.len());
        for (run, &end) in ranked.run_ends().iter().enumerate() {
            run_of.resize(end as usize, run as u32);
        }
        Ceilings { of_run, run_of }
    }

    /// Of F_d, or of all requests with a budget of at least its own, which hold F_d.
    fn at(&self, d: usize) -> &Ceiling {
        &self.of_run[self.run_of[d - 1] as usize]
    }
}

/// The prefix that a walk is at, and what makes it hopeless.
struct Prefix<'t> {
    tree: &'t Tree<'t>,
    multipliers: &'t Multipliers,
    capacity: [u128; NEEDS],
    /// Levels of one row of `least`.
    step: usize,
    /// What v requests of the groups from level `row · step` on need at least, v from 0.
    least: Vec<Vec<[u128; NEEDS]>>,
    /// What the counts above a level need.
    used: Vec<[u128; NEEDS]>,
    /// How many entries were computed.
    built: u64,
}

impl<'t> Prefix<'t> {
    fn new(tree: &'t Tree<'t>, multipliers: &'t Multipliers) -> Self {
        let levels = tree.groups.len();
        let rows = (TABLE / (tree.z + 1)).clamp(1, levels.max(1));
        let step = levels.div_ceil(rows).max(1);
        let mut least = vec![vec![[0; NEEDS]]; levels.div_ceil(step) + 1];
        let mut cheapest: [Vec<u128>; NEEDS] = Default::default();
        let mut built = levels as u64;
        for (row, least) in least.iter_mut().enumerate().rev().skip(1) {
            for group in &tree.groups[row * step..levels.min((row + 1) * step)] {
                for &(uplink, downlink, _) in &group.members {
                    let cost = with_price(&[uplink, downlink, group.kv_tokens, group.compute], multipliers);
                    cheapest.iter_mut().zip(cost).for_each(|(cheapest, cost)| cheapest.push(cost));
                }
            }
            built += cheapest[0].len() as u64;
            for cheapest in &mut cheapest {
                // Not unstable: what was there is in order, and mostly what came is too, which a merge sort sees.
                cheapest.sort();
                cheapest.truncate(tree.z);
            }
            for v in 0..cheapest[0].len() {
                let before = least[v];
                least.push(std::array::from_fn(|r| before[r] + cheapest[r][v]));
            }
        }
        let capacity = with_price(&tree.capacity, multipliers);
        Prefix { tree, multipliers, capacity, step, least, used: vec![[0; NEEDS]; levels + 1], built }
    }

    /// Goes to `count` at a level, with which all counts up to there are `sum`.
    fn is_hopeless(&mut self, level: usize, count: usize, sum: usize) -> bool {
        let cost = with_price(&self.tree.groups[level].prefix[count], self.multipliers);
        let before = self.used[level];
        self.used[level + 1] = std::array::from_fn(|r| before[r] + cost[r]);
        // Of the last groups and some above them; behind the last there is nothing left.
        let row = if level + 1 == self.tree.groups.len() { self.least.len() - 1 } else { (level + 1) / self.step };
        let least = &self.least[row][self.tree.z - sum];
        (0..NEEDS).any(|r| self.used[level + 1][r] + least[r] > self.capacity[r])
    }
}

/// In 128 bits, with the price at λ: sums of either are at most 2¹²⁶ (see [`Multipliers`]).
fn with_price(cost: &[u64; RESOURCES], m: &Multipliers) -> [u128; NEEDS] {
    let [uplink, downlink, kv_tokens, compute] = cost.map(u128::from);
    [uplink, downlink, kv_tokens, compute, m.price(cost)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Limits;
    use crate::search::algorithm1::tests::hopeless;

    #[test]
    fn what_is_built_counts_as_nodes_and_is_bounded() {
        let ranked = hopeless(&[1; 600]);
        let multipliers = Multipliers::ZERO;
        let (group_of, mut groups) = super::super::groups(&ranked);
        for rank in 0..ranked.len() {
            let [uplink, downlink, ..] = ranked.cost(rank);
            groups[group_of[rank]].push((uplink, downlink, rank as u32));
        }
        for z in [1, 2, 7, 300, 600] {
            let tree = Tree { groups: &groups, z, capacity: ranked.capacities(600), prune: true };
            let prefix = Prefix::new(&tree, &multipliers);
            let entries: usize = prefix.least.iter().map(Vec::len).sum();
            assert!(
                entries <= 2 * TABLE + 600 + 2 && prefix.built <= 2 * 600 + 2 * TABLE as u64 + 600,
                "{z}: {entries}"
            );
        }
        let mut clock = Clock::counting(&Limits { nodes: Some(1000), ..Limits::NONE });
        assert!(!clock.spend(0) && !clock.spend(998) && !clock.tick() && clock.tick());
        let mut clock = Clock::counting(&Limits { nodes: Some(5000), ..Limits::NONE });
        assert!(!clock.spend(2000) && !clock.spend(2999) && clock.spend(1) && clock.tick());
        assert!(!Clock::start(&Limits::NONE).spend(u64::MAX));
    }
}
