//! Dense layer: y = act(x · W + b), x of n numbers, y of m; applied to each vector along the last axis, so
//! `[steps, n]` gives `[steps, m]`.
//!
//! f32: `W` is `[n, m]`. int8: `W` is `[m, n]`, y = clamp(zero_y + rescale(Σ w · (x − zero_x) + b)), after the
//! TensorFlow Lite int8 specification for FULLY_CONNECTED with a scale for each output.

mod int8;

pub(crate) use int8::{Prepared, prepare};

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Learns, Operands, Sizes};
use crate::kernels;
use crate::kernels::Requant;
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::{
    Activation, Check, Facts, Needs, NodeFault, OpSet, Operator, backward_by_dtype, by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::{DType, TensorId};
use crate::train::Update;

/// Parameters of a dense layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Dense {
    /// f32 `[n, m]` or int8 `[m, n]`.
    pub weight: TensorId,
    /// f32 or int32 `[m]`.
    pub bias: Option<TensorId>,
    /// int8: int32 `[2, m]`, the multipliers and then the shifts of Σ's rescaling.
    pub requant: Option<TensorId>,
    /// What is applied to the output.
    pub activation: Activation,
}

impl Dense {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            parameters: [Some(self.weight), self.bias, None, None],
            biases: 1 << 1,
            constants: [self.requant, None],
            activation: self.activation,
            ..Facts::PLAIN
        }
    }
}

impl<K: OpSet> Operator<K> for Dense {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        let dtype = check.same_dtype()?;
        let weight = check.weight(self.weight, dtype)?;
        let &[rows, columns] = weight.shape.dims() else {
            return Err(NodeFault::Shape(self.weight));
        };
        let (inputs, outputs) = match dtype {
            DType::I8 => (columns, rows),
            _ => (rows, columns),
        };
        let wanted = check.x.shape.with_last(inputs, outputs);
        check.y_shape(wanted.ok_or(NodeFault::Shape(check.x_id))?)?;
        check.channels(outputs, &weight, self.bias, self.requant, self.activation)
    }

    fn needs(&self, check: &Check) -> Needs {
        let rows = check.x.shape.rows() as usize;
        if check.x.dtype == DType::I8 {
            let inputs = check.x.elements().checked_div(rows).unwrap_or(0);
            let gradient = inputs.saturating_mul(size_of::<i32>());
            return Needs {
                back_scratch: if rows > 1 { gradient } else { 0 },
                sums: true,
                ..Needs::default()
            };
        }
        Needs {
            input_scratch: if rows > 1 { rows * size_of::<f32>() } else { 0 },
            ..Needs::default()
        }
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward = code::<K>(check.x.dtype)?;
        let (rows, activation) = (check.x.shape.rows(), self.activation);
        let sizes = match check.x.dtype {
            DType::I8 => Sizes::DenseI8 {
                rows,
                // Checked when the model was loaded.
                x_zero: check.x.zero_point() as i8,
                y_zero: check.y.zero_point() as i8,
                range: check.range_i8(activation),
                scales: [check.x.scale(), check.y.scale()],
            },
            _ => Sizes::Dense { activation, rows },
        };
        Some((forward, sizes))
    }

    fn macs(&self, check: &Check) -> u64 {
        let outputs = check.y.shape.dims().last().copied().map_or(0, u64::from);
        // Fits 31 bits.
        check.x.elements() as u64 * outputs
    }
}

/// Of `rows` vectors that lie behind each other in `values` the length of one.
pub(crate) fn length<T>(values: &[T], rows: u32) -> usize {
    // A count of numbers in memory.
    values.len().checked_div(rows as usize).unwrap_or(0).max(1)
}

/// The function that runs it forward in numbers of this type.
pub(super) const fn code<K: OpSet>(dtype: DType) -> Option<Forward> {
    match dtype {
        DType::I8 if K::I8 => Some(run_i8),
        dtype => by_scalar!(K, dtype, run),
    }
}

