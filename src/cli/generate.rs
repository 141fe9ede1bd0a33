//! `dftsp generate`.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use super::input::parse_levels;
use crate::error::Place;
use crate::files::write::{Output, write_file};
use crate::generate::{Family, Generator, Lengths, Spec};
use crate::scenario::{Padding, file};
use crate::workload::csv::{Writer, parse_tokens};
use crate::workload::synthesis::ChannelModel;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FamilyName {
    /// The paper's section IV: only the deadline binds.
    Paper,
    /// The same requests on a node where uplink, downlink, memory and deadline all bind.
    Binding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ChannelName {
    /// One channel gain for all users.
    Shared,
    /// Rayleigh fading per user.
    Rayleigh,
}

/// Options of `dftsp generate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which workload.
    #[arg(value_enum)]
    family: FamilyName,
    /// The number of requests.
    #[arg(long, value_name = "N", default_value_t = 100)]
    requests: u64,
    /// Same seed, same bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Channel gains; without it, shared for the paper's workload and rayleigh for the binding one.
    #[arg(long, value_enum)]
    channel: Option<ChannelName>,
    /// Output lengths, all equally likely; prompts have 128, 256 or 512 tokens.
    #[arg(long, value_name = "TOKENS,..", default_value = "128,256,512")]
    output_levels: String,
    /// This many output lengths instead, evenly spread up to 512.
    #[arg(long, value_name = "N", conflicts_with = "output_levels")]
    levels: Option<u32>,
    /// Prompts and outputs of any length from 1 to 512 tokens instead.
    #[arg(long, conflicts_with_all = ["output_levels", "levels"])]
    continuous: bool,
    /// Padding of the scenario: longest, none, or a number of tokens.
    #[arg(long, value_name = "PADDING", default_value = "512")]
    padding: String,
    /// Binding: how many fit in the batch of those that could meet its deadline, above 0 to 1; smaller is scarcer
    /// [default: 0.3].
    #[arg(long, value_name = "FRACTION", allow_negative_numbers = true)]
    tightness: Option<f64>,
    /// Waiting times are uniform from 0 to this.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, allow_negative_numbers = true)]
    max_wait: f64,
    /// Write the requests to a file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Also write the scenario that matches them.
    #[arg(long, value_name = "FILE")]
    scenario_output: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let options = [("--output", args.output.as_deref()), ("--scenario-output", args.scenario_output.as_deref())];
    super::outputs::distinct(&options)?;
    let generator = Generator::new(args.spec()?)?;
    match &args.output {
        Some(path) => {
            let mut output = Output::create(path)?;
            if let Err(e) = write_requests(&generator, &mut output) {
                return Err(output.write_error(e).into());
            }
            args.write_scenario(&generator)?;
            output.commit()?;
        }
        None => {
            let out = BufWriter::with_capacity(1 << 18, io::stdout().lock());
            write_requests(&generator, out).map_err(super::stdout_error)?;
            args.write_scenario(&generator)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write_requests(generator: &Generator, out: impl Write) -> io::Result<()> {
    let mut writer = Writer::new(out)?;
    for (index, request) in (0..).zip(generator.rows()) {
        writer.write(&Generator::id(index), &request)?;
    }
    writer.finish().map(drop)
}

impl Args {
    fn spec(&self) -> Result<Spec> {
        let family = match self.family {
            FamilyName::Paper => Family::Paper,
            FamilyName::Binding => Family::Binding,
        };
        let defaults = Spec::new(family);
        Ok(Spec {
            requests: self.requests,
            seed: self.seed,
            channel: match self.channel {
                None => defaults.channel,
                Some(ChannelName::Shared) => ChannelModel::Shared,
                Some(ChannelName::Rayleigh) => ChannelModel::Rayleigh,
            },
            lengths: self.lengths()?,
            padding: match self.padding.as_str() {
                "longest" => Padding::Longest,
                "none" => Padding::None,
                tokens => Padding::Fixed(parse_tokens(tokens, || Place::file("--padding"))?),
            },
            tightness: match (self.tightness, family) {
                (None, _) => defaults.tightness,
                (Some(tightness), Family::Binding) => tightness,
                (Some(_), Family::Paper) => {
                    let problem = "the paper's workload has no tightness";
                    return Err(Place::file("--tightness").error(problem, "leave it out, or generate binding").into());
                }
            },
            max_wait_s: self.max_wait,
            family,
        })
    }

    fn lengths(&self) -> Result<Lengths> {
        Ok(match self.levels {
            _ if self.continuous => Lengths::Continuous,
            Some(count) => Lengths::evenly(count, || Place::file("--levels"))?,
            None => Lengths::Levels(parse_levels(&self.output_levels, || Place::file("--output-levels"))?),
        })
    }

    fn write_scenario(&self, generator: &Generator) -> Result<()> {
        let Some(path) = &self.scenario_output else { return Ok(()) };
        let text =
            format!("# Written by dftsp generate: {}\n\n{}", self.describe(), file::to_toml(generator.scenario()));
        Ok(write_file(path, text.as_bytes())?)
    }

    /// The options that the scenario depends on.
    fn describe(&self) -> String {
        let family = if self.family == FamilyName::Paper { "paper" } else { "binding" };
        let lengths = match self.levels {
            _ if self.continuous => "continuous lengths".to_string(),
            Some(count) => format!("{count} output levels"),
            None => format!("output levels {}", super::one_line(&self.output_levels)),
        };
        let tightness = self.tightness.map_or_else(String::new, |tightness| format!(", tightness {tightness}"));
        format!(
            "{family}, {} requests, seed {}, {lengths}{tightness}, waiting up to {} s",
            self.requests, self.seed, self.max_wait
        )
    }
}
