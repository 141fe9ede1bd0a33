//! Many small instances in one launch of `kernels/cells.cu`: one warp each.
//!
//! In: instances. Out: for each its [`Solution`], the same as [`Solver::solve`](crate::solver::Solver::solve) without
//! limits gives, byte for byte but for where it ran; or none where it is the host's. [`Packed`] has the bytes that go
//! to the device, the arguments of the launch, and what is made of the bytes that come back; whoever holds the device
//! moves them.
//!
//! **What is the host's.** Instances that pad to the longest prompt or have more than 2,048 rows; subproblems with more
//! than 256 free requests or 2,000 nodes, which the CPU searches in other ways as well; cells of more than 63 linear
//! programs, or one of more than 8,192 steps; vertices that leave more than 512 other requests that fit; and the few
//! that outgrow tables of the kernel. Of 3,000 cells of 500 requests, all four constraints binding, that is none with
//! lengths of three levels, and 58 with lengths of all kinds.
//!
//! **Expected speed** (an estimate: no device has run it yet). A cell of 500 requests takes 5 linear programs of 120
//! steps and 46 pricings together. A step is about 1,000 instructions of the warp, 360 of them in doubles, most for the
//! 4×4 inverse; all steps are 120,000, pricings 14,000, bounds 13,000, roundings and starts 11,000, sorting 8,000,
//! subproblems 5,000: about 170,000 instructions for each cell. The chain of dependent operations is what takes time:
//! at one instruction in five cycles a cell takes 0.5 ms at 1.7 GHz, so 8 blocks on each of 132 multiprocessors solve
//! about 2 million cells a second. A cell is 18 KiB to the device and 4 KiB back: at 50 GB/s, 2.5 million cells a
//! second.

use std::sync::OnceLock;
use std::time::Instant;

use bytemuck::{bytes_of, cast_slice, pod_read_unaligned};
use rayon::ThreadPool;
use rayon::prelude::*;

use super::Source;
use super::device::{Device, Shape, Slot};
use super::layout::{
    CELL_DIRECTIONS, CELL_LEAF_BYTES, CELL_ROW_BYTES, CELL_ROWS, Cell, CellResult, CellSpan, CellsArgs,
};
use crate::bound::Multipliers;
use crate::certificate::{Certificate, Covered, Exhausted, Section, Solution, Work};
use crate::device::{Choice, Fault, Ran};
use crate::instance::Instance;
use crate::tree::{DIRECTIONS, SHARES};

const _: () = assert!(CELL_DIRECTIONS == DIRECTIONS, "as many as the CPU has");

/// Threads of a block.
const THREADS: u32 = 32;
/// Blocks that a multiprocessor has room for.
const BLOCKS_PER_MULTIPROCESSOR: u32 = 8;
/// More dynamic shared memory than this has to be asked for: larger cells work in global memory.
const MAX_SHARED_BYTES: usize = 48 << 10;

/// Cells of one launch: enough to fill a large device, few enough to have several under way.
const CELLS: usize = 4096;
/// Requests of one launch, at 40 bytes each.
const ROWS: usize = 2 << 20;
/// Cells that are solved on the CPU first, to know what that takes; and what a device takes for one, until it was
/// measured.
const TRIED: usize = 64;
const ASSUMED_CELL: f64 = 5e3;
/// What it takes to open a device and to compile the kernel of cells, the longest.
const ASSUMED_CELLS: f64 = 2.5e9;

/// Solves many instances on a device where that is asked for or is faster. None where it is the host's: larger
/// instances than a cell may be, hard ones, all where a device is not worth it or fails; and how it failed, if it did.
pub(crate) fn solve_cells(
    choice: Choice,
    source: &Source,
    pool: Option<&ThreadPool>,
    instances: &[Instance],
    cancelled: &(dyn Fn() -> bool + Sync),
    on_cpu: &dyn Fn(&[Instance]) -> Vec<Solution>,
) -> (Vec<Option<Solution>>, Option<Fault>) {
    let mut solutions: Vec<Option<Solution>> = Vec::with_capacity(instances.len());
    if choice == Choice::Auto {
        if !source.is_present() || instances.len() <= TRIED {
            return (vec![None; instances.len()], None);
        }
        let start = Instant::now();
        solutions.extend(on_cpu(&instances[..TRIED]).into_iter().map(Some));
        let rest = (instances.len() - TRIED) as f64;
        let cpu = start.elapsed().as_nanos() as f64 / TRIED as f64 * rest;
        let opening = if source.is_open() { 0.0 } else { ASSUMED_CELLS };
        if opening + ASSUMED_CELL * rest > cpu {
            solutions.resize(instances.len(), None);
            return (solutions, None);
        }
    }
    let cuda = match source.open() {
        Ok(cuda) => cuda,
        Err(fault) => {
            solutions.resize(instances.len(), None);
            return (solutions, Some(fault));
        }
    };
    let first_fault = OnceLock::new();
    let launch = |instances: &[Instance]| {
        let mut state = cuda.take();
        let solved = match cuda.lost.get() {
            Some(fault) => Err(fault.clone()),
            None if cancelled() => Ok(vec![None; instances.len()]),
            None => state.cells.solve(&*cuda.device, instances),
        };
        if solved.is_ok() {
            cuda.keep(state);
        }
        solved.unwrap_or_else(|fault| {
            cuda.note(&fault);
            let _ = first_fault.set(fault);
            vec![None; instances.len()]
        })
    };
    let rest = &instances[solutions.len()..];
    let most = rest.iter().map(Instance::len).max().unwrap_or(0).clamp(1, CELL_ROWS);
    let chunk = (ROWS / most).clamp(1, CELLS);
    let launched: Vec<Vec<Option<Solution>>> = match pool {
        Some(pool) => pool.install(|| rest.par_chunks(chunk).map(launch).collect()),
        None => rest.chunks(chunk).map(launch).collect(),
    };
    solutions.extend(launched.into_iter().flatten());
    (solutions, first_fault.into_inner())
}

