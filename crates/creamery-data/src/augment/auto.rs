//! RandAugment, AutoAugment and TrivialAugment by name.

use std::fmt;
use std::str::FromStr;

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use super::filter::Filter;
use super::policy::{CIFAR, IMAGENET, Policy};
use super::table::{FULL, Range, operation};
use crate::image::Image;

/// What RandAugment chooses from.
const RAND: [&str; 15] = [
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "Posterize",
    "Solarize",
    "SolarizeAdd",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateXRel",
    "TranslateYRel",
];

/// The operations of [`RAND`] whose effect falls as the level rises, or is least in the middle; with `inc1` those
/// named `..Increasing` stand for them.
const WITH_INCREASING: [&str; 6] = [
    "Posterize",
    "Solarize",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
];

/// What TrivialAugment chooses from, with its wide ranges (Müller and Hutter 2021, table 6): at its largest level, an
/// argument of this size.
const TRIVIAL: [(&str, f64); 14] = [
    ("Identity", 0.0),
    ("AutoContrast", 0.0),
    ("Equalize", 0.0),
    ("ShearX", 0.99),
    ("ShearY", 0.99),
    ("TranslateXRel", 1.0),
    ("TranslateYRel", 1.0),
    ("Rotate", 135.0),
    ("Posterize", 6.0),
    ("Solarize", 256.0),
    ("Color", 0.99),
    ("Contrast", 0.99),
    ("Brightness", 0.99),
    ("Sharpness", 0.99),
];

/// Pixels that TrivialAugment moves an image by at the most.
const TRIVIAL_TRANSLATION: f64 = 32.0;

/// Levels of TrivialAugment, beside 0.
const TRIVIAL_LEVELS: u32 = 30;

/// A policy of random changes, by the name that timm has for it.
///
/// | name | |
/// |---|---|
/// | `rand-m9-mstd0.5-inc1` | RandAugment (Cubuk et al. 2020): `m` level (10), `n` operations an image (2), `mstd` standard deviation of the level (0; above 100 uniform), `mmax` most level (10), `p` probability of each operation (0.5), `inc1` for operations that grow with the level |
/// | `original`, `original-mstd0.5` | AutoAugment for ImageNet |
/// | `cifar`, `cifar-mstd0.5` | AutoAugment for CIFAR-10 |
/// | `trivial` | TrivialAugment, wide |
///
/// ```
/// use creamery_data::AutoAugment;
///
/// let policy: AutoAugment = "rand-m9-mstd0.5-inc1".parse()?;
/// assert_eq!(policy.to_string(), "rand-m9-mstd0.5-inc1");
/// assert!("rand-q3".parse::<AutoAugment>().is_err());
/// # Ok::<(), creamery_data::AugmentError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct AutoAugment {
    name: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Rand(Rand),
    Policy { policy: Policy, deviation: f64 },
    Trivial,
}

#[derive(Clone, Debug, PartialEq)]
struct Rand {
    level: f64,
    deviation: f64,
    most: f64,
    operations: usize,
    probability: f64,
    increasing: bool,
}

/// Why a text names no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AugmentError {
    /// No policy begins so.
    #[error(
        "`{text}` is no augmentation{hint}: give `rand-m9-mstd0.5-inc1` or the like, `original`, `cifar` or `trivial`"
    )]
    Name {
        /// The text.
        text: String,
        /// What it may have been meant for.
        hint: String,
    },
    /// A part of the name is wrong.
    #[error("augmentation `{text}`: `{part}` {mend}")]
    Part {
        /// The text.
        text: String,
        /// The part.
        part: String,
        /// What would do.
        mend: &'static str,
    },
}

impl fmt::Display for AutoAugment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for AutoAugment {
    type Err = AugmentError;

    fn from_str(text: &str) -> Result<Self, AugmentError> {
        const NAMES: [&str; 4] = ["rand", "original", "cifar", "trivial"];
        let mut parts = text.split('-');
        let first = parts.next().unwrap_or_default();
        let parts: Vec<&str> = parts.collect();
        let part = |part: &str, mend| AugmentError::Part {
            text: shorten(text),
            part: shorten(part),
            mend,
        };
        let kind = match first {
            "rand" => Kind::Rand(Rand::parse(&parts, part)?),
            "original" | "cifar" => {
                let mut deviation = 0.0;
                for text in &parts {
                    deviation = text
                        .strip_prefix("mstd")
                        .and_then(number)
                        .ok_or_else(|| part(text, "is not `mstd` and a number"))?;
                }
                let policy = if first == "cifar" { CIFAR } else { IMAGENET };
                Kind::Policy { policy, deviation }
            }
            "trivial" => match parts.first() {
                Some(text) => return Err(part(text, "is too much: `trivial` has no settings")),
                None => Kind::Trivial,
            },
            other => {
                let close = NAMES
                    .iter()
                    .map(|name| (strsim::damerau_levenshtein(other, name), name))
                    .min()
                    .filter(|(distance, _)| *distance <= 2);
                return Err(AugmentError::Name {
                    text: shorten(text),
                    hint: close.map_or(String::new(), |(_, name)| {
                        format!(", did you mean `{name}`?")
                    }),
                });
            }
        };
        Ok(Self {
            name: text.to_owned(),
            kind,
        })
    }
}

