//! The second paper, DILEMMA: the quantisation ratio against the quality budget, the delay against links and servers,
//! and what both are to the scheduler.
//!
//! No weights are at hand here: the weight errors are synthetic ([`generate`]), and every figure says so.

use rayon::prelude::*;

use super::paper::{dftsp, throughput_axis};
use super::{Claim, Sample, Section, Study, Table, Target, Verdict, number, range};
use crate::error::{Error, Result};
use crate::experiment::{Job, run_all};
use crate::placement::Problem;
use crate::placement::baseline::{self, Baseline};
use crate::placement::bridge::{self, Node};
use crate::placement::delay::Communication;
use crate::placement::generate::{self, Spec};
use crate::placement::solve::{OPTIMALITY, Outcome, Solution, solve};
use crate::report::placement::mean_bits;
use crate::report::plot::{Axis, Panel, Plot, Series, Style};
use crate::search::Limits;
use crate::simulation::{Settings, Summary};

/// The paper's ratio: bits after, of 32 bits before.
const PAPER_RATIO: f64 = 0.1275;
/// Links or servers so many times faster.
const FACTORS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];
/// Arrivals a second.
const RATE: f64 = 6.0;
/// The part of ε where it is not what is varied.
const PART: f64 = 0.2;
const LABEL: &str = "synthetic weight errors";
/// What is compared where links or servers change.
const BASELINES: [Baseline; 7] = [
    Baseline::OneServer,
    Baseline::EvenSplit,
    Baseline::Greedy,
    Baseline::Uniform(4),
    Baseline::Uniform(8),
    Baseline::PlacementAlone,
    Baseline::QuantizationAlone,
];

/// How much memory there is.
struct Setting {
    name: &'static str,
    memory: f64,
    held: u32,
    /// Budgets, as parts of the way from the least error to the most.
    parts: &'static [f64],
}

const SETTINGS: [Setting; 2] = [
    Setting { name: "little memory", memory: 0.75, held: 1, parts: &[0.2, 0.25, 0.3, 0.4, 0.6, 1.0] },
    Setting {
        name: "more memory",
        memory: 3.0,
        held: 8,
        parts: &[0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 1.0],
    },
];

impl Setting {
    fn problem(&self, seed: u64, part: f64) -> Problem {
        let mut p = generate::problem(&Spec { memory: self.memory, quality: part, ..Spec::opt_350m(seed) });
        p.models.iter_mut().for_each(|model| model.held_requests = self.held);
        p
    }
}

/// What is changed against a setting.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Links(f64),
    Servers(f64),
}

impl Change {
    fn apply(self, problem: &mut Problem) {
        match self {
            Change::Links(x) => problem.links.iter_mut().for_each(|link| link.bandwidth_bytes_per_s *= x),
            Change::Servers(x) => problem.servers.iter_mut().for_each(|server| server.compute_flops *= x),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Change::Links(_) => "link bandwidth",
            Change::Servers(_) => "server speed",
        }
    }

    fn factor(self) -> f64 {
        match self {
            Change::Links(x) | Change::Servers(x) => x,
        }
    }
}

/// One budget of one setting, by seed.
struct Budget {
    setting: usize,
    part: f64,
    solved: Vec<(Problem, Solution)>,
}

impl Budget {
    fn sample(&self, of: impl Fn(&Problem, &Solution) -> f64) -> Sample {
        Sample(self.solved.iter().map(|(p, s)| of(p, s)).collect())
    }

    fn ratio(&self) -> Sample {
        self.sample(|p, s| mean_bits(p, &s.seats) / 32.0)
    }

    fn delay(&self) -> Sample {
        self.sample(|_, s| s.usage.delay_s)
    }

    fn error(&self) -> Sample {
        self.sample(|_, s| s.usage.quality.iter().sum())
    }

    fn increase(&self) -> Sample {
        let at = |p: &Problem, error: f64| p.models[0].perplexity.as_ref().and_then(|curve| curve.at(error));
        self.sample(|p, s| at(p, s.usage.quality.iter().sum()).unwrap_or(f64::NAN))
    }
}

/// One method under one change of one setting: its delay for each seed, if it finds a placement.
struct Changed {
    setting: usize,
    change: Change,
    method: Option<Baseline>,
    delays: Vec<Option<f64>>,
}

impl Changed {
    fn name(&self) -> String {
        self.method.map_or_else(|| "exact".to_string(), |baseline| baseline.to_string())
    }

