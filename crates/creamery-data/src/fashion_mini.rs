//! Fashion-mini: a part of Fashion-MNIST (Xiao, Rasul, Vollgraf 2017) that travels inside the program.
//!
//! The first 800 training and the first 200 test images of each class, in their order: 8,000 and 2,000
//! images of 28x28 grey pixels. `examples/make_fashion_mini.rs` makes the file from the published one.
//!
//! The file is one zlib stream: 10,000 labels, training images first, then the images, each pixel
//! replaced by its difference (modulo 256) from the Paeth prediction of PNG, with zeros outside the
//! image. That makes it a twentieth smaller than pixels compressed as they are.

use std::io::Read;

use flate2::read::ZlibDecoder;

/// Training images.
pub(crate) const TRAIN: usize = 8_000;
/// Test images.
pub(crate) const TEST: usize = 2_000;
/// Height and width of every image.
pub(crate) const SIDE: usize = 28;
/// The names of the ten classes, as published.
pub(crate) const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

static ASSET: &[u8] = include_bytes!("../assets/fashion-mini.bin");

/// The labels and the pixels of all images, training first.
pub(crate) fn unpack() -> (Vec<u8>, Vec<u8>) {
    const IMAGES: usize = TRAIN + TEST;
    let mut bytes = Vec::with_capacity(IMAGES * (1 + SIDE * SIDE));
    ZlibDecoder::new(ASSET)
        .read_to_end(&mut bytes)
        .expect("the embedded file is the one whose checksum the tests know");
    let mut pixels = bytes.split_off(IMAGES);
    for image in pixels.chunks_exact_mut(SIDE * SIDE) {
        unfilter(image);
    }
    (bytes, pixels)
}

/// Turns differences back into pixels, in place.
fn unfilter(image: &mut [u8]) {
    for at in 0..image.len() {
        let left = if at % SIDE > 0 { image[at - 1] } else { 0 };
        let up = if at >= SIDE { image[at - SIDE] } else { 0 };
        let corner = if at % SIDE > 0 && at >= SIDE {
            image[at - SIDE - 1]
        } else {
            0
        };
        image[at] = image[at].wrapping_add(paeth(left, up, corner));
    }
}

/// The neighbour that is nearest to `left + up - corner` (PNG specification, section 9.4).
fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let estimate = i16::from(left) + i16::from(up) - i16::from(corner);
    let distance = |neighbour: u8| (estimate - i16::from(neighbour)).abs();
    if distance(left) <= distance(up) && distance(left) <= distance(corner) {
        left
    } else if distance(up) <= distance(corner) {
        up
    } else {
        corner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests that `examples/make_fashion_mini.rs` printed when it made the file, two of them taken
    /// before its labels and pixels were packed.
    #[test]
    fn the_file_is_the_one_that_was_made_and_unpacks_to_what_was_packed() {
        let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
        let (labels, pixels) = unpack();
        assert_eq!(
            digest(ASSET),
            "60fc70b788ada621323fc5463ec05251c9695e467f372cb71a7e96ea1cab0279"
        );
        assert_eq!(
            digest(&labels),
            "7af5157dfdfcd61ddd21e4620b81f6f42d4d8e16173c0f7143cbb3381ef207ef"
        );
        assert_eq!(
            digest(&pixels),
            "a58b435c6cb23a40b5969722b73c144bae2fee9da4b4163bea7c249130168252"
        );
    }

    /// The filter of the PNG specification, checked against its own decoder.
    #[test]
    fn unfiltering_agrees_with_png() {
        let differences: Vec<u8> = (0..SIDE * SIDE)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
            .collect();
        let rows: Vec<u8> = differences
            .chunks(SIDE)
            .flat_map(|row| [&[4], row].concat())
            .collect();
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, SIDE as u32, SIDE as u32);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().unwrap();
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, &rows).unwrap();
        writer
            .write_chunk(png::chunk::IDAT, &packed.finish().unwrap())
            .unwrap();
        writer.finish().unwrap();
        let decoded = crate::decode::decode(&file).unwrap();

        let mut image = differences;
        unfilter(&mut image);
        let grey: Vec<u8> = decoded
            .pixels
            .chunks_exact(3)
            .map(|pixel| pixel[0])
            .collect();
        assert_eq!(image, grey);
    }
}
