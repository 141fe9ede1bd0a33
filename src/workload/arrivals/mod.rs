//! Arrivals over time: random processes, and recordings of traces.
//!
//! In: [`Arrivals`] (a process, its mean rate, distributions of lengths) or a [`Recording`], a seed and the number of a
//! node. Out: a [`Stream`] of [`Arrival`]s in order of time, in whole nanoseconds. The same input gives the same bits
//! on any machine.
//!
//! Arrival k of node n depends on the seed, n and k: its attributes are row n·2⁴⁰ + k of the seed, whatever the
//! process, and times have rows of their own. Every process is stationary: a node has been running for long when time
//! begins, so that a stretch of t seconds has t times the mean rate on average, from the first second on. (The time to
//! the first arrival is that to the next one from a moment at random, not that between two arrivals.)

mod gaps;
mod recording;

use std::sync::Arc;

use super::OutputLevels;
use super::synthesis::{Draws, RowRng};
use crate::error::{Place, Result};
use crate::limits::{self, Range};
use gaps::Gaps;

pub use recording::Recording;

const NS: f64 = 1e9;
/// Rows of one node: 2⁴⁰ arrivals are 24 hours at 12 million a second.
const ROWS_BITS: u32 = 40;
/// The first row of the times: beyond the attributes of all nodes below [`MAX_NODES`].
const TIMES: u64 = 1 << 63;
/// Nodes whose random numbers are their own.
pub const MAX_NODES: u32 = 1 << 23;

/// Random arrivals at one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrivals {
    /// How they follow each other.
    pub process: Process,
    /// Mean number of arrivals a second, whatever the process.
    pub rate_per_s: f64,
    /// Prompt lengths s_i.
    pub prompt_tokens: TokenLengths,
    /// Output lengths n_i.
    pub output_tokens: TokenLengths,
}

/// How arrivals follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Process {
    /// Memoryless: the paper's.
    Poisson,
    /// Independent gamma-distributed times between arrivals.
    Gamma {
        /// Their coefficient of variation: 1 is Poisson, more is burstier.
        cv: f64,
    },
    /// Independent Weibull-distributed times between arrivals.
    Weibull {
        /// Their coefficient of variation: 1 is Poisson, more is burstier.
        cv: f64,
    },
    /// Poisson arrivals while on, none while off; both for exponentially distributed times.
    OnOff {
        /// Mean time on, seconds.
        on_s: f64,
        /// Mean time off, seconds.
        off_s: f64,
    },
}

/// Lengths of prompts or outputs, tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenLengths {
    /// One of these, all equally likely.
    Levels(OutputLevels),
    /// Any length from the first to the second, all equally likely.
    Uniform(u32, u32),
}

impl Default for Arrivals {
    /// The paper's section IV: Poisson, 50 a second, prompts and outputs of 128, 256 or 512 tokens.
    fn default() -> Self {
        let levels = TokenLengths::Levels(OutputLevels::paper());
        Arrivals { process: Process::Poisson, rate_per_s: 50.0, prompt_tokens: levels.clone(), output_tokens: levels }
    }
}

impl Process {
    /// The parameters, with the names that they have in a scenario.
    pub(crate) fn parameters(self) -> Vec<(&'static str, f64, &'static Range)> {
        match self {
            Process::Poisson => Vec::new(),
            Process::Gamma { cv } | Process::Weibull { cv } => vec![("cv", cv, &limits::VARIATION)],
            Process::OnOff { on_s, off_s } => {
                vec![("on_s", on_s, &limits::SOJOURN), ("off_s", off_s, &limits::SOJOURN)]
            }
        }
    }
}

impl Arrivals {
    /// Arrivals a second while there are any.
    pub fn peak_rate_per_s(&self) -> f64 {
        match self.process {
            Process::OnOff { on_s, off_s } => self.rate_per_s * (on_s + off_s) / on_s,
            Process::Poisson | Process::Gamma { .. } | Process::Weibull { .. } => self.rate_per_s,
        }
    }

    /// Checks every number against [`limits`].
    ///
    /// # Errors
    /// The first number out of range.
    pub fn check(&self) -> Result<()> {
        let place = |field: &str| Place::file("scenario").field(format!("arrivals.{field}"));
        limits::RATE.check(self.rate_per_s, || place("rate_per_s"))?;
        for (key, value, range) in self.process.parameters() {
            range.check(value, || place(key))?;
        }
        for (key, lengths) in [("prompt_range", &self.prompt_tokens), ("output_range", &self.output_tokens)] {
            // Levels are checked when they are made.
            if let &TokenLengths::Uniform(low, high) = lengths {
                for tokens in [low, high] {
                    limits::TOKENS.check(f64::from(tokens), || place(key))?;
                }
                if low > high {
                    let remedy = format!("give [lowest, highest]; {}", limits::TOKENS.remedy());
                    return Err(place(key).error(format!("{low} is above {high}"), remedy));
                }
            }
        }
        Ok(())
    }
}

