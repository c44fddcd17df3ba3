//! The segments of a JPEG file in front of its image (ITU-T T.81, annex B).

use super::huffman::{Pairs, Table};
use super::idct::scales;

/// A file of the usual kind: baseline, 8 bits, one scan of brightness alone or of brightness and two colours.
pub(crate) struct Baseline<'a> {
    /// Width of the image in pixels.
    pub width: usize,
    /// Height of the image in pixels.
    pub height: usize,
    /// One component, or three.
    pub(super) components: Vec<Component>,
    /// Units between two restarts; 0 where there are none.
    pub(super) restart: usize,
    /// Everything from the scan's first entropy-coded byte on.
    pub(super) scan: &'a [u8],
}

/// A plane of the image as it is coded.
pub(super) struct Component {
    /// Blocks of it in a unit, from left to right.
    pub across: usize,
    /// The same from top to bottom.
    pub down: usize,
    /// What the coefficients of a block are multiplied with.
    pub scale: [f32; 64],
    pub dc: Table,
    pub ac: Pairs,
}

/// What the frame's header says of a component.
struct Frame {
    id: u8,
    across: usize,
    down: usize,
    quantisation: usize,
}

/// Tables by the numbers that components refer to.
#[derive(Default)]
struct Tables {
    quantisation: [Option<[u16; 64]>; 4],
    dc: [Option<Table>; 4],
    ac: [Option<Pairs>; 4],
}

impl<'a> Baseline<'a> {
    /// Reads the headers; `None` of any other file.
    pub fn parse(file: &'a [u8]) -> Option<Self> {
        let mut rest = file.strip_prefix(&[0xff, 0xd8])?;
        let mut tables = Tables::default();
        let mut frame = None;
        let mut restart = 0;
        loop {
            let marker = marker(&mut rest)?;
            let segment = segment(&mut rest)?;
            match marker {
                0xdb => tables.quantisation(segment)?,
                0xc4 => tables.huffman(segment)?,
                0xc0 | 0xc1 if frame.is_none() => frame = Some(read_frame(segment)?),
                0xdd => restart = usize::from(u16::from_be_bytes(segment.try_into().ok()?)),
                // Red, green and blue as they are, or something rarer.
                0xee if segment.starts_with(b"Adobe") && segment.get(11) != Some(&1) => {
                    return None;
                }
                0xe0..=0xef | 0xfe => {}
                0xda => {
                    let (width, height, frame) = frame?;
                    return Some(Self {
                        width,
                        height,
                        components: components(&frame, &tables, segment)?,
                        restart,
                        scan: rest,
                    });
                }
                _ => return None,
            }
        }
    }
}

/// The next marker, which may come after fill bytes.
fn marker(rest: &mut &[u8]) -> Option<u8> {
    let (&first, mut after) = rest.split_first()?;
    if first != 0xff {
        return None;
    }
    loop {
        let (&next, more) = after.split_first()?;
        after = more;
        if next != 0xff {
            *rest = after;
            return Some(next);
        }
    }
}

/// What a segment holds after its length.
fn segment<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
    let (segment, after) = rest.split_at_checked(length)?;
    *rest = after;
    segment.get(2..)
}

/// Width, height and components.
fn read_frame(segment: &[u8]) -> Option<(usize, usize, Vec<Frame>)> {
    let (&[bits, h1, h0, w1, w0, count], rest) = segment.split_first_chunk()?;
    let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
    if bits != 8 || height == 0 || width == 0 || rest.len() != 3 * usize::from(count) {
        return None;
    }
    let frame: Vec<Frame> = rest
        .chunks_exact(3)
        .map(|part| Frame {
            id: part[0],
            across: usize::from(part[1] >> 4),
            down: usize::from(part[1] & 15),
            quantisation: usize::from(part[2]),
        })
        .collect();
    let usual = match &frame[..] {
        [grey] => (1..=4).contains(&grey.across) && (1..=4).contains(&grey.down),
        [brightness, colours @ ..] if colours.len() == 2 => {
            let ids = [0, 1, 2].map(|i| frame[i].id);
            matches!(brightness.across, 1 | 2)
                && matches!(brightness.down, 1 | 2)
                && colours
                    .iter()
                    .all(|colour| (colour.across, colour.down) == (1, 1))
                && ids != *b"RGB"
        }
        _ => false,
    };
    usual.then_some((usize::from(width), usize::from(height), frame))
}

fn components(frame: &[Frame], tables: &Tables, scan: &[u8]) -> Option<Vec<Component>> {
    let (&count, rest) = scan.split_first()?;
    let (selectors, spectrum) = rest.split_at_checked(2 * usize::from(count))?;
    if usize::from(count) != frame.len() || spectrum != [0, 63, 0] {
        return None;
    }
    let alone = frame.len() == 1;
    frame
        .iter()
        .zip(selectors.chunks_exact(2))
        .map(|(part, selector)| {
            let (dc, ac) = (usize::from(selector[1] >> 4), usize::from(selector[1] & 15));
            (selector[0] == part.id).then_some(())?;
            Some(Component {
                // A scan of one component has a block in each unit, whatever the frame says.
                across: if alone { 1 } else { part.across },
                down: if alone { 1 } else { part.down },
                scale: scales(tables.quantisation.get(part.quantisation)?.as_ref()?),
                dc: tables.dc.get(dc)?.clone()?,
                ac: tables.ac.get(ac)?.clone()?,
            })
        })
        .collect()
}

impl Tables {
    fn quantisation(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&which, rest)) = segment.split_first() {
            // Tables of 16 bits have 1 in the upper half, and are left to others.
            let table = self.quantisation.get_mut(usize::from(which))?;
            let (values, rest) = rest.split_first_chunk::<64>()?;
            *table = Some(values.map(u16::from));
            segment = rest;
        }
        Some(())
    }

    fn huffman(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&which, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let symbols = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(symbols)?;
            let table = Table::new(counts, symbols)?;
            let place = usize::from(which & 15);
            match which >> 4 {
                0 if symbols.iter().all(|size| *size <= 11) => {
                    *self.dc.get_mut(place)? = Some(table)
                }
                1 if symbols.iter().all(|symbol| symbol & 15 <= 10) => {
                    *self.ac.get_mut(place)? = Some(Pairs::new(table));
                }
                _ => return None,
            }
            segment = rest;
        }
        Some(())
    }
}
