//! Checks a certificate on the integer instance: one pass per λ, and a small search of its own for each exhausted
//! deadline.
//!
//! It shares the statement of the problem with the solvers, not their search: it sorts for itself, evaluates UB_λ(d)
//! for itself, and rules out the exhausted subproblems by going over the requests one by one.

use std::time::{Duration, Instant};

use super::Failure;
use crate::bound::Multipliers;
use crate::certificate::{Certificate, Section};
use crate::instance::Instance;
use crate::rank::RESOURCES;

type Cost = [u64; RESOURCES];

/// The most kinds of requests that an exhausted deadline may leave undecided: beyond it a search is hopeless.
const MAX_OPEN: usize = 4096;

/// Checks that `certificate` proves that no feasible batch of `instance` is larger than its bound.
///
/// `check_padded` is asked whether the instance is charged rightly for each range of longest prompts that a section is
/// about.
///
/// # Errors
/// What is not proven.
pub fn check(
    instance: &Instance,
    certificate: &Certificate,
    limit: Option<Duration>,
    check_padded: impl Fn(u32, u32) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let end = limit.and_then(|limit| Instant::now().checked_add(limit));
    let sections = &certificate.sections;
    if instance.pads_to_longest() {
        check_ranges(&instance.prompt_lengths(), sections)?;
    } else if sections.len() != 1 || sections[0].padded.is_some() {
        return fail("one section is needed, without padding".to_string());
    }
    for section in sections {
        in_time(end)?;
        let additive = match section.padded {
            Some((from, to)) => {
                check_padded(from, to)?;
                instance.padded(from, to)
            }
            None => instance.clone(),
        };
        Checker::new(&additive, certificate.bound, end).check(section)?;
    }
    Ok(())
}

/// Every batch has a longest prompt, which some section must be about: one sweep over lengths and sections in ascending
/// order.
fn check_ranges(lengths: &[u32], sections: &[Section]) -> Result<(), Failure> {
    let longest = lengths.last().copied().unwrap_or(0);
    let mut ranges: Vec<(u32, u32)> = Vec::with_capacity(sections.len());
    for section in sections {
        match section.padded {
            Some((from, to)) if from <= to && to <= longest => ranges.push((from, to)),
            range => return fail(format!("there are no prompts of the lengths {range:?}")),
        }
    }
    ranges.sort_unstable();
    let mut next = 0;
    for (from, to) in ranges {
        if lengths.get(next).is_some_and(|&length| length < from) {
            break;
        }
        next = next.max(lengths.partition_point(|&length| length <= to));
    }
    match lengths.get(next) {
        Some(length) => fail(format!("no section is about batches whose longest prompt has {length} tokens")),
        None => Ok(()),
    }
}

fn in_time(end: Option<Instant>) -> Result<(), Failure> {
    match end {
        Some(end) if Instant::now() >= end => fail("it could not be checked within the time limit".to_string()),
        _ => Ok(()),
    }
}

fn fail<T>(detail: String) -> Result<T, Failure> {
    Err(Failure::new("certificate", detail))
}

/// Requests by descending budget, ties in input order.
struct Checker {
    requests: Vec<(u64, Cost)>,
    fixed: [u64; 3],
    bound: u64,
    end: Option<Instant>,
}

impl Checker {
    fn new(instance: &Instance, bound: u64, end: Option<Instant>) -> Self {
        let cost = |row| <[u64; RESOURCES]>::from(instance.row(row));
        let mut requests: Vec<(u64, Cost)> =
            (0..instance.len()).map(|row| (instance.columns().budget[row], cost(row))).collect();
        requests.sort_by_key(|&(budget, _)| std::cmp::Reverse(budget));
        let c = instance.capacity();
        Checker { requests, fixed: [c.uplink, c.downlink, c.kv_tokens], bound, end }
    }

