//! The entropy-coded data of a JPEG file, of which only a part becomes samples.

use std::ops::Range;

use super::bits::Bits;
use super::header::{Baseline, Component};
use super::huffman::{Entry, Pairs, Table};
use super::idct::{Block, ZIGZAG, flat, inverse};
use super::planes::{Plane, Planes};
use crate::wide::{self, Work};

/// Coefficients in a block.
const COEFFICIENTS: usize = 64;

impl Baseline<'_> {
    /// The planes under a part of the image, and what else lies in the same units of 8 to 16 pixels. `None` if the data are
    /// damaged as far as they are read, or the file has no end.
    pub fn planes(&self, columns: Range<usize>, rows: Range<usize>) -> Option<Planes> {
        let data = Segments::of(self.scan)?;
        let unit = |sizes: fn(&Component) -> usize| {
            8 * self.components.iter().map(sizes).max().unwrap_or(1)
        };
        let (wide, high) = (unit(|part| part.across), unit(|part| part.down));
        let units = self.width.div_ceil(wide);
        let columns = columns.start / wide..columns.end.min(self.width).div_ceil(wide);
        let rows = rows.start / high..rows.end.min(self.height).div_ceil(high);
        let mut planes: Vec<Plane> = self
            .components
            .iter()
            .map(|part| {
                let (wide, high) = (wide / (8 * part.across), high / (8 * part.down));
                let (left, top) = (columns.start * part.across * 8, rows.start * part.down * 8);
                let width = columns.len() * part.across * 8;
                let stride = rows.len() * part.down * 8;
                Plane {
                    samples: vec![0; width * stride],
                    stride,
                    width: width.min(self.width.div_ceil(wide) - left),
                    height: stride.min(self.height.div_ceil(high) - top),
                    left,
                    top,
                    wide,
                    high,
                }
            })
            .collect();

        wide::wide(Scan {
            photograph: self,
            data: &data,
            units,
            columns,
            rows,
            planes: &mut planes,
        })?;
        Some(Planes { planes })
    }
}

/// What is to be read.
struct Scan<'a> {
    photograph: &'a Baseline<'a>,
    data: &'a Segments,
    /// Units in a row of them.
    units: usize,
    /// Units that are decoded; the others are stepped over.
    columns: Range<usize>,
    rows: Range<usize>,
    /// Where samples go.
    planes: &'a mut [Plane],
}

impl Work for Scan<'_> {
    type Output = Option<()>;

    #[inline(always)]
    fn run(self) -> Option<()> {
        let Baseline {
            components,
            restart,
            ..
        } = self.photograph;
        let mut bits = self.data.segment(0)?;
        let mut means = [0; 3];
        for row in 0..self.rows.end {
            for column in 0..self.units {
                let at = row * self.units + column;
                if *restart > 0 && at > 0 && at.is_multiple_of(*restart) {
                    if bits.overrun() {
                        return None;
                    }
                    bits = self.data.segment(at / restart)?;
                    means = [0; 3];
                }
                let wanted = self.rows.contains(&row) && self.columns.contains(&column);
                for ((part, mean), plane) in components
                    .iter()
                    .zip(&mut means)
                    .zip(self.planes.iter_mut())
                {
                    for block in 0..part.across * part.down {
                        if wanted {
                            let x =
                                (column - self.columns.start) * part.across + block % part.across;
                            let y = (row - self.rows.start) * part.down + block / part.across;
                            let out = &mut plane.samples[8 * (x * plane.stride + y)..];
                            decode(&mut bits, part, mean, out, plane.stride)?;
                        } else {
                            skip(&mut bits, part, mean)?;
                        }
                    }
                }
            }
            if bits.overrun() {
                return None;
            }
        }
        Some(())
    }
}

