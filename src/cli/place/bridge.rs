//! The options of `dftsp place` that make a placed model a node for the scheduler, and the sweep over quality budgets.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::ThreadPool;

use crate::cli::progress::Bar;
use crate::cli::{Format, one_line};
use crate::error::{Error, Place, quote};
use crate::experiment::sweep::MAX_SEEDS;
use crate::limits;
use crate::placement::Problem;
use crate::placement::bridge::{self, Node};
use crate::placement::budgets::{self, Plan, Row, Unplaced};
use crate::placement::delay::Communication;
use crate::placement::problem::check_limit;
use crate::placement::solve::Solution;
use crate::report::placement::Bound;
use crate::report::placement::budgets::{Report, to_json, to_text};
use crate::report::simulation::{describe_arrivals, describe_needs};
use crate::scenario::{Scenario, file};
use crate::simulation::{self, Settings};

/// The most budgets of a sweep.
const MAX_BUDGETS: usize = 1000;
/// Seeds of each budget.
const SEEDS: u64 = 10;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct BridgeArgs {
    /// Also write the placed model as one node: a scenario (TOML) that `solve` and `simulate` run. Its cost model gives
    /// the request of the problem the placement's delay. Needs quality.perplexity in the problem.
    #[arg(long, value_name = "FILE")]
    emit_scenario: Option<PathBuf>,
    /// --emit-scenario, --budgets, --verify of a result with a node: a scenario (TOML) of the same model, from which
    /// the node takes all but node and quantization. Without it, one for OPT-350m.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Instead of one placement: for each of these quality budgets ε, in place of the problem's, place the layers, make
    /// them a node, and simulate it with the paper's scheduler (dftsp). Reports requests served against ε.
    #[arg(long, value_name = "ε,..", allow_hyphen_values = true)]
    budgets: Option<String>,
    /// --budgets: arrivals a second, in place of the scenario's arrivals.rate_per_s.
    #[arg(long, value_name = "REQUESTS", allow_negative_numbers = true)]
    rate: Option<f64>,
    /// --budgets: how long requests arrive in each run, seconds [default: 60].
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    duration: Option<f64>,
    /// --budgets: each is simulated with seeds 1 to this, in place of the scenario's synthesis.seed [default: 10].
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
}

/// The base and what it is called.
pub(super) struct Base {
    scenario: Scenario,
    file: Option<String>,
}

/// A sweep over budgets, ready to run.
pub(super) struct Sweep {
    base: Base,
    budgets: Vec<f64>,
    seeds: u64,
    settings: Settings,
}

/// What came out of one.
pub(super) struct Served {
    /// The report.
    pub(super) report: String,
    /// What to know of nodes with too little room.
    pub(super) room: Option<String>,
    /// Why there is nothing in the report, if so.
    pub(super) nothing: Option<Nothing>,
}

/// Why no budget gives a node.
pub(super) struct Nothing {
    pub(super) what: &'static str,
    pub(super) why: String,
    /// Whether it is sure that there can be none.
    pub(super) proven: bool,
}

/// What was placed, for the reports.
pub(super) struct Placed<'p> {
    pub(super) problem: &'p Problem,
    pub(super) about: String,
    pub(super) solver: &'p str,
    pub(super) communication: Communication,
    pub(super) bound: Bound,
}

impl BridgeArgs {
    /// Where the base comes from.
    pub(super) fn scenario(&self) -> Option<&Path> {
        self.scenario.as_deref()
    }

    /// Where the scenario goes.
    pub(super) fn emitted(&self) -> Option<&Path> {
        self.emit_scenario.as_deref()
    }

