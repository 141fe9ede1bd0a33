//! A scheduler loop around the solver: requests arrive, wait, are served or expire, epoch after epoch, in several
//! cells.
//!
//! ```text
//! cargo run --release --no-default-features --example scheduler_loop
//! ```
//!
//! The solver is built once, with threads of its own, a time limit, a switch to throw on shutdown, and an observer. The
//! macro cell is watched while it is solved; the small cells are solved in one call, a task each.

use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use dftsp::certificate::{Solution, Status};
use dftsp::generate::{Family, Generator, Spec};
use dftsp::instance::{Instance, Problem};
use dftsp::scenario::Scenario;
use dftsp::search::{Cancel, Limits, Observer, Progress};
use dftsp::solver::{Method, Solver};
use dftsp::workload::{Request, Requests};

/// Time from one batch to the next.
const EPOCH_S: f64 = 0.5;
const EPOCHS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    let shutdown = Cancel::new();
    let incumbents = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&incumbents);
    let solver = Solver::new(Method::Flat)
        .threads(2)?
        .limits(Limits { time: Some(Duration::from_secs(1)), cancel: Some(shutdown.clone()), ..Limits::NONE })
        .observer(Observer::new(move |progress| {
            if let Progress::Incumbent { .. } = progress {
                seen.fetch_add(1, Relaxed);
            }
        }));

    let mut macro_cell = Cell::new(400, 1)?;
    let mut small_cells = (2..10).map(|seed| Cell::new(60, seed)).collect::<Result<Vec<_>, _>>()?;
    for epoch in 0..EPOCHS {
        // Thrown in the middle of a search, the switch gives the best batch by then; thrown before, a greedy one.
        if epoch == EPOCHS - 1 {
            shutdown.cancel();
        }
        macro_cell.arrivals();
        let problem = macro_cell.problem()?;
        incumbents.store(0, Relaxed);
        let solution = solver.solve(&problem.instance);
        let report = macro_cell.end_epoch(&problem, &solution);
        writeln!(out, "epoch {epoch}: macro cell {report}, {} incumbents seen", incumbents.load(Relaxed))?;

        small_cells.iter_mut().for_each(Cell::arrivals);
        let problems = small_cells.iter().map(Cell::problem).collect::<Result<Vec<_>, _>>()?;
        let instances: Vec<Instance> = problems.iter().map(|problem| problem.instance.clone()).collect();
        let solutions = solver.solve_many(&instances);
        for (i, cell) in small_cells.iter_mut().enumerate() {
            let report = cell.end_epoch(&problems[i], &solutions[i]);
            if i == 0 {
                writeln!(out, "         first of {} small cells {report}", instances.len())?;
            }
        }
    }
    let all = small_cells.iter().chain([&macro_cell]);
    let (served, expired) = all.fold((0, 0), |sum, cell| (sum.0 + cell.served, sum.1 + cell.expired));
    writeln!(out, "{served} requests served, {expired} expired")?;
    Ok(())
}

/// A cell: its node, the requests still to arrive, and those waiting.
struct Cell {
    scenario: Scenario,
    future: std::vec::IntoIter<Request>,
    per_epoch: usize,
    waiting: Vec<Request>,
    served: usize,
    expired: usize,
}

impl Cell {
    /// A node on which everything binds, and a stream of requests that is a little too much for it.
    fn new(requests: u64, seed: u64) -> Result<Cell, Box<dyn Error>> {
        let generator = Generator::new(Spec { requests, seed, tightness: 0.5, ..Spec::new(Family::Binding) })?;
        let future = generator.rows().collect::<Vec<_>>().into_iter();
        let per_epoch = requests as usize / EPOCHS;
        let scenario = generator.scenario().clone();
        Ok(Cell { scenario, future, per_epoch, waiting: Vec::new(), served: 0, expired: 0 })
    }

    fn arrivals(&mut self) {
        self.waiting.extend(self.future.by_ref().take(self.per_epoch));
    }

    /// The epoch as the solver sees it. Row i of the requests is the i-th that waits.
    fn problem(&self) -> Result<Problem, Box<dyn Error>> {
        let mut requests = Requests::new();
        for (i, request) in self.waiting.iter().enumerate() {
            requests.push(&format!("r{i}"), *request)?;
        }
        Ok(Problem::new(&self.scenario, &requests)?)
    }

    /// Takes the batch out of the queue; the others wait an epoch longer, or have waited too long.
    fn end_epoch(&mut self, problem: &Problem, solution: &Solution) -> String {
        let offered = self.waiting.len();
        let mut batch = vec![false; offered];
        for &row in &solution.rows {
            batch[problem.instance.columns().request[row as usize] as usize] = true;
        }
        let mut members = batch.iter();
        self.waiting.retain(|_| members.next() != Some(&true));
        let left = self.waiting.len();
        let slots = self.scenario.epoch.uplink_slot_s + self.scenario.epoch.downlink_slot_s;
        self.waiting.retain_mut(|request| {
            request.waited_s += EPOCH_S;
            request.waited_s + slots < request.deadline_s
        });
        let (served, expired) = (offered - left, left - self.waiting.len());
        self.served += served;
        self.expired += expired;
        let proof = match solution.status() {
            Status::Optimal => "proven the largest".to_string(),
            Status::Feasible { bound } => format!("at most {bound} possible"),
        };
        format!("serves {served} of {offered} ({proof}), {expired} expire")
    }
}
