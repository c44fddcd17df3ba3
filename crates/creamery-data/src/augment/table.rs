//! The operations that policies are made of: name, range, function.

use rand::{Rng, RngExt};

use super::colour;
use super::filter::Filter;
use super::{rotate, shift};
use crate::image::Image;

/// The level that stands for the end of a range.
pub(super) const FULL: f64 = 10.0;

/// How a level becomes an operation's argument. Levels run from 0 to [`FULL`], or further where a policy says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Range {
    /// There is no argument.
    None,
    /// From 0 to this, to either side.
    Signed(f64),
    /// 0.1 to 1.9, 1 changing nothing.
    Enhance,
    /// From 1 by up to 0.9 to either side, but not below 0.1.
    EnhanceIncreasing,
    /// Bits, from 0 to 4.
    Bits,
    /// Bits, from 4 down to 0.
    BitsIncreasing,
    /// Bits, from 4 to 8.
    BitsOriginal,
    /// From 0 to 256.
    Threshold,
    /// From 256 down to 0.
    ThresholdIncreasing,
    /// From 0 to 110, and never above 128.
    Addition,
}

impl Range {
    /// The argument at a level; the sides of a range are drawn.
    pub(super) fn argument(self, level: f64, rng: &mut impl Rng) -> f64 {
        let share = level / FULL;
        let mut signed = |value: f64| if rng.random() { value } else { -value };
        match self {
            Self::None => 0.0,
            Self::Signed(most) => signed(share * most),
            Self::Enhance => share * 1.8 + 0.1,
            Self::EnhanceIncreasing => (1.0 + signed(share * 0.9)).max(0.1),
            Self::Bits => (share * 4.0).floor(),
            Self::BitsIncreasing => (4.0 - (share * 4.0).floor()).max(0.0),
            Self::BitsOriginal => (share * 4.0).floor() + 4.0,
            Self::Threshold => (share * 256.0).floor().min(256.0),
            Self::ThresholdIncreasing => 256.0 - (share * 256.0).floor().min(256.0),
            Self::Addition => (share * 110.0).floor().min(128.0),
        }
    }
}

/// What an operation does to an image, by its argument.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    /// Without an argument.
    Plain(fn(&mut Image)),
    /// Of colours.
    Colour(fn(&mut Image, f64)),
    /// Of places.
    Geometric(fn(&mut Image, f64, Filter)),
}

/// An operation that policies name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub name: &'static str,
    pub range: Range,
    pub function: Function,
}

impl Operation {
    /// Changes an image, `argument` being within the range.
    pub fn apply(&self, image: &mut Image, argument: f64, filter: Filter) {
        match self.function {
            Function::Plain(function) => function(image),
            Function::Colour(function) => function(image, argument),
            Function::Geometric(function) => function(image, argument, filter),
        }
    }
}

/// All operations, by the names that timm gives them.
#[rustfmt::skip]
pub(super) const OPERATIONS: [Operation; 23] = {
    use Function::{Colour, Geometric, Plain};
    use Range::*;
    const fn operation(name: &'static str, range: Range, function: Function) -> Operation {
        Operation { name, range, function }
    }
    [
        operation("AutoContrast", None, Plain(colour::auto_contrast)),
        operation("Equalize", None, Plain(colour::equalize)),
        operation("Invert", None, Plain(colour::invert)),
        operation("Rotate", Signed(30.0), Geometric(rotate::rotate)),
        operation("Posterize", Bits, Colour(colour::posterize)),
        operation("PosterizeIncreasing", BitsIncreasing, Colour(colour::posterize)),
        operation("PosterizeOriginal", BitsOriginal, Colour(colour::posterize)),
        operation("Solarize", Threshold, Colour(colour::solarize)),
        operation("SolarizeIncreasing", ThresholdIncreasing, Colour(colour::solarize)),
        operation("SolarizeAdd", Addition, Colour(colour::solarize_add)),
        operation("Color", Enhance, Colour(colour::color)),
        operation("ColorIncreasing", EnhanceIncreasing, Colour(colour::color)),
        operation("Contrast", Enhance, Colour(colour::contrast)),
        operation("ContrastIncreasing", EnhanceIncreasing, Colour(colour::contrast)),
        operation("Brightness", Enhance, Colour(colour::brightness)),
        operation("BrightnessIncreasing", EnhanceIncreasing, Colour(colour::brightness)),
        operation("Sharpness", Enhance, Colour(colour::sharpness)),
        operation("SharpnessIncreasing", EnhanceIncreasing, Colour(colour::sharpness)),
        operation("ShearX", Signed(0.3), Geometric(shift::shear_x)),
        operation("ShearY", Signed(0.3), Geometric(shift::shear_y)),
        operation("TranslateXRel", Signed(0.45), Geometric(shift::translate_x)),
        operation("TranslateYRel", Signed(0.45), Geometric(shift::translate_y)),
        operation("Identity", None, Plain(|_| ())),
    ]
};

/// The operation of that name.
///
/// # Panics
/// If there is none: names come from this crate's own policies.
pub(super) fn operation(name: &str) -> &'static Operation {
    static TABLE: [Operation; 23] = OPERATIONS;
    let found = TABLE.iter().find(|operation| operation.name == name);
    found.unwrap_or_else(|| unreachable!("no operation {name}"))
}
