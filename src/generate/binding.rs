//! Scales node and radio so that all four constraints bind at the optimum.
//!
//! The idea is to construct the linear relaxation's optimum first. Take the usable requests by descending slack. For a
//! prefix F_d, price every resource by the inverse of its mean cost, λ_r = 1/(θ·mean_r), and let the batch be the
//! fraction `tightness` of F_d with the lowest prices Σ_r λ_r a_r; θ is such that the price of the last one is 1. Set
//! each capacity to exactly what that batch uses: by complementary slackness it is the optimum for d, with all four
//! multipliers positive.
//!
//! Which d? The one that the deadline makes best: going from d to d + 1 gains the mean positive part of 1 − λ·a, and
//! loses λ_compute times the budget lost to the tighter deadline. The first takes over as d shrinks, the second as it
//! grows; d is where they balance.
//!
//! Capacities made to measure for one batch would make that batch the obvious answer. So all are widened by the same
//! random part of two average requests, and each by up to a quarter of one more: the optimum is another batch,
//! fractional in the relaxation as in life, and since the proportions are nearly the same all constraints still bind.

use super::{Spec, UPLINK_POWER_DBM, request};
use crate::cost::{Transformer, watts};
use crate::scenario::{Padding, Scenario};
use crate::workload::synthesis::{RowRng, significant};

/// Requests looked at.
const PILOT: u64 = 1 << 16;
/// Mean signal-to-noise ratio in both directions, 10 dB: low enough for fading to matter.
const MEAN_SNR: f64 = 10.0;
/// The row whose random words widen the capacities: beyond every request.
const WIDENING_ROW: u64 = 1 << 40;

/// What one request needs, before capacities are known: Hz up, Hz down, KV tokens, FLOP.
struct Need {
    cost: [f64; 4],
    slack_s: f64,
}

/// Scales `scenario` and returns the mean channel gain that goes with it.
pub(super) fn scale(spec: &Spec, scenario: &mut Scenario) -> f64 {
    let pilot = spec.requests.min(PILOT);
    let grow = spec.requests as f64 / pilot as f64;
    let mut needs = pilot_needs(spec, scenario, pilot);
    needs.sort_by(|a, b| b.slack_s.total_cmp(&a.slack_s));
    let (design, slack_s) = design(&needs, spec.tightness);
    let widening = RowRng::new(spec.seed, WIDENING_ROW).next_row();
    let [up_hz, down_hz, tokens, flops]: [f64; 4] = std::array::from_fn(|r| {
        let average = design.total[r] / design.size as f64;
        design.total[r] * grow + average * (2.0 * widening.unit(4) + 0.25 * widening.unit(r))
    });
    let t = Transformer::new(&scenario.model);
    // A hair above what the batch needs: the conversion to integers rounds costs up.
    let with_margin = |x: f64| significant(x * (1.0 + 1e-5));
    scenario.radio.uplink_bandwidth_hz = with_margin(up_hz.max(1.0));
    scenario.radio.downlink_bandwidth_hz = with_margin(down_hz.max(1.0));
    let bytes = t.weight_bytes() as f64 + tokens * t.kv_bytes_per_token() as f64;
    // Bytes to the last digit: weights are the larger part of it at small sizes.
    scenario.node.memory_bytes = (scenario.quantization.memory_factor * bytes * (1.0 + 1e-9)).ceil();
    scenario.node.compute_flops = with_margin(scenario.quantization.time_factor * flops / slack_s);
    // With p h²/(N0 density · B) = MEAN_SNR both ways.
    let noise = watts(scenario.radio.noise_density_dbm_per_hz);
    let gain = significant(MEAN_SNR * noise * scenario.radio.uplink_bandwidth_hz / watts(UPLINK_POWER_DBM));
    let down_w = MEAN_SNR * noise * scenario.radio.downlink_bandwidth_hz / gain;
    scenario.radio.downlink_power_dbm = significant(10.0 * libm::log10(down_w) + 30.0);
    gain
}

