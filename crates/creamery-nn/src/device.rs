use burn::tensor::Device;
#[cfg(any(feature = "cuda", feature = "metal", feature = "rocm"))]
use burn::tensor::DeviceType;

use crate::NnError;

/// The devices besides the CPU, each behind the Cargo feature of its name, with what a machine needs for it.
const ACCELERATORS: [(&str, &str); 4] = [
    ("cuda", "an NVIDIA GPU and its driver"),
    ("metal", "a Mac with a GPU"),
    ("rocm", "an AMD GPU and ROCm"),
    (
        "vulkan",
        "a Vulkan driver; Mesa's (mesa-vulkan-drivers in Debian) have one for machines without a GPU too",
    ),
];

/// Why there is no such device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No build has it.
    #[error("unknown device `{name}`: this build knows {known}")]
    Unknown {
        /// The name as given.
        name: String,
        /// See [`device_usage`].
        known: String,
    },
    /// Other builds have it.
    #[error(
        "device `{name}`: this build knows {known}; rebuild Creamery with `--features {feature}`"
    )]
    NotBuilt {
        /// The name as given.
        name: String,
        /// See [`device_usage`].
        known: String,
        /// The Cargo feature that brings it.
        feature: &'static str,
    },
    /// The build has it, the machine has none of its kind.
    #[error("device `{name}`: found no {kind} device on this machine; it needs {needs}")]
    Absent {
        /// The name as given.
        name: String,
        /// The name without the index.
        kind: &'static str,
        /// What the machine needs for it.
        needs: &'static str,
    },
    /// The machine has fewer of its kind.
    #[error("device `{name}`: the last {kind} device of this machine is `{kind}:{last}`")]
    Index {
        /// The name as given.
        name: String,
        /// The name without the index.
        kind: &'static str,
        /// The highest index there is.
        last: usize,
    },
}

/// The device names that this build accepts. All but `cpu` also take the index of a device among those of
/// its kind, as in `cuda:1`; without one they name the first.
pub fn device_names() -> Vec<&'static str> {
    let others = ACCELERATORS.map(|(name, _)| name).into_iter();
    let built = others.filter(|name| lister(name).is_some());
    std::iter::once("cpu").chain(built).collect()
}

/// What this build accepts as a device's name, such as `cpu, cuda[:N]`.
pub fn device_usage() -> String {
    let names = device_names().into_iter().map(|name| match name {
        "cpu" => name.to_owned(),
        _ => format!("{name}[:N]"),
    });
    names.collect::<Vec<_>>().join(", ")
}

/// The device called `name`, without autodiff.
///
/// # Errors
/// [`NnError::Device`] if there is no such device, in this build or on this machine.
pub fn device(name: &str) -> Result<Device, NnError> {
    if name == "cpu" {
        return Ok(Device::flex());
    }
    let own = || name.to_owned();
    let unknown = || DeviceError::Unknown {
        name: own(),
        known: device_usage(),
    };
    let (kind, index) = match name.split_once(':') {
        Some((kind, index)) => (kind, index.parse().map_err(|_| unknown())?),
        None => (name, 0),
    };
    let (kind, needs) = *ACCELERATORS
        .iter()
        .find(|(known, _)| *known == kind)
        .ok_or_else(unknown)?;
    let list = lister(kind).ok_or_else(|| DeviceError::NotBuilt {
        name: own(),
        known: device_usage(),
        feature: kind,
    })?;
    // Burn's constructors are lazy, and the first tensor on a device that is not there panics in a thread of
    // the runtime. Listing asks the drivers and answers a machine without any with an empty list.
    let devices = list();
    let error = match devices.len().checked_sub(1) {
        None => DeviceError::Absent {
            name: own(),
            kind,
            needs,
        },
        Some(last) => DeviceError::Index {
            name: own(),
            kind,
            last,
        },
    };
    Ok(devices.into_iter().nth(index).ok_or(error)?)
}

/// Lists the machine's devices of a kind, where this build has it.
fn lister(kind: &str) -> Option<fn() -> Vec<Device>> {
    match kind {
        #[cfg(feature = "cuda")]
        "cuda" => Some(|| Device::enumerate(DeviceType::Cuda).into_vec()),
        #[cfg(feature = "metal")]
        "metal" => Some(|| Device::enumerate(DeviceType::Metal).into_vec()),
        #[cfg(feature = "rocm")]
        "rocm" => Some(|| Device::enumerate(DeviceType::Rocm).into_vec()),
        #[cfg(feature = "vulkan")]
        "vulkan" => Some(vulkan_devices),
        _ => None,
    }
}

/// The devices of Burn's `wgpu` that are reached through Vulkan: discrete GPUs first, software devices last.
///
/// Burn lists them itself only with its own feature `vulkan`, which this build does without (docs/design.md).
#[cfg(feature = "vulkan")]
fn vulkan_devices() -> Vec<Device> {
    use burn::backend::{CubeDevice, WgpuBackend, WgpuDevice, WgpuDeviceKind};

    // Listing asks for the devices of one kind, that of the device it is given.
    let kinds = [
        WgpuDeviceKind::DiscreteGpu(0),
        WgpuDeviceKind::IntegratedGpu(0),
        WgpuDeviceKind::VirtualGpu(0),
        WgpuDeviceKind::Other(0),
        WgpuDeviceKind::Cpu,
    ];
    let first = kinds.map(|kind| CubeDevice::Wgpu(WgpuDevice::new(kind).on(WgpuBackend::Vulkan)));
    let ids = first
        .into_iter()
        .flat_map(|device| CubeDevice::enumerate(device.to_id()));
    ids.map(|id| Device::new(CubeDevice::from_id(id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str) -> String {
        device(name).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_device_is_told_with_the_known_ones() {
        for name in ["tpu", "", "cpu:0", "vulkan:", "vulkan:-1", "vulkan:first"] {
            let error = refused(name);
            assert!(
                error.starts_with(&format!("unknown device `{name}`: this build knows cpu")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_device_of_another_build_is_told_with_its_feature() {
        let known = device_names();
        for (kind, _) in ACCELERATORS {
            if known.contains(&kind) {
                continue;
            }
            for name in [kind.to_owned(), format!("{kind}:1")] {
                let error = refused(&name);
                assert!(
                    error.starts_with(&format!("device `{name}`"))
                        && error.contains(&format!("`--features {kind}`")),
                    "{error}"
                );
            }
        }
    }

    /// Whatever this machine has.
    #[test]
    fn an_index_beyond_the_machines_devices_is_refused() {
        for kind in device_names().into_iter().filter(|name| *name != "cpu") {
            let error = refused(&format!("{kind}:99"));
            assert!(
                error.starts_with(&format!("device `{kind}:99`")) && error.contains("this machine"),
                "{error}"
            );
        }
    }
}
