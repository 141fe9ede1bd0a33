//! How often the exact solver ends within a second, over the families of the generator.
//!
//! ```text
//! cargo run --release --example hardness
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use dftsp::certificate::Status;
use dftsp::error::Place;
use dftsp::generate::{Family, Generator, Lengths, Spec};
use dftsp::instance::Problem;
use dftsp::scenario::Padding;
use dftsp::search::Limits;
use dftsp::solver::{Method, Solver};
use dftsp::verify::proof;
use dftsp::workload::synthesis::ChannelModel;

const LIMIT: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    writeln!(out, "| padding | channel | lengths | requests | proven | median | slowest | widest gap | checked |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    let lengths = [
        (Lengths::paper(), "3 levels"),
        (Lengths::evenly(8, Place::default)?, "8 levels"),
        (Lengths::Continuous, "continuous"),
    ];
    for padding in [Padding::Fixed(512), Padding::None, Padding::Longest] {
        for channel in [ChannelModel::Shared, ChannelModel::Rayleigh] {
            for (lengths, name) in &lengths {
                // The family that others are compared in gets more seeds: its slowest matters.
                let usual = padding == Padding::Fixed(512) && channel == ChannelModel::Rayleigh && *name == "3 levels";
                for (requests, seeds) in [(500, if usual { 1_000 } else { 60 }), (5_000, 10)] {
                    let base = Spec { requests, channel, padding, ..Spec::new(Family::Binding) };
                    let row = row(&Spec { lengths: lengths.clone(), ..base }, seeds)?;
                    writeln!(out, "| {padding:?} | {channel:?} | {name} | {requests} | {row} |")?;
                }
            }
        }
    }
    Ok(())
}

fn row(spec: &Spec, seeds: u64) -> Result<String, Box<dyn Error>> {
    let (mut proven, mut checked, mut gap) = (0, 0, 0);
    let mut times = Vec::new();
    for seed in 1..=seeds {
        let generator = Generator::new(Spec { seed, ..spec.clone() })?;
        let problem = Problem::new(generator.scenario(), &generator.requests()?)?;
        let start = Instant::now();
        let solution = Solver::new(Method::Flat).limits(Limits::time(LIMIT)).solve(&problem.instance);
        times.push(start.elapsed().as_secs_f64() * 1e3);
        proven += u64::from(solution.status() == Status::Optimal);
        gap = gap.max(solution.certificate.bound - solution.rows.len() as u64);
        let verdict = proof::check(&problem.instance, &solution.certificate, Some(20 * LIMIT), |_, _| Ok(()));
        checked += u64::from(verdict.is_ok());
    }
    times.sort_by(f64::total_cmp);
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    Ok(format!("{proven} of {seeds} | {median:.2} ms | {slowest:.2} ms | {gap} | {checked} of {seeds}"))
}
