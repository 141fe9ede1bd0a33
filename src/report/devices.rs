//! What devices there are, for people and for programs.

use std::fmt::Write as _;

use crate::device::{Facts, Fault, Found};

/// Whether any device will be used; if not, why.
pub fn usable(found: &Found) -> Result<&Facts, String> {
    let mut refused = found.devices.iter();
    match found.devices.iter().find(|(_, fault)| fault.is_none()) {
        Some((facts, _)) => Ok(facts),
        None => {
            let first = found.fault.as_ref().or_else(|| refused.find_map(|(_, fault)| fault.as_ref()));
            Err(first.unwrap_or(&Fault::NoDevice).to_string())
        }
    }
}

/// A few lines for each device, then which is used.
pub fn to_text(found: &Found) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = report(&mut out, found);
    out
}

fn report(out: &mut String, found: &Found) -> std::fmt::Result {
    if let Some(driver) = found.driver {
        writeln!(out, "driver: CUDA {}; kernels: {}", version(driver), found.kernels)?;
    }
    for (facts, fault) in &found.devices {
        let (major, minor) = facts.capability;
        writeln!(out, "device {}: {}, compute capability {major}.{minor}", facts.ordinal, facts.name)?;
        writeln!(
            out,
            "  {} multiprocessors{}, {:.1} GiB of memory {}, {} KiB of shared memory a block",
            facts.multiprocessors,
            match facts.clock_khz {
                0 => String::new(),
                khz => format!(" at {:.3} GHz", f64::from(khz) / 1e6),
            },
            gib(facts.memory),
            match facts.bandwidth {
                0 => "(bandwidth unknown)".to_string(),
                bandwidth => format!("at up to {:.0} GB/s", bandwidth as f64 / 1e9),
            },
            facts.shared >> 10
        )?;
        if let Some(fault) = fault {
            writeln!(out, "  refused: {fault}")?;
        }
    }
    match usable(found) {
        Ok(facts) => writeln!(out, "device {} will be used", facts.ordinal),
        Err(why) => writeln!(out, "no CUDA device will be used: {why}"),
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1u32 << 30)
}

/// "12.4" of 12040.
fn version(number: u32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

/// The same as a JSON document, ending in a line feed.
#[cfg(feature = "files")]
pub fn to_json(found: &Found) -> String {
    // Strings and numbers only: none of them can fail.
    let mut text = serde_json::to_string_pretty(&json::found(found)).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(feature = "files")]
pub(super) mod json {
    use serde::Serialize;

    use super::{usable, version};
    use crate::device::{Facts, Fault, Found};

    #[derive(Serialize)]
    pub(crate) struct FoundOut<'f> {
        usable: bool,
        reason: Option<String>,
        driver: Option<String>,
        kernels: &'f str,
        devices: Vec<DeviceOut<'f>>,
    }

    #[derive(Serialize)]
    struct DeviceOut<'f> {
        ordinal: usize,
        name: &'f str,
        capability: String,
        multiprocessors: u32,
        memory_bytes: u64,
        shared_bytes_per_block: u32,
        clock_khz: Option<u32>,
        bandwidth_bytes_per_s: Option<u64>,
        usable: bool,
        reason: Option<String>,
    }

    pub(crate) fn found(found: &Found) -> FoundOut<'_> {
        FoundOut {
            usable: usable(found).is_ok(),
            reason: usable(found).err(),
            driver: found.driver.map(version),
            kernels: found.kernels,
            devices: found.devices.iter().map(device).collect(),
        }
    }

    fn device((facts, fault): &(Facts, Option<Fault>)) -> DeviceOut<'_> {
        DeviceOut {
            ordinal: facts.ordinal,
            name: &facts.name,
            capability: format!("{}.{}", facts.capability.0, facts.capability.1),
            multiprocessors: facts.multiprocessors,
            memory_bytes: facts.memory,
            shared_bytes_per_block: facts.shared,
            clock_khz: (facts.clock_khz > 0).then_some(facts.clock_khz),
            bandwidth_bytes_per_s: (facts.bandwidth > 0).then_some(facts.bandwidth),
            usable: fault.is_none(),
            reason: fault.as_ref().map(ToString::to_string),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(ordinal: usize, name: &str, capability: (u32, u32)) -> Facts {
        Facts {
            ordinal,
            name: name.to_string(),
            capability,
            multiprocessors: 46,
            memory: 8 << 30,
            shared: 100 << 10,
            clock_khz: 1_815_000,
            bandwidth: 448_000_000_000,
        }
    }

    fn found(refused: &[bool]) -> Found {
        let device = |(at, &refused): (usize, &bool)| {
            let facts = facts(at, "some card", (8, 6));
            let fault = || Fault::OldDevice { name: facts.name.clone(), capability: facts.capability };
            let fault = refused.then(fault);
            (facts, fault)
        };
        let devices = refused.iter().enumerate().map(device).collect();
        Found { driver: Some(12_040), devices, fault: None, kernels: "committed" }
    }

    #[test]
    fn the_first_device_that_is_not_refused_is_used() {
        let text = to_text(&found(&[true, false, false]));
        for part in [
            "driver: CUDA 12.4; kernels: committed\n",
            "device 0: some card, compute capability 8.6\n",
            "  46 multiprocessors at 1.815 GHz, 8.0 GiB of memory at up to 448 GB/s, 100 KiB of shared memory a block\n",
            "  refused: some card has compute capability",
            "\ndevice 1 will be used\n",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn where_none_is_used_the_reason_is_given() {
        let text = to_text(&found(&[true]));
        assert!(
            text.ends_with("no CUDA device will be used: some card has compute capability 8.6, and 7.5 is needed\n")
        );
        let none = Found { fault: Some(Fault::NoDriver), driver: None, ..found(&[]) };
        let text = to_text(&none);
        assert!(text.starts_with("no CUDA device will be used: no CUDA driver") && text.lines().count() == 1, "{text}");
    }

    #[cfg(feature = "files")]
    #[test]
    fn json_says_what_is_usable() {
        let text = to_json(&found(&[true, false]));
        // What kernels/gpu.sh looks for.
        assert!(text.contains("\n  \"usable\": true,\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&json["devices"][0]["usable"], &json["devices"][1]["usable"]), (&false.into(), &true.into()));
        assert!(json["reason"].is_null() && json["driver"] == "12.4");
        let json: serde_json::Value = serde_json::from_str(&to_json(&found(&[true]))).unwrap();
        assert_eq!(json["usable"], false);
        assert!(json["reason"].as_str().unwrap().contains("7.5 is needed"));
    }
}
