//! The best λ for one deadline: the dual of the linear relaxation of subproblem d.
//!
//! max Σ x_i over 0 ≤ x_i ≤ 1, Σ a_i x_i ≤ (U, W, K, e_d): four rows, so a primal simplex with bounded variables keeps
//! a 4×4 basis. A step moves one request; pricing all requests for every step would cost more than the step, so the
//! best few of a full pricing are kept as candidates and used up first: the [`CANDIDATES`] with the largest gain, and
//! in turn that of them which has the largest gain then, in both the lowest of equals. Floats are fine here: whatever
//! comes out is rounded to integer multipliers whose bound is exact ([`super::Multipliers`]); a poor λ costs time,
//! never correctness. Their operations have one order all the same, so that every backend steps alike.
//!
//! Where requests repeat, columns are *kinds* of requests, each with the number of its requests as upper bound.

mod dual;

use crate::rank::RESOURCES;
use dual::Crossing;

/// Reduced costs and pivots below this are taken for zero. Rows are scaled to a capacity of 1.
const TINY: f64 = 1e-11;
/// Prices this near to 1 are taken for 1 where the simplex starts.
const TIE: f64 = 1e-6;
/// How many columns one pricing of all yields at most.
const CANDIDATES: usize = 64;
/// More columns than this are left to the dual simplex.
const MANY: usize = 2048;

/// One request or kind: its costs as fractions of the capacities.
pub(crate) type Column = [f64; RESOURCES];

/// The product of costs and prices.
#[inline]
pub(crate) fn dot(a: &Column, b: &Column) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]
}

/// A bounded simplex, with memory that is reused from one linear program to the next.
///
/// Variables 0..n are requests with 0 ≤ x ≤ 1, or kinds of requests with 0 ≤ x ≤ their number; n..n+4 are the slacks of
/// the rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Simplex {
    n: usize,
    /// The number of requests of each kind; empty where columns are requests.
    upper: Vec<f64>,
    at_upper: Vec<bool>,
    basis: [usize; RESOURCES],
    value: Column,
    inverse: [Column; RESOURCES],
    candidates: Vec<(f64, u32)>,
    /// For the dual simplex: crossings on an edge; and the columns near to the prices at the start, with their numbers.
    crossings: Vec<Crossing>,
    near: (Vec<u32>, Vec<Column>),
}

impl Simplex {
    /// Maximises over `columns` within `limit`, and returns the duals of the rows. With `counts`, column k may be taken
    /// up to `counts[k]` times. Starts from the requests that are worth their price at `warm`, as far as they fit: a
    /// vertex near the last optimum.
    /// Ends early when `stop` says so: any λ is a valid one.
    pub fn maximise(
        &mut self,
        columns: &[Column],
        counts: Option<&[f64]>,
        limit: Column,
        warm: Column,
        stop: &dyn Fn() -> bool,
    ) -> Column {
        if counts.is_none() && columns.len() > MANY && self.descend_near(columns, limit, warm, stop) {
            return self.duals().map(|price| price.max(0.0));
        }
        self.start(columns, counts, limit, warm);
        // Each step flips a bound or changes the basis; the cap only guards against cycling on ties.
        let mut steps = 20 * columns.len() + 100;
        while steps > 0 && !stop() && self.price_all(columns) {
            while steps > 0 {
                let Some((variable, direction)) = self.best_candidate(columns) else { break };
                if !self.step(columns, variable, direction) {
                    steps = 1;
                }
                steps -= 1;
            }
        }
        self.duals().map(|price| price.max(0.0))
    }

    /// How much of column `j` the last optimum takes.
    pub fn value(&self, j: usize) -> f64 {
        match self.basis.iter().position(|&b| b == j) {
            Some(row) => self.value[row].clamp(0.0, self.upper(j)),
            None if self.at_upper[j] => self.upper(j),
            None => 0.0,
        }
    }

