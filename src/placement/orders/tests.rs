//! Costs of orders and of their changes, against trying everything.

use super::*;
use crate::placement::delay::Communication;
use crate::placement::generate::{Spec, problem};
use crate::placement::tables::{BUSY, MEMORY};
use crate::search::Limits;

/// Layers of different sizes; some problems have two models, limits on computing and sending, links that are missing,
/// or crossings that differ from layer to layer.
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
    if seed.is_multiple_of(5) {
        let mut second = p.models[0].clone();
        second.layers = p.models[0].layers.split_off(1 + d.below(6, layers as u64 - 1) as usize);
        second.name = "second".into();
        p.models.push(second);
        p.models.iter_mut().for_each(|model| model.budget *= 0.6);
    }
    Tables::new(&p, Communication::Chain)
}

/// Prices of weight errors, nothing in some problems, and of computing, where that is limited.
fn prices(t: &Tables, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let of = |worth: f64, limit: f64| if limit > 0.0 && limit.is_finite() { worth / limit } else { 0.0 };
    let errors = if seed.is_multiple_of(7) { 0.0 } else { 0.1 };
    let time = |i: usize| if t.kinds > BUSY { of(0.02, t.capacity[i * t.kinds + BUSY]) } else { 0.0 };
    (t.budget.iter().map(|budget| of(errors, *budget)).collect(), (0..t.servers).map(time).collect())
}

