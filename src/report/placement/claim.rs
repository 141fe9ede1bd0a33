//! A placement that a JSON document claims: read, and held field by field against what its seats give.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;

use super::json::to_value;
use super::{Bound, Report};
use crate::error::{Error, Place, Result, quote};
use crate::files::json::why;
use crate::limits;
use crate::placement::bridge::Node;
use crate::placement::delay::{self, Communication, Usage};
use crate::placement::solve::{Certificate, Solution, Work};
use crate::placement::verify::{Failure, rounded};
use crate::placement::{Model, Problem, Seat};
use crate::report::number::count;

/// What would be right, of every document that is none.
const REMEDY: &str = "give a file that `dftsp place --format json` wrote";
/// Relative difference that rounding may make; of the gap, which is a part already, the absolute one.
const ROUNDING: f64 = 1e-9;

/// A placement that somebody claims, to be checked by [`verify`](crate::placement::verify::verify) and then by
/// [`Claim::fields`].
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Whether it says "optimal".
    pub optimal: bool,
    /// The name of the solver.
    pub solver: String,
    /// What the bound is said to be worth.
    pub bound: Bound,
    /// How communication is charged.
    pub communication: Communication,
    /// Requests that each model holds. What it is checked against is the problem where they hold as many.
    pub held_requests: Vec<u32>,
    /// Seats, delay, bound and certificate. Of the use only the delay is a claim; the rest is that of the seats.
    pub solution: Solution,
    /// What it is compared with.
    pub baselines: Vec<Other>,
    /// Changed problems.
    pub sensitivity: Vec<Other>,
    /// Whether it says what it is to the scheduler.
    pub has_node: bool,
    document: Value,
}

/// A placement that stands beside the one that is claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct Other {
    /// Where it stands in the document.
    pub path: String,
    /// The name of a baseline, or what is changed.
    pub name: String,
    /// By what it is changed; of a baseline 1.
    pub factor: f64,
    /// Its delay, a bound of its delay, and mean bits; or why there is none.
    pub result: std::result::Result<(f64, f64, f64), String>,
}

/// A field that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Which, such as "memory.1.used_bytes".
    pub field: String,
    /// Both values, in words.
    pub detail: String,
}

impl Mismatch {
    fn of(field: String, claimed: impl fmt::Display, found: impl fmt::Display) -> Mismatch {
        Mismatch { field, detail: format!("{claimed} is claimed, and it is {found}") }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.detail)
    }
}

/// Reads what [`to_json`](super::json::to_json) wrote for this problem; `name` is for messages. The inner error is a
/// placement of models, layers, servers or with a use that the problem does not have.
///
/// # Errors
/// A file that is no placement, with the line or the key.
pub fn parse_claim(text: &str, name: &str, problem: &Problem) -> Result<std::result::Result<Claim, Failure>> {
    let document: Value = serde_json::from_str(text)
        .map_err(|e| Place::line(name, e.line().max(1) as u64).error(why(&e, text).1, REMEDY))?;
    let file = At { name, path: String::new(), value: &document };
    let optimal = file.one_of("status", &["optimal", "feasible"])? == 0;
    let bound = Bound::ALL[file.one_of("bound_by", &Bound::ALL.map(Bound::name))?];
    let communication =
        Communication::ALL[file.one_of("communication", &Communication::ALL.map(Communication::name))?];
    let solver = file.key("solver")?.text()?.to_string();
    let problem_file = file.key("problem")?;
    if !problem_file.value.is_null() {
        problem_file.text()?;
    }
    optional_text(&file, "layers_file")?;
    if let Some(failure) = other_models(&file, problem)? {
        return Ok(Err(failure));
    }
    let held_requests = held_requests(&file, problem)?;
    let (delay_s, bound_s) = (file.key("delay_s")?.number()?, file.key("bound_s")?.number()?);
    let certificate = certificate(&file.key("certificate")?)?;
    let baselines = file.others("baselines", baseline)?;
    let sensitivity = file.others("sensitivity", change)?;
    // What cannot be checked is to be what it is all the same.
    let work = file.key("work")?;
    for key in ["price_steps", "passes", "orders", "labels"] {
        work.key(key)?.whole(u64::MAX)?;
    }
    work.key("stopped")?.flag()?;
    let seconds = file.key("seconds")?;
    if seconds.number()? < 0.0 {
        return Err(seconds.error("a time"));
    }
    let mut layers = Vec::new();
    for layer in file.key("layers")?.items()? {
        let bits = layer.key("bits")?.whole(u32::MAX.into())? as u32;
        layers.push((layer.key("name")?.text()?, layer.key("server")?.text()?, bits));
    }
    let has_node = file.get("node").is_some();
    Ok(seats(&layers, problem, communication).map(|(seats, usage)| Claim {
        optimal,
        solver,
        bound,
        communication,
        held_requests,
        solution: Solution { seats, usage: Usage { delay_s, ..usage }, bound_s, certificate, work: Work::default() },
        baselines,
        sensitivity,
        has_node,
        document,
    }))
}

