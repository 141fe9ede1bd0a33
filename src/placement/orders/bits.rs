//! Bits exchanged between the layers of a path.

use crate::placement::tables::{MEMORY, Tables};

/// Changes the bits of a layer, or of two, where that keeps limits (or mends those of weight errors and memory) and is
/// faster.
pub(super) fn exchange(t: &Tables, path: &mut [(u32, u32)]) {
    /// Rounds over all pairs at most.
    const ROUNDS: usize = 8;
    let mut memory = vec![0.0; t.servers];
    let mut quality = vec![0.0; t.budget.len()];
    for (l, &(i, w)) in path.iter().enumerate() {
        let c = &t.choices(l)[w as usize];
        memory[i as usize] += c.memory;
        quality[t.model[l]] += c.quality;
    }
    // What is beyond limits counts before what is slow.
    let beyond = |i: usize, m: f64| (m - t.capacity[i * t.kinds + MEMORY]).max(0.0);
    for _ in 0..ROUNDS {
        let mut changed = false;
        for a in 0..path.len() {
            for b in a..path.len() {
                let ((i, u), (j, v)) = (path[a], path[b]);
                let (i, j) = (i as usize, j as usize);
                let (ca, cb) = (&t.choices(a)[u as usize], &t.choices(b)[v as usize]);
                let mut best: Option<(f64, f64, u32, u32)> = None;
                for (x, na) in t.choices(a).iter().enumerate() {
                    for (y, nb) in t.choices(b).iter().enumerate() {
                        if (a == b && x != y) || (x as u32, y as u32) == (u, v) {
                            continue;
                        }
                        let once = if a == b { 0.0 } else { 1.0 };
                        let mut faster = t.seconds(ca, i) - t.seconds(na, i);
                        faster += once * (t.seconds(cb, j) - t.seconds(nb, j));
                        let (ma, mb) = (na.memory - ca.memory, once * (nb.memory - cb.memory));
                        let (ma, mb) = if i == j { (ma + mb, 0.0) } else { (ma, mb) };
                        let (qa, qb) = (na.quality - ca.quality, once * (nb.quality - cb.quality));
                        let (p, q) = (t.model[a], t.model[b]);
                        let (qa, qb) = if p == q { (qa + qb, 0.0) } else { (qa, qb) };
                        let grid = |m: usize, by: f64| {
                            let over = |x: f64| (x - t.budget[m]).max(0.0);
                            over(quality[m] + by) - over(quality[m])
                        };
                        let memories = beyond(i, memory[i] + ma) - beyond(i, memory[i])
                            + if i == j { 0.0 } else { beyond(j, memory[j] + mb) - beyond(j, memory[j]) };
                        let errors = grid(p, qa) + if p == q { 0.0 } else { grid(q, qb) };
                        let better = errors < 0.0 || (errors == 0.0 && faster > 1e-12);
                        if memories <= 0.0 && errors <= 0.0 && better {
                            // The most error mended for a second lost, then the most seconds.
                            let worth = if errors < 0.0 { errors / (-faster).max(1e-12) } else { 0.0 };
                            if best.is_none_or(|b| (worth, -faster) < (b.0, b.1)) {
                                best = Some((worth, -faster, x as u32, y as u32));
                            }
                        }
                    }
                }
                let Some((_, _, x, y)) = best else { continue };
                for (l, i, from, to) in [(a, i, u, x), (b, j, v, y)] {
                    if l == b && a == b && path[l].1 == to {
                        continue;
                    }
                    let (c, n) = (&t.choices(l)[from as usize], &t.choices(l)[to as usize]);
                    memory[i] += n.memory - c.memory;
                    quality[t.model[l]] += n.quality - c.quality;
                    path[l].1 = to;
                }
                changed = true;
            }
        }
        if !changed {
            return;
        }
    }
}
