//! `dftsp place --verify`: what was written verifies, and what was changed does not.

use serde_json::Value;

use super::{PROBLEM, TWO_MODELS, folder};
use crate::support::SCENARIO;

/// How many requests are held and how communication is charged is the result's to say.
#[test]
fn a_placement_is_verified_for_what_it_was_made_for() {
    let folder = folder();
    let args = ["place", "--problem=p.toml", "--held-requests=8", "--communication=paper", "--format=json"];
    let out = folder.ok_text(&args);
    folder.write("r.json", &out);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&value["problem"], &value["held_requests"]), (&"p.toml".into(), &8.into()));
    let verify = ["place", "--problem=p.toml", "--verify=r.json"];
    let verified = folder.ok_text(&verify);
    assert!(verified.contains("2 layers placed, ") && verified.contains(" s; memory for 8 requests; no"), "{verified}");
    assert_eq!(folder.ok_text(&[&verify[..], &["--held-requests=8", "--communication=paper"]].concat()), verified);
    for (more, message) in [
        (&["--held-requests=1"][..], "r.json, held_requests: 8 requests are held, and --held-requests is 1; leave"),
        (
            &["--communication=chain"],
            "r.json, communication: it is charged as 'paper', and --communication is 'chain'; leave",
        ),
    ] {
        let refused = folder.refused(&[&verify[..], more].concat());
        assert!(refused.starts_with(message), "{refused}");
    }
    let two = folder.ok_text(&["place", "--format=json", "--no-baselines"]);
    let value: Value = serde_json::from_str(&two).unwrap();
    assert_eq!((&value["problem"], &value["held_requests"]), (&Value::Null, &1.into()));
    for (text, message) in [
        (out.replace("\"held_requests\": 8", "\"held_requests\": 0"), "r.json, held_requests: 0 is not allowed; give"),
        (out.replace("\"held_requests\": 8", "\"held_requests\": 2.5"), "r.json, held_requests: 2.5 is not a whole"),
        (out.replace("\"problem\": \"p.toml\"", "\"problem\": 1"), "r.json, problem: 1 is not a text; give"),
    ] {
        folder.write("r.json", text);
        let refused = folder.refused(&verify);
        assert!(refused.starts_with(message), "{refused}");
    }
    folder.write("r.json", &out);
    let refused = folder.refused(&["place", "--verify=r.json"]);
    assert_eq!(refused, "r.json, problem: it is 'p.toml', and no --problem is given; give --problem 'p.toml'");
    folder.write("two.toml", TWO_MODELS);
    let out = folder.ok_text(&["place", "--problem=two.toml", "--held-requests=2", "--format=json"]);
    folder.write("r.json", &out);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&value["models"][1]["held_requests"], value.get("held_requests")), (&2.into(), None));
    assert!(
        folder
            .ok_text(&["place", "--problem=two.toml", "--verify=r.json"])
            .contains("memory for 2 requests of each model")
    );
    let refused = folder.refused(&["place", "--problem=two.toml", "--verify=r.json", "--held-requests=3"]);
    assert!(refused.starts_with("r.json, models.0.held_requests: 2 requests are held"), "{refused}");
    folder.write("two.toml", TWO_MODELS.replacen("budget = 0.1", "held_requests = 2\nbudget = 0.1", 1));
    folder.ok(&["place", "--problem=two.toml", "--format=json", "--output=r.json"]);
    let verify = ["place", "--problem=two.toml", "--verify=r.json"];
    let verified = folder.ok_text(&verify);
    assert!(verified.contains("; memory for 2 requests of chat and 1 of code; no"), "{verified}");
    let refused = folder.refused(&[&verify[..], &["--held-requests=2"]].concat());
    assert!(refused.starts_with("r.json, models.1.held_requests: 1 request is held, and"), "{refused}");
}

