//! The tables of a scenario file that say who asks for what, and when: `[synthesis]`, `[[qos]]`, `[arrivals]`.

use crate::error::{Result, quote};
use crate::files::table::{File, Table};
use crate::limits::{self, Range};
use crate::workload::OutputLevels;
use crate::workload::arrivals::{Arrivals, Process, TokenLengths};
use crate::workload::check_name;
use crate::workload::synthesis::{ChannelModel, Fading, QosClass, Synthesis};

pub(super) fn read_synthesis(file: &File<'_>) -> Result<Synthesis> {
    let mut synthesis = file.optional("synthesis")?.map_or_else(|| Ok(Synthesis::default()), read_own)?;
    for table in file.many("qos")? {
        synthesis.qos.push(read_class(&table, &synthesis)?);
    }
    Ok(synthesis)
}

fn read_own(t: Table<'_>) -> Result<Synthesis> {
    const SEED: Range = Range { min: 0.0, max: 9e15, min_allowed: true, unit: "a whole number" };
    const CHANNEL: &str = "give \"shared\" or \"rayleigh\"";
    const FADING: &str = "give \"static\" or \"block\"";
    let d = Synthesis::default();
    let seed = match t.number("seed", &SEED)? {
        None => d.seed,
        Some(n) if n.fract() == 0.0 => n as u64,
        Some(n) => return Err(t.place_of("seed").error(format!("{n} is not whole"), SEED.remedy())),
    };
    let channel = match t.string("channel", CHANNEL)? {
        None => d.channel,
        Some("shared") => ChannelModel::Shared,
        Some("rayleigh") => ChannelModel::Rayleigh,
        Some(other) => {
            let problem = format!("unknown channel {}", quote(other.as_bytes()));
            return Err(t.place_of("channel").error(problem, CHANNEL));
        }
    };
    let correlation = t.number("correlation", &limits::CORRELATION)?;
    let fading = match (t.string("fading", FADING)?, correlation) {
        (None | Some("static"), None) => Fading::Static,
        (None | Some("static"), Some(_)) => {
            let remedy = "leave it out, or give fading = \"block\"";
            return Err(t.place_of("correlation").error("static fading has none", remedy));
        }
        (Some("block"), given) => Fading::Block { correlation: given.unwrap_or(0.0) },
        (Some(other), _) => {
            let problem = format!("unknown fading {}", quote(other.as_bytes()));
            return Err(t.place_of("fading").error(problem, FADING));
        }
    };
    let synthesis = Synthesis {
        seed,
        deadline_s: t.pair("deadline_s", &limits::DEADLINE)?.unwrap_or(d.deadline_s),
        max_perplexity_increase: t
            .pair("max_perplexity_increase", &limits::PERPLEXITY)?
            .unwrap_or(d.max_perplexity_increase),
        channel,
        mean_channel_power_gain: t.required(
            "mean_channel_power_gain",
            &limits::GAIN,
            Some(d.mean_channel_power_gain),
        )?,
        uplink_power_dbm: t.required("uplink_power_dbm", &limits::POWER, Some(d.uplink_power_dbm))?,
        fading,
        qos: Vec::new(),
        qos_period_s: t.required("qos_period_s", &limits::PERIOD, Some(d.qos_period_s))?,
    };
    Ok(synthesis)
}

fn read_class(t: &Table<'_>, all: &Synthesis) -> Result<QosClass> {
    const NAME: &str = "give a name for reports";
    let name = t.string("name", NAME)?.ok_or_else(|| t.missing("name", NAME))?;
    check_name("name", name, || t.place_of("name"))?;
    let share = t.required("share", &limits::WEIGHT, None)?;
    Ok(QosClass {
        name: name.to_string(),
        share,
        peak_share: t.required("peak_share", &limits::WEIGHT, Some(share))?,
        deadline_s: t.pair("deadline_s", &limits::DEADLINE)?.unwrap_or(all.deadline_s),
        max_perplexity_increase: t
            .pair("max_perplexity_increase", &limits::PERPLEXITY)?
            .unwrap_or(all.max_perplexity_increase),
    })
}

pub(super) fn read_arrivals(t: Table<'_>) -> Result<Arrivals> {
    const PROCESS: &str = "give \"poisson\", \"gamma\", \"weibull\" or \"on-off\"";
    let d = Arrivals::default();
    let word = t.string("process", PROCESS)?.unwrap_or("poisson");
    let variation = || t.required("cv", &limits::VARIATION, None);
    let (process, own): (Process, &[&str]) = match word {
        "poisson" => (Process::Poisson, &[]),
        "gamma" => (Process::Gamma { cv: variation()? }, &["cv"]),
        "weibull" => (Process::Weibull { cv: variation()? }, &["cv"]),
        "on-off" => {
            let sojourn = |key| t.required(key, &limits::SOJOURN, None);
            (Process::OnOff { on_s: sojourn("on_s")?, off_s: sojourn("off_s")? }, &["on_s", "off_s"])
        }
        other => {
            let problem = format!("unknown process {}", quote(other.as_bytes()));
            return Err(t.place_of("process").error(problem, PROCESS));
        }
    };
    for (key, whose) in [("cv", "\"gamma\" or \"weibull\""), ("on_s", "\"on-off\""), ("off_s", "\"on-off\"")] {
        if t.has(key) && !own.contains(&key) {
            let problem = format!("the process {word} has none");
            return Err(t.place_of(key).error(problem, format!("leave it out, or give process = {whose}")));
        }
    }
    Ok(Arrivals {
        process,
        rate_per_s: t.required("rate_per_s", &limits::RATE, Some(d.rate_per_s))?,
        prompt_tokens: read_lengths(&t, "prompt_tokens", "prompt_range")?.unwrap_or(d.prompt_tokens),
        output_tokens: read_lengths(&t, "output_tokens", "output_range")?.unwrap_or(d.output_tokens),
    })
}

fn read_lengths(t: &Table<'_>, levels: &'static str, range: &'static str) -> Result<Option<TokenLengths>> {
    match (t.wholes(levels, &limits::TOKENS)?, t.pair(range, &limits::TOKENS)?) {
        (Some(_), Some(_)) => {
            let problem = format!("there are {levels} too");
            Err(t.place_of(range).error(problem, "give levels or a range"))
        }
        (Some(all), None) => OutputLevels::new(all, || t.place_of(levels)).map(|all| Some(TokenLengths::Levels(all))),
        (None, Some((low, high))) if low.fract() == 0.0 && high.fract() == 0.0 => {
            Ok(Some(TokenLengths::Uniform(low as u32, high as u32)))
        }
        (None, Some(_)) => Err(t.place_of(range).error("not whole numbers", limits::TOKENS.remedy())),
        (None, None) => Ok(None),
    }
}
