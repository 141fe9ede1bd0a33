//! Layers and their errors, as text, JSON and the `[[layer]]` blocks of a placement problem.

use std::fmt::Write as _;

use serde::Serialize;

use super::number::count;
use super::table;
use crate::quantizer::layers::{Layer, Layers};
use crate::quantizer::table::Row;
use crate::quantizer::{Scheme, Settings, Table};

/// What a table was measured on, for its readers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The files, or the synthetic model.
    pub weights: String,
    /// Whether the weights are synthetic.
    pub synthetic: bool,
    /// Where activations come from, if outputs are compared instead of weights.
    pub activations: Option<String>,
    /// Whether the activations are synthetic.
    pub synthetic_activations: bool,
    /// What else is to be known, a line each.
    pub notes: Vec<String>,
}

impl About {
    fn measure(&self) -> &'static str {
        if self.activations.is_some() { "‖WX − Q_b(W)X‖ / ‖WX‖" } else { "‖W − Q_b(W)‖ / ‖W‖" }
    }

    /// What stands above every form of the table.
    fn lines(&self, layers: &Layers, settings: &Settings, errors: &Table) -> Vec<String> {
        let tied = if layers.tied() { ", head tied to the embedding" } else { "" };
        let mut lines = vec![
            format!(
                "weights: {} ({} names, {}{tied})",
                self.weights,
                layers.family,
                count(layers.layers.len(), "layer")
            ),
            format!("codes: {}, {}, clipped by error", settings.granularity.name(), scheme(settings.scheme)),
            format!("error: {}", self.measure()),
        ];
        lines.extend(overhead(layers, errors));
        if let Some(activations) = &self.activations {
            lines.push(format!("activations: {activations}"));
        }
        if self.synthetic {
            lines.push("SYNTHETIC weights: no trained model has these errors".to_string());
        }
        if self.synthetic_activations {
            lines.push("SYNTHETIC activations: Gaussian, not those of a model at work".to_string());
        }
        if !layers.others.is_empty() {
            let first = crate::error::quote(layers.others[0].as_bytes());
            lines.push(match layers.others.len() {
                1 => format!("left out: 1 tensor that belongs to no layer, {first}"),
                n => format!("left out: {n} tensors that belong to no layer, the first {first}"),
            });
        }
        lines.extend(self.notes.iter().cloned());
        lines
            .into_iter()
            .map(|line| line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect())
            .collect()
    }
}

fn scheme(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Auto => "symmetric or asymmetric by layer",
        Scheme::Always(symmetry) => symmetry.name(),
    }
}

/// What scales and offsets of the whole model take, at the narrowest width that has any.
fn overhead(layers: &Layers, errors: &Table) -> Option<String> {
    let total =
        |at: usize| errors.rows.iter().filter_map(|row| row.overhead_bits.get(at)).map(|&n| u128::from(n)).sum();
    let (bits, most): (u32, u128) =
        errors.bits.iter().enumerate().map(|(at, &b)| (b, total(at))).find(|(_, n)| *n > 0)?;
    let parameters: u128 = layers.layers.iter().map(|l| u128::from(l.parameters)).sum();
    let each = per_parameter(most as f64, parameters as f64);
    let what = format!("{each:.4} bits for each parameter at {bits} bits ({:.1} MB)", most as f64 / 8e6);
    Some(format!("scales and offsets: {what}; the memory of a placement does not count them"))
}

fn per_parameter(bits: f64, parameters: f64) -> f64 {
    if parameters > 0.0 { bits / parameters } else { 0.0 }
}

/// A table for people.
pub fn to_text(about: &About, layers: &Layers, settings: &Settings, errors: &Table) -> String {
    let mut out = about.lines(layers, settings, errors).join("\n");
    let mut header: Vec<String> =
        ["layer", "parameters", "MB", "MFLOP/token", "act. B", "KV B/token", "+bits", "symmetry"]
            .map(String::from)
            .to_vec();
    header.extend(errors.bits.iter().map(|bits| format!("{bits} bit")));
    let mut rows = vec![header];
    for (layer, row) in layers.layers.iter().zip(&errors.rows) {
        let mut cells = vec![
            if layer.tied { format!("{} (tied)", layer.kind) } else { layer.kind.to_string() },
            layer.parameters.to_string(),
            format!("{:.1}", layer.bytes as f64 / 1e6),
            format!("{:.2}", layer.flops_per_token as f64 / 1e6),
            layer.activation_bytes.to_string(),
            layer.kv_bytes_per_token.to_string(),
            // Columns of text show the narrowest width.
            row.overhead_bits
                .first()
                .map_or_else(String::new, |&n| format!("{:.4}", per_parameter(n as f64, layer.parameters as f64))),
            row.symmetry.clone(),
        ];
        cells.extend(row.errors.iter().map(|&e| short(e)));
        rows.push(cells);
    }
    out.push_str("\n\n");
    let right: Vec<usize> = (1..7).chain(8..8 + errors.bits.len()).collect();
    out.push_str(&table::to_text(&rows, &right));
    out
}

