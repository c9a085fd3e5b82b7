//! Logarithm of the softmax over the last axis: y_i = (x_i − max) − ln Σ_j e^(x_j − max), the sum in order.
//!
//! The backward pass is δx_i = δ_i − e^(y_i) · Σ_j δ_j; with cross-entropy the two together are e^y − target.

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes, hand_down};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::dense::length;
use crate::ops::{
    Check, Needs, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar, softmax,
};
use crate::scalar::Scalar;

pub(super) use softmax::FACTS;

/// The operator.
pub(super) struct LogSoftmax;

impl<K: OpSet> Operator<K> for LogSoftmax {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.real_dtype()?;
        check.y_shape(check.x.shape)
    }

    fn needs(&self, check: &Check) -> Needs {
        // A copy of the output, because its delta overwrites it.
        Needs {
            saved: check.y.bytes(),
            ..Needs::default()
        }
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let sizes = Sizes::Rows(check.x.shape.rows());
        Some((by_scalar!(K, check.x.dtype, run)?, sizes))
    }

    fn gradient(&self, check: &Check) -> Option<Backward> {
        backward_by_scalar!(K, check.x.dtype, run_backward)
    }
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Rows(rows) = frame.step.sizes else {
        return None;
    };
    let values: &mut [S] = numbers_mut(frame.in_place(memory)?)?;
    for row in values.chunks_exact_mut(length(values, rows)) {
        S::log_softmax(row);
    }
    frame.save_output(memory)
}

fn run_backward<S: Scalar>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Rows(rows) = frame.step.sizes else {
        return None;
    };
    // Without a saved output the loss has already formed the gradient at the input.
    if !back.saved().is_empty() {
        let ([saved], [delta]) = memory.borrow([back.saved()], [back.delta()])?;
        let (saved, delta): (&[S], &mut [S]) = (numbers(saved)?, numbers_mut(delta)?);
        let length = length(delta, rows);
        for (delta, y) in delta
            .chunks_exact_mut(length)
            .zip(saved.chunks_exact(length))
        {
            backward(delta, y);
        }
    }
    hand_down::<S>(frame, back, learning, memory)
}

/// Backward in place: `delta` is overwritten by δx. `y` are the outputs.
pub(crate) fn backward<S: Scalar>(delta: &mut [S], y: &[S]) {
    let mut sum = S::ZERO_ACC;
    for delta in delta.iter() {
        sum = S::add_acc(sum, *delta);
    }
    let sum = S::narrow(sum);
    for (delta, y) in delta.iter_mut().zip(y) {
        *delta = delta.sub(y.exp().mul(sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Central differences in f32: half of the digits.
    #[test]
    fn gradient_against_differences() {
        let x = [0.3f32, -1.2, 2.0, 0.5];
        let g = [0.7f32, -0.4, 1.1, 0.2];
        let value = |x: &[f32; 4]| {
            let mut y = *x;
            f32::log_softmax(&mut y);
            y.iter().zip(&g).map(|(y, g)| y * g).sum::<f32>()
        };
        let mut y = x;
        f32::log_softmax(&mut y);
        let mut delta = g;
        backward(&mut delta, &y);
        for index in 0..4 {
            let (mut up, mut down) = (x, x);
            up[index] += 1e-2;
            down[index] -= 1e-2;
            let wanted = (value(&up) - value(&down)) / 2e-2;
            assert!((delta[index] - wanted).abs() < 2e-3, "{index}");
        }
    }
}
