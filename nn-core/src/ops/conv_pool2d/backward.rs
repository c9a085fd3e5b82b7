//! Backward and update, sparse through the windows' winners.

use super::PooledStep;
use crate::kernels::ScaledRows;
use crate::memory::numbers_mut;
use crate::ops::Activation;
use crate::ops::argmax::packed;
use crate::ops::dense::Weights;
use crate::scalar::Scalar;

/// Which tap of each window won.
pub(super) struct Winners<'b> {
    bytes: &'b [u8],
    bits: usize,
    columns: usize,
}

impl<'b> Winners<'b> {
    pub(super) fn new(bytes: &'b [u8], step: &PooledStep) -> Self {
        Self {
            bytes,
            bits: step.argmax_bits(),
            columns: usize::from(step.pool[1]).max(1),
        }
    }

    /// Row and column in the window of number `index` of the output.
    #[inline(always)]
    fn tap(&self, index: usize) -> [usize; 2] {
        let tap = packed(self.bytes, self.bits, index);
        match self.columns {
            1 => [tap, 0],
            2 => [tap >> 1, tap & 1],
            columns => [tap / columns, tap % columns],
        }
    }
}

/// Memory for the backward step.
pub(super) struct Scratch<'b, S: Scalar> {
    /// The gradient of the weights of an output channel, `[kernel_h, kernel_w, in / groups]`.
    gradient: &'b mut [S::Acc],
    /// The gradient at the input; empty where none is wanted.
    inputs: &'b mut [S::Acc],
    /// The weights of an output channel, where a gradient at the input is wanted.
    weights: &'b mut [S],
}

impl<'b, S: Scalar> Scratch<'b, S> {
    /// Divides memory for so many weights of an output channel, and so many inputs.
    pub(super) fn carve(bytes: &'b mut [u8], weights: usize, inputs: usize) -> Option<Self> {
        let acc = size_of::<S::Acc>();
        let (gradient, bytes) = bytes.split_at_mut_checked(weights.checked_mul(acc)?)?;
        let (map, bytes) = bytes.split_at_mut_checked(inputs.checked_mul(acc)?)?;
        let row = if inputs > 0 { weights } else { 0 };
        Some(Self {
            gradient: numbers_mut(gradient)?,
            inputs: numbers_mut(map)?,
            weights: numbers_mut(bytes.get_mut(..row.checked_mul(size_of::<S>())?)?)?,
        })
    }
}

/// Where a number of the convolution's output looks: rows of x, and the rows of weights that meet them.
struct Sight {
    x_at: usize,
    w_at: usize,
    rows: usize,
    run: usize,
    x_step: usize,
    w_step: usize,
}

impl PooledStep {
    /// Backward and update, one output channel after the other.
    ///
    /// For channel o, over the frames, and over the numbers of the output in order whose δ is not 0: the winner's taps
    /// add x·δ to the gradient of their weights, and W·δ to the gradient at the input; then W\[.., o\] learns. At the
    /// end x is overwritten by the gradient at it, rounded, times the derivative of `below`.
    pub(super) fn backward<S: Scalar>(
        &self,
        x: &mut [S],
        below: Option<Activation>,
        at: (&[S], &Winners),
        weights: &mut Weights<'_, S>,
        scratch: &mut Scratch<'_, S>,
    ) {
        scratch.inputs.fill(S::ZERO_ACC);
        let outputs = usize::from(self.conv.outputs);
        for output in 0..outputs {
            if below.is_some() {
                let from: &[S] = match &*weights {
                    Weights::Frozen(weight) => weight,
                    Weights::Learning(weight) => weight.values(0, weight.len()),
                };
                let from = from.iter().skip(output).step_by(outputs.max(1));
                for (place, weight) in scratch.weights.iter_mut().zip(from) {
                    *place = *weight;
                }
            }
            let learns = matches!(weights, Weights::Learning(_));
            if learns {
                scratch.gradient.fill(S::ZERO_ACC);
            } else if below.is_none() {
                return;
            }
            self.walk(output, x, at, learns, scratch);
            if let Weights::Learning(weight) = weights {
                weight.step_every(output, outputs, scratch.gradient);
            }
        }
        if let Some(below) = below {
            for (x, gradient) in x.iter_mut().zip(scratch.inputs.iter()) {
                *x = below.derivative(S::narrow(*gradient), *x);
            }
        }
    }

