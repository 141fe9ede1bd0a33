//! A large instance made small: what is certain near a given λ is summed up, what is not is listed.
//!
//! In: an instance (or an even sample of it) and a [`Region`] of multipliers. Out: [`Condensed`], in which bounds for
//! every deadline and linear programs cost as much as the few requests that are not certain.
//!
//! **Why it is exact.** Let Λ = {λ : low ≤ λ ≤ high}. A request with high·a ≤ 1 has a reduced cost 1 − λ·a ≥ 0 for
//! every λ ∈ Λ, one with low·a ≥ 1 has a reduced cost ≤ 0 for every λ ∈ Λ. The first kind, *taken*, adds 1 − λ·a to
//! UB_λ(d): so all of them before d together add (their number) − λ·(the sum of their costs). The second kind adds
//! nothing. The rest, the *core*, is listed. For λ ∈ Λ that is UB_λ(d) itself, not an estimate of it.
//!
//! **Deadlines in segments.** The axis of deadline budgets is cut into *segments*, loosest first. With e the largest
//! budget in a segment and F the requests up to its end, λ·(U, W, K, e) + Σ_F max(0, 1 − λ·a) bounds every d in it
//! ([`super`]). So requests need not be sorted: one pass puts each into its bucket of budgets, and only the buckets that
//! stay open are sorted, when there is an incumbent to close the others with. A million requests are settled in less
//! time than sorting them takes.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::Multipliers;
use super::simplex::{Column, Simplex, dot};
use crate::instance::{Columns, Instance};
use crate::rank::{COMPUTE, Left, RESOURCES};

/// Requests of an instance, evenly spread: one in `stride`, in blocks that fill a cache line, with so much less of every
/// capacity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'i> {
    pub columns: &'i Columns,
    capacity: [u64; COMPUTE],
    stride: usize,
}

/// Rows next to each other in a sample: a cache line of each column.
const BLOCK_ROWS: usize = 8;

impl<'i> View<'i> {
    pub fn new(instance: &'i Instance, stride: usize) -> Self {
        let c = instance.capacity();
        let capacity = [c.uplink, c.downlink, c.kv_tokens].map(|c| c / stride as u64);
        View { columns: instance.columns(), capacity, stride }
    }

    /// The number of requests looked at.
    pub fn len(&self) -> usize {
        // Whole blocks but for the last.
        let (rows, period) = (self.columns.request.len(), BLOCK_ROWS * self.stride);
        rows / period * BLOCK_ROWS + (rows % period).min(BLOCK_ROWS)
    }

    /// The row of the instance behind an index of the view.
    #[inline]
    pub fn row(&self, index: u32) -> u32 {
        self.at(index as usize) as u32
    }

    #[inline]
    fn at(&self, index: usize) -> usize {
        index / BLOCK_ROWS * BLOCK_ROWS * self.stride + index % BLOCK_ROWS
    }

    #[inline]
    pub fn cost(&self, index: usize) -> [u64; RESOURCES] {
        let (c, row) = (self.columns, self.at(index));
        [c.uplink[row], c.downlink[row], c.kv_tokens[row], c.compute[row]]
    }

    #[inline]
    pub fn budget(&self, index: usize) -> u64 {
        self.columns.budget[self.at(index)]
    }
}

/// Multipliers near a center, in coordinates in which all directions count alike.
///
/// Resources may be nearly proportional to each other (KV tokens and compute, say), and then the best prices of each
/// alone are ill-defined although the price of every request is well-defined. So distance is measured by what it does
/// to prices: with Σ a aᵀ = L Lᵀ over typical requests, y = L⁻¹ a and c = Lᵀ λ, λ·a = c·y, and the y of typical
/// requests have unit variance in all directions. The region is all that is within a cube |c' − c| ≤ width of the line
/// between two λ: one on either side of the best deadline, where often the memory binds before it and the deadline
/// after it. There the price of a request stays within width·Σ|y| of those at the ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Region {
    /// L⁻¹, lower triangular, for costs in their own units.
    whiten: [Column; RESOURCES],
    /// Lᵀ, upper triangular, for λ per unit.
    color: [Column; RESOURCES],
    ends: [Column; 2],
    width: f64,
}

