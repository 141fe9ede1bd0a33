//! Time, memory and cancellation: kept hard, and whatever stops a search, a batch and a proven bound come out.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here should stop the run")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dftsp::certificate::{Solution, Status};
use dftsp::generate::{Family, Generator, Lengths, Spec};
use dftsp::instance::{Instance, Problem};
use dftsp::scenario::Padding;
use dftsp::search::{Cancel, Limits, Observer, Progress};
use dftsp::solver::{Method, Solver};
use dftsp::verify::proof;

fn instance(requests: u64, padding: Padding, lengths: Lengths) -> Instance {
    let generator = Generator::new(Spec { requests, padding, lengths, seed: 3, ..Spec::new(Family::Binding) }).unwrap();
    Problem::new(generator.scenario(), &generator.requests().unwrap()).unwrap().instance
}

/// Whatever stopped it: a feasible batch, and a bound that the checker accepts.
fn check(instance: &Instance, solution: &Solution) {
    assert_eq!(solution.work.stopped, solution.status() != Status::Optimal);
    check_proof(instance, solution);
}

/// The same of a method that may stop with a batch that a bound proves, or end without a proof.
fn check_proof(instance: &Instance, solution: &Solution) {
    assert!(instance.is_feasible(&solution.rows));
    assert!(solution.certificate.bound >= solution.rows.len() as u64);
    let proof = proof::check(instance, &solution.certificate, None, |_, _| Ok(()));
    assert_eq!(proof, Ok(()));
}

/// Runs `work` while as many threads as there are cores do nothing useful.
fn under_load(work: impl FnOnce()) {
    let done = Arc::new(AtomicBool::new(false));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let idle: Vec<_> = (0..cores)
        .map(|_| {
            let done = Arc::clone(&done);
            thread::spawn(move || while !done.load(Ordering::Relaxed) {})
        })
        .collect();
    work();
    done.store(true, Ordering::Relaxed);
    idle.into_iter().for_each(|thread| thread.join().unwrap());
}

/// The best of several tries: what the solver does, not what the scheduler of the machine does to it.
#[test]
fn time_limits_are_hard_under_load() {
    let cases = [
        (200_000, Padding::Fixed(512), Lengths::paper()),
        (200_000, Padding::None, Lengths::Continuous),
        (20_000, Padding::Longest, Lengths::Continuous),
        (300, Padding::None, Lengths::Continuous),
    ];
    for (requests, padding, lengths) in cases {
        let instance = instance(requests, padding, lengths);
        for threads in [1, 2] {
            for limit_ms in [0.0, 2.0, 10.0, 60.0] {
                let limit = Duration::from_secs_f64(limit_ms / 1e3);
                let solver = Solver::new(Method::Flat).threads(threads).unwrap().limits(Limits::time(limit));
                let allowed = limit + Duration::from_millis(5).max(limit / 100);
                let mut least = Duration::MAX;
                under_load(|| {
                    for _ in 0..60 {
                        let start = Instant::now();
                        let solution = solver.solve(&instance);
                        least = least.min(start.elapsed());
                        check(&instance, &solution);
                        assert!(!solution.rows.is_empty());
                        if least <= allowed {
                            break;
                        }
                    }
                });
                assert!(least <= allowed, "{requests} {padding:?}, {threads} threads: {least:?} for {limit:?}");
            }
        }
    }
}

/// Half a second is enough for a batch as good as greedy ones, and a bound as good as linear programs give.
#[test]
fn a_short_time_costs_neither_batch_nor_bound() {
    for (padding, requests) in [(Padding::Fixed(512), 20_000), (Padding::Longest, 3_000), (Padding::None, 20_000)] {
        for lengths in [Lengths::paper(), Lengths::Continuous] {
            let instance = instance(requests, padding, lengths);
            let greedy = [Method::ShortestFirst, Method::FirstCome, Method::EarliestDeadline]
                .map(|method| Solver::new(method).solve(&instance));
            let solver = Solver::new(Method::Flat).limits(Limits::time(Duration::from_millis(500)));
            let solution = solver.solve(&instance);
            check(&instance, &solution);
            assert!(greedy.iter().all(|g| g.rows.len() <= solution.rows.len()), "{padding:?}");
            assert!(greedy.iter().all(|g| g.certificate.bound >= solution.certificate.bound), "{padding:?}");
        }
    }
}