    /// The sweep that is asked for, or the base of the scenario to write, if one is; refuses options without use. A
    /// placement that is verified may have a node.
    pub(super) fn read(&self, verify: bool) -> Result<(Option<Sweep>, Option<Base>)> {
        let refuse = |option: &str, problem: &str, remedy: &str| {
            Err(Place::file(option).error(problem.to_string(), remedy.to_string()).into())
        };
        if self.budgets.is_some() && self.emit_scenario.is_some() {
            return refuse("--emit-scenario", "--budgets makes many nodes", "leave one of the two out");
        }
        if self.scenario.is_some() && self.budgets.is_none() && self.emit_scenario.is_none() && !verify {
            return refuse("--scenario", "no node is made", "give --emit-scenario or --budgets, or leave it out");
        }
        let given = [
            ("--rate", self.rate.is_some()),
            ("--duration", self.duration.is_some()),
            ("--seeds", self.seeds.is_some()),
        ];
        if let (None, Some((option, _))) = (&self.budgets, given.into_iter().find(|(_, given)| *given)) {
            return refuse(option, "nothing is simulated", "give --budgets, or leave it out");
        }
        let Some(text) = &self.budgets else {
            let base = self.emit_scenario.as_ref().map(|_| self.base()).transpose()?;
            return Ok((None, base));
        };
        let budgets = text.split(',').map(|word| budget(word.trim())).collect::<Result<Vec<f64>, Error>>()?;
        if budgets.len() > MAX_BUDGETS {
            return refuse("--budgets", &format!("{} budgets", budgets.len()), &format!("give at most {MAX_BUDGETS}"));
        }
        let seeds = self.seeds.unwrap_or(SEEDS);
        if seeds == 0 || seeds > MAX_SEEDS {
            return refuse("--seeds", &format!("{seeds} seeds"), &format!("give 1 to {MAX_SEEDS}"));
        }
        let duration_s = self.duration.unwrap_or(Settings::default().duration_s);
        simulation::DURATION.check(duration_s, || Place::file("--duration"))?;
        let mut base = self.base()?;
        if let Some(rate) = self.rate {
            limits::RATE.check(rate, || Place::file("--rate"))?;
            base.scenario.arrivals.rate_per_s = rate;
        }
        let settings = Settings { duration_s, regret: false, ..Settings::default() };
        Ok((Some(Sweep { base, budgets, seeds, settings }), None))
    }

    /// The base that is given, or the embedded one.
    pub(super) fn base(&self) -> Result<Base> {
        Ok(match &self.scenario {
            Some(path) => {
                Base { scenario: file::read_path(path, None)?, file: Some(one_line(&path.display().to_string())) }
            }
            None => Base { scenario: bridge::example_base(), file: None },
        })
    }
}

fn budget(word: &str) -> Result<f64, Error> {
    let place = || Place::file("--budgets");
    let number: f64 = word.parse().map_err(|_| {
        let problem = format!("{} is not a number", quote(word.as_bytes()));
        place().error(problem, "give sums of weight errors with commas between, such as 0.2,0.4,0.8")
    })?;
    check_limit(number, &limits::ERROR_BUDGET, place)?;
    // Not −0.
    Ok(number.abs())
}

impl Base {
    fn name(&self) -> &str {
        self.file.as_deref().unwrap_or("the embedded base scenario")
    }

    /// Names the base in an error about it.
    fn locate(&self, error: Error) -> Error {
        bridge::about_base(error, self.name())
    }

    /// Refuses what no placement can make a node of, before time is spent on placing.
    pub(super) fn check(&self, problem: &Problem) -> Result<(), Error> {
        bridge::check_problem(problem)?;
        bridge::check_base(problem, &self.scenario).map_err(|e| self.locate(e))
    }

    /// The node of a placement.
    pub(super) fn node(&self, placed: &Placed<'_>, solution: &Solution) -> Result<Node, Error> {
        let Placed { problem, communication, .. } = placed;
        let node = bridge::node(problem, &solution.seats, &solution.usage, *communication, &self.scenario);
        node.map_err(|e| self.locate(e))
    }
}

/// What to know of the room on a node before it serves requests, in a line that begins with the option; nothing where
/// each request of its scenario fits, and two of the shortest.
///
/// # Errors
/// A node on which no request ever fits.
pub(super) fn room(option: &str, problem: &Problem, node: &Node) -> Result<Option<String>, Error> {
    let Some(model) = problem.models.first() else { return Ok(None) };
    let each = u64::from(model.prompt_tokens) + u64::from(model.output_tokens);
    let held = |tokens: u64| tokens.div_ceil(each);
    let place = || Place::file(option);
    let (has, least) = (node.kv_tokens, node.least_tokens());
    if has < least {
        let what = format!("the node holds {has} KV tokens, and with its padding every request takes {least} or more");
        let remedy = format!("give --held-requests {}, more memory, or a --scenario with less padding", held(least));
        return Err(place().error(what, remedy));
    }
    let (fewest, most) = node.request_tokens();
    let fit = match has {
        has if has < fewest => "none of them fits",
        has if has < most => "not all of them fit",
        has if has < 2 * fewest => "no two fit at once",
        _ => return Ok(None),
    };
    let what = format!("the node holds {has} KV tokens, and requests of its scenario take {fewest} to {most}: {fit}");
    let remedy = format!("--held-requests {} makes room for two of any, where memories allow it", held(2 * most));
    Ok(Some(place().error(what, remedy).to_string()))
}

