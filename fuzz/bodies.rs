//! What must hold for any input, whatever its bytes: shared by the fuzz targets and by `tests/fuzz_smoke.rs`.
//!
//! Each body reads its input, and where that succeeds goes on with what the program would do with it. It says whether
//! the input was accepted, and panics where something does not hold.

#![allow(clippy::expect_used, clippy::panic, reason = "a failure here should stop the run")]

use std::sync::OnceLock;
use std::time::Duration;

use dftsp::cost::Transformer;
use dftsp::error::Error;
use dftsp::generate::{Family, Generator, Spec};
use dftsp::instance::{MAX_SUM, Problem};
use dftsp::outcome::{Outcome, Provenance};
use dftsp::placement::delay::Communication;
use dftsp::placement::solve::{self as exact, Outcome as Placement};
use dftsp::placement::{self, infeasible};
use dftsp::quantizer::checkpoint::parse_index;
use dftsp::quantizer::{Granularity, grid::Symmetry, memory, safetensors};
use dftsp::report::placement::{Bound, Report};
use dftsp::report::{self, json, text};
use dftsp::scenario::{Padding, Scenario, file, model_config};
use dftsp::search::Limits;
use dftsp::solver::{Method, Solver};
use dftsp::verify::{self, Failure};
use dftsp::workload::arrivals::Stream;
use dftsp::workload::csv::Writer;
use dftsp::workload::source::{self, Source};
use dftsp::workload::synthesis::Synthesis;
use dftsp::workload::trace::Trace;
use dftsp::workload::{Request, Requests};

/// Larger sets are converted but not solved.
const SOLVED: usize = 12;
const LIMIT: Duration = Duration::from_millis(20);
const PADDINGS: [Padding; 3] = [Padding::Fixed(512), Padding::Longest, Padding::None];

/// A file of requests: the CSV contract or a trace.
pub fn requests(data: &[u8]) -> bool {
    match source::read(data, "input") {
        Err(e) => refused(&e),
        Ok(Source::Requests(requests)) => {
            assert!(!requests.is_empty());
            requests
                .rows()
                .iter()
                .for_each(|r| r.check(Default::default).expect("a reader accepts what is in range only"));
            assert_eq!(requests.first_duplicate(), None);
            reads_back(&requests);
            all_paddings(&Scenario::paper(), &requests);
            true
        }
        Ok(Source::Trace(trace)) => {
            windows(&trace);
            true
        }
    }
}

/// A scenario file.
pub fn scenario(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    match file::parse(text, "input", None) {
        Err(e) => refused(&e),
        Ok(scenario) => {
            scenario.check().expect("a reader accepts what is in range only");
            let mut back = file::parse(&file::to_toml(&scenario), "written", None).expect("what is written reads back");
            // Names of models and precisions are comments, unless they are presets.
            (back.model.name, back.quantization.name) =
                (scenario.model.name.clone(), scenario.quantization.name.clone());
            for (back, service) in back.services.iter_mut().zip(&scenario.services) {
                (back.model.name, back.quantization.name) =
                    (service.model.name.clone(), service.quantization.name.clone());
            }
            back.assumptions = scenario.assumptions.clone();
            assert_eq!(back, scenario);
            let first: Vec<_> = Stream::generated(&scenario.arrivals, 1, 0).take(20).collect();
            assert!(first.is_sorted_by_key(|arrival| arrival.at_ns));
            assert!(first.iter().all(|a| scenario.synthesis.class(1.0, &a.draws) < scenario.synthesis.classes()));
            assert!(scenario.services.is_empty() || Problem::new(&scenario, &two_requests()).is_err());
            epoch(&Scenario { services: Vec::new(), ..scenario }, &two_requests());
            true
        }
    }
}

/// The `config.json` of a model.
pub fn model_config(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    match model_config::parse(text, "input") {
        Err(e) => refused(&e),
        Ok(model) => {
            one_line(&model.name);
            let costs = Transformer::new(&model);
            assert!(costs.weight_bytes() > 0 && costs.kv_bytes_per_token() > 0);
            assert!(costs.flops(1, 1) > 0 && costs.flops(513, 512) > costs.flops(512, 512));
            let scenario = Scenario { model, ..Scenario::paper() };
            scenario.check().expect("a reader accepts what is in range only");
            all_paddings(&scenario, &two_requests());
            true
        }
    }
}

/// A solution file, checked against epochs whose optimum is known. True where it verifies for one of them.
pub fn solution(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let mut verified = false;
    for Epoch { scenario, requests, optimum } in known_epochs() {
        match json::parse_claim(text, "input", requests) {
            Err(e) => return refused(&e),
            Ok(Err(failure)) => one_line(&failure.to_string()),
            Ok(Ok(claim)) => {
                match verify::verify(scenario, requests, &claim, Some(LIMIT)).expect("the scenario is valid") {
                    Err(failure) => one_line(&failure.to_string()),
                    Ok(()) => {
                        assert!(
                            claim.size <= *optimum && claim.bound >= *optimum,
                            "verified, but the optimum is {optimum}"
                        );
                        assert!(
                            !claim.optimal || claim.size == *optimum,
                            "verified as optimal, but the optimum is {optimum}"
                        );
                        verified = true;
                    }
                }
            }
        }
    }
    verified
}

