//! The files of a data set by folder or pattern, and which split each belongs to.

use std::path::{Path, PathBuf};

use crate::error::DataError;

/// The most files that a pattern may stand for.
const MAX_FILES: usize = 1 << 20;

const TRAIN: [&str; 2] = ["train", "training"];
/// Words of splits to test with; of several, the first that there is.
const TEST: [&[&str]; 2] = [&["val", "validation", "valid"], &["test", "testing"]];

/// The files of the training and of the test split.
pub(crate) struct SplitFiles {
    pub train: Vec<PathBuf>,
    pub test: Vec<PathBuf>,
}

/// Finds the files that end in `.ENDING`, in the order of their names.
///
/// `pattern` is a folder, whose files and whose folders' files count, or names with `*`, `?`, `[..]`, `{a,b}` and WebDataset's
/// `{0000..0146}`. A file belongs to the split whose word is in its name (`train-0001.tar`), or else in that of its folder
/// (`train/0001.tar`).
///
/// # Errors
/// [`DataError::NoFiles`] if a split has none or a file that was asked for by name is not there.
pub(crate) fn find(pattern: &str, ending: &str) -> Result<SplitFiles, DataError> {
    let none = |mend: String| DataError::NoFiles {
        place: format!("`{pattern}`"),
        mend,
    };
    let mut files = Vec::new();
    if Path::new(pattern).is_dir() {
        for depth in ["*", "*/*"] {
            let name = format!("{}/{depth}.{ending}", glob::Pattern::escape(pattern));
            files.extend(matching(&name).map_err(&none)?);
        }
    } else {
        for name in braces(pattern).map_err(&none)? {
            let found = matching(&name).map_err(&none)?;
            if found.is_empty() {
                return Err(none(format!("there is no file `{name}`")));
            }
            files.extend(found);
        }
    }
    files.sort_unstable();
    files.dedup();
    let of = |words: &[&str]| -> Vec<PathBuf> {
        let is = |path: &&PathBuf| split_word(path).is_some_and(|word| words.contains(&&*word));
        files.iter().filter(is).cloned().collect()
    };
    let train = of(&TRAIN);
    let test = TEST
        .iter()
        .map(|words| of(words))
        .find(|files| !files.is_empty());
    let missing = match (&train[..], &test) {
        ([], _) => "train",
        (_, None) => "validation",
        (_, Some(_)) => {
            return Ok(SplitFiles {
                train,
                test: test.unwrap_or_default(),
            });
        }
    };
    Err(none(format!(
        "no file of the {missing} split among {}: files are told apart by `train` and by `val`, `validation` or `test` in their names or \
         folders' names, such as {missing}-0000.{ending}",
        files.len()
    )))
}

/// The word that tells a file's split.
fn split_word(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str();
    let folder = path
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    [name, folder].into_iter().flatten().find_map(|name| {
        name.to_lowercase()
            .split(|letter: char| !letter.is_alphabetic())
            .find(|word| TRAIN.contains(word) || TEST.iter().any(|words| words.contains(word)))
            .map(str::to_owned)
    })
}

fn matching(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let paths = glob::glob(pattern).map_err(|error| format!("the pattern is wrong: {error}"))?;
    paths
        .take(MAX_FILES)
        .map(|path| path.map_err(|error| error.to_string()))
        .collect()
}

/// All names that a pattern's braces stand for: `{a,b}` and `{000..146}`, whose numbers keep their width.
fn braces(pattern: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = pattern.split_once('{') else {
        return Ok(vec![pattern.to_owned()]);
    };
    let (inside, after) = rest
        .split_once('}')
        .ok_or_else(|| "a brace is open: write {a,b} or {0000..0146}".to_owned())?;
    let number = |text: &str| {
        text.parse::<u32>()
            .ok()
            .filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
    };
    let choices: Vec<String> = match inside.split_once("..") {
        Some((first, last)) => match (number(first), number(last)) {
            (Some(from), Some(to)) if from <= to && (to - from) < MAX_FILES as u32 => {
                let width = first.len();
                (from..=to)
                    .map(|number| format!("{number:0width$}"))
                    .collect()
            }
            _ => return Err(format!("{{{inside}}} is no range such as {{0000..0146}}")),
        },
        None => inside.split(',').map(str::to_owned).collect(),
    };
    let rest = braces(after)?;
    if choices.len() * rest.len() > MAX_FILES {
        return Err(format!("more than {MAX_FILES} files"));
    }
    Ok(choices
        .iter()
        .flat_map(|choice| {
            rest.iter()
                .map(move |rest| format!("{before}{choice}{rest}"))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn braces_are_choices_and_ranges() {
        let of = |pattern| braces(pattern).unwrap();
        assert_eq!(of("a"), ["a"]);
        assert_eq!(
            of("{x,yy}-{08..11}.tar"),
            [
                "x-08.tar",
                "x-09.tar",
                "x-10.tar",
                "x-11.tar",
                "yy-08.tar",
                "yy-09.tar",
                "yy-10.tar",
                "yy-11.tar",
            ]
        );
        for wrong in [
            "{a",
            "{1..}",
            "{2..1}",
            "{-1..3}",
            "{0..4294967295}",
            "{0..9999}{0..9999}",
        ] {
            assert!(braces(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn splits_are_told_by_words() {
        let word = |path: &str| split_word(Path::new(path));
        assert_eq!(word("train/a-0001.tar").as_deref(), Some("train"));
        assert_eq!(
            word("x/imagenet1k-validation-00.tar").as_deref(),
            Some("validation")
        );
        assert_eq!(
            word("train/test-00000-of-00001.parquet").as_deref(),
            Some("test")
        );
        assert_eq!(word("constraint/a.tar"), None);
        assert_eq!(word("Train_00.tar").as_deref(), Some("train"));
    }

    #[test]
    fn folders_patterns_and_what_is_missing() {
        let folder = tempfile::TempDir::with_prefix("pat[t]ern ").unwrap();
        let put = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        };
        for name in [
            "train-01.tar",
            "train-00.tar",
            "test-00.tar",
            "more/val-00.tar",
            "notes.txt",
        ] {
            put(name);
        }
        let names = |files: Vec<PathBuf>| -> Vec<String> {
            files
                .iter()
                .map(|f| f.file_name().unwrap().to_str().unwrap().to_owned())
                .collect()
        };
        let found = find(folder.path().to_str().unwrap(), "tar").unwrap();
        assert_eq!(names(found.train), ["train-00.tar", "train-01.tar"]);
        assert_eq!(
            names(found.test),
            ["val-00.tar"],
            "validation goes before test"
        );
        let escaped = glob::Pattern::escape(folder.path().to_str().unwrap());
        let found = find(&format!("{escaped}/t{{rain,est}}-*.tar"), "tar").unwrap();
        assert_eq!(
            (found.train.len(), names(found.test)),
            (2, vec!["test-00.tar".to_owned()])
        );
        for (pattern, says) in [
            ("train-*.tar", "no file of the validation split among 2"),
            ("test-*.tar", "no file of the train split among 1"),
            ("train-{00..02}.tar", "train-02.tar"),
        ] {
            let error = find(&format!("{escaped}/{pattern}"), "tar").err().unwrap();
            assert!(
                error.is_usage() && error.to_string().contains(says),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[a{}.,0-9*\\[\\]]{0,12}") {
            let _ = braces(&pattern);
        }
    }
}
