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
        let [_, columns] = shape.output.map(usize::from);
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
            let x = bytemuck::cast_slice(scratch);
            let whole = if self.shape.pool { 0 } else { columns / PIXELS };
            if whole > 0 {
                self.fours_of_row(&fours, x, whole, out);
            }
            if PIXELS * whole < columns {
                self.rest_of_row(&fours, x, whole, pooled, out);
            }
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
        let channel_len = fours.parts * fours.part;
        for index in 0..fours.parts {
            // The first column that is no padding.
            let first = left.saturating_sub(index).div_ceil(stride);
            let column = first * stride + index - left;
            let count = width.saturating_sub(column).div_ceil(stride);
            let room = count.min(fours.part.saturating_sub(first));
            let mut at = index * fours.part + first;
            for channel in 0..inputs {
                let x = x.get(column * inputs + channel..).unwrap_or(&[]);
                let place = place.get_mut(at..).unwrap_or(&mut []);
                gather(x, stride * inputs, room, place);
                at += channel_len;
            }
        }
    }

    /// The first outputs of a row, so many fours of each channel.
    #[inline(never)]
    fn fours_of_row(&self, fours: &Fours, x: &[u8], count: usize, out: &mut [i8]) {
        let channels = usize::from(self.shape.outputs);
        self.each_channel(fours, x, |index, x, channel| {
            let y = out.get_mut(index..).unwrap_or(&mut []);
            fours.run(x, &channel, (y, channels), count);
        });
    }

    /// The outputs of a row from this four on, of which the larger of each two is stored where they are pooled, of the
    /// second row where it is above what is there.
    #[inline(never)]
    fn rest_of_row(&self, fours: &Fours, x: &[u8], first: usize, pooled: bool, out: &mut [i8]) {
        let channels = usize::from(self.shape.outputs);
        let [_, columns] = self.shape.output.map(usize::from);
        self.each_channel(fours, x, |index, x, channel| {
            for four in first..columns.div_ceil(PIXELS) {
                let mut outputs = [0; PIXELS];
                let x = x.get(PIXELS * four..).unwrap_or(&[]);
                fours.run(x, &channel, (&mut outputs, 1), 1);
                for (pixel, output) in (PIXELS * four..).zip(outputs) {
                    let (place, over) = match self.shape.pool {
                        true => (pixel / 2, pooled || pixel % 2 == 1),
                        false => (pixel, false),
                    };
                    // Past the row there is none.
                    if let Some(y) = out.get_mut(place * channels + index) {
                        *y = if over { output.max(*y) } else { output };
                    }
                }
            }
        });
    }

    /// Calls `run` with each channel's number, inputs and numbers.
    #[inline(always)]
    fn each_channel(&self, fours: &Fours, x: &[u8], mut run: impl FnMut(usize, &[u8], Channel)) {
        let taps = self.shape.block() / 2;
        let channels = usize::from(self.shape.outputs);
        let tables = self.tables().as_flattened();
        for (index, table) in tables.iter().enumerate().take(channels) {
            let x = x.get(index * fours.parts * fours.part..).unwrap_or(&[]);
            // Each second number, from a plane of taps on.
            let (block, place) = (index / CHANNELS, index % CHANNELS);
            let plane = part(self.weights, (2 * block + place % 2) * taps, taps);
            let halves: &[i16] = bytemuck::cast_slice(plane);
            let weights = halves.get(place / 2..).unwrap_or(&[]);
            run(index, x, Channel { weights, table });
        }
    }
}
