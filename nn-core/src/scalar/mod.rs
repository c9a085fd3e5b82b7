//! The numbers that a network computes with, and their software functions.
//!
//! One implementation of each operator serves every [`Scalar`]: `f32`, and the fixed-point types of the crate
//! `fixed`. Every function here gives the same bits on every machine: f32 uses IEEE single operations one at a time
//! (no fused multiply-add, no reassociation), fixed point uses integers.

use crate::kernels::{self, Products, ScaledRows};
use crate::ops::Activation;

mod bounds;
mod fixed_point;
mod float;
mod functions;
mod rate;
mod rng;

pub use bounds::{Bound, Bounds};
pub(crate) use float::exponentials;
pub use float::{BOUNDS, MATH};
pub use rate::FixedRate;
pub use rng::{Rounder, XorShift32, hash};

/// 16 integer and 16 fractional bits.
pub type Q16 = fixed::types::I16F16;

/// A number format with forward and backward operators.
///
/// An operator accumulates in [`Scalar::Acc`] and rounds once, in [`Scalar::narrow`].
/// For `f32` the accumulator is an `f32`, and each step rounds: that order is part of the contract.
/// For fixed point it is an `i64` with twice the fractional bits: products are exact, sums saturate, and the one
/// rounding is to nearest, halves up. Every result saturates.
pub trait Scalar: bytemuck::Pod + PartialOrd + core::fmt::Debug {
    /// What sums are held in.
    type Acc: bytemuck::Pod + core::fmt::Debug;
    /// A factor that was given as an f32: a learning rate, a momentum, a slope.
    type Rate: Copy + core::fmt::Debug;
    /// 0.
    const ZERO: Self;
    /// 1; the largest value where the format has no 1.
    const ONE: Self;
    /// The lowest finite value.
    const MIN: Self;
    /// The least positive value that is not subnormal: 2^−126, or the step of a fixed-point format.
    const LEAST: Self;
    /// The accumulator's 0.
    const ZERO_ACC: Self::Acc;

    /// `x` to nearest, saturated. What is not a number becomes 0 in fixed point.
    fn from_f32(x: f32) -> Self;
    /// The value as an f32, to nearest.
    fn to_f32(self) -> f32;
    /// Whether it is neither infinite nor not a number; always so in fixed point.
    fn is_finite(self) -> bool;

    /// The value as an accumulator.
    fn widen(self) -> Self::Acc;
    /// `acc + a * b`, the product rounded before the sum where the format rounds products.
    fn mul_acc(acc: Self::Acc, a: Self, b: Self) -> Self::Acc;
    /// `acc + value`.
    fn add_acc(acc: Self::Acc, value: Self) -> Self::Acc;
    /// `acc + value · rate`, the product rounded before the sum where the format rounds products; fixed point rounds
    /// it to nearest in the accumulator's bits.
    fn add_scaled(acc: Self::Acc, value: Self, rate: Self::Rate) -> Self::Acc;
    /// The accumulator as an f32, to nearest.
    fn acc_to_f32(acc: Self::Acc) -> f32;
    /// The sum of two accumulators.
    fn sum_acc(a: Self::Acc, b: Self::Acc) -> Self::Acc;
    /// The accumulator rounded to the format.
    fn narrow(acc: Self::Acc) -> Self;
    /// The accumulator rounded as what is stored is: to nearest, or up or down at random, with the odds of its remainder.
    /// An f32 accumulator is what it is.
    fn narrow_by(acc: Self::Acc, rounder: &mut Rounder) -> Self;
    /// The accumulator divided by a count, rounded to the format.
    fn mean(acc: Self::Acc, count: u32) -> Self;

    /// Adds products to `sums`, one for each output of a block: each as by [`mul_acc`](Self::mul_acc), in order.
    fn add_products(products: &Products<'_, Self>, sums: &mut [Self::Acc]) {
        kernels::add_products(products, sums);
    }
    /// out\[i\] = bias\[i\] + the products of output i, rounded to the format, for each pixel; from 0 where there are no
    /// biases.
    fn sum_products(products: &Products<'_, Self>, bias: &[Self], out: &mut [Self]) {
        kernels::sum_products(products, bias, out);
    }

