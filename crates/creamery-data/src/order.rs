//! In which order an epoch takes the images of a split.
//!
//! An order is a list of positions, made anew for each epoch from the seed and the epoch's number. So any batch of any epoch
//! can be had without those before it, and a buffer that shuffles costs no memory for images: it is played once over numbers.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use crate::error::DataError;
use crate::split::Split;

/// How training draws images from a split.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sampling {
    /// In which order.
    pub shuffle: Shuffle,
    /// How far the sizes of classes are evened out, from 0 (each image once an epoch) to 1 (each class equally often).
    ///
    /// A class of `n` images is drawn in proportion to `n^(1 - balance)`; its images are drawn equally often, give or take one.
    /// An epoch has as many images as without.
    pub balance: f64,
}

/// How the images of an epoch are shuffled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shuffle {
    /// Every order is equally likely. Images are read from everywhere at once.
    #[default]
    Full,
    /// Shards are shuffled, and images within a window: reading is nearly sequential.
    Shards {
        /// Images in the window, at least 1: what a buffer of this size gives that is refilled in the shards' order.
        buffer: usize,
        /// Machines that each read a part of every batch, at least 1: the part of a rank among so many. It comes from shards of
        /// its own, but for one at each end that neighbours share.
        readers: usize,
    },
}

impl Sampling {
    /// Refuses values that no training can have.
    ///
    /// # Errors
    /// [`DataError::Pipeline`] that tells which value is wrong.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        let wrong = if !(0.0..=1.0).contains(&self.balance) {
            format!("a balance of {} is not within 0 to 1", self.balance)
        } else if let Shuffle::Shards { buffer: 0, .. } | Shuffle::Shards { readers: 0, .. } =
            self.shuffle
        {
            "shuffling needs a buffer of at least one image, and at least one reader".to_owned()
        } else {
            return Ok(());
        };
        Err(DataError::Pipeline(wrong))
    }
}

/// The images of an epoch in its order; whole batches of `batch`, and perhaps some more.
pub(crate) fn epoch(split: &Split, batch: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let Sampling { shuffle, balance } = split.sampling();
    let mut images = if balance > 0.0 {
        balanced(split, balance, seed, epoch)
    } else {
        (0..split.len() as u32).collect()
    };
    match shuffle {
        Shuffle::Full => {
            images.shuffle(&mut creamery_rng::stream(seed, "shuffle", epoch));
            images
        }
        Shuffle::Shards { buffer, readers } => {
            let laid = by_shards(split, &images, seed, epoch);
            let batches = laid.len() / batch;
            let mut order = vec![0; batches * batch];
            let mut rest = &laid[..];
            for reader in 0..readers {
                let places = places(reader, readers, batch);
                if places.is_empty() {
                    continue;
                }
                let own;
                (own, rest) = rest.split_at(places.len() * batches);
                let key = epoch
                    .wrapping_mul(readers as u64)
                    .wrapping_add(reader as u64);
                let mut rng = creamery_rng::stream(seed, "shuffle buffer", key);
                let own = through_buffer(own, buffer, &mut rng);
                for (batch, own) in order
                    .chunks_exact_mut(batch)
                    .zip(own.chunks_exact(places.len()))
                {
                    for (&place, &image) in places.iter().zip(own) {
                        batch[place] = image;
                    }
                }
            }
            order
        }
    }
}

/// The places in a batch of `batch` images that the `reader`th of `readers` fills: as many from the front of the batch as from
/// its back, as far from its ends, so that a batch whose first image is mixed with its last needs no other reader's. What readers do
/// not divide comes last, a place for each of the first of them.
fn places(reader: usize, readers: usize, batch: usize) -> Vec<usize> {
    let own = batch / readers;
    let (front, back) = (own / 2, own - own / 2);
    let last = own * readers - reader * back;
    let rest = own * readers + reader;
    (reader * front..(reader + 1) * front)
        .chain(last - back..last)
        .chain((rest < batch).then_some(rest))
        .collect()
}