    fn start(&mut self, columns: &[Column], counts: Option<&[f64]>, limit: Column, warm: Column) {
        let n = columns.len();
        self.n = n;
        self.upper.clear();
        self.upper.extend_from_slice(counts.unwrap_or_default());
        self.at_upper.clear();
        self.at_upper.resize(n, false);
        let mut left = limit;
        if warm.iter().any(|&m| m > 0.0) {
            for (j, column) in columns.iter().enumerate() {
                let all = self.upper(j);
                if dot(column, &warm) < 1.0 - TIE && (0..RESOURCES).all(|r| all * column[r] <= left[r]) {
                    (0..RESOURCES).for_each(|r| left[r] -= all * column[r]);
                    self.at_upper[j] = true;
                }
            }
            // And of those that are just worth it, what still fits: there may be very many of them.
            for (j, column) in columns.iter().enumerate() {
                let all = self.upper(j);
                if !self.at_upper[j]
                    && (dot(column, &warm) - 1.0).abs() <= TIE
                    && (0..RESOURCES).all(|r| all * column[r] <= left[r])
                {
                    (0..RESOURCES).for_each(|r| left[r] -= all * column[r]);
                    self.at_upper[j] = true;
                }
            }
        }
        self.basis = [n, n + 1, n + 2, n + 3];
        self.value = left;
        self.inverse = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
    }

    /// The most that a variable can take; infinite for a slack.
    fn upper(&self, variable: usize) -> f64 {
        match self.upper.get(variable) {
            _ if variable >= self.n => f64::INFINITY,
            Some(&upper) => upper,
            None => 1.0,
        }
    }

    fn column(&self, columns: &[Column], variable: usize) -> Column {
        match columns.get(variable) {
            Some(column) => *column,
            None => std::array::from_fn(|r| f64::from(u8::from(variable == self.n + r))),
        }
    }

    /// The dual values of the rows, y = c_B B⁻¹.
    fn duals(&self) -> Column {
        std::array::from_fn(|r| (0..RESOURCES).filter(|&i| self.basis[i] < self.n).map(|i| self.inverse[i][r]).sum())
    }

    /// Prices every nonbasic variable and keeps the most promising, and of the slacks all that are; false if there is
    /// none.
    fn price_all(&mut self, columns: &[Column]) -> bool {
        let y = self.duals();
        self.candidates.clear();
        let mut least = TINY;
        for (j, (column, &at_upper)) in columns.iter().zip(&self.at_upper).enumerate() {
            let reduced = 1.0 - dot(&y, column);
            let gain = if at_upper { -reduced } else { reduced };
            if gain > least && !self.basis.contains(&j) {
                self.candidates.push((gain, j as u32));
                if self.candidates.len() == 2 * CANDIDATES {
                    // Of what follows, equals are not the lowest.
                    least = keep_best(&mut self.candidates);
                }
            }
        }
        if self.candidates.len() > CANDIDATES {
            keep_best(&mut self.candidates);
        }
        for (r, &price) in y.iter().enumerate() {
            if -price > TINY && !self.basis.contains(&(self.n + r)) {
                self.candidates.push((-price, (self.n + r) as u32));
            }
        }
        !self.candidates.is_empty()
    }

    /// The candidate with the largest reduced cost in its favour, the lowest of several, and the direction in which it
    /// should move.
    fn best_candidate(&self, columns: &[Column]) -> Option<(usize, f64)> {
        let y = self.duals();
        let (mut most, mut best) = (TINY, None);
        for &(_, j) in &self.candidates {
            let j = j as usize;
            let reduced = match columns.get(j) {
                Some(column) => 1.0 - dot(&y, column),
                None => -y[j - self.n],
            };
            let gain = if j < self.n && self.at_upper[j] { -reduced } else { reduced };
            let better = gain > most || gain == most && best.is_some_and(|(lowest, _)| j < lowest);
            if better && !self.basis.contains(&j) {
                (most, best) = (gain, Some((j, reduced.signum())));
            }
        }
        best
    }

