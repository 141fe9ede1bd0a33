//! The frame of a panel: how much room its labels take, its grid, and where a value is in it.

use super::canvas::{Canvas, Colour, HPos, Lettering, Point, VPos};
use super::clip::Bounds;
use super::scale::Scale;
use super::text::{broken, lines, widest, width_of};
use super::{Axis, INK, RIGHT, Result, SMALL, lettering};

/// Of all frames.
pub(super) const HEIGHT: i32 = 240;
const TITLE: i32 = 16;
const TITLE_LINE: i32 = 22;
/// Of an axis's name.
const NAME: i32 = SMALL + 1;
const NAME_LINE: i32 = 18;
const TICK_LINE: i32 = 15;
const GRID: Colour = plotters::style::RGBColor(218, 218, 218);
const FAINT: Colour = plotters::style::RGBColor(240, 240, 240);
const EDGE: Colour = plotters::style::RGBColor(90, 90, 90);

/// What is written around a frame, before it is known where that is.
pub(super) struct Labels {
    title: Vec<String>,
    x_name: Vec<String>,
    y_name: Vec<String>,
    x_ticks: Ticks,
    y_ticks: Vec<(f64, String)>,
}

enum Ticks {
    Numbers(Vec<(f64, String)>),
    Names(Names),
}

/// Names of categories, in lines; those that have none are left out for want of room.
struct Names {
    lines: Vec<Vec<String>>,
    upwards: bool,
}

impl Labels {
    /// What is left of the frame.
    pub(super) fn left(axis: &Axis, y: &Scale) -> i32 {
        let ticks = y_ticks(y);
        let name = lines(&axis.label, HEIGHT, NAME).len() as i32;
        16 + name * NAME_LINE + widest(ticks.iter().map(|(_, label)| label), SMALL)
    }

    pub(super) fn new(title: &str, axes: [&Axis; 2], scales: [&Scale; 2], names: &[String], width: i32) -> Labels {
        let x_ticks = if names.is_empty() {
            Ticks::Numbers(x_ticks(scales[0], width))
        } else {
            Ticks::Names(Names::new(names, width / names.len() as i32))
        };
        Labels {
            title: lines(title, width, TITLE),
            x_name: lines(&axes[0].label, width, NAME),
            y_name: lines(&axes[1].label, HEIGHT, NAME),
            x_ticks,
            y_ticks: y_ticks(scales[1]),
        }
    }

    pub(super) fn above(&self) -> i32 {
        8 + self.title.len() as i32 * TITLE_LINE
    }

    pub(super) fn below(&self) -> i32 {
        self.x_ticks.height() + self.x_name.len() as i32 * NAME_LINE + 12
    }
}

fn y_ticks(y: &Scale) -> Vec<(f64, String)> {
    let ticks = y.ticks(8);
    let labels = y.labels(&ticks);
    ticks.into_iter().zip(labels).collect()
}

/// As many as do not come too close.
fn x_ticks(x: &Scale, width: i32) -> Vec<(f64, String)> {
    for most in (1..=8).rev() {
        let ticks = x.ticks(most);
        let labels = x.labels(&ticks);
        let ends = |(value, label): &(f64, String)| {
            let (middle, half) = (x.position(*value) * f64::from(width), f64::from(width_of(label, SMALL)) / 2.0);
            (middle - half, middle + half)
        };
        let mut ticks: Vec<(f64, String)> = ticks.into_iter().zip(labels).collect();
        // Of what is beside the frame, half belongs to the next panel.
        let beside = f64::from(RIGHT - 2);
        ticks.retain(|tick| ends(tick).0 >= -beside && ends(tick).1 <= f64::from(width) + beside);
        if ticks.windows(2).all(|two| ends(&two[0]).1 + 10.0 < ends(&two[1]).0) {
            return ticks;
        }
    }
    Vec::new()
}

impl Ticks {
    fn height(&self) -> i32 {
        match self {
            Ticks::Numbers(_) => 8 + TICK_LINE,
            Ticks::Names(names) if names.upwards => 12 + widest(names.lines.iter().flatten(), SMALL),
            Ticks::Names(names) => 8 + TICK_LINE * names.lines.iter().map(Vec::len).max().unwrap_or(0) as i32,
        }
    }
}

