//! The report that `dftsp solve` prints for people.

use std::fmt::Write as _;

use crate::certificate::Status;
use crate::instance::{Change, Reason};
use crate::outcome::{CONSTRAINTS, Outcome, Rejected};
use crate::report::number::count;
use crate::workload::Requests;

/// Ids shown of a long list.
const SHOWN: usize = 12;
/// Examples shown for each reason.
const EXAMPLES: usize = 3;

/// The outcome in words. `about` says in a line or two what was solved.
pub fn to_text(outcome: &Outcome, requests: &Requests, about: &str) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = report(&mut out, outcome, requests, about);
    out
}

fn report(out: &mut String, o: &Outcome, requests: &Requests, about: &str) -> std::fmt::Result {
    let size = o.scheduled.len();
    writeln!(out, "{about}")?;
    match o.status {
        Status::Optimal => writeln!(out, "scheduled {size} of {} requests: proven optimal", o.requests)?,
        Status::Feasible { bound } => {
            writeln!(out, "scheduled {size} of {} requests: feasible; no batch is larger than {bound}", o.requests)?;
        }
    }
    if o.work.stopped {
        writeln!(out, "the time limit stopped the search")?;
    }
    writeln!(out)?;
    let crowded_out = o.rejected.iter().filter(|r| r.reason == Reason::CrowdedOut).count();
    for (r, name) in CONSTRAINTS.into_iter().enumerate() {
        let used = 100.0 * o.usage.as_array()[r];
        let binds = match o.blocks[r] {
            0 => String::from("does not bind"),
            n => format!("binds: keeps out {n} of the {crowded_out} crowded out"),
        };
        writeln!(out, "  {name:<9} {used:>8.3} % used   {binds}")?;
    }
    if let Some(left) = o.tightest_deadline_s {
        writeln!(out, "  tightest deadline of the batch: {left:.3} s after the epoch begins")?;
    }
    writeln!(out, "\nscheduled: {}", list(o.scheduled.iter().map(|&row| requests.id(row as usize)), size))?;
    writeln!(out, "not scheduled: {} ({} that no batch could serve)", o.rejected.len(), o.unservable())?;
    for reason in Reason::ALL {
        let rejected: Vec<&Rejected> = o.rejected.iter().filter(|r| r.reason == reason).collect();
        if !rejected.is_empty() {
            write_reason(out, reason, &rejected, requests)?;
        }
    }
    writeln!(out)?;
    write_proof(out, o)?;
    for assumption in &o.assumptions {
        writeln!(out, "assumed: {assumption}")?;
    }
    Ok(())
}

fn list<'i>(ids: impl Iterator<Item = &'i str>, count: usize) -> String {
    let shown: Vec<&str> = ids.take(SHOWN).collect();
    match count {
        0 => "none".to_string(),
        _ if count > SHOWN => format!("{}, … and {} more", shown.join(", "), count - SHOWN),
        _ => shown.join(", "),
    }
}

fn write_reason(out: &mut String, reason: Reason, rejected: &[&Rejected], requests: &Requests) -> std::fmt::Result {
    write!(out, "  {reason}: {}", rejected.len())?;
    if reason == Reason::CrowdedOut {
        return writeln!(out, " (servable alone, not in this batch)");
    }
    let examples = rejected.iter().take(EXAMPLES).map(|r| {
        let changes: Vec<String> = r.changes.iter().map(show_change).collect();
        format!("{} needs {}", requests.id(r.request as usize), changes.join(" and "))
    });
    let more = if rejected.len() > EXAMPLES { "; …" } else { "" };
    writeln!(out, " ({}{more})", examples.collect::<Vec<_>>().join("; "))
}

/// "prompt_tokens ≤ 185 (has 512)", rounded towards the safe side.
fn show_change(change: &Change) -> String {
    let Change { field, from, to } = *change;
    let sign = if to > from { '≥' } else { '≤' };
    format!("{field} {sign} {} (has {})", number(to, to > from), number(from, false))
}

/// About five digits; the last one is rounded up or down.
fn number(x: f64, up: bool) -> String {
    if x.fract() == 0.0 && x.abs() < 1e6 {
        return format!("{x}");
    }
    let unit = libm::exp10(libm::floor(libm::log10(x.abs())) - 4.0);
    // A millionth of the last digit is a rounding error of the division and no reason to go to the next.
    let rounded = if up { (x / unit - 1e-6).ceil() } else { (x / unit + 1e-6).floor() } * unit;
    if (1e-3..1e6).contains(&x.abs()) {
        let text = format!("{rounded:.6}");
        return text.trim_end_matches('0').trim_end_matches('.').to_string();
    }
    format!("{rounded:.4e}")
}

fn write_proof(out: &mut String, o: &Outcome) -> std::fmt::Result {
    let sections = &o.certificate.sections;
    let bounds: usize = sections.iter().map(|s| s.covered.len()).sum();
    let searched: usize = sections.iter().map(|s| s.exhausted.len()).sum();
    write!(
        out,
        "proof that no batch is larger than {}: {} over all deadlines",
        o.certificate.bound,
        count(bounds, "bound")
    )?;
    if searched > 0 {
        write!(out, ", and a search of the {} left open", count(searched, "deadline"))?;
    }
    writeln!(out, " (`dftsp verify` checks it)")?;
    let w = o.work;
    writeln!(
        out,
        "solver {} on {}: {:.3} ms, {}, {}, {}, {} checked",
        o.solver,
        o.ran.backend,
        o.seconds * 1e3,
        count(w.bound_passes, "bound pass"),
        count(w.subproblems, "subproblem"),
        count(w.nodes, "node"),
        count(w.paths_checked, "path"),
    )?;
    match &o.ran.why {
        Some(why) => writeln!(out, "  {}, because {why}", o.ran.backend),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Family, Generator, Spec};
    use crate::instance::Problem;
    use crate::outcome::Provenance;
    use crate::solver::{Method, Solver};

    fn text(solver: Method) -> String {
        let generator = Generator::new(Spec::new(Family::Binding)).unwrap();
        let requests = generator.requests().unwrap();
        let problem = Problem::new(generator.scenario(), &requests).unwrap();
        let solution = Solver::new(solver).solve(&problem.instance);
        let made = Provenance { solver: solver.to_string(), seconds: 0.001 };
        let outcome = Outcome::new(generator.scenario(), &requests, &problem, solution, made).unwrap();
        to_text(&outcome, &requests, "a test")
    }

    #[test]
    fn the_report_says_what_binds_and_what_is_proven() {
        let report = text(Method::Flat);
        for part in [
            "a test\n",
            "proven optimal",
            "uplink ",
            "binds: keeps out",
            "crowded-out: ",
            " needs deadline_s ≥ ",
            "assumed: ",
        ] {
            assert!(report.contains(part), "{part} in\n{report}");
        }
        let report = text(Method::NoBatching);
        assert!(report.contains("scheduled 1 of 100 requests: feasible; no batch is larger than 8"), "{report}");
    }
}
