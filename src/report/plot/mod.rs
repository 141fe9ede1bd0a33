//! Lines and bars over one or two axes, as an SVG document: panels side by side, one legend for all, a caption below.
//!
//! The same figure gives the same bytes. Fonts are the viewer's, so room is left for a wide one; no text is cut, and
//! none written over another: long ones are broken, and what is below moves down.

mod bars;
pub(in crate::report) mod canvas;
mod clip;
mod frame;
mod legend;
mod lines;
mod look;
mod scale;
pub(in crate::report) mod text;

use canvas::{Canvas, Colour, HPos, Lettering, VPos};
use frame::{Frame, HEIGHT, Labels};
use legend::{Legend, Sample};
use lines::Drawn;
use look::Look;
use scale::Scale;

/// A result of drawing.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A figure.
#[derive(Debug, Clone, Default)]
pub struct Plot {
    /// Above all panels.
    pub title: String,
    /// Lines below all panels; long ones are broken.
    pub caption: Vec<String>,
    /// What is shown to the right.
    pub x: Axis,
    /// What is shown upwards.
    pub y: Axis,
    /// Those without axes of their own have the same scales.
    pub panels: Vec<Panel>,
}

/// An axis.
#[derive(Debug, Clone, Default)]
pub struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// Logarithmic. Points that are not above 0 are then left out.
    pub log: bool,
    /// Where it begins, if not where the values do. What is below is cut off.
    pub from: Option<f64>,
    /// Where it ends, if not where the values do. What is above is cut off.
    pub to: Option<f64>,
}

/// Lines and bars in one frame.
#[derive(Debug, Clone, Default)]
pub struct Panel {
    /// Above it.
    pub title: String,
    /// Instead of the figure's.
    pub x: Option<Axis>,
    /// Instead of the figure's.
    pub y: Option<Axis>,
    /// The lines. Over bars, x is the number of a category, from 0.
    pub series: Vec<Series>,
    /// With bars, x shows their categories.
    pub bars: Option<Bars>,
}

/// A line. Those with the same label look the same in all panels; one without a label is not in the legend.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// In the legend.
    pub label: String,
    /// By x.
    pub points: Vec<(f64, f64)>,
    /// Low and high end of an interval around each point: a whisker where there are marks, else a light area.
    pub band: Option<Vec<(f64, f64)>>,
    /// How it is drawn.
    pub style: Style,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Style {
    /// Each point is marked.
    #[default]
    LineAndMarks,
    /// No marks: for hundreds of points.
    Line,
    /// Each value holds until the next.
    Step,
    /// No marks: for what is not measured, such as a bound.
    Dashed,
    /// An area on top of the stacked ones before it, which have the same x: for shares over time.
    Stacked,
}

/// Bars over categories.
#[derive(Debug, Clone, Default)]
pub struct Bars {
    /// From left to right.
    pub categories: Vec<String>,
    /// Of each category its bars, from left to right, or upwards if stacked.
    pub sets: Vec<BarSet>,
    /// On top of each other, for shares, without whiskers and values; else side by side, with the values above if there
    /// is room.
    pub stacked: bool,
}

/// A bar in each category.
#[derive(Debug, Clone, Default)]
pub struct BarSet {
    /// In the legend; it looks the same in all panels.
    pub label: String,
    /// By category. One that is not finite has no bar.
    pub values: Vec<f64>,
    /// Low and high end of an interval around each value.
    pub whiskers: Option<Vec<(f64, f64)>>,
}

/// The width of a panel with all that belongs to it.
const PANEL: i32 = 470;
/// Right of a frame: half of the last tick's label.
const RIGHT: i32 = 26;
/// Of the caption and the legend.
pub(in crate::report) const SMALL: i32 = 13;
pub(in crate::report) const LINE: i32 = 18;
pub(in crate::report) const TITLE: i32 = 20;
pub(in crate::report) const TITLE_LINE: i32 = 26;
pub(in crate::report) const MARGIN: i32 = 12;
pub(in crate::report) const INK: Colour = plotters::style::RGBColor(30, 30, 30);
pub(in crate::report) const GREY: Colour = plotters::style::RGBColor(80, 80, 80);

pub(in crate::report) fn lettering(size: i32, colour: Colour, anchor: (HPos, VPos)) -> Lettering {
    Lettering { size, colour, anchor, upwards: false }
}

