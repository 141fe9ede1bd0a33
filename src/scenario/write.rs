//! The scenario file of a scenario.

use std::fmt::Write as _;

use super::preset;
use super::{Model, Padding, Quantization, Scenario};
use crate::workload::arrivals::{Arrivals, Process, TokenLengths};
use crate::workload::synthesis::{ChannelModel, Fading, Synthesis};

/// Lines with comments to the right.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, text: String, comment: &str) {
        let out = &mut self.0;
        // Writing to a String cannot fail.
        let _ = if comment.is_empty() { writeln!(out, "{text}") } else { writeln!(out, "{text:<42} # {comment}") };
    }
}

/// The scenario as a file that [`parse`](super::file::parse) reads back, with every key explained.
pub fn to_toml(s: &Scenario) -> String {
    let (n, r, e) = (&s.node, &s.radio, &s.epoch);
    let lines = &mut Lines::default();
    lines.add("[model]".to_string(), &one_line(&s.model.name));
    model_keys(lines, &s.model);
    lines.add("\n[quantization]".to_string(), &one_line(&s.quantization.name));
    quantization_keys(lines, &s.quantization, &s.model);
    lines.add("\n[node]".to_string(), "");
    lines.add(format!("compute_flops = {:?}", n.compute_flops), "C, FLOP/s");
    lines.add(format!("memory_bytes = {:?}", n.memory_bytes), "M, bytes");
    lines.add("\n[radio]".to_string(), "");
    lines.add(format!("uplink_bandwidth_hz = {:?}", r.uplink_bandwidth_hz), "B^U");
    lines.add(format!("downlink_bandwidth_hz = {:?}", r.downlink_bandwidth_hz), "B^D");
    lines.add(format!("noise_density_dbm_per_hz = {:?}", r.noise_density_dbm_per_hz), "N0 is this times the band");
    lines.add(format!("downlink_power_dbm = {:?}", r.downlink_power_dbm), "p^D");
    lines.add(format!("bits_per_token = {}", r.bits_per_token), "");
    lines.add("\n[epoch]".to_string(), "");
    lines.add(format!("duration_s = {:?}", e.duration_s), "how often a batch is chosen");
    lines.add(format!("uplink_slot_s = {:?}", e.uplink_slot_s), "T_U");
    lines.add(format!("downlink_slot_s = {:?}", e.downlink_slot_s), "T_D");
    lines.add("\n[batching]".to_string(), "");
    batching_keys(lines, s.padding);
    synthesis_tables(lines, &s.synthesis);
    arrivals_table(lines, &s.arrivals);
    for service in &s.services {
        lines.add("\n[[service]]".to_string(), "a further model on the node");
        lines.add(format!("name = {}", quoted(&service.name)), "");
        lines.add(format!("share = {:?}", service.share), "of all requests");
        lines.add("[service.model]".to_string(), &one_line(&service.model.name));
        model_keys(lines, &service.model);
        lines.add("[service.quantization]".to_string(), &one_line(&service.quantization.name));
        quantization_keys(lines, &service.quantization, &service.model);
        lines.add("[service.batching]".to_string(), "");
        batching_keys(lines, service.padding);
    }
    std::mem::take(&mut lines.0)
}

fn model_keys(lines: &mut Lines, m: &Model) {
    if preset::model(&m.name).as_ref() == Some(m) {
        lines.add(format!("preset = {:?}", m.name), "the keys below are those of the preset");
    }
    lines.add(format!("layers = {}", m.layers), "L");
    lines.add(format!("hidden_size = {}", m.hidden_size), "d_m");
    lines.add(format!("heads = {}", m.heads), "n_h");
    lines.add(format!("kv_heads = {}", m.kv_heads), "fewer than heads with grouped-query attention");
    lines.add(format!("head_dim = {}", m.head_dim), "d_h");
    lines.add(format!("ffn_size = {}", m.ffn_size), "d_f");
    lines.add(format!("gated_ffn = {}", m.gated_ffn), "three feed-forward matrices instead of two");
}

fn quantization_keys(lines: &mut Lines, q: &Quantization, m: &Model) {
    // A preset is named and its keys are comments, so that whoever reads the file is told what the preset assumes.
    let from_preset = preset::quantization(&q.name, &m.name)
        .and_then(|p| p.complete())
        .is_some_and(|p| p.0 == Quantization { note: None, ..q.clone() });
    let key = if from_preset { "# " } else { "" };
    if from_preset {
        lines.add(format!("preset = {:?}", q.name), "stands for");
    }
    lines.add(format!("{key}memory_factor = {:?}", q.memory_factor), "α, memory relative to 16 bits");
    lines.add(format!("{key}time_factor = {:?}", q.time_factor), "β, computation time relative to 16 bits");
    lines.add(format!("{key}perplexity_increase = {:?}", q.perplexity_increase), "ΔPPL");
    if let Some(note) = &q.note {
        lines.add(format!("note = {}", quoted(note)), "reports say so");
    }
}

