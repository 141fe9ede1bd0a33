//! The same instance gives the same rows, certificate and counters: on any number of threads, again and again, alone or
//! among others. The order in which requests are given decides nothing but ties.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here should stop the run")]

mod common;

use common::hard::{hard_leaves, instance};
use common::shapes::{Room, Shape};
use common::{Channel, Rng, random_epoch, random_instance};
use dftsp::certificate::Status;
use dftsp::generate::{Family, Lengths, Spec};
use dftsp::instance::{Columns, Instance, Problem};
use dftsp::scenario::Padding;
use dftsp::solver::{Method, Solver};
use dftsp::workload::Requests;

const PADDINGS: [Padding; 3] = [Padding::Fixed(512), Padding::None, Padding::Longest];

/// One solver for each number of threads, used for everything: what it keeps from one instance must not show in the
/// next.
fn solvers() -> Vec<Solver> {
    [1, 2, 3, 8].into_iter().map(|threads| Solver::new(Method::Flat).threads(threads).unwrap()).collect()
}

/// Every solver, twice, and all instances at once against a new solver for each alone.
fn assert_determined(instances: &[Instance]) {
    let alone: Vec<_> = instances.iter().map(|instance| Solver::new(Method::Flat).solve(instance)).collect();
    for solver in solvers() {
        for (i, (instance, expected)) in instances.iter().zip(&alone).enumerate() {
            assert_eq!(&solver.solve(instance), expected, "instance {i}, {solver:?}");
        }
        let again: Vec<_> = instances.iter().map(|instance| solver.solve(instance)).collect();
        assert!(again == alone, "again, {solver:?}");
        assert!(solver.solve_many(instances) == alone, "all at once, {solver:?}");
    }
}

fn small(count: u64) -> Vec<Instance> {
    let mut instances = Vec::new();
    for seed in 0..count {
        let rng = &mut Rng::new(20_000_000 + seed);
        let channel = rng.pick(&[Channel::Shared, Channel::Fading]);
        instances.push(random_instance(rng, 40, channel));
        for padding in PADDINGS {
            let (scenario, requests) = random_epoch(rng, 40, channel, padding);
            instances.push(Problem::new(&scenario, &requests).unwrap().instance);
        }
    }
    instances
}

/// Sizes on both sides of those that are condensed, and of those that are divided among threads.
fn large() -> Vec<Instance> {
    let mut instances = Vec::new();
    for padding in PADDINGS {
        for lengths in [Lengths::paper(), Lengths::Continuous] {
            let sizes: &[u64] =
                if padding == Padding::Longest { &[300, 2_000] } else { &[1_000, 1_100, 9_000, 80_000] };
            for &requests in sizes {
                let lengths = lengths.clone();
                instances.push(instance(Spec { requests, lengths, padding, ..Spec::new(Family::Binding) }));
            }
        }
    }
    instances
}

#[test]
fn small_instances_are_determined() {
    assert_determined(&small(250));
}

#[test]
fn large_instances_are_determined() {
    assert_determined(&large());
}

#[test]
fn hard_instances_are_determined() {
    let instances: Vec<Instance> = hard_leaves().into_iter().map(|leaf| leaf.1).collect();
    assert_determined(&instances);
    // Some of them are divided among threads.
    let items = |instance: &Instance| Solver::new(Method::Flat).solve(instance).work.work_items;
    assert!(instances.iter().filter(|&instance| items(instance) > 0).count() >= 3);
}

/// A permutation of 0..n.
fn shuffled(n: usize, rng: &mut Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, rng.below(i as u64 + 1) as usize);
    }
    order
}

fn assert_same_outcome(given: &Instance, shuffled: &Instance, context: &dyn std::fmt::Debug) {
    let solver = Solver::new(Method::Flat);
    let (a, b) = (solver.solve(given), solver.solve(shuffled));
    assert_eq!((a.rows.len(), a.status()), (b.rows.len(), b.status()), "{context:?}");
    assert_eq!(a.status(), Status::Optimal, "{context:?}");
    assert!(given.is_feasible(&a.rows) && shuffled.is_feasible(&b.rows), "{context:?}");
}

#[test]
fn the_order_of_requests_decides_nothing_but_ties() {
    for seed in 0..300 {
        let rng = &mut Rng::new(21_000_000 + seed);
        let padding = rng.pick(&PADDINGS);
        let channel = rng.pick(&[Channel::Shared, Channel::Fading]);
        let (scenario, requests) = random_epoch(rng, 60, channel, padding);
        let mut other = Requests::new();
        for i in shuffled(requests.len(), rng) {
            other.push(&format!("r{i}"), requests.rows()[i]).unwrap();
        }
        let [given, other] = [requests, other].map(|r| Problem::new(&scenario, &r).unwrap().instance);
        assert_same_outcome(&given, &other, &(seed, padding));
    }
}

#[test]
fn the_order_of_very_many_requests_decides_nothing_but_ties() {
    for seed in 0..30 {
        let rng = &mut Rng::new(22_000_000 + seed);
        let shape = Shape {
            rows: rng.magnitude(1025.0, 20_000.0) as usize,
            costs: rng.pick(&[Shape::COSTS[2], Shape::COSTS[3], Shape::COSTS[4], Shape::COSTS[5], Shape::COSTS[7]]),
            budgets: rng.pick(&Shape::BUDGETS),
            room: rng.pick(&[Room::Tight, Room::Mixed]),
            order: rng.pick(&Shape::ORDERS),
        };
        let given = shape.instance(rng);
        let order = shuffled(given.len(), rng);
        let c = given.columns();
        let permuted = |column: &[u64]| order.iter().map(|&i| column[i]).collect::<Vec<u64>>();
        let columns = Columns {
            request: order.iter().map(|&i| c.request[i]).collect(),
            uplink: permuted(&c.uplink),
            downlink: permuted(&c.downlink),
            kv_tokens: permuted(&c.kv_tokens),
            compute: permuted(&c.compute),
            budget: permuted(&c.budget),
            arrival: order.iter().map(|&i| c.arrival[i]).collect(),
        };
        let other = Instance::new(columns, given.capacity()).unwrap();
        assert_same_outcome(&given, &other, &(seed, shape));
    }
}
