//! Figure 6: throughput by quantisation.

use super::figures::RATE;
use super::paper::{READINGS, Reading, Scheduler, quantization, scenario, setting, settings, throughput_axis};
use super::{Claim, Sample, Section, Study, Table, Target, Verdict, bar_set, number, range};
use crate::error::Result;
use crate::experiment::Job;
use crate::experiment::statistics::Comparison;
use crate::report::plot::{Axis, Bars, Panel, Plot};

/// The precisions of Table II, and 16 bits.
pub(super) const PRECISIONS: [&str; 4] = ["fp16", "w8a16", "w4a16-gptq", "w4a16-zq-local"];
const MODELS: [&str; 3] = ["bloom-3b", "bloom-7.1b", "opt-13b"];
/// The readings of β, which the paper does not give.
const BETAS: [&str; 2] = ["β = 1", "β = α"];

#[derive(Clone, Copy, PartialEq)]
struct Bar {
    reading: Reading,
    beta: usize,
    model: &'static str,
    precision: &'static str,
}

/// What was measured, by reading, β, model and precision.
struct Measurements(Vec<(Bar, Sample)>);

impl Measurements {
    fn at(&self, (reading, beta): (Reading, usize), model: &str, precision: &str) -> &Sample {
        const NONE: &Sample = &Sample(Vec::new());
        let is = |bar: &Bar| (bar.reading, bar.beta, bar.model, bar.precision) == (reading, beta, model, precision);
        self.0.iter().find(|(bar, _)| is(bar)).map_or(NONE, |(_, sample)| sample)
    }
}

/// Both readings of the waiting time, with both of β.
fn readings() -> Vec<(Reading, usize)> {
    READINGS.iter().flat_map(|&reading| (0..BETAS.len()).map(move |beta| (reading, beta))).collect()
}

pub(super) fn quantizations(study: &Study<'_>, accuracy: bool) -> Result<Section> {
    let mut points = Vec::new();
    for (reading, beta) in readings() {
        for model in MODELS {
            points.extend(PRECISIONS.map(|precision| Bar { reading, beta, model, precision }));
        }
    }
    let measured = study.measure(points, |p, seed| {
        let mut quantization = quantization(p.precision, p.model);
        quantization.time_factor = if p.beta == 0 { 1.0 } else { quantization.memory_factor };
        let mut scenario = scenario(p.model, quantization, RATE, seed);
        if !accuracy {
            // Whoever accepts 10⁹ accepts anything.
            scenario.synthesis.max_perplexity_increase = (1e9, 1e9);
        }
        Job::new(scenario, settings(study.effort, p.reading), Scheduler::Dftsp.solver())
    })?;
    let memory = measured.iter().flat_map(|m| m.runs.iter().map(|s| s.peak_used[2])).fold(0.0, f64::max);
    let bars = Measurements(measured.iter().map(|m| (m.point, m.goodput())).collect());
    let name = if accuracy { "fig6b" } else { "fig6a" };
    let limits = if accuracy { "with accuracy requirements" } else { "without accuracy requirements" };
    let mut claims = vec![models_in_order(&bars)];
    claims.extend(if accuracy { accuracy_claims(&bars) } else { vec![lower_is_faster(&bars)] });
    Ok(Section {
        target: if accuracy { Target::Fig6b } else { Target::Fig6a },
        title: format!("Fig. 6({}): throughput by quantisation, {limits}", if accuracy { "b" } else { "a" }),
        setup: format!(
            "DFTSP, {RATE} requests/s, on {}; latency requirements uniform in 0.5 to 2 s{}; both readings of the waiting \
             time, and two of β: 1 (weights are widened before they are multiplied) and α (half the bits, half the time); {}.",
            setting(),
            if accuracy { ", users accept a ΔPPL of at most 1 − a_i with a_i uniform in 0 to 1" } else { "" },
            study.how_long()
        ),
        claims,
        remarks: remarks(accuracy, memory),
        tables: vec![table(name, &bars)],
        plots: vec![(name.to_string(), plot(name, limits, &bars, study))],
    })
}

fn table(name: &str, bars: &Measurements) -> Table {
    let header = ["reading", "β", "model", "precision", "ΔPPL", "throughput, requests/s", "± 95 %"];
    let mut table = Table::new(name, "Requests answered in time per second.", &header);
    for (bar, sample) in &bars.0 {
        let y = sample.estimate();
        table.push([
            bar.reading.name.to_string(),
            ["1", "α"][bar.beta].to_string(),
            bar.model.to_string(),
            bar.precision.to_string(),
            format!("{}", quantization(bar.precision, bar.model).perplexity_increase),
            number(y.mean),
            number(y.half_width),
        ]);
    }
    table
}

fn plot(name: &str, limits: &str, bars: &Measurements, study: &Study<'_>) -> Plot {
    let panel = |reading: (Reading, usize)| {
        let set = |precision: &&'static str| {
            let values = MODELS.map(|model| bars.at(reading, model, precision).clone());
            bar_set(precision, &values)
        };
        Panel {
            title: format!("{}; {}", reading.0.name, BETAS[reading.1]),
            bars: Some(Bars {
                categories: MODELS.map(str::to_string).to_vec(),
                sets: PRECISIONS.iter().map(set).collect(),
                stacked: false,
            }),
            ..Panel::default()
        }
    };
    Plot {
        title: format!("Throughput by quantisation, {limits}"),
        caption: vec![format!("DFTSP, {RATE} requests/s; {}. `dftsp reproduce {name}`", study.how_long())],
        x: Axis::default(),
        y: throughput_axis(),
        panels: readings().into_iter().map(panel).collect(),
    }
}

