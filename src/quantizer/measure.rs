//! What a tensor loses at every width, streamed.
//!
//! In: a tensor of a [`Source`]. Out: squared errors and norms. A tensor is cut into pieces of whole units, always the
//! same; pieces are worked on in parallel and summed in pairs, in their order.

use rayon::prelude::*;

use super::calibration::Activations;
use super::grid::{Grid, Ladder, Symmetry, WIDTHS, power, scale};
use super::long::{self, LONGEST};
use super::source::{Source, read_finite};
use super::{Dtype, Granularity};
use crate::error::Result;

/// Elements of a piece, about: small enough for a processor's cache.
const PIECE: u64 = 1 << 16;
/// Rows of a matrix by which symmetry is chosen.
const SAMPLED_ROWS: u64 = 64;
/// The width at which symmetry is chosen.
pub(super) const CHOICE_BITS: u32 = 4;
/// What a row contributes to the choice, at most: elements.
const SAMPLED_COLUMNS: u64 = 1 << 13;

/// Squared errors and norms, of weights and, where activations are given, of outputs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) errors: [f64; WIDTHS],
    pub(super) norm: f64,
    pub(super) output_errors: [f64; WIDTHS],
    pub(super) output_norm: f64,
}

impl Sums {
    pub(super) fn add(&mut self, other: &Sums) {
        let pairs = self.errors.iter_mut().chain(&mut self.output_errors);
        pairs.zip(other.errors.iter().chain(&other.output_errors)).for_each(|(a, b)| *a += b);
        self.norm += other.norm;
        self.output_norm += other.output_norm;
    }

    fn in_pairs(all: &[Sums]) -> Sums {
        match all {
            [] => Sums::default(),
            [one] => *one,
            _ => {
                let (left, right) = all.split_at(all.len().div_ceil(2));
                let mut sum = Sums::in_pairs(left);
                sum.add(&Sums::in_pairs(right));
                sum
            }
        }
    }
}

/// What is asked of a tensor.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) granularity: Granularity,
    pub(super) symmetry: Symmetry,
    /// Widths, ascending.
    pub(super) bits: &'a [u32],
    pub(super) activations: Option<&'a Activations>,
}

impl Ask<'_> {
    /// The widest codes that a tensor of this type needs.
    fn widest(&self, dtype: Dtype) -> u32 {
        self.bits.iter().rev().find(|&&bits| dtype.has_codes(bits)).copied().unwrap_or(0)
    }
}

/// The pieces of a tensor, by number: whole rows, or whole units of a long row.
#[derive(Clone, Copy)]
struct Cut {
    row: u64,
    rows: u64,
    /// Rows of a piece; 0 where a row is several pieces.
    rows_each: u64,
}

impl Cut {
    fn new(elements: u64, row: u64) -> Cut {
        let row = row.max(1);
        Cut { row, rows: elements / row, rows_each: if row > LONGEST { 0 } else { (PIECE / row).max(1) } }
    }

    fn count(&self) -> u64 {
        match self.rows_each {
            0 => self.rows * self.row.div_ceil(LONGEST),
            each => self.rows.div_ceil(each),
        }
    }

    /// Start and length of a piece.
    fn piece(&self, i: u64) -> (u64, u64) {
        match self.rows_each {
            0 => {
                let each = self.row.div_ceil(LONGEST);
                let (row, part) = (i / each, i % each * LONGEST);
                (row * self.row + part, LONGEST.min(self.row - part))
            }
            each => (i * each * self.row, each.min(self.rows - i * each) * self.row),
        }
    }
}

/// The first error, not that of the fastest thread.
fn in_order<T>(all: Vec<Result<T>>) -> Result<Vec<T>> {
    all.into_iter().collect()
}

