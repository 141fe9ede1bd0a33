//! `dftsp place --verify`: a placement that was written before, checked.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{one_line, print};
use crate::files::read::read_text;
use crate::placement::Problem;
use crate::placement::delay::Communication;
use crate::placement::solve::{OPTIMALITY, Outcome};
use crate::placement::verify::{Checked, verify};
use crate::report::placement::json::{Claim, parse_claim};

/// The largest placement file, bytes.
const MAX_FILE: u64 = 1 << 28;

/// Checks the placement in a file. What its prices do not prove is searched again by `place`.
pub(super) fn run(
    path: &Path,
    problem: &Problem,
    place: impl Fn(&Problem, Communication) -> Outcome,
) -> Result<ExitCode> {
    let text = read_text(path, MAX_FILE)?;
    let verdict = match parse_claim(&text, &path.display().to_string(), problem)? {
        Ok(claim) => match verify(problem, claim.communication, &claim.solution) {
            Ok(checked) => rest(&claim, &checked, || place(problem, claim.communication)),
            Err(failure) => Err(format!("{}: {}", failure.check, failure.detail)),
        },
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

/// What is left to prove when the prices have been checked: that nothing is faster than the bound.
fn rest(claim: &Claim, checked: &Checked, again: impl Fn() -> Outcome) -> std::result::Result<String, String> {
    let (delay, bound) = (checked.delay_s, claim.solution.bound_s);
    if claim.optimal && delay - bound > OPTIMALITY * delay {
        return Err(format!("bound: it is {bound} s, which does not prove {delay} s optimal"));
    }
    let layers = claim.solution.seats.len();
    let what = format!("{layers} layers placed, {delay} s; no placement is faster than {bound} s");
    if checked.enumerated <= 2.0 * OPTIMALITY {
        return Ok(format!("{what}: the prices prove it"));
    }
    let (found, proven) = match again() {
        Outcome::Placed(s) => (s.usage.delay_s, s.bound_s),
        Outcome::Infeasible => return Err("bound: the search says that there is no placement at all".to_string()),
        Outcome::Unknown { bound_s } => (f64::INFINITY, bound_s),
    };
    if found < bound * (1.0 - 2.0 * OPTIMALITY) {
        return Err(format!("bound: a placement takes {found} s, less than {bound} s"));
    }
    if proven < bound * (1.0 - 2.0 * OPTIMALITY) {
        return Err(format!("bound: searching again proved {proven} s in the time limit, less than {bound} s"));
    }
    Ok(format!("{what}: the prices prove {} s, and searching again proved the rest", checked.priced_bound_s))
}
