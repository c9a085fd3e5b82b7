//! The operators: one file each, with its parameters, shape rule, forward, backward, cost and tests.
//!
//! Conventions: activations are NHWC without the batch. f32 weights are input-major (dense `[in, out]`,
//! convolution HWIO), so that one pass over a row serves the forward sum, the gradient and the update;
//! int8 weights are output-major (dense `[out, in]`, convolution OHWI), as in TensorFlow Lite.

pub mod add;
pub mod avg_pool2d;
pub mod batch_norm;
pub mod concat;
pub mod conv1d;
pub mod conv2d;
pub mod conv_pool2d;
mod curve;
pub mod dense;
pub mod dequantize;
pub mod dropout;
pub mod embedding;
pub mod flatten;
pub mod global_pool;
pub mod gru;
pub mod leaky_relu;
pub mod log_softmax;
pub mod lookup;
pub mod lstm;
pub mod max_pool2d;
pub mod mul;
pub mod packed_conv2d;
pub mod packed_dense;
pub mod packed_lstm;
pub mod pad;
pub mod prelu;
pub mod quantize;
pub mod recurrent;
pub mod relu;
pub mod requantize;
pub mod reshape;
pub mod rnn;
mod rows;
pub mod rrelu;
pub mod sigmoid;
pub mod softmax;
pub mod tanh;
pub mod transpose;
pub mod window;

mod activation;
mod argmax;
mod broadcast;
mod check;
mod code;
#[cfg(test)]
pub(crate) mod draw;
mod fault;
mod operator;
mod renumber;
mod set;

pub use crate::kernels::Requant;
pub use activation::Activation;
pub use add::{Add, AddRequant};
pub use avg_pool2d::AvgPool2d;
pub use batch_norm::BatchNorm;
pub(crate) use check::Check;
pub(crate) use code::{backward_code, code};
pub use concat::Concat;
pub use conv_pool2d::ConvPool2d;
pub use conv2d::Conv2d;
pub use dense::Dense;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use fault::NodeFault;
pub use gru::Gru;
pub use log_softmax::LogSoftmaxRescale;
pub use lookup::Lookup;
pub use lstm::Lstm;
pub use mul::Mul;
pub(crate) use operator::{
    Facts, MAX_PARAMETERS, Needs, Operator, Output, backward_by_dtype, backward_by_scalar,
    backward_of, by_scalar, forward_of,
};
pub use packed_conv2d::PackedConv2d;
pub use packed_dense::PackedDense;
pub use packed_lstm::PackedLstm;
pub use pad::Pad;
pub use prelu::{Prelu, PreluRequant};
pub use recurrent::Recurrent;
pub use requantize::Requantize;
pub use rnn::Rnn;
pub use rrelu::Rrelu;
pub(crate) use set::holds;
pub use set::{AllOps, OpSet};
pub use transpose::Transpose;
pub use window::Pool2d;

use bytemuck::TransparentWrapper;
use serde::{Deserialize, Serialize};

