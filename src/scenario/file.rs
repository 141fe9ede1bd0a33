//! Scenario files: TOML, every key known, every error with its line.
//!
//! The tables and keys are those of the contract: `[model]`, `[quantization]`, `[node]`, `[radio]`, `[epoch]`,
//! `[batching]`, each with `preset = "..."` to fill what is not given, and the optional `[synthesis]` for traces.
//! `dftsp generate` writes such a file with every key explained.

use std::fmt::Write as _;
use std::path::Path;

use toml::de::DeTable;

use super::preset::{self, Value};
use super::table::{File, Table, line_of};
use super::{Assumption, Epoch, Model, Node, Padding, Quantization, Radio, Scenario};
use crate::error::{Place, Result, quote};
use crate::files::read::read_text;
use crate::limits::{self, Range};
use crate::workload::synthesis::{ChannelModel, Synthesis};

/// The largest scenario file, bytes.
const MAX_FILE: u64 = 1 << 20;
/// Every table and its keys.
const TABLES: [(&str, &[&str]); 7] = [
    ("model", &["preset", "layers", "hidden_size", "heads", "kv_heads", "head_dim", "ffn_size", "gated_ffn"]),
    ("quantization", &["preset", "memory_factor", "time_factor", "perplexity_increase"]),
    ("node", &["preset", "compute_flops", "memory_bytes"]),
    (
        "radio",
        &[
            "preset",
            "uplink_bandwidth_hz",
            "downlink_bandwidth_hz",
            "noise_density_dbm_per_hz",
            "downlink_power_dbm",
            "bits_per_token",
        ],
    ),
    ("epoch", &["preset", "duration_s", "uplink_slot_s", "downlink_slot_s"]),
    ("batching", &["preset", "padding", "padded_prompt_tokens"]),
    (
        "synthesis",
        &["seed", "deadline_s", "max_perplexity_increase", "channel", "mean_channel_power_gain", "uplink_power_dbm"],
    ),
];

/// Reads a scenario file. A model read from elsewhere takes the place of `[model]`, which may then be missing.
///
/// # Errors
/// A file that cannot be read; anything wrong in it, with its line and key.
pub fn read_path(path: &Path, model: Option<Model>) -> Result<Scenario> {
    parse(&read_text(path, MAX_FILE)?, &path.display().to_string(), model)
}

/// Parses the text of a scenario called `name` in messages.
///
/// # Errors
/// Anything wrong, with its line and key.
pub fn parse(text: &str, name: &str, model: Option<Model>) -> Result<Scenario> {
    let root = DeTable::parse(text).map_err(|e| {
        let line = line_of(text, e.span().map_or(0, |span| span.start));
        let what = e.message().lines().next().unwrap_or("not valid TOML").to_string();
        Place::line(name, line).error(what, "write TOML: [table] lines and key = value lines")
    })?;
    let file = File { text, name, root: root.get_ref() };
    // Before anything is read: a misspelt key is more likely than a missing one.
    file.check_keys(&TABLES)?;
    let model = match model {
        Some(model) => model,
        None => read_model(file.table("model")?)?,
    };
    let mut assumptions = Vec::new();
    let quantization = read_quantization(file.table("quantization")?, &model.name, &mut assumptions)?;
    Ok(Scenario {
        quantization,
        node: read_node(file.table("node")?, &mut assumptions)?,
        radio: read_radio(file.table("radio")?)?,
        epoch: read_epoch(file.table("epoch")?)?,
        padding: read_batching(file.table("batching")?)?,
        synthesis: file.optional("synthesis")?.map_or_else(|| Ok(Synthesis::default()), read_synthesis)?,
        model,
        assumptions,
    })
}

fn read_model(t: Table<'_>) -> Result<Model> {
    let names: Vec<&str> = preset::model_names().collect();
    let p = t.preset(&names, preset::model)?;
    let of = |f: fn(&Model) -> u32| p.as_ref().map(f);
    let heads = t.required_whole("heads", &limits::HEADS, of(|m| m.heads))?;
    let kv_heads = t.required_whole("kv_heads", &limits::HEADS, of(|m| m.kv_heads).or(Some(heads)))?;
    let model = Model {
        layers: t.required_whole("layers", &limits::LAYERS, of(|m| m.layers))?,
        hidden_size: t.required_whole("hidden_size", &limits::DIMENSION, of(|m| m.hidden_size))?,
        heads,
        kv_heads,
        head_dim: t.required_whole("head_dim", &limits::HEADS, of(|m| m.head_dim))?,
        ffn_size: t.required_whole("ffn_size", &limits::DIMENSION, of(|m| m.ffn_size))?,
        gated_ffn: t.boolean("gated_ffn")?.or(p.as_ref().map(|m| m.gated_ffn)).unwrap_or(false),
        name: String::new(),
    };
    // A preset with another dimension is another model, for which Table II has no ΔPPL.
    let name = match p {
        Some(p) if Model { name: p.name.clone(), ..model.clone() } == p => p.name,
        Some(p) => format!("{} (modified)", p.name),
        None => "custom".to_string(),
    };
    Ok(Model { name, ..model })
}

