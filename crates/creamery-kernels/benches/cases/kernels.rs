//! Single kernels, each on one thread.

use creamery_kernels::block::BlockShape;
use creamery_kernels::primitives::{Channels, Depthwise, GateMaps, Passes, matrix_product, silu};
use creamery_kernels::{KernelError, NormWeights, RunningStats};

use super::{Case, Family, Floats, HEAD, LAST, Setting, Threads, add, blocks, expands, taps};

/// Channels of a block, which depthwise convolutions and passes work on.
const LANES: usize = 16;

/// Floats of padded rows up to which the operators give several images to a depthwise kernel at once.
const SCRATCH: usize = 1 << 13;

/// FLOPs of SiLU as it is computed here, a division as one, and of it together with its derivative.
const SILU: usize = 19;
const SILU_AND_SLOPE: usize = 22;

/// All families, for a thread that has the setting's images.
pub fn families(setting: Setting) -> Vec<Family> {
    let [ours, theirs] = products(setting);
    let [forward, input, weight] = depthwise(setting);
    let families = [
        ("Pointwise products", ours),
        ("Pointwise products by the crate gemm", theirs),
        ("Depthwise, forward", forward),
        ("Depthwise, input gradient", input),
        ("Depthwise, weight gradient", weight),
        ("Batch norm and element-wise passes", passes(setting)),
    ];
    let family = |(title, cases)| Family {
        title,
        threads: Threads::One,
        path: false,
        cases,
    };
    families.map(family).into()
}

/// `C = A B` with its sizes.
type Product = fn([usize; 3], &[f32], &[f32], &mut [f32]);

/// Expansions and projections of all images at once, ours and by `gemm`.
///
/// `2 m n k` FLOPs, `m k + k n + m n` values.
fn products(setting: Setting) -> [Vec<Case>; 2] {
    let mut sizes = Vec::new();
    let mut pixels = 0;
    for shape in blocks(setting) {
        if expands(&shape) {
            let inner = shape.images * shape.height * shape.width;
            sizes.push([inner, shape.mid_channels, shape.in_channels]);
        }
        pixels = shape.images * shape.out_height() * shape.out_width();
        sizes.push([pixels, shape.out_channels, shape.mid_channels]);
    }
    sizes.push([pixels, LAST, 192]);
    sizes.push([setting.images, HEAD, LAST]);

    let [mut ours, mut theirs] = [Vec::new(), Vec::new()];
    for size in sizes {
        let [m, n, k] = size;
        let case = |product: Product| {
            let values = m * k + k * n + m * n;
            Case::new(format!("{m}x{n}x{k}"), 2 * m * n * k, values, move || {
                let (a, b) = (Floats::mixed(m * k), Floats::mixed(k * n));
                let mut c = Floats::of(0.0, m * n);
                move || product(size, &a, &b, &mut c)
            })
        };
        add(
            &mut ours,
            case(|size, a, b, c| matrix_product(size, a, b, c).expect("the lengths fit")),
        );
        add(&mut theirs, case(gemm_product));
    }
    [ours, theirs]
}

