//! The kernels that the fused operators are made of, one by one.
//!
//! They are public to be measured and to be used where no operator is fused, such as in a classifier. The
//! operators themselves call them on a blocked layout, a piece at a time, while it is in cache.

use crate::depthwise::{Forward, InputGrad, InputPlan, WeightGrad, Window};
use crate::error::{KernelError, length, positive};
use crate::isa::{self, Kernel};
use crate::math;
pub use crate::passes::{Channels, GateMaps, Passes};
use crate::product::{Left, Order, Product, Right, Target};
use crate::simd::{LANES, Simd};

/// `C = A B` for contiguous row-major matrices, on this thread: A is m x k, B is k x n, C is m x n.
///
/// Meant for the sizes of mobile networks: a panel of B, k x 48, should fit into the second level of cache.
///
/// ```
/// let mut c = [0.0; 4];
/// creamery_kernels::primitives::matrix_product([2, 2, 3], &[1., 2., 3., 4., 5., 6.], &[1., 0., 0., 1., 1., 1.], &mut c)?;
/// assert_eq!(c, [4.0, 5.0, 10.0, 11.0]);
/// # Ok::<(), creamery_kernels::KernelError>(())
/// ```
///
/// # Errors
/// [`KernelError::Length`] if a matrix is not of its size.
pub fn matrix_product(
    [m, n, k]: [usize; 3],
    a: &[f32],
    b: &[f32],
    c: &mut [f32],
) -> Result<(), KernelError> {
    length("a", a.len(), m * k)?;
    length("b", b.len(), k * n)?;
    length("c", c.len(), m * n)?;
    let whole = n.is_multiple_of(LANES);
    let a = Left {
        values: a.into(),
        order: Order::ByRows,
        row: k,
        block: LANES,
    };
    let b = Right {
        values: b.into(),
        row: n,
        block: LANES,
        whole,
    };
    let c = Target {
        at: c.as_mut_ptr(),
        row: n,
        block: LANES,
        whole,
    };
    // SAFETY: C holds m x n values, and is ours.
    isa::current().run(unsafe { Product::new([m, n, k], a, b, c) });
    Ok(())
}

/// `y = SiLU(x)`, value by value.
///
/// ```
/// let mut y = [0.0; 3];
/// creamery_kernels::primitives::silu(&[0.0, 100.0, -100.0], &mut y)?;
/// assert!(y[0] == 0.0 && y[1] == 100.0 && y[2].abs() < 1e-30);
/// # Ok::<(), creamery_kernels::KernelError>(())
/// ```
///
/// # Errors
/// [`KernelError::Length`] if the slices differ.
pub fn silu(x: &[f32], y: &mut [f32]) -> Result<(), KernelError> {
    /// The pass.
    struct Silu<'a>(&'a [f32], &'a mut [f32]);
    impl Kernel for Silu<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let (quads, rest) = self.0.as_chunks::<{ 4 * LANES }>();
            let (to, last) = self.1.as_chunks_mut::<{ 4 * LANES }>();
            for (x, y) in quads.iter().zip(to) {
                // SAFETY: both chunks hold four vectors.
                unsafe {
                    s.store_four(
                        y.as_mut_ptr(),
                        math::silu(s.four(), s.load_four(x.as_ptr())),
                    )
                };
            }
            for (x, y) in rest.chunks(LANES).zip(last.chunks_mut(LANES)) {
                // SAFETY: both chunks hold so many values.
                unsafe {
                    s.store_part(
                        y.as_mut_ptr(),
                        math::silu(s, s.load_part(x.as_ptr(), x.len())),
                        y.len(),
                    )
                };
            }
        }
    }
    length("y", y.len(), x.len())?;
    isa::current().run(Silu(x, y));
    Ok(())
}

/// A depthwise convolution of 16 channels, with padding `kernel / 2`, on this thread.
#[derive(Clone, Debug)]
pub struct Depthwise {
    window: Window,
    plan: InputPlan,
    images: usize,
}

