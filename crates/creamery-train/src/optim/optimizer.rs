use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use creamery_nn::{LayerParams, NamedTensor, StateError, ops};
use serde::{Deserialize, Serialize};

/// Which update rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum, as PyTorch has it with dampening 0.
    Sgd,
    /// RMSprop as TensorFlow has it.
    Rmsprop,
}

/// An optimizer's constants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerSettings {
    /// Which update rule.
    pub kind: OptimizerKind,
    /// Momentum.
    pub momentum: f64,
    /// Nesterov's look-ahead (SGD only).
    pub nesterov: bool,
    /// Decay of the squared average (RMSprop only).
    pub alpha: f64,
    /// Added to the squared average inside the root (RMSprop only).
    pub epsilon: f64,
    /// L2 penalty added to the gradient, on weights but not on biases and norms.
    pub weight_decay: f64,
}

impl OptimizerSettings {
    /// SGD with momentum 0.9 and Nesterov's look-ahead.
    pub fn sgd(weight_decay: f64) -> Self {
        Self {
            kind: OptimizerKind::Sgd,
            momentum: 0.9,
            nesterov: true,
            alpha: 0.9,
            epsilon: 1e-3,
            weight_decay,
        }
    }

    /// TensorFlow's RMSprop with momentum 0.9, decay 0.9 and epsilon 1e-3.
    pub fn rmsprop(weight_decay: f64) -> Self {
        Self {
            kind: OptimizerKind::Rmsprop,
            ..Self::sgd(weight_decay)
        }
    }
}

/// An optimizer with its state, one entry per layer that it has updated.
///
/// State is kept by the layer's name, so one optimizer serves a supernet whose steps touch different
/// paths: a layer that is not on a step's path keeps its momentum untouched.
///
/// The rules are [`ops::sgd`] and [`ops::rmsprop`]. RMSprop differs from PyTorch's in three ways (as timm's
/// `RMSpropTF`): epsilon stands inside the root, the squared average starts at 1, and the learning rate goes
/// into the momentum.
#[derive(Clone, Debug)]
pub struct Optimizer {
    settings: OptimizerSettings,
    state: BTreeMap<String, State>,
}

#[derive(Clone, Debug)]
struct State {
    momentum: Tensor<1>,
    /// RMSprop only.
    square: Option<Tensor<1>>,
}

impl Optimizer {
    /// A new optimizer without state.
    pub fn new(settings: OptimizerSettings) -> Self {
        Self {
            settings,
            state: BTreeMap::new(),
        }
    }

    /// Updates a layer with its gradient, which is multiplied by `scale` first.
    ///
    /// Values and state that nobody else holds are changed in place.
    pub fn step(&mut self, layer: LayerParams<'_>, grad: Tensor<1>, lr: f64, scale: f64) {
        let OptimizerSettings {
            kind,
            momentum,
            nesterov,
            alpha,
            epsilon,
            weight_decay,
        } = self.settings;
        let fresh = || State {
            momentum: grad.zeros_like(),
            square: None,
        };
        let name = layer.name.to_owned();
        let state = self.state.entry(name).or_insert_with(fresh);
        let buffer = &mut state.momentum;
        let (lr, scale) = (lr as f32, scale as f32);
        let (momentum, weight_decay) = (momentum as f32, weight_decay as f32);
        match kind {
            OptimizerKind::Rmsprop => {
                let square = state.square.get_or_insert_with(|| grad.ones_like());
                let settings = ops::Rmsprop {
                    lr,
                    momentum,
                    alpha: alpha as f32,
                    epsilon: epsilon as f32,
                    weight_decay,
                    scale,
                };
                ops::rmsprop(&settings, layer.value, buffer, square, grad, layer.decaying);
            }
            OptimizerKind::Sgd => {
                let settings = ops::Sgd {
                    lr,
                    momentum,
                    nesterov,
                    weight_decay,
                    scale,
                };
                ops::sgd(&settings, layer.value, buffer, grad, layer.decaying);
            }
        }
    }

    /// The state by name, for a checkpoint: `NAME/momentum` and, for RMSprop, `NAME/square`.
    pub fn state(&self) -> Vec<NamedTensor> {
        let mut tensors = Vec::new();
        for (name, state) in &self.state {
            let mut push = |part: &str, tensor: &Tensor<1>| {
                let values: Vec<f32> = tensor
                    .clone()
                    .into_data()
                    .try_into_vec()
                    .expect("optimizer state is f32");
                tensors.push(NamedTensor {
                    name: format!("{name}/{part}"),
                    shape: vec![values.len()],
                    values,
                });
            };
            push("momentum", &state.momentum);
            if let Some(square) = &state.square {
                push("square", square);
            }
        }
        tensors
    }

    /// Replaces the state by one that [`state`](Self::state) gave.
    ///
    /// # Errors
    /// [`StateError::Missing`] if a layer has a part of its state but not the whole.
    pub fn load(&mut self, tensors: Vec<NamedTensor>, device: &Device) -> Result<(), StateError> {
        let mut parts: BTreeMap<String, Tensor<1>> = tensors
            .into_iter()
            .map(|t| {
                let len = t.values.len();
                (
                    t.name,
                    Tensor::from_data(TensorData::new(t.values, [len]), device),
                )
            })
            .collect();
        let names: Vec<String> = parts
            .keys()
            .filter_map(|name| name.strip_suffix("/momentum"))
            .map(str::to_owned)
            .collect();
        let mut state = BTreeMap::new();
        for name in names {
            let momentum = parts
                .remove(&format!("{name}/momentum"))
                .expect("the name was read from this map");
            let square = parts.remove(&format!("{name}/square"));
            if self.settings.kind == OptimizerKind::Rmsprop && square.is_none() {
                return Err(StateError::Missing(format!("{name}/square")));
            }
            state.insert(name, State { momentum, square });
        }
        if let Some(first) = parts.keys().next() {
            return Err(StateError::Extra {
                count: parts.len(),
                first: first.clone(),
            });
        }
        self.state = state;
        Ok(())
    }
}
