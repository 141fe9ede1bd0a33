//! Presets: the paper's models, precisions, node and radio, and a few models and nodes of today.
//!
//! Sources: "the paper" is Zhang et al., arXiv 2405.07140, Tables I and II and section IV. Dimensions of the other
//! models are those of their published configurations; figures of other nodes are from the maker's data sheet (dense
//! 16-bit FLOP/s).

use super::{Assumption, Epoch, Model, Node, Padding, Quantization, Radio};

/// One row of the model table.
type ModelRow = (&'static str, u32, u32, u32, u32, u32, u32, bool);

/// Name, L, d_m, n_h, key-value heads, d_h, d_f, gated.
const MODELS: [ModelRow; 13] = [
    ("bloom-3b", 30, 2560, 32, 32, 80, 10240, false),
    ("bloom-7.1b", 30, 4096, 32, 32, 128, 16384, false),
    ("opt-350m", 24, 1024, 16, 16, 64, 4096, false),
    ("opt-13b", 40, 5120, 40, 40, 128, 20480, false),
    ("opt-30b", 48, 7168, 56, 56, 128, 28672, false),
    ("opt-66b", 64, 9216, 72, 72, 128, 36864, false),
    ("bloom-176b", 70, 14336, 112, 112, 128, 57344, false),
    ("llama-3.1-8b", 32, 4096, 32, 8, 128, 14336, true),
    ("llama-3.1-70b", 80, 8192, 64, 8, 128, 28672, true),
    ("mistral-7b", 32, 4096, 32, 8, 128, 14336, true),
    ("qwen2.5-7b", 28, 3584, 28, 4, 128, 18944, true),
    ("qwen2.5-32b", 64, 5120, 40, 8, 128, 27648, true),
    ("qwen2.5-72b", 80, 8192, 64, 8, 128, 29568, true),
];

/// Names of the model presets.
pub fn model_names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|row| row.0)
}

/// A model by its preset name.
pub fn model(name: &str) -> Option<Model> {
    let &(name, layers, hidden_size, heads, kv_heads, head_dim, ffn_size, gated_ffn) =
        MODELS.iter().find(|row| row.0 == name)?;
    Some(Model { name: name.to_string(), layers, hidden_size, heads, kv_heads, head_dim, ffn_size, gated_ffn })
}

/// Names of the quantisation presets.
pub const QUANTIZATIONS: [&str; 4] = ["fp16", "w8a16", "w4a16-gptq", "w4a16-zq-local"];

/// A number of a preset, and whether the paper gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    /// The number.
    pub value: f64,
    /// Why it is an assumption, if it is one.
    pub assumed: Option<&'static str>,
}

/// A quantisation preset. ΔPPL depends on the model and is missing where neither the paper nor a definition gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizationPreset {
    /// Preset name.
    pub name: &'static str,
    /// α.
    pub memory_factor: Value,
    /// β.
    pub time_factor: Value,
    /// ΔPPL for the model asked about.
    pub perplexity_increase: Option<Value>,
}

impl QuantizationPreset {
    /// The quantisation and its assumptions, if ΔPPL is known for the model.
    pub fn complete(&self) -> Option<(Quantization, Vec<Assumption>)> {
        let perplexity = self.perplexity_increase?;
        let quantization = Quantization {
            name: self.name.to_string(),
            memory_factor: self.memory_factor.value,
            time_factor: self.time_factor.value,
            perplexity_increase: perplexity.value,
            note: None,
        };
        let named = [("time_factor", self.time_factor), ("perplexity_increase", perplexity)];
        Some((quantization, named.iter().filter_map(|(key, value)| self.assumption(key, value)).collect()))
    }

    /// The assumption behind one value, worded for the user.
    pub fn assumption(&self, key: &str, value: &Value) -> Option<Assumption> {
        let why = value.assumed?;
        Some(Assumption(format!("quantization.{key} = {} (preset {}): {why}", value.value, self.name)))
    }
}

