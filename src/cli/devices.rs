//! `dftsp devices`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::Format;
use crate::backend;
use crate::report::devices::{to_json, to_text};

/// Options of `dftsp devices`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Report for people, or JSON.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write the result to a file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let found = backend::devices();
    let result = match args.format {
        Format::Text => to_text(&found),
        Format::Json => to_json(&found),
    };
    super::finish(args.output.as_deref(), &result)
}
