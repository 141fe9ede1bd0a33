//! (1a)–(1e), transcribed from the paper for the second time: once in [`crate::cost`] for the solvers, once here.
//!
//! Everything is in floats with the system's logarithm, straight from the formulas, so that a slip in the conversion to
//! integers shows.

use super::{Failure, TOLERANCE};
use crate::instance::{MAX_SUM, Problem, Reason};
use crate::rank::RESOURCES;
use crate::scenario::{Padding, Scenario};
use crate::workload::{Request, Requests};

/// The formulas for one scenario.
pub struct Physics<'s> {
    s: &'s Scenario,
}

impl<'s> Physics<'s> {
    /// The formulas for `scenario`.
    pub fn new(scenario: &'s Scenario) -> Self {
        Physics { s: scenario }
    }

    /// ρ^U and ρ^D of one request.
    pub fn shares(&self, r: &Request) -> [f64; 2] {
        let (radio, epoch) = (&self.s.radio, &self.s.epoch);
        let dbm = |p: f64| 10f64.powf(p / 10.0) * 1e-3;
        let share = |tokens: u32, slot: f64, band: f64, power: f64| {
            let noise = dbm(radio.noise_density_dbm_per_hz) * band;
            let rate = band * (dbm(power) * r.channel_power_gain / noise).ln_1p() / std::f64::consts::LN_2;
            f64::from(tokens) * f64::from(radio.bits_per_token) / (slot * rate)
        };
        [
            share(r.prompt_tokens, epoch.uplink_slot_s, radio.uplink_bandwidth_hz, r.uplink_power_dbm),
            share(r.output_tokens, epoch.downlink_slot_s, radio.downlink_bandwidth_hz, radio.downlink_power_dbm),
        ]
    }

    /// s' of a request when the longest prompt of its batch is `longest`.
    fn padded(&self, r: &Request, longest: u32) -> f64 {
        f64::from(match self.s.padding {
            Padding::Fixed(tokens) => tokens,
            Padding::Longest => longest,
            Padding::None => r.prompt_tokens,
        })
    }

    /// m1: the weights of all layers in bytes, 2 bytes each.
    fn weights(&self) -> f64 {
        let m = &self.s.model;
        let (d, f, head) = (f64::from(m.hidden_size), f64::from(m.ffn_size), f64::from(m.head_dim));
        let attention = d * head * f64::from(m.heads) * 2.0 + d * head * f64::from(m.kv_heads) * 2.0;
        let feed_forward = d * f * if m.gated_ffn { 3.0 } else { 2.0 };
        f64::from(m.layers) * 2.0 * (attention + feed_forward)
    }

    /// Bytes of keys and values for one token: two tensors of 2 bytes in each layer.
    fn kv_bytes(&self) -> f64 {
        let m = &self.s.model;
        2.0 * 2.0 * f64::from(m.layers) * f64::from(m.kv_heads) * f64::from(m.head_dim)
    }

    /// FLOP of one request padded to `s`: t^I·C + t^A·C.
    fn flops(&self, s: f64, n: f64) -> f64 {
        let m = &self.s.model;
        let (d, f) = (f64::from(m.hidden_size), f64::from(m.ffn_size));
        let (q, k) = (f64::from(m.heads) * f64::from(m.head_dim), f64::from(m.kv_heads) * f64::from(m.head_dim));
        let matrices = if m.gated_ffn { 6.0 } else { 4.0 };
        let qkv = 2.0 * d * q + 4.0 * d * k;
        let out = 2.0 * q * d;
        let prefill = s * qkv + 4.0 * s * s * q + s * out + s * matrices * d * f;
        let token = qkv + 4.0 * (s + n / 2.0) * q + out + matrices * d * f;
        f64::from(m.layers) * (prefill + (n - 1.0) * token)
    }

    /// (1e), 1 − (1a)…: the left-hand sides of (1a)–(1d) over their limits; latency is 0 for the empty batch.
    pub fn usage(&self, requests: &Requests, batch: &[u32]) -> [f64; RESOURCES] {
        let rows = || batch.iter().map(|&row| &requests.rows()[row as usize]);
        let longest = rows().map(|r| r.prompt_tokens).max().unwrap_or(1);
        let (mut up, mut down, mut tokens, mut flops) = (0.0, 0.0, 0.0, 0.0);
        let mut tightest = f64::INFINITY;
        for r in rows() {
            let [u, d] = self.shares(r);
            let (s, n) = (self.padded(r, longest), f64::from(r.output_tokens));
            up += u;
            down += d;
            tokens += s + n;
            flops += self.flops(s, n);
            tightest = tightest.min(r.deadline_s - r.waited_s);
        }
        let q = &self.s.quantization;
        let memory = q.memory_factor * (self.weights() + self.kv_bytes() * tokens) / self.s.node.memory_bytes;
        let compute_s = q.time_factor * flops / self.s.node.compute_flops;
        let latency = (self.s.epoch.uplink_slot_s + compute_s + self.s.epoch.downlink_slot_s) / tightest;
        [up, down, memory, latency]
    }