/// Float prices near 1 are this exact and more: L is kept from being singular, so that |y| < 10⁵ |a| and sums of four
/// products err by less than 10⁻¹⁵ times that.
const PRICE_ERROR: f64 = 1e-8;

impl Region {
    /// Within `width` of the line between two λ, as the prices of `costs` see it.
    pub fn between(ends: [Column; 2], width: f64, costs: &[[u64; RESOURCES]]) -> Self {
        // Requests of an ordinary price are typical.
        let real = |cost: &[u64; RESOURCES]| cost.map(|c| c as f64);
        let typical = || costs.iter().map(real).filter(|a| dot(a, &ends[0]) < 2.0);
        let mut mean = [0.0; RESOURCES];
        let mut count = 0.0;
        for a in typical() {
            (0..RESOURCES).for_each(|r| mean[r] += a[r]);
            count += 1.0;
        }
        let unit = mean.map(|sum| if sum > 0.0 { count / sum } else { 1.0 });
        let mut moment = [[0.0; RESOURCES]; RESOURCES];
        for a in typical() {
            for i in 0..RESOURCES {
                (0..=i).for_each(|j| moment[i][j] += a[i] * unit[i] * a[j] * unit[j] / count);
            }
        }
        (0..RESOURCES).for_each(|r| moment[r][r] = moment[r][r] * (1.0 + 1e-9) + 1e-9);
        // Cholesky, then the inverse of the triangle by columns.
        let mut l = [[0.0; RESOURCES]; RESOURCES];
        for i in 0..RESOURCES {
            for j in 0..=i {
                let rest: f64 = moment[i][j] - (0..j).map(|k| l[i][k] * l[j][k]).sum::<f64>();
                l[i][j] = if i == j { rest.max(1e-10).sqrt() } else { rest / l[j][j] };
            }
        }
        let mut inverse = [[0.0; RESOURCES]; RESOURCES];
        for j in 0..RESOURCES {
            inverse[j][j] = 1.0 / l[j][j];
            for i in j + 1..RESOURCES {
                inverse[i][j] = -(j..i).map(|k| l[i][k] * inverse[k][j]).sum::<f64>() / l[i][i];
            }
        }
        let mut region = Region {
            whiten: std::array::from_fn(|i| std::array::from_fn(|r| inverse[i][r] * unit[r])),
            color: std::array::from_fn(|j| std::array::from_fn(|r| l[r][j] / unit[r])),
            ends,
            width,
        };
        region.ends = ends.map(|lambda| region.coordinates(&lambda));
        region
    }

    fn coordinates(&self, lambda: &Column) -> Column {
        self.color.map(|row| dot(&row, lambda))
    }

    /// Whether λ is inside.
    pub fn holds(&self, m: &Multipliers) -> bool {
        let c = self.coordinates(&m.to_real());
        let width = self.width * (1.0 - 1e-9);
        // The part of the line, from 0 to 1, that is near enough in every coordinate.
        let (mut from, mut to) = (0.0f64, 1.0f64);
        for j in 0..RESOURCES {
            let (start, run) = (c[j] - self.ends[0][j], self.ends[1][j] - self.ends[0][j]);
            if run == 0.0 {
                if start.abs() > width {
                    return false;
                }
            } else {
                let (a, b) = ((start - width) / run, (start + width) / run);
                from = from.max(a.min(b));
                to = to.min(a.max(b));
            }
        }
        from <= to
    }

    /// Whether a request is taken, left, or neither for every λ inside.
    #[inline]
    fn fate(&self, a: &Column) -> u16 {
        let w = &self.whiten;
        let y = [
            w[0][0] * a[0],
            w[1][0] * a[0] + w[1][1] * a[1],
            w[2][0] * a[0] + w[2][1] * a[1] + w[2][2] * a[2],
            dot(&w[3], a),
        ];
        let prices = [dot(&self.ends[0], &y), dot(&self.ends[1], &y)];
        let (least, most) = (prices[0].min(prices[1]), prices[0].max(prices[1]));
        let reach = self.width * (y[0].abs() + y[1].abs() + y[2].abs() + y[3].abs());
        if most + reach <= 1.0 - PRICE_ERROR {
            TAKEN
        } else if least - reach >= 1.0 + PRICE_ERROR * (1.0 + most) {
            LEFT
        } else {
            CORE
        }
    }
}

