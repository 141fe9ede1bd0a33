//! Safetensors files: one, or many with an index.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use serde::{Deserialize, Serialize};

use super::cache::hash;
use super::complete::wrong_type;
use super::safetensors::{self, Unique, json_error};
use super::source::{Dtype, Source, Tensor};
use crate::error::{Error, Place, Result, quote};
use crate::files::read::{open, read_error, read_text};
use crate::scenario::{Model, model_config};

/// The name of an index.
const INDEX: &str = "model.safetensors.index.json";
const MAX_INDEX: u64 = 1 << 26;
const MAX_SHARDS: usize = 4096;
/// Bytes read at once, at most.
const PIECE: usize = 1 << 18;

/// What tells a file from another: where one of these differs, what was known of it is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its name, without folder.
    pub file: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last changed, nanoseconds since 1970; 0 where the system does not say.
    pub modified_ns: u64,
    /// FNV-1a of its header, hexadecimal.
    pub header: String,
}

struct Shard {
    name: String,
    path: PathBuf,
    file: Positioned,
}

/// What a `config.json` says of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The dimensions, or why they are not known.
    pub model: std::result::Result<Model, String>,
    /// Whether the embedding serves as head; `None` where it does not say.
    pub tied: Option<bool>,
}

/// The tensors of a model's files.
pub struct Checkpoint {
    folder: PathBuf,
    index: Option<PathBuf>,
    shards: Vec<Shard>,
    tensors: Vec<Tensor>,
    /// Shard and first byte of each tensor.
    places: Vec<(usize, u64)>,
    identity: Vec<Identity>,
}

impl Checkpoint {
    /// Opens a folder (its index, its `model.safetensors`, or its only safetensors file), an index, or a file.
    ///
    /// # Errors
    /// A file that is missing, cannot be read, or is not a whole safetensors file.
    pub fn open(path: &Path) -> Result<Checkpoint> {
        let metadata = fs::metadata(path).map_err(|source| Error::Io {
            path: path.display().to_string(),
            action: "open",
            source,
        })?;
        let file = if metadata.is_dir() { find(path)? } else { path.to_path_buf() };
        let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
        let (tensors, places) = (Vec::new(), Vec::new());
        let mut all = Checkpoint { folder, index: None, shards: Vec::new(), tensors, places, identity: Vec::new() };
        if file.to_string_lossy().ends_with(".json") {
            all.add_indexed(&file)?;
            all.index = Some(file);
        } else {
            for (tensor, start) in all.add_shard(&file)? {
                all.tensors.push(tensor);
                all.places.push((0, start));
            }
        }
        Ok(all)
    }

    /// The folder of the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What tells these files from others.
    pub fn identity(&self) -> &[Identity] {
        &self.identity
    }

