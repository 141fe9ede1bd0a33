//! The edge node over time: the epoch protocol of the paper's section II.
//!
//! In: a [`Scenario`], a [`Source`] of arrivals, [`Settings`] and a [`Scheduler`]. Out: what became of every request
//! and what every epoch used, told to an [`Observer`] as it happens, and a [`Summary`]. The components are the paper's:
//!
//! | component | here |
//! |---|---|
//! | request queue | `queue`: arrivals of an epoch are aggregated, waits accumulate, channels are drawn anew |
//! | batch scheduler | [`scheduler`]: any [`Scheduler`]; [`Solver`] is one |
//! | resource allocator | `allocator`: bands, memory and slots, checked against what there is |
//! | quantisation | [`Host`]: α, β and ΔPPL of each model on the node |
//! | inference engine | [`engine`]: an interface; the cost model is its first implementation |
//! | output | [`RequestRecord`], [`EpochRecord`], and `tally`, which adds them up |
//!
//! ```
//! use dftsp::{scenario::Scenario, simulation::{Settings, Silent, Simulation, Source}, solver::{Method, Solver}};
//!
//! let simulation = Simulation::new(&Scenario::paper(), Source::Generated, Settings::default())?;
//! let exact = simulation.run(&Solver::new(Method::Flat), &mut Silent)?;
//! let first = simulation.run(&Solver::new(Method::FirstCome), &mut Silent)?;
//! assert_eq!(exact.counts.arrived, first.counts.arrived);
//! assert!(exact.goodput() > first.goodput());
//! # Ok::<(), dftsp::error::Error>(())
//! ```
//!
//! # Protocol
//!
//! Epoch k begins at k times its length. What arrived before and has not ended is offered to the scheduler; the batch
//! picked goes up in the slot T_U, is computed, and its answers go down in T_D. Prompts go up while the batch before is
//! still computed or answered (the overlap of Fig. 2). An epoch whose prompts would be there before compute and
//! downlink are free again schedules nothing. What is not scheduled waits until no epoch to come could serve it, and
//! then expires; what the node could never have served is infeasible, with the reason.
//!
//! Time is in whole nanoseconds, everything random follows from the scenario's seed, and nodes do not touch each other:
//! the same input gives the same records on any number of threads. Memory grows with the queue and the arrivals of an
//! epoch, not with the run.

pub mod clock;
pub mod engine;
pub mod scheduler;

mod allocator;
mod node;
mod queue;
mod tally;

pub use engine::{CostModel, InferenceEngine};
pub use scheduler::{Named, Pick, Scheduler};
pub use tally::{Bin, Counts, Latency, Part, Regret, Series, Summary};

use std::sync::Arc;

use rayon::prelude::*;

use crate::error::{Error, Place, Result};
use crate::instance::{Host, Instance, Problem, Reason};
use crate::limits::{self, Range};
use crate::rank::RESOURCES;
use crate::scenario::Scenario;
use crate::solver::{Method, Solver};
use crate::workload::arrivals::{Recording, Stream};
use clock::{Slots, ns, seconds};
use node::{Common, Node};
use queue::Rules;
use tally::Tally;

/// Length of a run, seconds.
pub const DURATION: Range = Range { min: 0.0, max: 1e9, min_allowed: false, unit: "seconds" };
/// Nodes of a run.
pub const NODES: Range = Range { min: 1.0, max: 1e5, min_allowed: true, unit: "nodes" };
/// See [`CostModel`].
pub const SLOWDOWN: Range = Range { min: 1e-3, max: 1e3, min_allowed: true, unit: "a factor" };

/// The most epochs that a run may have while requests arrive.
const MAX_EPOCHS: f64 = 1e9;

/// The most requests that may arrive in an epoch, at all nodes together: their records are held until it has begun.
const MAX_ARRIVALS: f64 = 4e6;

/// From when the latency requirement of a request counts, and its wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Waiting {
    /// From its arrival.
    #[default]
    Counted,
    /// From the first epoch that begins after it: t_w = 0 then. The paper leaves waiting times open.
    FromEpoch,
}

/// How long a batch may compute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BatchTime {
    /// Until the tightest deadline in it (1d). The epochs that it outlasts are passed over.
    #[default]
    Deadline,
    /// So that no epoch is passed over, too.
    Epoch,
}

/// How to run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How long requests arrive, seconds. The run goes on until all have ended, or for [`Settings::DRAIN`] epochs.
    pub duration_s: f64,
    /// Nodes side by side, each with arrivals of its own.
    pub nodes: u32,
    /// From when deadlines count.
    pub waiting: Waiting,
    /// How long a batch may compute.
    pub batch_time: BatchTime,
    /// Whether prompts go up while the batch before is computed and answered.
    pub overlap: bool,
    /// A request that finds as many waiting at its node is refused.
    pub queue_limit: usize,
    /// Whether each epoch's batch is compared with the largest that there is.
    pub regret: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            duration_s: 60.0,
            nodes: 1,
            waiting: Waiting::Counted,
            batch_time: BatchTime::Deadline,
            overlap: true,
            queue_limit: 1 << 20,
            regret: true,
        }
    }
}

