//! Costs of orders and of their changes, against trying everything.

use super::*;
use crate::placement::delay::Communication;
use crate::placement::generate::{Spec, problem};
use crate::placement::tables::MEMORY;
use crate::search::Limits;

/// Layers of different sizes; some problems have limits on computing and sending, and links that are missing, and some
/// links that differ from layer to layer.
fn random(seed: u64) -> Tables {
    let mut rows = RowRng::new(seed, 1 << 43);
    let d = rows.next_row();
    let (layers, servers) = (3 + d.below(0, 4) as usize, 2 + d.below(1, 3) as usize);
    let (memory, quality) = (d.uniform(2, (0.4, 1.5)), d.uniform(3, (0.1, 1.0)));
    let (capacities, missing) = (d.below(4, 3) == 0, if d.below(5, 3) == 0 { 0.3 } else { 0.0 });
    let widths = vec![3, 4, 8];
    let spec = Spec { layers, servers, widths, memory, quality, capacities, missing, ..Spec::opt_350m(seed) };
    let mut p = problem(&spec);
    for layer in &mut p.models[0].layers {
        let d = rows.next_row();
        layer.parameters = (layer.parameters * d.uniform(0, (0.2, 2.0))).round();
        if seed.is_multiple_of(2) {
            layer.activation_bytes *= d.uniform(1, (0.5, 2.0));
        }
    }
    Tables::new(&p, Communication::Chain)
}

