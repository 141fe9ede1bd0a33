//! One unit of weights (a group, a row or a tensor) and the grid of levels that loses least.
//!
//! In: the values of a unit. Out: a ladder, the grid and squared error at every width from 2 bits up. Clipping is
//! chosen by error: among clip ranges of 2^(−i/8) of the full one (each of its ends that much nearer to 0, or to the
//! mean where levels are asymmetric), that of the smallest squared error. A code of b bits can hold any of b − 1, so
//! the grid of a narrower width stands in where it happens to lose less; that makes "error never rises with bits" hold
//! to the last bit, and the result at a width independent of which others are asked for.
//!
//! Arithmetic is `f32` (squared errors are summed in `f64`, in a fixed order): units of a scale that squares could
//! leave are brought near 1 by a power of two first, which is exact.

/// The widest integer codes.
pub const WIDEST: u32 = 16;
const SCALE_BITS: u64 = 16;
pub(super) const OFFSET_BITS: u64 = 16;
/// Widths of a ladder: 2 to 16 bits.
pub(super) const WIDTHS: usize = WIDEST as usize - 1;
/// Clip ranges tried: 2^(−i/8) of the full one, down to 1/128.
pub(super) const CLIPS: usize = 57;
/// Adding and subtracting 1.5·2²³ rounds a number below 2²² to the nearest whole one, ties to even; unlike `round` it
/// needs no instruction that older processors lack.
const ROUND: f32 = 12_582_912.0;
const LANES: usize = 16;
const BLOCK: usize = 128;

/// How levels lie around zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symmetry {
    /// Levels −q to q times the step, q = 2^(b−1) − 1: zero is a level.
    Symmetric,
    /// 2^b levels from the lower end of the range up.
    Asymmetric,
}

impl Symmetry {
    /// By its name.
    pub fn named(name: &str) -> Option<Symmetry> {
        [Symmetry::Symmetric, Symmetry::Asymmetric].into_iter().find(|s| s.name() == name)
    }

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Symmetry::Symmetric => "symmetric",
            Symmetry::Asymmetric => "asymmetric",
        }
    }

    /// Bits that a unit takes beside its codes: a scale, and an offset where it has one.
    pub fn unit_bits(self) -> u64 {
        match self {
            Symmetry::Symmetric => SCALE_BITS,
            Symmetry::Asymmetric => SCALE_BITS + OFFSET_BITS,
        }
    }
}

/// Levels (offset + k·step)·2^exponent for whole k from `low` to `high`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Grid {
    pub(super) offset: f32,
    pub(super) step: f32,
    pub(super) low: f32,
    pub(super) high: f32,
    pub(super) exponent: i32,
}

impl Grid {
    pub(super) fn new(symmetry: Symmetry, bits: u32, range: Range, clip: f32, exponent: i32) -> Grid {
        match symmetry {
            Symmetry::Symmetric => {
                let most = ((1u32 << (bits - 1)) - 1) as f32;
                let step = clip * range.magnitude() / most;
                Grid { offset: 0.0, step, low: -most, high: most, exponent }
            }
            Symmetry::Asymmetric => {
                let most = ((1u32 << bits) - 1) as f32;
                let width = range.high - range.low;
                // The sum would round the lower end away.
                let inward = (1.0 - clip) * (range.centre - range.low);
                let offset = if clip == 1.0 { range.low } else { range.low + inward };
                Grid { offset, step: clip * width / most, low: 0.0, high: most, exponent }
            }
        }
    }

    fn inverse(&self) -> f32 {
        if self.step > 0.0 { 1.0 / self.step } else { 0.0 }
    }

    #[inline(always)]
    fn level_with(&self, x: f32, inverse: f32) -> f32 {
        let y = (x - self.offset) * inverse;
        let y = if y > self.high { self.high } else { y };
        let y = if y < self.low { self.low } else { y };
        (y + ROUND) - ROUND
    }

    /// The code of a weight: the number of its level.
    pub fn code(&self, weight: f32) -> i32 {
        self.level_with(scale(weight, -self.exponent), self.inverse()) as i32
    }

    /// The weight that a code stands for.
    pub fn value(&self, code: i32) -> f32 {
        // The end of the range may round to just beyond what an f32 holds.
        scale(self.offset + code as f32 * self.step, self.exponent).clamp(f32::MIN, f32::MAX)
    }

    /// The distance between levels.
    pub fn step(&self) -> f64 {
        f64::from(self.step) * power(self.exponent)
    }

    /// The smallest and the largest level.
    pub fn clip_range(&self) -> (f64, f64) {
        let end = |k: f32| f64::from(self.offset + k * self.step) * power(self.exponent);
        (end(self.low), end(self.high))
    }

