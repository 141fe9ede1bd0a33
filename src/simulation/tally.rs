//! What a run adds up to: counts, latencies, regret and use of resources, in memory that does not grow with the run.

use hdrhistogram::Histogram;

use super::clock::seconds;
use super::{EpochRecord, Fate, RequestRecord};
use crate::instance::Reason;
use crate::rank::RESOURCES;

/// How many requests ended in which way. Every request ends in exactly one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Counts {
    /// All that arrived.
    pub arrived: u64,
    /// Answered within the latency requirement.
    pub in_time: u64,
    /// Answered after it.
    pub late: u64,
    /// Given up when no epoch to come could have served them in time.
    pub expired: u64,
    /// Never servable by this node, by [`Reason::ALL`] (the first that holds).
    pub infeasible: [u64; Reason::ALL.len()],
    /// Turned away by a full queue.
    pub refused: u64,
    /// Still waiting when the run was ended.
    pub unfinished: u64,
}

impl Counts {
    fn add(&mut self, fate: Fate) {
        match fate {
            Fate::InTime => self.in_time += 1,
            Fate::Late => self.late += 1,
            Fate::Expired => self.expired += 1,
            Fate::Infeasible(reason) => self.infeasible[reason as usize] += 1,
            Fate::Refused => self.refused += 1,
            Fate::Unfinished => self.unfinished += 1,
        }
    }

    /// Never servable, for whatever reason.
    pub fn all_infeasible(&self) -> u64 {
        self.infeasible.iter().sum()
    }

    /// All that ended.
    pub fn ended(&self) -> u64 {
        self.in_time + self.late + self.expired + self.all_infeasible() + self.refused + self.unfinished
    }

    /// The part of what arrived that was answered in time; 0 if nothing arrived.
    pub fn attainment(&self) -> f64 {
        if self.arrived == 0 { 0.0 } else { self.in_time as f64 / self.arrived as f64 }
    }
}

/// What one of several classes or models adds up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its counts.
    pub counts: Counts,
}

/// From a request's arrival to its complete answer, seconds; of requests that were answered. Percentiles are up to 0.1
/// % too large.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Latency {
    /// Mean.
    pub mean_s: f64,
    /// Median.
    pub p50_s: f64,
    /// 95th percentile.
    pub p95_s: f64,
    /// 99th percentile.
    pub p99_s: f64,
    /// Largest.
    pub max_s: f64,
}

/// How far batches fell short of the largest ones that the same queues allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Regret {
    /// Epochs (of a node) that found the node free, also those without any request.
    pub epochs: u64,
    /// Those in which a larger batch was there.
    pub short: u64,
    /// Requests in batches.
    pub scheduled: u64,
    /// Requests in the largest batches of the same epochs.
    pub optimum: u64,
    /// The largest shortfall of one epoch.
    pub worst: u64,
    /// Epochs whose largest batch is not proven to be it.
    pub unproven: u64,
}

/// Sums over some epochs of all nodes, one after another.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Bin {
    /// Epochs (of a node).
    pub epochs: u64,
    /// Those in which a batch was chosen.
    pub batches: u64,
    /// Those that found the node busy.
    pub busy: u64,
    /// Requests that arrived.
    pub arrived: u64,
    /// Requests waiting when the epochs began.
    pub queued: u64,
    /// Requests scheduled that were answered in time.
    pub in_time: u64,
    /// Requests scheduled that were answered late.
    pub late: u64,
    /// Requests expired.
    pub expired: u64,
    /// Requests by which batches fell short of the largest ones; see [`Regret`].
    pub missed: u64,
    /// Epochs in which a limit stopped the scheduler's search.
    pub stopped: u64,
    /// Output tokens answered in time.
    pub output_tokens: u64,
    /// What of uplink, downlink, memory and compute was used; see [`EpochRecord::used`].
    pub used: [f64; RESOURCES],
    /// Epochs in which that constraint kept out somebody ([`crate::outcome::CONSTRAINTS`]).
    pub blocking: [u64; RESOURCES],
    /// Epochs in which that constraint kept out the most requests ([`crate::outcome::CONSTRAINTS`]; first of equals).
    pub binding: [u64; RESOURCES],
}

