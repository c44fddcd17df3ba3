use burn::tensor::{Device, Tensor};
use creamery_space::{Architecture, LayerSpec, Space};

use crate::ops::{self, Norm};
use crate::state::{self, NamedTensor};
use crate::{Drops, Layer, NnError};

/// One network that runs: the layers of an architecture, in order.
///
/// A subnet is either a path of a supernet, whose weights it shares until one side replaces them, or a
/// network of its own ([`Subnet::new`]).
#[derive(Clone, Debug)]
pub struct Subnet {
    /// The architecture of the network.
    pub architecture: Architecture,
    /// Stem, blocks, last convolution, head, classifier.
    layers: Vec<Layer>,
}

/// What a forward pass yields.
#[derive(Clone, Debug)]
pub struct Output {
    /// `[images, classes]`.
    pub logits: Tensor<2>,
    /// The last feature map, `[images, height, width, channels]`.
    pub last_map: Tensor<4>,
    /// With [`Norm::Batch`]: the batch's statistics, layer by layer, in the layout of [`Layer::running`].
    pub stats: Vec<Option<Tensor<1>>>,
}

impl Output {
    /// The pooled inner features: the mean of the last feature map over its pixels, `[images, channels]`.
    pub fn features(&self) -> Tensor<2> {
        ops::composed::pool(self.last_map.clone())
    }
}

/// A network whose parameters are leaves of a gradient graph.
#[derive(Debug)]
pub struct Tracked {
    net: Subnet,
}

impl Tracked {
    /// The network to run forward.
    pub fn net(&self) -> &Subnet {
        &self.net
    }

    /// Whether [`gradients_told`](Self::gradients_told) tells anything: the CPU's own operators do.
    pub fn tells(&self) -> bool {
        let mut layers = self.net.layers.iter();
        layers.all(|layer| ops::synchronises(&layer.params.device(), &layer.spec))
    }

    /// [`gradients`](Self::gradients), which tells the gradient of each layer but the classifier as soon as it is known,
    /// from the head back to the stem, if it [`tells`](Self::tells).
    pub fn gradients_told(&self, loss: &Tensor<1>, listener: ops::Listener) -> Vec<Tensor<1>> {
        ops::told::listening(listener, || self.gradients(loss))
    }

    /// Gradients of a scalar loss, one flat tensor for each layer. A layer that the loss does not depend on
    /// has gradient 0.
    ///
    /// The graph of the loss is consumed.
    pub fn gradients(&self, loss: &Tensor<1>) -> Vec<Tensor<1>> {
        let mut grads = loss.backward();
        self.net
            .layers
            .iter()
            .map(|layer| {
                let leaf = &layer.params;
                leaf.grad_remove(&mut grads)
                    .unwrap_or_else(|| Tensor::zeros(leaf.dims(), &leaf.device().inner()))
            })
            .collect()
    }
}

