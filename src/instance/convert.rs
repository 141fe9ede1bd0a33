//! From physics to integers. Floats end here.
//!
//! Costs round up and budgets down, so a batch that the integers accept violates no real-valued constraint. The price
//! is at most one unit per request, after a relative margin of about 10⁻¹³ for the errors of the floats; the units are
//! as fine as 64-bit sums allow:
//!
//! - **bands** in units of 2⁻ᵏ, k ≤ 52 (so that a share is exact in a float), with Σρ·2ᵏ ≤ 2⁶¹ over all servable
//!   requests;
//! - **compute** in units of 2^shift FLOP with ΣFLOP/2^shift ≤ 2⁶¹; shift is 0 up to tens of thousands of requests;
//! - **KV tokens** as they are: at most 2·10⁷ each, below 2⁵⁵ for 2³⁰ requests.
//!
//! Margins and rounding up add less than 2⁶¹·10⁻¹² and one unit a request, below 2³⁰, and the sum of the three is below
//! 2⁶²: the invariant of [`Instance`].

use super::reason::{Reason, Rejection};
use super::{Capacity, Columns, Instance, Lengths, MAX_SUM};
use crate::cost::{Link, Transformer, watts};
use crate::error::{Place, Result};
use crate::scenario::{Padding, Scenario};
use crate::workload::{Request, Requests, arrival_order};

/// The finest unit of a band is 2⁻⁵².
const MAX_BAND_BITS: u32 = 52;
/// Target for column sums before rounding, as a power of two.
const SUM_BITS: u32 = 61;
/// A share or a budget computed in floats is within this relative distance of the real number.
///
/// The largest error is that of a power in watts, 10^((dBm − 30)/10): rounding the exponent, at most 33 in size, errs
/// by up to 66·2⁻⁵³, which the power magnifies by ln 10 to 76 ε. A share takes two of them (signal and noise), since
/// ln(1 + x) errs relatively by no more than x does, and about ten further steps of at most 1 ε each: below 170 ε in
/// all.
const FLOAT_MARGIN: f64 = 512.0 * f64::EPSILON;

/// The units of an instance's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units {
    /// A whole band is 2^band_bits units.
    pub band_bits: u32,
    /// A unit of compute is 2^flop_shift FLOP.
    pub flop_shift: u32,
}

/// P1 for one epoch: the integer instance and what was left out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The requests that could be served alone.
    pub instance: Instance,
    /// The requests that could not, in input order.
    pub rejections: Vec<Rejection>,
    /// The units of the instance.
    pub units: Units,
}

/// What the conversion knows of a request before units are chosen.
pub(super) struct Physical {
    request: u32,
    uplink: f64,
    downlink: f64,
    pub(super) kv_tokens: u64,
    pub(super) flops: u128,
    pub(super) budget: u128,
}

impl Problem {
    /// Whether the weights fit in the memory: [`Problem::new`] refuses a scenario where they do not.
    pub fn weights_fit(scenario: &Scenario) -> bool {
        left_beside_weights(scenario, &Transformer::new(&scenario.model)).is_some()
    }

    /// Converts requests to integers (section 2 of the design; (1a)–(1e) of the paper).
    ///
    /// # Errors
    /// A scenario or request out of the documented ranges, a scenario of several models, or a model whose weights alone
    /// exceed the memory.
    pub fn new(scenario: &Scenario, requests: &Requests) -> Result<Problem> {
        scenario.check()?;
        scenario.check_one_model()?;
        Problem::of_rows(scenario, requests.rows())
    }

    /// The same for rows and a scenario that are known to be in range.
    pub(super) fn of_rows(scenario: &Scenario, rows: &[Request]) -> Result<Problem> {
        let converter = Converter::new(scenario)?;
        let physical = (0u32..).zip(rows).map(|(row, request)| converter.physical(row, request));
        let costs = Costs::new(physical);
        let prompt_of = |p: &Physical| rows[p.request as usize].prompt_tokens;
        let output_of = |p: &Physical| rows[p.request as usize].output_tokens;
        let t = converter.transformer;
        if scenario.padding != Padding::Longest {
            return costs.into_problem(rows, converter.kv_capacity, |p| p.flops, |_, _| None);
        }
        let longest = costs.servable.iter().map(prompt_of).max().unwrap_or(1);
        let lengths = |servable: &[Physical], units: Units| {
            Some(Lengths {
                prompt: servable.iter().map(prompt_of).collect(),
                output: servable.iter().map(output_of).collect(),
                transformer: t,
                flop_shift: units.flop_shift,
            })
        };
        costs.into_problem(rows, converter.kv_capacity, |p| t.flops(longest, output_of(p)), lengths)
    }
}