/// As many images as the split has, in its order, some several times and others not at all, so that classes are evened out.
fn balanced(split: &Split, balance: f64, seed: u64, epoch: u64) -> Vec<u32> {
    let mut classes = vec![Vec::new(); split.classes()];
    for index in 0..split.len() {
        classes[split.label(index)].push(index as u32);
    }
    let weights: Vec<f64> = classes
        .iter()
        .map(|members| match members.len() {
            0 => 0.0,
            n => (n as f64).powf(1.0 - balance),
        })
        .collect();
    let quotas = shares(&weights, split.len());
    let mut images = Vec::with_capacity(split.len());
    for (class, (mut members, quota)) in classes.into_iter().zip(quotas).enumerate() {
        if members.is_empty() {
            continue;
        }
        for _ in 0..quota / members.len() {
            images.extend_from_slice(&members);
        }
        let key = epoch
            .wrapping_mul(split.classes() as u64)
            .wrapping_add(class as u64);
        let more = quota % members.len();
        let mut rng = creamery_rng::stream(seed, "balance", key);
        images.extend_from_slice(members.partial_shuffle(&mut rng, more).0);
    }
    images.sort_unstable();
    images
}

/// `total` parted in proportion to `weights`, by largest remainder.
fn shares(weights: &[f64], total: usize) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    let exact: Vec<f64> = weights
        .iter()
        .map(|weight| weight / sum * total as f64)
        .collect();
    let mut shares: Vec<usize> = exact.iter().map(|share| *share as usize).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).filter(|&i| weights[i] > 0.0).collect();
    by_remainder.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let missing = total.saturating_sub(shares.iter().sum());
    for &i in by_remainder.iter().cycle().take(missing) {
        shares[i] += 1;
    }
    shares
}

/// `images`, which rise, shard by shard in a random order.
fn by_shards(split: &Split, images: &[u32], seed: u64, epoch: u64) -> Vec<u32> {
    let mut shards: Vec<&[u32]> = images
        .chunk_by(|&a, &b| split.shard(a as usize) == split.shard(b as usize))
        .collect();
    shards.shuffle(&mut creamery_rng::stream(seed, "shuffle shards", epoch));
    shards.concat()
}

