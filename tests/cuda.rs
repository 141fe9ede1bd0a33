//! On a real GPU: the same bytes as on the CPU. Without one each test says so and passes; with `DFTSP_CUDA_REQUIRED=1`
//! it fails. `DFTSP_CUDA_INSTANCES` is how many instances are tried, 20,000 without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure here should stop the run")]

mod common;

use std::fmt::Debug;
use std::io::{self, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::hard::{hard_leaves, instance};
use common::shapes::{Room, Shape};
use common::{Channel, Rng, random_epoch, random_instance};
use dftsp::certificate::Solution;
use dftsp::device::Choice;
use dftsp::error::Place;
use dftsp::generate::{Family, Lengths, Spec};
use dftsp::instance::{Capacity, Columns, Instance, MAX_SUM, Problem};
use dftsp::scenario::Padding;
use dftsp::search::Limits;
use dftsp::solver::{Method, Solver};
use dftsp::verify::proof;
use dftsp::workload::synthesis::ChannelModel;
use rayon::prelude::*;

/// Larger instances without padding to the longest prompt are condensed, which is done on the device.
const CONDENSED: usize = 2048;
/// So that nothing hangs: a few of the adversarial shapes take longer, on any machine.
const LIMIT: Duration = Duration::from_secs(2);
const PADDINGS: [Padding; 3] = [Padding::Fixed(512), Padding::None, Padding::Longest];

/// A solver on the device, if there is one.
fn cuda() -> Option<Solver> {
    match Solver::new(Method::Flat).on(Choice::Cuda) {
        Ok(solver) => Some(solver),
        Err(e) if std::env::var_os("DFTSP_CUDA_REQUIRED").is_some_and(|value| value == "1") => {
            panic!("DFTSP_CUDA_REQUIRED=1, and there is no device: {e}")
        }
        Err(e) => {
            // Not by a macro, whose output a test that passes does not show; and once, not for each test.
            static SAID: Once = Once::new();
            SAID.call_once(|| drop(writeln!(io::stderr(), "SKIPPED: {e}")));
            None
        }
    }
}

/// How many instances to try of `all`, if all are 20,000.
fn share(all: u64) -> u64 {
    let wanted = match std::env::var("DFTSP_CUDA_INSTANCES") {
        Ok(text) => text.parse().expect("DFTSP_CUDA_INSTANCES is a number"),
        Err(_) => 20_000,
    };
    (all * wanted).div_ceil(20_000)
}

/// Whether not everything is to be tried.
fn brief() -> bool {
    share(20_000) < 20_000
}

/// The same rows, certificate and counters; and that the device took part where it had to.
fn assert_same(cpu: &Solution, gpu: &Solution, instance: &Instance, context: &dyn Debug) {
    assert_eq!(gpu.ran.fault, None, "{context:?}");
    if cpu.work.stopped || gpu.work.stopped {
        assert_stopped(instance, gpu, context);
        assert!(cpu.rows.len() as u64 <= gpu.certificate.bound, "{context:?}");
        assert!(gpu.rows.len() as u64 <= cpu.certificate.bound, "{context:?}");
        return;
    }
    let context = || format!("{context:?}, {} rows, {:?}", instance.len(), gpu.ran);
    assert_eq!(gpu.rows, cpu.rows, "{}", context());
    assert_eq!(gpu.certificate, cpu.certificate, "{}", context());
    assert_eq!(gpu.work, cpu.work, "{}", context());
    if instance.len() > CONDENSED && !instance.pads_to_longest() {
        assert_eq!(gpu.ran.backend, "cuda", "{}", context());
    }
}

/// A feasible batch, and a bound that the checker accepts.
fn assert_stopped(instance: &Instance, solution: &Solution, context: &dyn Debug) {
    assert!(instance.is_feasible(&solution.rows), "{context:?}");
    assert!(solution.certificate.bound >= solution.rows.len() as u64, "{context:?}");
    let checked = proof::check(instance, &solution.certificate, Some(10 * LIMIT), |_, _| Ok(()));
    assert_eq!(checked, Ok(()), "{context:?}");
}

fn lengths(rng: &mut Rng) -> Lengths {
    match rng.below(4) {
        0 => Lengths::Continuous,
        1 => Lengths::evenly(8, Place::default).unwrap(),
        2 => Lengths::evenly(16, Place::default).unwrap(),
        _ => Lengths::paper(),
    }
}

fn generated(rng: &mut Rng, requests: u64, padding: Padding) -> Instance {
    instance(Spec {
        requests,
        padding,
        seed: rng.below(1 << 40),
        channel: rng.pick(&[ChannelModel::Shared, ChannelModel::Rayleigh]),
        lengths: lengths(rng),
        tightness: rng.pick(&[0.05, 0.3, 0.3, 0.8]),
        ..Spec::new(rng.pick(&[Family::Binding, Family::Binding, Family::Binding, Family::Paper]))
    })
}

fn shaped(rng: &mut Rng, low: f64, high: f64) -> Instance {
    let shape = Shape {
        rows: rng.magnitude(low, high) as usize,
        costs: rng.pick(&Shape::COSTS),
        budgets: rng.pick(&Shape::BUDGETS),
        room: rng.pick(&Shape::ROOMS),
        order: rng.pick(&Shape::ORDERS),
    };
    shape.instance(rng)
}

/// Few requests, of which each may cost as much as there is of anything.
fn huge(rng: &mut Rng) -> Instance {
    let n = 1 + rng.below(40);
    let mut c = Columns::default();
    let most = MAX_SUM / n;
    let cost = |rng: &mut Rng| match rng.below(5) {
        0 => rng.below(2),
        1 => rng.below(most),
        2 => most - rng.below(3),
        _ => most,
    };
    for i in 0..n as u32 {
        c.request.push(i);
        c.uplink.push(cost(rng));
        c.downlink.push(cost(rng));
        c.kv_tokens.push(cost(rng));
        c.compute.push(cost(rng));
        c.budget.push(rng.pick(&[0, MAX_SUM, MAX_SUM / 2, MAX_SUM - 1]));
        c.arrival.push(i);
    }
    let mut room = || rng.pick(&[0, MAX_SUM / 3, MAX_SUM / 2, MAX_SUM, u64::MAX]);
    let capacity = Capacity { uplink: room(), downlink: room(), kv_tokens: room() };
    Instance::new(c, capacity).unwrap()
}

/// The instance of a seed. Two in a hundred have 2,049 to 20,000 requests, four in 20,000 have 100,000, and one a
/// million.
fn instance_of(seed: u64) -> Instance {
    let rng = &mut Rng::new(60_000_000 + seed);
    let channel = rng.pick(&[Channel::Shared, Channel::Fading]);
    let padding = rng.pick(&PADDINGS);
    match seed {
        _ if seed == 19_999 => generated(rng, 1_000_000, Padding::Fixed(512)),
        _ if seed % 5_000 == 111 => generated(rng, 100_000, rng_padding(seed)),
        _ => match seed % 100 {
            7 => shaped(rng, 2_100.0, 20_000.0),
            57 => {
                // Padded to the longest, each of up to 512 lengths is an instance of its own.
                let most: f64 = if padding == Padding::Longest { 4_000.0 } else { 20_000.0 };
                let requests = rng.magnitude(2_200.0, most) as u64;
                generated(rng, requests, padding)
            }
            27 => shaped(rng, 100.0, 2_048.0),
            77 => {
                let requests = 61 + rng.below(1_500);
                generated(rng, requests, padding)
            }
            at if at % 10 == 3 => huge(rng),
            at if at % 10 == 9 => {
                let requests = 1 + rng.below(60);
                generated(rng, requests, padding)
            }
            at if at % 2 == 0 => random_instance(rng, 60, channel),
            _ => {
                let (scenario, requests) = random_epoch(rng, 60, channel, padding);
                Problem::new(&scenario, &requests).unwrap().instance
            }
        },
    }
}

/// Without padding or with the fixed one, in turn.
fn rng_padding(seed: u64) -> Padding {
    if (seed / 5_000).is_multiple_of(2) { Padding::Fixed(512) } else { Padding::None }
}

/// One solver on the device, used by as many threads as there are cores; on the CPU one for all too.
#[test]
fn random_instances_have_the_same_bytes() {
    let Some(gpu) = cuda() else { return };
    let (gpu, count) = (gpu.limits(Limits::time(LIMIT)), share(20_000));
    let cpu = Solver::new(Method::Flat).limits(Limits::time(LIMIT));
    let (next, on_device, stopped) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let condensed = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count {
                        break;
                    }
                    let instance = instance_of(seed);
                    let (expected, found) = (cpu.solve(&instance), gpu.solve(&instance));
                    assert_same(&expected, &found, &instance, &seed);
                    let large = instance.len() > CONDENSED && !instance.pads_to_longest();
                    condensed.fetch_add(usize::from(large), Ordering::Relaxed);
                    on_device.fetch_add(usize::from(found.ran.backend == "cuda"), Ordering::Relaxed);
                    stopped.fetch_add(usize::from(expected.work.stopped || found.work.stopped), Ordering::Relaxed);
                }
            });
        }
    });
    let [on_device, stopped, condensed] = [on_device, stopped, condensed].map(|n| n.into_inner() as u64);
    println!(
        "{count} instances, {condensed} of them condensed: the device took part in {on_device}; {stopped} were not done in \
         {LIMIT:?}"
    );
    assert!(condensed >= count / 200, "{condensed} of {count} are condensed");
    assert!(stopped <= 1 + count / 200, "{stopped} of {count} were stopped");
}

