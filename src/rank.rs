//! The rows of an additive instance sorted by deadline: F_d is a prefix.
//!
//! Rank 0 has the largest deadline budget; equal budgets keep the order of the rows. Subproblem (z, d) asks for a batch
//! of size z inside F_d, the first d ranks, under the budget e_d of rank d − 1. Among equal budgets only the last d
//! matters: its F_d holds the others' and its budget is theirs.

use crate::instance::{Instance, Usage};

/// The number of resources: uplink, downlink, KV tokens, compute.
pub const RESOURCES: usize = 4;
/// Index of compute among the resources; the others have fixed capacities.
pub const COMPUTE: usize = 3;

/// An additive instance by rank.
#[derive(Debug, Clone, Default)]
pub struct Ranked {
    /// Instance row of each rank.
    rows: Vec<u32>,
    /// Cost of each rank: uplink, downlink, KV tokens, compute.
    cost: [Vec<u64>; RESOURCES],
    /// Deadline budget of each rank, descending.
    budget: Vec<u64>,
    /// Capacities of all resources but compute.
    capacity: [u64; COMPUTE],
    /// The values of d that end a run of equal budgets, ascending.
    run_ends: Vec<u32>,
}

impl Ranked {
    /// Sorts `instance`, which must have additive costs (see [`Instance::padded`]).
    pub fn new(instance: &Instance) -> Self {
        let c = instance.columns();
        let mut rows: Vec<u32> = (0..instance.len() as u32).collect();
        rows.sort_by(|&a, &b| c.budget[b as usize].cmp(&c.budget[a as usize]));
        let gather = |column: &[u64]| rows.iter().map(|&row| column[row as usize]).collect::<Vec<u64>>();
        let budget = gather(&c.budget);
        let ends = (1..=budget.len()).filter(|&d| d == budget.len() || budget[d] != budget[d - 1]);
        let run_ends = ends.map(|d| d as u32).collect();
        let cost = [gather(&c.uplink), gather(&c.downlink), gather(&c.kv_tokens), gather(&c.compute)];
        let capacity = instance.capacity();
        let capacity = [capacity.uplink, capacity.downlink, capacity.kv_tokens];
        Ranked { cost, budget, capacity, run_ends, rows }
    }

    /// The number of ranks.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The costs of a rank.
    #[inline]
    pub fn cost(&self, rank: usize) -> [u64; RESOURCES] {
        [self.cost[0][rank], self.cost[1][rank], self.cost[2][rank], self.cost[3][rank]]
    }

    /// The deadline budget of a rank.
    #[inline]
    pub fn budget(&self, rank: usize) -> u64 {
        self.budget[rank]
    }

    /// The capacities of subproblem d: the fixed ones and e_d. `d` is at least 1.
    pub fn capacities(&self, d: usize) -> [u64; RESOURCES] {
        [self.capacity[0], self.capacity[1], self.capacity[2], self.budget[d - 1]]
    }

    /// The fixed capacities: uplink, downlink, KV tokens.
    pub fn fixed_capacities(&self) -> [u64; COMPUTE] {
        self.capacity
    }

    /// The values of d worth a subproblem: the ends of runs of equal budgets, ascending.
    pub fn run_ends(&self) -> &[u32] {
        &self.run_ends
    }

    /// The instance rows of some ranks, ascending.
    pub fn rows(&self, ranks: &[u32]) -> Vec<u32> {
        let mut rows: Vec<u32> = ranks.iter().map(|&rank| self.rows[rank as usize]).collect();
        rows.sort_unstable();
        rows
    }
}

/// What is left of each resource as a batch grows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left(pub(crate) [u64; RESOURCES]);

impl Left {
    /// Whether `cost` still fits.
    #[inline]
    pub(crate) fn fits(&self, cost: &[u64; RESOURCES]) -> bool {
        (0..RESOURCES).all(|r| cost[r] <= self.0[r])
    }

    /// Takes `cost`, which must fit.
    #[inline]
    pub(crate) fn take(&mut self, cost: &[u64; RESOURCES]) {
        (0..RESOURCES).for_each(|r| self.0[r] -= cost[r]);
    }

    /// Gives `cost` back.
    #[inline]
    pub(crate) fn give(&mut self, cost: &[u64; RESOURCES]) {
        (0..RESOURCES).for_each(|r| self.0[r] += cost[r]);
    }
}

impl From<Usage> for [u64; RESOURCES] {
    fn from(u: Usage) -> Self {
        [u.uplink, u.downlink, u.kv_tokens, u.compute]
    }
}
