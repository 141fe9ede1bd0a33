//! Output files: written beside their place under a temporary name, and renamed when complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// An output on its way to `path`. Dropped without [`Output::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    /// A regular file, to be renamed.
    Temporary(BufWriter<NamedTempFile>),
    /// A device or pipe, which cannot be replaced by a rename.
    Direct(BufWriter<File>),
}

fn error(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.display().to_string(), action: "write", source }
}

impl Output {
    /// Opens an output that will become `path`. A symbolic link keeps pointing where it points.
    ///
    /// # Errors
    /// A folder that is missing or not writable, or a directory at `path`.
    pub fn create(path: &Path) -> Result<Output> {
        let fail = |e| error(path, e);
        if path.to_string_lossy().ends_with(std::path::is_separator) {
            return Err(fail(io::Error::new(io::ErrorKind::IsADirectory, "it names a directory, not a file")));
        }
        // A link may also point to what is not there yet.
        let linked = || fs::read_link(path).map(|to| path.parent().unwrap_or(Path::new("")).join(to));
        let target = fs::canonicalize(path).or_else(|_| linked()).unwrap_or_else(|_| path.to_path_buf());
        let kind = fs::metadata(&target).map(|m| m.file_type());
        if kind.as_ref().is_ok_and(|kind| kind.is_dir()) {
            return Err(fail(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory, not a file")));
        }
        let inner = if kind.is_ok_and(|kind| !kind.is_file()) {
            Inner::Direct(BufWriter::new(File::options().write(true).open(&target).map_err(fail)?))
        } else {
            let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::metadata(folder).map_err(fail)?;
            let mut builder = tempfile::Builder::new();
            builder.prefix(".dftsp-").suffix(".part");
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            // The reason alone: the temporary name means nothing to a user.
            let plain = |e: io::Error| fail(io::Error::from(e.kind()));
            Inner::Temporary(BufWriter::with_capacity(1 << 18, builder.tempfile_in(folder).map_err(plain)?))
        };
        Ok(Output { path: target, inner })
    }

    /// Makes the output appear at its path.
    ///
    /// # Errors
    /// Those of the last write and of the rename.
    pub fn commit(self) -> Result<()> {
        let path = self.path;
        match self.inner {
            Inner::Direct(mut out) => out.flush().map_err(|e| error(&path, e)),
            Inner::Temporary(out) => {
                let file = out.into_inner().map_err(|e| error(&path, e.into_error()))?;
                file.persist(&path).map(drop).map_err(|e| error(&path, e.error))
            }
        }
    }

    /// The error for a failed write to this output.
    pub fn write_error(&self, source: io::Error) -> Error {
        error(&self.path, source)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Temporary(out) => out.write(bytes),
            Inner::Direct(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.inner {
            Inner::Temporary(out) => out.flush(),
            Inner::Direct(out) => out.flush(),
        }
    }
}

/// Writes a whole file.
///
/// # Errors
/// Those of [`Output::create`] and [`Output::commit`].
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut output = Output::create(path)?;
    if let Err(e) = output.write_all(bytes) {
        return Err(output.write_error(e));
    }
    output.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        write_file(&path, b"old").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"half of the new").unwrap();
        drop(output);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_file(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing temporary is left");
    }

    #[test]
    fn a_directory_or_a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_file(folder.path(), b"x").unwrap_err().to_string().contains("it is a directory"));
        assert!(
            write_file(&folder.path().join("new/"), b"x").unwrap_err().to_string().contains("it names a directory")
        );
        assert!(write_file(&folder.path().join("no/out"), b"x").unwrap_err().to_string().contains("cannot write"));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_devices_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        fs::write(&target, b"old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write_file(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");
        fs::remove_file(&target).unwrap();
        write_file(&link, b"anew").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"anew");
        write_file(Path::new("/dev/null"), b"x").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
