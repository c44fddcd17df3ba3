//! Batch norm and element-wise passes against their formulas in double precision.

mod naive;

use creamery_kernels::primitives::{Channels, Depthwise, GateMaps, Passes};
use creamery_kernels::{EPSILON, Isa, KernelError, NormWeights, RunningStats, with_isa};
use naive::{close, silu, silu_slope, uniform};
use proptest::prelude::*;

const LANES: usize = 16;

/// Passes with a random norm, and the norm in double precision.
struct Case {
    images: usize,
    pixels: usize,
    passes: Passes,
    mean: Vec<f64>,
    root: Vec<f64>,
    gamma: Vec<f64>,
    beta: Vec<f64>,
    rng: creamery_rng::ChaCha8Rng,
}

impl Case {
    fn new(images: usize, pixels: usize, seed: u64) -> Self {
        let mut rng = creamery_rng::stream(seed, "pass tests", 0);
        let [mean, gamma, beta] = [(); 3].map(|()| uniform(&mut rng, LANES));
        let var: Vec<f32> = uniform(&mut rng, LANES)
            .iter()
            .map(|v| v.abs() + 0.1)
            .collect();
        let weights = NormWeights {
            gamma: &gamma,
            beta: &beta,
        };
        let stats = RunningStats {
            mean: &mean,
            var: &var,
        };
        let root = |v: &f32| 1.0 / (f64::from(*v) + f64::from(EPSILON)).sqrt();
        Self {
            images,
            pixels,
            passes: Passes::new(images, pixels, &weights, &stats).unwrap(),
            mean: naive::wide(&mean),
            root: var.iter().map(root).collect(),
            gamma: naive::wide(&gamma),
            beta: naive::wide(&beta),
            rng,
        }
    }

    fn map(&mut self) -> Vec<f32> {
        uniform(&mut self.rng, self.images * self.pixels * LANES)
    }

    fn per_image(&mut self) -> Vec<f32> {
        uniform(&mut self.rng, self.images * LANES)
    }

    fn channels(&mut self) -> Channels {
        uniform(&mut self.rng, LANES).try_into().unwrap()
    }

    /// Where the values of a map that belong to a value lie in what there is for each image.
    fn image_place(&self, index: usize) -> usize {
        index / (self.pixels * LANES) * LANES + index % LANES
    }

    fn normal(&self, index: usize, raw: f32) -> f64 {
        (f64::from(raw) - self.mean[index % LANES]) * self.root[index % LANES]
    }

    fn z(&self, index: usize, raw: f32) -> f64 {
        self.gamma[index % LANES] * self.normal(index, raw) + self.beta[index % LANES]
    }

    /// Sums over the map for each channel.
    fn sums(&self, value: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; LANES];
        (0..self.passes.map_len()).for_each(|i| sums[i % LANES] += value(i));
        sums
    }

    /// Sums over each image for each channel.
    fn image_sums(&self, value: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.passes.image_len()];
        (0..self.passes.map_len()).for_each(|i| sums[self.image_place(i)] += value(i));
        sums
    }

    fn each(&self, value: impl Fn(usize) -> f64) -> Vec<f64> {
        (0..self.passes.map_len()).map(value).collect()
    }
}

/// Sums of some hundred values.
const SUMS: f64 = 1e-4;

