//! The same images from every container, and the same batches however they are loaded.

use creamery_data::{
    Batch, DataSet, Loader, Normalisation, PackFormat, PackOptions, Pipeline, Sampling, Shuffle,
    Split, pack,
};
use parquet::basic::Compression;

use super::made::{CLASSES, Place, images};

const SHARDS: Shuffle = Shuffle::Shards {
    buffer: 7,
    readers: 2,
};

/// The same images in every container.
fn everywhere() -> (Place, Vec<DataSet>) {
    let place = Place::new();
    place.folder();
    place.shards(10);
    place.rows(7, Compression::SNAPPY);
    let folder = place.opened("folder:folder");
    for (name, format) in [("raw", PackFormat::Raw), ("jpeg", PackFormat::Jpeg)] {
        let options = PackOptions {
            format,
            threads: 2,
            ..PackOptions::default()
        };
        pack(&folder, &place.path(name), &options, |_| true).unwrap();
    }
    let sets = ["tar:shards", "parquet:rows", "packed:raw", "packed:jpeg"];
    let mut sets: Vec<DataSet> = sets
        .into_iter()
        .map(|source| place.opened(source))
        .collect();
    sets.insert(0, folder);
    (place, sets)
}

fn pipeline(data: &DataSet) -> Pipeline {
    let mut pipeline = data.pipeline(16, Normalisation::of(&data.train).unwrap());
    pipeline.augment.crop_scale = Some(0.2);
    pipeline
}

fn batches(
    data: &DataSet,
    split: &Split,
    start: (u64, u64),
    threads: usize,
    take: usize,
) -> Vec<Batch> {
    let loader = Loader::train(split, &pipeline(data), 10, 3, start.0, start.1, threads).unwrap();
    loader.take(take).collect::<Result<_, _>>().unwrap()
}

#[test]
fn every_container_holds_the_same() {
    let (_place, sets) = everywhere();
    for data in &sets {
        assert_eq!(data.classes, CLASSES, "{}", data.name);
        assert_eq!(
            (data.height, data.channels, data.augment.flip),
            (None, 3, true),
            "{}",
            data.name
        );
        for (split, train) in [(&data.train, true), (&data.test, false)] {
            let images = images(train);
            assert_eq!(split.len(), images.len());
            for (index, (_, label)) in images.iter().enumerate() {
                assert_eq!(split.label(index) as i64, *label, "{} {index}", data.name);
                let first = if train { &sets[0].train } else { &sets[0].test };
                assert_eq!(
                    split.image(index).unwrap(),
                    first.image(index).unwrap(),
                    "{} {index}",
                    data.name
                );
            }
        }
        let same = DataSet::open(&data.name, &Default::default()).unwrap();
        assert_eq!(data.fingerprint(), same.fingerprint());
    }
    let mut fingerprints: Vec<_> = sets.iter().map(DataSet::fingerprint).collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), sets.len());
}

#[test]
fn batches_do_not_depend_on_threads_or_where_a_run_begins() {
    let (_place, sets) = everywhere();
    for data in &sets {
        for sampling in [
            Sampling::default(),
            Sampling {
                shuffle: SHARDS,
                balance: 0.0,
            },
            Sampling {
                shuffle: SHARDS,
                balance: 1.0,
            },
        ] {
            let split = data.train.clone().sampled(sampling);
            // Four batches an epoch.
            let played = batches(data, &split, (0, 0), 0, 11);
            for threads in [1, 2, 4] {
                assert_eq!(
                    batches(data, &split, (0, 0), threads, 11),
                    played,
                    "{}",
                    data.name
                );
                assert_eq!(
                    batches(data, &split, (1, 2), threads, 5),
                    played[6..],
                    "{}",
                    data.name
                );
            }
            assert_eq!((played[10].epoch, played[10].index), (2, 2));
        }
    }
    let of = |data: &DataSet| batches(data, &data.train, (0, 0), 2, 4);
    // The order of all is that of the folder; only the shuffle by shards knows where images lie.
    for data in &sets[1..] {
        for (found, wanted) in of(data).iter().zip(&of(&sets[0])) {
            if !data.name.ends_with("/raw") {
                assert_eq!(found, wanted, "{}", data.name);
                continue;
            }
            assert_eq!(found.labels, wanted.labels, "{}", data.name);
            // What was packed as pixels was decoded as a whole: at edges of colour some levels lie between that and a
            // part of a photograph, and hardly any in the mean.
            let pairs = found.images.iter().zip(&wanted.images);
            let apart: Vec<f32> = pairs.map(|(a, b)| (a - b).abs()).collect();
            let most = apart.iter().copied().fold(0.0, f32::max);
            let mean = apart.iter().sum::<f32>() / apart.len() as f32;
            assert!(most < 0.3 && mean < 0.03, "{}: {most} {mean}", data.name);
        }
    }
}

