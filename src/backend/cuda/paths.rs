//! The path check on a device (`kernels/paths.cu`): rounds of launches over pieces of the tree.
//!
//! The items of the driver become *pieces*: a prefix of places and an interval of places at the next level. In a round
//! every piece is walked by a tile of threads until it is settled or has walked its quota of nodes. What is left of one
//! that pauses is again pieces, one for each level that it stood at, deepest first: in that order they hold its paths
//! in theirs, and nodes are counted once. So a few large items become thousands of pieces in as many rounds as it takes
//! to fill the device, and none is left over when the others are done. Between rounds the host looks at the clock, and
//! settles paths that no direction does, which are rare.

use bytemuck::{bytes_of, cast_slice, cast_slice_mut};

use super::device::{Device, Shape, Slot};
use super::layout::{
    PATH_BATCH, PATH_EMPTY, PATH_LEVEL_BYTES, PATH_NONE, PATH_OPEN, PATH_PAUSED, PathArgs, PathGroup, PathItem,
    PathResult,
};
use crate::device::Fault;
use crate::search::Clock;
use crate::tree::{Item, Tree, Walk, Walked};

/// Threads of a block.
const BLOCK: u32 = 128;
/// Blocks for each multiprocessor.
const BLOCKS: u32 = 4;
/// Counts of a group, on average, up to which tiles are of 8 threads and not of 32.
const FEW_COUNTS: usize = 12;
/// How pieces are walked. The result does not depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Nodes that a piece walks in the first round; twice as many in each further one, up to the last number.
    pub first_quota: u64,
    pub last_quota: u64,
    /// Pieces for each tile of the device, below which those that pause are cut.
    pub pieces: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { first_quota: 1 << 9, last_quota: 1 << 14, pieces: 4 }
    }
}

/// What is on the device for path checks. Memory is reused from one tree to the next.
#[derive(Debug, Default)]
pub(super) struct Paths {
    pub pace: Pace,
    tree: Slot,
    pieces: Slot,
    ticket: Slot,
    stack: Slot,
}

/// Part of a tree: below the places of the first levels, from a place of the level `top` on; at the level `base` up to
/// the place `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    base: u32,
    end: u32,
    places: Vec<u32>,
}

impl Piece {
    fn top(&self) -> usize {
        self.places.len() - 1
    }
}

/// What became of a part of the tree; in the order of its paths.
#[derive(Debug, Clone)]
enum State {
    Open(Piece),
    Done(Walk),
    Batch(Vec<u32>, Walk),
}

/// Addresses of the tables of a tree on the device.
#[derive(Debug, Clone, Copy)]
struct Tables {
    groups: u64,
    entries: u64,
    order: u64,
    floors: u64,
    cheapest: u64,
    limits: u64,
}

impl Paths {
    /// As [`Backend::walk`](crate::backend::Backend::walk).
    pub fn walk(
        &mut self,
        device: &dyn Device,
        tree: &Tree,
        items: &[Item],
        clock: &Clock,
    ) -> Result<(Walked, Walk), Fault> {
        let levels = tree.levels();
        let mut states = Vec::with_capacity(items.len());
        for item in items {
            if item.counts().len() < levels {
                states.push(State::Open(whole(tree, item)));
                continue;
            }
            // A complete path: no tile is needed for it.
            let mut walk = Walk::default();
            match tree.walk(item, &mut walk, |_| false) {
                Walked::Batch(rows) => {
                    states.push(State::Batch(rows, walk));
                    break;
                }
                Walked::Empty | Walked::Stopped => states.push(State::Done(walk)),
            }
        }
        let tables = self.upload(device, tree)?;
        let counts: usize = tree.groups.iter().map(|group| group.len as usize + 1).sum();
        let tile = if counts <= FEW_COUNTS * levels { 8 } else { 32 };
        let tiles = (device.facts().multiprocessors * BLOCKS * BLOCK / tile) as usize;
        let mut quota = self.pace.first_quota;
        loop {
            let open: Vec<usize> = (0..states.len()).filter(|&at| matches!(states[at], State::Open(_))).collect();
            if open.is_empty() {
                return Ok(finish(&states, Walked::Empty));
            }
            if clock.over() {
                return Ok(finish(&states, Walked::Stopped));
            }
            let pieces: Vec<&Piece> = open
                .iter()
                .filter_map(|&at| match &states[at] {
                    State::Open(piece) => Some(piece),
                    _ => None,
                })
                .collect();
            let (results, places) = self.round(device, tree, &tables, tile, quota, &pieces)?;
            let cut = open.len() < self.pace.pieces * tiles;
            let mut next = Vec::with_capacity(states.len() + open.len());
            let mut read = results.iter().zip(places.chunks_exact(levels));
            for state in states {
                let State::Open(piece) = state else {
                    next.push(state);
                    continue;
                };
                let Some((result, places)) = read.next() else { break };
                let mut walk = Walk { nodes: result.nodes, paths: result.paths, open: 0 };
                let top = result.top as usize;
                match result.end {
                    PATH_EMPTY => next.push(State::Done(walk)),
                    PATH_BATCH => {
                        let rows = tree.rows(&counts_at(tree, &taken(places, top)), result.direction as usize);
                        next.push(State::Batch(rows, walk));
                        break;
                    }
                    PATH_OPEN => {
                        let mut stop = |nodes: u64| nodes.is_multiple_of(1024) && clock.over();
                        match tree.settle(&counts_at(tree, &taken(places, top)), &mut walk, &mut stop) {
                            Some(Walked::Batch(rows)) => {
                                next.push(State::Batch(rows, walk));
                                break;
                            }
                            Some(_) => {
                                next.push(State::Done(walk));
                                return Ok(finish(&next, Walked::Stopped));
                            }
                            None => next.push(State::Done(walk)),
                        }
                        // It goes on after that path.
                        next.push(State::Open(Piece { places: places[..=top].to_vec(), ..piece }));
                    }
                    PATH_PAUSED => {
                        next.push(State::Done(walk));
                        let rest = Piece { places: places[..=top].to_vec(), ..piece };
                        if cut {
                            pieces_of(tree, &rest, |piece| next.push(State::Open(piece)));
                        } else {
                            next.push(State::Open(rest));
                        }
                    }
                    // Given up, because a piece before it holds a batch: then this is not reached.
                    end => {
                        let detail = format!("a piece of a tree ended with {end}");
                        return Err(Fault::Failed { operation: "check paths".to_string(), detail });
                    }
                }
            }
            states = merged(next);
            quota = (2 * quota).min(self.pace.last_quota);
        }
    }

