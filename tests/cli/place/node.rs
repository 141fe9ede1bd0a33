//! The placed model as a node of the scheduler: `--emit-scenario`, `--held-requests` and `--budgets`.

use serde_json::Value;

use super::{PROBLEM, folder};
use crate::support::{Folder, HEADER, SCENARIO, line_of};

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
