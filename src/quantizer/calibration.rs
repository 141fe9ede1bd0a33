//! Inputs of layers: with them Δ is the difference of outputs, ‖WX − Q_b(W)X‖_F / ‖WX‖_F.
//!
//! A file of activations is a safetensors file with matrices of rows = tokens, columns = inputs. Their names are those
//! of weights without `.weight` (`model.decoder.layers.0.fc1`), or of layers (`decoder.0`, `head`): the latter serve
//! every matrix of the layer that takes as many inputs. Matrices of a layer without activations are left out of its Δ;
//! a decoder that has none at all is an error. The embedding looks rows up, so its outputs differ as its weights do. At
//! most the first 64 tokens of a matrix are used. Without a file, activations are Gaussian, seeded, and marked
//! synthetic.
//!
//! Clip ranges are still those of the smallest weight error, so that this Δ may rise a little with bits.

use std::collections::HashMap;

use super::checkpoint::{Checkpoint, Identity};
use super::grid::{Range, power, scale};
use super::layers::{Kind, Layer};
use super::long::LONGEST;
use super::source::{Source, read_finite};
use super::synthetic::gaussian;
use crate::error::{Place, Result};
use crate::workload::synthesis::RowRng;

/// Tokens used, at most.
const TOKENS: u64 = 64;
const LANES: usize = 16;
/// Where the stream of synthetic inputs begins: far behind those of synthetic weights.
const FIRST_ROW: u64 = 1 << 58;

/// Inputs of one matrix: values times a power of two, which brings them near 1 where `f32` would not hold outputs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Activations {
    columns: usize,
    values: Vec<f32>,
    exponent: i32,
}

impl Activations {
    /// ‖row · X‖² over the tokens.
    pub(super) fn squared_output(&self, row: &[f32]) -> f64 {
        let sum: f64 = self.values.chunks_exact(self.columns).map(|x| dot(row, x)).map(|y| y * y).sum();
        sum * power(2 * self.exponent)
    }
}

/// In blocks, whose order is fixed.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut total = 0.0;
    for (a, b) in a.chunks(1024).zip(b.chunks(1024)) {
        let mut lanes = [0f32; LANES];
        let ((whole_a, rest_a), (whole_b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (a, b) in whole_a.iter().zip(whole_b) {
            lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
        }
        lanes.iter_mut().zip(rest_a.iter().zip(rest_b)).for_each(|(lane, (a, b))| *lane += a * b);
        total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
    }
    total
}

/// Where activations come from.
#[derive(Debug)]
pub enum Calibration {
    /// A file of them.
    File(Recorded),
    /// Standard Gaussian ones from this seed, 32 tokens.
    Synthetic(u64),
}

/// Activations in files.
pub struct Recorded {
    files: Checkpoint,
    by_name: HashMap<String, usize>,
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").field("files", &self.files.identity()).finish()
    }
}

impl Recorded {
    /// The activations in a file or folder.
    pub fn new(files: Checkpoint) -> Recorded {
        let by_name = files.tensors().iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        Recorded { files, by_name }
    }

    /// The files themselves.
    pub fn paths(&self) -> impl Iterator<Item = &std::path::Path> {
        self.files.paths()
    }

    /// What tells the files from others.
    pub fn identity(&self) -> &[Identity] {
        self.files.identity()
    }
}

impl Calibration {
    /// The inputs of every matrix of a layer, where there are any.
    pub(super) fn of_layer(&self, source: &dyn Source, layer: &Layer) -> Result<Vec<Option<Activations>>> {
        if layer.kind == Kind::Embedding {
            return Ok(layer.matrices.iter().map(|_| None).collect());
        }
        let inputs: Vec<Option<Activations>> = match self {
            Calibration::Synthetic(seed) => {
                let each = |&i: &usize| synthetic(*seed, i, source.tensors()[i].columns());
                layer.matrices.iter().map(each).collect()
            }
            Calibration::File(recorded) => {
                let each = |&i: &usize| recorded.read(source, i, layer);
                layer.matrices.iter().map(each).collect::<Result<_>>()?
            }
        };
        if let Some(&first) = layer.matrices.first()
            && inputs.iter().all(Option::is_none)
        {
            let columns = source.tensors()[first].columns();
            let what = match self {
                Calibration::File(recorded) => recorded.files.file(0).to_string(),
                Calibration::Synthetic(_) => "activations".to_string(),
            };
            let problem = format!("there are no inputs of {}", layer.kind);
            let remedy = format!("add a matrix {} of {columns} columns, or one named as a weight", layer.kind);
            return Err(Place::file(what).error(problem, remedy));
        }
        Ok(inputs)
    }
}

fn synthetic(seed: u64, tensor: usize, columns: u64) -> Option<Activations> {
    let columns = usize::try_from(columns).ok().filter(|&n| n as u64 <= LONGEST)?;
    let mut rng = RowRng::new(seed, FIRST_ROW + ((tensor as u64) << 32));
    let values = (0..columns * 32).map(|_| gaussian(rng.next_unit())).collect();
    Some(Activations { columns, values, exponent: 0 })
}

impl Recorded {
    fn read(&self, source: &dyn Source, matrix: usize, layer: &Layer) -> Result<Option<Activations>> {
        let weights = &source.tensors()[matrix];
        let own = weights.name.strip_suffix(".weight").unwrap_or(&weights.name);
        let (found, exact) = match (self.by_name.get(own), self.by_name.get(&layer.kind.to_string())) {
            (Some(&i), _) => (i, true),
            (None, Some(&i)) => (i, false),
            (None, None) => return Ok(None),
        };
        let x = &self.files.tensors()[found];
        let fits = x.shape.len() == 2 && x.columns() == weights.columns() && x.shape[0] > 0;
        if !fits || x.columns() > LONGEST {
            if !exact && x.shape.len() == 2 && x.shape[0] > 0 {
                return Ok(None);
            }
            let problem = format!("its shape {:?} is not of inputs to {:?}", x.shape, weights.shape);
            return Err(self.files.place(found).error(problem, format!("give tokens × {}", weights.columns())));
        }
        let columns = x.columns() as usize;
        let mut values = vec![0.0; columns * x.shape[0].min(TOKENS) as usize];
        read_finite(&self.files, found, 0, &mut values)?;
        let exponent = Range::of(&values).exponent();
        values.iter_mut().for_each(|x| *x = scale(*x, -exponent));
        Ok(Some(Activations { columns, values, exponent }))
    }
}
