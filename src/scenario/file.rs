//! Scenario files: TOML, every key known, every error with its line.
//!
//! The tables and keys are those of the contract: `[model]`, `[quantization]`, `[node]`, `[radio]`, `[epoch]`,
//! `[batching]`, each with `preset = "..."` to fill what is not given; the optional `[synthesis]`, `[[qos]]` and
//! `[arrivals]` for traces and simulations; and a `[[service]]` for each further model. `dftsp generate` writes such a
//! file with every key explained.

use std::path::Path;

use super::preset::{self, Value};
use super::{Assumption, Epoch, Model, Node, Padding, Quantization, Radio, Scenario, Service, overrides, traffic};
use crate::error::{Result, quote};
use crate::files::read::read_text;
use crate::files::table::{self, File, Origin, Shape, Table};
use crate::limits::{self, Range};
use crate::workload::arrivals::Arrivals;
use crate::workload::check_name;

#[cfg(feature = "simulation")]
pub(crate) use super::overrides::canonical;
pub use super::write::to_toml;
#[cfg(feature = "simulation")]
pub(crate) use crate::files::table::quote_plainly;

/// The name of the scenario that is there without a file.
pub const EMBEDDED: &str = "the embedded scenario";

/// The largest scenario file, bytes.
const MAX_FILE: u64 = 1 << 20;
const fn table(name: &'static str, keys: &'static [&'static str]) -> Shape {
    Shape { name, many: false, keys, tables: &[] }
}

/// Every table and its keys.
const TABLES: [Shape; 10] = [
    table("model", &["preset", "layers", "hidden_size", "heads", "kv_heads", "head_dim", "ffn_size", "gated_ffn"]),
    table("quantization", &["preset", "memory_factor", "time_factor", "perplexity_increase", "note"]),
    table("node", &["preset", "compute_flops", "memory_bytes"]),
    table(
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
    table("epoch", &["preset", "duration_s", "uplink_slot_s", "downlink_slot_s"]),
    table("batching", &["preset", "padding", "padded_prompt_tokens"]),
    table(
        "synthesis",
        &[
            "seed",
            "deadline_s",
            "max_perplexity_increase",
            "channel",
            "mean_channel_power_gain",
            "uplink_power_dbm",
            "fading",
            "correlation",
            "qos_period_s",
        ],
    ),
    table(
        "arrivals",
        &[
            "process",
            "rate_per_s",
            "cv",
            "on_s",
            "off_s",
            "prompt_tokens",
            "output_tokens",
            "prompt_range",
            "output_range",
        ],
    ),
    Shape { name: "service", many: true, keys: &["name", "share"], tables: &["model", "quantization", "batching"] },
    Shape {
        name: "qos",
        many: true,
        keys: &["name", "share", "peak_share", "deadline_s", "max_perplexity_increase"],
        tables: &[],
    },
];

/// Reads a scenario file. A model read from elsewhere takes the place of `[model]`, which may then be missing.
///
/// # Errors
/// A file that cannot be read; anything wrong in it, with its line and key.
pub fn read_path(path: &Path, model: Option<Model>) -> Result<Scenario> {
    read_path_with(path, model, &[])
}

/// [`read_path`], with keys changed or added as [`parse_with`] does.
///
/// # Errors
/// Those of [`read_path`] and [`parse_with`].
pub fn read_path_with(path: &Path, model: Option<Model>, overrides: &[(String, String)]) -> Result<Scenario> {
    parse_with(&read_file(path)?, &path.display().to_string(), model, overrides)
}

/// The text of a scenario file, for [`parse_with`].
///
/// # Errors
/// A file that cannot be read, or is too large to be one.
pub fn read_file(path: &Path) -> Result<String> {
    read_text(path, MAX_FILE)
}

/// Parses the text of a scenario called `name` in messages.
///
/// # Errors
/// Anything wrong, with its line and key.
pub fn parse(text: &str, name: &str, model: Option<Model>) -> Result<Scenario> {
    parse_with(text, name, model, &[])
}

/// [`parse`], with keys changed or added before anything is read.
///
/// An override is a key with its table, such as `node.memory_bytes`, `service.0.share` or `service.0.model.preset`, and
/// a value as in TOML (texts may go without quotes). Missing tables are added, the elements of `[[service]]` and
/// `[[qos]]` are not. Of several overrides of one key the last counts. An override of a `preset` drops the other keys
/// that the file gives in that table, and one of `arrivals.prompt_range` its `prompt_tokens` (the other way round, and
/// of outputs, too).
///
/// # Errors
/// Anything wrong, with its line and key, or with "--set" and the key of the override.
pub fn parse_with(text: &str, name: &str, model: Option<Model>, overrides: &[(String, String)]) -> Result<Scenario> {
    let mut root = table::parse(text, name)?;
    let origin = Origin { overrides, embedded: name == EMBEDDED, ..Origin::new(text, name) };
    overrides::apply(&mut root, &origin)?;
    let file = File { origin, root: &root };
    // Before anything is read: a misspelt key is more likely than a missing one.
    file.check_keys(&TABLES)?;
    let model = match model {
        Some(model) => {
            if let Some(index) = overrides.iter().position(|(key, _)| key.starts_with("model.")) {
                let place = origin.place(origin.span_of(index), overrides[index].0.as_str());
                return Err(place.error("the model is read from elsewhere", "leave one of the two out"));
            }
            model
        }
        None => read_model(file.table("model")?)?,
    };
    let mut assumptions = Vec::new();
    let quantization = read_quantization(file.table("quantization")?, &model.name, &mut assumptions)?;
    let mut scenario = Scenario {
        quantization,
        node: read_node(file.table("node")?, &mut assumptions)?,
        radio: read_radio(file.table("radio")?)?,
        epoch: read_epoch(file.table("epoch")?)?,
        padding: read_batching(file.table("batching")?)?,
        synthesis: traffic::read_synthesis(&file)?,
        arrivals: file.optional("arrivals")?.map_or_else(|| Ok(Arrivals::default()), traffic::read_arrivals)?,
        services: Vec::new(),
        model,
        assumptions,
    };
    for (at, table) in file.many("service")?.into_iter().enumerate() {
        let service = read_service(&table, at, scenario.padding, &mut scenario.assumptions)?;
        scenario.services.push(service);
    }
    // What no single key shows: sums of shares, and how many there are.
    scenario.check().map_err(|e| file.locate(e, "scenario"))?;
    Ok(scenario)
}

fn read_service(t: &Table<'_>, at: usize, padding: Padding, assumptions: &mut Vec<Assumption>) -> Result<Service> {
    let share = t.required("share", &limits::SHARE, None)?;
    let model = read_model(t.table("model")?)?;
    let mut own = Vec::new();
    let quantization = read_quantization(t.table("quantization")?, &model.name, &mut own)?;
    assumptions.extend(own.into_iter().map(|a| Assumption(format!("service.{at}.{}", a.0))));
    let padding = t.optional("batching")?.map_or(Ok(padding), read_batching)?;
    let name = t.string("name", "give a name for reports")?.unwrap_or(&model.name).to_string();
    check_name("name", &name, || t.place_of("name"))?;
    Ok(Service { name, share, model, quantization, padding })
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
        note: t.string("note", "say where the numbers come from")?.map(one_line),
    };
    assumptions.extend(quantization.note.iter().map(|note| Assumption(format!("quantization: {note}"))));
    Ok(quantization)
}

/// A text as reports can print it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::arrivals::{Process, TokenLengths};
    use crate::workload::synthesis::{ChannelModel, Fading};

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
    fn services_classes_and_arrivals_read_back() {
        let mut s = parse(&format!("{PAPER}{TRAFFIC}"), "s", None).unwrap();
        assert_eq!(parse(&to_toml(&s), "s", None).unwrap(), s);
        let shown: Vec<&str> = s.assumptions.iter().map(|a| a.0.as_str()).collect();
        assert!(
            shown.iter().any(|a| a.starts_with("service.0.quantization.time_factor = 1 (preset w8a16)")),
            "{shown:?}"
        );
        let [first, second] = &s.services[..] else { panic!("two services") };
        assert_eq!((first.name.as_str(), first.share, first.padding), ("opt-30b", 0.25, Padding::Fixed(512)));
        assert_eq!((second.name.as_str(), second.padding), ("a \"b\" \\ ü", Padding::Longest));
        assert_eq!(s.synthesis.fading, Fading::Block { correlation: 0.5 });
        let [day, night] = &s.synthesis.qos[..] else { panic!("two classes") };
        assert_eq!((day.peak_share, day.deadline_s, day.max_perplexity_increase), (5.0, (0.5, 2.0), (0.0, 1.0)));
        assert_eq!((night.peak_share, night.deadline_s), (1.0, (2.0, 4.0)));
        assert_eq!(s.arrivals.process, Process::OnOff { on_s: 1.0, off_s: 3.0 });
        assert_eq!(s.arrivals.prompt_tokens, TokenLengths::Uniform(1, 512));
        for process in [Process::Poisson, Process::Gamma { cv: 0.5 }, Process::Weibull { cv: 2.0 }] {
            s.arrivals.process = process;
            s.synthesis.fading = Fading::Static;
            assert_eq!(parse(&to_toml(&s), "s", None).unwrap(), s);
        }
    }

    const TRAFFIC: &str = "[synthesis]\nfading = \"block\"\ncorrelation = 0.5\nqos_period_s = 86400\n\
        [[qos]]\nname = \"day\"\nshare = 1\npeak_share = 5\n[[qos]]\nname = \"night\"\nshare = 1\ndeadline_s = [2, 4]\n\
        [arrivals]\nprocess = \"on-off\"\nrate_per_s = 8\non_s = 1\noff_s = 3\nprompt_range = [1, 512]\n\
        output_tokens = [64, 32]\n\
        [[service]]\nshare = 0.25\n[service.model]\npreset = \"opt-30b\"\n[service.quantization]\npreset = \"w8a16\"\n\
        [[service]]\nname = \"a \\\"b\\\" \\\\ ü\"\nshare = 0.5\nbatching = { padding = \"longest\" }\n\
        [service.model]\npreset = \"bloom-7.1b\"\n[service.quantization]\nmemory_factor = 1\ntime_factor = 1\n\
        perplexity_increase = 0\n";

    #[test]
    fn mistakes_in_services_classes_and_arrivals_have_their_line_and_key() {
        // PAPER has 12 lines.
        for (from, to, message) in [
            ("correlation = 0.5", "correlation = 1", "s, line 15, synthesis.correlation: 1 is absurdly large"),
            ("\"block\"", "\"static\"", "s, line 15, synthesis.correlation: static fading has none"),
            ("\"block\"", "\"fast\"", "s, line 14, synthesis.fading: unknown fading 'fast'"),
            ("86400", "-1", "s, line 16, synthesis.qos_period_s: -1 is negative"),
            ("name = \"day\"", "name = \"\"", "s, line 18, qos.0.name: the name '' cannot be used"),
            ("name = \"day\"\n", "", "s, line 17, qos.0.name: the key is missing"),
            ("share = 1\npeak_share = 5", "share = -1", "s, line 19, qos.0.share: -1 is negative"),
            ("peak_share = 5", "peak = 5", "s, line 20, qos.0.peak: unknown key; the keys of [[qos]] are name, share"),
            ("share = 1\ndead", "share = 0\npeak_share = -1\ndead", "s, line 24, qos.1.peak_share: -1 is negative"),
            ("[2, 4]", "[4, 2]", "s, line 24, qos.1.deadline_s: 4 is above 2"),
            ("\"on-off\"", "\"pareto\"", "s, line 26, arrivals.process: unknown process 'pareto'"),
            ("\"on-off\"", "\"poisson\"", "s, line 28, arrivals.on_s: the process poisson has none; leave it out"),
            ("\"on-off\"", "\"gamma\"", "s, line 25, arrivals.cv: the key is missing"),
            ("off_s = 3", "cv = 3", "s, line 25, arrivals.off_s: the key is missing"),
            ("off_s = 3", "off_s = 3\ncv = 3", "s, line 30, arrivals.cv: the process on-off has none"),
            ("rate_per_s = 8", "rate_per_s = 0", "s, line 27, arrivals.rate_per_s: 0 is not allowed"),
            (
                "rate_per_s = 8",
                "rate = 8",
                "s, line 27, arrivals.rate: unknown key; the keys of [arrivals] are process",
            ),
            ("[1, 512]", "[1, 512.5]", "s, line 30, arrivals.prompt_range: not whole numbers"),
            ("[1, 512]", "[0, 512]", "s, line 30, arrivals.prompt_range: 0 is not allowed"),
            ("[64, 32]", "[]", "s, line 31, arrivals.output_tokens: no output level"),
            ("[64, 32]", "[64, 1.5]", "s, line 31, arrivals.output_tokens: 1.5 is not a whole number"),
            ("[64, 32]", "64", "s, line 31, arrivals.output_tokens: not a list of numbers"),
            (
                "[64, 32]",
                "[64]\noutput_range = [1, 2]",
                "s, line 32, arrivals.output_range: there are output_tokens too",
            ),
            ("[arrivals]", "[[arrivals]]", "s, line 25, arrivals: not a table"),
            ("share = 0.25\n", "", "s, line 32, service.0.share: the key is missing"),
            ("share = 0.25", "share = 0.5", "s, line 40, service.1.share: the shares leave nothing"),
            ("share = 0.25", "share = 1.5", "s, line 33, service.0.share: 1.5 is absurdly large"),
            ("\"opt-30b\"", "\"opt-31b\"", "s, line 35, service.0.model.preset: unknown preset 'opt-31b'"),
            (
                "opt-30b\"\n",
                "opt-30b\"\nlayer = 1\n",
                "s, line 36, service.0.model.layer: unknown key; the keys of [model]",
            ),
            (
                "w8a16\"\n[[s",
                "w4a16-gptq\"\n[[s",
                "s, line 36, service.0.quantization.perplexity_increase: the key is missing",
            ),
            ("{ padding = \"longest\" }", "3", "s, line 41, service.1.batching: not a table"),
            ("{ padding = \"longest\" }", "{ pad = 1 }", "s, line 41, service.1.batching.pad: unknown key"),
            ("[service.model]\npreset = \"bloom-7.1b\"\n", "", "s, line 38, service.1.model: the table is missing"),
        ] {
            assert!(TRAFFIC.contains(from), "{from}");
            let e = parse(&format!("{PAPER}{}", TRAFFIC.replacen(from, to, 1)), "s", None).unwrap_err().to_string();
            assert!(e.starts_with(message), "{e}");
        }
        let e = parse(&format!("{PAPER}[service]\nshare = 0.1\n"), "s", None).unwrap_err().to_string();
        assert!(e.starts_with("s, line 13, service: not an array of tables; write [[service]]"), "{e}");
        let classes = "[[qos]]\nname = \"x\"\nshare = 1\n".repeat(65);
        let e = parse(&format!("{PAPER}{classes}"), "s", None).unwrap_err().to_string();
        assert!(e.starts_with("s, line 13, qos: 65 classes; give at most 64"), "{e}");
        let e = parse(&format!("{PAPER}[[qos]]\nname = \"x\"\nshare = 0\n"), "s", None).unwrap_err().to_string();
        assert!(e.starts_with("s, line 15, qos.0.share: no class has a weight"), "{e}");
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
