//! ReLU: y = max(x, 0); int8: max(x, zero point), input and output quantized alike.

use crate::engine::{Backward, Forward, Frame, Sizes, hand_down, hand_down_i8};
use crate::memory::Memory;
use crate::ops::{Activation, Check, NodeFault, OpSet, Operator, backward_by_dtype, by_scalar};
use crate::scalar::Scalar;
use crate::tensor::DType;

/// The operator.
pub(super) struct Relu;

impl<K: OpSet> Operator<K> for Relu {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.same_dtype()?;
        check.same_quant()?;
        check.y_shape(check.x.shape)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        match check.x.dtype {
            DType::I8 => {
                // Checked when the model was loaded.
                let zero = check.x.zero_point() as i8;
                Some((code::<K>(DType::I8)?, Sizes::Quant { scale: 1.0, zero }))
            }
            dtype => Some((code::<K>(dtype)?, Sizes::None)),
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
    backward_by_dtype!(K, dtype, hand_down, hand_down_i8)
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    frame.map_in_place(memory, |values| forward::<S>(values))
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Quant { zero, .. } = frame.step.sizes else {
        return None;
    };
    frame.map_in_place(memory, |values| forward_i8(values, zero))
}

/// In place.
pub fn forward<S: Scalar>(values: &mut [S]) {
    for value in values {
        *value = Activation::Relu.apply(*value);
    }
}

/// int8, in place.
pub fn forward_i8(values: &mut [i8], zero_point: i8) {
    for value in values {
        *value = (*value).max(zero_point);
    }
}
