//! Measurements of the backends for people, as a table of all samples' medians (CSV), and as JSON.

use std::fmt::Write as _;

use super::number::{grouped, milliseconds};
use super::{devices, table};
use crate::compare::{Comparison, Crossover, Figure, Kind, Row};
use crate::device::Choice;

/// The comparison in words and one table.
pub fn to_text(c: &Comparison) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = report(&mut out, c);
    out
}

fn report(out: &mut String, c: &Comparison) -> std::fmt::Result {
    writeln!(out, "{}", about(c))?;
    if let Some(device) = about_device(c) {
        writeln!(out, "{device}")?;
    }
    writeln!(out)?;
    let header = ["instances", "requests", "batch", "bound", "done on", "time", "throughput"];
    let mut rows = vec![header.map(String::from).to_vec()];
    let mut note = false;
    for row in &c.rows {
        for (at, (setting, figure)) in c.plan.settings.iter().zip(&row.figures).enumerate() {
            let first = |text: String| if at == 0 { text } else { String::new() };
            let alone = setting.choice == Choice::Cuda && figure.on_device == 0;
            note |= alone;
            let name = format!("{}{}", setting.name(), if alone { " *" } else { "" });
            let batch = [first(grouped(figure.size)), first(grouped(figure.bound))];
            let [batch, bound] =
                if figure.differs.is_some() { [figure.size, figure.bound].map(grouped) } else { batch };
            rows.push(vec![
                first(instances(row)),
                first(if row.requests == 0 { "–".to_string() } else { grouped(row.requests) }),
                batch,
                bound,
                name,
                milliseconds(figure.median()),
                format!("{}{}", throughput(c, row, figure), if figure.work.stopped { ", stopped" } else { "" }),
            ]);
        }
    }
    out.push_str(&table::to_text(&rows, &[1, 2, 3, 5]));
    if note {
        writeln!(out, "  * no part of it was worth the way to the device")?;
    }
    if c.rows.iter().any(|row| row.figures.iter().any(|figure| figure.work.stopped)) {
        writeln!(out, "  stopped: the time limit struck; the batch is feasible, the bound proven")?;
    }
    writeln!(out)?;
    for &kind in &c.plan.kinds {
        match c.crossover(kind) {
            None => {}
            Some(Crossover::Never) => {
                writeln!(out, "crossover, {}: the device is not faster at the largest size", kind.name())?;
            }
            Some(Crossover::From(requests)) => {
                let from = grouped(requests);
                writeln!(out, "crossover, {}: the device is faster from {from} requests on", kind.name())?;
            }
        }
    }
    let troubles = c.troubles();
    troubles.iter().try_for_each(|trouble| writeln!(out, "DIFFERENT: {trouble}"))?;
    let solved = || c.rows.iter().filter(|row| row.kind != Kind::BoundPass);
    if troubles.is_empty() && c.plan.settings.len() > 1 && solved().count() > 0 {
        let stopped = solved().filter(|row| row.figures.iter().any(|figure| figure.work.stopped)).count();
        match stopped {
            0 => writeln!(out, "the same rows, certificates and counters everywhere")?,
            _ => writeln!(
                out,
                "no contradiction; the time limit stopped {stopped} rows, which are not compared further"
            )?,
        }
    }
    Ok(())
}

/// What was measured, in a line.
pub fn about(c: &Comparison) -> String {
    let repeat = match c.plan.repeat {
        1 => "one sample each".to_string(),
        repeat => format!("medians of {repeat}"),
    };
    format!("solver flat, seed {}, {repeat}", c.plan.seed)
}

/// The device in a line, or why there is none; nothing if none was asked for.
pub fn about_device(c: &Comparison) -> Option<String> {
    c.plan.asks_for_device.then(|| match devices::usable(&c.found) {
        Ok(facts) => format!("cuda: {}", facts.name),
        Err(why) => format!("no CUDA device will be used: {why}"),
    })
}

fn instances(row: &Row) -> String {
    match row.kind {
        Kind::HardLeaves => format!("{} ({})", row.kind.name(), row.instances),
        Kind::Cells => format!("{} cells", grouped(row.instances)),
        _ => row.kind.name().to_string(),
    }
}

fn throughput(c: &Comparison, row: &Row, figure: &Figure) -> String {
    let (rate, unit) = (row.count() as f64 / figure.median(), row.kind.unit());
    let rate = if rate >= 1e6 {
        format!("{:.1} M {unit}/s", rate / 1e6)
    } else {
        format!("{} {unit}/s", grouped(rate as u64))
    };
    let Some(bandwidth) = row.bandwidth(figure) else { return rate };
    let of_peak =
        of_peak(c, row, figure).map_or_else(String::new, |part| format!(", {:.0} % of the peak", part * 100.0));
    format!("{rate}, {:.1} GB/s{of_peak}", bandwidth / 1e9)
}