fn read_quantization(t: Table<'_>, model: &str, assumptions: &mut Vec<Assumption>) -> Result<Quantization> {
    let p = t.preset(&preset::QUANTIZATIONS, |name| preset::quantization(name, model))?;
    let mut value = |key: &'static str, range: &Range, preset: Option<Value>| -> Result<f64> {
        if let Some(given) = t.number(key, range)? {
            return Ok(given);
        }
        match (&p, preset) {
            (Some(p), Some(v)) => {
                assumptions.extend(p.assumption(key, &v));
                Ok(v.value)
            }
            (Some(p), None) => {
                let remedy = format!("preset {} has none for the model {model}: give {key}", p.name);
                Err(t.missing(key, &remedy))
            }
            (None, _) => Err(t.missing(key, &range.remedy())),
        }
    };
    let quantization = Quantization {
        name: p.as_ref().map_or("custom", |p| p.name).to_string(),
        memory_factor: value("memory_factor", &limits::FACTOR, p.as_ref().map(|p| p.memory_factor))?,
        time_factor: value("time_factor", &limits::FACTOR, p.as_ref().map(|p| p.time_factor))?,
        perplexity_increase: value(
            "perplexity_increase",
            &limits::PERPLEXITY,
            p.as_ref().and_then(|p| p.perplexity_increase),
        )?,
    };
    Ok(quantization)
}

fn read_node(t: Table<'_>, assumptions: &mut Vec<Assumption>) -> Result<Node> {
    let p = t.preset(&preset::NODES, |name| Some((preset::node(name)?, preset::node_assumption(name))))?;
    let (p, assumption) = p.map_or((None, None), |(node, assumption)| (Some(node), assumption));
    let given = t.number("compute_flops", &limits::COMPUTE)?;
    assumptions.extend(assumption.filter(|_| given.is_none()));
    Ok(Node {
        compute_flops: t.required("compute_flops", &limits::COMPUTE, p.as_ref().map(|p| p.compute_flops))?,
        memory_bytes: t.required("memory_bytes", &limits::MEMORY, p.as_ref().map(|p| p.memory_bytes))?,
    })
}

fn read_radio(t: Table<'_>) -> Result<Radio> {
    let p = t.preset(&["paper"], |name| (name == "paper").then(preset::paper_radio))?;
    let of = |f: fn(&Radio) -> f64| p.as_ref().map(f);
    let radio = Radio {
        uplink_bandwidth_hz: t.required("uplink_bandwidth_hz", &limits::BANDWIDTH, of(|p| p.uplink_bandwidth_hz))?,
        downlink_bandwidth_hz: t.required(
            "downlink_bandwidth_hz",
            &limits::BANDWIDTH,
            of(|p| p.downlink_bandwidth_hz),
        )?,
        noise_density_dbm_per_hz: t.required(
            "noise_density_dbm_per_hz",
            &limits::NOISE,
            of(|p| p.noise_density_dbm_per_hz),
        )?,
        downlink_power_dbm: t.required("downlink_power_dbm", &limits::POWER, of(|p| p.downlink_power_dbm))?,
        bits_per_token: t.required_whole("bits_per_token", &limits::BITS, p.as_ref().map(|p| p.bits_per_token))?,
    };
    Ok(radio)
}

