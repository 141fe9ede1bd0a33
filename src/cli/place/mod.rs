//! `dftsp place`.

mod bridge;
mod check;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use clap::ValueEnum;

use bridge::BridgeArgs;

use super::Format;
use super::outputs::Outputs;
use super::solve::time_limit;
use crate::error::{Error, Place, quote};
use crate::files::read::read_text;
use crate::limits;
use crate::placement::baseline::{self, Baseline};
use crate::placement::budgets::{Unplaced, problem_of};
use crate::placement::delay::Communication;
use crate::placement::file::{self, Text};
use crate::placement::generate::{self, Spec};
use crate::placement::ilp::{self, Answer};
use crate::placement::solve::{Certificate, Outcome, Solution, Work, solve};
use crate::placement::{Problem, infeasible};
use crate::report::number::count;
use crate::report::placement::{Bound, Change, Report, json, mean_bits, plot, text};
use crate::search::Limits;

/// How communication is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CommunicationName {
    /// Every crossing of a link.
    Chain,
    /// Every ordered pair of servers once, as in the paper's objective.
    Paper,
}

/// Options of `dftsp place`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Servers, links and layers (TOML). Without it, OPT-350m on five servers with synthetic weight errors.
    #[arg(long, value_name = "FILE")]
    problem: Option<PathBuf>,
    /// The layers (`[[layer]]`, as `dftsp weights --format toml` prints them), where the file of --problem has none.
    #[arg(long, value_name = "FILE")]
    layers: Option<PathBuf>,
    /// exact: proven optimal. ilp: a general solver. one-server, even-split, greedy, uniform-N (N bits for every
    /// layer), placement-alone (16 bits), quantization-alone (the even split's placement): without joint optimisation.
    #[arg(long, value_name = "NAME", default_value = "exact")]
    solver: String,
    /// How communication is charged [default: chain; --verify: as the placement says].
    #[arg(long, value_enum)]
    communication: Option<CommunicationName>,
    /// Stop after this time, with the best assignment found and a bound. Baselines and changed problems have as long
    /// each.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, allow_negative_numbers = true)]
    time_limit: f64,
    /// Threads at most; without it, one for each core. The result never depends on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Report for people, or the JSON contract.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Also place the layers where all links, or all servers, are 4 times slower to 4 times faster.
    #[arg(long)]
    sensitivity: bool,
    /// Check a placement of the same problem, a file that --format json wrote, instead of making one: every limit, the
    /// delay, the bound, and all else that can be computed again. What takes a search has the time limit. Requests held
    /// and the form of communication are those that the placement says.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["output", "problem_output", "plot", "sensitivity", "budgets", "emit_scenario"])]
    verify: Option<PathBuf>,
    /// Leave out what the placement is compared with; --verify: do not compute it again.
    #[arg(long)]
    no_baselines: bool,
    /// Write the result to a file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the problem that is solved, with every key, to a file.
    #[arg(long, value_name = "FILE")]
    problem_output: Option<PathBuf>,
    /// Draw the placement: layers by server and bits, crossings of links, memories (SVG).
    #[arg(long, value_name = "FILE", conflicts_with = "budgets")]
    plot: Option<PathBuf>,
    /// Requests of each model for whose KV caches the servers have room at once, in place of the problem's
    /// held_requests (which is 1 if not given): what batches of a node of --emit-scenario or --budgets need.
    #[arg(long, value_name = "N")]
    held_requests: Option<u32>,
    #[command(flatten)]
    bridge: BridgeArgs,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Method {
    Exact,
    Ilp,
    Baseline(Baseline),
}

impl Method {
    /// What its bound is worth.
    fn bound(self) -> Bound {
        match self {
            Method::Exact => Bound::Proven,
            Method::Ilp => Bound::Claimed,
            Method::Baseline(_) => Bound::Rule,
        }
    }
}

/// The file, to say where in it something is wrong that only shows in the whole.
struct Source {
    name: String,
    text: String,
    /// The file of the layers, if they have one of their own.
    layers: Option<(String, String)>,
}

