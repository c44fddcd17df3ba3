//! The binary versions of CIFAR-10 and CIFAR-100 (Krizhevsky 2009).
//!
//! A file is a sequence of records: one label byte (CIFAR-10) or a coarse and a fine one (CIFAR-100),
//! then 32x32 samples of red, of green and of blue.

/// Side of every image.
pub(crate) const SIDE: usize = 32;
/// Samples of one image.
const SAMPLES: usize = SIDE * SIDE * 3;
/// Superclasses of CIFAR-100.
const COARSE_CLASSES: u8 = 20;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Ten,
    Hundred,
}

impl Variant {
    pub(crate) fn classes(self) -> usize {
        match self {
            Self::Ten => 10,
            Self::Hundred => 100,
        }
    }

    fn label_bytes(self) -> usize {
        match self {
            Self::Ten => 1,
            Self::Hundred => 2,
        }
    }
}

/// What is wrong with a file of the CIFAR binary version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CifarError {
    /// The file is not a whole number of records.
    #[error(
        "cut short: {found} bytes found where whole records of {record} bytes are expected (the next whole one ends at {expected}); fetch the file again"
    )]
    CutShort {
        /// Bytes of one record.
        record: usize,
        /// Bytes up to the end of the record that is cut.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },

    /// The file is empty.
    #[error("empty file; fetch it again")]
    Empty,

    /// A label outside the classes.
    #[error("{kind} {label} of record {index} is outside 0 to {}: not a file of this data set?", classes - 1)]
    Label {
        /// `label`, `coarse label` or `fine label`.
        kind: &'static str,
        /// Which record, from 0.
        index: usize,
        /// The label found.
        label: u8,
        /// How many classes there are.
        classes: usize,
    },

    /// The list of class names has the wrong length.
    #[error("{found} class names found, {expected} expected: one a line")]
    Names {
        /// Classes of the data set.
        expected: usize,
        /// Lines found.
        found: usize,
    },
}

/// Images and labels of one or more files, appended as they are read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    /// 32x32x3 samples per image, channels innermost.
    pub pixels: Vec<u8>,
    pub labels: Vec<u32>,
}

impl Records {
    /// Appends the records of `file`; of CIFAR-100's two labels the fine one.
    pub(crate) fn append(&mut self, file: &[u8], variant: Variant) -> Result<(), CifarError> {
        let label_bytes = variant.label_bytes();
        let record = label_bytes + SAMPLES;
        if file.is_empty() {
            return Err(CifarError::Empty);
        }
        if !file.len().is_multiple_of(record) {
            let expected = file.len().next_multiple_of(record);
            return Err(CifarError::CutShort {
                record,
                expected,
                found: file.len(),
            });
        }
        self.pixels.reserve(file.len() / record * SAMPLES);
        for (index, record) in file.chunks_exact(record).enumerate() {
            let (labels, samples) = record.split_at(label_bytes);
            let outside = |kind, label, classes| CifarError::Label {
                kind,
                index,
                label,
                classes,
            };
            let label = match *labels {
                [coarse, _] if coarse >= COARSE_CLASSES => {
                    return Err(outside("coarse label", coarse, usize::from(COARSE_CLASSES)));
                }
                [_, fine] if usize::from(fine) >= variant.classes() => {
                    return Err(outside("fine label", fine, variant.classes()));
                }
                [label] if usize::from(label) >= variant.classes() => {
                    return Err(outside("label", label, variant.classes()));
                }
                _ => labels[label_bytes - 1],
            };
            self.labels.push(u32::from(label));
            let plane = SIDE * SIDE;
            for at in 0..plane {
                self.pixels
                    .extend([samples[at], samples[plane + at], samples[2 * plane + at]]);
            }
        }
        Ok(())
    }
}

/// Reads a list of class names, one a line (`batches.meta.txt`, `fine_label_names.txt`).
pub(crate) fn class_names(file: &[u8], variant: Variant) -> Result<Vec<String>, CifarError> {
    let names: Vec<String> = String::from_utf8_lossy(file)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    if names.len() == variant.classes() {
        Ok(names)
    } else {
        Err(CifarError::Names {
            expected: variant.classes(),
            found: names.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(labels: &[u8], shade: u8) -> Vec<u8> {
        let samples = (0..SAMPLES).map(|i| (i as u8).wrapping_add((i / 1024) as u8 * 85) ^ shade);
        labels.iter().copied().chain(samples).collect()
    }

    #[test]
    fn planes_become_pixels() {
        let mut records = Records::default();
        records.append(&record(&[3], 0), Variant::Ten).unwrap();
        records
            .append(&record(&[19, 99], 9), Variant::Hundred)
            .unwrap();
        assert_eq!(records.labels, [3, 99]);
        assert_eq!(records.pixels.len(), 2 * SAMPLES);
        for (image, shade) in [(0, 0), (1, 9)] {
            for (y, x, c) in [(0, 0, 0), (0, 1, 2), (31, 30, 1), (7, 9, 2)] {
                let planar = record(&[0], shade)[1 + c * 1024 + y * 32 + x];
                assert_eq!(
                    records.pixels[image * SAMPLES + (y * 32 + x) * 3 + c],
                    planar
                );
            }
        }
    }

    #[test]
    fn labels_outside_the_classes_are_named() {
        let mut file = record(&[9], 0);
        file.extend(record(&[10], 0));
        let fault = Records::default().append(&file, Variant::Ten).unwrap_err();
        assert_eq!(
            fault,
            CifarError::Label {
                kind: "label",
                index: 1,
                label: 10,
                classes: 10
            }
        );
        let append = |labels| Records::default().append(&record(labels, 0), Variant::Hundred);
        assert!(matches!(
            append(&[20, 0]),
            Err(CifarError::Label {
                kind: "coarse label",
                ..
            })
        ));
        assert!(matches!(
            append(&[0, 100]),
            Err(CifarError::Label {
                kind: "fine label",
                ..
            })
        ));
    }

    #[test]
    fn a_cut_file_tells_bytes_expected_and_found() {
        let file = [record(&[1], 0), record(&[2], 0)].concat();
        let fault = Records::default()
            .append(&file[..4000], Variant::Ten)
            .unwrap_err();
        assert_eq!(
            fault,
            CifarError::CutShort {
                record: 3073,
                expected: 6146,
                found: 4000
            }
        );
        assert_eq!(
            Records::default().append(&[], Variant::Ten),
            Err(CifarError::Empty)
        );
    }

    #[test]
    fn class_names_are_counted() {
        let ten = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\r\ntruck\n\n";
        assert_eq!(
            class_names(ten.as_bytes(), Variant::Ten).unwrap()[8],
            "ship"
        );
        assert_eq!(
            class_names(b"a\nb\n", Variant::Ten),
            Err(CifarError::Names {
                expected: 10,
                found: 2
            })
        );
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 3070..3080), hundred: bool) {
            let variant = if hundred { Variant::Hundred } else { Variant::Ten };
            let whole = bytes.len() == variant.label_bytes() + SAMPLES;
            let outcome = Records::default().append(&bytes, variant);
            prop_assert!(whole || outcome.is_err());
            let _ = class_names(&bytes, variant);
        }
    }
}
