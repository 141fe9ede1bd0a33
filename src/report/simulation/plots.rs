//! The plots of a simulation.

use super::super::number::grouped;
use super::super::plot::{Axis, Panel, Plot, Result, Series, Style};
use super::sections::NOTHING;
use super::{EXACT, Report, words};
use crate::outcome::CONSTRAINTS;
use crate::simulation::{Bin, Series as Sums, Summary};

/// The most points of a line over time: neighbouring epochs are put together beyond it.
const POINTS: usize = 32;

/// The files and their plots, as SVG documents; always those that [`plot_names`](super::plot_names) names.
///
/// # Errors
/// Those of drawing; none is known.
pub fn plots(report: &Report) -> Result<Vec<(&'static str, String)>> {
    let draw = |name| -> Result<(&'static str, String)> {
        let plot = match name {
            "throughput.svg" => throughput(report),
            "queue.svg" => queue(report),
            "utilisation.svg" => utilisation(report),
            "latency.svg" => latency(report),
            "binding.svg" => binding(report),
            _ => regret(report),
        };
        Ok((name, plot.to_svg()?))
    };
    report.plot_names().into_iter().map(draw).collect()
}

/// Some epochs of a run.
struct Stretch {
    /// From the beginning of the first epoch to the end of the last, seconds.
    from_s: f64,
    to_s: f64,
    bin: Bin,
}

impl Stretch {
    fn middle_s(&self) -> f64 {
        f64::midpoint(self.from_s, self.to_s)
    }

    fn rate(&self, count: u64) -> f64 {
        count as f64 / (self.to_s - self.from_s)
    }

    /// The mean over epochs, of something that was added up.
    fn mean(&self, sum: f64) -> f64 {
        sum / self.bin.epochs.max(1) as f64
    }
}

/// How many bins are put together.
fn together(series: &Sums) -> usize {
    series.bins.len().div_ceil(POINTS).max(1)
}

fn stretches(summary: &Summary) -> Vec<Stretch> {
    let (series, nodes) = (&summary.series, u64::from(summary.nodes.max(1)));
    let together = together(series);
    let each = series.epochs_per_bin * together as u64;
    let one = |(at, bins): (usize, &[Bin])| {
        let mut bin = Bin::default();
        bins.iter().for_each(|other| bin.add(other));
        // Epochs are counted from 1.
        let first = (at as u64 * each).max(1);
        let [from_s, to_s] = [first, first + bin.epochs / nodes].map(|epoch| epoch as f64 * summary.epoch_s);
        Stretch { from_s, to_s, bin }
    };
    series.bins.chunks(together).enumerate().map(one).filter(|stretch| stretch.bin.epochs > 0).collect()
}

/// The stretches in which requests arrive, whole; what is left of the queue then is served in the rest.
fn arriving(summary: &Summary) -> Vec<Stretch> {
    let mut stretches = stretches(summary);
    let end_s = ((summary.duration_s / summary.epoch_s).ceil() + 1.5) * summary.epoch_s;
    let whole = stretches.iter().filter(|stretch| stretch.to_s <= end_s).count();
    stretches.truncate(whole.max(1));
    stretches
}

/// A line for each scheduler, over time.
fn lines(report: &Report, y: impl Fn(&Stretch) -> f64) -> Vec<Series> {
    let line = |summary: &Summary| Series {
        label: summary.scheduler.clone(),
        points: arriving(summary).iter().map(|stretch| (stretch.middle_s(), y(stretch))).collect(),
        style: Style::Line,
        ..Series::default()
    };
    report.summaries.iter().map(line).collect()
}

fn axis(label: &str) -> Axis {
    Axis { label: label.to_string(), from: Some(0.0), ..Axis::default() }
}

fn panel(title: &str, y: &str, series: Vec<Series>) -> Panel {
    Panel { title: title.to_string(), y: Some(axis(y)), series, ..Panel::default() }
}

fn plot(report: &Report, title: &str, x: &str, panels: Vec<Panel>) -> Plot {
    let run = &report.run;
    let mut caption = vec![run.command.clone(), words::extent(run)];
    caption.extend(run.scaled.clone());
    Plot { title: title.to_string(), caption, x: axis(x), panels, ..Plot::default() }
}

