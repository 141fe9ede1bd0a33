//! Outcomes for people ([`text`]) and for programs (`json`, the contract that `verify` reads back).

#[cfg(feature = "files")]
pub mod json;
pub mod text;
