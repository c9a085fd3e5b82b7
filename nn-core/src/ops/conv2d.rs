//! 2-d convolution (cross-correlation): y\[o\] = act(b\[o\] + Σ x\[row + i, column + j, c\] · W\[i, j, c, o\]).
//!
//! f32: `W` is `[kernel_h, kernel_w, in, out]`. int8: `W` is `[out, kernel_h, kernel_w, in]`, after the TensorFlow
//! Lite int8 specification for CONV_2D. Padding counts as 0 (int8: as the zero point), so its taps are left out.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Learns, Sizes};
use crate::kernels::{self, Requant};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::dense::Weights;
use crate::ops::window::Window;
use crate::ops::{Activation, Check, Facts, Needs, NodeFault, OpSet, Operator, by_scalar};
use crate::scalar::Scalar;
use crate::tensor::{DType, Shape, Tensor, TensorId};
use crate::train::Update;

/// Parameters of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Conv2d {
    /// f32 `[kernel_h, kernel_w, in, out]` or int8 `[out, kernel_h, kernel_w, in]`.
    pub weight: TensorId,
    /// f32 or int32 `[out]`.
    pub bias: Option<TensorId>,
    /// int8: int32 `[2, out]`, the multipliers and then the shifts of Σ's rescaling.
    pub requant: Option<TensorId>,
    /// Steps down and right.
    pub stride: [u8; 2],
    /// Cells of padding: top, left, bottom, right; each less than the kernel.
    pub padding: [u8; 4],
    /// What is applied to the output.
    pub activation: Activation,
}

impl Conv2d {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            parameters: [Some(self.weight), self.bias, None, None],
            biases: 1 << 1,
            constants: [self.requant, None],
            activation: self.activation,
            ..Facts::PLAIN
        }
    }
}

impl<K: OpSet> Operator<K> for Conv2d {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        let dtype = check.same_dtype()?;
        let weight = check.weight(self.weight, dtype)?;
        check.x.shape.as_map().ok_or(NodeFault::Shape(check.x_id))?;
        let dims = kernel_dims(&weight).ok_or(NodeFault::Shape(self.weight))?;
        if Some(dims[2]) != check.x.shape.as_map().map(|[_, _, channels]| channels) {
            return Err(NodeFault::Shape(self.weight));
        }
        let step = ConvStep::new(self, check.x.shape, &weight).ok_or(NodeFault::Geometry)?;
        check.y_shape(Shape::map(
            u32::from(step.window.rows.output),
            u32::from(step.window.columns.output),
            dims[3],
        ))?;
        check.channels(dims[3], &weight, self.bias, self.requant, self.activation)
    }

    fn needs(&self, check: &Check) -> Needs {
        let plane = check.x.shape.as_map();
        let plane = plane.map_or(0, |[height, width, _]| height as usize * width as usize);
        Needs {
            input_scratch: plane * size_of::<f32>(),
            ..Needs::default()
        }
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward = match check.x.dtype {
            DType::I8 if K::I8 => run_i8 as Forward,
            dtype => by_scalar!(K, dtype, run)?,
        };
        let sizes = Sizes::Conv {
            conv: ConvStep::new(self, check.x.shape, &check.tensor(self.weight)?)?,
            activation: self.activation,
            // Checked when the model was loaded.
            x_zero: check.x.zero_point() as i8,
            y_zero: check.y.zero_point() as i8,
            range: check.range_i8(self.activation),
        };
        Some((forward, sizes))
    }

    fn gradient(&self, check: &Check) -> Option<Backward> {
        by_scalar!(K, check.x.dtype, run_backward)
    }

    fn macs(&self, check: &Check) -> u64 {
        let weights = check.tensor(self.weight).map_or(0, |w| w.elements() as u64);
        let pixels = check.y.shape.as_map();
        weights * pixels.map_or(0, |[height, width, _]| u64::from(height) * u64::from(width))
    }
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Conv {
        conv, activation, ..
    } = frame.step.sizes
    else {
        return None;
    };
    let reads = [frame.x(), frame.parameter(0), frame.parameter(1)];
    let ([x, weight, bias], [y]) = memory.borrow(reads, [frame.y()])?;
    let (x, weight, bias) = (numbers(x)?, numbers(weight)?, numbers(bias)?);
    conv.forward::<S>(x, weight, bias, activation, numbers_mut(y)?);
    Some(())
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Conv {
        conv,
        x_zero,
        y_zero,
        range,
        ..
    } = frame.step.sizes
    else {
        return None;
    };
    let parameters = [frame.parameter(0), frame.parameter(1), frame.constant(0)];
    let [weight, bias, requant] = parameters;
    let ([x, weight, bias, table], [y]) =
        memory.borrow([frame.x(), weight, bias, requant], [frame.y()])?;
    let (table, bias) = (numbers(table)?, numbers(bias)?);
    let requant = Requant::new(table, bias, i32::from(y_zero), range);
    let (x, weight) = (numbers(x)?, numbers(weight)?);
    conv.forward_i8(x, weight, i32::from(x_zero), &requant, numbers_mut(y)?);
    Some(())
}

