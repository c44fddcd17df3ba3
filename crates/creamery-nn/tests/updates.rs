//! The updates of each device against the composed ones on the CPU (there that is fused against composed), and
//! who sees what they change.

use burn::tensor::{Tensor, TensorData};
use creamery_fixtures::{on_each_device, relative, values};
use creamery_nn::Device;
use creamery_nn::ops::{self, Adamw, Rmsprop, Sgd, composed};
use rand::RngExt;

const LEN: usize = 70_001;

fn tensor(name: &str, device: &Device) -> Tensor<1> {
    let mut rng = creamery_rng::stream(3, name, 0);
    let values: Vec<f32> = (0..LEN).map(|_| rng.random_range(0.1..1.0)).collect();
    Tensor::from_data(TensorData::new(values, [LEN]), device)
}

fn close(what: &str, found: Tensor<1>, expected: Tensor<1>) {
    let error = relative(&values(found), &values(expected));
    assert!(error < 1e-5, "{what}: {error}");
}

#[test]
fn updates_are_the_same_on_each_device() {
    on_each_device(check_updates);
}

fn check_updates(device: &Device) {
    let decaying = [5..40_000, 50_000..LEN];
    let own = |name| tensor(name, device);
    let [value, momentum, square, grad] =
        ["value", "momentum", "square", "grad"].map(|name| tensor(name, &Device::flex()));
    for nesterov in [true, false] {
        let settings = Sgd {
            lr: 0.3,
            momentum: 0.9,
            nesterov,
            weight_decay: 0.1,
            scale: 0.7,
        };
        let (mut v, mut m) = (own("value"), own("momentum"));
        ops::sgd(&settings, &mut v, &mut m, own("grad"), &decaying);
        let expected = composed::sgd(
            value.clone(),
            momentum.clone(),
            grad.clone(),
            &settings,
            &decaying,
        );
        close("sgd value", v, expected.0);
        close("sgd momentum", m, expected.1);
    }

    let settings = Rmsprop {
        lr: 0.3,
        momentum: 0.9,
        alpha: 0.8,
        epsilon: 1e-3,
        weight_decay: 0.1,
        scale: 0.7,
    };
    let (mut v, mut m, mut s) = (own("value"), own("momentum"), own("square"));
    ops::rmsprop(&settings, &mut v, &mut m, &mut s, own("grad"), &decaying);
    let expected = composed::rmsprop(
        value.clone(),
        momentum.clone(),
        square.clone(),
        grad.clone(),
        &settings,
        &decaying,
    );
    close("rmsprop value", v, expected.0);
    close("rmsprop momentum", m, expected.1);
    close("rmsprop square", s, expected.2);

    let settings = Adamw {
        lr: 0.3,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-3,
        weight_decay: 0.1,
        scale: 0.7,
        update: 3,
    };
    let (mut v, mut m, mut s) = (own("value"), own("momentum"), own("square"));
    ops::adamw(&settings, &mut v, &mut m, &mut s, own("grad"), &decaying);
    let expected = composed::adamw(
        value.clone(),
        momentum,
        square,
        grad.clone(),
        &settings,
        &decaying,
    );
    close("adamw value", v, expected.0);
    close("adamw average", m, expected.1);
    close("adamw square", s, expected.2);

    let mut blended = own("value");
    ops::blend(0.9, &mut blended, -0.3, &own("grad"));
    let expected = composed::blend(0.9, value.clone(), -0.3, grad.clone());
    close("blend", blended, expected);
    let expected = values(composed::dot(value, grad))[0];
    let found = ops::dot(&[(&own("value"), &own("grad"))]);
    assert!((found / f64::from(expected) - 1.0).abs() < 1e-5, "{found}");
}

#[test]
fn another_handle_keeps_its_values() {
    on_each_device(check_sharing);
}

fn check_sharing(device: &Device) {
    let (value, grad) = (tensor("value", device), tensor("grad", device));
    let before = values(value.clone());
    let mut changed = value.clone();
    ops::blend(1.0, &mut changed, 1.0, &grad);
    assert_eq!(values(value), before);
    assert_ne!(values(changed), before);
}
