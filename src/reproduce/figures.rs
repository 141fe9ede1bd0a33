//! Figure 5: throughput against arrival rate and latency requirement.

use super::paper::{
    LONG_READINGS, READINGS, Reading, Scheduler, quantization, scenario, setting, settings, throughput_axis,
};
use super::{Claim, Measured, Sample, Section, Study, Table, Target, Verdict, number, range};
use crate::error::Result;
use crate::experiment::Job;
use crate::experiment::statistics::{Comparison, Estimate};
use crate::report::plot::{Axis, Panel, Plot, Series};

/// Arrivals a second of Fig. 5(a).
const RATES: [f64; 9] = [5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 250.0];
/// Latency requirements of Fig. 5(b), seconds.
const LATENCIES: [f64; 10] = [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0];
/// Arrivals a second where they are not what is varied.
pub(super) const RATE: f64 = 50.0;
const MODELS: [&str; 2] = ["bloom-3b", "bloom-7.1b"];

/// A point of Fig. 5.
struct Point {
    reading: Reading,
    model: &'static str,
    scheduler: Scheduler,
    x: f64,
}

/// All points of Fig. 5 for some x, by reading, model and scheduler.
fn points(readings: &[Reading], xs: &[f64]) -> Vec<Point> {
    let mut points = Vec::new();
    for &reading in readings {
        for model in MODELS {
            for scheduler in Scheduler::ALL {
                points.extend(xs.iter().map(|&x| Point { reading, model, scheduler, x }));
            }
        }
    }
    points
}

pub(super) fn arrival_rate(study: &Study<'_>) -> Result<Section> {
    let measured = study.measure(points(&READINGS, &RATES), |p, seed| {
        let scenario = scenario(p.model, quantization("w8a16", p.model), p.x, seed);
        Job::new(scenario, settings(study.effort, p.reading), p.scheduler.solver())
    })?;
    let lines = Lines::new(&READINGS, &RATES, &measured);
    let mut claims = lines.orderings("arrival rate");
    let last = RATES.len() - 1;
    // What the last step adds, of what is there, by seed.
    let growth = |line: &[Sample]| -> Estimate {
        let pairs = line[last].0.iter().zip(&line[last - 1].0);
        Estimate::of(&pairs.filter(|(_, b)| **b > 0.0).map(|(a, b)| a / b - 1.0).collect::<Vec<f64>>())
    };
    // Proportional growth would be that of the arrivals.
    let proportional = RATES[last] / RATES[last - 1] - 1.0;
    let saturates = |line: &[Sample]| {
        let growth = growth(line);
        Verdict::of(growth.values > 1 && growth.interval().1 < proportional / 2.0)
    };
    let dftsp: Vec<&[Sample]> = lines.of(Scheduler::Dftsp).collect();
    claims.push(Claim::paper(
        "throughput of DFTSP rises with the arrival rate, then saturates",
        format!(
            "from 5 to 50 requests/s it grows {} times; from 200 to 250, {} % more arrivals, by {} % (saturated: by less than \
             half of that)",
            range(dftsp.iter().map(|line| line[3].mean() / line[0].mean()).filter(|x| x.is_finite())),
            number(100.0 * proportional),
            range(dftsp.iter().map(|line| 100.0 * growth(line).mean)),
        ),
        lines.over_readings(|line| rises(line).and(saturates(line))),
    ));
    let other = |scheduler: Scheduler| range(lines.of(scheduler).flatten().map(Sample::mean));
    let remarks = vec![
        format!(
            "StB serves {} requests/s, NoB {}. NoB is one request an epoch. StB is sized for the worst case (the paper does \
             not say how): where deadlines differ between users that is one or two requests. Other sizes: section \
             sensitivity.",
            other(Scheduler::Static),
            other(Scheduler::None)
        ),
        "Time in (1d) is the sum over the requests of a batch: a batch computes no faster than its requests one after \
         another. What DFTSP gains over NoB is that NoB leaves the rest of the epoch idle, and what it gains over StB is the \
         choice of requests; neither is a gain of batching as engines have it."
            .to_string(),
    ];
    Ok(Section {
        target: Target::Fig5a,
        title: "Fig. 5(a): throughput against arrival rate".to_string(),
        setup: format!(
            "BLOOM-3B and BLOOM-7.1B at W8A16 on {}; Poisson arrivals, latency requirements uniform in 0.5 to 2 s, \
             accuracy requirements uniform in 0 to 1; both readings of the waiting time; {}.",
            setting(),
            study.how_long()
        ),
        claims,
        remarks,
        tables: vec![lines.table("fig5a", "arrival rate, requests/s")],
        plots: vec![lines.plot("fig5a", "Throughput against arrival rate", "arrival rate, requests per second", study)],
    })
}

