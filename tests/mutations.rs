//! The verifier rejects every mutation of a valid solution and of its certificate.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here should stop the run")]

mod common;

use common::{Channel, Rng, random_epoch};
use dftsp::bound::Multipliers;
use dftsp::certificate::Certificate;
use dftsp::cost::{Link, watts};
use dftsp::generate::{Family, Generator, Spec};
use dftsp::instance::{Problem, Reason};
use dftsp::outcome::{Allocation, Outcome, Provenance};
use dftsp::scenario::{Padding, Scenario};
use dftsp::solver::{Method, Solver};
use dftsp::verify::{self, Claim, proof};
use dftsp::workload::synthesis::ChannelModel;
use dftsp::workload::{Request, Requests};

fn claim(scenario: &Scenario, requests: &Requests) -> Claim {
    let problem = Problem::new(scenario, requests).unwrap();
    let solution = Solver::new(Method::Flat).solve(&problem.instance);
    let made = Provenance { solver: "flat".to_string(), seconds: 0.0 };
    Claim::from(&Outcome::new(scenario, requests, &problem, solution, made).unwrap())
}

/// The name of the check that fails.
fn failing(scenario: &Scenario, requests: &Requests, claim: &Claim) -> Option<&'static str> {
    verify::verify(scenario, requests, claim, None).unwrap().err().map(|failure| failure.check)
}

#[test]
fn every_mutation_of_a_solution_is_named() {
    let generator = Generator::new(Spec { requests: 60, ..Spec::new(Family::Binding) }).unwrap();
    let (scenario, requests) = (generator.scenario().clone(), generator.requests().unwrap());
    let valid = claim(&scenario, &requests);
    assert_eq!(failing(&scenario, &requests, &valid), None);
    assert!(valid.scheduled.len() >= 4 && valid.rejected.iter().any(|r| r.1 != Reason::CrowdedOut));
    type Mutation = (&'static str, fn(&mut Claim));
    let mutations: [Mutation; 22] = [
        ("batch", |c| c.size += 1),
        ("batch", |c| c.requests += 1),
        ("usage", |c| c.tightest_deadline_s = None),
        ("usage", |c| c.tightest_deadline_s = c.tightest_deadline_s.map(|s| s + 1e-6)),
        ("batch", |c| c.scheduled[0] = c.scheduled[1]),
        ("batch", |c| c.scheduled.swap(0, 1)),
        ("batch", |c| *c.scheduled.last_mut().unwrap() = 60),
        ("status", |c| c.optimal = false),
        ("status", |c| c.bound += 1),
        ("status", |c| c.bound -= 1),
        ("usage", |c| c.usage.memory *= 1.000_001),
        ("usage", |c| c.usage.latency = f64::NAN),
        ("allocations", |c| c.allocations[0].uplink *= 0.5),
        ("allocations", |c| c.allocations[0].downlink = 1.0),
        ("allocations", |c| c.allocations[1].uplink = f64::NAN),
        ("allocations", |c| c.allocations.truncate(c.allocations.len() - 1)),
        ("allocations", |c| c.allocations.swap(0, 1)),
        ("rejected", |c| c.rejected.truncate(c.rejected.len() - 1)),
        ("rejected", |c| c.rejected.push(c.rejected[0])),
        ("rejected", |c| c.rejected.iter_mut().find(|r| r.1 == Reason::CrowdedOut).unwrap().1 = Reason::Deadline),
        ("rejected", |c| c.rejected.iter_mut().find(|r| r.1 != Reason::CrowdedOut).unwrap().1 = Reason::CrowdedOut),
        ("certificate", |c| c.certificate.bound += 1),
    ];
    for (number, (check, mutate)) in mutations.into_iter().enumerate() {
        let mut mutated = valid.clone();
        mutate(&mut mutated);
        assert_eq!(failing(&scenario, &requests, &mutated), Some(check), "mutation {number}");
    }
}

/// A batch that is too large by less than the tolerance of floats is refused by the integers.
#[test]
fn a_batch_over_the_band_by_a_hair_is_refused() {
    let mut scenario = Scenario::paper();
    let request = Request { deadline_s: 10.0, ..Request::new(512, 128) };
    let share = Link::uplink(&scenario).share(512, watts(request.uplink_power_dbm), request.channel_power_gain);
    // Twice the share is the band and 6·10⁻¹⁰ of it.
    scenario.epoch.uplink_slot_s *= 2.0 * share / (1.0 + 6e-10);
    let mut requests = Requests::new();
    requests.push("a", request).unwrap();
    requests.push("b", request).unwrap();
    let one = claim(&scenario, &requests);
    assert_eq!((one.size, failing(&scenario, &requests, &one)), (1, None));
    let both = Claim {
        size: 2,
        bound: 2,
        scheduled: vec![0, 1],
        rejected: vec![],
        allocations: [0, 1].map(|request| Allocation { request, uplink: 0.5, downlink: 0.5 }).to_vec(),
        ..one
    };
    assert_eq!(failing(&scenario, &requests, &both), Some("batch"));
}

/// One request more, or one exchanged for another, breaks the constraint that the verifier names; a smaller batch is
/// not optimal.
#[test]
fn batches_that_do_not_fit_are_refused_by_the_physics() {
    let mut named = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let rng = &mut Rng::new(5_000_000 + seed);
        let padding = rng.pick(&[Padding::Fixed(400), Padding::None, Padding::Longest]);
        let (scenario, requests) = random_epoch(rng, 10, Channel::Fading, padding);
        let valid = claim(&scenario, &requests);
        for &(row, _) in &valid.rejected {
            let mut mutated = valid.clone();
            mutated.scheduled.push(row);
            mutated.scheduled.sort_unstable();
            mutated.size += 1;
            mutated.bound += 1;
            named.insert(failing(&scenario, &requests, &mutated).expect("the batch was the largest"));
        }
        if let Some(dropped) = valid.scheduled.first().copied() {
            let mut mutated = valid.clone();
            mutated.scheduled.remove(0);
            mutated.allocations.remove(0);
            mutated.rejected.push((dropped, Reason::CrowdedOut));
            mutated.rejected.sort_by_key(|r| r.0);
            (mutated.size, mutated.bound, mutated.certificate.bound) =
                (mutated.size - 1, mutated.bound - 1, mutated.bound - 1);
            let problem = Problem::new(&scenario, &requests).unwrap();
            assert!(proof::check(&problem.instance, &mutated.certificate, None, |_, _| Ok(())).is_err(), "seed {seed}");
            assert!(failing(&scenario, &requests, &mutated).is_some());
        }
    }
    let all = ["uplink (1a)", "downlink (1b)", "memory (1c)", "latency (1d)", "accuracy (1e)", "padding"];
    assert!(all.iter().all(|check| named.contains(check)), "{named:?}");
}

