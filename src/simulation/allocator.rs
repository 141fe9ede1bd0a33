//! The resource allocator: what a batch gets of the bands, the memory and the slots, and proof that it is there.

use super::clock::Slots;
use crate::error::{Error, Result};
use crate::instance::{Host, Problem};
use crate::outcome::{Allocation, CONSTRAINTS, allocate};

/// What the batch of one node gets in one epoch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Allocated {
    /// The bands, shared out among the requests; [`Allocation::request`] is the place in the queue.
    pub bands: Vec<Allocation>,
    /// The part of each band that the batch needs (1a, 1b).
    pub needed: [f64; 2],
    /// The part of the memory that weights and KV cache take (1c).
    pub memory: f64,
    /// When the prompts are there and the computation begins, nanoseconds.
    pub computes_from_ns: u64,
}

/// Until when a node's resources are taken, nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub compute_until: u64,
    pub downlink_until: u64,
}

impl Taken {
    /// Whether a batch whose epoch begins at `now_ns` finds compute and downlink free when it needs them.
    ///
    /// Prompts go up while the batch before is still computed and its answers go down (the overlap of Fig. 2); the
    /// computation begins when the prompts are there, and answers may follow at once. Without overlap an epoch begins
    /// when the answers of the one before are down.
    pub fn free_at(&self, now_ns: u64, slots: &Slots, overlap: bool) -> bool {
        let needed_from = if overlap { now_ns.saturating_add(slots.uplink) } else { now_ns };
        self.compute_until <= needed_from && self.downlink_until <= needed_from
    }
}

/// Refuses what is not a batch of `problem`, whoever picked it.
///
/// # Errors
/// [`Error::Schedule`] if it takes more than there is, or names rows that are not there.
pub(super) fn check_batch(problem: &Problem, rows: &[u32]) -> Result<()> {
    let instance = &problem.instance;
    let ascending = rows.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascending || rows.last().is_some_and(|&last| last as usize >= instance.len()) {
        return Err(Error::Schedule("the batch has rows that do not ascend, or that are not there".to_string()));
    }
    if instance.is_feasible(rows) {
        return Ok(());
    }
    let (usage, capacity) = (instance.usage(rows), instance.capacity());
    let broken = [
        usage.uplink > capacity.uplink,
        usage.downlink > capacity.downlink,
        usage.kv_tokens > capacity.kv_tokens,
        true,
    ];
    let which = broken.iter().position(|&broken| broken).map_or("deadline", |r| CONSTRAINTS[r]);
    Err(Error::Schedule(format!("the batch of {} requests breaks its {which} limit", rows.len())))
}

/// Allocates to the batch `rows` of `problem`, in an epoch that begins at `now_ns`. `kv_tokens` are those of each
/// model.
pub(super) fn allocate_batch(
    host: &Host,
    problem: &Problem,
    rows: &[u32],
    kv_tokens: &[u64],
    now_ns: u64,
    slots: &Slots,
) -> Allocated {
    let (usage, capacity) = (problem.instance.usage(rows), problem.instance.capacity());
    let part = |used: u64, whole: u64| used as f64 / whole.max(1) as f64;
    Allocated {
        bands: allocate(&problem.instance, rows, problem.units.band_bits),
        needed: [part(usage.uplink, capacity.uplink), part(usage.downlink, capacity.downlink)],
        memory: host.memory_used(kv_tokens.iter().copied()),
        computes_from_ns: now_ns + slots.uplink,
    }
}
