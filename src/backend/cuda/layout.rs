//! The structures of `kernels/layout.h`, byte for byte; sizes and offsets are asserted on both sides.

use std::mem::{offset_of, size_of};

use bytemuck::{Pod, Zeroable};

use crate::rank::{COMPUTE, RESOURCES};
use crate::tree::LANES;

/// Addresses of the columns' first request at hand.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Columns {
    pub of: [u64; 5],
}

#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Buckets {
    pub least: u64,
    pub factor: f64,
    pub count: u32,
    pub unused: u32,
}

#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct PassArgs {
    pub columns: Columns,
    pub buckets: Buckets,
    pub base: u32,
    pub count: u32,
    pub chunk: u32,
    pub shared: u32,
    pub tags: u64,
}

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct ClassifyArgs {
    pub pass: PassArgs,
    pub cells: u64,
    pub listed: u64,
    pub whiten: [f64; 10],
    pub ends: [f64; 8],
    pub width: f64,
    pub taken_below: f64,
    pub price_error: f64,
}

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct SurveyArgs {
    pub pass: PassArgs,
    pub sums: u64,
    pub lambda: [f64; 16],
}

pub(super) const WANTED_CORE: u32 = 0;
pub(super) const WANTED_MEMBERS: u32 = 1;
pub(super) const WANTED_TAKEN: u32 = 2;
pub(super) const WANTED_PRICED: u32 = 3;

#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct ListArgs {
    pub pass: PassArgs,
    pub wanted: u32,
    pub offset: u32,
    pub least: u64,
    pub lambda: [f64; 4],
    pub most: f64,
    pub open: u64,
    pub listed: u64,
    pub index: u64,
    pub tag: u64,
    pub cost: u64,
    pub budget: u64,
}

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct PathGroup {
    pub entry: u32,
    pub len: u32,
    pub closes: u32,
    pub part_end: u32,
    pub rest: u32,
    pub next_need: u32,
    pub floor: u32,
    pub long_groups: u32,
}

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct PathItem {
    pub base: u32,
    pub end: u32,
    pub top: u32,
    pub unused: u32,
}

pub(super) const PATH_EMPTY: u32 = 1;
pub(super) const PATH_BATCH: u32 = 2;
pub(super) const PATH_OPEN: u32 = 3;
pub(super) const PATH_PAUSED: u32 = 4;

#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct PathResult {
    pub nodes: u64,
    pub paths: u64,
    pub end: u32,
    pub top: u32,
    pub direction: u32,
    pub unused: u32,
}

pub(super) const PATH_NONE: u32 = u32::MAX;
/// Bytes of a level of a walk.
pub(super) const PATH_LEVEL_BYTES: usize = 16 * 8;

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct PathArgs {
    pub left: [u64; RESOURCES],
    pub loss: [u64; LANES],
    pub limits: u64,
    pub first_limit: u64,
    pub groups: u64,
    pub entries: u64,
    pub order: u64,
    pub floors: u64,
    pub cheapest: u64,
    pub items: u64,
    pub places: u64,
    pub results: u64,
    pub ticket: u64,
    pub stack: u64,
    pub quota: u64,
    pub item_count: u32,
    pub levels: u32,
    pub directions: u32,
    pub need: u32,
}

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
pub(super) struct CellsArgs {
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

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct HeadLevel {
    pub entry: u32,
    pub len: u32,
    pub digit: u32,
    pub taken: u32,
    pub inverse: u64,
    pub unused: u64,
    pub before: [u64; RESOURCES],
}

pub(super) const TAIL_LEVELS: usize = 4;

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct ExhaustiveArgs {
    pub capacity: [u64; RESOURCES],
    pub levels: u64,
    pub entries: u64,
    pub found: u64,
    pub counts: u64,
    pub tail: u64,
    pub head_levels: u32,
    pub entry_count: u32,
    pub heads: u32,
    pub chunk: u32,
    pub need: u32,
    pub shared: u32,
    pub tail_entry: [u32; TAIL_LEVELS],
    pub tail_len: [u32; TAIL_LEVELS],
}

const _: () = {
    assert!(size_of::<HeadLevel>() == 64 && offset_of!(HeadLevel, before) == 32);
    assert!(size_of::<ExhaustiveArgs>() == 128 && offset_of!(ExhaustiveArgs, head_levels) == 72);
    assert!(offset_of!(ExhaustiveArgs, tail_entry) == 96);
};

const _: () = {
    assert!(size_of::<Columns>() == 40);
    assert!(size_of::<Buckets>() == 24 && offset_of!(Buckets, count) == 16);
    assert!(size_of::<PassArgs>() == 88 && offset_of!(PassArgs, base) == 64 && offset_of!(PassArgs, tags) == 80);
    assert!(size_of::<ClassifyArgs>() == 272 && offset_of!(ClassifyArgs, whiten) == 104);
    assert!(offset_of!(ClassifyArgs, width) == 248);
    assert!(size_of::<SurveyArgs>() == 224 && offset_of!(SurveyArgs, lambda) == 96);
    assert!(size_of::<ListArgs>() == 192 && offset_of!(ListArgs, most) == 136 && offset_of!(ListArgs, budget) == 184);
    assert!(size_of::<PathGroup>() == 32 && size_of::<PathItem>() == 16 && size_of::<PathResult>() == 32);
    assert!(size_of::<PathArgs>() == 216 && offset_of!(PathArgs, groups) == 112);
    assert!(offset_of!(PathArgs, quota) == 192 && offset_of!(PathArgs, need) == 212);
    assert!(size_of::<Cell>() == 40 && offset_of!(Cell, first) == 24 && offset_of!(Cell, batch) == 36);
    assert!(size_of::<CellMultipliers>() == 40 && size_of::<CellSpan>() == 8);
    assert!(offset_of!(CellResult, spans) == 28 && offset_of!(CellResult, span) == 32);
    assert!(offset_of!(CellResult, multipliers) == 32 + 8 * CELL_SPANS);
    assert!(size_of::<CellResult>() == 32 + 8 * CELL_SPANS + 40 * CELL_PROGRAMS);
    assert!(offset_of!(CellsArgs, columns) == 24 && offset_of!(CellsArgs, batches) == 64);
    assert!(offset_of!(CellsArgs, count) == 80 && offset_of!(CellsArgs, directions) == 96);
    assert!(size_of::<CellsArgs>() == 96 + 16 * CELL_DIRECTIONS);
};
