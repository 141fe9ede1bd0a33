//! Placements: the exact solver against an oracle and the integer program, and what must always hold.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here should stop the run")]

#[path = "common/placements.rs"]
mod placements;

use std::time::Duration;

use dftsp::placement::baseline::{self, Baseline};
use dftsp::placement::delay::{self, Communication};
use dftsp::placement::generate::{Spec, problem};
use dftsp::placement::infeasible::diagnose;
use dftsp::placement::solve::{Outcome, Solution, Status, solve};
use dftsp::placement::verify::verify;
use dftsp::placement::{Link, Problem};
use dftsp::search::Limits;
use placements::{oracle, random, returning};

fn exact(p: &Problem, communication: Communication) -> Option<Solution> {
    match solve(p, communication, &Limits::NONE, false) {
        Outcome::Placed(solution) => {
            assert_eq!(solution.status(), Status::Optimal);
            Some(*solution)
        }
        Outcome::Infeasible => None,
        Outcome::Unknown { .. } => panic!("without limits there is an answer"),
    }
}

fn delay(p: &Problem, communication: Communication) -> Option<f64> {
    exact(p, communication).map(|s| s.usage.delay_s)
}

fn same(a: Option<f64>, b: Option<f64>, tolerance: f64, what: &str) {
    match (a, b) {
        (None, None) => {}
        (Some(a), Some(b)) => assert!((a - b).abs() <= tolerance * b.abs(), "{what}: {a} and {b}"),
        (a, b) => panic!("{what}: {a:?} and {b:?}"),
    }
}

#[test]
fn the_solver_finds_what_trying_everything_finds() {
    let (mut infeasible, mut compared) = (0, 0);
    for seed in 0..400 {
        let p = random(seed, 4, 3);
        let options: f64 = p.layers().map(|(_, l)| (l.widths.len() * p.servers.len()) as f64).product();
        if options > 60_000.0 {
            continue;
        }
        for communication in Communication::ALL {
            let best = oracle(&p, communication);
            infeasible += usize::from(best.is_none());
            compared += 1;
            same(delay(&p, communication), best, 1e-9, &format!("seed {seed}, {}", communication.name()));
        }
    }
    assert!(compared > 500 && infeasible > 20, "{compared} compared, {infeasible} infeasible");
}

/// Where links are fast and layers differ much, the best placements come back to servers that they left.
#[test]
fn returns_to_servers_are_found() {
    let count = 150;
    let (mut returns, mut twice) = (0, 0);
    for seed in 0..count {
        let p = returning(seed);
        for communication in Communication::ALL {
            let context = format!("seed {seed}, {}", communication.name());
            let best = oracle(&p, communication);
            let Outcome::Placed(solution) = solve(&p, communication, &Limits::NONE, false) else {
                assert_eq!(best, None, "{context}");
                continue;
            };
            same(Some(solution.usage.delay_s), best, 1e-9, &context);
            verify(&p, communication, &solution).unwrap_or_else(|e| panic!("{context}: {e:?}"));
            let mut servers: Vec<usize> = solution.seats.iter().map(|seat| seat.server).collect();
            servers.dedup();
            let runs = servers.len();
            servers.sort_unstable();
            servers.dedup();
            returns += usize::from(runs > servers.len());
            twice += usize::from(runs > servers.len() + 1);
        }
    }
    assert!(returns > count as usize / 10 && twice > 0, "{returns} with returns, {twice} with two");
}

/// Problems that the integer program does not solve in time do not count.
#[cfg(feature = "ilp")]
#[test]
fn the_solver_finds_what_the_integer_program_finds() {
    use dftsp::placement::ilp::{Answer, solve as ilp};
    let (mut infeasible, mut compared, mut failed) = (0, 0, 0);
    for seed in 1000..1300 {
        for (communication, layers, servers) in [(Communication::Chain, 12, 5), (Communication::Paper, 6, 3)] {
            let p = random(seed, layers, servers);
            let best = match ilp(&p, communication, Some(Duration::from_secs(1))) {
                Answer::Optimal(Outcome::Placed(s)) => Some(s.usage.delay_s),
                Answer::Optimal(_) => None,
                Answer::Stopped(_) => continue,
                // Numerical trouble of its own, such as a singular basis.
                Answer::Failed(_) => {
                    failed += 1;
                    continue;
                }
            };
            infeasible += usize::from(best.is_none());
            compared += 1;
            same(delay(&p, communication), best, 1e-6, &format!("seed {seed}, {}", communication.name()));
        }
    }
    assert!(compared >= 500 && infeasible > 20, "{compared} compared, {infeasible} infeasible");
    assert!(failed * 100 <= compared, "{failed} of {compared}");
}

