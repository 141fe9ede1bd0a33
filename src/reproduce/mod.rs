//! The paper's section IV again, beside its claims, and what it leaves open.
//!
//! In: [`Target`]s and an [`Effort`]. Out: a [`Section`] for each: what was run, each claim of the paper with what was
//! measured and whether it holds, tables (each a CSV file too) and plots. Verdicts are computed from the numbers beside
//! them, seed by seed: a point is shown or refuted if the 95 % confidence interval of the paired difference is on one
//! side. [`files`] writes them down.

mod beyond;
mod figures;
pub mod files;
mod models;
mod paper;
mod placement;
mod precisions;
mod sensitivity;
mod tables;
mod traces;

use std::path::PathBuf;

use crate::error::Result;
use crate::experiment::statistics::{Comparison, Estimate, compare};
use crate::experiment::{Job, Progress, run_all};
use crate::report::plot::{BarSet, Plot};
use crate::simulation::Summary;

/// What to reproduce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Throughput against arrival rate.
    Fig5a,
    /// Throughput against the latency requirement.
    Fig5b,
    /// Throughput against quantisation, whatever its accuracy.
    Fig6a,
    /// The same with accuracy requirements.
    Fig6b,
    /// The quantisations.
    Table2,
    /// What pruning saves.
    Table3,
    /// What the paper leaves open, varied.
    Sensitivity,
    /// Which constraint binds.
    Binding,
    /// Algorithm 1 against the optimum under per-user fading.
    Fading,
    /// What padding costs.
    Padding,
    /// Bursty arrivals.
    Bursts,
    /// Several models on a node, and large ones.
    Models,
    /// Real traces; they must be given.
    Traces,
    /// The second paper: layers on edge servers.
    Placement,
}

impl Target {
    /// What is of the scheduler and needs no trace, in the order of the report: `all`.
    pub const ALL: [Target; 12] = [
        Target::Fig5a,
        Target::Fig5b,
        Target::Fig6a,
        Target::Fig6b,
        Target::Table2,
        Target::Table3,
        Target::Sensitivity,
        Target::Binding,
        Target::Fading,
        Target::Padding,
        Target::Bursts,
        Target::Models,
    ];

    /// The name on the command line and of the files.
    pub fn name(self) -> &'static str {
        match self {
            Target::Fig5a => "fig5a",
            Target::Fig5b => "fig5b",
            Target::Fig6a => "fig6a",
            Target::Fig6b => "fig6b",
            Target::Table2 => "table2",
            Target::Table3 => "table3",
            Target::Sensitivity => "sensitivity",
            Target::Binding => "binding",
            Target::Fading => "fading",
            Target::Padding => "padding",
            Target::Bursts => "bursts",
            Target::Models => "models",
            Target::Traces => "traces",
            Target::Placement => "placement",
        }
    }

    /// The target of that name.
    pub fn from_name(name: &str) -> Option<Target> {
        Target::ALL.into_iter().chain([Target::Traces, Target::Placement]).find(|target| target.name() == name)
    }
}

/// How much to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Effort {
    /// Seeds 1 to this many, of which each point is a mean.
    pub seeds: u64,
    /// How long requests arrive in each run, seconds.
    pub duration_s: f64,
    /// Trace files, for [`Target::Traces`].
    pub traces: Vec<PathBuf>,
}

impl Default for Effort {
    fn default() -> Self {
        Effort { seeds: 10, duration_s: 600.0, traces: Vec::new() }
    }
}

/// Whether a claim holds here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Shown at every point that differs at all.
    Holds,
    /// Refuted at none, but too close to tell at some.
    Open,
    /// Refuted under some readings of what the paper leaves open, and not under others.
    Depends,
    /// Refuted at some point.
    Fails,
}

impl Verdict {
    /// Of what is claimed to be at least as large as something else, at many points.
    fn at_least(points: impl Iterator<Item = Comparison>) -> Verdict {
        let mut shown = false;
        let mut open = false;
        for point in points {
            match point {
                Comparison::Larger => shown = true,
                Comparison::Equal => {}
                Comparison::Open => open = true,
                Comparison::Smaller => return Verdict::Fails,
            }
        }
        if shown && !open { Verdict::Holds } else { Verdict::Open }
    }

    /// By whether it holds.
    fn of(holds: bool) -> Verdict {
        if holds { Verdict::Holds } else { Verdict::Fails }
    }

