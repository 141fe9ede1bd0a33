//! Marginal values for people and for programs.

use std::fmt::Write as _;

use super::table;
use crate::certificate::Status;
use crate::explain::{Change, Explanation, Gain, Least, Margin, Without};
use crate::workload::Requests;

/// The explanation in words. `about` says in a line or two what was solved.
pub fn to_text(e: &Explanation, requests: &Requests, about: &str) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = report(&mut out, e, requests, about);
    out
}

fn report(out: &mut String, e: &Explanation, requests: &Requests, about: &str) -> std::fmt::Result {
    writeln!(out, "{about}")?;
    let (size, of) = (e.scheduled.len(), e.requests);
    match e.status {
        Status::Optimal => writeln!(out, "scheduled {size} of {of} requests: proven optimal")?,
        Status::Feasible { bound } => {
            writeln!(out, "scheduled {size} of {of} requests: feasible; no batch is larger than {bound}")?;
        }
    }
    writeln!(out, "\nwith more, solved again:")?;
    let header = ["", "has", "more", "batch", "gain", "in", "out", "dual bound", "dual price", "least that adds one"];
    let mut rows = vec![header.map(String::from).to_vec()];
    rows.extend(e.margins.iter().map(row));
    let (together, none) = (&e.together, String::new);
    let mut all = vec!["together".to_string(), none(), none()];
    all.extend(changed(&together.change, together.dual_bound));
    all.extend([none(), least(&together.least, |percent| format!("+{percent} %"))]);
    rows.push(all);
    out.push_str(&table::to_text(&rows, &[1, 2, 3, 4, 5, 6, 7]));
    writeln!(out, "  dual bound: proven by the multipliers of the first proof, without solving again")?;
    writeln!(
        out,
        "  dual price: slope of the relaxation, {:.3} requests; whole requests follow it in part",
        e.relaxation
    )?;
    if !e.without.is_empty() {
        writeln!(out, "\nwithout the tightest deadline of the batch, solved again:")?;
    }
    for w in &e.without {
        without(out, w, requests)?;
    }
    Ok(())
}

fn row(m: &Margin) -> Vec<String> {
    let (unit, si) = m.resource.unit();
    let mut row = vec![
        m.resource.name().to_string(),
        format!("{} {unit}", short(m.now / si)),
        format!("+{} {unit}", short(m.step / si)),
    ];
    row.extend(changed(&m.change, m.dual_bound));
    let amount = |percent| format!("+{percent} % ({} {unit})", short(m.now * f64::from(percent) / 100.0 / si));
    row.extend([format!("{} per {unit}", short(m.price * si)), least(&m.least, amount)]);
    row
}

fn changed(c: &Change, dual_bound: u64) -> [String; 5] {
    let (entered, left) = (c.entered.len().to_string(), c.left.len().to_string());
    [batch(c), gain(&c.gain), entered, left, format!("≤ {dual_bound}")]
}

fn least(least: &Least, show: impl Fn(u32) -> String) -> String {
    match *least {
        Least::Percent { percent, size, proven } => {
            let or_less = if proven { "" } else { ", or less" };
            format!("{}: {size}{or_less}", show(percent))
        }
        Least::None { up_to, proven: true } => format!("none up to +{up_to} %"),
        Least::None { up_to, proven: false } => format!("none found up to +{up_to} %"),
        Least::Unknown => "not sought: the batch is not proven to be the largest".to_string(),
    }
}

/// "9", or "9 to 11" where a limit stopped the search.
fn batch(c: &Change) -> String {
    match c.status {
        Status::Optimal => c.size.to_string(),
        Status::Feasible { bound } => format!("{} to {bound}", c.size),
    }
}

fn gain(gain: &Gain) -> String {
    match gain.exact() {
        Some(exact) => signed(exact),
        None => format!("{} to {}", signed(gain.at_least), signed(gain.at_most)),
    }
}

fn signed(n: i64) -> String {
    match n {
        0 => "0".to_string(),
        1.. => format!("+{n}"),
        _ => format!("−{}", n.unsigned_abs()),
    }
}

/// Ids shown of the requests left out.
const SHOWN: usize = 6;

fn without(out: &mut String, w: &Without, requests: &Requests) -> std::fmt::Result {
    let ids: Vec<&str> = w.requests.iter().take(SHOWN).map(|&row| requests.id(row as usize)).collect();
    let more = w.requests.len() - ids.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let c = &w.change;
    write!(out, "  without {}{more} ({:.3} s): batch {}, ", ids.join(", "), w.deadline_s, batch(c))?;
    write!(out, "gain {}, {} in, {} out besides; ", gain(&c.gain), c.entered.len(), c.left.len())?;
    match w.tightest_deadline_s {
        Some(left) => writeln!(out, "the tightest deadline is then {left:.3} s"),
        None => writeln!(out, "nothing is left to serve"),
    }
}

