//! The structures of `kernels/layout.h`, byte for byte; sizes and offsets are asserted on both sides.

use std::mem::{offset_of, size_of};

use bytemuck::{Pod, Zeroable};

use crate::rank::RESOURCES;
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
};
