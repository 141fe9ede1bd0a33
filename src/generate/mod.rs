//! Request sets made from a seed: the paper's workload, and a family in which all four constraints bind.
//!
//! In: a [`Spec`]. Out: a [`Generator`] with a matching [`Scenario`] and the requests one after another, so that ten
//! million cost no more memory than one. Request k depends on the spec and on (seed, k) only: the same spec gives the
//! same bytes on any machine.

mod binding;

use crate::error::{Place, Result};
use crate::limits::{self, Range};
use crate::scenario::{Padding, Scenario};
use crate::workload::synthesis::{ChannelModel, Draws, RowRng, Synthesis, micro};
use crate::workload::{OutputLevels, Request, Requests};

/// Which workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Section IV of the paper: prompts and outputs of 128, 256 or 512 tokens, deadlines uniform in 0.5–2 s, accuracy
    /// needs uniform in 0–1, gains around 10⁻³, and the paper's node. **Only the deadline binds** there: band and
    /// memory are used to under 1 %.
    Paper,
    /// The same requests, with node and radio scaled so that uplink, downlink, memory and deadline all bind.
    Binding,
}

/// Lengths of prompts and outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lengths {
    /// Prompts of 128, 256 or 512 tokens, outputs of one of these levels, all equally likely.
    Levels(OutputLevels),
    /// Prompts and outputs uniform in 1–512 tokens: (nearly) every length its own.
    Continuous,
}

/// What to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Which workload.
    pub family: Family,
    /// The number of requests, I.
    pub requests: u64,
    /// Seed.
    pub seed: u64,
    /// One gain for all, or fading per user.
    pub channel: ChannelModel,
    /// Lengths.
    pub lengths: Lengths,
    /// Padding of the scenario.
    pub padding: Padding,
    /// Binding family: which fraction of the requests that could meet the batch's deadline fit in the batch, 0–1.
    pub tightness: f64,
    /// Waiting times are uniform between 0 and this, seconds (the paper leaves them open).
    pub max_wait_s: f64,
}

/// The longest prompt and output of both families: the paper's.
const LONGEST: u32 = 512;
const PROMPT_LEVELS: [u32; 3] = [128, 256, 512];
const DEADLINE_S: (f64, f64) = (0.5, 2.0);
/// Uplink power of section IV, dBm.
const UPLINK_POWER_DBM: f64 = 20.0;
/// Mean channel power gain of section IV.
const PAPER_GAIN: f64 = 1e-3;
const TIGHTNESS: Range = Range { min: 0.0, max: 1.0, min_allowed: false, unit: "a fraction" };

impl Spec {
    /// The documented defaults of a family: 100 requests, seed 1, the paper's levels and padding; a shared channel for
    /// the paper's workload, fading for the binding one.
    pub fn new(family: Family) -> Self {
        Spec {
            family,
            requests: 100,
            seed: 1,
            channel: if family == Family::Paper { ChannelModel::Shared } else { ChannelModel::Rayleigh },
            lengths: Lengths::paper(),
            padding: Padding::Fixed(LONGEST),
            tightness: 0.3,
            max_wait_s: 0.0,
        }
    }

    /// The epoch that `dftsp solve` runs without files: `dftsp generate binding`, as it is.
    pub fn embedded() -> Self {
        Spec::new(Family::Binding)
    }
}

impl Lengths {
    /// The paper's classes of 128, 256 and 512 tokens.
    pub fn paper() -> Self {
        Lengths::Levels(OutputLevels::paper())
    }

    /// `count` output levels, evenly spread up to 512.
    ///
    /// # Errors
    /// A count of 0 or above 512.
    pub fn evenly(count: u32, place: impl Fn() -> Place) -> Result<Self> {
        if count == 0 || count > LONGEST {
            return Err(place().error(format!("{count} levels"), format!("give 1 to {LONGEST}")));
        }
        OutputLevels::new((1..=count).map(|k| k * LONGEST / count).collect(), place).map(Lengths::Levels)
    }

    fn prompt(&self, draws: &Draws, word: usize) -> u32 {
        match self {
            Lengths::Levels(_) => PROMPT_LEVELS[draws.below(word, PROMPT_LEVELS.len() as u64) as usize],
            Lengths::Continuous => 1 + draws.below(word, u64::from(LONGEST)) as u32,
        }
    }

    fn output(&self, draws: &Draws, word: usize) -> u32 {
        match self {
            Lengths::Levels(levels) => levels.as_slice()[draws.below(word, levels.as_slice().len() as u64) as usize],
            Lengths::Continuous => 1 + draws.below(word, u64::from(LONGEST)) as u32,
        }
    }
}

/// A spec made ready: its scenario, and the requests to come.
#[derive(Debug, Clone)]
pub struct Generator {
    spec: Spec,
    scenario: Scenario,
    mean_gain: f64,
}

impl Generator {
    /// Prepares a spec. The binding family looks at the first few thousand requests to scale node and radio.
    ///
    /// # Errors
    /// A number of the spec out of range.
    pub fn new(spec: Spec) -> Result<Generator> {
        let place = |field: &str| Place::file("generate").field(field);
        if spec.requests == 0 || spec.requests > limits::MAX_REQUESTS as u64 {
            let remedy = format!("give 1 to {}", limits::MAX_REQUESTS);
            return Err(place("requests").error(format!("{} requests", spec.requests), remedy));
        }
        TIGHTNESS.check(spec.tightness, || place("tightness"))?;
        limits::WAITED.check(spec.max_wait_s, || place("max-wait"))?;
        if let Padding::Fixed(tokens) = spec.padding {
            limits::TOKENS.check(f64::from(tokens), || place("padding"))?;
        }
        let mut scenario = Scenario::paper();
        scenario.padding = spec.padding;
        let mean_gain = match spec.family {
            Family::Paper => PAPER_GAIN,
            Family::Binding => binding::scale(&spec, &mut scenario),
        };
        // What the simulator draws by itself looks like what is generated here.
        scenario.synthesis = Synthesis {
            seed: spec.seed,
            channel: spec.channel,
            mean_channel_power_gain: mean_gain,
            uplink_power_dbm: UPLINK_POWER_DBM,
            ..scenario.synthesis
        };
        scenario.check()?;
        Ok(Generator { spec, scenario, mean_gain })
    }