impl TokenLengths {
    fn draw(&self, draws: &Draws, word: usize) -> u32 {
        match self {
            TokenLengths::Levels(levels) => {
                let levels = levels.as_slice();
                levels[draws.below(word, levels.len() as u64) as usize]
            }
            &TokenLengths::Uniform(low, high) => {
                low + draws.below(word, u64::from(high.saturating_sub(low)) + 1) as u32
            }
        }
    }
}

/// One arrival.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// Which of its node, from 0.
    pub index: u64,
    /// When, nanoseconds after time begins.
    pub at_ns: u64,
    /// Prompt length s_i, tokens.
    pub prompt_tokens: u32,
    /// Output length n_i, tokens.
    pub output_tokens: u32,
    /// The random words of everything else. Words 3 and 4 are the lengths of a generated arrival.
    pub draws: Draws,
}

/// The arrivals of one node, in order of time.
#[derive(Debug, Clone)]
pub struct Stream {
    index: u64,
    attributes: RowRng,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Generated {
        gaps: Gaps,
        mean_gap_ns: f64,
        /// The time so far is this many nanoseconds and a part of one, so that no error adds up.
        at_ns: u64,
        part_ns: f64,
        times: Box<RowRng>,
        prompt_tokens: TokenLengths,
        output_tokens: TokenLengths,
    },
    Recorded {
        recording: Arc<Recording>,
        /// Where the node starts, in the units of the phases, and the first row from there on.
        from: u64,
        first_row: usize,
    },
}

impl Stream {
    /// The random arrivals of a node, without end (but for that of 64-bit nanoseconds, after 584 years). `arrivals`
    /// should pass [`Arrivals::check`], `node` be below [`MAX_NODES`].
    pub fn generated(arrivals: &Arrivals, seed: u64, node: u32) -> Stream {
        Stream::new(
            seed,
            node,
            Source::Generated {
                gaps: Gaps::new(arrivals.process, arrivals.rate_per_s),
                mean_gap_ns: NS / arrivals.rate_per_s,
                at_ns: 0,
                part_ns: 0.0,
                times: Box::new(RowRng::new(seed, TIMES + first_row_of(node))),
                prompt_tokens: arrivals.prompt_tokens.clone(),
                output_tokens: arrivals.output_tokens.clone(),
            },
        )
    }

    /// One length of a recording, as it arrives at node `node` of `nodes`: that node starts `node`/`nodes` of the
    /// repeated part (1/m of the length, with m merged cells) further along, and goes on at the beginning. The seed
    /// gives everything but times and lengths.
    pub fn recorded(recording: Arc<Recording>, seed: u64, node: u32, nodes: u32) -> Stream {
        let nodes = u128::from(nodes.max(1));
        // Phases go up to the length, so the part of them is the part of the length.
        let from = (u128::from(recording.duration_ns) * (u128::from(node) % nodes) / nodes) as u64;
        let first_row = recording.rows.partition_point(|row| row.phase < from);
        Stream::new(seed, node, Source::Recorded { recording, from, first_row })
    }

    fn new(seed: u64, node: u32, source: Source) -> Stream {
        Stream { index: 0, attributes: RowRng::new(seed, first_row_of(node)), source }
    }
}

fn first_row_of(node: u32) -> u64 {
    u64::from(node % MAX_NODES) << ROWS_BITS
}

