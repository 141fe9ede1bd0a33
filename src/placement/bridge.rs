//! The placed model as one node for the batch scheduler.
//!
//! In: a problem of one model, an assignment, and a base [`Scenario`] of that model. Out: the base with a node and a
//! quantisation such that the scheduler's cost model ([`crate::cost`], section II of arXiv 2405.07140) says of the
//! placed model what the placement says:
//!
//! | | is |
//! |---|---|
//! | β | Σ_l FLOP_l·f(b_l)/f(16) / Σ_l FLOP_l: how much longer than at 16 bits the servers compute, weighted by FLOP |
//! | C | β·FLOP(P, O)/delay, with FLOP(P, O) of the cost model: the reference request takes exactly the placement's delay, links included |
//! | α | Σ_l parameters_l·b_l/16 / Σ_l parameters_l: mean bits over 16 |
//! | M | α·(m1 + (T + ½)·m2), with m1 and m2 the weights and the KV cache of a token in the cost model: (1c) admits batches of up to T tokens |
//! | T | the least over the servers in use of the tokens that fit beside its weights |
//! | ΔPPL | the problem's declared curve at Σ_l Δ_{l, b_l} |
//!
//! What this takes for granted:
//!
//! - A request holds the whole chain of servers from its first token in to its last token out, and the requests of a
//!   batch pass one after another, as in (1d), whose time is the sum over the requests. A chain could overlap them;
//!   that is not counted.
//! - Other lengths than P and O scale as the cost model's FLOP do. The placement's delay scales with s + n − 1 and, for
//!   the latencies of links, with n. How far the two are apart for the lengths of the base is [`Node::departure`].
//! - Only C/β and ⌊M/α⌋ enter (1c) and (1d). C is no rate of any server, nor is M their memory: the paper's (1c) counts
//!   the KV cache α times, and here it is not quantised. M is so much that the constraint is the servers' own.
//! - The KV cache of a token takes the same on a server whatever request it is of. Where no layer holds any,
//!   T is [`MOST_TOKENS`].
//! - A placement has memory for the requests that the problem says are held, by default one: more fit only where memory
//!   is left over. For larger batches, hold more (`held_requests`).
//! - Capacities (`max_busy_s`, `max_sent_bytes`) are per request, and hold for requests that need no more than the
//!   reference.
//! - The cost model knows no embedding and no output head. Their time is in the delay, their bits are in α, their
//!   errors in ΔPPL.

use super::delay::{self, Communication, TOLERANCE, Usage};
use super::problem::{Layer, Model, Problem, Seat};
use crate::cost::Transformer;
use crate::error::{Error, Place, Result, quote};
use crate::scenario::{self, Assumption, Padding, Quantization, Scenario, preset};
use crate::workload::OutputLevels;
use crate::workload::arrivals::{Arrivals, TokenLengths};

/// How far, relatively, the parameters of the placed layers may be from those of the scenario's model: biases and
/// norms, which the cost model does not count.
pub const PARAMETER_TOLERANCE: f64 = 0.02;

/// T where no server holds a KV cache.
pub const MOST_TOKENS: u64 = 1 << 40;

/// The bits that α and β are relative to.
const FULL_BITS: u32 = 16;

/// A placed model as the scheduler sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The base with this node and quantisation.
    pub scenario: Scenario,
    /// Of the reference request, seconds.
    pub delay_s: f64,
    /// Sum of the weight errors, which ΔPPL is for.
    pub weight_error: f64,
    /// T: tokens that a batch may hold.
    pub kv_tokens: u64,
    /// The server that allows no more; `None` where no server holds a KV cache.
    pub tightest: Option<usize>,
    /// Least and largest of (time in the cost model)/(delay of the placement) over the lengths that the base's arrivals
    /// have, shortest and longest.
    pub departure: (f64, f64),
}