pub(super) fn latency_requirement(study: &Study<'_>) -> Result<Section> {
    let measured = study.measure(points(&LONG_READINGS, &LATENCIES), |p, seed| {
        let mut scenario = scenario(p.model, quantization("w8a16", p.model), RATE, seed);
        scenario.synthesis.deadline_s = (p.x, p.x);
        Job::new(scenario, settings(study.effort, p.reading), p.scheduler.solver())
    })?;
    let lines = Lines::new(&LONG_READINGS, &LATENCIES, &measured);
    let mut claims = lines.orderings("latency requirement");
    let most = |reading: &Reading| {
        let of_model = |model: &&'static str| {
            let line = lines.line(reading, model, Scheduler::Dftsp);
            let best = line
                .iter()
                .zip(LATENCIES)
                .fold((0.0, 0.0), |best, (sample, x)| if sample.mean() > best.0 { (sample.mean(), x) } else { best });
            let last = line.last().map_or(0.0, Sample::mean);
            format!("{model} {} at {} s, {} at 3 s", number(best.0), best.1, number(last))
        };
        format!("{}: {}", reading.name, MODELS.iter().map(of_model).collect::<Vec<_>>().join(", "))
    };
    claims.push(Claim::paper(
        "more lenient latency requirements raise the throughput of DFTSP",
        format!("most, and in the end: {}", LONG_READINGS.iter().map(most).collect::<Vec<_>>().join("; ")),
        lines.over_readings(rises),
    ));
    Ok(Section {
        target: Target::Fig5b,
        title: "Fig. 5(b): throughput against latency requirement".to_string(),
        setup: format!(
            "BLOOM-3B and BLOOM-7.1B at W8A16 on {}; {RATE} requests/s, every user with the same latency requirement; both \
             readings of the waiting time, and both of how long a batch may compute; {}.",
            setting(),
            study.how_long()
        ),
        claims,
        remarks: vec![
            "From about 2.25 s on, the largest batch that meets its deadlines computes for longer than an epoch leaves. If \
             it may, the epoch that it outlasts has no batch, and two epochs share what one could have done: the largest \
             batch of an epoch is not the best for the rate."
                .to_string(),
        ],
        tables: vec![lines.table("fig5b", "latency requirement, s")],
        plots: vec![lines.plot("fig5b", "Throughput against latency requirement", "latency requirement, s", study)],
    })
}

/// Never falls, and is larger at the end than at the beginning.
fn rises(line: &[Sample]) -> Verdict {
    let falls = line.windows(2).any(|pair| pair[1].compare(&pair[0]) == Comparison::Smaller);
    let ends = line.first().zip(line.last()).map(|(first, last)| last.compare(first));
    Verdict::of(!falls && ends == Some(Comparison::Larger))
}

/// The lines of Fig. 5, each a reading, a model and a scheduler.
struct Lines<'l> {
    readings: &'l [Reading],
    xs: &'l [f64],
    lines: Vec<(Reading, &'static str, Scheduler, Vec<Sample>)>,
}

