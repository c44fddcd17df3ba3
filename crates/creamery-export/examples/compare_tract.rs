//! Exported networks held to tract: the largest difference of logits, network by network.
//!
//! ```text
//! cargo run --release -p creamery-export --example compare_tract -- DIR
//! ```
//!
//! DIR is what the example `random_models` wrote. The images of each network are run all at once and one at a time. Fails if
//! any logits differ by more than 1e-4.

use std::error::Error;
use std::fs;
use std::path::Path;

use creamery_export::onnx::{self, OnnxOptions};
use creamery_nn::Device;
use creamery_train::Model;
use creamery_train::checkpoint::read_weights;
use tract_onnx::prelude::*;

type Failure = Box<dyn Error + Send + Sync>;

/// Largest difference that is rounding.
const MOST: f32 = 1e-4;

fn main() -> Result<(), Failure> {
    let folder = std::env::args().nth(1).ok_or("give a folder of networks")?;
    let mut folders = Vec::new();
    for entry in fs::read_dir(&folder)? {
        folders.push(entry?.path());
    }
    folders.retain(|folder| folder.join("check.safetensors").is_file());
    folders.sort();
    if folders.is_empty() {
        return Err(format!("`{folder}` has no folder with a check.safetensors").into());
    }
    let mut most = 0.0f32;
    println!(
        "{:16}{:>14}{:>12}",
        "network", "largest logit", "difference"
    );
    for folder in &folders {
        let (scale, difference) = compare(folder)?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        println!("{name:16}{scale:>14.3}{difference:>12.1e}");
        // Also where it is no number.
        if difference.is_nan() || difference > most {
            most = difference;
        }
    }
    println!("{} networks, largest difference {most:.1e}", folders.len());
    match most <= MOST {
        true => Ok(()),
        false => Err(format!("the difference is above {MOST}").into()),
    }
}

/// The largest logit of a network's images, and the largest difference of tract's from it.
fn compare(folder: &Path) -> Result<(f32, f32), Failure> {
    let model = Model::load(&folder.join("model.safetensors"), &Device::flex())?;
    let file = onnx::bytes(&model, &OnnxOptions::default())?;
    let runnable = tract_onnx::onnx()
        .model_for_read(&mut &file[..])?
        .into_optimized()?
        .into_runnable()?;
    let run = |shape: &[usize], images: &[f32]| -> Result<Vec<f32>, Failure> {
        let images = Tensor::from_shape(shape, images)?;
        let output = runnable.run(tvec!(images.into()))?;
        let logits = output[0].to_plain_array_view::<f32>()?;
        Ok(logits.iter().copied().collect())
    };

    let (tensors, _) = read_weights(&folder.join("check.safetensors"))?;
    let find = |name: &str| tensors.iter().find(|tensor| tensor.name == name);
    let (images, expected) = (
        find("images").ok_or("no images")?,
        find("logits").ok_or("no logits")?,
    );
    let (count, pixels) = (images.shape[0], images.values.len() / images.shape[0]);
    let together = run(&images.shape, &images.values)?;
    let mut alone = Vec::new();
    let mut one = images.shape.clone();
    one[0] = 1;
    for image in images.values.chunks_exact(pixels) {
        alone.extend(run(&one, image)?);
    }
    assert_eq!(expected.values.len(), count * model.net.classes());
    let mut most = 0.0f32;
    for found in [together, alone] {
        assert_eq!(found.len(), expected.values.len());
        for (found, expected) in found.iter().zip(&expected.values) {
            let difference = (found - expected).abs();
            if difference.is_nan() || difference > most {
                most = difference;
            }
        }
    }
    let scale = expected
        .values
        .iter()
        .fold(0.0, |most: f32, v| most.max(v.abs()));
    Ok((scale, most))
}
