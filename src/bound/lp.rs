//! The best λ for one deadline: the dual of the linear relaxation of subproblem d.
//!
//! max Σ x_i over 0 ≤ x_i ≤ 1, Σ a_i x_i ≤ (U, W, K, e_d): four rows, so a primal simplex with bounded variables keeps
//! a 4×4 basis and prices all requests in one sweep per step. Floats are fine here: whatever comes out is rounded to
//! integer multipliers whose bound is exact ([`super::Multipliers`]); a poor λ costs time, never correctness.
//!
//! A step moves one request, so the simplex is kept to a **core** of a few thousand. An even sample of all
//! requests gives a first λ. Near it all requests but those with a small reduced cost |1 − λ·a| are in or out for
//! certain: they are fixed, what they take is taken from the capacities, and the simplex decides the rest. The new λ is
//! kept if its bound over *all* requests is lower, and is the best there is if that bound equals what the fixed
//! requests and the core reach together (weak duality). If it is not lower the core was too narrow.

use crate::rank::{RESOURCES, Ranked};

/// What the linear relaxation of one subproblem says.
#[derive(Debug, Clone, PartialEq)]
pub struct Relaxation {
    /// The best λ.
    pub lambda: [f64; RESOURCES],
    /// Where requests are of few kinds: how many of each kind an optimal vertex takes whole. Requests of one kind tie
    /// at every λ, so that λ alone would not tell.
    pub take: Vec<u32>,
}

/// About this many requests enter a simplex.
const CORE: usize = 4096;
/// Rounds before a λ is taken as good enough.
const ROUNDS: usize = 12;
/// How close primal and dual must come, in requests.
const GAP: f64 = 1e-6;
/// Reduced costs and pivots below this are taken for zero. Rows are scaled to a capacity of 1.
const TINY: f64 = 1e-11;

type Column = [f64; RESOURCES];

/// The relaxation of the first `d` ranks under e_d, started near `warm` (any λ).
pub fn relax(ranked: &Ranked, d: usize, warm: Column) -> Relaxation {
    let capacity = ranked.capacities(d);
    // A capacity of 0 keeps its row, unscaled, so that requests which need that resource stay out.
    let scale = capacity.map(|b| 1.0 / b.max(1) as f64);
    let limit = capacity.map(|b| if b == 0 { 0.0 } else { 1.0 });
    let scaled = |cost: [u64; RESOURCES]| -> Column { std::array::from_fn(|r| cost[r] as f64 * scale[r]) };
    let column = |rank: usize| scaled(ranked.cost(rank));
    let warm = std::array::from_fn(|r| warm[r] / scale[r]);
    let (y, take) = if let Some((kinds, kind)) = ranked.kinds() {
        let columns: Vec<Column> = kinds.iter().map(|&cost| scaled(cost)).collect();
        let mut counts = vec![0.0; kinds.len()];
        kind[..d].iter().for_each(|&k| counts[k as usize] += 1.0);
        let vertex = Simplex::new(&columns, Some(&counts), limit, warm).maximise();
        (vertex.prices, vertex.values.iter().map(|x| libm::floor(x + 1e-9) as u32).collect())
    } else if d <= CORE {
        let columns: Vec<Column> = (0..d).map(column).collect();
        (Simplex::new(&columns, None, limit, warm).maximise().prices, Vec::new())
    } else {
        (large(&column, d, limit, warm), Vec::new())
    };
    Relaxation { lambda: std::array::from_fn(|r| y[r] * scale[r]), take }
}

/// The rounds described above, for more requests than one simplex takes.
fn large(column: &impl Fn(usize) -> Column, d: usize, limit: Column, warm: Column) -> Column {
    let bound = |y: &Column| dot(&limit, y) + (0..d).map(|i| (1.0 - dot(&column(i), y)).max(0.0)).sum::<f64>();
    let every = d / CORE;
    let sample: Vec<Column> = (0..d).step_by(every).map(column).collect();
    let mut y = Simplex::new(&sample, None, limit.map(|b| b / every as f64), warm).maximise().prices;
    let mut best = bound(&y);
    // How many requests the next core should hold.
    let mut wanted = CORE;
    for _ in 0..ROUNDS {
        // The width that makes the core about that large.
        let mut sizes: Vec<f64> = sample.iter().map(|a| (1.0 - dot(a, &y)).abs()).collect();
        let nth = (wanted / every).min(sizes.len() - 1);
        let width = *sizes.select_nth_unstable_by(nth, f64::total_cmp).1;
        let (mut left, mut fixed) = (limit, 0.0);
        let mut core = Vec::new();
        for a in (0..d).map(column) {
            let reduced = 1.0 - dot(&a, &y);
            if reduced.abs() <= width {
                core.push(a);
            } else if reduced > 0.0 {
                (0..RESOURCES).for_each(|r| left[r] -= a[r]);
                fixed += 1.0;
            }
        }
        let widest = core.len() == d;
        if left.iter().all(|&room| room >= 0.0) {
            // A core still too large is thinned out evenly, and its λ is an approximation.
            let thin = core.len().div_ceil(2 * CORE).max(1);
            let columns: Vec<Column> = core.into_iter().step_by(thin).collect();
            let left = left.map(|b| b / thin as f64);
            let next = Simplex::new(&columns, None, left, y).maximise().prices;
            let reached = fixed + thin as f64 * value(&columns, left, next);
            let midway = std::array::from_fn(|r| (y[r] + next[r]) / 2.0);
            let lower = [next, midway].into_iter().map(|y| (bound(&y), y)).find(|&(b, _)| b < best - GAP);
            if let Some((b, lower)) = lower {
                (best, y) = (b, lower);
            }
            if thin == 1 && best <= reached + GAP {
                break;
            }
            if lower.is_some() {
                wanted = CORE;
                continue;
            }
        }
        if widest {
            break;
        }
        wanted = wanted.saturating_mul(4);
    }
    y
}

