//! Collects the PTX of the kernels into `OUT_DIR/ptx.rs`:
//!
//! ```text
//! pub(crate) const BUILT_BY: &str = "committed";
//! pub(crate) static PTX: &[(&str, &str)] = &[("name of the .cu file", include_str!("its PTX"))];
//! ```
//!
//! The PTX is what is committed in `kernels/ptx`. Only if `DFTSP_NVCC` names an nvcc does that compile the kernels, for
//! `DFTSP_CUDA_ARCH` (`compute_75` if unset); `BUILT_BY` then is its path.

#![allow(clippy::print_stdout, reason = "cargo reads it")]

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// As `NVCC_OPTIONS` in `kernels/ptx.py`.
const OPTIONS: [&str; 6] =
    ["-std=c++17", "-fmad=false", "-ftz=false", "-prec-div=true", "-prec-sqrt=true", "--expt-relaxed-constexpr"];

fn main() -> ExitCode {
    match collect() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn collect() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    // A package has no emulator, and so none of the tests that need it.
    println!("cargo::rustc-check-cfg=cfg(dftsp_has_emulator)");
    if Path::new(&variable("CARGO_MANIFEST_DIR")?).join("kernels/emulator/Cargo.toml").is_file() {
        println!("cargo::rustc-cfg=dftsp_has_emulator");
    }
    for name in ["DFTSP_NVCC", "DFTSP_CUDA_ARCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let kernels = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("kernels");
    let out = PathBuf::from(variable("OUT_DIR")?);
    // An empty variable is an unset one. Without the feature nobody looks at the PTX.
    let nvcc =
        env::var("DFTSP_NVCC").ok().filter(|nvcc| !nvcc.is_empty() && env::var_os("CARGO_FEATURE_CUDA").is_some());
    let (built_by, files) = match &nvcc {
        Some(nvcc) => (nvcc.as_str(), compile(nvcc, &kernels, &out)?),
        None => ("committed", committed(&kernels)?),
    };
    let mut text = format!("pub(crate) const BUILT_BY: &str = {built_by:?};\n");
    text += "pub(crate) static PTX: &[(&str, &str)] = &[\n";
    for (name, path) in files {
        let path = path.to_str().ok_or_else(|| format!("not UTF-8: {}", path.display()))?;
        writeln!(text, "    ({name:?}, include_str!({path:?})),")?;
    }
    fs::write(out.join("ptx.rs"), text + "];\n")?;
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

/// The files of a folder that end so, by name; none if there is no such folder.
fn files(folder: &Path, ending: &str) -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    let mut files = Vec::new();
    if !folder.is_dir() {
        return Ok(files);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let (Some(name), true) =
            (path.file_stem().and_then(OsStr::to_str), path.extension() == Some(ending.as_ref()))
        {
            files.push((name.to_string(), path));
        }
    }
    files.sort();
    Ok(files)
}

fn committed(kernels: &Path) -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    let folder = kernels.join("ptx");
    // A path that does not exist would run this script at every build.
    for path in [&folder, kernels] {
        if path.is_dir() {
            println!("cargo::rerun-if-changed={}", path.display());
            break;
        }
    }
    let ptx = files(&folder, "ptx")?;
    // tests/ptx.rs makes failures of this, and of PTX without a source.
    for (name, _) in files(kernels, "cu")? {
        if ptx.iter().all(|(other, _)| *other != name) {
            println!(
                "cargo::warning=kernels/{name}.cu has no PTX and is left out; run: python3 kernels/ptx.py generate"
            );
        }
    }
    Ok(ptx)
}

fn compile(nvcc: &str, kernels: &Path, out: &Path) -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    if kernels.is_dir() {
        println!("cargo::rerun-if-changed={}", kernels.display());
    }
    if Path::new(nvcc).is_file() {
        println!("cargo::rerun-if-changed={nvcc}");
    }
    let arch = env::var("DFTSP_CUDA_ARCH").ok().filter(|arch| !arch.is_empty()).unwrap_or("compute_75".to_string());
    let mut ptx = Vec::new();
    for (name, source) in files(kernels, "cu")? {
        let target = out.join(format!("{name}.ptx"));
        let mut command = Command::new(nvcc);
        command.arg("-ptx").arg(format!("-arch={arch}")).args(OPTIONS).arg("-o").arg(&target).arg(&source);
        let output = command.output().map_err(|error| {
            format!("DFTSP_NVCC={nvcc} cannot be run: {error}\nUnset it to build with the PTX that is committed.")
        })?;
        if !output.status.success() {
            let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            return Err(format!(
                "DFTSP_NVCC={nvcc} failed on kernels/{name}.cu for DFTSP_CUDA_ARCH={arch}: {}\n{stdout}{stderr}\
                 Unset DFTSP_NVCC to build with the PTX that is committed.",
                output.status
            )
            .into());
        }
        if !target.is_file() {
            return Err(format!("DFTSP_NVCC={nvcc} said that all is well, and made no {}", target.display()).into());
        }
        ptx.push((name, target));
    }
    Ok(ptx)
}
