//! `dftsp compare`.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::thread;

use anyhow::{Result, anyhow};

use super::Format;
use super::folder::Folder;
use super::solve::{Backend, as_option, time_limit};
use crate::backend;
use crate::compare::{self, Kind, Plan, Setting};
use crate::device::Choice;
use crate::error::{Error, Place, quote};
use crate::files::write::Output;
use crate::report::compare::{to_csv, to_json, to_svg, to_text};
use crate::report::devices;

/// The most requests of all instances of a kind together: whoever means more has slipped on the keyboard.
const MOST_REQUESTS: u64 = 100_000_000;
const MOST_THREADS: u64 = 4096;

/// Options of `dftsp compare`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Sizes of the instances.
    #[arg(long, value_name = "N,..", default_value = "500,10000,100000,1000000")]
    requests: String,
    /// Which instances. fading, shared: all four constraints bind. paper: only the deadline does. continuous: as
    /// fading, with prompts and outputs of any length. hard-leaves: the hardest known. cells: many small ones in one
    /// call. unpruned: the paper's tree for 200 requests, all of it. bound-pass: no proof, one pass over all requests.
    #[arg(
        long,
        value_name = "NAME,..",
        default_value = "fading,shared,paper,continuous,hard-leaves,cells,unpruned,bound-pass"
    )]
    instances: String,
    /// What is compared: the CPU with each number of threads, and a CUDA device if there is one (auto), or only one of
    /// the two.
    #[arg(long, value_enum, value_name = "auto|cpu|cuda", hide_possible_values = true, default_value = "auto")]
    backend: Backend,
    /// Numbers of threads of the CPU [default: 1, and one for each core].
    #[arg(long, value_name = "N,..")]
    threads: Option<String>,
    /// How many cells are solved in one call.
    #[arg(long, value_name = "N", default_value = "10000")]
    cells: String,
    /// Requests of a cell.
    #[arg(long, value_name = "N", default_value = "500")]
    cell_requests: String,
    /// Samples of each time; the median is reported.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Same seed, same instances.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop each solve after this time.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, allow_negative_numbers = true)]
    time_limit: f64,
    /// Write compare.csv and compare.svg into this folder, which is made if it is not there.
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
    let plan = args.plan()?;
    // Before the measurements, which take a while: what cannot be written later cannot be opened now.
    let files = args.out.as_deref().map(Files::create).transpose()?;
    let output = args.output.as_deref().map(Output::create).transpose()?;
    let mut progress = Progress { shown: io::stderr().is_terminal() };
    let comparison = compare::run(&plan, &mut |next| progress.tell(next));
    progress.end();
    let comparison = comparison.map_err(as_option)?;
    let result = match args.format {
        Format::Text => to_text(&comparison),
        Format::Json => to_json(&comparison),
    };
    if let Some(files) = files {
        let svg = to_svg(&comparison, &caption()).map_err(|e| anyhow!("compare.svg: cannot draw: {e}"))?;
        files.write(&to_csv(&comparison), &svg)?;
    }
    match output {
        Some(mut output) => {
            output.write_all(result.as_bytes()).map_err(|e| output.write_error(e))?;
            output.commit()?;
        }
        None => super::print(&result)?,
    }
    Ok(if comparison.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn plan(&self) -> Result<Plan> {
        let limits = time_limit(self.time_limit)?;
        let plan = Plan {
            kinds: self.kinds()?,
            requests: numbers(&self.requests, MOST_REQUESTS, "--requests")?,
            cells: self.cells()?,
            seed: self.seed,
            settings: self.settings()?,
            asks_for_device: self.backend != Backend::Cpu,
            repeat: self.repeat as usize,
            time_limit: limits.time.unwrap_or_default(),
        };
        Ok(plan)
    }

    fn kinds(&self) -> Result<Vec<Kind>> {
        let mut kinds = Vec::new();
        for name in self.instances.split(',').map(str::trim) {
            let Some(kind) = Kind::from_name(name) else {
                let names = Kind::ALL.map(Kind::name).join(", ");
                let problem = format!("unknown name {}", quote(name.as_bytes()));
                return Err(Place::file("--instances").error(problem, format!("give some of {names}")).into());
            };
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Ok(kinds)
    }

    fn cells(&self) -> Result<(u64, u64)> {
        let count = number(&self.cells, MOST_REQUESTS, "--cells")?;
        let requests = number(&self.cell_requests, MOST_REQUESTS, "--cell-requests")?;
        if count.saturating_mul(requests) > MOST_REQUESTS {
            let problem = format!("{count} cells of {requests} requests are absurdly many");
            let remedy = format!("give at most {MOST_REQUESTS} requests in all");
            return Err(Place::file("--cells").error(problem, remedy).into());
        }
        Ok((count, requests))
    }

    fn settings(&self) -> Result<Vec<Setting>> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut threads: Vec<usize> = match &self.threads {
            Some(text) => numbers(text, MOST_THREADS, "--threads")?.into_iter().map(|n| n as usize).collect(),
            None => vec![1, cores],
        };
        threads.dedup();
        let mut settings = Vec::new();
        if self.backend != Backend::Cuda {
            settings.extend(threads.into_iter().map(|threads| Setting { choice: Choice::Cpu, threads }));
        } else if self.threads.is_some() {
            let problem = "the CPU is not compared";
            return Err(Place::file("--threads").error(problem, "leave it out, or give --backend auto").into());
        }
        // An error of the solver where it was asked for by name.
        if self.backend == Backend::Cuda
            || self.backend == Backend::Auto && devices::usable(&backend::devices()).is_ok()
        {
            settings.push(Setting { choice: Choice::Cuda, threads: cores });
        }
        Ok(settings)
    }
}

