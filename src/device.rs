//! Where a search runs: what may be chosen, what devices there are, and why one was not used.

use std::fmt;

/// Where to search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choice {
    /// Where it is done first, as far as measurements tell; on the CPU if there is no device, or it fails.
    Auto,
    /// The CPU.
    #[default]
    Cpu,
    /// A CUDA device.
    Cuda,
}

/// Where a search ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// "cpu" or "cuda".
    pub backend: &'static str,
    /// Why there. None where there was no choice: without a driver, with [`Choice::Cpu`], or where nothing was large
    /// enough to think of a device.
    pub why: Option<String>,
    /// The device that was asked for failed in the middle; the search was then done again on the CPU.
    pub fault: Option<Fault>,
}

impl Ran {
    /// On the CPU, as asked.
    pub const CPU: Ran = Ran { backend: "cpu", why: None, fault: None };
    /// On the CPU, because of a fault of the device.
    #[cfg(feature = "cuda")]
    pub(crate) fn after(fault: Fault) -> Ran {
        let why = Some(format!("the device failed, and the search was done again: {fault}"));
        Ran { why, fault: Some(fault), ..Ran::CPU }
    }

    /// On a CUDA device, as asked.
    pub const CUDA: Ran = Ran { backend: "cuda", why: None, fault: None };
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its number, as the driver counts.
    pub ordinal: usize,
    /// Its name.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (u32, u32),
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of shared memory that a block may have.
    pub shared: u32,
    /// Clock of the multiprocessors, in kHz; 0 if unknown.
    pub clock_khz: u32,
    /// Bytes a second that its memory moves at most: twice the memory clock times the width of the bus; 0 if unknown.
    pub bandwidth: u64,
}

/// Why a device is not used, or what went wrong with it. Every message is one line that says what is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The crate was built without its `cuda` feature.
    #[error("this build has no CUDA backend; build it with the feature `cuda`")]
    NotBuilt,
    /// The crate was built without kernels.
    #[error("this build has no kernels: kernels/ptx was empty; build it from a complete checkout or package")]
    NoKernels,
    /// There is no driver library.
    #[error("no CUDA driver: the library libcuda.so.1 (nvcuda.dll) was not found; install NVIDIA's driver")]
    NoDriver,
    /// The driver does not know what the kernels need.
    #[error("the CUDA driver is too old: it supports CUDA {}, and 12.0 (driver 525) is needed; update it", Version(*.found))]
    OldDriver {
        /// CUDA version of the driver: 1000 times the major and 10 times the minor number.
        found: u32,
    },
    /// A driver, and no device.
    #[error("the CUDA driver sees no device; check that there is one, and that CUDA_VISIBLE_DEVICES does not hide it")]
    NoDevice,
    /// The device is older than the kernels.
    #[error("{name} has compute capability {}.{}, and 7.5 is needed", .capability.0, .capability.1)]
    OldDevice {
        /// Its name.
        name: String,
        /// Its compute capability.
        capability: (u32, u32),
    },
    /// The driver did not take the kernels.
    #[error("the CUDA driver refused the kernels in {module}.ptx: {detail}; update the driver")]
    Ptx {
        /// The file.
        module: String,
        /// What the driver said.
        detail: String,
    },
    /// The device has too little memory left.
    #[error("out of device memory: {needed} bytes are needed for {what}, and {free} are free")]
    Memory {
        /// What it was for.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// An operation failed; the device may be lost.
    #[error("the CUDA device failed to {operation}: {detail}")]
    Failed {
        /// What was tried, with its size.
        operation: String,
        /// What the driver said.
        detail: String,
    },
}

/// A CUDA version as the driver writes it.
struct Version(u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

/// What was found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// CUDA version that the driver supports (1000 times the major and 10 times the minor number), if there is one.
    pub driver: Option<u32>,
    /// Every device, and why it is refused if it is.
    pub devices: Vec<(Facts, Option<Fault>)>,
    /// Why there is none, if there is none.
    pub fault: Option<Fault>,
    /// Where the kernels come from: "committed", or the compiler that this build was made with.
    pub kernels: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_one_line_that_says_what_is_missing() {
        let text = |fault: Fault| fault.to_string();
        assert!(text(Fault::OldDriver { found: 11_080 }).contains("CUDA 11.8, and 12.0"));
        let old = Fault::OldDevice { name: "Tesla V100".to_string(), capability: (7, 0) };
        assert_eq!(text(old), "Tesla V100 has compute capability 7.0, and 7.5 is needed");
        let memory = Fault::Memory { what: "the columns".to_string(), needed: 400, free: 100 };
        assert_eq!(text(memory), "out of device memory: 400 bytes are needed for the columns, and 100 are free");
        for fault in [Fault::NotBuilt, Fault::NoDriver, Fault::NoDevice] {
            assert!(!text(fault).contains('\n'));
        }
    }
}
