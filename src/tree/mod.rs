//! One subproblem (z, d) as a tree of counts: is there a batch of exactly z requests in F_d under e_d?
//!
//! In: the requests that a λ leaves undecided, the capacities that the decided ones leave, and how many are still
//! needed. Out: [`Tree`], plain tables that a backend walks; a path through it is a vector of counts, one per group.
//!
//! **Loss (section 3.3 of the design).** With multipliers λ let δ = λ·(U, W, K, e_d) + Σ_{i ≤ d} max(0, 1 − λ·a_i) − z.
//! For a feasible x of size z, the reduced costs r_i = 1 − λ·a_i that x goes against (r_i > 0 left out, r_i < 0 taken)
//! and λ times the capacity left over add up to δ. *Proof.* z = Σ x_i r_i + λ·Σ x_i a_i; subtract from UB. ∎ So no
//! batch exists if δ < 0; a request with |r_i| > δ goes the way its sign says; the others are *free*, and what they
//! lose together must fit in δ. δ is least for the λ of the subproblem's own linear program, and that matters: with the
//! λ of a neighbouring deadline, whose bound has the same integer part, trees were up to 10⁶ times larger.
//!
//! **Chains (3.5).** i *dominates* j if it needs no more of any resource. In a chain, totally ordered by dominance,
//! taking the first v is never worse than any other v of it: replacing j by an i that dominates it keeps the size, and
//! no constraint tightens (all of F_d has the same budget e_d here). So counts per chain decide everything: costs of a
//! count are exact, and a complete path that fits is a batch. On a shared channel requests of one output length are a
//! chain.
//!
//! **Classes (3.4).** Requests with the same KV tokens and compute form a class. For a path of counts (2d) and (2e) are
//! plain arithmetic, and the radio is a surrogate test: for a direction μ ≥ 0 let P_k(v) be the least μ·(uplink,
//! downlink) that v requests of class k need. If Σ_k P_k(v_k) > μ·(U, W), no choice of these counts fits. If for some μ
//! the v_k cheapest fit in both bands, they are a batch. A path that no direction settles is *open*, and is settled
//! exactly: by the chains within each class, with the counts of the classes given.
//!
//! **Floors.** Whatever groups k, k + 1, … contribute to a path, m requests of them lose at least what the m with the
//! largest r lose, and need at least the sum of the m cheapest, resource by resource.
//!
//! **Several λ.** Losses and δ are those of any λ, so a large tree counts them at a few at once (`lanes`), and a prefix
//! is dead if one of its budgets is overdrawn.
//!
//! Counts of a group are tried in the order of their loss, so that the first path is the relaxation's own; paths are
//! numbered in that order, and the lowest-numbered feasible one is the answer, on any backend.

mod build;
mod lanes;
mod radio;
mod walk;

pub(crate) use build::{Builder, Free};
#[cfg(feature = "cuda")]
#[cfg(feature = "cuda")]
pub(crate) use radio::{DIRECTIONS, SHARES};
pub(crate) use walk::{Item, Walk, Walked};

use crate::rank::RESOURCES;
pub(crate) use radio::Radio;

/// Requests that one count covers: a class or a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its first request; and, plus its number, the first entry of its tables.
    pub first: u32,
    pub entry: u32,
    /// How many requests it has.
    pub len: u32,
    /// Groups of one part share one count of needed requests.
    pub part: u32,
    /// First entry of its floors, or none.
    pub floor: Option<u32>,
}

/// What a count of a group means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its loss against the group's best count, at each λ.
    pub loss: [u64; LANES],
    /// What it needs: exactly in a chain; in a class the KV tokens and the compute exactly, and of the bands the least.
    pub cost: [u64; RESOURCES],
}

/// Losses are counted at so many λ: at the first alone, until a tree turns out large.
pub(crate) const LANES: usize = 8;
/// The budget of a lane that is not used.
const NO_BUDGET: u64 = u64::MAX >> 1;

/// The least loss, at the first λ, and the least costs of so many requests from a group on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floor {
    pub loss: u64,
    pub cost: [u64; RESOURCES],
}

/// See the module documentation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    pub groups: Vec<Group>,
    /// Count v of a group is entry `group.entry + v`.
    pub entries: Vec<Entry>,
    /// The counts of a group in the order in which they are tried, at the same places.
    pub order: Vec<u32>,
    pub floors: Vec<Floor>,
    /// How many requests each part needs, and the group after its last.
    pub needs: Vec<u32>,
    part_ends: Vec<u32>,
    /// What the decided requests leave.
    pub left: [u64; RESOURCES],
    /// The loss that a batch may have, at each λ.
    pub loss: [u64; LANES],
    /// The free requests, in the order of the groups, and in each in the order of dominance or reduced cost.
    free: Vec<Free>,
    /// Directions for the radio, if groups are classes.
    pub radio: Option<Radio>,
}

impl Tree {
    /// The number of levels: groups.
    pub fn levels(&self) -> usize {
        self.groups.len()
    }
}
