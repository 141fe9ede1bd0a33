//! From free requests to groups and tables.

use super::radio::Radio;
use super::{Entry, Floor, Group, LANES, NO_BUDGET, Tree};
use crate::rank::RESOURCES;

/// A request that λ leaves undecided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Free {
    /// Its row.
    pub row: u32,
    pub cost: [u64; RESOURCES],
    /// Its reduced cost, towards 0, in units of the loss.
    pub gain: i64,
}

/// Groups whose requests are so many from the end have floors.
const FLOORED: usize = 192;
/// With at least so many requests to a class on average, counts of classes are tried; else chains.
const REQUESTS_PER_CLASS: usize = 6;

/// A request is compared with so many chains at most; of very many requests, with fewer.
const CHAINS_LOOKED_AT: usize = 512;
const COMPARISONS: usize = 1 << 24;

/// Builds trees, and reuses their memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Builder {
    sorted: [Vec<u64>; RESOURCES],
    gains: Vec<i64>,
}

impl Builder {
    /// The tree of a subproblem: `needs` of the `free` requests within `left`, losing at most `loss`.
    pub fn build(&mut self, mut free: Vec<Free>, need: u32, left: [u64; RESOURCES], loss: u64) -> Tree {
        free.sort_unstable_by_key(|f| (f.cost[2], f.cost[3], std::cmp::Reverse(f.gain), f.cost, f.row));
        let classes = free.chunk_by(|a, b| a.cost[2..] == b.cost[2..]).count();
        let by_class = classes * REQUESTS_PER_CLASS <= free.len() && !self.is_chained(&free);
        let mut tree = Tree { needs: vec![need], left, loss: first_lane(loss, NO_BUDGET), ..Tree::default() };
        if by_class {
            let mut groups: Vec<Vec<Free>> =
                free.chunk_by(|a, b| a.cost[2..] == b.cost[2..]).map(<[Free]>::to_vec).collect();
            sort_groups(&mut groups);
            groups.iter().for_each(|group| tree.push(group, 0, true));
            tree.radio = Some(Radio::new(&tree));
        } else {
            let mut groups = self.chains(&free);
            sort_groups(&mut groups);
            groups.iter().for_each(|group| tree.push(group, 0, false));
        }
        tree
    }

    /// The tree that settles an open path of `tree`: the chains of each class, of which `counts[k]` are needed.
    pub fn settle(&mut self, tree: &Tree, counts: &[u32]) -> Tree {
        let loss = first_lane(tree.loss[0], NO_BUDGET);
        let mut chained = Tree { needs: counts.to_vec(), left: tree.left, loss, ..Tree::default() };
        for (part, group) in tree.groups.iter().enumerate() {
            let class = &tree.free[group.first as usize..(group.first + group.len) as usize];
            let mut groups = self.chains(class);
            sort_groups(&mut groups);
            groups.iter().for_each(|chain| chained.push(chain, part as u32, false));
        }
        chained
    }

    /// Whether every class is a chain: counts of classes are then exact without directions. `free` is in the order of
    /// classes and gains.
    fn is_chained(&self, free: &[Free]) -> bool {
        free.windows(2).all(|pair| pair[0].cost[2..] != pair[1].cost[2..] || dominates(&pair[0], &pair[1]))
    }

    /// Partitions requests into chains: each joins the chain whose last request is the nearest of those that dominate
    /// it.
    fn chains(&mut self, free: &[Free]) -> Vec<Vec<Free>> {
        let mut order: Vec<Free> = free.to_vec();
        // Whoever dominates comes first: no cost is larger, so neither is the price; equal ones by row.
        order.sort_unstable_by_key(|f| (std::cmp::Reverse(f.gain), f.cost, f.row));
        let mut chains: Vec<Vec<Free>> = Vec::new();
        for request in order {
            let last = |chain: &Vec<Free>| chain.last().copied();
            // Of very many chains only the newest are looked at: a partition that is not the best is still one.
            let newest = chains.iter_mut().rev().take(CHAINS_LOOKED_AT.min(COMPARISONS / free.len()));
            let fitting = newest.filter(|chain| last(chain).is_some_and(|last| dominates(&last, &request)));
            match fitting.min_by_key(|chain| last(chain).map_or(i64::MAX, |last| last.gain - request.gain)) {
                Some(chain) => chain.push(request),
                None => chains.push(vec![request]),
            }
        }
        chains
    }

