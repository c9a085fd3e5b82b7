//! Layers: their types and fields.
//!
//! Shapes are of one sample, without the batch: an image `[height, width, channels]`, a sequence `[steps, features]`,
//! or a vector `[features]`.

use serde::Deserialize;

use super::window::Padding;
use super::{Pair, Size};

/// What a layer computes.
#[derive(Debug, Clone, PartialEq)]
pub enum LayerKind {
    /// Two-dimensional convolution, with bias.
    Conv2d(Conv2d),
    /// Two-dimensional convolution of each channel by itself, with bias.
    DepthwiseConv2d(DepthwiseConv2d),
    /// Convolution along a sequence, with bias.
    Conv1d(Conv1d),
    /// The largest value of each window.
    MaxPool2d(Pool2d),
    /// The mean of each window; padding does not count.
    AvgPool2d(Pool2d),
    /// The largest value of each channel.
    GlobalMaxPool,
    /// The mean of each channel.
    GlobalAvgPool,
    /// To one dimension, the last axis fastest.
    Flatten,
    /// The same numbers in another shape.
    Reshape(Reshape),
    /// The axes in another order.
    Transpose(Transpose),
    /// Zeros around an image or a sequence.
    Pad(Pad),
    /// Inputs side by side along an axis.
    Concat(Concat),
    /// The sum of the inputs, number by number.
    Add(Merge),
    /// The product of the inputs, number by number.
    Mul(Merge),
    /// A vector so many times: `[steps, features]`.
    Repeat(Repeat),
    /// Fully connected along the last axis, with bias.
    Dense(Dense),
    /// An activation by itself.
    Activation(Activation),
    /// Leaky ReLU with a slope for each channel that is learnt.
    Prelu,
    /// Leaky ReLU with a random slope in training.
    Rrelu(Rrelu),
    /// In training, silences each value with probability `rate` and scales the others by
    /// `1 / (1 − rate)`; otherwise nothing.
    Dropout(Dropout),
    /// Each channel to mean 0 and variance 1, then scaled and shifted as is learnt.
    BatchNorm(BatchNorm),
    /// A vector that is learnt for each of so many numbers.
    Embedding(Embedding),
    /// 1 at the place that the number says, 0 elsewhere.
    OneHot(OneHot),
    /// Simple recurrent layer.
    Rnn(Recurrent),
    /// Long short-term memory.
    Lstm(Recurrent),
    /// Gated recurrent unit, as in PyTorch.
    Gru(Recurrent),
}

/// Fields of `conv2d`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Channels of the output.
    pub filters: Size,
    /// Height and width of the window.
    pub kernel: Pair,
    /// Rows and columns from one window to the next.
    #[serde(default = "Pair::one")]
    pub stride: Pair,
    /// Rows and columns from one tap of the window to the next.
    #[serde(default = "Pair::one")]
    pub dilation: Pair,
    /// Into so many groups channels are cut, each of which is convolved by itself.
    #[serde(default = "Size::one")]
    pub groups: Size,
    /// What happens at the edges.
    #[serde(default)]
    pub padding: Padding,
    /// Applied to the output.
    #[serde(default)]
    pub activation: Activation,
}

/// Fields of `depthwise_conv2d`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthwiseConv2d {
    /// Channels of the output for each channel of the input.
    #[serde(default = "Size::one")]
    pub multiplier: Size,
    /// Height and width of the window.
    pub kernel: Pair,
    /// Rows and columns from one window to the next.
    #[serde(default = "Pair::one")]
    pub stride: Pair,
    /// Rows and columns from one tap of the window to the next.
    #[serde(default = "Pair::one")]
    pub dilation: Pair,
    /// What happens at the edges.
    #[serde(default)]
    pub padding: Padding,
    /// Applied to the output.
    #[serde(default)]
    pub activation: Activation,
}

/// Fields of `conv1d`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv1d {
    /// Features of the output.
    pub filters: Size,
    /// Steps of the window.
    pub kernel: Size,
    /// Steps from one window to the next.
    #[serde(default = "Size::one")]
    pub stride: Size,
    /// Steps from one tap of the window to the next.
    #[serde(default = "Size::one")]
    pub dilation: Size,
    /// Into so many groups features are cut, each of which is convolved by itself.
    #[serde(default = "Size::one")]
    pub groups: Size,
    /// What happens at the ends.
    #[serde(default)]
    pub padding: Padding,
    /// Applied to the output.
    #[serde(default)]
    pub activation: Activation,
}

