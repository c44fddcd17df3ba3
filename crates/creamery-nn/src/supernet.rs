use std::collections::HashMap;
use std::collections::hash_map::Entry;

use burn::tensor::{Device, Tensor};
use creamery_space::{Architecture, Space};

use crate::elastic::ElasticBlock;
use crate::ops;
use crate::state::{self, NamedTensor};
use crate::subnet::layer_name;
use crate::{Layer, NnError, Subnet};

/// The network that holds every candidate of a space.
///
/// The stem, the first block, the last convolution, the head and the classifier are common to all paths.
/// Between them each operation of a place has weights of its own, as in SPOS and Cream
/// ([`SuperNet::new`]), or all of them share one block, as in OFA and BigNAS ([`SuperNet::elastic`]).
#[derive(Clone, Debug)]
pub struct SuperNet {
    space: Space,
    in_channels: usize,
    classes: usize,
    device: Device,
    /// The common layers, in order; the blocks stand between the second and the third.
    shared: Vec<Layer>,
    blocks: Blocks,
}

/// The blocks, by stage and place.
#[derive(Clone, Debug)]
enum Blocks {
    /// One for each operation.
    Separate(Vec<Vec<Vec<Layer>>>),
    /// One for all of them.
    Elastic(Vec<Vec<ElasticBlock>>),
}

/// What the passes of one step yield to a supernet, by the names of its own layers.
///
/// Filled by [`SuperNet::gather`], path after path.
#[derive(Debug, Default)]
pub struct Gathered(HashMap<String, Share>);

/// What passes yield to one layer.
#[derive(Debug)]
pub struct Share {
    /// The sum of the gradients.
    pub gradient: Tensor<1>,
    /// The statistics of each pass's batch.
    pub stats: Vec<Tensor<1>>,
}

impl Gathered {
    /// Takes what there is for a layer.
    pub fn remove(&mut self, layer: &str) -> Option<Share> {
        self.0.remove(layer)
    }
}

