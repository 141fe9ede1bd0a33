//! Ways to the end for labels that left much the same behind them: servers that were left have only what is left of
//! them, closed ones are gone, and those that are to be come back to are. At prices of their own they are far tighter
//! than those of the root.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rayon::prelude::*;

use super::rates::{Open, Rates};
use super::rest::{Behind, Rest};
use super::runs::Alive;
use super::{CLOSABLE, Front, Label, Search};
use crate::placement::delay::Communication;
use crate::placement::prices::Reduced;
use crate::placement::tables::{MEMORY, Tables};
use crate::search::Clock;

/// The context of labels that have none: the ways of the root.
pub(super) const ROOT: u32 = 0;
/// Bytes of all contexts: what they are made from may take as much again. Labels that find no room have none, until
/// those of the next layer find what has become free.
const ROOM: usize = 256 << 20;
/// Servers to come back to that a context knows.
const MUSTS: usize = 3;
/// Parts of a memory that are told apart.
const PARTS: usize = 16;
/// Crossings between layers, steps to the costs of all runs, and how many costs those below a limit have, from which on
/// there are no contexts: what is known of them would be too large, and take too long.
const CROSSINGS: usize = 5_000_000;
const EFFORT: usize = 300_000_000;
const RUNS: usize = 32_000_000;
/// Steps at most that the prices of a context take from those of the one before.
const STEPS: usize = 60;
/// Labels, and contexts, between looks at the clock.
const LABELS: usize = 512;
const MADE: usize = 64;

/// All contexts so far, by what they say.
pub(super) struct Contexts {
    known: HashMap<Key, u32>,
    /// The first one stands for that of the root.
    all: Vec<Context>,
    free: Vec<u32>,
    numbers: usize,
    /// What ways below a limit may consist of. Contexts know no others.
    alive: Option<Alive>,
    limit: f64,
}

#[derive(PartialEq, Eq, Hash, Clone)]
struct Key {
    /// The server that a run is on.
    own: u32,
    /// The servers to come back to.
    must: u64,
    /// Cells left on each server; [`NOTHING`] if it is closed.
    left: Vec<u16>,
    /// Paper form: the model, and the pairs of servers that were paid for in it.
    model: usize,
    paid: Vec<u32>,
}

const NOTHING: u16 = u16::MAX;

/// A context to be made.
struct Fresh {
    id: u32,
    key: Key,
    /// The prices to begin with.
    before: Arc<Rates>,
    behind: Behind,
}

#[derive(Default)]
struct Context {
    /// The first layer that it knows ways for, and what they are below.
    from: usize,
    limit: f64,
    /// The prices of its ways.
    rates: Option<Arc<Rates>>,
    factor: f64,
    /// What is left of each server is worth so much; nothing if it is closed.
    worth: Vec<f64>,
    all: f64,
    /// Cheapest ways that begin a run (layer × server).
    enter: Vec<f64>,
    /// Cheapest ways after a layer on its own server, with so many cells left (layer × cells).
    tail: Vec<f64>,
    /// What a run on it pays for so many cells.
    run: Vec<f64>,
}

/// Where a label stands in its context.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub context: u32,
    /// The server of the context, and the cells left there.
    pub own: usize,
    pub cells: usize,
    pub closed: u64,
    pub behind: Behind,
}

impl Contexts {
    pub fn new() -> Contexts {
        Contexts {
            known: HashMap::new(),
            all: vec![Context::default()],
            free: Vec::new(),
            numbers: 0,
            alive: None,
            limit: f64::INFINITY,
        }
    }

    /// From now on only ways that may be below a limit are looked at. There are no contexts if that is too much, or the
    /// time is over.
    pub fn below(&mut self, t: &Tables, r: &Reduced, least_units: &[usize], limit: f64, clock: &mut Clock) {
        let runs = t.cells.iter().zip(least_units).map(|(&cells, &least)| {
            let longest = cells.checked_div(least).unwrap_or(t.layers).min(t.layers);
            longest.saturating_mul(cells + 1)
        });
        let effort = runs.sum::<usize>().saturating_mul(t.choices.len());
        if effort > EFFORT || t.layers.saturating_mul(t.servers * t.servers) > CROSSINGS || clock.look() {
            return;
        }
        self.limit = limit;
        self.alive = Alive::new(t, r, limit, RUNS);
    }

    /// What begins a run at layer l on a server costs at least.
    pub fn enter(&self, state: &State, l: usize, server: usize) -> f64 {
        if state.context == ROOT {
            return f64::NEG_INFINITY;
        }
        let c = &self.all[state.context as usize];
        // Its own server was left: for good, or the run is paid for.
        let gone = state.own < CLOSABLE && state.closed >> state.own & 1 == 1;
        let run = if gone { 0.0 } else { c.run[c.run.len() - 1 - c.row(state)] };
        c.bound(state) + run + c.enter[(l - c.from) * c.worth.len() + server]
    }

