//! Problem files: TOML, every key known, every error with its line.
//!
//! One model: `[request]`, `[quality]` and `[[layer]]` at the top. Several: a `[[model]]` for each, with the keys of
//! `[request]` and `[quality]` and its own `[[model.layer]]`. Servers, links and `[bits]` are shared. The layers of one
//! model may come from a file of their own, with `[[layer]]` and the `note` of `[quality]` only.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use toml::Spanned;
use toml::de::DeValue;

use super::curve::{Curve, Fault};
use super::problem::{Layer, Link, Model, Problem, Server, Width};
use crate::error::{Error, Place, Result, quote};
use crate::files::read::read_text;
use crate::files::table::{self, File, Origin, Shape, Table};
use crate::limits::{self, MAX_WIDTH};

/// The largest problem file, bytes.
pub(crate) const MAX_FILE: u64 = 64 << 20;

/// All widths, as keys.
const WIDTHS: [&str; MAX_WIDTH as usize] = [
    "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20",
    "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32",
];

const fn table(name: &'static str, keys: &'static [&'static str]) -> Shape {
    Shape { name, many: false, keys, tables: &[] }
}

const LAYER: Shape = Shape {
    name: "layer",
    many: true,
    keys: &["name", "parameters", "flops_per_token", "activation_bytes", "kv_bytes_per_token"],
    tables: &["weight_error"],
};

/// Every table and its keys.
const TABLES: [Shape; 8] = [
    table("request", &["prompt_tokens", "output_tokens", "held_requests"]),
    table("quality", &["budget", "perplexity", "note"]),
    table("bits", &WIDTHS),
    Shape {
        name: "server",
        many: true,
        keys: &["name", "compute_flops", "memory_bytes", "max_busy_s", "max_sent_bytes"],
        tables: &[],
    },
    Shape { name: "link", many: true, keys: &["from", "to", "bandwidth_bytes_per_s", "latency_s"], tables: &[] },
    LAYER,
    // Its layers are checked where they are read.
    Shape {
        name: "model",
        many: true,
        keys: &["name", "prompt_tokens", "output_tokens", "held_requests", "budget", "perplexity", "layer"],
        tables: &[],
    },
    table("weight_error", &WIDTHS),
];

/// The tables of a file with nothing but layers, which `dftsp weights` writes.
const LAYER_TABLES: [Shape; 3] = [table("quality", &["note"]), LAYER, table("weight_error", &WIDTHS)];

/// A file's text, and its name in messages.
#[derive(Debug, Clone, Copy)]
pub struct Text<'t> {
    /// As the user gave it.
    pub name: &'t str,
    /// All of it.
    pub text: &'t str,
}

/// Reads a problem file.
///
/// # Errors
/// A file that cannot be read; anything wrong in it, with its line and key.
pub fn read_path(path: &Path) -> Result<Problem> {
    parse(&read_text(path, MAX_FILE)?, &path.display().to_string())
}

/// Parses the text of a problem called `name` in messages.
///
/// # Errors
/// Anything wrong, with its line and key.
pub fn parse(text: &str, name: &str) -> Result<Problem> {
    parse_with(Text { name, text }, None)
}

