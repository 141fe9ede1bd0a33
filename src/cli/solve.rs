//! `dftsp solve`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;
use clap::builder::PossibleValuesParser;

use super::Format;
use super::input::{EpochArgs, EpochInput};
use crate::device::Choice;
use crate::error::{Error, Place};
use crate::instance::Problem;
use crate::limits::Range;
use crate::outcome::{Outcome, Provenance};
use crate::precision;
use crate::report::{json, precision as table, text};
use crate::search::Limits;
use crate::solver::{Method, Solver};

const TIME_LIMIT: Range = Range { min: 0.0, max: 1e9, min_allowed: true, unit: "seconds" };

/// Where to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Backend {
    /// Where it is done first: on a CUDA device if there is one and the work is large enough, else on the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device, or an error.
    Cuda,
}

impl Backend {
    /// The solver, on this backend.
    pub(super) fn apply(self, solver: Solver) -> Result<Solver> {
        Ok(solver.on(self.into()).map_err(as_option)?)
    }
}

/// The option at fault, if a device was asked for that is not there.
pub(super) fn as_option(error: Error) -> Error {
    match error {
        Error::Device(fault) => {
            Place::file("--backend cuda").error(fault.to_string(), "give auto or cpu to search without it")
        }
        error => error,
    }
}

impl From<Backend> for Choice {
    fn from(backend: Backend) -> Choice {
        match backend {
            Backend::Auto => Choice::Auto,
            Backend::Cpu => Choice::Cpu,
            Backend::Cuda => Choice::Cuda,
        }
    }
}

/// Options of `dftsp solve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    epoch: EpochArgs,
    /// flat: exact, any instance. dftsp: Algorithm 1 of the paper (dftsp-unpruned: without its pruning;
    /// dftsp-from-bound: its batch, but quickly). brute-force: every batch. static, none: the paper's StB and NoB.
    /// fcfs, edf, shortest: greedy in that order.
    #[arg(long, default_value = "flat", value_parser = PossibleValuesParser::new(Method::ALL.map(Method::name)))]
    solver: String,
    /// Batch size of --solver static; without it, what fits in the worst case.
    #[arg(long, value_name = "REQUESTS")]
    batch_size: Option<usize>,
    /// Precisions to choose among, in place of the scenario's: auto, or a list such as w8a16,w4a16-gptq,fp16. Each is
    /// solved, and the largest batch of all returned; of equally large ones the one with the smallest ΔPPL.
    #[arg(long, value_name = "NAME,..")]
    quantization: Option<String>,
    /// Where to search.
    #[arg(long, value_enum, default_value = "auto")]
    backend: Backend,
    /// Threads at most; without it, one for each core. The result never depends on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Stop an exact search after this time, with the best batch found and a bound. For each precision.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, allow_negative_numbers = true)]
    time_limit: f64,
    /// Report for people, or the JSON contract.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write the result to a file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let limits = time_limit(args.time_limit)?;
    let method = args.method()?;
    let solver = Solver::new(method).limits(limits).threads(args.threads.map_or(0, |n| n as usize))?;
    let solver = args.backend.apply(solver)?;
    let input = args.epoch.load()?;
    if let Some(list) = &args.quantization {
        return choose(args, &input, list, &solver);
    }
    let problem = Problem::new(&input.scenario, &input.requests).map_err(|e| input.locate(e))?;
    let start = Instant::now();
    let solution = solver.solve(&problem.instance);
    let seconds = start.elapsed().as_secs_f64();
    let made = Provenance { solver: method.to_string(), seconds };
    let outcome = Outcome::new(&input.scenario, &input.requests, &problem, solution, made)?;
    must_have_run_there(args.backend, &outcome)?;
    let result = match args.format {
        Format::Text => text::to_text(&outcome, &input.requests, &input.about),
        Format::Json => json::to_json(&outcome, &input.requests),
    };
    super::finish(args.output.as_deref(), &result)
}

/// The best of several precisions.
fn choose(args: &Args, input: &EpochInput, list: &str, solver: &Solver) -> Result<ExitCode> {
    let quantizations = precision::parse(&input.scenario, list, || Place::file("--quantization"))?;
    let choice = precision::choose(&input.scenario, &input.requests, &quantizations, solver);
    let choice = choice.map_err(|e| input.locate(e))?;
    must_have_run_there(args.backend, &choice.outcome)?;
    let result = match args.format {
        Format::Text => {
            let about = args.epoch.about(&input.requests_from, &choice.scenario);
            table::to_text(&choice) + &text::to_text(&choice.outcome, &input.requests, &about)
        }
        Format::Json => json::choice_to_json(&choice, &input.requests),
    };
    super::finish(args.output.as_deref(), &result)
}

/// The library goes on without a device that fails in the middle; who asked for the device by name is told instead.
fn must_have_run_there(backend: Backend, outcome: &Outcome) -> Result<()> {
    match (&outcome.ran.fault, backend) {
        (Some(fault), Backend::Cuda) => bail!("--backend cuda: {fault}; nothing was written: give auto or cpu"),
        _ => Ok(()),
    }
}

/// The limit of an option in seconds.
pub(super) fn time_limit(seconds: f64) -> Result<Limits> {
    TIME_LIMIT.check(seconds, || Place::file("--time-limit"))?;
    Ok(Limits::time(Duration::from_secs_f64(seconds)))
}

impl Args {
    fn method(&self) -> Result<Method> {
        // The parser has checked the name.
        let named = Method::from_name(&self.solver).unwrap_or(Method::Flat);
        match (named, self.batch_size) {
            (Method::Static { .. }, Some(0)) => {
                Err(Place::file("--batch-size").error("0 is not allowed", "give 1 or more").into())
            }
            (Method::Static { .. }, batch_size) => Ok(Method::Static { batch_size }),
            (solver, None) => Ok(solver),
            (solver, Some(_)) => {
                let problem = format!("the solver {solver} has no batch size");
                Err(Place::file("--batch-size").error(problem, "leave it out, or give --solver static").into())
            }
        }
    }
}
