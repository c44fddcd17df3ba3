//! From values in single precision to samples of 8 bits, in steps that wide registers have.
//!
//! A cast of the language saturates, which compilers do one value at a time.

/// In numbers of this size the lowest bit is worth 1, so that adding it rounds.
const ROUND: f32 = 8_388_608.0;

/// The whole number nearest to a value of 0 to 255; of two that are as near the even one.
#[inline(always)]
pub(crate) fn rounded(value: f32) -> u32 {
    (value + ROUND).to_bits() & 0xff
}

/// The sample of any value: bounded, and fractions cut off.
#[inline(always)]
pub(crate) fn cut(value: f32) -> u8 {
    let value = value.clamp(0.0, 255.0);
    let near = value + ROUND;
    // What was rounded up is one too many.
    let above = u32::from(near - ROUND > value);
    (near.to_bits().wrapping_sub(above) & 0xff) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_cut_off_and_bounds_kept() {
        for quarter in -8..4 * 258 {
            let value = quarter as f32 / 4.0;
            for value in [value.next_down(), value, value.next_up()] {
                assert_eq!(cut(value), value as u8, "{value}");
            }
        }
        for value in [
            f32::MIN,
            f32::MAX,
            f32::INFINITY,
            f32::NEG_INFINITY,
            -0.0,
            f32::NAN,
        ] {
            assert_eq!(cut(value), value as u8, "{value}");
        }
    }
}
