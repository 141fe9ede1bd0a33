//! `dftsp place`: the contract, bad input, and the same bytes on any number of threads.

use serde_json::Value;

use super::support::{Folder, HEADER, SCENARIO, line_of, without_seconds};

pub const PROBLEM: &str = "\
[request]
prompt_tokens = 128
output_tokens = 64
[quality]
budget = 0.1
[bits]
\"4\" = 0.6
[[server]]
name = \"edge-a\"
compute_flops = 2.0e12
memory_bytes = 1.0e7
[[server]]
name = \"edge-b\"
compute_flops = 1.0e12
memory_bytes = 3.0e7
[[link]]
from = \"edge-a\"
to = \"edge-b\"
bandwidth_bytes_per_s = 1.0e8
latency_s = 0.002
[[layer]]
name = \"decoder.0\"
parameters = 12_600_000
flops_per_token = 25.2e6
activation_bytes = 2048
weight_error = { \"4\" = 0.03, \"8\" = 0.002, \"16\" = 0.0 }
[[layer]]
name = \"decoder.1\"
parameters = 12_600_000
flops_per_token = 25.2e6
activation_bytes = 2048
kv_bytes_per_token = 4096
weight_error = { \"4\" = 0.03, \"8\" = 0.002, \"16\" = 0.0 }
";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("p.toml", PROBLEM);
    folder
}

fn json(folder: &Folder, more: &[&str]) -> Value {
    let args = [&["place", "--problem", "p.toml", "--format", "json"], more].concat();
    serde_json::from_str(&folder.ok_text(&args)).unwrap()
}

#[test]
fn the_contract() {
    let folder = folder();
    let out = json(&folder, &[]);
    assert_eq!(out["status"], "optimal");
    // Both layers at 4 bits on b, or one on each: the link is cheaper than the slower server.
    let (compute, link) = (191.0 * 25.2e6 * 0.6, 64.0 * 0.002 + 191.0 * 2048.0 / 1e8);
    let together = 2.0 * compute / 1e12;
    assert!(together < compute / 2e12 + compute / 1e12 + link);
    assert!((out["delay_s"].as_f64().unwrap() - together).abs() < 1e-12, "{out}");
    assert_eq!(out["bound_s"], out["delay_s"]);
    for (l, layer) in out["layers"].as_array().unwrap().iter().enumerate() {
        assert_eq!((&layer["name"], &layer["server"]), (&format!("decoder.{l}").into(), &"edge-b".into()));
        assert_eq!(layer["bits"], 4);
    }
    assert!((out["quality_used"].as_f64().unwrap() - 0.06).abs() < 1e-12);
    let memory = &out["memory"][1];
    let used = 12.6e6 + 4096.0 * 192.0;
    assert_eq!((&memory["server"], memory["used_bytes"].as_f64()), (&"edge-b".into(), Some(used)));
    assert_eq!(out["quantization_ratio"]["of_16_bits"], 0.25);
    assert_eq!(out["quantization_ratio"]["of_32_bits"], 0.125);
    assert!(out["certificate"]["root_bound_s"].as_f64().unwrap() <= together);
    assert!(out["seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(out["baselines"].as_array().unwrap().len(), 9);
    let text = folder.ok_text(&["place", "--problem", "p.toml", "--sensitivity"]);
    for part in ["placed 2 layers on 1 of 2 servers: proven optimal", "decoder.0–decoder.1: edge-b,  4 bits", "× 0.25"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn every_solver_answers() {
    let folder = folder();
    let best = json(&folder, &[])["delay_s"].as_f64().unwrap();
    for communication in ["chain", "paper"] {
        for solver in ["exact", "ilp", "one-server", "greedy", "uniform-4", "uniform-8", "quantization-alone"] {
            let out = json(&folder, &["--solver", solver, "--communication", communication]);
            assert!(out["delay_s"].as_f64().unwrap() >= best * (1.0 - 1e-9), "{solver}");
            let status = if ["exact", "ilp"].contains(&solver) { "optimal" } else { "feasible" };
            assert_eq!(out["status"], status, "{solver}");
        }
    }
    let output = folder.run(&["place", "--problem", "p.toml", "--solver", "placement-alone"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_embedded_example_is_the_same_on_any_number_of_threads() {
    let folder = Folder::new();
    let run = |threads: &str| {
        let args = ["place", "--format", "json", "--threads", threads, "--sensitivity"];
        without_seconds(&folder.ok_text(&args))
    };
    let one = run("1");
    assert!(one.contains("\"status\": \"optimal\"") && one.contains("synthetic weight errors"));
    for threads in ["2", "5"] {
        assert_eq!(run(threads), one, "{threads} threads");
    }
}

#[test]
fn a_problem_that_is_written_is_the_one_that_is_solved() {
    let folder = Folder::new();
    let first = folder.ok_text(&["place", "--format", "json", "--problem-output", "p.toml"]);
    let again = folder.ok_text(&["place", "--format", "json", "--problem", "p.toml"]);
    assert_eq!(
        without_seconds(&again).replace("\"problem\": \"p.toml\"", "\"problem\": null"),
        without_seconds(&first)
    );
    assert!(folder.ok(&["place", "--problem", "p.toml", "--output", "out.txt"]).is_empty());
    assert!(folder.text("out.txt").contains("proven optimal"));
}

#[test]
fn mistakes_have_their_line() {
    let folder = folder();
    let line = |start: &str| line_of(PROBLEM, start);
    let cases = [
        ("budget = 0.1", "budget = -1", format!("p.toml, line {}, quality.budget: -1 is negative", line("budget"))),
        ("to = \"edge-b\"", "to = \"edge-c\"", format!("p.toml, line {}, link.0.to: there is no server", line("to"))),
        (
            "memory_bytes = 3.0e7",
            "memory_bytes = 3.0e6",
            format!("p.toml, line {}, server: all servers together have 13.000 MB of memory", line("[[server]]")),
        ),
        (
            "12_600_000\nflops_per_token = 25.2e6\nactivation_bytes = 2048\nw",
            "126_000_000\nflops_per_token = 25.2e6\nactivation_bytes = 2048\nw",
            format!(
                "p.toml, line {}, layer.0.parameters: decoder.0 fits nowhere: at 4 bits it needs 63.000 MB, and the \
                 largest server has 30.000 MB; short by 33.000 MB; give a larger server",
                line("parameters")
            ),
        ),
        (
            "budget = 0.1",
            "budget = 0.001",
            format!(
                "p.toml, line {}, quality.budget: within the memory of the servers the weight errors are at least",
                line("budget")
            ),
        ),
    ];
    for (from, to, start) in cases {
        assert!(PROBLEM.contains(from), "{from}");
        folder.write("p.toml", PROBLEM.replacen(from, to, 1));
        let refused = folder.refused(&["place", "--problem", "p.toml", "--output", "out"]);
        assert!(refused.starts_with(&start), "{refused} does not start with {start}");
    }
    folder.write("p.toml", PROBLEM.replacen("decoder.1", "decoder.0", 1));
    let refused = folder.refused(&["place", "--problem", "p.toml"]);
    let second = PROBLEM.lines().position(|line| line == "name = \"decoder.1\"").unwrap() + 1;
    assert_eq!(
        refused,
        format!(
            "p.toml, line {second}, layer.1.name: 'decoder.0' is the name of layer 1 too; give every layer of a model a \
             name of its own"
        )
    );
    let two = TWO_MODELS.replacen("name = \"code\"", "name = \"chat\"", 1);
    folder.write("p.toml", &two);
    let refused = folder.refused(&["place", "--problem", "p.toml"]);
    let second = two.lines().count() - two.lines().rev().position(|line| line == "name = \"chat\"").unwrap();
    let what = format!("p.toml, line {second}, model.1.name: 'chat' is the name of model 1 too; give every model");
    assert!(refused.starts_with(&what), "{refused}");
    folder.write("p.toml", PROBLEM);
    for (args, start) in [
        (["--layers", "l.toml"], "--layers: l.toml has layers only, and no --problem is given; give --problem FILE"),
        (["--solver", "uniform-33"], "--solver: unknown solver 'uniform-33'; give exact, ilp, one-server"),
        (["--solver", "x"], "--solver: unknown solver 'x'"),
        (["--time-limit", "-1"], "--time-limit: -1 is negative"),
        (["--problem", "none.toml"], "none.toml: cannot open"),
    ] {
        let refused = folder.refused(&[&["place"][..], &args].concat());
        assert!(refused.starts_with(start), "{refused}");
    }
}

/// Requests held are blamed where they come from.
#[test]
fn requests_held_that_do_not_fit_are_named() {
    let folder = folder();
    let field = PROBLEM.replacen("output_tokens = 64", "output_tokens = 64\nheld_requests = 2000", 1);
    folder.write("held.toml", &field);
    let line = line_of(&field, "held_requests");
    let what = "decoder.1 fits nowhere: at 4 bits with the KV caches of 2000 requests it needs 1.579 GB, and the largest \
                server has 30.000 MB; short by 1.549 GB; hold fewer requests, or give a larger server";
    let refused = folder.refused(&["place", "--problem", "held.toml"]);
    assert_eq!(refused, format!("held.toml, line {line}, request.held_requests: {what}"));
    let place = |held: &str| folder.refused(&["place", "--problem", "p.toml", "--held-requests", held]);
    assert_eq!(place("2000"), format!("--held-requests: {what}"));
    let cache = PROBLEM.replacen("2048\nw", "2048\nkv_bytes_per_token = 4096\nw", 1);
    folder.write("p.toml", &cache);
    let sum = place("20");
    assert!(
        sum.starts_with(
            "--held-requests: all servers together have 40.000 MB of memory, and the layers at their narrowest with the \
             KV caches of 20 requests need 44.057 MB; short by 4.057 MB; hold fewer requests"
        ),
        "{sum}"
    );
    let together = place("17");
    assert!(
        together.starts_with(
            "--held-requests: no assignment keeps all constraints at once: within the quality budget the layers"
        ) && together.contains("held_requests (")
            && together.contains("the memory of the servers ("),
        "{together}"
    );
    // Where it shows in the weight errors.
    let edge = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/placement/edge.toml");
    let refused = folder.refused(&["place", "--problem", edge, "--held-requests", "23"]);
    assert!(refused.contains("quality.budget: within the memory of the servers with the KV caches of 23"), "{refused}");
    assert!(refused.ends_with("; give a larger budget, more memory, or hold fewer requests"), "{refused}");
    // What sums of caches cannot hold.
    folder.write("p.toml", PROBLEM.replacen("= 4096", "= 4096_000_000", 1));
    let most = place("1000000");
    assert!(most.starts_with("--held-requests: at 16 bits and with its KV cache the layer needs "), "{most}");
    assert!(most.ends_with("; give fewer requests"), "{most}");
}

#[test]
fn budgets_of_which_none_gives_a_node_are_an_error() {
    let folder = folder();
    let curve = "budget = 0.1\nperplexity = [[0, 0], [0.05, 0.1]]";
    let cache = PROBLEM.replacen("2048\nw", "2048\nkv_bytes_per_token = 4096\nw", 1).replacen("budget = 0.1", curve, 1);
    folder.write("p.toml", cache);
    let model = "[model]\nlayers = 2\nhidden_size = 1024\nheads = 16\nhead_dim = 64\nffn_size = 4096\n";
    let rest = SCENARIO.split("[quantization]").nth(1).unwrap().replacen("512", "128", 1);
    folder.write("base.toml", format!("{model}[quantization]{rest}"));
    let sweep = |budgets: &str, more: &[&str]| {
        let args =
            ["place", "--problem=p.toml", "--scenario=base.toml", "--seeds=1", "--duration=5", "--budgets", budgets];
        folder.run(&[&args[..], more].concat())
    };
    let failed = |budgets: &str, more: &[&str], status: i32, why: &str| {
        let output = sweep(budgets, &[&["--output=out"], more].concat());
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{message}");
        assert!(message.starts_with(why) && message.lines().count() == 1, "{message} does not start with {why}");
        assert!(!folder.path().join("out").exists());
    };
    failed("0.0001,0.001", &[], 2, "dftsp: --budgets: nothing is placed; at ε 0.001: within the memory of the servers");
    failed(
        "0.1,0.2",
        &[],
        2,
        "dftsp: --budgets: no placement becomes a node; at ε 0.1: the weight error of 0.06 is above",
    );
    let why = "dftsp: --budgets: nothing is placed; at ε 0.1: no placement holds 16 bits everywhere\n";
    failed("0.1", &["--solver=placement-alone"], 1, why);
    // One that gives a node is enough; what room it lacks is told.
    let said = |budgets: &str| {
        let output = sweep(budgets, &[]);
        let (text, message) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(0), "{message}");
        assert!(text.contains("infeasible") && text.contains("optimal"), "{text}");
        message
    };
    assert_eq!(said("0.001,0.035,0.1"), "");
    let base = folder.text("base.toml");
    folder.write("base.toml", base.replace("= 128", "= 1000"));
    let one = said("0.001,0.035,0.1");
    assert!(one.starts_with("dftsp: --budgets, ε 0.035: the node holds 1354 KV tokens, and"), "{one}");
    assert!(one.ends_with("makes room for two of any, where memories allow it\n") && one.lines().count() == 1, "{one}");
    let two = said("0.001,0.035,0.036");
    assert!(two.ends_with("where memories allow it (and so at 1 more)\n") && two.lines().count() == 1, "{two}");
    // A node for none of them is refused, as it is alone.
    folder.write("base.toml", base.replace("= 128", "= 2000"));
    failed(
        "0.001,0.035",
        &[],
        2,
        "dftsp: --budgets, ε 0.035: the node holds 1354 KV tokens, and with its padding every",
    );
}

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
fn messages_name_the_model_where_there_are_several() {
    let folder = folder();
    folder.write("two.toml", TWO_MODELS);
    let text = folder.ok_text(&["place", "--problem=two.toml"]);
    assert!(text.contains("c.0 of chat has no 2 bits on offer"), "{text}");
    for (from, to, what) in [
        ("= 2_600_000", "= 126_000_000", "layer.0.parameters: d.0 of code fits nowhere: at 4 bits"),
        ("budget = 0.3", "budget = 0.001", "layer.0.weight_error: d.0 of code alone has a weight error"),
        ("budget = 0.1", "budget = 0.003", "budget: the weight errors of chat are at least 0.004, above"),
    ] {
        assert_eq!(TWO_MODELS.matches(from).count(), 1, "{from}");
        folder.write("two.toml", TWO_MODELS.replacen(from, to, 1));
        let refused = folder.refused(&["place", "--problem=two.toml"]);
        assert!(refused.contains(what), "{refused}");
    }
}

#[test]
fn a_placement_becomes_a_node_that_is_solved_and_simulated() {
    let folder = Folder::new();
    let args = ["place", "--no-baselines", "--held-requests=2", "--emit-scenario", "node.toml", "--format", "json"];
    let out: Value = serde_json::from_str(&folder.ok_text(&args)).unwrap();
    let node = &out["node"];
    assert_eq!(node["memory_factor"], out["quantization_ratio"]["of_16_bits"]);
    assert!(node["kv_tokens"].as_u64().unwrap() >= 2 * 192, "{node}");
    let text = folder.text("node.toml");
    assert!(text.contains("# Weight errors: synthetic weight errors and ΔPPL curve (seed 1)."), "{text}");
    for key in ["compute_flops", "memory_bytes", "memory_factor", "time_factor", "perplexity_increase"] {
        assert!(text.contains(&format!("\n{key} = {:?} ", node[key].as_f64().unwrap())), "{key}: {text}");
    }
    // A request of the problem's lengths takes the placement's delay and the two slots: it fits just so.
    let delay = out["delay_s"].as_f64().unwrap();
    let row = |id: &str, deadline: f64| format!("{id},128,64,{deadline},0,1,0.001,20\n");
    let rows = [row("late", delay + 0.5 - 1e-6), row("just", delay + 0.5 + 1e-6), row("two", 2.0 * delay + 0.6)];
    folder.write("r.csv", format!("{HEADER}\n{}", rows.concat()));
    let solve = ["solve", "--scenario", "node.toml", "--requests", "r.csv", "--format", "json"];
    let solved: Value = serde_json::from_str(&folder.ok_text(&solve)).unwrap();
    assert_eq!((&solved["status"], &solved["size"]), (&"optimal".into(), &1.into()));
    assert_eq!(solved["rejected"][0]["id"], "late");
    let simulated = folder.ok_text(&["simulate", "--scenario", "node.toml", "--duration", "30"]);
    for part in
        ["opt-350m", "in time", "quantization: it and the node are those of a placement; synthetic weight errors"]
    {
        assert!(simulated.contains(part), "{part}: {simulated}");
    }
    // The same from any solver, and from a base of one's own.
    let rest = SCENARIO.split("[quantization]").nth(1).unwrap().replacen("512", "100", 1);
    let arrivals = "[arrivals]\nprompt_tokens = [1, 100]\noutput_tokens = [1, 50]\n";
    let base = format!("[model]\npreset = \"opt-350m\"\n[quantization]{rest}{arrivals}");
    folder.write("base.toml", base);
    let with = [
        "--solver=quantization-alone",
        "--held-requests=2",
        "--emit-scenario=other.toml",
        "--scenario=base.toml",
        "--output=out",
    ];
    assert!(folder.ok(&[&["place"][..], &with].concat()).is_empty());
    assert!(folder.text("other.toml").contains("padded_prompt_tokens = 100"));
    assert!(folder.text("out").contains("as a node for the scheduler"));
    folder.ok(&["simulate", "--scenario", "other.toml", "--duration", "10"]);
}

#[test]
fn what_can_be_no_node_is_refused_before_anything_is_written() {
    let folder = folder();
    folder.write("scenario.toml", SCENARIO);
    let curve = "budget = 0.1\nperplexity = [[0, 0], [0.05, 0.1]]";
    folder.write("curve.toml", PROBLEM.replacen("budget = 0.1", curve, 1));
    let two = "[model]\nlayers = 2\nhidden_size = 1024\nheads = 16\nhead_dim = 64\nffn_size = 4096\n";
    let rest = SCENARIO.split("[quantization]").nth(1).unwrap();
    folder.write("two.toml", format!("{two}[quantization]{rest}"));
    let cache = PROBLEM.replacen("2048\nw", "2048\nkv_bytes_per_token = 4096\nw", 1).replacen("budget = 0.1", curve, 1);
    folder.write("cache.toml", &cache);
    folder.write("long.toml", cache.replace("\"4\" = 0.03", "\"4\" = 0.030123456789"));
    let quality = line_of(PROBLEM, "[quality]");
    for (args, start) in [
        (
            &["--problem=p.toml", "--emit-scenario=n"][..],
            format!(
                "p.toml, line {quality}, quality.perplexity: the key is missing, without which a placement has no ΔPPL; declare"
            ),
        ),
        (
            &["--problem=p.toml", "--budgets=0.1"],
            format!("p.toml, line {quality}, quality.perplexity: the key is missing"),
        ),
        (
            &["--problem=curve.toml", "--emit-scenario=n"],
            "the embedded base scenario, model.layers: 'opt-350m' has 24 layers, and the problem has 1 layer with a KV cache;"
                .to_string(),
        ),
        (
            &["--problem=cache.toml", "--emit-scenario=n", "--scenario=two.toml"],
            format!(
                "cache.toml, line {}, quality.perplexity: the weight error of 0.06 is above the last one",
                quality + 2
            ),
        ),
        (
            &["--problem=long.toml", "--emit-scenario=n", "--scenario=two.toml"],
            format!(
                "long.toml, line {}, quality.perplexity: the weight error of 0.060247 is above the last one of the curve, \
                 0.05; add",
                quality + 2
            ),
        ),
        (
            &["--emit-scenario=n", "--scenario=scenario.toml"],
            "scenario.toml, model.layers: 'custom' has 30".to_string(),
        ),
        (&["--emit-scenario=n", "--scenario=p.toml"], "p.toml, line ".to_string()),
        (&["--emit-scenario=n", "--output=./n"], "--emit-scenario: it is the file of --output; give two".to_string()),
        (
            &["--problem-output=n", "--emit-scenario=n"],
            "--emit-scenario: it is the file of --problem-output".to_string(),
        ),
        (&["--emit-scenario=no/n"], "no/n: cannot write".to_string()),
        (&["--emit-scenario=n", "--output=no/n"], "no/n: cannot write".to_string()),
        (&["--emit-scenario=n", "--budgets=5"], "--emit-scenario: --budgets makes many nodes".to_string()),
        (&["--scenario=scenario.toml"], "--scenario: no node is made".to_string()),
        (&["--rate=5"], "--rate: nothing is simulated; give --budgets".to_string()),
        (&["--budgets=5", "--sensitivity"], "--sensitivity: --budgets makes many placements".to_string()),
        (&["--budgets=5,x"], "--budgets: 'x' is not a number".to_string()),
        (&["--budgets="], "--budgets: '' is not a number".to_string()),
        (&["--budgets=-1"], "--budgets: -1 is negative".to_string()),
        (&["--budgets=1e-300"], "--budgets: 1e-300 is too small; give 0, or at least".to_string()),
        (&["--emit-scenario=./scenario.toml", "--scenario=scenario.toml"], "--emit-scenario: it is the file of --scenario".to_string()),
        (&["--plot=no/"], "no/: cannot write: it names a directory, not a file".to_string()),
        (&["--budgets=5", "--seeds=0"], "--seeds: 0 seeds".to_string()),
        (&["--budgets=5", "--duration=0"], "--duration: 0 is not allowed".to_string()),
        (&["--budgets=5", "--rate=nan"], "--rate: not a number".to_string()),
        (&["--held-requests=0"], "--held-requests: 0 is not allowed".to_string()),
    ] {
        let refused = folder.refused(&[&["place"][..], args].concat());
        assert!(refused.starts_with(&start), "{refused} does not start with {start}");
    }
}

#[test]
fn requests_served_against_the_quality_budget() {
    let folder = Folder::new();
    let run = |more: &[&str]| {
        let args = ["place", "--budgets=0.01,4.2,5.5,8", "--seeds=3", "--duration=30", "--rate=3", "--time-limit=20"];
        let output = folder.run(&[&args[..], more].concat());
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.starts_with("dftsp: --budgets, ε 4.2: the node holds 193 KV") && message.lines().count() == 1);
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let one = run(&["--format=json", "--threads=1"]);
    assert_eq!(run(&["--format=json", "--threads=3"]), one);
    let out: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(out["weight_errors"], "synthetic weight errors and ΔPPL curve (seed 1)");
    let rows = out["rows"].as_array().unwrap();
    let all = |key: &str| rows.iter().filter_map(|row| row[key].as_f64()).collect::<Vec<f64>>();
    assert_eq!(all("budget"), [0.01, 4.2, 5.5, 8.0]);
    assert_eq!(rows[0]["status"], "infeasible");
    assert!(rows[0]["reason"].as_str().unwrap().contains("budget"), "{}", rows[0]);
    for (row, budget) in rows.iter().zip(all("budget")).skip(1) {
        assert_eq!(row["status"], "optimal");
        assert!(row["weight_error"].as_f64().unwrap() <= budget && row["in_time_per_s"]["values"] == 3, "{row}");
        assert_eq!(row["of_32_bits"].as_f64(), row["mean_bits"].as_f64().map(|bits| bits / 32.0));
    }
    let falls = |key: &str| all(key).windows(2).all(|pair| pair[0] >= pair[1]);
    assert!(falls("delay_s") && falls("mean_bits") && all("delay_s").len() == 3, "{one}");
    // A ΔPPL above 1 is more than anybody of the base accepts.
    assert!(rows[1]["in_time_per_s"]["mean"].as_f64().unwrap() > 0.1 && rows[3]["in_time_per_s"]["mean"] == 0.0);
    let text = run(&[]);
    for part in
        ["synthetic weight errors", "seeds 1 to 3, 30 s of arrivals each", "3 a second", "optimal", "infeasible"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.lines().skip_while(|line| !line.contains("ε")).count(), 5, "{text}");
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

/// Two models on two servers with every kind of limit.
const TWO_MODELS: &str = "\
[quality]
note = \"made up\"
[bits]
\"4\" = 0.6
[[server]]
name = \"a\"
compute_flops = 2e10
memory_bytes = 1.2e7
max_busy_s = 5
max_sent_bytes = 1e6
[[server]]
name = \"b\"
compute_flops = 1e10
memory_bytes = 4e7
[[link]]
from = \"a\"
to = \"b\"
bandwidth_bytes_per_s = 1e8
latency_s = 0.002
[[model]]
name = \"chat\"
prompt_tokens = 16
output_tokens = 8
budget = 0.1
[[model.layer]]
name = \"c.0\"
parameters = 12_600_000
flops_per_token = 25.2e6
activation_bytes = 2048
weight_error = { \"4\" = 0.03, \"8\" = 0.002 }
[[model.layer]]
name = \"c.1\"
parameters = 12_600_000
flops_per_token = 25.2e6
activation_bytes = 2048
kv_bytes_per_token = 4096
weight_error = { \"4\" = 0.03, \"8\" = 0.002 }
[[model]]
name = \"code\"
prompt_tokens = 32
output_tokens = 4
budget = 0.3
[[model.layer]]
name = \"d.0\"
parameters = 2_600_000
flops_per_token = 5.2e6
activation_bytes = 2048
weight_error = { \"4\" = 0.03, \"8\" = 0.002 }
";

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

#[test]
fn a_node_with_too_little_room_is_told_of_or_refused() {
    let folder = Folder::new();
    let said = |more: &[&str]| {
        let args = [&["place", "--no-baselines", "--emit-scenario=node.toml", "--output=out"], more].concat();
        let output = folder.run(&args);
        assert_eq!(output.status.code(), Some(0), "{more:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let one = said(&[]);
    assert!(
        one.starts_with("dftsp: --emit-scenario: the node holds 193 KV tokens, and requests of its")
            && one.lines().count() == 1,
        "{one}"
    );
    assert!(
        one.ends_with("take 144 to 192: no two fit at once; --held-requests 2 makes room for two of any, where memories allow it\n"),
        "{one}"
    );
    assert_eq!(said(&["--held-requests=2"]), "");
    // Longer outputs than the problem's.
    let rest = SCENARIO.split("[quantization]").nth(1).unwrap().replacen("512", "128", 1);
    let base = format!("[model]\npreset = \"opt-350m\"\n[quantization]{rest}");
    folder.write("base.toml", &base);
    let some = said(&["--scenario=base.toml", "--held-requests=2"]);
    assert!(
        some.ends_with("take 256 to 640: not all of them fit; --held-requests 7 makes room for two of any, where memories allow it\n"),
        "{some}"
    );
    let none = said(&["--scenario=base.toml"]);
    assert!(none.contains("none of them fits") && none.contains("--held-requests 7 makes"), "{none}");
    std::fs::remove_file(folder.path().join("node.toml")).unwrap();
    folder.write("base.toml", base.replace("= 128", "= 512"));
    let refused = folder.refused(&["place", "--emit-scenario=node.toml", "--scenario=base.toml"]);
    assert!(refused.starts_with("--emit-scenario: the node holds 193 KV"), "{refused}");
    assert!(
        refused.ends_with(
            "KV tokens, and with its padding every request takes 513 or more; give --held-requests 3, more memory, or a --scenario with less padding"
        ),
        "{refused}"
    );
}

#[test]
fn layers_may_come_from_a_file_of_their_own() {
    let folder = folder();
    let (servers, layers) = PROBLEM.split_once("[[layer]]").unwrap();
    let layers = format!("[[layer]]{layers}");
    folder.write("servers.toml", servers);
    folder.write("layers.toml", &layers);
    let apart = ["place", "--problem", "servers.toml", "--layers", "layers.toml"];
    let out = folder.ok_text(&[&apart[..], &["--format", "json"]].concat());
    let files = "\"problem\": \"servers.toml\",\n  \"layers_file\": \"layers.toml\"";
    assert!(out.contains(files), "{out}");
    assert_eq!(
        without_seconds(&out.replace(files, "\"problem\": \"p.toml\"")),
        without_seconds(&folder.ok_text(&["place", "--problem", "p.toml", "--format", "json"]))
    );
    assert!(folder.ok_text(&apart).starts_with("problem: servers.toml with layers.toml; 2 layers"));
    let refused = folder.refused(&["place", "--problem", "p.toml", "--layers", "layers.toml"]);
    let line = line_of(PROBLEM, "[[layer]]");
    assert!(
        refused.starts_with(&format!("p.toml, line {line}, layer: there are layers here too; leave them out")),
        "{refused}"
    );
    assert!(folder.refused(&["place", "--layers", "layers.toml"]).contains("--problem"));
    folder.write("r.json", &out);
    let verify = ["place", "--verify", "r.json"];
    assert!(folder.ok_text(&[&verify[..], &apart[1..]].concat()).starts_with("verified: 2 layers"));
    // The problem may be whole by now, in a file of another name.
    assert!(folder.ok_text(&[&verify[..], &["--problem", "p.toml"]].concat()).starts_with("verified: 2 layers"));
    for (more, message) in [
        (
            &["--problem", "servers.toml"][..],
            "r.json, layers_file: it is 'layers.toml', and no --layers is given; give --layers 'layers.toml'",
        ),
        (
            &[],
            "r.json, problem: it is 'servers.toml', and no --problem is given; give --problem 'servers.toml' --layers \
             'layers.toml'",
        ),
    ] {
        assert_eq!(folder.refused(&[&verify[..], more].concat()), message);
    }
    folder.write("r.json", out.replace("\"layers.toml\"", "1"));
    assert!(
        folder.refused(&[&verify[..], &apart[1..]].concat()).starts_with("r.json, layers_file: 1 is not a text; give")
    );
    // What only shows in the whole is said of the file that it is in.
    folder.write("layers.toml", layers.replacen("12_600_000", "126_000_000", 1));
    let refused = folder.refused(&apart);
    assert!(refused.starts_with("layers.toml, line 3, layer.0.parameters: decoder.0 fits nowhere"), "{refused}");
    folder.write("layers.toml", &layers);
    folder.write("servers.toml", servers.replacen("budget = 0.1", "budget = 0.001", 1));
    let refused = folder.refused(&apart);
    let line = line_of(servers, "budget");
    assert!(refused.starts_with(&format!("servers.toml, line {line}, quality.budget: within the memory")), "{refused}");
}

#[test]
fn plots_are_the_same_each_time_and_have_the_names() {
    let folder = folder();
    folder.write("q.toml", PROBLEM.replace("edge-a", "<a> & b"));
    for problem in ["p.toml", "q.toml"] {
        let draw = |name: &str| {
            folder.ok(&["place", "--problem", problem, "--no-baselines", "--plot", name]);
            folder.text(name)
        };
        let svg = draw("a.svg");
        assert_eq!(svg, draw("b.svg"));
        let first = if problem == "p.toml" { "edge-a" } else { "&lt;a&gt; &amp; b" };
        for part in
            ["<svg", "</svg>", "proven optimal", first, "edge-b", "decoder.0", "decoder.1", "4 bits", "13.4 of 30.0 MB"]
        {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(!svg.contains("8 bits"));
    }
}

#[test]
fn outputs_share_no_file_and_appear_together() {
    let folder = folder();
    for (a, b, path) in
        [("--output", "--plot", "./x"), ("--problem-output", "--plot", "x"), ("--output", "--problem-output", "x")]
    {
        let refused = folder.refused(&["place", a, "x", b, path]);
        assert_eq!(refused, format!("{b}: it is the file of {a}; give two files"));
    }
    // Said before anything is computed, and nothing is left of the others.
    let refused = folder.refused(&["place", "--output", "x", "--plot", "missing/y.svg"]);
    assert!(refused.starts_with("missing/y.svg: cannot write: "), "{refused}");
    folder.write("p.toml", PROBLEM.replacen("budget = 0.1", "budget = 0.001", 1));
    folder.refused(&["place", "--problem", "p.toml", "--output", "x", "--plot", "y.svg"]);
}
