//! A sweep for people (text, Markdown with plots) and for programs (JSON; CSV by point and by run).
//!
//! In: a [`Report`], which is a [`Sweep`], its [`Row`]s and how it was run. The same sweep gives the same bytes, on any
//! number of threads and however often it was interrupted.

pub mod csv;
mod json;
mod markdown;
#[cfg(feature = "plots")]
mod plots;
mod text;

pub use json::to_json;
pub use markdown::to_markdown;
#[cfg(feature = "plots")]
pub use plots::plots;
pub use text::to_text;

use super::number::{fixed, grouped, plus_minus};
use super::simulation::Run;
use crate::experiment::sweep::{Axis, METRICS, Metric, Row, Sweep};

/// What was run, and what came of it.
#[derive(Debug, Clone)]
pub struct Report<'s> {
    /// The sweep.
    pub sweep: &'s Sweep,
    /// By point, then scheduler.
    pub rows: Vec<Row>,
    /// How it was run, in words; scenario, arrivals and requests are those of the first point.
    pub run: Run,
}

/// A column of the short table: its heading, its metric, and how many decimals it has; without, it is shown with its
/// confidence interval.
type Column = (&'static str, &'static str, Option<usize>);

const COLUMNS: [Column; 10] = [
    ("goodput /s", "goodput_per_s", None),
    ("in time %", "in_time_percent", Some(1)),
    ("p95 s", "latency_p95_s", Some(3)),
    ("regret %", "regret_percent", Some(2)),
    ("expired %", "expired_percent", Some(1)),
    ("infeasible %", "infeasible_percent", Some(1)),
    ("late %", "late_percent", Some(1)),
    ("refused %", "refused_percent", Some(1)),
    ("unfinished %", "unfinished_percent", Some(1)),
    ("mean batch", "mean_batch_requests", Some(2)),
];

/// Columns that most sweeps would have nothing but zeros in, which are then left out: the other shares add up without.
const RARE: [&str; 3] = ["late_percent", "refused_percent", "unfinished_percent"];

/// The rows in short.
struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Columns that are flush right.
    right: Vec<usize>,
    notes: Vec<&'static str>,
}

impl Report<'_> {
    /// The metrics that some run has.
    fn metrics(&self) -> impl Iterator<Item = &'static Metric> {
        let has = |metric: &&Metric| self.rows.iter().any(|row| row.runs.iter().any(|run| metric.of(run).is_some()));
        METRICS.iter().filter(has)
    }

    fn is_ever_positive(&self, metric: &Metric) -> bool {
        self.rows.iter().flat_map(|row| &row.runs).any(|run| metric.of(run).is_some_and(|value| value > 0.0))
    }

    fn table(&self) -> Table {
        let shown: Vec<(Column, &Metric)> = COLUMNS
            .into_iter()
            .filter_map(|column| Some((column, self.metrics().find(|metric| metric.name == column.1)?)))
            .filter(|(column, metric)| !RARE.contains(&column.1) || self.is_ever_positive(metric))
            .collect();
        let axes = &self.sweep.plan().axes;
        let mut header: Vec<String> = axes.iter().map(|axis| axis.key.clone()).collect();
        header.push("scheduler".to_string());
        header.extend(shown.iter().map(|(column, _)| column.0.to_string()));
        let mut right: Vec<usize> = (0..axes.len()).filter(|&at| axes[at].numbers().is_some()).collect();
        right.extend(axes.len() + 1..header.len());
        let row = |row: &Row| {
            let mut cells: Vec<String> = self.values(row).map(str::to_string).collect();
            cells.push(self.scheduler(row).to_string());
            cells.extend(shown.iter().map(|&((_, _, decimals), metric)| match (row.estimate(metric), decimals) {
                (None, _) => "–".to_string(),
                (Some(estimate), None) => plus_minus(estimate.mean, estimate.half_width),
                (Some(estimate), Some(decimals)) => fixed(estimate.mean, decimals),
            }));
            cells
        };
        let mut notes = vec!["goodput: requests answered in time, for each second in which requests arrive"];
        if self.sweep.plan().seeds > 1 {
            notes.push("±: 95 % confidence over the seeds (Student's t)");
        }
        notes.push("in time, expired, infeasible (never servable), …: % of what arrived");
        notes.push("p95: 95th percentile of the time to the complete answer, of requests that were answered");
        if shown.iter().any(|(column, _)| column.1 == "regret_percent") {
            notes.push("regret: by how much batches fall short of the largest ones that the same queues allow");
        }
        Table { header, rows: self.rows.iter().map(row).collect(), right, notes }
    }

    fn values(&self, row: &Row) -> impl Iterator<Item = &str> {
        self.sweep.values(&self.sweep.points()[row.point])
    }

    fn scheduler(&self, row: &Row) -> &str {
        &self.sweep.plan().entrants[row.entrant].name
    }

    /// What was run in words: a label and a text each.
    fn about(&self) -> Vec<(String, String)> {
        let (plan, run) = (self.sweep.plan(), &self.run);
        let mut about: Vec<(String, String)> = Vec::new();
        let mut tell = |label: &str, text: String| about.push((label.to_string(), text));
        for axis in &plan.axes {
            tell("varied", format!("{} = {}", axis.key, listed(axis)));
        }
        tell("first point", run.scenario.clone());
        // Where they differ from point to point, they are those of one.
        let of_first = |text: &str, tables: &[&str]| {
            let varied = plan.axes.iter().any(|axis| tables.iter().any(|table| axis.key.starts_with(table)));
            if varied { format!("{text} (first point)") } else { text.to_string() }
        };
        tell("arrivals", of_first(&run.arrivals, &["arrivals."]));
        if let Some(scaled) = run.scaled.as_deref() {
            tell("scaled", scaled.strip_prefix("scaled: ").unwrap_or(scaled).to_string());
        }
        tell("requests", of_first(&run.needs, &["synthesis.", "qos."]));
        let nodes = plan.settings.nodes;
        tell(
            "runs",
            format!(
                "{}: {}, {}, {}, each with {} s of arrivals at {}",
                grouped(self.sweep.runs() as u64),
                counted(self.sweep.points().len() as u64, "point"),
                counted(plan.entrants.len() as u64, "scheduler"),
                if plan.seeds == 1 { "seed 1".to_string() } else { format!("seeds 1 to {}", grouped(plan.seeds)) },
                plan.settings.duration_s,
                counted(u64::from(nodes), "node"),
            ),
        );
        tell("rules", super::simulation::rules(run));
        about
    }
}

fn counted(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{} {what}s", grouped(n)) }
}

/// The values of an axis; of many the ends.
fn listed(axis: &Axis) -> String {
    const SHOWN: usize = 16;
    match axis.values.as_slice() {
        [first, second, .., last] if axis.values.len() > SHOWN => {
            format!("{first}, {second}, …, {last} ({} values)", axis.values.len())
        }
        all => all.join(", "),
    }
}

#[cfg(test)]
mod tests;
