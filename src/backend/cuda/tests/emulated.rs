//! A device that is not there: its memory is the host's, and its kernels run under emulation.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

pub(super) use dftsp_emulator::{AVAILABLE, Order};
use rayon::ThreadPool;

use super::super::device::{Device, Memory, Shape};
use crate::device::{Facts, Fault};

/// See the module documentation.
#[derive(Debug)]
pub(super) struct Emulated {
    facts: Facts,
    order: Order,
    /// Bytes that it may hold.
    capacity: u64,
    blocks: Arc<Mutex<HashMap<u64, Vec<u64>>>>,
    /// Calls so far; and the one from which on all fail, with what.
    calls: AtomicUsize,
    failing: Option<(usize, Fault)>,
}

/// Frees a block.
struct Owner {
    address: u64,
    blocks: Arc<Mutex<HashMap<u64, Vec<u64>>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.blocks.lock().unwrap().remove(&self.address);
    }
}

impl Emulated {
    /// With few and small multiprocessors, and memory enough.
    pub fn new(order: Order) -> Self {
        let facts = Facts {
            ordinal: 0,
            name: "an emulated device".to_string(),
            capability: (7, 5),
            multiprocessors: 2,
            memory: 1 << 30,
            shared: 48 << 10,
            clock_khz: 1000,
            bandwidth: 0,
        };
        let (blocks, calls) = (Arc::default(), AtomicUsize::new(0));
        Emulated { facts, order, capacity: 1 << 30, blocks, calls, failing: None }
    }

    /// With so much shared memory a block.
    pub fn shared(mut self, bytes: u32) -> Self {
        self.facts.shared = bytes;
        self
    }

    /// With so much memory.
    pub fn memory(self, bytes: u64) -> Self {
        Emulated { capacity: bytes, ..self }
    }

    /// All calls from this one on fail.
    pub fn failing(self, from: usize, fault: Fault) -> Self {
        Emulated { failing: Some((from, fault)), ..self }
    }

    /// The calls so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn call(&self) -> Result<(), Fault> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        match &self.failing {
            Some((from, fault)) if call >= *from => Err(fault.clone()),
            _ => Ok(()),
        }
    }

    fn with<T>(&self, memory: &Memory, work: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut blocks = self.blocks.lock().unwrap();
        work(bytemuck::cast_slice_mut(blocks.get_mut(&memory.address()).unwrap()))
    }
}

impl Device for Emulated {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn free(&self) -> Result<u64, Fault> {
        self.call()?;
        let used: usize = self.blocks.lock().unwrap().values().map(|block| 8 * block.len()).sum();
        Ok(self.capacity.saturating_sub(used as u64))
    }

    fn allocate(&self, bytes: usize) -> Result<Memory, Fault> {
        self.call()?;
        // Never zero: what a kernel reads, somebody has written.
        let mut block = vec![0xa5a5_a5a5_a5a5_a5a5u64; bytes.div_ceil(8) + 2];
        let address = block.as_mut_ptr() as u64;
        // Kernels load 16 bytes at once.
        assert!(address.is_multiple_of(16), "the allocator aligns to 16 bytes");
        self.blocks.lock().unwrap().insert(address, block);
        Ok(Memory::new(address, bytes, Box::new(Owner { address, blocks: self.blocks.clone() })))
    }

    fn upload(&self, to: &Memory, offset: usize, from: &[u8], _: Option<&ThreadPool>) -> Result<(), Fault> {
        self.call()?;
        assert!(offset + from.len() <= to.bytes());
        self.with(to, |bytes| bytes[offset..offset + from.len()].copy_from_slice(from));
        Ok(())
    }

    fn download(&self, from: &Memory, offset: usize, to: &mut [u8]) -> Result<(), Fault> {
        self.call()?;
        assert!(offset + to.len() <= from.bytes());
        self.with(from, |bytes| to.copy_from_slice(&bytes[offset..offset + to.len()]));
        Ok(())
    }

    fn fill(&self, memory: &Memory, offset: usize, bytes: usize, value: u8) -> Result<(), Fault> {
        self.call()?;
        assert!(offset + bytes <= memory.bytes());
        self.with(memory, |all| all[offset..offset + bytes].fill(value));
        Ok(())
    }

    fn launch(&self, kernel: &'static str, shape: Shape, args: &[u8]) -> Result<(), Fault> {
        self.call()?;
        assert!(shape.shared <= self.facts.shared);
        dftsp_emulator::launch(kernel, shape.grid, shape.block, shape.shared as usize, args, self.order)
            .map_err(|fault| Fault::Failed { operation: format!("run {kernel}"), detail: fault.to_string() })
    }

    fn synchronize(&self) -> Result<(), Fault> {
        self.call()
    }
}
