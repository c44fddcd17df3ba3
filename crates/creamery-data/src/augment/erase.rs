//! Random erasing (Zhong et al. 2020), per pixel.

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

/// The least and the most of an image that is erased.
const AREA: [f64; 2] = [0.02, 1.0 / 3.0];

/// The least ratio of a rectangle's sides; the most is one over it.
const ASPECT: f64 = 0.3;

/// Rectangles that are drawn before one that fits is given up.
const TRIES: usize = 10;

/// What a random rectangle of a normalised image is replaced by: normal noise.
#[derive(Clone, Debug)]
pub(crate) struct Erasure {
    /// Top, left, height and width.
    rectangle: [usize; 4],
    /// For each row of the rectangle its samples, HWC.
    noise: Vec<f32>,
}

impl Erasure {
    /// For an image of `side` pixels a side. `None` if nothing is to be erased.
    pub fn draw(side: usize, channels: usize, rng: &mut impl Rng) -> Option<Self> {
        let rectangle = rectangle(side, rng)?;
        let [_, _, height, width] = rectangle;
        // Of the smallest images a rectangle may have no pixels.
        if height * width == 0 {
            return None;
        }
        let noise = (0..height * width * channels).map(|_| rng.sample(StandardNormal));
        Some(Self {
            rectangle,
            noise: noise.collect(),
        })
    }

    /// Erases the rectangle of an image, HWC with `side` pixels a side.
    pub fn erase(&self, image: &mut [f32], side: usize) {
        let channels = image.len() / (side * side);
        let [top, left, _, width] = self.rectangle;
        let rows = image.chunks_exact_mut(side * channels).skip(top);
        for (row, noise) in rows.zip(self.noise.chunks_exact(width * channels)) {
            row[left * channels..][..noise.len()].copy_from_slice(noise);
        }
    }
}

/// Top, left, height and width.
fn rectangle(side: usize, rng: &mut impl Rng) -> Option<[usize; 4]> {
    let bound = ASPECT.ln().abs();
    (0..TRIES).find_map(|_| {
        let area = rng.random_range(AREA[0]..=AREA[1]) * (side * side) as f64;
        let aspect = rng.random_range(-bound..=bound).exp();
        let size = |area: f64| area.sqrt().round() as usize;
        let (height, width) = (size(area * aspect), size(area / aspect));
        (height < side && width < side).then(|| {
            let mut start = |size: usize| rng.random_range(0..=side - size);
            [start(height), start(width), height, width]
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_of_the_right_size_becomes_noise() {
        let (side, channels) = (32, 3);
        let mut shares = Vec::new();
        for i in 0..300 {
            let mut image = vec![9.0; side * side * channels];
            let mut rng = creamery_rng::stream(0, "erase", i);
            let erasure = Erasure::draw(side, channels, &mut rng).unwrap();
            erasure.erase(&mut image, side);
            let erased: Vec<usize> = (0..side * side)
                .filter(|pixel| image[pixel * channels] != 9.0)
                .collect();
            let rows = erased.iter().map(|pixel| pixel / side);
            let columns = erased.iter().map(|pixel| pixel % side);
            let extent = |values: Vec<usize>| {
                values.iter().max().unwrap() + 1 - values.iter().min().unwrap()
            };
            assert_eq!(
                erased.len(),
                extent(rows.collect()) * extent(columns.collect())
            );
            let all_channels = image.iter().filter(|value| **value != 9.0).count();
            assert_eq!(all_channels, erased.len() * channels);
            shares.push(erased.len() as f64 / (side * side) as f64);
        }
        let (least, most) = shares
            .iter()
            .fold((1.0f64, 0.0f64), |(a, b), s| (a.min(*s), b.max(*s)));
        assert!(
            least > 0.01 && least < 0.04 && most < 0.37 && most > 0.3,
            "{least} {most}"
        );
    }

    #[test]
    fn an_image_of_a_pixel_is_left_alone() {
        let mut rng = creamery_rng::stream(0, "erase", 0);
        assert!(Erasure::draw(1, 3, &mut rng).is_none());
    }
}
