//! One subproblem (z, d): which requests its λ leaves free, and the search of their tree.
//!
//! In: the condensed instance, a deadline of it, a size, and the λ of its linear program. Out: a batch of that size, or
//! that there is none ([`tree`](crate::tree) has the lemmas).

use std::time::Duration;

use super::Clock;
use crate::backend::Backend;
use crate::bound::Multipliers;
use crate::bound::condense::{Condensed, Segment};
use crate::bound::view::View;
use crate::certificate::Work;
use crate::rank::{Left, RESOURCES};
use crate::tree::{Builder, Free, Item, Tree, Walk, Walked};

/// How a leaf ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// A batch of the size asked for, as rows, ascending.
    Batch(Vec<u32>),
    /// There is none.
    Empty,
    /// A limit was reached.
    Stopped,
}

/// Memory that is reused from one leaf to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leaves {
    builder: Builder,
    free: Vec<Free>,
    taken: Vec<u32>,
    listed: Vec<u32>,
}

/// What a λ leaves of a subproblem.
enum Gathered {
    /// What is taken for certain leaves so much of each resource, and a batch may lose so much.
    Free([u64; RESOURCES], u64),
    /// There is no batch.
    Empty,
    /// A limit was reached.
    Stopped,
}

/// Of more free requests than `MANY`, first only so many are searched, the nearest to λ, the others as λ would have
/// them: a batch is usually among those.
const NEAREST: [usize; 3] = [256, 64, 128];
const MANY: usize = 256;
/// Nodes of such a search.
const NEARBY: u64 = 200_000;
/// Nodes of a tree before it is cut into work items.
const ALONE: u64 = 2000;
/// Work items aimed at, on any number of threads: their numbers are the same everywhere.
const ITEMS: usize = 256;
/// Bytes that a free request takes in the tables of a tree, about.
const BYTES_PER_FREE: u64 = 2048;
/// Without a memory limit, larger trees are not built all the same: what leaves so many requests undecided is beyond a
/// search.
const MAX_TREE_BYTES: u64 = 1 << 30;
/// Time to build the tables of a free request; generous.
const BUILD_NANOSECONDS: u64 = 10_000;

/// A subproblem to search.
pub(crate) struct Subproblem<'a> {
    pub view: &'a View<'a>,
    pub condensed: &'a Condensed,
    pub segment: &'a Segment,
    /// The least budget of its requests.
    pub least: u64,
    pub size: u64,
    pub multipliers: &'a Multipliers,
    /// Bytes that its tables may take.
    pub memory: Option<u64>,
}

impl Leaves {
    /// Searches a subproblem.
    pub fn search(&mut self, sub: &Subproblem<'_>, backend: &dyn Backend, clock: &mut Clock, work: &mut Work) -> Leaf {
        work.subproblems += 1;
        let (left, loss) = match self.gather(sub, backend, clock) {
            Gathered::Free(left, loss) => (left, loss),
            Gathered::Empty => return Leaf::Empty,
            Gathered::Stopped => return Leaf::Stopped,
        };
        let Some(need) = (sub.size as usize).checked_sub(self.taken.len()) else { return Leaf::Empty };
        for count in NEAREST {
            if self.free.len() > count.max(MANY)
                && let Some(rows) = self.search_nearest(count, (need, left, loss), sub.multipliers, clock, work)
            {
                return Leaf::Batch(rows);
            }
        }
        let free = self.free.len() as u64;
        let limit = sub.memory.unwrap_or(MAX_TREE_BYTES);
        // Building cannot be interrupted.
        if free * BYTES_PER_FREE > limit || !clock.allows(Duration::from_nanos(free * BUILD_NANOSECONDS)) {
            return Leaf::Stopped;
        }
        let free = std::mem::take(&mut self.free);
        self.search_tree(free, need, left, loss, sub.multipliers, backend, clock, work)
    }

    /// Fills in the free requests and those taken for certain.
    fn gather(&mut self, sub: &Subproblem<'_>, backend: &dyn Backend, clock: &Clock) -> Gathered {
        let Leaves { free, taken, listed, .. } = self;
        free.clear();
        taken.clear();
        let (m, one) = (sub.multipliers, sub.multipliers.one());
        let capacity = sub.condensed.capacities(sub.segment);
        let bound = sub.condensed.exact_bound(m, sub.segment);
        // Both sides are below 2¹²⁸: see [`Multipliers`].
        let Some(mut budget) = bound.checked_sub(u128::from(sub.size) << m.one_bits()) else { return Gathered::Empty };
        let mut left = Left(capacity);
        // Only what still fits beside the certain ones is free; this cannot be known before all are seen.
        let mut fits = true;
        let mut found: Vec<(u32, [u64; RESOURCES], i128)> = Vec::new();
        let mut keep = |row: u32, cost: [u64; RESOURCES]| {
            let price = m.price(&cost);
            let gain = one as i128 - price as i128;
            if gain.unsigned_abs() <= budget {
                found.push((row, cost, gain));
            } else if gain > 0 {
                fits &= left.fits(&cost);
                if fits {
                    left.take(&cost);
                    taken.push(row);
                }
            }
        };
        let (view, condensed) = (sub.view, sub.condensed);
        if condensed.is_whole() {
            let end = sub.segment.core_end as usize;
            let before = condensed.index[..end].iter().zip(&condensed.cost);
            before.for_each(|(&index, &cost)| keep(view.row(index), cost));
        } else if backend.priced(view, condensed.priced(m, budget), sub.least, listed, clock) {
            listed.iter().for_each(|&index| keep(view.row(index), view.cost(index as usize)));
        } else {
            return Gathered::Stopped;
        }
        if !fits {
            return Gathered::Empty;
        }
        // What no longer fits stays out, at its loss.
        for (_, cost, gain) in &found {
            if !left.fits(cost) && *gain > 0 {
                match budget.checked_sub(gain.unsigned_abs()) {
                    Some(rest) => budget = rest,
                    None => return Gathered::Empty,
                }
            }
        }
        // Losses in units small enough to add up: rounded down, and the budget up.
        let bits = u128::BITS - budget.leading_zeros();
        let count_bits = usize::BITS - found.len().leading_zeros();
        // Each is at most the budget, and so many of them add up to less than 2⁶².
        let shift = m.one_bits().saturating_sub(40).max((bits + count_bits).saturating_sub(61));
        free.extend(found.into_iter().filter(|(_, cost, _)| left.fits(cost)).map(|(row, cost, gain)| {
            let size = (gain.unsigned_abs() >> shift) as i64;
            Free { row, cost, gain: if gain < 0 { -size } else { size } }
        }));
        Gathered::Free(left.0, (budget >> shift) as u64 + 1)
    }

