//! Files as users meet them: bounded reading with a named error, tables of TOML with lines in every error, and outputs
//! that appear whole or not at all.

pub(crate) mod json;
pub(crate) mod read;
pub(crate) mod table;
pub mod write;