/// [`parse`], with the layers from a file of their own, if there is one; the problem then has none.
///
/// # Errors
/// Anything wrong in either, with its line and key; layers in both, or several models.
pub fn parse_with(problem: Text<'_>, layers: Option<Text<'_>>) -> Result<Problem> {
    let root = table::parse(problem.text, problem.name)?;
    let file = File { origin: Origin::new(problem.text, problem.name), root: &root };
    check_keys(&file, &TABLES)?;
    let own = layers.map(|layers| table::parse(layers.text, layers.name)).transpose()?;
    let own = layers.zip(own.as_ref()).map(|(l, root)| File { origin: Origin::new(l.text, l.name), root });
    if let Some(own) = &own {
        check_keys(own, &LAYER_TABLES)?;
        for (key, why) in [("layer", "there are layers here too"), ("model", "layers of a file belong to one model")] {
            if let Some(value) = root.get(key) {
                let remedy = format!("leave them out, or do without {}", own.origin.name);
                return Err(file.origin.place(value.span(), key).error(why, remedy));
            }
        }
    }
    let tables = file.many("server")?;
    let servers: Vec<Server> = tables.iter().map(server).collect::<Result<_>>()?;
    let mut names = HashMap::new();
    for (at, (server, table)) in servers.iter().zip(&tables).enumerate() {
        if let Some(before) = names.insert(server.name.as_str(), at) {
            let problem = format!("{} is the name of server {} too", quote(server.name.as_bytes()), before + 1);
            return Err(table.place_of("name").error(problem, "give every server a name of its own"));
        }
    }
    let links = file.many("link")?.iter().map(|t| link(t, &names)).collect::<Result<_>>()?;
    let mut time_factors = [1.0; MAX_WIDTH as usize + 1];
    if let Some(bits) = file.optional("bits")? {
        whole_widths(&bits)?;
        for (key, factor) in WIDTHS.into_iter().zip(&mut time_factors[1..]) {
            *factor = bits.number(key, &limits::FACTOR)?.unwrap_or(1.0);
        }
    }
    let mut note = None;
    // That of the layers, whose errors it is about, before that of the problem.
    for file in [Some(&file), own.as_ref()].into_iter().flatten() {
        let Some(quality) = file.optional("quality")? else { continue };
        note = quality.string("note", "say where the weight errors come from")?.map(str::to_string).or(note);
    }
    let models = models(&file, own.as_ref().unwrap_or(&file))?;
    let found = Problem { models, servers, links, time_factors, note };
    // What no single key shows: names given twice, and how many there are.
    found.check().map_err(|e| locate(problem, layers, e))?;
    Ok(found)
}

/// An error about "problem" as a whole at its line in the file that it is about, which has been parsed before.
pub fn locate(problem: Text<'_>, layers: Option<Text<'_>>, error: Error) -> Error {
    let is_of_layers = matches!(&error, Error::Input { place, .. }
        if place.field.as_ref().is_some_and(|field| field.split('.').next() == Some("layer")));
    let Text { name, text } = layers.filter(|_| is_of_layers).unwrap_or(problem);
    match table::parse(text, name) {
        Ok(root) => File { origin: Origin::new(text, name), root: &root }.locate(error, "problem"),
        Err(_) => error,
    }
}

fn check_keys(file: &File<'_>, shapes: &[Shape]) -> Result<()> {
    file.check_keys(shapes)?;
    match file.root.get("weight_error") {
        Some(stray) => {
            let place = file.origin.place(stray.span(), "weight_error");
            Err(place.error("unknown table", "weight_error is a key of [[layer]]"))
        }
        None => Ok(()),
    }
}

/// The models of a file; of one without `[[model]]`, the layers of another file, or its own.
fn models(file: &File<'_>, layers: &File<'_>) -> Result<Vec<Model>> {
    let several = file.many("model")?;
    if several.is_empty() {
        let missing = |name: &str, keys: &str| {
            let place = Place::file(file.origin.name);
            place.error(format!("the table [{name}] is missing"), format!("add [{name}] with {keys}"))
        };
        let request = file.optional("request")?.ok_or_else(|| missing("request", "prompt_tokens and output_tokens"))?;
        let quality = file.optional("quality")?.ok_or_else(|| missing("quality", "budget"))?;
        let layers = layers.many("layer")?;
        return Ok(vec![model(file, String::new(), &request, (&quality, "quality"), &layers)?]);
    }
    for name in ["request", "layer"] {
        if let Some(value) = file.root.get(name) {
            let place = file.origin.place(value.span(), name);
            return Err(place.error("there are [[model]] tables too", "give each model its own, in [[model]]"));
        }
    }
    several.iter().enumerate().map(|(at, t)| one_of_several(file, at, t)).collect()
}

