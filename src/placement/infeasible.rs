//! Which constraint cannot be met, and by how much.

use super::delay::{Communication, TOLERANCE};
use super::problem::{Layer, Link, Model, Problem};
use super::solve::search;
use super::tables::Tables;
use crate::error::{Error, Place};
use crate::search::{Clock, Limits};

/// The widest pass of a search that only explains: what it says must not depend on how long that may take.
const WIDEST: usize = 1024;

/// Why no assignment of `problem` is feasible, as an error about "problem" with the key to change. To be asked where a
/// solver found that there is none; `limits` are for further searches, all of them together.
pub fn diagnose(problem: &Problem, communication: Communication, limits: &Limits) -> Error {
    let mut clock = Clock::start(limits);
    each_layer(problem)
        .or_else(|| sums(problem))
        .or_else(|| chain(problem))
        .or_else(|| least_error(problem, &mut clock))
        .unwrap_or_else(|| together(problem, communication, &mut clock))
}

fn error(field: String, what: String, remedy: &str) -> Option<Error> {
    Some(Place::file("problem").field(field).error(what, remedy))
}

fn within(used: f64, limit: f64) -> bool {
    used <= limit * (1.0 + TOLERANCE)
}

/// Bytes for people.
fn bytes(x: f64) -> String {
    match x {
        x if x >= 1e9 => format!("{:.3} GB", x / 1e9),
        x if x >= 1e6 => format!("{:.3} MB", x / 1e6),
        x if x >= 1e3 => format!("{:.3} kB", x / 1e3),
        x => format!("{x:.1} bytes"),
    }
}

fn narrowest(model: &Model, layer: &Layer) -> f64 {
    layer.widths.first().map_or(f64::INFINITY, |w| layer.memory_bytes(w.bits, model.held_tokens()))
}

fn least_of(layer: &Layer) -> f64 {
    layer.widths.iter().map(|w| w.error).fold(f64::INFINITY, f64::min)
}

/// A layer that fits nowhere.
fn each_layer(problem: &Problem) -> Option<Error> {
    let largest = problem.servers.iter().map(|s| s.memory_bytes).fold(0.0, f64::max);
    for (m, model) in problem.models.iter().enumerate() {
        for (l, layer) in model.layers.iter().enumerate() {
            let field = |key: &str| problem.field(m, &format!("layer.{l}.{key}"));
            let least = narrowest(model, layer);
            if !within(least, largest) {
                let bits = layer.widths.first().map_or(0, |w| w.bits);
                let what = format!(
                    "{} fits nowhere: at {bits} bits it needs {}, and the largest server has {}; short by {}",
                    layer.name,
                    bytes(least),
                    bytes(largest),
                    bytes(least - largest)
                );
                return error(field("parameters"), what, "give a larger server, or a narrower width");
            }
            if !within(least_of(layer), model.budget) {
                let what = format!(
                    "{} alone has a weight error of at least {}, above the budget of {}",
                    layer.name,
                    least_of(layer),
                    model.budget
                );
                return error(field("weight_error"), what, "give a wider width, or a larger budget");
            }
            // Memory, quality and time together, which each alone leave a way.
            let some = problem.servers.iter().any(|s| {
                layer.widths.iter().any(|w| {
                    let seconds =
                        model.passes() * layer.flops_per_token * problem.time_factor(w.bits) / s.compute_flops;
                    within(layer.memory_bytes(w.bits, model.held_tokens()), s.memory_bytes)
                        && within(w.error, model.budget)
                        && s.max_busy_s.is_none_or(|limit| within(seconds, limit))
                })
            });
            if !some {
                let what = format!(
                    "{} fits nowhere: no server has memory and time for it at a width within the quality budget of {}",
                    layer.name, model.budget
                );
                let remedy = "give more memory, a longer max_busy_s, a larger budget, or other widths";
                return error(field("weight_error"), what, remedy);
            }
        }
    }
    None
}

/// Sums over all layers that are too large at their least.
fn sums(problem: &Problem) -> Option<Error> {
    for (m, model) in problem.models.iter().enumerate() {
        let least: f64 = model.layers.iter().map(least_of).sum();
        if !within(least, model.budget) {
            let what = format!(
                "the weight errors are at least {least}, above the budget of {}; short by {}",
                model.budget,
                least - model.budget
            );
            return error(problem.field(m, "quality.budget"), what, "give a larger budget, or wider widths");
        }
    }
    let have: f64 = problem.servers.iter().map(|s| s.memory_bytes).sum();
    let need: f64 = problem.layers().map(|(model, layer)| narrowest(model, layer)).sum();
    if !within(need, have) {
        let what = format!(
            "all servers together have {} of memory, and the layers at their narrowest need {}; short by {}",
            bytes(have),
            bytes(need),
            bytes(need - have)
        );
        return error("server".to_string(), what, "give more memory, or narrower widths");
    }
    None
}

