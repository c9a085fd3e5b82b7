//! Parity with libtorch: outputs and gradients of random graphs of every operator, by autograd. Feature `train`.
//!
//! f32: outputs to 10⁻⁵ and gradients to 10⁻⁴ of the largest, which is what sums in another order leave.
//! Q16: both to a number of units of 2⁻¹⁶ that grows with the sums (see `tolerance`).

use nn_core::ops::{Activation, Conv2d, Dense, Gru, Lstm, Op, Pool2d, Recurrent, Rnn};
use nn_core::tensor::{DType, TensorId};
use tests::graph::Net;
use tests::network::{ACTIVATIONS, Window};
use tests::random::Random;
use tests::torch::compare::{close, compare};

/// A graph under construction, and what may be read next.
struct Draw<'r> {
    random: &'r mut Random,
    net: Net,
    open: Vec<TensorId>,
}

impl Draw<'_> {
    fn weight(&mut self, dims: &[usize], fan_in: usize) -> TensorId {
        let limit = 1.5 / (fan_in.max(1) as f32).sqrt();
        let values = self.random.values(dims.iter().product(), limit);
        self.net.weight(dims, &values)
    }

    fn bias(&mut self, outputs: usize) -> Option<TensorId> {
        (!self.random.once_in(4)).then(|| {
            let values = self.random.values(outputs, 0.3);
            self.net.weight(&[outputs], &values)
        })
    }

    fn dense(&mut self, x: TensorId, outputs: usize, activation: Activation) -> TensorId {
        let mut dims = self.net.dims(x);
        let inputs = *dims.last().expect("a dimension");
        let weight = self.weight(&[inputs, outputs], inputs);
        let bias = self.bias(outputs);
        *dims.last_mut().expect("a dimension") = outputs;
        let op = Op::Dense(Dense {
            weight,
            bias,
            requant: None,
            activation,
        });
        self.net.node(op, &[x], &dims)
    }

    /// A recurrent layer of any kind over a sequence or a vector.
    fn recurrent(&mut self, x: TensorId) -> TensorId {
        let dims = self.net.dims(x);
        let (steps, inputs) = match dims[..] {
            [steps, inputs] => (steps, inputs),
            _ => (self.random.size(1, 5), dims[0]),
        };
        let units = self.random.pick(&[1, 4, 8, 11]);
        let gates = self.random.pick(&[1, 3, 4]);
        let layer = Recurrent {
            kernel: self.weight(&[inputs, gates * units], inputs),
            recurrent: self.weight(&[units, gates * units], units),
            bias: self.bias(gates * units),
            reverse: self.random.once_in(2),
            stateful: false,
            truncate: 0,
            requant: None,
        };
        let op = match gates {
            1 => Op::Rnn(Rnn {
                layer,
                activation: self.random.pick(&ACTIVATIONS),
            }),
            3 => {
                let reset_after = !self.random.once_in(3);
                let bias = self.bias(gates * units);
                Op::Gru(Gru {
                    layer,
                    reset_after,
                    recurrent_bias: bias.filter(|_| reset_after),
                })
            }
            _ => Op::Lstm(Lstm { layer }),
        };
        let mut reads = vec![x];
        if self.random.once_in(3) {
            // The states at which it begins are learnt.
            let flat = self.net.node(Op::Flatten, &[x], &[dims.iter().product()]);
            for _ in 0..if gates == 4 { 2 } else { 1 } {
                reads.push(self.dense(flat, units, Activation::Tanh));
            }
        }
        let last = self.random.once_in(3);
        let output = if last {
            vec![units]
        } else {
            vec![steps, units]
        };
        self.net.node(op, &reads, &output)
    }

    /// Any operator that takes `x`.
    fn step(&mut self, x: TensorId) -> TensorId {
        let dims = self.net.dims(x);
        let map = match dims[..] {
            [height, width, channels] => Some([height, width, channels]),
            _ => None,
        };
        match (map, self.random.size(0, 7)) {
            (Some([height, width, channels]), 0 | 1) => {
                let window = Window::draw(self.random, [height, width], 4);
                let outputs = self.random.pick(&[1, 3, 8, 9]);
                let kernel = [window.kernel[0], window.kernel[1], channels, outputs];
                let weight = self.weight(&kernel, kernel[0] * kernel[1] * channels);
                let bias = self.bias(outputs);
                let [rows, columns] = window.output([height, width]).expect("a fit");
                let op = Op::Conv2d(Conv2d {
                    weight,
                    bias,
                    requant: None,
                    stride: window.pool().stride,
                    padding: window.pool().padding,
                    dilation: [1, 1],
                    groups: 1,
                    activation: self.random.pick(&ACTIVATIONS),
                });
                self.net.node(op, &[x], &[rows, columns, outputs])
            }
            (Some([height, width, channels]), kind @ (2 | 3)) => {
                let window = Window::draw(self.random, [height, width], 3);
                let [rows, columns] = window.output([height, width]).expect("a fit");
                let pool: Pool2d = window.pool();
                let op = if kind == 2 {
                    Op::MaxPool2d(pool)
                } else {
                    Op::AvgPool2d(pool.into())
                };
                self.net.node(op, &[x], &[rows, columns, channels])
            }
            (_, 4) => {
                let op = match self.random.size(0, 5) {
                    0 => Op::Relu,
                    1 => Op::Sigmoid(None),
                    2 => Op::Tanh(None),
                    _ => Op::Activation(self.random.pick(&ACTIVATIONS)),
                };
                self.net.node(op, &[x], &dims)
            }
            (_, 5) if dims.last() > Some(&1) => {
                let op = if self.random.once_in(2) {
                    Op::Softmax(None)
                } else {
                    Op::LogSoftmax(None)
                };
                self.net.node(op, &[x], &dims)
            }
            (_, 6) => self.net.node(Op::Flatten, &[x], &[dims.iter().product()]),
            (None, 2 | 3) => self.recurrent(x),
            _ => {
                let outputs = self.random.pick(&[1, 2, 7, 9]);
                let activation = self.random.pick(&ACTIVATIONS);
                self.dense(x, outputs, activation)
            }
        }
    }
}

