//! The CSV contract for requests: reader and writer.
//!
//! Header:
//! `id,prompt_tokens,output_tokens,deadline_s,waited_s,max_perplexity_increase,channel_power_gain,uplink_power_dbm`, in
//! any order. The columns after `output_tokens` may be missing, and a field of theirs may be empty: it then takes the
//! default of [`Request::new`]. Unknown columns are errors, since they are usually misspelt ones.

use std::io::{self, BufRead, Write};

use super::record::{Records, column};
use super::{Request, Requests};
use crate::error::{Place, Result, quote};
use crate::limits::{self, Range};

/// The columns of the contract. The first three are required.
pub const COLUMNS: [&str; 8] = [
    "id",
    "prompt_tokens",
    "output_tokens",
    "deadline_s",
    "waited_s",
    "max_perplexity_increase",
    "channel_power_gain",
    "uplink_power_dbm",
];
const REQUIRED: usize = 3;
const ABSENT: usize = usize::MAX;

/// Parses a number of tokens.
///
/// # Errors
/// Not a whole number, or outside [`limits::TOKENS`].
#[inline]
pub(crate) fn parse_tokens(text: &str, place: impl Fn() -> Place) -> Result<u32> {
    match text.parse::<u32>() {
        Ok(tokens) if limits::TOKENS.contains(f64::from(tokens)) => Ok(tokens),
        _ => {
            parse_number(text, &limits::TOKENS, &place)?;
            let problem = format!("{} is not a whole number of tokens", quote(text.as_bytes()));
            Err(place().error(problem, limits::TOKENS.remedy()))
        }
    }
}

/// Parses a number in `range`.
///
/// # Errors
/// Not a number, or out of range.
#[inline]
pub(crate) fn parse_number(text: &str, range: &Range, place: impl Fn() -> Place) -> Result<f64> {
    match text.parse::<f64>() {
        Ok(value) => {
            range.check(value, place)?;
            Ok(value)
        }
        Err(_) if text.is_empty() => Err(place().error("the field is empty", range.remedy())),
        Err(_) => Err(place().error(format!("{} is not a number", quote(text.as_bytes())), range.remedy())),
    }
}

/// Reads requests after their header, which is the current record of `records`.
pub(crate) fn read<R: BufRead>(records: &mut Records<R>) -> Result<Requests> {
    let (header, ends) = records.text()?;
    let mut at = [ABSENT; COLUMNS.len()];
    for index in 0..ends.len() {
        let name = column(header, ends, index);
        let place = || records.place().field(quote(name.as_bytes()));
        let Some(known) = COLUMNS.iter().position(|c| *c == name) else {
            return Err(place().error("unknown column", format!("the columns are {}", COLUMNS.join(","))));
        };
        if at[known] != ABSENT {
            return Err(place().error("the column is there twice", "give every column once"));
        }
        at[known] = index;
    }
    if let Some(missing) = (0..REQUIRED).find(|&c| at[c] == ABSENT) {
        let problem = format!("the column {} is missing", COLUMNS[missing]);
        return Err(records.place().error(problem, format!("start the file with {}", COLUMNS.join(","))));
    }
    let columns = ends.len();
    let mut requests = Requests::new();
    let mut lines = Lines::default();
    while records.advance()? {
        let (text, ends) = records.text()?;
        if ends.len() != columns {
            let problem = format!("{} columns where the header has {columns}", ends.len());
            return Err(records.place().error(problem, "give one value per column"));
        }
        let field = |c: usize| column(text, ends, at[c]);
        let place = |c: usize| records.place().field(COLUMNS[c]);
        let mut request = Request::new(1, 1);
        request.prompt_tokens = parse_tokens(field(1), || place(1))?;
        request.output_tokens = parse_tokens(field(2), || place(2))?;
        let optional = |c: usize, range: &Range, slot: &mut f64| -> Result<()> {
            if at[c] != ABSENT {
                let text = field(c);
                if !text.is_empty() {
                    *slot = parse_number(text, range, || place(c))?;
                }
            }
            Ok(())
        };
        optional(3, &limits::DEADLINE, &mut request.deadline_s)?;
        optional(4, &limits::WAITED, &mut request.waited_s)?;
        optional(5, &limits::PERPLEXITY, &mut request.max_perplexity_increase)?;
        optional(6, &limits::GAIN, &mut request.channel_power_gain)?;
        optional(7, &limits::POWER, &mut request.uplink_power_dbm)?;
        lines.note(requests.len(), records.line());
        requests.push_at(field(0), request, || records.place())?;
    }
    if requests.is_empty() {
        return Err(records.place().error("the file has a header but no requests", "add one line per request"));
    }
    if let Some((earlier, later)) = requests.first_duplicate() {
        let place = Place { line: Some(lines.of(later)), ..records.place() }.field("id");
        let problem = format!("{} is also the id of line {}", quote(requests.id(later).as_bytes()), lines.of(earlier));
        return Err(place.error(problem, "give every request its own id"));
    }
    Ok(requests)
}

