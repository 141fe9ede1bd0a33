//! Δ of every layer at every width.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::calibration::{Activations, Calibration};
use super::grid::{OFFSET_BITS, Symmetry, WIDTHS};
use super::layers::{Layer, Layers};
use super::measure::{Ask, CHOICE_BITS, Sums, measure, sample};
use super::memory::relative;
use super::source::{Source, read_finite};
use super::{Granularity, Scheme, Settings};
use crate::error::{Place, Result};

/// One layer of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The layer's name.
    pub layer: String,
    /// "symmetric" or "asymmetric".
    pub symmetry: String,
    /// Δ at each width of the table.
    pub errors: Vec<f64>,
    /// Bits of all scales and offsets at each width of the table; they come on top of the codes.
    pub overhead_bits: Vec<u64>,
}

/// Δ of every layer at every width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Widths, ascending.
    pub bits: Vec<u32>,
    /// One row for each layer, in their order.
    pub rows: Vec<Row>,
}

impl Table {
    /// Measures all layers, in parallel in the caller's threads.
    ///
    /// # Errors
    /// Weights that cannot be read or are not finite; activations that do not fit.
    pub fn measure(
        source: &dyn Source,
        layers: &Layers,
        settings: &Settings,
        calibration: Option<&Calibration>,
    ) -> Result<Table> {
        let row = |layer| row(source, layer, settings, calibration);
        let rows: Vec<Result<Row>> = layers.layers.par_iter().map(row).collect();
        // The first layer's error, not that of the fastest thread.
        Ok(Table { bits: settings.bits().to_vec(), rows: rows.into_iter().collect::<Result<_>>()? })
    }

    /// Whether it is what `settings` and `layers` ask for, with numbers that can be errors.
    pub(super) fn answers(&self, layers: &Layers, settings: &Settings) -> bool {
        let names = self.rows.iter().map(|row| &row.layer);
        let numbers =
            |row: &Row| row.errors.len() == self.bits.len() && row.errors.iter().all(|e| e.is_finite() && *e >= 0.0);
        let overhead = |row: &Row| row.overhead_bits.len() == self.bits.len();
        self.bits == settings.bits()
            && names.eq(layers.layers.iter().map(|l| l.kind.to_string()).collect::<Vec<_>>().iter())
            && self.rows.iter().all(|row| numbers(row) && overhead(row) && Symmetry::named(&row.symmetry).is_some())
    }
}

fn row(source: &dyn Source, layer: &Layer, settings: &Settings, calibration: Option<&Calibration>) -> Result<Row> {
    for &i in layer.tensors.iter().filter(|i| !layer.matrices.contains(i)) {
        check_finite(source, i)?;
    }
    let symmetry = match settings.scheme {
        Scheme::Always(symmetry) => symmetry,
        Scheme::Auto => choose(source, layer, settings)?,
    };
    let inputs: Vec<Option<Activations>> = match calibration {
        Some(calibration) => calibration.of_layer(source, layer)?,
        None => layer.matrices.iter().map(|_| None).collect(),
    };
    let one = |(&tensor, activations): (&usize, &Option<Activations>)| {
        let activations = activations.as_ref();
        measure(
            source,
            tensor,
            &Ask { granularity: settings.granularity, symmetry, bits: settings.bits(), activations },
        )
    };
    let mut sums = Sums::default();
    for one in layer.matrices.par_iter().zip(&inputs).map(one).collect::<Vec<Result<Sums>>>() {
        sums.add(&one?);
    }
    let by_outputs = inputs.iter().any(Option::is_some);
    if by_outputs {
        check_outputs(source, layer, &sums)?;
    }
    let error = |&bits: &u32| match bits as usize - 2 {
        at if at >= WIDTHS => 0.0,
        at if by_outputs => relative(sums.output_errors[at], sums.output_norm),
        at => relative(sums.errors[at], sums.norm),
    };
    let errors = settings.bits().iter().map(error).collect();
    let overhead = |&bits: &u32| {
        let coded = layer.matrices.iter().map(|&i| &source.tensors()[i]).filter(|t| t.dtype.has_codes(bits));
        coded.map(|t| settings.granularity.units(t) * symmetry.unit_bits()).sum()
    };
    let overhead_bits = settings.bits().iter().map(overhead).collect();
    Ok(Row { layer: layer.kind.to_string(), symmetry: symmetry.name().to_string(), errors, overhead_bits })
}

/// Norms and biases lose nothing, but are read: a model with one that is no number has no errors to speak of.
fn check_finite(source: &dyn Source, tensor: usize) -> Result<()> {
    const PIECE: u64 = 1 << 16;
    let elements = source.tensors()[tensor].elements();
    let mut values = vec![0.0; elements.min(PIECE) as usize];
    for start in (0..elements).step_by(PIECE as usize) {
        let piece = PIECE.min(elements - start) as usize;
        read_finite(source, tensor, start, &mut values[..piece])?;
    }
    Ok(())
}

/// Outputs of which a part can be lost: activations of any size may be in a file.
fn check_outputs(source: &dyn Source, layer: &Layer, sums: &Sums) -> Result<()> {
    let what = if !sums.output_norm.is_finite() || sums.output_errors.iter().any(|e| !e.is_finite()) {
        "too large to be compared"
    } else if sums.output_norm == 0.0 && sums.norm > 0.0 {
        "all 0, or too small to be compared"
    } else {
        return Ok(());
    };
    let place = Place::file(layer.matrices.first().map_or("", |&i| source.file(i))).field(layer.kind.to_string());
    Err(place.error(format!("its outputs on the activations are {what}"), "give activations of a model at work"))
}

fn choose(source: &dyn Source, layer: &Layer, settings: &Settings) -> Result<Symmetry> {
    let mut sums = [0.0; 2];
    for &tensor in &layer.matrices {
        let t = &source.tensors()[tensor];
        let unit = match settings.granularity {
            Granularity::Tensor => t.elements(),
            Granularity::Channel => t.columns(),
            Granularity::Group(size) => t.columns().min(u64::from(size)),
        };
        // A bit more for each weight makes the squared error four times smaller; offsets cost 16 for each unit.
        let same_bits = libm::exp2(-2.0 * OFFSET_BITS as f64 / unit as f64);
        let [symmetric, asymmetric] = match settings.granularity {
            // Some rows do not show the outliers that one grid for all of them must hold.
            granularity @ Granularity::Tensor => {
                let of = |symmetry| -> Result<f64> {
                    let ask = Ask { granularity, symmetry, bits: &[CHOICE_BITS], activations: None };
                    Ok(measure(source, tensor, &ask)?.errors[CHOICE_BITS as usize - 2])
                };
                [of(Symmetry::Symmetric)?, of(Symmetry::Asymmetric)?]
            }
            granularity => sample(source, tensor, granularity)?,
        };
        sums = [sums[0] + same_bits * symmetric, sums[1] + asymmetric];
    }
    Ok(if sums[1] < sums[0] { Symmetry::Asymmetric } else { Symmetry::Symmetric })
}
