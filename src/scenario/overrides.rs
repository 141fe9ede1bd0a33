//! Keys of a scenario given beside its file: `--set node.memory_bytes=1e9`.
//!
//! An override replaces a key or adds it before anything is read, so that it is checked, and wrong in the same ways, as
//! if it were in the file. One of a `preset` takes the other keys that the file gives in that table away: they were
//! changes of another preset. What other overrides set in the table stays.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Place, Result};
use crate::files::table::Origin;
#[cfg(feature = "simulation")]
use crate::files::table::number_of;

/// The most parts of a key: `service.0.quantization.memory_factor` has four.
const MAX_PARTS: usize = 5;

/// Keys of `[arrivals]` of which only one can be given; one that is overridden drops the other of the file.
const EITHER: [(&str, &str); 2] = [("prompt_tokens", "prompt_range"), ("output_tokens", "output_range")];

/// Applies the overrides of `origin` to the tables of its file.
pub(super) fn apply<'t>(root: &mut DeTable<'t>, origin: &Origin<'t>) -> Result<()> {
    for (index, (key, _)) in origin.overrides.iter().enumerate() {
        // What follows goes as deep as the key does.
        if key.split('.').nth(MAX_PARTS).is_some() {
            let problem = format!("more than {MAX_PARTS} parts");
            let place = origin.place(origin.span_of(index), key.as_str());
            return Err(place.error(problem, "write it like node.memory_bytes"));
        }
    }
    for (key, _) in origin.overrides {
        let Some(key) = key.strip_prefix("arrivals.") else { continue };
        for (levels, range) in EITHER {
            let other = if key == levels {
                range
            } else if key == range {
                levels
            } else {
                continue;
            };
            if let Some(table) = find(root, "arrivals".split('.')) {
                table.remove(other);
            }
        }
    }
    for (key, _) in origin.overrides {
        if let Some(table) = key.strip_suffix(".preset").and_then(|path| find(root, path.split('.'))) {
            table.clear();
        }
    }
    for (index, (key, value)) in origin.overrides.iter().enumerate() {
        let span = origin.span_of(index);
        let path: Vec<&str> = key.split('.').collect();
        let place = || origin.place(span.clone(), key.as_str());
        if path.len() < 2 {
            return Err(place().error("not a key of a table", "write it like node.memory_bytes"));
        }
        let value = value.trim();
        // A bare word is a text, such as a preset or a padding.
        let value = DeValue::parse(value).map_or(DeValue::String(Cow::Borrowed(value)), Spanned::into_inner);
        set(root, &path, 0, spanned(value, &span), &place)?;
    }
    Ok(())
}

/// The table at a path, if there is one.
fn find<'a, 't>(table: &'a mut DeTable<'t>, mut path: std::str::Split<'_, char>) -> Option<&'a mut DeTable<'t>> {
    let Some(first) = path.next() else { return Some(table) };
    match table.get_mut(first)?.get_mut() {
        DeValue::Table(inner) => find(inner, path),
        DeValue::Array(items) => match items.get_mut(path.next()?.parse::<usize>().ok()?)?.get_mut() {
            DeValue::Table(inner) => find(inner, path),
            _ => None,
        },
        _ => None,
    }
}

