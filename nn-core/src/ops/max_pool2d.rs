//! Max pooling: the largest value of each window. int8: input and output quantized alike.
//!
//! A training step keeps which tap won (the first of equals) and sends the gradient there.

use crate::ops::window::PoolStep;

impl PoolStep {
    /// The largest value of each window; `argmax`, where it is not empty, receives the winning tap,
    /// row · kernel width + column.
    pub(crate) fn max<T: Copy + PartialOrd>(&self, x: &[T], y: &mut [T], argmax: &mut [u8]) {
        let channels = usize::from(self.channels).max(1);
        let width = usize::from(self.window.columns.input);
        let kernel_width = usize::from(self.window.columns.kernel);
        let mut pixels = y.chunks_exact_mut(channels);
        let mut winners = argmax.chunks_exact_mut(channels);
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(pixel) = pixels.next() else { return };
                let winner = winners.next().unwrap_or(&mut []);
                for tap_row in 0..rows.len {
                    for tap_column in 0..columns.len {
                        let at = (rows.input + tap_row) * width + columns.input + tap_column;
                        let cells = x.get(at * channels..).unwrap_or(&[]);
                        if tap_row + tap_column == 0 {
                            for (best, cell) in pixel.iter_mut().zip(cells) {
                                *best = *cell;
                            }
                            // At most 256 taps: see `Pool2d::check`.
                            winner.fill((rows.tap * kernel_width + columns.tap) as u8);
                            continue;
                        }
                        let tap = (rows.tap + tap_row) * kernel_width + columns.tap + tap_column;
                        if winner.is_empty() {
                            for (best, cell) in pixel.iter_mut().zip(cells) {
                                if *cell > *best {
                                    *best = *cell;
                                }
                            }
                        } else {
                            for ((best, cell), winner) in
                                pixel.iter_mut().zip(cells).zip(winner.iter_mut())
                            {
                                if *cell > *best {
                                    *best = *cell;
                                    *winner = tap as u8;
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Backward: `delta_x` is the gradient of each input cell, `delta` of each output.
    pub(crate) fn max_backward(&self, delta_x: &mut [f32], delta: &[f32], argmax: &[u8]) {
        delta_x.fill(0.0);
        let channels = usize::from(self.channels).max(1);
        let width = usize::from(self.window.columns.input);
        let kernel_width = usize::from(self.window.columns.kernel).max(1);
        let mut pixels = delta
            .chunks_exact(channels)
            .zip(argmax.chunks_exact(channels));
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some((delta, winners)) = pixels.next() else {
                    return;
                };
                for (channel, (delta, winner)) in delta.iter().zip(winners).enumerate() {
                    let winner = usize::from(*winner);
                    let x_row = (rows.input + winner / kernel_width).wrapping_sub(rows.tap);
                    let x_column =
                        (columns.input + winner % kernel_width).wrapping_sub(columns.tap);
                    let at = x_row
                        .wrapping_mul(width)
                        .wrapping_add(x_column)
                        .wrapping_mul(channels)
                        .wrapping_add(channel);
                    if let Some(cell) = delta_x.get_mut(at) {
                        *cell += delta;
                    }
                }
            }
        }
    }
}
