//! Makes `assets/fashion-mini.bin` out of the published Fashion-MNIST files.
//!
//!     cargo run -p creamery-data --example make_fashion_mini -- crates/creamery-data/assets/fashion-mini.bin
//!
//! The files are read from where the Debian package `dataset-fashion-mnist` puts them, or from the folder
//! given as the second argument. What is written is described in `src/fashion_mini.rs`; the digests that
//! are printed are those which the crate's tests expect. The same input gives the same file.

use std::error::Error;
use std::io::Write;

use creamery_data::{DataSet, OpenOptions, Split};
use flate2::Compression;
use flate2::write::ZlibEncoder;

const SIDE: usize = 28;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let target = arguments
        .next()
        .ok_or("usage: make_fashion_mini TARGET [DIR]")?;
    let spec = match arguments.next() {
        Some(folder) => format!("fashion-mnist:{folder}"),
        None => "fashion-mnist".to_owned(),
    };
    let published = DataSet::open(&spec, &OpenOptions::default())?;

    let mut labels = Vec::new();
    let mut pixels = Vec::new();
    for (split, per_class) in [(&published.train, 800), (&published.test, 200)] {
        for index in first_of_each_class(split, per_class) {
            labels.push(u8::try_from(split.label(index))?);
            pixels.extend(split.image(index)?.pixels);
        }
    }

    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&labels)?;
    for image in pixels.chunks_exact(SIDE * SIDE) {
        encoder.write_all(&filter(image))?;
    }
    let asset = encoder.finish()?;
    std::fs::write(&target, &asset)?;

    println!("{target}: {} images, {} bytes", labels.len(), asset.len());
    println!("file    {}", blake3::hash(&asset));
    println!("labels  {}", blake3::hash(&labels));
    println!("pixels  {}", blake3::hash(&pixels));
    Ok(())
}

/// The positions of the first `per_class` images of every class, in the split's order.
fn first_of_each_class(split: &Split, per_class: usize) -> Vec<usize> {
    let mut taken = vec![0; split.classes()];
    (0..split.len())
        .filter(|&index| {
            let taken = &mut taken[split.label(index)];
            *taken += 1;
            *taken <= per_class
        })
        .collect()
}

/// Each pixel less its Paeth prediction, modulo 256.
fn filter(image: &[u8]) -> Vec<u8> {
    let pixel = |x: usize, y: usize, left: usize, up: usize| {
        if x >= left && y >= up {
            i32::from(image[(y - up) * SIDE + x - left])
        } else {
            0
        }
    };
    let mut differences = Vec::with_capacity(image.len());
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (left, up, corner) = (pixel(x, y, 1, 0), pixel(x, y, 0, 1), pixel(x, y, 1, 1));
            let estimate = left + up - corner;
            // The first of the nearest wins, so the order of the three matters.
            let mut prediction = left;
            for neighbour in [up, corner] {
                if (estimate - neighbour).abs() < (estimate - prediction).abs() {
                    prediction = neighbour;
                }
            }
            differences.push((pixel(x, y, 0, 0) - prediction).rem_euclid(256) as u8);
        }
    }
    differences
}