    /// (1a)–(1e) for a batch.
    pub(super) fn check_batch(&self, requests: &Requests, batch: &[u32]) -> Result<(), Failure> {
        for &row in batch {
            let r = &requests.rows()[row as usize];
            if r.max_perplexity_increase < self.s.quantization.perplexity_increase {
                let detail =
                    format!("{} accepts a ΔPPL of {} at most", requests.id(row as usize), r.max_perplexity_increase);
                return Err(Failure::new("accuracy (1e)", detail));
            }
            if matches!(self.s.padding, Padding::Fixed(tokens) if r.prompt_tokens > tokens) {
                let detail = format!("{} is longer than the padding", requests.id(row as usize));
                return Err(Failure::new("padding", detail));
            }
        }
        const CHECKS: [&str; RESOURCES] = ["uplink (1a)", "downlink (1b)", "memory (1c)", "latency (1d)"];
        let usage = self.usage(requests, batch);
        for (check, used) in CHECKS.into_iter().zip(usage) {
            // A deadline in the past makes the latency negative, which is no success.
            if !(0.0..=1.0 + TOLERANCE).contains(&used) {
                return Err(Failure::new(check, format!("the batch takes {used} of the limit")));
            }
        }
        Ok(())
    }

    /// Whether a request alone fails for `reason`.
    pub(super) fn reason_holds(&self, r: &Request, reason: Reason) -> bool {
        let almost = 1.0 - TOLERANCE;
        let [up, down] = self.shares(r);
        let (s, n) = (self.padded(r, r.prompt_tokens), f64::from(r.output_tokens));
        let q = &self.s.quantization;
        match reason {
            Reason::Accuracy => q.perplexity_increase > r.max_perplexity_increase,
            Reason::PromptTooLong => matches!(self.s.padding, Padding::Fixed(tokens) if r.prompt_tokens > tokens),
            Reason::Uplink => up > almost,
            Reason::Downlink => down > almost,
            Reason::Memory => {
                q.memory_factor * (self.weights() + self.kv_bytes() * (s + n)) > self.s.node.memory_bytes * almost
            }
            Reason::Deadline => self.slack_flops(r) < self.flops(s, n) * (1.0 + TOLERANCE) + self.slack_error(r),
            Reason::CrowdedOut => false,
        }
    }

    /// e_i, FLOP.
    fn slack_flops(&self, r: &Request) -> f64 {
        let slack = r.deadline_s - r.waited_s - self.s.epoch.uplink_slot_s - self.s.epoch.downlink_slot_s;
        slack * self.s.node.compute_flops / self.s.quantization.time_factor
    }

    /// How far rounding of the times may move e_i, FLOP.
    fn slack_error(&self, r: &Request) -> f64 {
        let times = r.deadline_s + r.waited_s + self.s.epoch.uplink_slot_s + self.s.epoch.downlink_slot_s;
        1e-12 * times * self.s.node.compute_flops / self.s.quantization.time_factor
    }