impl Iterator for Stream {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let index = self.index;
        let arrival = match &mut self.source {
            Source::Generated { gaps, mean_gap_ns, at_ns, part_ns, times, prompt_tokens, output_tokens } => {
                let gap = if index == 0 { gaps.first(times) } else { gaps.next(times) };
                let step = gap * *mean_gap_ns + *part_ns;
                let whole = step.floor();
                // A NaN comes only of parameters out of range.
                if whole.is_nan() || whole >= u64::MAX as f64 {
                    return None;
                }
                (*at_ns, *part_ns) = (at_ns.checked_add(whole as u64)?, step - whole);
                let draws = self.attributes.next_row();
                Arrival {
                    index,
                    at_ns: *at_ns,
                    prompt_tokens: prompt_tokens.draw(&draws, 3),
                    output_tokens: output_tokens.draw(&draws, 4),
                    draws,
                }
            }
            Source::Recorded { recording, from, first_row } => {
                let rows = recording.rows.len();
                // Not `len`, which a small machine may not be able to count to.
                let cells = u64::from(recording.merged_cells);
                if index >= rows as u64 * cells {
                    return None;
                }
                let place = *first_row as u64 + index;
                let (lap, row) = (place / rows as u64, recording.rows[(place % rows as u64) as usize]);
                let phase = u128::from(lap) * u128::from(recording.duration_ns) + u128::from(row.phase);
                Arrival {
                    index,
                    // At most one length after the start, and the start is not before `from`.
                    at_ns: ((phase - u128::from(*from)) / u128::from(cells)) as u64,
                    prompt_tokens: row.prompt_tokens,
                    output_tokens: row.output_tokens,
                    draws: self.attributes.next_row(),
                }
            }
        };
        self.index += 1;
        Some(arrival)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESSES: [Process; 8] = [
        Process::Poisson,
        Process::Gamma { cv: 0.3 },
        Process::Gamma { cv: 1.0 },
        Process::Gamma { cv: 2.5 },
        Process::Weibull { cv: 0.3 },
        Process::Weibull { cv: 1.0 },
        Process::Weibull { cv: 2.5 },
        Process::OnOff { on_s: 0.2, off_s: 0.6 },
    ];

    fn arrivals(process: Process, rate_per_s: f64) -> Arrivals {
        Arrivals { process, rate_per_s, ..Arrivals::default() }
    }

