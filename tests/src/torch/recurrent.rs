//! Recurrent layers by libtorch's own, and by elementary operations where it has none: an RNN with another activation,
//! a GRU that resets before the product.

use nn_core::ops::{Activation, Op, Recurrent};
use tch::{Kind, Tensor};

use super::{Torch, activate};

impl Torch<'_> {
    /// A recurrent node, whose output has `rank` dimensions and is of `steps` rows where it has two.
    pub(super) fn recurrent(&self, op: &Op, inputs: &[&Tensor], output: &[i64]) -> Tensor {
        let (layer, gates) = match op {
            Op::Rnn(rnn) => (rnn.layer, 1),
            Op::Lstm(lstm) => (lstm.layer, 4),
            Op::Gru(gru) => (gru.layer, 3),
            op => panic!("{} is not recurrent", op.name()),
        };
        let units = *output.last().expect("units");
        let x = match (inputs[0].dim(), output) {
            (1, [steps, _]) => inputs[0].unsqueeze(0).repeat([*steps, 1]),
            (1, _) => inputs[0].unsqueeze(0),
            _ => inputs[0].shallow_clone(),
        };
        let x = if layer.reverse { x.flip([0]) } else { x };
        let zero = |len: i64| Tensor::zeros([len], (Kind::Float, x.device()));
        let state = |index: usize| match inputs.get(1 + index) {
            Some(state) => state.shallow_clone(),
            None => zero(units),
        };
        let bias = |id| match self.optional(id) {
            Some(bias) => bias.shallow_clone(),
            None => zero(gates * units),
        };
        let bias_recurrent = match op {
            Op::Gru(gru) => bias(gru.recurrent_bias),
            _ => bias(None),
        };
        let y = match op {
            Op::Rnn(rnn) if !matches!(rnn.activation, Activation::Tanh | Activation::Relu) => self
                .by_steps(&layer, &x, state(0), |from_x, h, kernel| {
                    activate(&(from_x + h.matmul(kernel)), rnn.activation)
                }),
            Op::Gru(gru) if !gru.reset_after => {
                self.by_steps(&layer, &x, state(0), |from_x, h, kernel| {
                    let part =
                        |of: &Tensor, first, count| of.narrow(-1, first * units, count * units);
                    let rz = part(&from_x, 0, 2) + h.matmul(&part(kernel, 0, 2));
                    let rz = rz.sigmoid();
                    let (r, z) = (part(&rz, 0, 1), part(&rz, 1, 1));
                    let n = part(&from_x, 2, 1) + (r * h).matmul(&part(kernel, 2, 1));
                    (1.0 - &z) * n.tanh() + z * h
                })
            }
            _ => {
                let weights = [
                    self.weight(layer.kernel).tr(),
                    self.weight(layer.recurrent).tr(),
                    bias(layer.bias),
                    bias_recurrent,
                ];
                let x = x.unsqueeze(1);
                let state = |index| state(index).view([1, 1, units]);
                let y = match op {
                    Op::Lstm(_) => {
                        let states = [state(0), state(1)];
                        x.lstm(&states, &weights, true, 1, 0.0, true, false, false)
                            .0
                    }
                    Op::Gru(_) => {
                        x.gru(&state(0), &weights, true, 1, 0.0, true, false, false)
                            .0
                    }
                    Op::Rnn(rnn) if rnn.activation == Activation::Relu => {
                        x.rnn_relu(&state(0), &weights, true, 1, 0.0, true, false, false)
                            .0
                    }
                    _ => {
                        x.rnn_tanh(&state(0), &weights, true, 1, 0.0, true, false, false)
                            .0
                    }
                };
                y.squeeze_dim(1)
            }
        };
        match output {
            [_] => y.select(0, -1),
            _ if layer.reverse => y.flip([0]),
            _ => y,
        }
    }

    /// h after each step; `next` makes it of x · W + b, the h before, and U.
    fn by_steps(
        &self,
        layer: &Recurrent,
        x: &Tensor,
        first: Tensor,
        next: impl Fn(Tensor, &Tensor, &Tensor) -> Tensor,
    ) -> Tensor {
        let from_x = x.matmul(self.weight(layer.kernel));
        let from_x = match self.optional(layer.bias) {
            Some(bias) => from_x + bias,
            None => from_x,
        };
        let mut h = first;
        let mut all = Vec::new();
        for step in 0..from_x.size()[0] {
            h = next(from_x.select(0, step), &h, self.weight(layer.recurrent));
            all.push(h.shallow_clone());
        }
        Tensor::stack(&all, 0)
    }
}