    /// Adds what the δ of an output channel give.
    #[inline(never)]
    fn walk<S: Scalar>(
        &self,
        output: usize,
        x: &[S],
        (delta, winners): (&[S], &Winners),
        learns: bool,
        scratch: &mut Scratch<'_, S>,
    ) {
        let outputs = usize::from(self.conv.outputs);
        let [height, width] = self.output();
        let [down, along] = self.pool.map(usize::from);
        let (x_len, _) = self.conv.lengths();
        let (group_inputs, group_outputs) = self.conv.group();
        let channel = output.checked_div(group_outputs).unwrap_or(0) * group_inputs;
        let mut index = output;
        for (frame, x) in x.chunks_exact(x_len).enumerate() {
            for row in 0..height {
                for column in 0..width {
                    let delta = delta.get(index).copied().unwrap_or(S::ZERO);
                    if delta != S::ZERO {
                        let [tap_row, tap_column] = winners.tap(index);
                        let pixel = [row * down + tap_row, column * along + tap_column];
                        self.add(pixel, channel, delta, (x, frame * x_len), learns, scratch);
                    }
                    index += outputs;
                }
            }
        }
    }

    /// Adds what one number of the convolution's output gives.
    #[inline(always)]
    fn add<S: Scalar>(
        &self,
        pixel: [usize; 2],
        channel: usize,
        delta: S,
        (x, frame_at): (&[S], usize),
        learns: bool,
        scratch: &mut Scratch<'_, S>,
    ) {
        self.sights(pixel, channel, |sight| {
            if learns {
                let rows = ScaledRows {
                    rows: sight.rows,
                    run: sight.run,
                    to_step: sight.w_step,
                    from_step: sight.x_step,
                };
                let to = scratch.gradient.get_mut(sight.w_at..).unwrap_or(&mut []);
                let from = x.get(sight.x_at..).unwrap_or(&[]);
                S::add_scaled_rows(&rows, to, from, delta);
            }
            let map = scratch.inputs.get_mut(frame_at + sight.x_at..);
            if let Some(to @ [_, ..]) = map {
                let rows = ScaledRows {
                    rows: sight.rows,
                    run: sight.run,
                    to_step: sight.x_step,
                    from_step: sight.w_step,
                };
                let from = scratch.weights.get(sight.w_at..).unwrap_or(&[]);
                S::add_scaled_rows(&rows, to, from, delta);
            }
        });
    }

    /// What the pixel sees of the input channels of a group, the first of which is `channel`: all at once where nothing
    /// lies between the inputs of a row of taps, else kernel row by kernel row.
    #[inline(always)]
    fn sights(&self, [row, column]: [usize; 2], channel: usize, mut see: impl FnMut(&Sight)) {
        let conv = &self.conv;
        let window = &conv.window;
        let (rows, columns) = (window.rows.taps(row), window.columns.taps(column));
        let inputs = usize::from(conv.inputs);
        let (group_inputs, _) = conv.group();
        let pitch = conv.width() * inputs;
        let x_at = (rows.input * conv.width() + columns.input) * inputs + channel;
        let w_pitch = conv.kernel_width() * group_inputs;
        let w_at = rows.tap * w_pitch + columns.tap * group_inputs;
        let x_step = window.rows.dilation() * pitch;
        if conv.is_gapless() {
            see(&Sight {
                x_at,
                w_at,
                rows: rows.len,
                run: columns.len * inputs,
                x_step,
                w_step: w_pitch,
            });
            return;
        }
        for tap in 0..rows.len {
            see(&Sight {
                x_at: x_at + tap * x_step,
                w_at: w_at + tap * w_pitch,
                rows: columns.len,
                run: group_inputs,
                x_step: window.columns.dilation() * inputs,
                w_step: group_inputs,
            });
        }
    }
}
