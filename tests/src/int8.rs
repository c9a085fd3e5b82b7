//! The TensorFlow Lite int8 specification in wide integers: written from the formulas in `docs/numerics.md`, in the form
//! that their definitions have (a rounding as a quotient and a remainder, for instance), not in nn-core's short one.

use crate::network::Window;

/// A real factor as a multiplier in [2³⁰, 2³¹) (or 0) and a shift: factor = multiplier · 2^(shift − 31).
pub fn quantize_multiplier(factor: f64) -> (i32, i32) {
    if factor == 0.0 {
        return (0, 0);
    }
    let mut exponent = 0;
    let mut mantissa = factor;
    while mantissa >= 1.0 {
        mantissa /= 2.0;
        exponent += 1;
    }
    while mantissa < 0.5 {
        mantissa *= 2.0;
        exponent -= 1;
    }
    let mut multiplier = (mantissa * 2f64.powi(31)).round() as i64;
    if multiplier == 1 << 31 {
        multiplier /= 2;
        exponent += 1;
    }
    match exponent {
        ..-31 => (0, 0),
        31.. => (i32::MAX, 30),
        _ => (multiplier as i32, exponent),
    }
}

/// The rescaling of a function's input to `integer_bits` integer bits: multiplier, shift, radius.
pub fn input_rescale(scale: f32, integer_bits: u32, softmax: bool) -> (i32, i32, i32) {
    let factor = f64::from(scale) * 2f64.powi(31 - integer_bits as i32);
    // The softmax's factor is held to 31 bits; an input further out than the radius saturates anyway.
    let factor = if softmax {
        factor.min(f64::from(i32::MAX))
    } else {
        factor
    };
    let (multiplier, shift) = quantize_multiplier(factor);
    let largest = f64::from((1 << integer_bits) - 1) * 2f64.powi(31 - integer_bits as i32);
    (
        multiplier,
        shift,
        (largest / 2f64.powi(shift)).floor() as i32,
    )
}

fn clamp(value: i64, bits: u32) -> i64 {
    value.clamp(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
}

/// a · b · 2 in 64 bits, its upper half rounded to nearest; saturated.
pub(crate) fn high_mul(a: i64, b: i64) -> i64 {
    let product = i128::from(a) * i128::from(b);
    let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
    // The quotient truncates toward zero.
    clamp(((product + nudge) / (1 << 31)) as i64, 32)
}

/// x / 2^exponent, to nearest, halves away from zero.
pub(crate) fn divide_by_power(x: i64, exponent: u32) -> i64 {
    let unit = 1i64 << exponent;
    let (quotient, remainder) = (x.div_euclid(unit), x.rem_euclid(unit));
    let up = if x < 0 {
        2 * remainder > unit
    } else {
        2 * remainder >= unit
    };
    quotient + i64::from(up)
}

/// x · multiplier · 2^(shift − 31), rounded once in the product and once in the shift right.
pub fn rescale(x: i64, multiplier: i32, shift: i32) -> i64 {
    let multiplier = i64::from(multiplier);
    if shift > 0 {
        // 32-bit arithmetic, which wraps.
        let shifted = i64::from((x as i32).wrapping_shl(shift as u32));
        high_mul(shifted, multiplier)
    } else {
        divide_by_power(high_mul(x, multiplier), shift.unsigned_abs())
    }
}

/// An int8 dense layer or convolution. Weights `[out, kernel_h, kernel_w, in]`.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Of the convolution; 1x1 for a dense layer.
    pub window: Window,
    /// Output channel first.
    pub weight: Vec<i8>,
    /// One for each output channel, or none.
    pub bias: Vec<i32>,
    /// One for each output channel.
    pub multipliers: Vec<(i32, i32)>,
    /// The input's.
    pub x_zero: i32,
    /// The output's.
    pub y_zero: i32,
    /// Whether a ReLU is fused.
    pub relu: bool,
}

