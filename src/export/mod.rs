//! P1 as a model file (MPS, LP or OPB), so that any other solver can check this one.
//!
//! In: an additive [`Instance`]. Out: text, streamed, with the names of the requests in its comments. Invariant:
//! without coarsening, the batches that the model allows are exactly those that the instance allows; with it, a subset.
//!
//! # The model
//!
//! x_i = 1 means that row i is in the batch; maximise Σ x_i. Uplink, downlink and KV tokens are a row each. The
//! deadline is a *chain over ranks*. Let E_1 > E_2 > … > E_K be the distinct deadline budgets, run(i) the number of
//! that of row i, and y_2, …, y_K binary: y_k = 1 if the tightest budget of the batch is E_k or less.
//!
//! ```text
//! tight:   x_i ≤ y_run(i)            for every row i with run(i) ≥ 2
//! order:   y_k ≤ y_(k−1)             for k = 3, …, K
//! compute: Σ c_i x_i + Σ_{k ≥ 2} (E_(k−1) − E_k) y_k ≤ E_1
//! ```
//!
//! *A batch x extends to a solution (x, y) if and only if Σ c_i x_i ≤ E_m, m the largest run(i) in the batch (1 for the
//! empty batch).* If it is feasible, put y_k = 1 for k ≤ m and 0 beyond: tight and order hold, and in compute the
//! differences telescope to E_1 − E_m, which leaves Σ c_i x_i ≤ E_m. Conversely, tight makes y_m = 1 (if m ≥ 2), order
//! makes y_k = 1 for all k ≤ m, and the differences beyond m are not negative; so compute leaves at most E_m. ∎
//!
//! No constant "big M" appears: the relaxation pays for a tight deadline in proportion to how much of it the batch
//! takes, which is why solvers prove this form far sooner than one implication for each request.
//!
//! # Numbers
//!
//! A row whose costs have a common divisor g is divided by it, limits rounded down: Σ c ≤ E and Σ c/g ≤ ⌊E/g⌋ allow
//! the same, since the left-hand side is whole. Limits above the sum of all costs are cut to it, and a row that all
//! requests together satisfy is left out. What remains is exact, and may reach 2⁶²: a reader that keeps doubles rounds
//! what is above 2⁵³, and a solver with tolerances (10⁻⁶ is usual, per row and per variable) can be wrong long before.
//! The header says so in each file that it concerns ([`Model::caution`]).
//!
//! Coarsening to b bits measures each resource in a coarser unit, in which its largest limit is below 2ᵇ: costs round
//! up and limits down. Since Σ⌈c/u⌉ ≤ ⌊E/u⌋ gives Σ c ≤ E, every batch of the coarse model fits, and its optimum is a
//! lower bound on the true one. It is a model of its own: compare solvers on the same coarse integers.
//!
//! Padding to the longest prompt of the batch is not additive: a cost would be a product of variables. One longest
//! prompt at a time is ([`Instance::padded`]), and the largest of those optima is that of the whole.

mod lp;
mod mps;
mod opb;

use std::fmt;
use std::io::{self, Write};

use crate::error::{Place, Result};
use crate::instance::Instance;
use crate::rank::{COMPUTE, RESOURCES};

/// The names of the rows for the resources, in the order of the resources everywhere.
const ROWS: [&str; RESOURCES] = ["uplink", "downlink", "kv_tokens", "compute"];

/// From here on doubles skip integers.
const EXACT_IN_DOUBLES: u64 = 1 << 53;
/// From here on one unit is less than the tightest tolerance that solvers in doubles offer, 10⁻⁹ of a row.
const EXACT_WITH_TOLERANCES: u64 = 1_000_000_000;

/// The file formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Free MPS. It minimises minus the size of the batch, since not every reader knows of maximisation.
    Mps,
    /// The LP format of CPLEX.
    Lp,
    /// The format of the pseudo-Boolean competitions, with integers of any size. It knows minimisation only.
    Opb,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 3] = [Format::Mps, Format::Lp, Format::Opb];

    /// The name on the command line, and the usual ending of file names.
    pub fn name(self) -> &'static str {
        match self {
            Format::Mps => "mps",
            Format::Lp => "lp",
            Format::Opb => "opb",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// What a line of comment starts with.
    fn comment(self) -> &'static str {
        if self == Format::Lp { "\\" } else { "*" }
    }
}

/// One resource in the model: costs ⌈c/unit⌉ against limits of at most `limit`.
#[derive(Debug, Clone, Copy)]
struct Row {
    unit: u64,
    limit: u64,
    /// Whether some batch could break it; it is left out of the file otherwise.
    binds: bool,
    largest_cost: u64,
    /// Of all costs, before and after division.
    sums: (u64, u64),
}