    /// What has run layer l on the server of its context costs at least.
    pub fn tail(&self, state: &State, l: usize) -> f64 {
        if state.context == ROOT {
            return f64::NEG_INFINITY;
        }
        let c = &self.all[state.context as usize];
        // However closed to a return it is, its run pays.
        let own = if state.own < CLOSABLE { 1 << state.own } else { 0 };
        let state = &State { closed: state.closed & !own, ..*state };
        c.bound(state) + c.tail[(l - c.from) * c.run.len() + c.row(state)]
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Forgets all that no label has, if there is little room left.
    pub fn make_room<'l>(&mut self, labels: impl Iterator<Item = &'l Label>) {
        if 8 * self.numbers <= ROOM / 2 {
            return;
        }
        let live: HashSet<u32> = labels.map(|label| label.context).collect();
        self.known.retain(|_, id| live.contains(id));
        self.free.clear();
        self.numbers = 0;
        for (id, context) in self.all.iter_mut().enumerate().skip(1) {
            if live.contains(&(id as u32)) {
                self.numbers += context.numbers();
            } else {
                *context = Context::default();
                self.free.push(id as u32);
            }
        }
    }
}

impl Context {
    fn numbers(&self) -> usize {
        let rates = self.rates.as_ref().map_or(0, |rates| rates.numbers());
        rates + self.worth.len() + self.enter.len() + self.tail.len() + self.run.len()
    }

    fn knows(&self, l: usize, limit: f64) -> bool {
        self.from <= l && self.limit >= limit
    }

    /// Without the way to the end.
    fn bound(&self, state: &State) -> f64 {
        let mut closed = state.closed;
        let mut worth = self.all;
        while closed != 0 {
            worth -= self.worth[closed.trailing_zeros() as usize];
            closed &= closed - 1;
        }
        state.behind.cost + self.factor * state.behind.errors - worth
    }

    /// The row of `tail`: nothing has more left than what it began with.
    fn row(&self, state: &State) -> usize {
        state.cells.min(self.run.len() - 1)
    }
}