#[test]
fn hard_leaves_have_the_same_bytes() {
    let Some(gpu) = cuda() else { return };
    let cpu = Solver::new(Method::Flat).threads(0).unwrap();
    let leaves = hard_leaves();
    let (count, mut on_device) = (share(leaves.len() as u64).max(6) as usize, 0);
    // The largest are last of their kind: from all over the list.
    for (line, instance) in leaves.iter().step_by((leaves.len() / count).max(1)) {
        let (expected, found) = (cpu.solve(instance), gpu.solve(instance));
        assert_same(&expected, &found, instance, line);
        on_device += usize::from(found.ran.backend == "cuda");
    }
    println!("hard leaves: the device took part in {on_device}");
    assert!(on_device > 0);
}

/// Batches of cells: of one size, of many sizes, and with large ones among them.
#[test]
fn cells_have_the_same_bytes() {
    let Some(gpu) = cuda() else { return };
    let cpu = Solver::new(Method::Flat).threads(0).unwrap();
    let gpus = [gpu.clone(), gpu.threads(0).unwrap()];
    let cell = |seed: u64| {
        let rng = &mut Rng::new(70_000_000 + seed);
        instance(Spec { requests: 500, seed, lengths: lengths(rng), ..Spec::new(Family::Binding) })
    };
    let alike: Vec<Instance> = (0..share(2_000)).map(cell).collect();
    let small: Vec<Instance> = (0..share(4_000)).map(|seed| instance_of(2_000_000 + 2 * seed)).collect();
    let mixed: Vec<Instance> = (0..share(1_000)).map(|seed| instance_of(1_000_200 + seed)).collect();
    for (what, cells) in [("alike", alike), ("small", small), ("mixed", mixed), ("none", Vec::new())] {
        let expected = cpu.solve_many(&cells);
        for gpu in &gpus {
            let found = gpu.solve_many(&cells);
            assert_eq!(found.len(), cells.len());
            for (at, instance) in cells.iter().enumerate() {
                assert_same(&expected[at], &found[at], instance, &(what, at));
            }
            let on_device = found.iter().filter(|found| found.ran.backend == "cuda").count();
            assert!(what != "alike" || 10 * on_device >= 9 * cells.len(), "{on_device} of {}", cells.len());
        }
    }
}

