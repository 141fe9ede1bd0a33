//! Weights of a model, quantised: what each layer loses at each width.
//!
//! In: a [`Source`] of tensors (a [`Checkpoint`] of safetensors files, or [`Synthetic`] weights) and [`Settings`]. Out:
//! the [`layers`] of the model with their sizes, and a [`Table`] of Δ = ‖W − Q_b(W)‖_F / ‖W‖_F for every layer
//! and width: the `weight_error` of a placement problem.
//!
//! - **Widths** are 2 to 16 bits, and 32. Codes are whole numbers up to 16 bits. 32 bits keep a tensor as it is, and so
//!   do 16 bits where the file holds 16-bit floats: Δ = 0. A tensor of 32-bit floats has 16-bit codes at 16 bits.
//! - **Granularity**: one grid for a tensor, a row (output channel) or a group of successive weights of a row.
//! - **Symmetry** is chosen for each layer by [`Scheme::Auto`], by the squared error at 4 bits on up to 64 rows of each
//!   of its matrices (all of them where a tensor has one grid): asymmetric where that error is smaller by more than the
//!   16 bits of each unit's offset would make it, spent on wider codes (a factor of 4 for a bit a weight: 0.5 for
//!   groups of 32, 0.84 for 128, near 1 for rows). One-sided and skewed weights are asymmetric at any size of unit.
//!   Symmetric grids keep 0 exactly. One choice holds at every width, so that Δ falls with bits.
//! - **Clipping** is chosen by error, for each unit: see [`grid`].
//! - A layer's Δ is that of its matrices together, √(Σ‖W − Q(W)‖² / Σ‖W‖²). Norms and biases stay at 16 bits and count
//!   as no error. Scales and offsets of units are not counted in a layer's bytes: a table says how many bits they take,
//!   16 for each scale and 16 for each offset of an asymmetric unit. Δ is that of unrounded ones.
//!
//! Files are read in pieces of about a quarter of a megabyte, at positions, never mapped: mapping a file is `unsafe`
//! (another process may truncate it), and each weight is read once. Results are the same on any number of threads: work
//! is cut the same way always, and sums are added up in pairs in the order of the pieces.

pub mod cache;
pub mod calibration;
pub mod checkpoint;
mod complete;
pub mod grid;
pub mod layers;
mod long;
mod measure;
pub mod memory;
pub mod safetensors;
mod source;
pub mod synthetic;
pub mod table;

pub use checkpoint::Checkpoint;
pub use source::{Dtype, Source, Tensor};
pub use synthetic::Synthetic;
pub use table::Table;

use std::str::FromStr;

use crate::error::{Error, Place, Result, quote};
use grid::{Symmetry, WIDEST};

/// Which weights share a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// All of a tensor.
    Tensor,
    /// Those of an output channel: a row.
    Channel,
    /// This many successive weights of a row: 32, 64 or 128.
    Group(u32),
}

impl Granularity {
    /// The name in files and options.
    pub fn name(self) -> String {
        match self {
            Granularity::Tensor => "tensor".to_string(),
            Granularity::Channel => "channel".to_string(),
            Granularity::Group(size) => format!("group-{size}"),
        }
    }

    /// How many grids a tensor has.
    pub fn units(self, tensor: &Tensor) -> u64 {
        let columns = tensor.columns().max(1);
        let rows = tensor.elements() / columns;
        match self {
            Granularity::Tensor => rows.min(1),
            Granularity::Channel => rows,
            Granularity::Group(size) => rows * columns.div_ceil(u64::from(size.max(1))),
        }
    }
}

impl FromStr for Granularity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "tensor" => Granularity::Tensor,
            "channel" => Granularity::Channel,
            "group-32" => Granularity::Group(32),
            "group-64" => Granularity::Group(64),
            "group-128" => Granularity::Group(128),
            _ => {
                let problem = format!("{} is no granularity", quote(text.as_bytes()));
                let remedy = "give tensor, channel, group-32, group-64 or group-128";
                return Err(Place::file("--granularity").error(problem, remedy));
            }
        })
    }
}

/// How the symmetry of a layer is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// By its weights.
    Auto,
    /// The same for all.
    Always(Symmetry),
}

impl Scheme {
    /// The name in files and options.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Auto => "auto",
            Scheme::Always(symmetry) => symmetry.name(),
        }
    }
}

/// What is measured, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Widths, ascending.
    bits: Vec<u32>,
    /// Which weights share a grid.
    pub granularity: Granularity,
    /// How symmetry is chosen.
    pub scheme: Scheme,
}

impl Settings {
    /// Settings for these widths, in any order.
    ///
    /// # Errors
    /// No width, or one that is neither 2 to 16 nor 32.
    pub fn new(mut bits: Vec<u32>, granularity: Granularity, scheme: Scheme) -> Result<Self> {
        bits.sort_unstable();
        bits.dedup();
        let wrong = bits.iter().find(|&&b| !(2..=WIDEST).contains(&b) && b != 32);
        if let Some(wrong) = wrong {
            return Err(Place::file("--bits").error(format!("{wrong} is no width"), "give 2 to 16, or 32"));
        }
        if bits.is_empty() {
            return Err(Place::file("--bits").error("no width is given", "give some of 2 to 16, or 32"));
        }
        Ok(Settings { bits, granularity, scheme })
    }

    /// The widths, ascending.
    pub fn bits(&self) -> &[u32] {
        &self.bits
    }
}
