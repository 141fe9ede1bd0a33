//! Which precision serves the most requests: P1 for every quantisation on offer.
//!
//! In: scenario, requests, precisions and a solver. Out: a [`Choice`]: what each precision gives, and the outcome of
//! the best. This is the trade-off of the paper's Fig. 6, decided instead of plotted: fewer bits make room for a larger
//! KV cache (1c), and shut out the users who ask for more accuracy (1e).
//!
//! Invariant: the scenario is changed in its `quantization` and nothing else, so the outcome is one of [`Problem::new`]
//! for [`at`] the precision chosen, and verifies against it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Instant;

use crate::certificate::Status;
use crate::cost::Transformer;
use crate::error::{Place, Result, quote};
use crate::instance::{Problem, Reason};
use crate::outcome::{Outcome, Provenance, bound_of};
use crate::scenario::{Assumption, Quantization, Scenario, preset};
use crate::solver::Solver;
use crate::workload::Requests;

/// What every precision gives, and the best of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// One for each precision, in the order given.
    pub entries: Vec<Entry>,
    /// Which entry is the best.
    pub best: usize,
    /// The scenario at the best precision.
    pub scenario: Scenario,
    /// The best outcome.
    pub outcome: Outcome,
}

/// A precision and what it gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The precision.
    pub quantization: Quantization,
    /// What it gives.
    pub evaluation: Evaluation,
}

/// What a precision gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Evaluation {
    /// A batch.
    Solved(Summary),
    /// Nothing: the weights alone exceed the memory.
    WeightsDoNotFit {
        /// What they take, α·m1 bytes.
        weight_bytes: f64,
    },
}

/// The outcome of one precision in short.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Requests scheduled.
    pub size: usize,
    /// How good that is.
    pub status: Status,
    /// Whether a limit stopped the search.
    pub stopped: bool,
    /// How many requests no batch could serve at this precision, by the first reason of each; reasons that none has are
    /// left out.
    pub unservable: Vec<(Reason, usize)>,
    /// Which of [`CONSTRAINTS`](crate::outcome::CONSTRAINTS) bind.
    pub binding: Vec<&'static str>,
    /// Wall time of the solver, seconds.
    pub seconds: f64,
}

impl Summary {
    /// No batch at this precision is larger.
    pub fn bound(&self) -> u64 {
        bound_of(self.size, self.status)
    }
}

impl Evaluation {
    /// The summary, if there is one.
    pub fn solved(&self) -> Option<&Summary> {
        match self {
            Evaluation::Solved(summary) => Some(summary),
            Evaluation::WeightsDoNotFit { .. } => None,
        }
    }
}

impl Choice {
    /// No batch at any of the precisions is larger. Where it is the size of the best batch, the choice is proven.
    pub fn bound(&self) -> u64 {
        self.entries.iter().filter_map(|e| e.evaluation.solved()).map(Summary::bound).max().unwrap_or(0)
    }
}

/// The precisions on offer for a scenario: its own, and every preset that has a ΔPPL for its model. Where its own table
/// names a preset, that preset with the numbers of the table is meant by the name, and no other.
pub fn on_offer(scenario: &Scenario) -> Vec<Quantization> {
    let own = &scenario.quantization;
    let mut offer: Vec<Quantization> = Vec::new();
    if !preset::QUANTIZATIONS.contains(&own.name.as_str()) {
        offer.push(own.clone());
    }
    for name in preset::QUANTIZATIONS {
        if name == own.name {
            offer.push(own.clone());
        } else if let Some((q, _)) = preset::quantization(name, &scenario.model.name).and_then(|p| p.complete()) {
            offer.push(q);
        }
    }
    offer
}

/// The precisions of a list such as "w8a16,fp16", in its order; "auto" is all [`on_offer`].
///
/// # Errors
/// An empty list, an unknown name or one given twice; `place` says where the list came from.
pub fn parse(scenario: &Scenario, list: &str, place: impl Fn() -> Place) -> Result<Vec<Quantization>> {
    let offer = on_offer(scenario);
    if list.trim() == "auto" {
        return Ok(offer);
    }
    let names: Vec<&str> = offer.iter().map(|q| q.name.as_str()).collect();
    let remedy =
        || format!("give auto, or some of {}, which are on offer for {}", names.join(","), scenario.model.name);
    let mut chosen: Vec<Quantization> = Vec::new();
    for name in list.split(',').map(str::trim) {
        let quoted = quote(name.as_bytes());
        if name.is_empty() {
            return Err(place().error("a name is missing", remedy()));
        }
        let Some(q) = offer.iter().find(|q| q.name == name) else {
            let without_perplexity = preset::QUANTIZATIONS.contains(&name);
            let problem = match name {
                _ if without_perplexity => format!("{quoted} has no ΔPPL for the model {}", scenario.model.name),
                "auto" => "auto stands for all and is given alone".to_string(),
                _ => format!("unknown quantisation {quoted}"),
            };
            return Err(place().error(problem, remedy()));
        };
        if chosen.contains(q) {
            return Err(place().error(format!("{quoted} is given twice"), remedy()));
        }
        chosen.push(q.clone());
    }
    Ok(chosen)
}

