//! Tables II and III: the quantisations, and what pruning saves.

use std::sync::Mutex;
use std::sync::PoisonError;

use rayon::prelude::*;

use super::paper::{READINGS, dftsp, quantization, scenario, setting, settings};
use super::precisions::PRECISIONS;
use super::{Claim, Section, Study, Table, Target, Verdict, number, percent, range};
use crate::certificate::Work;
use crate::error::Result;
use crate::instance::Instance;
use crate::report::plot::{Axis, Panel, Plot, Series, Style};
use crate::scenario::preset;
use crate::search::{Limits, Visits, visits};
use crate::simulation::{Pick, Scheduler, Silent, Simulation, Source};
use crate::solver::{Method, Solver};

pub(super) fn quantizations() -> Result<Section> {
    let models = ["bloom-3b", "bloom-7.1b", "opt-13b"];
    let header = ["precision", "α", "model", "ΔPPL", "users who accept it", "given by the paper"];
    let mut table =
        Table::new("table2", "Precisions: memory, perplexity, and who accepts them (a_i ~ U(0, 1)).", &header);
    for model in models {
        for name in PRECISIONS {
            let preset = preset::quantization(name, model);
            let given = preset.as_ref().and_then(|p| p.perplexity_increase).is_some_and(|v| v.assumed.is_none());
            let q = quantization(name, model);
            let accept = (1.0 - q.perplexity_increase).clamp(0.0, 1.0);
            table.push([
                name.to_string(),
                format!("{}", q.memory_factor),
                model.to_string(),
                format!("{}", q.perplexity_increase),
                percent(accept),
                if given { "yes" } else { "no: assumed" }.to_string(),
            ]);
        }
    }
    Ok(Section {
        target: Target::Table2,
        title: "Table II: quantisation".to_string(),
        setup: "The presets of this crate, from the paper where it gives them; nothing is run, so there is no claim to test."
            .to_string(),
        claims: Vec::new(),
        remarks: vec![
            "The paper gives no ΔPPL for W8A16 and no β for any precision. Presets assume 0.05 and 1, and every report \
             that uses them says so."
                .to_string(),
        ],
        tables: vec![table],
        plots: Vec::new(),
    })
}

/// Arrivals a second and the paper's reduction, in percent.
const TABLE_3: [(f64, f64); 4] = [(10.0, 45.52), (50.0, 71.18), (100.0, 79.07), (200.0, 97.92)];

/// Schedules with Algorithm 1, counts what it would have visited, and what the flat search does.
struct Counting {
    dftsp: Solver,
    flat: Solver,
    counted: Mutex<Counted>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    epochs: u64,
    requests: u64,
    visits: Visits,
    /// Sums over epochs of the part that pruning saves, of both trees.
    saved: [f64; 2],
    /// Epochs whose nodes could not be counted.
    uncounted: u64,
    work: Work,
    /// Requests that bound passes of the flat search look at.
    looked_at: u64,
}

impl Scheduler for Counting {
    fn name(&self) -> &str {
        "dftsp"
    }

    fn schedule(&self, instances: &[Instance]) -> Vec<Pick> {
        let flat = instances.iter().map(|instance| self.flat.solve(instance).work);
        for (instance, work) in instances.iter().zip(flat) {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            counted.epochs += 1;
            counted.requests += instance.len() as u64;
            counted.work.add(&work);
            counted.looked_at += work.bound_passes * instance.len() as u64;
            let visits = visits(instance, &Limits::NONE);
            match visits.and_then(|v| Some((v, counted.visits.checked_add(v)?))) {
                Some((visits, sum)) => {
                    counted.visits = sum;
                    counted.saved[0] += visits.saved();
                    counted.saved[1] += visits.saved_of_capped();
                }
                None => counted.uncounted += 1,
            }
        }
        self.dftsp.schedule(instances)
    }
}

