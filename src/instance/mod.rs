//! The problem in integers: the only thing that a solver sees.
//!
//! In: a [`Scenario`](crate::scenario::Scenario) and [`Requests`](crate::workload::Requests), through [`Problem::new`];
//! or raw columns, through [`Instance::new`]. Out: an [`Instance`] with four non-negative costs and a deadline budget
//! per request, and three capacities; and the requests that no batch can serve, with reasons.
//!
//! Invariant, on which all arithmetic of the solvers rests: **every capacity, every budget and the sum of each cost
//! column over the whole instance is at most [`MAX_SUM`] = 2⁶²**. So a sum over any batch fits in `u64` with two bits
//! to spare, and no solver needs a checked addition.

mod change;
mod convert;
mod host;
mod reason;

pub use change::{Change, changes};
pub use convert::{Problem, Units};
pub use host::Host;
pub use reason::{Reason, Rejection};

use crate::cost::Transformer;
use crate::error::{Error, Result};
use crate::limits;

/// The bound on every column sum, capacity and budget.
pub const MAX_SUM: u64 = 1 << 62;

/// One row per request that could be served alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// Which request of the input this row is.
    pub request: Vec<u32>,
    /// ρ^U in units of the uplink band (rounded up).
    pub uplink: Vec<u64>,
    /// ρ^D in units of the downlink band (rounded up).
    pub downlink: Vec<u64>,
    /// Tokens held in the KV cache.
    pub kv_tokens: Vec<u64>,
    /// FLOP, in units of 2^[`Units::flop_shift`] (rounded up).
    pub compute: Vec<u64>,
    /// e_i: FLOP that fit before the deadline of this request (rounded down).
    pub budget: Vec<u64>,
    /// Place in the queue: smaller came earlier. Only first-come policies look at it.
    pub arrival: Vec<u32>,
}

/// What the node has, in the units of [`Columns`]. Compute has no capacity: the tightest budget of a batch limits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// The whole uplink band.
    pub uplink: u64,
    /// The whole downlink band.
    pub downlink: u64,
    /// Tokens that fit in the KV cache beside the weights.
    pub kv_tokens: u64,
}

/// The costs of one row or of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Units of the uplink band.
    pub uplink: u64,
    /// Units of the downlink band.
    pub downlink: u64,
    /// KV tokens.
    pub kv_tokens: u64,
    /// FLOP units.
    pub compute: u64,
}

/// P1 in integers. See the module documentation for the invariant.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    columns: Columns,
    capacity: Capacity,
    lengths: Option<Lengths>,
    /// The budgets before a limit cut them: which deadline comes first, where the cut ones no longer say.
    due: Option<Vec<u64>>,
}

/// What the costs depend on where the batch is padded to its own longest prompt.
///
/// The columns of such an instance charge each request its own prompt, which no batch can undercut: on its own the
/// instance is a relaxation, and [`Instance::padded`] gives the exact one for a given longest prompt.
#[derive(Debug, Clone, PartialEq)]
struct Lengths {
    prompt: Vec<u32>,
    output: Vec<u32>,
    transformer: Transformer,
    flop_shift: u32,
}

