//! Why a request is not in the batch, and what would make it servable.

use std::fmt;

use super::convert::Converter;
use crate::cost::{Link, watts};
use crate::error::Result;
use crate::limits;
use crate::scenario::Scenario;
use crate::workload::Request;

/// Why a request was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// (1e): the quantisation costs more perplexity than the user accepts.
    Accuracy,
    /// Longer than the fixed padding.
    PromptTooLong,
    /// (1a): does not fit in the uplink band even alone.
    Uplink,
    /// (1b): does not fit in the downlink band even alone.
    Downlink,
    /// (1c): does not fit in the memory even alone.
    Memory,
    /// (1d): late even alone.
    Deadline,
    /// Servable alone, but not in the batch chosen.
    CrowdedOut,
}

impl Reason {
    /// All reasons, in the order in which they are reported.
    pub const ALL: [Reason; 7] = [
        Reason::Accuracy,
        Reason::PromptTooLong,
        Reason::Uplink,
        Reason::Downlink,
        Reason::Memory,
        Reason::Deadline,
        Reason::CrowdedOut,
    ];

    /// The word for it in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Accuracy => "accuracy",
            Reason::PromptTooLong => "prompt-too-long",
            Reason::Uplink => "uplink",
            Reason::Downlink => "downlink",
            Reason::Memory => "memory",
            Reason::Deadline => "deadline",
            Reason::CrowdedOut => "crowded-out",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request that no batch can serve, and every reason for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// Which request of the input.
    pub request: u32,
    /// A bit per reason: millions of rejections take 8 bytes each.
    reasons: u8,
}

impl Rejection {
    pub(super) fn new(request: u32, reasons: impl Iterator<Item = Reason>) -> Self {
        Rejection { request, reasons: reasons.fold(0, |bits, reason| bits | 1 << reason as u8) }
    }

    /// All reasons, in the order of [`Reason::ALL`]; there is at least one.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> + use<> {
        let bits = self.reasons;
        Reason::ALL.into_iter().filter(move |&reason| bits >> (reason as u8) & 1 == 1)
    }
}

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

/// The smallest changes that, made together, make a rejected request servable alone: one per reason, in their order.
///
/// For a radio reason this is the band; where no band is wide enough (a wider band lets more noise in), the number of
/// tokens; where not even one token fits, the slot.
///
/// # Errors
/// Those of [`Problem::new`](super::Problem::new) for the scenario.
pub fn changes(scenario: &Scenario, request: &Request, rejection: &Rejection) -> Result<Vec<Change>> {
    let converter = Converter::new(scenario)?;
    let up = |x: f64| x * (1.0 + MARGIN);
    let (epoch, gain) = (&scenario.epoch, request.channel_power_gain);
    let prompt = converter.charged_prompt(request);
    let change = |reason| match reason {
        Reason::Accuracy => Change {
            field: "max_perplexity_increase",
            from: request.max_perplexity_increase,
            to: scenario.quantization.perplexity_increase,
        },
        Reason::PromptTooLong => {
            Change { field: "prompt_tokens", from: f64::from(request.prompt_tokens), to: f64::from(prompt) }
        }
        Reason::Uplink => radio_change(
            Link::uplink(scenario),
            (request.prompt_tokens, watts(request.uplink_power_dbm), gain),
            [
                ("uplink_bandwidth_hz", scenario.radio.uplink_bandwidth_hz),
                ("prompt_tokens", f64::from(request.prompt_tokens)),
                ("uplink_slot_s", epoch.uplink_slot_s),
            ],
        ),
        Reason::Downlink => radio_change(
            Link::downlink(scenario),
            (request.output_tokens, watts(scenario.radio.downlink_power_dbm), gain),
            [
                ("downlink_bandwidth_hz", scenario.radio.downlink_bandwidth_hz),
                ("output_tokens", f64::from(request.output_tokens)),
                ("downlink_slot_s", epoch.downlink_slot_s),
            ],
        ),
        Reason::Memory => {
            let t = converter.transformer;
            let tokens = u128::from(prompt) + u128::from(request.output_tokens);
            let bytes = (t.weight_bytes() + tokens * t.kv_bytes_per_token()) as f64;
            let to = up(scenario.quantization.memory_factor * bytes);
            Change { field: "memory_bytes", from: scenario.node.memory_bytes, to }
        }
        Reason::Deadline | Reason::CrowdedOut => {
            let flops = converter.transformer.flops(prompt, request.output_tokens) as f64;
            let compute_s = scenario.quantization.time_factor * flops / scenario.node.compute_flops;
            let to = up(request.waited_s + epoch.uplink_slot_s + epoch.downlink_slot_s + compute_s);
            Change { field: "deadline_s", from: request.deadline_s, to }
        }
    };
    Ok(rejection.reasons().map(change).collect())
}

fn radio_change(link: Link, (tokens, power_w, gain): (u32, f64, f64), fields: [(&'static str, f64); 3]) -> Change {
    let [band, length, slot] = fields;
    if let Some(hz) = link.bandwidth_for(tokens, power_w, gain, limits::BANDWIDTH.max / 2.0) {
        return Change { field: band.0, from: band.1, to: hz * (1.0 + MARGIN) };
    }
    let share = link.share(tokens, power_w, gain) * (1.0 + MARGIN);
    let fitting = (f64::from(tokens) / share).floor();
    if fitting >= 1.0 {
        return Change { field: length.0, from: length.1, to: fitting };
    }
    Change { field: slot.0, from: slot.1, to: slot.1 * share }
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
            (base, Request { deadline_s: 0.5, ..good }, vec![Deadline]),
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
        for (scenario, request, reasons) in failing() {
            let found = rejection(&scenario, request).unwrap();
            let list = changes(&scenario, &request, &found).unwrap();
            assert_eq!(list.len(), reasons.len());
            let with = |skip: Option<usize>| {
                let (mut s, mut r) = (scenario.clone(), request);
                (0..list.len()).filter(|&i| Some(i) != skip).for_each(|i| apply(&mut s, &mut r, &list[i]));
                // A slot that grew takes time from the deadline, which the change of the slot does not promise.
                r.deadline_s += s.epoch.uplink_slot_s - scenario.epoch.uplink_slot_s;
                r.deadline_s += s.epoch.downlink_slot_s - scenario.epoch.downlink_slot_s;
                rejection(&s, r)
            };
            assert_eq!(with(None), None, "{request:?} {list:?}");
            for (skipped, change) in list.iter().enumerate() {
                assert!(with(Some(skipped)).is_some(), "{change:?} is not needed");
            }
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
