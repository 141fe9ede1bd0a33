//! NVIDIA's driver, through cudarc, loaded at run time: nothing of CUDA is needed to build, and none to run without.
#![allow(unsafe_code, reason = "calls into the driver")]

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUfunction_attribute as FunctionAttribute};
use cudarc::driver::{CudaContext, CudaEvent, CudaFunction, CudaStream, DriverError, result};
use cudarc::nvrtc::Ptx;
use rayon::ThreadPool;
use rayon::prelude::*;

use super::device::{Device, Driver, Memory, Shape};
use crate::device::{Facts, Fault};

/// The driver of this machine.
#[derive(Debug)]
pub(crate) struct System;

/// Bytes of a pinned buffer: what one copy moves.
const STAGE: usize = 8 << 20;
/// Bytes that one thread copies to it at a time.
const SHARE: usize = 256 << 10;
/// Bytes of the longest argument structure.
const ARGUMENTS: usize = 1024;

fn failed(operation: impl Into<String>, error: DriverError) -> Fault {
    // Only called where a driver is loaded: it puts the number in words.
    let detail = match error.error_string() {
        Ok(text) => format!("{} ({})", text.to_string_lossy(), error.0 as u32),
        Err(_) => format!("error {}", error.0 as u32),
    };
    Fault::Failed { operation: operation.into(), detail }
}

impl Driver for System {
    fn is_present(&self) -> bool {
        // SAFETY: loads the library and drops it; its initialisers are NVIDIA's.
        unsafe { sys::is_culib_present() }
    }

    fn version(&self) -> Result<u32, Fault> {
        let mut version = 0;
        // SAFETY: the library is there (`is_present` comes first), and the pointer is to a live integer.
        let code = unsafe { sys::cuDriverGetVersion(&raw mut version) };
        code.result().map_err(|e| failed("tell its driver's version", e))?;
        Ok(version.unsigned_abs())
    }

    fn count(&self) -> Result<usize, Fault> {
        match result::init().and_then(|()| result::device::get_count()) {
            Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
            Err(e) if e.0 == sys::CUresult::CUDA_ERROR_NO_DEVICE => Ok(0),
            Err(e) => Err(failed("start", e)),
        }
    }

