//! A problem as the solver reads it: one chain of layers with additive costs and uses.
//!
//! Several models are one chain, with transitions between them that cost nothing. What is compared again and again is
//! on a grid, so that sums do not depend on their order: memory in bits, rounded up (exact unless a layer has a
//! fraction of a parameter or byte); weight errors, busy times and bytes sent in 2^-44 of their limit, to the nearest,
//! which is a thousandth of [`TOLERANCE`] for any number of layers. Delays stay floats.

use super::delay::{Communication, TOLERANCE};
use super::problem::{Problem, Seat};

/// A limit, in units of the grid.
const GRID: f64 = (1u64 << 44) as f64;

/// Resources of a server.
pub(super) const MEMORY: usize = 0;
pub(super) const BUSY: usize = 1;
pub(super) const SENT: usize = 2;

/// One choice of bits of a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub bits: u32,
    /// FLOP of all tokens, times f(b): seconds on a server of 1 FLOP/s.
    pub work: f64,
    /// Bits of memory.
    pub memory: f64,
    /// Grid units of the model's budget.
    pub quality: f64,
}

#[derive(Debug, Clone)]
pub(super) struct Tables {
    pub layers: usize,
    pub servers: usize,
    /// Kinds of server resources in play: 1 to 3, in the order of the constants above.
    pub kinds: usize,
    /// Choices of layer l: `choices[starts[l]..starts[l + 1]]`.
    pub choices: Vec<Choice>,
    pub starts: Vec<usize>,
    /// Whether delays count nothing: prices that are paid all the same prove that nothing is feasible.
    pub free: bool,
    /// The server that each layer must be on, if it is not free.
    pub fixed: Option<Vec<usize>>,
    /// Model of each layer.
    pub model: Vec<usize>,
    /// Bytes that cross after each layer; 0 after the last one of a model.
    pub bytes: Vec<f64>,
    /// Times that the latency is waited for after each layer; 0 after the last one of a model.
    pub crossings: Vec<f64>,
    /// Part of a crossing's time that a bound may count, for each model and server: the larger one of both ends. 1, or
    /// less where crossings of a pair are charged once: one over how often a pair can be crossed.
    pub share: Vec<f64>,
    pub communication: Communication,
    /// 1 / C of each server.
    pub slowness: Vec<f64>,
    /// Of each ordered pair; infinite without a link.
    pub latency: Vec<f64>,
    /// 1 / bandwidth of each ordered pair, 0 without a link or latency.
    pub per_byte: Vec<f64>,
    /// Capacity of each server and kind, `servers × kinds`, in grid units; infinite if not limited.
    pub capacity: Vec<f64>,
    /// Grid units a second of busy time, and a byte sent, of each server; 0 if not limited.
    pub per_second: Vec<f64>,
    pub per_sent: Vec<f64>,
    /// Cells of memory of each server, for bounds: `units` counts what a choice needs in them, rounded down (choice ×
    /// server). `stride` is one more than the largest.
    pub cells: Vec<usize>,
    pub units: Vec<u16>,
    pub stride: usize,
    /// Budget of each model in grid units.
    pub budget: Vec<f64>,
    /// What grid units of quality stand for in each model.
    pub quality_unit: Vec<f64>,
}

impl Tables {
    pub fn new(problem: &Problem, communication: Communication) -> Tables {
        let servers = problem.servers.len();
        let mut t = Tables {
            layers: problem.len(),
            servers,
            kinds: if problem.servers.iter().any(|s| s.max_sent_bytes.is_some()) {
                3
            } else if problem.servers.iter().any(|s| s.max_busy_s.is_some()) {
                2
            } else {
                1
            },
            choices: Vec::new(),
            starts: vec![0],
            free: false,
            fixed: None,
            model: Vec::new(),
            bytes: Vec::new(),
            crossings: Vec::new(),
            share: Vec::new(),
            communication,
            slowness: problem.servers.iter().map(|s| 1.0 / s.compute_flops).collect(),
            latency: vec![f64::INFINITY; servers * servers],
            per_byte: vec![0.0; servers * servers],
            capacity: Vec::new(),
            per_second: vec![0.0; servers],
            per_sent: vec![0.0; servers],
            cells: Vec::new(),
            units: Vec::new(),
            stride: 1,
            budget: Vec::new(),
            quality_unit: Vec::new(),
        };
        for link in &problem.links {
            let at = link.from * servers + link.to;
            (t.latency[at], t.per_byte[at]) = (link.latency_s, 1.0 / link.bandwidth_bytes_per_s);
        }
        for i in 0..servers {
            (t.latency[i * servers + i], t.per_byte[i * servers + i]) = (0.0, 0.0);
        }
        for (m, model) in problem.models.iter().enumerate() {
            // Whatever is not nothing is too much for a budget of 0.
            let errors = || model.layers.iter().flat_map(|l| &l.widths).map(|w| w.error).filter(|&e| e > 0.0);
            let unit = if model.budget > 0.0 { model.budget } else { errors().fold(1.0, f64::min) } / GRID;
            t.budget.push(if model.budget > 0.0 { (GRID * (1.0 + TOLERANCE)).floor() } else { 0.0 });
            t.quality_unit.push(unit);
            for (at, layer) in model.layers.iter().enumerate() {
                for w in &layer.widths {
                    t.choices.push(Choice {
                        bits: w.bits,
                        work: model.passes() * layer.flops_per_token * problem.time_factor(w.bits),
                        memory: (8.0 * layer.memory_bytes(w.bits, model.held_tokens())).ceil(),
                        quality: snap(w.error, unit),
                    });
                }
                t.starts.push(t.choices.len());
                t.model.push(m);
                let crosses = at + 1 < model.layers.len();
                t.bytes.push(if crosses { model.passes() * layer.activation_bytes } else { 0.0 });
                t.crossings.push(if crosses { f64::from(model.output_tokens) } else { 0.0 });
            }
        }
        t.capacities(problem);
        t.divide();
        t.share = match communication {
            Communication::Chain => vec![1.0; t.budget.len() * servers],
            Communication::Paper => t.shares(),
        };
        t
    }

