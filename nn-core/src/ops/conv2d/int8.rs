//! Forward in int8, after TensorFlow Lite's `reference_integer_ops::ConvPerChannel` and `DepthwiseConvPerChannel`.

mod backward;
#[cfg(mote_helium)]
mod helium;

pub(crate) use backward::{Places, bias, divided, run_backward, run_backward_at};

use super::ConvStep;
use crate::kernels::Requant;
#[cfg(not(mote_helium))]
use crate::kernels::{self, GATHERED_I8, ROWS_I8};

/// Inputs of an output pixel that are gathered, at most.
#[cfg(not(mote_helium))]
const GATHERED: usize = 64 * GATHERED_I8;
/// Whether they are, at all.
#[cfg(not(mote_helium))]
const GATHERS: bool = cfg!(target_arch = "x86_64");

/// Layers with loops of their own.
pub(super) mod form {
    /// Any.
    pub(in super::super) const ANY: u8 = 0;
    /// Depthwise.
    #[cfg(mote_helium)]
    pub(in super::super) const DEPTHWISE: u8 = 1;
    /// What a row of weights meets is gathered as a whole.
    #[cfg(mote_helium)]
    pub(in super::super) const WHOLE: u8 = 2;
    /// … or in pieces.
    #[cfg(mote_helium)]
    pub(in super::super) const PIECES: u8 = 3;
}

impl ConvStep {
    /// int8 forward of each frame, of a layer of this form. Sums wrap, so their order does not matter.
    pub(crate) fn forward_i8<const FORM: u8>(
        &self,
        x: &[i8],
        weight: &[i8],
        x_zero: i32,
        requant: &Requant,
        y: &mut [i8],
    ) {
        let (x_len, y_len) = self.lengths();
        for (x, y) in x.chunks_exact(x_len).zip(y.chunks_exact_mut(y_len)) {
            #[cfg(mote_helium)]
            {
                let operands = helium::Operands {
                    x,
                    zero: x_zero,
                    weight,
                    requant,
                };
                let form = if FORM == form::ANY { self.form() } else { FORM };
                match form {
                    form::DEPTHWISE => self.depthwise_i8(&operands, y),
                    form::WHOLE => self.whole_i8(&operands, y),
                    _ => self.pieces_i8(&operands, y),
                }
            }
            #[cfg(not(mote_helium))]
            if self.is_depthwise() {
                self.depthwise_i8(x, weight, x_zero, requant, y);
            } else if GATHERS && self.is_gapless() && self.filter() <= GATHERED {
                self.gathered_i8(x, weight, x_zero, requant, y);
            } else if self.is_gapless() {
                self.gapless_i8(x, weight, x_zero, requant, y);
            } else {
                self.grouped_i8(x, weight, x_zero, requant, y);
            }
        }
    }

    /// Weights of an output channel.
    pub(crate) fn filter(&self) -> usize {
        let (group_inputs, _) = self.group();
        usize::from(self.window.rows.kernel) * self.kernel_width() * group_inputs
    }

    #[cfg(not(mote_helium))]
    fn depthwise_i8(&self, x: &[i8], weight: &[i8], x_zero: i32, requant: &Requant, y: &mut [i8]) {
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let (_, multiplier) = self.group();
        let (down, along) = (self.window.rows.dilation(), self.window.columns.dilation());
        let mut pixels = y.chunks_exact_mut(outputs.max(1));
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(pixel) = pixels.next() else { return };
                for (block, out) in pixel.chunks_mut(ROWS_I8).enumerate() {
                    let first = block * ROWS_I8;
                    let channels: [usize; ROWS_I8] = self.channels_of(first, multiplier);
                    let mut sums = requant.biases(first);
                    for tap in 0..rows.len {
                        let x_row = (rows.input + tap * down) * self.width();
                        let w_row = (rows.tap + tap) * self.kernel_width() + columns.tap;
                        for index in 0..columns.len {
                            let x_at = (x_row + columns.input + index * along) * inputs;
                            let w_at = (w_row + index) * outputs + first;
                            let w = kernels::part(weight, w_at, out.len());
                            if multiplier == 1 {
                                let x = kernels::part(x, x_at + first, out.len());
                                kernels::accumulate_each_i8(x, w, x_zero, &mut sums);
                            } else {
                                let pixel = kernels::part(x, x_at, inputs);
                                let x = channels.map(|c| pixel.get(c).copied().unwrap_or(0));
                                kernels::accumulate_each_i8(&x, w, x_zero, &mut sums);
                            }
                        }
                    }
                    requant.finish(first, &sums, out);
                }
            }
        }
    }
}

