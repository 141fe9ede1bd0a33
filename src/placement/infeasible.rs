//! Which constraint cannot be met, and by how much.

use super::delay::{Communication, TOLERANCE};
use super::problem::{Layer, Link, Model, Problem, Width};
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

/// The key of the requests whose KV caches are held.
const HELD: &str = "request.held_requests";

fn holding(model: &Model, requests: u32) -> Model {
    Model { held_requests: requests, ..model.clone() }
}

/// The problem where no model holds more requests than so many.
fn held_at_most(problem: &Problem, requests: u32) -> Problem {
    let mut p = problem.clone();
    p.models.iter_mut().for_each(|model| model.held_requests = model.held_requests.min(requests));
    p
}

/// The model that holds the most requests.
fn most_held(problem: &Problem) -> usize {
    let models = problem.models.iter().enumerate();
    models.max_by_key(|(at, model)| (model.held_requests, std::cmp::Reverse(*at))).map_or(0, |(at, _)| at)
}

/// What is held besides weights, where it is more than a request's.
fn caches(models: &[Model]) -> String {
    let first = models.first().map_or(1, |model| model.held_requests);
    match models.iter().all(|model| model.held_requests == first) {
        true if first == 1 => String::new(),
        true => format!(" with the KV caches of {first} requests"),
        false => " with the KV caches of all requests held".to_string(),
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
                    "{} fits nowhere: at {bits} bits{} it needs {}, and the largest server has {}; short by {}",
                    problem.called(model, layer),
                    caches(std::slice::from_ref(model)),
                    bytes(least),
                    bytes(largest),
                    bytes(least - largest)
                );
                if within(narrowest(&holding(model, 1), layer), largest) {
                    return error(problem.field(m, HELD), what, "hold fewer requests, or give a larger server");
                }
                return error(field("parameters"), what, "give a larger server, or a narrower width");
            }
            if !within(least_of(layer), model.budget) {
                let what = format!(
                    "{} alone has a weight error of at least {}, above the budget of {}",
                    problem.called(model, layer),
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
                    problem.called(model, layer),
                    model.budget
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
                "the weight errors{} are at least {least}, above the budget of {}; short by {}",
                problem.of(model),
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
            "all servers together have {} of memory, and the layers at their narrowest{} need {}; short by {}",
            bytes(have),
            caches(&problem.models),
            bytes(need),
            bytes(need - have)
        );
        let alone: f64 = held_at_most(problem, 1).layers().map(|(model, layer)| narrowest(model, layer)).sum();
        if within(alone, have) {
            return error(problem.field(most_held(problem), HELD), what, "hold fewer requests, or give more memory");
        }
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
                    problem.called(model, layer),
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
    let mut search_for = |problem: &Problem, m: usize| {
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
        search(&t, WIDEST, None, clock, false)
    };
    for (m, model) in problem.models.iter().enumerate() {
        let found = search_for(problem, m);
        let budget = model.budget;
        // What was searched for is the error: its bound is one of errors.
        let least = found.bound;
        if least.is_finite() && least > budget * (1.0 + 1e-6) {
            let what = format!(
                "within the memory of the servers{} the weight errors{} are at least {least:.6}, above the budget of \
                 {budget}; short by {:.6}",
                caches(&problem.models),
                problem.of(model),
                least - budget
            );
            let alone = held_at_most(problem, 1);
            let held = alone != *problem && search_for(&alone, m).best.is_some_and(|(error, _)| within(error, budget));
            let remedy = match held {
                true => "give a larger budget, more memory, or hold fewer requests",
                false => "give a larger budget, or more memory",
            };
            return error(problem.field(m, "quality.budget"), what, remedy);
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
    const HELD: Without = Without { name: "held_requests", field: HELD };
    const QUALITY: Without = Without { name: "the quality budget", field: "quality.budget" };
    const MEMORY: Without = Without { name: "the memory of the servers", field: "server" };
    const CAPACITIES: Without = Without { name: "max_busy_s and max_sent_bytes", field: "server" };
    const LINKS: Without = Without { name: "the missing links", field: "link" };
}

fn relaxed(problem: &Problem, without: Without) -> Problem {
    let mut p = problem.clone();
    match without {
        Without::HELD => return held_at_most(problem, 1),
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

/// The problem with so many percent more of a limit; none of a limit that does not grow so.
fn raised(problem: &Problem, what: Without, percent: u32) -> Option<Problem> {
    let factor = 1.0 + f64::from(percent) / 100.0;
    let mut p = problem.clone();
    match what {
        Without::QUALITY => p.models.iter_mut().for_each(|model| model.budget *= factor),
        Without::MEMORY => p.servers.iter_mut().for_each(|s| s.memory_bytes *= factor),
        Without::CAPACITIES => {
            for s in &mut p.servers {
                s.max_busy_s = s.max_busy_s.map(|limit| limit * factor);
                s.max_sent_bytes = s.max_sent_bytes.map(|limit| limit * factor);
            }
        }
        _ => {}
    }
    // A budget of 0 stays what it is.
    (p != *problem).then_some(p)
}

/// The least number from 1 on at which something holds that then keeps holding; none beyond `most`, or where nobody can
/// tell.
fn least(most: u32, mut holds: impl FnMut(u32) -> Option<bool>) -> Option<u32> {
    let (mut below, mut above) = (0, 1);
    while !holds(above)? {
        if above >= most {
            return None;
        }
        (below, above) = (above, above.saturating_mul(2).min(most));
    }
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        if holds(middle)? { above = middle } else { below = middle }
    }
    Some(above)
}

/// The least memory of all layers within the budgets, bytes, if layers could be of several widths in parts: no
/// assignment needs less.
fn least_memory(problem: &Problem) -> f64 {
    problem.models.iter().map(least_memory_of).sum()
}

fn least_memory_of(model: &Model) -> f64 {
    let (mut memory, mut error) = (0.0, 0.0);
    // Steps to lower errors: bytes of each unit less, and how much less.
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for layer in &model.layers {
        let need = |bits: u32| layer.memory_bytes(bits, model.held_tokens());
        let Some(first) = layer.widths.first() else { continue };
        let (mut at, mut bytes) = (first.error, need(first.bits));
        (memory, error) = (memory + bytes, error + at);
        // The lower hull, from the narrowest width on.
        loop {
            let better = layer.widths.iter().filter(|w| w.error < at && need(w.bits) >= bytes);
            let price = |w: &Width| (need(w.bits) - bytes) / (at - w.error);
            let Some(next) = better.min_by(|a, b| price(a).total_cmp(&price(b)).then(a.error.total_cmp(&b.error)))
            else {
                break;
            };
            steps.push((price(next), at - next.error));
            (at, bytes) = (next.error, need(next.bits));
        }
    }
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (price, less) in steps {
        let part = less.min(error - model.budget);
        if part <= 0.0 {
            break;
        }
        (memory, error) = (memory + part * price, error - part);
    }
    memory
}

/// Constraints that only together leave nothing: those of which lifting one alone is enough, and how far.
fn together(problem: &Problem, communication: Communication, clock: &mut Clock) -> Error {
    let all = [Without::HELD, Without::QUALITY, Without::MEMORY, Without::CAPACITIES, Without::LINKS];
    let mut placed = |p: &Problem| search(&Tables::new(p, communication), WIDEST, None, clock, false).best.is_some();
    let helps = |w: &Without| {
        let p = relaxed(problem, *w);
        p != *problem && placed(&p)
    };
    let found: Vec<Without> = all.into_iter().filter(helps).collect();
    let place = |field: &str, m: usize| Place::file("problem").field(problem.field(m, field));
    let what = "no assignment keeps all constraints";
    let Some(first) = found.first() else {
        return if clock.look() {
            place("server", 0).error(
                format!("{what}, and the time limit came before it was found which stand in the way"),
                "give a longer time limit, more memory, a larger budget, or links between all servers",
            )
        } else {
            place("server", 0).error(
                format!("{what}, and no single kind of them is to blame: {}", memories(problem)),
                "give more memory, a larger budget, and links between all servers",
            )
        };
    };
    let mut enough = |p: &Problem| {
        let best = search(&Tables::new(p, communication), WIDEST, None, clock, false).best.is_some();
        // Where time is up nothing is known.
        (best || !clock.look()).then_some(best)
    };
    let mut how_far = |w: &Without| {
        if *w == Without::HELD {
            let most = problem.models.iter().map(|model| model.held_requests).max().unwrap_or(1);
            let less = least(most - 1, |less| enough(&held_at_most(problem, most - less)))?;
            return Some(format!("{} ({} would do)", w.name, most - less));
        }
        let percent = least(1 << 20, |percent| raised(problem, *w, percent).map_or(Some(false), |p| enough(&p)))?;
        Some(format!("{} ({percent} % more would do)", w.name))
    };
    let names: Vec<String> = found.iter().map(|w| how_far(w).unwrap_or_else(|| w.name.to_string())).collect();
    let remedy = format!("lifting one of these alone would be enough: {}", names.join("; "));
    let at = if *first == Without::HELD { most_held(problem) } else { 0 };
    place(first.field, at).error(format!("{what} at once: {}", memories(problem)), remedy)
}

/// What there is of memory, and what is needed.
fn memories(problem: &Problem) -> String {
    let have: f64 = problem.servers.iter().map(|s| s.memory_bytes).sum();
    format!(
        "within the quality budget the layers{} need at least {} of memory, and the servers have {}",
        caches(&problem.models),
        bytes(least_memory(problem)),
        bytes(have)
    )
}
