//! The exact solver: prices, then passes of labels, eight times as wide where one dropped labels, until one drops
//! nothing. With many servers a pass looks only below a goal, and the next one's is higher. Where the first passes are
//! not enough, a local search over orders of servers gives them a better assignment to beat.

use super::delay::{self, Communication, TOLERANCE, Usage};
use super::labels::{self, Search};
use super::orders;
use super::prices::{self, Prices, Reduced, SHAPES};
use super::problem::{Problem, Seat};
use super::seed;
use super::tables::{BUSY, MEMORY, SENT, Tables};
use crate::search::{Clock, Limits};

/// A delay is optimal if no assignment is faster by more than this, relatively.
pub const OPTIMALITY: f64 = 1e-9;

/// What a solver returns.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// An assignment.
    Placed(Box<Solution>),
    /// There is none, proven.
    Infeasible,
    /// A limit came before the first assignment and before a proof that there is none.
    Unknown {
        /// No assignment is faster, if there is one.
        bound_s: f64,
    },
}

/// An assignment that keeps every limit, and how good it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// Server and bits of each layer.
    pub seats: Vec<Seat>,
    /// Its delay and what it uses.
    pub usage: Usage,
    /// No assignment is faster; the delay itself, or less by [`OPTIMALITY`] at most, if it is proven optimal.
    pub bound_s: f64,
    /// What proves it.
    pub certificate: Certificate,
    /// What was done.
    pub work: Work,
}

/// How good an assignment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// None is faster.
    Optimal,
    /// None is faster than the bound.
    Feasible,
}

/// What proves a bound. The prices prove `root_bound_s` to whoever evaluates the shortest path at them. That nothing
/// lies between that and the solution's bound was found by enumeration, which a checker can only repeat.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Certificate {
    /// Price of all memory of each server, seconds.
    pub memory: Vec<f64>,
    /// Price of all memory of each server, seconds, where each run of consecutive layers pays for the thirds of it that
    /// it takes: all above two thirds, a half above one, nothing below.
    pub thirds: Vec<f64>,
    /// The same for quarters.
    pub quarters: Vec<f64>,
    /// Price of all the time of each server, seconds; 0 without a limit.
    pub busy: Vec<f64>,
    /// Price of all that each server may send, seconds; 0 without a limit.
    pub sent: Vec<f64>,
    /// Price of each model's whole budget of weight errors, seconds.
    pub quality: Vec<f64>,
    /// What the prices prove.
    pub root_bound_s: f64,
    /// Partial assignments that the last pass kept: the enumeration that closed the rest of the gap.
    pub labels: u64,
    /// Whether that pass dropped nothing for want of room or time.
    pub exhausted: bool,
}

/// Counters; the same on any number of threads unless a time limit struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Shortest paths at some prices.
    pub price_steps: u64,
    /// Passes of labels.
    pub passes: u64,
    /// Orders of servers that a local search began from.
    pub orders: u64,
    /// Labels kept in all passes.
    pub labels: u64,
    /// Whether a limit stopped it.
    pub stopped: bool,
}

impl Solution {
    /// Proven optimal or not.
    pub fn status(&self) -> Status {
        if self.gap() <= OPTIMALITY { Status::Optimal } else { Status::Feasible }
    }

    /// (delay − bound) / delay.
    pub fn gap(&self) -> f64 {
        if self.usage.delay_s > 0.0 { ((self.usage.delay_s - self.bound_s) / self.usage.delay_s).max(0.0) } else { 0.0 }
    }
}

/// Steps of the prices at most: for each server, and for any number of them.
const STEPS: (usize, usize) = (100, 5000);
/// Labels a layer of the first pass, how many times more in each next one, and at most.
const FIRST: usize = 16;
const WIDER: usize = 8;
const WIDEST: usize = 1 << 22;
/// Passes after which infeasibility is asked for.
const ASKED: u64 = 2;
/// After how many passes orders of servers are searched, and how many of them shaken: with few servers passes are fast
/// and orders too, and there are four times as many each next time; with many, narrow passes find little, and there are
/// some for each layer and server, at most so many, each time.
const FEW_SERVERS: usize = 10;
const ORDERS_OF_FEW: (u64, usize) = (3, 256);
const ORDERS_OF_MANY: (u64, f64, usize) = (2, 0.4, 2048);
/// The part of the gap that a pass is to close with many servers: more of it where the one before kept less than so
/// many labels a layer. What is left of the gap at last, relatively, one pass is to close.
const RISES: (f64, f64) = (0.25, 0.5);
const EASY: u64 = 16;
const NEXT: f64 = 3e-3;
/// The widest pass in the chain form before the paper's.
const CHAIN_FIRST: usize = 8192;

/// Finds the fastest assignment. `threads` says whether to use rayon's pool; the result does not depend on it.
pub fn solve(problem: &Problem, communication: Communication, limits: &Limits, threads: bool) -> Outcome {
    solve_tables(problem, &Tables::new(problem, communication), limits, threads)
}

