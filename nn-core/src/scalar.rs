//! The numbers that a network computes with, and their software functions.
//!
//! Every function here gives the same bits on every machine: it uses IEEE single operations one at a time
//! (no fused multiply-add, no reassociation) and the pure Rust routines of `libm`.

/// A number format with forward operators.
///
/// An operator accumulates in [`Scalar::Acc`] and rounds once, in [`Scalar::narrow`].
/// For `f32` the accumulator is an `f32`, and each step rounds: that order is part of the contract.
pub trait Scalar: bytemuck::Pod + PartialOrd {
    /// What sums are held in.
    type Acc: Copy;
    /// 0.
    const ZERO: Self;
    /// The accumulator's 0.
    const ZERO_ACC: Self::Acc;
    /// The value as an accumulator.
    fn widen(self) -> Self::Acc;
    /// `acc + a * b`, the product rounded before the sum where the format rounds products.
    fn mul_acc(acc: Self::Acc, a: Self, b: Self) -> Self::Acc;
    /// `acc + value`.
    fn add_acc(acc: Self::Acc, value: Self) -> Self::Acc;
    /// The accumulator rounded to the format.
    fn narrow(acc: Self::Acc) -> Self;
    /// The accumulator divided by a count, rounded to the format.
    fn mean(acc: Self::Acc, count: u32) -> Self;
    /// 1 / (1 + e^−x).
    fn sigmoid(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Softmax over `values`, in place: e^(x − max) / Σ e^(x − max), the sum taken in order.
    fn softmax(values: &mut [Self]);
}

impl Scalar for f32 {
    type Acc = f32;
    const ZERO: f32 = 0.0;
    const ZERO_ACC: f32 = 0.0;

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn mul_acc(acc: f32, a: f32, b: f32) -> f32 {
        acc + a * b
    }

    #[inline(always)]
    fn add_acc(acc: f32, value: f32) -> f32 {
        acc + value
    }

    #[inline(always)]
    fn narrow(acc: f32) -> f32 {
        acc
    }

    #[inline]
    fn mean(acc: f32, count: u32) -> f32 {
        // Exact: no window holds 2^24 cells.
        acc / count as f32
    }

    fn sigmoid(self) -> f32 {
        1.0 / (1.0 + libm::expf(-self))
    }

    fn tanh(self) -> f32 {
        libm::tanhf(self)
    }

    fn softmax(values: &mut [f32]) {
        let max = values
            .iter()
            .fold(f32::NEG_INFINITY, |max, &v| if v > max { v } else { max });
        let mut sum = 0.0;
        for value in values.iter_mut() {
            *value = libm::expf(*value - max);
            sum += *value;
        }
        for value in values {
            *value /= sum;
        }
    }
}

/// Natural logarithm.
pub fn ln(x: f32) -> f32 {
    libm::logf(x)
}

/// `x` rounded to the nearest integer, halves away from zero, as TensorFlow Lite's `TfLiteRound`.
pub fn round(x: f32) -> f32 {
    libm::roundf(x)
}
