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
    pub(super) fn tap(&self, index: usize) -> [usize; 2] {
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
    /// The gradient of the weights of an output channel, `[kernel_h, kernel_w, in / groups]`; empty where they stay.
    gradient: &'b mut [S::Acc],
    /// The gradient at the input; empty where none is wanted.
    inputs: &'b mut [S::Acc],
    /// The weights of an output channel, where a gradient at the input is wanted.
    weights: &'b mut [S],
}

impl<'b, S: Scalar> Scratch<'b, S> {
    /// Divides memory for so many weights of an output channel, and so many inputs; `learns` says whether there is a
    /// gradient of the weights.
    #[inline(never)]
    pub(super) fn carve(
        bytes: &'b mut [u8],
        weights: usize,
        inputs: usize,
        learns: bool,
    ) -> Option<Self> {
        let acc = size_of::<S::Acc>();
        let (gradient, bytes) = bytes.split_at_mut_checked(weights.checked_mul(acc)?)?;
        let (map, bytes) = bytes.split_at_mut_checked(inputs.checked_mul(acc)?)?;
        let row = if inputs > 0 { weights } else { 0 };
        Some(Self {
            gradient: numbers_mut(gradient.get_mut(..if learns { weights * acc } else { 0 })?)?,
            inputs: numbers_mut(map)?,
            weights: numbers_mut(bytes.get_mut(..row.checked_mul(size_of::<S>())?)?)?,
        })
    }

    /// Takes the weights of an output channel, and begins its gradient at 0.
    #[inline(never)]
    fn gather(&mut self, weights: &Weights<'_, S>, output: usize, outputs: usize) {
        let from = match weights {
            Weights::Frozen(weight) => weight,
            Weights::Learning(weight) => weight.values(0, weight.len()),
        };
        let from = from.iter().skip(output).step_by(outputs.max(1));
        for (place, weight) in self.weights.iter_mut().zip(from) {
            *place = *weight;
        }
        self.gradient.fill(S::ZERO_ACC);
    }

    /// Overwrites x by the gradient at it.
    #[inline(never)]
    fn overwrite(&self, x: &mut [S], below: Activation) {
        for (x, gradient) in x.iter_mut().zip(self.inputs.iter()) {
            *x = below.derivative(S::narrow(*gradient), *x);
        }
    }
}

impl PooledStep {
    /// Backward and update, one output channel after the other.
    ///
    /// For channel o, over the frames, and over the numbers of the output in order whose δ is not 0: the winner's taps
    /// add x·δ to the gradient of their weights, and W·δ to the gradient at the input; then W\[.., o\] learns. At the
    /// end x is overwritten by the gradient at it, rounded, times the derivative of `below`.
    #[inline(always)]
    pub(super) fn backward<S: Scalar>(
        &self,
        x: &mut [S],
        below: Option<Activation>,
        at: (&[S], &[u8]),
        weights: &mut Weights<'_, S>,
        scratch: &mut Scratch<'_, S>,
    ) {
        scratch.inputs.fill(S::ZERO_ACC);
        let outputs = usize::from(self.conv.outputs);
        for output in 0..outputs {
            scratch.gather(weights, output, outputs);
            if below.is_some() || matches!(weights, Weights::Learning(_)) {
                self.walk(output, x, at, scratch);
            }
            if let Weights::Learning(weight) = weights {
                weight.step_every(output, outputs, scratch.gradient);
            }
        }
        if let Some(below) = below {
            scratch.overwrite(x, below);
        }
    }

    /// Adds what the δ of an output channel give.
    #[inline(never)]
    fn walk<S: Scalar>(
        &self,
        output: usize,
        x: &[S],
        (delta, argmax): (&[S], &[u8]),
        scratch: &mut Scratch<'_, S>,
    ) {
        let winners = Winners::new(argmax, self);
        let outputs = usize::from(self.conv.outputs).max(1);
        let [height, width] = self.output();
        let (mut row, mut column, mut frame_at) = (0, 0, 0);
        let mut index = output;
        for delta in delta.iter().skip(output).step_by(outputs) {
            if *delta != S::ZERO {
                let [tap_row, tap_column] = winners.tap(index);
                let [down, along] = self.pool.map(usize::from);
                let pixel = [row * down + tap_row, column * along + tap_column];
                self.add(pixel, output, *delta, (x, frame_at), scratch);
            }
            index += outputs;
            column += 1;
            if column == width {
                (row, column) = (row + 1, 0);
            }
            if row == height {
                row = 0;
                frame_at += self.conv.lengths().0;
            }
        }
    }

    /// Adds what one number of the convolution's output gives: all rows of taps at once where nothing lies between the
    /// inputs of one, else one after the other.
    #[inline(never)]
    fn add<S: Scalar>(
        &self,
        [row, column]: [usize; 2],
        output: usize,
        delta: S,
        (x, frame_at): (&[S], usize),
        scratch: &mut Scratch<'_, S>,
    ) {
        let conv = &self.conv;
        let (rows, columns) = (conv.window.rows.taps(row), conv.window.columns.taps(column));
        let (inputs, (group_inputs, group_outputs)) = (usize::from(conv.inputs), conv.group());
        let channel = match conv.groups {
            1 => 0,
            _ => output.checked_div(group_outputs).unwrap_or(0) * group_inputs,
        };
        let x_step = conv.window.rows.dilation() * conv.width() * inputs;
        let w_step = conv.kernel_width() * group_inputs;
        let x_at = (rows.input * conv.width() + columns.input) * inputs + channel;
        let mut x_at = frame_at + x_at;
        let mut w_at = rows.tap * w_step + columns.tap * group_inputs;
        let (times, mut sight) = if conv.is_gapless() {
            let sight = ScaledRows {
                rows: rows.len,
                run: columns.len * inputs,
                to_step: w_step,
                from_step: x_step,
            };
            (1, sight)
        } else {
            let sight = ScaledRows {
                rows: columns.len,
                run: group_inputs,
                to_step: group_inputs,
                from_step: conv.window.columns.dilation() * inputs,
            };
            (rows.len, sight)
        };
        for _ in 0..times {
            if let Some(to @ [_, ..]) = scratch.gradient.get_mut(w_at..) {
                S::add_scaled_rows(&sight, to, x.get(x_at..).unwrap_or(&[]), delta);
            }
            if let Some(to @ [_, ..]) = scratch.inputs.get_mut(x_at..) {
                sight.turn();
                let from = scratch.weights.get(w_at..).unwrap_or(&[]);
                S::add_scaled_rows(&sight, to, from, delta);
                sight.turn();
            }
            x_at += x_step;
            w_at += w_step;
        }
    }
}
