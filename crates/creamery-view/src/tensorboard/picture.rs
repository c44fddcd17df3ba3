//! The confusion matrix as a picture.

use creamery_train::Confusion;

use super::proto::Image;

/// The least pixels a side.
const LEAST: usize = 320;
/// The most classes that are drawn.
const MOST: usize = 1024;

/// From white to the blue of the charts.
const BLUE: [f64; 3] = [0.0, 114.0, 178.0];

/// The matrix, rows what images show, columns what they are taken for, the darker the larger the share of the row. `None`
/// if there are no classes or too many.
pub(super) fn confusion(confusion: &Confusion) -> Option<Image> {
    let classes = confusion.classes.len();
    if classes == 0 || classes > MOST || confusion.counts.len() != classes {
        return None;
    }
    let cell = LEAST.div_ceil(classes).max(1);
    let side = classes * cell;
    let mut pixels = Vec::with_capacity(3 * side * side);
    for (row, images) in confusion.counts.iter().zip(&confusion.images) {
        let line = row.iter().take(classes).flat_map(|count| {
            let share = (*count as f64 / (*images).max(1) as f64).clamp(0.0, 1.0);
            let colour = BLUE.map(|blue| (255.0 + (blue - 255.0) * share).round() as u8);
            std::iter::repeat_n(colour, cell).flatten()
        });
        let line: Vec<u8> = line.collect();
        if line.len() != 3 * side {
            return None;
        }
        for _ in 0..cell {
            pixels.extend_from_slice(&line);
        }
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side as u32, side as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(&pixels).ok()?;
    writer.finish().ok()?;
    Some(Image {
        height: side as i32,
        width: side as i32,
        colorspace: 3,
        encoded_image_string: file,
    })
}