/// A safetensors file, the header of one with 64 bytes of data, or an index.
pub fn weights(data: &[u8]) -> bool {
    const DATA: u64 = 64;
    if !data.starts_with(b"{") {
        return match safetensors::parse_bytes(data, "input") {
            Err(e) => refused(&e),
            Ok(entries) => {
                lie_in(&entries, data.len() as u64);
                let values: Vec<f32> =
                    data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                quantised(&values);
                true
            }
        };
    }
    let index = std::str::from_utf8(data).is_ok_and(|text| match parse_index(text, "input") {
        Err(e) => refused(&e),
        Ok(map) => {
            assert!(map.iter().all(|(_, file)| !file.contains('/') && file.ends_with(".safetensors")));
            true
        }
    });
    index
        || match safetensors::parse(data, DATA, "input") {
            Err(e) => refused(&e),
            Ok(entries) => {
                lie_in(&entries, 8 + data.len() as u64 + DATA);
                true
            }
        }
}

fn lie_in(entries: &[safetensors::Entry], length: u64) {
    let mut end = 0;
    for entry in entries {
        assert!(entry.start >= end, "tensors overlap");
        end = entry.start + entry.tensor.elements() * entry.tensor.dtype.size();
        one_line(&format!("{:?}", entry.tensor.name));
    }
    assert!(end == length || entries.is_empty(), "data lie outside");
}

fn quantised(values: &[f32]) {
    for symmetry in [Symmetry::Symmetric, Symmetry::Asymmetric] {
        let mut last = f64::INFINITY;
        for bits in 2..=16 {
            match memory::quantize(values, values.len().max(1), bits, Granularity::Group(32), symmetry) {
                Err(e) => one_line(&e.to_string()),
                Ok(quantized) => {
                    assert!(quantized.relative_error() <= last && quantized.dequantize().iter().all(|x| x.is_finite()));
                    last = quantized.relative_error();
                }
            }
        }
    }
}

/// A placement problem.
pub fn placement(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    match placement::file::parse(text, "input") {
        Err(e) => refused(&e),
        Ok(problem) => {
            problem.check().expect("a reader accepts what is in range only");
            let back = placement::file::parse(&placement::file::to_toml(&problem), "written");
            assert_eq!(back.expect("what is written reads back"), problem);
            if problem.len() <= SOLVED && problem.servers.len() <= SOLVED {
                Communication::ALL.into_iter().for_each(|communication| placed(&problem, communication));
            }
            true
        }
    }
}

/// From a problem to a verified placement, or to the reason why there is none.
fn placed(problem: &placement::Problem, communication: Communication) {
    let limits = Limits::time(LIMIT);
    match exact::solve(problem, communication, &limits, false) {
        Placement::Placed(solution) => {
            if let Err(failure) = placement::verify::verify(problem, communication, &solution) {
                panic!("{communication:?}: {failure:?}\n{solution:?}\n{}", placement::file::to_toml(problem));
            }
            let report = Report {
                problem,
                about: String::new(),
                problem_file: None,
                layers_file: None,
                solver: "exact".to_string(),
                communication,
                solution: &solution,
                bound: Bound::Proven,
                baselines: Vec::new(),
                sensitivity: Vec::new(),
                node: None,
                seconds: 0.0,
            };
            assert!(!report::placement::text::to_text(&report).is_empty());
            assert!(report::placement::json::to_json(&report).contains("delay_s"));
        }
        Placement::Infeasible => one_line(&infeasible::diagnose(problem, communication, &limits).to_string()),
        Placement::Unknown { bound_s } => assert!(bound_s >= 0.0, "{bound_s}"),
    }
}

/// Solutions that verify: seeds for mutations.
pub fn solutions() -> Vec<String> {
    let solved = |e: &Epoch| {
        Method::ALL.map(|solver| json::to_json(&solve(&e.scenario, &e.requests, solver, None), &e.requests))
    };
    known_epochs().iter().flat_map(solved).collect()
}

struct Epoch {
    scenario: Scenario,
    requests: Requests,
    optimum: u64,
}

fn known_epochs() -> &'static [Epoch] {
    static EPOCHS: OnceLock<Vec<Epoch>> = OnceLock::new();
    let make = |padding| {
        // With this seed some deadlines of every padding are beyond the bounds, so that their proofs have all parts.
        let spec = Spec { requests: 10, seed: 198, tightness: 0.7, padding, ..Spec::new(Family::Binding) };
        let generator = Generator::new(spec).expect("the spec is in range");
        let (scenario, requests) = (generator.scenario().clone(), generator.requests().expect("the spec is in range"));
        let optimum = solve(&scenario, &requests, Method::BruteForce, None).scheduled.len() as u64;
        Epoch { scenario, requests, optimum }
    };
    EPOCHS.get_or_init(|| PADDINGS.map(make).into())
}

