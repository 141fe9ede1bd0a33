//! Model dimensions from a Hugging Face `config.json`.
//!
//! Families: OPT, BLOOM, Llama, Mistral, Qwen2 and Qwen3, each with its own names of the fields. Grouped-query
//! attention (`num_key_value_heads`) and gated feed-forward layers are counted as they are. Mixture-of-experts models
//! are refused: the cost model has one feed-forward layer.

use std::path::Path;

use serde_json::Value;

use super::Model;
use crate::error::{Place, Result, quote};
use crate::files::read::read_text;
use crate::limits::{self, Range};

/// The largest configuration file, bytes.
pub(crate) const MAX_FILE: u64 = 1 << 24;
const FAMILIES: [&str; 6] = ["opt", "bloom", "llama", "mistral", "qwen2", "qwen3"];

/// Reads a `config.json`.
///
/// # Errors
/// A file that cannot be read, is not JSON, is of another family, or lacks a dimension.
pub fn read_path(path: &Path) -> Result<Model> {
    parse(&read_text(path, MAX_FILE)?, &path.display().to_string())
}

/// Parses the text of a `config.json` called `name` in messages.
///
/// # Errors
/// Not JSON, another family, or a dimension missing or out of range.
pub fn parse(text: &str, name: &str) -> Result<Model> {
    let value: Value = serde_json::from_str(text).map_err(|e| {
        let message = e.to_string();
        let what = message.split(" at line ").next().unwrap_or_default();
        Place::line(name, e.line() as u64).error(what, "give the config.json of a model")
    })?;
    let config = Config { name, value: &value };
    let family = match value.get("model_type") {
        Some(Value::String(family)) => family.as_str(),
        _ => {
            let place = Place::file(name).field("model_type");
            return Err(place.error("the field is missing", format!("it says the family: {}", FAMILIES.join(", "))));
        }
    };
    if !FAMILIES.contains(&family) {
        let place = Place::file(name).field("model_type");
        let problem = format!("the family {} is not known", quote(family.as_bytes()));
        return Err(place.error(problem, format!("known are {}", FAMILIES.join(", "))));
    }
    if ["num_experts", "num_local_experts"].iter().any(|key| value.get(key).is_some_and(|v| !v.is_null())) {
        let place = Place::file(name).field("num_experts");
        return Err(place.error("mixture-of-experts models are not modelled", "give a dense model"));
    }
    let dimension = |keys: &[&str]| config.required(keys, &limits::DIMENSION);
    let hidden_size = dimension(&["hidden_size", "n_embed"])?;
    let heads = config.required(&["num_attention_heads", "n_head"], &limits::HEADS)?;
    let ffn_size = match family {
        "opt" => dimension(&["ffn_dim"])?,
        // BLOOM has no field for it: its feed-forward size is four times the hidden size.
        "bloom" => {
            let size = f64::from(hidden_size) * 4.0;
            limits::DIMENSION.check(size, || Place::file(name).field("hidden_size × 4"))?;
            hidden_size * 4
        }
        _ => dimension(&["intermediate_size"])?,
    };
    let gated_ffn = !matches!(family, "opt" | "bloom");
    let kv_heads = match family {
        "opt" | "bloom" => heads,
        _ => config.optional(&["num_key_value_heads"], &limits::HEADS)?.unwrap_or(heads),
    };
    if kv_heads > heads {
        let problem = format!("{kv_heads} key-value heads for {heads} heads");
        return Err(Place::file(name).field("num_key_value_heads").error(problem, "give at most as many as heads"));
    }
    let head_dim = match config.optional(&["head_dim"], &limits::HEADS)? {
        Some(size) => size,
        None if hidden_size.is_multiple_of(heads) && limits::HEADS.contains(f64::from(hidden_size / heads)) => {
            hidden_size / heads
        }
        None => {
            let problem = format!("{hidden_size} does not split over {heads} heads");
            return Err(Place::file(name).field("hidden_size").error(problem, "give head_dim"));
        }
    };
    let layers = config.required(&["num_hidden_layers", "n_layer"], &limits::LAYERS)?;
    let name = value.get("_name_or_path").and_then(Value::as_str).filter(|n| !n.is_empty()).unwrap_or(family);
    let name = name.chars().filter(|c| !c.is_control()).take(80).collect();
    Ok(Model { name, layers, hidden_size, heads, kv_heads, head_dim, ffn_size, gated_ffn })
}

