//! The edge node over time: `cargo bench --bench simulation`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here should stop the run")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dftsp::generate::{Family, Generator, Spec};
use dftsp::scenario::Scenario;
use dftsp::simulation::{Settings, Silent, Simulation, Source};
use dftsp::solver::{Method, Solver};

const HOUR: f64 = 3600.0;

fn scenario(family: Family) -> Scenario {
    let generator = Generator::new(Spec { requests: 500, ..Spec::new(family) }).unwrap();
    let mut scenario = generator.scenario().clone();
    scenario.arrivals.rate_per_s = 250.0;
    scenario
}

/// Runs it, and returns how many requests arrived.
fn run(scenario: &Scenario, settings: Settings, method: Method, threads: usize) -> u64 {
    let simulation = Simulation::new(scenario, Source::Generated, settings).unwrap();
    let solver = Solver::new(method).threads(threads).unwrap();
    let summary = simulation.run(&solver, &mut Silent).unwrap();
    assert_eq!(summary.counts.arrived, summary.counts.ended());
    summary.counts.arrived
}

/// 24 hours at 250 requests a second, exactly scheduled.
fn day(c: &mut Criterion) {
    let mut group = c.benchmark_group("simulated_day");
    group.sample_size(10);
    let settings = Settings { duration_s: 24.0 * HOUR, ..Settings::default() };
    group.throughput(Throughput::Elements((settings.duration_s * 250.0) as u64));
    for (name, family) in [("only the deadline binds", Family::Paper), ("all constraints bind", Family::Binding)] {
        let scenario = scenario(family);
        group.bench_function(name, |b| b.iter(|| run(&scenario, settings, Method::Flat, 1)));
    }
    group.finish();
}

/// An hour at 250 requests a second, by scheduler; all but the exact one are compared with it in every epoch.
fn schedulers(c: &mut Criterion) {
    let mut group = c.benchmark_group("simulated_hour");
    group.sample_size(10);
    let mut scenario = scenario(Family::Binding);
    scenario.synthesis.deadline_s = (2.0, 8.0);
    let settings = Settings { duration_s: HOUR, ..Settings::default() };
    group.throughput(Throughput::Elements((HOUR * 250.0) as u64));
    for method in [Method::Flat, Method::Algorithm1FromBound, Method::FirstCome] {
        group.bench_with_input(BenchmarkId::from_parameter(method), &method, |b, &method| {
            b.iter(|| run(&scenario, settings, method, 1));
        });
    }
    group.finish();
}

/// 64 nodes side by side for ten minutes.
fn nodes(c: &mut Criterion) {
    let mut group = c.benchmark_group("64_nodes");
    group.sample_size(10);
    let scenario = scenario(Family::Binding);
    let settings = Settings { duration_s: 600.0, nodes: 64, ..Settings::default() };
    group.throughput(Throughput::Elements((64.0 * 600.0 * 250.0) as u64));
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        group.bench_with_input(BenchmarkId::new("threads", threads), &threads, |b, &threads| {
            b.iter(|| pool.install(|| run(&scenario, settings, Method::Flat, threads)));
        });
    }
    group.finish();
}

criterion_group!(benches, day, schedulers, nodes);
criterion_main!(benches);
