//! Networks that only infer.

use burn::tensor::{Tensor, TensorData};
use creamery_kernels::inference::Network;
use creamery_space::LayerSpec;

use crate::ops::{self, Norm};
use crate::{Layer, NnError, Subnet};

/// A network that is ready to be used: on the CPU its weights are packed once for the kernels, which is what most of the
/// time of a single image goes into otherwise. On other devices it is the network itself.
///
/// Norms go by running statistics. Later changes of the network's weights do not reach it.
#[derive(Debug)]
pub struct Ready {
    net: Subnet,
    packed: Option<Network>,
    channels: usize,
}

impl Subnet {
    /// The network, ready to infer on images of the architecture's resolution.
    pub fn ready(&self) -> Ready {
        let mut size = self.architecture.resolution;
        let layers = self.layers().iter().map(|layer| {
            let ready = layer.ready(size);
            size = layer.spec.output_size(size);
            ready
        });
        let mut layers: Option<Vec<_>> = layers.collect();
        let LayerSpec::ConvNorm {
            in_channels,
            kernel,
            stride,
            ..
        } = self.layers()[0].spec
        else {
            unreachable!("the first layer of every network is a convolution")
        };
        // The kernels' pointwise convolutions do not take images as they come.
        if kernel == 1 && stride == 1 {
            layers = None;
        }
        Ready {
            packed: layers.and_then(|layers| Network::new(layers).ok()),
            channels: in_channels,
            net: self.clone(),
        }
    }
}

impl Ready {
    /// The packed network; nothing on other devices than the CPU, or where the kernels lack a layer.
    pub fn packed(&self) -> Option<&Network> {
        self.packed.as_ref()
    }

    /// Values of an image: resolution x resolution x channels.
    pub fn image_len(&self) -> usize {
        self.net.architecture.resolution.pow(2) * self.channels
    }

    /// Logits `[n][classes]` of images `[n][height][width][channels]`.
    ///
    /// # Errors
    /// [`NnError::Images`] if these are not whole images.
    pub fn infer(&self, images: &[f32]) -> Result<Vec<f32>, NnError> {
        let image = self.image_len();
        if !images.len().is_multiple_of(image) {
            return Err(NnError::Images {
                values: images.len(),
                image,
            });
        }
        if let Some(network) = &self.packed {
            return Ok(network.run(images).expect("whole images"));
        }
        let (count, side) = (images.len() / image, self.net.architecture.resolution);
        if count == 0 {
            return Ok(Vec::new());
        }
        let device = self.net.layers()[0].params.device();
        let data = TensorData::new(images.to_vec(), [count, side, side, self.channels]);
        let images = Tensor::from_data(data, &device);
        let logits = self.net.forward(images, Norm::Running).logits.into_data();
        Ok(logits.try_into_vec().expect("logits are f32"))
    }
}

impl Layer {
    /// The layer for maps of `size` pixels a side, ready to infer on one image at a time; see
    /// [`creamery_kernels::inference`]. Nothing if the device is not the CPU, or the kernels lack the layer.
    pub fn ready(&self, size: usize) -> Option<creamery_kernels::inference::Layer> {
        ops::ready(&self.spec, size, &self.params, self.running.as_ref())
    }
}
