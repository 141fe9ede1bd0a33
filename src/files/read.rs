//! Reading: every file is opened and, where it is read whole, bounded here.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Place, Result};

/// What editors on Windows put in front of UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The error for a failed read of `name`.
pub(crate) fn read_error(name: &str, source: io::Error) -> Error {
    Error::Io { path: name.to_string(), action: "read", source }
}

/// The error for text in another encoding.
pub(crate) fn not_utf8(place: Place) -> Error {
    place.error("the line is not valid UTF-8", "save the file as UTF-8")
}

/// Opens a file for reading; a directory is an error here and not at the first read.
///
/// # Errors
/// See above.
pub(crate) fn open(path: &Path) -> Result<File> {
    let error = |source| Error::Io { path: path.display().to_string(), action: "open", source };
    let file = File::open(path).map_err(error)?;
    if file.metadata().map_err(error)?.is_dir() {
        return Err(error(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory, not a file")));
    }
    Ok(file)
}

/// Whether a path is a pipe with a name, which can be opened only once somebody writes to it. Pipes of the process,
/// such as /dev/stdin or a shell's `<(…)`, have no name.
#[cfg(unix)]
fn is_named_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|m| m.file_type().is_fifo())
        && path.canonicalize().is_ok_and(|path| !path.starts_with("/dev"))
}

#[cfg(not(unix))]
fn is_named_pipe(_path: &Path) -> bool {
    false
}

/// Reads a whole text file of at most `limit` bytes.
///
/// # Errors
/// A file that cannot be read, is larger, or is not UTF-8; a pipe with a name, which nobody may ever write to.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String> {
    let name = path.display().to_string();
    if is_named_pipe(path) {
        return Err(Place::file(name).error("it is a named pipe, not a file", "give a file, or /dev/stdin"));
    }
    let too_large =
        || Place::file(&name).error(format!("the file is larger than {limit} bytes"), "is it the right file?");
    let file = open(path)?;
    // What the system says of a pipe or a device is not its length, so the bytes are counted below as well.
    if file.metadata().is_ok_and(|m| m.len() > limit) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| read_error(&name, e))?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        not_utf8(Place::line(name, line as u64))
    })
}
