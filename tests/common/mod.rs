//! Random instances, and the oracle that everything is compared with.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod hard;
pub mod shapes;

use dftsp::instance::{Capacity, Columns, Instance};
use dftsp::scenario::{Padding, Scenario};
use dftsp::workload::synthesis::{Draws, RowRng};
use dftsp::workload::{Request, Requests};

/// Random numbers, a word at a time.
pub struct Rng {
    rows: RowRng,
    draws: Draws,
    word: usize,
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        let mut rows = RowRng::new(seed, 0);
        let draws = rows.next_row();
        Rng { rows, draws, word: 0 }
    }

    fn advance(&mut self) -> usize {
        if self.word == 8 {
            self.draws = self.rows.next_row();
            self.word = 0;
        }
        self.word += 1;
        self.word - 1
    }

    /// A number in 0..n.
    pub fn below(&mut self, n: u64) -> u64 {
        let word = self.advance();
        self.draws.below(word, n)
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        let word = self.advance();
        self.draws.unit(word)
    }

    /// A number between `low` and `high`, evenly spread over magnitudes.
    pub fn magnitude(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.unit())
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// The largest feasible batch, by looking at every subset.
pub fn largest_batch(instance: &Instance) -> usize {
    let n = instance.len();
    assert!(n <= 16, "2^{n} subsets are too many");
    if instance.pads_to_longest() {
        let subset = |mask: u32| (0..n as u32).filter(move |i| mask >> i & 1 == 1).collect::<Vec<u32>>();
        // From everything down to nothing: what is no larger than the best so far need not be looked at.
        let mut best = 0;
        for mask in (0..1u32 << n).rev() {
            if mask.count_ones() > best && instance.is_feasible(&subset(mask)) {
                best = mask.count_ones();
            }
        }
        return best as usize;
    }
    // The same by adding one request to a smaller subset.
    let mut usage = vec![(dftsp::instance::Usage::default(), u64::MAX); 1 << n];
    let mut best = 0;
    for mask in 1usize..1 << n {
        let (row, rest) = (mask.trailing_zeros() as usize, mask & (mask - 1));
        let (sum, budget) = usage[rest];
        usage[mask] = (sum.plus(instance.row(row)), budget.min(instance.columns().budget[row]));
        if instance.fits(usage[mask].0, usage[mask].1) {
            best = best.max(mask.count_ones() as usize);
        }
    }
    best
}

/// How the users of a random instance are alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Channel {
    Shared,
    Fading,
}

/// Integer columns with many ties and capacities from hopeless to ample.
pub fn random_instance(rng: &mut Rng, max_requests: u64, channel: Channel) -> Instance {
    let n = rng.below(max_requests + 1) as usize;
    let prompts: Vec<u64> = (0..1 + rng.below(4)).map(|_| 1 + rng.below(9)).collect();
    let outputs: Vec<u64> = (0..1 + rng.below(4)).map(|_| 1 + rng.below(9)).collect();
    let padded = *prompts.iter().max().unwrap();
    let spread = rng.pick(&[1, 2, 5, 1000]);
    let mut c = Columns::default();
    for i in 0..n {
        let (s, o) = (rng.pick(&prompts), rng.pick(&outputs));
        let (up, down) = match channel {
            Channel::Shared => (3, 2),
            Channel::Fading => (1 + rng.below(6), 1 + rng.below(6)),
        };
        c.request.push(i as u32);
        c.uplink.push(s * up);
        c.downlink.push(o * down);
        c.kv_tokens.push(padded + o);
        c.compute.push(5 * padded + o * o);
        c.budget.push(rng.below(spread) * (1 + rng.below(400 / spread + 1)));
        c.arrival.push(rng.below(n as u64) as u32);
    }
    // A scale far up in the range of u64 changes no decision.
    let scale = rng.pick(&[1, 1, 1 << 40]);
    for column in [&mut c.uplink, &mut c.downlink, &mut c.kv_tokens, &mut c.compute, &mut c.budget] {
        column.iter_mut().for_each(|x| *x *= scale);
    }
    let mut part = |column: &[u64]| {
        let total: u64 = column.iter().sum();
        rng.pick(&[0, total / 5, total / 3, total / 2, total, u64::MAX, total / 2 + 1])
    };
    let capacity = Capacity { uplink: part(&c.uplink), downlink: part(&c.downlink), kv_tokens: part(&c.kv_tokens) };
    Instance::new(c, capacity).unwrap()
}

/// A scenario and requests in physical units, with resources from scarce to ample.
pub fn random_epoch(rng: &mut Rng, max_requests: u64, channel: Channel, padding: Padding) -> (Scenario, Requests) {
    let n = rng.below(max_requests + 1);
    let mut s = Scenario::paper();
    s.padding = padding;
    s.radio.uplink_bandwidth_hz = rng.magnitude(3e2, 1e4) * (1.0 + n as f64);
    s.radio.downlink_bandwidth_hz = rng.magnitude(3e2, 1e4) * (1.0 + n as f64);
    s.node.memory_bytes = 2.36e9 + rng.magnitude(1e7, 1e9) * (1.0 + n as f64);
    s.node.compute_flops = rng.magnitude(5e11, 1e13) * (1.0 + n as f64);
    s.quantization.time_factor = rng.pick(&[1.0, 0.7]);
    let lengths: Vec<u32> = (0..1 + rng.below(5)).map(|_| 1 + rng.below(512) as u32).collect();
    let deadlines = [0.4, 0.75, 1.0, 1.0 + rng.unit(), 2.0];
    let gain = rng.magnitude(1e-13, 1e-10);
    let mut requests = Requests::new();
    for i in 0..n {
        let fade = if channel == Channel::Shared { 1.0 } else { rng.magnitude(0.05, 5.0) };
        let request = Request {
            deadline_s: rng.pick(&deadlines),
            waited_s: rng.pick(&[0.0, 0.0, 0.125]),
            max_perplexity_increase: rng.pick(&[0.0, 0.05, 1.0, 1.0, 1.0]),
            channel_power_gain: gain * fade,
            ..Request::new(rng.pick(&lengths), rng.pick(&lengths))
        };
        requests.push(&format!("r{i}"), request).unwrap();
    }
    (s, requests)
}
