//! The sizes of a packed convolution, and what follows from them.

use crate::kernels::packed::Layout;
use crate::kernels::packed::channel::LEN;
use crate::kernels::packed::conv2d::form;
#[cfg(not(mote_armv7em))]
use crate::kernels::packed::tile::Fours;
use crate::kernels::packed::tile::{CHANNELS, Lines};

/// Sizes of a convolution. Products of the input's, and of the output's, fit 31 bits, as those of tensors do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows and columns of the input.
    pub input: [u16; 2],
    /// Channels of the input.
    pub channels: u16,
    /// Rows and columns of the kernel.
    pub kernel: [u16; 2],
    /// Steps down and right.
    pub stride: [u16; 2],
    /// Cells of padding above and on the left.
    pub before: [u16; 2],
    /// Rows and columns of the convolution's output, before it is pooled.
    pub output: [u16; 2],
    /// Channels of the output.
    pub outputs: u16,
    /// Whether each output channel sees the input channel of its number only; there are as many of either.
    pub depthwise: bool,
    /// Whether the largest of each 2x2 cells is the output; an odd last row or column is left out.
    pub pool: bool,
}

crate::stored::stored!(Shape {
    input: [u16; 2],
    channels: u16,
    kernel: [u16; 2],
    stride: [u16; 2],
    before: [u16; 2],
    output: [u16; 2],
    outputs: u16,
    depthwise: bool,
    pool: bool,
});

impl Shape {
    pub(super) fn inputs(&self) -> usize {
        usize::from(self.channels)
    }

    /// Pairs of input channels; depthwise, two for each block.
    pub(super) fn planes(&self) -> usize {
        if self.depthwise {
            2 * self.blocks()
        } else {
            self.inputs().div_ceil(2)
        }
    }

    pub(super) const fn is_pointwise(&self) -> bool {
        let small = matches!((self.kernel, self.before), ([1, 1], [0, 0]));
        small && self.channels > 1 && !self.depthwise
    }

    /// Whether a word holds two columns of the only input channel.
    pub(super) fn is_single(&self) -> bool {
        self.inputs() == 1 && !self.depthwise
    }

    /// Rows and columns of what is stored.
    pub fn stored(&self) -> [usize; 2] {
        let scale = if self.pool { 2 } else { 1 };
        self.output.map(|cells| usize::from(cells) / scale)
    }

    /// Numbers of an input map and of a stored one.
    pub(crate) fn lengths(&self) -> (usize, usize) {
        let of = |[rows, columns]: [usize; 2], channels| {
            rows.saturating_mul(columns)
                .saturating_mul(usize::from(channels))
        };
        let input = self.input.map(usize::from);
        (of(input, self.channels), of(self.stored(), self.outputs))
    }

    /// Whether the output may be written over the input, from its start: each row goes where only rows lie that were
    /// widened before.
    pub fn fits_in_place(&self) -> bool {
        let [rows, columns] = self.stored();
        let (x_len, y_len) = self.lengths();
        let [height, width] = self.input.map(usize::from);
        let x_row = width.saturating_mul(self.inputs());
        let y_row = columns.saturating_mul(usize::from(self.outputs));
        let [down, top, kernel] = [self.stride[0], self.before[0], self.kernel[0]].map(usize::from);
        let scale = if self.pool { 2 } else { 1 };
        let free = |row: usize| {
            let widened = (row * scale * down + kernel).saturating_sub(top);
            y_row.saturating_mul(row + 1) <= x_row.saturating_mul(widened.min(height))
        };
        !self.is_pointwise() && y_len <= x_len && (0..rows).all(free)
    }

    /// Lines of a row, words of taps of a line, and halves from one line to the next.
    pub(super) fn line(&self) -> (usize, usize, usize) {
        let (words, halves) = self.whole_line();
        let lines = if self.is_single() { 1 } else { self.planes() };
        (lines, words, halves - self.shared_padding())
    }

    /// Halves of the padding behind a line that are those before the next one, too.
    pub(super) fn shared_padding(&self) -> usize {
        let (_, halves) = self.whole_line();
        let [_, left] = self.before.map(usize::from);
        let [_, width] = self.input.map(usize::from);
        let cell = if self.is_single() { 1 } else { 2 };
        let (left, width) = (left.saturating_mul(cell), width.saturating_mul(cell));
        // An even number, as the halves of a line are.
        halves.saturating_sub(left.saturating_add(width)).min(left) & !1
    }

    /// Words of taps of a line, and its halves with all padding.
    fn whole_line(&self) -> (usize, usize) {
        let [_, kernel] = self.kernel.map(usize::from);
        let [_, stride] = self.stride.map(usize::from);
        // The second pixel of the last pair may be none, but is computed.
        let columns = usize::from(self.output[1]).next_multiple_of(2);
        let last = columns.saturating_sub(1).saturating_mul(stride);
        if self.is_single() {
            let words = kernel.div_ceil(2);
            // An even number.
            let halves = last.saturating_add(2 * words + 1) & !1;
            (words, halves)
        } else {
            let cells = last.saturating_add(kernel);
            (kernel, cells.saturating_mul(2))
        }
    }

    /// Halves from one pixel to the next.
    pub(super) fn distance(&self) -> usize {
        let [_, along] = self.stride.map(usize::from);
        if self.is_single() { along } else { 2 * along }
    }

