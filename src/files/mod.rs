//! Files as users meet them: bounded reading with a named error, and outputs that appear whole or not at all.

pub(crate) mod read;
pub mod write;
