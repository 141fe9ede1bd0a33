//! The table of a choice of precision, for people.

use std::fmt::Write as _;

use super::table;
use crate::certificate::Status;
use crate::instance::Reason;
use crate::precision::{Choice, Entry, Evaluation, Summary};

/// What every precision gives, a line each; the one chosen is marked. The report of its outcome is to follow.
pub fn to_text(choice: &Choice) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = report(&mut out, choice);
    out
}

fn report(out: &mut String, choice: &Choice) -> std::fmt::Result {
    let header = ["", "precision", "α", "β", "ΔPPL", "scheduled", "", "unservable", "accuracy", "binds"];
    let mut rows = vec![header.map(String::from).to_vec()];
    for (at, entry) in choice.entries.iter().enumerate() {
        rows.push(row(entry, at == choice.best));
    }
    out.push_str(&table::to_text(&rows, &[2, 3, 4, 5, 7, 8]));
    let size = choice.outcome.scheduled.len() as u64;
    let name = &choice.scenario.quantization.name;
    match choice.bound() {
        bound if bound == size => writeln!(out, "chosen: {name}; no batch at any of them is larger than {size}")?,
        bound => writeln!(out, "chosen: {name}; a batch at another could be larger, but none larger than {bound}")?,
    }
    writeln!(out)
}

fn row(entry: &Entry, chosen: bool) -> Vec<String> {
    let q = &entry.quantization;
    let mut row = vec![
        if chosen { "*" } else { "" }.to_string(),
        q.name.clone(),
        q.memory_factor.to_string(),
        q.time_factor.to_string(),
        q.perplexity_increase.to_string(),
    ];
    match &entry.evaluation {
        Evaluation::Solved(summary) => row.extend(solved(summary)),
        Evaluation::WeightsDoNotFit { weight_bytes } => {
            row.push("–".to_string());
            row.push(format!("the weights take {weight_bytes:.4e} bytes, more than the memory"));
        }
    }
    row
}

fn solved(s: &Summary) -> [String; 5] {
    let status = match s.status {
        Status::Optimal => "optimal".to_string(),
        Status::Feasible { bound } => format!("at most {bound}"),
    };
    let of = |wanted: fn(Reason) -> bool| -> usize {
        s.unservable.iter().filter(|(reason, _)| wanted(*reason)).map(|(_, count)| count).sum()
    };
    let binding = if s.binding.is_empty() { "nothing".to_string() } else { s.binding.join(", ") };
    let (all, accuracy) = (of(|_| true), of(|reason| reason == Reason::Accuracy));
    [s.size.to_string(), status, all.to_string(), accuracy.to_string(), binding]
}
