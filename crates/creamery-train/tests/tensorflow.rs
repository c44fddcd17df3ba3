//! RMSprop and the moving average of weights, against TensorFlow's own.

use burn::tensor::{Tensor, TensorData};
use creamery_fixtures::{relative, space, values};
use creamery_nn::{Device, LayerParams, Subnet};
use creamery_train::optim::{Ema, Optimizer, OptimizerSettings};
use serde_json::Value;

fn fixture() -> Value {
    let text = include_str!("../../../fixtures/tensorflow_updates.json");
    serde_json::from_str(text).unwrap()
}

fn lists(value: &Value) -> Vec<Vec<f32>> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn twenty_updates_of_rmsprop() {
    let fixture = fixture();
    let data = &fixture["rmsprop"];
    let setting = |key: &str| data[key].as_f64().unwrap();
    let mut optimizer = Optimizer::new(OptimizerSettings {
        momentum: setting("momentum"),
        alpha: setting("rho"),
        epsilon: setting("epsilon"),
        ..OptimizerSettings::rmsprop(0.0)
    });
    let device = Device::flex();
    let tensor = |values: Vec<f32>| {
        let len = values.len();
        Tensor::<1>::from_data(TensorData::new(values, [len]), &device)
    };
    let mut value = tensor(serde_json::from_value(data["initial"].clone()).unwrap());
    let lrs: Vec<f64> = serde_json::from_value(fixture["lr"].clone()).unwrap();
    let steps = lrs
        .iter()
        .zip(lists(&data["gradients"]))
        .zip(lists(&data["values"]));
    let mut count = 0;
    for ((lr, gradient), expected) in steps {
        let layer = LayerParams {
            name: "p",
            decaying: &[],
            value: &mut value,
        };
        optimizer.step(layer, tensor(gradient), *lr, 1.0);
        let error = relative(&values(value.clone()), &expected);
        assert!(error < 1e-5, "update {count}: {error}");
        count += 1;
    }
    assert_eq!(count, 20);
}

/// Each weight of a network takes the same path, so that one of TensorFlow's numbers stands for a whole network.
#[test]
fn twenty_updates_of_the_moving_average() {
    let fixture = fixture();
    let data = &fixture["average"];
    let device = Device::flex();
    let space = space();
    let architecture = space.smallest(space.resolutions[0]).unwrap();
    let net = Subnet::new(&space, &architecture, 3, 4, 0, &device).unwrap();
    let filled = |value: f32| {
        let mut net = net.clone();
        let mut state = net.state();
        for tensor in &mut state {
            tensor.values.fill(value);
        }
        net.load(state, &device).unwrap();
        net
    };
    let weights = lists(&data["weights"]);
    let decay = data["decay"].as_f64().unwrap();
    for place in 0..weights[0].len() {
        let mut ema = Ema::new(&filled(weights[0][place]), decay, 0);
        let steps = weights[1..].iter().zip(lists(&data["values"]));
        for (update, (weight, expected)) in steps.enumerate() {
            ema.update(&filled(weight[place]));
            for tensor in ema.network().state() {
                for value in tensor.values {
                    let error = (value - expected[place]).abs();
                    assert!(
                        error < 1e-6,
                        "{} after update {update}: {error}",
                        tensor.name
                    );
                }
            }
        }
    }
}
