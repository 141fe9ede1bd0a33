//! A sweep for programs.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Report;
use crate::experiment::statistics::Estimate;

#[derive(serde::Serialize)]
struct ReportOut<'r> {
    command: &'r str,
    /// Scenario, arrivals and requests are those of the first point.
    first_point: &'r str,
    arrivals: &'r str,
    requests: &'r str,
    scaled: Option<&'r str>,
    seeds: u64,
    duration_s: f64,
    nodes: u32,
    assumptions: &'r [String],
    axes: Vec<AxisOut<'r>>,
    rows: Vec<RowOut<'r>>,
}

#[derive(serde::Serialize)]
struct AxisOut<'r> {
    key: &'r str,
    values: &'r [String],
}

#[derive(serde::Serialize)]
struct RowOut<'r> {
    /// By axis.
    values: Vec<&'r str>,
    scheduler: &'r str,
    metrics: Ordered<EstimateOut>,
}

#[derive(serde::Serialize)]
struct EstimateOut {
    mean: f64,
    /// None of fewer than two values.
    half_width: Option<f64>,
    values: u64,
}

/// An object whose keys keep their order.
struct Ordered<T>(Vec<(&'static str, Option<T>)>);

impl<T: Serialize> Serialize for Ordered<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}

/// The report as a JSON document, ending in a line feed. The order of its fields is fixed.
pub fn to_json(report: &Report<'_>) -> String {
    let (plan, run) = (report.sweep.plan(), &report.run);
    let estimate = |e: Estimate| EstimateOut {
        mean: e.mean,
        half_width: e.half_width.is_finite().then_some(e.half_width),
        values: e.values,
    };
    let out = ReportOut {
        command: &run.command,
        first_point: &run.scenario,
        arrivals: &run.arrivals,
        requests: &run.needs,
        scaled: run.scaled.as_deref(),
        seeds: plan.seeds,
        duration_s: plan.settings.duration_s,
        nodes: plan.settings.nodes,
        assumptions: &run.assumptions,
        axes: plan.axes.iter().map(|axis| AxisOut { key: &axis.key, values: &axis.values }).collect(),
        rows: report
            .rows
            .iter()
            .map(|row| RowOut {
                values: report.values(row).collect(),
                scheduler: report.scheduler(row),
                metrics: Ordered(
                    report.metrics().map(|metric| (metric.name, row.estimate(metric).map(estimate))).collect(),
                ),
            })
            .collect(),
    };
    // Strings and numbers only: none of them can fail.
    let mut text = serde_json::to_string_pretty(&out).unwrap_or_default();
    text.push('\n');
    text
}
