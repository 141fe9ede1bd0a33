//! Every batch, one request at a time: the simplest search that is right for any instance.
//!
//! Ranks come in descending order of deadline, so the request taken last has the tightest. A partial batch that breaks
//! a constraint is given up, since costs only grow and the deadline only tightens (feasibility is hereditary); one that
//! cannot grow beyond the best is given up too. Nothing else is pruned: about 2^I nodes, for I up to 25 or so.

use super::{Clock, Found};
use crate::certificate::Work;
use crate::rank::{COMPUTE, Left, Ranked};

/// The largest batch with more than `incumbent` requests.
pub fn search(ranked: &Ranked, incumbent: u64, clock: &mut Clock) -> Found {
    let n = ranked.len();
    let mut found = Found { batch: None, complete: true, work: Work { subproblems: 1, ..Work::default() } };
    let mut best = incumbent as usize;
    let mut batch: Vec<u32> = Vec::new();
    // Compute used so far is what is missing of its share, since the deadline tightens as requests are added.
    let [uplink, downlink, kv_tokens] = ranked.fixed_capacities();
    let mut left = Left([uplink, downlink, kv_tokens, u64::MAX]);
    let used_compute = |left: &Left| u64::MAX - left.0[COMPUTE];
    // Ranks below `at` are decided; `batch` holds those taken.
    let mut at = 0;
    let mut over = clock.look();
    loop {
        if !over {
            found.work.nodes += 1;
            over = clock.tick();
        }
        if over {
            found.complete = false;
            found.work.stopped = true;
            return found;
        }
        if batch.len() > best {
            best = batch.len();
            found.batch = Some(batch.clone());
        }
        if at < n && batch.len() + (n - at) > best {
            let cost = ranked.cost(at);
            found.work.paths_checked += 1;
            if left.fits(&cost) && used_compute(&left) + cost[COMPUTE] <= ranked.budget(at) {
                left.take(&cost);
                batch.push(at as u32);
            }
            at += 1;
            continue;
        }
        // Leave out the request taken last, and go on behind it.
        let Some(last) = batch.pop() else { return found };
        left.give(&ranked.cost(last as usize));
        at = last as usize + 1;
    }
}
