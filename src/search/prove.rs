//! Certificates for what a search found: covers every deadline by a Lagrangian bound, and lists those that only a
//! search could rule out.

use crate::bound::Cover;
use crate::certificate::{Certificate, Covered, Exhausted, Section, Work};
use crate::instance::Instance;
use crate::rank::Ranked;

/// At most this many linear programs go into a proof.
const PASSES: u64 = 1000;
/// Where some deadlines will stay open anyway, stop when this many linear programs in a row have not lowered the
/// largest bound.
const PATIENCE: u64 = 16;

/// Proves a bound for `instance`: `size` itself if the caller has ruled out everything larger (`complete`), or if
/// Lagrangian bounds alone do; else the best bound that they give.
pub fn certify(instance: &Instance, size: u64, complete: bool, work: &mut Work) -> Certificate {
    let lengths = instance.prompt_lengths();
    if instance.pads_to_longest() && lengths.is_empty() {
        return join(size, Vec::new());
    }
    let (Some(&shortest), Some(&longest)) = (lengths.first(), lengths.last()) else {
        let part = additive(instance, size, complete, None, work);
        return join(size, vec![part]);
    };
    let mut parts = Vec::new();
    if complete {
        // The search ran per length, so its word holds per length. Ranges that a bound settles need no splitting.
        let mut ranges = vec![(0, lengths.len() - 1)];
        while let Some((low, high)) = ranges.pop() {
            let padded = (lengths[low], lengths[high]);
            let part = additive(&instance.padded(padded.0, padded.1), size, low == high, Some(padded), work);
            if part.0 <= size {
                parts.push(part);
            } else {
                let middle = low + (high - low) / 2;
                ranges.push((low, middle));
                ranges.push((middle + 1, high));
            }
        }
    } else {
        let padded = (shortest, longest);
        parts.push(additive(&instance.padded(shortest, longest), size, false, Some(padded), work));
    }
    join(size, parts)
}

fn additive(
    instance: &Instance,
    size: u64,
    complete: bool,
    padded: Option<(u32, u32)>,
    work: &mut Work,
) -> (u64, Section) {
    let ranked = Ranked::new(instance);
    let mut cover = Cover::new(&ranked);
    let patience = if complete { PASSES } else { PATIENCE };
    work.bound_passes += cover.tighten(&ranked, size + 1, (PASSES, patience), |_| false);
    section(&ranked, &cover, size, padded, |_| complete)
}

/// The section that proves the smallest bound of at least `size` that the cover and the exhausted runs allow, with that
/// bound.
pub fn section(
    ranked: &Ranked,
    cover: &Cover,
    size: u64,
    padded: Option<(u32, u32)>,
    exhausted: impl Fn(usize) -> bool,
) -> (u64, Section) {
    let bound = cover.open(size + 1).filter(|&(run, _)| !exhausted(run)).map(|(_, bound)| bound).max().unwrap_or(size);
    let mut section = Section { padded, covered: Vec::new(), exhausted: Vec::new() };
    for (run, &d) in ranked.run_ends().iter().enumerate() {
        let multipliers = cover.multipliers(run);
        if cover.bound(run) > bound {
            section.exhausted.push(Exhausted { deadline_rank: d, multipliers });
            continue;
        }
        match section.covered.last_mut() {
            Some(last) if last.multipliers == multipliers && !follows_exhausted(&section.exhausted, last) => {
                last.last = d
            }
            _ => section.covered.push(Covered { first: d, last: d, multipliers }),
        }
    }
    (bound, section)
}

/// Whether an exhausted deadline lies behind the range, which must then not be extended over it.
fn follows_exhausted(exhausted: &[Exhausted], range: &Covered) -> bool {
    exhausted.last().is_some_and(|e| e.deadline_rank > range.last)
}

/// Joins the sections of all lengths: what holds for each holds for all.
pub fn join(size: u64, parts: Vec<(u64, Section)>) -> Certificate {
    let bound = parts.iter().map(|part| part.0).fold(size, u64::max);
    let mut sections: Vec<Section> = parts.into_iter().map(|part| part.1).collect();
    sections.sort_by_key(|section| section.padded);
    Certificate { bound, sections }
}
