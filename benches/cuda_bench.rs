//! The CPU and a CUDA device on the same instances: `cargo bench --bench cuda_bench`, or the binary alone with
//! `--bench`.
//!
//! `DFTSP_BENCH_LARGE=1` adds 10,000,000 requests, and makes it 100,000 cells in place of 10,000. Without a device it
//! says so and measures the CPU alone, briefly.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "a failure here should stop the run")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use dftsp::compare::{Kind, cells, hard_leaves, sized};
use dftsp::device::Choice;
use dftsp::solver::{Method, Solver};

/// Solvers with their names: the CPU on all threads, and the device if there is one.
fn solvers() -> Vec<(&'static str, Solver)> {
    let solver = Solver::new(Method::Flat).threads(0).unwrap();
    let mut solvers = vec![("cpu", solver.clone())];
    match solver.on(Choice::Cuda) {
        Ok(cuda) => solvers.push(("cuda", cuda)),
        Err(e) => eprintln!("SKIPPED: cuda: {e}"),
    }
    solvers
}

fn end_to_end(c: &mut Criterion, solvers: &[(&'static str, Solver)], sizes: &[u64]) {
    let mut group = c.benchmark_group("end_to_end");
    group.sample_size(10);
    for &requests in sizes {
        group.throughput(Throughput::Elements(requests));
        for kind in [Kind::Fading, Kind::Continuous] {
            let instance = sized(kind, requests, 1).unwrap();
            for (name, solver) in solvers {
                group.bench_with_input(
                    BenchmarkId::new(format!("{}/{name}", kind.name()), requests),
                    &instance,
                    |b, i| {
                        b.iter(|| solver.solve(black_box(i)));
                    },
                );
            }
        }
    }
    group.finish();
}

/// One pass alone over columns that are where they are read; 40 bytes a request.
fn bound_pass(c: &mut Criterion, solvers: &[(&'static str, Solver)], sizes: &[u64]) {
    let mut group = c.benchmark_group("bound_pass");
    group.sample_size(10);
    for &requests in sizes {
        let instance = sized(Kind::Fading, requests, 1).unwrap();
        group.throughput(Throughput::Bytes(40 * instance.len() as u64));
        for (name, solver) in solvers {
            group.bench_with_input(BenchmarkId::new(*name, requests), &instance, |b, instance| {
                b.iter_custom(|passes| {
                    let times = solver.time_bound_passes(instance, passes as usize).unwrap();
                    times.into_iter().sum::<Duration>().max(Duration::from_nanos(1))
                });
            });
        }
    }
    group.finish();
}

/// The hardest trees known: nodes, and paths, a second.
fn trees(c: &mut Criterion, solvers: &[(&'static str, Solver)]) {
    let leaves = hard_leaves().unwrap();
    let works = leaves.iter().map(|leaf| solvers[0].1.solve(leaf).work);
    let (nodes, paths) = works.fold((0, 0), |(n, p), work| (n + work.nodes, p + work.paths_checked));
    let mut group = c.benchmark_group("hard_leaves");
    group.sample_size(10);
    for (what, count) in [("nodes", nodes), ("paths", paths)] {
        group.throughput(Throughput::Elements(count));
        for (name, solver) in solvers {
            group.bench_function(BenchmarkId::new(*name, what), |b| {
                b.iter(|| leaves.iter().map(|leaf| solver.solve(black_box(leaf)).rows.len()).sum::<usize>());
            });
        }
    }
    group.finish();
}

fn many(c: &mut Criterion, solvers: &[(&'static str, Solver)], count: u64) {
    let cells = cells(count, 500, 1).unwrap();
    let mut group = c.benchmark_group("cells");
    group.sample_size(10);
    group.throughput(Throughput::Elements(count));
    for (name, solver) in solvers {
        group.bench_function(BenchmarkId::new(*name, format!("{count} of 500")), |b| {
            b.iter(|| solver.solve_many(black_box(&cells)));
        });
    }
    group.finish();
}

fn main() {
    let large = std::env::var_os("DFTSP_BENCH_LARGE").is_some_and(|value| value == "1");
    let solvers = solvers();
    let alone = solvers.len() == 1;
    // `cargo test` runs benches once, without `--bench`; the instances alone would take longer than that should.
    let brief = alone || !std::env::args().any(|argument| argument == "--bench");
    let mut sizes = vec![100_000];
    if !brief {
        sizes.push(1_000_000);
    }
    if large {
        sizes.push(10_000_000);
    }
    let measured = if alone { Duration::from_secs(1) } else { Duration::from_secs(2) };
    let mut c = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(measured);
    c = c.configure_from_args();
    end_to_end(&mut c, &solvers, &sizes);
    bound_pass(&mut c, &solvers, &sizes);
    trees(&mut c, &solvers);
    many(
        &mut c,
        &solvers,
        if large {
            100_000
        } else if brief {
            1_000
        } else {
            10_000
        },
    );
    c.final_summary();
}