/// A convolution of any kind, on a map of `inputs` channels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Convolution {
    /// Channels of the output.
    pub filters: usize,
    /// Channels of the input.
    pub inputs: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Height and width of the window; a sequence is a map of height 1.
    pub kernel: [usize; 2],
    /// Rows and columns from one window to the next.
    pub stride: [usize; 2],
    /// Rows and columns from one tap to the next.
    pub dilation: [usize; 2],
    /// What happens at the edges.
    pub padding: Padding,
}

impl LayerKind {
    /// The layer as a convolution, where it is one, of an input of this shape.
    pub fn convolution(&self, input: &[usize]) -> Option<Convolution> {
        let inputs = input.last().copied().unwrap_or(0);
        let pair = |pair: Pair| [pair.height(), pair.width()];
        Some(match self {
            Self::Conv2d(conv) => Convolution {
                filters: conv.filters.get(),
                inputs,
                groups: conv.groups.get(),
                kernel: pair(conv.kernel),
                stride: pair(conv.stride),
                dilation: pair(conv.dilation),
                padding: conv.padding,
            },
            Self::DepthwiseConv2d(conv) => Convolution {
                filters: conv.multiplier.get() * inputs,
                inputs,
                groups: inputs,
                kernel: pair(conv.kernel),
                stride: pair(conv.stride),
                dilation: pair(conv.dilation),
                padding: conv.padding,
            },
            Self::Conv1d(conv) => Convolution {
                filters: conv.filters.get(),
                inputs,
                groups: conv.groups.get(),
                kernel: [1, conv.kernel.get()],
                stride: [1, conv.stride.get()],
                dilation: [1, conv.dilation.get()],
                padding: conv.padding,
            },
            _ => return None,
        })
    }
}

impl Convolution {
    /// Rows and columns that a window covers.
    pub fn span(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.kernel[axis] - 1) * self.dilation[axis] + 1)
    }
}

/// Fields of `max_pool2d` and `avg_pool2d`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool2d {
    /// Height and width of the window.
    pub size: Pair,
    /// Rows and columns from one window to the next; `size` when not given.
    #[serde(default)]
    stride: Option<Pair>,
    /// What happens at the edges.
    #[serde(default)]
    pub padding: Padding,
}

impl Pool2d {
    /// Rows and columns from one window to the next.
    pub fn stride(&self) -> Pair {
        self.stride.unwrap_or(self.size)
    }
}

/// Fields of `reshape`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    /// The dimensions of the output.
    pub shape: Vec<Size>,
}

/// Fields of `transpose`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transpose {
    /// For each axis of the output, the axis of the input that it is, from 0.
    pub axes: Vec<usize>,
}

/// Fields of `pad`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    /// Zeros before and after along each axis of the input.
    pub amounts: Vec<[usize; 2]>,
}

/// Fields of `concat`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concat {
    /// The axis, from 0; the last when not given.
    #[serde(default)]
    pub axis: Option<usize>,
}

/// Fields of `add` and `mul`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// Applied to the output.
    #[serde(default)]
    pub activation: Activation,
}

/// Fields of `repeat`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How many times.
    pub steps: Size,
}

/// Fields of `dense`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Features of the output.
    pub units: Size,
    /// Applied to the output.
    #[serde(default)]
    pub activation: Activation,
}

/// Fields of `leaky_relu`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Leaky {
    /// Of what is below 0, from 0 to 1.
    #[serde(default = "leaky_slope")]
    slope: f32,
}

/// Fields of `rrelu`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rrelu {
    /// The least slope of what is below 0.
    #[serde(default = "rrelu_lower")]
    pub lower: f32,
    /// The largest.
    #[serde(default = "rrelu_upper")]
    pub upper: f32,
}

/// Fields of `dropout`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// The probability of each value to be silenced, from 0 to below 1.
    pub rate: f64,
}

/// Fields of `batch_norm`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// Added to the variance.
    #[serde(default = "norm_epsilon")]
    pub epsilon: f64,
    /// Share of the running statistics that each batch replaces.
    #[serde(default = "norm_momentum")]
    pub momentum: f64,
}

/// Fields of `embedding`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// How many numbers there are, from 0.
    pub vocabulary: Size,
    /// Features of each.
    pub units: Size,
}

