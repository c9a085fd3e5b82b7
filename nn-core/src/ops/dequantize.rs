//! Dequantize: int8 to f32 or Q16, x = scale · (q − zero point), formed in f32; for Q16 rounded once to it.

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
use crate::memory::{Memory, numbers};
use crate::ops::{Check, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar};
use crate::scalar::Scalar;
use crate::tensor::{DType, Quant};
use crate::train::int8;

/// The operator.
pub(super) struct Dequantize;

impl<K: OpSet> Operator<K> for Dequantize {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.x_dtype(DType::I8)?;
        if check.y.dtype != DType::Q16 {
            check.y_dtype(DType::F32)?;
        }
        if !matches!(check.x.quant, Quant::PerTensor { .. }) {
            return Err(NodeFault::Quant);
        }
        check.y_shape(check.x.shape)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let scale = check.x.scale();
        // Checked when the model was loaded.
        let zero = check.x.zero_point() as i8;
        Some((code::<K>(check.y.dtype)?, Sizes::Quant { scale, zero }))
    }
}

/// The function that runs it forward in numbers of this real type.
pub(super) const fn code<K: OpSet>(dtype: DType) -> Option<Forward> {
    if K::I8 {
        by_scalar!(K, dtype, run)
    } else {
        None
    }
}

/// The function that runs it backward in numbers of this type.
pub(super) const fn backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    if K::I8 {
        backward_by_scalar!(K, dtype, run_backward)
    } else {
        None
    }
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Quant { scale, zero } = frame.step.sizes else {
        return None;
    };
    frame.map(memory, |x, y| forward::<S>(x, scale, i32::from(zero), y))
}

/// δ of real numbers in 16 bits, with one scale; none where the int8 had no room to go on.
fn run_backward<S: Scalar>(
    frame: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let slot = back.slot(0);
    if slot.below.is_none() {
        return Some(());
    }
    let ([x, delta], [below]) = memory.borrow([frame.x(), back.delta()], [slot.at])?;
    int8::quantize::<S>(numbers(delta)?, (slot.clamp(), numbers(x)?), below)
}

/// `x` to `y`.
pub fn forward<S: Scalar>(x: &[i8], scale: f32, zero_point: i32, y: &mut [S]) {
    for (x, y) in x.iter().zip(y) {
        // Exact: the difference has 9 bits.
        *y = S::from_f32(scale * i32::from(*x).wrapping_sub(zero_point) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::Q16;

    #[test]
    fn steps_from_the_zero_point_in_both_formats() {
        let x = [-128, -1, 0, 127];
        let mut real = [0f32; 4];
        forward(&x, 0.3, -1, &mut real);
        assert_eq!(real, [0.3 * -127.0, 0.0, 0.3, 0.3 * 128.0]);
        let mut fixed = [Q16::ZERO; 4];
        forward(&x, 0.3, -1, &mut fixed);
        // 0.3 · 65,536 = 19,660.8.
        assert_eq!(fixed.map(Q16::to_bits), [-2_496_922, 0, 19_661, 2_516_582]);
        // Out of the range of Q16.
        forward(&x, 1e6, 0, &mut fixed);
        assert_eq!(fixed.map(Q16::to_bits), [i32::MIN, i32::MIN, 0, i32::MAX]);
    }
}
