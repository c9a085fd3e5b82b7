//! 2-d convolution (cross-correlation): y\[o\] = act(b\[o\] + Σ x\[row + i·dilation, column + j·dilation, c\] · W\[i, j, c, o\]).
//!
//! In g groups, the input channels and the output channels are divided into g equal parts, and each output sums over
//! its own part of the inputs. As many groups as inputs is a depthwise convolution; out / in is its multiplier.
//!
//! | | weight | |
//! |---|---|---|
//! | f32, Q16 | `[kernel_h, kernel_w, in / groups, out]` | |
//! | int8 | `[out, kernel_h, kernel_w, in / groups]` | TensorFlow Lite's CONV_2D |
//! | int8, depthwise with more than one input channel | `[1, kernel_h, kernel_w, out]` | its DEPTHWISE_CONV_2D |
//!
//! Padding counts as 0 (int8: as the zero point), so its taps are left out. A sequence `[steps, channels]` is a map of
//! height 1 (see [`conv1d`](super::conv1d)); a layer on `[frames, height, width, channels]` is applied to each frame.

mod backward;
mod forward;
mod int8;
#[cfg(test)]
mod tests;

use backward::Maps;
pub(super) use forward::Layer;
use int8::form;
pub(crate) use int8::{Places, bias as int8_bias, divided, run_backward_at};

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Learns, Operands, Sizes};
use crate::kernels::Requant;
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::dense::run_backward_bias;
use crate::ops::window::{Window, frames_and_map};
use crate::ops::{
    Activation, Check, Facts, Needs, NodeFault, OpSet, Operator, backward_by_dtype, by_scalar,
};
use crate::scalar::{Q16, Scalar};
use crate::tensor::{DType, Quant, Shape, Tensor, TensorId};

/// Parameters of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Conv2d {
    /// f32 or Q16 `[kernel_h, kernel_w, in / groups, out]`; int8 `[out, kernel_h, kernel_w, in / groups]`, depthwise
    /// `[1, kernel_h, kernel_w, out]`.
    pub weight: TensorId,
    /// As the weight; int8: int32. `[out]`.
    pub bias: Option<TensorId>,
    /// int8: int32 `[2, out]`, the multipliers and then the shifts of Σ's rescaling.
    pub requant: Option<TensorId>,
    /// Steps down and right.
    pub stride: [u16; 2],
    /// Cells of padding: top, left, bottom, right; each less than the cells that the kernel spans.
    pub padding: [u8; 4],
    /// Cells from one tap to the next, down and right; 1 for a kernel without gaps.
    pub dilation: [u8; 2],
    /// Parts into which the channels are divided; 1 for an ordinary convolution.
    pub groups: u16,
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

    /// The output's shape for an input that [`frames_and_map`] reads and this weight tensor.
    pub fn output_shape(&self, input: Shape, weight: &Tensor) -> Option<Shape> {
        let step = ConvStep::new(self, input, weight)?;
        step.window.shape_like(&input, u32::from(step.outputs))
    }

    /// `[kernel_h, kernel_w, in / groups, out]` in any layout, for an input of so many channels.
    fn kernel_dims(&self, weight: &Tensor, inputs: u32) -> Option<[u32; 4]> {
        let depthwise = inputs > 1 && u32::from(self.groups) == inputs;
        match (weight.dtype, weight.shape.dims()) {
            (DType::I8, &[1, height, width, out]) if depthwise => Some([height, width, 1, out]),
            (DType::I8, _) if depthwise => None,
            (DType::I8, &[out, height, width, input]) => Some([height, width, input, out]),
            (_, &[height, width, input, out]) => Some([height, width, input, out]),
            _ => None,
        }
    }
}

impl Conv2d {
    /// Checks all rules; `output` tells the output's shape from that of the convolution.
    pub(super) fn check_layer(
        &self,
        check: &Check,
        dtype: DType,
        output: impl FnOnce(Shape) -> Option<Shape>,
    ) -> Result<(), NodeFault> {
        let weight = check.weight(self.weight, dtype)?;
        let (_, [_, _, inputs]) =
            frames_and_map(&check.x.shape).ok_or(NodeFault::Shape(check.x_id))?;
        let fault = NodeFault::Shape(self.weight);
        let [_, _, group, outputs] = self.kernel_dims(&weight, inputs).ok_or(fault)?;
        if self.groups == 0 {
            return Err(NodeFault::Geometry);
        }
        let groups = u32::from(self.groups);
        if group.checked_mul(groups) != Some(inputs) || outputs.checked_rem(groups) != Some(0) {
            return Err(fault);
        }
        let shape = self.output_shape(check.x.shape, &weight).and_then(output);
        check.y_shape(shape.ok_or(NodeFault::Geometry)?)?;
        check.channels(outputs, &weight, self.bias, self.requant, self.activation)
    }
}