    /// Under several readings.
    fn over(readings: impl Iterator<Item = Verdict>) -> Verdict {
        let all: Vec<Verdict> = readings.collect();
        let some = |verdict: Verdict| all.contains(&verdict);
        match (some(Verdict::Fails), some(Verdict::Holds) || some(Verdict::Open)) {
            _ if some(Verdict::Depends) => Verdict::Depends,
            (true, true) => Verdict::Depends,
            (true, false) => Verdict::Fails,
            (false, _) if some(Verdict::Open) || all.is_empty() => Verdict::Open,
            (false, _) => Verdict::Holds,
        }
    }

    /// Both must hold.
    fn and(self, other: Verdict) -> Verdict {
        match (self, other) {
            (Verdict::Fails, _) | (_, Verdict::Fails) => Verdict::Fails,
            (Verdict::Depends, _) | (_, Verdict::Depends) => Verdict::Depends,
            (Verdict::Open, _) | (_, Verdict::Open) => Verdict::Open,
            _ => Verdict::Holds,
        }
    }

    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Open => "is not refuted",
            Verdict::Depends => "depends on what the paper leaves open",
            Verdict::Fails => "does not hold",
        }
    }
}

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The paper.
    Paper,
    /// A question of ours.
    Ours,
}

impl Source {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Paper => "paper",
            Source::Ours => "ours",
        }
    }
}

/// A claim, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub source: Source,
    /// What is claimed.
    pub claim: String,
    /// What was measured.
    pub ours: String,
    /// Whether it holds.
    pub verdict: Verdict,
}

impl Claim {
    fn paper(claim: &str, ours: String, verdict: Verdict) -> Claim {
        Claim { source: Source::Paper, claim: claim.to_string(), ours, verdict }
    }

    fn ours(claim: &str, ours: String, verdict: Verdict) -> Claim {
        Claim { source: Source::Ours, claim: claim.to_string(), ours, verdict }
    }
}

/// Numbers in rows, as they are printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The CSV file is called this.
    pub name: String,
    /// What it shows.
    pub caption: String,
    /// Of the columns, with units.
    pub header: Vec<String>,
    /// As many cells as the header has.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    fn new(name: &str, caption: &str, header: &[&str]) -> Table {
        let header = header.iter().map(|cell| (*cell).to_string()).collect();
        Table { name: name.to_string(), caption: caption.to_string(), header, rows: Vec::new() }
    }

    fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

/// What came out for one target.
#[derive(Debug, Clone)]
pub struct Section {
    /// Which.
    pub target: Target,
    /// Heading.
    pub title: String,
    /// What was run, with all parameters.
    pub setup: String,
    /// Claims and verdicts.
    pub claims: Vec<Claim>,
    /// What else there is to say.
    pub remarks: Vec<String>,
    /// Tables.
    pub tables: Vec<Table>,
    /// Plots, with the names of their files.
    pub plots: Vec<(String, Plot)>,
}

/// Runs the targets, in order.
///
/// # Errors
/// A trace that cannot be read; numbers of `effort` out of range.
pub fn reproduce(targets: &[Target], effort: &Effort, progress: &dyn Progress) -> Result<Vec<Section>> {
    let study = Study { effort, progress };
    let one = |&target: &Target| match target {
        Target::Fig5a => figures::arrival_rate(&study),
        Target::Fig5b => figures::latency_requirement(&study),
        Target::Fig6a => precisions::quantizations(&study, false),
        Target::Fig6b => precisions::quantizations(&study, true),
        Target::Table2 => tables::quantizations(),
        Target::Table3 => tables::pruning(&study),
        Target::Sensitivity => sensitivity::sensitivity(&study),
        Target::Binding => sensitivity::binding(&study),
        Target::Fading => beyond::fading(&study),
        Target::Padding => beyond::padding(&study),
        Target::Bursts => beyond::bursts(&study),
        Target::Models => models::models(&study),
        Target::Traces => traces::traces(&study),
        Target::Placement => placement::placement(&study),
    };
    targets.iter().map(one).collect()
}

/// What all targets share.
struct Study<'s> {
    effort: &'s Effort,
    progress: &'s dyn Progress,
}

/// A point of a figure: what was varied, and a run for each seed.
struct Measured<P> {
    point: P,
    runs: Vec<Summary>,
}

impl<P> Measured<P> {
    /// A quantity of each seed.
    fn sample(&self, of: impl Fn(&Summary) -> f64) -> Sample {
        Sample(self.runs.iter().map(of).collect())
    }

    /// The mean of a quantity over the seeds.
    fn estimate(&self, of: impl Fn(&Summary) -> f64) -> Estimate {
        self.sample(of).estimate()
    }

