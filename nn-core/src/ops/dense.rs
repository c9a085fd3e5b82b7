//! Dense layer: y = act(x · W + b), x of n numbers, y of m.
//!
//! f32: `W` is `[n, m]`. int8: `W` is `[m, n]`, y = clamp(zero_y + rescale(Σ w · (x − zero_x) + b)), after the
//! TensorFlow Lite int8 specification for FULLY_CONNECTED with a scale for each output.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Learns, Sizes};
use crate::kernels;
use crate::kernels::Requant;
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::{Activation, Check, Facts, NodeFault, OpSet, Operator, by_scalar};
use crate::scalar::Scalar;
use crate::tensor::{DType, Shape, TensorId};
use crate::train::Update;

/// Parameters of a dense layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
        if check.x.shape != Shape::vector(inputs) {
            return Err(NodeFault::Shape(check.x_id));
        }
        check.y_shape(Shape::vector(outputs))?;
        check.channels(outputs, &weight, self.bias, self.requant, self.activation)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward = match check.x.dtype {
            DType::I8 if K::I8 => run_i8 as Forward,
            dtype => by_scalar!(K, dtype, run)?,
        };
        let sizes = Sizes::Dense {
            activation: self.activation,
            // Checked when the model was loaded.
            x_zero: check.x.zero_point() as i8,
            y_zero: check.y.zero_point() as i8,
        };
        Some((forward, sizes))
    }

    fn gradient(&self, check: &Check) -> Option<Backward> {
        by_scalar!(K, check.x.dtype, run_backward)
    }

    fn macs(&self, check: &Check) -> u64 {
        // Both fit 31 bits.
        check.x.elements() as u64 * check.y.elements() as u64
    }
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Dense { activation, .. } = frame.step.sizes else {
        return None;
    };
    let reads = [frame.x(), frame.parameter(0), frame.parameter(1)];
    let ([x, weight, bias], [y]) = memory.borrow(reads, [frame.y()])?;
    let (x, weight, bias) = (numbers(x)?, numbers(weight)?, numbers(bias)?);
    forward::<S>(x, weight, bias, activation, numbers_mut(y)?);
    Some(())
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Dense {
        activation,
        x_zero,
        y_zero,
    } = frame.step.sizes
    else {
        return None;
    };
    let parameters = [frame.parameter(0), frame.parameter(1), frame.constant(0)];
    let [weight, bias, requant] = parameters;
    let ([x, weight, bias, table], [y]) =
        memory.borrow([frame.x(), weight, bias, requant], [frame.y()])?;
    let (table, bias) = (numbers(table)?, numbers(bias)?);
    let requant = Requant::new(table, bias, i32::from(y_zero), activation);
    let (x, weight) = (numbers(x)?, numbers(weight)?);
    forward_i8(x, weight, i32::from(x_zero), &requant, numbers_mut(y)?);
    Some(())
}

fn run_backward<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let weight = learning.parameter(frame, back, 0);
    let [w, a, b, c] = weight.learning;
    let x = back.values(frame, 0);
    let reads = [back.delta(), weight.frozen];
    let ([delta, frozen], [x, w, a, b, c]) = memory.borrow(reads, [x, w, a, b, c])?;
    let weights = learning.weights::<S>(frozen, [w, a, b, c])?;
    backward(
        numbers_mut(x)?,
        back.slot(0).below,
        weights,
        numbers(delta)?,
    );
    let bias = learning.parameter(frame, back, 1);
    if bias.learns() {
        let ([delta], bias) = memory.borrow([back.delta()], bias.learning)?;
        if let Weights::Learning(bias) = learning.weights::<S>(&[], bias)? {
            backward_bias(bias, numbers(delta)?);
        }
    }
    Some(())
}

/// y = act(x · W + b). `weight` is `[x.len(), y.len()]`.
///
/// Each y sums its bias and then the products in the order of x.
pub fn forward<S: Scalar>(x: &[S], weight: &[S], bias: &[S], activation: Activation, y: &mut [S]) {
    kernels::vector_matrix(x, weight, bias, y);
    for value in y {
        *value = activation.apply(*value);
    }
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
        for (index, (output, sum)) in outputs.iter_mut().zip(sums).enumerate() {
            *output = requant.apply(first + index, sum);
        }
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
    weight: Weights<'_, S>,
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
        Weights::Learning(mut weight) => {
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

/// The bias learns from δ.
pub(crate) fn backward_bias<S: Scalar>(mut bias: Update<'_, S>, delta: &[S]) {
    for (index, delta) in delta.iter().enumerate() {
        bias.step(index, &[delta.widen()]);
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
        let requant = Requant::new(&requant, &[10, -10], -5, Activation::None);
        let mut y = [0; 2];
        forward_i8(&[3, -2, 7], &[1, 2, 3, -1, 0, 127], 1, &requant, &mut y);
        // Σ w·(x−1): 2 − 6 + 18 + 10 = 24 → 12 − 5; −2 + 762 − 10 = 750 → 375 − 5, saturated.
        assert_eq!(y, [7, 127]);
    }
}