    /// The files themselves, and the index if there is one.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|shard| shard.path.as_path()).chain(self.index.as_deref())
    }

    /// The `config.json` beside the files, if there is one.
    ///
    /// # Errors
    /// A file that cannot be read, or is not JSON.
    pub fn config(&self) -> Result<Option<Config>> {
        let path = self.folder.join("config.json");
        if !path.is_file() {
            return Ok(None);
        }
        let text = read_text(&path, model_config::MAX_FILE)?;
        let model = model_config::parse(&text, &path.display().to_string());
        let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) else { return model.map(|_| None) };
        let tied = value.get("tie_word_embeddings").and_then(serde_json::Value::as_bool);
        Ok(Some(Config { model: model.map_err(|e| e.to_string()), tied }))
    }

    fn add_indexed(&mut self, path: &Path) -> Result<()> {
        let name = path.display().to_string();
        regular(path, "give an index")?;
        let map = parse_index(&read_text(path, MAX_INDEX)?, &name)?;
        let mut by_shard: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (tensor, shard) in &map {
            by_shard.entry(shard).or_default().push(tensor);
        }
        if by_shard.len() > MAX_SHARDS {
            let problem = format!("{} files are named", by_shard.len());
            return Err(Place::file(name).error(problem, format!("at most {MAX_SHARDS} are read")));
        }
        for (&shard, wanted) in &by_shard {
            let number = self.shards.len();
            let file = self.folder.join(shard);
            if !file.is_file() {
                let problem = format!("the file {} that it names is missing", quote(shard.as_bytes()));
                return Err(Place::file(name).error(problem, "give all files of the model"));
            }
            let mut there: BTreeMap<String, (Tensor, u64)> =
                self.add_shard(&file)?.into_iter().map(|(t, start)| (t.name.clone(), (t, start))).collect();
            let wrong = |tensor: &str, problem| {
                let at = Place::file(&name).field(format!("tensor {}", quote(tensor.as_bytes())));
                at.error(problem, "give the index that belongs to the files")
            };
            for &tensor in wanted {
                let Some((tensor, start)) = there.remove(tensor) else {
                    return Err(wrong(tensor, format!("it is not in {}", quote(shard.as_bytes()))));
                };
                self.tensors.push(tensor);
                self.places.push((number, start));
            }
            if let Some(left) = there.keys().next() {
                let here = quote(shard.as_bytes());
                // Names are in order.
                return Err(match map.binary_search_by(|(tensor, _)| tensor.cmp(left)) {
                    Ok(at) => {
                        let problem = format!("it is in {here} as well as in {}", quote(map[at].1.as_bytes()));
                        wrong(left, problem)
                    }
                    Err(_) => wrong(left, format!("it is in {here}, but not in the index")),
                });
            }
        }
        Ok(())
    }

    fn add_shard(&mut self, path: &Path) -> Result<Vec<(Tensor, u64)>> {
        let name = path.display().to_string();
        let fail = |e| read_error(&name, e);
        regular(path, "give a safetensors file")?;
        let file = open(path)?;
        let metadata = file.metadata().map_err(fail)?;
        let file = Positioned::new(file);
        let size = metadata.len();
        let mut first = [0; 8];
        let first = &mut first[..size.min(8) as usize];
        file.read(0, first).map_err(fail)?;
        let length = safetensors::header_length(first, size, &name)?;
        let mut header = vec![0; length as usize];
        file.read(8, &mut header).map_err(fail)?;
        let entries = safetensors::parse(&header, size - 8 - length, &name)?;
        let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        self.identity.push(Identity {
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            size,
            modified_ns: modified.map_or(0, |t| t.as_nanos() as u64),
            header: format!("{:016x}", hash(&header)),
        });
        self.shards.push(Shard { name, path: path.to_path_buf(), file });
        Ok(entries.into_iter().map(|e| (e.tensor, e.start)).collect())
    }
}

/// What is no regular file has no length to check, and opening a pipe may wait for ever.
fn regular(path: &Path, remedy: &str) -> Result<()> {
    let name = || path.display().to_string();
    if fs::metadata(path).map_err(|source| Error::Io { path: name(), action: "open", source })?.is_file() {
        return Ok(());
    }
    Err(Place::file(name()).error("it is not a regular file", remedy))
}

/// The file to read of a folder.
fn find(folder: &Path) -> Result<PathBuf> {
    for name in [INDEX, "model.safetensors"] {
        let path = folder.join(name);
        if path.exists() {
            return Ok(path);
        }
    }
    let name = folder.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| read_error(&name, e))? {
        let path = entry.map_err(|e| read_error(&name, e))?.path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            found.push(path);
        }
    }
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => Err(Place::file(name).error("no safetensors file is in the folder", "give a folder with weights")),
        n => {
            let problem = format!("{n} safetensors files are in the folder, but no {INDEX}");
            Err(Place::file(name).error(problem, "add the index, or give one of the files"))
        }
    }
}