/// The node that a placement is to the scheduler.
///
/// # Errors
/// A problem of several models, or without a curve; a weight error above the curve's last point (about "problem"). A
/// base of several models or of another one; numbers that no scenario can have (about "scenario").
pub fn node(
    problem: &Problem,
    seats: &[Seat],
    usage: &Usage,
    communication: Communication,
    base: &Scenario,
) -> Result<Node> {
    let model = one_model(problem)?;
    check_base(problem, base)?;
    let weight_error = usage.quality.first().copied().unwrap_or(0.0);
    let perplexity_increase = perplexity(problem, model, weight_error)?;
    let t = Transformer::new(&base.model);
    let alpha = mean(model, seats, |layer| layer.parameters, |bits| f64::from(bits) / f64::from(FULL_BITS));
    let full = problem.time_factor(FULL_BITS);
    let beta = mean(model, seats, |layer| layer.flops_per_token, |bits| problem.time_factor(bits) / full);
    let (kv_tokens, tightest) = kv_tokens(problem, model, seats);
    let delay_s = usage.delay_s;
    let note = problem.note.as_ref().map_or_else(String::new, |note| format!("; {note}"));
    let mut scenario = base.clone();
    scenario.quantization = Quantization {
        name: "custom".to_string(),
        memory_factor: alpha,
        time_factor: beta,
        perplexity_increase,
        note: Some(format!("it and the node are those of a placement{note}")),
    };
    scenario.node = scenario::Node {
        compute_flops: beta * t.flops(model.prompt_tokens, model.output_tokens) as f64 / delay_s,
        memory_bytes: alpha * (t.weight_bytes() as f64 + (kv_tokens as f64 + 0.5) * t.kv_bytes_per_token() as f64),
    };
    // What the base assumed of node and quantisation is no longer so.
    scenario.assumptions.retain(|a| !a.0.starts_with("quantization") && !a.0.starts_with("node"));
    let notes = scenario.quantization.note.iter().map(|note| Assumption(format!("quantization: {note}")));
    scenario.assumptions.extend(notes);
    scenario.check()?;
    let departure = departure(problem, seats, communication, &scenario);
    Ok(Node { scenario, delay_s, weight_error, kv_tokens, tightest, departure })
}

impl Node {
    /// The fewest and the most KV tokens that a request of the scenario's arrivals takes: its prompt, padded where that
    /// is constant, and its output.
    pub fn request_tokens(&self) -> (u64, u64) {
        let a = &self.scenario.arrivals;
        let (prompts, outputs) = (charged(&self.scenario, ends(&a.prompt_tokens)), ends(&a.output_tokens));
        let sum = |at: usize| u64::from(prompts[at]) + u64::from(outputs[at]);
        (sum(0), sum(1))
    }

    /// The fewest KV tokens that any request takes: one token of output, and one of prompt or the constant padding.
    pub fn least_tokens(&self) -> u64 {
        u64::from(charged(&self.scenario, [1, 1])[0]) + 1
    }

    /// C/β: FLOP of the cost model done in a second.
    pub fn effective_flops(&self) -> f64 {
        self.scenario.node.compute_flops / self.scenario.quantization.time_factor
    }
}

/// What the cost model says that a request takes alone, without the radio, seconds.
pub fn seconds(scenario: &Scenario, prompt_tokens: u32, output_tokens: u32) -> f64 {
    let flops = Transformer::new(&scenario.model).flops(prompt_tokens, output_tokens) as f64;
    flops * scenario.quantization.time_factor / scenario.node.compute_flops
}

/// The base of the embedded example: OPT-350m behind the radio of arXiv 2405.07140, section IV, for requests of the
/// size of the reference and below, and users who wait for some seconds. The arrivals, lengths and deadlines are
/// assumptions.
pub fn example_base() -> Scenario {
    let mut base = Scenario::paper();
    if let Some(model) = preset::model("opt-350m") {
        base.model = model;
    }
    let none = Quantization {
        name: "fp16".to_string(),
        memory_factor: 1.0,
        time_factor: 1.0,
        perplexity_increase: 0.0,
        note: None,
    };
    base.quantization = none;
    base.assumptions.clear();
    base.padding = Padding::Fixed(128);
    base.synthesis.deadline_s = (2.0, 8.0);
    let levels =
        |tokens: &[u32]| OutputLevels::new(tokens.to_vec(), || Place::file("scenario")).map(TokenLengths::Levels);
    if let (Ok(prompt_tokens), Ok(output_tokens)) = (levels(&[32, 64, 128]), levels(&[16, 32, 64])) {
        base.arrivals = Arrivals { rate_per_s: 4.0, prompt_tokens, output_tokens, ..Arrivals::default() };
    }
    base
}

