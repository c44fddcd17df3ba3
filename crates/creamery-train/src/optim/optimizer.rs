use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use creamery_nn::{LayerParams, NamedTensor, StateError, ops, permuted};
use serde::{Deserialize, Serialize};

/// Which update rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum, as PyTorch has it with dampening 0.
    Sgd,
    /// RMSprop as TensorFlow has it.
    Rmsprop,
    /// Adam with decoupled weight decay.
    Adamw,
}

/// An optimizer's constants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerSettings {
    /// Which update rule.
    pub kind: OptimizerKind,
    /// Momentum; AdamW's decay of the average gradient.
    pub momentum: f64,
    /// Nesterov's look-ahead (SGD only).
    pub nesterov: bool,
    /// Decay of the squared average (not SGD).
    pub alpha: f64,
    /// Added to the squared average, inside the root (RMSprop) or to the root (AdamW).
    pub epsilon: f64,
    /// On weights but not on biases and norms: an L2 penalty added to the gradient, or (AdamW) the share that goes
    /// with every update, times the learning rate.
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

    /// AdamW with decays of 0.9 and 0.999 and epsilon 1e-8, as PyTorch has it by default.
    pub fn adamw(weight_decay: f64) -> Self {
        Self {
            kind: OptimizerKind::Adamw,
            alpha: 0.999,
            epsilon: 1e-8,
            ..Self::sgd(weight_decay)
        }
    }
}

/// An optimizer with its state, one entry per layer that it has updated.
///
/// State is kept by the layer's name, so one optimizer serves a supernet whose steps touch different
/// paths: a layer that is not on a step's path keeps its momentum untouched.
///
/// The rules are [`ops::sgd`], [`ops::rmsprop`] and [`ops::adamw`]. RMSprop differs from PyTorch's in three ways (as timm's
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
    /// Not SGD.
    square: Option<Tensor<1>>,
    /// Updates so far (AdamW only).
    updates: u64,
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
            updates: 0,
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
            OptimizerKind::Adamw => {
                let square = state.square.get_or_insert_with(|| grad.zeros_like());
                state.updates += 1;
                let settings = ops::Adamw {
                    lr,
                    beta1: momentum,
                    beta2: alpha as f32,
                    epsilon: epsilon as f32,
                    weight_decay,
                    scale,
                    update: state.updates,
                };
                ops::adamw(&settings, layer.value, buffer, square, grad, layer.decaying);
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

    /// Puts a layer's state into another order: value `i` is the one that was at `from[i]`.
    pub fn permute(&mut self, layer: &str, from: &[usize]) {
        if let Some(state) = self.state.get_mut(layer) {
            state.momentum = permuted(&state.momentum, from);
            state.square = state.square.as_ref().map(|square| permuted(square, from));
        }
    }

    /// The state by name, for a checkpoint: `NAME/momentum`, `NAME/square` unless it is SGD, and for AdamW
    /// `NAME/updates`.
    pub fn state(&self) -> Vec<NamedTensor> {
        let mut tensors = Vec::new();
        for (name, state) in &self.state {
            if self.settings.kind == OptimizerKind::Adamw {
                tensors.push(NamedTensor {
                    name: format!("{name}/updates"),
                    shape: vec![2],
                    values: halves(state.updates).to_vec(),
                });
            }
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
            let mut part = |part: &str, needed: bool| {
                let key = format!("{name}/{part}");
                match parts.remove(&key) {
                    None if needed => Err(StateError::Missing(key)),
                    part => Ok(part),
                }
            };
            let square = part("square", self.settings.kind != OptimizerKind::Sgd)?;
            let updates = part("updates", self.settings.kind == OptimizerKind::Adamw)?;
            let updates = updates.map_or(0, whole);
            state.insert(
                name,
                State {
                    momentum,
                    square,
                    updates,
                },
            );
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

/// A count in two parts that single precision holds exactly, up to 2^48.
fn halves(count: u64) -> [f32; 2] {
    [(count >> 24) as f32, (count & 0xff_ffff) as f32]
}

/// What [`halves`] parted.
fn whole(halves: Tensor<1>) -> u64 {
    let halves: Vec<f32> = halves.into_data().try_into_vec().unwrap_or_default();
    (halves.iter()).fold(0, |count, half| (count << 24) + *half as u64)
}
