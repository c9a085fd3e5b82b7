//! A chain of f32 layers: drawn at random, written as a blob, run and trained by nn-core.

use host::export::{AlignedBytes, Builder};
use nn_core::model::Model;
use nn_core::ops::{Activation, Conv2d, Dense, Op, Pool2d};
use nn_core::session::Session;
use nn_core::tensor::{DType, Quant, Shape, Tensor};
use nn_core::train::TrainSpec;

use crate::random::Random;

/// Kernel, stride and padding of a convolution or a pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns.
    pub kernel: [usize; 2],
    /// Down and right.
    pub stride: [usize; 2],
    /// Top, left, bottom, right.
    pub padding: [usize; 4],
}

impl Window {
    /// A square window without padding.
    pub fn square(kernel: usize, stride: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [0; 4],
        }
    }

    /// Rows and columns of the output; `None` where the window is larger than the padded map.
    pub fn output(&self, [height, width]: [usize; 2]) -> Option<[usize; 2]> {
        let axis = |input: usize, axis: usize| {
            let padded = input + self.padding[axis] + self.padding[axis + 2];
            Some(padded.checked_sub(self.kernel[axis])? / self.stride[axis] + 1)
        };
        Some([axis(height, 0)?, axis(width, 1)?])
    }

    /// One that fits a map of `height` x `width`.
    pub fn draw(random: &mut Random, map: [usize; 2], largest: usize) -> Self {
        loop {
            let kernel = [random.size(1, largest), random.size(1, largest)];
            let mut padding = [0; 4];
            if random.once_in(2) {
                for (index, padding) in padding.iter_mut().enumerate() {
                    *padding = random.size(0, kernel[index % 2] - 1);
                }
            }
            let window = Self {
                kernel,
                stride: [random.size(1, 3), random.size(1, 3)],
                padding,
            };
            if window.output(map).is_some() {
                return window;
            }
        }
    }

    /// As nn-core's pooling.
    pub fn pool(&self) -> Pool2d {
        Pool2d {
            kernel: self.kernel.map(|k| k as u16),
            stride: self.stride.map(|s| s as u16),
            padding: self.padding.map(|p| p as u8),
        }
    }
}

/// One layer.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// Weight `[in, out]`.
    Dense {
        /// How many.
        outputs: usize,
        /// Whether there is a bias.
        bias: bool,
        /// Fused.
        activation: Activation,
    },
    /// Weight `[kernel_h, kernel_w, in, out]`.
    Conv {
        /// Its window.
        window: Window,
        /// Output channels.
        outputs: usize,
        /// Whether there is a bias.
        bias: bool,
        /// Fused.
        activation: Activation,
    },
    /// Max pooling.
    MaxPool(Window),
    /// Average pooling.
    AvgPool(Window),
    /// To a vector.
    Flatten,
    /// ReLU, sigmoid or tanh as a layer of its own.
    Activation(Activation),
    /// Softmax.
    Softmax,
}

impl Layer {
    /// A dense layer with a bias.
    pub fn dense(outputs: usize, activation: Activation) -> Self {
        Self::Dense {
            outputs,
            bias: true,
            activation,
        }
    }

    /// A convolution with a bias.
    pub fn conv(window: Window, outputs: usize, activation: Activation) -> Self {
        Self::Conv {
            window,
            outputs,
            bias: true,
            activation,
        }
    }

    /// The output's shape.
    pub fn output(&self, input: &[usize]) -> Vec<usize> {
        let map = |window: &Window, channels| {
            let [height, width] = window.output([input[0], input[1]]).expect("a fit");
            vec![height, width, channels]
        };
        match self {
            Self::Dense { outputs, .. } => vec![*outputs],
            Self::Conv {
                window, outputs, ..
            } => map(window, *outputs),
            Self::MaxPool(window) | Self::AvgPool(window) => map(window, input[2]),
            Self::Flatten => vec![input.iter().product()],
            Self::Activation(_) | Self::Softmax => input.to_vec(),
        }
    }

