//! Seeded attributes for what a trace lacks, and the random numbers behind every generator.
//!
//! No public trace has deadlines, channel states or accuracy needs. They are drawn from the distributions below; every
//! report that uses them says so. Row k of any seed depends on (seed, k) only, so a window of a trace gets the same
//! attributes as the same rows of the whole.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Request, check_name};
use crate::error::{Place, Result, quote};
use crate::limits;

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

    /// The next word of the stream as a number in [0, 1), a multiple of 2⁻⁵³: for what takes no fixed number of words.
    pub(crate) fn next_unit(&mut self) -> f64 {
        unit(self.rng.next_u64())
    }
}

/// The random words of one row. Each attribute has its own word, so that adding an attribute changes no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        unit(self.words[word])
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

fn unit(word: u64) -> f64 {
    (word >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
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

/// Powers of ten that floats hold exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Rounds to six significant digits: the float nearest to what `{x:.5e}` writes.
pub(crate) fn significant(x: f64) -> f64 {
    // Between these, all powers of ten below are exact, so that scaling rounds once (by far less than 10⁻⁹ of the
    // last digit), and so does the way back from whole digits, as a parser does.
    if !(1e-16..1e26).contains(&x) {
        return significant_by_text(x);
    }
    let times_ten_to = |y: f64, power: i32| {
        let ten = TENS[power.unsigned_abs() as usize];
        if power < 0 { y / ten } else { y * ten }
    };
    // log10 of the power of two below x, rounded down: the decimal exponent or one less.
    let binary = (x.to_bits() >> 52) as i32 - 1023;
    let mut exponent = (binary * 1233) >> 12;
    let mut digits = times_ten_to(x, 5 - exponent);
    if digits >= 1e6 {
        exponent += 1;
        digits = times_ten_to(x, 5 - exponent);
    }
    // Too close to a half to tell, or to a power of ten: the digits of the text decide.
    let whole = digits.floor();
    if (digits - whole - 0.5).abs() < 1e-9 || !(1e5..999_999.5).contains(&digits) {
        return significant_by_text(x);
    }
    times_ten_to((digits + 0.5).floor(), exponent - 5)
}

fn significant_by_text(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

/// How the channel of a request changes while it waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fading {
    /// One draw a request, kept while it waits.
    Static,
    /// Drawn anew every epoch.
    Block {
        /// ρ in [0, 1): correlation between the complex amplitudes of successive epochs. That between their powers h²
        /// is ρ².
        correlation: f64,
    },
}

/// Users with needs of their own: one class of service.
#[derive(Debug, Clone, PartialEq)]
pub struct QosClass {
    /// Name for reports.
    pub name: String,
    /// Weight among the classes at the beginning of every period.
    pub share: f64,
    /// Weight in the middle of every period.
    pub peak_share: f64,
    /// τ_i is uniform between these, seconds.
    pub deadline_s: (f64, f64),
    /// The accepted ΔPPL is uniform between these.
    pub max_perplexity_increase: (f64, f64),
}

/// Distributions of the attributes that a trace lacks.
///
/// All defaults are those of the paper's section IV where it gives one: deadlines uniform in 0.5–2 s, Rayleigh fading
/// around a gain of 10⁻³, 20 dBm. The accuracy need is the paper's a_i ~ U(0, 1), read as "accepts a ΔPPL of at most 1
/// − a_i" (an assumption, since the paper leaves f open).
///
/// Words of a row: 0 the deadline, 1 the accuracy, 2 the channel, 6 the class.
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
    /// Whether a channel changes from one epoch to the next.
    pub fading: Fading,
    /// Classes of service. With none, everyone has the deadlines and accuracy needs above.
    pub qos: Vec<QosClass>,
    /// Period in which the mix of classes goes from `share` to `peak_share` and back, seconds; 0 for a mix that stays.
    pub qos_period_s: f64,
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
            fading: Fading::Static,
            qos: Vec::new(),
            qos_period_s: 0.0,
        }
    }
}

