//! Request traces: arrival times and lengths, in the formats that are public today.
//!
//! | format | recognised by | time |
//! |---|---|---|
//! | Azure LLM inference | columns `TIMESTAMP,ContextTokens,GeneratedTokens` | date and time, with or without UTC offset |
//! | Vidur | columns `arrived_at,num_prefill_tokens,num_decode_tokens` | seconds |
//! | Mooncake (JSON Lines) | objects with `timestamp`, `input_length`, `output_length` | milliseconds |
//!
//! Times become nanoseconds since the first arrival. They must not go back, and must not leap a year ahead: either
//! means that times of different origins are mixed.

use std::io::BufRead;

use super::arrivals::Recording;
use super::csv::{parse_number, parse_tokens};
use super::record::{Records, column, read_line};
use super::synthesis::{RowRng, Synthesis};
use super::{OutputLevels, Request, Requests};
use crate::error::{Error, Place, Result, quote};
use crate::files::read::not_utf8;
use crate::limits::{self, Range};

/// Seconds that fit in 64-bit nanoseconds (to the year 2255 where they count from 1970).
const TIME: Range = Range { min: 0.0, max: 9e9, min_allowed: true, unit: "seconds" };
/// The widest gap between two arrivals of one trace.
const WIDEST_GAP_NS: i64 = 366 * 24 * 3600 * 1_000_000_000;
const NS: f64 = 1e9;

/// Arrivals of one trace, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    arrived_ns: Vec<i64>,
    prompt_tokens: Vec<u32>,
    output_tokens: Vec<u32>,
}

/// The clock that the rows of a trace use; one trace, one clock.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Clock {
    DateWithOffset,
    DateWithoutOffset,
    Number,
}

/// How times are written in a CSV trace.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Format {
    Azure,
    Vidur,
}

/// Where a CSV trace has its columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns {
    format: Format,
    at: [usize; 3],
}

impl Format {
    fn names(self) -> [&'static str; 3] {
        match self {
            Format::Azure => ["TIMESTAMP", "ContextTokens", "GeneratedTokens"],
            Format::Vidur => ["arrived_at", "num_prefill_tokens", "num_decode_tokens"],
        }
    }
}

impl Columns {
    /// The columns of a known trace format, if the header has them all. Other columns of a trace are ignored.
    pub(crate) fn recognise(header: &str, ends: &[usize]) -> Option<Columns> {
        let find = |name: &str| (0..ends.len()).find(|&i| column(header, ends, i) == name);
        [Format::Azure, Format::Vidur].into_iter().find_map(|format| {
            let [time, prompt, output] = format.names();
            Some(Columns { format, at: [find(time)?, find(prompt)?, find(output)?] })
        })
    }
}

/// Reads the rows of a CSV trace after its header.
pub(crate) fn read_csv<R: BufRead>(records: &mut Records<R>, columns: Columns) -> Result<Trace> {
    let names = columns.format.names();
    let (header, ends) = records.text()?;
    for name in names {
        if (0..ends.len()).filter(|&i| column(header, ends, i) == name).count() > 1 {
            return Err(records.place().field(name).error("the column is there twice", "give every column once"));
        }
    }
    let width = ends.len();
    let mut builder = Builder::default();
    while records.advance()? {
        let (text, ends) = records.text()?;
        if ends.len() != width {
            let problem = format!("{} columns where the header has {width}", ends.len());
            return Err(records.place().error(problem, "give one value per column"));
        }
        let field = |c: usize| column(text, ends, columns.at[c]);
        let place = |c: usize| records.place().field(names[c]);
        let (clock, time_ns) = match columns.format {
            Format::Azure => parse_date(field(0), || place(0))?,
            Format::Vidur => (Clock::Number, nanoseconds(parse_number(field(0), &TIME, || place(0))?)),
        };
        let prompt = parse_tokens(field(1), || place(1))?;
        let output = parse_tokens(field(2), || place(2))?;
        builder.push(clock, time_ns, prompt, output, || place(0))?;
    }
    builder.finish(records.place())
}

#[derive(serde::Deserialize)]
struct MooncakeRow {
    timestamp: f64,
    input_length: serde_json::Number,
    output_length: serde_json::Number,
}

