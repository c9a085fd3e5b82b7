//! Logarithm of the softmax over the last axis: y_i = (x_i − max) − ln Σ_j e^(x_j − max), the sum in order.
//!
//! int8 after TensorFlow Lite's fixed-point reference kernel for LOG_SOFTMAX: differences to the maximum are Q5.26, sums
//! of their powers of e Q12.19, the logarithm Q5.26; the output has scale 1/16 and zero point 127.
//!
//! The backward pass is δx_i = δ_i − e^(y_i) · Σ_j δ_j; with cross-entropy the two together are e^y − target.

use bytemuck::TransparentWrapper;
use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
use crate::fixed_point::{
    InputRescale, Rescale, doubling_high_mul, exp_on_negative, half_sum, one_over_one_plus,
    rounding_shift_right, saturate_i8, saturating_shl,
};
use crate::memory::Memory;
use crate::ops::{Check, Needs, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar, rows};
use crate::scalar::Scalar;
use crate::tensor::DType;

/// The output's quantization in int8.
pub const OUTPUT_I8: (f32, i32) = (1.0 / 16.0, 127);
/// Integer bits of an int8 difference in fixed point.
pub const INPUT_INTEGER_BITS: u32 = 5;
const SUM_INTEGER_BITS: u32 = 12;
const OUTPUT_INTEGER_BITS: u32 = 4;

/// How an int8 log-softmax turns its input's steps into fixed point, and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSoftmaxRescale {
    /// To Q5.26.
    pub input: InputRescale,
    /// From Q5.26 to the input's steps; its shift is at most 0.
    pub back: Rescale,
}

crate::stored::stored!(LogSoftmaxRescale {
    input: InputRescale,
    back: Rescale
});

/// The operator. int8 carries its input's rescaling.
#[derive(TransparentWrapper)]
#[repr(transparent)]
pub(super) struct LogSoftmax(Option<LogSoftmaxRescale>);

