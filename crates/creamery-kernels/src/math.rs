//! The exponential and what is made of it.

use crate::simd::Simd;

/// `exp(x)`, to two units in the last place for `x` from -87 to 88, which other values are drawn to.
///
/// `x = n ln 2 + r` with `n` whole and `|r| <= ln 2 / 2`; the polynomial for `exp(r)` is that of the
/// Cephes library (`expf`).
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.min(s.max(x, s.splat(-87.0)), s.splat(88.0));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    // ln 2 in two parts, of which the first has few bits, so that n times it is exact.
    let r = s.fnma(n, s.splat(0.693_359_4), x);
    let r = s.fnma(n, s.splat(-2.121_944_4e-4), r);
    let p = s.splat(1.987_569_1e-4);
    let p = s.fma(p, r, s.splat(1.398_199_9e-3));
    let p = s.fma(p, r, s.splat(8.333_452e-3));
    let p = s.fma(p, r, s.splat(4.166_579_6e-2));
    let p = s.fma(p, r, s.splat(1.666_666_5e-1));
    let p = s.fma(p, r, s.splat(0.5));
    let p = s.fma(p, s.mul(r, r), s.add(r, s.splat(1.0)));
    s.scale(p, n)
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let e = exp(s, s.sub(s.splat(0.0), x));
    s.reciprocal(s.add(e, s.splat(1.0)))
}

/// SiLU, `x sigmoid(x)`.
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::V) -> S::V {
    s.mul(x, sigmoid(s, x))
}

/// SiLU and its derivative, `sigmoid(x) (1 + x (1 - sigmoid(x)))`.
#[inline(always)]
pub(crate) fn silu_and_slope<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    let gate = sigmoid(s, x);
    let value = s.mul(x, gate);
    (value, s.fma(value, s.sub(s.splat(1.0), gate), gate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Kernel;
    use crate::simd::LANES;
    use crate::{Isa, isa, with_isa};

    /// Which function to evaluate.
    #[derive(Clone, Copy)]
    enum Function {
        Exp,
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
                    Function::Exp => exp(s, x),
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
    fn exp_is_within_two_units_in_the_last_place() {
        for isa in Isa::available() {
            let x = grid(-86.9, 87.9);
            for (x, y) in x.iter().zip(with_isa(isa, || evaluate(Function::Exp, &x))) {
                let exact = f64::from(*x).exp();
                let unit = f64::from(exact as f32) * f64::from(f32::EPSILON);
                assert!(
                    (f64::from(y) - exact).abs() <= 2.0 * unit,
                    "{isa:?}: exp({x}) = {y}, not {exact}"
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
                    (f64::from(value) - exact).abs() <= 4e-7 * exact.abs() + 1e-30,
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
