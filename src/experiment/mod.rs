//! Many runs of the simulation: the same question for many parameters and seeds.
//!
//! In: [`Job`]s. Out: a [`Summary`] of each, in order, whatever the number of threads; and means with confidence
//! intervals ([`statistics`]). `sweep` varies the keys of a scenario file, and keeps every run on disk.

pub mod statistics;
#[cfg(feature = "files")]
pub mod sweep;

use rayon::prelude::*;

use crate::error::Result;
use crate::scenario::Scenario;
use crate::simulation::{CostModel, Settings, Silent, Simulation, Source, Summary};
use crate::solver::Solver;

/// Told how many runs there are in all, and of each that is done.
pub trait Progress: Sync {
    /// So many runs more are to come.
    fn expect(&self, runs: u64);
    /// One is done.
    fn done(&self);
}

/// One run.
#[derive(Debug, Clone)]
pub struct Job {
    /// The node, its surroundings and the seed.
    pub scenario: Scenario,
    /// Where arrivals come from.
    pub source: Source,
    /// How to run.
    pub settings: Settings,
    /// Who schedules.
    pub solver: Solver,
    /// What it runs on.
    pub engine: CostModel,
}

impl Job {
    /// A run of the scenario's own arrivals on the cost model.
    pub fn new(scenario: Scenario, settings: Settings, solver: Solver) -> Job {
        Job { scenario, source: Source::Generated, settings, solver, engine: CostModel::default() }
    }

    /// Runs it.
    ///
    /// # Errors
    /// Those of [`Simulation::new`] and [`Simulation::run`].
    pub fn run(&self) -> Result<Summary> {
        let simulation = Simulation::new(&self.scenario, self.source.clone(), self.settings)?;
        simulation.on_engine(self.engine).run(&self.solver, &mut Silent)
    }
}

/// Runs all, in parallel on the pool of the caller. `done` is told after each, from any thread.
///
/// # Errors
/// The error of the first job that fails.
pub fn run_all(jobs: &[Job], done: &(dyn Fn() + Sync)) -> Result<Vec<Summary>> {
    let one = |job: &Job| {
        let summary = job.run();
        done();
        summary
    };
    // One job a task: they differ in length by orders of magnitude.
    jobs.par_iter().with_max_len(1).map(one).collect::<Vec<_>>().into_iter().collect()
}
