//! Lagrangian prices: what a path costs if memory, quality and capacities are paid for instead of limited.
//!
//! At prices π ≥ 0 (seconds for the whole of a resource) a shortest path through (layer, server, memory left on it)
//! remains: a server's memory also limits each of its *runs* (consecutive layers), because a path that need not leave a
//! server, and so never pays for a link, would make the bound worthless. Memory is counted in cells for that, rounded
//! down. A pass takes O(L·S·(B·cells + S)). The path's cost less Σ π is a bound on every feasible assignment. Prices
//! are improved by subgradient steps towards a target (Polyak), deflected (Camerini), longer ones for the budgets.
//!
//! Memory has a price of its own for each *run*, too: [`part`] of its use, a dual feasible function, which adds up to
//! at most 1 over all runs that fit on a server together. Without it two paths that each need most of a server would
//! share it, each with half a visit.

use super::tables::{BUSY, Choice, MEMORY, SENT, Tables};

/// Into how many parts, less one, [`part`] divides a memory: thirds and quarters. Others, and more of them, gave much
/// the same bounds.
pub(super) const SHAPES: [usize; 2] = [2, 3];

/// The part of a server's memory that a run with so many of its cells counts as: with k = 2 all of it above two thirds,
/// a half above one third, and nothing below; with 3 quarters in the same way. Where runs fit together, their parts add
/// up to at most 1 (u^(k) of Fekete and Schepers, *New classes of fast lower bounds for bin packing problems*, 2001).
pub(super) fn part(k: usize, used: usize, cells: usize) -> f64 {
    let times = (k + 1) * used;
    match cells {
        0 => 0.0,
        _ if times.is_multiple_of(cells) => used as f64 / cells as f64,
        _ => (times / cells) as f64 / k as f64,
    }
}

/// Prices in seconds for the whole of each limit: of each server and kind; of each server and shape of runs; then of
/// each model's budget.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prices {
    pub server: Vec<f64>,
    pub runs: Vec<f64>,
    pub quality: Vec<f64>,
}

impl Prices {
    pub fn zero(t: &Tables) -> Prices {
        Prices::of(t, 0.0)
    }

    fn of(t: &Tables, price: f64) -> Prices {
        let runs = vec![price; t.servers * SHAPES.len()];
        Prices { server: vec![price; t.capacity.len()], runs, quality: vec![price; t.budget.len()] }
    }

    fn iter(&self) -> impl Iterator<Item = &f64> {
        self.server.iter().chain(&self.runs).chain(&self.quality)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        self.server.iter_mut().chain(&mut self.runs).chain(&mut self.quality)
    }

    /// What limits are worth together.
    pub fn sum(&self) -> f64 {
        self.iter().sum()
    }
}

/// Reduced costs at some prices.
#[derive(Debug, Clone)]
pub(super) struct Reduced {
    pub prices: Prices,
    /// Per grid unit: of each server and kind, and of each model's quality.
    pub server: Vec<f64>,
    pub quality: Vec<f64>,
    /// Price of a run that takes so many cells (server × stride).
    runs: Vec<f64>,
    /// Cost of each choice on each server (choice × server); infinite if it does not fit.
    pub node: Vec<f64>,
    /// Cheapest way to the end after a layer on a server with so many cells left (layer × server × stride).
    pub tail: Vec<f64>,
    /// Cheapest way to the end from a layer on, if a run begins there (layer × server).
    pub enter: Vec<f64>,
    /// No feasible assignment is faster.
    pub bound: f64,
    /// The path of the bound: server and choice of each layer.
    pub path: Vec<(u32, u32)>,
}

