//! Our inference beside tract's, on one image and one thread, round by round:
//!
//! ```text
//! cargo run --release -p creamery-export --example infer_tract -- net.safetensors [ROUNDS]
//! ```
//!
//! The network is exported to ONNX for tract, so that both run the same; their logits are compared. `creamery import` or a run gives a
//! `model.safetensors`; the example `random_models` makes those of the published networks.

use std::error::Error;
use std::time::{Duration, Instant};

use creamery_export::onnx::{self, OnnxOptions};
use creamery_nn::Device;
use creamery_train::Model;
use tract_onnx::prelude::*;

type Failure = Box<dyn Error + Send + Sync>;

/// Runs of each in a round.
const RUNS: usize = 10;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("give a model.safetensors")?;
    let rounds = args.next().map_or(Ok(10), |rounds| rounds.parse())?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(|| compare(&path, rounds))
}

fn compare(path: &str, rounds: usize) -> Result<(), Failure> {
    let model = Model::load(path.as_ref(), &Device::flex())?;
    let bytes = onnx::bytes(&model, &OnnxOptions::default())?;
    let (side, channels) = (model.net.architecture.resolution, model.input.channels);
    let tract = tract_onnx::onnx()
        .model_for_read(&mut &bytes[..])?
        .with_input_fact(0, f32::fact([1, channels, side, side]).into())?
        .into_optimized()?
        .into_runnable()?;
    let ours = model.net.ready();

    let image: Vec<f32> = (0..ours.image_len())
        .map(|i| ((i * 37) % 251) as f32 / 125.0 - 1.0)
        .collect();
    let shape = (1, channels, side, side);
    let planes = tract_ndarray::Array4::from_shape_fn(shape, |(_, c, y, x)| {
        image[(y * side + x) * channels + c]
    });
    let planes: TValue = Tensor::from(planes).into();

    let mut times = [Vec::new(), Vec::new()];
    let mut logits = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for which in [0, 1] {
            let mut runs = Vec::new();
            for _ in 0..RUNS {
                let start = Instant::now();
                logits[which] = if which == 0 {
                    ours.infer(&image)?
                } else {
                    let output = tract.run(tvec!(planes.clone()))?;
                    output[0]
                        .to_plain_array_view::<f32>()?
                        .iter()
                        .copied()
                        .collect()
                };
                runs.push(start.elapsed());
            }
            // The first round warms up.
            if round > 0 {
                times[which].push(median(runs));
            }
        }
    }
    let differ = logits[0].iter().zip(&logits[1]).map(|(a, b)| (a - b).abs());
    println!(
        "largest difference of logits: {:.1e}",
        differ.fold(0.0, f32::max)
    );
    let ratios = times[0].iter().zip(&times[1]);
    let mut ratios: Vec<f64> = ratios
        .map(|(own, other)| other.div_duration_f64(*own))
        .collect();
    ratios.sort_by(f64::total_cmp);
    let [own, other] = times.map(|times| median(times).as_secs_f64() * 1e3);
    println!(
        "creamery {own:.2} ms, tract {other:.2} ms: {:.2} times as fast (median of {rounds} rounds, {:.2} to {:.2})",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1]
    );
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
