//! The tables of a report, with what their columns mean.

use super::super::number::grouped;
use super::{EXACT, Report, mean_batch};
use crate::instance::Reason;
use crate::outcome::CONSTRAINTS;
use crate::simulation::{Counts, Part, Summary};

/// A table and its words.
pub(super) struct Section {
    pub title: &'static str,
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// Columns that are flush right.
    pub right: Vec<usize>,
    /// What the columns mean, and what else is to be said.
    pub notes: Vec<String>,
    /// Files of plots that belong to it.
    pub plots: &'static [&'static str],
}

/// What of a node is used, as the columns of reports.
pub(super) const USED: [&str; 4] = ["uplink", "downlink", "memory", "compute"];

/// What bound the batch where nothing did.
pub(super) const NOTHING: &str = "nothing";

/// All tables, in order.
pub(super) fn sections(report: &Report) -> Vec<Section> {
    let mut sections = vec![fates(report), rates(report)];
    sections.extend(regret(report));
    sections.extend([used(report), binding(report)]);
    sections.extend(parts(report, "By class of service", "class", |s| &s.classes));
    sections.extend(parts(report, "By model", "model", |s| &s.models));
    sections.extend(reasons(report));
    sections
}

fn section(title: &'static str, columns: &[&str], rows: Vec<Vec<String>>, notes: Vec<String>) -> Section {
    let header: Vec<String> = columns.iter().map(|column| (*column).to_string()).collect();
    Section { title, right: (1..header.len()).collect(), header, rows, notes, plots: &[] }
}

fn percent(part: u64, of: u64) -> String {
    if of == 0 { "–".to_string() } else { format!("{:.1}", 100.0 * part as f64 / of as f64) }
}

