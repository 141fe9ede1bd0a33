//! The smallest addition that adds a request: exact on a grid, by solving again.
//!
//! The grid is the whole percentages of what there is, up to [`MOST_PERCENT`]. More of a resource never makes the
//! largest batch smaller, so the percentages that help are those from some smallest on: doubling from 1 % finds one,
//! halving the gap before it the smallest. A percentage that the dual bound rules out is not solved for.

use super::{ADDITIONS, Base, Resource, Steps, dual, raise};
use crate::certificate::Status;
use crate::error::Result;
use crate::instance::{Instance, Problem};
use crate::scenario::Scenario;
use crate::solver::Solver;

/// The end of the grid: eleven times what there is.
pub const MOST_PERCENT: u32 = 1000;

/// The dual bound is only worth asking before solving while it is cheap: rows of all sections together.
const DUAL_ROWS: usize = 20_000_000;

/// The smallest addition of a resource with which the largest batch grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Least {
    /// This one.
    Percent {
        /// In percent of what there is.
        percent: u32,
        /// The size of the batch found then, the largest unless a limit stopped the search.
        size: usize,
        /// Whether one percent less is proven not to help. Otherwise a limit stopped a search, and it might.
        proven: bool,
    },
    /// None that was looked at.
    None {
        /// The largest that was looked at, in percent; 0 if the range of the resource leaves no room for 1 %.
        up_to: u32,
        /// Whether it is proven not to help.
        proven: bool,
    },
    /// Not looked for, since the batch as things are is not proven to be the largest.
    Unknown,
}

impl Least {
    /// The percentage, if one was found.
    pub fn percent(&self) -> Option<u32> {
        match *self {
            Least::Percent { percent, .. } => Some(percent),
            Least::None { .. } | Least::Unknown => None,
        }
    }
}

/// What is known of one percentage.
enum Answer {
    /// It adds a request: the size of the batch.
    Helps(usize),
    /// It does not.
    DoesNot,
    /// A limit stopped the search before either was proven.
    Open,
}

/// The search for one resource.
struct Search {
    /// The end of the grid.
    top: u32,
    /// The largest percentage that is not known to help.
    low: u32,
    /// The largest percentage that is known not to help.
    ruled_out: u32,
    /// The smallest percentage that is known to help, and the size of the batch then.
    high: Option<(u32, usize)>,
    /// Whether the lower end is still doubled.
    doubling: bool,
}

impl Search {
    fn new(top: u32) -> Self {
        Search { top, low: 0, ruled_out: 0, high: None, doubling: true }
    }

    /// The percentage to look at next.
    fn next(&self) -> Option<u32> {
        // One percent first, which helps where many requests wait; then the end, since often nothing helps.
        let Some((high, _)) = self.high else {
            let first = if self.low == 0 { 1 } else { self.top };
            return (self.low < self.top).then_some(first);
        };
        if high - self.low <= 1 {
            return None;
        }
        let doubled = 2 * self.low;
        Some(if self.doubling && doubled < high { doubled } else { self.low + (high - self.low) / 2 })
    }

    fn learn(&mut self, percent: u32, answer: &Answer) {
        match *answer {
            Answer::Helps(size) => {
                self.doubling = self.high.is_none();
                self.high = Some((percent, size));
            }
            Answer::DoesNot => (self.low, self.ruled_out) = (percent, percent),
            Answer::Open => self.low = percent,
        }
    }

    fn result(&self) -> Least {
        match self.high {
            Some((percent, size)) => Least::Percent { percent, size, proven: self.ruled_out + 1 == percent },
            None => Least::None { up_to: self.top, proven: self.ruled_out == self.top },
        }
    }
}