impl Problem {
    /// The same where no batch may compute for more than `flops`, in the FLOP that budgets are in.
    pub(super) fn limited(mut self, flops: u128) -> Problem {
        let dropped = self.instance.limit_budgets(budget_units(flops, self.units.flop_shift));
        let late = |request| Rejection::new(request, std::iter::once(Reason::Deadline));
        self.rejections.extend(dropped.into_iter().map(late));
        self.rejections.sort_unstable_by_key(|r| r.request);
        self
    }
}

/// Requests on their way to integers.
pub(super) struct Costs {
    servable: Vec<Physical>,
    rejections: Vec<Rejection>,
}

impl Costs {
    pub(super) fn new(all: impl Iterator<Item = std::result::Result<Physical, Rejection>>) -> Costs {
        let mut costs = Costs { servable: Vec::with_capacity(all.size_hint().0), rejections: Vec::new() };
        for one in all {
            match one {
                Ok(physical) => costs.servable.push(physical),
                Err(rejection) => costs.rejections.push(rejection),
            }
        }
        costs
    }

    /// Chooses units and rounds. `worst_flops` is what a request costs at most, in any batch.
    pub(super) fn into_problem(
        self,
        rows: &[Request],
        kv_capacity: u64,
        worst_flops: impl Fn(&Physical) -> u128,
        lengths: impl Fn(&[Physical], Units) -> Option<Lengths>,
    ) -> Result<Problem> {
        let Costs { mut servable, mut rejections } = self;
        let units = choose_units(&servable, worst_flops);
        // In coarse units a request that needs just its whole budget may need one unit more than it has.
        let late = |p: &Physical| compute_units(p.flops, units.flop_shift) > budget_units(p.budget, units.flop_shift);
        servable.retain(|p| {
            let late = late(p);
            if late {
                rejections.push(Rejection::new(p.request, std::iter::once(Reason::Deadline)));
            }
            !late
        });
        rejections.sort_unstable_by_key(|r| r.request);
        let band = |share: f64| band_units(share, units.band_bits);
        let mut place_in_queue = vec![0; rows.len()];
        (0u32..).zip(arrival_order(rows)).for_each(|(place, row)| place_in_queue[row as usize] = place);
        let columns = Columns {
            request: servable.iter().map(|p| p.request).collect(),
            uplink: servable.iter().map(|p| band(p.uplink)).collect(),
            downlink: servable.iter().map(|p| band(p.downlink)).collect(),
            kv_tokens: servable.iter().map(|p| p.kv_tokens).collect(),
            compute: servable.iter().map(|p| compute_units(p.flops, units.flop_shift)).collect(),
            budget: servable.iter().map(|p| budget_units(p.budget, units.flop_shift)).collect(),
            arrival: servable.iter().map(|p| place_in_queue[p.request as usize]).collect(),
        };
        let whole = 1u64 << units.band_bits;
        let capacity = Capacity { uplink: whole, downlink: whole, kv_tokens: kv_capacity };
        let mut instance = Instance::new(columns, capacity)?;
        instance.lengths = lengths(&servable, units);
        Ok(Problem { instance, rejections, units })
    }
}

pub(super) struct Converter<'s> {
    scenario: &'s Scenario,
    pub(super) transformer: Transformer,
    uplink: Link,
    downlink: Link,
    downlink_power_w: f64,
    pub(super) kv_capacity: u64,
}

impl<'s> Converter<'s> {
    pub(super) fn new(scenario: &'s Scenario) -> Result<Self> {
        let transformer = Transformer::new(&scenario.model);
        let Some(left) = left_beside_weights(scenario, &transformer) else {
            let needed = transformer.weight_bytes() as f64 * scenario.quantization.memory_factor;
            let problem = format!(
                "the weights of {} at {} take {needed:.4e} bytes, more than the memory of {:.4e}",
                scenario.model.name, scenario.quantization.name, scenario.node.memory_bytes
            );
            let remedy = "give more memory, a smaller model or a lower precision";
            return Err(Place::file("scenario").field("node.memory_bytes").error(problem, remedy));
        };
        Ok(Converter {
            scenario,
            transformer,
            uplink: Link::uplink(scenario),
            downlink: Link::downlink(scenario),
            downlink_power_w: watts(scenario.radio.downlink_power_dbm),
            kv_capacity: u64::try_from(left / transformer.kv_bytes_per_token()).unwrap_or(u64::MAX).min(MAX_SUM),
        })
    }

    /// The prompt length that a request alone is charged for.
    pub(super) fn charged_prompt(&self, request: &Request) -> u32 {
        match self.scenario.padding {
            Padding::Fixed(tokens) => tokens,
            Padding::Longest | Padding::None => request.prompt_tokens,
        }
    }

