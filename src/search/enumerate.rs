//! The paper's tree without pruning: every path of one subproblem (z, d), for comparison.
//!
//! Level k visits every v_k from the size of group k down to 0. A leaf is a *path*; there Σ v_k = z is tested, and then
//! (2b)–(2e) for the cheapest-uplink requests of each group. Paths are numbered in the order of that walk: a number has
//! a digit for each group, the group's size less v_k, the first group's the most significant. The answer is the
//! lowest-numbered path that fits.
//!
//! Nothing is skipped: each path is compared with z. But it is not walked node by node. A *prefix* fixes all levels but
//! the last, and its paths are compared in a loop of their own; Σ v_k = z holds at one of them at most, which is
//! checked when the loop has ended. Prefixes are shared out in ranges. How many nodes the walk visits up to a path
//! follows from the path's number, which has no need of fitting a word: a place in the tree is kept as its digits.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::ThreadPool;
use rayon::prelude::*;

use super::Clock;
use crate::rank::RESOURCES;

/// A group that has requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// What v of its requests cost is entry `entry + v`.
    pub entry: u32,
    /// How many it has.
    pub len: u32,
}

/// See the module documentation.
#[derive(Debug, Clone)]
pub(crate) struct Enumeration {
    /// The sizes of all groups.
    sizes: Vec<u32>,
    /// The groups that are not empty; one that is, if all are. Empty groups have nodes, but no more paths.
    pub levels: Vec<Level>,
    pub entries: Vec<[u64; RESOURCES]>,
    /// How many requests a batch has.
    pub z: u64,
    pub capacity: [u64; RESOURCES],
}

/// How an enumeration ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// With a batch: so many requests of each group.
    Batch(Vec<u32>),
    /// With the last path.
    Empty,
    /// Before that: no time was left, or the backend failed.
    Stopped,
}

/// What an enumeration found, and what a walk of the tree would have visited up to there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enumerated {
    pub end: End,
    pub nodes: u64,
    /// Paths with Σ v_k = z.
    pub paths: u64,
}

/// How prefixes are shared out on the CPU. The result does not depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Paths of a range at most, about.
    pub range: u64,
    /// Paths from which on threads are worth it.
    pub alone: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { range: 1 << 21, alone: 1 << 22 }
    }
}

/// Paths of a range at least, about, unless its pace says otherwise: fewer are not worth handing over.
const LEAST_RANGE: u64 = 1 << 18;

/// How a range of prefixes ended, after so many paths with Σ v_k = z.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// At a path: its digits.
    Batch(Vec<u32>, u64),
    Empty(u64),
    /// After so many prefixes, fewer than all.
    Stopped(u64, u64),
}

