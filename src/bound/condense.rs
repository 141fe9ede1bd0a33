//! A large instance made small: what is certain near a given λ is summed up, what is not is listed.
//!
//! In: an instance (or an even sample of it) and a [`Region`] of multipliers. Out: [`Condensed`], in which bounds for
//! every deadline and linear programs cost as much as the few requests that are not certain.
//!
//! **Why it is exact.** A request whose price λ·a is at most 1 for every λ of the region has a reduced cost 1 − λ·a ≥ 0
//! throughout; it is *taken*. One whose price is at least 1 throughout adds nothing to any UB_λ(d); it is *left*. So
//! all that are taken before d add (their number) − λ·(the sum of their costs), which is exact in integers; the rest,
//! the *core*, is listed. For λ in the region that is UB_λ(d) itself, not an estimate of it. Which requests are taken
//! and left is decided in floats, with a margin far above their error ([`Region`]).
//!
//! **Deadlines in segments.** The axis of deadline budgets is cut into *segments*, loosest first. With e the largest
//! budget in a segment and F the requests up to its end, λ·(U, W, K, e) + Σ_F max(0, 1 − λ·a) bounds every d in it
//! ([`super`]). So requests need not be sorted: one pass puts each into its bucket of budgets, and only the buckets
//! that stay open are sorted, when there is an incumbent to close the others with. A million requests are settled in
//! less time than sorting them takes.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::Multipliers;
use super::classify::{Cell, Core};
use super::region::{CORE, FATE, PRICE_ERROR, Region, TAKEN};
use super::simplex::{Column, Simplex, dot};
use super::view::{MAX_BUCKETS, View};
use crate::rank::{COMPUTE, Left, RESOURCES};

/// A range of deadlines, and everything before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its first d and its last: the end of a run of equal budgets.
    pub first: u32,
    pub last: u32,
    /// The largest and the least budget in it.
    pub most: u64,
    pub least: u64,
    /// How many of the first `last` requests are taken for certain, and what they cost.
    pub taken: u32,
    pub sums: [u64; RESOURCES],
    /// How many requests of the core are among the first `last`.
    pub core_end: u32,
    /// The bucket behind it; none for a run of equal budgets.
    pub(super) bucket: Option<u16>,
}

impl Segment {
    /// Whether it is one deadline only.
    pub fn is_run(&self) -> bool {
        self.bucket.is_none()
    }
}

/// A request of an open bucket, in the order of deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member {
    pub budget: Reverse<u64>,
    /// Index in the view << 2 | fate.
    pub index_and_fate: u32,
}

impl Member {
    fn index(self) -> u32 {
        self.index_and_fate >> 2
    }

    fn fate(self) -> u16 {
        self.index_and_fate as u16 & FATE
    }
}

/// See the module documentation. Memory is reused from one instance to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Condensed {
    pub(super) capacity: [u64; COMPUTE],
    /// 1/capacity for linear programs; for compute, 1/(the largest budget).
    scale: Column,
    /// Where bounds and relaxations hold; everywhere without one.
    region: Option<Region>,
    /// Open segments, loosest first.
    pub segments: Vec<Segment>,
    /// The core by deadline: index in the view, costs, and costs as fractions of the capacities.
    pub index: Vec<u32>,
    pub cost: Vec<[u64; RESOURCES]>,
    scaled: Vec<Column>,
    /// Where requests of the core repeat: the kind of each, and the kinds.
    kind: Vec<u32>,
    kinds: Vec<Column>,
    counts: Vec<f64>,
    order: Vec<(Reverse<u64>, u32)>,
    places: Vec<u32>,
    /// Columns for a deadline whose budget is far below the largest.
    stretched: Vec<Column>,
}

/// A budget may be so many times below the largest before a linear program takes it for its unit instead.
const MAX_STRETCH: f64 = 1e3;

/// The linear relaxation of a deadline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Relaxed {
    /// The best λ.
    Lambda(Column),
    /// What is taken for certain near the region's λ is too much here: the best λ lies elsewhere.
    Elsewhere,
}

