//! The simulation against what must hold of any run, recomputed from its records alone.

#![cfg(feature = "simulation")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test should stop")]

mod rules;

use std::collections::BTreeMap;

use dftsp::cost::{Transformer, watts};
use dftsp::error::{Error, Result};
use dftsp::generate::{Family, Generator, Spec};
use dftsp::instance::{Instance, Reason};
use dftsp::scenario::{Padding, Scenario, Service, preset};
use dftsp::simulation::{
    BatchTime, CostModel, EpochRecord, Fate, Observer, Pick, RequestRecord, Scheduler, Settings, Silent, Simulation,
    Source, Summary, Waiting,
};
use dftsp::solver::{Method, Solver};
use dftsp::workload::synthesis::{ChannelModel, Fading};

/// Everything that happened.
#[derive(Default)]
struct Log {
    epochs: Vec<EpochRecord>,
    requests: Vec<RequestRecord>,
}

impl Observer for Log {
    fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        self.epochs.push(*record);
        Ok(())
    }

    fn request(&mut self, record: &RequestRecord) -> Result<()> {
        self.requests.push(*record);
        Ok(())
    }
}

fn run(scenario: &Scenario, settings: Settings, method: Method) -> (Summary, Log) {
    let simulation = Simulation::new(scenario, Source::Generated, settings).unwrap();
    let mut log = Log::default();
    let summary = simulation.run(&Solver::new(method), &mut log).unwrap();
    (summary, log)
}

/// A node in which all four constraints bind.
fn binding(rate_per_s: f64, padding: Padding) -> Scenario {
    let generator = Generator::new(Spec { requests: 100, padding, ..Spec::new(Family::Binding) }).unwrap();
    let mut scenario = generator.scenario().clone();
    scenario.arrivals.rate_per_s = rate_per_s;
    scenario
}

/// Three models that share the paper's node with less memory.
fn three_models(rate_per_s: f64) -> Scenario {
    let mut scenario = Scenario::paper();
    scenario.arrivals.rate_per_s = rate_per_s;
    scenario.synthesis.deadline_s = (2.0, 8.0);
    for (model, quantization, share, padding) in
        [("bloom-7.1b", "w4a16-gptq", 0.3, Padding::Fixed(512)), ("opt-13b", "w8a16", 0.2, Padding::None)]
    {
        scenario.services.push(Service {
            name: format!("{model} at {quantization}"),
            share,
            model: preset::model(model).unwrap(),
            quantization: preset::quantization(quantization, model).unwrap().complete().unwrap().0,
            padding,
        });
    }
    scenario.node.memory_bytes = 30e9;
    scenario
}

/// Settings and scenarios of every kind, small.
fn cases() -> Vec<(String, Scenario, Settings)> {
    let mut cases = Vec::new();
    let base = Settings { duration_s: 30.0, ..Settings::default() };
    for padding in [Padding::Fixed(512), Padding::Longest, Padding::None] {
        let mut long = binding(20.0, padding);
        long.synthesis.deadline_s = (3.0, 12.0);
        let mut fading = long.clone();
        fading.synthesis.fading = Fading::Block { correlation: 0.7 };
        let mut shared = long.clone();
        shared.synthesis.channel = ChannelModel::Shared;
        for (name, scenario) in
            [("tight", binding(20.0, padding)), ("long", long), ("fading", fading), ("shared", shared)]
        {
            for (what, settings) in [
                ("plain", base),
                ("three nodes", Settings { nodes: 3, ..base }),
                ("to the epoch", Settings { batch_time: BatchTime::Epoch, ..base }),
                ("no overlap", Settings { overlap: false, waiting: Waiting::FromEpoch, ..base }),
                ("short queue", Settings { queue_limit: 17, ..base }),
            ] {
                cases.push((format!("{name}, {padding:?}, {what}"), scenario.clone(), settings));
            }
        }
    }
    cases.push(("several models".to_string(), three_models(30.0), base));
    cases.push(("several models, three nodes".to_string(), three_models(10.0), Settings { nodes: 3, ..base }));
    cases
}

/// For each model: dimensions, α, β and padding, in the order of the records.
fn models(scenario: &Scenario) -> Vec<(Transformer, f64, f64, Padding)> {
    let own = (&scenario.model, &scenario.quantization, scenario.padding);
    let all = std::iter::once(own).chain(scenario.services.iter().map(|s| (&s.model, &s.quantization, s.padding)));
    all.map(|(m, q, padding)| (Transformer::new(m), q.memory_factor, q.time_factor, padding)).collect()
}