fn one_of_several(file: &File<'_>, at: usize, t: &Table<'_>) -> Result<Model> {
    let remedy = "give a name for reports";
    let name = t.string("name", remedy)?.ok_or_else(|| t.missing("name", remedy))?;
    let layers = t.many("layer")?;
    for (l, value) in t.items("layer").into_iter().enumerate() {
        file.check_table(&format!("model.{at}.layer.{l}"), &LAYER, value, &TABLES)?;
    }
    model(file, name.to_string(), t, (t, &format!("model.{at}")), &layers)
}

/// One model; `quality` is a table and its name.
fn model(
    file: &File<'_>,
    name: String,
    request: &Table<'_>,
    (quality, table): (&Table<'_>, &str),
    layers: &[Table<'_>],
) -> Result<Model> {
    Ok(Model {
        name,
        prompt_tokens: request.required_whole("prompt_tokens", &limits::TOKENS, None)?,
        output_tokens: request.required_whole("output_tokens", &limits::TOKENS, None)?,
        held_requests: request.whole("held_requests", &limits::HELD)?.unwrap_or(1),
        budget: quality.required("budget", &limits::ERROR_BUDGET, None)?,
        perplexity: curve(file, quality, table)?,
        layers: layers.iter().map(layer).collect::<Result<_>>()?,
    })
}

/// The curve of a model, if it has one.
fn curve(file: &File<'_>, quality: &Table<'_>, table: &str) -> Result<Option<Curve>> {
    const REMEDY: &str = "give [sum of weight errors, ΔPPL] points, errors ascending from 0, ΔPPL not falling, such as \
                          [[0.0, 0.0], [0.4, 0.3]]";
    if !quality.has("perplexity") {
        return Ok(None);
    }
    if !quality.is_array("perplexity") {
        return Err(quality.place_of("perplexity").error("not a list of points", REMEDY));
    }
    let items = quality.items("perplexity");
    let wrong = |Fault { point, what }| match point.and_then(|at| Some((at, items.get(at)?))) {
        Some((at, item)) => file.origin.place(item.span(), format!("{table}.perplexity.{at}")).error(what, REMEDY),
        None => quality.place_of("perplexity").error(what, REMEDY),
    };
    let pair = |(at, item): (usize, &&Spanned<DeValue<'_>>)| {
        let numbers: Option<Vec<f64>> = item.get_ref().as_array().and_then(|pair| pair.iter().map(number).collect());
        match numbers.as_deref() {
            Some(&[error, increase]) => Ok((error, increase)),
            _ => Err(wrong(Fault { point: Some(at), what: "not a pair of numbers".to_string() })),
        }
    };
    let points = items.iter().enumerate().map(pair).collect::<Result<Vec<_>>>()?;
    Curve::new(points).map(Some).map_err(wrong)
}

/// A decimal number.
fn number(value: &Spanned<DeValue<'_>>) -> Option<f64> {
    match value.get_ref() {
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(int) if int.radix() == 10 => int.as_str().parse().ok(),
        _ => None,
    }
}

fn server(t: &Table<'_>) -> Result<Server> {
    Ok(Server {
        name: text(t, "name", "give the server a name of its own")?,
        compute_flops: t.required("compute_flops", &limits::COMPUTE, None)?,
        memory_bytes: t.required("memory_bytes", &limits::MEMORY, None)?,
        max_busy_s: t.number("max_busy_s", &limits::BUSY)?,
        max_sent_bytes: t.number("max_sent_bytes", &limits::SENT)?,
    })
}

fn text(t: &Table<'_>, key: &'static str, remedy: &str) -> Result<String> {
    let text = t.string(key, remedy)?.ok_or_else(|| t.missing(key, remedy))?;
    crate::workload::check_name("name", text, || t.place_of(key))?;
    Ok(text.to_string())
}

fn link(t: &Table<'_>, names: &HashMap<&str, usize>) -> Result<Link> {
    let end = |key: &'static str| {
        let name = text(t, key, "name a server")?;
        names.get(name.as_str()).copied().ok_or_else(|| {
            let problem = format!("there is no server {}", quote(name.as_bytes()));
            t.place_of(key).error(problem, "give the name of a [[server]]")
        })
    };
    Ok(Link {
        from: end("from")?,
        to: end("to")?,
        bandwidth_bytes_per_s: t.required("bandwidth_bytes_per_s", &limits::LINK_BANDWIDTH, None)?,
        latency_s: t.required("latency_s", &limits::LATENCY, None)?,
    })
}

fn layer(t: &Table<'_>) -> Result<Layer> {
    let errors = t.optional("weight_error")?.ok_or_else(|| {
        t.missing("weight_error", "give the error of each width on offer, such as { \"4\" = 0.03, \"16\" = 0.0 }")
    })?;
    whole_widths(&errors)?;
    let mut widths = Vec::new();
    for (key, bits) in WIDTHS.into_iter().zip(1..) {
        if let Some(error) = errors.number(key, &limits::WEIGHT_ERROR)? {
            widths.push(Width { bits, error });
        }
    }
    Ok(Layer {
        name: text(t, "name", "give the layer a name for reports")?,
        parameters: t.required("parameters", &limits::PARAMETERS, None)?,
        flops_per_token: t.required("flops_per_token", &limits::TOKEN_FLOPS, None)?,
        activation_bytes: t.required("activation_bytes", &limits::TOKEN_BYTES, None)?,
        kv_bytes_per_token: t.number("kv_bytes_per_token", &limits::TOKEN_BYTES)?.unwrap_or(0.0),
        widths,
    })
}

/// Refuses 4.5, which TOML reads as a key of the table 4.
fn whole_widths(t: &Table<'_>) -> Result<()> {
    match WIDTHS.into_iter().find(|key| t.is_table(key)) {
        Some(key) => {
            let remedy = "give whole widths from 1 to 32 bits, such as 4 = 0.6";
            Err(t.place_of(key).error("a width with a point, or a table", remedy))
        }
        None => Ok(()),
    }
}

/// The problem as a file that [`parse`] reads back.
pub fn to_toml(problem: &Problem) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, problem);
    out
}

