//! `dftsp explain`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use super::Format;
use super::input::{EpochArgs, at_precision};
use super::solve::time_limit;
use crate::error::{Error, Place, quote};
use crate::explain::{Resource, Steps, explain};
use crate::report::explain::{to_json, to_text};
use crate::solver::{Method, Solver};

/// Options of `dftsp explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    epoch: EpochArgs,
    /// How much more of each resource to ask about; what is not given is 1. The names are uplink_mhz, downlink_mhz,
    /// memory_gb and compute_tflops.
    #[arg(long, value_name = "NAME=AMOUNT,..")]
    step: Option<String>,
    /// Explain at this precision on offer, in place of the scenario's.
    #[arg(long, value_name = "NAME")]
    quantization: Option<String>,
    /// Threads at most; without it, one for each core. The result never depends on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Stop each search after this time; gains are then ranges. The epoch is solved some dozens of times.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, allow_negative_numbers = true)]
    time_limit: f64,
    /// Report for people, or JSON.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write the result to a file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let limits = time_limit(args.time_limit)?;
    let solver = Solver::new(Method::Flat).limits(limits).threads(args.threads.map_or(0, |n| n as usize))?;
    let steps = args.step.as_deref().map_or_else(|| Ok(Steps::default()), parse_steps)?;
    let mut input = args.epoch.load()?;
    if let Some(name) = &args.quantization {
        input.scenario = at_precision(&input.scenario, name)?;
        input.about = args.epoch.about(&input.requests_from, &input.scenario);
    }
    let start = Instant::now();
    let explanation = explain(&input.scenario, &input.requests, &steps, &solver);
    let explanation = explanation.map_err(|e| name_step(input.locate(e)))?;
    let seconds = start.elapsed().as_secs_f64();
    let result = match args.format {
        Format::Text => to_text(&explanation, &input.requests, &input.about),
        Format::Json => to_json(&explanation, &input.requests, seconds),
    };
    super::finish(args.output.as_deref(), &result)
}

/// The name of a step on the command line.
fn key(resource: Resource) -> &'static str {
    match resource {
        Resource::Uplink => "uplink_mhz",
        Resource::Downlink => "downlink_mhz",
        Resource::Memory => "memory_gb",
        Resource::Compute => "compute_tflops",
    }
}

/// An error about a step, in the words of the command line.
fn name_step(error: Error) -> Error {
    match error {
        Error::Input { place, problem, remedy } if place.source == "step" => {
            let resource = Resource::ALL.into_iter().find(|r| place.field.as_deref() == Some(r.name()));
            let place = Place::file("--step").field(resource.map_or("", key));
            Error::Input { place, problem, remedy }
        }
        error => error,
    }
}

/// Steps from "uplink_mhz=1,memory_gb=0.5".
fn parse_steps(text: &str) -> crate::error::Result<Steps> {
    let place = || Place::file("--step");
    let remedy = || format!("give NAME=AMOUNT,.. with names of {}", Resource::ALL.map(key).join(", "));
    let mut given = [None; Resource::ALL.len()];
    for part in text.split(',').map(str::trim) {
        let quoted = quote(part.as_bytes());
        let Some((name, amount)) = part.split_once('=') else {
            return Err(place().error(format!("{quoted} is no NAME=AMOUNT"), remedy()));
        };
        let name = name.trim();
        let Some(at) = Resource::ALL.into_iter().position(|resource| key(resource) == name) else {
            return Err(place().error(format!("unknown name in {quoted}"), remedy()));
        };
        let place = || place().field(name);
        if given[at].is_some() {
            return Err(place().error("it is given twice", remedy()));
        }
        let Ok(amount) = amount.trim().parse::<f64>() else {
            return Err(place().error(format!("{} is not a number", quote(amount.trim().as_bytes())), remedy()));
        };
        given[at] = Some(amount * Resource::ALL[at].unit().1);
    }
    let defaults = Steps::default().0;
    Ok(Steps(std::array::from_fn(|at| given[at].unwrap_or(defaults[at]))))
}
