//! One door to all schedulers: pick a method, build a [`Solver`] once, get batches with their certificates.
//!
//! A solver keeps working memory between calls and nothing else, and shares nothing with other solvers: it is `Send +
//! Sync`, and may be used from many threads at once. Memory grows to what the largest instance so far needed, once for
//! every solve at the same time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

#[cfg(feature = "cuda")]
use crate::backend::cuda::{OnDevice, Source, solve_cells};
use crate::backend::{Backend, Cpu};
use crate::baseline;
use crate::bound::view::{Buckets, View};
use crate::certificate::{Solution, Work};
use crate::device::{Choice, Ran};
use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::rank::Ranked;
use crate::search::flat::{self, Run, Workspace};
use crate::search::{Clock, Limits, Observer, Told, algorithm1, brute_force, exhaustive, prove};

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
    /// The batch of [`Method::Algorithm1`], without what provably holds none: sizes above the bound that the flat
    /// method proves, and whatever its prices rule out. Called optimal where that bound proves it, too.
    Algorithm1FromBound,
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
    pub const ALL: [Method; 10] = [
        Method::Flat,
        Method::Algorithm1 { prune: true },
        Method::Algorithm1 { prune: false },
        Method::Algorithm1FromBound,
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
            Method::Algorithm1FromBound => "dftsp-from-bound",
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
    /// Where it searches.
    choice: Choice,
    #[cfg(feature = "cuda")]
    source: Source,
    /// Working memory of solves past, for those to come.
    spare: Arc<Mutex<Vec<Workspace>>>,
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

    /// Searches there. Results never depend on it. Other methods than [`Method::Flat`] and Algorithm 1 without pruning
    /// run on the CPU all the same.
    ///
    /// # Errors
    /// [`Choice::Cuda`] where there is no device that can be used.
    pub fn on(self, choice: Choice) -> Result<Self> {
        if choice == Choice::Cuda {
            #[cfg(feature = "cuda")]
            self.source.open()?;
            #[cfg(not(feature = "cuda"))]
            return Err(crate::device::Fault::NotBuilt.into());
        }
        Ok(Solver { choice, ..self })
    }

    /// The time of each of `passes` bound passes over `instance` at four λ, where [`Solver::on`] says (on the CPU for
    /// [`Choice::Auto`]): for comparisons. A pass reads 40 bytes a request, which are there already.
    ///
    /// # Errors
    /// The device fails.
    pub fn time_bound_passes(&self, instance: &Instance, passes: usize) -> Result<Vec<Duration>> {
        let view = View::new(instance, 1);
        let (least, most) =
            (0..view.len()).map(|i| view.budget(i)).fold((u64::MAX, 0), |(a, b), e| (a.min(e), b.max(e)));
        let buckets = Buckets::new(least.min(most), most, view.len());
        let [c, d, k] = view.capacity().map(|c| 1.0 / c.max(1) as f64);
        // Each priced so that some of what is there is worth it.
        let lambda =
            [1.0, 10.0, 100.0, 1000.0].map(|times| [times * c, times * d, times * k, times / most.max(1) as f64]);
        #[cfg(feature = "cuda")]
        if self.choice == Choice::Cuda {
            let device = OnDevice::new(self.choice, self.source.clone(), self.pool.as_deref());
            return match device.time_surveys(&view, &buckets, &lambda, passes) {
                Some(times) => Ok(times),
                None => Err(device.ran().fault.unwrap_or(crate::device::Fault::NoDevice).into()),
            };
        }
        let cpu = Cpu { pool: self.pool.as_deref() };
        Ok(cpu.time_surveys(&view, &buckets, &lambda, passes).unwrap_or_default())
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
        let mut told = self.observer.as_ref().map(Told::new);
        let solution = self.run(instance, &mut told, self.pool.as_deref());
        if let Some(told) = &mut told {
            told.incumbent(&solution.rows);
            told.bound(solution.certificate.bound);
        }
        solution
    }

    /// Chooses a batch of each of `instances`, one task each. The same as [`Solver::solve`] for each, in order.
    pub fn solve_many(&self, instances: &[Instance]) -> Vec<Solution> {
        let on_cpu = |instances: &[Instance], solved: Vec<Option<Solution>>| {
            let one = |(instance, solved): (&Instance, Option<Solution>)| {
                solved.unwrap_or_else(|| self.run(instance, &mut None, None))
            };
            match &self.pool {
                Some(pool) => pool.install(|| instances.par_iter().zip(solved).map(one).collect::<Vec<Solution>>()),
                None => instances.iter().zip(solved).map(one).collect(),
            }
        };
        #[cfg(feature = "cuda")]
        if self.choice != Choice::Cpu && self.method == Method::Flat && self.limits.allow_cells() {
            let cancelled = || self.limits.cancel.as_ref().is_some_and(|cancel| cancel.is_cancelled());
            let all = |instances: &[Instance]| on_cpu(instances, vec![None; instances.len()]);
            let (choice, source, pool) = (self.choice, &self.source, self.pool.as_deref());
            let (solved, fault) = solve_cells(choice, source, pool, instances, &cancelled, &all);
            let mut solutions = on_cpu(instances, solved);
            if let Some(fault) = fault {
                let on_cpu = solutions.iter_mut().filter(|s| s.ran.backend == Ran::CPU.backend);
                on_cpu.for_each(|solution| solution.ran = Ran::after(fault.clone()));
            }
            return solutions;
        }
        on_cpu(instances, vec![None; instances.len()])
    }

    fn run(&self, instance: &Instance, told: &mut Option<Told>, pool: Option<&ThreadPool>) -> Solution {
        let mut solution = self.search(instance, told, pool);
        if self.choice == Choice::Cuda && solution.ran == Ran::CPU {
            let why = match self.method {
                Method::Flat | Method::Algorithm1 { prune: false } => "no part of it is worth the way to the device",
                _ => "this method runs on the CPU only",
            };
            solution.ran.why = Some(why.to_string());
        }
        solution
    }

    fn search(&self, instance: &Instance, told: &mut Option<Told>, pool: Option<&ThreadPool>) -> Solution {
        let clock = &mut Clock::counting(&self.limits);
        match self.method {
            Method::Flat => {
                let mut ws = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
                let mut solve = |backend: &dyn Backend, told: &mut Option<Told>| {
                    let clock = &mut clock.uncounted();
                    let run = &mut Run { clock, ws: &mut ws, backend, memory: self.limits.memory, told: told.take() };
                    let solution = flat::solve(instance, run);
                    *told = run.told.take();
                    solution
                };
                let solution = self.choose(pool, |backend| solve(backend, told));
                self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(ws);
                or_first_fit(instance, solution)
            }
            Method::Algorithm1 { prune } => {
                let clock = if prune { clock } else { &mut clock.uncounted() };
                let solve = |backend: &dyn Backend| {
                    let search = |_: &Instance, ranked: &Ranked, size, clock: &mut Clock| {
                        algorithm1::search(ranked, size, prune, backend, clock)
                    };
                    exhaustive(instance, &mut clock.clone(), search)
                };
                if prune {
                    return or_greedy(instance, solve(&Cpu { pool: None }));
                }
                or_greedy(instance, self.choose(pool, solve))
            }
            Method::Algorithm1FromBound => {
                or_greedy(instance, exhaustive(instance, clock, algorithm1::from_bound::search))
            }
            Method::BruteForce => {
                let search =
                    |_: &Instance, ranked: &Ranked, size, clock: &mut Clock| brute_force::search(ranked, size, clock);
                or_greedy(instance, exhaustive(instance, clock, search))
            }
            Method::Static { batch_size } => bounded(instance, baseline::static_batch(instance, batch_size)),
            Method::NoBatching => bounded(instance, baseline::no_batching(instance)),
            Method::FirstCome => bounded(instance, baseline::first_come(instance)),
            Method::EarliestDeadline => bounded(instance, baseline::earliest_deadline(instance)),
            Method::ShortestFirst => bounded(instance, baseline::shortest_first(instance)),
        }
    }
}

