//! From weight errors to perplexity: a declared curve.

use crate::limits;

/// ΔPPL against the sum of the weight errors of a model's layers: points, and lines between them.
///
/// Nothing here says what the weight errors of a model do to its perplexity; whoever declares a curve has measured it,
/// or assumes it and says so in the problem's note.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    points: Vec<(f64, f64)>,
}

/// Where points are wrong: at which of them, and what is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Index of the point, if it is one.
    pub point: Option<usize>,
    /// In words.
    pub what: String,
}

/// The most points of a curve.
const MAX_POINTS: usize = 10_000;

impl Curve {
    /// A curve through points (sum of weight errors, ΔPPL): the first at the error 0, errors ascending, ΔPPL never
    /// falling.
    ///
    /// # Errors
    /// Points that are not so, or out of the ranges of [`limits::ERROR_BUDGET`] and [`limits::PERPLEXITY`].
    pub fn new(points: Vec<(f64, f64)>) -> Result<Curve, Fault> {
        let fault = |point: Option<usize>, what: String| Err(Fault { point, what });
        if points.is_empty() || points.len() > MAX_POINTS {
            return fault(None, format!("{} points", points.len()));
        }
        for (at, &(error, increase)) in points.iter().enumerate() {
            if !limits::ERROR_BUDGET.contains(error) {
                return fault(Some(at), format!("{error} is no sum of weight errors"));
            }
            if !limits::PERPLEXITY.contains(increase) {
                return fault(Some(at), format!("{increase} is no increase of the perplexity"));
            }
        }
        if points[0].0 != 0.0 {
            return fault(Some(0), format!("the first error is {}, not 0", points[0].0));
        }
        for (at, pair) in (1..).zip(points.windows(2)) {
            let ((error, increase), (next, more)) = (pair[0], pair[1]);
            if next <= error {
                return fault(Some(at), format!("the error {next} does not lie above {error}"));
            }
            if more < increase {
                return fault(Some(at), format!("the increase falls from {increase} to {more}"));
            }
        }
        Ok(Curve { points })
    }

    /// Its points.
    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    /// The largest error that it says something about.
    pub fn last_error(&self) -> f64 {
        self.points.last().map_or(0.0, |point| point.0)
    }

    /// ΔPPL at a sum of weight errors; `None` above the last point (by more than rounding), below 0, or of no number.
    pub fn at(&self, error: f64) -> Option<f64> {
        let last = *self.points.last()?;
        if !(error >= 0.0 && error <= last.0 * (1.0 + super::delay::TOLERANCE)) {
            return None;
        }
        let above = self.points.partition_point(|point| point.0 <= error);
        let (Some(&(low, from)), Some(&(high, to))) = (self.points.get(above.wrapping_sub(1)), self.points.get(above))
        else {
            return Some(last.1);
        };
        Some(from + (to - from) * ((error - low) / (high - low)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_join_the_points_and_end_with_them() {
        let curve = Curve::new(vec![(0.0, 0.0), (0.5, 0.25), (1.0, 0.25), (3.0, 2.25)]).unwrap();
        for (error, increase) in [
            (0.0, Some(0.0)),
            (0.25, Some(0.125)),
            (0.5, Some(0.25)),
            (0.75, Some(0.25)),
            (1.0, Some(0.25)),
            (2.0, Some(1.25)),
            (3.0, Some(2.25)),
            (3.0 + 1e-10, Some(2.25)),
            (3.001, None),
            (-1e-12, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(curve.at(error), increase, "{error}");
        }
        let none = Curve::new(vec![(0.0, 0.1)]).unwrap();
        assert_eq!((none.at(0.0), none.at(1e-300), none.last_error()), (Some(0.1), None, 0.0));
    }

    #[test]
    fn points_out_of_order_or_range_are_refused() {
        let nan = f64::NAN;
        for (points, point, what) in [
            (vec![], None, "0 points"),
            (vec![(0.1, 0.0)], Some(0), "the first error is 0.1, not 0"),
            (vec![(0.0, 0.0), (0.0, 1.0)], Some(1), "the error 0 does not lie above 0"),
            (vec![(0.0, 0.0), (2.0, 1.0), (1.0, 2.0)], Some(2), "the error 1 does not lie above 2"),
            (vec![(0.0, 0.5), (1.0, 0.25)], Some(1), "the increase falls from 0.5 to 0.25"),
            (vec![(0.0, 0.0), (nan, 1.0)], Some(1), "NaN is no sum of weight errors"),
            (vec![(0.0, -1.0)], Some(0), "-1 is no increase of the perplexity"),
            (vec![(0.0, nan)], Some(0), "NaN is no increase of the perplexity"),
        ] {
            assert_eq!(Curve::new(points.clone()), Err(Fault { point, what: what.to_string() }), "{points:?}");
        }
        assert!(Curve::new((0..=MAX_POINTS).map(|k| (k as f64, 0.0)).collect()).is_err());
    }
}
