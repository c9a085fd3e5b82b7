//! Recurrent layers in int8.

use nn_core::ops::{Gru, Lstm, Op, Recurrent, Rnn};
use nn_core::tensor::{DType, Quant, Tensor, TensorId};

use super::{BuildError, Builder, Gives};
use crate::export::Int8Recurrent;

impl Builder {
    /// A recurrent layer in int8: `op` says which it is, its direction and whether it keeps its state.
    pub fn recurrent_i8(
        &mut self,
        name: &str,
        x: TensorId,
        layer: &Int8Recurrent,
        op: Op,
        gives: Gives,
    ) -> Result<TensorId, BuildError> {
        let features = self.last_dim(name, x)?;
        let columns = layer.bias.len();
        let units = layer.recurrent.len() / columns.max(1);
        let word = |builder: &mut Self, values: &[i32]| {
            let bytes = bytemuck::cast_slice(values);
            builder.weight(&[values.len()], DType::I32, Quant::None, bytes)
        };
        let byte = |builder: &mut Self, inputs: usize, values: &[i8]| {
            let bytes = bytemuck::cast_slice(values);
            builder.weight(&[columns, inputs], DType::I8, Quant::None, bytes)
        };
        let given = Recurrent {
            kernel: byte(self, features, &layer.kernel)?,
            recurrent: byte(self, units, &layer.recurrent)?,
            bias: Some(word(self, &layer.bias)?),
            requant: Some(word(self, &layer.requant)?),
            reverse: false,
            stateful: false,
            truncate: 0,
        };
        let with = |wanted: Recurrent| Recurrent {
            reverse: wanted.reverse,
            stateful: wanted.stateful,
            ..given
        };
        let op = match op {
            Op::Rnn(rnn) => Op::Rnn(Rnn {
                layer: with(rnn.layer),
                ..rnn
            }),
            Op::Lstm(lstm) => Op::Lstm(Lstm {
                layer: with(lstm.layer),
            }),
            Op::Gru(gru) => Op::Gru(Gru {
                layer: with(gru.layer),
                recurrent_bias: match layer.recurrent_bias.is_empty() {
                    true => None,
                    false => Some(word(self, &layer.recurrent_bias)?),
                },
                ..gru
            }),
            _ => return Err(self.misfit(name, x)),
        };
        let shape = self.recurrent_shape(name, x, units, gives)?;
        let output = Tensor::activation(shape, DType::I8, layer.output.quant());
        self.node(name, op, x, output)
    }
}