impl Synthesis {
    /// Checks every number against [`limits`].
    ///
    /// # Errors
    /// The first number out of range; a pair whose first is above its second; classes of which none has a weight.
    pub fn check(&self) -> Result<()> {
        let place = |field: String| Place::file("scenario").field(field);
        let pairs = |table: &str, deadline_s: (f64, f64), perplexity: (f64, f64)| -> Result<()> {
            let named = [
                ("deadline_s", deadline_s, &limits::DEADLINE),
                ("max_perplexity_increase", perplexity, &limits::PERPLEXITY),
            ];
            for (key, (low, high), range) in named {
                let place = || place(format!("{table}.{key}"));
                range.check(low, place)?;
                range.check(high, place)?;
                if low > high {
                    let remedy = format!("give [lowest, highest]; {}", range.remedy());
                    return Err(place().error(format!("{low} is above {high}"), remedy));
                }
            }
            Ok(())
        };
        pairs("synthesis", self.deadline_s, self.max_perplexity_increase)?;
        let correlation = match self.fading {
            Fading::Static => limits::CORRELATION.min,
            Fading::Block { correlation } => correlation,
        };
        for (key, value, range) in [
            ("mean_channel_power_gain", self.mean_channel_power_gain, &limits::GAIN),
            ("uplink_power_dbm", self.uplink_power_dbm, &limits::POWER),
            ("correlation", correlation, &limits::CORRELATION),
            ("qos_period_s", self.qos_period_s, &limits::PERIOD),
        ] {
            range.check(value, || place(format!("synthesis.{key}")))?;
        }
        // The phase of a time within anything shorter is noise, or no number.
        if self.qos_period_s > 0.0 && self.qos_period_s < limits::SHORTEST_PERIOD_S {
            let problem = format!("{:e} is below {:e}", self.qos_period_s, limits::SHORTEST_PERIOD_S);
            let remedy = "give seconds, or 0 for a mix that stays";
            return Err(place("synthesis.qos_period_s".to_string()).error(problem, remedy));
        }
        if self.qos.len() > limits::MAX_CLASSES {
            let remedy = format!("give at most {}", limits::MAX_CLASSES);
            return Err(place("qos".to_string()).error(format!("{} classes", self.qos.len()), remedy));
        }
        for (at, class) in self.qos.iter().enumerate() {
            check_name("name", &class.name, || place(format!("qos.{at}.name")))?;
            if self.qos[..at].iter().any(|other| other.name == class.name) {
                let problem = format!("there is a class {} already", quote(class.name.as_bytes()));
                return Err(place(format!("qos.{at}.name")).error(problem, "give each class a name of its own"));
            }
            pairs(&format!("qos.{at}"), class.deadline_s, class.max_perplexity_increase)?;
            limits::WEIGHT.check(class.share, || place(format!("qos.{at}.share")))?;
            limits::WEIGHT.check(class.peak_share, || place(format!("qos.{at}.peak_share")))?;
        }
        let mut weights: Vec<(&str, f64)> = vec![("share", self.qos.iter().map(|c| c.share).sum())];
        if self.qos_period_s > 0.0 {
            weights.push(("peak_share", self.qos.iter().map(|c| c.peak_share).sum()));
        }
        match weights.iter().find(|(_, sum)| !self.qos.is_empty() && *sum <= 0.0) {
            // In between the weights are a mean of the two, so both ends are enough.
            Some((key, _)) => {
                let remedy = format!("give at least one class a {key} above 0");
                Err(place(format!("qos.0.{key}")).error("no class has a weight", remedy))
            }
            None => Ok(()),
        }
    }

    /// The number of classes, at least 1.
    pub fn classes(&self) -> usize {
        self.qos.len().max(1)
    }

    /// The name of a class; "all" where there are none.
    pub fn class_name(&self, class: usize) -> &str {
        self.qos.get(class).map_or("all", |c| &c.name)
    }

    /// The class of a request that arrives at `at_s` seconds.
    pub fn class(&self, at_s: f64, draws: &Draws) -> usize {
        if self.qos.len() <= 1 {
            return 0;
        }
        let peak = if self.qos_period_s > 0.0 {
            (1.0 - libm::cos(2.0 * std::f64::consts::PI * (at_s / self.qos_period_s).fract())) / 2.0
        } else {
            0.0
        };
        let weight = |c: &QosClass| c.share + (c.peak_share - c.share) * peak;
        let total: f64 = self.qos.iter().map(weight).sum();
        let mut left = draws.unit(6) * total;
        let mut last = 0;
        for (index, weight) in self.qos.iter().map(weight).enumerate() {
            if weight > 0.0 {
                if left < weight {
                    return index;
                }
                (left, last) = (left - weight, index);
            }
        }
        // Rounding may leave a trace of the total.
        last
    }

    /// The request of one row that arrived at the beginning of a period, `waited_s` seconds before the epoch.
    pub fn request(&self, prompt_tokens: u32, output_tokens: u32, waited_s: f64, draws: &Draws) -> Request {
        self.request_of(self.class(0.0, draws), prompt_tokens, output_tokens, waited_s, draws)
    }

