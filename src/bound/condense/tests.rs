//! Condensed bounds against the plain pass over sorted requests.

use super::*;
use crate::bound::classify::Pass;
use crate::bound::view::Buckets;
use crate::generate::{Family, Generator, Lengths, Spec};
use crate::instance::{Instance, Problem};
use crate::rank::Ranked;
use crate::scenario::Padding;
use crate::workload::synthesis::RowRng;

fn instance(lengths: Lengths, seed: u64) -> Instance {
    let spec = Spec { requests: 3_000, seed, lengths, padding: Padding::None, ..Spec::new(Family::Binding) };
    let generator = Generator::new(spec).unwrap();
    Problem::new(generator.scenario(), &generator.requests().unwrap()).unwrap().instance
}

/// Everything that is summed up, listed, bucketed and refined gives the bounds of the plain pass over sorted
/// requests, to the last digit, for every λ of the region.
#[test]
fn condensed_bounds_are_those_of_the_plain_pass() {
    for (seed, lengths) in [(1, Lengths::paper()), (2, Lengths::Continuous)] {
        let instance = instance(lengths, seed);
        let (view, ranked) = (View::new(&instance, 1), Ranked::new(&instance));
        let mut whole = Condensed::default();
        whole.sort(&view);
        let middle = whole.segments.len() / 2;
        let relaxed = whole.relax(middle, [0.0; RESOURCES], &mut Simplex::default(), &|| false);
        let Relaxed::Lambda(lambda) = relaxed else { panic!("everything is listed") };
        let (most, least) = whole.budgets();
        let costs: Vec<_> = (0..view.len()).map(|i| view.cost(i)).collect();
        let mut random = RowRng::new(seed, 0);
        for width in [0.002, 0.02, 0.2] {
            let ends = [lambda, lambda.map(|m| m * 1.01)];
            let region = Region::between(ends, width, &costs);
            let mut condensed = Condensed::default();
            let (mut pass, mut members) = (Pass::default(), Vec::new());
            let near = (region, Buckets::new(least, most, view.len()));
            assert!(pass.classify(&mut condensed, &view, near, false, &|| false));
            assert!(condensed.cost.len() < view.len() && condensed.segments.len() < whole.segments.len());
            let mut inside = 0;
            let coarse = condensed.clone();
            assert!(pass.members(&view, &condensed.open_buckets(), &mut members, &|| false));
            assert!(condensed.refine(&view, &mut members, &|| false));
            for _ in 0..40 {
                let draws = random.next_row();
                let near = std::array::from_fn(|r| lambda[r] * (1.0 + width * (draws.unit(r) - 0.4)));
                let m = Multipliers::from_real(near);
                if !condensed.holds(&m) {
                    continue;
                }
                inside += 1;
                let plain = m.bounds(&ranked);
                let mut listed = Vec::new();
                condensed.bounds(&m, 0, |_, bound| listed.push(bound));
                assert_eq!(listed, plain);
                // A bucket's bound is at least that of every deadline in it.
                coarse.bounds(&m, 0, |i, bound| {
                    let s = coarse.segments[i];
                    let within = ranked.run_ends().iter().zip(&plain).filter(|(d, _)| (s.first..=s.last).contains(d));
                    assert!(within.map(|(_, &plain)| plain).max() <= Some(bound));
                });
            }
            assert!(inside > 5, "{inside} of 40 at width {width}");
        }
    }
}