    /// Brings a tree to the device.
    fn upload(&mut self, device: &dyn Device, tree: &Tree) -> Result<Tables, Fault> {
        let groups: Vec<PathGroup> = (0..tree.levels()).map(|k| path_group(tree, k)).collect();
        let entries: Vec<u64> = tree.entries.iter().flat_map(|e| e.loss.into_iter().chain(e.cost)).collect();
        let floors: Vec<u64> = tree.floors.iter().flat_map(|f| [f.loss].into_iter().chain(f.cost)).collect();
        let (mut cheapest, mut limits) = (Vec::new(), Vec::new());
        if let Some(radio) = &tree.radio {
            // Directions next to each other: threads look at one each.
            let tables: Vec<_> = (0..radio.limits.len()).map(|direction| radio.table(tree, direction)).collect();
            for entry in 0..tree.entries.len() {
                let of_entry = tables.iter().map(|table| table[entry]);
                cheapest.extend(of_entry.flat_map(|c| [c.price, c.bands[0], c.bands[1]]));
            }
            limits.extend_from_slice(&radio.limits);
        }
        let parts: [&[u8]; 6] = [
            cast_slice(&groups),
            cast_slice(&entries),
            cast_slice(&tree.order),
            cast_slice(&floors),
            cast_slice(&cheapest),
            cast_slice(&limits),
        ];
        let bytes = parts.iter().map(|part| part.len().next_multiple_of(16)).sum();
        let memory = self.tree.reserve(device, bytes, "the tables of a tree")?;
        let mut at = 0;
        let mut addresses = [0; 6];
        for (part, address) in parts.iter().zip(&mut addresses) {
            *address = memory.address() + at as u64;
            device.upload(memory, at, part, None)?;
            at += part.len().next_multiple_of(16);
        }
        let [groups, entries, order, floors, cheapest, limits] = addresses;
        Ok(Tables { groups, entries, order, floors, cheapest, limits })
    }

    /// Walks every piece for a while.
    fn round(
        &mut self,
        device: &dyn Device,
        tree: &Tree,
        tables: &Tables,
        tile: u32,
        quota: u64,
        pieces: &[&Piece],
    ) -> Result<(Vec<PathResult>, Vec<u32>), Fault> {
        let levels = tree.levels();
        let items: Vec<PathItem> = pieces
            .iter()
            .map(|piece| PathItem { base: piece.base, end: piece.end, top: piece.top() as u32, unused: 0 })
            .collect();
        let mut places = vec![0u32; pieces.len() * levels];
        for (to, piece) in places.chunks_exact_mut(levels).zip(pieces) {
            to[..piece.places.len()].copy_from_slice(&piece.places);
        }
        let (items, place_bytes): (&[u8], usize) = (cast_slice(&items), 4 * places.len());
        let places_at = items.len();
        let results_at = (places_at + place_bytes).next_multiple_of(16);
        let bytes = results_at + size_of::<PathResult>() * pieces.len();
        let memory = self.pieces.reserve(device, bytes, "the pieces of a tree")?;
        device.upload(memory, 0, items, None)?;
        device.upload(memory, places_at, cast_slice(&places), None)?;
        let ticket = self.ticket.reserve(device, 8, "a ticket")?;
        device.upload(ticket, 0, cast_slice(&[0, u32::MAX]), None)?;
        let blocks = device.facts().multiprocessors.max(1) * BLOCKS;
        let grid = (pieces.len() as u32).div_ceil(BLOCK / tile).clamp(1, blocks);
        let stack_bytes = (BLOCK / tile) as usize * (levels + 1) * PATH_LEVEL_BYTES;
        // As many blocks as asked for must fit in a multiprocessor's shared memory.
        let shared = stack_bytes * BLOCKS as usize <= device.facts().shared as usize;
        let stack = if shared {
            0
        } else {
            self.stack.reserve(device, stack_bytes * grid as usize, "the stacks of walks")?.address()
        };
        let radio = tree.radio.as_ref();
        let args = PathArgs {
            left: tree.left,
            loss: tree.loss,
            limits: tables.limits,
            first_limit: radio.map_or(0, |radio| radio.limits[0]),
            groups: tables.groups,
            entries: tables.entries,
            order: tables.order,
            floors: tables.floors,
            cheapest: tables.cheapest,
            items: memory.address(),
            places: memory.address() + places_at as u64,
            results: memory.address() + results_at as u64,
            ticket: ticket.address(),
            stack,
            quota,
            item_count: pieces.len() as u32,
            levels: levels as u32,
            directions: radio.map_or(0, |radio| radio.limits.len() as u32),
            need: tree.needs[0],
        };
        let kernel = if tile == 8 { "walk_8" } else { "walk_32" };
        let shape = Shape { grid, block: BLOCK, shared: if shared { stack_bytes as u32 } else { 0 } };
        device.launch(kernel, shape, bytes_of(&args))?;
        let mut results = vec![PathResult::default(); pieces.len()];
        device.download(memory, results_at, cast_slice_mut(&mut results))?;
        device.download(memory, places_at, cast_slice_mut(&mut places))?;
        Ok((results, places))
    }
}

