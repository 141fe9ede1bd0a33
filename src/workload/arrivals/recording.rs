//! Traces to replay.

use super::NS;
use crate::error::{Place, Result};
use crate::limits;

/// One row of a recording. `phase` is its place in the repeated part, in nanoseconds divided by the number of cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Recorded {
    pub(super) phase: u64,
    pub(super) prompt_tokens: u32,
    pub(super) output_tokens: u32,
}

/// Arrivals of a trace, replayed: faster or slower, and as many cells at once as wanted.
///
/// The superposition of m copies, each shifted cyclically by 1/m of the length against the one before, repeats itself
/// after 1/m of the length. So only the rows themselves are held, however many cells there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    pub(super) rows: Vec<Recorded>,
    pub(super) duration_ns: u64,
    time_compression: f64,
    pub(super) merged_cells: u32,
}

impl Recording {
    /// A recording of rows (nanoseconds after the first arrival, prompt tokens, output tokens), in order of time. All
    /// times are divided by `time_compression`; `merged_cells` copies go to one node, copy j shifted cyclically by
    /// j/`merged_cells` of the length.
    ///
    /// # Errors
    /// No rows, too many, rows not in order, a number of tokens or a parameter out of range, a length of more than 290
    /// years.
    pub fn new(
        rows: impl Iterator<Item = (u64, u32, u32)>,
        time_compression: f64,
        merged_cells: u32,
    ) -> Result<Recording> {
        /// So that twice the length is still within 64 bits.
        const LONGEST_NS: f64 = 9e18;
        let place = |field: &str| Place::file("recording").field(field);
        limits::COMPRESSION.check(time_compression, || place("time_compression"))?;
        limits::CELLS.check(f64::from(merged_cells), || place("merged_cells"))?;
        let too_long = |ns: f64| {
            let problem = format!("the trace takes {:e} s", ns / NS);
            place("time_compression").error(problem, format!("give one for which it takes at most {:e} s", 9e9))
        };
        let mut kept = Vec::with_capacity(rows.size_hint().0.min(limits::MAX_REQUESTS));
        let mut before = 0;
        for (at_ns, prompt_tokens, output_tokens) in rows {
            let place = || place(&format!("row {}", kept.len() + 1));
            if at_ns < before {
                return Err(place().error("the time goes back", "sort the rows by time"));
            }
            if kept.len() == limits::MAX_REQUESTS {
                return Err(place().error("too many rows", format!("give at most {}", limits::MAX_REQUESTS)));
            }
            limits::TOKENS.check(f64::from(prompt_tokens), place)?;
            limits::TOKENS.check(f64::from(output_tokens), place)?;
            before = at_ns;
            // Rounding to nearest keeps the order.
            let compressed = (at_ns as f64 / time_compression).round();
            if compressed > LONGEST_NS {
                return Err(too_long(compressed));
            }
            // Without compression not through a float, which would lose the last digits after 104 days.
            let phase = if time_compression == 1.0 { at_ns } else { compressed as u64 };
            kept.push(Recorded { phase, prompt_tokens, output_tokens });
        }
        let Some(last) = kept.last().map(|row| row.phase) else {
            return Err(Place::file("recording").error("no rows", "give at least one arrival"));
        };
        // Of the length only the mean gap that closes the circle is a matter of taste; a single moment counts as a
        // second.
        let gap = if last > 0 { last as f64 / (kept.len() - 1) as f64 } else { NS / time_compression };
        if last as f64 + gap > LONGEST_NS {
            return Err(too_long(last as f64 + gap));
        }
        let duration_ns = last + (gap.round() as u64).max(1);
        for row in &mut kept {
            // Below the length, which has 64 bits.
            row.phase = (u128::from(row.phase) * u128::from(merged_cells) % u128::from(duration_ns)) as u64;
        }
        if merged_cells > 1 {
            kept.sort_by_key(|row| row.phase);
        }
        Ok(Recording { rows: kept, duration_ns, time_compression, merged_cells })
    }

    /// The number of arrivals in one length of the trace, all cells together.
    pub fn len(&self) -> usize {
        self.rows.len().saturating_mul(self.merged_cells as usize)
    }

