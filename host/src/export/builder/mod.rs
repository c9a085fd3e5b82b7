//! Building a blob node by node.
//!
//! A node reads up to four tensors, by the ids that [`Builder::input`] and the nodes before it gave; a weight may
//! serve at several nodes. Layers of real numbers compute in the type of what they read, f32 or Q16: their weights
//! are given in f32 and stored in that type.
//!
//! ```
//! use host::export::Builder;
//! use nn_core::ops::{Activation, Op};
//! use nn_core::tensor::{DType, Quant};
//!
//! // Two heads on one trunk.
//! let mut builder = Builder::new("two-heads");
//! let x = builder.input(&[3], DType::F32, Quant::None)?;
//! let trunk = builder.dense("trunk", x, &[0.5; 6], &[0.0; 2], Activation::Relu)?;
//! let class = builder.dense("class", trunk, &[1.0; 8], &[0.0; 4], Activation::None)?;
//! let class = builder.same("softmax", Op::Softmax(None), class)?;
//! let value = builder.dense("value", trunk, &[1.0; 2], &[0.0; 1], Activation::None)?;
//! let blob = builder.finish(&[class, value], None)?;
//! let model = nn_core::model::Model::load(&blob)?;
//! assert_eq!(model.outputs().as_slice(), [class, value]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod int8;
mod layers;
mod learning;
mod packed;
mod q16;
mod recurrent;
#[cfg(test)]
mod tests;

pub use int8::Int8Layer;
pub use packed::Packed;
pub use q16::{InQ16, Saturated};
pub use recurrent::Gives;

use nn_core::memory::{Buffer, table_bound};
use nn_core::model::{EncodeError, Graph, Ids, LoadError, Model, Node, encode};
use nn_core::ops::{NodeFault, Op};
use nn_core::scalar::{Q16, Scalar};
use nn_core::tensor::{DType, Quant, Shape, Source, Tensor, TensorId};
use nn_core::train::TrainSpec;

use super::AlignedBytes;

/// Why a model cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Values that do not fill their shape, or a shape that is none.
    #[error("{values} values for the shape {shape:?}")]
    Shape {
        /// The shape given.
        shape: Vec<usize>,
        /// The values given.
        values: usize,
    },
    /// An operator that cannot follow what it reads.
    #[error("layer `{layer}`: its input has the shape {input:?}, which it cannot take")]
    Layer {
        /// The layer.
        layer: String,
        /// The shape of its input.
        input: Vec<u32>,
    },
    /// More than 65,535 tensors, or more than four inputs or outputs of a node or of the graph.
    #[error("too many tensors, or more than four inputs or outputs of one node")]
    TooMany,
    /// A node that breaks a rule of its operator.
    #[error("layer `{layer}`: {fault}")]
    Node {
        /// The layer.
        layer: String,
        /// The rule.
        fault: NodeFault,
    },
    /// Weights that Q16 cannot hold.
    #[error(
        "layer `{layer}`: {count} of its weights lie outside of the range of Q16, ±32,768 (the largest is {largest:e}); \
         train with a weight decay or a smaller learning rate, scale the inputs, or export f32 instead"
    )]
    OutOfRange {
        /// The first such layer.
        layer: String,
        /// How many.
        count: usize,
        /// The largest magnitude.
        largest: f32,
    },
    /// The finished graph breaks a rule of the format.
    #[error("the model cannot be written: {0}")]
    Encode(#[from] EncodeError),
}

/// A node under construction.
#[derive(Debug, Clone)]
struct Entry {
    name: String,
    op: Op,
    inputs: Ids,
    output: TensorId,
}

/// A graph under construction. Layers return the id of their output, which the next one reads.
#[derive(Debug, Clone)]
pub struct Builder {
    name: String,
    tensors: Vec<Tensor>,
    nodes: Vec<Entry>,
    inputs: Vec<TensorId>,
    weights: Vec<u8>,
}

impl Builder {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            tensors: Vec::new(),
            nodes: Vec::new(),
            inputs: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// The graph of a model, and its outputs: to go on with, or to lay out anew.
    pub fn of(model: &Model) -> (Self, Vec<TensorId>) {
        let nodes = model.nodes();
        let nodes = nodes.iter().map(|node| Entry {
            name: node.name.to_owned(),
            op: node.op,
            inputs: node.inputs,
            output: node.output,
        });
        let builder = Self {
            name: model.name().to_owned(),
            tensors: model.tensors().iter().collect(),
            nodes: nodes.collect(),
            inputs: model.inputs().as_slice().to_vec(),
            weights: model.weights().to_vec(),
        };
        (builder, model.outputs().as_slice().to_vec())
    }

    /// Ends the graph with the node of that name, and gives its output; `None` where there is none, and nothing is ended.
    pub fn end_at(&mut self, name: &str) -> Option<TensorId> {
        let last = self.nodes.iter().position(|node| node.name == name)?;
        self.nodes.truncate(last + 1);
        self.nodes.last().map(|node| node.output)
    }

    /// The tensor of an id that this builder gave.
    pub fn tensor(&self, id: TensorId) -> Tensor {
        self.tensors[usize::from(id)]
    }

    /// An input of the graph.
    pub fn input(
        &mut self,
        shape: &[usize],
        dtype: DType,
        quant: Quant,
    ) -> Result<TensorId, BuildError> {
        let shape = checked_shape(shape, 0)?;
        let id = self.push(Tensor::activation(shape, dtype, quant))?;
        self.inputs.push(id);
        Ok(id)
    }

