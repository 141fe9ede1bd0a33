//! Inputs of a simulation in words.

use crate::scenario::{Model, Padding, Quantization, Scenario};
use crate::simulation::{BatchTime, Waiting};
use crate::workload::arrivals::{Arrivals, Process, TokenLengths};
use crate::workload::synthesis::{ChannelModel, Fading, QosClass, Synthesis};

use super::super::number::grouped;
use super::Run;

/// Where a scenario comes from, and what it is in short.
pub fn describe_scenario(from: &str, s: &Scenario) -> String {
    let mut text = format!("{from}; {}", describe_model(&s.model, &s.quantization, s.padding));
    for service in &s.services {
        let part = format!("{:.4}", 100.0 * service.share);
        let part = part.trim_end_matches('0').trim_end_matches('.');
        let what = describe_model(&service.model, &service.quantization, service.padding);
        text.push_str(&format!("; {part} % of requests for {}: {what}", service.name));
    }
    text
}

/// A model in short.
pub fn describe_model(m: &Model, q: &Quantization, padding: Padding) -> String {
    let padding = match padding {
        Padding::Fixed(tokens) => format!("prompts padded to {tokens} tokens"),
        Padding::Longest => "prompts padded to the longest of the batch".to_string(),
        Padding::None => "no padding".to_string(),
    };
    format!(
        "{} ({} layers of {}) at {} (α {}, β {}, ΔPPL {}), {padding}",
        m.name, m.layers, m.hidden_size, q.name, q.memory_factor, q.time_factor, q.perplexity_increase
    )
}

/// How requests arrive at a node.
pub fn describe_arrivals(arrivals: &Arrivals) -> String {
    let process = match arrivals.process {
        Process::Poisson => "Poisson".to_string(),
        Process::Gamma { cv } => format!("gamma (coefficient of variation {cv})"),
        Process::Weibull { cv } => format!("Weibull (coefficient of variation {cv})"),
        Process::OnOff { on_s, off_s } => format!("on-off Poisson ({on_s} s on, {off_s} s off, on average)"),
    };
    let (prompts, outputs) = (lengths(&arrivals.prompt_tokens), lengths(&arrivals.output_tokens));
    let lengths = if prompts == outputs {
        format!("prompts and outputs of {prompts}")
    } else {
        format!("prompts of {prompts}, outputs of {outputs}")
    };
    format!("{process}, {} a second at each node; {lengths} tokens", arrivals.rate_per_s)
}

fn lengths(lengths: &TokenLengths) -> String {
    /// Levels that are named one by one.
    const NAMED: usize = 8;
    match lengths {
        TokenLengths::Uniform(low, high) => format!("{low} to {high}"),
        TokenLengths::Levels(levels) => match levels.as_slice() {
            [only] => only.to_string(),
            many if many.len() > NAMED => {
                let ends = [many.first(), many.last()].map(|end| end.copied().unwrap_or(0));
                format!("{} levels from {} to {}", many.len(), ends[0], ends[1])
            }
            [first @ .., last] => {
                let first: Vec<String> = first.iter().map(u32::to_string).collect();
                format!("{} or {last}", first.join(", "))
            }
            [] => String::new(),
        },
    }
}

/// What requests need, and their channels; all of it synthesised.
pub fn describe_needs(s: &Synthesis) -> String {
    let channel = match (s.channel, s.fading) {
        (ChannelModel::Shared, _) => "one for all",
        (ChannelModel::Rayleigh, Fading::Static) => "Rayleigh, kept while a request waits",
        (ChannelModel::Rayleigh, Fading::Block { .. }) => "Rayleigh, drawn anew every epoch",
    };
    let correlation = match (s.channel, s.fading) {
        (ChannelModel::Rayleigh, Fading::Block { correlation }) => format!(" with correlation {correlation}"),
        _ => String::new(),
    };
    let needs = match s.qos.as_slice() {
        [] => format!("deadlines of {} to {} s", s.deadline_s.0, s.deadline_s.1),
        classes => {
            let one = |c: &QosClass| format!("{} ({} to {} s)", c.name, c.deadline_s.0, c.deadline_s.1);
            format!("deadlines of {}", classes.iter().map(one).collect::<Vec<_>>().join(", "))
        }
    };
    let gain = s.mean_channel_power_gain;
    format!("synthesised: {needs}, accuracy needs, channels ({channel}{correlation}; mean h² {gain:e})")
}

/// The rules of the run that the options choose.
pub(in crate::report) fn rules(run: &Run) -> String {
    let s = &run.settings;
    let mut rules = vec![
        match s.waiting {
            Waiting::Counted => "deadlines count from a request's arrival",
            Waiting::FromEpoch => "deadlines count from the first epoch after a request's arrival",
        }
        .to_string(),
        match s.batch_time {
            BatchTime::Deadline => "a batch may compute until the tightest deadline in it",
            BatchTime::Epoch => "a batch must be computed before the next one's computation begins",
        }
        .to_string(),
        if s.overlap {
            "prompts go up while the batch before is computed".to_string()
        } else {
            "an epoch begins when the answers of the batch before are down".to_string()
        },
    ];
    if s.queue_limit < crate::simulation::Settings::default().queue_limit {
        rules.push(format!("at most {} wait at a node", grouped(s.queue_limit as u64)));
    }
    if run.slowdown != 1.0 {
        rules.push(format!("the engine takes {} times as long as planned", run.slowdown));
    }
    rules.join("; ")
}

/// How long, how many and how: a line.
pub(super) fn extent(run: &Run) -> String {
    let (s, e) = (&run.settings, &run.epoch);
    format!(
        "{} s of arrivals at {}, epochs of {} s with slots of {} s up and {} s down, seed {}",
        s.duration_s,
        if s.nodes == 1 { "1 node".to_string() } else { format!("{} nodes", grouped(u64::from(s.nodes))) },
        e.duration_s,
        e.uplink_slot_s,
        e.downlink_slot_s,
        run.seed,
    )
}