impl Source {
    fn texts(&self) -> (Text<'_>, Option<Text<'_>>) {
        let layers = self.layers.as_ref().map(|(name, text)| Text { name, text });
        (Text { name: &self.name, text: &self.text }, layers)
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let limits = time_limit(args.time_limit)?;
    let method = method(&args.solver)?;
    let asked = args.communication.map(|name| match name {
        CommunicationName::Chain => Communication::Chain,
        CommunicationName::Paper => Communication::Paper,
    });
    let communication = asked.unwrap_or_default();
    if let (Some(layers), None) = (&args.layers, &args.problem) {
        let problem = format!("{} has layers only, and no --problem is given", layers.display());
        let remedy = "give --problem FILE, with servers, links, [request] and [quality]";
        return Err(Place::file("--layers").error(problem, remedy).into());
    }
    super::outputs::distinct(&[
        ("--problem", args.problem.as_deref()),
        ("--layers", args.layers.as_deref()),
        ("--scenario", args.bridge.scenario()),
        ("--output", args.output.as_deref()),
        ("--problem-output", args.problem_output.as_deref()),
        ("--plot", args.plot.as_deref()),
        ("--emit-scenario", args.bridge.emitted()),
    ])?;
    let mut files = Outputs::open(&[
        ("--output", args.output.as_deref()),
        ("--problem-output", args.problem_output.as_deref()),
        ("--plot", args.plot.as_deref()),
        ("--emit-scenario", args.bridge.emitted()),
    ])?;
    let (mut problem, source) = match &args.problem {
        Some(path) => {
            let read = |path: &PathBuf| read_text(path, file::MAX_FILE).map(|text| (path.display().to_string(), text));
            let (name, text) = read(path)?;
            let source = Source { name, text, layers: args.layers.as_ref().map(read).transpose()? };
            let (text, layers) = source.texts();
            let problem = file::parse_with(text, layers).map_err(|e| match (&args.verify, &args.layers) {
                (Some(placement), None) => check::without_layers(e, placement),
                _ => e,
            })?;
            (problem, Some(source))
        }
        None => (generate::problem(&Spec::opt_350m(1)), None),
    };
    if let Some(held) = args.held_requests {
        hold(&mut problem, |_| held, || Place::file("--held-requests"))?;
    }
    let (sweep, base) = args.bridge.read(args.verify.is_some())?;
    if sweep.is_some() && args.sensitivity {
        let problem = "--budgets makes many placements";
        return Err(Place::file("--sensitivity").error(problem, "leave one of the two out").into());
    }
    let threads = args.threads.map_or(0, |n| n as usize);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Threads { threads, source: e.into() })?;
    let parallel = pool.current_num_threads() > 1;
    if let Some(path) = &args.verify {
        let place =
            |problem: &Problem, communication| pool.install(|| solve(problem, communication, &limits, parallel));
        let asked =
            check::Asked { problem: args.problem.is_some(), held_requests: args.held_requests, communication: asked };
        let check =
            check::Check { problem: &problem, limits: &limits, bridge: &args.bridge, baselines: !args.no_baselines };
        return check::run(path, &asked, &check, place).map_err(|e| match e.downcast() {
            Ok(error) => locate(error, source.as_ref()).into(),
            Err(e) => e,
        });
    }
    let place = |problem: &Problem| pool.install(|| solve(problem, communication, &limits, parallel));
    let bound = method.bound();
    let named =
        bridge::Placed { problem: &problem, about: about(args, &problem), solver: &args.solver, communication, bound };
    if let Some(sweep) = sweep {
        let one = |problem: &Problem| args.one(problem, method, communication, &limits, place);
        let served = sweep.run(named, &pool, one, args.format).map_err(|e| locate(e, source.as_ref()))?;
        match served.nothing {
            Some(none) if none.proven => return Err(Place::file("--budgets").error(none.what, none.why).into()),
            Some(none) => bail!("--budgets: {}; {}", none.what, none.why),
            None => {}
        }
        files.write("--problem-output", || file::to_toml(&problem))?;
        let status = args.finish(files, served.report)?;
        warn(served.room);
        return Ok(status);
    }
    if let Some(base) = &base {
        base.check(&problem).map_err(|e| locate(e, source.as_ref()))?;
    }
    let start = Instant::now();
    let outcome = match method {
        Method::Exact => place(&problem),
        Method::Ilp => general(&problem, communication, limits.time)?,
        Method::Baseline(b) => match baseline::place(&problem, b, communication, &limits) {
            Ok(placed) => as_outcome(placed),
            Err(why) => bail!("the solver {b} finds no placement: {why}"),
        },
    };
    let seconds = start.elapsed().as_secs_f64();
    let solution = match outcome {
        Outcome::Placed(solution) => solution,
        Outcome::Infeasible => {
            let error = args.named(infeasible::diagnose(&problem, communication, &args.few()));
            return Err(locate(error, source.as_ref()).into());
        }
        Outcome::Unknown { bound_s } => {
            let bound = if bound_s > 0.0 { format!(", and none is faster than {bound_s} s") } else { String::new() };
            bail!("--time-limit: no placement was found in {} s{bound}; give more time", args.time_limit)
        }
    };
    let node = base.map(|base| base.node(&named, &solution)).transpose().map_err(|e| locate(e, source.as_ref()))?;
    let room = node.as_ref().map(|node| bridge::room("--emit-scenario", &problem, node)).transpose()?.flatten();
    let mut report = Report {
        problem: &problem,
        about: named.about.clone(),
        problem_file: args.problem.as_ref().map(|path| path.display().to_string()),
        layers_file: args.layers.as_ref().map(|path| path.display().to_string()),
        solver: args.solver.clone(),
        communication,
        solution: &solution,
        bound,
        baselines: Vec::new(),
        sensitivity: Vec::new(),
        node: node.as_ref(),
        seconds,
    };
    if method == Method::Exact && !args.no_baselines {
        report.baselines =
            Baseline::ALL.map(|b| (b, baseline::place(&problem, b, communication, &limits))).into_iter().collect();
    }
    if args.sensitivity {
        report.sensitivity = sensitivity(&problem, place);
    }
    files.write("--problem-output", || file::to_toml(&problem))?;
    if args.plot.is_some() {
        let svg = plot::to_svg(&report).map_err(|e| anyhow!("cannot draw: {e}"))?;
        files.write("--plot", || svg)?;
    }
    let result = match args.format {
        Format::Text => text::to_text(&report),
        Format::Json => json::to_json(&report),
    };
    if let Some(node) = &node {
        files.write("--emit-scenario", || bridge::to_toml(&named, node))?;
    }
    let status = args.finish(files, result)?;
    warn(room);
    Ok(status)
}

