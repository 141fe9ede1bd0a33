//! Measures the backends against each other on the same instances.
//!
//! In: a [`Plan`]. Out: a [`Comparison`]: for each instance how long each [`Setting`] took to the proof, and whether
//! all gave the same. Whatever differs is kept beside the times, so that no time stands for a wrong result.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::backend;
use crate::certificate::{Solution, Work};
use crate::device::{Choice, Fault, Found};
use crate::error::{Error, Place, Result};
use crate::generate::{Family, Generator, Lengths, Spec};
use crate::instance::{Instance, Problem};
use crate::scenario::Padding;
use crate::search::Limits;
use crate::solver::{Method, Solver};
use crate::workload::synthesis::ChannelModel;

/// Which instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// All four constraints bind, users fade independently.
    Fading,
    /// All four constraints bind, all users have one channel.
    Shared,
    /// The paper's workload: only the deadline binds.
    Paper,
    /// As fading, with prompts and outputs of any length.
    Continuous,
    /// The hardest instances known, all together.
    HardLeaves,
    /// Many small instances of the kind fading in one call.
    Cells,
    /// The paper's tree without pruning, of one instance of the kind paper: paths a second.
    Unpruned,
    /// No proof, but a bound pass alone over requests of the kind fading: what the memory moves.
    BoundPass,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 8] = [
        Kind::Fading,
        Kind::Shared,
        Kind::Paper,
        Kind::Continuous,
        Kind::HardLeaves,
        Kind::Cells,
        Kind::Unpruned,
        Kind::BoundPass,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Fading => "fading",
            Kind::Shared => "shared",
            Kind::Paper => "paper",
            Kind::Continuous => "continuous",
            Kind::HardLeaves => "hard-leaves",
            Kind::Cells => "cells",
            Kind::Unpruned => "unpruned",
            Kind::BoundPass => "bound-pass",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether one instance of each size is solved to its proof.
    pub fn is_solved_by_size(self) -> bool {
        matches!(self, Kind::Fading | Kind::Shared | Kind::Paper | Kind::Continuous)
    }

    /// What the throughput counts.
    pub fn unit(self) -> &'static str {
        match self {
            Kind::HardLeaves => "nodes",
            Kind::Cells => "cells",
            Kind::Unpruned => "paths",
            _ => "requests",
        }
    }

    fn family(self) -> Family {
        match self {
            Kind::Paper | Kind::Unpruned => Family::Paper,
            _ => Family::Binding,
        }
    }

    /// The instances that a seed gives.
    fn spec(self, requests: u64, seed: u64) -> Spec {
        let spec = Spec { requests, seed, ..Spec::new(self.family()) };
        match self {
            Kind::Shared => Spec { channel: ChannelModel::Shared, ..spec },
            Kind::Continuous => Spec { lengths: Lengths::Continuous, ..spec },
            _ => spec,
        }
    }
}

/// Where to search, and on how many threads of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The CPU, or a CUDA device.
    pub choice: Choice,
    /// Threads of the host.
    pub threads: usize,
}

impl Setting {
    /// "cpu" or "cuda".
    pub fn backend(&self) -> &'static str {
        match self.choice {
            Choice::Cpu => "cpu",
            Choice::Cuda => "cuda",
            Choice::Auto => "auto",
        }
    }

    /// "cpu, 2 threads".
    pub fn name(&self) -> String {
        format!("{}, {} thread{}", self.backend(), self.threads, if self.threads == 1 { "" } else { "s" })
    }
}

/// What to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Which instances.
    pub kinds: Vec<Kind>,
    /// Sizes of those that come in sizes.
    pub requests: Vec<u64>,
    /// How many cells are solved in one call, and how many requests each has.
    pub cells: (u64, u64),
    /// Seed of the instances; the hard leaves have their own.
    pub seed: u64,
    /// What is compared.
    pub settings: Vec<Setting>,
    /// Reports say why there is no device, if there is none.
    pub asks_for_device: bool,
    /// Samples of each time.
    pub repeat: usize,
    /// Limit of a single solve.
    pub time_limit: Duration,
}

