//! What the paper does not show: Algorithm 1 under fading, padding, and bursts.

use super::figures::RATE;
use super::paper::{NODE_LIMIT, READINGS, dftsp, quantization, scenario, setting, settings, throughput_axis};
use super::{Claim, Measured, Section, Study, Table, Target, Verdict, bar_set, number, percent, range};
use crate::error::Result;
use crate::experiment::Job;
use crate::generate::{Family, Generator, Spec};
use crate::report::plot::{Axis, Bars, Panel, Plot, Series, Style};
use crate::scenario::{Padding, Scenario};
use crate::simulation::{Regret, Settings, Summary};
use crate::solver::{Method, Solver};
use crate::workload::arrivals::Process;
use crate::workload::synthesis::{ChannelModel, Fading};

/// A node in which uplink, downlink, memory and deadline all bind, for about a hundred requests an epoch.
pub(super) fn binding_node(padding: Padding, seed: u64) -> Result<Scenario> {
    let generator = Generator::new(Spec { padding, ..Spec::new(Family::Binding) })?;
    let mut scenario = generator.scenario().clone();
    scenario.arrivals.rate_per_s = RATE;
    scenario.synthesis.seed = seed;
    Ok(scenario)
}

/// The same in words.
pub(super) const BINDING_NODE: &str = "A node scaled so that uplink, downlink, memory and deadline all bind (that of `dftsp generate \
                            binding`), BLOOM-3B at W8A16, Rayleigh fading per user";

/// The schedulers that serving systems use, beside the exact one.
pub(super) const IN_USE: [Method; 6] = [
    Method::Flat,
    Method::ShortestFirst,
    Method::FirstCome,
    Method::EarliestDeadline,
    Method::Static { batch_size: None },
    Method::NoBatching,
];

/// The regret of all seeds.
fn regret_of(runs: &[Summary]) -> Regret {
    runs.iter().filter_map(|s| s.regret).fold(Regret::default(), |a, b| Regret {
        epochs: a.epochs + b.epochs,
        short: a.short + b.short,
        scheduled: a.scheduled + b.scheduled,
        optimum: a.optimum + b.optimum,
        worst: a.worst.max(b.worst),
        unproven: a.unproven + b.unproven,
    })
}

/// The cells of a regret: missed, of the optimum, epochs short, worst.
pub(super) fn regret_cells(runs: &[Summary]) -> [String; 4] {
    let r = regret_of(runs);
    let missed = r.optimum - r.scheduled;
    [
        missed.to_string(),
        percent(missed as f64 / r.optimum.max(1) as f64),
        percent(r.short as f64 / r.epochs.max(1) as f64),
        r.worst.to_string(),
    ]
}

pub(super) const REGRET_HEADER: [&str; 4] = [
    "requests missed against the largest batch of each epoch, all seeds",
    "of what those hold",
    "epochs with a larger batch",
    "most missed in an epoch",
];

