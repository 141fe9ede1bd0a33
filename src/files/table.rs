//! Typed access to the tables of a TOML file: ranges, lines in every error, and no key left unread. Scenarios and
//! placement problems are read with it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Place, Result, quote};
use crate::limits;

/// The tables of a text called `name` in messages.
///
/// # Errors
/// What is not TOML, with its line.
pub(crate) fn parse<'t>(text: &'t str, name: &str) -> Result<DeTable<'t>> {
    let root = DeTable::parse(text).map_err(|e| {
        let line = line_of(text, e.span().map_or(0, |span| span.start));
        let what = e.message().lines().next().unwrap_or("not valid TOML").to_string();
        Place::line(name, line).error(what, "write TOML: [table] lines and key = value lines")
    })?;
    Ok(root.into_inner())
}

fn line_of(text: &str, offset: usize) -> u64 {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|&&b| b == b'\n').count() as u64
}

/// Where a value stands: in the text of a file, or in an override.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'t> {
    pub(crate) text: &'t str,
    pub(crate) name: &'t str,
    /// Key and value. Values of override i have the span that begins i + 1 bytes after the end of the text.
    pub(crate) overrides: &'t [(String, String)],
    /// Whether nobody has seen its lines, as nothing is wrong with them: what is wrong was overridden.
    pub(crate) embedded: bool,
}

impl<'t> Origin<'t> {
    /// A file as it is.
    pub(crate) fn new(text: &'t str, name: &'t str) -> Self {
        Origin { text, name, overrides: &[], embedded: false }
    }

    /// The span of all that override `index` brings.
    pub(crate) fn span_of(&self, index: usize) -> Range<usize> {
        let at = self.text.len() + 1 + index;
        at..at + 1
    }

    /// Whether a span is that of an override, and of which key.
    pub(crate) fn overridden(&self, span: &Range<usize>) -> Option<&str> {
        let index = span.start.checked_sub(self.text.len() + 1)?;
        self.overrides.get(index).map(|(key, _)| key.as_str())
    }

    /// What was overridden in an embedded file, in the same table if something was.
    fn suspect(&self, field: &str) -> Option<&str> {
        if !self.embedded {
            return None;
        }
        let table = |key: &str| key.rsplit_once('.').map_or_else(String::new, |(table, _)| table.to_string());
        let keys = || self.overrides.iter().rev().map(|(key, _)| key.as_str());
        keys().find(|key| table(key) == table(field)).or_else(|| keys().next())
    }

    pub(crate) fn place(&self, span: Range<usize>, field: impl Into<String>) -> Place {
        let field = field.into();
        let Some(key) = self.overridden(&span).or_else(|| self.suspect(&field)) else {
            return Place::line(self.name, line_of(self.text, span.start)).field(field);
        };
        let place = Place::file(format!("--set {}", quote_plainly(key)));
        // The key says it all, unless the error is about another one of a table that the override made.
        let within = key.strip_prefix(&field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if within { place } else { place.field(field) }
    }
}

/// Short and on one line, without quotes.
pub(crate) fn quote_plainly(text: &str) -> String {
    quote(text.as_bytes()).trim_matches('\'').to_string()
}

/// The keys of a table, and its tables, whose keys are those of the table of that name at the top.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Whether there may be many: `[[name]]`.
    pub(crate) many: bool,
    pub(crate) keys: &'static [&'static str],
    pub(crate) tables: &'static [&'static str],
}

impl Shape {
    fn title(&self) -> String {
        if self.many { format!("[[{}]]", self.name) } else { format!("[{}]", self.name) }
    }

    fn known(&self) -> String {
        match self.keys {
            // Widths.
            [first, .., last] if self.keys.iter().all(|key| key.parse::<u32>().is_ok()) => format!("{first} to {last}"),
            keys => [keys, self.tables].concat().join(", "),
        }
    }
}

pub(crate) struct File<'t> {
    pub(crate) origin: Origin<'t>,
    pub(crate) root: &'t DeTable<'t>,
}

