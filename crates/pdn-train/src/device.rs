//! Training devices: the CPU with this project's kernels, or a GPU with burn's.

use burn::tensor::Device;
use std::fmt;
use std::str::FromStr;

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This machine's CPU.
    Cpu,
    /// NVIDIA GPUs through CUDA: in builds with the feature `cuda`.
    Cuda,
    /// Any GPU through Vulkan, Metal or DirectX: in builds with the feature `wgpu`.
    Wgpu,
}

/// A kind of device that is not available.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("device {kind}: {why}")]
pub struct NoDevice {
    kind: Kind,
    why: String,
}

impl Kind {
    /// Returns the first device of this kind.
    ///
    /// # Errors
    /// [`NoDevice`] if there is none, or this build does not support it.
    pub fn device(self) -> Result<Device, NoDevice> {
        let found = match self {
            Self::Cpu => return Ok(Device::flex()),
            Self::Cuda => cuda(),
            Self::Wgpu => wgpu(),
        };
        let found = found.ok_or_else(|| format!("this build does not include it; rebuild with the feature `{self}`"));
        let found = found
            .and_then(|devices| devices.into_iter().next().ok_or_else(|| "no GPU found; check its driver".to_owned()));
        found.map_err(|why| NoDevice { kind: self, why })
    }
}

#[cfg(feature = "cuda")]
fn cuda() -> Option<Vec<Device>> {
    Some(Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec())
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Option<Vec<Device>> {
    None
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Option<Vec<Device>> {
    Some(Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec())
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Option<Vec<Device>> {
    None
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = [Self::Cpu, Self::Cuda, Self::Wgpu].into_iter().find(|kind| kind.to_string() == name);
        found.ok_or_else(|| format!("unknown device `{name}`; expected cpu, cuda or wgpu"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_said() {
        assert!(Kind::Cpu.device().is_ok());
        for kind in [Kind::Cuda, Kind::Wgpu] {
            // A build that supports it may find a device or none, but never panics.
            if let Err(error) = kind.device() {
                let said = error.to_string();
                assert!(said.contains(&format!("device {kind}: ")), "{said}");
            }
        }
        assert!("gpu".parse::<Kind>().unwrap_err().contains("cpu, cuda or wgpu"));
    }
}
