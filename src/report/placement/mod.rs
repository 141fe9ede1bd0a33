//! Placements, for people ([`text`], and `plot` as SVG) and for programs (`json`, which `claim` reads back); requests
//! served against the quality budget (`budgets`).

#[cfg(all(feature = "simulation", feature = "files"))]
pub mod budgets;
#[cfg(feature = "files")]
pub mod claim;
#[cfg(feature = "files")]
pub mod json;
#[cfg(feature = "plots")]
pub mod plot;
pub mod text;

use std::ops::Range;

use crate::placement::baseline::{Baseline, Placed};
use crate::placement::bridge::Node;
use crate::placement::delay::Communication;
use crate::placement::solve::{Certificate, OPTIMALITY, Solution, Status, Work};
use crate::placement::{Problem, Seat};
use crate::report::number::significant;

/// A placement and what stands beside it.
#[derive(Debug, Clone)]
pub struct Report<'r> {
    /// What was placed.
    pub problem: &'r Problem,
    /// Where it comes from: a line.
    pub about: String,
    /// The file of the problem, as it was given; none of the embedded example.
    pub problem_file: Option<String>,
    /// The file of the layers, if they have one of their own.
    pub layers_file: Option<String>,
    /// The name of the solver on the command line.
    pub solver: String,
    /// How communication is charged.
    pub communication: Communication,
    /// The assignment, with delay, use and bound.
    pub solution: &'r Solution,
    /// Whether the bound is this program's own and can be checked; otherwise it is another solver's word, or there is
    /// none.
    pub bound: Bound,
    /// What others give.
    pub baselines: Vec<(Baseline, std::result::Result<Placed, String>)>,
    /// The delay if links or servers were faster or slower.
    pub sensitivity: Vec<Change>,
    /// What it is to the scheduler, if that was asked for.
    pub node: Option<&'r Node>,
    /// Wall time of the solver.
    pub seconds: f64,
}

/// What a bound is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Proven here, for all assignments.
    Proven,
    /// A general solver says so.
    Claimed,
    /// It holds for the assignments of a baseline only.
    Rule,
}

impl Bound {
    /// All three.
    pub const ALL: [Bound; 3] = [Bound::Proven, Bound::Claimed, Bound::Rule];

    /// What `bound_by` says of it in a result.
    pub fn name(self) -> &'static str {
        match self {
            Bound::Proven => "proof",
            Bound::Claimed => "general solver",
            Bound::Rule => "none",
        }
    }
}

/// The best delay in a changed problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// "link bandwidth" or "server speed".
    pub what: &'static str,
    /// Times what it was.
    pub factor: f64,
    /// Delay, bound and mean bits; or why there is none.
    pub result: std::result::Result<(f64, f64, f64), String>,
}

/// Consecutive layers of one model with one seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub model: usize,
    /// Flat indices.
    pub layers: Range<usize>,
    pub seat: Seat,
}

impl Report<'_> {
    fn certificate(&self) -> &Certificate {
        &self.solution.certificate
    }

    fn work(&self) -> &Work {
        &self.solution.work
    }

    /// "optimal" only where it is of all assignments.
    fn status(&self) -> Status {
        if self.bound == Bound::Rule { Status::Feasible } else { self.solution.status() }
    }

    /// How good it is, and how that is known.
    fn verdict(&self) -> String {
        match (self.bound, self.status()) {
            (Bound::Proven, Status::Optimal) => "proven optimal".to_string(),
            (Bound::Proven, Status::Feasible) => {
                let gap = significant(100.0 * self.solution.gap(), 3);
                format!("feasible; none is faster than {} (gap {gap} %)", seconds(self.solution.bound_s))
            }
            (Bound::Claimed, Status::Optimal) => "optimal, says the general solver".to_string(),
            _ => "feasible".to_string(),
        }
    }

    /// Model of each layer.
    fn models(&self) -> Vec<usize> {
        let models = self.problem.models.iter().enumerate();
        models.flat_map(|(m, model)| model.layers.iter().map(move |_| m)).collect()
    }

    fn runs(&self) -> Vec<Run> {
        let models = self.models();
        let mut runs: Vec<Run> = Vec::new();
        for (l, (&seat, &model)) in self.solution.seats.iter().zip(&models).enumerate() {
            match runs.last_mut() {
                Some(run) if run.seat == seat && run.model == model => run.layers.end = l + 1,
                _ => runs.push(Run { model, layers: l..l + 1, seat }),
            }
        }
        runs
    }
}

fn seconds(s: f64) -> String {
    format!("{} s", significant(s, 4))
}

/// The unit in which people give so many bytes.
fn unit_of(bytes: f64) -> (f64, &'static str) {
    match bytes {
        x if x >= 1e12 => (1e12, "TB"),
        x if x >= 1e9 => (1e9, "GB"),
        x if x >= 1e6 => (1e6, "MB"),
        _ => (1e3, "kB"),
    }
}

/// Bits of a weight on average.
pub fn mean_bits(problem: &Problem, seats: &[Seat]) -> f64 {
    let (mut bits, mut parameters) = (0.0, 0.0);
    for ((_, layer), seat) in problem.layers().zip(seats) {
        bits += layer.parameters * f64::from(seat.bits);
        parameters += layer.parameters;
    }
    if parameters > 0.0 { bits / parameters } else { 0.0 }
}

/// Whether a baseline's delay is the least that its rule allows.
fn proven(placed: &Placed) -> bool {
    placed.usage.delay_s - placed.bound_s <= OPTIMALITY * placed.usage.delay_s
}
