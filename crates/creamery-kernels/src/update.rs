//! Updates of parameters and what surrounds them, on flat buffers: one pass over memory each.
//!
//! Work is cut by the lengths alone and sums are joined in a fixed order, so results are the same bits for
//! any number of threads.

use std::ops::Range;
use std::sync::OnceLock;

use crate::error::{KernelError, length};
use crate::isa::{self, Kernel};
use crate::shared::Shared;
use crate::simd::{LANES, Simd};
use crate::team::{for_each, together};

/// Values of a task: less is not worth another thread's attention.
const TASK: usize = 1 << 15;

/// Values that are summed in single precision before the sum goes on in double.
const SINGLE: usize = 1 << 10;

/// The constants of [`sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f32,
    /// Momentum.
    pub momentum: f32,
    /// Nesterov's look-ahead.
    pub nesterov: bool,
    /// L2 penalty, added to the gradient where parameters decay.
    pub weight_decay: f32,
    /// What the gradient is multiplied by first, such as a clipping factor.
    pub scale: f32,
}

/// The constants of [`rmsprop`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rmsprop {
    /// Learning rate.
    pub lr: f32,
    /// Momentum.
    pub momentum: f32,
    /// Decay of the squared average.
    pub alpha: f32,
    /// Added to the squared average inside the root.
    pub epsilon: f32,
    /// L2 penalty, added to the gradient where parameters decay.
    pub weight_decay: f32,
    /// What the gradient is multiplied by first, such as a clipping factor.
    pub scale: f32,
}

/// The constants of [`adamw`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adamw {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the average gradient.
    pub beta1: f32,
    /// Decay of the squared average.
    pub beta2: f32,
    /// Added to the root of the squared average.
    pub epsilon: f32,
    /// Share of a decaying parameter that goes with every update, times the learning rate.
    pub weight_decay: f32,
    /// What the gradient is multiplied by first, such as a clipping factor.
    pub scale: f32,
    /// Which update of these parameters it is, from 1: both averages start at 0 and are corrected for that.
    pub update: u64,
}

/// Stochastic gradient descent as PyTorch has it with dampening 0. With `g = scale grad + weight_decay value`:
/// `momentum = m momentum + g`, then `value -= lr (g + m momentum)` with Nesterov, `value -= lr momentum` without.
///
/// `decaying` are the ranges where the weight decay applies, ascending and apart.
///
/// ```
/// use creamery_kernels::update::{Sgd, sgd};
/// let settings = Sgd { lr: 0.5, momentum: 0.9, nesterov: false, weight_decay: 0.0, scale: 1.0 };
/// let (mut value, mut momentum) = ([1.0, 2.0], [0.0, 0.0]);
/// sgd(&settings, &mut value, &mut momentum, &[2.0, 4.0], &[])?;
/// assert_eq!(value, [0.0, 0.0]);
/// # Ok::<(), creamery_kernels::KernelError>(())
/// ```
///
/// # Errors
/// [`KernelError::Length`] if the slices differ in length or a range lies outside them.
pub fn sgd(
    settings: &Sgd,
    value: &mut [f32],
    momentum: &mut [f32],
    grad: &[f32],
    decaying: &[Range<usize>],
) -> Result<(), KernelError> {
    length("momentum", momentum.len(), value.len())?;
    length("gradient", grad.len(), value.len())?;
    let tasks = tasks(value.len(), decaying, settings.weight_decay)?;
    let (value, momentum) = (Shared::new(value), Shared::new(momentum));
    let isa = isa::current();
    each(&tasks, &|(part, weight_decay)| {
        // SAFETY: tasks do not overlap.
        let (value, momentum) =
            unsafe { (value.write(part.clone()), momentum.write(part.clone())) };
        isa.run(SgdPart {
            settings,
            weight_decay: *weight_decay,
            value,
            momentum,
            grad: &grad[part.clone()],
        });
    });
    Ok(())
}

/// RMSprop as TensorFlow has it. With `g = scale grad + weight_decay value`: `square += (1 - alpha)(g^2 - square)`,
/// `momentum = m momentum + lr g / sqrt(square + epsilon)`, `value -= momentum`.
///
/// `decaying` as for [`sgd`].
///
/// # Errors
/// [`KernelError::Length`] if the slices differ in length or a range lies outside them.
pub fn rmsprop(
    settings: &Rmsprop,
    value: &mut [f32],
    momentum: &mut [f32],
    square: &mut [f32],
    grad: &[f32],
    decaying: &[Range<usize>],
) -> Result<(), KernelError> {
    length("momentum", momentum.len(), value.len())?;
    length("squared average", square.len(), value.len())?;
    length("gradient", grad.len(), value.len())?;
    let tasks = tasks(value.len(), decaying, settings.weight_decay)?;
    let [value, momentum, square] = [value, momentum, square].map(Shared::new);
    let isa = isa::current();
    each(&tasks, &|(part, weight_decay)| {
        // SAFETY: tasks do not overlap.
        let [value, momentum, square] =
            [value, momentum, square].map(|shared| unsafe { shared.write(part.clone()) });
        isa.run(RmspropPart {
            settings,
            weight_decay: *weight_decay,
            value,
            momentum,
            square,
            grad: &grad[part.clone()],
        });
    });
    Ok(())
}

