//! Domain shifts: ways in which the world on the device may differ from the training data.
//!
//! They move or complement bytes and compute nothing else, so they give the same bits everywhere.

use std::fmt;
use std::str::FromStr;

/// A change that befalls every image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shift {
    /// No change.
    #[default]
    None,
    /// A quarter turn counter-clockwise, as `numpy.rot90` turns.
    Rot90,
    /// A half turn.
    Rot180,
    /// A quarter turn clockwise.
    Rot270,
    /// Black becomes white.
    Invert,
    /// Moved by whole pixels; what comes in from the edge is 0.
    Move {
        /// Pixels to the right.
        dx: i32,
        /// Pixels down.
        dy: i32,
    },
}

/// A shift that does not fit the image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShiftError {
    /// A quarter turn would change the shape of the model's input.
    #[error("{shift} wants square images, found {height} x {width}; rot180 fits any")]
    NotSquare {
        /// The shift.
        shift: Shift,
        /// Rows of the image.
        height: usize,
        /// Columns of the image.
        width: usize,
    },
    /// Samples are numbers, or prices.
    #[error("{shift} wants images: a sample of {set} is none")]
    NoImages {
        /// The shift.
        shift: Shift,
        /// The set.
        set: String,
    },
    /// The pixels are not as many as the shape says.
    #[error("an image of shape {shape:?} wants {wanted} bytes, found {found}")]
    Length {
        /// Height, width, channels.
        shape: [usize; 3],
        /// Bytes that this shape wants.
        wanted: usize,
        /// Bytes given.
        found: usize,
    },
}

/// Words that name no shift.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` names no shift; wanted none, rot90, rot180, rot270, invert, shiftN \
     (N pixels right and down) or shift:DX,DY"
)]
pub struct UnknownShift {
    /// What was given.
    pub found: String,
}

impl FromStr for Shift {
    type Err = UnknownShift;

    fn from_str(text: &str) -> Result<Self, UnknownShift> {
        let unknown = || UnknownShift {
            found: text.to_owned(),
        };
        let number = |text: &str| {
            text.trim()
                .parse::<i16>()
                .map(i32::from)
                .map_err(|_| unknown())
        };
        match text {
            "none" => Ok(Self::None),
            "rot90" => Ok(Self::Rot90),
            "rot180" => Ok(Self::Rot180),
            "rot270" => Ok(Self::Rot270),
            "invert" => Ok(Self::Invert),
            _ => {
                let pixels = text.strip_prefix("shift").ok_or_else(unknown)?;
                let (dx, dy) = match pixels.strip_prefix(':') {
                    Some(pair) => pair.split_once(',').ok_or_else(unknown)?,
                    None => (pixels, pixels),
                };
                Ok(Self::Move {
                    dx: number(dx)?,
                    dy: number(dy)?,
                })
            }
        }
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Rot90 => f.write_str("rot90"),
            Self::Rot180 => f.write_str("rot180"),
            Self::Rot270 => f.write_str("rot270"),
            Self::Invert => f.write_str("invert"),
            Self::Move { dx, dy } => write!(f, "shift:{dx},{dy}"),
        }
    }
}

