//! The outcome of an epoch for people and programs: usage, bandwidth, reasons, proof.
//!
//! In: scenario, requests, [`Problem`] and [`Solution`]. Out: [`Outcome`], which is the JSON contract field by field.
//! Its numbers are physical ones again, computed from the cost model and not from the rounded integers.

use crate::certificate::{Certificate, Solution, Status, Work};
use crate::cost::{Link, Transformer, watts};
use crate::device::Ran;
use crate::error::Result;
use crate::instance::{Change, Instance, Problem, Reason, Running, changes};
use crate::rank::RESOURCES;
use crate::scenario::{Padding, Scenario};
use crate::workload::{Request, Requests};

/// The constraints of P1 that a batch shares, in the order of the resources everywhere.
pub const CONSTRAINTS: [&str; RESOURCES] = ["uplink", "downlink", "memory", "deadline"];

/// Everything there is to say about one epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Optimal, or feasible with a bound.
    pub status: Status,
    /// The number of requests offered, I.
    pub requests: usize,
    /// Rows of the requests scheduled, in input order.
    pub scheduled: Vec<u32>,
    /// What the batch uses of each limit.
    pub usage: Fractions,
    /// Time left to the tightest deadline of the batch when the epoch begins, min (τ_i − t_w,i), seconds; none for the
    /// empty batch.
    pub tightest_deadline_s: Option<f64>,
    /// The bands, shared out among the scheduled requests.
    pub allocations: Vec<Allocation>,
    /// Everything not scheduled, in input order.
    pub rejected: Vec<Rejected>,
    /// For each of [`CONSTRAINTS`], how many crowded-out requests it keeps from joining the batch.
    pub blocks: [usize; RESOURCES],
    /// Name of the precision.
    pub quantization: String,
    /// What the preset filled in that the paper leaves open.
    pub assumptions: Vec<String>,
    /// Name of the solver.
    pub solver: String,
    /// Where it ran.
    pub ran: Ran,
    /// Wall time of the solver, seconds.
    pub seconds: f64,
    /// Counters of the search.
    pub work: Work,
    /// The proof.
    pub certificate: Certificate,
}

/// Fractions of the limits that a batch uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Fractions {
    /// (1a): Σ ρ^U.
    pub uplink: f64,
    /// (1b): Σ ρ^D.
    pub downlink: f64,
    /// (1c): weights and KV cache over M.
    pub memory: f64,
    /// (1d): time from the start of the epoch to the last answer, over the time left to the tightest deadline.
    pub latency: f64,
}

impl Fractions {
    /// In the order of [`CONSTRAINTS`].
    pub fn as_array(&self) -> [f64; RESOURCES] {
        [self.uplink, self.downlink, self.memory, self.latency]
    }
}

/// The fractions of the bands that one request gets: at least its ρ, and together at most 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allocation {
    /// Row of the request.
    pub request: u32,
    /// Fraction of the uplink band.
    pub uplink: f64,
    /// Fraction of the downlink band.
    pub downlink: f64,
}

/// A request that is not in the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    /// Row of the request.
    pub request: u32,
    /// The first reason.
    pub reason: Reason,
    /// Where it cannot be served even alone: the smallest changes that together would make it servable.
    pub changes: Vec<Change>,
    /// Where it is crowded out: which of [`CONSTRAINTS`] keep it from joining this batch.
    pub blocked_by: [bool; RESOURCES],
}

/// How a solution was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// Name of the solver.
    pub solver: String,
    /// Wall time, seconds.
    pub seconds: f64,
}

impl Outcome {
    /// Explains `solution` of `problem`, which was made from `scenario` and `requests`.
    ///
    /// # Errors
    /// Those of [`Problem::new`] for the scenario.
    pub fn new(
        scenario: &Scenario,
        requests: &Requests,
        problem: &Problem,
        solution: Solution,
        made: Provenance,
    ) -> Result<Outcome> {
        let instance = &problem.instance;
        let scheduled: Vec<u32> = solution.rows.iter().map(|&row| instance.columns().request[row as usize]).collect();
        let mut rejected = Vec::new();
        for rejection in &problem.rejections {
            let request = &requests.rows()[rejection.request as usize];
            let reason = rejection.reasons().next().unwrap_or(Reason::CrowdedOut);
            let changes = changes(scenario, request, rejection)?;
            rejected.push(Rejected { request: rejection.request, reason, changes, blocked_by: [false; RESOURCES] });
        }
        let mut blocks = [0; RESOURCES];
        for (row, blocked) in crowded_out(instance, &solution.rows) {
            (0..RESOURCES).for_each(|r| blocks[r] += usize::from(blocked[r]));
            rejected.push(Rejected {
                request: instance.columns().request[row as usize],
                reason: Reason::CrowdedOut,
                changes: Vec::new(),
                blocked_by: blocked,
            });
        }
        rejected.sort_by_key(|r| r.request);
        let (usage, tightest_deadline_s) = physical_usage(scenario, requests, &scheduled);
        Ok(Outcome {
            status: solution.status(),
            requests: requests.len(),
            usage,
            tightest_deadline_s,
            allocations: allocate(instance, &solution.rows, problem.units.band_bits),
            rejected,
            blocks,
            quantization: scenario.quantization.name.clone(),
            assumptions: scenario.assumptions.iter().map(|a| a.0.clone()).collect(),
            solver: made.solver,
            ran: solution.ran,
            seconds: made.seconds,
            work: solution.work,
            certificate: solution.certificate,
            scheduled,
        })
    }