/// Several threads solve on one solver at once, each in its own order.
#[test]
fn one_solver_serves_many_threads() {
    let Some(gpu) = cuda() else { return };
    let mut instances: Vec<Instance> =
        (0..4).map(|seed| shaped(&mut Rng::new(80_000_000 + seed), 2_100.0, 9_000.0)).collect();
    instances.extend([3_000, 30_000].map(|n| instance(Spec { requests: n, ..Spec::new(Family::Binding) })));
    instances.extend(hard_leaves().into_iter().step_by(9).map(|leaf| leaf.1));
    let limits = Limits::time(LIMIT);
    let cpu = Solver::new(Method::Flat).limits(limits.clone());
    let expected: Vec<Solution> = instances.iter().map(|instance| cpu.solve(instance)).collect();
    let gpu = gpu.limits(limits).threads(2).unwrap();
    thread::scope(|scope| {
        for first in 0..6 {
            let (gpu, instances, expected) = (&gpu, &instances, &expected);
            scope.spawn(move || {
                for at in (0..instances.len()).map(|at| (at + first * 3) % instances.len()) {
                    assert_same(&expected[at], &gpu.solve(&instances[at]), &instances[at], &(first, at));
                }
            });
        }
    });
}

/// Callers in a thread pool of their own, which steal each other's work while they wait; and calls of all kinds at
/// once.
#[test]
fn callers_in_a_pool_of_their_own_do_not_wait_for_each_other() {
    let Some(gpu) = cuda() else { return };
    let gpu = gpu.threads(2).unwrap();
    let instances: Vec<Instance> =
        (0..12).map(|seed| instance(Spec { requests: 60_000, seed, ..Spec::new(Family::Binding) })).collect();
    let expected: Vec<Solution> = instances.iter().map(|instance| Solver::new(Method::Flat).solve(instance)).collect();
    instances.par_iter().enumerate().for_each(|(at, instance)| {
        gpu.time_bound_passes(instance, 1).unwrap();
        assert_same(&expected[at], &gpu.solve(instance), instance, &at);
    });
    thread::scope(|scope| {
        scope.spawn(|| (0..20).for_each(|at| drop(gpu.time_bound_passes(&instances[at % 12], 1).unwrap())));
        scope.spawn(|| {
            for (at, found) in gpu.solve_many(&instances).iter().enumerate() {
                assert_same(&expected[at], found, &instances[at], &at);
            }
        });
    });
}

