//! `dftsp` schedules LLM inference at a wireless edge node: **the largest feasible batch of requests, with a proof**.
//!
//! Every epoch an edge node picks, among the requests waiting, a batch whose prompts fit in the uplink band, whose
//! answers fit in the downlink band, whose KV cache fits in memory beside the weights, and whose computation ends
//! before the tightest deadline in it. The problem is P1 of Zhang et al., *Edge Intelligence Optimization for Large
//! Language Model Inference with Batching and Quantization* (arXiv 2405.07140), "the paper" throughout; its symbols are
//! kept.
//!
//! ```
//! use dftsp::{certificate::Status, instance::Problem, scenario::Scenario, solver::{Method, Solver}};
//! use dftsp::workload::{Request, Requests};
//!
//! let mut requests = Requests::new();
//! for (id, output_tokens) in [("a", 128), ("b", 256), ("c", 512), ("d", 512)] {
//!     requests.push(id, Request { deadline_s: 1.2, ..Request::new(512, output_tokens) })?;
//! }
//! let problem = Problem::new(&Scenario::paper(), &requests)?;
//! let solution = Solver::new(Method::Flat).solve(&problem.instance);
//! assert_eq!((solution.rows.len(), solution.status()), (4, Status::Optimal));
//! # Ok::<(), dftsp::error::Error>(())
//! ```
//!
//! [`outcome::Outcome`] then says what the batch uses and why others are left out, and [`verify::verify`] checks it
//! all.
//!
//! # How data flows
//!
//! Modules are listed in this order; each uses only those before it.
//!
//! | stage | module | what it does |
//! |---|---|---|
//! | input | [`workload`] | requests from CSV files and public traces, with line numbers in every error; arrivals over time |
//! | | [`scenario`] | model, quantisation, node, radio, epoch: presets, TOML, Hugging Face `config.json` |
//! | cost | [`cost`] | the paper's section II: bytes, FLOP and band shares; floats end after it |
//! | | [`generate`] | seeded request sets with a matching scenario |
//! | integers | [`instance`] | P1 in checked integers, and why a request cannot be served |
//! | | [`rank`] | the instance sorted by deadline |
//! | | [`export`] | P1 as an MPS, LP or OPB file, for any other solver |
//! | search | [`bound`] | Lagrangian bounds for all deadlines at once; large instances condensed |
//! | | [`certificate`] | what a solver returns: a batch and a checkable proof of a bound |
//! | | [`baseline`] | what serving systems do today |
//! | | `tree` | a subproblem (z, d) as a tree of counts |
//! | | `backend` | who does the work: a few coarse operations, the same bytes from every implementation |
//! | | [`search`] | the flat driver, and the reference searches, among them the paper's Algorithm 1 |
//! | | [`solver`] | one door to all of them: built once, used from any thread |
//! | output | [`outcome`] | usage, bandwidth allocations, reasons, binding constraints |
//! | | [`precision`] | which precision serves the most |
//! | | [`explain`] | what more of a resource would add |
//! | | [`verify`] | checks an outcome from the physical formulas, sharing no search code |
//! | | [`compare`] | measures the backends against each other |
//! | over time | [`simulation`] | the epoch protocol: queue, scheduler, allocator, engine, output |
//! | | [`experiment`] | many runs: parameters, seeds, confidence intervals |
//! | over servers | [`quantizer`] | weights from safetensors files, quantised: the error of each layer at each width |
//! | | [`placement`] | the layers of a model on several edge servers, and the bits of each (DILEMMA) |
//! | output | [`report`] | text, JSON, CSV, Markdown and plots |
//! | | [`reproduce`] | the paper's figures and tables beside its claims |
//! | program | `cli` | `dftsp solve`, `verify`, `explain`, `generate`, `export`, `simulate`, `sweep`, `reproduce`, `compare`, `weights`, `place`, `devices` |
//!
//! [`error`], [`limits`], [`device`] (where a search runs, and why) and `files` serve them all; the clock of [`search`]
//! its backends too.
//!
//! # Features
//!
//! `cli` (default) builds the program and brings `files`, readers and writers, `ilp`, placements by a general solver
//! (in Rust; `highs`: by HiGHS, built from C++), `plots`, plots as SVG, `simulation`, the node over time, and
//! `weights`, safetensors files and the quantiser. Without default features the library depends on `libm`,
//! `rand_chacha`, `rayon` and `thiserror` only. `cuda` (default) is the GPU backend, with `bytemuck` and `cudarc`.

// The generators of tests/common/ serve the tests in here too.
#[cfg(all(test, feature = "cuda", dftsp_has_emulator))]
extern crate self as dftsp;

pub mod error;
pub mod limits;

pub mod device;

#[cfg(feature = "files")]
pub mod files;

pub mod workload;

pub mod scenario;

pub mod cost;

pub mod generate;

pub mod instance;

pub mod rank;

pub mod export;

pub mod bound;

pub mod certificate;

pub mod baseline;

mod tree;

pub mod backend;

pub mod search;

pub mod solver;

pub mod outcome;

pub mod precision;

pub mod explain;

pub mod verify;

pub mod compare;

#[cfg(feature = "simulation")]
pub mod simulation;

#[cfg(feature = "simulation")]
pub mod experiment;

#[cfg(feature = "weights")]
pub mod quantizer;

pub mod placement;

pub mod report;

#[cfg(all(feature = "simulation", feature = "files", feature = "plots"))]
pub mod reproduce;

#[cfg(feature = "cli")]
pub mod cli;

/// The examples of the README compile and run as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