    fn facts(&self, ordinal: usize) -> Result<Facts, Fault> {
        let error = |e| failed(format!("describe device {ordinal}"), e);
        let device = result::device::get(ordinal as i32).map_err(error)?;
        let ask = |attribute| {
            // SAFETY: the device was just returned by the driver.
            let value = unsafe { result::device::get_attribute(device, attribute) };
            value.map(i32::unsigned_abs).map_err(error)
        };
        // Not every driver tells clocks.
        let clock = u64::from(ask(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE).unwrap_or(0));
        let bits = u64::from(ask(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH).unwrap_or(0));
        Ok(Facts {
            ordinal,
            name: result::device::get_name(device).map_err(error)?,
            capability: (
                ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            multiprocessors: ask(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            // SAFETY: as above.
            memory: unsafe { result::device::total_mem(device) }.map_err(error)? as u64,
            shared: ask(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            clock_khz: ask(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE).unwrap_or(0),
            bandwidth: 2 * clock * 1000 * bits / 8,
        })
    }

    fn open(&self, facts: Facts, ptx: &[(&str, &str)]) -> Result<Arc<dyn Device>, Fault> {
        let what = format!("open {}", facts.name);
        let context = CudaContext::new(facts.ordinal).map_err(|e| failed(&what, e))?;
        // SAFETY: no memory of cudarc's own types is shared between streams: one stream does everything.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(|e| failed(&what, e))?;
        let mut functions = HashMap::new();
        for (module, source) in ptx {
            let refused = |e| match failed("", e) {
                Fault::Failed { detail, .. } => Fault::Ptx { module: (*module).to_string(), detail },
                fault => fault,
            };
            let loaded = context.load_module(Ptx::from_src(*source)).map_err(refused)?;
            for kernel in kernels(source) {
                let function = loaded.load_function(kernel).map_err(refused)?;
                let shared = facts.shared as i32 - function.shared_size_bytes().map_err(refused)?;
                function
                    .set_attribute(FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared)
                    .map_err(refused)?;
                if *kernel == *"cells" {
                    // As many blocks at once as fit: the more of the cache is shared memory, the better.
                    let carveout = FunctionAttribute::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT;
                    function.set_attribute(carveout, 100).map_err(refused)?;
                }
                functions.insert(kernel.to_string(), function);
            }
        }
        let stage = || Stage::new(&context).map_err(|e| failed("allocate pinned memory", e));
        let stages = Mutex::new([stage()?, stage()?]);
        Ok(Arc::new(Opened { facts, context, stream, functions, stages }))
    }
}

/// The kernels of a PTX file.
fn kernels(ptx: &str) -> impl Iterator<Item = &str> {
    let names = ptx.lines().filter_map(|line| line.trim_start().strip_prefix(".visible .entry "));
    names.map(|name| name.trim_end_matches(['(', ' ']))
}

/// Pinned memory, through which copies go.
#[derive(Debug)]
struct Stage {
    address: *mut c_void,
    /// When the last copy out of it is done.
    done: CudaEvent,
    context: Arc<CudaContext>,
}

// SAFETY: plain memory of the process, which one thread at a time uses (`Opened::stages` is a mutex).
unsafe impl Send for Stage {}

impl Stage {
    fn new(context: &Arc<CudaContext>) -> Result<Self, DriverError> {
        context.bind_to_thread()?;
        let done = context.new_event(None)?;
        // SAFETY: no flags: ordinary cached memory, good to read and to write. It is freed in `drop`.
        let address = unsafe { result::malloc_host(STAGE, 0) }?;
        Ok(Stage { address, done, context: context.clone() })
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: STAGE bytes were allocated here and live as long as `self`; every copy from or to them has ended before
        // (`done` is awaited, downloads are synchronised), so the device does not touch them meanwhile. Any byte is a u8; the
        // memory is the system's, and never without a value.
        unsafe { std::slice::from_raw_parts_mut(self.address.cast(), STAGE) }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        self.context.record_err(self.done.synchronize());
        // SAFETY: allocated by `malloc_host`, freed once, and no copy uses it any more.
        self.context.record_err(unsafe { result::free_host(self.address) });
    }
}

/// An open device.
struct Opened {
    facts: Facts,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    functions: HashMap<String, CudaFunction>,
    stages: Mutex<[Stage; 2]>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.facts.name)
    }
}

/// Frees memory of the device when it is dropped.
struct Owner {
    address: u64,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        self.context.record_err(self.stream.synchronize());
        // SAFETY: allocated by `malloc_sync`, freed once, and everything that used it has ended.
        self.context.record_err(unsafe { result::free_sync(self.address) });
    }
}

/// The argument structure of a kernel, and nothing after it.
#[repr(C, align(16))]
struct Arguments([u8; ARGUMENTS]);

impl Opened {
    /// An address inside of memory, where so many bytes are.
    fn within(memory: &Memory, offset: usize, bytes: usize, operation: &str) -> Result<u64, Fault> {
        let end = offset.checked_add(bytes);
        if end.is_none_or(|end| end > memory.bytes()) {
            let detail = format!("bytes {offset} to {offset} + {bytes} of {}", memory.bytes());
            return Err(Fault::Failed { operation: operation.to_string(), detail });
        }
        Ok(memory.address() + offset as u64)
    }
}

impl Device for Opened {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn free(&self) -> Result<u64, Fault> {
        let (free, _) = self.context.mem_get_info().map_err(|e| failed("tell its free memory", e))?;
        Ok(free as u64)
    }