impl Names {
    /// Side by side if they fit, in lines if need be; else upwards, and where that is too tight, only every so many. Of
    /// numbers, whose sequence is clear, every so many side by side.
    fn new(names: &[String], room: i32) -> Names {
        let widest_word = names.iter().flat_map(|name| name.split_whitespace()).map(|word| width_of(word, SMALL)).max();
        let in_lines: Vec<Vec<String>> = names.iter().map(|name| lines(name, (room - 8).max(1), SMALL)).collect();
        if widest_word.unwrap_or(0) <= room - 8 && in_lines.iter().all(|lines| lines.len() <= 3) {
            return Names { lines: in_lines, upwards: false };
        }
        let numbers = names.iter().all(|name| name.replace([',', '−'], "").parse::<f64>().is_ok());
        let needed = if numbers { widest(names, SMALL) + 10 } else { TICK_LINE };
        let every = (needed / room.max(1) + 1) as usize;
        let shown = |(at, name): (usize, &String)| {
            if at % every > 0 {
                return Vec::new();
            }
            let lines = broken(name, HEIGHT / 2, SMALL);
            if !numbers && lines.len() as i32 * TICK_LINE < room { lines } else { vec![name.clone()] }
        };
        Names { lines: names.iter().enumerate().map(shown).collect(), upwards: !numbers }
    }
}

/// A panel's frame, and what its pixels mean.
pub(super) struct Frame {
    pub(super) left: i32,
    pub(super) top: i32,
    pub(super) width: i32,
    pub(super) x: Scale,
    pub(super) y: Scale,
}

impl Frame {
    pub(super) fn at(&self, x: f64, y: f64) -> Point {
        (self.x_at(x), self.y_at(y))
    }

    pub(super) fn x_at(&self, x: f64) -> f64 {
        f64::from(self.left) + self.x.position(x) * f64::from(self.width)
    }

    pub(super) fn y_at(&self, y: f64) -> f64 {
        f64::from(self.top) + (1.0 - self.y.position(y)) * f64::from(HEIGHT)
    }

    pub(super) fn bounds(&self) -> Bounds {
        [self.left, self.top, self.left + self.width, self.top + HEIGHT].map(f64::from)
    }

    /// All that is behind the lines.
    pub(super) fn draw_grid(&self, canvas: &Canvas<'_>, labels: &Labels) -> Result<()> {
        let [left, top, right, bottom] = self.bounds();
        if let Ticks::Numbers(ticks) = &labels.x_ticks {
            for (value, colour) in grid(&self.x, ticks) {
                let x = self.x_at(value);
                canvas.line(&[(x, top), (x, bottom)], colour, 1, &[])?;
            }
        }
        for (value, colour) in grid(&self.y, &labels.y_ticks) {
            let y = self.y_at(value);
            canvas.line(&[(left, y), (right, y)], colour, 1, &[])?;
        }
        Ok(())
    }

