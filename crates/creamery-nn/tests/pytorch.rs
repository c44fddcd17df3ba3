//! One path of a supernet against PyTorch: logits, loss, every named gradient, running statistics.

use creamery_fixtures::{Fixture, on_each_device, relative, space, values};
use creamery_nn::{Device, Norm, Subnet, loss};

fn path(fixture: &Fixture, device: &Device) -> Subnet {
    let architecture = fixture.architecture("choices");
    let mut net = Subnet::new(&space(), &architecture, 3, 7, 0, device).unwrap();
    net.load(fixture.under("param"), device).unwrap();
    net
}

#[test]
fn the_path_has_the_cost_that_pytorch_counts() {
    let fixture = Fixture::read("supernet_path");
    let cost = space()
        .cost(&fixture.architecture("choices"), 3, 7)
        .unwrap();
    assert_eq!(cost.macs as f64, fixture.number("macs"));
    assert_eq!(cost.params as f64, fixture.number("parameters"));
}

#[test]
fn logits_loss_and_every_gradient_are_those_of_pytorch() {
    on_each_device(check_step);
}

fn check_step(device: &Device) {
    let fixture = Fixture::read("supernet_path");
    let mut net = path(&fixture, device);
    let x = fixture.images("x", device);
    let labels = &fixture.labels["y"];
    let targets = loss::smoothed_targets(labels, 7, fixture.number("label_smoothing"), device);

    let tracked = net.tracked();
    let output = tracked.net().forward(x.clone(), Norm::Batch);
    let logits = values(output.logits.clone());
    assert!(relative(&logits, &fixture.tensors["logits"].values) < 1e-4);
    let loss = loss::cross_entropy(output.logits, targets);
    let value = f64::from(loss.clone().into_scalar::<f32>());
    assert!(
        (value / fixture.number("loss") - 1.0).abs() < 1e-4,
        "{value}"
    );

    let gradients = tracked.gradients(&loss);
    let zero = fixture.names("zero_gradients");
    let found = net.layers().iter().zip(&gradients);
    let found: Vec<_> = found.flat_map(|(layer, flat)| layer.part(flat)).collect();
    assert_eq!(found.len(), fixture.under("grad").len());
    for found in found {
        let name = found.name;
        let expected = &fixture.tensors[&format!("grad/{name}")];
        assert_eq!(found.shape, expected.shape);
        if zero.contains(&name.as_str()) {
            let largest = found.values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            assert!(largest < 1e-6, "{name}: {largest}");
        } else {
            let error = relative(&found.values, &expected.values);
            assert!(error < 1e-4, "{name}: {error}");
        }
    }

    for (layer, seen) in net.layers_mut().zip(&output.stats) {
        layer.absorb(seen.as_ref(), fixture.number("norm_momentum"));
    }
    let state = net.state();
    for expected in fixture.under("after") {
        let found = state.iter().find(|t| t.name == expected.name).unwrap();
        let error = relative(&found.values, &expected.values);
        assert!(error < 1e-5, "{}: {error}", expected.name);
    }
    let evaluated = values(net.forward(x, Norm::Running).logits);
    assert!(relative(&evaluated, &fixture.tensors["eval_logits"].values) < 1e-4);
}

#[test]
fn losses_are_those_of_pytorch() {
    on_each_device(check_losses);
}

fn check_losses(device: &Device) {
    let text = include_str!("../../../fixtures/losses.json");
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    let matrix = |value: &serde_json::Value| {
        let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).unwrap();
        let shape = [rows.len(), rows[0].len()];
        burn::tensor::Tensor::<2>::from_data(
            burn::tensor::TensorData::new(rows.concat(), shape),
            device,
        )
    };
    let logits = matrix(&json["logits"]);
    let labels: Vec<usize> = serde_json::from_value(json["labels"].clone()).unwrap();
    let smoothing = json["smoothing"].as_f64().unwrap();
    let smoothed = loss::smoothed_targets(&labels, 5, smoothing, device);
    for (targets, case) in [(smoothed, "smoothed"), (matrix(&json["targets"]), "soft")] {
        let leaf = logits.clone().autodiff().require_grad();
        let value = loss::cross_entropy(leaf.clone(), targets);
        let expected = json[case]["loss"].as_f64().unwrap();
        let found = f64::from(value.clone().into_scalar::<f32>());
        assert!(
            (found / expected - 1.0).abs() < 1e-6,
            "{case}: {found} {expected}"
        );
        let gradient = values(leaf.grad(&value.backward()).unwrap());
        let expected = values(matrix(&json[case]["gradient"]));
        assert!(relative(&gradient, &expected) < 1e-5, "{case}");
    }
}
