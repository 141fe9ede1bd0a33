//! One door to all schedulers: pick a method, build a [`Solver`] once, get batches with their certificates.
//!
//! A solver holds no state between calls and shares none with other solvers: it is `Send + Sync`, and may be used from
//! many threads at once.

use std::fmt;
use std::sync::Arc;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::backend::Cpu;
use crate::baseline;
use crate::certificate::{Solution, Work};
use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::rank::Ranked;
use crate::search::{Clock, Limits, Observer, Progress, algorithm1, brute_force, exhaustive, flat, prove};

/// The schedulers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// Exact, for any instance: bounds for all deadlines, then the flattened tree.
    #[default]
    Flat,
    /// Algorithm 1 of the paper (DFTSP), with or without its pruning. Exact where all users share one channel gain; its
    /// batch is called optimal only where that, or a Lagrangian bound, proves it.
    Algorithm1 {
        /// Whether branches that cannot reach z are skipped.
        prune: bool,
    },
    /// Every batch; for small instances.
    BruteForce,
    /// Static batching (StB), of this size or of the worst-case size.
    Static {
        /// The size, if given.
        batch_size: Option<usize>,
    },
    /// No batching (NoB): one request.
    NoBatching,
    /// First come, first served.
    FirstCome,
    /// Earliest deadline first.
    EarliestDeadline,
    /// Shortest job first.
    ShortestFirst,
}

impl Method {
    /// Every method, with default options.
    pub const ALL: [Method; 9] = [
        Method::Flat,
        Method::Algorithm1 { prune: true },
        Method::Algorithm1 { prune: false },
        Method::BruteForce,
        Method::Static { batch_size: None },
        Method::NoBatching,
        Method::FirstCome,
        Method::EarliestDeadline,
        Method::ShortestFirst,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Method::Flat => "flat",
            Method::Algorithm1 { prune: true } => "dftsp",
            Method::Algorithm1 { prune: false } => "dftsp-unpruned",
            Method::BruteForce => "brute-force",
            Method::Static { .. } => "static",
            Method::NoBatching => "none",
            Method::FirstCome => "fcfs",
            Method::EarliestDeadline => "edf",
            Method::ShortestFirst => "shortest",
        }
    }

    /// The method of that name, with default options.
    pub fn from_name(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|solver| solver.name() == name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A scheduler, ready to choose batches.
#[derive(Debug, Clone, Default)]
pub struct Solver {
    method: Method,
    limits: Limits,
    observer: Option<Observer>,
    /// The threads of the solver's own; without them it works in the caller's.
    pool: Option<Arc<ThreadPool>>,
}

impl Solver {
    /// A solver that works in the calling thread, without limits.
    pub fn new(method: Method) -> Self {
        Solver { method, ..Solver::default() }
    }

    /// Works on `threads` threads of its own (0: one for each core). Results never depend on it.
    ///
    /// # Errors
    /// The system refuses the threads.
    pub fn threads(self, threads: usize) -> Result<Self> {
        if threads == 1 {
            return Ok(Solver { pool: None, ..self });
        }
        let name = |thread| format!("dftsp-{thread}");
        match ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build() {
            Ok(pool) => Ok(Solver { pool: Some(Arc::new(pool)), ..self }),
            Err(e) => Err(Error::Threads { threads, source: e.into() }),
        }
    }

    /// Stops at these limits; each solve has its own clock.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Solver { limits, ..self }
    }

    /// Tells `observer` of every new incumbent and bound of [`Solver::solve`].
    #[must_use]
    pub fn observer(self, observer: Observer) -> Self {
        Solver { observer: Some(observer), ..self }
    }

    /// What it does.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Chooses a batch of `instance`.
    ///
    /// The batch is always feasible, and the certificate always proves a bound on any batch: equal to its size if it is
    /// optimal. A limit stops a search with what it has.
    pub fn solve(&self, instance: &Instance) -> Solution {
        let solution = match &self.pool {
            Some(pool) => pool.install(|| self.run(instance)),
            None => self.run(instance),
        };
        if let Some(observer) = &self.observer {
            observer.tell(Progress::Incumbent { rows: &solution.rows });
            observer.tell(Progress::Bound { bound: solution.certificate.bound });
        }
        solution
    }

    /// Chooses a batch of each of `instances`, one task each. The same as [`Solver::solve`] for each, in order.
    pub fn solve_many(&self, instances: &[Instance]) -> Vec<Solution> {
        match &self.pool {
            Some(pool) => pool.install(|| instances.par_iter().map(|instance| self.run(instance)).collect()),
            None => instances.iter().map(|instance| self.run(instance)).collect(),
        }
    }

    fn run(&self, instance: &Instance) -> Solution {
        let clock = &mut Clock::start(&self.limits);
        match self.method {
            Method::Flat => {
                let run = &mut flat::Run {
                    clock,
                    ws: &mut flat::Workspace::default(),
                    backend: &Cpu { parallel: self.pool.is_some() },
                    memory: self.limits.memory,
                    observer: self.observer.as_ref(),
                };
                or_greedy(instance, flat::solve(instance, run))
            }
            Method::Algorithm1 { prune } => {
                let search = |ranked: &Ranked, size, clock: &mut Clock| algorithm1::search(ranked, size, prune, clock);
                or_greedy(instance, exhaustive(instance, clock, search))
            }
            Method::BruteForce => or_greedy(instance, exhaustive(instance, clock, brute_force::search)),
            Method::Static { batch_size } => bounded(instance, baseline::static_batch(instance, batch_size)),
            Method::NoBatching => bounded(instance, baseline::no_batching(instance)),
            Method::FirstCome => bounded(instance, baseline::first_come(instance)),
            Method::EarliestDeadline => bounded(instance, baseline::earliest_deadline(instance)),
            Method::ShortestFirst => bounded(instance, baseline::shortest_first(instance)),
        }
    }
}

/// What a search found; or, where the time limit stopped it, a greedy batch if that is larger. Algorithm 1 finds
/// nothing before it finds everything, and a scheduler that is out of time still has to schedule.
fn or_greedy(instance: &Instance, found: Solution) -> Solution {
    if !found.work.stopped {
        return found;
    }
    let greedy = [baseline::shortest_first, baseline::first_come, baseline::earliest_deadline].map(|f| f(instance));
    let largest = greedy.into_iter().rev().max_by_key(Vec::len).unwrap_or_default();
    if largest.len() > found.rows.len() { Solution { rows: largest, ..found } } else { found }
}

/// A batch that no search found, with the best bound that Lagrangian bounds alone prove.
fn bounded(instance: &Instance, rows: Vec<u32>) -> Solution {
    let mut work = Work::default();
    let certificate = prove::certify(instance, rows.len() as u64, false, &mut work);
    Solution { rows, certificate, work }
}