/// The same product by the crate `gemm`, on this thread.
pub fn gemm_product([m, n, k]: [usize; 3], a: &[f32], b: &[f32], c: &mut [f32]) {
    assert_eq!([a.len(), b.len(), c.len()], [m * k, k * n, m * n]);
    let (to, left, right) = (c.as_mut_ptr(), a.as_ptr(), b.as_ptr());
    let (wide, deep) = (n as isize, k as isize);
    // SAFETY: the matrices have these sizes and strides, as just checked.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            to,
            1,
            wide,
            false,
            left,
            1,
            deep,
            right,
            1,
            wide,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Depthwise convolutions of 16 channels, of as many images at once as the operators take: forward, the gradient
/// of the input, that of the weight.
///
/// Two FLOPs for each pair of a pixel and a tap. Values: the padded rows (both for the weight's gradient), the taps
/// (twice where they are added to), the result.
fn depthwise(setting: Setting) -> [Vec<Case>; 3] {
    let mut cases = [(); 3].map(|()| Vec::new());
    for shape in blocks(setting) {
        let (size, kernel, stride) = ([shape.height, shape.width], shape.kernel, shape.stride);
        let conv = |images| Depthwise::new(images, size, kernel, stride).expect("a known kernel");
        let images = (SCRATCH / conv(1).input_len()).clamp(1, setting.images);
        let conv = conv(images);
        let name = format!("{images}x{} px k{kernel} s{stride}", shape.height);
        let flops = 2 * images * LANES * taps(shape.height, shape.width, kernel, stride);
        let (input, slope) = (conv.input_len(), conv.slope_len());
        let (output, grad) = (
            conv.output_len(),
            images * shape.height * shape.width * LANES,
        );
        let weight = conv.taps_len();
        let [forward, of_input, of_weight] = &mut cases;
        let call = conv.clone();
        add(
            forward,
            Case::new(name.clone(), flops, input + weight + output, move || {
                let (conv, from, taps) =
                    (call.clone(), Floats::mixed(input), Floats::mixed(weight));
                let mut out = Floats::of(0.0, output);
                move || {
                    conv.forward(&from, &taps, &mut out)
                        .expect("the lengths fit")
                }
            }),
        );
        let call = conv.clone();
        add(
            of_input,
            Case::new(name.clone(), flops, slope + weight + grad, move || {
                let (conv, from, taps) =
                    (call.clone(), Floats::mixed(slope), Floats::mixed(weight));
                let mut out = Floats::of(0.0, grad);
                move || {
                    conv.input_grad(&from, &taps, &mut out)
                        .expect("the lengths fit")
                }
            }),
        );
        let values = input + slope + 2 * weight;
        add(
            of_weight,
            Case::new(name, flops, values, move || {
                let (conv, from, slope) =
                    (conv.clone(), Floats::mixed(input), Floats::mixed(slope));
                let mut grads = Floats::of(0.0, weight);
                move || {
                    conv.weight_grad(&from, &slope, &mut grads)
                        .expect("the lengths fit")
                }
            }),
        );
    }
    cases
}

/// Maps of 16 channels with what there is for each image, for a pass to work on.
struct Maps {
    passes: Passes,
    conv: Depthwise,
    /// Maps that are read, none of them twice in one call: that would be one less to move.
    read: [Floats; 3],
    zeros: Floats,
    ones: Floats,
    /// Maps that are written.
    out: [Floats; 3],
    padded: Floats,
    padded_slope: Floats,
    /// For each image.
    gate: Floats,
    mean: Floats,
}

impl Maps {
    fn new(shape: &BlockShape) -> Self {
        let (images, side) = (shape.images, shape.height);
        let conv = Depthwise::new(images, [side, side], shape.kernel, 1).expect("a known kernel");
        let (ones, zeros) = ([1.0; LANES], [0.0; LANES]);
        let weights = NormWeights {
            gamma: &ones,
            beta: &zeros,
        };
        let stats = RunningStats {
            mean: &zeros,
            var: &ones,
        };
        let passes = Passes::new(images, side * side, &weights, &stats).expect("16 channels");
        let (len, images) = (passes.map_len(), passes.image_len());
        Self {
            read: [(); 3].map(|()| Floats::mixed(len)),
            zeros: Floats::of(0.0, len),
            ones: Floats::of(1.0, len),
            out: [(); 3].map(|()| Floats::of(0.0, len)),
            padded: Floats::of(0.0, conv.input_len()),
            padded_slope: Floats::of(0.0, conv.slope_len()),
            // Twice the derivative of SiLU at 0 is 1: what a gate's gradient is multiplied by stays as it is.
            gate: Floats::of(2.0, images),
            mean: Floats::of(0.0, images),
            passes,
            conv,
        }
    }
}

/// A pass: its name; for each value of the map, its FLOPs, the values that it moves and those of them that it reads
/// and writes in one place; its call.
type Pass = (
    &'static str,
    usize,
    [usize; 2],
    fn(&mut Maps) -> Result<(), KernelError>,
);

const COEFFICIENTS: [Channels; 3] = [[0.5; LANES]; 3];

/// SiLU alone, then in the order of a step. Of FLOPs, a norm has 2, and each value's part in the two sums of its backward 5.
const PASSES: [Pass; 11] = [
    ("SiLU", SILU, [2, 0], |m| silu(&m.read[0], &mut m.out[0])),
    ("fill with SiLU", 2 + SILU, [2, 0], |m| {
        m.passes.fill(&m.conv, &m.read[0], &mut m.padded, None)
    }),
    ("batch statistics", 4, [1, 0], |m| {
        m.passes.moments(&m.read[0], &COEFFICIENTS[0]).map(drop)
    }),
    ("SiLU and mean", 2 + SILU + 1, [2, 0], |m| {
        m.passes.activate(&m.read[0], &mut m.out[0], &mut m.mean)
    }),
    ("gate", 1, [2, 1], |m| m.passes.gate(&mut m.out[0], &m.mean)),
    ("norm and residual", 3, [3, 0], |m| {
        m.passes.apply(&m.read[0], &m.read[1], &mut m.out[0])
    }),
    ("norm's sums, backward", 5, [3, 0], |m| {
        m.passes
            .output_slope(&m.read[0], &m.read[1], &mut m.out[0])
            .map(drop)
    }),
    ("norm, backward", 4, [3, 1], |m| {
        m.passes.raw_slope(&COEFFICIENTS, &m.read[0], &mut m.out[0])
    }),
    (
        "gate, backward",
        2 + SILU_AND_SLOPE + 2 + 3 + 8,
        [5, 1],
        |m| {
            let [u, v, gated] = &mut m.out;
            let (raw, gate) = (&m.zeros, &m.gate);
            m.passes
                .gate_slope(GateMaps {
                    raw,
                    gate,
                    u,
                    v,
                    gated,
                })
                .map(drop)
        },
    ),
    ("fill, backward", 6, [4, 0], |m| {
        let [raw, u, v] = &m.read;
        m.passes.fill_slope(
            &m.conv,
            &COEFFICIENTS,
            [raw, u, v, &m.gate],
            &mut m.padded_slope,
        )
    }),
    ("SiLU's sums, backward", 6, [4, 1], |m| {
        m.passes
            .slope_sums(&m.read[0], &m.ones, &mut m.out[0])
            .map(drop)
    }),
];

/// Passes over the depthwise map of 16 channels of all images, in the second block of the first, the third and the
/// fifth stage. What there is for each image or channel counts nothing.
fn passes(setting: Setting) -> Vec<Case> {
    let blocks = blocks(setting);
    let mut cases = Vec::new();
    for shape in [blocks[2], blocks[6], blocks[10]] {
        let len = shape.images * shape.height * shape.width * LANES;
        for (name, flops, [values, in_place], call) in PASSES {
            let name = format!("{name}, {} px", shape.height);
            let case = Case::new(name, flops * len, values * len, move || {
                let mut maps = Maps::new(&shape);
                move || call(&mut maps).expect("the lengths fit")
            });
            cases.push(case.in_place(in_place * len));
        }
    }
    cases
}