impl Bin {
    fn of(epoch: &EpochRecord) -> Bin {
        let most = epoch.blocks.iter().max().copied().unwrap_or(0);
        let which = epoch.blocks.iter().position(|&n| n == most && n > 0);
        Bin {
            epochs: 1,
            batches: u64::from(epoch.scheduled > 0),
            busy: u64::from(epoch.busy),
            arrived: epoch.arrived,
            queued: epoch.queued,
            in_time: epoch.in_time,
            late: epoch.scheduled - epoch.in_time,
            expired: epoch.expired,
            missed: epoch.optimum.map_or(0, |optimum| optimum.saturating_sub(epoch.scheduled)),
            stopped: u64::from(epoch.stopped),
            output_tokens: epoch.output_tokens,
            used: epoch.used,
            blocking: epoch.blocks.map(|n| u64::from(n > 0)),
            binding: std::array::from_fn(|r| u64::from(which == Some(r))),
        }
    }

    /// Sums both.
    pub fn add(&mut self, other: &Bin) {
        self.epochs += other.epochs;
        self.batches += other.batches;
        self.busy += other.busy;
        self.arrived += other.arrived;
        self.queued += other.queued;
        self.in_time += other.in_time;
        self.late += other.late;
        self.expired += other.expired;
        self.missed += other.missed;
        self.stopped += other.stopped;
        self.output_tokens += other.output_tokens;
        for r in 0..RESOURCES {
            self.used[r] += other.used[r];
            self.blocking[r] += other.blocking[r];
            self.binding[r] += other.binding[r];
        }
    }
}

/// A run over time, in at most [`Series::BINS`] bins: when they are full, neighbours become one.
#[derive(Debug, Clone, Default, PartialEq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Series {
    /// Epochs of a bin.
    pub epochs_per_bin: u64,
    /// From the first epoch on.
    pub bins: Vec<Bin>,
}

impl Series {
    /// The most bins.
    pub const BINS: usize = 512;

    fn add(&mut self, epoch: u64, bin: &Bin) {
        self.epochs_per_bin = self.epochs_per_bin.max(1);
        while (epoch / self.epochs_per_bin) as usize >= Series::BINS {
            self.epochs_per_bin *= 2;
            let halved = self.bins.chunks(2).map(|pair| {
                let mut sum = pair[0];
                pair.iter().skip(1).for_each(|bin| sum.add(bin));
                sum
            });
            self.bins = halved.collect();
        }
        let at = (epoch / self.epochs_per_bin) as usize;
        if self.bins.len() <= at {
            self.bins.resize(at + 1, Bin::default());
        }
        self.bins[at].add(bin);
    }
}

/// What a run of one scheduler adds up to.
#[derive(Debug, Clone, Default, PartialEq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Summary {
    /// The scheduler.
    pub scheduler: String,
    /// How many nodes ran side by side.
    pub nodes: u32,
    /// How long requests arrived, seconds.
    pub duration_s: f64,
    /// Length of an epoch, seconds.
    pub epoch_s: f64,
    /// All requests.
    pub counts: Counts,
    /// By class of service quality.
    pub classes: Vec<Part>,
    /// By model.
    pub models: Vec<Part>,
    /// All epochs.
    pub total: Bin,
    /// The largest batch.
    pub largest_batch: u64,
    /// The longest queue of a node at the beginning of an epoch.
    pub longest_queue: u64,
    /// The most that was ever used at once of uplink, downlink, memory and compute.
    pub peak_used: [f64; RESOURCES],
    /// Latencies.
    pub latency: Latency,
    /// (latency in seconds, part of the answers that took no longer), ascending.
    pub latency_distribution: Vec<(f64, f64)>,
    /// Against the optimum of each epoch, where it was asked for.
    pub regret: Option<Regret>,
    /// Over time.
    pub series: Series,
}

impl Summary {
    /// Requests answered a second, in time or not.
    pub fn throughput(&self) -> f64 {
        (self.counts.in_time + self.counts.late) as f64 / self.duration_s
    }

    /// Requests answered in time a second.
    pub fn goodput(&self) -> f64 {
        self.counts.in_time as f64 / self.duration_s
    }

    /// Output tokens answered in time a second.
    pub fn token_goodput(&self) -> f64 {
        self.total.output_tokens as f64 / self.duration_s
    }

    /// The mean of what was used of uplink, downlink, memory and compute, over all epochs of all nodes.
    pub fn mean_used(&self) -> [f64; RESOURCES] {
        self.total.used.map(|sum| sum / self.total.epochs.max(1) as f64)
    }
}

/// A summary in the making.
#[derive(Debug)]
pub(super) struct Tally {
    summary: Summary,
    latency_us: Histogram<u64>,
    latency_sum_ns: u128,
    longest_ns: u64,
}

impl Tally {
    /// Three digits of precision, up to the largest deadline.
    pub fn new(summary: Summary) -> Tally {
        let latency_us = Histogram::new(3).unwrap_or_else(|_| unreachable!("3 digits are within its limits"));
        Tally { summary, latency_us, latency_sum_ns: 0, longest_ns: 0 }
    }

