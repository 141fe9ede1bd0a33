//! How long placements take to prove, seed by seed, with status, delay and gaps:
//! `cargo run --release --example placement_speed -- [LAYERS [SERVERS [SEEDS [SECONDS [PAPER [THREADS [SPEED]]]]]]]`.
//!
//! | argument | without it | |
//! |---|---|---|
//! | LAYERS, SERVERS | 24, 5 | of each problem, with six widths |
//! | SEEDS | 50 | problems of seeds 1 to this |
//! | SECONDS | 10 | time limit of each |
//! | PAPER | 0 | 1 charges every pair of servers once |
//! | THREADS | 0 | 1 uses all cores |
//! | SPEED | 11 | servers have about 10^SPEED FLOP/s |

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a report")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use dftsp::placement::delay::Communication;
use dftsp::placement::generate::{Spec, problem};
use dftsp::placement::solve::{Outcome, Status, solve};
use dftsp::search::Limits;

fn main() -> ExitCode {
    let mut values = [24, 5, 50, 10, 0, 0, 11];
    let mut given = std::env::args().skip(1);
    for value in &mut values {
        let Some(text) = given.next() else { break };
        let Ok(number) = text.parse::<u32>() else {
            eprintln!("{text:?} is no whole number; give LAYERS SERVERS SEEDS SECONDS PAPER THREADS SPEED");
            return ExitCode::from(2);
        };
        *value = number;
    }
    let [layers, servers, seeds, seconds, paper, threads, speed] = values;
    if layers == 0 || servers == 0 {
        eprintln!("give at least one layer and one server");
        return ExitCode::from(2);
    }
    let communication = if paper == 1 { Communication::Paper } else { Communication::Chain };
    let limits = Limits::time(Duration::from_secs(seconds.into()));
    let mut times = Vec::new();
    let mut proven = 0;
    println!("seed        ms  status        delay s       gap  root gap  passes     labels  quality  memory used");
    for seed in 1..=u64::from(seeds) {
        let spec = Spec::sized(seed, layers as usize, servers as usize);
        let p = problem(&Spec { speed: 10f64.powi(speed as i32), ..spec });
        let start = Instant::now();
        let outcome = solve(&p, communication, &limits, threads == 1);
        let ms = start.elapsed().as_secs_f64() * 1e3;
        times.push(ms);
        let s = match outcome {
            Outcome::Placed(solution) => solution,
            Outcome::Infeasible => {
                println!("{seed:>4}  {ms:>8.1}  infeasible");
                continue;
            }
            Outcome::Unknown { bound_s } => {
                println!("{seed:>4}  {ms:>8.1}  unknown, at least {bound_s:.6} s");
                continue;
            }
        };
        proven += usize::from(s.status() == Status::Optimal);
        let delay = s.usage.delay_s;
        let used = s.usage.memory_bytes.iter().zip(&p.servers).map(|(u, s)| format!("{:.3}", u / s.memory_bytes));
        println!(
            "{seed:>4}  {ms:>8.1}  {:<8}  {delay:>11.6}  {:>8.2e}  {:>8.2e}  {:>6}  {:>9}  {:>7.3}  {}",
            format!("{:?}", s.status()).to_lowercase(),
            s.gap(),
            1.0 - s.certificate.root_bound_s / delay,
            s.work.passes,
            s.work.labels,
            s.usage.quality[0] / p.models[0].budget,
            used.collect::<Vec<_>>().join(" ")
        );
    }
    times.sort_by(f64::total_cmp);
    if let (Some(median), Some(most)) = (times.get(times.len() / 2), times.last()) {
        println!("{proven} of {seeds} proven; median {median:.1} ms, most {most:.1} ms");
    }
    ExitCode::SUCCESS
}
