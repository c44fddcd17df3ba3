//! Bits of entropy-coded data, the first one highest.

/// A reader of data from which the stuffed zeros were taken.
///
/// Beyond the end it reads zeros; [`overrun`](Self::overrun) tells whether any were consumed.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte to load.
    at: usize,
    /// Bits not consumed yet, from the highest down; below them zeros, or bits that will be loaded once more.
    buffer: u64,
    /// How many of them are counted as loaded.
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            buffer: 0,
            count: 0,
        }
    }

    /// Makes 56 bits or more available.
    #[inline(always)]
    pub fn refill(&mut self) {
        let loaded = match self.data.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(chunk) => u64::from_be_bytes(*chunk),
            None => self.last_bytes(),
        };
        self.buffer |= loaded >> self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    #[cold]
    fn last_bytes(&self) -> u64 {
        let mut chunk = [0; 8];
        if let Some(rest) = self.data.get(self.at..) {
            chunk[..rest.len()].copy_from_slice(rest);
        }
        u64::from_be_bytes(chunk)
    }

    /// The next 64 bits, as far as they are loaded.
    #[inline(always)]
    pub fn peek(&self) -> u64 {
        self.buffer
    }

    /// Goes on by `n` bits, which must have been loaded.
    #[inline(always)]
    pub fn consume(&mut self, n: u32) {
        self.buffer <<= n & 63;
        self.count = self.count.wrapping_sub(n);
    }

    /// Whether more bits were consumed than there are.
    pub fn overrun(&self) -> bool {
        self.at * 8 > self.data.len() * 8 + self.count as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_come_in_order_and_then_zeros(
            data in prop::collection::vec(any::<u8>(), 0..40),
            steps in prop::collection::vec(1u32..=26, 0..60),
        ) {
            let bit = |i: usize| data.get(i / 8).map_or(0, |byte| byte >> (7 - i % 8) & 1);
            let mut bits = Bits::new(&data);
            let mut at = 0;
            for n in steps {
                bits.refill();
                let wanted = (at..at + n as usize).fold(0, |sum, i| sum << 1 | u64::from(bit(i)));
                prop_assert_eq!(bits.peek() >> (64 - n), wanted);
                bits.consume(n);
                at += n as usize;
                prop_assert_eq!(bits.overrun(), at > data.len() * 8);
            }
        }
    }
}
