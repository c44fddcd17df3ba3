//! One network of a space, as the choices that make it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// The choice that leaves a block out.
pub const SKIP: i8 = -1;

/// One path of a space: which operation runs at each place, and at which resolution.
///
/// `choices` has one list for each stage, and in it one number for each block: the index of an operation
/// of the space, or [`SKIP`]. In the canonical form trailing skips are left out; constructors and
/// deserialisation make it, and comparison and hashing look at it. Skips between blocks stay: `[3, -1, 2]`
/// and `[3, 2]` are equal networks, but different paths of a supernet, because the weights of different
/// blocks run in them.
///
/// ```
/// use creamery_space::{Architecture, SKIP};
///
/// let padded = Architecture::new("tiny-32", 28, vec![vec![2, SKIP], vec![0, SKIP, 1], vec![5]]);
/// assert_eq!(padded.choices, [vec![2], vec![0, SKIP, 1], vec![5]]);
/// assert_eq!(padded.to_string(), "tiny-32@28:2/0-1/5");
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Architecture {
    /// Name of the space that the choices belong to.
    pub space: String,
    /// Pixels a side of the square input.
    pub resolution: usize,
    /// For each stage, for each block, the index of an operation or [`SKIP`].
    pub choices: Vec<Vec<i8>>,
}

/// An architecture as a file has it, trailing skips and all.
#[derive(Deserialize)]
#[serde(rename = "Architecture")]
struct Written {
    space: String,
    resolution: usize,
    choices: Vec<Vec<i8>>,
}

impl From<Written> for Architecture {
    fn from(written: Written) -> Self {
        Architecture::new(written.space, written.resolution, written.choices)
    }
}

impl Architecture {
    /// The architecture in canonical form. Whether it belongs to the space, [`crate::Space::validate`] says.
    pub fn new(space: impl Into<String>, resolution: usize, choices: Vec<Vec<i8>>) -> Self {
        Architecture {
            space: space.into(),
            resolution,
            choices,
        }
        .canonical()
    }

    /// The same path without trailing skips.
    #[must_use]
    pub fn canonical(mut self) -> Self {
        for stage in &mut self.choices {
            stage.truncate(trimmed(stage).len());
        }
        self
    }

    /// The equal network whose blocks stand together: every skip is left out.
    ///
    /// It is another path of a supernet if there was a skip between blocks; see [`Architecture`].
    #[must_use]
    pub fn packed(mut self) -> Self {
        for stage in &mut self.choices {
            stage.retain(|&choice| choice != SKIP);
        }
        self
    }

    /// The number of blocks that run.
    pub fn depth(&self) -> usize {
        let choices = self.choices.iter().flatten();
        choices.filter(|&&choice| choice != SKIP).count()
    }

    fn key(&self) -> (&str, usize, impl Iterator<Item = &[i8]>) {
        let stages = self.choices.iter().map(|stage| trimmed(stage));
        (&self.space, self.resolution, stages)
    }
}

/// A stage's choices without trailing skips.
fn trimmed(stage: &[i8]) -> &[i8] {
    let end = stage.iter().rposition(|&choice| choice != SKIP);
    &stage[..end.map_or(0, |last| last + 1)]
}

impl Ord for Architecture {
    fn cmp(&self, other: &Self) -> Ordering {
        let (space, resolution, stages) = self.key();
        let (other_space, other_resolution, other_stages) = other.key();
        (space, resolution)
            .cmp(&(other_space, other_resolution))
            .then_with(|| stages.cmp(other_stages))
    }
}

impl PartialOrd for Architecture {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Architecture {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Architecture {}

impl Hash for Architecture {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (space, resolution, stages) = self.key();
        (space, resolution).hash(state);
        stages.for_each(|stage| stage.hash(state));
    }
}

/// `space@resolution:33/313/-`: a stage's choices side by side, `-` for a skip, stages apart by `/`.
/// Choices above 9 stand in parentheses.
impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:", self.space, self.resolution)?;
        for (i, stage) in self.choices.iter().enumerate() {
            if i > 0 {
                f.write_str("/")?;
            }
            for &choice in trimmed(stage) {
                match choice {
                    SKIP => f.write_str("-")?,
                    0..=9 => write!(f, "{choice}")?,
                    _ => write!(f, "({choice})")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::hash::DefaultHasher;

    fn hash(architecture: &Architecture) -> u64 {
        let mut hasher = DefaultHasher::new();
        architecture.hash(&mut hasher);
        hasher.finish()
    }

    fn any_choices() -> impl Strategy<Value = Vec<Vec<i8>>> {
        vec(vec(-1i8..3, 0..5), 1..4)
    }

    proptest! {
        #[test]
        fn padding_with_skips_changes_nothing(choices in any_choices(), pad in vec(0usize..4, 4)) {
            let plain = Architecture::new("s", 32, choices);
            let mut padded = plain.clone();
            for (stage, pad) in padded.choices.iter_mut().zip(pad) {
                stage.extend(std::iter::repeat_n(SKIP, pad));
            }
            prop_assert_eq!(&plain, &padded);
            prop_assert_eq!(hash(&plain), hash(&padded));
            prop_assert_eq!(plain.to_string(), padded.to_string());
            prop_assert_eq!(&plain.choices, &padded.clone().canonical().choices);
            prop_assert_eq!(plain.depth(), padded.packed().choices.concat().len());
        }

        #[test]
        fn equality_order_and_text_agree(a in any_choices(), b in any_choices()) {
            let (a, b) = (Architecture::new("s", 32, a), Architecture::new("s", 32, b));
            prop_assert_eq!(a == b, a.choices == b.choices);
            prop_assert_eq!(a == b, a.to_string() == b.to_string());
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        }

        #[test]
        fn files_read_back(choices in any_choices()) {
            let architecture = Architecture::new("s", 32, choices);
            let text = serde_json::to_string(&architecture).unwrap();
            let read: Architecture = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.choices, architecture.choices);
        }
    }

    #[test]
    fn inner_skips_are_part_of_the_path() {
        let apart = Architecture::new("s", 32, vec![vec![3, SKIP, 2]]);
        let together = Architecture::new("s", 32, vec![vec![3, 2]]);
        assert_ne!(apart, together);
        assert_eq!(apart.packed(), together);
    }

    #[test]
    fn a_file_with_trailing_skips_is_trimmed() {
        let text = r#"{"space": "s", "resolution": 32, "choices": [[1, -1], [-1]], "timm": []}"#;
        let read: Architecture = serde_json::from_str(text).unwrap();
        assert_eq!(read.choices, [vec![1], vec![]]);
    }
}