const VALUES: f64 = 2e-6;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn forward_passes_equal_their_formulas(images in 1usize..4, pixels in 1usize..40, seed in any::<u64>()) {
        let mut case = Case::new(images, pixels, seed);
        let (raw, add, gate, shift) = (case.map(), case.map(), case.per_image(), case.channels());
        let centred = |i: usize| f64::from(raw[i]) - f64::from(shift[i % LANES]);
        let activated = case.each(|i| silu(case.z(i, raw[i])));
        let means: Vec<f64> =
            case.image_sums(|i| activated[i]).iter().map(|sum| sum / pixels as f64).collect();
        for isa in Isa::available() {
            with_isa(isa, || {
                let name = |pass: &str| format!("{isa:?} {pass}");
                let passes = &case.passes;
                let sums = passes.moments(&raw, &shift).unwrap();
                close(&name("sum"), &sums[0], &case.sums(centred), SUMS);
                close(&name("squares"), &sums[1], &case.sums(|i| centred(i).powi(2)), SUMS);

                let (mut out, mut mean) = (vec![f32::NAN; raw.len()], vec![f32::NAN; gate.len()]);
                passes.activate(&raw, &mut out, &mut mean).unwrap();
                close(&name("activate"), &out, &activated, VALUES);
                close(&name("mean"), &mean, &means, VALUES);

                let mut map = raw.clone();
                passes.gate(&mut map, &gate).unwrap();
                let gated = case.each(|i| f64::from(raw[i]) * f64::from(gate[case.image_place(i)]));
                close(&name("gate"), &map, &gated, VALUES);

                let mut out = vec![f32::NAN; raw.len()];
                passes.apply(&raw, &add, &mut out).unwrap();
                let exact = case.each(|i| case.z(i, raw[i]) + f64::from(add[i]));
                close(&name("apply"), &out, &exact, VALUES);
            });
        }
    }

    #[test]
    fn backward_passes_equal_their_formulas(images in 1usize..4, pixels in 1usize..40, seed in any::<u64>()) {
        let mut case = Case::new(images, pixels, seed);
        let (raw, slope, gate) = (case.map(), case.map(), case.per_image());
        let [a, b, c] = [(); 3].map(|()| case.channels());
        let dz = |i: usize| f64::from(slope[i]);
        let v = case.each(|i| silu_slope(case.z(i, raw[i])));
        let activated = case.each(|i| silu(case.z(i, raw[i])));
        let gates = case.each(|i| f64::from(gate[case.image_place(i)]));
        let u = case.each(|i| dz(i) * gates[i] * v[i]);
        let normal = case.each(|i| case.normal(i, raw[i]));
        let of_gate = [
            case.image_sums(|i| dz(i) * activated[i]),
            case.image_sums(|i| u[i]),
            case.image_sums(|i| v[i]),
            case.image_sums(|i| u[i] * normal[i]),
            case.image_sums(|i| v[i] * normal[i]),
        ];
        for isa in Isa::available() {
            with_isa(isa, || {
                let name = |pass: &str| format!("{isa:?} {pass}");
                let passes = &case.passes;
                let mut out = vec![f32::NAN; raw.len()];
                let sums = passes.output_slope(&raw, &slope, &mut out).unwrap();
                assert_eq!(out, slope);
                close(&name("sum"), &sums[0], &case.sums(dz), SUMS);
                close(&name("along"), &sums[1], &case.sums(|i| dz(i) * normal[i]), SUMS);

                let mut map = slope.clone();
                passes.raw_slope(&[a, b, c], &raw, &mut map).unwrap();
                let exact = case.each(|i| {
                    let [a, b, c] = [a, b, c].map(|row| f64::from(row[i % LANES]));
                    a * dz(i) + b * f64::from(raw[i]) + c
                });
                close(&name("raw slope"), &map, &exact, VALUES);

                let mut map = slope.clone();
                let sums = passes.slope_sums(&raw, &raw, &mut map).unwrap();
                let product = |i: usize| dz(i) * f64::from(raw[i]);
                close(&name("product"), &map, &case.each(product), VALUES);
                close(&name("product's sum"), &sums[0], &case.sums(product), SUMS);
                close(&name("product along"), &sums[1], &case.sums(|i| product(i) * normal[i]), SUMS);

                let (mut to_u, mut to_v, mut gated) =
                    (slope.clone(), vec![f32::NAN; raw.len()], vec![f32::NAN; raw.len()]);
                let maps = GateMaps { raw: &raw, gate: &gate, u: &mut to_u, v: &mut to_v, gated: &mut gated };
                let sums = passes.gate_slope(maps).unwrap();
                close(&name("u"), &to_u, &u, VALUES);
                close(&name("v"), &to_v, &v, VALUES);
                close(&name("gated"), &gated, &case.each(|i| activated[i] * gates[i]), VALUES);
                for (found, exact) in sums.chunks_exact(case.passes.image_len()).zip(&of_gate) {
                    close(&name("gate's sums"), found, exact, SUMS);
                }
            });
        }
    }

    #[test]
    fn padded_rows_are_filled_between_their_zeros(
        images in 1usize..4,
        size in [1usize..9, 1usize..9],
        kernel in prop::sample::select(vec![1usize, 3, 5, 7]),
        stride in 1usize..3,
        seed in any::<u64>(),
    ) {
        let conv = Depthwise::new(images, size, kernel, stride).unwrap();
        let mut case = Case::new(images, size[0] * size[1], seed);
        let raw = case.map();
        let value = case.each(|i| silu(case.z(i, raw[i])));
        let derivative = case.each(|i| silu_slope(case.z(i, raw[i])));
        let value = padded(&value, size[1], conv.left(), conv.padded_width());

        let out = size.map(|side| side.div_ceil(stride));
        let mut back = Case::new(images, out[0] * out[1], seed);
        let maps = [back.map(), back.map(), back.map()];
        let (p, rows) = (back.per_image(), [(); 3].map(|()| back.channels()));
        let slope = back.each(|i| {
            let ([raw, u, v], [a, b, c]) = (
                [0, 1, 2].map(|map| f64::from(maps[map][i])),
                rows.map(|row| f64::from(row[i % LANES])),
            );
            a * (u + f64::from(p[back.image_place(i)]) * v) + b * raw + c
        });
        let slope = padded(&slope, out[1], conv.slope_left(), conv.padded_slope_width());
        for isa in Isa::available() {
            with_isa(isa, || {
                for with_slope in [false, true] {
                    let mut to = vec![0.0; conv.input_len()];
                    let mut to_slope = vec![f32::NAN; raw.len()];
                    let wanted = with_slope.then_some(&mut to_slope[..]);
                    case.passes.fill(&conv, &raw, &mut to, wanted).unwrap();
                    close(&format!("{isa:?} fill"), &to, &value, VALUES);
                    if with_slope {
                        close(&format!("{isa:?} slope"), &to_slope, &derivative, VALUES);
                    }
                }
                let mut to = vec![0.0; conv.slope_len()];
                let [raw, u, v] = &maps;
                back.passes.fill_slope(&conv, &rows, [raw, u, v, &p], &mut to).unwrap();
                close(&format!("{isa:?} fill slope"), &to, &slope, VALUES);
            });
        }
    }
}

