//! A model in parts, so that a test can break one of them: two small models, whole, and how to encode and load them.

use host::export::AlignedBytes;
use nn_core::crc::Crc32;
use nn_core::memory::{Buffer, table_bound};
use nn_core::model::{EncodeError, Graph, HEADER_LEN, Ids, LoadError, Model, Node, encode};
use nn_core::ops::{Activation, Conv2d, Dense, Op, Pool2d};
use nn_core::tensor::{DType, Quant, Shape, Source, Tensor};
use nn_core::train::{Loss, Sgd, TrainSpec, Trainable};

/// All that a blob holds.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The graph's.
    pub name: &'static str,
    /// By id.
    pub tensors: Vec<Tensor>,
    /// In order.
    pub nodes: Vec<Node<'static>>,
    /// Ids.
    pub inputs: Vec<u16>,
    /// Ids.
    pub outputs: Vec<u16>,
    /// The training plan.
    pub train: Option<TrainSpec>,
    /// The weights section.
    pub weights: Vec<u8>,
}

fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims).expect("a shape")
}

fn activation(dims: &[usize]) -> Tensor {
    Tensor::activation(shape(dims), DType::F32, Quant::None)
}

fn weight(dims: &[usize], dtype: DType, quant: Quant, offset: u32) -> Tensor {
    Tensor {
        shape: shape(dims),
        dtype,
        quant,
        source: Source::Weight { offset },
    }
}

fn node(name: &'static str, op: Op, input: u16, output: u16) -> Node<'static> {
    Node {
        name,
        op,
        inputs: Ids::one(input),
        output,
    }
}

impl Parts {
    /// Convolution, max pooling, flatten, dense, softmax in f32, with a training plan.
    ///
    /// Tensors: 0 input, 1 kernel, 2 bias, 3 convolved, 4 pooled, 5 flat, 6 weight, 7 bias, 8 logits, 9 probabilities.
    pub fn float() -> Self {
        let conv = Conv2d {
            weight: 1,
            bias: Some(2),
            requant: None,
            stride: [1, 1],
            padding: [0; 4],
            dilation: [1, 1],
            groups: 1,
            activation: Activation::Relu,
        };
        let pool = Pool2d {
            kernel: [2, 3],
            stride: [1, 1],
            padding: [0; 4],
        };
        let dense = Dense {
            weight: 6,
            bias: Some(7),
            requant: None,
            activation: Activation::None,
        };
        let values: Vec<f32> = (0..23u8).map(|i| f32::from(i) / 16.0 - 0.5).collect();
        Self {
            name: "float",
            tensors: vec![
                activation(&[4, 4, 1]),
                weight(&[2, 2, 1, 2], DType::F32, Quant::None, 0),
                weight(&[2], DType::F32, Quant::None, 32),
                activation(&[3, 3, 2]),
                activation(&[2, 1, 2]),
                activation(&[4]),
                weight(&[4, 2], DType::F32, Quant::None, 48),
                weight(&[2], DType::F32, Quant::None, 80),
                activation(&[2]),
                activation(&[2]),
            ],
            nodes: vec![
                node("conv", Op::Conv2d(conv), 0, 3),
                node("pool", Op::MaxPool2d(pool), 3, 4),
                node("flat", Op::Flatten, 4, 5),
                node("dense", Op::Dense(dense), 5, 8),
                node("softmax", Op::Softmax(None), 8, 9),
            ],
            inputs: vec![0],
            outputs: vec![9],
            train: Some(TrainSpec::with_rates(
                Trainable::All,
                Loss::CrossEntropy,
                Sgd {
                    learning_rate: 0.01,
                    momentum: 0.5,
                    weight_decay: 0.0,
                },
            )),
            weights: bytemuck::cast_slice(&values).to_vec(),
        }
    }

    /// A dense layer in int8, then dequantize. Without a training plan.
    ///
    /// Tensors: 0 input, 1 scales, 2 weight, 3 bias, 4 requantization, 5 output in int8, 6 output in f32.
    pub fn integer() -> Self {
        let quant = Quant::PerTensor {
            scale: 0.5,
            zero_point: 3,
        };
        let int8 = |dims: &[usize]| Tensor::activation(shape(dims), DType::I8, quant);
        let dense = Dense {
            weight: 2,
            bias: Some(3),
            requant: Some(4),
            activation: Activation::Relu,
        };
        let mut weights = Vec::new();
        weights.extend_from_slice(bytemuck::cast_slice(&[0.25f32, 0.5, 0.0, 0.0]));
        weights.extend_from_slice(&[1, 2, 3, 4, 255, 254, 253, 252]);
        weights.extend_from_slice(bytemuck::cast_slice(&[100i32, -100]));
        weights.extend_from_slice(bytemuck::cast_slice(&[1i32 << 30, 1 << 30, 0, -1]));
        Self {
            name: "integer",
            tensors: vec![
                int8(&[4]),
                weight(&[2], DType::F32, Quant::None, 0),
                weight(&[2, 4], DType::I8, Quant::PerChannel { scales: 1 }, 16),
                weight(&[2], DType::I32, Quant::None, 24),
                weight(&[2, 2], DType::I32, Quant::None, 32),
                int8(&[2]),
                activation(&[2]),
            ],
            nodes: vec![
                node("dense", Op::Dense(dense), 0, 5),
                node("real", Op::Dequantize, 5, 6),
            ],
            inputs: vec![0],
            outputs: vec![6],
            train: None,
            weights,
        }
    }

    /// The blob.
    pub fn encode(&self) -> Result<AlignedBytes, EncodeError> {
        let graph = Graph {
            name: self.name,
            tensors: &self.tensors,
            nodes: &self.nodes,
            inputs: Ids::new(&self.inputs).expect("at most four"),
            outputs: Ids::new(&self.outputs).expect("at most four"),
            train: self.train,
        };
        let mut blob = AlignedBytes::zeroed(4096 + self.weights.len());
        let mut table = vec![Buffer::default(); table_bound(self.tensors.len(), self.nodes.len())];
        let len = encode(&graph, &self.weights, blob.as_mut_slice(), &mut table)?;
        blob.truncate(len);
        Ok(blob)
    }

    /// What loading says. Encoding loads what it wrote, and hands on the refusal.
    pub fn load(&self) -> Result<(), LoadError> {
        match self.encode() {
            Ok(blob) => Model::load(&blob).map(|_| ()),
            Err(EncodeError::Invalid(error)) => Err(error),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Writes the checksum that the bytes now have.
pub fn refresh_crc(blob: &mut [u8]) {
    let mut crc = Crc32::new();
    crc.update(&blob[..HEADER_LEN - 4]);
    crc.update(&blob[HEADER_LEN..]);
    blob[HEADER_LEN - 4..HEADER_LEN].copy_from_slice(&crc.finish().to_le_bytes());
}

/// Overwrites a word of the header.
pub fn set_word(blob: &mut [u8], at: usize, value: u32) {
    blob[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// A word of the header.
pub fn word(blob: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([blob[at], blob[at + 1], blob[at + 2], blob[at + 3]])
}