/// A way in which requests end: its column, how many, and whether it is shown where nobody ended so.
type End = (&'static str, fn(&Counts) -> u64, bool);

const ENDS: [End; 5] = [
    ("late", |c| c.late, false),
    ("expired", |c| c.expired, true),
    ("infeasible", Counts::all_infeasible, true),
    ("refused", |c| c.refused, false),
    ("unfinished", |c| c.unfinished, false),
];

/// The columns of counts that say something somewhere.
fn ends(report: &Report) -> Vec<End> {
    let somewhere = |of: fn(&Counts) -> u64| report.summaries.iter().any(|summary| of(&summary.counts) > 0);
    ENDS.into_iter().filter(|&(_, of, always)| always || somewhere(of)).collect()
}

fn count_cells(counts: &Counts, ends: &[End]) -> Vec<String> {
    let mut cells = vec![grouped(counts.arrived), grouped(counts.in_time), percent(counts.in_time, counts.arrived)];
    cells.extend(ends.iter().map(|(_, of, _)| grouped(of(counts))));
    cells
}

fn row(summary: &Summary, cells: impl IntoIterator<Item = String>) -> Vec<String> {
    std::iter::once(summary.scheduler.clone()).chain(cells).collect()
}

fn rows(report: &Report, cells: impl Fn(&Summary) -> Vec<String>) -> Vec<Vec<String>> {
    report.summaries.iter().map(|summary| row(summary, cells(summary))).collect()
}

fn fates(report: &Report) -> Section {
    let ends = ends(report);
    let columns: Vec<&str> =
        ["scheduler", "arrived", "in time", "%"].into_iter().chain(ends.iter().map(|end| end.0)).collect();
    let meaning = |name: &str| match name {
        "late" => "late: answered after the deadline",
        "expired" => "expired: given up when no epoch to come could have served it in time",
        "infeasible" => "infeasible: the node could never have served it, not even alone",
        "refused" => "refused: it found the queue full",
        _ => "unfinished: still waiting when the run was ended",
    };
    let mut notes = vec!["in time: answered before the deadline, and % of what arrived".to_string()];
    notes.extend(ends.iter().map(|end| meaning(end.0).to_string()));
    notes.extend(report.summaries.iter().filter(|s| s.total.stopped > 0).map(|s| {
        let plural = |nodes: u64| if nodes == 1 { "" } else { "s" };
        let limit = |nodes: u64| format!(" of {} node{}", grouped(nodes), plural(nodes));
        let limit = report.run.node_limit.map_or_else(String::new, limit);
        format!(
            "{}: in {} of {} epochs the search ended at its limit{limit}; the best greedy batch was taken there",
            s.scheduler,
            grouped(s.total.stopped),
            grouped(s.total.epochs)
        )
    }));
    section("What became of the requests", &columns, rows(report, |s| count_cells(&s.counts, &ends)), notes)
}

fn rates(report: &Report) -> Section {
    let late = report.summaries.iter().any(|summary| summary.counts.late > 0);
    let mut columns = vec!["scheduler"];
    columns.extend(late.then_some("throughput /s"));
    columns.extend(["goodput /s", "output tokens /s", "mean batch", "largest", "p50 s", "p95 s", "p99 s"]);
    let cells = |s: &Summary| {
        let mut cells = Vec::new();
        cells.extend(late.then(|| format!("{:.3}", s.throughput())));
        cells.extend([
            format!("{:.3}", s.goodput()),
            format!("{:.1}", s.token_goodput()),
            format!("{:.2}", mean_batch(s)),
            grouped(s.largest_batch),
        ]);
        let latency = s.latency;
        cells.extend([latency.p50_s, latency.p95_s, latency.p99_s].map(|seconds| {
            if s.counts.in_time + s.counts.late == 0 { "–".to_string() } else { format!("{seconds:.3}") }
        }));
        cells
    };
    let nodes = if report.run.settings.nodes == 1 { "" } else { " at all nodes together" };
    let goodput = format!(
        "goodput: requests answered in time{nodes}, for each second in which requests arrive; output tokens: theirs"
    );
    let throughput = match late {
        true => "throughput: all requests answered, in time or late",
        false => "throughput, which counts late answers too, is the same: no answer was late",
    };
    let latency = "p50, p95, p99: percentiles of the time from a request's arrival to its complete answer";
    let notes = [goodput, throughput.to_string(), latency.to_string()];
    let mut section = section("Rates and latencies", &columns, rows(report, cells), notes.into());
    section.plots = &["throughput.svg", "latency.svg", "queue.svg"];
    section
}

fn regret(report: &Report) -> Option<Section> {
    let per_epoch = report.run.settings.regret;
    let total = report.summaries.len() > 1 && report.exact().is_some();
    if !per_epoch && !total {
        return None;
    }
    let unproven = report.summaries.iter().any(|s| s.regret.is_some_and(|regret| regret.unproven > 0));
    let mut columns = vec!["scheduler"];
    if per_epoch {
        columns.extend(["epochs", "short", "missed", "% of largest", "worst epoch"]);
    }
    columns.extend(unproven.then_some("unproven"));
    let of_exact = format!("% of {EXACT}'s");
    if total {
        columns.extend(["total", &of_exact]);
    }
    let exact = report.exact().map_or(0, |exact| exact.counts.in_time);
    let cells = |s: &Summary| {
        let mut cells = Vec::new();
        if let Some(regret) = s.regret {
            let missed = regret.optimum - regret.scheduled;
            cells.extend([regret.epochs, regret.short, missed].map(grouped));
            cells.extend([percent(missed, regret.optimum), grouped(regret.worst)]);
            cells.extend(unproven.then(|| grouped(regret.unproven)));
        }
        if let Some(total) = report.total_regret(s) {
            let sign = if total < 0 { "−" } else { "" };
            cells.push(format!("{sign}{}", grouped(total.unsigned_abs())));
            cells.push(format!("{sign}{}", percent(total.unsigned_abs(), exact)));
        }
        cells
    };
    let mut notes = Vec::new();
    if per_epoch {
        notes.push(
            "per epoch, against the largest batch of the same queue: short: epochs in which there was a larger one (of \
             those that found the node free); missed: by how many requests, all epochs together"
                .to_string(),
        );
    }
    if unproven {
        notes.push("unproven: epochs whose largest batch is not proven to be it; more may be missed there".to_string());
    }
    if total {
        notes.push(format!(
            "total: over the run, in which each scheduler has the queues that its own choices left: how many requests more \
             {EXACT} answered in time in its own run (below 0: fewer; the largest batch now may leave less for later)"
        ));
    }
    let mut section = section("Regret", &columns, rows(report, cells), notes);
    if report.summaries.len() > 1 {
        section.plots = &["regret.svg"];
    }
    Some(section)
}

fn used(report: &Report) -> Section {
    let columns = ["scheduler"].into_iter().chain(USED).chain(["longest queue"]).collect::<Vec<_>>();
    let cells = |s: &Summary| {
        let parts = s.mean_used().into_iter().zip(s.peak_used);
        let mut cells: Vec<String> =
            parts.map(|(mean, peak)| format!("{:.1} ({:.1})", 100.0 * mean, 100.0 * peak)).collect();
        cells.push(grouped(s.longest_queue));
        cells
    };
    let notes = vec![
        "mean over all epochs, and peak in brackets: of each band in its slot; of the memory while a batch computes, \
         weights included; of an epoch's length, what the batch computes (above 100: it outlasts the epoch)"
            .to_string(),
    ];
    let mut section = section("Use of the node, %", &columns, rows(report, cells), notes);
    section.plots = &["utilisation.svg"];
    section
}

fn binding(report: &Report) -> Section {
    let columns = ["scheduler"].into_iter().chain(CONSTRAINTS).chain([NOTHING, "node busy"]).collect::<Vec<_>>();
    let cells = |s: &Summary| {
        let t = &s.total;
        let bound: u64 = t.binding.iter().sum();
        let none = t.epochs.saturating_sub(bound + t.busy);
        t.binding.into_iter().chain([none, t.busy]).map(|epochs| percent(epochs, t.epochs)).collect()
    };
    let notes = vec![
        "each epoch is counted where it belongs: by the constraint that kept the most requests from joining the batch \
         (the first of several), by none of them (no queue, or a scheduler that left room), or as one that found the node busy"
            .to_string(),
    ];
    let mut section = section("What bound the batch, % of epochs", &columns, rows(report, cells), notes);
    section.plots = &["binding.svg"];
    section
}

/// Counts of several classes or models; nothing where there is only one.
fn parts(report: &Report, title: &'static str, what: &str, of: fn(&Summary) -> &Vec<Part>) -> Option<Section> {
    if of(report.summaries.first()?).len() < 2 {
        return None;
    }
    let ends = ends(report);
    let columns: Vec<&str> =
        ["scheduler", what, "arrived", "in time", "%"].into_iter().chain(ends.iter().map(|end| end.0)).collect();
    let mut rows = Vec::new();
    for summary in &report.summaries {
        for (at, part) in of(summary).iter().enumerate() {
            let name = if at == 0 { summary.scheduler.clone() } else { String::new() };
            rows.push([vec![name, part.name.clone()], count_cells(&part.counts, &ends)].concat());
        }
    }
    let mut section = section(title, &columns, rows, Vec::new());
    section.right.retain(|&column| column > 1);
    Some(section)
}

/// Infeasible requests by reason, where there are some.
fn reasons(report: &Report) -> Option<Section> {
    let there = |reason: &Reason| report.summaries.iter().any(|s| s.counts.infeasible[*reason as usize] > 0);
    let reasons: Vec<Reason> = Reason::ALL.into_iter().filter(there).collect();
    if reasons.is_empty() {
        return None;
    }
    let columns: Vec<&str> = ["scheduler"].into_iter().chain(reasons.iter().map(|reason| reason.as_str())).collect();
    let cells = |s: &Summary| reasons.iter().map(|&reason| grouped(s.counts.infeasible[reason as usize])).collect();
    let notes = vec!["the first reason that holds for a request, in this order".to_string()];
    Some(section("Infeasible requests by reason", &columns, rows(report, cells), notes))
}