/// Searches for all additions at once, a round of solving for one percentage of each.
pub(super) fn search(base: &Base<'_>, solver: &Solver) -> Result<[Least; ADDITIONS.len()]> {
    if base.solution.status() != Status::Optimal {
        return Ok([Least::Unknown; ADDITIONS.len()]);
    }
    let now = Resource::ALL.map(|resource| resource.of(base.scenario));
    let mut searches = ADDITIONS.map(|resources| Search::new(top(base, resources)));
    loop {
        let mut asked: Vec<(usize, u32)> = Vec::new();
        let mut instances: Vec<Instance> = Vec::new();
        let mut done = true;
        for (at, resources) in ADDITIONS.into_iter().enumerate() {
            let Some(percent) = searches[at].next() else { continue };
            done = false;
            let steps = Steps(now.map(|now| now * f64::from(percent) / 100.0));
            let scenario = raise(base.scenario, resources, &steps)?;
            let problem = Problem::new(&scenario, base.requests)?;
            if ruled_out(base, &scenario, &problem) {
                searches[at].learn(percent, &Answer::DoesNot);
            } else {
                asked.push((at, percent));
                instances.push(problem.instance);
            }
        }
        if done {
            return Ok(searches.map(|search| search.result()));
        }
        for ((at, percent), solution) in asked.into_iter().zip(solver.solve_many(&instances)) {
            let answer = match solution.rows.len() {
                size if size > base.size() => Answer::Helps(size),
                _ if solution.certificate.bound <= base.size() as u64 => Answer::DoesNot,
                _ => Answer::Open,
            };
            searches[at].learn(percent, &answer);
        }
    }
}

/// Whether the dual bound alone proves that the batch does not grow; not asked where that is no cheaper than solving.
fn ruled_out(base: &Base<'_>, scenario: &Scenario, problem: &Problem) -> bool {
    let certificate = &base.solution.certificate;
    let rows = problem.instance.len().saturating_mul(certificate.sections.len());
    let scale = base.unit_scale(scenario, problem.units);
    rows <= DUAL_ROWS && dual::relax(&problem.instance, certificate, scale).bound <= base.size() as u64
}

/// The largest percentage of the grid that stays in the range of every resource.
fn top(base: &Base<'_>, resources: &[Resource]) -> u32 {
    let room = resources.iter().map(|r| r.range().max / r.of(base.scenario)).fold(f64::INFINITY, f64::min);
    // A percent is left to rounding; `as` saturates.
    (((room - 1.0) * 100.0 - 1.0).max(0.0) as u32).min(MOST_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_percentage_is_found_wherever_it_is() {
        for top in [0, 1, 2, 3, 7, 100, MOST_PERCENT] {
            for smallest in (1..=top).chain([top + 1]) {
                let mut search = Search::new(top);
                let mut solved = 0;
                while let Some(percent) = search.next() {
                    assert!((1..=top).contains(&percent));
                    let helps = percent >= smallest;
                    search.learn(percent, &if helps { Answer::Helps(percent as usize) } else { Answer::DoesNot });
                    solved += 1;
                }
                assert!(solved <= 20, "{solved}");
                let expected = if smallest > top {
                    Least::None { up_to: top, proven: true }
                } else {
                    Least::Percent { percent: smallest, size: smallest as usize, proven: true }
                };
                assert_eq!(search.result(), expected);
            }
        }
    }

    #[test]
    fn an_open_answer_ends_the_proof_and_not_the_search() {
        let run = |answer: fn(u32) -> Answer| {
            let mut search = Search::new(100);
            while let Some(percent) = search.next() {
                search.learn(percent, &answer(percent));
            }
            search.result()
        };
        let all_open = run(|_| Answer::Open);
        assert_eq!(all_open, Least::None { up_to: 100, proven: false });
        let open_below = run(|percent| if percent >= 9 { Answer::Helps(1) } else { Answer::Open });
        assert_eq!(open_below, Least::Percent { percent: 9, size: 1, proven: false });
        let open_far_below = run(|percent| match percent {
            9.. => Answer::Helps(1),
            8 => Answer::DoesNot,
            _ => Answer::Open,
        });
        assert_eq!(open_far_below, Least::Percent { percent: 9, size: 1, proven: true });
    }
}