/// A plot of means over time, which says over how many epochs.
fn over_time(report: &Report, title: &str, panels: Vec<Panel>) -> Plot {
    let mut plot = plot(report, title, TIME, panels);
    let series = report.summaries.first().map(|summary| &summary.series);
    let each = series.map_or(1, |series| series.epochs_per_bin * together(series) as u64);
    if each > 1 {
        plot.caption.push(format!("every point: the mean of {} epochs", grouped(each)));
    }
    plot
}

const TIME: &str = "time, s";

fn throughput(report: &Report) -> Plot {
    let goodput = lines(report, |s| s.rate(s.bin.in_time));
    let mut panels = vec![panel("Goodput: answered in time", "requests /s", goodput)];
    if report.summaries.iter().any(|summary| summary.counts.late > 0) {
        let all = lines(report, |s| s.rate(s.bin.in_time + s.bin.late));
        panels.push(panel("Throughput: answered, in time or late", "requests /s", all));
    }
    let tokens = lines(report, |s| s.rate(s.bin.output_tokens));
    panels.push(panel("Output tokens answered in time", "tokens /s", tokens));
    over_time(report, "Throughput and goodput, by the epoch that served", panels)
}

fn queue(report: &Report) -> Plot {
    let waiting = lines(report, |s| s.mean(s.bin.queued as f64));
    let mut leaving = lines(report, |s| s.rate(s.bin.expired));
    // What arrives is the same for all.
    let points = report.summaries.first().map(arriving).unwrap_or_default();
    let points = points.iter().map(|s| (s.middle_s(), s.rate(s.bin.arrived))).collect();
    leaving.push(Series { label: "arriving".to_string(), points, style: Style::Dashed, ..Series::default() });
    let panels = vec![
        panel("Waiting at a node when an epoch begins", "requests (mean)", waiting),
        panel("Expiring, and arriving", "requests /s", leaving),
    ];
    over_time(report, "Queue", panels)
}

fn utilisation(report: &Report) -> Plot {
    let one = |(r, title): (usize, &str)| {
        panel(title, "used, % (mean)", lines(report, move |s| 100.0 * s.mean(s.bin.used[r])))
    };
    let titles = [
        "Uplink band, in its slot",
        "Downlink band, in its slot",
        "Memory, while a batch computes",
        "Compute, of the epoch's length",
    ];
    over_time(report, "Use of the node", titles.into_iter().enumerate().map(one).collect())
}

fn latency(report: &Report) -> Plot {
    let line = |summary: &Summary| Series {
        label: summary.scheduler.clone(),
        points: summary.latency_distribution.iter().map(|&(seconds, part)| (seconds, 100.0 * part)).collect(),
        style: Style::Line,
        ..Series::default()
    };
    let mut panel =
        panel("Of the requests answered", "% answered within it", report.summaries.iter().map(line).collect());
    panel.y = panel.y.map(|y| Axis { to: Some(100.0), ..y });
    plot(report, "Latency", "from arrival to complete answer, s", vec![panel])
}

fn binding(report: &Report) -> Plot {
    let one = |summary: &Summary| {
        let stretches = arriving(summary);
        // Steps: an epoch belongs to one constraint, and not half to the next.
        let step = |s: &Stretch, y: f64| [(s.from_s, y), (s.to_s, y)];
        let area = |label: &str, count: &dyn Fn(&Bin) -> u64| Series {
            label: label.to_string(),
            points: stretches.iter().flat_map(|s| step(s, 100.0 * s.mean(count(&s.bin) as f64))).collect(),
            style: Style::Stacked,
            ..Series::default()
        };
        let none = |bin: &Bin| bin.epochs.saturating_sub(bin.busy + bin.binding.iter().sum::<u64>());
        let mut series: Vec<Series> =
            CONSTRAINTS.iter().enumerate().map(|(r, name)| area(name, &move |bin| bin.binding[r])).collect();
        series.extend([area(NOTHING, &none), area("node busy", &|bin| bin.busy)]);
        let mut panel = panel(&summary.scheduler, "epochs, %", series);
        panel.y = panel.y.map(|y| Axis { to: Some(100.0), ..y });
        panel
    };
    let title = "The constraint that kept the most requests out of the batch";
    over_time(report, title, report.summaries.iter().map(one).collect())
}

