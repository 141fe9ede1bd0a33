//! Simulations over any keys of a scenario file and over seeds: a full grid, in parallel, resumable.
//!
//! In: a [`Base`] scenario, one to three [`Axis`], [`Entrant`]s and how to run. Every point of the grid is read and
//! checked before anything runs ([`Sweep::new`]). Each point, scheduler and seed is a run; all schedulers of a point
//! see the same arrivals. Out: [`Row`]s, the same on any number of threads, and whether their runs were made now or
//! read from a [`Store`].

pub mod axis;
pub mod metric;
pub mod store;

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

pub use axis::Axis;
pub use metric::{METRICS, Metric};
pub use store::Store;

use super::Job;
use super::statistics::Estimate;
use crate::error::{Error, Place, Result};
use crate::scenario::{Model, Scenario, file};
use crate::simulation::{BatchTime, CostModel, Settings, Simulation, Source, Summary, Waiting};
use crate::solver::Solver;

/// The most axes.
pub const MAX_AXES: usize = 3;
/// The most runs.
pub const MAX_RUNS: u64 = 100_000;
/// The most seeds.
pub const MAX_SEEDS: u64 = 10_000;

/// Of the keys of runs. To be raised with every change after which a run of the same version of the crate comes to
/// another result.
const KEY_FORMAT: u32 = 2;

/// What every point is a change of.
#[derive(Debug, Clone)]
pub struct Base {
    /// A scenario file.
    pub text: String,
    /// Its name in messages.
    pub name: String,
    /// A model from elsewhere.
    pub model: Option<Model>,
    /// Keys and values that hold at every point.
    pub overrides: Vec<(String, String)>,
}

impl Base {
    /// The scenario with keys changed; see [`file::parse_with`].
    ///
    /// # Errors
    /// Those of [`file::parse_with`].
    pub fn scenario(&self, changes: &[(String, String)]) -> Result<Scenario> {
        let overrides = [&self.overrides[..], changes].concat();
        file::parse_with(&self.text, &self.name, self.model.clone(), &overrides)
    }
}

/// A scheduler that takes part.
#[derive(Debug, Clone)]
pub struct Entrant {
    /// Its name in reports.
    pub name: String,
    /// Everything that its batches depend on, in words.
    pub options: String,
    /// It.
    pub solver: Solver,
}

/// A point of the grid.
#[derive(Debug, Clone)]
pub struct Point {
    /// Of each axis, which value.
    pub at: Vec<usize>,
    /// What is simulated, but for the seed.
    pub scenario: Scenario,
}

/// How to run all points.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is varied; the last changes fastest.
    pub axes: Vec<Axis>,
    /// Who schedules.
    pub entrants: Vec<Entrant>,
    /// Each point is run with seeds 1 to this.
    pub seeds: u64,
    /// Where arrivals come from.
    pub source: Source,
    /// How to run.
    pub settings: Settings,
    /// What it runs on.
    pub engine: CostModel,
}

/// A sweep that is ready to run.
#[derive(Debug, Clone)]
pub struct Sweep {
    plan: Plan,
    points: Vec<Point>,
    /// Where arrivals come from, for the keys of runs.
    source: String,
}

/// The runs of one scheduler at one point.
#[derive(Debug, Clone)]
pub struct Row {
    /// Which of [`Sweep::points`].
    pub point: usize,
    /// Which of [`Plan::entrants`].
    pub entrant: usize,
    /// By seed, from 1.
    pub runs: Vec<Summary>,
}

impl Row {
    /// The mean of a metric over the seeds that have it. Without at least two the half-width is no number.
    pub fn estimate(&self, metric: &Metric) -> Option<Estimate> {
        let values: Vec<f64> = self.runs.iter().filter_map(|run| metric.of(run)).collect();
        let estimate = Estimate::of(&values);
        match values.len() {
            0 => None,
            1 => Some(Estimate { half_width: f64::NAN, ..estimate }),
            _ => Some(estimate),
        }
    }
}

