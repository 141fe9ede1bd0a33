//! The bound pass: every request once, into the bucket of its budget, taken, left or listed; and lists of those that
//! are asked for later. On the CPU; each backend has its own.

use std::cmp::Reverse;

use rayon::prelude::*;

use super::condense::{Condensed, Member};
use super::region::{CORE, FATE, Region, TAKEN};
use super::simplex::{Column, dot};
use super::view::{BLOCK, Buckets, MAX_BUCKETS, View, part_size};
use crate::rank::RESOURCES;

/// The sums of one bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub requests: u32,
    pub taken: u32,
    pub least: u64,
    pub most: u64,
    pub sums: [u64; RESOURCES],
}

pub(crate) const EMPTY_CELL: Cell = Cell { requests: 0, taken: 0, least: u64::MAX, most: 0, sums: [0; RESOURCES] };

/// Requests of the core in the order of their indices in the view.
#[derive(Debug, Clone, Default)]
pub(crate) struct Core {
    pub index: Vec<u32>,
    /// Bucket and fate of each.
    pub tag: Vec<u16>,
    pub cost: Vec<[u64; RESOURCES]>,
}

impl Core {
    pub fn clear(&mut self) {
        self.index.clear();
        self.tag.clear();
        self.cost.clear();
    }
}

/// What one thread makes of its range of requests.
#[derive(Debug, Clone, Default)]
struct Part {
    cells: Vec<Cell>,
    core: Core,
}

/// What a pass leaves for the lists. Memory is reused.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pass {
    /// Bucket and fate of every request of the view.
    tags: Vec<u16>,
    parts: Vec<Part>,
    cells: Vec<Cell>,
}

impl Pass {
    /// Sums up what is certain in `region` and lists the rest, by buckets of budgets; on the threads of the pool, if
    /// `parallel`. False if `stop` said so in the middle: nothing is then to be used.
    pub fn classify(
        &mut self,
        condensed: &mut Condensed,
        view: &View<'_>,
        (region, buckets): (Region, Buckets),
        parallel: bool,
        stop: &(impl Fn() -> bool + Sync),
    ) -> bool {
        let n = view.len();
        self.tags.resize(n, 0);
        let size = part_size(n);
        self.parts.resize_with(n.div_ceil(size), Part::default);
        let work = |(at, (part, tags)): (usize, (&mut Part, &mut [u16]))| {
            part.classify(view, at * size, tags, &region, &buckets, stop)
        };
        let complete = if !parallel || self.parts.len() <= 1 {
            self.parts.iter_mut().zip(self.tags.chunks_mut(size)).enumerate().all(work)
        } else {
            self.parts.par_iter_mut().zip(self.tags.par_chunks_mut(size)).enumerate().map(work).all(|done| done)
        };
        if complete {
            self.cells.clear();
            self.cells.resize(buckets.count, EMPTY_CELL);
            for part in &self.parts {
                self.cells.iter_mut().zip(&part.cells).for_each(|(cell, other)| cell.add(other));
            }
            condensed.assemble(view, region, &self.cells, self.parts.iter().map(|part| &part.core));
        }
        complete
    }

    /// The requests of open buckets, in any order. False if `stop` said so.
    pub fn members(
        &self,
        view: &View<'_>,
        open: &[bool; MAX_BUCKETS],
        members: &mut Vec<Member>,
        stop: &impl Fn() -> bool,
    ) -> bool {
        members.clear();
        for (at, tags) in self.tags[..view.len()].chunks(BLOCK).enumerate() {
            if stop() {
                return false;
            }
            let at = at * BLOCK;
            let listed = tags.iter().enumerate().filter(|&(_, &tag)| open[(tag >> 2) as usize]);
            members.extend(listed.map(|(i, &tag)| Member {
                budget: Reverse(view.budget(at + i)),
                index_and_fate: ((at + i) as u32) << 2 | u32::from(tag & FATE),
            }));
        }
        true
    }