/// (time, sum so far): at the beginning, and at the end of every stretch.
fn sums(summary: &Summary, of: impl Fn(&Bin) -> u64) -> Vec<(f64, f64)> {
    let (stretches, mut sum) = (stretches(summary), 0);
    let begin = stretches.first().map(|first| (first.from_s, 0.0));
    begin.into_iter().chain(stretches.iter().map(|s| (s.to_s, (sum += of(&s.bin), sum as f64).1))).collect()
}

/// A value between the points of an ascending line, its last beyond them.
fn at(points: &[(f64, f64)], x: f64) -> f64 {
    let next = points.partition_point(|point| point.0 < x);
    let before = next.checked_sub(1).map_or((0.0, 0.0), |before| points[before]);
    match points.get(next) {
        Some(&(x1, y1)) if x1 > before.0 => before.1 + (y1 - before.1) * (x - before.0) / (x1 - before.0),
        Some(&(_, y1)) => y1,
        None => before.1,
    }
}

fn regret(report: &Report) -> Plot {
    let series = |summary: &Summary, points| Series {
        label: summary.scheduler.clone(),
        points,
        style: Style::Line,
        ..Series::default()
    };
    let mut panels = Vec::new();
    if report.run.settings.regret {
        let missed = report.summaries.iter().map(|s| series(s, sums(s, |bin| bin.missed))).collect();
        panels.push(panel("Per epoch: larger batches of the same queues", "requests missed so far", missed));
    }
    if let Some(exact) = report.exact() {
        let best = sums(exact, |bin| bin.in_time);
        let behind = |summary: &Summary| {
            let own = sums(summary, |bin| bin.in_time);
            series(summary, own.iter().map(|&(x, y)| (x, at(&best, x) - y)).collect())
        };
        let title = format!("Over the run: behind {EXACT}, each with its own queues");
        let mut panel = panel(&title, "requests in time, fewer so far", report.summaries.iter().map(behind).collect());
        // Who serves fewer now may serve more in the end.
        panel.y = panel.y.map(|y| Axis { from: None, ..y });
        panels.push(panel);
    }
    plot(report, "Regret", TIME, panels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plot_is_drawn_and_says_what_was_run() {
        let report = super::super::tests::report();
        let plots = plots(&report).unwrap();
        assert_eq!(plots.len(), 6);
        for (name, svg) in plots {
            for part in ["<svg", "seed 1", "dftsp simulate | &lt;test&gt;", "scaled: a test", "flat", "fcfs"] {
                assert!(svg.contains(part) || name == "binding.svg" && part == "fcfs", "{part} in {name}: {svg}");
            }
        }
    }

    #[test]
    fn stretches_cover_the_run() {
        let mut summary = Summary { nodes: 2, epoch_s: 0.5, ..Summary::default() };
        summary.series.epochs_per_bin = 4;
        for bin in 0..200u64 {
            // Epoch 0 is none.
            let epochs = 2 * if bin == 0 { 3 } else { 4 };
            summary.series.bins.push(Bin { epochs, arrived: 10, ..Bin::default() });
        }
        let stretches = stretches(&summary);
        assert!(stretches.len() <= POINTS && stretches.len() > POINTS / 2);
        assert_eq!(stretches.iter().map(|s| s.bin.arrived).sum::<u64>(), 2000);
        assert_eq!((stretches[0].from_s, stretches[stretches.len() - 1].to_s), (0.5, 400.0));
        assert!(stretches.windows(2).all(|pair| pair[0].to_s == pair[1].from_s));
    }

    #[test]
    fn values_between_points_are_on_the_line() {
        let line = [(1.0, 10.0), (2.0, 30.0)];
        assert_eq!([0.5, 1.0, 1.5, 3.0].map(|x| at(&line, x)), [5.0, 10.0, 20.0, 30.0]);
        assert_eq!(at(&[], 1.0), 0.0);
    }
}