/// The dual function: λ·capacities and the positive reduced costs.
fn value(columns: &[Column], limit: Column, y: Column) -> f64 {
    dot(&limit, &y) + columns.iter().map(|a| (1.0 - dot(a, &y)).max(0.0)).sum::<f64>()
}

/// Variables 0..n are requests with 0 ≤ x ≤ 1, or kinds of requests with 0 ≤ x ≤ their number; n..n+4 are the slacks of
/// the rows.
struct Simplex<'c> {
    columns: &'c [Column],
    upper: Option<&'c [f64]>,
    at_upper: Vec<bool>,
    basis: [usize; RESOURCES],
    value: Column,
    inverse: [Column; RESOURCES],
}

/// Where the simplex ends.
struct Vertex {
    /// The duals of the rows.
    prices: Column,
    /// The value of each request or kind.
    values: Vec<f64>,
}

fn dot(a: &Column, b: &Column) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]
}

impl<'c> Simplex<'c> {
    /// Starts from the requests that are worth their price at `warm`, as far as they fit: a vertex near the last
    /// optimum.
    fn new(columns: &'c [Column], upper: Option<&'c [f64]>, limit: Column, warm: Column) -> Self {
        let mut left = limit;
        let mut at_upper = vec![false; columns.len()];
        if warm.iter().any(|&m| m > 0.0) {
            for (j, column) in columns.iter().enumerate() {
                let all = upper.map_or(1.0, |upper| upper[j]);
                if dot(column, &warm) < 1.0 - 1e-6 && (0..RESOURCES).all(|r| all * column[r] <= left[r]) {
                    (0..RESOURCES).for_each(|r| left[r] -= all * column[r]);
                    at_upper[j] = true;
                }
            }
        }
        let n = columns.len();
        let identity = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
        Simplex { columns, upper, at_upper, basis: [n, n + 1, n + 2, n + 3], value: left, inverse: identity }
    }

    /// The most that a variable can take; infinite for a slack.
    fn upper(&self, variable: usize) -> f64 {
        match self.upper {
            _ if variable >= self.columns.len() => f64::INFINITY,
            Some(upper) => upper[variable],
            None => 1.0,
        }
    }

    fn column(&self, variable: usize) -> Column {
        match self.columns.get(variable) {
            Some(column) => *column,
            None => std::array::from_fn(|r| f64::from(u8::from(variable == self.columns.len() + r))),
        }
    }

    /// The dual values of the rows, y = c_B B⁻¹.
    fn duals(&self) -> Column {
        let n = self.columns.len();
        std::array::from_fn(|r| (0..RESOURCES).filter(|&i| self.basis[i] < n).map(|i| self.inverse[i][r]).sum())
    }

    fn maximise(mut self) -> Vertex {
        // Each step flips a bound or changes the basis; the cap only guards against cycling on ties.
        for _ in 0..20 * self.columns.len() + 100 {
            match self.entering(&self.duals()) {
                Some((variable, direction)) if self.step(variable, direction) => {}
                _ => break,
            }
        }
        let value = |j: usize| match self.basis.iter().position(|&b| b == j) {
            Some(row) => self.value[row].clamp(0.0, self.upper(j)),
            None if self.at_upper[j] => self.upper(j),
            None => 0.0,
        };
        Vertex {
            prices: self.duals().map(|price| price.max(0.0)),
            values: (0..self.columns.len()).map(value).collect(),
        }
    }

    /// The nonbasic variable with the largest reduced cost in its favour, and the direction in which it should move.
    fn entering(&self, y: &Column) -> Option<(usize, f64)> {
        let n = self.columns.len();
        let mut best = (TINY, None);
        for (j, column) in self.columns.iter().enumerate() {
            let reduced = 1.0 - dot(y, column);
            let gain = if self.at_upper[j] { -reduced } else { reduced };
            if gain > best.0 && !self.basis.contains(&j) {
                best = (gain, Some((j, reduced.signum())));
            }
        }
        for (r, &price) in y.iter().enumerate() {
            if -price > best.0 && !self.basis.contains(&(n + r)) {
                best = (-price, Some((n + r, 1.0)));
            }
        }
        best.1
    }

