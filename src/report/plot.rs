//! Lines over one or two axes, as an SVG document: panels side by side, one legend for all, a caption below.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A result of drawing.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

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
    /// All have the same axes.
    pub panels: Vec<Panel>,
}

/// An axis.
#[derive(Debug, Clone, Default)]
pub struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// Logarithmic. Points that are not above 0 are then left out.
    pub log: bool,
}

/// Lines in one frame.
#[derive(Debug, Clone, Default)]
pub struct Panel {
    /// Above it.
    pub title: String,
    /// The lines.
    pub series: Vec<Series>,
}

/// A line. Those with the same label look the same in all panels.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// In the legend.
    pub label: String,
    /// By x.
    pub points: Vec<(f64, f64)>,
}

/// Colours that are told apart by everyone.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(80, 80, 80),
];
const FONT: &str = "sans-serif";
const PANEL: (u32, u32) = (470, 330);
/// Of the caption and the legend.
const SMALL: i32 = 13;
const LINE: u32 = 18;
const MARGIN: u32 = 12;

impl Plot {
    /// The figure as an SVG document. The fonts are the viewer's.
    ///
    /// # Errors
    /// None that is known; those of the drawing library are passed on.
    pub fn to_svg(&self) -> Result<String> {
        let columns = self.panels.len().clamp(1, 2) as u32;
        let lines = self.panels.len().div_ceil(columns as usize).max(1) as u32;
        let width = columns * PANEL.0 + 2 * MARGIN;
        let caption: Vec<String> = self.caption.iter().flat_map(|line| broken(line, width - 2 * MARGIN)).collect();
        let labels = self.labels();
        let legend = Legend::new(&labels, width - 2 * MARGIN);
        let (top, bottom) = (40 + legend.lines * (LINE + 2), caption.len() as u32 * LINE + 2 * MARGIN);
        let size = (width, top + lines * PANEL.1 + bottom);
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            root.fill(&WHITE)?;
            let title = (FONT, 20).into_text_style(&root).pos(Pos::new(HPos::Center, VPos::Top));
            root.draw(&Text::new(self.title.as_str(), (width as i32 / 2, MARGIN as i32), title))?;
            legend.draw(&root, &labels, 40)?;
            let panels = root.margin(top, bottom, MARGIN, MARGIN).split_evenly((lines as usize, columns as usize));
            for (panel, area) in self.panels.iter().zip(&panels) {
                self.draw_panel(panel, &labels, area, &root)?;
            }
            let style = (FONT, SMALL).into_text_style(&root).color(&RGBColor(70, 70, 70));
            for (at, line) in caption.iter().enumerate() {
                let y = size.1 - bottom + MARGIN + at as u32 * LINE;
                root.draw(&Text::new(line.as_str(), (MARGIN as i32, y as i32), style.clone()))?;
            }
            root.present()?;
        }
        Ok(svg)
    }

    /// Every label once, in order.
    fn labels(&self) -> Vec<&str> {
        let mut labels = Vec::new();
        for series in self.panels.iter().flat_map(|panel| &panel.series) {
            if !labels.contains(&series.label.as_str()) {
                labels.push(series.label.as_str());
            }
        }
        labels
    }

    /// The points of a line that its axes can show.
    fn shown(&self, series: &Series) -> Vec<(f64, f64)> {
        let shown = |axis: &Axis, value: f64| value.is_finite() && (!axis.log || value > 0.0);
        series.points.iter().copied().filter(|&(x, y)| shown(&self.x, x) && shown(&self.y, y)).collect()
    }

    fn draw_panel(&self, panel: &Panel, labels: &[&str], area: &Area<'_>, root: &Area<'_>) -> Result<()> {
        let all: Vec<(f64, f64)> =
            self.panels.iter().flat_map(|panel| &panel.series).flat_map(|series| self.shown(series)).collect();
        let x = Scale::around(all.iter().map(|point| point.0), self.x.log);
        let y = Scale::around(all.iter().map(|point| point.1), self.y.log);
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(24)
            .caption(&panel.title, (FONT, 16))
            .x_label_area_size(46)
            .y_label_area_size(72)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .label_style((FONT, SMALL))
            .axis_desc_style((FONT, SMALL + 1))
            .bold_line_style(RGBColor(215, 215, 215))
            .light_line_style(RGBColor(240, 240, 240))
            .draw()?;
        for series in &panel.series {
            let look = labels.iter().position(|&label| label == series.label).unwrap_or(0);
            let points = self.shown(series);
            let colour = COLOURS[look % COLOURS.len()];
            chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
            for point in points {
                mark(root, look, chart.backend_coord(&point))?;
            }
        }
        Ok(())
    }
}