fn read_epoch(t: Table<'_>) -> Result<Epoch> {
    let p = t.preset(&["paper"], |name| (name == "paper").then(preset::paper_epoch))?;
    let of = |f: fn(&Epoch) -> f64| p.as_ref().map(f);
    let epoch = Epoch {
        duration_s: t.required("duration_s", &limits::SLOT, of(|p| p.duration_s))?,
        uplink_slot_s: t.required("uplink_slot_s", &limits::SLOT, of(|p| p.uplink_slot_s))?,
        downlink_slot_s: t.required("downlink_slot_s", &limits::SLOT, of(|p| p.downlink_slot_s))?,
    };
    for (key, slot_s) in [("uplink_slot_s", epoch.uplink_slot_s), ("downlink_slot_s", epoch.downlink_slot_s)] {
        if slot_s > epoch.duration_s {
            let problem = format!("a slot of {slot_s} s does not fit in an epoch of {} s", epoch.duration_s);
            return Err(t.place_of(key).error(problem, "give a slot of at most epoch.duration_s"));
        }
    }
    Ok(epoch)
}

fn read_batching(t: Table<'_>) -> Result<Padding> {
    const REMEDY: &str = "give \"fixed\", \"longest\" or \"none\"";
    let p = t.preset(&["paper"], |name| (name == "paper").then_some(preset::PAPER_PADDING))?;
    let kind = t.string("padding", REMEDY)?;
    let preset_tokens = match p {
        Some(Padding::Fixed(tokens)) => Some(tokens),
        _ => None,
    };
    let padding = match (kind, p) {
        (Some("fixed"), _) | (None, Some(_)) => {
            Padding::Fixed(t.required_whole("padded_prompt_tokens", &limits::TOKENS, preset_tokens)?)
        }
        // A length is harmless under the other paddings: a file can be switched between them by one word.
        (Some(word @ ("longest" | "none")), _) => {
            t.whole("padded_prompt_tokens", &limits::TOKENS)?;
            if word == "longest" { Padding::Longest } else { Padding::None }
        }
        (Some(other), _) => {
            let problem = format!("unknown padding {}", quote(other.as_bytes()));
            return Err(t.place_of("padding").error(problem, REMEDY));
        }
        (None, None) => return Err(t.missing("padding", REMEDY)),
    };
    Ok(padding)
}

fn read_synthesis(t: Table<'_>) -> Result<Synthesis> {
    const SEED: Range = Range { min: 0.0, max: 9e15, min_allowed: true, unit: "a whole number" };
    const REMEDY: &str = "give \"shared\" or \"rayleigh\"";
    let d = Synthesis::default();
    let seed = match t.number("seed", &SEED)? {
        None => d.seed,
        Some(n) if n.fract() == 0.0 => n as u64,
        Some(n) => return Err(t.place_of("seed").error(format!("{n} is not whole"), SEED.remedy())),
    };
    let channel = match t.string("channel", REMEDY)? {
        None => d.channel,
        Some("shared") => ChannelModel::Shared,
        Some("rayleigh") => ChannelModel::Rayleigh,
        Some(other) => {
            let problem = format!("unknown channel {}", quote(other.as_bytes()));
            return Err(t.place_of("channel").error(problem, REMEDY));
        }
    };
    let synthesis = Synthesis {
        seed,
        deadline_s: t.pair("deadline_s", &limits::DEADLINE)?.unwrap_or(d.deadline_s),
        max_perplexity_increase: t
            .pair("max_perplexity_increase", &limits::PERPLEXITY)?
            .unwrap_or(d.max_perplexity_increase),
        channel,
        mean_channel_power_gain: t.required(
            "mean_channel_power_gain",
            &limits::GAIN,
            Some(d.mean_channel_power_gain),
        )?,
        uplink_power_dbm: t.required("uplink_power_dbm", &limits::POWER, Some(d.uplink_power_dbm))?,
    };
    Ok(synthesis)
}