    /// Searches the `count` requests nearest to λ only: briefly, and then with floors and more λ. Finds a batch or
    /// nothing.
    fn search_nearest(
        &mut self,
        count: usize,
        (need, left, loss): (usize, [u64; RESOURCES], u64),
        m: &Multipliers,
        clock: &Clock,
        work: &mut Work,
    ) -> Option<Vec<u32>> {
        let mut near = self.free.clone();
        near.select_nth_unstable_by_key(count, |f| (f.gain.unsigned_abs(), f.row));
        let mut room = Left(left);
        let certain = self.taken.len();
        let mut fits = true;
        for f in near[count..].iter().filter(|f| f.gain > 0) {
            fits &= room.fits(&f.cost);
            if fits {
                room.take(&f.cost);
                self.taken.push(f.row);
            }
        }
        near.truncate(count);
        let mut end = Leaf::Empty;
        if let (true, Some(need)) = (fits, need.checked_sub(self.taken.len() - certain)) {
            let mut tree = self.builder.build(near, need as u32, room.0, loss);
            end = self.alone(&tree, work);
            if end == Leaf::Stopped {
                self.builder.add_floors(&mut tree);
                let mut walk = Walk::default();
                if let (true, Some(root)) = (tree.add_lanes(m.to_real()), Item::root(&tree)) {
                    let stop = |nodes: u64| nodes > NEARBY || nodes.is_multiple_of(1024) && clock.over();
                    end = self.leaf(tree.walk(&root, &mut walk, stop));
                }
                work.nodes += walk.nodes;
                work.paths_checked += walk.paths;
                work.paths_open += walk.open;
            }
        }
        self.taken.truncate(certain);
        match end {
            Leaf::Batch(rows) => Some(rows),
            Leaf::Empty | Leaf::Stopped => None,
        }
    }

    /// Walks a tree for a while.
    fn alone(&self, tree: &Tree, work: &mut Work) -> Leaf {
        let Some(root) = Item::root(tree) else { return Leaf::Empty };
        let mut walk = Walk::default();
        let end = tree.walk(&root, &mut walk, |nodes| nodes > ALONE);
        count(work, &walk);
        self.leaf(end)
    }

    fn leaf(&self, end: Walked) -> Leaf {
        match end {
            Walked::Batch(mut rows) => {
                rows.extend_from_slice(&self.taken);
                rows.sort_unstable();
                Leaf::Batch(rows)
            }
            Walked::Empty => Leaf::Empty,
            Walked::Stopped => Leaf::Stopped,
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of a subproblem")]
    fn search_tree(
        &mut self,
        free: Vec<Free>,
        need: usize,
        left: [u64; RESOURCES],
        loss: u64,
        m: &Multipliers,
        backend: &dyn Backend,
        clock: &mut Clock,
        work: &mut Work,
    ) -> Leaf {
        let mut tree = self.builder.build(free, need as u32, left, loss);
        let first = self.alone(&tree, work);
        if first != Leaf::Stopped {
            return first;
        }
        self.builder.add_floors(&mut tree);
        if !tree.add_lanes(m.to_real()) {
            return Leaf::Empty;
        }
        let mut walk = Walk::default();
        let mut items: Vec<Item> = Item::root(&tree).into_iter().collect();
        // Level by level, until there are enough: their order is that of the paths below them, however deep they are.
        for _ in 0..tree.levels() {
            if items.len() >= ITEMS || !items.iter().any(|item| item.divisible(&tree)) {
                break;
            }
            let mut next = Vec::with_capacity(2 * items.len());
            for (at, item) in items.iter().enumerate() {
                let enough = next.len() + (items.len() - at) >= 4 * ITEMS || clock.look();
                if enough || !item.divisible(&tree) {
                    next.push(item.clone());
                } else {
                    next.extend(item.expand(&tree, &mut walk));
                }
            }
            items = next;
        }
        work.work_items += items.len() as u64;
        count(work, &walk);
        let (end, walk) = backend.walk(&tree, &items, clock);
        count(work, &walk);
        self.leaf(end)
    }
}

fn count(work: &mut Work, walk: &Walk) {
    work.nodes += walk.nodes;
    work.paths_checked += walk.paths;
    work.paths_open += walk.open;
}
