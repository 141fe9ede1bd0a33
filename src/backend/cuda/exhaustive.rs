//! The paper's tree without pruning on a device (`kernels/exhaustive.cu`): launches over heads, in the order of their
//! numbers.
//!
//! A *head* fixes the first levels, and a thread looks at all of its paths. A launch begins at a head that is given by
//! its digits, so that trees may have any number of paths, and is over in a few milliseconds; then the host looks at
//! the clock. If it found a batch, the paths of the chunks before it are added up; else all are, and the next launch
//! begins where it ended.
//!
//! What bounds it is integer arithmetic, by an estimate from the machine code for sm_90 (ptxas 13.0), not measured: the
//! loop over the last level has 28 instructions for 16 paths, of which 26 are of integers or predicates (16 compare a
//! path with z): 1.6 a path. An H200 (132 multiprocessors, 64 such lanes each, about 1.98 GHz) could then do 1.0 × 10¹³
//! paths a second where last levels are long. A run of the last level costs about 40 instructions more, and 36 if one
//! of its paths in the warp has the right sum: with 21 counts on it that is 5.4 a path, or 3 × 10¹² a second.

use std::time::{Duration, Instant};

use bytemuck::{bytes_of, cast_slice, cast_slice_mut};

use super::device::{Device, Shape, Slot};
use super::layout::{ExhaustiveArgs, HeadLevel, TAIL_LEVELS};
use crate::device::Fault;
use crate::rank::RESOURCES;
use crate::search::Clock;
use crate::search::enumerate::{Enumerated, Enumeration, Level};

/// Threads of a block.
const BLOCK: u32 = 256;
/// Blocks for each multiprocessor.
const BLOCKS: u32 = 4;
/// Paths from which on a device is worth it, whoever asks for one.
const LEAST_PATHS: u64 = if cfg!(test) { 64 } else { 1 << 12 };
/// Requests, above which counts may not fit in what the kernel adds them up in.
const MOST_REQUESTS: u64 = 1 << 31;
/// Paths of a head at most, unless the last level alone has more; and then.
const TAIL: u64 = 1 << 12;
const MOST_TAIL: u64 = 1 << 22;
/// How long a launch shall take.
const LAUNCH: Duration = Duration::from_millis(4);

/// How paths are shared out. The result does not depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Paths of the first launch, about; and of any.
    pub first: u64,
    pub most: u64,
    /// Heads of a chunk, at most 256.
    pub chunk: u32,
    /// Heads for each thread of the device, below which no more levels are moved to the tail.
    pub heads: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { first: 1 << 24, most: 1 << 40, chunk: BLOCK, heads: 4 }
    }
}

/// What is on the device for exhaustive searches. Memory is reused from one tree to the next.
#[derive(Debug, Default)]
pub(super) struct Exhaustive {
    pub pace: Pace,
    entries: Slot,
    levels: Slot,
    found: Slot,
    counts: Slot,
}

/// Whether a tree goes to a device that was asked for.
pub(super) fn is_worth(tree: &Enumeration) -> bool {
    let last = tree.levels.last().map_or(0, |level| u64::from(level.len));
    tree.paths() >= LEAST_PATHS && tree.levels.len() > 1 && last < MOST_TAIL && tree.requests() < MOST_REQUESTS
}

