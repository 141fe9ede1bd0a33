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
    assert_eq!(
        without_seconds(&folder.ok_text(&["place", "--format", "json", "--problem", "p.toml"])),
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
    folder.write("p.toml", PROBLEM);
    for (args, start) in [
        (["--solver", "uniform-33"], "--solver: unknown solver 'uniform-33'; give exact, ilp, one-server"),
        (["--solver", "x"], "--solver: unknown solver 'x'"),
        (["--time-limit", "-1"], "--time-limit: -1 is negative"),
        (["--problem", "none.toml"], "none.toml: cannot open"),
    ] {
        let refused = folder.refused(&[&["place"][..], &args].concat());
        assert!(refused.starts_with(start), "{refused}");
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
    let rest = SCENARIO.split("[quantization]").nth(1).unwrap();
    let base = format!("[model]\npreset = \"opt-350m\"\n[quantization]{rest}");
    folder.write("base.toml", base);
    let with = ["--solver=quantization-alone", "--emit-scenario=other.toml", "--scenario=base.toml", "--output=out"];
    assert!(folder.ok(&[&["place"][..], &with].concat()).is_empty());
    assert!(folder.text("other.toml").contains("padded_prompt_tokens = 512"));
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
    folder.write("cache.toml", cache);
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
            "the embedded base scenario, model.layers: 'opt-350m' has 24 layers, and 1 layers with a KV cache are"
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
        folder.ok_text(&[&args[..], more].concat())
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
        let changes: [Change<'_>; 8] = [
            ("seats: there is no server 'c'", &|v| v["layers"][0]["server"] = "c".into()),
            ("seats: 'x' is placed where the problem has 'decoder.1'", &|v| v["layers"][1]["name"] = "x".into()),
            ("seats: 1 layers are placed", &|v| drop(v["layers"].as_array_mut().unwrap().pop())),
            ("seats: no server and width on offer for decoder.0", &|v| v["layers"][0]["bits"] = 5.into()),
            ("delay: ", &|v| v["delay_s"] = 0.001.into()),
            ("bound: ", &|v| v["bound_s"] = 0.001.into()),
            ("prices: ", &|v| v["certificate"]["prices_s"]["memory"] = Value::Array(vec![1.0.into()])),
            ("memory: edge-a uses", &|v| {
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
        folder.write("r.json", "{\n\"status\": 1}");
        let refused = folder.refused(&["place", "--problem", "p.toml", "--verify", "r.json"]);
        assert!(refused.starts_with("r.json, line 2: "), "{refused}");
    }
    let out = folder.ok_text(&["place", "--format", "json", "--no-baselines"]);
    folder.write("r.json", &out);
    let verified = folder.ok_text(&["place", "--verify", "r.json"]);
    assert!(verified.contains("searching again proved the rest"), "{verified}");
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
    assert_eq!(
        without_seconds(&out),
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
