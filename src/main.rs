//! The `dftsp` program: see [`dftsp::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    dftsp::cli::main()
}
