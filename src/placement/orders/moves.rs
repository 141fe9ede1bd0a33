//! Changes of an order around one of its places.

use super::costs::{ALL, Costs, Part};
use super::line::{Line, Room};

/// Places that a change of two blocks reaches over, and those that a server's memory is divided between.
const FARTHEST: usize = 24;
const NEAR: usize = 6;
/// Of the changes of blocks that begin at a place, so many with the fastest links are valued.
const VALUED: usize = 3;
/// Links may become slower by this part of the value where blocks change: other layers may be where they are.
const SLACK: f64 = 0.005;

/// The best change of a line so far: what it has from a up to b gives way to `middle`.
pub(super) struct Change<'a> {
    fan: &'a [Costs<'a>],
    line: &'a Line,
    room: &'a mut Room,
    pub value: f64,
    a: usize,
    b: usize,
    middle: Vec<usize>,
}

impl<'a> Change<'a> {
    /// None yet: it is to be better than the line by more than what rounds off.
    pub fn none(fan: &'a [Costs<'a>], line: &'a Line, room: &'a mut Room) -> Change<'a> {
        Change { fan, line, room, value: line.value - line.rounding(), a: 0, b: 0, middle: Vec::new() }
    }

    fn consider(&mut self, a: usize, b: usize, middle: &[usize]) {
        let value = self.line.with(self.fan, a, b, middle, self.value, self.room);
        if value < self.value {
            (self.value, self.a, self.b) = (value, a, b);
            self.middle.clear();
            self.middle.extend_from_slice(middle);
        }
    }

    /// What it has from a up to b gives way to this; none if no change is better.
    pub fn found(self) -> Option<(usize, usize, Vec<usize>)> {
        (self.b > 0 || !self.middle.is_empty()).then_some((self.a, self.b, self.middle))
    }

    /// One server less, more, or another one.
    pub fn near(&mut self, at: usize) {
        let (order, servers) = (&self.line.order, self.fan[0].t.servers);
        let n = order.len();
        if n > 1 {
            self.consider(at, at + 1, &[]);
        }
        let mut used = vec![0; servers];
        let part = |k: usize| self.fan[0].parts[k];
        order.iter().for_each(|&k| used[part(k).server] += part(k).share);
        for (i, used) in used.into_iter().enumerate() {
            if used == 0 {
                self.consider(at, at, &[i]);
                if at + 1 == n {
                    self.consider(n, n, &[i]);
                }
            }
            // What is there gives way.
            let own = if part(order[at]).server == i { part(order[at]).share } else { 0 };
            if used == own && order[at] != i {
                self.consider(at, at + 1, &[i]);
            }
        }
    }

    /// All of a server's memory divided between this place and one of those near on whose links are fastest.
    pub fn divided(&mut self, at: usize, shares: &[usize]) {
        let (order, parts) = (&self.line.order, self.fan[0].parts);
        let Part { server, share, .. } = parts[order[at]];
        if share < ALL {
            return;
        }
        let n = order.len();
        let link = |a: Option<usize>, b: Option<usize>| a.zip(b).map_or(0.0, |(a, b)| self.fan[0].link(a, b));
        let mut places: Vec<(f64, usize)> = (at.saturating_sub(NEAR)..=(at + NEAR + 1).min(n))
            .filter(|&b| b != at && b != at + 1)
            .map(|b| {
                let (before, after) = (b.checked_sub(1).map(|b| order[b]), order.get(b).copied());
                (link(before, Some(server)) + link(Some(server), after) - link(before, after), b)
            })
            .filter(|place| place.0.is_finite())
            .collect();
        places.sort_unstable_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
        places.truncate(VALUED);
        let mut middle = Vec::new();
        for (_, other) in places {
            let (from, to) = if other > at { (at, other) } else { (other, at + 1) };
            for &share in shares {
                let (Some(here), Some(there)) = (self.part(server, share), self.part(server, ALL - share)) else {
                    continue;
                };
                middle.clear();
                if other > at {
                    middle.push(here);
                    middle.extend_from_slice(&order[at + 1..other]);
                    middle.push(there);
                } else {
                    middle.push(there);
                    middle.extend_from_slice(&order[other..at]);
                    middle.push(here);
                }
                self.consider(from, to, &middle);
            }
        }
    }

    /// All of a divided server's memory at one of its places.
    pub fn whole(&mut self, at: usize) {
        let (order, parts) = (&self.line.order, self.fan[0].parts);
        let Part { server, share, .. } = parts[order[at]];
        let Some(all) = self.part(server, ALL).filter(|_| share < ALL) else { return };
        let mut middle = Vec::new();
        for other in (0..order.len()).filter(|&b| b != at && parts[order[b]].server == server) {
            let (from, to) = (at.min(other), at.max(other));
            for keep in [from, to] {
                middle.clear();
                let stay = |k: usize| (k == keep).then_some(all).or((k != from && k != to).then_some(order[k]));
                middle.extend((from..=to).filter_map(stay));
                self.consider(from, to + 1, &middle);
            }
        }
    }

    fn part(&self, server: usize, share: usize) -> Option<usize> {
        self.fan[0].parts.iter().position(|part| (part.server, part.share) == (server, share))
    }

    /// Two neighbouring blocks exchanged, or one reversed: those from this place on whose links are fastest.
    pub fn far(&mut self, a: usize) {
        let order = &self.line.order;
        let n = order.len();
        let at = |a: usize| order.get(a).copied();
        let link = |a: Option<usize>, b: Option<usize>| a.zip(b).map_or(0.0, |(a, b)| self.fan[0].link(a, b));
        let before = a.checked_sub(1).and_then(at);
        // Up to c, and where it is divided; 0 where it is reversed.
        let mut changes: Vec<(f64, usize, usize)> = Vec::new();
        let (mut forwards, mut backwards) = (0.0, 0.0);
        for c in a + 2..=n.min(a + FARTHEST) {
            let (first, last) = (at(a), at(c - 1));
            forwards += link(at(c - 2), last);
            backwards += link(last, at(c - 2));
            let was = link(before, first) + link(last, at(c));
            let reversed = link(before, last) + backwards + link(first, at(c)) - forwards - was;
            changes.push((reversed, 0, c));
            for b in a + 1..c {
                let (end, begin) = (at(b - 1), at(b));
                let swapped = link(before, begin) + link(last, first) + link(end, at(c));
                changes.push((swapped - was - link(end, begin), b, c));
            }
        }
        let slack = SLACK * self.line.value.abs();
        changes.retain(|change| change.0 < slack);
        changes.sort_unstable_by(|x, y| x.0.total_cmp(&y.0).then((x.1, x.2).cmp(&(y.1, y.2))));
        changes.truncate(VALUED);
        let mut middle = Vec::with_capacity(n);
        for (_, b, c) in changes {
            middle.clear();
            middle.extend_from_slice(&order[a..c]);
            if b == 0 {
                middle.reverse()
            } else {
                middle.rotate_left(b - a)
            }
            self.consider(a, c, &middle);
        }
    }
}

/// Whether an order may have part `i` as well: no more of its server than there is.
pub(super) fn fits(fan: &[Costs<'_>], order: &[usize], i: usize) -> bool {
    let parts = fan[0].parts;
    let same = order.iter().map(|&k| parts[k]).filter(|part| part.server == parts[i].server);
    same.map(|part| part.share).sum::<usize>() + parts[i].share <= ALL
}