/// What becomes of a request near λ: the two low bits of its tag.
const LEFT: u16 = 0;
const TAKEN: u16 = 1;
const CORE: u16 = 2;
const FATE: u16 = 3;

/// Buckets of budgets: 0 holds the loosest. Monotone in the budget, which is all that correctness asks of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Buckets {
    least: u64,
    factor: f64,
    count: usize,
}

/// At most so many buckets; a tag of 16 bits holds a bucket and a fate.
const MAX_BUCKETS: usize = 4096;
/// Requests per bucket aimed at.
const PER_BUCKET: usize = 32;

impl Buckets {
    /// For `requests` requests with budgets mostly between `least` and `most`.
    pub fn new(least: u64, most: u64, requests: usize) -> Self {
        let count = (requests / PER_BUCKET).clamp(1, MAX_BUCKETS);
        Buckets { least, factor: count as f64 / (most.saturating_sub(least) as f64 + 1.0), count }
    }

    #[inline]
    fn of(&self, budget: u64) -> usize {
        // Conversion, product and rounding are monotone; `as` saturates.
        let up = (budget.saturating_sub(self.least) as f64 * self.factor) as usize;
        self.count - 1 - up.min(self.count - 1)
    }
}

/// The sums of one bucket.
#[derive(Debug, Clone, Copy)]
struct Cell {
    requests: u32,
    taken: u32,
    core: u32,
    least: u64,
    most: u64,
    sums: [u64; RESOURCES],
}

const EMPTY_CELL: Cell = Cell { requests: 0, taken: 0, core: 0, least: u64::MAX, most: 0, sums: [0; RESOURCES] };

/// What one thread makes of its range of requests.
#[derive(Debug, Clone, Default)]
struct Part {
    cells: Vec<Cell>,
    core: Vec<u32>,
}

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
    bucket: Option<u16>,
}

impl Segment {
    /// Whether it is one deadline only.
    pub fn is_run(&self) -> bool {
        self.bucket.is_none()
    }
}