    /// y = x · weight + bias; `weight` is `[x.len(), y.len()]`. Inputs of 0 are passed over.
    fn vector_matrix(x: &[Self], weight: &[Self], bias: &[Self], y: &mut [Self]) {
        Self::sum_products(&Products::of_vector(x, weight, y.len()), bias, y);
    }

    /// to\[i\] += from\[i\] · factor, each as by [`mul_acc`](Self::mul_acc), over rows of numbers.
    fn add_scaled_rows(rows: &ScaledRows, to: &mut [Self::Acc], from: &[Self], factor: Self) {
        kernels::add_scaled_rows(rows, to, from, factor);
    }

    /// Of each x and its row of weights: the gradient Σ row\[i\] · delta\[i\] times the derivative of `below`, which made x,
    /// takes its place, where there is a `below`, and the row learns from x · delta by plain descent before.
    fn descend_rows(
        x: &mut [Self],
        below: Option<Activation>,
        weight: &mut [Self],
        delta: &[Self],
        rate: Self::Rate,
        rounder: &mut Rounder,
    ) {
        kernels::descend_rows(x, below, weight, delta, rate, rounder);
    }

    /// max(x, 0) of each; 0 of what is not a number.
    fn relu(values: &mut [Self]) {
        for value in values {
            *value = if *value > Self::ZERO {
                *value
            } else {
                Self::ZERO
            };
        }
    }

    /// self + other.
    fn add(self, other: Self) -> Self;
    /// self − other.
    fn sub(self, other: Self) -> Self;
    /// self · other, one rounding.
    fn mul(self, other: Self) -> Self;
    /// self / other, one rounding; fixed point saturates by the sign of self where other is 0 (0 / 0 is 0).
    fn div(self, other: Self) -> Self;

    /// e^self.
    fn exp(self) -> Self;
    /// Natural logarithm; fixed point gives the lowest value at and below 0.
    fn ln(self) -> Self;
    /// Square root; fixed point gives 0 below 0.
    fn sqrt(self) -> Self;
    /// 1 / √self; fixed point gives the largest value at and below 0.
    fn rsqrt(self) -> Self;
    /// 1 / (1 + e^−x).
    fn sigmoid(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Softmax over `values`, in place: e^(x − max) / Σ e^(x − max), the sum taken in order.
    fn softmax(values: &mut [Self]);
    /// Logarithm of the softmax, in place: (x − max) − ln Σ e^(x − max), the sum taken in order.
    fn log_softmax(values: &mut [Self]);

    /// `factor` as this format multiplies by it. Fixed point keeps 15 bits of it: see [`FixedRate`].
    fn rate(factor: f32) -> Self::Rate;
    /// self · rate, rounded to nearest.
    fn scale(self, rate: Self::Rate) -> Self;
    /// self − rate · gradient. Fixed point rounds as what is stored is rounded, and saturates.
    fn descend(self, rate: Self::Rate, gradient: Self::Acc, rounder: &mut Rounder) -> Self;
    /// self − rate · x · delta: the update of a weight whose gradient is one product.
    ///
    /// f32: self − (rate · x) · delta, the product rate · x rounded first. Fixed point: as
    /// [`descend`](Self::descend) with the exact product.
    fn descend_product(self, rate: Self::Rate, x: Self, delta: Self, rounder: &mut Rounder)
    -> Self;
    /// [`descend_product`](Self::descend_product) of `weights[i]` with `delta[i]`, in order: the same numbers, faster
    /// over a row.
    fn descend_row(
        weights: &mut [Self],
        rate: Self::Rate,
        x: Self,
        delta: &[Self],
        rounder: &mut Rounder,
    ) {
        for (weight, delta) in weights.iter_mut().zip(delta) {
            *weight = weight.descend_product(rate, x, *delta, rounder);
        }
    }
}

/// Natural logarithm.
pub fn ln(x: f32) -> f32 {
    Scalar::ln(x)
}

/// `x` rounded to the nearest integer, halves away from zero, as TensorFlow Lite's `TfLiteRound`.
pub fn round(x: f32) -> f32 {
    libm::roundf(x)
}
