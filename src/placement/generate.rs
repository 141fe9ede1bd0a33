//! Seeded placement problems: heterogeneous servers, layers of a transformer, memory and quality that bind.
//!
//! Weight errors are **synthetic**: they fall about fourfold with every two bits, as a uniform quantiser's do, with a
//! factor of its own for each layer. So is the curve of the perplexity against them.

use super::curve::Curve;
use super::problem::{Layer, Link, Model, Problem, Server, Width};
use crate::limits::MAX_WIDTH;
use crate::workload::synthesis::{Draws, RowRng};

/// What to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Same seed, same problem.
    pub seed: u64,
    /// Decoder layers; embedding and head come on top if `ends`.
    pub layers: usize,
    /// Servers.
    pub servers: usize,
    /// Widths on offer, ascending.
    pub widths: Vec<u32>,
    /// Hidden size of the model.
    pub hidden: u32,
    /// Whether embedding and head are layers too.
    pub ends: bool,
    /// Memory of all servers together, in bytes a parameter; 0.7 is 5.6 bits.
    pub memory: f64,
    /// Budget of the weight error, as a part of the way from the least that all layers can have to what they have at
    /// their narrowest.
    pub quality: f64,
    /// Whether some servers have computation and communication capacities.
    pub capacities: bool,
    /// FLOP/s of a typical server. At 1e11, an edge CPU, computation and links take about as long; the faster, the more
    /// of the delay is links.
    pub speed: f64,
    /// Part of the ordered pairs of servers that have no link.
    pub missing: f64,
}

impl Spec {
    /// OPT-350m (24 layers, hidden size 1024) on 5 servers with widths 2, 3, 4, 8, 16 and 32; memory and quality bind.
    pub fn opt_350m(seed: u64) -> Self {
        Spec {
            seed,
            layers: 24,
            servers: 5,
            widths: vec![2, 3, 4, 8, 16, 32],
            hidden: 1024,
            ends: false,
            memory: 0.75,
            quality: 0.2,
            capacities: false,
            speed: 1e11,
            missing: 0.0,
        }
    }

    /// The same for any number of layers and servers.
    pub fn sized(seed: u64, layers: usize, servers: usize) -> Self {
        Spec { layers, servers, ..Spec::opt_350m(seed) }
    }
}

/// Rows of random words: one of the model, one for each server, layer and pair of servers.
fn row(seed: u64, kind: u64, index: usize) -> Draws {
    RowRng::new(seed, (kind << 32) + index as u64).next_row()
}

/// The problem of a spec.
pub fn problem(spec: &Spec) -> Problem {
    let hidden = f64::from(spec.hidden);
    // Four attention matrices and two of a feed-forward block four times as wide.
    let parameters = 12.0 * hidden * hidden;
    let mut layers = Vec::new();
    let widths = |index: usize, scale: f64| -> Vec<Width> {
        let own = scale * row(spec.seed, 2, index).uniform(0, (0.5, 1.5));
        spec.widths.iter().map(|&bits| Width { bits, error: weight_error(bits, own) }).collect()
    };
    let layer = |name: String, parameters: f64, flops: f64, kv: f64, widths| Layer {
        name,
        parameters,
        flops_per_token: flops,
        activation_bytes: 2.0 * hidden,
        kv_bytes_per_token: kv,
        widths,
    };
    let vocabulary = 50_272.0;
    if spec.ends {
        layers.push(layer("embedding".into(), vocabulary * hidden, 0.0, 0.0, widths(spec.layers, 0.5)));
    }
    for l in 0..spec.layers {
        layers.push(layer(format!("decoder.{l}"), parameters, 2.0 * parameters, 4.0 * hidden, widths(l, 1.0)));
    }
    if spec.ends {
        let flops = 2.0 * vocabulary * hidden;
        layers.push(layer("head".into(), vocabulary * hidden, flops, 0.0, widths(spec.layers + 1, 0.5)));
    }
    let all: f64 = layers.iter().map(|l| l.parameters).sum();
    let (mut least, mut most) = (0.0, 0.0);
    for l in &layers {
        least += l.widths.iter().map(|w| w.error).fold(f64::INFINITY, f64::min);
        most += l.widths.iter().map(|w| w.error).fold(0.0, f64::max);
    }
    let budget = round(least + spec.quality * (most - least));
    let perplexity = perplexity(most);
    let model = Model {
        name: String::new(),
        prompt_tokens: 128,
        output_tokens: 64,
        held_requests: 1,
        budget,
        perplexity,
        layers,
    };
    let servers = servers(spec, all, &model);
    let mut links = Vec::new();
    for from in 0..spec.servers {
        for to in (0..spec.servers).filter(|&to| to != from) {
            let d = row(spec.seed, 3, from * spec.servers + to);
            if d.unit(0) >= spec.missing {
                let bandwidth = round(1e7 * 10f64.powi(d.below(1, 2) as i32) * d.uniform(2, (1.0, 10.0)));
                let latency = round(1e-3 * d.uniform(3, (0.2, 5.0)));
                links.push(Link { from, to, bandwidth_bytes_per_s: bandwidth, latency_s: latency });
            }
        }
    }
    let mut time_factors = [1.0; MAX_WIDTH as usize + 1];
    for (bits, factor) in time_factors.iter_mut().enumerate() {
        *factor = match bits {
            0 => 1.0,
            1..=4 => 0.6,
            5..=8 => 0.8,
            9..=16 => 1.0,
            _ => 1.6,
        };
    }
    let note = Some(format!("synthetic weight errors and ΔPPL curve (seed {})", spec.seed));
    Problem { models: vec![model], servers, links, time_factors, note }
}