/// Two small models on the same servers.
fn two_models(seed: u64) -> Problem {
    let mut p = random(seed, 4, 3);
    let other = random(seed + 10_000, 3, 3);
    p.models[0].name = "a".to_string();
    p.models.push(other.models[0].clone());
    p.models[1].name = "b".to_string();
    p
}

#[test]
fn several_models_share_servers() {
    let (mut placed, mut named) = (0, 0);
    for seed in 0..200 {
        let p = two_models(seed);
        let options: f64 = p.layers().map(|(_, l)| (l.widths.len() * p.servers.len()) as f64).product();
        if options > 30_000.0 {
            continue;
        }
        for communication in Communication::ALL {
            let best = oracle(&p, communication);
            placed += usize::from(best.is_some());
            let found = exact(&p, communication);
            if let Some(s) = &found {
                verify(&p, communication, s).unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
                // What is wrong is said of its model.
                let mut strict = p.clone();
                strict.models[1].budget = 0.0;
                if s.usage.quality[1] > 0.0 {
                    let e = verify(&strict, communication, s).unwrap_err();
                    assert!(e.detail.starts_with("weight error of b "), "seed {seed}: {e:?}");
                    named += 1;
                }
            }
            let found = found.map(|s| s.usage.delay_s);
            same(found, best, 1e-9, &format!("seed {seed}, {}", communication.name()));
        }
    }
    assert!(placed > 20 && named > 20, "{placed} placed, {named} named");
}

#[test]
fn what_is_relaxed_is_never_slower() {
    let mut checked = 0;
    for seed in 2000..2100 {
        let p = random(seed, 8, 4);
        let Some(before) = delay(&p, Communication::Chain) else { continue };
        let mut changed = vec![p.clone(); 5];
        changed[0].servers.iter_mut().for_each(|s| s.memory_bytes *= 1.3);
        changed[1].models[0].budget *= 1.5;
        changed[2].servers.iter_mut().for_each(|s| (s.max_busy_s, s.max_sent_bytes) = (None, None));
        changed[3].links.iter_mut().for_each(|k| k.bandwidth_bytes_per_s *= 2.0);
        for from in 0..p.servers.len() {
            for to in (0..p.servers.len()).filter(|&to| to != from) {
                if p.link(from, to).is_none() {
                    changed[4].links.push(Link { from, to, bandwidth_bytes_per_s: 1e9, latency_s: 1e-3 });
                }
            }
        }
        for (at, changed) in changed.iter().enumerate() {
            let after = delay(changed, Communication::Chain).unwrap();
            assert!(after <= before * (1.0 + 2e-9), "seed {seed}, change {at}: {before} to {after}");
        }
        let paper = delay(&p, Communication::Paper).unwrap();
        assert!(paper <= before * (1.0 + 2e-9), "seed {seed}: {paper} is above {before}");
        checked += 1;
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn solutions_verify_and_mutations_do_not() {
    let mut checked = 0;
    for seed in 3000..3080 {
        let p = random(seed, 8, 4);
        for communication in Communication::ALL {
            let Some(s) = exact(&p, communication) else { continue };
            let ok = verify(&p, communication, &s).unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
            assert!(ok.priced_bound_s <= ok.delay_s * (1.0 + 1e-9) && ok.enumerated <= 1.0);
            checked += 1;
            let refused = |change: &dyn Fn(&mut Solution), check: &str| {
                let mut wrong = s.clone();
                change(&mut wrong);
                let e = verify(&p, communication, &wrong).unwrap_err();
                assert!(check.split(' ').any(|c| c == e.check), "seed {seed}: {e:?}, not {check}");
            };
            refused(&|s| s.usage.delay_s *= 1.0 + 1e-6, "delay");
            refused(&|s| s.usage.delay_s *= 1.0 - 1e-6, "delay");
            refused(&|s| s.usage.delay_s = f64::NAN, "delay");
            refused(&|s| s.bound_s = s.usage.delay_s * 1.01, "bound");
            refused(&|s| s.bound_s = f64::NAN, "bound");
            refused(&|s| s.seats.truncate(s.seats.len() - 1), "seats");
            refused(&|s| s.seats[0].bits = 7, "seats");
            refused(&|s| s.seats[0].server = 99, "seats");
            refused(&|s| s.certificate.quality[0] = -1.0, "prices");
            refused(&|s| s.certificate.memory[0] = f64::INFINITY, "prices");
            refused(&|s| s.certificate.memory.clear(), "prices");
            // Prices so large that no number comes of them, or none that means anything.
            for price in [1e30, 1.7e308] {
                let delay = s.usage.delay_s;
                refused(
                    &|s| {
                        s.certificate.quality[0] = price;
                        (s.certificate.root_bound_s, s.bound_s) = (delay, delay);
                    },
                    "prices",
                );
            }
            let bound = s.usage.delay_s * (1.0 + 1e-6);
            refused(&|s| (s.certificate.root_bound_s, s.bound_s) = (bound, s.usage.delay_s), "prices");
            // Another width anywhere is another delay, or breaks a limit; the optimum has no faster neighbour.
            for l in 0..s.seats.len() {
                let (_, layer) = p.layers().nth(l).unwrap();
                for w in &layer.widths {
                    let mut wrong = s.clone();
                    wrong.seats[l].bits = w.bits;
                    if let Ok(usage) = delay::feasible(&p, &wrong.seats, communication) {
                        assert!(usage.delay_s >= s.usage.delay_s * (1.0 - 1e-9), "seed {seed}, layer {l}");
                    } else {
                        assert!(verify(&p, communication, &wrong).is_err());
                    }
                }
            }
        }
    }
    assert!(checked > 60, "{checked}");
}

#[test]
fn baselines_are_feasible_and_never_faster() {
    let (mut some, mut none) = (0, 0);
    for seed in 4000..4060 {
        let p = random(seed, 8, 4);
        let best = delay(&p, Communication::Chain);
        for b in Baseline::ALL {
            match baseline::place(&p, b, Communication::Chain, &Limits::NONE) {
                Ok(placed) => {
                    let usage = delay::feasible(&p, &placed.seats, Communication::Chain).unwrap();
                    assert!(usage.delay_s >= best.unwrap() * (1.0 - 1e-9), "seed {seed}, {b}");
                    some += 1;
                }
                Err(why) => {
                    assert!(!why.is_empty() && !why.contains('\n'));
                    none += 1;
                }
            }
            assert_eq!(Baseline::from_name(&b.to_string()), Some(b));
        }
    }
    assert!(some > 50 && none > 50, "{some} placed, {none} not");
}

#[test]
fn threads_change_nothing() {
    let p = problem(&Spec { speed: 1e12, ..Spec::opt_350m(2) });
    let one = solve(&p, Communication::Chain, &Limits::NONE, false);
    for threads in [2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| solve(&p, Communication::Chain, &Limits::NONE, true)), one, "{threads} threads");
    }
}

