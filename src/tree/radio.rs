//! The surrogate test for the radio: directions μ ≥ 0 in which requests of a class are sorted, once and not before they
//! are needed: the first decides most paths.

use std::sync::{LazyLock, OnceLock};

use super::Tree;

/// Directions: evenly spread from the uplink alone to the downlink alone.
pub(crate) const DIRECTIONS: usize = 33;

/// The shares of uplink and downlink in each direction, from the middle outwards: balanced directions decide most.
pub(crate) static SHARES: LazyLock<[[f64; 2]; DIRECTIONS]> = LazyLock::new(|| {
    const MIDDLE: usize = DIRECTIONS / 2;
    std::array::from_fn(|at| {
        let at = if at % 2 == 0 { MIDDLE + at / 2 } else { MIDDLE - at.div_ceil(2) };
        let angle = std::f64::consts::FRAC_PI_2 * at as f64 / (DIRECTIONS - 1) as f64;
        [libm::cos(angle).max(0.0), libm::sin(angle).max(0.0)]
    })
});

/// What v requests of a class need at least in one direction, and what those v need of both bands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cheapest {
    pub price: u64,
    pub bands: [u64; 2],
}

/// The tables of all directions.
#[derive(Debug, Clone)]
pub(crate) struct Radio {
    /// Weights of uplink and downlink in each direction.
    directions: Vec<[u64; 2]>,
    /// μ·(U, W) for what is left of the bands.
    pub limits: Vec<u64>,
    /// For each, what the entries `group.entry + v` need.
    tables: Vec<OnceLock<Vec<Cheapest>>>,
}

/// What the directions say of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No choice of these counts fits.
    Dead,
    /// The cheapest in this direction fit.
    Fits(usize),
    /// No direction tells.
    Open,
}

/// Prices are in units of 2^-SHIFT of the weights' product: small enough to add up any number of them.
const SHIFT: u32 = 30;

impl Radio {
    /// The directions of `tree`, all of whose classes are there.
    pub fn new(tree: &Tree) -> Self {
        let mut radio = Radio { directions: Vec::new(), limits: Vec::new(), tables: Vec::new() };
        // A band with room for all counts as if they filled it: weights are then those of what is needed.
        let all = tree.free.iter().fold([0, 0], |sum, f| [sum[0] + f.cost[0], sum[1] + f.cost[1]]);
        let room = [tree.left[0].min(all[0]), tree.left[1].min(all[1])];
        for share in SHARES.iter() {
            // As parts of what is left; below 2⁶⁰ whatever the angle.
            let weight: [u64; 2] =
                std::array::from_fn(|r| (share[r] * (1u64 << 60) as f64 / (room[r] as f64 + 1.0)) as u64);
            radio.directions.push(weight);
            radio.limits.push(price(weight, [tree.left[0], tree.left[1]]));
            radio.tables.push(OnceLock::new());
        }
        radio
    }

    /// What the entries of the tree need in a direction.
    pub fn table(&self, tree: &Tree, direction: usize) -> &[Cheapest] {
        self.tables[direction].get_or_init(|| {
            let mut table = Vec::with_capacity(tree.entries.len());
            for group in &tree.groups {
                let (mut sum, mut bands) = (0, [0, 0]);
                table.push(Cheapest { price: 0, bands });
                for (price, at) in cheapest_first(tree, *group, self.directions[direction]) {
                    let cost = tree.free[at as usize].cost;
                    sum += price;
                    bands = [bands[0] + cost[0], bands[1] + cost[1]];
                    table.push(Cheapest { price: sum, bands });
                }
            }
            table
        })
    }

    /// Tests a path of counts.
    pub(super) fn test(&self, tree: &Tree, counts: &[u32]) -> Verdict {
        for (j, &limit) in self.limits.iter().enumerate() {
            let table = self.table(tree, j);
            let (mut sum, mut bands) = (0, [0, 0]);
            for (group, &count) in tree.groups.iter().zip(counts) {
                let least = table[(group.entry + count) as usize];
                sum += least.price;
                bands = [bands[0] + least.bands[0], bands[1] + least.bands[1]];
            }
            if sum > limit {
                return Verdict::Dead;
            }
            if bands[0] <= tree.left[0] && bands[1] <= tree.left[1] {
                return Verdict::Fits(j);
            }
        }
        Verdict::Open
    }

    /// The rows of the batch of a path that fits in a direction.
    pub fn rows(&self, tree: &Tree, counts: &[u32], direction: usize, rows: &mut Vec<u32>) {
        for (group, &count) in tree.groups.iter().zip(counts) {
            let order = cheapest_first(tree, *group, self.directions[direction]);
            rows.extend(order.into_iter().take(count as usize).map(|(_, at)| tree.free[at as usize].row));
        }
    }
}

/// μ·(uplink, downlink), rounded down: a sum of such prices is at most that of the sum.
fn price(weight: [u64; 2], bands: [u64; 2]) -> u64 {
    let exact = u128::from(weight[0]) * u128::from(bands[0]) + u128::from(weight[1]) * u128::from(bands[1]);
    (exact >> SHIFT) as u64
}

/// The requests of a class by price, with it; ties in their order.
fn cheapest_first(tree: &Tree, group: super::Group, weight: [u64; 2]) -> Vec<(u64, u32)> {
    let priced = |at: u32| {
        let cost = tree.free[at as usize].cost;
        (price(weight, [cost[0], cost[1]]), at)
    };
    let mut order: Vec<(u64, u32)> = (group.first..group.first + group.len).map(priced).collect();
    order.sort_unstable();
    order
}