    /// The costs of a request, or all the reasons why it cannot be served even alone.
    pub(super) fn physical(&self, row: u32, request: &Request) -> std::result::Result<Physical, Rejection> {
        let (s, gain) = (self.scenario, request.channel_power_gain);
        let prompt = self.charged_prompt(request);
        let uplink = self.uplink.share(request.prompt_tokens, watts(request.uplink_power_dbm), gain);
        let downlink = self.downlink.share(request.output_tokens, self.downlink_power_w, gain);
        let kv_tokens = u64::from(prompt) + u64::from(request.output_tokens);
        let flops = self.transformer.flops(prompt, request.output_tokens);
        let budget = budget_flops(s, request);
        let reasons = [
            (Reason::Accuracy, s.quantization.perplexity_increase > request.max_perplexity_increase),
            (Reason::PromptTooLong, matches!(s.padding, Padding::Fixed(tokens) if request.prompt_tokens > tokens)),
            (Reason::Uplink, with_margin(uplink) > 1.0),
            (Reason::Downlink, with_margin(downlink) > 1.0),
            (Reason::Memory, kv_tokens > self.kv_capacity),
            (Reason::Deadline, flops > budget),
        ];
        if reasons.iter().any(|&(_, holds)| holds) {
            let reasons = reasons.iter().filter(|(_, holds)| *holds).map(|&(reason, _)| reason);
            return Err(Rejection::new(row, reasons));
        }
        Ok(Physical { request: row, uplink, downlink, kv_tokens, flops, budget })
    }
}

/// ⌊M/α⌋ − m1: bytes at 16 bits that the weights leave. ⌊(M/α − m1)/b⌋ = ⌊(⌊M/α⌋ − m1)/b⌋ since m1 and b are whole.
fn left_beside_weights(scenario: &Scenario, transformer: &Transformer) -> Option<u128> {
    let usable = quotient_down(scenario.node.memory_bytes, scenario.quantization.memory_factor);
    (usable as u128).checked_sub(transformer.weight_bytes())
}

/// M/α, never above the real quotient, as a whole number of bytes.
fn quotient_down(memory: f64, factor: f64) -> f64 {
    let quotient = memory / factor;
    // The fused product is exact in sign: positive where the division rounded up.
    let rounded_up = libm::fma(quotient, factor, -memory) > 0.0;
    if rounded_up { quotient.next_down() } else { quotient }.floor()
}

/// A cost that is not below the real one.
pub(super) fn with_margin(cost: f64) -> f64 {
    cost * (1.0 + FLOAT_MARGIN)
}

/// e_i in FLOP: (τ − t_w − T_U − T_D)·C/β, never above the real number.
pub(super) fn budget_flops(s: &Scenario, request: &Request) -> u128 {
    let (tu, td) = (s.epoch.uplink_slot_s, s.epoch.downlink_slot_s);
    let slack = request.deadline_s - request.waited_s - tu - td;
    // Each of the three subtractions errs by at most half a unit in the last place of the largest term; and so do a
    // deadline and a wait that were whole nanoseconds before they were seconds.
    let error = 4.0 * f64::EPSILON * request.deadline_s.max(request.waited_s + tu + td);
    seconds_of_compute(s, slack - error)
}

/// FLOP that fit in so many seconds, never above the real number.
pub(super) fn seconds_of_compute(s: &Scenario, seconds: f64) -> u128 {
    let flops = seconds * (s.node.compute_flops / s.quantization.time_factor) * (1.0 - FLOAT_MARGIN);
    // Negative becomes 0 and too large the largest: `as` saturates.
    flops as u128
}

/// The finest units whose sums fit.
fn choose_units(servable: &[Physical], flops: impl Fn(&Physical) -> u128) -> Units {
    let sum = |column: fn(&Physical) -> f64| servable.iter().map(column).sum::<f64>();
    let shares = sum(|p| p.uplink).max(sum(|p| p.downlink)).max(1.0);
    // Each share is at most 1, so the sum is at most 2³⁰ and the loop ends at 31 bits at the latest.
    let band_bits = (1..=MAX_BAND_BITS).rev().find(|&k| shares * (1u64 << k) as f64 <= (1u64 << SUM_BITS) as f64);
    // Below 2¹²⁶ by the limits on every factor: see [`Transformer`].
    let total: u128 = servable.iter().map(flops).sum();
    let bits = u128::BITS - total.leading_zeros();
    Units { band_bits: band_bits.unwrap_or(1), flop_shift: bits.saturating_sub(SUM_BITS) }
}

fn band_units(share: f64, band_bits: u32) -> u64 {
    // A servable share is at most 1 with its margin, so this is at most 2^band_bits.
    (with_margin(share) * (1u64 << band_bits) as f64).ceil() as u64
}