/// About five digits.
fn short(x: f64) -> String {
    if x == 0.0 {
        return "0".to_string();
    }
    if !(1e-4..1e7).contains(&x.abs()) {
        return format!("{x:.4e}");
    }
    let decimals = (4.0 - libm::floor(libm::log10(x.abs()))).max(0.0) as usize;
    let text = format!("{x:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

#[cfg(feature = "files")]
pub use document::to_json;

/// The JSON of an explanation.
#[cfg(feature = "files")]
mod document {
    use serde::Serialize;

    use crate::explain::{Change, Explanation, Least, Margin, Without};
    use crate::outcome::bound_of;
    use crate::report::json::status_word;
    use crate::workload::Requests;

    #[derive(Serialize)]
    struct ExplanationOut<'o> {
        status: &'static str,
        size: usize,
        bound: u64,
        requests: usize,
        scheduled: Vec<&'o str>,
        relaxation: f64,
        margins: Vec<MarginOut<'o>>,
        together: TogetherOut<'o>,
        without: Vec<WithoutOut<'o>>,
        seconds: f64,
    }

    #[derive(Serialize)]
    struct MarginOut<'o> {
        resource: &'static str,
        has: f64,
        step: f64,
        dual_price: f64,
        #[serde(flatten)]
        change: TogetherOut<'o>,
    }

    #[derive(Serialize)]
    struct TogetherOut<'o> {
        #[serde(flatten)]
        change: ChangeOut<'o>,
        dual_bound: u64,
        least: Option<LeastOut>,
    }

    /// `percent` is `null` where nothing up to `up_to_percent` adds a request.
    #[derive(Serialize)]
    struct LeastOut {
        percent: Option<u32>,
        size: Option<usize>,
        up_to_percent: u32,
        proven: bool,
    }

    #[derive(Serialize)]
    struct WithoutOut<'o> {
        ids: Vec<&'o str>,
        deadline_s: f64,
        #[serde(flatten)]
        change: ChangeOut<'o>,
        tightest_deadline_s: Option<f64>,
    }

    #[derive(Serialize)]
    struct ChangeOut<'o> {
        status: &'static str,
        size: usize,
        bound: u64,
        gain: GainOut,
        entered: Vec<&'o str>,
        left: Vec<&'o str>,
    }

    #[derive(Serialize)]
    struct GainOut {
        at_least: i64,
        at_most: i64,
    }

    /// The explanation as a JSON document, ending in a line feed; `seconds` is the time that it took.
    pub fn to_json(e: &Explanation, requests: &Requests, seconds: f64) -> String {
        let out = ExplanationOut {
            status: status_word(e.status),
            size: e.scheduled.len(),
            bound: bound_of(e.scheduled.len(), e.status),
            requests: e.requests,
            scheduled: ids(&e.scheduled, requests),
            relaxation: e.relaxation,
            margins: e.margins.iter().map(|m| margin(m, requests)).collect(),
            together: together(&e.together.change, e.together.dual_bound, &e.together.least, requests),
            without: e.without.iter().map(|w| without(w, requests)).collect(),
            seconds,
        };
        // Strings, numbers and lists only: none of them can fail.
        let mut text = serde_json::to_string_pretty(&out).unwrap_or_default();
        text.push('\n');
        text
    }

    fn ids<'o>(rows: &[u32], requests: &'o Requests) -> Vec<&'o str> {
        rows.iter().map(|&row| requests.id(row as usize)).collect()
    }

    fn change<'o>(c: &Change, requests: &'o Requests) -> ChangeOut<'o> {
        ChangeOut {
            status: status_word(c.status),
            size: c.size,
            bound: bound_of(c.size, c.status),
            gain: GainOut { at_least: c.gain.at_least, at_most: c.gain.at_most },
            entered: ids(&c.entered, requests),
            left: ids(&c.left, requests),
        }
    }

    fn margin<'o>(m: &Margin, requests: &'o Requests) -> MarginOut<'o> {
        MarginOut {
            resource: m.resource.name(),
            has: m.now,
            step: m.step,
            dual_price: m.price,
            change: together(&m.change, m.dual_bound, &m.least, requests),
        }
    }

    fn together<'o>(c: &Change, dual_bound: u64, least: &Least, requests: &'o Requests) -> TogetherOut<'o> {
        let least = match *least {
            Least::Percent { percent, size, proven } => {
                Some(LeastOut { percent: Some(percent), size: Some(size), up_to_percent: percent, proven })
            }
            Least::None { up_to, proven } => Some(LeastOut { percent: None, size: None, up_to_percent: up_to, proven }),
            Least::Unknown => None,
        };
        TogetherOut { change: change(c, requests), dual_bound, least }
    }

    fn without<'o>(w: &Without, requests: &'o Requests) -> WithoutOut<'o> {
        WithoutOut {
            ids: ids(&w.requests, requests),
            deadline_s: w.deadline_s,
            change: change(&w.change, requests),
            tightest_deadline_s: w.tightest_deadline_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_gains_have_signs() {
        let shown = [0.0, 1.0, 0.033_058, 640.0, 1234.5678, 123_456.7, 1e-9, 2.5e12].map(short);
        assert_eq!(shown, ["0", "1", "0.033058", "640", "1234.6", "123457", "1.0000e-9", "2.5000e12"]);
        let range = Gain { at_least: -1, at_most: 2 };
        assert_eq!((gain(&range).as_str(), gain(&Gain { at_least: 0, at_most: 0 }).as_str()), ("−1 to +2", "0"));
    }
}
