//! An int8 convolution over packed weights: [`Conv2d`](super::Conv2d) in layout 1 or 2 of the blob, of one group
//! or depthwise, without dilation, with the same outputs, and if wanted the largest of each 2x2 of them.
//!
//! See [`kernels::packed`](crate::kernels::packed) and `docs/int8-kernels.md`.

use serde::{Deserialize, Serialize};

use crate::engine::{Forward, Frame, Sizes};
use crate::kernels::packed::Layout;
use crate::kernels::packed::conv2d::{self, form};
use crate::kernels::part;
use crate::memory::{Memory, Span, numbers, numbers_mut};
use crate::ops::window::{Window, frames_and_map};
use crate::ops::{Activation, Check, Facts, Needs, NodeFault, OpSet, Operator, Output};
use crate::tensor::{DType, Shape, TensorId};

/// Parameters of a packed convolution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PackedConv2d {
    /// The words of [`conv2d::pack`]: int32 in layout 1, their bytes in layout 2.
    pub weight: TensorId,
    /// int32, the table of [`conv2d::pack`].
    pub table: TensorId,
    /// Rows and columns of the kernel.
    pub kernel: [u16; 2],
    /// Steps down and right.
    pub stride: [u16; 2],
    /// Cells of padding: top, left, bottom, right; each less than the kernel.
    pub padding: [u8; 4],
    /// What is applied to the output: none, ReLU or ReLU6.
    pub activation: Activation,
    /// Whether each output channel sees the input channel of its number only.
    pub depthwise: bool,
    /// Whether the largest of each 2x2 outputs is stored, an odd last row or column left out.
    pub pool: bool,
    /// Whether the output may lie over the input: see [`conv2d::Shape::fits_in_place`].
    pub in_place: bool,
}

impl PackedConv2d {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            constants: [Some(self.weight), Some(self.table)],
            output: if self.in_place {
                Output::InPlace
            } else {
                Output::Apart
            },
            ..Facts::PLAIN
        }
    }

    /// The kernel's sizes, for an input that [`frames_and_map`] reads and so many output channels.
    pub fn shape(&self, input: Shape, outputs: u32) -> Option<conv2d::Shape> {
        let (_, [height, width, channels]) = frames_and_map(&input)?;
        let [top, left, ..] = self.padding.map(u16::from);
        let map = [height, width];
        let window = Window::new(map, self.kernel, self.stride, [1, 1], self.padding)?;
        let shape = conv2d::Shape {
            input: [window.rows.input, window.columns.input],
            channels: u16::try_from(channels).ok()?,
            kernel: self.kernel,
            stride: self.stride,
            before: [top, left],
            output: [window.rows.output, window.columns.output],
            outputs: u16::try_from(outputs).ok()?,
            depthwise: self.depthwise,
            pool: self.pool,
        };
        if self.depthwise && shape.channels != shape.outputs {
            return None;
        }
        shape
            .stored()
            .iter()
            .all(|cells| *cells > 0)
            .then_some(shape)
    }

    /// The output's shape.
    pub fn output_shape(&self, input: Shape, outputs: u32) -> Option<Shape> {
        let [height, width] = self.shape(input, outputs)?.stored();
        let channels = outputs as usize;
        match *input.dims() {
            [_, _] if height == 1 => Shape::new(&[width, channels]),
            [_, _, _] => Shape::new(&[height, width, channels]),
            [frames, ..] => Shape::new(&[frames as usize, height, width, channels]),
            _ => None,
        }
    }

    fn of(&self, check: &Check) -> Option<conv2d::Shape> {
        let outputs = check.y.shape.dims().last()?;
        self.shape(check.x.shape, *outputs)
    }
}

