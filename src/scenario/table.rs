//! Typed access to the tables of a TOML file: ranges, lines in every error, and no key left unread.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Place, Result, quote};
use crate::limits::Range;

pub(super) fn line_of(text: &str, offset: usize) -> u64 {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|&&b| b == b'\n').count() as u64
}

pub(super) struct File<'t> {
    pub(super) text: &'t str,
    pub(super) name: &'t str,
    pub(super) root: &'t DeTable<'t>,
}

impl<'t> File<'t> {
    pub(super) fn optional(&self, name: &'static str) -> Result<Option<Table<'t>>> {
        let Some(value) = self.root.get(name) else { return Ok(None) };
        let line = line_of(self.text, value.span().start);
        let Some(map) = value.get_ref().as_table() else {
            let place = Place::line(self.name, line).field(name);
            return Err(place.error("not a table", format!("write [{name}] and its keys below")));
        };
        Ok(Some(Table { text: self.text, file: self.name, name, line, map }))
    }

    /// Refuses tables and keys that are not in `tables`.
    pub(super) fn check_keys(&self, tables: &[(&str, &[&str])]) -> Result<()> {
        let place = |span: std::ops::Range<usize>, field: String| {
            Place::line(self.name, line_of(self.text, span.start)).field(field)
        };
        for (key, value) in self.root {
            let name = key.get_ref().as_ref();
            let Some(&(_, keys)) = tables.iter().find(|(table, _)| *table == name) else {
                let names: Vec<&str> = tables.iter().map(|(table, _)| *table).collect();
                let remedy = format!("the tables are {}", names.join(", "));
                return Err(place(key.span(), quote(name.as_bytes())).error("unknown table", remedy));
            };
            for (key, _) in value.get_ref().as_table().into_iter().flatten() {
                if !keys.contains(&key.get_ref().as_ref()) {
                    let field = format!("{name}.{}", key.get_ref().escape_debug());
                    let remedy = format!("the keys of [{name}] are {}", keys.join(", "));
                    return Err(place(key.span(), field).error("unknown key", remedy));
                }
            }
        }
        Ok(())
    }

    pub(super) fn table(&self, name: &'static str) -> Result<Table<'t>> {
        self.optional(name)?.ok_or_else(|| {
            let problem = format!("the table [{name}] is missing");
            Place::file(self.name).error(problem, format!("add [{name}] with its keys or a preset"))
        })
    }
}

/// One table.
pub(super) struct Table<'t> {
    text: &'t str,
    file: &'t str,
    name: &'static str,
    line: u64,
    map: &'t DeTable<'t>,
}

impl<'t> Table<'t> {
    fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.map.get(key)
    }

    fn place(&self, value: &Spanned<DeValue<'_>>, key: &str) -> Place {
        Place::line(self.file, line_of(self.text, value.span().start)).field(format!("{}.{key}", self.name))
    }

    /// The place of a key, or of the table that lacks it.
    pub(super) fn place_of(&self, key: &str) -> Place {
        match self.map.get(key) {
            Some(value) => self.place(value, key),
            None => Place::line(self.file, self.line).field(format!("{}.{key}", self.name)),
        }
    }

    pub(super) fn string(&self, key: &'static str, remedy: &str) -> Result<Option<&'t str>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref().as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(self.place(value, key).error(format!("a {} is no text", kind(value)), remedy)),
        }
    }

    /// A preset's value by its name.
    pub(super) fn preset<T>(&self, names: &[&str], find: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        let remedy = format!("the presets are {}", names.join(", "));
        let Some(name) = self.string("preset", &remedy)? else { return Ok(None) };
        match find(name) {
            Some(found) => Ok(Some(found)),
            None => Err(self.place_of("preset").error(format!("unknown preset {}", quote(name.as_bytes())), remedy)),
        }
    }

    pub(super) fn number(&self, key: &'static str, range: &Range) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number =
            number_of(value).ok_or_else(|| self.place(value, key).error(not_a_number(value), range.remedy()))?;
        range.check(number, || self.place(value, key))?;
        Ok(Some(number))
    }

    pub(super) fn pair(&self, key: &'static str, range: &Range) -> Result<Option<(f64, f64)>> {
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

    pub(super) fn boolean(&self, key: &'static str) -> Result<Option<bool>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref().as_bool() {
            Some(flag) => Ok(Some(flag)),
            None => {
                Err(self.place(value, key).error(format!("a {} is no truth value", kind(value)), "give true or false"))
            }
        }
    }

    pub(super) fn whole(&self, key: &'static str, range: &Range) -> Result<Option<u32>> {
        let Some(number) = self.number(key, range)? else { return Ok(None) };
        // The ranges of whole numbers end far below 2³².
        if number.fract() == 0.0 {
            return Ok(Some(number as u32));
        }
        Err(self.place_of(key).error(format!("{number} is not a whole number"), range.remedy()))
    }

    pub(super) fn missing(&self, key: &str, remedy: &str) -> Error {
        self.place_of(key).error("the key is missing", remedy)
    }

    pub(super) fn required(&self, key: &'static str, range: &Range, preset: Option<f64>) -> Result<f64> {
        match self.number(key, range)?.or(preset) {
            Some(number) => Ok(number),
            None => Err(self.missing(key, &range.remedy())),
        }
    }

    pub(super) fn required_whole(&self, key: &'static str, range: &Range, preset: Option<u32>) -> Result<u32> {
        match self.whole(key, range)?.or(preset) {
            Some(number) => Ok(number),
            None => Err(self.missing(key, &range.remedy())),
        }
    }
}

fn kind(value: &Spanned<DeValue<'_>>) -> &'static str {
    value.get_ref().type_str()
}

fn not_a_number(value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref().as_str() {
        Some(text) => format!("the text {} is not a number", quote(text.as_bytes())),
        None => format!("a {} is not a number", kind(value)),
    }
}

fn number_of(value: &Spanned<DeValue<'_>>) -> Option<f64> {
    match value.get_ref() {
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(int) if int.radix() == 10 => int.as_str().parse().ok(),
        DeValue::Integer(int) => {
            Some(u64::from_str_radix(int.as_str(), int.radix()).map_or(f64::INFINITY, |n| n as f64))
        }
        _ => None,
    }
}
