//! The bound pass on a device (`kernels/bounds.cu`): columns go there once, and stay as long as the instance is at
//! hand.
//!
//! Where the device has no room for all columns at once, they go there in *windows*, again for each pass. Tags stay
//! there.

use std::cmp::Reverse;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytemuck::{bytes_of, cast_slice, cast_slice_mut};
use rayon::ThreadPool;

use super::device::{Device, Memory, Shape, Slot};
use super::layout::{
    self, ClassifyArgs, ListArgs, PassArgs, SurveyArgs, WANTED_CORE, WANTED_MEMBERS, WANTED_PRICED, WANTED_TAKEN,
};

use crate::bound::classify::{Cell, Core, EMPTY_CELL};
use crate::bound::condense::{Condensed, Member};
use crate::bound::region::{FATE, PRICE_ERROR, Region};
use crate::bound::simplex::Column;
use crate::bound::survey::{LANES, Survey};
use crate::bound::view::{Buckets, MAX_BUCKETS, View};
use crate::device::Fault;
use crate::rank::RESOURCES;
use crate::search::{Clock, Limits};

/// Threads of a block.
const BLOCK: u32 = 1024;
/// Blocks for each multiprocessor where sums are not in shared memory; one where they are, as there is no room for
/// more.
const BLOCKS: u32 = 2;
/// A block has at least so many requests.
const LEAST_CHUNK: u32 = 2048;
/// The five columns.
const COLUMNS: usize = 5;
/// Bytes a request: its columns; and its tag.
pub(super) const COLUMN_BYTES: usize = 8 * COLUMNS;
const TAG_BYTES: usize = 2;
/// Bytes of a listed request: index, tag, costs, budget.
const LISTED_BYTES: usize = 4 + 2 + 8 * RESOURCES + 8;
/// Values of a column that are copied without a look at the clock: 16 MiB.
const UNINTERRUPTED: usize = 2 << 20;
/// Words of the sums of a bucket.
const CELL_WORDS: usize = 7;
const SUMS: usize = 4;
const LEAST: usize = 5;
const MOST: usize = 6;

/// What is on the device for bound passes. Memory is reused from one instance to the next.
#[derive(Debug, Default)]
pub(super) struct Passes {
    columns: Slot,
    tags: Slot,
    sums: Slot,
    counts: Slot,
    open: Slot,
    lists: Slot,
    /// The columns are there, all of them.
    resident: bool,
    /// Requests of a window; 0: not known yet.
    window: usize,
    /// What the host reads of lists.
    words: Vec<u64>,
}

/// The device, and the threads that help to copy.
#[derive(Clone, Copy)]
pub(super) struct Link<'a> {
    pub device: &'a dyn Device,
    pub pool: Option<&'a ThreadPool>,
}

/// How a pass ended: whether it came to its end before the time was over.
type Done = Result<bool, Fault>;

/// What a list is of.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    kind: u32,
    least: u64,
    lambda: Column,
    most: f64,
}

/// Where lists lie in their memory, for so many requests.
#[derive(Debug, Clone, Copy)]
struct Lists {
    cost: usize,
    budget: usize,
    index: usize,
    tag: usize,
}

impl Lists {
    fn new(listed: usize) -> Self {
        let cost = 0;
        let budget = cost + 8 * RESOURCES * listed;
        let index = budget + 8 * listed;
        Lists { cost, budget, index, tag: index + 4 * listed }
    }
}

impl Passes {
    /// Another instance.
    pub fn load(&mut self) {
        self.resident = false;
        self.window = 0;
    }