pub(super) fn pruning(study: &Study<'_>) -> Result<Section> {
    let mut points = Vec::new();
    for reading in 0..READINGS.len() {
        points.extend(TABLE_3.iter().map(|&(rate, paper)| (reading, rate, paper)));
    }
    let seeds = study.effort.seeds;
    study.progress.expect(points.len() as u64 * seeds);
    let run = |&(reading, rate, _): &(usize, f64, f64), seed: u64| -> Result<Counted> {
        let scenario = scenario("bloom-3b", quantization("w8a16", "bloom-3b"), rate, seed);
        let simulation = Simulation::new(&scenario, Source::Generated, settings(study.effort, READINGS[reading]))?;
        let counting = Counting { dftsp: dftsp(), flat: Solver::new(Method::Flat), counted: Mutex::default() };
        simulation.run(&counting, &mut Silent)?;
        study.progress.done();
        Ok(counting.counted.into_inner().unwrap_or_else(PoisonError::into_inner))
    };
    let all: Vec<_> = points.iter().flat_map(|point| (1..=seeds).map(move |seed| (point, seed))).collect();
    let counted: Vec<Result<Counted>> = all.par_iter().with_max_len(1).map(|(point, seed)| run(point, *seed)).collect();
    let counted: Vec<Counted> = counted.into_iter().collect::<Result<_>>()?;
    let sums: Vec<Counted> = counted.chunks(seeds as usize).map(total).collect();

    let header = [
        "waiting",
        "arrival rate, requests/s",
        "requests an epoch",
        "nodes an epoch without pruning",
        "with counts up to z only",
        "with pruning",
        "saved",
        "saved of counts up to z",
        "saved, mean over epochs",
        "the same of counts up to z",
        "paper",
        "nodes an epoch of the flat search",
        "bound passes an epoch",
    ];
    let mut table = Table::new("table3", "Nodes that Algorithm 1 visits, counted exactly.", &header);
    for ((reading, rate, paper), sum) in points.iter().zip(&sums) {
        let each = |n: f64| number(n / sum.epochs.max(1) as f64);
        table.push([
            READINGS[*reading].name.to_string(),
            format!("{rate}"),
            each(sum.requests as f64),
            scientific(sum.visits.unpruned as f64 / sum.epochs.max(1) as f64),
            scientific(sum.visits.capped as f64 / sum.epochs.max(1) as f64),
            scientific(sum.visits.pruned as f64 / sum.epochs.max(1) as f64),
            percent(sum.visits.saved()),
            percent(sum.visits.saved_of_capped()),
            percent(sum.saved[0] / sum.epochs.max(1) as f64),
            percent(sum.saved[1] / sum.epochs.max(1) as f64),
            format!("{paper} %"),
            each(sum.work.nodes as f64),
            each(sum.work.bound_passes as f64),
        ]);
    }
    // Every way to read what is saved: waiting time, tree, and mean.
    let ways: Vec<Vec<f64>> = sums.chunks(TABLE_3.len()).flat_map(savings).collect();
    let saved = |reading: usize| ways[4 * reading].as_slice();
    let each = |way: &Vec<f64>| way.iter().map(|&s| percent(s)).collect::<Vec<_>>().join(", ");
    let off =
        |way: &Vec<f64>| way.iter().zip(TABLE_3).map(|(s, (_, paper))| (100.0 * s - paper).abs()).fold(0.0, f64::max);
    let closest = ways.iter().fold(&ways[0], |a, b| if off(b) < off(a) { b } else { a });
    let over = |holds: &dyn Fn(&Vec<f64>) -> bool| Verdict::over(ways.iter().map(|way| Verdict::of(holds(way))));
    let claims = vec![
        Claim::paper(
            "pruning saves more than 45 % of the nodes at every arrival rate",
            format!("{} % in all readings", range(ways.iter().flatten().map(|s| 100.0 * s))),
            over(&|way| way.iter().all(|&s| s > 0.45)),
        ),
        Claim::paper(
            "pruning saves the more the higher the arrival rate",
            format!("{}: {}; {}: {}", READINGS[0].name, each(&ways[0]), READINGS[1].name, each(&ways[4])),
            over(&|way| way.windows(2).all(|pair| pair[1] > pair[0])),
        ),
        Claim::paper(
            "it saves 45.52, 71.18, 79.07 and 97.92 % at 10, 50, 100 and 200 requests/s",
            format!(
                "the closest of {} readings: {}; off by up to {} points",
                ways.len(),
                each(closest),
                number(off(closest))
            ),
            over(&|way| off(way) < 1.0),
        ),
    ];
    let line = |label: &str, style: Style, of: &dyn Fn(usize) -> f64| Series {
        label: label.to_string(),
        points: (0..TABLE_3.len()).map(|at| (TABLE_3[at].0, of(at))).collect(),
        style,
        ..Series::default()
    };
    let mut series: Vec<Series> =
        (0..READINGS.len()).map(|r| line(READINGS[r].name, Style::LineAndMarks, &|at| 100.0 * saved(r)[at])).collect();
    series.push(line("paper", Style::Dashed, &|at| TABLE_3[at].1));
    let nodes = |label: &str, of: &dyn Fn(&Counted) -> f64| {
        line(label, Style::LineAndMarks, &|at| {
            let sum = &sums[at];
            of(sum) / sum.epochs.max(1) as f64
        })
    };
    let plot = Plot {
        title: "What pruning saves".to_string(),
        caption: vec![format!(
            "BLOOM-3B at W8A16; {seeds} seeds, {} s each. Right: {}. `dftsp reproduce table3`",
            study.effort.duration_s, READINGS[0].name
        )],
        x: Axis { label: "arrival rate, requests per second".to_string(), ..Axis::default() },
        y: Axis::default(),
        panels: vec![
            Panel {
                title: "nodes saved by pruning".to_string(),
                y: Some(Axis { label: "%".to_string(), from: Some(0.0), to: Some(100.0), ..Axis::default() }),
                series,
                ..Panel::default()
            },
            Panel {
                title: "work of an epoch".to_string(),
                y: Some(Axis { label: "nodes, or requests looked at".to_string(), log: true, ..Axis::default() }),
                series: vec![
                    nodes("Algorithm 1 without pruning", &|sum| sum.visits.unpruned as f64),
                    nodes("Algorithm 1", &|sum| sum.visits.pruned as f64),
                    nodes("flat: requests looked at in bound passes", &|sum| sum.looked_at as f64),
                ],
                ..Panel::default()
            },
        ],
    };
    Ok(Section {
        target: Target::Table3,
        title: "Table III: nodes saved by pruning".to_string(),
        setup: format!(
            "Every epoch of {} seeds with {} s of arrivals each; BLOOM-3B at W8A16 on {}; latency requirements uniform in \
             0.5 to 2 s. Nodes are those of all trees (z, d) up to the first feasible path, counted in closed form (checked \
             against visiting them on thousands of small instances).",
            seeds,
            study.effort.duration_s,
            setting()
        ),
        claims,
        remarks: vec![
            "Without pruning every count from the size of a group down to 0 is a child; \"counts up to z only\" leaves out \
             those that exceed what is left of z. Algorithm 1 leaves out, besides, those after which the groups left cannot \
             make z any more. The paper does not define what its brute-force search visits, nor how many groups its outputs \
             have; with three output lengths, as here, pruning saves more than it reports at low rates."
                .to_string(),
            format!(
                "\"Saved\" is a ratio of sums over all epochs, in which large epochs weigh most, and then the mean of the \
                 epochs' own ratios. The queues are those that Algorithm 1 itself leaves. {} epochs could not be counted.",
                sums.iter().map(|sum| sum.uncounted).sum::<u64>()
            ),
            "Requests that no batch can hold are left out before the tree is built, in both columns. The flat search settles \
             these epochs by Lagrangian bounds alone, so that it has few nodes or none; a bound pass looks at every request \
             once."
                .to_string(),
        ],
        tables: vec![table],
        plots: vec![("table3".to_string(), plot)],
    })
}

