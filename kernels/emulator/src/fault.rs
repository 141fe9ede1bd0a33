use std::error::Error;
use std::fmt;

/// Why a launch failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// There was no C++ compiler when this crate was built.
    Unavailable,
    /// No kernel has this name.
    UnknownKernel(String),
    /// The argument structure of the kernel has another size.
    Arguments {
        /// The kernel.
        kernel: String,
        /// The size of its argument structure.
        expected: usize,
        /// Bytes given.
        given: usize,
    },
    /// A device refuses such a launch: its grid, block or shared memory is not possible.
    Configuration {
        /// The kernel.
        kernel: String,
        /// What is not possible.
        what: String,
    },
    /// A thread did what it must not.
    Thread {
        /// The kernel.
        kernel: String,
        /// The block.
        block: u32,
        /// The thread, within its block.
        thread: u32,
        /// What it did.
        what: String,
    },
    /// Threads of a block wait, and none can go on.
    Deadlock {
        /// The kernel.
        kernel: String,
        /// The block.
        block: u32,
        /// Which threads wait at what, and which have returned.
        threads: String,
    },
    /// A block wrote past the end of its dynamic shared memory.
    SharedOverrun {
        /// The kernel.
        kernel: String,
        /// The block.
        block: u32,
        /// Where, in bytes from the start of the shared memory.
        offset: usize,
    },
    /// The system gave no memory for the stack of a thread.
    Stack(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable => write!(f, "kernels are not emulated: there was no C++ compiler at build time"),
            Self::UnknownKernel(name) => write!(f, "no kernel is called {name}"),
            Self::Arguments { kernel, expected, given } => {
                write!(f, "{kernel}: {given} bytes of arguments given, its structure has {expected}")
            }
            Self::Configuration { kernel, what } => write!(f, "{kernel}: {what}"),
            Self::Thread { kernel, block, thread, what } => {
                write!(f, "{kernel}, block {block}, thread {thread}: {what}")
            }
            Self::Deadlock { kernel, block, threads } => {
                write!(f, "{kernel}, block {block}: no thread can go on: {threads}")
            }
            Self::SharedOverrun { kernel, block, offset } => {
                write!(
                    f,
                    "{kernel}, block {block}: byte {offset} was written, past the end of its dynamic shared memory"
                )
            }
            Self::Stack(error) => write!(f, "no stack for a thread: {error}"),
        }
    }
}

impl Error for Fault {}
