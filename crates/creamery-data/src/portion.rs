//! The part of each training batch that one of several processes works on.

/// A share of every batch of a training: all of it, or what one of several ranks reads.
///
/// A rank has as many images from the front of the batch as from its back, and they mirror each other: its first
/// and its last image are as far from the ends of the batch. So [`Mix`](crate::Mix), which mixes the first
/// image with the last, finds in each share the very pairs that it would find in the whole batch, as long as the shares
/// are even. Shares of shares are shares.
///
/// ```
/// use creamery_data::Portion;
///
/// assert_eq!(Portion::of(8, 0, 2).places(), [0, 1, 6, 7]);
/// assert_eq!(Portion::of(8, 1, 2).places(), [2, 3, 4, 5]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Images of the whole batch.
    batch: usize,
    rank: usize,
    ranks: usize,
}

impl From<usize> for Portion {
    /// The whole of a batch of so many images.
    fn from(batch: usize) -> Self {
        Self::of(batch, 0, 1)
    }
}

impl Portion {
    /// The share of one of `ranks` ranks in batches of `batch` images. What the ranks do not divide is left out.
    ///
    /// # Panics
    /// If there is no such rank.
    pub fn of(batch: usize, rank: usize, ranks: usize) -> Self {
        assert!(rank < ranks, "rank {rank} is one of {ranks}");
        Self { batch, rank, ranks }
    }

    /// Images of the whole batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Images of the share.
    pub fn len(&self) -> usize {
        self.batch / self.ranks
    }

    /// Whether there are more ranks than images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where image `index` of the share is in the whole batch.
    pub fn place(&self, index: usize) -> usize {
        let front = self.len() / 2;
        let back = self.len() - front;
        match index < front {
            true => self.rank * front + index,
            false => self.len() * self.ranks - (self.rank + 1) * back + index - front,
        }
    }

    /// Where the images of the share are in the whole batch, in their order.
    pub fn places(&self) -> Vec<usize> {
        (0..self.len()).map(|index| self.place(index)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_are_the_whole_and_mirror_each_other(ranks in 1usize..9, own in 1usize..9) {
            let batch = ranks * own;
            let mut all = Vec::new();
            for rank in 0..ranks {
                let places = Portion::of(batch, rank, ranks).places();
                prop_assert!(places.is_sorted());
                if own.is_multiple_of(2) {
                    for (first, last) in places.iter().zip(places.iter().rev()) {
                        prop_assert_eq!(first + last, batch - 1);
                    }
                }
                all.extend(places);
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..batch).collect::<Vec<_>>());
        }

        #[test]
        fn shares_of_shares_are_shares(ranks in 1usize..5, parts in 1usize..5, half in 1usize..4) {
            let batch = 2 * half * ranks * parts;
            for rank in 0..ranks {
                let own = Portion::of(batch, rank, ranks).places();
                for part in 0..parts {
                    let inner = Portion::of(own.len(), part, parts).places();
                    let inner: Vec<usize> = inner.into_iter().map(|place| own[place]).collect();
                    let outer = Portion::of(batch, rank * parts + part, ranks * parts);
                    prop_assert_eq!(inner, outer.places());
                }
            }
        }
    }

    #[test]
    fn the_whole_is_in_order() {
        for batch in 1..6 {
            assert!(Portion::from(batch).places().into_iter().eq(0..batch));
        }
    }
}