/// All but depthwise.
#[cfg(not(mote_helium))]
impl ConvStep {
    /// As [`Self::gapless_i8`], with all inputs of a pixel side by side, and zero points (which add nothing) for what
    /// lies outside and up to a whole number of steps.
    fn gathered_i8(&self, x: &[i8], weight: &[i8], x_zero: i32, requant: &Requant, y: &mut [i8]) {
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let filter = self.filter();
        let down = self.window.rows.dilation();
        let mut pixels = y.chunks_exact_mut(outputs.max(1));
        let mut patch = [0; GATHERED];
        let whole = filter.next_multiple_of(GATHERED_I8);
        let patch = patch.get_mut(..whole).unwrap_or_default();
        // A zero point of an int8 tensor.
        let zero = x_zero as i8;
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(pixel) = pixels.next() else { return };
                let run = columns.len * inputs;
                patch.fill(zero);
                for tap in 0..rows.len {
                    let x_at = (rows.input + tap * down) * self.width() + columns.input;
                    let at = (rows.tap + tap) * self.kernel_width() + columns.tap;
                    let x = kernels::part(x, x_at * inputs, run);
                    let to = patch.get_mut(at * inputs..).unwrap_or_default();
                    if let Some(to) = to.get_mut(..x.len()) {
                        to.copy_from_slice(x);
                    }
                }
                for (block, out) in pixel.chunks_mut(ROWS_I8).enumerate() {
                    let first = block * ROWS_I8;
                    let mut sums = requant.biases(first);
                    let filters = core::array::from_fn(|index| {
                        // Past a channel's weights others are read, times nothing.
                        let row = weight.get((first + index) * filter..).unwrap_or(&[]);
                        row.get(..whole).unwrap_or(row)
                    });
                    kernels::dot_rows_i8(patch, filters, x_zero, &mut sums);
                    requant.finish(first, &sums, out);
                }
            }
        }
    }

    /// One group, and nothing between the inputs of a row of taps: they are one run.
    fn gapless_i8(&self, x: &[i8], weight: &[i8], x_zero: i32, requant: &Requant, y: &mut [i8]) {
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let filter = self.filter();
        let down = self.window.rows.dilation();
        let mut pixels = y.chunks_exact_mut(outputs.max(1));
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(pixel) = pixels.next() else { return };
                let run = columns.len * inputs;
                for (block, out) in pixel.chunks_mut(ROWS_I8).enumerate() {
                    let first = block * ROWS_I8;
                    let mut sums = requant.biases(first);
                    for tap in 0..rows.len {
                        let x_at = (rows.input + tap * down) * self.width() + columns.input;
                        let w_at = (rows.tap + tap) * self.kernel_width() + columns.tap;
                        let x = kernels::part(x, x_at * inputs, run);
                        let filters = core::array::from_fn(|index| {
                            // Past the last channel the part is empty.
                            kernels::part(weight, (first + index) * filter + w_at * inputs, run)
                        });
                        kernels::dot_rows_i8(x, filters, x_zero, &mut sums);
                    }
                    requant.finish(first, &sums, out);
                }
            }
        }
    }

    fn grouped_i8(&self, x: &[i8], weight: &[i8], x_zero: i32, requant: &Requant, y: &mut [i8]) {
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let (group_inputs, group_outputs) = self.group();
        let (down, along) = (self.window.rows.dilation(), self.window.columns.dilation());
        let filter = usize::from(self.window.rows.kernel) * self.kernel_width() * group_inputs;
        let mut pixels = y.chunks_exact_mut(outputs.max(1));
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(pixel) = pixels.next() else { return };
                for group in 0..usize::from(self.groups) {
                    let part = group * group_outputs..(group + 1) * group_outputs;
                    let Some(pixel) = pixel.get_mut(part) else {
                        return;
                    };
                    for (block, out) in pixel.chunks_mut(ROWS_I8).enumerate() {
                        let first = group * group_outputs + block * ROWS_I8;
                        let mut sums = requant.biases(first);
                        for tap in 0..rows.len {
                            let x_row = (rows.input + tap * down) * self.width();
                            let w_row = (rows.tap + tap) * self.kernel_width() + columns.tap;
                            for index in 0..columns.len {
                                let cell = x_row + columns.input + index * along;
                                let x_at = cell * inputs + group * group_inputs;
                                let x = kernels::part(x, x_at, group_inputs);
                                let w_at = (w_row + index) * group_inputs;
                                let filters = core::array::from_fn(|row| {
                                    // Past the group's last channel there is none.
                                    let run = if row < out.len() { group_inputs } else { 0 };
                                    kernels::part(weight, (first + row) * filter + w_at, run)
                                });
                                kernels::dot_rows_i8(x, filters, x_zero, &mut sums);
                            }
                        }
                        requant.finish(first, &sums, out);
                    }
                }
            }
        }
    }
}
