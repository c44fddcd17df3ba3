//! ARCH: the ways to name an architecture on the command line.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use creamery_space::{Architecture, Preset, Space, preset, preset_names};
use creamery_train::Model;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::CommandError;

/// Most bytes of a file that describes an architecture or a result.
const MAX_BYTES: u64 = 64 << 20;

/// An architecture as a command line names it.
#[derive(clap::Args, Debug)]
pub(crate) struct ArchArgs {
    /// A run's folder, the result.json of a search or retraining, an architecture file, or a preset
    #[arg(value_name = "ARCH")]
    pub arch: String,
    #[command(flatten)]
    pub of: ArchOptions,
}

/// What says more about ARCH.
#[derive(clap::Args, Debug)]
pub(crate) struct ArchOptions {
    /// The winner of this bucket, counted from 0, of a search with several
    #[arg(long, value_name = "N")]
    pub bucket: Option<usize>,
    /// The space of ARCH, if it is neither built in nor beside ARCH [a TOML file]
    #[arg(long, value_name = "S")]
    pub space: Option<String>,
}

/// An architecture that was found, and what lies around it.
#[derive(Debug)]
pub(crate) struct Found {
    pub architecture: Architecture,
    pub space: Space,
    /// The published network, if ARCH is the name of one.
    pub preset: Option<Preset>,
    /// The run that it comes from, if ARCH is a run or its result.
    pub origin: Option<Origin>,
}

/// Channels and classes of ImageNet, where nothing else is known.
const IMAGENET: (usize, usize) = (3, 1000);

impl Found {
    /// Channels and classes: as given, or as the network's run had them, or ImageNet's.
    ///
    /// # Errors
    /// If the weights of its run are damaged.
    pub fn input(
        &self,
        channels: Option<usize>,
        classes: Option<usize>,
    ) -> Result<(usize, usize), CommandError> {
        let weights = self.origin.as_ref().map(|origin| &origin.weights);
        let known = match weights.filter(|weights| weights.exists()) {
            Some(weights) => {
                let input = Model::load(weights, &creamery_nn::device("cpu")?)?.input;
                (input.channels, input.classes.len())
            }
            None => IMAGENET,
        };
        Ok((channels.unwrap_or(known.0), classes.unwrap_or(known.1)))
    }
}

/// The run that an architecture comes from.
#[derive(Debug)]
pub(crate) struct Origin {
    pub folder: PathBuf,
    /// Its data set.
    pub dataset: String,
    /// The file with its weights.
    pub weights: PathBuf,
}

/// What a `result.json` of any kind says of its network.
#[derive(Deserialize)]
struct ResultFile {
    architecture: Architecture,
    dataset: String,
    weights: String,
    #[serde(default)]
    family: Vec<MemberOfFamily>,
}

#[derive(Deserialize)]
struct MemberOfFamily {
    bucket: usize,
    architecture: Architecture,
}

/// Finds the architecture that `name` means. A preset's name means the preset; a file of that name is `./NAME`.
///
/// # Errors
/// If there is none of that name, or it is damaged or not one of its space.
pub(crate) fn find(name: &str, options: &ArchOptions) -> Result<Found, CommandError> {
    let found = match preset(name) {
        Some(preset) => Found {
            architecture: preset.architecture.clone(),
            space: space_of(&preset.architecture, None, options)?,
            preset: Some(preset),
            origin: None,
        },
        None => from_file(&file_meant(name)?, options)?,
    };
    if found.origin.is_none() && options.bucket.is_some() {
        return Err(CommandError::Usage(format!(
            "--bucket chooses among the winners of a search, but `{name}` is no search's result"
        )));
    }
    found.space.validate(&found.architecture)?;
    Ok(found)
}

/// The network that a finished run came to, with the space that lies in its folder.
///
/// # Errors
/// If the run is not finished or damaged.
pub(crate) fn of_run(folder: &Path) -> Result<Found, CommandError> {
    let options = ArchOptions {
        bucket: None,
        space: None,
    };
    from_file(&folder.join("result.json"), &options)
}