/// A panel with what is needed to draw it.
struct Prepared<'p> {
    panel: &'p Panel,
    drawn: Vec<Drawn<'p>>,
    frame: Frame,
    labels: Labels,
}

impl Plot {
    /// The figure as an SVG document. The fonts are the viewer's.
    ///
    /// # Errors
    /// None that is known; those of the drawing library are passed on.
    pub fn to_svg(&self) -> Result<String> {
        let columns = self.panels.len().clamp(1, 2);
        let width = columns as i32 * PANEL + 2 * MARGIN;
        let room = width - 2 * MARGIN;
        let title = text::lines(&self.title, room, TITLE);
        let caption: Vec<String> = self.caption.iter().flat_map(|line| text::broken(line, room, SMALL)).collect();
        let samples = self.samples();
        let legend = Legend::new(&samples, room);
        let mut top = MARGIN + title.len() as i32 * TITLE_LINE;
        let legend_top = top + 2;
        top += legend.height() + 8;
        let panels = self.prepared(columns, &mut top);
        let size = (width, top + caption.len() as i32 * LINE + MARGIN);

        let mut svg = String::new();
        let canvas = Canvas::new(&mut svg, size)?;
        for (at, line) in title.iter().enumerate() {
            let how = lettering(TITLE, INK, (HPos::Center, VPos::Top));
            canvas.text(line, (width / 2, MARGIN + at as i32 * TITLE_LINE), how)?;
        }
        legend.draw(&canvas, MARGIN, legend_top)?;
        for panel in &panels {
            panel.draw(&canvas, &samples)?;
        }
        for (at, line) in caption.iter().enumerate() {
            let how = lettering(SMALL, GREY, (HPos::Left, VPos::Top));
            canvas.text(line, (MARGIN, top + at as i32 * LINE), how)?;
        }
        canvas.finish()?;
        Ok(svg)
    }

    /// Every label once, in order, and what it is first shown as.
    fn samples(&self) -> Vec<(&str, Sample)> {
        let mut samples: Vec<(&str, Sample)> = Vec::new();
        let mut add = |label, sample| {
            if !samples.iter().any(|&(other, _)| other == label) {
                samples.push((label, sample));
            }
        };
        for panel in &self.panels {
            for set in panel.bars.iter().flat_map(|bars| &bars.sets) {
                add(set.label.as_str(), Sample::Filled);
            }
            for series in &panel.series {
                let filled = series.style == Style::Stacked;
                add(series.label.as_str(), if filled { Sample::Filled } else { Sample::Line(series.style) });
            }
        }
        samples
    }