    pub fn classify(
        &mut self,
        link: Link<'_>,
        condensed: &mut Condensed,
        view: &View<'_>,
        (region, buckets): (Region, Buckets),
        clock: &Clock,
    ) -> Done {
        let count = buckets.count;
        let sums = self.sums.reserve(link.device, CELL_WORDS * 8 * count, "the sums of buckets")?;
        link.device.fill(sums, 0, 8 * LEAST * count, 0)?;
        link.device.fill(sums, 8 * LEAST * count, 8 * count, 0xff)?;
        link.device.fill(sums, 8 * MOST * count, 8 * count, 0)?;
        let cells = sums.address();
        let w = region.whiten;
        let mut core = Core::default();
        for window in self.windows(link.device, view.len())? {
            if clock.over() {
                return Ok(false);
            }
            let Some((pass, shape)) = self.pass(link, view, &window, &buckets, CELL_WORDS, clock)? else {
                return Ok(false);
            };
            let args = ClassifyArgs {
                pass,
                cells,
                listed: self.counts.get()?.address(),
                whiten: [w[0][0], w[1][0], w[1][1], w[2][0], w[2][1], w[2][2], w[3][0], w[3][1], w[3][2], w[3][3]],
                ends: std::array::from_fn(|i| region.ends[i / 4][i % 4]),
                width: region.width,
                taken_below: 1.0 - PRICE_ERROR,
                price_error: PRICE_ERROR,
            };
            link.device.launch("classify", shape, bytes_of(&args))?;
            let wanted = Wanted { kind: WANTED_CORE, least: 0, lambda: [0.0; RESOURCES], most: 0.0 };
            let (listed, lists) = self.list(link.device, pass, shape, wanted)?;
            let words = &mut self.words;
            words.resize(RESOURCES * listed, 0);
            link.device.download(self.lists.get()?, lists.cost, cast_slice_mut(words))?;
            core.cost.extend(words.chunks_exact(RESOURCES).map(|c| [c[0], c[1], c[2], c[3]]));
            let before = core.index.len();
            core.index.resize(before + listed, 0);
            link.device.download(self.lists.get()?, lists.index, cast_slice_mut(&mut core.index[before..]))?;
            core.tag.resize(before + listed, 0);
            link.device.download(self.lists.get()?, lists.tag, cast_slice_mut(&mut core.tag[before..]))?;
        }
        self.words.resize(CELL_WORDS * count, 0);
        link.device.download(self.sums.get()?, 0, cast_slice_mut(&mut self.words))?;
        let words = &self.words;
        let cells: Vec<Cell> = (0..count)
            .map(|bucket| {
                let word = |field: usize| words[field * count + bucket];
                let (requests, taken) = (word(SUMS) as u32, (word(SUMS) >> 32) as u32);
                match requests {
                    0 => EMPTY_CELL,
                    _ => Cell { requests, taken, least: word(LEAST), most: word(MOST), sums: [0, 1, 2, 3].map(word) },
                }
            })
            .collect();
        condensed.assemble(view, region, &cells, std::iter::once(&core));
        Ok(true)
    }

    pub fn survey(
        &mut self,
        link: Link<'_>,
        survey: &mut Survey,
        view: &View<'_>,
        buckets: &Buckets,
        lambda: &[Column; LANES],
        clock: &Clock,
    ) -> Done {
        if !self.start_survey(link, view, buckets, lambda, clock)? {
            return Ok(false);
        }
        let count = buckets.count;
        self.words.resize(LANES * count, 0);
        link.device.download(self.sums.get()?, 0, cast_slice_mut(&mut self.words))?;
        survey.parts.resize_with(1, Vec::new);
        survey.parts[0].clear();
        let of = |bucket: usize| std::array::from_fn(|lane| self.words[lane * count + bucket]);
        survey.parts[0].extend((0..count).map(of));
        Ok(true)
    }

    fn start_survey(
        &mut self,
        link: Link<'_>,
        view: &View<'_>,
        buckets: &Buckets,
        lambda: &[Column; LANES],
        clock: &Clock,
    ) -> Done {
        let count = buckets.count;
        let sums = self.sums.reserve(link.device, CELL_WORDS * 8 * count, "the sums of buckets")?;
        link.device.fill(sums, 0, LANES * 8 * count, 0)?;
        let sums = sums.address();
        for window in self.windows(link.device, view.len())? {
            if clock.over() {
                return Ok(false);
            }
            let Some((pass, shape)) = self.pass(link, view, &window, buckets, LANES, clock)? else { return Ok(false) };
            let lambda = std::array::from_fn(|i| lambda[i % LANES][i / LANES]);
            link.device.launch("survey", shape, bytes_of(&SurveyArgs { pass, sums, lambda }))?;
        }
        Ok(true)
    }

    /// The time of each of so many surveys, without what comes back.
    pub fn time_surveys(
        &mut self,
        link: Link<'_>,
        view: &View<'_>,
        buckets: &Buckets,
        lambda: &[Column; LANES],
        passes: usize,
    ) -> Result<Vec<Duration>, Fault> {
        /// Launches between two looks at the clock: what a launch takes is then hidden behind the kernels.
        const LAUNCHES: u32 = 8;
        let clock = Clock::start(&Limits::NONE);
        self.survey(link, &mut Survey::default(), view, buckets, lambda, &clock)?;
        let mut times = Vec::with_capacity(passes);
        for _ in 0..passes {
            let start = Instant::now();
            for _ in 0..LAUNCHES {
                self.start_survey(link, view, buckets, lambda, &clock)?;
            }
            link.device.synchronize()?;
            times.push(start.elapsed() / LAUNCHES);
        }
        Ok(times)
    }