/// What comes out of a buffer of `size` images that is filled from `images`: each time a random one, in whose place the next
/// goes in.
fn through_buffer(images: &[u32], size: usize, rng: &mut impl Rng) -> Vec<u32> {
    let (first, rest) = images.split_at(size.min(images.len()));
    let mut buffer = first.to_vec();
    let mut out = Vec::with_capacity(images.len());
    for &image in rest {
        let at = rng.random_range(0..buffer.len() as u64) as usize;
        out.push(std::mem::replace(&mut buffer[at], image));
    }
    buffer.shuffle(rng);
    out.append(&mut buffer);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(labels: &[usize], sampling: Sampling) -> Split {
        let split = Split::from_pixels([1, 1, 1], vec![0; labels.len()], labels, 4).unwrap();
        split.sampled(sampling)
    }

    fn sorted(mut images: Vec<u32>) -> Vec<u32> {
        images.sort_unstable();
        images
    }

    proptest! {
        #[test]
        fn an_epoch_has_every_image_once(
            images in 1usize..3000, batch in 1usize..64, buffer in 1usize..700, readers in 1usize..70, seed: u64,
        ) {
            let batch = batch.min(images);
            let labels = vec![0; images];
            let full = epoch(&split(&labels, Sampling::default()), batch, seed, 1);
            prop_assert_eq!(sorted(full), (0..images as u32).collect::<Vec<_>>());

            let shards = Sampling { shuffle: Shuffle::Shards { buffer, readers }, balance: 0.0 };
            let order = epoch(&split(&labels, shards), batch, seed, 1);
            prop_assert_eq!(order.len(), images / batch * batch);
            let mut seen = sorted(order);
            seen.dedup();
            prop_assert_eq!(seen.len(), images / batch * batch, "none comes twice");
        }

        #[test]
        fn a_buffer_delays_but_never_hurries(images in 1usize..500, size in 1usize..600, seed: u64) {
            let order: Vec<u32> = (0..images as u32).collect();
            let out = through_buffer(&order, size, &mut creamery_rng::stream(seed, "test", 0));
            // What comes out at place p had gone in by then.
            prop_assert!(out.iter().zip(0..).all(|(&image, place)| (image as usize) < place + size));
            prop_assert_eq!(sorted(out), order);
        }

        #[test]
        fn balance_evens_classes_out(counts in prop::collection::vec(0usize..90, 4), balance in 0.01f64..=1.0, seed: u64) {
            let labels: Vec<usize> = counts.iter().enumerate().flat_map(|(class, &n)| vec![class; n]).collect();
            prop_assume!(!labels.is_empty());
            let sampling = Sampling { balance, ..Sampling::default() };
            let split = split(&labels, sampling);
            let order = epoch(&split, 1, seed, 0);
            prop_assert_eq!(order.len(), labels.len());
            let mut drawn = vec![0usize; labels.len()];
            order.iter().for_each(|&image| drawn[image as usize] += 1);
            let total: f64 = counts.iter().filter(|&&n| n > 0).map(|&n| (n as f64).powf(1.0 - balance)).sum();
            for (class, &n) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
                let of: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] == class).map(|i| drawn[i]).collect();
                let exact = (n as f64).powf(1.0 - balance) / total * labels.len() as f64;
                prop_assert!((of.iter().sum::<usize>() as f64 - exact).abs() < 1.0 + 1e-6);
                prop_assert!(of.iter().max().unwrap() - of.iter().min().unwrap() <= 1);
            }
        }
    }

    /// The shards that a part of every batch comes from.
    fn shards_of(split: &Split, order: &[u32], batch: usize, places: &[usize]) -> Vec<u32> {
        let batches = order
            .chunks_exact(batch)
            .flat_map(|batch| places.iter().map(|&place| batch[place]));
        let mut shards: Vec<u32> = batches.map(|image| split.shard(image as usize)).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    #[test]
    fn readers_fill_a_batch_from_both_ends() {
        assert_eq!(
            [0, 1].map(|reader| places(reader, 2, 8)),
            [[0, 1, 6, 7], [2, 3, 4, 5]]
        );
        for (readers, batch) in [(1, 5), (3, 9), (3, 11), (4, 3), (7, 7)] {
            let mut all: Vec<usize> = (0..readers)
                .flat_map(|reader| places(reader, readers, batch))
                .collect();
            all.sort_unstable();
            assert_eq!(all, (0..batch).collect::<Vec<_>>());
        }
    }

    #[test]
    fn readers_share_at_most_the_shard_between_them() {
        let labels = vec![0; 256 * 12];
        for readers in [2, 3, 4] {
            let shuffle = Shuffle::Shards {
                buffer: 300,
                readers,
            };
            let split = split(
                &labels,
                Sampling {
                    shuffle,
                    balance: 0.0,
                },
            );
            for number in 0..3 {
                let order = epoch(&split, 96, 5, number);
                let of: Vec<_> = (0..readers)
                    .map(|reader| shards_of(&split, &order, 96, &places(reader, readers, 96)))
                    .collect();
                for (a, first) in of.iter().enumerate() {
                    for second in &of[a + 1..] {
                        let common = first.iter().filter(|shard| second.contains(shard)).count();
                        assert!(common <= 1, "{first:?} {second:?}");
                    }
                    assert!(first.len() <= 12 / readers + 1);
                }
            }
        }
    }

    #[test]
    fn shards_are_read_nearly_in_sequence() {
        let labels = vec![0; 256 * 40];
        let shuffle = Shuffle::Shards {
            buffer: 512,
            readers: 1,
        };
        let split = split(
            &labels,
            Sampling {
                shuffle,
                balance: 0.0,
            },
        );
        let order = epoch(&split, 64, 5, 0);
        let other = epoch(&split, 64, 5, 1);
        assert_ne!(order, other);
        for batches in order.chunks(256) {
            let all: Vec<usize> = (0..batches.len()).collect();
            let open = shards_of(&split, batches, batches.len(), &all);
            assert!(open.len() < 20, "of 40: {open:?}");
        }
    }

    #[test]
    fn impossible_sampling_is_refused() {
        let check = |shuffle, balance| Sampling { shuffle, balance }.check();
        assert!(check(Shuffle::Full, 1.0).is_ok());
        assert!(check(Shuffle::Full, 1.5).is_err() && check(Shuffle::Full, f64::NAN).is_err());
        assert!(
            check(
                Shuffle::Shards {
                    buffer: 0,
                    readers: 1
                },
                0.0
            )
            .is_err()
        );
        assert!(
            check(
                Shuffle::Shards {
                    buffer: 1,
                    readers: 0
                },
                0.0
            )
            .is_err()
        );
    }
}
