//! Architectures as timm writes them: one string for a block, or for several equal ones.
//!
//! ```text
//! block  = type "_" part { "_" part }
//! type   = "ds" depthwise-separable | "ir" inverted residual | "cn" convolution and norm
//! part   = "r" repeats | "k" kernel | "s" stride | "e" expansion | "c" channels | "se" ratio
//! ```
//!
//! Of several repeats the first takes the stride and the others have stride 1. The stem, the head and the
//! classifier have no strings. The ratio is one of the EXPANDED channels, as the authors of Cream have it;
//! timm itself takes it of the channels that enter unless told `se_from_exp`.

use crate::architecture::{Architecture, SKIP};
use crate::error::SpaceError;
use crate::space::{Fixed, Operation, Space};

/// One parsed block string.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Block {
    kind: Kind,
    repeats: usize,
    kernel: usize,
    stride: usize,
    expansion: usize,
    channels: usize,
    se_ratio: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    DepthwiseSeparable,
    InvertedResidual,
    ConvNorm,
}

impl Kind {
    fn letters(self) -> &'static str {
        match self {
            Kind::DepthwiseSeparable => "ds",
            Kind::InvertedResidual => "ir",
            Kind::ConvNorm => "cn",
        }
    }
}

fn wrong(place: &str, message: impl Into<String>) -> SpaceError {
    SpaceError::Timm {
        place: place.chars().take(60).collect(),
        message: message.into(),
    }
}

impl Block {
    fn parse(text: &str) -> Result<Block, SpaceError> {
        let place = format!("`{text}`");
        let mut parts = text.split('_');
        let kind = match parts.next() {
            Some("ds") => Kind::DepthwiseSeparable,
            Some("ir") => Kind::InvertedResidual,
            Some("cn") => Kind::ConvNorm,
            _ => return Err(wrong(&place, "must begin with `ds_`, `ir_` or `cn_`")),
        };
        let mut se_ratio = None;
        let mut numbers = [
            ("r", None),
            ("k", None),
            ("s", None),
            ("e", None),
            ("c", None),
        ];
        for part in parts {
            let twice = || wrong(&place, format!("`{part}` repeats an earlier part"));
            if let Some(ratio) = part.strip_prefix("se") {
                let ratio = ratio
                    .parse()
                    .ok()
                    .filter(|ratio: &f64| (0.0..=1.0).contains(ratio));
                let ratio = ratio
                    .ok_or_else(|| wrong(&place, format!("`{part}` must be `se` and 0 to 1")))?;
                if se_ratio.replace(ratio).is_some() {
                    return Err(twice());
                }
                continue;
            }
            let slot = (numbers.iter_mut()).find(|(letter, _)| part.starts_with(letter));
            let (_, slot) = slot.ok_or_else(|| {
                wrong(&place, format!("`{part}` is not one of r, k, s, e, c, se"))
            })?;
            let number = part[1..].parse().ok().filter(|&number: &usize| number > 0);
            let number = number.ok_or_else(|| {
                wrong(
                    &place,
                    format!("`{part}` must be a letter and a whole number above 0"),
                )
            })?;
            if slot.replace(number).is_some() {
                return Err(twice());
            }
        }
        let number = |i: usize, default: Option<usize>| {
            let (letter, number): (&str, Option<usize>) = numbers[i];
            number
                .or(default)
                .ok_or_else(|| wrong(&place, format!("lacks `{letter}` and its number")))
        };
        Ok(Block {
            kind,
            repeats: number(0, Some(1))?,
            kernel: number(1, None)?,
            stride: number(2, None)?,
            expansion: number(3, Some(1))?,
            channels: number(4, None)?,
            se_ratio: se_ratio.unwrap_or(0.0),
        })
    }

    fn write(&self) -> String {
        let expansion = match self.kind {
            Kind::ConvNorm => String::new(),
            _ => format!("_e{}", self.expansion),
        };
        let squeeze = match self.se_ratio {
            0.0 => String::new(),
            ratio => format!("_se{ratio}"),
        };
        format!(
            "{}_r{}_k{}_s{}{expansion}_c{}{squeeze}",
            self.kind.letters(),
            self.repeats,
            self.kernel,
            self.stride,
            self.channels,
        )
    }
}