/// Decodes the next block and writes its samples.
#[inline(always)]
fn decode(
    bits: &mut Bits,
    part: &Component,
    mean: &mut i32,
    out: &mut [u8],
    stride: usize,
) -> Option<()> {
    /// Where coefficients lie by how far symbols lead; what leads too far goes behind the block.
    const PLACES: [u8; 256] = {
        let mut places = [COEFFICIENTS as u8; 256];
        let mut k = 0;
        while k < COEFFICIENTS {
            places[k] = ZIGZAG[k];
            k += 1;
        }
        places
    };
    next_mean(bits, &part.dc, mean)?;
    let mut block = [0i16; COEFFICIENTS + 1];
    let any = each_coefficient(bits, &part.ac, |k, value| {
        block[usize::from(PLACES[k & 255])] = value;
    })?;
    let mean = *mean as f32 * part.scale[0];
    if any {
        let mut scaled: Block = [[0.0; 8]; 8];
        let coded = scaled
            .as_flattened_mut()
            .iter_mut()
            .zip(&block)
            .zip(&part.scale);
        for ((coefficient, &coded), &scale) in coded {
            *coefficient = f32::from(coded) * scale;
        }
        scaled[0][0] = mean;
        inverse(&scaled, out, stride);
    } else {
        flat(mean, out, stride);
    }
    Some(())
}

/// Steps over the next block, whose mean alone is needed by those after it.
#[inline(always)]
fn skip(bits: &mut Bits, part: &Component, mean: &mut i32) -> Option<()> {
    next_mean(bits, &part.dc, mean)?;
    each_coefficient(bits, &part.ac, |_, _| ())?;
    Some(())
}

#[inline(always)]
fn next_mean(bits: &mut Bits, table: &Table, mean: &mut i32) -> Option<()> {
    bits.refill();
    let entry = table.next(bits)?;
    // Hostile files may add up to anything.
    *mean = mean.wrapping_add(entry.value(bits.peek()));
    bits.consume(entry.bits());
    Some(())
}

/// Reads a block's coefficients but the first and hands on their places in the file's order, beyond the last where the block ends,
/// and their values. Whether there are any.
#[inline(always)]
fn each_coefficient(bits: &mut Bits, table: &Pairs, mut f: impl FnMut(usize, i16)) -> Option<bool> {
    /// Looks into the table that one refill yields the bits for: 10 each, and 26 for the last.
    const LOOKS: usize = 4;
    const LAST: usize = COEFFICIENTS - 1;
    // A copy of its own stays in registers.
    let mut local = *bits;
    let mut k = 0;
    'refill: loop {
        local.refill();
        for _ in 0..LOOKS {
            let pair = table.next(&local);
            if pair.is_none() {
                let entry = table.single(&local)?;
                k += entry.step();
                f(k, entry.value(local.peek()) as i16);
                local.consume(entry.bits());
                if k >= LAST {
                    break 'refill;
                }
                continue 'refill;
            }
            let [first, both] = pair.bits();
            let [step, next] = pair.steps();
            let [value, other] = pair.values();
            k += step;
            f(k, value);
            if k >= LAST {
                // What comes second is of the next block.
                local.consume(first);
                break 'refill;
            }
            local.consume(both);
            k += next;
            f(k, other);
            if k >= LAST {
                break 'refill;
            }
        }
    }
    *bits = local;
    // Sixteen zeros are a symbol like others, whose value is 0.
    (k == LAST || k >= Entry::END).then_some(k != Entry::END)
}

/// Entropy-coded data without stuffed zeros, by the parts between restarts.
struct Segments {
    data: Vec<u8>,
    ends: Vec<usize>,
}

impl Segments {
    /// Reads up to the end of the image, which must follow: another scan, or none, is `None`.
    fn of(scan: &[u8]) -> Option<Self> {
        let mut segments = Self {
            data: Vec::with_capacity(scan.len()),
            ends: Vec::new(),
        };
        let mut rest = scan;
        loop {
            let at = memchr::memchr(0xff, rest)?;
            match *rest.get(at + 1)? {
                0 => segments.data.extend_from_slice(&rest[..=at]),
                // The second may be the first of a marker.
                0xff => {
                    segments.data.extend_from_slice(&rest[..at]);
                    rest = &rest[at + 1..];
                    continue;
                }
                found => {
                    segments.data.extend_from_slice(&rest[..at]);
                    let expected = 0xd0 + (segments.ends.len() % 8) as u8;
                    segments.ends.push(segments.data.len());
                    match found {
                        0xd9 => return Some(segments),
                        _ if found == expected => {}
                        _ => return None,
                    }
                }
            }
            rest = &rest[at + 2..];
        }
    }

    fn segment(&self, index: usize) -> Option<Bits<'_>> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(Bits::new(&self.data[start..end]))
    }
}
