//! Where the windows of convolutions and poolings lie.

use serde::Deserialize;

/// What happens at the edges of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Windows lie wholly inside: `(input − kernel) / stride + 1` of them, rounded down.
    #[default]
    Valid,
    /// `input / stride` windows, rounded up, as TensorFlow pads: an odd one out goes after.
    Same,
}

/// Where windows lie along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// How many there are.
    pub count: usize,
    /// Padding before the first value.
    pub before: usize,
    /// Padding after the last value.
    pub after: usize,
}

impl Padding {
    /// Windows of `kernel` values, `stride` apart, along an axis of `input` values; `None` when
    /// not one fits.
    ///
    /// `Same` is TensorFlow's rule: `max((⌈input / stride⌉ − 1) · stride + kernel − input, 0)`
    /// in all, half of it before, rounded down.
    pub fn windows(self, input: usize, kernel: usize, stride: usize) -> Option<Windows> {
        if input == 0 || kernel == 0 || stride == 0 {
            return None;
        }
        match self {
            Self::Valid => {
                let count = input.checked_sub(kernel)? / stride + 1;
                Some(Windows {
                    count,
                    before: 0,
                    after: 0,
                })
            }
            Self::Same => {
                let count = input.div_ceil(stride);
                let total = ((count - 1) * stride + kernel).saturating_sub(input);
                let before = total / 2;
                Some(Windows {
                    count,
                    before,
                    after: total - before,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden: TensorFlow's `tf.nn.conv2d` guide, "Notes on padding".
    #[test]
    fn same_pads_as_tensorflow_does() {
        let same = |input, kernel, stride| {
            let windows = Padding::Same.windows(input, kernel, stride).unwrap();
            (windows.count, windows.before, windows.after)
        };
        assert_eq!(same(28, 5, 1), (28, 2, 2));
        assert_eq!(same(28, 2, 2), (14, 0, 0));
        assert_eq!(same(7, 2, 2), (4, 0, 1));
        assert_eq!(same(28, 4, 1), (28, 1, 2));
        assert_eq!(same(5, 3, 2), (3, 1, 1));
        assert_eq!(same(6, 3, 2), (3, 0, 1));
        assert_eq!(same(5, 1, 3), (2, 0, 0));
    }

    #[test]
    fn valid_drops_what_does_not_fill_a_window() {
        let valid = |input, kernel, stride| Padding::Valid.windows(input, kernel, stride);
        assert_eq!(valid(28, 5, 1).unwrap().count, 24);
        assert_eq!(valid(7, 2, 2).unwrap().count, 3);
        assert_eq!(valid(4, 5, 1), None);
    }
}