impl Layer {
    /// The output for an input of `[height, width, channels]`.
    pub fn forward(&self, x: &[i8], [height, width, channels]: [usize; 3]) -> Vec<i8> {
        let [rows, columns] = self.window.output([height, width]).expect("a fit");
        let mut y = Vec::new();
        for row in 0..rows {
            for column in 0..columns {
                for (o, &(multiplier, shift)) in self.multipliers.iter().enumerate() {
                    let mut sum = self.bias.get(o).map_or(0, |&b| i64::from(b));
                    cells(&self.window, [height, width], [row, column], |tap, r, c| {
                        for channel in 0..channels {
                            let taps = self.window.kernel[0] * self.window.kernel[1];
                            let w = self.weight[(o * taps + tap) * channels + channel];
                            let x = x[(r * width + c) * channels + channel];
                            sum += i64::from(w) * (i64::from(x) - i64::from(self.x_zero));
                        }
                    });
                    // 32-bit sums, which wrap.
                    let value = rescale(i64::from(sum as i32), multiplier, shift);
                    let value = i64::from((value as i32).wrapping_add(self.y_zero));
                    let low = if self.relu { self.y_zero } else { -128 };
                    y.push(value.clamp(i64::from(low), 127) as i8);
                }
            }
        }
        y
    }
}

/// Calls `visit(tap, input row, input column)` for each tap inside the input.
fn cells(
    window: &Window,
    [height, width]: [usize; 2],
    at: [usize; 2],
    mut visit: impl FnMut(usize, usize, usize),
) {
    for tap in 0..window.kernel[0] * window.kernel[1] {
        let [i, j] = [tap / window.kernel[1], tap % window.kernel[1]];
        let row = (at[0] * window.stride[0] + i).checked_sub(window.padding[0]);
        let column = (at[1] * window.stride[1] + j).checked_sub(window.padding[1]);
        match (row, column) {
            (Some(row), Some(column)) if row < height && column < width => visit(tap, row, column),
            _ => {}
        }
    }
}

/// Max or average pooling.
pub fn pool(
    window: &Window,
    max: bool,
    x: &[i8],
    [height, width, channels]: [usize; 3],
) -> Vec<i8> {
    let [rows, columns] = window.output([height, width]).expect("a fit");
    let mut y = Vec::new();
    for at in 0..rows * columns * channels {
        let channel = at % channels;
        let [row, column] = [at / channels / columns, at / channels % columns];
        let mut seen = Vec::new();
        cells(window, [height, width], [row, column], |_, r, c| {
            seen.push(i64::from(x[(r * width + c) * channels + channel]));
        });
        let value = if max {
            *seen.iter().max().expect("a cell")
        } else {
            // To nearest, halves away from zero.
            let (sum, count) = (seen.iter().sum::<i64>(), seen.len() as i64);
            sum.signum() * ((2 * sum.abs() + count) / (2 * count))
        };
        y.push(value as i8);
    }
    y
}

/// e^x for x ≤ 0, held in `integer_bits` integer bits of 31; the result in none.
///
/// x = −q/4 − r, r in (0, 1/4]: Taylor's series around −1/8 gives e^−r, and each bit of q multiplies by its constant.
pub(crate) fn exp(x: i64, integer_bits: u32) -> i64 {
    if x == 0 {
        return i64::from(i32::MAX);
    }
    let quarter = 1i64 << (31 - integer_bits - 2);
    let inside = x.rem_euclid(quarter) - quarter;
    let a = clamp(inside << integer_bits, 32) + (1 << 28);
    let square = high_mul(a, a);
    let cube = high_mul(square, a);
    let fourth = divide_by_power(high_mul(square, square), 2);
    let third = high_mul(fourth + cube, (f64::from(i32::MAX) / 3.0).round() as i64);
    let tail = divide_by_power(third + square, 1);
    let eighth = fixed((-0.125f64).exp());
    let mut result = eighth + high_mul(eighth, a + tail);
    let quarters = (inside - x) / quarter;
    for bit in 0..integer_bits + 2 {
        if quarters >> bit & 1 == 1 {
            result = high_mul(result, fixed((-(2f64.powi(bit as i32 - 2))).exp()));
        }
    }
    result
}

