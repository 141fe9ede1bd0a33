//! Lines, their bands, and areas stacked on each other.

use super::canvas::{Canvas, Colour, Point};
use super::frame::Frame;
use super::look::Look;
use super::scale::shows;
use super::{Result, Series, Style, clip};

/// A line with what it stands on: nothing, or the areas below it.
pub(super) struct Drawn<'s> {
    pub(super) series: &'s Series,
    pub(super) points: Vec<(f64, f64)>,
    /// Low and high end for each point: of its band, or of its area.
    pub(super) ends: Vec<(f64, f64)>,
}

/// The series of a panel as they are drawn on axes that are logarithmic or not.
pub(super) fn drawn(series: &[Series], log: [bool; 2]) -> Vec<Drawn<'_>> {
    let mut below: Vec<f64> = Vec::new();
    series.iter().map(|series| Drawn::new(series, log, &mut below)).collect()
}

impl<'s> Drawn<'s> {
    fn new(series: &'s Series, log: [bool; 2], below: &mut Vec<f64>) -> Drawn<'s> {
        let mut drawn = Drawn { series, points: Vec::new(), ends: Vec::new() };
        for (at, &(x, y)) in series.points.iter().enumerate() {
            let (point, ends) = if series.style == Style::Stacked {
                if below.len() <= at {
                    below.resize(at + 1, 0.0);
                }
                let low = below[at];
                // A share that is not known is none.
                let high = low + if y.is_finite() { y } else { 0.0 };
                below[at] = high;
                ((x, high), (low, high))
            } else {
                let ends = series.band.as_ref().and_then(|band| band.get(at)).copied();
                ((x, y), ends.filter(|ends| ends.0.is_finite() && ends.1.is_finite()).unwrap_or((y, y)))
            };
            if shows(point.0, log[0]) && (shows(point.1, log[1]) || series.style == Style::Stacked) {
                drawn.points.push(point);
                drawn.ends.push(ends);
            }
        }
        drawn
    }

    /// All that its y axis is to hold.
    pub(super) fn heights(&self) -> impl Iterator<Item = f64> {
        let ends = self.ends.iter().flat_map(|ends| [ends.0, ends.1]);
        self.points.iter().map(|point| point.1).chain(ends)
    }

    fn has_band(&self) -> bool {
        self.series.style != Style::Stacked && self.series.band.is_some()
    }

    /// What is behind all lines.
    pub(super) fn draw_areas(&self, canvas: &Canvas<'_>, frame: &Frame, look: Look) -> Result<()> {
        let stacked = self.series.style == Style::Stacked;
        if !stacked && (!self.has_band() || self.series.style == Style::LineAndMarks) {
            return Ok(());
        }
        let side = |end: fn(&(f64, f64)) -> f64| -> Vec<Point> {
            let ends: Vec<(f64, f64)> = self.points.iter().zip(&self.ends).map(|(p, ends)| (p.0, end(ends))).collect();
            self.path(&ends).into_iter().map(|(x, y)| frame.at(x, y)).collect()
        };
        let (low, high) = (side(|ends| ends.0), side(|ends| ends.1));
        let around: Vec<Point> = high.into_iter().chain(low.into_iter().rev()).collect();
        let opacity = if stacked { 1.0 } else { 0.2 };
        canvas.area(&clip::area(frame.bounds(), &around), look.colour(), opacity)
    }

    pub(super) fn draw_line(&self, canvas: &Canvas<'_>, frame: &Frame, look: Look) -> Result<()> {
        if self.series.style == Style::Stacked {
            return Ok(());
        }
        let path: Vec<Point> = self.path(&self.points).into_iter().map(|(x, y)| frame.at(x, y)).collect();
        for part in clip::line(frame.bounds(), &path) {
            canvas.line(&part, look.colour(), 2, look.dashes(self.series.style))?;
        }
        Ok(())
    }

    /// Marks and whiskers; of a line without marks only a point that stands alone, which was not seen otherwise.
    pub(super) fn draw_marks(&self, canvas: &Canvas<'_>, frame: &Frame, look: Look) -> Result<()> {
        let marks = self.series.style == Style::LineAndMarks;
        if !marks && (self.points.len() != 1 || self.series.style == Style::Stacked) {
            return Ok(());
        }
        for (&(x, y), &ends) in self.points.iter().zip(&self.ends) {
            if self.has_band() {
                whisker(canvas, frame, frame.x_at(x), ends, look.colour())?;
            }
            let at = frame.at(x, y);
            if clip::inside(frame.bounds(), at) {
                look.mark(canvas, at)?;
            }
        }
        Ok(())
    }

    /// Through the points, with the corners of steps.
    fn path(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        if self.series.style != Style::Step {
            return points.to_vec();
        }
        let corners = points.windows(2).flat_map(|ends| [ends[0], (ends[1].0, ends[0].1)]);
        corners.chain(points.last().copied()).collect()
    }
}

/// From the low to the high end of an interval, with a bar across each that is in the frame.
pub(super) fn whisker(
    canvas: &Canvas<'_>,
    frame: &Frame,
    x: f64,
    (low, high): (f64, f64),
    colour: Colour,
) -> Result<()> {
    let (a, b) = ((x, frame.y_at(low)), (x, frame.y_at(high)));
    if let Some((a, b)) = clip::segment(frame.bounds(), a, b) {
        canvas.line(&[a, b], colour, 1, &[])?;
    }
    for (x, y) in [a, b] {
        if clip::inside(frame.bounds(), (x, y)) {
            canvas.line(&[(x - 4.0, y), (x + 4.0, y)], colour, 1, &[])?;
        }
    }
    Ok(())
}
