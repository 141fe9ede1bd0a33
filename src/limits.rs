//! The range of every number that a user can give: one table for files, options and library calls.
//!
//! The upper ends are far beyond any device of today; they exist so that no sum or product further down can overflow
//! (the proof is beside the conversion in [`crate::instance`]) and so that a slip of the keyboard is caught where it is
//! made.

use crate::error::{Error, Place};

/// A documented range of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Whether `min` itself is allowed.
    pub min_allowed: bool,
    /// Unit, for messages.
    pub unit: &'static str,
}

/// The most requests that one instance may hold (row numbers are `u32`).
pub const MAX_REQUESTS: usize = 1 << 30;
/// The longest request id, in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// The most classes of service, and the most further models on a node.
pub const MAX_CLASSES: usize = 64;

/// The most servers, links and layers (of all models) of a placement.
pub const MAX_SERVERS: usize = 1_000;
/// See [`MAX_SERVERS`].
pub const MAX_LINKS: usize = 200_000;
/// See [`MAX_SERVERS`].
pub const MAX_LAYERS: usize = 10_000;
/// The most choices of a server and bits, over all layers of a placement: more would take gigabytes.
pub const MAX_SEATS: usize = 10_000_000;
/// The most ways from a server to a server, over all layers of a placement: more would not keep to a time limit.
pub const MAX_MOVES: usize = 2_000_000_000;
/// The widest weight of a placement, bits.
pub const MAX_WIDTH: u32 = 32;

/// Prompt tokens `s_i`, output tokens `n_i`, padded prompt tokens s'.
pub const TOKENS: Range = from(1.0, 10_000_000.0, "tokens");
/// Latency requirement `τ_i`, seconds.
pub const DEADLINE: Range = above(0.0, 1e9, "seconds");
/// Time already waited `t_w,i`, seconds.
pub const WAITED: Range = from(0.0, 1e9, "seconds");
/// ΔPPL: of a quantisation, or the largest that a user accepts.
pub const PERPLEXITY: Range = from(0.0, 1e9, "perplexity points");
/// Channel power gain `h_i²`.
pub const GAIN: Range = from(1e-30, 1e9, "a power ratio");
/// Transmit power, dBm.
pub const POWER: Range = from(-200.0, 200.0, "dBm");
/// Layers L.
pub const LAYERS: Range = from(1.0, 10_000.0, "layers");
/// Hidden size `d_m`, feed-forward size `d_f`.
pub const DIMENSION: Range = from(1.0, 1_000_000.0, "a dimension");
/// Attention heads, key-value heads, size of a head.
pub const HEADS: Range = from(1.0, 10_000.0, "a dimension");
/// α and β.
pub const FACTOR: Range = from(1e-6, 1_000.0, "a factor");
/// Compute rate C, FLOP/s.
pub const COMPUTE: Range = from(1.0, 1e24, "FLOP/s");
/// Memory M, bytes.
pub const MEMORY: Range = from(1.0, 1e21, "bytes");
/// Bandwidth, Hz.
pub const BANDWIDTH: Range = from(1.0, 1e15, "Hz");
/// Noise power density, dBm/Hz.
pub const NOISE: Range = from(-300.0, 100.0, "dBm/Hz");
/// Bits that carry one token.
pub const BITS: Range = from(1.0, 1_000_000.0, "bits");
/// Length of an epoch or a slot, seconds.
pub const SLOT: Range = from(1e-6, 1e6, "seconds");
/// Mean rate of arrivals, a second.
pub const RATE: Range = from(1e-6, 1e9, "arrivals a second");
/// Coefficient of variation of the times between arrivals. The shape of a Weibull distribution is found within it.
pub const VARIATION: Range = from(0.01, 100.0, "a coefficient of variation");
/// Mean time that arrivals are on or off, seconds.
pub const SOJOURN: Range = from(1e-3, 1e9, "seconds");
/// How many times faster a trace is replayed.
pub const COMPRESSION: Range = from(1e-6, 1e9, "a factor");
/// Cells whose arrivals go to one node.
pub const CELLS: Range = from(1.0, 1e6, "cells");
/// Correlation of a channel's amplitude between epochs.
pub const CORRELATION: Range = from(0.0, 0.999_999, "a correlation");
/// Period in which a mix of classes repeats, seconds; 0 for one that stays.
pub const PERIOD: Range = from(0.0, 1e9, "seconds");
/// The shortest such period that is not 0, seconds.
pub const SHORTEST_PERIOD_S: f64 = 1e-6;
/// Weight of a class among others.
pub const WEIGHT: Range = from(0.0, 1e9, "a weight");
/// Part of a whole.
pub const SHARE: Range = from(0.0, 1.0, "a share");
/// Bandwidth of a link between servers, bytes a second.
pub const LINK_BANDWIDTH: Range = from(1e-3, 1e18, "bytes a second");
/// Latency of a link, seconds.
pub const LATENCY: Range = from(0.0, 1e6, "seconds");
/// Time that a server may compute for one request, seconds.
pub const BUSY: Range = from(0.0, 1e9, "seconds");
/// Bytes that a server may send for one request.
pub const SENT: Range = from(0.0, 1e21, "bytes");
/// Parameters of a layer.
pub const PARAMETERS: Range = from(0.0, 1e15, "parameters");
/// Work of a layer, FLOP a token.
pub const TOKEN_FLOPS: Range = from(0.0, 1e18, "FLOP");
/// What a layer passes on or holds, bytes a token.
pub const TOKEN_BYTES: Range = from(0.0, 1e12, "bytes");
/// What a layer may need at its widest, with its KV cache, bytes: sums of all layers are whole 64-bit numbers of bits.
pub const LAYER_MEMORY: f64 = 1e13;
/// Most bytes that all layers together may need: their bits are whole numbers below 2^53.
pub const ALL_LAYERS_MEMORY: f64 = 1e15;
/// Requests that servers have room for at once.
pub const HELD: Range = from(1.0, 1e6, "requests");
/// The least weight error, and the least of a server's or model's limits, that is not 0: less than it cannot be divided
/// by.
pub const SMALLEST_PART: f64 = 1e-100;
/// Weight error of a layer at a width.
pub const WEIGHT_ERROR: Range = from(0.0, 1e9, "a relative error");
/// Sum of the weight errors of a model.
pub const ERROR_BUDGET: Range = from(0.0, 1e12, "a sum of relative errors");

