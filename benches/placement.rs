//! Layers on edge servers, and the quantiser: `cargo bench --bench placement`. Gaps and times seed by seed:
//! `cargo run --release --example placement_speed`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure here should stop the run")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use dftsp::placement::Problem;
use dftsp::placement::delay::Communication;
use dftsp::placement::generate::{Spec, problem};
use dftsp::placement::ilp::{self, Answer};
use dftsp::placement::solve::{Outcome, Status, solve};
use dftsp::quantizer::Granularity;
use dftsp::quantizer::grid::Symmetry;
use dftsp::quantizer::memory::quantize;
use dftsp::search::Limits;
use dftsp::workload::synthesis::RowRng;

fn prove(problem: &Problem, threads: bool) -> f64 {
    match solve(problem, Communication::Chain, &Limits::NONE, threads) {
        Outcome::Placed(solution) => {
            assert_eq!(solution.status(), Status::Optimal);
            solution.usage.delay_s
        }
        other => panic!("{other:?}"),
    }
}

/// Problems of several seeds to proven optima, one after the other.
fn exact(c: &mut Criterion) {
    let mut group = c.benchmark_group("place");
    group.sampling_mode(SamplingMode::Flat);
    for (layers, servers, seeds) in [(24, 5, 10), (40, 8, 1)] {
        let problems: Vec<Problem> = (1..=seeds).map(|seed| problem(&Spec::sized(seed, layers, servers))).collect();
        group.throughput(Throughput::Elements(seeds));
        for threads in [false, true] {
            let name = format!("{layers} layers, {servers} servers/threads-{}", if threads { "all" } else { "1" });
            group.bench_function(BenchmarkId::new(name, format!("seeds 1-{seeds}")), |b| {
                b.iter(|| problems.iter().map(|p| prove(black_box(p), threads)).sum::<f64>());
            });
        }
    }
    group.finish();
}

/// The integer program beside the exact solver, where it is fast enough.
fn integer_program(c: &mut Criterion) {
    let mut group = c.benchmark_group("place_small");
    for (layers, servers) in [(4, 2), (6, 3), (8, 3)] {
        let p = problem(&Spec::sized(1, layers, servers));
        let name = format!("{layers} layers, {servers} servers");
        let best = prove(&p, false);
        group.bench_function(BenchmarkId::new("exact", &name), |b| b.iter(|| prove(black_box(&p), false)));
        group.bench_function(BenchmarkId::new("ilp", &name), |b| {
            b.iter(|| match ilp::solve(black_box(&p), Communication::Chain, None) {
                Answer::Optimal(Outcome::Placed(s)) => assert!((s.usage.delay_s - best).abs() <= 1e-6 * best),
                other => panic!("{other:?}"),
            });
        });
    }
    group.finish();
}

/// Bytes of 32-bit weights quantised a second on one thread, each group of 128 with its best clip range.
fn quantizer(c: &mut Criterion) {
    const COLUMNS: usize = 4096;
    let mut rng = RowRng::new(1, 0);
    let weights: Vec<f32> = (0..1 << 18)
        .map(|_| {
            let d = rng.next_row();
            (0..4).map(|k| d.uniform(k, (-0.02, 0.02))).sum::<f64>() as f32
        })
        .collect();
    let mut group = c.benchmark_group("quantize");
    group.throughput(Throughput::Bytes(4 * weights.len() as u64));
    for bits in [2, 4, 8] {
        for (name, symmetry) in [("symmetric", Symmetry::Symmetric), ("asymmetric", Symmetry::Asymmetric)] {
            group.bench_function(format!("group-128/{name}/{bits} bits"), |b| {
                b.iter(|| quantize(black_box(&weights), COLUMNS, bits, Granularity::Group(128), symmetry).unwrap());
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    // Little more than a minute for all of it.
    config = Criterion::default()
        .sample_size(10)
        .nresamples(10_000)
        .without_plots()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = exact, integer_program, quantizer
}
criterion_main!(benches);