/// What the paths before the first batch, and up to it, come to.
fn finish(states: &[State], otherwise: Walked) -> (Walked, Walk) {
    let mut sum = Walk::default();
    for state in states {
        match state {
            State::Open(_) => return (Walked::Stopped, sum),
            State::Done(walk) => sum.add(walk),
            State::Batch(rows, walk) => {
                sum.add(walk);
                return (Walked::Batch(rows.clone()), sum);
            }
        }
    }
    (otherwise, sum)
}

/// The same with neighbours that are done as one.
fn merged(states: Vec<State>) -> Vec<State> {
    let mut merged: Vec<State> = Vec::with_capacity(states.len());
    for state in states {
        match (merged.last_mut(), state) {
            (Some(State::Done(sum)), State::Done(walk)) => sum.add(&walk),
            (_, state) => merged.push(state),
        }
    }
    merged
}

/// Everything below an item.
fn whole(tree: &Tree, item: &Item) -> Piece {
    let mut places: Vec<u32> = item
        .counts()
        .iter()
        .enumerate()
        .map(|(k, &count)| {
            if tree.part_end(k) == k + 1 {
                return 0;
            }
            let group = tree.groups[k];
            let order = &tree.order[group.entry as usize..=(group.entry + group.len) as usize];
            order.iter().position(|&other| other == count).unwrap_or(0) as u32
        })
        .collect();
    places.push(0);
    let base = places.len() as u32 - 1;
    Piece { base, end: u32::MAX, places }
}

/// What is left of a piece, level by level, the deepest first.
fn pieces_of(tree: &Tree, rest: &Piece, mut each: impl FnMut(Piece)) {
    for top in (rest.base as usize..=rest.top()).rev() {
        // The deepest level has the next place, the others the one that was taken.
        let next = rest.places[top] + u32::from(top < rest.top());
        let most = if tree.part_end(top) == top + 1 { 1 } else { tree.groups[top].len + 1 };
        let end = if top == rest.base as usize { rest.end.min(most) } else { most };
        if next < end {
            let mut places = rest.places[..=top].to_vec();
            places[top] = next;
            each(Piece { base: top as u32, end, places });
        }
    }
}

/// The places of the path at which a piece stopped: at its last level the next one is given.
fn taken(places: &[u32], top: usize) -> Vec<u32> {
    let mut taken = places[..=top].to_vec();
    taken[top] -= 1;
    taken
}

/// The counts of a complete path: at the places given, and what is needed then.
fn counts_at(tree: &Tree, places: &[u32]) -> Vec<u32> {
    let mut need = tree.needs[0];
    (0..tree.levels())
        .map(|k| {
            let group = tree.groups[k];
            let closes = tree.part_end(k) == k + 1;
            let count = match places.get(k) {
                Some(&place) if !closes => tree.order[(group.entry + place) as usize],
                _ => need,
            };
            need = if closes { tree.needs.get(group.part as usize + 1).copied().unwrap_or(0) } else { need - count };
            count
        })
        .collect()
}

fn path_group(tree: &Tree, k: usize) -> PathGroup {
    let group = tree.groups[k];
    let end = tree.part_end(k);
    PathGroup {
        entry: group.entry,
        len: group.len,
        closes: u32::from(end == k + 1),
        part_end: end as u32,
        rest: tree.rest(k),
        next_need: tree.needs.get(group.part as usize + 1).copied().unwrap_or(0),
        floor: group.floor.unwrap_or(PATH_NONE),
        long_groups: u32::from(tree.has_long_groups(k)),
    }
}