    pub fn members(
        &mut self,
        link: Link<'_>,
        view: &View<'_>,
        open: &[bool; MAX_BUCKETS],
        members: &mut Vec<Member>,
        clock: &Clock,
    ) -> Done {
        members.clear();
        let bits: Vec<u32> =
            open.chunks(32).map(|word| word.iter().rev().fold(0, |bits, &open| bits << 1 | u32::from(open))).collect();
        let memory = self.open.reserve(link.device, 4 * bits.len(), "the open buckets")?;
        link.device.upload(memory, 0, cast_slice(&bits), None)?;
        let wanted = Wanted { kind: WANTED_MEMBERS, least: 0, lambda: [0.0; RESOURCES], most: 0.0 };
        let mut tags: Vec<u16> = Vec::new();
        let mut index: Vec<u32> = Vec::new();
        self.lists(link, view, wanted, clock, |passes, listed, lists| {
            let memory = passes.lists.get()?;
            passes.words.resize(listed, 0);
            link.device.download(memory, lists.budget, cast_slice_mut(&mut passes.words))?;
            index.resize(listed, 0);
            link.device.download(memory, lists.index, cast_slice_mut(&mut index))?;
            tags.resize(listed, 0);
            link.device.download(memory, lists.tag, cast_slice_mut(&mut tags))?;
            let each = passes.words.iter().zip(&index).zip(&tags);
            members.extend(each.map(|((&budget, &index), &tag)| Member {
                budget: Reverse(budget),
                index_and_fate: index << 2 | u32::from(tag & FATE),
            }));
            Ok(())
        })
    }

    pub fn taken(&mut self, link: Link<'_>, view: &View<'_>, least: u64, rows: &mut Vec<u32>) -> Done {
        let wanted = Wanted { kind: WANTED_TAKEN, least, lambda: [0.0; RESOURCES], most: 0.0 };
        // A batch is written down even when the time is over.
        self.indices(link, view, wanted, rows, &Clock::start(&Limits::NONE))
    }

    pub fn priced(
        &mut self,
        link: Link<'_>,
        view: &View<'_>,
        (lambda, most): (Column, f64),
        least: u64,
        listed: &mut Vec<u32>,
        clock: &Clock,
    ) -> Done {
        listed.clear();
        let wanted = Wanted { kind: WANTED_PRICED, least, lambda, most };
        self.indices(link, view, wanted, listed, clock)
    }

    /// Adds the indices of a list.
    fn indices(
        &mut self,
        link: Link<'_>,
        view: &View<'_>,
        wanted: Wanted,
        indices: &mut Vec<u32>,
        clock: &Clock,
    ) -> Done {
        self.lists(link, view, wanted, clock, |passes, listed, lists| {
            let before = indices.len();
            indices.resize(before + listed, 0);
            let copied = link.device.download(passes.lists.get()?, lists.index, cast_slice_mut(&mut indices[before..]));
            if copied.is_err() {
                indices.truncate(before);
            }
            copied
        })
    }

    /// Makes a list, window by window; `each` reads it.
    fn lists(
        &mut self,
        link: Link<'_>,
        view: &View<'_>,
        wanted: Wanted,
        clock: &Clock,
        mut each: impl FnMut(&mut Self, usize, Lists) -> Result<(), Fault>,
    ) -> Done {
        for window in self.windows(link.device, view.len())? {
            if clock.over() {
                return Ok(false);
            }
            let Some((pass, shape)) = self.pass(link, view, &window, &Buckets::default(), 0, clock)? else {
                return Ok(false);
            };
            let args = self.list_args(pass, wanted)?;
            link.device.launch("count_wanted", shape, bytes_of(&args))?;
            let (listed, lists) = self.list(link.device, pass, shape, wanted)?;
            each(self, listed, lists)?;
        }
        Ok(true)
    }

    fn list_args(&self, pass: PassArgs, wanted: Wanted) -> Result<ListArgs, Fault> {
        Ok(ListArgs {
            pass,
            wanted: wanted.kind,
            least: wanted.least,
            lambda: wanted.lambda,
            most: wanted.most,
            open: self.open.get().map_or(0, Memory::address),
            listed: self.counts.get()?.address(),
            ..ListArgs::default()
        })
    }

