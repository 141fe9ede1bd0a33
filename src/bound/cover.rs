//! The proof as it grows: the best bound of every deadline, and which λ gave it.
//!
//! In step with the segments of a [`Condensed`]. A segment whose bound is below the target is *closed*: it leaves the
//! list, and what bounded it is kept for the certificate.

use std::ops::Range;

use super::Multipliers;
use super::condense::{Condensed, Relaxed, Segment};
use super::simplex::{Column, Simplex};
use super::survey::Survey;
use crate::certificate::{Certificate, Covered, Exhausted, Section};

/// What is known about a listed segment.
#[derive(Debug, Clone, Copy)]
struct State {
    /// The least UB_λ, and whose it is.
    bound: u64,
    owner: u32,
    /// The λ of the segment's own linear program, once it was solved: no other bounds its last deadline better.
    solved: Option<u32>,
    /// No batch of this size exists here: a search says so, with the help of a λ.
    refuted: u64,
    helped: u32,
}

impl State {
    fn bound(&self) -> u64 {
        self.bound.min(self.refuted - 1)
    }
}

/// A segment that was settled.
#[derive(Debug, Clone, Copy)]
struct Closed {
    first: u32,
    last: u32,
    state: State,
}

/// See the module documentation. Memory is reused.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cover {
    multipliers: Vec<Multipliers>,
    /// Bounds are in units of 2^-fraction requests: 0, but for samples.
    fraction: u32,
    state: Vec<State>,
    closed: Vec<Closed>,
}

impl Cover {
    /// Starts anew, with the trivial bounds d, in units of 2^-fraction requests.
    pub fn reset(&mut self, condensed: &Condensed, fraction: u32) {
        self.fraction = fraction;
        self.multipliers.clear();
        self.multipliers.push(Multipliers::ZERO);
        self.closed.clear();
        self.state.clear();
        self.state.extend(condensed.segments.iter().map(|s| State {
            bound: u64::from(s.last) << fraction,
            owner: 0,
            solved: None,
            refuted: u64::MAX,
            helped: 0,
        }));
    }

    /// The listed segment with the largest bound, the first of several, with its bound.
    pub fn worst(&self) -> Option<(usize, u64)> {
        let bounds = self.state.iter().map(State::bound).enumerate();
        bounds.max_by_key(|&(i, bound)| (bound, std::cmp::Reverse(i)))
    }

    /// The λ of the segment's own linear program.
    pub fn solved(&self, segment: usize) -> Option<Multipliers> {
        self.state[segment].solved.map(|i| self.multipliers[i as usize])
    }

    /// Lowers every bound that λ improves.
    pub fn add(&mut self, condensed: &Condensed, m: Multipliers) {
        let index = self.multipliers.len() as u32;
        let state = &mut self.state;
        condensed.bounds(&m, self.fraction, |i, bound| {
            if bound < state[i].bound {
                (state[i].bound, state[i].owner) = (bound, index);
            }
        });
        self.multipliers.push(m);
    }

    /// Lowers every bound of a bucket that a surveyed λ improves.
    pub fn add_surveyed(&mut self, condensed: &Condensed, survey: &Survey, lane: usize, m: Multipliers) {
        let index = self.multipliers.len() as u32;
        let (state, fraction) = (&mut self.state, self.fraction);
        survey.bounds(condensed, lane, &m.to_real(), |i, bound| {
            let bound = bound << fraction;
            if bound < state[i].bound {
                (state[i].bound, state[i].owner) = (bound, index);
            }
        });
        self.multipliers.push(m);
    }

    /// Every λ tried.
    pub fn multipliers(&self) -> &[Multipliers] {
        &self.multipliers
    }

    /// Solves the linear program of a segment and lowers the bounds. None if the best λ lies outside the region, or
    /// what is taken there does not fit; with that λ if it is known.
    pub fn solve(
        &mut self,
        condensed: &mut Condensed,
        segment: usize,
        warm: Column,
        simplex: &mut Simplex,
        stop: &dyn Fn() -> bool,
    ) -> Result<Column, Option<Column>> {
        let Relaxed::Lambda(lambda) = condensed.relax(segment, warm, simplex, stop) else { return Err(None) };
        let m = Multipliers::from_real(lambda);
        if !condensed.holds(&m) {
            return Err(Some(lambda));
        }
        self.state[segment].solved = Some(self.multipliers.len() as u32);
        self.add(condensed, m);
        Ok(lambda)
    }

    /// A search found no batch of `size` requests at these segments, with the λ of the first one's linear program.
    pub fn refute(&mut self, segments: Range<usize>, size: u64) {
        let helped = self.state[segments.start].solved.unwrap_or(0);
        for state in &mut self.state[segments] {
            if size < state.refuted {
                (state.refuted, state.helped) = (size, helped);
            }
        }
    }

    /// The bound of a segment.
    pub fn bound_of(&self, segment: usize) -> u64 {
        self.state[segment].bound()
    }

