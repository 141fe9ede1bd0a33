//! The report as a document beside its plots.

use super::super::markdown::{heading, image, paragraph, table};
use super::sections::sections;
use super::{Report, words};

/// The report in Markdown, with the plots of [`plot_names`](super::plot_names).
pub fn to_markdown(report: &Report) -> String {
    let (run, plots) = (&report.run, report.plot_names());
    let mut out = heading(1, "An edge node over time");
    let mut about = vec![
        ("scenario", run.scenario.clone()),
        ("arrivals", run.arrivals.clone()),
        ("requests", run.needs.clone()),
        ("run", words::extent(run)),
        ("rules", words::rules(run)),
    ];
    if let Some(scaled) = run.scaled.as_deref() {
        about.insert(2, ("scaled", scaled.strip_prefix("scaled: ").unwrap_or(scaled).to_string()));
    }
    let rows: Vec<Vec<String>> = about.into_iter().map(|(what, is)| vec![what.to_string(), is]).collect();
    out.push_str(&table(&["what", "was run"], &rows, &[]));
    // Longer fences hold shorter ones, whatever the command has in it.
    let longest = run.command.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    out.push_str(&paragraph(
        "The same command gives the same files, byte for byte, on any number of threads (options that change nothing in \
         them are left out):",
    ));
    out.push_str(&format!("{fence}text\n{}\n{fence}\n\n", run.command));
    for section in sections(report) {
        out.push_str(&heading(2, section.title));
        let header: Vec<&str> = section.header.iter().map(String::as_str).collect();
        out.push_str(&table(&header, &section.rows, &section.right));
        if !section.notes.is_empty() {
            let notes: Vec<String> = section.notes.iter().map(|note| format!("- {note}")).collect();
            out.push_str(&paragraph(&notes.join("\n")));
        }
        for name in section.plots.iter().filter(|name| plots.contains(name)) {
            out.push_str(&image(name.trim_end_matches(".svg"), name));
        }
    }
    if !run.assumptions.is_empty() {
        out.push_str(&heading(2, "Assumed"));
        let assumed: Vec<String> = run.assumptions.iter().map(|assumption| format!("- {assumption}")).collect();
        out.push_str(&paragraph(&assumed.join("\n")));
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}
