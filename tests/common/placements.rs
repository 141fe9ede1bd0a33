//! Small random placement problems, with everything that may bind, and an oracle.

use dftsp::placement::delay::{self, Communication};
use dftsp::placement::generate::{Spec, problem};
use dftsp::placement::{Problem, Seat};
use dftsp::workload::synthesis::RowRng;

/// A problem with so many layers and servers at most. Some are infeasible.
pub fn random(seed: u64, most_layers: u64, most_servers: u64) -> Problem {
    let mut rows = RowRng::new(seed, 1 << 40);
    let d = rows.next_row();
    let widths: Vec<u32> = {
        let all = [2, 3, 4, 8, 16, 32];
        let count = 2 + d.below(0, 5) as usize;
        let first = d.below(1, (all.len() - count + 1) as u64) as usize;
        all[first..first + count].to_vec()
    };
    let spec = Spec {
        layers: 2 + d.below(2, most_layers - 1) as usize,
        servers: 1 + d.below(3, most_servers) as usize,
        widths,
        memory: d.uniform(4, (0.3, 2.0)),
        quality: d.uniform(5, (0.02, 0.6)),
        capacities: d.below(6, 2) == 1,
        missing: if d.below(7, 2) == 1 { 0.3 } else { 0.0 },
        ..Spec::opt_350m(seed)
    };
    let mut p = problem(&spec);
    let d = rows.next_row();
    // Half of them with layers that differ, a quarter where links cost next to nothing.
    let (different, free_links) = (d.below(0, 2) == 1, d.below(1, 4) == 0);
    for layer in &mut p.models[0].layers {
        let d = rows.next_row();
        if different {
            layer.parameters = (layer.parameters * d.uniform(0, (0.5, 1.5))).round();
            layer.flops_per_token *= d.uniform(1, (0.5, 1.5));
            layer.activation_bytes *= d.uniform(2, (0.2, 3.0));
        }
    }
    for link in &mut p.links {
        if free_links {
            link.latency_s /= 1000.0;
            link.bandwidth_bytes_per_s *= 1000.0;
        }
    }
    p
}

/// A problem of six or seven layers of very different sizes and two widths, on two or three servers with fast links:
/// layers fill what is left of servers that were left.
pub fn returning(seed: u64) -> Problem {
    let mut rows = RowRng::new(seed, 1 << 41);
    let d = rows.next_row();
    let servers = 2 + d.below(0, 2) as usize;
    let layers = if servers == 2 { 7 } else { 6 };
    let widths = if d.below(1, 2) == 1 { vec![4, 8] } else { vec![3, 16] };
    let (memory, quality) = (d.uniform(2, (0.6, 1.4)), d.uniform(3, (0.3, 1.0)));
    let capacities = d.below(4, 4) == 0;
    let mut p = problem(&Spec { layers, servers, widths, memory, quality, capacities, ..Spec::opt_350m(seed) });
    for layer in &mut p.models[0].layers {
        let d = rows.next_row();
        layer.parameters = (layer.parameters * d.uniform(0, (0.2, 2.0))).round();
        layer.flops_per_token *= d.uniform(1, (0.2, 3.0));
    }
    for link in &mut p.links {
        link.latency_s /= 100.0;
        link.bandwidth_bytes_per_s *= 100.0;
    }
    p
}

/// The least delay of all assignments, by trying every one; none if none is feasible.
pub fn oracle(p: &Problem, communication: Communication) -> Option<f64> {
    let options: Vec<Vec<Seat>> = p
        .layers()
        .map(|(_, layer)| {
            let servers = 0..p.servers.len();
            servers.flat_map(|server| layer.widths.iter().map(move |w| Seat { server, bits: w.bits })).collect()
        })
        .collect();
    let mut at = vec![0; options.len()];
    let mut best: Option<f64> = None;
    loop {
        let seats: Vec<Seat> = at.iter().zip(&options).map(|(&k, all)| all[k]).collect();
        if let Ok(usage) = delay::feasible(p, &seats, communication) {
            best = Some(best.map_or(usage.delay_s, |b| b.min(usage.delay_s)));
        }
        let Some(l) = (0..at.len()).find(|&l| at[l] + 1 < options[l].len()) else { return best };
        at[l] += 1;
        at[..l].fill(0);
    }
}
