//! Instances large enough to be condensed, in every shape that could mislead a sample: each is proven, and the proof
//! stands.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here should stop the run")]

mod common;

use std::fmt::Debug;
use std::time::Duration;

use common::Rng;
use common::hard::instance;
use common::shapes::{Costs, Shape};
use dftsp::certificate::{Certificate, Status};
use dftsp::error::Place;
use dftsp::generate::{Family, Lengths, Spec};
use dftsp::instance::Instance;
use dftsp::scenario::Padding;
use dftsp::search::Limits;
use dftsp::solver::{Method, Solver};
use dftsp::verify::proof;
use dftsp::workload::synthesis::ChannelModel;

/// So that nothing hangs: whatever is proven takes a small part of it.
const LIMIT: Duration = Duration::from_secs(10);

/// A batch of `instance` that may miss `gap` requests, no more, with a certificate that stands.
fn assert_proven(instance: &Instance, limit: Duration, gap: u64, context: &dyn Debug) {
    let certificate = assert_solved(instance, limit, gap, context);
    let proof = proof::check(instance, &certificate, Some(LIMIT), |_, _| Ok(()));
    assert_eq!(proof, Ok(()), "{context:?}");
}

fn assert_solved(instance: &Instance, limit: Duration, gap: u64, context: &dyn Debug) -> Certificate {
    let solution = Solver::new(Method::Flat).limits(Limits::time(limit)).solve(instance);
    let context = || format!("{context:?}, {} rows: {} {:?}", instance.len(), solution.rows.len(), solution.work);
    assert!(instance.is_feasible(&solution.rows) && solution.rows.is_sorted(), "{}", context());
    match solution.status() {
        Status::Optimal => {}
        Status::Feasible { bound } => assert!(bound - solution.rows.len() as u64 <= gap, "{bound} {}", context()),
    }
    solution.certificate
}

const SHAPES: u64 = 450;
/// What ten seconds do not prove yet, with a gap of one: small whole numbers, few kinds, or costs over six magnitudes,
/// with all four resources tight at once.
const OPEN: [u64; 3] = [117, 162, 384];

/// The shape of a seed, and its instance.
fn shaped(seed: u64) -> (Shape, Instance) {
    let rng = &mut Rng::new(5_000_000 + seed);
    let shape = Shape {
        rows: rng.magnitude(1025.0, 20_000.0) as usize,
        costs: Shape::COSTS[(seed % 9) as usize],
        budgets: rng.pick(&Shape::BUDGETS),
        room: rng.pick(&Shape::ROOMS),
        order: rng.pick(&Shape::ORDERS),
    };
    (shape, shape.instance(rng))
}

fn shapes(costs: &[Costs]) {
    let mut condensed = 0;
    for seed in (0..SHAPES).filter(|seed| costs.contains(&Shape::COSTS[(seed % 9) as usize])) {
        let (shape, instance) = shaped(seed);
        let (limit, gap) = if OPEN.contains(&seed) { (LIMIT / 20, 1) } else { (LIMIT, 0) };
        assert_proven(&instance, limit, gap, &(seed, shape));
        condensed += usize::from(instance.len() > 2048);
    }
    // The rest lost requests that could not be served alone.
    assert!(condensed > 15 * costs.len(), "{condensed} instances are large");
}

#[test]
fn ties_and_kinds() {
    shapes(&[Costs::Ties, Costs::FewKinds]);
}

#[test]
fn spread_costs_and_empty_columns() {
    shapes(&[Costs::Spread, Costs::ZeroColumns, Costs::OneDominates]);
}

#[test]
fn collinear_columns_and_trade_offs() {
    shapes(&[Costs::Collinear, Costs::TradeOffs]);
}

#[test]
fn magnitudes_and_heavy_tails() {
    shapes(&[Costs::Magnitudes, Costs::HeavyTails]);
}

fn binding(padding: Padding, sizes: &[u64]) {
    for channel in [ChannelModel::Shared, ChannelModel::Rayleigh] {
        for levels in [3, 8, 16, 0] {
            for &requests in sizes {
                for seed in 1..=2 {
                    let lengths = match levels {
                        0 => Lengths::Continuous,
                        3 => Lengths::paper(),
                        levels => Lengths::evenly(levels, Place::default).unwrap(),
                    };
                    let spec = Spec { requests, channel, lengths, padding, seed, ..Spec::new(Family::Binding) };
                    let context = format!("{spec:?}");
                    assert_proven(&instance(spec), LIMIT, 0, &context);
                }
            }
        }
    }
}

#[test]
fn binding_under_fixed_padding() {
    binding(Padding::Fixed(512), &[1_025, 3_000, 20_000]);
}

#[test]
fn binding_without_padding() {
    binding(Padding::None, &[1_025, 3_000, 20_000]);
}

/// Smaller: each of up to 512 lengths of the longest prompt is an instance of its own.
#[test]
fn binding_under_padding_to_the_longest() {
    binding(Padding::Longest, &[1_100, 5_000]);
}
