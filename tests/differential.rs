//! Every solver against the oracle that looks at every subset, on thousands of small instances; and every result
//! against the verifier.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here should stop the run")]

mod common;

use common::shapes::{Room, Shape};
use common::{Channel, Rng, largest_batch, random_epoch, random_instance};
use dftsp::certificate::Status;
use dftsp::generate::{Family, Generator, Spec};
use dftsp::instance::{Capacity, Columns, Instance, MAX_SUM, Problem};
use dftsp::outcome::{Outcome, Provenance};
use dftsp::scenario::Padding;
use dftsp::solver::{Method, Solver};
use dftsp::verify::{self, Claim};
use dftsp::workload::synthesis::ChannelModel;

/// The solvers that promise the optimum for this kind of channel.
fn exact(channel: Channel) -> Vec<Method> {
    let mut solvers = vec![Method::Flat, Method::BruteForce];
    if channel == Channel::Shared {
        solvers.push(Method::Algorithm1 { prune: true });
        solvers.push(Method::Algorithm1FromBound);
    }
    solvers
}

/// Checks one solver on one instance whose optimum is known.
fn check(instance: &Instance, solver: Method, optimum: usize, promised: bool, seed: u64) {
    let solution = Solver::new(solver).solve(instance);
    let context = || format!("{solver}, seed {seed}: {solution:?}");
    assert!(instance.is_feasible(&solution.rows), "{}", context());
    assert!(solution.rows.is_sorted() && solution.rows.len() <= optimum, "{}", context());
    assert!(solution.certificate.bound >= optimum as u64, "{}", context());
    if promised {
        assert_eq!((solution.rows.len(), solution.status()), (optimum, Status::Optimal), "{}", context());
    }
    let proof = verify::proof::check(instance, &solution.certificate, None, |_, _| Ok(()));
    assert_eq!(proof, Ok(()), "{}", context());
}

/// The default solver against every subset: 120,000 instances in all, in parts that run at once.
fn flat_agrees(first: u64, seeds: u64, instance: impl Fn(&mut Rng) -> Instance) {
    let mut sizes = 0;
    for seed in first..first + seeds {
        let instance = instance(&mut Rng::new(seed));
        let optimum = largest_batch(&instance);
        check(&instance, Method::Flat, optimum, true, seed);
        sizes += optimum as u64;
    }
    assert!(sizes > seeds / 2, "the instances are too scarce to test anything: {sizes} requests served in {seeds}");
}

fn epoch(rng: &mut Rng, max_requests: u64, padding: Padding) -> Instance {
    let channel = rng.pick(&[Channel::Shared, Channel::Fading]);
    let (scenario, requests) = random_epoch(rng, max_requests, channel, padding);
    Problem::new(&scenario, &requests).unwrap().instance
}

#[test]
fn flat_agrees_with_every_subset_on_a_shared_channel() {
    flat_agrees(10_000_000, 20_000, |rng| random_instance(rng, 14, Channel::Shared));
}

#[test]
fn flat_agrees_with_every_subset_under_fading() {
    flat_agrees(11_000_000, 20_000, |rng| random_instance(rng, 14, Channel::Fading));
}

/// Scarcity, magnitudes and deadlines of all kinds: here the batches are half of the requests.
#[test]
fn flat_agrees_with_every_subset_in_every_shape() {
    flat_agrees(15_000_000, 20_000, |rng| {
        let shape = Shape {
            rows: 6 + rng.below(9) as usize,
            costs: rng.pick(&Shape::COSTS),
            budgets: rng.pick(&Shape::BUDGETS),
            room: rng.pick(&[Room::Ample, Room::Tight, Room::Mixed]),
            order: rng.pick(&Shape::ORDERS),
        };
        shape.instance(rng)
    });
}

#[test]
fn flat_agrees_with_every_subset_under_fixed_padding() {
    flat_agrees(12_000_000, 20_000, |rng| epoch(rng, 14, Padding::Fixed(400)));
}

#[test]
fn flat_agrees_with_every_subset_without_padding() {
    flat_agrees(13_000_000, 20_000, |rng| epoch(rng, 14, Padding::None));
}

/// Costs are no sums here, so every subset is charged by itself.
#[test]
fn flat_agrees_with_every_subset_under_padding_to_the_longest() {
    flat_agrees(14_000_000, 20_000, |rng| epoch(rng, 14, Padding::Longest));
}

#[test]
fn exact_solvers_agree_with_every_subset_on_a_shared_channel() {
    for seed in 0..12_000 {
        let instance = random_instance(&mut Rng::new(seed), 14, Channel::Shared);
        let optimum = largest_batch(&instance);
        exact(Channel::Shared).into_iter().for_each(|solver| check(&instance, solver, optimum, true, seed));
    }
}

#[test]
fn exact_solvers_agree_with_every_subset_under_fading() {
    for seed in 0..12_000 {
        let instance = random_instance(&mut Rng::new(1_000_000 + seed), 14, Channel::Fading);
        let optimum = largest_batch(&instance);
        exact(Channel::Fading).into_iter().for_each(|solver| check(&instance, solver, optimum, true, seed));
    }
}

