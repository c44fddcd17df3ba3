//! Random brightness, contrast and saturation.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::colour;
use crate::image::Image;

/// Multiplies brightness, contrast and saturation by factors from `1 - strength` to `1 + strength`, in random order.
pub(crate) fn jitter(image: &mut Image, strength: f64, rng: &mut impl Rng) {
    let mut operations: [fn(&mut Image, f64); 3] =
        [colour::brightness, colour::contrast, colour::color];
    operations.shuffle(rng);
    for operation in operations {
        let factor = rng.random_range((1.0 - strength).max(0.0)..=1.0 + strength);
        operation(image, factor);
    }
}
