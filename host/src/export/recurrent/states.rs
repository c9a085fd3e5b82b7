//! What a recurrent layer keeps between its steps, on samples: the ranges that its int8 form is made from.
//!
//! A session of `nn_core` shows a layer's output, which may be the last h alone, and never an LSTM's cell. So the steps
//! are walked here, in f64, on the input that the session saw.

use super::RecurrentWeights;
use crate::export::Range;
use crate::export::network::Cell;

/// What was observed of one direction of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::export) struct States {
    /// h after each step, and the 0 before the first.
    pub(in crate::export) hidden: Range,
    /// The largest magnitude of an LSTM's cell.
    pub(in crate::export) cell: f32,
}

impl States {
    /// Of a layer that has not begun: h and c are 0.
    pub(in crate::export) const NONE: Self = Self {
        hidden: Range { min: 0.0, max: 0.0 },
        cell: 0.0,
    };

    /// What covers both.
    pub(in crate::export) fn join(self, other: Self) -> Self {
        Self {
            hidden: self.hidden.join(other.hidden),
            cell: self.cell.max(other.cell),
        }
    }
}

/// A walk over sequences that can be taken up again, as a stateful layer does.
#[derive(Debug)]
pub(in crate::export) struct Walk<'w> {
    cell: Cell,
    weights: RecurrentWeights<'w>,
    hidden: Vec<f64>,
    memory: Vec<f64>,
}

impl<'w> Walk<'w> {
    /// From the state 0.
    pub(in crate::export) fn new(cell: Cell, weights: RecurrentWeights<'w>) -> Self {
        let units = weights.recurrent.len() / weights.bias.len().max(1);
        let zeros = vec![0.0; units];
        Self {
            cell,
            weights,
            hidden: zeros.clone(),
            memory: zeros,
        }
    }

    /// Back to the state 0.
    pub(in crate::export) fn reset(&mut self) {
        self.hidden.fill(0.0);
        self.memory.fill(0.0);
    }

    /// Walks over `[steps, inputs]`, from the last to the first in reverse.
    pub(in crate::export) fn over(&mut self, x: &[f32], reverse: bool) -> States {
        let columns = self.weights.bias.len();
        let inputs = self.weights.kernel.len() / columns.max(1);
        let mut steps: Vec<&[f32]> = x.chunks(inputs.max(1)).collect();
        if reverse {
            steps.reverse();
        }
        let observed = steps.into_iter().map(|x| self.step(x));
        observed.fold(States::NONE, States::join)
    }

    fn step(&mut self, x: &[f32]) -> States {
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let weights = self.weights;
        let inward = sums(&x, weights.kernel, weights.bias);
        let zeros = vec![0.0; weights.bias.len()];
        let biases = match weights.recurrent_bias {
            [] => &zeros,
            biases => biases,
        };
        let around = sums(&self.hidden, weights.recurrent, biases);
        let units = self.hidden.len();
        let mut observed = States::NONE;
        for unit in 0..units {
            let of = |gate: usize| (inward[gate * units + unit], around[gate * units + unit]);
            let z = |gate| of(gate).0 + of(gate).1;
            let (h, c) = (self.hidden[unit], self.memory[unit]);
            let (h, c) = match self.cell {
                Cell::Rnn(nn_core::ops::Activation::Relu) => (z(0).max(0.0), 0.0),
                Cell::Rnn(_) => (z(0).tanh(), 0.0),
                Cell::Lstm => {
                    let c = sigmoid(z(1)) * c + sigmoid(z(0)) * z(2).tanh();
                    (sigmoid(z(3)) * c.tanh(), c)
                }
                Cell::Gru => {
                    let (p, q) = of(2);
                    let n = (p + sigmoid(z(0)) * q).tanh();
                    ((1.0 - sigmoid(z(1))) * n + sigmoid(z(1)) * h, 0.0)
                }
            };
            (self.hidden[unit], self.memory[unit]) = (h, c);
            let h = h as f32;
            observed = observed.join(States {
                hidden: Range { min: h, max: h },
                cell: c.abs() as f32,
            });
        }
        observed
    }
}

/// b + x · W, W `[inputs, columns]`.
fn sums(x: &[f64], weight: &[f32], bias: &[f32]) -> Vec<f64> {
    let mut sums: Vec<f64> = bias.iter().map(|&bias| f64::from(bias)).collect();
    for (x, row) in x.iter().zip(weight.chunks(bias.len().max(1))) {
        for (sum, &weight) in sums.iter_mut().zip(row) {
            *sum += x * f64::from(weight);
        }
    }
    sums
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}
