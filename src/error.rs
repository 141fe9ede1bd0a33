//! The one error type of the library, and how it says where bad input lies.

use std::fmt;
use std::io;

/// What went wrong. Every message is one line that says where, what, and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value, a row or a key that a user gave is wrong.
    #[error("{place}: {problem}; {remedy}")]
    Input {
        /// File, line and field.
        place: Place,
        /// What is wrong, with the offending value.
        problem: String,
        /// What would be right.
        remedy: String,
    },
    /// A file could not be opened, read or written.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The path as the user gave it.
        path: String,
        /// What was tried: "open", "read", "write", "remove".
        action: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Integer columns that no [`Instance`](crate::instance::Instance) may hold.
    #[error("instance: {0}")]
    Columns(String),
    /// A scheduler picked what is no feasible batch.
    #[error("schedule: {0}")]
    Schedule(String),
    /// A device that was asked for cannot be used.
    #[error("CUDA: {0}")]
    Device(#[from] crate::device::Fault),
    /// The system refused worker threads.
    #[error("cannot start {threads} threads: {source}; give fewer")]
    Threads {
        /// How many were asked for; 0 for one per core.
        threads: usize,
        /// What the thread pool said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A result of this library.
pub type Result<T> = std::result::Result<T, Error>;

/// Where in the input something is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// File name as the user gave it, or a description such as "request".
    pub source: String,
    /// Line, counted from 1, where known.
    pub line: Option<u64>,
    /// Column, key or option, where known.
    pub field: Option<String>,
}

impl Place {
    /// A whole file.
    pub fn file(source: impl Into<String>) -> Self {
        Place { source: source.into(), line: None, field: None }
    }

    /// One line of a file.
    pub fn line(source: impl Into<String>, line: u64) -> Self {
        Place { source: source.into(), line: Some(line), field: None }
    }

    /// The same place, narrowed to one field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(shorten(field.into()));
        self
    }

    /// The error that says what is wrong here and what would be right.
    pub fn error(self, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::Input { place: self, problem: shorten(problem.into()), remedy: remedy.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ", {field}")?;
        }
        Ok(())
    }
}

/// Parsers repeat what they read in their messages, however long it is.
fn shorten(mut text: String) -> String {
    const SHOWN: usize = 400;
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Text that a user gave, made safe for a one-line message: control characters and invalid UTF-8 are escaped, the
/// rest is cut after 60 characters.
pub fn quote(text: &[u8]) -> String {
    const SHOWN: usize = 60;
    let lossy = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN)]);
    let mut shown: String = lossy.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if lossy.chars().count() > SHOWN || text.len() > 4 * SHOWN {
        shown.push('…');
    }
    format!("'{shown}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_one_line_that_says_where_what_and_remedy() {
        let e = Place::line("requests.csv", 12).field("deadline_s").error("-1 is negative", "give seconds above 0");
        assert_eq!(e.to_string(), "requests.csv, line 12, deadline_s: -1 is negative; give seconds above 0");
    }

    #[test]
    fn quoted_text_is_short_and_on_one_line() {
        assert_eq!(quote(b"a\nb"), "'a\\nb'");
        let long = quote(&[b'x'; 1 << 20]);
        assert_eq!(long.chars().count(), 63);
        assert!(!quote(&[0xff, 0xfe]).is_empty());
    }
}