impl Space {
    /// The architecture in timm's strings, block by block: the first block, the stages, the last
    /// convolution. Skipped blocks do not appear.
    ///
    /// # Errors
    /// Those of [`Space::validate`].
    pub fn to_timm(&self, architecture: &Architecture) -> Result<Vec<Vec<String>>, SpaceError> {
        self.validate(architecture)?;
        let mut stages = vec![vec![self.first_block().write()]];
        for (choices, stage) in architecture.choices.iter().zip(&self.stages) {
            let blocks = choices
                .iter()
                .enumerate()
                .filter(|&(_, &choice)| choice != SKIP);
            let strings = blocks.map(|(block, &choice)| {
                let operation = self.operations[choice as usize];
                Block {
                    kind: Kind::InvertedResidual,
                    repeats: 1,
                    kernel: operation.kernel,
                    stride: if block == 0 { stage.stride } else { 1 },
                    expansion: operation.expansion,
                    channels: stage.channels,
                    se_ratio: self.se_ratio,
                }
                .write()
            });
            stages.push(strings.collect());
        }
        stages.push(vec![self.last_block().write()]);
        Ok(stages)
    }

    fn first_block(&self) -> Block {
        let Fixed {
            channels,
            kernel,
            stride,
        } = self.first;
        Block {
            kind: Kind::DepthwiseSeparable,
            repeats: 1,
            kernel,
            stride,
            expansion: 1,
            channels,
            se_ratio: self.se_ratio,
        }
    }

    fn last_block(&self) -> Block {
        Block {
            kind: Kind::ConvNorm,
            repeats: 1,
            kernel: 1,
            stride: 1,
            expansion: 1,
            channels: self.last_channels,
            se_ratio: 0.0,
        }
    }

    /// The architecture that timm's strings describe, its blocks packed at the start of each stage.
    ///
    /// Takes one list for the first block, one for each stage and one for the last convolution, as
    /// [`Space::to_timm`] writes them. A string with repeats stands for that many blocks. `se` on the last
    /// convolution says nothing, there as in timm.
    ///
    /// # Errors
    /// [`SpaceError::Timm`] for a malformed string or a network that is not of this space;
    /// [`SpaceError::Resolution`] and [`SpaceError::Blocks`] as for any architecture.
    ///
    /// ```
    /// # use creamery_space::Space;
    /// let space = Space::builtin("tiny-32").unwrap();
    /// let architecture = space.from_timm(&[
    ///     vec!["ds_r1_k3_s1_e1_c16_se0.25"],
    ///     vec!["ir_r2_k3_s1_e2_c24_se0.25"],
    ///     vec!["ir_r1_k3_s2_e3_c32_se0.25"],
    ///     vec!["ir_r1_k5_s2_e6_c64_se0.25", "ir_r2_k3_s1_e6_c64_se0.25"],
    ///     vec!["cn_r1_k1_s1_c128"],
    /// ], 28)?;
    /// assert_eq!(architecture.to_string(), "tiny-32@28:00/1/522");
    /// # Ok::<(), creamery_space::SpaceError>(())
    /// ```
    // Not a conversion of the strings alone: the space says what they mean.
    #[allow(clippy::wrong_self_convention)]
    pub fn from_timm<S: AsRef<str>>(
        &self,
        stages: &[Vec<S>],
        resolution: usize,
    ) -> Result<Architecture, SpaceError> {
        let parse = |strings: &Vec<S>| -> Result<Vec<Block>, SpaceError> {
            strings
                .iter()
                .map(|text| Block::parse(text.as_ref()))
                .collect()
        };
        let [first, inner @ .., last] = stages else {
            return Err(wrong("stages", self.expected_lists(stages.len())));
        };
        if inner.len() != self.stages.len() {
            return Err(wrong("stages", self.expected_lists(stages.len())));
        }
        if parse(first)? != [self.first_block()] {
            let expected = format!("must be `{}` alone", self.first_block().write());
            return Err(wrong("first list", expected));
        }
        let without_squeeze = |block: Block| Block {
            se_ratio: 0.0,
            ..block
        };
        let last: Vec<Block> = parse(last)?.into_iter().map(without_squeeze).collect();
        if last != [self.last_block()] {
            let expected = format!("must be `{}` alone", self.last_block().write());
            return Err(wrong("last list", expected));
        }
        let mut choices = Vec::new();
        for (stage, strings) in inner.iter().enumerate() {
            choices.push(self.stage_from_timm(stage, strings, &parse(strings)?)?);
        }
        let architecture = Architecture::new(&self.name, resolution, choices);
        self.validate(&architecture)?;
        Ok(architecture)
    }