    /// Replaces weights by what is lost of them.
    pub(super) fn lose(&self, weights: &mut [f32]) {
        let inverse = self.inverse();
        if self.exponent == 0 {
            for x in weights {
                *x -= self.offset + self.level_with(*x, inverse) * self.step;
            }
        } else {
            weights.iter_mut().for_each(|x| *x -= self.value(self.code(*x)));
        }
    }

    /// The squared error of scaled values, or something above `limit` once it is that.
    pub(super) fn squared_error(&self, values: &[f32], limit: f64) -> f64 {
        let inverse = self.inverse();
        blockwise(values, limit, |x| x - (self.offset + self.level_with(x, inverse) * self.step))
    }

    /// What is lost of one scaled value.
    pub(super) fn loss(&self, x: f32) -> f32 {
        x - (self.offset + self.level_with(x, self.inverse()) * self.step)
    }
}

/// Σ loss², in blocks whose order is fixed; stops above `limit`.
#[inline(always)]
fn blockwise(values: &[f32], limit: f64, loss: impl Fn(f32) -> f32) -> f64 {
    let mut total = 0.0;
    for block in values.chunks(BLOCK) {
        let mut lanes = [0f32; LANES];
        let (whole, rest) = block.as_chunks::<LANES>();
        for chunk in whole {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                let d = loss(x);
                *lane += d * d;
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(rest) {
            let d = loss(x);
            *lane += d * d;
        }
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
        }
        total += f64::from(lanes[0]);
        if total > limit {
            break;
        }
    }
    total
}

/// Σ x, in blocks whose order is fixed.
fn sum(values: &[f32]) -> f64 {
    let block = |block: &[f32]| {
        let mut lanes = [0f32; LANES];
        for chunk in block.chunks(LANES) {
            lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += x);
        }
        lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>()
    };
    values.chunks(BLOCK).map(block).sum()
}

/// The smallest and the largest of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) low: f32,
    pub(super) high: f32,
    /// What asymmetric clip ranges shrink to: the mean. In the middle of the range they would lose zero to a single
    /// outlier.
    pub(super) centre: f32,
}

impl Range {
    pub(super) const EMPTY: Range = Range { low: f32::INFINITY, high: f32::NEG_INFINITY, centre: 0.0 };

    pub(super) fn of(values: &[f32]) -> Range {
        let mut low = [f32::INFINITY; LANES];
        let mut high = [f32::NEG_INFINITY; LANES];
        let (whole, rest) = values.as_chunks::<LANES>();
        let mut take = |chunk: &[f32]| {
            for ((low, high), &x) in low.iter_mut().zip(&mut high).zip(chunk) {
                *low = if x < *low { x } else { *low };
                *high = if x > *high { x } else { *high };
            }
        };
        whole.iter().for_each(|chunk| take(chunk));
        take(rest);
        low.into_iter().zip(high).fold(Range::EMPTY, |range, (low, high)| range.with(Range { low, high, centre: 0.0 }))
    }

    pub(super) fn with(self, other: Range) -> Range {
        Range { low: self.low.min(other.low), high: self.high.max(other.high), ..self }
    }

    /// With this mean, which rounding may have put outside.
    pub(super) fn around(self, mean: f64) -> Range {
        Range { centre: (mean as f32).max(self.low).min(self.high), ..self }
    }

    pub(super) fn magnitude(self) -> f32 {
        self.high.max(-self.low)
    }

    /// The power of two to scale by, so that squares neither overflow nor vanish: 0 for ordinary weights.
    pub(super) fn exponent(self) -> i32 {
        let magnitude = f64::from(self.magnitude());
        // The range of nothing has no magnitude.
        if magnitude <= 0.0 || (1.0 / 16_777_216.0..=16_777_216.0).contains(&magnitude) {
            0
        } else {
            libm::ilogb(magnitude) + 1
        }
    }

    pub(super) fn scaled(self, exponent: i32) -> Range {
        Range { low: scale(self.low, -exponent), high: scale(self.high, -exponent), ..self }
    }
}

pub(super) fn power(exponent: i32) -> f64 {
    libm::ldexp(1.0, exponent)
}

pub(super) fn scale(x: f32, exponent: i32) -> f32 {
    if exponent == 0 { x } else { (f64::from(x) * power(exponent)) as f32 }
}

/// The clip ranges, largest first.
pub(super) fn clips() -> &'static [f32; CLIPS] {
    static CLIP: std::sync::OnceLock<[f32; CLIPS]> = std::sync::OnceLock::new();
    CLIP.get_or_init(|| std::array::from_fn(|i| libm::exp2(-(i as f64) / 8.0) as f32))
}

/// Grid and squared error of a unit at 2, 3, … bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ladder {
    pub(super) grids: [Grid; WIDTHS],
    pub(super) errors: [f64; WIDTHS],
    /// Σ w².
    pub(super) norm: f64,
}

