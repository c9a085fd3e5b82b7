//! int8 kernels over packed weights: two weights in a halfword, for cores with SMLAD.
//!
//! # Layout
//!
//! The weights of output channels c and c + 1 lie in one halfword, H\[k\] = 256·w\[c + 1\]\[k\] + w\[c\]\[k\], and two taps in
//! a word. With two 16-bit inputs in a word, SMLAD of the raw word sums 256·S₁ + S₀, SMLAD of its low bytes (SXTB16)
//! sums S₀, and S₁ = (raw − S₀) / 256: four products for one extension. That is exact while |S₁| < 2²³ and each H
//! fits 16 bits; `pack` looks whether they do, channel by channel, and refuses where one does not.
//!
//! Each output channel has four numbers in a table (see [`channel`]): all that does not depend on the input is folded
//! into them.
//!
//! # Kernels
//!
//! | | block | instructions for the MACs of a step | a MAC |
//! |---|---|---|---|
//! | dense | 4 channels, 8 taps | 27 for 32 | 0.84 |
//! | conv2d, taps of neighbours shared | 4 channels x 2 pixels, 2 taps | 12 + 1/kernel width for 16 | 0.76 |
//! | conv2d, any distance | 4 channels x 2 pixels, 2 taps | 14 for 16 | 0.88 |
//! | LSTM | 4 gates of a unit, 8 taps | 27 for 32 | 0.84 |
//! | pointwise | 4 channels x 2 pixels, 2 taps | 12 for 16 | 0.75 |
//!
//! Each innermost loop exists twice: in assembly for Cortex-M4 and M7, and in Rust for all other cores, with the same
//! numbers whatever the weights are: sums wrap in both.

pub mod channel;
pub mod conv2d;
pub mod dense;
pub mod lstm;
mod tile;
mod widen;

use crate::stored::{Reader, Writer};

/// For whose kernels weights are packed. The sizes of weights, table and scratch are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Cortex-M4 and M7: two channels in a halfword.
    Armv7em,
    /// Cortex-M3 and M0: four channels in a word.
    Armv7m,
}

impl Layout {
    /// All.
    pub const ALL: [Self; 2] = [Self::Armv7em, Self::Armv7m];

    /// Its number in a blob.
    pub const fn number(self) -> u16 {
        match self {
            Self::Armv7em => 1,
            Self::Armv7m => 2,
        }
    }

    /// Whether there are kernels for it here: a Cortex-M has those of its own layout, a workstation has all.
    pub const fn is_known(self) -> bool {
        match self {
            Self::Armv7em => !cfg!(any(mote_armv7m, mote_armv6m)),
            Self::Armv7m => !cfg!(mote_armv7em),
        }
    }

    pub(crate) const fn read(from: &mut Reader) -> Self {
        match from.u8() {
            2 => Self::Armv7m,
            _ => Self::Armv7em,
        }
    }

    pub(crate) fn write(self, to: &mut Writer) {
        match self {
            Self::Armv7em => to.u8(1),
            Self::Armv7m => to.u8(2),
        }
    }

    /// Which of both it is; where only one is known, that one, so that nothing of the other is linked.
    const fn is_armv7m(self) -> bool {
        if Self::Armv7m.is_known() && Self::Armv7em.is_known() {
            matches!(self, Self::Armv7m)
        } else {
            Self::Armv7m.is_known()
        }
    }

    /// The words of two taps of a block of four channels; `weight` gives that of a channel and tap.
    fn words(
        self,
        block: usize,
        weight: impl Fn(usize, usize) -> i8,
    ) -> Result<[i32; 2], PackError> {
        let pair_of = |channel: usize| -> Result<i32, PackError> {
            let half = |tap| {
                let [low, high] = [channel, channel + 1].map(|channel| weight(channel, tap));
                pair(low, high).ok_or(PackError::Weight { channel })
            };
            Ok(word(half(0)?, half(1)?))
        };
        let quad_of = |tap| {
            let byte = |offset| weight(block + offset, tap).cast_unsigned() ^ 0x80;
            i32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
        };
        match self {
            Self::Armv7em => Ok([pair_of(block)?, pair_of(block + 2)?]),
            Self::Armv7m => Ok([quad_of(0), quad_of(1)]),
        }
    }
}

/// The bytes of weights of a pair of channels: `low` + 256 · `high`; `None` where that is no 16-bit number.
fn pair(low: i8, high: i8) -> Option<i16> {
    i16::try_from(256 * i32::from(high) + i32::from(low)).ok()
}

/// Two 16-bit numbers in a word, the first in its lower half.
#[inline(always)]
const fn word(low: i16, high: i16) -> i32 {
    // The halves' bits, side by side.
    (low as u16 as u32 | (high as u16 as u32) << 16) as i32
}

/// Why a layer stays in the plain layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackError {
    /// The sizes do not fit each other.
    Shape,
    /// Two weights do not fit a halfword (−128 above a negative one).
    Weight {
        /// The output channel.
        channel: usize,
    },
    /// A sum could leave its range.
    Sum {
        /// The output channel.
        channel: usize,
    },
    /// A factor of ½ or more, or a shift that leaves no room.
    Factor {
        /// The output channel.
        channel: usize,
    },
}

impl core::fmt::Display for PackError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Shape => write!(f, "the sizes do not fit each other"),
            Self::Weight { channel } => {
                write!(
                    f,
                    "channel {channel}: a weight of -128 beside a negative one"
                )
            }
            Self::Sum { channel } => write!(f, "channel {channel}: a sum could leave its range"),
            Self::Factor { channel } => write!(f, "channel {channel}: a factor of 1/2 or more"),
        }
    }
}

impl core::error::Error for PackError {}