impl Instance {
    /// An instance of raw columns, for callers with a cost model of their own. Budgets and capacities above [`MAX_SUM`]
    /// are cut to it, which no batch can notice. Rows that exceed a capacity or their own budget alone are dropped,
    /// since no batch can hold them; [`Columns::request`] says which are left.
    ///
    /// # Errors
    /// Columns of unequal length, more rows than [`limits::MAX_REQUESTS`], or a column sum above [`MAX_SUM`].
    pub fn new(mut columns: Columns, capacity: Capacity) -> Result<Self> {
        let rows = columns.request.len();
        let named = [
            ("uplink", &columns.uplink),
            ("downlink", &columns.downlink),
            ("kv_tokens", &columns.kv_tokens),
            ("compute", &columns.compute),
        ];
        if rows > limits::MAX_REQUESTS {
            return Err(Error::Columns(format!("{rows} rows; give at most {}", limits::MAX_REQUESTS)));
        }
        let lengths = named.map(|(name, column)| (name, column.len()));
        for (name, len) in lengths.iter().chain(&[("budget", columns.budget.len()), ("arrival", columns.arrival.len())])
        {
            if *len != rows {
                return Err(Error::Columns(format!("column {name} has {len} rows; give {rows}, as in column request")));
            }
        }
        for (name, column) in named {
            let sum = column.iter().try_fold(0u64, |sum, &x| sum.checked_add(x).filter(|&s| s <= MAX_SUM));
            if sum.is_none() {
                return Err(Error::Columns(format!("the sum of column {name} is above 2^62; give coarser units")));
            }
        }
        columns.budget.iter_mut().for_each(|e| *e = (*e).min(MAX_SUM));
        let capacity = Capacity {
            uplink: capacity.uplink.min(MAX_SUM),
            downlink: capacity.downlink.min(MAX_SUM),
            kv_tokens: capacity.kv_tokens.min(MAX_SUM),
        };
        let instance = Instance { columns, capacity, lengths: None, due: None };
        let servable: Vec<bool> =
            (0..rows).map(|row| instance.fits(instance.row(row), instance.columns.budget[row])).collect();
        if servable.iter().all(|&servable| servable) {
            return Ok(instance);
        }
        let mut columns = instance.columns;
        let Columns { request, uplink, downlink, kv_tokens, compute, budget, arrival } = &mut columns;
        for column in [uplink, downlink, kv_tokens, compute, budget] {
            let mut keep = servable.iter();
            column.retain(|_| keep.next() == Some(&true));
        }
        for column in [request, arrival] {
            let mut keep = servable.iter();
            column.retain(|_| keep.next() == Some(&true));
        }
        Ok(Instance { columns, capacity, lengths: None, due: None })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.columns.request.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.columns.request.is_empty()
    }

    /// The columns.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Gives the rows new numbers in the input.
    #[cfg(feature = "simulation")]
    pub(crate) fn renumber(&mut self, number: impl Fn(u32) -> u32) {
        self.columns.request.iter_mut().for_each(|request| *request = number(*request));
    }

    /// A number for each row that is smaller the sooner its deadline is.
    pub(crate) fn due(&self) -> &[u64] {
        self.due.as_deref().unwrap_or(&self.columns.budget)
    }

    /// Cuts every budget to `limit`, and drops the rows that then exceed theirs alone; returns the requests dropped.
    fn limit_budgets(&mut self, limit: u64) -> Vec<u32> {
        let keep: Vec<bool> = self.columns.compute.iter().map(|&compute| compute <= limit).collect();
        let c = &mut self.columns;
        let dropped = c.request.iter().zip(&keep).filter(|(_, keep)| !**keep).map(|(&request, _)| request).collect();
        if keep.contains(&false) {
            let all = [&mut c.uplink, &mut c.downlink, &mut c.kv_tokens, &mut c.compute, &mut c.budget];
            all.into_iter().for_each(|column| retain(column, &keep));
            let lengths = self.lengths.iter_mut().flat_map(|l| [&mut l.prompt, &mut l.output]);
            [&mut c.request, &mut c.arrival].into_iter().chain(lengths).for_each(|column| retain(column, &keep));
        }
        self.due = Some(c.budget.clone());
        c.budget.iter_mut().for_each(|budget| *budget = (*budget).min(limit));
        dropped
    }

    /// The capacities.
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// The costs of one row.
    pub fn row(&self, row: usize) -> Usage {
        let c = &self.columns;
        Usage { uplink: c.uplink[row], downlink: c.downlink[row], kv_tokens: c.kv_tokens[row], compute: c.compute[row] }
    }

    /// Whether the batch is padded to its own longest prompt, so that its costs are not the sums of its rows' costs.
    pub fn pads_to_longest(&self) -> bool {
        self.lengths.is_some()
    }

