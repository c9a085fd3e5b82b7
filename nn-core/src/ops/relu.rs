//! ReLU: y = max(x, 0); int8: max(x, zero point), input and output quantized alike.

use crate::ops::{Activation, Check, NodeFault};
use crate::scalar::Scalar;

pub(super) fn check(check: &Check) -> Result<(), NodeFault> {
    check.same_dtype()?;
    check.same_quant()?;
    check.y_shape(check.x.shape)
}

/// In place.
pub fn forward<S: Scalar>(values: &mut [S]) {
    for value in values {
        *value = Activation::Relu.apply(*value);
    }
}

/// int8, in place.
pub fn forward_i8(values: &mut [i8], zero_point: i32) {
    let (min, _) = Activation::Relu.range_i8(zero_point);
    for value in values {
        // `min` is an int8.
        *value = (*value).max(min as i8);
    }
}
