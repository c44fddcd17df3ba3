//! Paths, cutting out, updating, calibration, states.

use burn::tensor::{Distribution, Tensor};
use creamery_fixtures::{on_each_device, relative, space, values};
use creamery_nn::{Device, Drops, Gathered, Norm, StateError, Subnet, SuperNet, loss};
use creamery_space::{Architecture, Space};

fn images(n: usize, device: &Device) -> Tensor<4> {
    Tensor::random([n, 32, 32, 3], Distribution::Normal(0.0, 1.0), device)
}

fn logits(net: &Subnet, x: Tensor<4>, norm: Norm) -> Vec<f32> {
    values(net.forward(x, norm).logits)
}

fn architecture(choices: Vec<Vec<i8>>) -> Architecture {
    Architecture::new("fixture", 32, choices)
}

#[test]
fn what_a_path_yields_goes_to_its_own_layers_and_no_other() {
    on_each_device(check_gather);
}

fn check_gather(device: &Device) {
    let supernet = SuperNet::new(&space(), 3, 7, 1, device).unwrap();
    let before = supernet.state();
    let mut path = supernet
        .path(&architecture(vec![vec![0, 3], vec![5], vec![1, -1]]))
        .unwrap();
    for layer in path.layers_mut() {
        layer.params = layer.params.clone() + 1.0;
    }
    assert_eq!(supernet.state(), before, "a path changes nothing itself");
    let stats = path.forward(images(2, device), Norm::Batch).stats;
    let gradients: Vec<_> = path.layers().iter().map(|l| l.params.clone()).collect();
    let mut gathered = Gathered::default();
    supernet.gather(&mut gathered, &path, gradients.clone(), stats.clone());
    supernet.gather(&mut gathered, &path, gradients.clone(), stats);
    let own = [
        "stem",
        "first",
        "stages.0.0.0",
        "stages.0.1.3",
        "stages.1.0.5",
        "stages.2.0.1",
        "last",
        "head",
        "classifier",
    ];
    for layer in supernet.layers() {
        let share = gathered.remove(&layer.name);
        let place = own.iter().position(|name| *name == layer.name);
        assert_eq!(share.is_some(), place.is_some(), "{}", layer.name);
        if let (Some(share), Some(place)) = (share, place) {
            let sum: Vec<f32> = share.gradient.into_data().try_into_vec().unwrap();
            let once: Vec<f32> = gradients[place].to_data().try_into_vec().unwrap();
            assert!(sum.iter().zip(once).all(|(sum, once)| *sum == 2.0 * once));
            let has_norm = layer.running.is_some();
            assert_eq!(share.stats.len(), if has_norm { 2 } else { 0 });
        }
    }
}

#[test]
fn a_subnet_cut_out_computes_what_the_path_computes() {
    on_each_device(check_cut_out);
}

fn check_cut_out(device: &Device) {
    let space = space();
    let supernet = SuperNet::new(&space, 3, 7, 1, device).unwrap();
    let choices = architecture(vec![vec![2, -1], vec![4, 1], vec![0, 0]]);
    let path = supernet.path(&choices).unwrap();
    let mut alone = Subnet::new(&space, &choices, 3, 7, 99, device).unwrap();
    let x = images(3, device);
    assert_ne!(
        logits(&path, x.clone(), Norm::Batch),
        logits(&alone, x.clone(), Norm::Batch)
    );
    alone.load(path.state(), device).unwrap();
    assert_eq!(
        logits(&path, x.clone(), Norm::Batch),
        logits(&alone, x.clone(), Norm::Batch)
    );
    assert_eq!(
        logits(&path, x.clone(), Norm::Running),
        logits(&alone, x, Norm::Running)
    );
}

