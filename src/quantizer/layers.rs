//! Layers by the names of their tensors: OPT, BLOOM, Llama and Qwen2.
//!
//! In: the tensors of a [`Source`]. Out: an embedding, decoders in order, and an output head, with what a placement
//! needs of each.
//!
//! What is counted: 2 FLOP a token for each weight of a matrix, 1 for each of a norm or bias, and for the embedding one
//! for each element that it looks up; attention over the context is left out, since it depends on the prompt. A layer
//! passes 16-bit activations on; the head passes a token number of 4 bytes. Keys and values are 16 bits. A head that
//! shares the embedding's matrix (tied, no `lm_head` in the files) counts that matrix again: it may run on another
//! server. Weights are what names call `.weight` or `.bias`; other tensors, such as tables of rotary embeddings, belong
//! to no layer.

use std::collections::BTreeMap;
use std::fmt;

use super::checkpoint::Config;
use super::complete::{ALL_FILES, Found, lacks};
use super::source::{Source, Tensor};
use crate::error::{Place, Result, quote};
use crate::limits;

/// Which names a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `model.decoder.layers.N`, with `fc1` and `fc2`.
    Opt,
    /// `h.N` or `transformer.h.N`, with `query_key_value`.
    Bloom,
    /// `model.layers.N`, with gated feed-forward layers.
    Llama,
    /// As Llama, with biases of queries, keys and values.
    Qwen2,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Opt => "OPT",
            Family::Bloom => "BLOOM",
            Family::Llama => "Llama",
            Family::Qwen2 => "Qwen2",
        })
    }
}

/// What a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Token and position tables, and what is applied to them.
    Embedding,
    /// Attention and feed-forward layer number N.
    Decoder(u32),
    /// The last norm and the output matrix.
    Head,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Embedding => f.write_str("embedding"),
            Kind::Decoder(n) => write!(f, "decoder.{n}"),
            Kind::Head => f.write_str("head"),
        }
    }
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// What it is; its name in files.
    pub kind: Kind,
    /// Its tensors, by their numbers in the source, in order of their names.
    pub tensors: Vec<usize>,
    /// Those of them that are quantised.
    pub matrices: Vec<usize>,
    /// Weights.
    pub parameters: u64,
    /// Bytes of the weights as the files hold them.
    pub bytes: u64,
    /// FLOP a token.
    pub flops_per_token: u64,
    /// Bytes passed to the next layer, a token.
    pub activation_bytes: u64,
    /// Bytes of keys and values, a token.
    pub kv_bytes_per_token: u64,
    /// Whether the output matrix is the embedding's.
    pub tied: bool,
}

/// The layers of a model, in the order in which they run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers {
    /// Whose names it has.
    pub family: Family,
    /// Embedding, decoders, head: those that are there.
    pub layers: Vec<Layer>,
    /// Tensors that belong to none.
    pub others: Vec<String>,
}

impl Layers {
    /// Finds the layers of a source, and checks that they are whole, and those of the model's configuration, if there
    /// is one.
    ///
    /// # Errors
    /// No decoder is found, or one is missing; a layer lacks a tensor, or has one of a shape or type that cannot be;
    /// the configuration is of another model.
    pub fn of(source: &dyn Source, config: Option<&Config>) -> Result<Layers> {
        let tensors = source.tensors();
        let mut found = Found { source, layers: BTreeMap::new(), inner: vec![""; tensors.len()] };
        let mut others = Vec::new();
        for (i, tensor) in tensors.iter().enumerate() {
            match home(&tensor.name) {
                Home::Layer(kind, inner) => {
                    found.layers.entry(kind).or_default().push(i);
                    found.inner[i] = inner;
                }
                Home::Number(number) => {
                    let problem = format!("{} is no number of a layer", quote(number.as_bytes()));
                    return Err(source.place(i).error(problem, "give 0 to 9999, without zeros in front"));
                }
                Home::None => others.push(tensor.name.clone()),
            }
        }
        let place = || Place::file(source.file(0));
        let decoders: Vec<u32> =
            found.layers.keys().filter_map(|k| if let Kind::Decoder(n) = k { Some(*n) } else { None }).collect();
        if decoders.is_empty() {
            let first = tensors.first().map_or_else(|| "none".to_string(), |t| quote(t.name.as_bytes()));
            let problem =
                format!("no layers are found by their names; of {} tensors the first is {first}", tensors.len());
            return Err(place().error(problem, "give a model with the names of OPT, BLOOM, Llama or Qwen2"));
        }
        if let Some((missing, _)) = (0u32..).zip(&decoders).find(|(want, have)| want != *have) {
            let problem = format!("layer {missing} has no tensors, but layer {} has", decoders[decoders.len() - 1]);
            return Err(place().error(problem, ALL_FILES));
        }
        if let Some(Config { model: Ok(model), .. }) = config
            && model.layers as usize != decoders.len()
        {
            let problem = format!("{} layers are found, and config.json says {}", decoders.len(), model.layers);
            return Err(place().error(problem, ALL_FILES));
        }
        let (family, hidden) = found.check()?;
        if let Some(Config { model: Ok(model), .. }) = config
            && u64::from(model.hidden_size) != hidden
        {
            let problem = format!("the hidden size is {hidden}, and config.json says {}", model.hidden_size);
            return Err(place().error(problem, "give the configuration that belongs to the weights"));
        }
        let tokens = found.layers[&Kind::Embedding].iter().copied().find(|&i| is_tokens(&tensors[i]));
        let tied = found.get(Kind::Head, "lm_head.weight").is_none();
        if tied && config.is_some_and(|config| config.tied == Some(false)) {
            let remedy = "give all files of the model: config.json says that the embedding does not serve as head";
            return Err(lacks(source.file(0), Kind::Head, "lm_head.weight", 0, remedy));
        }
        found.layers.entry(Kind::Head).or_default();
        let mut layers = Vec::with_capacity(found.layers.len());
        for (kind, mut list) in found.layers {
            list.sort_by(|&a, &b| tensors[a].name.cmp(&tensors[b].name));
            let shared = if kind == Kind::Head && tied { tokens } else { None };
            list.extend(shared);
            layers.push(layer(source, kind, list, shared.is_some(), hidden)?);
        }
        Ok(Layers { family, layers, others })
    }