/// What is on the device for many cells. Memory is reused.
#[derive(Debug, Default)]
pub(super) struct Cells {
    input: Slot,
    output: Slot,
    scratch: Slot,
}

impl Cells {
    /// The solutions of `instances`; none where it is the host's.
    pub fn solve(&mut self, device: &dyn Device, instances: &[Instance]) -> Result<Vec<Option<Solution>>, Fault> {
        let packed = Packed::new(instances);
        if packed.cells() == 0 {
            return Ok(vec![None; instances.len()]);
        }
        let blocks = packed.blocks(device.facts().multiprocessors);
        let input = self.input.reserve(device, 8 * packed.input.len(), "the requests of cells")?;
        device.upload(input, 0, cast_slice(&packed.input), None)?;
        let output = self.output.reserve(device, packed.output_bytes(), "the batches of cells")?;
        let scratch = self.scratch.reserve(device, packed.scratch_bytes(blocks), "the search of cells")?;
        let at = Addresses { input: input.address(), output: output.address(), scratch: scratch.address() };
        let shape = Shape { grid: blocks, block: THREADS, shared: packed.shared_bytes() as u32 };
        device.launch("cells", shape, bytes_of(&packed.args(at)))?;
        let mut bytes = vec![0; packed.output_bytes()];
        device.download(output, 0, &mut bytes)?;
        Ok(packed.unpack(&bytes, instances))
    }
}

/// Instances as the kernel takes them.
#[derive(Debug, Clone)]
struct Packed {
    /// What goes to the device: the ticket, the cells, and their columns one after another.
    pub input: Vec<u64>,
    /// The instances that are cells, and where their batches begin in the output.
    numbers: Vec<usize>,
    batches: Vec<u32>,
    /// Rows and words of batches of all cells.
    rows: usize,
    words: usize,
    /// Rows of the largest cell, as a multiple of 64.
    most: usize,
}

/// Where the buffers of a launch are on the device.
#[derive(Debug, Clone, Copy)]
struct Addresses {
    /// [`Packed::input`].
    pub input: u64,
    /// [`Packed::output_bytes`], whatever is in them.
    pub output: u64,
    /// [`Packed::scratch_bytes`], whatever is in them.
    pub scratch: u64,
}

impl Packed {
    /// Packs what the kernel takes; all else is the host's.
    pub fn new(instances: &[Instance]) -> Packed {
        let taken = |instance: &Instance| !instance.pads_to_longest() && instance.len() <= CELL_ROWS;
        let numbers: Vec<usize> = (0..instances.len()).filter(|&i| taken(&instances[i])).collect();
        let cells = || numbers.iter().map(|&number| &instances[number]);
        let rows = cells().map(Instance::len).sum();
        let most = cells().map(Instance::len).max().unwrap_or(0).next_multiple_of(64).max(64);
        let mut input = Vec::with_capacity(1 + numbers.len() * size_of::<Cell>() / 8 + 5 * rows);
        input.push(0);
        let (mut batches, mut first, mut words) = (Vec::with_capacity(numbers.len()), 0, 0);
        for instance in cells() {
            let capacity = instance.capacity();
            let capacity = [capacity.uplink, capacity.downlink, capacity.kv_tokens];
            let cell = Cell { capacity, first, rows: instance.len() as u32, batch: words };
            input.extend(bytes_of(&cell).chunks_exact(8).map(pod_read_unaligned::<u64>));
            batches.push(words);
            first += instance.len() as u64;
            words += instance.len().div_ceil(32) as u32;
        }
        let columns: [fn(&Instance) -> &[u64]; 5] = [
            |instance| &instance.columns().uplink,
            |instance| &instance.columns().downlink,
            |instance| &instance.columns().kv_tokens,
            |instance| &instance.columns().compute,
            |instance| &instance.columns().budget,
        ];
        for column in columns {
            cells().for_each(|instance| input.extend_from_slice(column(instance)));
        }
        Packed { input, numbers, batches, rows, words: words as usize, most }
    }

