//! Who does the work: a few coarse operations, the same bytes from every implementation.
//!
//! The driver ([`search`](crate::search)) plans on the host and hands over plain data: a region and buckets for a bound
//! pass, a few λ for a survey, a tree and numbered prefixes for a path check. An implementation decides nothing: where
//! more than one answer is right, the lowest number wins.

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;

pub(crate) use cpu::Cpu;

use std::time::Duration;

use crate::bound::classify::Pass;
use crate::bound::condense::{Condensed, Member};
use crate::bound::region::Region;
use crate::bound::simplex::Column;
use crate::bound::survey::{LANES, Survey};
use crate::bound::view::{Buckets, MAX_BUCKETS, View};
use crate::device::Found;
use crate::search::Clock;
use crate::search::enumerate::{Enumerated, Enumeration};
use crate::tree::{Item, Tree, Walk, Walked};

/// The operations of the search that touch many requests or paths.
///
/// Those that return a `bool` say whether they came to their end: if not, the time was over, or the backend failed, and
/// nothing of theirs is to be used.
pub(crate) trait Backend: std::fmt::Debug {
    /// Another instance: what was kept of the one before is void.
    fn load(&self) {}

    /// Bound pass near one λ: sums up what is certain in `region` and lists the rest.
    fn classify(
        &self,
        pass: &mut Pass,
        condensed: &mut Condensed,
        view: &View<'_>,
        near: (Region, Buckets),
        clock: &Clock,
    ) -> bool;

    /// Lists the requests of open buckets of the last bound pass, in any order.
    fn members(
        &self,
        pass: &Pass,
        view: &View<'_>,
        open: &[bool; MAX_BUCKETS],
        members: &mut Vec<Member>,
        clock: &Clock,
    ) -> bool;

    /// Adds the rows of what the last bound pass takes for certain with a budget of at least `least`.
    fn taken(&self, pass: &Pass, view: &View<'_>, least: u64, rows: &mut Vec<u32>) -> bool;

    /// Lists the requests of a price of at most so much at λ, and a budget of at least `least`, in order.
    fn priced(&self, view: &View<'_>, price: (Column, f64), least: u64, listed: &mut Vec<u32>, clock: &Clock) -> bool;

    /// Bound pass at a few λ anywhere: sums the positive reduced costs of each bucket.
    fn survey(
        &self,
        survey: &mut Survey,
        view: &View<'_>,
        buckets: &Buckets,
        lambda: &[Column; LANES],
        clock: &Clock,
    ) -> bool;

    /// The time of each of so many surveys in a row, for comparisons: columns and sums are where they are used. None if
    /// it failed.
    fn time_surveys(
        &self,
        view: &View<'_>,
        buckets: &Buckets,
        lambda: &[Column; LANES],
        passes: usize,
    ) -> Option<Vec<Duration>>;

    /// Path check: walks the items, and returns the batch of the lowest-numbered feasible path. Counts the work of the
    /// items up to the one that holds it, and of no other.
    fn walk(&self, tree: &Tree, items: &[Item], clock: &Clock) -> (Walked, Walk);

    /// The paper's tree without pruning: looks at every path up to the lowest-numbered feasible one.
    fn enumerate(&self, tree: &Enumeration, clock: &Clock) -> Enumerated;
}

/// What devices there are on this machine.
pub fn devices() -> Found {
    #[cfg(feature = "cuda")]
    return cuda::devices();
    #[cfg(not(feature = "cuda"))]
    Found { driver: None, devices: Vec::new(), fault: Some(crate::device::Fault::NotBuilt), kernels: "none" }
}
