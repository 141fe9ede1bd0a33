//! What more of a resource, or one request less, would change: marginal values of an epoch.
//!
//! In: scenario, requests, a step for each resource, a solver. Out: an [`Explanation`]. Three answers for each
//! resource, none of which stands in for another:
//! - **the truth**: the scenario with the step, solved again. A wider band lets in more noise, which changes the cost
//!   of every request, and more of anything makes requests servable that were not; solving again counts it all;
//! - **the dual bound**: what the multipliers of the first proof say of the changed instance, without solving it
//!   ([`dual_bound`]). Any λ bounds any instance, so it is proven, however the costs changed;
//! - **the dual price**: the slope of the relaxation at the deadline that limits it, in requests per unit. It is not
//!   what a step adds: batches are whole requests, and the slope holds for small steps at the same costs.
//!
//! And the smallest addition, in whole percent of what there is, with which the batch grows at all (`least`): on a
//! small node one unit more may be a hundred times what it has. Where several resources are scarce at once, more of any
//! one of them adds nothing; so all are also raised together.

mod dual;
mod least;

pub use dual::dual_bound;
pub use least::{Least, MOST_PERCENT};

use crate::certificate::{Solution, Status};
use crate::cost::Transformer;
use crate::error::{Place, Result};
use crate::instance::{Instance, Problem, Units};
use crate::limits::{self, Range};
use crate::outcome::bound_of;
use crate::rank::RESOURCES;
use crate::scenario::Scenario;
use crate::solver::Solver;
use crate::workload::Requests;

/// A resource that a node can have more of, in the order of the resources everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// B^U.
    Uplink,
    /// B^D.
    Downlink,
    /// M.
    Memory,
    /// C, which the deadline makes scarce.
    Compute,
}

impl Resource {
    /// All of them.
    pub const ALL: [Resource; RESOURCES] = [Resource::Uplink, Resource::Downlink, Resource::Memory, Resource::Compute];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Uplink => "uplink",
            Resource::Downlink => "downlink",
            Resource::Memory => "memory",
            Resource::Compute => "compute",
        }
    }

    /// The unit of reports, and how many Hz, bytes or FLOP/s it is.
    pub fn unit(self) -> (&'static str, f64) {
        match self {
            Resource::Uplink | Resource::Downlink => ("MHz", 1e6),
            Resource::Memory => ("GB", 1e9),
            Resource::Compute => ("TFLOP/s", 1e12),
        }
    }

    /// How much of it the scenario has, in Hz, bytes or FLOP/s.
    pub fn of(self, s: &Scenario) -> f64 {
        match self {
            Resource::Uplink => s.radio.uplink_bandwidth_hz,
            Resource::Downlink => s.radio.downlink_bandwidth_hz,
            Resource::Memory => s.node.memory_bytes,
            Resource::Compute => s.node.compute_flops,
        }
    }

    /// The scenario with `amount` of it.
    #[must_use]
    pub fn set(self, scenario: &Scenario, amount: f64) -> Scenario {
        let mut s = scenario.clone();
        match self {
            Resource::Uplink => s.radio.uplink_bandwidth_hz = amount,
            Resource::Downlink => s.radio.downlink_bandwidth_hz = amount,
            Resource::Memory => s.node.memory_bytes = amount,
            Resource::Compute => s.node.compute_flops = amount,
        }
        s
    }

    fn range(self) -> &'static Range {
        match self {
            Resource::Uplink | Resource::Downlink => &limits::BANDWIDTH,
            Resource::Memory => &limits::MEMORY,
            Resource::Compute => &limits::COMPUTE,
        }
    }
}

/// How much more of each resource is asked about, in Hz, Hz, bytes and FLOP/s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steps(pub [f64; RESOURCES]);

impl Default for Steps {
    /// 1 MHz each way, 1 GB and 1 TFLOP/s.
    fn default() -> Self {
        Steps(Resource::ALL.map(|resource| resource.unit().1))
    }
}

/// The marginal values of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The number of requests offered.
    pub requests: usize,
    /// Rows of the requests scheduled as things are, in input order.
    pub scheduled: Vec<u32>,
    /// How good that batch is.
    pub status: Status,
    /// What the multipliers of its proof bound the batch by before rounding down: the value whose slopes are
    /// [`Margin::price`].
    pub relaxation: f64,
    /// One for each resource, in the order of [`Resource::ALL`].
    pub margins: Vec<Margin>,
    /// What a step more of every resource at once would change.
    pub together: Together,
    /// Serving without the request whose deadline is the tightest in the batch (the first in input order); and where
    /// others have the same deadline, without all of them. None for the empty batch.
    pub without: Vec<Without>,
}