fn write(out: &mut String, p: &Problem) -> std::fmt::Result {
    let single = match &p.models[..] {
        [only] if only.name.is_empty() => Some(only),
        _ => None,
    };
    if let Some(m) = single {
        writeln!(out, "[request]\nprompt_tokens = {}\noutput_tokens = {}", m.prompt_tokens, m.output_tokens)?;
        writeln!(out, "held_requests = {} # memory is for so many at once", m.held_requests)?;
    }
    if single.is_some() || p.note.is_some() {
        writeln!(out, "\n[quality]")?;
    }
    if let Some(m) = single {
        writeln!(out, "budget = {:?}", m.budget)?;
        write_curve(out, m)?;
    }
    if let Some(note) = &p.note {
        writeln!(out, "note = {}", quoted(note))?;
    }
    writeln!(out, "\n[bits] # time of a FLOP at this width; 1 if not given")?;
    for (bits, factor) in p.time_factors.iter().enumerate().skip(1).filter(|(_, f)| **f != 1.0) {
        writeln!(out, "\"{bits}\" = {factor:?}")?;
    }
    for s in &p.servers {
        writeln!(out, "\n[[server]]\nname = {}", quoted(&s.name))?;
        writeln!(out, "compute_flops = {:?}\nmemory_bytes = {:?}", s.compute_flops, s.memory_bytes)?;
        for (key, value) in [("max_busy_s", s.max_busy_s), ("max_sent_bytes", s.max_sent_bytes)] {
            if let Some(value) = value {
                writeln!(out, "{key} = {value:?}")?;
            }
        }
    }
    for k in &p.links {
        let name = |at: usize| quoted(p.servers.get(at).map_or("", |s| s.name.as_str()));
        writeln!(out, "\n[[link]]\nfrom = {}\nto = {}", name(k.from), name(k.to))?;
        writeln!(out, "bandwidth_bytes_per_s = {:?}\nlatency_s = {:?}", k.bandwidth_bytes_per_s, k.latency_s)?;
    }
    for m in &p.models {
        if single.is_none() {
            writeln!(out, "\n[[model]]\nname = {}\nprompt_tokens = {}", quoted(&m.name), m.prompt_tokens)?;
            writeln!(out, "output_tokens = {}\nheld_requests = {}", m.output_tokens, m.held_requests)?;
            writeln!(out, "budget = {:?}", m.budget)?;
            write_curve(out, m)?;
        }
        for l in &m.layers {
            let head = if single.is_some() { "[[layer]]" } else { "[[model.layer]]" };
            writeln!(out, "\n{head}\nname = {}\nparameters = {:?}", quoted(&l.name), l.parameters)?;
            writeln!(out, "flops_per_token = {:?}\nactivation_bytes = {:?}", l.flops_per_token, l.activation_bytes)?;
            writeln!(out, "kv_bytes_per_token = {:?}", l.kv_bytes_per_token)?;
            let widths: Vec<String> = l.widths.iter().map(|w| format!("\"{}\" = {:?}", w.bits, w.error)).collect();
            writeln!(out, "weight_error = {{ {} }}", widths.join(", "))?;
        }
    }
    Ok(())
}