/// Marks a point: every label has its colour, and its shape.
fn mark(root: &Area<'_>, look: usize, (x, y): (i32, i32)) -> Result<()> {
    const SHAPES: [&[(i32, i32)]; 3] =
        [&[(-4, -4), (4, -4), (4, 4), (-4, 4)], &[(0, -5), (5, 4), (-5, 4)], &[(0, -5), (5, 0), (0, 5), (-5, 0)]];
    let style = COLOURS[look % COLOURS.len()].filled();
    match look % (SHAPES.len() + 1) {
        0 => root.draw(&Circle::new((x, y), 4, style))?,
        shape => {
            let corners: Vec<(i32, i32)> = SHAPES[shape - 1].iter().map(|c| (x + c.0, y + c.1)).collect();
            root.draw(&Polygon::new(corners, style))?;
        }
    }
    Ok(())
}

/// About what a character of the caption is wide.
const CHARACTER: f64 = 0.56 * SMALL as f64;

/// About what a text is wide. Without the viewer's fonts nobody knows.
fn width_of(text: &str) -> u32 {
    (text.chars().count() as f64 * CHARACTER).ceil() as u32
}

/// A text as lines of at most so many pixels, broken at spaces.
fn broken(text: &str, width: u32) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if !line.is_empty() && width_of(line) + width_of(word) + width_of(" ") > width {
            lines.push(word.to_string());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Where the labels of the lines go.
struct Legend {
    /// Left end and line of each.
    places: Vec<(u32, u32)>,
    lines: u32,
}

/// Of a line with its mark, and between labels.
const SAMPLE: u32 = 32;
const GAP: u32 = 24;

impl Legend {
    fn new(labels: &[&str], width: u32) -> Legend {
        let (mut places, mut x, mut line) = (Vec::new(), 0, 0);
        for label in labels {
            let needed = SAMPLE + width_of(label);
            if x > 0 && x + needed > width {
                (x, line) = (0, line + 1);
            }
            places.push((x, line));
            x += needed + GAP;
        }
        Legend { places, lines: line + 1 }
    }

    fn draw(&self, root: &Area<'_>, labels: &[&str], top: u32) -> Result<()> {
        let style = (FONT, SMALL).into_text_style(root).pos(Pos::new(HPos::Left, VPos::Center));
        for (look, (label, &(x, line))) in labels.iter().zip(&self.places).enumerate() {
            let (x, y) = ((MARGIN + x) as i32, (top + line * (LINE + 2) + LINE / 2) as i32);
            let stroke = COLOURS[look % COLOURS.len()].stroke_width(2);
            root.draw(&PathElement::new(vec![(x, y), (x + 24, y)], stroke))?;
            mark(root, look, (x + 12, y))?;
            root.draw(&Text::new(*label, (x + SAMPLE as i32, y), style.clone()))?;
        }
        Ok(())
    }
}

/// One axis: values to pixels, and where it is labelled.
#[derive(Debug, Clone)]
struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// Holds all values, and a little more.
    fn around(values: impl Iterator<Item = f64>, log: bool) -> Scale {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match (low <= high, log) {
            (false, false) => (0.0, 1.0),
            (false, true) => (1.0, 10.0),
            (true, false) => {
                let room = if high > low { 0.05 * (high - low) } else { 1.0 };
                (low - room, high + room)
            }
            (true, true) => {
                // At least a decade, so that there is something to label.
                let room = (high / low).powf(0.05).max(1.1);
                let (low, high) = (low / room, high * room);
                let more = (10.0 * low / high).max(1.0).sqrt();
                (low / more, high * more)
            }
        };
        Scale { low, high, log }
    }

    fn position(&self, value: f64) -> f64 {
        match self.log {
            true => (value / self.low).log10() / (self.high / self.low).log10(),
            false => (value - self.low) / (self.high - self.low),
        }
    }

    /// Round numbers, at most so many: of a logarithmic axis whole powers, and where these are few, their halves.
    fn ticks(&self, most: usize) -> Vec<f64> {
        let inside = |value: &f64| (self.low..=self.high).contains(value);
        if self.log {
            let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
            let decades = |steps: &[f64]| -> Vec<f64> {
                let all = (first..=last).flat_map(|k| steps.iter().map(move |step| step * power(k)));
                all.filter(inside).collect()
            };
            let fine = [&[1.0, 2.0, 5.0][..], &[1.0]].map(decades);
            let few = |ticks: &&Vec<f64>| ticks.len() <= most.min(6);
            let mut coarse = fine.iter().find(few).unwrap_or(&fine[1]).clone();
            let every = coarse.len().div_ceil(most.max(1)).max(1);
            let mut at = 0;
            coarse.retain(|_| {
                at += 1;
                (at - 1) % every == 0
            });
            return coarse;
        }
        let wanted = (self.high - self.low) / most.clamp(1, 8) as f64;
        let decade = power(wanted.log10().floor() as i32);
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|&step| step >= wanted);
        let step = step.unwrap_or(10.0 * decade);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last).map(|k| k as f64 * step).collect()
    }
}