/// A result of a problem with other models is one that does not hold.
#[test]
fn a_result_of_other_models_does_not_verify() {
    let folder = folder();
    folder.write("two.toml", TWO_MODELS);
    folder.write("other.toml", TWO_MODELS.replacen("\"code\"", "\"talk\"", 1));
    folder.ok(&["place", "--problem=p.toml", "--format=json", "--output=one.json"]);
    folder.ok(&["place", "--problem=two.toml", "--format=json", "--output=two.json"]);
    for (problem, result, why) in [
        ("p.toml", "two.json", "with 2 models, and this one has 1"),
        ("two.toml", "one.json", "with 1 model, and this one has 2"),
        ("other.toml", "two.json", "whose model 2 is 'code', and here it is 'talk'"),
    ] {
        let output = folder.run(&["place", "--problem", problem, "--verify", result]);
        assert_eq!(output.status.code(), Some(1), "{problem}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, format!("not verified: models: the result is of a problem {why}\n"));
    }
}

#[test]
fn a_placement_that_was_written_verifies_and_a_changed_one_does_not() {
    let folder = folder();
    for communication in ["chain", "paper"] {
        let out =
            folder.ok_text(&["place", "--problem", "p.toml", "--format", "json", "--communication", communication]);
        folder.write("r.json", &out);
        let verified = folder.ok_text(&["place", "--problem", "p.toml", "--verify", "r.json"]);
        assert!(verified.starts_with("verified: 2 layers placed, 0.00"), "{verified}");
        let value: Value = serde_json::from_str(&out).unwrap();
        type Change<'c> = (&'c str, &'c dyn Fn(&mut Value));
        let changes: [Change<'_>; 10] = [
            ("seats: there is no server 'c'", &|v| v["layers"][0]["server"] = "c".into()),
            ("seats: 'x' is placed where the problem has 'decoder.1'", &|v| v["layers"][1]["name"] = "x".into()),
            ("seats: 1 layer placed, and the problem has 2", &|v| drop(v["layers"].as_array_mut().unwrap().pop())),
            ("seats: no server and width on offer for decoder.0", &|v| v["layers"][0]["bits"] = 5.into()),
            ("delay: ", &|v| v["delay_s"] = 0.001.into()),
            ("bound: ", &|v| v["bound_s"] = 0.001.into()),
            ("prices: ", &|v| v["certificate"]["prices_s"]["memory"] = Value::Array(vec![1.0.into()])),
            // Without the last digits that sums leave.
            ("delay: 0.1 s is claimed, and it is 0.00577584 s\n", &|v| v["delay_s"] = 0.1.into()),
            ("seats: no link from edge-b to edge-a, after decoder.0\n", &|v| {
                v["layers"][1]["server"] = "edge-a".into()
            }),
            ("memory: edge-a uses 25200000, and its limit is 10000000\n", &|v| {
                v["layers"][0]["server"] = "edge-a".into();
                v["layers"][0]["bits"] = 16.into();
            }),
        ];
        for (why, change) in changes {
            let mut changed = value.clone();
            change(&mut changed);
            folder.write("r.json", changed.to_string());
            let output = folder.run(&["place", "--problem", "p.toml", "--verify", "r.json"]);
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(1), "{why}: {said}");
            assert!(said.starts_with(&format!("not verified: {why}")) && said.lines().count() == 1, "{why}: {said}");
        }
        folder.write("r.json", out.replace("\"optimal\"", "\"best\""));
        let refused = folder.refused(&["place", "--problem", "p.toml", "--verify", "r.json"]);
        assert!(refused.starts_with("r.json, status: unknown status 'best'; give \"optimal\""), "{refused}");
    }
    let out = folder.ok_text(&["place", "--format", "json", "--no-baselines"]);
    folder.write("r.json", &out);
    let verified = folder.ok_text(&["place", "--verify", "r.json"]);
    assert!(verified.contains("searching again proved the rest"), "{verified}");
}

/// Every text, number and flag of a document, with its path.
fn leaves(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(keys) => keys.iter().for_each(|(key, inner)| leaves(inner, &format!("{path}/{key}"), out)),
        Value::Array(items) => (0..).zip(items).for_each(|(at, inner)| leaves(inner, &format!("{path}/{at}"), out)),
        _ => out.push(path.to_string()),
    }
}

