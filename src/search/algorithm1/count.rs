//! What Algorithm 1 visits, counted and not walked: also where trees are far too large to walk.
//!
//! A tree (z, d) without a feasible path is visited whole. With groups of s_1..s_N requests:
//! - without pruning it has Σ_k Π_{j ≤ k} (s_j + 1) nodes, whatever z is;
//! - with pruning, a prefix v_1..v_k with the sum s is a node if s ≤ z ≤ s + R_k, where R_k is what the groups after k
//!   hold. So each prefix is one node in each z of that range, and it is enough to know how many prefixes of each level
//!   have each sum: the groups' sizes convolved, once for each d;
//! - with half of it, counts that do not exceed what is left of z, the same prefix is a node in each z from s on.
//!
//! The last tree is visited up to its first feasible path v. Prefixes come in descending v_k, so on each level those
//! before v are visited, and the one of v. Where v is, [`from_bound`] finds out.
//!
//! Numbers of prefixes may be beyond 128 bits. Sums and differences are taken modulo 2¹²⁸, and right whenever they fit;
//! all of them do where the number of nodes without pruning does, which is computed with checks.

use super::{First, from_bound, groups};
use crate::certificate::Work;
use crate::instance::Instance;
use crate::rank::Ranked;
use crate::search::{Clock, Limits};

/// What Algorithm 1 visits on an instance, pruned and unpruned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Visits {
    /// Subproblems (z, d), the same for both.
    pub subproblems: u128,
    /// Nodes without pruning.
    pub unpruned: u128,
    /// Nodes where no count exceeds what is left of z, without other pruning: what a search that knows z visits at
    /// least if it prunes nothing.
    pub capped: u128,
    /// Nodes with pruning.
    pub pruned: u128,
    /// Complete paths with Σ v_k = z, the same for both.
    pub paths: u128,
    /// The size of the batch that it ends with.
    pub size: u64,
}

impl Visits {
    /// Adds those of another epoch, sizes too; `None` if a sum is beyond its type.
    #[must_use]
    pub fn checked_add(self, other: Visits) -> Option<Visits> {
        Some(Visits {
            subproblems: self.subproblems.checked_add(other.subproblems)?,
            unpruned: self.unpruned.checked_add(other.unpruned)?,
            capped: self.capped.checked_add(other.capped)?,
            pruned: self.pruned.checked_add(other.pruned)?,
            paths: self.paths.checked_add(other.paths)?,
            size: self.size.checked_add(other.size)?,
        })
    }

    /// Which part of the nodes pruning saves, 0 to 1; 0 where there are none.
    pub fn saved(&self) -> f64 {
        part(self.unpruned, self.pruned)
    }

    /// The same of the nodes that are left when no count exceeds what is left of z.
    pub fn saved_of_capped(&self) -> f64 {
        part(self.capped, self.pruned)
    }
}

fn part(all: u128, left: u128) -> f64 {
    if all == 0 { 0.0 } else { (all - left) as f64 / all as f64 }
}

/// What [`Method::Algorithm1`](crate::solver::Method::Algorithm1) visits on `instance`, in time that is polynomial but
/// for the search for its last path (that of
/// [`Method::Algorithm1FromBound`](crate::solver::Method::Algorithm1FromBound)).
///
/// `None` where batches are padded to their longest prompt, where a count is beyond 128 bits, or where one of `limits`
/// struck.
pub fn visits(instance: &Instance, limits: &Limits) -> Option<Visits> {
    if instance.pads_to_longest() {
        return None;
    }
    let ranked = Ranked::new(instance);
    let (_, first) = from_bound::first(instance, &ranked, 0, &mut Clock::counting(limits), &mut Work::default())?;
    count(&ranked, first.as_ref())
}

/// The same where it is known how Algorithm 1 ends.
fn count(ranked: &Ranked, first: Option<&First>) -> Option<Visits> {
    let (group_of, empty) = groups(ranked);
    let mut sizes = vec![0; empty.len()];
    let mut visits = Visits { size: first.map_or(0, |first| first.batch.len() as u64), ..Visits::default() };
    // Of each level, how many prefixes have each sum; of level 0, the empty one.
    let mut prefixes: Vec<Vec<u128>> = vec![vec![1]; sizes.len() + 1];
    for (rank, &group) in group_of.iter().enumerate() {
        let d = rank + 1;
        sizes[group] += 1;
        for k in group..sizes.len() {
            prefixes[k + 1] = extended(&prefixes[k], sizes[k], d);
        }
        // The least z whose tree is visited whole.
        let least = first.map_or(1, |first| first.batch.len() + usize::from(d >= first.d));
        let trees = (d + 1).saturating_sub(least) as u128;
        visits.subproblems += trees;
        if trees > 0 {
            visits.unpruned = visits.unpruned.checked_add(nodes(&sizes)?.checked_mul(trees)?)?;
            let mut rest = d;
            for (k, &size) in sizes.iter().enumerate() {
                rest -= size;
                let visited = |(sum, &prefixes): (usize, &u128)| {
                    let trees = (sum + rest + 1).saturating_sub(sum.max(least));
                    prefixes.wrapping_mul(trees as u128)
                };
                let level = prefixes[k + 1].iter().enumerate().map(visited).fold(0, u128::wrapping_add);
                let capped = |(sum, &prefixes): (usize, &u128)| {
                    prefixes.wrapping_mul((d + 1).saturating_sub(sum.max(least)) as u128)
                };
                let all = prefixes[k + 1].iter().enumerate().map(capped).fold(0, u128::wrapping_add);
                visits.capped = visits.capped.wrapping_add(all);
                visits.pruned = visits.pruned.wrapping_add(level);
                if k + 1 == sizes.len() {
                    visits.paths = visits.paths.wrapping_add(level);
                }
            }
        }
        if let Some(first) = first.filter(|first| first.d == d) {
            visits.last_tree(&sizes, first)?;
        }
    }
    Some(visits)
}

