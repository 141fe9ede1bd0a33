//! One edge node, epoch after epoch: from its queue to the outputs of its batches.

use super::allocator::{Taken, allocate_batch, check_batch};
use super::clock::{Slots, seconds};
use super::engine::{Batch, CostModel, InferenceEngine};
use super::queue::{Pending, RequestQueue, Rules};
use super::{EpochRecord, Fate, RequestRecord, Served};
use crate::error::Result;
use crate::instance::{Host, Problem, Reason, Rejection};
use crate::outcome::crowded_out;
use crate::rank::RESOURCES;
use crate::workload::Request;
use crate::workload::arrivals::Stream;

/// What all nodes of a run have in common.
pub(super) struct Common<'s> {
    pub host: &'s Host,
    pub rules: Rules<'s>,
    pub slots: Slots,
    pub overlap: bool,
    /// No batch computes longer than this, nanoseconds.
    pub computation_limit_ns: Option<u64>,
    /// Whether the largest batch of each epoch is noted.
    pub regret: bool,
    pub engine: &'s dyn InferenceEngine,
    /// When arrivals end.
    pub until_ns: u64,
}

/// See the module documentation.
pub(super) struct Node {
    id: u32,
    queue: RequestQueue,
    taken: Taken,
    /// The part of the memory that the last batch takes.
    memory: f64,
    /// The epoch that is under way: its record, what ended in it, and its problem, unless the node is busy or there is
    /// nobody to serve.
    pub record: EpochRecord,
    pub ended: Vec<RequestRecord>,
    pub problem: Option<Problem>,
    /// What the queue looked like to the scheduler; a buffer.
    rows: Vec<Request>,
}

impl Node {
    pub fn new(id: u32, stream: Stream) -> Node {
        Node {
            id,
            queue: RequestQueue::new(id, stream),
            taken: Taken::default(),
            memory: 0.0,
            record: EpochRecord::default(),
            ended: Vec::new(),
            problem: None,
            rows: Vec::new(),
        }
    }

    pub fn is_idle(&self) -> bool {
        self.queue.waiting.is_empty()
    }

    /// Begins an epoch: aggregates what arrived, gives up what cannot be served any more, and states the problem.
    pub fn begin(&mut self, epoch: u64, now_ns: u64, common: &Common<'_>) -> Result<()> {
        self.ended.clear();
        let ended = &mut self.ended;
        let arrived = self.queue.begin(now_ns, common.until_ns, &common.rules, |record| ended.push(record));
        self.record = EpochRecord {
            epoch,
            node: self.id,
            begins_ns: now_ns,
            arrived,
            queued: self.queue.waiting.len() as u64,
            refused: self.ended.len() as u64,
            busy: !self.taken.free_at(now_ns, &common.slots, common.overlap),
            ..EpochRecord::default()
        };
        if self.record.busy {
            self.record.used[2] = self.memory;
        }
        if self.queue.waiting.is_empty() {
            self.rest(common);
            return Ok(());
        }
        let mut problem = self.state(common)?;
        if !problem.rejections.is_empty() {
            self.drop_hopeless(&mut problem, now_ns, common);
        }
        self.record.servable = problem.instance.len() as u64;
        if problem.instance.is_empty() {
            self.rest(common);
        } else {
            self.problem = (!self.record.busy).then_some(problem);
        }
        Ok(())
    }

    /// Begins an epoch with nobody to serve: nobody needs to be asked for the batch, which is empty and the largest.
    fn rest(&mut self, common: &Common<'_>) {
        self.problem = None;
        if self.record.busy {
            return;
        }
        // The weights stay.
        self.record.used[2] = common.host.memory_used(std::iter::empty());
        if common.regret {
            (self.record.optimum, self.record.proven) = (Some(0), true);
        }
    }

    /// The problem of the requests that wait now.
    fn state(&mut self, common: &Common<'_>) -> Result<Problem> {
        self.rows.clear();
        self.rows.extend(self.queue.waiting.iter().map(|pending| pending.request));
        let waiting = &self.queue.waiting;
        let limit_s = common.computation_limit_ns.map(seconds);
        common.host.problem(&self.rows, |row| usize::from(waiting[row].service), limit_s)
    }

