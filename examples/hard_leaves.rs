//! The hardest subproblems known: a seeded search for them, and how the solver fares on those that were kept.
//!
//! ```text
//! cargo run --release --example hard_leaves              # a table of tests/data/hard_leaves.csv
//! cargo run --release --example hard_leaves -- search 2  # two seconds for each kind and size, a new list
//! ```
//!
//! Hard is what takes the most nodes. The list keeps the worst two of each kind, up to 1,000 requests and beyond.

use std::error::Error;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use dftsp::certificate::{Solution, Status};
use dftsp::error::Place;
use dftsp::generate::{Family, Generator, Lengths, Spec};
use dftsp::instance::Problem;
use dftsp::scenario::Padding;
use dftsp::search::Limits;
use dftsp::solver::{Method, Solver};
use dftsp::verify::proof;
use dftsp::workload::synthesis::ChannelModel;

const LIST: &str = include_str!("../tests/data/hard_leaves.csv");
const HEADER: &str = "padding,channel,lengths,requests,seed";
const SIZES: [[u64; 4]; 2] = [[200, 350, 600, 1_000], [1_500, 2_000, 3_000, 5_000]];
const KEPT: usize = 2;
/// The checker takes requests one by one, and may take longer than the search.
const CHECK_LIMIT: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => table(),
        ["search", seconds] => search(Duration::try_from_secs_f64(seconds.parse()?)?),
        _ => Err("give nothing, or: search SECONDS".into()),
    }
}

/// Solves every instance of the list and prints what it took.
fn table() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "| padding | channel | lengths | requests | seed | batch | subproblems | nodes | work items | paths checked | \
         paths open | time | proof |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|")?;
    for line in LIST.lines().skip(1) {
        let generator = Generator::new(spec(line)?)?;
        let problem = Problem::new(generator.scenario(), &generator.requests()?)?;
        let start = Instant::now();
        let s = Solver::new(Method::Flat).solve(&problem.instance);
        let time = start.elapsed().as_secs_f64() * 1e3;
        let checked = proof::check(&problem.instance, &s.certificate, Some(CHECK_LIMIT), |_, _| Ok(()));
        let proof = match (s.status(), checked) {
            (Status::Optimal, Ok(())) => "stands".to_string(),
            (status, checked) => format!("{status:?}, {checked:?}"),
        };
        let cells = line.replace(',', " | ");
        let Solution { rows, work: w, .. } = s;
        let counts = [rows.len() as u64, w.subproblems, w.nodes, w.work_items, w.paths_checked, w.paths_open];
        let counts = counts.map(|count| count.to_string()).join(" | ");
        writeln!(out, "| {cells} | {counts} | {time:.2} ms | {proof} |")?;
    }
    Ok(())
}

/// Prints the worst seeds of each kind, found in `time` for each size.
fn search(time: Duration) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    writeln!(out, "{HEADER}")?;
    for padding in ["512", "none"] {
        for channel in ["shared", "fading"] {
            for lengths in ["3", "8", "16", "continuous"] {
                for sizes in SIZES {
                    let mut worst: Vec<(u64, String)> = Vec::new();
                    for requests in sizes {
                        let start = Instant::now();
                        for seed in (1..).take_while(|_| start.elapsed() < time) {
                            let line = format!("{padding},{channel},{lengths},{requests},{seed}");
                            worst.push((nodes(&line)?, line));
                            worst.sort_by(|a, b| b.cmp(a));
                            worst.truncate(KEPT);
                        }
                    }
                    for (_, line) in worst.iter().filter(|(nodes, _)| *nodes > 0) {
                        writeln!(out, "{line}")?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// How many nodes the instance of a line takes, within a time limit.
fn nodes(line: &str) -> Result<u64, Box<dyn Error>> {
    let generator = Generator::new(spec(line)?)?;
    let problem = Problem::new(generator.scenario(), &generator.requests()?)?;
    let limits = Limits::time(Duration::from_secs(10));
    Ok(Solver::new(Method::Flat).limits(limits).solve(&problem.instance).work.nodes)
}

/// The instance of a line of the list.
fn spec(line: &str) -> Result<Spec, Box<dyn Error>> {
    let [padding, channel, lengths, requests, seed] = line.split(',').collect::<Vec<_>>()[..] else {
        return Err(format!("{line:?}: give {HEADER}").into());
    };
    Ok(Spec {
        padding: if padding == "none" { Padding::None } else { Padding::Fixed(padding.parse()?) },
        channel: if channel == "shared" { ChannelModel::Shared } else { ChannelModel::Rayleigh },
        lengths: match lengths {
            "continuous" => Lengths::Continuous,
            "3" => Lengths::paper(),
            levels => Lengths::evenly(levels.parse()?, Place::default)?,
        },
        requests: requests.parse()?,
        seed: seed.parse()?,
        ..Spec::new(Family::Binding)
    })
}
