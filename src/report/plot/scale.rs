//! One axis: values to positions, and where it is labelled.

use super::Axis;
use crate::report::number::{fixed, raised, rounded};

/// What a scale shows; beyond, spans overflow.
const MOST: f64 = 1e300;

#[derive(Debug, Clone)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) log: bool,
}

impl Scale {
    /// Holds all values and a little more, except where the axis fixes an end.
    pub(super) fn around(values: impl Iterator<Item = f64>, axis: &Axis) -> Scale {
        let log = axis.log;
        let values = values.filter(|&value| shows(value, log));
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match (low <= high, log) {
            (false, false) => (0.0, 1.0),
            (false, true) => (1.0, 10.0),
            (true, false) => {
                let (span, large) = (high - low, low.abs().max(high.abs()));
                // A span that is all rounding error has nothing to label.
                let room = match () {
                    () if span > 1e-12 * large => 0.05 * span,
                    () if large > 0.0 => 0.5 * large,
                    () => 1.0,
                };
                (low - room, high + room)
            }
            (true, true) => {
                // At least a decade, so that there is something to label.
                let room = libm::pow(high / low, 0.05).clamp(1.1, 1e15);
                let (low, high) = ((low / room).max(f64::MIN_POSITIVE), (high * room).min(f64::MAX));
                let more = (low / high * 10.0).max(1.0).sqrt();
                ((low / more).max(f64::MIN_POSITIVE), (high * more).min(f64::MAX))
            }
        };
        let fixed = |end: Option<f64>| end.filter(|&end| shows(end, log));
        let beyond = |end: f64, by: f64| if log { end * libm::pow(10.0, by) } else { end + by * end.abs().max(1.0) };
        let (low, high) = match (fixed(axis.from), fixed(axis.to)) {
            (Some(from), Some(to)) if from < to => (from, to),
            (Some(_), Some(_)) | (None, None) => (low, high),
            (Some(from), None) => (from, if high > from { high } else { beyond(from, 1.0) }),
            (None, Some(to)) => (if low < to { low } else { beyond(to, -1.0) }, to),
        };
        Scale { low, high, log }
    }

    /// 0 at the lower end, 1 at the upper one. On a logarithmic scale 0 is below everything.
    pub(super) fn position(&self, value: f64) -> f64 {
        match self.log {
            true if value <= 0.0 => -1.0,
            // Not of the quotients: they overflow.
            true => (libm::log10(value) - libm::log10(self.low)) / (libm::log10(self.high) - libm::log10(self.low)),
            false => (value - self.low) / (self.high - self.low),
        }
    }

    /// Makes room above: what is now the upper end comes to this part of the height.
    pub(super) fn lower_top(&mut self, part: f64) {
        let part = part.clamp(0.3, 1.0);
        if self.log {
            let (low, high) = (libm::log10(self.low), libm::log10(self.high));
            self.high = libm::exp10((low + (high - low) / part).min(300.0));
        } else {
            self.high = self.low + (self.high - self.low) / part;
        }
    }

    /// Round numbers, at most so many: of a logarithmic axis whole powers, and where these are few, their halves.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        if self.log {
            return self.powers(most);
        }
        let wanted = (self.high - self.low) / most.clamp(1, 8) as f64;
        let decade = power(libm::floor(libm::log10(wanted)) as i32);
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|&step| step >= wanted);
        let step = step.unwrap_or(10.0 * decade);
        // An end that the axis fixes is a tick also if it is off by a rounding error.
        let (first, last) = ((self.low / step - 1e-9).ceil(), (self.high / step + 1e-9).floor());
        let count = (last - first).clamp(0.0, 10.0) as usize;
        (0..=count).map(|k| (first + k as f64) * step).collect()
    }

    fn powers(&self, most: usize) -> Vec<f64> {
        let fine = [&[1.0, 2.0, 5.0][..], &[1.0]].map(|steps| self.decades(steps));
        let mut ticks = fine.iter().find(|ticks| ticks.len() <= most.min(6)).unwrap_or(&fine[1]).clone();
        // With two steps of 1, 2, 5 left over, a fixed range within a decade still has a tick.
        if ticks.is_empty() {
            ticks = self.decades(&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        }
        let every = ticks.len().div_ceil(most.max(1)).max(1);
        ticks.into_iter().step_by(every).collect()
    }

    /// These multiples of the powers of ten that are inside.
    fn decades(&self, steps: &[f64]) -> Vec<f64> {
        let (first, last) = (libm::floor(libm::log10(self.low)) as i32, libm::ceil(libm::log10(self.high)) as i32);
        let all = (first..=last).flat_map(|k| steps.iter().map(move |step| step * power(k)));
        let (low, high) = (self.low * (1.0 - 1e-9), self.high * (1.0 + 1e-9));
        all.filter(|value| (low..=high).contains(value)).collect()
    }

    /// Where a faint line helps between the ticks.
    pub(super) fn between(&self) -> Vec<f64> {
        if !self.log || self.high / self.low > 1e5 {
            return Vec::new();
        }
        self.decades(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    }

    /// The ticks in words. Those of a linear axis all have as many decimals as the one with most.
    pub(super) fn labels(&self, ticks: &[f64]) -> Vec<String> {
        let labels: Vec<String> = ticks.iter().map(|&tick| label(tick)).collect();
        let scientific = ticks.iter().any(|&tick| !is_plain(tick));
        if self.log || scientific {
            // Written alike also where some could be written out.
            return if scientific { ticks.iter().map(|&tick| in_powers(tick)).collect() } else { labels };
        }
        let decimals = |text: &String| text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let most = labels.iter().map(decimals).max().unwrap_or(0);
        ticks.iter().map(|&tick| if tick == 0.0 { "0".to_string() } else { fixed(tick, most) }).collect()
    }
}

/// Whether an axis has a place for it.
pub(super) fn shows(value: f64, log: bool) -> bool {
    value.abs() < MOST && (!log || value > 1.0 / MOST)
}

/// A power of ten, as exact as it can be.
fn power(exponent: i32) -> f64 {
    if exponent < 0 { 1.0 / 10f64.powi(-exponent) } else { 10f64.powi(exponent) }
}

/// A number as people write it: 0.01, 1, 20,000, 5·10⁷.
pub(super) fn label(value: f64) -> String {
    match value {
        _ if !is_plain(value) => in_powers(value),
        _ if value.fract() == 0.0 => fixed(value, 0),
        _ => fixed(value, 6).trim_end_matches('0').trim_end_matches('.').to_string(),
    }
}

/// Whether people write it out.
fn is_plain(value: f64) -> bool {
    value == 0.0 || (1e-4..1e7).contains(&value.abs())
}

/// 10⁵, 5·10⁷.
fn in_powers(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return fixed(value, 0);
    }
    let (digits, exponent) = rounded(value.abs(), 7);
    let (sign, raised) = (if value < 0.0 { "−" } else { "" }, raised(exponent));
    if digits == 1.0 { format!("{sign}10{raised}") } else { format!("{sign}{digits}·10{raised}") }
}

