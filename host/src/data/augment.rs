//! Small random changes to training images, so that a network does not learn pixels by heart.

use serde::Deserialize;

use super::Stream;

/// Along which axes half of the images are mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// None.
    #[default]
    None,
    /// Left and right change places.
    Horizontal,
    /// Top and bottom change places.
    Vertical,
    /// Each of the two, whatever the other.
    Both,
}

/// Moves, turns and mirrors images at random, the same way for the same seed, epoch and sample.
#[derive(Debug, Clone, Copy)]
pub struct Augmenter {
    shape: [usize; 3],
    /// Most pixels moved along either axis.
    shift: u32,
    /// Most radians turned either way.
    angle: f32,
    flip: Flip,
    seed: u64,
}

impl Augmenter {
    /// For images of `shape` (HWC): at most `shift` pixels along either axis and `rotate` degrees
    /// either way.
    pub fn new(shape: [usize; 3], shift: u32, rotate: f32, seed: u64) -> Self {
        Self {
            shape,
            shift,
            angle: rotate.to_radians(),
            flip: Flip::None,
            seed,
        }
    }

    /// One that mirrors images as well.
    pub fn with_flip(self, flip: Flip) -> Self {
        Self { flip, ..self }
    }

    /// Writes `image` as sample `index` shows it in `epoch`, scaled to `0.0..=1.0`, to `result`.
    ///
    /// Both hold one image in HWC order. What comes in from outside is 0.
    pub fn apply(&self, image: &[u8], epoch: u64, index: u64, result: &mut [f32]) {
        if self.shift == 0 && self.angle == 0.0 && self.flip == Flip::None {
            scale(image, result);
            return;
        }
        let mut stream = Stream::new(self.seed, Stream::AUGMENT, epoch, index);
        let (dx, dy) = (stream.offset(self.shift), stream.offset(self.shift));
        if self.angle == 0.0 {
            self.translate(image, dx, dy, result);
        } else {
            let angle = stream.uniform(-self.angle, self.angle);
            self.turn(image, dx as f32, dy as f32, angle, result);
        }
        // Drawn last: without it all else is as it was before there was one.
        let mut half = || stream.below(2) == 1;
        let mirrored = match self.flip {
            Flip::None => [false, false],
            Flip::Horizontal => [half(), false],
            Flip::Vertical => [false, half()],
            Flip::Both => [half(), half()],
        };
        self.mirror(mirrored, result);
    }

    /// Changes left for right, and top for bottom, where wanted.
    fn mirror(&self, [horizontal, vertical]: [bool; 2], image: &mut [f32]) {
        let [height, width, channels] = self.shape;
        if horizontal {
            for row in image.chunks_exact_mut((width * channels).max(1)) {
                for column in 0..width / 2 {
                    for channel in 0..channels {
                        let left = column * channels + channel;
                        row.swap(left, (width - 1 - column) * channels + channel);
                    }
                }
            }
        }
        if vertical {
            let length = width * channels;
            for row in 0..height / 2 {
                for at in 0..length {
                    image.swap(row * length + at, (height - 1 - row) * length + at);
                }
            }
        }
    }

    fn translate(&self, image: &[u8], dx: i32, dy: i32, result: &mut [f32]) {
        let [height, width, channels] = self.shape;
        result.fill(0.0);
        let row_len = width * channels;
        // Columns that stay in the picture, as they lie in the source and in the result.
        let across = dx.unsigned_abs() as usize;
        let kept = width.saturating_sub(across) * channels;
        let (source, target) = if dx >= 0 {
            (0, across * channels)
        } else {
            (across * channels, 0)
        };
        for row in 0..height {
            let Some(from) = row
                .checked_add_signed(-(dy as isize))
                .filter(|&from| from < height)
            else {
                continue;
            };
            let pixels = &image[from * row_len..(from + 1) * row_len];
            let line = &mut result[row * row_len..(row + 1) * row_len];
            if kept > 0 {
                scale(
                    &pixels[source..source + kept],
                    &mut line[target..target + kept],
                );
            }
        }
    }

