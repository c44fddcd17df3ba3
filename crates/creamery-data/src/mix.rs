//! Mixup and cutmix: training on pairs of images.

use std::ops::Range;

use rand::{Rng, RngExt};
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use crate::loader::Batch;

/// How the images of a batch are mixed in pairs, the first with the last, the second with the last but one; by
/// default not at all.
///
/// As timm has it, one share is drawn for a whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// Parameter of the Beta distribution of mixup's shares (Zhang et al. 2018); 0 for no mixup.
    pub mixup: f64,
    /// The same of cutmix (Yun et al. 2019).
    pub cutmix: f64,
    /// Share of the batches that are mixed.
    pub probability: f64,
    /// Where both are on, the share of the mixed batches that cutmix mixes.
    pub switch: f64,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            mixup: 0.0,
            cutmix: 0.0,
            probability: 1.0,
            switch: 0.5,
        }
    }
}

/// What a batch was mixed of.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixed {
    /// For each image the class of the one that it was mixed with.
    pub partners: Vec<usize>,
    /// The share of each image that is still its own, in [0, 1]: the weight of its own class.
    pub share: f64,
}

impl Mix {
    /// What is wrong with a setting, if anything is: the setting, its value and what it must be.
    pub fn wrong(&self) -> Option<(&'static str, f64, &'static str)> {
        let alpha = |value: f64| value >= 0.0 && value.is_finite();
        let share = |value: f64| (0.0..=1.0).contains(&value);
        [
            ("mixup", self.mixup, alpha(self.mixup), "0 (off) or more"),
            ("cutmix", self.cutmix, alpha(self.cutmix), "0 (off) or more"),
            (
                "probability",
                self.probability,
                share(self.probability),
                "in [0, 1]",
            ),
            ("switch", self.switch, share(self.switch), "in [0, 1]"),
        ]
        .into_iter()
        .find_map(|(key, value, holds, range)| (!holds).then_some((key, value, range)))
    }

    /// Whether any batch may be mixed.
    pub fn is_on(&self) -> bool {
        self.mixup > 0.0 || self.cutmix > 0.0
    }

    /// Mixes a batch; `None` if it is left as it is.
    pub fn apply(&self, batch: &mut Batch, rng: &mut impl Rng) -> Option<Mixed> {
        let cuts = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (false, false) => return None,
            (true, true) => rng.random_bool(self.switch),
            (_, cuts) => cuts,
        };
        if !rng.random_bool(self.probability) {
            return None;
        }
        let alpha = if cuts { self.cutmix } else { self.mixup };
        let share = Beta::new(alpha, alpha).map_or(1.0, |beta| beta.sample(rng));
        let share = if cuts {
            let (rows, columns) = rectangle(batch.size, share, rng);
            swap(batch, rows.clone(), columns.clone());
            let cut = rows.len() * columns.len();
            1.0 - cut as f64 / (batch.size * batch.size) as f64
        } else {
            blend(batch, share as f32);
            share
        };
        Some(Mixed {
            partners: batch.labels.iter().rev().copied().collect(),
            share,
        })
    }
}

/// The rectangle of `1 - share` of the image about a random pixel, as far as it lies within: rows and columns.
fn rectangle(size: usize, share: f64, rng: &mut impl Rng) -> (Range<usize>, Range<usize>) {
    let side = (size as f64 * (1.0 - share).sqrt()) as usize;
    let mut range = || {
        let middle = rng.random_range(0..size as u64) as usize;
        middle.saturating_sub(side / 2)..(middle + side / 2).min(size)
    };
    (range(), range())
}

/// Each image and its partner, first with last.
fn pairs(batch: &mut Batch) -> impl Iterator<Item = (&mut [f32], &mut [f32])> {
    let image = batch.images.len() / batch.n.max(1);
    let (front, back) = batch.images.split_at_mut(batch.n / 2 * image);
    // An odd batch has one in the middle, which would be mixed with itself.
    front
        .chunks_exact_mut(image.max(1))
        .zip(back.chunks_exact_mut(image.max(1)).rev())
}

