//! The plots of a sweep: a metric over the first axis, a line (over names: a bar) for each scheduler, a panel for each
//! value of the second axis; the values of a third axis are lines or bars too.

use super::super::plot::{Axis, BarSet, Bars, Panel, Plot, Result, Series, Style};
use super::Report;
use crate::experiment::statistics::Estimate;
use crate::experiment::sweep::Metric;

/// Files, titles and metrics.
const PLOTS: [(&str, &str, &str); 4] = [
    ("goodput.svg", "Goodput", "goodput_per_s"),
    ("in-time.svg", "Requests answered in time", "in_time_percent"),
    ("latency.svg", "Latency", "latency_p95_s"),
    ("regret.svg", "Regret", "regret_percent"),
];

/// The most panels, and lines or bars in each: what can be told apart.
const PANELS: usize = 6;
const LINES: usize = 9;
/// Of bars, the most categories.
const CATEGORIES: usize = 24;
/// More points have no marks.
const MARKS: usize = 30;

/// The plots, as file, title and SVG.
///
/// # Errors
/// Those of the drawing library.
pub fn plots(report: &Report<'_>) -> Result<Vec<(&'static str, &'static str, String)>> {
    let mut drawn = Vec::new();
    for (file, title, name) in PLOTS {
        if let Some(metric) = report.metrics().find(|metric| metric.name == name) {
            drawn.push((file, title, plot(report, title, metric).to_svg()?));
        }
    }
    Ok(drawn)
}

/// Which values of an axis are shown: all, or some from the first to the last.
fn chosen(values: usize, most: usize) -> Vec<usize> {
    if values <= most {
        return (0..values).collect();
    }
    match most {
        0 | 1 => vec![0],
        _ => (0..most).map(|at| at * (values - 1) / (most - 1)).collect(),
    }
}

fn plot(report: &Report<'_>, title: &str, metric: &Metric) -> Plot {
    let plan = report.sweep.plan();
    let count = |axis: usize| plan.axes.get(axis).map_or(1, |axis| axis.values.len());
    let panels = chosen(count(1), PANELS);
    let thirds = chosen(count(2), (LINES / plan.entrants.len().max(1)).max(1));
    // One value makes no line.
    let numbers = plan.axes[0].numbers().filter(|numbers| numbers.len() > 1);
    let firsts = chosen(count(0), if numbers.is_some() { usize::MAX } else { CATEGORIES });
    let estimate = |first: usize, second: usize, third: usize, entrant: usize| {
        let point = (first * count(1) + second) * count(2) + third;
        report.rows[point * plan.entrants.len() + entrant].estimate(metric)
    };
    let label = |third: usize, entrant: usize| {
        let name = &plan.entrants[entrant].name;
        plan.axes.get(2).map_or_else(|| name.clone(), |axis| format!("{name}, {} = {}", axis.key, axis.values[third]))
    };
    let lines = || thirds.iter().flat_map(|&third| (0..plan.entrants.len()).map(move |entrant| (third, entrant)));
    let panel = |&second: &usize| {
        let title = plan.axes.get(1).map_or_else(String::new, |axis| format!("{} = {}", axis.key, axis.values[second]));
        match &numbers {
            Some(xs) => {
                let series = lines().map(|(third, entrant)| {
                    let points = xs.iter().enumerate().map(|(first, &x)| (x, estimate(first, second, third, entrant)));
                    line(label(third, entrant), points.filter_map(|(x, y)| Some((x, y?))).collect())
                });
                Panel { title, series: series.collect(), ..Panel::default() }
            }
            None => {
                let categories = firsts.iter().map(|&first| plan.axes[0].values[first].clone()).collect();
                let set = |(third, entrant)| {
                    bars(label(third, entrant), firsts.iter().map(|&first| estimate(first, second, third, entrant)))
                };
                let bars = Bars { categories, sets: lines().map(set).collect(), stacked: false };
                Panel { title, bars: Some(bars), ..Panel::default() }
            }
        }
    };
    let interval = if plan.seeds > 1 {
        format!(", means over seeds 1 to {}, ± 95 % confidence", plan.seeds)
    } else {
        String::new()
    };
    let mut caption = vec![format!("{} s of arrivals a run{interval}", plan.settings.duration_s)];
    caption.extend(report.run.scaled.clone());
    let shown = [(0, firsts.len()), (1, panels.len()), (2, thirds.len())];
    for (axis, shown) in shown.into_iter().filter(|&(axis, shown)| shown < count(axis)) {
        caption.push(format!("{shown} of {} values of {} are shown", count(axis), plan.axes[axis].key));
    }
    Plot {
        title: title.to_string(),
        caption,
        x: Axis { label: plan.axes[0].key.clone(), log: plan.axes[0].is_geometric(), ..Axis::default() },
        y: Axis { label: metric.label.to_string(), from: Some(0.0), ..Axis::default() },
        panels: panels.iter().map(panel).collect(),
    }
}

fn line(label: String, mut ys: Vec<(f64, Estimate)>) -> Series {
    ys.sort_by(|a, b| a.0.total_cmp(&b.0));
    let style = if ys.len() > MARKS { Style::Line } else { Style::LineAndMarks };
    Series {
        label,
        points: ys.iter().map(|(x, y)| (*x, y.mean)).collect(),
        band: Some(ys.iter().map(|(_, y)| y.interval()).collect()),
        style,
    }
}

fn bars(label: String, ys: impl Iterator<Item = Option<Estimate>>) -> BarSet {
    let none = Estimate { mean: f64::NAN, half_width: f64::NAN, values: 0 };
    let ys: Vec<Estimate> = ys.map(|y| y.unwrap_or(none)).collect();
    let known = ys.iter().any(|y| y.half_width.is_finite());
    BarSet {
        label,
        values: ys.iter().map(|y| y.mean).collect(),
        whiskers: known.then(|| ys.iter().map(Estimate::interval).collect()),
    }
}
