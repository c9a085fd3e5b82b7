//! f32 functions of the crate `libm`: musl's and FreeBSD's routines in Rust.

use crate::scalar::bounds::{Bound, Bounds, LEAST, LEAST_NORMAL};

/// Which functions f32 has: `"libm"` or `"micromath"`. Host and device have to be built with the same.
pub const MATH: &str = "libm";

/// Half a unit in the last place of a result just above a power of two.
const HALF_UNIT: f64 = f32::EPSILON as f64 / 2.0;

/// How far off the functions in use may be.
pub const BOUNDS: Bounds = Bounds {
    exp: Bound::relative(2.0 * HALF_UNIT).above(LEAST),
    ln: Bound::relative(2.0 * HALF_UNIT),
    // Correctly rounded.
    sqrt: Bound::relative(HALF_UNIT),
    rsqrt: Bound::relative(3.0 * HALF_UNIT),
    // e^−x is past f32 where the result would be subnormal.
    sigmoid: Bound::relative(6.0 * HALF_UNIT).above(LEAST_NORMAL),
    tanh: Bound::relative(4.0 * HALF_UNIT).above(LEAST),
};

pub(super) fn exp(x: f32) -> f32 {
    libm::expf(x)
}

pub(super) fn ln(x: f32) -> f32 {
    libm::logf(x)
}

pub(super) fn sqrt(x: f32) -> f32 {
    libm::sqrtf(x)
}

pub(super) fn rsqrt(x: f32) -> f32 {
    1.0 / libm::sqrtf(x)
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

pub(super) fn tanh(x: f32) -> f32 {
    libm::tanhf(x)
}