fn blend(batch: &mut Batch, share: f32) {
    for (one, other) in pairs(batch) {
        for (a, b) in one.iter_mut().zip(other) {
            (*a, *b) = (
                share * *a + (1.0 - share) * *b,
                share * *b + (1.0 - share) * *a,
            );
        }
    }
}

fn swap(batch: &mut Batch, rows: Range<usize>, columns: Range<usize>) {
    let (size, channels) = (batch.size, batch.channels);
    for (one, other) in pairs(batch) {
        for row in rows.clone() {
            let part =
                (row * size + columns.start) * channels..(row * size + columns.end) * channels;
            one[part.clone()].swap_with_slice(&mut other[part]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch(n: usize, size: usize, channels: usize) -> Batch {
        Batch {
            images: (0..n * size * size * channels).map(|i| i as f32).collect(),
            labels: (0..n).map(|i| i % 3).collect(),
            n,
            size,
            channels,
            epoch: 0,
            index: 0,
        }
    }

    proptest! {
        /// Every sample is a blend, or one of the two; and the share says how much is the image's own.
        #[test]
        fn a_mixed_batch_is_made_of_its_pairs(
            n in 1usize..7, size in 1usize..9, channels in prop_oneof![Just(1usize), Just(3)],
            cutmix: bool, alpha in 0.1f64..2.0, seed: u64,
        ) {
            let before = batch(n, size, channels);
            let mut after = before.clone();
            let (mixup, cutmix) = if cutmix { (0.0, alpha) } else { (alpha, 0.0) };
            let mix = Mix { mixup, cutmix, ..Mix::default() };
            let mut rng = creamery_rng::stream(seed, "mix tests", 0);
            let Mixed { partners, share } = mix.apply(&mut after, &mut rng).unwrap();
            prop_assert!((0.0..=1.0).contains(&share));
            prop_assert_eq!(&after.labels, &before.labels);
            let image = size * size * channels;
            for (i, &label) in partners.iter().enumerate() {
                let partner = n - 1 - i;
                prop_assert_eq!(label, before.labels[partner]);
                let mut own = 0;
                for j in 0..image {
                    let (a, b) = (before.images[i * image + j], before.images[partner * image + j]);
                    let found = after.images[i * image + j];
                    if cutmix > 0.0 {
                        prop_assert!(found == a || found == b);
                        own += usize::from(found == a);
                    } else {
                        let wanted = share as f32 * a + (1.0 - share as f32) * b;
                        prop_assert!((found - wanted).abs() <= 1e-3 * wanted.abs().max(1.0));
                    }
                }
                if cutmix > 0.0 && partner != i {
                    prop_assert!((own as f64 / image as f64 - share).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn nothing_is_mixed_unless_it_is_asked_for() {
        let mut rng = creamery_rng::stream(0, "mix tests", 0);
        let mut left = batch(4, 5, 1);
        assert_eq!(Mix::default().apply(&mut left, &mut rng), None);
        let never = Mix {
            mixup: 1.0,
            probability: 0.0,
            ..Mix::default()
        };
        assert_eq!(never.apply(&mut left, &mut rng), None);
        assert_eq!(left, batch(4, 5, 1));
    }

    #[test]
    fn both_take_turns() {
        let both = Mix {
            mixup: 1.0,
            cutmix: 1.0,
            ..Mix::default()
        };
        let whole = |batch: &Batch| batch.images.iter().all(|sample| sample.fract() == 0.0);
        let cut = (0..200)
            .filter(|&step| {
                let mut mixed = batch(2, 8, 1);
                let mut rng = creamery_rng::stream(1, "mix tests", step);
                both.apply(&mut mixed, &mut rng).unwrap();
                whole(&mixed)
            })
            .count();
        assert!((60..140).contains(&cut), "{cut} of 200");
    }
}