/// Its name, whether it is shared, and how it changes.
type Channel = (&'static str, ChannelModel, Fading);
/// Latency requirements, seconds; the channel; whether the exact scheduler, or else Algorithm 1.
type FadingPoint = ((f64, f64), Channel, bool);

pub(super) fn fading(study: &Study<'_>) -> Result<Section> {
    let settings = Settings { regret: true, ..settings(study.effort, READINGS[0]) };
    let base = binding_node(Padding::Fixed(512), 1)?;
    let channels: [Channel; 4] = [
        ("one channel for all (the paper's assumption)", ChannelModel::Shared, Fading::Static),
        ("each user fades, and keeps its channel", ChannelModel::Rayleigh, Fading::Static),
        ("block fading, correlation 0.9", ChannelModel::Rayleigh, Fading::Block { correlation: 0.9 }),
        ("block fading, independent", ChannelModel::Rayleigh, Fading::Block { correlation: 0.0 }),
    ];
    let mut points: Vec<FadingPoint> = Vec::new();
    for deadline_s in [(0.5, 2.0), (2.0, 8.0)] {
        // With short requirements nobody waits for a second epoch, and how channels change does not matter.
        let channels = if deadline_s.1 > base.epoch.duration_s { &channels[..] } else { &channels[..2] };
        for &channel in channels {
            points.extend([true, false].map(|exact| (deadline_s, channel, exact)));
        }
    }
    let measured = study.measure(points, |&(deadline_s, (_, channel, fading), exact), seed| {
        let mut scenario = base.clone();
        (scenario.synthesis.seed, scenario.synthesis.deadline_s) = (seed, deadline_s);
        (scenario.synthesis.channel, scenario.synthesis.fading) = (channel, fading);
        Job::new(scenario, settings, if exact { Solver::new(Method::Flat) } else { dftsp() })
    })?;
    let mut header = vec!["latency requirement, s", "channel", "exact, requests/s", "± 95 %", "Algorithm 1", "± 95 %"];
    header.extend(REGRET_HEADER);
    let mut table = Table::new("fading", "Algorithm 1 against the exact optimum, over time.", &header);
    let (mut shared_exact, mut fading_short, mut stopped) = (true, 0.0f64, 0);
    for pair in measured.chunks(2) {
        let ((low, high), (name, channel, _), _) = pair[0].point;
        let regret = regret_of(&pair[1].runs);
        let missed = (regret.optimum - regret.scheduled) as f64 / regret.optimum.max(1) as f64;
        stopped += pair[1].sum(|s| s.total.stopped);
        match channel {
            ChannelModel::Shared => shared_exact &= regret.short == 0,
            ChannelModel::Rayleigh => fading_short = fading_short.max(missed),
        }
        let (exact, theirs) = (pair[0].goodput().estimate(), pair[1].goodput().estimate());
        let mut cells = vec![format!("{low} to {high}"), name.to_string()];
        cells.extend([exact.mean, exact.half_width, theirs.mean, theirs.half_width].map(number));
        cells.extend(regret_cells(&pair[1].runs));
        table.push(cells);
    }
    Ok(Section {
        target: Target::Fading,
        title: "Algorithm 1 under per-user fading, over time".to_string(),
        setup: format!(
            "{BINDING_NODE}; {RATE} requests/s; Algorithm 1 visits at most {NODE_LIMIT} nodes an epoch; {}.",
            study.how_long()
        ),
        claims: vec![
            Claim::paper(
                "Algorithm 1 finds the largest batch (all users share one channel gain)",
                format!("it {} the optimum of every epoch", if shared_exact { "reaches" } else { "does not reach" }),
                Verdict::of(shared_exact),
            ),
            Claim::ours(
                "it does where users fade independently, too",
                format!("it misses up to {} of the requests that the largest batches hold", percent(fading_short)),
                Verdict::of(fading_short == 0.0),
            ),
        ],
        remarks: vec![
            if stopped == 0 {
                "Algorithm 1 never came to its limit.".to_string()
            } else {
                format!("Algorithm 1 came to its limit in {stopped} epochs, and took the best greedy batch.")
            },
            "Regret compares each batch with the largest one of the same queue. Requests that were missed may be served by \
             a later epoch, so the throughput of both can be closer than the regret."
                .to_string(),
        ],
        tables: vec![table],
        plots: vec![("fading".to_string(), missed_over_time(&measured))],
    })
}

/// What Algorithm 1 has missed so far, in the run of the first seed.
fn missed_over_time(measured: &[Measured<FadingPoint>]) -> Plot {
    let line = |m: &Measured<FadingPoint>| {
        let series = m.runs.first().map(|s| (&s.series, s.epoch_s));
        let mut missed = 0;
        let points = series.iter().flat_map(|(series, epoch_s)| {
            series
                .bins
                .iter()
                .enumerate()
                .map(move |(at, bin)| ((at as u64 + 1) as f64 * series.epochs_per_bin as f64 * epoch_s, bin.missed))
        });
        let points = points.map(|(at, more)| {
            missed += more;
            (at, missed as f64)
        });
        Series { label: m.point.1.0.to_string(), points: points.collect(), style: Style::Line, ..Series::default() }
    };
    let panel = |deadline_s: (f64, f64)| Panel {
        title: format!("latency requirements of {} to {} s", deadline_s.0, deadline_s.1),
        series: measured.iter().filter(|m| m.point.0 == deadline_s && !m.point.2).map(line).collect(),
        ..Panel::default()
    };
    let mut deadlines: Vec<(f64, f64)> = measured.iter().map(|m| m.point.0).collect();
    deadlines.dedup();
    Plot {
        title: "Requests that Algorithm 1 has missed against the largest batches".to_string(),
        caption: vec![format!("{RATE} requests/s, seed 1. `dftsp reproduce fading`")],
        x: Axis { label: "time, s".to_string(), ..Axis::default() },
        y: Axis { label: "requests missed so far".to_string(), from: Some(0.0), ..Axis::default() },
        panels: deadlines.into_iter().map(panel).collect(),
    }
}

pub(super) fn padding(study: &Study<'_>) -> Result<Section> {
    let paddings = [
        ("fixed, 512 tokens", Padding::Fixed(512)),
        ("longest of the batch", Padding::Longest),
        ("none", Padding::None),
    ];
    let nodes = ["the paper's node", "the scaled node", "the scaled node, 2 to 8 s"];
    let scaled = binding_node(Padding::Fixed(512), 1)?;
    let points: Vec<(usize, usize)> = (0..nodes.len()).flat_map(|n| (0..paddings.len()).map(move |p| (n, p))).collect();
    let measured = study.measure(points, |&(node, p), seed| {
        let mut scenario = if node == 0 {
            scenario("bloom-3b", quantization("w8a16", "bloom-3b"), RATE, seed)
        } else {
            scaled.clone()
        };
        (scenario.synthesis.seed, scenario.padding) = (seed, paddings[p].1);
        if node == 2 {
            scenario.synthesis.deadline_s = (2.0, 8.0);
        }
        Job::new(scenario, settings(study.effort, READINGS[0]), Solver::new(Method::Flat))
    })?;
    let header = ["node", "padding", "throughput, requests/s", "± 95 %", "of no padding"];
    let mut table = Table::new("padding", "The cost of padding, with exact batches.", &header);
    for three in measured.chunks(paddings.len()) {
        let best = three[2].goodput().mean();
        for m in three {
            let y = m.goodput().estimate();
            table.push([
                nodes[m.point.0].to_string(),
                paddings[m.point.1].0.to_string(),
                number(y.mean),
                number(y.half_width),
                percent(y.mean / best),
            ]);
        }
    }
    let set = |p: usize| {
        let of_padding = measured.iter().filter(|m| m.point.1 == p).map(Measured::goodput);
        bar_set(paddings[p].0, &of_padding.collect::<Vec<_>>())
    };
    let plot = Plot {
        title: "The cost of padding".to_string(),
        caption: vec![format!("Flat (exact), {RATE} requests/s; {}. `dftsp reproduce padding`", study.how_long())],
        x: Axis::default(),
        y: throughput_axis(),
        panels: vec![Panel {
            bars: Some(Bars {
                categories: nodes.map(str::to_string).to_vec(),
                sets: (0..paddings.len()).map(set).collect(),
                stacked: false,
            }),
            ..Panel::default()
        }],
    };
    Ok(Section {
        target: Target::Padding,
        title: "The cost of padding".to_string(),
        setup: format!(
            "The exact scheduler, {RATE} requests/s, prompts of 128, 256 or 512 tokens, on {}. {BINDING_NODE}. {}.",
            setting(),
            study.how_long()
        ),
        claims: vec![Claim::ours(
            "padding costs throughput",
            format!(
                "to 512 tokens {} of the requests are served that are served without padding, to the longest of the batch {}",
                range(part_of_none(&measured, 0)),
                range(part_of_none(&measured, 1))
            ),
            Verdict::at_least(measured.chunks(paddings.len()).flat_map(|three| {
                [(2, 1), (1, 0)].map(|(less, more)| three[less].goodput().compare(&three[more].goodput()))
            })),
        )],
        remarks: Vec::new(),
        tables: vec![table],
        plots: vec![("padding".to_string(), plot)],
    })
}

/// The throughput with a padding as a part of that without, on each node.
fn part_of_none(measured: &[Measured<(usize, usize)>], padding: usize) -> impl Iterator<Item = f64> {
    measured.chunks(3).map(move |three| three[padding].goodput().mean() / three[2].goodput().mean())
}

pub(super) fn bursts(study: &Study<'_>) -> Result<Section> {
    let processes = [
        ("Poisson", Process::Poisson),
        ("Gamma, CV 2", Process::Gamma { cv: 2.0 }),
        ("Gamma, CV 4", Process::Gamma { cv: 4.0 }),
        ("Weibull, CV 2", Process::Weibull { cv: 2.0 }),
        ("on 10 s, off 30 s", Process::OnOff { on_s: 10.0, off_s: 30.0 }),
    ];
    let base = binding_node(Padding::Fixed(512), 1)?;
    let settings = Settings { regret: true, ..settings(study.effort, READINGS[0]) };
    let points: Vec<(usize, Method)> = (0..processes.len()).flat_map(|at| IN_USE.map(|method| (at, method))).collect();
    let measured = study.measure(points, |&(at, method), seed| {
        let mut scenario = base.clone();
        (scenario.synthesis.seed, scenario.synthesis.deadline_s) = (seed, (2.0, 8.0));
        scenario.arrivals.process = processes[at].1;
        Job::new(scenario, settings, Solver::new(method))
    })?;
    let mut header = vec!["arrivals", "scheduler", "throughput, requests/s", "± 95 %"];
    header.extend(REGRET_HEADER);
    let mut table = Table::new("bursts", "Bursty arrivals with the same mean rate.", &header);
    for m in &measured {
        let y = m.goodput().estimate();
        let mut cells =
            vec![processes[m.point.0].0.to_string(), m.point.1.to_string(), number(y.mean), number(y.half_width)];
        cells.extend(regret_cells(&m.runs));
        table.push(cells);
    }
    let set = |method: Method| {
        let of_method = measured.iter().filter(|m| m.point.1 == method).map(Measured::goodput);
        bar_set(method.name(), &of_method.collect::<Vec<_>>())
    };
    let plot = Plot {
        title: "Throughput under bursty arrivals".to_string(),
        caption: vec![format!("{RATE} requests/s in the mean; {}. `dftsp reproduce bursts`", study.how_long())],
        x: Axis::default(),
        y: throughput_axis(),
        panels: vec![Panel {
            bars: Some(Bars {
                categories: processes.map(|(name, _)| name.to_string()).to_vec(),
                sets: IN_USE.map(set).to_vec(),
                stacked: false,
            }),
            ..Panel::default()
        }],
    };
    Ok(Section {
        target: Target::Bursts,
        title: "Bursty arrivals".to_string(),
        setup: format!(
            "{BINDING_NODE}; {RATE} requests/s in the mean, latency requirements uniform in 2 to 8 s; {}.",
            study.how_long()
        ),
        claims: vec![Claim::ours(
            "the largest batch of every epoch serves the most under bursts, too",
            format!(
                "{} times as many requests as the best of the others",
                range(measured.chunks(IN_USE.len()).map(|all| {
                    let best = all[1..].iter().map(|m| m.goodput().mean()).fold(0.0, f64::max);
                    all[0].goodput().mean() / best
                }))
            ),
            Verdict::at_least(
                measured
                    .chunks(IN_USE.len())
                    .flat_map(|all| all[1..].iter().map(|other| all[0].goodput().compare(&other.goodput()))),
            ),
        )],
        remarks: vec![
            "The same mean rate in bursts: between them queues run empty, and in them more requests arrive than any \
             scheduler can serve."
                .to_string(),
        ],
        tables: vec![table],
        plots: vec![("bursts".to_string(), plot)],
    })
}
