//! Recurrent layers: each direction is a node, and two lie side by side.

use nn_core::ops::{self, Op};
use nn_core::tensor::TensorId;

use super::walk::Lowering;
use crate::export::network::{Cell, Layer, Recurrent, RecurrentWeights};
use crate::export::quantization::Affine;
use crate::export::recurrent::{CellState, States, quantize_gru, quantize_lstm, quantize_rnn};
use crate::export::{ExportError, builder};
use crate::recipe::Gives;

impl Lowering<'_> {
    pub(super) fn recurrent(
        &mut self,
        layer: &Layer,
        recurrent: &Recurrent,
        x: TensorId,
    ) -> Result<TensorId, ExportError> {
        let features = self.builder.tensor(x).shape.dims().last().copied();
        let features = features.unwrap_or(0) as usize;
        let ids = self.weights(layer, |builder| {
            let mut ids = Vec::new();
            for weights in &recurrent.directions {
                let columns = weights.bias.len();
                let units = weights.recurrent.len() / columns.max(1);
                ids.push(builder.weight_f32(&[features, columns], &weights.kernel)?);
                ids.push(builder.weight_f32(&[units, columns], &weights.recurrent)?);
                ids.push(builder.weight_f32(&[columns], &weights.bias)?);
                if let Some(bias) = &weights.recurrent_bias {
                    ids.push(builder.weight_f32(&[columns], bias)?);
                }
            }
            Ok(ids)
        })?;
        let each = ids.len() / recurrent.directions.len().max(1);
        let mut outputs = Vec::new();
        for (direction, ids) in ids.chunks(each.max(1)).enumerate() {
            let name = recurrent.node_name(&layer.name, direction);
            let weights = &recurrent.directions[direction];
            outputs.push(self.direction(&name, x, recurrent, weights, ids, direction > 0)?);
        }
        self.side_by_side(layer, &outputs)
    }

    fn direction(
        &mut self,
        name: &str,
        x: TensorId,
        recurrent: &Recurrent,
        weights: &RecurrentWeights,
        ids: &[TensorId],
        reverse: bool,
    ) -> Result<TensorId, ExportError> {
        let layer = ops::Recurrent {
            kernel: ids[0],
            recurrent: ids[1],
            bias: Some(ids[2]),
            truncate: recurrent.truncate,
            ..node(recurrent, reverse)
        };
        let gives = gives(recurrent.gives);
        Ok(match recurrent.cell {
            Cell::Rnn(activation) => {
                let rnn = ops::Rnn { layer, activation };
                self.builder.rnn(name, &[x], rnn, gives)?
            }
            Cell::Lstm => self.builder.lstm(name, &[x], layer, gives)?,
            Cell::Gru => {
                let gru = ops::Gru {
                    layer,
                    reset_after: true,
                    recurrent_bias: weights.recurrent_bias.as_ref().map(|_| ids[3]),
                };
                self.builder.gru(name, &[x], gru, gives)?
            }
        })
    }

    /// In int8. `states` is what each direction kept between its steps on the calibration samples.
    pub(super) fn recurrent_i8(
        &mut self,
        layer: &Layer,
        recurrent: &Recurrent,
        x: TensorId,
        input: Affine,
        states: &[States],
    ) -> Result<TensorId, ExportError> {
        if states.len() != recurrent.directions.len() {
            let layer = layer.name.clone();
            return Err(ExportError::Uncalibrated { layer });
        }
        // One scale for h in both directions: they lie side by side without another rounding.
        let all = states.iter().copied().fold(States::NONE, States::join);
        let output = Affine::covering(all.hidden);
        let gives = gives(recurrent.gives);
        let mut outputs = Vec::new();
        for (direction, (weights, states)) in recurrent.directions.iter().zip(states).enumerate() {
            let weights = weights.borrow(&layer.name);
            let node = node(recurrent, direction > 0);
            let (quantized, op) = match recurrent.cell {
                Cell::Rnn(activation) => {
                    let relu = activation == ops::Activation::Relu;
                    let rnn = ops::Rnn {
                        layer: node,
                        activation,
                    };
                    (quantize_rnn(weights, input, output, relu)?, Op::Rnn(rnn))
                }
                Cell::Lstm => {
                    let cell = CellState::covering(states.cell, 0.0);
                    let lstm = ops::Lstm { layer: node };
                    (quantize_lstm(weights, input, output, cell)?, Op::Lstm(lstm))
                }
                Cell::Gru => {
                    let gru = ops::Gru {
                        layer: node,
                        reset_after: true,
                        recurrent_bias: None,
                    };
                    (quantize_gru(weights, input, output)?, Op::Gru(gru))
                }
            };
            let name = recurrent.node_name(&layer.name, direction);
            let y = self.builder.recurrent_i8(&name, x, &quantized, op, gives)?;
            outputs.push(y);
        }
        self.side_by_side(layer, &outputs)
    }

    /// The outputs of a layer's directions as one.
    fn side_by_side(
        &mut self,
        layer: &Layer,
        outputs: &[TensorId],
    ) -> Result<TensorId, ExportError> {
        match *outputs {
            [one] => Ok(one),
            // Shapes have at most four axes.
            _ => {
                Ok(self
                    .builder
                    .concat(&layer.name, outputs, layer.output_shape.len() as u8 - 1)?)
            }
        }
    }
}

/// A node of a layer, still without weights.
fn node(recurrent: &Recurrent, reverse: bool) -> ops::Recurrent {
    ops::Recurrent {
        kernel: 0,
        recurrent: 0,
        bias: None,
        reverse,
        stateful: recurrent.stateful,
        truncate: 0,
        requant: None,
    }
}

fn gives(gives: Gives) -> builder::Gives {
    match gives {
        Gives::Last => builder::Gives::Last,
        Gives::Sequence => builder::Gives::Sequence,
    }
}
