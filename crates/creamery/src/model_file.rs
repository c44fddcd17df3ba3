//! MODEL: the ways to name a trained network on the command line.

use std::path::{Path, PathBuf};

use creamery_train::DataSettings;
use serde::Deserialize;

use crate::arch::{parse, read};
use crate::error::CommandError;

/// Finds the safetensors file that `name` means: itself, or that of a run or a result.
///
/// # Errors
/// If there is none, or a result does not say which.
pub(crate) fn find(name: &str) -> Result<PathBuf, CommandError> {
    #[derive(Deserialize)]
    struct ResultFile {
        weights: String,
    }
    let path = Path::new(name);
    if path.is_dir() {
        let model = path.join("model.safetensors");
        if model.exists() {
            return Ok(model);
        }
        return Err(CommandError::Usage(format!(
            "`{name}` holds no model.safetensors: is its run finished?"
        )));
    }
    if !path.exists() {
        return Err(CommandError::Usage(format!(
            "`{name}` is no file and no run's folder: give a model.safetensors, a result.json or a run's folder"
        )));
    }
    if path
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        let result: ResultFile = parse(path, &read(path)?)?;
        return Ok(path.with_file_name(result.weights));
    }
    Ok(path.to_owned())
}

/// The part of a run's configuration that every run has.
#[derive(Debug, Deserialize)]
pub(crate) struct RunSettings {
    pub seed: u64,
    pub data: DataSettings,
}

impl RunSettings {
    /// Of the run in `folder`; `None` if there is no run.
    ///
    /// # Errors
    /// If its run.toml is damaged.
    pub fn of(folder: &Path) -> Result<Option<Self>, CommandError> {
        let path = folder.join("run.toml");
        if !path.is_file() {
            return Ok(None);
        }
        let text = read(&path)?;
        let settings = toml::from_str(&text).map_err(|error| CommandError::File {
            line: error
                .span()
                .map(|span| text[..span.start].matches('\n').count() + 1),
            message: error.message().to_owned(),
            path,
        })?;
        Ok(Some(settings))
    }

    /// What decided which images were held out.
    pub fn split_seed(&self) -> u64 {
        self.data.split_seed.unwrap_or(self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_a_result_and_a_file_mean_the_same_model() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let text = |path: &Path| path.display().to_string();
        let missing = find(&text(folder.path())).unwrap_err();
        assert!(missing.is_usage() && missing.to_string().contains("finished?"));
        std::fs::write(at("result.json"), r#"{"weights": "model.safetensors"}"#).unwrap();
        std::fs::write(at("model.safetensors"), "").unwrap();
        for name in [folder.path(), &at("result.json"), &at("model.safetensors")] {
            assert_eq!(find(&text(name)).unwrap(), at("model.safetensors"));
        }
        assert!(find(&text(&at("no"))).unwrap_err().is_usage());
    }

    #[test]
    fn a_damaged_configuration_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        assert!(RunSettings::of(folder.path()).unwrap().is_none());
        std::fs::write(folder.path().join("run.toml"), "seed = 3\ndata = 4\n").unwrap();
        let error = RunSettings::of(folder.path()).unwrap_err().to_string();
        assert!(error.contains("run.toml`, line 2"), "{error}");
        std::fs::write(
            folder.path().join("run.toml"),
            "seed = 3\nepochs = 4\n[data]\nsource = \"mnist:x\"\n",
        )
        .unwrap();
        let settings = RunSettings::of(folder.path()).unwrap().unwrap();
        assert_eq!(
            (settings.seed, settings.data.source.as_str()),
            (3, "mnist:x")
        );
    }
}