/// Logits, statistics and all gradients of a subnet with the same weights and images.
#[test]
fn a_subnet_computes_the_same_on_each_device() {
    let choices = architecture(vec![vec![2, -1], vec![4, 1], vec![0, 5]]);
    let x = images(4, &Device::flex());
    let run = |device: &Device| {
        let net = Subnet::new(&space(), &choices, 3, 7, 3, device).unwrap();
        let x = Tensor::from_data(x.to_data(), device);
        let tracked = net.tracked();
        let output = tracked.net().forward(x.clone(), Norm::Batch);
        let targets = loss::smoothed_targets(&[0, 6, 3, 3], 7, 0.1, device);
        let loss = loss::cross_entropy(output.logits.clone(), targets);
        let mut found = vec![values(output.logits), logits(&net, x, Norm::Running)];
        found.extend(output.stats.into_iter().flatten().map(values));
        found.extend(tracked.gradients(&loss).into_iter().map(values));
        found
    };
    let expected = run(&Device::flex());
    on_each_device(|device| {
        let found = run(device);
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let error = relative(found, expected);
            assert!(error < 1e-4, "tensor {i}: {error}");
        }
    });
}

#[test]
fn initial_weights_depend_on_the_seed_and_the_name_alone() {
    let device = Device::flex();
    let space = space();
    let choices = architecture(vec![vec![2, 1], vec![4], vec![0, 0]]);
    let supernet = SuperNet::new(&space, 3, 7, 5, &device).unwrap();
    let alone = Subnet::new(&space, &choices, 3, 7, 5, &device).unwrap();
    assert_eq!(supernet.path(&choices).unwrap().state(), alone.state());
    let other = Subnet::new(&space, &choices, 3, 7, 6, &device).unwrap();
    assert_ne!(other.state(), alone.state());
}

/// After calibration on one batch the running statistics are that batch's, so both norms agree up to
/// the difference between biased and unbiased variance.
#[test]
fn calibration_replaces_the_running_statistics_by_the_batches_own() {
    on_each_device(check_calibration);
}

fn check_calibration(device: &Device) {
    let supernet = SuperNet::new(&space(), 3, 7, 1, device).unwrap();
    let before = supernet.state();
    let mut net = supernet
        .path(&architecture(vec![vec![2], vec![4], vec![0]]))
        .unwrap();
    let x = images(16, device);
    let batch = logits(&net, x.clone(), Norm::Batch);
    let stale = logits(&net, x.clone(), Norm::Running);
    net.calibrate([x.clone()]).unwrap();
    let calibrated = logits(&net, x.clone(), Norm::Running);
    assert!(relative(&calibrated, &batch) < 0.1);
    assert!(relative(&stale, &batch) > 0.2);
    assert_eq!(
        supernet.state(),
        before,
        "calibrating a path leaves the supernet alone"
    );

    // Two batches: the average of what each alone gives.
    let y = images(16, device);
    let running = |batches: Vec<Tensor<4>>| {
        let mut net = net.clone();
        net.calibrate(batches).unwrap();
        let state = net.layers()[0].state();
        let of = |name: &str| {
            let found = state
                .iter()
                .find(|t| t.name == format!("stem.norm.running_{name}"));
            found.unwrap().values.clone()
        };
        ["mean", "var"].map(of)
    };
    let (a, b, both) = (
        running(vec![x.clone()]),
        running(vec![y.clone()]),
        running(vec![x, y]),
    );
    for part in 0..2 {
        for channel in 0..16 {
            let mean = (a[part][channel] + b[part][channel]) / 2.0;
            assert!((both[part][channel] - mean).abs() < 1e-5);
        }
    }
    assert!(net.calibrate([]).is_err());
}

