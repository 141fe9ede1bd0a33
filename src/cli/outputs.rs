//! Files that results go to: opened before anything is computed, and made to appear once all are complete.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Place, Result};
use crate::files::write::Output;

/// The files of some options.
#[derive(Debug, Default)]
pub(super) struct Outputs(Vec<(&'static str, Output)>);

impl Outputs {
    /// Opens the files that were asked for.
    ///
    /// # Errors
    /// One that cannot be written, or that is the file of two options.
    pub(super) fn open(options: &[(&'static str, Option<&Path>)]) -> Result<Outputs> {
        distinct(options)?;
        let asked = options.iter().filter_map(|&(option, path)| Some((option, path?)));
        asked.map(|(option, path)| Ok((option, Output::create(path)?))).collect::<Result<_>>().map(Outputs)
    }

    /// Writes a text to the file of an option, if there is one.
    pub(super) fn write(&mut self, option: &str, text: impl FnOnce() -> String) -> Result<()> {
        let Some((_, output)) = self.0.iter_mut().find(|(name, _)| *name == option) else { return Ok(()) };
        // Flushed, so that a full device is known of before anything is printed.
        output.write_all(text().as_bytes()).and_then(|()| output.flush()).map_err(|e| output.write_error(e))
    }

    pub(super) fn commit(self) -> Result<()> {
        self.0.into_iter().try_for_each(|(_, output)| output.commit())
    }
}

/// Refuses two options that name one file.
pub(super) fn distinct(options: &[(&'static str, Option<&Path>)]) -> Result<()> {
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for &(option, path) in options {
        let Some(path) = path.map(same_place) else { continue };
        if let Some((other, _)) = seen.iter().find(|(_, known)| *known == path) {
            return Err(Place::file(option).error(format!("it is the file of {other}"), "give two files"));
        }
        seen.push((option, path));
    }
    Ok(())
}

/// A path in a form that two spellings of one place share: its folder resolved, or all of it where it exists.
fn same_place(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let resolved = || Some(folder.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(resolved).unwrap_or_else(|| path.to_path_buf())
}