    fn check(&self, section: &Section) -> Result<(), Failure> {
        let n = self.requests.len();
        // Only the last of several d with one deadline matters: its requests include the others', under the same
        // budget.
        let ends: Vec<usize> = (1..=n).filter(|&d| d == n || self.requests[d].0 != self.requests[d - 1].0).collect();
        let mut proven = vec![false; n + 1];
        // One pass for each λ, over all the ranges that it covers.
        let mut covered = section.covered.clone();
        covered.sort_by_key(|c| (c.multipliers.one_bits(), c.multipliers.lambda(), c.first));
        for ranges in covered.chunk_by(|a, b| a.multipliers == b.multipliers) {
            in_time(self.end)?;
            let mut ds = Vec::new();
            for c in ranges {
                let (first, last) = (c.first as usize, c.last as usize);
                if first < 1 || first > last || last > n {
                    return fail(format!("there are no deadlines {first} to {last}"));
                }
                let from = ends.partition_point(|&d| d < first);
                let to = ends.partition_point(|&d| d <= last);
                ds.extend_from_slice(&ends[from..to]);
            }
            // Ranges of one λ may overlap.
            ds.sort_unstable();
            self.cover(&ranges[0].multipliers, &ds, &mut proven)?;
        }
        for e in &section.exhausted {
            in_time(self.end)?;
            let d = e.deadline_rank as usize;
            if ends.binary_search(&d).is_err() {
                return fail(format!("there is no deadline {d}, or it is not the last of equal ones"));
            }
            if proven[d] {
                continue;
            }
            if self.batch_exists(d, &e.multipliers)? {
                return fail(format!("a batch of {} requests may exist at deadline {d}", self.bound + 1));
            }
            proven[d] = true;
        }
        match ends.iter().find(|&&d| !proven[d]) {
            Some(d) => fail(format!("nothing bounds the batches at deadline {d}")),
            None => Ok(()),
        }
    }

    fn price(m: &Multipliers, cost: &Cost) -> u128 {
        m.lambda().iter().zip(cost).map(|(&l, &c)| u128::from(l) * u128::from(c)).sum()
    }

    fn capacities(&self, d: usize) -> Cost {
        [self.fixed[0], self.fixed[1], self.fixed[2], self.requests[d - 1].0]
    }

    /// Checks UB_λ(d) < bound + 1 for each d given, ascending.
    fn cover(&self, m: &Multipliers, ds: &[usize], proven: &mut [bool]) -> Result<(), Failure> {
        let one = 1u128 << m.one_bits();
        let (mut gained, mut counted) = (0u128, 0);
        for &d in ds {
            while counted < d {
                gained += one.saturating_sub(Self::price(m, &self.requests[counted].1));
                counted += 1;
            }
            let bound = ((Self::price(m, &self.capacities(d)) + gained) >> m.one_bits()).min(d as u128);
            if bound > u128::from(self.bound) {
                return fail(format!("its multipliers bound deadline {d} by {bound}, not by {}", self.bound));
            }
            proven[d] = true;
        }
        Ok(())
    }

    /// Whether a batch of bound + 1 requests fits among the first d under their deadline.
    fn batch_exists(&self, d: usize, m: &Multipliers) -> Result<bool, Failure> {
        let Some(size) = usize::try_from(self.bound).ok().and_then(|b| b.checked_add(1)).filter(|&size| size <= d)
        else {
            return Ok(false);
        };
        let one = 1u128 << m.one_bits();
        let (mut regret, mut must, mut may) = (Self::price(m, &self.capacities(d)), Vec::new(), Vec::new());
        for (_, cost) in &self.requests[..d] {
            let price = Self::price(m, cost);
            regret += one.saturating_sub(price);
            may.push((one.abs_diff(price), one > price, *cost));
        }
        // What a batch of this size may lose against the bound.
        let Some(regret) = regret.checked_sub((size as u128) << m.one_bits()) else { return Ok(false) };
        may.retain(|&(loss, wanted, cost)| {
            if loss > regret && wanted {
                must.push(cost);
            }
            loss <= regret
        });
        let mut room = self.capacities(d);
        for cost in &must {
            for r in 0..RESOURCES {
                let Some(left) = room[r].checked_sub(cost[r]) else { return Ok(false) };
                room[r] = left;
            }
        }
        // What no longer fits beside the certain ones stays out, at its loss.
        let mut lost = 0u128;
        may.retain(|&(loss, wanted, cost)| {
            let fits = (0..RESOURCES).all(|r| cost[r] <= room[r]);
            lost = lost.saturating_add(if fits || !wanted { 0 } else { loss });
            fits
        });
        let Some(regret) = regret.checked_sub(lost) else { return Ok(false) };
        let Some(need) = size.checked_sub(must.len()) else { return Ok(false) };
        may.sort_unstable_by_key(|&(loss, _, cost)| (std::cmp::Reverse(loss), cost));
        // Equal requests are alike: only how many of them are taken matters.
        let kind = |alike: &[(u128, bool, Cost)]| Kind {
            loss: alike[0].0,
            wanted: alike[0].1,
            cost: alike[0].2,
            of: alike.len(),
        };
        let kinds: Vec<Kind> = may.chunk_by(|a, b| a.2 == b.2).map(kind).collect();
        if kinds.len() > MAX_OPEN {
            let kinds = kinds.len();
            return fail(format!("deadline {d} leaves {kinds} kinds of requests undecided, too many to check"));
        }
        let mut search = Exhaust { checker: self, least: least_needs(&may, &kinds), kinds, steps: 0 };
        search.any(need, room, regret)
    }
}

