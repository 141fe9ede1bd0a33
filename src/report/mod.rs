//! Outcomes for people ([`text`], [`precision`]) and for programs (`json`, the contract that `verify` reads back), and
//! marginal values for both ([`explain`]).

pub mod explain;
#[cfg(feature = "files")]
pub mod json;
pub mod precision;
mod table;
pub mod text;
