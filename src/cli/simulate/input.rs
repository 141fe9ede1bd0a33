//! What `simulate` reads: a scenario, changed where options say so, and where requests come from.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use crate::cli::input::{EMBEDDED, parse_levels};
use crate::cli::one_line;
use crate::error::{Error, Place, quote};
use crate::experiment::sweep::Base;
use crate::generate::{Generator, Spec};
use crate::limits;
use crate::report::simulation::describe_arrivals;
use crate::scenario::{Scenario, file, model_config};
use crate::simulation::{Source, clock};
use crate::workload::arrivals::Recording;
use crate::workload::source;

/// The options that name a scenario and a trace.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ScenarioArgs {
    /// Scenario (TOML), with its tables of arrivals, qos and services. Without it, that of the embedded default epoch.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Model dimensions from a Hugging Face config.json, in place of the scenario's.
    #[arg(long, value_name = "FILE")]
    model_config: Option<PathBuf>,
    /// Change a key of the scenario, such as node.memory_bytes=24e9 or qos.0.share=0.5. May be given many times.
    #[arg(long, value_name = "KEY=VALUE", allow_hyphen_values = true)]
    set: Vec<String>,
    /// Replay a trace in the Azure, Mooncake or Vidur format instead of generating arrivals; "-" is standard input.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Trace: replay it so many times faster. Reports say that it is scaled.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    time_compression: Option<f64>,
    /// Trace: the arrivals of so many cells at once, each shifted in time against the others. Reports say so.
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    merge_cells: Option<u32>,
    /// Trace: round output lengths up to these levels, such as 128,256,512.
    #[arg(long, value_name = "TOKENS,..")]
    output_levels: Option<String>,
}

/// The options that say what arrives where.
#[derive(Debug, clap::Args)]
pub(super) struct InputArgs {
    #[command(flatten)]
    files: ScenarioArgs,
    /// Arrivals a second at each node, in place of the scenario's arrivals.rate_per_s.
    #[arg(long, value_name = "REQUESTS", allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Seed of everything random, in place of the scenario's.
    #[arg(long)]
    seed: Option<u64>,
}

/// What is run.
pub(super) struct Input {
    pub(super) scenario: Scenario,
    /// Where the scenario comes from.
    pub(super) from: String,
    pub(super) scenario_file: Option<String>,
    pub(super) source: Source,
    /// Arrivals in words.
    pub(super) arrivals: String,
    pub(super) scaled: Option<String>,
    /// How long a trace is, nanoseconds.
    pub(super) length_ns: Option<u64>,
}

/// A trace that is replayed.
pub(in crate::cli) struct Replay {
    pub(in crate::cli) recording: Arc<Recording>,
    /// What it is, in words.
    pub(in crate::cli) words: String,
}

impl InputArgs {
    pub(super) fn load(&self) -> Result<Input> {
        let mut scenario = self.files.scenario()?;
        if let Some(seed) = self.seed {
            scenario.synthesis.seed = seed;
        }
        if let Some(rate) = self.rate {
            limits::RATE.check(rate, || Place::file("--rate"))?;
            if self.files.trace.is_some() {
                let remedy = "leave it out, or give --time-compression or --merge-cells";
                return Err(Place::file("--rate").error("a trace has its own arrivals", remedy).into());
            }
            scenario.arrivals.rate_per_s = rate;
        }
        let replay = self.files.replay()?;
        let recording = replay.as_ref().map(|replay| &replay.recording);
        Ok(Input {
            from: self.files.from(),
            scenario_file: self.files.scenario_file(),
            scaled: recording.and_then(|recording| recording.scaled()),
            length_ns: recording.map(|recording| recording.duration_ns()),
            source: recording.map_or(Source::Generated, |recording| Source::Recorded(recording.clone())),
            arrivals: replay.map_or_else(|| describe_arrivals(&scenario.arrivals), |replay| replay.words),
            scenario,
        })
    }
}