/// Reads a Mooncake trace: one JSON object a line.
pub(crate) fn read_json_lines<R: BufRead>(mut input: R, name: &str) -> Result<Trace> {
    let mut builder = Builder::default();
    let (mut line, mut number) = (Vec::new(), 1);
    while read_line(&mut input, name, number, &mut line)? {
        let place = || Place::line(name, number);
        if !line.trim_ascii().is_empty() {
            // The parser does not look at the text of fields that it skips.
            let text = std::str::from_utf8(&line).map_err(|_| not_utf8(place()))?;
            let row: MooncakeRow = serde_json::from_str(text).map_err(|e| json_error(&e, place()))?;
            TIME.check(row.timestamp / 1e3, || place().field("timestamp"))?;
            let prompt = parse_tokens(&row.input_length.to_string(), || place().field("input_length"))?;
            let output = parse_tokens(&row.output_length.to_string(), || place().field("output_length"))?;
            let time_ns = nanoseconds(row.timestamp / 1e3);
            builder.push(Clock::Number, time_ns, prompt, output, || place().field("timestamp"))?;
        }
        number += 1;
    }
    builder.finish(Place::line(name, number - 1))
}

fn json_error(e: &serde_json::Error, place: Place) -> Error {
    let message = e.to_string();
    let what = message.split(" at line ").next().unwrap_or_default();
    let problem = if e.column() > 0 { format!("{what} (column {})", e.column()) } else { what.to_string() };
    place.error(problem, "give one object per line with timestamp, input_length and output_length")
}

fn nanoseconds(seconds: f64) -> i64 {
    // At most 9e18 by TIME, so the conversion is exact to the nearest integer and cannot saturate.
    (seconds * NS).round() as i64
}

fn parse_date(text: &str, place: impl Fn() -> Place) -> Result<(Clock, i64)> {
    let has_offset = text.bytes().skip(10).any(|b| matches!(b, b'+' | b'-' | b'Z' | b'z'));
    let parsed = if has_offset {
        text.parse::<jiff::Timestamp>().ok().map(|t| (Clock::DateWithOffset, t))
    } else {
        let utc = |date: jiff::civil::DateTime| date.to_zoned(jiff::tz::TimeZone::UTC).ok();
        text.parse().ok().and_then(utc).map(|t| (Clock::DateWithoutOffset, t.timestamp()))
    };
    let in_range = parsed.and_then(|(clock, t)| Some((clock, i64::try_from(t.as_nanosecond()).ok()?)));
    in_range.ok_or_else(|| {
        let problem = format!("{} is not a date and time", quote(text.as_bytes()));
        place().error(problem, "give one like 2023-11-16 18:17:03.9799600")
    })
}

#[derive(Default)]
struct Builder {
    trace: Trace,
    origin_ns: i64,
    clock: Option<Clock>,
}

impl Builder {
    fn push(&mut self, clock: Clock, time_ns: i64, prompt: u32, output: u32, place: impl Fn() -> Place) -> Result<()> {
        match self.clock {
            None => (self.clock, self.origin_ns) = (Some(clock), time_ns),
            Some(first) if first != clock => {
                let problem = "times with and without UTC offset are mixed";
                return Err(place().error(problem, "write all times of the file alike"));
            }
            Some(_) => {}
        }
        // In 128 bits: two dates of the format's range may lie further apart than i64 nanoseconds reach.
        let at = i128::from(time_ns) - i128::from(self.origin_ns);
        let last = self.trace.arrived_ns.last().copied().unwrap_or(0);
        let step = at - i128::from(last);
        if step < 0 {
            let problem = format!("the time goes back by {} s from the row before", -step as f64 / NS);
            return Err(place().error(problem, "sort the rows by time; are traces of different origins mixed?"));
        }
        let at = i64::try_from(at).ok().filter(|_| step <= i128::from(WIDEST_GAP_NS));
        let Some(at) = at else {
            let problem = "the time leaps more than a year ahead of the row before";
            return Err(place().error(problem, "give times of one origin"));
        };
        self.trace.arrived_ns.push(at);
        if self.trace.len() > limits::MAX_REQUESTS {
            let remedy = format!("give at most {} rows", limits::MAX_REQUESTS);
            return Err(place().error("too many rows", remedy));
        }
        self.trace.prompt_tokens.push(prompt);
        self.trace.output_tokens.push(output);
        Ok(())
    }

