//! Parity with libtorch of convolutions, poolings and batch norms over random shapes: sequences, maps and sequences of
//! maps; stride, dilation, padding, groups, depthwise. Feature `train`.
//!
//! f32: outputs to 10⁻⁵, gradients to 10⁻⁴ of the largest, which is what sums in another order leave.
//! Q16: outputs to 8 units of 2⁻¹⁶: three layers round each number by half a unit, and the layers above add such errors
//! up, times weights that shrink with how many there are. Gradients sum over pixels: 16 units, and 2·10⁻⁴ of the largest.

use nn_core::ops::{Activation, AvgPool2d, BatchNorm, Conv2d, Dense, Op, Pool2d};
use nn_core::tensor::{DType, TensorId};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use tests::graph::Net;
use tests::network::ACTIVATIONS;
use tests::random::Random;
use tests::torch::compare::{close, compare};

/// As many cases, always the same ones.
fn config(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(3),
        failure_persistence: None,
        ..Config::default()
    }
}

/// A window that fits, and what it is laid over.
#[derive(Debug, Clone)]
struct Geometry {
    /// `[steps]`, `[height, width]` or `[frames, height, width]`.
    input: Vec<usize>,
    output: Vec<usize>,
    kernel: [usize; 2],
    stride: [u16; 2],
    dilation: [u8; 2],
    padding: [u8; 4],
}

impl Geometry {
    fn input(&self, channels: usize) -> Vec<usize> {
        [&self.input[..], &[channels]].concat()
    }

    fn output(&self, channels: usize) -> Vec<usize> {
        [&self.output[..], &[channels]].concat()
    }

    fn pool(&self) -> Pool2d {
        Pool2d {
            kernel: self.kernel.map(|k| k as u16),
            stride: self.stride,
            padding: self.padding,
        }
    }
}

fn geometry(largest_dilation: u8) -> impl Strategy<Value = Geometry> {
    let pair = |least: usize, most: usize| prop::array::uniform2(least..=most);
    (
        2..=4usize,
        1..=3usize,
        pair(1, 4),
        prop::array::uniform2(1..=3u16),
        prop::array::uniform2(1..=largest_dilation),
        // The share of the span that is padding; how much larger than the window the input is.
        prop::array::uniform4(0.0..1.0f64),
        pair(0, 5),
    )
        .prop_map(
            |(rank, frames, mut kernel, mut stride, dilation, share, extra)| {
                if rank == 2 {
                    (kernel[0], stride[0]) = (1, 1);
                }
                let span: [usize; 2] = std::array::from_fn(|axis| {
                    (kernel[axis] - 1) * usize::from(dilation[axis]) + 1
                });
                let padding = std::array::from_fn(|i| (share[i] * span[i % 2] as f64) as u8);
                let padded =
                    |axis: usize| usize::from(padding[axis]) + usize::from(padding[axis + 2]);
                let size = |axis: usize| {
                    (span[axis] + extra[axis])
                        .saturating_sub(padded(axis))
                        .max(1)
                };
                let map = if rank == 2 {
                    [1, size(1)]
                } else {
                    [size(0), size(1)]
                };
                let out: [usize; 2] = std::array::from_fn(|axis| {
                    (map[axis] + padded(axis) - span[axis]) / usize::from(stride[axis]) + 1
                });
                let of = |map: [usize; 2]| match rank {
                    2 => vec![map[1]],
                    3 => map.to_vec(),
                    _ => vec![frames, map[0], map[1]],
                };
                let (input, output) = (of(map), of(out));
                Geometry {
                    input,
                    output,
                    kernel,
                    stride,
                    dilation,
                    padding,
                }
            },
        )
}

/// A graph under construction.
struct Draw {
    random: Random,
    net: Net,
}

