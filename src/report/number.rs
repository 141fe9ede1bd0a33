//! Numbers as people write them, the same in every report.

/// "1,234,567".
pub fn grouped(n: u64) -> String {
    separated(&n.to_string())
}

/// "1 bound", "2 bounds".
pub fn count(n: impl TryInto<u64>, what: &str) -> String {
    let n: u64 = n.try_into().unwrap_or(u64::MAX);
    format!("{n} {what}{}", ending(n, what))
}

/// The same for what may be many: "1,234 bounds".
pub fn grouped_count(n: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(n), ending(n, what))
}

/// What makes a plural of so many.
fn ending(n: u64, what: &str) -> &'static str {
    match (n, what.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        _ => "s",
    }
}

/// Digits with a comma before every third from the right.
fn separated(digits: &str) -> String {
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with so many decimals: "1,234.50", "−0.25"; "–" if it is none.
pub fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".to_string();
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |(whole, fraction)| (whole, fraction));
    // What rounds to nothing has no sign.
    let sign = if value < 0.0 && text.contains(|c: char| ('1'..='9').contains(&c)) { "−" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", separated(whole))
}

/// A number with so many significant digits: "0.0123", "12.3", "1.23·10¹²". The digits before the point are never
/// rounded away: "12,345".
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return fixed(value, 0);
    }
    let digits = digits.max(1);
    let (mantissa, exponent) = rounded(value, digits);
    match exponent {
        -4..=9 => fixed(value, decimals(digits, exponent)),
        _ => format!("{}·10{}", fixed(mantissa, digits - 1), raised(exponent)),
    }
}

/// A mean and what it may be off by, both to the two leading digits of the latter: "12.34 ± 0.56". Without a finite
/// half width (one sample has none) three digits of the mean alone.
pub fn plus_minus(value: f64, half_width: f64) -> String {
    if !half_width.is_finite() || !value.is_finite() {
        return significant(value, 3);
    }
    // Samples that are the same differ by roundings.
    if half_width.abs() <= 1e-12 * value.abs() || half_width == 0.0 {
        return format!("{} ± 0", significant(value, 3));
    }
    let decimals = decimals(2, rounded(half_width, 2).1);
    format!("{} ± {}", fixed(value, decimals), fixed(half_width.abs(), decimals))
}

/// Seconds as milliseconds with three digits or so.
pub fn milliseconds(seconds: f64) -> String {
    let ms = seconds * 1e3;
    let decimals = if ms >= 100.0 {
        0
    } else if ms >= 10.0 {
        1
    } else if ms >= 1.0 {
        2
    } else {
        3
    };
    format!("{ms:.decimals$} ms")
}

/// A power of ten's exponent: "⁻⁵".
pub fn raised(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raise = |c: char| c.to_digit(10).map_or('⁻', |digit| DIGITS[digit as usize]);
    exponent.to_string().chars().map(raise).collect()
}

/// Mantissa and exponent after rounding to so many digits.
pub(super) fn rounded(value: f64, digits: usize) -> (f64, i32) {
    let text = format!("{value:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    // Both were just written by the standard library.
    (mantissa.parse().unwrap_or(value), exponent.parse().unwrap_or(0))
}

/// Decimals that show so many digits of a number of this exponent; nobody reads more than twelve.
fn decimals(digits: usize, exponent: i32) -> usize {
    usize::try_from(digits as i64 - 1 - i64::from(exponent)).unwrap_or(0).min(12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([1e-5, 0.0015, 0.0155, 1.5].map(milliseconds), ["0.010 ms", "1.50 ms", "15.5 ms", "1500 ms"]);
        assert_eq!([1234.5, -0.25, -0.001, f64::NAN].map(|x| fixed(x, 2)), ["1,234.50", "−0.25", "0.00", "–"]);
    }

    #[test]
    fn counts_have_their_plural() {
        let shown = [count(1u64, "bound pass"), count(2u64, "bound pass"), count(0u64, "node"), count(1u32, "bit")];
        assert_eq!(shown, ["1 bound pass", "2 bound passes", "0 nodes", "1 bit"]);
        assert_eq!([1, 1234].map(|n| grouped_count(n, "price step")), ["1 price step", "1,234 price steps"]);
    }

    #[test]
    fn digits_are_those_asked_for() {
        let shown = [0.012_345, 9.996, 12_345.0, 0.0, 1.234e12, -1.5e-7, 999.6].map(|x| significant(x, 3));
        assert_eq!(shown, ["0.0123", "10.0", "12,345", "0", "1.23·10¹²", "−1.50·10⁻⁷", "1,000"]);
    }

    #[test]
    fn a_half_width_sets_the_digits_of_its_mean() {
        let shown = [(12.3456, 0.5567), (1234.5, 99.7), (0.5, 0.0), (7.0, f64::NAN)].map(|(x, h)| plus_minus(x, h));
        assert_eq!(shown, ["12.35 ± 0.56", "1,234 ± 100", "0.500 ± 0", "7.00"]);
        let shown = [(7.006_666_666_667, 1.4e-15), (0.0, 0.0), (0.0, 0.5)].map(|(x, h)| plus_minus(x, h));
        assert_eq!(shown, ["7.01 ± 0", "0 ± 0", "0.00 ± 0.50"]);
    }
}
