//! Lagrangian bounds: one pass over the requests bounds every deadline at once.
//!
//! **Lemma.** For any λ ≥ 0 and any d, every feasible batch inside F_d under the budget e_d has at most UB_λ(d) = λ·(U,
//! W, K, e_d) + Σ_{i ≤ d} max(0, 1 − λ·a_i) requests. *Proof.* For a feasible x, Σ x_i = Σ x_i (1 − λ·a_i) + λ·Σ x_i
//! a_i. The first sum is at most the positive parts over F_d, the second at most λ·(U, W, K, e_d). ∎
//!
//! The multipliers are integers over a common power of two, and the sums are exact in 128 bits, so no rounding enters a
//! bound: any λ that the floating-point linear program (in `lp`) proposes is a valid one, good or bad.

pub(crate) mod lp;

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
        let one = self.one();
        let fixed: u128 =
            (0..COMPUTE).map(|r| u128::from(self.lambda[r]) * u128::from(ranked.fixed_capacities()[r])).sum();
        let (mut gained, mut rank) = (0u128, 0);
        let bound = |&d: &u32| {
            while rank < d as usize {
                gained += one.saturating_sub(self.price(&ranked.cost(rank)));
                rank += 1;
            }
            let deadline = u128::from(self.lambda[COMPUTE]) * u128::from(ranked.budget(d as usize - 1));
            ((fixed + deadline + gained) >> self.one_bits).min(u128::from(d)) as u64
        };
        ranked.run_ends().iter().map(bound).collect()
    }
}

/// The pointwise minimum of the bounds of all λ tried.
#[derive(Debug, Clone)]
pub(crate) struct Cover {
    multipliers: Vec<Multipliers>,
    /// Best bound of each run.
    bound: Vec<u64>,
    /// Which multipliers gave it.
    owner: Vec<u32>,
    /// Whether the linear program of the run was solved: it cannot be bounded better this way.
    solved: Vec<bool>,
    /// The last λ proposed, in floats, to start the next linear program from.
    warm: [f64; RESOURCES],
}

impl Cover {
    /// The trivial bounds, d.
    pub fn new(ranked: &Ranked) -> Self {
        let runs = ranked.run_ends().len();
        Cover {
            multipliers: vec![Multipliers::ZERO],
            bound: Multipliers::ZERO.bounds(ranked),
            owner: vec![0; runs],
            solved: vec![false; runs],
            warm: [0.0; RESOURCES],
        }
    }

    /// The runs whose bound is at least `target`, with that bound.
    pub fn open(&self, target: u64) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.bound.iter().copied().enumerate().filter(move |&(_, bound)| bound >= target)
    }

    /// The run with the largest bound among those open at `target` whose linear program was not solved yet.
    pub fn next_unsolved(&self, target: u64) -> Option<usize> {
        self.open(target)
            .filter(|&(run, _)| !self.solved[run])
            .max_by_key(|&(run, b)| (b, std::cmp::Reverse(run)))
            .map(|(run, _)| run)
    }

    /// Solves the linear program of `run` and lowers every bound that its λ improves. Returns λ, and how many requests
    /// of each kind an optimal vertex takes whole (see [`lp::Relaxation`]).
    pub fn solve(&mut self, ranked: &Ranked, run: usize) -> (Multipliers, Vec<u32>) {
        let lp::Relaxation { lambda, take } = lp::relax(ranked, ranked.run_ends()[run] as usize, self.warm);
        self.warm = lambda;
        let multipliers = Multipliers::from_real(self.warm);
        let index = self.multipliers.len() as u32;
        for (run, bound) in multipliers.bounds(ranked).into_iter().enumerate() {
            if bound < self.bound[run] {
                (self.bound[run], self.owner[run]) = (bound, index);
            }
        }
        self.multipliers.push(multipliers);
        self.solved[run] = true;
        (multipliers, take)
    }

    /// Solves linear programs until every run open at `target` is solved, `passes` are spent, `patience` passes in a
    /// row have not lowered the largest bound, or `stop` says so. Returns the passes made.
    pub fn tighten(
        &mut self,
        ranked: &Ranked,
        target: u64,
        (passes, patience): (u64, u64),
        mut stop: impl FnMut(u64) -> bool,
    ) -> u64 {
        let (mut lowest, mut since) = (u64::MAX, 0);
        for made in 0..passes {
            let largest = self.bound.iter().copied().max().unwrap_or(0);
            if largest < lowest {
                (lowest, since) = (largest, made);
            }
            if made - since >= patience || stop(made) {
                return made;
            }
            match self.next_unsolved(target) {
                Some(run) => self.solve(ranked, run),
                None => return made,
            };
        }
        passes
    }

    /// The best bound of a run.
    pub fn bound(&self, run: usize) -> u64 {
        self.bound[run]
    }

    /// The multipliers behind [`Cover::bound`].
    pub fn multipliers(&self, run: usize) -> Multipliers {
        self.multipliers[self.owner[run] as usize]
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