    /// Ends what no epoch to come could serve. What only its channel of this epoch rules out goes on waiting. Rows of
    /// the problem then count what is left of the queue.
    fn drop_hopeless(&mut self, problem: &mut Problem, now_ns: u64, common: &Common<'_>) {
        let mut rejections = std::mem::take(&mut problem.rejections).into_iter().peekable();
        let (node, ended, record) = (self.id, &mut self.ended, &mut self.record);
        let mut row = 0u32;
        let mut kept = 0u32;
        let mut place = vec![u32::MAX; self.queue.waiting.len()];
        self.queue.waiting.retain(|pending| {
            let rejection = rejections.next_if(|r| r.request == row);
            let fate = rejection.and_then(|rejection| fate(&rejection, pending, common));
            match fate {
                Some(fate) => {
                    match fate {
                        Fate::Expired => record.expired += 1,
                        _ => record.infeasible += 1,
                    }
                    ended.push(pending.ended(node, fate, now_ns));
                }
                None => {
                    place[row as usize] = kept;
                    kept += 1;
                }
            }
            row += 1;
            fate.is_none()
        });
        problem.instance.renumber(|request| place[request as usize]);
    }

    /// Serves the batch that was picked: allocates, computes, answers.
    pub fn serve(&mut self, problem: &Problem, rows: &[u32], common: &Common<'_>) -> Result<()> {
        check_batch(problem, rows)?;
        for (_, blocked) in crowded_out(&problem.instance, rows) {
            (0..RESOURCES).for_each(|r| self.record.blocks[r] += u64::from(blocked[r]));
        }
        let now_ns = self.record.begins_ns;
        let places: Vec<u32> = rows.iter().map(|&row| problem.instance.columns().request[row as usize]).collect();
        let waiting = &self.queue.waiting;
        let members: Vec<(usize, Request)> =
            places.iter().map(|&at| &waiting[at as usize]).map(|p| (usize::from(p.service), p.request)).collect();
        let batch = Batch { host: common.host, members: &members };
        let kv_tokens = batch.kv_tokens();
        let allocated = allocate_batch(common.host, problem, rows, &kv_tokens, now_ns, &common.slots);
        if rows.is_empty() {
            self.record.used[2] = allocated.memory;
            return Ok(());
        }
        let computation_ns = common.engine.computation_ns(&batch);
        let computed_ns = allocated.computes_from_ns.saturating_add(computation_ns);
        let answered_ns = computed_ns.saturating_add(common.slots.downlink);
        self.taken = Taken { compute_until: computed_ns, downlink_until: answered_ns };
        self.memory = allocated.memory;
        self.record.scheduled = rows.len() as u64;
        self.record.computation_ns = computation_ns;
        self.record.used = [
            allocated.needed[0],
            allocated.needed[1],
            allocated.memory,
            computation_ns as f64 / common.slots.epoch as f64,
        ];
        let mut batch = places.iter().zip(&allocated.bands).peekable();
        let (node, ended, record) = (self.id, &mut self.ended, &mut self.record);
        let mut at = 0u32;
        self.queue.waiting.retain(|pending| {
            let member = batch.next_if(|(place, _)| **place == at);
            at += 1;
            let Some((_, bands)) = member else { return true };
            let fate = if answered_ns <= pending.deadline_ns { Fate::InTime } else { Fate::Late };
            if fate == Fate::InTime {
                record.in_time += 1;
                record.output_tokens += u64::from(pending.request.output_tokens);
            }
            let served = Served {
                scheduled_ns: now_ns,
                channel_power_gain: pending.request.channel_power_gain,
                uplink: bands.uplink,
                downlink: bands.downlink,
            };
            ended.push(RequestRecord { served: Some(served), ..pending.ended(node, fate, answered_ns) });
            false
        });
        Ok(())
    }

    /// Ends whatever waits.
    pub fn give_up(&mut self, now_ns: u64) {
        let node = self.id;
        self.ended.clear();
        self.ended.extend(self.queue.waiting.drain(..).map(|p| p.ended(node, Fate::Unfinished, now_ns)));
    }
}

/// What ends a request that no batch of this epoch can hold; nothing, if a later epoch may.
fn fate(rejection: &Rejection, pending: &Pending, common: &Common<'_>) -> Option<Fate> {
    let redrawn = common.rules.synthesis.is_redrawn();
    let passing = |reason: Reason| redrawn && matches!(reason, Reason::Uplink | Reason::Downlink);
    let mut lasting = rejection.reasons().filter(|&reason| !passing(reason)).peekable();
    let first = *lasting.peek()?;
    if lasting.all(|reason| reason == Reason::Deadline) && pending.could_have_been_in_time(common) {
        return Some(Fate::Expired);
    }
    Some(Fate::Infeasible(first))
}

impl Pending {
    /// Whether alone, and served the moment it arrived, it would have met its deadline.
    fn could_have_been_in_time(&self, common: &Common<'_>) -> bool {
        let members = [(usize::from(self.service), self.request)];
        let alone = CostModel::default().computation_ns(&Batch { host: common.host, members: &members });
        let slots = common.slots.uplink + common.slots.downlink;
        let needed = alone.saturating_add(slots);
        let limited = common.computation_limit_ns.is_some_and(|limit| alone > limit);
        !limited && needed <= self.deadline_ns - self.counts_from_ns
    }
}
