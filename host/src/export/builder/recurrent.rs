//! Recurrent layers: in f32 or Q16, as what they read, and in int8.

use nn_core::ops::{Gru, Lstm, Op, Recurrent, Rnn};
use nn_core::tensor::{DType, Quant, Shape, Tensor, TensorId};

use super::{BuildError, Builder, checked_shape};
use crate::export::Int8Recurrent;

/// What a recurrent layer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// The state after the last step: `[units]`.
    Last,
    /// The state after each step of its input: `[steps, units]`.
    Sequence,
    /// The state after each of so many steps, each of which reads the same vector.
    Steps(usize),
}

impl Builder {
    /// The weights of a recurrent layer of `gates` gates that reads `x`: kernel `[features, gates · units]`,
    /// recurrent kernel `[units, gates · units]`, bias `[gates · units]`. It goes forward and keeps no state.
    pub fn recurrent_weights(
        &mut self,
        name: &str,
        x: TensorId,
        kernel: &[f32],
        recurrent: &[f32],
        bias: &[f32],
    ) -> Result<Recurrent, BuildError> {
        let features = self.last_dim(name, x)?;
        let columns = bias.len();
        let units = recurrent.len() / columns.max(1);
        Ok(Recurrent {
            kernel: self.weight_like(x, &[features, columns], kernel)?,
            recurrent: self.weight_like(x, &[units, columns], recurrent)?,
            bias: Some(self.weight_like(x, &[columns], bias)?),
            reverse: false,
            stateful: false,
            truncate: 0,
            requant: None,
        })
    }

    /// A simple recurrent layer; further `inputs` are the state at which it begins.
    pub fn rnn(
        &mut self,
        name: &str,
        inputs: &[TensorId],
        rnn: Rnn,
        gives: Gives,
    ) -> Result<TensorId, BuildError> {
        self.recurrent(name, inputs, Op::Rnn(rnn), rnn.layer, gives)
    }

    /// An LSTM; further `inputs` are the state at which it begins: h, c.
    pub fn lstm(
        &mut self,
        name: &str,
        inputs: &[TensorId],
        layer: Recurrent,
        gives: Gives,
    ) -> Result<TensorId, BuildError> {
        self.recurrent(name, inputs, Op::Lstm(Lstm { layer }), layer, gives)
    }

    /// A GRU; further `inputs` are the state at which it begins.
    pub fn gru(
        &mut self,
        name: &str,
        inputs: &[TensorId],
        gru: Gru,
        gives: Gives,
    ) -> Result<TensorId, BuildError> {
        self.recurrent(name, inputs, Op::Gru(gru), gru.layer, gives)
    }

    fn recurrent(
        &mut self,
        name: &str,
        inputs: &[TensorId],
        op: Op,
        layer: Recurrent,
        gives: Gives,
    ) -> Result<TensorId, BuildError> {
        let x = self.first(inputs)?;
        let recurrent = self.tensor(layer.recurrent).shape;
        let units = recurrent.dims().first().map_or(0, |&units| units as usize);
        let shape = self.recurrent_shape(name, x, units, gives)?;
        self.real(name, op, inputs, shape)
    }

    /// The shape of a recurrent layer's output.
    fn recurrent_shape(
        &self,
        name: &str,
        x: TensorId,
        units: usize,
        gives: Gives,
    ) -> Result<Shape, BuildError> {
        let steps = match (gives, self.tensor(x).shape.dims()) {
            (Gives::Last, _) => None,
            (Gives::Sequence, &[steps, _]) => Some(steps as usize),
            (Gives::Sequence, _) => return Err(self.misfit(name, x)),
            (Gives::Steps(steps), _) => Some(steps),
        };
        match steps {
            Some(steps) => checked_shape(&[steps, units], 0),
            None => checked_shape(&[units], 0),
        }
    }

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
