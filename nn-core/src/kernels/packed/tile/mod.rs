//! The innermost loops over packed weights. `armv7em` and `portable` give the same numbers.

use super::Layout;
use super::channel::LEN;

#[cfg(mote_armv6m)]
mod armv6m;
#[cfg(mote_armv7em)]
mod armv7em;
#[cfg(mote_armv7m)]
mod armv7m;
#[cfg(not(mote_armv7em))]
mod fours;
#[cfg(any(mote_armv7em, mote_armv7m))]
mod frame;
#[cfg(not(mote_armv7em))]
mod mixed;
#[cfg(not(any(mote_armv7em, mote_armv7m)))]
mod portable;
#[cfg(not(mote_armv7em))]
mod quads;
#[cfg(not(any(mote_armv7em, mote_armv7m, mote_armv6m)))]
mod sums;

#[cfg(mote_armv6m)]
pub(super) use armv6m::{cells, lstm_step};
#[cfg(mote_armv7em)]
pub(super) use armv7em::{Kernel, lstm_step, vector};
#[cfg(mote_armv7m)]
pub(super) use armv7m::{Kernel, lstm_step, vector};
#[cfg(not(any(mote_armv7em, mote_armv7m)))]
pub(super) use portable::{Kernel, vector};

#[cfg(not(any(mote_armv7em, mote_armv7m, mote_armv6m)))]
pub(super) use quads::{QuadSums, sum as quad_sum};
#[cfg(not(any(mote_armv7em, mote_armv7m, mote_armv6m)))]
pub(super) use sums::PixelSums;

#[cfg(mote_armv7m)]
pub(super) use armv7m::cells;
#[cfg(not(mote_armv7em))]
pub(super) use fours::{Channel, Fours, PIXELS};
#[cfg(not(mote_armv7em))]
pub(super) use mixed::Mixed;
#[cfg(not(any(mote_armv7em, mote_armv7m, mote_armv6m)))]
pub(super) use mixed::cells;

/// Channels of a block.
pub(super) const CHANNELS: usize = 4;
/// Blocks of four channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocks<'w> {
    /// How the weights lie.
    #[cfg_attr(
        any(mote_armv7em, mote_armv7m, mote_armv6m),
        expect(dead_code, reason = "there is one")
    )]
    pub(super) layout: Layout,
    /// Each block's weights.
    pub(super) weights: &'w [i32],
    /// Each block's channels.
    pub(super) table: &'w [[[i32; LEN]; CHANNELS]],
}

/// Where the outputs of two pixels go: four numbers for each block.
#[derive(Debug)]
pub(super) struct Output<'y> {
    pub(super) y: &'y mut [i8],
    /// Where the second pixel's begin; 0: there is none.
    pub(super) second: usize,
    pub(super) pool: Pool,
}

/// What of two pixels is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    /// Both.
    Both = 0,
    /// The larger of each channel.
    Larger = 1,
    /// The largest of both and of what is there.
    Largest = 2,
}

/// Where the inputs of two pixels lie: so many lines of so many words, the second pixel's at a distance.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Lines {
    /// Halves from one line to the next.
    pub(super) pitch: u32,
    /// Words of a line.
    pub(super) words: u32,
    /// Lines.
    pub(super) count: u32,
    /// Halves from one pixel to the next.
    pub(super) distance: u32,
}

impl Lines {
    /// Halves from the first to the end of the last that is read.
    #[cfg(any(mote_armv7em, mote_armv7m, mote_armv6m))]
    pub(super) fn reach(&self) -> usize {
        let lines = self.count.saturating_sub(1) as usize * self.pitch as usize;
        lines + 2 * self.words as usize + self.distance as usize
    }

    /// Of one vector.
    #[cfg(any(mote_armv7m, mote_armv6m))]
    pub(super) fn of_vector(x: &[i32]) -> Self {
        Self {
            pitch: 0,
            // Of what lies in memory.
            words: x.len() as u32,
            count: 1,
            distance: 0,
        }
    }

    /// Words of a block's weights.
    pub(super) fn weights(&self) -> usize {
        2 * self.words as usize * self.count as usize
    }
}

/// Both halves of a word.
#[cfg(not(any(mote_armv7em, mote_armv7m, mote_armv6m)))]
#[inline(always)]
pub(super) const fn parts(word: i32) -> [i16; 2] {
    // Its bits, taken apart.
    [word as i16, (word >> 16) as i16]
}
