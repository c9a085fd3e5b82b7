//! Real numbers to int8, after the TensorFlow Lite int8 specification.
//!
//! Activations: real = scale · (q − zero_point), q in −128..=127, one scale a tensor.
//! Weights: real = scale · q, q in −127..=127, one scale an output channel.
//! Biases: int32, of scale input scale · weight scale.

pub mod operators;

use nn_core::fixed_point::InputRescale;
use nn_core::ops::Activation;
use nn_core::tensor::{Quant, Tensor};

use super::{ExportError, Int8Layer, Range};

/// Largest magnitude of a quantized bias: leaves the sum of products as much room again.
const LARGEST_BIAS: f64 = (1 << 30) as f64;
/// Largest radius that a blob holds. Differences of int8 never exceed 255, so none is lost.
const LARGEST_RADIUS: f64 = (1 << 16) as f64;

/// The quantization of an activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// The real value of one step; finite and positive.
    pub scale: f32,
    /// The integer that stands for 0, −128 to 127.
    pub zero_point: i32,
}

impl Affine {
    /// An image's pixels, x = pixel / 255: q = pixel − 128.
    pub const PIXELS: Self = Self {
        scale: 1.0 / 255.0,
        zero_point: -128,
    };

    /// Covers `range`, widened to hold 0, which becomes an integer exactly.
    ///
    /// Source: Jacob et al. 2018, section 3; the zero point as TensorFlow's
    /// `quantization_utils` nudges it.
    pub fn covering(range: Range) -> Self {
        let (min, max) = (f64::from(range.min.min(0.0)), f64::from(range.max.max(0.0)));
        // Narrower ranges would have a scale of 0 or below what f32 holds exactly.
        let scale = (max - min) / 255.0;
        if scale < f64::from(f32::MIN_POSITIVE) {
            return Self {
                scale: 1.0,
                zero_point: 0,
            };
        }
        // Of the two ends' zero points, the one whose sum has the smaller rounding error.
        let (from_min, from_max) = (-128.0 - min / scale, 127.0 - max / scale);
        let error_min = 128.0 + (min / scale).abs();
        let error_max = 127.0 + (max / scale).abs();
        let zero_point = if error_min < error_max {
            from_min
        } else {
            from_max
        };
        Self {
            scale: scale as f32,
            // Within −128..=127 after the clamp.
            zero_point: zero_point.round().clamp(-128.0, 127.0) as i32,
        }
    }

    /// That of an int8 tensor.
    pub(super) fn of(tensor: &Tensor) -> Self {
        Self {
            scale: tensor.scale(),
            zero_point: tensor.zero_point(),
        }
    }

    /// As a blob says it.
    pub fn quant(self) -> Quant {
        Quant::PerTensor {
            scale: self.scale,
            zero_point: self.zero_point,
        }
    }
}

/// `value` as mantissa in [1/2, 1) and exponent of 2, for a finite value above 0.
fn frexp(value: f64) -> (f64, i32) {
    // A subnormal is scaled up by 2^54 first.
    let (value, subnormal) = if value < f64::MIN_POSITIVE {
        (value * (1u64 << 54) as f64, 54)
    } else {
        (value, 0)
    };
    let bits = value.to_bits();
    // 11 bits.
    let exponent = ((bits >> 52) & 0x7FF) as i32;
    let mantissa = f64::from_bits((bits & !(0x7FF << 52)) | (1022 << 52));
    (mantissa, exponent - 1022 - subnormal)
}

/// A factor of at least 0 as `multiplier` · 2^(`shift` − 31): `multiplier` in [2³⁰, 2³¹) or 0,
/// `shift` at least −31. A blob holds shifts up to 30.
///
/// Source: TensorFlow Lite, `QuantizeMultiplier` in `kernels/internal/quantization_util.cc`.
///
/// ```
/// assert_eq!(host::export::quantize_multiplier(0.75), (0x6000_0000, 0));
/// ```
pub fn quantize_multiplier(factor: f64) -> (i32, i32) {
    if factor <= 0.0 {
        return (0, 0);
    }
    let (mantissa, mut shift) = frexp(factor);
    // At most 2^31, exact in 64 bits.
    let mut multiplier = (mantissa * (1u64 << 31) as f64).round() as i64;
    if multiplier == 1 << 31 {
        multiplier /= 2;
        shift += 1;
    }
    if shift < -31 {
        return (0, 0);
    }
    // Below 2^31 after the step above.
    (multiplier as i32, shift)
}