/// What more of one resource would change.
#[derive(Debug, Clone, PartialEq)]
pub struct Margin {
    /// The resource.
    pub resource: Resource,
    /// How much of it there is, in Hz, bytes or FLOP/s.
    pub now: f64,
    /// How much is added.
    pub step: f64,
    /// The changed scenario, solved again.
    pub change: Change,
    /// No batch of the changed scenario is larger, by the multipliers of the first proof.
    pub dual_bound: u64,
    /// The dual price: requests per Hz, byte or FLOP/s, where the relaxation is limited.
    pub price: f64,
    /// The smallest addition that adds a request.
    pub least: Least,
}

/// What more of all resources at once would change.
#[derive(Debug, Clone, PartialEq)]
pub struct Together {
    /// The scenario with all steps, solved again.
    pub change: Change,
    /// No batch of the changed scenario is larger, by the multipliers of the first proof.
    pub dual_bound: u64,
    /// The smallest percentage that adds a request when every resource gets it.
    pub least: Least,
}

/// Serving without some requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Without {
    /// Rows of the requests left out.
    pub requests: Vec<u32>,
    /// Their deadline: time left when the epoch begins, seconds.
    pub deadline_s: f64,
    /// The epoch without them, solved again. They count in neither list of the change.
    pub change: Change,
    /// The tightest deadline of the new batch; none if it is empty.
    pub tightest_deadline_s: Option<f64>,
}

/// A batch of a changed epoch, beside the batch as things are.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Requests scheduled.
    pub size: usize,
    /// How good that is.
    pub status: Status,
    /// How much larger the largest batch is.
    pub gain: Gain,
    /// Rows of requests in the new batch and not in the old one. Other batches of the same sizes may differ in others.
    pub entered: Vec<u32>,
    /// Rows of requests in the old batch and not in the new one.
    pub left: Vec<u32>,
}

/// The difference of two optima: proven to be between two numbers, which agree unless a limit stopped a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gain {
    /// At least this many requests more.
    pub at_least: i64,
    /// At most this many requests more.
    pub at_most: i64,
}

impl Gain {
    /// The gain, where it is known.
    pub fn exact(&self) -> Option<i64> {
        (self.at_least == self.at_most).then_some(self.at_least)
    }
}