impl<K: OpSet> Operator<K> for PackedConv2d {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.x_dtype(DType::I8)?;
        check.same_dtype()?;
        frames_and_map(&check.x.shape).ok_or(NodeFault::Shape(check.x_id))?;
        let shape = self.of(check).ok_or(NodeFault::Geometry)?;
        let wanted = self.output_shape(check.x.shape, u32::from(shape.outputs));
        check.y_shape(wanted.ok_or(NodeFault::Geometry)?)?;
        let frames = frames_and_map(&check.x.shape).map(|(frames, _)| frames);
        if self.in_place && !(frames == Some(1) && shape.fits_in_place()) {
            return Err(NodeFault::Geometry);
        }
        let sizes = shape.sizes(check.layout(self.weight).unwrap_or(Layout::Armv7em));
        check.packed(self.weight, self.table, sizes, self.activation)
    }

    fn needs(&self, check: &Check) -> Needs {
        let shape = self.of(check).zip(check.layout(self.weight));
        let [_, _, scratch] = shape.map_or([0; 3], |(shape, layout)| shape.sizes(layout));
        Needs {
            scratch: scratch.saturating_mul(size_of::<i32>()),
            ..Needs::default()
        }
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let sizes = Sizes::PackedConv {
            layout: check.layout(self.weight)?,
            shape: self.of(check)?,
            // Checked when the model was loaded.
            x_zero: check.x.zero_point() as i8,
            range: check.range_i8(self.activation),
        };
        Some((code::<K>(&Sizes::None)?, sizes))
    }

    fn packed(&self, check: &Check) -> u64 {
        self.of(check).map_or(0, |shape| {
            let inputs = if shape.depthwise { 1 } else { shape.channels };
            let factors = [shape.kernel[0], shape.kernel[1], inputs];
            let weights = factors.iter().fold(1u64, |product, factor| {
                product.saturating_mul(u64::from(*factor))
            });
            weights
                .saturating_add(1)
                .saturating_mul(u64::from(shape.outputs))
        })
    }

    fn macs(&self, check: &Check) -> u64 {
        let frames = frames_and_map(&check.x.shape).map_or(0, |(frames, _)| u64::from(frames));
        self.of(check).map_or(0, |shape| {
            let inputs = if shape.depthwise { 1 } else { shape.channels };
            let factors = [shape.kernel, shape.output, [inputs, shape.outputs]];
            let factors = factors.iter().flatten();
            factors.fold(frames, |macs, factor| {
                macs.saturating_mul(u64::from(*factor))
            })
        })
    }
}

/// The function that runs it forward: where the sizes are known, one without the loops of other forms.
pub(super) const fn code<K: OpSet>(sizes: &Sizes) -> Option<Forward> {
    let form = match sizes {
        Sizes::PackedConv { shape, .. } => shape.form(),
        _ => form::ANY,
    };
    match form {
        _ if !K::I8 => None,
        form::POINTWISE => Some(run::<{ form::POINTWISE }>),
        form::DEPTHWISE => Some(run::<{ form::DEPTHWISE }>),
        form::LINES => Some(run::<{ form::LINES }>),
        form::WHOLE_LINES => Some(run::<{ form::WHOLE_LINES }>),
        _ => Some(run::<{ form::ANY }>),
    }
}

/// A layer with what it runs on.
struct Prepared<'m> {
    layer: conv2d::Layer<'m>,
    /// None where it lies where the output goes.
    x: Option<&'m [i8]>,
    y: &'m mut [i8],
    scratch: &'m mut [i32],
}

/// A function of its own: what it needs of the stack is free again when the layer runs.
#[inline(never)]
fn prepare<'m>(frame: &Frame, memory: &'m mut Memory) -> Option<Prepared<'m>> {
    let in_place = frame.y().overlaps(frame.x());
    let (x, y) = match in_place {
        true => (Span::NOTHING, frame.x()),
        false => (frame.x(), frame.y()),
    };
    let reads = [x, frame.constant(0), frame.constant(1)];
    let ([x, weights, table], [y, scratch]) = memory.borrow(reads, [y, frame.scratch()])?;
    let Sizes::PackedConv {
        layout,
        shape,
        x_zero,
        range,
    } = frame.step.sizes
    else {
        return None;
    };
    let layer = conv2d::Layer {
        layout,
        shape,
        weights: numbers(weights)?,
        table: numbers(table)?,
        x_zero,
        range,
    };
    Some(Prepared {
        layer,
        x: if in_place { None } else { Some(numbers(x)?) },
        y: numbers_mut(y)?,
        scratch: numbers_mut(scratch)?,
    })
}

fn run<const FORM: u8>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let mut prepared = prepare(frame, memory);
    let Prepared {
        layer,
        x,
        y,
        scratch,
    } = prepared.as_mut()?;
    let (x_len, y_len) = layer.shape.lengths();
    let frames = match x {
        Some(x) => x.len() / x_len.max(1),
        // In place there is one.
        None => 1,
    };
    for frame in 0..frames {
        let x = x.map(|x| part(x, frame * x_len, x_len));
        let y = y.get_mut(frame * y_len..).unwrap_or_default();
        conv2d::run::<FORM>(layer, x, scratch, y);
    }
    Some(())
}