/// The costs of an order search at some prices.
fn with_fan(t: &Tables, (quality, busy): &(Vec<f64>, Vec<f64>), test: impl FnOnce(&[Costs<'_>])) {
    let units = costs::units(t);
    let part = |server: usize, share: usize| Part { server, share, cells: t.cells[server] * share / ALL };
    let parts: Vec<Part> =
        PARTS.iter().flat_map(|&share| (0..t.servers).map(move |server| part(server, share))).collect();
    let at = |factor: &f64| {
        let quality: Vec<f64> = quality.iter().map(|price| factor * price).collect();
        Costs::new(t, (&quality, busy), &units, &parts, false)
    };
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
        if moves::fits(fan, &order, i) && !twice {
            order.insert(at, i);
        }
    }
    order
}

/// The least cost at each price of all ways to have the layers from l on run by the order from some place on, of whose
/// first part so many cells are used: each part runs some layers.
fn least(fan: &[Costs<'_>], order: &[usize], l: usize, used: usize, (quality, busy): (&[f64], &[f64])) -> f64 {
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
        let seconds = t.seconds(choice, server);
        let own = seconds + busy[server] * t.busy(seconds, server) + quality[t.model[l]] * choice.quality;
        if l + 1 == t.layers {
            best = if rest.is_empty() { best.min(own) } else { best };
            continue;
        }
        best = best.min(own + least(fan, order, l + 1, used + units, (quality, busy)));
        if let Some(&next) = rest.first() {
            let crossing = t.transfer(l, server, fan[0].parts[next].server);
            best = best.min(own + crossing + least(fan, rest, l + 1, 0, (quality, busy)));
        }
    }
    best
}

#[test]
fn an_order_costs_the_least_of_all_ways_along_it() {
    let mut covered = 0;
    for seed in 0..1500 {
        let t = random(seed);
        let prices = prices(&t, seed);
        with_fan(&t, &prices, |fan| {
            let order = some_order(fan, &mut RowRng::new(seed, 0), 4);
            if order.is_empty() {
                return;
            }
            let line = Line::new(fan, order.clone());
            let path = line.paths(fan).next().filter(|path| t.cost(path).is_some());
            let mut value = f64::NEG_INFINITY;
            let mut is_least = false;
            for factor in PRICES {
                let quality: Vec<f64> = prices.0.iter().map(|price| factor * price).collect();
                let cost = least(fan, &order, 0, 0, (&quality, &prices.1));
                let worth = |price: &f64, limit: f64| if *price > 0.0 { price * limit } else { 0.0 };
                let errors: f64 = quality.iter().zip(&t.budget).map(|(price, limit)| worth(price, *limit)).sum();
                let times: f64 = prices
                    .1
                    .iter()
                    .enumerate()
                    .map(|(i, p)| worth(p, t.capacity[i * t.kinds + t.kinds.min(2) - 1]))
                    .sum();
                value = value.max(cost - errors - times);
                let priced = path.as_ref().map(|path| {
                    let one = |(l, &(i, w)): (usize, &(u32, u32))| {
                        let (i, choice) = (i as usize, &t.choices(l)[w as usize]);
                        prices.1[i] * t.busy(t.seconds(choice, i), i) + quality[t.model[l]] * choice.quality
                    };
                    t.cost(path).unwrap() + path.iter().enumerate().map(one).sum::<f64>()
                });
                is_least |= priced.is_some_and(|priced| (priced - cost).abs() <= 1e-9 * cost);
                // No delay along the order is less than its value.
                if let Some(path) = path.as_ref().filter(|path| t.keeps_limits(path)) {
                    assert!(cost - errors - times <= t.cost(path).unwrap() * (1.0 + 1e-9), "seed {seed}");
                }
            }
            let Some(path) = path else {
                // Some layers are left over, or a link is missing.
                assert!(value.is_infinite(), "seed {seed}: {order:?} has a way");
                return;
            };
            assert!(
                (line.value - value).abs() <= 1e-9 * (1.0 + value.abs()),
                "seed {seed}: {} is not {value}",
                line.value
            );
            assert!(is_least, "seed {seed}: {path:?}");
            let servers: Vec<usize> = path.chunk_by(|a, b| a.0 == b.0).map(|run| run[0].0 as usize).collect();
            let mut wanted: Vec<usize> = order.iter().map(|&k| fan[0].parts[k].server).collect();
            wanted.dedup();
            assert_eq!(servers, wanted, "seed {seed}");
            covered += 1;
        });
    }
    assert!(covered > 200, "{covered}");
}

#[test]
fn changes_are_worth_what_they_were_valued_at() {
    let (mut made, mut shorter, mut divided, mut exact) = (0, 0, 0, 0);
    for seed in 0..200 {
        let t = random(seed);
        with_fan(&t, &prices(&t, seed), |fan| {
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
                change.whole(at);
                let valued = change.value;
                let Some((a, b, middle)) = change.found() else { continue };
                let before = line.value;
                line.replace(fan, a, b, &middle);
                let anew = Line::new(fan, line.order.clone());
                assert_eq!(line.value.to_bits(), anew.value.to_bits(), "seed {seed}: {:?}", line.order);
                // Ways that look hopeless are not looked at, but those that are taken hardly ever do.
                assert!(line.value <= valued + line.rounding() && valued < before, "seed {seed}");
                exact += usize::from((line.value - valued).abs() <= line.rounding());
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
    assert!(exact * 10 > made * 9, "{exact} of {made}");
}

#[test]
fn what_is_found_keeps_all_limits_on_any_number_of_threads() {
    let mut found = 0;
    for seed in 0..60 {
        let t = random(seed);
        let (quality, busy) = prices(&t, seed);
        let run = |threads: bool| {
            let mut clock = Clock::start(&Limits::NONE);
            search(&t, (&quality, &busy), &[0], (seed, 40), &mut clock, threads)
        };
        let (best, shaken) = run(false);
        assert_eq!((best.clone(), shaken), run(true), "seed {seed}");
        assert!(shaken >= 40 && shaken <= 40 * RAISED.len() as u64, "seed {seed}: {shaken}");
        if let Some((cost, path)) = best {
            assert!(t.keeps_limits(&path), "seed {seed}");
            assert_eq!(t.cost(&path), Some(cost), "seed {seed}");
            found += 1;
        }
    }
    assert!(found > 30, "{found}");
}

/// Where nearly nothing is needed of memories, runs are as long as the chain: there would be 10^8 numbers.
#[test]
fn what_would_take_too_much_memory_is_not_begun() {
    let mut p = problem(&Spec { widths: vec![2], ..Spec::sized(1, 500, 100) });
    for layer in &mut p.models[0].layers[1..] {
        (layer.parameters, layer.kv_bytes_per_token) = (1.0, 0.0);
    }
    let t = Tables::new(&p, Communication::Chain);
    let mut clock = Clock::start(&Limits::NONE);
    let nothing = vec![0.0; t.servers];
    assert_eq!(search(&t, (&[1e-15], &nothing), &[0], (1, 4), &mut clock, false), (None, 0));
}