    /// Adds the floors, for the last groups.
    pub fn add_floors(&mut self, tree: &mut Tree) {
        // What the parts after this one need at least.
        let mut after = Floor { loss: 0, cost: [0; RESOURCES] };
        let mut part = u32::MAX;
        let mut covered = 0;
        for k in (0..tree.groups.len()).rev() {
            let group = tree.groups[k];
            if group.part != part {
                if let Some(next) = tree.groups.get(k + 1) {
                    let Some(floor) = next.floor else { return };
                    match tree.floors.get((floor + tree.needs[next.part as usize]) as usize) {
                        Some(&floor) if tree.needs[next.part as usize] as usize <= self.gains.len() => after = floor,
                        _ => return,
                    }
                }
                part = group.part;
                self.sorted.iter_mut().for_each(Vec::clear);
                self.gains.clear();
            }
            covered += group.len as usize;
            if covered > FLOORED {
                return;
            }
            for f in &tree.free[group.first as usize..(group.first + group.len) as usize] {
                for (sorted, &cost) in self.sorted.iter_mut().zip(&f.cost) {
                    sorted.insert(sorted.partition_point(|&c| c < cost), cost);
                }
                self.gains.insert(self.gains.partition_point(|&g| g > f.gain), f.gain);
            }
            tree.groups[k].floor = Some(tree.floors.len() as u32);
            let natural: i64 = self.gains.iter().take_while(|&&g| g > 0).sum();
            let (mut gained, mut sum) = (0i64, after.cost);
            tree.floors.push(Floor { loss: after.loss + natural as u64, cost: sum });
            for m in 0..self.gains.len() {
                gained += self.gains[m];
                (0..RESOURCES).for_each(|r| sum[r] += self.sorted[r][m]);
                tree.floors.push(Floor { loss: after.loss + (natural - gained) as u64, cost: sum });
            }
        }
    }
}

/// Losses at the first λ only.
fn first_lane(first: u64, others: u64) -> [u64; LANES] {
    let mut lanes = [others; LANES];
    lanes[0] = first;
    lanes
}

/// Whether `a` needs no more of any resource than `b`.
fn dominates(a: &Free, b: &Free) -> bool {
    (0..RESOURCES).all(|r| a.cost[r] <= b.cost[r])
}

/// The groups in which another count costs most come first: they decide the most.
fn sort_groups(groups: &mut [Vec<Free>]) {
    let least = |group: &Vec<Free>| group.iter().map(|f| f.gain.unsigned_abs()).min().unwrap_or(0);
    groups.sort_by_key(|group| std::cmp::Reverse(least(group)));
}

impl Tree {
    /// Adds a group: requests in the order in which they are taken; for a class, by reduced cost.
    fn push(&mut self, requests: &[Free], part: u32, class: bool) {
        let (first, entry) = (self.free.len() as u32, self.entries.len() as u32);
        self.groups.push(Group { first, entry, len: requests.len() as u32, part, floor: None });
        self.part_ends.resize(part as usize + 1, self.groups.len() as u32);
        self.part_ends[part as usize] = self.groups.len() as u32;
        let mut least: [Vec<u64>; 2] = [0, 1].map(|r| requests.iter().map(|f| f.cost[r]).collect());
        if class {
            least.iter_mut().for_each(|costs| costs.sort_unstable());
        }
        let natural: i64 = requests.iter().map(|f| f.gain.max(0)).sum();
        let (mut gained, mut cost) = (0i64, [0u64; RESOURCES]);
        self.entries.push(Entry { loss: first_lane(natural as u64, 0), cost });
        for (v, f) in requests.iter().enumerate() {
            gained += f.gain;
            cost[0] += least[0][v];
            cost[1] += least[1][v];
            cost[2] += f.cost[2];
            cost[3] += f.cost[3];
            self.entries.push(Entry { loss: first_lane((natural - gained) as u64, 0), cost });
        }
        let entries = &self.entries[entry as usize..];
        let start = self.order.len();
        self.order.extend(0..=requests.len() as u32);
        self.order[start..].sort_unstable_by_key(|&v| (entries[v as usize].loss[0], v));
        self.free.extend_from_slice(requests);
    }
}
