//! Dequantize: int8 to f32, x = scale · (q − zero point).

use crate::engine::{Forward, Frame, Sizes};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::{Check, NodeFault, OpSet, Operator};
use crate::tensor::{DType, Quant};

/// The operator.
pub(super) struct Dequantize;

impl<K: OpSet> Operator<K> for Dequantize {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.x_dtype(DType::I8)?;
        check.y_dtype(DType::F32)?;
        if !matches!(check.x.quant, Quant::PerTensor { .. }) {
            return Err(NodeFault::Quant);
        }
        check.y_shape(check.x.shape)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let scale = check.x.scale();
        // Checked when the model was loaded.
        let zero = check.x.zero_point() as i8;
        (K::I8 && K::F32).then_some((run, Sizes::Quant { scale, zero }))
    }
}

fn run(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Quant { scale, zero } = frame.step.sizes else {
        return None;
    };
    let ([x], [y]) = memory.borrow([frame.x()], [frame.y()])?;
    forward(numbers(x)?, scale, i32::from(zero), numbers_mut(y)?);
    Some(())
}

/// `x` to `y`.
pub fn forward(x: &[i8], scale: f32, zero_point: i32, y: &mut [f32]) {
    for (x, y) in x.iter().zip(y) {
        // Exact: the difference has 9 bits.
        *y = scale * i32::from(*x).wrapping_sub(zero_point) as f32;
    }
}
