//! What `solve`, `verify` and `explain` read: a scenario and the requests of one epoch.

use std::path::PathBuf;

use anyhow::Result;

use crate::error::{Error, Place};
use crate::generate::{Generator, Spec};
use crate::limits::Range;
use crate::precision;
use crate::report::simulation::describe_model;
use crate::scenario::{Scenario, file, model_config};
use crate::workload::csv::parse_tokens;
use crate::workload::source::{self, Source};
use crate::workload::trace::{Trace, Window};
use crate::workload::{OutputLevels, Requests};

/// What a report says of the scenario where none is given.
pub(super) const EMBEDDED: &str = "embedded (that of `dftsp generate binding`)";

const AT: Range = Range { min: 0.0, max: 9e9, min_allowed: true, unit: "seconds after the first arrival" };

/// The options that name an epoch.
#[derive(Debug, clap::Args)]
pub(super) struct EpochArgs {
    /// Scenario (TOML). Without it, that of the embedded default epoch.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Requests (CSV), or a trace in the Azure, Mooncake or Vidur format; "-" is standard input. Without it, those of
    /// the embedded default epoch.
    #[arg(long, value_name = "FILE")]
    requests: Option<PathBuf>,
    /// Model dimensions from a Hugging Face config.json, in place of the scenario's.
    #[arg(long, value_name = "FILE")]
    model_config: Option<PathBuf>,
    /// Trace: serve the requests that arrived in the epoch before this time, seconds after the first arrival. Without
    /// it, the busiest epoch.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    at: Option<f64>,
    /// Trace: seed of the attributes that it lacks, in place of the scenario's.
    #[arg(long)]
    seed: Option<u64>,
    /// Round output lengths up to these levels, such as 128,256,512.
    #[arg(long, value_name = "TOKENS,..")]
    output_levels: Option<String>,
}

/// One epoch, and a line that says what it is.
#[derive(Debug)]
pub(super) struct EpochInput {
    pub(super) scenario: Scenario,
    pub(super) requests: Requests,
    pub(super) about: String,
    /// Where the requests come from.
    pub(super) requests_from: String,
    scenario_file: Option<String>,
}

impl EpochInput {
    /// Names the file in an error about the scenario as a whole.
    pub(super) fn locate(&self, error: Error) -> Error {
        locate(error, self.scenario_file.as_deref())
    }
}

/// Names the file in an error about the scenario as a whole.
pub(super) fn locate(error: Error, scenario_file: Option<&str>) -> Error {
    match (error, scenario_file) {
        (Error::Input { place, problem, remedy }, Some(file)) if place.source == "scenario" => {
            Error::Input { place: Place { source: file.to_string(), ..place }, problem, remedy }
        }
        (error, _) => error,
    }
}

impl EpochArgs {
    pub(super) fn load(&self) -> Result<EpochInput> {
        let levels = self
            .output_levels
            .as_deref()
            .map(|text| parse_levels(text, || Place::file("--output-levels")))
            .transpose()?;
        let embedded = Generator::new(Spec::embedded())?;
        let model = self.model_config.as_deref().map(model_config::read_path).transpose()?;
        let mut scenario = match (&self.scenario, model) {
            (Some(path), model) => file::read_path(path, model)?,
            (None, Some(model)) => Scenario { model, ..embedded.scenario().clone() },
            (None, None) => embedded.scenario().clone(),
        };
        if let Some(seed) = self.seed {
            scenario.synthesis.seed = seed;
        }
        let source = self.requests.as_deref().map(source::read_path).transpose()?;
        let name = self.requests.as_ref().map_or_else(String::new, |path| path.display().to_string());
        if !matches!(source, Some(Source::Trace(_))) {
            for (option, given) in [("--at", self.at.is_some()), ("--seed", self.seed.is_some())] {
                if given {
                    let problem = "it is for traces, and the requests are not one";
                    return Err(Place::file(option).error(problem, "leave it out, or give a trace").into());
                }
            }
        }
        let (mut requests, of) = match source {
            None => (embedded.requests()?, "embedded (those of `dftsp generate binding`)".to_string()),
            Some(Source::Requests(requests)) => (requests, name),
            Some(Source::Trace(trace)) => self.window(&trace, &scenario, &name)?,
        };
        if let Some(levels) = &levels {
            requests.round_outputs_up(levels)?;
        }
        let about = self.about(&of, &scenario);
        let scenario_file = self.scenario.as_ref().map(|path| path.display().to_string());
        Ok(EpochInput { scenario, requests, about, requests_from: of, scenario_file })
    }

    /// What is solved: `scenario` is the one read, or a change of it.
    pub(super) fn about(&self, requests_from: &str, scenario: &Scenario) -> String {
        let line = |text: &str| super::one_line(text);
        format!("requests: {}\nscenario: {}", line(requests_from), line(&self.describe(scenario)))
    }

    /// Where the scenario comes from, and what it is in short.
    fn describe(&self, s: &Scenario) -> String {
        let from = match &self.scenario {
            Some(path) => path.display().to_string(),
            None => EMBEDDED.to_string(),
        };
        format!("{from}; {}", describe_model(&s.model, &s.quantization, s.padding))
    }

    fn window(&self, trace: &Trace, scenario: &Scenario, name: &str) -> Result<(Requests, String)> {
        let epoch_s = scenario.epoch.duration_s;
        let (window, which): (Window, _) = match self.at {
            Some(at) => {
                AT.check(at, || Place::file("--at"))?;
                let last = trace.last_arrival_s();
                if at <= 0.0 || at - epoch_s > last {
                    let remedy = format!("give seconds above 0 and at most {}", last + epoch_s);
                    let problem = format!("the epoch before {at} s is outside the trace, which ends at {last} s");
                    return Err(Place::file("--at").error(problem, remedy).into());
                }
                (trace.window(at, epoch_s), "chosen")
            }
            None => (trace.busiest_window(epoch_s), "busiest"),
        };
        let requests = trace.requests(&window, &scenario.synthesis)?;
        let (from, to) = (window.from_s, window.to_s);
        let of = format!(
            "trace {name}, {} of {} arrivals, from {from} s to {to} s ({which} epoch); \
             synthesised: deadlines of {} to {} s, channels, accuracy needs (seed {})",
            requests.len(),
            trace.len(),
            scenario.synthesis.deadline_s.0,
            scenario.synthesis.deadline_s.1,
            scenario.synthesis.seed
        );
        Ok((requests, of))
    }
}

/// The scenario at one precision on offer, by its name.
pub(super) fn at_precision(scenario: &Scenario, name: &str) -> Result<Scenario> {
    let place = || Place::file("--quantization");
    match precision::parse(scenario, name, place)?.as_slice() {
        [one] if name.trim() != "auto" => Ok(precision::at(scenario, one)),
        _ => Err(place().error("one precision is wanted here", "give one name").into()),
    }
}

/// Levels from an option's text.
pub(super) fn parse_levels(text: &str, place: impl Fn() -> Place) -> crate::error::Result<OutputLevels> {
    let levels = text.split(',').map(|level| parse_tokens(level.trim(), &place)).collect::<Result<Vec<u32>, _>>()?;
    OutputLevels::new(levels, place)
}
