//! Sigmoid: y = 1 / (1 + e^−x).
//!
//! int8 after TensorFlow Lite's reference integer kernel for LOGISTIC: the input's steps become Q4.27, gemmlowp's
//! `logistic` gives Q0.31, the output has scale 1/256 and zero point −128.

use crate::fixed_point::InputRescale;
#[cfg(not(mote_helium))]
use crate::fixed_point::{self, rounding_shift_right};
#[cfg(mote_helium)]
use crate::kernels::helium::curves;
use crate::ops::curve::{self, Curve, Function};
use crate::scalar::Scalar;

/// The output's quantization in int8.
pub const OUTPUT_I8: (f32, i32) = (1.0 / 256.0, -128);
/// Integer bits of the int8 input in fixed point.
pub const INPUT_INTEGER_BITS: u32 = curve::INPUT_INTEGER_BITS;

/// The operator.
pub(super) type Sigmoid = Function<SigmoidCurve>;

/// The function.
pub(super) struct SigmoidCurve;

impl Curve for SigmoidCurve {
    const OUTPUT_I8: (f32, i32) = OUTPUT_I8;

    fn forward<S: Scalar>(values: &mut [S]) {
        for value in values {
            *value = value.sigmoid();
        }
    }

    fn forward_i8(values: &mut [i8], zero_point: i32, input: &InputRescale) {
        forward_i8(values, zero_point, input);
    }
}

/// int8, in place.
#[cfg(mote_helium)]
pub fn forward_i8(values: &mut [i8], zero_point: i32, input: &InputRescale) {
    curves::logistic(values, zero_point, input);
}

/// int8, in place.
#[cfg(not(mote_helium))]
pub fn forward_i8(values: &mut [i8], zero_point: i32, input: &InputRescale) {
    for value in values {
        *value = input.map(*value, zero_point, |q4| {
            rounding_shift_right(fixed_point::logistic(q4), 31 - 8) - 128
        });
    }
}
