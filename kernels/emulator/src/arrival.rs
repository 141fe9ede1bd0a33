//! What a thread waits at.

use std::ffi::{CStr, c_char};
use std::fmt;

/// `DftspKind` of `shim.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// In the order of `DftspKind`.
    const ALL: [Self; 17] = [
        Self::SyncThreads,
        Self::SyncThreadsCount,
        Self::SyncThreadsAnd,
        Self::SyncThreadsOr,
        Self::SyncWarp,
        Self::Shfl,
        Self::ShflUp,
        Self::ShflDown,
        Self::ShflXor,
        Self::Ballot,
        Self::Any,
        Self::All,
        Self::ReduceAdd,
        Self::ReduceMin,
        Self::ReduceMax,
        Self::ReduceOr,
        Self::Trap,
    ];

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

/// The arguments of `DftspEmulated::arrive`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    what: u64,
    whom: u64,
    file: *const c_char,
    pub(crate) value: u64,
}

impl Arrival {
    /// # Safety
    ///
    /// `file` is a string that is never freed.
    pub(crate) unsafe fn new(what: u64, whom: u64, file: *const c_char, value: u64) -> Self {
        Self { what, whom, file, value }
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind::ALL[usize::from(self.what as u8)]
    }

    pub(crate) fn mask(&self) -> u32 {
        self.whom as u32
    }

    /// Of a shuffle.
    pub(crate) fn width(&self) -> u32 {
        (self.what >> 16 & 0xFF) as u32
    }

    fn line(&self) -> u64 {
        self.what >> 32
    }

    fn file(&self) -> &str {
        // SAFETY: as promised to `new`.
        let path = unsafe { CStr::from_ptr(self.file) }.to_str().unwrap_or("?");
        path.rsplit(['/', '\\']).next().unwrap_or(path)
    }

    /// Whether two threads can meet here. Barriers are the same line too, as a barrier in a branch is reached by all
    /// threads of the block or by none.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        // The kind and the size of values.
        (self.what ^ other.what) & 0xFFFF == 0
            && self.mask() == other.mask()
            && (!self.kind().is_of_block() || self.is_written_at(other))
    }

    pub(crate) fn is_written_at(&self, other: &Self) -> bool {
        self.line() == other.line() && (self.file == other.file || self.file() == other.file())
    }

    /// The lane that a shuffle reads, by the rules of PTX's `shfl`: a lane out of bounds reads itself.
    pub(crate) fn source(&self, lane: u32) -> u32 {
        let within = self.width() - 1;
        let (first, last) = (lane & !within, lane | within);
        let by = (self.whom >> 32 & 31) as u32;
        match self.kind() {
            Kind::Shfl => first | (by & within),
            Kind::ShflUp if lane >= first + by => lane - by,
            Kind::ShflDown if lane + by <= last => lane + by,
            Kind::ShflXor if lane ^ by <= last => lane ^ by,
            _ => lane,
        }
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        write!(f, "{}", kind.name())?;
        if kind.is_shuffle() {
            write!(f, " of {} bytes", self.what >> 8 & 0xFF)?;
        }
        if !kind.is_of_block() && kind != Kind::Trap {
            write!(f, " with mask {:#010x}", self.mask())?;
        }
        write!(f, " ({}:{})", self.file(), self.line())
    }
}
