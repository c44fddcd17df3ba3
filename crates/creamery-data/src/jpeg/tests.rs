//! Parts of photographs against the general decoder and against each other.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;

use super::Baseline;
use crate::decode::{ImageError, decode};
use crate::picture::{Interpolation, Picture};
use crate::store::Stored;

/// Smooth, so that the ways to bring colours to full size differ little.
fn photograph(
    width: usize,
    height: usize,
    sampling: SamplingFactor,
    grey: bool,
    restart: u16,
) -> Vec<u8> {
    let channels = if grey { 1 } else { 3 };
    let pixels: Vec<u8> = (0..width * height * channels)
        .map(|i| {
            let (x, y, c) = (i / channels % width, i / channels / width, i % channels);
            (128.0 + 90.0 * ((x + 3 * c) as f64 / 17.0).sin() * ((y + 5 * c) as f64 / 23.0).cos())
                as u8
        })
        .collect();
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 93);
    encoder.set_sampling_factor(sampling);
    if restart > 0 {
        encoder.set_restart_interval(restart);
    }
    let color = if grey {
        ColorType::Luma
    } else {
        ColorType::Rgb
    };
    encoder
        .encode(&pixels, width as u16, height as u16, color)
        .unwrap();
    file
}

fn samplings() -> impl Strategy<Value = SamplingFactor> {
    use SamplingFactor::{F_1_1, F_1_2, F_2_1, F_2_2};
    prop::sample::select(vec![F_1_1, F_2_1, F_1_2, F_2_2])
}

/// A part of an image file, resized.
fn take(
    file: &[u8],
    part: [f64; 4],
    size: [usize; 2],
    filter: Interpolation,
    flip: bool,
) -> Result<Vec<u8>, ImageError> {
    Picture::of(&Stored::File(file.into()))?.take(part, size, filter, flip)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Taken whole and at its own size a photograph is what the general decoder makes of it.
    #[test]
    fn the_whole_is_what_the_general_decoder_finds(
        width in 1usize..70, height in 1usize..70, sampling in samplings(), grey: bool, restart in 0u16..5,
    ) {
        let file = photograph(width, height, sampling, grey, restart);
        let part = [0.0, 0.0, width as f64, height as f64];
        let taken = take(&file, part, [width, height], Interpolation::Bilinear, false).unwrap();
        for (found, wanted) in taken.iter().zip(&decode(&file).unwrap().pixels) {
            prop_assert!(found.abs_diff(*wanted) <= 4, "{found} is not {wanted}");
        }
    }

    /// What lies around a part does not change it, whether it was decoded or not.
    #[test]
    fn a_part_is_a_part_of_the_whole(
        width in 20usize..90, height in 20usize..90, sampling in samplings(), restart in 0u16..5,
        place in prop::array::uniform4(0.0f64..1.0), flip: bool, bicubic: bool,
    ) {
        let file = photograph(width, height, sampling, false, restart);
        let photograph = Baseline::parse(&file).unwrap();
        let span = |start: f64, end: f64, side: usize| {
            let start = (start * (side - 1) as f64) as usize;
            start..start + 1 + (end * (side - 1 - start) as f64) as usize
        };
        let (columns, rows) = (span(place[0], place[1], width), span(place[2], place[3], height));
        let part = photograph.planes(columns.clone(), rows.clone()).unwrap();
        let whole = photograph.planes(0..width, 0..height).unwrap();
        for (part, whole) in part.planes.iter().zip(&whole.planes) {
            prop_assert!(part.left <= columns.start / part.wide && part.top <= rows.start / part.high);
            prop_assert!((part.left + part.width) * part.wide >= columns.end);
            prop_assert!((part.top + part.height) * part.high >= rows.end);
            for x in 0..part.width {
                let own = &part.samples[x * part.stride..][..part.height];
                let from = (x + part.left) * whole.stride + part.top;
                prop_assert_eq!(own, &whole.samples[from..][..part.height]);
            }
        }
        // And resized: the same as out of the pixels of all of it.
        let filter = if bicubic { Interpolation::Bicubic } else { Interpolation::Bilinear };
        let rectangle = [columns.start, rows.start, columns.len(), rows.len()].map(|value| value as f64);
        let taken = take(&file, rectangle, [9, 7], filter, flip).unwrap();
        let pixels = decode(&file).unwrap();
        let wanted = Picture::from(&pixels).take(rectangle, [9, 7], filter, flip).unwrap();
        for (found, wanted) in taken.iter().zip(&wanted) {
            prop_assert!(found.abs_diff(*wanted) <= 5, "{found} is not {wanted}");
        }
    }

    /// Damage is found, or makes other pixels; nothing else.
    #[test]
    fn damaged_files_do_no_harm(
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), restart in 0u16..3,
    ) {
        let mut file = photograph(33, 21, SamplingFactor::F_2_2, false, restart);
        for (at, byte) in at {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some(photograph) = Baseline::parse(&file)
            && photograph.width * photograph.height < 1 << 20
        {
            photograph.planes(0..9, 0..photograph.height);
        }
    }
}

#[test]
fn every_cut_is_noticed() {
    let file = photograph(40, 24, SamplingFactor::F_2_2, false, 2);
    for length in 0..file.len() {
        let cut = Baseline::parse(&file[..length]).and_then(|cut| cut.planes(0..8, 0..8));
        assert!(cut.is_none(), "{length} of {}", file.len());
        let part = [0.0, 0.0, 8.0, 8.0];
        assert!(
            take(
                &file[..length],
                part,
                [4, 4],
                Interpolation::Bilinear,
                false
            )
            .is_err()
        );
    }
}

#[test]
fn other_kinds_are_left_to_the_general_decoder() {
    let kinds: [fn(&mut Encoder<&mut Vec<u8>>); 3] = [
        |encoder| encoder.set_progressive(true),
        |encoder| encoder.set_sampling_factor(SamplingFactor::F_4_1),
        |_| (),
    ];
    for (i, kind) in kinds.into_iter().enumerate() {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, 90);
        kind(&mut encoder);
        let (color, channels) = if i == 2 {
            (ColorType::Cmyk, 4)
        } else {
            (ColorType::Rgb, 3)
        };
        encoder
            .encode(&vec![90; 32 * 16 * channels], 32, 16, color)
            .unwrap();
        assert!(Baseline::parse(&file).is_none());
        let part = [4.0, 2.0, 20.0, 10.0];
        let taken = take(&file, part, [6, 5], Interpolation::Bicubic, true);
        assert_eq!(taken.unwrap().len(), 6 * 5 * 3);
    }
}

/// A header that announces more than is decoded is refused before memory is taken.
#[test]
fn bombs_are_refused_by_their_size() {
    let mut file = photograph(16, 16, SamplingFactor::F_1_1, false, 0);
    let frame = file
        .windows(2)
        .position(|marker| marker == [0xff, 0xc0])
        .unwrap();
    file[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    let error = Picture::of(&Stored::File(file.into()))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("65535x65535"), "{error}");
}
