//! A list of labelled images, wherever they lie.

use std::fmt;
use std::sync::Arc;

use crate::decode::ImageError;
use crate::error::DataError;
use crate::image::Image;
use crate::order::Sampling;
use crate::store::{ImagePlace, Memory, Store, Stored};

/// Labelled images in a fixed order.
///
/// Cheap to clone: pixels, or where they lie, are shared. Images of files are read and decoded
/// each time they are asked for.
#[derive(Clone)]
pub struct Split {
    source: Arc<Source>,
    /// Positions in the source, in the split's order.
    members: Arc<[u32]>,
    sampling: Sampling,
}

/// Images and labels as they were opened, before any were held out.
struct Source {
    store: Box<dyn Store>,
    labels: Vec<u32>,
    classes: usize,
}

impl Split {
    /// A split of images in memory, all of one size, in the order HWC.
    ///
    /// ```
    /// use creamery_data::Split;
    ///
    /// let two_grey_pixels = Split::from_pixels([1, 1, 1], vec![0, 255], &[0, 1], 2)?;
    /// assert_eq!(two_grey_pixels.image(1)?.pixels, [255]);
    /// # Ok::<(), creamery_data::DataError>(())
    /// ```
    ///
    /// `shape` is height, width and channels (1 or 3); `pixels` holds `labels.len()` such images.
    ///
    /// # Errors
    /// [`DataError::NoImages`], [`DataError::Pixels`] if the sizes do not fit together,
    /// [`DataError::Label`] if a label is outside `classes`.
    pub fn from_pixels(
        shape: [usize; 3],
        pixels: Vec<u8>,
        labels: &[usize],
        classes: usize,
    ) -> Result<Self, DataError> {
        let [height, width, channels] = shape;
        let expected = shape.into_iter().fold(labels.len(), usize::saturating_mul);
        if labels.is_empty() {
            return Err(DataError::NoImages {
                place: "the split".to_owned(),
            });
        }
        if expected != pixels.len() || expected == 0 || !matches!(channels, 1 | 3) {
            return Err(DataError::Pixels {
                labels: labels.len(),
                height,
                width,
                channels,
                expected,
                found: pixels.len(),
            });
        }
        let labels = check_labels("the split", labels.iter().copied(), classes)?;
        Ok(Self::from_checked_pixels(shape, pixels, labels, classes))
    }

    /// As [`from_pixels`](Self::from_pixels), of parts whose sizes and labels are known to fit.
    pub(crate) fn from_checked_pixels(
        [height, width, channels]: [usize; 3],
        pixels: Vec<u8>,
        labels: Vec<u32>,
        classes: usize,
    ) -> Self {
        let members = (0..labels.len() as u32).collect();
        let store = Memory {
            height,
            width,
            channels,
            pixels,
        };
        Self::from_store(Box::new(store), labels, classes, members)
    }

    /// The images `members` of a store; `labels` has one below `classes` for each of them, and anything for the others.
    pub(crate) fn from_store(
        store: Box<dyn Store>,
        labels: Vec<u32>,
        classes: usize,
        members: Vec<u32>,
    ) -> Self {
        Self {
            source: Arc::new(Source {
                store,
                labels,
                classes,
            }),
            members: members.into(),
            sampling: Sampling::default(),
        }
    }

    /// The same images, which [`Loader::train`](crate::Loader::train) is to draw in another way.
    pub fn sampled(self, sampling: Sampling) -> Self {
        Self { sampling, ..self }
    }

    /// How training draws from these images.
    pub fn sampling(&self) -> Sampling {
        self.sampling
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many classes the labels tell apart, whether or not each has images here.
    pub fn classes(&self) -> usize {
        self.source.classes
    }

    /// Samples per pixel of every image: 1 or 3.
    pub fn channels(&self) -> usize {
        self.source.store.channels()
    }

    /// Height and width of every image, where all are known to have the same.
    pub fn native_size(&self) -> Option<(usize, usize)> {
        self.source.store.native_size()
    }

    /// Whether the images are held decoded, rather than read from files.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.source.store.is_decoded()
    }

    /// The class of image `index`, from 0.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn label(&self, index: usize) -> usize {
        self.source.labels[self.members[index] as usize] as usize
    }

    /// The piece of storage that image `index` lies in; those of one shard are quickest read one after the other.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub(crate) fn shard(&self, index: usize) -> u32 {
        self.source.store.shard(self.members[index] as usize)
    }

    /// Where image `index` lies.
    ///
    /// # Errors
    /// [`DataError::Subset`] if `index` is not below [`len`](Self::len).
    pub fn place(&self, index: usize) -> Result<ImagePlace, DataError> {
        Ok(self.source.store.place(self.member(index)?))
    }

    /// Image `index`, decoded if it lies in a file.
    ///
    /// # Errors
    /// [`DataError::Image`] if its file cannot be read or decoded, [`DataError::Subset`] if `index` is
    /// not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> Result<Image, DataError> {
        let member = self.member(index)?;
        let image = self.source.store.read(member);
        image
            .and_then(|stored| stored.decode())
            .map_err(|fault| self.fault(index, fault))
    }

    /// Image `index` as it is stored.
    pub(crate) fn stored(&self, index: usize) -> Result<Stored<'_>, DataError> {
        let member = self.member(index)?;
        let stored = self.source.store.read(member);
        stored.map_err(|fault| self.fault(index, fault))
    }

    /// What is wrong with image `index`, and where it lies.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub(crate) fn fault(&self, index: usize, fault: ImageError) -> DataError {
        DataError::Image {
            place: self.source.store.place(self.members[index] as usize),
            fault,
        }
    }

    /// How many images each class has.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes()];
        for index in 0..self.len() {
            counts[self.label(index)] += 1;
        }
        counts
    }

    /// The images at `indices`, in that order.
    ///
    /// # Errors
    /// [`DataError::Subset`] if an index is not below [`len`](Self::len).
    pub fn subset(&self, indices: &[usize]) -> Result<Self, DataError> {
        let members = indices
            .iter()
            .map(|&index| self.member(index).map(|member| member as u32))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            source: Arc::clone(&self.source),
            members,
            sampling: self.sampling,
        })
    }

    fn member(&self, index: usize) -> Result<usize, DataError> {
        let outside = DataError::Subset {
            index,
            images: self.len(),
        };
        self.members
            .get(index)
            .map(|&member| member as usize)
            .ok_or(outside)
    }

    /// Feeds everything that makes these images what they are to `hasher`: count, labels, and pixels
    /// or the names and sizes of files.
    pub(crate) fn identify(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&(self.len() as u64).to_le_bytes());
        for &member in self.members.iter() {
            let member = member as usize;
            hasher.update(&self.source.labels[member].to_le_bytes());
            self.source.store.identify(member, hasher);
        }
    }
}

impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split")
            .field("images", &self.len())
            .field("classes", &self.classes())
            .field("channels", &self.channels())
            .finish_non_exhaustive()
    }
}

/// Labels as they are stored, each checked to be one of `classes`; `place` names their file in errors.
pub(crate) fn check_labels(
    place: &str,
    labels: impl Iterator<Item = usize>,
    classes: usize,
) -> Result<Vec<u32>, DataError> {
    labels
        .enumerate()
        .map(|(index, label)| match u32::try_from(label) {
            Ok(stored) if label < classes => Ok(stored),
            _ => Err(DataError::Label {
                place: place.to_owned(),
                index,
                label,
                classes,
            }),
        })
        .collect()
}
