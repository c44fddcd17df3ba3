//! The names by which data sets are asked for: `NAME` or `NAME:DIR`.

use std::path::{Path, PathBuf};

use crate::error::DataError;

/// The data sets there are, as they are written.
pub const KNOWN: [&str; 9] = [
    "fashion-mini",
    "fashion-mnist[:DIR]",
    "mnist:DIR",
    "cifar10:DIR",
    "cifar100:DIR",
    "folder:DIR",
    "tar:DIR",
    "parquet:DIR",
    "packed:FILE",
];

/// Where the Debian package `dataset-fashion-mnist` puts its files.
pub(crate) const FASHION_MNIST_DIR: &str = "/usr/share/datasets/fashion-mnist";

/// A data set, by what reads it and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spec {
    FashionMini,
    FashionMnist(PathBuf),
    Mnist(PathBuf),
    Cifar10(PathBuf),
    Cifar100(PathBuf),
    Folder(PathBuf),
    /// A folder, or a pattern of files.
    Tar(String),
    /// A folder, or a pattern of files.
    Parquet(String),
    Packed(PathBuf),
}

impl Spec {
    /// Reads `NAME` or `NAME:DIR`; only the first colon parts, so folders may have more.
    pub(crate) fn parse(spec: &str) -> Result<Self, DataError> {
        let (name, folder) = match spec.split_once(':') {
            Some((name, folder)) => (name, Some(folder).filter(|folder| !folder.is_empty())),
            None => (spec, None),
        };
        let given = |what| {
            folder.ok_or_else(|| DataError::NeedsFolder {
                name: name.to_owned(),
                what,
            })
        };
        let needed = || given("DIR").map(PathBuf::from);
        match name {
            "fashion-mini" if spec.contains(':') => Err(DataError::TakesNoFolder {
                name: name.to_owned(),
            }),
            "fashion-mini" => Ok(Self::FashionMini),
            "fashion-mnist" => Ok(Self::FashionMnist(
                folder.unwrap_or(FASHION_MNIST_DIR).into(),
            )),
            "mnist" => Ok(Self::Mnist(needed()?)),
            "cifar10" => Ok(Self::Cifar10(needed()?)),
            "cifar100" => Ok(Self::Cifar100(needed()?)),
            "folder" => Ok(Self::Folder(needed()?)),
            "tar" => Ok(Self::Tar(given("DIR")?.to_owned())),
            "parquet" => Ok(Self::Parquet(given("DIR")?.to_owned())),
            "packed" => Ok(Self::Packed(given("FILE")?.into())),
            _ => Err(DataError::UnknownDataSet {
                name: spec.to_owned(),
                nearest: nearest(spec, name),
            }),
        }
    }
}

/// What `spec` was probably meant to be.
fn nearest(spec: &str, name: &str) -> Option<String> {
    if !spec.is_empty() && Path::new(spec).is_dir() {
        return Some(format!("folder:{spec}"));
    }
    if Path::new(spec).is_file() {
        let source = match Path::new(spec).extension()?.to_str()? {
            source @ ("tar" | "parquet") => source,
            _ => "packed",
        };
        return Some(format!("{source}:{spec}"));
    }
    let name = name.to_lowercase();
    KNOWN
        .iter()
        .map(|known| known.split(['[', ':']).next().unwrap_or(known))
        .map(|known| (strsim::normalized_damerau_levenshtein(&name, known), known))
        .filter(|&(similarity, _)| similarity >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_folders() {
        assert_eq!(Spec::parse("fashion-mini").unwrap(), Spec::FashionMini);
        for default in ["fashion-mnist", "fashion-mnist:"] {
            assert_eq!(
                Spec::parse(default).unwrap(),
                Spec::FashionMnist(FASHION_MNIST_DIR.into())
            );
        }
        assert_eq!(
            Spec::parse("mnist:my digits").unwrap(),
            Spec::Mnist("my digits".into())
        );
        assert_eq!(
            Spec::parse("folder:C:/a:b").unwrap(),
            Spec::Folder("C:/a:b".into())
        );
    }

    #[test]
    fn slips_are_named_and_mended() {
        let message = |spec| Spec::parse(spec).unwrap_err().to_string();
        assert!(message("fasion-mini").contains("did you mean `fashion-mini`?"));
        assert!(message("CIFAR-10:x").contains("did you mean `cifar10`?"));
        assert!(message("src").contains("did you mean `folder:src`?"));
        assert!(!message("imagenet21k").contains("did you mean"));
        assert!(message("").contains("known: fashion-mini, fashion-mnist[:DIR], mnist:DIR"));
        assert!(message("cifar10").contains("write `cifar10:DIR`"));
        assert!(message("folder:").contains("write `folder:DIR`"));
        assert!(message("fashion-mini:x").contains("takes no folder"));
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused_as_usage(spec in ".{0,40}") {
            if let Err(error) = Spec::parse(&spec) {
                prop_assert!(error.is_usage());
            }
        }
    }
}
