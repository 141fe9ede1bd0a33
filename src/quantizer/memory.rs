//! A tensor in memory, quantised: codes, grids and back.

use super::grid::{Grid, Ladder, Symmetry, WIDEST};
use super::{Granularity, Settings};
use crate::error::{Place, Result};

/// A quantised tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    columns: usize,
    unit: usize,
    codes: Vec<i32>,
    grids: Vec<Grid>,
    squared_error: f64,
    squared_norm: f64,
}

/// Quantises `values`, rows of `columns`, to `bits` (2 to 16) bits.
///
/// # Errors
/// Another width, rows that do not fill up, or a value that is not finite.
pub fn quantize(
    values: &[f32],
    columns: usize,
    bits: u32,
    granularity: Granularity,
    symmetry: Symmetry,
) -> Result<Quantized> {
    let place = || Place::file("weights");
    Settings::new(vec![bits], granularity, super::Scheme::Always(symmetry))?;
    if bits > WIDEST {
        return Err(place().error("32 bits are not codes", "give 2 to 16"));
    }
    if columns == 0 || !values.len().is_multiple_of(columns) {
        let problem = format!("{} values do not fill rows of {columns}", values.len());
        return Err(place().error(problem, "give whole rows"));
    }
    if let Some(at) = values.iter().position(|x| !x.is_finite()) {
        return Err(place().error(format!("element {at} is {}", values[at]), "weights must be finite numbers"));
    }
    let unit = match granularity {
        Granularity::Tensor => values.len().max(1),
        Granularity::Channel => columns,
        Granularity::Group(size) => size as usize,
    };
    let row = if granularity == Granularity::Tensor { unit } else { columns };
    let mut all =
        Quantized { columns: row, unit, codes: Vec::new(), grids: Vec::new(), squared_error: 0.0, squared_norm: 0.0 };
    all.codes.reserve_exact(values.len());
    let scratch = &mut Vec::new();
    for unit in values.chunks(row).flat_map(|row| row.chunks(unit)) {
        let ladder = Ladder::of(unit, symmetry, bits, scratch);
        let grid = ladder.grids[bits as usize - 2];
        all.codes.extend(unit.iter().map(|&x| grid.code(x)));
        all.grids.push(grid);
        all.squared_error += ladder.errors[bits as usize - 2];
        all.squared_norm += ladder.norm;
    }
    Ok(all)
}

impl Quantized {
    /// The codes, one for each weight.
    pub fn codes(&self) -> &[i32] {
        &self.codes
    }

    /// The grids, one for each unit, row after row.
    pub fn grids(&self) -> &[Grid] {
        &self.grids
    }

    /// Q_b(W).
    pub fn dequantize(&self) -> Vec<f32> {
        let units = self.codes.chunks(self.columns).flat_map(|row| row.chunks(self.unit));
        units.zip(&self.grids).flat_map(|(codes, grid)| codes.iter().map(|&code| grid.value(code))).collect()
    }

    /// Δ = ‖W − Q_b(W)‖_F / ‖W‖_F, 0 for a tensor of zeros.
    pub fn relative_error(&self) -> f64 {
        relative(self.squared_error, self.squared_norm)
    }
}

/// √(error / norm), where nothing of nothing is lost.
pub(super) fn relative(error: f64, norm: f64) -> f64 {
    if norm > 0.0 { libm::sqrt(error / norm) } else { 0.0 }
}