/// What one setting gave on one set of instances.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Seconds until all of them were solved, sorted.
    pub samples: Vec<f64>,
    /// Of the instances, those of which a device did a part.
    pub on_device: usize,
    /// Requests in the batches, and the bounds, of all instances together.
    pub size: u64,
    /// See there.
    pub bound: u64,
    /// Counters, of all instances together.
    pub work: Work,
    /// Where it differs from the first setting.
    pub differs: Option<String>,
    /// The device failed in the middle.
    pub fault: Option<Fault>,
}

impl Figure {
    /// The median of the samples.
    pub fn median(&self) -> f64 {
        let (n, s) = (self.samples.len(), &self.samples);
        match n {
            0 => f64::NAN,
            _ if n.is_multiple_of(2) => f64::midpoint(s[n / 2 - 1], s[n / 2]),
            _ => s[n / 2],
        }
    }
}

/// Bytes of a request that a bound pass reads: four costs and a budget.
const REQUEST_BYTES: u64 = 40;

/// One set of instances under every setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which.
    pub kind: Kind,
    /// How many instances.
    pub instances: u64,
    /// Requests of each; 0 if they differ.
    pub requests: u64,
    /// Bytes that a bound pass reads: some requests are not servable, and not in it. 0 where none is measured alone.
    pub bytes: u64,
    /// In the order of the settings.
    pub figures: Vec<Figure>,
}

impl Row {
    /// What was done in a solve of everything, in the unit of the kind.
    pub fn count(&self) -> u64 {
        match self.kind {
            Kind::HardLeaves => self.figures.first().map_or(0, |figure| figure.work.nodes),
            Kind::Cells => self.instances,
            // Those that are complete and of the right size.
            Kind::Unpruned => self.figures.first().map_or(0, |figure| figure.work.paths_checked),
            _ => self.requests,
        }
    }

    /// Bytes a second that a bound pass reads.
    pub fn bandwidth(&self, figure: &Figure) -> Option<f64> {
        (self.kind == Kind::BoundPass).then(|| (self.bytes as f64) / figure.median())
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What was asked for.
    pub plan: Plan,
    /// The devices there are.
    pub found: Found,
    /// One for each set of instances.
    pub rows: Vec<Row>,
}

/// From which size on a device is faster than the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crossover {
    /// From this many requests on, at every size that was measured.
    From(u64),
    /// At no size, or not at the largest one.
    Never,
}

impl Comparison {
    /// Every setting gave the same, and no device failed.
    pub fn agrees(&self) -> bool {
        self.troubles().is_empty()
    }

    /// What differs, or failed, a line each.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        for row in &self.rows {
            for (setting, figure) in self.plan.settings.iter().zip(&row.figures) {
                let what = match row.requests {
                    0 => row.kind.name().to_string(),
                    requests => format!("{}, {requests} requests", row.kind.name()),
                };
                if let Some(differs) = &figure.differs {
                    troubles.push(format!("{what}: {} differs from {}: {differs}", setting.name(), self.first()));
                }
                if let Some(fault) = &figure.fault {
                    troubles.push(format!("{what}: {} failed: {fault}", setting.name()));
                }
            }
        }
        troubles
    }

    fn first(&self) -> String {
        self.plan.settings.first().map_or_else(String::new, Setting::name)
    }

    /// From which size on the device is faster than every setting of the CPU; none if a kind has no sizes, or only one
    /// of the two was measured.
    pub fn crossover(&self, kind: Kind) -> Option<Crossover> {
        let best = |row: &Row, choice: Choice| {
            let of = self.plan.settings.iter().zip(&row.figures).filter(|(setting, _)| setting.choice == choice);
            of.map(|(_, figure)| figure.median()).min_by(f64::total_cmp)
        };
        let mut sizes = Vec::new();
        for row in self.rows.iter().filter(|row| row.kind == kind && kind.is_solved_by_size()) {
            let device = row.figures.iter().any(|figure| figure.on_device > 0);
            let (cpu, cuda) = (best(row, Choice::Cpu)?, best(row, Choice::Cuda)?);
            sizes.push((row.requests, device && cuda < cpu));
        }
        sizes.sort_unstable();
        let slower = sizes.iter().rposition(|(_, faster)| !faster).map_or(0, |at| at + 1);
        let first = sizes.get(slower).map(|&(requests, _)| requests);
        (!sizes.is_empty()).then_some(first.map_or(Crossover::Never, Crossover::From))
    }
}