/// Refuses a problem that no placement of can become a node.
///
/// # Errors
/// Several models, or no curve.
pub fn check_problem(problem: &Problem) -> Result<()> {
    curve(problem, one_model(problem)?).map(drop)
}

fn one_model(problem: &Problem) -> Result<&Model> {
    match &problem.models[..] {
        [model] => Ok(model),
        models => {
            let what = format!("{} models are placed, and a scheduler's node is made of one", models.len());
            Err(Place::file("problem").field("model").error(what, "place the models one by one"))
        }
    }
}

fn curve<'p>(problem: &Problem, model: &'p Model) -> Result<&'p super::Curve> {
    model.perplexity.as_ref().ok_or_else(|| {
        let place = Place::file("problem").field(problem.field(0, "quality.perplexity"));
        let remedy = "declare ΔPPL against the sum of weight errors, such as perplexity = [[0.0, 0.0], [0.4, 0.3]]";
        place.error("the key is missing, without which a placement has no ΔPPL", remedy)
    })
}

fn perplexity(problem: &Problem, model: &Model, weight_error: f64) -> Result<f64> {
    let curve = curve(problem, model)?;
    curve.at(weight_error).ok_or_else(|| {
        let last = curve.last_error();
        // Rounded, unless that hides by how little it is above.
        let rounded = format!("{weight_error:.6}").parse().ok().filter(|rounded| *rounded > last);
        let shown = rounded.unwrap_or(weight_error);
        let what = format!("the weight error of {shown} is above the last one of the curve, {last}");
        let place = Place::file("problem").field(problem.field(0, "quality.perplexity"));
        place.error(what, "add a point, or give a smaller budget")
    })
}

/// Refuses a base that is not of the placed model: as many layers, with parameters within [`PARAMETER_TOLERANCE`].
/// Where some placed layers hold a KV cache, only they are counted: embedding and head hold none, and the cost model
/// has neither.
///
/// # Errors
/// Several models placed (about "problem"); another base (about "scenario").
pub fn check_base(problem: &Problem, base: &Scenario) -> Result<()> {
    let model = one_model(problem)?;
    let place = |field: &str| Place::file("scenario").field(field);
    if !base.services.is_empty() {
        let what = "several models share this node, and one is placed";
        return Err(place("service").error(what, "leave out [[service]]"));
    }
    let any = model.layers.iter().any(|layer| layer.kv_bytes_per_token > 0.0);
    let blocks = || model.layers.iter().filter(|layer| !any || layer.kv_bytes_per_token > 0.0);
    let remedy = "give a scenario of the model that is placed (--scenario)";
    let name = || quote(base.model.name.as_bytes());
    if blocks().count() != base.model.layers as usize {
        let of = if any { " with a KV cache" } else { "" };
        let layers = |n: usize| if n == 1 { "1 layer".to_string() } else { format!("{n} layers") };
        let (has, placed) = (layers(base.model.layers as usize), layers(blocks().count()));
        let what = format!("{} has {has}, and the problem has {placed}{of}", name());
        return Err(place("model.layers").error(what, remedy));
    }
    let placed: f64 = blocks().map(|layer| layer.parameters).sum();
    let counted = Transformer::new(&base.model).weight_bytes() as f64 / 2.0;
    if (placed - counted).abs() > PARAMETER_TOLERANCE * counted {
        let what = format!(
            "the layers of {} have {counted:.4e} parameters, and those placed {placed:.4e}: more than {} % apart",
            name(),
            100.0 * PARAMETER_TOLERANCE
        );
        return Err(place("model").error(what, remedy));
    }
    Ok(())
}

