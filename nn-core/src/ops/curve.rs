//! Sigmoid and tanh as operators: what the two share. int8 carries its input's rescaling to Q4.27.

use core::marker::PhantomData;

use bytemuck::TransparentWrapper;

use crate::engine::{Backward, Forward, Frame, Sizes, hand_down};
use crate::fixed_point::InputRescale;
use crate::memory::Memory;
use crate::ops::{Check, NodeFault, OpSet, Operator, backward_by_scalar};
use crate::scalar::{Q16, Scalar};
use crate::tensor::DType;

/// Integer bits of the int8 input in fixed point.
pub(super) const INPUT_INTEGER_BITS: u32 = 4;

/// A function of each number, whose derivative is told from its output.
pub(super) trait Curve {
    /// The output's quantization in int8.
    const OUTPUT_I8: (f32, i32);

    /// In place.
    fn forward<S: Scalar>(values: &mut [S]);

    /// int8, in place.
    fn forward_i8(values: &mut [i8], zero_point: i32, input: &InputRescale);
}

/// The operator.
#[derive(TransparentWrapper)]
#[transparent(Option<InputRescale>)]
#[repr(transparent)]
pub(super) struct Function<C>(Option<InputRescale>, PhantomData<C>);

impl<K: OpSet, C: Curve> Operator<K> for Function<C> {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.function(&self.0, C::OUTPUT_I8)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        match (check.x.dtype, self.0) {
            (DType::I8, Some(rescale)) => {
                // Checked when the model was loaded.
                let zero = check.x.zero_point() as i8;
                Some((
                    Self::code::<K>(DType::I8)?,
                    Sizes::FunctionI8 { zero, rescale },
                ))
            }
            (dtype, _) => Some((Self::code::<K>(dtype)?, Sizes::None)),
        }
    }
}

impl<C: Curve> Function<C> {
    /// The function that runs it forward in numbers of this type.
    pub(super) const fn code<K: OpSet>(dtype: DType) -> Option<Forward> {
        match dtype {
            DType::I8 if K::I8 => Some(Self::run_i8),
            DType::F32 if K::F32 => Some(Self::run::<f32>),
            DType::Q16 if K::Q16 => Some(Self::run::<Q16>),
            _ => None,
        }
    }

    /// The function that runs it backward in numbers of this type.
    pub(super) const fn backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
        backward_by_scalar!(K, dtype, hand_down)
    }

    fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
        frame.map_in_place(memory, C::forward::<S>)
    }

    fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
        let Sizes::FunctionI8 { zero, rescale } = frame.step.sizes else {
            return None;
        };
        frame.map_in_place(memory, |values| {
            C::forward_i8(values, i32::from(zero), &rescale);
        })
    }
}