/// Sets the key at `path[depth..]` of a table.
fn set<'t>(
    table: &mut DeTable<'t>,
    path: &[&'t str],
    depth: usize,
    value: Spanned<DeValue<'t>>,
    place: &impl Fn() -> Place,
) -> Result<()> {
    let span = value.span();
    let key = Spanned::new(span.clone(), Cow::Borrowed(path[depth]));
    if depth + 1 == path.len() {
        table.insert(key, value);
        return Ok(());
    }
    let numbered = path[depth + 1].parse::<usize>().ok();
    let name = path[..=depth].join(".");
    if !table.contains_key(path[depth]) {
        if numbered.is_some() {
            return Err(nothing_there(place(), &name, 0));
        }
        table.insert(key, Spanned::new(span, DeValue::Table(DeTable::new())));
    }
    let (inner, depth) = match table.get_mut(path[depth]).map(Spanned::get_mut) {
        Some(DeValue::Array(items)) => {
            let count = items.len();
            let Some(item) = numbered.and_then(|at| items.get_mut(at)) else {
                return Err(nothing_there(place(), &name, count));
            };
            (Some(item.get_mut()), depth + 2)
        }
        other => (other, depth + 1),
    };
    match inner {
        Some(DeValue::Table(inner)) if depth < path.len() => set(inner, path, depth, value, place),
        _ => {
            let problem = format!("{} is not a table", path[..depth].join("."));
            Err(place().error(problem, "write the key of a table, like node.memory_bytes"))
        }
    }
}

/// A value of an override in one of the forms that mean the same, to tell whether two do.
#[cfg(feature = "simulation")]
pub(crate) fn canonical(text: &str) -> String {
    let text = text.trim();
    DeValue::parse(text).map_or_else(|_| format!("{text:?}"), |value| form(&value))
}

#[cfg(feature = "simulation")]
fn form(value: &Spanned<DeValue<'_>>) -> String {
    if let Some(number) = number_of(value) {
        // Without the sign of a zero.
        return format!("{:?}", number + 0.0);
    }
    match value.get_ref() {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Array(items) => format!("[{}]", items.iter().map(form).collect::<Vec<_>>().join(",")),
        DeValue::Table(table) => {
            let mut entries: Vec<String> =
                table.iter().map(|(key, value)| format!("{:?}={}", key.get_ref(), form(value))).collect();
            entries.sort_unstable();
            format!("{{{}}}", entries.join(","))
        }
        other => format!("{other:?}"),
    }
}

fn nothing_there(place: Place, name: &str, count: usize) -> Error {
    let remedy = match count {
        0 => format!("add [[{name}]] to the file"),
        1 => format!("write {name}.0 and a key"),
        _ => format!("write {name}.0 to {name}.{} and a key", count - 1),
    };
    place.error(format!("the file has {count} [[{name}]]"), remedy)
}

/// A value all of whose parts have one span.
fn spanned<'t>(value: DeValue<'t>, span: &Range<usize>) -> Spanned<DeValue<'t>> {
    let value = match value {
        DeValue::Array(items) => {
            DeValue::Array(items.into_iter().map(|item| spanned(item.into_inner(), span)).collect())
        }
        DeValue::Table(table) => {
            let entry = |(key, value): (Spanned<_>, Spanned<_>)| {
                (Spanned::new(span.clone(), key.into_inner()), spanned(value.into_inner(), span))
            };
            DeValue::Table(table.into_iter().map(entry).collect())
        }
        other => other,
    };
    Spanned::new(span.clone(), value)
}

#[cfg(test)]
mod tests {
    use super::super::Scenario;
    use super::super::file::{parse, parse_with};
    use super::*;

    const FILE: &str = "[model]\npreset = \"bloom-3b\"\nlayers = 31\n[quantization]\nmemory_factor = 0.5\ntime_factor = 1\n\
        perplexity_increase = 0.05\n[node]\npreset = \"jetson-tx2-x20\"\nmemory_bytes = 500e9\n[radio]\npreset = \"paper\"\n\
        [epoch]\npreset = \"paper\"\n[batching]\npreset = \"paper\"\n\
        [[service]]\nshare = 0.25\n[service.model]\npreset = \"opt-13b\"\n[service.quantization]\npreset = \"w8a16\"\n\
        [[qos]]\nname = \"a\"\nshare = 1\n[[qos]]\nname = \"b\"\nshare = 1\n";

    fn with(overrides: &[(&str, &str)]) -> Result<Scenario> {
        let overrides: Vec<(String, String)> =
            overrides.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        parse_with(FILE, "s", None, &overrides)
    }

