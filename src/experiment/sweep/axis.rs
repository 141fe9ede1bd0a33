//! What is varied: `KEY=SPEC`.
//!
//! ```text
//! SPEC  = item ("," item)*        commas within brackets, braces or quotes are part of their item
//! item  = value                   a value as in TOML; texts may go without quotes: 5, [0.5, 2], bloom-3b
//!       | from ".." to ":" step   from, from + step, … up to and with `to`
//!       | from ".." to ":x" factor  from, from · factor, … up to and with `to`
//! ```

use crate::error::{Error, Place, Result, quote};
use crate::scenario::file::canonical;

/// The most values of an axis.
const MAX_VALUES: usize = 100_000;

/// A key of the scenario and the values that it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The key, such as `node.memory_bytes`.
    pub key: String,
    /// The values as in TOML, in the order given, no two alike.
    pub values: Vec<String>,
}

impl Axis {
    /// Reads `KEY=SPEC`.
    ///
    /// # Errors
    /// What does not follow the grammar; values that come twice; too many of them.
    pub fn parse(text: &str) -> Result<Axis> {
        let Some((key, spec)) = text.split_once('=') else {
            let problem = format!("{} has no =", quote(text.as_bytes()));
            return Err(Place::file("--vary").error(problem, "give KEY=SPEC, such as arrivals.rate_per_s=5..50:5"));
        };
        let key = key.trim();
        let place = || Place::file(format!("--vary {}", quote(key.as_bytes()).trim_matches('\'')));
        if key.is_empty() {
            return Err(
                Place::file("--vary").error("the key is empty", "give KEY=SPEC, such as node.memory_bytes=1e9,2e9")
            );
        }
        if key == "synthesis.seed" {
            return Err(place().error("every point is run with the seeds of --seeds", "leave it out"));
        }
        let mut axis = Axis { key: key.to_string(), values: Vec::new() };
        for item in items(spec).map_err(|problem| place().error(problem, "close it"))? {
            if item.is_empty() {
                let remedy = "give values with a comma between each two, or a range such as 5..50:5";
                return Err(place().error("a value is empty", remedy));
            }
            if item.contains(char::is_control) {
                let problem = format!("{} has a control character", quote(item.as_bytes()));
                return Err(place().error(problem, "write the value on one line"));
            }
            match range_of(item) {
                Some(range) => axis.values.extend(expand(item, range, &place)?),
                None => axis.values.push(item.to_string()),
            }
            if axis.values.len() > MAX_VALUES {
                return Err(too_many(place()));
            }
        }
        axis.check_once(place)?;
        Ok(axis)
    }

    /// The values as numbers, if all are.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        self.values.iter().map(|value| number(value)).collect()
    }

    /// Whether they are numbers that grow by one and the same factor, which a logarithmic axis shows evenly.
    pub fn is_geometric(&self) -> bool {
        let numbers = self.numbers().unwrap_or_default();
        if numbers.len() < 3 || numbers.iter().any(|&x| x <= 0.0) {
            return false;
        }
        let factor = numbers[1] / numbers[0];
        factor > 1.0 && numbers.windows(2).all(|pair| (pair[1] / pair[0] / factor - 1.0).abs() < 0.01)
    }

    fn check_once(&self, place: impl Fn() -> Place) -> Result<()> {
        // 5 and 5.0 are one point, and so are "none" and none.
        let mut known = std::collections::HashSet::new();
        match self.values.iter().find(|value| !known.insert(canonical(value))) {
            Some(twice) => {
                Err(place().error(format!("{} comes twice", quote(twice.as_bytes())), "give every value once"))
            }
            None => Ok(()),
        }
    }
}

fn number(text: &str) -> Option<f64> {
    // What the standard library reads but TOML does not, "infinity" for one, is no number of a scenario anyway.
    text.parse().ok().filter(|x: &f64| x.is_finite())
}

/// The parts between commas that are in no brackets, braces or quotes, without the space around them.
fn items(spec: &str) -> std::result::Result<Vec<&str>, String> {
    let (mut items, mut begin, mut open, mut quoted) = (Vec::new(), 0, Vec::new(), None);
    let mut escaped = false;
    for (at, c) in spec.char_indices() {
        match (quoted, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(quote), _) if c == quote => quoted = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quoted = Some(c),
            (None, '[') => open.push(']'),
            (None, '{') => open.push('}'),
            (None, ']' | '}') if open.pop() != Some(c) => return Err(format!("a {c} closes nothing")),
            (None, ',') if open.is_empty() => {
                items.push(spec[begin..at].trim());
                begin = at + 1;
            }
            (None, _) => {}
        }
    }
    match (quoted, open.pop()) {
        (Some(quote), _) => Err(format!("a {quote} is not closed")),
        (None, Some(bracket)) => Err(format!("a {bracket} is missing")),
        (None, None) => {
            items.push(spec[begin..].trim());
            Ok(items)
        }
    }
}

