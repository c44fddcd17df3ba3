//! Writes networks of random weights and statistics with what they say of random images, for other programs to
//! be held against:
//!
//! ```text
//! cargo run --release -p creamery-export --example random_models -- DIR [COUNT]
//! ```
//!
//! Every preset, and COUNT (20) random architectures of `cream-224` and of `tiny-32` each. `DIR/NAME/model.safetensors` is the
//! network; `DIR/NAME/check.safetensors` has `images`, `[2, channels, pixels, pixels]` as the network sees them (normalised), and
//! `logits`, `[2, classes]`.

#[path = "../tests/random/mod.rs"]
mod random;

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use creamery_nn::{Device, NamedTensor, Norm};
use creamery_space::{Architecture, Budget, Sampler, Space, preset, preset_names};
use creamery_train::checkpoint::write_weights;
use creamery_train::{Model, ModelInput};

const IMAGES: usize = 2;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let usage = "give a folder, and how many random architectures of each space";
    let folder = args.next().ok_or(usage)?;
    let count = args.next().map_or(Ok(20), |count| count.parse())?;
    let large = Space::builtin("cream-224").ok_or("no space cream-224")?;
    let small = Space::builtin("tiny-32").ok_or("no space tiny-32")?;
    for name in preset_names() {
        let preset = preset(name).ok_or("no such preset")?;
        write(
            Path::new(&folder),
            name,
            &large,
            &preset.architecture,
            3,
            1000,
        )?;
    }
    for (space, resolution, channels, classes) in [(&large, 224, 3, 1000), (&small, 28, 1, 10)] {
        let sampler = Sampler::new(space, resolution, channels, classes, &Budget::default())?;
        for i in 0..count {
            let mut rng = creamery_rng::stream(0, "random models", i);
            let name = format!("{}-{i:02}", space.name);
            let architecture = sampler.draw(&mut rng);
            write(
                Path::new(&folder),
                &name,
                space,
                &architecture,
                channels,
                classes,
            )?;
        }
    }
    Ok(())
}

fn write(
    folder: &Path,
    name: &str,
    space: &Space,
    architecture: &Architecture,
    channels: usize,
    classes: usize,
) -> Result<(), Failure> {
    let net = random::network(space, architecture, channels, classes, 0)?;
    let mut rng = creamery_rng::stream(0, name, 0);
    let side = architecture.resolution;
    let shape = [IMAGES, channels, side, side];
    let values = random::noise(shape.iter().product(), &mut rng);
    let images = TensorData::new(values.clone(), shape);
    let images = Tensor::<4>::from_data(images, &Device::flex());
    let logits = net
        .forward(images.permute([0, 2, 3, 1]), Norm::Running)
        .logits
        .into_data()
        .try_into_vec()
        .map_err(|e| format!("{e:?}"))?;

    let folder = folder.join(name);
    std::fs::create_dir_all(&folder)?;
    let input = ModelInput {
        data: "random".to_owned(),
        classes: (0..classes).map(|class| format!("class {class}")).collect(),
        channels,
        shorter_side: side,
        interpolation: Default::default(),
        mean: vec![0.5; channels],
        std: vec![0.25; channels],
    };
    let (space, path) = (space.clone(), folder.join("model.safetensors"));
    Model { net, space, input }.save(&path)?;
    let tensor = |name: &str, shape: &[usize], values| NamedTensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        values,
    };
    let check = [
        tensor("images", &shape, values),
        tensor("logits", &[IMAGES, classes], logits),
    ];
    write_weights(&folder.join("check.safetensors"), &check, HashMap::new())?;
    println!("{name}: {architecture}");
    Ok(())
}
