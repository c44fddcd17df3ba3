//! The networks that the Cream paper published.

use crate::architecture::Architecture;

/// A published network, its accuracy and its cost as published.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// `cream-14` to `cream-604`.
    pub name: &'static str,
    /// The network, in the space `cream-224`.
    pub architecture: Architecture,
    /// Published top-1 accuracy on ImageNet's validation images, percent.
    pub top1: f64,
    /// Published top-5 accuracy, percent.
    pub top5: f64,
    /// Published "FLOPs" in millions, which is [`crate::Cost::flops_thop`] for 1000 classes, rounded.
    pub published_mflops: f64,
}

/// Name, pixels, choices of each stage, top-1, top-5, published MFLOPs; Cream of the Crop, table 2 and the
/// authors' model zoo.
type Row = (&'static str, usize, [&'static [i8]; 5], f64, f64, f64);

const PRESETS: [Row; 6] = [
    (
        "cream-14",
        64,
        [&[0], &[3, 3], &[3, 3], &[1], &[3]],
        53.8,
        77.2,
        13.84,
    ),
    (
        "cream-43",
        96,
        [&[0], &[3, 1], &[3, 1], &[3, 3, 3], &[3, 3]],
        66.3,
        86.7,
        42.41,
    ),
    (
        "cream-114",
        160,
        [&[0], &[3, 3], &[3, 3], &[3, 3, 3], &[3, 3]],
        72.8,
        90.8,
        114.48,
    ),
    (
        "cream-287",
        224,
        [&[0], &[3, 3], &[3, 1, 3], &[3, 3, 3, 3], &[3, 3, 3]],
        77.6,
        93.3,
        287.19,
    ),
    (
        "cream-481",
        224,
        [
            &[3, 4, 3, 1],
            &[3, 2, 3, 0],
            &[3, 3, 3, 1, 1],
            &[3, 3, 3, 3],
            &[3, 3, 3, 3],
        ],
        79.2,
        94.2,
        481.59,
    ),
    (
        "cream-604",
        224,
        [
            &[3, 3, 2, 3, 3],
            &[3, 2, 3, 2, 3],
            &[3, 2, 3, 2, 3],
            &[3, 3, 2, 2, 3, 3],
            &[3, 2, 3, 3, 3, 3],
        ],
        80.0,
        94.7,
        604.32,
    ),
];

/// The published network of that name.
pub fn preset(name: &str) -> Option<Preset> {
    PRESETS.iter().find(|row| row.0 == name).map(
        |&(name, resolution, stages, top1, top5, published_mflops)| Preset {
            name,
            architecture: Architecture::new(
                "cream-224",
                resolution,
                stages.iter().map(|stage| stage.to_vec()).collect(),
            ),
            top1,
            top5,
            published_mflops,
        },
    )
}

/// The names of the published networks, from the smallest to the largest.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|row| row.0)
}
