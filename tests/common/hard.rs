//! The hardest subproblems that a seeded search has found, from `tests/data/hard_leaves.csv`: `examples/hard_leaves.rs`
//! says how.

use dftsp::compare;
use dftsp::generate::{Generator, Spec};
use dftsp::instance::{Instance, Problem};

/// Every instance of the list, with its line.
pub fn hard_leaves() -> Vec<(String, Instance)> {
    let lines = include_str!("../data/hard_leaves.csv").lines().skip(1);
    let instances = compare::hard_leaves().unwrap();
    assert_eq!(lines.clone().count(), instances.len());
    lines.map(str::to_string).zip(instances).collect()
}

/// The instance of a spec.
pub fn instance(spec: Spec) -> Instance {
    let generator = Generator::new(spec).unwrap();
    Problem::new(generator.scenario(), &generator.requests().unwrap()).unwrap().instance
}