    fn found(&self) -> Sample {
        Sample(self.delays.iter().copied().flatten().collect())
    }

    /// Its delays and those of `other`, where both are.
    fn pairs(&self, other: &Changed) -> (Sample, Sample) {
        let both = self.delays.iter().zip(&other.delays).filter_map(|(a, b)| a.zip(*b));
        let (a, b) = both.unzip();
        (Sample(a), Sample(b))
    }
}

fn exact(problem: &Problem) -> Result<Solution> {
    match solve(problem, Communication::Chain, &Limits::NONE, false) {
        Outcome::Placed(solution) if solution.gap() <= OPTIMALITY => Ok(*solution),
        _ => Err(Error::Schedule("a placement of the study is not proven optimal".to_string())),
    }
}

/// All budgets of all settings.
fn budgets(study: &Study<'_>) -> Result<Vec<Budget>> {
    let seeds = study.effort.seeds;
    let points: Vec<(usize, f64)> =
        SETTINGS.iter().enumerate().flat_map(|(at, s)| s.parts.iter().map(move |&part| (at, part))).collect();
    let jobs: Vec<(usize, f64, u64)> =
        points.iter().flat_map(|&(at, part)| (1..=seeds).map(move |seed| (at, part, seed))).collect();
    study.progress.expect(jobs.len() as u64);
    let one = |&(at, part, seed): &(usize, f64, u64)| {
        let problem = SETTINGS[at].problem(seed, part);
        let solution = exact(&problem);
        study.progress.done();
        solution.map(|solution| (problem, solution))
    };
    let solved: Vec<Result<(Problem, Solution)>> = jobs.par_iter().with_max_len(1).map(one).collect();
    let mut solved = solved.into_iter();
    let of = |(setting, part)| {
        let solved = solved.by_ref().take(seeds as usize).collect::<Result<Vec<_>>>()?;
        Ok(Budget { setting, part, solved })
    };
    points.into_iter().map(of).collect()
}

/// All methods under all changes of all settings.
fn changes(study: &Study<'_>) -> Result<Vec<Changed>> {
    let mut points: Vec<(usize, Change, Option<Baseline>)> = Vec::new();
    for setting in 0..SETTINGS.len() {
        for change in [Change::Links, Change::Servers].iter().flat_map(|of| FACTORS.map(of)) {
            points.push((setting, change, None));
            points.extend(BASELINES.map(|baseline| (setting, change, Some(baseline))));
        }
    }
    let seeds = study.effort.seeds;
    let jobs: Vec<(usize, u64)> = (0..points.len()).flat_map(|at| (1..=seeds).map(move |seed| (at, seed))).collect();
    study.progress.expect(jobs.len() as u64);
    let one = |&(at, seed): &(usize, u64)| {
        let (setting, change, method) = points[at];
        let mut problem = SETTINGS[setting].problem(seed, PART);
        change.apply(&mut problem);
        let delay = match method {
            None => exact(&problem).map(|s| Some(s.usage.delay_s)),
            Some(b) => {
                let placed = baseline::place(&problem, b, Communication::Chain, &Limits::NONE);
                Ok(placed.ok().map(|placed| placed.usage.delay_s))
            }
        };
        study.progress.done();
        delay
    };
    let delays: Vec<Result<Option<f64>>> = jobs.par_iter().with_max_len(1).map(one).collect();
    let mut delays = delays.into_iter();
    let of = |(setting, change, method)| {
        let delays = delays.by_ref().take(seeds as usize).collect::<Result<Vec<_>>>()?;
        Ok(Changed { setting, change, method, delays })
    };
    points.into_iter().map(of).collect()
}

/// A budget as a node of the scheduler.
struct Served<'b> {
    budget: &'b Budget,
    nodes: Vec<Node>,
    /// Users who accept a ΔPPL of 0 to 1, and users who accept any.
    runs: [Vec<Summary>; 2],
}

impl Served<'_> {
    fn sample(&self, users: usize) -> Sample {
        Sample(self.runs[users].iter().map(Summary::goodput).collect())
    }
}

const USERS: [&str; 2] = ["users accept a ΔPPL of up to 0 to 1, uniformly", "users accept any ΔPPL"];

