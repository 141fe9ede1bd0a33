//! Large instances in all the shapes that a pass over samples could be wrong about: ties, few kinds, heavy tails,
//! columns that say the same thing, budgets all alike, orders that mislead.

use dftsp::instance::{Capacity, Columns, Instance, MAX_SUM};

use super::Rng;

/// How the costs of requests are spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Costs {
    /// Whole numbers below six: nearly everything ties.
    Ties,
    /// A dozen kinds of requests, and many of each.
    FewKinds,
    /// Every cost anywhere, independently.
    Spread,
    /// Two of the four columns hold nothing but zeros.
    ZeroColumns,
    /// One column is a million times as scarce as the others.
    OneDominates,
    /// KV tokens, compute and downlink are multiples of one length.
    Collinear,
    /// From one to a million, evenly spread over magnitudes.
    Magnitudes,
    /// Most requests cost 1, one in a thousand costs a thousand times as much.
    HeavyTails,
    /// A cost in one resource is saved in the others, to within a unit.
    TradeOffs,
}

/// How deadlines are spread, as parts of the compute of all requests together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budgets {
    Equal,
    TwoValues,
    Spread,
    /// Most are alike, a few are far looser.
    HeavyTails,
    /// From 2⁰ to 2⁶², evenly spread over magnitudes.
    Magnitudes,
    /// Looser by little from one request to the next.
    Narrow,
    /// Never in the way.
    Ample,
}

/// How much there is of each resource, as parts of what all requests need together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Room {
    Ample,
    /// All three scarce alike.
    Tight,
    /// Enough for about a dozen requests.
    Dozen,
    /// Each drawn by itself, from nothing to everything.
    Mixed,
    /// Nothing at all: only requests that cost nothing can be served.
    Nothing,
}

/// The order in which requests are given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Order {
    AsDrawn,
    LoosestFirst,
    TightestFirst,
    CheapestFirst,
    DearestFirst,
    /// Blocks of eight rows in turn cheap and dear, in periods that even samples meet.
    Periodic,
}

/// A shape of an instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    pub rows: usize,
    pub costs: Costs,
    pub budgets: Budgets,
    pub room: Room,
    pub order: Order,
}

impl Shape {
    pub const COSTS: [Costs; 9] = [
        Costs::Ties,
        Costs::FewKinds,
        Costs::Spread,
        Costs::ZeroColumns,
        Costs::OneDominates,
        Costs::Collinear,
        Costs::Magnitudes,
        Costs::HeavyTails,
        Costs::TradeOffs,
    ];
    pub const BUDGETS: [Budgets; 7] = [
        Budgets::Equal,
        Budgets::TwoValues,
        Budgets::Spread,
        Budgets::HeavyTails,
        Budgets::Magnitudes,
        Budgets::Narrow,
        Budgets::Ample,
    ];
    pub const ROOMS: [Room; 5] = [Room::Ample, Room::Tight, Room::Dozen, Room::Mixed, Room::Nothing];
    pub const ORDERS: [Order; 6] = [
        Order::AsDrawn,
        Order::LoosestFirst,
        Order::TightestFirst,
        Order::CheapestFirst,
        Order::DearestFirst,
        Order::Periodic,
    ];

    /// An instance of this shape. Requests that cannot be served alone are dropped, so it may have fewer rows.
    pub fn instance(&self, rng: &mut Rng) -> Instance {
        let mut requests = self.costs(rng);
        fit(&mut requests);
        let total: [u64; 4] = std::array::from_fn(|r| requests.iter().map(|a| a[r]).sum());
        let budgets = self.budgets(rng, total[3]);
        let mut rows: Vec<([u64; 4], u64)> = requests.into_iter().zip(budgets).collect();
        let price = |a: &[u64; 4]| (0..4).map(|r| a[r] as f64 / total[r].max(1) as f64).sum::<f64>();
        match self.order {
            Order::AsDrawn => {}
            Order::LoosestFirst => rows.sort_by_key(|row| std::cmp::Reverse(row.1)),
            Order::TightestFirst => rows.sort_by_key(|row| row.1),
            Order::CheapestFirst => rows.sort_by(|a, b| price(&a.0).total_cmp(&price(&b.0))),
            Order::DearestFirst => rows.sort_by(|a, b| price(&b.0).total_cmp(&price(&a.0))),
            Order::Periodic => {
                rows.sort_by(|a, b| price(&a.0).total_cmp(&price(&b.0)));
                let (cheap, dear) = rows.split_at(rows.len() / 8);
                // One block of the cheapest, seven of the others.
                let mut blocks = (cheap.chunks(8), dear.chunks(56));
                let mut mixed = Vec::new();
                loop {
                    let (a, b) = (blocks.0.next(), blocks.1.next());
                    mixed.extend(a.into_iter().chain(b).flatten().copied());
                    if a.is_none() && b.is_none() {
                        break;
                    }
                }
                rows = mixed;
            }
        }
        let mut c = Columns::default();
        for (i, (cost, budget)) in rows.into_iter().enumerate() {
            c.request.push(i as u32);
            c.uplink.push(cost[0]);
            c.downlink.push(cost[1]);
            c.kv_tokens.push(cost[2]);
            c.compute.push(cost[3]);
            c.budget.push(budget);
            c.arrival.push(i as u32);
        }
        let room: [u64; 3] = std::array::from_fn(|r| self.room(rng, total[r]));
        Instance::new(c, Capacity { uplink: room[0], downlink: room[1], kv_tokens: room[2] }).unwrap()
    }