impl<'t> File<'t> {
    pub(crate) fn optional(&self, name: &str) -> Result<Option<Table<'t>>> {
        self.root.get(name).map(|value| Table::new(self.origin, name.to_string(), value)).transpose()
    }

    /// The tables of an array, in order; none without it.
    pub(crate) fn many(&self, name: &str) -> Result<Vec<Table<'t>>> {
        let Some(value) = self.root.get(name) else { return Ok(Vec::new()) };
        let Some(items) = value.get_ref().as_array() else {
            let place = self.origin.place(value.span(), name);
            return Err(place.error("not an array of tables", format!("write [[{name}]] and its keys below")));
        };
        (0..).zip(items).map(|(at, item)| Table::new(self.origin, format!("{name}.{at}"), item)).collect()
    }

    /// Refuses tables and keys that are not in `shapes`.
    pub(crate) fn check_keys(&self, shapes: &[Shape]) -> Result<()> {
        for (key, value) in self.root {
            let name = key.get_ref().as_ref();
            let Some(shape) = shapes.iter().find(|shape| shape.name == name) else {
                let names: Vec<&str> = shapes.iter().map(|shape| shape.name).collect();
                let remedy = format!("the tables are {}", names.join(", "));
                let field = match self.origin.overridden(&key.span()) {
                    Some(_) => name.to_string(),
                    None => quote(name.as_bytes()),
                };
                return Err(self.origin.place(key.span(), field).error("unknown table", remedy));
            };
            match value.get_ref().as_array() {
                Some(items) if shape.many => {
                    for (at, item) in items.iter().enumerate() {
                        self.check_table(&format!("{name}.{at}"), shape, item, shapes)?;
                    }
                }
                _ => self.check_table(name, shape, value, shapes)?,
            }
        }
        Ok(())
    }

    /// Refuses keys of one table that are not in its shape, or in those of its tables.
    pub(crate) fn check_table(
        &self,
        name: &str,
        shape: &Shape,
        value: &Spanned<DeValue<'_>>,
        shapes: &[Shape],
    ) -> Result<()> {
        // What is no table is refused when it is read.
        for (key, value) in value.get_ref().as_table().into_iter().flatten() {
            let known = key.get_ref().as_ref();
            let field = format!("{name}.{}", known.escape_debug());
            if shape.tables.contains(&known) {
                for inner in shapes.iter().filter(|inner| inner.name == known) {
                    self.check_table(&field, inner, value, shapes)?;
                }
            } else if !shape.keys.contains(&known) {
                let remedy = format!("the keys of {} are {}", shape.title(), shape.known());
                return Err(self.origin.place(key.span(), field).error("unknown key", remedy));
            }
        }
        Ok(())
    }

    pub(crate) fn table(&self, name: &str) -> Result<Table<'t>> {
        self.optional(name)?.ok_or_else(|| {
            let problem = format!("the table [{name}] is missing");
            Place::file(self.origin.name).error(problem, format!("add [{name}] with its keys or a preset"))
        })
    }

    /// An error about the whole of `what` (such as [`Scenario::check`](crate::scenario::Scenario::check)'s, about
    /// "scenario") at the line of its key, or of the table around it.
    pub(crate) fn locate(&self, error: Error, what: &str) -> Error {
        let Error::Input { place: Place { source, line: None, field: Some(field) }, problem, remedy } = error else {
            return error;
        };
        if source != what {
            return Place { source, line: None, field: Some(field) }.error(problem, remedy);
        }
        let mut parts = field.split('.');
        let mut deepest = parts.next().and_then(|part| self.root.get(part));
        for part in parts {
            let inner = deepest.and_then(|value| match value.get_ref() {
                DeValue::Table(table) => table.get(part),
                DeValue::Array(items) => items.get(part.parse::<usize>().ok()?),
                _ => None,
            });
            deepest = inner.or(deepest);
        }
        let place = match deepest {
            Some(value) => self.origin.place(value.span(), field),
            None => Place::file(self.origin.name).field(field),
        };
        place.error(problem, remedy)
    }
}

/// One table.
pub(crate) struct Table<'t> {
    origin: Origin<'t>,
    name: String,
    span: Range<usize>,
    map: &'t DeTable<'t>,
}

impl<'t> Table<'t> {
    fn new(origin: Origin<'t>, name: String, value: &'t Spanned<DeValue<'t>>) -> Result<Self> {
        let span = value.span();
        let Some(map) = value.get_ref().as_table() else {
            let remedy = format!("write [{name}] and its keys below");
            return Err(origin.place(span, name).error("not a table", remedy));
        };
        Ok(Table { origin, name, span, map })
    }

