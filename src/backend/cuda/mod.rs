//! A CUDA device.
//!
//! - `driver`: NVIDIA's driver, behind the few calls of `device`, for which tests stand in;
//! - `layout`: the structures that host and kernels share;
//! - `passes`: bound passes over the columns of an instance;
//! - `paths`: the path check;
//! - `cells`: many small instances in one launch.
//! - `exhaustive`: the paper's tree without pruning.
//!
//! The kernels do the CPU's operations: the same floats where floats decide, and exact sums; and where the CPU stops at the
//! first of many, they take the lowest-numbered. So every result has the same bytes.

mod cells;
#[cfg(test)]
#[cfg(dftsp_has_emulator)]
#[path = "../../../tests/common/mod.rs"]
mod common;
mod device;
mod driver;
mod exhaustive;
mod layout;
mod passes;
mod paths;
#[cfg(test)]
#[cfg(dftsp_has_emulator)]
mod tests;

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rayon::ThreadPool;
use rayon::prelude::*;

use super::{Backend, Cpu};
use crate::bound::classify::Pass;
use crate::bound::condense::{Condensed, Member};
use crate::bound::region::Region;
use crate::bound::simplex::Column;
use crate::bound::survey::{LANES, Survey};
use crate::bound::view::{Buckets, MAX_BUCKETS, View, part_size};
use crate::certificate::Solution;
use crate::device::{Choice, Fault, Found, Ran};
use crate::instance::Instance;
use crate::search::Clock;
use crate::search::enumerate::{End, Enumerated, Enumeration};
use crate::tree::{Item, Tree, Walk, Walked};
use cells::Cells;
use device::{Device, Driver};
use driver::System;
use exhaustive::Exhaustive;
use passes::{COLUMN_BYTES, Link, Passes};
use paths::Paths;

include!(concat!(env!("OUT_DIR"), "/ptx.rs"));

/// What a search keeps on a device.
#[derive(Debug, Default)]
struct State {
    passes: Passes,
    paths: Paths,
    cells: Cells,
    exhaustive: Exhaustive,
}

/// An open device, for any number of searches at the same time.
#[derive(Debug)]
pub(crate) struct Cuda {
    device: Arc<dyn Device>,
    /// Memory of searches past, for those to come.
    spare: Mutex<Vec<State>>,
    /// Why it is not used any more.
    lost: OnceLock<Fault>,
    /// Nanoseconds a byte to the device, and for a small kernel with what it is told and what comes back.
    upload: f64,
    latency: f64,
    /// Nanoseconds a request in the last bound pass over columns that were there, as bits; 0 if there was none.
    pass: AtomicU64,
}

static SYSTEM: OnceLock<Result<Arc<Cuda>, Fault>> = OnceLock::new();

/// Searches whose memory is kept.
const SPARE: usize = 4;
/// Bytes that are copied to measure how fast that is.
const MEASURED: usize = if cfg!(test) { 64 << 10 } else { 32 << 20 };

impl Cuda {
    /// Takes a device into use, and measures it.
    pub fn new(device: Arc<dyn Device>) -> Result<Arc<Cuda>, Fault> {
        let zeros = vec![0u8; MEASURED];
        let memory = device.allocate(MEASURED)?;
        let mut small = [0u8; 64];
        // The first time buffers are touched, which is slower.
        device.upload(&memory, 0, &zeros, None)?;
        device.synchronize()?;
        let start = Instant::now();
        device.upload(&memory, 0, &zeros, None)?;
        device.synchronize()?;
        let upload = start.elapsed().as_nanos() as f64 / MEASURED as f64;
        let start = Instant::now();
        for _ in 0..4 {
            device.upload(&memory, 0, &small, None)?;
            device.fill(&memory, 0, 64, 0)?;
            device.download(&memory, 0, &mut small)?;
        }
        let latency = start.elapsed().as_nanos() as f64 / 4.0;
        let (spare, lost) = (Mutex::default(), OnceLock::new());
        Ok(Arc::new(Cuda { device, spare, lost, upload, latency, pass: AtomicU64::new(0) }))
    }

