//! Product of two tensors, number by number: y = act(x0 · x1), the second repeated along the leading axes of the
//! first (see `broadcast`), so that a vector gates the channels of a map.
//!
//! int8 after TensorFlow Lite's reference integer kernel for MUL:
//! y = clamp(zero_y + rescale((x0 − zero_0)·(x1 − zero_1))), the factor scale_0 · scale_1 / scale_y.
//! The gradient at x0 is δ · x1; that at x1 is Σ δ · x0 over the rows in order from 0.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
#[cfg(not(mote_helium))]
use crate::fixed_point::Reduction;
use crate::fixed_point::Rescale;
#[cfg(not(mote_helium))]
use crate::kernels::each_repeated;
#[cfg(mote_helium)]
use crate::kernels::helium::each::Pairs;
use crate::memory::{Memory, numbers, numbers_mut};
#[cfg(not(mote_helium))]
use crate::ops::add::within;
use crate::ops::{
    Activation, Check, Facts, NodeFault, OpSet, Operator, Output, backward_by_scalar, broadcast,
    by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::DType;

/// Parameters of a product.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Mul {
    /// int8: the factor scale_0 · scale_1 / scale_y.
    pub requant: Option<Rescale>,
    /// What is applied to the output.
    pub activation: Activation,
}

/// All that an int8 product takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MulStep {
    /// scale_0 · scale_1 / scale_y.
    pub rescale: Rescale,
    /// The zero points of x0, x1 and y.
    pub zeros: [i8; 3],
    /// The output's range.
    pub range: [i8; 2],
}

crate::stored::stored!(MulStep {
    rescale: Rescale,
    zeros: [i8; 3],
    range: [i8; 2]
});

impl Mul {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            activation: self.activation,
            output: Output::InPlace,
            ..Facts::PLAIN
        }
    }
}

impl<K: OpSet> Operator<K> for Mul {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        let dtype = broadcast::check(check, self.activation)?;
        let valid = match self.requant {
            Some(rescale) => dtype == DType::I8 && rescale.is_valid(),
            None => dtype != DType::I8,
        };
        valid.then_some(()).ok_or(NodeFault::Quant)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        match (check.x.dtype, self.requant) {
            (DType::I8, Some(rescale)) => {
                let (_, x1) = check.input(1).ok()?;
                let step = MulStep {
                    rescale,
                    // Checked when the model was loaded.
                    zeros: [check.x, x1, check.y].map(|tensor| tensor.zero_point() as i8),
                    range: check.range_i8(self.activation),
                };
                Some((code::<K>(DType::I8)?, Sizes::MulI8(step)))
            }
            (dtype, _) => Some((code::<K>(dtype)?, Sizes::Function(self.activation))),
        }
    }
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
    backward_by_scalar!(K, dtype, run_backward)
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Function(activation) = frame.step.sizes else {
        return None;
    };
    frame.join_in_place(memory, |y, x1| forward::<S>(y, x1, activation))
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::MulI8(step) = frame.step.sizes else {
        return None;
    };
    frame.join_in_place(memory, |y, x1| forward_i8(y, x1, &step))
}

fn run_backward<S: Scalar>(
    frame: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let (first, second, delta) = (back.slot(0), back.slot(1), back.delta());
    match (first.below, second.below) {
        (Some(below_0), Some(below_1)) => {
            let ([delta], [x0, x1]) = memory.borrow([delta], [first.at, second.at])?;
            let (x0, x1) = (numbers_mut(x0)?, numbers_mut(x1)?);
            backward::<S>(x0, below_0, x1, below_1, numbers(delta)?);
        }
        (Some(below), None) => {
            let ([delta, x1], [x0]) = memory.borrow([delta, frame.input(1)], [first.at])?;
            backward_first::<S>(numbers_mut(x0)?, below, numbers(x1)?, numbers(delta)?);
        }
        (None, Some(below)) => {
            let ([delta, x0], [x1]) = memory.borrow([delta, frame.input(0)], [second.at])?;
            backward_second::<S>(numbers(x0)?, numbers_mut(x1)?, below, numbers(delta)?);
        }
        (None, None) => {}
    }
    Some(())
}

/// y = act(x0 · x1), in place: `y` holds x0.
pub fn forward<S: Scalar>(y: &mut [S], x1: &[S], activation: Activation) {
    broadcast::each(y, x1, S::mul);
    activation.apply_all(y);
}

/// int8, in place: `y` holds x0.
#[cfg(mote_helium)]
pub fn forward_i8(y: &mut [i8], x1: &[i8], step: &MulStep) {
    Pairs::new([step.rescale; 3], step.zeros, step.range).multiply(y, x1);
}