/// The file that `name` means.
fn file_meant(name: &str) -> Result<PathBuf, CommandError> {
    let path = Path::new(name);
    if path.is_dir() {
        let result = path.join("result.json");
        if result.exists() {
            return Ok(result);
        }
        return Err(CommandError::Usage(format!(
            "`{name}` holds no result.json: is its run finished?"
        )));
    }
    if path.exists() {
        return Ok(path.to_owned());
    }
    let close = preset_names()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    let hint = close.map_or(String::new(), |(_, known)| {
        format!(", did you mean `{known}`?")
    });
    let presets = preset_names().collect::<Vec<_>>().join(", ");
    Err(CommandError::Usage(format!(
        "`{name}` is no file, no run's folder and no preset{hint} (presets: {presets})"
    )))
}

fn from_file(path: &Path, options: &ArchOptions) -> Result<Found, CommandError> {
    let text = read(path)?;
    let value: serde_json::Value = parse(path, &text)?;
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    if value.get("architecture").is_none() {
        let architecture: Architecture = parse(path, &text)?;
        return Ok(Found {
            space: space_of(&architecture, Some(&folder), options)?,
            architecture,
            preset: None,
            origin: None,
        });
    }
    let result: ResultFile = parse(path, &text)?;
    let architecture = match options.bucket {
        None => result.architecture,
        Some(bucket) => {
            let buckets: Vec<String> = result.family.iter().map(|m| m.bucket.to_string()).collect();
            let member = result.family.into_iter().find(|m| m.bucket == bucket);
            let member = member.ok_or_else(|| {
                CommandError::Usage(match buckets.as_slice() {
                    [] => format!(
                        "--bucket {bucket}: `{}` has a single winner",
                        path.display()
                    ),
                    some => format!(
                        "--bucket {bucket}: `{}` has winners of the buckets {}",
                        path.display(),
                        some.join(", ")
                    ),
                })
            })?;
            member.architecture
        }
    };
    Ok(Found {
        space: space_of(&architecture, Some(&folder), options)?,
        architecture,
        preset: None,
        origin: Some(Origin {
            weights: folder.join(result.weights),
            dataset: result.dataset,
            folder,
        }),
    })
}

/// The space that an architecture names: the one given, else `space.toml` beside it, else a built-in one.
fn space_of(
    architecture: &Architecture,
    folder: Option<&Path>,
    options: &ArchOptions,
) -> Result<Space, CommandError> {
    if let Some(space) = &options.space {
        return Ok(Space::resolve(space)?);
    }
    if let Some(file) = folder.map(|folder| folder.join("space.toml"))
        && file.is_file()
    {
        return Ok(Space::resolve(&file.display().to_string())?);
    }
    let name = &architecture.space;
    Space::builtin(name).ok_or_else(|| {
        let name: String = name.chars().take(64).collect();
        CommandError::Usage(format!(
            "the architecture belongs to the space `{name}`, which is not built in: name its file with --space"
        ))
    })
}

/// Reads a text file of a size that a description can have.
pub(crate) fn read(path: &Path) -> Result<String, CommandError> {
    let fail = |source| CommandError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fail)?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    let wrong = |message: &str| CommandError::File {
        path: path.to_owned(),
        line: None,
        message: message.to_owned(),
    };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong("too large for a description of networks"));
    }
    String::from_utf8(bytes).map_err(|_| wrong("no text: a JSON file was expected here"))
}

