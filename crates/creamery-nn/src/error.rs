use creamery_space::SpaceError;

use crate::{DeviceError, StateError};

/// What can go wrong when a network is built or its weights are set.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// The architecture does not belong to the space.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// Weights do not fit the network.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no such device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The batch statistics of nothing are not defined.
    #[error("batch-norm calibration needs at least one batch of images, none was given")]
    NoCalibration,
    /// Not whole images.
    #[error(
        "{values} values are not some images of {image} each: pass [n, height, width, channels]"
    )]
    Images {
        /// How many there are.
        values: usize,
        /// How many an image has.
        image: usize,
    },
}