fn solve(scenario: &Scenario, requests: &Requests, solver: Method, time: Option<Duration>) -> Outcome {
    let problem = Problem::new(scenario, requests).expect("the epoch can be converted");
    let solution = Solver::new(solver).limits(Limits { time, ..Limits::NONE }).solve(&problem.instance);
    assert!(solution.rows.is_sorted_by(|a, b| a < b) && problem.instance.is_feasible(&solution.rows));
    let made = Provenance { solver: solver.to_string(), seconds: 0.0 };
    Outcome::new(scenario, requests, &problem, solution, made).expect("the problem was converted before")
}

fn two_requests() -> Requests {
    let mut requests = Requests::new();
    let other = Request { deadline_s: 1.0, max_perplexity_increase: 0.5, ..Request::new(512, 128) };
    for (id, request) in [("a", Request::new(100, 20)), ("b", other)] {
        requests.push(id, request).expect("the request is in range");
    }
    requests
}

fn refused(e: &Error) -> bool {
    one_line(&e.to_string());
    false
}

/// A message that a user may see.
fn one_line(message: &str) {
    assert!(!message.trim().is_empty(), "the message is empty");
    assert!(!message.contains(char::is_control), "the message is not one line: {message:?}");
    assert!(message.chars().count() <= 2000, "the message is too long: {message}");
}

fn reads_back(requests: &Requests) {
    let mut writer = Writer::new(Vec::new()).expect("memory can be written");
    for (id, row) in requests.ids().iter().zip(requests.rows()) {
        writer.write(id, row).expect("memory can be written");
    }
    let written = writer.finish().expect("memory can be written");
    match source::read(written.as_slice(), "written") {
        Ok(Source::Requests(back)) => assert_eq!(&back, requests),
        other => panic!("{other:?} for\n{}", String::from_utf8_lossy(&written)),
    }
}

fn windows(trace: &Trace) {
    assert!(!trace.is_empty());
    assert!((0..trace.len()).is_sorted_by_key(|row| trace.row(row).0));
    let last = trace.row(trace.len() - 1).0;
    for duration_s in [1e-6, 2.0, 1e6] {
        let busiest = trace.busiest_window(duration_s);
        assert!(busiest.rows.0 < busiest.rows.1, "the busiest epoch is empty");
        for window in [busiest, trace.window(last, duration_s), trace.window(0.0, duration_s)] {
            assert!(window.rows.0 <= window.rows.1 && window.rows.1 <= trace.len());
            let requests = trace.requests(&window, &Synthesis::default()).expect("the default synthesis is in range");
            assert_eq!(requests.len(), window.rows.1 - window.rows.0);
            if duration_s == 2.0 {
                all_paddings(&Scenario::paper(), &requests);
            }
        }
    }
}

fn all_paddings(scenario: &Scenario, requests: &Requests) {
    PADDINGS.into_iter().for_each(|padding| epoch(&Scenario { padding, ..scenario.clone() }, requests));
}

/// One epoch from its conversion to the verified outcome.
fn epoch(scenario: &Scenario, requests: &Requests) {
    let problem = match Problem::new(scenario, requests) {
        Ok(problem) => problem,
        Err(e) => return one_line(&e.to_string()),
    };
    assert_eq!(problem.instance.len() + problem.rejections.len(), requests.len());
    let columns = problem.instance.columns();
    for column in [&columns.uplink, &columns.downlink, &columns.kv_tokens, &columns.compute] {
        assert!(column.iter().map(|&x| u128::from(x)).sum::<u128>() <= u128::from(MAX_SUM));
    }
    if requests.len() > SOLVED {
        return;
    }
    for solver in [Method::Flat, Method::FirstCome] {
        let outcome = solve(scenario, requests, solver, Some(LIMIT));
        let written = json::to_json(&outcome, requests);
        let claim = json::parse_claim(&written, "written", requests).expect("what is written reads back");
        let claim = claim.expect("what is written reads back");
        assert_eq!((&claim.scheduled, &claim.certificate), (&outcome.scheduled, &outcome.certificate));
        assert!(!text::to_text(&outcome, requests, "about").is_empty());
        match verify::verify(scenario, requests, &claim, Some(LIMIT)).expect("the scenario was converted before") {
            Ok(()) => {}
            // A search that the clock stopped proves nothing either way.
            Err(Failure { check: "certificate", detail }) if detail.contains("time limit") => {}
            Err(failure) => panic!("{solver}, {:?}: {failure}\n{requests:?}\n{scenario:?}", scenario.padding),
        }
    }
}
