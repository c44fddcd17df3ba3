//! The exponential and what is made of it.

use crate::simd::Arithmetic;

/// `exp(-x)`, to a relative error of `3e-7 + 1.5e-8 |x|` (two or three units in the last place where it
/// matters), or `3e-7 + 8e-8 |x|` without fused multiplication. `x` is drawn to -87 or 87 if it lies outside.
///
/// `exp(-x) = 2^(r - n)` with `n` whole and `|r| <= 1/2`. The polynomial for `2^r` is the one of degree 5 with
/// the least relative error there, 1.5e-7 with its coefficients in single precision. It is evaluated in pairs
/// (Estrin), and there are few steps, because what limits a chain like this is its length: the processor
/// sees only a few of them at once.
#[inline(always)]
fn exp_negative<S: Arithmetic>(s: S, x: S::V) -> S::V {
    /// Added to a number below 2^22, leaves no bits for a fraction.
    const WHOLE: f32 = 12_582_912.0;
    let x = s.min(s.max(x, s.splat(-87.0)), s.splat(87.0));
    let shifted = s.fma(x, s.splat(std::f32::consts::LOG2_E), s.splat(WHOLE));
    let n = s.sub(shifted, s.splat(WHOLE));
    let r = s.fnma(x, s.splat(std::f32::consts::LOG2_E), n);
    let square = s.mul(r, r);
    let low = s.fma(r, s.splat(0.693_146_94), s.splat(1.000_000_1));
    let middle = s.fma(r, s.splat(0.055_507_135), s.splat(0.240_221_2));
    let high = s.fma(r, s.splat(0.001_327_646_1), s.splat(0.009_675_553));
    let power = s.fma(s.fma(high, square, middle), square, low);
    s.scale_down(power, shifted)
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
fn sigmoid<S: Arithmetic>(s: S, x: S::V) -> S::V {
    s.reciprocal(s.add(exp_negative(s, x), s.splat(1.0)))
}

/// SiLU, `x sigmoid(x)`.
#[inline(always)]
pub(crate) fn silu<S: Arithmetic>(s: S, x: S::V) -> S::V {
    s.mul(x, sigmoid(s, x))
}

/// SiLU and its derivative, `sigmoid(x) (1 + x (1 - sigmoid(x)))`.
#[inline(always)]
pub(crate) fn silu_and_slope<S: Arithmetic>(s: S, x: S::V) -> (S::V, S::V) {
    let gate = sigmoid(s, x);
    let value = s.mul(x, gate);
    (value, s.fma(value, s.sub(s.splat(1.0), gate), gate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Kernel;
    use crate::simd::{LANES, Simd};
    use crate::{Isa, isa, with_isa};

    /// Which function to evaluate.
    #[derive(Clone, Copy)]
    enum Function {
        ExpNegative,
        Silu,
        Slope,
    }

    struct Evaluate<'a>(Function, &'a mut [f32]);

    impl Kernel for Evaluate<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for chunk in self.1.as_chunks_mut::<LANES>().0 {
                // SAFETY: the chunk holds 16 floats.
                let x = unsafe { s.load(chunk.as_ptr()) };
                let y = match self.0 {
                    Function::ExpNegative => exp_negative(s, x),
                    Function::Silu => silu(s, x),
                    Function::Slope => silu_and_slope(s, x).1,
                };
                // SAFETY: the chunk holds 16 floats.
                unsafe { s.store(chunk.as_mut_ptr(), y) };
            }
        }
    }

    fn evaluate(function: Function, x: &[f32]) -> Vec<f32> {
        let mut y = x.to_vec();
        isa::current().run(Evaluate(function, &mut y));
        y
    }

    fn grid(from: f32, to: f32) -> Vec<f32> {
        (0..16_000)
            .map(|i| from + (to - from) * i as f32 / 15_999.0)
            .collect()
    }

    #[test]
    fn the_exponential_is_exact_to_a_few_units_in_the_last_place() {
        for isa in Isa::available() {
            let x = grid(-86.9, 86.9);
            let values = with_isa(isa, || evaluate(Function::ExpNegative, &x));
            for (x, y) in x.iter().zip(values) {
                let exact = (-f64::from(*x)).exp();
                let error = (f64::from(y) - exact).abs() / exact;
                let per_unit = if isa == Isa::Scalar { 8e-8 } else { 1.5e-8 };
                let bound = 3e-7 + per_unit * f64::from(x.abs());
                assert!(
                    error <= bound,
                    "{isa:?}: exp(-{x}) = {y}, not {exact}: {error}"
                );
            }
        }
    }

    #[test]
    fn silu_and_its_slope_are_exact_to_a_few_units() {
        for isa in Isa::available() {
            let x = grid(-40.0, 40.0);
            let values = with_isa(isa, || evaluate(Function::Silu, &x));
            let slopes = with_isa(isa, || evaluate(Function::Slope, &x));
            for ((x, value), slope) in x.iter().zip(values).zip(slopes) {
                let x = f64::from(*x);
                let gate = 1.0 / (1.0 + (-x).exp());
                let exact = x * gate;
                assert!(
                    (f64::from(value) - exact).abs() <= (4e-7 + 6e-8 * x.abs()) * exact.abs(),
                    "{isa:?}: silu({x}) = {value}"
                );
                let exact = gate * (1.0 + x * (1.0 - gate));
                assert!(
                    (f64::from(slope) - exact).abs() <= 1e-6,
                    "{isa:?}: slope({x}) = {slope}, not {exact}"
                );
            }
        }
    }

    #[test]
    fn the_ends_of_the_range_stay_finite_and_nan_stays_nan() {
        let x = [
            -1e30,
            -200.0,
            -89.0,
            89.0,
            200.0,
            1e30,
            f32::NAN,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
        ];
        for isa in Isa::available() {
            let y = with_isa(isa, || evaluate(Function::Silu, &x));
            assert!(y[1..3].iter().all(|v| v.abs() < 1e-30), "{isa:?}: {y:?}");
            assert_eq!(y[3..6], [89.0, 200.0, 1e30]);
            assert!(y[6].is_nan(), "{isa:?}");
            assert!(
                with_isa(isa, || evaluate(Function::Slope, &x))[6].is_nan(),
                "{isa:?}"
            );
        }
    }
}
