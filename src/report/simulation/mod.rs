//! A simulation for people (text, Markdown with plots) and for programs (JSON, and CSV rows as it runs).
//!
//! In: [`Report`], which is what was run and a [`Summary`] for each scheduler. Text and Markdown show the same
//! `sections`. Nothing here depends on how fast or on how many threads it ran: the same run gives the same bytes.

#[cfg(feature = "files")]
pub mod csv;
#[cfg(feature = "files")]
mod json;
mod markdown;
#[cfg(feature = "plots")]
mod plots;
mod sections;
mod text;
mod words;

#[cfg(feature = "files")]
pub use json::to_json;
pub use markdown::to_markdown;
#[cfg(feature = "plots")]
pub use plots::plots;
pub use text::to_text;
#[cfg(feature = "files")]
pub(super) use words::rules;
pub use words::{describe_arrivals, describe_model, describe_needs, describe_scenario};

use crate::scenario::Epoch;
use crate::simulation::{Settings, Summary};

/// What was run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Where the scenario comes from, and what it is in short.
    pub scenario: String,
    /// Where arrivals come from, and how they are.
    pub arrivals: String,
    /// What each request needs, and where that comes from.
    pub needs: String,
    /// What was changed, if arrivals are not those of the trace as it is.
    pub scaled: Option<String>,
    /// The seed of everything random.
    pub seed: u64,
    /// How it was run.
    pub settings: Settings,
    /// The slots of an epoch.
    pub epoch: Epoch,
    /// See [`crate::simulation::CostModel`].
    pub slowdown: f64,
    /// Nodes of the search tree that a scheduler may visit in an epoch, where one keeps to that.
    pub node_limit: Option<u64>,
    /// The command that does it again.
    pub command: String,
    /// What was assumed.
    pub assumptions: Vec<String>,
}

/// What was run, and what came of it: one summary for each scheduler, all on the same arrivals.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was run.
    pub run: Run,
    /// By scheduler.
    pub summaries: Vec<Summary>,
}

/// The scheduler whose batches are the largest there are.
const EXACT: &str = "flat";

impl Report {
    /// The run of the exact scheduler, if it is among them.
    fn exact(&self) -> Option<&Summary> {
        self.summaries.iter().find(|summary| summary.scheduler == EXACT)
    }

    fn plot_names(&self) -> Vec<&'static str> {
        let schedulers: Vec<&str> = self.summaries.iter().map(|summary| summary.scheduler.as_str()).collect();
        plot_names(&self.run.settings, &schedulers)
    }

    /// Requests that the exact scheduler's own run answered in time and this one did not: below 0 if this one answered
    /// more. Only where there is another run to compare with.
    fn total_regret(&self, summary: &Summary) -> Option<i64> {
        let exact = self.exact().filter(|_| self.summaries.len() > 1)?;
        Some(exact.counts.in_time as i64 - summary.counts.in_time as i64)
    }
}

/// The files of all plots that a run may have.
pub const PLOTS: [&str; 6] =
    ["throughput.svg", "latency.svg", "queue.svg", "utilisation.svg", "binding.svg", REGRET_PLOT];
/// The one that not all have.
const REGRET_PLOT: &str = "regret.svg";

/// The files of the plots of a run, which its Markdown shows.
pub fn plot_names(settings: &Settings, schedulers: &[&str]) -> Vec<&'static str> {
    let regret = schedulers.len() > 1 && (settings.regret || schedulers.contains(&EXACT));
    PLOTS.into_iter().filter(|&name| regret || name != REGRET_PLOT).collect()
}

/// Requests of a batch on average; 0 without batches.
fn mean_batch(summary: &Summary) -> f64 {
    let answered = summary.counts.in_time + summary.counts.late;
    answered as f64 / summary.total.batches.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Generator, Spec};
    use crate::simulation::{Silent, Simulation, Source};
    use crate::solver::{Method, Solver};

    /// A short run of two schedulers.
    pub(super) fn report() -> Report {
        let scenario = Generator::new(Spec::embedded()).unwrap().scenario().clone();
        let settings = Settings { duration_s: 20.0, ..Settings::default() };
        let simulation = Simulation::new(&scenario, Source::Generated, settings).unwrap();
        let run = |method| simulation.run(&Solver::new(method), &mut Silent).unwrap();
        Report {
            run: Run {
                scenario: describe_scenario("a test", &scenario),
                arrivals: describe_arrivals(&scenario.arrivals),
                needs: describe_needs(&scenario.synthesis),
                scaled: Some("scaled: a test".to_string()),
                seed: 1,
                settings,
                epoch: scenario.epoch.clone(),
                slowdown: 1.0,
                node_limit: None,
                command: "dftsp simulate | <test>".to_string(),
                assumptions: vec!["something".to_string()],
            },
            summaries: vec![run(Method::Flat), run(Method::FirstCome)],
        }
    }

    #[test]
    fn every_form_says_what_was_run_and_what_came_of_it() {
        let report = report();
        let (text, markdown) = (to_text(&report), to_markdown(&report));
        let arrived = super::super::number::grouped(report.summaries[0].counts.arrived);
        for part in ["a test", "Poisson", "scaled", "seed 1", "flat", "fcfs", "something", "20 s", &arrived] {
            assert!(text.contains(part), "{part} in\n{text}");
            assert!(markdown.contains(part), "{part} in\n{markdown}");
        }
        assert!(markdown.contains("dftsp simulate") && markdown.contains("](throughput.svg)"), "{markdown}");
        assert!(text.lines().all(|line| line.chars().count() <= 180 && !line.ends_with(' ')), "{text}");
    }

    #[test]
    fn the_exact_scheduler_has_no_regret() {
        let report = report();
        assert_eq!(report.total_regret(&report.summaries[0]), Some(0));
        let alone = Report { summaries: report.summaries[1..].to_vec(), ..report };
        assert_eq!(alone.total_regret(&alone.summaries[0]), None);
    }
}
