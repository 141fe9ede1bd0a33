//! A proof for a batch that another search found, or no search at all.

use super::flat::{self, Goal, Run, Workspace};
use super::{Clock, Limits};
use crate::backend::Cpu;
use crate::bound::cover::join;
use crate::certificate::{Certificate, Section, Work};
use crate::instance::Instance;

/// Proves a bound for `instance`: `size` itself if the caller has ruled out everything larger (`complete`), or if
/// Lagrangian bounds alone do; else the best bound that they give.
pub fn certify(instance: &Instance, size: u64, complete: bool, work: &mut Work) -> Certificate {
    let run = &mut Run {
        clock: &mut Clock::start(&Limits::NONE),
        ws: &mut Workspace::default(),
        backend: &Cpu { pool: None },
        memory: None,
        told: None,
    };
    let mut parts = Vec::new();
    let goal = |complete| Goal::Bound { size, complete };
    let lengths = instance.prompt_lengths();
    if !instance.pads_to_longest() {
        parts.push(bound(instance, goal(complete), None, run, work));
    } else if complete && !lengths.is_empty() {
        // The search ran per length, so its word holds per length. Ranges that a bound settles need no splitting.
        let mut ranges = vec![(0, lengths.len() - 1)];
        while let Some((low, high)) = ranges.pop() {
            let padded = (lengths[low], lengths[high]);
            let part = instance.padded(padded.0, padded.1);
            let part = bound(&part, goal(low == high), Some(padded), run, work);
            if part.0 <= size {
                parts.push(part);
            } else {
                let middle = low + (high - low) / 2;
                ranges.push((low, middle));
                ranges.push((middle + 1, high));
            }
        }
    } else if let (Some(&shortest), Some(&longest)) = (lengths.first(), lengths.last()) {
        let padded = (shortest, longest);
        let part = instance.padded(shortest, longest);
        parts.push(bound(&part, goal(false), Some(padded), run, work));
    }
    join(size, parts)
}

fn bound(
    part: &Instance,
    goal: Goal,
    padded: Option<(u32, u32)>,
    run: &mut Run<'_>,
    work: &mut Work,
) -> (u64, Section) {
    let found = flat::additive(part, goal, 0, padded, run);
    work.add(&found.work);
    (found.bound, found.section)
}
