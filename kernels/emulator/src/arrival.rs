//! What a thread waits at. `shim.h` has the same structures.

use std::ffi::{CStr, c_char};
use std::fmt;

/// `DftspKind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[allow(dead_code, reason = "the kernels choose")]
pub(crate) enum Kind {
    SyncThreads,
    SyncThreadsCount,
    SyncThreadsAnd,
    SyncThreadsOr,
    SyncWarp,
    Shfl,
    ShflUp,
    ShflDown,
    ShflXor,
    Ballot,
    Any,
    All,
    ReduceAdd,
    ReduceMin,
    ReduceMax,
    ReduceOr,
    Trap,
}

impl Kind {
    pub(crate) fn is_of_block(self) -> bool {
        matches!(self, Self::SyncThreads | Self::SyncThreadsCount | Self::SyncThreadsAnd | Self::SyncThreadsOr)
    }

    pub(crate) fn is_shuffle(self) -> bool {
        matches!(self, Self::Shfl | Self::ShflUp | Self::ShflDown | Self::ShflXor)
    }

    fn name(self) -> &'static str {
        match self {
            Self::SyncThreads => "__syncthreads",
            Self::SyncThreadsCount => "__syncthreads_count",
            Self::SyncThreadsAnd => "__syncthreads_and",
            Self::SyncThreadsOr => "__syncthreads_or",
            Self::SyncWarp => "__syncwarp",
            Self::Shfl => "__shfl_sync",
            Self::ShflUp => "__shfl_up_sync",
            Self::ShflDown => "__shfl_down_sync",
            Self::ShflXor => "__shfl_xor_sync",
            Self::Ballot => "__ballot_sync",
            Self::Any => "__any_sync",
            Self::All => "__all_sync",
            Self::ReduceAdd => "__reduce_add_sync",
            Self::ReduceMin => "__reduce_min_sync",
            Self::ReduceMax => "__reduce_max_sync",
            Self::ReduceOr => "__reduce_or_sync",
            Self::Trap => "__trap",
        }
    }
}

/// `DftspArrival`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Arrival {
    pub(crate) kind: Kind,
    pub(crate) mask: u32,
    /// Of a shuffle: the size of a value; the lane, delta or lane mask; the width.
    pub(crate) bytes: u32,
    pub(crate) lane: u32,
    pub(crate) width: u32,
    line: u32,
    file: *const c_char,
    pub(crate) value: u64,
}

impl Arrival {
    fn file(&self) -> &str {
        // SAFETY: the shim gives `__builtin_FILE()`, a string literal of the kernel.
        let path = unsafe { CStr::from_ptr(self.file) }.to_str().unwrap_or("?");
        path.rsplit(['/', '\\']).next().unwrap_or(path)
    }

    /// Whether two threads can meet here. Barriers are the same line too, as a barrier in a branch is reached by all
    /// threads of the block or by none.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.mask == other.mask
            && self.bytes == other.bytes
            && (!self.kind.is_of_block()
                || (self.line == other.line && (self.file == other.file || self.file() == other.file())))
    }

    /// The lane that a shuffle reads, by the rules of PTX's `shfl`: a lane out of bounds reads itself.
    pub(crate) fn source(&self, lane: u32) -> u32 {
        let (first, last) = (lane & !(self.width - 1), lane | (self.width - 1));
        let by = self.lane & 31;
        match self.kind {
            Kind::Shfl => first | (by & (self.width - 1)),
            Kind::ShflUp if lane >= first + by => lane - by,
            Kind::ShflDown if lane + by <= last => lane + by,
            Kind::ShflXor if lane ^ by <= last => lane ^ by,
            _ => lane,
        }
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.name())?;
        if self.kind.is_shuffle() {
            write!(f, " of {} bytes", self.bytes)?;
        }
        if !self.kind.is_of_block() && self.kind != Kind::Trap {
            write!(f, " with mask {:#010x}", self.mask)?;
        }
        write!(f, " ({}:{})", self.file(), self.line)
    }
}