/// Each batch: the node and the time at which its epoch began, and what it holds.
fn batches(log: &Log) -> BTreeMap<(u32, u64), Vec<RequestRecord>> {
    let mut batches: BTreeMap<_, Vec<RequestRecord>> = BTreeMap::new();
    for record in &log.requests {
        if let Some(served) = record.served {
            batches.entry((record.node, served.scheduled_ns)).or_default().push(*record);
        }
    }
    batches
}

/// Whatever must hold of a run that keeps to the cost model.
fn check(name: &str, scenario: &Scenario, settings: &Settings, summary: &Summary, log: &Log) {
    // Every request ends in exactly one state.
    let mut seen: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for record in &log.requests {
        seen.entry(record.node).or_default().push(record.index);
        let is_answered = matches!(record.fate, Fate::InTime | Fate::Late);
        assert_eq!(record.served.is_some(), is_answered, "{name}: {record:?}");
        assert_eq!(record.fate == Fate::InTime, is_answered && record.ended_ns <= record.deadline_ns, "{name}");
        assert_ne!(record.fate, Fate::Late, "{name}: the cost model is what was planned with");
        assert!(record.ended_ns >= record.arrived_ns, "{name}");
    }
    for indices in seen.values_mut() {
        indices.sort_unstable();
        assert!(indices.iter().copied().eq(0..indices.len() as u64), "{name}: each arrival once");
    }
    let counts = summary.counts;
    assert_eq!(counts.arrived, log.requests.len() as u64, "{name}");
    assert_eq!(counts.arrived, counts.ended(), "{name}");
    assert_eq!(counts.arrived, log.epochs.iter().map(|e| e.arrived).sum::<u64>(), "{name}");
    for parts in [&summary.classes, &summary.models] {
        assert_eq!(parts.iter().map(|part| part.counts.arrived).sum::<u64>(), counts.arrived, "{name}");
    }
    // Nothing is used that is not there.
    let (epoch, models) = (&scenario.epoch, models(scenario));
    let [t_u, t_d] = [epoch.uplink_slot_s, epoch.downlink_slot_s].map(|s| (s * 1e9).round() as u64);
    let noise = watts(scenario.radio.noise_density_dbm_per_hz);
    let mut free: BTreeMap<u32, (u64, u64, u64)> = BTreeMap::new();
    for ((node, begins), batch) in batches(log) {
        let longest = batch.iter().map(|r| r.prompt_tokens).max().unwrap();
        let mut bytes: f64 = models.iter().map(|(t, alpha, ..)| alpha * t.weight_bytes() as f64).sum();
        let (mut seconds, mut up, mut down) = (0.0, 0.0, 0.0);
        for r in &batch {
            let served = r.served.unwrap();
            let (t, alpha, beta, padding) = &models[usize::from(r.service)];
            let padded = match padding {
                Padding::Fixed(tokens) => *tokens,
                Padding::Longest => longest,
                Padding::None => r.prompt_tokens,
            };
            assert!(r.prompt_tokens <= padded, "{name}");
            bytes += alpha * (u64::from(padded + r.output_tokens) as f64) * t.kv_bytes_per_token() as f64;
            seconds += beta * t.flops(padded, r.output_tokens) as f64 / scenario.node.compute_flops;
            for (tokens, share, slot_s, hz, dbm) in [
                (r.prompt_tokens, served.uplink, epoch.uplink_slot_s, scenario.radio.uplink_bandwidth_hz, {
                    scenario.synthesis.uplink_power_dbm
                }),
                (r.output_tokens, served.downlink, epoch.downlink_slot_s, scenario.radio.downlink_bandwidth_hz, {
                    scenario.radio.downlink_power_dbm
                }),
            ] {
                let rate = hz * (1.0 + watts(dbm) * served.channel_power_gain / (noise * hz)).log2();
                let bits = f64::from(tokens) * f64::from(scenario.radio.bits_per_token);
                assert!(share * rate * slot_s >= bits * (1.0 - 1e-9), "{name}: a band too narrow for {r:?}");
            }
            (up, down) = (up + served.uplink, down + served.downlink);
            assert!(served.scheduled_ns > r.arrived_ns, "{name}");
        }
        assert!(up <= 1.0 + 1e-12 && down <= 1.0 + 1e-12, "{name}: bands {up} {down}");
        assert!(bytes <= scenario.node.memory_bytes * (1.0 + 1e-12), "{name}: {bytes} bytes");
        // Slots one after another: prompts, computation, answers.
        let computed = batch[0].ended_ns - t_d;
        assert!(batch.iter().all(|r| r.ended_ns == batch[0].ended_ns), "{name}");
        let computes = begins + t_u;
        assert!((computed - computes) as f64 >= seconds * 1e9 * (1.0 - 1e-12), "{name}: computed too fast");
        assert!((computed - computes) as f64 <= seconds * 1e9 + 2.0, "{name}: computed too slowly");
        let (uplink, compute, downlink) = free.entry(node).or_default();
        let first = if settings.overlap { *uplink } else { *downlink };
        assert!(begins >= first && computes >= *compute && computed >= *downlink, "{name}: a slot taken twice");
        (*uplink, *compute, *downlink) = (begins + t_u, computed, computed + t_d);
        if settings.batch_time == BatchTime::Epoch {
            assert!(computed - computes <= (epoch.duration_s * 1e9) as u64, "{name}");
        }
    }
    for e in &log.epochs {
        assert!(e.used[..3].iter().all(|used| (0.0..=1.0 + 1e-12).contains(used)), "{name}: {e:?}");
        assert!(
            e.optimum.is_none_or(|best| best >= e.scheduled && (e.scheduled > 0 || best == 0 || !e.proven)),
            "{name}"
        );
        assert!(!e.busy || e.scheduled == 0, "{name}");
        assert!(settings.batch_time == BatchTime::Deadline || !e.busy, "{name}: no epoch is passed over");
        assert!(e.scheduled <= e.servable && e.servable <= e.queued, "{name}: {e:?}");
        assert!(e.queued <= settings.queue_limit as u64, "{name}");
    }
}

