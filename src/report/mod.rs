//! Outcomes for people ([`text`], [`precision`]) and for programs (`json`, the contract that `verify` reads back);
//! marginal values ([`explain`]), measurements ([`compare`]) and devices ([`devices`]) for both; and plots (`plot`).

pub mod compare;
pub mod devices;
pub mod explain;
#[cfg(feature = "files")]
pub mod json;
#[cfg(feature = "plots")]
pub mod plot;
pub mod precision;
mod table;
pub mod text;
