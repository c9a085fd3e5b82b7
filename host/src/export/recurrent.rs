//! Recurrent layers to int8: weights, biases and the table of factors that `nn_core::ops::recurrent::int8` takes.
//!
//! Each gate's W has one scale, and so has its U: the largest weight becomes ±127, as TensorFlow Lite's converter does
//! it for an LSTM. Biases are int32, b of scale input scale · W's scale, b′ of scale output scale · U's scale. A factor
//! is formed as TensorFlow Lite forms it: the product of the two scales in f32, the quotient in f64.

mod states;

pub(super) use states::{States, Walk};

use super::quantization::weight_scale;
use super::{Affine, ExportError, quantize_multiplier};

/// The steps of a gate's sum: 12 fractional bits.
const GATE_STEP: f64 = 1.0 / 4096.0;
/// The steps of a gate or of a hyperbolic tangent: 15 fractional bits.
const FUNCTION_STEP: f64 = 1.0 / 32_768.0;
/// Steps of a sum of a layer with ReLU in one step of its output: sums reach ±1,024 steps of the output, so that two
/// that cancel are held whole.
const RELU_STEPS: f64 = 32.0;

/// The weights of a recurrent layer in f32.
#[derive(Debug, Clone, Copy)]
pub struct RecurrentWeights<'w> {
    /// The layer's name, for messages.
    pub layer: &'w str,
    /// W, `[inputs, gates · units]`.
    pub kernel: &'w [f32],
    /// U, `[units, gates · units]`.
    pub recurrent: &'w [f32],
    /// b, `[gates · units]`.
    pub bias: &'w [f32],
    /// b′, `[gates · units]`, or nothing.
    pub recurrent_bias: &'w [f32],
}

/// A recurrent layer in int8.
#[derive(Debug, Clone, PartialEq)]
pub struct Int8Recurrent {
    /// W, `[gates · units, inputs]`.
    pub kernel: Vec<i8>,
    /// U, `[gates · units, units]`.
    pub recurrent: Vec<i8>,
    /// b, `[gates · units]`.
    pub bias: Vec<i32>,
    /// b′, `[gates · units]`, or nothing.
    pub recurrent_bias: Vec<i32>,
    /// The table of factors.
    pub requant: Vec<i32>,
    /// The quantization of h.
    pub output: Affine,
}

/// What a cell's state is held in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellState {
    /// One step is 2^exponent; −28 to −9.
    pub exponent: i32,
    /// Where the cell is clipped; 0 for nowhere.
    pub clip: f32,
}

impl CellState {
    /// Steps of a power of 2 such that 16 bits hold ±`largest`.
    pub fn covering(largest: f32, clip: f32) -> Self {
        let mut exponent = -28;
        while exponent < -9 && f64::from(largest) > 32_767.0 * f64::exp2(f64::from(exponent)) {
            exponent += 1;
        }
        Self { exponent, clip }
    }

    /// The clip in steps, cut off as TensorFlow Lite does.
    fn steps(self) -> i32 {
        let steps = f64::from(self.clip) / f64::exp2(f64::from(self.exponent));
        // Clamped to 15 bits.
        steps.clamp(0.0, 32_767.0) as i32
    }
}

/// The factors of an LSTM, from the scales of its input, its output, and each gate's W and U (i, f, g, o).
pub fn lstm_requant(
    input_scale: f32,
    output_scale: f32,
    scales: [[f32; 2]; 4],
    cell: CellState,
) -> Vec<i32> {
    let mut table = gate_factors(input_scale, output_scale, &scales, GATE_STEP);
    push(
        &mut table,
        FUNCTION_STEP * FUNCTION_STEP / f64::from(output_scale),
    );
    table.extend([cell.exponent, cell.steps()]);
    table
}

/// An LSTM, gates in the order i, f, g, o. `cell` says how far its cell goes.
///
/// # Errors
/// A gate whose sums could overflow 32 bits.
pub fn quantize_lstm(
    weights: RecurrentWeights<'_>,
    input: Affine,
    output: Affine,
    cell: CellState,
) -> Result<Int8Recurrent, ExportError> {
    let (mut layer, scales) = quantize(weights, 4, input, output, GATE_STEP)?;
    let [i, f, g, o] = [0, 1, 2, 3].map(|gate| scales[gate]);
    layer.requant = lstm_requant(input.scale, output.scale, [i, f, g, o], cell);
    Ok(layer)
}

/// A GRU that resets after the product, gates in the order r, z, n.
///
/// # Errors
/// A gate whose sums could overflow 32 bits.
pub fn quantize_gru(
    weights: RecurrentWeights<'_>,
    input: Affine,
    output: Affine,
) -> Result<Int8Recurrent, ExportError> {
    let (mut layer, scales) = quantize(weights, 3, input, output, GATE_STEP)?;
    layer.requant = gate_factors(input.scale, output.scale, &scales, GATE_STEP);
    push(&mut layer.requant, FUNCTION_STEP / f64::from(output.scale));
    Ok(layer)
}