/// The file of the problem that a placement is of, as it was given; none of the embedded example, or where the text is
/// no placement.
pub fn problem_file(text: &str) -> Option<String> {
    let document: Value = serde_json::from_str(text).ok()?;
    Some(document.get("problem")?.as_str()?.to_string())
}

/// The same of the file of its layers, if they have one of their own.
pub fn layers_file(text: &str) -> Option<String> {
    let document: Value = serde_json::from_str(text).ok()?;
    Some(document.get("layers_file")?.as_str()?.to_string())
}

fn optional_text(file: &At<'_>, key: &str) -> Result<()> {
    file.get(key).map_or(Ok(()), |at| at.text().map(drop))
}

/// What tells the models of the result from those of the problem. Of one model a result has no list of them.
fn other_models(file: &At<'_>, problem: &Problem) -> Result<Option<Failure>> {
    let fail = |detail: String| Ok(Some(Failure { check: "models", detail }));
    let (here, alone) = (problem.models.len(), file.get("held_requests").is_some());
    let other =
        |models| fail(format!("the result is of a problem with {}, and this one has {here}", count(models, "model")));
    let Some(models) = file.get("models") else {
        return if here > 1 && alone { other(1) } else { Ok(None) };
    };
    if here == 1 && alone {
        // A key too many.
        return Ok(None);
    }
    let models = models.items()?;
    if models.len() != here {
        return other(models.len());
    }
    for (at, (claimed, model)) in models.iter().zip(&problem.models).enumerate() {
        let name = claimed.key("name")?.text()?;
        if here > 1 && name != model.name {
            let (there, here) = (quote(name.as_bytes()), quote(model.name.as_bytes()));
            return fail(format!(
                "the result is of a problem whose model {} is {there}, and here it is {here}",
                at + 1
            ));
        }
    }
    Ok(None)
}

/// Of each model. Models that are not there show later.
fn held_requests(file: &At<'_>, problem: &Problem) -> Result<Vec<u32>> {
    let held = |at: &At<'_>| {
        let held = at.key("held_requests")?;
        let number = held.whole(u32::MAX.into())? as u32;
        limits::HELD.check(number.into(), || held.place())?;
        Ok(number)
    };
    match &problem.models[..] {
        [_] => Ok(vec![held(file)?]),
        models => {
            let claimed = file.key("models")?.items()?.iter().map(held).collect::<Result<Vec<u32>>>()?;
            let or = |(at, model): (usize, &Model)| claimed.get(at).copied().unwrap_or(model.held_requests);
            Ok(models.iter().enumerate().map(or).collect())
        }
    }
}

fn certificate(at: &At<'_>) -> Result<Certificate> {
    let prices = at.key("prices_s")?;
    let of = |key: &str| prices.key(key)?.items()?.iter().map(At::number).collect::<Result<Vec<f64>>>();
    Ok(Certificate {
        memory: of("memory")?,
        thirds: of("thirds")?,
        quarters: of("quarters")?,
        busy: of("busy")?,
        sent: of("sent")?,
        quality: of("quality")?,
        root_bound_s: at.key("root_bound_s")?.number()?,
        labels: at.key("labels")?.whole(u64::MAX)?,
        exhausted: at.key("exhausted")?.flag()?,
    })
}

fn baseline(at: &At<'_>) -> Result<Other> {
    let result = match at.get("delay_s") {
        Some(delay) => {
            let (delay, best) = (delay.number()?, at.key("best_of_its_kind")?.flag()?);
            Ok((delay, if best { delay } else { 0.0 }, at.key("mean_bits")?.number()?))
        }
        None => Err(at.key("reason")?.text()?.to_string()),
    };
    Ok(Other { path: at.path.clone(), name: at.key("name")?.text()?.to_string(), factor: 1.0, result })
}

fn change(at: &At<'_>) -> Result<Other> {
    let result = match at.get("delay_s") {
        Some(delay) => Ok((delay.number()?, at.key("bound_s")?.number()?, at.key("mean_bits")?.number()?)),
        None => Err(at.key("reason")?.text()?.to_string()),
    };
    let factor = at.key("factor")?.number()?;
    Ok(Other { path: at.path.clone(), name: at.key("of")?.text()?.to_string(), factor, result })
}

