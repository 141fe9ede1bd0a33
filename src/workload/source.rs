//! Opens a file of requests and recognises its format by its header.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::record::Records;
use super::trace::{Columns, Trace};
use super::{Requests, csv, trace};
use crate::error::{Place, Result};
use crate::files::read::{BYTE_ORDER_MARK, open, read_error};

/// What a file of requests holds.
#[derive(Debug)]
pub enum Source {
    /// Complete requests: the CSV contract.
    Requests(Requests),
    /// Arrival times and lengths: a trace, whose other attributes must be synthesised.
    Trace(Trace),
}

/// Reads the file at `path`; "-" is standard input.
///
/// # Errors
/// A file that cannot be opened or read; anything wrong in it, with its line.
pub fn read_path(path: &Path) -> Result<Source> {
    let name = path.display().to_string();
    if name == "-" {
        return read(BufReader::new(io::stdin().lock()), "standard input");
    }
    read(BufReader::with_capacity(1 << 18, open(path)?), &name)
}

/// Reads requests or a trace from a stream called `name` in messages.
///
/// # Errors
/// Anything wrong in the stream, with its line.
pub fn read<R: BufRead>(mut input: R, name: &str) -> Result<Source> {
    if input.fill_buf().map_err(|e| read_error(name, e))?.starts_with(BYTE_ORDER_MARK) {
        input.consume(BYTE_ORDER_MARK.len());
    }
    let first = input.fill_buf().map_err(|e| read_error(name, e))?.iter().find(|b| !b.is_ascii_whitespace());
    if first == Some(&b'{') {
        return trace::read_json_lines(input, name).map(Source::Trace);
    }
    let mut records = Records::new(input, name);
    if !records.advance()? {
        let remedy = format!("start it with {}", csv::COLUMNS.join(","));
        return Err(Place::file(name).error("the file is empty", remedy));
    }
    let (header, ends) = records.text()?;
    match Columns::recognise(header, ends) {
        Some(columns) => trace::read_csv(&mut records, columns).map(Source::Trace),
        None => csv::read(&mut records).map(Source::Requests),
    }
}
