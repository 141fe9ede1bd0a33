//! The setting of the paper's section IV, and how its schedulers are named here.

use crate::report::plot::Axis;
use crate::scenario::{Quantization, Scenario, preset};
use crate::search::Limits;
use crate::simulation::{BatchTime, Settings, Waiting};
use crate::solver::{Method, Solver};
use crate::workload::synthesis::ChannelModel;

use super::Effort;

/// Nodes that Algorithm 1 may visit in one epoch before the largest greedy batch is taken instead. The paper's setting
/// never comes near it.
pub(super) const NODE_LIMIT: u64 = 5_000_000;

/// A reading of what the paper leaves open about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub waiting: Waiting,
    pub batch_time: BatchTime,
    pub name: &'static str,
}

/// Both readings of the waiting time. With latency requirements of at most 2 s no batch outlasts its epoch.
pub(super) const READINGS: [Reading; 2] = [
    Reading { waiting: Waiting::Counted, batch_time: BatchTime::Epoch, name: "deadlines count from the arrival" },
    Reading {
        waiting: Waiting::FromEpoch,
        batch_time: BatchTime::Epoch,
        name: "deadlines count from the epoch after it",
    },
];

/// The same where longer requirements let batches outlast their epoch, which then passes over others.
pub(super) const LONG_READINGS: [Reading; 4] = [
    Reading { name: "deadlines from the arrival; batches end with their epoch", ..READINGS[0] },
    Reading { name: "deadlines from the epoch; batches end with their epoch", ..READINGS[1] },
    Reading {
        batch_time: BatchTime::Deadline,
        name: "deadlines from the arrival; batches may outlast their epoch",
        ..READINGS[0]
    },
    Reading {
        batch_time: BatchTime::Deadline,
        name: "deadlines from the epoch; batches may outlast their epoch",
        ..READINGS[1]
    },
];

/// The schedulers of Fig. 5, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheduler {
    Dftsp,
    Static,
    None,
}

impl Scheduler {
    pub const ALL: [Scheduler; 3] = [Scheduler::Dftsp, Scheduler::Static, Scheduler::None];

    pub fn name(self) -> &'static str {
        match self {
            Scheduler::Dftsp => "DFTSP",
            Scheduler::Static => "StB",
            Scheduler::None => "NoB",
        }
    }

    pub fn solver(self) -> Solver {
        match self {
            Scheduler::Dftsp => dftsp(),
            Scheduler::Static => Solver::new(Method::Static { batch_size: None }),
            Scheduler::None => Solver::new(Method::NoBatching),
        }
    }
}

/// Algorithm 1.
pub(super) fn dftsp() -> Solver {
    Solver::new(Method::Algorithm1FromBound).limits(Limits { nodes: Some(NODE_LIMIT), ..Limits::NONE })
}

/// A model at a precision, on the paper's node, under its shared channel, at an arrival rate.
pub(super) fn scenario(model: &str, quantization: Quantization, rate_per_s: f64, seed: u64) -> Scenario {
    let mut scenario = Scenario::paper();
    if let Some(model) = preset::model(model) {
        scenario.model = model;
    }
    scenario.quantization = quantization;
    scenario.arrivals.rate_per_s = rate_per_s;
    scenario.synthesis.seed = seed;
    scenario.synthesis.channel = ChannelModel::Shared;
    scenario
}

/// A precision of Table II for a model; ΔPPL 0 where the table has none.
pub(super) fn quantization(name: &str, model: &str) -> Quantization {
    let preset = preset::quantization(name, model);
    let found = preset.as_ref().and_then(|preset| preset.complete());
    found.map_or_else(
        || Quantization {
            note: None,
            name: name.to_string(),
            memory_factor: preset.as_ref().map_or(1.0, |preset| preset.memory_factor.value),
            time_factor: 1.0,
            perplexity_increase: 0.0,
        },
        |(quantization, _)| quantization,
    )
}

/// Runs under a reading.
pub(super) fn settings(effort: &Effort, reading: Reading) -> Settings {
    Settings {
        duration_s: effort.duration_s,
        waiting: reading.waiting,
        batch_time: reading.batch_time,
        regret: false,
        ..Settings::default()
    }
}

/// The setting in words.
pub(super) fn setting() -> String {
    "the paper's node (20 Jetson TX2: 26.6 TFLOP/s, 640 GB) and radio (20 MHz each way, one channel gain of 10⁻³ for \
     all), epochs of 2 s with slots of 0.25 s, prompts and outputs of 128, 256 or 512 tokens, prompts padded to 512"
        .to_string()
}

/// Requests answered in time a second.
pub(super) fn throughput_axis() -> Axis {
    Axis { label: "throughput, requests answered in time per second".to_string(), ..Axis::default() }
}