    /// Moves `entering` as far as it goes; false if numbers have degenerated.
    fn step(&mut self, entering: usize, direction: f64) -> bool {
        let n = self.columns.len();
        let column = self.column(entering);
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
        self.invert()
    }

    /// Rebuilds B⁻¹ by elimination with row pivots: cheap at 4×4, and errors do not accumulate.
    fn invert(&mut self) -> bool {
        let columns = self.basis.map(|variable| self.column(variable));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::synthesis::RowRng;

    /// Numbers in [0, 1).
    fn random(seed: u64) -> impl FnMut() -> f64 {
        let mut rows = RowRng::new(seed, 0);
        move || rows.next_row().unit(0)
    }

    #[test]
    fn one_row_is_the_fractional_knapsack() {
        // Costs 0.1, 0.2, ..., capacity 1: 0.1+0.2+0.3+0.4 = 1 exactly, so the optimum is 4.
        let columns: Vec<Column> = (1..=9).map(|i| [f64::from(i) / 10.0, 0.0, 0.0, 0.0]).collect();
        let y = Simplex::new(&columns, None, [1.0; 4], [0.0; 4]).maximise().prices;
        assert!((value(&columns, [1.0; 4], y) - 4.0).abs() < 1e-9, "{y:?}");
    }

    #[test]
    fn kinds_are_so_many_requests_at_once() {
        let mut random = random(3);
        for _ in 0..50 {
            let kinds: Vec<Column> = (0..7).map(|_| std::array::from_fn(|_| random() / 20.0)).collect();
            let counts: Vec<f64> = (0..7).map(|_| (random() * 12.0).floor()).collect();
            let each = kinds.iter().zip(&counts);
            let columns: Vec<Column> = each.flat_map(|(kind, &count)| vec![*kind; count as usize]).collect();
            let single = Simplex::new(&columns, None, [1.0; 4], [0.0; 4]).maximise().prices;
            let cold = Simplex::new(&kinds, Some(&counts), [1.0; 4], [0.0; 4]).maximise();
            let warm = Simplex::new(&kinds, Some(&counts), [1.0; 4], cold.prices).maximise();
            let best = value(&columns, [1.0; 4], single);
            for vertex in [cold, warm] {
                assert!((value(&columns, [1.0; 4], vertex.prices) - best).abs() < 1e-7);
                // Strong duality, and a vertex: at most four kinds are split.
                assert!((vertex.values.iter().sum::<f64>() - best).abs() < 1e-7);
                let split = vertex.values.iter().zip(&counts).filter(|&(x, n)| *x > 1e-9 && *x < n - 1e-9);
                assert!(split.count() <= RESOURCES);
            }
        }
    }

    #[test]
    fn rounds_over_a_core_reach_the_optimum_of_all() {
        let mut random = random(7);
        let n = 3 * CORE;
        let columns: Vec<Column> = (0..n).map(|_| std::array::from_fn(|_| (0.2 + random()) * 4.0 / n as f64)).collect();
        let whole = Simplex::new(&columns, None, [1.0; 4], [0.0; 4]).maximise().prices;
        let best = value(&columns, [1.0; 4], whole);
        for warm in [[0.0; 4], whole, whole.map(|m| m * 1.3), whole.map(|m| m * 0.7), [n as f64 / 9.0, 0.0, 0.0, 0.0]] {
            let found = value(&columns, [1.0; 4], large(&|i| columns[i], n, [1.0; 4], warm));
            assert!(found >= best - 1e-6 && found < best + 1e-3, "{found} {best} from {warm:?}");
        }
    }

    #[test]
    fn the_dual_value_is_a_minimum() {
        // Convexity: no small step from the optimum may lower the dual function.
        let mut random = random(1);
        for n in [1, 2, 5, 50, 300] {
            for _ in 0..20 {
                let columns: Vec<Column> =
                    (0..n).map(|_| std::array::from_fn(|_| random() * 4.0 / f64::from(n))).collect();
                let cold = Simplex::new(&columns, None, [1.0; 4], [0.0; 4]).maximise().prices;
                let best = value(&columns, [1.0; 4], cold);
                for r in 0..RESOURCES {
                    for step in [-1e-3, 1e-3, -0.1, 0.1] {
                        let mut y = cold;
                        y[r] = (y[r] + step).max(0.0);
                        assert!(value(&columns, [1.0; 4], y) >= best - 1e-7, "n {n}");
                    }
                }
                let warm = Simplex::new(&columns, None, [1.0; 4], cold).maximise().prices;
                assert!((value(&columns, [1.0; 4], warm) - best).abs() < 1e-7);
            }
        }
    }
}