impl<K: OpSet> Operator<K> for LogSoftmax {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.function(&self.0.map(|rescale| rescale.input), OUTPUT_I8)?;
        let back = self.0.map(|rescale| rescale.back);
        let valid = back.is_none_or(|back| back.is_valid() && back.shift <= 0);
        valid.then_some(()).ok_or(NodeFault::Quant)
    }

    fn needs(&self, check: &Check) -> Needs {
        rows::needs(check)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let rows = check.x.shape.rows();
        match (check.x.dtype, self.0) {
            (DType::I8, Some(rescale)) => {
                Some((code::<K>(DType::I8)?, Sizes::LogSoftmaxI8 { rows, rescale }))
            }
            (dtype, _) => Some((code::<K>(dtype)?, Sizes::Rows(rows))),
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
    rows::run(frame, memory, rows, S::log_softmax)
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::LogSoftmaxI8 { rows, rescale } = frame.step.sizes else {
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

/// int8, in place.
pub fn forward_i8(values: &mut [i8], step: &LogSoftmaxRescale) {
    let max = values.iter().copied().max().map_or(0, i32::from);
    let to_fixed = Rescale {
        multiplier: step.input.multiplier,
        shift: step.input.shift,
    };
    let sum = values.iter().fold(0i32, |sum, &value| {
        let difference = i32::from(value) - max;
        if difference < -step.input.radius {
            return sum;
        }
        let power = exp_on_negative::<INPUT_INTEGER_BITS>(to_fixed.apply(difference));
        sum.wrapping_add(rounding_shift_right(power, SUM_INTEGER_BITS))
    });
    let log = ln_of_sum(sum);
    // Below this difference the output is the lowest: where Q5.26, less the logarithm, ends.
    let lowest = step.back.apply(log.wrapping_add(i32::MIN));
    let lowest = lowest.max(-step.input.radius - 1);
    for value in values {
        let difference = i32::from(*value) - max;
        *value = if difference > lowest {
            let fixed = to_fixed.apply(difference).wrapping_sub(log);
            let shift = 31 - INPUT_INTEGER_BITS - OUTPUT_INTEGER_BITS;
            saturate_i8(rounding_shift_right(fixed, shift).wrapping_add(127))
        } else {
            i8::MIN
        };
    }
}

/// ln x for x ≥ 1 in Q12.19, as Q5.26.
///
/// x = 2^k · r with r around √√½: k·ln 2 and a rational function of r. Source: TensorFlow Lite,
/// `log_x_for_x_greater_than_or_equal_to_1_impl` in `kernels/internal/common.h`.
fn ln_of_sum(x: i32) -> i32 {
    // All in Q0.31. With s = √√2:
    const LN_2: i32 = 1_488_522_236;
    const SQRT_SQRT_HALF: i32 = 1_805_811_301;
    const SQRT_HALF: i32 = 1_518_500_250;
    const ALPHA_N: i32 = 117_049_297; // 11/240 · s
    const ALPHA_D: i32 = 127_690_142; // 1/20 · s
    const ALPHA_I: i32 = 1_057_819_769; // 2/s − s
    const ALPHA_F: i32 = 638_450_708; // 1/4 · s
    // The exponent and the result before the last step are Q6.25: one bit of headroom.
    const ACC_INTEGER_BITS: u32 = INPUT_INTEGER_BITS + 1;
    const QUARTER: i32 = 1 << (31 - ACC_INTEGER_BITS - 2);
    let mul = doubling_high_mul;
    // Fits 32 bits: at most 12 or so.
    let exponent = |zeros: u32| {
        let power = (SUM_INTEGER_BITS as i32).wrapping_sub(zeros as i32);
        saturating_shl(power, 31 - ACC_INTEGER_BITS)
    };
    // The mantissa with the leading bit in place, and the same after a multiplication by √½: of both the smaller,
    // which belongs to the larger exponent.
    let zeros = x.leading_zeros();
    let shifted = saturating_shl(x, zeros.saturating_sub(1));
    let r_a = saturating_shl(mul(shifted, SQRT_HALF), 1);
    let power_a = exponent(zeros).saturating_add(QUARTER);
    let zeros = mul(x, SQRT_HALF).leading_zeros().saturating_sub(1);
    let r_b = saturating_shl(x, zeros);
    let power_b = exponent(zeros).saturating_sub(QUARTER);
    let (r, power) = (r_a.min(r_b), power_a.max(power_b));

    let p = half_sum(r, SQRT_SQRT_HALF);
    let q = r.wrapping_sub(SQRT_SQRT_HALF);
    let q = q.wrapping_add(q);
    let square = mul(q, q);
    let numerator = mul(q, r).wrapping_add(mul(mul(q, square), ALPHA_N));
    let inner = ALPHA_I.wrapping_add(q).wrapping_add(mul(ALPHA_D, square));
    let denominator = mul(p, inner).wrapping_add(mul(ALPHA_F, q));
    let quotient = mul(
        rounding_shift_right(numerator, ACC_INTEGER_BITS),
        one_over_one_plus(denominator),
    );
    saturating_shl(mul(power, LN_2).wrapping_add(quotient), 1)
}

/// Backward in place: `delta` is overwritten by δx. `y` are the outputs.
pub(crate) fn backward<S: Scalar>(delta: &mut [S], y: &[S]) {
    let mut sum = S::ZERO_ACC;
    for delta in delta.iter() {
        sum = S::add_acc(sum, *delta);
    }
    let sum = S::narrow(sum);
    for (delta, y) in delta.iter_mut().zip(y) {
        *delta = delta.sub(y.exp().mul(sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Q5.26 the last few bits.
    #[test]
    fn logarithms_of_sums() {
        for x in (0..).map(|i| 1.07f64.powi(i)).take_while(|x| *x < 4000.0) {
            let fixed = (x * 524_288.0).round();
            let found = f64::from(ln_of_sum(fixed as i32)) / 67_108_864.0;
            let wanted = (fixed / 524_288.0).ln();
            assert!((found - wanted).abs() < 2e-6, "{x}: {found} {wanted}");
        }
    }

    /// Central differences in f32: half of the digits.
    #[test]
    fn gradient_against_differences() {
        let x = [0.3f32, -1.2, 2.0, 0.5];
        let g = [0.7f32, -0.4, 1.1, 0.2];
        let value = |x: &[f32; 4]| {
            let mut y = *x;
            f32::log_softmax(&mut y);
            y.iter().zip(&g).map(|(y, g)| y * g).sum::<f32>()
        };
        let mut y = x;
        f32::log_softmax(&mut y);
        let mut delta = g;
        backward(&mut delta, &y);
        for index in 0..4 {
            let (mut up, mut down) = (x, x);
            up[index] += 1e-2;
            down[index] -= 1e-2;
            let wanted = (value(&up) - value(&down)) / 2e-2;
            assert!((delta[index] - wanted).abs() < 2e-3, "{index}");
        }
    }
}