/// The ends of an item that is a range.
fn range_of(item: &str) -> Option<(&str, &str)> {
    if item.starts_with(['[', '{', '"', '\'']) { None } else { item.split_once("..") }
}

fn too_many(place: Place) -> Error {
    place.error(format!("more than {MAX_VALUES} values"), "give fewer, or a larger step")
}

/// The values of a range.
fn expand(item: &str, (from, rest): (&str, &str), place: &impl Fn() -> Place) -> Result<Vec<String>> {
    let wrong = |problem: String| place().error(format!("{}: {problem}", quote(item.as_bytes())), REMEDY);
    const REMEDY: &str = "give FROM..TO:STEP such as 5..50:5, or FROM..TO:xFACTOR such as 1e12..1e14:x10";
    let Some((to, step)) = rest.split_once(':') else { return Err(wrong("the range has no step".to_string())) };
    let read = |text: &str| {
        let text = text.trim();
        number(text).ok_or_else(|| wrong(format!("{} is not a finite number", quote(text.as_bytes()))))
    };
    let (from, to) = (read(from)?, read(to)?);
    if from > to {
        return Err(wrong("the range ends before it begins".to_string()));
    }
    let (steps, value): (f64, Box<dyn Fn(f64) -> f64>) = match step.trim().strip_prefix('x') {
        Some(factor) => {
            let factor = read(factor)?;
            if factor <= 1.0 {
                return Err(wrong("the factor is not above 1".to_string()));
            }
            if from <= 0.0 {
                return Err(wrong("a range with a factor does not begin above 0".to_string()));
            }
            (libm::log(to / from) / libm::log(factor), Box::new(move |k| from * libm::pow(factor, k)))
        }
        None => {
            let step = read(step)?;
            if step <= 0.0 {
                return Err(wrong("the step is not above 0".to_string()));
            }
            ((to - from) / step, Box::new(move |k| from + step * k))
        }
    };
    // So that 0..1:0.1 ends at 1, whatever its roundings.
    let last = (steps * (1.0 + 1e-12) + 1e-9).floor();
    if !last.is_finite() || last >= MAX_VALUES as f64 {
        return Err(too_many(place()));
    }
    Ok((0..=last as u64).map(|k| written(value(k as f64))).collect())
}