#[test]
fn a_limit_leaves_a_feasible_batch_and_a_bound() {
    let Some(gpu) = cuda() else { return };
    let mut stopped = 0;
    for (requests, lengths) in [(20_000, Lengths::paper()), (300_000, Lengths::Continuous)] {
        let instance = instance(Spec { requests, lengths, ..Spec::new(Family::Binding) });
        for limit_ms in [0, 1, 3] {
            let solution = gpu.clone().limits(Limits::time(Duration::from_millis(limit_ms))).solve(&instance);
            assert_eq!(solution.ran.fault, None);
            assert_stopped(&instance, &solution, &(requests, limit_ms));
            assert!(!solution.rows.is_empty());
            stopped += usize::from(solution.work.stopped);
        }
        let memory = gpu.clone().limits(Limits { memory: Some(1 << 16), ..Limits::NONE }).solve(&instance);
        assert_stopped(&instance, &memory, &requests);
    }
    assert!(stopped > 0, "three milliseconds are enough for 300,000 requests");
    for (line, instance) in hard_leaves().into_iter().step_by(13) {
        let solution = gpu.clone().limits(Limits::time(Duration::from_millis(1))).solve(&instance);
        assert_eq!(solution.ran.fault, None);
        assert_stopped(&instance, &solution, &line);
    }
}

/// Whatever a solver held is free again, and what the next one finds is as new.
#[test]
fn solvers_come_and_go() {
    if cuda().is_none() {
        return;
    }
    let instances = [2_100, 50_000, 2_100, 200_000]
        .map(|requests| instance(Spec { requests, padding: Padding::None, ..Spec::new(Family::Binding) }));
    let cpu = Solver::new(Method::Flat);
    let expected = instances.each_ref().map(|instance| cpu.solve(instance));
    for round in 0..if brief() { 1 } else { 5 } {
        for (instance, expected) in instances.iter().zip(&expected) {
            let gpu = cuda().unwrap().threads(1 + round % 3).unwrap();
            assert_same(expected, &gpu.clone().solve(instance), instance, &round);
            assert_same(expected, &gpu.solve(instance), instance, &round);
        }
    }
}

/// Ties, equal deadlines and no room at all, at sizes around those at which the work is divided otherwise.
#[test]
fn edges_have_the_same_bytes() {
    let Some(gpu) = cuda() else { return };
    let (gpu, cpu) = (gpu.limits(Limits::time(LIMIT)), Solver::new(Method::Flat).limits(Limits::time(LIMIT)));
    let sizes: &[usize] =
        if brief() { &[2_049, 4_097] } else { &[2_048, 2_049, 4_095, 4_096, 4_097, 65_535, 65_536, 65_537] };
    for &rows in sizes {
        for costs in [Shape::COSTS[0], Shape::COSTS[2], Shape::COSTS[6]] {
            for (budgets, room) in [(Shape::BUDGETS[0], Room::Tight), (Shape::BUDGETS[4], Room::Nothing)] {
                let shape = Shape { rows, costs, budgets, room, order: Shape::ORDERS[0] };
                let instance = shape.instance(&mut Rng::new(90_000_000 + rows as u64));
                assert_same(&cpu.solve(&instance), &gpu.solve(&instance), &instance, &shape);
            }
        }
    }
}
