//! The hardest subproblems that a seeded search has found, from `tests/data/hard_leaves.csv`: `examples/hard_leaves.rs`
//! says how.

use dftsp::error::Place;
use dftsp::generate::{Family, Generator, Lengths, Spec};
use dftsp::instance::{Instance, Problem};
use dftsp::scenario::Padding;
use dftsp::workload::synthesis::ChannelModel;

/// Every instance of the list, with its line.
pub fn hard_leaves() -> Vec<(String, Instance)> {
    let lines = include_str!("../data/hard_leaves.csv").lines().skip(1);
    lines.map(|line| (line.to_string(), instance(spec(line)))).collect()
}

/// The instance of a spec.
pub fn instance(spec: Spec) -> Instance {
    let generator = Generator::new(spec).unwrap();
    Problem::new(generator.scenario(), &generator.requests().unwrap()).unwrap().instance
}

/// padding,channel,lengths,requests,seed
fn spec(line: &str) -> Spec {
    let [padding, channel, lengths, requests, seed] = line.split(',').collect::<Vec<_>>().try_into().unwrap();
    Spec {
        padding: if padding == "none" { Padding::None } else { Padding::Fixed(padding.parse().unwrap()) },
        channel: if channel == "shared" { ChannelModel::Shared } else { ChannelModel::Rayleigh },
        lengths: match lengths {
            "continuous" => Lengths::Continuous,
            "3" => Lengths::paper(),
            levels => Lengths::evenly(levels.parse().unwrap(), Place::default).unwrap(),
        },
        requests: requests.parse().unwrap(),
        seed: seed.parse().unwrap(),
        ..Spec::new(Family::Binding)
    }
}
