//! When a search stops before it is done, and whom it tells how far it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// When to stop a search that takes too long. Whatever stops it, the batch found so far is returned with a proven
/// bound.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Wall-clock time of the whole solve; none if not given. The flat method keeps it to within 5 ms or 1 %, whichever
    /// is more; the others stop searching in time, and then make their proof.
    pub time: Option<Duration>,
    /// Bytes that the search may hold besides the instance; none if not given.
    pub memory: Option<u64>,
    /// Nodes of the search tree; none if not given. What comes of it is the same on every machine, unlike what comes of
    /// a time limit. Kept by the methods that walk one tree after the other: Algorithm 1 with pruning, also from the
    /// bound, and brute force. The flat method and the tree without pruning do not look at it.
    pub nodes: Option<u64>,
    /// A switch that another thread may throw.
    pub cancel: Option<Cancel>,
}

impl Limits {
    /// No limit at all.
    pub const NONE: Limits = Limits { time: None, memory: None, nodes: None, cancel: None };

    /// Whether a search of bounded work, of a few milliseconds at most, needs no look at the clock.
    #[cfg(feature = "cuda")]
    pub(crate) fn allow_cells(&self) -> bool {
        self.memory.is_none() && self.time.is_none_or(|time| time >= Duration::from_secs(1))
    }

    /// A time limit and no other.
    pub fn time(time: Duration) -> Self {
        Limits { time: Some(time), ..Limits::NONE }
    }
}

/// A switch that stops a search from another thread. Clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A switch that is not thrown.
    pub fn new() -> Self {
        Cancel::default()
    }

    /// Stops every search that holds the switch.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was thrown.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How far a search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'p> {
    /// A larger batch than all before.
    Incumbent {
        /// Rows of the instance, ascending: a feasible batch.
        rows: &'p [u32],
    },
    /// No batch is larger than this. (A search that is stopped may prove a little less in its certificate.)
    Bound {
        /// Proven upper bound on the size of any batch, lower than all before.
        bound: u64,
    },
}

/// Who is told of progress.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(Progress<'_>) + Send + Sync>);

impl Observer {
    /// Calls `observe` on every new incumbent and bound, in the thread that called the solver. The search waits for it.
    pub fn new(observe: impl Fn(Progress<'_>) + Send + Sync + 'static) -> Self {
        Observer(Arc::new(observe))
    }

    pub(crate) fn tell(&self, progress: Progress<'_>) {
        (self.0)(progress);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// An observer, and what it was told.
#[derive(Debug)]
pub(crate) struct Told {
    observer: Observer,
    size: u64,
    bound: u64,
}

impl Told {
    pub fn new(observer: &Observer) -> Self {
        Told { observer: observer.clone(), size: 0, bound: u64::MAX }
    }

    /// The size of the largest batch told of.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Tells of a batch, if it is larger than any before.
    pub fn incumbent(&mut self, rows: &[u32]) {
        if rows.len() as u64 > self.size {
            self.size = rows.len() as u64;
            self.observer.tell(Progress::Incumbent { rows });
        }
    }

    /// Tells of a bound, if it is lower than any before.
    pub fn bound(&mut self, bound: u64) {
        if bound < self.bound {
            self.bound = bound;
            self.observer.tell(Progress::Bound { bound });
        }
    }
}

/// A running clock.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    end: Option<Instant>,
    cancel: Option<Cancel>,
    /// Calls of [`Clock::tick`] until the next look.
    ticks: u32,
    /// Nodes that are allowed after these; `None` for any number.
    nodes: Option<u64>,
    expired: bool,
}

/// Calls of [`Clock::tick`] between two looks at the real clock.
const LOOK: u32 = 1024;

impl Clock {
    /// Starts the clock of `limits`, without the one on nodes.
    pub fn start(limits: &Limits) -> Self {
        // A limit beyond what the clock can count is no limit.
        let end = limits.time.and_then(|time| Instant::now().checked_add(time));
        Clock { end, cancel: limits.cancel.clone(), ticks: LOOK, nodes: None, expired: false }
    }

    /// Starts the clock of `limits`, with the one on nodes: each call of [`Clock::tick`] is one.
    pub fn counting(limits: &Limits) -> Self {
        let expired = limits.nodes == Some(0);
        let mut clock = Clock { nodes: limits.nodes, expired, ..Clock::start(limits) };
        clock.wind();
        clock
    }

    /// The same without its limit on nodes.
    pub fn uncounted(&self) -> Clock {
        // Nodes may have run out, time not: that is to be seen anew.
        Clock { nodes: None, ticks: LOOK, expired: false, ..self.clone() }
    }

    /// Whether the time is over, or this node the last that is allowed; looks at the real clock every 1,024 calls.
    #[inline]
    pub fn tick(&mut self) -> bool {
        self.ticks -= 1;
        if self.ticks == 0 { self.turn() } else { self.expired }
    }

    /// Counts what takes as long as so many nodes; whether they were the last that are allowed, or the time is over.
    pub fn spend(&mut self, nodes: u64) -> bool {
        if let Some(left) = &mut self.nodes {
            *left = (*left + u64::from(self.ticks)).saturating_sub(nodes);
            self.expired |= *left == 0;
            self.wind();
        }
        self.look()
    }

    fn turn(&mut self) -> bool {
        self.expired |= self.nodes == Some(0);
        self.wind();
        self.look()
    }

    /// Sets the next look, which is not after the last node.
    fn wind(&mut self) {
        let next = self.nodes.map_or(LOOK, |nodes| nodes.clamp(1, LOOK.into()) as u32);
        self.nodes = self.nodes.map(|nodes| nodes.saturating_sub(next.into()));
        self.ticks = next;
    }

    /// Whether the time is over, by the real clock.
    pub fn look(&mut self) -> bool {
        self.expired = self.expired || self.over();
        self.expired
    }

    /// The same, but over after so much time from now.
    #[cfg(feature = "cuda")]
    pub fn within(&self, time: Duration) -> Clock {
        let end = Instant::now() + time;
        Clock { end: Some(self.end.map_or(end, |before| before.min(end))), ..self.clone() }
    }

    /// Ends so much earlier, for what is to be done after the search.
    pub fn reserve(&mut self, time: Duration) {
        // Before the first instant that the system knows of, all time is over.
        self.end = self.end.map(|end| end.checked_sub(time).unwrap_or_else(Instant::now));
    }

    /// Whether so much time is left.
    pub fn allows(&self, time: Duration) -> bool {
        self.end.is_none_or(|end| Instant::now() + time <= end)
    }

    /// [`Clock::look`] for a clock that is shared.
    pub fn over(&self) -> bool {
        self.expired
            || self.cancel.as_ref().is_some_and(Cancel::is_cancelled)
            || self.end.is_some_and(|end| Instant::now() >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_allows_so_many_nodes_and_no_more() {
        for nodes in [0, 1, 2, 1023, 1024, 1025, 5000] {
            let mut clock = Clock::counting(&Limits { nodes: Some(nodes), ..Limits::NONE });
            assert_eq!(clock.look(), nodes == 0);
            let ticks = (1u64..10_000).find(|_| clock.tick());
            assert_eq!(ticks, Some(nodes.max(1)));
            assert!(clock.tick() && clock.look() && clock.over());
            assert!(!clock.uncounted().look());
        }
        let mut clock = Clock::counting(&Limits::NONE);
        assert!((0..10_000).all(|_| !clock.tick()));
    }
}