impl Visits {
    /// Adds the tree that has the first feasible path, up to there; of groups of these sizes.
    fn last_tree(&mut self, sizes: &[usize], first: &First) -> Option<()> {
        let z = first.batch.len();
        self.subproblems += 1;
        let mut rest: usize = sizes.iter().sum();
        let (mut number, mut taken) = (0u128, 0);
        // Of the prefixes that come before the path's, how many have each sum.
        let mut before = vec![0; z + 1];
        for (k, (&size, &count)) in sizes.iter().zip(&first.counts).enumerate() {
            number = number.checked_mul(size as u128 + 1)?.checked_add((size - count) as u128)?;
            self.unpruned = self.unpruned.checked_add(number.checked_add(1)?)?;
            before = extended(&before, size, z);
            // Those that leave the path here, by a larger count.
            let leave = before.iter_mut().take(taken + size + 1).skip(taken + count + 1);
            leave.for_each(|ways| *ways = ways.wrapping_add(1));
            taken += count;
            rest -= size;
            self.capped = before.iter().fold(self.capped.wrapping_add(1), |sum, &more| sum.wrapping_add(more));
            let visited = before[z.saturating_sub(rest)..].iter().fold(1u128, |sum, &more| sum.wrapping_add(more));
            self.pruned = self.pruned.wrapping_add(visited);
            if k + 1 == sizes.len() {
                self.paths = self.paths.wrapping_add(visited);
            }
        }
        Some(())
    }
}

/// Σ_k Π_{j ≤ k} (s_j + 1), if that fits.
fn nodes(sizes: &[usize]) -> Option<u128> {
    let (mut level, mut nodes) = (1u128, 0u128);
    for &size in sizes {
        level = level.checked_mul(size as u128 + 1)?;
        nodes = nodes.checked_add(level)?;
    }
    Some(nodes)
}

