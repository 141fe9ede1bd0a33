//! The request queue: what has arrived at a node and has not ended.

use std::iter::Peekable;

use super::clock::{ns, seconds};
use super::{Fate, RequestRecord, Waiting};
use crate::limits;
use crate::workload::Request;
use crate::workload::arrivals::{Arrival, Stream};
use crate::workload::synthesis::{RowRng, Synthesis};

/// A request that waits.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// The k-th arrival of the node, from 0.
    pub index: u64,
    pub arrived_ns: u64,
    /// From when the latency requirement and the wait count.
    pub counts_from_ns: u64,
    /// When its answer must be complete.
    pub deadline_ns: u64,
    /// Which model it is for.
    pub service: u16,
    pub class: u16,
    /// How many epochs have begun since it arrived.
    pub epochs: u64,
    /// With the wait and the channel of the epoch that begins.
    pub request: Request,
}

impl Pending {
    /// What became of it.
    pub fn ended(&self, node: u32, fate: Fate, at_ns: u64) -> RequestRecord {
        RequestRecord {
            node,
            index: self.index,
            arrived_ns: self.arrived_ns,
            deadline_ns: self.deadline_ns,
            service: self.service,
            class: self.class,
            prompt_tokens: self.request.prompt_tokens,
            output_tokens: self.request.output_tokens,
            fate,
            ended_ns: at_ns,
            served: None,
        }
    }
}

/// What a queue needs to know of its node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'s> {
    pub synthesis: &'s Synthesis,
    /// Cumulative shares of the node's models.
    pub shares: &'s [f64],
    pub waiting: Waiting,
    pub limit: usize,
}

/// The rows of random numbers of fading lie between those of attributes, from 0, and of arrival times, from 2⁶³.
const FADING_ROWS: u64 = 1 << 62;
/// Apart enough for the seeds of successive epochs: 2⁶⁴ over the golden ratio, as in SplitMix64.
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// See the module documentation.
#[derive(Debug)]
pub(super) struct RequestQueue {
    node: u32,
    stream: Peekable<Stream>,
    /// In order of arrival.
    pub waiting: Vec<Pending>,
}

impl RequestQueue {
    pub fn new(node: u32, stream: Stream) -> Self {
        RequestQueue { node, stream: stream.peekable(), waiting: Vec::new() }
    }

    /// Begins an epoch: takes in what has arrived before `now_ns` (and before arrivals end at `until_ns`), draws
    /// channels anew and counts the wait. What finds the queue full is refused. Returns the number of arrivals.
    pub fn begin(
        &mut self,
        now_ns: u64,
        until_ns: u64,
        rules: &Rules<'_>,
        mut refused: impl FnMut(RequestRecord),
    ) -> u64 {
        let redrawn = rules.synthesis.is_redrawn();
        for pending in &mut self.waiting {
            pending.epochs += 1;
            if !redrawn {
                continue;
            }
            // The channel of a request in an epoch is the same whatever else waits, and whoever schedules.
            let seed = rules.synthesis.seed.wrapping_add(pending.epochs.wrapping_mul(SEED_STEP));
            let row = FADING_ROWS + (u64::from(self.node) << 40) + pending.index;
            let draws = RowRng::new(seed, row).next_row();
            let gain = &mut pending.request.channel_power_gain;
            *gain = rules.synthesis.next_gain(*gain, &draws, 0).clamp(limits::GAIN.min, limits::GAIN.max);
        }
        let mut arrived = 0;
        while let Some(arrival) = self.stream.next_if(|a| a.at_ns < now_ns.min(until_ns)) {
            arrived += 1;
            let pending = admit(&arrival, now_ns, rules);
            if self.waiting.len() < rules.limit {
                self.waiting.push(pending);
            } else {
                refused(pending.ended(self.node, Fate::Refused, now_ns));
            }
        }
        for pending in &mut self.waiting {
            pending.request.waited_s = seconds(now_ns - pending.counts_from_ns);
        }
        arrived
    }
}

/// An arrival as a request, with what its source lacks.
fn admit(arrival: &Arrival, now_ns: u64, rules: &Rules<'_>) -> Pending {
    let Arrival { index, at_ns, prompt_tokens, output_tokens, draws } = *arrival;
    let class = rules.synthesis.class(seconds(at_ns), &draws);
    let request = rules.synthesis.request_of(class, prompt_tokens, output_tokens, 0.0, &draws);
    let unit = draws.unit(5);
    let service = rules.shares.iter().take_while(|&&share| share <= unit).count().min(rules.shares.len() - 1);
    let counts_from_ns = match rules.waiting {
        Waiting::Counted => at_ns,
        Waiting::FromEpoch => now_ns,
    };
    let tau_ns = ns(request.deadline_s).max(1);
    let channel_power_gain = request.channel_power_gain.clamp(limits::GAIN.min, limits::GAIN.max);
    Pending {
        index,
        arrived_ns: at_ns,
        counts_from_ns,
        deadline_ns: counts_from_ns.saturating_add(tau_ns),
        service: service as u16,
        class: class as u16,
        epochs: 0,
        // The latency requirement that the scheduler is told is the one that is checked.
        request: Request { deadline_s: seconds(tau_ns), channel_power_gain, ..request },
    }
}
