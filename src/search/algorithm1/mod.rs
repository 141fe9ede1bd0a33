//! Algorithm 1 of the paper, DFTSP: depth-first tree search with online pruning.
//!
//! For z from I down to 1 and d from z to I, take F_d, the d requests with the loosest deadlines, under the budget e_d.
//! Group them by output length (here: by KV tokens and compute, which under fixed padding is the same). Level k of the
//! tree chooses v_k, how many requests of group k are taken, always the cheapest on the uplink. A path v_1..v_N with Σ
//! v_k = z is checked against (2b)–(2e); the first feasible one is the answer. Children are visited in descending v_k;
//! pruning drops those after which the groups left cannot make z any more, or which exceed it. (The printed line 14
//! compares with d; it means z.) Without pruning every v_k from the group's size down to 0 is visited, and Σ v_k = z is
//! tested at the leaf: a tree with more than a few paths is then left to a backend, which shares it out
//! ([`enumerate`](super::enumerate)) and counts the same.
//!
//! **When it is exact.** If in every group the uplink order is also a downlink order ([`is_exact`]), the v_k
//! cheapest-uplink requests need the least of every resource among all choices of v_k from the group, so some path is
//! feasible if any batch of size z is. That holds where all users share one channel gain, the paper's assumption; under
//! per-user fading it may fail, and the batch found is then feasible but perhaps not the largest.
//!
//! [`from_bound`] finds the same batch without what provably holds none; [`count`] counts what is visited on the way to
//! it, pruned and unpruned, without visiting it.

mod count;
pub(crate) mod from_bound;

use std::ops::RangeInclusive;

pub use count::{Visits, visits};

use super::enumerate::{End, Enumeration, paths};
use super::{Clock, Found};
use crate::backend::Backend;
use crate::certificate::Work;
use crate::rank::{RESOURCES, Ranked};

/// A group of F_d: requests of equal KV tokens and compute, by uplink.
#[derive(Clone)]
struct Group {
    /// (uplink, downlink, rank), ascending.
    members: Vec<(u64, u64, u32)>,
    /// Costs of the first v members, v from 0.
    prefix: Vec<[u64; RESOURCES]>,
    kv_tokens: u64,
    compute: u64,
}

impl Group {
    fn new((kv_tokens, compute): (u64, u64)) -> Self {
        Group { members: Vec::new(), prefix: vec![[0; RESOURCES]], kv_tokens, compute }
    }

    /// Appends a member that comes after all others.
    fn push(&mut self, (uplink, downlink, rank): (u64, u64, u32)) {
        let p = self.prefix[self.members.len()];
        self.members.push((uplink, downlink, rank));
        self.prefix.push([p[0] + uplink, p[1] + downlink, p[2] + self.kv_tokens, p[3] + self.compute]);
    }

    fn insert(&mut self, member: (u64, u64, u32)) {
        let place = self.members.partition_point(|m| *m < member);
        let after = self.members.split_off(place);
        self.prefix.truncate(place + 1);
        self.push(member);
        after.into_iter().for_each(|m| self.push(m));
    }
}

/// Whether Algorithm 1 finds a largest batch of this instance: in each group, no request is better on the uplink and
/// worse on the downlink than another.
pub fn is_exact(ranked: &Ranked) -> bool {
    let mut costs: Vec<[u64; RESOURCES]> = (0..ranked.len()).map(|rank| ranked.cost(rank)).collect();
    costs.sort_unstable_by_key(|&[uplink, downlink, kv, compute]| (kv, compute, uplink, downlink));
    costs.windows(2).all(|w| w[0][2..] != w[1][2..] || w[0][1] <= w[1][1])
}

/// Paths of a tree without pruning up to which it is walked right here.
const FEW: u64 = if cfg!(test) { 16 } else { 1 << 10 };

/// The first feasible path with more than `incumbent` requests; `complete` if it ran to its end and [`is_exact`].
pub fn search(ranked: &Ranked, incumbent: u64, prune: bool, backend: &dyn Backend, clock: &mut Clock) -> Found {
    let mut work = Work::default();
    let walk = |tree: &Tree<'_>, _: usize, clock: &mut Clock, work: &mut Work| {
        if prune || paths(tree.groups.iter().map(|group| group.members.len())) <= FEW {
            tree.search(|_, _, _| false, clock, work)
        } else {
            tree.enumerate(backend, clock, work)
        }
    };
    let sizes = incumbent as usize + 1..=ranked.len();
    match descend(ranked, sizes, prune, |_, _| true, walk, clock, &mut work) {
        None => {
            work.stopped = true;
            Found { batch: None, complete: false, work }
        }
        Some(first) => Found { batch: first.map(|first| first.batch), complete: is_exact(ranked), work },
    }
}

