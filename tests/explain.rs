//! Marginal values against an oracle that looks at every subset.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure here should stop the run")]

mod common;

use std::time::Duration;

use common::{Channel, Rng, largest_batch, random_epoch, random_instance};
use dftsp::certificate::Status;
use dftsp::cost::Transformer;
use dftsp::explain::{Change, Explanation, Least, MOST_PERCENT, Resource, Steps, dual_bound, explain};
use dftsp::instance::{Capacity, Columns, Instance, Problem};
use dftsp::scenario::{Padding, Scenario};
use dftsp::search::Limits;
use dftsp::solver::{Method, Solver};
use dftsp::workload::{Request, Requests};

fn optimum(scenario: &Scenario, requests: &Requests) -> i64 {
    largest_batch(&Problem::new(scenario, requests).unwrap().instance) as i64
}

fn raise(scenario: &Scenario, resources: &[Resource], amount: impl Fn(usize, f64) -> f64) -> Scenario {
    resources.iter().fold(scenario.clone(), |s, &r| r.set(&s, r.of(scenario) + amount(r as usize, r.of(scenario))))
}

fn random_steps(rng: &mut Rng, scenario: &Scenario) -> Steps {
    Steps(Resource::ALL.map(|resource| {
        // Memory is mostly weights.
        let of = if resource == Resource::Memory { 1e8 } else { resource.of(scenario) };
        of * rng.magnitude(0.01, 10.0)
    }))
}

fn epoch(seed: u64, most: u64) -> (Scenario, Requests, Steps) {
    let rng = &mut Rng::new(seed);
    let padding = [Padding::Fixed(400), Padding::None, Padding::Longest][(seed % 3) as usize];
    let channel = rng.pick(&[Channel::Shared, Channel::Fading]);
    let (mut scenario, requests) = random_epoch(rng, most, channel, padding);
    // More often scarce than in general.
    scenario.radio.uplink_bandwidth_hz *= rng.magnitude(0.1, 1.0);
    scenario.radio.downlink_bandwidth_hz *= rng.magnitude(0.03, 1.0);
    let steps = random_steps(rng, &scenario);
    (scenario, requests, steps)
}

/// The changes for more of something: what is raised, what is said of it, and the dual bound.
fn additions(e: &Explanation) -> Vec<(Vec<Resource>, &Change, u64, Least)> {
    let each = e.margins.iter().map(|m| (vec![m.resource], &m.change, m.dual_bound, m.least));
    let together = (Resource::ALL.to_vec(), &e.together.change, e.together.dual_bound, e.together.least);
    each.chain([together]).collect()
}

fn without(requests: &Requests, set: &[u32]) -> Requests {
    let mut rest = Requests::new();
    for (row, request) in requests.rows().iter().enumerate() {
        if !set.contains(&(row as u32)) {
            rest.push(requests.id(row), *request).unwrap();
        }
    }
    rest
}

#[test]
fn gains_are_the_differences_of_the_optima() {
    let solver = Solver::new(Method::Flat);
    let (mut gained, mut lost, mut kept, mut beyond) = ([0; 5], 0, 0, 0);
    for seed in 0..1_800 {
        let (scenario, requests, steps) = epoch(7_000_000 + seed, 8);
        let e = explain(&scenario, &requests, &steps, &solver).unwrap();
        let now = optimum(&scenario, &requests);
        assert_eq!((e.scheduled.len() as i64, e.status), (now, Status::Optimal), "seed {seed}");
        for (at, (resources, change, dual, _)) in additions(&e).into_iter().enumerate() {
            let context = format!("seed {seed} {resources:?}");
            let then = optimum(&raise(&scenario, &resources, |r, _| steps.0[r]), &requests);
            assert_eq!(change.gain.exact(), Some(then - now), "{context}");
            assert_eq!((change.size as i64, change.status), (then, Status::Optimal), "{context}");
            assert_eq!(change.entered.len() as i64 - change.left.len() as i64, then - now, "{context}");
            assert!(change.entered.iter().all(|row| !e.scheduled.contains(row)), "{context}");
            assert!(change.left.iter().all(|row| e.scheduled.contains(row)), "{context}");
            assert!(dual as i64 >= then, "{context}: {dual} < {then}");
            gained[at] += usize::from(then > now);
            beyond += usize::from(dual as i64 > then);
        }
        for w in &e.without {
            let then = optimum(&scenario, &without(&requests, &w.requests));
            assert_eq!((w.change.gain.exact(), w.change.size as i64), (Some(then - now), then), "seed {seed}");
            let time_left = |row: u32| {
                let r = &requests.rows()[row as usize];
                r.deadline_s - r.waited_s
            };
            assert!(w.requests.iter().all(|row| e.scheduled.contains(row) && time_left(*row) == w.deadline_s));
            assert!(e.scheduled.iter().all(|&row| time_left(row) >= w.deadline_s));
            lost += usize::from(then < now);
            kept += usize::from(then == now);
        }
        let ties = e.without.last().map_or(0, |w| w.requests.len());
        assert_eq!(e.without.len(), if ties > 1 { 2 } else { usize::from(now > 0) });
    }
    assert!(
        gained.iter().all(|&n| n > 20) && lost > 20 && kept > 20 && beyond > 20,
        "{gained:?} {lost} {kept} {beyond}"
    );
}

