//! The papers' formulas, in naive f64 loops.

use nn_core::ops::Activation;

use super::Kind;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub(super) fn activate(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::None => z,
        Activation::Relu => z.max(0.0),
        Activation::Sigmoid => sigmoid(z),
        Activation::Tanh => z.tanh(),
        other => panic!("{other:?} is not used here"),
    }
}

pub(super) fn softmax(x: &[f64]) -> Vec<f64> {
    let max = x.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = x.iter().map(|x| (x - max).exp()).sum();
    x.iter().map(|x| (x - max).exp() / sum).collect()
}

pub(super) fn affine(x: &[f64], weight: &[f64], columns: usize, bias: &[f64]) -> Vec<f64> {
    let column = |c: usize| {
        let products = x
            .iter()
            .enumerate()
            .map(|(k, x)| x * weight[k * columns + c]);
        products.sum::<f64>() + bias.get(c).unwrap_or(&0.0)
    };
    (0..columns).map(column).collect()
}

/// One step of a cell; the state is h, then c.
pub(super) fn advance(kind: Kind, x: &[f64], weights: &[&[f64]], state: &mut [f64]) {
    let units = state.len() / 2;
    let columns = kind.gates() * units;
    let h = state[..units].to_vec();
    let from_x = affine(x, weights[0], columns, weights[2]);
    let from_h = affine(&h, weights[1], columns, weights.get(3).unwrap_or(&&[][..]));
    let z = |gate: usize, j: usize| from_x[gate * units + j] + from_h[gate * units + j];
    let reset: Vec<f64> = (0..units).map(|j| sigmoid(z(0, j)) * h[j]).collect();
    let from_reset = affine(&reset, weights[1], columns, &[]);
    for j in 0..units {
        match kind {
            Kind::Rnn(activation) => state[j] = activate(activation, z(0, j)),
            Kind::Lstm => {
                let c = sigmoid(z(1, j)) * state[units + j] + sigmoid(z(0, j)) * z(2, j).tanh();
                state[units + j] = c;
                state[j] = sigmoid(z(3, j)) * c.tanh();
            }
            Kind::Gru { reset_after } => {
                let n = 2 * units + j;
                let n = if reset_after {
                    (from_x[n] + sigmoid(z(0, j)) * from_h[n]).tanh()
                } else {
                    (from_x[n] + from_reset[n]).tanh()
                };
                let keep = sigmoid(z(1, j));
                state[j] = (1.0 - keep) * n + keep * h[j];
            }
        }
    }
}