/// A place where the chain of links breaks, whatever else.
fn chain(problem: &Problem) -> Option<Error> {
    let n = problem.servers.len();
    let mut links = vec![Vec::new(); n];
    for link in &problem.links {
        links[link.to].push(link.from);
    }
    for (m, model) in problem.models.iter().enumerate() {
        let fits = |layer: &Layer, i: usize| within(narrowest(model, layer), problem.servers[i].memory_bytes);
        let mut reached: Vec<bool> = (0..n).map(|i| fits(&model.layers[0], i)).collect();
        for (l, layer) in model.layers.iter().enumerate().skip(1) {
            let next: Vec<bool> =
                (0..n).map(|i| fits(layer, i) && (reached[i] || links[i].iter().any(|&from| reached[from]))).collect();
            if next.iter().all(|r| !r) {
                let what = format!(
                    "{} fits only on servers that no link leads to from where {} can be",
                    layer.name,
                    model.layers[l - 1].name
                );
                let field = problem.field(m, &format!("layer.{l}.name"));
                return error(field, what, "give a [[link]], or a larger server that is linked");
            }
            reached = next;
        }
    }
    None
}

/// The least weight error that memories allow, whatever the links.
fn least_error(problem: &Problem, clock: &mut Clock) -> Option<Error> {
    for m in 0..problem.models.len() {
        // The error takes the place of the time; of the other models only what they hold matters.
        let mut t = Tables::new(&relaxed(problem, Without::CAPACITIES), Communication::Chain);
        t.slowness.fill(1.0);
        t.latency.fill(0.0);
        t.per_byte.fill(0.0);
        t.budget.fill(f64::INFINITY);
        for l in 0..t.layers {
            let of = if t.model[l] == m { t.quality_unit[m] } else { 0.0 };
            for c in &mut t.choices[t.starts[l]..t.starts[l + 1]] {
                (c.work, c.quality) = (c.quality * of, 0.0);
            }
        }
        let found = search(&t, WIDEST, None, clock, false);
        let budget = problem.models[m].budget;
        // What was searched for is the error: its bound is one of errors.
        let least = found.bound;
        if least.is_finite() && least > budget * (1.0 + 1e-6) {
            let what = format!(
                "within the memory of the servers the weight errors are at least {least:.6}, above the budget of {budget}; \
                 short by {:.6}",
                least - budget
            );
            return error(problem.field(m, "quality.budget"), what, "give a larger budget, or more memory");
        }
    }
    None
}

fn unlimited(model: &Model) -> Model {
    let widest: f64 = model.layers.iter().map(|l| l.widths.iter().map(|w| w.error).fold(0.0, f64::max)).sum();
    Model { budget: widest, ..model.clone() }
}

/// What is lifted.
#[derive(Clone, Copy, PartialEq)]
struct Without {
    name: &'static str,
    field: &'static str,
}

impl Without {
    const QUALITY: Without = Without { name: "the quality budget", field: "quality.budget" };
    const MEMORY: Without = Without { name: "the memory of the servers", field: "server" };
    const CAPACITIES: Without = Without { name: "max_busy_s and max_sent_bytes", field: "server" };
    const LINKS: Without = Without { name: "the missing links", field: "link" };
}

fn relaxed(problem: &Problem, without: Without) -> Problem {
    let mut p = problem.clone();
    match without {
        Without::QUALITY => p.models = p.models.iter().map(unlimited).collect(),
        Without::MEMORY => {
            let most = |(model, layer): (&Model, &Layer)| {
                layer.widths.last().map_or(0.0, |w| layer.memory_bytes(w.bits, model.held_tokens()))
            };
            let all: f64 = problem.layers().map(most).sum();
            p.servers.iter_mut().for_each(|s| s.memory_bytes = s.memory_bytes.max(all));
        }
        Without::LINKS => {
            for from in 0..p.servers.len() {
                for to in (0..p.servers.len()).filter(|&to| to != from) {
                    if problem.link(from, to).is_none() {
                        p.links.push(Link { from, to, bandwidth_bytes_per_s: 1e9, latency_s: 1.0 });
                    }
                }
            }
        }
        _ => p.servers.iter_mut().for_each(|s| (s.max_busy_s, s.max_sent_bytes) = (None, None)),
    }
    p
}

/// Constraints that only together leave nothing: those of which lifting one alone is enough.
fn together(problem: &Problem, communication: Communication, clock: &mut Clock) -> Error {
    let all = [Without::QUALITY, Without::MEMORY, Without::CAPACITIES, Without::LINKS];
    let mut helps = |w: &Without| {
        let p = relaxed(problem, *w);
        p != *problem && search(&Tables::new(&p, communication), WIDEST, None, clock, false).best.is_some()
    };
    let found: Vec<Without> = all.into_iter().filter(&mut helps).collect();
    let place = |field: &str| Place::file("problem").field(problem.field(0, field));
    match found.first() {
        Some(first) => {
            let names: Vec<&str> = found.iter().map(|w| w.name).collect();
            let what = "no assignment keeps all constraints at once";
            place(first.field).error(what, format!("lifting one of these alone would be enough: {}", names.join("; ")))
        }
        None if clock.look() => place("server").error(
            "no assignment keeps all constraints, and the time limit came before it was found which stand in the way",
            "give a longer time limit, more memory, a larger budget, or links between all servers",
        ),
        None => place("server").error(
            "no assignment keeps all constraints, and no single kind of them is to blame",
            "give more memory, a larger budget, and links between all servers",
        ),
    }
}
