//! A search on a device where that is asked for, or is faster as far as measurements tell; else on the CPU.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rayon::ThreadPool;

use super::passes::{COLUMN_BYTES, Link};
use super::{ASSUMED_PASS, Cuda, Source, State, exhaustive};
use crate::backend::{Backend, Cpu};
use crate::bound::classify::Pass;
use crate::bound::condense::{Condensed, Member};
use crate::bound::region::Region;
use crate::bound::simplex::Column;
use crate::bound::survey::{LANES, Survey};
use crate::bound::view::{Buckets, MAX_BUCKETS, View, part_size};
use crate::device::{Choice, Fault, Ran};
use crate::search::Clock;
use crate::search::enumerate::{End, Enumerated, Enumeration};
use crate::tree::{Item, Tree, Walk, Walked};

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
const ASSUMED_LATENCY: f64 = 5e4;
/// Small copies and kernels of a bound pass.
const LAUNCHES: f64 = 8.0;
/// A tree is walked on the CPU for so long before it goes to a device; and if the device is to be opened first.
const ALONE: Duration = Duration::from_millis(2);
const ALONE_UNOPENED: Duration = Duration::from_millis(500);
/// A search that has less time left opens no device, and compiles no kernels: nobody can interrupt that.
const OPENING_ALLOWED: Duration = Duration::from_secs(5);

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

    /// The device, if it can be used.
    fn cuda(&self) -> Result<&Arc<Cuda>, Fault> {
        let cuda = self.cuda.get_or_init(|| self.source.open()).as_ref().map_err(Clone::clone)?;
        cuda.lost.get().map_or(Ok(cuda), |fault| Err(fault.clone()))
    }

    /// Does something on the device; `otherwise` if that fails, which ends the search.
    fn run<T>(&self, otherwise: T, work: impl FnOnce(&mut State, &Cuda) -> Result<T, Fault>) -> T {
        let search = &mut *self.search.borrow_mut();
        search.used = true;
        let result = self.cuda().and_then(|cuda| {
            let result = work(search.state.get_or_insert_with(|| cuda.take()), cuda);
            result.inspect_err(|fault| cuda.note(fault))
        });
        result.unwrap_or_else(|fault| {
            search.fault.get_or_insert(fault);
            otherwise
        })
    }

    /// What is left to the CPU, or done on it after a while. Most trees are: for the others the while is little. None
    /// if it is the device's turn.
    fn first_on_cpu<T>(
        &self,
        clock: &Clock,
        on_cpu: impl Fn(&Clock) -> T,
        is_stopped: impl Fn(&T) -> bool,
    ) -> Option<T> {
        if self.choice != Choice::Auto {
            return None;
        }
        let open = self.source.is_open();
        let usable = if open { self.cuda().is_ok() } else { self.source.is_present() && clock.allows(OPENING_ALLOWED) };
        if !usable {
            return Some(on_cpu(clock));
        }
        let found = on_cpu(&clock.within(if open { ALONE } else { ALONE_UNOPENED }));
        if !is_stopped(&found) || clock.over() {
            return Some(found);
        }
        let cuda = self.cuda();
        let why = cuda.as_ref().err().map_or_else(|| "a tree was too large for the CPU".to_string(), Fault::to_string);
        self.search.borrow_mut().why = Some(why);
        cuda.is_err().then(|| on_cpu(clock))
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
        if let (Some(state), Some(Ok(cuda)), None) = (search.state.take(), self.cuda.get(), &search.fault) {
            cuda.keep(state);
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
        let on_cpu = |clock: &Clock| self.cpu.walk(tree, items, clock);
        self.first_on_cpu(clock, on_cpu, |(end, _)| *end == Walked::Stopped).unwrap_or_else(|| {
            let stopped = (Walked::Stopped, Walk::default());
            self.run(stopped, |state, cuda| state.paths.walk(&*cuda.device, tree, items, clock))
        })
    }

    fn enumerate(&self, tree: &Enumeration, clock: &Clock) -> Enumerated {
        let on_cpu = |clock: &Clock| self.cpu.enumerate(tree, clock);
        if !exhaustive::is_worth(tree) {
            return on_cpu(clock);
        }
        self.first_on_cpu(clock, on_cpu, |found| found.end == End::Stopped).unwrap_or_else(|| {
            let stopped = Enumerated { end: End::Stopped, nodes: 0, paths: 0 };
            self.run(stopped, |state, cuda| state.exhaustive.enumerate(&*cuda.device, tree, clock))
        })
    }
}