    /// The distinct prompt lengths, ascending, of an instance that pads to the longest; else none.
    pub fn prompt_lengths(&self) -> Vec<u32> {
        let mut lengths = self.lengths.as_ref().map_or(Vec::new(), |l| l.prompt.clone());
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }

    /// For an instance that pads to the longest prompt: the additive instance of the requests with a prompt of at most
    /// `to`, each charged as if padded to `from` (or its own length, if longer).
    ///
    /// With `from == to` this is exact for batches whose longest prompt is `to`: a feasible batch of it is feasible
    /// (its own longest prompt may be shorter, which only helps), and every feasible batch with that longest prompt is
    /// a feasible batch of it. With `from < to` it is a relaxation for every longest prompt in between, since costs
    /// grow with the padding. Requests that no such batch can hold are left out.
    ///
    /// An instance with additive costs is returned as it is.
    #[must_use]
    pub fn padded(&self, from: u32, to: u32) -> Instance {
        let Some(lengths) = &self.lengths else { return self.clone() };
        let c = &self.columns;
        let mut columns = Columns::default();
        for row in (0..self.len()).filter(|&row| lengths.prompt[row] <= to) {
            let Usage { kv_tokens, compute, .. } = lengths.charge(row, from.max(lengths.prompt[row]));
            if kv_tokens > self.capacity.kv_tokens || compute > c.budget[row] {
                continue;
            }
            columns.request.push(c.request[row]);
            columns.uplink.push(c.uplink[row]);
            columns.downlink.push(c.downlink[row]);
            columns.kv_tokens.push(kv_tokens);
            columns.compute.push(compute);
            columns.budget.push(c.budget[row]);
            columns.arrival.push(c.arrival[row]);
        }
        // The invariant holds: the conversion chose its units for padding to the longest prompt of all.
        Instance { columns, capacity: self.capacity, lengths: None, due: None }
    }

    /// The costs of `rows` as a batch, with the padding that they get together.
    pub fn usage(&self, rows: &[u32]) -> Usage {
        let longest = self.lengths.as_ref().map(|l| rows.iter().map(|&row| l.prompt[row as usize]).max().unwrap_or(0));
        rows.iter().fold(Usage::default(), |sum, &row| sum.plus(self.row_padded(row as usize, longest)))
    }

    /// The costs of one row in a batch whose longest prompt is `longest` (ignored where costs are additive).
    pub(crate) fn row_padded(&self, row: usize, longest: Option<u32>) -> Usage {
        match (&self.lengths, longest) {
            (Some(lengths), Some(longest)) => {
                let charged = lengths.charge(row, longest);
                Usage { uplink: self.columns.uplink[row], downlink: self.columns.downlink[row], ..charged }
            }
            _ => self.row(row),
        }
    }

    /// Whether `rows` are a feasible batch: (2b)–(2d) and the tightest deadline among them.
    pub fn is_feasible(&self, rows: &[u32]) -> bool {
        let budget = rows.iter().map(|&row| self.columns.budget[row as usize]).min().unwrap_or(MAX_SUM);
        self.fits(self.usage(rows), budget)
    }

    /// Whether `usage` is within the capacities and `budget`.
    pub fn fits(&self, usage: Usage, budget: u64) -> bool {
        usage.uplink <= self.capacity.uplink
            && usage.downlink <= self.capacity.downlink
            && usage.kv_tokens <= self.capacity.kv_tokens
            && usage.compute <= budget
    }
}

fn retain<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    column.retain(|_| keep.next() == Some(&true));
}

/// A batch as it grows: its costs with one request more, in constant time whatever the padding.
///
/// Under padding to the longest prompt the compute is summed in FLOP and then converted, which with coarse units may
/// come out at most one unit per request above [`Instance::usage`]: a batch that fits here fits there.
#[derive(Debug, Clone)]
pub(crate) struct Running<'i> {
    instance: &'i Instance,
    usage: Usage,
    budget: u64,
    longest: u32,
    count: u64,
    /// Σ n_i and Σ n_i (n_i − 1).
    outputs: (u64, u128),
}