impl Reduced {
    pub fn new(t: &Tables, prices: Prices) -> Reduced {
        let per = |price: &f64, &limit: &f64| if limit > 0.0 && limit.is_finite() { price / limit } else { 0.0 };
        let mut r = Reduced {
            server: prices.server.iter().zip(&t.capacity).map(|(p, c)| per(p, c)).collect(),
            quality: prices.quality.iter().zip(&t.budget).map(|(p, c)| per(p, c)).collect(),
            runs: vec![0.0; t.servers * t.stride],
            prices,
            node: Vec::new(),
            tail: Vec::new(),
            enter: Vec::new(),
            bound: 0.0,
            path: Vec::with_capacity(t.layers),
        };
        for (i, &cells) in t.cells.iter().enumerate() {
            for (used, price) in r.runs[i * t.stride..][..=cells].iter_mut().enumerate() {
                let shapes = SHAPES.iter().zip(&r.prices.runs[i * SHAPES.len()..]);
                *price = shapes.map(|(&k, whole)| whole * part(k, used, cells)).sum();
            }
        }
        r.nodes(t);
        (r.tail, r.enter) = r.ways(t);
        r.walk(t);
        r
    }

    /// The cheapest way to the end after layer l on a server with so many cells left.
    pub fn tail(&self, t: &Tables, l: usize, server: usize, cells: usize) -> f64 {
        self.tail[(l * t.servers + server) * t.stride + cells]
    }

    /// Price of a run on a server that takes so many cells.
    pub fn run(&self, t: &Tables, server: usize, cells: usize) -> f64 {
        self.runs[server * t.stride + cells]
    }

    /// Price of sending after layer l from a server.
    pub fn sending(&self, t: &Tables, l: usize, server: usize) -> f64 {
        if t.kinds > SENT { self.server[server * t.kinds + SENT] * t.sent(l, server) } else { 0.0 }
    }

    /// Seconds of a choice on a server, with the price of computing.
    pub fn computing(&self, t: &Tables, choice: &Choice, server: usize) -> f64 {
        let seconds = t.seconds(choice, server);
        let busy = if t.kinds > BUSY { t.busy(seconds, server) } else { 0.0 };
        if busy > 0.0 { seconds + self.server[server * t.kinds + BUSY] * busy } else { seconds }
    }

    fn nodes(&mut self, t: &Tables) {
        self.node.reserve(t.choices.len() * t.servers);
        for l in 0..t.layers {
            for c in t.choices(l) {
                let quality = self.quality[t.model[l]] * c.quality;
                for i in 0..t.servers {
                    if !fits_alone(t, l, i, c) {
                        self.node.push(f64::INFINITY);
                        continue;
                    }
                    let seconds = t.seconds(c, i);
                    let price = |kind: usize| self.server[i * t.kinds + kind];
                    let busy = if t.kinds > BUSY { price(BUSY) * t.busy(seconds, i) } else { 0.0 };
                    let seconds = if t.free { 0.0 } else { seconds };
                    self.node.push(seconds + busy + price(MEMORY) * c.memory + quality);
                }
            }
        }
    }

    /// What a run on server i costs on its end, for each number of cells left.
    fn ends(&self, t: &Tables, i: usize) -> impl Iterator<Item = f64> {
        self.runs[i * t.stride..][..=t.cells[i]].iter().rev().copied()
    }

    /// `tail` and `enter`.
    fn ways(&self, t: &Tables) -> (Vec<f64>, Vec<f64>) {
        let plane = t.servers * t.stride;
        let mut tail = vec![0.0; t.layers * plane];
        let mut enter = vec![f64::INFINITY; t.layers * t.servers];
        let last = tail[(t.layers - 1) * plane..].chunks_mut(t.stride).enumerate();
        last.for_each(|(i, row)| self.ends(t, i).zip(row).for_each(|(run, way)| *way = run));
        let mut next = Vec::new();
        for l in (0..t.layers).rev() {
            if l + 1 < t.layers {
                leave(self, t, l, &mut next, &enter[(l + 1) * t.servers..(l + 2) * t.servers]);
            }
            let (now, after) = tail[l * plane..].split_at_mut(plane);
            self.layer(t, l, (&next, after), now, &mut enter[l * t.servers..(l + 1) * t.servers]);
        }
        (tail, enter)
    }

