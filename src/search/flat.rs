//! The exact solver for any instance: bounds for all deadlines, then a tree for each subproblem that they leave open.
//!
//! 1. λ is *located* on samples, each larger than the one before.
//! 2. Near that λ the instance is *condensed* ([`condense`](crate::bound::condense)): requests that are certainly in or
//!    out are summed up by deadline; linear programs and bounds cost as much as the rest.
//! 3. The deadline with the largest bound is taken up, again and again. First its linear program is solved, which gives
//!    a λ that lowers the bounds of many deadlines, and a vertex that rounds to a batch. If it stays open, its segment
//!    of deadlines is cut into single ones; and if that one stays open too, its subproblem (z, d) with z =
//!    ⌊UB(d)⌋ is searched ([`tree`](super::leaf)).
//! 4. When no bound is above the incumbent, the bounds and the searches are its proof.

use super::leaf::{Leaf, Leaves, Subproblem};
use super::{Clock, Observer, Progress, lengths};
use crate::backend::Backend;
use crate::bound::Multipliers;
use crate::bound::condense::{Buckets, Condensed, LANES, Region, Rounding, Survey, View};
use crate::bound::cover::{Cover, join};
use crate::bound::simplex::{Column, Simplex};
use crate::certificate::{Section, Solution, Work};
use crate::instance::Instance;
use crate::rank::RESOURCES;

/// Instances up to this size are sorted whole.
const SORTED: usize = 1024;
/// The size of the first sample, at least.
const SAMPLE: usize = 1024;
/// A sample of one request in so many is large enough.
const LAST_STRIDE: usize = 8;
/// How much larger the next sample is.
const GROWTH: usize = 8;
/// Linear programs per sample.
const PEAKS: usize = 4;
/// Linear programs for the first sample, which starts from nothing.
const FIRST_PEAKS: usize = 32;
/// Bounds of samples are in units of 2^-FRACTION requests, each of which stands for many.
const FRACTION: u32 = 8;

/// What the solver is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The largest batch.
    Batch,
    /// A proof of the best bound of at least `size` that linear programs give; or, if the caller has ruled out
    /// everything larger itself, of `size`.
    Bound { size: u64, complete: bool },
}

/// Memory that is reused from one instance to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Workspace {
    sample: Condensed,
    sample_cover: Cover,
    condensed: Condensed,
    cover: Cover,
    simplex: Simplex,
    rounding: Rounding,
    /// The λ of the first sample, for deadlines far from the best one.
    far: Vec<Multipliers>,
    survey: Survey,
    leaves: Leaves,
}

/// The largest batch so far.
#[derive(Debug, Clone, Default)]
struct Best {
    size: u64,
    /// Rows of the instance; or, while `pending`, places in the core.
    rows: Vec<u32>,
    /// Takes what is certain under at least this budget.
    pending: Option<u64>,
}

/// One additive instance under search.
struct Drive<'a> {
    view: View<'a>,
    instance: &'a Instance,
    ws: &'a mut Workspace,
    clock: &'a mut Clock,
    backend: &'a dyn Backend,
    observer: Option<&'a Observer>,
    memory: Option<u64>,
    goal: Goal,
    /// The caller has a batch of this size already.
    incumbent: u64,
    best: Best,
    work: Work,
    buckets: Buckets,
    region_width: f64,
}