impl<K: OpSet> Operator<K> for Conv2d {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        let dtype = check.same_dtype()?;
        self.check_layer(check, dtype, Some)
    }

    fn needs(&self, check: &Check) -> Needs {
        let cells = frames_and_map(&check.x.shape).map_or(0, |(frames, [height, width, _])| {
            // Fits 31 bits, as a factor of a tensor's numbers.
            frames as usize * height as usize * width as usize
        });
        if check.x.dtype == DType::I8 {
            let step = check
                .tensor(self.weight)
                .and_then(|weight| ConvStep::new(self, check.x.shape, &weight));
            return Needs {
                back_scratch: step.map_or(0, |step| step.gradient_bytes()),
                sums: true,
                ..Needs::default()
            };
        }
        let size = match check.x.dtype {
            DType::Q16 => size_of::<<Q16 as Scalar>::Acc>(),
            _ => size_of::<<f32 as Scalar>::Acc>(),
        };
        Needs {
            input_scratch: cells.saturating_mul(size),
            ..Needs::default()
        }
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward = code::<K>(check.x.dtype, &Sizes::None)?;
        let conv = ConvStep::new(self, check.x.shape, &check.tensor(self.weight)?)?;
        let activation = self.activation;
        let sizes = match check.x.dtype {
            DType::I8 => Sizes::ConvI8 {
                conv,
                // Checked when the model was loaded.
                x_zero: check.x.zero_point() as i8,
                y_zero: check.y.zero_point() as i8,
                range: check.range_i8(activation),
                scales: [check.x.scale(), check.y.scale()],
            },
            _ => Sizes::Conv { conv, activation },
        };
        Some((forward, sizes))
    }

    fn macs(&self, check: &Check) -> u64 {
        // Each weight is used once for each output pixel of each frame. All factors fit 31 bits.
        let weights = check.tensor(self.weight).map_or(0, |w| w.elements() as u64);
        weights * u64::from(check.y.shape.rows())
    }
}

/// The function that runs it forward in numbers of this type: where the sizes are known, one without the loops of other
/// forms.
pub(super) const fn code<K: OpSet>(dtype: DType, sizes: &Sizes) -> Option<Forward> {
    match dtype {
        DType::I8 if K::I8 => Some(code_i8(sizes)),
        dtype => by_scalar!(K, dtype, run),
    }
}

/// The function that runs it backward in numbers of this type.
pub(super) const fn backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    backward_by_dtype!(K, dtype, run_backward, int8::run_backward)
}

#[cfg(not(mote_helium))]
const fn code_i8(_: &Sizes) -> Forward {
    run_i8::<{ form::ANY }>
}

#[cfg(mote_helium)]
const fn code_i8(sizes: &Sizes) -> Forward {
    let form = match sizes {
        Sizes::ConvI8 { conv, .. } => conv.form(),
        _ => form::ANY,
    };
    match form {
        form::DEPTHWISE => run_i8::<{ form::DEPTHWISE }>,
        form::WHOLE => run_i8::<{ form::WHOLE }>,
        form::PIECES => run_i8::<{ form::PIECES }>,
        _ => run_i8::<{ form::ANY }>,
    }
}

/// int8 forward outside a session, of an input and a weight tensor of these shapes. None where they fit no layer.
pub fn forward_i8(
    conv: &Conv2d,
    [input, weight_shape]: [Shape; 2],
    (x, weight): (&[i8], &[i8]),
    x_zero: i8,
    requant: &Requant,
    y: &mut [i8],
) -> Option<()> {
    let weight_tensor = Tensor::activation(weight_shape, DType::I8, Quant::None);
    let step = ConvStep::new(conv, input, &weight_tensor)?;
    step.forward_i8::<{ form::ANY }>(x, weight, i32::from(x_zero), requant, y);
    Some(())
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Conv { conv, activation } = &frame.step.sizes else {
        return None;
    };
    let reads = [frame.x(), frame.parameter(0), frame.parameter(1)];
    let ([x, weight, bias], [y]) = memory.borrow(reads, [frame.y()])?;
    let (x, weight, bias) = (numbers(x)?, numbers(weight)?, numbers(bias)?);
    conv.forward::<S>(x, weight, bias, *activation, numbers_mut(y)?);
    Some(())
}

fn run_i8<const FORM: u8>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::ConvI8 {
        conv,
        x_zero,
        y_zero,
        range,
        ..
    } = &frame.step.sizes
    else {
        return None;
    };
    let (x, weight, requant, y) = operands_i8(frame, memory, i32::from(*y_zero), *range)?;
    conv.forward_i8::<FORM>(x, weight, i32::from(*x_zero), &requant, y);
    Some(())
}