/// The start of a text that an error quotes.
fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A number that is not negative.
fn number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

impl Rand {
    fn parse(
        parts: &[&str],
        wrong: impl Fn(&str, &'static str) -> AugmentError,
    ) -> Result<Self, AugmentError> {
        let mut rand = Self {
            level: FULL,
            deviation: 0.0,
            most: FULL,
            operations: 2,
            probability: 0.5,
            increasing: false,
        };
        for part in parts {
            let digits = part.find(|c: char| c.is_ascii_digit());
            let (key, value) = part.split_at(digits.unwrap_or(part.len()));
            let value = number(value).ok_or_else(|| {
                wrong(
                    part,
                    "is not one of m, n, mstd, mmax, p or inc with a number",
                )
            })?;
            match key {
                "m" => rand.level = value,
                "mstd" => rand.deviation = value,
                "mmax" if value > 0.0 => rand.most = value,
                "mmax" => return Err(wrong(part, "must be above 0")),
                "n" if (1.0..=20.0).contains(&value) && value.fract() == 0.0 => {
                    rand.operations = value as usize;
                }
                "n" => return Err(wrong(part, "must be a whole number of 1 to 20 operations")),
                "p" if value <= 1.0 => rand.probability = value,
                "p" => return Err(wrong(part, "must be a probability, 0 to 1")),
                "inc" if value == 0.0 || value == 1.0 => rand.increasing = value == 1.0,
                "inc" => return Err(wrong(part, "must be `inc0` or `inc1`")),
                _ => {
                    let mend = "is not one of m, n, mstd, mmax, p or inc with a number";
                    return Err(wrong(part, mend));
                }
            }
        }
        if rand.level > rand.most {
            return Err(wrong(
                &format!("m{}", rand.level),
                "is above the most level, 10: raise that too, as in `mmax20`",
            ));
        }
        Ok(rand)
    }

    fn apply(&self, image: &mut Image, rng: &mut impl Rng) {
        for _ in 0..self.operations {
            let name = *RAND.choose(rng).expect("there are operations");
            if !rng.random_bool(self.probability) {
                continue;
            }
            let increasing;
            let name = if self.increasing && WITH_INCREASING.contains(&name) {
                increasing = format!("{name}Increasing");
                &increasing
            } else {
                name
            };
            let level = drawn(self.level, self.deviation, self.most, rng);
            step(image, name, level, rng);
        }
    }
}

/// A level about `level`.
fn drawn(level: f64, deviation: f64, most: f64, rng: &mut impl Rng) -> f64 {
    /// Deviations beyond this stand for a uniform level.
    const UNIFORM: f64 = 100.0;
    let level = if deviation > UNIFORM {
        rng.random_range(0.0..=level)
    } else {
        let noise: f64 = rng.sample(StandardNormal);
        level + deviation * noise
    };
    level.clamp(0.0, most)
}

/// One operation at a level.
fn step(image: &mut Image, name: &str, level: f64, rng: &mut impl Rng) {
    let operation = operation(name);
    let argument = operation.range.argument(level, rng);
    operation.apply(image, argument, Filter::any(rng));
}

impl AutoAugment {
    /// Changes an image at random.
    pub(crate) fn apply(&self, image: &mut Image, rng: &mut impl Rng) {
        match &self.kind {
            Kind::Rand(rand) => rand.apply(image, rng),
            Kind::Policy { policy, deviation } => {
                let pair = policy.choose(rng).expect("there are pairs");
                for &(name, probability, level) in pair {
                    if rng.random_bool(probability) {
                        let level = drawn(level, *deviation, FULL, rng);
                        step(image, name, level, rng);
                    }
                }
            }
            Kind::Trivial => trivial(image, rng),
        }
    }
}

/// One operation of any strength.
fn trivial(image: &mut Image, rng: &mut impl Rng) {
    let &(name, most) = TRIVIAL.choose(rng).expect("there are operations");
    let operation = operation(name);
    let share = f64::from(rng.random_range(0..=TRIVIAL_LEVELS)) / f64::from(TRIVIAL_LEVELS);
    let size = share * most;
    let signed = |rng: &mut _| Range::Signed(size).argument(FULL, rng);
    let argument = match name {
        "TranslateXRel" => signed(rng) * TRIVIAL_TRANSLATION / image.width as f64,
        "TranslateYRel" => signed(rng) * TRIVIAL_TRANSLATION / image.height as f64,
        "Posterize" => 8.0 - size.round(),
        "Solarize" => most - size,
        "Color" | "Contrast" | "Brightness" | "Sharpness" => 1.0 + signed(rng),
        _ => signed(rng),
    };
    operation.apply(image, argument, Filter::any(rng));
}