/// The same for tables of the problem, which may forbid more.
pub(super) fn solve_tables(problem: &Problem, t: &Tables, limits: &Limits, threads: bool) -> Outcome {
    let mut clock = Clock::start(limits);
    // What the chain form finds is no slower in the paper's, whose bounds are too weak to find much.
    let start = (t.communication == Communication::Paper).then(|| {
        let chain = Tables { communication: Communication::Chain, share: vec![1.0; t.share.len()], ..t.clone() };
        search(&chain, CHAIN_FIRST, None, &mut clock, threads).best
    });
    let start = start.flatten().and_then(|(_, seats)| {
        let usage = delay::feasible(problem, &seats, t.communication).ok()?;
        Some((usage.delay_s, seats))
    });
    let mut found = search(t, WIDEST, start, &mut clock, threads);
    // Whatever is quickly placed, where the search had no time to do as well.
    if found.work.stopped && t.fixed.is_none() {
        let delay = found.best.as_ref().map_or(f64::INFINITY, |best| best.0);
        found.best = seed::seed(t, delay).or(found.best);
    }
    let Some((cost, seats)) = found.best else {
        return if found.work.stopped { Outcome::Unknown { bound_s: found.bound } } else { Outcome::Infeasible };
    };
    // Tables and definitions are the same limits; should they ever differ, nothing is claimed.
    let Ok(usage) = delay::feasible(problem, &seats, t.communication) else {
        return Outcome::Unknown { bound_s: found.bound };
    };
    let mut certificate = found.reduced.map_or_else(Certificate::default, |r| certificate(problem, t, &r));
    (certificate.labels, certificate.exhausted) = (found.labels, found.exhausted);
    let bound_s = if found.bound >= cost { usage.delay_s } else { found.bound.min(usage.delay_s) };
    Outcome::Placed(Box::new(Solution { seats, bound_s, usage, certificate, work: found.work }))
}

/// What a search of tables found, in the costs of the tables.
pub(super) struct Found {
    pub best: Option<(f64, Vec<Seat>)>,
    pub bound: f64,
    pub work: Work,
    reduced: Option<Reduced>,
    labels: u64,
    exhausted: bool,
}

/// What is to come after a pass.
enum Next {
    /// Nothing is open.
    Nothing,
    /// Nothing can come.
    OutOfTime,
    /// The goal was proven: a higher one, by this part of the gap.
    Higher { rise: f64 },
    /// Labels were dropped below the goal: a wider pass.
    Wider,
}

impl Found {
    /// One pass, for what is below a delay.
    fn pass(
        &mut self,
        search: &mut Search<'_>,
        goal: f64,
        width: usize,
        returns: bool,
        clock: &mut Clock,
    ) -> labels::Found {
        let mut pass = search.pass(goal, width, returns, clock);
        self.work.passes += 1;
        self.work.labels += pass.labels;
        self.better(search.t, pass.best.take());
        pass
    }

    /// One pass for what is below a goal, which raises the bound.
    fn round(&mut self, search: &mut Search<'_>, goal: f64, width: usize, clock: &mut Clock) -> Next {
        let pass = self.pass(search, goal, width, true, clock);
        let proven = pass.open >= goal;
        // What the pass did not look at is not much below the goal.
        let open = if goal < self.delay() { pass.open.min(goal - OPTIMALITY * goal.abs()) } else { pass.open };
        (self.labels, self.exhausted) = (pass.labels, open.is_infinite());
        self.bound = self.bound.max(open.min(self.delay()));
        if open >= self.delay() || open.is_infinite() {
            Next::Nothing
        } else if pass.out_of_time {
            Next::OutOfTime
        } else if proven {
            Next::Higher { rise: if pass.labels < EASY * search.t.layers as u64 { RISES.1 } else { RISES.0 } }
        } else {
            Next::Wider
        }
    }

    /// Orders of servers, from those of the best path, after so many rounds of passes.
    fn look_along_orders(&mut self, search: &Search<'_>, rounds: u64, clock: &mut Clock, threads: bool) {
        let t = search.t;
        let few = t.servers <= FEW_SERVERS;
        let Some(again) = rounds.checked_sub(if few { ORDERS_OF_FEW.0 } else { ORDERS_OF_MANY.0 }) else { return };
        let shaken = if few {
            // Each time passes are wider, up to the widest: these are few.
            ORDERS_OF_FEW.1 << (2 * again)
        } else {
            ((ORDERS_OF_MANY.1 * (t.layers * t.servers) as f64) as usize).min(ORDERS_OF_MANY.2)
        };
        let start: Vec<usize> = match &self.best {
            Some((_, seats)) => seats.iter().map(|seat| seat.server).collect(),
            None => search.reduced.path.iter().map(|x| x.0 as usize).collect(),
        };
        let (found, shaken) = local(t, &search.reduced, &start, (again, shaken), clock, threads);
        self.better(t, found);
        self.work.orders += shaken;
    }