#[test]
fn every_request_ends_once_and_nothing_is_used_twice() {
    for (name, scenario, settings) in cases() {
        for method in [Method::Flat, Method::FirstCome, Method::EarliestDeadline] {
            let (summary, log) = run(&scenario, settings, method);
            check(&format!("{name}, {method}"), &scenario, &settings, &summary, &log);
            assert!(summary.counts.in_time > 0, "{name}: nothing was served");
        }
    }
}

#[test]
fn threads_change_nothing() {
    for (name, scenario, settings) in cases().into_iter().step_by(7) {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let solver = Solver::new(Method::Flat).threads(threads).unwrap();
            pool.install(|| {
                let mut log = Log::default();
                let simulation = Simulation::new(&scenario, Source::Generated, settings).unwrap();
                let summary = simulation.run(&solver, &mut log).unwrap();
                (summary, log.epochs, log.requests)
            })
        };
        let one = on(1);
        for threads in [2, 5] {
            assert!(on(threads) == one, "{name} on {threads} threads");
        }
    }
}

#[test]
fn every_scheduler_sees_the_same_arrivals_and_channels() {
    let mut scenario = binding(20.0, Padding::Fixed(512));
    scenario.synthesis.deadline_s = (3.0, 12.0);
    scenario.synthesis.fading = Fading::Block { correlation: 0.5 };
    let settings = Settings { duration_s: 200.0, nodes: 2, ..Settings::default() };
    let key = |log: &Log| {
        let mut all: Vec<_> = log
            .requests
            .iter()
            .map(|r| (r.node, r.index, r.arrived_ns, r.deadline_ns, r.prompt_tokens, r.output_tokens, r.class))
            .collect();
        all.sort_unstable();
        all
    };
    // (node, index, epoch) to channel: the same for whoever is served there by both.
    let channels = |log: &Log| -> BTreeMap<(u32, u64, u64), u64> {
        let served = log.requests.iter().filter_map(|r| r.served.map(|s| (r, s)));
        served.map(|(r, s)| ((r.node, r.index, s.scheduled_ns), s.channel_power_gain.to_bits())).collect()
    };
    let (best, first) = run(&scenario, settings, Method::Flat);
    let mut met = 0;
    for method in [Method::FirstCome, Method::ShortestFirst, Method::NoBatching, Method::Static { batch_size: None }] {
        let (summary, log) = run(&scenario, settings, method);
        assert_eq!(key(&log), key(&first), "{method}");
        let (a, b) = (channels(&first), channels(&log));
        for (who, channel) in &b {
            if let Some(other) = a.get(who) {
                assert_eq!(channel, other, "{method}: {who:?}");
                met += 1;
            }
        }
        let regret = summary.regret.unwrap();
        assert!(regret.optimum >= regret.scheduled && regret.unproven == 0, "{method}: {regret:?}");
        assert_eq!(regret.optimum > regret.scheduled, regret.short > 0, "{method}: {regret:?}");
    }
    assert!(met > 50, "{met} requests served in the same epoch by two schedulers");
    let regret = best.regret.unwrap();
    assert_eq!((regret.short, regret.scheduled), (0, regret.optimum));
}