impl Drive<'_> {
    fn target(&self) -> u64 {
        self.incumbent.max(self.best.size) + 1
    }

    /// λ near the best one for the best deadline, from samples; and what other λ the first sample needed.
    fn locate(&mut self) -> [Column; 2] {
        let n = self.instance.len();
        let mut stride = n / SAMPLE;
        let view = View::new(self.instance, stride);
        self.ws.sample.sort(&view);
        let (first, last) = self.ws.sample.budgets();
        self.buckets = Buckets::new(last * stride as u64, first * stride as u64, n);
        self.ws.sample_cover.reset(&self.ws.sample, FRACTION);
        let mut ends = self.peak([0.0; RESOURCES], FIRST_PEAKS);
        self.ws.far.clear();
        self.ws.far.extend(self.ws.sample_cover.multipliers().iter().skip(1));
        let mut seen = view.len();
        loop {
            stride /= GROWTH;
            if stride < LAST_STRIDE || self.clock.look() {
                self.region_width = width(seen);
                return ends;
            }
            let view = View::new(self.instance, stride);
            let region = Region::between(ends, width(seen), &self.ws.sample.cost);
            if !self.backend.classify(&mut self.ws.sample, &view, region, self.buckets, self.clock) {
                return ends;
            }
            seen = view.len();
            self.ws.sample_cover.reset(&self.ws.sample, FRACTION);
            for lambda in ends {
                self.ws.sample_cover.add(&self.ws.sample, Multipliers::from_real(lambda));
            }
            self.survey(&view, true);
            ends = self.peak(ends[0], PEAKS);
        }
    }

    /// Solves linear programs of the sample until the best deadline is known, or `most` were; and then those of the
    /// deadlines a little before and after it, whose λ are returned.
    fn peak(&mut self, mut lambda: Column, most: usize) -> [Column; 2] {
        let ws = &mut *self.ws;
        let mut best = 0;
        for _ in 0..most {
            let Some((worst, _)) = ws.sample_cover.worst() else { break };
            best = worst;
            if self.clock.look() || ws.sample_cover.solved(worst).is_some() {
                break;
            }
            self.work.bound_passes += 1;
            match ws.sample_cover.solve(&mut ws.sample, worst, lambda, &mut ws.simplex) {
                Ok(better) => lambda = better,
                Err(better) => {
                    lambda = better.unwrap_or(lambda);
                    break;
                }
            }
        }
        let Some(d) = ws.sample.segments.get(best).map(|s| s.last) else { return [lambda; 2] };
        [d - d / 64, d + d / 64].map(|d| {
            let segment = ws.sample.segments.partition_point(|s| s.last < d).min(ws.sample.segments.len() - 1);
            self.work.bound_passes += 1;
            match ws.sample_cover.solve(&mut ws.sample, segment, lambda, &mut ws.simplex) {
                Ok(end) | Err(Some(end)) => end,
                Err(None) => lambda,
            }
        })
    }

    /// Bounds every bucket by the λ of the first sample that are not in the region. False if the time is over.
    fn survey(&mut self, view: &View<'_>, sample: bool) -> bool {
        let ws = &mut *self.ws;
        let (condensed, cover) =
            if sample { (&ws.sample, &mut ws.sample_cover) } else { (&ws.condensed, &mut ws.cover) };
        let mut lanes = [[0.0; RESOURCES]; LANES];
        let mut which = [Multipliers::ZERO; LANES];
        let mut filled = 0;
        let far = ws.far.iter().rev().filter(|m| !condensed.holds(m));
        for &m in far.take(LANES) {
            (lanes[filled], which[filled]) = (m.to_real(), m);
            filled += 1;
        }
        if filled == 0 {
            return true;
        }
        if !self.backend.survey(&mut ws.survey, view, &self.buckets, &lanes, self.clock) {
            return false;
        }
        (0..filled).for_each(|lane| cover.add_surveyed(condensed, &ws.survey, lane, which[lane]));
        true
    }

    fn condense(&mut self, ends: [Column; 2]) -> bool {
        if self.region_width > 1.0 || self.instance.len() <= SORTED {
            self.ws.condensed.sort(&self.view);
            return true;
        }
        let region = Region::between(ends, self.region_width, &self.ws.sample.cost);
        self.backend.classify(&mut self.ws.condensed, &self.view, region, self.buckets, self.clock)
    }

    /// The region was wrong: another, wider one.
    fn recenter(&mut self, ends: [Column; 2]) -> bool {
        self.settle();
        self.region_width *= 2.0;
        if !self.condense(ends) {
            return false;
        }
        self.ws.cover.relist(&mut self.ws.condensed);
        for end in ends {
            let m = Multipliers::from_real(end);
            if self.ws.condensed.holds(&m) {
                self.ws.cover.add(&self.ws.condensed, m);
            }
        }
        let view = self.view;
        self.survey(&view, false)
    }

    fn run(&mut self) {
        let mut ends = [[0.0; RESOURCES]; 2];
        if self.instance.len() > SORTED {
            ends = self.locate();
        }
        let mut lambda = ends[0];
        if !self.condense(ends) {
            // Not one pass was made in time: nothing is known.
            self.ws.condensed.whole(&self.view);
            self.ws.cover.reset(&self.ws.condensed, 0);
            self.work.stopped = true;
            return;
        }
        self.ws.cover.reset(&self.ws.condensed, 0);
        if self.instance.len() > SORTED {
            for end in ends {
                self.ws.cover.add(&self.ws.condensed, Multipliers::from_real(end));
            }
            let view = self.view;
            if !self.survey(&view, false) {
                self.work.stopped = true;
                return;
            }
        }
        loop {
            let target = match self.goal {
                Goal::Batch => self.target(),
                Goal::Bound { size, .. } => size + 1,
            };
            let ws = &mut *self.ws;
            ws.cover.close(&mut ws.condensed, target);
            let Some((worst, bound)) = ws.cover.worst() else { return };
            if self.clock.look() {
                self.work.stopped = true;
                return;
            }
            let segment = ws.condensed.segments[worst];
            let Some(solved) = ws.cover.solved(worst) else {
                self.work.bound_passes += 1;
                match ws.cover.solve(&mut ws.condensed, worst, lambda, &mut ws.simplex) {
                    Ok(better) => {
                        lambda = better;
                        if self.goal == Goal::Batch {
                            self.round(worst, lambda);
                        }
                    }
                    Err(elsewhere) => {
                        // The new λ comes in; of the ends that were, the nearer one goes.
                        if let Some(found) = elsewhere {
                            let off = |end: &Column| -> f64 {
                                (0..RESOURCES)
                                    .map(|r| (end[r] - found[r]).abs() / (end[r] + found[r]).max(1e-300))
                                    .sum()
                            };
                            let nearer = usize::from(off(&ends[1]) < off(&ends[0]));
                            ends[nearer] = found;
                        }
                        if !self.recenter(ends) {
                            self.work.stopped = true;
                            return;
                        }
                    }
                }
                continue;
            };
            if !segment.is_run() {
                let coarse = ws.condensed.segments.clone();
                let clock = &*self.clock;
                if !ws.condensed.refine(&self.view, &|| clock.over()) {
                    self.work.stopped = true;
                    return;
                }
                ws.cover.refined(&ws.condensed, &coarse);
                continue;
            }
            match self.goal {
                Goal::Bound { complete: false, .. } => return,
                Goal::Bound { size, complete: true } => ws.cover.refute(worst, size + 1),
                Goal::Batch => {
                    let size = bound;
                    match self.leaf(worst, size, &solved) {
                        Leaf::Batch(rows) => {
                            self.best = Best { size: rows.len() as u64, rows, pending: None };
                        }
                        Leaf::Empty => self.ws.cover.refute(worst, size),
                        Leaf::Stopped => {
                            self.work.stopped = true;
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Rounds the vertex of the last linear program to a batch, and keeps it if it is larger.
    fn round(&mut self, segment: usize, lambda: Column) {
        let target = self.target();
        let ws = &mut *self.ws;
        let segment = ws.condensed.segments[segment];
        let size = ws.condensed.round(&segment, lambda, &ws.simplex, &mut ws.rounding);
        if size.is_some_and(|size| size >= target) {
            self.best.size = size.unwrap_or(0);
            self.best.rows.clear();
            self.best.rows.extend_from_slice(&ws.rounding.chosen);
            // Rows now: refining reorders the core.
            let places = std::mem::take(&mut self.best.rows);
            ws.condensed.rows(&self.view, false, 0, &places, &mut self.best.rows);
            self.best.pending = (!ws.condensed.is_whole()).then_some(segment.least);
        }
    }

    /// Replaces a pending batch by its rows.
    fn settle(&mut self) {
        if let Some(least) = self.best.pending.take() {
            self.ws.condensed.rows(&self.view, true, least, &[], &mut self.best.rows);
        }
        self.best.rows.sort_unstable();
    }

    fn leaf(&mut self, segment: usize, size: u64, m: &Multipliers) -> Leaf {
        let ws = &mut *self.ws;
        let s = ws.condensed.segments[segment];
        let sub = Subproblem {
            view: &self.view,
            condensed: &ws.condensed,
            segment: &s,
            size,
            multipliers: m,
            memory: self.memory,
        };
        ws.leaves.search(&sub, self.backend, self.clock, &mut self.work)
    }
}

/// How far λ may lie from the λ of a sample.
fn width(sample: usize) -> f64 {
    1.5 / (sample as f64).sqrt()
}

/// What a solve works with: its clock, its memory, its threads, and whom it tells.
pub(crate) struct Run<'a> {
    pub clock: &'a mut Clock,
    pub ws: &'a mut Workspace,
    pub backend: &'a dyn Backend,
    pub memory: Option<u64>,
    pub observer: Option<&'a Observer>,
}

impl Run<'_> {
    /// Tells of a batch.
    pub fn incumbent(&self, rows: &[u32]) {
        if let Some(observer) = self.observer {
            observer.tell(Progress::Incumbent { rows });
        }
    }
}

/// What the search of an additive instance gives.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Rows of the best batch, ascending; empty if none is larger than the caller's.
    pub rows: Vec<u32>,
    /// No batch is larger, the caller's included.
    pub bound: u64,
    /// The proof of it.
    pub section: Section,
    pub work: Work,
}

/// Searches an additive instance for a batch larger than `incumbent`, or for a bound.
pub(crate) fn additive(
    instance: &Instance,
    goal: Goal,
    incumbent: u64,
    padded: Option<(u32, u32)>,
    run: &mut Run<'_>,
) -> Outcome {
    let mut drive = Drive {
        view: View::new(instance, 1),
        instance,
        ws: run.ws,
        clock: run.clock,
        backend: run.backend,
        memory: run.memory,
        observer: if padded.is_none() { run.observer } else { None },
        goal,
        incumbent,
        best: Best::default(),
        work: Work::default(),
        buckets: Buckets::default(),
        region_width: 0.0,
    };
    drive.run();
    drive.settle();
    let size = match goal {
        Goal::Batch => drive.target() - 1,
        Goal::Bound { size, .. } => size,
    };
    let (rows, work) = (std::mem::take(&mut drive.best.rows), drive.work);
    let (bound, section) = run.ws.cover.certify(&run.ws.condensed, size, padded);
    Outcome { rows, bound, section, work }
}

/// The largest batch of `instance`, with its proof.
pub(crate) fn solve(instance: &Instance, run: &mut Run<'_>) -> Solution {
    if instance.pads_to_longest() {
        return lengths::solve(instance, run);
    }
    let found = additive(instance, Goal::Batch, 0, None, run);
    let certificate = join(found.rows.len() as u64, vec![(found.bound, found.section)]);
    Solution { rows: found.rows, certificate, work: found.work }
}
