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
        let kinds = may.chunk_by(|a, b| a.2 == b.2).count();
        if kinds > MAX_OPEN {
            return fail(format!("deadline {d} leaves {kinds} kinds of requests undecided, too many to check"));
        }
        let alike = may.len() - may.iter().rev().take_while(|m| Some(m.2) == may.last().map(|last| last.2)).count();
        let mut search = Exhaust { checker: self, may: &may, alike, least: least_needs(&may), steps: 0 };
        search.any(Node { at: 0, need, room, regret, took: true })
    }
}

struct Exhaust<'c> {
    checker: &'c Checker,
    may: &'c [(u128, bool, Cost)],
    /// From here on they are all equal.
    alike: usize,
    least: Vec<Vec<Cost>>,
    steps: u64,
}

/// A node of the search: `need` more requests are wanted from `at` on.
#[derive(Clone, Copy)]
struct Node {
    at: usize,
    need: usize,
    room: Cost,
    regret: u128,
    /// Whether the request before `at` was taken.
    took: bool,
}

impl Exhaust<'_> {
    /// Whether some way from `root` on reaches its size. A stack of the ways not gone yet, at most one per request.
    fn any(&mut self, root: Node) -> Result<bool, Failure> {
        let mut open = vec![root];
        while let Some(node) = open.pop() {
            self.steps += 1;
            if self.steps.is_multiple_of(4096) {
                in_time(self.checker.end)?;
            }
            if node.need == 0 {
                return Ok(true);
            }
            let Some(&(loss, wanted, cost)) = self.may.get(node.at) else { continue };
            if node.at >= self.alike {
                // Which of equal ones are taken makes no difference, only how many.
                let rest = self.may.len() - node.at;
                let against = if wanted { rest.saturating_sub(node.need) } else { node.need };
                let fits = |r: usize| node.need as u128 * u128::from(cost[r]) <= u128::from(node.room[r]);
                let loss = (against as u128).saturating_mul(loss);
                if node.need <= rest && loss <= node.regret && (0..RESOURCES).all(fits) {
                    return Ok(true);
                }
                continue;
            }
            if self.may.len() - node.at < node.need || !self.cheapest_fit(node.at, node.need, &node.room) {
                continue;
            }
            let (take_loss, leave_loss) = if wanted { (0, loss) } else { (loss, 0) };
            if leave_loss <= node.regret {
                open.push(Node { at: node.at + 1, regret: node.regret - leave_loss, took: false, ..node });
            }
            let fits = (0..RESOURCES).all(|r| cost[r] <= node.room[r]);
            // Of equal requests the first are taken: one is only taken after its equal before it.
            let equal_left_out = node.at > 0 && self.may[node.at - 1].2 == cost && !node.took;
            if fits && !equal_left_out && take_loss <= node.regret {
                open.push(Node {
                    at: node.at + 1,
                    need: node.need - 1,
                    room: std::array::from_fn(|r| node.room[r] - cost[r]),
                    regret: node.regret - take_loss,
                    took: true,
                });
            }
        }
        Ok(false)
    }

    /// Whether the `need` cheapest of the requests from `at` on fit, in each resource by itself.
    fn cheapest_fit(&self, at: usize, need: usize, room: &Cost) -> bool {
        // Near the root there is little to gain.
        match self.least.get(self.may.len() - at) {
            Some(least) => (0..RESOURCES).all(|r| least[need][r] <= room[r]),
            None => true,
        }
    }
}

/// For each of the shortest ends of the list (by its length), what the m cheapest of it need of each resource.
fn least_needs(may: &[(u128, bool, Cost)]) -> Vec<Vec<Cost>> {
    const LONGEST_END: usize = 256;
    let ends = (0..=may.len().min(LONGEST_END)).map(|length| &may[may.len() - length..]);
    let least = |end: &[(u128, bool, Cost)]| {
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
    ends.map(least).collect()
}
