//! An order of servers, its cost at some prices of weight errors, and what it would cost with a stretch of it replaced.

use std::ops::Range;

use super::costs::Costs;

/// An order, its programs at each price and its value: the largest of their costs, each less what the limits cost at
/// that price. No assignment along the order is faster than that, but for the rounding of needs.
#[derive(Clone)]
pub(super) struct Line {
    pub order: Vec<usize>,
    programs: Vec<Program>,
    /// Whose cost is largest.
    worst: usize,
    pub value: f64,
}

/// The program over an order at some price, from both ends.
#[derive(Clone)]
struct Program {
    /// Cheapest cover of layers 0..e by the first p servers, at p, e; and from which e to which it is worth going on.
    forth: Vec<Vec<f64>>,
    worth: Vec<Range<usize>>,
    /// Cheapest cover of layers l.. by the servers from p on, at p, l.
    back: Vec<Vec<f64>>,
    /// Cheapest cover of layers l.. by any servers at the end of the order.
    rest: Vec<f64>,
    cost: f64,
}

/// Room for covers, to be used again.
#[derive(Default)]
pub(super) struct Room {
    now: Vec<f64>,
    next: Vec<f64>,
}

impl Line {
    /// At the prices of some costs.
    pub fn new(fan: &[Costs<'_>], order: Vec<usize>) -> Line {
        let programs = fan.iter().map(Program::empty).collect();
        let mut line = Line { order: Vec::new(), programs, worst: 0, value: f64::INFINITY };
        line.replace(fan, 0, 0, &order);
        line
    }

    /// Puts `middle` where it has a up to b.
    pub fn replace(&mut self, fan: &[Costs<'_>], a: usize, b: usize, middle: &[usize]) {
        let kept = self.order.len() - b;
        self.order.splice(a..b, middle.iter().copied());
        self.value = f64::NEG_INFINITY;
        for (k, costs) in fan.iter().enumerate() {
            self.programs[k].update(costs, &self.order, a, kept);
            let value = self.programs[k].cost - costs.worth;
            if value > self.value {
                (self.worst, self.value) = (k, value);
            }
        }
    }

    /// The value of the order with `middle` instead of what it has from a up to b, or anything not below `best`.
    pub fn with(&self, fan: &[Costs<'_>], a: usize, b: usize, middle: &[usize], best: f64, room: &mut Room) -> f64 {
        let mut most = f64::NEG_INFINITY;
        for k in 0..fan.len() {
            let k = (self.worst + k) % fan.len();
            let cost = self.programs[k].with(&fan[k], &self.order, a, b, middle, room) - fan[k].worth;
            most = if cost > most { cost } else { most };
            if most >= best {
                break;
            }
        }
        most
    }

    /// What values may differ by that are the same but for how they were added up.
    pub fn rounding(&self) -> f64 {
        let cost = self.programs[self.worst].cost;
        if cost.is_finite() { 1e-9 * cost } else { 0.0 }
    }

    /// The path at each price, that where the cost is largest first: server and choice of each layer; none if not all
    /// layers are covered.
    pub fn paths(&self, fan: &[Costs<'_>]) -> impl Iterator<Item = Vec<(u32, u32)>> {
        let prices = (0..fan.len()).map(|k| (self.worst + k) % fan.len());
        prices.filter_map(|k| self.programs[k].path(&fan[k], &self.order))
    }
}

impl Program {
    /// Of no order yet.
    fn empty(costs: &Costs<'_>) -> Program {
        let layers = costs.t.layers;
        let mut start = vec![f64::INFINITY; layers + 1];
        start[0] = 0.0;
        // Layers that nothing covers cost much.
        let end: Vec<f64> = (0..=layers).map(|e| (layers - e) as f64 * costs.uncovered).collect();
        Program { forth: vec![start], worth: Vec::new(), back: vec![end], rest: Vec::new(), cost: f64::INFINITY }
    }

    /// For an order of which the first `same` places and the last `kept` are as before.
    fn update(&mut self, costs: &Costs<'_>, order: &[usize], same: usize, kept: usize) {
        let (layers, n) = (costs.t.layers, order.len());
        let mut back = self.back.split_off(self.back.len() - 1 - kept);
        back.reverse();
        for at in (0..n - kept).rev() {
            back.push(backward(costs, &back[n - at - 1], order.get(at + 1).copied(), order[at]));
        }
        back.reverse();
        self.back = back;
        self.cost = self.back[0][0];
        let least = |l: usize| self.back.iter().map(|back| back[l]).fold(f64::INFINITY, f64::min);
        self.rest = (0..=layers).map(least).collect();
        self.forth.truncate(same + 1);
        self.worth = self.forth.iter().map(|covered| self.worth(covered, 0)).collect();
        for at in same..n {
            let mut out = vec![f64::INFINITY; layers + 1];
            let before = (&self.forth[at][..], self.worth[at].clone());
            forward(costs, before, at.checked_sub(1).map(|at| order[at]), order[at], &mut out);
            self.worth.push(self.worth(&out, 0));
            self.forth.push(out);
        }
    }

    fn with(&self, costs: &Costs<'_>, order: &[usize], a: usize, b: usize, middle: &[usize], room: &mut Room) -> f64 {
        let mut from = a.checked_sub(1).map(|at| order[at]);
        let (after, to) = (&self.back[b], order.get(b).copied());
        let Some((&last, others)) = middle.split_last() else {
            return join(costs, &self.forth[a], from, after, to);
        };
        let mut worth = self.worth[a].clone();
        let Room { now, next } = room;
        for (k, &i) in others.iter().enumerate() {
            let before: &[f64] = if k == 0 { &self.forth[a] } else { now };
            next.clear();
            next.resize(before.len(), f64::INFINITY);
            forward(costs, (before, worth.clone()), from, i, next);
            worth = self.worth(next, worth.start);
            if worth.is_empty() {
                return f64::INFINITY;
            }
            from = Some(i);
            std::mem::swap(now, next);
        }
        let before: &[f64] = if others.is_empty() { &self.forth[a] } else { now };
        through(costs, (before, worth), from, last, after, to)
    }

    /// From where to where it is worth going on from what is covered: what is left costs about as much as it does now.
    /// Not a bound, but an estimate.
    fn worth(&self, covered: &[f64], start: usize) -> Range<usize> {
        let layers = covered.len() - 1;
        let fine = |&l: &usize| covered[l] + self.rest[l] <= self.cost;
        let first = (start..layers).find(fine).unwrap_or(layers);
        first..(first..layers).rev().find(fine).map_or(first, |last| last + 1)
    }

    fn path(&self, costs: &Costs<'_>, order: &[usize]) -> Option<Vec<(u32, u32)>> {
        let layers = costs.t.layers;
        let mut path = Vec::with_capacity(layers);
        let mut l = 0;
        for (at, &i) in order.iter().enumerate() {
            if l == layers {
                return None;
            }
            let (after, runs) = (&self.back[at + 1], costs.run(l, i));
            let cost = |n: usize| {
                let e = l + n + 1;
                let crossing = match order.get(at + 1) {
                    None => 0.0,
                    Some(_) if e == layers => f64::INFINITY,
                    Some(&j) => costs.crossing(e, i, j),
                };
                runs[n] + crossing + after[e]
            };
            let n = (0..runs.len()).min_by(|&a, &b| cost(a).total_cmp(&cost(b)))? + 1;
            costs.choices(l, n, i, &mut path)?;
            l += n;
        }
        (l == layers).then_some(path)
    }
}

/// `out[e]`: layers 0..e covered, the last of them by server i, after what `before` covers, whose last server is
/// `from`.
fn forward(costs: &Costs<'_>, (before, worth): (&[f64], Range<usize>), from: Option<usize>, i: usize, out: &mut [f64]) {
    // Nothing comes before the first layer.
    let enter = if costs.alike { from.map_or(0.0, |from| costs.link(from, i)) } else { 0.0 };
    for l in worth.start.max(usize::from(from.is_some()))..worth.end {
        if before[l].is_infinite() {
            continue;
        }
        let enter = if costs.alike { enter } else { from.map_or(0.0, |from| costs.crossing(l, from, i)) };
        let base = before[l] + enter;
        for (out, run) in out[l + 1..].iter_mut().zip(costs.run(l, i)) {
            let cost = base + run;
            *out = if cost < *out { cost } else { *out };
        }
    }
}

/// `out[l]`: layers l.. covered, the first of them by server i, before what `after` covers, whose first server is `to`.
fn backward(costs: &Costs<'_>, after: &[f64], to: Option<usize>, i: usize) -> Vec<f64> {
    let layers = costs.t.layers;
    let leave: Vec<f64> = (0..=layers)
        .map(|e| match to {
            None => after[e],
            Some(_) if e == 0 || e == layers => f64::INFINITY,
            Some(to) => after[e] + costs.crossing(e, i, to),
        })
        .collect();
    let mut out = vec![f64::INFINITY; layers + 1];
    for (l, out) in out.iter_mut().enumerate().take(layers) {
        for (run, leave) in costs.run(l, i).iter().zip(&leave[l + 1..]) {
            let cost = run + leave;
            *out = if cost < *out { cost } else { *out };
        }
    }
    out
}

/// What `before` covers, then a run on server i, then what `after` covers.
fn through(
    costs: &Costs<'_>,
    (before, worth): (&[f64], Range<usize>),
    from: Option<usize>,
    i: usize,
    after: &[f64],
    to: Option<usize>,
) -> f64 {
    let mut least = f64::INFINITY;
    // Where crossings take the same wherever they are.
    let leave = to.filter(|_| costs.alike).map(|to| costs.link(i, to));
    let enter = if costs.alike { from.map_or(0.0, |from| costs.link(from, i)) } else { 0.0 };
    for l in worth.start.max(usize::from(from.is_some()))..worth.end {
        let enter = if costs.alike { enter } else { from.map_or(0.0, |from| costs.crossing(l, from, i)) };
        let base = before[l] + enter + leave.unwrap_or(0.0);
        let ends = costs.run(l, i).iter().zip(&after[l + 1..]);
        match to.filter(|_| leave.is_none()) {
            None => {
                for (run, after) in ends {
                    let cost = base + run + after;
                    least = if cost < least { cost } else { least };
                }
            }
            Some(to) => {
                for (e, (run, after)) in (l + 1..costs.t.layers).zip(ends) {
                    least = least.min(base + run + after + costs.crossing(e, i, to));
                }
            }
        }
    }
    least
}

fn join(costs: &Costs<'_>, forth: &[f64], from: Option<usize>, back: &[f64], to: Option<usize>) -> f64 {
    let mut least = f64::INFINITY;
    for (l, (a, b)) in forth.iter().zip(back).enumerate() {
        let cost = a + b;
        if cost < least {
            least = least.min(match (from, to) {
                (Some(i), Some(j)) if l > 0 && l < costs.t.layers => cost + costs.crossing(l, i, j),
                (Some(_), Some(_)) => f64::INFINITY,
                _ => cost,
            });
        }
    }
    least
}
