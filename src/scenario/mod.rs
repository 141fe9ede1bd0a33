//! The edge node and its surroundings: model, quantisation, node, radio, epoch and padding.
//!
//! In: presets, a scenario file (TOML, in `file`) or plain construction. Out: a [`Scenario`] whose numbers all lie in
//! the ranges of [`crate::limits`], together with the list of what had to be assumed because the paper does not give
//! it.

#[cfg(feature = "files")]
pub mod file;
#[cfg(feature = "files")]
pub mod model_config;
pub mod preset;
#[cfg(feature = "files")]
mod table;

use crate::error::{Place, Result};
use crate::limits::{self, Range};
use crate::workload::synthesis::Synthesis;

/// Dimensions of a decoder-only transformer (Table I of the paper).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Name for reports.
    pub name: String,
    /// Layers L.
    pub layers: u32,
    /// Hidden size d_m.
    pub hidden_size: u32,
    /// Attention heads n_h.
    pub heads: u32,
    /// Key-value heads: n_h in the paper's models, fewer with grouped-query attention.
    pub kv_heads: u32,
    /// Size of a head d_h.
    pub head_dim: u32,
    /// Feed-forward size d_f.
    pub ffn_size: u32,
    /// Whether the feed-forward layer is gated (three matrices instead of two).
    pub gated_ffn: bool,
}

/// A precision on offer, and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantization {
    /// Name for reports.
    pub name: String,
    /// α: memory relative to 16 bits.
    pub memory_factor: f64,
    /// β: computation time relative to 16 bits.
    pub time_factor: f64,
    /// ΔPPL.
    pub perplexity_increase: f64,
}

/// Compute and memory of the edge node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// C, FLOP/s.
    pub compute_flops: f64,
    /// M, bytes.
    pub memory_bytes: f64,
}

/// The shared band of each direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Radio {
    /// B^U, Hz.
    pub uplink_bandwidth_hz: f64,
    /// B^D, Hz.
    pub downlink_bandwidth_hz: f64,
    /// Noise power density, dBm/Hz; N0 is this times the band of the direction.
    pub noise_density_dbm_per_hz: f64,
    /// p^D, dBm.
    pub downlink_power_dbm: f64,
    /// Bits that carry one token.
    pub bits_per_token: u32,
}

/// The slots of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// Length of the epoch, seconds.
    pub duration_s: f64,
    /// T_U, seconds.
    pub uplink_slot_s: f64,
    /// T_D, seconds.
    pub downlink_slot_s: f64,
}

/// What a prompt is padded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// s' is this constant (the paper); longer prompts are rejected.
    Fixed(u32),
    /// s' is the longest prompt of the batch.
    Longest,
    /// Each request is charged its own s_i: engines with ragged batches.
    None,
}

/// Something that the paper leaves open and a preset fills in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assumption(pub String);

/// Everything but the requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The model served.
    pub model: Model,
    /// Its precision.
    pub quantization: Quantization,
    /// The edge node.
    pub node: Node,
    /// The radio.
    pub radio: Radio,
    /// The epoch.
    pub epoch: Epoch,
    /// Padding of prompts.
    pub padding: Padding,
    /// Distributions for what a trace lacks.
    pub synthesis: Synthesis,
    /// What was assumed.
    pub assumptions: Vec<Assumption>,
}

impl Scenario {
    /// The paper's section IV: BLOOM-3B at W8A16 on 20 Jetson TX2, 20 MHz each way, epochs of 2 s, prompts padded to
    /// 512.
    pub fn paper() -> Self {
        let model = preset::model("bloom-3b").unwrap_or_else(|| unreachable!("bloom-3b is in the preset table"));
        let (quantization, assumptions) = preset::quantization("w8a16", &model.name)
            .and_then(|p| p.complete())
            .unwrap_or_else(|| unreachable!("w8a16 has every value"));
        Scenario {
            model,
            quantization,
            node: preset::paper_node(),
            radio: preset::paper_radio(),
            epoch: preset::paper_epoch(),
            padding: preset::PAPER_PADDING,
            synthesis: Synthesis::default(),
            assumptions,
        }
    }

    /// Checks every number against [`limits`], for scenarios built in code. Scenario files are checked with their
    /// lines.
    ///
    /// # Errors
    /// The first number out of range.
    pub fn check(&self) -> Result<()> {
        let (m, q, n, r, e) = (&self.model, &self.quantization, &self.node, &self.radio, &self.epoch);
        let padded = match self.padding {
            Padding::Fixed(tokens) => f64::from(tokens),
            Padding::Longest | Padding::None => limits::TOKENS.min,
        };
        let numbers: [(&str, f64, &Range); 20] = [
            ("model.layers", f64::from(m.layers), &limits::LAYERS),
            ("model.hidden_size", f64::from(m.hidden_size), &limits::DIMENSION),
            ("model.heads", f64::from(m.heads), &limits::HEADS),
            ("model.kv_heads", f64::from(m.kv_heads), &limits::HEADS),
            ("model.head_dim", f64::from(m.head_dim), &limits::HEADS),
            ("model.ffn_size", f64::from(m.ffn_size), &limits::DIMENSION),
            ("quantization.memory_factor", q.memory_factor, &limits::FACTOR),
            ("quantization.time_factor", q.time_factor, &limits::FACTOR),
            ("quantization.perplexity_increase", q.perplexity_increase, &limits::PERPLEXITY),
            ("node.compute_flops", n.compute_flops, &limits::COMPUTE),
            ("node.memory_bytes", n.memory_bytes, &limits::MEMORY),
            ("radio.uplink_bandwidth_hz", r.uplink_bandwidth_hz, &limits::BANDWIDTH),
            ("radio.downlink_bandwidth_hz", r.downlink_bandwidth_hz, &limits::BANDWIDTH),
            ("radio.noise_density_dbm_per_hz", r.noise_density_dbm_per_hz, &limits::NOISE),
            ("radio.downlink_power_dbm", r.downlink_power_dbm, &limits::POWER),
            ("radio.bits_per_token", f64::from(r.bits_per_token), &limits::BITS),
            ("epoch.duration_s", e.duration_s, &limits::SLOT),
            ("epoch.uplink_slot_s", e.uplink_slot_s, &limits::SLOT),
            ("epoch.downlink_slot_s", e.downlink_slot_s, &limits::SLOT),
            ("batching.padded_prompt_tokens", padded, &limits::TOKENS),
        ];
        for (name, value, range) in numbers {
            range.check(value, || Place::file("scenario").field(name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_scenario_is_valid_and_says_what_it_assumes() {
        let s = Scenario::paper();
        s.check().unwrap();
        let text: Vec<&str> = s.assumptions.iter().map(|a| a.0.as_str()).collect();
        assert!(text.iter().any(|t| t.contains("time_factor")), "{text:?}");
        assert!(text.iter().any(|t| t.contains("perplexity_increase")), "{text:?}");
    }

    #[test]
    fn a_number_out_of_range_is_named() {
        let mut s = Scenario::paper();
        s.node.memory_bytes = f64::NAN;
        assert!(s.check().unwrap_err().to_string().contains("node.memory_bytes"));
    }
}