/// Says what one step more of each resource would add to the largest batch, and what the tightest request costs it.
///
/// The epoch is solved as it is, once for each change, and for each resource a few times more in search of the smallest
/// addition that helps; the solver's limits hold for each of them.
///
/// ```
/// use dftsp::{explain::{Gain, Resource, Steps, explain}, scenario::Scenario, solver::{Method, Solver}};
/// use dftsp::workload::{Request, Requests};
///
/// let mut requests = Requests::new();
/// for id in ["a", "b", "c", "d", "e", "f"] {
///     requests.push(id, Request { deadline_s: 1.0, ..Request::new(512, 512) })?;
/// }
/// let solver = Solver::new(Method::Flat);
/// let explanation = explain(&Scenario::paper(), &requests, &Steps::default(), &solver)?;
/// assert_eq!(explanation.scheduled.len(), 2);
/// let gains: Vec<_> = explanation.margins.iter().map(|m| m.change.gain.exact()).collect();
/// assert_eq!(gains, [Some(0); 4]); // One unit more of anything adds nothing,
/// let percent: Vec<_> = explanation.margins.iter().map(|m| m.least.percent()).collect();
/// assert_eq!(percent, [None, None, None, Some(14)]); // and only compute ever would.
/// # Ok::<(), dftsp::error::Error>(())
/// ```
///
/// # Errors
/// A step that is not above 0 or leads out of the range of its resource; those of [`Problem::new`].
pub fn explain(scenario: &Scenario, requests: &Requests, steps: &Steps, solver: &Solver) -> Result<Explanation> {
    scenario.check()?;
    let scenarios: Vec<Scenario> =
        ADDITIONS.iter().map(|resources| raise(scenario, resources, steps)).collect::<Result<_>>()?;
    let problem = Problem::new(scenario, requests)?;
    let solution = solver.solve(&problem.instance);
    let base = Base::new(scenario, requests, &problem, &solution);

    // Everything that is known to be asked is solved in one call.
    let mut problems = Vec::with_capacity(ADDITIONS.len() + 2);
    for scenario in &scenarios {
        problems.push(Problem::new(scenario, requests)?);
    }
    let mut kept = Vec::new();
    let sets = base.tightest();
    for (_, set) in &sets {
        let (rest, rows) = without(requests, set)?;
        problems.push(Problem::new(scenario, &rest)?);
        kept.push(rows);
    }
    let (instances, units): (Vec<Instance>, Vec<Units>) = problems.into_iter().map(|p| (p.instance, p.units)).unzip();
    let solutions = solver.solve_many(&instances);

    let mut raised: Vec<Together> = Vec::with_capacity(ADDITIONS.len());
    for (at, scenario) in scenarios.iter().enumerate() {
        let scale = base.unit_scale(scenario, units[at]);
        let dual_bound = dual::relax(&instances[at], &solution.certificate, scale).bound;
        let batch = requests_of(&instances[at], &solutions[at].rows);
        // More of a resource never hurts; proven where the integers show it.
        let at_least = if relaxes(&problem, &instances[at], units[at]) { 0 } else { i64::MIN };
        let change = base.change(batch, solutions[at].status(), (at_least, i64::MAX), dual_bound, &[]);
        raised.push(Together { change, dual_bound, least: Least::Unknown });
    }
    let mut serving_without = Vec::with_capacity(sets.len());
    for (at, (deadline_s, set)) in sets.into_iter().enumerate() {
        let (rows, at) = (&kept[at], ADDITIONS.len() + at);
        let batch = requests_of(&instances[at], &solutions[at].rows).into_iter();
        let batch: Vec<u32> = batch.map(|row| rows[row as usize]).collect();
        let tightest_deadline_s = batch.iter().map(|&row| base.time_left(row)).min_by(f64::total_cmp);
        // Any batch but for the requests of the set is a batch without them, and any batch without them is a batch.
        let known = if units[at] == problem.units { (-(set.len() as i64), 0) } else { (i64::MIN, i64::MAX) };
        let change = base.change(batch, solutions[at].status(), known, u64::MAX, &set);
        serving_without.push(Without { requests: set, deadline_s, change, tightest_deadline_s });
    }
    drop((instances, solutions));
    for (raised, least) in raised.iter_mut().zip(least::search(&base, solver)?) {
        raised.least = least;
    }
    let together = raised.swap_remove(RESOURCES);
    let prices = base.prices();
    let margin = |(at, raised): (usize, Together)| {
        let (resource, Together { change, dual_bound, least }) = (Resource::ALL[at], raised);
        let now = resource.of(scenario);
        Margin { resource, now, step: steps.0[at], change, dual_bound, price: prices[at], least }
    };
    Ok(Explanation {
        requests: requests.len(),
        status: solution.status(),
        relaxation: base.relaxed.value,
        margins: raised.into_iter().enumerate().map(margin).collect(),
        together,
        without: serving_without,
        scheduled: base.scheduled,
    })
}

/// What is added: each resource by itself, and all together.
const ADDITIONS: [&[Resource]; RESOURCES + 1] =
    [&[Resource::Uplink], &[Resource::Downlink], &[Resource::Memory], &[Resource::Compute], &Resource::ALL];

/// The scenario with a step more of some resources.
fn raise(scenario: &Scenario, resources: &[Resource], steps: &Steps) -> Result<Scenario> {
    let mut raised = scenario.clone();
    for &resource in resources {
        let place = || Place::file("step").field(resource.name());
        let (step, (unit, si)) = (steps.0[resource as usize], resource.unit());
        if !(step > 0.0 && step.is_finite()) {
            return Err(place().error(format!("{} {unit} is no step", step / si), format!("give {unit} above 0")));
        }
        let amount = resource.of(scenario) + step;
        resource.range().check(amount, place)?;
        raised = resource.set(&raised, amount);
    }
    Ok(raised)
}

/// The requests but for those of `set` (ascending), and which rows they had.
fn without(requests: &Requests, set: &[u32]) -> Result<(Requests, Vec<u32>)> {
    let (mut rest, mut rows) = (Requests::new(), Vec::with_capacity(requests.len()));
    for (row, request) in (0u32..).zip(requests.rows()) {
        if set.binary_search(&row).is_err() {
            rest.push(requests.id(row as usize), *request)?;
            rows.push(row);
        }
    }
    Ok((rest, rows))
}

/// The requests behind rows of an instance.
fn requests_of(instance: &Instance, rows: &[u32]) -> Vec<u32> {
    rows.iter().map(|&row| instance.columns().request[row as usize]).collect()
}

/// Whether every batch of `old` is one of `new`: nothing costs more, and there is no less of anything.
fn relaxes(old: &Problem, new: &Instance, units: Units) -> bool {
    let (a, b) = (old.instance.columns(), new.columns());
    let (c, d) = (old.instance.capacity(), new.capacity());
    let mut rows = 0..new.len();
    units == old.units
        && (c.uplink <= d.uplink && c.downlink <= d.downlink && c.kv_tokens <= d.kv_tokens)
        && (0..old.instance.len()).all(|i| {
            rows.by_ref().find(|&j| b.request[j] == a.request[i]).is_some_and(|j| {
                let (x, y) = (old.instance.row(i), new.row(j));
                (y.uplink <= x.uplink && y.downlink <= x.downlink && y.kv_tokens <= x.kv_tokens)
                    && (y.compute <= x.compute && b.budget[j] >= a.budget[i])
            })
        })
}

