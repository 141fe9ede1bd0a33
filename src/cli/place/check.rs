//! `dftsp place --verify`: a placement that was written before, checked.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::bridge::{BridgeArgs, Placed};
use super::{Method, hold, method, sensitivity};
use crate::cli::{one_line, print};
use crate::error::{Error, Place, quote};
use crate::files::read::read_text;
use crate::placement::Problem;
use crate::placement::baseline::{self, Baseline};
use crate::placement::bridge::Node;
use crate::placement::delay::{self, Communication};
use crate::placement::solve::{OPTIMALITY, Outcome, Solution};
use crate::placement::verify::{Checked, rounded, verify};
use crate::report::number::count;
use crate::report::placement::claim::{Claim, Other, layers_file, parse_claim, problem_file};
use crate::report::placement::{Bound, mean_bits};
use crate::search::Limits;

/// The largest placement file, bytes.
const MAX_FILE: u64 = 1 << 26;

/// What a placement is checked against.
pub(super) struct Check<'c> {
    pub(super) problem: &'c Problem,
    /// Of each search.
    pub(super) limits: &'c Limits,
    /// The scenario that a node was made from.
    pub(super) bridge: &'c BridgeArgs,
    /// Whether baselines are computed again.
    pub(super) baselines: bool,
}

/// What was asked for on the command line, which the placement may contradict.
pub(super) struct Asked {
    /// Whether a problem file is given.
    pub(super) problem: bool,
    pub(super) held_requests: Option<u32>,
    pub(super) communication: Option<Communication>,
}

impl Asked {
    /// Refuses what contradicts the placement, which is called `name`.
    fn check(&self, claim: &Claim, name: &str) -> Result<(), Error> {
        let refuse =
            |field: &str, problem: String, remedy: String| Err(Place::file(name).field(field).error(problem, remedy));
        if let Some(asked) = self.communication.filter(|asked| *asked != claim.communication) {
            let (is, asked) = (claim.communication.name(), asked.name());
            let problem = format!("it is charged as '{is}', and --communication is '{asked}'");
            return refuse("communication", problem, "leave --communication out".to_string());
        }
        if let Some(asked) = self.held_requests
            && let Some((at, &held)) = claim.held_requests.iter().enumerate().find(|(_, held)| **held != asked)
        {
            let problem = format!("{} held, and --held-requests is {asked}", are(held));
            let field = match claim.held_requests.len() {
                1 => "held_requests".to_string(),
                _ => format!("models.{at}.held_requests"),
            };
            return refuse(&field, problem, "leave --held-requests out".to_string());
        }
        Ok(())
    }
}

/// The error of a problem without layers, where the placement has them from a file of their own.
pub(super) fn without_layers(error: Error, path: &Path) -> Error {
    let missing = matches!(&error, Error::Input { place, .. } if place.field.as_deref() == Some("layer"));
    let layers = if missing { read_text(path, MAX_FILE).ok().and_then(|text| layers_file(&text)) } else { None };
    let Some(file) = layers else { return error };
    let file = quote(file.as_bytes());
    let problem = format!("it is {file}, and no --layers is given");
    Place::file(path.display().to_string()).field("layers_file").error(problem, format!("give --layers {file}"))
}

/// "4 requests of chat and 1 of translate"; none where it is for one of each model.
fn memory_for(problem: &Problem, held: &[u32]) -> Option<String> {
    match held {
        [] => None,
        _ if held.iter().all(|held| *held == 1) => None,
        [held] => Some(count(*held, "request")),
        [first, ..] if held.iter().all(|held| held == first) => Some(format!("{first} requests of each model")),
        [first, rest @ .., last] => {
            let mut names = problem.models.iter().map(|model| model.name.as_str());
            let mut of = |held: String| format!("{held} of {}", names.next().unwrap_or_default());
            let mut most = of(count(*first, "request"));
            for held in rest {
                most = format!("{most}, {}", of(held.to_string()));
            }
            Some(format!("{most} and {}", of(last.to_string())))
        }
    }
}

fn are(requests: u32) -> String {
    if requests == 1 { "1 request is".to_string() } else { format!("{requests} requests are") }
}

/// What does not hold, in a line.
type Verdict<T> = std::result::Result<T, String>;