/// Measures one matrix.
pub(super) fn measure(source: &dyn Source, tensor: usize, ask: &Ask) -> Result<Sums> {
    let t = &source.tensors()[tensor];
    let (elements, columns) = (t.elements(), t.columns());
    let widest = ask.widest(t.dtype);
    let unit = match ask.granularity {
        Granularity::Tensor => elements,
        Granularity::Channel => columns,
        Granularity::Group(size) => u64::from(size).min(columns),
    };
    // A tensor that fits is one piece and one unit, unless outputs are asked for, whose pieces are rows.
    let whole = unit == elements && elements <= LONGEST && ask.activations.is_none();
    let cut = Cut::new(elements, if whole { elements } else { columns });
    let spans: Vec<(u64, u64)> = match ask.granularity {
        _ if widest == 0 || whole => Vec::new(),
        Granularity::Tensor => vec![(0, elements)],
        Granularity::Channel if columns > LONGEST => (0..cut.rows).map(|r| (r * columns, columns)).collect(),
        _ => Vec::new(),
    };
    let mut given = Vec::with_capacity(spans.len());
    for span in spans {
        given.push(long::grids(source, tensor, span, ask.symmetry, widest)?);
    }
    let work = |i: u64| -> Result<Sums> {
        let (start, length) = cut.piece(i);
        let mut values = vec![0.0; length as usize];
        read_finite(source, tensor, start, &mut values)?;
        let mut piece = Piece { ask, widest, unit, sums: Sums::default(), scratch: Vec::new() };
        for (row, part) in values.chunks(cut.row as usize).enumerate() {
            let given = match given.len() {
                0 => None,
                1 => Some(&given[0]),
                _ => Some(&given[(start / columns) as usize + row]),
            };
            piece.row(part, given);
        }
        Ok(piece.sums)
    };
    let mut sums = Sums::in_pairs(&in_order((0..cut.count()).into_par_iter().map(work).collect())?);
    // Grids chosen on a histogram may lose a little more than those of a narrower width, which would do as well.
    for i in 1..WIDTHS {
        sums.errors[i] = sums.errors[i].min(sums.errors[i - 1]);
    }
    if t.dtype != Dtype::F32 {
        (sums.errors[WIDTHS - 1], sums.output_errors[WIDTHS - 1]) = (0.0, 0.0);
    }
    Ok(sums)
}

/// Work on one piece.
struct Piece<'a> {
    ask: &'a Ask<'a>,
    widest: u32,
    unit: u64,
    sums: Sums,
    scratch: Vec<f32>,
}

impl Piece<'_> {
    /// A row or a part of one, with its grids where they are known.
    fn row(&mut self, row: &[f32], given: Option<&[Grid; WIDTHS]>) {
        let size = (self.unit.min(row.len() as u64) as usize).max(1);
        let mut grids = Vec::new();
        for unit in row.chunks(size) {
            let ladder = match given {
                _ if self.widest == 0 => norm_only(unit),
                Some(grids) => errors_of(unit, grids, self.widest, &mut self.scratch),
                None => Ladder::of(unit, self.ask.symmetry, self.widest, &mut self.scratch),
            };
            self.sums.norm += ladder.norm;
            self.sums.errors.iter_mut().zip(ladder.errors).for_each(|(sum, e)| *sum += e);
            if self.ask.activations.is_some() {
                grids.push(ladder.grids);
            }
        }
        let Some(activations) = self.ask.activations else { return };
        self.sums.output_norm += activations.squared_output(row);
        for &bits in self.ask.bits.iter().filter(|&&b| b <= self.widest) {
            let at = bits as usize - 2;
            self.scratch.clear();
            self.scratch.extend_from_slice(row);
            self.scratch.chunks_mut(size).zip(&grids).for_each(|(unit, grids)| grids[at].lose(unit));
            self.sums.output_errors[at] += activations.squared_output(&self.scratch);
        }
    }
}

fn norm_only(unit: &[f32]) -> Ladder {
    let norm = unit.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    Ladder { grids: [Grid::default(); WIDTHS], errors: [0.0; WIDTHS], norm }
}

fn errors_of(unit: &[f32], grids: &[Grid; WIDTHS], widest: u32, scratch: &mut Vec<f32>) -> Ladder {
    let mut ladder = Ladder { grids: *grids, ..norm_only(unit) };
    scratch.clear();
    scratch.extend(unit.iter().map(|&x| scale(x, -grids[0].exponent)));
    for (error, grid) in ladder.errors.iter_mut().zip(grids).take(widest as usize - 1) {
        *error = grid.squared_error(scratch, f64::INFINITY) * power(2 * grid.exponent);
    }
    ladder
}

/// Squared error at the width of the choice, symmetric and asymmetric, on some rows cut into channels or groups.
pub(super) fn sample(source: &dyn Source, tensor: usize, granularity: Granularity) -> Result<[f64; 2]> {
    let t = &source.tensors()[tensor];
    let (rows, columns) = (t.elements() / t.columns().max(1), t.columns());
    let each = columns.min(SAMPLED_COLUMNS) as usize;
    let sampled = rows.min(SAMPLED_ROWS);
    let mut values = vec![0.0; each * sampled as usize];
    for (i, row) in values.chunks_mut(each.max(1)).enumerate() {
        source.read(tensor, (u128::from(rows) * i as u128 / u128::from(sampled)) as u64 * columns, row)?;
    }
    // What is not finite is found, and named, where everything is read.
    values.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
    let unit = if let Granularity::Group(size) = granularity { size as usize } else { each };
    let scratch = &mut Vec::new();
    let mut error = |symmetry| -> f64 {
        let units = values.chunks(each.max(1)).flat_map(|row| row.chunks(unit.max(1)));
        units.map(|unit| Ladder::of(unit, symmetry, CHOICE_BITS, scratch).errors[CHOICE_BITS as usize - 2]).sum()
    };
    Ok([error(Symmetry::Symmetric), error(Symmetry::Asymmetric)])
}