const HARD_LEAVES: &str = include_str!("../tests/data/hard_leaves.csv");

/// The hardest instances known, from `tests/data/hard_leaves.csv`.
///
/// # Errors
/// None, as long as the list is as it should be.
pub fn hard_leaves() -> Result<Vec<Instance>> {
    let line = |line: &str| {
        let place = || Place::file("hard_leaves.csv").error(format!("{line:?} is no instance"), "correct the list");
        let [padding, channel, lengths, requests, seed] = line.split(',').collect::<Vec<_>>()[..] else {
            return Err(place());
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| place());
        let spec = Spec {
            padding: if padding == "none" { Padding::None } else { Padding::Fixed(number(padding)?) },
            channel: if channel == "shared" { ChannelModel::Shared } else { ChannelModel::Rayleigh },
            lengths: match lengths {
                "continuous" => Lengths::Continuous,
                "3" => Lengths::paper(),
                levels => Lengths::evenly(number(levels)?, Place::default)?,
            },
            requests: number(requests)?.into(),
            seed: number(seed)?.into(),
            ..Spec::new(Family::Binding)
        };
        instance(spec)
    };
    HARD_LEAVES.lines().skip(1).map(line).collect()
}

/// Small instances of one size, of one seed after another.
///
/// # Errors
/// A number of requests that no instance may have.
pub fn cells(count: u64, requests: u64, seed: u64) -> Result<Vec<Instance>> {
    let cell = |at| instance(Kind::Cells.spec(requests, seed.wrapping_add(at)));
    (0..count).into_par_iter().map(cell).collect()
}

/// An instance of a kind that comes in sizes.
///
/// # Errors
/// A number of requests that no instance may have.
pub fn sized(kind: Kind, requests: u64, seed: u64) -> Result<Instance> {
    instance(kind.spec(requests, seed))
}

fn instance(spec: Spec) -> Result<Instance> {
    let generator = Generator::new(spec)?;
    Ok(Problem::new(generator.scenario(), &generator.requests()?)?.instance)
}

/// A setting with its solver, and what is kept of it between samples.
struct Contender {
    solver: Solver,
    solutions: Vec<Solution>,
    samples: Vec<f64>,
    /// Solves in a sample.
    loops: u32,
}

/// Shorter samples would measure the clock.
const SHORTEST: Duration = Duration::from_millis(2);
/// Solves in a sample, at most.
const MOST_LOOPS: u32 = 1000;

/// Requests of the tree that is not pruned.
const UNPRUNED: u64 = 200;

/// A solver for each setting.
fn contenders(plan: &Plan, method: Method) -> Result<Vec<Contender>> {
    let contender = |setting: &Setting| {
        let solver = Solver::new(method).threads(setting.threads)?.on(setting.choice)?;
        let solver = solver.limits(Limits::time(plan.time_limit));
        Ok(Contender { solver, solutions: Vec::new(), samples: Vec::new(), loops: 1 })
    };
    plan.settings.iter().map(contender).collect()
}

