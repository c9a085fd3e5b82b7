//! f32 functions of the crate `libm`: musl's and FreeBSD's routines in Rust.

/// Which functions f32 has: `"libm"` or `"micromath"`. Host and device have to be built with the same.
pub const MATH: &str = "libm";

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
