//! A placement as an SVG document: the layers from left to right, each in the row of its server and in the colour of
//! its bits; what crosses a link, and how long it takes; and how full each server's memory is.

use std::collections::BTreeMap;

use super::{Report, mean_bits};
use crate::limits::MAX_WIDTH;
use crate::report::number::{count, significant};
use crate::report::plot::canvas::{Canvas, Colour, HPos, Lettering, Point, VPos};
use crate::report::plot::text::{broken, lines, widest, width_of};
use crate::report::plot::{GREY, INK, LINE, MARGIN, Result, SMALL, TITLE, TITLE_LINE, lettering};

/// What the layers take at most where they are many, in pixels, and the ends of what each may take.
const GRID: i32 = 880;
const CELL: (i32, i32) = (6, 38);
/// Between models.
const GAP: i32 = 22;
const ROW: i32 = 28;
const TEXT_LINE: i32 = 15;
/// Lines of a server's or model's name are no longer, unless a model's layers are wider.
const NAME: i32 = 170;
const BAR: i32 = 120;
const TINY: i32 = SMALL - 1;
/// Servers without layers are counted, not shown, where there are more servers.
const SHOWN: usize = 40;
/// From 1 bit to the widest: even steps for the eye, also without colour (viridis).
const RAMP: [(u8, u8, u8); 5] = [(253, 231, 37), (94, 201, 98), (33, 145, 140), (59, 82, 139), (68, 1, 84)];
const STRIPE: Colour = rgb((246, 246, 246));
const FREE: Colour = rgb((226, 226, 226));
const CACHE: Colour = rgb((150, 150, 150));
const LINK: Colour = rgb((213, 94, 0));
const WHITE: Colour = rgb((255, 255, 255));

const fn rgb((red, green, blue): (u8, u8, u8)) -> Colour {
    plotters::style::RGBColor(red, green, blue)
}

/// The placement as an SVG document. The fonts are the viewer's.
///
/// # Errors
/// None that is known; those of the drawing library are passed on.
pub fn to_svg(report: &Report<'_>) -> Result<String> {
    let mut svg = String::new();
    let picture = Picture::new(report);
    let canvas = Canvas::new(&mut svg, picture.size)?;
    picture.draw(&canvas)?;
    canvas.finish()?;
    Ok(svg)
}

/// A text and where it is anchored.
type Written = (String, (i32, i32), Lettering);

/// A server that is shown.
struct Row {
    server: usize,
    name: Vec<String>,
    top: i32,
    height: i32,
}

/// What crosses a link.
struct Crossing {
    /// Where the two layers meet.
    x: i32,
    rows: (usize, usize),
    time: Option<String>,
}

struct Picture<'p> {
    report: &'p Report<'p>,
    size: (i32, i32),
    /// Left end of each layer.
    columns: Vec<i32>,
    cell: i32,
    rows: Vec<Row>,
    /// Row of each server.
    row_of: BTreeMap<usize, usize>,
    crossings: Vec<Crossing>,
    /// Where times are written, by crossing; below it the rows begin.
    labels: Vec<(usize, i32)>,
    strip: (i32, i32),
    grid: (i32, i32),
    bar: i32,
    texts: Vec<Written>,
    /// Samples of the legend.
    samples: Vec<(Colour, (i32, i32))>,
}

impl<'p> Picture<'p> {
    fn new(report: &'p Report<'p>) -> Self {
        let mut picture = Picture {
            report,
            size: (0, 0),
            columns: Vec::new(),
            cell: 0,
            rows: Vec::new(),
            row_of: BTreeMap::new(),
            crossings: Vec::new(),
            labels: Vec::new(),
            strip: (0, 0),
            grid: (0, 0),
            bar: 0,
            texts: Vec::new(),
            samples: Vec::new(),
        };
        picture.lay_out();
        picture
    }

    fn write(&mut self, text: impl Into<String>, at: (i32, i32), how: Lettering) {
        self.texts.push((text.into(), at, how));
    }

    /// Lines of a text from a top on, which is then below them.
    fn write_lines(&mut self, lines: Vec<String>, left: i32, top: &mut i32, line: i32, how: Lettering) {
        for text in lines {
            self.write(text, (left, *top), how);
            *top += line;
        }
    }