/// The function that runs it backward in numbers of this type.
pub(super) const fn backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    backward_by_dtype!(K, dtype, run_backward, int8::run_backward)
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Dense { activation, rows } = frame.step.sizes else {
        return None;
    };
    let reads = [frame.x(), frame.parameter(0), frame.parameter(1)];
    let ([x, weight, bias], [y]) = memory.borrow(reads, [frame.y()])?;
    let (x, weight, bias) = (numbers(x)?, numbers(weight)?, numbers(bias)?);
    let y = numbers_mut(y)?;
    let (inputs, outputs) = (length(x, rows), length(y, rows));
    for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
        forward::<S>(x, weight, bias, activation, y);
    }
    Some(())
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::DenseI8 {
        rows,
        x_zero,
        y_zero,
        range,
        ..
    } = frame.step.sizes
    else {
        return None;
    };
    let parameters = [frame.parameter(0), frame.parameter(1), frame.constant(0)];
    let [weight, bias, requant] = parameters;
    let ([x, weight, bias, table], [y]) =
        memory.borrow([frame.x(), weight, bias, requant], [frame.y()])?;
    let (table, bias) = (numbers(table)?, numbers(bias)?);
    let requant = Requant::new(table, bias, i32::from(y_zero), range);
    let (x, weight, y): (&[i8], _, &mut [i8]) = (numbers(x)?, numbers(weight)?, numbers_mut(y)?);
    let (inputs, outputs) = (length(x, rows), length(y, rows));
    for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
        forward_i8(x, weight, i32::from(x_zero), &requant, y);
    }
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
    let Sizes::Dense { rows, .. } = frame.step.sizes else {
        return None;
    };
    let (reads, writes) = ([back.delta()], [back.values(frame, 0), back.scratch()]);
    let mut operands = learning.borrow::<S>(frame, back, 0, memory, &reads, &writes);
    let Operands {
        weights,
        reads: [delta, ..],
        writes: [x, column, _],
    } = operands.as_mut()?;
    let (x, below, delta) = (numbers_mut(x)?, back.slot(0).below, numbers(delta)?);
    if rows == 1 {
        backward(x, below, weights, delta);
    } else {
        backward_rows(x, below, weights, delta, numbers_mut(column)?, rows);
    }
    Some(())
}

/// The bias, parameter 1, learns from the gradient at the output, `[.., outputs]`, where it learns at all.
#[inline(never)]
pub(crate) fn run_backward_bias<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let reads = [back.delta()];
    let mut operands = learning.borrow::<S>(frame, back, 1, memory, &reads, &[]);
    let operands = operands.as_mut()?;
    let [delta, ..] = operands.reads;
    if let Weights::Learning(bias) = &mut operands.weights {
        backward_bias(bias, numbers(delta)?);
    }
    Some(())
}

/// y = act(x · W + b). `weight` is `[x.len(), y.len()]`.
///
/// Each y sums its bias and then the products in the order of x.
pub fn forward<S: Scalar>(x: &[S], weight: &[S], bias: &[S], activation: Activation, y: &mut [S]) {
    kernels::vector_matrix(x, weight, bias, y);
    activation.apply_all(y);
}

/// int8 forward. `weight` is `[y.len(), x.len()]`.
pub fn forward_i8(x: &[i8], weight: &[i8], x_zero: i32, requant: &Requant, y: &mut [i8]) {
    let inputs = x.len().max(1);
    const ROWS: usize = kernels::ROWS_I8;
    for (block, outputs) in y.chunks_mut(ROWS).enumerate() {
        let first = block * ROWS;
        let mut sums = requant.biases(first);
        let mut rows = weight
            .get(first * inputs..)
            .unwrap_or(&[])
            .chunks_exact(inputs);
        let rows = core::array::from_fn(|_| rows.next().unwrap_or(&[]));
        kernels::dot_rows_i8(x, rows, x_zero, &mut sums);
        requant.finish(first, &sums, outputs);
    }
}

/// Backward and update in one pass, in place.
///
/// For each input j: δx_j = Σ_o W\[j\]\[o\]·δ\[o\] with the weights from before the update (the sum in the order of o);
/// then W\[j\]\[o\] learns from x_j·δ\[o\]; then x_j is overwritten by δx_j times the derivative of `below`, the
/// activation that made x. Without `below` no δx is formed, and x keeps its values.
pub(crate) fn backward<S: Scalar>(
    x: &mut [S],
    below: Option<Activation>,
    weight: &mut Weights<'_, S>,
    delta: &[S],
) {
    let outputs = delta.len().max(1);
    match weight {
        Weights::Frozen(weight) => {
            let Some(below) = below else { return };
            for (x, row) in x.iter_mut().zip(weight.chunks_exact(outputs)) {
                *x = below.derivative(S::narrow(kernels::dot(row, delta)), *x);
            }
        }
        Weights::Learning(weight) => {
            if let Some((weight, rate, rounder)) = weight.plainly() {
                S::descend_rows(x, below, weight, delta, rate, rounder);
                return;
            }
            for (index, x) in x.iter_mut().enumerate() {
                let row = index * outputs;
                let gradient =
                    below.map(|_| S::narrow(kernels::dot(weight.values(row, outputs), delta)));
                weight.outer(row, *x, delta);
                if let (Some(below), Some(gradient)) = (below, gradient) {
                    *x = below.derivative(gradient, *x);
                }
            }
        }
    }
}

