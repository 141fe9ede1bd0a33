//! A taste of the fuzz targets in every test run: the corpus in `fuzz/corpus`, mutations of it, and arbitrary bytes.

#![cfg(feature = "weights")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here should stop the run")]

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::cell::Cell;
use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Numbers at the edges of types and ranges, and things that are none.
const NUMBERS: [&str; 24] = [
    "0",
    "-0",
    "1",
    "-1",
    "0.5",
    "1e-400",
    "5e-324",
    "1e-30",
    "1e9",
    "1e21",
    "1e30",
    "1e400",
    "-1e400",
    "nan",
    "inf",
    "-inf",
    "255",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "",
    "null",
];
/// Bytes that mean something to one of the formats.
const TOKENS: &[u8] = b",\"\n\r\t {}[]=.:-+#'\\eT\0\x7f\xc3\xff";

#[derive(Debug, Clone)]
enum Change {
    Flip(usize, u8),
    Insert(usize, usize),
    Delete(usize, usize),
    RepeatLine(usize),
    Number(usize, usize),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        1 => (any::<usize>(), 0..8u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => (any::<usize>(), 0..TOKENS.len()).prop_map(|(at, token)| Change::Insert(at, token)),
        1 => (any::<usize>(), 1..40usize).prop_map(|(at, count)| Change::Delete(at, count)),
        1 => any::<usize>().prop_map(Change::RepeatLine),
        4 => (any::<usize>(), 0..NUMBERS.len()).prop_map(|(nth, number)| Change::Number(nth, number)),
    ];
    vec(change, 1..4)
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match *change {
        Change::Flip(at, bit) if !bytes.is_empty() => {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        Change::Insert(at, token) => bytes.insert(at % (bytes.len() + 1), TOKENS[token]),
        Change::Delete(at, count) if !bytes.is_empty() => {
            let at = at % bytes.len();
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Change::RepeatLine(at) if !bytes.is_empty() => {
            let at = at % bytes.len();
            let start = bytes[..at].iter().rposition(|&b| b == b'\n').map_or(0, |p| p + 1);
            let end = bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |p| at + p + 1);
            let line = bytes[start..end].to_vec();
            bytes.splice(end..end, line);
        }
        Change::Number(nth, number) => {
            let digits: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i].is_ascii_digit()).collect();
            let starts: Vec<usize> = digits.iter().copied().filter(|&i| i == 0 || !is_numeric(bytes[i - 1])).collect();
            if !starts.is_empty() {
                let start = starts[nth % starts.len()];
                let end = bytes[start..].iter().position(|&b| !is_numeric(b)).map_or(bytes.len(), |p| start + p);
                bytes.splice(start..end, NUMBERS[number].bytes());
            }
        }
        _ => {}
    }
}

fn is_numeric(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+')
}

/// Files of the corpus by name. They are part of the repository, not of the published package.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

fn smoke(target: &str, body: fn(&[u8]) -> bool, cases: u32, more: Vec<String>) {
    let mut seeds = corpus(target);
    for (name, bytes) in &seeds {
        assert_eq!(body(bytes), name.starts_with("valid"), "{target}/{name}");
    }
    for text in more {
        assert!(body(text.as_bytes()), "{text}");
        seeds.push((String::new(), text.into_bytes()));
    }
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let accepted = Cell::new(0);
    let mutated = (0..seeds.len(), changes());
    let run = runner.run(&mutated, |(seed, changes)| {
        let mut bytes = seeds[seed].1.clone();
        changes.iter().for_each(|change| apply(&mut bytes, change));
        accepted.set(accepted.get() + u32::from(body(&bytes)));
        Ok(())
    });
    assert!(run.is_ok(), "{target}: {}", run.unwrap_err());
    // Where nothing is accepted, only the first check of a reader was tested.
    assert!(accepted.get() > cases / 250, "{target}: only {} of {cases} mutations were accepted", accepted.get());
    let run = runner.run(&vec(any::<u8>(), 0..200), |bytes| {
        body(&bytes);
        Ok(())
    });
    assert!(run.is_ok(), "{target}: {}", run.unwrap_err());
}

#[test]
fn requests() {
    smoke("requests", bodies::requests, 10_000, Vec::new());
}

#[test]
fn scenario() {
    smoke("scenario", bodies::scenario, 10_000, Vec::new());
}

#[test]
fn model_config() {
    smoke("model_config", bodies::model_config, 10_000, Vec::new());
}

#[test]
fn solution() {
    smoke("solution", bodies::solution, 5_000, bodies::solutions());
}

#[test]
fn placement() {
    smoke("placement", bodies::placement, 40_000, Vec::new());
}

#[test]
fn weights() {
    smoke("weights", bodies::weights, 10_000, Vec::new());
}
