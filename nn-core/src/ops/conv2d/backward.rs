//! Backward and update in f32 and fixed point.

use super::ConvStep;
use crate::kernels;
use crate::ops::Activation;
use crate::ops::dense::Weights;
use crate::scalar::Scalar;
use crate::train::Update;

/// What a backward step works on besides the weights.
pub(crate) struct Maps<'b, S: Scalar> {
    pub(crate) x: &'b mut [S],
    pub(crate) below: Option<Activation>,
    pub(crate) delta: &'b [S],
    /// A sum for each cell of all frames; not touched without `below`.
    pub(crate) plane: &'b mut [S::Acc],
}

/// The most numbers other than 0 that are listed.
const LISTED: usize = 8;

/// The numbers of δ that are not 0, and their places, where they are few: below a max pooling they are.
struct Sparse<S: Scalar>([(usize, S); LISTED]);

impl<S: Scalar> Sparse<S> {
    #[inline(always)]
    fn new() -> Self {
        Self([(0, S::ZERO); LISTED])
    }

    /// Lists δ; none where there are too many.
    #[inline(always)]
    fn fill(&mut self, delta: &[S]) -> Option<&[(usize, S)]> {
        let mut count = 0;
        for (index, &delta) in delta.iter().enumerate() {
            if delta != S::ZERO {
                *self.0.get_mut(count)? = (index, delta);
                count += 1;
            }
        }
        self.0.get(..count)
    }
}

/// Σ row\[i\] · δ\[i\], in order, of what is listed: terms of 0 add nothing.
#[inline(always)]
fn sparse_dot<S: Scalar>(row: &[S], list: &[(usize, S)]) -> S::Acc {
    let mut sum = S::ZERO_ACC;
    for &(index, delta) in list {
        if let Some(&weight) = row.get(index) {
            sum = S::mul_acc(sum, weight, delta);
        }
    }
    sum
}

impl ConvStep {
    /// Backward and update in place, one input channel after the other.
    ///
    /// For channel c: the plane collects δx\[.., c\] with the weights from before the update (output pixels in order,
    /// for each the taps in order, for each Σ over the outputs of the channel's group); then W\[i, j, c, ..\] learns
    /// from Σ x·δ (frames and output pixels in order); then x\[.., c\] is overwritten by the plane, rounded, times the
    /// derivative of `below`.
    #[inline(always)]
    pub(crate) fn backward<S: Scalar>(&self, maps: &mut Maps<'_, S>, weight: &mut Weights<'_, S>) {
        for channel in 0..usize::from(self.inputs) {
            if maps.below.is_some() {
                self.form_plane(channel, maps, weight);
            }
            if let Weights::Learning(weight) = weight {
                self.update_channel(channel, maps, weight);
            }
            if let Some(below) = maps.below {
                self.overwrite(channel, below, maps);
            }
        }
    }

    /// Forms the gradient at an input channel.
    #[inline(never)]
    fn form_plane<S: Scalar>(
        &self,
        channel: usize,
        maps: &mut Maps<'_, S>,
        weight: &Weights<'_, S>,
    ) {
        maps.plane.fill(S::ZERO_ACC);
        let weight = match weight {
            Weights::Frozen(weight) => weight,
            Weights::Learning(weight) => weight.values(0, self.weights()),
        };
        let (_, y_len) = self.lengths();
        let planes = maps.plane.chunks_exact_mut(self.window.inputs().max(1));
        for (delta, plane) in maps.delta.chunks_exact(y_len).zip(planes) {
            if self.group().1 == 1 {
                self.input_gradient_of_one(channel, weight, delta, plane);
            } else {
                self.input_gradient(channel, weight, delta, plane);
            }
        }
    }

    /// Overwrites an input channel by the gradient at it.
    #[inline(never)]
    fn overwrite<S: Scalar>(&self, channel: usize, below: Activation, maps: &mut Maps<'_, S>) {
        let cells = maps.x.iter_mut().skip(channel);
        let cells = cells.step_by(usize::from(self.inputs).max(1));
        for (x, gradient) in cells.zip(maps.plane.iter()) {
            *x = below.derivative(S::narrow(*gradient), *x);
        }
    }

    /// How many weights.
    fn weights(&self) -> usize {
        let taps = usize::from(self.window.rows.kernel) * self.kernel_width();
        taps * self.group().0 * usize::from(self.outputs)
    }

    /// Where the weights of an input channel lie within those of a tap, and the first output of its group.
    fn place(&self, channel: usize) -> (usize, usize) {
        let (group_inputs, group_outputs) = self.group();
        let group = channel.checked_div(group_inputs).unwrap_or(0);
        let first = group * group_outputs;
        let row = channel - group * group_inputs;
        (row * usize::from(self.outputs) + first, first)
    }