    /// Whether there are none; there are always some.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What the arrivals are, as bytes, 16 for each row of the trace: two recordings are replayed alike if these are
    /// the same.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        let whole = [self.duration_ns, u64::from(self.merged_cells)].map(u64::to_le_bytes).into_iter().flatten();
        let row = |row: &Recorded| {
            let [low, high] = [row.phase, u64::from(row.prompt_tokens) | u64::from(row.output_tokens) << 32];
            low.to_le_bytes().into_iter().chain(high.to_le_bytes())
        };
        whole.chain(self.rows.iter().flat_map(row))
    }

    /// Length after compression, nanoseconds: to the last arrival and the mean gap beyond it (a second where all arrive
    /// at once).
    pub fn duration_ns(&self) -> u64 {
        self.duration_ns
    }

    /// What was changed, if the arrivals are not those of the trace as it is.
    pub fn scaled(&self) -> Option<String> {
        let mut changes = Vec::new();
        if self.time_compression != 1.0 {
            changes.push(format!("time compressed {} times", self.time_compression));
        }
        if self.merged_cells != 1 {
            changes.push(format!("{} cells merged", self.merged_cells));
        }
        (!changes.is_empty()).then(|| format!("scaled: {}", changes.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Stream;
    use super::*;

    const ROWS: [(u64, u32, u32); 5] = [(0, 1, 10), (10, 2, 20), (10, 3, 30), (400, 4, 40), (1000, 5, 50)];

    fn recorded(compression: f64, cells: u32, node: u32, nodes: u32) -> Vec<(u64, u32)> {
        let recording = Arc::new(Recording::new(ROWS.into_iter(), compression, cells).unwrap());
        let stream = Stream::recorded(recording, 1, node, nodes);
        stream.map(|a| (a.at_ns, a.prompt_tokens)).collect()
    }

    #[test]
    fn a_recording_is_replayed_once_from_where_its_node_starts() {
        // 1000 ns and the mean gap of 250.
        assert_eq!(recorded(1.0, 1, 0, 1), [(0, 1), (10, 2), (10, 3), (400, 4), (1000, 5)]);
        assert_eq!(recorded(1.0, 1, 1, 2), [(375, 5), (625, 1), (635, 2), (635, 3), (1025, 4)]);
        assert_eq!(recorded(10.0, 1, 0, 4), [(0, 1), (1, 2), (1, 3), (40, 4), (100, 5)]);
        let draws = |seed| {
            let recording = Arc::new(Recording::new(ROWS.into_iter(), 1.0, 1).unwrap());
            Stream::recorded(recording, seed, 1, 2).map(|a| a.draws).collect::<Vec<_>>()
        };
        assert!(draws(1) == draws(1) && draws(1) != draws(2));
    }

    /// Copies shifted one by one, as the documentation says.
    #[test]
    fn merged_cells_are_the_superposition_of_shifted_copies() {
        for (cells, node, nodes) in [(1, 0, 1), (2, 0, 1), (4, 0, 1), (5, 1, 3), (7, 2, 3)] {
            let merged = recorded(1.0, cells, node, nodes);
            assert_eq!(merged.len(), 5 * cells as usize);
            assert!(merged.is_sorted_by_key(|a| a.0) && merged.iter().all(|a| a.0 < 1250));
            let shift = |copy: u32| 1250.0 * (f64::from(copy) - f64::from(node) / f64::from(nodes)) / f64::from(cells);
            let mut copies: Vec<(u64, u32)> = (0..cells)
                .flat_map(|copy| ROWS.map(|row| ((row.0 as f64 + shift(copy)).rem_euclid(1250.0) as u64, row.1)))
                .collect();
            copies.sort_unstable();
            let mut merged = merged;
            merged.sort_unstable();
            let close = |a: &(u64, u32), b: &(u64, u32)| a.1 == b.1 && a.0.abs_diff(b.0) <= 1;
            for tokens in 1..=5 {
                let of = |list: &[(u64, u32)]| list.iter().copied().filter(|a| a.1 == tokens).collect::<Vec<_>>();
                let (a, b) = (of(&merged), of(&copies));
                assert!(a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| close(a, b)), "{cells}: {a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_recording_says_how_it_was_scaled_and_refuses_what_it_cannot_replay() {
        let new =
            |rows: &[(u64, u32, u32)], compression, cells| Recording::new(rows.iter().copied(), compression, cells);
        let plain = new(&ROWS, 1.0, 1).unwrap();
        assert_eq!((plain.len(), plain.duration_ns(), plain.scaled(), plain.is_empty()), (5, 1250, None, false));
        let scaled = new(&ROWS, 10.0, 4).unwrap();
        assert_eq!((scaled.len(), scaled.duration_ns()), (20, 125));
        assert_eq!(scaled.scaled().as_deref(), Some("scaled: time compressed 10 times, 4 cells merged"));
        let single = new(&[(0, 1, 1)], 2.0, 1_000_000).unwrap();
        assert_eq!((single.len(), single.duration_ns()), (1_000_000, 500_000_000));
        assert_eq!(new(&[(0, 1, 1), (0, 1, 1)], 1e9, 1).unwrap().duration_ns(), 1);
        let last = Stream::recorded(Arc::new(single), 1, 0, 1).last().unwrap();
        assert_eq!(last.at_ns, 499_999_500);
        for (rows, compression, cells, message) in [
            (&ROWS[..0], 1.0, 1, "recording: no rows"),
            (&[(5, 1, 1), (4, 1, 1)], 1.0, 1, "recording, row 2: the time goes back"),
            (&[(0, 0, 1)], 1.0, 1, "recording, row 1: 0 is not allowed"),
            (&ROWS, 0.0, 1, "recording, time_compression: "),
            (&ROWS, f64::NAN, 1, "recording, time_compression: "),
            (&ROWS, 1.0, 0, "recording, merged_cells: "),
            (&ROWS, 1.0, 1_000_001, "recording, merged_cells: "),
            (&[(u64::MAX, 1, 1)], 1.0, 1, "recording, time_compression: the trace takes "),
            (&[(0, 1, 1), (1 << 62, 1, 1)], 1e-6, 1, "recording, time_compression: the trace takes "),
        ] {
            let e = new(rows, compression, cells).unwrap_err().to_string();
            assert!(e.starts_with(message), "{e}");
        }
    }
}