    fn turn(&self, image: &[u8], dx: f32, dy: f32, angle: f32, result: &mut [f32]) {
        let [height, width, channels] = self.shape;
        let (sin, cos) = angle.sin_cos();
        let (centre_y, centre_x) = ((height as f32 - 1.0) / 2.0, (width as f32 - 1.0) / 2.0);
        for (index, pixel) in result.chunks_exact_mut(channels).enumerate() {
            let y = (index / width) as f32 - centre_y - dy;
            let x = (index % width) as f32 - centre_x - dx;
            let source_y = sin * x + cos * y + centre_y;
            let source_x = cos * x - sin * y + centre_x;
            let (top, left) = (source_y.floor(), source_x.floor());
            let (down, right) = (source_y - top, source_x - left);
            let weights = [
                (0, 0, (1.0 - down) * (1.0 - right)),
                (0, 1, (1.0 - down) * right),
                (1, 0, down * (1.0 - right)),
                (1, 1, down * right),
            ];
            pixel.fill(0.0);
            for (below, beside, weight) in weights {
                let (row, column) = (top as i64 + below, left as i64 + beside);
                if (0..height as i64).contains(&row) && (0..width as i64).contains(&column) {
                    let start = (row as usize * width + column as usize) * channels;
                    for (value, &byte) in pixel.iter_mut().zip(&image[start..start + channels]) {
                        *value += weight * f32::from(byte) / 255.0;
                    }
                }
            }
        }
    }
}

fn scale(image: &[u8], result: &mut [f32]) {
    for (value, &byte) in result.iter_mut().zip(image) {
        *value = f32::from(byte) / 255.0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Shift;
    use super::*;

    const SHAPE: [usize; 3] = [5, 4, 2];

    fn image() -> Vec<u8> {
        (1..=40).collect()
    }

    #[test]
    fn a_translation_is_the_domain_shift_of_the_same_pixels() {
        let augmenter = Augmenter::new(SHAPE, 0, 0.0, 0);
        for (dx, dy) in [(0, 0), (1, 0), (-1, 2), (3, -4), (-4, 0), (9, -9)] {
            let mut result = [f32::NAN; 40];
            augmenter.translate(&image(), dx, dy, &mut result);
            let moved = Shift::Move { dx, dy }.apply(&image(), SHAPE).unwrap();
            let wanted: Vec<f32> = moved.iter().map(|&byte| f32::from(byte) / 255.0).collect();
            assert_eq!(result[..], wanted, "{dx}, {dy}");
        }
    }

    #[test]
    fn a_turn_by_nothing_changes_nothing_and_a_quarter_turn_is_exact_to_rounding() {
        let shape = [5, 5, 1];
        let image: Vec<u8> = (0..25).map(|index| index * 10).collect();
        let augmenter = Augmenter::new(shape, 0, 0.0, 0);
        for (angle, shift) in [
            (0.0, Shift::None),
            (std::f32::consts::FRAC_PI_2, Shift::Rot90),
        ] {
            let mut result = [f32::NAN; 25];
            augmenter.turn(&image, 0.0, 0.0, angle, &mut result);
            let wanted = shift.apply(&image, shape).unwrap();
            for (value, byte) in result.iter().zip(wanted) {
                // Coordinates up to 5 carry a rounding error of a few ulp into the weights.
                assert!((value - f32::from(byte) / 255.0).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_mirror_changes_sides_and_half_of_the_images() {
        let augmenter = Augmenter::new([2, 3, 2], 0, 0.0, 1);
        let image: Vec<f32> = (0..12u8).map(f32::from).collect();
        for (sides, wanted) in [
            ([true, false], [4, 5, 2, 3, 0, 1, 10, 11, 8, 9, 6, 7]),
            ([false, true], [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]),
        ] {
            let mut mirrored = image.clone();
            augmenter.mirror(sides, &mut mirrored);
            assert_eq!(mirrored, wanted.map(|pixel: u8| f32::from(pixel)));
            augmenter.mirror(sides, &mut mirrored);
            assert_eq!(mirrored, image);
        }
        let pixels: Vec<u8> = (0..12).collect();
        let augmenter = augmenter.with_flip(Flip::Both);
        let mut seen = std::collections::BTreeMap::new();
        for index in 0..4000 {
            let mut result = [0.0; 12];
            augmenter.apply(&pixels, 0, index, &mut result);
            *seen
                .entry(result.map(|pixel| (pixel * 255.0) as u8))
                .or_insert(0u32) += 1;
        }
        // Six standard deviations of a binomial with n = 4000, p = 1/4 are 164.
        assert!(seen.len() == 4 && seen.values().all(|count| count.abs_diff(1000) < 164));
    }

    #[test]
    fn the_same_sample_in_the_same_epoch_looks_the_same() {
        let augmenter = Augmenter::new(SHAPE, 2, 15.0, 3);
        let draw = |epoch, index| {
            let mut result = [0.0; 40];
            augmenter.apply(&image(), epoch, index, &mut result);
            result
        };
        assert_eq!(draw(1, 5), draw(1, 5));
        assert_ne!(draw(1, 5), draw(2, 5));
        assert_ne!(draw(1, 5), draw(1, 6));
    }
}
