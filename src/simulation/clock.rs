//! Whole nanoseconds, and the slots of an epoch.

use crate::scenario::Epoch;

/// Nanoseconds of a second.
pub const NS_PER_S: f64 = 1e9;

/// Nanoseconds from seconds within [`crate::limits`], to the nearest.
pub fn ns(seconds: f64) -> u64 {
    // Limits end at 1e9 s, which is 2⁶⁰ ns; `as` saturates beyond.
    (seconds * NS_PER_S).round() as u64
}

/// Seconds from nanoseconds.
pub fn seconds(ns: u64) -> f64 {
    ns as f64 / NS_PER_S
}

/// The times of an epoch, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// The epoch's length.
    pub epoch: u64,
    /// T_U.
    pub uplink: u64,
    /// T_D.
    pub downlink: u64,
}

impl Slots {
    /// Rounds an epoch to whole nanoseconds, each of them at least one.
    pub fn new(epoch: &Epoch) -> Slots {
        let whole = |s: f64| ns(s).max(1);
        Slots {
            epoch: whole(epoch.duration_s),
            uplink: whole(epoch.uplink_slot_s),
            downlink: whole(epoch.downlink_slot_s),
        }
    }

    /// The same as seconds, which is what schedulers are told: what they plan with is what happens.
    pub fn to_epoch(self) -> Epoch {
        Epoch {
            duration_s: seconds(self.epoch),
            uplink_slot_s: seconds(self.uplink),
            downlink_slot_s: seconds(self.downlink),
        }
    }
}
