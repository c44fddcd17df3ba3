//! The fused updates against the composed ones, and who sees what they change.

use burn::tensor::{Tensor, TensorData};
use creamery_nn::Device;
use creamery_nn::ops::{self, Rmsprop, Sgd, composed};
use rand::RngExt;

const LEN: usize = 70_001;

fn tensor(name: &str) -> Tensor<1> {
    let mut rng = creamery_rng::stream(3, name, 0);
    let values: Vec<f32> = (0..LEN).map(|_| rng.random_range(0.1..1.0)).collect();
    Tensor::from_data(TensorData::new(values, [LEN]), &Device::flex())
}

fn values(x: &Tensor<1>) -> Vec<f32> {
    x.clone().into_data().try_into_vec().unwrap()
}

fn close(what: &str, found: &Tensor<1>, expected: &Tensor<1>) {
    let error = creamery_fixtures::relative(&values(found), &values(expected));
    assert!(error < 1e-5, "{what}: {error}");
}

#[test]
fn fused_and_composed_updates_agree() {
    let decaying = [5..40_000, 50_000..LEN];
    let (value, momentum, grad) = (tensor("value"), tensor("momentum"), tensor("grad"));
    for nesterov in [true, false] {
        let settings = Sgd {
            lr: 0.3,
            momentum: 0.9,
            nesterov,
            weight_decay: 0.1,
            scale: 0.7,
        };
        let (mut v, mut m) = (value.clone(), momentum.clone());
        ops::sgd(&settings, &mut v, &mut m, grad.clone(), &decaying);
        let expected = composed::sgd(
            value.clone(),
            momentum.clone(),
            grad.clone(),
            &settings,
            &decaying,
        );
        close("sgd value", &v, &expected.0);
        close("sgd momentum", &m, &expected.1);
    }

    let settings = Rmsprop {
        lr: 0.3,
        momentum: 0.9,
        alpha: 0.8,
        epsilon: 1e-3,
        weight_decay: 0.1,
        scale: 0.7,
    };
    let square = tensor("square");
    let (mut v, mut m, mut s) = (value.clone(), momentum.clone(), square.clone());
    ops::rmsprop(&settings, &mut v, &mut m, &mut s, grad.clone(), &decaying);
    let expected = composed::rmsprop(
        value.clone(),
        momentum.clone(),
        square,
        grad.clone(),
        &settings,
        &decaying,
    );
    close("rmsprop value", &v, &expected.0);
    close("rmsprop momentum", &m, &expected.1);
    close("rmsprop square", &s, &expected.2);

    let mut blended = value.clone();
    ops::blend(0.9, &mut blended, -0.3, &grad);
    let expected = composed::blend(0.9, value.clone(), -0.3, grad.clone());
    close("blend", &blended, &expected);
    let expected = values(&composed::dot(value.clone(), grad.clone()))[0];
    let found = ops::dot(&[(&value, &grad)]);
    assert!((found / f64::from(expected) - 1.0).abs() < 1e-5, "{found}");
}

#[test]
fn another_handle_keeps_its_values() {
    let (value, grad) = (tensor("value"), tensor("grad"));
    let before = values(&value);
    let mut changed = value.clone();
    ops::blend(1.0, &mut changed, 1.0, &grad);
    assert_eq!(values(&value), before);
    assert_ne!(values(&changed), before);
}
