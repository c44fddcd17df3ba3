use burn::tensor::Device;

use crate::NnError;

/// The device names that this build accepts.
pub fn device_names() -> &'static [&'static str] {
    &["cpu"]
}

/// The device called `name`, without autodiff.
///
/// # Errors
/// [`NnError::Device`] if this build was made without that device.
pub fn device(name: &str) -> Result<Device, NnError> {
    match name {
        "cpu" => Ok(Device::flex()),
        _ => Err(NnError::Device {
            name: name.to_owned(),
            known: device_names().join(", "),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_device_is_told_with_the_known_ones() {
        let error = device("tpu").unwrap_err().to_string();
        assert!(error.contains("`tpu`") && error.contains("cpu"), "{error}");
    }
}