/// The scenario at another precision. What was assumed about the old one is forgotten, and what a preset assumes about
/// the new one is added.
#[must_use]
pub fn at(scenario: &Scenario, quantization: &Quantization) -> Scenario {
    if scenario.quantization == *quantization {
        return scenario.clone();
    }
    let of_preset = preset::quantization(&quantization.name, &scenario.model.name).and_then(|p| p.complete());
    let assumed = of_preset.filter(|(q, _)| q == quantization).map_or_else(Vec::new, |(_, assumptions)| assumptions);
    let others = scenario.assumptions.iter().filter(|a| !about_quantization(a));
    let assumptions = assumed.iter().chain(others).cloned().collect();
    Scenario { quantization: quantization.clone(), assumptions, ..scenario.clone() }
}

fn about_quantization(assumption: &Assumption) -> bool {
    assumption.0.starts_with("quantization.")
}

/// Solves P1 at every one of `quantizations` and says which gives the best batch: the largest; of equally large ones
/// one that is proven optimal before one that is not, then the smallest ΔPPL, then the first given.
///
/// A precision whose weights do not fit in the memory is an entry that says so. The solver's limits hold for each
/// precision.
///
/// ```
/// use dftsp::{precision, scenario::Scenario, solver::{Method, Solver}, workload::{Request, Requests}};
///
/// let mut scenario = Scenario::paper();
/// scenario.node.memory_bytes = 2.6e9; // The weights take 2.36 GB at 8 bits and twice that at 16.
/// let mut requests = Requests::new();
/// for (id, max_perplexity_increase) in [("a", 1.0), ("b", 1.0), ("c", 0.1)] {
///     requests.push(id, Request { max_perplexity_increase, ..Request::new(512, 512) })?;
/// }
/// let offer = precision::on_offer(&scenario);
/// let choice = precision::choose(&scenario, &requests, &offer, &Solver::new(Method::Flat))?;
/// let sizes: Vec<_> = choice.entries.iter().map(|e| e.evaluation.solved().map(|s| s.size)).collect();
/// // fp16 does not fit; eight bits leave room for one, four for both of those who accept them.
/// assert_eq!(sizes, [None, Some(1), Some(2), Some(2)]);
/// assert_eq!(choice.scenario.quantization.name, "w4a16-gptq");
/// # Ok::<(), dftsp::error::Error>(())
/// ```
///
/// # Errors
/// No precision or two of one name; no precision whose weights fit; those of [`Problem::new`].
pub fn choose(
    scenario: &Scenario,
    requests: &Requests,
    quantizations: &[Quantization],
    solver: &Solver,
) -> Result<Choice> {
    scenario.check()?;
    check_names(quantizations)?;
    let mut entries: Vec<Entry> = Vec::with_capacity(quantizations.len());
    // Outcomes can be large: only the best so far is kept.
    let mut best: Option<(usize, Scenario, Outcome)> = None;
    for quantization in quantizations {
        let scenario = at(scenario, quantization);
        scenario.check()?;
        let quantization = quantization.clone();
        if !Problem::weights_fit(&scenario) {
            let evaluation = Evaluation::WeightsDoNotFit { weight_bytes: weight_bytes(&scenario) };
            entries.push(Entry { quantization, evaluation });
            continue;
        }
        let problem = Problem::new(&scenario, requests)?;
        let start = Instant::now();
        let solution = solver.solve(&problem.instance);
        let seconds = start.elapsed().as_secs_f64();
        let made = Provenance { solver: solver.method().to_string(), seconds };
        let outcome = Outcome::new(&scenario, requests, &problem, solution, made)?;
        entries.push(Entry { quantization, evaluation: Evaluation::Solved(summary(&outcome)) });
        let better = best.as_ref().is_none_or(|(_, s, o)| merit(&scenario, &outcome) > merit(s, o));
        if better {
            best = Some((entries.len() - 1, scenario, outcome));
        }
    }
    match best {
        Some((best, scenario, outcome)) => Ok(Choice { entries, best, scenario, outcome }),
        None => Err(none_fits(scenario, quantizations)),
    }
}

