//! Bars over categories: side by side or on top of each other.

use super::canvas::{Canvas, HPos, Lettering, VPos};
use super::frame::{Frame, HEIGHT};
use super::lines::whisker;
use super::look::Look;
use super::scale::{Scale, label, rounded_to, shows};
use super::text::{widest, width_of};
use super::{Bars, INK, Result, SMALL, clip, lettering};
use crate::report::number::{fixed, rounded};

/// Of the values above bars.
const TINY: i32 = SMALL - 1;
const VALUE_LINE: i32 = 14;

/// Of a category, what its bars take together.
const SHARE: f64 = 0.8;

impl Bars {
    pub(super) fn scale(&self) -> Scale {
        Scale { low: -0.5, high: self.categories.len().max(1) as f64 - 0.5, log: false }
    }

    /// All that the y axis is to hold.
    pub(super) fn heights(&self) -> Vec<f64> {
        // Bars stand on 0, which a logarithmic axis then does not show.
        let mut heights = vec![0.0];
        for at in 0..self.categories.len() {
            let mut below = 0.0;
            for set in &self.sets {
                let value = set.values.get(at).copied().filter(|value| value.is_finite()).unwrap_or(0.0);
                if self.stacked {
                    below += value;
                    heights.push(below);
                } else {
                    heights.push(value);
                    heights.extend(set.whiskers.iter().filter_map(|all| all.get(at)).flat_map(|ends| [ends.0, ends.1]));
                }
            }
        }
        heights
    }

    fn bar_width(&self, width: i32) -> f64 {
        let side_by_side = if self.stacked { 1 } else { self.sets.len().max(1) };
        SHARE * f64::from(width) / self.categories.len().max(1) as f64 / side_by_side as f64
    }

    /// The values in words, by set: on a linear axis with the decimals that give the largest three digits, unless all
    /// are whole numbers; on a logarithmic one with three digits each.
    fn texts(&self, log: bool) -> Vec<Vec<String>> {
        let all = || self.sets.iter().flat_map(|set| set.values.iter().copied()).filter(|value| value.is_finite());
        let largest = all().fold(0.0, |largest, value| f64::max(largest, value.abs()));
        let (whole, exponent) = (all().all(|value| value.fract() == 0.0), rounded(largest, 3).1);
        let text = |&value: &f64| match () {
            () if whole || !value.is_finite() || !(1e-4..1e7).contains(&largest) => label(rounded_to(value, 3)),
            () if log => label(rounded_to(value, 3)),
            () => fixed(value, usize::try_from(2 - exponent).unwrap_or(0)),
        };
        self.sets.iter().map(|set| set.values.iter().map(text).collect()).collect()
    }

    /// Whether the values are written above the bars, and if so, whether upwards.
    fn writes(&self, log: bool, width: i32) -> Option<bool> {
        if self.stacked {
            return None;
        }
        let texts = self.texts(log);
        let texts = texts.iter().flatten();
        let bar = self.bar_width(width);
        // Texts may be a little wider than their bars if the bar beside is of another category.
        let room = if self.sets.len() > 1 { bar - 2.0 } else { bar / SHARE - 6.0 };
        match () {
            () if f64::from(widest(texts, TINY)) <= room => Some(false),
            () if bar >= f64::from(VALUE_LINE - 2) => Some(true),
            () => None,
        }
    }

    /// Makes room for what is written above the highest bar.
    pub(super) fn make_room(&self, y: &mut Scale, width: i32) {
        let above = match self.writes(y.log, width) {
            None => 0,
            Some(false) => VALUE_LINE,
            Some(true) => widest(self.texts(y.log).iter().flatten(), TINY) + 4,
        };
        y.lower_top(1.0 - f64::from(above) / f64::from(HEIGHT));
    }

    pub(super) fn draw(&self, canvas: &Canvas<'_>, frame: &Frame, look: impl Fn(&str) -> Look) -> Result<()> {
        let bar = self.bar_width(frame.width);
        let (writes, texts) = (self.writes(frame.y.log, frame.width), self.texts(frame.y.log));
        let floor = if frame.y.log { frame.y.low } else { 0.0 };
        for (category, _) in self.categories.iter().enumerate() {
            let group =
                frame.x_at(category as f64) - SHARE * f64::from(frame.width) / self.categories.len() as f64 / 2.0;
            let mut below = floor;
            for (at, set) in self.sets.iter().enumerate() {
                let Some(&value) = set.values.get(category).filter(|&&value| shows(value, frame.y.log)) else {
                    continue;
                };
                let (from, to, left) = if self.stacked {
                    (below, if below == floor { value } else { below + value }, group)
                } else {
                    (floor, value, group + at as f64 * bar)
                };
                below = to;
                // Bars of a group touch where they are narrow; else a pixel sets them off.
                let (left, right) = (left, left + if bar > 6.0 && !self.stacked { bar - 1.0 } else { bar });
                let (bottom, top) = (frame.y_at(from), frame.y_at(to));
                let corners = [(left, bottom), (left, top), (right, top), (right, bottom)];
                canvas.area(&clip::area(frame.bounds(), &corners), look(&set.label).colour(), 1.0)?;
                if self.stacked {
                    continue;
                }
                let middle = (left + right) / 2.0;
                let ends = set.whiskers.as_ref().and_then(|all| all.get(category)).copied();
                let ends = ends.filter(|ends| ends.0.is_finite() && ends.1.is_finite());
                if let Some(ends) = ends {
                    whisker(canvas, frame, middle, ends, INK)?;
                }
                if let Some(upwards) = writes {
                    let top = ends.map_or(top, |ends| top.min(frame.y_at(ends.1)));
                    write(canvas, frame, &texts[at][category], (middle, top), upwards)?;
                }
            }
        }
        Ok(())
    }
}

/// A value above its bar, unless a fixed range leaves no room there.
fn write(canvas: &Canvas<'_>, frame: &Frame, text: &str, (x, y): (f64, f64), upwards: bool) -> Result<()> {
    let needed = if upwards { width_of(text, TINY) + 4 } else { VALUE_LINE };
    if y - f64::from(needed) < f64::from(frame.top) - 1.0 || y > f64::from(frame.top + HEIGHT) {
        return Ok(());
    }
    let at = (x.round() as i32, y.round() as i32 - if upwards { 4 } else { 2 });
    let anchor = if upwards { (HPos::Left, VPos::Center) } else { (HPos::Center, VPos::Bottom) };
    canvas.text(text, at, Lettering { upwards, ..lettering(TINY, INK, anchor) })
}