    pub fn request(&mut self, record: &RequestRecord) {
        let s = &mut self.summary;
        for counts in [
            &mut s.counts,
            &mut s.classes[usize::from(record.class)].counts,
            &mut s.models[usize::from(record.service)].counts,
        ] {
            counts.arrived += 1;
            counts.add(record.fate);
        }
        if matches!(record.fate, Fate::InTime | Fate::Late) {
            let latency_ns = record.ended_ns - record.arrived_ns;
            self.latency_sum_ns += u128::from(latency_ns);
            self.longest_ns = self.longest_ns.max(latency_ns);
            // The histogram grows as far as it must; only where it cannot, the value is cut.
            let latency_us = latency_ns.div_ceil(1000);
            if self.latency_us.record(latency_us).is_err() {
                self.latency_us.saturating_record(latency_us);
            }
        }
    }

    pub fn epoch(&mut self, record: &EpochRecord) {
        let s = &mut self.summary;
        let bin = Bin::of(record);
        s.total.add(&bin);
        s.series.add(record.epoch, &bin);
        s.largest_batch = s.largest_batch.max(record.scheduled);
        s.longest_queue = s.longest_queue.max(record.queued);
        for r in 0..RESOURCES {
            s.peak_used[r] = s.peak_used[r].max(record.used[r]);
        }
        if let (Some(regret), Some(optimum)) = (&mut s.regret, record.optimum) {
            let short = optimum.saturating_sub(record.scheduled);
            regret.epochs += 1;
            regret.short += u64::from(short > 0);
            regret.scheduled += record.scheduled;
            regret.optimum += optimum;
            regret.worst = regret.worst.max(short);
            regret.unproven += u64::from(!record.proven);
        }
    }

    pub fn finish(self) -> Summary {
        let Tally { mut summary, latency_us, latency_sum_ns, longest_ns } = self;
        let answers = latency_us.len();
        if answers > 0 {
            // The upper end of a bucket, which may lie above all that is in it.
            let at = |q: f64| seconds(latency_us.value_at_quantile(q).saturating_mul(1000).min(longest_ns));
            summary.latency = Latency {
                mean_s: latency_sum_ns as f64 / answers as f64 / super::clock::NS_PER_S,
                p50_s: at(0.5),
                p95_s: at(0.95),
                p99_s: at(0.99),
                max_s: seconds(longest_ns),
            };
            let quantiles = (1..=200).map(|k| f64::from(k) / 200.0);
            summary.latency_distribution = quantiles.map(|q| (at(q), q)).collect();
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_keeps_its_sums_however_long_it_gets() {
        let mut series = Series::default();
        for epoch in 1..=100_000u64 {
            series.add(epoch, &Bin { epochs: 1, arrived: epoch, ..Bin::default() });
            assert!(series.bins.len() <= Series::BINS);
        }
        assert_eq!(series.epochs_per_bin, 256);
        let sum = |of: fn(&Bin) -> u64| series.bins.iter().map(of).sum::<u64>();
        assert_eq!((sum(|b| b.epochs), sum(|b| b.arrived)), (100_000, 100_000 * 100_001 / 2));
        let bin = &series.bins[7];
        assert_eq!((bin.epochs, bin.arrived), (256, (7 * 256..8 * 256).sum::<u64>()));
    }

    #[test]
    fn percentiles_are_those_of_the_answers() {
        let part = Part { name: "all".to_string(), counts: Counts::default() };
        let summary = Summary { classes: vec![part.clone()], models: vec![part], ..Summary::default() };
        let mut tally = Tally::new(summary);
        for second in 1..=1000u64 {
            let (arrived_ns, ended_ns) = (5, 5 + second * 1_000_000_000);
            let fate = if second <= 900 { Fate::InTime } else { Fate::Late };
            tally.request(&RequestRecord { arrived_ns, ended_ns, fate, ..RequestRecord::default() });
        }
        tally.request(&RequestRecord { fate: Fate::Infeasible(Reason::Memory), ..RequestRecord::default() });
        let summary = tally.finish();
        let counts = summary.counts;
        assert_eq!((counts.arrived, counts.ended(), counts.in_time, counts.late), (1001, 1001, 900, 100));
        assert_eq!(counts.infeasible[Reason::Memory as usize], 1);
        let close = |is: f64, should: f64| assert!((is / should - 1.0).abs() < 2e-3, "{is} for {should}");
        close(summary.latency.mean_s, 500.5);
        close(summary.latency.p50_s, 500.0);
        close(summary.latency.p99_s, 990.0);
        assert_eq!(summary.latency.max_s, 1000.0);
        assert!(summary.latency_distribution.is_sorted());
    }
}
