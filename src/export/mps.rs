//! Free MPS: one column after the other, between integer markers and with explicit bounds, since the default bounds of
//! integer columns differ between readers.

use std::io::{self, Write};

use super::{Model, ROWS, Variable};
use crate::rank::COMPUTE;

pub(super) fn write(model: &Model<'_>, out: &mut impl Write) -> io::Result<()> {
    let (x, y) = ((0..model.len()).map(Variable::Row), (1..=model.chained()).map(Variable::Run));
    writeln!(out, "NAME dftsp\nROWS\n N size")?;
    for r in model.resources() {
        writeln!(out, " L {}", ROWS[r])?;
    }
    for run in 2..=model.chained() {
        writeln!(out, " L order{}", run + 1)?;
    }
    for (row, _) in model.tight() {
        writeln!(out, " L tight{}", row + 1)?;
    }
    writeln!(out, "COLUMNS\n MARKER 'MARKER' 'INTORG'")?;
    for row in 0..model.len() {
        let x = Variable::Row(row);
        writeln!(out, " {x} size -1")?;
        for r in model.resources() {
            let cost = model.cost(r, row);
            if cost > 0 {
                writeln!(out, " {x} {} {cost}", ROWS[r])?;
            }
        }
        if model.run.get(row).is_some_and(|&run| run > 0) {
            writeln!(out, " {x} tight{} 1", row + 1)?;
        }
    }
    for run in 1..=model.chained() {
        let y = Variable::Run(run);
        writeln!(out, " {y} {} {}", ROWS[COMPUTE], model.step(run))?;
        if run > 1 {
            writeln!(out, " {y} order{} 1", run + 1)?;
        }
        if run < model.chained() {
            writeln!(out, " {y} order{} -1", run + 2)?;
        }
        for row in model.members(run) {
            writeln!(out, " {y} tight{} -1", row + 1)?;
        }
    }
    writeln!(out, " MARKER 'MARKER' 'INTEND'\nRHS")?;
    for r in model.resources() {
        writeln!(out, " RHS {} {}", ROWS[r], model.rows[r].limit)?;
    }
    writeln!(out, "BOUNDS")?;
    for variable in x.chain(y) {
        writeln!(out, " UP BND {variable} 1")?;
    }
    writeln!(out, "ENDATA")
}
