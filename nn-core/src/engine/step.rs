//! A node, resolved: all that running it takes, without looking at the graph again.

use crate::fixed_point::InputRescale;
use crate::memory::{Plan, Span};
use crate::model::{Model, Node};
use crate::ops::conv2d::ConvStep;
use crate::ops::window::PoolStep;
use crate::ops::{Activation, Op};
use crate::tensor::{DType, Source, TensorId};

/// A parameter in flash (an offset into the weights section) or in RAM (into the shared memory).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    offset: u32,
    len: u32,
}

impl Place {
    const RAM: u32 = 1 << 31;

    pub(crate) fn len(self) -> u32 {
        self.len
    }

    pub(crate) fn flash(offset: u32, len: u32) -> Self {
        Self { offset, len }
    }

    pub(crate) fn ram(span: Span) -> Self {
        Self {
            offset: span.offset | Self::RAM,
            len: span.len,
        }
    }

    /// The span to borrow from the memory; empty for a parameter in flash.
    #[inline]
    pub(crate) fn in_ram(self) -> Span {
        if self.offset & Self::RAM == 0 {
            Span::default()
        } else {
            Span {
                offset: self.offset & !Self::RAM,
                len: self.len,
            }
        }
    }

    /// The parameter's bytes: `ram`, or a part of the weights section.
    #[inline]
    pub(crate) fn resolve<'p>(self, ram: &'p mut [u8], weights: &'p [u8]) -> Option<&'p [u8]> {
        if self.offset & Self::RAM == 0 {
            let start = self.offset as usize;
            weights.get(start..start.checked_add(self.len as usize)?)
        } else {
            Some(ram)
        }
    }
}

/// Parameters of a dense layer or a convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer {
    pub(crate) weight: Place,
    pub(crate) bias: Place,
    pub(crate) requant: Place,
    pub(crate) x_zero: i8,
    pub(crate) y_zero: i8,
    pub(crate) int8: bool,
    pub(crate) activation: Activation,
}

/// What a step computes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kernel {
    Dense(Layer),
    Conv2d(Layer, ConvStep),
    MaxPool(PoolStep),
    MaxPoolI8(PoolStep),
    AvgPool(PoolStep),
    AvgPoolI8(PoolStep),
    Flatten,
    Relu,
    ReluI8 { zero: i8 },
    Sigmoid,
    SigmoidI8 { zero: i8, rescale: InputRescale },
    Tanh,
    TanhI8 { zero: i8, rescale: InputRescale },
    Softmax,
    SoftmaxI8 { rescale: InputRescale },
    Quantize { scale: f32, zero: i8 },
    Dequantize { scale: f32, zero: i8 },
}

/// One node, ready to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) x: Span,
    pub(crate) y: Span,
    pub(crate) kernel: Kernel,
}

impl Step {
    /// What a table of steps is filled with before each is resolved.
    pub(crate) const NOTHING: Self = Self {
        x: Span { offset: 0, len: 0 },
        y: Span { offset: 0, len: 0 },
        kernel: Kernel::Flatten,
    };

    pub(crate) fn new(model: &Model, plan: &Plan, base: u32, node: &Node) -> Option<Self> {
        let x_id = node.inputs.first()?;
        let x = model.tensor(x_id)?;
        let y = model.tensor(node.output)?;
        let int8 = x.dtype == DType::I8;
        // Checked when the model was loaded.
        let x_zero = x.zero_point() as i8;
        let layer = |weight, bias, requant, activation| {
            Some(Layer {
                weight: place(model, Some(weight))?,
                bias: place(model, bias)?,
                requant: place(model, requant)?,
                x_zero,
                y_zero: y.zero_point() as i8,
                int8,
                activation,
            })
        };
        let kernel = match node.op {
            Op::Dense(d) => Kernel::Dense(layer(d.weight, d.bias, d.requant, d.activation)?),
            Op::Conv2d(c) => Kernel::Conv2d(
                layer(c.weight, c.bias, c.requant, c.activation)?,
                ConvStep::new(&c, x.shape, &model.tensor(c.weight)?)?,
            ),
            Op::MaxPool2d(pool) if int8 => Kernel::MaxPoolI8(PoolStep::new(&pool, x.shape)?),
            Op::MaxPool2d(pool) => Kernel::MaxPool(PoolStep::new(&pool, x.shape)?),
            Op::AvgPool2d(pool) if int8 => Kernel::AvgPoolI8(PoolStep::new(&pool, x.shape)?),
            Op::AvgPool2d(pool) => Kernel::AvgPool(PoolStep::new(&pool, x.shape)?),
            Op::Flatten => Kernel::Flatten,
            Op::Relu if int8 => Kernel::ReluI8 { zero: x_zero },
            Op::Relu => Kernel::Relu,
            Op::Sigmoid(Some(rescale)) => Kernel::SigmoidI8 {
                zero: x_zero,
                rescale,
            },
            Op::Sigmoid(None) => Kernel::Sigmoid,
            Op::Tanh(Some(rescale)) => Kernel::TanhI8 {
                zero: x_zero,
                rescale,
            },
            Op::Tanh(None) => Kernel::Tanh,
            Op::Softmax(Some(rescale)) => Kernel::SoftmaxI8 { rescale },
            Op::Softmax(None) => Kernel::Softmax,
            Op::Quantize => Kernel::Quantize {
                scale: y.scale(),
                zero: y.zero_point() as i8,
            },
            Op::Dequantize => Kernel::Dequantize {
                scale: x.scale(),
                zero: x_zero,
            },
        };
        Some(Self {
            x: plan.activation(model, x_id).after(base),
            y: plan.activation(model, node.output).after(base),
            kernel,
        })
    }

    /// The layer of a step that has parameters.
    pub(crate) fn layer_mut(&mut self) -> Option<&mut Layer> {
        match &mut self.kernel {
            Kernel::Dense(layer) | Kernel::Conv2d(layer, _) => Some(layer),
            _ => None,
        }
    }
}

impl Span {
    /// The span, `base` bytes further on.
    pub(crate) fn after(self, base: u32) -> Self {
        Self {
            offset: self.offset.saturating_add(base),
            len: self.len,
        }
    }
}

fn place(model: &Model, id: Option<TensorId>) -> Option<Place> {
    let Some(id) = id else {
        return Some(Place::default());
    };
    let tensor = model.tensor(id)?;
    match tensor.source {
        // A weights section is smaller than 2^31 bytes: see `load`.
        Source::Weight { offset } => Some(Place::flash(offset, tensor.bytes() as u32)),
        Source::Activation => None,
    }
}

/// How a step runs backward.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackStep {
    pub(crate) delta_x: Span,
    pub(crate) delta_y: Span,
    pub(crate) saved: Span,
    pub(crate) scratch: Span,
    /// The derivative due at x; `None` where the gradient stops.
    pub(crate) below: Option<Activation>,
    /// Whether the weights learn.
    pub(crate) learns: bool,
}

impl BackStep {
    /// What a table of backward steps is filled with before each is resolved.
    pub(crate) const NOTHING: Self = Self {
        delta_x: Span { offset: 0, len: 0 },
        delta_y: Span { offset: 0, len: 0 },
        saved: Span { offset: 0, len: 0 },
        scratch: Span { offset: 0, len: 0 },
        below: None,
        learns: false,
    };
}