impl ScenarioArgs {
    /// The scenario's file, if it is not the embedded one.
    pub(in crate::cli) fn scenario_file(&self) -> Option<String> {
        self.scenario.as_ref().map(|path| path.display().to_string())
    }

    /// Where the scenario comes from.
    pub(in crate::cli) fn from(&self) -> String {
        let from = self.scenario_file().unwrap_or_else(|| EMBEDDED.to_string());
        let set = if self.set.is_empty() { String::new() } else { format!(", with {}", self.set.join(", ")) };
        one_line(&format!("{from}{set}"))
    }

    /// What the scenario is read from.
    pub(in crate::cli) fn base(&self) -> Result<Base> {
        let model = self.model_config.as_deref().map(model_config::read_path).transpose()?;
        let overrides = self.set.iter().map(|text| key_and_value(text)).collect::<Result<Vec<_>, Error>>()?;
        let (text, name) = match &self.scenario {
            Some(path) => (file::read_file(path)?, path.display().to_string()),
            None => {
                let embedded = Generator::new(Spec::embedded())?.scenario().clone();
                (file::to_toml(&embedded), file::EMBEDDED.to_string())
            }
        };
        Ok(Base { text, name, model, overrides })
    }

    fn scenario(&self) -> Result<Scenario> {
        Ok(self.base()?.scenario(&[])?)
    }

    /// The trace, if one is given.
    pub(in crate::cli) fn replay(&self) -> Result<Option<Replay>> {
        let Some((recording, name)) = self.recording()? else { return Ok(None) };
        let length_s = clock::seconds(recording.duration_ns());
        let levels = self.output_levels.as_ref();
        let levels = levels.map_or_else(String::new, |levels| format!(", outputs rounded up to {levels} tokens"));
        let words = format!("trace {name}, {} arrivals in {length_s} s{levels}", recording.len());
        Ok(Some(Replay { recording: Arc::new(recording), words }))
    }

    /// The trace and its name.
    fn recording(&self) -> Result<Option<(Recording, String)>> {
        let Some(path) = &self.trace else {
            let given = [
                ("--time-compression", self.time_compression.is_some()),
                ("--merge-cells", self.merge_cells.is_some()),
                ("--output-levels", self.output_levels.is_some()),
            ];
            return match given.into_iter().find(|(_, given)| *given) {
                Some((option, _)) => {
                    let problem = "it is for traces, and none is given";
                    Err(Place::file(option).error(problem, "leave it out, or give --trace").into())
                }
                None => Ok(None),
            };
        };
        let compression = self.time_compression.unwrap_or(1.0);
        limits::COMPRESSION.check(compression, || Place::file("--time-compression"))?;
        let cells = self.merge_cells.unwrap_or(1);
        limits::CELLS.check(f64::from(cells), || Place::file("--merge-cells"))?;
        let levels = self.output_levels.as_deref().map(|text| parse_levels(text, || Place::file("--output-levels")));
        let levels = levels.transpose()?;
        let name = one_line(&path.display().to_string());
        let mut trace = match source::read_path(path)? {
            source::Source::Trace(trace) => trace,
            source::Source::Requests(_) => {
                let problem = "it holds requests without arrival times, and no trace";
                let remedy = "give a trace in the Azure, Mooncake or Vidur format, or let arrivals be generated";
                return Err(Place::file(name).error(problem, remedy).into());
            }
        };
        if let Some(levels) = &levels {
            trace.round_outputs_up(levels)?;
        }
        let recording = trace.recording(compression, cells).map_err(|error| match error {
            Error::Input { place, problem, remedy } if place.source == "recording" => {
                Error::Input { place: Place { source: name.clone(), ..place }, problem, remedy }
            }
            error => error,
        })?;
        Ok(Some((recording, name)))
    }
}

fn key_and_value(text: &str) -> Result<(String, String), Error> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_string(), value.trim().to_string())),
        None => {
            let problem = format!("{} has no =", quote(text.as_bytes()));
            Err(Place::file("--set").error(problem, "give KEY=VALUE, such as node.memory_bytes=24e9"))
        }
    }
}
