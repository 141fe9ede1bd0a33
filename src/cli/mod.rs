//! The command line: `dftsp solve`, `verify`, `explain`, `generate`, `export`, `simulate`, `sweep`, `reproduce`,
//! `compare`, `weights`, `place`, `devices`.
//!
//! Results go to standard output in one piece, messages to standard error. Exit status 0: done; 2: wrong usage or
//! input, or an output that cannot be written; 1: anything else, such as a solution that does not verify.

mod compare;
mod devices;
mod explain;
mod export;
mod folder;
mod generate;
mod input;
mod outputs;
mod place;
mod progress;
mod reproduce;
mod simulate;
mod solve;
mod sweep;
mod verify;
mod weights;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand, ValueEnum};

use crate::error::Error;
use crate::files::write::write_file;

/// The largest feasible batch of LLM requests at a wireless edge node, proven optimal.
#[derive(Debug, Parser)]
#[command(name = "dftsp", version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Choose a batch: from a scenario and requests, or the embedded default epoch.
    Solve(solve::Args),
    /// Check a solution from the physical formulas, and its proof.
    Verify(verify::Args),
    /// Say what more of each resource, or one request less, would add to the batch.
    Explain(explain::Args),
    /// Write a set of requests, and a scenario to match.
    Generate(generate::Args),
    /// Write the epoch's integer problem as a model file, for any other solver.
    Export(export::Args),
    /// Run an edge node over time, epoch after epoch, with one or several schedulers on the same arrivals.
    Simulate(simulate::Args),
    /// Simulate over the values of scenario keys and over seeds, with confidence intervals; resumable.
    Sweep(sweep::Args),
    /// Place the layers of a model on several edge servers, and choose the bits of each.
    Place(place::Args),
    /// Measure the backends against each other, on the same instances.
    Compare(compare::Args),
    /// Run the simulations of the paper again, beside its claims.
    Reproduce(reproduce::Args),
    /// Read a model's weights and say what each layer loses at each width: the layers of a placement problem.
    Weights(weights::Args),
    /// List the CUDA devices, and say why one is not used.
    Devices(devices::Args),
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A report for people.
    Text,
    /// The JSON contract.
    Json,
}

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version, which are no errors and go to standard output.
        Err(e) if !e.use_stderr() => return print(&e.to_string()).map_or(ExitCode::from(2), |()| ExitCode::SUCCESS),
        Err(e) if e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let verbs = "solve, verify, explain, generate, export, simulate, sweep, reproduce, compare, weights, place or devices";
            let _ = writeln!(io::stderr(), "dftsp: no verb is given; give {verbs}, or --help");
            return ExitCode::from(2);
        }
        Err(e) => {
            // The first paragraph says what is wrong; the rest is the usage, which --help prints better.
            let text = e.to_string();
            let what: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
            let what = what.join(" ");
            let what = what.strip_prefix("error: ").unwrap_or(&what);
            let _ = writeln!(io::stderr(), "dftsp: {}; `dftsp help` tells what can be given", one_line(what));
            return ExitCode::from(2);
        }
    };
    match run(cli) {
        Ok(status) => status,
        Err(e) => {
            // Nothing is left to do if standard error is closed too.
            let _ = writeln!(io::stderr(), "dftsp: {}", one_line(&e.to_string()));
            match e.downcast_ref::<Error>() {
                // Not the user's fault.
                Some(Error::Schedule(_)) | None => ExitCode::FAILURE,
                Some(_) => ExitCode::from(2),
            }
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    match cli.verb {
        Verb::Solve(args) => solve::run(&args),
        Verb::Verify(args) => verify::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Generate(args) => generate::run(&args),
        Verb::Export(args) => export::run(&args),
        Verb::Simulate(args) => simulate::run(&args),
        Verb::Sweep(args) => sweep::run(&args),
        Verb::Place(args) => place::run(&args),
        Verb::Compare(args) => compare::run(&args),
        Verb::Reproduce(args) => reproduce::run(&args),
        Verb::Weights(args) => weights::run(&args),
        Verb::Devices(args) => devices::run(&args),
    }
}

/// File names may hold line feeds; a message may not.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Writes a result to standard output, all of it or an error.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(written.map_err(stdout_error)?)
}

/// Writes a result to `output`, or to standard output.
fn finish(output: Option<&Path>, result: &str) -> Result<ExitCode> {
    match output {
        Some(path) => write_file(path, result.as_bytes())?,
        None => print(result)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn stdout_error(source: io::Error) -> Error {
    Error::Io { path: "standard output".to_string(), action: "write", source }
}