/// What to know of the room on the nodes of a sweep: of the first budget whose node lacks some, and how many more do.
///
/// # Errors
/// Nodes on which no request ever fits, all of them.
fn rooms(problem: &Problem, rows: &[Row]) -> Result<Option<String>, Error> {
    let nodes = rows.iter().filter_map(|row| Some((row.budget, row.node.as_deref().ok()?)));
    let rooms: Vec<_> = nodes.map(|(budget, node)| room(&format!("--budgets, ε {budget}"), problem, node)).collect();
    let small = rooms.iter().filter(|room| !matches!(room, Ok(None))).count();
    let none = rooms.iter().all(Result::is_err);
    let Some(first) = rooms.into_iter().find(|room| !matches!(room, Ok(None))) else { return Ok(None) };
    let line = match first {
        Err(e) if none => return Err(e),
        Err(e) => e.to_string(),
        Ok(line) => line.unwrap_or_default(),
    };
    Ok(Some(if small == 1 { line } else { format!("{line} (and so at {} more)", small - 1) }))
}

/// Why a sweep has nothing to report, if no budget gives a node: that of the largest budget, which comes nearest to a
/// placement, or of the smallest that is placed, which comes nearest to a node.
fn nothing(rows: &[Row]) -> Option<Nothing> {
    if rows.iter().any(|row| row.node.is_ok()) {
        return None;
    }
    let by_budget = |a: &&Row, b: &&Row| a.budget.total_cmp(&b.budget);
    let placed = rows.iter().filter(|row| row.placed.is_ok()).min_by(by_budget);
    let row = placed.or_else(|| rows.iter().max_by(by_budget))?;
    let what = if placed.is_some() { "no placement becomes a node" } else { "nothing is placed" };
    Some(Nothing {
        what,
        why: format!("at ε {}: {}", row.budget, row.node.as_ref().err().map_or("", String::as_str)),
        proven: row.placed.as_ref().err().is_none_or(|unplaced| unplaced.status == "infeasible"),
    })
}

/// The node as a scenario file.
pub(super) fn to_toml(placed: &Placed<'_>, node: &Node) -> String {
    let errors = placed.problem.note.as_ref().map(|note| format!("# Weight errors: {}.\n", one_line(note)));
    let about = one_line(&placed.about);
    let model = placed.problem.models.first();
    format!(
        "# Written by dftsp place, solver {}: {about}.\n{}# One node that takes as long for {} prompt and {} output tokens as \
         the placement ({} s, links included),\n# and that holds as many KV tokens as its tightest server ({}). No server \
         has this compute_flops or memory_bytes.\n\n{}",
        placed.solver,
        errors.unwrap_or_default(),
        model.map_or(0, |m| m.prompt_tokens),
        model.map_or(0, |m| m.output_tokens),
        node.delay_s,
        node.kv_tokens,
        file::to_toml(&node.scenario)
    )
}

impl Sweep {
    /// Runs it, and says what came out.
    pub(super) fn run(
        self,
        placed: Placed<'_>,
        pool: &ThreadPool,
        place: impl Fn(&Problem) -> Result<Box<Solution>, Unplaced> + Send,
        format: Format,
    ) -> Result<Served, Error> {
        self.base.check(placed.problem)?;
        let bar = Bar::new("runs");
        let plan = Plan {
            problem: placed.problem,
            base: &self.base.scenario,
            communication: placed.communication,
            budgets: self.budgets.clone(),
            seeds: self.seeds,
            settings: self.settings,
        };
        let rows: Vec<Row> = pool.install(|| budgets::run(&plan, place, &bar)).map_err(|e| self.base.locate(e))?;
        bar.finish();
        let (room, nothing) = (rooms(placed.problem, &rows)?, nothing(&rows));
        let assumptions = &self.base.scenario.assumptions;
        let kept = |text: &&String| !text.starts_with("quantization") && !text.starts_with("node");
        let report = Report {
            problem: placed.problem,
            about: placed.about,
            solver: placed.solver.to_string(),
            bound: placed.bound,
            served_how: self.describe(),
            assumptions: assumptions.iter().map(|a| &a.0).filter(kept).cloned().collect(),
            rows,
        };
        let report = match format {
            Format::Text => to_text(&report),
            Format::Json => to_json(&report),
        };
        Ok(Served { report, room, nothing })
    }

    fn describe(&self) -> String {
        let s = &self.base.scenario;
        one_line(&format!(
            "dftsp (Algorithm 1) on the node with all else of {} ({}; {}; {}), seeds 1 to {}, {} s of arrivals each, ± 95 % \
             confidence",
            self.base.name(),
            s.model.name,
            describe_arrivals(&s.arrivals),
            describe_needs(&s.synthesis),
            self.seeds,
            self.settings.duration_s
        ))
    }
}
