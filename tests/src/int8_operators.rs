//! The int8 operators of two inputs, of slopes, means and log-softmax in wide integers: written from their formulas in
//! `docs/numerics.md`, as [`int8`](crate::int8) is.

use crate::int8::{divide_by_power, exp, high_mul, input_rescale, reciprocal, rescale};

/// A factor, as a multiplier and a shift.
pub type Factor = (i32, i32);

fn clamp(value: i64, zero: i32, [low, high]: [i8; 2]) -> i8 {
    // 32-bit sums, which wrap.
    let value = i64::from((value as i32).wrapping_add(zero));
    value.clamp(i64::from(low), i64::from(high)) as i8
}

fn apply(x: i64, (multiplier, shift): Factor) -> i64 {
    rescale(x, multiplier, shift)
}

fn centred(x: i8, zero: i32) -> i64 {
    i64::from(x) - i64::from(zero)
}

/// Sum; `zeros` are those of x0, x1 and y, x1 is repeated.
pub fn add(x0: &[i8], x1: &[i8], factors: [Factor; 3], zeros: [i32; 3], range: [i8; 2]) -> Vec<i8> {
    let each = x0.iter().enumerate().map(|(index, &a)| {
        let b = x1[index % x1.len()];
        let a = apply(centred(a, zeros[0]) * (1 << 20), factors[0]);
        let b = apply(centred(b, zeros[1]) * (1 << 20), factors[1]);
        clamp(
            apply(i64::from((a + b) as i32), factors[2]),
            zeros[2],
            range,
        )
    });
    each.collect()
}

/// Product; `zeros` are those of x0, x1 and y, x1 is repeated.
pub fn mul(x0: &[i8], x1: &[i8], factor: Factor, zeros: [i32; 3], range: [i8; 2]) -> Vec<i8> {
    let each = x0.iter().enumerate().map(|(index, &a)| {
        let product = centred(a, zeros[0]) * centred(x1[index % x1.len()], zeros[1]);
        clamp(apply(product, factor), zeros[2], range)
    });
    each.collect()
}

/// Requantization; `zeros` are those of x and y.
pub fn requantize(x: &[i8], factor: Factor, zeros: [i32; 2], range: [i8; 2]) -> Vec<i8> {
    let each = x
        .iter()
        .map(|&x| clamp(apply(centred(x, zeros[0]), factor), zeros[1], range));
    each.collect()
}

/// PReLU: the factors of what is above 0 and below it; `zeros` are those of x, slope and y.
pub fn prelu(x: &[i8], slope: &[i8], factors: [Factor; 2], zeros: [i32; 3]) -> Vec<i8> {
    let each = x.iter().enumerate().map(|(index, &x)| {
        let x = centred(x, zeros[0]);
        let slope = centred(slope[index % slope.len()], zeros[1]);
        let value = if x >= 0 {
            apply(x, factors[0])
        } else {
            apply(x * slope, factors[1])
        };
        clamp(value, zeros[2], [-128, 127])
    });
    each.collect()
}

/// Leaky ReLU: the factors of what is above 0 and below it; `zeros` are those of x and y.
pub fn leaky_relu(x: &[i8], factors: [Factor; 2], zeros: [i32; 2]) -> Vec<i8> {
    let each = x.iter().map(|&x| {
        let x = centred(x, zeros[0]);
        let factor = factors[usize::from(x < 0)];
        clamp(apply(x, factor), zeros[1], [-128, 127])
    });
    each.collect()
}

/// The mean of each of `channels` channels; `factor` is already divided by their count.
pub fn mean(x: &[i8], channels: usize, factor: Factor, zeros: [i32; 2]) -> Vec<i8> {
    let each = (0..channels).map(|channel| {
        let cells = x.iter().skip(channel).step_by(channels);
        let sum: i64 = cells.map(|&x| centred(x, zeros[0])).sum();
        clamp(apply(sum, factor), zeros[1], [-128, 127])
    });
    each.collect()
}

/// The largest of each of `channels` channels.
pub fn max(x: &[i8], channels: usize) -> Vec<i8> {
    let each = (0..channels).map(|channel| {
        let cells = x.iter().skip(channel).step_by(channels);
        *cells.max().expect("a number")
    });
    each.collect()
}

/// A constant with 31 fractional bits.
fn fixed(x: f64) -> i64 {
    (x * 2f64.powi(31)).round() as i64
}

fn saturated(x: i64) -> i64 {
    x.clamp(i64::from(i32::MIN), i64::from(i32::MAX))
}

/// ln x of x ≥ 1 with 19 fractional bits, with 26 fractional bits.
///
/// x = 2^k · r, r in [√√½ · √½, √√½ · √2]. With q = 2(r − √√½) and p = (r + √√½)/2 the logarithm of r is
/// (q·r + α_n·q³) / (1 + p(α_i + q + α_d·q²) + α_f·q), up to k's quarter.
fn ln(x: i64) -> i64 {
    let fourth_root = 2f64.powf(0.25);
    let centre = fixed(1.0 / fourth_root);
    let sqrt_half = fixed(0.5f64.sqrt());
    // The mantissas in [1/2, 1) of x and of x·√½, and their powers of 2.
    let bits_a = i64::from(x.ilog2()) - 18;
    let bits_b = i64::from(high_mul(x, sqrt_half).ilog2()) - 18;
    let r_a = saturated(2 * high_mul(x << (12 - bits_a), sqrt_half));
    let r_b = saturated(x << (12 - bits_b));
    let quarter = 1i64 << 23;
    // The power with 25 fractional bits; r_a stands for x·√½·2.
    let power = ((bits_a - 1) * (1 << 25) + quarter).max(bits_b * (1 << 25) - quarter);
    let r = r_a.min(r_b);
    let p = (r + centre + 1) / 2;
    let q = 2 * (r - centre);
    let square = high_mul(q, q);
    let numerator =
        high_mul(q, r) + high_mul(high_mul(q, square), fixed(11.0 / 240.0 * fourth_root));
    let inner =
        fixed(2.0 / fourth_root - fourth_root) + q + high_mul(fixed(fourth_root / 20.0), square);
    let denominator = high_mul(p, inner) + high_mul(fixed(fourth_root / 4.0), q);
    let inverse = saturated(2 * reciprocal(denominator));
    let log = high_mul(power, fixed(std::f64::consts::LN_2))
        + high_mul(divide_by_power(numerator, 6), inverse);
    saturated(2 * log)
}

/// Log-softmax of a vector; `scale` is the input's, `back` the inverse of its factor.
pub fn log_softmax(x: &[i8], scale: f32, back: Factor) -> Vec<i8> {
    let (multiplier, shift, radius) = input_rescale(scale, 5, true);
    let max = i64::from(*x.iter().max().expect("a number"));
    let sum: i64 = x
        .iter()
        .map(|&x| i64::from(x) - max)
        .filter(|&difference| difference >= -i64::from(radius))
        .map(|difference| divide_by_power(exp(rescale(difference, multiplier, shift), 5), 12))
        .sum();
    let log = ln(sum);
    let lowest = apply(log + i64::from(i32::MIN), back).max(-i64::from(radius) - 1);
    let each = x.iter().map(|&x| {
        let difference = i64::from(x) - max;
        if difference <= lowest {
            return -128;
        }
        let fixed = rescale(difference, multiplier, shift) - log;
        (divide_by_power(fixed, 22) + 127).clamp(-128, 127) as i8
    });
    each.collect()
}
