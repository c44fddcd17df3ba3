//! `creamery describe`: what a network is made of and what it costs.

use std::path::PathBuf;

use creamery_space::{Layer, LayerSpec};
use creamery_view::rounded_latency;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::arch::{self, ArchArgs};
use crate::error::CommandError;
use crate::overview::{Overview, exact, plural, table};

const EXAMPLES: &str = "\
Examples:
  creamery describe cream-114
      a published network, on ImageNet
  creamery describe runs/cream-fashion-mini-1
      a search's winner, on its own data
  creamery describe cream-114 --resolution 96 --classes 2 --json
      the same layers at another size, for a program
  creamery describe runs/pets --latency-table phone.json
      with the time of each layer on a device";

/// Show a network layer by layer, with its cost
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    arch: ArchArgs,
    /// Pixels a side of the input [default: the architecture's own]
    #[arg(long, value_name = "PX")]
    resolution: Option<usize>,
    /// Classes [default: those of the network's run, else 1000]
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// Channels of an image [default: those of the network's run, else 3]
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
    /// Show latency too, by what the space's blocks take on a device
    #[arg(long, value_name = "FILE.json")]
    latency_table: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<Answer, CommandError> {
    let mut found = arch::find(&args.arch.arch, &args.arch.of)?;
    let (channels, classes) = found.input(args.channels, args.classes)?;
    if let Some(resolution) = args.resolution {
        found.architecture.resolution = resolution;
    }
    if let Some(table) = &args.latency_table {
        found.space = found.space.with_latency_file(table)?;
    }
    let (space, architecture) = (&found.space, &found.architecture);
    let layers = space.layers(architecture, channels, classes)?;
    let total = space.cost(architecture, channels, classes)?;
    let timm = space.to_timm(architecture)?;
    let blocks = blocks(&layers, timm.concat());

    let rows = layers.iter().zip(&blocks).map(|(layer, block)| {
        let share =
            |part: u64, whole: u64| format!("{:.1}%", 100.0 * part as f64 / whole.max(1) as f64);
        let mut row = vec![
            layer.name.clone(),
            block.clone(),
            format!("{}>{}", layer.input_size, layer.output_size),
            format!("{}>{}", layer.spec.in_channels(), layer.spec.out_channels()),
            exact(layer.cost.macs),
            exact(layer.cost.params),
            share(layer.cost.macs, total.macs),
        ];
        if space.latency_table().is_some() {
            row.push(rounded_latency(layer.cost.latency_ns));
            row.push(share(layer.cost.latency_ns, total.latency_ns));
        }
        row
    });
    let mut header = vec![
        "layer", "block", "size", "channels", "MACs", "params", "of MACs",
    ];
    if space.latency_table().is_some() {
        header.extend(["latency", "of latency"]);
    }
    let mut overview = Overview::default();
    overview
        .network(space, architecture)?
        .row(
            "input",
            format!(
                "{0}x{0}, {1}, {2}",
                architecture.resolution,
                plural(channels, "channel"),
                plural(classes, "class")
            ),
        )
        .cost(&total, space);
    if let Some(published) = &found.preset {
        overview.row(
            "published",
            format!(
                "{}% top-1, {}% top-5 on ImageNet",
                published.top1, published.top5
            ),
        );
    }
    let text = format!("{}\n{overview}", table(&header, &[1], rows.collect()));
    let layers: Vec<Value> = layers.iter().zip(&blocks).map(|(l, b)| row(l, b)).collect();
    let mut json = json!({
        "kind": "describe",
        "space": space.name,
        "resolution": architecture.resolution,
        "choices": architecture.choices,
        "timm": timm,
        "channels": channels,
        "classes": classes,
        "macs": total.macs,
        "params": total.params,
        "flops_thop": total.flops_thop,
        "layers": layers,
    });
    if let Some(table) = space.latency_table() {
        json["latency_ns"] = total.latency_ns.into();
        json["latency_table"] = json!({
            "fingerprint": table.fingerprint(),
            "device": table.device,
            "runtime": table.runtime,
            "batch": table.batch,
            "threads": table.threads,
            "overhead_ns": table.overhead_ns,
        });
    }
    if let Some(published) = &found.preset {
        json["published"] = json!({ "top1": published.top1, "top5": published.top5 });
    }
    Ok(Answer::done(text, json))
}

/// What each layer is, in timm's strings where timm has one. `timm` has them in the layers' order.
fn blocks(layers: &[Layer], timm: Vec<String>) -> Vec<String> {
    let mut timm = timm.into_iter();
    let block = |layer: &Layer| match layer.spec {
        // The stem is a convolution and a norm like timm's `cn`, but stands outside its strings.
        LayerSpec::ConvNorm {
            kernel,
            stride,
            out_channels,
            ..
        } if layer.name == "stem" => format!("cn_r1_k{kernel}_s{stride}_c{out_channels}"),
        LayerSpec::Head { head_channels, .. } => format!("pool, 1x1 conv to {head_channels}"),
        LayerSpec::Classifier { classes, .. } => format!("linear to {classes}"),
        _ => timm.next().unwrap_or_default(),
    };
    layers.iter().map(block).collect()
}

fn row(layer: &Layer, block: &str) -> Value {
    let mut row = json!({
        "name": layer.name,
        "block": block,
        "input_size": layer.input_size,
        "output_size": layer.output_size,
        "in_channels": layer.spec.in_channels(),
        "out_channels": layer.spec.out_channels(),
        "macs": layer.cost.macs,
        "params": layer.cost.params,
        "flops_thop": layer.cost.flops_thop,
    });
    if layer.cost.latency_ns > 0 {
        row["latency_ns"] = layer.cost.latency_ns.into();
    }
    row
}

#[cfg(test)]
mod tests {
    use creamery_space::Space;

    use super::*;

    #[test]
    fn every_layer_has_its_own_string() {
        let space = Space::builtin("tiny-32").unwrap();
        for architecture in [space.smallest(28).unwrap(), space.largest(32).unwrap()] {
            let layers = space.layers(&architecture, 1, 10).unwrap();
            let timm = space.to_timm(&architecture).unwrap().concat();
            let blocks = blocks(&layers, timm);
            assert_eq!(blocks.len(), layers.len());
            for (layer, block) in layers.iter().zip(&blocks) {
                let channels = layer.spec.out_channels();
                if layer.name == "head" || layer.name == "classifier" {
                    assert!(block.ends_with(&format!("to {channels}")), "{block}");
                } else {
                    assert!(block.contains(&format!("_c{channels}")), "{block}");
                    assert!(
                        block.contains(&format!("_s{}_", layer.spec.stride())),
                        "{block}"
                    );
                }
            }
        }
    }
}
