//! `dftsp verify`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::input::{EpochArgs, at_precision};
use super::solve::time_limit;
use crate::files::read::read_text;
use crate::report::json;
use crate::verify;

/// The largest solution file, bytes.
const MAX_FILE: u64 = 1 << 31;

/// Options of `dftsp verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    epoch: EpochArgs,
    /// The solution to check: a file that `dftsp solve --format json` wrote, with the same scenario, requests and trace
    /// options as here.
    #[arg(long, value_name = "FILE")]
    solution: PathBuf,
    /// Check at this precision on offer, in place of the scenario's. A solution made at another one does not verify.
    #[arg(long, value_name = "NAME")]
    quantization: Option<String>,
    /// Give up re-checking the searched part of a proof after this time: the solution then counts as not verified.
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0, allow_negative_numbers = true)]
    time_limit: f64,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let limits = time_limit(args.time_limit)?;
    let input = args.epoch.load()?;
    // Before the solution is looked at: no solution of this scenario could verify.
    input.scenario.check_one_model().map_err(|e| input.locate(e))?;
    let scenario = match &args.quantization {
        Some(name) => at_precision(&input.scenario, name)?,
        None => input.scenario.clone(),
    };
    let text = read_text(&args.solution, MAX_FILE)?;
    let name = args.solution.display().to_string();
    let verdict = match json::parse_claim(&text, &name, &input.requests)? {
        Ok(claim) => {
            let proven = if claim.optimal { "optimal" } else { "feasible" };
            let what = format!("{} requests scheduled, {proven}, no batch is larger than {}", claim.size, claim.bound);
            let what = format!("{what} at {}", scenario.quantization.name);
            let verdict = verify::verify(&scenario, &input.requests, &claim, limits.time);
            verdict.map_err(|e| input.locate(e))?.map(|()| what)
        }
        Err(failure) => Err(failure),
    };
    match verdict {
        Ok(what) => {
            super::print(&format!("verified: {what}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            super::print(&format!("not verified: {}\n", super::one_line(&failure.to_string())))?;
            Ok(ExitCode::FAILURE)
        }
    }
}