/// AdamW (Loshchilov and Hutter 2019) as PyTorch has it. With `g = scale grad`: `value -= lr weight_decay value`,
/// `average += (1 - beta1)(g - average)`, `square += (1 - beta2)(g^2 - square)`, then
/// `value -= lr (average / (1 - beta1^n)) / (sqrt(square / (1 - beta2^n)) + epsilon)` in update `n`.
///
/// `decaying` as for [`sgd`].
///
/// # Errors
/// [`KernelError::Length`] if the slices differ in length or a range lies outside them.
pub fn adamw(
    settings: &Adamw,
    value: &mut [f32],
    average: &mut [f32],
    square: &mut [f32],
    grad: &[f32],
    decaying: &[Range<usize>],
) -> Result<(), KernelError> {
    length("average", average.len(), value.len())?;
    length("squared average", square.len(), value.len())?;
    length("gradient", grad.len(), value.len())?;
    let tasks = tasks(value.len(), decaying, settings.weight_decay)?;
    let [value, average, square] = [value, average, square].map(Shared::new);
    let isa = isa::current();
    each(&tasks, &|(part, weight_decay)| {
        // SAFETY: tasks do not overlap.
        let [value, average, square] =
            [value, average, square].map(|shared| unsafe { shared.write(part.clone()) });
        isa.run(AdamwPart {
            settings,
            weight_decay: *weight_decay,
            value,
            average,
            square,
            grad: &grad[part.clone()],
        });
    });
    Ok(())
}

impl Adamw {
    /// The size of the step along the average, and what the root of the squared average is multiplied by: both
    /// corrected for averages that start at 0.
    pub fn corrected(&self) -> (f32, f32) {
        let rest = |beta: f32| 1.0 - f64::from(beta).powf(self.update as f64);
        let step = f64::from(self.lr) / rest(self.beta1);
        (step as f32, rest(self.beta2).sqrt().recip() as f32)
    }
}

/// `x = a x + b y`: a moving average, a step along a gradient.
///
/// ```
/// let mut x = [1.0, 2.0];
/// creamery_kernels::update::blend(0.5, &mut x, 2.0, &[1.0, 1.0])?;
/// assert_eq!(x, [2.5, 3.0]);
/// # Ok::<(), creamery_kernels::KernelError>(())
/// ```
///
/// # Errors
/// [`KernelError::Length`] if the slices differ in length.
pub fn blend(a: f32, x: &mut [f32], b: f32, y: &[f32]) -> Result<(), KernelError> {
    /// A task's part.
    struct Part<'a>(f32, &'a mut [f32], f32, &'a [f32]);
    impl Kernel for Part<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _simd: S) {
            let Self(a, x, b, y) = self;
            for (x, y) in x.iter_mut().zip(y) {
                *x = a * *x + b * y;
            }
        }
    }
    length("y", y.len(), x.len())?;
    let tasks = tasks(x.len(), &[], 0.0)?;
    let x = Shared::new(x);
    let isa = isa::current();
    each(&tasks, &|(part, _)| {
        // SAFETY: tasks do not overlap.
        let x = unsafe { x.write(part.clone()) };
        isa.run(Part(a, x, b, &y[part.clone()]));
    });
    Ok(())
}

