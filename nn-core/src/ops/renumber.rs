//! An operator with other ids of weights: for tools that take a graph apart.

use crate::ops::{ConvPool2d, Gru, Lstm, Op, Rnn};
use crate::tensor::TensorId;

impl Op {
    /// The operator whose weights have the ids that `new` gives for theirs.
    #[must_use]
    pub fn renumbered(mut self, mut new: impl FnMut(TensorId) -> TensorId) -> Self {
        let mut change = |ids: &mut [&mut TensorId], optional: &mut [&mut Option<TensorId>]| {
            let there = optional.iter_mut().filter_map(|id| id.as_mut());
            for id in ids.iter_mut().map(|id| &mut **id).chain(there) {
                *id = new(*id);
            }
        };
        match &mut self {
            Self::Dense(op) => change(&mut [&mut op.weight], &mut [&mut op.bias, &mut op.requant]),
            Self::Conv2d(op) | Self::ConvPool2d(ConvPool2d { conv: op, .. }) => {
                change(&mut [&mut op.weight], &mut [&mut op.bias, &mut op.requant]);
            }
            Self::Rnn(Rnn { layer: op, .. }) | Self::Lstm(Lstm { layer: op }) => change(
                &mut [&mut op.kernel, &mut op.recurrent],
                &mut [&mut op.bias, &mut op.requant],
            ),
            Self::Gru(Gru {
                layer: op,
                recurrent_bias,
                ..
            }) => change(
                &mut [&mut op.kernel, &mut op.recurrent],
                &mut [&mut op.bias, &mut op.requant, recurrent_bias],
            ),
            Self::BatchNorm(op) => {
                let ids = [&mut op.gamma, &mut op.beta, &mut op.mean, &mut op.scale];
                change(&mut { ids }, &mut []);
            }
            Self::Prelu(op) => change(&mut [&mut op.slope], &mut []),
            Self::Embedding(op) => change(&mut [&mut op.table], &mut []),
            Self::Lookup(op) => change(&mut [&mut op.table], &mut []),
            Self::PackedDense(op) => change(&mut [&mut op.weight, &mut op.table], &mut []),
            Self::PackedConv2d(op) => change(&mut [&mut op.weight, &mut op.table], &mut []),
            Self::PackedLstm(op) => change(&mut [&mut op.weight, &mut op.table], &mut []),
            Self::MaxPool2d(_)
            | Self::AvgPool2d(_)
            | Self::Flatten
            | Self::Relu
            | Self::Sigmoid(_)
            | Self::Tanh(_)
            | Self::Softmax(_)
            | Self::Quantize
            | Self::Dequantize
            | Self::Activation(_)
            | Self::LogSoftmax(_)
            | Self::Rrelu(_)
            | Self::Dropout(_)
            | Self::Add(_)
            | Self::Mul(_)
            | Self::Concat(_)
            | Self::Pad(_)
            | Self::Transpose(_)
            | Self::Reshape
            | Self::GlobalAvgPool(_)
            | Self::GlobalMaxPool
            | Self::Requantize(_) => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Activation, Dense};

    #[test]
    fn ids_that_are_there_change() {
        let op = Op::Dense(Dense {
            weight: 3,
            bias: None,
            requant: Some(5),
            activation: Activation::None,
        });
        let Op::Dense(dense) = op.renumbered(|id| id + 10) else {
            unreachable!()
        };
        assert_eq!(
            (dense.weight, dense.bias, dense.requant),
            (13, None, Some(15))
        );
        assert_eq!(Op::Flatten.renumbered(|id| id + 1), Op::Flatten);
    }
}
