//! What is drawn with: text, lines and areas in pixels. The only user of the drawing library.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontTransform;
use plotters::style::text_anchor::Pos;
pub(in crate::report) use plotters::style::text_anchor::{HPos, VPos};

use super::Result;

pub(in crate::report) type Colour = RGBColor;

/// Pixels from the left and from above. Fractions are kept until something is drawn.
pub(in crate::report) type Point = (f64, f64);

const FONT: &str = "sans-serif";

/// A picture under construction.
pub(in crate::report) struct Canvas<'a> {
    root: DrawingArea<SVGBackend<'a>, Shift>,
}

/// How a text is written.
#[derive(Clone, Copy)]
pub(in crate::report) struct Lettering {
    pub(in crate::report) size: i32,
    pub(in crate::report) colour: Colour,
    /// Which of its points the given place is.
    pub(in crate::report) anchor: (HPos, VPos),
    /// From below to above.
    pub(in crate::report) upwards: bool,
}

impl<'a> Canvas<'a> {
    pub(in crate::report) fn new(svg: &'a mut String, size: (i32, i32)) -> Result<Canvas<'a>> {
        let root = SVGBackend::with_string(svg, (size.0 as u32, size.1 as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        Ok(Canvas { root })
    }

    pub(in crate::report) fn finish(self) -> Result<()> {
        Ok(self.root.present()?)
    }

    pub(in crate::report) fn text(&self, text: &str, at: (i32, i32), how: Lettering) -> Result<()> {
        let turn = if how.upwards { FontTransform::Rotate270 } else { FontTransform::None };
        let style = TextStyle::from((FONT, how.size).into_font().transform(turn));
        let style = style.color(&how.colour).pos(Pos::new(how.anchor.0, how.anchor.1));
        Ok(self.root.draw(&Text::new(text, at, style))?)
    }

    /// A line through all points, in dashes and gaps of these lengths if there are any.
    pub(in crate::report) fn line(&self, points: &[Point], colour: Colour, width: u32, dashes: &[f64]) -> Result<()> {
        let pieces = if dashes.is_empty() { vec![points.to_vec()] } else { dashed(points, dashes) };
        for piece in pieces {
            let mut piece = pixels(&piece);
            if piece.len() == 1 {
                piece.push(piece[0]);
            }
            if !piece.is_empty() {
                self.root.draw(&PathElement::new(piece, colour.stroke_width(width)))?;
            }
        }
        Ok(())
    }

    pub(in crate::report) fn area(&self, corners: &[Point], colour: Colour, opacity: f64) -> Result<()> {
        let corners = pixels(corners);
        if corners.len() > 2 {
            self.root.draw(&Polygon::new(corners, colour.mix(opacity).filled()))?;
        }
        Ok(())
    }

    pub(in crate::report) fn circle(&self, at: Point, radius: i32, colour: Colour) -> Result<()> {
        Ok(self.root.draw(&Circle::new(pixel(at), radius, colour.filled()))?)
    }
}

fn pixel((x, y): Point) -> (i32, i32) {
    (x.round() as i32, y.round() as i32)
}

/// Thousands of points on a few pixels are as good as few.
fn pixels(points: &[Point]) -> Vec<(i32, i32)> {
    let mut pixels: Vec<(i32, i32)> = points.iter().copied().map(pixel).collect();
    pixels.dedup();
    pixels
}

/// The dashes of a line, of which the second, fourth … lengths are gaps.
fn dashed(points: &[Point], lengths: &[f64]) -> Vec<Vec<Point>> {
    let mut pieces = Vec::new();
    let (mut at, mut left) = (0, lengths[0].max(1.0));
    let mut piece: Vec<Point> = points.first().copied().into_iter().collect();
    for ends in points.windows(2) {
        let ((x, y), (dx, dy)) = (ends[0], (ends[1].0 - ends[0].0, ends[1].1 - ends[0].1));
        let length = (dx * dx + dy * dy).sqrt();
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let point = (x + dx * done / length, y + dy * done / length);
            if at % 2 == 0 {
                piece.push(point);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![point];
            }
            at = (at + 1) % lengths.len();
            left = lengths[at].max(1.0);
        }
        left -= length - done;
        if at % 2 == 0 {
            piece.push(ends[1]);
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_leave_gaps() {
        let pieces = dashed(&[(0.0, 0.0), (10.0, 0.0), (10.0, 6.0)], &[6.0, 2.0]);
        assert_eq!(pieces, [vec![(0.0, 0.0), (6.0, 0.0)], vec![(8.0, 0.0), (10.0, 0.0), (10.0, 4.0)]]);
        assert!(dashed(&[], &[6.0, 2.0]).is_empty());
    }
}