    fn axes<'p>(&'p self, panel: &'p Panel) -> [&'p Axis; 2] {
        [panel.x.as_ref().unwrap_or(&self.x), panel.y.as_ref().unwrap_or(&self.y)]
    }

    /// The panels with their places, in so many columns from `top` on, which is then below the last.
    fn prepared(&self, columns: usize, top: &mut i32) -> Vec<Prepared<'_>> {
        let drawn: Vec<Vec<Drawn<'_>>> = self
            .panels
            .iter()
            .map(|panel| lines::drawn(&panel.series, self.axes(panel).map(|axis| axis.log)))
            .collect();
        let (x, plain) = (self.x_scales(&drawn), self.y_scales(&drawn));
        // Frames below each other are aligned. Room for values above bars needs their width, and may widen the labels.
        let (mut y, mut left) = (plain.clone(), vec![0; columns]);
        for _ in 0..2 {
            for (at, panel) in self.panels.iter().enumerate() {
                left[at % columns] = left[at % columns].max(Labels::left(self.axes(panel)[1], &y[at]));
            }
            y.clone_from(&plain);
            self.make_room(&mut y, |at| PANEL - left[at % columns] - RIGHT);
        }
        let mut prepared: Vec<Prepared<'_>> = Vec::new();
        for (at, (((panel, drawn), x), y)) in self.panels.iter().zip(drawn).zip(x).zip(y).enumerate() {
            let column = at % columns;
            let width = PANEL - left[column] - RIGHT;
            let axes = self.axes(panel);
            let names = panel.bars.as_ref().map_or(&[][..], |bars| &bars.categories);
            let labels = Labels::new(&panel.title, axes, [&x, &y], names, width);
            let frame = Frame { left: MARGIN + column as i32 * PANEL + left[column], top: 0, width, x, y };
            prepared.push(Prepared { panel, drawn, frame, labels });
        }
        for row in prepared.chunks_mut(columns) {
            let most = |of: fn(&Labels) -> i32| row.iter().map(|panel| of(&panel.labels)).max().unwrap_or(0);
            let (above, below) = (most(Labels::above), most(Labels::below));
            row.iter_mut().for_each(|panel| panel.frame.top = *top + above);
            *top += above + HEIGHT + below;
        }
        prepared
    }

    /// Above bars, for their values; on the figure's axis in all panels alike.
    fn make_room(&self, scales: &mut [Scale], width: impl Fn(usize) -> i32) {
        let mut highest = f64::MIN;
        for (at, panel) in self.panels.iter().enumerate() {
            if let Some(bars) = panel.bars.as_ref().filter(|_| self.axes(panel)[1].to.is_none()) {
                bars.make_room(&mut scales[at], width(at));
            }
            if panel.y.is_none() {
                highest = highest.max(scales[at].high);
            }
        }
        for (panel, scale) in self.panels.iter().zip(scales) {
            if panel.y.is_none() {
                scale.high = highest;
            }
        }
    }

    fn x_scales(&self, drawn: &[Vec<Drawn<'_>>]) -> Vec<Scale> {
        let of = |at: usize| drawn[at].iter().flat_map(|drawn| drawn.points.iter().map(|point| point.0));
        let shares = |at: &usize| self.panels[*at].x.is_none() && self.panels[*at].bars.is_none();
        let shared = Scale::around((0..drawn.len()).filter(shares).flat_map(of), &self.x);
        let scale = |(at, panel): (usize, &Panel)| match (&panel.bars, &panel.x) {
            (Some(bars), _) => bars.scale(),
            (None, Some(axis)) => Scale::around(of(at), axis),
            (None, None) => shared.clone(),
        };
        self.panels.iter().enumerate().map(scale).collect()
    }

    fn y_scales(&self, drawn: &[Vec<Drawn<'_>>]) -> Vec<Scale> {
        let of = |at: usize| {
            let bars = self.panels[at].bars.iter().flat_map(Bars::heights);
            drawn[at].iter().flat_map(Drawn::heights).chain(bars)
        };
        let around = |panels: Vec<usize>, axis: &Axis| {
            // Bars and areas stand on 0, without room below it.
            let stands = |at: &usize| {
                self.panels[*at].bars.is_some() || self.panels[*at].series.iter().any(|s| s.style == Style::Stacked)
            };
            let mut axis = axis.clone();
            let lowest = panels.iter().copied().flat_map(of).filter(|value| value.is_finite()).fold(0.0, f64::min);
            if !axis.log && axis.from.is_none() && lowest >= 0.0 && panels.iter().any(stands) {
                axis.from = Some(0.0);
            }
            Scale::around(panels.into_iter().flat_map(of), &axis)
        };
        let shared = around((0..drawn.len()).filter(|&at| self.panels[at].y.is_none()).collect(), &self.y);
        let scale = |(at, panel): (usize, &Panel)| match &panel.y {
            Some(axis) => around(vec![at], axis),
            None => shared.clone(),
        };
        self.panels.iter().enumerate().map(scale).collect()
    }
}

impl Prepared<'_> {
    fn draw(&self, canvas: &Canvas<'_>, samples: &[(&str, Sample)]) -> Result<()> {
        let look = |label: &str| Look(samples.iter().position(|&(other, _)| other == label).unwrap_or(0));
        let frame = &self.frame;
        frame.draw_grid(canvas, &self.labels)?;
        if let Some(bars) = &self.panel.bars {
            bars.draw(canvas, frame, look)?;
        }
        // No area hides a line, and no line a mark.
        for draw in [Drawn::draw_areas, Drawn::draw_line, Drawn::draw_marks] {
            for drawn in &self.drawn {
                draw(drawn, canvas, frame, look(&drawn.series.label))?;
            }
        }
        frame.draw_labels(canvas, &self.labels)
    }
}

#[cfg(test)]
pub(in crate::report) mod tests;
