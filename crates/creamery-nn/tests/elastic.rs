//! Elastic blocks against the same block built small with the sliced weights.

use burn::tensor::{Device, Distribution, Tensor};
use creamery_fixtures::{relative, space};
use creamery_nn::{Gathered, NamedTensor, Norm, Subnet, SuperNet};
use creamery_space::Architecture;
use proptest::prelude::*;
use rand::RngExt;

fn architecture(choices: Vec<Vec<i8>>) -> Architecture {
    Architecture::new("fixture", 32, choices)
}

fn moved(t: &Tensor<1>, key: u64) -> Tensor<1> {
    let mut rng = creamery_rng::stream(0, "noise", key);
    let noise = (0..t.dims()[0]).map(|_| rng.random_range(-0.3f32..0.3));
    t.clone() + Tensor::from_data(noise.collect::<Vec<_>>().as_slice(), &t.device())
}

/// A supernet none of whose values is what it was initialised to.
fn supernet(transforms: bool) -> SuperNet {
    let device = Device::flex();
    let mut net = SuperNet::elastic(&space(), 3, 7, transforms, 3, &device).unwrap();
    for (i, layer) in (0..).zip(net.layers_mut()) {
        layer.params = moved(&layer.params, i);
        layer.running = layer.running.as_ref().map(|running| moved(running, i));
    }
    net
}

/// For each value of a part, where it lies in the whole: leading outputs and inputs, the kernel's centre.
fn slice(whole: &[usize], part: &[usize]) -> Vec<usize> {
    let four =
        |shape: &[usize]| -> Vec<usize> { (0..4).map(|i| *shape.get(i).unwrap_or(&1)).collect() };
    let (whole, part) = (four(whole), four(part));
    let margin = (whole[2] - part[2]) / 2;
    let mut places = Vec::new();
    for o in 0..part[0] {
        for i in 0..part[1] {
            for y in 0..part[2] {
                for x in 0..part[3] {
                    let row = (o * whole[1] + i) * whole[2] + y + margin;
                    places.push(row * whole[3] + x + margin);
                }
            }
        }
    }
    places
}

/// The name in the elastic supernet of a path's tensor: without the operation.
fn own_name(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[0] {
        "stages" => [&parts[..3], &parts[4..]].concat().join("."),
        _ => name.to_owned(),
    }
}

fn find<'a>(state: &'a [NamedTensor], name: &str) -> &'a NamedTensor {
    state.iter().find(|t| t.name == name).unwrap()
}

fn gradients(path: &Subnet, x: &Tensor<4>) -> (Vec<f32>, Vec<Tensor<1>>) {
    let tracked = path.tracked();
    let logits = tracked.net().forward(x.clone(), Norm::Batch).logits;
    let loss = (logits.clone() * logits.clone()).sum() * 0.1;
    let values = logits.inner().into_data().try_into_vec().unwrap();
    (values, tracked.gradients(&loss))
}

/// The gradients that passes gave to the supernet, by name.
fn gathered_state(net: &SuperNet, mut gathered: Gathered) -> Vec<NamedTensor> {
    let layers = net.layers();
    let parts = layers.filter_map(|layer| {
        let share = gathered.remove(&layer.name)?;
        Some(layer.part(&share.gradient))
    });
    parts.flatten().collect()
}