/// Five decimals, or the leading digits of what has none.
fn short(error: f64) -> String {
    if error == 0.0 {
        "0".to_string()
    } else if error < 1e-3 {
        format!("{error:.2e}")
    } else {
        format!("{error:.5}")
    }
}

#[derive(Serialize)]
struct Report<'r> {
    weights: &'r str,
    synthetic: bool,
    activations: Option<&'r str>,
    synthetic_activations: bool,
    family: String,
    tied: bool,
    granularity: String,
    scheme: &'static str,
    error: &'static str,
    bits: &'r [u32],
    layers: Vec<LayerOut<'r>>,
    left_out: &'r [String],
    notes: &'r [String],
}

#[derive(Serialize)]
struct LayerOut<'r> {
    name: String,
    tensors: usize,
    matrices: usize,
    tied: bool,
    parameters: u64,
    bytes: u64,
    flops_per_token: u64,
    activation_bytes: u64,
    kv_bytes_per_token: u64,
    symmetry: &'r str,
    weight_error: serde_json::Map<String, serde_json::Value>,
    overhead_bits: serde_json::Map<String, serde_json::Value>,
    overhead_bits_per_parameter: serde_json::Map<String, serde_json::Value>,
}

/// A table for programs.
pub fn to_json(about: &About, layers: &Layers, settings: &Settings, errors: &Table) -> String {
    let widths = || errors.bits.iter().map(u32::to_string);
    let by_width = |row: &Row| widths().zip(row.errors.iter().map(|&e| e.into())).collect();
    let overhead = |row: &Row| widths().zip(row.overhead_bits.iter().map(|&n| n.into())).collect();
    let each = |l: &Layer, row: &Row| {
        let each = |&n: &u64| per_parameter(n as f64, l.parameters as f64).into();
        widths().zip(row.overhead_bits.iter().map(each)).collect()
    };
    let rows = layers.layers.iter().zip(&errors.rows);
    let report = Report {
        weights: &about.weights,
        synthetic: about.synthetic,
        activations: about.activations.as_deref(),
        synthetic_activations: about.synthetic_activations,
        family: layers.family.to_string(),
        tied: layers.tied(),
        granularity: settings.granularity.name(),
        scheme: settings.scheme.name(),
        error: about.measure(),
        bits: &errors.bits,
        layers: rows
            .map(|(l, row)| LayerOut {
                name: l.kind.to_string(),
                tensors: l.tensors.len(),
                matrices: l.matrices.len(),
                tied: l.tied,
                parameters: l.parameters,
                bytes: l.bytes,
                flops_per_token: l.flops_per_token,
                activation_bytes: l.activation_bytes,
                kv_bytes_per_token: l.kv_bytes_per_token,
                symmetry: &row.symmetry,
                weight_error: by_width(row),
                overhead_bits: overhead(row),
                overhead_bits_per_parameter: each(l, row),
            })
            .collect(),
        left_out: &layers.others,
        notes: &about.notes,
    };
    // Numbers and strings always have a JSON form.
    serde_json::to_string_pretty(&report).map_or_else(|_| String::new(), |text| text + "\n")
}

/// The `[[layer]]` blocks of a placement problem, for `dftsp place --layers`; what is synthetic is noted.
pub fn to_toml(about: &About, layers: &Layers, settings: &Settings, errors: &Table) -> String {
    let mut out = String::new();
    for line in about.lines(layers, settings, errors) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# {line}");
    }
    let note = match (about.synthetic, about.synthetic_activations) {
        (true, true) => Some("synthetic weights and activations"),
        (true, false) => Some("synthetic weights"),
        (false, true) => Some("synthetic activations"),
        (false, false) => None,
    };
    if let Some(note) = note {
        let _ = writeln!(out, "\n[quality]\nnote = \"{note}\"");
    }
    for (layer, row) in layers.layers.iter().zip(&errors.rows) {
        let error: Vec<String> =
            errors.bits.iter().zip(&row.errors).map(|(bits, e)| format!("\"{bits}\" = {e:?}")).collect();
        let _ = write!(
            out,
            "\n[[layer]]\nname = \"{}\"\nparameters = {}\nflops_per_token = {:?}\nactivation_bytes = {}\n\
             kv_bytes_per_token = {}\nweight_error = {{ {} }}\n",
            layer.kind,
            layer.parameters,
            layer.flops_per_token as f64,
            layer.activation_bytes,
            layer.kv_bytes_per_token,
            error.join(", ")
        );
    }
    out
}
