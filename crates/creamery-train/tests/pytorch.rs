//! Ten SGD steps of one path, and the optimizers alone, against PyTorch and timm.

use burn::tensor::{Tensor, TensorData};
use creamery_fixtures::{Fixture, on_each_device, relative, space, values};
use creamery_nn::{Device, LayerParams, Norm, Subnet, loss};
use creamery_train::optim::{
    Optimizer, OptimizerKind, OptimizerSettings, clip_factor, global_norm,
};

#[test]
fn ten_steps_of_sgd_have_the_losses_of_pytorch() {
    on_each_device(check_ten_steps);
}

fn check_ten_steps(device: &Device) {
    let fixture = Fixture::read("supernet_path");
    let mut net = Subnet::new(&space(), &fixture.architecture("choices"), 3, 7, 0, device).unwrap();
    net.load(fixture.under("param"), device).unwrap();
    let x = fixture.images("x", device);
    let smoothing = fixture.number("label_smoothing");
    let targets = loss::smoothed_targets(&fixture.labels["y"], 7, smoothing, device);
    let sgd = &fixture.json["sgd"];
    let setting = |key: &str| sgd[key].as_f64().unwrap();
    let mut optimizer = Optimizer::new(OptimizerSettings::sgd(setting("weight_decay")));

    let losses = fixture.numbers("losses");
    let norms = fixture.numbers("gradient_norms");
    for (step, (expected, norm)) in losses.iter().zip(norms).enumerate() {
        let tracked = net.tracked();
        let output = tracked.net().forward(x.clone(), Norm::Batch);
        let loss = loss::cross_entropy(output.logits, targets.clone());
        let found = f64::from(loss.clone().into_scalar::<f32>());
        assert!(
            (found / expected - 1.0).abs() < 1e-3,
            "step {step}: {found} {expected}"
        );
        let gradients = tracked.gradients(&loss);
        let found = global_norm(&gradients);
        assert!(
            (found / norm - 1.0).abs() < 1e-3,
            "step {step}: norm {found} {norm}"
        );
        let factor = clip_factor(found, setting("clip_norm"));
        for (layer, gradient) in net.layers_mut().zip(gradients) {
            optimizer.step(layer.params_mut(), gradient, setting("lr"), factor);
        }
    }
    // The losses cannot tell which tensors decay; the values after ten steps can.
    let state = net.state();
    for expected in fixture.under("final") {
        let found = state.iter().find(|t| t.name == expected.name).unwrap();
        let error = relative(&found.values, &expected.values);
        assert!(error < 2e-5, "{}: {error}", expected.name);
    }
}

#[test]
fn optimizers_are_those_of_pytorch_and_timm() {
    on_each_device(check_optimizers);
}

fn check_optimizers(device: &Device) {
    let text = include_str!("../../../fixtures/optimizers.json");
    let cases: serde_json::Value = serde_json::from_str(text).unwrap();
    for case in [
        "rmsprop_tf",
        "rmsprop_tf_exaggerated",
        "sgd_nesterov",
        "sgd_nesterov_exaggerated",
        "adamw",
        "adamw_exaggerated",
    ] {
        let data = &cases[case];
        let setting = |key: &str| data["settings"][key].as_f64();
        let list = |value: &serde_json::Value| -> Vec<f32> {
            serde_json::from_value(value.clone()).unwrap()
        };
        let settings = if case.starts_with("rmsprop") {
            OptimizerSettings {
                kind: OptimizerKind::Rmsprop,
                momentum: setting("momentum").unwrap(),
                nesterov: false,
                alpha: setting("alpha").unwrap(),
                epsilon: setting("eps").unwrap(),
                weight_decay: setting("weight_decay").unwrap(),
            }
        } else if case.starts_with("adamw") {
            let betas: [f64; 2] =
                serde_json::from_value(data["settings"]["betas"].clone()).unwrap();
            OptimizerSettings {
                momentum: betas[0],
                alpha: betas[1],
                epsilon: setting("eps").unwrap(),
                ..OptimizerSettings::adamw(setting("weight_decay").unwrap())
            }
        } else {
            OptimizerSettings {
                momentum: setting("momentum").unwrap(),
                ..OptimizerSettings::sgd(setting("weight_decay").unwrap())
            }
        };
        let mut optimizer = Optimizer::new(settings.clone());
        let tensor = |values: Vec<f32>| {
            let len = values.len();
            Tensor::<1>::from_data(TensorData::new(values, [len]), device)
        };
        let mut value = tensor(list(&data["initial"]));
        let whole = 0..value.dims()[0];
        let lrs: Vec<f64> = serde_json::from_value(data["lr"].clone()).unwrap();
        for (step, lr) in lrs.iter().enumerate() {
            let layer = LayerParams {
                name: "p",
                decaying: std::slice::from_ref(&whole),
                value: &mut value,
            };
            let gradient = tensor(list(&data["gradients"][step]));
            optimizer.step(layer, gradient, *lr, 1.0);
            let error = relative(&values(value.clone()), &list(&data["values"][step]));
            assert!(error < 1e-5, "{case}, step {step}: {error}");
            // Half-way through, the state goes through a checkpoint's form.
            if step == 9 {
                let state = optimizer.state();
                optimizer = Optimizer::new(settings.clone());
                optimizer.load(state, device).unwrap();
            }
        }
    }
}