struct Config<'c> {
    name: &'c str,
    value: &'c Value,
}

impl Config<'_> {
    fn optional(&self, keys: &[&str], range: &Range) -> Result<Option<u32>> {
        let Some((key, value)) = keys.iter().find_map(|k| Some((*k, self.value.get(k).filter(|v| !v.is_null())?)))
        else {
            return Ok(None);
        };
        let place = || Place::file(self.name).field(key);
        let Some(number) = value.as_f64() else {
            return Err(place().error("not a number", range.remedy()));
        };
        range.check(number, place)?;
        if number.fract() != 0.0 {
            return Err(place().error(format!("{number} is not a whole number"), range.remedy()));
        }
        Ok(Some(number as u32))
    }

    fn required(&self, keys: &[&str], range: &Range) -> Result<u32> {
        match self.optional(keys, range)? {
            Some(number) => Ok(number),
            None => Err(Place::file(self.name).field(keys.join(" or ")).error("the field is missing", range.remedy())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::preset;
    use super::*;

    /// The fields of the published configurations that matter, for each family.
    const CONFIGS: [(&str, &str); 6] = [
        ("bloom-3b", r#"{"model_type": "bloom", "n_layer": 30, "n_embed": 2560, "num_attention_heads": 32}"#),
        ("bloom-7.1b", r#"{"model_type": "bloom", "n_layer": 30, "hidden_size": 4096, "n_head": 32}"#),
        (
            "opt-13b",
            r#"{"model_type": "opt", "num_hidden_layers": 40, "hidden_size": 5120, "num_attention_heads": 40, "ffn_dim": 20480}"#,
        ),
        (
            "llama-3.1-8b",
            r#"{"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
                "num_key_value_heads": 8, "intermediate_size": 14336}"#,
        ),
        (
            "mistral-7b",
            r#"{"model_type": "mistral", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
                "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 14336, "sliding_window": null}"#,
        ),
        (
            "qwen2.5-7b",
            r#"{"model_type": "qwen2", "num_hidden_layers": 28, "hidden_size": 3584, "num_attention_heads": 28,
                "num_key_value_heads": 4, "intermediate_size": 18944}"#,
        ),
    ];

    #[test]
    fn published_configurations_give_the_presets() {
        for (name, config) in CONFIGS {
            let read = parse(config, "config.json").unwrap();
            assert_eq!(Model { name: name.to_string(), ..read }, preset::model(name).unwrap());
        }
    }

    #[test]
    fn mistakes_name_the_field() {
        let llama = CONFIGS[3].1;
        for (from, to, message) in [
            ("llama", "t5", "model_type: the family 't5' is not known"),
            ("\"model_type\"", "\"type\"", "model_type: the field is missing"),
            ("\"hidden_size\": 4096", "\"hidden_size\": 0", "hidden_size: 0 is not allowed"),
            ("\"hidden_size\": 4096", "\"hidden_size\": 4097", "hidden_size: 4097 does not split"),
            ("\"hidden_size\": 4096", "\"hidden_size\": \"4096\"", "hidden_size: not a number"),
            ("\"hidden_size\": 4096,", "", "hidden_size or n_embed: the field is missing"),
            (
                "\"num_key_value_heads\": 8",
                "\"num_key_value_heads\": 64",
                "num_key_value_heads: 64 key-value heads for 32",
            ),
            ("\"num_key_value_heads\": 8", "\"num_experts\": 8", "num_experts: mixture-of-experts"),
            ("32,", "32.5,", "32.5 is not a whole number"),
            ("32,", "1e400,", "line 1: number out of range"),
            ("{", "[", "line 1: "),
        ] {
            let e = parse(&llama.replacen(from, to, 1), "c").unwrap_err().to_string();
            assert!(e.starts_with("c, ") && e.contains(message), "{to}: {e}");
        }
    }
}