    /// Moves `entering` as far as it goes; false if numbers have degenerated.
    fn step(&mut self, columns: &[Column], entering: usize, direction: f64) -> bool {
        let n = self.n;
        let column = self.column(columns, entering);
        let change: Column = std::array::from_fn(|i| direction * dot(&self.inverse[i], &column));
        let mut length = self.upper(entering);
        let mut leaving = None;
        for (i, &rate) in change.iter().enumerate() {
            let (room, to_upper) = if rate > TINY {
                (self.value[i], false)
            } else if rate < -TINY && self.basis[i] < n {
                (self.upper(self.basis[i]) - self.value[i], true)
            } else {
                continue;
            };
            let reach = room.max(0.0) / rate.abs();
            if reach < length {
                (length, leaving) = (reach, Some((i, to_upper)));
            }
        }
        if !length.is_finite() {
            return false;
        }
        (0..RESOURCES).for_each(|i| self.value[i] -= length * change[i]);
        let Some((row, to_upper)) = leaving else {
            self.at_upper[entering] = !self.at_upper[entering];
            return true;
        };
        if self.basis[row] < n {
            self.at_upper[self.basis[row]] = to_upper;
        }
        let start = if entering < n && self.at_upper[entering] { self.upper(entering) } else { 0.0 };
        self.value[row] = start + direction * length;
        self.basis[row] = entering;
        self.invert(columns)
    }

    /// Rebuilds B⁻¹ by elimination with row pivots: cheap at 4×4, and errors do not accumulate.
    fn invert(&mut self, columns: &[Column]) -> bool {
        let columns = self.basis.map(|variable| self.column(columns, variable));
        let mut matrix: [Column; RESOURCES] = std::array::from_fn(|r| std::array::from_fn(|i| columns[i][r]));
        let mut inverse: [Column; RESOURCES] =
            std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
        for i in 0..RESOURCES {
            let pivot = (i..RESOURCES).max_by(|&a, &b| matrix[a][i].abs().total_cmp(&matrix[b][i].abs())).unwrap_or(i);
            if matrix[pivot][i].abs() < 1e-14 {
                return false;
            }
            matrix.swap(i, pivot);
            inverse.swap(i, pivot);
            let scale = 1.0 / matrix[i][i];
            for c in 0..RESOURCES {
                matrix[i][c] *= scale;
                inverse[i][c] *= scale;
            }
            for r in (0..RESOURCES).filter(|&r| r != i) {
                let factor = matrix[r][i];
                for c in 0..RESOURCES {
                    matrix[r][c] -= factor * matrix[i][c];
                    inverse[r][c] -= factor * inverse[i][c];
                }
            }
        }
        self.inverse = inverse;
        true
    }
}