#[test]
fn one_percent_less_than_the_least_addition_adds_nothing() {
    let solver = Solver::new(Method::Flat);
    let (mut found, mut none) = (0, 0);
    for seed in 0..300 {
        let (scenario, requests, steps) = epoch(7_100_000 + seed, 7);
        let e = explain(&scenario, &requests, &steps, &solver).unwrap();
        let now = optimum(&scenario, &requests);
        for (resources, _, _, least) in additions(&e) {
            let at = |percent: u32| {
                let raised = raise(&scenario, &resources, |_, of| of * f64::from(percent) / 100.0);
                optimum(&raised, &requests)
            };
            match least {
                Least::Percent { percent, size, proven } => {
                    assert!(proven && at(percent) > now && at(percent) == size as i64, "seed {seed} {resources:?}");
                    assert_eq!(at(percent - 1), now, "seed {seed} {resources:?}");
                    found += 1;
                }
                Least::None { up_to, proven } => {
                    assert!(proven && at(up_to) == now && up_to == MOST_PERCENT, "seed {seed} {resources:?}");
                    none += 1;
                }
                Least::Unknown => panic!("seed {seed}: the batch is proven"),
            }
        }
    }
    assert!(found > 100 && none > 100, "{found} {none}");
}

#[test]
fn where_a_limit_strikes_the_gains_are_ranges_that_hold() {
    let solver = Solver::new(Method::Flat).limits(Limits::time(Duration::ZERO));
    let mut ranges = 0;
    for seed in 0..600 {
        let (scenario, requests, steps) = epoch(7_200_000 + seed, 8);
        let e = explain(&scenario, &requests, &steps, &solver).unwrap();
        let now = optimum(&scenario, &requests);
        let mut check = |change: &Change, then: i64| {
            let gain = change.gain;
            assert!((gain.at_least..=gain.at_most).contains(&(then - now)), "seed {seed}: {gain:?}");
            assert!(change.size as i64 <= then, "seed {seed}");
            ranges += usize::from(gain.exact().is_none());
        };
        for (resources, change, dual, least) in additions(&e) {
            let then = optimum(&raise(&scenario, &resources, |r, _| steps.0[r]), &requests);
            check(change, then);
            assert!(dual as i64 >= then, "seed {seed}");
            let at = |percent: u32| {
                let raised = raise(&scenario, &resources, |_, of| of * f64::from(percent) / 100.0);
                optimum(&raised, &requests)
            };
            match least {
                Least::Percent { percent, size, proven } => {
                    assert!(at(percent) >= size as i64 && size as i64 > now);
                    assert!(!proven || at(percent - 1) == now);
                }
                Least::None { up_to, proven } => assert!(!proven || at(up_to) == now),
                Least::Unknown => assert_ne!(e.status, Status::Optimal),
            }
        }
        for w in &e.without {
            check(&w.change, optimum(&scenario, &without(&requests, &w.requests)));
        }
    }
    assert!(ranges > 20, "{ranges}");
}

/// In integers: the multipliers of a certificate bound any instance with more of everything and the same costs.
#[test]
fn the_dual_bound_is_never_below_the_optimum() {
    let (mut tight, mut loose, mut more_rows) = (0, 0, 0);
    for seed in 0..6_000 {
        let rng = &mut Rng::new(7_300_000 + seed);
        let channel = rng.pick(&[Channel::Shared, Channel::Fading]);
        let larger = random_instance(rng, 12, channel);
        let mut columns: Columns = larger.columns().clone();
        let mut part = |x: u64| rng.pick(&[x, x, x / 2, x / 3, x - x / 8]);
        let c = larger.capacity();
        let capacity = Capacity { uplink: part(c.uplink), downlink: part(c.downlink), kv_tokens: part(c.kv_tokens) };
        let eighths = part(8);
        columns.budget.iter_mut().for_each(|e| *e = *e / 8 * eighths);
        let smaller = Instance::new(columns, capacity).unwrap();
        let solution = Solver::new(Method::Flat).solve(&smaller);
        let certificate = &solution.certificate;
        let largest = largest_batch(&larger) as u64;
        let bound = dual_bound(&larger, certificate);
        assert!(bound >= largest, "seed {seed}: {bound} < {largest}");
        tight += usize::from(bound == largest);
        loose += usize::from(bound > largest);
        more_rows += usize::from(larger.len() > smaller.len());
        // On its own instance it is the bound of the certificate, where no search had to help.
        let own = dual_bound(&smaller, certificate);
        assert!(own >= solution.rows.len() as u64, "seed {seed}");
        if certificate.sections.iter().all(|s| s.exhausted.is_empty()) {
            assert!(own <= certificate.bound, "seed {seed}: {own} > {}", certificate.bound);
        }
    }
    assert!(tight > 500 && loose > 500 && more_rows > 500, "{tight} {loose} {more_rows}");
}