    fn expected_lists(&self, found: usize) -> String {
        let stages = self.stages.len();
        format!(
            "{found} lists, but `{}` needs {}: the first block, {stages} stages, the last convolution",
            self.name,
            stages + 2
        )
    }

    fn stage_from_timm<S: AsRef<str>>(
        &self,
        stage: usize,
        strings: &[S],
        blocks: &[Block],
    ) -> Result<Vec<i8>, SpaceError> {
        let size = self.stages[stage];
        let mut choices = Vec::new();
        for (text, block) in strings.iter().zip(blocks) {
            let place = format!("stage {stage}, `{}`", text.as_ref());
            let stride = if choices.is_empty() { size.stride } else { 1 };
            let expected = Block {
                kind: Kind::InvertedResidual,
                stride,
                channels: size.channels,
                se_ratio: self.se_ratio,
                ..*block
            };
            let wanted = Operation {
                kernel: block.kernel,
                expansion: block.expansion,
            };
            let operation = self
                .operations
                .iter()
                .position(|&operation| operation == wanted);
            let (Some(operation), true) = (operation, *block == expected) else {
                let operations = self.operations.iter();
                let allowed: Vec<String> = operations
                    .map(|op| format!("k{}/e{}", op.kernel, op.expansion))
                    .collect();
                return Err(wrong(
                    &place,
                    format!(
                        "must be `ir` with s{stride}, c{}, se{} and one of {}",
                        size.channels,
                        self.se_ratio,
                        allowed.join(", ")
                    ),
                ));
            };
            let found = block.repeats.saturating_add(choices.len());
            if found > size.blocks {
                return Err(SpaceError::Blocks {
                    space: self.name.clone(),
                    stage,
                    most: size.blocks,
                    found,
                });
            }
            choices.extend(std::iter::repeat_n(operation as i8, block.repeats));
        }
        Ok(choices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::preset;
    use proptest::prelude::*;

    fn cream() -> Space {
        Space::builtin("cream-224").unwrap()
    }

    fn cream_14() -> Vec<Vec<String>> {
        let architecture = preset("cream-14").unwrap().architecture;
        cream().to_timm(&architecture).unwrap()
    }

    /// As the authors' `arch_def` of this network has it.
    #[test]
    fn the_strings_of_a_published_network() {
        let expected = [
            vec!["ds_r1_k3_s1_e1_c16_se0.25"],
            vec!["ir_r1_k3_s2_e4_c24_se0.25"],
            vec!["ir_r1_k5_s2_e6_c40_se0.25", "ir_r1_k5_s1_e6_c40_se0.25"],
            vec!["ir_r1_k5_s2_e6_c80_se0.25", "ir_r1_k5_s1_e6_c80_se0.25"],
            vec!["ir_r1_k3_s1_e6_c96_se0.25"],
            vec!["ir_r1_k5_s2_e6_c192_se0.25"],
            vec!["cn_r1_k1_s1_c320"],
        ];
        assert_eq!(cream_14(), expected);
    }

    #[test]
    fn the_last_convolution_may_carry_a_ratio() {
        let mut strings = cream_14();
        strings[6][0] += "_se0.25";
        assert!(cream().from_timm(&strings, 64).is_ok());
    }

    #[test]
    fn a_space_without_squeeze_excite_has_none_in_its_strings() {
        let space = Space {
            se_ratio: 0.0,
            ..cream()
        };
        let architecture = space.smallest(64).unwrap();
        let strings = space.to_timm(&architecture).unwrap();
        assert_eq!(strings[1], ["ir_r1_k3_s2_e4_c24"]);
        assert_eq!(space.from_timm(&strings, 64).unwrap(), architecture);
        assert!(cream().from_timm(&strings, 64).is_err());
    }

    #[test]
    fn what_is_not_of_the_space_is_named() {
        for (stage, block, says) in [
            (
                0,
                "ds_r1_k5_s1_e1_c16_se0.25",
                "must be `ds_r1_k3_s1_e1_c16_se0.25` alone",
            ),
            (1, "xx_r1_k3_s2_e4_c24_se0.25", "must begin with"),
            (1, "ir", "lacks `k`"),
            (1, "ir_r1_k3_s2_e4", "lacks `c`"),
            (1, "ir_r1_k3_k3_s2_e4_c24", "`k3` repeats"),
            (1, "ir_r1_k3_s2_e4_c24_se0.25_se0.25", "`se0.25` repeats"),
            (1, "ir_r1_k3_s2_e4_c24_se2", "`se2` must be"),
            (1, "ir_r1_k3_s2_e4_c24_noskip", "`noskip` is not one of"),
            (
                1,
                "ir_r1_k3_s2_e4_cµ",
                "`cµ` must be a letter and a whole number",
            ),
            (1, "ir_r1_k3_s2_e4_c24_é", "`é` is not one of"),
            (1, "ir_r0_k3_s2_e4_c24_se0.25", "`r0` must be"),
            (
                1,
                "ir_r1_k3_s1_e4_c24_se0.25",
                "stage 0, `ir_r1_k3_s1_e4_c24_se0.25`: must be `ir` with s2",
            ),
            (1, "ir_r1_k3_s2_e5_c24_se0.25", "k3/e4, k3/e6"),
            (1, "ir_r1_k3_s2_e4_c25_se0.25", "c24"),
            (1, "ir_r6_k3_s2_e4_c24_se0.25", "stage 0 has 6 blocks"),
            (
                1,
                "ir_r18446744073709551615_k3_s2_e4_c24_se0.25",
                "at most 5",
            ),
            (
                1,
                "ir_r99999999999999999999_k3_s2_e4_c24_se0.25",
                "must be a letter",
            ),
            (6, "cn_r1_k1_s1_c321", "last list: must be"),
        ] {
            let mut strings = cream_14();
            strings[stage][0] = block.to_string();
            let message = cream().from_timm(&strings, 64).unwrap_err().to_string();
            assert!(message.contains(says), "{block}: {message}");
        }
        let short = cream().from_timm(&cream_14()[1..], 64).unwrap_err();
        assert!(
            short
                .to_string()
                .contains("6 lists, but `cream-224` needs 7")
        );
        assert!(cream().from_timm::<&str>(&[], 64).is_err());
        assert!(cream().from_timm(&cream_14(), 65).is_err());
        let mut empty = cream_14();
        empty[3].clear();
        let message = cream().from_timm(&empty, 64).unwrap_err().to_string();
        assert!(
            message.contains("first block of a stage always runs"),
            "{message}"
        );
    }

    proptest! {
        #[test]
        fn strings_come_back_as_the_packed_network(seed: u64) {
            let space = cream();
            let sampler = crate::Sampler::new(&space, 64, 3, 10, &crate::Budget::default()).unwrap();
            let architecture = sampler.draw(&mut creamery_rng::stream(seed, "timm", 0));
            let strings = space.to_timm(&architecture).unwrap();
            prop_assert_eq!(space.from_timm(&strings, 64).unwrap(), architecture.packed());
        }

        /// Runs of equal strings of a stage merged into one with repeats mean the same network.
        #[test]
        fn repeats_stand_for_blocks(operation in 0usize..6, blocks in 1usize..=5) {
            let space = cream();
            let mut architecture = space.smallest(64).unwrap();
            architecture.choices[2] = vec![operation as i8; blocks];
            let mut strings = space.to_timm(&architecture).unwrap();
            let merged = strings[3][0].replace("_r1_", &format!("_r{blocks}_"));
            strings[3] = vec![merged];
            prop_assert_eq!(space.from_timm(&strings, 64).unwrap(), architecture);
        }

        #[test]
        fn no_text_panics(text in "(ds|ir|cn|)(_(r|k|s|e|c|se|.)[0-9.µ]{0,3}){0,7}") {
            let _ = Block::parse(&text);
        }
    }
}
