//! What the loader delivers: the same numbers whatever the threads, from any place, each image once.

use creamery_data::{Augment, Batch, DataError, Loader, Normalisation, Pipeline, Portion, Split};
use proptest::prelude::*;

/// Colour images of noise; the label of image `i` is `i % 7`.
fn noise(images: usize, height: usize, width: usize) -> Split {
    let pixels = (0..images * height * width * 3)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 15) as u8)
        .collect();
    let labels: Vec<usize> = (0..images).map(|i| i % 7).collect();
    Split::from_pixels([height, width, 3], pixels, &labels, 7).unwrap()
}

/// One pixel per image: red and green number the image.
fn numbered(images: usize) -> Split {
    let pixels = (0..images)
        .flat_map(|i| [i as u8, (i >> 8) as u8, 0])
        .collect();
    let labels: Vec<usize> = (0..images).map(|i| i % 5).collect();
    Split::from_pixels([1, 1, 3], pixels, &labels, 5).unwrap()
}

fn pipeline(resolution: usize, augment: Augment) -> Pipeline {
    Pipeline {
        resolution,
        shorter_side: resolution,
        interpolation: Default::default(),
        channels: 3,
        augment,
        normalisation: Normalisation {
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
        },
    }
}

const PLAIN: Augment = Augment::crop_and_flip(0, false);
const RANDOM: Augment = Augment::crop_and_flip(2, true);

fn take(loader: Result<Loader, DataError>, batches: usize) -> Vec<Batch> {
    loader
        .unwrap()
        .take(batches)
        .collect::<Result<_, _>>()
        .unwrap()
}

/// The numbers of the images in a batch of `numbered` ones.
fn numbers(batch: &Batch) -> Vec<usize> {
    let sample = |value: f32| (value * 255.0).round() as usize;
    batch
        .images
        .chunks_exact(3)
        .map(|pixel| sample(pixel[0]) | sample(pixel[1]) << 8)
        .collect()
}

