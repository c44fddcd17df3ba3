//! A quantity over steps, in bounded memory.

/// A run of neighbouring steps of a [`Curve`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The first step in it that had a value.
    pub first: u64,
    /// The last step in it that had a value.
    pub last: u64,
    /// How many values there were.
    pub count: u64,
    /// The least of them.
    pub min: f64,
    /// Their mean.
    pub mean: f64,
    /// The greatest of them.
    pub max: f64,
}

impl Bucket {
    fn of(step: u64, value: f64) -> Self {
        Self {
            first: step,
            last: step,
            count: 1,
            min: value,
            mean: value,
            max: value,
        }
    }

    /// Makes both one.
    pub(crate) fn take_in(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        // Not by sums, which overflow where the mean does not.
        self.mean += (other.mean - self.mean) * (other.count as f64 / self.count as f64);
    }
}

/// A quantity over steps: one bucket for each `2^n` steps, with n as small as the capacity lets it be.
///
/// When the buckets are full, n grows by one and neighbours merge, so that any number of steps takes the same memory and
/// a short run keeps each of its values.
///
/// ```
/// use creamery_view::record::Curve;
///
/// let mut curve = Curve::new(4);
/// (0..4).for_each(|step| curve.push(step, step as f64));
/// assert_eq!(curve.buckets().len(), 4);
/// curve.push(4, 10.0);
/// let means: Vec<f64> = curve.buckets().iter().map(|bucket| bucket.mean).collect();
/// assert_eq!(means, [0.5, 2.5, 10.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    buckets: Vec<Bucket>,
    /// A bucket is of `2^shift` steps.
    shift: u32,
    capacity: usize,
}

impl Curve {
    /// An empty curve of at most `capacity` buckets.
    ///
    /// # Panics
    /// If `capacity` is below 2.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity >= 2, "a curve of {capacity} buckets");
        Self {
            buckets: Vec::new(),
            shift: 0,
            capacity,
        }
    }

    /// Adds a value. What is not finite has no place on a curve and is left out.
    pub fn push(&mut self, step: u64, value: f64) {
        if !value.is_finite() {
            return;
        }
        let new = Bucket::of(step, value);
        let place = step >> self.shift;
        let of = |bucket: &Bucket| bucket.first >> self.shift;
        match self.buckets.last_mut() {
            Some(last) if of(last) == place => last.take_in(&new),
            Some(last) if of(last) > place => {
                // Steps come in order, but for files that were mended by hand.
                match self.buckets.binary_search_by_key(&place, of) {
                    Ok(at) => self.buckets[at].take_in(&new),
                    Err(at) => self.buckets.insert(at, new),
                }
            }
            _ => self.buckets.push(new),
        }
        while self.buckets.len() > self.capacity {
            self.merge();
        }
    }

    fn merge(&mut self) {
        self.shift += 1;
        let shift = self.shift;
        self.buckets.dedup_by(|next, kept| {
            let same = next.first >> shift == kept.first >> shift;
            if same {
                kept.take_in(next);
            }
            same
        });
    }

    /// The buckets, in the order of their steps.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// How many steps a bucket is of.
    pub fn steps_per_bucket(&self) -> u64 {
        1 << self.shift
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The mean of the latest values: those of the last bucket.
    pub fn latest(&self) -> Option<f64> {
        self.buckets.last().map(|bucket| bucket.mean)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever comes, in whatever order: bounded, ordered, nothing lost, and each bucket is what its steps say.
        #[test]
        fn buckets_are_those_of_the_values(
            capacity in 2usize..9,
            values in prop::collection::vec((prop_oneof![0u64..40, any::<u64>()], -1e3f64..1e3), 0..80),
        ) {
            let mut curve = Curve::new(capacity);
            for &(step, value) in &values {
                curve.push(step, value);
            }
            prop_assert!(curve.buckets().len() <= capacity);
            let width = u128::from(curve.steps_per_bucket());
            let place = |step: u64| u128::from(step) / width;
            let mut counted = 0;
            for pair in curve.buckets().windows(2) {
                prop_assert!(place(pair[0].last) < place(pair[1].first));
            }
            for bucket in curve.buckets() {
                prop_assert_eq!(place(bucket.first), place(bucket.last));
                let own: Vec<f64> = values.iter().filter(|(s, _)| place(*s) == place(bucket.first)).map(|(_, v)| *v).collect();
                prop_assert_eq!(bucket.count, own.len() as u64);
                prop_assert_eq!(bucket.min, own.iter().copied().fold(f64::INFINITY, f64::min));
                prop_assert_eq!(bucket.max, own.iter().copied().fold(f64::NEG_INFINITY, f64::max));
                prop_assert!((bucket.mean - own.iter().sum::<f64>() / own.len() as f64).abs() < 1e-9);
                counted += bucket.count;
            }
            prop_assert_eq!(counted, values.len() as u64);
        }
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let mut curve = Curve::new(2);
        curve.push(0, f64::NAN);
        curve.push(1, f64::INFINITY);
        assert!(curve.is_empty() && curve.latest().is_none());
        curve.push(2, f64::MAX);
        curve.push(2, f64::MAX);
        assert_eq!(curve.latest(), Some(f64::MAX));
    }
}
