//! What the backend asks of a device and of its driver: few calls, so that tests can stand in for both.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use rayon::ThreadPool;

use crate::device::{Facts, Fault, Found};

/// The least version of CUDA that the driver must support: that of the PTX.
const LEAST_DRIVER: u32 = 12_000;
/// The least compute capability: that of the PTX.
const LEAST_CAPABILITY: (u32, u32) = (7, 5);

/// A driver: finds devices.
pub(crate) trait Driver {
    /// Whether there is one.
    fn is_present(&self) -> bool;
    /// The CUDA version that it supports: 1000 times the major and 10 times the minor number.
    fn version(&self) -> Result<u32, Fault>;
    /// The number of devices.
    fn count(&self) -> Result<usize, Fault>;
    /// What is known of a device.
    fn facts(&self, ordinal: usize) -> Result<Facts, Fault>;
    /// Opens a device and loads the kernels.
    fn open(&self, facts: Facts, ptx: &[(&str, &str)]) -> Result<Arc<dyn Device>, Fault>;
}

/// How a kernel is spread: blocks, threads a block, and bytes of shared memory a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub grid: u32,
    pub block: u32,
    pub shared: u32,
}

/// A device. What is asked of it is done in this order; what comes back is there on return.
pub(crate) trait Device: Send + Sync + fmt::Debug {
    fn facts(&self) -> &Facts;
    /// Bytes of memory that are free.
    fn free(&self) -> Result<u64, Fault>;
    /// Memory with anything in it.
    fn allocate(&self, bytes: usize) -> Result<Memory, Fault>;
    /// Copies to the device, with the help of the threads of `pool`; `from` is free again on return, the copy may go
    /// on.
    fn upload(&self, to: &Memory, offset: usize, from: &[u8], pool: Option<&ThreadPool>) -> Result<(), Fault>;
    /// Copies from the device.
    fn download(&self, from: &Memory, offset: usize, to: &mut [u8]) -> Result<(), Fault>;
    /// Sets bytes.
    fn fill(&self, memory: &Memory, offset: usize, bytes: usize, value: u8) -> Result<(), Fault>;
    /// Starts a kernel with the bytes of its argument structure.
    fn launch(&self, kernel: &'static str, shape: Shape, args: &[u8]) -> Result<(), Fault>;
    /// Waits until everything is done.
    fn synchronize(&self) -> Result<(), Fault>;
}

/// Memory of a device, until it is dropped.
pub(crate) struct Memory {
    address: u64,
    bytes: usize,
    _owner: Box<dyn Any + Send + Sync>,
}

impl Memory {
    /// `owner` frees it when it is dropped.
    pub fn new(address: u64, bytes: usize, owner: Box<dyn Any + Send + Sync>) -> Self {
        Memory { address, bytes, _owner: owner }
    }

    pub fn address(&self) -> u64 {
        self.address
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {:#x}", self.bytes, self.address)
    }
}

/// Memory that grows to what is asked of it, and is kept.
#[derive(Debug, Default)]
pub(crate) struct Slot(Option<Memory>);

impl Slot {
    /// At least so many bytes, with anything in them, for `what`.
    pub fn reserve(&mut self, device: &dyn Device, bytes: usize, what: &str) -> Result<&Memory, Fault> {
        if self.0.as_ref().is_none_or(|memory| memory.bytes() < bytes) {
            // The old memory first: both may not fit.
            self.0 = None;
            let free = device.free()?;
            if bytes as u64 > free {
                return Err(Fault::Memory { what: what.to_string(), needed: bytes as u64, free });
            }
            self.0 = Some(device.allocate(bytes.max(16))?);
        }
        self.get()
    }

    /// What was reserved.
    pub fn get(&self) -> Result<&Memory, Fault> {
        let none = || Fault::Failed { operation: "find memory".to_string(), detail: "none was reserved".to_string() };
        self.0.as_ref().ok_or_else(none)
    }

    /// The bytes that it holds now.
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, Memory::bytes)
    }
}

/// Why a device cannot be used, as far as its facts tell.
fn refuse(facts: &Facts) -> Option<Fault> {
    let (name, capability) = (facts.name.clone(), facts.capability);
    (capability < LEAST_CAPABILITY).then_some(Fault::OldDevice { name, capability })
}

/// Asks a driver what there is.
pub(crate) fn found(driver: &dyn Driver, ptx: &[(&str, &str)], kernels: &'static str) -> Found {
    let mut found = Found { driver: None, devices: Vec::new(), fault: None, kernels };
    found.fault = look(driver, &mut found.driver, &mut found.devices).err();
    if ptx.is_empty() {
        found.fault = found.fault.or(Some(Fault::NoKernels));
    }
    for (facts, fault) in &mut found.devices {
        *fault = refuse(facts).or_else(|| driver.open(facts.clone(), ptx).err());
    }
    found
}

fn look(
    driver: &dyn Driver,
    version: &mut Option<u32>,
    devices: &mut Vec<(Facts, Option<Fault>)>,
) -> Result<(), Fault> {
    if !driver.is_present() {
        return Err(Fault::NoDriver);
    }
    let found = driver.version()?;
    *version = Some(found);
    if found < LEAST_DRIVER {
        return Err(Fault::OldDriver { found });
    }
    let mut fault = Fault::NoDevice;
    for ordinal in 0..driver.count()? {
        match driver.facts(ordinal) {
            Ok(facts) => devices.push((facts, None)),
            // One that does not answer hides no other.
            Err(silent) => fault = silent,
        }
    }
    if devices.is_empty() { Err(fault) } else { Ok(()) }
}

/// Opens the first device that can be used.
pub(crate) fn open(driver: &dyn Driver, ptx: &[(&str, &str)]) -> Result<Arc<dyn Device>, Fault> {
    if ptx.is_empty() {
        return Err(Fault::NoKernels);
    }
    let mut devices = Vec::new();
    look(driver, &mut None, &mut devices)?;
    let mut first = None;
    for (facts, _) in devices {
        match refuse(&facts).map_or_else(|| driver.open(facts, ptx), Err) {
            Ok(device) => return Ok(device),
            Err(fault) => first = first.or(Some(fault)),
        }
    }
    Err(first.unwrap_or(Fault::NoDevice))
}
