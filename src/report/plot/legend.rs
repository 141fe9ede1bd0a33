//! Where the labels go, and what they stand for.

use super::canvas::{Canvas, HPos, VPos};
use super::look::Look;
use super::text::{broken, widest};
use super::{INK, Result, SMALL, Style, lettering};

/// What a label is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    Line(Style),
    Filled,
}

/// Of a line with its mark, and between labels.
const SAMPLE: i32 = 38;
const GAP: i32 = 24;
const LINE: i32 = 18;

/// Labels in columns, so that they can be read down as well as across; each in lines if it is long.
pub(super) struct Legend {
    entries: Vec<(Look, Sample, Vec<String>)>,
    /// Left end of each.
    columns: Vec<i32>,
}

impl Legend {
    pub(super) fn new(labels: &[(&str, Sample)], width: i32) -> Legend {
        let named = labels.iter().enumerate().filter(|(_, (label, _))| !label.trim().is_empty());
        let entry =
            |(at, &(label, sample)): (usize, &(&str, Sample))| (Look(at), sample, broken(label, width - SAMPLE, SMALL));
        let entries: Vec<(Look, Sample, Vec<String>)> = named.map(entry).collect();
        let widths: Vec<i32> = entries.iter().map(|(_, _, lines)| SAMPLE + widest(lines, SMALL)).collect();
        // The most columns that fit; of those that need as many rows, the fewest.
        let fits = (1..=entries.len()).rev().find(|&count| columns(&widths, count).1 <= width).unwrap_or(1);
        let count = entries.len().div_ceil(entries.len().div_ceil(fits).max(1)).max(1);
        let count = if columns(&widths, count).1 <= width { count } else { fits };
        let (mut columns, taken) = columns(&widths, count);
        columns.iter_mut().for_each(|left| *left += (width - taken).max(0) / 2);
        Legend { entries, columns }
    }

    fn rows(&self) -> impl Iterator<Item = &[(Look, Sample, Vec<String>)]> {
        self.entries.chunks(self.columns.len().max(1))
    }

    pub(super) fn height(&self) -> i32 {
        self.rows().map(height).sum()
    }

    pub(super) fn draw(&self, canvas: &Canvas<'_>, left: i32, top: i32) -> Result<()> {
        let mut top = top;
        for row in self.rows() {
            for ((look, sample, lines), column) in row.iter().zip(&self.columns) {
                let (x, y) = (left + column, top + LINE / 2);
                draw_sample(canvas, *look, *sample, (f64::from(x), f64::from(y)))?;
                for (at, line) in lines.iter().enumerate() {
                    let how = lettering(SMALL, INK, (HPos::Left, VPos::Center));
                    canvas.text(line, (x + SAMPLE, y + at as i32 * LINE), how)?;
                }
            }
            top += height(row);
        }
        Ok(())
    }
}

/// A row is as high as its highest entry.
fn height(row: &[(Look, Sample, Vec<String>)]) -> i32 {
    2 + LINE * row.iter().map(|(_, _, lines)| lines.len()).max().unwrap_or(0) as i32
}

/// Left ends of so many columns, and what they take.
fn columns(widths: &[i32], count: usize) -> (Vec<i32>, i32) {
    let (mut ends, mut left) = (Vec::new(), 0);
    for column in 0..count {
        ends.push(left);
        left += widths.iter().skip(column).step_by(count).max().unwrap_or(&0) + GAP;
    }
    (ends, left - GAP)
}

fn draw_sample(canvas: &Canvas<'_>, look: Look, sample: Sample, (x, y): (f64, f64)) -> Result<()> {
    match sample {
        Sample::Filled => {
            let corners = [(x + 8.0, y - 5.0), (x + 30.0, y - 5.0), (x + 30.0, y + 5.0), (x + 8.0, y + 5.0)];
            canvas.area(&corners, look.colour(), 1.0)
        }
        Sample::Line(style) => {
            canvas.line(&[(x, y), (x + 30.0, y)], look.colour(), 2, look.dashes(style))?;
            if style == Style::LineAndMarks { look.mark(canvas, (x + 15.0, y)) } else { Ok(()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_fit_whatever_their_length() {
        for length in [1, 10, 60, 400] {
            for count in [0, 1, 2, 9, 20] {
                let label = "m".repeat(length);
                let labels = vec![(label.as_str(), Sample::Filled); count];
                let legend = Legend::new(&labels, 400);
                assert_eq!(legend.entries.len(), count);
                for row in legend.rows() {
                    for (at, (_, _, lines)) in row.iter().enumerate() {
                        let right = legend.columns[at] + SAMPLE + widest(lines, SMALL);
                        assert!(right <= *legend.columns.get(at + 1).unwrap_or(&401), "{length} {count}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_has_no_label_has_no_entry() {
        let legend = Legend::new(&[("", Sample::Filled), ("b", Sample::Filled)], 400);
        assert_eq!((legend.entries.len(), legend.entries[0].0), (1, Look(1)));
        assert_eq!(Legend::new(&[("", Sample::Filled)], 400).height(), 0);
    }
}
