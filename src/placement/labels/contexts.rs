//! Ways to the end for labels that left much the same behind them: servers that were left have only what is left of them,
//! closed ones are gone, and those that are to be come back to are. They are far tighter than those of the root.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::runs::{Alive, Open, Runs, onward};
use super::{CLOSABLE, Front, Label, Search};
use crate::placement::delay::Communication;
use crate::placement::prices::Reduced;
use crate::placement::tables::{MEMORY, Tables};
use crate::search::Clock;

/// The context of labels that have none: the ways of the root.
pub(super) const ROOT: u32 = 0;
/// Bytes of all contexts: what they are made from may take as much again. Labels that find no room have none, until those
/// of the next layer find what has become free.
const ROOM: usize = 256 << 20;
/// Servers to come back to that a context knows: with few servers, and with many, where each costs more and says less.
const MUSTS: (usize, usize) = (3, 2);
const FEW_SERVERS: usize = 10;
/// Parts of a memory that are told apart.
const PARTS: usize = 16;
/// Crossings between layers, and runs on whole servers, from which on there are no contexts: what is known of them would
/// be too large, and take too long.
const CROSSINGS: usize = 5_000_000;
const RUNS: usize = 1_000_000;
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
    /// Costs of runs on a server with so many cells left.
    runs: HashMap<(usize, usize), Runs>,
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
    /// Paper form: pairs of servers that were paid for.
    paid: Vec<u32>,
}

const NOTHING: u16 = u16::MAX;

#[derive(Default)]
struct Context {
    /// The first layer that it knows ways for.
    from: usize,
    /// Price of what is used of each server: ways to the end do not pay for it.
    spent: Vec<f64>,
    /// Cheapest ways that begin a run (layer × server).
    enter: Vec<f64>,
    /// Cheapest ways after a layer on its own server, with so many cells left (layer × cells).
    tail: Vec<f64>,
    rows: usize,
}

impl Contexts {
    pub fn new() -> Contexts {
        Contexts {
            known: HashMap::new(),
            all: vec![Context::default()],
            free: Vec::new(),
            numbers: 0,
            runs: HashMap::new(),
            alive: None,
            limit: f64::INFINITY,
        }
    }

    /// From now on only ways that may be below a limit are looked at. There are no contexts if that is too much, or the time
    /// is over.
    pub fn below(&mut self, t: &Tables, r: &Reduced, least_units: &[usize], limit: f64, clock: &mut Clock) {
        let longest = |(cells, least): (&usize, &usize)| cells.checked_div(*least).unwrap_or(t.layers).min(t.layers);
        let runs = t.cells.iter().zip(least_units).map(longest).sum::<usize>().saturating_mul(t.layers);
        if t.layers.saturating_mul(t.servers * t.servers) > CROSSINGS || runs > RUNS {
            return;
        }
        if limit > self.limit {
            *self = Contexts::new();
        }
        self.limit = limit;
        for (i, &cells) in t.cells.iter().enumerate() {
            if clock.look() {
                return;
            }
            self.runs.entry((i, cells)).or_insert_with(|| Runs::new(t, r, i, cells));
        }
        let runs: Vec<&Runs> = t.cells.iter().enumerate().map(|(i, &cells)| &self.runs[&(i, cells)]).collect();
        self.alive = Some(Alive::new(t, r, &runs, limit));
    }

    /// The cheapest way to the end that begins a run at layer l on a server that a label with this context goes to.
    pub fn enter(&self, t: &Tables, r: &Reduced, context: u32, l: usize, server: usize) -> f64 {
        if context == ROOT {
            return r.enter[l * t.servers + server];
        }
        let c = &self.all[context as usize];
        c.spent[server] + c.enter[(l - c.from) * t.servers + server]
    }

