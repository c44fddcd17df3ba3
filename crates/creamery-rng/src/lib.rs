//! Random streams that depend on what they are for, not on who draws first.
//!
//! Every random decision of a run (which path a step draws, how an image is cropped, how a weight is
//! initialised) takes its numbers from a ChaCha stream that is keyed by `(seed, purpose, step)`. Two
//! consequences follow: results do not depend on the number of threads or on the order in which work
//! is done, and a resumed run needs no saved generator, only its step number.
//!
//! ```
//! use rand::RngExt;
//!
//! let a: u64 = creamery_rng::stream(7, "shuffle", 3).random();
//! let b: u64 = creamery_rng::stream(7, "shuffle", 3).random();
//! let c: u64 = creamery_rng::stream(7, "shuffle", 4).random();
//! assert_eq!(a, b);
//! assert_ne!(a, c);
//! ```

pub use rand_chacha::ChaCha8Rng;

use rand::SeedableRng;

/// The random stream of `purpose` at `step` in a run with `seed`.
///
/// `purpose` is any fixed text, unique to the decision it serves. `step` is whatever counts the
/// decision: a step, an epoch, an image. Streams of different keys are independent: the key is
/// hashed (BLAKE3) into the whole 256-bit state of the generator.
pub fn stream(seed: u64, purpose: &str, step: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&step.to_le_bytes());
    hasher.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn every_part_of_the_key_matters() {
        let draw = |seed, purpose, step| -> u64 { stream(seed, purpose, step).random() };
        let base = draw(1, "paths", 2);
        assert_eq!(base, draw(1, "paths", 2));
        assert_ne!(base, draw(2, "paths", 2));
        assert_ne!(base, draw(1, "crops", 2));
        assert_ne!(base, draw(1, "paths", 3));
    }

    /// A change of the derivation would silently change every published number.
    #[test]
    fn the_streams_do_not_change_between_versions() {
        let first: u64 = stream(0, "paths", 0).random();
        assert_eq!(first, 6_948_143_013_430_073_989);
    }
}