/// A quantisation by its preset name, with Table II's ΔPPL for `model` (a preset name; any other has none).
pub fn quantization(name: &str, model: &str) -> Option<QuantizationPreset> {
    const BETA: &str = "the paper gives no β; weight-only quantisation computes in 16 bits, so no speed-up is assumed";
    const W8: &str = "the paper gives no ΔPPL for 8-bit weights";
    let given = |value| Value { value, assumed: None };
    let beta = Value { value: 1.0, assumed: Some(BETA) };
    // Table II: ΔPPL of BLOOM-3B, BLOOM-7.1B, OPT-13B.
    let table2 = |row: [f64; 3]| {
        let models = ["bloom-3b", "bloom-7.1b", "opt-13b"];
        models.iter().position(|m| *m == model).map(|at| given(row[at]))
    };
    let name = *QUANTIZATIONS.iter().find(|q| **q == name)?;
    let (memory_factor, time_factor, perplexity_increase) = match name {
        "fp16" => (given(1.0), given(1.0), Some(given(0.0))),
        "w8a16" => (given(0.5), beta, Some(Value { value: 0.05, assumed: Some(W8) })),
        "w4a16-gptq" => (given(0.25), beta, table2([0.75, 0.54, 0.20])),
        _ => (given(0.25), beta, table2([0.92, 0.59, 0.42])),
    };
    Some(QuantizationPreset { name, memory_factor, time_factor, perplexity_increase })
}

/// Names of the node presets.
pub const NODES: [&str; 2] = ["jetson-tx2-x20", "nvidia-l4"];

/// A node by its preset name.
pub fn node(name: &str) -> Option<Node> {
    match name {
        "jetson-tx2-x20" => Some(paper_node()),
        // Data sheet: 242 TFLOP/s of 16-bit tensor throughput with sparsity, half of it dense; 24 GB.
        "nvidia-l4" => Some(Node { compute_flops: 121e12, memory_bytes: 24e9 }),
        _ => None,
    }
}

/// What a node preset takes for granted, worded for the user.
pub fn node_assumption(name: &str) -> Option<Assumption> {
    let text = match name {
        "nvidia-l4" => "the data sheet's peak; P1 counts FLOP only, and engines reach a part of the peak",
        _ => return None,
    };
    let flops = node(name)?.compute_flops;
    Some(Assumption(format!("node.compute_flops = {flops:e} (preset {name}): {text}")))
}

/// Section IV: 20 Jetson TX2 of 1.33 TFLOP/s and 32 GB.
pub fn paper_node() -> Node {
    Node { compute_flops: 26.6e12, memory_bytes: 640e9 }
}

/// Section IV: 20 MHz each way, −174 dBm/Hz, 43 dBm down.
pub fn paper_radio() -> Radio {
    Radio {
        uplink_bandwidth_hz: 20e6,
        downlink_bandwidth_hz: 20e6,
        noise_density_dbm_per_hz: -174.0,
        downlink_power_dbm: 43.0,
        bits_per_token: 16,
    }
}

/// Section IV: epochs of 2 s with slots of 250 ms.
pub fn paper_epoch() -> Epoch {
    Epoch { duration_s: 2.0, uplink_slot_s: 0.25, downlink_slot_s: 0.25 }
}

/// Section IV: prompts padded to the longest class.
pub const PAPER_PADDING: Padding = Padding::Fixed(512);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_two_is_complete_for_the_papers_models_only() {
        let perplexity = |q, m| quantization(q, m).unwrap().perplexity_increase.map(|v| v.value);
        let models = ["bloom-3b", "bloom-7.1b", "opt-13b"];
        assert_eq!(models.map(|m| perplexity("w4a16-gptq", m)), [0.75, 0.54, 0.20].map(Some));
        assert_eq!(models.map(|m| perplexity("w4a16-zq-local", m)), [0.92, 0.59, 0.42].map(Some));
        assert_eq!(perplexity("w4a16-gptq", "qwen2.5-7b"), None);
        assert!(quantization("w3a16", "bloom-3b").is_none());
    }

    #[test]
    fn every_listed_name_is_a_preset() {
        assert!(model_names().all(|name| model(name).is_some()) && model("bloom").is_none());
        assert!(NODES.iter().all(|name| node(name).is_some()) && node("x").is_none());
        assert!(QUANTIZATIONS.iter().all(|name| quantization(name, "bloom-3b").is_some()));
    }
}