/// See the module documentation. Memory is reused from one instance to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Condensed {
    capacity: [u64; COMPUTE],
    /// 1/capacity for linear programs; for compute, 1/(the largest budget).
    scale: Column,
    /// Where bounds and relaxations hold; everywhere without one.
    region: Option<Region>,
    buckets: Buckets,
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
    /// Bucket and fate of every request of the view.
    tags: Vec<u16>,
    parts: Vec<Part>,
    order: Vec<(Reverse<u64>, u32)>,
    places: Vec<u32>,
    near: Vec<Column>,
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
/// There are kinds if there are so many requests to each on average.
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
        self.fill(view);
    }

    /// Sums up what is certain in `region` and lists the rest, by buckets of budgets; on the threads of the pool, if
    /// `parallel`. False if `stop` said so in the middle: nothing is then to be used.
    pub fn classify(
        &mut self,
        view: &View<'_>,
        region: Region,
        buckets: Buckets,
        parallel: bool,
        stop: &(impl Fn() -> bool + Sync),
    ) -> bool {
        self.region = Some(region);
        self.buckets = buckets;
        let n = view.len();
        self.tags.resize(n, 0);
        let size = part_size(n);
        self.parts.resize_with(n.div_ceil(size), Part::default);
        let work = |(at, (part, tags)): (usize, (&mut Part, &mut [u16]))| {
            part.classify(view, at * size, tags, &region, &buckets, stop)
        };
        let complete = if !parallel || self.parts.len() <= 1 {
            self.parts.iter_mut().zip(self.tags.chunks_mut(size)).enumerate().map(work).all(|done| done)
        } else {
            use rayon::prelude::*;
            self.parts.par_iter_mut().zip(self.tags.par_chunks_mut(size)).enumerate().map(work).all(|done| done)
        };
        complete && {
            self.join(view);
            true
        }
    }

    /// Makes segments of the buckets, and brings the core into their order.
    fn join(&mut self, view: &View<'_>) {
        let stride = view.stride as u64;
        self.segments.clear();
        self.places.clear();
        let (mut d, mut taken, mut sums, mut core) = (0u32, 0u32, [0u64; RESOURCES], 0u32);
        for bucket in 0..self.buckets.count {
            self.places.push(core);
            let mut cell = EMPTY_CELL;
            for part in &self.parts {
                cell.add(&part.cells[bucket]);
            }
            if cell.requests == 0 {
                continue;
            }
            taken += cell.taken;
            core += cell.core;
            (0..RESOURCES).for_each(|r| sums[r] += cell.sums[r]);
            self.segments.push(Segment {
                first: d + 1,
                last: d + cell.requests,
                most: cell.most / stride,
                least: cell.least / stride,
                taken,
                sums,
                core_end: core,
                bucket: Some(bucket as u16),
            });
            d += cell.requests;
        }
        self.index.clear();
        self.index.resize(core as usize, 0);
        for part in &self.parts {
            for &index in &part.core {
                let place = &mut self.places[(self.tags[index as usize] >> 2) as usize];
                self.index[*place as usize] = index;
                *place += 1;
            }
        }
        self.fill(view);
    }

    /// Sorts the requests of the segments still listed, and makes every deadline in them its own segment. False if
    /// `stop` said so: nothing is changed then.
    pub fn refine(&mut self, view: &View<'_>, stop: &impl Fn() -> bool) -> bool {
        let mut open = [false; MAX_BUCKETS];
        self.segments.iter().filter_map(|s| s.bucket).for_each(|bucket| open[bucket as usize] = true);
        self.order.clear();
        for (at, tags) in self.tags.chunks(1 << 16).enumerate() {
            if stop() {
                return false;
            }
            let members = tags.iter().enumerate().filter(|&(_, &tag)| open[(tag >> 2) as usize]);
            let at = at << 16;
            self.order.extend(members.map(|(i, _)| (Reverse(view.budget(at + i)), (at + i) as u32)));
        }
        self.order.sort_unstable();
        if stop() {
            return false;
        }
        let coarse = std::mem::take(&mut self.segments);
        let mut at = 0;
        for segment in &coarse {
            let members = at + (segment.last - segment.first + 1) as usize;
            let (mut taken, mut sums, mut core) = (segment.taken, segment.sums, segment.core_end);
            for &(_, index) in &self.order[at..members] {
                match self.tags[index as usize] & FATE {
                    TAKEN => {
                        taken -= 1;
                        let cost = view.cost(index as usize);
                        (0..RESOURCES).for_each(|r| sums[r] -= cost[r]);
                    }
                    CORE => core -= 1,
                    _ => {}
                }
            }
            let mut first = segment.first;
            for i in at..members {
                let (Reverse(budget), index) = self.order[i];
                match self.tags[index as usize] & FATE {
                    TAKEN => {
                        taken += 1;
                        let cost = view.cost(index as usize);
                        (0..RESOURCES).for_each(|r| sums[r] += cost[r]);
                    }
                    CORE => {
                        self.index[core as usize] = index;
                        core += 1;
                    }
                    _ => {}
                }
                let d = segment.first + (i - at) as u32;
                if i + 1 < members && self.order[i + 1].0.0 == budget {
                    continue;
                }
                let e = budget / view.stride as u64;
                let run = Segment { first, last: d, most: e, least: e, taken, sums, core_end: core, bucket: None };
                self.segments.push(run);
                first = d + 1;
            }
            at = members;
        }
        self.fill(view);
        true
    }

    /// The costs of the core, once its order is known.
    fn fill(&mut self, view: &View<'_>) {
        self.capacity = view.capacity;
        let most = self.segments.first().map_or(1, |s| s.most);
        let c = self.capacity;
        self.scale = [c[0], c[1], c[2], most].map(|b| 1.0 / b.max(1) as f64);
        self.cost.clear();
        self.cost.extend(self.index.iter().map(|&index| view.cost(index as usize)));
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
        let most = self.cost.len() / REQUESTS_PER_KIND;
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

    /// UB_λ at the least deadline of a segment, exactly, in units of 2^-one_bits. λ must be in the region.
    pub fn exact_bound(&self, m: &Multipliers, segment: &Segment) -> u128 {
        let core = self.cost[..segment.core_end as usize].iter();
        let gained: u128 = core.map(|cost| m.one().saturating_sub(m.price(cost))).sum();
        let certain = (u128::from(segment.taken) << m.one_bits()).saturating_sub(m.price(&segment.sums));
        m.price(&self.capacities(segment)) + certain + gained
    }

    /// Calls `each` with the rows and costs of all requests before the end of a run that could be free or are taken for
    /// certain, and with `found`.
    pub fn each_before<T>(
        &self,
        view: &View<'_>,
        segment: &Segment,
        m: &Multipliers,
        budget: u128,
        mut each: impl FnMut(u32, [u64; RESOURCES], &mut T),
        found: &mut T,
    ) {
        if self.is_whole() {
            let end = segment.core_end as usize;
            for (&index, &cost) in self.index[..end].iter().zip(&self.cost) {
                each(view.row(index), cost, found);
            }
            return;
        }
        // Floats tell apart what is certainly left, which is most.
        let real = m.to_real();
        let most = 1.0 + budget as f64 / m.one() as f64 * (1.0 + 1e-9) + PRICE_ERROR;
        for index in 0..view.len() {
            let cost = view.cost(index);
            let price = dot(&cost.map(|c| c as i64 as f64), &real);
            if price <= most && view.budget(index) >= segment.least {
                each(view.row(index as u32), cost, found);
            }
        }
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
        let mut warm: Column = std::array::from_fn(|r| warm[r] / scale[r]);
        let y = if self.kinds.is_empty() {
            let columns = if stretched { &self.stretched } else { &self.scaled[..segment.core_end as usize] };
            if columns.len() > 2 * NEAR {
                warm = approach(columns, limit, warm, simplex, &mut self.near, stop);
            }
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
        if others.len() > FILL {
            others.select_nth_unstable_by(FILL, by_price);
            others.truncate(FILL);
        }
        others.sort_unstable_by(by_price);
        for &(_, place) in others.iter() {
            let cost = &self.cost[place as usize];
            if left.fits(cost) {
                left.take(cost);
                chosen.push(place);
            }
        }
        Some(u64::from(segment.taken) + chosen.len() as u64)
    }

    /// Adds the rows of the batch that holds the requests taken for certain under a budget of at least `least`, and the
    /// core's `chosen` places. In no particular order.
    pub fn rows(&self, view: &View<'_>, taken: bool, least: u64, chosen: &[u32], rows: &mut Vec<u32>) {
        rows.extend(chosen.iter().map(|&place| view.row(self.index[place as usize])));
        if taken {
            let tagged = self.tags[..view.len()].iter().zip(&view.columns.budget).enumerate();
            let within = tagged.filter(|&(_, (&tag, &budget))| tag & FATE == TAKEN && budget >= least);
            rows.extend(within.map(|(i, _)| i as u32));
        }
    }
}

/// The reduced costs of all requests at a few λ, summed by bucket of budgets.
///
/// In floats: a price errs relatively by less than 2⁻⁵⁰, so the positive parts of 2³⁰ requests by less than 2⁻²⁰ in
/// all, and the bound made of them is raised by more ([`Survey::MARGIN`]). Parts are the same on any number of threads,
/// and so are the sums.
#[derive(Debug, Clone, Default)]
pub(crate) struct Survey {
    parts: Vec<Vec<[f64; LANES]>>,
}

/// So many λ are surveyed at once.
pub(crate) const LANES: usize = 4;

impl Survey {
    /// In requests.
    const MARGIN: f64 = 1e-5;

    /// Sums the positive reduced costs at each λ. False if `stop` said so.
    pub fn measure(
        &mut self,
        view: &View<'_>,
        buckets: &Buckets,
        lambda: &[Column; LANES],
        parallel: bool,
        stop: &(impl Fn() -> bool + Sync),
    ) -> bool {
        let n = view.len();
        let size = part_size(n);
        self.parts.resize_with(n.div_ceil(size), Vec::new);
        // By resource, so that lanes are next to each other.
        let by_resource: [[f64; LANES]; RESOURCES] = std::array::from_fn(|r| lambda.map(|lambda| lambda[r]));
        let work = |(at, sums): (usize, &mut Vec<[f64; LANES]>)| {
            sums.clear();
            sums.resize(buckets.count, [0.0; LANES]);
            let end = n.min((at + 1) * size);
            for start in (at * size..end).step_by(BLOCK) {
                if stop() {
                    return false;
                }
                for index in start..end.min(start + BLOCK) {
                    let real = view.cost(index).map(|c| c as i64 as f64);
                    let sum = &mut sums[buckets.of(view.budget(index))];
                    for lane in 0..LANES {
                        let price = by_resource[0][lane] * real[0]
                            + by_resource[1][lane] * real[1]
                            + by_resource[2][lane] * real[2]
                            + by_resource[3][lane] * real[3];
                        sum[lane] += (1.0 - price).max(0.0);
                    }
                }
            }
            true
        };
        if !parallel || self.parts.len() <= 1 {
            self.parts.iter_mut().enumerate().map(work).all(|done| done)
        } else {
            use rayon::prelude::*;
            self.parts.par_iter_mut().enumerate().map(work).all(|done| done)
        }
    }

    /// Calls `each` with every listed segment that is a bucket, and the bound of lane `lane` on it.
    pub fn bounds(&self, condensed: &Condensed, lane: usize, lambda: &Column, mut each: impl FnMut(usize, u64)) {
        let (mut gained, mut at) = (0.0, 0);
        let c = condensed.capacity.map(|c| c as f64);
        let fixed = lambda[0] * c[0] + lambda[1] * c[1] + lambda[2] * c[2];
        for (i, segment) in condensed.segments.iter().enumerate() {
            let Some(bucket) = segment.bucket else { continue };
            while at <= bucket as usize {
                gained += self.parts.iter().map(|part| part[at][lane]).sum::<f64>();
                at += 1;
            }
            let bound = fixed + lambda[COMPUTE] * segment.most as f64 + gained;
            each(i, ((bound * (1.0 + 1e-12) + Survey::MARGIN) as u64).min(u64::from(segment.last)));
        }
    }
}

/// The requests of one part. The number of parts does not depend on the number of threads.
fn part_size(requests: usize) -> usize {
    const PARTS: usize = 8;
    requests.div_ceil(PARTS).max(BLOCK)
}

/// The most requests of the core that are looked at beyond those that the relaxation takes.
const FILL: usize = 512;

/// About this many columns are near enough to λ to enter a narrowed linear program.
const NEAR: usize = 1024;

/// λ near the best one for many columns: rounds of a linear program over those with a reduced cost near 0, the others
/// taken or left as its sign says, each round around the λ of the one before.
fn approach(
    columns: &[Column],
    limit: Column,
    warm: Column,
    simplex: &mut Simplex,
    near: &mut Vec<Column>,
    stop: &dyn Fn() -> bool,
) -> Column {
    const ROUNDS: usize = 8;
    let bound = |y: &Column| dot(&limit, y) + columns.iter().map(|a| (1.0 - dot(a, y)).max(0.0)).sum::<f64>();
    let mut y = warm;
    let mut best = bound(&y);
    let mut wanted = NEAR;
    for _ in 0..ROUNDS {
        if stop() {
            break;
        }
        // The width that about so many are within, from a sample.
        let every = (columns.len() / NEAR).max(1);
        let mut sizes = [0.0; 2 * NEAR];
        let mut sampled = 0;
        for a in columns.iter().step_by(every).take(2 * NEAR) {
            sizes[sampled] = (1.0 - dot(a, &y)).abs();
            sampled += 1;
        }
        let nth = (wanted / every).min(sampled - 1);
        let width = *sizes[..sampled].select_nth_unstable_by(nth, f64::total_cmp).1;
        near.clear();
        let mut left = limit;
        for a in columns {
            let reduced = 1.0 - dot(a, &y);
            if reduced.abs() <= width {
                near.push(*a);
            } else if reduced > 0.0 {
                (0..RESOURCES).for_each(|r| left[r] -= a[r]);
            }
        }
        if left.iter().any(|&room| room < 0.0) {
            // The prices are too low: what they take for certain does not fit.
            y = y.map(|price| price * (1.0 + width));
            best = bound(&y);
            wanted *= 2;
            continue;
        }
        let next = simplex.maximise(near, None, left, y, stop);
        let midway: Column = std::array::from_fn(|r| (y[r] + next[r]) / 2.0);
        match [next, midway].into_iter().map(|y| (bound(&y), y)).find(|&(b, _)| b < best) {
            Some((b, lower)) => {
                let gain = best - b;
                (best, y) = (b, lower);
                if gain < 0.01 {
                    break;
                }
            }
            None if near.len() >= columns.len() / 2 => break,
            None => wanted *= 4,
        }
    }
    y
}

/// Working memory of [`Condensed::round`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Rounding {
    /// Places in the core that the batch holds.
    pub chosen: Vec<u32>,
    others: Vec<(f64, u32)>,
    wanted: Vec<u32>,
}

