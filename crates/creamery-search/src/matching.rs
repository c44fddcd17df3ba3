//! Choosing the teacher of a path among the board's entries.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::board::Entry;
use crate::meta::{MetaNetwork, sigmoid};

/// How a path finds its teacher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// The meta network says, and says how much the teacher counts.
    Meta,
    /// The entry whose phi is nearest by cosine similarity.
    Cosine,
    /// The entry whose phi is nearest by the sum of absolute differences.
    L1,
    /// The entry whose phi is nearest by the sum of squared differences.
    L2,
    /// Any entry.
    Random,
    /// The entry with the best score.
    Top1,
    /// No teacher: paths learn from labels alone.
    None,
}

impl Matching {
    /// Whether phi of the path is needed.
    pub fn needs_phi(self) -> bool {
        matches!(self, Self::Meta | Self::Cosine | Self::L1 | Self::L2)
    }
}

/// What phi is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatchOn {
    /// Softmax outputs on the anchors.
    Logits,
    /// The last feature map, pooled, on the anchors.
    Features,
}

/// A teacher and how much it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Its place on the board.
    pub index: usize,
    /// Its weight, in (0, 1).
    pub rho: f64,
}

/// Chooses the teacher of a path with `phi` among `entries`, of which `itself` is no teacher.
///
/// Among equals the one further up the board is taken. `fixed_rho` is the weight where no meta network
/// says one; `rng` serves the random choice.
pub fn choose(
    matching: Matching,
    phi: &[f32],
    entries: &[Entry],
    itself: Option<usize>,
    meta: &MetaNetwork,
    fixed_rho: f64,
    rng: &mut impl rand::Rng,
) -> Option<Choice> {
    let candidates: Vec<usize> = (0..entries.len()).filter(|i| Some(*i) != itself).collect();
    let first = *candidates.first()?;
    let best = |closeness: &dyn Fn(&Entry) -> f64| {
        let mut best = (first, f64::NEG_INFINITY);
        for &index in &candidates {
            let value = closeness(&entries[index]);
            if value > best.1 {
                best = (index, value);
            }
        }
        best
    };
    let pairs = |entry: &Entry| -> Vec<(f64, f64)> {
        let pairs = phi.iter().zip(&entry.phi);
        pairs.map(|(a, b)| (f64::from(*a), f64::from(*b))).collect()
    };
    let (index, rho) = match matching {
        Matching::None => return None,
        Matching::Top1 => (first, fixed_rho),
        Matching::Random => (candidates[rng.random_range(0..candidates.len())], fixed_rho),
        Matching::Meta => {
            let (index, logit) = best(&|entry| meta.logit(phi, &entry.phi));
            (index, sigmoid(logit))
        }
        Matching::Cosine => {
            let cosine = |entry: &Entry| {
                let (mut dot, mut a2, mut b2) = (0.0, 0.0, 0.0);
                for (a, b) in pairs(entry) {
                    dot += a * b;
                    a2 += a * a;
                    b2 += b * b;
                }
                dot / (a2 * b2).sqrt().max(f64::MIN_POSITIVE)
            };
            (best(&cosine).0, fixed_rho)
        }
        Matching::L1 => {
            let nearness = |e: &Entry| -pairs(e).iter().map(|(a, b)| (a - b).abs()).sum::<f64>();
            (best(&nearness).0, fixed_rho)
        }
        Matching::L2 => {
            let nearness = |e: &Entry| -pairs(e).iter().map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            (best(&nearness).0, fixed_rho)
        }
    };
    Some(Choice { index, rho })
}

#[cfg(test)]
mod tests {
    use super::*;
    use creamery_space::{Architecture, Cost};

    fn entries() -> Vec<Entry> {
        let phis = [
            vec![1.0, 0.0, 0.0],
            vec![0.4, 0.4, 0.2],
            vec![3.0, 3.0, 1.2],
        ];
        (0i8..)
            .zip(phis)
            .map(|(op, phi)| Entry {
                architecture: Architecture::new("s", 32, vec![vec![op]]),
                score: 90.0 - f64::from(op),
                cost: Cost::default(),
                phi,
                phi_step: 0,
                entered: 0,
                taught: 0,
            })
            .collect()
    }

    fn chosen(matching: Matching, itself: Option<usize>) -> Option<Choice> {
        let meta = MetaNetwork {
            weight: vec![1.0, 0.0, 0.0],
            bias: 0.5,
        };
        let mut rng = creamery_rng::stream(0, "test", 0);
        choose(
            matching,
            &[0.5, 0.5, 0.2],
            &entries(),
            itself,
            &meta,
            0.5,
            &mut rng,
        )
    }

    #[test]
    fn each_matching_finds_its_own_teacher() {
        let index = |matching| chosen(matching, None).unwrap().index;
        assert_eq!(index(Matching::Top1), 0);
        assert_eq!(index(Matching::Cosine), 2, "the same direction");
        assert_eq!(index(Matching::L1), 1);
        assert_eq!(index(Matching::L2), 1);
        assert_eq!(chosen(Matching::None, None), None);
    }

    /// The weight must be the chosen entry's own, and grow with its logit: both went wrong before.
    #[test]
    fn the_meta_network_gives_the_weight_of_the_entry_it_chose() {
        let choice = chosen(Matching::Meta, None).unwrap();
        // Logits: 0.5 + (0.5 - [1, 0.4, 3]) = 0, 0.6, -2.
        assert_eq!(choice.index, 1);
        assert!((choice.rho - sigmoid(0.6)).abs() < 1e-7);
    }

    #[test]
    fn a_path_is_not_its_own_teacher() {
        assert_eq!(chosen(Matching::Top1, Some(0)).unwrap().index, 1);
        let meta = MetaNetwork::new(3, 0);
        let mut rng = creamery_rng::stream(0, "test", 0);
        let alone = &entries()[..1];
        let none = choose(
            Matching::Meta,
            &[0.0; 3],
            alone,
            Some(0),
            &meta,
            0.5,
            &mut rng,
        );
        assert_eq!(none, None);
    }

    #[test]
    fn equal_entries_are_no_trouble() {
        let mut same = entries();
        let phi = same[0].phi.clone();
        same.iter_mut().for_each(|e| e.phi = phi.clone());
        let meta = MetaNetwork::new(3, 0);
        let mut rng = creamery_rng::stream(0, "test", 0);
        for matching in [Matching::Meta, Matching::Cosine, Matching::L1, Matching::L2] {
            let choice = choose(matching, &phi, &same, None, &meta, 0.5, &mut rng).unwrap();
            assert_eq!(choice.index, 0, "{matching:?}");
        }
    }
}
