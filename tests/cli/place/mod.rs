//! `dftsp place`: the contract, bad input, and the same bytes on any number of threads; `node` and `verify` have what else
//! is done with a placement.

mod node;
mod verify;

use serde_json::Value;

use super::support::{Folder, line_of, without_seconds};

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
