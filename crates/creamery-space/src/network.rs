//! From a space and an architecture to concrete layers and their cost.

use crate::architecture::{Architecture, SKIP};
use crate::cost::Cost;
use crate::error::SpaceError;
use crate::layer::{Activation, Layer, LayerSpec};
use crate::space::{MAX_CHANNELS, MAX_CLASSES, Space};

/// A block of a stage, where one of the space's operations runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The stage, from 0.
    pub stage: usize,
    /// The block in the stage, from 0.
    pub block: usize,
    /// Channels in.
    pub in_channels: usize,
    /// Channels out.
    pub out_channels: usize,
    /// Step of the depthwise convolution.
    pub stride: usize,
    /// Whether an architecture may leave the block out: every one but the first of its stage.
    pub may_skip: bool,
}

impl Space {
    /// Every place, in the order in which a network runs them.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        (self.stages.iter().enumerate()).flat_map(move |(stage, size)| {
            (0..size.blocks).map(move |block| self.place(stage, block))
        })
    }

    fn place(&self, stage: usize, block: usize) -> Place {
        let size = self.stages[stage];
        let entering = match stage {
            0 => self.first.channels,
            _ => self.stages[stage - 1].channels,
        };
        let first = block == 0;
        Place {
            stage,
            block,
            in_channels: if first { entering } else { size.channels },
            out_channels: size.channels,
            stride: if first { size.stride } else { 1 },
            may_skip: !first,
        }
    }

    /// The block that a supernet holds for operation `operation` at `block` of `stage`.
    ///
    /// # Panics
    /// If the space has no such stage or operation.
    pub fn candidate(&self, stage: usize, block: usize, operation: usize) -> LayerSpec {
        let place = self.place(stage, block);
        let operation = self.operations[operation];
        let mid_channels = self.mid_channels(operation.expansion, place.in_channels);
        LayerSpec::InvertedResidual {
            in_channels: place.in_channels,
            mid_channels,
            out_channels: place.out_channels,
            kernel: operation.kernel,
            stride: place.stride,
            squeeze: self.squeeze(mid_channels),
        }
    }

    /// The block that every operation at `block` of `stage` can be cut from: the largest kernel, and the
    /// most channels inside. It need not be one of the operations itself.
    ///
    /// # Panics
    /// If the space has no such stage.
    pub fn whole_block(&self, stage: usize, block: usize) -> LayerSpec {
        let place = self.place(stage, block);
        let mid_channels = self.mid_channels(self.expansions()[0], place.in_channels);
        LayerSpec::InvertedResidual {
            in_channels: place.in_channels,
            mid_channels,
            out_channels: place.out_channels,
            kernel: self.kernels()[0],
            stride: place.stride,
            squeeze: self.squeeze(mid_channels),
        }
    }

    /// The convolution on images of `in_channels` channels.
    pub fn stem(&self, in_channels: usize) -> LayerSpec {
        LayerSpec::ConvNorm {
            in_channels,
            out_channels: self.stem.channels,
            kernel: self.stem.kernel,
            stride: self.stem.stride,
            activation: Some(Activation::Silu),
        }
    }

    /// The depthwise-separable block after the stem.
    pub fn first(&self) -> LayerSpec {
        LayerSpec::DepthwiseSeparable {
            in_channels: self.stem.channels,
            out_channels: self.first.channels,
            kernel: self.first.kernel,
            stride: self.first.stride,
            squeeze: self.squeeze(self.stem.channels),
        }
    }

    /// The 1x1 convolution after the last stage.
    pub fn last(&self) -> LayerSpec {
        let last_stage = self.stages.last();
        LayerSpec::ConvNorm {
            in_channels: last_stage.map_or(self.first.channels, |stage| stage.channels),
            out_channels: self.last_channels,
            kernel: 1,
            stride: 1,
            activation: Some(Activation::Silu),
        }
    }

    /// The pool and the layer before the classifier.
    pub fn head(&self) -> LayerSpec {
        LayerSpec::Head {
            in_channels: self.last_channels,
            head_channels: self.head_channels,
        }
    }

    /// The classifier for `classes` classes.
    pub fn classifier(&self, classes: usize) -> LayerSpec {
        LayerSpec::Classifier {
            in_features: self.head_channels,
            classes,
        }
    }

    /// Checks that the architecture is one of this space.
    ///
    /// # Errors
    /// [`SpaceError`] with the stage, the block, the choice and what is allowed there.
    pub fn validate(&self, architecture: &Architecture) -> Result<(), SpaceError> {
        if architecture.space != self.name {
            return Err(SpaceError::OtherSpace {
                expected: self.name.clone(),
                found: architecture.space.clone(),
            });
        }
        self.allow_resolution(architecture.resolution)?;
        if architecture.choices.len() != self.stages.len() {
            return Err(SpaceError::Stages {
                space: self.name.clone(),
                expected: self.stages.len(),
                found: architecture.choices.len(),
            });
        }
        for (i, (choices, stage)) in architecture.choices.iter().zip(&self.stages).enumerate() {
            let blocks = choices.iter().rposition(|&choice| choice != SKIP);
            let found = blocks.map_or(0, |last| last + 1);
            if found > stage.blocks {
                return Err(SpaceError::Blocks {
                    space: self.name.clone(),
                    stage: i,
                    most: stage.blocks,
                    found,
                });
            }
            // A stage without blocks is one whose first block is skipped.
            let first = choices.first().copied().unwrap_or(SKIP);
            for (block, choice) in std::iter::once(first)
                .chain(choices.iter().copied().skip(1))
                .enumerate()
            {
                self.allow_choice(i, block, choice)?;
            }
        }
        Ok(())
    }

    pub(crate) fn allow_resolution(&self, resolution: usize) -> Result<(), SpaceError> {
        if self.resolutions.contains(&resolution) {
            return Ok(());
        }
        Err(SpaceError::Resolution {
            space: self.name.clone(),
            resolution,
            allowed: self.resolutions.clone(),
        })
    }

    fn allow_choice(&self, stage: usize, block: usize, choice: i8) -> Result<(), SpaceError> {
        let operation = usize::try_from(choice).is_ok_and(|index| index < self.operations.len());
        if operation || (choice == SKIP && block > 0) {
            return Ok(());
        }
        let last = self.operations.len() - 1;
        let allowed = if block == 0 {
            format!("0 to {last}, because the first block of a stage always runs")
        } else {
            format!("0 to {last}, or -1 to skip the block")
        };
        Err(SpaceError::Choice {
            stage,
            block,
            choice,
            allowed,
        })
    }

    pub(crate) fn allow_input(&self, in_channels: usize, classes: usize) -> Result<(), SpaceError> {
        for (what, found, most) in [
            ("image channels", in_channels, MAX_CHANNELS),
            ("classes", classes, MAX_CLASSES),
        ] {
            if found == 0 || found > most {
                return Err(SpaceError::Input { what, most, found });
            }
        }
        Ok(())
    }

    /// The network that the architecture stands for, layer by layer, for images of `in_channels` channels
    /// and `classes` classes.
    ///
    /// # Errors
    /// Those of [`Space::validate`], [`SpaceError::Input`] for impossible channels or classes, and
    /// [`SpaceError::Latency`] if the space's latency table is for other images or classes.
    pub fn layers(
        &self,
        architecture: &Architecture,
        in_channels: usize,
        classes: usize,
    ) -> Result<Vec<Layer>, SpaceError> {
        self.validate(architecture)?;
        self.allow_input(in_channels, classes)?;
        let mut chain = Chain::new(architecture.resolution);
        chain.add("stem".to_string(), self.stem(in_channels), None);
        chain.add("first".to_string(), self.first(), None);
        for (stage, choices) in architecture.choices.iter().enumerate() {
            for (block, &choice) in choices.iter().enumerate() {
                if let Ok(operation) = usize::try_from(choice) {
                    chain.add(
                        format!("stages.{stage}.{block}"),
                        self.candidate(stage, block, operation),
                        Some((stage, block, operation)),
                    );
                }
            }
        }
        chain.add("last".to_string(), self.last(), None);
        chain.add("head".to_string(), self.head(), None);
        chain.add("classifier".to_string(), self.classifier(classes), None);
        let mut layers = chain.layers;
        if let Some(measured) = self.measured(architecture.resolution, in_channels, classes)? {
            for layer in &mut layers {
                layer.cost.latency_ns = measured.ns(&layer.block_name())?;
            }
        }
        Ok(layers)
    }

    /// Every layer that some network of the space has at `resolution`, in the order of a network: the fixed ones,
    /// and at each place one for each operation. [`Layer::block_name`] tells them apart.
    ///
    /// # Errors
    /// [`SpaceError::Resolution`] and [`SpaceError::Input`].
    pub fn blocks(
        &self,
        resolution: usize,
        in_channels: usize,
        classes: usize,
    ) -> Result<Vec<Layer>, SpaceError> {
        let largest = self.largest(resolution)?;
        let mut blocks = Vec::new();
        let untimed = Space {
            latency: None,
            ..self.clone()
        };
        for layer in untimed.layers(&largest, in_channels, classes)? {
            let Some((stage, block, _)) = layer.choice else {
                blocks.push(layer);
                continue;
            };
            blocks.extend((0..self.operations.len()).map(|operation| {
                let spec = self.candidate(stage, block, operation);
                Layer {
                    cost: spec.cost(layer.input_size),
                    choice: Some((stage, block, operation)),
                    spec,
                    ..layer.clone()
                }
            }));
        }
        Ok(blocks)
    }

    /// The cost of the architecture for one image: the sum over [`Space::layers`], and with a latency table what it
    /// says of whole networks.
    ///
    /// # Errors
    /// Those of [`Space::layers`].
    pub fn cost(
        &self,
        architecture: &Architecture,
        in_channels: usize,
        classes: usize,
    ) -> Result<Cost, SpaceError> {
        let layers = self.layers(architecture, in_channels, classes)?;
        let mut cost: Cost = layers.iter().map(|layer| layer.cost).sum();
        if let Some(table) = self.latency_table() {
            cost.latency_ns = cost.latency_ns.saturating_add_signed(table.overhead_ns);
        }
        Ok(cost)
    }

    /// The architecture of most MACs at `resolution`: every block runs. Of equals, the one of most
    /// parameters.
    ///
    /// # Errors
    /// [`SpaceError::Resolution`] if the space does not have the resolution.
    pub fn largest(&self, resolution: usize) -> Result<Architecture, SpaceError> {
        self.extreme(resolution, |costs| {
            let largest = |&op: &usize| (costs[op].macs, costs[op].params);
            (0..costs.len()).max_by_key(largest)
        })
    }

    /// The architecture of least MACs at `resolution`: one block a stage. Of equals, the one of least
    /// parameters.
    ///
    /// # Errors
    /// [`SpaceError::Resolution`] if the space does not have the resolution.
    pub fn smallest(&self, resolution: usize) -> Result<Architecture, SpaceError> {
        let full = self.extreme(resolution, |costs| {
            let smallest = |&op: &usize| (costs[op].macs, costs[op].params);
            (0..costs.len()).min_by_key(smallest)
        })?;
        let first_blocks = full.choices.iter().map(|stage| stage[..1].to_vec());
        Ok(Architecture::new(
            &self.name,
            resolution,
            first_blocks.collect(),
        ))
    }

    /// All blocks run, each with the operation that `pick` takes from the costs at its place.
    fn extreme(
        &self,
        resolution: usize,
        pick: impl Fn(&[Cost]) -> Option<usize>,
    ) -> Result<Architecture, SpaceError> {
        self.allow_resolution(resolution)?;
        let mut choices = vec![Vec::new(); self.stages.len()];
        for (place, size) in self.places().zip(self.place_sizes(resolution)) {
            let costs: Vec<Cost> = self.place_costs(place, size).collect();
            choices[place.stage].push(pick(&costs).unwrap_or(0) as i8);
        }
        Ok(Architecture::new(&self.name, resolution, choices))
    }

    /// For each of [`Space::places`], the pixels a side of the maps that enter it.
    pub(crate) fn place_sizes(&self, resolution: usize) -> impl Iterator<Item = usize> {
        let stem = resolution.div_ceil(self.stem.stride);
        let entering = stem.div_ceil(self.first.stride);
        self.places().scan(entering, |size, place| {
            let entering = *size;
            *size = size.div_ceil(place.stride);
            Some(entering)
        })
    }

    /// The cost of each operation at `place`, whose input is `size` pixels a side.
    pub(crate) fn place_costs(&self, place: Place, size: usize) -> impl Iterator<Item = Cost> {
        (0..self.operations.len())
            .map(move |op| self.candidate(place.stage, place.block, op).cost(size))
    }
}

/// Layers so far, and the size of the maps that leave them.
struct Chain {
    layers: Vec<Layer>,
    size: usize,
}

impl Chain {
    fn new(size: usize) -> Self {
        Chain {
            layers: Vec::new(),
            size,
        }
    }

    fn add(&mut self, name: String, spec: LayerSpec, choice: Option<(usize, usize, usize)>) {
        let input_size = self.size;
        self.size = spec.output_size(input_size);
        self.layers.push(Layer {
            name,
            cost: spec.cost(input_size),
            spec,
            input_size,
            output_size: self.size,
            choice,
        });
    }
}
