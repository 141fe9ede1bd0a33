//! The OPB format: one constraint a line, all of them ≥, variables x1, x2, … only.

use std::io::{self, Write};

use super::{Model, Variable};

pub(super) fn write(model: &Model<'_>, out: &mut impl Write) -> io::Result<()> {
    // The y follow on after the x; the first is that of run 1.
    let number = |variable| match variable {
        Variable::Row(row) => row + 1,
        Variable::Run(run) => model.len() + run,
    };
    // The grammar has no empty sum.
    if model.len() > 0 {
        write!(out, "min:")?;
        (1..=model.len()).try_for_each(|x| write!(out, " -1 x{x}"))?;
        writeln!(out, " ;")?;
    }
    for r in model.resources() {
        for (coefficient, variable) in model.terms(r) {
            write!(out, "-{coefficient} x{} ", number(variable))?;
        }
        let minus = if model.rows[r].limit > 0 { "-" } else { "" };
        writeln!(out, ">= {minus}{} ;", model.rows[r].limit)?;
    }
    let order = (2..=model.chained()).map(|run| (Variable::Run(run), Variable::Run(run - 1)));
    let tight = model.tight().map(|(row, run)| (Variable::Row(row), Variable::Run(run)));
    for (less, more) in order.chain(tight) {
        writeln!(out, "+1 x{} -1 x{} >= 0 ;", number(more), number(less))?;
    }
    Ok(())
}