    fn finish(self, place: Place) -> Result<Trace> {
        if self.trace.is_empty() {
            return Err(place.error("the trace has a header but no rows", "add one line per request"));
        }
        Ok(self.trace)
    }
}

/// The window of a trace that one epoch serves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Start of the window, seconds after the first arrival.
    pub from_s: f64,
    /// End of the window, where the epoch begins that serves it.
    pub to_s: f64,
    /// First row of the window and the row after its last.
    pub rows: (usize, usize),
}

impl Trace {
    /// The number of arrivals.
    pub fn len(&self) -> usize {
        self.arrived_ns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.arrived_ns.is_empty()
    }

    /// Row `row`: seconds since the first arrival, prompt tokens, output tokens.
    pub fn row(&self, row: usize) -> (f64, u32, u32) {
        (self.arrived_ns[row] as f64 / NS, self.prompt_tokens[row], self.output_tokens[row])
    }

    /// The requests that arrived in the `epoch_s` seconds before `at_s`: from `at_s − epoch_s` on, before `at_s`.
    pub fn window(&self, at_s: f64, epoch_s: f64) -> Window {
        let (from_ns, to_ns) = (((at_s - epoch_s) * NS).round() as i64, (at_s * NS).round() as i64);
        let row_at = |t: i64| self.arrived_ns.partition_point(|&a| a < t);
        Window { from_s: at_s - epoch_s, to_s: at_s, rows: (row_at(from_ns), row_at(to_ns)) }
    }

    /// Time of the last arrival, seconds after the first.
    pub fn last_arrival_s(&self) -> f64 {
        self.arrived_ns.last().map_or(0.0, |&at| at as f64 / NS)
    }

    /// The busiest epoch of the grid that starts at the first arrival; the earliest of several.
    pub fn busiest_window(&self, epoch_s: f64) -> Window {
        let epoch_ns = ((epoch_s * NS).round() as i64).max(1);
        let mut best = (0, 0);
        for run in self.arrived_ns.chunk_by(|a, b| a / epoch_ns == b / epoch_ns) {
            if run.len() > best.1 {
                best = (run[0] / epoch_ns, run.len());
            }
        }
        let from_ns = best.0 * epoch_ns;
        let first = self.arrived_ns.partition_point(|&a| a < from_ns);
        // In float, so that the end of a last epoch near the limit of i64 cannot overflow.
        let from_s = from_ns as f64 / NS;
        Window { from_s, to_s: from_s + epoch_s, rows: (first, first + best.1) }
    }

    /// Rounds every output length up to the next level.
    ///
    /// # Errors
    /// A request longer than the largest level.
    pub fn round_outputs_up(&mut self, levels: &OutputLevels) -> Result<()> {
        for (row, tokens) in self.output_tokens.iter_mut().enumerate() {
            let Some(level) = levels.round_up(*tokens) else {
                let place = Place::file(format!("row {} of the trace", row + 1)).field("output_tokens");
                let problem = format!("{tokens} output tokens are more than the largest level");
                return Err(place.error(problem, format!("add a level of at least {tokens}")));
            };
            *tokens = level;
        }
        Ok(())
    }

    /// The trace as arrivals to replay; see [`Recording::new`].
    ///
    /// # Errors
    /// Those of [`Recording::new`].
    pub fn recording(&self, time_compression: f64, merged_cells: u32) -> Result<Recording> {
        let rows = self.arrived_ns.iter().zip(self.prompt_tokens.iter().zip(&self.output_tokens));
        // Times count from the first arrival and do not go back.
        let rows = rows.map(|(&at, (&prompt, &output))| (at.unsigned_abs(), prompt, output));
        Recording::new(rows, time_compression, merged_cells)
    }

