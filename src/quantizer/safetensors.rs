//! The header of a safetensors file, checked before anything is read.
//!
//! In: the first bytes of a file: eight of a length, then so many of JSON. Out: [`Entry`]s that lie within the file, do
//! not overlap, leave no gap, and have the size that shape and type give.
//!
//! The `safetensors` crate wants the whole file in memory (or mapped, which is `unsafe`), lets the last of two tensors
//! of one name win without a word, and does not say where a header is wrong: hence this reader.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::source::{Dtype, Tensor};
use crate::error::{Error, Place, Result, quote};

/// The longest header, bytes: ten times that of the largest models.
pub const MAX_HEADER: u64 = 1 << 25;
/// The most tensors of a file.
const MAX_TENSORS: usize = 1 << 18;
const MAX_DIMENSIONS: usize = 8;

/// A tensor and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name, shape, type.
    pub tensor: Tensor,
    /// Its first byte, from the start of the file.
    pub start: u64,
}

/// The length of the JSON, from the first eight bytes of a file of `file_length` bytes.
///
/// # Errors
/// No length at which a header could end.
pub fn header_length(first: &[u8], file_length: u64, name: &str) -> Result<u64> {
    let place = || Place::file(name).field("header");
    let Some(first) = first.first_chunk::<8>() else {
        let problem = format!("the file has {file_length} bytes, too few for a header");
        return Err(place().error(problem, "give a whole safetensors file"));
    };
    let length = u64::from_le_bytes(*first);
    if length > file_length.saturating_sub(8) {
        let problem = format!("the header would take {length} bytes, but {} follow", file_length.saturating_sub(8));
        return Err(place().error(problem, "the file is truncated, or no safetensors file"));
    }
    if length > MAX_HEADER {
        let problem = format!("a header of {length} bytes is absurdly long");
        return Err(place().error(problem, format!("at most {MAX_HEADER} are read")));
    }
    Ok(length)
}

/// Parses and checks the JSON of a header; `data` bytes follow it.
///
/// # Errors
/// Not JSON, a type that is not known, and tensors that do not exactly fill the data.
pub fn parse(json: &[u8], data: u64, name: &str) -> Result<Vec<Entry>> {
    let place = || Place::file(name).field("header");
    let text = std::str::from_utf8(json)
        .map_err(|e| place().error(format!("byte {} is not UTF-8", e.valid_up_to()), "give a safetensors file"))?;
    if !text.starts_with('{') {
        return Err(place().error("it does not start with '{'", "give a safetensors file"));
    }
    let raw: Unique<Raw> =
        serde_json::from_str(text).map_err(|e| json_error(&e, place(), "give a whole safetensors file"))?;
    let at = |tensor: &str| Place::file(name).field(format!("tensor {}", quote(tensor.as_bytes())));
    let data_start = 8 + json.len() as u64;
    let mut entries = Vec::with_capacity(raw.0.len());
    for (tensor, raw) in raw.0 {
        let Some(raw) = raw else { continue };
        let Some(dtype) = Dtype::ALL.into_iter().find(|d| d.name() == raw.dtype) else {
            let problem = format!("the type {} is not known", quote(raw.dtype.as_bytes()));
            return Err(at(&tensor).error(problem, "weights are F32, F16 or BF16"));
        };
        let [begin, end] = raw.data_offsets;
        if begin > end || end > data {
            let problem = format!("its bytes {begin} to {end} do not lie in the {data} of the data");
            return Err(at(&tensor).error(problem, "the file is truncated or damaged"));
        }
        let elements = raw.shape.0.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
        if elements.and_then(|n| n.checked_mul(dtype.size())) != Some(end - begin) {
            let problem = format!("shape {:?} of {} does not take {} bytes", raw.shape.0, dtype.name(), end - begin);
            return Err(at(&tensor).error(problem, "the header is damaged"));
        }
        let tensor = Tensor { name: tensor, shape: raw.shape.0, dtype };
        entries.push(Entry { tensor, start: data_start + begin });
    }
    let bytes = |e: &Entry| e.tensor.elements() * e.tensor.dtype.size();
    entries
        .sort_by(|a, b| (a.start, bytes(a)).cmp(&(b.start, bytes(b))).then_with(|| a.tensor.name.cmp(&b.tensor.name)));
    let mut covered = data_start;
    for entry in &entries {
        if entry.start < covered {
            let problem = format!("its first {} bytes are another's as well", covered - entry.start);
            return Err(at(&entry.tensor.name).error(problem, "tensors may not overlap"));
        }
        if entry.start > covered {
            let problem = format!("{} bytes before it belong to no tensor", entry.start - covered);
            return Err(at(&entry.tensor.name).error(problem, "the file is damaged"));
        }
        covered += bytes(entry);
    }
    if covered != data_start + data {
        let problem = format!("the last {} bytes of the file belong to no tensor", data_start + data - covered);
        return Err(place().error(problem, "the file is damaged"));
    }
    Ok(entries)
}

/// What is wrong with JSON, on one line: parsers repeat names as they find them.
pub(super) fn json_error(e: &serde_json::Error, place: Place, remedy: &str) -> Error {
    let message = e.to_string();
    let what = message.split(" at line ").next().unwrap_or_default();
    let what: String = what.chars().take(300).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    place.error(format!("{what} (line {}, column {})", e.line(), e.column()), remedy)
}

/// A tensor of the header as it stands there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    dtype: String,
    shape: Dimensions,
    data_offsets: [u64; 2],
}

/// A list that stops growing early.
struct Dimensions(Vec<u64>);

impl<'de> Deserialize<'de> for Dimensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Dimensions;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of dimensions")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Dimensions, A::Error> {
                let mut dimensions = Vec::new();
                while let Some(n) = seq.next_element()? {
                    if dimensions.len() == MAX_DIMENSIONS {
                        return Err(de::Error::custom(format!("a shape of more than {MAX_DIMENSIONS} dimensions")));
                    }
                    dimensions.push(n);
                }
                Ok(Dimensions(dimensions))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// An object whose keys are all different, sorted; what `__metadata__` holds is skipped, at any depth.
pub(super) struct Unique<T>(pub(super) Vec<(String, Option<T>)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Unique<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with one entry for each tensor")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Unique<T>, A::Error> {
                let mut entries: Vec<(String, Option<T>)> = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if entries.len() == MAX_TENSORS {
                        return Err(de::Error::custom(format!("more than {MAX_TENSORS} tensors")));
                    }
                    let value = if key == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        None
                    } else {
                        Some(map.next_value()?)
                    };
                    entries.push((key, value));
                }
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                    return Err(de::Error::custom(format!("{} is there twice", quote(pair[0].0.as_bytes()))));
                }
                Ok(Unique(entries))
            }
        }
        deserializer.deserialize_map(Object(std::marker::PhantomData))
    }
}

/// [`header_length`] and [`parse`] of a file in memory.
///
/// # Errors
/// Theirs.
pub fn parse_bytes(bytes: &[u8], name: &str) -> Result<Vec<Entry>> {
    let length = header_length(bytes, bytes.len() as u64, name)?;
    let (json, data) = bytes.get(8..).unwrap_or_default().split_at(length as usize);
    parse(json, data.len() as u64, name)
}