fn served<'b>(study: &Study<'_>, budgets: &'b [Budget]) -> Result<Vec<Served<'b>>> {
    let mut base = bridge::example_base();
    base.arrivals.rate_per_s = RATE;
    let settings = Settings { duration_s: study.effort.duration_s, regret: false, ..Settings::default() };
    let mut all = Vec::new();
    let mut jobs = Vec::new();
    for budget in budgets.iter().filter(|b| SETTINGS[b.setting].held > 1) {
        let node = |(p, s): &(Problem, Solution)| bridge::node(p, &s.seats, &s.usage, Communication::Chain, &base);
        let nodes = budget.solved.iter().map(node).collect::<Result<Vec<_>>>()?;
        for any in [false, true] {
            jobs.extend((1..).zip(&nodes).map(|(seed, node)| {
                let mut scenario = node.scenario.clone();
                scenario.synthesis.seed = seed;
                if any {
                    scenario.synthesis.max_perplexity_increase = (1e6, 1e6);
                }
                Job::new(scenario, settings, dftsp())
            }));
        }
        all.push(Served { budget, nodes, runs: [Vec::new(), Vec::new()] });
    }
    study.progress.expect(jobs.len() as u64);
    let mut runs = run_all(&jobs, &|| study.progress.done())?.into_iter();
    for served in &mut all {
        for users in &mut served.runs {
            *users = runs.by_ref().take(study.effort.seeds as usize).collect();
        }
    }
    Ok(all)
}

pub(super) fn placement(study: &Study<'_>) -> Result<Section> {
    let budgets = budgets(study)?;
    let changed = changes(study)?;
    let served = served(study, &budgets)?;
    let mut claims = vec![ratio_claim(&budgets), budget_claim(&budgets)];
    claims.extend(change_claims(&changed));
    claims.extend(served_claims(&served));
    let seeds = study.effort.seeds;
    Ok(Section {
        target: Target::Placement,
        title: format!("Layers on edge servers, and their bits ({LABEL})"),
        setup: format!(
            "OPT-350m (24 layers of 1024) on 5 servers with 20 links, 2, 3, 4, 8, 16 or 32 bits a layer, 128 prompt and 64 \
             output tokens; {} seeds of servers, links and {LABEL} (`dftsp place` without files is the first). The paper's own \
             servers and weights are not at hand. Weights of at most 4 bits compute in 0.6 of the time of 16 bits, of 8 bits in \
             0.8 (assumed). Memory of all servers together: the KV cache of one request and, with {}, {} bytes a parameter, which \
             must hold the weights and one request; with {}, {} bytes a parameter, for the weights and {} requests. The budget ε is given as the part of the way from the least \
             weight error that all layers can have to what they have at 2 bits; {PART} where it is not varied. Every \
             exact placement is proven optimal. Served: the placed model as a node (module `placement::bridge`), \
             {RATE} requests/s, prompts of 32, 64 or 128 and outputs of 16, 32 or 64 tokens, deadlines of 2 to 8 s, DFTSP; {}.",
            seeds,
            SETTINGS[0].name,
            SETTINGS[0].memory,
            SETTINGS[1].name,
            SETTINGS[1].memory,
            SETTINGS[1].held,
            study.how_long()
        ),
        claims,
        remarks: remarks(&changed, &served),
        tables: vec![ratio_table(&budgets), change_table(&changed), served_table(&served)],
        plots: vec![
            ("placement-ratio".to_string(), ratio_plot(&budgets, seeds)),
            ("placement-delay".to_string(), change_plot(&changed, seeds)),
            ("placement-served".to_string(), served_plot(&served, study)),
        ],
    })
}

fn of_setting(budgets: &[Budget], setting: usize) -> impl Iterator<Item = &Budget> {
    budgets.iter().filter(move |b| b.setting == setting)
}

fn ratio_claim(budgets: &[Budget]) -> Claim {
    let ratio = |b: &Budget| b.ratio().estimate();
    // On which side of the paper's ratio the interval lies.
    let reached = |b: &Budget| match ratio(b).interval() {
        (_, high) if high <= PAPER_RATIO => Verdict::Holds,
        (low, _) if low > PAPER_RATIO => Verdict::Fails,
        _ => Verdict::Open,
    };
    let show = |b: &Budget| {
        let r = ratio(b);
        format!("{:.2} ± {:.2} % at a budget of {}", 100.0 * r.mean, 100.0 * r.half_width, b.part)
    };
    let one = |setting: usize| {
        let off = |b: &Budget| (ratio(b).mean - PAPER_RATIO).abs();
        let closest = of_setting(budgets, setting).min_by(|a, b| off(a).total_cmp(&off(b)));
        let embedded = of_setting(budgets, setting).find(|b| b.part == PART);
        let all: Vec<String> = closest.into_iter().chain(embedded).map(show).collect();
        format!("{}: closest {}", SETTINGS[setting].name, all.join(", "))
    };
    Claim::paper(
        "a quantisation ratio of 12.75 % (about 4 of 32 bits) is reached while the quality is kept",
        (0..SETTINGS.len()).map(one).collect::<Vec<_>>().join("; "),
        Verdict::over(budgets.iter().map(reached)),
    )
}

