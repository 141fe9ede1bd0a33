//! From an instance to a proven batch: `cargo bench --bench search`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here should stop the run")]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dftsp::bound::Multipliers;
use dftsp::certificate::Status;
use dftsp::generate::{Family, Generator, Spec};
use dftsp::instance::{Instance, Problem};
use dftsp::rank::Ranked;
use dftsp::solver::{Method, Solver};
use dftsp::verify::proof;
use dftsp::workload::synthesis::{ChannelModel, RowRng};

fn instance(family: Family, channel: ChannelModel, requests: u64) -> Instance {
    let generator = Generator::new(Spec { requests, channel, ..Spec::new(family) }).unwrap();
    Problem::new(generator.scenario(), &generator.requests().unwrap()).unwrap().instance
}

fn bound_pass(c: &mut Criterion) {
    let mut group = c.benchmark_group("bound_pass");
    for requests in [1_000, 100_000, 1_000_000] {
        let ranked = Ranked::new(&instance(Family::Binding, ChannelModel::Rayleigh, requests));
        let share = 0.25 / ranked.len() as f64;
        let capacities = ranked.capacities(ranked.len() / 2);
        let multipliers = Multipliers::from_real(capacities.map(|b| share * ranked.len() as f64 / b as f64));
        group.throughput(Throughput::Elements(ranked.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(requests), &ranked, |b, ranked| {
            b.iter(|| multipliers.bounds(black_box(ranked)));
        });
    }
    group.finish();
}

fn solve(c: &mut Criterion) {
    let mut group = c.benchmark_group("solve");
    group.sample_size(20);
    let (fading, shared) = (ChannelModel::Rayleigh, ChannelModel::Shared);
    for (method, family, channel, requests) in [
        (Method::Flat, Family::Binding, fading, 100),
        (Method::Flat, Family::Binding, fading, 500),
        (Method::Flat, Family::Binding, fading, 10_000),
        (Method::Flat, Family::Binding, fading, 100_000),
        (Method::Flat, Family::Binding, fading, 1_000_000),
        (Method::Flat, Family::Binding, shared, 500),
        (Method::Flat, Family::Binding, shared, 1_000_000),
        (Method::Flat, Family::Paper, shared, 500),
        (Method::Algorithm1 { prune: true }, Family::Paper, shared, 100),
        (Method::FirstCome, Family::Binding, fading, 10_000),
    ] {
        let instance = instance(family, channel, requests);
        let family = if family == Family::Paper { "paper" } else { "binding" };
        let channel = if channel == shared { "shared" } else { "fading" };
        group.throughput(Throughput::Elements(requests));
        // Parallel where there is something to share out.
        let threads: &[usize] = if method == Method::Flat && requests >= 100_000 { &[1, 2] } else { &[1] };
        for &threads in threads {
            let solver = Solver::new(method).threads(threads).unwrap();
            let name = format!("{method}/{family}/{channel}/threads-{threads}");
            group.bench_with_input(BenchmarkId::new(name, requests), &instance, |b, instance| {
                b.iter(|| solver.solve(black_box(instance)));
            });
        }
    }
    group.finish();
}

/// Many cells in one call.
fn solve_many(c: &mut Criterion) {
    const CELLS: u64 = 1_000;
    let cell = |seed| {
        let generator = Generator::new(Spec { requests: 500, seed, ..Spec::new(Family::Binding) }).unwrap();
        Problem::new(generator.scenario(), &generator.requests().unwrap()).unwrap().instance
    };
    let cells: Vec<Instance> = (1..=CELLS).map(cell).collect();
    let mut group = c.benchmark_group("solve_many");
    group.sample_size(10);
    group.throughput(Throughput::Elements(CELLS));
    for threads in [1, 2] {
        let solver = Solver::new(Method::Flat).threads(threads).unwrap();
        group.bench_function(format!("500 requests/threads-{threads}/{CELLS}"), |b| {
            b.iter(|| solver.solve_many(black_box(&cells)));
        });
    }
    group.finish();
}

/// The paper's tree without pruning: nodes visited and paths checked a second. Trees of 60 requests have 10,000 paths
/// at most, which one thread does; those of 200 are shared out.
fn exhaustive(c: &mut Criterion) {
    let method = Method::Algorithm1 { prune: false };
    let mut group = c.benchmark_group("exhaustive");
    group.sample_size(10);
    for requests in [60, 200] {
        let instance = instance(Family::Paper, ChannelModel::Shared, requests);
        let work = Solver::new(method).solve(&instance).work;
        for (what, count) in [("nodes", work.nodes), ("paths", work.paths_checked)] {
            group.throughput(Throughput::Elements(count));
            for threads in [1, 2] {
                let solver = Solver::new(method).threads(threads).unwrap();
                let name = format!("{what}/{requests}/threads-{threads}");
                group.bench_function(name, |b| b.iter(|| solver.solve(black_box(&instance))));
            }
        }
    }
    group.finish();
}

/// What the largest solve is measured against: sorting as many pairs.
fn sort(c: &mut Criterion) {
    const PAIRS: u32 = 1_000_000;
    let mut rng = RowRng::new(1, 0);
    let pairs: Vec<(u64, u32)> = (0..PAIRS).map(|i| (rng.next_row().below(0, u64::MAX), i)).collect();
    let mut group = c.benchmark_group("solve");
    group.sample_size(20);
    group.throughput(Throughput::Elements(u64::from(PAIRS)));
    group.bench_function("sort_unstable/pairs/1000000", |b| {
        b.iter_batched_ref(|| pairs.clone(), |pairs| pairs.sort_unstable(), BatchSize::LargeInput);
    });
    group.finish();
}

fn verify(c: &mut Criterion) {
    let instance = instance(Family::Binding, ChannelModel::Rayleigh, 10_000);
    let solution = Solver::new(Method::Flat).solve(&instance);
    assert_eq!(solution.status(), Status::Optimal);
    c.bench_function("verify/certificate/10000", |b| {
        b.iter(|| proof::check(black_box(&instance), &solution.certificate, None, |_, _| Ok(())).unwrap());
    });
}

criterion_group!(benches, bound_pass, solve, sort, solve_many, exhaustive, verify);
criterion_main!(benches);
