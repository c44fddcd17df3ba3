//! Lists of labels: one line for each image, as ImageNet's validation images have them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DataError;

/// What the list is called where none is named: beside `val/`, or in it.
pub(crate) const NAMES: [&str; 2] = ["val_labels.txt", "labels.txt"];

/// The list of a folder's validation images, if it lies where it is looked for.
pub(crate) fn find(folder: &Path, val: &Path) -> Option<PathBuf> {
    [folder, val]
        .iter()
        .flat_map(|place| NAMES.map(|name| place.join(name)))
        .find(|path| path.is_file())
}

/// The labels of the sorted files `names`; `None` of a file that is not in the list.
///
/// A line is `NAME CLASS`, parted by spaces, a tab or a comma, where what follows the class does not count (Kaggle's
/// `LOC_val_solution.csv`) and `NAME` may lack its ending; or `CLASS` alone, one for each file in the order of their names.
/// `CLASS` is a class folder's name or its number, from 0 in the order of the names. Empty lines do not count.
///
/// # Errors
/// [`DataError::LabelFile`] with the line: of an unknown class, an image that is not there or has two labels, of another number
/// of classes alone than of images; [`DataError::Io`].
pub(crate) fn read(
    list: &Path,
    names: &[String],
    classes: &[String],
) -> Result<Vec<Option<usize>>, DataError> {
    let text = fs::read_to_string(list).map_err(|source| DataError::Io {
        path: list.to_owned(),
        source,
    })?;
    let fault = |line: usize, fault: String| DataError::LabelFile {
        path: list.to_owned(),
        line,
        fault,
    };
    let lines: Vec<(usize, Vec<&str>)> = text
        .lines()
        .zip(1..)
        .map(|(line, number)| {
            let words = line.split([',', ' ', '\t']).filter(|word| !word.is_empty());
            (number, words.take(2).collect())
        })
        .filter(|(_, words): &(_, Vec<_>)| !words.is_empty() && words[0] != "ImageId")
        .collect();
    let numbers: HashMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
    let class = |line: usize, word: &str| {
        let number = word
            .parse()
            .ok()
            .filter(|&number: &usize| number < classes.len());
        numbers.get(word).copied().or(number).ok_or_else(|| {
            fault(line, format!(
                "`{word}` is no class of train/: write the name of a class folder, or its number from 0 to {}",
                classes.len().saturating_sub(1)
            ))
        })
    };
    let mut labels = vec![None; names.len()];
    if lines.iter().all(|(_, words)| words.len() == 1) {
        if lines.len() != names.len() {
            return Err(fault(
                lines.last().map_or(1, |(line, _)| *line),
                format!(
                    "{} labels without names for {} images: there must be one for each",
                    lines.len(),
                    names.len()
                ),
            ));
        }
        // The numbers of ImageNet's own `ILSVRC2012_validation_ground_truth.txt` are not in the order of names.
        if let [(line, _), ..] = lines[..]
            && classes.first().is_some_and(|class| is_wordnet(class))
            && lines
                .iter()
                .all(|(_, words)| words[0].parse::<u32>().is_ok())
        {
            return Err(fault(line, "numbers alone, which ImageNet's own list counts in another order than that of names: \
                 give names of classes (n01440764), or lines `IMAGE CLASS`".to_owned()));
        }
        for (label, (line, words)) in labels.iter_mut().zip(&lines) {
            *label = Some(class(*line, words[0])?);
        }
        return Ok(labels);
    }
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(2 * names.len());
    for (place, name) in names.iter().enumerate() {
        places.insert(name, place);
        if let Some((stem, _)) = name.rsplit_once('.') {
            places.entry(stem).or_insert(place);
        }
    }
    for (line, words) in lines {
        let [name, word] = words[..] else {
            return Err(fault(line, "a line is `IMAGE CLASS`".to_owned()));
        };
        let name = name.rsplit('/').next().unwrap_or(name);
        let Some(&place) = places.get(name) else {
            return Err(fault(line, format!("there is no image `{name}`")));
        };
        if labels[place].replace(class(line, word)?).is_some() {
            return Err(fault(line, format!("a second label for `{name}`")));
        }
    }
    Ok(labels)
}

/// Whether a class is called as ImageNet's are, such as `n01440764`.
fn is_wordnet(class: &str) -> bool {
    class.len() == 9
        && class.starts_with('n')
        && class[1..].bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str, names: &[&str], classes: &[&str]) -> Result<Vec<Option<usize>>, String> {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("labels.txt");
        fs::write(&list, text).unwrap();
        let texts = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        read(&list, &texts(names), &texts(classes)).map_err(|error| {
            let error = error.to_string();
            error.rsplit_once("labels.txt, ").unwrap().1.to_owned()
        })
    }

    #[test]
    fn every_usual_form() {
        let names = ["a.JPEG", "b.JPEG", "c.JPEG"];
        let classes = ["cat", "dog"];
        let wanted = Ok(vec![Some(1), Some(0), Some(1)]);
        for text in [
            "dog\ncat\ndog\n",
            "1\n0\n1",
            "c.JPEG 1\r\na.JPEG 1\r\n\r\nb.JPEG 0\r\n",
            "ImageId,PredictionString\nb,cat 3 4 50 60 cat 1 1 2 2\na,dog 1 2 3 4\nc,dog 0 0 1 1\n",
            "val/a.JPEG\tdog\nval/b.JPEG\tcat\nval/c.JPEG\tdog\n",
        ] {
            assert_eq!(labels(text, &names, &classes), wanted, "{text}");
        }
        assert_eq!(
            labels("b dog", &names, &classes),
            Ok(vec![None, Some(1), None])
        );
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_line() {
        let names = ["a.JPEG", "b.JPEG"];
        for (text, says) in [
            ("dog\n\nwolf", "line 3: `wolf` is no class"),
            (
                "1\n2",
                "line 2: `2` is no class of train/: write the name of a class folder, or its number from 0 to 1",
            ),
            ("a -1\nb 1", "line 1: `-1` is no class"),
            ("dog", "line 1: 1 labels without names for 2 images"),
            ("a dog\nx dog", "line 2: there is no image `x`"),
            ("a dog\na.JPEG cat", "line 2: a second label for `a.JPEG`"),
            ("a dog\nb", "line 2: a line is `IMAGE CLASS`"),
        ] {
            let found = labels(text, &names, &["cat", "dog"]).unwrap_err();
            assert!(found.starts_with(says), "{found}");
        }
        let found = labels("1\n2", &names, &["n01440764", "n01443537"]).unwrap_err();
        assert!(found.contains("another order"), "{found}");
    }
}