/// Reads JSON; an error has the file and the line.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, CommandError> {
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        // The line stands before the message already.
        let message = message.split(" at line ").next().unwrap_or(&message);
        CommandError::File {
            path: path.to_owned(),
            line: Some(error.line()).filter(|&line| line > 0),
            message: format!("neither a result.json nor an architecture: {message}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONE: ArchOptions = ArchOptions {
        bucket: None,
        space: None,
    };

    fn written(text: &str) -> Result<Found, CommandError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a file.json");
        std::fs::write(&path, text).unwrap();
        find(&path.display().to_string(), &NONE)
    }

    #[test]
    fn a_preset_comes_with_its_space_and_accuracy() {
        let found = find("cream-14", &NONE).unwrap();
        assert_eq!(found.space.name, "cream-224");
        assert_eq!(found.preset.unwrap().top1, 53.8);
        assert!(found.origin.is_none());
    }

    #[test]
    fn a_slip_in_a_presets_name_is_mended() {
        let error = find("craem-14", &NONE).unwrap_err();
        assert!(error.is_usage());
        let message = error.to_string();
        assert!(message.contains("did you mean `cream-14`?"), "{message}");
        let far = find("resnet", &NONE).unwrap_err().to_string();
        assert!(
            !far.contains("did you mean") && far.contains("cream-604"),
            "{far}"
        );
    }

    #[test]
    fn an_architecture_file_may_name_a_built_in_space() {
        let text = r#"{"space": "tiny-32", "resolution": 28, "choices": [[0], [1, -1], [2]]}"#;
        let found = written(text).unwrap();
        assert_eq!(found.architecture.to_string(), "tiny-32@28:0/1/2");
        let text = text.replace("tiny-32", "pocket");
        let error = written(&text).unwrap_err().to_string();
        assert!(
            error.contains("`pocket`") && error.contains("--space"),
            "{error}"
        );
        let text = text.replace("pocket", "tiny-32").replace("28", "29");
        let error = written(&text).unwrap_err().to_string();
        assert!(error.contains("29") && error.contains("28, 32"), "{error}");
    }

    #[test]
    fn damage_is_told_with_file_and_line() {
        let error = written("{\"space\": \"tiny-32\",\n\"resolution\": x}")
            .unwrap_err()
            .to_string();
        assert!(error.contains("a file.json`, line 2: "), "{error}");
        assert!(!error.contains("column"), "{error}");
    }

    #[test]
    fn a_result_brings_its_run_and_its_family() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("result.json"),
            r#"{"kind": "search", "dataset": "fashion-mini", "weights": "w.safetensors",
                "architecture": {"space": "tiny-32", "resolution": 28, "choices": [[0], [1], [2]], "timm": []},
                "family": [{"bucket": 2, "architecture": {"space": "tiny-32", "resolution": 28, "choices": [[5], [1], [2]]}}]}"#,
        )
        .unwrap();
        let name = folder.path().display().to_string();
        let bucket = |bucket| ArchOptions {
            bucket: Some(bucket),
            space: None,
        };
        let origin = find(&name, &NONE).unwrap().origin.unwrap();
        assert_eq!(origin.dataset, "fashion-mini");
        assert_eq!(origin.weights, folder.path().join("w.safetensors"));
        let member = find(&name, &bucket(2)).unwrap().architecture;
        assert_eq!(member.to_string(), "tiny-32@28:5/1/2");
        let error = find(&name, &bucket(1)).unwrap_err().to_string();
        assert!(error.contains("winners of the buckets 2"), "{error}");
        assert!(find("cream-14", &bucket(0)).unwrap_err().is_usage());
    }

    #[test]
    fn a_space_of_the_users_lies_beside_the_result_or_is_named() {
        let mut space = Space::builtin("tiny-32").unwrap();
        space.name = "pocket".into();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(
            at("a.json"),
            r#"{"space": "pocket", "resolution": 28, "choices": [[0], [1], [2]]}"#,
        )
        .unwrap();
        assert!(find(&at("a.json"), &NONE).is_err());
        std::fs::write(at("mine.toml"), space.to_toml()).unwrap();
        let named = ArchOptions {
            bucket: None,
            space: Some(at("mine.toml")),
        };
        assert_eq!(find(&at("a.json"), &named).unwrap().space, space);
        std::fs::write(at("space.toml"), space.to_toml()).unwrap();
        assert_eq!(find(&at("a.json"), &NONE).unwrap().space, space);
    }

    proptest! {
        #[test]
        fn hostile_files_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.json");
            std::fs::write(&path, bytes).unwrap();
            prop_assert!(find(&path.display().to_string(), &NONE).is_err());
        }

        #[test]
        fn hostile_architectures_are_refused_or_belong_to_their_space(
            resolution in 0usize..40, choices in prop::collection::vec(prop::collection::vec(-3i8..8, 0..5), 0..5),
        ) {
            let text = serde_json::json!({"space": "tiny-32", "resolution": resolution, "choices": choices});
            if let Ok(found) = written(&text.to_string()) {
                prop_assert!(found.space.cost(&found.architecture, 3, 10).is_ok());
            }
        }
    }
}
