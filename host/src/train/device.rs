//! Where training computes.

use std::collections::BTreeSet;
use std::str::FromStr;

use tch::{Cuda, Device};

use super::TrainError;

/// Where training computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// CUDA where there is some, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device.
    Cuda,
}

/// A word that names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("wanted auto, cpu or cuda, found `{found}`")]
pub struct UnknownDevice {
    /// The word.
    pub found: String,
}

impl FromStr for DeviceChoice {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            _ => Err(UnknownDevice {
                found: text.to_owned(),
            }),
        }
    }
}

impl DeviceChoice {
    /// The device, if it is there.
    pub(super) fn resolve(self) -> Result<Device, TrainError> {
        let cuda = Cuda::is_available();
        match self {
            Self::Cuda if !cuda && !tch::utils::has_cuda() => Err(TrainError::NoCuda {
                found: "without CUDA",
            }),
            Self::Cuda if !cuda => Err(TrainError::NoCuda {
                found: "that sees no CUDA device",
            }),
            Self::Cuda | Self::Auto if cuda => Ok(Device::Cuda(0)),
            _ => Ok(Device::Cpu),
        }
    }
}

/// Physical cores that this process may use: two threads on one core slow each other down.
pub fn physical_cores() -> usize {
    let usable = std::thread::available_parallelism().map_or(1, usize::from);
    let siblings = |cpu: usize| {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        std::fs::read_to_string(path).ok()
    };
    let cores: BTreeSet<String> = (0..usable).map_while(siblings).collect();
    if cores.is_empty() {
        usable
    } else {
        cores.len().min(usable)
    }
}
