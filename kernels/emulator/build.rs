//! Compiles the kernels for the host, each file with an entry for each of its kernels, and lists them for the library.
//!
//! Without a C++ compiler of the GNU kind nothing is compiled and the list is empty. A kernel that does not compile
//! fails the build.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is how a build script speaks")]

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

fn main() {
    if let Err(error) = build() {
        eprintln!("{error}");
        process::exit(1);
    }
}

/// `extern "C" __global__ void NAME(const __grid_constant__ ARGS args)`
struct Kernel {
    name: String,
    args: String,
    /// The arguments of `__launch_bounds__`.
    bounds: Option<String>,
}

fn build() -> Result<(), Box<dyn Error>> {
    let emulator = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let kernels = emulator.parent().ok_or("the emulator lies beside the kernels")?;
    // With all that lies below.
    println!("cargo::rerun-if-changed={}", kernels.display());

    let mut names = Vec::new();
    let mut units = Vec::new();
    for folder in [kernels, &emulator.join("tests")] {
        for source in sources(folder)? {
            let found = scan(&source)?;
            units.push((out.join(format!("unit{}.cpp", units.len())), unit(&emulator, &source, &found)));
            names.extend(found.into_iter().map(|kernel| (kernel.name, source.clone())));
        }
    }
    names.sort();
    if let Some(twice) = names.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let [(name, first), (_, second)] = [&twice[0], &twice[1]];
        return Err(format!("two kernels are called {name}: in {} and {}", first.display(), second.display()).into());
    }

    let probe = out.join("probe.cpp");
    fs::write(&probe, "extern \"C\" __thread unsigned __int128 probe = 0;\n")?;
    let works = compiler(kernels).try_get_compiler().is_ok_and(|tool| !tool.is_like_msvc())
        && compiler(kernels).warnings(false).cargo_warnings(false).file(&probe).try_compile_intermediates().is_ok();
    if !works {
        println!("cargo::warning=no C++ compiler of the GNU kind: the kernels are not emulated");
        return Ok(fs::write(out.join("table.rs"), table(&[]))?);
    }
    let mut build = compiler(kernels);
    build.file(emulator.join("runtime.cpp"));
    for (path, text) in &units {
        fs::write(path, text)?;
        build.file(path);
    }
    build.try_compile("dftsp_emulated")?;
    println!("cargo::rustc-cfg=dftsp_emulated");
    Ok(fs::write(out.join("table.rs"), table(&names))?)
}

fn compiler(kernels: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).cpp_link_stdlib(None).std("c++17").opt_level(2).include(kernels).warnings(true);
    build.extra_warnings(false);
    for flag in ["-ffp-contract=off", "-fno-strict-aliasing", "-fno-exceptions", "-fno-rtti"] {
        build.flag(flag);
    }
    // A file does not use every helper; `#pragma unroll` is for the device.
    build.flag("-Wno-unused-function").flag("-Wno-unknown-pragmas");
    build
}

/// The kernel sources of a folder, in the order of their names.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cu") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// The kernels that a source defines.
fn scan(source: &Path) -> Result<Vec<Kernel>, Box<dyn Error>> {
    let text = without_comments(&fs::read_to_string(source)?);
    let mut kernels = Vec::new();
    for (at, keyword) in text.match_indices("__global__") {
        let line = text[..at].matches('\n').count() + 1;
        match parse(&text[..at], &text[at + keyword.len()..]) {
            Some(Some(kernel)) => kernels.push(kernel),
            Some(None) => {}
            None => {
                return Err(format!(
                    "{}:{line}: a kernel is written: extern \"C\" __global__ void name(const __grid_constant__ NameArgs args)",
                    source.display()
                )
                .into());
            }
        }
    }
    Ok(kernels)
}