#[test]
fn a_changed_field_does_not_verify() {
    let folder = folder();
    folder.write("two.toml", TWO_MODELS);
    let curve = "budget = 0.1\nperplexity = [[0, 0], [0.1, 0.1]]";
    let cache = PROBLEM.replacen("2048\nw", "2048\nkv_bytes_per_token = 4096\nw", 1).replacen("budget = 0.1", curve, 1);
    folder.write("node.toml", cache);
    let model = "[model]\nlayers = 2\nhidden_size = 1024\nheads = 16\nhead_dim = 64\nffn_size = 4096\n";
    let rest = SCENARIO.split("[quantization]").nth(1).unwrap().replacen("512", "128", 1);
    folder.write("base.toml", format!("{model}[quantization]{rest}"));
    for (problem, more) in [
        ("p.toml", &["--sensitivity"][..]),
        ("two.toml", &[]),
        ("two.toml", &["--communication=paper", "--solver=ilp"]),
        ("two.toml", &["--solver=greedy"]),
        ("node.toml", &["--emit-scenario=n", "--scenario=base.toml", "--held-requests=8", "--no-baselines"]),
    ] {
        let args = [&["place", "--problem", problem, "--format=json", "--output=r.json"], more].concat();
        folder.run(&args);
        let text = folder.text("r.json");
        let base: &[&str] = if problem == "node.toml" { &["--scenario=base.toml"] } else { &[] };
        let check = [&["place", "--problem", problem, "--verify=r.json"], base].concat();
        let verified = folder.ok_text(&check);
        assert!(verified.starts_with("verified: "), "{problem}: {verified}");
        let document: Value = serde_json::from_str(&text).unwrap();
        let mut paths = Vec::new();
        leaves(&document, "", &mut paths);
        // What only the search that made it knows, the name of the problem, the words for what is not there, and
        // prices: those that prove as much are as good.
        let free = |path: &str| {
            ["/work/", "/seconds", "/certificate/", "/problem"].iter().any(|start| path.starts_with(start))
                || path.ends_with("/reason")
                || path.ends_with("/best_of_its_kind")
        };
        for path in paths.iter().filter(|path| !free(path)) {
            let mut changed = document.clone();
            let leaf = changed.pointer_mut(path).unwrap();
            *leaf = match &*leaf {
                Value::String(text) => format!("{text}x").into(),
                // A slower one, or less of a bound, may be what a time limit left.
                Value::Number(n) if path.starts_with("/sensitivity") => {
                    (n.as_f64().unwrap() * if path.ends_with("bound_s") { 1.1 } else { 0.9 }).into()
                }
                Value::Number(n) if n.is_f64() => (n.as_f64().unwrap() * 1.001 + 1e-6).into(),
                Value::Number(n) => (n.as_u64().unwrap() + 1).into(),
                Value::Bool(flag) => (!*flag).into(),
                other => panic!("{path} is {other}"),
            };
            // A solver that is not known may be anybody's.
            if path == "/solver" {
                *leaf = if text.contains("\"bound_by\": \"none\"") { "exact" } else { "greedy" }.into();
            }
            folder.write("r.json", changed.to_string());
            let output = folder.run(&check);
            let said = String::from_utf8(output.stdout).unwrap();
            let place = path.trim_start_matches('/').replace('/', ".");
            match output.status.code() {
                Some(1) => assert!(said.starts_with("not verified: ") && said.lines().count() == 1, "{path}: {said}"),
                // Where no cache is held, more of them are; it says for how many.
                Some(0) if path == "/models/1/held_requests" => {
                    assert!(said.contains("; memory for 1 request of chat and 2 of code; "), "{said}");
                }
                Some(2) => assert!(String::from_utf8(output.stderr).unwrap().contains(&place), "{path}"),
                code => panic!("{problem} {more:?}: {path} changed, and the status is {code:?}: {said}"),
            }
        }
        // A field less is no placement, or not this one.
        for key in
            document.as_object().unwrap().keys().filter(|key| !["baselines", "sensitivity", "node"].contains(&&***key))
        {
            let mut changed = document.clone();
            changed.as_object_mut().unwrap().remove(key);
            folder.write("r.json", changed.to_string());
            let output = folder.run(&check);
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(output.status.code() != Some(0) && said.contains(key), "{key}: {said}");
        }
    }
}

