//! Hyperbolic tangent.
//!
//! int8 after TensorFlow Lite's reference integer kernel for TANH: the input's steps become Q4.27, gemmlowp's `tanh`
//! gives Q0.31, the output has scale 1/128 and zero point 0.

use bytemuck::TransparentWrapper;

use crate::engine::{Backward, Forward, Frame, Sizes, hand_down};
use crate::fixed_point::{self, InputRescale, rounding_shift_right};
use crate::memory::{Memory, numbers_mut};
use crate::ops::{Check, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar};
use crate::scalar::Scalar;
use crate::tensor::DType;

/// The output's quantization in int8.
pub const OUTPUT_I8: (f32, i32) = (1.0 / 128.0, 0);
/// Integer bits of the int8 input in fixed point.
pub const INPUT_INTEGER_BITS: u32 = 4;

/// The operator.
#[derive(TransparentWrapper)]
#[repr(transparent)]
pub(super) struct Tanh(Option<InputRescale>);

impl<K: OpSet> Operator<K> for Tanh {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.function(&self.0, OUTPUT_I8)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        match (check.x.dtype, self.0) {
            (DType::I8, Some(rescale)) if K::I8 => {
                // Checked when the model was loaded.
                let zero = check.x.zero_point() as i8;
                Some((run_i8, Sizes::FunctionI8 { zero, rescale }))
            }
            (dtype, _) => Some((by_scalar!(K, dtype, run)?, Sizes::None)),
        }
    }

    fn gradient(&self, check: &Check) -> Option<Backward> {
        backward_by_scalar!(K, check.x.dtype, hand_down)
    }
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    forward::<S>(numbers_mut(frame.in_place(memory)?)?);
    Some(())
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::FunctionI8 { zero, rescale } = frame.step.sizes else {
        return None;
    };
    let values = numbers_mut(frame.in_place(memory)?)?;
    forward_i8(values, i32::from(zero), &rescale);
    Some(())
}

/// In place.
pub fn forward<S: Scalar>(values: &mut [S]) {
    for value in values {
        *value = value.tanh();
    }
}

/// int8, in place.
pub fn forward_i8(values: &mut [i8], zero_point: i32, input: &InputRescale) {
    for value in values {
        *value = input.map(*value, zero_point, |q4| {
            rounding_shift_right(fixed_point::tanh(q4), 31 - 7)
        });
    }
}