    #[test]
    fn an_override_is_the_key_in_the_file() {
        assert_eq!(with(&[]).unwrap(), parse(FILE, "s", None).unwrap());
        let s = with(&[
            ("node.memory_bytes", " 1e9 "),
            ("batching.padding", "none"),
            ("synthesis.seed", "7"),
            ("arrivals.process", "\"gamma\""),
            ("arrivals.cv", "3"),
            ("arrivals.prompt_tokens", "[64, 32]"),
            ("service.0.share", "0.5"),
            ("service.0.batching.padding", "longest"),
            ("qos.1.deadline_s", "[1, 3]"),
            ("node.memory_bytes", "2e9"),
        ])
        .unwrap();
        let file = FILE
            .replace("500e9", "2e9")
            .replace("[batching]\n", "[batching]\npadding = \"none\"\n")
            .replace("0.25\n", "0.5\nbatching = { padding = \"longest\" }\n");
        let more = "deadline_s = [1, 3]\n[synthesis]\nseed = 7\n[arrivals]\nprocess = \"gamma\"\ncv = 3\nprompt_tokens = [32, 64]\n";
        assert_eq!(s, parse(&format!("{file}{more}"), "s", None).unwrap());
    }

    #[test]
    fn an_override_of_a_preset_drops_the_keys_that_the_file_gives_beside_it() {
        let s = with(&[("model.preset", "bloom-7.1b"), ("service.0.model.preset", "opt-30b")]).unwrap();
        assert_eq!((s.model.name.as_str(), s.services[0].name.as_str()), ("bloom-7.1b", "opt-30b"));
        let s = with(&[("model.layers", "20"), ("model.preset", "bloom-7.1b")]).unwrap();
        assert_eq!((s.model.layers, s.model.hidden_size), (20, 4096));
        assert_eq!(with(&[("node.preset", "nvidia-l4")]).unwrap().node.memory_bytes, 24e9);
    }

    #[test]
    fn an_override_of_lengths_drops_the_other_way_to_give_them() {
        for (file, key, value, same) in [
            (
                "prompt_tokens = [7]\noutput_tokens = [9]",
                "prompt_range",
                "[1, 5]",
                "prompt_range = [1, 5]\noutput_tokens = [9]",
            ),
            (
                "prompt_tokens = [7]\noutput_range = [8, 9]",
                "output_tokens",
                "[6]",
                "prompt_tokens = [7]\noutput_tokens = [6]",
            ),
            ("prompt_range = [7, 8]", "prompt_tokens", "[6]", "prompt_tokens = [6]"),
            ("output_tokens = [7]", "output_range", "[6, 8]", "output_range = [6, 8]"),
        ] {
            let text = |lengths: &str| format!("{FILE}[arrivals]\n{lengths}\n");
            let overrides = [(format!("arrivals.{key}"), value.to_string())];
            let s = parse_with(&text(file), "s", None, &overrides).unwrap();
            assert_eq!(s, parse(&text(same), "s", None).unwrap());
        }
        let both = [("arrivals.prompt_range", "[1, 5]"), ("arrivals.prompt_tokens", "[6]")];
        let e = with(&both).unwrap_err().to_string();
        assert!(e.starts_with("--set arrivals.prompt_range: there are prompt_tokens too"), "{e}");
    }

    #[test]
    fn what_is_wrong_with_the_embedded_scenario_was_overridden() {
        let text = format!("{FILE}[arrivals]\nprocess = \"poisson\"\n");
        let read = |overrides: &[(&str, &str)]| {
            let overrides: Vec<(String, String)> =
                overrides.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            parse_with(&text, super::super::file::EMBEDDED, None, &overrides).unwrap_err().to_string()
        };
        let gamma = ("arrivals.process", "gamma");
        for overrides in [&[gamma][..], &[gamma, ("node.memory_bytes", "1e9")]] {
            let e = read(overrides);
            assert!(e.starts_with("--set arrivals.process, arrivals.cv: the key is missing"), "{e}");
        }
        let e = read(&[("epoch.duration_s", "0.1")]);
        assert!(e.starts_with("--set epoch.duration_s, epoch.uplink_slot_s: a slot of"), "{e}");
    }