/// The inner product. Sums of a thousand products are single precision, their sum is double.
///
/// ```
/// assert_eq!(creamery_kernels::update::dot(&[1.0, 2.0], &[3.0, 4.0])?, 11.0);
/// # Ok::<(), creamery_kernels::KernelError>(())
/// ```
///
/// # Errors
/// [`KernelError::Length`] if the slices differ in length.
pub fn dot(x: &[f32], y: &[f32]) -> Result<f64, KernelError> {
    /// A task's part, and where its sum goes.
    struct Part<'a>(&'a [f32], &'a [f32], &'a mut f64);
    impl Kernel for Part<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _simd: S) {
            let Self(x, y, total) = self;
            for (x, y) in x.chunks(SINGLE).zip(y.chunks(SINGLE)) {
                let mut sums = [0.0f32; LANES];
                let (xs, x) = x.as_chunks::<LANES>();
                let (ys, y) = y.as_chunks::<LANES>();
                for (x, y) in xs.iter().zip(ys) {
                    for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
                        *sum += x * y;
                    }
                }
                for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
                    *sum += x * y;
                }
                *total += sums.iter().map(|sum| f64::from(*sum)).sum::<f64>();
            }
        }
    }
    length("y", y.len(), x.len())?;
    let tasks = tasks(x.len(), &[], 0.0)?;
    let tasks: Vec<_> = tasks
        .into_iter()
        .map(|(part, _)| (part, OnceLock::new()))
        .collect();
    let isa = isa::current();
    each(&tasks, &|(part, sum)| {
        let mut total = 0.0;
        isa.run(Part(&x[part.clone()], &y[part.clone()], &mut total));
        sum.get_or_init(|| total);
    });
    Ok(tasks.iter().filter_map(|(_, sum)| sum.get()).sum())
}

/// Does all tasks, on several threads if there are several tasks.
fn each<T: Sync>(tasks: &[T], work: &(dyn Fn(&T) + Sync)) {
    match tasks {
        [] => {}
        [task] => work(task),
        tasks => together(|| for_each(tasks.len(), &|task| work(&tasks[task]))),
    }
}

/// The parts of `len` values, each with its weight decay: `decay` in the ranges of `decaying`, 0 elsewhere.
fn tasks(
    len: usize,
    decaying: &[Range<usize>],
    decay: f32,
) -> Result<Vec<(Range<usize>, f32)>, KernelError> {
    let mut tasks = Vec::new();
    let mut cut = |range: Range<usize>, decay: f32| {
        for start in range.clone().step_by(TASK) {
            tasks.push((start..range.end.min(start + TASK), decay));
        }
    };
    let mut from = 0;
    for range in decaying {
        if range.start < from || range.end < range.start || range.end > len {
            return Err(KernelError::Length {
                what: "range of decaying parameters",
                found: range.end,
                expected: len,
            });
        }
        cut(from..range.start, 0.0);
        cut(range.clone(), decay);
        from = range.end;
    }
    cut(from..len, 0.0);
    Ok(tasks)
}

struct SgdPart<'a> {
    settings: &'a Sgd,
    weight_decay: f32,
    value: &'a mut [f32],
    momentum: &'a mut [f32],
    grad: &'a [f32],
}

impl Kernel for SgdPart<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Sgd {
            lr,
            momentum: m,
            nesterov,
            scale,
            ..
        } = *self.settings;
        // The change is lr (a g + b momentum), without a branch in the loop.
        let (a, b) = if nesterov { (1.0, m) } else { (0.0, 1.0) };
        let values = self.value.iter_mut().zip(self.momentum).zip(self.grad);
        for ((value, momentum), grad) in values {
            let g = scale * grad + self.weight_decay * *value;
            *momentum = m * *momentum + g;
            *value -= lr * (a * g + b * *momentum);
        }
    }
}

struct RmspropPart<'a> {
    settings: &'a Rmsprop,
    weight_decay: f32,
    value: &'a mut [f32],
    momentum: &'a mut [f32],
    square: &'a mut [f32],
    grad: &'a [f32],
}

impl Kernel for RmspropPart<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Rmsprop {
            lr,
            momentum: m,
            alpha,
            epsilon,
            scale,
            ..
        } = *self.settings;
        let values = self.value.iter_mut().zip(self.momentum).zip(self.square);
        for (((value, momentum), square), grad) in values.zip(self.grad) {
            let g = scale * grad + self.weight_decay * *value;
            *square += (1.0 - alpha) * (g * g - *square);
            *momentum = m * *momentum + lr * (g / (*square + epsilon).sqrt());
            *value -= *momentum;
        }
    }
}

struct AdamwPart<'a> {
    settings: &'a Adamw,
    weight_decay: f32,
    value: &'a mut [f32],
    average: &'a mut [f32],
    square: &'a mut [f32],
    grad: &'a [f32],
}

impl Kernel for AdamwPart<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Adamw {
            lr,
            beta1,
            beta2,
            epsilon,
            scale,
            ..
        } = *self.settings;
        let (step, root) = self.settings.corrected();
        let kept = 1.0 - lr * self.weight_decay;
        let values = self.value.iter_mut().zip(self.average).zip(self.square);
        for (((value, average), square), grad) in values.zip(self.grad) {
            let g = scale * grad;
            *average += (1.0 - beta1) * (g - *average);
            *square += (1.0 - beta2) * (g * g - *square);
            *value = kept * *value - step * (*average / (square.sqrt() * root + epsilon));
        }
    }
}
