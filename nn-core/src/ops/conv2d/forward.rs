//! Forward in f32 and fixed point.

use super::ConvStep;
use crate::kernels::{self, Products};
use crate::ops::Activation;
use crate::ops::window::Taps;
use crate::scalar::Scalar;

/// What a frame is computed from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer<'l, S> {
    pub(crate) x: &'l [S],
    pub(crate) weight: &'l [S],
    pub(crate) bias: &'l [S],
    pub(crate) activation: Activation,
}

impl ConvStep {
    /// Forward of each frame.
    ///
    /// Each y sums its bias and then the products in the order of kernel row, kernel column, input channel of its
    /// group.
    pub(crate) fn forward<S: Scalar>(
        &self,
        x: &[S],
        weight: &[S],
        bias: &[S],
        activation: Activation,
        y: &mut [S],
    ) {
        let (x_len, y_len) = self.lengths();
        for (x, y) in x.chunks_exact(x_len).zip(y.chunks_exact_mut(y_len)) {
            let layer = Layer {
                x,
                weight,
                bias,
                activation,
            };
            self.forward_rows(0, &layer, y);
        }
    }

    /// Forward of the output rows from `first` on, as many as `y` holds, of one frame.
    #[inline(always)]
    pub(crate) fn forward_rows<S: Scalar>(&self, first: usize, layer: &Layer<'_, S>, y: &mut [S]) {
        if self.is_depthwise() {
            self.depthwise(first, layer, y);
        } else if self.is_gapless() {
            self.gapless(first, layer, y);
            layer.activation.apply_all(y);
        } else {
            self.grouped(first, layer, y);
        }
    }

    /// One group, and nothing between the inputs of a row of taps: they are one run.
    #[inline(never)]
    fn gapless<S: Scalar>(&self, first: usize, layer: &Layer<'_, S>, y: &mut [S]) {
        let Layer {
            x, weight, bias, ..
        } = *layer;
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let down = self.window.rows.dilation();
        let whole = self.window.columns.whole();
        let y_pitch = usize::from(self.window.columns.output) * outputs;
        for (row, y) in (first..).zip(y.chunks_exact_mut(y_pitch.max(1))) {
            let rows = self.window.rows.taps(row);
            let mut column = 0;
            while column < usize::from(self.window.columns.output) {
                // Windows that lie inside as one, those that reach over a border one by one.
                let inside = whole.contains(&column);
                let next = if inside { whole.end } else { column + 1 };
                let columns = self.window.columns.taps(column);
                let x_at = (rows.input * self.width() + columns.input) * inputs;
                let w_at = (rows.tap * self.kernel_width() + columns.tap) * inputs * outputs;
                let products = Products {
                    x: x.get(x_at..).unwrap_or(&[]),
                    weight: weight.get(w_at..).unwrap_or(&[]),
                    columns: outputs,
                    run: columns.len * inputs,
                    rows: rows.len,
                    x_step: down * self.width() * inputs,
                    w_step: self.kernel_width() * inputs * outputs,
                    step: self.window.columns.stride() * inputs,
                    sparse: false,
                };
                let pixels = y.get_mut(column * outputs..next * outputs);
                S::sum_products(&products, bias, pixels.unwrap_or(&mut []));
                column = next;
            }
        }
    }

