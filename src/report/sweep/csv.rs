//! A sweep as CSV. Names of columns end in their unit; what is empty does not apply.

use super::super::table::quoted;
use super::Report;
use crate::experiment::sweep::METRICS;
use crate::instance::Reason;
use crate::simulation::Counts;

/// A row for each point and scheduler: of each metric the mean over the seeds that have it, and the half-width of its
/// 95 % confidence interval.
pub fn points(report: &Report<'_>) -> String {
    let mut header = keys(report);
    header.extend(["scheduler".to_string(), "seeds".to_string()]);
    header.extend(METRICS.iter().flat_map(|metric| [metric.name.to_string(), format!("{}_ci95", metric.name)]));
    header.push(SCALED.to_string());
    let mut out = line(header);
    for row in &report.rows {
        let mut cells: Vec<String> = report.values(row).map(quoted).collect();
        cells.extend([quoted(report.scheduler(row)), row.runs.len().to_string()]);
        for metric in &METRICS {
            let estimate = row.estimate(metric);
            let finite = |value: f64| if value.is_finite() { value.to_string() } else { String::new() };
            cells.extend(estimate.map_or([const { String::new() }; 2], |e| [finite(e.mean), finite(e.half_width)]));
        }
        cells.push(scaled(report));
        out.push_str(&line(cells));
    }
    out
}

/// A row for each run: how its requests ended, and every metric.
pub fn runs(report: &Report<'_>) -> String {
    let mut header = keys(report);
    header.extend(["scheduler", "seed"].map(str::to_string));
    header.extend(ENDS.map(|(name, _)| name.to_string()));
    header.extend(Reason::ALL.map(|reason| format!("infeasible_{}", reason.as_str().replace('-', "_"))));
    header.extend(METRICS.iter().map(|metric| metric.name.to_string()));
    header.push(SCALED.to_string());
    let mut out = line(header);
    for row in &report.rows {
        for (run, seed) in row.runs.iter().zip(1..) {
            let seed: u64 = seed;
            let mut cells: Vec<String> = report.values(row).map(quoted).collect();
            cells.extend([quoted(report.scheduler(row)), seed.to_string()]);
            cells.extend(ENDS.map(|(_, of)| of(&run.counts).to_string()));
            cells.extend(run.counts.infeasible.iter().map(u64::to_string));
            cells.extend(METRICS.iter().map(|metric| metric.of(run).map_or_else(String::new, |x| x.to_string())));
            cells.push(scaled(report));
            out.push_str(&line(cells));
        }
    }
    out
}

/// The last column of both: how the trace is scaled, empty if it is not. No number of a scaled trace is without it.
const SCALED: &str = "scaled";

fn scaled(report: &Report<'_>) -> String {
    report.run.scaled.as_deref().map_or_else(String::new, quoted)
}

type End = (&'static str, fn(&Counts) -> u64);

const ENDS: [End; 6] = [
    ("arrived", |c| c.arrived),
    ("in_time", |c| c.in_time),
    ("late", |c| c.late),
    ("expired", |c| c.expired),
    ("refused", |c| c.refused),
    ("unfinished", |c| c.unfinished),
];

fn keys(report: &Report<'_>) -> Vec<String> {
    report.sweep.plan().axes.iter().map(|axis| quoted(&axis.key)).collect()
}

fn line(cells: Vec<String>) -> String {
    cells.join(",") + "\n"
}
