//! The rules of a run as options, which `sweep` shares.

use anyhow::Result;
use clap::ValueEnum;

use crate::error::{Place, quote};
use crate::limits::MAX_REQUESTS;
use crate::search::Limits;
use crate::simulation::{self, BatchTime, Settings, Waiting, clock};
use crate::solver::{Method, Solver};

/// From when deadlines count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WaitingArg {
    /// From a request's arrival.
    Arrival,
    /// From the first epoch that begins after it.
    Epoch,
}

/// How long a batch may compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BatchTimeArg {
    /// Until the tightest deadline in it; epochs that it outlasts are passed over.
    Deadline,
    /// So that no epoch is passed over.
    Epoch,
}

/// The options that say how it is run, and by whom.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RunArgs {
    /// How long requests arrive, seconds [default: 60; of a trace, all of it]. The run goes on until all have ended,
    /// for 1000 epochs at most.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    duration: Option<f64>,
    /// Nodes side by side, each with arrivals of its own (of a trace: the same ones, each from another moment on).
    #[arg(long, value_name = "N", default_value_t = 1)]
    nodes: u32,
    /// Schedulers to compare on the same arrivals: names of `solve --solver`, and all for flat, dftsp, static, none,
    /// fcfs, edf and shortest. dftsp is the batch of the paper's Algorithm 1, found from a proven bound (which is
    /// fast).
    #[arg(long, value_name = "NAME,..", default_value = "flat")]
    schedulers: String,
    /// dftsp, brute-force: nodes of the tree searched in an epoch; where they are not enough, the best greedy batch is
    /// taken, and the report says how often [default: 5000000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    node_limit: Option<u64>,
    /// static: batch size; without it, what fits in the worst case.
    #[arg(long, value_name = "REQUESTS")]
    batch_size: Option<usize>,
    /// From when deadlines and waiting times count: a request's arrival, or the first epoch that begins after it.
    #[arg(long, value_enum, value_name = "arrival|epoch", hide_possible_values = true, default_value = "arrival")]
    waiting: WaitingArg,
    /// Until when a batch may compute: the tightest deadline in it (epochs that it outlasts are passed over), or so
    /// that no epoch is passed over.
    #[arg(long, value_enum, value_name = "deadline|epoch", hide_possible_values = true, default_value = "deadline")]
    batch_time: BatchTimeArg,
    /// Prompts do not go up while the batch before is still computed: one batch after the other.
    #[arg(long)]
    no_overlap: bool,
    /// Requests that may wait at a node; what finds as many waiting is refused [default: 1048576].
    #[arg(long, value_name = "REQUESTS")]
    queue_limit: Option<usize>,
    /// Do not look for the largest batch of every epoch, which regret is measured against.
    #[arg(long)]
    no_regret: bool,
    /// How many times longer than planned batches compute; above 1, answers may be late.
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    pub(in crate::cli) slowdown: f64,
}

/// The schedulers that `all` stands for.
const ALL: [&str; 7] = ["flat", "dftsp", "static", "none", "fcfs", "edf", "shortest"];
/// The paper's, by the name it has here.
const DFTSP: &str = "dftsp";
/// Some seconds.
const NODE_LIMIT: u64 = 5_000_000;