impl Settings {
    /// After the last arrival a run goes on for at most so many epochs.
    pub const DRAIN: u64 = 1000;
}

/// Where arrivals come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// From the scenario's `arrivals`.
    Generated,
    /// From a trace.
    Recorded(Arc<Recording>),
}

/// How a request ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fate {
    /// Answered within its latency requirement.
    InTime,
    /// Answered after it.
    Late,
    /// Given up: no epoch to come could have served it in time.
    Expired,
    /// The node could never have served it.
    Infeasible(Reason),
    /// Turned away by a full queue.
    Refused,
    /// Still waiting when the run was ended.
    #[default]
    Unfinished,
}

impl Fate {
    /// The word for it in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Fate::InTime => "in-time",
            Fate::Late => "late",
            Fate::Expired => "expired",
            Fate::Infeasible(_) => "infeasible",
            Fate::Refused => "refused",
            Fate::Unfinished => "unfinished",
        }
    }
}

/// A request that has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RequestRecord {
    /// Its node.
    pub node: u32,
    /// The k-th arrival of the node, from 0.
    pub index: u64,
    /// When it arrived, nanoseconds.
    pub arrived_ns: u64,
    /// When its answer had to be complete, nanoseconds.
    pub deadline_ns: u64,
    /// Its model: a place in [`Host::names`].
    pub service: u16,
    /// Its class of service quality.
    pub class: u16,
    /// s_i, tokens.
    pub prompt_tokens: u32,
    /// n_i, tokens.
    pub output_tokens: u32,
    /// How it ended.
    pub fate: Fate,
    /// When: its answer complete, or given up, nanoseconds.
    pub ended_ns: u64,
    /// How it was served, if it was.
    pub served: Option<Served>,
}

/// What a request got.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Served {
    /// When its epoch began, nanoseconds.
    pub scheduled_ns: u64,
    /// h² in that epoch.
    pub channel_power_gain: f64,
    /// Its fraction of the uplink band.
    pub uplink: f64,
    /// Its fraction of the downlink band.
    pub downlink: f64,
}

/// One epoch of one node.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EpochRecord {
    /// Its number, from 1.
    pub epoch: u64,
    /// The node.
    pub node: u32,
    /// When it began, nanoseconds.
    pub begins_ns: u64,
    /// Requests that arrived in the epoch before.
    pub arrived: u64,
    /// Requests waiting when it began.
    pub queued: u64,
    /// Those that a batch could hold.
    pub servable: u64,
    /// Requests turned away by a full queue.
    pub refused: u64,
    /// Requests given up.
    pub expired: u64,
    /// Requests found to be infeasible.
    pub infeasible: u64,
    /// Whether the node was still busy, so that nothing was scheduled.
    pub busy: bool,
    /// Requests scheduled.
    pub scheduled: u64,
    /// Those answered in time.
    pub in_time: u64,
    /// Their output tokens.
    pub output_tokens: u64,
    /// Requests in the largest batch, where it was asked for.
    pub optimum: Option<u64>,
    /// Whether that is proven.
    pub proven: bool,
    /// Whether a limit stopped the scheduler's search.
    pub stopped: bool,
    /// How long the batch computes, nanoseconds.
    pub computation_ns: u64,
    /// What is used of the uplink band and the downlink band in their slots, of the memory while the batch computes
    /// (the one before, if the node is busy), and the computation in lengths of an epoch.
    pub used: [f64; RESOURCES],
    /// How many crowded-out requests each of [`crate::outcome::CONSTRAINTS`] keeps from joining the batch.
    pub blocks: [u64; RESOURCES],
}

/// Who is told what happens, in order: by epoch, then node, then place in the queue.
pub trait Observer {
    /// An epoch of a node.
    ///
    /// # Errors
    /// Any, which ends the run.
    fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        let _ = record;
        Ok(())
    }

    /// A request that has ended.
    ///
    /// # Errors
    /// Any, which ends the run.
    fn request(&mut self, record: &RequestRecord) -> Result<()> {
        let _ = record;
        Ok(())
    }
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}

/// A run made ready, for any number of schedulers.
#[derive(Debug)]
pub struct Simulation {
    host: Host,
    scenario: Scenario,
    source: Source,
    settings: Settings,
    engine: Box<dyn InferenceEngine>,
    slots: Slots,
    /// Cumulative shares of the models.
    shares: Vec<f64>,
    optimum: Solver,
}