    /// How many weights and biases.
    pub fn parameters(&self, input: &[usize]) -> (usize, usize) {
        match self {
            Self::Dense { outputs, bias, .. } => {
                (input[0] * outputs, if *bias { *outputs } else { 0 })
            }
            Self::Conv {
                window,
                outputs,
                bias,
                ..
            } => (
                window.kernel[0] * window.kernel[1] * input[2] * outputs,
                if *bias { *outputs } else { 0 },
            ),
            _ => (0, 0),
        }
    }
}

/// A chain of layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// `[n]` or `[height, width, channels]`.
    pub input: Vec<usize>,
    /// In order.
    pub layers: Vec<Layer>,
}

/// One that a dense layer or a convolution can have fused.
pub const ACTIVATIONS: [Activation; 7] = [
    Activation::None,
    Activation::Relu,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Relu6,
    Activation::LeakyRelu(0.2),
    Activation::HardSigmoid,
];

impl Network {
    /// Numbers of the input.
    pub fn inputs(&self) -> usize {
        self.input.iter().product()
    }

    /// Shape of the output.
    pub fn output(&self) -> Vec<usize> {
        self.layers
            .iter()
            .fold(self.input.clone(), |shape, layer| layer.output(&shape))
    }

    /// Of each layer, how many weights and biases.
    pub fn parameters(&self) -> Vec<(usize, usize)> {
        let mut shape = self.input.clone();
        self.layers
            .iter()
            .map(|layer| {
                let count = layer.parameters(&shape);
                shape = layer.output(&shape);
                count
            })
            .collect()
    }

    /// Draws parameters that keep activations about the size of 1, and biases off 0.
    pub fn draw_parameters(&self, random: &mut Random) -> Vec<f32> {
        let mut shape = self.input.clone();
        let mut parameters = Vec::new();
        for layer in &self.layers {
            let (weights, biases) = layer.parameters(&shape);
            let outputs = match layer {
                Layer::Dense { outputs, .. } | Layer::Conv { outputs, .. } => *outputs,
                _ => 1,
            };
            let fan_in = (weights / outputs).max(1) as f32;
            parameters.extend(random.values(weights, 1.7 / fan_in.sqrt()));
            parameters.extend(random.values(biases, 0.3));
            shape = layer.output(&shape);
        }
        parameters
    }

    /// Draws a chain that begins with a map and ends with a vector of at least two numbers.
    pub fn draw(random: &mut Random) -> Self {
        let input = vec![random.size(1, 7), random.size(1, 7), random.size(1, 3)];
        let mut shape = input.clone();
        let mut layers = Vec::new();
        let mut push = |layers: &mut Vec<Layer>, layer: Layer| {
            shape = layer.output(&shape);
            layers.push(layer);
            shape.clone()
        };
        let mut now = input.clone();
        for _ in 0..random.size(0, 4) {
            let window = Window::draw(random, [now[0], now[1]], 3);
            let layer = match random.size(0, 5) {
                0 | 1 => Layer::Conv {
                    window: Window::draw(random, [now[0], now[1]], 5),
                    // Past 8, so that a block of outputs and a rest are both met.
                    outputs: random.pick(&[1, 2, 3, 8, 10]),
                    bias: !random.once_in(4),
                    activation: random.pick(&ACTIVATIONS),
                },
                2 => Layer::MaxPool(window),
                3 => Layer::AvgPool(window),
                _ => Layer::Activation(random.pick(&ACTIVATIONS[1..])),
            };
            now = push(&mut layers, layer);
        }
        now = push(&mut layers, Layer::Flatten);
        for _ in 0..random.size(1, 3) {
            let layer = match random.size(0, 4) {
                0..=2 => Layer::Dense {
                    outputs: random.pick(&[2, 3, 7, 9]),
                    bias: !random.once_in(4),
                    activation: random.pick(&ACTIVATIONS),
                },
                3 => Layer::Activation(random.pick(&ACTIVATIONS[1..])),
                _ if now[0] > 1 => Layer::Softmax,
                _ => Layer::Flatten,
            };
            now = push(&mut layers, layer);
        }
        push(
            &mut layers,
            Layer::Dense {
                outputs: random.size(2, 5),
                bias: true,
                activation: random.pick(&ACTIVATIONS),
            },
        );
        Self { input, layers }
    }

