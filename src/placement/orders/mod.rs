//! Good assignments, quickly: a local search over the order in which servers are visited.
//!
//! An order of servers and a price of weight errors leave a shortest path: which layers each server runs, with which
//! bits, by a dynamic program over (place in the order, layer) on costs of runs (`costs`). What it costs, less what the
//! limits are worth at that price, is below every delay along the order; the largest of that at a few prices is what an
//! order is worth, and close to the best delay along it (`line`). So orders too short to keep the budget are seen to
//! be.
//!
//! With the program from both ends a change of an order is valued in about the length of its stretch: a server more,
//! less or another one, a server's memory divided between two places, blocks exchanged or reversed (`moves`). Four
//! walks go down by such changes from orders that a seeded generator shakes, each time only around the places that
//! changed. What is worth as much as the best delay gives a path at each price, whose bits are exchanged between layers
//! where that is faster or mends what is beyond a limit (`bits`).
//!
//! It proves nothing, and returns only what keeps every limit.

mod bits;
mod costs;
mod line;
mod moves;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};

use rayon::prelude::*;

use self::costs::{ALL, Costs, Part};
use self::line::{Line, Room};
use self::moves::Change;
use super::tables::Tables;
use crate::search::Clock;
use crate::workload::synthesis::RowRng;

/// Prices of weight errors at which orders are valued, as parts of those given.
const PRICES: [f64; 3] = [0.8, 1.1, 1.6];
/// Walks, each with a part of the steps.
const WALKS: usize = 4;
/// All of a server's memory, and the parts of it that an order may have.
const PARTS: [usize; 4] = [ALL, 8, 6, 4];
/// Values and delays up to so many times the best delay are worth a path, and exchanging its bits: values are a bit too
/// high where needs are rounded up.
const WORTH: f64 = 1.001;
const POLISHED: f64 = 1.02;
/// Operations for the runs of one price, and numbers kept of them, beyond which they would take too long or too much.
const LARGEST: (f64, f64) = (4e9, 1e7);
/// Times the prices, where nothing that keeps the budgets was found at lower ones; and how much of an order's value the
/// budgets together are worth at least, as they may bind only because bits are whole.
const RAISED: [(f64, f64); 3] = [(1.0, 0.0), (4.0, 0.05), (16.0, 0.5)];
/// An order shaken from may be worse than the best of its walk by this, relatively, at first; less and less later on.
const WORSE: f64 = 0.01;
/// Places at both ends of a change around which there may be others.
const AROUND: usize = 2;

/// Delay, and server and choice of each layer.
pub(super) type Best = Option<(f64, Vec<(u32, u32)>)>;

/// The fastest assignment found, and how many orders were shaken. `quality` are prices of weight errors and `busy` of
/// computing, by model and server, in seconds for a unit of the grid; `start` has the servers of some path. So many
/// orders are shaken, by a seed.
pub(super) fn search(
    t: &Tables,
    (quality, busy): (&[f64], &[f64]),
    start: &[usize],
    (seed, steps): (u64, usize),
    clock: &mut Clock,
    threads: bool,
) -> (Best, u64) {
    // Whole parts come first, and have the numbers of their servers.
    let part = |server: usize, share: usize| Part { server, share, cells: t.cells[server] * share / ALL };
    let parts: Vec<Part> =
        PARTS.iter().flat_map(|&share| (0..t.servers).map(move |server| part(server, share))).collect();
    let (operations, numbers) = costs::effort(t, &parts);
    if operations > LARGEST.0 || numbers > LARGEST.1 {
        return (None, 0);
    }
    let units = costs::units(t);
    let mut order: Vec<usize> = Vec::new();
    for &i in start {
        if !order.contains(&i) {
            order.push(i);
        }
    }
    let (mut shaken, mut value) = (0, 0.0);
    for (raised, least) in RAISED {
        let price = |(price, budget): (&f64, &f64)| {
            let least = if *budget > 0.0 { least * value / (budget * t.budget.len() as f64) } else { 0.0 };
            f64::max(raised * price, least)
        };
        let quality: Vec<f64> = quality.iter().zip(&t.budget).map(price).collect();
        let mut fan: Vec<Costs<'_>> = Vec::new();
        for factor in PRICES {
            if clock.look() {
                return (None, shaken);
            }
            let quality: Vec<f64> = quality.iter().map(|price| factor * price).collect();
            fan.push(Costs::new(t, (&quality, busy), &units, &parts, threads));
        }
        let first = descend(&fan, order.clone(), &order, &mut Room::default(), clock);
        let mut best = None;
        consider(&fan, &first, &mut best, &mut HashSet::new());
        let walk = |k: usize| {
            let rows = RowRng::new(seed * WALKS as u64 + k as u64, 0);
            walk(&fan, first.clone(), best.clone(), rows, steps.div_ceil(WALKS), &mut clock.clone())
        };
        let walks: Vec<(Best, u64)> =
            if threads { (0..WALKS).into_par_iter().map(walk).collect() } else { (0..WALKS).map(walk).collect() };
        shaken += walks.iter().map(|walk| walk.1).sum::<u64>();
        // The first of the fastest.
        let best = walks.into_iter().filter_map(|walk| walk.0).min_by(|a, b| a.0.total_cmp(&b.0));
        if best.is_some() {
            return (best, shaken);
        }
        value = if first.value.is_finite() { first.value.max(0.0) } else { 0.0 };
    }
    (None, shaken)
}