    fn costs(&self, rng: &mut Rng) -> Vec<[u64; 4]> {
        let kinds: Vec<[u64; 4]> = (0..12).map(|_| std::array::from_fn(|_| 1 + rng.below(1000))).collect();
        let zero: [usize; 2] = [rng.below(4) as usize, rng.below(4) as usize];
        let dominant = rng.below(4) as usize;
        let one = |i: usize, rng: &mut Rng| -> [u64; 4] {
            match self.costs {
                Costs::Ties => std::array::from_fn(|_| rng.below(6)),
                Costs::FewKinds => rng.pick(&kinds),
                Costs::Spread => std::array::from_fn(|_| 1 + rng.below(1 << 30)),
                Costs::ZeroColumns => {
                    std::array::from_fn(|r| if zero.contains(&r) { 0 } else { 1 + rng.below(1 << 20) })
                }
                Costs::OneDominates => {
                    std::array::from_fn(|r| (1 + rng.below(1000)) * if r == dominant { 1_000_000 } else { 1 })
                }
                Costs::Collinear => {
                    let length = 1 + rng.below(512);
                    [1 + rng.below(1 << 20), 7 * length, length, 12_345_678 * length]
                }
                Costs::Magnitudes => std::array::from_fn(|_| rng.magnitude(1.0, 1e6) as u64),
                Costs::HeavyTails => {
                    let scale = if rng.below(1000) == 0 { 1000 } else { 1 };
                    std::array::from_fn(|_| scale * (1 + rng.below(3) / 2))
                }
                Costs::TradeOffs => {
                    let share = rng.below(1001);
                    [share, 1000 - share, 500 + share / 2 + i as u64 % 2, 1000 - share / 2]
                }
            }
        };
        (0..self.rows).map(|i| one(i, rng)).collect()
    }

    fn budgets(&self, rng: &mut Rng, total: u64) -> Vec<u64> {
        let part = |share: f64| ((total as f64 * share) as u64).min(MAX_SUM - 1) + 1;
        let share = rng.magnitude(0.02, 0.8);
        let one = |rng: &mut Rng| match self.budgets {
            Budgets::Equal => part(share),
            Budgets::TwoValues => part(share * if rng.below(3) == 0 { 0.5 } else { 1.0 }),
            Budgets::Spread => part(2.0 * share * rng.unit()),
            Budgets::HeavyTails => part(share / (rng.unit() + 1e-3)),
            Budgets::Magnitudes => rng.magnitude(1.0, MAX_SUM as f64) as u64,
            Budgets::Narrow => part(share) + rng.below(1 + total / 10_000),
            Budgets::Ample => MAX_SUM,
        };
        (0..self.rows).map(|_| one(rng)).collect()
    }

    fn room(&self, rng: &mut Rng, total: u64) -> u64 {
        match self.room {
            Room::Ample => u64::MAX,
            Room::Tight => (total as f64 * 0.3) as u64,
            Room::Dozen => (total as f64 * 12.0 / self.rows as f64) as u64,
            Room::Mixed => rng.pick(&[0, total / 500, total / 20, total / 5, total / 2, total, u64::MAX]),
            Room::Nothing => 0,
        }
    }
}

/// Halves all costs of a column until its sum is within the bounds of an instance.
fn fit(requests: &mut [[u64; 4]]) {
    for r in 0..4 {
        let sum: u128 = requests.iter().map(|a| u128::from(a[r])).sum();
        let shift = (u128::BITS - sum.leading_zeros()).saturating_sub(62);
        requests.iter_mut().for_each(|a| a[r] >>= shift);
    }
}