/// Requests with the same costs.
struct Kind {
    loss: u128,
    wanted: bool,
    cost: Cost,
    of: usize,
}

struct Exhaust<'c> {
    checker: &'c Checker,
    kinds: Vec<Kind>,
    /// By kind: what any m requests of it and those after it need at least; empty where that is not known.
    least: Vec<Vec<Cost>>,
    steps: u64,
}

/// A node of the search: `need` more requests are wanted from a kind on, of which `count` to `most` may be taken.
#[derive(Clone, Copy)]
struct Node {
    need: usize,
    room: Cost,
    regret: u128,
    count: usize,
    most: usize,
}

impl Exhaust<'_> {
    /// Whether some choice of counts reaches `need`. The stack holds a node for each kind decided.
    fn any(&mut self, need: usize, room: Cost, regret: u128) -> Result<bool, Failure> {
        if need == 0 {
            return Ok(true);
        }
        let mut path: Vec<Node> = self.node(0, need, room, regret).into_iter().collect();
        while let Some(&node) = path.last() {
            self.steps += 1;
            if self.steps.is_multiple_of(4096) {
                in_time(self.checker.end)?;
            }
            let at = path.len() - 1;
            if node.count > node.most {
                path.pop();
                continue;
            }
            path[at].count += 1;
            let kind = &self.kinds[at];
            let against = if kind.wanted { kind.of - node.count } else { node.count };
            let Some(regret) = node.regret.checked_sub(kind.loss.saturating_mul(against as u128)) else { continue };
            if node.count == node.need {
                return Ok(true);
            }
            // It fits: `most` says so.
            let room = std::array::from_fn(|r| node.room[r] - kind.cost[r] * node.count as u64);
            path.extend(self.node(at + 1, node.need - node.count, room, regret));
        }
        Ok(false)
    }

    /// The node at kind `at`, with the counts that fit and do not lose too much; none if nothing can come of it.
    fn node(&self, at: usize, need: usize, room: Cost, regret: u128) -> Option<Node> {
        let kind = self.kinds.get(at)?;
        if !self.cheapest_fit(at, need, &room) || !self.each_alone(at, need, &room) {
            return None;
        }
        let bearable = usize::try_from(regret.checked_div(kind.loss).unwrap_or(u128::MAX)).unwrap_or(usize::MAX);
        let count = if kind.wanted { kind.of.saturating_sub(bearable) } else { 0 };
        let most = kind.fitting(&room).min(need).min(if kind.wanted { usize::MAX } else { bearable });
        Some(Node { need, room, regret, count, most })
    }

    /// Whether the `need` cheapest of the requests from kind `at` on fit, in each resource by itself.
    fn cheapest_fit(&self, at: usize, need: usize, room: &Cost) -> bool {
        // Near the root there is little to gain.
        match self.least.get(at).filter(|least| !least.is_empty()) {
            Some(least) => least.get(need).is_some_and(|least| (0..RESOURCES).all(|r| least[r] <= room[r])),
            None => true,
        }
    }

    /// Whether the last few kinds could hold `need` requests, if each had all the room for itself.
    fn each_alone(&self, at: usize, need: usize, room: &Cost) -> bool {
        const FEW: usize = 16;
        self.kinds.len() - at > FEW || self.kinds[at..].iter().map(|kind| kind.fitting(room)).sum::<usize>() >= need
    }
}

impl Kind {
    /// How many of them fit.
    fn fitting(&self, room: &Cost) -> usize {
        let fit = |r: usize| room[r].checked_div(self.cost[r]).map_or(usize::MAX, |fit| fit as usize);
        (0..RESOURCES).map(fit).fold(self.of, usize::min)
    }
}

/// By kind, for the last of them that have few requests together: what the m cheapest of it and those after it need of
/// each resource.
fn least_needs(may: &[(u128, bool, Cost)], kinds: &[Kind]) -> Vec<Vec<Cost>> {
    const LONGEST_END: usize = 256;
    let mut first = 0;
    let least = |kind: &Kind| {
        let end = &may[first..];
        first += kind.of;
        if end.len() > LONGEST_END {
            return Vec::new();
        }
        let sorted: [Vec<u64>; RESOURCES] = std::array::from_fn(|r| {
            let mut costs: Vec<u64> = end.iter().map(|m| m.2[r]).collect();
            costs.sort_unstable();
            costs
        });
        let mut sums = vec![[0; RESOURCES]];
        for m in 0..end.len() {
            sums.push(std::array::from_fn(|r| sums[m][r] + sorted[r][m]));
        }
        sums
    };
    kinds.iter().map(least).collect()
}