    /// Adds the rows of what is taken for certain with a budget of at least `least`, in order.
    pub fn taken(&self, view: &View<'_>, least: u64, rows: &mut Vec<u32>) {
        let tagged = self.tags[..view.len()].iter().zip(&view.columns.budget).enumerate();
        let within = tagged.filter(|&(_, (&tag, &budget))| tag & FATE == TAKEN && budget >= least);
        rows.extend(within.map(|(i, _)| i as u32));
    }
}

/// Lists the requests of a price of at most `most` and a budget of at least `least`, in order. False if `stop` said so.
pub(crate) fn priced(
    view: &View<'_>,
    (lambda, most): (Column, f64),
    least: u64,
    parallel: bool,
    listed: &mut Vec<u32>,
    stop: &(impl Fn() -> bool + Sync),
) -> bool {
    let n = view.len();
    let block = |from: usize| {
        let near = |&i: &usize| {
            let cost = view.cost(i).map(|c| c as i64 as f64);
            dot(&cost, &lambda) <= most && view.budget(i) >= least
        };
        let listed = || (from..n.min(from + BLOCK)).filter(near).map(|i| i as u32).collect::<Vec<u32>>();
        if stop() { None } else { Some(listed()) }
    };
    let starts = (0..n).step_by(BLOCK);
    listed.clear();
    let blocks: Option<Vec<Vec<u32>>> = if parallel {
        starts.collect::<Vec<_>>().into_par_iter().map(block).collect()
    } else {
        starts.map(block).collect()
    };
    let complete = blocks.is_some();
    blocks.into_iter().flatten().for_each(|block| listed.extend(block));
    complete
}

impl Cell {
    pub fn add(&mut self, other: &Cell) {
        self.requests += other.requests;
        self.taken += other.taken;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        (0..RESOURCES).for_each(|r| self.sums[r] += other.sums[r]);
    }
}

impl Part {
    /// Classifies `tags.len()` requests from index `from` on.
    pub fn classify(
        &mut self,
        view: &View<'_>,
        from: usize,
        tags: &mut [u16],
        region: &Region,
        buckets: &Buckets,
        stop: &impl Fn() -> bool,
    ) -> bool {
        self.cells.clear();
        self.cells.resize(buckets.count, EMPTY_CELL);
        self.core.clear();
        for (block, tags) in tags.chunks_mut(BLOCK).enumerate() {
            if stop() {
                return false;
            }
            let (start, end) = (from + block * BLOCK, from + block * BLOCK + tags.len());
            let c = view.columns;
            if view.stride == 1 {
                let costs = c.uplink[start..end].iter().zip(&c.downlink[start..end]).zip(&c.kv_tokens[start..end]);
                let costs = costs.zip(&c.compute[start..end]).zip(&c.budget[start..end]);
                let requests = costs.map(|((((&u, &w), &k), &c), &e)| ([u, w, k, c], e));
                self.block(start, requests, tags, region, buckets);
            } else {
                let requests = (start..end).map(|index| (view.cost(index), view.budget(index)));
                self.block(start, requests, tags, region, buckets);
            }
        }
        true
    }

    #[inline]
    fn block(
        &mut self,
        start: usize,
        requests: impl Iterator<Item = ([u64; RESOURCES], u64)>,
        tags: &mut [u16],
        region: &Region,
        buckets: &Buckets,
    ) {
        for ((cost, budget), (tag, index)) in requests.zip(tags.iter_mut().zip(start..)) {
            // At most 2⁶², and from signed numbers the conversion is one instruction.
            let real = cost.map(|c| c as i64 as f64);
            let bucket = buckets.of(budget);
            let cell = &mut self.cells[bucket];
            cell.requests += 1;
            cell.least = cell.least.min(budget);
            cell.most = cell.most.max(budget);
            let fate = region.fate(&real);
            if fate == TAKEN {
                cell.taken += 1;
                (0..RESOURCES).for_each(|r| cell.sums[r] += cost[r]);
            }
            *tag = (bucket << 2) as u16 | fate;
            if fate == CORE {
                self.core.index.push(index as u32);
                self.core.tag.push(*tag);
                self.core.cost.push(cost);
            }
        }
    }
}