#[test]
fn weights_that_do_not_fit_are_refused_and_nothing_changes() {
    let device = Device::flex();
    let mut net = Subnet::new(
        &space(),
        &architecture(vec![vec![2], vec![4], vec![0]]),
        3,
        7,
        0,
        &device,
    )
    .unwrap();
    let good = net.state();
    let mut missing = good.clone();
    missing.remove(3);
    let mut shape = good.clone();
    shape.last_mut().unwrap().shape = vec![8];
    let mut extra = good.clone();
    extra.push(creamery_nn::NamedTensor {
        name: "zoo".into(),
        shape: vec![1],
        values: vec![0.0],
    });
    for (state, text) in [
        (missing, "no tensor"),
        (shape, "has shape [8]"),
        (extra, "`zoo`"),
    ] {
        let error = net.load(state, &device).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        assert_eq!(net.state(), good);
    }
    let empty = net.load(vec![], &device).unwrap_err();
    assert!(matches!(
        empty,
        creamery_nn::NnError::State(StateError::Missing(_))
    ));
}

#[test]
fn a_parameter_that_the_loss_does_not_touch_has_gradient_zero() {
    on_each_device(check_zero_gradients);
}

fn check_zero_gradients(device: &Device) {
    let net = Subnet::new(
        &space(),
        &architecture(vec![vec![2], vec![4], vec![0]]),
        3,
        7,
        0,
        device,
    )
    .unwrap();
    let tracked = net.tracked();
    let output = tracked.net().forward(images(2, device), Norm::Batch);
    // The features in front of the head do not depend on head and classifier.
    let gradients = tracked.gradients(&output.features().sum());
    let n = gradients.len();
    for (index, gradient) in gradients.into_iter().enumerate() {
        let sum: f32 = gradient.abs().sum().into_scalar();
        if index >= n - 2 {
            assert_eq!(sum, 0.0);
        }
    }
}

/// Twins: a block that every image goes past is one that is not there; one that none goes past is as always.
#[test]
fn dropped_blocks_are_skipped_blocks() {
    on_each_device(check_dropped_blocks);
}

fn check_dropped_blocks(device: &Device) {
    let space = Space::builtin("tiny-32").unwrap();
    let deep = Architecture::new("tiny-32", 28, vec![vec![0, 3], vec![1, 2, 4], vec![2]]);
    let shallow = Architecture::new("tiny-32", 28, vec![vec![0], vec![1, 4], vec![2]]);
    let full = Subnet::new(&space, &deep, 1, 5, 0, device).unwrap();
    let mut short = Subnet::new(&space, &shallow, 1, 5, 0, device).unwrap();
    let (layers, dropped) = (full.layers(), [3, 5]);
    let kept = (layers.iter().enumerate()).filter(|(at, _)| !dropped.contains(at));
    for (own, (_, layer)) in short.layers_mut().zip(kept) {
        assert_eq!(own.spec, layer.spec);
        own.params = layer.params.clone();
    }
    let images = Tensor::<4>::random([3, 28, 28, 1], Distribution::Normal(0.0, 1.0), device);
    let masks = |value: f32| {
        let mask = |at: usize| {
            let rate = layers[at].spec.has_residual() && dropped.contains(&at);
            rate.then(|| Tensor::full([3, 1, 1, 1], value, device))
        };
        Drops {
            branches: (0..layers.len() - 2).map(mask).collect(),
            ..Drops::default()
        }
    };
    let close = |found: Tensor<2>, expected: Tensor<2>| {
        let error = relative(&values(found), &values(expected));
        assert!(error < 1e-4, "{error}");
    };
    let run = |drops| {
        full.forward_dropping(images.clone(), Norm::Batch, drops)
            .logits
    };
    close(
        run(masks(0.0)),
        short.forward(images.clone(), Norm::Batch).logits,
    );
    close(
        run(masks(1.0)),
        full.forward(images.clone(), Norm::Batch).logits,
    );
    assert!(relative(&values(run(masks(2.0))), &values(run(masks(1.0)))) > 1e-3);
    let rates = full.drop_path_rates(0.4);
    // The stem, the first block, six blocks, the last convolution.
    let expected = [
        0.0,
        0.0,
        0.0,
        0.4 * 2.0 / 7.0,
        0.0,
        0.4 * 4.0 / 7.0,
        0.4 * 5.0 / 7.0,
        0.0,
        0.0,
    ];
    assert_eq!(rates, expected);
}