    /// The number of cells; without any there is nothing to launch.
    pub fn cells(&self) -> usize {
        self.numbers.len()
    }

    /// Blocks to launch; each takes one cell after another.
    pub fn blocks(&self, multiprocessors: u32) -> u32 {
        (BLOCKS_PER_MULTIPROCESSOR * multiprocessors).min(self.cells() as u32)
    }

    /// Bytes that come back.
    pub fn output_bytes(&self) -> usize {
        self.cells() * size_of::<CellResult>() + 4 * self.words
    }

    /// Bytes of working memory of so many blocks.
    pub fn scratch_bytes(&self, blocks: u32) -> usize {
        let space = if self.is_shared() { 0 } else { self.most * CELL_ROW_BYTES };
        blocks as usize * (CELL_LEAF_BYTES + space)
    }

    /// Bytes of dynamic shared memory of a block.
    pub fn shared_bytes(&self) -> usize {
        if self.is_shared() { self.most * CELL_ROW_BYTES } else { 0 }
    }

    fn is_shared(&self) -> bool {
        self.most * CELL_ROW_BYTES <= MAX_SHARED_BYTES
    }

    /// The arguments of the launch.
    pub fn args(&self, at: Addresses) -> CellsArgs {
        let cells = at.input + 8;
        let columns = cells + (self.cells() * size_of::<Cell>()) as u64;
        CellsArgs {
            ticket: at.input,
            cells,
            results: at.output,
            columns: std::array::from_fn(|i| columns + (8 * i * self.rows) as u64),
            batches: at.output + (self.cells() * size_of::<CellResult>()) as u64,
            scratch: at.scratch,
            count: self.cells() as u32,
            most: self.most as u32,
            shared: u32::from(self.is_shared()),
            unused: 0,
            directions: *SHARES,
        }
    }

    /// The solutions of `instances`, which were packed, from the output; none where it is the host's.
    pub fn unpack(&self, output: &[u8], instances: &[Instance]) -> Vec<Option<Solution>> {
        let (results, batches) = output.split_at(self.cells() * size_of::<CellResult>());
        let mut solutions = vec![None; instances.len()];
        let cells = self.numbers.iter().zip(&self.batches).zip(results.chunks_exact(size_of::<CellResult>()));
        for ((&number, &batch), result) in cells {
            let words = instances[number].len().div_ceil(32);
            let batch = &batches[4 * batch as usize..][..4 * words];
            solutions[number] = solution(&pod_read_unaligned(result), batch);
        }
        solutions
    }
}

fn solution(result: &CellResult, batch: &[u8]) -> Option<Solution> {
    if result.solved == 0 {
        return None;
    }
    let mut rows = Vec::with_capacity(result.size as usize);
    for (at, word) in batch.chunks_exact(4).enumerate() {
        let mut word = pod_read_unaligned::<u32>(word);
        while word != 0 {
            rows.push(32 * at as u32 + word.trailing_zeros());
            word &= word - 1;
        }
    }
    let bound = u64::from(result.size);
    debug_assert_eq!(rows.len() as u64, bound);
    let section = section(result)?;
    let work = Work {
        bound_passes: u64::from(result.bound_passes),
        subproblems: u64::from(result.subproblems),
        nodes: u64::from(result.nodes),
        work_items: 0,
        paths_checked: u64::from(result.paths_checked),
        paths_open: u64::from(result.paths_open),
        stopped: false,
    };
    Some(Solution { rows, certificate: Certificate { bound, sections: vec![section] }, work, ran: Ran::CUDA })
}

/// The certificate; programs with the same λ are told apart on the device only.
fn section(result: &CellResult) -> Option<Section> {
    let mut section = Section { padded: None, covered: Vec::new(), exhausted: Vec::new() };
    let mut searched_since = true;
    for &CellSpan { first, last, program, searched } in result.span.get(..result.spans as usize)? {
        let (first, last) = (u32::from(first), u32::from(last));
        let multipliers = match program {
            0 => Multipliers::ZERO,
            _ => {
                let m = result.multipliers.get(usize::from(program))?;
                Multipliers::new(u32::try_from(m.one_bits).ok()?, m.lambda)?
            }
        };
        if searched != 0 {
            section.exhausted.push(Exhausted { deadline_rank: last, multipliers });
            searched_since = true;
            continue;
        }
        match section.covered.last_mut() {
            Some(before) if before.multipliers == multipliers && !searched_since => before.last = last,
            _ => section.covered.push(Covered { first, last, multipliers }),
        }
        searched_since = false;
    }
    Some(section)
}

#[cfg(test)]
#[cfg(dftsp_has_emulator)]
mod tests;