    /// The axes and all that is written, over the lines.
    pub(super) fn draw_labels(&self, canvas: &Canvas<'_>, labels: &Labels) -> Result<()> {
        let (right, bottom) = (self.left + self.width, self.top + HEIGHT);
        let corner = |x: i32, y: i32| (f64::from(x), f64::from(y));
        canvas.line(&[corner(self.left, self.top), corner(self.left, bottom), corner(right, bottom)], EDGE, 1, &[])?;
        let middle = self.left + self.width / 2;
        let centred = |size: i32| lettering(size, INK, (HPos::Center, VPos::Top));
        for (at, line) in labels.title.iter().rev().enumerate() {
            canvas.text(line, (middle, self.top - 4 - (at as i32 + 1) * TITLE_LINE), centred(TITLE))?;
        }
        for (value, label) in &labels.y_ticks {
            let y = self.y_at(*value);
            canvas.line(&[(f64::from(self.left - 4), y), (f64::from(self.left), y)], EDGE, 1, &[])?;
            let how = lettering(SMALL, INK, (HPos::Right, VPos::Center));
            canvas.text(label, (self.left - 8, y.round() as i32), how)?;
        }
        let below = bottom + 8;
        match &labels.x_ticks {
            Ticks::Numbers(ticks) => {
                for (value, label) in ticks {
                    let x = self.x_at(*value);
                    canvas.line(&[(x, f64::from(bottom)), (x, f64::from(bottom + 4))], EDGE, 1, &[])?;
                    canvas.text(label, (x.round() as i32, below), centred(SMALL))?;
                }
            }
            Ticks::Names(names) => self.draw_names(canvas, names)?,
        }
        for (at, line) in labels.x_name.iter().enumerate() {
            let y = bottom + labels.x_ticks.height() + 4 + at as i32 * NAME_LINE;
            canvas.text(line, (middle, y), centred(NAME))?;
        }
        let width = widest(labels.y_ticks.iter().map(|(_, label)| label), SMALL);
        for (at, line) in labels.y_name.iter().rev().enumerate() {
            let x = self.left - 14 - width - at as i32 * NAME_LINE;
            let how = Lettering { upwards: true, ..lettering(NAME, INK, (HPos::Center, VPos::Bottom)) };
            canvas.text(line, (x, self.top + HEIGHT / 2), how)?;
        }
        Ok(())
    }

    fn draw_names(&self, canvas: &Canvas<'_>, names: &Names) -> Result<()> {
        let top = self.top + HEIGHT + 8;
        for (at, lines) in names.lines.iter().enumerate() {
            let x = self.x_at(at as f64).round() as i32;
            for (line, text) in lines.iter().enumerate() {
                if names.upwards {
                    let across = line as i32 * TICK_LINE - (lines.len() as i32 - 1) * TICK_LINE / 2;
                    let how = Lettering { upwards: true, ..lettering(SMALL, INK, (HPos::Right, VPos::Center)) };
                    canvas.text(text, (x + across, top), how)?;
                } else {
                    let how = lettering(SMALL, INK, (HPos::Center, VPos::Top));
                    canvas.text(text, (x, top + line as i32 * TICK_LINE), how)?;
                }
            }
        }
        Ok(())
    }
}

/// Faint lines first, so that those at the labels cover them.
fn grid(scale: &Scale, ticks: &[(f64, String)]) -> Vec<(f64, Colour)> {
    let faint = scale.between().into_iter().map(|value| (value, FAINT));
    faint.chain(ticks.iter().map(|tick| (tick.0, GRID))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_ticks_keep_apart() {
        for (low, high, log) in [(0.0, 1e6, false), (1e5, 2e6, true), (1e-9, 1e12, true), (-2e6, -1e6, false)] {
            for width in [60, 120, 400] {
                let scale = Scale { low, high, log };
                let ticks = x_ticks(&scale, width);
                let taken: i32 = ticks.iter().map(|(_, label)| width_of(label, SMALL) + 10).sum();
                assert!(taken <= 2 * width, "{ticks:?} in {width}");
                assert!(width < 400 || ticks.len() >= 2, "{ticks:?}");
            }
        }
    }

    #[test]
    fn names_find_room() {
        let names =
            |texts: &[&str], room| Names::new(&texts.iter().map(|t| (*t).to_string()).collect::<Vec<_>>(), room);
        let wide = names(&["BLOOM 3B", "OPT 13B"], 200);
        assert!(!wide.upwards && wide.lines[0] == ["BLOOM 3B"]);
        assert_eq!(names(&["BLOOM 3B", "OPT 13B"], 60).lines[0], ["BLOOM", "3B"]);
        assert!(names(&["transcendental", "b"], 40).upwards);
        let numbers: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let thin = Names::new(&numbers, 4);
        let many = Names::new(&vec!["a long name".to_string(); 100], 4);
        assert!(many.upwards && many.lines.iter().filter(|lines| !lines.is_empty()).count() == 25);
        assert!(!thin.upwards && thin.lines.iter().filter(|lines| !lines.is_empty()).count() < 20);
    }
}