fn budget_claim(budgets: &[Budget]) -> Claim {
    let mut ratios = Vec::new();
    let mut points = Vec::new();
    for setting in 0..SETTINGS.len() {
        let all: Vec<Sample> = of_setting(budgets, setting).map(Budget::delay).collect();
        points.extend(all.windows(2).map(|pair| pair[0].compare(&pair[1])));
        ratios.extend(all.first().zip(all.last()).map(|(first, last)| first.mean() / last.mean()));
    }
    Claim::ours(
        "a larger quality budget makes the delay shorter",
        format!("{} times as fast at the largest budget as at the smallest", range(ratios)),
        Verdict::at_least(points.into_iter()),
    )
}

/// The exact placement under the same change.
fn exact_of<'c>(changed: &'c [Changed], of: &Changed) -> Option<&'c Changed> {
    changed.iter().find(|c| c.method.is_none() && c.setting == of.setting && c.change == of.change)
}

fn change_claims(changed: &[Changed]) -> Vec<Claim> {
    let ours: Vec<&Changed> = changed.iter().filter(|c| c.method.is_none()).collect();
    let faster = |what: &str| {
        let mut points = Vec::new();
        let mut ratios = Vec::new();
        for setting in 0..SETTINGS.len() {
            let line: Vec<Sample> =
                ours.iter().filter(|c| c.setting == setting && c.change.what() == what).map(|c| c.found()).collect();
            points.extend(line.windows(2).map(|pair| pair[0].compare(&pair[1])));
            ratios.extend(line.first().zip(line.last()).map(|(first, last)| first.mean() / last.mean()));
        }
        (range(ratios), Verdict::at_least(points.into_iter()))
    };
    let (links, servers) = (faster("link bandwidth"), faster("server speed"));
    let others = || changed.iter().filter(|c| c.method.is_some());
    let pairs = || others().filter_map(|c| Some(c.pairs(exact_of(changed, c)?))).filter(|(a, _)| !a.0.is_empty());
    vec![
        Claim::ours(
            "the delay is the shorter the faster links and servers are",
            format!("16 times as fast: links make it {} times as fast, servers {} times", links.0, servers.0),
            links.1.and(servers.1),
        ),
        Claim::ours(
            "placing and quantising together is at least as fast as doing one of them, or either by a rule, for every seed",
            format!(
                "where those find a placement at all they take {} times as long",
                range(pairs().map(|(theirs, ours)| theirs.mean() / ours.mean()))
            ),
            Verdict::of(pairs().all(|(theirs, ours)| {
                theirs.0.iter().zip(&ours.0).all(|(theirs, ours)| *ours <= theirs * (1.0 + OPTIMALITY))
            })),
        ),
    ]
}

