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
/// What the driver says to PTX that it does not take: invalid images and PTX, no code for the device, no or no willing
/// compiler, a version that it does not know.
const REFUSALS: [u32; 6] = [200, 209, 218, 221, 222, 223];
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
        let modules = ptx.iter().map(|&(module, source)| (module.to_string(), source.to_string())).collect();
        let (functions, stages) = (Mutex::default(), Mutex::default());
        let opened = Opened { facts, context, stream, modules, functions, stages };
        // The first module tells whether the driver takes the PTX; the others are compiled when they are needed.
        if let Some(kernel) = opened.modules.first().and_then(|(_, source)| kernels(source).next()) {
            opened.function(kernel)?;
        }
        Ok(Arc::new(opened))
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

// SAFETY: plain memory of the process, which belongs to whoever holds the stage; the driver's calls are made from any
// thread.
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
        // SAFETY: STAGE bytes were allocated here and live as long as `self`; every copy from or to them has ended
        // before (`done` is awaited, downloads are synchronised), so the device does not touch them meanwhile. Any byte
        // is a u8; the memory is the system's, and never without a value.
        unsafe { std::slice::from_raw_parts_mut(self.address.cast(), STAGE) }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // SAFETY: context and event live as long as `self`; nothing is copied any more when the event is done, and the
        // memory was allocated by `malloc_host` and is freed once. Of errors nothing is left to do here, and cudarc's
        // own calls would not run after an earlier one.
        unsafe {
            let _ = result::ctx::set_current(self.context.cu_ctx());
            let _ = result::event::synchronize(self.done.cu_event());
            let _ = result::free_host(self.address);
        }
    }
}

/// An open device.
struct Opened {
    facts: Facts,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    /// Names and PTX.
    modules: Vec<(String, String)>,
    /// The kernels of the modules that are loaded.
    functions: Mutex<HashMap<String, CudaFunction>>,
    /// Pinned memory of copies past, for those to come.
    stages: Mutex<Vec<[Stage; 2]>>,
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
        // SAFETY: context and stream live as long as `self`; everything that used the memory was started on the stream,
        // and has ended when that is synchronised; it was allocated by `malloc_sync` and is freed once. Of errors
        // nothing is left to do here, and cudarc's own calls would not run after an earlier one.
        unsafe {
            let _ = result::ctx::set_current(self.context.cu_ctx());
            let _ = result::stream::synchronize(self.stream.cu_stream());
            let _ = result::free_sync(self.address);
        }
    }
}

/// The argument structure of a kernel, and nothing after it.
#[repr(C, align(16))]
struct Arguments([u8; ARGUMENTS]);