fn bits(batches: &[Batch]) -> Vec<u32> {
    batches
        .iter()
        .flat_map(|batch| batch.images.iter().map(|value| value.to_bits()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_number_of_threads_changes_no_bit(
        images in 1usize..150, batch in 1usize..70, seed: u64, epoch in 0u64..1000,
    ) {
        let split = noise(images, 9, 7);
        let batch = batch.min(images);
        let pipeline = pipeline(6, RANDOM);
        let batches = 2 * images / batch + 1;
        let train = |threads| {
            take(Loader::train(&split, &pipeline, batch, seed, epoch, 0, threads), batches)
        };
        let evaluate = |threads| take(Loader::evaluation(&split, &pipeline, batch, threads), usize::MAX);
        let (alone, seen) = (train(0), evaluate(0));
        for threads in [1, 2, 5] {
            let together = train(threads);
            prop_assert_eq!(bits(&together), bits(&alone));
            prop_assert_eq!(together, alone.clone());
            prop_assert_eq!(evaluate(threads), seen.clone());
        }
    }

    #[test]
    fn a_portion_has_the_very_images_that_the_batch_has_in_its_places(
        own in 1usize..40, ranks in 1usize..5, spare in 0usize..9, seed: u64, threads in 0usize..4,
    ) {
        let batch = own * ranks;
        let split = noise(2 * batch + spare, 6, 5);
        let pipeline = pipeline(5, RANDOM);
        let whole = take(Loader::train(&split, &pipeline, batch, seed, 2, 1, 1), 3);
        for rank in 0..ranks {
            let portion = Portion::of(batch, rank, ranks);
            let found = take(Loader::train(&split, &pipeline, portion, seed, 2, 1, threads), 3);
            let expected: Vec<_> = whole.iter().map(|whole| whole.portion(portion)).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn seeking_equals_reading_up_to_there(
        images in 1usize..100, batch in 1usize..40, seed: u64, skip in 0u64..12, threads in 0usize..4,
    ) {
        let split = noise(images, 5, 5);
        let batch = batch.min(images);
        let pipeline = pipeline(5, RANDOM);
        let read = take(Loader::train(&split, &pipeline, batch, seed, 3, 0, 1), skip as usize + 3);
        // A position beyond the epoch's end goes on into the next epochs.
        let sought = take(Loader::train(&split, &pipeline, batch, seed, 3, skip, threads), 3);
        prop_assert_eq!(&sought[..], &read[skip as usize..]);
        // The same place by its own epoch and index.
        let (epoch, index) = (sought[0].epoch, sought[0].index);
        let named = take(Loader::train(&split, &pipeline, batch, seed, epoch, index, threads), 3);
        prop_assert_eq!(named, sought);
    }

    #[test]
    fn an_epoch_shows_each_image_once(
        images in 1usize..400, batch in 1usize..60, seed: u64, threads in 0usize..4,
    ) {
        let split = numbered(images);
        let batch = batch.min(images);
        let loader = Loader::train(&split, &pipeline(1, PLAIN), batch, seed, 0, 0, threads).unwrap();
        let per_epoch = images / batch;
        prop_assert_eq!(loader.batches_per_epoch(), per_epoch as u64);
        let batches = take(Ok(loader), 2 * per_epoch);
        for (epoch, batches) in batches.chunks(per_epoch).enumerate() {
            let mut shown = Vec::new();
            for (index, found) in batches.iter().enumerate() {
                prop_assert_eq!((found.epoch, found.index), (epoch as u64, index as u64));
                prop_assert_eq!((found.n, found.size, found.channels), (batch, 1, 3));
                let numbers = numbers(found);
                prop_assert_eq!(&found.labels, &numbers.iter().map(|i| i % 5).collect::<Vec<_>>());
                shown.extend(numbers);
            }
            shown.sort_unstable();
            shown.dedup();
            prop_assert_eq!(shown.len(), per_epoch * batch);
        }
    }

    #[test]
    fn evaluation_shows_every_image_once_in_order(
        images in 1usize..300, batch in 1usize..400, threads in 0usize..4,
    ) {
        let split = numbered(images);
        let loader = Loader::evaluation(&split, &pipeline(1, RANDOM), batch, threads).unwrap();
        prop_assert_eq!(loader.batches_per_epoch(), images.div_ceil(batch) as u64);
        let batches = take(Ok(loader), usize::MAX);
        prop_assert_eq!(batches.len(), images.div_ceil(batch));
        prop_assert!(batches.iter().all(|found| found.n == found.labels.len() && found.n <= batch));
        let shown: Vec<usize> = batches.iter().flat_map(numbers).collect();
        prop_assert_eq!(shown, (0..images).collect::<Vec<_>>());
    }
}

#[test]
fn epochs_and_seeds_shuffle_differently() {
    let split = numbered(200);
    let order = |seed, epoch| {
        numbers(
            &take(
                Loader::train(&split, &pipeline(1, PLAIN), 200, seed, epoch, 0, 1),
                1,
            )[0],
        )
    };
    assert_eq!(order(1, 0), order(1, 0));
    assert_ne!(order(1, 0), order(1, 1));
    assert_ne!(order(1, 0), order(2, 0));
    assert_ne!(order(1, 0), (0..200).collect::<Vec<_>>());
}

/// Published numbers depend on these choices, so no dependency may change them unnoticed.
#[test]
fn the_order_and_the_crops_do_not_change_between_versions() {
    let split = numbered(12);
    let order = take(
        Loader::train(&split, &pipeline(1, PLAIN), 12, 7, 3, 0, 0),
        1,
    );
    assert_eq!(numbers(&order[0]), [10, 8, 4, 5, 1, 9, 3, 2, 6, 11, 7, 0]);
    // The bright pixel of a row of five shows the column that a window one pixel wide began at.
    let row = [0, 50, 100, 150, 200].map(|shade| [shade; 3]).concat();
    let split = Split::from_pixels([1, 5, 3], row.repeat(12), &[0; 12], 1).unwrap();
    let crops = &take(
        Loader::train(&split, &pipeline(1, PLAIN), 12, 7, 3, 0, 0),
        1,
    )[0]
    .images;
    let columns: Vec<u32> = crops
        .iter()
        .step_by(3)
        .map(|value| (value * 5.1).round() as u32)
        .collect();
    assert_eq!(columns, [0, 0, 4, 2, 2, 2, 0, 1, 2, 4, 2, 4]);
}

/// Every crop position and both orientations occur, about equally often, and differ between epochs.
#[test]
fn crops_and_flips_are_uniform() {
    // One bright pixel in a 3x3 image, off the middle, shows where the window was and whether it is mirrored.
    let mut pixels = [0; 27];
    pixels[(3 + 2) * 3] = 255;
    let split = Split::from_pixels([3, 3, 3], pixels.repeat(400), &[0; 400], 1).unwrap();
    let augment = Augment::crop_and_flip(1, true);
    let batches = take(
        Loader::train(&split, &pipeline(3, augment), 400, 5, 0, 0, 2),
        10,
    );
    let mut seen = std::collections::BTreeMap::new();
    for image in batches
        .iter()
        .flat_map(|batch| batch.images.chunks_exact(27))
    {
        let bright = image.iter().position(|&value| value == 1.0);
        *seen.entry(bright).or_insert(0) += 1;
    }
    // Three rows, each equally likely; the column is 1, 2 or 3 (outside), mirrored 1, 0 or outside.
    let at = |x: usize, y: usize| seen.get(&Some((y * 3 + x) * 3)).copied().unwrap_or(0);
    let total: f64 = seen.values().sum::<i32>().into();
    assert_eq!(total, 4000.0);
    for y in 0..3 {
        for (x, share) in [(0, 1.0 / 18.0), (1, 2.0 / 18.0), (2, 1.0 / 18.0)] {
            let expected = total * share;
            assert!(
                (f64::from(at(x, y)) - expected).abs() < 5.0 * expected.sqrt(),
                "({x}, {y}): {}",
                at(x, y)
            );
        }
    }
    assert_ne!(bits(&batches[..1]), bits(&batches[1..2]));
}

#[test]
fn evaluation_takes_the_middle() {
    // 2x4 pixels numbered from the left; the middle two columns remain.
    let pixels = (0..8u8).flat_map(|i| [i; 3]).collect();
    let split = Split::from_pixels([2, 4, 3], pixels, &[0], 1).unwrap();
    let batch = &take(Loader::evaluation(&split, &pipeline(2, RANDOM), 1, 0), 1)[0];
    let reds: Vec<f32> = batch
        .images
        .iter()
        .step_by(3)
        .map(|value| value * 255.0)
        .collect();
    assert_eq!(reds, [1.0, 2.0, 5.0, 6.0]);
}

#[test]
fn samples_are_normalised_by_channel() {
    let split = Split::from_pixels([1, 1, 3], vec![0, 51, 255], &[0], 1).unwrap();
    let normalisation = Normalisation {
        mean: vec![0.5, 0.2, 0.0],
        std: vec![0.5, 0.1, 2.0],
    };
    let pipeline = Pipeline {
        normalisation,
        ..pipeline(1, PLAIN)
    };
    let batch = &take(Loader::evaluation(&split, &pipeline, 1, 0), 1)[0];
    assert_eq!(batch.images, [-1.0, 0.0, 0.5]);
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let split = noise(10, 4, 4);
    let good = pipeline(4, PLAIN);
    let train = |pipeline: &Pipeline, batch| {
        Loader::train(&split, pipeline, batch, 0, 0, 0, 1).unwrap_err()
    };
    assert!(matches!(
        train(&good, 11),
        DataError::FewerThanBatch {
            images: 10,
            batch: 11
        }
    ));
    assert!(matches!(train(&good, 0), DataError::ZeroBatch));
    assert!(matches!(
        Loader::evaluation(&split, &good, 0, 1),
        Err(DataError::ZeroBatch)
    ));
    for resolution in [0, 4097, usize::MAX] {
        let error = train(&pipeline(resolution, PLAIN), 2);
        assert!(matches!(error, DataError::Resolution { .. }), "{error}");
    }
    let normalisation = |mean, std| Normalisation { mean, std };
    for (bad, word) in [
        (
            Pipeline {
                shorter_side: 3,
                ..good.clone()
            },
            "resized",
        ),
        (
            Pipeline {
                shorter_side: usize::MAX,
                ..good.clone()
            },
            "resized",
        ),
        (
            Pipeline {
                augment: Augment::crop_and_flip(usize::MAX, false),
                ..good.clone()
            },
            "padding",
        ),
        (
            Pipeline {
                channels: 2,
                ..good.clone()
            },
            "1 or 3",
        ),
        (
            Pipeline {
                normalisation: normalisation(vec![0.0], vec![1.0]),
                ..good.clone()
            },
            "means",
        ),
        (
            Pipeline {
                normalisation: normalisation(vec![f32::NAN; 3], vec![1.0; 3]),
                ..good.clone()
            },
            "finite",
        ),
        (
            Pipeline {
                normalisation: normalisation(vec![0.0; 3], vec![0.0; 3]),
                ..good.clone()
            },
            "above zero",
        ),
        (
            Pipeline {
                channels: 1,
                normalisation: normalisation(vec![0.0], vec![1.0]),
                ..good.clone()
            },
            "images have 3 channels",
        ),
    ] {
        let message = train(&bad, 2).to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn absurd_positions_neither_panic_nor_hang() {
    let split = noise(10, 4, 4);
    for threads in [0, 2] {
        let far = Loader::train(
            &split,
            &pipeline(4, RANDOM),
            3,
            u64::MAX,
            u64::MAX,
            u64::MAX,
            threads,
        );
        assert_eq!(take(far, 4).len(), 4);
    }
}

/// Everything random at once: the same numbers for any number of threads, others in the next epoch, no change in evaluation.
#[test]
fn strong_augmentation_depends_on_seed_epoch_and_image_alone() {
    let pixels: Vec<u8> = (0..40 * 12 * 10 * 3).map(|i| (i * 7 % 251) as u8).collect();
    let split = Split::from_pixels([12, 10, 3], pixels, &[0; 40], 1).unwrap();
    let augment = Augment {
        crop_scale: Some(0.3),
        auto: Some("rand-m9-mstd0.5-inc1".parse().unwrap()),
        jitter: 0.4,
        erasing: 0.5,
        ..Augment::crop_and_flip(0, true)
    };
    let strong = pipeline(8, augment);
    let epoch = |epoch, threads| {
        let loader = Loader::train(&split, &strong, 20, 5, epoch, 0, threads);
        take(loader, 2).into_iter().flat_map(|batch| batch.images)
    };
    let first: Vec<f32> = epoch(0, 0).collect();
    assert!(epoch(0, 3).eq(first.iter().copied()));
    assert!(!epoch(1, 0).eq(first.iter().copied()));
    // Noise of erasing reaches beyond what pixels can be.
    assert!(first.iter().any(|value| *value < 0.0));
    let plain = pipeline(8, Augment::default());
    let evaluated = |pipeline| take(Loader::evaluation(&split, pipeline, 40, 0), 1);
    assert_eq!(evaluated(&strong), evaluated(&plain));
}
