//! How long placements take to prove.
#![allow(clippy::print_stdout, reason = "it is a report")]
use dftsp::placement::delay::Communication;
use dftsp::placement::generate::{Spec, problem};
use dftsp::placement::solve::{Outcome, solve};
use dftsp::search::Limits;
use std::time::{Duration, Instant};

fn main() {
    let args: Vec<usize> = std::env::args().skip(1).map(|a| a.parse().unwrap_or(0)).collect();
    let get = |k: usize, d: usize| args.get(k).copied().unwrap_or(d);
    let (layers, servers, seeds, limit) = (get(0, 24), get(1, 5), get(2, 50), get(3, 10));
    let communication = if get(4, 0) == 1 { Communication::Paper } else { Communication::Chain };
    let threads = get(5, 0) == 1;
    let mut times = Vec::new();
    for seed in 1..=seeds as u64 {
        let speed = 10f64.powi(get(6, 11) as i32);
        let p = problem(&Spec { speed, ..Spec::sized(seed, layers, servers) });
        let start = Instant::now();
        let outcome = solve(&p, communication, &Limits::time(Duration::from_secs(limit as u64)), threads);
        let ms = start.elapsed().as_secs_f64() * 1e3;
        times.push(ms);
        match outcome {
            Outcome::Placed(s) => {
                let used: Vec<String> = s
                    .usage
                    .memory_bytes
                    .iter()
                    .zip(&p.servers)
                    .map(|(u, s)| format!("{:.3}", u / s.memory_bytes))
                    .collect();
                println!(
                    "{seed}: {ms:.1} ms {:?} delay {:.6} gap {:.2e} root gap {:.2e} passes {} labels {} quality {:.3} mem {}",
                    s.status(),
                    s.usage.delay_s,
                    s.gap(),
                    1.0 - s.certificate.root_bound_s / s.usage.delay_s,
                    s.work.passes,
                    s.work.labels,
                    s.usage.quality[0] / p.models[0].budget,
                    used.join(" ")
                )
            }
            other => println!("{seed}: {ms:.1} ms {other:?}"),
        }
    }
    times.sort_by(f64::total_cmp);
    println!("median {:.1} ms, most {:.1} ms", times[times.len() / 2], times[times.len() - 1]);
}