impl Simulation {
    /// Prepares a run on the paper's cost model.
    ///
    /// # Errors
    /// A number out of range; weights that do not fit in the memory.
    pub fn new(scenario: &Scenario, source: Source, settings: Settings) -> Result<Simulation> {
        let place = |field: &str| Place::file("simulation").field(field);
        DURATION.check(settings.duration_s, || place("duration_s"))?;
        NODES.check(f64::from(settings.nodes), || place("nodes"))?;
        if settings.queue_limit == 0 || settings.queue_limit > limits::MAX_REQUESTS {
            let remedy = format!("give 1 to {}", limits::MAX_REQUESTS);
            return Err(place("queue_limit").error(format!("a queue of {}", settings.queue_limit), remedy));
        }
        scenario.check()?;
        let e = &scenario.epoch;
        for (name, slot_s) in [("uplink_slot_s", e.uplink_slot_s), ("downlink_slot_s", e.downlink_slot_s)] {
            // A slot of one epoch would reach into that of the next.
            if slot_s > e.duration_s {
                let problem = format!("a slot of {slot_s} s does not fit in an epoch of {} s", e.duration_s);
                let place = Place::file("scenario").field(format!("epoch.{name}"));
                return Err(place.error(problem, "give a slot of at most epoch.duration_s"));
            }
        }
        // Schedulers plan with the nanoseconds that the clock has.
        let slots = Slots::new(&scenario.epoch);
        let mut scenario = scenario.clone();
        scenario.epoch = slots.to_epoch();
        let epochs = settings.duration_s / seconds(slots.epoch);
        if epochs > MAX_EPOCHS {
            let remedy = "give a shorter run or longer epochs";
            return Err(place("duration_s").error(format!("{epochs:.0} epochs are more than {MAX_EPOCHS:e}"), remedy));
        }
        if matches!(source, Source::Generated) {
            let arrivals = scenario.arrivals.peak_rate_per_s() * seconds(slots.epoch) * f64::from(settings.nodes);
            if arrivals > MAX_ARRIVALS {
                let problem = format!("about {arrivals:.0} requests an epoch are more than {MAX_ARRIVALS:e}");
                let place = Place::file("scenario").field("arrivals.rate_per_s");
                return Err(place.error(problem, "give a lower rate, shorter epochs or fewer nodes"));
            }
        }
        let host = Host::new(&scenario)?;
        let own = scenario.own_share();
        let mut sum = 0.0;
        let shares = std::iter::once(own).chain(scenario.services.iter().map(|service| service.share));
        let shares = shares.map(|share| (sum += share, sum).1).collect();
        Ok(Simulation {
            host,
            scenario,
            source,
            settings,
            engine: Box::new(CostModel::default()),
            slots,
            shares,
            optimum: Solver::new(Method::Flat),
        })
    }

    /// Runs batches on another engine.
    #[must_use]
    pub fn on_engine(self, engine: impl InferenceEngine + 'static) -> Self {
        Simulation { engine: Box::new(engine), ..self }
    }

    /// Finds the largest batches for the regret with this solver.
    #[must_use]
    pub fn optimum_by(self, optimum: Solver) -> Self {
        Simulation { optimum, ..self }
    }

