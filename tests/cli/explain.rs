//! `dftsp explain`.

use serde_json::Value;

use super::support::{Folder, without_seconds};

fn json(folder: &Folder, more: &[&str]) -> String {
    folder.ok_text(&[["explain", "--format", "json"].as_slice(), more].concat())
}

#[test]
fn the_gains_are_those_of_the_changed_scenario() {
    let folder = Folder::new();
    folder.ok(&["generate", "paper", "--requests", "100", "--output", "r.csv", "--scenario-output", "s.toml"]);
    let epoch = ["--scenario", "s.toml", "--requests", "r.csv"];
    let explanation: Value = serde_json::from_str(&json(&folder, &epoch)).unwrap();
    let solve = |from: &str, to: &str| {
        let text = folder.text("s.toml");
        assert!(text.contains(from), "{text}");
        folder.write("changed.toml", text.replace(from, to));
        let args = ["solve", "--scenario", "changed.toml", "--requests", "r.csv", "--format", "json"];
        serde_json::from_str::<Value>(&folder.ok_text(&args)).unwrap()
    };
    let size = explanation["size"].as_i64().unwrap();
    for (at, (from, to)) in [
        ("uplink_bandwidth_hz = 20000000.0", "uplink_bandwidth_hz = 21e6"),
        ("downlink_bandwidth_hz = 20000000.0", "downlink_bandwidth_hz = 21e6"),
        ("memory_bytes = 640000000000.0", "memory_bytes = 641e9"),
        ("compute_flops = 26600000000000.0", "compute_flops = 27.6e12"),
    ]
    .into_iter()
    .enumerate()
    {
        let (margin, changed) = (&explanation["margins"][at], solve(from, to));
        assert_eq!(margin["size"], changed["size"]);
        let gain = changed["size"].as_i64().unwrap() - size;
        for end in ["at_least", "at_most"] {
            assert_eq!(margin["gain"][end].as_i64(), Some(gain));
        }
        assert!(margin["dual_bound"].as_u64() >= changed["size"].as_u64());
    }
    assert_eq!(explanation["margins"][3]["resource"], "compute");
    assert!(explanation["margins"][3]["gain"]["at_least"].as_i64() > Some(0), "only the deadline binds");
    let least = &explanation["margins"][3]["least"];
    let percent = least["percent"].as_f64().unwrap();
    let at = |percent: f64| {
        let to = format!("compute_flops = {:?}", 26.6e12 + 26.6e12 * percent / 100.0);
        solve("compute_flops = 26600000000000.0", &to)["size"].as_i64().unwrap()
    };
    assert_eq!((Some(at(percent)), at(percent - 1.0)), (least["size"].as_i64(), size));
}

#[test]
fn the_answer_does_not_depend_on_threads_or_on_where_it_goes() {
    let folder = Folder::new();
    let first = without_seconds(&json(&folder, &[]));
    for threads in ["1", "4"] {
        assert_eq!(without_seconds(&json(&folder, &["--threads", threads])), first);
    }
    folder.ok(&["explain", "--format", "json", "--output", "out"]);
    assert_eq!(without_seconds(&folder.text("out")), first);
    let text = folder.ok_text(&["explain"]);
    folder.ok(&["explain", "--output", "out"]);
    assert_eq!(folder.text("out"), text);
    assert!(text.contains("\n  together ") && text.contains("none up to +1000 %"), "{text}");
}

#[test]
fn a_time_limit_of_nothing_still_answers() {
    let folder = Folder::new();
    folder.ok(&[
        "generate",
        "binding",
        "--requests",
        "300",
        "--continuous",
        "--output",
        "r.csv",
        "--scenario-output",
        "s.toml",
    ]);
    let epoch = ["--scenario", "s.toml", "--requests", "r.csv", "--time-limit", "0"];
    let explanation: Value = serde_json::from_str(&json(&folder, &epoch)).unwrap();
    for margin in explanation["margins"].as_array().unwrap() {
        assert!(margin["gain"]["at_least"].as_i64() <= margin["gain"]["at_most"].as_i64());
    }
    assert!(folder.ok_text(&[["explain"].as_slice(), &epoch].concat()).contains("scheduled "));
}

#[test]
fn steps_are_given_by_name() {
    let folder = Folder::new();
    let explanation: Value =
        serde_json::from_str(&json(&folder, &["--step", "memory_gb=0.5, uplink_mhz = 0.001"])).unwrap();
    let steps: Vec<f64> =
        explanation["margins"].as_array().unwrap().iter().map(|m| m["step"].as_f64().unwrap()).collect();
    assert_eq!(steps, [1e3, 1e6, 5e8, 1e12]);
    let remedy = "give NAME=AMOUNT,.. with names of uplink_mhz, downlink_mhz, memory_gb, compute_tflops";
    for (step, problem) in [
        ("", ": '' is no NAME=AMOUNT"),
        ("1", ": '1' is no NAME=AMOUNT"),
        ("uplink=1", ": unknown name in 'uplink=1'"),
        ("uplink_mhz=1,uplink_mhz=2", ", uplink_mhz: it is given twice"),
        ("memory_gb=x", ", memory_gb: 'x' is not a number"),
        ("memory_gb=", ", memory_gb: '' is not a number"),
    ] {
        let message = folder.refused(&["explain", "--step", step, "--output", "out"]);
        assert_eq!(message, format!("--step{problem}; {remedy}"));
    }
    for (step, start) in [
        ("memory_gb=0", "--step, memory_gb: 0 GB is no step; give GB above 0"),
        ("compute_tflops=-1", "--step, compute_tflops: -1 TFLOP/s is no step"),
        ("uplink_mhz=nan", "--step, uplink_mhz: NaN MHz is no step"),
        ("downlink_mhz=1e30", "--step, downlink_mhz: "),
    ] {
        let message = folder.refused(&["explain", "--step", step, "--output", "out"]);
        assert!(message.starts_with(start), "{message}");
    }
    folder.refused(&["explain", "--time-limit", "-1"]);
}

#[test]
fn another_precision_is_explained_as_if_the_scenario_had_it() {
    let folder = Folder::new();
    folder.ok(&["generate", "paper", "--requests", "100", "--output", "r.csv", "--scenario-output", "s.toml"]);
    folder.write("four.toml", folder.text("s.toml").replace("preset = \"w8a16\"", "preset = \"w4a16-gptq\""));
    let named = json(&folder, &["--scenario", "s.toml", "--requests", "r.csv", "--quantization", "w4a16-gptq"]);
    let own = json(&folder, &["--scenario", "four.toml", "--requests", "r.csv"]);
    assert_eq!(without_seconds(&named), without_seconds(&own));
    let text = folder.ok_text(&["explain", "--quantization", "w4a16-gptq"]);
    assert!(text.contains(" at w4a16-gptq (α 0.25, "), "{text}");
    let message = folder.refused(&["explain", "--quantization", "auto"]);
    assert_eq!(message, "--quantization: one precision is wanted here; give one name");
}