/// Prices, parts and units of an order search.
fn with_fan(t: &Tables, test: impl FnOnce(&[Costs<'_>])) {
    let units = costs::units(t);
    let part = |server: usize, share: usize| Part { server, share, cells: t.cells[server] * share / ALL };
    let parts: Vec<Part> =
        PARTS.iter().flat_map(|&share| (0..t.servers).map(move |server| part(server, share))).collect();
    let price = 0.1 / t.budget[0].max(1.0);
    let at = |factor: &f64| Costs::new(t, (&[factor * price], &vec![0.0; t.servers]), &units, &parts, false);
    let fan: Vec<Costs<'_>> = PRICES.iter().map(at).collect();
    test(&fan);
}

fn some_order(fan: &[Costs<'_>], rows: &mut RowRng, most: usize) -> Vec<usize> {
    let mut order = Vec::new();
    for _ in 0..most {
        let d = rows.next_row();
        let i = d.below(0, fan[0].parts.len() as u64) as usize;
        let at = d.below(1, order.len() as u64 + 1) as usize;
        let twice = order.get(at) == Some(&i) || at.checked_sub(1).is_some_and(|before| order[before] == i);
        if moves::fits(fan, &order, at, at, i) && !twice {
            order.insert(at, i);
        }
    }
    order
}

/// The least cost at each price of all ways to have the layers from l on run by the order from some place on, of whose
/// first part so many cells are used: each part runs some layers.
fn least(fan: &[Costs<'_>], order: &[usize], l: usize, used: usize, price: f64) -> f64 {
    let t = fan[0].t;
    let Some((&part, rest)) = order.split_first() else { return f64::INFINITY };
    let Part { server, cells, .. } = fan[0].parts[part];
    let mut best = f64::INFINITY;
    for c in t.starts[l]..t.starts[l + 1] {
        let choice = &t.choices[c];
        let fits = crate::placement::prices::fits_alone(t, l, server, choice);
        let capacity = t.capacity[server * t.kinds + MEMORY];
        let units = (choice.memory / capacity * t.cells[server] as f64 - 1e-9).ceil() as usize;
        if !fits || used + units > cells {
            continue;
        }
        let own = t.seconds(choice, server) + price * choice.quality;
        if l + 1 == t.layers {
            best = if rest.is_empty() { best.min(own) } else { best };
            continue;
        }
        best = best.min(own + least(fan, order, l + 1, used + units, price));
        if let Some(&next) = rest.first() {
            let crossing = t.transfer(l, server, fan[0].parts[next].server);
            best = best.min(own + crossing + least(fan, rest, l + 1, 0, price));
        }
    }
    best
}

#[test]
fn an_order_costs_the_least_of_all_ways_along_it() {
    let mut covered = 0;
    for seed in 0..1500 {
        let t = random(seed);
        with_fan(&t, |fan| {
            let order = some_order(fan, &mut RowRng::new(seed, 0), 4);
            if order.is_empty() {
                return;
            }
            let line = Line::new(fan, order.clone());
            let mut value = f64::NEG_INFINITY;
            let mut tried = Vec::new();
            for (factor, costs) in PRICES.iter().zip(fan) {
                let price = factor * 0.1 / t.budget[0].max(1.0);
                let cost = least(fan, &order, 0, 0, price);
                value = value.max(cost - price * t.budget[0]);
                tried.push(cost);
                assert!((costs.budgets - price * t.budget[0]).abs() <= 1e-12 * costs.budgets);
            }
            if value.is_infinite() {
                // Some layers are left over, or a link is missing.
                assert!(line.path(fan).is_none_or(|path| t.cost(&path).is_none()), "seed {seed}");
                return;
            }
            assert!((line.value - value).abs() <= 1e-9 * value.abs(), "seed {seed}: {} is not {value}", line.value);
            let path = line.path(fan).unwrap();
            let priced = |path: &[(u32, u32)], price: f64| {
                let errors: f64 = path.iter().enumerate().map(|(l, x)| t.choices(l)[x.1 as usize].quality).sum();
                t.cost(path).unwrap() + price * errors
            };
            // It is one of the ways that cost least, at one of the prices.
            let is_least = |(cost, factor): (&f64, &f64)| {
                (priced(&path, factor * 0.1 / t.budget[0].max(1.0)) - cost).abs() <= 1e-9 * cost.abs()
            };
            assert!(tried.iter().zip(&PRICES).any(is_least), "seed {seed}: {path:?}");
            let servers: Vec<usize> = path.chunk_by(|a, b| a.0 == b.0).map(|run| run[0].0 as usize).collect();
            let mut wanted: Vec<usize> = order.iter().map(|&k| fan[0].parts[k].server).collect();
            wanted.dedup();
            assert_eq!(servers, wanted, "seed {seed}");
            covered += 1;
        });
    }
    assert!(covered > 80, "{covered}");
}

#[test]
fn changes_are_worth_what_they_were_valued_at() {
    let (mut made, mut shorter, mut divided) = (0, 0, 0);
    for seed in 0..200 {
        let t = random(seed);
        with_fan(&t, |fan| {
            let mut rows = RowRng::new(seed, 1 << 20);
            let mut line = Line::new(fan, some_order(fan, &mut rows, 5));
            for _ in 0..40 {
                let n = line.order.len();
                if n == 0 {
                    return;
                }
                let at = rows.next_row().below(0, n as u64) as usize;
                let mut room = Room::default();
                let mut change = Change::none(fan, &line, &mut room);
                change.near(at);
                change.far(at);
                change.divided(at, &PARTS[1..]);
                let valued = change.value;
                let Some((a, b, middle)) = change.found() else { continue };
                let before = line.value;
                line.replace(fan, a, b, &middle);
                let anew = Line::new(fan, line.order.clone());
                assert_eq!(line.value.to_bits(), anew.value.to_bits(), "seed {seed}: {:?}", line.order);
                // Ways that look hopeless are not looked at.
                assert!(line.value <= valued + 1e-9 * valued.abs() && valued < before, "seed {seed}");
                let used = |server: usize| {
                    let parts = line.order.iter().map(|&k| fan[0].parts[k]);
                    parts.filter(|part| part.server == server).map(|part| part.share).sum::<usize>()
                };
                assert!((0..t.servers).all(|server| used(server) <= ALL), "seed {seed}: {:?}", line.order);
                made += 1;
                shorter += usize::from(line.order.len() < n);
                divided += usize::from(middle.iter().any(|&k| fan[0].parts[k].share < ALL));
            }
        });
    }
    assert!(made > 200 && shorter > 10 && divided > 5, "{made} changes, {shorter} shorter, {divided} divided");
}

#[test]
fn what_is_found_keeps_all_limits_on_any_number_of_threads() {
    let mut found = 0;
    for seed in 0..60 {
        let t = random(seed);
        let prices = (vec![0.1 / t.budget[0].max(1.0)], vec![0.0; t.servers]);
        let run = |threads: bool| {
            let mut clock = Clock::start(&Limits::NONE);
            search(&t, (&prices.0, &prices.1), &[0], (seed, 40), &mut clock, threads)
        };
        let best = run(false);
        assert_eq!(best, run(true), "seed {seed}");
        if let Some((cost, path)) = best {
            assert!(t.keeps_limits(&path), "seed {seed}");
            assert_eq!(t.cost(&path), Some(cost), "seed {seed}");
            found += 1;
        }
    }
    assert!(found > 30, "{found}");
}
