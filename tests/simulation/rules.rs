//! The rules of the protocol, one by one, on traces small enough to be worked out by hand.

use std::collections::BTreeSet;
use std::sync::Arc;

use dftsp::cost::Transformer;
use dftsp::instance::Reason;
use dftsp::scenario::{Padding, Scenario};
use dftsp::simulation::{BatchTime, EpochRecord, Fate, RequestRecord, Settings, Simulation, Source, Summary, Waiting};
use dftsp::solver::{Method, Solver};
use dftsp::workload::arrivals::Recording;
use dftsp::workload::synthesis::{Fading, QosClass};

use super::{Log, binding, run, three_models};

/// Rows of (second, prompt, output), on a node that serves anything in no time unless a test says otherwise.
fn replay(rows: &[(f64, u32, u32)], change: impl Fn(&mut Scenario), settings: Settings) -> (Summary, Log) {
    let mut scenario = Scenario::paper();
    scenario.synthesis.deadline_s = (10.0, 10.0);
    scenario.synthesis.max_perplexity_increase = (1e9, 1e9);
    change(&mut scenario);
    let rows = rows.iter().map(|&(at, prompt, output)| ((at * 1e9) as u64, prompt, output));
    let recording = Arc::new(Recording::new(rows, 1.0, 1).unwrap());
    let simulation = Simulation::new(&scenario, Source::Recorded(recording), settings).unwrap();
    let mut log = Log::default();
    let summary = simulation.run(&Solver::new(Method::Flat), &mut log).unwrap();
    (summary, log)
}

/// When each request was scheduled, seconds, by its number.
fn scheduled(log: &Log) -> Vec<Option<f64>> {
    let mut all: Vec<&RequestRecord> = log.requests.iter().collect();
    all.sort_by_key(|r| r.index);
    all.iter().map(|r| r.served.map(|s| s.scheduled_ns as f64 / 1e9)).collect()
}

#[test]
fn an_epoch_serves_what_came_before_it_began() {
    let base = Settings { duration_s: 9.0, ..Settings::default() };
    // At 0, just before 2, at 2 and just after: the epoch that begins at 2 serves the first two.
    let rows = [(0.0, 128, 1), (1.999_999_999, 128, 1), (2.0, 128, 1), (2.000_000_001, 128, 1)];
    let (summary, log) = replay(&rows, |_| {}, base);
    assert_eq!(scheduled(&log), [2.0, 2.0, 4.0, 4.0].map(Some));
    assert_eq!((summary.counts.in_time, summary.total.batches), (4, 2));
    let alone = Transformer::new(&Scenario::paper().model).flops(512, 1) as f64 / 26.6e12;
    let ends = log.requests.iter().map(|r| r.ended_ns as f64 / 1e9);
    let expected = [2.0, 2.0, 4.0, 4.0].map(|begins| begins + 0.5 + 2.0 * alone);
    assert!(ends.zip(expected).all(|(is, should)| (is - should).abs() < 1e-8));
}

#[test]
fn deadlines_count_from_the_arrival_or_from_the_epoch() {
    // Waits 1.9 s; 0.5 s of slots are more than what 2 s leave, but not than 2 s from the epoch.
    let rows = [(0.0, 128, 1), (0.1, 128, 1)];
    for (waiting, fate) in [(Waiting::Counted, Fate::Expired), (Waiting::FromEpoch, Fate::InTime)] {
        let settings = Settings { duration_s: 4.0, waiting, ..Settings::default() };
        let (_, log) = replay(&rows, |s| s.synthesis.deadline_s = (2.0, 2.0), settings);
        assert!(log.requests.len() == 2 && log.requests.iter().all(|r| r.fate == fate), "{waiting:?}");
    }
}