/// How many ways there are to make each sum of at most `most` with one group more; modulo 2¹²⁸.
fn extended(ways: &[u128], size: usize, most: usize) -> Vec<u128> {
    // Of the last size + 1 sums.
    let mut window = 0u128;
    let last = (ways.len() + size - 1).min(most);
    let sum = |sum: usize| {
        window = window.wrapping_add(ways.get(sum).copied().unwrap_or(0));
        if sum > size {
            window = window.wrapping_sub(ways.get(sum - size - 1).copied().unwrap_or(0));
        }
        window
    };
    (0..=last).map(sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Cpu;
    use crate::instance::{Capacity, Columns};
    use crate::search::algorithm1;
    use crate::workload::synthesis::RowRng;

    /// Up to `most` requests in up to 5 groups, with many ties, on a shared channel or not, from no room to plenty.
    fn random(seed: u64, most: u64, groups: u64) -> Instance {
        let mut rng = RowRng::new(seed, 17);
        let mut draw = move |below: u64| (rng.next_row().unit(0) * below as f64) as u64;
        let n = draw(most + 1);
        let (groups, shared, spread) = (1 + draw(groups), draw(2) == 0, 1 + draw(30));
        let mut c = Columns::default();
        for i in 0..n {
            let group = draw(groups);
            let [up, down] = [0; 2].map(|_| if shared { 2 } else { 1 + draw(5) });
            c.request.push(i as u32);
            c.uplink.push(up * (1 + draw(2)));
            c.downlink.push(down * (1 + group));
            c.kv_tokens.push(2 + group);
            c.compute.push(3 + group * group);
            c.budget.push(3 + draw(spread) * (1 + draw(6)) * 2);
            c.arrival.push(i as u32);
        }
        let mut part = |column: &[u64]| match draw(4) {
            0 => u64::MAX,
            1 => 3,
            _ => column.iter().sum::<u64>() * (1 + draw(3)) / 4,
        };
        let capacity = Capacity { uplink: part(&c.uplink), downlink: part(&c.downlink), kv_tokens: part(&c.kv_tokens) };
        Instance::new(c, capacity).unwrap()
    }

    /// The work of a walk, and the size it ends with.
    fn walked(ranked: &Ranked, prune: bool) -> (Work, usize) {
        let cpu = Cpu { pool: None };
        let found = algorithm1::search(ranked, 0, prune, &cpu, &mut Clock::start(&Limits::NONE));
        assert!(!found.work.stopped);
        (found.work, found.batch.map_or(0, |batch| batch.len()))
    }

    /// Nodes of all trees up to the first feasible path, if children are the counts up to what is left of z.
    fn capped(ranked: &Ranked) -> u128 {
        let (group_of, groups) = groups(ranked);
        let mut nodes = 0;
        for z in (1..=ranked.len()).rev() {
            for d in z..=ranked.len() {
                let mut members = vec![Vec::new(); groups.len()];
                (0..d).for_each(|rank| members[group_of[rank]].push(ranked.cost(rank)));
                members.iter_mut().for_each(|group| group.sort_unstable());
                if walk(&members, z, [0; 4], ranked.capacities(d), &mut nodes) {
                    return nodes;
                }
            }
        }
        nodes
    }

    fn walk(groups: &[Vec<[u64; 4]>], left: usize, used: [u64; 4], capacity: [u64; 4], nodes: &mut u128) -> bool {
        let Some((group, rest)) = groups.split_first() else {
            return left == 0 && (0..4).all(|r| used[r] <= capacity[r]);
        };
        for count in (0..=group.len().min(left)).rev() {
            *nodes += 1;
            let with = std::array::from_fn(|r| used[r] + group[..count].iter().map(|cost| cost[r]).sum::<u64>());
            if walk(rest, left - count, with, capacity, nodes) {
                return true;
            }
        }
        false
    }

    fn check(instance: &Instance) -> Visits {
        let ranked = Ranked::new(instance);
        let visits = visits(instance, &Limits::NONE).unwrap();
        let ((full, size), (pruned, _)) = (walked(&ranked, false), walked(&ranked, true));
        let wide = u128::from;
        // Half of the pruning is no mode of the walk.
        let capped = capped(&ranked);
        let expected = Visits {
            capped,
            subproblems: wide(full.subproblems),
            unpruned: wide(full.nodes),
            pruned: wide(pruned.nodes),
            paths: wide(full.paths_checked),
            size: size as u64,
        };
        assert_eq!(visits, expected);
        assert_eq!((pruned.subproblems, pruned.paths_checked), (full.subproblems, full.paths_checked));
        visits
    }

    #[test]
    fn counts_are_those_of_the_walk() {
        let mut sum = Visits::default();
        let (mut whole, mut none) = (0, 0);
        for seed in 0..6_000 {
            let instance = random(seed, 11, 5);
            let visits = check(&instance);
            whole += u32::from(visits.size == instance.len() as u64 && !instance.is_empty());
            none += u32::from(instance.is_empty());
            sum = sum.checked_add(visits).unwrap();
        }
        assert!(whole > 100 && none > 100 && sum.size > 6_000, "{whole} {none} {sum:?}");
        assert!(sum.saved() > 0.1 && sum.saved() < 1.0, "{sum:?}");
    }

    #[test]
    fn counts_of_larger_trees_are_those_of_the_walk() {
        for seed in 0..150 {
            check(&random(1_000_000 + seed, 40, 3));
        }
    }

    /// Without any feasible path, which no instance with a request lacks, every tree is visited whole.
    #[test]
    fn trees_without_a_path_are_counted_whole() {
        for sizes in [&[3usize, 2, 2][..], &[1, 1, 1, 1], &[6], &[2, 4], &[5, 4, 3]] {
            let ranked = algorithm1::tests::hopeless(sizes);
            let (full, pruned) = (walked(&ranked, false).0, walked(&ranked, true).0);
            // All but the last tree, (1, 1), which has a path at once.
            let visits = count(&ranked, None).unwrap();
            let ones = visits.subproblems - u128::from(full.subproblems);
            assert_eq!(ones, ranked.len() as u128 - 1, "the trees of z = 1 but the first");
            assert!(visits.unpruned > u128::from(full.nodes) && visits.pruned > u128::from(pruned.nodes));
        }
    }

    #[test]
    fn counts_beyond_128_bits_are_none() {
        let sizes = vec![1; 130];
        assert_eq!(count(&algorithm1::tests::hopeless(&sizes), None), None);
        let visits = count(&algorithm1::tests::hopeless(&sizes[..100]), None).unwrap();
        assert!(visits.unpruned > 1 << 100 && visits.pruned < visits.unpruned);
        // Every subset is one path of the tree (its size, d) at every d that holds it.
        assert_eq!(visits.paths, (1..=100).map(|d| (1u128 << d) - 1).sum());
    }
}