#[test]
fn packing_resizes_the_larger_ones() {
    let place = Place::new();
    place.folder();
    let folder = place.opened("folder:folder");
    for format in [PackFormat::Raw, PackFormat::Jpeg] {
        let options = PackOptions {
            format,
            shorter_side: Some(22),
            quality: 100,
            threads: 2,
        };
        let mut told = 0;
        pack(&folder, &place.path("small"), &options, |done| {
            told = done;
            true
        })
        .unwrap();
        assert_eq!(told, 57);
        let packed = place.opened("packed:small");
        for index in 0..folder.train.len() {
            let (before, after) = (
                folder.train.image(index).unwrap(),
                packed.train.image(index).unwrap(),
            );
            let shorter = before.width.min(before.height);
            assert_eq!(after.width.min(after.height), shorter.min(22));
            if shorter <= 22 {
                assert_eq!(before, after, "what need not change is kept as it is");
            }
        }
        assert!(packed.height.is_none());
        // The file that was there is replaced as a whole, and nothing else is left.
        let stopped = pack(&folder, &place.path("small"), &options, |done| done < 5);
        assert_eq!(
            stopped.unwrap_err().to_string(),
            "stopped; nothing was written"
        );
        assert_eq!(
            place.opened("packed:small").fingerprint(),
            packed.fingerprint()
        );
        let files = std::fs::read_dir(place.path("")).unwrap().count();
        assert_eq!(files, 2, "the folder and the packed file");
    }
}

#[test]
fn grey_images_of_one_size_stay_so() {
    let data = DataSet::open("fashion-mini", &Default::default()).unwrap();
    let place = Place::new();
    pack(
        &data,
        &place.path("fashion"),
        &PackOptions::default(),
        |_| true,
    )
    .unwrap();
    let packed = place.opened("packed:fashion");
    assert_eq!(
        (packed.height, packed.width, packed.channels),
        (Some(28), Some(28), 1)
    );
    assert_eq!(
        (&packed.classes, &packed.augment),
        (&data.classes, &data.augment)
    );
    assert_eq!(packed.test.image(7).unwrap(), data.test.image(7).unwrap());
    let jpeg = PackOptions {
        format: PackFormat::Jpeg,
        ..PackOptions::default()
    };
    let refused = pack(&data, &place.path("fashion"), &jpeg, |_| true).unwrap_err();
    assert!(refused.to_string().contains("leave --format jpeg out"));
}

#[test]
fn row_groups_of_any_size_and_packing() {
    let place = Place::new();
    place.folder();
    let folder = place.opened("folder:folder");
    for (group, compression) in [
        (1, Compression::UNCOMPRESSED),
        (5, Compression::LZ4_RAW),
        (1000, Compression::SNAPPY),
        (24, Compression::GZIP(Default::default())),
    ] {
        place.rows(group, compression);
        let rows = place.opened("parquet:rows");
        // Back and forth, so that rows are met singly and by groups.
        for index in (0..rows.train.len())
            .rev()
            .chain(0..rows.train.len())
            .chain([5, 40, 5, 40])
        {
            assert_eq!(
                rows.train.image(index).unwrap(),
                folder.train.image(index).unwrap(),
                "{group} {index}"
            );
        }
    }
}
