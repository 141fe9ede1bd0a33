//! The dual simplex, for very many columns: down the dual function g(y) = limit·y + Σ max(0, 1 − y·a) to its minimum.
//!
//! A vertex of it has a basis of four columns of price 1 or of resources without a price; whoever else costs less than
//! 1 is taken. A step moves along an edge of g, not to the next vertex but to the lowest point on it, past the prices
//! of however many requests: each of these changes sides at once, where the primal simplex would move them one by one.
//! A few dozen steps are enough for a million columns, and a few where the start is near.

use std::cmp::Ordering;

use super::{Column, RESOURCES, Simplex, TINY, dot};

/// About so many of the columns are near to where the descent starts, and are settled first; if that fails, so many.
const NEAR: usize = 1024;
const WANTED: [usize; 2] = [NEAR, 8 * NEAR];
/// Columns in a sample of them.
const SAMPLED: usize = 1024;
/// Crossings of so many times the slope, as a sample tells, are looked at.
const MARGIN: f64 = 3.0;
/// Steps before the descent gives up: far more than were ever seen.
const STEPS: usize = 1000;
/// A basic variable may be so far beyond its bounds. Rows are scaled to a capacity of 1, and columns to an upper bound
/// of 1.
const BEYOND: f64 = 1e-9;
/// Prices this near to where a step starts are taken to be there: ties are then passed by how much each matters.
const SAME: f64 = 1e-9;

/// Where on an edge the price of a column becomes 1, how fast g rises less before it, and the column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crossing {
    at: f64,
    rate: f64,
    column: u32,
}

impl Simplex {
    /// Maximises over requests `columns` within `limit` from prices near `warm`. False if it did not get there.
    pub(super) fn descend_near(
        &mut self,
        columns: &[Column],
        limit: Column,
        warm: Column,
        stop: &dyn Fn() -> bool,
    ) -> bool {
        let n = columns.len();
        let mut basis = self.settle_near(columns, limit, warm, stop);
        if basis.is_none() {
            // Too far off: from a sample of all.
            let every = n.div_ceil(4 * NEAR);
            let sample: Vec<Column> = columns.iter().step_by(every).copied().collect();
            let share = sample.len() as f64 / n as f64;
            self.start_at(sample.len(), slacks(sample.len()));
            if self.descend(&sample, limit.map(|room| room * share), stop) {
                basis = self.settle_near(columns, limit, self.duals(), stop);
            }
        }
        self.start_at(n, basis.unwrap_or(slacks(n)));
        if !self.invert(columns) {
            self.start_at(n, slacks(n));
        }
        self.descend(columns, limit, stop)
    }

    /// The basis of the best vertex if only columns of prices near those at `warm` may move, and the others go the way
    /// that theirs say; none if that is not sensible.
    fn settle_near(
        &mut self,
        columns: &[Column],
        limit: Column,
        warm: Column,
        stop: &dyn Fn() -> bool,
    ) -> Option<[usize; RESOURCES]> {
        if warm.iter().all(|&price| price <= 0.0) {
            return None;
        }
        let n = columns.len();
        let warm = fitting(columns, &limit, warm);
        let mut near = std::mem::take(&mut self.near);
        let mut basis = None;
        for wanted in WANTED.into_iter().filter(|wanted| 2 * wanted < n) {
            let width = width_of(columns, &warm, wanted);
            near.0.clear();
            near.1.clear();
            let mut left = limit;
            for (j, column) in columns.iter().enumerate() {
                let reduced = 1.0 - dot(column, &warm);
                if reduced.abs() <= width {
                    near.0.push(j as u32);
                    near.1.push(*column);
                } else if reduced > 0.0 {
                    (0..RESOURCES).for_each(|r| left[r] -= column[r]);
                }
            }
            let listed = near.0.len();
            self.start_at(listed, slacks(listed));
            if left.iter().all(|&room| room >= 0.0) && self.descend(&near.1, left, stop) && self.basis != slacks(listed)
            {
                basis = Some(self.basis.map(|b| near.0.get(b).map_or_else(|| n + b - listed, |&j| j as usize)));
                break;
            }
        }
        self.near = near;
        basis
    }

    fn start_at(&mut self, n: usize, basis: [usize; RESOURCES]) {
        self.n = n;
        self.upper.clear();
        self.basis = basis;
        self.inverse = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
    }

    /// Maximises from the basis at hand. Every request counts as one. False if it did not get there, or `stop` said so.
    fn descend(&mut self, columns: &[Column], limit: Column, stop: &dyn Fn() -> bool) -> bool {
        let n = self.n;
        let y = self.duals();
        let mut left = limit;
        self.at_upper.clear();
        for (j, column) in columns.iter().enumerate() {
            let taken = dot(&y, column) < 1.0 && !self.basis.contains(&j);
            self.at_upper.push(taken);
            if taken {
                (0..RESOURCES).for_each(|r| left[r] -= column[r]);
            }
        }
        for _ in 0..STEPS {
            self.value = self.inverse.map(|row| dot(&row, &left));
            let excess = |i: usize| (self.value[i] - self.upper(self.basis[i])).max(-self.value[i]);
            let mut row = 0;
            (1..RESOURCES).for_each(|i| row = if excess(i) > excess(row) { i } else { row });
            if excess(row) <= BEYOND {
                return true;
            }
            if stop() {
                return false;
            }
            // The row's variable leaves to the bound that it is beyond; prices move along the row of the inverse.
            let to_upper = self.value[row] > 0.0;
            let Some((entering, flips)) = self.lowest(columns, row, excess(row), to_upper) else { return false };
            let mut flip = |at_upper: &mut bool, column: &Column, to: bool| {
                let part = f64::from(u8::from(to)) - f64::from(u8::from(*at_upper));
                (0..RESOURCES).for_each(|r| left[r] -= part * column[r]);
                *at_upper = to;
            };
            for crossing in &self.crossings[..flips] {
                let j = crossing.column as usize;
                let to = !self.at_upper[j];
                flip(&mut self.at_upper[j], &columns[j], to);
            }
            if self.basis[row] < n {
                flip(&mut self.at_upper[self.basis[row]], &columns[self.basis[row]], to_upper);
            }
            if entering < n {
                flip(&mut self.at_upper[entering], &columns[entering], false);
            }
            self.basis[row] = entering;
            if !self.invert(columns) {
                return false;
            }
        }
        false
    }

