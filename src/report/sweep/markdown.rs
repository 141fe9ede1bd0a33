//! The report as a document beside its plots.

use super::super::markdown::{heading, paragraph, table};
use super::Report;
use crate::report::number::grouped;
use crate::scenario::file;

/// The most rows that the table of the document has.
const ROWS: usize = 60;

/// The report in Markdown, with these plots (file and title).
pub fn to_markdown(report: &Report<'_>, plots: &[(&str, &str)]) -> String {
    let run = &report.run;
    let mut out = heading(1, "Sweep");
    let about: Vec<Vec<String>> = report.about().into_iter().map(|(label, text)| vec![label, text]).collect();
    out.push_str(&table(&["what", "was run"], &about, &[]));
    out.push_str(&paragraph(&format!(
        "Made by dftsp {} with the command below. It gives the same files, byte for byte, on any number of threads and \
         however often it is interrupted and started again (options that change nothing in them are left out).",
        env!("CARGO_PKG_VERSION")
    )));
    out.push_str(&fenced("text", &run.command));
    let files = "`sweep.csv` has a row for each point and scheduler, with the mean of every metric over the seeds and \
                 the half-width of its 95 % confidence interval (Student's t); `runs.csv` has a row for each run.";
    out.push_str(&heading(2, "Results"));
    let short = report.table();
    if short.rows.len() > ROWS {
        out.push_str(&paragraph(&format!("{} rows. {files}", grouped(short.rows.len() as u64))));
    } else {
        let header: Vec<&str> = short.header.iter().map(String::as_str).collect();
        out.push_str(&table(&header, &short.rows, &short.right));
        let notes: Vec<String> = short.notes.iter().map(|note| format!("- {note}")).collect();
        out.push_str(&paragraph(&notes.join("\n")));
        out.push_str(&paragraph(files));
    }
    for (name, title) in plots {
        out.push_str(&super::super::markdown::image(title, name));
    }
    if !run.assumptions.is_empty() {
        out.push_str(&heading(2, "Assumed"));
        let assumed: Vec<String> = run.assumptions.iter().map(|assumption| format!("- {assumption}")).collect();
        out.push_str(&paragraph(&assumed.join("\n")));
    }
    if let Some(point) = report.sweep.points().first() {
        out.push_str(&heading(2, "Scenario of the first point"));
        out.push_str(&paragraph("The others differ from it in what is varied, and runs in `synthesis.seed`."));
        out.push_str(&fenced("toml", file::to_toml(&point.scenario).trim_end()));
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// Longer fences hold shorter ones, whatever the text has in it.
fn fenced(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{text}\n{fence}\n\n")
}