/// Shakes an order again and again.
fn walk(
    fan: &[Costs<'_>],
    mut at: Line,
    mut best: Best,
    mut rows: RowRng,
    steps: usize,
    clock: &mut Clock,
) -> (Best, u64) {
    let mut room = Room::default();
    let mut record = at.value;
    let mut considered = HashSet::new();
    for step in 0..steps {
        if clock.look() {
            return (best, step as u64);
        }
        let (order, changed) = shake(fan, &at.order, &mut rows);
        let other = descend(fan, order, &changed, &mut room, clock);
        consider(fan, &other, &mut best, &mut considered);
        record = record.min(other.value);
        let worse = WORSE * (1.0 - step as f64 / steps as f64);
        if other.value < at.value || other.value < record * (1.0 + worse) {
            at = other;
        }
    }
    (best, steps as u64)
}

/// Changes an order as long as that lowers its value: around some of its parts, and then around what changed.
fn descend(fan: &[Costs<'_>], order: Vec<usize>, around: &[usize], room: &mut Room, clock: &mut Clock) -> Line {
    let mut line = Line::new(fan, order);
    let mut queue: VecDeque<usize> = around.iter().copied().collect();
    let mut waits = vec![false; fan[0].parts.len()];
    queue.iter().for_each(|&i| waits[i] = true);
    while let Some(i) = queue.pop_front() {
        waits[i] = false;
        while !clock.look() {
            let mut change = Change::none(fan, &line, room);
            for at in (0..line.order.len()).filter(|&at| line.order[at] == i) {
                change.near(at);
                change.far(at);
                change.divided(at, &PARTS[1..]);
                change.whole(at);
            }
            let Some((a, b, middle)) = change.found() else { break };
            line.replace(fan, a, b, &middle);
            let (end, n) = (a + middle.len(), line.order.len());
            let (left, right) = (a.saturating_sub(AROUND)..a + AROUND, end.saturating_sub(AROUND)..end + AROUND);
            for at in left.chain(right).filter(|&at| at < n) {
                let i = line.order[at];
                if !waits[i] {
                    waits[i] = true;
                    queue.push_back(i);
                }
            }
        }
    }
    line
}

/// An order with two servers more, less, or one of each, and two neighbouring blocks exchanged; and the parts around
/// that.
fn shake(fan: &[Costs<'_>], order: &[usize], rows: &mut RowRng) -> (Vec<usize>, Vec<usize>) {
    let mut order = order.to_vec();
    let mut changed = Vec::new();
    let mut mark = |order: &[usize], at: usize| {
        for &i in &order[at.saturating_sub(1)..(at + 2).min(order.len())] {
            if !changed.contains(&i) {
                changed.push(i);
            }
        }
    };
    let d = rows.next_row();
    for k in 0..2 {
        if order.len() > 1 && d.below(k, 2) == 0 {
            let at = d.below(2 + k, order.len() as u64) as usize;
            order.remove(at);
            mark(&order, at);
        } else {
            let at = d.below(4 + k, order.len() as u64 + 1) as usize;
            let fitting: Vec<usize> = (0..fan[0].t.servers).filter(|&i| moves::fits(fan, &order, i)).collect();
            if !fitting.is_empty() {
                order.insert(at, fitting[d.below(2 + k, fitting.len() as u64) as usize]);
                mark(&order, at);
            }
        }
    }
    if order.len() > 2 {
        let d = rows.next_row();
        let mut cuts = [0, 1, 2].map(|k| d.below(k, order.len() as u64 + 1) as usize);
        cuts.sort_unstable();
        let [a, b, c] = cuts;
        order[a..c].rotate_left(b - a);
        [a, a + c - b, c].iter().for_each(|&at| mark(&order, at));
    }
    // A server that is gone is no longer in the order.
    changed.retain(|i| order.contains(i));
    (order, changed)
}

/// Keeps what an order gives, if it is feasible and faster, and if nothing of the same value was considered before: the
/// same orders are found again and again.
fn consider(fan: &[Costs<'_>], line: &Line, best: &mut Best, considered: &mut HashSet<u64>) {
    let t = fan[0].t;
    let fastest = best.as_ref().map_or(f64::INFINITY, |best| best.0);
    if line.value > fastest * WORTH || !considered.insert(line.value.to_bits()) {
        return;
    }
    for mut path in line.paths(fan) {
        let fastest = best.as_ref().map_or(f64::INFINITY, |best| best.0);
        if t.cost(&path).is_none_or(|cost| cost > fastest * POLISHED) {
            continue;
        }
        bits::exchange(t, &mut path);
        if let Some(cost) = t.cost(&path).filter(|&cost| cost < fastest && t.keeps_limits(&path)) {
            *best = Some((cost, path));
        }
    }
}