/// The nearest number of so many digits, but a whole one if it has more before the point.
pub(super) fn rounded_to(value: f64, digits: usize) -> f64 {
    let (mantissa, exponent) = rounded(value, digits);
    if value.abs() >= 100.0 { value.round() } else { format!("{mantissa}e{exponent}").parse().unwrap_or(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(low: f64, high: f64, log: bool) -> Scale {
        Scale { low, high, log }
    }

    #[test]
    fn ticks_are_round_and_few() {
        let ticks = |low, high, log| scale(low, high, log).ticks(8);
        assert_eq!(ticks(0.03, 150.0, true), [0.1, 1.0, 10.0, 100.0]);
        assert_eq!(ticks(0.8, 12.0, true), [1.0, 2.0, 5.0, 10.0]);
        assert_eq!(ticks(0.0, 10.0, false), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert!(ticks(1e-9, 1e12, true).len() <= 8);
        assert!(!ticks(2.5, 4.5, true).is_empty());
        assert_eq!(
            [0.01, 1.0, 20_000.0, 1e7, 5e7, -1234.5, 1e-5].map(label),
            ["0.01", "1", "20,000", "10⁷", "5·10⁷", "−1,234.5", "10⁻⁵"]
        );
        assert_eq!(scale(1e-5, 1e3, true).labels(&[1e-5, 1.0, 1000.0]), ["10⁻⁵", "10⁰", "10³"]);
        assert_eq!(scale(0.0, 1.0, false).labels(&[0.0, 0.5, 1.0]), ["0", "0.5", "1.0"]);
    }

    #[test]
    fn fixed_ends_are_kept() {
        let axis = |from, to, log| Axis { log, from, to, ..Axis::default() };
        let around = |values: &[f64], axis: &Axis| {
            let scale = Scale::around(values.iter().copied(), axis);
            (scale.low, scale.high)
        };
        assert_eq!(around(&[0.2, 7.0], &axis(Some(0.0), Some(1.0), false)), (0.0, 1.0));
        assert_eq!(around(&[1.0, 11.0], &axis(Some(0.0), None, false)), (0.0, 11.5));
        assert_eq!(around(&[], &axis(Some(5.0), None, false)), (5.0, 10.0));
        // Ends that make no axis are as if they were not there.
        assert_eq!(around(&[1.0, 11.0], &axis(Some(3.0), Some(3.0), false)), (0.5, 11.5));
        assert_eq!(around(&[], &axis(Some(0.0), Some(f64::NAN), true)), (1.0, 10.0));
        assert_eq!(around(&[0.0, 5.0], &axis(Some(1.0), Some(100.0), true)), (1.0, 100.0));
    }

    #[test]
    fn huge_and_narrow_ranges_have_a_scale() {
        for values in [[1e299, -1e299], [1e15, 1e15 + 1.0], [1e-299, 1e299], [5.0, 5.0], [f64::MAX, f64::INFINITY]] {
            for log in [false, true] {
                let scale = Scale::around(values.into_iter(), &Axis { log, ..Axis::default() });
                assert!(scale.low < scale.high && scale.high.is_finite(), "{values:?} {scale:?}");
                assert!(!scale.ticks(8).is_empty() && scale.ticks(8).len() <= 11, "{values:?} {scale:?}");
            }
        }
    }
}