/// Seats by the names of layers and servers, and what they use.
fn seats(
    layers: &[(&str, &str, u32)],
    problem: &Problem,
    communication: Communication,
) -> std::result::Result<(Vec<Seat>, Usage), Failure> {
    let fail = |detail: String| Failure { check: "seats", detail };
    let servers: HashMap<&str, usize> =
        problem.servers.iter().enumerate().map(|(at, s)| (s.name.as_str(), at)).collect();
    if layers.len() != problem.len() {
        return Err(fail(format!("{} placed, and the problem has {}", count(layers.len(), "layer"), problem.len())));
    }
    let mut seats = Vec::with_capacity(layers.len());
    for ((model, layer), &(placed, server, bits)) in problem.layers().zip(layers) {
        if layer.name != placed {
            let (here, there) = (quote(placed.as_bytes()), quote(layer.name.as_bytes()));
            return Err(fail(format!("{here} is placed where the problem has {there}{}", problem.of(model))));
        }
        let server = servers
            .get(server)
            .copied()
            .ok_or_else(|| fail(format!("there is no server {}", quote(server.as_bytes()))))?;
        seats.push(Seat { server, bits });
    }
    let usage = delay::usage(problem, &seats, communication);
    let usage = usage.map_err(|violation| fail(violation.describe(problem)))?;
    Ok((seats, usage))
}

impl Claim {
    /// Holds every field that follows from the seats, the bound and the problem against what follows. `node` is the one
    /// that the seats give; without it that of the document is not looked at. Left are the counters, the time, and the
    /// bound, the certificate, baselines and changed problems, which take a search.
    ///
    /// # Errors
    /// The first that differs by more than rounding.
    pub fn fields(&self, problem: &Problem, node: Option<&Node>) -> std::result::Result<(), Mismatch> {
        let usage = delay::usage(problem, &self.solution.seats, self.communication);
        let usage = usage.map_err(|v| Mismatch { field: "layers".to_string(), detail: v.describe(problem) })?;
        let solution = Solution { usage, ..self.solution.clone() };
        let expected = to_value(&Report {
            problem,
            about: String::new(),
            problem_file: None,
            layers_file: None,
            solver: self.solver.clone(),
            communication: self.communication,
            solution: &solution,
            bound: self.bound,
            baselines: Vec::new(),
            sensitivity: Vec::new(),
            node,
            seconds: 0.0,
        });
        let searched = ["solver", "problem", "certificate", "work", "seconds"];
        for (key, found) in
            expected.as_object().into_iter().flatten().filter(|(key, _)| !searched.contains(&key.as_str()))
        {
            compare(key, self.document.get(key), found)?;
        }
        // What the problem does not have.
        for key in ["models", "held_requests", "weight_errors"] {
            if let (Some(claimed), None) = (self.document.get(key), expected.get(key)) {
                return Err(Mismatch::of(key.to_string(), shown(claimed), "not there"));
            }
        }
        Ok(())
    }
}

impl Other {
    /// Holds it against what a search gave: its delay and a bound, mean bits; or why there is none. Where a time limit
    /// came first, on either side, only what that leaves is held against it.
    ///
    /// # Errors
    /// What cannot be.
    pub fn check(&self, again: std::result::Result<(f64, f64, f64), &str>) -> std::result::Result<(), Mismatch> {
        let field = |key: &str| format!("{}.{key}", self.path);
        let timed_out = |why: &str| why.contains("time limit");
        let (claimed, found) = match (&self.result, again) {
            (Ok(claimed), Ok(found)) => (*claimed, found),
            (Err(why), Ok(_)) if timed_out(why) => return Ok(()),
            (Ok(_), Err(why)) if timed_out(why) => return Ok(()),
            (Err(why), Ok(found)) => {
                let claimed = quote(why.as_bytes());
                return Err(Mismatch::of(field("reason"), claimed, format!("placed, {} s", rounded(found.0))));
            }
            (Ok(claimed), Err(why)) => {
                return Err(Mismatch::of(
                    field("delay_s"),
                    format!("{} s", rounded(claimed.0)),
                    format!("none: {why}"),
                ));
            }
            (Err(_), Err(_)) => return Ok(()),
        };
        let below = |a: f64, b: f64| a < b * (1.0 - 2.0 * ROUNDING);
        if below(claimed.0, found.1) {
            return Err(Mismatch::of(field("delay_s"), rounded(claimed.0), format!("at least {}", rounded(found.1))));
        }
        if below(found.0, claimed.1) {
            return Err(Mismatch::of(field("delay_s"), rounded(claimed.0), rounded(found.0)));
        }
        let proven = !below(claimed.1, claimed.0) && !below(found.1, found.0);
        if proven && !near(claimed.2, found.2) {
            return Err(Mismatch::of(field("mean_bits"), rounded(claimed.2), rounded(found.2)));
        }
        Ok(())
    }
}