/// Backward of a layer that is applied to several vectors, `rows` of them, in place.
///
/// For each input j: of each row δx_j = Σ_o W\[j\]\[o\]·δ\[o\] into `column`, with the weights from before the update;
/// then W\[j\]\[o\] learns from Σ x_j·δ\[o\], the sum over the rows in order from 0; then each x_j is overwritten.
/// `column` holds a number for each row and is not touched without `below`.
#[inline(never)]
pub(crate) fn backward_rows<S: Scalar>(
    x: &mut [S],
    below: Option<Activation>,
    weight: &mut Weights<'_, S>,
    delta: &[S],
    column: &mut [S],
    rows: u32,
) {
    let (inputs, outputs) = (length(x, rows), length(delta, rows));
    for input in 0..inputs {
        let at = input * outputs;
        if below.is_some() {
            let row = match &*weight {
                Weights::Frozen(weight) => kernels::part(weight, at, outputs),
                Weights::Learning(weight) => weight.values(at, outputs),
            };
            for (gradient, delta) in column.iter_mut().zip(delta.chunks_exact(outputs)) {
                *gradient = S::narrow(kernels::dot(row, delta));
            }
        }
        if let Weights::Learning(weight) = weight {
            let cells = x.iter().skip(input).step_by(inputs);
            for first in (0..outputs).step_by(kernels::BLOCK) {
                let mut sums = [S::ZERO_ACC; kernels::BLOCK];
                for (x, delta) in cells.clone().zip(delta.chunks_exact(outputs)) {
                    for (sum, delta) in sums.iter_mut().zip(delta.get(first..).unwrap_or(&[])) {
                        *sum = S::mul_acc(*sum, *x, *delta);
                    }
                }
                let len = (outputs - first).min(kernels::BLOCK);
                weight.step(at + first, sums.get(..len).unwrap_or(&[]));
            }
        }
        if let Some(below) = below {
            let cells = x.iter_mut().skip(input).step_by(inputs);
            for (cell, gradient) in cells.zip(column.iter()) {
                *cell = below.derivative(*gradient, *cell);
            }
        }
    }
}

/// The bias learns from δ, `[.., bias]`, summed over the rows in order from 0.
#[inline(never)]
pub(crate) fn backward_bias<S: Scalar>(bias: &mut Update<'_, S>, delta: &[S]) {
    let outputs = bias.len();
    for first in (0..outputs).step_by(kernels::BLOCK) {
        let mut sums = [S::ZERO_ACC; kernels::BLOCK];
        for row in delta.chunks_exact(outputs.max(1)) {
            for (sum, delta) in sums.iter_mut().zip(row.get(first..).unwrap_or(&[])) {
                *sum = S::add_acc(*sum, *delta);
            }
        }
        let len = (outputs - first).min(kernels::BLOCK);
        bias.step(first, sums.get(..len).unwrap_or(&[]));
    }
}

/// The weights that a backward pass reads, and perhaps changes.
#[derive(Debug)]
pub(crate) enum Weights<'w, S: Scalar> {
    /// They stay.
    Frozen(&'w [S]),
    /// They learn.
    Learning(Update<'w, S>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forward_by_hand() {
        let mut y = [0.0; 2];
        forward(
            &[1.0, 2.0, 3.0],
            &[1.0, -1.0, 0.5, 0.25, 2.0, -4.0],
            &[0.5, 0.0],
            Activation::Relu,
            &mut y,
        );
        assert_eq!(y, [0.5 + 1.0 + 1.0 + 6.0, 0.0]);
    }

    #[test]
    fn int8_by_hand() {
        // Factor 1/2: multiplier 2^30 · 2^(0 − 31).
        let requant = [1 << 30, 1 << 30, 0, 0];
        let requant = Requant::new(&requant, &[10, -10], -5, [-128, 127]);
        let mut y = [0; 2];
        forward_i8(&[3, -2, 7], &[1, 2, 3, -1, 0, 127], 1, &requant, &mut y);
        // Σ w·(x−1): 2 − 6 + 18 + 10 = 24 → 12 − 5; −2 + 762 − 10 = 750 → 375 − 5, saturated.
        assert_eq!(y, [7, 127]);
    }
}
