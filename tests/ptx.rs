//! The committed PTX is that of the committed kernels, as far as hashes tell: no CUDA tool is needed.
//!
//! `kernels/ptx/HASHES` holds one line for each file. `python3 kernels/ptx.py check` compiles again and compares bytes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here should stop the run")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// FNV-1a of 64 bits, as in `kernels/ptx.py`.
fn fnv1a(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The files of a folder that end so, each with its hash.
fn hashes(folder: &Path, prefix: &str, endings: &[&str]) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    let wanted = paths.filter(|path| endings.iter().any(|ending| path.extension().is_some_and(|e| e == *ending)));
    wanted
        .map(|path| {
            (format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap()), fnv1a(&fs::read(&path).unwrap()))
        })
        .collect()
}

/// What is wrong with the files generated in this folder of kernels.
fn faults(kernels: &Path) -> Vec<String> {
    let mut present = hashes(kernels, "", &["cu", "h"]);
    present.append(&mut hashes(&kernels.join("ptx"), "ptx/", &["ptx"]));
    let mut faults = Vec::new();
    for source in present.keys().filter_map(|name| name.strip_suffix(".cu")) {
        if !present.contains_key(&format!("ptx/{source}.ptx")) {
            faults.push(format!("kernels/{source}.cu has no kernels/ptx/{source}.ptx"));
        }
    }
    let Ok(text) = fs::read_to_string(kernels.join("ptx/HASHES")) else {
        // Nothing to record where there is no kernel.
        if present.keys().any(|name| !name.ends_with(".h")) {
            faults.push("kernels/ptx/HASHES is missing".to_string());
        }
        return faults;
    };
    let mut recorded = BTreeMap::new();
    for line in text.lines() {
        match line.split_once("  ").map(|(hash, name)| (u64::from_str_radix(hash, 16), name)) {
            Some((Ok(hash), name)) => _ = recorded.insert(name.to_string(), hash),
            _ => faults.push(format!("kernels/ptx/HASHES: not a hash and a name: {line}")),
        }
    }
    for (name, hash) in &present {
        match recorded.get(name) {
            None => faults.push(format!("kernels/{name} is not in kernels/ptx/HASHES")),
            Some(other) if other != hash => {
                faults.push(format!("kernels/{name} has changed since kernels/ptx was generated"))
            }
            Some(_) => {}
        }
    }
    faults.extend(
        recorded.keys().filter(|name| !present.contains_key(*name)).map(|name| format!("kernels/{name} is missing")),
    );
    faults
}

#[test]
fn the_committed_ptx_is_that_of_the_kernels() {
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    if !kernels.is_dir() {
        // Not println, which is shown only of tests that fail.
        writeln!(io::stderr(), "SKIPPED: {} is absent, so there is no PTX to look at", kernels.display()).unwrap();
        return;
    }
    let faults = faults(&kernels);
    assert!(
        faults.is_empty(),
        "kernels/ptx is stale:\n  {}\nrun: python3 kernels/ptx.py generate",
        faults.join("\n  ")
    );
}

#[test]
fn the_hash_is_fnv1a() {
    let vectors: [(&[u8], u64); 3] =
        [(b"", 0xcbf2_9ce4_8422_2325), (b"a", 0xaf63_dc4c_8601_ec8c), (b"foobar", 0x8594_4171_f739_67e8)];
    for (data, hash) in vectors {
        assert_eq!(fnv1a(data), hash);
    }
}

/// A folder of kernels in which nothing is stale.
fn current(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ptx-{name}"));
    let files = ["layout.h", "a.cu", "b.cu", "ptx/a.ptx", "ptx/b.ptx"];
    _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("ptx")).unwrap();
    let mut hashes = String::new();
    for name in files {
        fs::write(folder.join(name), name).unwrap();
        hashes += &format!("{:016x}  {name}\n", fnv1a(name.as_bytes()));
    }
    fs::write(folder.join("ptx/HASHES"), hashes).unwrap();
    // Neither a source nor generated.
    fs::write(folder.join("README.md"), "").unwrap();
    folder
}

#[test]
fn whatever_is_stale_is_named() {
    let folder = current("stale");
    assert_eq!(faults(&folder), [""; 0]);
    for name in ["layout.h", "a.cu", "ptx/b.ptx"] {
        let folder = current("stale");
        fs::write(folder.join(name), "other").unwrap();
        assert_eq!(faults(&folder), [format!("kernels/{name} has changed since kernels/ptx was generated")]);
    }
    for name in ["other.h", "ptx/other.ptx"] {
        let folder = current("stale");
        fs::write(folder.join(name), "other").unwrap();
        assert_eq!(faults(&folder), [format!("kernels/{name} is not in kernels/ptx/HASHES")]);
    }
    let folder = current("stale");
    fs::write(folder.join("other.cu"), "other").unwrap();
    let expected = ["kernels/other.cu has no kernels/ptx/other.ptx", "kernels/other.cu is not in kernels/ptx/HASHES"];
    assert_eq!(faults(&folder), expected);
    let folder = current("stale");
    fs::remove_file(folder.join("ptx/a.ptx")).unwrap();
    assert_eq!(faults(&folder), ["kernels/a.cu has no kernels/ptx/a.ptx", "kernels/ptx/a.ptx is missing"]);
    let folder = current("stale");
    fs::remove_file(folder.join("a.cu")).unwrap();
    assert_eq!(faults(&folder), ["kernels/a.cu is missing"]);
    let folder = current("stale");
    fs::remove_file(folder.join("ptx/HASHES")).unwrap();
    assert_eq!(faults(&folder), ["kernels/ptx/HASHES is missing"]);
    fs::write(folder.join("ptx/HASHES"), "?").unwrap();
    assert_eq!(faults(&folder)[0], "kernels/ptx/HASHES: not a hash and a name: ?");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn no_kernels_are_current() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ptx-none");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("layout.h"), "").unwrap();
    assert_eq!(faults(&folder), [""; 0]);
    fs::remove_dir_all(folder).unwrap();
}