    /// Mean and coefficient of variation of the gaps of 10⁵ arrivals, seconds.
    fn gaps(process: Process, rate_per_s: f64) -> (f64, f64) {
        let times: Vec<u64> =
            Stream::generated(&arrivals(process, rate_per_s), 3, 0).take(100_001).map(|a| a.at_ns).collect();
        let gaps: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]) as f64 / NS).collect();
        let mean = gaps.iter().sum::<f64>() / 1e5;
        let variance = gaps.iter().map(|g| (g - mean) * (g - mean)).sum::<f64>() / 1e5;
        (mean, variance.sqrt() / mean)
    }

    #[test]
    fn gaps_have_the_mean_and_the_variation_asked_for() {
        for process in PROCESSES {
            let expected = match process {
                Process::Poisson => 1.0,
                Process::Gamma { cv } | Process::Weibull { cv } => cv,
                // Of an interrupted Poisson process: cv² = 1 + 2 λγ/(γ + ω)².
                Process::OnOff { on_s, off_s } => {
                    let (lambda, gamma, omega) = (50.0 * (on_s + off_s) / on_s, 1.0 / on_s, 1.0 / off_s);
                    let sum: f64 = gamma + omega;
                    (1.0 + 2.0 * lambda * gamma / (sum * sum)).sqrt()
                }
            };
            let (mean, cv) = gaps(process, 50.0);
            let tolerance = 0.01 * expected.max(1.0);
            assert!((mean * 50.0 - 1.0).abs() < tolerance, "{process:?}: {mean}");
            assert!((cv / expected - 1.0).abs() < 0.03, "{process:?}: {cv}, {expected}");
        }
    }

    #[test]
    fn every_process_is_stationary_from_the_first_second_on() {
        for process in [PROCESSES[0], PROCESSES[1], PROCESSES[3], PROCESSES[6], PROCESSES[7]] {
            let a = arrivals(process, 2.0);
            let count = |seed| Stream::generated(&a, seed, 0).take_while(|a| a.at_ns < 1_000_000_000).count();
            let mean = (0..20_000).map(count).sum::<usize>() as f64 / 20_000.0;
            assert!((mean - 2.0).abs() < 0.12, "{process:?}: {mean}");
        }
    }

    #[test]
    fn the_mean_rate_of_on_off_counts_the_time_off() {
        let a = arrivals(Process::OnOff { on_s: 1.0, off_s: 9.0 }, 20.0);
        let count = Stream::generated(&a, 1, 0).take_while(|a| a.at_ns < 20_000_000_000_000).count();
        assert!((count as f64 / 400_000.0 - 1.0).abs() < 0.1, "{count}");
    }

    #[test]
    fn parameters_at_the_edges_give_times_that_advance() {
        let (low, high) = (limits::VARIATION.min, limits::VARIATION.max);
        let (short, long) = (limits::SOJOURN.min, limits::SOJOURN.max);
        let mut processes = vec![Process::Poisson];
        processes.extend([low, high].map(|cv| Process::Gamma { cv }));
        processes.extend([low, high].map(|cv| Process::Weibull { cv }));
        for (on_s, off_s) in [(short, short), (short, long), (long, short), (long, long)] {
            processes.push(Process::OnOff { on_s, off_s });
        }
        for process in processes {
            for rate in [limits::RATE.min, 1.0, limits::RATE.max] {
                let a = arrivals(process, rate);
                a.check().unwrap();
                let mut last = 0;
                for arrival in Stream::generated(&a, 1, MAX_NODES - 1).take(10_000) {
                    assert!(arrival.at_ns >= last, "{process:?}");
                    last = arrival.at_ns;
                }
                assert!(last > 0, "{process:?} at {rate}");
            }
        }
    }

    #[test]
    fn a_stream_depends_on_seed_and_node_only_and_is_pinned() {
        let a = arrivals(Process::Gamma { cv: 2.0 }, 50.0);
        let first = |seed, node| Stream::generated(&a, seed, node).take(100).collect::<Vec<_>>();
        assert_eq!(first(1, 0), first(1, 0));
        assert_ne!(first(1, 0), first(1, 1));
        assert_ne!(first(1, 0), first(2, 0));
        // Attributes do not depend on the process.
        let poisson: Vec<Arrival> = Stream::generated(&Arrivals::default(), 1, 0).take(100).collect();
        assert!(poisson.iter().zip(first(1, 0)).all(|(p, g)| p.draws == g.draws));
        let mut rows = RowRng::new(1, 5 << 40);
        assert!(first(1, 5).iter().all(|arrival| arrival.draws == rows.next_row()));
        let pinned = |process| {
            let stream = Stream::generated(&arrivals(process, 50.0), 1, 0);
            stream.take(3).map(|a| (a.at_ns, a.prompt_tokens, a.output_tokens)).collect::<Vec<_>>()
        };
        assert_eq!(pinned(Process::Poisson), PINNED[0]);
        assert_eq!(pinned(Process::Gamma { cv: 2.0 }), PINNED[1]);
        assert_eq!(pinned(Process::Weibull { cv: 2.0 }), PINNED[2]);
        assert_eq!(pinned(Process::OnOff { on_s: 0.2, off_s: 0.6 }), PINNED[3]);
    }

    const PINNED: [[(u64, u32, u32); 3]; 4] = [
        [(10760024, 128, 128), (14539775, 256, 128), (39048829, 128, 256)],
        [(25510703, 128, 128), (30701240, 256, 128), (42460401, 128, 256)],
        [(21416191, 128, 128), (21607137, 256, 128), (47890588, 128, 256)],
        [(116250564, 128, 128), (120306377, 256, 128), (127942542, 128, 256)],
    ];

    #[test]
    fn uniform_lengths_reach_both_ends() {
        let a = Arrivals { prompt_tokens: TokenLengths::Uniform(3, 5), ..Arrivals::default() };
        let lengths: Vec<u32> = Stream::generated(&a, 1, 0).take(200).map(|a| a.prompt_tokens).collect();
        assert!((3..=5).all(|n| lengths.contains(&n)) && lengths.iter().all(|n| (3..=5).contains(n)));
        let all = Arrivals { prompt_tokens: TokenLengths::Uniform(1, 10_000_000), ..Arrivals::default() };
        all.check().unwrap();
        for (low, high) in [(0, 5), (5, 4), (1, 10_000_001)] {
            let bad = Arrivals { output_tokens: TokenLengths::Uniform(low, high), ..Arrivals::default() };
            assert!(bad.check().unwrap_err().to_string().starts_with("scenario, arrivals.output_range: "));
        }
        for bad in [Process::Gamma { cv: 0.0 }, Process::OnOff { on_s: 1.0, off_s: 0.0 }] {
            assert!(arrivals(bad, 1.0).check().is_err());
        }
        assert!(arrivals(Process::Poisson, f64::NAN).check().is_err());
    }

    #[test]
    fn a_day_at_a_high_rate_keeps_its_pace() {
        let a = arrivals(Process::Poisson, 1e7);
        let last = Stream::generated(&a, 1, 0).take(1_000_000).last().unwrap();
        assert!((last.at_ns as f64 / 1e8 - 1.0).abs() < 0.005, "{}", last.at_ns);
        let fastest = arrivals(Process::Gamma { cv: 0.1 }, 1e9);
        let last = Stream::generated(&fastest, 1, 0).take(1_000_000).last().unwrap();
        assert!((last.at_ns as f64 / 1e6 - 1.0).abs() < 0.005, "the parts of a nanosecond count: {}", last.at_ns);
    }
}
