//! `dftsp sweep`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use rayon::ThreadPoolBuilder;

use super::Format;
use super::folder::Folder;
use super::progress::Bar;
use super::simulate::input::{Replay, ScenarioArgs};
use super::simulate::options::{RunArgs, command};
use crate::error::Error;
use crate::experiment::Progress;
use crate::experiment::sweep::{Axis, Entrant, Plan, Store, Sweep};
use crate::files::write::write_file;
use crate::report::number::grouped;
use crate::report::simulation::{Run, describe_arrivals, describe_needs, describe_scenario};
use crate::report::sweep::{Report, csv, plots, to_json, to_markdown, to_text};
use crate::simulation::{CostModel, Source};

/// Options of `dftsp sweep`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A key of the scenario as in --set, and the values that it takes: a list (5,10,25; bloom-3b,opt-13b;
    /// `[0.5,2],[1,4]`), a range with its step (5..250:5, both ends included) or with its factor (1e12..1e14:x10), or
    /// some of them with commas between. May be given three times, for every combination.
    #[arg(long, value_name = "KEY=SPEC", required = true, allow_hyphen_values = true)]
    vary: Vec<String>,
    /// Each point is run with seeds 1 to this, in place of the scenario's synthesis.seed.
    #[arg(long, value_name = "N", default_value_t = 10)]
    seeds: u64,
    #[command(flatten)]
    scenario: ScenarioArgs,
    #[command(flatten)]
    rules: RunArgs,
    /// Threads at most; without it, one for each core. The result never depends on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Where sweep.csv, runs.csv, report.md and plots go; made if it is not there. Its folder runs keeps every run that
    /// is done: started again, the same command, or one with more points, makes only those that are missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Make all runs again.
    #[arg(long)]
    restart: bool,
    /// Report for people, or JSON.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let axes = args.vary.iter().map(|text| Axis::parse(text)).collect::<Result<Vec<Axis>, Error>>()?;
    let names = args.rules.names()?;
    let mut settings = args.rules.settings()?;
    let base = args.scenario.base()?;
    let replay = args.scenario.replay()?;
    settings.duration_s = args.rules.duration_s(replay.as_ref().map(|replay| replay.recording.duration_ns()))?;
    let plan = Plan {
        axes,
        entrants: names.iter().map(|name| args.entrant(name)).collect(),
        seeds: args.seeds,
        source: replay.as_ref().map_or(Source::Generated, |replay| Source::Recorded(replay.recording.clone())),
        settings,
        engine: CostModel { slowdown: args.rules.slowdown },
    };
    let threads = args.threads.map_or(0, |n| n as usize);
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Threads { threads, source: e.into() })?;
    let sweep = pool.install(|| Sweep::new(&base, plan))?;
    // Runs are kept from now on, whatever happens.
    Folder::create(&args.out)?.keep();
    let runs = args.out.join("runs");
    Folder::create(&runs)?.keep();
    let store = Store::new(runs);
    let known = if args.restart { vec![None; sweep.runs()] } else { pool.install(|| sweep.load(&store)) };
    let there = known.iter().flatten().count() as u64;
    let all = sweep.runs() as u64;
    if there > 0 {
        // Whoever does not read it loses nothing.
        let _ = writeln!(io::stderr(), "{} of {} runs are there already", grouped(there), grouped(all));
    }
    let bar = Bar::new("runs");
    bar.expect(all - there);
    let rows = pool.install(|| sweep.run(known, &store, &|| bar.done()));
    bar.finish();
    let report = Report { sweep: &sweep, rows: rows?, run: args.describe(&sweep, &names, replay.as_ref()) };
    args.write(&report)?;
    super::print(&match args.format {
        Format::Text => to_text(&report),
        Format::Json => to_json(&report),
    })?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn entrant(&self, name: &str) -> Entrant {
        let solver = self.rules.solver(name);
        let nodes = self.rules.node_limit(&[name]).map_or_else(String::new, |nodes| format!(", nodes {nodes}"));
        // With the batch size, if it has one.
        Entrant { name: name.to_string(), options: format!("{:?}{nodes}", solver.method()), solver }
    }

    fn describe(&self, sweep: &Sweep, names: &[String], replay: Option<&Replay>) -> Run {
        let plan = sweep.plan();
        // There is a point.
        let first = sweep.points().first().map(|point| point.scenario.clone());
        let first = first.unwrap_or_else(crate::scenario::Scenario::paper);
        let mut assumptions: Vec<String> = Vec::new();
        for assumption in sweep.points().iter().flat_map(|point| &point.scenario.assumptions) {
            if !assumptions.contains(&assumption.0) {
                assumptions.push(assumption.0.clone());
            }
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
        Run {
            scenario: describe_scenario(&self.scenario.from(), &first),
            arrivals: replay.map_or_else(|| describe_arrivals(&first.arrivals), |replay| replay.words.clone()),
            needs: describe_needs(&first.synthesis),
            scaled: replay.and_then(|replay| replay.recording.scaled()),
            seed: 1,
            settings: plan.settings,
            epoch: first.epoch,
            slowdown: plan.engine.slowdown,
            node_limit: self.rules.node_limit(&names),
            command: format!("{} --out DIR", command(arguments)),
            assumptions,
        }
    }

    fn write(&self, report: &Report<'_>) -> Result<()> {
        let put = |name: &str, text: &str| write_file(&self.out.join(name), text.as_bytes());
        let drawn = plots(report).map_err(|e| anyhow!("cannot draw: {e}"))?;
        for (name, _, svg) in &drawn {
            put(name, svg)?;
        }
        let titles: Vec<(&str, &str)> = drawn.iter().map(|&(name, title, _)| (name, title)).collect();
        put("runs.csv", &csv::runs(report))?;
        put("sweep.csv", &csv::points(report))?;
        put("report.md", &to_markdown(report, &titles))?;
        Ok(())
    }
}