    /// The requests of a window, waiting since they arrived, everything else from `synthesis`. Ids are row numbers of
    /// the trace, from 1.
    ///
    /// # Errors
    /// A synthesised attribute out of range.
    pub fn requests(&self, window: &Window, synthesis: &Synthesis) -> Result<Requests> {
        let mut requests = Requests::new();
        let mut rng = RowRng::new(synthesis.seed, window.rows.0 as u64);
        for row in window.rows.0..window.rows.1 {
            let (arrived_s, prompt, output) = self.row(row);
            let waited_s = (window.to_s - arrived_s).max(0.0);
            let draws = rng.next_row();
            let class = synthesis.class(arrived_s, &draws);
            let request: Request = synthesis.request_of(class, prompt, output, waited_s, &draws);
            requests.push(&(row + 1).to_string(), request)?;
        }
        Ok(requests)
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::{self, Source};
    use super::*;

    fn trace(text: &str) -> Result<Trace> {
        match source::read(text.as_bytes(), "t")? {
            Source::Trace(t) => Ok(t),
            Source::Requests(_) => panic!("recognised as requests"),
        }
    }

    #[test]
    fn three_formats_give_the_same_arrivals() {
        let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,48,10\n2023-11-16 18:17:05.4799600,31,8\n";
        let offset = azure.replace("600,", "600+00:00,");
        let vidur = "arrived_at,num_prefill_tokens,num_decode_tokens\n3.25,48,10\n4.75,31,8";
        let mooncake = "{\"timestamp\": 3250, \"input_length\": 48, \"output_length\": 10, \"hash_ids\": [0, 1]}\n\n\
            {\"timestamp\": 4750, \"input_length\": 31, \"output_length\": 8, \"hash_ids\": []}\n";
        let expected = trace(azure).unwrap();
        assert_eq!((expected.row(0), expected.row(1)), ((0.0, 48, 10), (1.5, 31, 8)));
        for other in [offset.as_str(), vidur, mooncake] {
            assert_eq!(trace(other).unwrap(), expected);
        }
    }

    #[test]
    fn mixed_origins_and_columns_are_refused_with_the_line() {
        let vidur = "arrived_at,num_prefill_tokens,num_decode_tokens\n";
        let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,48,10\n";
        for (text, problem) in [
            (format!("{vidur}5.0,1,1\n4.0,1,1\n"), "t, line 3, arrived_at: the time goes back by 1 s"),
            (format!("{vidur}0.5,1,1\n1700000000,1,1\n"), "t, line 3, arrived_at: the time leaps more than a year"),
            (format!("{azure}2023-11-16 18:17:04Z,48,10\n"), "t, line 3, TIMESTAMP: times with and without UTC offset"),
            (format!("{azure}12.5,48,10\n"), "t, line 3, TIMESTAMP: '12.5' is not a date and time"),
            (format!("{azure}9999-01-01 00:00:00,48,10\n"), "t, line 3, TIMESTAMP: '9999-01-01 00:00:00' is not"),
            (vidur.replacen("num_", "arrived_at,num_", 1), "t, line 1, arrived_at: the column is there twice"),
            (format!("{azure}1700-01-01 00:00:00,48,10\n"), "t, line 3, TIMESTAMP: the time goes back"),
        ] {
            let message = trace(&text).unwrap_err().to_string();
            assert!(message.starts_with(problem), "{message}");
        }
    }

    #[test]
    fn the_busiest_epoch_and_a_named_one() {
        let rows = [0.0, 1.9, 2.0, 2.1, 3.9, 4.0, 7.5].map(|t| format!("{t},1,1\n")).concat();
        let t = trace(&format!("arrived_at,num_prefill_tokens,num_decode_tokens\n{rows}")).unwrap();
        let busiest = t.busiest_window(2.0);
        assert_eq!(busiest, Window { from_s: 2.0, to_s: 4.0, rows: (2, 5) });
        assert_eq!(t.window(4.0, 2.0), busiest);
        assert_eq!(t.window(100.0, 2.0).rows, (7, 7));
        let requests = t.requests(&busiest, &Synthesis::default()).unwrap();
        let waited: Vec<f64> = requests.rows().iter().map(|r| r.waited_s).collect();
        assert_eq!(requests.ids().iter().collect::<Vec<_>>(), ["3", "4", "5"]);
        assert!(waited.iter().zip([2.0, 1.9, 0.1]).all(|(a, b)| (a - b).abs() < 1e-9), "{waited:?}");
        let recording = t.recording(2.0, 3).unwrap();
        assert_eq!((recording.len(), recording.duration_ns()), (21, 4_375_000_000));
    }
}
