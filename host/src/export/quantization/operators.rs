//! The factors of int8 operators, from scales, as the `Prepare` functions of TensorFlow Lite's kernels form them.
//!
//! `None` where a factor is out of the range that its kernel takes: multipliers have shifts of at most 30, and those
//! of a sum are below 1.

use nn_core::fixed_point::{Rescale, saturate_i8};
use nn_core::ops::add::LEFT_SHIFT;
use nn_core::ops::{AddRequant, LogSoftmaxRescale, PreluRequant, leaky_relu, log_softmax};

use super::{Affine, input_rescale, quantize_multiplier};

/// A factor of at least 0.
pub fn rescale(factor: f64) -> Option<Rescale> {
    if !factor.is_finite() {
        return None;
    }
    let (multiplier, shift) = quantize_multiplier(factor);
    // −31 to 30.
    (shift <= 30).then_some(Rescale {
        multiplier,
        shift: shift as i8,
    })
}

/// A factor below 1.
fn below_1(factor: f64) -> Option<Rescale> {
    rescale(factor).filter(|rescale| rescale.shift <= 0)
}

/// Of a sum: `ADD`.
///
/// ```
/// use nn_core::fixed_point::Rescale;
/// let requant = host::export::operators::add_requant(1.0, 0.5, 1.0).unwrap();
/// assert_eq!(requant.x1, Rescale { multiplier: 1 << 30, shift: -1 });
/// ```
pub fn add_requant(x0_scale: f32, x1_scale: f32, y_scale: f32) -> Option<AddRequant> {
    let [x0, x1, y] = [x0_scale, x1_scale, y_scale].map(f64::from);
    let twice = 2.0 * x0.max(x1);
    Some(AddRequant {
        x0: below_1(x0 / twice)?,
        x1: below_1(x1 / twice)?,
        y: below_1(twice / (f64::from(1u32 << LEFT_SHIFT) * y))?,
    })
}

/// Of a product: `MUL`.
pub fn mul_rescale(x0_scale: f32, x1_scale: f32, y_scale: f32) -> Option<Rescale> {
    rescale(f64::from(x0_scale) * f64::from(x1_scale) / f64::from(y_scale))
}

/// From int8 to int8: `QUANTIZE`.
pub fn requantize_rescale(x_scale: f32, y_scale: f32) -> Option<Rescale> {
    rescale(f64::from(x_scale) / f64::from(y_scale))
}

/// Of a ReLU or ReLU6 between two quantizations: `RELU`, whose quotient is an f32.
pub fn relu_rescale(x_scale: f32, y_scale: f32) -> Option<Rescale> {
    rescale(f64::from(x_scale / y_scale))
}

/// Of a PReLU: `PRELU`.
pub fn prelu_requant(x_scale: f32, slope_scale: f32, y_scale: f32) -> Option<PreluRequant> {
    let [x, slope, y] = [x_scale, slope_scale, y_scale].map(f64::from);
    Some(PreluRequant {
        positive: rescale(x / y)?,
        negative: rescale(x * slope / y)?,
    })
}

/// Of a leaky ReLU with a slope of at least 0: `LEAKY_RELU`, whose products and quotients are f32.
pub fn leaky_relu_requant(x_scale: f32, slope: f32, y_scale: f32) -> Option<PreluRequant> {
    Some(PreluRequant {
        positive: rescale(f64::from(x_scale / y_scale))?,
        negative: rescale(f64::from(x_scale * slope / y_scale))?,
    })
}

/// Of a mean of `count` numbers: `MEAN`, which divides the multiplier of scale_x / scale_y by the count, in integers,
/// with as many more bits as the count has.
pub fn mean_rescale(x_scale: f32, y_scale: f32, count: u32) -> Option<Rescale> {
    let Rescale { multiplier, shift } = rescale(f64::from(x_scale) / f64::from(y_scale))?;
    let bits = count.checked_ilog2()? as i32;
    let bits = bits.min(31 + i32::from(shift));
    Some(Rescale {
        // Less than 2^31 · 2 / 1, and above the count's power of 2 a quotient below the multiplier.
        multiplier: i32::try_from((i64::from(multiplier) << bits) / i64::from(count)).ok()?,
        // −31 at least.
        shift: (i32::from(shift) - bits) as i8,
    })
}