#[test]
fn a_slow_engine_is_late_and_says_so() {
    let mut scenario = binding(20.0, Padding::None);
    scenario.synthesis.deadline_s = (3.0, 12.0);
    let settings = Settings { duration_s: 60.0, ..Settings::default() };
    let simulation = Simulation::new(&scenario, Source::Generated, settings).unwrap();
    let slow = simulation.on_engine(CostModel { slowdown: 1.3 });
    let mut log = Log::default();
    let summary = slow.run(&Solver::new(Method::Flat), &mut log).unwrap();
    assert!(summary.counts.late > 0 && summary.counts.in_time > 0, "{:?}", summary.counts);
    assert_eq!(summary.counts.arrived, summary.counts.ended());
    for r in log.requests.iter().filter(|r| r.served.is_some()) {
        assert_eq!(r.fate == Fate::InTime, r.ended_ns <= r.deadline_ns);
    }
    assert!(summary.throughput() > summary.goodput());
}

/// Takes everything.
struct Greedy;

impl Scheduler for Greedy {
    fn name(&self) -> &str {
        "everything"
    }

    fn schedule(&self, instances: &[Instance]) -> Vec<Pick> {
        let all =
            |instance: &Instance| Pick { rows: (0..instance.len() as u32).collect(), optimal: true, ..Pick::default() };
        instances.iter().map(all).collect()
    }
}

/// Names a row that is not there.
struct Wild;

impl Scheduler for Wild {
    fn name(&self) -> &str {
        "wild"
    }

    fn schedule(&self, instances: &[Instance]) -> Vec<Pick> {
        instances.iter().map(|i| Pick { rows: vec![i.len() as u32], ..Pick::default() }).collect()
    }
}

#[test]
fn a_scheduler_that_takes_too_much_is_stopped() {
    let scenario = binding(50.0, Padding::Fixed(512));
    let simulation = Simulation::new(&scenario, Source::Generated, Settings::default()).unwrap();
    for (scheduler, says) in
        [(&Greedy as &dyn Scheduler, "schedule: everything, epoch 1, node 0: the batch of"), (&Wild, "schedule: wild")]
    {
        let error = simulation.run(scheduler, &mut Silent).unwrap_err();
        assert!(matches!(error, Error::Schedule(_)) && error.to_string().starts_with(says), "{error}");
    }
}

#[test]
fn an_observer_may_stop_a_run() {
    struct Full(u32);
    impl Observer for Full {
        fn epoch(&mut self, _: &EpochRecord) -> Result<()> {
            self.0 += 1;
            if self.0 == 3 { Err(Error::Schedule("full".to_string())) } else { Ok(()) }
        }
    }
    let simulation = Simulation::new(&binding(5.0, Padding::None), Source::Generated, Settings::default()).unwrap();
    let mut observer = Full(0);
    assert!(simulation.run(&Solver::new(Method::FirstCome), &mut observer).is_err());
    assert_eq!(observer.0, 3);
}

