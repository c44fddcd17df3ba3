//! Which images of a store can be used.

use crate::dataset::OpenOptions;
use crate::decode::ImageError;
use crate::error::DataError;
use crate::parallel::map_in_order;
use crate::split::Split;
use crate::store::{ImagePlace, SkippedImage, Store};

/// Images that were left out, up to a bound.
pub(crate) struct Skipped {
    options: OpenOptions,
    pub images: Vec<SkippedImage>,
}

impl Skipped {
    /// None so far.
    pub fn new(options: &OpenOptions) -> Self {
        Self {
            options: options.clone(),
            images: Vec::new(),
        }
    }

    /// Leaves an image, or the rest of a damaged file, out.
    ///
    /// # Errors
    /// [`DataError::Image`] if none may be left out, [`DataError::TooManyBad`] if no more may be.
    pub fn add(&mut self, place: ImagePlace, fault: ImageError) -> Result<(), DataError> {
        if !self.options.skip_bad_images {
            return Err(DataError::Image { place, fault });
        }
        self.images.push(SkippedImage { place, fault });
        Ok(())
    }

    /// What was left out.
    ///
    /// # Errors
    /// [`DataError::TooManyBad`] if that is more than may be.
    pub fn finish(mut self) -> Result<Vec<SkippedImage>, DataError> {
        let (bad, most) = (self.images.len(), self.options.max_bad_images);
        if bad <= most {
            return Ok(self.images);
        }
        let SkippedImage { place, fault } = self.images.swap_remove(0);
        Err(DataError::TooManyBad {
            bad,
            most,
            place,
            fault,
        })
    }
}

/// The images of `store` that have a label and can be used.
///
/// Every image is looked at in the least costly way; if bad ones are to be left out, all are decoded once instead, which
/// costs about what an epoch of loading does, so that those which cannot be used are known before anything depends on them.
///
/// # Errors
/// As [`Skipped::add`].
pub(crate) fn usable(
    store: Box<dyn Store>,
    labels: Vec<Result<u32, ImageError>>,
    classes: usize,
    skipped: &mut Skipped,
) -> Result<Split, DataError> {
    let whole = skipped.options.skip_bad_images && !store.is_decoded();
    let faults = map_in_order(labels.len(), |index| {
        if labels[index].is_err() {
            Ok(())
        } else if whole {
            store
                .read(index)
                .and_then(|stored| stored.decode())
                .map(|_| ())
        } else {
            store.check(index)
        }
    });
    let mut members = Vec::with_capacity(labels.len());
    let mut known = Vec::with_capacity(labels.len());
    for (index, (label, fault)) in labels.into_iter().zip(faults).enumerate() {
        match fault.and(label) {
            Ok(label) => {
                members.push(index as u32);
                known.push(label);
            }
            Err(fault) => {
                skipped.add(store.place(index), fault)?;
                known.push(0);
            }
        }
    }
    Ok(Split::from_store(store, known, classes, members))
}