#[test]
fn a_deadline_is_met_to_the_microsecond_that_it_is_drawn_in() {
    let alone = CostModelTime::of(&[(512, 1)]);
    let needed = 2_000_000_000 + 500_000_000 + alone;
    let micro = needed / 1000 * 1000;
    assert!(micro < needed && needed < micro + 1000);
    for (tau_ns, fate) in [(micro + 1000, Fate::InTime), (micro, Fate::Expired)] {
        let tau = tau_ns as f64 / 1e9;
        let settings = Settings { duration_s: 4.0, ..Settings::default() };
        let (_, log) = replay(&[(0.0, 128, 1)], |s| s.synthesis.deadline_s = (tau, tau), settings);
        assert_eq!(log.requests[0].fate, fate, "{tau_ns} ns where {needed} are needed");
    }
}

/// How long the paper's node computes, nanoseconds.
struct CostModelTime;

impl CostModelTime {
    fn of(requests: &[(u32, u32)]) -> u64 {
        let t = Transformer::new(&Scenario::paper().model);
        let flops: f64 = requests.iter().map(|&(padded, output)| t.flops(padded, output) as f64).sum();
        (flops / 26.6e12 * 1e9).ceil() as u64
    }
}

#[test]
fn a_batch_that_outlasts_its_epoch_makes_the_node_pass_over_others() {
    // Sixteen requests of 0.19 s each compute for 3 s: the epochs at 4 and 6 s find the node busy, or only that at 4.
    let rows: Vec<(f64, u32, u32)> = (0..16).map(|_| (0.0, 512, 512)).chain([(3.0, 512, 512)]).collect();
    let settings = Settings { duration_s: 10.0, ..Settings::default() };
    let busy =
        |log: &Log| log.epochs.iter().filter(|e| e.busy).map(|e| e.begins_ns / 1_000_000_000).collect::<Vec<_>>();
    let seconds = CostModelTime::of(&[(512, 512); 16]) as f64 / 1e9;
    assert!((2.25..4.0).contains(&seconds), "{seconds}");
    // Compute ends at 2.25 + seconds, answers 0.25 s later: between 4.75 and 6.5.
    let (_, log) = replay(&rows, |_| {}, settings);
    assert_eq!((busy(&log), scheduled(&log)[16]), (vec![4], Some(6.0)));
    let (_, log) = replay(&rows, |_| {}, Settings { overlap: false, ..settings });
    let first_free = (2.5 + seconds) / 2.0;
    assert_eq!(scheduled(&log)[16], Some(2.0 * first_free.ceil()));
    // To the epoch: 1.75 s with overlap, 1.5 s without, and no epoch is passed over.
    for (overlap, limit) in [(true, 1.75), (false, 1.5)] {
        let settings = Settings { batch_time: BatchTime::Epoch, overlap, ..settings };
        let (_, log) = replay(&rows, |_| {}, settings);
        assert_eq!(busy(&log), [0u64; 0]);
        let most = (limit / (seconds / 16.0)) as u64;
        assert_eq!(log.epochs.iter().map(|e| e.scheduled).max(), Some(most), "{overlap}");
    }
}

#[test]
fn a_passing_channel_ends_nobody_for_good() {
    // Hardly any channel carries this prompt: with a channel kept it is infeasible, with one redrawn it waits for a
    // good one.
    let rows: Vec<(f64, u32, u32)> = (0..200).map(|k| (f64::from(k) / 100.0, 512, 1)).collect();
    let settings = Settings { duration_s: 4.0, ..Settings::default() };
    let weak = |fading: Fading| {
        move |s: &mut Scenario| {
            s.radio.uplink_bandwidth_hz = 2e5;
            s.synthesis.mean_channel_power_gain = 4e-16;
            s.synthesis.deadline_s = (60.0, 60.0);
            s.synthesis.fading = fading;
        }
    };
    let (kept, _) = replay(&rows, weak(Fading::Static), settings);
    let (redrawn, log) = replay(&rows, weak(Fading::Block { correlation: 0.0 }), settings);
    assert!(kept.counts.infeasible[Reason::Uplink as usize] > 100, "{:?}", kept.counts);
    assert_eq!(redrawn.counts.all_infeasible(), 0, "{:?}", redrawn.counts);
    assert!(redrawn.counts.in_time > kept.counts.in_time, "{:?} {:?}", redrawn.counts, kept.counts);
    // Channels differ between requests and between epochs.
    let gains: Vec<u64> =
        log.requests.iter().filter_map(|r| r.served).map(|s| s.channel_power_gain.to_bits()).collect();
    let different: BTreeSet<u64> = gains.iter().copied().collect();
    assert_eq!(different.len(), gains.len());
}