    /// The device of this machine, opened once.
    pub fn system() -> Result<Arc<Cuda>, Fault> {
        SYSTEM.get_or_init(|| device::open(&System, PTX).and_then(Cuda::new)).clone()
    }

    /// How its searches walk trees.
    #[cfg(test)]
    #[cfg(dftsp_has_emulator)]
    fn set_pace(&self, pace: paths::Pace) {
        let mut state = State::default();
        state.paths.pace = pace;
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(state);
    }

    /// How its searches share out paths.
    #[cfg(test)]
    #[cfg(dftsp_has_emulator)]
    fn set_exhaustive_pace(&self, pace: exhaustive::Pace) {
        let mut state = State::default();
        state.exhaustive.pace = pace;
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(state);
    }

    /// What a bound pass over columns that are there takes for a request.
    fn pass(&self) -> f64 {
        match f64::from_bits(self.pass.load(Ordering::Relaxed)) {
            0.0 => {
                let bandwidth = self.device.facts().bandwidth as f64 / 1e9;
                // Half of what the memory could, until it was measured.
                if bandwidth > 0.0 { 2.0 * COLUMN_BYTES as f64 / bandwidth } else { ASSUMED_PASS }
            }
            measured => measured,
        }
    }
}

/// What there is on this machine.
pub(super) fn devices() -> Found {
    device::found(&System, PTX, BUILT_BY)
}

/// Cells of one launch: enough to fill a large device, few enough to have several under way.
const CELLS: usize = 4096;
/// Requests of one launch, at 40 bytes each.
const ROWS: usize = 2 << 20;
/// Cells that are solved on the CPU first, to know what that takes; and what a device takes for one, until it was
/// measured.
const TRIED: usize = 64;
const ASSUMED_CELL: f64 = 5e3;

/// Solves many instances on a device where that is asked for or is faster. None where it is the host's: larger instances
/// than a cell may be, hard ones, all where a device is not worth it or fails; and how it failed, if it did.
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
        let mut state = cuda.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let solved = match cuda.lost.get() {
            Some(fault) => Err(fault.clone()),
            None if cancelled() => Ok(vec![None; instances.len()]),
            None => state.cells.solve(&*cuda.device, instances),
        };
        match solved {
            Ok(solved) => {
                cuda.spare.lock().unwrap_or_else(PoisonError::into_inner).push(state);
                solved
            }
            Err(fault) => {
                // Only the first is kept: what comes after it follows from it.
                let _ = first_fault.set(fault.clone());
                if let Fault::Failed { .. } = fault {
                    let _ = cuda.lost.set(fault);
                }
                vec![None; instances.len()]
            }
        }
    };
    let rest = &instances[solutions.len()..];
    let most = rest.iter().map(Instance::len).max().unwrap_or(0).clamp(1, cells::CELL_ROWS);
    let chunk = (ROWS / most).clamp(1, CELLS);
    let launched: Vec<Vec<Option<Solution>>> = match pool {
        Some(pool) => pool.install(|| rest.par_chunks(chunk).map(launch).collect()),
        None => rest.chunks(chunk).map(launch).collect(),
    };
    solutions.extend(launched.into_iter().flatten());
    (solutions, first_fault.into_inner())
}

/// Where the device comes from.
#[derive(Debug, Clone, Default)]
pub(crate) enum Source {
    /// That of this machine, once it is needed.
    #[default]
    System,
    /// This one.
    #[cfg(test)]
    #[cfg(dftsp_has_emulator)]
    Given(Arc<Cuda>),
}

impl Source {
    /// Opens it, if it is not open.
    pub fn open(&self) -> Result<Arc<Cuda>, Fault> {
        match self {
            Source::System => Cuda::system(),
            #[cfg(test)]
            #[cfg(dftsp_has_emulator)]
            Source::Given(cuda) => Ok(cuda.clone()),
        }
    }

    /// Whether there is a driver to ask.
    fn is_present(&self) -> bool {
        static PRESENT: OnceLock<bool> = OnceLock::new();
        match self {
            Source::System => *PRESENT.get_or_init(|| System.is_present()),
            #[cfg(test)]
            #[cfg(dftsp_has_emulator)]
            Source::Given(_) => true,
        }
    }