/// Says what is to be known beside a result.
fn warn(what: Option<String>) {
    if let Some(what) = what {
        // The result is as good without it.
        let _ = writeln!(io::stderr(), "dftsp: {}", super::one_line(&what));
    }
}

impl Args {
    /// Limits of searches that only explain.
    fn few(&self) -> Limits {
        Limits::time(Duration::from_secs_f64(self.time_limit.min(5.0)))
    }

    /// An error about the requests held as one about the option, if they come from there.
    fn named(&self, error: Error) -> Error {
        match error {
            Error::Input { place, problem, remedy }
                if self.held_requests.is_some()
                    && place.field.as_ref().is_some_and(|field| field.ends_with("held_requests")) =>
            {
                Place::file("--held-requests").error(problem, remedy)
            }
            error => error,
        }
    }

    /// One placement of a sweep.
    fn one(
        &self,
        problem: &Problem,
        method: Method,
        communication: Communication,
        limits: &Limits,
        exact: impl Fn(&Problem) -> Outcome,
    ) -> Result<Box<Solution>, Unplaced> {
        let none = |status, why| Err(Unplaced { status, why });
        let outcome = match method {
            Method::Exact => exact(problem),
            Method::Ilp => match general(problem, communication, limits.time) {
                Ok(outcome) => outcome,
                Err(e) => return none("unknown", e.to_string()),
            },
            Method::Baseline(b) => match baseline::place(problem, b, communication, limits) {
                Ok(placed) => as_outcome(placed),
                Err(why) => return none("none", why),
            },
        };
        match outcome {
            Outcome::Placed(solution) => Ok(solution),
            Outcome::Infeasible => {
                none("infeasible", problem_of(infeasible::diagnose(problem, communication, &self.few())))
            }
            Outcome::Unknown { .. } => none("unknown", "the time limit came first".to_string()),
        }
    }

