//! Huffman codes of JPEG (ITU-T T.81, annexes C and F).

use super::bits::Bits;

/// Bits that find most symbols at once.
const LOOK: u32 = 10;

/// A code of symbols with values: a symbol's upper half is a run of zeros, its lower half the number of bits that the value has.
#[derive(Clone)]
pub(super) struct Table {
    /// By the next [`LOOK`] bits, what they begin with.
    look: Box<[Entry; 1 << LOOK]>,
    /// For each length, the first code that is longer, aligned to 16 bits.
    ends: [u32; 17],
    /// For each length, what is added to a code to find its symbol.
    offsets: [i32; 17],
    symbols: [u8; 256],
}

/// A symbol: bits of code and value together (at most 31), whether the value is still to be read, how far it leads, and either
/// the value (16 bits) or the length of the code and that of the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry(u32);

impl Entry {
    /// No symbol whose code is as short as [`LOOK`].
    const NONE: Self = Self(Self::UNREAD);
    const UNREAD: u32 = 1 << 7;
    /// How far the end of a block leads: beyond what any other symbol can.
    pub const END: usize = 128;

    /// The symbol that the first `length` bits of `peek` are the code of, `known` bits of which are known.
    fn new(symbol: u8, length: u32, peek: u64, known: u32) -> Self {
        let size = u32::from(symbol & 15);
        let step = match symbol {
            0 => Self::END as u32,
            _ => u32::from(symbol >> 4) + 1,
        };
        let rest = if length + size <= known && size < 15 {
            // A cast keeps the lower bits, all that there are of a value of 14.
            u32::from(value(peek, length, size) as i16 as u16) << 16
        } else {
            Self::UNREAD | length << 16 | size << 24
        };
        Self(rest | (length + size) | step << 8)
    }

    /// Bits of code and value together.
    #[inline(always)]
    pub fn bits(self) -> u32 {
        self.0 & 0x1f
    }

    /// Coefficients up to and with that of the value: zeros and one; [`END`](Self::END) where no more follow.
    #[inline(always)]
    pub fn step(self) -> usize {
        (self.0 >> 8 & 0xff) as usize
    }

    /// Whether the value is still to be read, or there is no symbol.
    #[inline(always)]
    fn is_unread(self) -> bool {
        self.0 & Self::UNREAD != 0
    }

    /// The value, the symbol's code being the first bits of `peek`.
    #[inline(always)]
    pub fn value(self, peek: u64) -> i32 {
        if self.is_unread() {
            value(peek, self.0 >> 16 & 0xff, self.0 >> 24)
        } else {
            self.0 as i32 >> 16
        }
    }
}

/// The value of `size` bits behind the first `length`: its upper half as it is, its lower half negative.
#[inline(always)]
fn value(peek: u64, length: u32, size: u32) -> i32 {
    // In two steps, because a size of 0 would shift by 64.
    let bits = ((peek << length) >> 1 >> (63 - size)) as i32;
    let negative = ((bits << 1 >> size) & 1) - 1;
    bits + (negative & (1 - (1 << size)))
}

impl Table {
    /// The code with `counts[i]` symbols of `i + 1` bits; `None` if there is no such code.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            look: Box::new([Entry::NONE; 1 << LOOK]),
            ends: [0; 17],
            offsets: [0; 17],
            symbols: [0; 256],
        };
        table
            .symbols
            .get_mut(..symbols.len())?
            .copy_from_slice(symbols);
        let (mut code, mut first) = (0u32, 0usize);
        for length in 1..=16u32 {
            let count = usize::from(counts[length as usize - 1]);
            table.offsets[length as usize] = first as i32 - code as i32;
            for &symbol in symbols.get(first..first + count)? {
                if code >> length != 0 {
                    return None;
                }
                if let Some(more) = LOOK.checked_sub(length) {
                    for next in code << more..(code + 1) << more {
                        let peek = u64::from(next) << (64 - LOOK);
                        table.look[next as usize] = Entry::new(symbol, length, peek, LOOK);
                    }
                }
                code += 1;
            }
            first += count;
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        (first == symbols.len()).then_some(table)
    }

    /// The next symbol; `None` if no code begins so. 31 bits must be loaded, of which none are consumed.
    #[inline(always)]
    pub fn next(&self, bits: &Bits) -> Option<Entry> {
        let entry = self.look[(bits.peek() >> (64 - LOOK)) as usize];
        if entry == Entry::NONE {
            self.long(bits.peek())
        } else {
            Some(entry)
        }
    }

    #[cold]
    fn long(&self, peek: u64) -> Option<Entry> {
        let next = (peek >> 48) as u32;
        let length = (LOOK + 1..=16).find(|&length| next < self.ends[length as usize])?;
        let code = (next >> (16 - length)) as i32;
        let symbol = self.symbols[(code + self.offsets[length as usize]) as usize & 255];
        Some(Entry::new(symbol, length, peek, 0))
    }
}

/// A code whose symbols are found two at a time where their bits are few.
#[derive(Clone)]
pub(super) struct Pairs {
    singles: Table,
    look: Box<[Pair; 1 << LOOK]>,
}

