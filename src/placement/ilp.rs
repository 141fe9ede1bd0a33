//! The paper's integer linear program, through a general solver.
//!
//! x_{il}^b = 1 where layer l runs on server i with b bits. In the chain form y_{ij}^l carries the chain from layer to
//! layer: Σ_j y_{ij}^l = x_{il} and Σ_i y_{ij}^l = x_{j,l+1}, which for whole x says the same as the paper's y_{ij}^l ≥
//! x_{il} + x_{j,l+1} − 1 and has a far better relaxation. In the paper form y_{ij} is the time charged for an ordered
//! pair: y_{ij} ≥ t_{ij}^l·(x_{il} + x_{j,l+1} − 1) for every layer, with t the time of its activation.
//!
//! The solver is microlp, in Rust, or HiGHS with the feature `highs`. Their tolerances (about 1e-7) are theirs: what
//! they return is checked from the definitions, and their word for "optimal" is not a proof of ours.

use std::time::Duration;

use good_lp::solvers::{ResolutionError, SolutionStatus};
use good_lp::{Expression, ProblemVariables, Solution as _, SolverModel, Variable, WithTimeLimit, variable};

use super::delay::{self, Communication};
use super::problem::{Problem, Seat};
use super::solve::{Certificate, Outcome, Solution, Work};
use super::tables::{BUSY, MEMORY, SENT, Tables};

/// What a general solver made of a problem.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It says that this is the best there is.
    Optimal(Outcome),
    /// A time limit stopped it.
    Stopped(Outcome),
    /// It gave up, or returned what breaks a limit by more than a rounding error.
    Failed(String),
}

/// Solves the integer program. The bound of a solution is its delay where the solver says "optimal", and 0 otherwise.
pub fn solve(problem: &Problem, communication: Communication, time: Option<Duration>) -> Answer {
    let t = Tables::new(problem, communication);
    let model = Model::new(&t);
    let x = model.x.clone();
    match model.solve(&t, time) {
        Ok((values, optimal)) => {
            let seats: Vec<Seat> = (0..t.layers)
                .map(|l| {
                    let value = |&(i, w): &(usize, usize)| x[l][i][w].map_or(0.0, &values);
                    let all = (0..t.servers).flat_map(|i| (0..t.choices(l).len()).map(move |w| (i, w)));
                    let best = all.max_by(|a, b| value(a).total_cmp(&value(b)));
                    let (i, w) = best.unwrap_or((0, 0));
                    t.seat(l, i, w)
                })
                .collect();
            match delay::feasible(problem, &seats, communication) {
                Ok(usage) => {
                    let bound_s = if optimal { usage.delay_s } else { 0.0 };
                    let work = Work { stopped: !optimal, ..Work::default() };
                    let solution = Solution { seats, usage, bound_s, certificate: Certificate::default(), work };
                    let outcome = Outcome::Placed(Box::new(solution));
                    if optimal { Answer::Optimal(outcome) } else { Answer::Stopped(outcome) }
                }
                Err(violation) => Answer::Failed(format!("it returned {}", violation.describe(problem))),
            }
        }
        Err(ResolutionError::Infeasible) => Answer::Optimal(Outcome::Infeasible),
        // A limit that came before the first solution is told as any other failure.
        Err(e) if e.to_string().contains("ime limit") => Answer::Stopped(Outcome::Unknown { bound_s: 0.0 }),
        Err(e) => Answer::Failed(e.to_string()),
    }
}

struct Model {
    variables: ProblemVariables,
    /// By layer, server and choice; none where it cannot fit.
    x: Vec<Vec<Vec<Option<Variable>>>>,
    objective: Expression,
    /// Each at most 0, or equal to 0.
    at_most: Vec<Expression>,
    equal: Vec<Expression>,
}

impl Model {
    fn new(t: &Tables) -> Model {
        let mut m = Model {
            variables: ProblemVariables::new(),
            x: Vec::new(),
            objective: Expression::from(0.0),
            at_most: Vec::new(),
            equal: Vec::new(),
        };
        for l in 0..t.layers {
            let mut servers = Vec::new();
            for i in 0..t.servers {
                let choices = t.choices(l).iter();
                let one = |c| super::prices::fits_alone(t, l, i, c).then(|| m.variables.add(variable().binary()));
                servers.push(choices.map(one).collect::<Vec<_>>());
            }
            m.x.push(servers);
        }
        // Numbers around 1: solvers have absolute tolerances.
        let largest = t.choices.iter().map(|c| c.work).fold(0.0, f64::max);
        let slowest = t.slowness.iter().copied().fold(0.0, f64::max);
        let pairs = (0..t.servers).flat_map(|i| (0..t.servers).map(move |j| (i, j)));
        let transfers = pairs.flat_map(|(i, j)| (0..t.layers).map(move |l| t.transfer(l, i, j)));
        let longest = transfers.filter(|x| x.is_finite()).fold(largest * slowest, f64::max);
        let unit = if longest > 0.0 { 1.0 / longest } else { 1.0 };
        m.limits(t, unit);
        match t.communication {
            Communication::Chain => m.chain(t, unit),
            Communication::Paper => m.pairs(t, unit),
        }
        m
    }

    /// Σ_b x_{il}^b.
    fn on(&self, l: usize, i: usize) -> Expression {
        self.x[l][i].iter().flatten().map(|&x| Expression::from(x)).sum()
    }

