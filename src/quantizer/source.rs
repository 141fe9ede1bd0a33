//! Where tensors come from.

use crate::error::{Place, Result, quote};

/// How a file holds its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit floats.
    F32,
    /// 16-bit floats of IEEE 754.
    F16,
    /// The upper half of 32-bit floats.
    Bf16,
    /// Another type of the format, with its bytes an element: sizes are checked, values cannot be read.
    Other(&'static str, u64),
}

impl Dtype {
    /// Every type of the format.
    pub(super) const ALL: [Dtype; 15] = [
        Dtype::F32,
        Dtype::F16,
        Dtype::Bf16,
        Dtype::Other("F64", 8),
        Dtype::Other("I64", 8),
        Dtype::Other("I32", 4),
        Dtype::Other("I16", 2),
        Dtype::Other("I8", 1),
        Dtype::Other("U64", 8),
        Dtype::Other("U32", 4),
        Dtype::Other("U16", 2),
        Dtype::Other("U8", 1),
        Dtype::Other("BOOL", 1),
        Dtype::Other("F8_E4M3", 1),
        Dtype::Other("F8_E5M2", 1),
    ];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
            Dtype::Bf16 => "BF16",
            Dtype::Other(name, _) => name,
        }
    }

    /// Bytes an element.
    pub fn size(self) -> u64 {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::Other(_, size) => size,
        }
    }

    /// Whether weights of this many bits are codes; otherwise they stay as they are.
    pub fn has_codes(self, bits: u32) -> bool {
        bits < if self == Dtype::F32 { 32 } else { 16 }
    }
}

/// Name, shape and type of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name in the model.
    pub name: String,
    /// Dimensions; the product fits in 64 bits.
    pub shape: Vec<u64>,
    /// How it is held.
    pub dtype: Dtype,
}

impl Tensor {
    /// The number of its elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// The length of a row.
    pub fn columns(&self) -> u64 {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Whether it is a matrix of weights, which is quantised: two dimensions, neither of them 1.
    pub fn is_matrix(&self) -> bool {
        self.shape.len() == 2 && self.shape.iter().all(|&n| n > 1) && self.name.ends_with(".weight")
    }
}

/// Tensors that can be read from anywhere in them, by many threads.
pub trait Source: Sync {
    /// All of them.
    fn tensors(&self) -> &[Tensor];

    /// Reads `values.len()` elements of tensor number `tensor`, in row order, from `start` on.
    ///
    /// # Errors
    /// The file cannot be read, or holds no floats.
    fn read(&self, tensor: usize, start: u64, values: &mut [f32]) -> Result<()>;

    /// The file of a tensor, for messages.
    fn file(&self, tensor: usize) -> &str;

    /// File and tensor, for messages.
    fn place(&self, tensor: usize) -> Place {
        let name = self.tensors().get(tensor).map_or("", |t| t.name.as_str());
        Place::file(self.file(tensor)).field(format!("tensor {}", quote(name.as_bytes())))
    }
}

/// Reads, and checks that all values are numbers.
pub(super) fn read_finite(source: &dyn Source, tensor: usize, start: u64, values: &mut [f32]) -> Result<()> {
    source.read(tensor, start, values)?;
    // The exponent alone, without a branch, so that the check costs little.
    let finite = |x: &f32| x.to_bits() & 0x7f80_0000 != 0x7f80_0000;
    if values.iter().fold(true, |all, x| all & finite(x)) {
        return Ok(());
    }
    let at = values.iter().position(|x| !finite(x)).unwrap_or_default();
    let what = if values[at].is_nan() { "not a number (NaN)" } else { "infinite" };
    let problem = format!("element {} is {what}", start + at as u64);
    Err(source.place(tensor).error(problem, "weights must be finite numbers"))
}
