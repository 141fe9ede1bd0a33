//! Lagrangian bounds: one pass over the requests bounds every deadline at once.
//!
//! **Lemma.** For any λ ≥ 0 and any d, every feasible batch inside F_d under the budget e_d has at most UB_λ(d) = λ·(U,
//! W, K, e_d) + Σ_{i ≤ d} max(0, 1 − λ·a_i) requests. *Proof.* For a feasible x, Σ x_i = Σ x_i (1 − λ·a_i) + λ·Σ x_i
//! a_i. The first sum is at most the positive parts over F_d, the second at most λ·(U, W, K, e_d). ∎
//!
//! The multipliers are integers over a common power of two, and the sums are exact in 128 bits, so no rounding enters a
//! bound: any λ that the floating-point linear program (in `simplex`) proposes is a valid one, good or bad.

pub(crate) mod classify;
pub(crate) mod condense;
pub(crate) mod cover;
pub(crate) mod region;
pub(crate) mod simplex;
pub(crate) mod survey;
pub(crate) mod view;

use crate::rank::{COMPUTE, RESOURCES, Ranked};

/// λ: one non-negative multiplier per resource, as integers over 2^one_bits.
///
/// With multipliers, costs and capacities of at most 2⁶² and one_bits ≤ 90, λ·capacities is at most 4·2¹²⁴ = 2¹²⁶ and
/// the positive parts of 2³⁰ requests at most 2¹²⁰: sums fit in `u128`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multipliers {
    one_bits: u32,
    lambda: [u64; RESOURCES],
}

/// The largest multiplier.
pub const MAX_MULTIPLIER: u64 = 1 << 62;
/// The largest exponent of the common denominator.
pub const MAX_ONE_BITS: u32 = 90;

impl Multipliers {
    /// λ = 0, whose bound is d.
    pub const ZERO: Multipliers = Multipliers { one_bits: 0, lambda: [0; RESOURCES] };

    /// The multipliers `lambda[r]` / 2^one_bits, or `None` outside the limits that keep sums within 128 bits.
    pub fn new(one_bits: u32, lambda: [u64; RESOURCES]) -> Option<Self> {
        let valid = one_bits <= MAX_ONE_BITS && lambda.iter().all(|&m| m <= MAX_MULTIPLIER);
        valid.then_some(Multipliers { one_bits, lambda })
    }

    /// The nearest multipliers not above `lambda`; anything negative or not finite becomes 0.
    pub fn from_real(lambda: [f64; RESOURCES]) -> Self {
        let lambda = lambda.map(|m| if m.is_finite() && m > 0.0 { m } else { 0.0 });
        let largest = lambda.iter().copied().fold(0.0, f64::max);
        if largest == 0.0 {
            return Multipliers::ZERO;
        }
        // The largest multiplier gets 61 or 62 bits.
        let one_bits = (61 - i64::from(libm::ilogb(largest))).clamp(0, i64::from(MAX_ONE_BITS)) as u32;
        let scale = libm::ldexp(1.0, one_bits as i32);
        Multipliers { one_bits, lambda: lambda.map(|m| ((m * scale) as u64).min(MAX_MULTIPLIER)) }
    }

    /// λ in floats: above or below the exact numbers by a relative 2⁻⁵².
    pub(crate) fn to_real(self) -> [f64; RESOURCES] {
        self.lambda.map(|m| libm::ldexp(m as f64, -(self.one_bits as i32)))
    }

    /// The exponent of the common denominator.
    pub fn one_bits(&self) -> u32 {
        self.one_bits
    }

    /// The numerators.
    pub fn lambda(&self) -> [u64; RESOURCES] {
        self.lambda
    }

    /// 1 in the units of the products: 2^one_bits.
    #[inline]
    pub fn one(&self) -> u128 {
        1 << self.one_bits
    }

    /// λ·a.
    #[inline]
    pub fn price(&self, cost: &[u64; RESOURCES]) -> u128 {
        (0..RESOURCES).map(|r| u128::from(self.lambda[r]) * u128::from(cost[r])).sum()
    }

    /// UB_λ(d) for every run end d, rounded down and at most d, in the order of [`Ranked::run_ends`].
    pub fn bounds(&self, ranked: &Ranked) -> Vec<u64> {
        let capped = |(&d, bound): (&u32, u128)| (bound >> self.one_bits).min(u128::from(d)) as u64;
        ranked.run_ends().iter().zip(self.exact_bounds(ranked)).map(capped).collect()
    }

    /// UB_λ(d) for every run end d, over 2^one_bits.
    pub(crate) fn exact_bounds(&self, ranked: &Ranked) -> impl Iterator<Item = u128> {
        let one = self.one();
        let fixed: u128 =
            (0..COMPUTE).map(|r| u128::from(self.lambda[r]) * u128::from(ranked.fixed_capacities()[r])).sum();
        let (mut gained, mut rank) = (0u128, 0);
        ranked.run_ends().iter().map(move |&d| {
            while rank < d as usize {
                gained += one.saturating_sub(self.price(&ranked.cost(rank)));
                rank += 1;
            }
            let deadline = u128::from(self.lambda[COMPUTE]) * u128::from(ranked.budget(d as usize - 1));
            fixed + deadline + gained
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_multipliers_are_rounded_down_to_valid_ones() {
        for lambda in [[1.0, 0.5, 0.25, 1e-3], [1e-19, 3e-12, 0.0, 1e-14], [1e300, 1.0, 0.0, 0.0], [1e-300; 4]] {
            let m = Multipliers::from_real(lambda);
            assert_eq!(Multipliers::new(m.one_bits(), m.lambda()), Some(m));
            for (given, kept) in lambda.iter().zip(m.lambda()) {
                assert!(kept as f64 / libm::ldexp(1.0, m.one_bits() as i32) <= *given);
            }
        }
        let half = Multipliers::from_real([0.5, 0.0, 0.0, 0.0]);
        assert_eq!(half.lambda()[0] as u128 * 2, half.one());
        for bad in [[f64::NAN; 4], [f64::INFINITY; 4], [-1.0; 4], [0.0; 4]] {
            assert_eq!(Multipliers::from_real(bad), Multipliers::ZERO);
        }
        assert!(Multipliers::new(91, [0; 4]).is_none() && Multipliers::new(0, [MAX_MULTIPLIER + 1, 0, 0, 0]).is_none());
    }
}