/// The mean over the layers of what their bits give; 1 where all weights are 0.
fn mean(model: &Model, seats: &[Seat], weight: impl Fn(&Layer) -> f64, of: impl Fn(u32) -> f64) -> f64 {
    let (mut sum, mut all) = (0.0, 0.0);
    for (layer, seat) in model.layers.iter().zip(seats) {
        sum += weight(layer) * of(seat.bits);
        all += weight(layer);
    }
    if all > 0.0 { sum / all } else { 1.0 }
}

/// T, and the server that it is of.
fn kv_tokens(problem: &Problem, model: &Model, seats: &[Seat]) -> (u64, Option<usize>) {
    let mut least = (MOST_TOKENS, None);
    for (i, server) in problem.servers.iter().enumerate() {
        let here = || model.layers.iter().zip(seats).filter(move |(_, seat)| seat.server == i);
        let per_token: f64 = here().map(|(layer, _)| layer.kv_bytes_per_token).sum();
        if per_token <= 0.0 {
            continue;
        }
        let limit = server.memory_bytes * (1.0 + TOLERANCE);
        // As [`delay::usage`] adds it up, so that the two agree to the last bit.
        let used =
            |tokens: u64| here().fold(0.0, |sum, (layer, seat)| sum + layer.memory_bytes(seat.bits, tokens as f64));
        // Sums of floats never fall with their terms, so bisection finds the last that fits.
        let (mut tokens, mut above) = (0, MOST_TOKENS + 1);
        while tokens + 1 < above {
            let middle = tokens + (above - tokens) / 2;
            if used(middle) <= limit { tokens = middle } else { above = middle }
        }
        if tokens < least.0 {
            least = (tokens, Some(i));
        }
    }
    least
}

/// The shortest and the longest.
fn ends(lengths: &TokenLengths) -> [u32; 2] {
    match lengths {
        TokenLengths::Levels(levels) => {
            let levels = levels.as_slice();
            [levels.iter().min(), levels.iter().max()].map(|n| n.copied().unwrap_or(1))
        }
        TokenLengths::Uniform(low, high) => [*low, *high],
    }
}

/// The tokens that prompts count as.
fn charged(scenario: &Scenario, prompts: [u32; 2]) -> [u32; 2] {
    match scenario.padding {
        Padding::Fixed(tokens) => [tokens; 2],
        Padding::Longest | Padding::None => prompts,
    }
}

fn departure(problem: &Problem, seats: &[Seat], communication: Communication, scenario: &Scenario) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, 0.0f64);
    for charged in charged(scenario, ends(&scenario.arrivals.prompt_tokens)) {
        for output in ends(&scenario.arrivals.output_tokens) {
            let mut other = problem.clone();
            for model in &mut other.models {
                (model.prompt_tokens, model.output_tokens) = (charged, output);
            }
            // The seats are known to be seats.
            let Ok(usage) = delay::usage(&other, seats, communication) else { continue };
            let ratio = seconds(scenario, charged, output) / usage.delay_s;
            (low, high) = (low.min(ratio), high.max(ratio));
        }
    }
    (low, high)
}

