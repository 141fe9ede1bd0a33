//! The report that `dftsp sweep` prints for people.

use super::super::table;
use super::Report;

/// The report in words and a table.
pub fn to_text(report: &Report<'_>) -> String {
    let mut out: String = report.about().iter().map(|(label, text)| format!("{label}: {text}\n")).collect();
    let short = report.table();
    // The first column of such a table is for marks, of which there are none.
    let marked = |row: Vec<String>| std::iter::once(String::new()).chain(row).collect();
    let rows: Vec<Vec<String>> = std::iter::once(short.header).chain(short.rows).map(marked).collect();
    let right: Vec<usize> = short.right.iter().map(|at| at + 1).collect();
    out.push('\n');
    out.push_str(&table::to_text(&rows, &right));
    out.extend(short.notes.iter().map(|note| format!("  {note}\n")));
    if !report.run.assumptions.is_empty() {
        out.push('\n');
    }
    out.extend(report.run.assumptions.iter().map(|assumption| format!("assumed: {assumption}\n")));
    out
}