    /// The scenario that matches the requests.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The requests, in order.
    pub fn rows(&self) -> impl Iterator<Item = Request> + '_ {
        let mut rng = RowRng::new(self.spec.seed, 0);
        (0..self.spec.requests).map(move |_| request(&self.spec, self.mean_gain, &rng.next_row()))
    }

    /// The id of request `index`: r1, r2, ...
    pub fn id(index: u64) -> String {
        format!("r{}", index + 1)
    }

    /// All requests at once.
    ///
    /// # Errors
    /// None for a spec within its limits.
    pub fn requests(&self) -> Result<Requests> {
        let mut requests = Requests::new();
        for (index, request) in (0..).zip(self.rows()) {
            requests.push(&Generator::id(index), request)?;
        }
        Ok(requests)
    }
}

/// One request from its random words.
fn request(spec: &Spec, mean_gain: f64, draws: &Draws) -> Request {
    Request {
        prompt_tokens: spec.lengths.prompt(draws, 0),
        output_tokens: spec.lengths.output(draws, 1),
        deadline_s: draws.uniform(2, DEADLINE_S),
        waited_s: draws.uniform(3, (0.0, spec.max_wait_s)),
        // a_i ~ U(0, 1), read as "accepts a ΔPPL of at most 1 − a_i".
        max_perplexity_increase: micro(1.0 - draws.unit(4)),
        channel_power_gain: spec.channel.gain(mean_gain, draws, 5),
        uplink_power_dbm: UPLINK_POWER_DBM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Problem;

    #[test]
    fn the_papers_workload_is_the_papers() {
        let generator = Generator::new(Spec { requests: 2000, ..Spec::new(Family::Paper) }).unwrap();
        let mut paper = Scenario::paper();
        paper.synthesis.channel = ChannelModel::Shared;
        assert_eq!(generator.scenario(), &paper);
        let rows: Vec<Request> = generator.rows().collect();
        for r in &rows {
            assert!(PROMPT_LEVELS.contains(&r.prompt_tokens) && PROMPT_LEVELS.contains(&r.output_tokens));
            assert!((0.5..=2.0).contains(&r.deadline_s) && (0.0..=1.0).contains(&r.max_perplexity_increase));
            assert_eq!((r.channel_power_gain, r.waited_s), (1e-3, 0.0));
        }
        let mean = rows.iter().map(|r| r.deadline_s).sum::<f64>() / 2000.0;
        assert!((mean - 1.25).abs() < 0.03);
    }

    #[test]
    fn more_requests_do_not_change_the_first() {
        let spec = Spec { seed: 5, channel: ChannelModel::Rayleigh, ..Spec::new(Family::Paper) };
        let few: Vec<Request> = Generator::new(spec.clone()).unwrap().rows().collect();
        let many = Generator::new(Spec { requests: 1000, ..spec }).unwrap();
        assert!(few.iter().copied().eq(many.rows().take(100)));
    }

    #[test]
    fn specs_out_of_range_are_refused() {
        for spoil in [
            (|s| s.requests = 0) as fn(&mut Spec),
            |s| s.requests = 1 << 40,
            |s| s.tightness = 0.0,
            |s| s.tightness = f64::NAN,
            |s| s.max_wait_s = -1.0,
            |s| s.padding = Padding::Fixed(0),
        ] {
            let mut spec = Spec::new(Family::Binding);
            spoil(&mut spec);
            assert!(Generator::new(spec).is_err());
        }
        assert!(Lengths::evenly(0, Place::default).is_err() && Lengths::evenly(513, Place::default).is_err());
    }

    #[test]
    fn levels_are_spread_evenly() {
        let Lengths::Levels(levels) = Lengths::evenly(8, Place::default).unwrap() else { panic!("levels asked for") };
        assert_eq!(levels.as_slice(), [64, 128, 192, 256, 320, 384, 448, 512]);
    }

    #[test]
    fn every_kind_of_spec_gives_a_solvable_epoch() {
        for family in [Family::Paper, Family::Binding] {
            for channel in [ChannelModel::Shared, ChannelModel::Rayleigh] {
                for lengths in [Lengths::paper(), Lengths::evenly(16, Place::default).unwrap(), Lengths::Continuous] {
                    for padding in [Padding::Fixed(512), Padding::Longest, Padding::None] {
                        for (requests, tightness) in [(1, 0.3), (2, 1.0), (50, 0.01), (50, 0.9)] {
                            let base = Spec { requests, channel, padding, tightness, ..Spec::new(family) };
                            let generator = Generator::new(Spec { lengths: lengths.clone(), ..base }).unwrap();
                            let set = generator.requests().unwrap();
                            let problem = Problem::new(generator.scenario(), &set).unwrap();
                            assert_eq!(problem.instance.len() + problem.rejections.len(), requests as usize);
                        }
                    }
                }
            }
        }
    }
}