    /// The names of the constraints that bind: those that keep at least one crowded-out request from joining the batch.
    pub fn binding(&self) -> Vec<&'static str> {
        names(self.blocks.map(|n| n > 0))
    }

    /// How many requests no batch could serve.
    pub fn unservable(&self) -> usize {
        self.rejected.iter().filter(|r| r.reason != Reason::CrowdedOut).count()
    }
}

/// The size that no batch exceeds, by the status of one of `size` requests.
pub(crate) fn bound_of(size: usize, status: Status) -> u64 {
    match status {
        Status::Optimal => size as u64,
        Status::Feasible { bound } => bound,
    }
}

/// The names of the constraints that are set.
pub fn names(constraints: [bool; RESOURCES]) -> Vec<&'static str> {
    (0..RESOURCES).filter(|&r| constraints[r]).map(|r| CONSTRAINTS[r]).collect()
}

/// Each row outside the batch, with the constraints that would break if it joined.
pub(crate) fn crowded_out(instance: &Instance, rows: &[u32]) -> Vec<(u32, [bool; RESOURCES])> {
    let batch = rows.iter().fold(Running::new(instance), |batch, &row| batch.with(row));
    let mut members = rows.iter().peekable();
    let mut out = Vec::with_capacity(instance.len() - rows.len());
    for row in 0..instance.len() as u32 {
        if members.next_if(|&&member| member == row).is_none() {
            out.push((row, batch.with(row).broken()));
        }
    }
    out
}

/// Shares each band out in proportion to what the requests need.
///
/// In integers: request i gets ⌊u_i·2ᵏ/Σu⌋ of 2ᵏ. Since Σu ≤ 2ᵏ that is at least u_i ≥ ρ_i·2ᵏ, and the sum is at most
/// 2ᵏ; with k ≤ 52 the quotients are exact floats.
pub(crate) fn allocate(instance: &Instance, rows: &[u32], band_bits: u32) -> Vec<Allocation> {
    let total = instance.usage(rows);
    let whole = 1u128 << band_bits;
    let fraction = |cost: u64, total: u64| {
        let units = (u128::from(cost) * whole).checked_div(u128::from(total)).unwrap_or(0);
        units as f64 / whole as f64
    };
    let allocation = |&row: &u32| {
        let cost = instance.row(row as usize);
        Allocation {
            request: instance.columns().request[row as usize],
            uplink: fraction(cost.uplink, total.uplink),
            downlink: fraction(cost.downlink, total.downlink),
        }
    };
    rows.iter().map(allocation).collect()
}

/// The left-hand sides of (1a)–(1d) over their limits, and the time left to the tightest deadline.
fn physical_usage(scenario: &Scenario, requests: &Requests, scheduled: &[u32]) -> (Fractions, Option<f64>) {
    let batch = || scheduled.iter().map(|&row| &requests.rows()[row as usize]);
    let (up, down) = (Link::uplink(scenario), Link::downlink(scenario));
    let down_power = watts(scenario.radio.downlink_power_dbm);
    let t = Transformer::new(&scenario.model);
    let longest = batch().map(|r| r.prompt_tokens).max().unwrap_or(1);
    let padded = |prompt: u32| match scenario.padding {
        Padding::Fixed(tokens) => tokens,
        Padding::Longest => longest,
        Padding::None => prompt,
    };
    let kv_tokens: u128 = batch().map(|r| u128::from(padded(r.prompt_tokens)) + u128::from(r.output_tokens)).sum();
    let flops: u128 = batch().map(|r| t.flops(padded(r.prompt_tokens), r.output_tokens)).sum();
    let bytes = (t.weight_bytes() + kv_tokens * t.kv_bytes_per_token()) as f64;
    let tightest = batch().map(|r| r.deadline_s - r.waited_s).min_by(f64::total_cmp);
    let slots = scenario.epoch.uplink_slot_s + scenario.epoch.downlink_slot_s;
    let latency = slots + scenario.quantization.time_factor * flops as f64 / scenario.node.compute_flops;
    // From 0, since the sum of no floats is −0.
    let total = |share: &dyn Fn(&Request) -> f64| batch().map(share).fold(0.0, |sum, share| sum + share);
    let fractions = Fractions {
        uplink: total(&|r| up.share(r.prompt_tokens, watts(r.uplink_power_dbm), r.channel_power_gain)),
        downlink: total(&|r| down.share(r.output_tokens, down_power, r.channel_power_gain)),
        memory: scenario.quantization.memory_factor * bytes / scenario.node.memory_bytes,
        latency: tightest.map_or(0.0, |left| latency / left),
    };
    (fractions, tightest)
}