/// Measures. `progress` is told what comes next.
///
/// # Errors
/// A device that cannot be used, threads that cannot be started, or a number of requests that no instance may have.
pub fn run(plan: &Plan, progress: &mut dyn FnMut(&str)) -> Result<Comparison> {
    let mut contenders = contenders(plan, Method::Flat)?;
    let mut rows = Vec::new();
    for &kind in &plan.kinds {
        match kind {
            Kind::HardLeaves => {
                progress(kind.name());
                rows.push(measure(&mut contenders, plan, (kind, 0), &hard_leaves()?));
            }
            Kind::Cells => {
                let (count, requests) = plan.cells;
                progress(&format!("{count} cells of {requests} requests"));
                rows.push(measure(&mut contenders, plan, (kind, requests), &cells(count, requests, plan.seed)?));
            }
            Kind::Unpruned => {
                progress(kind.name());
                let mut contenders = self::contenders(plan, Method::Algorithm1 { prune: false })?;
                let instance = sized(kind, UNPRUNED, plan.seed)?;
                rows.push(measure(&mut contenders, plan, (kind, UNPRUNED), &[instance]));
            }
            Kind::BoundPass => {
                for &requests in &plan.requests {
                    progress(&format!("{}, {requests} requests", kind.name()));
                    rows.push(bound_pass(&contenders, plan, requests)?);
                }
            }
            _ => {
                for &requests in &plan.requests {
                    progress(&format!("{}, {requests} requests", kind.name()));
                    let instance = sized(kind, requests, plan.seed)?;
                    rows.push(measure(&mut contenders, plan, (kind, requests), &[instance]));
                }
            }
        }
    }
    Ok(Comparison { plan: plan.clone(), found: backend::devices(), rows })
}

/// Solves all of `instances`: many small ones in one call, others one after another.
fn solve(solver: &Solver, kind: Kind, instances: &[Instance]) -> Vec<Solution> {
    match kind {
        Kind::Cells => solver.solve_many(instances),
        _ => instances.iter().map(|instance| solver.solve(instance)).collect(),
    }
}

fn measure(contenders: &mut [Contender], plan: &Plan, (kind, requests): (Kind, u64), instances: &[Instance]) -> Row {
    for contender in &mut *contenders {
        // The first is no sample: memory grows, and a device is woken.
        contender.solutions = solve(&contender.solver, kind, instances);
        contender.samples.clear();
        let start = Instant::now();
        let again = solve(&contender.solver, kind, instances);
        let took = start.elapsed().max(Duration::from_nanos(1));
        drop(again);
        contender.loops = (SHORTEST.as_secs_f64() / took.as_secs_f64()).ceil().min(MOST_LOOPS.into()) as u32;
        if contender.loops == 1 {
            contender.samples.push(took.as_secs_f64());
        }
    }
    // In turns, so that whatever else the machine does hits all alike.
    for _ in 0..plan.repeat {
        for contender in contenders.iter_mut().filter(|contender| contender.samples.len() < plan.repeat) {
            let mut taken = Duration::ZERO;
            for _ in 0..contender.loops {
                let start = Instant::now();
                let solutions = solve(&contender.solver, kind, instances);
                taken += start.elapsed();
                drop(solutions);
            }
            contender.samples.push(taken.as_secs_f64() / f64::from(contender.loops));
        }
    }
    let expected = contenders.first().map_or_else(Vec::new, |first| first.solutions.clone());
    let figures = contenders.iter_mut().map(|contender| figure(contender, &expected)).collect();
    Row { kind, instances: instances.len() as u64, requests, bytes: 0, figures }
}