impl Search<'_> {
    /// Gives labels that came to a server at layer l the context of what they left. False if the time is over: then
    /// there are no contexts any more.
    pub(super) fn enter_contexts(&mut self, front: &Front, labels: &mut [Label], l: usize, clock: &mut Clock) -> bool {
        let t = self.t;
        if l == 0 || l + 1 == t.layers || self.contexts.alive.is_none() {
            return true;
        }
        let rates = Arc::new(Rates::of(t, &self.reduced));
        let numbers = |own: usize| rates.numbers() + t.servers + (t.layers - l + 1) * (t.servers + t.cells[own] + 1);
        let mut fresh: Vec<Fresh> = Vec::new();
        // Widths of one parent on one server have the same context, if they are to come back to the same.
        let (mut before, mut last) = ((u32::MAX, 0, 0, 0), ROOT);
        for (at, label) in labels.iter_mut().enumerate() {
            if at % LABELS == 0 && clock.look() {
                self.contexts = Contexts::new();
                return false;
            }
            let parent = &front.labels[label.parent as usize];
            if parent.server == label.server {
                continue;
            }
            let same = (label.parent, label.server, label.done, label.must);
            if before == same {
                label.context = last;
                continue;
            }
            let key = self.key(front, label, l);
            let known = self.contexts.known.get(&key).copied();
            let id = match known {
                Some(id) if self.contexts.all[id as usize].knows(l, self.contexts.limit) => id,
                _ => {
                    let more = numbers(label.server as usize);
                    if 8 * (self.contexts.numbers + more) > ROOM {
                        ROOT
                    } else {
                        let contexts = &mut self.contexts;
                        let id = known.or_else(|| contexts.free.pop()).unwrap_or_else(|| {
                            contexts.all.push(Context::default());
                            contexts.all.len() as u32 - 1
                        });
                        contexts.numbers -= contexts.all[id as usize].numbers();
                        contexts.numbers += more;
                        let limit = contexts.limit;
                        let own = Context { from: l, limit, ..Context::default() };
                        let before = std::mem::replace(&mut contexts.all[id as usize], own).rates;
                        contexts.known.insert(key.clone(), id);
                        let parent = contexts.all[parent.context as usize].rates.as_ref();
                        let before = before.unwrap_or_else(|| Arc::clone(parent.unwrap_or(&rates)));
                        fresh.push(Fresh { id, key, before, behind: self.begun(label, l) });
                        id
                    }
                }
            };
            label.context = id;
            (before, last) = (same, id);
        }
        let Some(alive) = &self.contexts.alive else { return true };
        let limit = self.contexts.limit;
        let make = |Fresh { id, key, before, behind }: Fresh| {
            let own = key.own as usize;
            let left = key.left.iter().enumerate().filter(|(_, cells)| **cells != NOTHING);
            let open: Vec<Open> = left.map(|(server, &cells)| alive.open(server, cells.into())).collect();
            let must: Vec<usize> = (0..CLOSABLE).filter(|k| key.must >> k & 1 == 1).take(MUSTS).collect();
            let factors = (t.communication == Communication::Paper).then(|| self.factors(l, &open, &key.paid));
            let rest = Rest::new((t, &self.reduced, alive), l, open, &must, factors.as_deref());
            let rates = match limit.is_finite() {
                true => Arc::new(rest.tune(own, behind, (*before).clone(), STEPS, limit)),
                false => before,
            };
            let (enter, tail, run) = rest.tables(own, &rates);
            let mut worth = vec![0.0; t.servers];
            rest.open.iter().for_each(|o| worth[o.server] = rates.worth(o.server));
            let (factor, all) = (rates.factor(), worth.iter().sum());
            (id, Context { from: l, limit, rates: Some(rates), factor, worth, all, enter, tail, run })
        };
        let mut made: Vec<(u32, Context)> = Vec::with_capacity(fresh.len());
        while !fresh.is_empty() {
            if clock.look() {
                self.contexts = Contexts::new();
                return false;
            }
            let some = fresh.split_off(fresh.len().saturating_sub(MADE));
            if self.threads && some.len() > 1 {
                made.par_extend(some.into_par_iter().map(make));
            } else {
                made.extend(some.into_iter().map(make));
            }
        }
        for (id, context) in made {
            self.contexts.all[id as usize] = context;
        }
        true
    }

    /// What lies behind a label before it began its run at layer l.
    fn begun(&self, label: &Label, l: usize) -> Behind {
        let c = &self.t.choices(l)[label.choice as usize];
        let computing = self.reduced.computing(self.t, c, label.server as usize);
        self.behind(label.priced - computing, label.quality - c.quality, l)
    }

    /// What a label that just came to its server at layer l left behind.
    fn key(&self, front: &Front, label: &Label, l: usize) -> Key {
        let t = self.t;
        let (s, kinds) = (t.servers, t.kinds);
        let used = &front.used[label.parent as usize * s * kinds..][..s * kinds];
        let cells = |k: usize| {
            let left = t.capacity[k * kinds + MEMORY] - used[k * kinds + MEMORY];
            let closed = k < CLOSABLE && label.closed >> k & 1 == 1;
            if k != label.server as usize && (closed || left < self.least_memory[l - 1]) {
                return NOTHING;
            }
            let part = t.cells[k].div_ceil(PARTS).max(1);
            (t.cells_left(k, left).div_ceil(part) * part).min(t.cells[k]) as u16
        };
        let paper = t.communication == Communication::Paper;
        let model = if paper { t.model[l] } else { 0 };
        let mut paid = Vec::new();
        if paper && !t.model_ends(l - 1) {
            let from = front.labels[label.parent as usize].server;
            paid.extend(front.paid[label.parent as usize].iter().map(|paid| paid.0));
            paid.push(from * s as u32 + label.server);
            paid.sort_unstable();
            paid.dedup();
        }
        Key { own: label.server, must: label.must, left: (0..s).map(cells).collect(), model, paid }
    }

    /// Paper form: what bounds may count of a crossing of each pair from layer l on in its model, in parts of what they
    /// count at the root. Nothing where it is paid for, and more the fewer layers there is room for.
    fn factors(&self, l: usize, open: &[Open], paid: &[u32]) -> Vec<f64> {
        let (t, s) = (self.t, self.t.servers);
        let mut often = vec![0; s];
        for o in open {
            let least = self.least_units[o.server];
            often[o.server] = o.cells.checked_div(least).unwrap_or(usize::MAX).min(self.rest[l].0.div_ceil(2));
        }
        let factor = |pair: usize| {
            let (i, j) = (pair / s, pair % s);
            let share = 1.0 / often[i].min(often[j]).max(1) as f64;
            f64::max(1.0, share / t.share(l, i, j))
        };
        let mut factors: Vec<f64> = (0..s * s).map(factor).collect();
        paid.iter().for_each(|&pair| factors[pair as usize] = 0.0);
        factors
    }
}
