//! One door to all schedulers: pick one, get a batch with its certificate.

use std::fmt;

use crate::baseline;
use crate::certificate::{Solution, Work};
use crate::instance::Instance;
use crate::rank::Ranked;
use crate::search::{Clock, Limits, algorithm1, branch, brute_force, exhaustive, prove};

/// The schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Solver {
    /// Exact, for any instance: bounds for all deadlines, then branching. The default.
    Branch,
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

impl Solver {
    /// Every solver, with default options.
    pub const ALL: [Solver; 9] = [
        Solver::Branch,
        Solver::Algorithm1 { prune: true },
        Solver::Algorithm1 { prune: false },
        Solver::BruteForce,
        Solver::Static { batch_size: None },
        Solver::NoBatching,
        Solver::FirstCome,
        Solver::EarliestDeadline,
        Solver::ShortestFirst,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Solver::Branch => "branch",
            Solver::Algorithm1 { prune: true } => "dftsp",
            Solver::Algorithm1 { prune: false } => "dftsp-unpruned",
            Solver::BruteForce => "brute-force",
            Solver::Static { .. } => "static",
            Solver::NoBatching => "none",
            Solver::FirstCome => "fcfs",
            Solver::EarliestDeadline => "edf",
            Solver::ShortestFirst => "shortest",
        }
    }

    /// The solver of that name, with default options.
    pub fn from_name(name: &str) -> Option<Solver> {
        Solver::ALL.into_iter().find(|solver| solver.name() == name)
    }

    /// Chooses a batch of `instance`.
    ///
    /// The batch is always feasible, and the certificate always proves a bound on any batch: equal to its size if it is
    /// optimal. A time limit stops a search with what it has; the bound passes behind a certificate are not
    /// interrupted.
    pub fn solve(self, instance: &Instance, limits: Limits) -> Solution {
        let clock = &mut Clock::start(limits);
        match self {
            Solver::Branch => or_greedy(instance, branch::solve(instance, clock)),
            Solver::Algorithm1 { prune } => {
                let search = |ranked: &Ranked, size, clock: &mut Clock| algorithm1::search(ranked, size, prune, clock);
                or_greedy(instance, exhaustive(instance, clock, search))
            }
            Solver::BruteForce => or_greedy(instance, exhaustive(instance, clock, brute_force::search)),
            Solver::Static { batch_size } => bounded(instance, baseline::static_batch(instance, batch_size)),
            Solver::NoBatching => bounded(instance, baseline::no_batching(instance)),
            Solver::FirstCome => bounded(instance, baseline::first_come(instance)),
            Solver::EarliestDeadline => bounded(instance, baseline::earliest_deadline(instance)),
            Solver::ShortestFirst => bounded(instance, baseline::shortest_first(instance)),
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

impl fmt::Display for Solver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