const fn from(min: f64, max: f64, unit: &'static str) -> Range {
    Range { min, max, min_allowed: true, unit }
}

const fn above(min: f64, max: f64, unit: &'static str) -> Range {
    Range { min, max, min_allowed: false, unit }
}

impl Range {
    /// Whether `x` is a number in the range.
    pub fn contains(&self, x: f64) -> bool {
        (x > self.min || (self.min_allowed && x == self.min)) && x <= self.max
    }

    /// The error for a value outside the range.
    ///
    /// # Errors
    /// When `x` is not a number, infinite or out of range.
    pub fn check(&self, x: f64, place: impl FnOnce() -> Place) -> Result<(), Error> {
        if self.contains(x) {
            return Ok(());
        }
        let problem = if x.is_nan() {
            "not a number (NaN)".to_string()
        } else if x.is_infinite() {
            format!("{x} is infinite")
        } else if x < 0.0 && self.min >= 0.0 {
            format!("{} is negative", show(x))
        } else if x == 0.0 {
            "0 is not allowed".to_string()
        } else if x > self.max {
            format!("{} is absurdly large", show(x))
        } else {
            format!("{} is too small", show(x))
        };
        Err(place().error(problem, self.remedy()))
    }

    /// "give seconds above 0, at most 1e9".
    pub fn remedy(&self) -> String {
        let bound = if self.min_allowed { "from" } else { "above" };
        let show = |x: f64| if x.abs() >= 1e8 { format!("{x:e}") } else { show(x) };
        let middle = if self.min_allowed { "to" } else { "and at most" };
        format!("give {} {bound} {} {middle} {}", self.unit, show(self.min), show(self.max))
    }
}

/// A number without hundreds of zeros.
fn show(x: f64) -> String {
    if x.abs() >= 1e15 || (x != 0.0 && x.abs() < 1e-4) { format!("{x:e}") } else { format!("{x}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_as_documented() {
        assert!(TOKENS.contains(1.0) && TOKENS.contains(1e7) && !TOKENS.contains(0.0) && !TOKENS.contains(1e7 + 1.0));
        assert!(!DEADLINE.contains(0.0) && DEADLINE.contains(f64::MIN_POSITIVE) && WAITED.contains(0.0));
        for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!NOISE.contains(x) && NOISE.check(x, Place::default).is_err());
        }
        assert_eq!(DEADLINE.remedy(), "give seconds above 0 and at most 1e9");
        let message = |x: f64| DEADLINE.check(x, Place::default).unwrap_err().to_string();
        assert!(
            message(1e300).contains(": 1e300 is absurdly large") && message(-1e300).contains(": -1e300 is negative")
        );
        assert!(message(12_345_678_901.0).contains(": 12345678901 is absurdly large"));
    }
}
