//! The JSON contract of a solution, both ways.
//!
//! Multipliers of the certificate are whole numbers of up to 62 bits; read them with a parser that keeps 64-bit
//! integers.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::bound::Multipliers;
use crate::certificate::{Certificate, Covered, Exhausted, Section, Status, Work};
use crate::error::{Error, Place, Result, quote};
use crate::files::json::why;
use crate::instance::{Change, Reason};
use crate::outcome::{Allocation, Fractions, Outcome, names};
use crate::precision::{Choice, Entry, Evaluation};
use crate::rank::RESOURCES;
use crate::verify::{Claim, Failure};
use crate::workload::Requests;

#[derive(Serialize)]
struct SolutionOut<'o> {
    status: &'static str,
    size: usize,
    bound: u64,
    requests: usize,
    scheduled: Vec<&'o str>,
    usage: Fractions,
    tightest_deadline_s: Option<f64>,
    binding: Vec<&'static str>,
    allocations: Vec<AllocationFile<&'o str>>,
    rejected: Vec<RejectedOut<'o>>,
    quantization: &'o str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quantizations: Vec<EntryOut<'o>>,
    solver: &'o str,
    backend: &'o str,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_reason: Option<&'o str>,
    seconds: f64,
    work: WorkOut,
    assumptions: &'o [String],
    certificate: CertificateFile,
}

#[derive(Serialize)]
struct RejectedOut<'o> {
    id: &'o str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<ChangeOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_by: Option<Vec<&'static str>>,
}

/// One precision of a choice, solved or with weights that do not fit.
#[derive(Serialize)]
struct EntryOut<'o> {
    name: &'o str,
    memory_factor: f64,
    time_factor: f64,
    perplexity_increase: f64,
    chosen: bool,
    status: &'static str,
    #[serde(flatten)]
    solved: Option<SolvedOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_bytes: Option<f64>,
}

#[derive(Serialize)]
struct SolvedOut {
    size: usize,
    bound: u64,
    unservable: BTreeMap<&'static str, usize>,
    binding: Vec<&'static str>,
    seconds: f64,
}

#[derive(Serialize)]
struct ChangeOut {
    field: &'static str,
    from: Number,
    to: Number,
}

/// Tokens are whole numbers, and are written so that they can be pasted back.
#[derive(Serialize)]
#[serde(untagged)]
enum Number {
    Tokens(u64),
    Real(f64),
}

fn change(c: &Change) -> ChangeOut {
    let number = |x: f64| if c.field.ends_with("_tokens") { Number::Tokens(x as u64) } else { Number::Real(x) };
    ChangeOut { field: c.field, from: number(c.from), to: number(c.to) }
}

#[derive(Serialize)]
pub(super) struct WorkOut {
    bound_passes: u64,
    subproblems: u64,
    nodes: u64,
    work_items: u64,
    paths_checked: u64,
    paths_open: u64,
    stopped: bool,
}

/// What `verify` needs of a solution; anything else in the file is for readers.
#[derive(Deserialize)]
struct SolutionIn {
    status: String,
    size: u64,
    bound: u64,
    requests: usize,
    quantization: Option<String>,
    scheduled: Vec<String>,
    usage: Fractions,
    tightest_deadline_s: Option<f64>,
    allocations: Vec<AllocationFile<String>>,
    rejected: Vec<RejectedIn>,
    certificate: CertificateFile,
}

#[derive(Deserialize)]
struct RejectedIn {
    id: String,
    reason: String,
}

#[derive(Serialize, Deserialize)]
struct AllocationFile<S> {
    id: S,
    uplink: f64,
    downlink: f64,
}

#[derive(Serialize, Deserialize)]
struct CertificateFile {
    bound: u64,
    sections: Vec<SectionFile>,
}

#[derive(Serialize, Deserialize)]
struct SectionFile {
    longest_prompt: Option<(u32, u32)>,
    covered: Vec<CoveredFile>,
    exhausted: Vec<ExhaustedFile>,
}

#[derive(Serialize, Deserialize)]
struct CoveredFile {
    first: u32,
    last: u32,
    one_bits: u32,
    multipliers: [u64; RESOURCES],
}

#[derive(Serialize, Deserialize)]
struct ExhaustedFile {
    deadline_rank: u32,
    one_bits: u32,
    multipliers: [u64; RESOURCES],
}