impl SuperNet {
    /// A fresh supernet whose operations have weights of their own, with EfficientNet's initialisation, for
    /// images with `in_channels` channels.
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
        let blocks = by_place(space, |stage, block| {
            let layer = |op| {
                let spec = space.candidate(stage, block, op);
                Layer::new(&format!("stages.{stage}.{block}.{op}"), &spec, seed, device)
            };
            (0..space.operations.len()).map(layer).collect()
        });
        let blocks = Blocks::Separate(blocks);
        Self::with(space, in_channels, classes, seed, device, blocks)
    }

    /// A fresh supernet whose operations share one block a place: smaller kernels are the centre of the
    /// largest, fewer channels the leading ones. With `transforms`, smaller kernels are made from the centre of the
    /// next larger one by a learned matrix, as in OFA.
    ///
    /// # Errors
    /// If the space cannot be laid out for these images and classes.
    pub fn elastic(
        space: &Space,
        in_channels: usize,
        classes: usize,
        transforms: bool,
        seed: u64,
        device: &Device,
    ) -> Result<Self, NnError> {
        let kernels = if transforms {
            space.kernels()
        } else {
            Vec::new()
        };
        let blocks = by_place(space, |stage, block| {
            let whole = space.whole_block(stage, block);
            let name = format!("stages.{stage}.{block}");
            ElasticBlock::new(&name, &whole, &kernels, seed, device)
        });
        let blocks = Blocks::Elastic(blocks);
        Self::with(space, in_channels, classes, seed, device, blocks)
    }

    fn with(
        space: &Space,
        in_channels: usize,
        classes: usize,
        seed: u64,
        device: &Device,
        blocks: Blocks,
    ) -> Result<Self, NnError> {
        // Of any resolution: shapes of weights do not depend on it.
        let shared = space
            .blocks(space.resolutions[0], in_channels, classes)?
            .into_iter()
            .filter(|layer| layer.choice.is_none())
            .map(|layer| Layer::new(&layer.name, &layer.spec, seed, device))
            .collect();
        Ok(Self {
            space: space.clone(),
            in_channels,
            classes,
            device: device.clone(),
            shared,
            blocks,
        })
    }

    /// The space whose networks these are.
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

    /// The network of one path. Weights are shared where they can be, not copied; changing the subnet changes
    /// nothing here.
    ///
    /// # Errors
    /// If the architecture is not one of the space.
    pub fn path(&self, architecture: &Architecture) -> Result<Subnet, NnError> {
        let layers = self
            .space
            .layers(architecture, self.in_channels, self.classes)?
            .iter()
            .map(|layer| match (layer.choice, &self.blocks) {
                (Some((stage, block, op)), Blocks::Separate(blocks)) => {
                    blocks[stage][block][op].clone()
                }
                (Some((stage, block, _)), Blocks::Elastic(blocks)) => {
                    blocks[stage][block].cut(&layer_name(layer), &layer.spec)
                }
                (None, _) => self.shared(&layer.name).clone(),
            })
            .collect();
        Ok(Subnet::from_layers(architecture.clone(), layers))
    }

    /// The names of the supernet's own layers that a path runs through.
    ///
    /// # Errors
    /// If the architecture is not one of the space.
    pub fn own_layers(&self, architecture: &Architecture) -> Result<Vec<String>, NnError> {
        let layers = self
            .space
            .layers(architecture, self.in_channels, self.classes)?;
        let own = |layer: &creamery_space::Layer| match &self.blocks {
            // One block serves all operations of a place, under the place's name.
            Blocks::Elastic(_) => layer.name.clone(),
            Blocks::Separate(_) => layer_name(layer),
        };
        Ok(layers.iter().map(own).collect())
    }

    /// Adds what a pass of `path` yields, one gradient for each of its layers and the batch's statistics, to
    /// that of other passes.
    ///
    /// Statistics of elastic blocks are left out: those of different widths have nothing in common, so
    /// paths of elastic supernets are calibrated before use.
    pub fn gather(
        &self,
        gathered: &mut Gathered,
        path: &Subnet,
        gradients: Vec<Tensor<1>>,
        stats: Vec<Option<Tensor<1>>>,
    ) {
        let mut stats = stats.into_iter();
        for (layer, gradient) in path.layers().iter().zip(gradients) {
            // The head and the classifier have no statistics.
            let mut stats: Vec<_> = stats.next().flatten().into_iter().collect();
            let (mut name, mut gradient) = (layer.name.clone(), gradient);
            if let Some(block) = self.elastic_block(&layer.name) {
                name.clone_from(&block.layer.name);
                gradient = block.scatter(&layer.spec, gradient);
                stats.clear();
            }
            match gathered.0.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(Share { gradient, stats });
                }
                Entry::Occupied(mut entry) => {
                    let share = entry.get_mut();
                    ops::blend(1.0, &mut share.gradient, 1.0, &gradient);
                    share.stats.append(&mut stats);
                }
            }
        }
    }

    /// The block that a path's layer was cut from.
    fn elastic_block(&self, layer: &str) -> Option<&ElasticBlock> {
        let Blocks::Elastic(blocks) = &self.blocks else {
            return None;
        };
        let (place, _operation) = layer.rsplit_once('.')?;
        let mut blocks = blocks.iter().flatten();
        blocks.find(|block| block.layer.name == place)
    }

    /// Sorts the inner channels of every elastic block by importance, so that the leading ones are those worth keeping. The
    /// largest network computes what it did before.
    ///
    /// Returns for each block its layer's name and where each of its parameters came from, for whoever keeps
    /// something beside them.
    pub fn sort_channels(&mut self) -> Vec<(String, Vec<usize>)> {
        let Blocks::Elastic(blocks) = &mut self.blocks else {
            return Vec::new();
        };
        let blocks = blocks.iter_mut().flatten();
        blocks
            .map(|block| {
                let from = block.sorted();
                block.layer.params = permuted(&block.layer.params, &from);
                (block.layer.name.clone(), from)
            })
            .collect()
    }

    fn shared(&self, name: &str) -> &Layer {
        self.shared
            .iter()
            .find(|shared| shared.name == name)
            .expect("every architecture has the same common layers")
    }

    /// The supernet's own layers.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        let (separate, elastic) = match &self.blocks {
            Blocks::Separate(blocks) => (Some(blocks), None),
            Blocks::Elastic(blocks) => (None, Some(blocks)),
        };
        let separate = separate.into_iter().flatten().flatten().flatten();
        let elastic = elastic.into_iter().flatten().flatten();
        let blocks = separate.chain(elastic.map(|block| &block.layer));
        self.shared.iter().chain(blocks)
    }

    /// The supernet's own layers, to be updated where they are.
    pub fn layers_mut(&mut self) -> impl Iterator<Item = &mut Layer> {
        let (separate, elastic) = match &mut self.blocks {
            Blocks::Separate(blocks) => (Some(blocks), None),
            Blocks::Elastic(blocks) => (None, Some(blocks)),
        };
        let separate = separate.into_iter().flatten().flatten().flatten();
        let elastic = elastic.into_iter().flatten().flatten();
        let blocks = separate.chain(elastic.map(|block| &mut block.layer));
        self.shared.iter_mut().chain(blocks)
    }

    /// All weights and running statistics by name.
    pub fn state(&self) -> Vec<NamedTensor> {
        self.layers().flat_map(Layer::state).collect()
    }

    /// Sets all weights and running statistics by name.
    ///
    /// # Errors
    /// If a tensor is missing, left over or of another shape; the supernet is then unchanged.
    pub fn load(&mut self, state: Vec<NamedTensor>) -> Result<(), NnError> {
        let device = self.device.clone();
        Ok(state::load(self.layers_mut(), state, &device)?)
    }
}

/// The values of a flat tensor in another order: value `i` is the one that was at `from[i]`.
///
/// # Panics
/// If an index is outside of the tensor.
pub fn permuted(flat: &Tensor<1>, from: &[usize]) -> Tensor<1> {
    let values = state::values(flat);
    let values = from.iter().map(|i| values[*i]).collect();
    crate::layer::flat(values, &flat.device())
}

/// Something for each place of a space.
fn by_place<T>(space: &Space, make: impl Fn(usize, usize) -> T) -> Vec<Vec<T>> {
    let stages = space.stages.iter().enumerate();
    stages
        .map(|(stage, size)| (0..size.blocks).map(|block| make(stage, block)).collect())
        .collect()
}