    fn lay_out(&mut self) {
        let usage = &self.report.solution.usage;
        let names = self.make_rows();
        let left = MARGIN + names + 8;
        let (models, right) = self.make_columns(left);
        self.grid = (left, right);
        self.bar = right + 24;
        let fill: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let limit = self.report.problem.servers[row.server].memory_bytes;
                let (unit, name) = super::unit_of(limit);
                format!("{:.1} of {:.1} {name}", usage.memory_bytes[row.server] / unit, limit / unit)
            })
            .collect();
        let width = (self.bar + BAR + 8 + widest(&fill, TINY) + MARGIN).max(460);
        let room = width - 2 * MARGIN;

        let mut top = MARGIN;
        let centred = lettering(TITLE, INK, (HPos::Center, VPos::Top));
        let title = format!("delay {}: {}", super::seconds(usage.delay_s), self.report.verdict());
        self.write_lines(lines(&title, room, TITLE), width / 2, &mut top, TITLE_LINE, centred);
        top += 4;
        self.legend(room, &mut top);
        top += 10;
        self.make_crossings();
        let left_out = self.label_crossings(&mut top);
        let memory = lettering(SMALL, INK, (HPos::Left, VPos::Bottom));
        self.write("memory", (self.bar, top - 4), memory);
        let first = top;
        for (row, fill) in self.rows.iter_mut().zip(fill) {
            row.top = top;
            let middle = top + row.height / 2;
            let of = (row.name.len() as i32 - 1) * TEXT_LINE / 2;
            let used = self.report.solution.seats.iter().any(|seat| seat.server == row.server);
            let how = lettering(SMALL, if used { INK } else { CACHE }, (HPos::Right, VPos::Center));
            for (at, line) in row.name.iter().enumerate() {
                self.texts.push((line.clone(), (left - 8, middle - of + at as i32 * TEXT_LINE), how));
            }
            let how = lettering(TINY, INK, (HPos::Left, VPos::Center));
            self.texts.push((fill, (self.bar + BAR + 8, middle), how));
            top += row.height;
        }
        self.strip.1 = first;
        self.name_layers(&mut top);
        self.name_models(models, &mut top);
        top += 8;
        let caption = self.caption(left_out);
        let how = lettering(SMALL, GREY, (HPos::Left, VPos::Top));
        for line in caption {
            self.write_lines(broken(&line, room, SMALL), MARGIN, &mut top, LINE, how);
        }
        self.size = (width, top + MARGIN);
    }

    /// Rows without their tops; the width of their names.
    fn make_rows(&mut self) -> i32 {
        let (p, s) = (self.report.problem, self.report.solution);
        for (server, it) in p.servers.iter().enumerate() {
            if p.servers.len() > SHOWN && !s.seats.iter().any(|seat| seat.server == server) {
                continue;
            }
            let name = broken(&it.name, NAME, SMALL);
            let height = ROW.max(name.len() as i32 * TEXT_LINE + 12);
            self.row_of.insert(server, self.rows.len());
            self.rows.push(Row { server, name, top: 0, height });
        }
        widest(self.rows.iter().flat_map(|row| &row.name), SMALL)
    }

    /// Where layers are. Each model's middle and name, and the right end.
    fn make_columns(&mut self, left: i32) -> (Vec<(i32, Vec<String>)>, i32) {
        let models = &self.report.problem.models;
        let layers = self.report.problem.len().max(1) as i32;
        self.cell = (GRID / layers).clamp(CELL.0, CELL.1);
        let (mut out, mut x) = (Vec::new(), left);
        for model in models {
            let cells = model.layers.len() as i32 * self.cell;
            let name = lines(&model.name, NAME.max(cells), SMALL);
            let block = cells.max(widest(&name, SMALL));
            let first = x + (block - cells) / 2;
            self.columns.extend((0..model.layers.len() as i32).map(|l| first + l * self.cell));
            out.push((x + block / 2, name));
            x += block + GAP;
        }
        (out, x - GAP)
    }

    fn make_crossings(&mut self) {
        let (models, seats) = (self.report.models(), &self.report.solution.seats);
        for l in 1..seats.len() {
            let (from, to) = (seats[l - 1].server, seats[l].server);
            if models[l - 1] != models[l] || from == to {
                continue;
            }
            let link_s = self.report.solution.usage.link_s[l - 1];
            let (Some(&a), Some(&b)) = (self.row_of.get(&from), self.row_of.get(&to)) else { continue };
            let time = (link_s > 0.0).then(|| match link_s {
                s if s < 1.0 => format!("{} ms", significant(1e3 * s, 3)),
                s => format!("{} s", significant(s, 3)),
            });
            self.crossings.push(Crossing { x: self.columns[l], rows: (a, b), time });
        }
    }

    /// Times of crossings above the rows, as many as there is room for, the slowest. How many are left out.
    fn label_crossings(&mut self, top: &mut i32) -> usize {
        let timed = |c: &Crossing| c.time.is_some();
        let mut kept: Vec<usize> = (0..self.crossings.len()).filter(|&k| timed(&self.crossings[k])).collect();
        let all = kept.len();
        let (left, right) = (self.grid.0, self.grid.1.max(self.grid.0 + TEXT_LINE));
        let fit = ((right - left) / TEXT_LINE) as usize + 1;
        let link_s: Vec<f64> = self.report.solution.usage.link_s.iter().copied().filter(|&s| s > 0.0).collect();
        // `kept` are the timed crossings in order, as `link_s` is.
        let mut order: Vec<usize> = (0..all).collect();
        order.sort_by(|&a, &b| link_s[b].total_cmp(&link_s[a]).then(a.cmp(&b)));
        order.truncate(fit);
        order.sort_unstable();
        kept = order.into_iter().map(|k| kept[k]).collect();
        // At their crossings where these are apart; else moved to the right, and where that ends, back.
        let mut at: Vec<i32> = Vec::new();
        for &k in &kept {
            at.push(at.last().map_or(left, |x| x + TEXT_LINE).max(self.crossings[k].x));
        }
        let mut end = right;
        for x in at.iter_mut().rev() {
            *x = (*x).min(end);
            end = *x - TEXT_LINE;
        }
        let times: Vec<String> = kept.iter().filter_map(|&k| self.crossings[k].time.clone()).collect();
        let height = widest(&times, TINY);
        let how = Lettering { upwards: true, ..lettering(TINY, LINK, (HPos::Left, VPos::Center)) };
        let bottom = *top + height;
        for (text, &x) in times.into_iter().zip(&at) {
            self.write(text, (x, bottom), how);
        }
        self.labels = kept.into_iter().zip(at).collect();
        self.strip.0 = bottom + 3;
        *top = bottom + if all > 0 { 20 } else { LINE };
        all - self.labels.len()
    }

    /// Names of layers upwards below the rows, every so many.
    fn name_layers(&mut self, top: &mut i32) {
        let every = ((TEXT_LINE + self.cell - 1) / self.cell) as usize;
        let mut names: Vec<(String, i32)> = Vec::new();
        let mut at = 0;
        for model in &self.report.problem.models {
            for (l, layer) in model.layers.iter().enumerate().step_by(every) {
                names.push((layer.name.clone(), self.columns[at + l] + self.cell / 2));
            }
            at += model.layers.len();
        }
        let height = widest(names.iter().map(|(name, _)| name), TINY);
        let how = Lettering { upwards: true, ..lettering(TINY, INK, (HPos::Right, VPos::Center)) };
        for (name, x) in names {
            self.write(name, (x, *top + 6), how);
        }
        *top += height + 12;
    }

    fn name_models(&mut self, models: Vec<(i32, Vec<String>)>, top: &mut i32) {
        let how = lettering(SMALL, INK, (HPos::Center, VPos::Top));
        let below = models.iter().map(|(_, name)| name.len()).max().unwrap_or(0) as i32 * TEXT_LINE;
        for (middle, name) in models {
            self.write_lines(name, middle, &mut top.clone(), TEXT_LINE, how);
        }
        *top += below;
    }

    /// Colours of the widths in use, of the KV cache and of what is free.
    fn legend(&mut self, room: i32, top: &mut i32) {
        let used: Vec<u32> =
            (1..=MAX_WIDTH).filter(|b| self.report.solution.seats.iter().any(|s| s.bits == *b)).collect();
        let bits = |&b: &u32| (count(b, "bit"), colour(b));
        let mut entries: Vec<(String, Colour)> = used.iter().map(bits).collect();
        if self.report.problem.layers().any(|(_, layer)| layer.kv_bytes_per_token > 0.0) {
            entries.push(("KV cache".to_string(), CACHE));
        }
        entries.push(("free".to_string(), FREE));
        let mut x = MARGIN;
        for (label, colour) in entries {
            let width = 22 + width_of(&label, SMALL);
            if x > MARGIN && x + width > MARGIN + room {
                (x, *top) = (MARGIN, *top + LINE);
            }
            self.samples.push((colour, (x, *top + 3)));
            self.write(label, (x + 20, *top + LINE / 2), lettering(SMALL, INK, (HPos::Left, VPos::Center)));
            x += width + 16;
        }
        *top += LINE;
    }

    fn caption(&self, left_out: usize) -> Vec<String> {
        let (r, u) = (self.report, &self.report.solution.usage);
        let mut out = vec![r.about.clone()];
        let crossings = count(self.crossings.len(), "crossing");
        out.push(format!(
            "computation {}, links {} in {crossings} ({} communication)",
            super::seconds(u.compute_s.iter().sum()),
            super::seconds(u.link_s.iter().sum()),
            r.communication.name()
        ));
        for (model, &used) in r.problem.models.iter().zip(&u.quality) {
            let name = if model.name.is_empty() { String::new() } else { format!("{}: ", model.name) };
            let budget = significant(model.budget, 4);
            out.push(format!("{name}weight error {} of {budget}", significant(used, 4)));
        }
        out.push(format!("{:.2} bits a weight on average", mean_bits(r.problem, &r.solution.seats)));
        if let Some(note) = &r.problem.note {
            out.push(format!("weight errors: {note}"));
        }
        if left_out > 0 {
            out.push({
                let shown = count(self.labels.len(), "crossing");
                format!("times of the slowest {shown}; {left_out} more without room")
            });
        }
        let hidden = r.problem.servers.len() - self.rows.len();
        if hidden > 0 {
            out.push(format!("not shown: {} without layers", count(hidden, "server")));
        }
        out
    }

    fn draw(&self, canvas: &Canvas<'_>) -> Result<()> {
        for row in self.rows.iter().step_by(2) {
            rectangle(canvas, (self.grid.0, row.top), (self.grid.1, row.top + row.height), STRIPE)?;
        }
        for &(colour, (x, y)) in &self.samples {
            rectangle(canvas, (x, y), (x + 14, y + 12), colour)?;
        }
        self.draw_crossings(canvas)?;
        self.draw_layers(canvas)?;
        for row in &self.rows {
            self.draw_memory(canvas, row)?;
        }
        for (text, at, how) in &self.texts {
            canvas.text(text, *at, *how)?;
        }
        Ok(())
    }

    fn draw_crossings(&self, canvas: &Canvas<'_>) -> Result<()> {
        let middle = |row: usize| f64::from(self.rows[row].top + self.rows[row].height / 2);
        for c in &self.crossings {
            let x = f64::from(c.x);
            canvas.line(&[(x, middle(c.rows.0)), (x, middle(c.rows.1))], LINK, 2, &[])?;
        }
        for &(k, at) in &self.labels {
            let c = &self.crossings[k];
            let (x, top) = (f64::from(c.x), f64::from(self.strip.1 - 2));
            let end = middle(c.rows.0.min(c.rows.1));
            let leader: [Point; 3] = [(f64::from(at), f64::from(self.strip.0)), (x, top), (x, end)];
            canvas.line(&leader[..2], LINK, 1, &[])?;
            canvas.line(&leader[1..], LINK, 1, &[2.0, 3.0])?;
        }
        Ok(())
    }

    fn draw_layers(&self, canvas: &Canvas<'_>) -> Result<()> {
        for run in self.report.runs() {
            let Some(row) = self.row_of.get(&run.seat.server).map(|&at| &self.rows[at]) else { continue };
            let colour = colour(run.seat.bits);
            let middle = row.top + row.height / 2;
            let (top, bottom) = (middle - ROW / 2 + 4, middle + ROW / 2 - 4);
            for l in run.layers.clone() {
                let x = self.columns[l];
                rectangle(canvas, (x, top), (x + self.cell - 1, bottom), colour)?;
            }
            let text = run.seat.bits.to_string();
            let how = lettering(TINY, ink_on(colour), (HPos::Center, VPos::Center));
            let needed = width_of(&text, TINY) + 2;
            if needed < self.cell {
                for l in run.layers.clone() {
                    canvas.text(&text, (self.columns[l] + (self.cell - 1) / 2, middle), how)?;
                }
            } else if needed < run.layers.len() as i32 * self.cell {
                let (first, last) = (self.columns[run.layers.start], self.columns[run.layers.end - 1] + self.cell);
                canvas.text(&text, ((first + last) / 2, middle), how)?;
            }
        }
        Ok(())
    }

    /// The whole bar is the limit: weights by their bits, the KV cache, and what is free.
    fn draw_memory(&self, canvas: &Canvas<'_>, row: &Row) -> Result<()> {
        let (p, s) = (self.report.problem, self.report.solution);
        let limit = p.servers[row.server].memory_bytes;
        let mut parts: BTreeMap<u32, f64> = BTreeMap::new();
        let mut cache = 0.0;
        for ((model, layer), seat) in p.layers().zip(&s.seats).filter(|(_, seat)| seat.server == row.server) {
            let weights = layer.parameters * f64::from(seat.bits) / 8.0;
            *parts.entry(seat.bits).or_default() += weights;
            cache += layer.kv_bytes_per_token * model.held_tokens();
        }
        let middle = row.top + row.height / 2;
        let (top, bottom) = (middle - 6, middle + 6);
        rectangle(canvas, (self.bar, top), (self.bar + BAR, bottom), FREE)?;
        let parts = parts.iter().map(|(&bits, &x)| (x, colour(bits))).chain([(cache, CACHE)]);
        let (mut used, mut from) = (0.0, self.bar);
        for (bytes, colour) in parts {
            used += bytes;
            let to = self.bar + (f64::from(BAR) * (used / limit).clamp(0.0, 1.0)).round() as i32;
            rectangle(canvas, (from, top), (to, bottom), colour)?;
            from = to;
        }
        Ok(())
    }
}

