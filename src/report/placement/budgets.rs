//! Requests served against the quality budget, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Bound, mean_bits};
use crate::experiment::statistics::Estimate;
use crate::placement::Problem;
use crate::placement::budgets::Row;
use crate::placement::solve::{Solution, Status};
use crate::report::number::{fixed, plus_minus, significant};
use crate::report::table;

/// What was run, and what came out.
#[derive(Debug, Clone)]
pub struct Report<'r> {
    /// What was placed.
    pub problem: &'r Problem,
    /// Where it comes from: a line.
    pub about: String,
    /// The name of the solver on the command line.
    pub solver: String,
    /// What its bounds are worth.
    pub bound: Bound,
    /// The base, its arrivals and how it was simulated: a line.
    pub served_how: String,
    /// What the base assumes.
    pub assumptions: Vec<String>,
    /// By budget.
    pub rows: Vec<Row>,
}

impl Report<'_> {
    fn status(&self, solution: &Solution) -> &'static str {
        match solution.status() {
            Status::Optimal if self.bound != Bound::Rule => "optimal",
            _ => "feasible",
        }
    }
}

/// As a table.
pub fn to_text(report: &Report<'_>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, report);
    out
}

fn write(out: &mut String, r: &Report<'_>) -> std::fmt::Result {
    writeln!(out, "problem: {}", r.about)?;
    if let Some(note) = &r.problem.note {
        writeln!(out, "weight errors: {note}")?;
    }
    writeln!(out, "solver {}; served: {}", r.solver, r.served_how)?;
    r.assumptions.iter().try_for_each(|assumption| writeln!(out, "assumed: {assumption}"))?;
    writeln!(out, "\nrequests served against the quality budget")?;
    let head = [
        "ε",
        "placement",
        "delay, s",
        "bits",
        "% of 16",
        "% of 32",
        "weight error",
        "ΔPPL",
        "C/β, FLOP/s",
        "KV tokens",
        "in time per s",
        "% of arrived",
        "",
    ];
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_string).to_vec()];
    rows.extend(r.rows.iter().map(|row| cells(r, row)));
    out.push_str(&table::to_text(&rows, &[0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
    Ok(())
}

fn cells(r: &Report<'_>, row: &Row) -> Vec<String> {
    let none = || "–".to_string();
    let mut cells = vec![format!("{}", row.budget)];
    match &row.placed {
        Ok(s) => {
            let bits = mean_bits(r.problem, &s.seats);
            cells.push(r.status(s).to_string());
            cells.push(significant(s.usage.delay_s, 4));
            cells.extend([bits, 100.0 * bits / 16.0, 100.0 * bits / 32.0].map(|x| fixed(x, 2)));
            cells.push(significant(s.usage.quality.iter().sum(), 4));
        }
        Err(unplaced) => {
            cells.push(unplaced.status.to_string());
            cells.extend((0..5).map(|_| none()));
        }
    }
    match &row.node {
        Ok(n) => {
            let q = &n.scenario.quantization;
            cells.extend([q.perplexity_increase, n.effective_flops()].map(|x| significant(x, 3)));
            cells.push(n.kv_tokens.to_string());
        }
        Err(_) => cells.extend((0..3).map(|_| none())),
    }
    let show = |e: Option<Estimate>, times: f64| {
        e.map_or_else(none, |e| {
            let half = if e.values > 1 { times * e.half_width } else { f64::NAN };
            plus_minus(times * e.mean, half)
        })
    };
    cells.push(show(row.served(), 1.0));
    cells.push(show(row.estimate(|s| s.counts.attainment()), 100.0));
    cells.push(row.node.as_ref().err().cloned().unwrap_or_default());
    cells
}

#[derive(Serialize)]
struct Out<'o> {
    problem: &'o str,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_errors: Option<&'o str>,
    solver: &'o str,
    served: &'o str,
    assumptions: &'o [String],
    rows: Vec<RowOut<'o>>,
}

#[derive(Serialize)]
struct RowOut<'o> {
    budget: f64,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'o str>,
    #[serde(flatten)]
    placement: Option<PlacementOut>,
    #[serde(flatten)]
    node: Option<NodeOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_time_per_s: Option<EstimateOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attainment: Option<EstimateOut>,
}

#[derive(Serialize)]
struct PlacementOut {
    delay_s: f64,
    bound_s: f64,
    mean_bits: f64,
    of_16_bits: f64,
    of_32_bits: f64,
    weight_error: f64,
}

#[derive(Serialize)]
struct NodeOut {
    perplexity_increase: f64,
    memory_factor: f64,
    time_factor: f64,
    compute_flops: f64,
    effective_flops: f64,
    kv_tokens: u64,
}

#[derive(Serialize)]
struct EstimateOut {
    mean: f64,
    /// None of one value.
    half_width: Option<f64>,
    values: u64,
}

impl EstimateOut {
    fn of(e: Estimate) -> EstimateOut {
        EstimateOut { mean: e.mean, half_width: (e.values > 1).then_some(e.half_width), values: e.values }
    }
}

/// As JSON, ending in a line feed. The order of its fields is fixed.
pub fn to_json(r: &Report<'_>) -> String {
    let placement = |s: &Solution| {
        let bits = mean_bits(r.problem, &s.seats);
        PlacementOut {
            delay_s: s.usage.delay_s,
            bound_s: s.bound_s,
            mean_bits: bits,
            of_16_bits: bits / 16.0,
            of_32_bits: bits / 32.0,
            weight_error: s.usage.quality.iter().sum(),
        }
    };
    let row = |row| {
        let row: &Row = row;
        RowOut {
            budget: row.budget,
            status: row.placed.as_ref().map_or_else(|unplaced| unplaced.status, |s| r.status(s)),
            reason: row.node.as_ref().err().map(String::as_str),
            placement: row.placed.as_ref().ok().map(|s| placement(s)),
            node: row.node.as_ref().ok().map(|n| NodeOut {
                perplexity_increase: n.scenario.quantization.perplexity_increase,
                memory_factor: n.scenario.quantization.memory_factor,
                time_factor: n.scenario.quantization.time_factor,
                compute_flops: n.scenario.node.compute_flops,
                effective_flops: n.effective_flops(),
                kv_tokens: n.kv_tokens,
            }),
            in_time_per_s: row.served().map(EstimateOut::of),
            attainment: row.estimate(|s| s.counts.attainment()).map(EstimateOut::of),
        }
    };
    let out = Out {
        problem: &r.about,
        weight_errors: r.problem.note.as_deref(),
        solver: &r.solver,
        served: &r.served_how,
        assumptions: &r.assumptions,
        rows: r.rows.iter().map(row).collect(),
    };
    // Strings, numbers and lists only: none of them can fail.
    let mut text = serde_json::to_string_pretty(&out).unwrap_or_default();
    text.push('\n');
    text
}