    /// Closes the segments with a bound below `target`; they leave `condensed` too.
    pub fn close(&mut self, condensed: &mut Condensed, target: u64) {
        let closed = &mut self.closed;
        let mut states = self.state.iter();
        condensed.segments.retain(|s| {
            let Some(&state) = states.next() else { return true };
            let open = state.bound() >= target;
            if !open {
                closed.push(Closed { first: s.first, last: s.last, state });
            }
            open
        });
        self.state.retain(|state| state.bound() >= target);
    }

    /// The listed segments became runs: bounds them by every λ tried that the region holds. `coarse` are the segments
    /// that they were part of, whose bounds hold for them too.
    pub fn refined(&mut self, condensed: &Condensed, coarse: &[Segment]) {
        let before = std::mem::take(&mut self.state);
        let mut at = 0;
        for run in &condensed.segments {
            while coarse[at].last < run.last {
                at += 1;
            }
            let State { bound, owner, .. } = before[at];
            // Only the least deadline of the segment had its own program.
            let solved = before[at].solved.filter(|_| run.last == coarse[at].last);
            self.state.push(State { bound, owner, solved, refuted: u64::MAX, helped: 0 });
        }
        // λ = 0 bounds anything, by d.
        for (state, run) in self.state.iter_mut().zip(&condensed.segments) {
            if u64::from(run.last) < state.bound {
                (state.bound, state.owner) = (u64::from(run.last), 0);
            }
        }
        for i in 1..self.multipliers.len() {
            let m = self.multipliers[i];
            if condensed.holds(&m) {
                let state = &mut self.state;
                condensed.bounds(&m, 0, |run, bound| {
                    if bound < state[run].bound {
                        (state[run].bound, state[run].owner) = (bound, i as u32);
                    }
                });
            }
        }
    }

    /// The region moved, and `condensed` lists all segments again: keeps what is closed and lists the rest.
    pub fn relist(&mut self, condensed: &mut Condensed) {
        self.closed.sort_unstable_by_key(|c| c.first);
        let (closed, mut at) = (&self.closed, 0);
        condensed.segments.retain(|s| {
            // Whether closed ranges without a gap reach from its first to its last.
            let mut next = s.first;
            while at < closed.len() && closed[at].last < next {
                at += 1;
            }
            let mut look = at;
            while look < closed.len() && closed[look].first <= next && next <= s.last {
                next = next.max(closed[look].last + 1);
                look += 1;
            }
            next <= s.last
        });
        let multipliers = std::mem::take(&mut self.multipliers);
        let closed = std::mem::take(&mut self.closed);
        self.reset(condensed, 0);
        self.closed = closed;
        for m in multipliers.into_iter().skip(1) {
            if condensed.holds(&m) {
                self.add(condensed, m);
            } else {
                self.multipliers.push(m);
            }
        }
    }

    /// The largest bound of all deadlines, at least `size`.
    pub fn bound(&self, size: u64) -> u64 {
        let closed = self.closed.iter().map(|c| c.state.bound());
        self.state.iter().map(State::bound).chain(closed).fold(size, u64::max)
    }

    /// Writes the section that proves the bound returned, the smallest of at least `size` that is known.
    pub fn certify(&mut self, condensed: &Condensed, size: u64, padded: Option<(u32, u32)>) -> (u64, Section) {
        let bound = self.bound(size);
        for (s, &state) in condensed.segments.iter().zip(&self.state) {
            self.closed.push(Closed { first: s.first, last: s.last, state });
        }
        self.state.clear();
        // A segment that was listed again is closed twice: the better bound comes first, and is enough.
        self.closed.sort_unstable_by_key(|c| (c.first, c.state.bound, c.last));
        let mut next = 1;
        self.closed.retain(|c| {
            let new = c.last >= next;
            next = next.max(c.last + 1);
            new
        });
        let mut section = Section { padded, covered: Vec::new(), exhausted: Vec::new() };
        let mut searched_since = true;
        for c in &self.closed {
            let owner = self.multipliers[c.state.owner as usize];
            if c.state.bound > bound {
                // The λ that the search used leaves the least to a checker.
                let multipliers = self.multipliers[c.state.helped as usize];
                section.exhausted.push(Exhausted { deadline_rank: c.last, multipliers });
                searched_since = true;
                continue;
            }
            match section.covered.last_mut() {
                Some(last) if last.multipliers == owner && !searched_since && last.last + 1 >= c.first => {
                    last.last = last.last.max(c.last);
                }
                _ => section.covered.push(Covered { first: c.first, last: c.last, multipliers: owner }),
            }
            searched_since = false;
        }
        (bound, section)
    }
}

/// Joins the sections of all lengths: what holds for each holds for all.
pub(crate) fn join(size: u64, parts: Vec<(u64, Section)>) -> Certificate {
    let bound = parts.iter().map(|part| part.0).fold(size, u64::max);
    let mut sections: Vec<Section> = parts.into_iter().map(|part| part.1).collect();
    sections.sort_by_key(|section| section.padded);
    Certificate { bound, sections }
}