/// Tensors and their files, from the text of an index called `name`.
///
/// # Errors
/// Not JSON, no `weight_map`, a tensor twice, or a file that does not lie beside the index.
pub fn parse_index(text: &str, name: &str) -> Result<Vec<(String, String)>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: Unique<String>,
    }
    let index: Index = serde_json::from_str(text)
        .map_err(|e| json_error(&e, Place::file(name), "give an index with a weight_map from tensors to files"))?;
    let mut map = Vec::with_capacity(index.weight_map.0.len());
    for (tensor, shard) in index.weight_map.0 {
        let Some(shard) = shard else { continue };
        let plain = shard.ends_with(".safetensors") && !shard.contains(['/', '\\', ':']) && !shard.contains("..");
        if !plain || shard.contains(char::is_control) {
            let at = Place::file(name).field(format!("tensor {}", quote(tensor.as_bytes())));
            let problem = format!("{} is not the name of a safetensors file beside the index", quote(shard.as_bytes()));
            return Err(at.error(problem, "give names without a folder"));
        }
        map.push((tensor, shard));
    }
    if map.is_empty() {
        return Err(Place::file(name).error("the weight_map is empty", "give the index of a model"));
    }
    Ok(map)
}

impl Source for Checkpoint {
    fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    fn file(&self, tensor: usize) -> &str {
        let shard = self.places.get(tensor).map_or(0, |place| place.0);
        self.shards.get(shard).map_or("", |shard| &shard.name)
    }

    fn read(&self, tensor: usize, start: u64, values: &mut [f32]) -> Result<()> {
        let (shard, first) = self.places[tensor];
        let Tensor { dtype, .. } = self.tensors[tensor];
        let size = dtype.size() as usize;
        let convert: fn(&[u8], &mut [f32]) = match dtype {
            Dtype::F32 => from_f32,
            Dtype::F16 => from_f16,
            Dtype::Bf16 => from_bf16,
            Dtype::Other(name, _) => return Err(wrong_type(self.place(tensor), name)),
        };
        let mut bytes = vec![0; PIECE.min(values.len() * size)];
        let mut at = first + start * size as u64;
        for piece in values.chunks_mut(PIECE / size) {
            let bytes = &mut bytes[..piece.len() * size];
            let Shard { name, file, .. } = &self.shards[shard];
            file.read(at, bytes).map_err(|e| read_error(name, e))?;
            convert(bytes, piece);
            at += bytes.len() as u64;
        }
        Ok(())
    }
}

fn from_f32(bytes: &[u8], values: &mut [f32]) {
    for (x, &b) in values.iter_mut().zip(bytes.as_chunks().0) {
        *x = f32::from_le_bytes(b);
    }
}

fn from_bf16(bytes: &[u8], values: &mut [f32]) {
    for (x, &b) in values.iter_mut().zip(bytes.as_chunks().0) {
        *x = f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16);
    }
}

fn from_f16(bytes: &[u8], values: &mut [f32]) {
    let mut bits = [0u16; 256];
    for (values, bytes) in values.chunks_mut(256).zip(bytes.chunks(512)) {
        let bits = &mut bits[..values.len()];
        for (bits, &b) in bits.iter_mut().zip(bytes.as_chunks().0) {
            *bits = u16::from_le_bytes(b);
        }
        bits.reinterpret_cast::<f16>().convert_to_f32_slice(values);
    }
}

/// A file that threads read at once, each where it likes.
#[cfg(unix)]
struct Positioned(File);

#[cfg(unix)]
impl Positioned {
    fn new(file: File) -> Self {
        Positioned(file)
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, bytes, at)
    }
}

/// Elsewhere threads take turns.
#[cfg(not(unix))]
struct Positioned(std::sync::Mutex<File>);

#[cfg(not(unix))]
impl Positioned {
    fn new(file: File) -> Self {
        Positioned(std::sync::Mutex::new(file))
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(bytes)
    }
}
