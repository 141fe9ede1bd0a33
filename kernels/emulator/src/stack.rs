//! Stacks of fibers, used again by later launches.

#[cfg(windows)]
use corosensei::stack::StackTebFields;
use corosensei::stack::{DefaultStack, Stack, StackPointer};
use std::io;
use std::sync::{Mutex, PoisonError};

/// Address space for the stack of a thread; what is not touched takes no memory.
const SIZE: usize = 128 << 10;
/// Stacks start at so many places within a page, so far apart: as all begin at the end of one, the same few sets of the
/// cache would hold what every thread of a block uses.
const PLACES: usize = 32;
const APART: usize = 128;

/// Stacks that no launch uses.
static POOL: Mutex<Vec<Pooled>> = Mutex::new(Vec::new());

pub(crate) struct Pooled {
    stack: DefaultStack,
    skipped: usize,
}

impl Pooled {
    /// The stack of the fiber with this number.
    pub(crate) fn take(fiber: usize) -> io::Result<Self> {
        let pooled = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let stack = pooled.map_or_else(|| DefaultStack::new(SIZE), |pooled| Ok(pooled.stack))?;
        Ok(Self { stack, skipped: fiber % PLACES * APART })
    }

    /// Gives stacks back.
    pub(crate) fn give(stacks: impl Iterator<Item = Self>) {
        POOL.lock().unwrap_or_else(PoisonError::into_inner).extend(stacks);
    }
}

// SAFETY: a part of another stack, with its guard page; `skipped` is less than a page, so most of `SIZE` is left, and a
// multiple of any alignment of a stack.
unsafe impl Stack for Pooled {
    fn base(&self) -> StackPointer {
        let base = self.stack.base();
        StackPointer::new(base.get() - self.skipped).unwrap_or(base)
    }

    fn limit(&self) -> StackPointer {
        self.stack.limit()
    }

    #[cfg(windows)]
    fn teb_fields(&self) -> StackTebFields {
        self.stack.teb_fields()
    }

    #[cfg(windows)]
    fn update_teb_fields(&mut self, stack_limit: usize, guaranteed_stack_bytes: usize) {
        self.stack.update_teb_fields(stack_limit, guaranteed_stack_bytes);
    }
}