    /// Whether opening costs nothing.
    fn is_open(&self) -> bool {
        match self {
            Source::System => SYSTEM.get().is_some(),
            #[cfg(test)]
            #[cfg(dftsp_has_emulator)]
            Source::Given(_) => true,
        }
    }
}

/// One search, on a device where that is asked for or is faster, else on the CPU.
#[derive(Debug)]
pub(crate) struct OnDevice<'a> {
    cpu: Cpu<'a>,
    choice: Choice,
    cuda: OnceLock<Result<Arc<Cuda>, Fault>>,
    source: Source,
    search: RefCell<Search>,
}

/// What a search has found out.
#[derive(Debug, Default)]
struct Search {
    state: Option<State>,
    /// Whether the instance at hand is on the device; none before that is decided.
    on_device: Option<bool>,
    /// Nanoseconds of one thread of the CPU for a request in a bound pass, as measured on samples.
    sampled: Option<f64>,
    used: bool,
    why: Option<String>,
    fault: Option<Fault>,
}

/// Bound passes over an instance, as a rule: one that classifies, one that surveys, one that lists.
const PASSES: f64 = 3.0;
/// What a thread of a CPU takes for a request in a bound pass, until that was measured.
const ASSUMED_CPU: f64 = 18.0;
/// What opening a device takes, and the bandwidths, until they were measured: of a slow link and a small device.
const ASSUMED_OPENING: f64 = 5e8;
const ASSUMED_UPLOAD: f64 = 0.15;
const ASSUMED_PASS: f64 = 0.5;
const ASSUMED_LATENCY: f64 = 5e4;
/// Small copies and kernels of a bound pass.
const LAUNCHES: f64 = 8.0;
/// A tree is walked on the CPU for so long before it goes to a device; and if the device is to be opened first.
const ALONE: Duration = Duration::from_millis(2);
const ALONE_UNOPENED: Duration = Duration::from_millis(500);
/// A search that has less time left opens no device, and compiles no kernels: nobody can interrupt that.
const OPENING_ALLOWED: Duration = Duration::from_secs(5);
/// What it takes to open a device and to compile the kernel of cells, the longest.
const ASSUMED_CELLS: f64 = 2.5e9;

impl<'a> OnDevice<'a> {
    pub fn new(choice: Choice, source: Source, pool: Option<&'a ThreadPool>) -> Self {
        OnDevice { cpu: Cpu { pool }, choice, cuda: OnceLock::new(), source, search: RefCell::default() }
    }

    /// Where the search ran.
    pub fn ran(&self) -> Ran {
        let search = self.search.borrow();
        let backend = if search.used { "cuda" } else { "cpu" };
        Ran { backend, why: search.why.clone(), fault: search.fault.clone() }
    }

    fn cuda(&self) -> Result<&Arc<Cuda>, Fault> {
        self.cuda.get_or_init(|| self.source.open()).as_ref().map_err(Clone::clone)
    }

    /// Does something on the device; `otherwise` if that fails, which ends the search.
    fn run<T>(&self, otherwise: T, work: impl FnOnce(&mut State, &Cuda) -> Result<T, Fault>) -> T {
        let search = &mut *self.search.borrow_mut();
        search.used = true;
        let result = self.cuda().and_then(|cuda| {
            if let Some(fault) = cuda.lost.get() {
                return Err(fault.clone());
            }
            let spare = || {
                let mut state = cuda.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
                state.passes.load();
                state
            };
            let result = work(search.state.get_or_insert_with(spare), cuda);
            match &result {
                // Only the first is kept: what comes after it follows from it.
                Err(fault @ Fault::Failed { .. }) => drop(cuda.lost.set(fault.clone())),
                // The next search shall have what is kept for nobody.
                Err(Fault::Memory { .. }) => cuda.spare.lock().unwrap_or_else(PoisonError::into_inner).clear(),
                _ => {}
            }
            result
        });
        result.unwrap_or_else(|fault| {
            search.fault.get_or_insert(fault);
            otherwise
        })
    }

    fn link<'c>(&'c self, cuda: &'c Cuda) -> Link<'c> {
        Link { device: &*cuda.device, pool: self.cpu.pool }
    }

