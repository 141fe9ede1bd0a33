//! CSV records and text lines from a stream, in bounded memory, with line numbers.
//!
//! The parsing is csv-core's; this adds the bound: a record or line longer than the limit is an error at its line, so a
//! file that is one endless line costs no more memory than any other.

use std::io::{BufRead, Read};

use csv_core::{ReadRecordResult, Reader};

use crate::error::{Place, Result};
use crate::files::read::{not_utf8, read_error};

/// The longest CSV record, bytes.
const MAX_RECORD: usize = 1 << 16;
/// The most columns a record may have.
const MAX_COLUMNS: usize = 64;
/// The longest line of a JSON Lines file, bytes (Mooncake lists the hash of every cached block).
pub(crate) const MAX_LINE: usize = 1 << 24;

/// A stream of CSV records.
pub(crate) struct Records<R> {
    input: R,
    name: String,
    core: Reader,
    text: Box<[u8]>,
    ends: [usize; MAX_COLUMNS],
    columns: usize,
    line: u64,
}

impl<R: BufRead> Records<R> {
    pub(crate) fn new(input: R, name: &str) -> Self {
        Records {
            input,
            name: name.to_string(),
            core: Reader::new(),
            text: vec![0; MAX_RECORD].into_boxed_slice(),
            ends: [0; MAX_COLUMNS],
            columns: 0,
            line: 0,
        }
    }

    /// The line on which the current record ends.
    pub(crate) fn place(&self) -> Place {
        Place::line(&self.name, self.line)
    }

    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The line on which a record begins that has not ended after `filled` bytes.
    fn start(&self, filled: usize) -> Place {
        let line_feeds = self.text[..filled].iter().filter(|&&b| b == b'\n').count() as u64;
        Place::line(&self.name, self.line - line_feeds)
    }

    /// Moves to the next record that is not blank; false at the end of the file.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        let (mut filled, mut columns) = (0, 0);
        loop {
            let input = self.input.fill_buf().map_err(|e| read_error(&self.name, e))?;
            let at_end = input.is_empty();
            // A line feed ends the last record, unless a quote is open.
            let input = if at_end { b"\n" } else { input };
            let (result, read, wrote, ended) =
                self.core.read_record(input, &mut self.text[filled..], &mut self.ends[columns..]);
            filled += wrote;
            columns += ended;
            if at_end && filled == 0 && columns == 0 {
                return Ok(false);
            }
            // The core counts line feeds it has consumed; a record that ended with one belongs to the line before.
            let ended_line = read > 0 && input[read - 1] == b'\n' && matches!(result, ReadRecordResult::Record);
            if !at_end {
                self.input.consume(read);
                if matches!(result, ReadRecordResult::InputEmpty) {
                    continue;
                }
            }
            self.line = self.core.line() - u64::from(ended_line);
            match result {
                ReadRecordResult::InputEmpty => {
                    return Err(self.start(filled).error("a quote is left open", "close it with a second quote"));
                }
                ReadRecordResult::OutputFull => {
                    let problem = format!("the record is longer than {MAX_RECORD} bytes");
                    return Err(self.start(filled).error(problem, "give one request per line; is a quote left open?"));
                }
                ReadRecordResult::OutputEndsFull => {
                    let problem = format!("more than {MAX_COLUMNS} columns");
                    return Err(self.place().error(problem, "give one request per line"));
                }
                ReadRecordResult::Record => {
                    self.columns = columns;
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    /// The current record as text, with the ends of its columns.
    pub(crate) fn text(&self) -> Result<(&str, &[usize])> {
        let ends = &self.ends[..self.columns];
        let bytes = &self.text[..ends.last().copied().unwrap_or(0)];
        match std::str::from_utf8(bytes) {
            Ok(text) if ends.iter().all(|&end| text.is_char_boundary(end)) => Ok((text, ends)),
            _ => Err(not_utf8(self.place())),
        }
    }
}

/// Column `index` of a record, trimmed of blanks.
#[inline]
pub(crate) fn column<'t>(text: &'t str, ends: &[usize], index: usize) -> &'t str {
    let start = if index == 0 { 0 } else { ends[index - 1] };
    text[start..ends[index]].trim_ascii()
}

/// Reads one line without its end into `line`; false at the end of the file.
pub(crate) fn read_line<R: BufRead>(input: &mut R, name: &str, number: u64, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    let read = input.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', line).map_err(|e| read_error(name, e))?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if read > MAX_LINE {
        let problem = format!("the line is longer than {MAX_LINE} bytes");
        return Err(Place::line(name, number).error(problem, "give one request per line"));
    }
    Ok(read > 0)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn lines(text: &str) -> Vec<(u64, Vec<String>)> {
        // A tiny buffer, so that records straddle refills.
        let mut records = Records::new(io::BufReader::with_capacity(3, text.as_bytes()), "t");
        let mut all = Vec::new();
        while records.advance().unwrap() {
            let (text, ends) = records.text().unwrap();
            let row = (0..ends.len()).map(|i| column(text, ends, i).to_string()).collect();
            all.push((records.line(), row));
        }
        all
    }

    #[test]
    fn lines_are_counted_with_either_line_end_and_blank_lines() {
        for end in ["\n", "\r\n"] {
            let text = ["a,b", "", "1, 2 ", "\"x,y\",3", "4,5"].join(end);
            let expected = [(1, ["a", "b"]), (3, ["1", "2"]), (4, ["x,y", "3"]), (5, ["4", "5"])];
            let expected: Vec<_> = expected.map(|(n, r)| (n, r.map(String::from).to_vec())).to_vec();
            assert_eq!(lines(&text), expected, "end {end:?}");
            assert_eq!(lines(&(text + end)), expected, "end {end:?} at the end of the file");
        }
    }

    #[test]
    fn a_quote_left_open_is_an_error_where_it_opens() {
        for (text, line) in [("a,b\n\n\"1,2\n3,4\n", 3), ("a,\"", 1), ("a,b\n1,\"2\n", 2)] {
            let mut records = Records::new(text.as_bytes(), "t");
            let message = loop {
                match records.advance() {
                    Ok(more) => assert!(more, "{text}"),
                    Err(e) => break e.to_string(),
                }
            };
            assert!(message.starts_with(&format!("t, line {line}: a quote is left open")), "{message}");
        }
        assert_eq!(lines("a,\"b\""), [(1, vec!["a".to_string(), "b".to_string()])]);
    }

    #[test]
    fn an_endless_line_is_an_error_in_bounded_memory() {
        let five_gb = 5 << 30;
        let mut records = Records::new(io::BufReader::new(io::repeat(b'a').take(five_gb)), "t");
        let message = records.advance().unwrap_err().to_string();
        assert!(message.starts_with("t, line 1: the record is longer than"), "{message}");
        let mut input = io::BufReader::new(io::repeat(b'a').take(five_gb));
        let mut line = Vec::new();
        assert!(read_line(&mut input, "t", 1, &mut line).is_err());
        assert!(line.capacity() <= 4 * MAX_LINE);
    }

    #[test]
    fn columns_split_inside_a_character_are_refused() {
        let mut records = Records::new(&b"\xc3,\xa9\n"[..], "t");
        assert!(records.advance().unwrap());
        assert!(records.text().is_err());
    }
}
