//! Work items, and the walk of one: depth first, iterative, without allocation.

use super::build::Builder;
use super::radio::Verdict;
use super::{Group, LANES, Tree};
use crate::rank::RESOURCES;

/// A prefix of counts, and what it leaves: plain data, numbered by its place in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    counts: Vec<u32>,
    need: u32,
    left: [u64; RESOURCES],
    loss: [u64; LANES],
}

/// What the groups to come could hold is added up if there are only so many, and one of them at least so long.
const FEW_GROUPS: usize = 8;
const LONG_GROUP: u32 = 64;
/// A prefix is not cut into more than about so many.
const MAX_CHILDREN: u32 = 256;

/// What a walk did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Nodes: prefixes of counts looked at.
    pub nodes: u64,
    /// Complete paths whose constraints were checked.
    pub paths: u64,
    /// Of these, the ones that no direction settled.
    pub open: u64,
}

impl Walk {
    pub fn add(&mut self, other: &Walk) {
        self.nodes += other.nodes;
        self.paths += other.paths;
        self.open += other.open;
    }
}

/// How a walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Walked {
    /// The rows of the first feasible path.
    Batch(Vec<u32>),
    /// There is none.
    Empty,
    /// `stop` said so.
    Stopped,
}

impl Item {
    /// The whole tree; none if nothing can come of it.
    pub fn root(tree: &Tree) -> Option<Item> {
        let item = Item {
            counts: Vec::new(),
            need: tree.needs.first().copied().unwrap_or(0),
            left: tree.left,
            loss: tree.loss,
        };
        item.viable(tree).then_some(item)
    }

    /// The counts of the first groups.
    #[cfg(feature = "cuda")]
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Whether it should be cut further: a complete path cannot be, and a group of very many is better walked.
    pub fn divisible(&self, tree: &Tree) -> bool {
        tree.groups.get(self.counts.len()).is_some_and(|group| group.len <= MAX_CHILDREN)
    }

    /// Its children, in order.
    pub fn expand(&self, tree: &Tree, walk: &mut Walk) -> Vec<Item> {
        let k = self.counts.len();
        let group = tree.groups[k];
        let mut children = Vec::new();
        // The last group of a part takes what is still needed.
        let closes = group.part_end(tree) == k + 1;
        if closes && self.need > group.len {
            return children;
        }
        let all = &tree.order[group.entry as usize..=(group.entry + group.len) as usize];
        let counts = if closes { std::slice::from_ref(&self.need) } else { all };
        for &count in counts {
            let entry = &tree.entries[(group.entry + count) as usize];
            if entry.loss[0] > self.loss[0] {
                break;
            }
            walk.nodes += 1;
            let Some(need) = tree.need_after(k, self.need, count) else { continue };
            let Some(left) = subtract(&self.left, &entry.cost) else { continue };
            let Some(loss) = subtract(&self.loss, &entry.loss) else { continue };
            let mut counts = self.counts.clone();
            counts.push(count);
            let child = Item { counts, need, left, loss };
            if child.viable(tree) {
                children.push(child);
            }
        }
        children
    }

    fn viable(&self, tree: &Tree) -> bool {
        tree.viable(self.counts.len(), self.need, &self.left, self.loss[0])
    }
}

/// What is left of each, if all of it is there. Without branches: lanes are many.
#[inline]
fn subtract<const N: usize>(left: &[u64; N], cost: &[u64; N]) -> Option<[u64; N]> {
    let mut short = false;
    let rest = std::array::from_fn(|i| {
        short |= cost[i] > left[i];
        left[i].wrapping_sub(cost[i])
    });
    (!short).then_some(rest)
}

/// One level of the walk.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// The next place in the order of the group's counts.
    next: u32,
    need: u32,
    left: [u64; RESOURCES],
    loss: [u64; LANES],
}

impl Tree {
    /// How many requests the part at hand needs after `count` of group `k`; none if that is impossible.
    #[inline]
    fn need_after(&self, k: usize, need: u32, count: u32) -> Option<u32> {
        let rest = need.checked_sub(count)?;
        match self.groups.get(k + 1) {
            Some(next) if next.part == self.groups[k].part => Some(rest),
            next => (rest == 0).then(|| next.map_or(0, |next| self.needs[next.part as usize])),
        }
    }

    /// Whether something may come of `need` requests from group `k` on.
    #[inline]
    fn viable(&self, k: usize, need: u32, left: &[u64; RESOURCES], loss: u64) -> bool {
        let Some(group) = self.groups.get(k) else { return need == 0 };
        // The part must have so many requests.
        need <= self.rest(k)
            && self.may_hold(k, need, left)
            && group.floor.is_none_or(|first| {
                let floor = &self.floors[(first + need) as usize];
                floor.loss <= loss && (0..RESOURCES).all(|r| floor.cost[r] <= left[r])
            })
    }

