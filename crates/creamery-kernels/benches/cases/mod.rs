//! What the benches and the example `roofline` measure: every kernel at the shapes of `cream-224`, and its work.
//!
//! FLOPs are multiplications and additions. Of convolutions and dense layers those count that meet a pixel of the
//! image, two for each multiplication with its addition; a backward pass has those of both gradients. Of norms,
//! activations and sums within an operator none count, nor does what is computed twice. Bytes are the traffic that
//! nobody could avoid: every value that is given is read once, every one that is returned or kept is written once,
//! four bytes each; what is only on its way counts nothing. The formulas stand at the cases.

#![allow(dead_code, reason = "each of them uses some of these")]

pub mod kernels;
pub mod operators;

use std::fmt;
use std::ops::{Deref, DerefMut};

use creamery_kernels::block::BlockShape;

/// Images of a batch, and pixels a side of each.
#[derive(Clone, Copy)]
pub struct Setting {
    pub images: usize,
    pub size: usize,
}

/// A batch of small images, and one of the paper's.
pub const SETTINGS: [Setting; 2] = [
    Setting {
        images: 64,
        size: 32,
    },
    Setting {
        images: 8,
        size: 224,
    },
];

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} images of {} px", self.images, self.size)
    }
}

/// Cases of one kernel.
pub struct Family {
    pub title: &'static str,
    pub threads: Threads,
    /// Whether the cases follow one another through a network, so that their sums mean something.
    pub path: bool,
    pub cases: Vec<Case>,
}

/// The threads that a call runs on.
#[derive(Clone, Copy, PartialEq)]
pub enum Threads {
    /// The calling one.
    One,
    /// Those of the pool.
    All,
}

/// A call to be measured.
pub struct Case {
    pub name: String,
    pub flops: f64,
    /// Bytes that it reads and writes.
    pub bytes: f64,
    /// Bytes of memory that it reads or writes: less than the above where it works in place.
    pub held: f64,
    /// Makes the buffers and gives what does the call.
    pub prepare: Box<dyn Fn() -> Run + Sync>,
}

/// Does the call once.
pub type Run = Box<dyn FnMut() + Send>;

impl Case {
    /// A case that moves so many values.
    fn new<F: FnMut() + Send + 'static>(
        name: String,
        flops: usize,
        values: usize,
        prepare: impl Fn() -> F + Sync + 'static,
    ) -> Self {
        let bytes = (size_of::<f32>() * values) as f64;
        Self {
            name,
            flops: flops as f64,
            bytes,
            held: bytes,
            prepare: Box::new(move || Box::new(prepare())),
        }
    }

    /// The same, of which so many values are read and written in one place.
    fn in_place(mut self, values: usize) -> Self {
        self.held -= (size_of::<f32>() * values) as f64;
        self
    }
}

/// Starts a pool of `threads` threads, or one for each core, of which the caller is one: operators that are called from
/// outside of it would wake it anew each time.
pub fn start_threads(threads: Option<usize>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0));
    pool.use_current_thread()
        .build_global()
        .expect("no pool has been started before");
}

/// Adds a case unless there is one of its name.
fn add(cases: &mut Vec<Case>, case: Case) {
    if cases.iter().all(|other| other.name != case.name) {
        cases.push(case);
    }
}

/// Values, aligned as the operators' own buffers are.
pub struct Floats {
    memory: Vec<f32>,
    first: usize,
    len: usize,
}

impl Floats {
    pub fn of(value: f32, len: usize) -> Self {
        let memory = vec![value; len + 16];
        let first = memory.as_ptr().align_offset(64).min(16);
        Self { memory, first, len }
    }

    /// Between -0.5 and 0.5.
    pub fn mixed(len: usize) -> Self {
        let mut values = Self::of(0.0, len);
        for (i, value) in values.iter_mut().enumerate() {
            let bits = (i as u32).wrapping_mul(0x9e37_79b1) >> 16;
            *value = bits as f32 / 65536.0 - 0.5;
        }
        values
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.first..self.first + self.len]
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.first..self.first + self.len]
    }
}

/// Channels of the path's parts.
pub const STEM: usize = 16;
pub const LAST: usize = 320;
pub const HEAD: usize = 1280;

/// Channels and stride of each stage.
const STAGES: [(usize, usize); 5] = [(24, 2), (40, 2), (80, 2), (96, 1), (192, 2)];

/// A path's blocks: the depthwise-separable one, which has no expansion, and two of each stage, of which the first
/// changes the channels. Their operations go through all six.
pub fn blocks(setting: Setting) -> Vec<BlockShape> {
    let side = setting.size.div_ceil(2);
    let mut blocks = vec![BlockShape {
        images: setting.images,
        height: side,
        width: side,
        in_channels: STEM,
        mid_channels: STEM,
        out_channels: STEM,
        kernel: 3,
        stride: 1,
        squeeze: 8,
    }];
    for (stage, (channels, stride)) in STAGES.into_iter().enumerate() {
        for index in 0..2 {
            let before = blocks[blocks.len() - 1];
            let operation = (stage + index) % 6;
            let mid = before.out_channels * [4, 6][operation % 2];
            blocks.push(BlockShape {
                height: before.out_height(),
                width: before.out_width(),
                in_channels: before.out_channels,
                mid_channels: mid,
                out_channels: channels,
                kernel: [3, 5, 7][operation / 2],
                stride: if index == 0 { stride } else { 1 },
                squeeze: (mid / 4).next_multiple_of(8),
                ..before
            });
        }
    }
    blocks
}

/// Whether the block has an expansion.
pub fn expands(shape: &BlockShape) -> bool {
    shape.mid_channels != shape.in_channels
}

/// Pairs of an output pixel and a tap of its square kernel that meet a pixel of the image, in one channel.
pub fn taps(height: usize, width: usize, kernel: usize, stride: usize) -> usize {
    let along = |side: usize| -> usize {
        let first = (0..side).step_by(stride);
        let met =
            first.map(|at| (side + kernel / 2 - at).min(kernel) - (kernel / 2).saturating_sub(at));
        met.sum()
    };
    along(height) * along(width)
}