    fn limits(&mut self, t: &Tables, unit: f64) {
        let mut used = vec![Expression::from(0.0); t.servers * t.kinds];
        let mut quality = vec![Expression::from(0.0); t.budget.len()];
        for l in 0..t.layers {
            let mut once = Expression::from(-1.0);
            for i in 0..t.servers {
                for (c, x) in t.choices(l).iter().zip(&self.x[l][i]) {
                    let Some(x) = *x else { continue };
                    let seconds = t.seconds(c, i);
                    once += x;
                    self.objective += seconds * unit * x;
                    let share = |used: f64, limit: f64| if limit > 0.0 { used / limit } else { used };
                    used[i * t.kinds + MEMORY] += share(c.memory, t.capacity[i * t.kinds + MEMORY]) * x;
                    if t.kinds > BUSY {
                        used[i * t.kinds + BUSY] += share(t.busy(seconds, i), t.capacity[i * t.kinds + BUSY]) * x;
                    }
                    quality[t.model[l]] += share(c.quality, t.budget[t.model[l]]) * x;
                }
            }
            self.equal.push(once);
        }
        for (row, &limit) in used.into_iter().zip(&t.capacity) {
            if limit.is_finite() {
                self.at_most.push(row - if limit > 0.0 { 1.0 } else { 0.0 });
            }
        }
        for (row, &limit) in quality.into_iter().zip(&t.budget) {
            self.at_most.push(row - if limit > 0.0 { 1.0 } else { 0.0 });
        }
    }

    /// Adds a transfer after layer l to what server i sends.
    fn sends(&mut self, t: &Tables, sent: &mut [Expression], l: usize, i: usize, y: &Expression) {
        if t.kinds > SENT {
            let limit = t.capacity[i * t.kinds + SENT];
            if limit.is_finite() {
                let share = t.sent(l, i) / limit.max(1.0);
                sent[i] += y.clone() * share;
            }
        }
    }

    fn finish_sent(&mut self, t: &Tables, sent: Vec<Expression>) {
        for (i, row) in sent.into_iter().enumerate() {
            if t.kinds > SENT && t.capacity[i * t.kinds + SENT].is_finite() {
                let limit = if t.capacity[i * t.kinds + SENT] > 0.0 { 1.0 } else { 0.0 };
                self.at_most.push(row - limit);
            }
        }
    }

    fn chain(&mut self, t: &Tables, unit: f64) {
        let mut sent = vec![Expression::from(0.0); t.servers];
        for l in (0..t.layers).filter(|&l| !t.model_ends(l)) {
            let mut into: Vec<Expression> = (0..t.servers).map(|j| -self.on(l + 1, j)).collect();
            for i in 0..t.servers {
                let mut out = -self.on(l, i);
                for (j, into) in into.iter_mut().enumerate() {
                    let time = if i == j { 0.0 } else { t.transfer(l, i, j) };
                    if time.is_infinite() {
                        continue;
                    }
                    let y = self.variables.add(variable().min(0.0).max(1.0));
                    out += y;
                    *into += y;
                    self.objective += time * unit * y;
                    if i != j {
                        self.sends(t, &mut sent, l, i, &Expression::from(y));
                    }
                }
                self.equal.push(out);
            }
            self.equal.append(&mut into);
        }
        self.finish_sent(t, sent);
    }

    fn pairs(&mut self, t: &Tables, unit: f64) {
        let mut sent = vec![Expression::from(0.0); t.servers];
        let models = t.budget.len();
        for m in 0..models {
            let layers: Vec<usize> = (0..t.layers).filter(|&l| t.model[l] == m && !t.model_ends(l)).collect();
            for i in 0..t.servers {
                for j in (0..t.servers).filter(|&j| j != i) {
                    let linked = t.latency[i * t.servers + j].is_finite();
                    let y = linked.then(|| self.variables.add(variable().min(0.0)));
                    if let Some(y) = y {
                        self.objective += y;
                    }
                    for &l in &layers {
                        let both = self.on(l, i) + self.on(l + 1, j) - 1.0;
                        self.at_most.push(match y {
                            Some(y) => both * (t.transfer(l, i, j) * unit) - y,
                            None => both,
                        });
                    }
                }
            }
        }
        // What is sent counts every crossing: 1 where the layer is here and the next one is not.
        for l in (0..t.layers).filter(|&l| t.kinds > SENT && !t.model_ends(l)) {
            for i in (0..t.servers).filter(|&i| t.capacity[i * t.kinds + SENT].is_finite()) {
                let leaves = self.variables.add(variable().min(0.0).max(1.0));
                self.at_most.push(self.on(l, i) - self.on(l + 1, i) - leaves);
                self.sends(t, &mut sent, l, i, &Expression::from(leaves));
            }
        }
        self.finish_sent(t, sent);
    }

    #[allow(clippy::type_complexity, reason = "values by variable, and whether they are optimal")]
    fn solve(self, t: &Tables, time: Option<Duration>) -> Result<(impl Fn(Variable) -> f64, bool), ResolutionError> {
        // A layer that fits nowhere leaves 0 = 1, which not every solver takes.
        if (0..t.layers).any(|l| self.x[l].iter().flatten().all(Option::is_none)) {
            return Err(ResolutionError::Infeasible);
        }
        let unsolved = self.variables.minimise(self.objective);
        #[cfg(feature = "highs")]
        let mut model = {
            // By default it is content with a gap of 1e-4.
            let model = unsolved.using(good_lp::solvers::highs::highs);
            model.set_option("mip_rel_gap", 0.0).set_option("mip_abs_gap", 0.0)
        };
        #[cfg(not(feature = "highs"))]
        let mut model = unsolved.using(good_lp::solvers::microlp::microlp);
        if let Some(time) = time {
            model = model.with_time_limit(time.as_secs_f64());
        }
        for row in self.at_most {
            model.add_constraint(row.leq(0.0));
        }
        for row in self.equal {
            model.add_constraint(row.eq(0.0));
        }
        let solution = model.solve()?;
        let optimal = matches!(solution.status(), SolutionStatus::Optimal);
        Ok((move |v| solution.value(v), optimal))
    }
}
