//! Folders that results go to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A folder, and those of its parents that were made for it, innermost first. Dropped before [`Folder::keep`], those
/// made are gone.
#[derive(Debug)]
pub(super) struct Folder {
    made: Vec<PathBuf>,
}

impl Folder {
    /// Makes a folder, unless it is there.
    pub(super) fn create(path: &Path) -> Result<Folder> {
        let missing = path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        let missing: Vec<PathBuf> = missing.map(Path::to_path_buf).collect();
        let fail = |source| Error::Io { path: path.display().to_string(), action: "write", source };
        let mut folder = Folder { made: Vec::new() };
        for path in missing.into_iter().rev() {
            fs::create_dir(&path).map_err(fail)?;
            folder.made.insert(0, path);
        }
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(folder),
            Ok(_) => Err(fail(io::Error::new(io::ErrorKind::NotADirectory, "it is not a directory"))),
            Err(e) => Err(fail(e)),
        }
    }

    /// Leaves it there.
    pub(super) fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Only if they are empty, which they are unless someone else writes there too.
        self.made.iter().all(|path| fs::remove_dir(path).is_ok());
    }
}