/// With more than ten servers passes prove a bit more at a time.
#[test]
fn many_servers_may_come_in_any_order() {
    // What the search found before it raised the prices of contexts.
    for (seed, known) in [(1, 0.772_964), (4, 1.161_151), (6, 0.925_671)] {
        let p = problem(&Spec::sized(seed, 24, 12));
        let mut reversed = p.clone();
        reversed.servers.reverse();
        for link in &mut reversed.links {
            (link.from, link.to) = (11 - link.from, 11 - link.to);
        }
        let one = exact(&p, Communication::Chain).unwrap();
        verify(&p, Communication::Chain, &one).unwrap();
        let other = delay(&reversed, Communication::Chain);
        same(other, Some(one.usage.delay_s), 2e-9, &format!("seed {seed}, reversed"));
        same(other, Some(known), 1e-6, &format!("seed {seed}"));
        let Outcome::Placed(two) = solve(&p, Communication::Chain, &Limits::NONE, true) else { panic!("feasible") };
        assert_eq!(*two, one, "seed {seed} on all threads");
    }
}

#[test]
fn limits_stop_the_search_with_a_bound() {
    let p = problem(&Spec::sized(3, 40, 8));
    for ms in [0, 1, 50, 300] {
        match solve(&p, Communication::Chain, &Limits::time(Duration::from_millis(ms)), false) {
            Outcome::Placed(s) => {
                verify(&p, Communication::Chain, &s).unwrap();
                assert!(s.bound_s > 0.0 && s.bound_s <= s.usage.delay_s);
            }
            Outcome::Unknown { bound_s } => assert!(bound_s >= 0.0),
            Outcome::Infeasible => panic!("it is feasible"),
        }
    }
}

