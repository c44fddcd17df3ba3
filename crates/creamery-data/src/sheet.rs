//! A contact sheet: some images of each class, small, on one picture.

use crate::error::DataError;
use crate::image::Image;
use crate::parallel::map_in_order;
use crate::picture::{Interpolation, Picture};
use crate::split::Split;
use crate::window::{Window, cut, resized_size};

/// What stands where an image cannot be decoded: red.
const BAD: [u8; 3] = [200, 0, 0];
/// Between images: nearly white.
const GAP: u8 = 240;
/// Pixels between images.
const GAP_PIXELS: usize = 4;

/// How large a contact sheet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// The most classes, a row each; of more, as many are taken from all over the list.
    pub rows: usize,
    /// Images of a class, spread over those it has.
    pub columns: usize,
    /// Pixels a side of an image, of which the middle square is shown.
    pub side: usize,
}

impl Default for Sheet {
    fn default() -> Self {
        Self {
            rows: 50,
            columns: 10,
            side: 96,
        }
    }
}

/// Draws a contact sheet of a split, in colour; with the classes of its rows, from above.
///
/// # Errors
/// [`DataError::Pipeline`] if the images cannot be resized so far; what cannot be decoded is a red square.
pub fn contact_sheet(split: &Split, sheet: &Sheet) -> Result<(Image, Vec<usize>), DataError> {
    let &Sheet {
        rows,
        columns,
        side,
    } = sheet;
    let mut members = vec![Vec::new(); split.classes()];
    for index in 0..split.len() {
        members[split.label(index)].push(index);
    }
    let spread = |count: usize, most: usize| {
        let shown = count.min(most);
        (0..shown).map(move |i| i * count / shown)
    };
    let present: Vec<usize> = (0..members.len())
        .filter(|&class| !members[class].is_empty())
        .collect();
    let classes: Vec<usize> = spread(present.len(), rows).map(|at| present[at]).collect();
    let cells: Vec<(usize, usize, usize)> = classes
        .iter()
        .enumerate()
        .flat_map(|(row, &class)| {
            let members = &members[class];
            let chosen = spread(members.len(), columns).enumerate();
            chosen.map(move |(column, at)| (row, column, members[at]))
        })
        .collect();
    let squares = map_in_order(cells.len(), |cell| square(split, cells[cell].2, side));
    let step = side + GAP_PIXELS;
    let (width, height) = (
        columns * step + GAP_PIXELS,
        classes.len() * step + GAP_PIXELS,
    );
    let mut pixels = vec![GAP; width * height * 3];
    for ((row, column, _), square) in cells.into_iter().zip(squares) {
        for (y, line) in square.chunks_exact(side * 3).enumerate() {
            let (x, y) = (column * step + GAP_PIXELS, row * step + GAP_PIXELS + y);
            pixels[(y * width + x) * 3..][..side * 3].copy_from_slice(line);
        }
    }
    let image = Image {
        width,
        height,
        channels: 3,
        pixels,
    };
    Ok((image, classes))
}

/// The middle of an image in colour.
fn square(split: &Split, index: usize, side: usize) -> Vec<u8> {
    let stored = split.stored(index);
    let taken = stored.ok().and_then(|stored| {
        let picture = Picture::of(&stored).ok()?;
        let (width, height) = picture.size();
        let size = resized_size(width, height, side);
        let middle = |length: usize| ((length - side) / 2) as i64;
        let window = Window {
            x: middle(size.0),
            y: middle(size.1),
            side,
        };
        let pixels = cut(&picture, size, window, Interpolation::Bilinear, false);
        Some((picture.channels(), pixels.ok()?))
    });
    match taken {
        Some((1, grey)) => grey.iter().flat_map(|&grey| [grey; 3]).collect(),
        Some((_, pixels)) => pixels,
        None => BAD.repeat(side * side),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_classes_and_columns_are_spread() {
        // Ten images a class, whose brightness tells class and place.
        let labels: Vec<usize> = (0..30).map(|i| i / 10 * 2).collect();
        let pixels = (0..30).flat_map(|i| [8 * i as u8; 4]).collect();
        let split = Split::from_pixels([2, 2, 1], pixels, &labels, 5).unwrap();
        let sheet = Sheet {
            rows: 2,
            columns: 5,
            side: 2,
        };
        let (image, classes) = contact_sheet(&split, &sheet).unwrap();
        assert_eq!(classes, [0, 2], "classes without images have no row");
        assert_eq!((image.width, image.height), (5 * 6 + 4, 2 * 6 + 4));
        let at = |row: usize, column: usize| {
            image.pixels[((4 + 6 * row) * image.width + 4 + 6 * column) * 3]
        };
        assert_eq!([at(0, 0), at(0, 1), at(0, 4)], [0, 16, 64]);
        assert_eq!([at(1, 0), at(1, 4)], [80, 144]);
        assert_eq!(image.pixels[0], GAP);
    }
}
