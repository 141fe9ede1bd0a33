//! Seeded attributes for what a trace lacks, and the random numbers behind every generator.
//!
//! No public trace has deadlines, channel states or accuracy needs. They are drawn from the distributions below; every
//! report that uses them says so. Row k of any seed depends on (seed, k) only, so a window of a trace gets the same
//! attributes as the same rows of the whole.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::Request;

/// Random 64-bit words per row: one ChaCha block.
const WORDS: usize = 8;

/// The named generator (ChaCha8, one 64-byte block a row), positioned at a row.
#[derive(Debug, Clone)]
pub struct RowRng {
    rng: ChaCha8Rng,
}

impl RowRng {
    /// The stream of `seed`, starting at `row`.
    pub fn new(seed: u64, row: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_word_pos(u128::from(row) * 2 * WORDS as u128);
        RowRng { rng }
    }

    /// The random words of the next row.
    pub fn next_row(&mut self) -> Draws {
        Draws { words: std::array::from_fn(|_| self.rng.next_u64()) }
    }
}

/// The random words of one row. Each attribute has its own word, so that adding an attribute changes no other.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    words: [u64; WORDS],
}

impl Draws {
    /// A whole number in `0..n`, from word `word` (multiply and shift; the bias is below n·2⁻⁶⁴).
    pub fn below(&self, word: usize, n: u64) -> u64 {
        ((u128::from(self.words[word]) * u128::from(n)) >> 64) as u64
    }

    /// A number in [0, 1), a multiple of 2⁻⁵³.
    pub fn unit(&self, word: usize) -> f64 {
        (self.words[word] >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A number in [low, high), rounded to millionths.
    pub fn uniform(&self, word: usize, (low, high): (f64, f64)) -> f64 {
        micro(low + (high - low) * self.unit(word))
    }

    /// The power of a Rayleigh-fading channel of mean 1: exponentially distributed.
    pub fn rayleigh_power(&self, word: usize) -> f64 {
        // 1 − u is in (0, 1], so the logarithm is finite; the smallest positive power stands in for an exact zero.
        (-libm::log(1.0 - self.unit(word))).max(1e-12)
    }
}

/// Rounds to millionths, so that files stay short and the text read back is the number that was drawn.
pub(crate) fn micro(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

/// The channel power gain h² of the users.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ChannelModel {
    /// All users share one gain: the paper's assumption.
    Shared,
    /// Each user has Rayleigh fading of its own.
    Rayleigh,
}

impl ChannelModel {
    /// h² of one row, given the mean gain; six significant digits.
    pub fn gain(self, mean_gain: f64, draws: &Draws, word: usize) -> f64 {
        match self {
            ChannelModel::Shared => mean_gain,
            ChannelModel::Rayleigh => significant(mean_gain * draws.rayleigh_power(word)),
        }
    }
}

/// Rounds to six significant digits.
pub(crate) fn significant(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

/// Distributions of the attributes that a trace lacks.
///
/// All defaults are those of the paper's section IV where it gives one: deadlines uniform in 0.5–2 s, Rayleigh fading
/// around a gain of 10⁻³, 20 dBm. The accuracy need is the paper's a_i ~ U(0, 1), read as "accepts a ΔPPL of at most 1
/// − a_i" (an assumption, since the paper leaves f open).
#[derive(Debug, Clone, PartialEq)]
pub struct Synthesis {
    /// Seed of the generator.
    pub seed: u64,
    /// τ_i is uniform between these, seconds.
    pub deadline_s: (f64, f64),
    /// The accepted ΔPPL is uniform between these.
    pub max_perplexity_increase: (f64, f64),
    /// Shared gain or fading per user.
    pub channel: ChannelModel,
    /// Mean of h².
    pub mean_channel_power_gain: f64,
    /// p^U, dBm.
    pub uplink_power_dbm: f64,
}

impl Default for Synthesis {
    fn default() -> Self {
        Synthesis {
            seed: 1,
            deadline_s: (0.5, 2.0),
            max_perplexity_increase: (0.0, 1.0),
            channel: ChannelModel::Rayleigh,
            mean_channel_power_gain: 1e-3,
            uplink_power_dbm: 20.0,
        }
    }
}

impl Synthesis {
    /// The request of one trace row that arrived `waited_s` before the epoch.
    pub fn request(&self, prompt_tokens: u32, output_tokens: u32, waited_s: f64, draws: &Draws) -> Request {
        Request {
            prompt_tokens,
            output_tokens,
            deadline_s: draws.uniform(0, self.deadline_s).max(1e-6),
            waited_s,
            max_perplexity_increase: draws.uniform(1, self.max_perplexity_increase),
            channel_power_gain: self.channel.gain(self.mean_channel_power_gain, draws, 2),
            uplink_power_dbm: self.uplink_power_dbm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_depends_on_seed_and_row_only() {
        let mut stream = RowRng::new(7, 0);
        for row in 0..20 {
            assert_eq!(stream.next_row().words, RowRng::new(7, row).next_row().words, "row {row}");
        }
        assert_ne!(RowRng::new(8, 0).next_row().words, RowRng::new(7, 0).next_row().words);
    }

    /// The bytes that a seed gives are part of the contract: this must not change when a dependency does.
    #[test]
    fn the_stream_is_pinned() {
        let words = RowRng::new(1, 0).next_row().words;
        assert_eq!(words[0], 0x6709_4cea_8ca4_0db1, "{words:x?}");
    }

    #[test]
    fn draws_stay_in_range_and_have_the_right_mean() {
        let mut rng = RowRng::new(3, 0);
        let n = 100_000;
        let (mut power, mut unit) = (0.0, 0.0);
        for _ in 0..n {
            let d = rng.next_row();
            assert!(d.below(0, 3) < 3 && (0.5..=2.0).contains(&d.uniform(1, (0.5, 2.0))));
            power += d.rayleigh_power(2);
            unit += d.unit(3);
        }
        assert!((power / f64::from(n) - 1.0).abs() < 0.02, "{power}");
        assert!((unit / f64::from(n) - 0.5).abs() < 0.01, "{unit}");
    }

    #[test]
    fn rounding_keeps_the_value() {
        assert_eq!(significant(1.234_567_89e-14), 1.23457e-14);
        assert_eq!(micro(0.123_456_789), 0.123_457);
    }
}