#[test]
fn every_other_solver_is_feasible_and_bounded() {
    for seed in 0..3_000 {
        let channel = if seed % 2 == 0 { Channel::Shared } else { Channel::Fading };
        // Small: the unpruned tree has the product of all group sizes many paths.
        let instance = random_instance(&mut Rng::new(2_000_000 + seed), 9, channel);
        let optimum = largest_batch(&instance);
        for solver in Method::ALL {
            check(&instance, solver, optimum, exact(channel).contains(&solver), seed);
        }
    }
}

#[test]
fn pruning_changes_the_nodes_of_algorithm_1_and_nothing_else() {
    let mut saved = 0;
    for seed in 0..1_500 {
        let instance = random_instance(&mut Rng::new(3_000_000 + seed), 9, Channel::Fading);
        let pruned = Solver::new(Method::Algorithm1 { prune: true }).solve(&instance);
        let full = Solver::new(Method::Algorithm1 { prune: false }).solve(&instance);
        assert_eq!((&pruned.rows, &pruned.certificate), (&full.rows, &full.certificate));
        assert_eq!(pruned.work.paths_checked, full.work.paths_checked);
        assert_eq!(pruned.work.subproblems, full.work.subproblems);
        saved += full.work.nodes - pruned.work.nodes;
    }
    assert!(saved > 0);
}

/// The batch, not only its size: what is skipped holds no path.
#[test]
fn algorithm_1_from_the_bound_finds_the_same_batch() {
    let same = |instance: &Instance, what: &dyn std::fmt::Debug| {
        let verbatim = Solver::new(Method::Algorithm1 { prune: true }).solve(instance);
        let skipping = Solver::new(Method::Algorithm1FromBound).solve(instance);
        assert_eq!(skipping.rows, verbatim.rows, "{what:?}");
        assert!(skipping.certificate.bound <= verbatim.certificate.bound && !skipping.work.stopped, "{what:?}");
        let proof = verify::proof::check(instance, &skipping.certificate, None, |_, _| Ok(()));
        assert_eq!(proof, Ok(()), "{what:?}");
        verbatim.rows.len()
    };
    let mut sizes = 0;
    for seed in 0..12_000 {
        let rng = &mut Rng::new(5_000_000 + seed);
        let channel = rng.pick(&[Channel::Shared, Channel::Fading]);
        sizes += same(&random_instance(rng, 13, channel), &seed);
        let padding = rng.pick(&[Padding::Fixed(400), Padding::None, Padding::Longest]);
        sizes += same(&epoch(rng, 12, padding), &(seed, padding));
    }
    assert!(sizes > 24_000, "the instances are too scarce to test anything: {sizes}");
    for (seed, channel) in (1..=15).flat_map(|seed| [(seed, ChannelModel::Shared), (seed, ChannelModel::Rayleigh)]) {
        for padding in [Padding::Fixed(512), Padding::Longest, Padding::None] {
            for family in [Family::Paper, Family::Binding] {
                // Without a fixed padding there are three times as many groups.
                let requests = if padding == Padding::Fixed(512) { 50 } else { 14 };
                let spec = Spec { requests, seed, channel, padding, ..Spec::new(family) };
                let generator = Generator::new(spec.clone()).unwrap();
                let problem = Problem::new(generator.scenario(), &generator.requests().unwrap()).unwrap();
                same(&problem.instance, &spec);
            }
        }
    }
}

/// From physics to verified outcome, for all paddings.
#[test]
fn outcomes_of_random_epochs_verify() {
    let mut proven_sizes = [0; 3];
    for seed in 0..2_400 {
        let rng = &mut Rng::new(4_000_000 + seed);
        let kind = (seed % 3) as usize;
        let padding = [Padding::Fixed(400), Padding::None, Padding::Longest][kind];
        let channel = rng.pick(&[Channel::Shared, Channel::Fading]);
        let (scenario, requests) = random_epoch(rng, 12, channel, padding);
        let problem = Problem::new(&scenario, &requests).unwrap();
        let optimum = largest_batch(&problem.instance);
        for solver in [
            Method::Flat,
            Method::BruteForce,
            Method::Algorithm1 { prune: true },
            Method::Algorithm1FromBound,
            Method::FirstCome,
            Method::Static { batch_size: None },
        ] {
            let solution = Solver::new(solver).solve(&problem.instance);
            if exact(Channel::Fading).contains(&solver) {
                assert_eq!(
                    (solution.rows.len(), solution.status()),
                    (optimum, Status::Optimal),
                    "{solver} seed {seed}"
                );
            }
            let made = Provenance { solver: solver.to_string(), seconds: 0.0 };
            let outcome = Outcome::new(&scenario, &requests, &problem, solution, made).unwrap();
            let verdict = verify::verify(&scenario, &requests, &Claim::from(&outcome), None).unwrap();
            assert_eq!(verdict, Ok(()), "{solver}, {padding:?}, seed {seed}");
            assert_eq!(outcome.scheduled.len() + outcome.rejected.len(), requests.len());
        }
        proven_sizes[kind] += optimum;
    }
    assert!(proven_sizes.iter().all(|&sum| sum > 1000), "the epochs are too scarce to test anything: {proven_sizes:?}");
}

