//! Whether the tensors of a model are all there, and fit together.
//!
//! In: the tensors of each layer, with their names inside it. Out: the model's family and hidden size, or an error that
//! names the layer and the tensor. A block must have every matrix of its family, and every weight and bias that another
//! block has: where a file is missing, a layer would otherwise only look smaller. Sizes must agree within a block; from
//! block to block they may differ, as in pruned models.

use std::collections::{BTreeMap, BTreeSet};

use super::layers::{Family, Kind, stem};
use super::source::{Dtype, Source, Tensor};
use crate::error::{Error, Place, Result, quote};

pub(super) const ALL_FILES: &str = "give all files of the model: its folder, or its index";
const ONE_MODEL: &str = "give the files of one model";

/// What the rows or columns of a matrix stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// What blocks pass on.
    Hidden,
    /// All query heads together.
    Heads,
    /// Queries, keys and values together, as many of each.
    Triple,
    /// All key-value heads together.
    Keys,
    /// The feed-forward size.
    Inner,
}

/// A matrix of a block without `.weight`, its rows and its columns.
type Matrix = (&'static str, Side, Side);

const OPT: [Matrix; 6] = [
    ("self_attn.q_proj", Side::Heads, Side::Hidden),
    ("self_attn.k_proj", Side::Heads, Side::Hidden),
    ("self_attn.v_proj", Side::Heads, Side::Hidden),
    ("self_attn.out_proj", Side::Hidden, Side::Heads),
    ("fc1", Side::Inner, Side::Hidden),
    ("fc2", Side::Hidden, Side::Inner),
];
const BLOOM: [Matrix; 4] = [
    ("self_attention.dense", Side::Hidden, Side::Heads),
    ("self_attention.query_key_value", Side::Triple, Side::Hidden),
    ("mlp.dense_h_to_4h", Side::Inner, Side::Hidden),
    ("mlp.dense_4h_to_h", Side::Hidden, Side::Inner),
];
const LLAMA: [Matrix; 7] = [
    ("self_attn.q_proj", Side::Heads, Side::Hidden),
    ("self_attn.k_proj", Side::Keys, Side::Hidden),
    ("self_attn.v_proj", Side::Keys, Side::Hidden),
    ("self_attn.o_proj", Side::Hidden, Side::Heads),
    ("mlp.gate_proj", Side::Inner, Side::Hidden),
    ("mlp.up_proj", Side::Inner, Side::Hidden),
    ("mlp.down_proj", Side::Hidden, Side::Inner),
];

impl Family {
    fn matrices(self) -> &'static [Matrix] {
        match self {
            Family::Opt => &OPT,
            Family::Bloom => &BLOOM,
            Family::Llama | Family::Qwen2 => &LLAMA,
        }
    }
}

/// The tensors of a model by layer.
pub(super) struct Found<'s> {
    pub(super) source: &'s dyn Source,
    /// Numbers of tensors.
    pub(super) layers: BTreeMap<Kind, Vec<usize>>,
    /// The names of all tensors inside their layers; empty for those of none.
    pub(super) inner: Vec<&'s str>,
}

