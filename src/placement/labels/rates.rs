//! Prices of a context: what runs pay for the memory that is left, and how much weight errors are.

use std::sync::Arc;

use crate::placement::prices::{Reduced, SHAPES, part};
use crate::placement::tables::{MEMORY, Tables};

/// Factors on the root's prices of weight errors that ways are known for.
pub(super) const FACTORS: [f64; 11] = [0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.16, 1.22, 1.3, 1.4];
/// Prices of a server's memory: of all that is used, and of each of the [`SHAPES`] of a run.
pub(super) const KINDS: usize = 1 + SHAPES.len();

/// Prices of what a context leaves: seconds for the whole of what is left of each server's memory, and a factor on the
/// root's prices of weight errors. Those of computing and sending are the root's.
#[derive(Debug, Clone)]
pub(super) struct Rates {
    pub memory: Vec<[f64; KINDS]>,
    /// Not one of the [`FACTORS`], but the nearest one counts.
    pub continuous: f64,
}

impl Rates {
    pub fn of(t: &Tables, r: &Reduced) -> Rates {
        let one = |i: usize| {
            let mut rates = [r.prices.server[i * t.kinds + MEMORY]; KINDS];
            rates[1..].copy_from_slice(&r.prices.runs[i * SHAPES.len()..][..SHAPES.len()]);
            rates
        };
        Rates { memory: (0..t.servers).map(one).collect(), continuous: 1.0 }
    }

    /// What all that is left of a server is worth.
    pub fn worth(&self, server: usize) -> f64 {
        self.memory[server].iter().sum()
    }

    /// The factor on the root's prices of weight errors.
    pub fn factor(&self) -> f64 {
        FACTORS[self.nearest()]
    }

    /// Which of the factors that is.
    pub fn nearest(&self) -> usize {
        let far = |f: usize| (FACTORS[f] - self.continuous).abs();
        (0..FACTORS.len()).min_by(|&a, &b| far(a).total_cmp(&far(b))).unwrap_or(0)
    }

    /// How many numbers it holds.
    pub fn numbers(&self) -> usize {
        KINDS * self.memory.len() + 1
    }
}

/// A server that runs may begin on, with what is left of it.
pub(super) struct Open {
    pub server: usize,
    pub cells: usize,
    pub parts: Parts,
}

/// For each price, the parts of so many cells that a run counts as that takes some of them.
pub(super) type Parts = Arc<[Vec<f64>; KINDS]>;

pub(super) fn parts(cells: usize) -> Parts {
    let mut parts: [Vec<f64>; KINDS] = Default::default();
    parts[0] = (0..=cells).map(|used| used as f64 / cells.max(1) as f64).collect();
    for (parts, k) in parts[1..].iter_mut().zip(SHAPES) {
        *parts = (0..=cells).map(|used| part(k, used, cells)).collect();
    }
    Arc::new(parts)
}

impl Open {
    pub fn new(server: usize, cells: usize, parts: Parts) -> Open {
        Open { server, cells, parts }
    }

    /// What runs pay that take so many cells.
    pub fn prices(&self, rates: &Rates) -> Vec<f64> {
        let mut prices = vec![0.0; self.cells + 1];
        for (rate, parts) in rates.memory[self.server].iter().zip(self.parts.iter()) {
            prices.iter_mut().zip(parts).for_each(|(price, part)| *price += rate * part);
        }
        prices
    }
}
