//! Good assignments, quickly: a local search over the order in which servers are visited.
//!
//! An order of servers and a price of weight errors leave a shortest path: which layers each server runs, with which
//! bits, by a dynamic program over (place in the order, layer) on costs of runs, each a knapsack over cells of memory
//! (needs rounded up, so that memories hold). With the program from both ends, an order with one server more, less or
//! another one is valued in O(L × length of a run). A search goes down by such changes, then by exchanges of neighbouring
//! blocks and reversals, of which only those with the fastest links are valued; it starts again from orders shaken by a
//! seeded generator. The price is bisected to where the budget holds
//! just so, and bits are exchanged between layers where that is faster. With few servers an order may have parts of a
//! server's memory in several places.
//!
//! It proves nothing, and returns only what keeps every limit.

use rayon::prelude::*;

use super::tables::{MEMORY, Tables};
use crate::search::Clock;
use crate::workload::synthesis::RowRng;

/// Prices that are tried; shaken orders begin at this one, and so many go down at once.
const PRICES: usize = 12;
const SHAKEN: usize = 4;
const AT_ONCE: usize = 4;
/// Servers, up to which their memory is divided.
const DIVIDED: usize = 10;
/// All of a server's memory, and the parts of it that an order may have.
const ALL: usize = 12;
const PARTS: [usize; 4] = [ALL, 8, 6, 4];
/// Delays up to so many times the best are worth exchanging bits: with few servers, and with many.
const POLISHED: (f64, f64) = (1.05, 1.01);
/// Operations for all runs beyond which a step would take too long.
const LARGEST: f64 = 2e9;
/// Places of an order that a change reaches over.
const FARTHEST: usize = 24;
/// Of the changes of an order's blocks, so many with the fastest links are valued.
const VALUED: usize = 12;
/// An order shaken from may be worse than the best at its price by this, relatively, at first; less and less later on.
const WORSE: f64 = 0.01;
/// A layer without a server costs so many times the slowest computation of all layers.
const UNCOVERED: f64 = 10.0;

/// A server, or a part of its memory.
#[derive(Debug, Clone, Copy)]
struct Part {
    server: usize,
    /// Of [`ALL`].
    share: usize,
    cells: usize,
}

/// Costs at some price of weight errors. Orders are of parts.
struct Costs<'t> {
    t: &'t Tables,
    /// By choice and server; infinite if it does not fit.
    node: Vec<f64>,
    /// Cells that each choice needs on each server, rounded up.
    units: &'t [usize],
    parts: &'t [Part],
    /// By first layer and part: the cost of each length.
    runs: Vec<Vec<f64>>,
    uncovered: f64,
    /// Whether crossings take the same after all layers but the last: they are in `links` then, by pair of servers;
    /// otherwise these are of the layer that sends most.
    alike: bool,
    links: Vec<f64>,
}

/// The program over an order, from both ends.
struct Program {
    order: Vec<usize>,
    /// Cheapest cover of layers 0..e by the first p servers, at p, e.
    forth: Vec<Vec<f64>>,
    /// Cheapest cover of layers l.. by the servers from p on, at p, l.
    back: Vec<Vec<f64>>,
    /// Cheapest cover of layers l.. by any servers at the end of the order.
    rest: Vec<f64>,
    cost: f64,
}