    /// The lowest point along the edge that `row`, beyond its bound by `slope`, leaves open: the variable that enters
    /// there, and how many of the crossings come before.
    fn lowest(&mut self, columns: &[Column], row: usize, mut slope: f64, to_upper: bool) -> Option<(usize, usize)> {
        let n = self.n;
        let y = self.duals();
        let along = self.inverse[row].map(|x| if to_upper { x } else { -x });
        // A price cannot fall below 0.
        let (mut end, mut entering) = (f64::INFINITY, None);
        for r in 0..RESOURCES {
            if along[r] > TINY && !self.basis.contains(&(n + r)) {
                let reach = (y[r] / along[r]).max(0.0);
                if reach < end {
                    (end, entering) = (reach, Some(n + r));
                }
            }
        }
        let crossing = |j: usize, column: &Column, taken: bool| {
            let slower = dot(&along, column);
            let rate = if taken { -slower } else { slower };
            (rate > TINY).then(|| {
                let at = (dot(&y, column) - 1.0) / slower;
                Crossing { at: if at < SAME { 0.0 } else { at }, rate, column: j as u32 }
            })
        };
        // A sample tells about how far the lowest point is: crossings well beyond it are not looked at.
        let every = columns.len().div_ceil(SAMPLED);
        let sample = columns.iter().zip(&self.at_upper).enumerate().step_by(every);
        self.crossings.clear();
        self.crossings.extend(sample.filter_map(|(j, (column, &taken))| crossing(j, column, taken)));
        self.crossings.sort_unstable_by(order);
        let (mut fall, enough) = (0.0, MARGIN * slope);
        let beyond = self.crossings.iter().find(|c| {
            fall += c.rate * every as f64;
            fall > enough
        });
        let mut reach = beyond.map_or(end, |c| c.at.min(end));
        loop {
            self.crossings.clear();
            let mut fall = 0.0;
            for (j, (column, &taken)) in columns.iter().zip(&self.at_upper).enumerate() {
                if let Some(crossing) = crossing(j, column, taken)
                    && crossing.at <= reach
                    && !self.basis.contains(&j)
                {
                    fall += crossing.rate;
                    self.crossings.push(crossing);
                }
            }
            if fall >= slope || reach >= end {
                break;
            }
            reach = end;
        }
        let (mut from, mut to) = (0, self.crossings.len());
        while from < to {
            let middle = from + (to - from) / 2;
            self.crossings[from..to].select_nth_unstable_by(middle - from, order);
            let fall: f64 = self.crossings[from..=middle].iter().map(|c| c.rate).sum();
            if fall < slope {
                slope -= fall;
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        match self.crossings.get(from) {
            Some(crossing) => Some((crossing.column as usize, from)),
            None => Some((entering?, from)),
        }
    }
}

/// The order of crossings along an edge: of those at the same place, the steepest first.
fn order(a: &Crossing, b: &Crossing) -> Ordering {
    a.at.total_cmp(&b.at).then(b.rate.total_cmp(&a.rate)).then(a.column.cmp(&b.column))
}

/// The basis of slacks alone.
fn slacks(n: usize) -> [usize; RESOURCES] {
    [n, n + 1, n + 2, n + 3]
}

/// `warm` times the number at which what costs less than 1 just fits.
fn fitting(columns: &[Column], limit: &Column, warm: Column) -> Column {
    const STEPS: usize = 10;
    let prices: Vec<f64> = columns.iter().map(|column| dot(column, &warm)).collect();
    let (mut low, mut high) = (0.5, 2.0);
    for _ in 0..STEPS {
        let level = (low + high) / 2.0;
        let mut sum = [0.0; RESOURCES];
        for (column, _) in columns.iter().zip(&prices).filter(|&(_, &price)| price < level) {
            (0..RESOURCES).for_each(|r| sum[r] += column[r]);
        }
        if (0..RESOURCES).all(|r| sum[r] <= limit[r]) {
            low = level;
        } else {
            high = level;
        }
    }
    warm.map(|price| price / low)
}

/// The reduced cost that about `wanted` columns do not exceed in size, from a sample of them.
fn width_of(columns: &[Column], y: &Column, wanted: usize) -> f64 {
    let every = (columns.len() / SAMPLED).max(1);
    let mut sizes = [0.0; 2 * SAMPLED];
    let mut sampled = 0;
    for a in columns.iter().step_by(every).take(2 * SAMPLED) {
        sizes[sampled] = (1.0 - dot(a, y)).abs();
        sampled += 1;
    }
    let nth = (wanted / every).min(sampled - 1);
    *sizes[..sampled].select_nth_unstable_by(nth, f64::total_cmp).1
}
