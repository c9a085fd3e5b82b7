//! IEEE single, with the functions of the crate `libm`, or, with feature `micromath`, smaller ones.

#[cfg(not(feature = "micromath"))]
#[path = "float/with_libm.rs"]
mod functions;
#[cfg(feature = "micromath")]
#[path = "float/with_micromath.rs"]
mod functions;

use crate::kernels::{self, Products, ScaledRows};
use crate::ops::Activation;

use super::{Rounder, Scalar};

pub use functions::{BOUNDS, MATH};

impl Scalar for f32 {
    type Acc = f32;
    type Rate = f32;
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    const MIN: f32 = f32::MIN;
    const LEAST: f32 = f32::MIN_POSITIVE;
    const ZERO_ACC: f32 = 0.0;

    #[inline(always)]
    fn from_f32(x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }

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
    fn add_scaled(acc: f32, value: f32, rate: f32) -> f32 {
        acc + value * rate
    }

    #[inline(always)]
    fn acc_to_f32(acc: f32) -> f32 {
        acc
    }

    #[inline(always)]
    fn sum_acc(a: f32, b: f32) -> f32 {
        a + b
    }

    #[inline(always)]
    fn narrow(acc: f32) -> f32 {
        acc
    }

    #[inline(always)]
    fn narrow_by(acc: f32, _: &mut Rounder) -> f32 {
        acc
    }

    #[inline]
    fn mean(acc: f32, count: u32) -> f32 {
        // Exact: no window holds 2^24 cells.
        acc / count as f32
    }

    #[inline(always)]
    fn add_products(products: &Products<'_, f32>, sums: &mut [f32]) {
        kernels::add_products_f32(products, sums);
    }

    #[inline(always)]
    fn sum_products(products: &Products<'_, f32>, bias: &[f32], out: &mut [f32]) {
        kernels::sum_products_f32(products, bias, out);
    }

    #[inline]
    fn vector_matrix(x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
        kernels::vector_matrix_f32(x, weight, bias, y);
    }

    #[inline(always)]
    fn add_scaled_rows(rows: &ScaledRows, to: &mut [f32], from: &[f32], factor: f32) {
        kernels::add_scaled_rows_f32(rows, to, from, factor);
    }

    #[inline]
    fn descend_rows(
        x: &mut [f32],
        below: Option<Activation>,
        weight: &mut [f32],
        delta: &[f32],
        rate: f32,
        _: &mut Rounder,
    ) {
        kernels::descend_rows_f32(x, below, weight, delta, rate);
    }

    #[inline(never)]
    fn relu(values: &mut [f32]) {
        const INFINITY: u32 = f32::INFINITY.to_bits();
        // 1 to infinity: above 0, and a number. Without the FPU it takes half the instructions.
        let hold = |value: &mut f32| {
            if value.to_bits().wrapping_sub(1) >= INFINITY {
                *value = 0.0;
            }
        };
        let (fours, rest) = values.as_chunks_mut::<4>();
        fours.iter_mut().flatten().for_each(hold);
        rest.iter_mut().for_each(hold);
    }

    #[inline(always)]
    fn add(self, other: f32) -> f32 {
        self + other
    }

    #[inline(always)]
    fn sub(self, other: f32) -> f32 {
        self - other
    }

    #[inline(always)]
    fn mul(self, other: f32) -> f32 {
        self * other
    }

    #[inline(always)]
    fn div(self, other: f32) -> f32 {
        self / other
    }

    fn exp(self) -> f32 {
        functions::exp(self)
    }

    fn ln(self) -> f32 {
        functions::ln(self)
    }

    fn sqrt(self) -> f32 {
        functions::sqrt(self)
    }

    fn rsqrt(self) -> f32 {
        functions::rsqrt(self)
    }

    fn sigmoid(self) -> f32 {
        functions::sigmoid(self)
    }

    fn tanh(self) -> f32 {
        functions::tanh(self)
    }

    fn softmax(values: &mut [f32]) {
        let sum = exponentials(values);
        for value in values {
            *value /= sum;
        }
    }

    fn log_softmax(values: &mut [f32]) {
        let max = largest(values);
        let mut sum = 0.0;
        for value in values.iter_mut() {
            *value -= max;
            sum += Scalar::exp(*value);
        }
        let ln = Scalar::ln(sum);
        for value in values {
            *value -= ln;
        }
    }

    #[inline(always)]
    fn rate(factor: f32) -> f32 {
        factor
    }

    #[inline(always)]
    fn scale(self, rate: f32) -> f32 {
        self * rate
    }

    #[inline(always)]
    fn descend(self, rate: f32, gradient: f32, _: &mut Rounder) -> f32 {
        self - rate * gradient
    }

    #[inline(always)]
    fn descend_product(self, rate: f32, x: f32, delta: f32, _: &mut Rounder) -> f32 {
        self - (rate * x) * delta
    }

    #[inline]
    fn descend_row(weights: &mut [f32], rate: f32, x: f32, delta: &[f32], _: &mut Rounder) {
        kernels::subtract_products_f32(rate * x, delta, weights);
    }
}

/// e^(x − max) of each, in place; gives their sum, taken in order.
#[inline(always)]
pub(crate) fn exponentials(values: &mut [f32]) -> f32 {
    let max = largest(values);
    let mut sum = 0.0;
    for value in values {
        let x = *value - max;
        // e^0 is 1, and the largest has it.
        *value = match x.to_bits() {
            0 => 1.0,
            _ => Scalar::exp(x),
        };
        sum += *value;
    }
    sum
}

fn largest(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(f32::NEG_INFINITY, |max, &v| if v > max { v } else { max })
}
