//! What a training step leaves out at random.

use burn::tensor::Tensor;
use creamery_space::LayerSpec;

use crate::{Layer, Subnet};

/// What a step drops, as factors: 0 where something is dropped, `1 / (1 - rate)` where it is kept.
#[derive(Clone, Debug, Default)]
pub struct Drops {
    /// Features in front of the classifier, `[images, head features]`: dropout. `None` drops nothing.
    pub features: Option<Tensor<2>>,
    /// For each layer of the trunk, [`Subnet::layers`] without head and classifier, whether an image goes through the
    /// block or only past it, `[images, 1, 1, 1]`: drop-path, or stochastic depth (Huang et al. 2016). Layers without
    /// a residual connection are never dropped. Empty drops nothing.
    pub branches: Vec<Option<Tensor<4>>>,
}

impl Subnet {
    /// The rates of drop-path, one for each layer of the trunk: 0 where there is no residual connection, else from 0 at
    /// the first block in a straight line towards `rate` behind the last, as timm has it.
    pub fn drop_path_rates(&self, rate: f64) -> Vec<f64> {
        let trunk = &self.layers()[..self.layers().len() - 2];
        let is_block = |layer: &Layer| !matches!(layer.spec, LayerSpec::ConvNorm { .. });
        let blocks = trunk.iter().filter(|layer| is_block(layer)).count();
        let mut before = 0;
        let rates = trunk.iter().map(|layer| {
            let own = rate * before as f64 / blocks.max(1) as f64;
            before += usize::from(is_block(layer));
            if layer.spec.has_residual() { own } else { 0.0 }
        });
        rates.collect()
    }
}
