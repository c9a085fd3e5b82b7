//! Depthwise convolutions in layout 2: channel by channel, four pixels at a time.
//!
//! The rows that an output row sees lie in scratch as the other convolutions' do, but as bytes, x + 128, each channel by
//! itself, and each column in the part of its number modulo the stride: four pixels are side by side.

use super::{Layer, Map};
use crate::kernels::packed::tile::{CHANNELS, Channel, Fours, PIXELS};
use crate::kernels::packed::widen::{gather, move_up};
use crate::kernels::part;

impl Layer<'_> {
    #[inline(never)]
    pub(super) fn depthwise_fours(&self, map: Map, scratch: &mut [i32]) {
        let shape = &self.shape;
        let fours = shape.fours();
        let kernel_rows = usize::from(shape.kernel[0]);
        let down = usize::from(shape.stride[0]);
        let row_words = fours.pitch / 4;
        let kept = kernel_rows.saturating_sub(down);
        let gone = (kernel_rows - kept) * row_words;
        for row in 0..self.rows_to_sum() {
            let mut fresh = 0;
            if row > 0 {
                move_up(scratch, gone);
                fresh = kept;
            }
            let places = scratch.chunks_exact_mut(row_words.max(1)).enumerate();
            for (index, place) in places.skip(fresh) {
                let place = bytemuck::cast_slice_mut(place);
                self.split_row(&fours, map.x(), row * down + index, place);
            }
            let Some((pooled, out)) = self.output_row(map.y, row) else {
                return;
            };
            self.channels_of_row(&fours, bytemuck::cast_slice(scratch), pooled, out);
        }
    }

    /// Row `row` of the padded input, channel by channel.
    #[inline(never)]
    fn split_row(&self, fours: &Fours, x: &[i8], row: usize, place: &mut [u8]) {
        let shape = &self.shape;
        let [top, left] = shape.before.map(usize::from);
        let [height, width] = shape.input.map(usize::from);
        let (inputs, stride) = (shape.inputs(), usize::from(shape.stride[1]).max(1));
        place.fill(self.x_zero.cast_unsigned() ^ 0x80);
        let Some(row) = row.checked_sub(top).filter(|row| *row < height) else {
            return;
        };
        let x = part(x, row * width * inputs, width * inputs);
        let channels = place.chunks_exact_mut((fours.parts * fours.part).max(1));
        for (channel, place) in channels.enumerate() {
            let parts = place.chunks_exact_mut(fours.part.max(1)).enumerate();
            for (index, place) in parts {
                // The first column that is no padding.
                let first = left.saturating_sub(index).div_ceil(stride);
                let column = first * stride + index - left;
                let count = width.saturating_sub(column).div_ceil(stride);
                let place = place.get_mut(first..).unwrap_or(&mut []);
                let x = x.get(column * inputs + channel..).unwrap_or(&[]);
                gather(x, stride * inputs, count, place);
            }
        }
    }

    /// A row of outputs, of which the larger of each two is stored where they are pooled, of the second row where it is
    /// above what is there.
    #[inline(never)]
    fn channels_of_row(&self, fours: &Fours, x: &[u8], pooled: bool, out: &mut [i8]) {
        let channels = usize::from(self.shape.outputs);
        let [_, columns] = self.shape.output.map(usize::from);
        let whole = if self.shape.pool { 0 } else { columns / PIXELS };
        let tables = self.tables().as_flattened();
        for (index, table) in tables.iter().enumerate().take(channels) {
            let x = x.get(index * fours.parts * fours.part..).unwrap_or(&[]);
            let channel = Channel {
                weights: self.halves_of(index),
                table,
            };
            let y = out.get_mut(index..).unwrap_or(&mut []);
            if whole > 0 {
                fours.run(x, &channel, (y, channels), whole);
            }
            for four in whole..columns.div_ceil(PIXELS) {
                let mut outputs = [0; PIXELS];
                let x = x.get(PIXELS * four..).unwrap_or(&[]);
                fours.run(x, &channel, (&mut outputs, 1), 1);
                let pixels = y.iter_mut().step_by(channels.max(1));
                if !self.shape.pool {
                    for (y, output) in pixels.skip(PIXELS * four).zip(outputs) {
                        *y = output;
                    }
                    continue;
                }
                let pairs = outputs.as_chunks::<2>().0;
                for (y, [first, second]) in pixels.skip(2 * four).zip(pairs) {
                    let larger = *first.max(second);
                    *y = if pooled { larger.max(*y) } else { larger };
                }
            }
        }
    }

    /// The weights of a channel, each second number.
    fn halves_of(&self, channel: usize) -> &[i16] {
        let taps = self.shape.block() / 2;
        let (block, index) = (channel / CHANNELS, channel % CHANNELS);
        let plane = part(self.weights, (2 * block + index % 2) * taps, taps);
        let halves: &[i16] = bytemuck::cast_slice(plane);
        halves.get(index / 2..).unwrap_or(&[])
    }
}