    /// How many nodes there are.
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// A weight tensor. Each lies on a 16-byte boundary of the weights section.
    pub fn weight(
        &mut self,
        shape: &[usize],
        dtype: DType,
        quant: Quant,
        bytes: &[u8],
    ) -> Result<TensorId, BuildError> {
        let dims = checked_shape(shape, bytes.len() / dtype.size())?;
        if dims.elements().map(|elements| elements * dtype.size()) != Some(bytes.len()) {
            return Err(BuildError::Shape {
                shape: shape.to_vec(),
                values: bytes.len() / dtype.size(),
            });
        }
        self.weights
            .resize(self.weights.len().next_multiple_of(16), 0);
        let offset = u32::try_from(self.weights.len()).map_err(|_| BuildError::TooMany)?;
        self.weights.extend_from_slice(bytes);
        self.push(Tensor {
            shape: dims,
            dtype,
            quant,
            source: Source::Weight { offset },
        })
    }

    /// An f32 weight tensor.
    pub fn weight_f32(&mut self, shape: &[usize], values: &[f32]) -> Result<TensorId, BuildError> {
        self.weight(shape, DType::F32, Quant::None, bytemuck::cast_slice(values))
    }

    /// A weight tensor of real numbers, given in f32, in the type of `x`: f32 or Q16, where it saturates.
    pub fn weight_like(
        &mut self,
        x: TensorId,
        shape: &[usize],
        values: &[f32],
    ) -> Result<TensorId, BuildError> {
        match self.tensor(x).dtype {
            DType::Q16 => self.weight_q16(shape, values),
            _ => self.weight_f32(shape, values),
        }
    }

    /// A Q16 weight tensor, given in f32: rounded, and saturated at ±32,768.
    pub fn weight_q16(&mut self, shape: &[usize], values: &[f32]) -> Result<TensorId, BuildError> {
        let raw: Vec<i32> = values
            .iter()
            .map(|value| <Q16 as Scalar>::from_f32(*value).to_bits())
            .collect();
        self.weight(shape, DType::Q16, Quant::None, bytemuck::cast_slice(&raw))
    }

    /// Any operator of one input.
    pub fn node(
        &mut self,
        name: &str,
        op: Op,
        x: TensorId,
        output: Tensor,
    ) -> Result<TensorId, BuildError> {
        self.node_of(name, op, &[x], output)
    }

    /// Any operator. Its rules are checked by [`finish`](Self::finish).
    pub fn node_of(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[TensorId],
        output: Tensor,
    ) -> Result<TensorId, BuildError> {
        let inputs = Ids::new(inputs).ok_or(BuildError::TooMany)?;
        let output = self.push(output)?;
        self.nodes.push(Entry {
            name: name.to_owned(),
            op,
            inputs,
            output,
        });
        Ok(output)
    }

    fn push(&mut self, tensor: Tensor) -> Result<TensorId, BuildError> {
        let id = TensorId::try_from(self.tensors.len()).map_err(|_| BuildError::TooMany)?;
        self.tensors.push(tensor);
        Ok(id)
    }

    /// The error with the name of the layer that it is about, where it is about one.
    fn named(&self, error: EncodeError) -> BuildError {
        if let EncodeError::Invalid(LoadError::Node { index, fault }) = error
            && let Some(entry) = self.nodes.get(index)
        {
            let layer = entry.name.clone();
            return BuildError::Node { layer, fault };
        }
        error.into()
    }

    fn misfit(&self, layer: &str, x: TensorId) -> BuildError {
        BuildError::Layer {
            layer: layer.to_owned(),
            input: self.tensor(x).shape.dims().to_vec(),
        }
    }

    /// Writes the blob, checked and planned.
    pub fn finish(
        &self,
        outputs: &[TensorId],
        train: Option<TrainSpec>,
    ) -> Result<AlignedBytes, BuildError> {
        let nodes: Vec<Node> = self
            .nodes
            .iter()
            .map(|entry| Node {
                name: &entry.name,
                op: entry.op,
                inputs: entry.inputs,
                output: entry.output,
            })
            .collect();
        let graph = Graph {
            name: &self.name,
            tensors: &self.tensors,
            nodes: &nodes,
            inputs: Ids::new(&self.inputs).ok_or(BuildError::TooMany)?,
            outputs: Ids::new(outputs).ok_or(BuildError::TooMany)?,
            train,
        };
        // Generous: a tensor takes at most 40 bytes, a node 100 and its name.
        let names: usize = self.nodes.iter().map(|entry| entry.name.len()).sum();
        let graph_len = 512 + self.name.len() + names + 128 * (self.tensors.len() + nodes.len());
        let mut blob = AlignedBytes::zeroed(graph_len + self.weights.len());
        let mut table = vec![Buffer::default(); table_bound(self.tensors.len(), nodes.len())];
        let len = encode(&graph, &self.weights, blob.as_mut_slice(), &mut table)
            .map_err(|error| self.named(error))?;
        blob.truncate(len);
        Ok(blob)
    }
}

fn checked_shape(shape: &[usize], values: usize) -> Result<Shape, BuildError> {
    Shape::new(shape).ok_or_else(|| BuildError::Shape {
        shape: shape.to_vec(),
        values,
    })
}