fn run_backward<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Conv { conv, .. } = frame.step.sizes else {
        return None;
    };
    let weight = learning.parameter(frame, back, 0);
    let [w, a, b, c] = weight.learning;
    let x = back.values(frame, 0);
    let reads = [back.delta(), weight.frozen];
    let writes = [x, back.scratch(), w, a, b, c];
    let ([delta, frozen], [x, plane, w, a, b, c]) = memory.borrow(reads, writes)?;
    let weights = learning.weights::<S>(frozen, [w, a, b, c])?;
    let (x, plane) = (numbers_mut(x)?, numbers_mut(plane)?);
    conv.backward(x, back.slot(0).below, weights, numbers(delta)?, plane);
    let bias = learning.parameter(frame, back, 1);
    if bias.learns() {
        let ([delta], bias) = memory.borrow([back.delta()], bias.learning)?;
        if let Weights::Learning(bias) = learning.weights::<S>(&[], bias)? {
            conv.backward_bias(bias, numbers(delta)?);
        }
    }
    Some(())
}

impl Conv2d {
    /// The output's shape for an input of `[height, width, channels]` and this weight tensor.
    pub fn output_shape(&self, input: Shape, weight: &Tensor) -> Option<Shape> {
        let step = ConvStep::new(self, input, weight)?;
        Some(Shape::map(
            u32::from(step.window.rows.output),
            u32::from(step.window.columns.output),
            u32::from(step.outputs),
        ))
    }
}

/// `[kernel_h, kernel_w, in, out]` in either layout.
fn kernel_dims(weight: &Tensor) -> Option<[u32; 4]> {
    match (weight.dtype, weight.shape.dims()) {
        (DType::I8, &[out, height, width, input]) => Some([height, width, input, out]),
        (_, &[height, width, input, out]) => Some([height, width, input, out]),
        _ => None,
    }
}

/// A convolution's sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvStep {
    pub(crate) window: Window,
    pub(crate) inputs: u16,
    pub(crate) outputs: u16,
}

impl ConvStep {
    pub(crate) fn new(conv: &Conv2d, input: Shape, weight: &Tensor) -> Option<Self> {
        let [height, width, _] = input.as_map()?;
        let [kernel_h, kernel_w, inputs, outputs] = kernel_dims(weight)?;
        let kernel = [u8::try_from(kernel_h).ok()?, u8::try_from(kernel_w).ok()?];
        Some(Self {
            window: Window::new([height, width], kernel, conv.stride, conv.padding)?,
            inputs: u16::try_from(inputs).ok()?,
            outputs: u16::try_from(outputs).ok()?,
        })
    }

    fn width(&self) -> usize {
        usize::from(self.window.columns.input)
    }

    fn kernel_width(&self) -> usize {
        usize::from(self.window.columns.kernel)
    }