impl Depthwise {
    /// The convolution of `images` images of `height` by `width` pixels.
    ///
    /// # Errors
    /// [`KernelError::Unsupported`] if the kernel is not 1, 3, 5 or 7, or the stride not 1 or 2, or a size is 0.
    pub fn new(
        images: usize,
        [height, width]: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> Result<Self, KernelError> {
        positive("images", images)?;
        positive("height", height)?;
        positive("width", width)?;
        let window = Window::new(height, width, kernel, stride)?;
        Ok(Self {
            plan: InputPlan::new(&window),
            window,
            images,
        })
    }

    /// Values of the padded input: rows of [`Depthwise::padded_width`] pixels of 16 channels, of which the
    /// first [`Depthwise::left`], and those after the image, are zeros.
    pub fn input_len(&self) -> usize {
        self.images * self.window.padded_len()
    }

    /// Pixels of a row of the padded input.
    pub fn padded_width(&self) -> usize {
        self.window.padded_width()
    }

    /// Zeros before a row of the padded input.
    pub fn left(&self) -> usize {
        self.window.left()
    }

    /// Values of the output: images x rows x columns x 16.
    pub fn output_len(&self) -> usize {
        self.images * self.window.out_height * self.window.out_width * LANES
    }

    /// Values of the padded gradient of the output: rows of [`Depthwise::padded_slope_width`] pixels of 16
    /// channels, of which the first [`Depthwise::slope_left`], and those after the image, are zeros.
    pub fn slope_len(&self) -> usize {
        self.images * self.window.out_height * self.plan.padded_width * LANES
    }

    /// Pixels of a row of the padded gradient of the output.
    pub fn padded_slope_width(&self) -> usize {
        self.plan.padded_width
    }

    /// Zeros before a row of the padded gradient of the output.
    pub fn slope_left(&self) -> usize {
        self.plan.left
    }

    /// Values of the taps: kernel x kernel x 16.
    pub fn taps_len(&self) -> usize {
        self.window.kernel * self.window.kernel * LANES
    }

    pub(crate) fn images(&self) -> usize {
        self.images
    }

    /// Rows and columns of the input.
    pub(crate) fn input_size(&self) -> [usize; 2] {
        [self.window.height, self.window.width]
    }

    /// Rows and columns of the output.
    pub(crate) fn output_size(&self) -> [usize; 2] {
        [self.window.out_height, self.window.out_width]
    }

    /// Multiplications (with their additions) of a pass.
    pub fn macs(&self) -> usize {
        self.output_len() * self.window.kernel * self.window.kernel
    }

    /// The output, by the padded input.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not of its size.
    pub fn forward(&self, input: &[f32], taps: &[f32], out: &mut [f32]) -> Result<(), KernelError> {
        length("input", input.len(), self.input_len())?;
        length("taps", taps.len(), self.taps_len())?;
        length("output", out.len(), self.output_len())?;
        isa::current().run(Forward {
            window: &self.window,
            held: 0..self.window.height,
            input,
            taps,
            rows: 0..self.window.out_height,
            out,
        });
        Ok(())
    }

    /// The gradient of the input (images x height x width x 16), by the padded one of the output.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not of its size.
    pub fn input_grad(
        &self,
        slope: &[f32],
        taps: &[f32],
        out: &mut [f32],
    ) -> Result<(), KernelError> {
        length("slope", slope.len(), self.slope_len())?;
        length("taps", taps.len(), self.taps_len())?;
        length(
            "output",
            out.len(),
            self.images * self.window.height * self.window.width * LANES,
        )?;
        let mut arranged = vec![0.0; self.plan.taps_len(&self.window)];
        self.plan.arrange(&self.window, taps, &mut arranged);
        isa::current().run(InputGrad {
            window: &self.window,
            plan: &self.plan,
            held: 0..self.window.out_height,
            slope,
            taps: &arranged,
            rows: 0..self.window.height,
            out,
        });
        Ok(())
    }

    /// Adds the gradient of the taps to `grads`, by the padded input and the padded gradient of the output.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not of its size.
    pub fn weight_grad(
        &self,
        input: &[f32],
        slope: &[f32],
        grads: &mut [f32],
    ) -> Result<(), KernelError> {
        length("input", input.len(), self.input_len())?;
        length("slope", slope.len(), self.slope_len())?;
        length("gradients", grads.len(), self.taps_len())?;
        isa::current().run(WeightGrad {
            window: &self.window,
            rows: 0..self.window.out_height,
            held: 0..self.window.height,
            input,
            zeros: &vec![0.0; self.window.padded_width() * LANES],
            slope,
            slope_held: 0..self.window.out_height,
            slope_left: self.plan.left,
            slope_width: self.plan.padded_width,
            grads,
            images: self.images,
        });
        Ok(())
    }
}