    /// Whether few groups that are long could hold `need` requests, if each had all that is left for itself.
    #[inline]
    fn may_hold(&self, k: usize, need: u32, left: &[u64; RESOURCES]) -> bool {
        if !self.has_long_groups(k) {
            return true;
        }
        let groups = &self.groups[k..self.part_end(k)];
        let most = |group: &Group| {
            // Costs grow with the count.
            let entries = &self.entries[group.entry as usize..=(group.entry + group.len) as usize];
            entries.partition_point(|entry| (0..RESOURCES).all(|r| entry.cost[r] <= left[r])) as u64 - 1
        };
        groups.iter().map(most).sum::<u64>() >= u64::from(need)
    }

    /// Walks the paths below an item, in order, until one fits.
    pub fn walk(&self, item: &Item, walk: &mut Walk, mut stop: impl FnMut(u64) -> bool) -> Walked {
        let depth = item.counts.len();
        let levels = self.groups.len();
        let mut counts = vec![0u32; levels];
        counts[..depth].copy_from_slice(&item.counts);
        if depth == levels {
            return self.check(&counts, walk, &mut stop).unwrap_or(Walked::Empty);
        }
        let top = Level { next: 0, need: item.need, left: item.left, loss: item.loss };
        let mut stack = vec![top; levels + 1];
        let mut k = depth;
        loop {
            let Level { next, need, left, loss } = stack[k];
            let group = self.groups[k];
            // The last group of a part takes what is still needed.
            let closes = group.part_end(self) == k + 1;
            if next > group.len || closes && (next > 0 || need > group.len) {
                if k == depth {
                    return Walked::Empty;
                }
                k -= 1;
                continue;
            }
            stack[k].next += 1;
            let count = if closes { need } else { self.order[(group.entry + next) as usize] };
            let entry = &self.entries[(group.entry + count) as usize];
            if entry.loss[0] > loss[0] {
                // Counts come by loss: the rest lose more.
                stack[k].next = group.len + 1;
                continue;
            }
            walk.nodes += 1;
            if stop(walk.nodes) {
                return Walked::Stopped;
            }
            let Some(need) = self.need_after(k, need, count) else { continue };
            let Some(left) = subtract(&left, &entry.cost) else { continue };
            let Some(loss) = subtract(&loss, &entry.loss) else { continue };
            if !self.viable(k + 1, need, &left, loss[0]) {
                continue;
            }
            counts[k] = count;
            if k + 1 == levels {
                if let Some(end) = self.check(&counts, walk, &mut stop) {
                    return end;
                }
                continue;
            }
            k += 1;
            stack[k] = Level { next: 0, need, left, loss };
        }
    }

    /// Checks a complete path, whose additive costs fit: a batch, or none if the walk goes on.
    fn check(&self, counts: &[u32], walk: &mut Walk, stop: &mut impl FnMut(u64) -> bool) -> Option<Walked> {
        walk.paths += 1;
        match self.radio.as_ref().map_or(Verdict::Fits(0), |radio| radio.test(self, counts)) {
            Verdict::Dead => None,
            Verdict::Fits(direction) => Some(Walked::Batch(self.rows(counts, direction))),
            Verdict::Open => self.settle(counts, walk, stop),
        }
    }

    /// The rows of the batch of a path that fits: of classes, in a direction.
    pub(crate) fn rows(&self, counts: &[u32], direction: usize) -> Vec<u32> {
        let mut rows = Vec::new();
        match &self.radio {
            Some(radio) => radio.rows(self, counts, direction, &mut rows),
            None => {
                for (group, &count) in self.groups.iter().zip(counts) {
                    let taken = &self.free[group.first as usize..(group.first + count) as usize];
                    rows.extend(taken.iter().map(|f| f.row));
                }
            }
        }
        rows
    }

    /// Settles a path that no direction does, by the chains of its classes: a batch, or none if the walk goes on.
    pub(crate) fn settle(&self, counts: &[u32], walk: &mut Walk, stop: &mut impl FnMut(u64) -> bool) -> Option<Walked> {
        walk.open += 1;
        let mut builder = Builder::default();
        let mut exact = builder.settle(self, counts);
        builder.add_floors(&mut exact);
        let root = Item::root(&exact)?;
        match exact.walk(&root, walk, &mut *stop as &mut dyn FnMut(u64) -> bool) {
            Walked::Empty => None,
            end => Some(end),
        }
    }

    /// The first group after the part of group `k`.
    pub(crate) fn part_end(&self, k: usize) -> usize {
        self.groups[k].part_end(self)
    }

    /// How many requests there are from group `k` on to the end of its part.
    pub(crate) fn rest(&self, k: usize) -> u32 {
        let end = self.groups.get(self.part_end(k)).map_or(self.free.len() as u32, |next| next.first);
        end - self.groups[k].first
    }

    /// Whether few groups that are long make it worth adding up what each could hold.
    pub(crate) fn has_long_groups(&self, k: usize) -> bool {
        let groups = &self.groups[k..self.part_end(k)];
        groups.len() <= FEW_GROUPS && groups.iter().any(|group| group.len >= LONG_GROUP)
    }
}

impl Group {
    /// The first group of the next part.
    fn part_end(&self, tree: &Tree) -> usize {
        tree.part_ends[self.part as usize] as usize
    }
}