impl<'i> Running<'i> {
    /// The empty batch.
    pub(crate) fn new(instance: &'i Instance) -> Self {
        Running { instance, usage: Usage::default(), budget: u64::MAX, longest: 0, count: 0, outputs: (0, 0) }
    }

    /// The batch with `row` added.
    pub(crate) fn with(&self, row: u32) -> Self {
        let row = row as usize;
        let mut next = Running { count: self.count + 1, usage: self.usage.plus(self.instance.row(row)), ..*self };
        next.budget = self.budget.min(self.instance.columns.budget[row]);
        if let Some(l) = &self.instance.lengths {
            let n = l.output[row];
            next.longest = self.longest.max(l.prompt[row]);
            next.outputs.0 += u64::from(n);
            next.outputs.1 += u128::from(n) * u128::from(n - 1);
            let flops = l.transformer.batch_flops(next.longest, next.count, next.outputs.0, next.outputs.1);
            // A sum of numbers that are each rounded up is below the sum, rounded down, plus one for each.
            let rounding = if l.flop_shift == 0 { 0 } else { next.count };
            next.usage.kv_tokens = next.count * u64::from(next.longest) + next.outputs.0;
            next.usage.compute = convert::compute_units(flops, l.flop_shift).saturating_add(rounding);
        }
        next
    }

    /// Which of uplink, downlink, KV cache and deadline the batch breaks.
    pub(crate) fn broken(&self) -> [bool; 4] {
        let (u, c) = (self.usage, self.instance.capacity);
        [u.uplink > c.uplink, u.downlink > c.downlink, u.kv_tokens > c.kv_tokens, u.compute > self.budget]
    }
}

impl Usage {
    /// The sum of both; within one instance it cannot overflow.
    #[must_use]
    pub fn plus(self, other: Usage) -> Usage {
        Usage {
            uplink: self.uplink + other.uplink,
            downlink: self.downlink + other.downlink,
            kv_tokens: self.kv_tokens + other.kv_tokens,
            compute: self.compute + other.compute,
        }
    }
}

impl Lengths {
    /// KV tokens and compute of a row padded to `padded` tokens; the radio columns are zero.
    fn charge(&self, row: usize, padded: u32) -> Usage {
        let flops = self.transformer.flops(padded, self.output[row]);
        Usage {
            kv_tokens: u64::from(padded) + u64::from(self.output[row]),
            compute: convert::compute_units(flops, self.flop_shift),
            ..Usage::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(uplink: Vec<u64>) -> Columns {
        let zero = vec![0; uplink.len()];
        Columns {
            request: (0..uplink.len() as u32).collect(),
            downlink: zero.clone(),
            kv_tokens: zero.clone(),
            compute: zero,
            budget: vec![u64::MAX; uplink.len()],
            arrival: (0..uplink.len() as u32).collect(),
            uplink,
        }
    }

    const LARGE: Capacity = Capacity { uplink: u64::MAX, downlink: u64::MAX, kv_tokens: u64::MAX };

    #[test]
    fn sums_up_to_the_limit_are_taken_and_beyond_it_refused() {
        let at = Instance::new(columns(vec![MAX_SUM - 1, 1]), LARGE).unwrap();
        assert!(at.is_feasible(&[0, 1]));
        assert_eq!(at.capacity().uplink, MAX_SUM);
        for over in [vec![MAX_SUM, 1], vec![u64::MAX, u64::MAX, 2]] {
            assert!(Instance::new(columns(over), LARGE).unwrap_err().to_string().contains("column uplink"));
        }
    }

    #[test]
    fn unequal_columns_are_refused() {
        let mut c = columns(vec![1, 2]);
        c.budget.pop();
        assert!(Instance::new(c, LARGE).unwrap_err().to_string().contains("column budget has 1 rows"));
    }

    #[test]
    fn the_empty_batch_is_feasible() {
        let none = Instance::new(columns(vec![]), Capacity { uplink: 0, downlink: 0, kv_tokens: 0 }).unwrap();
        assert!(none.is_feasible(&[]) && none.is_empty());
    }
}
