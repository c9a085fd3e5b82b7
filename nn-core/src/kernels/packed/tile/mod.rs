//! The innermost loops over packed weights. `armv7em` and `portable` give the same numbers.

#[cfg(mote_armv7em)]
mod armv7em;
#[cfg(any(not(mote_armv7em), test))]
mod portable;

#[cfg(mote_armv7em)]
pub(super) use armv7em::{dense, lines, pairs};
#[cfg(not(mote_armv7em))]
pub(super) use portable::{dense, lines, pairs};

/// Channels of a convolution's block.
pub(super) const CHANNELS: usize = 4;
/// Channels of a dense layer's block.
pub(super) const DENSE_CHANNELS: usize = 8;

/// The sums of four channels at two pixels: S₀ and 256·S₁ + S₀ at each, then S₂ and 256·S₃ + S₂ at each.
pub(super) type Sums = [i32; 8];

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
    pub(super) fn reach(&self) -> usize {
        let lines = self.count.saturating_sub(1) as usize * self.pitch as usize;
        lines + 2 * self.words as usize + self.distance as usize
    }

    /// Words of a block's weights.
    pub(super) fn weights(&self) -> usize {
        2 * self.words as usize * self.count as usize
    }
}