/// A simple recurrent layer with tanh, or with ReLU.
///
/// # Errors
/// Sums that could overflow 32 bits.
pub fn quantize_rnn(
    weights: RecurrentWeights<'_>,
    input: Affine,
    output: Affine,
    relu: bool,
) -> Result<Int8Recurrent, ExportError> {
    let (step, factor) = match relu {
        true => (f64::from(output.scale) / RELU_STEPS, 1.0 / RELU_STEPS),
        false => (GATE_STEP, FUNCTION_STEP / f64::from(output.scale)),
    };
    let (mut layer, scales) = quantize(weights, 1, input, output, step)?;
    layer.requant = gate_factors(input.scale, output.scale, &scales, step);
    push(&mut layer.requant, factor);
    Ok(layer)
}

fn push(table: &mut Vec<i32>, factor: f64) {
    let (multiplier, shift) = quantize_multiplier(factor);
    table.extend([multiplier, shift]);
}

/// The factor of a sum of products of numbers of these scales.
fn product_factor(scale: f32, weight_scale: f32, step: f64) -> f64 {
    f64::from(scale * weight_scale) / step
}

fn gate_factors(input: f32, output: f32, scales: &[[f32; 2]], step: f64) -> Vec<i32> {
    let mut table = Vec::new();
    for &[w, u] in scales {
        push(&mut table, product_factor(input, w, step));
        push(&mut table, product_factor(output, u, step));
    }
    table
}

/// A layer without its table, and the scales of W and U of each gate.
fn quantize(
    weights: RecurrentWeights<'_>,
    gates: usize,
    input: Affine,
    output: Affine,
    step: f64,
) -> Result<(Int8Recurrent, Vec<[f32; 2]>), ExportError> {
    let columns = weights.bias.len();
    let units = columns / gates;
    let mut layer = Int8Recurrent {
        kernel: Vec::with_capacity(weights.kernel.len()),
        recurrent: Vec::with_capacity(weights.recurrent.len()),
        bias: Vec::with_capacity(columns),
        recurrent_bias: Vec::with_capacity(weights.recurrent_bias.len()),
        requant: Vec::new(),
        output,
    };
    let mut scales = Vec::with_capacity(gates);
    for gate in 0..gates {
        let part = |values: &[f32],
                    scale: f32,
                    to: &mut Vec<i8>,
                    biases: &[f32],
                    to_bias: &mut Vec<i32>| {
            let range = gate * units..(gate + 1) * units;
            let biases = biases.get(range.clone()).unwrap_or(&[]);
            let rows: Vec<Vec<f32>> = range
                .map(|column| transposed(values, columns, column))
                .collect();
            let all: Vec<f32> = rows.concat();
            let largest = biases.iter().fold(0.0f32, |max, bias| max.max(bias.abs()));
            let weight_scale = weight_scale(&all, f64::from(largest), f64::from(scale), 1.0);
            let unit = f64::from(scale) * f64::from(weight_scale);
            let (_, shift) = quantize_multiplier(product_factor(scale, weight_scale, step));
            for (unit_index, row) in rows.iter().enumerate() {
                // Clamped to 8 bits.
                let row = row.iter().map(|&weight| {
                    (f64::from(weight) / f64::from(weight_scale))
                        .round()
                        .clamp(-127.0, 127.0) as i8
                });
                let first = to.len();
                to.extend(row);
                let bias = biases
                    .get(unit_index)
                    .map(|&bias| (f64::from(bias) / unit).round());
                let magnitudes = to[first..]
                    .iter()
                    .map(|weight| f64::from(weight.unsigned_abs()));
                // The largest sum there can be, shifted as the kernel shifts it.
                let bound = (255.0 * magnitudes.sum::<f64>() + bias.unwrap_or(0.0).abs())
                    * f64::exp2(f64::from(shift.max(0)));
                if shift > 30 || bound > f64::from(i32::MAX) {
                    return Err(ExportError::Accumulator {
                        layer: weights.layer.to_owned(),
                        channel: gate * units + unit_index,
                    });
                }
                // Within 2^31 by the bound.
                to_bias.extend(bias.map(|bias| bias as i32));
            }
            Ok(weight_scale)
        };
        let w = part(
            weights.kernel,
            input.scale,
            &mut layer.kernel,
            weights.bias,
            &mut layer.bias,
        )?;
        let u = part(
            weights.recurrent,
            output.scale,
            &mut layer.recurrent,
            weights.recurrent_bias,
            &mut layer.recurrent_bias,
        )?;
        scales.push([w, u]);
    }
    Ok((layer, scales))
}

/// A column of a matrix of so many columns.
fn transposed(values: &[f32], columns: usize, column: usize) -> Vec<f32> {
    values
        .iter()
        .skip(column)
        .step_by(columns.max(1))
        .copied()
        .collect()
}
