//! Opens a file of requests and recognises its format by its header.

use std::io::{self, BufRead, BufReader, Cursor, Read};
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
    let head = head(&mut input).map_err(|e| read_error(name, e))?;
    let is_json = head.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    let input = Cursor::new(head).chain(input);
    if is_json {
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

/// The start of the input, up to something that is no blank (or a limit), without a byte order mark. However small the
/// pieces are in which a pipe hands it over.
fn head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    const PIECE: u64 = 64;
    const LIMIT: usize = 1 << 20;
    let mut head = Vec::new();
    input.by_ref().take(PIECE).read_to_end(&mut head)?;
    if head.starts_with(BYTE_ORDER_MARK) {
        head.drain(..BYTE_ORDER_MARK.len());
    }
    while head.len() < LIMIT && head.iter().all(u8::is_ascii_whitespace) {
        if input.by_ref().take(PIECE).read_to_end(&mut head)? == 0 {
            break;
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out one byte at a time.
    struct Drip<'t>(&'t [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some((&first, rest)) = self.0.split_first() else { return Ok(0) };
            (into[0], self.0) = (first, rest);
            Ok(1)
        }
    }

    #[test]
    fn the_format_is_recognised_however_the_input_arrives() {
        let blank = "\n".repeat(100_000);
        let json = "{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 6}\n";
        for (start, is_trace) in [
            ("\u{feff}id,prompt_tokens,output_tokens\na,1,1\n", false),
            ("\u{feff}arrived_at,num_prefill_tokens,num_decode_tokens\n0,1,1\n", true),
            (json, true),
            (&("\u{feff}".to_string() + &blank + json), true),
            (&(blank.clone() + json), true),
            (&(blank + "id,prompt_tokens,output_tokens\na,1,1\n"), false),
        ] {
            let source = read(BufReader::with_capacity(1, Drip(start.as_bytes())), "t").unwrap();
            assert_eq!(matches!(source, Source::Trace(_)), is_trace, "{:.60}", start.trim());
        }
    }
}