impl Found<'_> {
    fn tensor(&self, i: usize) -> &Tensor {
        &self.source.tensors()[i]
    }

    fn list(&self, kind: Kind) -> &[usize] {
        self.layers.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// The tensor of this name in a layer.
    pub(super) fn get(&self, kind: Kind, inner: &str) -> Option<usize> {
        self.list(kind).iter().copied().find(|&i| self.inner[i] == inner)
    }

    fn blocks(&self) -> impl Iterator<Item = (Kind, &[usize])> {
        self.layers.iter().filter(|(k, _)| matches!(k, Kind::Decoder(_))).map(|(k, list)| (*k, list.as_slice()))
    }

    /// The whole name of what is called `inner` beside this tensor.
    fn beside(&self, i: usize, inner: &str) -> String {
        let name = &self.tensor(i).name;
        format!("{}{inner}", &name[..name.len() - self.inner[i].len()])
    }

    /// Checks everything but numbers of layers.
    pub(super) fn check(&self) -> Result<(Family, u64)> {
        self.check_files()?;
        for (&kind, list) in &self.layers {
            self.check_each(kind, list)?;
        }
        if let Some(i) = self.source.tensors().iter().position(|t| t.name.contains(".experts.")) {
            let problem = "mixture-of-experts models are not modelled";
            return Err(self.source.place(i).error(problem, "give a dense model"));
        }
        let family = self.family()?;
        let mut all: BTreeSet<&str> = self.blocks().flat_map(|(_, list)| list).map(|&i| self.inner[i]).collect();
        let names: Vec<String> = family.matrices().iter().map(|m| format!("{}.weight", m.0)).collect();
        all.extend(names.iter().map(String::as_str));
        for (kind, list) in self.blocks() {
            self.check_names(kind, list, family, &all)?;
        }
        // The names are all there.
        let hidden = self
            .get(Kind::Decoder(0), "self_attn.q_proj.weight")
            .or_else(|| self.get(Kind::Decoder(0), "self_attention.query_key_value.weight"))
            .map_or(0, |i| self.tensor(i).columns());
        for (kind, _) in self.blocks() {
            self.check_block(kind, family, hidden)?;
        }
        self.check_ends(family, hidden)?;
        Ok((family, hidden))
    }

    /// A file `….-00001-of-00002.safetensors` alone is no model.
    fn check_files(&self) -> Result<()> {
        let files: BTreeSet<&str> = (0..self.inner.len()).map(|i| self.source.file(i)).collect();
        let parts = |file: &str| -> Option<usize> {
            let (front, count) = file.strip_suffix(".safetensors")?.rsplit_once("-of-")?;
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let number = front.rsplit_once('-')?.1;
            (digits(number) && digits(count)).then(|| count.parse().ok())?
        };
        let counted = |file: &&str| parts(file).is_some_and(|count| count > files.len());
        let Some((&file, count)) = files.iter().find(|file| counted(file)).and_then(|f| Some((f, parts(f)?))) else {
            return Ok(());
        };
        let problem = format!("by its name it is one of {count} files of a model, and not all of them are given");
        Err(Place::file(file).error(problem, "give the folder of all files with their index, or the index"))
    }

    /// What any tensor of a layer must be.
    fn check_each(&self, kind: Kind, list: &[usize]) -> Result<()> {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for &i in list {
            let (t, place) = (self.tensor(i), || self.source.place(i));
            if let Some(other) = names.insert(self.inner[i], i) {
                let other = quote(self.tensor(other).name.as_bytes());
                return Err(place().error(format!("to {kind} it is the same as {other}"), ONE_MODEL));
            }
            if t.elements() == 0 {
                let problem = format!("its shape {:?} has no elements", t.shape);
                return Err(place().error(problem, "give whole weights"));
            }
            if let Dtype::Other(name, _) = t.dtype {
                return Err(wrong_type(place(), name));
            }
        }
        Ok(())
    }

    /// That whose names are the most.
    fn family(&self) -> Result<Family> {
        let inner = || self.blocks().flat_map(|(_, list)| list).map(|&i| self.inner[i]);
        let weights = || inner().filter_map(|name| name.strip_suffix(".weight"));
        let count = |family: Family| weights().filter(|w| family.matrices().iter().any(|m| m.0 == *w)).count();
        let [llama, opt, bloom] = [Family::Llama, Family::Opt, Family::Bloom].map(count);
        let first = self.blocks().find_map(|(_, list)| list.first().copied());
        if llama.max(opt).max(bloom) == 0 {
            let name = first.map_or_else(|| "none".to_string(), |i| quote(self.tensor(i).name.as_bytes()));
            let problem = format!("the weights of layers have unknown names; the first is {name}");
            let remedy = "give a model with the names of OPT, BLOOM, Llama or Qwen2";
            return Err(Place::file(first.map_or("", |i| self.source.file(i))).error(problem, remedy));
        }
        // Both have queries, keys and values of the same names.
        let decoder = first.is_some_and(|i| self.tensor(i).name.contains("decoder.layers."));
        Ok(if bloom > llama.max(opt) {
            Family::Bloom
        } else if opt > llama || opt == llama && decoder {
            Family::Opt
        } else if inner().any(|name| name == "self_attn.q_proj.bias") {
            Family::Qwen2
        } else {
            Family::Llama
        })
    }

    /// That a block lacks none of these names.
    fn check_names(&self, kind: Kind, list: &[usize], family: Family, all: &BTreeSet<&str>) -> Result<()> {
        let have: BTreeSet<&str> = list.iter().map(|&i| self.inner[i]).collect();
        let missing = || all.difference(&have).copied();
        let is_matrix = |name: &&str| {
            let name = name.strip_suffix(".weight");
            name.is_some_and(|name| family.matrices().iter().any(|m| m.0 == name))
        };
        // Matrices first: they are what is missed most.
        let Some(name) = missing().find(is_matrix).or_else(|| missing().next()) else { return Ok(()) };
        let more = missing().count() - 1;
        Err(self.lacking(kind, list[0], name, more))
    }

    /// The error for a tensor of a block that is not there, beside one that is.
    fn lacking(&self, kind: Kind, beside: usize, inner: &str, more: usize) -> Error {
        let name = self.beside(beside, inner);
        let packed = name.strip_suffix("weight").map(|start| format!("{start}qweight"));
        let remedy = if packed.is_some_and(|packed| self.source.tensors().iter().any(|t| t.name == packed)) {
            "give weights that are not quantised yet"
        } else if self.blocks().any(|(kind, _)| self.get(kind, inner).is_some()) {
            ALL_FILES
        } else {
            "give all files of a model with the names of OPT, BLOOM, Llama or Qwen2"
        };
        lacks(self.source.file(beside), kind, &name, more, remedy)
    }

    fn matrix(&self, i: usize) -> Result<[u64; 2]> {
        let t = self.tensor(i);
        match t.shape[..] {
            [rows, columns] if t.is_matrix() => Ok([rows, columns]),
            _ => {
                let problem = format!("its shape {:?} is not that of a matrix", t.shape);
                Err(self.source.place(i).error(problem, "give rows × columns, 2 or more of each"))
            }
        }
    }

    /// That the matrices of a block take what others give.
    fn check_block(&self, kind: Kind, family: Family, hidden: u64) -> Result<()> {
        let mut known: Vec<(Side, u64)> = vec![(Side::Hidden, hidden)];
        for &(name, rows, columns) in family.matrices() {
            let Some(i) = self.get(kind, &format!("{name}.weight")) else { continue };
            let shape = self.matrix(i)?;
            for (side, has, what) in [(rows, shape[0], "rows"), (columns, shape[1], "columns")] {
                let of = |side| known.iter().find(|(s, _)| *s == side).map(|(_, n)| *n);
                let wanted = if side == Side::Triple { of(Side::Heads).map(|n| n.saturating_mul(3)) } else { of(side) };
                match wanted {
                    Some(wanted) => self.check_side(i, what, has, wanted)?,
                    None => known.push((side, has)),
                }
            }
            if let Some(bias) = self.get(kind, &format!("{name}.bias")) {
                let t = self.tensor(bias);
                if t.shape != [shape[0]] {
                    let problem = format!("its shape {:?} is not that of a bias of {} rows", t.shape, shape[0]);
                    return Err(self.source.place(bias).error(problem, ONE_MODEL));
                }
            }
        }
        Ok(())
    }

    fn check_side(&self, i: usize, what: &str, has: u64, wanted: u64) -> Result<()> {
        if has == wanted {
            return Ok(());
        }
        let problem = format!("its shape {:?} does not fit the model: {wanted} {what} would", self.tensor(i).shape);
        Err(self.source.place(i).error(problem, ONE_MODEL))
    }

    /// The embedding and the head.
    fn check_ends(&self, family: Family, hidden: u64) -> Result<()> {
        let first = self.list(Kind::Decoder(0))[0];
        let (file, name) = (self.source.file(first), &self.tensor(first).name);
        let base = &name[..name.len() - stem(name).len()];
        let lacks = |kind: Kind, name: &str| lacks(file, kind, &format!("{base}{name}"), 0, ALL_FILES);
        let tokens = ["embed_tokens.weight", "word_embeddings.weight"];
        let Some(table) = tokens.iter().find_map(|name| self.get(Kind::Embedding, name)) else {
            return Err(lacks(Kind::Embedding, tokens[usize::from(family == Family::Bloom)]));
        };
        let [_, width] = self.matrix(table)?;
        let [into, out] = ["project_in.weight", "project_out.weight"];
        match [self.get(Kind::Embedding, into), self.get(Kind::Head, out)] {
            [Some(into), Some(out)] => {
                self.check_shape(into, [hidden, width])?;
                self.check_shape(out, [width, hidden])?;
            }
            [Some(_), None] => return Err(lacks(Kind::Head, out)),
            [None, Some(_)] => return Err(lacks(Kind::Embedding, into)),
            [None, None] if family == Family::Opt && width != hidden => return Err(lacks(Kind::Embedding, into)),
            [None, None] => self.check_side(table, "columns", width, hidden)?,
        }
        if let Some(positions) = self.get(Kind::Embedding, "embed_positions.weight") {
            self.check_side(positions, "columns", self.matrix(positions)?[1], hidden)?;
        }
        if let Some(head) = self.get(Kind::Head, "lm_head.weight") {
            self.check_side(head, "columns", self.matrix(head)?[1], width)?;
        }
        Ok(())
    }

    fn check_shape(&self, i: usize, [rows, columns]: [u64; 2]) -> Result<()> {
        let shape = self.matrix(i)?;
        self.check_side(i, "rows", shape[0], rows)?;
        self.check_side(i, "columns", shape[1], columns)
    }
}

/// The error for a layer without a tensor that it should have.
pub(super) fn lacks(file: &str, kind: Kind, name: &str, more: usize, remedy: &str) -> Error {
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    let problem = format!("{kind} lacks the tensor {}{more}", quote(name.as_bytes()));
    Place::file(file).error(problem, remedy)
}

/// The error for weights that are no floats.
pub(super) fn wrong_type(place: Place, name: &str) -> Error {
    place.error(format!("weights of type {name} are not read"), "convert them to F32, F16 or BF16")
}
