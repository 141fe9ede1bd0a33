//! Requests served against the quality budget, end to end: place, bridge, simulate.
//!
//! For each budget ε the layers are placed anew, the placement becomes a node ([`super::bridge`]), and the paper's
//! scheduler (DFTSP, Algorithm 1 of arXiv 2405.07140) serves the base's arrivals on it, with the same seeds for every
//! ε. A larger ε allows fewer bits, which compute faster and hold more; and it costs accuracy, which some users do not
//! accept.

use super::bridge::{self, Node};
use super::delay::Communication;
use super::problem::Problem;
use super::solve::Solution;
use crate::error::{Error, Result};
use crate::experiment::statistics::Estimate;
use crate::experiment::{Job, Progress, run_all};
use crate::scenario::Scenario;
use crate::search::Limits;
use crate::simulation::{Settings, Summary};
use crate::solver::{Method, Solver};

/// Nodes of its tree that Algorithm 1 may visit in an epoch, before the largest greedy batch is taken instead.
pub const NODE_LIMIT: u64 = 5_000_000;

/// What is run for each budget.
#[derive(Debug, Clone)]
pub struct Plan<'p> {
    /// What is placed; its own budget is not used.
    pub problem: &'p Problem,
    /// What the placed model becomes a node of.
    pub base: &'p Scenario,
    /// How communication is charged.
    pub communication: Communication,
    /// Values of ε.
    pub budgets: Vec<f64>,
    /// Seeds 1 to this many, in place of the base's.
    pub seeds: u64,
    /// How to simulate.
    pub settings: Settings,
}

/// Why there is no placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// "infeasible" if that is proven, "unknown" if a limit came first, "none" of a solver that is not exact.
    pub status: &'static str,
    /// In words.
    pub why: String,
}

/// What came out for one budget.
#[derive(Debug, Clone)]
pub struct Row {
    /// ε.
    pub budget: f64,
    /// The placement, or why there is none.
    pub placed: std::result::Result<Box<Solution>, Unplaced>,
    /// The node, or why there is none.
    pub node: std::result::Result<Box<Node>, String>,
    /// A run for each seed; empty without a node.
    pub runs: Vec<Summary>,
}

impl Row {
    /// Requests answered in time a second, over the seeds; `None` without a run.
    pub fn served(&self) -> Option<Estimate> {
        self.estimate(Summary::goodput)
    }

    /// A quantity over the seeds; `None` without a run.
    pub fn estimate(&self, of: impl Fn(&Summary) -> f64) -> Option<Estimate> {
        let values: Vec<f64> = self.runs.iter().map(of).collect();
        (!values.is_empty()).then(|| Estimate::of(&values))
    }
}

/// What is wrong and what to do, without where.
pub fn problem_of(error: Error) -> String {
    match error {
        Error::Input { problem, remedy, .. } => format!("{problem}; {remedy}"),
        other => other.to_string(),
    }
}

/// The scheduler: Algorithm 1, found from a proven bound.
pub fn scheduler() -> Solver {
    Solver::new(Method::Algorithm1FromBound).limits(Limits { nodes: Some(NODE_LIMIT), ..Limits::NONE })
}

/// The problem with another budget.
pub fn with_budget(problem: &Problem, budget: f64) -> Problem {
    let mut other = problem.clone();
    other.models.iter_mut().for_each(|model| model.budget = budget);
    other
}

/// Runs the plan: `place` finds a placement, or says why there is none. Runs are made in parallel on the caller's pool;
/// the result does not depend on it.
///
/// # Errors
/// A problem of several models or without a curve, a budget out of range (about "problem"); a base of another model
/// (about "scenario"); those of the simulation. A budget that only its own placement fails for has a row that says so.
pub fn run(
    plan: &Plan<'_>,
    place: impl Fn(&Problem) -> std::result::Result<Box<Solution>, Unplaced>,
    progress: &dyn Progress,
) -> Result<Vec<Row>> {
    bridge::check_problem(plan.problem)?;
    bridge::check_base(plan.problem, plan.base)?;
    let mut rows = Vec::with_capacity(plan.budgets.len());
    for &budget in &plan.budgets {
        let problem = with_budget(plan.problem, budget);
        problem.check()?;
        let placed = place(&problem);
        let node = match &placed {
            Ok(s) => bridge::node(&problem, &s.seats, &s.usage, plan.communication, plan.base)
                .map(Box::new)
                .map_err(problem_of),
            Err(unplaced) => Err(unplaced.why.clone()),
        };
        rows.push(Row { budget, placed, node, runs: Vec::new() });
    }
    let job = |node: &Node, seed: u64| {
        let mut scenario = node.scenario.clone();
        scenario.synthesis.seed = seed;
        Job::new(scenario, plan.settings, scheduler())
    };
    let nodes = rows.iter().filter_map(|row| row.node.as_deref().ok());
    let jobs: Vec<Job> = nodes.flat_map(|node| (1..=plan.seeds).map(|seed| job(node, seed))).collect();
    progress.expect(jobs.len() as u64);
    let mut runs = run_all(&jobs, &|| progress.done())?.into_iter();
    for row in rows.iter_mut().filter(|row| row.node.is_ok()) {
        row.runs = runs.by_ref().take(plan.seeds as usize).collect();
    }
    Ok(rows)
}