/// A graph whose output is a vector that a dense layer writes.
fn draw(random: &mut Random, dtype: DType) -> (Net, TensorId) {
    let mut draw = Draw {
        random,
        net: Net::new(dtype),
        open: Vec::new(),
    };
    let dims = match draw.random.size(0, 2) {
        0 => vec![draw.random.size(2, 9)],
        1 => vec![draw.random.size(2, 5), draw.random.size(2, 6)],
        _ => vec![
            draw.random.size(2, 7),
            draw.random.size(2, 7),
            draw.random.size(1, 3),
        ],
    };
    let input = draw.net.input(&dims);
    draw.open.push(input);
    for _ in 0..draw.random.size(1, 6) {
        let x = *draw.open.last().expect("something to read");
        let y = draw.step(x);
        draw.open.push(y);
    }
    finish(draw)
}

/// A graph of recurrent layers, as deep as three.
fn draw_recurrent(random: &mut Random, dtype: DType) -> (Net, TensorId) {
    let mut draw = Draw {
        random,
        net: Net::new(dtype),
        open: Vec::new(),
    };
    let steps = draw.random.size(1, 12);
    let inputs = draw.random.pick(&[1, 3, 8, 9]);
    let mut x = draw.net.input(&[steps, inputs]);
    for _ in 0..draw.random.size(1, 3) {
        x = draw.recurrent(x);
    }
    draw.open.push(x);
    finish(draw)
}

/// A dense layer over the last tensor.
fn finish(mut draw: Draw) -> (Net, TensorId) {
    let last = *draw.open.last().expect("something to read");
    let elements = draw.net.dims(last).iter().product();
    let flat = draw.net.node(Op::Flatten, &[last], &[elements]);
    let outputs = draw.random.size(2, 5);
    let output = draw.dense(flat, outputs, Activation::None);
    (draw.net, output)
}

#[test]
fn recurrent_layers_in_f32() {
    for seed in 0..150 {
        let mut random = Random::new(90_000 + seed);
        let (net, output) = draw_recurrent(&mut random, DType::F32);
        let compared = compare(&net, output, &mut random);
        let what = |part| format!("recurrent, seed {seed}: {part}");
        close(&what("output"), &compared.outputs, 1e-5, 0.0);
        close(&what("gradient"), &compared.gradients, 1e-4, 1e-6);
    }
}

#[test]
fn recurrent_layers_in_q16() {
    for seed in 0..150 {
        let mut random = Random::new(90_000 + seed);
        let (net, output) = draw_recurrent(&mut random, DType::Q16);
        let compared = compare(&net, output, &mut random);
        let what = |part| format!("recurrent in Q16, seed {seed}: {part}");
        // 65 units of 2⁻¹⁶: through up to 12 steps of up to 3 layers each number is off by a unit or two, and each sum
        // by as many halves as it has terms (up to 24); a learnt weight by one more.
        close(&what("output"), &compared.outputs, 1e-3, 1e-3);
        close(&what("gradient"), &compared.gradients, 1e-3, 1e-3);
    }
}

#[test]
fn random_graphs_in_f32() {
    for seed in 0..200 {
        let mut random = Random::new(70_000 + seed);
        let (net, output) = draw(&mut random, DType::F32);
        let compared = compare(&net, output, &mut random);
        close(
            &format!("seed {seed}: output"),
            &compared.outputs,
            1e-5,
            0.0,
        );
        close(
            &format!("seed {seed}: gradient"),
            &compared.gradients,
            1e-4,
            1e-6,
        );
    }
}

#[test]
fn random_graphs_in_q16() {
    for seed in 0..200 {
        let mut random = Random::new(70_000 + seed);
        let (net, output) = draw(&mut random, DType::Q16);
        let compared = compare(&net, output, &mut random);
        let what = |part| format!("Q16, seed {seed}: {part}");
        // As for recurrent layers: each number is off by a unit of 2⁻¹⁶ or two in each of up to six layers.
        close(&what("output"), &compared.outputs, 1e-3, 1e-3);
        close(&what("gradient"), &compared.gradients, 1e-3, 1e-3);
    }
}
