//! Times the loader: images a second, as a network takes them.
//!
//! ```text
//! cargo run --release -p creamery-data --example load -- DATA [--resolution N] [--crop-scale S] [--augment POLICY]
//!     [--eval] [--threads N] [--batch N] [--images N] [--rounds N]
//! ```
//!
//! Prints a line for each round. `bench/compare_data.py` runs it beside torchvision and timm.

use std::error::Error;
use std::time::Instant;

use creamery_data::{DataSet, Interpolation, Loader, Normalisation, OpenOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let source = arguments
        .next()
        .ok_or("give a data set, such as folder:DIR")?;
    let (mut resolution, mut threads, mut batch, mut images, mut rounds) = (224, 1, 64, 1024, 3);
    let (mut crop_scale, mut policy, mut evaluation) = (Some(0.08), None, false);
    let mut interpolation = Interpolation::Bilinear;
    while let Some(flag) = arguments.next() {
        if flag == "--eval" {
            evaluation = true;
            continue;
        }
        if flag == "--bicubic" {
            interpolation = Interpolation::Bicubic;
            continue;
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--resolution" => resolution = value.parse()?,
            "--threads" => threads = value.parse()?,
            "--batch" => batch = value.parse()?,
            "--images" => images = value.parse()?,
            "--rounds" => rounds = value.parse()?,
            "--crop-scale" => crop_scale = Some(value.parse()?).filter(|scale| *scale > 0.0),
            "--augment" => policy = Some(value.parse()?),
            _ => return Err(format!("no flag {flag}").into()),
        }
    }
    let data = DataSet::open(&source, &OpenOptions::default())?;
    let imagenet = Normalisation {
        mean: vec![0.485, 0.456, 0.406],
        std: vec![0.229, 0.224, 0.225],
    };
    let normalisation = if data.channels == 3 {
        imagenet
    } else {
        Normalisation::of(&data.train)?
    };
    let mut pipeline = data.pipeline(resolution, normalisation);
    pipeline.interpolation = interpolation;
    pipeline.augment.crop_scale = crop_scale;
    pipeline.augment.auto = policy;
    let batch = usize::min(batch, data.train.len());
    for round in 0..rounds {
        let mut loader = if evaluation {
            Loader::evaluation(&data.test, &pipeline, batch, threads)?
        } else {
            Loader::train(&data.train, &pipeline, batch, round, 0, 0, threads)?
        };
        // The first batch pays for the threads' start.
        drop(loader.next().ok_or("no batch")??);
        let start = Instant::now();
        let mut loaded = 0;
        while loaded < images {
            let Some(batch) = loader.next() else { break };
            loaded += batch?.n;
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{loaded} images in {seconds:.3} s: {:.1} a second",
            loaded as f64 / seconds
        );
    }
    Ok(())
}