/// Which part of the bandwidth of the device a bound pass reads with.
fn of_peak(c: &Comparison, row: &Row, figure: &Figure) -> Option<f64> {
    let peak = devices::usable(&c.found).ok()?.bandwidth;
    (figure.on_device > 0 && peak > 0).then_some(row.bandwidth(figure)? / peak as f64)
}

/// A line for each set of instances and setting.
pub fn to_csv(c: &Comparison) -> String {
    let mut out = String::from(
        "instances,count,requests,backend,threads,on_device,samples,median_ms,least_ms,most_ms,size,bound,stopped,agrees,\
         throughput_per_s,unit,gb_per_s,of_peak,bound_passes,subproblems,nodes,work_items,paths_checked,paths_open\n",
    );
    for row in &c.rows {
        for (setting, f) in c.plan.settings.iter().zip(&row.figures) {
            let ms = |seconds: Option<&f64>| seconds.map_or(f64::NAN, |seconds| seconds * 1e3);
            let (w, agrees) = (f.work, f.differs.is_none() && f.fault.is_none());
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "{},{},{},{},{},{},{},{:.6},{:.6},{:.6},{},{},{},{agrees},{:.0},{},{},{},{},{},{},{},{},{}",
                row.kind.name(),
                row.instances,
                if row.requests == 0 { String::new() } else { row.requests.to_string() },
                setting.backend(),
                setting.threads,
                f.on_device,
                f.samples.len(),
                f.median() * 1e3,
                ms(f.samples.first()),
                ms(f.samples.last()),
                f.size,
                f.bound,
                w.stopped,
                row.count() as f64 / f.median(),
                row.kind.unit(),
                row.bandwidth(f).map_or_else(String::new, |bandwidth| format!("{:.3}", bandwidth / 1e9)),
                of_peak(c, row, f).map_or_else(String::new, |part| format!("{part:.4}")),
                w.bound_passes,
                w.subproblems,
                w.nodes,
                w.work_items,
                w.paths_checked,
                w.paths_open,
            );
        }
    }
    out
}

/// The comparison as a JSON document, ending in a line feed.
#[cfg(feature = "files")]
pub fn to_json(c: &Comparison) -> String {
    // Strings and numbers only: none of them can fail.
    let mut text = serde_json::to_string_pretty(&json::comparison(c)).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(feature = "files")]
mod json {
    use serde::Serialize;

    use crate::compare::{Comparison, Crossover, Figure, Row, Setting};
    use crate::report::devices::json::{FoundOut, found};
    use crate::report::json::{WorkOut, work};

    #[derive(Serialize)]
    pub(super) struct ComparisonOut<'c> {
        seed: u64,
        repeat: usize,
        agrees: bool,
        troubles: Vec<String>,
        devices: FoundOut<'c>,
        rows: Vec<RowOut>,
        crossover: Vec<CrossoverOut>,
    }

    #[derive(Serialize)]
    struct RowOut {
        instances: &'static str,
        count: u64,
        requests: Option<u64>,
        settings: Vec<FigureOut>,
    }

    #[derive(Serialize)]
    struct FigureOut {
        backend: &'static str,
        threads: usize,
        on_device: usize,
        seconds: f64,
        samples: Vec<f64>,
        size: u64,
        bound: u64,
        throughput_per_s: f64,
        unit: &'static str,
        bytes_per_s: Option<f64>,
        of_peak: Option<f64>,
        agrees: bool,
        work: WorkOut,
    }

    /// `requests` is null where the device is not faster at the largest size.
    #[derive(Serialize)]
    struct CrossoverOut {
        instances: &'static str,
        requests: Option<u64>,
    }

    pub(super) fn comparison(c: &Comparison) -> ComparisonOut<'_> {
        let crossover = c.plan.kinds.iter().filter_map(|&kind| {
            let requests = match c.crossover(kind)? {
                Crossover::From(requests) => Some(requests),
                Crossover::Never => None,
            };
            Some(CrossoverOut { instances: kind.name(), requests })
        });
        ComparisonOut {
            seed: c.plan.seed,
            repeat: c.plan.repeat,
            agrees: c.agrees(),
            troubles: c.troubles(),
            devices: found(&c.found),
            rows: c.rows.iter().map(|r| row(c, r)).collect(),
            crossover: crossover.collect(),
        }
    }

    fn row(c: &Comparison, row: &Row) -> RowOut {
        let figure = |(setting, f): (&Setting, &Figure)| FigureOut {
            backend: setting.backend(),
            threads: setting.threads,
            on_device: f.on_device,
            seconds: f.median(),
            samples: f.samples.clone(),
            size: f.size,
            bound: f.bound,
            throughput_per_s: row.count() as f64 / f.median(),
            unit: row.kind.unit(),
            bytes_per_s: row.bandwidth(f),
            of_peak: super::of_peak(c, row, f),
            agrees: f.differs.is_none() && f.fault.is_none(),
            work: work(&f.work),
        };
        RowOut {
            instances: row.kind.name(),
            count: row.instances,
            requests: (row.requests > 0).then_some(row.requests),
            settings: c.plan.settings.iter().zip(&row.figures).map(figure).collect(),
        }
    }
}