    fn goodput(&self) -> Sample {
        self.sample(Summary::goodput)
    }

    /// The sum of a count over the seeds.
    fn sum(&self, of: impl Fn(&Summary) -> u64) -> u64 {
        self.runs.iter().map(of).sum()
    }
}

/// A quantity of each seed, in order.
#[derive(Debug, Clone, Default, PartialEq)]
struct Sample(Vec<f64>);

impl Sample {
    fn estimate(&self) -> Estimate {
        Estimate::of(&self.0)
    }

    fn mean(&self) -> f64 {
        self.estimate().mean
    }

    /// Whether it is larger than `other`, seed by seed.
    fn compare(&self, other: &Sample) -> Comparison {
        compare(&self.0, &other.0)
    }
}

impl Study<'_> {
    /// Runs every point with every seed.
    fn measure<P>(&self, points: Vec<P>, job: impl Fn(&P, u64) -> Job) -> Result<Vec<Measured<P>>> {
        let seeds = self.effort.seeds;
        let jobs: Vec<Job> = points.iter().flat_map(|point| (1..=seeds).map(|seed| job(point, seed))).collect();
        self.progress.expect(jobs.len() as u64);
        let mut runs = run_all(&jobs, &|| self.progress.done())?.into_iter();
        let measured = |point| Measured { point, runs: runs.by_ref().take(seeds as usize).collect() };
        Ok(points.into_iter().map(measured).collect())
    }

    /// "seeds 1 to 10, each 300 s of arrivals".
    fn how_long(&self) -> String {
        let Effort { seeds, duration_s, .. } = self.effort;
        format!("means over seeds 1 to {seeds}, each with {duration_s} s of arrivals, ± 95 % confidence")
    }
}

/// A bar in each category, with its confidence interval.
fn bar_set(label: &str, values: &[Sample]) -> BarSet {
    let estimates = || values.iter().map(Sample::estimate);
    BarSet {
        label: label.to_string(),
        values: estimates().map(|y| y.mean).collect(),
        whiskers: Some(estimates().map(|y| y.interval()).collect()),
    }
}

/// Four significant digits; nothing where only rounding is left.
fn number(x: f64) -> String {
    if x.abs() < 1e-9 {
        return "0".to_string();
    }
    let digits = (3 - libm::log10(x.abs()).floor() as i32).clamp(0, 9) as usize;
    format!("{x:.digits$}")
}

/// "3.1", or "3.1 to 4.2"; "–" of nothing.
fn range(values: impl IntoIterator<Item = f64>) -> String {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    values.into_iter().for_each(|x| (low, high) = (low.min(x), high.max(x)));
    if low > high {
        return "–".to_string();
    }
    let (low, high) = (number(low), number(high));
    if low == high { low } else { format!("{low} to {high}") }
}

/// A part of a whole in percent.
fn percent(part: f64) -> String {
    format!("{:.2} %", 100.0 * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_as_good_as_its_worst_point() {
        use Comparison::{Equal, Larger, Open, Smaller};
        for (points, verdict) in [
            (&[Larger, Equal][..], Verdict::Holds),
            (&[Larger, Open], Verdict::Open),
            (&[Equal, Equal], Verdict::Open),
            (&[], Verdict::Open),
            (&[Larger, Open, Smaller], Verdict::Fails),
        ] {
            assert_eq!(Verdict::at_least(points.iter().copied()), verdict, "{points:?}");
        }
    }

    #[test]
    fn readings_that_disagree_are_told_apart_from_failures() {
        use Verdict::{Depends, Fails, Holds, Open};
        for (readings, verdict) in [
            (&[Holds, Holds][..], Holds),
            (&[Holds, Open], Open),
            (&[Holds, Fails], Depends),
            (&[Open, Fails], Depends),
            (&[Fails, Fails], Fails),
            (&[Holds, Depends], Depends),
            (&[], Open),
        ] {
            assert_eq!(Verdict::over(readings.iter().copied()), verdict, "{readings:?}");
        }
        assert_eq!((Holds.and(Open), Open.and(Fails), Holds.and(Holds)), (Open, Fails, Holds));
    }

    #[test]
    fn numbers_have_four_digits() {
        assert_eq!([0.0, 1e-17, 0.012_345_6, 1234.5, -2.0].map(number), ["0", "0", "0.01235", "1234", "-2.000"]);
        assert_eq!((range([2.0, 1.0]), range([3.0]), range([])), {
            ("1.000 to 2.000".to_string(), "3.000".to_string(), "–".to_string())
        });
    }
}
