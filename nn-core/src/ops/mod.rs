//! The operators: one file each, with its parameters, shape rule, forward, backward, cost and tests.
//!
//! Conventions: activations are NHWC without the batch. f32 weights are input-major (dense `[in, out]`,
//! convolution HWIO), so that one pass over a row serves the forward sum, the gradient and the update;
//! int8 weights are output-major (dense `[out, in]`, convolution OHWI), as in TensorFlow Lite.

pub mod avg_pool2d;
pub mod conv2d;
pub mod dense;
pub mod dequantize;
pub mod flatten;
pub mod max_pool2d;
pub mod quantize;
pub mod relu;
pub mod sigmoid;
pub mod softmax;
pub mod tanh;
pub mod window;

mod activation;
mod check;
mod fault;

pub use crate::kernels::Requant;
pub use activation::Activation;
pub(crate) use check::Check;
pub use conv2d::Conv2d;
pub use dense::Dense;
pub use fault::NodeFault;
pub use window::Pool2d;

use serde::{Deserialize, Serialize};

use crate::fixed_point::InputRescale;
use crate::tensor::TensorId;

/// What a node does. The order of the variants is part of the blob format.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Op {
    /// y = act(x · W + b).
    Dense(Dense),
    /// 2-d cross-correlation, as every framework calls convolution.
    Conv2d(Conv2d),
    /// The largest value of each window.
    MaxPool2d(Pool2d),
    /// The mean of each window, padding not counted.
    AvgPool2d(Pool2d),
    /// The same numbers as a vector.
    Flatten,
    /// max(x, 0).
    Relu,
    /// 1 / (1 + e^−x); int8 carries its input's rescaling.
    Sigmoid(Option<InputRescale>),
    /// Hyperbolic tangent; int8 carries its input's rescaling.
    Tanh(Option<InputRescale>),
    /// e^x / Σ e^x over a vector; int8 carries its input's rescaling.
    Softmax(Option<InputRescale>),
    /// f32 to int8.
    Quantize,
    /// int8 to f32.
    Dequantize,
}

impl Op {
    /// The operator's name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dense(_) => "dense",
            Self::Conv2d(_) => "conv2d",
            Self::MaxPool2d(_) => "max_pool2d",
            Self::AvgPool2d(_) => "avg_pool2d",
            Self::Flatten => "flatten",
            Self::Relu => "relu",
            Self::Sigmoid(_) => "sigmoid",
            Self::Tanh(_) => "tanh",
            Self::Softmax(_) => "softmax",
            Self::Quantize => "quantize",
            Self::Dequantize => "dequantize",
        }
    }

    /// The weight tensor and the bias tensor, where the operator has parameters.
    pub fn parameters(&self) -> Option<(TensorId, Option<TensorId>)> {
        match self {
            Self::Dense(dense) => Some((dense.weight, dense.bias)),
            Self::Conv2d(conv) => Some((conv.weight, conv.bias)),
            _ => None,
        }
    }

    /// The derivative that the operator leaves to whoever overwrites its output: see [`Activation::derivative`].
    pub(crate) fn own_activation(&self) -> Activation {
        match self {
            Self::Dense(dense) => dense.activation,
            Self::Conv2d(conv) => conv.activation,
            Self::Relu => Activation::Relu,
            Self::Sigmoid(_) => Activation::Sigmoid,
            Self::Tanh(_) => Activation::Tanh,
            _ => Activation::None,
        }
    }

    /// Whether the output may lie where the input lay.
    pub(crate) fn works_in_place(&self) -> bool {
        matches!(
            self,
            Self::Flatten | Self::Relu | Self::Sigmoid(_) | Self::Tanh(_) | Self::Softmax(_)
        )
    }

    /// Checks the operator's rules: arity, types, shapes, quantizations.
    pub(crate) fn check(&self, check: &Check) -> Result<(), NodeFault> {
        match self {
            Self::Dense(dense) => dense.check(check),
            Self::Conv2d(conv) => conv.check(check),
            Self::MaxPool2d(pool) | Self::AvgPool2d(pool) => pool.check(check),
            Self::Flatten => flatten::check(check),
            Self::Relu => relu::check(check),
            Self::Sigmoid(rescale) => sigmoid::check(check, rescale),
            Self::Tanh(rescale) => tanh::check(check, rescale),
            Self::Softmax(rescale) => softmax::check(check, rescale),
            Self::Quantize => quantize::check(check),
            Self::Dequantize => dequantize::check(check),
        }
    }
}