/// What is saved at each rate, of the whole tree and of that with counts up to z: of the sums over epochs, and as the
/// mean of the epochs' parts.
fn savings(rates: &[Counted]) -> Vec<Vec<f64>> {
    let epochs = |sum: &Counted| sum.epochs.max(1) as f64;
    let way = |of: &dyn Fn(&Counted) -> f64| rates.iter().map(of).collect();
    vec![
        way(&|sum| sum.visits.saved()),
        way(&|sum| sum.visits.saved_of_capped()),
        way(&|sum| sum.saved[0] / epochs(sum)),
        way(&|sum| sum.saved[1] / epochs(sum)),
    ]
}

fn total(parts: &[Counted]) -> Counted {
    let mut sum = Counted::default();
    for part in parts {
        sum.epochs += part.epochs;
        sum.requests += part.requests;
        sum.visits = sum.visits.checked_add(part.visits).unwrap_or(sum.visits);
        sum.work.add(&part.work);
        (0..2).for_each(|tree| sum.saved[tree] += part.saved[tree]);
        sum.uncounted += part.uncounted;
        sum.looked_at += part.looked_at;
    }
    sum
}

/// "1.23e6".
fn scientific(x: f64) -> String {
    if x < 1e5 { number(x) } else { format!("{x:.3e}") }
}
