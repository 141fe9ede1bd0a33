//! Launches: fibers, the blocks of a grid, and what the kernels call when a thread waits.

use crate::arrival::Arrival;
use crate::order::Shuffler;
use crate::stack::Pooled;
use crate::state::{State, Step};
use crate::{Fault, Order};
use corosensei::{Coroutine, Yielder};
use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_void};
use std::ptr;

include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// A kernel of the table that the build writes.
struct Kernel {
    name: &'static str,
    /// Runs it for the current thread.
    entry: unsafe extern "C" fn(*const c_void),
    /// The size of its argument structure.
    size: extern "C" fn() -> u32,
    /// The largest block it may be launched with.
    bound: extern "C" fn() -> u32,
}

const MAX_GRID: u32 = (1 << 31) - 1;
const MAX_BLOCK: u32 = 1024;
const MAX_SHARED: usize = 227 << 10;
const POISON: u8 = 0xA5;
/// So many bytes past the shared memory are watched.
const WATCHED: usize = 1024;

/// `uint3` and `dim3`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Dim {
    x: u32,
    y: u32,
    z: u32,
}

/// `DftspEmulated` of `shim.h`: what a kernel knows of the thread that runs.
#[repr(C)]
struct Emulated {
    thread_idx: Dim,
    block_idx: Dim,
    block_dim: Dim,
    grid_dim: Dim,
    shared: *mut u8,
    run: *const Run,
    arrive: Option<Arrive>,
}

type Arrive = unsafe extern "C" fn(run: *const Run, what: u64, whom: u64, file: *const c_char, value: u64) -> u64;

unsafe extern "C" {
    /// The variables of this thread of the host, an [`Emulated`] that lives as long as it does.
    safe fn dftsp_emulated_here() -> *mut c_void;
}

/// What the scheduler and the fibers of a launch share. All run on one thread of the host.
struct Run {
    entry: unsafe extern "C" fn(*const c_void),
    args: *const c_void,
    emulated: *mut Emulated,
    /// The thread that runs, and how to leave its fiber.
    thread: Cell<u32>,
    yielder: Cell<*const Yielder<(), ()>>,
    /// What a thread did that it must not. It never runs again.
    fault: Cell<Option<String>>,
    /// Borrowed only between two switches, never across one.
    state: RefCell<State>,
}

impl Run {
    fn set_thread(&self, thread: u32) {
        self.thread.set(thread);
        // SAFETY: the variables of this thread of the host; the kernels access them only while they run.
        unsafe { (*self.emulated).thread_idx.x = thread };
    }

    fn start(&self, fiber: usize) -> Option<u32> {
        self.state.borrow_mut().start(fiber)
    }
}

/// The body of a fiber: runs threads that have not started, one after another, as long as there are any.
///
/// # Safety
///
/// `run` outlives the fiber's last turn.
unsafe fn work(yielder: &Yielder<(), ()>, run: *const Run, fiber: usize) {
    // SAFETY: the caller's promise.
    let run = unsafe { &*run };
    loop {
        run.yielder.set(yielder);
        while let Some(thread) = run.start(fiber) {
            run.set_thread(thread);
            // SAFETY: the entry is that of the kernel whose argument structure has the size of `args`, which are
            // aligned; what the kernel does with the addresses in it is up to the caller of `launch`.
            unsafe { (run.entry)(run.args) };
            run.state.borrow_mut().exit(thread);
        }
        run.state.borrow_mut().idle().push(fiber);
        yielder.suspend(());
    }
}

/// Called by a kernel when its thread waits; returns when it need not any longer.
///
/// # Safety
///
/// Called on a fiber of `run`, which is the current launch of this thread of the host; `file` is a string literal.
unsafe extern "C" fn arrive(run: *const Run, what: u64, whom: u64, file: *const c_char, value: u64) -> u64 {
    // SAFETY: the caller's promise.
    let (run, arrival) = unsafe { (&*run, Arrival::new(what, whom, file, value)) };
    let (thread, yielder) = (run.thread.get(), run.yielder.get());
    let arrived = run.state.borrow_mut().arrive(thread, arrival);
    if let Err(what) = arrived {
        run.fault.set(Some(what));
    }
    // SAFETY: `yielder` is that of the fiber that runs, and lives on its stack.
    unsafe { (*yielder).suspend(()) };
    run.yielder.set(yielder);
    run.state.borrow().result(thread)
}

type Fiber = Coroutine<(), (), (), Pooled>;

/// The fibers of a launch. Their stacks go back when it ends.
#[derive(Default)]
struct Fibers(Vec<Fiber>);

impl Fibers {
    /// # Safety
    ///
    /// `run` outlives the fibers.
    unsafe fn add(&mut self, run: *const Run) -> Result<usize, Fault> {
        let fiber = self.0.len();
        let stack = Pooled::take(fiber).map_err(|error| Fault::Stack(error.to_string()))?;
        // SAFETY: the caller's promise.
        self.0.push(Coroutine::with_stack(stack, move |yielder, ()| unsafe { work(yielder, run, fiber) }));
        Ok(fiber)
    }
}