impl Solver {
    /// Searches on a device that a test has made.
    #[cfg(all(test, feature = "cuda", dftsp_has_emulator))]
    pub(crate) fn on_source(self, choice: Choice, source: Source) -> Self {
        Solver { choice, source, ..self }
    }

    /// Solves where it was asked to; on the CPU if the device fails.
    fn choose(&self, pool: Option<&ThreadPool>, mut solve: impl FnMut(&dyn Backend) -> Solution) -> Solution {
        #[cfg(feature = "cuda")]
        if self.choice != Choice::Cpu {
            let device = OnDevice::new(self.choice, self.source.clone(), pool);
            let solution = solve(&device);
            let ran = device.ran();
            return match ran.fault {
                None => Solution { ran, ..solution },
                Some(fault) => {
                    let again = Solution { ran: Ran::after(fault), ..solve(&Cpu { pool }) };
                    // Where no time was left for it, what the device had found counts.
                    if again.work.stopped && solution.rows.len() > again.rows.len() {
                        Solution { rows: solution.rows, ..again }
                    } else {
                        again
                    }
                }
            };
        }
        let why = match self.choice {
            Choice::Cpu => None,
            Choice::Auto | Choice::Cuda => Some(crate::device::Fault::NotBuilt.to_string()),
        };
        Solution { ran: Ran { why, ..Ran::CPU }, ..solve(&Cpu { pool }) }
    }
}

/// What a search found; or, where a limit stopped it before its first batch, what of the first requests fits: whoever
/// asks gets a batch, and within a millisecond.
fn or_first_fit(instance: &Instance, found: Solution) -> Solution {
    const LOOKED_AT: usize = 1 << 14;
    if !found.work.stopped || !found.rows.is_empty() {
        return found;
    }
    let first: Vec<u32> = (0..instance.len().min(LOOKED_AT) as u32).collect();
    Solution { rows: baseline::greedy(instance, &first), ..found }
}

/// What a search found; or, where a limit stopped it, a greedy batch if that is larger. Algorithm 1 finds
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
    Solution { rows, certificate, work, ran: Ran::CPU }
}
