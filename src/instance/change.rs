//! What would make a rejected request servable.

use super::convert::{Converter, budget_flops};
use super::reason::{Reason, Rejection};
use crate::cost::{Link, watts};
use crate::error::Result;
use crate::limits;
use crate::scenario::{Padding, Scenario};
use crate::workload::Request;

/// One number to change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The field of the request or the key of the scenario.
    pub field: &'static str,
    /// Its value now.
    pub from: f64,
    /// The nearest value that would do.
    pub to: f64,
}

/// A relative margin on every proposed value, so that it still does after rounding.
const MARGIN: f64 = 1e-9;

/// The smallest changes that, made together, make a rejected request servable alone.
///
/// Each reason is answered in turn, by the request or the scenario as the changes before leave it: accuracy and padding
/// first, then the radio, then memory and deadline, which shorter lengths may already have mended and longer slots made
/// worse. For a radio reason the change is the band; where no band is wide enough (a wider band lets more noise in),
/// the number of tokens; where not even one token fits, the slot. A value may lie outside the ranges of [`limits`]:
/// then nothing would do.
///
/// # Errors
/// Those of [`Problem::new`](super::Problem::new) for the scenario.
pub fn changes(scenario: &Scenario, request: &Request, rejection: &Rejection) -> Result<Vec<Change>> {
    // Only a scenario whose model fits in its memory has rejections.
    let transformer = Converter::new(scenario)?.transformer;
    let (mut s, mut r) = (scenario.clone(), *request);
    let given_for = |reason| rejection.reasons().any(|given| given == reason);
    if given_for(Reason::Accuracy) {
        r.max_perplexity_increase = s.quantization.perplexity_increase;
    }
    if let (Padding::Fixed(tokens), true) = (s.padding, given_for(Reason::PromptTooLong)) {
        r.prompt_tokens = tokens;
    }
    if given_for(Reason::Uplink) {
        let power_w = watts(r.uplink_power_dbm);
        let change = radio_change(Link::uplink(&s), r.prompt_tokens, power_w, r.channel_power_gain);
        change.make(&mut s.radio.uplink_bandwidth_hz, &mut r.prompt_tokens, &mut s.epoch.uplink_slot_s);
    }
    if given_for(Reason::Downlink) {
        let power_w = watts(s.radio.downlink_power_dbm);
        let change = radio_change(Link::downlink(&s), r.output_tokens, power_w, r.channel_power_gain);
        change.make(&mut s.radio.downlink_bandwidth_hz, &mut r.output_tokens, &mut s.epoch.downlink_slot_s);
    }
    let converter = Converter::new(&s)?;
    let prompt = converter.charged_prompt(&r);
    let tokens = u64::from(prompt) + u64::from(r.output_tokens);
    if tokens > converter.kv_capacity {
        let bytes = (transformer.weight_bytes() + u128::from(tokens) * transformer.kv_bytes_per_token()) as f64;
        s.node.memory_bytes = s.quantization.memory_factor * bytes * (1.0 + MARGIN);
    }
    let flops = transformer.flops(prompt, r.output_tokens);
    if flops > budget_flops(&s, &r) {
        let compute_s = s.quantization.time_factor * flops as f64 / s.node.compute_flops;
        let slots_s = s.epoch.uplink_slot_s + s.epoch.downlink_slot_s;
        r.deadline_s = (r.waited_s + slots_s + compute_s) * (1.0 + MARGIN);
    }
    let fields = values(scenario, request).into_iter().zip(values(&s, &r));
    let change = |((field, from), (_, to))| Change { field, from, to };
    Ok(fields.map(change).filter(|change| change.from != change.to).collect())
}

