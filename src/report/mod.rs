//! Outcomes for people ([`text`], [`precision`]) and for programs (`json`, the contract that `verify` reads back);
//! marginal values ([`explain`]), placements ([`placement`]), measurements ([`compare`]) and devices ([`devices`]) for
//! both; plots (`plot`), and what reports share ([`markdown`], [`number`]).

pub mod compare;
pub mod devices;
pub mod explain;
#[cfg(feature = "files")]
pub mod json;
pub mod markdown;
pub mod number;
pub mod placement;
#[cfg(feature = "plots")]
pub mod plot;
pub mod precision;
#[cfg(feature = "simulation")]
pub mod simulation;
#[cfg(all(feature = "simulation", feature = "files"))]
pub mod sweep;
pub(crate) mod table;
pub mod text;
#[cfg(feature = "weights")]
pub mod weights;