    /// The blob, each layer a node of that number.
    pub fn blob(&self, parameters: &[f32], train: Option<TrainSpec>) -> AlignedBytes {
        let mut builder = Builder::new("test");
        let mut x = builder
            .input(&self.input, DType::F32, Quant::None)
            .expect("an input");
        let mut shape = self.input.clone();
        let mut rest = parameters;
        for (index, layer) in self.layers.iter().enumerate() {
            let name = format!("{index}");
            let (weights, biases) = layer.parameters(&shape);
            let (weight, tail) = rest.split_at(weights);
            let (bias, tail) = tail.split_at(biases);
            rest = tail;
            let output = layer.output(&shape);
            let tensor = Tensor::activation(
                Shape::new(&output).expect("a shape"),
                DType::F32,
                Quant::None,
            );
            let mut parameter = |shape: &[usize], values: &[f32]| {
                builder.weight_f32(shape, values).expect("a weight")
            };
            let op = match layer {
                Layer::Dense {
                    outputs,
                    bias: has_bias,
                    activation,
                } => Op::Dense(Dense {
                    weight: parameter(&[shape[0], *outputs], weight),
                    bias: has_bias.then(|| parameter(&[*outputs], bias)),
                    requant: None,
                    activation: *activation,
                }),
                Layer::Conv {
                    window,
                    outputs,
                    bias: has_bias,
                    activation,
                } => Op::Conv2d(Conv2d {
                    weight: parameter(
                        &[window.kernel[0], window.kernel[1], shape[2], *outputs],
                        weight,
                    ),
                    bias: has_bias.then(|| parameter(&[*outputs], bias)),
                    requant: None,
                    stride: window.pool().stride,
                    padding: window.pool().padding,
                    dilation: [1, 1],
                    groups: 1,
                    activation: *activation,
                }),
                Layer::MaxPool(window) => Op::MaxPool2d(window.pool()),
                Layer::AvgPool(window) => Op::AvgPool2d(window.pool().into()),
                Layer::Flatten => Op::Flatten,
                Layer::Activation(Activation::Relu) => Op::Relu,
                Layer::Activation(Activation::Sigmoid) => Op::Sigmoid(None),
                Layer::Activation(Activation::Tanh) => Op::Tanh(None),
                Layer::Activation(other) => Op::Activation(*other),
                Layer::Softmax => Op::Softmax(None),
            };
            x = builder.node(&name, op, x, tensor).expect("a node");
            shape = output;
        }
        assert!(rest.is_empty(), "parameters left over");
        builder
            .finish(&[x], train)
            .unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// An arena of `len` bytes, each 0xFF: what nobody wrote reads as not a number.
pub fn poisoned_arena(len: usize) -> AlignedBytes {
    let mut arena = AlignedBytes::zeroed(len);
    arena.as_mut_slice().fill(0xFF);
    arena
}

/// Runs a blob once on `input`; the bytes of each of its outputs.
pub fn run(blob: &[u8], input: &[u8]) -> Vec<Vec<u8>> {
    let model = Model::load(blob).expect("a valid blob");
    let mut arena = poisoned_arena(model.arena_infer());
    let mut session = Session::new(model, arena.as_mut_slice()).expect("a session");
    session
        .input_mut(0)
        .expect("an input")
        .copy_from_slice(input);
    session.run().expect("a run");
    (0..model.outputs().as_slice().len())
        .map(|index| session.output(index).expect("an output").to_vec())
        .collect()
}

/// Runs a blob of f32 input and output once.
pub fn run_f32(blob: &[u8], input: &[f32]) -> Vec<f32> {
    floats(&run(blob, bytemuck::cast_slice(input))[0])
}

/// Little-endian bytes as f32.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect()
}
