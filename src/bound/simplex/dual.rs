//! The dual simplex, for very many columns: down the dual function g(y) = limit·y + Σ max(0, 1 − y·a) to its minimum.
//!
//! A vertex of it has a basis of four columns of price 1 or of resources without a price; whoever else costs less than 1
//! is taken. A step moves along an edge of g, not to the next vertex but to the lowest point on it, past the prices of
//! however many requests: each of these changes sides at once, where the primal simplex would move them one by one. A
//! few dozen steps are enough for a million columns, and a few where the start is near.

use super::{Column, RESOURCES, Simplex, TINY, dot};

/// About so many of the columns are near to where the descent starts, and are settled first; or so many times more.
const NEAR: usize = 1024;
const GROWTH: usize = 8;
/// Steps before the descent gives up: far more than were ever seen.
const STEPS: usize = 1000;
/// A basic variable may be so far beyond its bounds. Rows are scaled to a capacity of 1, and columns to an upper bound of
/// 1.
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
        let slacks = |n: usize| [n, n + 1, n + 2, n + 3];
        let mut basis = slacks(n);
        let mut wanted = NEAR;
        while basis == slacks(n) && 2 * wanted < n && warm.iter().any(|&price| price > 0.0) {
            // What is not near goes the way its price at the start says; if that leaves nothing sensible, more is near.
            let width = width_of(columns, &warm, wanted);
            let mut near = std::mem::take(&mut self.near);
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
            if left.iter().all(|&room| room >= 0.0) && self.descend(&near.1, left, stop) {
                basis = self.basis.map(|b| near.0.get(b).map_or_else(|| n + b - listed, |&j| j as usize));
            }
            self.near = near;
            wanted *= GROWTH;
        }
        self.start_at(n, basis);
        if !self.invert(columns) {
            self.start_at(n, slacks(n));
        }
        self.descend(columns, limit, stop)
    }

    fn start_at(&mut self, n: usize, basis: [usize; RESOURCES]) {
        self.n = n;
        self.upper.clear();
        self.basis = basis;
        self.inverse = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
    }

    /// Maximises from the basis at hand. Every request counts as one.
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
            if excess(row) <= BEYOND || stop() {
                return true;
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
        self.crossings.clear();
        for (j, (column, &taken)) in columns.iter().zip(&self.at_upper).enumerate() {
            let slower = dot(&along, column);
            let rate = if taken { -slower } else { slower };
            if rate > TINY && !self.basis.contains(&j) {
                let reduced = 1.0 - dot(&y, column);
                let at = -reduced / slower;
                if at <= end {
                    let at = if at < SAME { 0.0 } else { at };
                    self.crossings.push(Crossing { at, rate, column: j as u32 });
                }
            }
        }
        let order = |a: &Crossing, b: &Crossing| {
            a.at.total_cmp(&b.at).then(b.rate.total_cmp(&a.rate)).then(a.column.cmp(&b.column))
        };
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

/// The reduced cost that about `wanted` columns do not exceed in size, from a sample of them.
fn width_of(columns: &[Column], y: &Column, wanted: usize) -> f64 {
    const SAMPLED: usize = 1024;
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