impl Row {
    /// `limit` is the largest one and `least` the smallest.
    fn new(costs: &[u64], limit: u64, least: u64, bits: Option<u32>) -> Row {
        // By the invariant of an instance the sum is at most 2⁶².
        let sum: u64 = costs.iter().sum();
        let divisor = costs.iter().fold(0, |divisor, &cost| gcd(divisor, cost)).max(1);
        let whole = limit.min(sum) / divisor;
        // With f > whole/2ᵇ, ⌊whole/f⌋ is below 2ᵇ.
        let factor = bits.filter(|&bits| bits < u64::BITS).map_or(1, |bits| (whole >> bits) + 1);
        let unit = divisor * factor;
        let coarse = || costs.iter().map(|cost| cost.div_ceil(unit));
        let (sums, largest_cost) = ((sum, coarse().sum()), coarse().max().unwrap_or(0));
        let row = Row { unit, limit: 0, binds: least < sum, largest_cost, sums };
        Row { limit: row.scaled(limit), ..row }
    }

    /// A limit in units of the row. One that all requests together keep must stay such, however their costs round.
    fn scaled(&self, limit: u64) -> u64 {
        let (before, after) = self.sums;
        if limit >= before { after } else { limit / self.unit }
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A variable of the model. Numbers start at 0.
#[derive(Debug, Clone, Copy)]
enum Variable {
    /// Row of the instance: x.
    Row(usize),
    /// Number of a run, from 1: y.
    Run(usize),
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Variable::Row(row) => write!(f, "x{}", row + 1),
            Variable::Run(run) => write!(f, "y{}", run + 1),
        }
    }
}

/// The integer model of an instance, ready to be written. It borrows the costs and adds 16 bytes a row.
#[derive(Debug, Clone)]
pub struct Model<'i> {
    instance: &'i Instance,
    rows: [Row; RESOURCES],
    /// E_1, …, E_K; none if the deadline keeps no batch out.
    budgets: Vec<u64>,
    /// run(i), from 0; empty if there are no budgets.
    run: Vec<u32>,
    /// The rows, sorted by run; empty if there are no budgets.
    by_run: Vec<u32>,
}

impl<'i> Model<'i> {
    /// The model of `instance`, coarsened to that many bits if given.
    ///
    /// # Errors
    /// An instance that pads to the longest prompt of the batch.
    pub fn new(instance: &'i Instance, bits: Option<u32>) -> Result<Self> {
        if instance.pads_to_longest() {
            let lengths = instance.prompt_lengths();
            let (least, most) = (lengths.first().unwrap_or(&0), lengths.last().unwrap_or(&0));
            let problem = "with prompts padded to the longest of the batch, costs do not add up to a linear model";
            let remedy = format!(
                "give padding fixed or none, or export one longest prompt with --longest-prompt ({} of them, {least} \
                 to {most})",
                lengths.len()
            );
            return Err(Place::file("scenario").field("batching.padding").error(problem, remedy));
        }
        let (c, capacity) = (instance.columns(), instance.capacity());
        let (tightest, loosest) = (c.budget.iter().min().unwrap_or(&0), c.budget.iter().max().unwrap_or(&0));
        let rows = [
            Row::new(&c.uplink, capacity.uplink, capacity.uplink, bits),
            Row::new(&c.downlink, capacity.downlink, capacity.downlink, bits),
            Row::new(&c.kv_tokens, capacity.kv_tokens, capacity.kv_tokens, bits),
            Row::new(&c.compute, *loosest, *tightest, bits),
        ];
        let mut model = Model { instance, rows, budgets: Vec::new(), run: Vec::new(), by_run: Vec::new() };
        if rows[COMPUTE].binds {
            model.chain();
        }
        Ok(model)
    }

    /// Finds the runs of equal budgets in the model's units.
    fn chain(&mut self) {
        let budgets = &self.instance.columns().budget;
        let compute = self.rows[COMPUTE];
        let scaled = |row: u32| compute.scaled(budgets[row as usize]);
        self.by_run = (0..budgets.len() as u32).collect();
        self.by_run.sort_by_key(|&row| std::cmp::Reverse(scaled(row)));
        self.run = vec![0; budgets.len()];
        for &row in &self.by_run {
            let budget = scaled(row);
            if self.budgets.last() != Some(&budget) {
                self.budgets.push(budget);
            }
            self.run[row as usize] = self.budgets.len() as u32 - 1;
        }
    }

    /// The largest number in the file but for those of variables.
    pub fn largest(&self) -> u64 {
        self.rows.iter().filter(|row| row.binds).map(|row| row.limit.max(row.largest_cost)).max().unwrap_or(1)
    }

    /// What readers and solvers in floating point may get wrong, if they may: one line.
    pub fn caution(&self) -> Option<String> {
        let largest = self.largest();
        let (edge, what) = match largest {
            EXACT_IN_DOUBLES.. => ("2^53", "readers that keep doubles round them"),
            EXACT_WITH_TOLERANCES.. => ("10^9", "solvers with tolerances may accept a batch that does not fit"),
            _ => return None,
        };
        let remedy = "use a solver in exact integers, or --coarsen 20";
        Some(format!("numbers reach {largest}, above {edge}: {what}; {remedy}"))
    }