impl Opened {
    /// A kernel; its module is loaded if it is not yet.
    fn function(&self, kernel: &str) -> Result<CudaFunction, Fault> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(kernel) {
            return Ok(function.clone());
        }
        let module = self.modules.iter().find(|(_, source)| kernels(source).any(|name| name == kernel));
        let Some((module, source)) = module else {
            let (operation, detail) = (format!("start {kernel}"), "there is no such kernel".to_string());
            return Err(Fault::Failed { operation, detail });
        };
        let refused = |e: DriverError| {
            let fault = failed(format!("load {module}.ptx"), e);
            match (&fault, REFUSALS.contains(&(e.0 as u32))) {
                (Fault::Failed { detail, .. }, true) => Fault::Ptx { module: module.clone(), detail: detail.clone() },
                _ => fault,
            }
        };
        let loaded = self.context.load_module(Ptx::from_src(source.as_str())).map_err(refused)?;
        for name in kernels(source) {
            let function = loaded.load_function(name).map_err(refused)?;
            let shared = self.facts.shared as i32 - function.shared_size_bytes().map_err(refused)?;
            let most = FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(most, shared).map_err(refused)?;
            if name == "cells" {
                // As many blocks at once as fit: the more of the cache is shared memory, the better.
                let carveout = FunctionAttribute::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT;
                function.set_attribute(carveout, 100).map_err(refused)?;
            }
            functions.insert(name.to_string(), function);
        }
        functions.get(kernel).cloned().ok_or_else(|| Fault::Failed {
            operation: format!("start {kernel}"),
            detail: "it is not in its module".to_string(),
        })
    }

    /// Copies with pinned memory of its own: no lock is held meanwhile, so that threads of a pool may wait for each
    /// other.
    fn staged(&self, copy: impl FnOnce(&mut [Stage; 2]) -> Result<(), DriverError>) -> Result<(), DriverError> {
        self.context.bind_to_thread()?;
        let spare = self.stages.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut stages = match spare {
            Some(stages) => stages,
            None => [Stage::new(&self.context)?, Stage::new(&self.context)?],
        };
        let copied = copy(&mut stages);
        if copied.is_err() {
            // What was started may not be covered by an event; then nobody may touch the memory before it has ended.
            let _ = self.stream.synchronize();
        }
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).push(stages);
        copied
    }

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
        // Two buffers by turns: one is filled while the other is copied.
        let copy = |stages: &mut [Stage; 2]| {
            for (at, part) in from.chunks(STAGE).enumerate() {
                let stage = &mut stages[at % 2];
                stage.done.synchronize()?;
                let buffer = &mut stage.bytes()[..part.len()];
                match pool {
                    Some(pool) if part.len() > SHARE => pool.install(|| {
                        let shares = buffer.par_chunks_mut(SHARE).zip(part.par_chunks(SHARE));
                        shares.for_each(|(to, from)| to.copy_from_slice(from));
                    }),
                    _ => buffer.copy_from_slice(part),
                }
                // Whoever stole work meanwhile may have bound another device.
                self.context.bind_to_thread()?;
                // SAFETY: the target is inside of its memory (checked above); the source stays as it is until `done`,
                // which whoever uses it next awaits.
                unsafe { result::memcpy_htod_async(to + (at * STAGE) as u64, buffer, self.stream.cu_stream()) }?;
                stage.done.record(&self.stream)?;
            }
            Ok(())
        };
        self.staged(copy).map_err(error)
    }

    fn download(&self, from: &Memory, offset: usize, to: &mut [u8]) -> Result<(), Fault> {
        let what = format!("copy {} bytes from it", to.len());
        let error = |e| failed(&what, e);
        let from = Opened::within(from, offset, to.len(), &what)?;
        let parts = to.len().div_ceil(STAGE);
        // One buffer is copied to while the other is emptied.
        let copy = |stages: &mut [Stage; 2]| {
            let mut before: Option<(usize, usize)> = None;
            for at in 0..=parts {
                let range = at * STAGE..to.len().min((at + 1) * STAGE);
                if at < parts {
                    let stage = &mut stages[at % 2];
                    stage.done.synchronize()?;
                    let buffer = &mut stage.bytes()[..range.len()];
                    let source = from + range.start as u64;
                    // SAFETY: the source is inside of its memory (checked above); the buffer is read only after `done`.
                    unsafe { result::memcpy_dtoh_async(buffer, source, self.stream.cu_stream()) }?;
                    stage.done.record(&self.stream)?;
                }
                if let Some((part, len)) = before {
                    let stage = &mut stages[part % 2];
                    stage.done.synchronize()?;
                    to[part * STAGE..part * STAGE + len].copy_from_slice(&stage.bytes()[..len]);
                }
                before = (at < parts).then_some((at, range.len()));
            }
            self.context.check_err()
        };
        self.staged(copy).map_err(error)
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
        let function = self.function(kernel)?;
        let mut arguments = Arguments([0; ARGUMENTS]);
        let place = arguments.0.get_mut(..args.len()).ok_or_else(|| detail("its arguments are too long"))?;
        place.copy_from_slice(args);
        self.context.bind_to_thread().map_err(error)?;
        let mut parameters = [std::ptr::from_mut(&mut arguments).cast::<c_void>()];
        // SAFETY: a kernel takes one structure by value, of which `layout` has the same bytes, and it is copied before
        // this returns; the addresses in it are of memory that its owner keeps until the stream is done.
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