fn servers(spec: &Spec, parameters: f64, model: &Model) -> Vec<Server> {
    let draws: Vec<Draws> = (0..spec.servers).map(|i| row(spec.seed, 1, i)).collect();
    let shares: Vec<f64> = draws.iter().map(|d| d.uniform(0, (0.5, 1.5))).collect();
    let sum: f64 = shares.iter().sum();
    let kv: f64 = model.layers.iter().map(|l| l.kv_bytes_per_token * model.held_tokens()).sum();
    let flops: f64 = model.layers.iter().map(|l| l.flops_per_token).sum::<f64>() * model.passes();
    let sent = model.passes() * model.layers[0].activation_bytes;
    let one = |(i, (d, share)): (usize, (&Draws, &f64))| {
        // Fast ones are small, slow ones large: otherwise there is little to decide.
        let rate = round(spec.speed * d.uniform(1, (0.5, 4.0)) / share);
        let busy = flops / rate * d.uniform(3, (0.2, 0.6));
        Server {
            name: format!("edge-{i}"),
            compute_flops: rate,
            memory_bytes: round((spec.memory * parameters + kv) * share / sum).max(1.0),
            max_busy_s: (spec.capacities && d.unit(2) < 0.5).then(|| round(busy)),
            max_sent_bytes: (spec.capacities && d.unit(4) < 0.5).then(|| round(sent * (1.0 + d.below(5, 2) as f64))),
        }
    };
    draws.iter().zip(&shares).enumerate().map(one).collect()
}

/// Falls with 2^−b, as the step of a uniform quantiser does.
fn weight_error(bits: u32, scale: f64) -> f64 {
    round(scale * 0.9 * libm::exp2(2.0 - f64::from(bits)))
}

/// A synthetic curve: ΔPPL against the error as a part of the most there can be. At 8, 4, 3 and 2 bits everywhere the
/// part is about 1/64, 1/4, 1/2 and 1, and ΔPPL what is often reported of small models: next to nothing, half a point,
/// a few points, useless.
fn perplexity(most: f64) -> Option<Curve> {
    const POINTS: [(f64, f64); 5] = [(0.0, 0.0), (1.0 / 64.0, 0.05), (0.25, 0.5), (0.5, 2.0), (1.01, 20.0)];
    Curve::new(POINTS.map(|(part, increase)| (round(part * most), increase)).to_vec()).ok()
}

/// Four digits, so that files stay short.
fn round(x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let unit = libm::pow(10.0, libm::floor(libm::log10(x)) - 3.0);
    (x / unit).round() * unit
}
