//! How lines are told apart: each label has its colour, its shape and, where there are no marks, its dashes.

use super::canvas::{Canvas, Colour, Point};
use super::{Result, Style};

const fn rgb(red: u8, green: u8, blue: u8) -> Colour {
    plotters::style::RGBColor(red, green, blue)
}

/// Told apart by everyone: those of Okabe and Ito without black and yellow, and three that differ from them in
/// lightness.
const COLOURS: [Colour; 9] = [
    rgb(0, 114, 178),
    rgb(213, 94, 0),
    rgb(0, 158, 115),
    rgb(204, 121, 167),
    rgb(86, 180, 233),
    rgb(230, 159, 0),
    rgb(80, 80, 80),
    rgb(136, 34, 85),
    rgb(51, 34, 136),
];

const DASHES: [&[f64]; 5] = [&[], &[12.0, 4.0], &[9.0, 3.0, 2.0, 3.0], &[2.0, 3.0], &[9.0, 3.0, 2.0, 3.0, 2.0, 3.0]];

/// Of filled shapes, around the point.
const SHAPES: [&[(i32, i32)]; 9] = [
    &[],
    &[(-4, -4), (4, -4), (4, 4), (-4, 4)],
    &[(0, -5), (5, 4), (-5, 4)],
    &[(0, -6), (6, 0), (0, 6), (-6, 0)],
    &[(0, 5), (5, -4), (-5, -4)],
    // An upright cross, one that lies, an hourglass and a star.
    &[(-2, -6), (2, -6), (2, -2), (6, -2), (6, 2), (2, 2), (2, 6), (-2, 6), (-2, 2), (-6, 2), (-6, -2), (-2, -2)],
    &[(-5, -3), (-3, -5), (0, -2), (3, -5), (5, -3), (2, 0), (5, 3), (3, 5), (0, 2), (-3, 5), (-5, 3), (-2, 0)],
    &[(-5, -5), (5, -5), (1, 0), (5, 5), (-5, 5), (-1, 0)],
    &[(0, -7), (2, -2), (7, -2), (3, 1), (4, 6), (0, 3), (-4, 6), (-3, 1), (-7, -2), (-2, -2)],
];

/// The number of a label, in order of appearance, as colour, shape and dashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look(pub(super) usize);

impl Look {
    pub(super) fn colour(self) -> Colour {
        COLOURS[self.0 % COLOURS.len()]
    }

    /// Dashes for everyone only where colours come round again; without marks already where they begin to be many.
    pub(super) fn dashes(self, style: Style) -> &'static [f64] {
        let pattern = match style {
            Style::Dashed => return &[6.0, 4.0],
            Style::Line | Style::Step => self.0.saturating_sub(4),
            Style::LineAndMarks | Style::Stacked => self.0 / COLOURS.len(),
        };
        DASHES[pattern % DASHES.len()]
    }

    pub(super) fn mark(self, canvas: &Canvas<'_>, at: Point) -> Result<()> {
        // Shifted by one where colours come round again, so that no two of 81 are alike.
        let corners = SHAPES[(self.0 + self.0 / COLOURS.len()) % SHAPES.len()];
        if corners.is_empty() {
            return canvas.circle(at, 4, self.colour());
        }
        let corners: Vec<Point> = corners.iter().map(|c| (at.0 + f64::from(c.0), at.1 + f64::from(c.1))).collect();
        canvas.area(&corners, self.colour(), 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lines_are_told_apart() {
        let looks: Vec<Look> = (0..40).map(Look).collect();
        for (at, a) in looks.iter().enumerate() {
            for b in &looks[..at] {
                let shape = |look: &Look| (look.0 + look.0 / COLOURS.len()) % SHAPES.len();
                assert!((a.colour(), shape(a)) != (b.colour(), shape(b)), "{a:?} {b:?}");
                let line = |look: &Look| (look.colour(), look.dashes(Style::Line));
                assert!(line(a) != line(b) || a.0 - b.0 >= COLOURS.len(), "{a:?} {b:?}");
            }
        }
    }
}
