//! A CUDA device.
//!
//! - `driver`: NVIDIA's driver, behind the few calls of `device`, for which tests stand in;
//! - `layout`: the structures that host and kernels share;
//! - `passes`: bound passes over the columns of an instance;
//! - `paths`: the path check;
//! - `cells`: many small instances in one launch.
//! - `exhaustive`: the paper's tree without pruning;
//! - `on_device`: a search, and what of it goes to the device.
//!
//! The kernels do the CPU's operations: the same floats where floats decide, and exact sums; and where the CPU stops at
//! the first of many, they take the lowest-numbered. So every result has the same bytes.

mod cells;
#[cfg(test)]
#[cfg(dftsp_has_emulator)]
#[path = "../../../tests/common/mod.rs"]
mod common;
mod device;
mod driver;
mod exhaustive;
mod layout;
mod on_device;
mod passes;
mod paths;
#[cfg(test)]
#[cfg(dftsp_has_emulator)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use crate::device::{Fault, Found};
use cells::Cells;
pub(crate) use cells::solve_cells;
use device::{Device, Driver};
use driver::System;
use exhaustive::Exhaustive;
pub(crate) use on_device::OnDevice;
use passes::{COLUMN_BYTES, Passes};
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

/// Nanoseconds a request in a bound pass of a small device.
const ASSUMED_PASS: f64 = 0.5;
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

    /// Memory of a search past, or new.
    fn take(&self) -> State {
        let mut state = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        state.passes.load();
        state
    }

    /// Keeps memory for a search to come, unless enough is kept.
    fn keep(&self, state: State) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(state);
        }
    }

    /// What a fault means for those to come.
    fn note(&self, fault: &Fault) {
        match fault {
            // Only the first is kept: what comes after it follows from it.
            Fault::Failed { .. } => drop(self.lost.set(fault.clone())),
            // The next search shall have what is kept for nobody.
            Fault::Memory { .. } => self.spare.lock().unwrap_or_else(PoisonError::into_inner).clear(),
            _ => {}
        }
    }

    /// How its searches walk trees.
    #[cfg(test)]
    #[cfg(dftsp_has_emulator)]
    fn set_pace(&self, pace: paths::Pace) {
        let mut state = State::default();
        state.paths.pace = pace;
        self.keep(state);
    }

    /// How its searches share out paths.
    #[cfg(test)]
    #[cfg(dftsp_has_emulator)]
    fn set_exhaustive_pace(&self, pace: exhaustive::Pace) {
        let mut state = State::default();
        state.exhaustive.pace = pace;
        self.keep(state);
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
