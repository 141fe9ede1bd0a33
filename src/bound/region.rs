//! Multipliers near those of a sample, and what becomes of a request for all of them at once.

use super::Multipliers;
use super::simplex::{Column, dot};
use crate::rank::RESOURCES;

/// Multipliers near a center, in coordinates in which all directions count alike.
///
/// Resources may be nearly proportional to each other (KV tokens and compute, say), and then the best prices of each
/// alone are ill-defined although the price of every request is well-defined. So distance is measured by what it does
/// to prices: with Σ a aᵀ = L Lᵀ over typical requests, y = L⁻¹ a and c = Lᵀ λ, λ·a = c·y, and the y of typical
/// requests have unit variance in all directions. The region is all that is within a cube |c' − c| ≤ width of the line
/// between two λ: one on either side of the best deadline, where often the memory binds before it and the deadline
/// after it. There the price of a request stays within width·Σ|y| of those at the ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Region {
    /// L⁻¹, lower triangular, for costs in their own units.
    pub whiten: [Column; RESOURCES],
    /// Lᵀ, upper triangular, for λ per unit.
    color: [Column; RESOURCES],
    pub ends: [Column; 2],
    pub width: f64,
}

/// Float prices near 1 are this exact and more. Costs are in units of their mean, and 10⁻⁹ on the diagonal of Σ a aᵀ
/// keeps
/// |L⁻¹| below 3.2·10⁴; so for a request of a price near 1 sums of four products err by less than 10⁻¹⁵·10⁵. What
/// coordinates of λ err, 10⁻¹² of it, counts times Σ|y|, and is far below the reach, width·Σ|y|, as long as the width
/// is not tiny ([`Region::MIN_WIDTH`]).
pub(crate) const PRICE_ERROR: f64 = 1e-8;

impl Region {
    /// See [`PRICE_ERROR`].
    const MIN_WIDTH: f64 = 1e-6;

    /// Within `width` of the line between two λ, as the prices of `costs` see it.
    pub fn between(ends: [Column; 2], width: f64, costs: &[[u64; RESOURCES]]) -> Self {
        // Requests of an ordinary price are typical.
        let real = |cost: &[u64; RESOURCES]| cost.map(|c| c as f64);
        let typical = || costs.iter().map(real).filter(|a| dot(a, &ends[0]) < 2.0);
        let mut mean = [0.0; RESOURCES];
        let mut count = 0.0;
        for a in typical() {
            (0..RESOURCES).for_each(|r| mean[r] += a[r]);
            count += 1.0;
        }
        let unit = mean.map(|sum| if sum > 0.0 { count / sum } else { 1.0 });
        let mut moment = [[0.0; RESOURCES]; RESOURCES];
        for a in typical() {
            for i in 0..RESOURCES {
                (0..=i).for_each(|j| moment[i][j] += a[i] * unit[i] * a[j] * unit[j] / count);
            }
        }
        (0..RESOURCES).for_each(|r| moment[r][r] = moment[r][r] * (1.0 + 1e-9) + 1e-9);
        // Cholesky, then the inverse of the triangle by columns.
        let mut l = [[0.0; RESOURCES]; RESOURCES];
        for i in 0..RESOURCES {
            for j in 0..=i {
                let rest: f64 = moment[i][j] - (0..j).map(|k| l[i][k] * l[j][k]).sum::<f64>();
                l[i][j] = if i == j { rest.max(1e-10).sqrt() } else { rest / l[j][j] };
            }
        }
        let mut inverse = [[0.0; RESOURCES]; RESOURCES];
        for j in 0..RESOURCES {
            inverse[j][j] = 1.0 / l[j][j];
            for i in j + 1..RESOURCES {
                inverse[i][j] = -(j..i).map(|k| l[i][k] * inverse[k][j]).sum::<f64>() / l[i][i];
            }
        }
        let width = width.max(Region::MIN_WIDTH);
        let mut region = Region {
            whiten: std::array::from_fn(|i| std::array::from_fn(|r| inverse[i][r] * unit[r])),
            color: std::array::from_fn(|j| std::array::from_fn(|r| l[r][j] / unit[r])),
            ends,
            width,
        };
        region.ends = ends.map(|lambda| region.coordinates(&lambda));
        region
    }

    fn coordinates(&self, lambda: &Column) -> Column {
        self.color.map(|row| dot(&row, lambda))
    }

    /// Whether λ is inside.
    pub fn holds(&self, m: &Multipliers) -> bool {
        let c = self.coordinates(&m.to_real());
        let width = self.width * (1.0 - 1e-9);
        // The part of the line, from 0 to 1, that is near enough in every coordinate.
        let (mut from, mut to) = (0.0f64, 1.0f64);
        for ((c, first), second) in c.iter().zip(self.ends[0]).zip(self.ends[1]) {
            let (start, run) = (c - first, second - first);
            if run == 0.0 {
                if start.abs() > width {
                    return false;
                }
            } else {
                let (a, b) = ((start - width) / run, (start + width) / run);
                from = from.max(a.min(b));
                to = to.min(a.max(b));
            }
        }
        from <= to
    }

    /// Whether a request is taken, left, or neither for every λ inside.
    #[inline]
    pub(super) fn fate(&self, a: &Column) -> u16 {
        let w = &self.whiten;
        let y = [
            w[0][0] * a[0],
            w[1][0] * a[0] + w[1][1] * a[1],
            w[2][0] * a[0] + w[2][1] * a[1] + w[2][2] * a[2],
            dot(&w[3], a),
        ];
        let prices = [dot(&self.ends[0], &y), dot(&self.ends[1], &y)];
        let (least, most) = (prices[0].min(prices[1]), prices[0].max(prices[1]));
        let reach = self.width * (y[0].abs() + y[1].abs() + y[2].abs() + y[3].abs());
        if most + reach <= 1.0 - PRICE_ERROR {
            TAKEN
        } else if least - reach >= 1.0 + PRICE_ERROR * (1.0 + most) {
            LEFT
        } else {
            CORE
        }
    }
}

/// What becomes of a request near λ: the two low bits of its tag.
pub(super) const LEFT: u16 = 0;
pub(super) const TAKEN: u16 = 1;
pub(super) const CORE: u16 = 2;
pub(crate) const FATE: u16 = 3;
