//! The GPU through CUDA: what the kernels in `kernels/` are given, and what is made of what they return.

pub(crate) mod cells;
mod layout;