/// Of a log-softmax: `LOG_SOFTMAX`.
pub fn log_softmax_rescale(scale: f32) -> Option<LogSoftmaxRescale> {
    let input = input_rescale(scale, log_softmax::INPUT_INTEGER_BITS)?;
    let unit = f64::powi(2.0, 31 - i32::from(input.shift));
    Some(LogSoftmaxRescale {
        input,
        back: below_1(unit / f64::from(input.multiplier))?,
    })
}

/// The 256 entries of a table, which holds `function` of a real number: to nearest, halves away from zero.
///
/// ```
/// use host::export::{Affine, operators::lookup_table};
/// let affine = Affine { scale: 0.5, zero_point: 0 };
/// let step = lookup_table(affine, affine, |x| f64::from(u8::from(x >= 0.0)));
/// assert_eq!(step[127..130], [0, 2, 2]);
/// ```
pub fn lookup_table(x: Affine, y: Affine, function: impl Fn(f64) -> f64) -> [i8; 256] {
    std::array::from_fn(|index| {
        // 0 to 255.
        let steps = index as i32 - 128 - x.zero_point;
        let value = function(f64::from(x.scale) * f64::from(steps));
        let rounded = (value / f64::from(y.scale)).round() + f64::from(y.zero_point);
        // `as` saturates, and makes 0 of what is not a number.
        saturate_i8(rounded as i32)
    })
}

/// The table of a leaky ReLU by TensorFlow Lite's integer rule.
pub fn leaky_relu_table(x: Affine, slope: f32, y: Affine) -> Option<[i8; 256]> {
    let requant = leaky_relu_requant(x.scale, slope, y.scale)?;
    // 0 to 255, moved to int8.
    let mut table: [i8; 256] = std::array::from_fn(|index| (index as i32 - 128) as i8);
    // Both are int8.
    let zeros = [x.zero_point as i8, y.zero_point as i8];
    leaky_relu::forward_i8(&mut table, &requant, zeros);
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(rescale: Rescale) -> f64 {
        f64::from(rescale.multiplier) * f64::powi(2.0, i32::from(rescale.shift) - 31)
    }

    /// Factors are rounded to 31 bits; a mean's is then cut off at 30 or more.
    #[test]
    fn factors_are_those_of_their_formulas() {
        let close = |rescale: Option<Rescale>, wanted: f64, bits: i32| {
            let found = factor(rescale.unwrap());
            assert!(
                (found / wanted - 1.0).abs() <= f64::powi(2.0, -bits),
                "{found} {wanted}"
            );
        };
        let (a, b, y) = (0.013f32, 0.21, 0.05);
        let [da, db, dy] = [a, b, y].map(f64::from);
        let sum = add_requant(a, b, y).unwrap();
        close(Some(sum.x0), da / (2.0 * db), 31);
        close(Some(sum.x1), 0.5, 31);
        close(Some(sum.y), 2.0 * db / (1_048_576.0 * dy), 31);
        close(mul_rescale(a, b, y), da * db / dy, 31);
        close(requantize_rescale(a, y), da / dy, 31);
        // The quotient is an f32.
        close(relu_rescale(a, y), da / dy, 24);
        for count in [1, 2, 3, 7, 64, 100, 65_537] {
            close(mean_rescale(a, y, count), da / dy / f64::from(count), 29);
        }
    }

    #[test]
    fn what_kernels_do_not_take() {
        // The output's step is 2^20 times smaller than the inputs'.
        assert_eq!(add_requant(1.0, 1.0, 1e-7), None);
        assert_eq!(requantize_rescale(1e30, 1e-30), None);
        assert_eq!(mean_rescale(1.0, 1.0, 0), None);
        assert_eq!(log_softmax_rescale(1e-9), None);
    }

    #[test]
    fn a_log_softmax_goes_back_by_the_inverse() {
        let rescale = log_softmax_rescale(0.1).unwrap();
        let to = f64::from(rescale.input.multiplier)
            * f64::powi(2.0, i32::from(rescale.input.shift) - 31);
        assert!((to * factor(rescale.back) - 1.0).abs() < 1e-8);
    }

    #[test]
    fn a_table_saturates() {
        let x = Affine {
            scale: 1.0,
            zero_point: 0,
        };
        let y = Affine {
            scale: 1.0,
            zero_point: 100,
        };
        let table = lookup_table(x, y, |x| x);
        assert_eq!((table[0], table[128], table[255]), (-28, 100, 127));
    }
}
