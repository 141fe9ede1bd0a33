//! Who of a block may run, who waits at what, and what comes of it when all have arrived.

use crate::Order;
use crate::arrival::{Arrival, Kind};
use crate::order::{Shuffler, Threads};
use std::fmt::Write as _;

#[derive(Debug, Clone, Copy, Default)]
struct Thread {
    /// The fiber that runs it.
    fiber: usize,
    arrival: Option<Arrival>,
    /// What the operation that it waited at returns.
    result: u64,
}

/// An operation at which not all have arrived yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    first: Arrival,
    /// The lanes of the warp that have arrived, or the number of threads.
    arrived: u32,
    /// Of a barrier: how many predicates hold.
    holding: u32,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Give threads that have not started to an idle fiber.
    Start,
    /// Let a thread go on, on its fiber.
    Resume(u32, usize),
}

/// One block.
#[derive(Debug)]
pub(crate) struct State {
    order: Order,
    shuffler: Shuffler,
    /// The threads of this round, and how many of them have had their turn.
    queue: Vec<u16>,
    turn: usize,
    /// The first round: its threads have not started.
    starting: bool,
    /// The threads of the next round.
    released: Threads,
    returned: u32,
    exited: Threads,
    threads: Vec<Thread>,
    /// For each warp; the last entry is of the block's barriers.
    pending: Vec<Vec<Pending>>,
    idle: Vec<usize>,
}

impl State {
    pub(crate) fn new(order: Order, block: u32) -> Self {
        Self {
            order,
            shuffler: Shuffler::new(order),
            queue: Vec::with_capacity(block as usize),
            turn: 0,
            starting: false,
            released: Threads::default(),
            returned: 0,
            exited: Threads::default(),
            threads: vec![Thread::default(); block as usize],
            pending: vec![Vec::new(); block.div_ceil(32) as usize + 1],
            idle: Vec::new(),
        }
    }

    fn size(&self) -> u32 {
        self.threads.len() as u32
    }

    /// Puts the threads of the first round of a block into order.
    pub(crate) fn begin(&mut self) {
        self.queue.clear();
        self.queue.extend(0..self.threads.len() as u16);
        self.shuffler.arrange(&mut self.queue, self.order);
        self.turn = 0;
        self.starting = true;
        self.returned = 0;
        self.exited = Threads::default();
    }

    /// The next turn of this round.
    pub(crate) fn step(&mut self) -> Option<Step> {
        let thread = *self.queue.get(self.turn)?;
        if self.starting {
            return Some(Step::Start);
        }
        self.turn += 1;
        Some(Step::Resume(thread.into(), self.threads[usize::from(thread)].fiber))
    }

    /// The next thread that has not started, which now runs on this fiber.
    pub(crate) fn start(&mut self, fiber: usize) -> Option<u32> {
        if !self.starting {
            return None;
        }
        let thread = *self.queue.get(self.turn)?;
        self.turn += 1;
        self.threads[usize::from(thread)].fiber = fiber;
        Some(thread.into())
    }

    pub(crate) fn exit(&mut self, thread: u32) {
        self.returned += 1;
        self.exited.insert(thread);
    }

    /// Begins the next round: false if no thread can run.
    pub(crate) fn next_round(&mut self) -> bool {
        self.queue.clear();
        self.released.drain_into(&mut self.queue);
        self.shuffler.arrange(&mut self.queue, self.order);
        self.turn = 0;
        self.starting = false;
        !self.queue.is_empty()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.returned == self.size()
    }

    pub(crate) fn idle(&mut self) -> &mut Vec<usize> {
        &mut self.idle
    }

    pub(crate) fn result(&self, thread: u32) -> u64 {
        self.threads[thread as usize].result
    }

    /// A thread waits from now on; if all others are there already, none of them does any longer.
    pub(crate) fn arrive(&mut self, thread: u32, arrival: Arrival) -> Result<(), String> {
        let (size, lane) = (self.size(), thread % 32);
        let of_block = arrival.kind().is_of_block();
        if arrival.kind() == Kind::Trap {
            return Err(arrival.to_string());
        }
        if !of_block {
            check(thread, size, &arrival)?;
        }
        self.threads[thread as usize].arrival = Some(arrival);
        let group = if of_block { self.pending.len() - 1 } else { thread as usize / 32 };
        let pending = &mut self.pending[group];
        let at = pending.iter().position(|other| other.first.meets(&arrival)).unwrap_or_else(|| {
            pending.push(Pending { first: arrival, arrived: 0, holding: 0 });
            pending.len() - 1
        });
        let entry = &mut pending[at];
        entry.arrived += if of_block { 1 } else { 1 << lane };
        entry.holding += u32::from(arrival.value != 0);
        if entry.arrived == if of_block { size } else { arrival.mask() } {
            let holding = entry.holding;
            pending.swap_remove(at);
            if of_block {
                self.release_block(arrival.kind(), holding);
            } else {
                self.release_warp(thread / 32, &arrival);
            }
        }
        Ok(())
    }

