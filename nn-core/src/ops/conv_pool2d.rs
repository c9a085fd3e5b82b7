//! A convolution and the max pooling over it as one layer: what lies between them never is in memory as a whole.
//!
//! y\[o\] = max over a window of act(b\[o\] + Σ x · W): [`Conv2d`] in f32, Q16 or int8, its rows, columns and
//! channels as there, and windows that lie side by side without padding, an odd last row or column left out.
//!
//! Forward keeps a row of the convolution at a time; when training also which tap of each window won, in two bits where
//! there are four taps. Backward is sparse: one number of the convolution's output for each number of the pooled one has
//! a gradient, that which won, and none where the activation's derivative or the gradient is 0.
//! `docs/numerics.md` has the order of the sums.

mod backward;
mod int8;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use backward::Scratch;

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Learns, Operands, Sizes};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::argmax::{argmax_bits, argmax_bytes, replace_packed};
use crate::ops::conv2d::{ConvStep, Layer};
use crate::ops::dense::{Weights, run_backward_bias};
use crate::ops::window::frames_and_map;
use crate::ops::{Check, Conv2d, Needs, NodeFault, OpSet, Operator, backward_by_dtype, by_scalar};
use crate::scalar::{Q16, Scalar};
use crate::tensor::{DType, Shape, Tensor};

/// Parameters of a convolution with a max pooling over it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ConvPool2d {
    /// The convolution.
    pub conv: Conv2d,
    /// Rows and columns of the pooling's windows, each at least 1; the windows lie side by side.
    pub pool: [u8; 2],
}

impl ConvPool2d {
    /// The output's shape, from that of the convolution.
    fn pooled(&self, shape: Shape) -> Option<Shape> {
        let (_, [height, width, channels]) = frames_and_map(&shape)?;
        let [down, along] = self.pool.map(u32::from);
        let [height, width] = [height.checked_div(down)?, width.checked_div(along)?];
        let [height, width, channels] = [height, width, channels].map(|size| size as usize);
        if height == 0 || width == 0 {
            return None;
        }
        match *shape.dims() {
            [_, _] if down == 1 => Shape::new(&[width, channels]),
            [_, _, _] => Shape::new(&[height, width, channels]),
            [frames, _, _, _] => Shape::new(&[frames as usize, height, width, channels]),
            _ => None,
        }
    }

    /// The output's shape for an input that [`frames_and_map`] reads and this weight tensor.
    pub fn output_shape(&self, input: Shape, weight: &Tensor) -> Option<Shape> {
        self.pooled(self.conv.output_shape(input, weight)?)
    }

    fn step(&self, check: &Check) -> Option<PooledStep> {
        let weight = check.tensor(self.conv.weight)?;
        Some(PooledStep {
            conv: ConvStep::new(&self.conv, check.x.shape, &weight)?,
            pool: self.pool,
        })
    }

    fn taps(&self) -> usize {
        let [down, along] = self.pool.map(usize::from);
        down * along
    }
}

impl<K: OpSet> Operator<K> for ConvPool2d {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        let dtype = check.same_dtype()?;
        self.conv
            .check_layer(check, dtype, |shape| self.pooled(shape))
    }

    fn needs(&self, check: &Check) -> Needs {
        let Some(step) = self.step(check) else {
            return Needs::default();
        };
        let saved = argmax_bytes(check.y.elements(), self.taps());
        if check.x.dtype == DType::I8 {
            return Needs {
                scratch: step.patch().saturating_add(step.row()),
                saved,
                back_scratch: step.conv.gradient_bytes(),
                sums: true,
                ..Needs::default()
            };
        }
        let row = step.row().saturating_mul(size_of::<f32>());
        let acc = match check.x.dtype {
            DType::Q16 => size_of::<<Q16 as Scalar>::Acc>(),
            _ => size_of::<<f32 as Scalar>::Acc>(),
        };
        let weights = step.weights_of_one();
        let inputs = check.x.elements().saturating_mul(acc);
        Needs {
            scratch: row,
            saved,
            back_scratch: weights.saturating_mul(acc),
            input_scratch: inputs.saturating_add(weights.saturating_mul(size_of::<f32>())),
            ..Needs::default()
        }
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward = code::<K>(check.x.dtype)?;
        let (step, activation) = (self.step(check)?, self.conv.activation);
        let sizes = match check.x.dtype {
            DType::I8 => Sizes::ConvPoolI8 {
                step,
                // Checked when the model was loaded.
                x_zero: check.x.zero_point() as i8,
                y_zero: check.y.zero_point() as i8,
                range: check.range_i8(activation),
                scales: [check.x.scale(), check.y.scale()],
            },
            _ => Sizes::ConvPool { step, activation },
        };
        Some((forward, sizes))
    }

    fn macs(&self, check: &Check) -> u64 {
        // Each weight is used once for each pixel of a window. All factors fit 31 bits.
        let weight = check.tensor(self.conv.weight);
        let weights = weight.map_or(0, |weight| weight.elements() as u64);
        weights * u64::from(check.y.shape.rows()) * self.taps() as u64
    }
}

/// The function that runs it forward in numbers of this type.
pub(super) const fn code<K: OpSet>(dtype: DType) -> Option<Forward> {
    match dtype {
        DType::I8 if K::I8 => Some(int8::run),
        dtype => by_scalar!(K, dtype, run),
    }
}

/// The function that runs it backward in numbers of this type.
pub(super) const fn backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    backward_by_dtype!(K, dtype, run_backward, int8::run_backward)
}

/// What a layer runs on.
struct Prepared<'m, S> {
    /// With all frames.
    layer: Layer<'m, S>,
    row: &'m mut [S],
    y: &'m mut [S],
    argmax: &'m mut [u8],
}

