//! From a λ of a sample to one near the best of all: what a linear program over many columns starts from.

use super::simplex::{Column, Simplex, dot};
use crate::rank::RESOURCES;

/// About this many columns are near enough to λ to enter a narrowed linear program.
pub(super) const NEAR: usize = 1024;

/// λ near the best one for many columns. First Newton's method on the dual function, with the columns of a small
/// reduced cost for its curvature: a few passes, however far λ is. Then rounds of a linear program over the columns
/// nearest to λ, the others taken or left as the sign of their reduced cost says.
pub(super) fn approach(
    columns: &[Column],
    limit: Column,
    warm: Column,
    simplex: &mut Simplex,
    near: &mut Vec<Column>,
    stop: &dyn Fn() -> bool,
) -> Column {
    const NEWTON: usize = 12;
    const ROUNDS: usize = 4;
    let bound = |y: &Column| dot(&limit, y) + columns.iter().map(|a| (1.0 - dot(a, y)).max(0.0)).sum::<f64>();
    let mut y = warm;
    let mut best = bound(&y);
    let mut wanted = NEAR;
    for _ in 0..NEWTON {
        if stop() {
            return y;
        }
        let width = width_of(columns, &y, wanted);
        let (slope, curvature) = derivatives(columns, &limit, &y, width);
        let next = newton_step(&y, &slope, &curvature);
        let predicted: f64 = (0..RESOURCES).map(|r| slope[r] * (y[r] - next[r]) / 2.0).sum();
        if predicted < 0.1 {
            break;
        }
        let value = bound(&next);
        if value < best {
            (best, y) = (value, next);
            wanted = (wanted / 4).max(NEAR);
        } else if wanted < columns.len() / 2 {
            // Too far for so narrow a view.
            wanted *= 4;
        } else {
            break;
        }
    }
    for _ in 0..ROUNDS {
        if stop() {
            break;
        }
        let width = width_of(columns, &y, NEAR);
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
            break;
        }
        let next = simplex.maximise(near, None, left, y, stop);
        let value = bound(&next);
        let gain = best - value;
        if gain > 0.0 {
            (best, y) = (value, next);
        }
        if gain < 0.01 {
            break;
        }
    }
    y
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

/// The slope of the dual function at y, and its curvature as far as columns with a reduced cost within `width` tell.
fn derivatives(columns: &[Column], limit: &Column, y: &Column, width: f64) -> (Column, [Column; RESOURCES]) {
    let mut slope = *limit;
    let mut curvature = [[0.0; RESOURCES]; RESOURCES];
    for a in columns {
        let reduced = 1.0 - dot(a, y);
        // Within the width a request counts by the part of it that is taken.
        let part = ((reduced + width) / (2.0 * width).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        (0..RESOURCES).for_each(|r| slope[r] -= part * a[r]);
        if reduced.abs() <= width {
            for i in 0..RESOURCES {
                (0..RESOURCES).for_each(|j| curvature[i][j] += a[i] * a[j]);
            }
        }
    }
    let scale = 1.0 / (2.0 * width).max(f64::MIN_POSITIVE);
    (slope, curvature.map(|row| row.map(|x| x * scale)))
}

/// y − curvature⁻¹·slope, kept from going below 0: a price that would is set to 0, and the others step without it.
fn newton_step(y: &Column, slope: &Column, curvature: &[Column; RESOURCES]) -> Column {
    let mut fixed = [false; RESOURCES];
    loop {
        // Elimination of the symmetric system, with a ridge for resources that are nearly proportional.
        let mut m = *curvature;
        let mut b = slope.map(|s| -s);
        for r in 0..RESOURCES {
            m[r][r] = m[r][r] * (1.0 + 1e-9) + 1e-12;
            if fixed[r] {
                (0..RESOURCES).for_each(|c| (m[r][c], m[c][r]) = (0.0, 0.0));
                // The step that leads to 0 acts on the others through the right-hand side.
                (0..RESOURCES).filter(|&c| !fixed[c]).for_each(|c| b[c] += curvature[c][r] * y[r]);
                (m[r][r], b[r]) = (1.0, -y[r]);
            }
        }
        for i in 0..RESOURCES {
            for k in i + 1..RESOURCES {
                let factor = m[k][i] / m[i][i];
                (i..RESOURCES).for_each(|c| m[k][c] -= factor * m[i][c]);
                b[k] -= factor * b[i];
            }
        }
        let mut step = [0.0; RESOURCES];
        for i in (0..RESOURCES).rev() {
            step[i] = (b[i] - (i + 1..RESOURCES).map(|c| m[i][c] * step[c]).sum::<f64>()) / m[i][i];
        }
        match (0..RESOURCES).find(|&r| !fixed[r] && y[r] + step[r] < 0.0) {
            Some(r) => fixed[r] = true,
            None => return std::array::from_fn(|r| if fixed[r] { 0.0 } else { (y[r] + step[r]).max(0.0) }),
        }
    }
}