    /// A table of this table.
    pub(crate) fn optional(&self, name: &str) -> Result<Option<Table<'t>>> {
        self.get(name).map(|value| Table::new(self.origin, format!("{}.{name}", self.name), value)).transpose()
    }

    /// The tables of an array of this table, in order; none without it.
    pub(crate) fn many(&self, name: &str) -> Result<Vec<Table<'t>>> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        if value.get_ref().as_array().is_none() {
            let remedy = "write an array of tables: [[table.name]] and its keys below";
            return Err(self.place(value, name).error("not an array of tables", remedy));
        }
        let items = (0..).zip(self.items(name));
        items.map(|(at, item)| Table::new(self.origin, format!("{}.{name}.{at}", self.name), item)).collect()
    }

    /// The items of an array; none if there is no such array.
    pub(crate) fn items(&self, name: &str) -> Vec<&'t Spanned<DeValue<'t>>> {
        self.get(name).and_then(|value| value.get_ref().as_array()).into_iter().flatten().collect()
    }

    pub(crate) fn table(&self, name: &str) -> Result<Table<'t>> {
        self.optional(name)?
            .ok_or_else(|| self.place_of(name).error("the table is missing", "add it with its keys or a preset"))
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub(crate) fn is_table(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.get_ref().is_table())
    }

    pub(crate) fn is_array(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.get_ref().is_array())
    }

    fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.map.get(key)
    }

    fn place(&self, value: &Spanned<DeValue<'_>>, key: &str) -> Place {
        self.origin.place(value.span(), format!("{}.{key}", self.name))
    }

    /// The place of a key, or of the table that lacks it.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        match self.map.get(key) {
            Some(value) => self.place(value, key),
            None => self.origin.place(self.span.clone(), format!("{}.{key}", self.name)),
        }
    }

    pub(crate) fn string(&self, key: &'static str, remedy: &str) -> Result<Option<&'t str>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref().as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(self.place(value, key).error(format!("{} is no text", kind(value)), remedy)),
        }
    }

    /// A preset's value by its name.
    pub(crate) fn preset<T>(&self, names: &[&str], find: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        let remedy = format!("the presets are {}", names.join(", "));
        let Some(name) = self.string("preset", &remedy)? else { return Ok(None) };
        match find(name) {
            Some(found) => Ok(Some(found)),
            None => Err(self.place_of("preset").error(format!("unknown preset {}", quote(name.as_bytes())), remedy)),
        }
    }

    pub(crate) fn number(&self, key: &'static str, range: &limits::Range) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number =
            number_of(value).ok_or_else(|| self.place(value, key).error(not_a_number(value), range.remedy()))?;
        range.check(number, || self.place(value, key))?;
        Ok(Some(number))
    }

    pub(crate) fn pair(&self, key: &'static str, range: &limits::Range) -> Result<Option<(f64, f64)>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let remedy = || format!("give [lowest, highest]; {}", range.remedy());
        let items = value.get_ref().as_array();
        let numbers: Option<Vec<f64>> = items.and_then(|items| items.iter().map(number_of).collect());
        match numbers.as_deref() {
            Some(&[low, high]) => {
                for x in [low, high] {
                    range.check(x, || self.place(value, key))?;
                }
                if low > high {
                    return Err(self.place(value, key).error(format!("{low} is above {high}"), remedy()));
                }
                Ok(Some((low, high)))
            }
            _ => Err(self.place(value, key).error("not a pair of numbers", remedy())),
        }
    }

    /// A list of whole numbers.
    pub(crate) fn wholes(&self, key: &'static str, range: &limits::Range) -> Result<Option<Vec<u32>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let items = value.get_ref().as_array();
        let Some(numbers) = items.and_then(|items| items.iter().map(number_of).collect::<Option<Vec<f64>>>()) else {
            let remedy = format!("give a list such as [128, 256, 512]; {}", range.remedy());
            return Err(self.place(value, key).error("not a list of numbers", remedy));
        };
        let whole = |number: f64| {
            range.check(number, || self.place(value, key))?;
            whole(number, range, || self.place(value, key))
        };
        numbers.into_iter().map(whole).collect::<Result<_>>().map(Some)
    }

    pub(crate) fn boolean(&self, key: &'static str) -> Result<Option<bool>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref().as_bool() {
            Some(flag) => Ok(Some(flag)),
            None => {
                Err(self.place(value, key).error(format!("{} is no truth value", kind(value)), "give true or false"))
            }
        }
    }

    pub(crate) fn whole(&self, key: &'static str, range: &limits::Range) -> Result<Option<u32>> {
        let Some(number) = self.number(key, range)? else { return Ok(None) };
        whole(number, range, || self.place_of(key)).map(Some)
    }

    pub(crate) fn missing(&self, key: &str, remedy: &str) -> Error {
        self.place_of(key).error("the key is missing", remedy)
    }

    pub(crate) fn required(&self, key: &'static str, range: &limits::Range, preset: Option<f64>) -> Result<f64> {
        match self.number(key, range)?.or(preset) {
            Some(number) => Ok(number),
            None => Err(self.missing(key, &range.remedy())),
        }
    }

    pub(crate) fn required_whole(&self, key: &'static str, range: &limits::Range, preset: Option<u32>) -> Result<u32> {
        match self.whole(key, range)?.or(preset) {
            Some(number) => Ok(number),
            None => Err(self.missing(key, &range.remedy())),
        }
    }
}

/// A number in a range of whole numbers, all of which end far below 2³².
fn whole(number: f64, range: &limits::Range, place: impl FnOnce() -> Place) -> Result<u32> {
    if number.fract() == 0.0 {
        return Ok(number as u32);
    }
    Err(place().error(format!("{number} is not a whole number"), range.remedy()))
}

fn kind(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn not_a_number(value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref().as_str() {
        Some(text) => format!("the text {} is not a number", quote(text.as_bytes())),
        None => format!("{} is not a number", kind(value)),
    }
}

/// A number, in any of the ways in which TOML writes them.
pub(crate) fn number_of(value: &Spanned<DeValue<'_>>) -> Option<f64> {
    match value.get_ref() {
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(int) if int.radix() == 10 => int.as_str().parse().ok(),
        DeValue::Integer(int) => {
            Some(u64::from_str_radix(int.as_str(), int.radix()).map_or(f64::INFINITY, |n| n as f64))
        }
        _ => None,
    }
}