/// Every number that [`changes`] may change, in the order in which it reports them.
fn values(s: &Scenario, r: &Request) -> [(&'static str, f64); 9] {
    [
        ("max_perplexity_increase", r.max_perplexity_increase),
        ("uplink_bandwidth_hz", s.radio.uplink_bandwidth_hz),
        ("uplink_slot_s", s.epoch.uplink_slot_s),
        ("downlink_bandwidth_hz", s.radio.downlink_bandwidth_hz),
        ("downlink_slot_s", s.epoch.downlink_slot_s),
        ("prompt_tokens", f64::from(r.prompt_tokens)),
        ("output_tokens", f64::from(r.output_tokens)),
        ("memory_bytes", s.node.memory_bytes),
        ("deadline_s", r.deadline_s),
    ]
}

/// What makes a band carry a request.
enum Radio {
    /// It does already, since another change shortened the request.
    Fits,
    /// A band this wide, Hz.
    Band(f64),
    /// This many tokens.
    Tokens(u32),
    /// A slot longer by this factor.
    Slot(f64),
}

impl Radio {
    fn make(self, band_hz: &mut f64, length: &mut u32, slot_s: &mut f64) {
        match self {
            Radio::Fits => {}
            Radio::Band(hz) => *band_hz = hz,
            Radio::Tokens(tokens) => *length = tokens,
            Radio::Slot(factor) => *slot_s *= factor,
        }
    }
}

fn radio_change(link: Link, tokens: u32, power_w: f64, gain: f64) -> Radio {
    let share = link.share(tokens, power_w, gain) * (1.0 + MARGIN);
    if share <= 1.0 {
        return Radio::Fits;
    }
    if let Some(hz) = link.bandwidth_for(tokens, power_w, gain, limits::BANDWIDTH.max / 2.0) {
        return Radio::Band(hz * (1.0 + MARGIN));
    }
    let fitting = (f64::from(tokens) / share).floor();
    if fitting >= 1.0 { Radio::Tokens(fitting as u32) } else { Radio::Slot(share) }
}

/// Makes one change, by the name of its field.
#[cfg(test)]
fn apply(scenario: &mut Scenario, request: &mut Request, change: &Change) {
    match change.field {
        "max_perplexity_increase" => request.max_perplexity_increase = change.to,
        "prompt_tokens" => request.prompt_tokens = change.to as u32,
        "output_tokens" => request.output_tokens = change.to as u32,
        "uplink_bandwidth_hz" => scenario.radio.uplink_bandwidth_hz = change.to,
        "downlink_bandwidth_hz" => scenario.radio.downlink_bandwidth_hz = change.to,
        "uplink_slot_s" => scenario.epoch.uplink_slot_s = change.to,
        "downlink_slot_s" => scenario.epoch.downlink_slot_s = change.to,
        "memory_bytes" => scenario.node.memory_bytes = change.to,
        "deadline_s" => request.deadline_s = change.to,
        other => panic!("unknown field {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Problem;
    use super::*;
    use crate::workload::Requests;

    fn rejection(scenario: &Scenario, request: Request) -> Option<Rejection> {
        let mut requests = Requests::new();
        requests.push("r", request).unwrap();
        Problem::new(scenario, &requests).unwrap().rejections.first().copied()
    }

    /// Requests that fail for each reason alone, and for several at once.
    fn failing() -> Vec<(Scenario, Request, Vec<Reason>)> {
        let base = Scenario::paper();
        let good = Request::new(100, 20);
        let mut narrow = base.clone();
        narrow.radio.uplink_bandwidth_hz = 50.0;
        narrow.radio.downlink_bandwidth_hz = 5.0;
        let mut small = base.clone();
        small.node.memory_bytes = 2.36e9;
        let noisy = Request { channel_power_gain: 1e-17, ..good };
        let deaf = Request { channel_power_gain: 1e-21, ..good };
        use Reason::*;
        vec![
            (base.clone(), Request { max_perplexity_increase: 0.01, ..good }, vec![Accuracy]),
            (base.clone(), Request { prompt_tokens: 513, ..good }, vec![PromptTooLong]),
            (narrow.clone(), good, vec![Uplink, Downlink]),
            (base.clone(), noisy, vec![Uplink]),
            (base.clone(), deaf, vec![Uplink, Downlink]),
            (small, good, vec![Memory]),
            (base.clone(), Request { deadline_s: 0.5, ..good }, vec![Deadline]),
            (
                narrow,
                Request { deadline_s: 0.1, prompt_tokens: 600, max_perplexity_increase: 0.0, ..good },
                vec![Accuracy, PromptTooLong, Uplink, Downlink, Deadline],
            ),
        ]
    }

    #[test]
    fn each_request_fails_for_its_reasons() {
        for (scenario, request, reasons) in failing() {
            let found = rejection(&scenario, request).unwrap();
            assert_eq!(found.reasons().collect::<Vec<_>>(), reasons, "{request:?}");
        }
    }

    #[test]
    fn the_changes_make_it_servable_and_are_needed() {
        for (scenario, request, _) in failing() {
            let found = rejection(&scenario, request).unwrap();
            let list = changes(&scenario, &request, &found).unwrap();
            let with = |skip: Option<usize>| {
                let (mut s, mut r) = (scenario.clone(), request);
                (0..list.len()).filter(|&i| Some(i) != skip).for_each(|i| apply(&mut s, &mut r, &list[i]));
                rejection(&s, r)
            };
            assert_eq!(with(None), None, "{request:?} {list:?}");
            for (skipped, change) in list.iter().enumerate() {
                assert!(with(Some(skipped)).is_some(), "{change:?} is not needed");
            }
        }
    }

    #[test]
    fn near_the_noise_limit_a_band_that_is_proposed_is_wide_enough() {
        let mut scenario = Scenario::paper();
        scenario.radio.uplink_bandwidth_hz = 1000.0;
        let noise = watts(scenario.radio.noise_density_dbm_per_hz);
        for fraction in [0.5, 0.9, 0.99, 0.999, 0.9999, 0.999_99, 0.999_999, 0.999_999_99] {
            // An infinite band would carry the prompt with this share of it.
            let bits = 100.0 * f64::from(scenario.radio.bits_per_token);
            let gain = bits * noise * std::f64::consts::LN_2 / (scenario.epoch.uplink_slot_s * watts(20.0) * fraction);
            let request = Request { channel_power_gain: gain, ..Request::new(100, 1) };
            let found = rejection(&scenario, request).unwrap();
            let (mut s, mut r) = (scenario.clone(), request);
            for change in changes(&scenario, &request, &found).unwrap() {
                apply(&mut s, &mut r, &change);
            }
            assert_eq!(rejection(&s, r), None, "{fraction}");
        }
    }

    #[test]
    fn a_slightly_smaller_change_would_not_do() {
        for (scenario, request, _) in failing() {
            let found = rejection(&scenario, request).unwrap();
            for change in changes(&scenario, &request, &found).unwrap() {
                let whole = change.field.ends_with("tokens");
                let step = if whole { (change.from - change.to).signum() } else { (change.from - change.to) * 1e-6 };
                let (mut s, mut r) = (scenario.clone(), request);
                apply(&mut s, &mut r, &Change { to: change.to + step, ..change });
                assert!(rejection(&s, r).is_some(), "{change:?}");
            }
        }
    }
}
