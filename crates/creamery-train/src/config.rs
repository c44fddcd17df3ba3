//! Configuration from several sources, each checked with its own place in the message.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds something it should not.
    #[error("{origin}, line {line}: {message}")]
    File {
        /// The file.
        origin: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong and what would do.
        message: String,
    },
    /// A `--set` is not of the form `key=value`.
    #[error("--set {0}: this is not of the form key=value, such as --set train.lr=0.1")]
    Form(String),
    /// A `--set` names something that is not there or gives it a value of the wrong type.
    #[error("--set {set}: {message}")]
    Set {
        /// The setting as given.
        set: String,
        /// What is wrong and what would do.
        message: String,
    },
    /// Settings that do not go together, or values out of range.
    #[error("{0}")]
    Value(String),
}

/// The sources of a configuration.
///
/// A flag wins over `--set`, `--set` over the file, the file over the defaults.
#[derive(Clone, Debug, Default)]
pub struct Layers<'a> {
    /// What holds when nothing else is said.
    pub defaults: Table,
    /// A TOML file.
    pub file: Option<&'a Path>,
    /// Assignments `key=value`, keys dotted, values in TOML or plain text.
    pub sets: &'a [String],
    /// What the command line's flags say.
    pub flags: Table,
}

impl Layers<'_> {
    /// Puts the sources together.
    ///
    /// # Errors
    /// [`ConfigError`] that names the source, the line or assignment, and the nearest key that exists.
    pub fn resolve<T: DeserializeOwned>(self) -> Result<T, ConfigError> {
        from_table(self.merged::<T>()?).map_err(ConfigError::Value)
    }

    /// Puts the sources together, each checked as a `T`, and leaves open what none of them says.
    ///
    /// # Errors
    /// Those of [`resolve`](Self::resolve).
    pub fn merged<T: DeserializeOwned>(self) -> Result<Table, ConfigError> {
        let mut merged = self.defaults;
        if let Some(path) = self.file {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
                path: path.to_owned(),
                source,
            })?;
            merge(&mut merged, file::<T>(&text, &path.display().to_string())?);
        }
        for set in self.sets {
            merge(&mut merged, assignment::<T>(set)?);
        }
        merge(&mut merged, self.flags);
        Ok(merged)
    }
}

/// Reads a table as a configuration; the message of an error names the key.
fn from_table<T: DeserializeOwned>(table: Table) -> Result<T, String> {
    serde_path_to_error::deserialize(table).map_err(|error| {
        let path = error.path().to_string();
        let message = readable(error.inner().message());
        match path.as_str() {
            "." => message,
            path => format!("`{path}`: {message}"),
        }
    })
}

fn file<T: DeserializeOwned>(text: &str, origin: &str) -> Result<Table, ConfigError> {
    let fail = |error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        ConfigError::File {
            origin: origin.to_owned(),
            line: text[..at.min(text.len())].matches('\n').count() + 1,
            message: readable(error.message()),
        }
    };
    // As a configuration first: only this reading knows the line of a wrong key or type.
    toml::from_str::<T>(text).map_err(fail)?;
    toml::from_str(text).map_err(fail)
}

fn assignment<T: DeserializeOwned>(set: &str) -> Result<Table, ConfigError> {
    let (key, value) = set
        .split_once('=')
        .filter(|(key, _)| !key.trim().is_empty())
        .ok_or_else(|| ConfigError::Form(set.to_owned()))?;
    let value = value.trim();
    let value = toml::from_str::<Table>(&format!("v = {value}"))
        .ok()
        .and_then(|mut table| table.remove("v"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    let mut keys = key.trim().rsplit('.');
    let last = keys.next().unwrap_or_default();
    let mut table = Table::from_iter([(last.to_owned(), value)]);
    for key in keys {
        table = Table::from_iter([(key.to_owned(), Value::Table(table))]);
    }
    from_table::<T>(table.clone()).map_err(|message| ConfigError::Set {
        set: set.to_owned(),
        message,
    })?;
    Ok(table)
}

/// Lays `over` on `under`, table by table.
pub fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// The known name that was probably meant by a wrong one, if any is near: at most half of its letters are others.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known = known.into_iter();
    let near = known
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(distance, name)| *distance <= (name.len().max(wrong.len()) / 2).max(1));
    near.min().map(|(_, name)| name)
}

/// Serde's message, with the nearest of the names that it lists.
fn readable(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return message.to_owned();
    };
    let Some((wrong, rest)) = rest.split_once('`') else {
        return message.to_owned();
    };
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    match nearest(wrong, known.iter().copied()) {
        Some(name) => format!("unknown key `{wrong}`, did you mean `{name}`?"),
        None => format!("unknown key `{wrong}`; there are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        seed: u64,
        train: Train,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Train {
        lr: f64,
        name: String,
    }

    impl Default for Train {
        fn default() -> Self {
            Self {
                lr: 1.0,
                name: "a".into(),
            }
        }
    }

    fn resolve(file: Option<&str>, sets: &[&str], flags: &str) -> Result<Sample, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my config.toml");
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
        }
        Layers {
            defaults: toml::from_str("seed = 1").unwrap(),
            file: file.is_some().then_some(&path),
            sets: &sets.iter().map(|s| s.to_string()).collect::<Vec<_>>(),
            flags: toml::from_str(flags).unwrap(),
        }
        .resolve()
    }

    #[test]
    fn a_flag_wins_over_set_over_file_over_default() {
        let got = resolve(None, &[], "").unwrap();
        assert_eq!((got.seed, got.train.lr), (1, 1.0));
        let file = Some("seed = 2\n[train]\nlr = 0.2\n");
        assert_eq!(resolve(file, &[], "").unwrap().seed, 2);
        let got = resolve(file, &["seed=3", "train.name=5M"], "").unwrap();
        assert_eq!(
            (got.seed, got.train.lr, got.train.name.as_str()),
            (3, 0.2, "5M")
        );
        assert_eq!(resolve(file, &["seed=3"], "seed = 4").unwrap().seed, 4);
    }

    #[test]
    fn wrong_keys_and_types_are_told_with_their_place() {
        let error = |file, sets: &[&str]| resolve(file, sets, "").unwrap_err().to_string();
        let unknown = error(Some("seed = 2\n\n[train]\nlrr = 0.2\n"), &[]);
        assert!(
            unknown.contains("my config.toml, line 4") && unknown.contains("`lr`"),
            "{unknown}"
        );
        let kind = error(Some("seed = \"x\"\n"), &[]);
        assert!(kind.contains("line 1") && kind.contains("string"), "{kind}");
        let far = error(Some("completely = 1\n"), &[]);
        assert!(far.contains("seed, train"), "{far}");
        let set = error(None, &["train.lrr=1"]);
        assert!(
            set.contains("--set train.lrr=1") && set.contains("`lr`"),
            "{set}"
        );
        let value = error(None, &["train.lr=fast"]);
        assert!(value.contains("train.lr"), "{value}");
        assert!(error(None, &["seed"]).contains("key=value"));
        assert!(error(Some("seed = = 3"), &[]).contains("line 1"));
    }
}