    /// Where the inputs of two pixels lie among the rows.
    pub(super) fn tile(&self) -> Lines {
        let (lines, words, halves) = self.line();
        let kernel_rows = usize::from(self.kernel[0]);
        // Numbers of 16 bits, or of what lies in memory.
        let (pitch, count) = match self.depthwise {
            true => (lines.saturating_mul(halves), kernel_rows),
            false => (halves, kernel_rows.saturating_mul(lines)),
        };
        Lines {
            pitch: pitch as u32,
            words: words as u32,
            count: count as u32,
            distance: self.distance() as u32,
        }
    }

    /// Where the inputs of a depthwise convolution lie in layout 2.
    #[cfg(not(mote_armv7em))]
    pub(super) fn fours(&self) -> Fours {
        let kernel = self.kernel.map(usize::from);
        let (parts, part) = self.parts();
        Fours {
            kernel,
            pitch: self.inputs().saturating_mul(parts).saturating_mul(part),
            parts,
            part,
            #[cfg(mote_armv6m)]
            reach: (parts - 1).saturating_mul(part) + self.past().next_multiple_of(4) + 4,
        }
    }

    /// Parts of a row of a channel of a depthwise convolution in layout 2, and bytes of each.
    fn parts(&self) -> (usize, usize) {
        let [_, stride] = self.stride.map(usize::from);
        let [_, kernel] = self.kernel.map(usize::from);
        let fours = usize::from(self.output[1]).next_multiple_of(4);
        let part = fours.saturating_add(self.past()).next_multiple_of(4);
        (stride.min(kernel).max(1), part)
    }

    /// Taps of a part of a row past its first one.
    fn past(&self) -> usize {
        let [_, stride] = self.stride.map(usize::from);
        let [_, kernel] = self.kernel.map(usize::from);
        kernel.saturating_sub(1) / stride.max(1)
    }

    /// Which loops run it: see [`form`].
    pub(crate) const fn form(&self) -> u8 {
        if self.depthwise {
            form::DEPTHWISE
        } else if self.is_pointwise() {
            form::POINTWISE
        } else if self.outputs.is_multiple_of(CHANNELS as u16) {
            form::WHOLE_LINES
        } else {
            form::LINES
        }
    }

    /// Words of a block's weights.
    pub(super) fn block(&self) -> usize {
        let (lines, words, _) = self.line();
        let rows = 2 * usize::from(self.kernel[0]);
        let lines = if self.depthwise { 1 } else { lines };
        rows.saturating_mul(lines).saturating_mul(words)
    }

    pub(super) fn blocks(&self) -> usize {
        usize::from(self.outputs).div_ceil(CHANNELS)
    }

    /// Columns of the widened rows whose inputs are summed.
    fn columns(&self, layout: Layout) -> usize {
        let (_, halves) = self.whole_line();
        match layout {
            Layout::Armv7m if self.is_single() => halves,
            Layout::Armv7m if !self.depthwise => halves / 2,
            _ => 0,
        }
    }

    /// Adds each input of a widened row to the sum of its column, or takes it away.
    #[inline(always)]
    pub(super) fn sum_columns(
        &self,
        row: &[i32],
        columns: &mut [i32],
        change: impl Fn(i32, i32) -> i32,
    ) {
        if columns.is_empty() {
            return;
        }
        let halves: &[i16] = bytemuck::cast_slice(row);
        if self.is_single() {
            for (sum, x) in columns.iter_mut().zip(halves) {
                *sum = change(*sum, i32::from(*x));
            }
            return;
        }
        let (_, _, pitch) = self.line();
        for line in halves.chunks_exact(pitch.max(1)) {
            for (sum, [low, high]) in columns.iter_mut().zip(line.as_chunks::<2>().0) {
                *sum = change(*sum, i32::from(*low) + i32::from(*high));
            }
        }
    }

    /// Words of weights, numbers in the table and words of scratch. What no memory holds is the largest number.
    pub fn sizes(&self, layout: Layout) -> [usize; 3] {
        let (lines, _, halves) = self.line();
        let scratch = if self.is_pointwise() {
            let words = match layout {
                Layout::Armv7em => 2,
                Layout::Armv7m => 6,
            };
            words * self.planes()
        } else if self.depthwise && matches!(layout, Layout::Armv7m) {
            let (parts, part) = self.parts();
            let row = self.inputs().saturating_mul(parts).saturating_mul(part / 4);
            row.saturating_mul(usize::from(self.kernel[0]))
        } else {
            let row = lines.saturating_mul(halves / 2);
            let rows = row.saturating_mul(usize::from(self.kernel[0]));
            let rows = rows.saturating_add(self.shared_padding() / 2);
            rows.saturating_add(self.columns(layout))
        };
        let blocks = self.blocks();
        let weights = blocks.saturating_mul(self.block());
        [weights, blocks * CHANNELS * LEN, scratch]
    }

    /// The input channel of half `half` of pair `plane`: bytes 0, 2 and 1, 3 of each four; two that are left over are
    /// a pair.
    pub(super) fn channel_of(&self, plane: usize, half: usize) -> usize {
        let first = 4 * (plane / 2);
        if self.inputs() - first.min(self.inputs()) == 2 {
            first + half
        } else {
            first + plane % 2 + 2 * half
        }
    }
}