impl<'l> Lines<'l> {
    fn new(readings: &'l [Reading], xs: &'l [f64], measured: &[Measured<Point>]) -> Lines<'l> {
        let line = |chunk: &[Measured<Point>]| {
            let p = &chunk[0].point;
            (p.reading, p.model, p.scheduler, chunk.iter().map(Measured::goodput).collect())
        };
        Lines { readings, xs, lines: measured.chunks(xs.len()).map(line).collect() }
    }

    fn line(&self, reading: &Reading, model: &str, scheduler: Scheduler) -> &[Sample] {
        let found = self.lines.iter().find(|l| (&l.0, l.1, l.2) == (reading, model, scheduler));
        found.map_or(&[], |line| &line.3)
    }

    /// The lines of a scheduler.
    fn of(&self, scheduler: Scheduler) -> impl Iterator<Item = &[Sample]> {
        self.lines.iter().filter(move |line| line.2 == scheduler).map(|line| line.3.as_slice())
    }

    /// A verdict on every line of DFTSP.
    fn over_readings(&self, judge: impl Fn(&[Sample]) -> Verdict) -> Verdict {
        let reading = |reading: &Reading| {
            let of_model = |model: &&'static str| judge(self.line(reading, model, Scheduler::Dftsp));
            MODELS.iter().map(of_model).fold(Verdict::Holds, Verdict::and)
        };
        Verdict::over(self.readings.iter().map(reading))
    }

    /// DFTSP over StB over NoB, and the small model over the large one.
    fn orderings(&self, against: &str) -> Vec<Claim> {
        let mut claims = Vec::new();
        for other in [Scheduler::Static, Scheduler::None] {
            let mut ratios = Vec::new();
            let mut verdicts = Vec::new();
            for reading in self.readings {
                let mut points = Vec::new();
                for model in MODELS {
                    let (ours, theirs) =
                        (self.line(reading, model, Scheduler::Dftsp), self.line(reading, model, other));
                    points.extend(ours.iter().zip(theirs).map(|(a, b)| a.compare(b)));
                    let pairs = ours.iter().zip(theirs).map(|(a, b)| (a.mean(), b.mean()));
                    ratios.extend(pairs.filter(|pair| pair.1 > 0.0).map(|(a, b)| a / b));
                }
                verdicts.push(Verdict::at_least(points.into_iter()));
            }
            claims.push(Claim::paper(
                &format!("DFTSP serves at least as many as {} at every {against}", other.name()),
                format!("{} times as many", range(ratios)),
                Verdict::over(verdicts.into_iter()),
            ));
        }
        let small_first = |reading: &Reading| {
            let pairs = Scheduler::ALL.iter().flat_map(|&scheduler| {
                self.line(reading, MODELS[0], scheduler).iter().zip(self.line(reading, MODELS[1], scheduler))
            });
            Verdict::at_least(pairs.map(|(small, large)| small.compare(large)))
        };
        let ratio = |scheduler: Scheduler| {
            let pairs = self.readings.iter().flat_map(|reading| {
                self.line(reading, MODELS[0], scheduler).iter().zip(self.line(reading, MODELS[1], scheduler))
            });
            let means = pairs.map(|(small, large)| (small.mean(), large.mean())).filter(|pair| pair.1 > 0.0);
            format!("{} with {}", range(means.map(|(small, large)| small / large)), scheduler.name())
        };
        claims.push(Claim::paper(
            "BLOOM-3B serves at least as many as BLOOM-7.1B",
            format!("times as many: {}", Scheduler::ALL.map(ratio).join(", ")),
            Verdict::over(self.readings.iter().map(small_first)),
        ));
        claims
    }

    fn table(&self, name: &str, x: &str) -> Table {
        let header = ["reading", "model", "scheduler", x, "throughput, requests/s", "± 95 %"];
        let mut table = Table::new(name, "Requests answered in time per second.", &header);
        for (reading, model, scheduler, line) in &self.lines {
            for (x, y) in self.xs.iter().zip(line) {
                let y = y.estimate();
                table.push([
                    reading.name.to_string(),
                    (*model).to_string(),
                    scheduler.name().to_string(),
                    format!("{x}"),
                    number(y.mean),
                    number(y.half_width),
                ]);
            }
        }
        table
    }

    fn plot(&self, name: &str, title: &str, x: &str, study: &Study<'_>) -> (String, Plot) {
        let panel = |reading: &Reading| Panel {
            title: reading.name.to_string(),
            series: self
                .lines
                .iter()
                .filter(|line| line.0 == *reading)
                .map(|(_, model, scheduler, line)| series(&format!("{model} {}", scheduler.name()), self.xs, line))
                .collect(),
            ..Panel::default()
        };
        let plot = Plot {
            title: title.to_string(),
            caption: vec![format!("W8A16; {}. `dftsp reproduce {name}`", study.how_long())],
            x: Axis { label: x.to_string(), ..Axis::default() },
            y: throughput_axis(),
            panels: self.readings.iter().map(panel).collect(),
        };
        (name.to_string(), plot)
    }
}

/// A line with its confidence intervals.
fn series(label: &str, xs: &[f64], ys: &[Sample]) -> Series {
    Series {
        label: label.to_string(),
        points: xs.iter().zip(ys).map(|(&x, y)| (x, y.mean())).collect(),
        band: Some(ys.iter().map(|y| y.estimate().interval()).collect()),
        ..Series::default()
    }
}