/// What is compared; the larger is the better.
fn merit(scenario: &Scenario, outcome: &Outcome) -> (usize, bool, Reverse<u64>) {
    // ΔPPL is never negative, and the bits of such floats are in the order of the floats (+ 0.0 turns −0 into 0).
    let perplexity = (scenario.quantization.perplexity_increase + 0.0).to_bits();
    (outcome.scheduled.len(), outcome.status == Status::Optimal, Reverse(perplexity))
}

fn summary(outcome: &Outcome) -> Summary {
    let mut unservable: BTreeMap<Reason, usize> = BTreeMap::new();
    for rejected in outcome.rejected.iter().filter(|r| r.reason != Reason::CrowdedOut) {
        *unservable.entry(rejected.reason).or_default() += 1;
    }
    Summary {
        size: outcome.scheduled.len(),
        status: outcome.status,
        stopped: outcome.work.stopped,
        unservable: unservable.into_iter().collect(),
        binding: outcome.binding(),
        seconds: outcome.seconds,
    }
}

/// Names tell the entries apart, for readers and for the verifier.
fn check_names(quantizations: &[Quantization]) -> Result<()> {
    let place = || Place::file("quantizations");
    if quantizations.is_empty() {
        return Err(place().error("none is given", "give at least one"));
    }
    for (at, q) in quantizations.iter().enumerate() {
        if quantizations[..at].iter().any(|earlier| earlier.name == q.name) {
            let problem = format!("the name {} is given twice", quote(q.name.as_bytes()));
            return Err(place().error(problem, "give each precision a name of its own"));
        }
    }
    Ok(())
}

/// α·m1.
fn weight_bytes(scenario: &Scenario) -> f64 {
    scenario.quantization.memory_factor * Transformer::new(&scenario.model).weight_bytes() as f64
}

