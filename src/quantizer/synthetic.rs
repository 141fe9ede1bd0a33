//! Weights where none are at hand: seeded, and marked synthetic wherever they show.
//!
//! Not a model of any trained network; it gives every layer matrices of the right shapes whose Δ differ from layer to
//! layer as those of trained ones do:
//!
//! - a weight is Gaussian, or with probability k/64 from Student's t with 4 degrees of freedom (a heavy tail), where k
//!   falls from 16 at both ends of the model to 4 in its middle;
//! - the standard deviation of a decoder's matrix is 0.02·(1 + 2·depth), depth from 0 to 1; of tables and the head
//!   0.02;
//! - each output channel has a factor from 0.75 to 1.25, and one input channel in 128 is an outlier, four times as
//!   large;
//! - values are rounded to 16-bit floats, as files hold them; norms are 1 and biases 0.
//!
//! An element depends on the seed, the tensor's number and the element's alone.

use std::sync::OnceLock;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::source::{Dtype, Source, Tensor};
use crate::error::{Place, Result, quote};
use crate::scenario::{Model, preset};
use crate::workload::synthesis::RowRng;

/// Cells of the quantile tables.
const CELLS: usize = 1 << 12;
/// Cells at either end in which the tables are too coarse.
const STEEP: usize = 64;
/// Words of a row of the random stream.
const WORDS: u64 = 8;

/// A synthetic model.
#[derive(Debug, Clone)]
pub struct Synthetic {
    name: String,
    seed: u64,
    tensors: Vec<Tensor>,
    depth: Vec<Option<f64>>,
}

/// Models by name: the presets of scenarios. With vocabulary, positions and the width of embeddings.
fn known(name: &str) -> Option<(Model, [u64; 3])> {
    let model = preset::model(name)?;
    let sizes = match name.split('-').next().unwrap_or_default() {
        _ if name == "opt-350m" => [50_272, 2050, 512],
        "opt" => [50_272, 2050, 0],
        "bloom" => [250_880, 0, 0],
        "llama" => [128_256, 0, 0],
        "mistral" => [32_768, 0, 0],
        _ => [152_064, 0, 0],
    };
    Some((model, sizes))
}

impl Synthetic {
    /// The weights of a model by its name.
    ///
    /// # Errors
    /// Another name.
    pub fn named(name: &str, seed: u64) -> Result<Synthetic> {
        let Some((model, [vocabulary, positions, embedded])) = known(name) else {
            let names: Vec<&str> = preset::model_names().collect();
            let problem = format!("the model {} is not known", quote(name.as_bytes()));
            return Err(Place::file("--synthetic").error(problem, format!("known are {}", names.join(", "))));
        };
        Ok(Synthetic::new(&model, vocabulary, positions, embedded, seed))
    }