/// The scenario as a file that [`parse`] reads back, with every key explained.
pub fn to_toml(s: &Scenario) -> String {
    let (m, q, n, r, e) = (&s.model, &s.quantization, &s.node, &s.radio, &s.epoch);
    let (padding, padded) = match s.padding {
        Padding::Fixed(tokens) => ("\"fixed\"", Some(tokens)),
        Padding::Longest => ("\"longest\"", None),
        Padding::None => ("\"none\"", None),
    };
    let (model, precision) = (one_line(&m.name), one_line(&q.name));
    let mut out = String::new();
    let mut line = |text: String, comment: &str| {
        // Writing to a String cannot fail.
        let _ = if comment.is_empty() { writeln!(out, "{text}") } else { writeln!(out, "{text:<42} # {comment}") };
    };
    line("[model]".to_string(), &model);
    if preset::model(&m.name).as_ref() == Some(m) {
        line(format!("preset = {:?}", m.name), "the keys below are those of the preset");
    }
    line(format!("layers = {}", m.layers), "L");
    line(format!("hidden_size = {}", m.hidden_size), "d_m");
    line(format!("heads = {}", m.heads), "n_h");
    line(format!("kv_heads = {}", m.kv_heads), "fewer than heads with grouped-query attention");
    line(format!("head_dim = {}", m.head_dim), "d_h");
    line(format!("ffn_size = {}", m.ffn_size), "d_f");
    line(format!("gated_ffn = {}", m.gated_ffn), "three feed-forward matrices instead of two");
    line("\n[quantization]".to_string(), &precision);
    // A preset is named and its keys are comments, so that whoever reads the file is told what the preset assumes.
    let from_preset = preset::quantization(&q.name, &m.name).and_then(|p| p.complete()).is_some_and(|p| p.0 == *q);
    let key = if from_preset { "# " } else { "" };
    if from_preset {
        line(format!("preset = {:?}", q.name), "stands for");
    }
    line(format!("{key}memory_factor = {:?}", q.memory_factor), "α, memory relative to 16 bits");
    line(format!("{key}time_factor = {:?}", q.time_factor), "β, computation time relative to 16 bits");
    line(format!("{key}perplexity_increase = {:?}", q.perplexity_increase), "ΔPPL");
    line("\n[node]".to_string(), "");
    line(format!("compute_flops = {:?}", n.compute_flops), "C, FLOP/s");
    line(format!("memory_bytes = {:?}", n.memory_bytes), "M, bytes");
    line("\n[radio]".to_string(), "");
    line(format!("uplink_bandwidth_hz = {:?}", r.uplink_bandwidth_hz), "B^U");
    line(format!("downlink_bandwidth_hz = {:?}", r.downlink_bandwidth_hz), "B^D");
    line(format!("noise_density_dbm_per_hz = {:?}", r.noise_density_dbm_per_hz), "N0 is this times the band");
    line(format!("downlink_power_dbm = {:?}", r.downlink_power_dbm), "p^D");
    line(format!("bits_per_token = {}", r.bits_per_token), "");
    line("\n[epoch]".to_string(), "");
    line(format!("duration_s = {:?}", e.duration_s), "how often a batch is chosen");
    line(format!("uplink_slot_s = {:?}", e.uplink_slot_s), "T_U");
    line(format!("downlink_slot_s = {:?}", e.downlink_slot_s), "T_D");
    line("\n[batching]".to_string(), "");
    line(format!("padding = {padding}"), "\"fixed\", \"longest\" (of the batch) or \"none\"");
    if let Some(tokens) = padded {
        line(format!("padded_prompt_tokens = {tokens}"), "s', where the padding is fixed");
    }
    let y = &s.synthesis;
    line("\n[synthesis]".to_string(), "what a trace lacks; not used for complete requests");
    line(format!("seed = {}", y.seed), "");
    line(format!("deadline_s = [{:?}, {:?}]", y.deadline_s.0, y.deadline_s.1), "uniform");
    let (low, high) = y.max_perplexity_increase;
    line(format!("max_perplexity_increase = [{low:?}, {high:?}]"), "uniform");
    let channel = if y.channel == ChannelModel::Shared { "shared" } else { "rayleigh" };
    line(format!("channel = \"{channel}\""), "\"rayleigh\" (per user) or \"shared\"");
    line(format!("mean_channel_power_gain = {:?}", y.mean_channel_power_gain), "mean of h²");
    line(format!("uplink_power_dbm = {:?}", y.uplink_power_dbm), "p^U");
    out
}