    fn allocate(&self, bytes: usize) -> Result<Memory, Fault> {
        let error = |e: DriverError| match e.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                let free = self.free().unwrap_or(0);
                Fault::Memory { what: "the search".to_string(), needed: bytes as u64, free }
            }
            _ => failed(format!("allocate {bytes} bytes"), e),
        };
        self.context.bind_to_thread().map_err(error)?;
        // SAFETY: kernels and copies write before they read, which the CPU's results confirm; it is freed by its owner.
        let address = unsafe { result::malloc_sync(bytes) }.map_err(error)?;
        let owner = Owner { address, context: self.context.clone(), stream: self.stream.clone() };
        Ok(Memory::new(address, bytes, Box::new(owner)))
    }

    fn upload(&self, to: &Memory, offset: usize, from: &[u8], pool: Option<&ThreadPool>) -> Result<(), Fault> {
        let what = || format!("copy {} bytes to it", from.len());
        let error = |e| failed(what(), e);
        let to = Opened::within(to, offset, from.len(), &what())?;
        self.context.bind_to_thread().map_err(error)?;
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        // Two buffers by turns: one is filled while the other is copied.
        for (at, part) in from.chunks(STAGE).enumerate() {
            let stage = &mut stages[at % 2];
            stage.done.synchronize().map_err(error)?;
            let buffer = &mut stage.bytes()[..part.len()];
            match pool {
                Some(pool) if part.len() > SHARE => pool.install(|| {
                    let shares = buffer.par_chunks_mut(SHARE).zip(part.par_chunks(SHARE));
                    shares.for_each(|(to, from)| to.copy_from_slice(from));
                }),
                _ => buffer.copy_from_slice(part),
            }
            // SAFETY: the target is inside of its memory (checked above); the source stays as it is until `done`, which
            // whoever uses it next awaits.
            unsafe { result::memcpy_htod_async(to + (at * STAGE) as u64, buffer, self.stream.cu_stream()) }
                .map_err(error)?;
            stage.done.record(&self.stream).map_err(error)?;
        }
        Ok(())
    }

    fn download(&self, from: &Memory, offset: usize, to: &mut [u8]) -> Result<(), Fault> {
        let what = format!("copy {} bytes from it", to.len());
        let error = |e| failed(&what, e);
        let from = Opened::within(from, offset, to.len(), &what)?;
        self.context.bind_to_thread().map_err(error)?;
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before: Option<(usize, usize)> = None;
        let parts = to.len().div_ceil(STAGE);
        // One buffer is copied to while the other is emptied.
        for at in 0..=parts {
            let range = at * STAGE..to.len().min((at + 1) * STAGE);
            if at < parts {
                let stage = &mut stages[at % 2];
                stage.done.synchronize().map_err(error)?;
                let buffer = &mut stage.bytes()[..range.len()];
                // SAFETY: the source is inside of its memory (checked above); the buffer is read only after `done`.
                unsafe { result::memcpy_dtoh_async(buffer, from + range.start as u64, self.stream.cu_stream()) }
                    .map_err(error)?;
                stage.done.record(&self.stream).map_err(error)?;
            }
            if let Some((part, len)) = before {
                let stage = &mut stages[part % 2];
                stage.done.synchronize().map_err(error)?;
                to[part * STAGE..part * STAGE + len].copy_from_slice(&stage.bytes()[..len]);
            }
            before = (at < parts).then_some((at, range.len()));
        }
        self.context.check_err().map_err(error)
    }

    fn fill(&self, memory: &Memory, offset: usize, bytes: usize, value: u8) -> Result<(), Fault> {
        let what = format!("set {bytes} bytes");
        let address = Opened::within(memory, offset, bytes, &what)?;
        self.context.bind_to_thread().map_err(|e| failed(&what, e))?;
        // SAFETY: inside of its memory (checked above).
        unsafe { result::memset_d8_async(address, value, bytes, self.stream.cu_stream()) }.map_err(|e| failed(&what, e))
    }

    fn launch(&self, kernel: &'static str, shape: Shape, args: &[u8]) -> Result<(), Fault> {
        let what = || {
            format!("start {kernel} with {} blocks of {} threads and {} bytes", shape.grid, shape.block, shape.shared)
        };
        let error = |e| failed(what(), e);
        let detail = |text: &str| Fault::Failed { operation: what(), detail: text.to_string() };
        let function = self.functions.get(kernel).ok_or_else(|| detail("there is no such kernel"))?;
        let mut arguments = Arguments([0; ARGUMENTS]);
        let place = arguments.0.get_mut(..args.len()).ok_or_else(|| detail("its arguments are too long"))?;
        place.copy_from_slice(args);
        self.context.bind_to_thread().map_err(error)?;
        let mut parameters = [std::ptr::from_mut(&mut arguments).cast::<c_void>()];
        // SAFETY: a kernel takes one structure by value, of which `layout` has the same bytes, and it is copied before this
        // returns; the addresses in it are of memory that its owner keeps until the stream is done.
        unsafe {
            result::launch_kernel(
                function.cu_function(),
                (shape.grid, 1, 1),
                (shape.block, 1, 1),
                shape.shared,
                self.stream.cu_stream(),
                &mut parameters,
            )
        }
        .map_err(error)
    }

    fn synchronize(&self) -> Result<(), Fault> {
        let done = self.stream.synchronize().and_then(|()| self.context.check_err());
        done.map_err(|e| failed("finish", e))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn kernels_are_found_in_the_ptx() {
        let ptx = ".version 8.0\n.visible .entry classify(\n.param .align 8 .b8 x[4]\n)\n.visible .entry survey(\n";
        assert_eq!(super::kernels(ptx).collect::<Vec<_>>(), ["classify", "survey"]);
    }
}
