//! Heads against their naive twin.

mod naive;

use creamery_kernels::head::{self, HeadShape, HeadWeights};
use creamery_kernels::inference::Layer;
use creamery_kernels::{Isa, KernelError, with_isa};
use naive::{Map, close, uniform, wide};
use proptest::prelude::*;

struct Case {
    shape: HeadShape,
    weight: Vec<f32>,
    bias: Vec<f32>,
    x: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(shape: HeadShape, seed: u64) -> Self {
        let mut rng = creamery_rng::stream(seed, "head tests", 0);
        let mut values = |len: usize| uniform(&mut rng, len);
        Self {
            shape,
            weight: values(shape.out_channels * shape.in_channels),
            bias: values(shape.out_channels),
            x: values(shape.input_len()),
            dy: values(shape.output_len()),
        }
    }

    fn weights(&self) -> HeadWeights<'_> {
        HeadWeights {
            weight: &self.weight,
            bias: &self.bias,
        }
    }

    /// The pooled input and the values before SiLU.
    fn twin(&self) -> (Map, Map) {
        let s = &self.shape;
        let pooled = naive::pool(&Map::new(
            s.images,
            s.height,
            s.width,
            s.in_channels,
            &self.x,
        ));
        let mut raw = naive::conv(&pooled, &wide(&self.weight), s.out_channels, 1, 1, 1);
        for (i, value) in raw.data.iter_mut().enumerate() {
            *value += f64::from(self.bias[i % s.out_channels]);
        }
        (pooled, raw)
    }

    #[track_caller]
    fn check(&self, isa: Isa) {
        let (s, weights) = (&self.shape, self.weights());
        let label = |what: &str| format!("{isa:?} {s:?} {what}");
        let (pooled, raw) = self.twin();
        let y: Vec<f64> = raw.data.iter().map(|z| naive::silu(*z)).collect();
        let mut dz = raw.clone();
        let mut db = vec![0.0; s.out_channels];
        for (i, (d, dy)) in dz.data.iter_mut().zip(&self.dy).enumerate() {
            *d = f64::from(*dy) * naive::silu_slope(*d);
            db[i % s.out_channels] += *d;
        }
        let (dpool, dw) = naive::conv_back(&pooled, &wide(&self.weight), &dz, 1, 1, 1);
        let pixels = s.height * s.width;
        let at =
            |i: usize| dpool.data[i / (pixels * s.in_channels) * s.in_channels + i % s.in_channels];
        let dx: Vec<f64> = (0..s.input_len()).map(|i| at(i) / pixels as f64).collect();
        with_isa(isa, || {
            let forward = head::forward(s, &weights, &self.x).unwrap();
            close(&label("y"), &forward.y, &y, 2e-5);
            assert_eq!(head::infer(s, &weights, &self.x).unwrap(), forward.y);
            let one = HeadShape { images: 1, ..*s };
            let layer = Layer::head(&one, &weights).unwrap();
            let ready = self.x.chunks(one.input_len()).flat_map(|image| {
                let y = layer.run(&naive::blocked(image, s.in_channels)).unwrap();
                naive::unblocked(&y, s.out_channels)
            });
            close(&label("made ready"), &ready.collect::<Vec<f32>>(), &y, 2e-5);
            let grads = head::backward(s, &weights, &forward.saved, &self.dy, true).unwrap();
            close(&label("weight"), &grads.weight, &dw, 2e-5);
            close(&label("bias"), &grads.bias, &db, 2e-5);
            close(&label("x"), grads.x.as_ref().unwrap(), &dx, 2e-5);
            let without = head::backward(s, &weights, &forward.saved, &self.dy, false).unwrap();
            assert!(without.x.is_none() && without.weight == grads.weight);
        });
    }
}

fn shape(
    images: usize,
    height: usize,
    width: usize,
    in_channels: usize,
    out_channels: usize,
) -> HeadShape {
    HeadShape {
        images,
        height,
        width,
        in_channels,
        out_channels,
    }
}

#[test]
fn heads_equal_the_twin_for_every_instruction_set() {
    for isa in Isa::available() {
        for (seed, shape) in [
            shape(1, 3, 2, 5, 7),
            shape(30, 1, 1, 96, 160),
            shape(9, 7, 7, 33, 130),
        ]
        .into_iter()
        .enumerate()
        {
            Case::new(shape, seed as u64).check(isa);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_equals_the_twin(
        (images, height, width) in (1usize..20, 1usize..6, 1usize..6),
        (inner, out) in (1usize..50, 1usize..150),
        seed in any::<u64>(),
    ) {
        Case::new(shape(images, height, width, inner, out), seed).check(Isa::best());
    }
}

#[test]
fn the_gradients_are_central_differences() {
    let case = Case::new(shape(3, 2, 2, 5, 6), 2);
    let forward = head::forward(&case.shape, &case.weights(), &case.x).unwrap();
    let grads =
        head::backward(&case.shape, &case.weights(), &forward.saved, &case.dy, true).unwrap();
    let loss = |case: &Case| -> f64 {
        case.twin()
            .1
            .data
            .iter()
            .zip(&case.dy)
            .map(|(z, d)| naive::silu(*z) * f64::from(*d))
            .sum()
    };
    fn parameter(case: &mut Case, which: usize) -> &mut Vec<f32> {
        [&mut case.x, &mut case.weight, &mut case.bias]
            .into_iter()
            .nth(which)
            .unwrap()
    }
    for (which, grad) in [grads.x.as_ref().unwrap(), &grads.weight, &grads.bias]
        .into_iter()
        .enumerate()
    {
        let index = grad.len() / 2;
        let at = |step: f32| {
            let mut case = Case::new(case.shape, 2);
            parameter(&mut case, which)[index] += step;
            (f64::from(parameter(&mut case, which)[index]), loss(&case))
        };
        let ((up, high), (down, low)) = (at(1e-3), at(-1e-3));
        let difference = (high - low) / (up - down);
        assert!(
            (f64::from(grad[index]) - difference).abs() <= 1e-3,
            "{which}: {} not {difference}",
            grad[index]
        );
    }
}

#[test]
fn what_does_not_fit_is_an_error_and_not_a_panic() {
    let case = Case::new(shape(2, 2, 2, 3, 4), 1);
    let short = head::forward(&case.shape, &case.weights(), &case.x[1..]).map(|_| ());
    assert!(matches!(short, Err(KernelError::Length { what: "x", .. })));
    let none = HeadShape {
        images: 0,
        ..case.shape
    };
    let none = head::forward(&none, &case.weights(), &[]).map(|_| ());
    assert!(matches!(
        none,
        Err(KernelError::Unsupported { what: "images", .. })
    ));
    let done = head::forward(&case.shape, &case.weights(), &case.x).unwrap();
    let other = HeadShape {
        images: 3,
        ..case.shape
    };
    let back = head::backward(&other, &case.weights(), &done.saved, &[0.0; 12], true);
    assert!(matches!(
        back,
        Err(KernelError::Length {
            what: "saved means",
            ..
        })
    ));
}
