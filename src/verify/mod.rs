//! Checks a claimed solution from the physical formulas, without any of the solvers' code.
//!
//! In: scenario, requests and a [`Claim`]. Out: nothing, or the first check that fails. The checks, in order:
//! 1. the precision is the one that the solution names; the ids exist, are listed once, and the sizes agree;
//! 2. (1a)–(1e) hold for the batch, transcribed here a second time from the paper and evaluated in floats
//!    (`physics`);
//! 3. the bandwidth allocations cover each request's need and add up to at most the band; usage is as stated;
//! 4. everything not scheduled is rejected once, for a reason that holds;
//! 5. the integer instance agrees with the physics, request by request (`physics`);
//! 6. the certificate proves the bound on that instance ([`proof`]).

mod physics;
pub mod proof;

use std::time::Duration;

use crate::certificate::Certificate;
use crate::error::{Result, quote};
use crate::instance::{Problem, Reason};
use crate::outcome::{Allocation, Fractions, Outcome};
use crate::rank::RESOURCES;
use crate::scenario::Scenario;
use crate::workload::Requests;
use physics::Physics;

/// What a solution claims.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Whether the batch is claimed to be the largest.
    pub optimal: bool,
    /// The size claimed.
    pub size: u64,
    /// The bound claimed.
    pub bound: u64,
    /// The precision that the solution says it was made at, if it says so.
    pub quantization: Option<String>,
    /// Rows of the requests scheduled.
    pub scheduled: Vec<u32>,
    /// The number of requests that the solution says were offered.
    pub requests: usize,
    /// The usage claimed.
    pub usage: Fractions,
    /// The time claimed to be left to the tightest deadline; none for the empty batch.
    pub tightest_deadline_s: Option<f64>,
    /// The bandwidth given out.
    pub allocations: Vec<Allocation>,
    /// Rows and reasons of the requests left out.
    pub rejected: Vec<(u32, Reason)>,
    /// The proof of the bound.
    pub certificate: Certificate,
}