    /// The result last, and all files at once.
    fn finish(&self, mut files: Outputs, result: String) -> Result<ExitCode> {
        match self.output {
            Some(_) => files.write("--output", || result)?,
            None => super::print(&result)?,
        }
        files.commit()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Sets the requests that each model holds, whose number is that of `place`.
fn hold(problem: &mut Problem, held: impl Fn(usize) -> u32, place: impl Fn() -> Place) -> Result<(), Error> {
    for (at, model) in problem.models.iter_mut().enumerate() {
        limits::HELD.check(held(at).into(), &place)?;
        model.held_requests = held(at);
    }
    // Caches that are too large for sums of them.
    problem.check().map_err(|e| match e {
        Error::Input { problem, .. } => place().error(problem, "give fewer requests"),
        other => other,
    })
}

fn about(args: &Args, problem: &Problem) -> String {
    let from = match &args.problem {
        Some(path) => {
            let layers = args.layers.as_ref().map_or_else(String::new, |l| format!(" with {}", l.display()));
            format!("{}{layers}", path.display())
        }
        None => "embedded, OPT-350m on five servers".to_string(),
    };
    let models = match problem.models.len() {
        1 => String::new(),
        n => format!(" of {n} models"),
    };
    format!(
        "{from}; {}{models}, {}, {}",
        count(problem.len(), "layer"),
        count(problem.servers.len(), "server"),
        count(problem.links.len(), "link")
    )
}

fn method(name: &str) -> Result<Method> {
    match name {
        "exact" => return Ok(Method::Exact),
        "ilp" => return Ok(Method::Ilp),
        _ => {}
    }
    Baseline::from_name(name).map(Method::Baseline).ok_or_else(|| {
        let remedy = "give exact, ilp, one-server, even-split, greedy, uniform-N (N from 1 to 32 bits), placement-alone or \
                      quantization-alone";
        Place::file("--solver").error(format!("unknown solver {}", quote(name.as_bytes())), remedy).into()
    })
}

/// What a general solver finds.
fn general(problem: &Problem, communication: Communication, time: Option<Duration>) -> Result<Outcome> {
    match ilp::solve(problem, communication, time) {
        Answer::Optimal(outcome) | Answer::Stopped(outcome) => Ok(outcome),
        Answer::Failed(why) => {
            bail!("the general solver failed: {why}; give --solver exact, or build with the feature highs")
        }
    }
}

fn as_outcome(placed: baseline::Placed) -> Outcome {
    let baseline::Placed { seats, usage, bound_s } = placed;
    let (certificate, work) = (Certificate::default(), Work::default());
    Outcome::Placed(Box::new(Solution { seats, usage, bound_s, certificate, work }))
}

/// Names the file and the line in an error about the problem as a whole.
fn locate(error: Error, source: Option<&Source>) -> Error {
    match source {
        Some(source) => {
            let (text, layers) = source.texts();
            file::locate(text, layers, error)
        }
        None => error,
    }
}

fn sensitivity(problem: &Problem, place: impl Fn(&Problem) -> Outcome) -> Vec<Change> {
    const FACTORS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];
    let mut changes = Vec::new();
    for (what, links) in [("link bandwidth", true), ("server speed", false)] {
        for factor in FACTORS {
            let mut changed = problem.clone();
            if links {
                changed.links.iter_mut().for_each(|k| k.bandwidth_bytes_per_s *= factor);
            } else {
                changed.servers.iter_mut().for_each(|s| s.compute_flops *= factor);
            }
            let result = match place(&changed) {
                Outcome::Placed(s) => Ok((s.usage.delay_s, s.bound_s, mean_bits(&changed, &s.seats))),
                Outcome::Infeasible => Err("no placement keeps all limits".to_string()),
                Outcome::Unknown { .. } => Err("the time limit came first".to_string()),
            };
            changes.push(Change { what, factor, result });
        }
    }
    changes
}