pub(super) fn compute_units(flops: u128, shift: u32) -> u64 {
    // By the choice of the shift the sum of all rows fits in 2⁶², and so does each.
    u64::try_from((flops >> shift) + u128::from(flops & ((1 << shift) - 1) != 0)).unwrap_or(u64::MAX)
}

fn budget_units(flops: u128, shift: u32) -> u64 {
    u64::try_from(flops >> shift).unwrap_or(u64::MAX).min(MAX_SUM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(scenario: &Scenario, rows: &[Request]) -> Problem {
        let mut requests = Requests::new();
        rows.iter().enumerate().for_each(|(i, r)| requests.push(&i.to_string(), *r).unwrap());
        Problem::new(scenario, &requests).unwrap()
    }

    #[test]
    fn the_kv_capacity_is_exact() {
        let mut s = Scenario::paper();
        let t = Transformer::new(&s.model);
        let per_token = t.kv_bytes_per_token();
        for alpha in [1.0, 0.5, 0.25, 0.3, 0.7] {
            s.quantization.memory_factor = alpha;
            for tokens in [0u128, 1, 1000, 123_457] {
                // Half a token to spare: whatever the rounding of M, the floor is `tokens`.
                s.node.memory_bytes = alpha * (t.weight_bytes() + tokens * per_token + per_token / 2) as f64;
                assert_eq!(Converter::new(&s).unwrap().kv_capacity, tokens as u64);
            }
        }
        // α a power of two: exact at the edge.
        s.quantization.memory_factor = 0.5;
        let full = (t.weight_bytes() + 7 * per_token) as f64;
        s.node.memory_bytes = 0.5 * full;
        assert_eq!(Converter::new(&s).unwrap().kv_capacity, 7);
        s.node.memory_bytes = 0.5 * full - 0.5;
        assert_eq!(Converter::new(&s).unwrap().kv_capacity, 6);
    }

    #[test]
    fn a_quotient_is_never_rounded_up() {
        assert_eq!(quotient_down(10.0, 0.1), 99.0); // the float 0.1 is above 1/10, so the real quotient is below 100
        assert_eq!(quotient_down(10.0, 0.5), 20.0);
    }

    #[test]
    fn weights_beyond_the_memory_are_an_error() {
        let mut s = Scenario::paper();
        assert!(Problem::weights_fit(&s));
        s.node.memory_bytes = 1e9;
        assert!(!Problem::weights_fit(&s));
        let message = Problem::new(&s, &Requests::new()).unwrap_err().to_string();
        assert!(message.starts_with("scenario, node.memory_bytes: the weights of bloom-3b at w8a16 take"), "{message}");
    }

    #[test]
    fn zero_slack_is_no_budget() {
        let s = Scenario::paper();
        let request = Request { deadline_s: 0.5, ..Request::new(1, 1) };
        assert_eq!(budget_flops(&s, &request), 0);
        assert_eq!(budget_flops(&s, &Request { waited_s: 1e9, ..request }), 0);
        let p = problem(&s, &[request]);
        assert!(p.instance.is_empty());
        assert_eq!(p.rejections[0].reasons().collect::<Vec<_>>(), [Reason::Deadline]);
    }

    #[test]
    fn budgets_never_exceed_the_real_number() {
        // 2 − 0 − 0.25 − 0.25 = 1.5 s at 26.6e12 FLOP/s.
        let budget = budget_flops(&Scenario::paper(), &Request::new(1, 1));
        assert!(budget < 39_900_000_000_000 && budget > 39_899_999_999_000, "{budget}");
    }

    #[test]
    fn extreme_requests_keep_the_invariant() {
        let mut s = Scenario::paper();
        s.node.compute_flops = crate::limits::COMPUTE.max;
        s.node.memory_bytes = crate::limits::MEMORY.max;
        s.radio.uplink_bandwidth_hz = 1e15;
        s.radio.downlink_bandwidth_hz = 1e15;
        for padding in [Padding::None, Padding::Longest, Padding::Fixed(10_000_000)] {
            s.padding = padding;
            let huge = Request { deadline_s: 1e9, ..Request::new(10_000_000, 10_000_000) };
            let p = problem(&s, &[huge, Request { deadline_s: 1e9, ..Request::new(1, 1) }, huge]);
            assert_eq!(p.instance.len(), 3, "{padding:?} {:?}", p.rejections);
            let all = p.instance.usage(&[0, 1, 2]);
            assert!(all.compute <= MAX_SUM && all.compute > 0 && p.instance.is_feasible(&[0, 1, 2]));
        }
    }

    #[test]
    fn compute_rounds_up_and_budgets_down() {
        assert_eq!((compute_units(8, 3), compute_units(9, 3), compute_units(0, 3), compute_units(5, 0)), (1, 2, 0, 5));
        assert_eq!((budget_units(15, 3), budget_units(u128::MAX, 3)), (1, MAX_SUM));
    }
}
