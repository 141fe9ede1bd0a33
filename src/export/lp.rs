//! The LP format of CPLEX: one constraint after the other, in lines of bounded length (readers stop at 255 or 510
//! characters).

use std::io::{self, Write};

use super::{Model, ROWS, Variable};

/// A term has at most 19 digits, a name of at most 11 characters, a sign and three spaces: 6 terms, the name of the row
/// and its limit are below 255.
const PER_LINE: usize = 6;

pub(super) fn write(model: &Model<'_>, out: &mut impl Write) -> io::Result<()> {
    write!(out, "Maximize\n size:")?;
    sum((0..model.len()).map(|row| (1, Variable::Row(row))), out)?;
    write!(out, "\nSubject To\n")?;
    for r in model.resources() {
        write!(out, " {}:", ROWS[r])?;
        sum(model.terms(r), out)?;
        writeln!(out, " <= {}", model.rows[r].limit)?;
    }
    for run in 2..=model.chained() {
        writeln!(out, " order{}: {} - {} <= 0", run + 1, Variable::Run(run), Variable::Run(run - 1))?;
    }
    for (row, run) in model.tight() {
        writeln!(out, " tight{}: {} - {} <= 0", row + 1, Variable::Row(row), Variable::Run(run))?;
    }
    write!(out, "Binary")?;
    let variables = (0..model.len()).map(Variable::Row).chain((1..=model.chained()).map(Variable::Run));
    for (place, variable) in variables.enumerate() {
        let space = if place % PER_LINE == 0 { "\n " } else { " " };
        write!(out, "{space}{variable}")?;
    }
    writeln!(out, "\nEnd")
}

fn sum(terms: impl Iterator<Item = (u64, Variable)>, out: &mut impl Write) -> io::Result<()> {
    for (place, (coefficient, variable)) in terms.enumerate() {
        let line = if place > 0 && place % PER_LINE == 0 { "\n " } else { "" };
        let plus = if place > 0 { " +" } else { "" };
        match coefficient {
            1 => write!(out, "{line}{plus} {variable}")?,
            _ => write!(out, "{line}{plus} {coefficient} {variable}")?,
        }
    }
    Ok(())
}
