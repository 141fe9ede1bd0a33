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

use std::time::Duration;

use super::leaf::{Leaf, Leaves, Subproblem};
use super::{Clock, Told, lengths};
use crate::backend::Backend;
use crate::bound::Multipliers;
use crate::bound::classify::Pass;
use crate::bound::condense::{Condensed, Member, Rounding, Segment};
use crate::bound::cover::{Cover, join};
use crate::bound::region::Region;
use crate::bound::simplex::{Column, Simplex, dot};
use crate::bound::survey::{LANES, Survey};
use crate::bound::view::{Buckets, View};
use crate::certificate::{Section, Solution, Work};
use crate::device::Ran;
use crate::instance::Instance;
use crate::rank::{Left, RESOURCES};

/// Instances up to this size are sorted whole.
const SORTED: usize = 2048;
/// The size of the first sample, at least.
const SAMPLE: usize = 1024;
/// A sample of one request in so many is large enough.
const LAST_STRIDE: usize = 8;
const _: () = assert!(SAMPLE <= SORTED, "a sample of what is not sorted whole has at least one in one");
/// How much larger the next sample is.
const GROWTH: usize = 8;
/// Linear programs per sample.
const PEAKS: usize = 4;
/// Linear programs for the first sample, which starts from nothing.
const FIRST_PEAKS: usize = 32;
/// At most so many deadlines are searched as one.
const MAX_SPAN: usize = 1024;
/// A wider region makes nearly everything core: then all is listed.
const MAX_WIDTH: f64 = 1.0;
/// Time to sort and list a request; generous.
const SORT_NANOSECONDS: u64 = 400;
/// Bytes per request: condensed (tags, and the core as far as it is usually large); listed whole; and of all buckets.
const BYTES_PER_REQUEST: u64 = 40;
const BYTES_PER_LISTED: u64 = 250;
const BUCKET_BYTES: u64 = 4 << 20;
/// With so much time per request nothing is skimmed first.
const PLENTY_NANOSECONDS: u64 = 300;
/// Time per request to write down the batch when the search is over; generous.
const EMIT_NANOSECONDS: u64 = 6;
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
    /// A batch made in one pass, for searches that are short of time.
    skimmed: Vec<u32>,
    /// The λ of the first sample, for deadlines far from the best one.
    far: Vec<Multipliers>,
    survey: Survey,
    pass: Pass,
    members: Vec<Member>,
    leaves: Leaves,
}

impl Workspace {
    /// Whether a segment is listed that is one deadline.
    fn follows(&self, segment: usize) -> bool {
        self.condensed.segments.get(segment).is_some_and(|s| s.is_run())
    }
}

/// The largest batch so far.
#[derive(Debug, Clone, Default)]
struct Best {
    size: u64,
    /// Rows of the instance, sorted unless something is pending.
    rows: Vec<u32>,
    /// Of a batch that holds all that is taken for certain under at least this budget, `rows` has only the others yet.
    pending: Option<u64>,
}