    /// The node and its models.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// How many epochs begin while requests arrive.
    pub fn epochs(&self) -> u64 {
        ns(self.settings.duration_s).div_ceil(self.slots.epoch)
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// A scheduler that picks what is no feasible batch ([`Error::Schedule`]), or an observer's error.
    pub fn run(&self, scheduler: &dyn Scheduler, observer: &mut dyn Observer) -> Result<Summary> {
        let settings = &self.settings;
        let until_ns = ns(settings.duration_s);
        let common = Common {
            host: &self.host,
            rules: Rules {
                synthesis: &self.scenario.synthesis,
                shares: &self.shares,
                waiting: settings.waiting,
                limit: settings.queue_limit,
            },
            slots: self.slots,
            overlap: settings.overlap,
            computation_limit_ns: self.computation_limit()?,
            regret: settings.regret,
            engine: self.engine.as_ref(),
            until_ns,
        };
        let mut nodes: Vec<Node> = (0..settings.nodes).map(|id| Node::new(id, self.stream(id))).collect();
        let mut tally = Tally::new(self.empty_summary(scheduler.name()));
        let last = self.epochs();
        for epoch in 1u64.. {
            let now_ns = epoch.saturating_mul(self.slots.epoch);
            match nodes.as_mut_slice() {
                [only] => only.begin(epoch, now_ns, &common)?,
                many => many.par_iter_mut().try_for_each(|node| node.begin(epoch, now_ns, &common))?,
            }
            self.schedule(scheduler, &mut nodes, &common)?;
            for node in &nodes {
                tally.epoch(&node.record);
                observer.epoch(&node.record)?;
                for record in &node.ended {
                    tally.request(record);
                    observer.request(record)?;
                }
            }
            if epoch >= last && (nodes.iter().all(Node::is_idle) || epoch >= last + Settings::DRAIN) {
                for node in &mut nodes {
                    node.give_up(now_ns);
                    for record in &node.ended {
                        tally.request(record);
                        observer.request(record)?;
                    }
                }
                break;
            }
        }
        Ok(tally.finish())
    }

    /// Picks and serves a batch at every node that is not busy.
    fn schedule(&self, scheduler: &dyn Scheduler, nodes: &mut [Node], common: &Common<'_>) -> Result<()> {
        let mut ready: Vec<&mut Node> = nodes.iter_mut().filter(|node| node.problem.is_some()).collect();
        if ready.is_empty() {
            return Ok(());
        }
        let problems: Vec<Problem> = ready.iter_mut().filter_map(|node| node.problem.take()).collect();
        let (instances, units): (Vec<Instance>, Vec<_>) = problems.into_iter().map(|p| (p.instance, p.units)).unzip();
        let picks = scheduler.schedule(&instances);
        if picks.len() != instances.len() {
            let problem = format!("{}: {} batches for {} nodes", scheduler.name(), picks.len(), instances.len());
            return Err(Error::Schedule(problem));
        }
        for (node, pick) in ready.iter_mut().zip(&picks) {
            node.record.stopped = pick.stopped;
        }
        if self.settings.regret {
            self.compare(&mut ready, &instances, &picks);
        }
        let one = |(((node, instance), units), pick): (((&mut Node, Instance), _), Pick)| {
            let problem = Problem { instance, rejections: Vec::new(), units };
            node.serve(&problem, &pick.rows, common).map_err(|e| self.name_fault(e, scheduler, &node.record))
        };
        ready.into_par_iter().zip(instances).zip(units).zip(picks).try_for_each(one)
    }

    /// Notes the largest batch of each node, which is found where the scheduler does not know.
    fn compare(&self, ready: &mut [&mut Node], instances: &[Instance], picks: &[Pick]) {
        let unknown: Vec<usize> = (0..picks.len()).filter(|&at| !picks[at].optimal).collect();
        let open: Vec<Instance> = unknown.iter().map(|&at| instances[at].clone()).collect();
        let found = self.optimum.schedule(&open);
        for (node, pick) in ready.iter_mut().zip(picks) {
            (node.record.optimum, node.record.proven) = (Some(pick.rows.len() as u64), true);
        }
        for (&at, best) in unknown.iter().zip(found) {
            let size = best.rows.len().max(picks[at].rows.len()) as u64;
            (ready[at].record.optimum, ready[at].record.proven) = (Some(size), best.optimal);
        }
    }

    fn name_fault(&self, error: Error, scheduler: &dyn Scheduler, record: &EpochRecord) -> Error {
        match error {
            Error::Schedule(what) => {
                let name = scheduler.name();
                Error::Schedule(format!("{name}, epoch {}, node {}: {what}", record.epoch, record.node))
            }
            other => other,
        }
    }

    fn stream(&self, node: u32) -> Stream {
        let seed = self.scenario.synthesis.seed;
        match &self.source {
            Source::Generated => Stream::generated(&self.scenario.arrivals, seed, node),
            Source::Recorded(recording) => Stream::recorded(recording.clone(), seed, node, self.settings.nodes),
        }
    }

    fn computation_limit(&self) -> Result<Option<u64>> {
        if self.settings.batch_time == BatchTime::Deadline {
            return Ok(None);
        }
        let Slots { epoch, uplink, downlink } = self.slots;
        let slots = if self.settings.overlap { downlink } else { uplink + downlink };
        match epoch.checked_sub(slots).filter(|&left| left > 0) {
            Some(left) => Ok(Some(left)),
            None => {
                let problem =
                    format!("slots of {} s leave no time in an epoch of {} s", seconds(slots), seconds(epoch));
                Err(Place::file("scenario").field("epoch.duration_s").error(problem, "give a longer epoch"))
            }
        }
    }

    fn empty_summary(&self, scheduler: &str) -> Summary {
        let synthesis = &self.scenario.synthesis;
        let part = |name: &str| Part { name: name.to_string(), counts: Counts::default() };
        Summary {
            scheduler: scheduler.to_string(),
            nodes: self.settings.nodes,
            duration_s: self.settings.duration_s,
            epoch_s: seconds(self.slots.epoch),
            classes: (0..synthesis.classes()).map(|class| part(synthesis.class_name(class))).collect(),
            models: self.host.names().iter().map(|name| part(name)).collect(),
            regret: self.settings.regret.then(Regret::default),
            ..Summary::default()
        }
    }
}