    /// Lists what was counted by the blocks of a pass: how many, and where.
    fn list(
        &mut self,
        device: &dyn Device,
        pass: PassArgs,
        shape: Shape,
        wanted: Wanted,
    ) -> Result<(usize, Lists), Fault> {
        let shape = Shape { shared: 0, ..shape };
        let mut counts = vec![0u32; shape.grid as usize];
        device.download(self.counts.get()?, 0, cast_slice_mut(&mut counts))?;
        let listed: usize = counts.iter().map(|&count| count as usize).sum();
        let lists = Lists::new(listed);
        let memory = self.lists.reserve(device, LISTED_BYTES * listed, "the lists of a bound pass")?.address();
        let mut args = self.list_args(pass, wanted)?;
        args.index = memory + lists.index as u64;
        match wanted.kind {
            WANTED_CORE => (args.tag, args.cost) = (memory + lists.tag as u64, memory + lists.cost as u64),
            WANTED_MEMBERS => (args.tag, args.budget) = (memory + lists.tag as u64, memory + lists.budget as u64),
            _ => {}
        }
        if listed > 0 {
            device.launch("list_wanted", shape, bytes_of(&args))?;
        }
        Ok((listed, lists))
    }

    /// The windows in which the columns of so many requests go to the device; all at once if they fit.
    fn windows(&mut self, device: &dyn Device, requests: usize) -> Result<Vec<Range<usize>>, Fault> {
        if self.window == 0 {
            self.tags.reserve(device, TAG_BYTES * requests, "the tags of all requests")?;
            // Of what is free and what is in use already; a part is left for the lists, which may be as long as a
            // window.
            let free = device.free()? as usize + self.columns.bytes() + self.lists.bytes();
            let fits = free / 10 * 9 / (COLUMN_BYTES + LISTED_BYTES);
            self.window = if fits >= requests { requests } else { fits / 2 * 2 };
            if self.window == 0 && requests > 0 {
                let needed = 2 * (COLUMN_BYTES + LISTED_BYTES) as u64;
                return Err(Fault::Memory { what: "a window of requests".to_string(), needed, free: free as u64 });
            }
        }
        let starts = (0..requests).step_by(self.window.max(1));
        Ok(starts.map(|start| start..requests.min(start + self.window)).collect())
    }

    /// Brings the columns of a window to the device, and what a kernel is told of them; none if the time was over.
    /// `words`: of sums for a bucket.
    fn pass(
        &mut self,
        link: Link<'_>,
        view: &View<'_>,
        window: &Range<usize>,
        buckets: &Buckets,
        words: usize,
        clock: &Clock,
    ) -> Result<Option<(PassArgs, Shape)>, Fault> {
        debug_assert!(view.stride == 1, "samples stay on the host");
        // Columns begin at multiples of 16 bytes.
        let column = window.len().next_multiple_of(2) * 8;
        let memory = self.columns.reserve(link.device, COLUMNS * column, "the columns of the requests")?;
        let address = memory.address();
        if !self.resident {
            let c = view.columns;
            for (at, values) in [&c.uplink, &c.downlink, &c.kv_tokens, &c.compute, &c.budget].into_iter().enumerate() {
                for (part, values) in values[window.clone()].chunks(UNINTERRUPTED).enumerate() {
                    if clock.over() {
                        return Ok(None);
                    }
                    let offset = at * column + 8 * part * UNINTERRUPTED;
                    link.device.upload(memory, offset, cast_slice(values), link.pool)?;
                }
            }
            self.resident = window.len() == view.len();
        }
        let shared = words * 8 * buckets.count;
        let fits = words > 0 && shared + 1024 <= link.device.facts().shared as usize;
        let shape = shape(link.device, window.len() as u32, if fits { shared as u32 } else { 0 });
        self.counts.reserve(link.device, 4 * shape.grid as usize, "the counts of blocks")?;
        let pass = PassArgs {
            columns: layout::Columns { of: std::array::from_fn(|at| address + (at * column) as u64) },
            buckets: layout::Buckets {
                least: buckets.least,
                factor: buckets.factor,
                count: buckets.count as u32,
                unused: 0,
            },
            base: window.start as u32,
            count: window.len() as u32,
            chunk: chunk(window.len() as u32, shape.grid),
            shared: u32::from(fits),
            tags: self.tags.get()?.address(),
        };
        Ok(Some((pass, shape)))
    }
}

/// The blocks of a pass.
fn shape(device: &dyn Device, requests: u32, shared: u32) -> Shape {
    let most = device.facts().multiprocessors.max(1) * if shared > 0 { 1 } else { BLOCKS };
    Shape { grid: requests.div_ceil(LEAST_CHUNK).clamp(1, most), block: BLOCK, shared }
}

/// The requests of a block: an even number.
fn chunk(requests: u32, grid: u32) -> u32 {
    requests.div_ceil(grid).next_multiple_of(2)
}
