//! Outcomes for people ([`text`], [`precision`]) and for programs (`json`, the contract that `verify` reads back).

#[cfg(feature = "files")]
pub mod json;
pub mod precision;
mod table;
pub mod text;
