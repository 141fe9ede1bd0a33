//! The report that `dftsp place` prints for people.

use std::fmt::Write as _;

use super::{Bound, Report, mean_bits, proven, seconds, unit_of};
use crate::report::number::{count, grouped_count, milliseconds, significant};
use crate::report::table;

/// The placement in words.
pub fn to_text(report: &Report<'_>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, report);
    out
}

/// Bytes for people.
fn bytes(x: f64) -> String {
    let (unit, name) = unit_of(x);
    format!("{:.1} {name}", x / unit)
}

fn write(out: &mut String, r: &Report<'_>) -> std::fmt::Result {
    let (p, s) = (r.problem, r.solution);
    writeln!(out, "problem: {}", r.about)?;
    if let Some(note) = &p.note {
        writeln!(out, "weight errors: {note}")?;
    }
    let used = s.usage.memory_bytes.iter().zip(0..).filter(|(_, i)| s.seats.iter().any(|x| x.server == *i)).count();
    let delay = s.usage.delay_s;
    let how = r.verdict();
    let n = p.servers.len();
    writeln!(out, "placed {} on {used} of {}: {how}", count(s.seats.len(), "layer"), count(n, "server"))?;
    if s.work.stopped {
        writeln!(out, "a limit stopped the search")?;
    }
    let (compute, link): (f64, f64) = (s.usage.compute_s.iter().sum(), s.usage.link_s.iter().sum());
    writeln!(
        out,
        "delay {}: {} of computation, {} on links ({} communication)",
        seconds(delay),
        seconds(compute),
        seconds(link),
        r.communication.name()
    )?;
    runs(out, r)?;
    servers(out, r)?;
    writeln!(out, "\nweight errors and bits")?;
    for (model, used) in p.models.iter().zip(&s.usage.quality) {
        let name = if model.name.is_empty() { String::new() } else { format!("{}: ", model.name) };
        let part = if model.budget > 0.0 { 100.0 * used / model.budget } else { 100.0 };
        writeln!(
            out,
            "  {name}weight error {} of {} ({part:.1} %), for {} prompt and {}{}",
            significant(*used, 4),
            significant(model.budget, 4),
            model.prompt_tokens,
            count(model.output_tokens, "output token"),
            if model.held_requests > 1 {
                format!("; memory for {} requests", model.held_requests)
            } else {
                String::new()
            }
        )?;
    }
    let mean = mean_bits(p, &s.seats);
    writeln!(
        out,
        "  {mean:.2} bits a weight on average: {:.2} % of 16 bits, {:.2} % of 32 bits",
        100.0 * mean / 16.0,
        100.0 * mean / 32.0
    )?;
    baselines(out, r)?;
    sensitivity(out, r)?;
    node(out, r)?;
    proof(out, r)
}

fn runs(out: &mut String, r: &Report<'_>) -> std::fmt::Result {
    writeln!(out, "\nlayers")?;
    let names: Vec<&str> = r.problem.layers().map(|(_, layer)| layer.name.as_str()).collect();
    let usage = &r.solution.usage;
    let mut rows = Vec::new();
    for run in r.runs() {
        let (first, last) = (run.layers.start, run.layers.end - 1);
        let model = &r.problem.models[run.model].name;
        let model = if model.is_empty() { String::new() } else { format!("{model}: ") };
        let range =
            if first == last { names[first].to_string() } else { format!("{}–{}", names[first], names[last]) };
        let compute: f64 = usage.compute_s[run.layers.clone()].iter().sum();
        let link: f64 = usage.link_s[run.layers.clone()].iter().sum();
        let next = r.solution.seats.get(last + 1).filter(|_| link > 0.0);
        let to = next.map_or("", |seat| r.problem.servers[seat.server].name.as_str());
        rows.push(vec![
            format!("{model}{range}:"),
            format!("{},", r.problem.servers[run.seat.server].name),
            count(run.seat.bits, "bit"),
            seconds(compute),
            if to.is_empty() { String::new() } else { format!("then {} to {to}", seconds(link)) },
        ]);
    }
    out.push_str(&table::to_text(&rows, &[2, 3]));
    Ok(())
}

