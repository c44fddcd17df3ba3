//! The operators again, in double precision and obvious loops: what the kernels are held against.

#![allow(dead_code, reason = "each test binary uses some of these")]

use creamery_kernels::block::{BlockGrads, BlockShape, BlockStats, BlockWeights};
use creamery_kernels::{ChannelStats, EPSILON, NormWeights};
use rand::{Rng, RngExt};

/// A feature map, NHWC.
#[derive(Clone)]
pub struct Map {
    pub n: usize,
    pub h: usize,
    pub w: usize,
    pub c: usize,
    pub data: Vec<f64>,
}

impl Map {
    pub fn zeros(n: usize, h: usize, w: usize, c: usize) -> Self {
        Self {
            n,
            h,
            w,
            c,
            data: vec![0.0; n * h * w * c],
        }
    }

    pub fn new(n: usize, h: usize, w: usize, c: usize, data: &[f32]) -> Self {
        Self {
            n,
            h,
            w,
            c,
            data: wide(data),
        }
    }

    fn at(&self, n: usize, h: usize, w: usize, c: usize) -> usize {
        ((n * self.h + h) * self.w + w) * self.c + c
    }

    fn like(&self, data: Vec<f64>) -> Self {
        Self { data, ..*self }
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        self.like(self.data.iter().map(|v| f(*v)).collect())
    }

    fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        self.like(
            self.data
                .iter()
                .zip(&other.data)
                .map(|(a, b)| f(*a, *b))
                .collect(),
        )
    }
}

/// An image as the layers of `inference` have it, `[channels / 16][pixels][16]`, of one in NHWC.
pub fn blocked(image: &[f32], channels: usize) -> Vec<f32> {
    let pixels = image.len() / channels;
    let mut blocked = vec![0.0; channels.next_multiple_of(16) * pixels];
    for (i, value) in image.iter().enumerate() {
        let (pixel, channel) = (i / channels, i % channels);
        blocked[(channel / 16 * pixels + pixel) * 16 + channel % 16] = *value;
    }
    blocked
}

