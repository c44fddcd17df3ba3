//! The operators on the CPU: whole blocks from `creamery-kernels`, as an extension of Burn's backend.
//!
//! A block is one node of the gradient graph. Its forward pass keeps the raw outputs of its convolutions,
//! its backward pass computes the rest again. Without gradients nothing is kept, and with running
//! statistics the norms are folded.

mod blocks;
mod updates;

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, DispatchDevice, Flex, backend_extension};
use burn::tensor::{Device, Tensor};
use creamery_space::LayerSpec;

use super::{Everywhere, Norm, told};
use blocks::{Saved, contiguous, tensor, values};
pub use updates::{adamw, blend, dot, rmsprop, sgd};

/// Whether a device is the CPU that the kernels are for.
pub fn on_cpu(device: &Device) -> bool {
    let computing = match device.as_dispatch() {
        DispatchDevice::Autodiff(inner) => inner,
        device => device,
    };
    matches!(computing, DispatchDevice::Flex(_))
}

/// Whether there is a fused body for a layer on a device.
pub fn serves(device: &Device, spec: &LayerSpec) -> bool {
    on_cpu(device) && blocks::serves(spec)
}

/// See [`super::feature_map`].
pub fn feature_map(
    spec: &LayerSpec,
    x: Tensor<4>,
    params: &Tensor<1>,
    running: Option<&Tensor<1>>,
    norm: Norm,
) -> (Tensor<4>, Option<Tensor<1>>) {
    let (x, params) = (x.into_dispatch(), params.clone().into_dispatch());
    match (norm, running) {
        (Norm::Running, Some(running)) => {
            let running = running.clone().into_dispatch();
            let y = <Dispatch as Inference>::infer(x, params, running, spec.clone());
            (Tensor::from_dispatch(y), None)
        }
        _ => {
            let across = match norm {
                Norm::Synchronised(across) => Some(across),
                _ => None,
            };
            let (y, stats) = <Dispatch as Training>::train(x, params, spec.clone(), across);
            let stats: Tensor<1> = Tensor::from_dispatch(stats);
            (Tensor::from_dispatch(y), Some(stats.inner()))
        }
    }
}

/// See [`super::ready`].
pub fn ready(
    spec: &LayerSpec,
    size: usize,
    params: &Tensor<1>,
    running: Option<&Tensor<1>>,
) -> Option<creamery_kernels::inference::Layer> {
    let values = |tensor: &Tensor<1>| {
        let data = tensor.clone().inner().into_data();
        data.try_into_vec::<f32>().expect("weights are f32")
    };
    let running = running.map(values).unwrap_or_default();
    blocks::ready(spec, size, &values(params), &running)
}

/// See [`super::head`].
pub fn head(x: Tensor<4>, params: &Tensor<1>) -> Tensor<2> {
    let (x, params) = (x.into_dispatch(), params.clone().into_dispatch());
    Tensor::from_dispatch(<Dispatch as Training>::head(x, params))
}

/// Operators with batch statistics, differentiable in both tensors.
#[backend_extension(Flex, Autodiff)]
trait Training: Backend {
    /// A layer from feature map to feature map, and the batch's statistics, which carry no gradient.
    fn train(
        x: FloatTensor<Self>,
        params: FloatTensor<Self>,
        spec: LayerSpec,
        across: Option<Everywhere>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The head.
    fn head(x: FloatTensor<Self>, params: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Operators with running statistics, without gradients.
#[backend_extension(Flex)]
trait Inference: Backend {
    /// A layer from feature map to feature map.
    fn infer(
        x: FloatTensor<Self>,
        params: FloatTensor<Self>,
        running: FloatTensor<Self>,
        spec: LayerSpec,
    ) -> FloatTensor<Self>;
}

impl Training for Flex {
    fn train(
        x: FloatTensor<Self>,
        params: FloatTensor<Self>,
        spec: LayerSpec,
        across: Option<Everywhere>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (x, params) = (contiguous(x), contiguous(params));
        let (y, shape, stats) = match across {
            // The passes that keep nothing find statistics of their own batch only.
            Some(_) => {
                let (y, shape, stats, _) = blocks::forward(&spec, &x, values(&params), across);
                (y, shape, stats)
            }
            None => blocks::forward_no_grad(&spec, &x, values(&params)),
        };
        let len = stats.len();
        (tensor(y, &shape), tensor(stats, &[len]))
    }

    fn head(x: FloatTensor<Self>, params: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, params) = (contiguous(x), contiguous(params));
        let (y, shape) = blocks::head_no_grad(&x, values(&params));
        tensor(y, &shape)
    }
}

impl Inference for Flex {
    fn infer(
        x: FloatTensor<Self>,
        params: FloatTensor<Self>,
        running: FloatTensor<Self>,
        spec: LayerSpec,
    ) -> FloatTensor<Self> {
        let (x, params, running) = (contiguous(x), contiguous(params), contiguous(running));
        let (y, shape) = blocks::infer(&spec, &x, values(&params), values(&running));
        tensor(y, &shape)
    }
}

/// What the backward pass of a layer needs. Shared, because Burn wants to clone it.
#[derive(Clone, Debug)]
struct State {
    x: FloatTensor<Flex>,
    params: FloatTensor<Flex>,
    saved: Arc<Saved>,
}

/// The backward pass of a layer or the head.
#[derive(Debug)]
struct Block;

impl Backward<Flex, 2> for Block {
    type State = State;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x, params] = ops.parents;
        let dy = contiguous(grads.consume::<Flex>(&ops.node));
        let State {
            x: input,
            params: weights,
            saved,
        } = ops.state;
        let (dx, dparams) =
            blocks::backward(&saved, &input, values(&weights), values(&dy), x.is_some());
        if let (Some(node), Some(dx)) = (x, dx) {
            let shape = blocks::shape(&input);
            grads.register::<Flex>(node.id, tensor(dx, &shape));
        }
        if let Some(node) = params {
            told::tell(&dparams);
            let len = dparams.len();
            grads.register::<Flex>(node.id, tensor(dparams, &[len]));
        }
    }
}

impl<C: CheckpointStrategy> Training for Autodiff<Flex, C> {
    fn train(
        x: FloatTensor<Self>,
        params: FloatTensor<Self>,
        spec: LayerSpec,
        across: Option<Everywhere>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match Block
            .prepare::<C>([x.node(), params.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let (x, params) = (
                    contiguous(x.into_primitive()),
                    contiguous(params.into_primitive()),
                );
                let (y, shape, stats, saved) = blocks::forward(&spec, &x, values(&params), across);
                let state = State {
                    x,
                    params,
                    saved: Arc::new(saved),
                };
                let len = stats.len();
                let stats = <FloatTensor<Self>>::new(tensor(stats, &[len]));
                (prep.finish(state, tensor(y, &shape)), stats)
            }
            OpsKind::UnTracked(prep) => {
                let (y, stats) =
                    Flex::train(x.into_primitive(), params.into_primitive(), spec, across);
                (prep.finish(y), <FloatTensor<Self>>::new(stats))
            }
        }
    }

    fn head(x: FloatTensor<Self>, params: FloatTensor<Self>) -> FloatTensor<Self> {
        match Block
            .prepare::<C>([x.node(), params.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let (x, params) = (
                    contiguous(x.into_primitive()),
                    contiguous(params.into_primitive()),
                );
                let (y, shape, saved) = blocks::head(&x, values(&params));
                let state = State {
                    x,
                    params,
                    saved: Arc::new(saved),
                };
                prep.finish(state, tensor(y, &shape))
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(Flex::head(x.into_primitive(), params.into_primitive()))
            }
        }
    }
}