use crate::fixed_point::{InputRescale, Rescale};
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
    /// The mean of each window.
    AvgPool2d(AvgPool2d),
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
    /// A function of each number, in f32 or Q16.
    Activation(Activation),
    /// ln (e^x / Σ e^x) over the last axis; int8 carries its input's rescaling.
    LogSoftmax(Option<LogSoftmaxRescale>),
    /// Leaky ReLU with a random slope in training.
    Rrelu(Rrelu),
    /// h_t = act(x_t · W + h_{t−1} · U + b).
    Rnn(Rnn),
    /// Long short-term memory.
    Lstm(Lstm),
    /// Gated recurrent unit.
    Gru(Gru),
    /// γ·(x − mean)·scale + β over the last axis.
    BatchNorm(BatchNorm),
    /// Zeroes numbers at random in training.
    Dropout(Dropout),
    /// x0 + x1, the second repeated along the leading axes.
    Add(Add),
    /// x0 · x1, the second repeated along the leading axes.
    Mul(Mul),
    /// Two to four tensors behind each other along an axis.
    Concat(Concat),
    /// Zeros around a tensor.
    Pad(Pad),
    /// The axes in another order.
    Transpose(Transpose),
    /// The same numbers in another shape.
    Reshape,
    /// The mean over all axes but the last; int8 carries its rescaling.
    GlobalAvgPool(Option<Rescale>),
    /// The largest over all axes but the last.
    GlobalMaxPool,
    /// Leaky ReLU whose slopes learn.
    Prelu(Prelu),
    /// A row of a table for each index.
    Embedding(Embedding),
    /// Any function of an int8, as a table.
    Lookup(Lookup),
    /// int8 to int8 of another quantization.
    Requantize(Requantize),
    /// An int8 dense layer over packed weights.
    PackedDense(PackedDense),
    /// An int8 convolution over packed weights, perhaps with a 2x2 max pooling.
    PackedConv2d(PackedConv2d),
    /// An int8 LSTM over packed weights.
    PackedLstm(PackedLstm),
    /// A convolution of real numbers and the max pooling over it.
    ConvPool2d(ConvPool2d),
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
            Self::Activation(activation) => activation.name(),
            Self::LogSoftmax(_) => "log_softmax",
            Self::Rrelu(_) => "rrelu",
            Self::Rnn(_) => "rnn",
            Self::Lstm(_) => "lstm",
            Self::Gru(_) => "gru",
            Self::BatchNorm(_) => "batch_norm",
            Self::Dropout(_) => "dropout",
            Self::Add(_) => "add",
            Self::Mul(_) => "mul",
            Self::Concat(_) => "concat",
            Self::Pad(_) => "pad",
            Self::Transpose(_) => "transpose",
            Self::Reshape => "reshape",
            Self::GlobalAvgPool(_) => "global_avg_pool",
            Self::GlobalMaxPool => "global_max_pool",
            Self::Prelu(_) => "prelu",
            Self::Embedding(_) => "embedding",
            Self::Lookup(_) => "lookup",
            Self::Requantize(_) => "requantize",
            Self::PackedDense(_) => "dense",
            Self::PackedConv2d(conv) if conv.pool => "conv2d_max_pool2d",
            Self::PackedConv2d(_) => "conv2d",
            Self::PackedLstm(_) => "lstm",
            Self::ConvPool2d(_) => "conv2d_max_pool2d",
        }
    }

    /// What the operator tells of itself.
    pub(crate) fn facts(&self) -> Facts {
        match self {
            Self::Dense(dense) => dense.facts(),
            Self::Conv2d(conv) => conv.facts(),
            Self::MaxPool2d(_) => max_pool2d::FACTS,
            Self::AvgPool2d(_) => avg_pool2d::FACTS,
            Self::Flatten => flatten::FACTS,
            Self::Relu => Facts::elementwise(Activation::Relu),
            Self::Sigmoid(_) => Facts::elementwise(Activation::Sigmoid),
            Self::Tanh(_) => Facts::elementwise(Activation::Tanh),
            Self::Softmax(_) => rows::FACTS,
            Self::Quantize | Self::Dequantize | Self::Rrelu(_) => Facts::PLAIN,
            Self::Activation(activation) => Facts::elementwise(*activation),
            Self::LogSoftmax(_) => rows::FACTS,
            Self::Rnn(rnn) => rnn.facts(),
            Self::Lstm(lstm) => lstm.facts(),
            Self::Gru(gru) => gru.facts(),
            Self::BatchNorm(norm) => norm.facts(),
            Self::Dropout(_) => dropout::FACTS,
            Self::Add(sum) => sum.facts(),
            Self::Mul(product) => product.facts(),
            Self::Concat(_) => concat::FACTS,
            Self::Pad(_) => pad::FACTS,
            Self::Transpose(_) => transpose::FACTS,
            Self::Reshape => reshape::FACTS,
            Self::GlobalAvgPool(_) => global_pool::MEAN_FACTS,
            Self::GlobalMaxPool => global_pool::MAX_FACTS,
            Self::Prelu(prelu) => prelu.facts(),
            Self::Embedding(embedding) => embedding.facts(),
            Self::Lookup(lookup) => lookup.facts(),
            Self::Requantize(_) => requantize::FACTS,
            Self::PackedDense(dense) => dense.facts(),
            Self::PackedConv2d(conv) => conv.facts(),
            Self::PackedLstm(lstm) => lstm.facts(),
            Self::ConvPool2d(layer) => layer.conv.facts(),
        }
    }

    /// The tensors that can learn: each weight before its bias.
    pub fn parameters(&self) -> impl Iterator<Item = TensorId> {
        self.facts().parameters.into_iter().flatten()
    }

    /// The weight of an operator that learns in int8, too, where that is what its weight is of.
    pub fn weight_in_int8(&self) -> Option<TensorId> {
        match self {
            Self::Dense(dense) => Some(dense.weight),
            Self::Conv2d(conv) | Self::ConvPool2d(ConvPool2d { conv, .. }) => Some(conv.weight),
            _ => None,
        }
    }

    /// The operator's place among the variants: see [`number`].
    pub const fn number(&self) -> u8 {
        match self {
            Self::Dense(_) => number::DENSE,
            Self::Conv2d(_) => number::CONV2D,
            Self::MaxPool2d(_) => number::MAX_POOL2D,
            Self::AvgPool2d(_) => number::AVG_POOL2D,
            Self::Flatten => number::FLATTEN,
            Self::Relu => number::RELU,
            Self::Sigmoid(_) => number::SIGMOID,
            Self::Tanh(_) => number::TANH,
            Self::Softmax(_) => number::SOFTMAX,
            Self::Quantize => number::QUANTIZE,
            Self::Dequantize => number::DEQUANTIZE,
            Self::Activation(_) => number::ACTIVATION,
            Self::LogSoftmax(_) => number::LOG_SOFTMAX,
            Self::Rrelu(_) => number::RRELU,
            Self::Rnn(_) => number::RNN,
            Self::Lstm(_) => number::LSTM,
            Self::Gru(_) => number::GRU,
            Self::BatchNorm(_) => number::BATCH_NORM,
            Self::Dropout(_) => number::DROPOUT,
            Self::Add(_) => number::ADD,
            Self::Mul(_) => number::MUL,
            Self::Concat(_) => number::CONCAT,
            Self::Pad(_) => number::PAD,
            Self::Transpose(_) => number::TRANSPOSE,
            Self::Reshape => number::RESHAPE,
            Self::GlobalAvgPool(_) => number::GLOBAL_AVG_POOL,
            Self::GlobalMaxPool => number::GLOBAL_MAX_POOL,
            Self::Prelu(_) => number::PRELU,
            Self::Embedding(_) => number::EMBEDDING,
            Self::Lookup(_) => number::LOOKUP,
            Self::Requantize(_) => number::REQUANTIZE,
            Self::PackedDense(_) => number::PACKED_DENSE,
            Self::PackedConv2d(_) => number::PACKED_CONV2D,
            Self::PackedLstm(_) => number::PACKED_LSTM,
            Self::ConvPool2d(_) => number::CONV_POOL2D,
        }
    }

    /// Weights and table of a packed layer.
    pub(crate) fn packed(&self) -> Option<[TensorId; 2]> {
        match self {
            Self::PackedDense(dense) => Some([dense.weight, dense.table]),
            Self::PackedConv2d(conv) => Some([conv.weight, conv.table]),
            Self::PackedLstm(lstm) => Some([lstm.weight, lstm.table]),
            _ => None,
        }
    }

    /// Whether a packed layer's table holds what its kernel takes.
    pub(crate) fn takes_packed(&self, table: &[i32]) -> bool {
        use crate::kernels::packed::{channel, lstm};
        match self {
            Self::PackedLstm(_) => lstm::is_valid(table),
            _ => channel::is_valid(table),
        }
    }

    /// The table of factors of an int8 recurrent layer.
    pub(crate) fn recurrent_table(&self) -> Option<TensorId> {
        match self {
            Self::Rnn(Rnn { layer, .. })
            | Self::Lstm(Lstm { layer })
            | Self::Gru(Gru { layer, .. }) => layer.requant,
            _ => None,
        }
    }

    /// Whether each number of that table is in range.
    pub(crate) fn takes_table(&self, table: &[i32]) -> bool {
        use recurrent::int8::{CellI8, GruI8, LstmI8, RnnI8};
        match self {
            Self::Rnn(_) => RnnI8::check(table),
            Self::Lstm(_) => LstmI8::check(table),
            Self::Gru(_) => GruI8::check(table),
            _ => false,
        }
    }

    /// The operator as the engine sees it; `None` where `K` leaves it out.
    pub(crate) fn kernel<K: OpSet>(&self) -> Option<&dyn Operator<K>> {
        Some(match self {
            Self::Dense(dense) if holds::<K>(number::DENSE) => dense,
            Self::Conv2d(conv) if holds::<K>(number::CONV2D) => conv,
            Self::MaxPool2d(pool) if holds::<K>(number::MAX_POOL2D) => {
                max_pool2d::MaxPool2d::wrap_ref(pool)
            }
            Self::AvgPool2d(pool) if holds::<K>(number::AVG_POOL2D) => pool,
            Self::Flatten if holds::<K>(number::FLATTEN) => &flatten::Flatten,
            Self::Relu if holds::<K>(number::RELU) => &relu::Relu,
            Self::Sigmoid(input) if holds::<K>(number::SIGMOID) => {
                sigmoid::Sigmoid::wrap_ref(input)
            }
            Self::Tanh(input) if holds::<K>(number::TANH) => tanh::Tanh::wrap_ref(input),
            Self::Softmax(input) if holds::<K>(number::SOFTMAX) => {
                softmax::Softmax::wrap_ref(input)
            }
            Self::Quantize if holds::<K>(number::QUANTIZE) => &quantize::Quantize,
            Self::Dequantize if holds::<K>(number::DEQUANTIZE) => &dequantize::Dequantize,
            Self::Activation(activation) if holds::<K>(number::ACTIVATION) => {
                activation::Elementwise::wrap_ref(activation)
            }
            Self::LogSoftmax(rescale) if holds::<K>(number::LOG_SOFTMAX) => {
                log_softmax::LogSoftmax::wrap_ref(rescale)
            }
            Self::Rrelu(rrelu) if holds::<K>(number::RRELU) => rrelu,
            Self::Rnn(rnn) if holds::<K>(number::RNN) => rnn,
            Self::Lstm(lstm) if holds::<K>(number::LSTM) => lstm,
            Self::Gru(gru) if holds::<K>(number::GRU) => gru,
            Self::BatchNorm(norm) if holds::<K>(number::BATCH_NORM) => norm,
            Self::Dropout(dropout) if holds::<K>(number::DROPOUT) => dropout,
            Self::Add(sum) if holds::<K>(number::ADD) => sum,
            Self::Mul(product) if holds::<K>(number::MUL) => product,
            Self::Concat(concat) if holds::<K>(number::CONCAT) => concat,
            Self::Pad(pad) if holds::<K>(number::PAD) => pad,
            Self::Transpose(transpose) if holds::<K>(number::TRANSPOSE) => transpose,
            Self::Reshape if holds::<K>(number::RESHAPE) => &reshape::Reshape,
            Self::GlobalAvgPool(rescale) if holds::<K>(number::GLOBAL_AVG_POOL) => {
                global_pool::GlobalAvgPool::wrap_ref(rescale)
            }
            Self::GlobalMaxPool if holds::<K>(number::GLOBAL_MAX_POOL) => {
                &global_pool::GlobalMaxPool
            }
            Self::Prelu(prelu) if holds::<K>(number::PRELU) => prelu,
            Self::Embedding(embedding) if holds::<K>(number::EMBEDDING) => embedding,
            Self::Lookup(lookup) if holds::<K>(number::LOOKUP) => lookup,
            Self::Requantize(requantize) if holds::<K>(number::REQUANTIZE) => requantize,
            Self::PackedDense(dense) if holds::<K>(number::PACKED_DENSE) => dense,
            Self::PackedConv2d(conv) if holds::<K>(number::PACKED_CONV2D) => conv,
            Self::PackedLstm(lstm) if holds::<K>(number::PACKED_LSTM) => lstm,
            Self::ConvPool2d(layer) if holds::<K>(number::CONV_POOL2D) => layer,
            _ => return None,
        })
    }

    /// Checks the operator's rules: arity, types, shapes, quantizations.
    pub(crate) fn check<K: OpSet>(&self, check: &Check) -> Result<(), NodeFault> {
        self.kernel::<K>().ok_or(NodeFault::NotLinked)?.check(check)
    }
}

