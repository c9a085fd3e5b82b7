//! Dequantize: int8 to f32, x = scale · (q − zero point).

use crate::ops::{Check, NodeFault};
use crate::tensor::{DType, Quant};

pub(super) fn check(check: &Check) -> Result<(), NodeFault> {
    check.x_dtype(DType::I8)?;
    check.y_dtype(DType::F32)?;
    if !matches!(check.x.quant, Quant::PerTensor { .. }) {
        return Err(NodeFault::Quant);
    }
    check.y_shape(check.x.shape)
}

/// `x` to `y`.
pub fn forward(x: &[i8], scale: f32, zero_point: i32, y: &mut [f32]) {
    for (x, y) in x.iter().zip(y) {
        // Exact: the difference has 9 bits.
        *y = scale * i32::from(*x).wrapping_sub(zero_point) as f32;
    }
}