impl Sweep {
    /// Reads and checks every point.
    ///
    /// # Errors
    /// No axis or too many, a key that is varied twice or also changed at every point, too many runs; anything wrong
    /// with a point.
    pub fn new(base: &Base, plan: Plan) -> Result<Sweep> {
        check_axes(base, &plan)?;
        let mut points = Vec::new();
        let count: usize = plan.axes.iter().map(|axis| axis.values.len()).product();
        for index in 0..count {
            let at = place_of(index, &plan.axes);
            let changes: Vec<(String, String)> =
                plan.axes.iter().zip(&at).map(|(axis, &at)| (axis.key.clone(), axis.values[at].clone())).collect();
            let read = base.scenario(&changes).and_then(|scenario| {
                Simulation::new(&scenario, plan.source.clone(), plan.settings)?;
                Ok(scenario)
            });
            let scenario = read.map_err(|error| at_point(error, base, &changes))?;
            points.push(Point { at, scenario });
        }
        let source = match &plan.source {
            Source::Generated => "generated".to_string(),
            Source::Recorded(recording) => format!("recording {:032x}", store::fnv1a(recording.bytes())),
        };
        Ok(Sweep { plan, points, source })
    }

    /// What was planned.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The points, the last axis changing fastest.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The values of a point, by axis.
    pub fn values<'s>(&'s self, point: &'s Point) -> impl Iterator<Item = &'s str> {
        self.plan.axes.iter().zip(&point.at).map(|(axis, &at)| axis.values[at].as_str())
    }

    /// How many runs there are.
    pub fn runs(&self) -> usize {
        self.points.len() * self.plan.entrants.len() * self.seeds()
    }

    fn seeds(&self) -> usize {
        self.plan.seeds as usize
    }

    /// The runs that `store` has already, by number.
    pub fn load(&self, store: &Store) -> Vec<Option<Summary>> {
        (0..self.runs()).into_par_iter().map(|run| store.load(&self.key(run))).collect()
    }

    /// Makes the runs that `known` lacks, in parallel on the pool of the caller. Keeps each in `store` when it ends,
    /// and tells `done`, from any thread.
    ///
    /// # Errors
    /// A run that fails or cannot be kept; the others are then not begun.
    pub fn run(&self, known: Vec<Option<Summary>>, store: &Store, done: &(dyn Fn() + Sync)) -> Result<Vec<Row>> {
        let failed = AtomicBool::new(false);
        let one = |(run, known): (usize, Option<Summary>)| {
            if known.is_some() || failed.load(Ordering::Relaxed) {
                return Ok(known);
            }
            let made = self.make(run).and_then(|summary| store.save(&self.key(run), &summary).map(|()| summary));
            failed.fetch_or(made.is_err(), Ordering::Relaxed);
            done();
            made.map(Some)
        };
        // One run a task: they differ in length by orders of magnitude.
        let made: Vec<Result<Option<Summary>>> = known.into_par_iter().enumerate().with_max_len(1).map(one).collect();
        let summaries = made.into_iter().collect::<Result<Vec<_>>>()?;
        let mut summaries = summaries.into_iter().flatten();
        let mut rows = Vec::new();
        for point in 0..self.points.len() {
            for entrant in 0..self.plan.entrants.len() {
                rows.push(Row { point, entrant, runs: summaries.by_ref().take(self.seeds()).collect() });
            }
        }
        Ok(rows)
    }

    /// The scenario with its seed, and the scheduler, of a run.
    fn run_at(&self, run: usize) -> (Scenario, &Entrant) {
        let (row, seed) = (run / self.seeds(), run % self.seeds());
        let (point, entrant) = (row / self.plan.entrants.len(), row % self.plan.entrants.len());
        let mut scenario = self.points[point].scenario.clone();
        scenario.synthesis.seed = seed as u64 + 1;
        (scenario, &self.plan.entrants[entrant])
    }

    fn make(&self, run: usize) -> Result<Summary> {
        let (scenario, entrant) = self.run_at(run);
        let Plan { source, settings, engine, .. } = &self.plan;
        let job = Job {
            scenario,
            source: source.clone(),
            settings: *settings,
            solver: entrant.solver.clone(),
            engine: *engine,
        };
        let summary = store::short(job.run()?);
        Ok(Summary { scheduler: entrant.name.clone(), ..summary })
    }

