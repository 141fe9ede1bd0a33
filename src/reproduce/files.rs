//! A reproduction as files: `report.md`, a CSV for each table, an SVG for each plot.

use super::{Section, Table, Target, Verdict};
use crate::report::markdown;
use crate::report::plot::Result;
use crate::report::table::quoted;

/// The most rows that a table of the report has; longer ones are in their CSV files only.
const ROWS: usize = 40;

const SCHEDULER: &str = "The simulations of section IV of Zhang et al., *Edge Intelligence Optimization for Large Language \
    Model Inference with Batching and Quantization* (arXiv 2405.07140), run again, and what the paper does not show. The \
    figures and claims of the paper are cited; all else is measured here.";
const PLACEMENT: &str = "Section placement is about another paper: Hosseinzadeh and Khamfroush, *DILEMMA: Joint LLM \
    Quantization and Distributed LLM Inference Over Edge Computing Systems* (arXiv 2503.01704); there, \"paper\" is that one. \
    **The weight errors there are synthetic.**";
const COMPARED: &str = "Runs are compared seed by seed. A claim *holds* if at every point the 95 % confidence interval of the \
    difference lies on its side (or there is no difference at all); it *is not refuted* if it lies on the other side at no \
    point, but holds 0 at some; it *does not hold* if it lies on the other side at some point.";
const VARIED: &str = " Of what the paper leaves open, the figures vary from when deadlines count, whether a batch may outlast \
    its epoch where it could, and β; section sensitivity varies the size of StB and more. ";

/// What the report says of how it was made.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// The command line.
    pub command: String,
}

/// The files, with their names.
///
/// # Errors
/// Those of drawing.
pub fn files(sections: &[Section], made: &Made) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for section in sections {
        files.extend(section.tables.iter().map(|table| (format!("{}.csv", table.name), csv(table))));
        for (name, plot) in &section.plots {
            files.push((format!("{name}.svg"), plot.to_svg()?));
        }
    }
    // Last, so that a report never links to what could not be written.
    files.push(("report.md".to_string(), report(sections, made)));
    Ok(files)
}

/// A line for each claim, for the terminal.
pub fn verdicts(sections: &[Section]) -> String {
    let mut out = String::new();
    for section in sections {
        for claim in &section.claims {
            let (name, verdict) = (section.target.name(), claim.verdict.as_str());
            out.push_str(&format!("{name}: {verdict}: {}\n  here: {}\n", claim.claim, claim.ours));
        }
    }
    out
}

fn report(sections: &[Section], made: &Made) -> String {
    let mut out = markdown::heading(1, "Reproduction");
    let placement = sections.iter().any(|section| section.target == Target::Placement);
    let scheduler = sections.iter().any(|section| section.target != Target::Placement);
    if scheduler {
        out += &markdown::paragraph(SCHEDULER);
    }
    if placement {
        out += &markdown::paragraph(PLACEMENT);
    }
    let varied = if scheduler { VARIED } else { " " };
    out +=
        &markdown::paragraph(&format!("{COMPARED}{varied}Where readings differ in the verdict, it *depends* on them."));
    out += &markdown::paragraph(&format!(
        "Made by `{}`, dftsp {}. The same command gives the same bytes on any machine and any number of threads.",
        made.command,
        env!("CARGO_PKG_VERSION")
    ));
    let claims: Vec<Vec<String>> = sections
        .iter()
        .flat_map(|section| section.claims.iter().map(move |claim| (section, claim)))
        .map(|(section, claim)| {
            let name = section.target.name();
            let verdict = match claim.verdict {
                Verdict::Holds | Verdict::Open => claim.verdict.as_str().to_string(),
                Verdict::Depends | Verdict::Fails => format!("**{}**", claim.verdict.as_str()),
            };
            let source = claim.source.as_str().to_string();
            vec![format!("[{name}](#{name})"), source, claim.claim.clone(), claim.ours.clone(), verdict]
        })
        .collect();
    if !claims.is_empty() {
        out += &markdown::heading(2, "Claims");
        out += &markdown::table(&["", "whose", "claim", "here", "it"], &claims, &[]);
    }
    for section in sections {
        out += &format!("\n<a id=\"{}\"></a>\n\n", section.target.name());
        out += &markdown::heading(2, &section.title);
        out += &markdown::paragraph(&section.setup);
        for (name, plot) in &section.plots {
            out += &markdown::paragraph(&markdown::image(&plot.title, &format!("{name}.svg")));
        }
        for claim in &section.claims {
            let (claim, source) = (claim, claim.source.as_str());
            out += &format!("- {} ({source}): {}. *It {}.*\n", claim.claim, claim.ours, claim.verdict.as_str());
        }
        if !section.claims.is_empty() {
            out.push('\n');
        }
        for remark in &section.remarks {
            out += &markdown::paragraph(remark);
        }
        for table in &section.tables {
            let link = format!("[{0}.csv]({0}.csv)", table.name);
            if table.rows.len() > ROWS {
                out += &markdown::paragraph(&format!("{} {} rows: {link}.", table.caption, table.rows.len()));
                continue;
            }
            out += &markdown::paragraph(&format!("{} ({link})", table.caption));
            let header: Vec<&str> = table.header.iter().map(String::as_str).collect();
            out += &markdown::table(&header, &table.rows, &numeric(table));
            out.push('\n');
        }
    }
    out
}

/// The columns that hold numbers only.
fn numeric(table: &Table) -> Vec<usize> {
    let is_number = |cell: &str| cell.trim_end_matches(" %").parse::<f64>().is_ok();
    (0..table.header.len()).filter(|&at| table.rows.iter().all(|row| is_number(&row[at]))).collect()
}

fn csv(table: &Table) -> String {
    let line = |cells: &[String]| cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\n";
    let rows = table.rows.iter().map(|row| line(row));
    line(&table.header) + &rows.collect::<String>()
}