/// An error about the "scenario" as one about the file, or whatever the base is called.
pub fn about_base(error: Error, name: &str) -> Error {
    match error {
        Error::Input { place, problem, remedy } if place.source == "scenario" => {
            Error::Input { place: Place { source: name.to_string(), ..place }, problem, remedy }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::generate::{self, Spec};
    use crate::placement::solve::{Outcome, solve};
    use crate::search::Limits;
    use crate::workload::synthesis::RowRng;
    use crate::workload::{Request, Requests};

    /// Some with room for three requests, which T must then be.
    fn small(seed: u64) -> Problem {
        let spec = Spec {
            ends: seed.is_multiple_of(2),
            widths: vec![3, 4, 8, 16],
            memory: 0.8,
            quality: 0.4,
            ..Spec::sized(seed, 4 + (seed % 3) as usize, 2 + (seed % 2) as usize)
        };
        let mut p = generate::problem(&spec);
        p.models[0].held_requests = if seed.is_multiple_of(5) { 3 } else { 1 };
        p
    }

    fn base(problem: &Problem) -> Scenario {
        let mut base = example_base();
        base.model.layers = problem.models[0].layers.iter().filter(|l| l.kv_bytes_per_token > 0.0).count() as u32;
        base
    }

    fn placed(problem: &Problem) -> Option<(Vec<Seat>, Usage)> {
        match solve(problem, Communication::Chain, &Limits::NONE, false) {
            Outcome::Placed(s) => Some((s.seats, s.usage)),
            _ => None,
        }
    }

    fn bridged(problem: &Problem) -> Option<(Node, Vec<Seat>)> {
        let (seats, usage) = placed(problem)?;
        Some((node(problem, &seats, &usage, Communication::Chain, &base(problem)).unwrap(), seats))
    }

    #[test]
    fn the_reference_request_takes_the_placements_delay() {
        let mut seen = 0;
        for seed in 1..=40 {
            let p = small(seed);
            let Some((node, seats)) = bridged(&p) else { continue };
            seen += 1;
            let m = &p.models[0];
            let time = seconds(&node.scenario, m.prompt_tokens, m.output_tokens);
            assert!((time - node.delay_s).abs() <= 1e-9 * node.delay_s, "{time} and {}", node.delay_s);
            let q = &node.scenario.quantization;
            assert_eq!(Some(q.perplexity_increase), m.perplexity.as_ref().unwrap().at(node.weight_error));
            let bits: f64 = m.layers.iter().zip(&seats).map(|(l, s)| l.parameters * f64::from(s.bits)).sum();
            let parameters: f64 = m.layers.iter().map(|l| l.parameters).sum();
            assert!((q.memory_factor - bits / parameters / 16.0).abs() < 1e-12);
            assert!((0.6..=1.0).contains(&q.time_factor), "{}", q.time_factor);
            assert!(node.kv_tokens as f64 >= m.held_tokens(), "{} tokens", node.kv_tokens);
            assert!(node.departure.0 > 0.0 && node.departure.0 <= node.departure.1);
            // What it assumes is said.
            let said = |a: &Assumption| a.0.contains("placement; synthetic weight errors");
            assert_eq!(node.scenario.assumptions.iter().filter(|a| said(a)).count(), 1);
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn a_batch_fits_the_node_if_every_server_holds_it() {
        let (mut fits, mut not) = (0, 0);
        for seed in 1..=30 {
            let mut p = small(seed);
            // Room for some requests more, of which sums are no round numbers.
            let mut rng = RowRng::new(seed, 0);
            for server in &mut p.servers {
                server.memory_bytes *= rng.next_row().uniform(0, (1.0, 1.4));
            }
            let Some((node, seats)) = bridged(&p) else { continue };
            let mut s = node.scenario.clone();
            (s.padding, s.quantization.perplexity_increase) = (Padding::None, 0.0);
            let batches = (0..20).map(|_| {
                let d = rng.next_row();
                // Around what just fits.
                let tokens = (node.kv_tokens + 2).saturating_sub(d.below(0, 5)).max(2) as u32;
                (tokens, 1 + d.below(1, u64::from(tokens) - 1) as u32)
            });
            for (tokens, output) in batches {
                let mut held = p.clone();
                (held.models[0].prompt_tokens, held.models[0].output_tokens) = (tokens - output, output);
                held.models[0].held_requests = 1;
                let usage = delay::usage(&held, &seats, Communication::Chain).unwrap();
                let servers = usage.memory_bytes.iter().zip(&p.servers);
                let holds = servers.into_iter().all(|(used, server)| *used <= server.memory_bytes * (1.0 + TOLERANCE));
                let mut requests = Requests::new();
                let one = Request { deadline_s: 1e6, ..Request::new(tokens - output, output) };
                requests.push("a", one).unwrap();
                let problem = crate::instance::Problem::new(&s, &requests).unwrap();
                let memory = |r: &crate::instance::Rejection| r.reasons().any(|x| x == crate::instance::Reason::Memory);
                assert_eq!(!problem.rejections.iter().any(memory), holds, "{tokens} of {}", node.kv_tokens);
                assert_eq!(problem.instance.capacity().kv_tokens, node.kv_tokens);
                if holds { fits += 1 } else { not += 1 }
            }
        }
        assert!(fits > 50 && not > 50, "{fits} and {not}");
    }

    #[cfg(feature = "files")]
    #[test]
    fn the_scenario_file_is_the_node() {
        let (node, _) = bridged(&small(4)).unwrap();
        let text = scenario::file::to_toml(&node.scenario);
        let back = scenario::file::parse(&text, "s", None).unwrap();
        // A model that is no preset has no name in a file.
        let named = scenario::Model { name: back.model.name.clone(), ..node.scenario.model.clone() };
        assert_eq!(back, Scenario { model: named, ..node.scenario });
    }

    #[test]
    fn without_a_cache_memory_does_not_bind() {
        let mut p = small(1);
        p.models[0].layers.iter_mut().for_each(|layer| layer.kv_bytes_per_token = 0.0);
        let (seats, usage) = placed(&p).unwrap();
        let mut base = example_base();
        base.model.layers = p.len() as u32;
        let node = node(&p, &seats, &usage, Communication::Chain, &base).unwrap();
        assert_eq!((node.kv_tokens, node.tightest), (MOST_TOKENS, None));
    }

    #[test]
    fn what_cannot_become_a_node_is_refused() {
        let p = small(2);
        let (seats, usage) = placed(&p).unwrap();
        let good = base(&p);
        let refused =
            |p: &Problem, base: &Scenario| node(p, &seats, &usage, Communication::Chain, base).unwrap_err().to_string();
        let mut none = p.clone();
        none.models[0].perplexity = None;
        assert!(refused(&none, &good).starts_with("problem, quality.perplexity: the key is missing"));
        assert!(check_problem(&none).is_err() && check_problem(&p).is_ok());
        let mut short = p.clone();
        short.models[0].perplexity = super::super::Curve::new(vec![(0.0, 0.0), (1e-3, 0.1)]).ok();
        let e = refused(&short, &good);
        assert!(e.starts_with("problem, quality.perplexity: the weight error of ") && e.contains("0.001; add"), "{e}");
        let mut two = p.clone();
        two.models.push(p.models[0].clone());
        assert!(refused(&two, &good).starts_with("problem, model: 2 models are placed"));
        let mut layers = good.clone();
        layers.model.layers += 1;
        assert!(
            refused(&p, &layers)
                .starts_with("scenario, model.layers: 'opt-350m' has 7 layers, and the problem has 6 layers with")
        );
        let mut wide = good.clone();
        wide.model.ffn_size += 200;
        let e = refused(&p, &wide);
        assert!(e.starts_with("scenario, model: the layers of 'opt-350m' have") && e.contains("2 % apart"), "{e}");
        let mut near = good.clone();
        near.model.ffn_size += 50;
        assert!(node(&p, &seats, &usage, Communication::Chain, &near).is_ok());
        let still = Usage { delay_s: 0.0, ..usage.clone() };
        let e = node(&p, &seats, &still, Communication::Chain, &good).unwrap_err();
        assert!(about_base(e, "b.toml").to_string().starts_with("b.toml, node.compute_flops: inf is infinite"));
    }

    #[test]
    fn the_example_has_a_base() {
        let base = example_base();
        base.check().unwrap();
        assert_eq!((base.model.name.as_str(), base.arrivals.rate_per_s), ("opt-350m", 4.0));
        let p = generate::problem(&Spec::opt_350m(1));
        check_base(&p, &base).unwrap();
    }
}