    /// One layer of `tail` and `enter`, from the cheapest ways to leave each server after it and `tail` of the next
    /// layer.
    fn layer(&self, t: &Tables, l: usize, (next, after): (&[f64], &[f64]), now: &mut [f64], enter: &mut [f64]) {
        for i in 0..t.servers {
            let row = &mut now[i * t.stride..][..t.cells[i] + 1];
            if l + 1 < t.layers {
                self.end_or_stay(t, l, i, next[i], &after[i * t.stride..][..t.stride], row);
            }
            enter[i] = f64::INFINITY;
            for c in t.starts[l]..t.starts[l + 1] {
                if let Some(left) = t.cells[i].checked_sub(t.units[c * t.servers + i].into()) {
                    enter[i] = enter[i].min(self.node[c * t.servers + i] + row[left]);
                }
            }
        }
    }

    /// The cheapest ways to the end after layer l on server i, for each number of cells left, from the cheapest way to
    /// leave it then, and those after the next layer.
    fn end_or_stay(&self, t: &Tables, l: usize, i: usize, leaving: f64, after: &[f64], row: &mut [f64]) {
        self.ends(t, i).zip(&mut *row).for_each(|(run, way)| *way = leaving + run);
        let mut least = f64::INFINITY;
        for c in t.starts[l + 1]..t.starts[l + 2] {
            let (cost, units) = (self.node[c * t.servers + i], usize::from(t.units[c * t.servers + i]));
            // Widths ascend, and memory with them: what costs more than a narrower one is never better.
            if cost < least && units < row.len() {
                for (way, after) in row[units..].iter_mut().zip(after) {
                    let cost = cost + after;
                    *way = if cost < *way { cost } else { *way };
                }
            }
            least = least.min(cost);
        }
    }

    /// The cheapest completions after (layer, server, cells) that later begin a run on server k, for every k: an array
    /// like `tail` for each. For k itself: that come back to it.
    pub fn via(&self, t: &Tables, k: usize) -> Vec<f64> {
        let plane = t.servers * t.stride;
        let mut via = vec![f64::INFINITY; self.tail.len()];
        let mut enter = vec![f64::INFINITY; t.servers];
        let mut next = Vec::new();
        for l in (0..t.layers).rev() {
            if l + 1 < t.layers {
                enter[k] = self.enter[(l + 1) * t.servers + k];
                leave(self, t, l, &mut next, &enter);
            }
            let (now, after) = via[l * plane..].split_at_mut(plane);
            self.layer(t, l, (&next, after), now, &mut enter);
        }
        via
    }

    /// The shortest path, and its bound.
    fn walk(&mut self, t: &Tables) {
        let s = t.servers;
        let least = |of: &dyn Fn(usize) -> f64| (0..s).min_by(|&a, &b| of(a).total_cmp(&of(b))).unwrap_or(0);
        let mut at = least(&|i| self.enter[i]);
        self.bound = self.enter[at] - self.prices.sum();
        if self.bound.is_infinite() {
            return;
        }
        let mut left = t.cells[at];
        for l in 0..t.layers {
            // The choice that the run goes on with.
            let way = |c: usize| {
                let units = usize::from(t.units[c * s + at]);
                if units > left { f64::INFINITY } else { self.node[c * s + at] + self.tail(t, l, at, left - units) }
            };
            let mut pick = t.starts[l];
            for c in t.starts[l]..t.starts[l + 1] {
                if way(c) < way(pick) {
                    pick = c;
                }
            }
            left -= usize::from(t.units[pick * s + at]).min(left);
            self.path.push((at as u32, (pick - t.starts[l]) as u32));
            if l + 1 == t.layers {
                break;
            }
            let ends = t.model_ends(l);
            let leaving = self.sending(t, l, at) + self.run(t, at, t.cells[at] - left);
            let step = |j: usize| {
                let crossing = match j == at {
                    true => f64::INFINITY,
                    false if ends => 0.0,
                    false => t.shared_transfer(l, at, j),
                };
                crossing + leaving + self.enter[(l + 1) * s + j]
            };
            let to = least(&step);
            let stay = (t.starts[l + 1]..t.starts[l + 2]).map(|c| {
                let units = usize::from(t.units[c * s + at]);
                if units > left { f64::INFINITY } else { self.node[c * s + at] + self.tail(t, l + 1, at, left - units) }
            });
            if step(to) < stay.fold(f64::INFINITY, f64::min) {
                (at, left) = (to, t.cells[to]);
            }
        }
    }
}