/// The fastest assignment found. `quality` are prices of weight errors and `busy` of computing, by model and server, in seconds for a unit
/// of the grid; `start` has the servers of some path. So many orders are shaken, by a seed.
pub(super) fn search(
    t: &Tables,
    prices: (&[f64], &[f64]),
    start: &[usize],
    (seed, steps): (u64, usize),
    clock: &mut Clock,
    threads: bool,
) -> Option<(f64, Vec<(u32, u32)>)> {
    let units = units(t);
    if effort(t) > LARGEST {
        return None;
    }
    let shares = if t.servers <= DIVIDED { &PARTS[..] } else { &PARTS[..1] };
    let part = |server: usize, share: usize| Part { server, share, cells: t.cells[server] * share / ALL };
    let parts: Vec<Part> =
        shares.iter().flat_map(|&share| (0..t.servers).map(move |server| part(server, share))).collect();
    let mut best: Option<(f64, Vec<(u32, u32)>)> = None;
    // Whole parts come first, and have the numbers of their servers.
    let mut order: Vec<usize> = Vec::new();
    for &i in start {
        if !order.contains(&i) {
            order.push(i);
        }
    }
    // Times the price of weight errors: too low and too high.
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut factor = 1.0;
    let mut rows = RowRng::new(seed, 0);
    for price in 0..PRICES {
        if clock.look() {
            break;
        }
        let costs = Costs::new(t, prices, factor, &units, &parts, threads);
        let mut at = costs.descend(order, clock);
        let mut holds = consider(&costs, &at, &mut best);
        let rounds = if price >= SHAKEN { steps.div_ceil((PRICES - SHAKEN) * AT_ONCE) } else { 0 };
        let mut record = at.cost;
        for round in 0..rounds {
            if clock.look() {
                break;
            }
            let shaken: Vec<Vec<usize>> = (0..AT_ONCE).map(|_| costs.shake(&at.order, &mut rows)).collect();
            let down = |order: Vec<usize>| costs.descend(order, &mut clock.clone());
            let found: Vec<Program> = if threads {
                shaken.into_par_iter().map(down).collect()
            } else {
                shaken.into_iter().map(down).collect()
            };
            for other in found {
                let fine = consider(&costs, &other, &mut best);
                let worse = WORSE * (1.0 - round as f64 / rounds as f64);
                record = record.min(other.cost);
                if other.cost < at.cost || (other.cost < record * (1.0 + worse) && other.order != at.order) {
                    (at, holds) = (other, fine);
                }
            }
        }
        order = at.order;
        (low, high) = if holds { (low, factor) } else { (factor, high) };
        factor = match (low, high) {
            (_, high) if high.is_infinite() => factor * 2.0,
            (0.0, _) => factor / 2.0,
            _ => (low * high).sqrt(),
        };
    }
    best
}

/// Keeps what an order gives, if it is feasible and faster. Whether weight errors are within their budgets.
fn consider(costs: &Costs<'_>, p: &Program, best: &mut Option<(f64, Vec<(u32, u32)>)>) -> bool {
    let (Some(mut path), t) = (costs.path(p), costs.t) else { return false };
    let Some(before) = t.cost(&path) else { return false };
    let holds = t.within_budgets(&path);
    let polished = if t.servers <= DIVIDED { POLISHED.0 } else { POLISHED.1 };
    if best.as_ref().is_none_or(|b| before < b.0 * polished) {
        exchange(t, &mut path);
        if let Some(cost) = t.cost(&path).filter(|_| t.keeps_limits(&path))
            && best.as_ref().is_none_or(|b| cost < b.0)
        {
            *best = Some((cost, path));
        }
    }
    holds
}

