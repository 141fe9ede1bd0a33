//! The searches, and the proof that each hands over with its batch.
//!
//! In: an [`Instance`]. Out: a [`Solution`]. The parts:
//! - `flat`: the exact solver for any instance, the default;
//! - `lengths`: the same where batches are padded to their longest prompt;
//! - `algorithm1`: the paper's DFTSP, verbatim; the same from a proven bound; and what it visits, counted;
//! - `enumerate`: its tree without pruning, for many threads or a device;
//! - `brute_force`: every batch, pruned by nothing but feasibility and size;
//! - `leaf`: one subproblem (z, d): what is free in it, and the walk of its tree;
//! - `limits`: time, memory and cancellation, and who is told of progress;
//! - `prove`: turns what a search found into a certificate.

pub(crate) mod algorithm1;
pub(crate) mod brute_force;
pub(crate) mod enumerate;
pub(crate) mod flat;
pub(crate) mod leaf;
pub(crate) mod lengths;
mod limits;
pub(crate) mod prove;

pub use algorithm1::{Visits, visits};
pub use limits::{Cancel, Limits, Observer, Progress};
pub(crate) use limits::{Clock, Told};

use crate::certificate::{Solution, Work};
use crate::device::Ran;
use crate::instance::Instance;
use crate::rank::Ranked;

/// What a search of an additive instance found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// The largest batch found that is larger than the caller's incumbent, as ranks.
    pub batch: Option<Vec<u32>>,
    /// Whether everything larger was ruled out.
    pub complete: bool,
    /// What was done.
    pub work: Work,
}

/// Runs an exhaustive search of additive instances on any instance, and proves the result.
///
/// `search` gets an additive instance, the same by rank, and the size to beat. Where batches are padded to their
/// longest prompt it runs once per distinct prompt length, longest first, with the incumbent carried over.
pub(crate) fn exhaustive(
    instance: &Instance,
    clock: &mut Clock,
    search: impl Fn(&Instance, &Ranked, u64, &mut Clock) -> Found,
) -> Solution {
    let mut best: Vec<u32> = Vec::new();
    let mut work = Work::default();
    let mut complete = true;
    let run = |additive: &Instance, incumbent: u64, clock: &mut Clock| {
        let ranked = Ranked::new(additive);
        let found = search(additive, &ranked, incumbent, clock);
        let rows = found.batch.as_ref().map(|batch| original_rows(instance, additive, &ranked.rows(batch)));
        (found, rows)
    };
    if instance.pads_to_longest() {
        for length in instance.prompt_lengths().into_iter().rev() {
            if clock.look() {
                (work.stopped, complete) = (true, false);
                break;
            }
            let (found, rows) = run(&instance.padded(length, length), best.len() as u64, clock);
            complete &= found.complete;
            work.add(&found.work);
            best = rows.unwrap_or(best);
        }
    } else {
        let (found, rows) = run(instance, 0, clock);
        (complete, work) = (found.complete, found.work);
        best = rows.unwrap_or_default();
    }
    let certificate = prove::certify(instance, best.len() as u64, complete, &mut work);
    Solution { rows: best, certificate, work, ran: Ran::CPU }
}

/// Rows of `part`, which holds some of the requests of `whole` in the same order, as rows of `whole`.
pub(crate) fn original_rows(whole: &Instance, part: &Instance, rows: &[u32]) -> Vec<u32> {
    let requests = &whole.columns().request;
    if part.len() == whole.len() {
        return rows.to_vec();
    }
    let mut at = 0;
    let place = |&row: &u32| {
        let request = part.columns().request[row as usize];
        while requests[at] != request {
            at += 1;
        }
        at as u32
    };
    rows.iter().map(place).collect()
}