impl Shift {
    /// `image` (HWC, of `shape`) as the shift leaves it.
    ///
    /// # Errors
    /// A quarter turn of an image that is not square; pixels that are not as many as `shape` says.
    pub fn apply(self, image: &[u8], shape: [usize; 3]) -> Result<Vec<u8>, ShiftError> {
        let [height, width, channels] = shape;
        let wanted = height * width * channels;
        if image.len() != wanted {
            return Err(ShiftError::Length {
                shape,
                wanted,
                found: image.len(),
            });
        }
        if matches!(self, Self::Rot90 | Self::Rot270) && height != width {
            return Err(ShiftError::NotSquare {
                shift: self,
                height,
                width,
            });
        }
        // Where the pixel at (row, column) of the result comes from.
        let from = |row: usize, column: usize| match self {
            Self::None | Self::Invert => Some((row, column)),
            Self::Rot90 => Some((column, width - 1 - row)),
            Self::Rot180 => Some((height - 1 - row, width - 1 - column)),
            Self::Rot270 => Some((height - 1 - column, row)),
            Self::Move { dx, dy } => {
                let row = moved(row, dy, height)?;
                Some((row, moved(column, dx, width)?))
            }
        };
        let mut result = vec![0; wanted];
        for (index, pixel) in result.chunks_exact_mut(channels.max(1)).enumerate() {
            if let Some((row, column)) = from(index / width, index % width) {
                let start = (row * width + column) * channels;
                pixel.copy_from_slice(&image[start..start + channels]);
            }
        }
        if self == Self::Invert {
            for pixel in &mut result {
                *pixel = !*pixel;
            }
        }
        Ok(result)
    }
}

/// `position − by`, when that lies in the image.
fn moved(position: usize, by: i32, size: usize) -> Option<usize> {
    let origin = i64::try_from(position).ok()? - i64::from(by);
    usize::try_from(origin).ok().filter(|&origin| origin < size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

    fn apply(text: &str) -> Vec<u8> {
        text.parse::<Shift>()
            .unwrap()
            .apply(&SQUARE, [3, 3, 1])
            .unwrap()
    }

    /// Golden: `numpy.rot90(numpy.arange(1, 10).reshape(3, 3), k).ravel()` for k = 1, 2, 3.
    #[test]
    fn turns_as_numpy_does() {
        assert_eq!(apply("rot90"), [3, 6, 9, 2, 5, 8, 1, 4, 7]);
        assert_eq!(apply("rot180"), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(apply("rot270"), [7, 4, 1, 8, 5, 2, 9, 6, 3]);
    }

    #[test]
    fn four_quarter_turns_are_none() {
        let shape = [3, 3, 2];
        let image: Vec<u8> = (0..18).collect();
        let turned = (0..4).fold(image.clone(), |image, _| {
            Shift::Rot90.apply(&image, shape).unwrap()
        });
        assert_eq!(turned, image);
    }

    #[test]
    fn moves_right_and_down_filling_with_zero() {
        assert_eq!(apply("shift:1,0"), [0, 1, 2, 0, 4, 5, 0, 7, 8]);
        assert_eq!(apply("shift:0,-1"), [4, 5, 6, 7, 8, 9, 0, 0, 0]);
        assert_eq!(apply("shift2"), [0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(apply("shift:-9,4"), [0; 9]);
    }

    #[test]
    fn inverts() {
        assert_eq!(apply("invert")[..3], [254, 253, 252]);
        assert_eq!(apply("none"), SQUARE);
    }

    #[test]
    fn a_wide_image_moves_and_half_turns_but_does_not_quarter_turn() {
        let shape = [1, 3, 1];
        assert_eq!(Shift::Rot180.apply(&[1, 2, 3], shape).unwrap(), [3, 2, 1]);
        let error = Shift::Rot90.apply(&[1, 2, 3], shape).unwrap_err();
        assert_eq!(
            error.to_string(),
            "rot90 wants square images, found 1 x 3; rot180 fits any"
        );
        assert!(matches!(
            Shift::None.apply(&[1], shape),
            Err(ShiftError::Length { .. })
        ));
    }

    #[test]
    fn text_goes_both_ways_and_nonsense_is_refused() {
        for text in ["none", "rot90", "rot180", "rot270", "invert", "shift:-3,5"] {
            assert_eq!(text.parse::<Shift>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "rot45",
            "shift",
            "shift:",
            "shift:1",
            "shift:1,x",
            "shift99999",
        ] {
            assert!(
                text.parse::<Shift>()
                    .unwrap_err()
                    .to_string()
                    .contains("rot90"),
                "{text}"
            );
        }
    }
}