/// Cores of at most this many requests are not searched for kinds.
const FEW: usize = 2048;
/// There are kinds if there are not more than this, and so many requests to each on average.
const MAX_KINDS: usize = 1024;
const REQUESTS_PER_KIND: usize = 4;

impl Condensed {
    /// Lists every request, sorted: all of it is core, and every deadline its own segment.
    pub fn sort(&mut self, view: &View<'_>) {
        self.region = None;
        self.order.clear();
        self.order.extend((0..view.len()).map(|i| (Reverse(view.budget(i)), i as u32)));
        self.order.sort_unstable();
        self.index.clear();
        self.index.extend(self.order.iter().map(|&(_, index)| index));
        self.segments.clear();
        let (n, stride) = (self.order.len(), view.stride as u64);
        let mut first = 1;
        for d in 1..=n {
            let Reverse(budget) = self.order[d - 1].0;
            if d < n && self.order[d].0.0 == budget {
                continue;
            }
            let budget = budget / stride;
            self.segments.push(Segment {
                first,
                last: d as u32,
                most: budget,
                least: budget,
                taken: 0,
                sums: [0; RESOURCES],
                core_end: d as u32,
                bucket: None,
            });
            first = d as u32 + 1;
        }
        self.cost.clear();
        self.cost.extend(self.index.iter().map(|&index| view.cost(index as usize)));
        self.scale(view);
    }

