//! Parting a validation split from the training images.

use rand::seq::SliceRandom;

use crate::error::DataError;
use crate::split::Split;

/// Holds `images` of `train` out for validation: the rest to train on, and those.
///
/// Each class gives its share, to the nearest image, and always keeps at least one; which ones is drawn
/// from `seed`. Both splits keep the order of `train`, and together they are `train`. Search and tuning
/// use these two, so that the test split can be kept for the report.
///
/// ```
/// use creamery_data::{DataSet, OpenOptions, hold_out};
///
/// let data = DataSet::open("fashion-mini", &OpenOptions::default())?;
/// let (train, validation) = hold_out(&data.train, 1000, 7)?;
/// assert_eq!(train.class_counts(), [700; 10]);
/// assert_eq!(validation.class_counts(), [100; 10]);
/// # Ok::<(), creamery_data::DataError>(())
/// ```
///
/// # Errors
/// [`DataError::HoldOut`] if `images` is zero, or more than leaves one of each class.
pub fn hold_out(train: &Split, images: usize, seed: u64) -> Result<(Split, Split), DataError> {
    let mut members = vec![Vec::new(); train.classes()];
    for index in 0..train.len() {
        members[train.label(index)].push(index);
    }
    let counts: Vec<usize> = members.iter().map(Vec::len).collect();
    let most = counts.iter().map(|&count| count.saturating_sub(1)).sum();
    if images == 0 || images > most {
        return Err(DataError::HoldOut {
            images,
            available: train.len(),
            most,
        });
    }
    let mut validation = Vec::with_capacity(images);
    for (class, quota) in quotas(&counts, images).into_iter().enumerate() {
        members[class].shuffle(&mut creamery_rng::stream(seed, "hold out", class as u64));
        validation.extend(members[class].drain(..quota));
    }
    let mut rest: Vec<usize> = members.into_iter().flatten().collect();
    rest.sort_unstable();
    validation.sort_unstable();
    Ok((train.subset(&rest)?, train.subset(&validation)?))
}

/// How many of each class make `images` in all: proportional shares by largest remainder, except that
/// every class keeps one. `images` must be possible.
fn quotas(counts: &[usize], images: usize) -> Vec<usize> {
    let total: u128 = counts.iter().map(|&count| count as u128).sum();
    let product = |count: usize| count as u128 * images as u128;
    let room = |count: usize| count.saturating_sub(1);
    let mut quotas: Vec<usize> = counts
        .iter()
        .map(|&count| ((product(count) / total) as usize).min(room(count)))
        .collect();
    let mut by_remainder: Vec<usize> = (0..counts.len()).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(product(counts[class]) % total));
    let mut missing = images - quotas.iter().sum::<usize>();
    while missing > 0 {
        for &class in &by_remainder {
            if missing > 0 && quotas[class] < room(counts[class]) {
                quotas[class] += 1;
                missing -= 1;
            }
        }
    }
    quotas
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One pixel per image, which tells the images apart.
    fn numbered(labels: &[usize], classes: usize) -> Split {
        let pixels = (0..labels.len())
            .flat_map(|i| [i as u8, (i >> 8) as u8, 0])
            .collect();
        Split::from_pixels([1, 1, 3], pixels, labels, classes).unwrap()
    }

    fn numbers(split: &Split) -> Vec<usize> {
        (0..split.len())
            .map(|i| split.image(i).unwrap().pixels)
            .map(|pixel| usize::from(pixel[0]) | usize::from(pixel[1]) << 8)
            .collect()
    }

    proptest! {
        #[test]
        fn disjoint_complete_and_stratified(
            labels in prop::collection::vec(0usize..6, 12..300), share in 0.0f64..1.0, seed: u64,
        ) {
            let train = numbered(&labels, 6);
            let counts = train.class_counts();
            let most: usize = counts.iter().map(|count| count.saturating_sub(1)).sum();
            let images = 1 + (share * (most - 1) as f64) as usize;
            let (rest, validation) = hold_out(&train, images, seed).unwrap();
            prop_assert_eq!(validation.len(), images);

            let (mut all, held) = (numbers(&rest), numbers(&validation));
            prop_assert!(all.is_sorted() && held.is_sorted());
            all.extend(held);
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());

            for (class, &count) in counts.iter().enumerate() {
                let given = validation.class_counts()[class];
                prop_assert!(count == 0 || given < count, "class {} gave all", class);
                // Within one image of its share, unless small classes gave less than theirs.
                let exact = count as f64 * images as f64 / labels.len() as f64;
                if counts.iter().all(|&count| count as f64 * (1.0 - images as f64 / labels.len() as f64) >= 2.0) {
                    prop_assert!((given as f64 - exact).abs() < 1.0, "{} of {}", given, exact);
                }
            }
        }
    }

    #[test]
    fn the_seed_decides_which() {
        let labels: Vec<usize> = (0..200).map(|i| i % 4).collect();
        let train = numbered(&labels, 4);
        let held = |seed| numbers(&hold_out(&train, 40, seed).unwrap().1);
        assert_eq!(held(1), held(1));
        assert_ne!(held(1), held(2));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let train = numbered(&[0, 0, 0, 1, 1], 3);
        for images in [0, 4, 5, usize::MAX] {
            match hold_out(&train, images, 0) {
                Err(DataError::HoldOut {
                    available: 5,
                    most: 3,
                    ..
                }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(hold_out(&train, 3, 0).unwrap().0.class_counts(), [1, 1, 0]);
    }
}