impl Enumeration {
    /// `tables`: for each group, the costs of its first v requests, v from 0.
    pub fn new<'t>(
        tables: impl Iterator<Item = &'t [[u64; RESOURCES]]>,
        z: u64,
        capacity: [u64; RESOURCES],
    ) -> Enumeration {
        let mut tree = Enumeration { sizes: Vec::new(), levels: Vec::new(), entries: Vec::new(), z, capacity };
        for table in tables {
            let len = table.len() as u32 - 1;
            tree.sizes.push(len);
            if len > 0 {
                tree.levels.push(Level { entry: tree.entries.len() as u32, len });
                tree.entries.extend_from_slice(table);
            }
        }
        if tree.levels.is_empty() {
            tree.levels.push(Level { entry: 0, len: 0 });
            tree.entries.push([0; RESOURCES]);
        }
        tree
    }

    /// How many requests there are, in all groups.
    #[cfg(feature = "cuda")]
    pub fn requests(&self) -> u64 {
        self.sizes.iter().map(|&size| u64::from(size)).sum()
    }

    /// How many paths there are; at most what a word holds.
    pub fn paths(&self) -> u64 {
        paths(self.sizes.iter().map(|&size| size as usize))
    }

    /// The prefixes of as many levels as `place` has digits, from that one to the last; at most what a word holds.
    pub fn rest(&self, place: &[u32]) -> u64 {
        let before_last = |rest: u64, (level, &digit): (&Level, &u32)| {
            rest.saturating_mul(u64::from(level.len) + 1).saturating_add(u64::from(level.len - digit))
        };
        self.levels.iter().zip(place).fold(0, before_last).saturating_add(1)
    }

    /// Goes on by so many prefixes, which must be there, or end with the last.
    pub fn advance(&self, place: &mut [u32], by: u64) {
        let mut carry = by;
        for (digit, level) in place.iter_mut().zip(&self.levels).rev() {
            let (sum, radix) = (u128::from(carry) + u128::from(*digit), u128::from(level.len) + 1);
            *digit = (sum % radix) as u32;
            carry = (sum / radix) as u64;
            if carry == 0 {
                return;
            }
        }
    }

    /// What was found at a path, given by its digits.
    pub fn batch(&self, digits: &[u32], paths: u64) -> Enumerated {
        let mut levels = self.levels.iter().zip(digits);
        let counts = self.sizes.iter().map(|&size| match size {
            0 => 0,
            _ => levels.next().map_or(0, |(level, digit)| level.len - digit),
        });
        Enumerated { end: End::Batch(counts.collect()), nodes: self.nodes(digits, |_| true), paths }
    }

    /// What comes of a tree without an answer.
    pub fn empty(&self, paths: u64) -> Enumerated {
        let last: Vec<u32> = self.levels.iter().map(|level| level.len).collect();
        Enumerated { end: End::Empty, nodes: self.nodes(&last, |_| true), paths }
    }

    /// What was done before the first path of a prefix.
    pub fn stopped(&self, place: &[u32], paths: u64) -> Enumerated {
        let rest_is_not_zero = |level: usize| place.iter().skip(level + 1).any(|&digit| digit != 0);
        Enumerated { end: End::Stopped, nodes: self.nodes(place, rest_is_not_zero), paths }
    }

    /// Nodes on all levels: of level k those with a lower number than that which the digits up to level k make, and
    /// that one itself if `at` says so. At most what a word holds.
    fn nodes(&self, digits: &[u32], at: impl Fn(usize) -> bool) -> u64 {
        let (mut level, mut number, mut nodes) = (0, 0u64, 0u64);
        for &size in &self.sizes {
            if size > 0 {
                let digit = digits.get(level).copied().unwrap_or(0);
                number = number.saturating_mul(u64::from(size) + 1).saturating_add(u64::from(digit));
                level += 1;
            }
            // An empty group follows the one before it; before all others it has one node, once there is a path.
            let visited = number.saturating_add(u64::from(match level {
                0 => at(0) || digits.first().is_some_and(|&digit| digit != 0),
                _ => at(level - 1),
            }));
            nodes = nodes.saturating_add(visited);
        }
        nodes
    }

    /// What a path's requests cost in all fits.
    #[inline]
    fn fits(&self, prefix: &[u64; RESOURCES], entry: u32) -> bool {
        let last = &self.entries[entry as usize];
        (0..RESOURCES).all(|r| prefix[r] + last[r] <= self.capacity[r])
    }

    /// Looks at every path of some prefixes, from `place` on. `stop` is asked now and then.
    fn run(&self, place: &[u32], prefixes: u64, mut stop: impl FnMut() -> bool) -> Part {
        /// Paths between two looks at `stop`.
        const LOOK: u64 = 1 << 14;
        let above = place.len();
        let last = self.levels[above];
        // What each level has, and what the levels before it take.
        let mut digits = place.to_vec();
        let mut taken = vec![0u64; above + 1];
        let mut cost = vec![[0u64; RESOURCES]; above + 1];
        let (mut paths, mut looked, mut changed) = (0, 0, 0);
        for prefix in 0..prefixes {
            for k in changed..above {
                let (level, digit) = (self.levels[k], digits[k]);
                let entry = &self.entries[(level.entry + level.len - digit) as usize];
                taken[k + 1] = taken[k] + u64::from(level.len - digit);
                cost[k + 1] = std::array::from_fn(|r| cost[k][r] + entry[r]);
            }
            // So many of the last group make z; no group has as many as stand for none.
            let missing = self.z.checked_sub(taken[above]).and_then(|missing| u32::try_from(missing).ok());
            let missing = missing.unwrap_or(u32::MAX);
            let mut made = false;
            for count in (0..=last.len).rev() {
                made |= count == missing;
            }
            if made {
                paths += 1;
                if self.fits(&cost[above], last.entry + missing) {
                    digits.push(last.len - missing);
                    return Part::Batch(digits, paths);
                }
            }
            looked += u64::from(last.len) + 1;
            // After the last prefix it is too late to stop.
            if looked >= LOOK && prefix + 1 < prefixes {
                looked = 0;
                if stop() {
                    return Part::Stopped(prefix + 1, paths);
                }
            }
            // The next prefix.
            changed = above;
            while changed > 0 {
                changed -= 1;
                if digits[changed] < self.levels[changed].len {
                    digits[changed] += 1;
                    break;
                }
                digits[changed] = 0;
            }
        }
        Part::Empty(paths)
    }

    /// Looks at every path, with the threads of `pool` if that is worth it.
    pub fn enumerate(&self, pool: Option<&ThreadPool>, pace: Pace, clock: &Clock) -> Enumerated {
        let mut place = vec![0u32; self.levels.len() - 1];
        let mut rest = self.rest(&place);
        let last = self.levels[place.len()].len;
        let pool = pool.filter(|_| self.paths() >= pace.alone);
        let threads = pool.map_or(1, ThreadPool::current_num_threads);
        // Ranges at the same time: few at first, as the answer may be near.
        let (mut ranges, most) = if pool.is_some() { (4 * threads, 64 * threads) } else { (1, 1) };
        let share = (self.paths() / ranges as u64).max(LEAST_RANGE);
        let each = (pace.range.min(share) / (u64::from(last) + 1)).max(1);
        let mut paths = 0;
        while rest > 0 {
            let mut starts = Vec::with_capacity(ranges);
            let mut at = place.clone();
            while rest > 0 && starts.len() < ranges {
                let prefixes = each.min(rest);
                starts.push((at.clone(), prefixes));
                self.advance(&mut at, prefixes);
                // A rest that a word does not hold is counted again.
                rest = if rest == u64::MAX { self.rest(&at) } else { rest - prefixes };
            }
            // The lowest-numbered range that did not come to its end: higher ones have nothing to add.
            let first = AtomicUsize::new(usize::MAX);
            let run = |(number, (start, prefixes)): (usize, &(Vec<u32>, u64))| {
                let stop = || first.load(Ordering::Relaxed) < number || clock.over();
                let part = if stop() { Part::Stopped(0, 0) } else { self.run(start, *prefixes, stop) };
                if !matches!(part, Part::Empty(_)) {
                    first.fetch_min(number, Ordering::Relaxed);
                }
                part
            };
            let parts: Vec<Part> = match pool {
                Some(pool) => pool.install(|| starts.par_iter().enumerate().with_max_len(1).map(run).collect()),
                None => starts.iter().enumerate().map(run).collect(),
            };
            for (part, (start, _)) in parts.into_iter().zip(&mut starts) {
                match part {
                    Part::Empty(more) => paths += more,
                    Part::Batch(digits, more) => return self.batch(&digits, paths + more),
                    Part::Stopped(prefixes, more) => {
                        self.advance(start, prefixes);
                        return self.stopped(start, paths + more);
                    }
                }
            }
            place = at;
            ranges = (2 * ranges).min(most);
        }
        self.empty(paths)
    }
}

