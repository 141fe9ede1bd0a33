//! The structures of `kernels/layout.h`, byte for byte.

use std::mem::{offset_of, size_of};

use bytemuck::{Pod, Zeroable};

use crate::rank::{COMPUTE, RESOURCES};

/// An instance has at most so many rows.
pub(super) const CELL_ROWS: usize = 2048;
/// Linear programs of a cell, with λ = 0 as the first, and spans of its certificate.
pub(super) const CELL_PROGRAMS: usize = 64;
pub(super) const CELL_SPANS: usize = 128;
/// Directions in which the bands are looked at.
pub(super) const CELL_DIRECTIONS: usize = 33;
/// Bytes of working memory for each row of the largest cell, and of a block besides.
pub(super) const CELL_ROW_BYTES: usize = 53;
pub(super) const CELL_LEAF_BYTES: usize = 147_456;

/// An instance.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct Cell {
    /// Capacities of uplink, downlink and KV tokens.
    pub capacity: [u64; COMPUTE],
    /// Its first row in the columns, and their number.
    pub first: u64,
    pub rows: u32,
    /// The word of the batches at which its own begins.
    pub batch: u32,
}

/// λ.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct CellMultipliers {
    pub lambda: [u64; RESOURCES],
    pub one_bits: u64,
}

/// Deadlines first..=last: covered by the λ of a linear program, or searched with its help.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct CellSpan {
    pub first: u16,
    pub last: u16,
    pub program: u16,
    pub searched: u16,
}

/// What is found for a cell.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct CellResult {
    /// 1 if it was solved; else it is the host's, and nothing else here is meant.
    pub solved: u32,
    pub size: u32,
    pub bound_passes: u32,
    pub subproblems: u32,
    pub nodes: u32,
    pub paths_checked: u32,
    pub paths_open: u32,
    pub spans: u32,
    pub span: [CellSpan; CELL_SPANS],
    pub multipliers: [CellMultipliers; CELL_PROGRAMS],
}

/// The arguments of `cells`; addresses are those of the device.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct CellsArgs {
    /// `u32`: the number of the next cell, 0 at first.
    pub ticket: u64,
    /// [`Cell`] and [`CellResult`], for each cell.
    pub cells: u64,
    pub results: u64,
    /// `u64` for each row of all cells: uplink, downlink, KV tokens, compute, budget.
    pub columns: [u64; 5],
    /// `u32`: bits, 32 rows to a word; each cell begins a word.
    pub batches: u64,
    /// Working memory.
    pub scratch: u64,
    pub count: u32,
    /// The rows of the largest cell, as a multiple of 64.
    pub most: u32,
    /// Whether the working memory of rows is dynamic shared memory.
    pub shared: u32,
    pub unused: u32,
    /// Cosine and sine of each direction.
    pub directions: [[f64; 2]; CELL_DIRECTIONS],
}

const _: () = {
    assert!(size_of::<Cell>() == 40 && offset_of!(Cell, first) == 24 && offset_of!(Cell, batch) == 36);
    assert!(size_of::<CellMultipliers>() == 40 && size_of::<CellSpan>() == 8);
    assert!(offset_of!(CellResult, spans) == 28 && offset_of!(CellResult, span) == 32);
    assert!(offset_of!(CellResult, multipliers) == 32 + 8 * CELL_SPANS);
    assert!(size_of::<CellResult>() == 32 + 8 * CELL_SPANS + 40 * CELL_PROGRAMS);
    assert!(offset_of!(CellsArgs, columns) == 24 && offset_of!(CellsArgs, batches) == 64);
    assert!(offset_of!(CellsArgs, count) == 80 && offset_of!(CellsArgs, directions) == 96);
    assert!(size_of::<CellsArgs>() == 96 + 16 * CELL_DIRECTIONS);
};