/// The colour of so many bits, the same in every picture: doubling them is a step.
fn colour(bits: u32) -> Colour {
    ramp(libm::log2(f64::from(bits.max(1))) / libm::log2(f64::from(MAX_WIDTH)))
}

/// The colour at a part of the way from the first to the last.
fn ramp(part: f64) -> Colour {
    let at = part.clamp(0.0, 1.0) * (RAMP.len() - 1) as f64;
    let below = (at as usize).min(RAMP.len() - 2);
    let between = |a: u8, b: u8| (f64::from(a) + (at - below as f64) * (f64::from(b) - f64::from(a))).round() as u8;
    let (a, b) = (RAMP[below], RAMP[below + 1]);
    rgb((between(a.0, b.0), between(a.1, b.1), between(a.2, b.2)))
}

/// Black or white, whichever stands out.
fn ink_on(colour: Colour) -> Colour {
    let light = 0.299 * f64::from(colour.0) + 0.587 * f64::from(colour.1) + 0.114 * f64::from(colour.2);
    if light > 125.0 { INK } else { WHITE }
}

fn rectangle(canvas: &Canvas<'_>, from: (i32, i32), to: (i32, i32), colour: Colour) -> Result<()> {
    let [left, top, right, bottom] = [from.0, from.1, to.0, to.1].map(f64::from);
    // What is less than a pixel wide has no area.
    if right <= left {
        return Ok(());
    }
    canvas.area(&[(left, top), (right, top), (right, bottom), (left, bottom)], colour, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::delay::{self, Communication};
    use crate::placement::generate::{self, Spec};
    use crate::placement::solve::{Certificate, Solution, Work};
    use crate::placement::{Problem, Seat};
    use crate::report::placement::Bound;
    use crate::report::plot::tests::boxes;

    /// A placement of no merit: runs of so many layers on one server after the other.
    fn drawn(problem: &Problem, run: usize, communication: Communication) -> String {
        let widths = |l: usize, layer: &crate::placement::Layer| layer.widths[l * 7 % layer.widths.len()].bits;
        let server = |l: usize| l / run * 5 % problem.servers.len();
        let seats: Vec<Seat> =
            problem.layers().enumerate().map(|(l, (_, x))| Seat { server: server(l), bits: widths(l, x) }).collect();
        let usage = delay::usage(problem, &seats, communication).unwrap();
        let (certificate, work) = (Certificate::default(), Work::default());
        let solution = Solution { seats, bound_s: 0.5 * usage.delay_s, usage, certificate, work };
        let report = Report {
            problem,
            about: "a problem".to_string(),
            problem_file: None,
            layers_file: None,
            solver: "exact".to_string(),
            communication,
            solution: &solution,
            bound: Bound::Proven,
            baselines: Vec::new(),
            sensitivity: Vec::new(),
            node: None,
            seconds: 0.0,
        };
        let svg = to_svg(&report).unwrap();
        assert_eq!(svg, to_svg(&report).unwrap());
        svg
    }

    fn check(svg: &str) {
        let boxes = boxes(svg);
        for (at, (text, [left, top, right, bottom], [width, height])) in boxes.iter().enumerate() {
            assert!(*left >= 0.0 && *top >= 0.0 && right <= width && bottom <= height, "{text} is cut");
            for (other, [l, t, r, b], _) in &boxes[..at] {
                // Lines of a text may be closer than their letters are high.
                let apart = *left >= r - 0.5 || *l >= right - 0.5 || *top >= b - 1.5 || *t >= bottom - 1.5;
                assert!(apart, "{text:?} and {other:?} overlap");
            }
        }
    }

    #[test]
    fn texts_are_apart_and_inside_at_any_size() {
        for (layers, servers) in [(1, 1), (2, 1), (2, 2), (24, 5), (80, 32), (200, 60), (1, 100)] {
            for run in [1, 3, 1000] {
                for communication in Communication::ALL {
                    let mut p = generate::problem(&Spec::sized(1, layers, servers));
                    check(&drawn(&p, run, communication));
                    p.servers[0].name = "a server with a name that somebody made far too long ".repeat(4);
                    let layer = &mut p.models[0].layers[0];
                    (layer.name, layer.kv_bytes_per_token) = ("m".repeat(200), 0.0);
                    check(&drawn(&p, run, communication));
                }
            }
        }
    }

    #[test]
    fn several_models_have_their_names() {
        let mut p = generate::problem(&Spec::sized(1, 9, 4));
        let mut named = |name: &str, layers: usize| {
            let mut model = p.models[0].clone();
            (model.name, model.layers) = (name.to_string(), model.layers[..layers].to_vec());
            p.models.push(model);
        };
        named("a & b", 9);
        named("a model with a name that is far wider than its layers are, all of them", 2);
        named("c", 1);
        p.models.remove(0);
        let svg = drawn(&p, 2, Communication::Chain);
        check(&svg);
        let texts: Vec<&str> = boxes(&svg).into_iter().map(|(text, ..)| text).collect();
        assert!(texts.contains(&"a &amp; b") && texts.contains(&"c"));
    }

    #[test]
    fn where_there_is_no_room_the_slowest_crossings_are_named() {
        let p = generate::problem(&Spec::sized(2, 200, 7));
        let svg = drawn(&p, 1, Communication::Chain);
        let shown = boxes(&svg).iter().filter(|(text, ..)| text.ends_with(" ms") || text.ends_with(" s")).count();
        assert!(
            svg.contains(&format!("times of the slowest {shown} crossings; {} more without room", 199 - shown)),
            "{shown}"
        );
    }

    #[test]
    fn odd_numbers_do_no_harm() {
        let mut p = generate::problem(&Spec::sized(1, 3, 2));
        for (bytes, flops) in [(1e21, 0.0), (1.0, 1e18)] {
            p.servers[0].memory_bytes = bytes;
            p.models[0].layers[0].flops_per_token = flops;
            p.models[0].budget = flops;
            let svg = drawn(&p, 1, Communication::Chain);
            check(&svg);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