fn servers(out: &mut String, r: &Report<'_>) -> std::fmt::Result {
    writeln!(out, "\nservers")?;
    let head = ["", "layers", "memory", "of", "%", "computes", "of", "sends", "of"];
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_string).to_vec()];
    let u = &r.solution.usage;
    for (i, server) in r.problem.servers.iter().enumerate() {
        let layers = r.solution.seats.iter().filter(|s| s.server == i).count();
        rows.push(vec![
            server.name.clone(),
            layers.to_string(),
            bytes(u.memory_bytes[i]),
            bytes(server.memory_bytes),
            format!("{:.1}", 100.0 * u.memory_bytes[i] / server.memory_bytes),
            seconds(u.busy_s[i]),
            server.max_busy_s.map_or("–".to_string(), seconds),
            bytes(u.sent_bytes[i]),
            server.max_sent_bytes.map_or("–".to_string(), bytes),
        ]);
    }
    out.push_str(&table::to_text(&rows, &[1, 2, 3, 4, 5, 6, 7, 8]));
    Ok(())
}

fn baselines(out: &mut String, r: &Report<'_>) -> std::fmt::Result {
    if r.baselines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nwithout it")?;
    let delay = r.solution.usage.delay_s;
    let row = |(baseline, result): &(crate::placement::baseline::Baseline, Result<_, String>)| match result {
        Ok(placed) => {
            let placed: &crate::placement::baseline::Placed = placed;
            let slower = 100.0 * (placed.usage.delay_s / delay - 1.0);
            let note = if proven(placed) { "" } else { ", not proven the best of its kind" };
            let mean = mean_bits(r.problem, &placed.seats);
            let than = if delay > 0.0 { format!("{slower:+.1} %, {mean:.2} bits{note}") } else { note.to_string() };
            vec![baseline.to_string(), seconds(placed.usage.delay_s), than]
        }
        Err(why) => vec![baseline.to_string(), "–".to_string(), why.clone()],
    };
    let rows: Vec<Vec<String>> = r.baselines.iter().map(row).collect();
    out.push_str(&table::to_text(&rows, &[1]));
    Ok(())
}

fn sensitivity(out: &mut String, r: &Report<'_>) -> std::fmt::Result {
    if r.sensitivity.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nif all links or servers were faster or slower")?;
    let row = |change: &super::Change| {
        let mut row = vec![change.what.to_string(), format!("× {}", change.factor)];
        match &change.result {
            Ok((delay, bound, bits)) => {
                let gap = if *delay > 0.0 { (delay - bound) / delay } else { 0.0 };
                let note = if gap <= crate::placement::solve::OPTIMALITY {
                    String::new()
                } else {
                    format!(", gap {} %", significant(100.0 * gap, 3))
                };
                row.extend([seconds(*delay), format!("{bits:.2} bits{note}")]);
            }
            Err(why) => row.extend(["–".to_string(), why.clone()]),
        }
        row
    };
    let rows: Vec<Vec<String>> = r.sensitivity.iter().map(row).collect();
    out.push_str(&table::to_text(&rows, &[1, 2]));
    Ok(())
}

fn node(out: &mut String, r: &Report<'_>) -> std::fmt::Result {
    let Some(n) = r.node else { return Ok(()) };
    let (node, q) = (&n.scenario.node, &n.scenario.quantization);
    writeln!(out, "\nas a node for the scheduler")?;
    writeln!(
        out,
        "  C {} FLOP/s, α {}, β {}, ΔPPL {} (weight error {})",
        significant(node.compute_flops, 4),
        significant(q.memory_factor, 4),
        significant(q.time_factor, 4),
        significant(q.perplexity_increase, 4),
        significant(n.weight_error, 4)
    )?;
    let by = n.tightest.and_then(|i| r.problem.servers.get(i)).map_or("no server", |server| server.name.as_str());
    writeln!(
        out,
        "  batches of up to {}, as {by} allows; M {}",
        grouped_count(n.kv_tokens, "KV token"),
        bytes(node.memory_bytes)
    )?;
    let (low, high) = (significant(n.departure.0, 3), significant(n.departure.1, 3));
    writeln!(out, "  other lengths take {low} to {high} times the placement's delay in the cost model")
}

fn proof(out: &mut String, r: &Report<'_>) -> std::fmt::Result {
    let (c, w) = (r.certificate(), r.work());
    writeln!(out)?;
    if r.bound == Bound::Proven {
        writeln!(
            out,
            "proof: prices alone prove {}; the rest by enumeration, {} in the last pass",
            seconds(c.root_bound_s),
            grouped_count(c.labels, "partial assignment")
        )?;
        return writeln!(
            out,
            "solver {}: {}, {}, {}, {}",
            r.solver,
            milliseconds(r.seconds),
            grouped_count(w.price_steps, "price step"),
            count(w.passes, "pass"),
            grouped_count(w.labels, "partial assignment")
        );
    }
    writeln!(out, "solver {}: {}", r.solver, milliseconds(r.seconds))
}