#[test]
fn reasons_are_those_of_the_request() {
    let mut scenario = Scenario::paper();
    scenario.arrivals.rate_per_s = 50.0;
    scenario.synthesis.deadline_s = (0.3, 3.0);
    let settings = Settings { duration_s: 60.0, ..Settings::default() };
    let (summary, log) = run(&scenario, settings, Method::Flat);
    let counts = summary.counts;
    for (reason, count) in Reason::ALL.into_iter().zip(counts.infeasible) {
        let expected = matches!(reason, Reason::Accuracy | Reason::Deadline);
        assert_eq!(count > 0, expected, "{reason}: {count}");
    }
    let t = Transformer::new(&scenario.model);
    for r in &log.requests {
        let alone = t.flops(512, r.output_tokens) as f64 / scenario.node.compute_flops + 0.5;
        let tau = (r.deadline_ns - r.arrived_ns) as f64 / 1e9;
        match r.fate {
            Fate::Infeasible(Reason::Deadline) => assert!(tau < alone + 1e-6),
            Fate::Expired | Fate::InTime => assert!(tau > alone - 1e-6, "{r:?}"),
            _ => {}
        }
    }
}

#[test]
fn the_edges_of_a_run() {
    let scenario = binding(20.0, Padding::None);
    let new = |settings| Simulation::new(&scenario, Source::Generated, settings).map(|_| ());
    for settings in [
        Settings { duration_s: 0.0, ..Settings::default() },
        Settings { duration_s: f64::NAN, ..Settings::default() },
        Settings { nodes: 0, ..Settings::default() },
        Settings { queue_limit: 0, ..Settings::default() },
    ] {
        assert!(matches!(new(settings), Err(Error::Input { .. })), "{settings:?}");
    }
    let mut wide = scenario.clone();
    wide.epoch.uplink_slot_s = 3.0;
    let error = Simulation::new(&wide, Source::Generated, Settings::default()).unwrap_err().to_string();
    assert!(error.starts_with("scenario, epoch.uplink_slot_s: a slot of 3 s does not fit"), "{error}");
    // Shorter than an epoch: one epoch serves it.
    let (summary, log) = run(&scenario, Settings { duration_s: 0.5, ..Settings::default() }, Method::Flat);
    assert_eq!(log.epochs.iter().filter(|e| e.arrived > 0).count(), 1);
    assert_eq!(summary.counts.arrived, summary.counts.ended());
    // Nothing arrives.
    let mut quiet = scenario.clone();
    quiet.arrivals.rate_per_s = 1e-6;
    let (summary, log) = run(&quiet, Settings::default(), Method::Flat);
    assert_eq!((summary.counts.arrived, summary.counts.attainment(), log.epochs.len()), (0, 0.0, 30));
    // An epoch that its slots fill leaves no time to compute.
    let mut full = scenario.clone();
    full.epoch.duration_s = 0.25;
    let settings = Settings { batch_time: BatchTime::Epoch, ..Settings::default() };
    let error = Simulation::new(&full, Source::Generated, settings).unwrap();
    assert!(error.run(&Solver::new(Method::Flat), &mut Silent).is_err());
}

/// Greedy, and not to be asked where there is nobody to choose from.
struct Asked;

impl Scheduler for Asked {
    fn name(&self) -> &str {
        "asked"
    }

    fn schedule(&self, instances: &[Instance]) -> Vec<Pick> {
        assert!(!instances.is_empty() && instances.iter().all(|instance| !instance.is_empty()));
        Solver::new(Method::FirstCome).schedule(instances)
    }
}

#[test]
fn epochs_with_nobody_to_serve_are_recorded_and_nobody_is_asked() {
    for (nodes, regret, scenario) in [(1, true, binding(0.05, Padding::None)), (3, false, three_models(0.05))] {
        let settings = Settings { duration_s: 400.0, nodes, regret, ..Settings::default() };
        let simulation = Simulation::new(&scenario, Source::Generated, settings).unwrap();
        let mut log = Log::default();
        let summary = simulation.run(&Asked, &mut log).unwrap();
        assert!(summary.counts.in_time > 0);
        let idle: Vec<&EpochRecord> = log.epochs.iter().filter(|e| e.servable == 0 && !e.busy).collect();
        assert!(idle.len() > 50, "{}", idle.len());
        let weights = simulation.host().memory_used(std::iter::empty());
        for epoch in idle {
            assert_eq!((epoch.optimum, epoch.proven), (regret.then_some(0), regret));
            assert_eq!((epoch.used, epoch.scheduled), ([0.0, 0.0, weights, 0.0], 0));
        }
        let asked = log.epochs.iter().filter(|epoch| !epoch.busy).count() as u64;
        assert_eq!(summary.regret.map(|regret| regret.epochs), regret.then_some(asked));
    }
}