/// Where equal requests with one deadline want one resource, the relaxation is how often they go into it, and its price
/// is one request for what a request needs.
#[test]
fn a_price_is_one_request_for_what_it_needs() {
    let request = Request { deadline_s: 1.5, ..Request::new(512, 512) };
    let mut requests = Requests::new();
    (0..40).for_each(|i| requests.push(&i.to_string(), request).unwrap());
    let ample = {
        let mut s = Scenario::paper();
        s.node.compute_flops = 1e18;
        s
    };
    let t = Transformer::new(&ample.model);
    let flops = t.flops(512, 512) as f64 / (1.5 - 0.5);
    let bytes = 0.5 * 1024.0 * t.kv_bytes_per_token() as f64;
    let weights = 0.5 * t.weight_bytes() as f64;
    for (resource, base, need) in [
        (Resource::Uplink, 0.0, None),
        (Resource::Downlink, 0.0, None),
        (Resource::Memory, weights, Some(bytes)),
        (Resource::Compute, 0.0, Some(flops)),
    ] {
        let amount = match (resource, need) {
            (_, Some(need)) => base + 7.5 * need,
            // So narrow that it carries a few.
            _ => 10_000.0,
        };
        let scenario = resource.set(&ample, amount);
        let e = explain(&scenario, &requests, &Steps::default(), &Solver::default()).unwrap();
        assert!((2..40).contains(&e.scheduled.len()), "{resource:?} {}", e.scheduled.len());
        for margin in &e.margins {
            let worth = margin.price * (amount - base);
            if margin.resource == resource {
                assert!((worth - e.relaxation).abs() < 1e-3 * worth, "{resource:?} {worth} {}", e.relaxation);
            } else {
                assert_eq!(margin.price, 0.0, "{resource:?} {:?}", margin.resource);
            }
        }
        if let Some(need) = need {
            let price = e.margins[resource as usize].price;
            assert!((price * need - 1.0).abs() < 1e-3 && (e.relaxation - 7.5).abs() < 1e-2, "{resource:?} {price}");
        }
    }
}

/// Numbers at the ends of their ranges overflow nothing.
#[test]
fn extreme_epochs_are_explained() {
    let huge = Request { deadline_s: 1e9, ..Request::new(10_000_000, 10_000_000) };
    let tiny = Request { deadline_s: 1.0, channel_power_gain: 1e-30, ..Request::new(1, 1) };
    for padding in [Padding::Fixed(10_000_000), Padding::None, Padding::Longest] {
        for (band, memory, compute) in [(1.0, 1e10, 1.0), (5e14, 5e20, 5e23), (1.0, 5e20, 5e23), (5e14, 1e10, 1e9)] {
            let mut s = Scenario::paper();
            s.padding = padding;
            (s.radio.uplink_bandwidth_hz, s.radio.downlink_bandwidth_hz) = (band, band);
            (s.node.memory_bytes, s.node.compute_flops) = (memory, compute);
            let mut requests = Requests::new();
            for (i, request) in [huge, tiny, huge, Request::new(1, 1), Request::new(512, 512)].into_iter().enumerate() {
                requests.push(&i.to_string(), request).unwrap();
            }
            for factor in [1e-9, 1.0, 0.9 * 5e14 / band] {
                let limit = [1e15, 1e15, 1e21, 1e24];
                let step = |r: Resource| (r.of(&s) * factor).min(limit[r as usize] - r.of(&s));
                let steps = Steps(Resource::ALL.map(step));
                let e = explain(&s, &requests, &steps, &Solver::default()).unwrap();
                for (resources, change, dual, _) in additions(&e) {
                    let then = optimum(&raise(&s, &resources, |r, _| steps.0[r]), &requests);
                    assert_eq!(change.gain.exact(), Some(then - e.scheduled.len() as i64));
                    assert!(dual as i64 >= then);
                }
            }
        }
    }
}

#[test]
fn steps_out_of_range_are_named() {
    let (scenario, requests) = (Scenario::paper(), Requests::new());
    for (at, name) in [(0, "uplink"), (1, "downlink"), (2, "memory"), (3, "compute")] {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e30] {
            let mut steps = Steps::default();
            steps.0[at] = bad;
            let message = explain(&scenario, &requests, &steps, &Solver::default()).unwrap_err().to_string();
            assert!(message.starts_with(&format!("step, {name}: ")), "{message}");
        }
    }
    let mut full = scenario.clone();
    full.radio.uplink_bandwidth_hz = dftsp::limits::BANDWIDTH.max / 1.05;
    let e = explain(&full, &requests, &Steps::default(), &Solver::default()).unwrap();
    assert_eq!(e.margins[0].least, Least::None { up_to: 4, proven: true });
    assert!(e.without.is_empty() && e.scheduled.is_empty());
}