fn batching_keys(lines: &mut Lines, padding: Padding) {
    let (padding, padded) = match padding {
        Padding::Fixed(tokens) => ("\"fixed\"", Some(tokens)),
        Padding::Longest => ("\"longest\"", None),
        Padding::None => ("\"none\"", None),
    };
    lines.add(format!("padding = {padding}"), "\"fixed\", \"longest\" (of the batch) or \"none\"");
    if let Some(tokens) = padded {
        lines.add(format!("padded_prompt_tokens = {tokens}"), "s', where the padding is fixed");
    }
}

fn synthesis_tables(lines: &mut Lines, y: &Synthesis) {
    lines.add("\n[synthesis]".to_string(), "what a trace lacks; not used for complete requests");
    lines.add(format!("seed = {}", y.seed), "");
    lines.add(format!("deadline_s = [{:?}, {:?}]", y.deadline_s.0, y.deadline_s.1), "uniform");
    let (low, high) = y.max_perplexity_increase;
    lines.add(format!("max_perplexity_increase = [{low:?}, {high:?}]"), "uniform");
    let channel = if y.channel == ChannelModel::Shared { "shared" } else { "rayleigh" };
    lines.add(format!("channel = \"{channel}\""), "\"rayleigh\" (per user) or \"shared\"");
    lines.add(format!("mean_channel_power_gain = {:?}", y.mean_channel_power_gain), "mean of h²");
    lines.add(format!("uplink_power_dbm = {:?}", y.uplink_power_dbm), "p^U");
    let (fading, correlation) = match y.fading {
        Fading::Static => ("static", None),
        Fading::Block { correlation } => ("block", Some(correlation)),
    };
    lines.add(format!("fading = \"{fading}\""), "\"static\", or \"block\": a new gain every epoch");
    if let Some(correlation) = correlation {
        lines.add(format!("correlation = {correlation:?}"), "of amplitudes, from one epoch to the next");
    }
    lines.add(format!("qos_period_s = {:?}", y.qos_period_s), "share to peak_share and back; 0: share always");
    for class in &y.qos {
        lines.add("\n[[qos]]".to_string(), "a class of users");
        lines.add(format!("name = {}", quoted(&class.name)), "");
        lines.add(format!("share = {:?}", class.share), "weight among the classes");
        lines.add(format!("peak_share = {:?}", class.peak_share), "weight in the middle of the period");
        lines.add(format!("deadline_s = [{:?}, {:?}]", class.deadline_s.0, class.deadline_s.1), "uniform");
        let (low, high) = class.max_perplexity_increase;
        lines.add(format!("max_perplexity_increase = [{low:?}, {high:?}]"), "uniform");
    }
}

fn arrivals_table(lines: &mut Lines, a: &Arrivals) {
    let process = match a.process {
        Process::Poisson => "poisson",
        Process::Gamma { .. } => "gamma",
        Process::Weibull { .. } => "weibull",
        Process::OnOff { .. } => "on-off",
    };
    lines.add("\n[arrivals]".to_string(), "for simulations");
    lines.add(format!("process = \"{process}\""), "\"poisson\", \"gamma\", \"weibull\" (cv), \"on-off\" (on_s, off_s)");
    for (key, value, _) in a.process.parameters() {
        lines.add(format!("{key} = {value:?}"), "");
    }
    lines.add(format!("rate_per_s = {:?}", a.rate_per_s), "mean");
    for (name, lengths) in [("prompt", &a.prompt_tokens), ("output", &a.output_tokens)] {
        match lengths {
            TokenLengths::Levels(levels) => {
                lines.add(format!("{name}_tokens = {:?}", levels.as_slice()), "equally likely");
            }
            TokenLengths::Uniform(low, high) => lines.add(format!("{name}_range = [{low}, {high}]"), "uniform"),
        }
    }
}

/// Names may come from a file; a comment ends with its line.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// A TOML string. Names have no control characters.
fn quoted(name: &str) -> String {
    format!("\"{}\"", one_line(name).replace('\\', "\\\\").replace('"', "\\\""))
}