/// A power of ten, as exact as it can be.
fn power(exponent: i32) -> f64 {
    if exponent < 0 { 1.0 / 10f64.powi(-exponent) } else { 10f64.powi(exponent) }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        limit.0 + (self.position(*value) * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        self.ticks(hint.bold_points())
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        label(*value)
    }
}

/// A number as people write it: 0.01, 1, 20,000, 5·10⁷.
fn label(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_string(),
        large if large >= 1e7 => {
            let exponent = large.log10().floor() as i32;
            let digits = value / power(exponent);
            let raised: String = exponent
                .to_string()
                .chars()
                .map(|c| ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][c as usize - '0' as usize])
                .collect();
            if digits == 1.0 { format!("10{raised}") } else { format!("{digits}·10{raised}") }
        }
        small if small < 1e-4 => format!("{value:e}"),
        x if x.fract() == 0.0 => format!("{}{}", if value < 0.0 { "−" } else { "" }, super::compare::grouped(x as u64)),
        _ => format!("{}", (value * 1e6).round() / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(panels: usize, points: &[(f64, f64)], log: bool) -> Plot {
        let series = |label: &str| Series { label: label.to_string(), points: points.to_vec() };
        let panel = |at: usize| Panel { title: format!("panel {at} <&>"), series: vec![series("a & b"), series("c")] };
        Plot {
            title: "title".to_string(),
            caption: vec!["a caption of many words ".repeat(20).trim().to_string(), "another".to_string()],
            x: Axis { label: "to the right".to_string(), log },
            y: Axis { label: "upwards, ms".to_string(), log },
            panels: (0..panels).map(panel).collect(),
        }
    }

    #[test]
    fn everything_is_in_the_picture() {
        for log in [false, true] {
            for panels in [1, 2, 4] {
                let svg = plot(panels, &[(1.0, 0.1), (1000.0, 20.0)], log).to_svg().unwrap();
                for part in
                    ["title", "upwards, ms", "to the right", "a &amp; b", "another", "&lt;&amp;&gt;", "<polyline"]
                {
                    assert!(svg.contains(part), "{part} in {svg}");
                }
                assert_eq!(svg.matches("a &amp; b").count(), 1, "one legend for all");
                assert!(svg.trim_end().ends_with("</svg>"));
            }
        }
    }

    #[test]
    fn odd_points_do_no_harm() {
        for points in [&[][..], &[(5.0, 5.0)], &[(0.0, -1.0), (f64::NAN, 1.0)], &[(1e-9, 1e12), (1e12, 1e-9)]] {
            for log in [false, true] {
                assert!(plot(1, points, log).to_svg().unwrap().len() > 1000);
            }
        }
        assert!(Plot::default().to_svg().unwrap().contains("</svg>"));
    }

    #[test]
    fn ticks_are_round_and_few() {
        let ticks = |low, high, log| Scale { low, high, log }.ticks(8);
        assert_eq!(ticks(0.03, 150.0, true), [0.1, 1.0, 10.0, 100.0]);
        assert_eq!(ticks(0.8, 12.0, true), [1.0, 2.0, 5.0, 10.0]);
        assert_eq!(ticks(0.0, 10.0, false), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert!(ticks(1e-9, 1e12, true).len() <= 8);
        assert_eq!([0.01, 1.0, 20_000.0, 1e7, 5e7].map(label), ["0.01", "1", "20,000", "10⁷", "5·10⁷"]);
    }

    #[test]
    fn long_captions_are_broken_at_spaces() {
        let text = "word ".repeat(100);
        let lines = broken(text.trim(), 300);
        assert!(lines.len() > 5 && lines.iter().all(|line| width_of(line) <= 300 && !line.ends_with(' ')));
        assert_eq!(lines.join(" "), text.trim());
    }
}