/// Times bound passes alone.
fn bound_pass(contenders: &[Contender], plan: &Plan, requests: u64) -> Result<Row> {
    let instance = sized(Kind::Fading, requests, plan.seed)?;
    let mut figures = Vec::new();
    for (contender, setting) in contenders.iter().zip(&plan.settings) {
        let (times, fault) = match contender.solver.time_bound_passes(&instance, plan.repeat) {
            Ok(times) => (times, None),
            Err(Error::Device(fault)) => (Vec::new(), Some(fault)),
            Err(e) => return Err(e),
        };
        let mut samples: Vec<f64> = times.iter().map(|time| time.as_secs_f64().max(1e-9)).collect();
        samples.sort_by(f64::total_cmp);
        let on_device = usize::from(setting.choice == Choice::Cuda);
        figures.push(Figure { samples, on_device, size: 0, bound: 0, work: Work::default(), differs: None, fault });
    }
    let bytes = instance.len() as u64 * REQUEST_BYTES;
    Ok(Row { kind: Kind::BoundPass, instances: 1, requests, bytes, figures })
}

fn figure(contender: &mut Contender, expected: &[Solution]) -> Figure {
    let solutions = std::mem::take(&mut contender.solutions);
    let mut samples = std::mem::take(&mut contender.samples);
    samples.sort_by(f64::total_cmp);
    let mut work = Work::default();
    solutions.iter().for_each(|solution| work.add(&solution.work));
    Figure {
        samples,
        on_device: solutions.iter().filter(|solution| solution.ran.backend == "cuda").count(),
        size: solutions.iter().map(|solution| solution.rows.len() as u64).sum(),
        bound: solutions.iter().map(|solution| solution.certificate.bound).sum(),
        work,
        differs: expected.iter().zip(&solutions).find_map(|(expected, solution)| difference(expected, solution)),
        fault: solutions.into_iter().find_map(|solution| solution.ran.fault),
    }
}

