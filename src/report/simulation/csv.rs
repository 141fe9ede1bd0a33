//! What happened as rows of CSV, one at a time: a run of any length takes no more memory for it.

use std::fmt::Write as _;

use crate::report::table::quoted;
use crate::simulation::{EpochRecord, Fate, RequestRecord};

/// The header of epochs. Names end in their unit; `used_…` are parts of what there is (of the compute: lengths of an
/// epoch), `blocks_…` numbers of requests that the constraint keeps from joining the batch.
pub const EPOCHS: &str = "epoch,node,begins_s,arrived,queued,servable,refused,expired,infeasible,busy,scheduled,in_time,\
    output_tokens,largest_batch,largest_proven,search_stopped,computation_s,used_uplink,used_downlink,used_memory,\
    used_compute,blocks_uplink,blocks_downlink,blocks_memory,blocks_deadline\n";

/// The header of requests. All times count from the beginning of the run; what is empty does not apply.
pub const REQUESTS: &str = "id,node,model,class,prompt_tokens,output_tokens,arrived_s,due_s,fate,reason,ended_s,\
    scheduled_s,channel_power_gain,uplink_share,downlink_share\n";

/// A row of [`EPOCHS`], added to `out`.
pub fn epoch(out: &mut String, e: &EpochRecord) {
    // Writing to a String cannot fail.
    let _ = write_epoch(out, e);
}

fn write_epoch(out: &mut String, e: &EpochRecord) -> std::fmt::Result {
    write!(out, "{},{},{}", e.epoch, e.node, Seconds(e.begins_ns))?;
    for count in [e.arrived, e.queued, e.servable, e.refused, e.expired, e.infeasible] {
        write!(out, ",{count}")?;
    }
    write!(out, ",{},{},{},{},", e.busy, e.scheduled, e.in_time, e.output_tokens)?;
    match e.optimum {
        Some(optimum) => write!(out, "{optimum},{}", e.proven)?,
        None => out.push(','),
    }
    write!(out, ",{},{}", e.stopped, Seconds(e.computation_ns))?;
    e.used.iter().try_for_each(|used| write!(out, ",{used}"))?;
    e.blocks.iter().try_for_each(|blocks| write!(out, ",{blocks}"))?;
    out.push('\n');
    Ok(())
}

/// Rows of [`REQUESTS`].
#[derive(Debug, Clone)]
pub struct Requests {
    models: Vec<String>,
    classes: Vec<String>,
}

impl Requests {
    /// With the names of the models and of the classes.
    pub fn new<'n>(models: impl Iterator<Item = &'n str>, classes: impl Iterator<Item = &'n str>) -> Requests {
        Requests { models: models.map(quoted).collect(), classes: classes.map(quoted).collect() }
    }

    /// A row, added to `out`.
    pub fn row(&self, out: &mut String, r: &RequestRecord) {
        // Writing to a String cannot fail.
        let _ = self.write(out, r);
    }

    fn write(&self, out: &mut String, r: &RequestRecord) -> std::fmt::Result {
        let name = |names: &'_ [String], at: u16| names.get(usize::from(at)).cloned().unwrap_or_default();
        let (model, class) = (name(&self.models, r.service), name(&self.classes, r.class));
        write!(out, "{}-{},{},{model},{class},{},{}", r.node, r.index, r.node, r.prompt_tokens, r.output_tokens)?;
        let reason = match r.fate {
            Fate::Infeasible(reason) => reason.as_str(),
            _ => "",
        };
        let (arrived, due, ended) = (Seconds(r.arrived_ns), Seconds(r.deadline_ns), Seconds(r.ended_ns));
        write!(out, ",{arrived},{due},{},{reason},{ended},", r.fate.as_str())?;
        match &r.served {
            Some(s) => {
                let gain = s.channel_power_gain;
                writeln!(out, "{},{gain:e},{},{}", Seconds(s.scheduled_ns), s.uplink, s.downlink)
            }
            None => {
                out.push_str(",,,\n");
                Ok(())
            }
        }
    }
}

/// Nanoseconds as seconds, exactly.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NS: u64 = 1_000_000_000;
        let (mut rest, mut digits) = (self.0 % NS, 9);
        if rest == 0 {
            return write!(f, "{}", self.0 / NS);
        }
        while rest % 10 == 0 {
            (rest, digits) = (rest / 10, digits - 1);
        }
        write!(f, "{}.{rest:0digits$}", self.0 / NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Reason;
    use crate::simulation::Served;

    #[test]
    fn seconds_are_exact() {
        let shown = [0, 1, 10, 2_000_000_000, 2_500_000_000, 1_000_000_001, u64::MAX].map(|ns| Seconds(ns).to_string());
        assert_eq!(shown, ["0", "0.000000001", "0.00000001", "2", "2.5", "1.000000001", "18446744073.709551615"]);
    }

    #[test]
    fn rows_have_the_columns_of_their_header() {
        let columns = |line: &str| line.split(',').count();
        let requests = Requests::new(["a"].into_iter(), ["all"].into_iter());
        let served = Some(Served { scheduled_ns: 5, channel_power_gain: 1e-11, uplink: 0.25, downlink: 0.5 });
        for (fate, served) in [(Fate::InTime, served), (Fate::Infeasible(Reason::Memory), None), (Fate::Expired, None)]
        {
            let mut out = String::new();
            requests.row(&mut out, &RequestRecord { fate, served, ..RequestRecord::default() });
            assert!(out.ends_with('\n') && columns(&out) == columns(REQUESTS), "{out}");
        }
        for optimum in [None, Some(3)] {
            let mut out = String::new();
            epoch(&mut out, &EpochRecord { optimum, ..EpochRecord::default() });
            assert!(out.ends_with('\n') && columns(&out) == columns(EPOCHS), "{out}");
        }
    }
}