impl RunArgs {
    /// The schedulers' names, each once, in order.
    pub(in crate::cli) fn names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        for name in self.schedulers.split(',').map(str::trim) {
            if name != "all" && Method::from_name(name).is_none() {
                let known = Method::ALL.map(Method::name).join(", ");
                let problem = format!("unknown name {}", quote(name.as_bytes()));
                return Err(Place::file("--schedulers").error(problem, format!("give all, or some of {known}")).into());
            }
            let meant = if name == "all" { ALL.as_slice() } else { &[name] };
            for name in meant {
                if !names.iter().any(|known| known == name) {
                    names.push((*name).to_string());
                }
            }
        }
        let without = |option: &str, what: &str| {
            let problem = format!("{what} is not among the schedulers");
            Err(Place::file(option).error(problem, "leave it out, or name it in --schedulers").into())
        };
        if self.batch_size.is_some() && !names.iter().any(|name| name == "static") {
            return without("--batch-size", "static");
        }
        if self.batch_size == Some(0) {
            return Err(Place::file("--batch-size").error("0 is not allowed", "give 1 or more").into());
        }
        if self.node_limit.is_some() && !names.iter().any(|name| is_limited(name)) {
            return without("--node-limit", "a scheduler that keeps to it (dftsp, dftsp-from-bound, brute-force)");
        }
        Ok(names)
    }

    /// The solver of that name, in the calling thread. "dftsp" is Algorithm 1, found from a proven bound.
    pub(in crate::cli) fn solver(&self, name: &str) -> Solver {
        // The names are known.
        let method = match Method::from_name(name).unwrap_or_default() {
            Method::Algorithm1 { prune: true } => Method::Algorithm1FromBound,
            Method::Static { .. } => Method::Static { batch_size: self.batch_size },
            method => method,
        };
        let nodes = is_limited(name).then(|| self.node_limit.unwrap_or(NODE_LIMIT));
        Solver::new(method).limits(Limits { nodes, ..Limits::NONE })
    }

    /// The limit on nodes, where one of these schedulers keeps to it.
    pub(in crate::cli) fn node_limit(&self, names: &[&str]) -> Option<u64> {
        names.iter().any(|name| is_limited(name)).then(|| self.node_limit.unwrap_or(NODE_LIMIT))
    }

    /// All but the duration, which may be that of a trace.
    pub(in crate::cli) fn settings(&self) -> Result<Settings> {
        simulation::NODES.check(f64::from(self.nodes), || Place::file("--nodes"))?;
        simulation::SLOWDOWN.check(self.slowdown, || Place::file("--slowdown"))?;
        let queue_limit = self.queue_limit.unwrap_or(Settings::default().queue_limit);
        if queue_limit == 0 || queue_limit > MAX_REQUESTS {
            let problem = format!("a queue of {queue_limit}");
            return Err(Place::file("--queue-limit").error(problem, format!("give 1 to {MAX_REQUESTS}")).into());
        }
        if let Some(duration_s) = self.duration {
            simulation::DURATION.check(duration_s, || Place::file("--duration"))?;
        }
        Ok(Settings {
            nodes: self.nodes,
            waiting: match self.waiting {
                WaitingArg::Arrival => Waiting::Counted,
                WaitingArg::Epoch => Waiting::FromEpoch,
            },
            batch_time: match self.batch_time {
                BatchTimeArg::Deadline => BatchTime::Deadline,
                BatchTimeArg::Epoch => BatchTime::Epoch,
            },
            overlap: !self.no_overlap,
            queue_limit,
            regret: !self.no_regret,
            ..Settings::default()
        })
    }

    /// How long requests arrive: of a trace of that length, all of it.
    pub(in crate::cli) fn duration_s(&self, length_ns: Option<u64>) -> Result<f64> {
        let Some(length_ns) = length_ns else {
            return Ok(self.duration.unwrap_or(Settings::default().duration_s));
        };
        let length_s = clock::seconds(length_ns);
        match self.duration {
            None => {
                // Nothing of a trace of many years is said to be an option's fault.
                simulation::DURATION.check(length_s, || Place::file("the trace's length"))?;
                Ok(length_s)
            }
            Some(duration_s) if clock::ns(duration_s) > length_ns => {
                let problem = format!("{duration_s} s are more than the trace has, which ends after {length_s} s");
                Err(Place::file("--duration").error(problem, "leave it out for all of the trace").into())
            }
            Some(duration_s) => Ok(duration_s),
        }
    }
}

/// Whether a scheduler keeps to a limit on nodes.
pub(in crate::cli) fn is_limited(name: &str) -> bool {
    name == DFTSP || matches!(Method::from_name(name), Some(Method::Algorithm1FromBound | Method::BruteForce))
}

/// The command that was given, without the options that change nothing in the results: with them, the same run would
/// not give the same files.
pub(in crate::cli) fn command(arguments: impl Iterator<Item = String>) -> String {
    const LEFT_OUT: [&str; 5] = ["--threads", "--backend", "--out", "--format", "--output"];
    let mut command = "dftsp".to_string();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        if argument == "--restart" {
            continue;
        }
        if LEFT_OUT.contains(&argument.as_str()) {
            arguments.next();
        } else if !LEFT_OUT.iter().any(|option| argument.strip_prefix(option).is_some_and(|v| v.starts_with('='))) {
            command.push(' ');
            command.push_str(&quoted(&argument));
        }
    }
    crate::cli::one_line(&command)
}

/// An argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=,:+@%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_string()
    } else {
        format!("'{}'", argument.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_what_a_shell_takes_and_the_same_on_any_number_of_threads() {
        let words = |text: &str| text.split('|').map(String::from).collect::<Vec<_>>().into_iter();
        let given =
            "simulate|--threads|4|--restart|--rate=5|--out=x y|--set|a.b=\"it's\"|--format|json|--output-levels|1,2";
        let expected = "dftsp simulate --rate=5 --set 'a.b=\"it'\\''s\"' --output-levels 1,2";
        assert_eq!(command(words(given)), expected);
        assert_eq!(command(words("simulate|--rate=5|--set|a.b=\"it's\"|--output-levels|1,2")), expected);
    }

    #[test]
    fn all_are_known() {
        assert!(ALL.into_iter().all(|name| Method::from_name(name).is_some()));
        assert!(is_limited("dftsp") && is_limited("brute-force") && !is_limited("flat"));
    }
}
