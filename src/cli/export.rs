//! `dftsp export`.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::builder::PossibleValuesParser;

use super::input::EpochArgs;
use crate::error::Place;
use crate::export::{Format, Model};
use crate::files::write::Output;
use crate::instance::{Instance, Problem};

/// Options of `dftsp export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    epoch: EpochArgs,
    /// Free MPS, the LP format of CPLEX, or the OPB format of the pseudo-Boolean competitions.
    #[arg(long, value_parser = PossibleValuesParser::new(Format::ALL.map(Format::name)))]
    format: String,
    /// Round to numbers of this many bits, costs up and limits down: every batch of the model still fits, and its
    /// optimum is at most the true one. Without it, the integers are exact.
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(8..=62))]
    coarsen: Option<u32>,
    /// Padding longest: the problem whose batches have prompts of at most this length, all padded to it.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    longest_prompt: Option<u32>,
    /// Write the model to a file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let input = args.epoch.load()?;
    let problem = Problem::new(&input.scenario, &input.requests).map_err(|e| input.locate(e))?;
    let instance = args.padded(problem.instance)?;
    let model = Model::new(&instance, args.coarsen).map_err(|e| input.locate(e))?;
    // The parser has checked the name.
    let format = Format::from_name(&args.format).unwrap_or(Format::Lp);
    let id = |request| input.requests.id(request as usize);
    match &args.output {
        Some(path) => {
            let mut output = Output::create(path)?;
            if let Err(e) = model.write(format, id, &mut output) {
                return Err(output.write_error(e).into());
            }
            output.commit()?;
        }
        None => {
            let out = BufWriter::with_capacity(1 << 18, io::stdout().lock());
            model.write(format, id, out).map_err(super::stdout_error)?;
        }
    }
    if let Some(caution) = model.caution() {
        // The file says it too.
        let _ = writeln!(io::stderr(), "dftsp: caution: {caution}");
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// The instance of one longest prompt, where that is asked for.
    fn padded(&self, instance: Instance) -> Result<Instance> {
        let Some(tokens) = self.longest_prompt else { return Ok(instance) };
        let place = || Place::file("--longest-prompt");
        if !instance.pads_to_longest() {
            let problem = "it is for scenarios with padding longest";
            return Err(place().error(problem, "leave it out").into());
        }
        // Beyond the longest prompt there is no batch, and the units of the instance are not made for such padding.
        if let Some(most) = instance.prompt_lengths().last().filter(|&&most| tokens > most) {
            let problem = format!("{tokens} is above the longest prompt that can be served, {most}");
            return Err(place().error(problem, format!("give at most {most}")).into());
        }
        Ok(instance.padded(tokens, tokens))
    }
}