/// Keeps the best of more than [`CANDIDATES`]; returns the least of their gains.
fn keep_best(candidates: &mut Vec<(f64, u32)>) -> f64 {
    let by_gain = |a: &(f64, u32), b: &(f64, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let least = candidates.select_nth_unstable_by(CANDIDATES - 1, by_gain).1.0;
    candidates.truncate(CANDIDATES);
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::synthesis::RowRng;

    /// Numbers in [0, 1).
    fn random(seed: u64) -> impl FnMut() -> f64 {
        let mut rows = RowRng::new(seed, 0);
        move || rows.next_row().unit(0)
    }

    /// The dual function: λ·capacities and the positive reduced costs.
    fn value(columns: &[Column], limit: Column, y: Column) -> f64 {
        dot(&limit, &y) + columns.iter().map(|a| (1.0 - dot(a, &y)).max(0.0)).sum::<f64>()
    }

    #[test]
    fn one_row_is_the_fractional_knapsack() {
        // Costs 0.1, 0.2, ..., capacity 1: 0.1+0.2+0.3+0.4 = 1 exactly, so the optimum is 4.
        let columns: Vec<Column> = (1..=9).map(|i| [f64::from(i) / 10.0, 0.0, 0.0, 0.0]).collect();
        let y = Simplex::default().maximise(&columns, None, [1.0; 4], [0.0; 4], &|| false);
        assert!((value(&columns, [1.0; 4], y) - 4.0).abs() < 1e-9, "{y:?}");
    }

    #[test]
    fn kinds_are_so_many_requests_at_once() {
        let mut random = random(3);
        let mut simplex = Simplex::default();
        for _ in 0..50 {
            let kinds: Vec<Column> = (0..7).map(|_| std::array::from_fn(|_| random() / 20.0)).collect();
            let counts: Vec<f64> = (0..7).map(|_| (random() * 12.0).floor()).collect();
            let each = kinds.iter().zip(&counts);
            let columns: Vec<Column> = each.flat_map(|(kind, &count)| vec![*kind; count as usize]).collect();
            let single = simplex.maximise(&columns, None, [1.0; 4], [0.0; 4], &|| false);
            let best = value(&columns, [1.0; 4], single);
            let mut warm = [0.0; 4];
            for _ in 0..2 {
                warm = simplex.maximise(&kinds, Some(&counts), [1.0; 4], warm, &|| false);
                assert!((value(&columns, [1.0; 4], warm) - best).abs() < 1e-7);
                // Strong duality, and a vertex: at most four kinds are split.
                let values: Vec<f64> = (0..kinds.len()).map(|k| simplex.value(k)).collect();
                assert!((values.iter().sum::<f64>() - best).abs() < 1e-7);
                let split = values.iter().zip(&counts).filter(|&(x, n)| *x > 1e-9 && *x < n - 1e-9);
                assert!(split.count() <= RESOURCES);
            }
        }
    }

    #[test]
    fn a_program_that_is_stopped_at_once_takes_what_is_worth_its_price() {
        let mut random = random(9);
        for n in [2000, 3000] {
            let columns: Vec<Column> = (0..n).map(|_| std::array::from_fn(|_| random() * 4.0 / f64::from(n))).collect();
            let mut simplex = Simplex::default();
            let best = simplex.maximise(&columns, None, [1.0; 4], [0.0; 4], &|| false);
            simplex.maximise(&columns, None, [1.0; 4], best, &|| true);
            let taken: Vec<&Column> =
                columns.iter().enumerate().filter(|(j, _)| simplex.value(*j) > 0.5).map(|c| c.1).collect();
            assert!((0..RESOURCES).all(|r| taken.iter().map(|a| a[r]).sum::<f64>() <= 1.0 + 1e-9));
            let most = value(&columns, [1.0; 4], best);
            assert!(taken.len() as f64 > 0.95 * most, "{} of {most} for {n}", taken.len());
        }
    }

    #[test]
    fn the_dual_value_is_a_minimum() {
        // Convexity: no small step from the optimum may lower the dual function.
        let mut random = random(1);
        let mut simplex = Simplex::default();
        for n in [1, 2, 5, 50, 300, 3000] {
            for _ in 0..if n > 1000 { 2 } else { 20 } {
                let columns: Vec<Column> =
                    (0..n).map(|_| std::array::from_fn(|_| random() * 4.0 / f64::from(n))).collect();
                let cold = simplex.maximise(&columns, None, [1.0; 4], [0.0; 4], &|| false);
                let best = value(&columns, [1.0; 4], cold);
                for r in 0..RESOURCES {
                    for step in [-1e-3, 1e-3, -0.1, 0.1] {
                        let mut y = cold;
                        y[r] = (y[r] + step).max(0.0);
                        assert!(value(&columns, [1.0; 4], y) >= best - 1e-7, "n {n}");
                    }
                }
                let warm = simplex.maximise(&columns, None, [1.0; 4], cold, &|| false);
                assert!((value(&columns, [1.0; 4], warm) - best).abs() < 1e-7);
            }
        }
    }
}
