//! Flatten: the same numbers, in the same order, as a vector. It moves nothing where nobody else needs its input.

use crate::engine::{Backward, Forward, Frame, Sizes, hand_down, hand_down_i8};
use crate::memory::Memory;
use crate::ops::{Check, Facts, NodeFault, OpSet, Operator, Output, backward_by_dtype};
use crate::tensor::{DType, Shape};

pub(super) const FACTS: Facts = Facts {
    output: Output::View,
    needs_x: false,
    selects: true,
    ..Facts::PLAIN
};

/// The operator.
pub(super) struct Flatten;

impl<K: OpSet> Operator<K> for Flatten {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.same_dtype()?;
        check.same_quant()?;
        // Fits: the shape was checked to hold less than 2^31 numbers.
        check.y_shape(Shape::vector(check.x.elements() as u32))
    }

    fn resolve(&self, _: &Check) -> Option<(Forward, Sizes)> {
        Some((run, Sizes::None))
    }
}

/// The output is the input: a copy where it does not lie over it.
pub(super) fn run(frame: &Frame, memory: &mut Memory) -> Option<()> {
    memory.copy(frame.x(), frame.y())
}

/// The function that runs it backward in numbers of this type.
pub(super) const fn backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    backward_by_dtype!(K, dtype, hand_down, hand_down_i8)
}
