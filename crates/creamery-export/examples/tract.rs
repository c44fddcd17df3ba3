//! Classifies an image by an exported network, in tract:
//!
//! ```text
//! cargo run --release -p creamery-export --example tract -- net.onnx image.png
//! ```
//!
//! To stay short it takes PNG files of the network's size and channels, 8 bits a sample.

use std::error::Error;
use std::fs::File;
use std::io::BufReader;

use tract_onnx::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(network), Some(image)) = (args.next(), args.next()) else {
        return Err("give NET.onnx and IMAGE.png".into());
    };

    // The network, and what its file says of images.
    let onnx = tract_onnx::onnx();
    let file = onnx.proto_model_for_path(&network)?;
    let about = |key: &str| {
        let entry = file.metadata_props.iter().find(|entry| entry.key == key);
        entry
            .map(|entry| &entry.value[..])
            .ok_or_else(|| format!("`{network}` has no `{key}`"))
    };
    let side: usize = about("resolution")?.parse()?;
    let mean: Vec<f32> = serde_json::from_str(about("mean")?)?;
    let std: Vec<f32> = serde_json::from_str(about("std")?)?;
    let classes: Vec<String> = serde_json::from_str(about("classes")?)?;
    let model = onnx
        .model_for_proto_model(&file)?
        .into_optimized()?
        .into_runnable()?;

    // The image.
    let mut reader = png::Decoder::new(BufReader::new(File::open(&image)?)).read_info()?;
    let mut pixels = vec![
        0;
        reader
            .output_buffer_size()
            .ok_or("the image is too large")?
    ];
    let info = reader.next_frame(&mut pixels)?;
    let (channels, size) = (mean.len(), [info.width as usize, info.height as usize]);
    if size != [side; 2] || info.color_type.samples() != channels || info.bit_depth as u8 != 8 {
        return Err(
            format!("`{image}` is not {side}x{side} pixels of {channels} times 8 bits").into(),
        );
    }

    // Channels first, normalised as in training.
    let images = tract_ndarray::Array4::from_shape_fn((1, channels, side, side), |(_, c, y, x)| {
        let sample = pixels[(y * side + x) * channels + c];
        (f32::from(sample) / 255.0 - mean[c]) / std[c]
    });
    let output = model.run(tvec!(Tensor::from(images).into()))?;
    let logits = output[0].to_plain_array_view::<f32>()?;
    let best = logits
        .iter()
        .zip(&classes)
        .max_by(|a, b| a.0.total_cmp(b.0));
    let (logit, class) = best.ok_or("the network has no classes")?;
    println!("{class} (logit {logit:.4})");
    Ok(())
}
