//! Who does the work: a few coarse operations, the same bytes from every implementation.
//!
//! The driver ([`search`](crate::search)) plans on the host and hands over plain data: a region and buckets for a bound
//! pass, a few λ for a survey, a tree and numbered prefixes for a path check. An implementation decides nothing: where
//! more than one answer is right, the lowest number wins.

mod cpu;
#[cfg(feature = "cuda")]
#[cfg_attr(not(test), expect(dead_code, reason = "only the emulator launches it so far"))]
mod cuda;

pub(crate) use cpu::Cpu;

use crate::bound::condense::Condensed;
use crate::bound::region::Region;
use crate::bound::simplex::Column;
use crate::bound::survey::{LANES, Survey};
use crate::bound::view::{Buckets, View};
use crate::search::Clock;
use crate::tree::{Item, Tree, Walk, Walked};

/// The operations of the search that touch many requests or paths.
pub(crate) trait Backend: std::fmt::Debug + Sync {
    /// The name in reports.
    fn name(&self) -> &'static str;

    /// Bound pass near one λ: sums up what is certain in `region` and lists the rest ([`Condensed`]). False if the time
    /// was over first.
    fn classify(
        &self,
        condensed: &mut Condensed,
        view: &View<'_>,
        region: Region,
        buckets: Buckets,
        clock: &Clock,
    ) -> bool;

    /// Bound pass at a few λ anywhere: sums the positive reduced costs of each bucket. False if the time was over first.
    fn survey(
        &self,
        survey: &mut Survey,
        view: &View<'_>,
        buckets: &Buckets,
        lambda: &[Column; LANES],
        clock: &Clock,
    ) -> bool;

    /// Path check: walks the items, and returns the batch of the lowest-numbered feasible path. Counts the work of the
    /// items up to the one that holds it, and of no other.
    fn walk(&self, tree: &Tree, items: &[Item], clock: &Clock) -> (Walked, Walk);
}