fn models_in_order(bars: &Measurements) -> Claim {
    let of = |reading: (Reading, usize)| {
        let pairs = PRECISIONS.iter().flat_map(|&precision| {
            MODELS
                .windows(2)
                .map(move |pair| (bars.at(reading, pair[0], precision), bars.at(reading, pair[1], precision)))
        });
        Verdict::at_least(pairs.map(|(small, large)| small.compare(large)))
    };
    let first = readings()[0];
    let three = |precision: &str| MODELS.map(|model| number(bars.at(first, model, precision).mean())).join(", ");
    let each = PRECISIONS.map(|precision| format!("{precision} {}", three(precision)));
    Claim::paper(
        "at every precision BLOOM-3B serves at least as many as BLOOM-7.1B, and that as OPT-13B",
        format!("requests/s of the three, {}, {}: {}", first.0.name, BETAS[first.1], each.join("; ")),
        Verdict::over(readings().into_iter().map(of)),
    )
}

fn lower_is_faster(bars: &Measurements) -> Claim {
    let of = |reading: (Reading, usize)| {
        let raises = |model: &&str| {
            let faster = bars.at(reading, model, "w4a16-gptq").compare(bars.at(reading, model, "fp16"));
            faster == Comparison::Larger
        };
        Verdict::of(MODELS.iter().all(raises))
    };
    let gain = |beta: usize| {
        let all = readings().into_iter().filter(move |reading| reading.1 == beta);
        let ratios = all.flat_map(|reading| {
            MODELS.map(|m| bars.at(reading, m, "w4a16-gptq").mean() / bars.at(reading, m, "fp16").mean())
        });
        range(ratios.filter(|x| x.is_finite()))
    };
    Claim::paper(
        "a lower precision raises the throughput",
        format!("from 16 to 4 bits {} times as many with β = 1, {} times with β = α", gain(0), gain(1)),
        Verdict::over(readings().into_iter().map(of)),
    )
}

fn accuracy_claims(bars: &Measurements) -> Vec<Claim> {
    let gptq = |reading: (Reading, usize)| {
        let pairs = MODELS.iter().map(|m| (bars.at(reading, m, "w4a16-gptq"), bars.at(reading, m, "w4a16-zq-local")));
        Verdict::at_least(pairs.map(|(gptq, local)| gptq.compare(local)))
    };
    let ratios = readings().into_iter().flat_map(|reading| {
        MODELS.map(|m| bars.at(reading, m, "w4a16-gptq").mean() / bars.at(reading, m, "w4a16-zq-local").mean())
    });
    // Some lower precision is faster than 16 bits for some model, and for some model 4 bits serve fewer than 8.
    let larger = |reading, model: &str, a: &str, b: &str| {
        bars.at(reading, model, a).compare(bars.at(reading, model, b)) == Comparison::Larger
    };
    let helps_until = |reading: (Reading, usize)| {
        let helps = MODELS.iter().any(|m| PRECISIONS[1..].iter().any(|p| larger(reading, m, p, "fp16")));
        let bites = MODELS.iter().any(|m| larger(reading, m, "w8a16", "w4a16-gptq"));
        Verdict::of(helps && bites)
    };
    let best = |reading: (Reading, usize)| {
        let of_model = |model: &&str| {
            let mean = |precision: &str| bars.at(reading, model, precision).mean();
            let best = PRECISIONS.into_iter().fold(PRECISIONS[0], |a, b| if mean(b) > mean(a) { b } else { a });
            format!("{model} {best}")
        };
        format!("{}: {}", BETAS[reading.1], MODELS.iter().map(of_model).collect::<Vec<_>>().join(", "))
    };
    vec![
        Claim::paper(
            "of two methods with 4 bits the one with the smaller ΔPPL serves at least as many",
            format!("GPTQ serves {} times as many as ZQ-Local", range(ratios.filter(|x| x.is_finite()))),
            Verdict::over(readings().into_iter().map(gptq)),
        ),
        Claim::paper(
            "a lower precision helps, until accuracy requirements bite",
            format!("the best, {}: {}; {}", READINGS[0].name, best((READINGS[0], 0)), best((READINGS[0], 1))),
            Verdict::over(readings().into_iter().map(helps_until)),
        ),
    ]
}

fn remarks(accuracy: bool, memory: f64) -> Vec<String> {
    let mut remarks = vec![format!(
        "Memory is used to at most {} % here, so a smaller α frees nothing that is scarce. What a lower precision can change \
         is β alone, which the paper does not give.",
        number(100.0 * memory)
    )];
    if accuracy {
        remarks.push(
            "Which accuracy a user accepts is the paper's a_i ~ U(0, 1) with f(ΔPPL) = 1 − ΔPPL (an assumption: the paper \
             leaves f open, and no other is run). The ΔPPL of W8A16, 0.05, is an assumption too."
                .to_string(),
        );
    }
    remarks
}