/// The outcome as a JSON document, ending in a line feed.
pub fn to_json(outcome: &Outcome, requests: &Requests) -> String {
    document(outcome, requests, Vec::new())
}

/// The best outcome of a choice of precision as a JSON document, with what every precision gives.
pub fn choice_to_json(choice: &Choice, requests: &Requests) -> String {
    let entries = choice.entries.iter().enumerate().map(|(at, e)| entry_out(e, at == choice.best)).collect();
    document(&choice.outcome, requests, entries)
}

fn entry_out(e: &Entry, chosen: bool) -> EntryOut<'_> {
    let q = &e.quantization;
    EntryOut {
        name: &q.name,
        memory_factor: q.memory_factor,
        time_factor: q.time_factor,
        perplexity_increase: q.perplexity_increase,
        chosen,
        status: match &e.evaluation {
            Evaluation::Solved(s) => status_word(s.status),
            Evaluation::WeightsDoNotFit { .. } => "weights-do-not-fit",
        },
        solved: e.evaluation.solved().map(|s| SolvedOut {
            size: s.size,
            bound: s.bound(),
            unservable: s.unservable.iter().map(|&(reason, count)| (reason.as_str(), count)).collect(),
            binding: s.binding.clone(),
            seconds: s.seconds,
        }),
        weight_bytes: match e.evaluation {
            Evaluation::Solved(_) => None,
            Evaluation::WeightsDoNotFit { weight_bytes } => Some(weight_bytes),
        },
    }
}

/// The word for how good a batch is.
pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Optimal => "optimal",
        Status::Feasible { .. } => "feasible",
    }
}

/// The counters of a search.
pub(super) fn work(work: &Work) -> WorkOut {
    let Work { bound_passes, subproblems, work_items, nodes, paths_checked, paths_open, stopped } = *work;
    WorkOut { bound_passes, subproblems, nodes, work_items, paths_checked, paths_open, stopped }
}

fn document(outcome: &Outcome, requests: &Requests, quantizations: Vec<EntryOut<'_>>) -> String {
    let id = |row: u32| requests.id(row as usize);
    let allocations = outcome.allocations.iter();
    let solution = SolutionOut {
        status: status_word(outcome.status),
        size: outcome.scheduled.len(),
        bound: outcome.certificate.bound,
        requests: outcome.requests,
        scheduled: outcome.scheduled.iter().map(|&row| id(row)).collect(),
        usage: outcome.usage,
        tightest_deadline_s: outcome.tightest_deadline_s,
        binding: outcome.binding(),
        allocations: allocations
            .map(|a| AllocationFile { id: id(a.request), uplink: a.uplink, downlink: a.downlink })
            .collect(),
        rejected: outcome
            .rejected
            .iter()
            .map(|r| RejectedOut {
                id: id(r.request),
                reason: r.reason.as_str(),
                changes: r.changes.iter().map(change).collect(),
                blocked_by: (r.reason == Reason::CrowdedOut).then(|| names(r.blocked_by)),
            })
            .collect(),
        quantization: &outcome.quantization,
        quantizations,
        solver: &outcome.solver,
        backend: outcome.ran.backend,
        backend_reason: outcome.ran.why.as_deref(),
        seconds: outcome.seconds,
        work: work(&outcome.work),
        assumptions: &outcome.assumptions,
        certificate: certificate_file(&outcome.certificate),
    };
    // Strings, numbers and lists only: none of them can fail.
    let mut text = serde_json::to_string_pretty(&solution).unwrap_or_default();
    text.push('\n');
    text
}

fn certificate_file(certificate: &Certificate) -> CertificateFile {
    let section = |s: &Section| SectionFile {
        longest_prompt: s.padded,
        covered: s
            .covered
            .iter()
            .map(|c| CoveredFile {
                first: c.first,
                last: c.last,
                one_bits: c.multipliers.one_bits(),
                multipliers: c.multipliers.lambda(),
            })
            .collect(),
        exhausted: s
            .exhausted
            .iter()
            .map(|e| ExhaustedFile {
                deadline_rank: e.deadline_rank,
                one_bits: e.multipliers.one_bits(),
                multipliers: e.multipliers.lambda(),
            })
            .collect(),
    };
    CertificateFile { bound: certificate.bound, sections: certificate.sections.iter().map(section).collect() }
}

