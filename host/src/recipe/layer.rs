//! Layers: their types.
//!
//! Shapes are of one sample, without the batch: an image `[height, width, channels]`, a sequence `[steps, features]`,
//! or a vector `[features]`.

use super::activation::Activation;
use super::fields::{
    Bare, BatchNorm, Concat, Conv1d, Conv2d, Dense, DepthwiseConv2d, Dropout, Embedding, Leaky,
    Merge, OneHot, Pad, Pool2d, Recurrent, Repeat, Reshape, Rrelu, Transpose,
};

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
