//! The quantities that are reported of every point.

use crate::outcome::CONSTRAINTS;
use crate::simulation::{Latency, Summary};

/// A number that a run comes to, if it does: there is no latency without answers.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// In files: it ends in its unit.
    pub name: &'static str,
    /// In words, with its unit.
    pub label: &'static str,
    of: fn(&Summary) -> Option<f64>,
}

impl Metric {
    /// Its value.
    pub fn of(&self, summary: &Summary) -> Option<f64> {
        (self.of)(summary)
    }

    /// The metric of that name.
    pub fn named(name: &str) -> Option<&'static Metric> {
        METRICS.iter().find(|metric| metric.name == name)
    }
}

const fn metric(name: &'static str, label: &'static str, of: fn(&Summary) -> Option<f64>) -> Metric {
    Metric { name, label, of }
}

/// All of them, in the order of reports.
pub const METRICS: [Metric; 29] = [
    metric("goodput_per_s", "requests answered in time a second", |s| Some(s.goodput())),
    metric("throughput_per_s", "requests answered a second", |s| Some(s.throughput())),
    metric("output_tokens_per_s", "output tokens answered in time a second", |s| Some(s.token_goodput())),
    metric("in_time_percent", "answered in time, % of requests", |s| of_arrived(s, s.counts.in_time)),
    metric("late_percent", "answered late, % of requests", |s| of_arrived(s, s.counts.late)),
    metric("expired_percent", "expired, % of requests", |s| of_arrived(s, s.counts.expired)),
    metric("infeasible_percent", "never servable, % of requests", |s| of_arrived(s, s.counts.all_infeasible())),
    metric("refused_percent", "refused by a full queue, % of requests", |s| of_arrived(s, s.counts.refused)),
    metric("unfinished_percent", "still waiting at the end, % of requests", |s| of_arrived(s, s.counts.unfinished)),
    metric("latency_mean_s", "mean latency, s", |s| latency(s, |l| l.mean_s)),
    metric("latency_p50_s", "median latency, s", |s| latency(s, |l| l.p50_s)),
    metric("latency_p95_s", "95th percentile of the latency, s", |s| latency(s, |l| l.p95_s)),
    metric("latency_p99_s", "99th percentile of the latency, s", |s| latency(s, |l| l.p99_s)),
    metric("latency_max_s", "largest latency, s", |s| latency(s, |l| l.max_s)),
    metric("mean_batch_requests", "requests in a batch", |s| ratio(s.counts.in_time + s.counts.late, s.total.batches)),
    metric("largest_batch_requests", "requests in the largest batch", |s| Some(s.largest_batch as f64)),
    metric("regret_percent", "regret, % of the largest batches", |s| {
        let regret = s.regret?;
        Some(100.0 * ratio(regret.optimum.saturating_sub(regret.scheduled), regret.optimum)?)
    }),
    metric("mean_queue_requests", "requests waiting when an epoch begins", |s| ratio(s.total.queued, s.total.epochs)),
    metric("longest_queue_requests", "requests in the longest queue", |s| Some(s.longest_queue as f64)),
    metric("busy_percent", "epochs that find the node busy, %", |s| of_epochs(s, s.total.busy)),
    metric("search_stopped_percent", "epochs in which the search ended at its limit, %", |s| {
        of_epochs(s, s.total.stopped)
    }),
    metric("used_uplink_percent", "uplink used, %", |s| used(s, 0)),
    metric("used_downlink_percent", "downlink used, %", |s| used(s, 1)),
    metric("used_memory_percent", "memory used, %", |s| used(s, 2)),
    metric("used_compute_percent", "computation, % of an epoch", |s| used(s, 3)),
    metric("uplink_binds_percent", "epochs in which the uplink keeps out the most, %", |s| binds(s, "uplink")),
    metric("downlink_binds_percent", "epochs in which the downlink keeps out the most, %", |s| binds(s, "downlink")),
    metric("memory_binds_percent", "epochs in which the memory keeps out the most, %", |s| binds(s, "memory")),
    metric("deadline_binds_percent", "epochs in which the deadline keeps out the most, %", |s| binds(s, "deadline")),
];

fn ratio(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

fn of_arrived(summary: &Summary, count: u64) -> Option<f64> {
    Some(100.0 * ratio(count, summary.counts.arrived)?)
}

fn of_epochs(summary: &Summary, count: u64) -> Option<f64> {
    Some(100.0 * ratio(count, summary.total.epochs)?)
}

fn used(summary: &Summary, resource: usize) -> Option<f64> {
    Some(100.0 * summary.mean_used()[resource])
}

fn binds(summary: &Summary, constraint: &str) -> Option<f64> {
    let at = CONSTRAINTS.iter().position(|&name| name == constraint)?;
    of_epochs(summary, summary.total.binding[at])
}

fn latency(summary: &Summary, of: fn(&Latency) -> f64) -> Option<f64> {
    (summary.counts.in_time + summary.counts.late > 0).then(|| of(&summary.latency))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different_and_constraints_known() {
        let summary = Summary { duration_s: 1.0, ..Summary::default() };
        for (at, metric) in METRICS.iter().enumerate() {
            assert_eq!(METRICS.iter().position(|other| other.name == metric.name), Some(at));
            // Nothing happened: what is a part of nothing is no number, and nothing is not finite.
            assert!(metric.of(&summary).is_none_or(f64::is_finite), "{}", metric.name);
        }
        let mut busy = summary;
        busy.total.epochs = 4;
        busy.total.binding = [1; 4];
        for name in CONSTRAINTS {
            assert_eq!(Metric::named(&format!("{name}_binds_percent")).and_then(|m| m.of(&busy)), Some(25.0));
        }
    }
}
