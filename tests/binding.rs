//! The binding family binds: at its optimum every resource is scarce.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here should stop the run")]

use dftsp::certificate::Status;
use dftsp::generate::{Family, Generator, Lengths, Spec};
use dftsp::instance::Problem;
use dftsp::outcome::{Outcome, Provenance};
use dftsp::solver::{Method, Solver};
use dftsp::workload::synthesis::ChannelModel;

fn outcome(spec: Spec) -> Outcome {
    let generator = Generator::new(spec).unwrap();
    let requests = generator.requests().unwrap();
    let problem = Problem::new(generator.scenario(), &requests).unwrap();
    let best = Solver::new(Method::Flat).solve(&problem.instance);
    assert_eq!(best.status(), Status::Optimal);
    let made = Provenance { solver: "flat".to_string(), seconds: 0.0 };
    Outcome::new(generator.scenario(), &requests, &problem, best, made).unwrap()
}

#[test]
fn all_four_constraints_bind_at_the_optimum() {
    for channel in [ChannelModel::Shared, ChannelModel::Rayleigh] {
        for lengths in [Lengths::paper(), Lengths::Continuous] {
            for (requests, tightness, used) in [(100, 0.3, 0.8), (300, 0.3, 0.9), (1000, 0.5, 0.98)] {
                let base = Spec { requests, tightness, channel, ..Spec::new(Family::Binding) };
                let outcome = outcome(Spec { lengths: lengths.clone(), ..base });
                let context = format!("{channel:?} {lengths:?} {requests} {tightness}: {:?}", outcome.usage);
                assert_eq!(outcome.binding().len(), 4, "{context}");
                assert!(outcome.usage.as_array().iter().all(|&u| u > used), "{context}");
            }
        }
    }
}
