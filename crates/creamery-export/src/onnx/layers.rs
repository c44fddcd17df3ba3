//! What each kind of layer is in ONNX's operators; the same as in `creamery_nn::ops::composed`.

use std::collections::BTreeMap;

use creamery_nn::{Layer, NamedTensor};
use creamery_space::{Activation, LayerSpec};

use super::ExportError;
use super::fold::{BatchNorm, fold};
use super::graph::{Graph, float, int, ints};
use super::proto::AttributeProto;

/// Adds the nodes of a layer that takes the value `input`. Gives the name of its output.
pub(super) fn add(graph: &mut Graph, layer: &Layer, input: &str) -> Result<String, ExportError> {
    let mut nodes = Nodes {
        graph,
        layer: &layer.name,
        tensors: Tensors::of(layer),
    };
    match layer.spec {
        LayerSpec::ConvNorm {
            kernel,
            stride,
            activation,
            ..
        } => {
            let y = nodes.normed("conv", "norm", input, Window::dense(kernel, stride))?;
            Ok(match activation {
                Some(Activation::Silu) => nodes.silu("conv", &y),
                None => y,
            })
        }
        LayerSpec::DepthwiseSeparable {
            in_channels,
            kernel,
            stride,
            squeeze,
            ..
        } => {
            let window = Window::depthwise(kernel, stride, in_channels);
            let y = nodes.normed("depthwise", "norm1", input, window)?;
            let y = nodes.silu("depthwise", &y);
            let y = nodes.squeeze_excite(squeeze, y)?;
            let y = nodes.normed("project", "norm2", &y, Window::POINT)?;
            Ok(nodes.residual(&layer.spec, input, y))
        }
        LayerSpec::InvertedResidual {
            mid_channels,
            kernel,
            stride,
            squeeze,
            ..
        } => {
            let y = nodes.normed("expand", "norm1", input, Window::POINT)?;
            let y = nodes.silu("expand", &y);
            let window = Window::depthwise(kernel, stride, mid_channels);
            let y = nodes.normed("depthwise", "norm2", &y, window)?;
            let y = nodes.silu("depthwise", &y);
            let y = nodes.squeeze_excite(squeeze, y)?;
            let y = nodes.normed("project", "norm3", &y, Window::POINT)?;
            Ok(nodes.residual(&layer.spec, input, y))
        }
        LayerSpec::Head { .. } => {
            let y = nodes.node("GlobalAveragePool", "pool", &[input]);
            let y = nodes.biased("conv", &y)?;
            let y = nodes.silu("conv", &y);
            Ok(nodes.with("Flatten", "flatten", &[&y], vec![int("axis", 1)]))
        }
        LayerSpec::Classifier { .. } => {
            let weight = nodes.constant("weight")?;
            let bias = nodes.constant("bias")?;
            let attributes = vec![int("transB", 1)];
            Ok(nodes.with("Gemm", "linear", &[input, &weight, &bias], attributes))
        }
    }
}

/// The shape of a layer's input and of its output, for one image of `input_size` pixels a side.
pub(super) fn shapes(spec: &LayerSpec, input_size: usize) -> [Vec<usize>; 2] {
    let map = |channels, size| vec![channels, size, size];
    let (inputs, outputs) = (spec.in_channels(), spec.out_channels());
    match spec {
        LayerSpec::Head { .. } => [map(inputs, input_size), vec![outputs]],
        LayerSpec::Classifier { .. } => [vec![inputs], vec![outputs]],
        _ => [
            map(inputs, input_size),
            map(outputs, spec.output_size(input_size)),
        ],
    }
}

/// The tensors of a layer by their names within it.
struct Tensors(BTreeMap<String, NamedTensor>);