    /// The weights of a model with this many tokens, learnt positions (0: none), and width of embeddings (0: that of
    /// the model). Gated models have Llama's names and a head of their own, others OPT's and a tied head.
    pub fn new(model: &Model, vocabulary: u64, positions: u64, embedded: u64, seed: u64) -> Synthetic {
        let hidden = u64::from(model.hidden_size);
        let (heads, kv, ffn) = (
            u64::from(model.heads) * u64::from(model.head_dim),
            u64::from(model.kv_heads) * u64::from(model.head_dim),
            u64::from(model.ffn_size),
        );
        let mut all = Synthetic { name: model.name.clone(), seed, tensors: Vec::new(), depth: Vec::new() };
        let base = if model.gated_ffn { "model" } else { "model.decoder" };
        let width = if embedded == 0 { hidden } else { embedded };
        all.push(format!("{base}.embed_tokens.weight"), &[vocabulary, width], None);
        if positions > 0 {
            all.push(format!("{base}.embed_positions.weight"), &[positions, hidden], None);
        }
        if width != hidden {
            all.push(format!("{base}.project_in.weight"), &[hidden, width], None);
            all.push(format!("{base}.project_out.weight"), &[width, hidden], None);
        }
        for layer in 0..model.layers {
            let depth = Some(f64::from(layer) / f64::from((model.layers - 1).max(1)));
            let mut push = |name: &str, shape: &[u64]| all.push(format!("{base}.layers.{layer}.{name}"), shape, depth);
            let norms = if model.gated_ffn {
                ["input_layernorm", "post_attention_layernorm"]
            } else {
                ["self_attn_layer_norm", "final_layer_norm"]
            };
            for (name, rows, columns) in
                [("q_proj", heads, hidden), ("k_proj", kv, hidden), ("v_proj", kv, hidden), ("out", hidden, heads)]
            {
                let name = match name {
                    "out" if model.gated_ffn => "o_proj",
                    "out" => "out_proj",
                    name => name,
                };
                push(&format!("self_attn.{name}.weight"), &[rows, columns]);
                if !model.gated_ffn {
                    push(&format!("self_attn.{name}.bias"), &[rows]);
                }
            }
            let ffn: &[(&str, u64, u64)] = if model.gated_ffn {
                &[("mlp.gate_proj", ffn, hidden), ("mlp.up_proj", ffn, hidden), ("mlp.down_proj", hidden, ffn)]
            } else {
                &[("fc1", ffn, hidden), ("fc2", hidden, ffn)]
            };
            for &(name, rows, columns) in ffn {
                push(&format!("{name}.weight"), &[rows, columns]);
                if !model.gated_ffn {
                    push(&format!("{name}.bias"), &[rows]);
                }
            }
            for name in norms {
                push(&format!("{name}.weight"), &[hidden]);
                if !model.gated_ffn {
                    push(&format!("{name}.bias"), &[hidden]);
                }
            }
        }
        if model.gated_ffn {
            all.push("model.norm.weight".to_string(), &[hidden], None);
            all.push("lm_head.weight".to_string(), &[vocabulary, hidden], None);
        } else if width == hidden {
            all.push(format!("{base}.final_layer_norm.weight"), &[hidden], None);
            all.push(format!("{base}.final_layer_norm.bias"), &[hidden], None);
        }
        all
    }

    fn push(&mut self, name: String, shape: &[u64], depth: Option<f64>) {
        self.tensors.push(Tensor { name, shape: shape.to_vec(), dtype: Dtype::F16 });
        self.depth.push(depth);
    }

    /// Name and seed, for reports.
    pub fn describe(&self) -> String {
        format!("synthetic {} (seed {})", self.name, self.seed)
    }
}

impl Source for Synthetic {
    fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    fn file(&self, _tensor: usize) -> &str {
        "synthetic weights"
    }

    fn read(&self, tensor: usize, start: u64, values: &mut [f32]) -> Result<()> {
        let t = &self.tensors[tensor];
        if t.shape.len() < 2 {
            values.fill(if t.name.ends_with(".bias") { 0.0 } else { 1.0 });
            return Ok(());
        }
        let depth = self.depth[tensor];
        let deviation = depth.map_or(0.02, |d| 0.02 * (1.0 + 2.0 * d)) as f32;
        let tail = depth.map_or(16, |d| 4 + (24.0 * (d - 0.5).abs()) as u64);
        // Each tensor has 2³⁸ rows of the stream, the last of them for its channels.
        let first = (tensor as u64) << 38;
        let mut rng = RowRng::new(self.seed, first + start / WORDS);
        let mut draws = rng.next_row();
        let channels = RowRng::new(self.seed, first + (1 << 37)).next_row();
        let salts = [channels.below(0, u64::MAX), channels.below(1, u64::MAX)];
        let columns = t.columns();
        let (mut row, mut column) = (start / columns, start % columns);
        let channel = |row: u64| 0.75 + (mix(salts[0], row) >> 56) as f32 / 512.0;
        let mut factor = deviation * channel(row);
        for (i, value) in (start..).zip(values.iter_mut()) {
            if i > start && i.is_multiple_of(WORDS) {
                draws = rng.next_row();
            }
            let u = draws.unit((i % WORDS) as usize);
            let outlier = mix(salts[1], column).is_multiple_of(128);
            *value = factor * drawn(u, tail) * if outlier { 4.0 } else { 1.0 };
            column += 1;
            if column == columns {
                (row, column) = (row + 1, 0);
                factor = deviation * channel(row);
            }
        }
        let mut halves = [f16::ZERO; 256];
        for piece in values.chunks_mut(256) {
            let halves = &mut halves[..piece.len()];
            halves.convert_from_f32_slice(piece);
            halves.convert_to_f32_slice(piece);
        }
        Ok(())
    }
}