#[test]
fn models_and_classes_get_their_shares() {
    let mut scenario = three_models(100.0);
    scenario.synthesis.qos = vec![
        QosClass {
            name: "a".to_string(),
            share: 3.0,
            peak_share: 3.0,
            deadline_s: (2.0, 4.0),
            max_perplexity_increase: (0.0, 1.0),
        },
        QosClass {
            name: "b".to_string(),
            share: 1.0,
            peak_share: 1.0,
            deadline_s: (4.0, 8.0),
            max_perplexity_increase: (0.0, 1.0),
        },
    ];
    let settings = Settings { duration_s: 200.0, regret: false, ..Settings::default() };
    let (summary, log) = run(&scenario, settings, Method::FirstCome);
    let part = |counts: u64| counts as f64 / summary.counts.arrived as f64;
    for (parts, shares) in [(&summary.models, &[0.5, 0.3, 0.2][..]), (&summary.classes, &[0.75, 0.25])] {
        for (is, should) in parts.iter().zip(shares) {
            assert!((part(is.counts.arrived) - should).abs() < 0.02, "{}: {}", is.name, part(is.counts.arrived));
        }
    }
    for r in &log.requests {
        let tau = (r.deadline_ns - r.arrived_ns) as f64 / 1e9;
        assert!(if r.class == 0 { (2.0..=4.0).contains(&tau) } else { (4.0..=8.0).contains(&tau) }, "{r:?}");
    }
}

#[test]
fn what_is_missed_is_the_shortfall() {
    let mut scenario = binding(20.0, Padding::Fixed(512));
    scenario.synthesis.deadline_s = (3.0, 12.0);
    let settings = Settings { duration_s: 60.0, ..Settings::default() };
    let (summary, log) = run(&scenario, settings, Method::EarliestDeadline);
    let short = |e: &EpochRecord| e.optimum.map_or(0, |best| best - e.scheduled);
    let missed: u64 = log.epochs.iter().map(short).sum();
    let regret = summary.regret.unwrap();
    assert!(missed > 0);
    assert_eq!((summary.total.missed, regret.optimum - regret.scheduled), (missed, missed));
    assert_eq!(regret.worst, log.epochs.iter().map(short).max().unwrap());
    assert_eq!(summary.series.bins.iter().map(|bin| bin.missed).sum::<u64>(), missed);
}

#[test]
fn a_run_ends_though_some_wait_for_ever() {
    // A band that never carries anything, channels redrawn, and deadlines far away.
    let change = |s: &mut Scenario| {
        s.radio.uplink_bandwidth_hz = 1.0;
        s.synthesis.deadline_s = (1e8, 1e8);
        s.synthesis.fading = Fading::Block { correlation: 0.5 };
    };
    let (summary, log) =
        replay(&[(0.0, 512, 1), (0.5, 512, 1)], change, Settings { duration_s: 2.0, ..Settings::default() });
    assert_eq!((summary.counts.unfinished, log.epochs.len() as u64), (2, 1 + Settings::DRAIN));
}

#[test]
fn more_arrivals_than_can_be_held_are_refused_before_anything_runs() {
    let mut scenario = Scenario::paper();
    scenario.arrivals.rate_per_s = 1e8;
    let error = Simulation::new(&scenario, Source::Generated, Settings::default()).unwrap_err().to_string();
    assert!(error.contains("scenario, arrivals.rate_per_s: about 200000000 requests an epoch"), "{error}");
}