    /// The request of one row of a class that arrived `waited_s` seconds before the epoch.
    pub fn request_of(
        &self,
        class: usize,
        prompt_tokens: u32,
        output_tokens: u32,
        waited_s: f64,
        draws: &Draws,
    ) -> Request {
        let (deadline_s, max_perplexity_increase) = match self.qos.get(class) {
            Some(c) => (c.deadline_s, c.max_perplexity_increase),
            None => (self.deadline_s, self.max_perplexity_increase),
        };
        Request {
            prompt_tokens,
            output_tokens,
            deadline_s: draws.uniform(0, deadline_s).max(1e-6),
            waited_s,
            max_perplexity_increase: draws.uniform(1, max_perplexity_increase),
            channel_power_gain: self.channel.gain(self.mean_channel_power_gain, draws, 2),
            uplink_power_dbm: self.uplink_power_dbm,
        }
    }

    /// Whether a request that waits has another channel in the next epoch.
    pub fn is_redrawn(&self) -> bool {
        self.fading != Fading::Static && self.channel != ChannelModel::Shared
    }

    /// The h² of the next epoch, given that of this one, from the words `word` and `word + 1`; six significant digits.
    ///
    /// The complex amplitude is a stationary Gauss–Markov process, a ← ρ a + √(1 − ρ²) w, of which only the power
    /// matters: the phase between a and w is uniform, whatever that of a is.
    pub fn next_gain(&self, gain: f64, draws: &Draws, word: usize) -> f64 {
        let (ChannelModel::Rayleigh, Fading::Block { correlation }) = (self.channel, self.fading) else {
            return gain;
        };
        let mean = self.mean_channel_power_gain;
        let fresh = draws.rayleigh_power(word);
        // Not only the same in law: without correlation this is the independent draw, to the last bit.
        let power = if correlation == 0.0 {
            fresh
        } else {
            let (x, kept) = (gain / mean, correlation * correlation);
            let phase = libm::cos(2.0 * std::f64::consts::PI * draws.unit(word + 1));
            let cross = 2.0 * correlation * libm::sqrt((1.0 - kept) * x * fresh) * phase;
            (kept * x + (1.0 - kept) * fresh + cross).max(1e-12)
        };
        significant(mean * power)
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
    fn six_digits_are_those_of_the_text() {
        let mut rng = RowRng::new(11, 0);
        let same = |x: f64| assert_eq!(significant(x).to_bits(), significant_by_text(x).to_bits(), "{x:e}");
        for _ in 0..100_000 {
            let d = rng.next_row();
            same(d.rayleigh_power(0) * 1e-3);
            same(f64::from_bits(d.words[1] >> 1));
            // Ties and their neighbours, at every scale of the fast path and beyond.
            let half = (d.below(2, 1_000_000) as f64 + 0.5) * 10f64.powi(d.below(3, 60) as i32 - 30);
            [half, half.next_up(), half.next_down()].into_iter().for_each(same);
            let edge = 10f64.powi(d.below(4, 60) as i32 - 30);
            [edge, edge.next_up(), edge.next_down(), edge * (1.0 - 5e-7)].into_iter().for_each(same);
        }
        [0.0, -1.5, 1e300, f64::MIN_POSITIVE, 5e-324, f64::INFINITY].into_iter().for_each(same);
    }

    fn block(correlation: f64) -> Synthesis {
        Synthesis { fading: Fading::Block { correlation }, ..Synthesis::default() }
    }

    #[test]
    fn the_next_gain_keeps_the_distribution_and_has_the_correlation() {
        let n = 100_000;
        for correlation in [0.0, 0.5, 0.9] {
            let s = block(correlation);
            let mut rng = RowRng::new(5, 0);
            let (mut above, mut sum, mut square, mut product) = (0, 0.0, 0.0, 0.0);
            // Pairs from independent starts: the standard errors of a chain would be several times as large.
            for _ in 0..n {
                let d = rng.next_row();
                let x = s.channel.gain(1e-3, &d, 2);
                let y = s.next_gain(x, &d, 3);
                (sum, square, product) = (sum + y / 1e-3, square + y * y / 1e-6, product + x * y / 1e-6);
                above += u32::from(y > 1e-3);
            }
            let n = f64::from(n);
            assert!((sum / n - 1.0).abs() < 0.015, "{sum}");
            assert!((square / n - 2.0).abs() < 0.06, "{square}");
            assert!((f64::from(above) / n - (-1f64).exp()).abs() < 0.006, "{above}");
            assert!((product / n - 1.0 - correlation * correlation).abs() < 0.03, "{product}");
        }
    }

    #[test]
    fn a_gain_changes_only_under_block_fading() {
        let d = RowRng::new(5, 0).next_row();
        assert_eq!(Synthesis::default().next_gain(1e-3, &d, 3), 1e-3);
        let shared = Synthesis { channel: ChannelModel::Shared, ..block(0.5) };
        assert_eq!(shared.next_gain(1e-3, &d, 3), 1e-3);
        assert_eq!(block(0.0).next_gain(1e-3, &d, 3), ChannelModel::Rayleigh.gain(1e-3, &d, 3));
        assert!(block(0.999_999).next_gain(1e-15, &d, 3) >= 1e-15);
    }

    fn class(name: &str, share: f64, peak_share: f64, deadline_s: f64) -> QosClass {
        let (deadline_s, max_perplexity_increase) = ((deadline_s, deadline_s), (0.0, 1.0));
        QosClass { name: name.to_string(), share, peak_share, deadline_s, max_perplexity_increase }
    }

    #[test]
    fn the_mix_of_classes_moves_with_the_time_of_the_period() {
        let qos = vec![class("never", 0.0, 0.0, 1.0), class("day", 1.0, 4.0, 2.0), class("night", 3.0, 0.0, 3.0)];
        let s = Synthesis { qos, qos_period_s: 100.0, ..Synthesis::default() };
        s.check().unwrap();
        assert_eq!((s.classes(), s.class_name(1), Synthesis::default().class_name(0)), (3, "day", "all"));
        for (at_s, day) in [(0.0, 0.25), (25.0, 2.5 / 4.0), (50.0, 1.0), (1e6, 0.25)] {
            let mut rng = RowRng::new(5, 0);
            let classes: Vec<usize> = (0..20_000).map(|_| s.class(at_s, &rng.next_row())).collect();
            let share = classes.iter().filter(|&&c| c == 1).count() as f64 / 20_000.0;
            assert!((share - day).abs() < 0.015 && !classes.contains(&0), "{at_s}: {share}");
        }
        let d = RowRng::new(5, 0).next_row();
        assert_eq!(s.request_of(2, 1, 1, 0.0, &d).deadline_s, 3.0);
        let plain = Synthesis::default();
        assert_eq!(plain.request(1, 1, 0.0, &d), plain.request_of(0, 1, 1, 0.0, &d));
    }

    #[test]
    fn classes_without_a_weight_and_numbers_out_of_range_are_refused() {
        let with = |qos: Vec<QosClass>, qos_period_s| Synthesis { qos, qos_period_s, ..Synthesis::default() };
        let fades = with(vec![class("a", 1.0, 0.0, 1.0)], 0.0);
        fades.check().unwrap();
        for (s, field) in [
            (Synthesis { qos_period_s: 60.0, ..fades }, "qos.0.peak_share"),
            (with(vec![class("a", 0.0, 1.0, 1.0)], 60.0), "qos.0.share"),
            (with(vec![class("a", -1.0, 1.0, 1.0)], 0.0), "qos.0.share"),
            (with(vec![class("a", 1.0, 1.0, 1.0); 2], 0.0), "qos.1.name: there is a class 'a' already; give each"),
            (with(Vec::new(), 1e-310), "synthesis.qos_period_s: 1e-310 is below 1e-6; give seconds, or 0"),
            (with(vec![class("a", 1.0, 1.0, 1.0), class("b", 1.0, 1.0, 0.0)], 0.0), "qos.1.deadline_s"),
            (with(vec![class("a", 1.0, 1.0, 1.0); 65], 0.0), "qos: 65 classes"),
            (with(Vec::new(), f64::NAN), "synthesis.qos_period_s"),
            (block(1.0), "synthesis.correlation"),
            (Synthesis { deadline_s: (2.0, 1.0), ..Synthesis::default() }, "synthesis.deadline_s: 2 is above 1"),
        ] {
            let message = s.check().unwrap_err().to_string();
            assert!(message.starts_with(&format!("scenario, {field}")), "{message}");
        }
    }

    #[test]
    fn rounding_keeps_the_value() {
        assert_eq!(significant(1.234_567_89e-14), 1.23457e-14);
        assert_eq!(micro(0.123_456_789), 0.123_457);
    }
}
