//! Graphs of any operators, with branches, several inputs and outputs, in f32 or Q16: built, run and trained.

use host::export::AlignedBytes;
use nn_core::memory::{Buffer, table_bound};
use nn_core::model::{Graph, Ids, Model, Node, encode};
use nn_core::ops::Op;
use nn_core::scalar::{Q16, Scalar};
use nn_core::session::Session;
use nn_core::tensor::{DType, Quant, Shape, Source, Tensor, TensorId};
use nn_core::train::TrainSpec;

use crate::network::poisoned_arena;

/// A graph under construction. Real tensors are of one type.
#[derive(Debug, Clone)]
pub struct Net {
    dtype: DType,
    tensors: Vec<Tensor>,
    nodes: Vec<(String, Op, Vec<TensorId>, TensorId)>,
    inputs: Vec<TensorId>,
    weights: Vec<u8>,
}

/// `values` as the bytes of tensors of this type.
pub fn bytes_of(dtype: DType, values: &[f32]) -> Vec<u8> {
    match dtype {
        DType::Q16 => {
            let values = values.iter().map(|&v| Q16::from_f32(v).to_bits());
            values.flat_map(i32::to_le_bytes).collect()
        }
        DType::I32 => {
            let values = values.iter().map(|&v| v as i32);
            values.flat_map(i32::to_le_bytes).collect()
        }
        _ => bytemuck::cast_slice(values).to_vec(),
    }
}

/// Bytes of a tensor of this type as real numbers.
pub fn values_of(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let words = bytes.as_chunks::<4>().0.iter();
    words
        .map(|&word| match dtype {
            DType::Q16 => Q16::from_bits(i32::from_le_bytes(word)).to_f32(),
            _ => f32::from_le_bytes(word),
        })
        .collect()
}

impl Net {
    /// An empty graph whose real tensors are of this type, f32 or Q16.
    pub fn new(dtype: DType) -> Self {
        Self {
            dtype,
            tensors: Vec::new(),
            nodes: Vec::new(),
            inputs: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// Its type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The dimensions of a tensor.
    pub fn dims(&self, id: TensorId) -> Vec<usize> {
        let dims = self.tensors[usize::from(id)].shape;
        dims.dims().iter().map(|&d| d as usize).collect()
    }

    fn push(&mut self, tensor: Tensor) -> TensorId {
        self.tensors.push(tensor);
        (self.tensors.len() - 1) as TensorId
    }

    /// An input.
    pub fn input(&mut self, dims: &[usize]) -> TensorId {
        let dtype = self.dtype;
        self.input_of(dims, dtype)
    }

    /// An input of another type.
    pub fn input_of(&mut self, dims: &[usize], dtype: DType) -> TensorId {
        let shape = Shape::new(dims).expect("a shape");
        let id = self.push(Tensor::activation(shape, dtype, Quant::None));
        self.inputs.push(id);
        id
    }

    /// A weight.
    pub fn weight(&mut self, dims: &[usize], values: &[f32]) -> TensorId {
        let dtype = self.dtype;
        self.weight_of(dims, values, dtype)
    }

    /// A weight of another type.
    pub fn weight_of(&mut self, dims: &[usize], values: &[f32], dtype: DType) -> TensorId {
        assert_eq!(dims.iter().product::<usize>(), values.len());
        let offset = self.weights.len() as u32;
        let bytes = bytes_of(dtype, values);
        self.weights.extend(bytes);
        self.weights
            .resize(self.weights.len().next_multiple_of(16), 0);
        self.push(Tensor {
            shape: Shape::new(dims).expect("a shape"),
            dtype,
            quant: Quant::None,
            source: Source::Weight { offset },
        })
    }

    /// A node, whose output has these dimensions.
    pub fn node(&mut self, op: Op, inputs: &[TensorId], dims: &[usize]) -> TensorId {
        let shape = Shape::new(dims).expect("a shape");
        let output = self.push(Tensor::activation(shape, self.dtype, Quant::None));
        let name = format!("{}_{}", op.name(), self.nodes.len());
        self.nodes.push((name, op, inputs.to_vec(), output));
        output
    }

    /// The blob.
    pub fn finish(&self, outputs: &[TensorId], train: Option<TrainSpec>) -> AlignedBytes {
        let nodes: Vec<Node> = self
            .nodes
            .iter()
            .map(|(name, op, inputs, output)| Node {
                name,
                op: *op,
                inputs: Ids::new(inputs).expect("at most four"),
                output: *output,
            })
            .collect();
        let graph = Graph {
            name: "graph",
            tensors: &self.tensors,
            nodes: &nodes,
            inputs: Ids::new(&self.inputs).expect("at most four"),
            outputs: Ids::new(outputs).expect("at most four"),
            train,
        };
        let len = 1024 + 128 * (self.tensors.len() + nodes.len()) + self.weights.len();
        let mut blob = AlignedBytes::zeroed(len);
        let mut table = vec![Buffer::default(); table_bound(self.tensors.len(), nodes.len())];
        let len = encode(&graph, &self.weights, blob.as_mut_slice(), &mut table);
        let len = len.unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        blob.truncate(len);
        blob
    }
}

/// Runs a blob once on `inputs`, given as real numbers; each of its outputs.
pub fn run(blob: &[u8], inputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let model = Model::load(blob).expect("a valid blob");
    let mut arena = poisoned_arena(model.arena_infer());
    let mut session = Session::new(model, arena.as_mut_slice()).expect("a session");
    for (index, values) in inputs.iter().enumerate() {
        let dtype = model.input(index).expect("an input").dtype;
        let input = session.input_mut(index).expect("an input");
        input.copy_from_slice(&bytes_of(dtype, values));
    }
    session.run().expect("a run");
    let outputs = 0..model.outputs().as_slice().len();
    outputs
        .map(|index| {
            let dtype = model.output(index).expect("an output").dtype;
            values_of(dtype, session.output(index).expect("an output"))
        })
        .collect()
}
