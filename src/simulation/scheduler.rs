//! The batch scheduler: anything that picks rows of an instance.

use crate::baseline;
use crate::certificate::Status;
use crate::instance::Instance;
use crate::solver::{Method, Solver};

/// A batch chosen by a scheduler.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pick {
    /// Rows of the instance, ascending and different: a feasible batch.
    pub rows: Vec<u32>,
    /// Whether no batch is larger, if the scheduler knows.
    pub optimal: bool,
    /// Whether a limit stopped the search, so that this is not the batch it was to find.
    pub stopped: bool,
}

/// Picks a batch of each of the instances that nodes have in the same epoch.
///
/// [`Solver`] is one, with any [`Method`]; others plug in here. A batch that is not feasible ends the simulation with
/// an error.
pub trait Scheduler: Sync {
    /// The name in reports.
    fn name(&self) -> &str;

    /// A batch for each of `instances`, in order; none of them is empty. Must depend on nothing else, so that a
    /// simulation can be repeated.
    fn schedule(&self, instances: &[Instance]) -> Vec<Pick>;
}

impl Scheduler for Solver {
    fn name(&self) -> &str {
        self.method().name()
    }

    fn schedule(&self, instances: &[Instance]) -> Vec<Pick> {
        let greedy = |batch: &dyn Fn(&Instance) -> Vec<u32>| {
            instances.iter().map(|instance| Pick { rows: batch(instance), ..Pick::default() }).collect()
        };
        // Without the bound that a solver hands over with such a batch, which nobody asks for here.
        match self.method() {
            Method::Static { batch_size } => greedy(&|instance| baseline::static_batch(instance, batch_size)),
            Method::NoBatching => greedy(&baseline::no_batching),
            Method::FirstCome => greedy(&baseline::first_come),
            Method::EarliestDeadline => greedy(&baseline::earliest_deadline),
            Method::ShortestFirst => greedy(&baseline::shortest_first),
            _ => {
                let solutions = match instances {
                    [only] => vec![self.solve(only)],
                    many => self.solve_many(many),
                };
                let pick = |solution: crate::certificate::Solution| Pick {
                    optimal: solution.status() == Status::Optimal,
                    stopped: solution.work.stopped,
                    rows: solution.rows,
                };
                solutions.into_iter().map(pick).collect()
            }
        }
    }
}

/// A scheduler under another name.
#[derive(Debug, Clone)]
pub struct Named<S> {
    /// The name in reports.
    pub name: String,
    /// Who schedules.
    pub scheduler: S,
}

impl<S: Scheduler> Scheduler for Named<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn schedule(&self, instances: &[Instance]) -> Vec<Pick> {
        self.scheduler.schedule(instances)
    }
}
