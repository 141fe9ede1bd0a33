//! Runs on disk: a small file for each, so that a sweep that was interrupted goes on where it was.
//!
//! A run is known by its *key*: a text of everything that it depends on. Its file is called after the FNV-1a hash (128
//! bits) of the key and holds the key itself and a hash of what the run came to, and counts only if both are right.
//! Files appear whole (temporary, then renamed), so any number of sweeps may use one folder at once; what a killed one
//! left unfinished is named `.dftsp-….part` and never read.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::files::read::read_text;
use crate::files::write::write_file;
use crate::simulation::{Series, Summary};

/// A run's file is far smaller.
const MAX_FILE: u64 = 1 << 20;

/// A folder of runs.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

#[derive(Serialize)]
struct RunOut<'r> {
    /// The key, by line.
    key: Vec<&'r str>,
    /// See [`hash`].
    hash: String,
    summary: &'r Summary,
}

#[derive(Deserialize)]
struct RunIn {
    key: Vec<String>,
    hash: String,
    summary: Summary,
}

impl Store {
    /// In a folder, which is there.
    pub fn new(folder: impl Into<PathBuf>) -> Store {
        Store { folder: folder.into() }
    }

    /// Where the run of that key is.
    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{:032x}.json", fnv1a(key.bytes())))
    }

    /// The run of that key, if its file is there, whole and its own.
    pub fn load(&self, key: &str) -> Option<Summary> {
        let path = self.path(key);
        // Most are not there at first; that is no error, nor is a damaged one: it is run again.
        let run: RunIn = serde_json::from_str(&read_existing(&path)?).ok()?;
        let own = key.lines().eq(run.key.iter().map(String::as_str));
        (own && hash(&run.summary) == run.hash).then_some(run.summary)
    }

    /// Keeps a run.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, key: &str, summary: &Summary) -> Result<()> {
        let run = RunOut { key: key.lines().collect(), hash: hash(summary), summary };
        // Strings and numbers only: none of them can fail.
        let mut text = serde_json::to_string_pretty(&run).unwrap_or_default();
        text.push('\n');
        write_file(&self.path(key), text.as_bytes())
    }
}

/// Of the summary as text, so that no digit of it can change unseen.
fn hash(summary: &Summary) -> String {
    // Strings and numbers only: none of them can fail.
    let text = serde_json::to_string(summary).unwrap_or_default();
    format!("{:032x}", fnv1a(text.bytes()))
}

fn read_existing(path: &Path) -> Option<String> {
    path.is_file().then(|| read_text(path, MAX_FILE).ok()).flatten()
}

/// What is kept of a summary: not what happened over time, nor how latencies are distributed, which is most of it.
pub fn short(summary: Summary) -> Summary {
    Summary { series: Series::default(), latency_distribution: Vec::new(), ..summary }
}

/// The FNV-1a hash with 128 bits (Fowler, Noll and Vo; draft-eastlake-fnv): the same on every machine and in every
/// version.
pub fn fnv1a(bytes: impl Iterator<Item = u8>) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_hash_is_that_of_its_authors() {
        // Values of the reference implementation.
        assert_eq!(fnv1a("".bytes()), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv1a("a".bytes()), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(fnv1a("ab".bytes()), 0x0880_9544_bbab_1be9_5aa0_7330_55b6_9a62);
        assert_eq!(fnv1a("abc".bytes()), 0xa68d_622c_ec8b_5822_836d_bc79_77af_7f3b);
    }

    #[test]
    fn only_whole_files_of_the_same_key_count() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let mut summary = Summary { scheduler: "flat".to_string(), duration_s: 0.1 + 0.2, ..Summary::default() };
        summary.counts.in_time = 1234;
        summary.total.used = [1.0 / 3.0, 1e-300, 0.0, 2.0f64.sqrt()];
        let key = "dftsp\nä \"quoted\"\n";
        assert_eq!(store.load(key), None);
        store.save(key, &summary).unwrap();
        assert_eq!(store.load(key).as_ref(), Some(&summary), "to the last bit");
        let text = fs::read_to_string(store.path(key)).unwrap();
        for damaged in
            [&text[..text.len() / 2], "", "[]", &text.replace("quoted", "other"), &text.replace("flat\"", "")]
                .into_iter()
                .chain([text.replace("1234", "1235").as_str(), &text.replace("0.30000000000000004", "0.3")])
        {
            fs::write(store.path(key), damaged).unwrap();
            assert_eq!(store.load(key), None, "{damaged}");
        }
        fs::remove_file(store.path(key)).unwrap();
        fs::create_dir(store.path(key)).unwrap();
        assert_eq!(store.load(key), None);
    }
}