/// The operators' places among the variants of [`Op`]: their numbers in the blob, and their bits in
/// [`OpSet::OPS`].
#[expect(missing_docs, reason = "each is named after its operator")]
pub mod number {
    pub const DENSE: u8 = 0;
    pub const CONV2D: u8 = 1;
    pub const MAX_POOL2D: u8 = 2;
    pub const AVG_POOL2D: u8 = 3;
    pub const FLATTEN: u8 = 4;
    pub const RELU: u8 = 5;
    pub const SIGMOID: u8 = 6;
    pub const TANH: u8 = 7;
    pub const SOFTMAX: u8 = 8;
    pub const QUANTIZE: u8 = 9;
    pub const DEQUANTIZE: u8 = 10;
    pub const ACTIVATION: u8 = 11;
    pub const LOG_SOFTMAX: u8 = 12;
    pub const RRELU: u8 = 13;
    pub const RNN: u8 = 14;
    pub const LSTM: u8 = 15;
    pub const GRU: u8 = 16;
    pub const BATCH_NORM: u8 = 17;
    pub const DROPOUT: u8 = 18;
    pub const ADD: u8 = 19;
    pub const MUL: u8 = 20;
    pub const CONCAT: u8 = 21;
    pub const PAD: u8 = 22;
    pub const TRANSPOSE: u8 = 23;
    pub const RESHAPE: u8 = 24;
    pub const GLOBAL_AVG_POOL: u8 = 25;
    pub const GLOBAL_MAX_POOL: u8 = 26;
    pub const PRELU: u8 = 27;
    pub const EMBEDDING: u8 = 28;
    pub const LOOKUP: u8 = 29;
    pub const REQUANTIZE: u8 = 30;
    pub const PACKED_DENSE: u8 = 31;
    pub const PACKED_CONV2D: u8 = 32;
    pub const PACKED_LSTM: u8 = 33;
    pub const CONV_POOL2D: u8 = 34;
}