/// int8, in place: `y` holds x0.
#[cfg(not(mote_helium))]
pub fn forward_i8(y: &mut [i8], x1: &[i8], step: &MulStep) {
    let [zero_0, zero_1, zero] = step.zeros.map(i32::from);
    let finish = |value: i32| within(value.wrapping_add(zero), step.range);
    // Nine bits each.
    let product = |x0: i8, x1: i8| (i32::from(x0) - zero_0) * (i32::from(x1) - zero_1);
    let one = |x0: i8, x1: i8| finish(step.rescale.apply(product(x0, x1)));
    match Reduction::new(step.rescale) {
        Some(quick) => {
            let two = |x0: i8, x1: i8| finish(quick.apply(2 * product(x0, x1)));
            let fours = |y: &mut [[i8; 4]], x1: &[[i8; 4]]| {
                each_repeated(y, x1, |[a, b, c, d], [e, f, g, h]| {
                    [two(a, e), two(b, f), two(c, g), two(d, h)]
                });
            };
            broadcast::each_four(y, x1, fours, one);
        }
        None => broadcast::each(y, x1, one),
    }
}

/// Both operands are overwritten by their gradients, each times the derivative of what made it.
pub(crate) fn backward<S: Scalar>(
    x0: &mut [S],
    below_0: Activation,
    x1: &mut [S],
    below_1: Activation,
    delta: &[S],
) {
    let columns = x1.len().max(1);
    for (column, x1) in x1.iter_mut().enumerate() {
        let mut sum = S::ZERO_ACC;
        let cells = x0.iter_mut().skip(column).step_by(columns);
        for (x0, delta) in cells.zip(delta.iter().skip(column).step_by(columns)) {
            sum = S::mul_acc(sum, *delta, *x0);
            *x0 = below_0.derivative(delta.mul(*x1), *x0);
        }
        *x1 = below_1.derivative(S::narrow(sum), *x1);
    }
}

/// The first operand is overwritten by its gradient, times the derivative of `below`.
pub(crate) fn backward_first<S: Scalar>(x0: &mut [S], below: Activation, x1: &[S], delta: &[S]) {
    let columns = x1.len().max(1);
    for (x0, delta) in x0.chunks_mut(columns).zip(delta.chunks(columns)) {
        for ((x0, delta), x1) in x0.iter_mut().zip(delta).zip(x1) {
            *x0 = below.derivative(delta.mul(*x1), *x0);
        }
    }
}

/// The second operand is overwritten by its gradient, times the derivative of `below`.
pub(crate) fn backward_second<S: Scalar>(x0: &[S], x1: &mut [S], below: Activation, delta: &[S]) {
    let columns = x1.len().max(1);
    for (column, x1) in x1.iter_mut().enumerate() {
        let mut sum = S::ZERO_ACC;
        let cells = x0.iter().skip(column).step_by(columns);
        for (x0, delta) in cells.zip(delta.iter().skip(column).step_by(columns)) {
            sum = S::mul_acc(sum, *delta, *x0);
        }
        *x1 = below.derivative(S::narrow(sum), *x1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_gradients_are_those_of_each_alone() {
        let x0 = [1.0f32, 2.0, -3.0, 4.0, 0.5, -0.25];
        let (x1, delta) = ([10.0f32, -2.0], [1.0, 2.0, 3.0, 4.0, -8.0, 16.0]);
        let (mut both_0, mut both_1) = (x0, x1);
        backward(
            &mut both_0,
            Activation::Relu,
            &mut both_1,
            Activation::None,
            &delta,
        );
        // Where x0 came out of a ReLU as 0 or less, nothing passes.
        assert_eq!(both_0, [10.0, -4.0, 0.0, -8.0, -80.0, 0.0]);
        assert_eq!(both_1, [1.0 - 9.0 - 4.0, 4.0 + 16.0 - 4.0]);
        let mut alone = x0;
        backward_first(&mut alone, Activation::Relu, &x1, &delta);
        assert_eq!(alone, both_0);
        let mut alone = x1;
        backward_second(&x0, &mut alone, Activation::None, &delta);
        assert_eq!(alone, both_1);
    }

    #[test]
    fn int8_by_hand() {
        // Factor 1/4.
        let step = MulStep {
            rescale: Rescale {
                multiplier: 1 << 30,
                shift: -1,
            },
            zeros: [1, -2, 3],
            range: [-128, 127],
        };
        let mut y = [11, -20, 127, 5];
        forward_i8(&mut y, &[8, -5], &step);
        // 10·10/4 + 3; −21·−3/4 = 15.75 + 3; 126·10/4 saturates; 4·−3/4 + 3.
        assert_eq!(y, [28, 19, 127, 0]);
    }
}
