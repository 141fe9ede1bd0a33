//! `dftsp reproduce`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};

use super::folder::Folder;
use super::progress::Bar;
use crate::error::{Error, Place};
use crate::experiment::sweep::MAX_SEEDS;
use crate::files::write::write_file;
use crate::reproduce::files::{self, Made};
use crate::reproduce::{Effort, Target, reproduce};
use crate::simulation::DURATION;

/// Options of `dftsp reproduce`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What: fig5a, fig5b, fig6a, fig6b, table2, table3 (the paper's); sensitivity, binding, fading, padding, bursts,
    /// models (what it leaves open); all of these; traces (with --traces); placement (the second paper: layers on edge
    /// servers).
    #[arg(default_value = "all", value_name = "TARGET")]
    targets: Vec<String>,
    /// Where report.md, the tables (CSV) and the plots (SVG) go; the folder is made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Each point is a mean over so many seeds; at least 2.
    #[arg(long, value_name = "N", default_value_t = Effort::default().seeds)]
    seeds: u64,
    /// How long requests arrive in each run.
    #[arg(long, value_name = "SECONDS", default_value_t = Effort::default().duration_s, allow_negative_numbers = true)]
    duration: f64,
    /// Traces in the Azure, Mooncake or Vidur format, for the target traces.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    traces: Vec<PathBuf>,
    /// Threads at most; without it, one for each core. The result never depends on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let targets = args.targets()?;
    if args.seeds < 2 || args.seeds > MAX_SEEDS {
        let remedy = format!("give 2 to {MAX_SEEDS}: one seed tells nothing of what chance does");
        return Err(Place::file("--seeds").error(format!("{} seeds", args.seeds), remedy).into());
    }
    DURATION.check(args.duration, || Place::file("--duration"))?;
    let effort = Effort { seeds: args.seeds, duration_s: args.duration, traces: args.traces.clone() };
    let threads = args.threads.map_or(0, |n| n as usize);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Threads { threads, source: e.into() })?;
    // Before minutes are spent on what cannot be written.
    let folder = Folder::create(&args.out)?;
    let bar = Bar::new("runs");
    let sections = pool.install(|| reproduce(&targets, &effort, &bar))?;
    bar.finish();
    let made = Made { command: args.command(&targets) };
    let written = files::files(&sections, &made).map_err(|e| anyhow!("cannot draw: {e}"))?;
    for (name, text) in &written {
        write_file(&args.out.join(name), text.as_bytes())?;
    }
    folder.keep();
    let count = format!("{} files in {}\n", written.len(), args.out.display());
    super::finish(None, &(files::verdicts(&sections) + &count))
}

impl Args {
    fn targets(&self) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for name in &self.targets {
            match (name.as_str(), Target::from_name(name)) {
                ("all", _) => targets.extend(Target::ALL),
                (_, Some(target)) => targets.push(target),
                (_, None) => {
                    let names: Vec<&str> = Target::ALL.into_iter().map(Target::name).collect();
                    let remedy = format!("give all, traces, placement, or some of {}", names.join(", "));
                    let problem = format!("unknown target {}", crate::error::quote(name.as_bytes()));
                    return Err(Place::file("reproduce").error(problem, remedy).into());
                }
            }
        }
        let mut once = Vec::new();
        for target in targets {
            if !once.contains(&target) {
                once.push(target);
            }
        }
        match (once.contains(&Target::Traces), self.traces.is_empty()) {
            (true, true) => {
                let remedy = "give --traces FILE.. (Azure, Mooncake or Vidur)";
                Err(Place::file("reproduce traces").error("no trace is given", remedy).into())
            }
            (false, false) => Err(Place::file("--traces")
                .error("no target needs it", "add the target traces, or leave it out")
                .into()),
            _ => Ok(once),
        }
    }

    /// The command line that makes the same files.
    fn command(&self, targets: &[Target]) -> String {
        let names = match targets == Target::ALL {
            true => "all".to_string(),
            false => targets.iter().map(|target| target.name()).collect::<Vec<_>>().join(" "),
        };
        let Effort { seeds, duration_s, .. } = Effort::default();
        let mut command = format!("dftsp reproduce {names} --out DIR");
        if self.seeds != seeds {
            command += &format!(" --seeds {}", self.seeds);
        }
        if self.duration != duration_s {
            command += &format!(" --duration {}", self.duration);
        }
        if !self.traces.is_empty() {
            let files = self.traces.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy());
            command += &format!(" --traces {}", files.collect::<Vec<_>>().join(" "));
        }
        command
    }
}