    fn release_block(&mut self, kind: Kind, holding: u32) {
        let size = self.size();
        let result = match kind {
            Kind::SyncThreadsCount => holding,
            Kind::SyncThreadsAnd => u32::from(holding == size),
            Kind::SyncThreadsOr => u32::from(holding != 0),
            _ => 0,
        };
        for thread in &mut self.threads {
            thread.arrival = None;
            thread.result = result.into();
        }
        for warp in 0..size.div_ceil(32) {
            self.released.insert_warp(warp, lanes(warp, size));
        }
    }

    fn release_warp(&mut self, warp: u32, arrival: &Arrival) {
        let mask = arrival.mask();
        let first = warp as usize * 32;
        let named = || (0..32).filter(|lane| mask >> lane & 1 != 0);
        let mut values = [0; 32];
        for lane in named() {
            values[lane] = self.threads[first + lane].arrival.map_or(0, |arrival| arrival.value);
        }
        let common = match arrival.kind() {
            Kind::Ballot => named().fold(0, |ballot, lane| ballot | values[lane] << lane),
            Kind::Any => u64::from(named().any(|lane| values[lane] != 0)),
            Kind::All => u64::from(named().all(|lane| values[lane] != 0)),
            Kind::ReduceAdd => named().fold(0, |sum, lane| (sum + values[lane]) & u64::from(u32::MAX)),
            Kind::ReduceMin => named().map(|lane| values[lane]).min().unwrap_or(0),
            Kind::ReduceMax => named().map(|lane| values[lane]).max().unwrap_or(0),
            Kind::ReduceOr => named().fold(0, |bits, lane| bits | values[lane]),
            _ => 0,
        };
        for lane in named() {
            let thread = &mut self.threads[first + lane];
            let arrival = thread.arrival.take();
            thread.result = match arrival {
                Some(arrival) if arrival.kind().is_shuffle() => values[arrival.source(lane as u32) as usize],
                _ => common,
            };
        }
        self.released.insert_warp(warp, mask);
    }

    /// Which threads wait at what, and which have returned.
    pub(crate) fn report(&self) -> String {
        let mut groups: Vec<(Option<Arrival>, Vec<u32>)> = Vec::new();
        for (thread, Thread { arrival, .. }) in (0..).zip(&self.threads) {
            let arrival = arrival.filter(|_| !self.exited.contains(thread));
            let of = groups.iter_mut().find(|(other, _)| match (other, &arrival) {
                (Some(other), Some(arrival)) => other.meets(arrival) && other.is_written_at(arrival),
                (other, arrival) => other.is_none() && arrival.is_none(),
            });
            match of {
                Some((_, threads)) => threads.push(thread),
                None => groups.push((arrival, vec![thread])),
            }
        }
        let mut text = String::new();
        for (arrival, threads) in groups {
            let separator = if text.is_empty() { "" } else { "; " };
            _ = match arrival {
                Some(arrival) => write!(text, "{separator}at {arrival}: {}", ranges(&threads)),
                None => write!(text, "{separator}returned: {}", ranges(&threads)),
            };
        }
        text
    }
}

/// What can be wrong with an operation of a warp before the others arrive.
fn check(thread: u32, size: u32, arrival: &Arrival) -> Result<(), String> {
    let lane = thread % 32;
    let (mask, width) = (arrival.mask(), arrival.width());
    if mask >> lane & 1 == 0 {
        return Err(format!("{arrival}: the mask does not name the thread's own lane {lane}"));
    }
    let missing = mask & !lanes(thread / 32, size);
    if missing != 0 {
        return Err(format!("{arrival}: the mask names lane {}, which the block lacks", missing.trailing_zeros()));
    }
    if arrival.kind().is_shuffle() {
        if !width.is_power_of_two() || width > 32 {
            return Err(format!("{arrival}: the width {width} is not a power of two up to 32"));
        }
        let source = arrival.source(lane);
        if mask >> source & 1 == 0 {
            return Err(format!("{arrival}: lane {lane} reads lane {source}, which the mask does not name"));
        }
    }
    Ok(())
}

/// The lanes that a warp of a block has.
fn lanes(warp: u32, size: u32) -> u32 {
    let count = (size - warp * 32).min(32);
    u32::MAX >> (32 - count)
}

/// Numbers that ascend, briefly.
fn ranges(numbers: &[u32]) -> String {
    let mut text = String::new();
    for run in numbers.chunk_by(|a, b| a + 1 == *b) {
        let separator = if text.is_empty() { "" } else { ", " };
        _ = match run {
            [one] => write!(text, "{separator}{one}"),
            [first, .., last] => write!(text, "{separator}{first}-{last}"),
            [] => Ok(()),
        };
    }
    text
}