/// Changes the bits of a layer, or of two, where that keeps limits (or mends those of weight errors and memory) and is faster.
fn exchange(t: &Tables, path: &mut [(u32, u32)]) {
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

/// Operations that the costs of all runs take, about: layers × choices × cells for each first layer.
fn effort(t: &Tables) -> f64 {
    let least = t.choices.iter().map(|c| c.memory).fold(f64::INFINITY, f64::min).max(1.0);
    let layers = t.layers as f64;
    let one = |i: usize| {
        let longest = (t.capacity[i * t.kinds + MEMORY] / least).min(layers);
        longest * t.choices.len() as f64 * (t.cells[i] + 1) as f64
    };
    (0..t.servers).map(one).sum()
}

/// Cells that choices need, rounded up.
fn units(t: &Tables) -> Vec<usize> {
    let mut out = Vec::with_capacity(t.choices.len() * t.servers);
    for c in &t.choices {
        for i in 0..t.servers {
            let capacity = t.capacity[i * t.kinds + MEMORY];
            let exact = if capacity > 0.0 { c.memory / capacity * t.cells[i] as f64 } else { 0.0 };
            out.push(if c.memory > capacity { usize::MAX } else { (exact - 1e-9).ceil().max(0.0) as usize });
        }
    }
    out
}

impl<'t> Costs<'t> {
    fn new(
        t: &'t Tables,
        (quality, busy): (&[f64], &[f64]),
        factor: f64,
        units: &'t [usize],
        parts: &'t [Part],
        threads: bool,
    ) -> Costs<'t> {
        let mut node = Vec::with_capacity(t.choices.len() * t.servers);
        let mut most = 0.0;
        for l in 0..t.layers {
            for c in t.choices(l) {
                for (i, busy) in busy.iter().enumerate() {
                    let seconds = t.seconds(c, i);
                    let time = busy * t.busy(seconds, i);
                    let fits = super::prices::fits_alone(t, l, i, c);
                    let cost = seconds + time + factor * quality[t.model[l]] * c.quality;
                    most = if fits && cost > most { cost } else { most };
                    node.push(if fits { cost } else { f64::INFINITY });
                }
            }
        }
        let inner = 0..t.layers - 1;
        let same = |l: usize| (t.bytes[l], t.crossings[l]) == (t.bytes[0], t.crossings[0]) && !t.model_ends(l);
        let alike = inner.clone().all(same);
        let longest = inner.max_by(|&a, &b| t.bytes[a].total_cmp(&t.bytes[b])).unwrap_or(0);
        let links = (0..t.servers * t.servers).map(|at| t.transfer(longest, at / t.servers, at % t.servers)).collect();
        let uncovered = UNCOVERED * most;
        let mut costs = Costs { t, node, units, parts, runs: Vec::new(), uncovered, alike, links };
        let one = |at: usize| costs.lengths(at / parts.len(), parts[at % parts.len()]);
        let all = 0..t.layers * parts.len();
        costs.runs = if threads { all.into_par_iter().map(one).collect() } else { all.map(one).collect() };
        costs
    }

    fn lengths(&self, l: usize, Part { server: i, cells, .. }: Part) -> Vec<f64> {
        let mut used = vec![f64::INFINITY; cells + 1];
        used[0] = 0.0;
        let mut out = Vec::new();
        for e in l..self.t.layers {
            used = self.one_more(e, i, &used);
            let least = used.iter().copied().fold(f64::INFINITY, f64::min);
            if least.is_infinite() {
                break;
            }
            out.push(least);
        }
        out
    }

    fn one_more(&self, l: usize, i: usize, used: &[f64]) -> Vec<f64> {
        let t = self.t;
        let mut next = vec![f64::INFINITY; used.len()];
        for c in t.starts[l]..t.starts[l + 1] {
            let (cost, units) = (self.node[c * t.servers + i], self.units[c * t.servers + i]);
            if cost.is_infinite() || units >= used.len() {
                continue;
            }
            for (next, used) in next[units..].iter_mut().zip(used) {
                let cost = cost + used;
                *next = if cost < *next { cost } else { *next };
            }
        }
        next
    }

    fn crossing(&self, l: usize, i: usize, j: usize) -> f64 {
        let (t, from, to) = (self.t, self.parts[i].server, self.parts[j].server);
        if self.alike { self.links[from * t.servers + to] } else { t.transfer(l - 1, from, to) }
    }

    fn run(&self, l: usize, i: usize) -> &[f64] {
        &self.runs[l * self.parts.len() + i]
    }

    /// Whether an order with `i` instead of what it has from a up to b has no more of its server than there is.
    fn fits(&self, order: &[usize], a: usize, b: usize, i: usize) -> bool {
        let Part { server, share, .. } = self.parts[i];
        let others = order[..a].iter().chain(&order[b..]).map(|&k| self.parts[k]);
        others.filter(|part| part.server == server).map(|part| part.share).sum::<usize>() + share <= ALL
    }

    /// An order with two parts more, less, or one of each, and two neighbouring blocks exchanged.
    fn shake(&self, order: &[usize], rows: &mut RowRng) -> Vec<usize> {
        let d = rows.next_row();
        let mut order = order.to_vec();
        for k in 0..2 {
            if order.len() > 1 && d.below(k, 2) == 0 {
                order.remove(d.below(2 + k, order.len() as u64) as usize);
            } else {
                let at = d.below(4 + k, order.len() as u64 + 1) as usize;
                let fitting: Vec<usize> = (0..self.parts.len()).filter(|&i| self.fits(&order, at, at, i)).collect();
                if !fitting.is_empty() {
                    order.insert(at, fitting[d.below(2 + k, fitting.len() as u64) as usize]);
                }
            }
        }
        if order.len() > 2 {
            let d = rows.next_row();
            let mut cuts = [0, 1, 2].map(|k| d.below(k, order.len() as u64 + 1) as usize);
            cuts.sort_unstable();
            order[cuts[0]..cuts[2]].rotate_left(cuts[1] - cuts[0]);
        }
        order
    }

    /// `out[e]`: layers 0..e covered, the last of them by server i, after what `before` covers, whose last server is `from`.
    /// Not where `hopeless`.
    fn forward(
        &self,
        before: &[f64],
        from: Option<usize>,
        i: usize,
        hopeless: impl Fn(usize, f64) -> bool,
    ) -> Vec<f64> {
        let layers = self.t.layers;
        let mut out = vec![f64::INFINITY; layers + 1];
        for (l, &before) in before[..layers].iter().enumerate() {
            if before.is_infinite() || hopeless(l, before) {
                continue;
            }
            let crossing = match from {
                None => 0.0,
                Some(_) if l == 0 => f64::INFINITY,
                Some(from) => self.crossing(l, from, i),
            };
            let base = before + crossing;
            for (out, run) in out[l + 1..].iter_mut().zip(self.run(l, i)) {
                let cost = base + run;
                *out = if cost < *out { cost } else { *out };
            }
        }
        out
    }

    /// `out[l]`: layers l.. covered, the first of them by server i, before what `after` covers, whose first server is `to`.
    fn backward(&self, after: &[f64], to: Option<usize>, i: usize) -> Vec<f64> {
        let layers = self.t.layers;
        let leave: Vec<f64> = (0..=layers)
            .map(|e| match to {
                None => after[e],
                Some(_) if e == 0 || e == layers => f64::INFINITY,
                Some(to) => after[e] + self.crossing(e, i, to),
            })
            .collect();
        let mut out = vec![f64::INFINITY; layers + 1];
        for (l, out) in out.iter_mut().enumerate().take(layers) {
            for (run, leave) in self.run(l, i).iter().zip(&leave[l + 1..]) {
                let cost = run + leave;
                *out = if cost < *out { cost } else { *out };
            }
        }
        out
    }

    fn join(&self, forth: &[f64], from: Option<usize>, back: &[f64], to: Option<usize>) -> f64 {
        let mut least = f64::INFINITY;
        for (l, (a, b)) in forth.iter().zip(back).enumerate() {
            let cost = a + b;
            if cost < least {
                least = least.min(match (from, to) {
                    (Some(i), Some(j)) if l > 0 && l < self.t.layers => cost + self.crossing(l, i, j),
                    (Some(_), Some(_)) => f64::INFINITY,
                    _ => cost,
                });
            }
        }
        least
    }

    /// The end of every order: layers that nothing covers cost much.
    fn end(&self) -> Vec<f64> {
        (0..=self.t.layers).map(|e| (self.t.layers - e) as f64 * self.uncovered).collect()
    }

    /// The cost of an order that has `middle` instead of the servers from a up to b.
    fn value(&self, p: &Program, a: usize, b: usize, middle: impl Iterator<Item = usize>) -> f64 {
        let order = &p.order;
        let mut from = a.checked_sub(1).map(|at| order[at]);
        // What is left costs about as much as it does now: not a bound, but an estimate.
        let hopeless = |l: usize, cost: f64| cost + p.rest[l] > p.cost;
        let mut covered: Option<Vec<f64>> = None;
        for i in middle {
            covered = Some(self.forward(covered.as_deref().unwrap_or(&p.forth[a]), from, i, hopeless));
            from = Some(i);
        }
        self.join(covered.as_deref().unwrap_or(&p.forth[a]), from, &p.back[b], order.get(b).copied())
    }

    /// Changes an order as long as that lowers its cost.
    fn descend(&self, order: Vec<usize>, clock: &mut Clock) -> Program {
        let mut p = Program::new(self, order);
        while !clock.look() {
            let Some(change) = self.nearest(&p).or_else(|| self.farther(&p)) else { break };
            p = Program::new(self, change);
        }
        p
    }

    /// The best order with one server more, less, or another one.
    fn nearest(&self, p: &Program) -> Option<Vec<usize>> {
        let (order, n) = (&p.order, p.order.len());
        let mut best = (p.cost * (1.0 - 1e-9), 0, 0, None);
        let mut try_one = |a: usize, b: usize, server: Option<usize>| {
            let cost = self.value(p, a, b, server.into_iter());
            if cost < best.0 {
                best = (cost, a, b, server);
            }
        };
        for a in 0..=n {
            if a < n && n > 1 {
                try_one(a, a + 1, None);
            }
            for i in 0..self.parts.len() {
                if self.fits(order, a, a, i) {
                    try_one(a, a, Some(i));
                }
                if a < n && order[a] != i && self.fits(order, a, a + 1, i) {
                    try_one(a, a + 1, Some(i));
                }
            }
        }
        let (cost, a, b, server) = best;
        (cost < p.cost * (1.0 - 1e-9)).then(|| {
            let mut order = order.clone();
            order.splice(a..b, server);
            order
        })
    }

    /// The best of the orders where two neighbouring blocks changed places, or one is reversed, whose links are fastest.
    fn farther(&self, p: &Program) -> Option<Vec<usize>> {
        let (order, n) = (&p.order, p.order.len());
        let link = |a: Option<&usize>, b: Option<&usize>| match (a, b) {
            (Some(&a), Some(&b)) => self.links[self.parts[a].server * self.t.servers + self.parts[b].server],
            _ => 0.0,
        };
        let at = |a: usize| order.get(a);
        let before = |a: usize| a.checked_sub(1).and_then(at);
        // From a up to c, and where it is divided; 0 where it is reversed.
        let mut changes: Vec<(f64, usize, usize, usize)> = Vec::new();
        for a in 0..n {
            let (mut forwards, mut backwards) = (0.0, 0.0);
            for c in a + 2..=n.min(a + FARTHEST) {
                let (first, last) = (at(a), at(c - 1));
                forwards += link(at(c - 2), last);
                backwards += link(last, at(c - 2));
                let was = link(before(a), first) + link(last, at(c));
                let reversed = link(before(a), last) + backwards + link(first, at(c)) - forwards - was;
                changes.push((reversed, a, 0, c));
                for b in a + 1..c {
                    let (end, begin) = (at(b - 1), at(b));
                    let swapped = link(before(a), begin) + link(last, first) + link(end, at(c));
                    changes.push((swapped - was - link(end, begin), a, b, c));
                }
            }
        }
        changes.retain(|change| change.0.is_finite());
        let k = VALUED.min(changes.len());
        if k > 0 && k < changes.len() {
            changes
                .select_nth_unstable_by(k - 1, |x, y| x.0.total_cmp(&y.0).then((x.1, x.2, x.3).cmp(&(y.1, y.2, y.3))));
        }
        changes.truncate(k);
        let mut best: (f64, Option<Vec<usize>>) = (p.cost * (1.0 - 1e-9), None);
        let mut middle = Vec::with_capacity(n);
        for (_, a, b, c) in changes {
            middle.clear();
            middle.extend_from_slice(&order[a..c]);
            if b == 0 {
                middle.reverse()
            } else {
                middle.rotate_left(b - a)
            }
            let cost = self.value(p, a, c, middle.iter().copied());
            if cost < best.0 {
                best = (cost, Some([&order[..a], &middle, &order[c..]].concat()));
            }
        }
        best.1
    }

    /// The path of an order: server and choice of each layer; none if it does not cover all layers.
    fn path(&self, p: &Program) -> Option<Vec<(u32, u32)>> {
        let t = self.t;
        let mut path = Vec::with_capacity(t.layers);
        let mut l = 0;
        for (at, &i) in p.order.iter().enumerate() {
            if l == t.layers {
                return None;
            }
            let (after, runs) = (&p.back[at + 1], self.run(l, i));
            let cost = |n: usize| {
                let e = l + n + 1;
                let crossing = match p.order.get(at + 1) {
                    None => 0.0,
                    Some(_) if e == t.layers => f64::INFINITY,
                    Some(&j) => self.crossing(e, i, j),
                };
                runs[n] + crossing + after[e]
            };
            let n = (0..runs.len()).min_by(|&a, &b| cost(a).total_cmp(&cost(b)))? + 1;
            self.choices(l, n, self.parts[i], &mut path)?;
            l += n;
        }
        (l == t.layers).then_some(path)
    }

    fn choices(
        &self,
        l: usize,
        n: usize,
        Part { server: i, cells, .. }: Part,
        path: &mut Vec<(u32, u32)>,
    ) -> Option<()> {
        let t = self.t;
        let mut used = vec![f64::INFINITY; cells + 1];
        used[0] = 0.0;
        let mut rows = vec![used];
        for e in l..l + n {
            rows.push(self.one_more(e, i, &rows[e - l]));
        }
        let mut u = (0..rows[n].len()).min_by(|&a, &b| rows[n][a].total_cmp(&rows[n][b]))?;
        let first = path.len();
        for e in (l..l + n).rev() {
            let way = |c: usize| {
                let before = u.checked_sub(self.units[c * t.servers + i])?;
                Some((self.node[c * t.servers + i] + rows[e - l][before], c, before))
            };
            let ways = (t.starts[e]..t.starts[e + 1]).filter_map(way);
            let (_, c, before) = ways.min_by(|a, b| a.0.total_cmp(&b.0))?;
            path.push((i as u32, (c - t.starts[e]) as u32));
            u = before;
        }
        path[first..].reverse();
        Some(())
    }
}

impl Program {
    fn new(costs: &Costs<'_>, order: Vec<usize>) -> Program {
        let n = order.len();
        let mut start = vec![f64::INFINITY; costs.t.layers + 1];
        start[0] = 0.0;
        let mut forth = vec![start];
        for (at, &i) in order.iter().enumerate() {
            let from = at.checked_sub(1).map(|at| order[at]);
            forth.push(costs.forward(&forth[at], from, i, |_, _| false));
        }
        let mut back = vec![costs.end(); n + 1];
        for at in (0..n).rev() {
            back[at] = costs.backward(&back[at + 1], order.get(at + 1).copied(), order[at]);
        }
        let cost = costs.join(&forth[0], None, &back[0], order.first().copied());
        let least = |l: usize| back.iter().map(|back| back[l]).fold(f64::INFINITY, f64::min);
        let rest = (0..=costs.t.layers).map(least).collect();
        Program { order, forth, back, rest, cost }
    }
}
