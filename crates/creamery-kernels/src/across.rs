//! Batch norms over a batch that several processes share.

use std::fmt;

/// Sums over the processes that share a batch, each of which has a part of equally many images.
///
/// Every process must ask for the same sums in the same order.
pub trait Across: Send + Sync {
    /// How many processes there are.
    fn parts(&self) -> usize;

    /// Replaces each value by its sum over all processes.
    fn sum(&self, values: &mut Vec<f64>);
}

/// An [`Across`] that lives as long as the process: two are equal if they are the same.
#[derive(Clone, Copy)]
pub struct Everywhere(pub &'static dyn Across);

impl Everywhere {
    /// The sums of values over all processes.
    pub(crate) fn sum(self, mut values: Vec<f64>) -> Vec<f64> {
        self.0.sum(&mut values);
        values
    }

    /// How many processes there are.
    pub fn parts(self) -> usize {
        self.0.parts()
    }
}

impl fmt::Debug for Everywhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Everywhere({} parts)", self.parts())
    }
}

impl PartialEq for Everywhere {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(self.0, other.0)
    }
}

impl Eq for Everywhere {}