impl Tensors {
    fn of(layer: &Layer) -> Self {
        let prefix = layer.name.len() + 1;
        let state = layer.state().into_iter();
        Self(
            state
                .map(|tensor| (tensor.name[prefix..].to_owned(), tensor))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> &NamedTensor {
        let tensor = self.0.get(name);
        tensor.expect("a layer has every tensor of its specification")
    }
}

/// How the kernel of a convolution goes over a map.
#[derive(Clone, Copy, Debug)]
struct Window {
    kernel: usize,
    stride: usize,
    groups: usize,
}

impl Window {
    const POINT: Self = Self::dense(1, 1);

    const fn dense(kernel: usize, stride: usize) -> Self {
        Self::depthwise(kernel, stride, 1)
    }

    const fn depthwise(kernel: usize, stride: usize, groups: usize) -> Self {
        Self {
            kernel,
            stride,
            groups,
        }
    }
}

/// The nodes of one layer; their names begin with its own.
struct Nodes<'a> {
    graph: &'a mut Graph,
    layer: &'a str,
    tensors: Tensors,
}

impl Nodes<'_> {
    fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.layer)
    }

    fn node(&mut self, operator: &str, name: &str, inputs: &[&str]) -> String {
        self.with(operator, name, inputs, Vec::new())
    }

    fn with(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let name = self.name(name);
        self.graph.node(operator, name, inputs, attributes)
    }

    /// A tensor as it is.
    fn constant(&mut self, name: &str) -> Result<String, ExportError> {
        let (full, tensor) = (self.name(name), self.tensors.get(name));
        self.graph.constant(full, &tensor.shape, &tensor.values)
    }

    /// A convolution without bias and the batch norm after it.
    fn normed(
        &mut self,
        conv: &str,
        norm: &str,
        input: &str,
        window: Window,
    ) -> Result<String, ExportError> {
        let [weight_name, bias_name] =
            ["weight", "bias"].map(|part| self.name(&format!("{conv}.{part}")));
        let of_norm = |part: &str| &self.tensors.get(&format!("{norm}.{part}")).values[..];
        let norm = BatchNorm {
            scale: of_norm("weight"),
            shift: of_norm("bias"),
            mean: of_norm("running_mean"),
            variance: of_norm("running_var"),
        };
        let weight = self.tensors.get(&format!("{conv}.weight"));
        let (values, bias) = fold(&weight.values, &norm);
        let weight = self.graph.constant(weight_name, &weight.shape, &values)?;
        let bias = self.graph.constant(bias_name, &[bias.len()], &bias)?;
        Ok(self.conv(conv, &[input, &weight, &bias], window))
    }

    /// A 1x1 convolution with bias.
    fn biased(&mut self, conv: &str, input: &str) -> Result<String, ExportError> {
        let weight = self.constant(&format!("{conv}.weight"))?;
        let bias = self.constant(&format!("{conv}.bias"))?;
        Ok(self.conv(conv, &[input, &weight, &bias], Window::POINT))
    }

    fn conv(&mut self, name: &str, inputs: &[&str], window: Window) -> String {
        let Window {
            kernel,
            stride,
            groups,
        } = window;
        let attributes = vec![
            ints("kernel_shape", &[kernel; 2]),
            ints("strides", &[stride; 2]),
            ints("pads", &[kernel / 2; 4]),
            int("group", groups as i64),
        ];
        self.with("Conv", name, inputs, attributes)
    }

    fn silu(&mut self, name: &str, x: &str) -> String {
        let gate = self.node("Sigmoid", &format!("{name}.sigmoid"), &[x]);
        self.node("Mul", &format!("{name}.silu"), &[x, &gate])
    }

    fn squeeze_excite(&mut self, squeeze: usize, x: String) -> Result<String, ExportError> {
        if squeeze == 0 {
            return Ok(x);
        }
        let y = self.node("GlobalAveragePool", "squeeze.pool", &[&x]);
        let y = self.biased("squeeze.reduce", &y)?;
        let y = self.node("Relu", "squeeze.relu", &[&y]);
        let y = self.biased("squeeze.expand", &y)?;
        let attributes = vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)];
        let gate = self.with("HardSigmoid", "squeeze.gate", &[&y], attributes);
        Ok(self.node("Mul", "squeeze.scale", &[&x, &gate]))
    }

    fn residual(&mut self, spec: &LayerSpec, input: &str, y: String) -> String {
        match spec.has_residual() {
            true => self.node("Add", "residual", &[input, &y]),
            false => y,
        }
    }
}