/// How two solutions of one instance differ. Where the time was over they may, but not contradict each other.
fn difference(a: &Solution, b: &Solution) -> Option<String> {
    let (size, bound) = ((a.rows.len(), b.rows.len()), (a.certificate.bound, b.certificate.bound));
    if a.work.stopped || b.work.stopped {
        let possible = size.0 as u64 <= bound.1 && size.1 as u64 <= bound.0;
        return (!possible)
            .then(|| format!("batches of {} and {}, bounds {} and {}", size.1, size.0, bound.1, bound.0));
    }
    if size.0 != size.1 {
        return Some(format!("a batch of {}, not {}", size.1, size.0));
    }
    if let Some((x, y)) = a.rows.iter().zip(&b.rows).find(|(x, y)| x != y) {
        return Some(format!("row {y} in place of {x}"));
    }
    if bound.0 != bound.1 {
        return Some(format!("bound {}, not {}", bound.1, bound.0));
    }
    if a.certificate != b.certificate {
        return Some("the certificate".to_string());
    }
    (a.work != b.work).then(|| format!("counters {:?}, not {:?}", b.work, a.work))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(choice: Choice, threads: usize) -> Setting {
        Setting { choice, threads }
    }

    fn plan(kinds: &[Kind]) -> Plan {
        Plan {
            kinds: kinds.to_vec(),
            requests: vec![50, 3000],
            cells: (20, 40),
            seed: 1,
            settings: vec![setting(Choice::Cpu, 1), setting(Choice::Cpu, 2)],
            asks_for_device: false,
            repeat: 2,
            time_limit: Duration::from_secs(60),
        }
    }

    #[test]
    fn settings_agree_and_every_row_has_its_samples() {
        let mut told = Vec::new();
        let kinds = [Kind::Fading, Kind::Shared, Kind::Paper, Kind::Continuous, Kind::Cells];
        let c = run(&plan(&kinds), &mut |next| told.push(next.to_string())).unwrap();
        assert_eq!((c.rows.len(), told.len()), (9, 9));
        assert!(c.agrees(), "{:?}", c.troubles());
        for figure in c.rows.iter().flat_map(|row| &row.figures) {
            assert_eq!((figure.samples.len(), figure.size, figure.on_device), (2, figure.bound, 0));
            assert!(figure.size > 0 && figure.samples.is_sorted() && figure.samples[0] > 0.0);
        }
        assert_eq!(c.rows[8].count(), 20);
        assert_eq!(c.crossover(Kind::Fading), None);
    }

    #[test]
    fn bound_passes_are_timed() {
        let c = run(&plan(&[Kind::BoundPass]), &mut |_| {}).unwrap();
        assert_eq!((c.rows.len(), c.agrees()), (2, true));
        for row in &c.rows {
            assert!(row.bytes > 0 && row.bytes <= 40 * row.requests);
            assert!(row.figures.iter().all(|figure| figure.samples.len() == 2 && row.bandwidth(figure).unwrap() > 0.0));
        }
    }

    #[test]
    fn the_list_of_hard_leaves_can_be_read() {
        assert_eq!(hard_leaves().unwrap().len(), HARD_LEAVES.lines().count() - 1);
    }

    #[test]
    fn every_difference_is_found() {
        let instance = sized(Kind::Fading, 500, 1).unwrap();
        let a = Solver::new(Method::Flat).solve(&instance);
        assert_eq!(difference(&a, &a), None);
        let mut b = a.clone();
        b.rows.pop();
        assert_eq!(difference(&a, &b), Some(format!("a batch of {}, not {}", b.rows.len(), a.rows.len())));
        b.work.stopped = true;
        assert_eq!(difference(&a, &b), None);
        b.certificate.bound = 1;
        assert!(difference(&a, &b).unwrap().starts_with("batches of"));
        let mut b = a.clone();
        b.rows[0] += 1;
        assert!(difference(&a, &b).unwrap().contains("in place of"));
        let mut b = a.clone();
        b.certificate.bound += 1;
        assert!(difference(&a, &b).unwrap().starts_with("bound"));
        let mut b = a.clone();
        b.certificate.sections[0].covered.clear();
        assert_eq!(difference(&a, &b).unwrap(), "the certificate");
        let mut b = a.clone();
        b.work.nodes += 1;
        assert!(difference(&a, &b).unwrap().starts_with("counters"));
    }

    /// Medians of the CPU and of a device that takes part, by size.
    fn compared(times: &[(u64, f64, f64)]) -> Comparison {
        let figure = |time: f64, on_device| Figure {
            samples: vec![time],
            on_device,
            size: 1,
            bound: 1,
            work: Work::default(),
            differs: None,
            fault: None,
        };
        let row = |&(requests, cpu, cuda): &(u64, f64, f64)| Row {
            kind: Kind::Fading,
            instances: 1,
            requests,
            bytes: 0,
            figures: vec![figure(cpu, 0), figure(cuda, 1)],
        };
        let settings = vec![setting(Choice::Cpu, 1), setting(Choice::Cuda, 1)];
        Comparison {
            plan: Plan { settings, ..plan(&[Kind::Fading]) },
            found: backend::devices(),
            rows: times.iter().map(row).collect(),
        }
    }

    #[test]
    fn the_crossover_is_the_first_size_after_which_the_device_stays_faster() {
        let crossover = |times: &[_]| compared(times).crossover(Kind::Fading);
        assert_eq!(crossover(&[(1, 1.0, 0.5), (10, 1.0, 2.0), (100, 5.0, 2.0)]), Some(Crossover::From(100)));
        assert_eq!(crossover(&[(100, 5.0, 2.0), (10, 3.0, 2.0)]), Some(Crossover::From(10)));
        assert_eq!(crossover(&[(10, 3.0, 2.0), (100, 1.0, 2.0)]), Some(Crossover::Never));
        assert_eq!(crossover(&[]), None);
    }

    #[test]
    fn medians_of_odd_and_even_counts() {
        let mut figure = compared(&[(1, 1.0, 1.0)]).rows[0].figures[0].clone();
        figure.samples = vec![1.0, 2.0, 4.0];
        assert_eq!(figure.median(), 2.0);
        figure.samples = vec![1.0, 2.0, 4.0, 5.0];
        assert_eq!(figure.median(), 3.0);
    }
}