/// The needs of the first requests, those that only their own attributes rule out excepted.
fn pilot_needs(spec: &Spec, scenario: &Scenario, pilot: u64) -> Vec<Need> {
    let t = Transformer::new(&scenario.model);
    let (epoch, bits) = (&scenario.epoch, f64::from(scenario.radio.bits_per_token));
    let mut rng = RowRng::new(spec.seed, 0);
    let mut usable = Vec::new();
    let mut all = Vec::new();
    for _ in 0..pilot {
        // With a mean gain of 1 the gain is the fading.
        let r = request(spec, 1.0, &rng.next_row());
        let efficiency = libm::log1p(MEAN_SNR * r.channel_power_gain) / std::f64::consts::LN_2;
        let padded = match spec.padding {
            Padding::Fixed(tokens) => tokens,
            Padding::Longest => super::LONGEST,
            Padding::None => r.prompt_tokens,
        };
        let need = Need {
            cost: [
                f64::from(r.prompt_tokens) * bits / (epoch.uplink_slot_s * efficiency),
                f64::from(r.output_tokens) * bits / (epoch.downlink_slot_s * efficiency),
                f64::from(padded) + f64::from(r.output_tokens),
                t.flops(padded, r.output_tokens) as f64,
            ],
            slack_s: r.deadline_s - r.waited_s - epoch.uplink_slot_s - epoch.downlink_slot_s,
        };
        if need.slack_s > 0.0 && r.max_perplexity_increase >= scenario.quantization.perplexity_increase {
            usable.push(need);
        } else {
            all.push(need);
        }
    }
    // A handful of requests may all be unusable; the scenario must still be one.
    if usable.is_empty() { all } else { usable }
}

/// A batch that is optimal for one prefix.
struct Design {
    size: usize,
    /// What it needs of each resource.
    total: [f64; 4],
    /// Σ max(0, 1 − λ·a) over the prefix.
    gain: f64,
    /// λ_compute times the compute of the batch.
    compute_share: f64,
}

/// The batch designed for, and the slack of its tightest deadline.
fn design(needs: &[Need], tightness: f64) -> (Design, f64) {
    let n = needs.len();
    // A prefix of at least a fifth: a batch of one or two requests is no design.
    let (mut low, mut high) = (n.div_ceil(5), n);
    let window = (n / 32).max(1);
    let slack_s = |d: usize| needs[d - 1].slack_s.max(1e-3);
    while low < high {
        let d = low + (high - low) / 2;
        let batch = cheapest(&needs[..d], tightness);
        let (before, after) = (d.saturating_sub(window).max(1), (d + window).min(n));
        let slope = (needs[before - 1].slack_s - needs[after - 1].slack_s) / (after - before).max(1) as f64;
        if batch.compute_share * slope / slack_s(d) >= batch.gain / d as f64 {
            high = d;
        } else {
            low = d + 1;
        }
    }
    (cheapest(&needs[..low], tightness), slack_s(low))
}

/// The cheapest fraction of a prefix.
fn cheapest(prefix: &[Need], tightness: f64) -> Design {
    let d = prefix.len() as f64;
    let mean: [f64; 4] = std::array::from_fn(|r| prefix.iter().map(|n| n.cost[r]).sum::<f64>() / d);
    let price = |n: &Need| (0..4).map(|r| n.cost[r] / mean[r]).sum::<f64>();
    let mut order: Vec<(f64, &Need)> = prefix.iter().map(|n| (price(n), n)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let size = ((d * tightness).round() as usize).clamp(1, prefix.len());
    let theta = order[size - 1].0;
    let total: [f64; 4] = std::array::from_fn(|r| order[..size].iter().map(|(_, n)| n.cost[r]).sum());
    let gain = order[..size].iter().map(|(price, _)| 1.0 - price / theta).sum();
    Design { size, compute_share: total[3] / (theta * mean[3]), total, gain }
}