impl Drop for Fibers {
    fn drop(&mut self) {
        Pooled::give(self.0.drain(..).map(|mut fiber| {
            // SAFETY: its stack holds frames of `work` and `arrive`, which have nothing to drop once suspended, and of
            // kernels, whose objects live on it and nowhere else.
            unsafe { fiber.force_reset() };
            fiber.into_stack()
        }));
    }
}

/// Memory aligned as strictly as any kernel may expect.
struct Memory {
    bytes: Vec<u8>,
    start: usize,
}

impl Memory {
    const ALIGN: usize = 128;

    fn new(len: usize) -> Self {
        let bytes = vec![POISON; len + Self::ALIGN];
        let start = bytes.as_ptr().align_offset(Self::ALIGN);
        Self { bytes, start }
    }

    fn as_mut(&mut self) -> &mut [u8] {
        let len = self.bytes.len() - Self::ALIGN;
        &mut self.bytes[self.start..][..len]
    }
}

pub(crate) fn launch(name: &str, grid: u32, block: u32, shared: usize, args: &[u8], order: Order) -> Result<(), Fault> {
    let kernel = find(name, grid, block, shared, args)?;
    let mut memory = Memory::new(args.len());
    memory.as_mut().copy_from_slice(args);
    let args = memory.as_mut().as_ptr().cast();
    let mut shared_memory = Memory::new(shared + WATCHED);
    let emulated = dftsp_emulated_here().cast();
    let run = Run {
        entry: kernel.entry,
        args,
        emulated,
        thread: Cell::new(0),
        yielder: Cell::new(ptr::null()),
        fault: Cell::new(None),
        state: RefCell::new(State::new(order, block)),
    };
    // Dropped before `run`.
    let mut fibers = Fibers::default();
    let mut shuffler = Shuffler::new(order);
    let mut shuffled: Vec<u32> = if let Order::Shuffled(_) = order { (0..grid).collect() } else { Vec::new() };
    shuffler.arrange(&mut shuffled, order);
    for turn in 0..grid {
        let number = match order {
            Order::Ascending => turn,
            Order::Descending => grid - 1 - turn,
            Order::Shuffled(_) => shuffled[turn as usize],
        };
        shared_memory.as_mut().fill(POISON);
        let (index, size) = (|x| Dim { x, y: 0, z: 0 }, |x| Dim { x, y: 1, z: 1 });
        let variables = Emulated {
            thread_idx: index(0),
            block_idx: index(number),
            block_dim: size(block),
            grid_dim: size(grid),
            shared: shared_memory.as_mut().as_mut_ptr(),
            run: &raw const run,
            arrive: Some(arrive),
        };
        // SAFETY: the variables of this thread of the host; no kernel runs on it now.
        unsafe { *emulated = variables };
        run_block(name, number, &run, &mut fibers)?;
        let past = &shared_memory.as_mut()[shared..];
        if *past != [POISON; WATCHED] {
            let past = past.iter().take_while(|&&byte| byte == POISON).count();
            return Err(Fault::SharedOverrun { kernel: name.to_owned(), block: number, offset: shared + past });
        }
    }
    Ok(())
}

/// The kernel, if it can be launched so.
fn find(name: &str, grid: u32, block: u32, shared: usize, args: &[u8]) -> Result<&'static Kernel, Fault> {
    let at = KERNELS.binary_search_by(|kernel| kernel.name.cmp(name));
    let kernel = at.map(|at| &KERNELS[at]).map_err(|_| Fault::UnknownKernel(name.to_owned()))?;
    let expected = (kernel.size)() as usize;
    if args.len() != expected {
        return Err(Fault::Arguments { kernel: name.to_owned(), expected, given: args.len() });
    }
    let bound = (kernel.bound)().min(MAX_BLOCK);
    let what = if !(1..=MAX_GRID).contains(&grid) {
        format!("a grid has 1 to {MAX_GRID} blocks, not {grid}")
    } else if !(1..=bound).contains(&block) {
        format!("its blocks have 1 to {bound} threads, not {block}")
    } else if shared > MAX_SHARED {
        format!("a block has up to {MAX_SHARED} bytes of shared memory, not {shared}")
    } else {
        return Ok(kernel);
    };
    Err(Fault::Configuration { kernel: name.to_owned(), what })
}

fn run_block(name: &str, block: u32, run: &Run, fibers: &mut Fibers) -> Result<(), Fault> {
    run.state.borrow_mut().begin();
    loop {
        loop {
            let step = run.state.borrow_mut().step();
            let fiber = match step {
                None => break,
                Some(Step::Resume(thread, fiber)) => {
                    run.set_thread(thread);
                    fiber
                }
                Some(Step::Start) => {
                    let idle = run.state.borrow_mut().idle().pop();
                    match idle {
                        Some(fiber) => fiber,
                        // SAFETY: `launch` drops the fibers before `run`.
                        None => unsafe { fibers.add(run) }?,
                    }
                }
            };
            fibers.0[fiber].resume(());
            if let Some(what) = run.fault.take() {
                return Err(Fault::Thread { kernel: name.to_owned(), block, thread: run.thread.get(), what });
            }
        }
        let mut state = run.state.borrow_mut();
        if !state.next_round() {
            let threads = if state.has_ended() { return Ok(()) } else { state.report() };
            return Err(Fault::Deadlock { kernel: name.to_owned(), block, threads });
        }
    }
}
