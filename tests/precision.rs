//! The choice of precision against an oracle that looks at every subset at every precision.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure here should stop the run")]

mod common;

use std::time::Duration;

use common::{Channel, Rng, largest_batch, random_epoch};
use dftsp::certificate::Status;
use dftsp::instance::{Problem, Reason};
use dftsp::outcome::Outcome;
use dftsp::precision::{self, Choice, Evaluation};
use dftsp::scenario::{Padding, Quantization, Scenario, preset};
use dftsp::search::Limits;
use dftsp::solver::{Method, Solver};
use dftsp::verify::{Claim, verify};
use dftsp::workload::Requests;

/// An epoch whose weights fit at some precisions, and users who accept some.
fn epoch(seed: u64) -> (Scenario, Requests) {
    let rng = &mut Rng::new(seed);
    let padding = [Padding::Fixed(400), Padding::None, Padding::Longest][(seed % 3) as usize];
    let channel = rng.pick(&[Channel::Shared, Channel::Fading]);
    let (mut scenario, requests) = random_epoch(rng, 8, channel, padding);
    // The weights take 4.72 GB at 16 bits; often one to three precisions fit, sometimes all or none.
    scenario.node.memory_bytes = rng.pick(&[1.1e9, 1.19e9, 2.4e9, 2.4e9, 4.8e9, 6e9]) + rng.magnitude(1e6, 1e9);
    if rng.below(2) == 0 {
        scenario.quantization = Quantization {
            name: "custom".to_string(),
            memory_factor: rng.pick(&[0.3, 0.75]),
            time_factor: rng.pick(&[0.5, 2.0]),
            perplexity_increase: rng.pick(&[0.0, 0.75, 0.3]),
            note: None,
        };
    }
    (scenario, requests)
}

fn at(scenario: &Scenario, q: &Quantization) -> Scenario {
    Scenario { quantization: q.clone(), ..scenario.clone() }
}

fn check(scenario: &Scenario, requests: &Requests, choice: &Choice, seed: u64) {
    let outcome: &Outcome = &choice.outcome;
    let mut largest = 0;
    for entry in &choice.entries {
        match (&entry.evaluation, Problem::new(&at(scenario, &entry.quantization), requests)) {
            (Evaluation::WeightsDoNotFit { weight_bytes }, Err(_)) => {
                assert!(*weight_bytes > scenario.node.memory_bytes, "seed {seed}");
            }
            (Evaluation::Solved(summary), Ok(problem)) => {
                let optimum = largest_batch(&problem.instance);
                largest = largest.max(optimum);
                assert!(summary.size <= optimum && summary.bound() >= optimum as u64, "seed {seed}");
                assert_eq!(summary.status == Status::Optimal, summary.bound() == summary.size as u64);
                for reason in Reason::ALL {
                    let first = |r: &&dftsp::instance::Rejection| r.reasons().next() == Some(reason);
                    let count = problem.rejections.iter().filter(first).count();
                    let said = summary.unservable.iter().find(|u| u.0 == reason).map_or(0, |u| u.1);
                    assert_eq!(said, count, "seed {seed} {reason}");
                }
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    let best = choice.entries[choice.best].evaluation.solved().unwrap();
    assert_eq!((best.size, best.status), (outcome.scheduled.len(), outcome.status), "seed {seed}");
    assert_eq!(outcome.quantization, choice.entries[choice.best].quantization.name);
    assert!(choice.bound() >= largest as u64, "seed {seed}");
    // The rule, spelt out: nothing before it is as good, and nothing at all is better.
    let rank = |index: usize| {
        let (q, s) = (&choice.entries[index].quantization, choice.entries[index].evaluation.solved()?);
        Some((s.size, s.status == Status::Optimal, -q.perplexity_increase))
    };
    for index in 0..choice.entries.len() {
        if let Some(other) = rank(index) {
            let chosen = rank(choice.best).unwrap();
            assert!(if index < choice.best { other < chosen } else { other <= chosen }, "seed {seed}");
        }
    }
    let verified = verify(&choice.scenario, requests, &Claim::from(outcome), None).unwrap();
    assert_eq!(verified, Ok(()), "seed {seed}");
    for entry in choice.entries.iter().filter(|e| e.quantization.name != outcome.quantization) {
        if let Ok(verdict) = verify(&at(scenario, &entry.quantization), requests, &Claim::from(outcome), None) {
            assert_eq!(verdict.unwrap_err().check, "quantization", "seed {seed}");
        }
    }
}

#[test]
fn the_choice_is_the_best_of_the_optima() {
    let solver = Solver::new(Method::Flat);
    let (mut chosen, mut none) = (std::collections::BTreeMap::<String, usize>::new(), 0);
    for seed in 0..1_500 {
        let (scenario, requests) = epoch(8_000_000 + seed);
        let offer = precision::on_offer(&scenario);
        match precision::choose(&scenario, &requests, &offer, &solver) {
            Ok(choice) => {
                assert!(choice.entries.iter().map(|e| &e.quantization).eq(&offer));
                check(&scenario, &requests, &choice, seed);
                assert_eq!(choice.bound(), choice.outcome.scheduled.len() as u64, "seed {seed}: all are solved");
                *chosen.entry(choice.outcome.quantization).or_default() += 1;
            }
            Err(e) => {
                assert!(offer.iter().all(|q| Problem::new(&at(&scenario, q), &requests).is_err()), "seed {seed}: {e}");
                none += 1;
            }
        }
    }
    let names = preset::QUANTIZATIONS.iter().copied().chain(["custom"]);
    // zq-local is gptq with a larger ΔPPL: never better.
    let wanted = names.filter(|name| *name != "w4a16-zq-local");
    assert!(wanted.clone().all(|name| chosen.get(name).is_some_and(|&n| n > 20)), "{chosen:?} {none}");
}

#[test]
fn a_limit_leaves_the_choice_feasible_and_bounded() {
    let solver = Solver::new(Method::Flat).limits(Limits::time(Duration::ZERO));
    for seed in 0..300 {
        let (scenario, requests) = epoch(8_100_000 + seed);
        if let Ok(choice) = precision::choose(&scenario, &requests, &precision::on_offer(&scenario), &solver) {
            check(&scenario, &requests, &choice, seed);
        }
    }
}
