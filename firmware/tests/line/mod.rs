//! A model for tests of the firmware: one dense layer in f32.

use nn_core::{
    memory::Buffer,
    model::{Graph, Ids, Node},
    ops::{Activation, Dense, Op},
    tensor::{DType, Quant, Shape, Source, Tensor},
    train::TrainSpec,
};

/// Writes its blob to `out`, and gives the length: y = `bias` + x · `weight`, whose rows belong to the inputs.
pub(crate) fn blob(
    weight: &[f32],
    bias: &[f32],
    train: Option<TrainSpec>,
    out: &mut [u8],
) -> usize {
    let (inputs, outputs) = (weight.len() / bias.len(), bias.len());
    let shape = |dims: &[usize]| Shape::new(dims).unwrap();
    let mut weights = Vec::new();
    let mut tensor = |dims: &[usize], values: &[f32]| {
        // Each on a boundary of 16 bytes.
        weights.resize(weights.len().next_multiple_of(16), 0);
        let offset = weights.len() as u32;
        weights.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        Tensor {
            shape: shape(dims),
            dtype: DType::F32,
            quant: Quant::None,
            source: Source::Weight { offset },
        }
    };
    let tensors = [
        Tensor::activation(shape(&[inputs]), DType::F32, Quant::None),
        tensor(&[inputs, outputs], weight),
        tensor(&[outputs], bias),
        Tensor::activation(shape(&[outputs]), DType::F32, Quant::None),
    ];
    let nodes = [Node {
        name: "dense",
        op: Op::Dense(Dense {
            weight: 1,
            bias: Some(2),
            requant: None,
            activation: Activation::None,
        }),
        inputs: Ids::one(0),
        output: 3,
    }];
    let graph = Graph {
        name: "line",
        tensors: &tensors,
        nodes: &nodes,
        inputs: Ids::one(0),
        outputs: Ids::one(3),
        train,
    };
    weights.resize(weights.len().next_multiple_of(16), 0);
    nn_core::model::encode(&graph, &weights, out, &mut [Buffer::default(); 16]).unwrap()
}