/// How an int8 softmax (5 `integer_bits`), sigmoid or tanh (4) takes an input of `scale`; `None`
/// where its kernel cannot.
///
/// Source: TensorFlow Lite, `PreprocessSoftmaxScaling` (beta 1) and `CalculateInputRadius`.
pub fn input_rescale(scale: f32, integer_bits: u32) -> Option<InputRescale> {
    let unit = f64::from(1u32 << (31 - integer_bits));
    let factor = (f64::from(scale) * unit).min(f64::from(i32::MAX));
    let (multiplier, shift) = quantize_multiplier(factor);
    if multiplier == 0 || !(0..=30).contains(&shift) {
        return None;
    }
    let largest = f64::from((1u32 << integer_bits) - 1);
    let radius = (largest * unit / f64::from(1u32 << shift)).floor();
    Some(InputRescale {
        multiplier,
        // 0 to 30.
        shift: shift as i8,
        radius: radius.min(LARGEST_RADIUS) as i32,
    })
}

/// Weights and biases of one layer in f32.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters<'p> {
    /// The layer's name, for messages.
    pub(super) layer: &'p str,
    /// Output channel first.
    pub(super) weight: &'p [f32],
    /// The shape of `weight`.
    pub(super) shape: &'p [usize],
    /// One for each output channel.
    pub(super) bias: &'p [f32],
    /// How many times its weights a channel's range is.
    pub(super) room: f32,
}

/// A dense layer or convolution in int8.
pub(super) fn quantize_layer(
    parameters: Parameters<'_>,
    input: Affine,
    output: Affine,
    activation: Activation,
) -> Result<Int8Layer, ExportError> {
    let Parameters {
        layer,
        weight,
        shape,
        bias,
        room,
    } = parameters;
    let taps = weight.len() / bias.len().max(1);
    let mut quantized = Int8Layer {
        weight: Vec::with_capacity(weight.len()),
        shape: shape.to_vec(),
        scales: Vec::with_capacity(bias.len()),
        bias: Vec::with_capacity(bias.len()),
        multipliers: Vec::with_capacity(bias.len()),
        shifts: Vec::with_capacity(bias.len()),
        output: output.quant(),
        activation,
    };
    let input_scale = f64::from(input.scale);
    for (channel, (row, &bias)) in weight.chunks_exact(taps.max(1)).zip(bias).enumerate() {
        let scale = weight_scale(row, f64::from(bias), input_scale, room);
        let weights = row.iter().map(|&weight| {
            let steps = (f64::from(weight) / f64::from(scale)).round();
            // Clamped to 8 bits.
            steps.clamp(-127.0, 127.0) as i8
        });
        let first = quantized.weight.len();
        quantized.weight.extend(weights);
        let steps = (f64::from(bias) / (input_scale * f64::from(scale))).round();
        let (multiplier, shift) =
            quantize_multiplier(input_scale * f64::from(scale) / f64::from(output.scale));

        let magnitudes: f64 = quantized.weight[first..]
            .iter()
            .map(|weight| f64::from(weight.unsigned_abs()))
            .sum();
        // The largest sum there can be, shifted as the requantization shifts it.
        let bound = (255.0 * magnitudes + steps.abs()) * f64::powi(2.0, shift.max(0));
        if shift > 30 || bound > f64::from(i32::MAX) {
            let layer = layer.to_owned();
            return Err(ExportError::Accumulator { layer, channel });
        }
        quantized.scales.push(scale);
        // Within 2^31 by the bound.
        quantized.bias.push(steps as i32);
        quantized.multipliers.push(multiplier);
        quantized.shifts.push(shift);
    }
    Ok(quantized)
}

/// The scale of one output channel: its largest weight, `room` times, becomes ±127.
///
/// A channel of tiny weights and a large bias gets a larger scale, so that its bias fits; its
/// weights lose bits that its output would not show.
pub(super) fn weight_scale(row: &[f32], bias: f64, input_scale: f64, room: f32) -> f32 {
    let largest = row.iter().fold(0.0, |max: f32, w| max.max(w.abs()));
    let for_weights = f64::from(largest) * f64::from(room) / 127.0;
    let for_bias = bias.abs() / input_scale / LARGEST_BIAS;
    let scale = for_weights.max(for_bias) as f32;
    // A channel of zeros may have any scale.
    if scale >= f32::MIN_POSITIVE {
        scale
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests;
