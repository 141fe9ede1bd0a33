//! Runs the CUDA kernels of `dftsp` on the CPU, thread by thread, for tests.
//!
//! The build compiles `kernels/*.cu`, and the kernels of this crate's own tests, as C++ for the host (`shim.h`).
//! [`launch`] runs a kernel as a launch on a device would: grid, block, dynamic shared memory and the bytes of its
//! argument structure, in which device addresses are addresses of the host.
//!
//! Each thread of a block is a fiber. It runs until it waits at a barrier or at an operation of its warp; then the next
//! thread runs, and when each has had its turn the next *round* begins, with the threads that no longer wait. Blocks
//! run one after another. [`Order`] is the order of the threads within a round, and of the blocks. A kernel without
//! races gives the same result in any order; one that lacks a barrier usually does not.
//!
//! **Stricter than a device.** All threads of a block arrive at the same `__syncthreads`, the same line of the source,
//! and each lane named in a mask arrives at the same operation with the same mask: a lane that has returned, or that
//! the block does not have, never does. When nobody can go on, that is a [`Fault`], not a hang. So are a shuffle from a
//! lane that the mask does not name, `__trap()`, and a write just past the dynamic shared memory. That memory holds
//! 0xA5 when a block starts.
//!
//! **Not seen.** Accesses outside the buffers that the caller gives (they are the caller's memory, or crash), misaligned
//! ones, and races within what a thread does between two waits. Static shared memory is not poisoned: it holds what an
//! earlier block left, zeros at first. A kernel that waits for another thread in a loop without an operation above
//! hangs. Device variables (`__device__`) are shared by all launches.

#[cfg(dftsp_emulated)]
mod arrival;
mod fault;
#[cfg(dftsp_emulated)]
mod order;
#[cfg(dftsp_emulated)]
mod run;
#[cfg(dftsp_emulated)]
mod stack;
#[cfg(dftsp_emulated)]
mod state;

pub use fault::Fault;

/// Whether there was a C++ compiler when this crate was built. Without one, every launch is [`Fault::Unavailable`].
pub const AVAILABLE: bool = cfg!(dftsp_emulated);

/// The order in which the threads of a block take turns, and in which blocks follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Lowest number first.
    Ascending,
    /// Highest number first.
    Descending,
    /// Shuffled anew in every round, by a generator with this seed.
    Shuffled(u64),
}

/// Runs a kernel: `grid` blocks of `block` threads, with so many bytes of dynamic `shared` memory.
///
/// `args` are the bytes of the kernel's argument structure. The addresses in it must be good for what the kernel does
/// with them, until this returns.
///
/// ```
/// # use dftsp_emulator::{AVAILABLE, Order, launch};
/// let input = [1_u64, 2, 3];
/// let mut sum = 0_u64;
/// // struct TestArgs { u64 input, output; u64 count; };
/// let args = [input.as_ptr() as u64, &raw mut sum as u64, 3];
/// let args: Vec<u8> = args.iter().flat_map(|word| word.to_ne_bytes()).collect();
/// if AVAILABLE {
///     launch("test_sum", 1, 4, 4 * 8, &args, Order::Shuffled(7)).unwrap();
///     assert_eq!(sum, 6);
/// }
/// ```
///
/// # Errors
///
/// The launch is not possible, or the kernel did what it must not; see [`Fault`]. What was written until then stays.
pub fn launch(name: &str, grid: u32, block: u32, shared: usize, args: &[u8], order: Order) -> Result<(), Fault> {
    #[cfg(dftsp_emulated)]
    return run::launch(name, grid, block, shared, args, order);
    #[cfg(not(dftsp_emulated))]
    {
        _ = (name, grid, block, shared, args, order);
        Err(Fault::Unavailable)
    }
}