/// Rows of `width` pixels within rows of `padded_width`, after `left` zeros.
fn padded(values: &[f64], width: usize, left: usize, padded_width: usize) -> Vec<f64> {
    let rows = values.chunks_exact(width * LANES);
    let row = |row: &[f64]| {
        let mut padded = vec![0.0; padded_width * LANES];
        padded[left * LANES..(left + width) * LANES].copy_from_slice(row);
        padded
    };
    rows.flat_map(row).collect()
}

#[test]
fn wrong_sizes_are_errors() {
    let (ones, short) = ([1.0; LANES], [1.0; 3]);
    let weights = NormWeights {
        gamma: &ones,
        beta: &ones,
    };
    let stats = RunningStats {
        mean: &ones,
        var: &ones,
    };
    assert!(Passes::new(0, 4, &weights, &stats).is_err());
    assert!(Passes::new(1, 0, &weights, &stats).is_err());
    let of_three = RunningStats {
        mean: &ones,
        var: &short,
    };
    assert!(Passes::new(1, 4, &weights, &of_three).is_err());

    let passes = Passes::new(2, 4, &weights, &stats).unwrap();
    let (map, mut out, mut per_image) = (vec![0.0; 128], vec![0.0; 128], [0.0; 32]);
    let error = passes
        .activate(&map[1..], &mut out, &mut per_image)
        .unwrap_err();
    let expected = KernelError::Length {
        what: "raw",
        expected: 128,
        found: 127,
    };
    assert_eq!(error, expected);
    assert!(passes.moments(&map, &short).is_err());
    assert!(passes.gate(&mut out, &short).is_err());
    assert!(passes.apply(&map, &short, &mut out).is_err());
    assert!(passes.output_slope(&map, &map, &mut out[1..]).is_err());
    assert!(passes.raw_slope(&[ones; 3], &short, &mut out).is_err());
    assert!(passes.slope_sums(&map, &short, &mut out).is_err());
    let (mut u, mut v) = (vec![0.0; 128], vec![0.0; 127]);
    let maps = GateMaps {
        raw: &map,
        gate: &per_image,
        u: &mut u,
        v: &mut v,
        gated: &mut out,
    };
    assert!(passes.gate_slope(maps).is_err());
    // As many pixels in all, but of one image, or rather of another shape.
    for conv in [
        Depthwise::new(1, [2, 4], 3, 1),
        Depthwise::new(2, [2, 3], 3, 1),
    ] {
        let conv = conv.unwrap();
        let mut padded = vec![0.0; conv.input_len()];
        assert!(passes.fill(&conv, &map, &mut padded, None).is_err());
        let mut padded = vec![0.0; conv.slope_len()];
        let maps = [&map[..], &map, &map, &per_image];
        assert!(
            passes
                .fill_slope(&conv, &[ones; 3], maps, &mut padded)
                .is_err()
        );
    }
}
