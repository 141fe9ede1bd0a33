//! Units too long to be held: a tensor, or a row of millions.
//!
//! In: a stretch of a tensor. Out: the grids of its ladder, from its range and a histogram. Values are taken for the
//! middle of their bin; where levels are closer than that tells apart, the error inside the clip range is step²/12
//! each.

use rayon::prelude::*;

use super::grid::{Grid, Range, Symmetry, WIDTHS, choose, clip_ends, clips, scale};
use super::source::{Source, read_finite};
use crate::error::{Error, Result};

/// The longest unit that is held at once, elements.
pub(super) const LONGEST: u64 = 1 << 20;
const PIECE: u64 = 1 << 18;
const BINS: usize = 1 << 16;

/// The grids of elements `start` to `start + length` as one unit.
pub(super) fn grids(
    source: &dyn Source,
    tensor: usize,
    (start, length): (u64, u64),
    symmetry: Symmetry,
    widest: u32,
) -> Result<[Grid; WIDTHS]> {
    let range = |piece: u64| {
        let at = piece * PIECE;
        let mut values = vec![0.0; PIECE.min(length - at) as usize];
        read_finite(source, tensor, start + at, &mut values)?;
        Ok(Range::of(&values))
    };
    // The first error, not that of the fastest thread.
    let ranges: Vec<Result<Range>> = (0..length.div_ceil(PIECE)).into_par_iter().map(range).collect();
    let range = ranges.into_iter().try_fold(Range::EMPTY, |all, range| Ok::<_, Error>(all.with(range?)))?;
    let exponent = range.exponent();
    let scaled = range.scaled(exponent);
    let width = scaled.high - scaled.low;
    let per_unit = if width > 0.0 { BINS as f32 / width } else { 0.0 };
    let count = |mut total: Vec<u64>, piece: u64| {
        let at = piece * PIECE;
        let mut values = vec![0.0; PIECE.min(length - at) as usize];
        source.read(tensor, start + at, &mut values)?;
        for x in values {
            let bin = ((scale(x, -exponent) - scaled.low) * per_unit) as usize;
            total[bin.min(BINS - 1)] += 1;
        }
        Ok::<_, Error>(total)
    };
    let none = || vec![0u64; BINS];
    // Whole numbers: any order of adding them up gives the same.
    let total = (0..length.div_ceil(PIECE)).into_par_iter().try_fold(none, count).try_reduce(none, |mut a, b| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        Ok(a)
    })?;
    let middle = |i: usize| if width > 0.0 { scaled.low + (i as f32 + 0.5) / per_unit } else { scaled.low };
    let bins: Vec<(f32, f64)> =
        total.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, &n)| (middle(i), n as f64)).collect();
    let mean = bins.iter().map(|&(x, n)| f64::from(x) * n).sum::<f64>() / length as f64;
    let scaled = scaled.around(mean);
    let sum = |loss: &dyn Fn(f32) -> f32| -> f64 {
        bins.iter().map(|&(x, n)| n * f64::from(loss(x)) * f64::from(loss(x))).sum()
    };
    let outside = |clip: f32, grid: &Grid| {
        let (low, high) = clip_ends(symmetry, scaled, clip, grid);
        sum(&|x| (x - high).max(low - x).max(0.0))
    };
    let fine = 8.0 * width / BINS as f32;
    let error = |grid: &Grid, _limit| {
        if grid.step < fine {
            let span = grid.step * grid.high;
            let clip = match symmetry {
                Symmetry::Symmetric => span / scaled.magnitude(),
                Symmetry::Asymmetric => span / width,
            };
            outside(clip, grid) + length as f64 * f64::from(grid.step) * f64::from(grid.step) / 12.0
        } else {
            sum(&|x| grid.loss(x))
        }
    };
    Ok(choose(symmetry, scaled, exponent, widest, |i, grid| outside(clips()[i], grid), error).0)
}
