//! Which requests a pass goes over, and the buckets that it puts them into.

use crate::instance::{Columns, Instance};
use crate::rank::{COMPUTE, RESOURCES};

/// Requests of an instance, evenly spread: one in `stride`, in blocks that fill a cache line, with so much less of
/// every capacity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'i> {
    pub columns: &'i Columns,
    capacity: [u64; COMPUTE],
    pub stride: usize,
}

/// Rows next to each other in a sample: a cache line of each column.
const BLOCK_ROWS: usize = 8;

impl<'i> View<'i> {
    pub fn new(instance: &'i Instance, stride: usize) -> Self {
        let c = instance.capacity();
        let capacity = [c.uplink, c.downlink, c.kv_tokens].map(|c| c / stride as u64);
        View { columns: instance.columns(), capacity, stride }
    }

    /// The capacities of all resources but compute.
    pub fn capacity(&self) -> [u64; COMPUTE] {
        self.capacity
    }

    /// The number of requests looked at.
    pub fn len(&self) -> usize {
        // Whole blocks but for the last.
        let (rows, period) = (self.columns.request.len(), BLOCK_ROWS * self.stride);
        rows / period * BLOCK_ROWS + (rows % period).min(BLOCK_ROWS)
    }

    /// The row of the instance behind an index of the view.
    #[inline]
    pub fn row(&self, index: u32) -> u32 {
        self.at(index as usize) as u32
    }

    #[inline]
    fn at(&self, index: usize) -> usize {
        index / BLOCK_ROWS * BLOCK_ROWS * self.stride + index % BLOCK_ROWS
    }

    #[inline]
    pub fn cost(&self, index: usize) -> [u64; RESOURCES] {
        let (c, row) = (self.columns, self.at(index));
        [c.uplink[row], c.downlink[row], c.kv_tokens[row], c.compute[row]]
    }

    #[inline]
    pub fn budget(&self, index: usize) -> u64 {
        self.columns.budget[self.at(index)]
    }
}

/// Buckets of budgets: 0 holds the loosest. Monotone in the budget, which is all that correctness asks of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Buckets {
    pub least: u64,
    pub factor: f64,
    pub(crate) count: usize,
}

/// At most so many buckets; a tag of 16 bits holds a bucket and a fate.
pub(crate) const MAX_BUCKETS: usize = 4096;
/// Requests per bucket aimed at.
const PER_BUCKET: usize = 32;

impl Buckets {
    /// For `requests` requests with budgets mostly between `least` and `most`.
    pub fn new(least: u64, most: u64, requests: usize) -> Self {
        let count = (requests / PER_BUCKET).clamp(1, MAX_BUCKETS);
        Buckets { least, factor: count as f64 / (most.saturating_sub(least) as f64 + 1.0), count }
    }

    #[inline]
    pub(super) fn of(&self, budget: u64) -> usize {
        // Conversion, product and rounding are monotone; `as` saturates.
        let up = (budget.saturating_sub(self.least) as f64 * self.factor) as usize;
        self.count - 1 - up.min(self.count - 1)
    }
}

/// Requests between two looks at the clock.
pub(super) const BLOCK: usize = 1 << 14;

/// The requests of one part. The number of parts does not depend on the number of threads.
pub(crate) fn part_size(requests: usize) -> usize {
    const PARTS: usize = 8;
    requests.div_ceil(PARTS).max(BLOCK)
}
