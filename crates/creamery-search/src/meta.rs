//! The meta network, which learns whom to learn from.

use burn::tensor::Tensor;
use creamery_nn::{Norm, Subnet, loss, ops};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// M(.; theta): one linear layer from the flattened difference `phi(a) - phi(a_k)` to a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetaNetwork {
    /// One weight for each value of the difference.
    pub weight: Vec<f64>,
    /// The bias.
    pub bias: f64,
}

impl MetaNetwork {
    /// Weights and bias uniform in `±1 / sqrt(inputs)`, as PyTorch initialises a linear layer.
    pub fn new(inputs: usize, seed: u64) -> Self {
        let mut rng = creamery_rng::stream(seed, "init:meta", 0);
        let range = 1.0 / (inputs.max(1) as f64).sqrt();
        let mut draw = || rng.random_range(-range..=range);
        let weight = (0..inputs).map(|_| draw()).collect();
        Self {
            weight,
            bias: draw(),
        }
    }

    /// g = M(phi(a) - phi(a_k)).
    ///
    /// # Panics
    /// If the lengths are not those of the network.
    pub fn logit(&self, student: &[f32], entry: &[f32]) -> f64 {
        assert_eq!(
            student.len(),
            self.weight.len(),
            "phi has the length of theta"
        );
        let products = difference(student, entry)
            .zip(&self.weight)
            .map(|(d, w)| d * w);
        self.bias + products.sum::<f64>()
    }

    /// The gradient of a loss with respect to theta, from its derivative with respect to
    /// `rho = sigmoid(g)`.
    pub fn gradient(&self, student: &[f32], entry: &[f32], rho: f64, d_rho: f64) -> MetaNetwork {
        let d_logit = d_rho * rho * (1.0 - rho);
        MetaNetwork {
            weight: difference(student, entry).map(|d| d_logit * d).collect(),
            bias: d_logit,
        }
    }

    /// theta - lr gradient.
    pub fn descend(&mut self, gradient: &MetaNetwork, lr: f64) {
        for (weight, g) in self.weight.iter_mut().zip(&gradient.weight) {
            *weight -= lr * g;
        }
        self.bias -= lr * gradient.bias;
    }
}

fn difference<'a>(student: &'a [f32], entry: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
    assert_eq!(
        student.len(),
        entry.len(),
        "phi of two paths have one length"
    );
    student
        .iter()
        .zip(entry)
        .map(|(a, b)| f64::from(*a) - f64::from(*b))
}

/// 1 / (1 + exp(-x)).
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// What a path learns from labels and its teacher: the cross-entropy against these targets is
/// `L = ((2 - rho) CE + rho KD) / 2`, because cross-entropy is linear in its targets.
pub fn taught_targets(labels: Tensor<2>, teacher: Tensor<2>, rho: f64) -> Tensor<2> {
    labels * ((2.0 - rho) / 2.0) + teacher * (rho / 2.0)
}

/// Images with their target distributions.
#[derive(Clone, Debug)]
pub struct Examples {
    /// `[n, height, width, channels]`.
    pub images: Tensor<4>,
    /// `[n, classes]`.
    pub targets: Tensor<2>,
}

/// What the meta network learns from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RhoGradient {
    /// L_val(w'): cross-entropy on held-out images after the inner step.
    pub loss: f64,
    /// dL_val(w') / d rho.
    pub d_rho: f64,
}

/// The exact derivative of the held-out loss after one inner step with respect to rho.
///
/// With `w' = w - xi grad L(w; rho)`, L is affine in rho, so that `d(grad L)/d rho = (grad KD - grad CE) / 2`
/// and
///
/// `dL_val(w')/d rho = -(xi / 2) < grad L_val(w'), grad KD(w) - grad CE(w) >`:
///
/// two forward-backward passes beyond the training step's own, whose gradient at `path` (neither
/// clipped nor decayed) is `gradient`. All passes use batch statistics and touch no running ones.
pub fn rho_gradient(
    path: &Subnet,
    gradient: &[Tensor<1>],
    train: &Examples,
    teacher: Tensor<2>,
    held_out: &Examples,
    xi: f64,
) -> RhoGradient {
    let change = teaching_gradient(path, train, teacher, Norm::Batch);
    rho_gradient_along(path, gradient, &change, held_out, xi)
}

/// `grad KD - grad CE`, in one backward pass, of the scalar KD - CE.
pub(crate) fn teaching_gradient(
    path: &Subnet,
    train: &Examples,
    teacher: Tensor<2>,
    norm: Norm,
) -> Vec<Tensor<1>> {
    let tracked = path.tracked();
    let logits = tracked.net().forward(train.images.clone(), norm).logits;
    let scalar = loss::cross_entropy(logits, teacher - train.targets.clone());
    tracked.gradients(&scalar)
}

/// [`rho_gradient`] where `change` is `grad KD - grad CE` on the training images.
pub(crate) fn rho_gradient_along(
    path: &Subnet,
    gradient: &[Tensor<1>],
    change: &[Tensor<1>],
    held_out: &Examples,
    xi: f64,
) -> RhoGradient {
    let mut inner = path.clone();
    for (layer, g) in inner.layers_mut().zip(gradient) {
        ops::blend(1.0, &mut layer.params, -xi, g);
    }
    let tracked = inner.tracked();
    let logits = tracked
        .net()
        .forward(held_out.images.clone(), Norm::Batch)
        .logits;
    let loss = loss::cross_entropy(logits, held_out.targets.clone());
    let value = f64::from(loss.clone().into_scalar::<f32>());
    let outer = tracked.gradients(&loss);

    let pairs: Vec<_> = outer.iter().zip(change).collect();
    let inner_product = ops::dot(&pairs);
    RhoGradient {
        loss: value,
        d_rho: -xi / 2.0 * inner_product,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_of_theta_is_that_of_central_differences() {
        let mut meta = MetaNetwork::new(3, 1);
        let (student, entry) = ([0.5f32, 0.2, 0.3], [0.1f32, 0.6, 0.3]);
        // Any smooth function of rho will do; its derivative at rho is what rho_gradient would give.
        let loss = |meta: &MetaNetwork| sigmoid(meta.logit(&student, &entry)).powi(3);
        let rho = sigmoid(meta.logit(&student, &entry));
        let gradient = meta.gradient(&student, &entry, rho, 3.0 * rho * rho);
        for index in 0..3 {
            let mut moved = |by: f64| {
                meta.weight[index] += by;
                let value = loss(&meta);
                meta.weight[index] -= by;
                value
            };
            let numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((numeric - gradient.weight[index]).abs() < 1e-9);
        }
        let before = loss(&meta);
        meta.descend(&gradient, 0.1);
        assert!(loss(&meta) < before);
    }
}
