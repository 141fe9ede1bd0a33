//! The bound pass: every request once, into the bucket of its budget, taken, left or listed.

use super::region::{CORE, Region, TAKEN};
use super::view::{BLOCK, Buckets, View};
use crate::rank::RESOURCES;

/// The sums of one bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub requests: u32,
    pub taken: u32,
    pub core: u32,
    pub least: u64,
    pub most: u64,
    pub sums: [u64; RESOURCES],
}

pub(super) const EMPTY_CELL: Cell =
    Cell { requests: 0, taken: 0, core: 0, least: u64::MAX, most: 0, sums: [0; RESOURCES] };

/// What one thread makes of its range of requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub cells: Vec<Cell>,
    pub core: Vec<u32>,
}

impl Cell {
    pub fn add(&mut self, other: &Cell) {
        self.requests += other.requests;
        self.taken += other.taken;
        self.core += other.core;
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
            } else if fate == CORE {
                cell.core += 1;
                self.core.push(index as u32);
            }
            *tag = (bucket << 2) as u16 | fate;
        }
    }
}