fn write_curve(out: &mut String, m: &Model) -> std::fmt::Result {
    let Some(curve) = &m.perplexity else { return Ok(()) };
    let points: Vec<String> = curve.points().iter().map(|(error, ppl)| format!("[{error:?}, {ppl:?}]")).collect();
    writeln!(out, "perplexity = [{}] # ΔPPL at sums of weight errors, linear in between", points.join(", "))
}

fn quoted(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::generate::{self, Spec};

    const SMALL: &str = "\
[request]
prompt_tokens = 128
output_tokens = 64
[quality]
budget = 0.8
[bits]
\"4\" = 0.6
[[server]]
name = \"a\"
compute_flops = 2e12
memory_bytes = 3e9
max_busy_s = 5.0
[[server]]
name = \"b\"
compute_flops = 1e12
memory_bytes = 3e9
[[link]]
from = \"a\"
to = \"b\"
bandwidth_bytes_per_s = 1e8
latency_s = 0.002
[[layer]]
name = \"l0\"
parameters = 12_600_000
flops_per_token = 25.2e6
activation_bytes = 2048
weight_error = { \"4\" = 0.03, \"16\" = 0.0 }
";

    #[test]
    fn files_read_back() {
        let p = parse(SMALL, "p").unwrap();
        assert_eq!((p.servers.len(), p.links.len(), p.len(), p.time_factor(4)), (2, 1, 1, 0.6));
        assert_eq!(p.models[0].perplexity, None);
        let with = SMALL.replace("budget = 0.8", "budget = 0.8\nperplexity = [[0, 0], [0.4, 0.3]]");
        let curve = parse(&with, "p").unwrap().models[0].perplexity.clone().unwrap();
        assert_eq!(curve.points(), [(0.0, 0.0), (0.4, 0.3)]);
        assert_eq!(p.models[0].layers[0].widths[0], Width { bits: 4, error: 0.03 });
        for p in [p, generate::problem(&Spec { capacities: true, ends: true, missing: 0.3, ..Spec::opt_350m(3) })] {
            assert_eq!(parse(&to_toml(&p), "p").unwrap(), p);
            let mut two = p.clone();
            two.models[0].held_requests = 3;
            two.models.push(p.models[0].clone());
            (two.models[0].name, two.models[1].name) = ("x \"y\"".to_string(), "z".to_string());
            assert_eq!(parse(&to_toml(&two), "p").unwrap(), two);
        }
    }

    #[test]
    fn every_mistake_has_its_line_and_key() {
        for (from, to, message) in [
            ("budget = 0.8", "budget = -1", "p, line 5, quality.budget: -1 is negative"),
            ("budget = 0.8", "budget = 0.8\nperplexity = 3", "p, line 6, quality.perplexity: not a list of points"),
            ("budget = 0.8", "budget = 0.8\nperplexity = []", "p, line 6, quality.perplexity: 0 points"),
            (
                "budget = 0.8",
                "budget = 0.8\nperplexity = [\n[0, 0],\n[1]]",
                "p, line 8, quality.perplexity.1: not a pair",
            ),
            (
                "budget = 0.8",
                "budget = 0.8\nperplexity = [[0, 0], [2, 1],\n[1, 3]]",
                "p, line 7, quality.perplexity.2: the error 1 does not lie above 2; give [sum",
            ),
            (
                "budget = 0.8",
                "budget = 0.8\nperplexity = [[0, 0], [1, inf]]",
                "p, line 6, quality.perplexity.1: inf is no increase",
            ),
            ("budget = 0.8", "budget = nan", "p, line 5, quality.budget: not a number (NaN)"),
            ("budget = 0.8\n", "", "p, line 4, quality.budget: the key is missing"),
            ("[quality]\nbudget = 0.8\n", "", "p: the table [quality] is missing; add [quality] with budget"),
            ("prompt_tokens = 128", "prompt_tokens = 1.5", "p, line 2, request.prompt_tokens: 1.5 is not a whole"),
            (
                "output_tokens = 64",
                "output_tokens = 64\nheld_requests = 0",
                "p, line 4, request.held_requests: 0 is not allowed; give requests from 1",
            ),
            ("\"4\" = 0.6", "\"33\" = 0.6", "p, line 7, bits.33: unknown key; the keys of [bits] are 1 to 32"),
            ("\"4\" = 0.6", "\"4\" = 0", "p, line 7, bits.4: 0 is not allowed"),
            ("\"4\" = 0.6", "4.5 = 0.6", "p, line 7, bits.4: a width with a point, or a table; give whole widths"),
            ("\"4\" = 0.6", "\"4\" = []", "p, line 7, bits.4: a list is not a number; give a factor"),
            ("\"4\" = 0.03", "4.5 = 0.03", "p, line 27, layer.0.weight_error.4: a width with a point, or a table"),
            ("max_busy_s", "max_busy", "p, line 12, server.0.max_busy: unknown key; the keys of [[server]] are name"),
            ("name = \"b\"", "name = \"a\"", "p, line 14, server.1.name: 'a' is the name of server 1 too"),
            ("name = \"b\"\n", "", "p, line 13, server.1.name: the key is missing"),
            ("to = \"b\"", "to = \"c\"", "p, line 19, link.0.to: there is no server 'c'"),
            ("to = \"b\"", "to = \"a\"", "p, line 19, link.0.to: the link leads from 'a' to itself"),
            ("latency_s = 0.002", "latency_s = inf", "p, line 21, link.0.latency_s: inf is infinite"),
            ("12_600_000", "\"x\"", "p, line 24, layer.0.parameters: the text 'x' is not a number"),
            ("\"4\" = 0.03", "\"4\" = -0.03", "p, line 27, layer.0.weight_error.4: -0.03 is negative"),
            (
                "budget = 0.8",
                "budget = 1e-300",
                "p, line 5, quality.budget: 1e-300 is too small; give 0, or at least 1e-100",
            ),
            ("\"4\" = 0.03", "\"4\" = 5e-324", "p, line 27, layer.0.weight_error.4: 5e-324 is too small; give 0, or"),
            ("\"4\" = 0.03", "\"0\" = 0.03", "p, line 27, layer.0.weight_error.0: unknown key"),
            ("{ \"4\" = 0.03, \"16\" = 0.0 }", "{}", "p, line 27, layer.0.weight_error: no widths from 1 to 32 bits"),
            ("{ \"4\" = 0.03, \"16\" = 0.0 }", "3", "p, line 27, layer.0.weight_error: not a table"),
            ("[[layer]]", "[layer]", "p, line 22, layer: not an array of tables"),
            ("[[link]]", "[[lnik]]", "p, line 17, 'lnik': unknown table"),
            ("[[link]]", "[weight_error]\n[[link]]", "p, line 17, weight_error: unknown table"),
        ] {
            assert!(SMALL.contains(from), "{from}");
            let e = parse(&SMALL.replacen(from, to, 1), "p").unwrap_err().to_string();
            assert!(e.starts_with(message), "{e}");
        }
        let twice = format!("{SMALL}[[link]]\nfrom = \"a\"\nto = \"b\"\nbandwidth_bytes_per_s = 1\nlatency_s = 0\n");
        let e = parse(&twice, "p").unwrap_err().to_string();
        assert!(e.starts_with("p, line 30, link.1.to: there is a link from 'a' to 'b' already"), "{e}");
        let none = SMALL.split("[[layer]]").next().unwrap();
        let e = parse(none, "p").unwrap_err().to_string();
        assert!(e.starts_with("p, layer: there is none; give [[layer]] tables"), "{e}");
    }

    #[test]
    fn layers_may_come_from_a_file_of_their_own() {
        let (servers, layers) = SMALL.split_once("[[layer]]").unwrap();
        let layers = format!("[quality]\nnote = \"measured\"\n[[layer]]{layers}");
        let with = |servers: &str, layers: &str| {
            parse_with(Text { name: "p", text: servers }, Some(Text { name: "l", text: layers }))
        };
        let whole = Problem { note: Some("measured".to_string()), ..parse(SMALL, "p").unwrap() };
        assert_eq!(with(servers, &layers).unwrap(), whole);
        let noted = servers.replacen("[quality]", "[quality]\nnote = \"guessed\"", 1);
        assert_eq!(with(&noted, &layers).unwrap(), whole);
        let model = format!("{servers}[[model]]\nname = \"m\"\n");
        for (servers, layers, message) in [
            (SMALL, &*layers, "p, line 22, layer: there are layers here too; leave them out, or do without l"),
            (&*model, &layers, "p, line 22, model: layers of a file belong to one model"),
            (servers, "", "l, layer: there is none; give [[layer]] tables"),
            (servers, SMALL, "l, line 6, 'bits': unknown table; the tables are quality, layer"),
            (servers, &layers.replace("note", "budget"), "l, line 2, quality.budget: unknown key"),
            (servers, &layers.replace("12_600_000", "-1"), "l, line 5, layer.0.parameters: -1 is negative"),
            (servers, &layers.replace("{ ", "{ \"33\" = 1, "), "l, line 8, layer.0.weight_error.33: unknown key"),
            (
                servers,
                &layers.replace("{ \"4\" = 0.03, \"16\" = 0.0 }", "{}"),
                "l, line 8, layer.0.weight_error: no widths",
            ),
            (servers, "layer", "l, line 1: "),
            (&servers.replace("0.8", "-1"), &layers, "p, line 5, quality.budget: -1 is negative"),
        ] {
            let e = with(servers, layers).unwrap_err().to_string();
            assert!(e.starts_with(message), "{e}");
        }
    }

    #[test]
    fn mistakes_in_one_of_several_models_have_their_line_and_key() {
        let layer = "[[model.layer]]\nname = \"l\"\nparameters = 1\nflops_per_token = 1\nactivation_bytes = 1\n\
            weight_error = { \"4\" = 0.1 }\n";
        let head = "[[server]]\nname = \"a\"\ncompute_flops = 1e9\nmemory_bytes = 1e9\n";
        let text = format!("{head}[[model]]\nname = \"m\"\nprompt_tokens = 1\noutput_tokens = 2\nbudget = 1\n{layer}");
        assert_eq!(parse(&text, "p").unwrap().models[0].name, "m");
        for (from, to, message) in [
            ("budget = 1", "budget = -1", "p, line 9, model.0.budget: -1 is negative"),
            (
                "budget = 1",
                "budget = 1\nperplexity = [[1, 0]]",
                "p, line 10, model.0.perplexity.0: the first error is 1",
            ),
            ("parameters = 1", "parameter = 1", "p, line 12, model.0.layer.0.parameter: unknown key"),
            ("\"4\" = 0.1", "\"40\" = 0.1", "p, line 15, model.0.layer.0.weight_error.40: unknown key"),
            ("[[model.layer]]", "[request]\n[[model.layer]]", "p, line 10, request: there are [[model]] tables too"),
            ("name = \"m\"\n", "", "p, line 5, model.0.name: the key is missing"),
        ] {
            let e = parse(&text.replacen(from, to, 1), "p").unwrap_err().to_string();
            assert!(e.starts_with(message), "{e}");
        }
    }
}