/// What a `__global__` between two texts defines: nothing if it only declares. None: it is not as it should be.
fn parse(before: &str, after: &str) -> Option<Option<Kernel>> {
    let before: Vec<&str> = before.split_whitespace().rev().take(2).collect();
    if before != ["\"C\"", "extern"] {
        return None;
    }
    let (mut rest, mut bounds, mut void) = (after.trim_start(), None, false);
    let name = loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        let (word, next) = rest.split_at(end);
        rest = next.trim_start();
        match word {
            "__launch_bounds__" => {
                let (inside, next) = parenthesised(rest)?;
                bounds = Some(inside.to_owned());
                rest = next.trim_start();
            }
            "void" => void = true,
            "" => return None,
            name => break name,
        }
    };
    let (parameter, rest) = parenthesised(rest)?;
    let parameter: Vec<&str> = parameter.split_whitespace().collect();
    let ["const", "__grid_constant__", args, _] = parameter[..] else { return None };
    let kernel = Kernel { name: name.to_owned(), args: args.to_owned(), bounds };
    void.then(|| rest.trim_start().starts_with('{').then_some(kernel))
}

/// What stands within the parentheses that a text starts with, and what follows them.
fn parenthesised(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some((text.get(1..at)?, &text[at + 1..]));
        }
    }
    None
}

/// The text with spaces for comments; lines stay where they are.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("//").into_iter().chain(rest.find("/*")).min() {
        out.push_str(&rest[..at]);
        let comment = &rest[at..];
        let end = if comment.starts_with("//") { comment.find('\n') } else { comment.find("*/").map(|end| end + 2) };
        let (comment, after) = comment.split_at(end.unwrap_or(comment.len()));
        out.extend(comment.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    out + rest
}

/// A C++ file that includes a source and defines for each of its kernels `emulated_NAME`, which runs it for the current
/// thread, `emulated_NAME_size`, of its arguments, and `emulated_NAME_bound`: the largest block to launch it with.
fn unit(emulator: &Path, source: &Path, kernels: &[Kernel]) -> String {
    let mut text = format!("#include {:?}\n", emulator.join("shim.h"));
    // A kernel has C linkage in any namespace, and may be called what the C library calls something else.
    for Kernel { name, .. } in kernels {
        _ = writeln!(text, "#define {name} emulated_kernel_{name}");
    }
    // Without a name, so that two files may each have a helper of one name.
    _ = writeln!(text, "namespace {{ namespace dftsp_kernels {{\n#include {source:?}\n}} }}");
    _ = writeln!(
        text,
        "template <typename... T> constexpr unsigned dftsp_first(unsigned first, T...) {{ return first; }}"
    );
    for Kernel { name, args, bounds } in kernels {
        let bounds = bounds.as_deref().unwrap_or("1024");
        _ = write!(
            text,
            "namespace {{ namespace dftsp_kernels {{\n\
             constexpr unsigned dftsp_bounds_{name} = dftsp_first({bounds});\n\
             }} }}\n\
             extern \"C\" {{\n\
             void emulated_{name}(const void* args) {{\n\
                 dftsp_kernels::{name}(*static_cast<const dftsp_kernels::{args}*>(args));\n\
             }}\n\
             unsigned emulated_{name}_size() {{ return sizeof(dftsp_kernels::{args}); }}\n\
             unsigned emulated_{name}_bound() {{ return dftsp_kernels::dftsp_bounds_{name}; }}\n\
             }}\n"
        );
    }
    text
}

/// The Rust side of the entries.
fn table(names: &[(String, PathBuf)]) -> String {
    let mut text = String::from("unsafe extern \"C\" {\n");
    for (name, _) in names {
        _ = writeln!(text, "fn emulated_{name}(args: *const core::ffi::c_void);");
        _ = writeln!(text, "safe fn emulated_{name}_size() -> u32;");
        _ = writeln!(text, "safe fn emulated_{name}_bound() -> u32;");
    }
    text.push_str("}\n/// The kernels, in the order of their names.\nstatic KERNELS: &[Kernel] = &[\n");
    for (name, _) in names {
        let field = format!("emulated_{name}");
        _ = writeln!(text, "Kernel {{ name: {name:?}, entry: {field}, size: {field}_size, bound: {field}_bound }},");
    }
    text.push_str("];\n");
    text
}