    #[test]
    fn a_key_of_any_depth_is_refused_on_one_short_line() {
        for parts in [6, 20_000] {
            let e = with(&[(&vec!["a"; parts].join("."), "1")]).unwrap_err().to_string();
            assert!(e.starts_with("--set a.a.a.a.a.a") && e.contains(": more than 5 parts; ") && e.len() < 200, "{e}");
        }
        let (deep, wide) = ("[".repeat(20_000), format!("{}1{}", "{a=".repeat(20_000), "}".repeat(20_000)));
        for value in [&deep, &wide] {
            assert!(with(&[("node.memory_bytes", value)]).unwrap_err().to_string().len() < 400);
        }
    }

    #[test]
    fn mistakes_name_the_override() {
        for (key, value, message) in [
            ("node.memory_bytes", "-1", "--set node.memory_bytes: -1 is negative; give bytes"),
            ("node.memory_bytes", "1e9 B", "--set node.memory_bytes: the text '1e9 B' is not a number"),
            ("node.memory_bytes", "", "--set node.memory_bytes: the text '' is not a number"),
            ("node.memory", "1", "--set node.memory: unknown key; the keys of [node] are preset"),
            ("nodes.memory_bytes", "1", "--set nodes.memory_bytes: unknown table; the tables are model"),
            ("node", "1", "--set node: not a key of a table"),
            ("a.b.c.d.e.f", "1", "--set a.b.c.d.e.f: more than 5 parts; write it like node.memory_bytes"),
            ("node.preset.x", "1", "--set node.preset.x: node.preset is not a table"),
            ("arrivals.process", "gamma", "--set arrivals.process, arrivals.cv: the key is missing"),
            ("arrivals.rate_per_s", "0", "--set arrivals.rate_per_s: 0 is not allowed"),
            ("service.0.share", "1", "--set service.0.share: the shares leave nothing"),
            ("service.1.share", "1", "--set service.1.share: the file has 1 [[service]]; write service.0 and a key"),
            ("service.0", "1", "--set service.0: service.0 is not a table"),
            ("service.x.share", "1", "--set service.x.share: the file has 1 [[service]]"),
            ("service.0.model.preset", "x", "--set service.0.model.preset: unknown preset 'x'"),
            ("service.0.model.layer", "1", "--set service.0.model.layer: unknown key; the keys of [model] are preset"),
            ("service.0.model", "{ preset = 1 }", "--set service.0.model, service.0.model.preset: a number is no text"),
            ("service.0.radio.preset", "paper", "--set service.0.radio.preset: unknown key"),
            ("qos.0.deadline_s", "[2, 1]", "--set qos.0.deadline_s: 2 is above 1"),
            ("synthesis.seed", "x", "--set synthesis.seed: the text 'x' is not a number"),
            ("a\nb.c", "1", "--set a\\nb.c: unknown table"),
            (".", "1", "--set .: unknown table"),
        ] {
            let e = with(&[(key, value)]).unwrap_err().to_string();
            assert!(e.starts_with(message) && !e.contains('\n'), "{e}");
        }
        let none = parse_with("", "s", None, &[("service.0.share".to_string(), "1".to_string())]).unwrap_err();
        assert!(none.to_string().starts_with("--set service.0.share: the file has 0 [[service]]; add"), "{none}");
        let model = Some(Scenario::paper().model);
        let e = parse_with(FILE, "s", model, &[("model.layers".to_string(), "3".to_string())]).unwrap_err();
        assert!(e.to_string().starts_with("--set model.layers: the model is read from elsewhere"), "{e}");
    }
}