    /// The cheapest way to the end after layer l on the server that a label with this context is on.
    pub fn tail(&self, t: &Tables, r: &Reduced, context: u32, l: usize, server: usize, cells: usize) -> f64 {
        if context == ROOT {
            return r.tail(t, l, server, cells);
        }
        let c = &self.all[context as usize];
        c.spent[server] + c.tail[(l - c.from) * c.rows + cells]
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Forgets all that no label has, if there is little room left.
    pub fn make_room(&mut self, labels: &[Label]) {
        if 8 * self.numbers <= ROOM / 2 {
            return;
        }
        let live: HashSet<u32> = labels.iter().map(|label| label.context).collect();
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
        self.spent.len() + self.enter.len() + self.tail.len()
    }
}

impl Search<'_> {
    /// Gives labels that came to a server at layer l the context of what they left. False if the time is over: then there
    /// are no contexts any more.
    pub(super) fn enter_contexts(&mut self, front: &Front, labels: &mut [Label], l: usize, clock: &mut Clock) -> bool {
        let t = self.t;
        if l == 0 || l + 1 == t.layers || self.contexts.alive.is_none() {
            return true;
        }
        let numbers = |own: usize| t.servers + (t.layers - l) * (t.servers + t.cells[own] + 1);
        let mut fresh: Vec<(u32, Key)> = Vec::new();
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
                Some(id) if self.contexts.all[id as usize].from <= l => id,
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
                        let context = &mut contexts.all[id as usize];
                        contexts.numbers = contexts.numbers - context.numbers() + more;
                        *context = Context { from: l, ..Context::default() };
                        contexts.known.insert(key.clone(), id);
                        fresh.push((id, key));
                        id
                    }
                }
            };
            label.context = id;
            (before, last) = (same, id);
        }
        let r = &self.reduced;
        for (_, key) in &fresh {
            for (server, &cells) in key.left.iter().enumerate().filter(|(_, cells)| **cells != NOTHING) {
                let new = || Runs::new(t, r, server, cells.into());
                self.contexts.runs.entry((server, cells.into())).or_insert_with(new);
            }
            if clock.look() {
                self.contexts = Contexts::new();
                return false;
            }
        }
        let known = if t.servers <= FEW_SERVERS { MUSTS.0 } else { MUSTS.1 };
        let runs = &self.contexts.runs;
        let Some(alive) = &self.contexts.alive else { return true };
        let make = |(id, key): (u32, Key)| {
            let own = key.own as usize;
            let left = || {
                key.left.iter().enumerate().filter(|(_, cells)| **cells != NOTHING).map(|(i, &cells)| (i, cells.into()))
            };
            let open: Vec<Open<'_>> =
                left().map(|(server, cells)| Open { server, cells, runs: &runs[&(server, cells)] }).collect();
            let must: Vec<usize> = (0..CLOSABLE).filter(|k| key.must >> k & 1 == 1).take(known).collect();
            let factors = (t.communication == Communication::Paper).then(|| self.factors(l, &open, &key.paid));
            let (enter, tail) = onward(t, r, (alive, factors.as_deref()), l, &open, own, &must);
            let mut spent = vec![0.0; t.servers];
            left().for_each(|(i, cells)| spent[i] = r.run(t, i, t.cells[i] - cells));
            (id, Context { from: l, spent, enter, tail, rows: t.cells[own] + 1 })
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
        let mut paid = Vec::new();
        if t.communication == Communication::Paper && !t.model_ends(l - 1) {
            let from = front.labels[label.parent as usize].server;
            paid.extend(front.paid[label.parent as usize].iter().map(|paid| paid.0));
            paid.push(from * s as u32 + label.server);
            paid.sort_unstable();
            paid.dedup();
        }
        Key { own: label.server, must: label.must, left: (0..s).map(cells).collect(), paid }
    }

    /// Paper form: what bounds may count of a crossing of each pair from layer l on in its model, in parts of what they
    /// count at the root. Nothing where it is paid for, and more the fewer layers there is room for.
    fn factors(&self, l: usize, open: &[Open<'_>], paid: &[u32]) -> Vec<f64> {
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
