//! Why a request is not in the batch.

use std::fmt;

/// Why a request was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// (1e): the quantisation costs more perplexity than the user accepts.
    Accuracy,
    /// Longer than the fixed padding.
    PromptTooLong,
    /// (1a): does not fit in the uplink band even alone.
    Uplink,
    /// (1b): does not fit in the downlink band even alone.
    Downlink,
    /// (1c): does not fit in the memory even alone.
    Memory,
    /// (1d): late even alone.
    Deadline,
    /// Servable alone, but not in the batch chosen.
    CrowdedOut,
}

impl Reason {
    /// All reasons, in the order in which they are reported.
    pub const ALL: [Reason; 7] = [
        Reason::Accuracy,
        Reason::PromptTooLong,
        Reason::Uplink,
        Reason::Downlink,
        Reason::Memory,
        Reason::Deadline,
        Reason::CrowdedOut,
    ];

    /// The word for it in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Accuracy => "accuracy",
            Reason::PromptTooLong => "prompt-too-long",
            Reason::Uplink => "uplink",
            Reason::Downlink => "downlink",
            Reason::Memory => "memory",
            Reason::Deadline => "deadline",
            Reason::CrowdedOut => "crowded-out",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request that no batch can serve, and every reason for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// Which request of the input.
    pub request: u32,
    /// A bit per reason: millions of rejections take 8 bytes each.
    reasons: u8,
}

impl Rejection {
    pub(super) fn new(request: u32, reasons: impl Iterator<Item = Reason>) -> Self {
        Rejection { request, reasons: reasons.fold(0, |bits, reason| bits | 1 << reason as u8) }
    }

    /// All reasons, in the order of [`Reason::ALL`]; there is at least one.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> + use<> {
        let bits = self.reasons;
        Reason::ALL.into_iter().filter(move |&reason| bits >> (reason as u8) & 1 == 1)
    }
}