/// Time to proof against requests, a panel for each kind that comes in sizes and a line for each setting. `caption`
/// says below it where the times are from.
///
/// # Errors
/// Those of [`Plot::to_svg`](super::plot::Plot::to_svg).
#[cfg(feature = "plots")]
pub fn to_svg(c: &Comparison, caption: &[String]) -> super::plot::Result<String> {
    use super::plot::{Axis, Panel, Plot, Series};

    let series = |kind: Kind, at: usize| {
        let rows = c.rows.iter().filter(|row| row.kind == kind);
        let point = |row: &Row| Some((row.requests as f64, row.figures.get(at)?.median() * 1e3));
        let mut points: Vec<(f64, f64)> = rows.filter_map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series { label: c.plan.settings[at].name(), points, ..Series::default() }
    };
    let panel = |kind: Kind| Panel {
        title: match kind {
            Kind::Fading => "fading: all four constraints bind",
            Kind::Shared => "shared: one channel for all users",
            Kind::Paper => "paper: only the deadline binds",
            Kind::Continuous => "continuous: fading, any length",
            _ => kind.name(),
        }
        .to_string(),
        series: (0..c.plan.settings.len()).map(|at| series(kind, at)).collect(),
        ..Panel::default()
    };
    let kinds = c.plan.kinds.iter().filter(|kind| kind.is_solved_by_size());
    Plot {
        title: "Time to a proven optimum".to_string(),
        caption: [vec![about(c)], about_device(c).into_iter().collect(), caption.to_vec()].concat(),
        x: Axis { label: "requests".to_string(), log: true, ..Axis::default() },
        y: Axis { label: "time, ms".to_string(), log: true, ..Axis::default() },
        panels: kinds.map(|&kind| panel(kind)).collect(),
    }
    .to_svg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{self, Plan, Setting};
    use std::time::Duration;

    fn comparison() -> Comparison {
        let plan = Plan {
            kinds: vec![Kind::Fading, Kind::Cells, Kind::BoundPass],
            requests: vec![100, 1000],
            cells: (10, 50),
            seed: 1,
            settings: [1, 2].map(|threads| Setting { choice: Choice::Cpu, threads }).to_vec(),
            asks_for_device: true,
            repeat: 2,
            time_limit: Duration::from_secs(60),
        };
        compare::run(&plan, &mut |_| {}).unwrap()
    }

    #[test]
    fn every_setting_has_its_line() {
        let c = comparison();
        let text = to_text(&c);
        assert_eq!((text.matches("cpu, 1 thread").count(), text.matches("cpu, 2 threads").count()), (5, 5), "{text}");
        assert!(text.contains("cells/s") && text.contains("requests/s") && text.contains("\nthe same rows"), "{text}");
        let csv = to_csv(&c);
        let columns: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(columns, [24; 11], "{csv}");
    }

    #[test]
    fn what_differs_is_said() {
        let mut c = comparison();
        c.rows[1].figures[1].differs = Some("a batch of 1, not 2".to_string());
        let text = to_text(&c);
        let line = "DIFFERENT: fading, 1000 requests: cpu, 2 threads differs from cpu, 1 thread: a batch of 1, not 2\n";
        assert!(text.contains(line) && !text.contains("the same rows"), "{text}");
        assert!(to_csv(&c).lines().nth(4).unwrap().contains(",false,false,"));
    }

    #[cfg(feature = "files")]
    #[test]
    fn json_holds_every_figure() {
        let json: serde_json::Value = serde_json::from_str(&to_json(&comparison())).unwrap();
        assert_eq!(json["agrees"], true);
        assert_eq!(json["rows"][2]["settings"][1]["unit"], "cells");
        assert_eq!(json["rows"][0]["settings"][0]["samples"].as_array().unwrap().len(), 2);
    }
}