    /// One over how often a pair of servers can be crossed in a model, for each end: at most after every second layer,
    /// and each time before or after another layer that is there.
    fn shares(&self) -> Vec<f64> {
        let mut shares = Vec::with_capacity(self.budget.len() * self.servers);
        for m in 0..self.budget.len() {
            let layers = (0..self.layers).filter(|&l| self.model[l] == m);
            let mut needs: Vec<f64> =
                layers.map(|l| self.choices(l).iter().map(|c| c.memory).fold(f64::INFINITY, f64::min)).collect();
            needs.sort_by(f64::total_cmp);
            let often = (needs.len() / 2).max(1);
            for i in 0..self.servers {
                let mut left = self.capacity[i * self.kinds + MEMORY];
                let fit = needs.iter().take_while(|need| {
                    left -= **need;
                    left >= 0.0
                });
                shares.push(1.0 / fit.count().clamp(1, often) as f64);
            }
        }
        shares
    }

    /// The part of a crossing's time that a bound may count after layer l.
    pub fn share(&self, l: usize, from: usize, to: usize) -> f64 {
        let own = &self.share[self.model[l] * self.servers..];
        own[from].max(own[to])
    }

    /// Divides memories into cells. Where all needs are multiples of something large enough, nothing is lost.
    fn divide(&mut self) {
        /// Numbers that all passes together may go through, and that may be kept.
        const PASS: usize = 4_000_000;
        const KEPT: usize = 12_000_000;
        let (l, s) = (self.layers, self.servers);
        let fits = (PASS / (self.choices.len() * s)).min(KEPT / (l * s * s)).clamp(4, 192);
        // Whole numbers below 2^53, as floats.
        let largest = self.capacity.iter().step_by(self.kinds).copied().fold(0.0, f64::max);
        let needs = self.choices.iter().map(|c| c.memory).filter(|&m| m <= largest);
        let common = needs.fold(0, |a, m| gcd(a, m as u64)).max(1);
        let capacity: Vec<u64> = self.capacity.iter().step_by(self.kinds).map(|&c| c as u64).collect();
        self.cells =
            capacity.iter().map(|&c| usize::try_from(c / common).map_or(fits, |exact| exact.min(fits))).collect();
        let exact: Vec<bool> = capacity.iter().map(|&c| c / common <= fits as u64).collect();
        self.stride = 1 + self.cells.iter().copied().max().unwrap_or(0);
        for c in &self.choices {
            for i in 0..s {
                let need = c.memory as u64;
                self.units.push(if c.memory > capacity[i] as f64 {
                    u16::MAX
                } else if exact[i] {
                    (need / common) as u16
                } else {
                    (u128::from(need) * self.cells[i] as u128 / u128::from(capacity[i])) as u16
                });
            }
        }
        for i in 0..s {
            if exact[i] {
                // What no needs can fill is not there.
                self.capacity[i * self.kinds + MEMORY] = (capacity[i] / common * common) as f64;
            }
        }
    }

    /// Cells that a server with so many bits left has at most.
    pub fn cells_left(&self, server: usize, left: f64) -> usize {
        let capacity = self.capacity[server * self.kinds + MEMORY];
        let cells = self.cells[server];
        if capacity > 0.0 { ((left / capacity * cells as f64 + 1e-6) as usize).min(cells) } else { 0 }
    }

