//! Which function runs an operator, forward or backward, by its number and its number types.

use crate::engine::{Backward, Forward, Sizes};
use crate::ops::{self, OpSet, holds, number};
use crate::tensor::DType;

/// The function that runs operator `op` from numbers of type `x` to such of type `y`, as
/// [`resolve`](super::Operator::resolve) finds it, or one for these sizes only; `None` where `K` does not hold it.
pub(crate) const fn code<K: OpSet>(op: u8, x: DType, y: DType, sizes: &Sizes) -> Option<Forward> {
    if !holds::<K>(op) {
        return None;
    }
    match op {
        number::DENSE => ops::dense::code::<K>(x),
        number::CONV2D => ops::conv2d::code::<K>(x, sizes),
        number::MAX_POOL2D => ops::max_pool2d::code::<K>(x),
        number::AVG_POOL2D => ops::avg_pool2d::code::<K>(x),
        number::FLATTEN | number::RESHAPE => Some(ops::flatten::run),
        number::RELU => ops::relu::code::<K>(x),
        number::SIGMOID => ops::sigmoid::Sigmoid::code::<K>(x),
        number::TANH => ops::tanh::Tanh::code::<K>(x),
        number::SOFTMAX => ops::softmax::code::<K>(x),
        number::QUANTIZE => ops::quantize::code::<K>(x),
        number::DEQUANTIZE => ops::dequantize::code::<K>(y),
        number::ACTIVATION => ops::activation::code::<K>(x),
        number::LOG_SOFTMAX => ops::log_softmax::code::<K>(x),
        number::RRELU => ops::rrelu::code::<K>(x),
        number::RNN => ops::rnn::code::<K>(x),
        number::LSTM => ops::lstm::code::<K>(x),
        number::GRU => ops::gru::code::<K>(x),
        number::BATCH_NORM => ops::batch_norm::code::<K>(x),
        number::DROPOUT => ops::dropout::code::<K>(x),
        number::ADD => ops::add::code::<K>(x),
        number::MUL => ops::mul::code::<K>(x),
        number::CONCAT => ops::concat::code::<K>(x),
        number::PAD => ops::pad::code::<K>(x),
        number::TRANSPOSE => ops::transpose::code::<K>(x),
        number::GLOBAL_AVG_POOL => ops::global_pool::mean_code::<K>(x),
        number::GLOBAL_MAX_POOL => ops::global_pool::max_code::<K>(x),
        number::PRELU => ops::prelu::code::<K>(x),
        number::EMBEDDING => ops::embedding::code::<K>(y),
        number::LOOKUP => ops::lookup::code::<K>(),
        number::REQUANTIZE => ops::requantize::code::<K>(),
        number::PACKED_DENSE => ops::packed_dense::code::<K>(),
        number::PACKED_CONV2D => ops::packed_conv2d::code::<K>(sizes),
        number::PACKED_LSTM => ops::packed_lstm::code::<K>(),
        number::CONV_POOL2D => ops::conv_pool2d::code::<K>(x),
        _ => None,
    }
}

/// The function that runs operator `op` backward; `None` where no gradient passes, or `K` does not hold it.
pub(crate) const fn backward_code<K: OpSet>(op: u8, x: DType, y: DType) -> Option<Backward> {
    // Asked arm by arm: where the number is not known when the image is built, what `K` leaves out is not linked either.
    match op {
        number::DENSE if holds::<K>(number::DENSE) => ops::dense::backward_code::<K>(x),
        number::CONV2D if holds::<K>(number::CONV2D) => ops::conv2d::backward_code::<K>(x),
        number::MAX_POOL2D if holds::<K>(number::MAX_POOL2D) => {
            ops::max_pool2d::backward_code::<K>(x)
        }
        number::AVG_POOL2D if holds::<K>(number::AVG_POOL2D) => {
            ops::avg_pool2d::backward_code::<K>(x)
        }
        number::FLATTEN | number::RESHAPE
            if holds::<K>(number::FLATTEN) || holds::<K>(number::RESHAPE) =>
        {
            ops::flatten::backward_code::<K>(x)
        }
        number::RELU if holds::<K>(number::RELU) => ops::relu::backward_code::<K>(x),
        number::SIGMOID if holds::<K>(number::SIGMOID) => {
            ops::sigmoid::Sigmoid::backward_code::<K>(x)
        }
        number::TANH if holds::<K>(number::TANH) => ops::tanh::Tanh::backward_code::<K>(x),
        number::SOFTMAX if holds::<K>(number::SOFTMAX) => ops::softmax::backward_code::<K>(x),
        number::DEQUANTIZE if holds::<K>(number::DEQUANTIZE) => {
            ops::dequantize::backward_code::<K>(y)
        }
        number::ACTIVATION if holds::<K>(number::ACTIVATION) => {
            ops::activation::backward_code::<K>(x)
        }
        number::LOG_SOFTMAX if holds::<K>(number::LOG_SOFTMAX) => {
            ops::log_softmax::backward_code::<K>(x)
        }
        number::RRELU if holds::<K>(number::RRELU) => ops::rrelu::backward_code::<K>(x),
        number::RNN if holds::<K>(number::RNN) => ops::rnn::backward_code::<K>(x),
        number::LSTM if holds::<K>(number::LSTM) => ops::lstm::backward_code::<K>(x),
        number::GRU if holds::<K>(number::GRU) => ops::gru::backward_code::<K>(x),
        number::BATCH_NORM if holds::<K>(number::BATCH_NORM) => {
            ops::batch_norm::backward_code::<K>(x)
        }
        number::DROPOUT if holds::<K>(number::DROPOUT) => ops::dropout::backward_code::<K>(x),
        number::ADD if holds::<K>(number::ADD) => ops::add::backward_code::<K>(x),
        number::MUL if holds::<K>(number::MUL) => ops::mul::backward_code::<K>(x),
        number::CONCAT if holds::<K>(number::CONCAT) => ops::concat::backward_code::<K>(x),
        number::PAD if holds::<K>(number::PAD) => ops::pad::backward_code::<K>(x),
        number::TRANSPOSE if holds::<K>(number::TRANSPOSE) => ops::transpose::backward_code::<K>(x),
        number::GLOBAL_AVG_POOL if holds::<K>(number::GLOBAL_AVG_POOL) => {
            ops::global_pool::mean_backward_code::<K>(x)
        }
        number::GLOBAL_MAX_POOL if holds::<K>(number::GLOBAL_MAX_POOL) => {
            ops::global_pool::max_backward_code::<K>(x)
        }
        number::PRELU if holds::<K>(number::PRELU) => ops::prelu::backward_code::<K>(x),
        number::EMBEDDING if holds::<K>(number::EMBEDDING) => ops::embedding::backward_code::<K>(y),
        number::CONV_POOL2D if holds::<K>(number::CONV_POOL2D) => {
            ops::conv_pool2d::backward_code::<K>(x)
        }
        _ => None,
    }
}
