//! What serving systems do today: batches built in queue order, without a search.
//!
//! All return rows of a feasible batch. Under padding to the longest prompt the padding of the whole batch grows as
//! longer prompts join, and is charged to every request.

use crate::instance::{Instance, Running, Usage};

/// Takes the requests of `order` one after another while they fit; one that does not fit is passed over.
pub fn greedy(instance: &Instance, order: &[u32]) -> Vec<u32> {
    let mut batch = Batch::new(instance);
    for &row in order {
        batch.try_add(row);
    }
    batch.rows()
}

/// First come, first served.
pub fn first_come(instance: &Instance) -> Vec<u32> {
    greedy(instance, &arrival_order(instance))
}

/// Earliest deadline first, ties in arrival order.
pub fn earliest_deadline(instance: &Instance) -> Vec<u32> {
    let due = instance.due();
    greedy(instance, &order_by(instance, |row| due[row]))
}

/// Shortest first: least compute first, ties in arrival order.
pub fn shortest_first(instance: &Instance) -> Vec<u32> {
    let c = instance.columns();
    greedy(instance, &order_by(instance, |row| c.compute[row]))
}

/// Static batching (StB): the first `size` requests of the queue, cut at the first that does not fit.
///
/// The paper leaves the size open. Without one, the batch is sized for the worst case, as a static batcher must be: the
/// largest number of copies of a request with the largest cost in every resource that fits under the tightest deadline
/// of the queue (at least 1).
pub fn static_batch(instance: &Instance, size: Option<usize>) -> Vec<u32> {
    let size = size.unwrap_or_else(|| worst_case_size(instance));
    let mut batch = Batch::new(instance);
    for row in arrival_order(instance).into_iter().take(size) {
        if !batch.try_add(row) {
            break;
        }
    }
    batch.rows()
}

/// No batching (NoB): the request at the head of the queue, alone.
pub fn no_batching(instance: &Instance) -> Vec<u32> {
    static_batch(instance, Some(1))
}

/// The size of [`static_batch`] when none is given.
pub fn worst_case_size(instance: &Instance) -> usize {
    let longest = instance.prompt_lengths().last().copied();
    let mut worst = Usage::default();
    let mut budget = u64::MAX;
    for row in 0..instance.len() {
        let cost = instance.row_padded(row, longest);
        worst = Usage {
            uplink: worst.uplink.max(cost.uplink),
            downlink: worst.downlink.max(cost.downlink),
            kv_tokens: worst.kv_tokens.max(cost.kv_tokens),
            compute: worst.compute.max(cost.compute),
        };
        budget = budget.min(instance.columns().budget[row]);
    }
    let capacity = instance.capacity();
    let copies = |limit: u64, cost: u64| limit.checked_div(cost).unwrap_or(u64::MAX);
    let size = copies(capacity.uplink, worst.uplink)
        .min(copies(capacity.downlink, worst.downlink))
        .min(copies(capacity.kv_tokens, worst.kv_tokens))
        .min(copies(budget, worst.compute));
    usize::try_from(size).unwrap_or(usize::MAX).clamp(1, instance.len().max(1))
}

fn arrival_order(instance: &Instance) -> Vec<u32> {
    order_by(instance, |_| 0)
}

fn order_by(instance: &Instance, key: impl Fn(usize) -> u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..instance.len() as u32).collect();
    order.sort_by_key(|&row| (key(row as usize), instance.columns().arrival[row as usize]));
    order
}

/// A feasible batch as it grows.
struct Batch<'i> {
    rows: Vec<u32>,
    running: Running<'i>,
}

impl<'i> Batch<'i> {
    fn new(instance: &'i Instance) -> Self {
        Batch { rows: Vec::new(), running: Running::new(instance) }
    }

    fn try_add(&mut self, row: u32) -> bool {
        let next = self.running.with(row);
        let fits = next.broken() == [false; 4];
        if fits {
            self.rows.push(row);
            self.running = next;
        }
        fits
    }

    fn rows(mut self) -> Vec<u32> {
        self.rows.sort_unstable();
        self.rows
    }
}
