//! The layers of a model on several edge servers, and the bits of each layer's weights.
//!
//! The second system: Hosseinzadeh and Khamfroush, *DILEMMA: Joint LLM Quantization and Distributed LLM Inference Over
//! Edge Computing Systems* (arXiv 2503.01704), "the paper" in this module. In: a [`Problem`], servers, links and
//! layers. Out: a [`solve::Solution`], which server runs each layer with how many bits so that the delay of a request
//! is least, while memories hold, weight errors stay within the budget, and no server computes or sends more than it
//! may.
//!
//! - [`problem`]: what is placed, and where; `file` reads and writes it as TOML;
//! - [`delay`]: the delay and what an assignment uses, from the definitions, in both forms of communication;
//! - [`curve`]: ΔPPL against weight errors, as declared;
//! - [`generate`]: seeded problems;
//! - `tables`, `prices`, `labels`, `orders`, [`solve`]: the exact solver, a resource-constrained shortest path with a
//!   local search for good assignments;
//! - [`infeasible`]: which constraint cannot be met, and by how much;
//! - [`baseline`]: what one would do without it;
//! - `ilp`: the integer program through a general solver;
//! - [`verify`]: checks a solution from the definitions, and the bound from its prices, sharing no search code;
//! - [`bridge`]: the placed model as one node for the batch scheduler; `budgets`: requests served against the quality
//!   budget, end to end.

pub mod baseline;
pub mod bridge;
#[cfg(feature = "simulation")]
pub mod budgets;
pub mod curve;
pub mod delay;
#[cfg(feature = "files")]
pub mod file;
pub mod generate;
#[cfg(feature = "ilp")]
pub mod ilp;
pub mod infeasible;
mod labels;
mod orders;
mod prices;
pub mod problem;
mod seed;
pub mod solve;
mod tables;
pub mod verify;

pub use curve::Curve;
pub use problem::{Layer, Link, Model, Problem, Seat, Server, Width};