/// A function of its own: what it needs of the stack is free again when the layer runs.
#[inline(never)]
fn prepare<'m, S: Scalar>(frame: &Frame, memory: &'m mut Memory) -> Option<Prepared<'m, S>> {
    let Sizes::ConvPool { activation, .. } = frame.step.sizes else {
        return None;
    };
    let reads = [frame.x(), frame.parameter(0), frame.parameter(1)];
    let writes = [frame.y(), frame.scratch(), frame.saved];
    let ([x, weight, bias], [y, row, argmax]) = memory.borrow(reads, writes)?;
    let layer = Layer {
        x: numbers(x)?,
        weight: numbers(weight)?,
        bias: numbers(bias)?,
        activation,
    };
    Some(Prepared {
        layer,
        row: numbers_mut(row)?,
        y: numbers_mut(y)?,
        argmax,
    })
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::ConvPool { step, .. } = &frame.step.sizes else {
        return None;
    };
    let mut prepared = prepare::<S>(frame, memory);
    step.forward(prepared.as_mut()?);
    Some(())
}

fn run_backward<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    run_backward_weight::<S>(frame, back, learning, memory)?;
    run_backward_bias::<S>(frame, back, learning, memory)
}

#[inline(never)]
fn run_backward_weight<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::ConvPool { step, .. } = &frame.step.sizes else {
        return None;
    };
    let reads = [back.delta(), back.saved()];
    let writes = [back.values(frame, 0), back.scratch()];
    let mut operands = learning.borrow::<S>(frame, back, 0, memory, &reads, &writes);
    let Operands {
        weights,
        reads: [delta, argmax, _],
        writes: [x, scratch, _],
    } = operands.as_mut()?;
    let (x, below) = (numbers_mut(x)?, back.slot(0).below);
    let inputs = if below.is_some() { x.len() } else { 0 };
    let learns = matches!(weights, Weights::Learning(_));
    let mut scratch = Scratch::carve(scratch, step.weights_of_one(), inputs, learns)?;
    step.backward::<S>(x, below, (numbers(delta)?, argmax), weights, &mut scratch);
    Some(())
}

/// The layer's sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PooledStep {
    conv: ConvStep,
    pool: [u8; 2],
}

crate::stored::stored!(PooledStep {
    conv: ConvStep,
    pool: [u8; 2]
});

impl PooledStep {
    /// Numbers of a row of the convolution's output.
    fn row(&self) -> usize {
        usize::from(self.conv.window.columns.output) * usize::from(self.conv.outputs)
    }

    /// Bytes for what an int8 output pixel sees, whole words.
    fn patch(&self) -> usize {
        self.conv.filter().next_multiple_of(4)
    }

    /// Rows and columns of the output.
    fn output(&self) -> [usize; 2] {
        let [down, along] = self.pool.map(usize::from);
        let window = &self.conv.window;
        [
            usize::from(window.rows.output).checked_div(down),
            usize::from(window.columns.output).checked_div(along),
        ]
        .map(|cells| cells.unwrap_or(0))
    }

    /// How many weights belong to one output channel.
    fn weights_of_one(&self) -> usize {
        let window = &self.conv.window;
        let (group_inputs, _) = self.conv.group();
        usize::from(window.rows.kernel) * usize::from(window.columns.kernel) * group_inputs
    }

    fn argmax_bits(&self) -> usize {
        let [down, along] = self.pool.map(usize::from);
        argmax_bits(down * along)
    }

    /// Forward of each frame, row by row. `argmax`, where it is not empty, receives the winning taps.
    #[inline(always)]
    fn forward<S: Scalar>(&self, prepared: &mut Prepared<S>) {
        let Prepared {
            layer,
            row,
            y,
            argmax,
        } = prepared;
        let [height, width] = self.output();
        let down = usize::from(self.pool[0]);
        let line = (width * usize::from(self.conv.outputs)).max(1);
        let (x_len, _) = self.conv.lengths();
        // A buffer is rounded up.
        let row = row.get_mut(..self.row()).unwrap_or(&mut []);
        let (mut first, mut at) = (0, 0);
        for line in y.chunks_exact_mut(line) {
            for tap_row in 0..down {
                self.conv.forward_rows(at, layer, row);
                self.keep_larger(row, tap_row, line, first, argmax);
                at += 1;
            }
            first += line.len();
            if at >= height * down {
                // The next frame.
                (layer.x, at) = (layer.x.get(x_len..).unwrap_or(&[]), 0);
            }
        }
    }

    /// Keeps the larger of what lies in `line`, whose first number is number `first` of the output, and of a row of the
    /// convolution, the row `tap_row` of its windows.
    #[inline(never)]
    fn keep_larger<S: Copy + PartialOrd>(
        &self,
        row: &[S],
        tap_row: usize,
        line: &mut [S],
        first: usize,
        argmax: &mut [u8],
    ) {
        let outputs = usize::from(self.conv.outputs).max(1);
        let along = usize::from(self.pool[1]).max(1);
        let bits = self.argmax_bits();
        let windows = row.chunks_exact(outputs * along);
        for (cell, (best, window)) in line.chunks_exact_mut(outputs).zip(windows).enumerate() {
            let at = first + cell * outputs;
            for (tap_column, values) in window.chunks_exact(outputs).enumerate() {
                let tap = tap_row * along + tap_column;
                for (channel, (best, value)) in best.iter_mut().zip(values).enumerate() {
                    if tap == 0 || *value > *best {
                        *best = *value;
                        replace_packed(argmax, bits, at + channel, tap);
                    }
                }
            }
        }
    }
}