/// One symbol or two with their values, or none where that takes more bits than [`LOOK`].
#[derive(Clone, Copy)]
pub(super) struct Pair(u64);

impl Pair {
    const NONE: Self = Self(0);

    /// Of one symbol, for which a second stands that leads nowhere and has the same value; or of two.
    fn new(first: Entry, second: Option<Entry>) -> Self {
        let (bits, step) = second.map_or((0, 0), |second| (second.bits(), second.step()));
        let value = |entry: Entry| u64::from(entry.value(0) as u16);
        let values = value(first) << 32 | value(second.unwrap_or(first)) << 48;
        let steps = (first.step() as u64) << 16 | (step as u64) << 24;
        Self(values | steps | u64::from(first.bits() + bits) << 8 | u64::from(first.bits()))
    }

    /// Whether there is no symbol here.
    #[inline(always)]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Bits of the first symbol, and of all.
    #[inline(always)]
    pub fn bits(self) -> [u32; 2] {
        [self.0 as u32 & 0xff, self.0 as u32 >> 8 & 0xff]
    }

    /// Coefficients up to and with that of the first value, and from there to that of the second.
    #[inline(always)]
    pub fn steps(self) -> [usize; 2] {
        [
            (self.0 >> 16 & 0xff) as usize,
            (self.0 >> 24 & 0xff) as usize,
        ]
    }

    /// Both values.
    #[inline(always)]
    pub fn values(self) -> [i16; 2] {
        [(self.0 >> 32) as i16, (self.0 >> 48) as i16]
    }
}

impl Pairs {
    pub fn new(singles: Table) -> Self {
        let mut look = Box::new([Pair::NONE; 1 << LOOK]);
        for (next, pair) in look.iter_mut().enumerate() {
            let first = singles.look[next];
            if first.is_unread() {
                continue;
            }
            let peek = (next as u64) << (64 - LOOK) << first.bits();
            let second = singles.look[(peek >> (64 - LOOK)) as usize];
            // The bits behind those that are known are zeros, which must not count.
            let known = !second.is_unread() && first.bits() + second.bits() <= LOOK;
            let second = (known && first.step() < Entry::END).then_some(second);
            *pair = Pair::new(first, second);
        }
        Self { singles, look }
    }

    /// What the next bits hold; [`Pair::is_none`] where [`single`](Self::single) has to find it.
    #[inline(always)]
    pub fn next(&self, bits: &Bits) -> Pair {
        self.look[(bits.peek() >> (64 - LOOK)) as usize]
    }

    /// The next symbol, however long; `None` if no code begins so.
    #[inline(always)]
    pub fn single(&self, bits: &Bits) -> Option<Entry> {
        self.singles.next(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_standard() {
        for (size, bits, value) in [
            (0u32, 0u64, 0),
            (1, 0, -1),
            (1, 1, 1),
            (2, 0, -3),
            (2, 1, -2),
            (2, 2, 2),
            (2, 3, 3),
            (3, 3, -4),
            (3, 4, 4),
            (10, 0, -1023),
            (10, 1023, 1023),
            (11, 1024, 1024),
            (11, 1023, -1024),
            (15, 0, -32767),
        ] {
            for length in [1, 9, 16] {
                // Ones around the value, which must not count.
                let ones = u64::MAX.checked_shr(length + size).unwrap_or(0);
                let peek = !(u64::MAX >> length) | bits << (64 - length - size) | ones;
                for known in [0, 64] {
                    let entry = Entry::new(0x50 | size as u8, length, peek, known);
                    assert_eq!(entry.value(peek), value, "{size} {bits} {length}");
                    assert_eq!((entry.step(), entry.bits()), (6, length + size));
                }
            }
        }
    }

    /// A code of all lengths: 1, 01, 001 and so on inverted.
    #[test]
    fn codes_of_every_length_are_found() {
        let symbols: Vec<u8> = (0..16).collect();
        let table = Table::new(&[1; 16], &symbols).unwrap();
        for length in 1..=16u32 {
            // Bits of zero behind the code make the least value.
            let code = (0xffffu64 << (17 - length) & 0xffff) << 48;
            let data = code.to_be_bytes();
            let mut bits = Bits::new(&data);
            bits.refill();
            let (found, size) = (table.next(&bits).unwrap(), length - 1);
            assert_eq!(
                (found.bits(), found.value(bits.peek())),
                (length + size, [0, 1 - (1 << size)][usize::from(size > 0)])
            );
        }
        let mut bits = Bits::new(&[0xff; 8]);
        bits.refill();
        assert_eq!(table.next(&bits), None);
    }

    #[test]
    fn impossible_codes_are_refused() {
        let counts = |first: u8, second: u8| {
            let mut counts = [0; 16];
            (counts[0], counts[1]) = (first, second);
            counts
        };
        assert!(Table::new(&counts(3, 0), &[1, 2, 3]).is_none());
        assert!(Table::new(&counts(2, 1), &[1, 2, 3]).is_none());
        assert!(Table::new(&counts(1, 2), &[1, 2]).is_none());
        assert!(Table::new(&counts(1, 1), &[1, 2, 3]).is_none());
        assert!(Table::new(&counts(1, 2), &[1, 2, 3]).is_some());
    }
}