impl Subnet {
    /// A fresh network with EfficientNet's initialisation.
    ///
    /// # Errors
    /// If the architecture is not one of the space.
    pub fn new(
        space: &Space,
        architecture: &Architecture,
        in_channels: usize,
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, NnError> {
        let layers = space
            .layers(architecture, in_channels, classes)?
            .into_iter()
            .map(|layer| {
                let name = layer_name(&layer);
                Layer::new(&name, &layer.spec, seed, device)
            })
            .collect();
        Ok(Self::from_layers(architecture.clone(), layers))
    }

    pub(crate) fn from_layers(architecture: Architecture, layers: Vec<Layer>) -> Self {
        Self {
            architecture,
            layers,
        }
    }

    /// The layers, in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        match self.layers.last().map(|layer| &layer.spec) {
            Some(LayerSpec::Classifier { classes, .. }) => *classes,
            _ => unreachable!("the last layer of every network is a classifier"),
        }
    }

    /// Runs images `[n, height, width, channels]`.
    pub fn forward(&self, images: Tensor<4>, norm: Norm) -> Output {
        self.forward_dropping(images, norm, Drops::default())
    }

    /// Runs images, parts of the network left out as `drops` says.
    pub fn forward_dropping(&self, images: Tensor<4>, norm: Norm, drops: Drops) -> Output {
        let [trunk @ .., head, classifier] = &self.layers[..] else {
            unreachable!("every network ends with a head and a classifier")
        };
        let mut x = images;
        let mut stats = Vec::new();
        for (at, layer) in trunk.iter().enumerate() {
            let running = layer.running.as_ref();
            let branch = drops.branches.get(at).and_then(Option::as_ref);
            let past = branch.map(|_| x.clone());
            let (y, seen) = ops::feature_map(&layer.spec, x, &layer.params, running, norm);
            x = match branch.zip(past) {
                // y is the sum of what goes past and through: only the latter is scaled.
                Some((factor, past)) => past.clone() + (y - past) * factor.clone(),
                None => y,
            };
            stats.push(seen);
        }
        let last_map = x.clone();
        let mut features = ops::head(x, &head.params);
        if let Some(mask) = drops.features {
            features = features * mask;
        }
        let logits = ops::linear(features, &classifier.params);
        Output {
            logits,
            last_map,
            stats,
        }
    }

    /// Number of features that the classifier sees, the width of a dropout mask.
    pub fn head_features(&self) -> usize {
        match self.layers.last().map(|layer| &layer.spec) {
            Some(LayerSpec::Classifier { in_features, .. }) => *in_features,
            _ => unreachable!("the last layer of every network is a classifier"),
        }
    }

    /// The same network with every parameter a leaf of a new gradient graph.
    pub fn tracked(&self) -> Tracked {
        let mut net = self.clone();
        for layer in &mut net.layers {
            layer.params = layer.params.clone().autodiff().require_grad();
        }
        Tracked { net }
    }

    /// The layers, in order, to be updated.
    pub fn layers_mut(&mut self) -> impl Iterator<Item = &mut Layer> {
        self.layers.iter_mut()
    }

    /// Replaces the running statistics by the average of those of `batches`, as the weights are now.
    ///
    /// A path of a supernet needs this before it is judged: its running statistics mix those of all
    /// the paths that ran through its blocks.
    ///
    /// # Errors
    /// [`NnError::NoCalibration`] if there is no batch.
    pub fn calibrate(
        &mut self,
        batches: impl IntoIterator<Item = Tensor<4>>,
    ) -> Result<(), NnError> {
        let net = self.clone();
        self.calibrate_by((batches.into_iter()).map(|batch| net.forward(batch, Norm::Batch).stats))
    }

    /// [`calibrate`](Self::calibrate) by what each batch's pass gave as [`Output::stats`].
    ///
    /// # Errors
    /// [`NnError::NoCalibration`] if there is no batch.
    pub fn calibrate_by(
        &mut self,
        seen: impl IntoIterator<Item = Vec<Option<Tensor<1>>>>,
    ) -> Result<(), NnError> {
        let mut sums: Vec<Option<Tensor<1>>> = Vec::new();
        let mut count = 0.0;
        for seen in seen {
            if sums.is_empty() {
                sums = seen;
            } else {
                for (sum, seen) in sums.iter_mut().zip(seen) {
                    *sum = sum.take().zip(seen).map(|(sum, seen)| sum + seen);
                }
            }
            count += 1.0;
        }
        if sums.is_empty() {
            return Err(NnError::NoCalibration);
        }
        for (layer, sum) in self.layers.iter_mut().zip(sums) {
            if let Some(sum) = sum {
                layer.running = Some(sum / count);
            }
        }
        Ok(())
    }

    /// Moves every weight and running statistic towards those of `other`, a network of the same
    /// architecture: `decay own + (1 - decay) other`.
    pub fn average_in(&mut self, other: &Subnet, decay: f64) {
        for (own, other) in self.layers.iter_mut().zip(&other.layers) {
            ops::blend(decay, &mut own.params, 1.0 - decay, &other.params);
            own.absorb(other.running.as_ref(), 1.0 - decay);
        }
    }

    /// All weights and running statistics by name.
    pub fn state(&self) -> Vec<NamedTensor> {
        self.layers.iter().flat_map(Layer::state).collect()
    }

    /// Sets all weights and running statistics by name.
    ///
    /// # Errors
    /// If a tensor is missing, left over or of another shape; the network is then unchanged.
    pub fn load(&mut self, state: Vec<NamedTensor>, device: &Device) -> Result<(), NnError> {
        Ok(state::load(self.layers.iter_mut(), state, device)?)
    }
}

/// The name of a layer in supernets and subnets: the space's, with the candidate where there is one, such as
/// `stages.1.0.3`.
pub fn layer_name(layer: &creamery_space::Layer) -> String {
    match layer.choice {
        Some((_, _, op)) => format!("{}.{op}", layer.name),
        None => layer.name.clone(),
    }
}