    fn capacities(&mut self, problem: &Problem) {
        // No server needs more than all layers together.
        let widest = |l: usize| self.choices(l).iter().map(|c| c.memory).fold(0.0, f64::max);
        let all: f64 = (0..self.layers).map(widest).sum();
        for (i, s) in problem.servers.iter().enumerate() {
            // Whole bits, as what layers need is.
            let mut row =
                [(8.0 * s.memory_bytes * (1.0 + TOLERANCE)).floor().min(all.max(1.0)), f64::INFINITY, f64::INFINITY];
            for (kind, limit, per) in
                [(BUSY, s.max_busy_s, &mut self.per_second), (SENT, s.max_sent_bytes, &mut self.per_sent)]
            {
                if let Some(limit) = limit {
                    row[kind] = if limit > 0.0 { (GRID * (1.0 + TOLERANCE)).floor() } else { 0.0 };
                    // Whatever is not nothing is too much for a limit of 0.
                    per[i] = if limit > 0.0 { GRID / limit } else { 1e30 };
                }
            }
            self.capacity.extend(&row[..self.kinds]);
        }
    }

    /// The choices of a layer.
    pub fn choices(&self, l: usize) -> &[Choice] {
        &self.choices[self.starts[l]..self.starts[l + 1]]
    }

    /// Seconds of a choice on a server.
    pub fn seconds(&self, choice: &Choice, server: usize) -> f64 {
        choice.work * self.slowness[server]
    }

    /// Seconds from a server to the next after layer l; infinite without a link.
    pub fn transfer(&self, l: usize, from: usize, to: usize) -> f64 {
        if self.model_ends(l) {
            return 0.0;
        }
        let at = from * self.servers + to;
        if self.latency[at].is_infinite() {
            return f64::INFINITY;
        }
        self.crossings[l] * self.latency[at] + self.bytes[l] * self.per_byte[at]
    }

    /// The part of it that a bound may count.
    pub fn shared_transfer(&self, l: usize, from: usize, to: usize) -> f64 {
        let seconds = self.transfer(l, from, to);
        if self.free && seconds.is_finite() { 0.0 } else { self.share(l, from, to) * seconds }
    }

    /// Whether a layer is the last of its model.
    pub fn model_ends(&self, l: usize) -> bool {
        l + 1 == self.layers || self.model[l + 1] != self.model[l]
    }

    /// Busy time in grid units.
    pub fn busy(&self, seconds: f64, server: usize) -> f64 {
        (seconds * self.per_second[server]).round()
    }

    /// Bytes sent after layer l, in grid units.
    pub fn sent(&self, l: usize, server: usize) -> f64 {
        (self.bytes[l] * self.per_sent[server]).round()
    }

    /// Delay of a path (server and choice of each layer); none without a link that it needs.
    pub fn cost(&self, path: &[(u32, u32)]) -> Option<f64> {
        let mut cost = 0.0;
        // Paper form: what the model's pairs were charged so far.
        let mut charged: Vec<((u32, u32), f64)> = Vec::new();
        for (l, &(i, w)) in path.iter().enumerate() {
            cost += self.seconds(&self.choices(l)[w as usize], i as usize);
            if self.model_ends(l) {
                charged.clear();
                continue;
            }
            let j = path[l + 1].0;
            let crossing = self.transfer(l, i as usize, j as usize);
            if crossing.is_infinite() {
                return None;
            }
            match (self.communication, charged.iter_mut().find(|c| c.0 == (i, j))) {
                (Communication::Paper, Some(before)) => {
                    cost += (crossing - before.1).max(0.0);
                    before.1 = before.1.max(crossing);
                }
                _ => {
                    cost += crossing;
                    charged.push(((i, j), crossing));
                }
            }
        }
        Some(cost)
    }

    /// Whether a path keeps the budgets of weight errors.
    pub fn within_budgets(&self, path: &[(u32, u32)]) -> bool {
        let mut used = vec![0.0; self.budget.len()];
        path.iter().enumerate().for_each(|(l, &(_, w))| used[self.model[l]] += self.choices(l)[w as usize].quality);
        used.iter().zip(&self.budget).all(|(used, limit)| used <= limit)
    }

    /// Whether a path keeps all limits.
    pub fn keeps_limits(&self, path: &[(u32, u32)]) -> bool {
        let mut used = vec![0.0; self.servers * self.kinds];
        for (l, &(i, w)) in path.iter().enumerate() {
            let (i, c) = (i as usize, &self.choices(l)[w as usize]);
            used[i * self.kinds + MEMORY] += c.memory;
            if self.kinds > BUSY {
                used[i * self.kinds + BUSY] += self.busy(self.seconds(c, i), i);
            }
            if self.kinds > SENT && !self.model_ends(l) && path[l + 1].0 as usize != i {
                used[i * self.kinds + SENT] += self.sent(l, i);
            }
        }
        self.within_budgets(path) && used.iter().zip(&self.capacity).all(|(used, limit)| used <= limit)
    }

    /// A seat of layer l.
    pub fn seat(&self, l: usize, server: usize, choice: usize) -> Seat {
        Seat { server, bits: self.choices(l)[choice].bits }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// In units, to the nearest.
fn snap(x: f64, unit: f64) -> f64 {
    (x / unit).round()
}