    /// Makes segments of the buckets of a bound pass, and brings the core into their order.
    pub fn assemble<'c>(
        &mut self,
        view: &View<'_>,
        region: Region,
        cells: &[Cell],
        cores: impl Iterator<Item = &'c Core> + Clone,
    ) {
        self.region = Some(region);
        let stride = view.stride as u64;
        self.places.clear();
        self.places.resize(cells.len() + 1, 0);
        cores.clone().flat_map(|core| &core.tag).for_each(|&tag| self.places[(tag >> 2) as usize + 1] += 1);
        (1..=cells.len()).for_each(|bucket| self.places[bucket] += self.places[bucket - 1]);
        self.segments.clear();
        let (mut d, mut taken, mut sums) = (0u32, 0u32, [0u64; RESOURCES]);
        for (bucket, cell) in cells.iter().enumerate().filter(|(_, cell)| cell.requests > 0) {
            taken += cell.taken;
            (0..RESOURCES).for_each(|r| sums[r] += cell.sums[r]);
            self.segments.push(Segment {
                first: d + 1,
                last: d + cell.requests,
                most: cell.most / stride,
                least: cell.least / stride,
                taken,
                sums,
                core_end: self.places[bucket + 1],
                bucket: Some(bucket as u16),
            });
            d += cell.requests;
        }
        let core = self.places[cells.len()] as usize;
        self.index.clear();
        self.index.resize(core, 0);
        self.cost.clear();
        self.cost.resize(core, [0; RESOURCES]);
        for core in cores {
            for ((&index, &tag), &cost) in core.index.iter().zip(&core.tag).zip(&core.cost) {
                let place = &mut self.places[(tag >> 2) as usize];
                (self.index[*place as usize], self.cost[*place as usize]) = (index, cost);
                *place += 1;
            }
        }
        self.scale(view);
    }

    /// Which buckets are still listed.
    pub fn open_buckets(&self) -> [bool; MAX_BUCKETS] {
        let mut open = [false; MAX_BUCKETS];
        self.segments.iter().filter_map(|s| s.bucket).for_each(|bucket| open[bucket as usize] = true);
        open
    }

    /// Makes every deadline of the segments still listed its own segment. `members` are their requests, in any order.
    /// False if `stop` said so: nothing is changed then.
    pub fn refine(&mut self, view: &View<'_>, members: &mut [Member], stop: &impl Fn() -> bool) -> bool {
        if stop() {
            return false;
        }
        members.sort_unstable();
        if stop() {
            return false;
        }
        let coarse = std::mem::take(&mut self.segments);
        let mut at = 0;
        for segment in &coarse {
            let end = at + (segment.last - segment.first + 1) as usize;
            let (mut taken, mut sums, mut core) = (segment.taken, segment.sums, segment.core_end);
            for member in &members[at..end] {
                match member.fate() {
                    TAKEN => {
                        taken -= 1;
                        let cost = view.cost(member.index() as usize);
                        (0..RESOURCES).for_each(|r| sums[r] -= cost[r]);
                    }
                    CORE => core -= 1,
                    _ => {}
                }
            }
            let mut first = segment.first;
            for i in at..end {
                let member = members[i];
                let Reverse(budget) = member.budget;
                match member.fate() {
                    TAKEN => {
                        taken += 1;
                        let cost = view.cost(member.index() as usize);
                        (0..RESOURCES).for_each(|r| sums[r] += cost[r]);
                    }
                    CORE => {
                        self.index[core as usize] = member.index();
                        self.cost[core as usize] = view.cost(member.index() as usize);
                        core += 1;
                    }
                    _ => {}
                }
                let d = segment.first + (i - at) as u32;
                if i + 1 < end && members[i + 1].budget == member.budget {
                    continue;
                }
                let e = budget / view.stride as u64;
                let run = Segment { first, last: d, most: e, least: e, taken, sums, core_end: core, bucket: None };
                self.segments.push(run);
                first = d + 1;
            }
            at = end;
        }
        self.scale(view);
        true
    }

    /// The costs of the core as fractions of the capacities, once its order is known.
    fn scale(&mut self, view: &View<'_>) {
        self.capacity = view.capacity();
        let most = self.segments.first().map_or(1, |s| s.most);
        let c = self.capacity;
        self.scale = [c[0], c[1], c[2], most].map(|b| 1.0 / b.max(1) as f64);
        let scale = self.scale;
        self.scaled.clear();
        self.scaled
            .extend(self.cost.iter().map(|cost| -> Column { std::array::from_fn(|r| cost[r] as f64 * scale[r]) }));
        self.kinds.clear();
        self.kind.clear();
        if self.cost.len() > FEW {
            self.find_kinds();
        }
    }

    /// Tells kinds apart, and gives up when there are too many.
    fn find_kinds(&mut self) {
        let most = MAX_KINDS.min(self.cost.len() / REQUESTS_PER_KIND);
        let mut known: HashMap<[u64; RESOURCES], u32> = HashMap::new();
        for (i, cost) in self.cost.iter().enumerate() {
            let next = self.kinds.len() as u32;
            let kind = *known.entry(*cost).or_insert(next);
            if kind == next {
                self.kinds.push(self.scaled[i]);
                // Where nothing repeats, a sample says so early.
                if self.kinds.len() > most || (i == FEW / 2 && self.kinds.len() > i / 2) {
                    self.kinds.clear();
                    self.kind.clear();
                    return;
                }
            }
            self.kind.push(kind);
        }
    }

    /// The largest and the least budget of all segments.
    pub fn budgets(&self) -> (u64, u64) {
        (self.segments.first().map_or(0, |s| s.most), self.segments.last().map_or(0, |s| s.least))
    }

    /// One segment with everything in its core, unsorted: what is known before anything is.
    pub fn whole(&mut self, view: &View<'_>) {
        self.region = None;
        self.segments.clear();
        self.index.clear();
        let last = view.len() as u32;
        if last > 0 {
            let sums = [0; RESOURCES];
            let bucket = Some(0);
            self.segments.push(Segment {
                first: 1,
                last,
                most: u64::MAX,
                least: 0,
                taken: 0,
                sums,
                core_end: 0,
                bucket,
            });
        }
    }

    /// Whether bounds and relaxations hold for λ.
    pub fn holds(&self, m: &Multipliers) -> bool {
        self.region.is_none_or(|region| region.holds(m))
    }

    /// Whether every request is listed.
    pub fn is_whole(&self) -> bool {
        self.region.is_none()
    }

    /// The capacities at the least deadline of a segment.
    pub fn capacities(&self, segment: &Segment) -> [u64; RESOURCES] {
        let c = self.capacity;
        [c[0], c[1], c[2], segment.least]
    }

    /// What the certain requests leave of the capacities at the least deadline of a segment; none if they do not fit.
    pub fn left(&self, segment: &Segment) -> Option<[u64; RESOURCES]> {
        let capacity = self.capacities(segment);
        let mut left = [0; RESOURCES];
        for r in 0..RESOURCES {
            left[r] = capacity[r].checked_sub(segment.sums[r])?;
        }
        Some(left)
    }

    /// Calls `each` with every listed segment and the bound UB_λ on the batches of all its deadlines, in units of
    /// 2^-fraction requests. λ must be in the region.
    pub fn bounds(&self, m: &Multipliers, fraction: u32, mut each: impl FnMut(usize, u64)) {
        let one = m.one();
        let (mut gained, mut at) = (0u128, 0);
        for (i, segment) in self.segments.iter().enumerate() {
            while at < segment.core_end as usize {
                gained += one.saturating_sub(m.price(&self.cost[at]));
                at += 1;
            }
            let c = self.capacity;
            // All below 2¹²⁶, as in `Multipliers`. What is taken has reduced costs of at least 0.
            let certain = (u128::from(segment.taken) << m.one_bits()).saturating_sub(m.price(&segment.sums));
            let bound = m.price(&[c[0], c[1], c[2], segment.most]) + certain + gained;
            let bound = match m.one_bits().checked_sub(fraction) {
                Some(shift) => bound >> shift,
                None => (bound >> m.one_bits()) << fraction,
            };
            each(i, bound.min(u128::from(segment.last) << fraction) as u64);
        }
    }

    /// All requests of some runs, under the budget of the first: a relaxation of each of them.
    pub fn span(&self, runs: std::ops::Range<usize>) -> Segment {
        let (first, last) = (self.segments[runs.start], self.segments[runs.end - 1]);
        Segment { first: first.first, most: first.most, least: first.least, ..last }
    }

    /// UB_λ at the least deadline of a segment, exactly, in units of 2^-one_bits. λ must be in the region.
    pub fn exact_bound(&self, m: &Multipliers, segment: &Segment) -> u128 {
        let core = self.cost[..segment.core_end as usize].iter();
        let gained: u128 = core.map(|cost| m.one().saturating_sub(m.price(cost))).sum();
        let certain = (u128::from(segment.taken) << m.one_bits()).saturating_sub(m.price(&segment.sums));
        m.price(&self.capacities(segment)) + certain + gained
    }

    /// What could be free at a run, or is taken for certain: a price below 1 and a bit, by as much as `budget` allows.
    /// In floats, which tell apart what is certainly left: most.
    pub fn priced(&self, m: &Multipliers, budget: u128) -> (Column, f64) {
        (m.to_real(), 1.0 + budget as f64 / m.one() as f64 * (1.0 + 1e-9) + PRICE_ERROR)
    }

    /// Solves the linear relaxation of a segment's last deadline, starting near `warm`. The simplex keeps the vertex.
    pub fn relax(&mut self, segment: usize, warm: Column, simplex: &mut Simplex, stop: &dyn Fn() -> bool) -> Relaxed {
        let segment = self.segments[segment];
        let Some(left) = self.left(&segment) else { return Relaxed::Elsewhere };
        // Compute as a fraction of this deadline's budget: of one that is far larger, it would be lost in rounding.
        let budget = segment.least.max(1) as f64;
        let mut scale = self.scale;
        let stretch = 1.0 / (budget * scale[COMPUTE]);
        if stretch > MAX_STRETCH {
            scale[COMPUTE] = 1.0 / budget;
            let columns = if self.kinds.is_empty() { &self.scaled[..segment.core_end as usize] } else { &self.kinds };
            self.stretched.clear();
            self.stretched.extend(columns.iter().map(|a| [a[0], a[1], a[2], a[COMPUTE] * stretch]));
        }
        let stretched = stretch > MAX_STRETCH;
        let limit: Column = std::array::from_fn(|r| left[r] as f64 * scale[r]);
        let warm: Column = std::array::from_fn(|r| warm[r] / scale[r]);
        let y = if self.kinds.is_empty() {
            let columns = if stretched { &self.stretched } else { &self.scaled[..segment.core_end as usize] };
            simplex.maximise(columns, None, limit, warm, stop)
        } else {
            self.counts.clear();
            self.counts.resize(self.kinds.len(), 0.0);
            self.kind[..segment.core_end as usize].iter().for_each(|&k| self.counts[k as usize] += 1.0);
            let columns = if stretched { &self.stretched } else { &self.kinds };
            simplex.maximise(columns, Some(&self.counts), limit, warm, stop)
        };
        Relaxed::Lambda(std::array::from_fn(|r| y[r] * scale[r]))
    }

    /// A batch for a segment's least deadline: what is certain, what the vertex in `simplex` takes whole, and then, by
    /// price, what still fits. Its places in the core are left in `rounding`; returns its size, or none.
    pub fn round(&self, segment: &Segment, lambda: Column, simplex: &Simplex, rounding: &mut Rounding) -> Option<u64> {
        let Rounding { chosen, others, wanted } = rounding;
        chosen.clear();
        others.clear();
        let mut left = Left(self.left(segment)?);
        let y: Column = std::array::from_fn(|r| lambda[r] / self.scale[r]);
        wanted.clear();
        wanted.extend((0..self.kinds.len()).map(|kind| libm::floor(simplex.value(kind) + 1e-9) as u32));
        for place in 0..segment.core_end as usize {
            let whole = match self.kind.get(place) {
                Some(&kind) => wanted[kind as usize] > 0,
                None => simplex.value(place) > 1.0 - 1e-9,
            };
            if whole && left.fits(&self.cost[place]) {
                left.take(&self.cost[place]);
                chosen.push(place as u32);
                if let Some(&kind) = self.kind.get(place) {
                    wanted[kind as usize] -= 1;
                }
            } else {
                others.push((dot(&self.scaled[place], &y), place as u32));
            }
        }
        // What does not fit beside these will not fit beside more.
        others.retain(|&(_, place)| left.fits(&self.cost[place as usize]));
        let by_price = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        // The nearest first; and as long as nearly all of them fit, the next ones.
        let mut from = 0;
        loop {
            let to = others.len().min(from + FILL.max(from));
            if to < others.len() {
                others[from..].select_nth_unstable_by(to - from, by_price);
            }
            others[from..to].sort_unstable_by(by_price);
            let before = chosen.len();
            for &(_, place) in &others[from..to] {
                let cost = &self.cost[place as usize];
                if left.fits(cost) {
                    left.take(cost);
                    chosen.push(place);
                }
            }
            if to == others.len() || chosen.len() - before < (to - from) / 2 {
                break;
            }
            from = to;
        }
        Some(u64::from(segment.taken) + chosen.len() as u64)
    }

    /// Adds the rows of the core's `chosen` places. In no particular order.
    pub fn rows(&self, view: &View<'_>, chosen: &[u32], rows: &mut Vec<u32>) {
        rows.extend(chosen.iter().map(|&place| view.row(self.index[place as usize])));
    }
}

/// So many requests of the core are looked at beyond those that the relaxation takes, and more while they fit.
const FILL: usize = 512;

/// Working memory of [`Condensed::round`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Rounding {
    /// Places in the core that the batch holds.
    pub chosen: Vec<u32>,
    others: Vec<(f64, u32)>,
    wanted: Vec<u32>,
}

#[cfg(test)]
mod tests;