#[test]
fn mismatches_name_the_field_and_both_values() {
    let folder = folder();
    folder.write("two.toml", TWO_MODELS);
    let document = |more: &[&str]| -> Value {
        let args = [&["place", "--format=json", "--problem"], more].concat();
        serde_json::from_str(&folder.ok_text(&args)).unwrap()
    };
    let (one, two, greedy) = (document(&["p.toml"]), document(&["two.toml"]), document(&["p.toml", "--solver=greedy"]));
    type Change<'c> = (&'c str, &'c Value, &'c dyn Fn(&mut Value), &'c str);
    let changes: [Change<'_>; 10] = [
        (
            "p.toml",
            &one,
            &|v| v["quantization_ratio"]["mean_bits"] = 5.0.into(),
            "quantization_ratio.mean_bits: 5.0 is claimed, and it is 4.0",
        ),
        (
            "p.toml",
            &one,
            &|v| v["memory"][1]["used_bytes"] = 1.into(),
            "memory.1.used_bytes: 1 is claimed, and it is 13386432.0",
        ),
        (
            "p.toml",
            &one,
            &|v| v["memory"][0]["max_busy_s"] = 1.into(),
            "memory.0.max_busy_s: 1 is claimed, and it is not there",
        ),
        ("p.toml", &one, &|v| v["status"] = "feasible".into(), "status: 'feasible' is claimed, and it is 'optimal'"),
        (
            "p.toml",
            &one,
            &|v| v["weight_errors"] = "measured".into(),
            "weight_errors: 'measured' is claimed, and it is not there",
        ),
        (
            "p.toml",
            &one,
            &|v| v["baselines"][0]["delay_s"] = 1.into(),
            "baselines.0.delay_s: 1 is claimed, and it is 0.00",
        ),
        (
            "two.toml",
            &two,
            &|v| v["models"][1]["quality_used"] = 0.01.into(),
            "models.1.quality_used: 0.01 is claimed, and it is 0.0",
        ),
        (
            "two.toml",
            &two,
            &|v| v["models"] = Value::Array(Vec::new()),
            "models: the result is of a problem with 0 models, and this one has 2",
        ),
        (
            "two.toml",
            &two,
            &|v| v["layers"][2]["model"] = "chat".into(),
            "layers.2.model: 'chat' is claimed, and it is 'code'",
        ),
        ("p.toml", &greedy, &|v| v["bound_s"] = 0.001.into(), "bound_s: 0.001 is claimed, and it is 0.0"),
    ];
    for (problem, document, change, why) in changes {
        let mut changed = document.clone();
        change(&mut changed);
        folder.write("r.json", changed.to_string());
        let output = folder.run(&["place", "--problem", problem, "--verify=r.json"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{why}: {said}");
        assert!(said.starts_with(&format!("not verified: {why}")), "{why}: {said}");
    }
    folder.write("r.json", greedy.to_string());
    let verified = folder.ok_text(&["place", "--problem=p.toml", "--verify=r.json"]);
    assert!(verified.contains("it keeps every limit; the baseline greedy claims no bound"), "{verified}");
}

#[test]
fn what_is_no_placement_is_refused_with_where_and_what() {
    let folder = folder();
    let text = folder.ok_text(&["place", "--problem=p.toml", "--format=json"]);
    let whole: Value = serde_json::from_str(&text).unwrap();
    let with = |path: &str, value: Value| {
        let mut changed = whole.clone();
        *changed.pointer_mut(path).unwrap() = value;
        changed.to_string()
    };
    for (text, start) in [
        (String::new(), "r.json, line 1: the file is empty; give a file that `dftsp place --format json` wrote"),
        ("1".to_string(), "r.json: 1 is not a table of keys; give"),
        ("[]".to_string(), "r.json: a list is not a table of keys; give"),
        ("{".to_string(), "r.json, line 1: the file ends before its JSON does; give"),
        ("{\n\"status\" 1}".to_string(), "r.json, line 2: not JSON: expected `:`; give"),
        ("{\n\"status\": 1e999}".to_string(), "r.json, line 2: not JSON: number out of range; give"),
        ("{}".to_string(), "r.json, status: the key is missing; give"),
        (with("/status", 1.into()), "r.json, status: 1 is not a text; give"),
        (with("/delay_s", Value::Null), "r.json, delay_s: null is not a number; give"),
        (
            with("/bound_by", "me".into()),
            "r.json, bound_by: unknown bound_by 'me'; give \"proof\" or \"general solver\"",
        ),
        (with("/layers", "x".into()), "r.json, layers: 'x' is not a list; give"),
        (with("/layers/1", 2.into()), "r.json, layers.1: 2 is not a table of keys; give"),
        (with("/layers/1/bits", 4.5.into()), "r.json, layers.1.bits: 4.5 is not a whole number; give"),
        (with("/layers/1/bits", (-4).into()), "r.json, layers.1.bits: -4 is not a whole number; give"),
        (with("/certificate/prices_s", 1.into()), "r.json, certificate.prices_s: 1 is not a table of keys; give"),
        (with("/certificate/exhausted", 1.into()), "r.json, certificate.exhausted: 1 is not true or false; give"),
        (with("/baselines/0/delay_s", "x".into()), "r.json, baselines.0.delay_s: 'x' is not a number; give"),
    ] {
        folder.write("r.json", &text);
        let refused = folder.refused(&["place", "--problem=p.toml", "--verify=r.json"]);
        assert!(refused.starts_with(start), "{refused} does not start with {start}");
    }
}
