//! `dftsp simulate`.

pub(super) mod input;
pub(super) mod options;
mod record;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, anyhow};
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use super::Format;
use super::input::locate;
use super::solve::Backend;
use crate::error::Error;
use crate::files::write::Output;
use crate::report::simulation::{
    Report, Run, csv, describe_needs, describe_scenario, plot_names, plots, to_json, to_markdown, to_text,
};
use crate::simulation::{CostModel, Named, Scheduler, Settings, Simulation, Summary};
use crate::solver::{Method, Solver};
use input::{Input, InputArgs};
use options::{RunArgs, command, is_limited};
use record::{Epochs, Files, Recorder, check_apart};

/// Options of `dftsp simulate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    rules: RunArgs,
    /// Where to search. The result never depends on it.
    #[arg(long, value_enum, default_value = "auto")]
    backend: Backend,
    /// Threads at most; without it, one for each core. The result never depends on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Write report.md with plots, summary.json, and every epoch and request as CSV into this folder, which is made if
    /// it is not there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Report for people, or JSON.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write the report to a file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let names = args.rules.names()?;
    let mut settings = args.rules.settings()?;
    let schedulers = names.iter().map(|name| args.scheduler(name)).collect::<Result<Vec<_>>>()?;
    let input = args.input.load()?;
    settings.duration_s = args.rules.duration_s(input.length_ns)?;
    let located = |error| locate(error, input.scenario_file.as_deref());
    let simulation = Simulation::new(&input.scenario, input.source.clone(), settings).map_err(located)?;
    let optimum = args.backend.apply(Solver::new(Method::Flat).threads(args.threads())?)?;
    let simulation = simulation.on_engine(CostModel { slowdown: args.rules.slowdown }).optimum_by(optimum);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // Before the run, which takes a while: what cannot be written later cannot be opened now.
    let reports = [vec!["report.md", "summary.json"], plot_names(&settings, &names)].concat();
    if let (Some(folder), Some(output)) = (&args.out, &args.output) {
        check_apart(folder, output, &reports, &names)?;
    }
    let mut files = args.out.as_deref().map(|path| Files::create(path, &reports, &names)).transpose()?;
    let output = args.output.as_deref().map(Output::create).transpose()?;
    let rows = files.as_mut().map(Files::take_rows);
    let (summaries, rows) = args.run_all(&simulation, &input, &schedulers, rows).map_err(located)?;
    let report = Report { run: args.describe(&input, &settings, &names), summaries };
    if let Some(files) = &mut files {
        let drawn = plots(&report).map_err(|e| anyhow!("cannot draw: {e}"))?;
        files.write(rows, |name| match name {
            "report.md" => to_markdown(&report),
            "summary.json" => to_json(&report),
            _ => drawn.iter().find(|(plot, _)| *plot == name).map_or_else(String::new, |(_, svg)| svg.clone()),
        })?;
    }
    let result = match args.format {
        Format::Text => to_text(&report),
        Format::Json => to_json(&report),
    };
    match output {
        Some(mut output) => {
            output.write_all(result.as_bytes()).map_err(|e| output.write_error(e))?;
            output.commit()?;
        }
        None => super::print(&result)?,
    }
    // Last, so that nothing is left where the report could not be written.
    files.map_or(Ok(()), Files::commit)?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn threads(&self) -> usize {
        self.threads.map_or(0, |n| n as usize)
    }

    fn scheduler(&self, name: &str) -> Result<Named<Solver>> {
        let mut solver = self.rules.solver(name);
        // Greedy batches need no threads.
        if is_limited(name) || matches!(solver.method(), Method::Flat | Method::Algorithm1 { .. }) {
            solver = solver.threads(self.threads())?;
        }
        Ok(Named { name: name.to_string(), scheduler: self.backend.apply(solver)? })
    }

    /// Every scheduler on the same arrivals, in parallel.
    fn run_all(
        &self,
        simulation: &Simulation,
        input: &Input,
        schedulers: &[Named<Solver>],
        rows: Option<Vec<[Output; 2]>>,
    ) -> crate::error::Result<(Vec<Summary>, Vec<[Output; 2]>)> {
        let synthesis = &input.scenario.synthesis;
        let classes = (0..synthesis.classes()).map(|class| synthesis.class_name(class));
        let columns = csv::Requests::new(simulation.host().names().iter().map(String::as_str), classes);
        let progress = Epochs::new(simulation.epochs(), schedulers.len());
        let failed = AtomicBool::new(false);
        let one = |(scheduler, rows): (&Named<Solver>, Option<[Output; 2]>)| {
            let mut recorder = Recorder::new(rows, &columns, &progress, &failed)?;
            match simulation.run(scheduler as &dyn Scheduler, &mut recorder) {
                Ok(summary) => Ok(Some((summary, recorder.finish()))),
                Err(_) if recorder.was_stopped() => Ok(None),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    Err(error)
                }
            }
        };
        let rows: Vec<Option<[Output; 2]>> = match rows {
            Some(rows) => rows.into_iter().map(Some).collect(),
            None => schedulers.iter().map(|_| None).collect(),
        };
        let threads = self.threads();
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|e| Error::Threads { threads, source: e.into() })?;
        let done: Vec<_> = pool.install(|| schedulers.par_iter().zip(rows).map(one).collect());
        progress.end();
        let (mut summaries, mut written) = (Vec::new(), Vec::new());
        for result in done {
            if let Some((summary, rows)) = result? {
                summaries.push(summary);
                written.extend(rows);
            }
        }
        Ok((summaries, written))
    }

    fn describe(&self, input: &Input, settings: &Settings, names: &[&str]) -> Run {
        Run {
            scenario: describe_scenario(&input.from, &input.scenario),
            arrivals: input.arrivals.clone(),
            needs: describe_needs(&input.scenario.synthesis),
            scaled: input.scaled.clone(),
            seed: input.scenario.synthesis.seed,
            settings: *settings,
            epoch: input.scenario.epoch.clone(),
            slowdown: self.rules.slowdown,
            node_limit: self.rules.node_limit(names),
            command: command(std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned())),
            assumptions: input.scenario.assumptions.iter().map(|assumption| assumption.0.clone()).collect(),
        }
    }
}
