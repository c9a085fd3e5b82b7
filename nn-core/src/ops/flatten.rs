//! Flatten: the same numbers, in the same order, as a vector. It moves nothing.

use crate::ops::{Check, NodeFault};
use crate::tensor::Shape;

pub(super) fn check(check: &Check) -> Result<(), NodeFault> {
    check.same_dtype()?;
    check.same_quant()?;
    // Fits: the shape was checked to hold less than 2^31 numbers.
    check.y_shape(Shape::vector(check.x.elements() as u32))
}