    /// Whether the instance at hand goes to the device.
    fn on_device(&self, requests: usize, clock: &Clock) -> bool {
        let search = &mut *self.search.borrow_mut();
        *search.on_device.get_or_insert_with(|| {
            if self.choice != Choice::Auto {
                return self.choice == Choice::Cuda;
            }
            if !self.source.is_present() {
                return false;
            }
            let (n, threads) = (requests as f64, self.cpu.pool.map_or(1, ThreadPool::current_num_threads));
            let parts = requests.div_ceil(part_size(requests)).min(threads).max(1) as f64;
            let cpu = PASSES * n * search.sampled.unwrap_or(ASSUMED_CPU) / parts;
            let on_cpu = format!("the bound passes over {requests} requests take {} on the CPU", milliseconds(cpu));
            let bytes = n * COLUMN_BYTES as f64;
            if !self.source.is_open() {
                let gpu = bytes * ASSUMED_UPLOAD + PASSES * (n * ASSUMED_PASS + LAUNCHES * ASSUMED_LATENCY);
                if !clock.allows(OPENING_ALLOWED) {
                    search.why = Some(format!("{on_cpu}, and there is no time to open a device"));
                    return false;
                }
                if cpu < ASSUMED_OPENING + gpu {
                    search.why =
                        Some(format!("{on_cpu}, and opening a device alone about {}", milliseconds(ASSUMED_OPENING)));
                    return false;
                }
            }
            let cuda = match self.cuda() {
                Ok(cuda) => cuda,
                Err(fault) => {
                    search.why = Some(fault.to_string());
                    return false;
                }
            };
            let gpu = bytes * cuda.upload + PASSES * (n * cuda.pass() + LAUNCHES * cuda.latency);
            search.why = Some(format!("{on_cpu} and {} on the device, with the way there", milliseconds(gpu)));
            gpu < cpu
        })
    }

    fn is_on_device(&self) -> bool {
        self.search.borrow().on_device == Some(true)
    }
}

/// Nanoseconds for people.
fn milliseconds(nanoseconds: f64) -> String {
    let ms = nanoseconds / 1e6;
    if ms >= 10.0 { format!("{ms:.0} ms") } else { format!("{ms:.2} ms") }
}

impl Drop for OnDevice<'_> {
    fn drop(&mut self) {
        let search = self.search.get_mut();
        if let (Some(state), Some(Ok(cuda))) = (search.state.take(), self.cuda.get())
            && search.fault.is_none()
        {
            let mut spare = cuda.spare.lock().unwrap_or_else(PoisonError::into_inner);
            // More are kept by those who search at the same time.
            if spare.len() < SPARE {
                spare.push(state);
            }
        }
    }
}