/// Where Algorithm 1 ends.
struct First {
    d: usize,
    /// How many of each group.
    counts: Vec<usize>,
    /// The ranks of these, ascending.
    batch: Vec<u32>,
}

/// Goes through the subproblems (z, d) that are `open`, z in `sizes` from the largest down and d upwards, until `walk`
/// finds a path in one. `None` if the clock ran out.
fn descend(
    ranked: &Ranked,
    sizes: RangeInclusive<usize>,
    prune: bool,
    open: impl Fn(usize, usize) -> bool,
    mut walk: impl FnMut(&Tree<'_>, usize, &mut Clock, &mut Work) -> Option<Option<Vec<usize>>>,
    clock: &mut Clock,
    work: &mut Work,
) -> Option<Option<First>> {
    let (group_of, empty) = groups(ranked);
    let member = |rank: usize| (ranked.cost(rank)[0], ranked.cost(rank)[1], rank as u32);
    let mut by_uplink: Vec<(u64, u64, u32)> = (0..ranked.len()).map(member).collect();
    by_uplink.sort_unstable();
    for z in sizes.rev() {
        // The groups of F_held; each further rank is put in its place.
        let (mut groups, mut held) = (empty.clone(), 0);
        for d in (z..=ranked.len()).filter(|&d| open(z, d)) {
            if held == 0 {
                by_uplink.iter().filter(|m| (m.2 as usize) < d).for_each(|&m| groups[group_of[m.2 as usize]].push(m));
            } else {
                (held..d).for_each(|rank| groups[group_of[rank]].insert(member(rank)));
            }
            held = d;
            work.subproblems += 1;
            if clock.look() {
                return None;
            }
            let tree = Tree { groups: &groups, z, capacity: ranked.capacities(d), prune };
            if let Some(counts) = walk(&tree, d, clock, work)? {
                let taken = groups.iter().zip(&counts).flat_map(|(g, &v)| &g.members[..v]);
                let mut batch: Vec<u32> = taken.map(|m| m.2).collect();
                batch.sort_unstable();
                return Some(Some(First { d, counts, batch }));
            }
        }
    }
    Some(None)
}

/// The group of each rank, and the empty groups, in ascending (KV tokens, compute): ascending output length in the
/// paper.
fn groups(ranked: &Ranked) -> (Vec<usize>, Vec<Group>) {
    let key = |rank: usize| (ranked.cost(rank)[2], ranked.cost(rank)[3]);
    let mut keys: Vec<(u64, u64)> = (0..ranked.len()).map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    let group_of = (0..ranked.len()).map(|rank| keys.partition_point(|k| *k < key(rank))).collect();
    (group_of, keys.into_iter().map(Group::new).collect())
}

struct Tree<'g> {
    groups: &'g [Group],
    z: usize,
    capacity: [u64; RESOURCES],
    prune: bool,
}