/// Everything in a certificate matters: no section, deadline or multiplier can be dropped or weakened without notice.
#[test]
fn every_mutation_of_a_certificate_is_refused() {
    let (mut tried, mut exhausted) = (0, 0);
    for seed in 0..2_000 {
        let rng = &mut Rng::new(6_000_000 + seed);
        let (scenario, requests) = match seed % 3 {
            0 => random_epoch(rng, 12, Channel::Fading, Padding::Longest),
            1 => random_epoch(rng, 40, Channel::Fading, Padding::None),
            _ => {
                // Few kinds of requests: integer counts are what the bounds miss, so that deadlines must be exhausted.
                let channel = rng.pick(&[ChannelModel::Shared, ChannelModel::Rayleigh]);
                let generator =
                    Generator::new(Spec { requests: 10 + rng.below(60), seed, channel, ..Spec::new(Family::Binding) });
                let generator = generator.unwrap();
                (generator.scenario().clone(), generator.requests().unwrap())
            }
        };
        let instance = Problem::new(&scenario, &requests).unwrap().instance;
        if instance.is_empty() {
            continue;
        }
        let valid = Solver::new(Method::Flat).solve(&instance).certificate;
        assert_eq!(proof::check(&instance, &valid, None, |_, _| Ok(())), Ok(()));
        let refused = |mutate: &dyn Fn(&mut Certificate)| {
            let mut mutated = valid.clone();
            mutate(&mut mutated);
            let verdict = proof::check(&instance, &mutated, None, |_, _| Ok(()));
            assert!(verdict.is_err(), "seed {seed}\n{valid:?}\n{mutated:?}");
        };
        if valid.bound > 0 {
            refused(&|c| c.bound -= 1);
        }
        refused(&|c| drop(c.sections.pop()));
        for s in 0..valid.sections.len() {
            let section = &valid.sections[s];
            for i in 0..section.covered.len() {
                let covered = section.covered[i];
                refused(&|c| _ = c.sections[s].covered.remove(i));
                refused(&|c| c.sections[s].covered[i].last = u32::MAX);
                refused(&|c| c.sections[s].covered[i].first = 0);
                // λ = 0 bounds by d, which suffices only where d is small.
                if u64::from(covered.last) > valid.bound {
                    refused(&|c| c.sections[s].covered[i].multipliers = Multipliers::ZERO);
                }
                tried += 1;
            }
            for i in 0..section.exhausted.len() {
                refused(&|c| _ = c.sections[s].exhausted.remove(i));
                refused(&|c| c.sections[s].exhausted[i].deadline_rank = 0);
                exhausted += 1;
            }
        }
    }
    assert!(tried > 1_000 && exhausted > 50, "{tried} {exhausted}");
}