    #[inline(never)]
    fn input_gradient<S: Scalar>(
        &self,
        channel: usize,
        weight: &[S],
        delta: &[S],
        plane: &mut [S::Acc],
    ) {
        let (group_inputs, len) = self.group();
        let (row_at, first) = self.place(channel);
        let outputs = usize::from(self.outputs);
        let tap_len = group_inputs * outputs;
        let (down, along) = (self.window.rows.dilation(), self.window.columns.dilation());
        let mut pixels = delta.chunks_exact(outputs.max(1));
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(delta) = pixels.next() else { return };
                let delta = kernels::part(delta, first, len);
                let mut sparse = Sparse::new();
                let list = sparse.fill(delta);
                if list.is_some_and(<[_]>::is_empty) {
                    continue;
                }
                for tap in 0..rows.len {
                    let x_at = (rows.input + tap * down) * self.width() + columns.input;
                    let w_at = (rows.tap + tap) * self.kernel_width() + columns.tap;
                    let cells = plane.get_mut(x_at..).unwrap_or(&mut []);
                    let cells = cells.iter_mut().step_by(along.max(1)).take(columns.len);
                    for (index, cell) in cells.enumerate() {
                        let row = kernels::part(weight, (w_at + index) * tap_len + row_at, len);
                        let sum = match list {
                            Some(list) => sparse_dot(row, list),
                            None => kernels::dot(row, delta),
                        };
                        *cell = S::sum_acc(*cell, sum);
                    }
                }
            }
        }
    }

    /// [`input_gradient`](Self::input_gradient) where a group has one output: the taps from the last to the first,
    /// for each the output pixels in order. Each cell meets the same products in the same order.
    #[inline(never)]
    fn input_gradient_of_one<S: Scalar>(
        &self,
        channel: usize,
        weight: &[S],
        delta: &[S],
        plane: &mut [S::Acc],
    ) {
        let (group_inputs, _) = self.group();
        let (row_at, first) = self.place(channel);
        let outputs = usize::from(self.outputs).max(1);
        let out_width = usize::from(self.window.columns.output);
        let (down, along) = (self.window.rows.stride(), self.window.columns.stride());
        for kernel_row in (0..usize::from(self.window.rows.kernel)).rev() {
            let rows = self.window.rows.strip(kernel_row);
            for kernel_column in (0..self.kernel_width()).rev() {
                let columns = self.window.columns.strip(kernel_column);
                let tap = kernel_row * self.kernel_width() + kernel_column;
                let at = tap * group_inputs * outputs + row_at;
                let weight = weight.get(at).copied().unwrap_or(S::ZERO);
                for row in 0..rows.len {
                    let pixel = (rows.output + row) * out_width + columns.output;
                    let cell = (rows.input + row * down) * self.width() + columns.input;
                    let delta = delta.get(pixel * outputs + first..).unwrap_or(&[]);
                    let delta = delta.iter().step_by(outputs).take(columns.len);
                    let cells = plane.get_mut(cell..).unwrap_or(&mut []);
                    for (cell, delta) in cells.iter_mut().step_by(along.max(1)).zip(delta) {
                        if *delta != S::ZERO {
                            *cell = S::mul_acc(*cell, weight, *delta);
                        }
                    }
                }
            }
        }
    }

    #[inline(never)]
    fn update_channel<S: Scalar>(
        &self,
        channel: usize,
        maps: &Maps<'_, S>,
        weight: &mut Update<'_, S>,
    ) {
        let (group_inputs, group_outputs) = self.group();
        let (row_at, group_first) = self.place(channel);
        for kernel_row in 0..usize::from(self.window.rows.kernel) {
            for kernel_column in 0..self.kernel_width() {
                let tap = kernel_row * self.kernel_width() + kernel_column;
                let at = tap * group_inputs * usize::from(self.outputs) + row_at;
                for first in (0..group_outputs).step_by(kernels::BLOCK) {
                    let len = (group_outputs - first).min(kernels::BLOCK);
                    let mut sums = [S::ZERO_ACC; kernels::BLOCK];
                    let (taps, block) = ([kernel_row, kernel_column], (group_first + first, len));
                    self.weight_gradient(channel, maps, taps, block, &mut sums);
                    weight.step(at + first, sums.get(..len).unwrap_or(&[]));
                }
            }
        }
    }

    /// Σ x·δ of one tap, one input channel and a block of outputs, added to `sums`.
    #[inline(never)]
    fn weight_gradient<S: Scalar>(
        &self,
        channel: usize,
        maps: &Maps<'_, S>,
        [kernel_row, kernel_column]: [usize; 2],
        (first, len): (usize, usize),
        sums: &mut [S::Acc; kernels::BLOCK],
    ) {
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs).max(1));
        let (x_len, y_len) = self.lengths();
        let out_width = usize::from(self.window.columns.output);
        let rows = self.window.rows.strip(kernel_row);
        let columns = self.window.columns.strip(kernel_column);
        let (down, along) = (self.window.rows.stride(), self.window.columns.stride());
        let step = (along * inputs).max(1);
        let frames = maps.x.chunks_exact(x_len);
        for (x, delta) in frames.zip(maps.delta.chunks_exact(y_len)) {
            for row in 0..rows.len {
                let pixel = (rows.output + row) * out_width + columns.output;
                let cell = (rows.input + row * down) * self.width() + columns.input;
                let x = x.get(cell * inputs + channel..).unwrap_or(&[]);
                let x = x.iter().step_by(step).take(columns.len);
                let delta = delta.get(pixel * outputs..).unwrap_or(&[]);
                for (x, pixel) in x.zip(delta.chunks_exact(outputs)) {
                    kernels::accumulate_row(*x, kernels::part(pixel, first, len), sums);
                }
            }
        }
    }
}
