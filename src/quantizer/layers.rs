//! Layers by the names of their tensors: OPT, BLOOM, Llama and Qwen2.
//!
//! In: the tensors of a [`Source`]. Out: an embedding, decoders in order, and an output head, with what a placement needs
//! of each.
//!
//! What is counted: 2 FLOP a token for each weight of a matrix, 1 for each of a norm or bias, and for the embedding one
//! for each element that it looks up; attention over the context is left out, since it depends on the prompt. A layer passes
//! 16-bit activations on; the head passes a token number of 4 bytes. Keys and values are 16 bits. A head that shares the
//! embedding's matrix (tied, no `lm_head` in the files) counts that matrix again: it may run on another server.

use std::collections::BTreeMap;
use std::fmt;

use super::source::{Source, Tensor};
use crate::error::{Place, Result, quote};
use crate::limits;
use crate::scenario::Model;

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
    /// Finds the layers of a source, and checks them against the model's configuration, if there is one.
    ///
    /// # Errors
    /// No decoder is found, one is missing, one has no matrix, or the configuration is of another model.
    pub fn of(source: &dyn Source, config: Option<&Model>) -> Result<Layers> {
        let tensors = source.tensors();
        let mut found: BTreeMap<Kind, Vec<usize>> = BTreeMap::new();
        let mut others = Vec::new();
        for (i, tensor) in tensors.iter().enumerate() {
            match kind(&tensor.name) {
                Some(kind) => found.entry(kind).or_default().push(i),
                None => others.push(tensor.name.clone()),
            }
        }
        let place = || Place::file(source.file(0));
        let decoders: Vec<u32> =
            found.keys().filter_map(|k| if let Kind::Decoder(n) = k { Some(*n) } else { None }).collect();
        if decoders.is_empty() {
            let first = tensors.first().map_or_else(|| "none".to_string(), |t| quote(t.name.as_bytes()));
            let problem =
                format!("no layers are found by their names; of {} tensors the first is {first}", tensors.len());
            return Err(place().error(problem, "give a model with the names of OPT, BLOOM, Llama or Qwen2"));
        }
        if let Some((missing, _)) = (0u32..).zip(&decoders).find(|(want, have)| want != *have) {
            let problem = format!("layer {missing} has no tensors, but layer {} has", decoders[decoders.len() - 1]);
            return Err(place().error(problem, "give all files of the model: its folder, or its index"));
        }
        if let Some(config) = config
            && config.layers as usize != decoders.len()
        {
            let problem = format!("{} layers are found, and config.json says {}", decoders.len(), config.layers);
            return Err(place().error(problem, "give all files of the model: its folder, or its index"));
        }
        let tokens =
            found.get(&Kind::Embedding).and_then(|list| list.iter().copied().find(|&i| is_tokens(&tensors[i])));
        let tied = !found
            .get(&Kind::Head)
            .is_some_and(|list| list.iter().any(|&i| tensors[i].name.ends_with("lm_head.weight")));
        if tied && tokens.is_some() {
            found.entry(Kind::Head).or_default();
        }
        let hidden = hidden(tensors, &found[&Kind::Decoder(0)]);
        if let Some(config) = config
            && u64::from(config.hidden_size) != hidden
        {
            let problem = format!("the hidden size is {hidden}, and config.json says {}", config.hidden_size);
            return Err(place().error(problem, "give the configuration that belongs to the weights"));
        }
        let mut layers = Vec::with_capacity(found.len());
        for (kind, mut list) in found {
            list.sort_by(|&a, &b| tensors[a].name.cmp(&tensors[b].name));
            let shared = if kind == Kind::Head && tied { tokens } else { None };
            list.extend(shared);
            layers.push(layer(source, kind, list, shared.is_some(), hidden, config)?);
        }
        Ok(Layers { family: family(tensors), layers, others })
    }

    /// Whether the head shares the embedding's matrix.
    pub fn tied(&self) -> bool {
        self.layers.iter().any(|layer| layer.tied)
    }
}

fn layer(
    source: &dyn Source,
    kind: Kind,
    list: Vec<usize>,
    tied: bool,
    hidden: u64,
    config: Option<&Model>,
) -> Result<Layer> {
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
    let mut kv_bytes_per_token = 0;
    if let Kind::Decoder(n) = kind {
        if matrices.is_empty() {
            let problem = format!("layer {n} has no matrix of weights");
            return Err(Place::file(source.file(list[0])).error(problem, "give all files of the model"));
        }
        let rows = |end: &str| {
            let names = |i: &&usize| tensors[**i].name.ends_with(end);
            matrices.iter().find(names).map(|&i| tensors[i].shape[0])
        };
        let joint = || rows("query_key_value.weight").map(|n| n / 3 * 2);
        let kv = match config {
            Some(m) => Some(2 * u64::from(m.kv_heads) * u64::from(m.head_dim)),
            None => rows("k_proj.weight").zip(rows("v_proj.weight")).map(|(k, v)| k + v).or_else(joint),
        };
        kv_bytes_per_token = 2 * kv.unwrap_or(0);
    }
    Ok(Layer {
        kind,
        matrices,
        parameters,
        bytes,
        flops_per_token: flops,
        activation_bytes: if kind == Kind::Head { 4 } else { 2 * hidden },
        kv_bytes_per_token,
        tied,
        tensors: list,
    })
}

/// The name without what stands in front of the layers.
fn stem(name: &str) -> &str {
    ["model.decoder.", "decoder.", "transformer.", "model."].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name)
}

fn kind(name: &str) -> Option<Kind> {
    let stem = stem(name);
    if let Some(rest) = stem.strip_prefix("layers.").or_else(|| stem.strip_prefix("h.")) {
        let (number, _) = rest.split_once('.')?;
        let plain = number.len() <= 4
            && number.bytes().all(|b| b.is_ascii_digit())
            && (number == "0" || !number.starts_with('0'));
        return number.parse().ok().filter(|_| plain).map(Kind::Decoder);
    }
    let starts = |with: &[&str]| with.iter().any(|w| stem.starts_with(w));
    if starts(&["embed_tokens.", "embed_positions.", "word_embeddings.", "word_embeddings_layernorm.", "project_in."]) {
        Some(Kind::Embedding)
    } else if starts(&["lm_head.", "norm.", "final_layer_norm.", "ln_f.", "project_out."]) {
        Some(Kind::Head)
    } else {
        None
    }
}

/// Whether a token looks its row up.
fn is_table(tensor: &Tensor) -> bool {
    is_tokens(tensor) || stem(&tensor.name) == "embed_positions.weight"
}

fn is_tokens(tensor: &Tensor) -> bool {
    matches!(stem(&tensor.name), "embed_tokens.weight" | "word_embeddings.weight")
}

/// The length of what the first decoder takes in.
fn hidden(tensors: &[Tensor], list: &[usize]) -> u64 {
    let matrices = || list.iter().map(|&i| &tensors[i]).filter(|t| t.is_matrix());
    let first = matrices().find(|t| t.name.ends_with("q_proj.weight") || t.name.ends_with("query_key_value.weight"));
    first.or_else(|| matrices().next()).map_or(0, Tensor::columns)
}

fn family(tensors: &[Tensor]) -> Family {
    let any = |part: &str| tensors.iter().any(|t| t.name.contains(part));
    if any("query_key_value") {
        Family::Bloom
    } else if any("decoder.layers.") || any(".fc1.") {
        Family::Opt
    } else if any("self_attn.q_proj.bias") {
        Family::Qwen2
    } else {
        Family::Llama
    }
}
