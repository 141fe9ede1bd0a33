//! The CPU: the calling thread, or a pool of threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::ThreadPool;
use rayon::prelude::*;

use super::Backend;
use crate::bound::classify::{Pass, priced};
use crate::bound::condense::{Condensed, Member};
use crate::bound::region::Region;
use crate::bound::simplex::Column;
use crate::bound::survey::{LANES, Survey};
use crate::bound::view::{Buckets, MAX_BUCKETS, View};
use crate::search::enumerate::{Enumerated, Enumeration, Pace};
use crate::search::{Clock, Limits};
use crate::tree::{Item, Tree, Walk, Walked};

/// The CPU backend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu<'p> {
    /// The threads to use; the calling one without them.
    pub pool: Option<&'p ThreadPool>,
}

impl Cpu<'_> {
    /// Runs `work` where its parallel iterators use the threads.
    fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

#[cfg(all(test, feature = "cuda", dftsp_has_emulator))]
impl Cpu<'_> {
    /// Walks the items, unless that takes very many nodes.
    pub fn walk_bounded(&self, tree: &Tree, items: &[Item]) -> Option<(Walked, Walk)> {
        let mut sum = Walk::default();
        for item in items {
            let end = tree.walk(item, &mut sum, |nodes| nodes > 30_000);
            match end {
                Walked::Empty => {}
                Walked::Stopped => return None,
                Walked::Batch(_) => return Some((end, sum)),
            }
        }
        Some((Walked::Empty, sum))
    }
}

impl Backend for Cpu<'_> {
    fn classify(
        &self,
        pass: &mut Pass,
        condensed: &mut Condensed,
        view: &View<'_>,
        near: (Region, Buckets),
        clock: &Clock,
    ) -> bool {
        let parallel = self.pool.is_some();
        self.within(|| pass.classify(condensed, view, near, parallel, &|| clock.over()))
    }

    fn members(
        &self,
        pass: &Pass,
        view: &View<'_>,
        open: &[bool; MAX_BUCKETS],
        members: &mut Vec<Member>,
        clock: &Clock,
    ) -> bool {
        pass.members(view, open, members, &|| clock.over())
    }

    fn taken(&self, pass: &Pass, view: &View<'_>, least: u64, rows: &mut Vec<u32>) -> bool {
        pass.taken(view, least, rows);
        true
    }

    fn priced(&self, view: &View<'_>, price: (Column, f64), least: u64, listed: &mut Vec<u32>, clock: &Clock) -> bool {
        let parallel = self.pool.is_some();
        self.within(|| priced(view, price, least, parallel, listed, &|| clock.over()))
    }

    fn survey(
        &self,
        survey: &mut Survey,
        view: &View<'_>,
        buckets: &Buckets,
        lambda: &[Column; LANES],
        clock: &Clock,
    ) -> bool {
        let parallel = self.pool.is_some();
        self.within(|| survey.measure(view, buckets, lambda, parallel, &|| clock.over()))
    }

    fn time_surveys(
        &self,
        view: &View<'_>,
        buckets: &Buckets,
        lambda: &[Column; LANES],
        passes: usize,
    ) -> Option<Vec<Duration>> {
        let (mut survey, clock) = (Survey::default(), Clock::start(&Limits::NONE));
        self.survey(&mut survey, view, buckets, lambda, &clock);
        let time = |_| {
            let start = Instant::now();
            self.survey(&mut survey, view, buckets, lambda, &clock);
            start.elapsed()
        };
        Some((0..passes).map(time).collect())
    }

    fn walk(&self, tree: &Tree, items: &[Item], clock: &Clock) -> (Walked, Walk) {
        // The lowest-numbered item that ended the search: higher ones have nothing to add.
        let first = AtomicUsize::new(usize::MAX);
        let walk = |(at, item): (usize, &Item)| {
            let mut work = Walk::default();
            if first.load(Ordering::Relaxed) < at {
                return (Walked::Stopped, work);
            }
            let stop = |nodes: u64| nodes.is_multiple_of(1024) && (first.load(Ordering::Relaxed) < at || clock.over());
            let end = tree.walk(item, &mut work, stop);
            if end != Walked::Empty {
                first.fetch_min(at, Ordering::Relaxed);
            }
            (end, work)
        };
        let ends: Vec<(Walked, Walk)> = match self.pool {
            Some(pool) => pool.install(|| items.par_iter().enumerate().with_max_len(1).map(walk).collect()),
            None => items.iter().enumerate().map(walk).collect(),
        };
        let mut sum = Walk::default();
        for (end, work) in ends {
            sum.add(&work);
            if end != Walked::Empty {
                return (end, sum);
            }
        }
        (Walked::Empty, sum)
    }

    fn enumerate(&self, tree: &Enumeration, clock: &Clock) -> Enumerated {
        tree.enumerate(self.pool, Pace::default(), clock)
    }
}