impl Cell {
    fn add(&mut self, other: &Cell) {
        self.requests += other.requests;
        self.taken += other.taken;
        self.core += other.core;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        (0..RESOURCES).for_each(|r| self.sums[r] += other.sums[r]);
    }
}

/// Requests between two looks at the clock.
const BLOCK: usize = 1 << 14;

impl Part {
    /// Classifies `tags.len()` requests from index `from` on.
    fn classify(
        &mut self,
        view: &View<'_>,
        from: usize,
        tags: &mut [u16],
        region: &Region,
        buckets: &Buckets,
        stop: &impl Fn() -> bool,
    ) -> bool {
        self.cells.clear();
        self.cells.resize(buckets.count, EMPTY_CELL);
        self.core.clear();
        for (block, tags) in tags.chunks_mut(BLOCK).enumerate() {
            if stop() {
                return false;
            }
            let (start, end) = (from + block * BLOCK, from + block * BLOCK + tags.len());
            let c = view.columns;
            if view.stride == 1 {
                let costs = c.uplink[start..end].iter().zip(&c.downlink[start..end]).zip(&c.kv_tokens[start..end]);
                let costs = costs.zip(&c.compute[start..end]).zip(&c.budget[start..end]);
                let requests = costs.map(|((((&u, &w), &k), &c), &e)| ([u, w, k, c], e));
                self.block(start, requests, tags, region, buckets);
            } else {
                let requests = (start..end).map(|index| (view.cost(index), view.budget(index)));
                self.block(start, requests, tags, region, buckets);
            }
        }
        true
    }

    #[inline]
    fn block(
        &mut self,
        start: usize,
        requests: impl Iterator<Item = ([u64; RESOURCES], u64)>,
        tags: &mut [u16],
        region: &Region,
        buckets: &Buckets,
    ) {
        for ((cost, budget), (tag, index)) in requests.zip(tags.iter_mut().zip(start..)) {
            // At most 2⁶², and from signed numbers the conversion is one instruction.
            let real = cost.map(|c| c as i64 as f64);
            let bucket = buckets.of(budget);
            let cell = &mut self.cells[bucket];
            cell.requests += 1;
            cell.least = cell.least.min(budget);
            cell.most = cell.most.max(budget);
            let fate = region.fate(&real);
            if fate == TAKEN {
                cell.taken += 1;
                (0..RESOURCES).for_each(|r| cell.sums[r] += cost[r]);
            } else if fate == CORE {
                cell.core += 1;
                self.core.push(index as u32);
            }
            *tag = (bucket << 2) as u16 | fate;
        }
    }
}