/// Fields of `one_hot`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneHot {
    /// How many numbers there are, from 0.
    pub classes: Size,
}

/// Fields of `rnn`, `lstm` and `gru`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recurrent {
    /// Numbers of the state.
    pub units: Size,
    /// What it gives.
    #[serde(default, rename = "return")]
    pub gives: Gives,
    /// Whether a second layer reads from the end to the beginning; both outputs lie side by side.
    #[serde(default)]
    pub bidirectional: bool,
    /// Whether on the device a run begins in the state in which the last one ended.
    #[serde(default)]
    pub stateful: bool,
    /// On the device, how many steps a gradient goes back; 0 for all.
    #[serde(default)]
    pub truncate: u16,
    /// `rnn` only: tanh or relu.
    #[serde(default)]
    pub activation: Option<Activation>,
}

/// What a recurrent layer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gives {
    /// The state after the last step.
    #[default]
    Last,
    /// The state after each step.
    Sequence,
}

fn leaky_slope() -> f32 {
    0.01
}

fn rrelu_lower() -> f32 {
    1.0 / 8.0
}

fn rrelu_upper() -> f32 {
    1.0 / 3.0
}

fn norm_epsilon() -> f64 {
    1e-5
}

fn norm_momentum() -> f64 {
    0.1
}

/// A layer without fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bare {}

/// A function applied to each value (softmax and log-softmax: to all values along the last axis together).
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(from = "ActivationName")]
pub enum Activation {
    /// The value itself.
    #[default]
    None,
    /// `max(0, x)`.
    Relu,
    /// `min(max(0, x), 6)`.
    Relu6,
    /// `x` above 0, else so many times `x`; 0.01 as the activation of a layer.
    LeakyRelu(f32),
    /// `1 / (1 + exp(−x))`.
    Sigmoid,
    /// `min(max(x / 6 + 1/2, 0), 1)`.
    HardSigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// 1 where `x ≥ 0`, else 0; nothing below it learns.
    Step,
    /// `exp(x_i) / Σ exp(x_j)`, over the last dimension.
    Softmax,
    /// The logarithm of the softmax.
    LogSoftmax,
}

/// The activations' names.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActivationName {
    None,
    Relu,
    Relu6,
    LeakyRelu,
    Sigmoid,
    HardSigmoid,
    Tanh,
    Step,
    Softmax,
    LogSoftmax,
}

impl From<ActivationName> for Activation {
    fn from(name: ActivationName) -> Self {
        match name {
            ActivationName::None => Self::None,
            ActivationName::Relu => Self::Relu,
            ActivationName::Relu6 => Self::Relu6,
            ActivationName::LeakyRelu => Self::LeakyRelu(leaky_slope()),
            ActivationName::Sigmoid => Self::Sigmoid,
            ActivationName::HardSigmoid => Self::HardSigmoid,
            ActivationName::Tanh => Self::Tanh,
            ActivationName::Step => Self::Step,
            ActivationName::Softmax => Self::Softmax,
            ActivationName::LogSoftmax => Self::LogSoftmax,
        }
    }
}

impl Activation {
    /// What recipes call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::LeakyRelu(_) => "leaky_relu",
            Self::Sigmoid => "sigmoid",
            Self::HardSigmoid => "hard_sigmoid",
            Self::Tanh => "tanh",
            Self::Step => "step",
            Self::Softmax => "softmax",
            Self::LogSoftmax => "log_softmax",
        }
    }
}

impl LayerKind {
    /// What recipes may call a layer's type.
    pub const TYPES: &'static str = "conv2d, depthwise_conv2d, conv1d, max_pool2d, avg_pool2d, global_max_pool, \
         global_avg_pool, flatten, reshape, transpose, pad, concat, add, mul, repeat, dense, relu, relu6, leaky_relu, \
         prelu, rrelu, sigmoid, hard_sigmoid, tanh, step, softmax, log_softmax, dropout, batch_norm, embedding, \
         one_hot, rnn, lstm, gru";

