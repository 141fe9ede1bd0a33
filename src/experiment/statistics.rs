//! Means over seeds, with confidence intervals.

/// A mean and the half-width of its 95 % confidence interval.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Estimate {
    /// The mean; 0 of no values.
    pub mean: f64,
    /// Student's t times the standard error; 0 of fewer than two values.
    pub half_width: f64,
    /// How many values.
    pub values: u64,
}

/// The 97.5 % quantile of Student's t with 1 to 30 degrees of freedom (any table of it).
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// The same quantile of the normal distribution.
const Z: f64 = 1.959_964;

impl Estimate {
    /// Of independent values.
    pub fn of(values: &[f64]) -> Estimate {
        let n = values.len();
        if n == 0 {
            return Estimate::default();
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        if n == 1 {
            return Estimate { mean, half_width: 0.0, values: 1 };
        }
        let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
        let standard_error = (squares / (n - 1) as f64 / n as f64).sqrt();
        Estimate { mean, half_width: t_quantile(n - 1) * standard_error, values: n as u64 }
    }

    /// The ends of the interval.
    pub fn interval(&self) -> (f64, f64) {
        (self.mean - self.half_width, self.mean + self.half_width)
    }
}

/// What paired values say of "the first is larger".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Larger: the 95 % confidence interval of the mean difference lies above 0.
    Larger,
    /// The same, pair by pair.
    Equal,
    /// The interval holds 0: too close to tell.
    Open,
    /// Smaller.
    Smaller,
}

/// Compares values pair by pair, such as those of the same seeds: what both have in common does not blur the
/// difference.
pub fn compare(first: &[f64], second: &[f64]) -> Comparison {
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    if differences.iter().all(|&d| d == 0.0) {
        return Comparison::Equal;
    }
    if differences.len() < 2 {
        return Comparison::Open;
    }
    match Estimate::of(&differences).interval() {
        (low, _) if low > 0.0 => Comparison::Larger,
        (_, high) if high < 0.0 => Comparison::Smaller,
        _ => Comparison::Open,
    }
}

/// The 97.5 % quantile of Student's t, to three digits.
fn t_quantile(freedom: usize) -> f64 {
    match T.get(freedom - 1) {
        Some(&t) => t,
        // The first terms of its expansion in 1/n.
        None => {
            let n = freedom as f64;
            let (z3, z5) = (Z * Z * Z, Z * Z * Z * Z * Z);
            Z + (z3 + Z) / (4.0 * n) + (5.0 * z5 + 16.0 * z3 + 3.0 * Z) / (96.0 * n * n)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_textbook() {
        assert_eq!(Estimate::of(&[]), Estimate::default());
        assert_eq!(Estimate::of(&[3.0]), Estimate { mean: 3.0, half_width: 0.0, values: 1 });
        let e = Estimate::of(&[1.0, 2.0, 3.0, 4.0]);
        // s = 1.29099, s/√4 = 0.645497, t(3) = 3.182.
        assert!((e.mean - 2.5).abs() < 1e-12 && (e.half_width - 2.053_97).abs() < 1e-4, "{e:?}");
    }

    #[test]
    fn pairs_show_what_intervals_that_overlap_do_not() {
        let (a, b) = ([1.1, 5.1, 9.1], [1.0, 5.0, 9.01]);
        assert_eq!((compare(&a, &b), compare(&b, &a)), (Comparison::Larger, Comparison::Smaller));
        assert!(Estimate::of(&a).interval().0 < Estimate::of(&b).mean);
        assert_eq!(compare(&[1.0, 2.0], &[2.0, 1.0]), Comparison::Open);
        assert_eq!((compare(&a, &a), compare(&[], &[]), compare(&[2.0], &[1.0])), {
            (Comparison::Equal, Comparison::Equal, Comparison::Open)
        });
    }

    #[test]
    fn the_quantile_goes_on_smoothly_behind_the_table() {
        assert!((t_quantile(31) - 2.040).abs() < 2e-3 && (t_quantile(120) - 1.980).abs() < 1e-3);
        assert!((1..200).all(|n| t_quantile(n) > t_quantile(n + 1)));
    }
}
