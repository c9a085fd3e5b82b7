//! Quantize: f32 to int8, q = clamp(round(x / scale) + zero point), halves away from zero.

use crate::fixed_point::saturate_i8;
use crate::ops::{Check, NodeFault};
use crate::scalar::round;
use crate::tensor::{DType, Quant};

pub(super) fn check(check: &Check) -> Result<(), NodeFault> {
    check.x_dtype(DType::F32)?;
    check.y_dtype(DType::I8)?;
    if !matches!(check.y.quant, Quant::PerTensor { .. }) {
        return Err(NodeFault::Quant);
    }
    check.y_shape(check.x.shape)
}

/// `x` to `y`. What is not a number becomes the zero point.
pub fn forward(x: &[f32], scale: f32, zero_point: i32, y: &mut [i8]) {
    for (x, y) in x.iter().zip(y) {
        *y = quantize(*x, scale, zero_point);
    }
}

/// One number.
pub fn quantize(x: f32, scale: f32, zero_point: i32) -> i8 {
    // `as` saturates, and turns what is not a number into 0.
    saturate_i8((round(x / scale) as i32).saturating_add(zero_point))
}