/// Reads what a solution file called `name` claims about `requests`.
///
/// The outer error is a file that is not a solution; the inner one a solution that speaks of requests which are not
/// there, or whose multipliers no certificate may have.
///
/// # Errors
/// See above.
pub fn parse_claim(text: &str, name: &str, requests: &Requests) -> Result<std::result::Result<Claim, Failure>> {
    let solution: SolutionIn = serde_json::from_str(text).map_err(|e| not_a_solution(&e, text, name))?;
    let optimal = match solution.status.as_str() {
        "optimal" => true,
        "feasible" => false,
        other => {
            let problem = format!("unknown status {}", quote(other.as_bytes()));
            return Err(Place::file(name).field("status").error(problem, "give \"optimal\" or \"feasible\""));
        }
    };
    let mut reasons = Vec::with_capacity(solution.rejected.len());
    for r in &solution.rejected {
        let Some(reason) = Reason::ALL.into_iter().find(|reason| reason.as_str() == r.reason) else {
            let problem = format!("unknown reason {}", quote(r.reason.as_bytes()));
            let known = Reason::ALL.map(Reason::as_str).join(", ");
            return Err(Place::file(name).field("rejected").error(problem, format!("the reasons are {known}")));
        };
        reasons.push(reason);
    }
    Ok(to_claim(&solution, optimal, &reasons, requests))
}

fn not_a_solution(e: &serde_json::Error, text: &str, name: &str) -> Error {
    let (key, what) = why(e, text);
    let place = Place::line(name, e.line().max(1) as u64);
    let place = match key {
        Some(key) => place.field(key),
        None => place,
    };
    place.error(what, "give a file that `dftsp solve --format json` wrote")
}

fn to_claim(
    solution: &SolutionIn,
    optimal: bool,
    reasons: &[Reason],
    requests: &Requests,
) -> std::result::Result<Claim, Failure> {
    let rows: HashMap<&str, u32> = requests.ids().iter().zip(0..).collect();
    let row = |id: &str| match rows.get(id) {
        Some(&row) => Ok(row),
        None => {
            let detail = format!("there is no request {}", quote(id.as_bytes()));
            Err(Failure { check: "batch", detail })
        }
    };
    let allocation =
        |a: &AllocationFile<String>| Ok(Allocation { request: row(&a.id)?, uplink: a.uplink, downlink: a.downlink });
    let rejected = |(r, &reason): (&RejectedIn, &Reason)| Ok((row(&r.id)?, reason));
    let sections = solution.certificate.sections.iter().map(section);
    Ok(Claim {
        optimal,
        size: solution.size,
        bound: solution.bound,
        quantization: solution.quantization.clone(),
        scheduled: solution.scheduled.iter().map(|id| row(id)).collect::<std::result::Result<_, _>>()?,
        requests: solution.requests,
        usage: solution.usage,
        tightest_deadline_s: solution.tightest_deadline_s,
        allocations: solution.allocations.iter().map(allocation).collect::<std::result::Result<_, _>>()?,
        rejected: solution.rejected.iter().zip(reasons).map(rejected).collect::<std::result::Result<_, _>>()?,
        certificate: Certificate {
            bound: solution.certificate.bound,
            sections: sections.collect::<std::result::Result<_, _>>()?,
        },
    })
}

fn section(s: &SectionFile) -> std::result::Result<Section, Failure> {
    let multipliers = |one_bits: u32, lambda: [u64; RESOURCES]| {
        Multipliers::new(one_bits, lambda).ok_or_else(|| {
            let detail = format!("the multipliers {lambda:?} over 2^{one_bits} are out of range");
            Failure { check: "certificate", detail }
        })
    };
    let covered = |c: &CoveredFile| {
        Ok(Covered { first: c.first, last: c.last, multipliers: multipliers(c.one_bits, c.multipliers)? })
    };
    let exhausted = |e: &ExhaustedFile| {
        Ok(Exhausted { deadline_rank: e.deadline_rank, multipliers: multipliers(e.one_bits, e.multipliers)? })
    };
    Ok(Section {
        padded: s.longest_prompt,
        covered: s.covered.iter().map(covered).collect::<std::result::Result<_, _>>()?,
        exhausted: s.exhausted.iter().map(exhausted).collect::<std::result::Result<_, _>>()?,
    })
}
