//! Softmax over the last axis: y_i = e^(x_i − max) / Σ_j e^(x_j − max).
//!
//! int8 after TensorFlow Lite's fixed-point reference kernel for SOFTMAX (beta 1): differences to the maximum become
//! Q5.26, sums are Q12.19, the output has scale 1/256 and zero point −128.
//! The backward pass is δx_i = p_i · (δ_i − Σ_j δ_j p_j); with cross-entropy the two together are p − target.

use bytemuck::TransparentWrapper;

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
use crate::fixed_point::{
    InputRescale, doubled_from_half, exp_on_negative, high_mul, high_mul_from_half,
    one_over_one_plus, saturate_i8, shift_positive,
};
use crate::memory::Memory;
use crate::ops::{Check, Needs, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar, rows};
use crate::scalar::Scalar;
use crate::tensor::DType;

/// The output's quantization in int8.
pub const OUTPUT_I8: (f32, i32) = (1.0 / 256.0, -128);
/// Integer bits of an int8 difference in fixed point.
pub const INPUT_INTEGER_BITS: u32 = 5;
const SUM_INTEGER_BITS: u32 = 12;
/// Exponentials that an int8 softmax keeps on the stack from its first pass to its second.
const KEPT: usize = 16;
/// In the place of e^x where x is too far below the maximum.
const NONE: i32 = -1;

/// The operator.
#[derive(TransparentWrapper)]
#[repr(transparent)]
pub(super) struct Softmax(Option<InputRescale>);

impl<K: OpSet> Operator<K> for Softmax {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.function(&self.0, OUTPUT_I8)
    }

    fn needs(&self, check: &Check) -> Needs {
        rows::needs(check)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        match (check.x.dtype, self.0) {
            (DType::I8, Some(rescale)) => {
                let rows = check.x.shape.rows();
                Some((code::<K>(DType::I8)?, Sizes::SoftmaxI8 { rows, rescale }))
            }
            (dtype, _) => {
                let sizes = Sizes::Rows(check.x.shape.rows());
                Some((code::<K>(dtype)?, sizes))
            }
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
    backward_by_scalar!(K, dtype, run_backward)
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Rows(rows) = frame.step.sizes else {
        return None;
    };
    rows::run(frame, memory, rows, S::softmax)
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::SoftmaxI8 { rows, rescale } = frame.step.sizes else {
        return None;
    };
    rows::run(frame, memory, rows, |row| forward_i8(row, &rescale))
}

fn run_backward<S: Scalar>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Rows(rows) = frame.step.sizes else {
        return None;
    };
    rows::run_backward::<S>(frame, back, learning, memory, rows, backward)
}

/// In place.
pub fn forward<S: Scalar>(values: &mut [S]) {
    S::softmax(values);
}

/// int8, in place.
pub fn forward_i8(values: &mut [i8], input: &InputRescale) {
    let max = values.iter().copied().max().map_or(0, i32::from);
    let shift = u32::from(input.shift.unsigned_abs());
    let multiplier = doubled_from_half(input.multiplier);
    // e^x, at least 0; below 0 where it counts as none.
    let exp = |value: i8| {
        let difference = i32::from(value) - max;
        if difference < -input.radius {
            return NONE;
        }
        let fixed = high_mul_from_half(difference.wrapping_shl(shift), multiplier);
        exp_on_negative::<INPUT_INTEGER_BITS>(fixed)
    };
    let add = |sum: i32, e: i32| match e {
        NONE => sum,
        e => sum.wrapping_add(shift_positive(e, SUM_INTEGER_BITS)),
    };
    let split = values.len().min(KEPT);
    let (first, rest) = values.split_at_mut_checked(split).unwrap_or_default();
    // Of the first few, what was computed for the sum is kept.
    let mut kept = [0; KEPT];
    let mut sum = 0;
    for (kept, value) in kept.iter_mut().zip(first.iter()) {
        *kept = exp(*value);
        sum = add(sum, *kept);
    }
    let sum = rest.iter().fold(sum, |sum, value| add(sum, exp(*value)));
    let headroom = sum.leading_zeros();
    // 1/Σ as a mantissa in Q0.31 and a count of bits above the unit.
    let mantissa = (sum as u32)
        .checked_shl(headroom)
        .unwrap_or(0)
        .wrapping_sub(1 << 31);
    let scale = one_over_one_plus(mantissa as i32);
    // Σ is at least e^0 = 1, so at most 12 leading zeros; the exponent is at least 23.
    let exponent = (SUM_INTEGER_BITS + 31 - 8).saturating_sub(headroom);
    let share = |e: i32| match e {
        NONE => i8::MIN,
        e => saturate_i8(shift_positive(high_mul(scale, e), exponent).wrapping_sub(128)),
    };
    for (value, kept) in first.iter_mut().zip(kept) {
        *value = share(kept);
    }
    for value in rest {
        *value = share(exp(*value));
    }
}

/// Backward in place: `delta` is overwritten by δx. `probabilities` are the outputs.
pub(crate) fn backward<S: Scalar>(delta: &mut [S], probabilities: &[S]) {
    let mut sum = S::ZERO_ACC;
    for (delta, p) in delta.iter().zip(probabilities) {
        sum = S::mul_acc(sum, *delta, *p);
    }
    let sum = S::narrow(sum);
    for (delta, p) in delta.iter_mut().zip(probabilities) {
        *delta = p.mul(delta.sub(sum));
    }
}