/// The epoch as it is, which all changes are compared with.
struct Base<'e> {
    scenario: &'e Scenario,
    requests: &'e Requests,
    problem: &'e Problem,
    solution: &'e Solution,
    scheduled: Vec<u32>,
    relaxed: dual::Relaxed,
}

impl<'e> Base<'e> {
    fn new(scenario: &'e Scenario, requests: &'e Requests, problem: &'e Problem, solution: &'e Solution) -> Self {
        let scheduled = requests_of(&problem.instance, &solution.rows);
        let relaxed = dual::relax(&problem.instance, &solution.certificate, [1.0; RESOURCES]);
        Base { scenario, requests, problem, solution, scheduled, relaxed }
    }

    fn size(&self) -> usize {
        self.scheduled.len()
    }

    fn time_left(&self, row: u32) -> f64 {
        let request = &self.requests.rows()[row as usize];
        request.deadline_s - request.waited_s
    }

    /// The first request of the batch with the tightest deadline; and all of them, if there are several.
    fn tightest(&self) -> Vec<(f64, Vec<u32>)> {
        let times = self.scheduled.iter().map(|&row| self.time_left(row));
        let Some(tightest) = times.min_by(f64::total_cmp) else { return Vec::new() };
        let all: Vec<u32> = self.scheduled.iter().copied().filter(|&row| self.time_left(row) <= tightest).collect();
        let mut sets = vec![(tightest, all[..1].to_vec())];
        if all.len() > 1 {
            sets.push((tightest, all));
        }
        sets
    }

    /// Compares a batch with that of the base. `known` bounds the gain from elsewhere, `dual` the new batch; `apart`
    /// is in neither list.
    fn change(&self, batch: Vec<u32>, status: Status, known: (i64, i64), dual: u64, apart: &[u32]) -> Change {
        let bound = bound_of(batch.len(), status).min(dual) as i64;
        let base_bound = bound_of(self.size(), self.solution.status()) as i64;
        let gain = Gain {
            at_least: (batch.len() as i64 - base_bound).max(known.0),
            at_most: (bound - self.size() as i64).min(known.1),
        };
        // Both lists are ascending, as the rows of an instance are.
        let not_in = |rows: &[u32], others: &[u32]| -> Vec<u32> {
            let absent = |row: &u32| others.binary_search(row).is_err() && apart.binary_search(row).is_err();
            rows.iter().copied().filter(absent).collect()
        };
        let (entered, left) = (not_in(&batch, &self.scheduled), not_in(&self.scheduled, &batch));
        Change { size: batch.len(), status, gain, entered, left }
    }

    /// Requests per Hz, Hz, byte and FLOP/s at the deadline where the relaxation is largest.
    ///
    /// What λ_r is per unit of the instance, λ_r · (units of the whole) / (the whole) is per Hz; the whole of compute
    /// is the budget e_d, which is proportional to C.
    fn prices(&self) -> [f64; RESOURCES] {
        let dual::Relaxed { lambda, budget, .. } = self.relaxed;
        let capacity = self.problem.instance.capacity();
        let token_bytes = Transformer::new(&self.scenario.model).kv_bytes_per_token() as f64;
        let per = |resource: Resource, units: u64| units as f64 / resource.of(self.scenario);
        [
            lambda[0] * per(Resource::Uplink, capacity.uplink),
            lambda[1] * per(Resource::Downlink, capacity.downlink),
            lambda[2] / (self.scenario.quantization.memory_factor * token_bytes),
            lambda[3] * per(Resource::Compute, budget),
        ]
    }

    /// How many units of the base one unit of another instance is, for each resource: with them prices per Hz, token
    /// and FLOP stay what they were. Another scale would only give a worse bound.
    fn unit_scale(&self, scenario: &Scenario, units: Units) -> [f64; RESOURCES] {
        let old = self.problem.units;
        let band = |resource: Resource| {
            let wider = resource.of(scenario) / resource.of(self.scenario);
            libm::ldexp(wider, old.band_bits as i32 - units.band_bits as i32)
        };
        let flop = libm::ldexp(1.0, units.flop_shift as i32 - old.flop_shift as i32);
        [band(Resource::Uplink), band(Resource::Downlink), 1.0, flop]
    }
}
