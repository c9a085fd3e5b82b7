//! The papers' formulas in naive f64 loops, and central differences.

use super::*;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The output of a layer and its state after each step. Where `at_cuts` gives the states of another run, the walk
/// goes on from these at the borders of truncation: what it depends on then is what the truncated gradient counts.
pub(super) fn run(
    kind: Kind,
    walk: &Walk,
    numbers: &Numbers<f64>,
    at_cuts: Option<&[Vec<f64>]>,
) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (inputs, units) = (walk.inputs, walk.units);
    let columns = kind.gates() * units;
    let mut y = vec![0.0; walk.y_len()];
    let mut states = vec![];
    let mut state = numbers.state.clone();
    for step in 0..walk.steps {
        let time = if walk.reverse {
            walk.steps - 1 - step
        } else {
            step
        };
        let cut =
            walk.truncate > 0 && step > 0 && (walk.steps - step).is_multiple_of(walk.truncate);
        if let (true, Some(at_cuts)) = (cut, at_cuts) {
            state = at_cuts[step - 1].clone();
        }
        let row = if walk.repeat { 0 } else { time };
        let x = &numbers.x[row * inputs..][..inputs];
        let from_x = |c: usize| -> f64 {
            let products = (0..inputs).map(|k| x[k] * numbers.kernel[k * columns + c]);
            numbers.bias[c] + products.sum::<f64>()
        };
        let from_h = |h: &[f64], c: usize| -> f64 {
            let products = (0..units).map(|j| h[j] * numbers.recurrent[j * columns + c]);
            numbers.recurrent_bias.get(c).unwrap_or(&0.0) + products.sum::<f64>()
        };
        let h = state[..units].to_vec();
        match kind {
            Kind::Rnn(activation) => {
                for (j, state) in state.iter_mut().enumerate() {
                    let z = from_x(j) + from_h(&h, j);
                    *state = if activation == Activation::Tanh {
                        z.tanh()
                    } else if activation == Activation::Sigmoid {
                        sigmoid(z)
                    } else if activation == Activation::Relu {
                        z.max(0.0)
                    } else {
                        z
                    };
                }
            }
            Kind::Lstm => {
                for j in 0..units {
                    let z = |gate: usize| {
                        let c = gate * units + j;
                        from_x(c) + from_h(&h, c)
                    };
                    let (i, f, g, o) = (sigmoid(z(0)), sigmoid(z(1)), z(2).tanh(), sigmoid(z(3)));
                    let c = f * state[units + j] + i * g;
                    state[units + j] = c;
                    state[j] = o * c.tanh();
                }
            }
            Kind::Gru { reset_after } => {
                let gate = |gate: usize| -> Vec<f64> {
                    (0..units)
                        .map(|j| gate * units + j)
                        .map(|c| sigmoid(from_x(c) + from_h(&h, c)))
                        .collect()
                };
                let (r, z) = (gate(0), gate(1));
                let reset: Vec<f64> = (0..units).map(|j| r[j] * h[j]).collect();
                for j in 0..units {
                    let c = 2 * units + j;
                    let n = if reset_after {
                        from_x(c) + r[j] * from_h(&h, c)
                    } else {
                        from_x(c) + from_h(&reset, c)
                    };
                    state[j] = (1.0 - z[j]) * n.tanh() + z[j] * h[j];
                }
            }
        }
        if walk.whole {
            y[time * units..][..units].copy_from_slice(&state[..units]);
        } else {
            y.copy_from_slice(&state[..units]);
        }
        states.push(state.clone());
    }
    (y, states)
}

/// The gradient of Σ y · delta, by central differences.
pub(super) fn gradient(
    kind: Kind,
    walk: &Walk,
    numbers: &Numbers<f64>,
    delta: &[f64],
) -> Numbers<f64> {
    let (_, states) = run(kind, walk, numbers, None);
    let loss = |numbers: &Numbers<f64>| -> f64 {
        let (y, _) = run(kind, walk, numbers, Some(&states));
        y.iter().zip(delta).map(|(y, delta)| y * delta).sum()
    };
    let mut moved = numbers.clone();
    let mut gradient = numbers.clone();
    for part in 0..6 {
        for index in 0..numbers.parts()[part].1.len() {
            let value = numbers.parts()[part].1[index];
            const STEP: f64 = 1e-5;
            moved.parts_mut()[part][index] = value + STEP;
            let above = loss(&moved);
            moved.parts_mut()[part][index] = value - STEP;
            let below = loss(&moved);
            moved.parts_mut()[part][index] = value;
            gradient.parts_mut()[part][index] = (above - below) / (2.0 * STEP);
        }
    }
    gradient
}