impl Draw {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            net: Net::new(DType::F32),
        }
    }

    /// In fixed point.
    fn q16(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            net: Net::new(DType::Q16),
        }
    }

    fn weight(&mut self, dims: &[usize], fan_in: usize) -> TensorId {
        let limit = 1.5 / (fan_in.max(1) as f32).sqrt();
        let values = self.random.values(dims.iter().product(), limit);
        self.net.weight(dims, &values)
    }

    fn vector(&mut self, len: usize, limit: f32) -> TensorId {
        let values = self.random.values(len, limit);
        self.net.weight(&[len], &values)
    }

    fn dense(&mut self, x: TensorId, outputs: usize, activation: Activation) -> TensorId {
        let mut dims = self.net.dims(x);
        let last = dims.last_mut().expect("a dimension");
        let inputs = std::mem::replace(last, outputs);
        let op = Op::Dense(Dense {
            weight: self.weight(&[inputs, outputs], inputs),
            bias: Some(self.vector(outputs, 0.3)),
            requant: None,
            activation,
        });
        self.net.node(op, &[x], &dims)
    }

    /// An input of these dimensions, and a layer over it that learns: so that what reads that passes a gradient on.
    fn below(&mut self, dims: &[usize]) -> TensorId {
        let (last, others) = dims.split_last().expect("a dimension");
        let x = self.net.input(&[others, &[2]].concat());
        let activation = self.random.pick(&ACTIVATIONS);
        self.dense(x, *last, activation)
    }

    /// Compares the graph, whose last node is `y`, with a layer above it that learns too.
    fn compare(mut self, y: TensorId) {
        let y = self.dense(y, 2, Activation::None);
        let elements = self.net.dims(y).iter().product();
        let y = self.net.node(Op::Flatten, &[y], &[elements]);
        let compared = compare(&self.net, y, &mut self.random);
        match self.net.dtype() {
            DType::Q16 => {
                const UNIT: f32 = 1.0 / 65536.0;
                close("output", &compared.outputs, 0.0, 8.0 * UNIT);
                close("gradient", &compared.gradients, 2e-4, 16.0 * UNIT);
            }
            _ => {
                close("output", &compared.outputs, 1e-5, 0.0);
                close("gradient", &compared.gradients, 1e-4, 1e-6);
            }
        }
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn convolutions(
        q16 in any::<bool>(),
        geometry in geometry(3),
        // Groups, inputs and outputs of each: past 8, so that a block of outputs and a rest are both met.
        shape in prop_oneof![
            (Just(1), 1..=4usize, 1..=10usize),
            (2..=3usize, 1..=3usize, 1..=9usize),
            (2..=10usize, Just(1), 1..=3usize),
        ],
        bias in any::<bool>(),
        activation in prop::sample::select(&ACTIVATIONS[..]),
        seed in any::<u64>(),
    ) {
        let (groups, inputs, outputs) = shape;
        let mut draw = if q16 { Draw::q16(seed) } else { Draw::new(seed) };
        let x = draw.below(&geometry.input(groups * inputs));
        let [height, width] = geometry.kernel;
        let dims = [height, width, inputs, groups * outputs];
        let op = Op::Conv2d(Conv2d {
            weight: draw.weight(&dims, height * width * inputs),
            bias: bias.then(|| draw.vector(groups * outputs, 0.3)),
            requant: None,
            stride: geometry.stride,
            padding: geometry.padding,
            dilation: geometry.dilation,
            groups: groups as u16,
            activation,
        });
        let y = draw.net.node(op, &[x], &geometry.output(groups * outputs));
        draw.compare(y);
    }

    #[test]
    fn poolings(
        geometry in geometry(1),
        channels in 1..=10usize,
        kind in 0..3,
        q16 in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut draw = if q16 { Draw::q16(seed) } else { Draw::new(seed) };
        let x = draw.below(&geometry.input(channels));
        let window = geometry.pool();
        let op = match kind {
            0 => Op::MaxPool2d(window),
            kind => Op::AvgPool2d(AvgPool2d { window, count_padding: kind == 1 }),
        };
        let y = draw.net.node(op, &[x], &geometry.output(channels));
        draw.compare(y);
    }

    #[test]
    fn batch_norms(
        dims in prop::collection::vec(1..=6usize, 1..=4),
        channels in 1..=20usize,
        q16 in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut draw = if q16 { Draw::q16(seed) } else { Draw::new(seed) };
        let dims = [&dims[1..], &[channels]].concat();
        let x = draw.below(&dims);
        let gamma = draw.vector(channels, 1.5);
        let beta = draw.vector(channels, 1.0);
        let mean = draw.vector(channels, 1.0);
        let scale: Vec<f32> = (0..channels).map(|_| draw.random.size(1, 40) as f32 / 10.0).collect();
        let scale = draw.net.weight(&[channels], &scale);
        let norm = BatchNorm { gamma, beta, mean, scale };
        let y = draw.net.node(Op::BatchNorm(norm), &[x], &dims);
        draw.compare(y);
    }
}
