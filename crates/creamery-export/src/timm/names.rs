//! The names that timm gives to the tensors of a network.

use creamery_nn::{norms, slots};
use creamery_space::{Layer, LayerSpec};

/// A tensor of a network under both names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorName {
    /// Creamery's, such as `stages.1.0.3.depthwise.weight`.
    pub own: String,
    /// timm's, such as `blocks.2.0.conv_dw.weight`.
    pub timm: String,
    /// In PyTorch's order.
    pub shape: Vec<usize>,
}

/// Every parameter and running statistic of a network, in the order of its layers.
///
/// timm counts the first block and the last convolution as stages of their own, and knows no skipped blocks: the
/// blocks of a stage are numbered without gaps.
///
/// ```
/// use creamery_space::{Space, preset};
///
/// let space = Space::builtin("cream-224").unwrap();
/// let layers = space.layers(&preset("cream-14").unwrap().architecture, 3, 1000)?;
/// let names = creamery_export::timm::tensor_names(&layers);
/// let found = names.iter().find(|name| name.timm == "blocks.2.1.conv_pwl.weight").unwrap();
/// assert_eq!(found.own, "stages.1.1.3.project.weight");
/// assert_eq!(found.shape, [40, 240, 1, 1]);
/// # Ok::<(), creamery_space::SpaceError>(())
/// ```
pub fn tensor_names(layers: &[Layer]) -> Vec<TensorName> {
    let mut names = Vec::new();
    // Stage and block as timm counts them.
    let (mut stage, mut block) = (0, 0);
    for layer in layers {
        let own = creamery_nn::layer_name(layer);
        let blocks = match (layer.name.as_str(), layer.choice) {
            ("first", _) => Some((0, 0)),
            ("last", _) => Some((stage + 1, 0)),
            (_, Some((chosen, ..))) => {
                block = if stage == chosen + 1 { block + 1 } else { 0 };
                stage = chosen + 1;
                Some((stage, block))
            }
            _ => None,
        };
        let timm = |part: &str| match (blocks, part) {
            (Some((stage, block)), _) => {
                let part = in_block(&layer.spec, part);
                format!("blocks.{stage}.{block}.{part}")
            }
            (None, "") => layer.name.clone(),
            (None, "norm") => "bn1".to_owned(),
            (None, part) => format!("{part}_{}", layer.name),
        };
        for slot in slots(&layer.spec) {
            // A classifier's weight and bias are no part's.
            let (part, kind) = slot.name.rsplit_once('.').unwrap_or(("", &slot.name));
            names.push(TensorName {
                own: format!("{own}.{}", slot.name),
                timm: format!("{}.{kind}", timm(part)),
                shape: slot.shape.clone(),
            });
        }
        for (norm, channels) in norms(&layer.spec) {
            for kind in ["running_mean", "running_var"] {
                names.push(TensorName {
                    own: format!("{own}.{norm}.{kind}"),
                    timm: format!("{}.{kind}", timm(&norm)),
                    shape: vec![channels],
                });
            }
        }
    }
    names
}

/// What a part of a block is called in timm.
fn in_block(spec: &LayerSpec, part: &str) -> &'static str {
    match (spec, part) {
        // A depthwise-separable block has no other 1x1 convolution than its projection.
        (LayerSpec::DepthwiseSeparable { .. }, "project") => "conv_pw",
        (_, "project") => "conv_pwl",
        (_, "expand") => "conv_pw",
        (_, "depthwise") => "conv_dw",
        (_, "squeeze.reduce") => "se.conv_reduce",
        (_, "squeeze.expand") => "se.conv_expand",
        (_, "norm" | "norm1") => "bn1",
        (_, "norm2") => "bn2",
        (_, "norm3") => "bn3",
        (_, "conv") => "conv",
        (spec, part) => unreachable!("a block has no part `{part}`: {spec:?}"),
    }
}