/// A number with at most twelve digits, so that 0.1 + 2 · 0.1 is 0.3.
fn written(value: f64) -> String {
    let rounded: f64 = format!("{value:.11e}").parse().unwrap_or(value);
    if rounded == 0.0 || (1e-4..1e9).contains(&rounded.abs()) {
        format!("{}", rounded + 0.0)
    } else {
        format!("{rounded:e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(spec: &str) -> Vec<String> {
        Axis::parse(&format!("a.b={spec}")).unwrap_or_else(|e| panic!("{spec}: {e}")).values
    }

    #[test]
    fn lists_and_ranges() {
        for (spec, expected) in [
            ("5, 10,25", "5|10|25"),
            ("bloom-3b,opt-13b", "bloom-3b|opt-13b"),
            ("5..20:5", "5|10|15|20"),
            ("5..21:5", "5|10|15|20"),
            ("0..0.5:0.1", "0|0.1|0.2|0.3|0.4|0.5"),
            ("-1..1:1", "-1|0|1"),
            ("7..7:1", "7"),
            ("1e12..1e14:x10", "1e12|1e13|1e14"),
            ("1..10:x2", "1|2|4|8"),
            ("1e-5..2e-5:1e-5", "1e-5|2e-5"),
            ("1,5..6:1,9", "1|5|6|9"),
            ("[0.5,2],[1, 4]", "[0.5,2]|[1, 4]"),
            ("[[1,2],[3]],{a=1,b=2}", "[[1,2],[3]]|{a=1,b=2}"),
            ("\"a,b\",'c,d..e:1',\"f\\\",g\"", "\"a,b\"|'c,d..e:1'|\"f\\\",g\""),
        ] {
            assert_eq!(values(spec).join("|"), expected, "{spec}");
        }
        assert_eq!(values("1..100000:1").len(), 100_000);
        assert_eq!(Axis::parse(" node.memory_bytes = 1e9 ").unwrap().key, "node.memory_bytes");
    }

    #[test]
    fn axes_know_what_they_are() {
        let axis = |spec: &str| Axis::parse(&format!("a.b={spec}")).unwrap();
        assert!(axis("1,2,4").is_geometric() && axis("1e12..1e14:x10").is_geometric());
        assert!(!axis("1,2,3").is_geometric() && !axis("0,1,2").is_geometric() && !axis("4,2,1").is_geometric());
        assert_eq!(axis("1e1,2").numbers(), Some(vec![10.0, 2.0]));
        assert_eq!((axis("1,x").numbers(), axis("[1,2]").numbers()), (None, None));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            ("a.b", "--vary: 'a.b' has no =; give KEY=SPEC"),
            ("=5", "--vary: the key is empty"),
            ("synthesis.seed=1,2", "--vary synthesis.seed: every point is run with the seeds of --seeds"),
            ("a.b=", "--vary a.b: a value is empty"),
            ("a.b=1,,2", "--vary a.b: a value is empty"),
            ("a.b=1,", "--vary a.b: a value is empty"),
            ("a.b=[1,2", "--vary a.b: a ] is missing"),
            ("a.b=1,2]", "--vary a.b: a ] closes nothing"),
            ("a.b=[1}", "--vary a.b: a } closes nothing"),
            ("a.b=\"1", "--vary a.b: a \" is not closed"),
            ("a.b=5..50", "--vary a.b: '5..50': the range has no step"),
            ("a.b=50..5:5", "--vary a.b: '50..5:5': the range ends before it begins"),
            ("a.b=5..50:0", "--vary a.b: '5..50:0': the step is not above 0"),
            ("a.b=5..50:-5", "--vary a.b: '5..50:-5': the step is not above 0"),
            ("a.b=5..50:x1", "--vary a.b: '5..50:x1': the factor is not above 1"),
            ("a.b=0..50:x2", "--vary a.b: '0..50:x2': a range with a factor does not begin above 0"),
            ("a.b=nan..50:1", "--vary a.b: 'nan..50:1': 'nan' is not a finite number"),
            ("a.b=1..inf:1", "--vary a.b: '1..inf:1': 'inf' is not a finite number"),
            ("a.b=1..2:", "--vary a.b: '1..2:': '' is not a finite number"),
            ("a.b=..:", "--vary a.b: '..:': '' is not a finite number"),
            ("a.b=1..2..3:1", "--vary a.b: '1..2..3:1': '2..3' is not a finite number"),
            ("a.b=1..1e9:1", "--vary a.b: more than 100000 values"),
            ("a.b=0..1:1e-300", "--vary a.b: more than 100000 values"),
            ("a.b=-1e308..1e308:1", "--vary a.b: more than 100000 values"),
            ("a.b=1..2:x1.0000000001", "--vary a.b: more than 100000 values"),
            ("a.b=5,5.0", "--vary a.b: '5.0' comes twice"),
            ("a.b=0x10,16", "--vary a.b: '16' comes twice"),
            ("a.b=1_000,1000", "--vary a.b: '1000' comes twice"),
            ("a.b=0,-0.0", "--vary a.b: '-0.0' comes twice"),
            ("a.b=\"none\",none", "--vary a.b: 'none' comes twice"),
            ("a.b='1',\"1\"", "--vary a.b: '\\\"1\\\"' comes twice"),
            ("a.b=[0.5,2],[0.5, 2.0]", "--vary a.b: '[0.5, 2.0]' comes twice"),
            ("a.b={x=1,y=2},{ y = 2.0, x = 0b1 }", "--vary a.b: '{ y = 2.0, x = 0b1 }' comes twice"),
            ("a.b=[1,\n2]", "--vary a.b: '[1,\\n2]' has a control character"),
            ("a.b=x,x", "--vary a.b: 'x' comes twice"),
            ("a\nb=,", "--vary a\\nb: a value is empty"),
        ] {
            let e = Axis::parse(text).unwrap_err().to_string();
            assert!(e.starts_with(message) && !e.contains('\n'), "{e}");
        }
    }
}