    /// The bound to prove next.
    fn goal(&self, rise: f64) -> f64 {
        let (delay, left) = (self.delay(), self.delay() - self.bound);
        if left > NEXT * delay { self.bound + rise * left } else { delay }
    }

    /// The delay to beat.
    fn delay(&self) -> f64 {
        self.best.as_ref().map_or(f64::INFINITY, |best| best.0)
    }

    /// Takes a path if it is better.
    fn better(&mut self, t: &Tables, path: Option<(f64, Vec<(u32, u32)>)>) {
        if let Some((cost, path)) = path.filter(|path| path.0 < self.delay()) {
            let seat = |(l, &(i, w)): (usize, &(u32, u32))| t.seat(l, i as usize, w as usize);
            self.best = Some((cost, path.iter().enumerate().map(seat).collect()));
        }
    }
}

/// Prices, then passes up to a width, looking for what is faster than `start`.
pub(super) fn search(
    t: &Tables,
    widest: usize,
    start: Option<(f64, Vec<Seat>)>,
    clock: &mut Clock,
    threads: bool,
) -> Found {
    let mut work = Work::default();
    let most = (STEPS.0 * t.servers).clamp(600, STEPS.1);
    let (root, steps) = prices::improve(t, Prices::zero(t), most, || clock.look());
    work.price_steps += steps as u64;
    let mut found = Found { best: start, bound: root.bound, work, reduced: None, labels: 0, exhausted: false };
    if root.bound.is_infinite() {
        return found;
    }
    found.reduced = Some(root.clone());
    let mut search = Search::new(t, root, threads);
    let mut width = FIRST;
    // Paths that never come back to a server are few, and their best is often the best of all.
    let chain = t.communication == Communication::Chain && t.fixed.is_none();
    let few = t.servers <= FEW_SERVERS;
    let mut rise = RISES.0;
    let mut simple = chain && t.budget.len() == 1 && few;
    // Orders of servers give no more than that, or next to nothing more.
    let mut orders = chain;
    let mut rounds = 0;
    loop {
        if simple && width > FIRST {
            let pass = found.pass(&mut search, found.delay(), width, false, clock);
            simple = pass.open.is_finite();
            orders = simple;
        }
        // Where passes take long, they prove a bit more at a time.
        let goal = if width > FIRST * WIDER && !few && widest == WIDEST { found.goal(rise) } else { found.delay() };
        let next = found.round(&mut search, goal, width, clock);
        rounds += 1;
        match next {
            Next::Nothing => break,
            Next::Higher { rise: by } => rise = by,
            Next::Wider if width < widest => (width, rise) = (width * WIDER, RISES.0),
            Next::Wider | Next::OutOfTime => {
                found.work.stopped = true;
                break;
            }
        }
        if orders {
            found.look_along_orders(&search, rounds, clock, threads);
        }
        // What some passes did not find may not be there.
        if found.best.is_none() && rounds == ASKED {
            let (nothing, steps) = prices::nothing_feasible(t, most, || clock.look());
            found.work.price_steps += steps as u64;
            if nothing {
                break;
            }
        }
    }
    found
}

/// What orders of servers give, from those of a path.
fn local(
    t: &Tables,
    r: &Reduced,
    start: &[usize],
    shaken: (u64, usize),
    clock: &mut Clock,
    threads: bool,
) -> (orders::Best, u64) {
    let busy = |i: usize| if t.kinds > BUSY { r.server[i * t.kinds + BUSY] } else { 0.0 };
    let busy: Vec<f64> = (0..t.servers).map(busy).collect();
    orders::search(t, (&r.quality, &busy), start, shaken, clock, threads)
}

/// Prices as a checker wants them: for the whole limits of the problem, with their tolerance. The solver may know that
/// some memory is of no use, which a checker does not.
fn certificate(problem: &Problem, t: &Tables, r: &Reduced) -> Certificate {
    let of = |kind: usize, i: usize| if kind < t.kinds { r.prices.server[i * t.kinds + kind] } else { 0.0 };
    let mut root_bound_s = r.bound;
    let mut memory = Vec::with_capacity(t.servers);
    for (i, server) in problem.servers.iter().enumerate() {
        let price = r.server[i * t.kinds + MEMORY] * 8.0 * server.memory_bytes * (1.0 + TOLERANCE);
        root_bound_s -= price - of(MEMORY, i);
        memory.push(price);
    }
    let runs = |shape: usize| r.prices.runs.iter().skip(shape).step_by(SHAPES.len()).copied().collect();
    Certificate {
        memory,
        thirds: runs(0),
        quarters: runs(1),
        busy: (0..t.servers).map(|i| of(BUSY, i)).collect(),
        sent: (0..t.servers).map(|i| of(SENT, i)).collect(),
        quality: r.prices.quality.clone(),
        root_bound_s: root_bound_s.max(0.0),
        labels: 0,
        exhausted: false,
    }
}