#[test]
fn a_stopped_search_has_a_placement() {
    for (layers, servers) in [(24, 5), (40, 8), (80, 32), (200, 100)] {
        for seed in 1..=2 {
            for communication in Communication::ALL {
                let p = problem(&Spec::sized(seed, layers, servers));
                let outcome = solve(&p, communication, &Limits::time(Duration::ZERO), false);
                let Outcome::Placed(s) = outcome else { panic!("{layers} layers, {servers} servers, seed {seed}") };
                verify(&p, communication, &s).unwrap();
                assert!(s.work.stopped);
            }
        }
    }
    // Several models, with limits on time and traffic.
    let mut found = 0;
    for seed in 1..=40 {
        let p = two_models(seed);
        match solve(&p, Communication::Chain, &Limits::time(Duration::ZERO), false) {
            Outcome::Placed(s) => {
                verify(&p, Communication::Chain, &s).unwrap();
                found += 1;
            }
            // It may yet be proven without a search that there is none.
            Outcome::Infeasible => assert_eq!(delay(&p, Communication::Chain), None),
            Outcome::Unknown { .. } => {}
        }
    }
    assert!(found > 10, "{found}");
}

#[test]
fn what_cannot_be_met_is_named() {
    let why = |p: &Problem| {
        assert_eq!(delay(p, Communication::Chain), None);
        diagnose(p, Communication::Chain, &Limits::time(Duration::from_secs(2))).to_string()
    };
    let fine = || problem(&Spec::sized(1, 8, 3));
    let mut p = fine();
    p.models[0].layers[3].parameters *= 1e3;
    let e = why(&p);
    assert!(e.starts_with("problem, layer.3.parameters: decoder.3 fits nowhere: at 2 bits it needs 3.1"), "{e}");
    assert!(e.contains("; short by 3.1"), "{e}");
    let mut p = fine();
    p.servers.iter_mut().for_each(|s| s.memory_bytes *= 0.2);
    let e = why(&p);
    assert!(e.starts_with("problem, server: all servers together have "), "{e}");
    let mut p = fine();
    p.models[0].budget = 1e-10;
    let e = why(&p);
    assert!(e.starts_with("problem, layer.0.weight_error: decoder.0 alone has a weight error of at least"), "{e}");
    let mut p = fine();
    p.models[0].layers.iter_mut().for_each(|l| l.widths.truncate(2));
    p.models[0].budget = 2.0;
    let e = why(&p);
    assert!(e.starts_with("problem, quality.budget: the weight errors are at least "), "{e}");
    let mut p = fine();
    p.models[0].budget *= 0.2;
    let e = why(&p);
    assert!(e.starts_with("problem, quality.budget: within the memory of the servers the weight errors are at"), "{e}");
    let mut p = fine();
    p.links.clear();
    let e = why(&p);
    assert!(e.contains("lifting one of these alone would be enough: "), "{e}");
    assert!(e.contains("the missing links"), "{e}");
    // A head that only the second server holds, and no link to it.
    let mut p = fine();
    p.servers[1].memory_bytes *= 20.0;
    p.models[0].layers[7].parameters *= 15.0;
    for (l, layer) in p.models[0].layers.iter_mut().enumerate().take(7) {
        layer.widths.retain(|w| w.bits == if l == 6 { 32 } else { 4 });
    }
    p.models[0].layers[6].parameters *= 0.5;
    p.links.retain(|k| k.to != 1);
    p.models[0].budget = 1e3;
    let fits_first = p.servers[0].memory_bytes;
    assert!(p.models[0].layers[7].memory_bytes(2, 192.0) > fits_first);
    if delay(&p, Communication::Chain).is_none() {
        assert!(why(&p).contains("link"), "{}", why(&p));
    }
}

/// What is said to be enough is, and a little less is not.
#[test]
fn how_much_more_would_do_is_told() {
    let number = |text: &str, before: &str, after: &str| -> Option<f64> {
        let (_, rest) = text.split_once(before)?;
        rest.split_once(after)?.0.parse().ok()
    };
    let (mut memory, mut budget, mut held) = (0, 0, 0);
    for seed in 0..400 {
        let mut p = random(seed, 5, 3);
        p.models[0].held_requests = if seed % 3 == 0 { 6 } else { 1 };
        if delay(&p, Communication::Chain).is_some() {
            continue;
        }
        let e = diagnose(&p, Communication::Chain, &Limits::NONE).to_string();
        let Some((what, would)) = e.split_once("; lifting one of these alone would be enough: ") else { continue };
        assert!(what.contains(": no assignment keeps all constraints at once: within the quality budget the"), "{e}");
        let feasible = |change: &dyn Fn(&mut Problem)| {
            let mut p = p.clone();
            change(&mut p);
            delay(&p, Communication::Chain).is_some()
        };
        if let Some(percent) = number(would, "the memory of the servers (", " % more would do)") {
            let grown = |percent: f64| {
                feasible(&|p| p.servers.iter_mut().for_each(|s| s.memory_bytes *= 1.0 + percent / 100.0))
            };
            assert!(grown(percent) && !grown(percent - 1.0), "seed {seed}: {e}");
            memory += 1;
        }
        if let Some(percent) = number(would, "the quality budget (", " % more would do)") {
            let grown = |percent: f64| feasible(&|p| p.models[0].budget *= 1.0 + percent / 100.0);
            assert!(grown(percent) && !grown(percent - 1.0), "seed {seed}: {e}");
            budget += 1;
        }
        if let Some(most) = number(would, "held_requests (", " would do)") {
            let with = |held: f64| feasible(&|p| p.models[0].held_requests = held as u32);
            assert!(with(most) && !with(most + 1.0) && e.starts_with("problem, request.held_requests: "), "{e}");
            held += 1;
        }
    }
    assert!(memory > 3 && budget > 3 && held > 0, "{memory} of memory, {budget} of budgets, {held} of requests held");
}