impl Exhaustive {
    /// As [`Backend::enumerate`](crate::backend::Backend::enumerate), of a tree that [`is_worth`] it.
    pub fn enumerate(&mut self, device: &dyn Device, tree: &Enumeration, clock: &Clock) -> Result<Enumerated, Fault> {
        let blocks = device.facts().multiprocessors.max(1) * BLOCKS;
        let heads_wanted = u64::from(blocks * BLOCK).saturating_mul(self.pace.heads);
        let (head_levels, tail) = cut(tree, heads_wanted);
        let (above, below) = tree.levels.split_at(head_levels);
        let (mut tail_entry, mut tail_len) = ([0; TAIL_LEVELS], [0; TAIL_LEVELS]);
        for (at, level) in (TAIL_LEVELS - below.len()..).zip(below) {
            (tail_entry[at], tail_len[at]) = (level.entry, level.len);
        }
        let table: &[u8] = cast_slice(&tree.entries);
        let entries = self.entries.reserve(device, table.len(), "the costs of counts")?;
        device.upload(entries, 0, table, None)?;
        let entries = entries.address();
        let level_bytes = size_of::<HeadLevel>() * (head_levels + 1);
        self.levels.reserve(device, level_bytes, "the levels of a tree")?;
        let shared_bytes = level_bytes + table.len();
        // As many blocks as asked for must fit in a multiprocessor's shared memory.
        let shared = (shared_bytes + 1024) * BLOCKS as usize <= device.facts().shared as usize;

        let mut place = vec![0u32; head_levels];
        let (mut paths, mut size) = (0u64, self.pace.first);
        loop {
            if clock.over() {
                return Ok(tree.stopped(&place, paths));
            }
            let start = Instant::now();
            let rest = tree.rest(&place);
            let heads = (size / tail).clamp(1, 1 << 30).min(rest);
            let chunks = heads.div_ceil(u64::from(self.pace.chunk)) as usize;
            let levels = self.levels.get()?;
            device.upload(levels, 0, cast_slice(&levels_from(tree, above, &place)), None)?;
            let found = self.found.reserve(device, 24, "what was found")?;
            device.upload(found, 0, cast_slice(&[0, u64::MAX, 0]), None)?;
            let counts = self.counts.reserve(device, 8 * chunks, "the counts of chunks")?;
            let args = ExhaustiveArgs {
                capacity: tree.capacity,
                levels: levels.address(),
                entries,
                found: found.address(),
                counts: counts.address(),
                tail,
                head_levels: head_levels as u32,
                entry_count: tree.entries.len() as u32,
                heads: heads as u32,
                chunk: self.pace.chunk,
                // More than all requests is as good as one more.
                need: tree.z.min(tree.requests() + 1) as u32,
                shared: u32::from(shared),
                tail_entry,
                tail_len,
            };
            let grid = (chunks as u64).min(u64::from(blocks)) as u32;
            let shape = Shape { grid, block: BLOCK, shared: if shared { shared_bytes as u32 } else { 0 } };
            device.launch("exhaustive", shape, bytes_of(&args))?;
            let mut words = [0u64; 3];
            device.download(found, 0, cast_slice_mut(&mut words))?;
            let [_, batch, right] = words;
            if batch != u64::MAX {
                let (head, path) = (batch / tail, batch % tail);
                let mut right = vec![0u64; (head / u64::from(self.pace.chunk)) as usize + 1];
                device.download(counts, 0, cast_slice_mut(&mut right))?;
                paths += right.iter().sum::<u64>();
                tree.advance(&mut place, head);
                place.extend(digits_of(below, path));
                return Ok(tree.batch(&place, paths));
            }
            paths += right;
            if heads == rest {
                return Ok(tree.empty(paths));
            }
            tree.advance(&mut place, heads);
            if start.elapsed() < LAUNCH / 2 {
                size = (2 * size).min(self.pace.most);
            } else if start.elapsed() > 2 * LAUNCH {
                size = (size / 2).max(tail);
            }
        }
    }
}

/// How many levels number the heads, and how many paths a head has: as many as a thread may look at, as long as there
/// are heads enough.
fn cut(tree: &Enumeration, heads_wanted: u64) -> (usize, u64) {
    let paths = tree.paths();
    let mut above = tree.levels.len() - 1;
    let mut tail = u64::from(tree.levels[above].len) + 1;
    while above > 1 && tree.levels.len() - above < TAIL_LEVELS {
        let more = tail * (u64::from(tree.levels[above - 1].len) + 1);
        if more > TAIL || paths / more < heads_wanted {
            break;
        }
        (above, tail) = (above - 1, more);
    }
    (above, tail)
}

/// The levels of heads, from the one at a place on.
fn levels_from(tree: &Enumeration, above: &[Level], place: &[u32]) -> Vec<HeadLevel> {
    let mut levels = Vec::with_capacity(above.len() + 1);
    let (mut taken, mut before) = (0, [0u64; RESOURCES]);
    for (level, &digit) in above.iter().zip(place) {
        let inverse = u64::MAX / (u64::from(level.len) + 1) + 1;
        levels.push(HeadLevel { entry: level.entry, len: level.len, digit, taken, inverse, unused: 0, before });
        let count = level.len - digit;
        let entry = tree.entries[(level.entry + count) as usize];
        taken += count;
        before = std::array::from_fn(|r| before[r] + entry[r]);
    }
    levels.push(HeadLevel { entry: 0, len: 0, digit: 0, taken, inverse: 0, unused: 0, before });
    levels
}

/// The digits of a path below a head.
fn digits_of(below: &[Level], mut path: u64) -> Vec<u32> {
    let mut digits: Vec<u32> = below
        .iter()
        .rev()
        .map(|level| {
            let radix = u64::from(level.len) + 1;
            let digit = path % radix;
            path /= radix;
            digit as u32
        })
        .collect();
    digits.reverse();
    digits
}