impl Ladder {
    /// Of finite values, up to `widest` bits. `scratch` is working memory.
    pub(super) fn of(values: &[f32], symmetry: Symmetry, widest: u32, scratch: &mut Vec<f32>) -> Ladder {
        let range = Range::of(values);
        let exponent = range.exponent();
        let range = range.scaled(exponent);
        let values = if exponent == 0 {
            values
        } else {
            scratch.clear();
            scratch.extend(values.iter().map(|&x| scale(x, -exponent)));
            scratch
        };
        let range = match symmetry {
            Symmetry::Symmetric => range,
            Symmetry::Asymmetric => range.around(sum(values) / values.len().max(1) as f64),
        };
        let mut clipping = [f64::NAN; CLIPS];
        let lost_to_clipping = |i: usize, full: &Grid| {
            if clipping[i].is_nan() {
                clipping[i] = clipped(values, symmetry, range, clips()[i], full);
            }
            clipping[i]
        };
        let error = |grid: &Grid, limit| grid.squared_error(values, limit);
        let (grids, mut errors) = choose(symmetry, range, exponent, widest, lost_to_clipping, error);
        let square = power(2 * exponent);
        errors.iter_mut().for_each(|e| *e *= square);
        Ladder { grids, errors, norm: blockwise(values, f64::INFINITY, |x| x) * square }
    }
}

/// The search, for values that only `clipping` and `error` see. `clipping(i)` bounds the error of clip range `i` from
/// below at any width, and grows with `i`: nothing is searched beyond the first that it rules out.
pub(super) fn choose(
    symmetry: Symmetry,
    range: Range,
    exponent: i32,
    widest: u32,
    mut clipping: impl FnMut(usize, &Grid) -> f64,
    error: impl Fn(&Grid, f64) -> f64,
) -> ([Grid; WIDTHS], [f64; WIDTHS]) {
    let mut grids = [Grid::default(); WIDTHS];
    let mut errors = [0.0; WIDTHS];
    let mut best = (f64::INFINITY, Grid::default());
    for bits in 2..=WIDEST {
        if bits <= widest {
            for (i, &clip) in clips().iter().enumerate() {
                let grid = Grid::new(symmetry, bits, range, clip, exponent);
                // The slack covers rounding of both sums.
                if i > 0 && (best.0 == 0.0 || clipping(i, &grid) * (1.0 - 1e-5) > best.0) {
                    break;
                }
                let found = error(&grid, best.0);
                if found < best.0 {
                    best = (found, grid);
                }
            }
        }
        (errors[bits as usize - 2], grids[bits as usize - 2]) = best;
    }
    (grids, errors)
}

/// What lies outside a clip range, squared: no grid in it loses less.
fn clipped(values: &[f32], symmetry: Symmetry, range: Range, clip: f32, grid: &Grid) -> f64 {
    let (low, high) = clip_ends(symmetry, range, clip, grid);
    blockwise(values, f64::INFINITY, |x| {
        let above = x - high;
        let below = low - x;
        let out = if above > below { above } else { below };
        if out > 0.0 { out } else { 0.0 }
    })
}

pub(super) fn clip_ends(symmetry: Symmetry, range: Range, clip: f32, grid: &Grid) -> (f32, f32) {
    match symmetry {
        Symmetry::Symmetric => (-clip * range.magnitude(), clip * range.magnitude()),
        Symmetry::Asymmetric => (grid.offset, grid.offset + clip * (range.high - range.low)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(values: &[f32], symmetry: Symmetry) -> Ladder {
        Ladder::of(values, symmetry, WIDEST, &mut Vec::new())
    }

    #[test]
    fn extreme_values_do_no_harm() {
        for symmetry in [Symmetry::Symmetric, Symmetry::Asymmetric] {
            for values in [
                vec![0.0; 7],
                vec![-3.25; 200],
                vec![1e30, -1e30, 3e29, 0.0],
                vec![f32::MAX, f32::MIN],
                vec![1e-45, 4e-45, -1e-42],
                vec![f32::MIN_POSITIVE; 3],
                vec![1.0],
                vec![],
            ] {
                let ladder = ladder(&values, symmetry);
                assert!(ladder.errors.iter().all(|e| e.is_finite()) && ladder.errors.is_sorted_by(|a, b| a >= b));
                assert!(ladder.errors[0] <= ladder.norm * (1.0 + 1e-6), "{values:?}: {:?}", ladder.errors);
                let constant = values.iter().all(|x| *x == values[0]);
                assert!(!constant || ladder.errors[0] <= 1e-13 * ladder.norm, "{values:?} {:?}", ladder.errors);
                for grid in &ladder.grids {
                    assert!(values.iter().all(|&x| grid.value(grid.code(x)).is_finite()), "{values:?}");
                }
            }
        }
    }
}
