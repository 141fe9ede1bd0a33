//! Tables beside the weights, so that weights are read once.
//!
//! A cache is a JSON file named after its key: the files (name, length, time of the last change, hash of the header),
//! the settings, the activations and the version of this crate. The key stands in it whole, with the table and a
//! checksum: a cache of anything else, or a damaged one, is measured again and replaced. A change of weights that keeps
//! the length shows in the time of change; who sets that back keeps the old table.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Settings;
use super::calibration::Calibration;
use super::checkpoint::Identity;
use super::layers::Layers;
use super::table::Table;
use crate::error::Result;
use crate::files::read::read_text;
use crate::files::write::write_file;

const MAX_FILE: u64 = 1 << 26;

/// FNV-1a.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    version: String,
    files: Vec<Identity>,
    bits: Vec<u32>,
    granularity: String,
    scheme: String,
    activations: Option<Vec<Identity>>,
    activations_seed: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    key: Key,
    checksum: String,
    table: Table,
}

/// Where one table is kept.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    key: Key,
}

impl Cache {
    /// The place in `folder` of the table of these files.
    pub fn new(folder: &Path, files: &[Identity], settings: &Settings, calibration: Option<&Calibration>) -> Cache {
        let (activations, activations_seed) = match calibration {
            None => (None, None),
            Some(Calibration::File(recorded)) => (Some(recorded.identity().to_vec()), None),
            Some(Calibration::Synthetic(seed)) => (None, Some(*seed)),
        };
        let key = Key {
            version: env!("CARGO_PKG_VERSION").to_string(),
            files: files.to_vec(),
            bits: settings.bits().to_vec(),
            granularity: settings.granularity.name(),
            scheme: settings.scheme.name().to_string(),
            activations,
            activations_seed,
        };
        // Not the identity of files: a stale table is replaced and leaves no second one behind.
        let names: Vec<&str> = key.files.iter().map(|f| f.file.as_str()).collect();
        let about = format!("{names:?} {:?} {} {} {calibration:?}", key.bits, key.granularity, key.scheme);
        let path = folder.join(format!(".dftsp-weights-{:016x}.json", hash(about.as_bytes())));
        Cache { path, key }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The table, if a whole one of the same files and settings is there.
    pub fn load(&self, layers: &Layers, settings: &Settings) -> Option<Table> {
        let text = if self.path.is_file() { read_text(&self.path, MAX_FILE).ok()? } else { return None };
        let stored: Stored = serde_json::from_str(&text).ok()?;
        let whole = checksum(&stored.table).is_some_and(|sum| sum == stored.checksum);
        (whole && stored.key == self.key && stored.table.answers(layers, settings)).then_some(stored.table)
    }

    /// Keeps a table.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn store(&self, table: &Table) -> Result<()> {
        let Some(checksum) = checksum(table) else { return Ok(()) };
        let stored = Stored { key: self.key.clone(), checksum, table: table.clone() };
        // Numbers and strings always have a JSON form.
        let Ok(text) = serde_json::to_string_pretty(&stored) else { return Ok(()) };
        write_file(&self.path, format!("{text}\n").as_bytes())
    }
}

fn checksum(table: &Table) -> Option<String> {
    Some(format!("{:016x}", hash(serde_json::to_string(table).ok()?.as_bytes())))
}
