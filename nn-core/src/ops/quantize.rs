//! Quantize: f32 or Q16 to int8, q = clamp(round(x / scale) + zero point), halves away from zero.

use crate::engine::{Forward, Frame, Sizes};
use crate::fixed_point::saturate_i8;
use crate::memory::Memory;
use crate::ops::{Check, NodeFault, OpSet, Operator, by_scalar};
use crate::scalar::{Scalar, round};
use crate::tensor::{DType, Quant};

/// The operator.
pub(super) struct Quantize;

impl<K: OpSet> Operator<K> for Quantize {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        if check.x.dtype != DType::Q16 {
            check.x_dtype(DType::F32)?;
        }
        check.y_dtype(DType::I8)?;
        if !matches!(check.y.quant, Quant::PerTensor { .. }) {
            return Err(NodeFault::Quant);
        }
        check.y_shape(check.x.shape)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let scale = check.y.scale();
        // Checked when the model was loaded.
        let zero = check.y.zero_point() as i8;
        Some((code::<K>(check.x.dtype)?, Sizes::Quant { scale, zero }))
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

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Quant { scale, zero } = frame.step.sizes else {
        return None;
    };
    frame.map(memory, |x, y| forward::<S>(x, scale, i32::from(zero), y))
}

/// `x` to `y`. What is not a number becomes the zero point.
pub fn forward<S: Scalar>(x: &[S], scale: f32, zero_point: i32, y: &mut [i8]) {
    for (x, y) in x.iter().zip(y) {
        *y = quantize(x.to_f32(), scale, zero_point);
    }
}

/// One number.
pub fn quantize(x: f32, scale: f32, zero_point: i32) -> i8 {
    // `as` saturates, and turns what is not a number into 0.
    saturate_i8((round(x / scale) as i32).saturating_add(zero_point))
}