    /// Writes the model. `id` names the requests of [`Columns::request`](crate::instance::Columns::request).
    ///
    /// Variables are x1, x2, … in the order of the rows and y2, y3, … (OPB allows only x: there they follow on). A line
    /// of comment for each x gives the id as a JSON string in ASCII, so that no id can break the file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write<'n>(&self, format: Format, id: impl Fn(u32) -> &'n str, mut out: impl Write) -> io::Result<()> {
        if format == Format::Opb {
            writeln!(out, "* #variable= {} #constraint= {}", self.len() + self.chained(), self.constraints())?;
        }
        self.header(format, &mut out)?;
        for (row, &request) in self.instance.columns().request.iter().enumerate() {
            write!(out, "{} x{} ", format.comment(), row + 1)?;
            json_string(id(request), &mut out)?;
        }
        match format {
            Format::Mps => mps::write(self, &mut out),
            Format::Lp => lp::write(self, &mut out),
            Format::Opb => opb::write(self, &mut out),
        }?;
        out.flush()
    }

    fn header(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        let c = format.comment();
        let named: Vec<&str> = self.resources().map(|r| ROWS[r]).collect();
        writeln!(out, "{c} dftsp export: the largest batch of requests that fits (P1)")?;
        if format != Format::Lp {
            writeln!(out, "{c} the objective is minus the size of the batch")?;
        }
        writeln!(out, "{c} rows: {}", if named.is_empty() { "none".to_string() } else { named.join(" ") })?;
        for r in self.resources().filter(|&r| self.rows[r].unit != 1) {
            writeln!(out, "{c} unit of {}: {}", ROWS[r], self.rows[r].unit)?;
        }
        let (x, y) = (self.len(), self.chained());
        if y > 0 {
            let (first, last) =
                if format == Format::Opb { (format!("x{}", x + 1), x + y) } else { ("y2".to_string(), y + 1) };
            let letter = &first[..1];
            writeln!(out, "{c} {first} to {letter}{last}: the batch's tightest budget is at most the 2nd, 3rd, ...")?;
        }
        if let Some(caution) = self.caution() {
            writeln!(out, "{c} caution: {caution}")?;
        }
        if x > 0 {
            writeln!(out, "{c} x1 to x{x}: in the batch is the request")?;
        }
        Ok(())
    }

    /// The number of x variables.
    fn len(&self) -> usize {
        self.instance.len()
    }

    /// The number of y variables: K − 1.
    fn chained(&self) -> usize {
        self.budgets.len().saturating_sub(1)
    }

    /// The resources that have a row.
    fn resources(&self) -> impl Iterator<Item = usize> {
        (0..RESOURCES).filter(|&r| self.rows[r].binds)
    }

    /// The number of constraints.
    fn constraints(&self) -> usize {
        self.resources().count() + self.chained().saturating_sub(1) + self.tight().count()
    }

    /// The cost of an x in the units of the row of `resource`.
    fn cost(&self, resource: usize, row: usize) -> u64 {
        let c = self.instance.columns();
        let column = [&c.uplink, &c.downlink, &c.kv_tokens, &c.compute][resource];
        column[row].div_ceil(self.rows[resource].unit)
    }

    /// E_(k−1) − E_k, which y_k costs in the row of compute; `run` is k counted from 0.
    fn step(&self, run: usize) -> u64 {
        self.budgets[run - 1] - self.budgets[run]
    }

    /// The terms of the row of `resource` that are not 0. At least one is there, since the row binds.
    fn terms(&self, resource: usize) -> impl Iterator<Item = (u64, Variable)> {
        let runs = if resource == COMPUTE { 1..self.budgets.len().max(1) } else { 1..1 };
        let x = (0..self.len()).map(move |row| (self.cost(resource, row), Variable::Row(row)));
        x.filter(|&(cost, _)| cost > 0).chain(runs.map(|run| (self.step(run), Variable::Run(run))))
    }

    /// The rows x_i ≤ y_run(i), as (i, run).
    fn tight(&self) -> impl Iterator<Item = (usize, usize)> {
        self.run.iter().map(|&run| run as usize).enumerate().filter(|&(_, run)| run > 0)
    }

    /// The instance rows of a run.
    fn members(&self, run: usize) -> &[u32] {
        let of = |run: usize| self.by_run.partition_point(|&row| (self.run[row as usize] as usize) < run);
        &self.by_run[of(run)..of(run + 1)]
    }
}

/// One line: a JSON string in ASCII.
fn json_string(text: &str, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(out, "\\{c}")?,
            ' '..='~' => out.write_all(&[c as u8])?,
            _ => c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))?,
        }
    }
    out.write_all(b"\"\n")
}
