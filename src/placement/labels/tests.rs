//! Passes, and the bounds of their labels, against trying everything, with contexts from the first label on.

use super::*;
use crate::placement::Problem;
use crate::placement::generate::{Spec, problem};
use crate::placement::prices::{self, Prices};
use crate::search::Limits;
use crate::workload::synthesis::RowRng;

const WIDE: usize = 1 << 20;
/// Layers, up to which a problem is short.
const SHORT: usize = 6;

/// Layers of very different sizes on servers with fast links: the best paths often come back to a server. Some have two
/// models; long ones always have, and a single width.
fn random(seed: u64, layers: usize, faster: f64) -> Problem {
    let mut rows = RowRng::new(seed, 1 << 42);
    let d = rows.next_row();
    let long = layers > SHORT;
    let servers = 2 + d.below(0, if long { 2 } else { 3 }) as usize;
    let widths = if long || servers == 4 { vec![4] } else { vec![4, 8] };
    let (memory, quality) = (d.uniform(1, (0.5, 1.3)), d.uniform(2, (0.3, 1.0)));
    let missing = if d.below(3, 4) == 0 { 0.2 } else { 0.0 };
    let capacities = d.below(4, 4) == 0;
    let spec = Spec { layers, servers, widths, memory, quality, missing, capacities, ..Spec::opt_350m(seed) };
    let mut p = problem(&spec);
    for layer in &mut p.models[0].layers {
        let d = rows.next_row();
        // Some take hardly any memory: what is left of a server is the same before and after them.
        let tiny = if d.below(3, 4) == 0 { 0.002 } else { 1.0 };
        layer.parameters = (layer.parameters * tiny * d.uniform(0, (0.2, 2.0))).round();
        layer.flops_per_token *= d.uniform(1, (0.2, 3.0));
        layer.activation_bytes *= d.uniform(2, (0.5, 2.0));
    }
    for link in &mut p.links {
        link.latency_s /= faster;
        link.bandwidth_bytes_per_s *= faster;
    }
    if long || d.below(5, 4) == 0 {
        // The first one is often the shortest: others pay for the same pairs again.
        let first = 1 + d.below(6, layers as u64 - 1) as usize;
        let mut second = p.models[0].clone();
        second.layers = p.models[0].layers.split_off(first);
        second.name = "second".into();
        p.models.push(second);
        p.models.iter_mut().for_each(|model| model.budget *= 0.6);
    }
    p
}

fn comes_back(path: &[(u32, u32)]) -> bool {
    let runs: Vec<u32> = path.chunk_by(|a, b| a.0 == b.0).map(|run| run[0].0).collect();
    runs.iter().enumerate().any(|(at, server)| runs[..at].contains(server))
}

/// The least cost of all paths, and of those that never come back.
fn least(t: &Tables, path: &mut Vec<(u32, u32)>, of: &mut (f64, f64)) {
    let l = path.len();
    if l == t.layers {
        if let Some(cost) = t.cost(path).filter(|_| t.keeps_limits(path)) {
            of.0 = of.0.min(cost);
            of.1 = if comes_back(path) { of.1 } else { of.1.min(cost) };
        }
        return;
    }
    for i in 0..t.servers as u32 {
        for w in 0..t.choices(l).len() as u32 {
            path.push((i, w));
            least(t, path, of);
            path.pop();
        }
    }
}

fn same(found: Option<f64>, best: f64, context: &str) {
    match found {
        Some(found) => assert!((found - best).abs() <= 1e-9 * best, "{context}: {found} instead of {best}"),
        None => assert!(best.is_infinite(), "{context}: nothing instead of {best}"),
    }
}

#[test]
fn passes_in_contexts_find_what_trying_everything_finds() {
    let (mut returns, mut contexts) = (0, 0);
    for seed in 0..120 {
        for communication in Communication::ALL {
            let context = format!("seed {seed}, {}", communication.name());
            let t = Tables::new(&random(seed, SHORT, 50.0), communication);
            let mut best = (f64::INFINITY, f64::INFINITY);
            least(&t, &mut Vec::new(), &mut best);
            let (root, _) = prices::improve(&t, Prices::zero(&t), 200, || false);
            if root.bound.is_infinite() {
                assert!(best.0.is_infinite(), "{context}");
                continue;
            }
            let mut search = Search::new(&t, root, false);
            search.narrow = 0;
            let mut clock = Clock::start(&Limits::NONE);
            // Narrow ones say what they have dropped; those that drop nothing find the best, however little is above
            // it.
            for width in [2, 6, 20] {
                let found = search.pass(f64::INFINITY, width, true, &mut clock);
                let bound = found.best.map_or(f64::INFINITY, |best| best.0).min(found.open);
                assert!(bound <= best.0 * (1.0 + 1e-9), "{context}: {bound} is above {}", best.0);
            }
            // Nothing is below the best; contexts are made for lower limits and higher ones.
            for part in [0.9, 0.98, 0.95, 0.995] {
                let found = search.pass(best.0 * part, WIDE, true, &mut clock);
                let least = found.best.map_or(f64::INFINITY, |found| found.0);
                assert!(found.open.is_infinite(), "{context}: {part} of {}", best.0);
                assert!(least >= best.0 * (1.0 - 1e-9), "{context}: {least} at {part} of {}", best.0);
            }
            for above in [1e-7, 0.02] {
                let found = search.pass(best.1 * (1.0 + above), WIDE, false, &mut clock);
                same(found.best.map(|best| best.0), best.1, &format!("{context}, without returns"));
                let found = search.pass(best.0 * (1.0 + above), WIDE, true, &mut clock);
                same(found.best.map(|best| best.0), best.0, &context);
                assert!(found.open.is_infinite(), "{context}");
            }
            returns += usize::from(best.0 < best.1);
            contexts += search.contexts.len();
        }
    }
    assert!(returns > 20 && contexts > 1000, "{returns} returns, {contexts} contexts");
}