/// Few kinds of requests and very many of each: what a shared channel gives.
#[test]
fn large_instances_of_few_kinds_are_proven() {
    for seed in 1..=3 {
        let base = Spec { requests: 50_000, seed, ..Spec::new(Family::Binding) };
        let generator = Generator::new(Spec { channel: ChannelModel::Shared, ..base }).unwrap();
        let instance = Problem::new(generator.scenario(), &generator.requests().unwrap()).unwrap().instance;
        let solution = Solver::new(Method::Flat).solve(&instance);
        assert_eq!(solution.status(), Status::Optimal);
        assert!(instance.is_feasible(&solution.rows));
    }
}

/// `n` requests with equal costs and budgets.
fn equal(n: usize, cost: [u64; 4], budget: u64, capacity: u64) -> Instance {
    let columns = Columns {
        request: (0..n as u32).collect(),
        uplink: vec![cost[0]; n],
        downlink: vec![cost[1]; n],
        kv_tokens: vec![cost[2]; n],
        compute: vec![cost[3]; n],
        budget: vec![budget; n],
        arrival: (0..n as u32).collect(),
    };
    Instance::new(columns, Capacity { uplink: capacity, downlink: capacity, kv_tokens: capacity }).unwrap()
}

/// The smallest failure of Algorithm 1 under fading: of two requests of one output length, the one that is cheaper on
/// the uplink is dearer on the downlink, and only the other one fits beside the third request.
#[test]
fn algorithm_1_misses_the_optimum_under_fading_and_says_so() {
    let columns = Columns {
        request: vec![0, 1, 2],
        uplink: vec![1, 2, 3],
        downlink: vec![5, 1, 3],
        kv_tokens: vec![1, 1, 2],
        compute: vec![1, 1, 2],
        budget: vec![9, 9, 9],
        arrival: vec![0, 1, 2],
    };
    let instance = Instance::new(columns, Capacity { uplink: 5, downlink: 5, kv_tokens: 9 }).unwrap();
    assert_eq!(largest_batch(&instance), 2);
    let best = Solver::new(Method::Flat).solve(&instance);
    assert_eq!((best.rows, best.certificate.bound), (vec![1, 2], 2));
    for prune in [true, false] {
        let paper = Solver::new(Method::Algorithm1 { prune }).solve(&instance);
        assert_eq!((paper.rows.len(), paper.status()), (1, Status::Feasible { bound: 2 }));
    }
}

#[test]
fn edges() {
    let cases = [
        (equal(0, [0; 4], 0, 0), 0, "empty"),
        (equal(1, [1; 4], 1, 1), 1, "one request that just fits"),
        (equal(1, [1; 4], 0, 1), 0, "one request, zero slack"),
        (equal(1, [2, 1, 1, 1], 1, 1), 0, "one request, too wide"),
        (equal(9, [0; 4], 0, 0), 9, "nothing costs anything"),
        (equal(9, [3; 4], 10, 10), 3, "all equal"),
        (equal(4, [MAX_SUM / 4; 4], u64::MAX, u64::MAX), 4, "sums at the limit"),
        (equal(4, [MAX_SUM / 4; 4], MAX_SUM - 1, u64::MAX), 3, "a budget one below the sum"),
        (equal(2, [MAX_SUM / 2; 4], MAX_SUM, MAX_SUM - 1), 1, "a capacity one below the sum"),
    ];
    for (instance, optimum, what) in &cases {
        assert_eq!(largest_batch(instance), *optimum, "{what}");
        for solver in Method::ALL {
            let promised = exact(Channel::Shared).contains(&solver);
            check(instance, solver, *optimum, promised, 0);
        }
    }
}

#[test]
fn large_instances_of_equal_requests_are_settled_by_the_bound() {
    let instance = equal(100_000, [7, 3, 2, 5], 500_000, 1_000_000);
    let solution = Solver::new(Method::Flat).solve(&instance);
    assert_eq!((solution.rows.len(), solution.status()), (100_000, Status::Optimal));
    let tight = equal(100_000, [7, 3, 2, 5], 250_004, 1_000_000);
    let solution = Solver::new(Method::Flat).solve(&tight);
    assert_eq!((solution.rows.len(), solution.status(), solution.work.nodes), (50_000, Status::Optimal, 0));
}

/// Rows that no batch can hold change nothing but the count of rows.
#[test]
fn rows_beyond_a_capacity_are_dropped() {
    let columns = Columns {
        request: vec![10, 11, 12, 13],
        uplink: vec![1, 6, 1, 1],
        downlink: vec![1; 4],
        kv_tokens: vec![1; 4],
        compute: vec![1, 1, 3, 1],
        budget: vec![9, 9, 2, 9],
        arrival: vec![0, 1, 2, 3],
    };
    let instance = Instance::new(columns, Capacity { uplink: 5, downlink: 5, kv_tokens: 5 }).unwrap();
    assert_eq!(instance.columns().request, [10, 13]);
    assert_eq!(Solver::new(Method::Flat).solve(&instance).rows, [0, 1]);
}