fn served_claims(served: &[Served<'_>]) -> Vec<Claim> {
    let line = |users: usize| -> Vec<Sample> { served.iter().map(|s| s.sample(users)).collect() };
    let best = |users: usize| {
        let ends = served.first().zip(served.last());
        let most = served.iter().fold((0.0, 0.0), |best: (f64, f64), s| {
            let mean = s.sample(users).mean();
            if mean > best.0 { (mean, s.budget.part) } else { best }
        });
        let end = |s: &Served<'_>| format!("{} at {}", number(s.sample(users).mean()), s.budget.part);
        ends.map_or_else(String::new, |(first, last)| {
            format!("requests/s: {}, most {} at {}, {}", end(first), number(most.0), most.1, end(last))
        })
    };
    let rises = |users: usize| {
        Verdict::at_least(line(users).windows(2).map(|pair| pair[1].compare(&pair[0])).collect::<Vec<_>>().into_iter())
    };
    vec![
        Claim::ours(
            "with a larger quality budget the node serves at least as many, if users accept any ΔPPL",
            best(1),
            rises(1),
        ),
        Claim::ours("it does, too, if users accept a ΔPPL of up to 0 to 1, uniformly", best(0), rises(0)),
    ]
}

fn remarks(changed: &[Changed], served: &[Served<'_>]) -> Vec<String> {
    let never = |setting: usize| {
        let none = |b: &&Baseline| {
            let mut of = changed.iter().filter(|c| c.setting == setting && c.method == Some(**b));
            of.all(|c| c.found().0.is_empty())
        };
        let names: Vec<String> = BASELINES.iter().filter(none).map(Baseline::to_string).collect();
        if names.is_empty() { "none".to_string() } else { names.join(", ") }
    };
    let departures = || served.iter().flat_map(|s| &s.nodes).map(|node| node.departure);
    vec![
        "Weight errors and the curve from them to ΔPPL are synthetic: they fall fourfold with two bits, as those of a uniform \
         quantiser do. Ratios, the budgets where they are reached, and what is served depend on them. Which budget keeps the \
         quality is not known here, so the first claim is asked at every budget."
            .to_string(),
        format!(
            "Of the baselines these never find a placement at a budget of {PART}: {} ({}); {} ({}).",
            never(0),
            SETTINGS[0].name,
            never(1),
            SETTINGS[1].name
        ),
        "Where links change, their bandwidth does: their latency, once for every token and crossing, stays, and is most of \
         what they take."
            .to_string(),
        format!(
            "The placement is for one request of 128 and 64 tokens. In the scheduler's cost model requests of other lengths \
             take {} to {} times what the placement would take them, as the latency of links does not shrink with the FLOP.",
            number(departures().map(|d| d.0).fold(f64::INFINITY, f64::min)),
            number(departures().map(|d| d.1).fold(0.0, f64::max))
        ),
    ]
}

fn ratio_table(budgets: &[Budget]) -> Table {
    let header = [
        "setting",
        "budget, part",
        "ε",
        "of 32 bits, %",
        "± 95 %",
        "mean bits",
        "delay, s",
        "± 95 %",
        "weight error",
        "ΔPPL",
    ];
    let mut table =
        Table::new("placement-ratio", &format!("Bits and delay against the quality budget; {LABEL}."), &header);
    for b in budgets {
        let (ratio, delay) = (b.ratio().estimate(), b.delay().estimate());
        let mut cells = vec![SETTINGS[b.setting].name.to_string(), format!("{}", b.part)];
        let budget = b.sample(|p, _| p.models[0].budget).mean();
        cells.extend([budget, 100.0 * ratio.mean, 100.0 * ratio.half_width, 32.0 * ratio.mean].map(number));
        cells.extend([delay.mean, delay.half_width, b.error().mean(), b.increase().mean()].map(number));
        table.push(cells);
    }
    table
}

fn change_table(changed: &[Changed]) -> Table {
    let header =
        ["setting", "what is changed", "times", "placement", "seeds placed", "delay, s", "± 95 %", "times exact"];
    let caption = format!("Delay against link bandwidth and server speed; {LABEL}.");
    let mut table = Table::new("placement-delay", &caption, &header);
    for c in changed {
        let found = c.found();
        let some = |x: f64| if found.0.is_empty() { "–".to_string() } else { number(x) };
        let times = exact_of(changed, c).map(|exact| c.pairs(exact)).map_or(f64::NAN, |(a, b)| a.mean() / b.mean());
        let y = found.estimate();
        table.push([
            SETTINGS[c.setting].name.to_string(),
            c.change.what().to_string(),
            format!("{}", c.change.factor()),
            c.name(),
            found.0.len().to_string(),
            some(y.mean),
            some(y.half_width),
            some(times),
        ]);
    }
    table
}

fn served_table(served: &[Served<'_>]) -> Table {
    let header = [
        "budget, part",
        "delay, s",
        "ΔPPL",
        "C/β, FLOP/s",
        "KV tokens",
        "some ΔPPL accepted, requests/s",
        "± 95 %",
        "any accepted",
        "± 95 %",
    ];
    let caption = format!("Requests answered in time per second against the quality budget; {LABEL}.");
    let mut table = Table::new("placement-served", &caption, &header);
    for s in served {
        let mean = |of: fn(&Node) -> f64| Sample(s.nodes.iter().map(of).collect()).mean();
        let [some, any] = [0, 1].map(|users| s.sample(users).estimate());
        let mut cells = vec![format!("{}", s.budget.part), number(s.budget.delay().mean())];
        cells.push(number(s.budget.increase().mean()));
        cells.push(format!("{:.4e}", mean(Node::effective_flops)));
        cells.push(number(mean(|node| node.kv_tokens as f64)));
        cells.extend([some.mean, some.half_width, any.mean, any.half_width].map(number));
        table.push(cells);
    }
    table
}

fn line(label: &str, points: impl Iterator<Item = (f64, Sample)>) -> Series {
    let points: Vec<(f64, Sample)> = points.collect();
    Series {
        label: label.to_string(),
        points: points.iter().map(|(x, y)| (*x, y.mean())).collect(),
        band: Some(points.iter().map(|(_, y)| y.estimate().interval()).collect()),
        ..Series::default()
    }
}

/// What stands below every figure.
fn caption(how: String) -> Vec<String> {
    vec![format!("All from {LABEL}."), how, "`dftsp reproduce placement`".to_string()]
}

fn budget_axis() -> Axis {
    Axis { label: "quality budget ε, part of the way to 2 bits everywhere".to_string(), log: true, ..Axis::default() }
}

fn ratio_plot(budgets: &[Budget], seeds: u64) -> Plot {
    let mut series: Vec<Series> = (0..SETTINGS.len())
        .map(|setting| {
            let scaled = |b: &Budget| Sample(b.ratio().0.iter().map(|x| 100.0 * x).collect());
            line(SETTINGS[setting].name, of_setting(budgets, setting).map(|b| (b.part, scaled(b))))
        })
        .collect();
    series.push(Series {
        label: "the paper's 12.75 %".to_string(),
        points: [0.01, 1.0].map(|x| (x, 100.0 * PAPER_RATIO)).to_vec(),
        style: Style::Dashed,
        ..Series::default()
    });
    Plot {
        title: format!("Quantisation ratio against the quality budget ({LABEL})"),
        caption: caption(format!("Means over {seeds} seeds, ± 95 % confidence.")),
        x: budget_axis(),
        y: Axis { label: "bits after, % of 32 bits".to_string(), from: Some(0.0), ..Axis::default() },
        panels: vec![Panel { series, ..Panel::default() }],
    }
}

fn change_plot(changed: &[Changed], seeds: u64) -> Plot {
    let panel = |setting: usize, what: &'static str| {
        let here: Vec<&Changed> = changed.iter().filter(|c| c.setting == setting && c.change.what() == what).collect();
        let methods = std::iter::once(None).chain(BASELINES.map(Some));
        // A mean over other seeds than the rest would mislead.
        let of_method = |method: Option<Baseline>| {
            let line_of: Vec<&&Changed> = here.iter().filter(|c| c.method == method).collect();
            let whole = line_of.iter().all(|c| c.delays.iter().all(Option::is_some));
            let label = line_of.first().map_or_else(String::new, |c| c.name());
            whole.then(|| line(&label, line_of.iter().map(|c| (c.change.factor(), c.found()))))
        };
        Panel {
            title: SETTINGS[setting].name.to_string(),
            x: Some(Axis { label: format!("{what}, times"), log: true, ..Axis::default() }),
            series: methods.filter_map(of_method).collect(),
            ..Panel::default()
        }
    };
    let both = |setting| ["link bandwidth", "server speed"].map(|what| panel(setting, what));
    Plot {
        title: format!("Delay of a request against links and servers ({LABEL})"),
        caption: caption(format!(
            "Budget {PART}; means over {seeds} seeds, ± 95 % confidence; only what finds a placement for every seed."
        )),
        x: Axis::default(),
        y: Axis { label: "delay, s".to_string(), log: true, ..Axis::default() },
        panels: (0..SETTINGS.len()).flat_map(both).collect(),
    }
}

fn served_plot(served: &[Served<'_>], study: &Study<'_>) -> Plot {
    let series = [0, 1].map(|users| line(USERS[users], served.iter().map(|s| (s.budget.part, s.sample(users)))));
    Plot {
        title: format!("Requests served against the quality budget ({LABEL})"),
        caption: caption(format!("{RATE} requests/s; {}.", study.how_long())),
        x: budget_axis(),
        y: Axis { from: Some(0.0), ..throughput_axis() },
        panels: vec![Panel { series: series.to_vec(), ..Panel::default() }],
    }
}
