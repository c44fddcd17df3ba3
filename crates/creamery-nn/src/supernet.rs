use std::collections::HashMap;

use burn::tensor::Device;
use creamery_space::{Architecture, Space};

use crate::state::{self, NamedTensor};
use crate::subnet::layer_name;
use crate::{Layer, NnError, Subnet};

/// The network that holds every candidate of a space.
///
/// Candidates of a block share nothing (each operation has weights of its own, as in the paper); the
/// stem, the first block, the last convolution, the head and the classifier are common to all paths.
/// A path runs, trains and updates only its own layers.
#[derive(Clone, Debug)]
pub struct SuperNet {
    space: Space,
    in_channels: usize,
    classes: usize,
    device: Device,
    /// The common layers, in order; the candidates stand between the second and the third.
    shared: Vec<Layer>,
    /// By stage, block, operation.
    candidates: Vec<Vec<Vec<Layer>>>,
}

impl SuperNet {
    /// A fresh supernet with EfficientNet's initialisation, for images with `in_channels` channels.
    ///
    /// # Errors
    /// If the space cannot be laid out for these images and classes.
    pub fn new(
        space: &Space,
        in_channels: usize,
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, NnError> {
        let resolution = space.resolutions[0];
        let shared = space
            .layers(&space.smallest(resolution)?, in_channels, classes)?
            .into_iter()
            .filter(|layer| layer.choice.is_none())
            .map(|layer| Layer::new(&layer.name, &layer.spec, seed, device))
            .collect();
        let candidates = (0..space.stages.len())
            .map(|stage| {
                (0..space.stages[stage].blocks)
                    .map(|block| {
                        (0..space.operations.len())
                            .map(|op| {
                                let spec = space.candidate(stage, block, op);
                                let name = format!("stages.{stage}.{block}.{op}");
                                Layer::new(&name, &spec, seed, device)
                            })
                            .collect()
                    })
                    .collect()
            })
            .collect();
        Ok(Self {
            space: space.clone(),
            in_channels,
            classes,
            device: device.clone(),
            shared,
            candidates,
        })
    }

    /// The space whose candidates these are.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Channels of the images.
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The device that holds the weights.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The network of one path. Weights are shared, not copied; changing the subnet changes nothing
    /// here until it is [`put`](Self::put) back.
    ///
    /// # Errors
    /// If the architecture is not one of the space.
    pub fn path(&self, architecture: &Architecture) -> Result<Subnet, NnError> {
        let layers = self
            .space
            .layers(architecture, self.in_channels, self.classes)?
            .iter()
            .map(|layer| self.layer(layer).clone())
            .collect();
        Ok(Subnet::from_layers(architecture.clone(), layers))
    }

    /// Takes the weights and running statistics of a path back into the supernet.
    ///
    /// # Errors
    /// If the subnet is not a path of this space.
    pub fn put(&mut self, path: Subnet) -> Result<(), NnError> {
        let own = self.layers_mut(&path.architecture)?;
        for (own, layer) in own.into_iter().zip(path.layers()) {
            *own = layer.clone();
        }
        Ok(())
    }

    /// The supernet's own layers of one path, in order, to be updated where they are.
    ///
    /// # Errors
    /// If the architecture is not one of the space.
    pub fn layers_mut(&mut self, architecture: &Architecture) -> Result<Vec<&mut Layer>, NnError> {
        let layers = self
            .space
            .layers(architecture, self.in_channels, self.classes)?;
        let places: HashMap<String, usize> = layers.iter().map(layer_name).zip(0..).collect();
        let mut chosen: Vec<(usize, &mut Layer)> = self
            .shared
            .iter_mut()
            .chain(self.candidates.iter_mut().flatten().flatten())
            .filter_map(|layer| Some((*places.get(&layer.name)?, layer)))
            .collect();
        chosen.sort_unstable_by_key(|(place, _)| *place);
        Ok(chosen.into_iter().map(|(_, layer)| layer).collect())
    }

    fn layer(&self, layer: &creamery_space::Layer) -> &Layer {
        match layer.choice {
            Some((stage, block, op)) => &self.candidates[stage][block][op],
            None => {
                let name = layer_name(layer);
                self.shared
                    .iter()
                    .find(|shared| shared.name == name)
                    .expect("every architecture has the same common layers")
            }
        }
    }

    /// All weights and running statistics by name.
    pub fn state(&self) -> Vec<NamedTensor> {
        self.shared
            .iter()
            .chain(self.candidates.iter().flatten().flatten())
            .flat_map(Layer::state)
            .collect()
    }

    /// Sets all weights and running statistics by name.
    ///
    /// # Errors
    /// If a tensor is missing, left over or of another shape; the supernet is then unchanged.
    pub fn load(&mut self, state: Vec<NamedTensor>) -> Result<(), NnError> {
        let device = self.device.clone();
        let layers = self
            .shared
            .iter_mut()
            .chain(self.candidates.iter_mut().flatten().flatten());
        Ok(state::load(layers, state, &device)?)
    }
}
