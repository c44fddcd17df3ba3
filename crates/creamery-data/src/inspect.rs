//! A look at every image of a split.

use std::collections::BTreeMap;

use crate::error::DataError;
use crate::normalisation::{Moments, Normalisation, moments};
use crate::parallel::map_in_order;
use crate::split::Split;
use crate::store::SkippedImage;

/// Images between two times that progress is told.
const AT_A_TIME: usize = 1_000;

/// What the images of a split are.
#[derive(Debug)]
pub struct Inspection {
    /// How many images have each size: width and height in pixels.
    pub sizes: BTreeMap<(usize, usize), usize>,
    /// The mean and spread of all images that can be used, each with the same weight.
    pub normalisation: Normalisation,
    /// Images that cannot be decoded.
    pub bad: Vec<SkippedImage>,
}

impl Inspection {
    /// The sizes, the most frequent first.
    pub fn frequent_sizes(&self) -> Vec<((usize, usize), usize)> {
        let mut sizes: Vec<_> = self
            .sizes
            .iter()
            .map(|(&size, &count)| (size, count))
            .collect();
        sizes.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        sizes
    }
}

/// Decodes every image, on all processors. `tell` is called with the number of images done from time to time, and says whether
/// to go on; if not, what was seen so far counts.
///
/// # Errors
/// Those of the system, but none of an image.
pub fn inspect(
    split: &Split,
    mut tell: impl FnMut(usize) -> bool,
) -> Result<Inspection, DataError> {
    let mut sums = Moments::new(split.channels());
    let (mut sizes, mut bad) = (BTreeMap::new(), Vec::new());
    for first in (0..split.len()).step_by(AT_A_TIME) {
        let count = AT_A_TIME.min(split.len() - first);
        let seen = map_in_order(count, |i| {
            let image = split.image(first + i)?;
            let moments = moments(&image.pixels, image.channels);
            Ok(((image.width, image.height), moments))
        });
        for image in seen {
            match image {
                Ok((size, moments)) => {
                    *sizes.entry(size).or_insert(0) += 1;
                    sums.add(&moments);
                }
                Err(DataError::Image { place, fault }) => bad.push(SkippedImage { place, fault }),
                Err(error) => return Err(error),
            }
        }
        if !tell(first + count) {
            break;
        }
    }
    Ok(Inspection {
        sizes,
        normalisation: sums.normalisation(),
        bad,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{DataSet, OpenOptions};

    #[test]
    fn says_what_is_known_of_images_in_memory() {
        let data = DataSet::open("fashion-mini", &OpenOptions::default()).unwrap();
        let mut told = Vec::new();
        let found = inspect(&data.test, |done| {
            told.push(done);
            true
        })
        .unwrap();
        assert_eq!(found.frequent_sizes(), [((28, 28), 2000)]);
        assert_eq!(told, [1000, 2000]);
        assert_eq!(found.normalisation, Normalisation::of(&data.test).unwrap());
        assert!(found.bad.is_empty());
        let stopped = inspect(&data.test, |_| false).unwrap();
        assert_eq!(stopped.frequent_sizes(), [((28, 28), 1000)]);
    }
}