/// How many paths groups of these sizes have; at most what a word holds.
pub(crate) fn paths(sizes: impl Iterator<Item = usize>) -> u64 {
    sizes.fold(1, |paths: u64, size| paths.saturating_mul(size as u64 + 1))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::search::Limits;
    use crate::workload::synthesis::RowRng;
    use rayon::ThreadPoolBuilder;
    use std::time::Duration;

    /// A tree of up to 8 groups of up to 6 requests: with few paths, some with an answer, early or late.
    pub fn random(seed: u64) -> Enumeration {
        let mut rng = RowRng::new(seed, 11);
        let mut draw = move |below: u64| (rng.next_row().unit(0) * below as f64) as u64;
        let groups = draw(9) as usize;
        let mut tables: Vec<Vec<[u64; RESOURCES]>> = Vec::new();
        let (mut total, mut paths) = (0, 1);
        for _ in 0..groups {
            let mut size = draw(7);
            while paths * (size + 1) > 4_000 {
                size -= 1;
            }
            paths *= size + 1;
            total += size;
            let mut table = vec![[0; RESOURCES]];
            for v in 0..size as usize {
                table.push(table[v].map(|sum| sum + draw(20)));
            }
            tables.push(table);
        }
        let z = draw(total + 3);
        // From no room at all to room for all.
        let capacity = match draw(8) {
            0 => [0; RESOURCES],
            1 => [u64::MAX >> 2; RESOURCES],
            _ => [0; RESOURCES].map(|_| 7 * z + draw(2 + 5 * z)),
        };
        Enumeration::new(tables.iter().map(Vec::as_slice), z, capacity)
    }

    /// The walk as it is written: level by level, and back.
    pub fn oracle(tree: &Enumeration) -> Enumerated {
        fn walk(tree: &Enumeration, counts: &mut Vec<u32>, found: &mut Enumerated) -> bool {
            let mut nonempty = 0;
            if counts.len() == tree.sizes.len() {
                if counts.iter().map(|&count| u64::from(count)).sum::<u64>() != tree.z {
                    return false;
                }
                found.paths += 1;
                let mut sum = [0; RESOURCES];
                for (&size, &count) in tree.sizes.iter().zip(counts.iter()) {
                    if size > 0 {
                        let entry = tree.entries[(tree.levels[nonempty].entry + count) as usize];
                        sum = std::array::from_fn(|r| sum[r] + entry[r]);
                        nonempty += 1;
                    }
                }
                let fits = (0..RESOURCES).all(|r| sum[r] <= tree.capacity[r]);
                if fits {
                    found.end = End::Batch(counts.clone());
                }
                return fits;
            }
            for count in (0..=tree.sizes[counts.len()]).rev() {
                found.nodes += 1;
                counts.push(count);
                if walk(tree, counts, found) {
                    return true;
                }
                counts.pop();
            }
            false
        }
        let mut found = Enumerated { end: End::Empty, nodes: 0, paths: 0 };
        walk(tree, &mut Vec::new(), &mut found);
        found
    }

    #[test]
    fn every_tree_is_that_of_the_walk() {
        let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let clock = Clock::start(&Limits::NONE);
        let (mut batches, mut late) = (0, 0);
        for seed in 0..6_000 {
            let tree = random(seed);
            let expected = oracle(&tree);
            batches += u64::from(expected.end != End::Empty);
            late += u64::from(expected.end != End::Empty && expected.paths > 10);
            assert_eq!(tree.enumerate(None, Pace::default(), &clock), expected, "seed {seed}");
            for range in [1, 5, 100] {
                let pace = Pace { range, alone: 0 };
                assert_eq!(tree.enumerate(None, pace, &clock), expected, "seed {seed}, {range}");
                assert_eq!(tree.enumerate(Some(&pool), pace, &clock), expected, "seed {seed}, {range}, threads");
            }
        }
        assert!(batches > 1_000 && batches < 5_000 && late > 100, "{batches} {late}");
    }

    /// Where the walk is after so many prefixes, and what it has visited by then.
    #[test]
    fn places_count_their_nodes() {
        for seed in 0..300 {
            let tree = random(seed);
            let above = tree.levels.len() - 1;
            let start = vec![0; above];
            let prefixes = tree.rest(&start);
            let mut place = start.clone();
            for number in 0..prefixes.min(200) {
                let mut at = start.clone();
                tree.advance(&mut at, number);
                assert_eq!(at, place);
                assert_eq!(tree.rest(&place), prefixes - number);
                // One level after the other: the prefixes of so many digits that were begun.
                let mut nodes = 0;
                let mut level = 0;
                for &size in &tree.sizes {
                    level += usize::from(size > 0);
                    let below: u64 =
                        tree.levels[level..above.max(level)].iter().map(|l| u64::from(l.len) + 1).product();
                    let last = u64::from(tree.levels[above].len) + 1;
                    nodes += if level > above { number * last } else { number.div_ceil(below) };
                }
                assert_eq!(tree.stopped(&place, 7).nodes, nodes, "seed {seed}, {number}");
                tree.advance(&mut place, 1);
            }
        }
    }

    /// More paths than a word can number: the first batch is found all the same, and a limit is kept.
    #[test]
    fn trees_may_have_more_paths_than_a_word_holds() {
        let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let table: Vec<[u64; RESOURCES]> = (0..8).map(|v| [v, v, v, v]).collect();
        let tree = |z: u64, room: u64| Enumeration::new((0..70).map(|_| table.as_slice()), z, [room; RESOURCES]);
        assert_eq!(tree(1, 1).paths(), u64::MAX);
        let clock = Clock::start(&Limits::NONE);
        // All of all groups but the last, and none of that: the eighth path.
        for pool in [None, Some(&pool)] {
            let found = tree(7 * 70 - 7, 1000).enumerate(pool, Pace { range: 1, alone: 0 }, &clock);
            let mut counts = vec![7; 70];
            counts[69] = 0;
            assert_eq!(found, Enumerated { end: End::Batch(counts), nodes: 69 + 8, paths: 1 });
            let limits = Limits::time(Duration::from_millis(20));
            let found = tree(5, 0).enumerate(pool, Pace::default(), &Clock::start(&limits));
            assert_eq!(found.end, End::Stopped);
            assert!(found.nodes > 100_000 && found.nodes < u64::MAX, "{}", found.nodes);
        }
    }
}