impl Backend for OnDevice<'_> {
    fn load(&self) {
        let search = &mut *self.search.borrow_mut();
        search.on_device = None;
        if let Some(state) = &mut search.state {
            state.passes.load();
        }
    }

    fn classify(
        &self,
        pass: &mut Pass,
        condensed: &mut Condensed,
        view: &View<'_>,
        near: (Region, Buckets),
        clock: &Clock,
    ) -> bool {
        // Samples are small, and needed before the columns could be there.
        if view.stride > 1 {
            let start = Instant::now();
            let done = self.cpu.classify(pass, condensed, view, near, clock);
            let threads = self.cpu.pool.map_or(1, ThreadPool::current_num_threads);
            let parts = view.len().div_ceil(part_size(view.len())).min(threads).max(1) as f64;
            let each = start.elapsed().as_nanos() as f64 * parts / view.len().max(1) as f64;
            self.search.borrow_mut().sampled = Some(each);
            return done;
        }
        if !self.on_device(view.len(), clock) {
            return self.cpu.classify(pass, condensed, view, near, clock);
        }
        self.run(false, |state, cuda| state.passes.classify(self.link(cuda), condensed, view, near, clock))
    }

    fn members(
        &self,
        pass: &Pass,
        view: &View<'_>,
        open: &[bool; MAX_BUCKETS],
        members: &mut Vec<Member>,
        clock: &Clock,
    ) -> bool {
        if !self.is_on_device() {
            return self.cpu.members(pass, view, open, members, clock);
        }
        self.run(false, |state, cuda| state.passes.members(self.link(cuda), view, open, members, clock))
    }

    fn taken(&self, pass: &Pass, view: &View<'_>, least: u64, rows: &mut Vec<u32>) -> bool {
        if !self.is_on_device() {
            return self.cpu.taken(pass, view, least, rows);
        }
        self.run(false, |state, cuda| state.passes.taken(self.link(cuda), view, least, rows))
    }

    fn priced(&self, view: &View<'_>, price: (Column, f64), least: u64, listed: &mut Vec<u32>, clock: &Clock) -> bool {
        if !self.is_on_device() {
            return self.cpu.priced(view, price, least, listed, clock);
        }
        self.run(false, |state, cuda| state.passes.priced(self.link(cuda), view, price, least, listed, clock))
    }

    fn survey(
        &self,
        survey: &mut Survey,
        view: &View<'_>,
        buckets: &Buckets,
        lambda: &[Column; LANES],
        clock: &Clock,
    ) -> bool {
        if view.stride > 1 || !self.is_on_device() {
            return self.cpu.survey(survey, view, buckets, lambda, clock);
        }
        self.run(false, |state, cuda| {
            let start = Instant::now();
            let done = state.passes.survey(self.link(cuda), survey, view, buckets, lambda, clock);
            let each = start.elapsed().as_nanos() as f64 / view.len().max(1) as f64;
            cuda.pass.store(each.to_bits(), Ordering::Relaxed);
            done
        })
    }

    fn time_surveys(
        &self,
        view: &View<'_>,
        buckets: &Buckets,
        lambda: &[Column; LANES],
        passes: usize,
    ) -> Option<Vec<Duration>> {
        self.run(None, |state, cuda| {
            state.passes.time_surveys(self.link(cuda), view, buckets, lambda, passes).map(Some)
        })
    }

    fn walk(&self, tree: &Tree, items: &[Item], clock: &Clock) -> (Walked, Walk) {
        if self.choice == Choice::Auto {
            if !self.source.is_present() {
                return self.cpu.walk(tree, items, clock);
            }
            if !self.source.is_open() && !clock.allows(OPENING_ALLOWED) {
                return self.cpu.walk(tree, items, clock);
            }
            // A while on the CPU: most trees are done by then, and for the others it is little.
            let alone = clock.within(if self.source.is_open() { ALONE } else { ALONE_UNOPENED });
            let (end, walk) = self.cpu.walk(tree, items, &alone);
            if end != Walked::Stopped || clock.over() {
                return (end, walk);
            }
            if let Err(fault) = self.cuda() {
                self.search.borrow_mut().why = Some(fault.to_string());
                return self.cpu.walk(tree, items, clock);
            }
            self.search.borrow_mut().why = Some("a tree was too large for the CPU".to_string());
        }
        let stopped = (Walked::Stopped, Walk::default());
        self.run(stopped, |state, cuda| state.paths.walk(&*cuda.device, tree, items, clock))
    }

    fn enumerate(&self, tree: &Enumeration, clock: &Clock) -> Enumerated {
        if !exhaustive::is_worth(tree) {
            return self.cpu.enumerate(tree, clock);
        }
        if self.choice == Choice::Auto {
            if !self.source.is_present() {
                return self.cpu.enumerate(tree, clock);
            }
            if !self.source.is_open() && !clock.allows(OPENING_ALLOWED) {
                return self.cpu.enumerate(tree, clock);
            }
            // As with `walk`.
            let alone = clock.within(if self.source.is_open() { ALONE } else { ALONE_UNOPENED });
            let found = self.cpu.enumerate(tree, &alone);
            if found.end != End::Stopped || clock.over() {
                return found;
            }
            if let Err(fault) = self.cuda() {
                self.search.borrow_mut().why = Some(fault.to_string());
                return self.cpu.enumerate(tree, clock);
            }
            self.search.borrow_mut().why = Some("a tree was too large for the CPU".to_string());
        }
        let stopped = Enumerated { end: End::Stopped, nodes: 0, paths: 0 };
        self.run(stopped, |state, cuda| state.exhaustive.enumerate(&*cuda.device, tree, clock))
    }
}