/// The cost of every path, in the order of their layers' (server, choice); infinite where it breaks a limit.
fn every(t: &Tables, path: &mut Vec<(u32, u32)>, out: &mut Vec<(f64, Vec<u32>)>) {
    let l = path.len();
    if l == t.layers {
        let cost = t.cost(path).filter(|_| t.keeps_limits(path)).unwrap_or(f64::INFINITY);
        return out.push((cost, path.iter().map(|x| x.0).collect()));
    }
    for i in 0..t.servers as u32 {
        for w in 0..t.choices(l).len() as u32 {
            path.push((i, w));
            every(t, path, out);
            path.pop();
        }
    }
}

/// The least cost of the paths with some beginning that come to no server of `done` after layer l, and to all of
/// `must`.
fn completed(paths: &[(f64, Vec<u32>)], l: usize, done: u64, must: u64) -> f64 {
    let fits = |servers: &[u32]| {
        let come = servers[l + 1..].iter().fold(0, |come, i| come | 1u64 << i);
        come & done == 0 && come & must == must
    };
    paths.iter().filter(|path| fits(&path.1)).map(|path| path.0).fold(f64::INFINITY, f64::min)
}

/// Every label of every layer, none compared with another: its bound is not above what it can become, if that is below
/// the limit, and what every beginning can become one of its labels can.
#[test]
fn no_label_is_bounded_above_what_it_can_become() {
    let (mut labels, mut tight) = (0_u64, 0_u64);
    for (seed, communication) in (0..160).flat_map(|seed| Communication::ALL.map(|form| (seed, form))) {
        let layers = if seed % 3 == 0 { 7 } else { 5 };
        let faster = if seed % 2 == 0 { 50.0 } else { 5.0 };
        let t = Tables::new(&random(seed, layers, faster), communication);
        let mut paths = Vec::new();
        every(&t, &mut Vec::new(), &mut paths);
        let best = paths.iter().map(|path| path.0).fold(f64::INFINITY, f64::min);
        let (root, _) = prices::improve(&t, Prices::zero(&t), 200, || false);
        if root.bound.is_infinite() || best.is_infinite() {
            assert!(best.is_infinite());
            continue;
        }
        let mut search = Search::new(&t, root, false);
        search.narrow = 0;
        let mut clock = Clock::start(&Limits::NONE);
        // The same contexts serve limits that rise and fall.
        for part in [1.05, 2.0, 1.01, 1.4] {
            let limit = best * part;
            search.contexts.below(&t, &search.reduced, &search.least_units, limit, &mut clock);
            let mut front = Front::default();
            // Which of the beginnings of l layers the labels have, in the order of `paths`.
            let mut beginnings = vec![0];
            let mut of_each = paths.len();
            for l in 0..t.layers {
                let context = format!("seed {seed}, {}, {part}, layer {l}", communication.name());
                let next = search.extend(&front, l, limit);
                let (next, dropped) = search.refine_least(&front, next, l, limit, WIDE, &mut clock);
                assert!(dropped.is_infinite(), "{context}");
                let choices = t.choices(l).len();
                of_each /= t.servers * choices;
                let place = |label: &Label| {
                    let before = if l == 0 { 0 } else { beginnings[label.parent as usize] };
                    (before * t.servers + label.server as usize) * choices + label.choice as usize
                };
                let mut reached = vec![f64::INFINITY; paths.len() / of_each];
                for label in &next {
                    let at = place(label);
                    let least = completed(&paths[at * of_each..(at + 1) * of_each], l, label.done, label.must);
                    let fine = label.bound <= least * (1.0 + 1e-9) || least >= limit;
                    assert!(fine, "{context}: {} is above {least} ({label:?})", label.bound);
                    reached[at] = reached[at].min(least);
                    labels += 1;
                    tight += u64::from(label.bound >= least * 0.999);
                }
                for (at, reached) in reached.iter().enumerate() {
                    let least = completed(&paths[at * of_each..(at + 1) * of_each], l, 0, 0);
                    assert!(*reached <= least || least >= limit * (1.0 - 1e-9), "{context}: {least} is lost");
                }
                beginnings = next.iter().map(place).collect();
                front = search.settle(&front, next, l);
            }
        }
    }
    assert!(labels > 50_000 && tight > labels / 50, "{labels} labels, {tight} of them tight");
}