/// What a path uses beyond each limit, in parts of the limit.
pub(super) fn excess(t: &Tables, path: &[(u32, u32)]) -> Prices {
    let mut used = Prices::zero(t);
    let mut run = 0;
    for (l, &(i, w)) in path.iter().enumerate() {
        let (i, c) = (i as usize, &t.choices(l)[w as usize]);
        run += usize::from(t.units[(t.starts[l] + w as usize) * t.servers + i]);
        if path.get(l + 1).is_none_or(|next| next.0 as usize != i) {
            let parts = used.runs[i * SHAPES.len()..].iter_mut().zip(SHAPES);
            parts.for_each(|(sum, k)| *sum += part(k, run, t.cells[i]));
            run = 0;
        }
        used.quality[t.model[l]] += c.quality;
        used.server[i * t.kinds + MEMORY] += c.memory;
        if t.kinds > BUSY {
            used.server[i * t.kinds + BUSY] += t.busy(t.seconds(c, i), i);
        }
        let crosses = !t.model_ends(l) && path[l + 1].0 as usize != i;
        if t.kinds > SENT && crosses {
            used.server[i * t.kinds + SENT] += t.sent(l, i);
        }
    }
    used.runs.iter_mut().for_each(|x| *x -= 1.0);
    let limits = t.capacity.iter().chain(&t.budget);
    for (x, &limit) in used.server.iter_mut().chain(&mut used.quality).zip(limits) {
        *x = if limit > 0.0 && limit.is_finite() { *x / limit - 1.0 } else { 0.0 };
    }
    used
}

/// The cheapest way to leave each server after layer l, given what it costs to begin a run elsewhere.
pub(super) fn leave(r: &Reduced, t: &Tables, l: usize, out: &mut Vec<f64>, enter: &[f64]) {
    out.clear();
    let s = t.servers;
    let counts = if t.free { 0.0 } else { 1.0 };
    let (crossings, bytes) = (t.crossings[l] * counts, t.bytes[l] * counts);
    let (ends, share) = (t.model_ends(l), &t.share[t.model[l] * s..]);
    for i in 0..s {
        let row = i * s..(i + 1) * s;
        let mut least = f64::INFINITY;
        for (j, (((latency, per_byte), share_j), enter)) in
            t.latency[row.clone()].iter().zip(&t.per_byte[row]).zip(share).zip(enter).enumerate()
        {
            // Without a link that is infinite, or no number where nothing counts: never less.
            let crossing = share[i].max(*share_j) * (crossings * latency + bytes * per_byte);
            let cost = if ends { *enter } else { crossing + enter };
            least = if cost < least && j != i { cost } else { least };
        }
        out.push(least + r.sending(t, l, i));
    }
}

/// Whether a choice could be on a server if it were alone there.
pub(super) fn fits_alone(t: &Tables, l: usize, server: usize, c: &Choice) -> bool {
    let capacity = &t.capacity[server * t.kinds..];
    t.fixed.as_ref().is_none_or(|fixed| fixed[l] == server)
        && c.memory <= capacity[MEMORY]
        && c.quality <= t.budget[t.model[l]]
        && (t.kinds <= BUSY || t.busy(t.seconds(c, server), server) <= capacity[BUSY])
}

/// The direction of a step from the one before and the steepest one: turned away from going back and forth (Camerini,
/// Fratta and Maffioli). Returns the square of its length.
pub(super) fn deflect(direction: &mut [f64], steepest: &[f64]) -> f64 {
    let (mut dot, mut along) = (0.0, 0.0);
    for (x, d) in steepest.iter().zip(&*direction) {
        dot += x * d;
        along += d * d;
    }
    let keep = if along > 0.0 && dot < 0.0 { -1.5 * dot / along } else { 0.0 };
    let mut norm = 0.0;
    for (d, x) in direction.iter_mut().zip(steepest) {
        *d = x + keep * *d;
        norm += *d * *d;
    }
    norm
}