    /// The integers behind one section of a certificate: who takes part in batches whose longest prompt has `from` to
    /// `to` tokens, and what each is charged there.
    pub(super) fn check_padded(
        &self,
        requests: &Requests,
        problem: &Problem,
        from: u32,
        to: u32,
    ) -> Result<(), Failure> {
        const FLOAT: f64 = 1e-12;
        let flop_unit = libm::ldexp(1.0, problem.units.flop_shift as i32);
        let (all, padded) = (problem.instance.columns(), problem.instance.padded(from, to));
        let part = padded.columns();
        let mut taken = 0;
        for (row, &request) in all.request.iter().enumerate() {
            let r = &requests.rows()[request as usize];
            let (s, n) = (f64::from(from.max(r.prompt_tokens)), f64::from(r.output_tokens));
            let flops = self.flops(s, n) / flop_unit;
            let charged = (part.request.get(taken) == Some(&request)).then_some(taken);
            let holds = match charged {
                Some(at) => {
                    taken += 1;
                    let compute = part.compute[at] as f64;
                    r.prompt_tokens <= to
                        && part.kv_tokens[at] as f64 == s + n
                        && compute >= flops * (1.0 - FLOAT)
                        && compute <= flops * (1.0 + FLOAT) + 1.0
                        && (part.uplink[at], part.downlink[at]) == (all.uplink[row], all.downlink[row])
                        && part.budget[at] == all.budget[row]
                }
                // Left out: too long, or too much for the cache or its deadline when padded.
                None => {
                    r.prompt_tokens > to
                        || s + n > problem.instance.capacity().kv_tokens as f64
                        || flops * (1.0 + FLOAT) + 1.0 > all.budget[row] as f64
                }
            };
            if !holds {
                let id = requests.id(request as usize);
                return Err(Failure::new(
                    "integers",
                    format!("{id} is charged wrongly for prompts of {from} to {to} tokens"),
                ));
            }
        }
        if taken == part.request.len() {
            return Ok(());
        }
        Err(Failure::new("integers", format!("prompts of {from} to {to} tokens hold requests that are not there")))
    }

    /// Whether the integers of the instance are these formulas, rounded against the request by at most one unit; and
    /// whether each request that the instance lacks fails for the reasons given.
    pub(super) fn check_instance(&self, requests: &Requests, problem: &Problem) -> Result<(), Failure> {
        const FLOAT: f64 = 1e-12;
        let (c, capacity) = (problem.instance.columns(), problem.instance.capacity());
        let band = libm::ldexp(1.0, problem.units.band_bits as i32);
        let flop_unit = libm::ldexp(1.0, problem.units.flop_shift as i32);
        let fail = |what: &str, row: usize, integer: u64, real: f64| {
            let id = requests.id(c.request[row] as usize);
            Err(Failure::new("integers", format!("{what} of {id} is {integer} units where the formula gives {real}")))
        };
        let rounded_up = |integer: u64, real: f64| {
            let integer = integer as f64;
            integer >= real * (1.0 - FLOAT) && integer <= real * (1.0 + FLOAT) + 1.0
        };
        let free = (self.s.node.memory_bytes / self.s.quantization.memory_factor - self.weights()) / self.kv_bytes();
        let kv_error = FLOAT * self.s.node.memory_bytes / self.s.quantization.memory_factor / self.kv_bytes();
        let stated = capacity.kv_tokens as f64;
        let whole_band = capacity.uplink as f64 == band && capacity.downlink as f64 == band;
        if !whole_band || stated > free + kv_error || (stated < free - 1.0 - kv_error && capacity.kv_tokens < MAX_SUM) {
            let detail = format!("the capacities are {capacity:?} where {free} KV tokens fit");
            return Err(Failure::new("integers", detail));
        }
        for (row, &request) in c.request.iter().enumerate() {
            let r = &requests.rows()[request as usize];
            let [up, down] = self.shares(r);
            let (s, n) = (self.padded(r, r.prompt_tokens), f64::from(r.output_tokens));
            let flops = self.flops(s, n) / flop_unit;
            let slack = self.slack_flops(r) / flop_unit;
            let slack_error = self.slack_error(r) / flop_unit + FLOAT * slack.abs();
            let budget = c.budget[row] as f64;
            if !rounded_up(c.uplink[row], up * band) {
                return fail("the uplink", row, c.uplink[row], up * band);
            }
            if !rounded_up(c.downlink[row], down * band) {
                return fail("the downlink", row, c.downlink[row], down * band);
            }
            if c.kv_tokens[row] as f64 != s + n {
                return fail("the KV cache", row, c.kv_tokens[row], s + n);
            }
            if !rounded_up(c.compute[row], flops) {
                return fail("the compute", row, c.compute[row], flops);
            }
            if budget > slack + slack_error || (budget < slack - slack_error - 1.0 && c.budget[row] < MAX_SUM) {
                return fail("the budget", row, c.budget[row], slack);
            }
        }
        for rejection in &problem.rejections {
            let r = &requests.rows()[rejection.request as usize];
            if !rejection.reasons().all(|reason| self.reason_holds(r, reason)) {
                let detail =
                    format!("{} is left out of the instance without reason", requests.id(rejection.request as usize));
                return Err(Failure::new("integers", detail));
            }
        }
        if c.request.len() + problem.rejections.len() != requests.len() {
            return Err(Failure::new("integers", "requests are missing from the instance"));
        }
        Ok(())
    }
}
