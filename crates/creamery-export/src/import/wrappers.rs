//! Which of a file's tensors are the network's: names without what programs of training wrap around them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::ImportError;
use super::error::first;
use super::weights::{Stored, Weights};

/// A tensor that every network of this kind has.
const LANDMARK: &str = "conv_stem.weight";
/// Dictionaries and modules around a network, those of moving averages first: they are what is used.
const WRAPPERS: [&str; 8] = [
    "state_dict_ema",
    "model_ema",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "module",
];
/// How many of them are moving averages.
const AVERAGES: usize = 3;

/// The tensors of a network among those of a file.
#[derive(Debug)]
pub(super) struct Found {
    /// What stands before each name, such as `state_dict.module.`.
    pub prefix: String,
    /// Tensors of the file that are not the network's.
    pub others: usize,
}

impl Found {
    /// Looks for a network in a file: as it is, or wrapped.
    pub fn among(weights: &Weights, path: &Path) -> Result<Self, ImportError> {
        let names = weights.tensors.keys();
        let prefixes: BTreeSet<&str> = names
            .filter_map(|name| name.strip_suffix(LANDMARK))
            .filter(|prefix| rank(prefix).is_some())
            .collect();
        let mut ranked: Vec<_> = prefixes.iter().map(|p| (rank(p), *p)).collect();
        ranked.sort();
        let prefix = match ranked[..] {
            [] => {
                let names: Vec<String> = weights.tensors.keys().cloned().collect();
                return Err(ImportError::NoNetwork {
                    path: path.to_owned(),
                    count: names.len(),
                    first: first(&names),
                });
            }
            [(_, prefix)] => prefix,
            [(best, prefix), (second, _), ..] if best < second => prefix,
            _ => {
                let names: Vec<String> = prefixes.iter().map(|p| format!("`{p}`")).collect();
                return Err(ImportError::Several {
                    path: path.to_owned(),
                    wrappers: first(&names),
                });
            }
        };
        let own = weights.tensors.keys().filter(|n| n.starts_with(prefix));
        Ok(Self {
            prefix: prefix.to_owned(),
            others: weights.tensors.len() - own.count(),
        })
    }

    /// The network's tensors by timm's names. Counters of batches are left out: nothing depends on them.
    pub fn tensors<'a>(&self, weights: &'a Weights) -> BTreeMap<&'a str, &'a Stored> {
        let tensors = weights.tensors.iter();
        tensors
            .filter_map(|(name, stored)| Some((name.strip_prefix(&self.prefix)?, stored)))
            .filter(|(name, _)| !name.ends_with(".num_batches_tracked"))
            .collect()
    }
}

/// 0 for a moving average, 1 for another network; `None` if a part of the prefix is no wrapper.
fn rank(prefix: &str) -> Option<usize> {
    let parts = prefix.split_terminator('.');
    let known = parts.map(|part| WRAPPERS.iter().position(|wrapper| *wrapper == part));
    let known: Option<Vec<usize>> = known.collect();
    Some(usize::from(
        known?.iter().all(|wrapper| *wrapper >= AVERAGES),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(names: &[&str]) -> Weights {
        Weights::of_names(names)
    }

    fn prefix(names: &[&str]) -> Result<String, ImportError> {
        Found::among(&weights(names), Path::new("x.pth")).map(|found| found.prefix)
    }

    #[test]
    fn a_moving_average_is_preferred() {
        let plain = ["conv_stem.weight", "classifier.bias"];
        assert_eq!(prefix(&plain).unwrap(), "");
        let both = [
            "state_dict.module.conv_stem.weight",
            "state_dict_ema.conv_stem.weight",
            "optimizer.state.0.square_avg",
        ];
        assert_eq!(prefix(&both).unwrap(), "state_dict_ema.");
        let found = Found::among(&weights(&both), Path::new("x")).unwrap();
        assert_eq!(found.others, 2);
        assert_eq!(prefix(&both[..1]).unwrap(), "state_dict.module.");
    }

    #[test]
    fn what_is_not_clear_is_told() {
        let two = ["state_dict.conv_stem.weight", "model.conv_stem.weight"];
        let error = prefix(&two).unwrap_err().to_string();
        assert!(error.contains("`model.`, `state_dict.`"), "{error}");
        let other = ["backbone.conv_stem.weight", "layer1.weight", "x", "y"];
        let error = prefix(&other).unwrap_err().to_string();
        assert!(
            error.contains("4 tensors begin with backbone.conv_stem.weight, layer1.weight, x, .."),
            "{error}"
        );
    }

    #[test]
    fn counters_are_left_out() {
        let weights = weights(&["conv_stem.weight", "bn1.num_batches_tracked"]);
        let found = Found::among(&weights, Path::new("x")).unwrap();
        let names: Vec<_> = found.tensors(&weights).into_keys().collect();
        assert_eq!(names, ["conv_stem.weight"]);
    }
}
