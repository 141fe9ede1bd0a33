//! Bounds at λ far from the region: for deadlines far from the best one.

use super::condense::Condensed;
use super::simplex::Column;
use super::view::{BLOCK, Buckets, View, part_size};
use crate::rank::{COMPUTE, RESOURCES};

/// The reduced costs of all requests at a few λ, summed by bucket of budgets.
///
/// Each is rounded up to whole units of 2⁻³² requests and raised by one more, which is far above the error of its float
/// (a price near 1 errs by less than 2⁻⁴⁸); the sums are then exact, of any number of requests, in any order: 2³⁰ of
/// them are below 2⁶³.
#[derive(Debug, Clone, Default)]
pub(crate) struct Survey {
    pub parts: Vec<Vec<[u64; LANES]>>,
}

/// So many λ are surveyed at once.
pub(crate) const LANES: usize = 4;

impl Survey {
    /// Units to a request.
    const UNITS: f64 = (1u64 << 32) as f64;
    /// In requests: above the error of the ten float operations between the sums and a bound of at most 2³¹.
    const MARGIN: f64 = 1e-5;

    /// Sums the positive reduced costs at each λ. False if `stop` said so.
    pub fn measure(
        &mut self,
        view: &View<'_>,
        buckets: &Buckets,
        lambda: &[Column; LANES],
        parallel: bool,
        stop: &(impl Fn() -> bool + Sync),
    ) -> bool {
        let n = view.len();
        let size = part_size(n);
        self.parts.resize_with(n.div_ceil(size), Vec::new);
        // By resource, so that lanes are next to each other.
        let by_resource: [[f64; LANES]; RESOURCES] = std::array::from_fn(|r| lambda.map(|lambda| lambda[r]));
        let work = |(at, sums): (usize, &mut Vec<[u64; LANES]>)| {
            sums.clear();
            sums.resize(buckets.count, [0; LANES]);
            let end = n.min((at + 1) * size);
            for start in (at * size..end).step_by(BLOCK) {
                if stop() {
                    return false;
                }
                for index in start..end.min(start + BLOCK) {
                    let real = view.cost(index).map(|c| c as i64 as f64);
                    let sum = &mut sums[buckets.of(view.budget(index))];
                    for lane in 0..LANES {
                        let price = by_resource[0][lane] * real[0]
                            + by_resource[1][lane] * real[1]
                            + by_resource[2][lane] * real[2]
                            + by_resource[3][lane] * real[3];
                        // Truncated towards 0: one unit more rounds up, and one is for the error.
                        let units = ((1.0 - price) * Survey::UNITS) as i64;
                        sum[lane] += if units >= 0 { units as u64 + 2 } else { 0 };
                    }
                }
            }
            true
        };
        if !parallel || self.parts.len() <= 1 {
            self.parts.iter_mut().enumerate().all(work)
        } else {
            use rayon::prelude::*;
            self.parts.par_iter_mut().enumerate().map(work).all(|done| done)
        }
    }

    /// Calls `each` with every listed segment that is a bucket, and the bound of lane `lane` on it.
    pub fn bounds(&self, condensed: &Condensed, lane: usize, lambda: &Column, mut each: impl FnMut(usize, u64)) {
        let (mut gained, mut at) = (0u64, 0);
        let c = condensed.capacity.map(|c| c as f64);
        let fixed = lambda[0] * c[0] + lambda[1] * c[1] + lambda[2] * c[2];
        for (i, segment) in condensed.segments.iter().enumerate() {
            let Some(bucket) = segment.bucket else { continue };
            while at <= bucket as usize {
                gained += self.parts.iter().map(|part| part[at][lane]).sum::<u64>();
                at += 1;
            }
            let bound = fixed + lambda[COMPUTE] * segment.most as f64 + gained as f64 / Survey::UNITS;
            each(i, ((bound * (1.0 + 1e-12) + Survey::MARGIN) as u64).min(u64::from(segment.last)));
        }
    }
}