/// A whole number from 1 to `most`.
fn number(text: &str, most: u64, option: &str) -> crate::error::Result<u64> {
    match u64::from_str(text.trim()) {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => {
            let problem = format!("{} is no number from 1 to {most}", quote(text.as_bytes()));
            Err(Place::file(option).error(problem, "give whole numbers, without signs and separators"))
        }
    }
}

/// Such numbers, each once, in order.
fn numbers(text: &str, most: u64, option: &str) -> crate::error::Result<Vec<u64>> {
    let mut numbers = text.split(',').map(|text| number(text, most, option)).collect::<Result<Vec<u64>, Error>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// What the plot says about where it is from.
fn caption() -> Vec<String> {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let version = env!("CARGO_PKG_VERSION");
    vec![super::one_line(&format!("dftsp {version} on {cores} cores: dftsp {}", arguments.join(" ")))]
}

/// Says on a terminal what is being measured.
struct Progress {
    shown: bool,
}

impl Progress {
    fn tell(&mut self, next: &str) {
        if self.shown {
            // Whoever cannot read it misses nothing.
            let _ = write!(io::stderr(), "\r\x1b[Kmeasuring: {next}");
        }
    }

    fn end(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// The two files in their folder. Dropped before they are written, they and the folder, if it is new, are gone.
struct Files {
    /// Dropped first: the folder is empty then.
    outputs: [Output; 2],
    folder: Folder,
}

impl Files {
    fn create(path: &Path) -> crate::error::Result<Files> {
        let folder = Folder::create(path)?;
        let outputs = [Output::create(&path.join("compare.csv"))?, Output::create(&path.join("compare.svg"))?];
        Ok(Files { outputs, folder })
    }

    fn write(self, csv: &str, svg: &str) -> crate::error::Result<()> {
        // What is named first is dropped last.
        let Files { folder, outputs: [mut table, mut plot] } = self;
        table.write_all(csv.as_bytes()).map_err(|e| table.write_error(e))?;
        plot.write_all(svg.as_bytes()).map_err(|e| plot.write_error(e))?;
        table.commit()?;
        plot.commit()?;
        folder.keep();
        Ok(())
    }
}
