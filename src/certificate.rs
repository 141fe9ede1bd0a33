//! What a solver returns: a batch, and a certificate that no batch is larger than a bound.
//!
//! A certificate can be checked without trusting the search: [`crate::verify`] does. Optimality is not a flag beside
//! it: a [`Solution`] is optimal exactly when its certificate proves the bound that its batch reaches.

use crate::bound::Multipliers;
use crate::device::Ran;

/// A batch and the proof of how good it is. Solutions are equal if all is but where they ran.
#[derive(Debug, Clone)]
pub struct Solution {
    /// Rows of the instance, ascending.
    pub rows: Vec<u32>,
    /// No feasible batch is larger than its bound.
    pub certificate: Certificate,
    /// What the search did.
    pub work: Work,
    /// Where it ran.
    pub ran: Ran,
}

/// How good a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No feasible batch is larger, and the certificate proves it.
    Optimal,
    /// The batch is feasible; no batch is larger than `bound`.
    Feasible {
        /// Proven upper bound on the size of any batch.
        bound: u64,
    },
}

impl PartialEq for Solution {
    fn eq(&self, other: &Solution) -> bool {
        let Solution { rows, certificate, work, ran: _ } = self;
        *rows == other.rows && *certificate == other.certificate && *work == other.work
    }
}

impl Solution {
    /// Whether the certificate proves the batch optimal.
    pub fn status(&self) -> Status {
        if self.certificate.bound == self.rows.len() as u64 {
            Status::Optimal
        } else {
            Status::Feasible { bound: self.certificate.bound }
        }
    }
}

/// A proof that no feasible batch is larger than `bound`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The bound proven.
    pub bound: u64,
    /// One section; or, where the batch is padded to its longest prompt, sections that cover all lengths of the longest
    /// prompt.
    pub sections: Vec<Section>,
}

/// The proof for one additive instance: every end d of a run of equal deadlines is covered or exhausted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The range of longest prompts that the section is about (see
    /// [`Instance::padded`](crate::instance::Instance::padded)); `None` where costs are additive anyway.
    pub padded: Option<(u32, u32)>,
    /// Deadlines for which a Lagrangian bound suffices.
    pub covered: Vec<Covered>,
    /// Deadlines for which a search found no batch of bound + 1 requests.
    pub exhausted: Vec<Exhausted>,
}

/// UB_λ(d) < bound + 1 for every run end d in first..=last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Covered {
    /// First d.
    pub first: u32,
    /// Last d.
    pub last: u32,
    /// λ.
    pub multipliers: Multipliers,
}

/// No batch of bound + 1 requests exists inside F_d under e_d. λ tells a checker which requests are worth branching on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// d.
    pub deadline_rank: u32,
    /// λ.
    pub multipliers: Multipliers,
}

/// Counters of a search; the same on every machine unless a time limit struck.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Linear programs solved, each with one bound pass over all requests.
    pub bound_passes: u64,
    /// Subproblems (z, d) opened.
    pub subproblems: u64,
    /// Nodes of the search tree visited.
    pub nodes: u64,
    /// Prefixes that large trees were cut into, to be walked at once.
    pub work_items: u64,
    /// Complete paths whose constraints were checked.
    pub paths_checked: u64,
    /// Of these, the ones that no direction of the radio settled.
    pub paths_open: u64,
    /// Whether a limit stopped the search.
    pub stopped: bool,
}

impl Work {
    /// Adds the counters of another part of the search.
    pub fn add(&mut self, other: &Work) {
        self.bound_passes += other.bound_passes;
        self.subproblems += other.subproblems;
        self.nodes += other.nodes;
        self.work_items += other.work_items;
        self.paths_checked += other.paths_checked;
        self.paths_open += other.paths_open;
        self.stopped |= other.stopped;
    }
}