impl Tree<'_> {
    /// Some(the counts of the first feasible path, or none), or `None` when the clock ran out. Of a node, a level, its
    /// count, and the sum of counts up to there, nothing below is visited if `hopeless` says so.
    fn search(
        &self,
        mut hopeless: impl FnMut(usize, usize, usize) -> bool,
        clock: &mut Clock,
        work: &mut Work,
    ) -> Option<Option<Vec<usize>>> {
        let levels = self.groups.len();
        // How many requests the groups from level k on hold.
        let mut rest = vec![0; levels + 1];
        for k in (0..levels).rev() {
            rest[k] = rest[k + 1] + self.groups[k].members.len();
        }
        // v[k] is the count of level k; below[k] one past the next count to try; sum[k] the requests taken above level
        // k.
        let (mut v, mut below, mut sum) = (vec![0; levels], vec![0; levels + 1], vec![0; levels + 1]);
        let highest = |k: usize, sum: usize| {
            let size = self.groups[k].members.len();
            1 + if self.prune { size.min(self.z - sum) } else { size }
        };
        below[0] = highest(0, 0);
        let mut k = 0;
        loop {
            // The least count after which the groups left can still make z.
            let least = if self.prune { (self.z - sum[k]).saturating_sub(rest[k + 1]) } else { 0 };
            if below[k] <= least {
                if k == 0 {
                    return Some(None);
                }
                k -= 1;
                continue;
            }
            below[k] -= 1;
            v[k] = below[k];
            work.nodes += 1;
            if clock.tick() {
                return None;
            }
            sum[k + 1] = sum[k] + v[k];
            if hopeless(k, v[k], sum[k + 1]) {
                continue;
            }
            if k + 1 < levels {
                k += 1;
                below[k] = highest(k, sum[k]);
            } else if sum[levels] == self.z {
                work.paths_checked += 1;
                if self.feasible(&v) {
                    return Some(Some(v));
                }
            }
        }
    }

    /// The same without pruning, by a backend.
    fn enumerate(&self, backend: &dyn Backend, clock: &Clock, work: &mut Work) -> Option<Option<Vec<usize>>> {
        let tables = self.groups.iter().map(|group| group.prefix.as_slice());
        let found = backend.enumerate(&Enumeration::new(tables, self.z as u64, self.capacity), clock);
        work.nodes = work.nodes.saturating_add(found.nodes);
        work.paths_checked = work.paths_checked.saturating_add(found.paths);
        match found.end {
            End::Batch(counts) => Some(Some(counts.into_iter().map(|count| count as usize).collect())),
            End::Empty => Some(None),
            End::Stopped => None,
        }
    }

    /// (2b)–(2e) for the cheapest-uplink requests of each group.
    fn feasible(&self, v: &[usize]) -> bool {
        let mut total = [0u64; RESOURCES];
        for (group, &count) in self.groups.iter().zip(v) {
            (0..RESOURCES).for_each(|r| total[r] += group.prefix[count][r]);
        }
        (0..RESOURCES).all(|r| total[r] <= self.capacity[r])
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::backend::Cpu;
    use crate::instance::{Capacity, Columns, Instance};
    use crate::search::Limits;

    const CPU: Cpu<'_> = Cpu { pool: None };

    /// `sizes[k]` requests of group k with equal costs; no two fit together, so every tree for z ≥ 2 is searched to its
    /// end.
    pub fn hopeless(sizes: &[usize]) -> Ranked {
        let kv: Vec<u64> = sizes.iter().enumerate().flat_map(|(k, &size)| vec![k as u64 + 1; size]).collect();
        let n = kv.len();
        let columns = Columns {
            request: (0..n as u32).collect(),
            uplink: vec![1; n],
            downlink: vec![1; n],
            compute: vec![1; n],
            budget: vec![1; n],
            arrival: (0..n as u32).collect(),
            kv_tokens: kv,
        };
        Ranked::new(&Instance::new(columns, Capacity { uplink: 1, downlink: 9, kv_tokens: 999 }).unwrap())
    }

    #[test]
    fn the_unpruned_tree_has_all_counts_of_all_groups() {
        // One subproblem (3, 3) with groups of 2 and 1: 3 nodes on level 1, 3·2 on level 2, of which only (2, 1) sums
        // to 3.
        let ranked = hopeless(&[2, 1]);
        let mut clock = Clock::start(&Limits::NONE);
        let found = search(&ranked, 2, false, &CPU, &mut clock);
        assert!(found.batch.is_none() && found.complete);
        assert_eq!((found.work.subproblems, found.work.nodes, found.work.paths_checked), (1, 3 + 6, 1));
        // With pruning one path is left.
        let found = search(&ranked, 2, true, &CPU, &mut clock);
        assert_eq!((found.work.subproblems, found.work.nodes, found.work.paths_checked), (1, 2, 1));
    }

    #[test]
    fn pruned_and_unpruned_check_the_same_paths() {
        for sizes in [&[3usize, 2, 2][..], &[1, 1, 1, 1], &[6], &[2, 4]] {
            let ranked = hopeless(sizes);
            let mut clock = Clock::start(&Limits::NONE);
            let (all, pruned) =
                (search(&ranked, 1, false, &CPU, &mut clock), search(&ranked, 1, true, &CPU, &mut clock));
            assert_eq!(all.work.paths_checked, pruned.work.paths_checked);
            assert!(all.work.nodes >= pruned.work.nodes);
        }
    }

    #[test]
    fn a_backend_counts_as_the_walk_does() {
        for sizes in [&[3usize, 2, 2][..], &[1, 1, 1, 1], &[6], &[2, 4], &[5, 4, 3, 2]] {
            let ranked = hopeless(sizes);
            let (group_of, mut groups) = groups(&ranked);
            for d in 1..=ranked.len() {
                let cost = ranked.cost(d - 1);
                groups[group_of[d - 1]].insert((cost[0], cost[1], d as u32 - 1));
                for z in 1..=d + 1 {
                    for capacity in [[0; RESOURCES], [4, 4, 9, 4], [99; RESOURCES]] {
                        let tree = Tree { groups: &groups, z, capacity, prune: false };
                        let mut clock = Clock::start(&Limits::NONE);
                        let (mut here, mut there) = (Work::default(), Work::default());
                        let expected = tree.search(|_, _, _| false, &mut clock, &mut here);
                        assert_eq!(tree.enumerate(&CPU, &clock, &mut there), expected);
                        assert_eq!(there, here);
                    }
                }
            }
        }
    }
}