    /// Whether the head shares the embedding's matrix.
    pub fn tied(&self) -> bool {
        self.layers.iter().any(|layer| layer.tied)
    }
}

fn layer(source: &dyn Source, kind: Kind, list: Vec<usize>, tied: bool, hidden: u64) -> Result<Layer> {
    let tensors = source.tensors();
    let too_large =
        |i: usize| source.place(i).error("the layer has more weights than can be counted", "is it damaged?");
    let (mut parameters, mut bytes, mut flops) = (0u64, 0u64, 0u64);
    for &i in &list {
        let (t, n) = (&tensors[i], tensors[i].elements());
        let work = if kind == Kind::Embedding && is_table(t) { hidden } else { n * if t.is_matrix() { 2 } else { 1 } };
        let sum = |a: u64, b: u64| {
            a.checked_add(b).filter(|&s| (s as f64) < limits::MEMORY.max / 8.0).ok_or_else(|| too_large(i))
        };
        parameters = sum(parameters, n)?;
        bytes = sum(bytes, n * t.dtype.size())?;
        flops = sum(flops, work)?;
    }
    let matrices: Vec<usize> = list.iter().copied().filter(|&i| tensors[i].is_matrix()).collect();
    let rows = |end: &str| {
        let names = |i: &&usize| tensors[**i].name.ends_with(end);
        matrices.iter().find(names).map_or(0, |&i| tensors[i].shape[0])
    };
    let kv = match kind {
        Kind::Decoder(_) => {
            let joint = rows("self_attention.query_key_value.weight") / 3 * 2;
            rows("self_attn.k_proj.weight") + rows("self_attn.v_proj.weight") + joint
        }
        Kind::Embedding | Kind::Head => 0,
    };
    Ok(Layer {
        kind,
        matrices,
        parameters,
        bytes,
        flops_per_token: flops,
        activation_bytes: if kind == Kind::Head { 4 } else { 2 * hidden },
        kv_bytes_per_token: 2 * kv,
        tied,
        tensors: list,
    })
}

/// Where a tensor belongs by its name.
enum Home<'n> {
    /// A layer, and the name inside it.
    Layer(Kind, &'n str),
    /// A layer whose number is not written as one.
    Number(&'n str),
    None,
}

/// The name without what stands in front of the layers.
pub(super) fn stem(name: &str) -> &str {
    ["model.decoder.", "decoder.", "transformer.", "model."].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name)
}

fn home(name: &str) -> Home<'_> {
    let stem = stem(name);
    if !stem.ends_with(".weight") && !stem.ends_with(".bias") {
        return Home::None;
    }
    if let Some(rest) = stem.strip_prefix("layers.").or_else(|| stem.strip_prefix("h.")) {
        let Some((number, inner)) = rest.split_once('.') else { return Home::None };
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Home::None;
        }
        let plain = number.len() <= 4 && (number == "0" || !number.starts_with('0'));
        return match number.parse() {
            Ok(n) if plain => Home::Layer(Kind::Decoder(n), inner),
            _ => Home::Number(number),
        };
    }
    let starts = |with: &[&str]| with.iter().any(|w| stem.starts_with(w));
    if starts(&["embed_tokens.", "embed_positions.", "word_embeddings.", "word_embeddings_layernorm.", "project_in."]) {
        Home::Layer(Kind::Embedding, stem)
    } else if starts(&["lm_head.", "norm.", "final_layer_norm.", "ln_f.", "project_out."]) {
        Home::Layer(Kind::Head, stem)
    } else {
        Home::None
    }
}

/// Whether a token looks its row up.
fn is_table(tensor: &Tensor) -> bool {
    is_tokens(tensor) || stem(&tensor.name) == "embed_positions.weight"
}

fn is_tokens(tensor: &Tensor) -> bool {
    matches!(stem(&tensor.name), "embed_tokens.weight" | "word_embeddings.weight")
}