#[test]
fn a_search_is_cancelled_from_another_thread() {
    let instance = instance(100_000, Padding::Longest, Lengths::Continuous);
    let cancel = Cancel::new();
    let solver = Solver::new(Method::Flat).limits(Limits { cancel: Some(cancel.clone()), ..Limits::NONE });
    let solution = thread::scope(|scope| {
        let solving = scope.spawn(|| solver.solve(&instance));
        thread::sleep(Duration::from_millis(20));
        cancel.cancel();
        solving.join().unwrap()
    });
    check(&instance, &solution);
    assert!(cancel.is_cancelled() && solution.work.stopped);
    // The switch stays thrown.
    let again = solver.solve(&instance);
    check(&instance, &again);
    assert!(again.work.stopped);
}

#[test]
fn a_memory_limit_ends_the_search_and_not_the_program() {
    let instance = instance(100_000, Padding::Fixed(512), Lengths::paper());
    let optimum = Solver::new(Method::Flat).solve(&instance);
    assert_eq!(optimum.status(), Status::Optimal);
    for (memory, optimal) in [(0, false), (1 << 20, false), (1 << 30, true)] {
        let solver = Solver::new(Method::Flat).limits(Limits { memory: Some(memory), ..Limits::NONE });
        let solution = solver.solve(&instance);
        check(&instance, &solution);
        assert_eq!(solution.status() == Status::Optimal, optimal, "{memory}");
        assert!(!optimal || solution.rows == optimum.rows);
    }
}

/// Unlike a time limit, it gives the same each time; and a batch as good as greedy ones.
#[test]
fn a_limit_on_nodes_is_kept_and_repeatable() {
    for padding in [Padding::Fixed(512), Padding::Longest] {
        let instance = instance(200, padding, Lengths::paper());
        for method in [Method::Algorithm1 { prune: true }, Method::Algorithm1FromBound, Method::BruteForce] {
            for nodes in [0, 1, 1_000, 1_024, 100_001] {
                let solver = Solver::new(method).limits(Limits { nodes: Some(nodes), ..Limits::NONE });
                let solution = solver.solve(&instance);
                check_proof(&instance, &solution);
                assert!(!solution.rows.is_empty());
                // From the bound, few nodes may be enough, and the flat method's are not limited.
                if method != Method::Algorithm1FromBound {
                    assert!(solution.work.stopped);
                    assert_eq!(solution.work.nodes, nodes, "{method} {padding:?}");
                }
                assert_eq!(solution, solver.solve(&instance));
            }
        }
        // Enough for all.
        let few = Solver::new(Method::Algorithm1FromBound).limits(Limits { nodes: Some(1 << 40), ..Limits::NONE });
        assert_eq!(few.solve(&instance), Solver::new(Method::Algorithm1FromBound).solve(&instance));
    }
    // Not looked at by these.
    let small = instance(12, Padding::Fixed(512), Lengths::paper());
    for method in [Method::Flat, Method::Algorithm1 { prune: false }] {
        let limited = Solver::new(method).limits(Limits { nodes: Some(0), ..Limits::NONE });
        assert_eq!(limited.solve(&small), Solver::new(method).solve(&small));
    }
}

/// Batches and bounds, as they were told.
type Told = (Vec<Vec<u32>>, Vec<u64>);

/// Batches grow, bounds shrink, and the last of each are the answer.
#[test]
fn an_observer_is_told_of_every_step() {
    for (requests, padding) in [(200, Padding::None), (20_000, Padding::Fixed(512)), (2_000, Padding::Longest)] {
        let instance = instance(requests, padding, Lengths::Continuous);
        let told: Arc<Mutex<Told>> = Arc::default();
        let seen = Arc::clone(&told);
        let observer = Observer::new(move |progress| match progress {
            Progress::Incumbent { rows } => seen.lock().unwrap().0.push(rows.to_vec()),
            Progress::Bound { bound } => seen.lock().unwrap().1.push(bound),
        });
        let silent = Solver::new(Method::Flat).threads(2).unwrap();
        let solution = silent.clone().observer(observer).solve(&instance);
        let (batches, bounds) = &*told.lock().unwrap();
        assert!(batches.iter().all(|rows| rows.is_sorted() && instance.is_feasible(rows)));
        assert!(batches.windows(2).all(|pair| pair[0].len() < pair[1].len()));
        assert!(bounds.windows(2).all(|pair| pair[0] > pair[1]));
        assert_eq!((batches.last(), bounds.last()), (Some(&solution.rows), Some(&solution.certificate.bound)));
        // Telling changes nothing.
        assert_eq!(solution, silent.solve(&instance));
    }
}