/// The line of every row, stored only where rows and lines fall out of step.
#[derive(Default)]
struct Lines {
    steps: Vec<(usize, u64)>,
}

impl Lines {
    fn note(&mut self, row: usize, line: u64) {
        let offset = line - row as u64;
        if self.steps.last().is_none_or(|&(_, last)| last != offset) {
            self.steps.push((row, offset));
        }
    }

    fn of(&self, row: usize) -> u64 {
        let step = self.steps.partition_point(|&(first, _)| first <= row);
        row as u64 + self.steps.get(step.wrapping_sub(1)).map_or(0, |&(_, offset)| offset)
    }
}

/// Writes requests in the contract's format, one row at a time.
pub struct Writer<W> {
    out: W,
    number: ryu::Buffer,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: W) -> io::Result<Self> {
        writeln!(out, "{}", COLUMNS.join(","))?;
        Ok(Writer { out, number: ryu::Buffer::new() })
    }

    /// Writes one request.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, id: &str, r: &Request) -> io::Result<()> {
        if id.contains([',', '"', '\r', '\n']) {
            write!(self.out, "\"{}\"", id.replace('"', "\"\""))?;
        } else {
            self.out.write_all(id.as_bytes())?;
        }
        write!(self.out, ",{},{}", r.prompt_tokens, r.output_tokens)?;
        let rest = [r.deadline_s, r.waited_s, r.max_perplexity_increase, r.channel_power_gain, r.uplink_power_dbm];
        for value in rest {
            self.out.write_all(b",")?;
            self.out.write_all(self.number.format_finite(value).as_bytes())?;
        }
        self.out.write_all(b"\n")
    }

    /// Flushes and gives the output back.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Requests> {
        let mut records = Records::new(text.as_bytes(), "r.csv");
        assert!(records.advance()?);
        read(&mut records)
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut set = Requests::new();
        let odd = Request { channel_power_gain: 7.25e-14, waited_s: 0.1, ..Request::new(3, 4) };
        for id in ["plain", "comma,quote\"", "ü"] {
            set.push(id, odd).unwrap();
        }
        let mut writer = Writer::new(Vec::new()).unwrap();
        (0..set.len()).for_each(|i| writer.write(set.id(i), &set.rows()[i]).unwrap());
        let text = String::from_utf8(writer.finish().unwrap()).unwrap();
        assert_eq!(read_text(&text).unwrap(), set);
    }

    #[test]
    fn optional_columns_default_and_order_is_free() {
        let set = read_text("output_tokens,id,prompt_tokens,waited_s\n5,a,7,\n6,b,8,0.25\n").unwrap();
        assert_eq!(set.rows()[0], Request::new(7, 5));
        assert_eq!(set.rows()[1], Request { waited_s: 0.25, ..Request::new(8, 6) });
    }

    #[test]
    fn a_duplicate_is_reported_with_both_lines() {
        let message = read_text("id,prompt_tokens,output_tokens\na,1,1\n\nb,1,1\na,1,1\n").unwrap_err().to_string();
        assert_eq!(message, "r.csv, line 5, id: 'a' is also the id of line 2; give every request its own id");
    }
}