/// Names may come from a file; a comment ends with its line.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAPER: &str = "[model]\npreset = \"bloom-3b\"\n[quantization]\npreset = \"w8a16\"\n[node]\npreset = \"jetson-tx2-x20\"\n\
        [radio]\npreset = \"paper\"\n[epoch]\npreset = \"paper\"\n[batching]\npreset = \"paper\"\n";

    #[test]
    fn presets_give_the_papers_scenario_and_keys_override() {
        assert_eq!(parse(PAPER, "s", None).unwrap(), Scenario::paper());
        let changed =
            PAPER.replace("tx2-x20\"", "tx2-x20\"\nmemory_bytes = 1e9").replace("w8a16\"", "w8a16\"\ntime_factor = 2");
        let s = parse(&changed, "s", None).unwrap();
        assert_eq!((s.node.memory_bytes, s.node.compute_flops, s.quantization.time_factor), (1e9, 26.6e12, 2.0));
        assert_eq!(s.assumptions.len(), 1, "a β that the user gives is no assumption: {:?}", s.assumptions);
    }

    #[test]
    fn a_written_scenario_reads_back() {
        let mut s = Scenario::paper();
        for padding in [Padding::Fixed(100), Padding::Longest, Padding::None] {
            s.padding = padding;
            assert_eq!(parse(&to_toml(&s), "s", None).unwrap(), s);
        }
        (s.model.layers, s.model.name) = (31, "custom".to_string());
        (s.quantization.time_factor, s.quantization.name) = (0.5, "custom".to_string());
        s.assumptions.clear();
        assert_eq!(parse(&to_toml(&s), "s", None).unwrap(), s);
    }

    #[test]
    fn every_mistake_has_its_line_and_key() {
        for (from, to, message) in [
            (
                "preset = \"bloom-3b\"",
                "preset = \"bloom\"",
                "s, line 2, model.preset: unknown preset 'bloom'; the presets are bloom-3b",
            ),
            ("[radio]", "[raido]", "s, line 7, 'raido': unknown table"),
            (
                "[node]\n",
                "[node]\nmemory = 1\n",
                "s, line 6, node.memory: unknown key; the keys of [node] are preset, compute",
            ),
            (
                "[node]\n",
                "[node]\nmemory_bytes = \"1\"\n",
                "s, line 6, node.memory_bytes: the text '1' is not a number",
            ),
            ("[node]\n", "[node]\nmemory_bytes = -1\n", "s, line 6, node.memory_bytes: -1 is negative"),
            ("[node]\n", "[node]\nmemory_bytes = inf\n", "s, line 6, node.memory_bytes: inf is infinite"),
            ("[node]\n", "[node]\nmemory_bytes = 1e400\n", "s, line 6, node.memory_bytes: inf is infinite"),
            ("[node]\n", "[node]\nmemory_bytes = nan\n", "s, line 6, node.memory_bytes: not a number"),
            ("[node]\n", "[node\n", "s, line 5: "),
            (
                "[epoch]\npreset = \"paper\"",
                "[epoch]\nduration_s = 2",
                "s, line 9, epoch.uplink_slot_s: the key is missing",
            ),
            ("[epoch]\npreset = \"paper\"", "", "s: the table [epoch] is missing"),
            (
                "[batching]\npreset",
                "[batching]\npadding = \"max\"\npreset",
                "s, line 12, batching.padding: unknown padding 'max'",
            ),
            ("\"bloom-3b\"", "\"qwen2.5-7b\"\n", ""),
            ("\"bloom-3b\"", "\"bloom-3b\"\nlayers = 1.5", "s, line 3, model.layers: 1.5 is not a whole number"),
        ] {
            let text = PAPER.replace(from, to);
            match parse(&text, "s", None) {
                Ok(_) => assert_eq!(message, "", "{to}"),
                Err(e) => assert!(e.to_string().starts_with(message) && !message.is_empty(), "{e}"),
            }
        }
    }

    #[test]
    fn table_two_is_not_applied_to_other_models() {
        let text = PAPER.replace("w8a16", "w4a16-gptq");
        assert_eq!(parse(&text, "s", None).unwrap().quantization.perplexity_increase, 0.75);
        for model in ["preset = \"qwen2.5-7b\"", "preset = \"bloom-3b\"\nlayers = 31"] {
            let e = parse(&text.replace("preset = \"bloom-3b\"", model), "s", None).unwrap_err().to_string();
            assert!(e.contains("quantization.perplexity_increase: the key is missing"), "{e}");
        }
    }

    #[test]
    fn synthesis_is_optional_and_checked() {
        let with = |t: &str| parse(&format!("{PAPER}[synthesis]\n{t}\n"), "s", None);
        let s = with("seed = 9\ndeadline_s = [5, 20]\nchannel = \"shared\"").unwrap().synthesis;
        assert_eq!((s.seed, s.deadline_s, s.channel), (9, (5.0, 20.0), ChannelModel::Shared));
        for bad in
            ["deadline_s = [20, 5]", "deadline_s = 5", "deadline_s = [1]", "seed = -1", "channel = \"x\"", "seed = 1.5"]
        {
            assert!(with(bad).is_err(), "{bad}");
        }
    }
}