    #[inline(never)]
    fn grouped<S: Scalar>(&self, first: usize, layer: &Layer<'_, S>, y: &mut [S]) {
        let activation = layer.activation;
        let outputs = usize::from(self.outputs);
        let (_, group_outputs) = self.group();
        let mut pixels = y.chunks_exact_mut(outputs.max(1));
        for row in first..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(pixel) = pixels.next() else { return };
                for group in 0..usize::from(self.groups) {
                    let part = group * group_outputs..(group + 1) * group_outputs;
                    let Some(pixel) = pixel.get_mut(part) else {
                        return;
                    };
                    for (block, out) in pixel.chunks_mut(kernels::BLOCK).enumerate() {
                        let first = group * group_outputs + block * kernels::BLOCK;
                        let mut sums = [S::ZERO_ACC; kernels::BLOCK];
                        let part = (first, out.len());
                        self.sum_group(layer, [&rows, &columns], group, part, &mut sums);
                        finish(&sums, activation, out);
                    }
                }
            }
        }
    }

    /// The sums of a pixel, a group and a part of its outputs.
    ///
    /// A function of its own: with all loops in one frame it takes much stack.
    #[inline(never)]
    fn sum_group<S: Scalar>(
        &self,
        layer: &Layer<'_, S>,
        [rows, columns]: [&Taps; 2],
        group: usize,
        part: (usize, usize),
        sums: &mut [S::Acc; kernels::BLOCK],
    ) {
        let Layer {
            x, weight, bias, ..
        } = *layer;
        let (first, _) = part;
        for (sum, bias) in sums.iter_mut().zip(bias.get(first..).unwrap_or(&[])) {
            *sum = bias.widen();
        }
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let (group_inputs, _) = self.group();
        let (down, along) = (self.window.rows.dilation(), self.window.columns.dilation());
        for tap in 0..rows.len {
            let x_row = (rows.input + tap * down) * self.width();
            let w_row = (rows.tap + tap) * self.kernel_width() + columns.tap;
            for index in 0..columns.len {
                let cell = x_row + columns.input + index * along;
                let x_at = cell * inputs + group * group_inputs;
                let w_at = (w_row + index) * group_inputs * outputs;
                let x = kernels::part(x, x_at, group_inputs);
                let w = kernels::part(weight, w_at, group_inputs * outputs);
                kernels::accumulate_part(x, w, outputs, part, sums);
            }
        }
    }

    #[inline(never)]
    fn depthwise<S: Scalar>(&self, first: usize, layer: &Layer<'_, S>, y: &mut [S]) {
        let Layer {
            x,
            weight,
            bias,
            activation,
        } = *layer;
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let (_, multiplier) = self.group();
        let (down, along) = (self.window.rows.dilation(), self.window.columns.dilation());
        let mut pixels = y.chunks_exact_mut(outputs.max(1));
        for row in first..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(pixel) = pixels.next() else { return };
                for (block, out) in pixel.chunks_mut(kernels::BLOCK).enumerate() {
                    let first = block * kernels::BLOCK;
                    let channels: [usize; kernels::BLOCK] = self.channels_of(first, multiplier);
                    let mut sums = kernels::start(bias, first);
                    for tap in 0..rows.len {
                        let x_row = (rows.input + tap * down) * self.width();
                        let w_row = (rows.tap + tap) * self.kernel_width() + columns.tap;
                        for index in 0..columns.len {
                            let x_at = (x_row + columns.input + index * along) * inputs;
                            let w_at = (w_row + index) * outputs + first;
                            let w = kernels::part(weight, w_at, out.len());
                            if multiplier == 1 {
                                let x = kernels::part(x, x_at + first, out.len());
                                kernels::accumulate_each(x, w, &mut sums);
                            } else {
                                let pixel = kernels::part(x, x_at, inputs);
                                let x = channels.map(|c| pixel.get(c).copied().unwrap_or(S::ZERO));
                                kernels::accumulate_each(&x, w, &mut sums);
                            }
                        }
                    }
                    for (out, &sum) in out.iter_mut().zip(&sums) {
                        *out = activation.apply(S::narrow(sum));
                    }
                }
            }
        }
    }
}

/// The outputs of finished sums. In the frame of a loop around it, the activations would take much stack.
#[inline(never)]
fn finish<S: Scalar>(sums: &[S::Acc], activation: Activation, out: &mut [S]) {
    for (out, &sum) in out.iter_mut().zip(sums) {
        *out = activation.apply(S::narrow(sum));
    }
}