/// Improves prices, for at most so many steps, until it is to stop. Returns the best, and the steps.
pub(super) fn improve(t: &Tables, from: Prices, steps: usize, mut stop: impl FnMut() -> bool) -> (Reduced, usize) {
    /// How far the first goal is, and how much shorter steps grow after so many in vain.
    const REACH: f64 = 0.05;
    const SHORTER: f64 = 0.7;
    let patience = t.servers + 8;
    let mut best = Reduced::new(t, from);
    let mut done = 1;
    if best.bound.is_infinite() {
        return (best, done);
    }
    let (mut bound, mut prices, mut path) = (best.bound, best.prices.clone(), best.path.clone());
    let mut direction = vec![0.0; prices.iter().count()];
    // A path may use twice of a server or nothing, but hardly a tenth more or less of a budget, unless there are many.
    let weight = (t.servers as f64 / t.budget.len() as f64).sqrt();
    let weights = Prices { quality: vec![weight; t.budget.len()], ..Prices::of(t, 1.0) };
    let (mut scale, mut failed) = (1.0, 0);
    while done < steps && scale > 1e-3 {
        let mut excess = excess(t, &path);
        let mut steepest = Vec::with_capacity(direction.len());
        for ((x, price), weight) in excess.iter_mut().zip(prices.iter()).zip(weights.iter()) {
            // A price of 0 cannot fall.
            let x = *x * weight;
            steepest.push(if *price == 0.0 && x < 0.0 { 0.0 } else { x });
        }
        let norm = deflect(&mut direction, &steepest);
        if norm < 1e-18 {
            break;
        }
        let goal = best.bound + REACH * scale * best.bound.abs().max(1e-12);
        let length = scale * (goal - bound).max(1e-9 * goal.abs()) / norm;
        for ((price, d), weight) in prices.iter_mut().zip(&direction).zip(weights.iter()) {
            *price = (*price + length * d * weight).max(0.0);
        }
        let next = Reduced::new(t, prices.clone());
        done += 1;
        (bound, path) = (next.bound, next.path.clone());
        failed = if bound > best.bound + 1e-6 * best.bound.abs() { 0 } else { failed + 1 };
        if bound > best.bound {
            best = next;
        }
        if stop() {
            break;
        }
        if failed >= patience {
            (scale, failed) = (scale * SHORTER, 0);
            (bound, prices, path) = (best.bound, best.prices.clone(), best.path.clone());
            direction.fill(0.0);
        }
    }
    (best, done)
}

/// Whether prices alone prove that nothing is feasible: without delays a feasible assignment costs at most what the
/// limits are worth. Prices add up to 1, and steps grow shorter.
pub(super) fn nothing_feasible(t: &Tables, steps: usize, mut stop: impl FnMut() -> bool) -> (bool, usize) {
    let free = Tables { free: true, ..t.clone() };
    let mut prices = Prices::zero(&free);
    let limits = free.capacity.iter().chain(&free.budget);
    for (price, limit) in prices.server.iter_mut().chain(&mut prices.quality).zip(limits) {
        *price = if *limit > 0.0 && limit.is_finite() { 1.0 } else { 0.0 };
    }
    for step in 1..=steps {
        let sum = prices.sum();
        if sum <= 0.0 || stop() {
            return (false, step);
        }
        prices.iter_mut().for_each(|price| *price /= sum);
        let at = Reduced::new(&free, prices);
        if at.bound > 1e-9 {
            return (true, step);
        }
        let mut excess = excess(&free, &at.path);
        let norm = excess.iter_mut().map(|x| *x * *x).sum::<f64>().sqrt();
        if norm < 1e-12 {
            return (false, step);
        }
        prices = at.prices;
        let length = 0.5 / (step as f64).sqrt() / norm;
        for (price, x) in prices.iter_mut().zip(excess.iter_mut()) {
            *price = (*price + length * *x).max(0.0);
        }
    }
    (false, steps)
}
