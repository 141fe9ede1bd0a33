//! More than one λ: a loss budget for each.
//!
//! The lemma of losses holds for any λ, not only for that of the linear program: with δ_λ = λ·left + Σ max(0, 1 − λ·a)
//! − need over the free requests, a batch loses at most δ_λ against *each* λ. The linear program's own has the smallest
//! budget at the root. Deep in the tree, where one resource was used more than the relaxation would, a λ that prices it
//! higher has the smaller one left. So large trees get a few λ around the first, each scaled to its own best.

use super::{LANES, Tree};
use crate::bound::Multipliers;
use crate::bound::simplex::{Column, dot};
use crate::rank::RESOURCES;

/// How much more or less one resource counts in a lane.
const TILT: f64 = 1.35;

impl Tree {
    /// Adds the losses at λ near `lambda`, the first lane's. False if one of them rules out every batch by itself.
    pub fn add_lanes(&mut self, lambda: Column) -> bool {
        let need: u64 = self.needs.iter().map(|&need| u64::from(need)).sum();
        let real = |cost: [u64; RESOURCES]| cost.map(|c| c as f64);
        let (costs, left) = (self.free.iter().map(|f| real(f.cost)).collect::<Vec<_>>(), real(self.left));
        let mut lane = 1;
        for r in 0..RESOURCES {
            // A resource that has no price gets that of a small part of all requests.
            let unpriced = lambda[r] <= 0.0;
            let tilts = if unpriced { [0.1 * need as f64 / left[r].max(1.0), 0.0] } else { [TILT, 1.0 / TILT] };
            for tilt in tilts {
                if lane == LANES || tilt == 0.0 {
                    continue;
                }
                let mut tilted = lambda;
                tilted[r] = if unpriced { tilt } else { lambda[r] * tilt };
                let m = Multipliers::from_real(scaled(&costs, &left, tilted));
                if !self.add_lane(lane, &m, need) {
                    return false;
                }
                lane += 1;
            }
        }
        true
    }

    /// Fills a lane with the losses at λ; false if there is no budget for any.
    fn add_lane(&mut self, lane: usize, m: &Multipliers, need: u64) -> bool {
        let one = m.one();
        let gain = |cost: &[u64; RESOURCES]| one as i128 - m.price(cost) as i128;
        let positive: u128 = self.free.iter().map(|f| gain(&f.cost).max(0) as u128).sum();
        let Some(budget) = (m.price(&self.left) + positive).checked_sub(u128::from(need) << m.one_bits()) else {
            return false;
        };
        // Losses round down and the budget up. Larger losses than any budget are cut, so that sums fit.
        let bits = u128::BITS - budget.leading_zeros();
        let shift = m.one_bits().saturating_sub(32).max(bits.saturating_sub(56));
        let most = (budget >> shift) as u64 + 1;
        let mut gains: Vec<i128> = Vec::new();
        for group in &self.groups {
            gains.clear();
            let requests = &self.free[group.first as usize..(group.first + group.len) as usize];
            gains.extend(requests.iter().map(|f| gain(&f.cost)));
            // Of a class any may be taken; along a chain gains fall anyway.
            gains.sort_unstable_by_key(|&gain| std::cmp::Reverse(gain));
            let natural: i128 = gains.iter().take_while(|&&gain| gain > 0).sum();
            let mut gained = 0;
            for v in 0..=gains.len() {
                let loss = ((natural - gained) >> shift) as u128;
                self.entries[group.entry as usize + v].loss[lane] = loss.min(u128::from(most) + 1) as u64;
                gained += gains.get(v).copied().unwrap_or(0);
            }
        }
        self.loss[lane] = most;
        true
    }
}

/// λ times the factor that makes its bound over the free requests least: a convex function of the factor.
fn scaled(costs: &[Column], left: &Column, lambda: Column) -> Column {
    const STEPS: usize = 16;
    let bound = |factor: f64| -> f64 {
        factor * dot(left, &lambda) + costs.iter().map(|a| (1.0 - factor * dot(a, &lambda)).max(0.0)).sum::<f64>()
    };
    let (mut low, mut high) = (0.25, 4.0);
    for _ in 0..STEPS {
        let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if bound(a) <= bound(b) {
            high = b;
        } else {
            low = a;
        }
    }
    lambda.map(|m| m * (low + high) / 2.0)
}
