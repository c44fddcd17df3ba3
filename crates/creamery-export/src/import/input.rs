//! How images are prepared for an imported network: as is said, or else as is usual.

use creamery_train::ModelInput;

use super::{ImportError, Request};
use crate::timm::Card;

/// Mean and standard deviation of ImageNet's channels, which networks for photographs are normalised with.
const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];
/// The usual part of a resized image's side that is cut out, 7/8.
const CROP: [usize; 2] = [7, 8];
/// Most pixels that the shorter side of an image can be resized to.
const MAX_SIDE: usize = 8192;

/// The input of a network for images of `channels` channels and `side` pixels, and `classes` classes.
pub(super) fn input(
    request: &Request<'_>,
    card: Option<&Card>,
    [channels, side, classes]: [usize; 3],
    assumed: &mut Vec<String>,
) -> Result<ModelInput, ImportError> {
    let wrong = |message: String| Err(ImportError::Input(message));
    if !matches!(channels, 1 | 3) {
        return wrong(format!(
            "the network is for images of {channels} channels, but images have 1 or 3"
        ));
    }
    let card = card.map(Card::model_input);
    let names = request.classes.clone();
    let names = match names.or_else(|| card.as_ref().map(|card| card.classes.clone())) {
        Some(names) if names.len() == classes => names,
        Some(names) => {
            return wrong(format!(
                "the network tells {classes} classes apart, and {} are named: give all names with --classes",
                names.len()
            ));
        }
        None => {
            assumed.push("numbers for names of the classes (--classes)".to_owned());
            (0..classes).map(|class| class.to_string()).collect()
        }
    };
    let usual = |i: usize| (channels == 3).then(|| IMAGENET[i].to_vec());
    let said = |own: &Option<Vec<f32>>, of: fn(&ModelInput) -> &Vec<f32>| {
        let card = card.as_ref();
        own.clone().or_else(|| card.map(|card| of(card).clone()))
    };
    let mean = said(&request.mean, |card| &card.mean);
    let std = said(&request.std, |card| &card.std);
    if channels == 3 && (mean.is_none() || std.is_none()) {
        assumed.push("ImageNet's mean and deviation of the channels (--mean, --std)".to_owned());
    }
    let (Some(mean), Some(std)) = (mean.or_else(|| usual(0)), std.or_else(|| usual(1))) else {
        return wrong(
            "how grey images are normalised is nowhere said: give --mean and --std".to_owned(),
        );
    };
    for (flag, values) in [("--mean", &mean), ("--std", &std)] {
        if values.len() != channels {
            return wrong(format!(
                "{flag} has {} values, but images have {channels} channels",
                values.len()
            ));
        }
    }
    if !mean.iter().all(|mean| mean.is_finite())
        || !std.iter().all(|std| std.is_normal() && *std > 0.0)
    {
        return wrong("--mean and --std must be finite, and --std above 0".to_owned());
    }
    let shorter_side = request
        .shorter_side
        .or_else(|| card.as_ref().map(|card| card.shorter_side));
    let shorter_side = shorter_side.unwrap_or_else(|| {
        let resized = (side * CROP[1]).div_ceil(CROP[0]);
        assumed.push(format!(
            "images resized to {resized} px before the middle is cut out (--resize)"
        ));
        resized
    });
    if !(side..=MAX_SIDE).contains(&shorter_side) {
        return wrong(format!(
            "--resize must be {side} to {MAX_SIDE}, not {shorter_side}"
        ));
    }
    let interpolation = card.as_ref().map(|card| card.interpolation);
    // A network for other classes was trained on other images.
    let data = card.filter(|card| card.classes == names);
    Ok(ModelInput {
        data: data.map_or_else(String::new, |card| card.data),
        classes: names,
        channels,
        shorter_side,
        interpolation: interpolation.unwrap_or_default(),
        mean,
        std,
    })
}