    /// Everything that the run depends on.
    fn key(&self, run: usize) -> String {
        let (scenario, entrant) = self.run_at(run);
        let s = &self.plan.settings;
        let waiting = match s.waiting {
            Waiting::Counted => "arrival",
            Waiting::FromEpoch => "epoch",
        };
        let batch_time = match s.batch_time {
            BatchTime::Deadline => "deadline",
            BatchTime::Epoch => "epoch",
        };
        format!(
            "dftsp {}, format {KEY_FORMAT}\nscheduler: {}, {}\narrivals: {}\nduration_s: {:?}\nnodes: {}\n\
             waiting: {waiting}\nbatch_time: {batch_time}\noverlap: {}\nqueue_limit: {}\nregret: {}\n\
             slowdown: {:?}\n\n{}",
            env!("CARGO_PKG_VERSION"),
            entrant.name,
            entrant.options,
            self.source,
            s.duration_s,
            s.nodes,
            s.overlap,
            s.queue_limit,
            s.regret,
            self.plan.engine.slowdown,
            file::to_toml(&scenario)
        )
    }
}

fn check_axes(base: &Base, plan: &Plan) -> Result<()> {
    let place = || Place::file("--vary");
    if plan.axes.is_empty() || plan.axes.len() > MAX_AXES {
        return Err(place().error(format!("{} keys are varied", plan.axes.len()), format!("give 1 to {MAX_AXES}")));
    }
    for (at, axis) in plan.axes.iter().enumerate() {
        let place = || Place::file(format!("--vary {}", axis.key.escape_debug()));
        if plan.axes[..at].iter().any(|other| other.key == axis.key) {
            return Err(place().error("the key is varied twice", "give all its values at once"));
        }
        if base.overrides.iter().any(|(key, _)| *key == axis.key) {
            return Err(place().error("--set gives the key too", "leave one of the two out"));
        }
        if matches!(plan.source, Source::Recorded(_)) && axis.key.starts_with("arrivals.") {
            return Err(place().error("a trace has its own arrivals", "leave it out, or the trace"));
        }
    }
    let seeds = plan.seeds;
    if seeds == 0 || seeds > MAX_SEEDS {
        return Err(Place::file("--seeds").error(format!("{seeds} seeds"), format!("give 1 to {MAX_SEEDS}")));
    }
    let points = plan.axes.iter().fold(1u64, |all, axis| all.saturating_mul(axis.values.len() as u64));
    let entrants = plan.entrants.len() as u64;
    let runs = points.saturating_mul(entrants).saturating_mul(seeds);
    if runs > MAX_RUNS {
        let problem = format!("{points} points × {entrants} schedulers × {seeds} seeds are {runs} runs");
        return Err(place().error(problem, format!("give fewer: at most {MAX_RUNS} runs")));
    }
    Ok(())
}

/// Which value of each axis point number `index` has.
fn place_of(index: usize, axes: &[Axis]) -> Vec<usize> {
    let mut rest = index;
    let mut at: Vec<usize> = axes
        .iter()
        .rev()
        .map(|axis| {
            let here = rest % axis.values.len();
            rest /= axis.values.len();
            here
        })
        .collect();
    at.reverse();
    at
}

/// An error that names what is varied, if that is its cause.
fn at_point(error: Error, base: &Base, changes: &[(String, String)]) -> Error {
    let Error::Input { mut place, mut problem, remedy } = error else { return error };
    for (key, _) in changes {
        let key = file::quote_plainly(key);
        if place.source == format!("--set {key}") {
            place.source = format!("--vary {key}");
            return Error::Input { place, problem, remedy };
        }
    }
    // What is wrong with the file alone is not the point's fault.
    let of_file = base.scenario(&[]).is_err_and(|error| match error {
        Error::Input { place: other, problem: same, .. } => other == place && same == problem,
        _ => false,
    });
    if !of_file {
        if place.source == "scenario" {
            let varied = changes.iter().find(|(key, _)| place.field.as_ref() == Some(key));
            place = match varied {
                Some((key, _)) => Place::file(format!("--vary {}", file::quote_plainly(key))),
                None => Place { source: base.name.clone(), ..place },
            };
        }
        let short = file::quote_plainly;
        let point: Vec<String> =
            changes.iter().map(|(key, value)| format!("{} = {}", short(key), short(value))).collect();
        problem = format!("with {}: {problem}", point.join(", "));
    }
    Error::Input { place, problem, remedy }
}

#[cfg(test)]
mod tests;
