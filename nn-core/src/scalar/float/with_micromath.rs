//! f32 functions that are small rather than exact, and most of them faster (feature `micromath`).
//!
//! | function | computed as |
//! |---|---|
//! | 1/√x | the crate's starting value (3.5 % off), two steps of Newton's method |
//! | √x | x · (1/√x) |
//! | e^x | x = k · ln 2 + r, \|r\| ≤ ln 2 / 2: 2^k · (1 + r·p(r)), p of degree 3 |
//! | ln x | x = 2^k · (1 + t), 1 + t from √½ to √2: k · ln 2 + t·p(t), p of degree 5 |
//! | sigmoid x | 1 / (1 + e^−x) |
//! | tanh x | \|x\| < ½: x·p(x²), p of degree 3; else 1 − 2 / (e^2\|x\| + 1) with the sign of x |
//!
//! Of the crate `micromath` only the starting value serves: its exp divides in a loop and is off by 2·10⁻³, its ln by
//! a tenth below 1, its square root by 6 %, and it has no tanh. The polynomials interpolate at Chebyshev's nodes.
//! `docs/numerics.md` states the errors, and what each takes; `tests/functions.rs` walks all inputs.
//!
//! What layers and optimizers call in many places is never inlined: nn-core is built for speed, and a copy at each call
//! makes an image that learns larger than libm does.

use core::f32::consts::{LN_2, LOG2_E, SQRT_2};

use crate::scalar::bounds::{Bound, Bounds, LEAST, LEAST_NORMAL};

/// Which functions f32 has: `"libm"` or `"micromath"`. Host and device have to be built with the same.
pub const MATH: &str = "micromath";

/// How far off the functions in use may be.
pub const BOUNDS: Bounds = Bounds {
    // 0 where the result would be subnormal.
    exp: Bound::relative(1.2e-5).above(LEAST_NORMAL),
    ln: Bound::relative(1e-5),
    sqrt: Bound::relative(6e-6),
    rsqrt: Bound::relative(6e-6),
    sigmoid: Bound::relative(1.2e-5).above(LEAST_NORMAL),
    tanh: Bound::relative(1e-5).above(LEAST),
};

/// Where e^x leaves f32: upward, and downward to what is not subnormal.
const EXP_RANGE: (f32, f32) = (-87.336_54, 88.722_84);

/// e^x; 0 where it would be subnormal.
pub(super) fn exp(x: f32) -> f32 {
    let (low, high) = EXP_RANGE;
    if x.is_nan() {
        return x;
    }
    if x < low {
        return 0.0;
    }
    if x > high {
        return f32::INFINITY;
    }
    let nearest = x * LOG2_E + if x < 0.0 { -0.5 } else { 0.5 };
    // −126 to 128; the cast cuts toward zero.
    let k = nearest as i32;
    let r = x - k as f32 * LN_2;
    let p = 0.999_984_9 + r * (0.499_997_5 + r * (0.167_670_12 + r * 0.041_833_804));
    let mantissa = 1.0 + r * p;
    // k joins the exponent's bits. At the upper end it may pass infinity, at the lower the first subnormal.
    let bits = mantissa.to_bits().wrapping_add_signed(k << 23);
    f32::from_bits(bits.min(f32::INFINITY.to_bits()))
}

/// Natural logarithm.
#[inline(never)]
pub(super) fn ln(x: f32) -> f32 {
    if x == 0.0 {
        return f32::NEG_INFINITY;
    }
    if x.is_nan() || x < 0.0 {
        return f32::NAN;
    }
    if x == f32::INFINITY {
        return x;
    }
    // Subnormals are scaled up first, exactly.
    let (x, scaled) = if x < f32::MIN_POSITIVE {
        (x * (1u32 << 24) as f32, 24)
    } else {
        (x, 0)
    };
    // 8 bits of exponent; the mantissa as a number from 1 to 2.
    let mut k = (x.to_bits() >> 23) as i32 - 127 - scaled;
    let mut mantissa = f32::from_bits(x.to_bits() & 0x7F_FFFF | 0x3F80_0000);
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        k += 1;
    }
    let t = mantissa - 1.0;
    let p = 0.332_659_06 + t * (-0.254_333_56 + t * (0.219_657_1 + t * -0.140_216_23));
    let p = 1.000_003_7 + t * (-0.499_894_8 + t * p);
    k as f32 * LN_2 + t * p
}

/// 1 / √x: infinite at 0, not a number below.
pub(super) fn rsqrt(x: f32) -> f32 {
    if x == 0.0 {
        return f32::INFINITY.copysign(x);
    }
    if x.is_nan() || x < 0.0 {
        return f32::NAN;
    }
    if x == f32::INFINITY {
        return 0.0;
    }
    // Subnormals are scaled up by 2²⁴ first, exactly, and their root down by 2¹².
    let (x, scale) = if x < f32::MIN_POSITIVE {
        (x * (1u32 << 24) as f32, (1u32 << 12) as f32)
    } else {
        (x, 1.0)
    };
    let half = 0.5 * x;
    let mut r = f32::from(micromath::F32(x).invsqrt());
    r = r * (1.5 - half * r * r);
    r = r * (1.5 - half * r * r);
    r * scale
}

/// Square root: not a number below 0.
#[inline(never)]
pub(super) fn sqrt(x: f32) -> f32 {
    if x == 0.0 || x == f32::INFINITY {
        return x;
    }
    x * rsqrt(x)
}

/// 1 / (1 + e^−x).
#[inline(never)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent.
#[inline(never)]
pub(super) fn tanh(x: f32) -> f32 {
    let size = x.abs();
    if size < 0.5 {
        let z = x * x;
        x * (0.999_999_45 + z * (-0.333_262_84 + z * (0.131_899_4 + z * -0.044_392_74)))
    } else {
        (1.0 - 2.0 / (exp(2.0 * size) + 1.0)).copysign(x)
    }
}