impl From<&Outcome> for Claim {
    fn from(o: &Outcome) -> Self {
        Claim {
            optimal: o.status == crate::certificate::Status::Optimal,
            size: o.scheduled.len() as u64,
            bound: o.certificate.bound,
            quantization: Some(o.quantization.clone()),
            scheduled: o.scheduled.clone(),
            requests: o.requests,
            usage: o.usage,
            tightest_deadline_s: o.tightest_deadline_s,
            allocations: o.allocations.clone(),
            rejected: o.rejected.iter().map(|r| (r.request, r.reason)).collect(),
            certificate: o.certificate.clone(),
        }
    }
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{check}: {detail}")]
pub struct Failure {
    /// Name of the check: "batch", "uplink (1a)", "certificate", ...
    pub check: &'static str,
    /// What is wrong.
    pub detail: String,
}

impl Failure {
    fn new(check: &'static str, detail: impl Into<String>) -> Self {
        Failure { check, detail: detail.into() }
    }
}

/// Relative tolerance for sums of floats that were computed twice.
const TOLERANCE: f64 = 1e-9;

/// Checks `claim`. The outer error is a scenario that cannot be converted, the inner one a check that fails.
///
/// Re-checking the subproblems that only a search could rule out takes a search; `limit` bounds its time, and a check
/// that does not end in time fails.
///
/// # Errors
/// Those of [`Problem::new`].
pub fn verify(
    scenario: &Scenario,
    requests: &Requests,
    claim: &Claim,
    limit: Option<Duration>,
) -> Result<std::result::Result<(), Failure>> {
    let problem = Problem::new(scenario, requests)?;
    Ok(check(scenario, requests, &problem, claim, limit))
}

fn check(
    scenario: &Scenario,
    requests: &Requests,
    problem: &Problem,
    claim: &Claim,
    limit: Option<Duration>,
) -> std::result::Result<(), Failure> {
    check_precision(scenario, claim)?;
    let in_batch = check_lists(requests, claim)?;
    let physics = Physics::new(scenario);
    physics.check_batch(requests, &claim.scheduled)?;
    check_integers(problem, &claim.scheduled)?;
    check_usage(&physics, requests, claim)?;
    check_allocations(&physics, requests, claim)?;
    check_rejections(&physics, requests, problem, claim, &in_batch)?;
    physics.check_instance(requests, problem)?;
    if claim.certificate.bound != claim.bound {
        let detail = format!("it proves {} where the solution claims {}", claim.certificate.bound, claim.bound);
        return Err(Failure::new("certificate", detail));
    }
    proof::check(&problem.instance, &claim.certificate, limit, |from, to| {
        physics.check_padded(requests, problem, from, to)
    })
}

/// A solution made at another precision is not wrong, but it is not what was asked: better said than shown by a sum.
fn check_precision(scenario: &Scenario, claim: &Claim) -> std::result::Result<(), Failure> {
    let checked = &scenario.quantization.name;
    match &claim.quantization {
        Some(made) if made != checked => {
            let (made, checked) = (quote(made.as_bytes()), quote(checked.as_bytes()));
            let detail = format!("it was made at {made} and is checked at {checked} (--quantization chooses)");
            Err(Failure::new("quantization", detail))
        }
        _ => Ok(()),
    }
}

/// Lists without repetition, sizes and status that agree. Returns which requests are in the batch.
fn check_lists(requests: &Requests, claim: &Claim) -> std::result::Result<Vec<bool>, Failure> {
    let mut seen = vec![false; requests.len()];
    if !claim.scheduled.is_sorted_by(|a, b| a < b) {
        return Err(Failure::new("batch", "the scheduled ids are not in input order, each once"));
    }
    for &row in &claim.scheduled {
        match seen.get_mut(row as usize) {
            Some(seen) => *seen = true,
            None => return Err(Failure::new("batch", format!("there is no request {row}"))),
        }
    }
    if claim.requests != requests.len() {
        let detail = format!("it is about {} requests where there are {}", claim.requests, requests.len());
        return Err(Failure::new("batch", detail));
    }
    if claim.size != claim.scheduled.len() as u64 {
        let detail = format!("size {} for {} scheduled requests", claim.size, claim.scheduled.len());
        return Err(Failure::new("batch", detail));
    }
    if claim.bound < claim.size || claim.optimal != (claim.bound == claim.size) {
        let status = if claim.optimal { "optimal" } else { "feasible" };
        return Err(Failure::new("status", format!("{status} with size {} and bound {}", claim.size, claim.bound)));
    }
    Ok(seen)
}

/// The batch in the integers of the instance: exact, where the floats of the physics need a tolerance.
fn check_integers(problem: &Problem, scheduled: &[u32]) -> std::result::Result<(), Failure> {
    let row = |request: &u32| problem.instance.columns().request.binary_search(request).ok().map(|row| row as u32);
    match scheduled.iter().map(row).collect::<Option<Vec<u32>>>() {
        Some(rows) if problem.instance.is_feasible(&rows) => Ok(()),
        Some(_) => Err(Failure::new("batch", "it does not fit in the integers of the instance")),
        None => Err(Failure::new("batch", "it holds a request that cannot be served even alone")),
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1e-12)
}

fn check_usage(physics: &Physics<'_>, requests: &Requests, claim: &Claim) -> std::result::Result<(), Failure> {
    let stated = claim.usage.as_array();
    let real = physics.usage(requests, &claim.scheduled);
    for r in 0..RESOURCES {
        if !close(stated[r], real[r]) {
            let detail = format!(
                "{} is stated as {} but is {}",
                ["uplink", "downlink", "memory", "latency"][r],
                stated[r],
                real[r]
            );
            return Err(Failure::new("usage", detail));
        }
    }
    let left = claim.scheduled.iter().map(|&row| &requests.rows()[row as usize]).map(|r| r.deadline_s - r.waited_s);
    let (stated, real) = (claim.tightest_deadline_s, left.min_by(f64::total_cmp));
    if stated.is_some() != real.is_some() || stated.zip(real).is_some_and(|(a, b)| !close(a, b)) {
        return Err(Failure::new(
            "usage",
            format!("the tightest deadline is stated as {stated:?} s but is {real:?} s"),
        ));
    }
    Ok(())
}

fn check_allocations(physics: &Physics<'_>, requests: &Requests, claim: &Claim) -> std::result::Result<(), Failure> {
    let fail = |detail: String| Err(Failure::new("allocations", detail));
    if !claim.allocations.iter().map(|a| a.request).eq(claim.scheduled.iter().copied()) {
        return fail("they are not those of the scheduled requests, in their order".to_string());
    }
    let mut sum = [0.0, 0.0];
    for a in &claim.allocations {
        let request = &requests.rows()[a.request as usize];
        let needed = physics.shares(request);
        for (way, (given, needed)) in [a.uplink, a.downlink].into_iter().zip(needed).enumerate() {
            // Not a number fails here too.
            if !(given >= needed * (1.0 - TOLERANCE) && given <= 1.0) {
                let id = requests.id(a.request as usize);
                return fail(format!("{id} gets {given} of the {} but needs {needed}", ["uplink", "downlink"][way]));
            }
            sum[way] += given;
        }
    }
    match sum.iter().position(|&s| s > 1.0 + TOLERANCE) {
        Some(way) => fail(format!("the {} is given out {} times", ["uplink", "downlink"][way], sum[way])),
        None => Ok(()),
    }
}

fn check_rejections(
    physics: &Physics<'_>,
    requests: &Requests,
    problem: &Problem,
    claim: &Claim,
    in_batch: &[bool],
) -> std::result::Result<(), Failure> {
    let fail = |detail: String| Err(Failure::new("rejected", detail));
    let left_out = (0..requests.len() as u32).filter(|&row| !in_batch[row as usize]);
    if !claim.rejected.iter().map(|r| r.0).eq(left_out) {
        return fail("they are not the requests that are not scheduled, in input order, each once".to_string());
    }
    let mut servable = problem.instance.columns().request.iter().peekable();
    for &(row, reason) in &claim.rejected {
        while servable.next_if(|&&r| r < row).is_some() {}
        let alone = servable.next_if(|&&r| r == row).is_some();
        let request = &requests.rows()[row as usize];
        let holds = if reason == Reason::CrowdedOut { alone } else { !alone && physics.reason_holds(request, reason) };
        if !holds {
            return fail(format!("{} is not rejected for {reason}", requests.id(row as usize)));
        }
    }
    Ok(())
}