/// The way back; what fills up the channels must be 0.
pub fn unblocked(blocked: &[f32], channels: usize) -> Vec<f32> {
    let pixels = blocked.len() / channels.next_multiple_of(16);
    let mut image = vec![0.0; pixels * channels];
    for (i, value) in blocked.iter().enumerate() {
        let (pixel, channel) = (i / 16 % pixels, i / 16 / pixels * 16 + i % 16);
        match image.get_mut(pixel * channels + channel) {
            Some(place) if channel < channels => *place = *value,
            _ => assert_eq!(*value, 0.0, "channel {channel} does not exist"),
        }
    }
    image
}

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// Every place where an input meets a tap: (output, input, weight) indices of a grouped convolution.
fn meetings(
    x: &Map,
    y: &Map,
    k: usize,
    stride: usize,
    groups: usize,
    mut f: impl FnMut(usize, usize, usize),
) {
    let (per_in, per_out) = (x.c / groups, y.c / groups);
    for n in 0..y.n {
        for oy in 0..y.h {
            for ox in 0..y.w {
                for oc in 0..y.c {
                    for ky in 0..k {
                        for kx in 0..k {
                            let (iy, ix) = (
                                (oy * stride + ky).wrapping_sub(k / 2),
                                (ox * stride + kx).wrapping_sub(k / 2),
                            );
                            if iy >= x.h || ix >= x.w {
                                continue;
                            }
                            for ic in 0..per_in {
                                let channel = oc / per_out * per_in + ic;
                                f(
                                    y.at(n, oy, ox, oc),
                                    x.at(n, iy, ix, channel),
                                    ((oc * per_in + ic) * k + ky) * k + kx,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

pub fn conv(x: &Map, weight: &[f64], out: usize, k: usize, stride: usize, groups: usize) -> Map {
    let mut y = Map::zeros(x.n, x.h.div_ceil(stride), x.w.div_ceil(stride), out);
    let shape = y.clone();
    meetings(x, &shape, k, stride, groups, |o, i, w| {
        y.data[o] += x.data[i] * weight[w]
    });
    y
}

/// Gradients of input and weight.
pub fn conv_back(
    x: &Map,
    weight: &[f64],
    dy: &Map,
    k: usize,
    stride: usize,
    groups: usize,
) -> (Map, Vec<f64>) {
    let (mut dx, mut dw) = (Map::zeros(x.n, x.h, x.w, x.c), vec![0.0; weight.len()]);
    meetings(x, dy, k, stride, groups, |o, i, w| {
        dx.data[i] += dy.data[o] * weight[w];
        dw[w] += dy.data[o] * x.data[i];
    });
    (dx, dw)
}

/// A batch norm's input, normalised, and what it took.
pub struct Normed {
    pub y: Map,
    normal: Map,
    root: Vec<f64>,
    pub mean: Vec<f64>,
    pub var: Vec<f64>,
}

pub fn norm(x: &Map, weights: &NormWeights<'_>) -> Normed {
    let count = (x.data.len() / x.c) as f64;
    let mut mean = vec![0.0; x.c];
    let mut var = vec![0.0; x.c];
    for (i, v) in x.data.iter().enumerate() {
        mean[i % x.c] += v / count;
    }
    for (i, v) in x.data.iter().enumerate() {
        var[i % x.c] += (v - mean[i % x.c]).powi(2) / count;
    }
    normed(x, weights, mean, var)
}

pub fn normed(x: &Map, weights: &NormWeights<'_>, mean: Vec<f64>, var: Vec<f64>) -> Normed {
    let root: Vec<f64> = var
        .iter()
        .map(|v| 1.0 / (v + f64::from(EPSILON)).sqrt())
        .collect();
    let normal = x.like(
        x.data
            .iter()
            .enumerate()
            .map(|(i, v)| (v - mean[i % x.c]) * root[i % x.c])
            .collect(),
    );
    let affine = |(i, v): (usize, &f64)| {
        v * f64::from(weights.gamma[i % x.c]) + f64::from(weights.beta[i % x.c])
    };
    let y = x.like(normal.data.iter().enumerate().map(affine).collect());
    Normed {
        y,
        normal,
        root,
        mean,
        var,
    }
}

/// Gradients of input, gamma and beta.
pub fn norm_back(
    normed: &Normed,
    weights: &NormWeights<'_>,
    dy: &Map,
) -> (Map, Vec<f64>, Vec<f64>) {
    let c = dy.c;
    let count = (dy.data.len() / c) as f64;
    let (mut gamma, mut beta) = (vec![0.0; c], vec![0.0; c]);
    for (i, d) in dy.data.iter().enumerate() {
        beta[i % c] += d;
        gamma[i % c] += d * normed.normal.data[i];
    }
    let dx = |(i, d): (usize, &f64)| {
        let centred = d - beta[i % c] / count - normed.normal.data[i] * gamma[i % c] / count;
        f64::from(weights.gamma[i % c]) * normed.root[i % c] * centred
    };
    (
        dy.like(dy.data.iter().enumerate().map(dx).collect()),
        gamma,
        beta,
    )
}

pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

pub fn silu_slope(x: f64) -> f64 {
    sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)))
}

fn hard_sigmoid(x: f64) -> f64 {
    (x + 3.0).clamp(0.0, 6.0) / 6.0
}

/// Mean over the pixels of each image.
pub fn pool(x: &Map) -> Map {
    let mut y = Map::zeros(x.n, 1, 1, x.c);
    let pixels = x.h * x.w;
    for (i, v) in x.data.iter().enumerate() {
        y.data[i / (pixels * x.c) * x.c + i % x.c] += v / pixels as f64;
    }
    y
}

/// What `per_image`, a map of one pixel, is at each value of `x`.
fn spread(x: &Map, per_image: &Map) -> Map {
    let image = x.h * x.w * x.c;
    x.like(
        (0..x.data.len())
            .map(|i| per_image.data[i / image * x.c + i % x.c])
            .collect(),
    )
}

fn add_bias(x: &Map, bias: &[f32]) -> Map {
    x.like(
        x.data
            .iter()
            .enumerate()
            .map(|(i, v)| v + f64::from(bias[i % x.c]))
            .collect(),
    )
}

fn sum_channels(x: &Map) -> Vec<f64> {
    let mut sums = vec![0.0; x.c];
    for (i, v) in x.data.iter().enumerate() {
        sums[i % x.c] += v;
    }
    sums
}

/// A block's forward pass, every step kept.
pub struct Block {
    x: Map,
    expanded: Option<Normed>,
    inner: Map,
    convolved: Normed,
    activated: Map,
    pooled: Map,
    reduced: Map,
    gate_in: Map,
    gated: Map,
    projected: Normed,
    pub y: Map,
}

/// In training, or by running statistics if there are any.
pub fn block(
    shape: &BlockShape,
    w: &BlockWeights<'_>,
    x: &[f32],
    running: Option<&BlockStats>,
) -> Block {
    let x = Map::new(
        shape.images,
        shape.height,
        shape.width,
        shape.in_channels,
        x,
    );
    let mid = shape.mid_channels;
    let apply = |x: &Map, weights: &NormWeights<'_>, stats: Option<&ChannelStats>| match stats {
        Some(stats) => normed(x, weights, wide(&stats.mean), wide(&stats.var)),
        None => norm(x, weights),
    };
    let expanded = w.expand.as_ref().map(|expand| {
        let raw = conv(&x, &wide(expand.weight), mid, 1, 1, 1);
        apply(
            &raw,
            &expand.norm,
            running.and_then(|stats| stats.expand.as_ref()),
        )
    });
    let inner = expanded
        .as_ref()
        .map_or_else(|| x.clone(), |e| e.y.map(silu));
    let raw = conv(
        &inner,
        &wide(w.depthwise),
        mid,
        shape.kernel,
        shape.stride,
        mid,
    );
    let convolved = apply(
        &raw,
        &w.depthwise_norm,
        running.map(|stats| &stats.depthwise),
    );
    let activated = convolved.y.map(silu);
    let pooled = pool(&activated);
    let (mut reduced, mut gate_in, mut gated) = (pooled.clone(), pooled.clone(), activated.clone());
    if let Some(se) = &w.squeeze {
        reduced = add_bias(
            &conv(&pooled, &wide(se.reduce), shape.squeeze, 1, 1, 1),
            se.reduce_bias,
        )
        .map(|v| v.max(0.0));
        gate_in = add_bias(
            &conv(&reduced, &wide(se.expand), mid, 1, 1, 1),
            se.expand_bias,
        );
        gated = activated.zip(&spread(&activated, &gate_in.map(hard_sigmoid)), |a, g| {
            a * g
        });
    }
    let raw = conv(&gated, &wide(w.project), shape.out_channels, 1, 1, 1);
    let projected = apply(&raw, &w.project_norm, running.map(|stats| &stats.project));
    let y = if shape.residual() {
        projected.y.zip(&x, |a, b| a + b)
    } else {
        projected.y.clone()
    };
    Block {
        x,
        expanded,
        inner,
        convolved,
        activated,
        pooled,
        reduced,
        gate_in,
        gated,
        projected,
        y,
    }
}

/// A gradient or another result, by name.
pub type Named = (&'static str, Vec<f64>);

/// All gradients of a block.
pub fn block_back(shape: &BlockShape, w: &BlockWeights<'_>, b: &Block, dy: &[f32]) -> Vec<Named> {
    let mut out = Vec::new();
    let dy = b.y.like(wide(dy));
    let (dp, gamma, beta) = norm_back(&b.projected, &w.project_norm, &dy);
    out.extend([("project gamma", gamma), ("project beta", beta)]);
    let (ds, dw) = conv_back(&b.gated, &wide(w.project), &dp, 1, 1, 1);
    out.push(("project", dw));
    let mut da = ds.clone();
    if let Some(se) = &w.squeeze {
        da = ds.zip(&spread(&ds, &b.gate_in.map(hard_sigmoid)), |d, g| d * g);
        let mut dgate = b.gate_in.map(|_| 0.0);
        let image = ds.h * ds.w * ds.c;
        for (i, d) in ds.data.iter().enumerate() {
            dgate.data[i / image * ds.c + i % ds.c] += d * b.activated.data[i];
        }
        let dv = dgate.zip(
            &b.gate_in,
            |d, v| if v > -3.0 && v < 3.0 { d / 6.0 } else { 0.0 },
        );
        out.push(("squeeze expand bias", sum_channels(&dv)));
        let (dr, dw) = conv_back(&b.reduced, &wide(se.expand), &dv, 1, 1, 1);
        out.push(("squeeze expand", dw));
        let dr = dr.zip(&b.reduced, |d, r| if r > 0.0 { d } else { 0.0 });
        out.push(("squeeze reduce bias", sum_channels(&dr)));
        let (dpool, dw) = conv_back(&b.pooled, &wide(se.reduce), &dr, 1, 1, 1);
        out.push(("squeeze reduce", dw));
        let pixels = (da.h * da.w) as f64;
        da = da.zip(&spread(&da, &dpool), |d, p| d + p / pixels);
    }
    let dz = da.zip(&b.convolved.y, |d, z| d * silu_slope(z));
    let (dd, gamma, beta) = norm_back(&b.convolved, &w.depthwise_norm, &dz);
    out.extend([("depthwise gamma", gamma), ("depthwise beta", beta)]);
    let (mut dx, dw) = conv_back(
        &b.inner,
        &wide(w.depthwise),
        &dd,
        shape.kernel,
        shape.stride,
        shape.mid_channels,
    );
    out.push(("depthwise", dw));
    if let (Some(expand), Some(e)) = (&w.expand, &b.expanded) {
        let dz = dx.zip(&e.y, |d, z| d * silu_slope(z));
        let (de, gamma, beta) = norm_back(e, &expand.norm, &dz);
        let (through, dw) = conv_back(&b.x, &wide(expand.weight), &de, 1, 1, 1);
        out.extend([
            ("expand gamma", gamma),
            ("expand beta", beta),
            ("expand", dw),
        ]);
        dx = through;
    }
    if shape.residual() {
        dx = dx.zip(&dy, |a, b| a + b);
    }
    out.push(("x", dx.data));
    out
}

/// The kernels' gradients, under the same names.
pub fn named(grads: &BlockGrads) -> Vec<(&'static str, &[f32])> {
    let mut out: Vec<(&'static str, &[f32])> = vec![
        ("project gamma", &grads.project_norm.gamma),
        ("project beta", &grads.project_norm.beta),
        ("project", &grads.project),
    ];
    if let Some(se) = &grads.squeeze {
        out.extend([
            ("squeeze expand bias", &se.expand_bias[..]),
            ("squeeze expand", &se.expand),
            ("squeeze reduce bias", &se.reduce_bias),
            ("squeeze reduce", &se.reduce),
        ]);
    }
    out.extend([
        ("depthwise gamma", &grads.depthwise_norm.gamma[..]),
        ("depthwise beta", &grads.depthwise_norm.beta),
        ("depthwise", &grads.depthwise),
    ]);
    if let Some(e) = &grads.expand {
        out.extend([
            ("expand gamma", &e.norm.gamma[..]),
            ("expand beta", &e.norm.beta),
            ("expand", &e.weight),
        ]);
    }
    out.extend(grads.x.as_ref().map(|x| ("x", &x[..])));
    out
}

/// The statistics that a forward pass of the twin found.
pub fn stats(b: &Block) -> Vec<Named> {
    let of = |n: &Normed| [("mean", n.mean.clone()), ("var", n.var.clone())];
    b.expanded
        .iter()
        .chain([&b.convolved, &b.projected])
        .flat_map(of)
        .collect()
}

/// Uniform in [-1, 1).
pub fn uniform(rng: &mut impl Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Panics unless both agree to `tolerance` of the largest value (or of one tenth, if all are smaller).
#[track_caller]
pub fn close(what: &str, found: &[f32], exact: &[f64], tolerance: f64) {
    assert_eq!(found.len(), exact.len(), "{what}");
    let scale = exact.iter().fold(0.1, |m: f64, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(exact).enumerate() {
        let error = (f64::from(*f) - e).abs();
        assert!(
            error <= tolerance * scale,
            "{what}[{i}] = {f}, not {e} (scale {scale})"
        );
    }
}