fn none_fits(scenario: &Scenario, quantizations: &[Quantization]) -> crate::error::Error {
    let takes = |q: &Quantization| format!("{:.4e} bytes at {}", weight_bytes(&at(scenario, q)), q.name);
    let list: Vec<String> = quantizations.iter().map(takes).collect();
    let problem = format!(
        "the weights of {} take {}, all more than the memory of {:.4e}",
        scenario.model.name,
        list.join(", "),
        scenario.node.memory_bytes
    );
    let remedy = "give more memory, a smaller model or a lower precision";
    Place::file("scenario").field("node.memory_bytes").error(problem, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solver::Method;
    use crate::workload::Request;

    fn names(offer: &[Quantization]) -> Vec<&str> {
        offer.iter().map(|q| q.name.as_str()).collect()
    }

    fn requests(rows: &[Request]) -> Requests {
        let mut requests = Requests::new();
        rows.iter().enumerate().for_each(|(i, r)| requests.push(&format!("r{i}"), *r).unwrap());
        requests
    }

    #[test]
    fn on_offer_is_the_scenarios_own_and_the_presets_for_its_model() {
        let mut s = Scenario::paper();
        assert_eq!(names(&on_offer(&s)), preset::QUANTIZATIONS);
        s.model.name = "qwen2.5-7b".to_string();
        assert_eq!(names(&on_offer(&s)), ["fp16", "w8a16"]);
        // A preset with a number of the scenario's own stays under its name.
        s.quantization.time_factor = 0.7;
        assert_eq!(on_offer(&s)[1], s.quantization);
        s.quantization.name = "custom".to_string();
        assert_eq!(names(&on_offer(&s)), ["custom", "fp16", "w8a16"]);
    }

    #[test]
    fn lists_are_checked_and_say_what_is_on_offer() {
        let mut s = Scenario::paper();
        let parse = |s: &Scenario, list: &str| parse(s, list, || Place::file("--quantization"));
        assert_eq!(names(&parse(&s, "w4a16-gptq, fp16").unwrap()), ["w4a16-gptq", "fp16"]);
        assert_eq!(parse(&s, "auto").unwrap(), on_offer(&s));
        s.model.name = "qwen2.5-7b".to_string();
        for (list, problem) in [
            ("", "a name is missing"),
            ("fp16,", "a name is missing"),
            ("fp8", "unknown quantisation 'fp8'"),
            ("auto,fp16", "auto stands for all and is given alone"),
            ("fp16,w8a16,fp16", "'fp16' is given twice"),
            ("w4a16-gptq", "'w4a16-gptq' has no ΔPPL for the model qwen2.5-7b"),
        ] {
            let message = parse(&s, list).unwrap_err().to_string();
            let remedy = "give auto, or some of fp16,w8a16, which are on offer for qwen2.5-7b";
            assert_eq!(message, format!("--quantization: {problem}; {remedy}"));
        }
    }

    #[test]
    fn only_what_is_assumed_about_the_precision_changes_with_it() {
        let mut s = Scenario::paper();
        s.assumptions.push(Assumption("node.compute_flops = 1".to_string()));
        let [fp16, own, gptq, _] = on_offer(&s).try_into().unwrap();
        assert_eq!(at(&s, &own), s);
        assert_eq!(at(&s, &fp16).assumptions, [Assumption("node.compute_flops = 1".to_string())]);
        let assumed: Vec<String> = at(&s, &gptq).assumptions.iter().map(|a| a.0.clone()).collect();
        assert!(assumed[0].contains("(preset w4a16-gptq)") && assumed.len() == 2, "{assumed:?}");
        assert_eq!(at(&at(&s, &gptq), &own).quantization, s.quantization);
    }

    #[test]
    fn ties_go_to_the_proven_then_to_the_smallest_perplexity_then_to_the_first() {
        let s = Scenario::paper();
        let any = requests(&[Request::new(512, 128); 3]);
        let offer = on_offer(&s);
        let solver = Solver::new(Method::Flat);
        let best = |offer: &[Quantization]| {
            let choice = choose(&s, &any, offer, &solver).unwrap();
            assert_eq!(choice.scenario.quantization, offer[choice.best]);
            assert_eq!(choice.bound(), 3);
            offer[choice.best].name.clone()
        };
        assert_eq!(best(&offer), "fp16");
        assert_eq!(best(&[offer[3].clone(), offer[2].clone()]), "w4a16-gptq");
        let twin = Quantization { name: "twin".to_string(), ..offer[0].clone() };
        assert_eq!(best(&[twin.clone(), offer[0].clone()]), "twin");
        assert_eq!(best(&[offer[0].clone(), twin]), "fp16");
        let outcome = choose(&s, &any, &offer, &solver).unwrap().outcome;
        let limited = Outcome { status: Status::Feasible { bound: 9 }, ..outcome.clone() };
        assert!(merit(&at(&s, &offer[3]), &outcome) > merit(&at(&s, &offer[0]), &limited));
    }

    #[test]
    fn weights_that_do_not_fit_are_an_entry_unless_none_fits() {
        let mut s = Scenario::paper();
        s.node.memory_bytes = 1.5e9;
        let offer = on_offer(&s);
        let solver = Solver::new(Method::Flat);
        let one = requests(&[Request { max_perplexity_increase: 0.8, ..Request::new(512, 128) }]);
        let choice = choose(&s, &one, &offer, &solver).unwrap();
        let solved: Vec<Option<usize>> =
            choice.entries.iter().map(|e| e.evaluation.solved().map(|summary| summary.size)).collect();
        assert_eq!((solved, choice.best), (vec![None, None, Some(1), Some(0)], 2));
        let local = choice.entries[3].evaluation.solved().unwrap();
        assert_eq!(local.unservable, [(Reason::Accuracy, 1)]);
        s.node.memory_bytes = 1e9;
        let message = choose(&s, &one, &offer[..2], &solver).unwrap_err().to_string();
        let start = "scenario, node.memory_bytes: the weights of bloom-3b take 4.7186e9 bytes at fp16, 2.3593e9 bytes";
        assert!(message.starts_with(start), "{message}");
    }

    #[test]
    fn no_precision_and_two_of_one_name_are_refused() {
        let (s, none, solver) = (Scenario::paper(), Requests::new(), Solver::new(Method::Flat));
        assert!(choose(&s, &none, &[], &solver).is_err());
        let twice = [s.quantization.clone(), s.quantization.clone()];
        assert!(choose(&s, &none, &twice, &solver).unwrap_err().to_string().contains("'w8a16' is given twice"));
        let bad = Quantization { memory_factor: 0.0, ..s.quantization.clone() };
        assert!(choose(&s, &none, &[bad], &solver).is_err());
    }
}