/// Checks the placement in a file. What its prices do not prove is searched again by `place`.
pub(super) fn run(
    path: &Path,
    asked: &Asked,
    check: &Check<'_>,
    place: impl Fn(&Problem, Communication) -> Outcome,
) -> Result<ExitCode> {
    let text = read_text(path, MAX_FILE)?;
    let name = path.display().to_string();
    // Before it is held against the embedded example.
    if let (Some(file), false) = (problem_file(&text), asked.problem) {
        let file = quote(file.as_bytes());
        let layers = layers_file(&text).map_or_else(String::new, |f| format!(" --layers {}", quote(f.as_bytes())));
        let problem = format!("it is {file}, and no --problem is given");
        return Err(Place::file(name).field("problem").error(problem, format!("give --problem {file}{layers}")).into());
    }
    let verdict = match parse_claim(&text, &name, check.problem)? {
        Ok(claim) => {
            asked.check(&claim, &name)?;
            let mut problem = check.problem.clone();
            let held = |at: usize| claim.held_requests.get(at).copied().unwrap_or(1);
            let key = if problem.models.len() > 1 { "models" } else { "held_requests" };
            hold(&mut problem, held, || Place::file(&name).field(key))?;
            let check = Check { problem: &problem, ..*check };
            match verify(&problem, claim.communication, &claim.solution) {
                Ok(checked) => {
                    let node = if claim.has_node { Some(check.node(&claim)?) } else { None };
                    check.rest(&claim, &checked, node.as_ref(), |problem| place(problem, claim.communication))
                }
                Err(failure) => Err(format!("{}: {}", failure.check, failure.detail)),
            }
        }
        Err(failure) => Err(format!("{}: {}", failure.check, failure.detail)),
    };
    match verdict {
        Ok(what) => {
            print(&format!("verified: {what}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            print(&format!("not verified: {}\n", one_line(&why)))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

impl Check<'_> {
    /// The node of the seats, for a base that is given again.
    fn node(&self, claim: &Claim) -> Result<Node> {
        let base = self.bridge.base()?;
        base.check(self.problem)?;
        let usage = delay::usage(self.problem, &claim.solution.seats, claim.communication);
        let solution = match usage {
            Ok(usage) => Solution { usage, ..claim.solution.clone() },
            // Not after they were verified.
            Err(_) => claim.solution.clone(),
        };
        let placed = Placed {
            problem: self.problem,
            about: String::new(),
            solver: &claim.solver,
            communication: claim.communication,
            bound: claim.bound,
        };
        Ok(base.node(&placed, &solution)?)
    }

    /// All but the seats, their limits, the delay and the prices.
    fn rest(
        &self,
        claim: &Claim,
        checked: &Checked,
        node: Option<&Node>,
        place: impl Fn(&Problem) -> Outcome,
    ) -> Verdict<String> {
        let (delay, bound) = (checked.delay_s, claim.solution.bound_s);
        if claim.optimal && delay - bound > OPTIMALITY * delay {
            return Err(format!(
                "bound: it is {} s, which does not prove {} s optimal",
                rounded(bound),
                rounded(delay)
            ));
        }
        if let Some(own) = method(&claim.solver).ok().map(Method::bound).filter(|own| *own != claim.bound) {
            let solver = quote(claim.solver.as_bytes());
            let (is, should) = (claim.bound.name(), own.name());
            return Err(format!("bound_by: '{is}' is claimed, and that of the solver {solver} is '{should}'"));
        }
        claim.fields(self.problem, node).map_err(|mismatch| mismatch.to_string())?;
        let what = format!("{} placed, {} s", count(claim.solution.seats.len(), "layer"), rounded(delay));
        let what = match memory_for(self.problem, &claim.held_requests) {
            Some(held) => format!("{what}; memory for {held}"),
            None => what,
        };
        let what = match claim.bound {
            Bound::Rule => {
                format!("{what}; it keeps every limit; the baseline {} claims no bound", one_line(&claim.solver))
            }
            Bound::Proven | Bound::Claimed => bounded(what, claim, checked, || place(self.problem))?,
        };
        if self.baselines {
            claim.baselines.iter().try_for_each(|other| self.baseline(claim, other))?;
        }
        if !claim.sensitivity.is_empty() {
            let changes = sensitivity(self.problem, place);
            for other in &claim.sensitivity {
                let change = changes.iter().find(|c| c.what == other.name && c.factor == other.factor);
                let change = change.ok_or_else(|| {
                    format!("{}: {} × {} is not computed", other.path, quote(other.name.as_bytes()), other.factor)
                })?;
                let again = change.result.as_ref().map(|r| *r).map_err(String::as_str);
                other.check(again).map_err(|mismatch| mismatch.to_string())?;
            }
        }
        Ok(what)
    }

    /// One baseline, again.
    fn baseline(&self, claim: &Claim, other: &Other) -> Verdict<()> {
        let Some(baseline) = Baseline::from_name(&other.name) else {
            return Err(format!("{}.name: there is no baseline {}", other.path, quote(other.name.as_bytes())));
        };
        let again = baseline::place(self.problem, baseline, claim.communication, self.limits);
        let again = again.as_ref().map(|p| (p.usage.delay_s, p.bound_s, mean_bits(self.problem, &p.seats)));
        other.check(again.map_err(String::as_str)).map_err(|mismatch| mismatch.to_string())
    }
}

/// What is left to prove when the prices have been checked: that nothing is faster than the bound.
fn bounded(what: String, claim: &Claim, checked: &Checked, again: impl Fn() -> Outcome) -> Verdict<String> {
    let bound = claim.solution.bound_s;
    let what = format!("{what}; no placement is faster than {} s", rounded(bound));
    if checked.enumerated <= 2.0 * OPTIMALITY {
        return Ok(format!("{what}: the prices prove it"));
    }
    let (found, proven) = match again() {
        Outcome::Placed(s) => (s.usage.delay_s, s.bound_s),
        Outcome::Infeasible => return Err("bound: the search says that there is no placement at all".to_string()),
        Outcome::Unknown { bound_s } => (f64::INFINITY, bound_s),
    };
    if found < bound * (1.0 - 2.0 * OPTIMALITY) {
        return Err(format!("bound: a placement takes {} s, less than {} s", rounded(found), rounded(bound)));
    }
    if proven < bound * (1.0 - 2.0 * OPTIMALITY) {
        return Err(format!(
            "bound: searching again proved {} s in the time limit, less than {} s",
            rounded(proven),
            rounded(bound)
        ));
    }
    Ok(match claim.bound {
        Bound::Claimed => format!("{what}: searching again proved it"),
        _ => format!(
            "{what}: the prices prove {} s, and searching again proved the rest",
            rounded(checked.priced_bound_s)
        ),
    })
}