/// A constant in [0, 1) with 31 fractional bits.
fn fixed(x: f64) -> i64 {
    (x * 2f64.powi(31)).round() as i64
}

/// 1 / d for d = (1 + a)/2, a in [0, 1] with 31 fractional bits; the result with 29: Newton's division, three steps.
pub(crate) fn reciprocal(a: i64) -> i64 {
    let half = (a + i64::from(i32::MAX) + 1) / 2;
    let at_29 = |x: f64| (x * 2f64.powi(29)).round() as i64;
    let mut x = at_29(48.0 / 17.0) + high_mul(half, at_29(-32.0 / 17.0));
    for _ in 0..3 {
        let rest = (1 << 29) - high_mul(half, x);
        x += clamp(high_mul(x, rest) << 2, 32);
    }
    x
}

/// The logistic function of x with 4 integer bits, with 31 fractional bits.
fn logistic(x: i64) -> i64 {
    if x == 0 {
        return 1 << 30;
    }
    let positive = clamp(reciprocal(exp(-x.abs(), 4)) << 1, 32);
    if x > 0 {
        positive
    } else {
        i64::from(i32::MAX) - positive
    }
}

/// The hyperbolic tangent of x with 4 integer bits, with 31 fractional bits.
fn hyperbolic_tangent(x: i64) -> i64 {
    if x == 0 {
        return 0;
    }
    x.signum() * clamp((reciprocal(exp(-x.abs(), 5)) - (1 << 29)) << 2, 32)
}

/// int8 sigmoid; `scale` and `zero` are the input's.
pub fn sigmoid(x: &[i8], scale: f32, zero: i32) -> Vec<i8> {
    function(x, scale, zero, |x| divide_by_power(logistic(x), 23) - 128)
}

/// int8 hyperbolic tangent; `scale` and `zero` are the input's.
pub fn tanh(x: &[i8], scale: f32, zero: i32) -> Vec<i8> {
    function(x, scale, zero, |x| {
        divide_by_power(hyperbolic_tangent(x), 24)
    })
}

fn function(x: &[i8], scale: f32, zero: i32, f: impl Fn(i64) -> i64) -> Vec<i8> {
    let (multiplier, shift, radius) = input_rescale(scale, 4, false);
    let each = x.iter().map(|&x| {
        let x = i64::from(x) - i64::from(zero);
        if x <= -i64::from(radius) {
            -128
        } else if x >= i64::from(radius) {
            127
        } else {
            clamp(f(rescale(x, multiplier, shift)), 8) as i8
        }
    });
    each.collect()
}

/// int8 softmax; `scale` is the input's.
pub fn softmax(x: &[i8], scale: f32) -> Vec<i8> {
    let (multiplier, shift, radius) = input_rescale(scale, 5, true);
    let max = x.iter().map(|&x| i64::from(x)).max().expect("a number");
    let power = |x: i8| {
        let difference = i64::from(x) - max;
        (difference >= -i64::from(radius)).then(|| exp(rescale(difference, multiplier, shift), 5))
    };
    // 12 integer bits, 19 fractional ones.
    let sum: i64 = x
        .iter()
        .filter_map(|&x| power(x))
        .map(|e| divide_by_power(e, 12))
        .sum();
    // sum = 2^bits · (1 + a), 1 ≤ 1 + a < 2.
    let bits = sum.ilog2() - 19;
    let a = (sum << (31 - 19 - bits)) - (1 << 31);
    let scale = clamp(reciprocal(a) << 1, 32);
    let each = x.iter().map(|&x| {
        power(x).map_or(-128, |e| {
            clamp(divide_by_power(high_mul(scale, e), bits + 23) - 128, 8) as i8
        })
    });
    each.collect()
}

/// f32 to int8, halves away from zero.
pub fn quantize(x: f32, scale: f32, zero: i32) -> i8 {
    // The quotient is an f32, as the specification's is.
    let quotient = f64::from(x / scale);
    let rounded = quotient.signum() * (quotient.abs() + 0.5).floor();
    (rounded + f64::from(zero)).clamp(-128.0, 127.0) as i8
}
