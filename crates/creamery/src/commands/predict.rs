//! `creamery predict`: what a trained network says of images.

use std::path::{Path, PathBuf};

use creamery_data::{DataError, SkippedImage};
use creamery_train::Model;
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::cli::Global;
use crate::commands::note_skipped;
use crate::error::CommandError;
use crate::model_file;
use crate::overview::table;
use crate::run_args::device_help;

const EXAMPLES: &str = "\
Examples:
  creamery predict runs/final cat.jpg dog.png
      the five likeliest classes of each image
  creamery predict model.safetensors photos/*.jpg --top 1 --json
      the likeliest class of each, for a program";

/// Images that are in memory at a time.
const AT_A_TIME: usize = 64;

/// Tell what images show, by a trained network
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A run's folder, a result.json, or a model.safetensors
    #[arg(value_name = "MODEL")]
    model: String,
    /// JPEG or PNG files; they are resized and cut as images were for the network's evaluation
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// Classes to tell of each image
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = top)]
    top: usize,
    /// Leave out files that are no images, instead of stopping at them
    #[arg(long)]
    skip_bad_images: bool,
    #[arg(long, value_name = "NAME", default_value = "cpu", help = device_help())]
    device: String,
}

/// What the network says of an image.
struct Prediction<'a> {
    image: &'a Path,
    /// Classes with their probabilities, the likeliest first.
    classes: Vec<(usize, f64)>,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    let device = creamery_nn::device(&args.device)?;
    let path = model_file::find(&args.model)?;
    let model = Model::load(&path, &device)?;
    let names = &model.input.classes;
    let (predictions, skipped) = args.predict(&model)?;
    note_skipped(&skipped, global);

    let shown = |class: usize, probability: f64| {
        vec![names[class].clone(), format!("{:.2}%", 100.0 * probability)]
    };
    let mut rows = Vec::new();
    for Prediction { image, classes } in &predictions {
        for (place, &(class, probability)) in classes.iter().enumerate() {
            let name = match place {
                0 => image.display().to_string(),
                _ => String::new(),
            };
            let mut row = vec![name];
            row.extend(shown(class, probability));
            rows.push(row);
        }
    }
    let text = table(&["image", "class", "probability"], &[1], rows);
    let json = json!({
        "kind": "predict",
        "model": path.display().to_string(),
        "predictions": predictions
            .iter()
            .map(|prediction| json!({
                "image": prediction.image.display().to_string(),
                "classes": prediction.classes
                    .iter()
                    .map(|&(class, probability)| json!({
                        "class": names[class],
                        "index": class,
                        "probability": probability,
                    }))
                    .collect::<Vec<Value>>(),
            }))
            .collect::<Vec<Value>>(),
        "skipped": skipped
            .iter()
            .map(|file| json!({
                "image": file.place.to_string(),
                "fault": file.fault.to_string(),
            }))
            .collect::<Vec<Value>>(),
    });
    Ok(Answer::done(text, json))
}

impl Args {
    /// What the network says of each image, and which were left out.
    fn predict(
        &self,
        model: &Model,
    ) -> Result<(Vec<Prediction<'_>>, Vec<SkippedImage>), CommandError> {
        let pipeline = model.input.pipeline(model.net.architecture.resolution);
        let net = model.net.ready();
        let (mut predictions, mut skipped) = (Vec::new(), Vec::new());
        for paths in self.images.chunks(AT_A_TIME) {
            let read: Vec<_> = paths.par_iter().map(|path| pipeline.file(path)).collect();
            let (mut images, mut names) = (Vec::new(), Vec::new());
            for (path, image) in paths.iter().zip(read) {
                match image {
                    Ok(image) => {
                        images.extend(image);
                        names.push(path.as_path());
                    }
                    Err(DataError::Image { place, fault }) if self.skip_bad_images => {
                        skipped.push(SkippedImage { place, fault });
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            let logits = net.infer(&images)?;
            let logits = logits.chunks_exact(model.input.classes.len());
            let said = names
                .into_iter()
                .zip(logits)
                .map(|(image, logits)| Prediction {
                    image,
                    classes: likeliest(logits, self.top),
                });
            predictions.extend(said);
        }
        Ok((predictions, skipped))
    }
}

/// The `top` likeliest classes by their logits.
fn likeliest(logits: &[f32], top: usize) -> Vec<(usize, f64)> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits
        .iter()
        .map(|logit| f64::from(logit - most).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    let mut classes: Vec<(usize, f64)> = weights
        .iter()
        .map(|weight| weight / sum)
        .enumerate()
        .collect();
    classes.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    classes.truncate(top);
    classes
}

fn top(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(top) if top > 0 => Ok(top),
        _ => Err("give at least 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_softmax_and_ties_keep_the_classes_order() {
        let found = likeliest(&[0.0, 2.0, 2.0, -1e30, 1000.0 - 998.0], 10);
        let order: Vec<usize> = found.iter().map(|(class, _)| *class).collect();
        assert_eq!(order, [1, 2, 4, 0, 3]);
        let e = 2.0f64.exp();
        assert!((found[0].1 - e / (3.0 * e + 1.0)).abs() < 1e-12);
        assert!((found.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(likeliest(&[3e38, -3e38], 1), [(0, 1.0)]);
    }
}