/// Input, weights, requantization and output.
type OperandsI8<'m> = (&'m [i8], &'m [i8], Requant<'m>, &'m mut [i8]);

#[cfg_attr(mote_helium, inline(never))] // Stack.
#[cfg_attr(not(mote_helium), inline(always))]
fn operands_i8<'m>(
    frame: &Frame,
    memory: &'m mut Memory,
    y_zero: i32,
    range: [i8; 2],
) -> Option<OperandsI8<'m>> {
    let parameters = [frame.parameter(0), frame.parameter(1), frame.constant(0)];
    let [weight, bias, requant] = parameters;
    let ([x, weight, bias, table], [y]) =
        memory.borrow([frame.x(), weight, bias, requant], [frame.y()])?;
    let (table, bias) = (numbers(table)?, numbers(bias)?);
    let requant = Requant::new(table, bias, y_zero, range);
    Some((numbers(x)?, numbers(weight)?, requant, numbers_mut(y)?))
}

fn run_backward<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    run_backward_weight::<S>(frame, back, learning, memory)?;
    run_backward_bias::<S>(frame, back, learning, memory)
}

#[inline(never)]
fn run_backward_weight<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Conv { conv, .. } = &frame.step.sizes else {
        return None;
    };
    let (reads, writes) = ([back.delta()], [back.values(frame, 0), back.scratch()]);
    let mut operands = learning.borrow::<S>(frame, back, 0, memory, &reads, &writes);
    let Operands {
        weights,
        reads: [delta, ..],
        writes: [x, plane, _],
    } = operands.as_mut()?;
    let mut maps = Maps {
        x: numbers_mut(x)?,
        below: back.slot(0).below,
        delta: numbers(delta)?,
        plane: numbers_mut(plane)?,
    };
    conv.backward(&mut maps, weights);
    Some(())
}

/// A convolution's sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvStep {
    pub(crate) window: Window,
    pub(crate) inputs: u16,
    pub(crate) outputs: u16,
    pub(crate) groups: u16,
}

crate::stored::stored!(ConvStep {
    window: Window,
    inputs: u16,
    outputs: u16,
    groups: u16
});

impl ConvStep {
    pub(crate) fn new(conv: &Conv2d, input: Shape, weight: &Tensor) -> Option<Self> {
        let (_, [height, width, inputs]) = frames_and_map(&input)?;
        let [kernel_h, kernel_w, _, outputs] = conv.kernel_dims(weight, inputs)?;
        let kernel = [u16::try_from(kernel_h).ok()?, u16::try_from(kernel_w).ok()?];
        Some(Self {
            window: Window::new(
                [height, width],
                kernel,
                conv.stride,
                conv.dilation,
                conv.padding,
            )?,
            inputs: u16::try_from(inputs).ok()?,
            outputs: u16::try_from(outputs).ok()?,
            groups: conv.groups,
        })
    }

    #[inline(always)]
    pub(super) fn width(&self) -> usize {
        usize::from(self.window.columns.input)
    }

    #[inline(always)]
    pub(super) fn kernel_width(&self) -> usize {
        usize::from(self.window.columns.kernel)
    }

    /// Numbers of an input map and of an output map, at least 1.
    #[inline(always)]
    pub(super) fn lengths(&self) -> (usize, usize) {
        let x = self.window.inputs() * usize::from(self.inputs);
        let y = self.window.outputs() * usize::from(self.outputs);
        (x.max(1), y.max(1))
    }

    /// Input channels and output channels of a group.
    #[inline(always)]
    pub(super) fn group(&self) -> (usize, usize) {
        let groups = self.groups.max(1);
        let of = |channels: u16| usize::from(channels.checked_div(groups).unwrap_or(0));
        (of(self.inputs), of(self.outputs))
    }

    /// Bytes of the gradient of an output channel's int8 weights.
    pub(crate) fn gradient_bytes(&self) -> usize {
        self.filter().saturating_mul(size_of::<i32>())
    }

    /// Whether nothing lies between the inputs of a row of taps.
    #[inline(always)]
    pub(super) fn is_gapless(&self) -> bool {
        self.groups == 1 && self.window.columns.dilation() == 1
    }

    #[inline(always)]
    pub(crate) const fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.inputs
    }
    /// The input channels of a block of depthwise outputs. (With a multiplier of 1 nobody asks.)
    #[inline(always)]
    fn channels_of<const N: usize>(&self, first: usize, multiplier: usize) -> [usize; N] {
        if multiplier == 1 {
            return [0; N];
        }
        core::array::from_fn(|index| (first + index).checked_div(multiplier).unwrap_or(0))
    }
}