    /// What recipes call it, and what its default name begins with.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Conv2d(_) => "conv2d",
            Self::DepthwiseConv2d(_) => "depthwise_conv2d",
            Self::Conv1d(_) => "conv1d",
            Self::MaxPool2d(_) => "max_pool2d",
            Self::AvgPool2d(_) => "avg_pool2d",
            Self::GlobalMaxPool => "global_max_pool",
            Self::GlobalAvgPool => "global_avg_pool",
            Self::Flatten => "flatten",
            Self::Reshape(_) => "reshape",
            Self::Transpose(_) => "transpose",
            Self::Pad(_) => "pad",
            Self::Concat(_) => "concat",
            Self::Add(_) => "add",
            Self::Mul(_) => "mul",
            Self::Repeat(_) => "repeat",
            Self::Dense(_) => "dense",
            Self::Activation(activation) => activation.name(),
            Self::Prelu => "prelu",
            Self::Rrelu(_) => "rrelu",
            Self::Dropout(_) => "dropout",
            Self::BatchNorm(_) => "batch_norm",
            Self::Embedding(_) => "embedding",
            Self::OneHot(_) => "one_hot",
            Self::Rnn(_) => "rnn",
            Self::Lstm(_) => "lstm",
            Self::Gru(_) => "gru",
        }
    }

    /// Reads the fields of a layer of type `name`; `None` when there is no such type.
    pub(super) fn read(name: &str, fields: toml::Table) -> Option<Result<Self, toml::de::Error>> {
        let bare = |kind| fields.clone().try_into().map(|Bare {}| kind);
        Some(match name {
            "conv2d" => fields.try_into().map(Self::Conv2d),
            "depthwise_conv2d" => fields.try_into().map(Self::DepthwiseConv2d),
            "conv1d" => fields.try_into().map(Self::Conv1d),
            "max_pool2d" => fields.try_into().map(Self::MaxPool2d),
            "avg_pool2d" => fields.try_into().map(Self::AvgPool2d),
            "reshape" => fields.try_into().map(Self::Reshape),
            "transpose" => fields.try_into().map(Self::Transpose),
            "pad" => fields.try_into().map(Self::Pad),
            "concat" => fields.try_into().map(Self::Concat),
            "add" => fields.try_into().map(Self::Add),
            "mul" => fields.try_into().map(Self::Mul),
            "repeat" => fields.try_into().map(Self::Repeat),
            "dense" => fields.try_into().map(Self::Dense),
            "rrelu" => fields.try_into().map(Self::Rrelu),
            "dropout" => fields.try_into().map(Self::Dropout),
            "batch_norm" => fields.try_into().map(Self::BatchNorm),
            "embedding" => fields.try_into().map(Self::Embedding),
            "one_hot" => fields.try_into().map(Self::OneHot),
            "rnn" => fields.try_into().map(Self::Rnn),
            "lstm" => fields.try_into().map(Self::Lstm),
            "gru" => fields.try_into().map(Self::Gru),
            "leaky_relu" => fields
                .try_into()
                .map(|Leaky { slope }| Self::Activation(Activation::LeakyRelu(slope))),
            "global_max_pool" => bare(Self::GlobalMaxPool),
            "global_avg_pool" => bare(Self::GlobalAvgPool),
            "flatten" => bare(Self::Flatten),
            "prelu" => bare(Self::Prelu),
            "relu" => bare(Self::Activation(Activation::Relu)),
            "relu6" => bare(Self::Activation(Activation::Relu6)),
            "sigmoid" => bare(Self::Activation(Activation::Sigmoid)),
            "hard_sigmoid" => bare(Self::Activation(Activation::HardSigmoid)),
            "tanh" => bare(Self::Activation(Activation::Tanh)),
            "step" => bare(Self::Activation(Activation::Step)),
            "softmax" => bare(Self::Activation(Activation::Softmax)),
            "log_softmax" => bare(Self::Activation(Activation::LogSoftmax)),
            _ => return None,
        })
    }

    /// The activation that the layer ends with.
    pub fn activation(&self) -> Activation {
        match self {
            Self::Conv2d(conv) => conv.activation,
            Self::DepthwiseConv2d(conv) => conv.activation,
            Self::Conv1d(conv) => conv.activation,
            Self::Dense(dense) => dense.activation,
            Self::Add(merge) | Self::Mul(merge) => merge.activation,
            Self::Activation(activation) => *activation,
            _ => Activation::None,
        }
    }

    /// The recurrent layer, where it is one, and its gates.
    pub fn recurrent(&self) -> Option<(&Recurrent, usize)> {
        match self {
            Self::Rnn(recurrent) => Some((recurrent, 1)),
            Self::Lstm(recurrent) => Some((recurrent, 4)),
            Self::Gru(recurrent) => Some((recurrent, 3)),
            _ => None,
        }
    }
}