fn choices() -> impl Strategy<Value = Vec<Vec<i8>>> {
    let first = 0i8..6;
    let second = -1i8..6;
    prop::collection::vec((first, second).prop_map(|(a, b)| vec![a, b]), 3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Outputs and gradients of any path equal those of a network built small from slices.
    #[test]
    fn a_path_is_the_small_network_with_the_sliced_weights(choices in choices(), n in 1usize..4) {
        let device = Device::flex();
        let net = supernet(false);
        let whole = net.state();
        let architecture = architecture(choices);
        let mut small = Subnet::new(&space(), &architecture, 3, 7, 99, &device).unwrap();
        let sliced = small.state().into_iter().map(|t| {
            let from = find(&whole, &own_name(&t.name));
            let places = slice(&from.shape, &t.shape);
            NamedTensor { values: places.iter().map(|p| from.values[*p]).collect(), ..t }
        });
        small.load(sliced.collect(), &device).unwrap();
        let path = net.path(&architecture).unwrap();
        prop_assert_eq!(path.state(), small.state());

        let x = Tensor::random([n, 32, 32, 3], Distribution::Normal(0.0, 1.0), &device);
        let (logits, own) = gradients(&path, &x);
        let (expected_logits, expected) = gradients(&small, &x);
        prop_assert_eq!(logits, expected_logits);
        let mut gathered = Gathered::default();
        net.gather(&mut gathered, &path, own, vec![None; path.layers().len()]);
        let found = gathered_state(&net, gathered);
        for (layer, expected) in small.layers().iter().zip(&expected) {
            for part in layer.part(expected) {
                let found = find(&found, &own_name(&part.name));
                let mut everywhere = vec![0.0; found.values.len()];
                let places = slice(&found.shape, &part.shape);
                for (place, value) in places.iter().zip(&part.values) {
                    everywhere[*place] = *value;
                }
                prop_assert_eq!(&found.values, &everywhere, "{}", part.name);
            }
        }
    }
}

#[test]
fn a_transformed_kernel_is_the_product_of_its_matrices_with_the_centres() {
    let net = supernet(true);
    let whole = net.state();
    let choices = architecture(vec![vec![0, 2], vec![4, 1], vec![3, 5]]);
    let path = net.path(&choices).unwrap();
    // The first block has kernel 3 and the smaller expansion: two matrices, fewer channels.
    let found = find(&path.state(), "stages.0.0.0.depthwise.weight").clone();
    let seven = find(&whole, "stages.0.0.depthwise.weight");
    let apply = |kernel: &[f64], from: usize, to: usize, matrix: &NamedTensor| -> Vec<f64> {
        let margin = (from - to) / 2;
        let centre: Vec<f64> = (0..to * to)
            .map(|i| kernel[(i / to + margin) * from + i % to + margin])
            .collect();
        let row = |o: usize| -> f64 {
            let row = matrix.values[o * to * to..][..to * to].iter();
            row.zip(&centre).map(|(m, c)| f64::from(*m) * c).sum()
        };
        (0..to * to).map(row).collect()
    };
    let mut expected = Vec::new();
    for channel in 0..found.shape[0] {
        let kernel = &seven.values[channel * 49..][..49];
        let kernel: Vec<f64> = kernel.iter().map(|v| f64::from(*v)).collect();
        let five = apply(
            &kernel,
            7,
            5,
            find(&whole, "stages.0.0.transform.7to5.weight"),
        );
        let three = apply(
            &five,
            5,
            3,
            find(&whole, "stages.0.0.transform.5to3.weight"),
        );
        expected.extend(three.iter().map(|v| *v as f32));
    }
    assert!(relative(&found.values, &expected) < 1e-6);
}

#[test]
fn identity_matrices_change_nothing() {
    let device = Device::flex();
    let plain = SuperNet::elastic(&space(), 3, 7, false, 3, &device).unwrap();
    let transformed = SuperNet::elastic(&space(), 3, 7, true, 3, &device).unwrap();
    let choices = architecture(vec![vec![0, 2], vec![4, 1], vec![3, 5]]);
    let (a, b) = (
        plain.path(&choices).unwrap(),
        transformed.path(&choices).unwrap(),
    );
    for (a, b) in a.state().iter().zip(b.state()) {
        assert_eq!(a.name, b.name);
        assert!(
            a.values
                .iter()
                .zip(&b.values)
                .all(|(a, b)| (a - b).abs() < 1e-6),
            "{}",
            a.name
        );
    }
}

#[test]
fn an_elastic_supernets_state_reads_back() {
    let net = supernet(true);
    let device = Device::flex();
    let mut other = SuperNet::elastic(&space(), 3, 7, true, 8, &device).unwrap();
    assert_ne!(net.state(), other.state());
    other.load(net.state()).unwrap();
    assert_eq!(net.state(), other.state());
    let mut separate = SuperNet::new(&space(), 3, 7, 8, &device).unwrap();
    assert!(separate.load(net.state()).is_err());
}

#[test]
fn sorting_channels_changes_smaller_networks_and_not_the_largest() {
    let device = Device::flex();
    let space = space();
    let mut net = supernet(true);
    let largest = net.path(&space.largest(32).unwrap()).unwrap();
    let small = architecture(vec![vec![0, 2], vec![4], vec![2, 4]]);
    let smaller = net.path(&small).unwrap();
    let x = Tensor::random([3, 32, 32, 3], Distribution::Normal(0.0, 1.0), &device);
    let before = [&largest, &smaller].map(|path| gradients(path, &x).0);
    let state = net.state();

    let orders = net.sort_channels();
    let after = [&largest, &smaller].map(|path| {
        let path = net.path(&path.architecture).unwrap();
        gradients(&path, &x).0
    });
    let changes = [0, 1].map(|i| relative(&after[i], &before[i]));
    assert!(changes[0] < 1e-5 && changes[1] > 1e-3, "{changes:?}");
    for (name, from) in orders {
        let layer = net.layers().find(|layer| layer.name == name).unwrap();
        let importance = |state: &[NamedTensor]| -> Vec<f64> {
            let weight = find(state, &format!("{name}.project.weight"));
            let columns = weight.shape[1];
            let sum = |c| {
                weight
                    .values
                    .iter()
                    .skip(c)
                    .step_by(columns)
                    .map(|v| f64::from(v.abs()))
                    .sum()
            };
            (0..columns).map(sum).collect()
        };
        assert!(!importance(&state).is_sorted_by(|a, b| a >= b));
        assert!(
            importance(&net.state()).is_sorted_by(|a, b| a >= b),
            "{name}"
        );
        let mut places = from;
        places.sort_unstable();
        assert!(
            places.into_iter().eq(0..layer.params.dims()[0]),
            "each value once"
        );
    }
}
