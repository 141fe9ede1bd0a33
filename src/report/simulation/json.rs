//! A simulation for programs.

use serde::Serialize;

use super::{Report, mean_batch};
use crate::instance::Reason;
use crate::outcome::CONSTRAINTS;
use crate::simulation::{BatchTime, Summary, Waiting};

#[derive(Serialize)]
struct ReportOut<'r> {
    command: &'r str,
    scenario: &'r str,
    arrivals: &'r str,
    requests: &'r str,
    scaled: Option<&'r str>,
    seed: u64,
    nodes: u32,
    duration_s: f64,
    epoch_s: f64,
    uplink_slot_s: f64,
    downlink_slot_s: f64,
    waiting: &'static str,
    batch_time: &'static str,
    overlap: bool,
    queue_limit: usize,
    slowdown: f64,
    node_limit: Option<u64>,
    assumptions: &'r [String],
    /// The order of `used`.
    resources: [&'static str; 4],
    /// The order of `binding`.
    constraints: [&'static str; 4],
    /// The order of `infeasible`.
    reasons: Vec<&'static str>,
    schedulers: Vec<SchedulerOut<'r>>,
}

#[derive(Serialize)]
struct SchedulerOut<'r> {
    scheduler: &'r str,
    throughput_per_s: f64,
    goodput_per_s: f64,
    output_tokens_per_s: f64,
    in_time_part: f64,
    mean_batch: f64,
    mean_used: [f64; 4],
    /// Against the run of the exact scheduler.
    total_regret: Option<i64>,
    summary: &'r Summary,
}

/// The report as a JSON document, ending in a line feed. The order of its fields is fixed.
pub fn to_json(report: &Report) -> String {
    let (run, settings) = (&report.run, &report.run.settings);
    let one = |summary| scheduler(report, summary);
    let out = ReportOut {
        command: &run.command,
        scenario: &run.scenario,
        arrivals: &run.arrivals,
        requests: &run.needs,
        scaled: run.scaled.as_deref(),
        seed: run.seed,
        nodes: settings.nodes,
        duration_s: settings.duration_s,
        epoch_s: run.epoch.duration_s,
        uplink_slot_s: run.epoch.uplink_slot_s,
        downlink_slot_s: run.epoch.downlink_slot_s,
        waiting: match settings.waiting {
            Waiting::Counted => "arrival",
            Waiting::FromEpoch => "epoch",
        },
        batch_time: match settings.batch_time {
            BatchTime::Deadline => "deadline",
            BatchTime::Epoch => "epoch",
        },
        overlap: settings.overlap,
        queue_limit: settings.queue_limit,
        slowdown: run.slowdown,
        node_limit: run.node_limit,
        assumptions: &run.assumptions,
        resources: super::sections::USED,
        constraints: CONSTRAINTS,
        reasons: Reason::ALL.map(Reason::as_str).to_vec(),
        schedulers: report.summaries.iter().map(one).collect(),
    };
    // Strings and numbers only: none of them can fail.
    let mut text = serde_json::to_string_pretty(&out).unwrap_or_default();
    text.push('\n');
    text
}

fn scheduler<'r>(report: &Report, summary: &'r Summary) -> SchedulerOut<'r> {
    SchedulerOut {
        scheduler: &summary.scheduler,
        throughput_per_s: summary.throughput(),
        goodput_per_s: summary.goodput(),
        output_tokens_per_s: summary.token_goodput(),
        in_time_part: summary.counts.attainment(),
        mean_batch: mean_batch(summary),
        mean_used: summary.mean_used(),
        total_regret: report.total_regret(summary),
        summary,
    }
}
