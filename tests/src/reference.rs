//! A chain of layers in naive loops, written from the formulas and from `docs/numerics.md`, not from nn-core.
//!
//! In f64 it is the oracle for gradients: there is no backward pass here to be wrong in the same way, only the loss,
//! and its central differences. In f32, with every reduction in the documented order, it gives the forward pass's bits.

use nn_core::ops::Activation;
use nn_core::train::{Loss, Sgd};

use crate::network::{Layer, Network, Window};

/// A number that a reference computes with.
pub trait Real: Copy + PartialOrd + std::fmt::Debug {
    /// From an f32, exactly.
    fn of(x: f32) -> Self;
    /// Sum.
    fn add(self, other: Self) -> Self;
    /// Difference.
    fn sub(self, other: Self) -> Self;
    /// Product.
    fn mul(self, other: Self) -> Self;
    /// Quotient.
    fn div(self, other: Self) -> Self;
    /// e^x.
    fn exp(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
}

macro_rules! real {
    ($type:ty, $exp:path, $tanh:path) => {
        impl Real for $type {
            fn of(x: f32) -> Self {
                Self::from(x)
            }
            fn add(self, other: Self) -> Self {
                self + other
            }
            fn sub(self, other: Self) -> Self {
                self - other
            }
            fn mul(self, other: Self) -> Self {
                self * other
            }
            fn div(self, other: Self) -> Self {
                self / other
            }
            fn exp(self) -> Self {
                $exp(self)
            }
            fn tanh(self) -> Self {
                $tanh(self)
            }
        }
    };
}
real!(f64, f64::exp, f64::tanh);
real!(f32, libm::expf, libm::tanhf);

fn held<R: Real>(x: R, high: R) -> R {
    if x >= high {
        high
    } else if x > R::of(0.0) {
        x
    } else {
        R::of(0.0)
    }
}

fn activate<R: Real>(activation: Activation, x: R) -> R {
    let (zero, one) = (R::of(0.0), R::of(1.0));
    match activation {
        Activation::None => x,
        Activation::Relu => {
            if x > zero {
                x
            } else {
                zero
            }
        }
        Activation::Sigmoid => one.div(one.add(zero.sub(x).exp())),
        Activation::Tanh => x.tanh(),
        Activation::Relu6 => held(x, R::of(6.0)),
        Activation::LeakyRelu(slope) => {
            if x > zero {
                x
            } else {
                x.mul(R::of(slope))
            }
        }
        Activation::HardSigmoid => held(x.mul(R::of(1.0 / 6.0)).add(R::of(0.5)), one),
        Activation::Step => R::of(if x >= zero { 1.0 } else { 0.0 }),
    }
}

/// Calls `visit(tap row, tap column, input row, input column)` for each tap inside the input, row by row.
fn taps(
    window: &Window,
    map: [usize; 2],
    at: [usize; 2],
    mut visit: impl FnMut(usize, usize, usize, usize),
) {
    for i in 0..window.kernel[0] {
        for j in 0..window.kernel[1] {
            let row = (at[0] * window.stride[0] + i) as i64 - window.padding[0] as i64;
            let column = (at[1] * window.stride[1] + j) as i64 - window.padding[1] as i64;
            if (0..map[0] as i64).contains(&row) && (0..map[1] as i64).contains(&column) {
                visit(i, j, row as usize, column as usize);
            }
        }
    }
}

fn layer<R: Real>(layer: &Layer, shape: &[usize], x: &[R], weight: &[R], bias: &[R]) -> Vec<R> {
    let output = layer.output(shape);
    match layer {
        Layer::Dense {
            outputs,
            activation,
            ..
        } => (0..*outputs)
            .map(|o| {
                let start = bias.get(o).copied().unwrap_or(R::of(0.0));
                let sum = x.iter().enumerate().fold(start, |sum, (j, &x)| {
                    sum.add(x.mul(weight[j * outputs + o]))
                });
                activate(*activation, sum)
            })
            .collect(),
        Layer::Conv {
            window,
            outputs,
            activation,
            ..
        } => {
            let [height, width, channels] = [shape[0], shape[1], shape[2]];
            let mut y = Vec::new();
            for row in 0..output[0] {
                for column in 0..output[1] {
                    for o in 0..*outputs {
                        let mut sum = bias.get(o).copied().unwrap_or(R::of(0.0));
                        taps(window, [height, width], [row, column], |i, j, r, c| {
                            for channel in 0..channels {
                                let tap = (i * window.kernel[1] + j) * channels + channel;
                                let x = x[(r * width + c) * channels + channel];
                                sum = sum.add(x.mul(weight[tap * outputs + o]));
                            }
                        });
                        y.push(activate(*activation, sum));
                    }
                }
            }
            y
        }
        Layer::MaxPool(window) | Layer::AvgPool(window) => {
            let [height, width, channels] = [shape[0], shape[1], shape[2]];
            let mut y = Vec::new();
            for row in 0..output[0] {
                for column in 0..output[1] {
                    for channel in 0..channels {
                        let mut cells = Vec::new();
                        taps(window, [height, width], [row, column], |_, _, r, c| {
                            cells.push(x[(r * width + c) * channels + channel]);
                        });
                        y.push(if matches!(layer, Layer::MaxPool(_)) {
                            cells[1..].iter().fold(
                                cells[0],
                                |best, &cell| if cell > best { cell } else { best },
                            )
                        } else {
                            let sum = cells.iter().fold(R::of(0.0), |sum, &cell| sum.add(cell));
                            sum.div(R::of(cells.len() as f32))
                        });
                    }
                }
            }
            y
        }
        Layer::Flatten => x.to_vec(),
        Layer::Activation(activation) => x.iter().map(|&x| activate(*activation, x)).collect(),
        Layer::Softmax => {
            let max = x.iter().fold(x[0], |max, &x| if x > max { x } else { max });
            let e: Vec<R> = x.iter().map(|x| x.sub(max).exp()).collect();
            let sum = e.iter().fold(R::of(0.0), |sum, &e| sum.add(e));
            e.iter().map(|e| e.div(sum)).collect()
        }
    }
}

/// The output of every layer. `parameters` are those of all layers in order, each weight before its bias.
pub fn forward<R: Real>(network: &Network, parameters: &[R], x: &[R]) -> Vec<Vec<R>> {
    let mut outputs: Vec<Vec<R>> = Vec::new();
    let mut shape = network.input.clone();
    let mut rest = parameters;
    for each in &network.layers {
        let (weights, biases) = each.parameters(&shape);
        let (weight, tail) = rest.split_at(weights);
        let (bias, tail) = tail.split_at(biases);
        rest = tail;
        let x = outputs.last().map_or(x, |y| y);
        let y = layer(each, &shape, x, weight, bias);
        shape = each.output(&shape);
        assert_eq!(y.len(), shape.iter().product::<usize>());
        outputs.push(y);
    }
    assert!(rest.is_empty(), "parameters left over");
    outputs
}

/// The loss of the network's output.
pub fn loss(network: &Network, parameters: &[f64], x: &[f64], target: &[f64], loss: Loss) -> f64 {
    let outputs = forward(network, parameters, x);
    let y = outputs.last().expect("a layer");
    let pairs = y.iter().zip(target);
    let n = y.len() as f64;
    match loss {
        Loss::CrossEntropy => -pairs.map(|(p, t)| t * p.ln()).sum::<f64>(),
        Loss::MeanSquaredError => pairs.map(|(y, t)| (y - t).powi(2)).sum::<f64>() / n,
        Loss::BinaryCrossEntropy => {
            let terms = pairs.map(|(y, t)| t * y.ln() + (1.0 - t) * (1.0 - y).ln());
            -terms.sum::<f64>() / n
        }
        Loss::MeanAbsoluteError => pairs.map(|(y, t)| (y - t).abs()).sum::<f64>() / n,
        Loss::Huber { delta } => {
            let delta = f64::from(delta);
            let term = |error: f64| match error <= delta {
                true => error * error / 2.0,
                false => delta * (error - delta / 2.0),
            };
            pairs.map(|(y, t)| term((y - t).abs())).sum::<f64>() / n
        }
    }
}

/// The loss's gradient by central differences. Their error is about h² = 10⁻¹⁰ of the third derivative, plus
/// 10⁻¹⁶ / h = 10⁻¹¹ of the loss: far below what f32 resolves.
pub fn gradient(
    network: &Network,
    parameters: &[f64],
    x: &[f64],
    target: &[f64],
    kind: Loss,
) -> Vec<f64> {
    let h = 1e-5;
    let mut moved = parameters.to_vec();
    (0..parameters.len())
        .map(|index| {
            let mut at = |step: f64| {
                moved[index] = parameters[index] + step;
                loss(network, &moved, x, target, kind)
            };
            let slope = (at(h) - at(-h)) / (2.0 * h);
            moved[index] = parameters[index];
            slope
        })
        .collect()
}

/// One step of stochastic gradient descent: g ← g + decay · w; v ← momentum · v + g; w ← w − rate · v.
pub fn descend(
    parameters: &mut [f64],
    velocities: &mut [f64],
    gradient: &[f64],
    learns: &[bool],
    sgd: Sgd,
) {
    for (((w, v), g), learns) in parameters
        .iter_mut()
        .zip(velocities)
        .zip(gradient)
        .zip(learns)
    {
        if *learns {
            *v = f64::from(sgd.momentum) * *v + g + f64::from(sgd.weight_decay) * *w;
            *w -= f64::from(sgd.learning_rate) * *v;
        }
    }
}