    /// f32 (or fixed-point) forward.
    ///
    /// Each y sums its bias and then the products in the order of kernel row, kernel column, input channel.
    pub(crate) fn forward<S: Scalar>(
        &self,
        x: &[S],
        weight: &[S],
        bias: &[S],
        activation: Activation,
        y: &mut [S],
    ) {
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let mut pixels = y.chunks_exact_mut(outputs.max(1));
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(pixel) = pixels.next() else { return };
                for (block, out) in pixel.chunks_mut(kernels::BLOCK).enumerate() {
                    let first = block * kernels::BLOCK;
                    let mut sums = kernels::start(bias, first);
                    for tap in 0..rows.len {
                        let x_at = (rows.input + tap) * self.width() + columns.input;
                        let w_at = (rows.tap + tap) * self.kernel_width() + columns.tap;
                        let run = columns.len * inputs;
                        let x = kernels::part(x, x_at * inputs, run);
                        let w = kernels::part(weight, w_at * inputs * outputs, run * outputs);
                        kernels::accumulate(x, w, outputs, first, &mut sums);
                    }
                    for (out, sum) in out.iter_mut().zip(sums) {
                        *out = activation.apply(S::narrow(sum));
                    }
                }
            }
        }
    }

    /// int8 forward.
    pub(crate) fn forward_i8(
        &self,
        x: &[i8],
        weight: &[i8],
        x_zero: i32,
        requant: &Requant,
        y: &mut [i8],
    ) {
        const ROWS: usize = kernels::ROWS_I8;
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let filter = usize::from(self.window.rows.kernel) * self.kernel_width() * inputs;
        let mut pixels = y.chunks_exact_mut(outputs.max(1));
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(pixel) = pixels.next() else { return };
                let run = columns.len * inputs;
                for (block, out) in pixel.chunks_mut(ROWS).enumerate() {
                    let first = block * ROWS;
                    let mut sums = requant.biases(first);
                    for tap in 0..rows.len {
                        let x_at = (rows.input + tap) * self.width() + columns.input;
                        let w_at = (rows.tap + tap) * self.kernel_width() + columns.tap;
                        let x = kernels::part(x, x_at * inputs, run);
                        let filters = core::array::from_fn(|index| {
                            // Past the last channel the part is empty.
                            kernels::part(weight, (first + index) * filter + w_at * inputs, run)
                        });
                        kernels::dot_rows_i8(x, filters, x_zero, &mut sums);
                    }
                    for (index, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
                        *out = requant.apply(first + index, sum);
                    }
                }
            }
        }
    }

    /// Backward and update in place, one input channel after the other.
    ///
    /// For channel c: `plane` collects δx\[.., c\] with the weights from before the update (output pixels in order,
    /// for each the taps in order, for each Σ over o); then W\[i, j, c, ..\] learns from Σ x·δ (output pixels in
    /// order); then x\[.., c\] is overwritten by `plane` times the derivative of `below`.
    /// `plane` holds input height x width numbers and is not touched without `below`.
    pub(crate) fn backward<S: Scalar>(
        &self,
        x: &mut [S],
        below: Option<Activation>,
        mut weight: Weights<'_, S>,
        delta: &[S],
        plane: &mut [S],
    ) {
        let inputs = usize::from(self.inputs);
        for channel in 0..inputs {
            if below.is_some() {
                plane.fill(S::ZERO);
                self.input_gradient(channel, &weight, delta, plane);
            }
            if let Weights::Learning(weight) = &mut weight {
                self.update_channel(channel, x, delta, weight);
            }
            if let Some(below) = below {
                let cells = x.iter_mut().skip(channel).step_by(inputs);
                for (x, gradient) in cells.zip(plane.iter()) {
                    *x = below.derivative(*gradient, *x);
                }
            }
        }
    }

    /// The bias learns from Σ δ over the output pixels, in order.
    pub(crate) fn backward_bias<S: Scalar>(&self, mut bias: Update<'_, S>, delta: &[S]) {
        let outputs = usize::from(self.outputs);
        for first in (0..outputs).step_by(kernels::BLOCK) {
            let mut sums = [S::ZERO_ACC; kernels::BLOCK];
            for pixel in delta.chunks_exact(outputs.max(1)) {
                let part = pixel.get(first..).unwrap_or(&[]);
                for (sum, delta) in sums.iter_mut().zip(part) {
                    *sum = S::add_acc(*sum, *delta);
                }
            }
            let len = (outputs - first).min(kernels::BLOCK);
            bias.step(first, sums.get(..len).unwrap_or(&[]));
        }
    }

    fn input_gradient<S: Scalar>(
        &self,
        channel: usize,
        weight: &Weights<'_, S>,
        delta: &[S],
        plane: &mut [S],
    ) {
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let mut pixels = delta.chunks_exact(outputs.max(1));
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(delta) = pixels.next() else { return };
                if delta.iter().all(|&d| d == S::ZERO) {
                    continue;
                }
                for tap in 0..rows.len {
                    let x_at = (rows.input + tap) * self.width() + columns.input;
                    let w_at = (rows.tap + tap) * self.kernel_width() + columns.tap;
                    let Some(cells) = plane.get_mut(x_at..x_at + columns.len) else {
                        return;
                    };
                    for (index, cell) in cells.iter_mut().enumerate() {
                        let at = ((w_at + index) * inputs + channel) * outputs;
                        let row = match weight {
                            Weights::Frozen(weight) => kernels::part(weight, at, outputs),
                            Weights::Learning(weight) => weight.values(at, outputs),
                        };
                        *cell = cell.add(S::narrow(kernels::dot(row, delta)));
                    }
                }
            }
        }
    }

    fn update_channel<S: Scalar>(
        &self,
        channel: usize,
        x: &[S],
        delta: &[S],
        weight: &mut Update<'_, S>,
    ) {
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let row_len = usize::from(self.window.columns.output);
        for kernel_row in 0..usize::from(self.window.rows.kernel) {
            for kernel_column in 0..self.kernel_width() {
                let at = ((kernel_row * self.kernel_width() + kernel_column) * inputs + channel)
                    * outputs;
                for first in (0..outputs).step_by(kernels::BLOCK) {
                    let mut sums = [S::ZERO_ACC; kernels::BLOCK];
                    for row in 0..usize::from(self.window.rows.output) {
                        let Some(x_row) = self.window.rows.taps(row).cell(kernel_row) else {
                            continue;
                        };
                        for column in 0..row_len {
                            let taps = self.window.columns.taps(column);
                            let Some(x_column) = taps.cell(kernel_column) else {
                                continue;
                            };
                            let cell = (x_row * self.width() + x_column) * inputs + channel;
                            let x = x.get(cell).copied().unwrap_or(S::ZERO);
                            let pixel = (row * row_len + column) * outputs;
                            let delta = kernels::part(
                                delta,
                                pixel + first,
                                (outputs - first).min(kernels::BLOCK),
                            );
                            for (sum, delta) in sums.iter_mut().zip(delta) {
                                *sum = S::mul_acc(*sum, x, *delta);
                            }
                        }
                    }
                    let len = (outputs - first).min(kernels::BLOCK);
                    weight.step(at + first, sums.get(..len).unwrap_or(&[]));
                }
            }
        }
    }
}

impl crate::ops::window::Taps {
    /// The input cell under kernel tap `tap`, where that is no padding.
    fn cell(&self, tap: usize) -> Option<usize> {
        let offset = tap.checked_sub(self.tap)?;
        (offset < self.len).then_some(self.input + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vertical_edges_of_a_6x6_image() {
        // Left half 10, right half 0, the kernel 1 0 −1 on each row: 0 30 30 0.
        let image: std::vec::Vec<f32> = (0..36)
            .map(|i| if i % 6 < 3 { 10.0 } else { 0.0 })
            .collect();
        let kernel = [1.0, 0.0, -1.0].repeat(3);
        let step = ConvStep {
            window: Window::new([6, 6], [3, 3], [1, 1], [0; 4]).unwrap(),
            inputs: 1,
            outputs: 1,
        };
        let mut y = [0.0; 16];
        step.forward(&image, &kernel, &[], Activation::None, &mut y);
        assert_eq!(y, [0.0, 30.0, 30.0, 0.0].repeat(4)[..]);
    }
}