/// Whether two numbers differ by no more than rounding.
fn near(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= ROUNDING * a.abs().max(b.abs())
}

/// Holds a value against what it should be.
fn compare(path: &str, claimed: Option<&Value>, found: &Value) -> std::result::Result<(), Mismatch> {
    let differs = |claimed: &Value| Err(Mismatch::of(path.to_string(), shown(claimed), shown(found)));
    let Some(claimed) = claimed else {
        let detail = format!("it is missing, and it is {}", shown(found));
        return Err(Mismatch { field: path.to_string(), detail });
    };
    match (claimed, found) {
        (Value::Object(there), Value::Object(keys)) => {
            keys.iter().try_for_each(|(key, found)| compare(&format!("{path}.{key}"), there.get(key), found))?;
            // Limits that a server does not have, and the model of the only one.
            match ["max_busy_s", "max_sent_bytes", "model"]
                .iter()
                .find(|key| there.contains_key(**key) && !keys.contains_key(**key))
            {
                Some(key) => Err(Mismatch::of(format!("{path}.{key}"), shown(&there[*key]), "not there")),
                None => Ok(()),
            }
        }
        (Value::Array(there), Value::Array(items)) => {
            if there.len() != items.len() {
                let detail = format!("{} are claimed, and there are {}", there.len(), items.len());
                return Err(Mismatch { field: path.to_string(), detail });
            }
            let mut pairs = there.iter().zip(items).enumerate();
            pairs.try_for_each(|(at, (claimed, found))| compare(&format!("{path}.{at}"), Some(claimed), found))
        }
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) if near(a, b) || (path == "gap" && (a - b).abs() <= ROUNDING) => Ok(()),
            _ => differs(claimed),
        },
        _ if claimed == found => Ok(()),
        _ => differs(claimed),
    }
}

/// A value in a message.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text.as_bytes()),
        Value::Array(_) => "a list".to_string(),
        Value::Object(_) => "a table of keys".to_string(),
        Value::Number(number) if number.is_f64() => format!("{:?}", rounded(number.as_f64().unwrap_or_default())),
        plain => plain.to_string(),
    }
}

/// A value, and where it stands.
struct At<'v> {
    name: &'v str,
    path: String,
    value: &'v Value,
}

impl<'v> At<'v> {
    fn place(&self) -> Place {
        let file = Place::file(self.name);
        if self.path.is_empty() { file } else { file.field(self.path.clone()) }
    }

    fn error(&self, wanted: &str) -> Error {
        self.place().error(format!("{} is not {wanted}", shown(self.value)), REMEDY)
    }

    fn inner(&self, key: impl fmt::Display, value: &'v Value) -> At<'v> {
        let dot = if self.path.is_empty() { "" } else { "." };
        At { name: self.name, path: format!("{}{dot}{key}", self.path), value }
    }

    fn get(&self, key: &str) -> Option<At<'v>> {
        self.value.get(key).map(|value| self.inner(key, value))
    }

    fn key(&self, key: &str) -> Result<At<'v>> {
        if !self.value.is_object() {
            return Err(self.error("a table of keys"));
        }
        self.get(key).ok_or_else(|| self.inner(key, self.value).place().error("the key is missing", REMEDY))
    }

    fn items(&self) -> Result<Vec<At<'v>>> {
        let items = self.value.as_array().ok_or_else(|| self.error("a list"))?;
        Ok(items.iter().enumerate().map(|(at, value)| self.inner(at, value)).collect())
    }

    fn others(&self, key: &str, read: impl Fn(&At<'_>) -> Result<Other>) -> Result<Vec<Other>> {
        let Some(list) = self.get(key) else { return Ok(Vec::new()) };
        list.items()?.iter().map(read).collect()
    }

    fn text(&self) -> Result<&'v str> {
        self.value.as_str().ok_or_else(|| self.error("a text"))
    }

    fn number(&self) -> Result<f64> {
        self.value.as_f64().ok_or_else(|| self.error("a number"))
    }

    fn whole(&self, most: u64) -> Result<u64> {
        self.value.as_u64().filter(|n| *n <= most).ok_or_else(|| self.error("a whole number"))
    }

    fn flag(&self) -> Result<bool> {
        self.value.as_bool().ok_or_else(|| self.error("true or false"))
    }

    /// Which of some words a key has.
    fn one_of(&self, key: &str, words: &[&str]) -> Result<usize> {
        let at = self.key(key)?;
        let text = at.text()?;
        words.iter().position(|word| *word == text).ok_or_else(|| {
            let known: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            let remedy = format!("give {}", known.join(" or "));
            at.place().error(format!("unknown {key} {}", quote(text.as_bytes())), remedy)
        })
    }
}
