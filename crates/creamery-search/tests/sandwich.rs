//! A step of the sandwich rule against PyTorch.

use creamery_data::Batch;
use creamery_fixtures::{Fixture, on_each_device, relative, space};
use creamery_nn::{Device, SuperNet};
use creamery_search::{ElasticSettings, Sandwich, Strategy, Trainer};
use creamery_space::{Budget, Sampler};
use creamery_train::engine::Position;
use creamery_train::event::Events;
use creamery_train::{Decay, TrainSettings};

/// The largest path learns from labels, the smallest and a random one from what it says of the same batch; the update
/// is by the sum of their gradients.
#[test]
fn the_step_is_that_of_pytorch() {
    on_each_device(check_step);
}

fn check_step(device: &Device) {
    let fixture = Fixture::read("sandwich");
    let space = space();
    let mut supernet = SuperNet::elastic(&space, 3, 7, false, 0, device).unwrap();
    let mut state = supernet.state();
    for tensor in &mut state {
        if let Some(values) = fixture.tensors.get(&format!("param/{}", tensor.name)) {
            tensor.values.clone_from(&values.values);
        }
    }
    supernet.load(state).unwrap();

    // The gradient is read off the step: plain descent without decay, momentum or clipping.
    let settings = TrainSettings {
        lr: fixture.number("lr"),
        decay: Decay::Constant,
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
        clip_norm: 0.0,
        label_smoothing: fixture.number("label_smoothing"),
        ..TrainSettings::default()
    };
    let seed = fixture.number("seed") as u64;
    let mut trainer = Trainer::new(supernet, &settings, settings.schedule(1), seed);
    let sampler = Sampler::new(&space, 32, 3, 7, &Budget::default()).unwrap();
    let mut sandwich = Sandwich::new(
        &ElasticSettings {
            random_paths: 1,
            dropout: 0.0,
            ..ElasticSettings::default()
        },
        vec![sampler],
        space.largest(32).unwrap(),
        space.smallest(32).unwrap(),
    );
    let images = fixture.images("x", device);
    let [n, size, _, channels] = images.dims();
    let batch = Batch {
        images: images.into_data().try_into_vec().unwrap(),
        labels: fixture.labels["y"].clone(),
        n,
        size,
        channels,
        epoch: 0,
        index: 0,
    };
    let at = Position::default();
    let report = sandwich
        .step(at, &batch, &mut trainer, &mut Events::default())
        .unwrap();
    let expected = fixture.number("mean_loss");
    assert!(
        (report.loss / expected - 1.0).abs() < 1e-4,
        "{} {expected}",
        report.loss
    );

    let after = trainer.supernet.state();
    let lr = settings.lr as f32;
    for expected in fixture.under("gradient") {
        let before = &fixture.tensors[&format!("param/{}", expected.name)].values;
        let after = after.iter().find(|t| t.name == expected.name).unwrap();
        let found = before.iter().zip(&after.values).map(|(b, a)| (b - a) / lr);
        let error = relative(&found.collect::<Vec<_>>(), &expected.values);
        assert!(error < 1e-3, "{}: {error}", expected.name);
    }
}