#[cfg(feature = "ilp")]
#[test]
fn where_nothing_is_computed_links_are_what_counts() {
    use dftsp::placement::ilp::{Answer, solve as ilp};
    let mut placed = 0;
    for seed in 6000..6060 {
        let mut p = random(seed, 4, 3);
        p.models[0].layers.iter_mut().for_each(|layer| layer.flops_per_token = 0.0);
        for communication in Communication::ALL {
            let best = match ilp(&p, communication, None) {
                Answer::Optimal(Outcome::Placed(s)) => Some(s.usage.delay_s),
                Answer::Optimal(_) => None,
                answer => panic!("seed {seed}: {answer:?}"),
            };
            placed += usize::from(best.is_some());
            same(delay(&p, communication), best, 1e-6, &format!("seed {seed}, {}", communication.name()));
        }
    }
    assert!(placed > 20, "{placed}");
}

#[test]
fn what_cannot_be_counted_in_whole_bits_is_refused() {
    let refuse = |change: &dyn Fn(&mut Problem), start: &str| {
        let mut p = problem(&Spec::sized(1, 3, 2));
        change(&mut p);
        let e = p.check().unwrap_err().to_string();
        assert!(e.starts_with(start), "{e}");
    };
    refuse(&|p| p.models[0].layers[1].parameters = 0.5, "problem, layer.1.parameters: 0.5 is not a whole number");
    let kv = "problem, layer.2.kv_bytes_per_token: 1.5 is not a whole number";
    refuse(&|p| p.models[0].layers[2].kv_bytes_per_token = 1.5, kv);
    let most = "problem, layer.0.parameters: at 32 bits and with its KV cache the layer needs 4e14 bytes";
    refuse(&|p| p.models[0].layers[0].parameters = 1e14, &most[..most.len() - 10]);
    // 180 layers of less than 10 TB.
    let mut p = problem(&Spec::sized(1, 180, 2));
    p.models[0].layers.iter_mut().for_each(|layer| {
        (layer.parameters, layer.kv_bytes_per_token) = (78_999_999_999_997.0, 0.0);
        layer.widths.truncate(1);
        layer.widths[0].bits = 1;
    });
    let e = p.check().unwrap_err().to_string();
    assert!(e.starts_with("problem, layer: at their widest and with their KV caches all layers need 1.77"), "{e}");
    // Memory far beyond what all layers need is no other memory.
    let mut p = problem(&Spec::sized(1, 6, 2));
    p.servers.iter_mut().for_each(|s| s.memory_bytes = 1e9);
    let before = delay(&p, Communication::Chain);
    p.servers.iter_mut().for_each(|s| s.memory_bytes = 1e21);
    assert_eq!(delay(&p, Communication::Chain), before);
}

#[test]
fn odd_problems_are_solved() {
    // One layer; nothing to compute; nothing to hold; a budget of 0; limits of 0.
    let mut p = problem(&Spec::sized(1, 1, 1));
    p.models[0].budget = 0.0;
    p.models[0].layers[0].widths.last_mut().unwrap().error = 0.0;
    p.servers[0].memory_bytes = 1e12;
    assert_eq!(exact(&p, Communication::Chain).unwrap().seats[0].bits, 32);
    let layer = &mut p.models[0].layers[0];
    (layer.flops_per_token, layer.parameters, layer.kv_bytes_per_token) = (0.0, 0.0, 0.0);
    p.servers[0].max_busy_s = Some(0.0);
    p.servers[0].max_sent_bytes = Some(0.0);
    let s = exact(&p, Communication::Paper).unwrap();
    assert_eq!((s.usage.delay_s, s.bound_s), (0.0, 0.0));
    p.models[0].layers[0].flops_per_token = 1.0;
    assert!(exact(&p, Communication::Chain).is_none());
}