/// One additive instance under search.
struct Drive<'a> {
    view: View<'a>,
    instance: &'a Instance,
    ws: &'a mut Workspace,
    clock: &'a mut Clock,
    backend: &'a dyn Backend,
    told: Option<&'a mut Told>,
    memory: Option<u64>,
    goal: Goal,
    /// The caller has a batch of this size already.
    incumbent: u64,
    best: Best,
    work: Work,
    buckets: Buckets,
    region_width: f64,
    /// The best deadline of the last sample, as a budget.
    peak: u64,
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
        let (mut ends, _) = self.find_peak([0.0; RESOURCES], FIRST_PEAKS, stride);
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
            let mut reach = 1.5 * width(seen);
            // The prices of the smaller sample told what is typical; this one is condensed until λ stays inside.
            let costs = self.ws.sample.cost.clone();
            loop {
                let region = Region::between(ends, reach, &costs);
                if reach > MAX_WIDTH {
                    if !self.clock.allows(Duration::from_nanos(view.len() as u64 * SORT_NANOSECONDS)) {
                        return ends;
                    }
                    self.ws.sample.sort(&view);
                } else if !self.classify_sample(&view, region) {
                    return ends;
                }
                self.ws.sample_cover.reset(&self.ws.sample, FRACTION);
                for lambda in ends {
                    self.ws.sample_cover.add(&self.ws.sample, Multipliers::from_real(lambda));
                }
                if !self.ws.sample.is_whole() {
                    self.survey(&view, true);
                }
                let (found, inside) = self.find_peak(ends[0], PEAKS, stride);
                if inside || self.ws.sample.is_whole() || self.clock.look() {
                    ends = found;
                    break;
                }
                reach *= 2.0;
            }
            seen = view.len();
        }
    }

    /// Solves linear programs of the sample until the best deadline is known, or `most` were; and then those of the
    /// deadlines a little before and after it, whose λ are returned; and whether all of them were inside the region.
    fn find_peak(&mut self, mut lambda: Column, most: usize, stride: usize) -> ([Column; 2], bool) {
        let ws = &mut *self.ws;
        let clock = &*self.clock;
        let mut best = 0;
        for _ in 0..most {
            let Some((worst, _)) = ws.sample_cover.worst() else { break };
            best = worst;
            if clock.over() || ws.sample_cover.solved(worst).is_some() {
                break;
            }
            self.work.bound_passes += 1;
            match ws.sample_cover.solve(&mut ws.sample, worst, lambda, &mut ws.simplex, &|| clock.over()) {
                Ok(better) => lambda = better,
                Err(_) => return ([lambda; 2], false),
            }
        }
        let Some(&Segment { last: d, least, .. }) = ws.sample.segments.get(best) else { return ([lambda; 2], false) };
        self.peak = least.saturating_mul(stride as u64);
        let mut inside = true;
        let ends = [d - d / 64, d + d / 64].map(|d| {
            let segment = ws.sample.segments.partition_point(|s| s.last < d).min(ws.sample.segments.len() - 1);
            self.work.bound_passes += 1;
            match ws.sample_cover.solve(&mut ws.sample, segment, lambda, &mut ws.simplex, &|| clock.over()) {
                Ok(end) => end,
                Err(_) => {
                    inside = false;
                    lambda
                }
            }
        });
        (ends, inside)
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

    /// Lists the segments near the line between `ends`. False if time or memory do not allow it.
    fn condense(&mut self, ends: [Column; 2]) -> bool {
        let n = self.instance.len();
        if self.region_width > MAX_WIDTH || n <= SORTED {
            // Sorting cannot be interrupted.
            let sort = Duration::from_nanos(n as u64 * SORT_NANOSECONDS);
            if n > SORTED && !self.clock.allows(sort) || !self.fits(n as u64 * BYTES_PER_LISTED) {
                return false;
            }
            self.ws.condensed.sort(&self.view);
            return true;
        }
        let region = Region::between(ends, self.region_width, &self.ws.sample.cost);
        self.fits(n as u64 * BYTES_PER_REQUEST + BUCKET_BYTES) && {
            let Workspace { pass, condensed, .. } = &mut *self.ws;
            self.backend.classify(pass, condensed, &self.view, (region, self.buckets), self.clock)
        }
    }

    fn classify_sample(&mut self, view: &View<'_>, region: Region) -> bool {
        let Workspace { pass, sample, .. } = &mut *self.ws;
        self.backend.classify(pass, sample, view, (region, self.buckets), self.clock)
    }

    /// Whether the memory limit allows so many bytes.
    fn fits(&self, bytes: u64) -> bool {
        self.memory.is_none_or(|limit| bytes <= limit)
    }

    /// The region was wrong: another, wider one. False if time or memory do not allow it.
    fn recenter(&mut self, ends: [Column; 2]) -> bool {
        self.settle();
        self.region_width *= 2.0;
        if !self.condense(ends) {
            return false;
        }
        self.ws.cover.relist(&mut self.ws.condensed);
        self.bound_everywhere(ends)
    }

    /// Bounds every segment by the λ that are known from samples. False if the time is over.
    fn bound_everywhere(&mut self, ends: [Column; 2]) -> bool {
        for end in ends {
            let m = Multipliers::from_real(end);
            if self.ws.condensed.holds(&m) {
                self.ws.cover.add(&self.ws.condensed, m);
            }
        }
        let view = self.view;
        self.ws.condensed.is_whole() || self.survey(&view, false)
    }

    /// Searches until everything is settled, or a limit is reached.
    fn run(&mut self) {
        self.work.stopped = !self.start_and_search();
    }

    /// False if a limit was reached.
    fn start_and_search(&mut self) -> bool {
        let many = self.instance.len() > SORTED;
        // What is known before anything is.
        self.ws.condensed.whole(&self.view);
        self.ws.cover.reset(&self.ws.condensed, 0);
        if many && !self.fits(self.instance.len() as u64 * BYTES_PER_REQUEST + BUCKET_BYTES) {
            return false;
        }
        let ends = if many { self.locate() } else { [[0.0; RESOURCES]; 2] };
        let plenty = Duration::from_nanos(self.instance.len() as u64 * PLENTY_NANOSECONDS);
        if many && self.goal == Goal::Batch && !self.clock.allows(plenty) {
            self.skim(ends[0]);
        }
        if self.clock.look() && many || !self.condense(ends) {
            return false;
        }
        self.ws.cover.reset(&self.ws.condensed, 0);
        if many && !self.bound_everywhere(ends) {
            return false;
        }
        self.search(ends)
    }

    /// A batch in one pass: what is worth its price at the λ of the samples and meets their best deadline, as it comes
    /// and as far as it fits. It counts only if the search is stopped before it has a larger one.
    fn skim(&mut self, lambda: Column) {
        let capacity = self.instance.capacity();
        let mut left = Left([capacity.uplink, capacity.downlink, capacity.kv_tokens, self.peak]);
        for index in 0..self.view.len() {
            if index.is_multiple_of(1 << 14) && self.clock.look() {
                return;
            }
            let cost = self.view.cost(index);
            let met = self.view.budget(index) >= self.peak;
            if met && dot(&cost.map(|c| c as f64), &lambda) <= 1.0 && left.fits(&cost) {
                left.take(&cost);
                self.ws.skimmed.push(index as u32);
            }
        }
    }

    fn search(&mut self, mut ends: [Column; 2]) -> bool {
        let mut lambda = ends[0];
        let mut span = 1;
        if self.instance.len() > SORTED && self.goal == Goal::Batch {
            // A first batch at once: what is worth its price at the λ of the samples, as far as it fits.
            let ws = &mut *self.ws;
            if let Some((worst, _)) = ws.cover.worst() {
                ws.condensed.relax(worst, lambda, &mut ws.simplex, &|| true);
                self.round(worst, lambda);
            }
        }
        loop {
            let target = match self.goal {
                Goal::Batch => self.target(),
                Goal::Bound { size, .. } => size + 1,
            };
            let ws = &mut *self.ws;
            ws.cover.close(&mut ws.condensed, target);
            let worst = ws.cover.worst();
            self.tell(worst.map_or(target - 1, |(_, bound)| bound));
            let Some((worst, bound)) = worst else { return true };
            if self.clock.look() {
                return false;
            }
            let ws = &mut *self.ws;
            let clock = &*self.clock;
            let Some(solved) = ws.cover.solved(worst) else {
                self.work.bound_passes += 1;
                match ws.cover.solve(&mut ws.condensed, worst, lambda, &mut ws.simplex, &|| clock.over()) {
                    Ok(better) => {
                        lambda = better;
                        if self.goal == Goal::Batch {
                            self.round(worst, lambda);
                        }
                    }
                    Err(elsewhere) => {
                        if let Some(found) = elsewhere {
                            replace_nearer(&mut ends, found);
                        }
                        if !self.recenter(ends) {
                            return false;
                        }
                    }
                }
                continue;
            };
            if !ws.condensed.segments[worst].is_run() {
                let coarse = ws.condensed.segments.clone();
                let open = ws.condensed.open_buckets();
                if !self.backend.members(&ws.pass, &self.view, &open, &mut ws.members, clock)
                    || !ws.condensed.refine(&self.view, &mut ws.members, &|| clock.over())
                {
                    return false;
                }
                ws.cover.refined(&ws.condensed, &coarse);
                continue;
            }
            match self.goal {
                Goal::Bound { complete: false, .. } => return true,
                Goal::Bound { size, complete: true } => ws.cover.refute(worst..worst + 1, size + 1),
                Goal::Batch => {
                    // Runs next to each other differ by little: searched as one, under the loosest of their budgets.
                    let mut runs = worst..worst + 1;
                    while runs.len() < span && ws.follows(runs.end) && ws.cover.bound_of(runs.end) == bound {
                        runs.end += 1;
                    }
                    let many = runs.len() > 1;
                    match self.leaf(runs.clone(), bound, &solved) {
                        Leaf::Empty => {
                            self.ws.cover.refute(runs, bound);
                            span = (2 * span).min(MAX_SPAN);
                        }
                        // Of several runs it is a batch of their relaxation, and none of theirs: one by one.
                        Leaf::Batch(_) if many => span = 1,
                        Leaf::Batch(rows) => self.best = Best { size: rows.len() as u64, rows, pending: None },
                        Leaf::Stopped if many && !self.clock.look() => span = 1,
                        Leaf::Stopped => return false,
                    }
                }
            }
        }
    }

    /// Tells of a larger batch and a lower bound.
    fn tell(&mut self, bound: u64) {
        if self.told.is_some() && self.goal == Goal::Batch {
            if self.best.size > self.told.as_ref().map_or(0, |told| told.size()) {
                self.settle();
            }
            if let Some(told) = &mut self.told {
                told.incumbent(&self.best.rows);
                told.bound(bound);
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
            ws.condensed.rows(&self.view, &places, &mut self.best.rows);
            self.best.pending = (!ws.condensed.is_whole()).then_some(segment.least);
        }
    }

    /// Replaces a pending batch by its rows.
    fn settle(&mut self) {
        if let Some(least) = self.best.pending.take() {
            let whole = self.backend.taken(&self.ws.pass, &self.view, least, &mut self.best.rows);
            self.work.stopped |= !whole;
        }
        self.best.rows.sort_unstable();
    }

    /// Searches some runs as one.
    fn leaf(&mut self, runs: std::ops::Range<usize>, size: u64, m: &Multipliers) -> Leaf {
        let ws = &mut *self.ws;
        let least = ws.condensed.segments[runs.end - 1].least;
        let sub = Subproblem {
            view: &self.view,
            condensed: &ws.condensed,
            segment: &ws.condensed.span(runs),
            least,
            size,
            multipliers: m,
            memory: self.memory,
        };
        ws.leaves.search(&sub, self.backend, self.clock, &mut self.work)
    }
}

/// A new λ comes in; of the ends that were, the nearer one goes.
fn replace_nearer(ends: &mut [Column; 2], found: Column) {
    let off = |end: &Column| -> f64 {
        (0..RESOURCES).map(|r| (end[r] - found[r]).abs() / (end[r] + found[r]).max(f64::MIN_POSITIVE)).sum()
    };
    let nearer = usize::from(off(&ends[1]) < off(&ends[0]));
    ends[nearer] = found;
}

/// How far λ may lie from the λ of a sample.
fn width(sample: usize) -> f64 {
    2.0 / (sample as f64).sqrt()
}

/// What a solve works with: its clock, its memory, its threads, and whom it tells.
pub(crate) struct Run<'a> {
    pub clock: &'a mut Clock,
    pub ws: &'a mut Workspace,
    pub backend: &'a dyn Backend,
    pub memory: Option<u64>,
    pub told: Option<Told>,
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
        told: if padded.is_none() { run.told.as_mut() } else { None },
        goal,
        incumbent,
        best: Best::default(),
        work: Work::default(),
        buckets: Buckets::default(),
        region_width: 0.0,
        peak: 0,
    };
    drive.backend.load();
    drive.ws.skimmed.clear();
    drive.run();
    drive.settle();
    if drive.work.stopped && drive.ws.skimmed.len() as u64 >= drive.target() {
        drive.best.rows.clone_from(&drive.ws.skimmed);
        drive.best.size = drive.best.rows.len() as u64;
    }
    let size = match goal {
        Goal::Batch => drive.target() - 1,
        Goal::Bound { size, .. } => size,
    };
    let (rows, work) = (std::mem::take(&mut drive.best.rows), drive.work);
    debug_assert!(instance.is_feasible(&rows), "{} rows under {goal:?} do not fit", rows.len());
    let (bound, section) = run.ws.cover.certify(&run.ws.condensed, size, padded);
    Outcome { rows, bound, section, work }
}

/// The largest batch of `instance`, with its proof.
pub(crate) fn solve(instance: &Instance, run: &mut Run<'_>) -> Solution {
    run.clock.reserve(Duration::from_nanos(instance.len() as u64 * EMIT_NANOSECONDS));
    if instance.pads_to_longest() {
        return lengths::solve(instance, run);
    }
    let found = additive(instance, Goal::Batch, 0, None, run);
    let certificate = join(found.rows.len() as u64, vec![(found.bound, found.section)]);
    Solution { rows: found.rows, certificate, work: found.work, ran: Ran::CPU }
}
