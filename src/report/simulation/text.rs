//! The report that `dftsp simulate` prints for people.

use std::fmt::Write as _;

use super::super::table;
use super::sections::sections;
use super::{Report, words};

/// The report in words and tables.
pub fn to_text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, report);
    out
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    let run = &report.run;
    writeln!(out, "scenario: {}", run.scenario)?;
    writeln!(out, "arrivals: {}", run.arrivals)?;
    if let Some(scaled) = &run.scaled {
        writeln!(out, "{scaled}")?;
    }
    writeln!(out, "requests: {}", run.needs)?;
    writeln!(out, "run: {}", words::extent(run))?;
    writeln!(out, "rules: {}", words::rules(run))?;
    for section in sections(report) {
        writeln!(out, "\n{}", section.title)?;
        let mut rows = vec![section.header];
        rows.extend(section.rows);
        // The last cell of a row is not aligned: an empty one is added.
        rows.iter_mut().for_each(|row| row.push(String::new()));
        out.push_str(&table::to_text(&rows, &section.right));
        section.notes.iter().try_for_each(|note| write_note(out, note))?;
    }
    if !run.assumptions.is_empty() {
        writeln!(out)?;
    }
    run.assumptions.iter().try_for_each(|assumption| writeln!(out, "assumed: {assumption}"))
}

/// A note, broken at spaces and indented.
fn write_note(out: &mut String, note: &str) -> std::fmt::Result {
    const WIDTH: usize = 116;
    let mut line = String::from(" ");
    for word in note.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(out, "{line}")?;
            line = String::from("   ");
        }
        line.push(' ');
        line.push_str(word);
    }
    writeln!(out, "{line}")
}