/// A number for each channel (the finaliser of SplitMix64).
fn mix(salt: u64, i: u64) -> u64 {
    let z = salt.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The lowest bits of `u` choose the distribution, the others the quantile.
fn drawn(u: f64, tail: u64) -> f32 {
    let word = (u * (1u64 << 53) as f64) as u64;
    let tables = tables();
    if word % 64 < tail { quantile(&tables.student, u, student) } else { quantile(&tables.gauss, u, gauss) }
}

/// The Gaussian quantile of u in [0, 1).
pub(super) fn gaussian(u: f64) -> f32 {
    quantile(&tables().gauss, u, gauss)
}

struct Tables {
    gauss: Vec<f32>,
    student: Vec<f32>,
}

fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    let table = |f: fn(f64) -> f64| (0..=CELLS).map(|i| f(i as f64 / CELLS as f64) as f32).collect();
    TABLES.get_or_init(|| Tables { gauss: table(gauss), student: table(student) })
}

/// Between the entries of a table, or, where it is steep, by the formula.
fn quantile(table: &[f32], u: f64, exact: fn(f64) -> f64) -> f32 {
    let at = u * CELLS as f64;
    let cell = at as usize;
    if !(STEEP..CELLS - STEEP).contains(&cell) {
        return exact(u) as f32;
    }
    table[cell] + (at - cell as f64) as f32 * (table[cell + 1] - table[cell])
}

/// Away from 0 and 1, where quantiles are infinite.
fn inside(u: f64) -> f64 {
    u.clamp(1e-12, 1.0 - 1e-12)
}

/// Student's t of 4 degrees of freedom, divided by its standard deviation √2 (W. T. Shaw, 2006).
fn student(u: f64) -> f64 {
    let u = inside(u);
    let a = 4.0 * u * (1.0 - u);
    let root = libm::sqrt(a);
    let q = libm::cos(libm::acos(root) / 3.0) / root;
    (u - 0.5).signum() * libm::sqrt(2.0 * (q - 1.0).max(0.0))
}

/// Acklam's approximation, relative error below 1.2e-9.
fn gauss(u: f64) -> f64 {
    const A: [f64; 6] = [
        -39.69683028665376,
        220.9460984245205,
        -275.9285104469687,
        138.357751867269,
        -30.66479806614716,
        2.506628277459239,
    ];
    const B: [f64; 6] =
        [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1.0];
    const C: [f64; 6] = [
        -0.007784894002430293,
        -0.3223964580411365,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 5] = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1.0];
    let horner = |c: &[f64], x: f64| c.iter().fold(0.0, |sum, c| sum * x + c);
    let u = inside(u);
    let tail = |p: f64| {
        let q = libm::sqrt(-2.0 * libm::log(p));
        horner(&C, q) / horner(&D, q)
    };
    if u < 0.02425 {
        tail(u)
    } else if u > 1.0 - 0.02425 {
        -tail(1.0 - u)
    } else {
        let q = u - 0.5;
        q * horner(&A, q * q) / horner(&B, q * q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_have_mean_0_and_variance_1() {
        let n = 1 << 20;
        for f in [gauss as fn(f64) -> f64, student] {
            let (mut sum, mut square) = (0.0, 0.0);
            for i in 0..n {
                let x = f((f64::from(i) + 0.5) / f64::from(n));
                (sum, square) = (sum + x, square + x * x);
            }
            assert!((sum / f64::from(n)).abs() < 1e-6 && (square / f64::from(n) - 1.0).abs() < 3e-3, "{square}");
        }
        assert!((gauss(0.975) - 1.959_963_985).abs() < 1e-7 && (student(0.975) * 2f64.sqrt() - 2.776_445).abs() < 1e-5);
    }

    #[test]
    fn any_stretch_gives_the_same_weights() {
        let weights = Synthetic::named("opt-350m", 3).unwrap();
        let tensor = weights.tensors().iter().position(|t| t.name.ends_with("fc2.weight")).unwrap();
        let mut all = vec![0.0; 9000];
        weights.read(tensor, 0, &mut all).unwrap();
        for (start, length) in [(0, 1), (7, 20), (4093, 500), (8191, 1)] {
            let mut part = vec![0.0; length];
            weights.read(tensor, start as u64, &mut part).unwrap();
            assert_eq!(part, all[start..start + length]);
        }
    }
}
