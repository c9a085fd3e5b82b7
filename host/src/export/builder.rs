//! Building a blob layer by layer.

use nn_core::memory::{Buffer, table_bound};
use nn_core::model::{EncodeError, Graph, Ids, Node, encode};
use nn_core::ops::{Activation, Conv2d, Dense, Op, Pool2d};
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
    /// More than 65,535 tensors, or more than four inputs or outputs.
    #[error("too many tensors, inputs or outputs")]
    TooMany,
    /// The finished graph breaks a rule of the format.
    #[error("the model cannot be written: {0}")]
    Encode(#[from] EncodeError),
}

/// The parameters of an int8 dense layer or convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct Int8Layer {
    /// Weights, output channel first.
    pub weight: Vec<i8>,
    /// Their shape: `[out, in]` or `[out, kernel_h, kernel_w, in]`.
    pub shape: Vec<usize>,
    /// The scale of each output channel's weights.
    pub scales: Vec<f32>,
    /// `[out]`, of scale input scale x weight scale.
    pub bias: Vec<i32>,
    /// `[out]`, in [2³⁰, 2³¹) or 0.
    pub multipliers: Vec<i32>,
    /// `[out]`, −31 to 30.
    pub shifts: Vec<i32>,
    /// The output's quantization.
    pub output: Quant,
    /// What is applied to the output: none or ReLU.
    pub activation: Activation,
}

/// A graph under construction. Layers return the id of their output, which the next one reads.
#[derive(Debug, Clone)]
pub struct Builder {
    name: String,
    tensors: Vec<Tensor>,
    nodes: Vec<(String, Op, TensorId, TensorId)>,
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

    /// A dense layer in f32: `weight` is `[in, out]`.
    pub fn dense(
        &mut self,
        name: &str,
        x: TensorId,
        weight: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Result<TensorId, BuildError> {
        let inputs = self.tensor(x).elements();
        let weight = self.weight_f32(&[inputs, bias.len()], weight)?;
        let outputs = bias.len();
        let bias = self.weight_f32(&[outputs], bias)?;
        let op = Op::Dense(Dense {
            weight,
            bias: Some(bias),
            requant: None,
            activation,
        });
        let shape = checked_shape(&[outputs], 0)?;
        self.node(
            name,
            op,
            x,
            Tensor::activation(shape, DType::F32, Quant::None),
        )
    }

    /// A convolution in f32: `weight` is `[kernel_h, kernel_w, in, out]` with the shape `kernel`.
    #[expect(
        clippy::too_many_arguments,
        reason = "a convolution has that many parameters"
    )]
    pub fn conv2d(
        &mut self,
        name: &str,
        x: TensorId,
        kernel: [usize; 4],
        weight: &[f32],
        bias: &[f32],
        stride: [u8; 2],
        padding: [u8; 4],
        activation: Activation,
    ) -> Result<TensorId, BuildError> {
        let weight = self.weight_f32(&kernel, weight)?;
        let bias = self.weight_f32(&[bias.len()], bias)?;
        let conv = Conv2d {
            weight,
            bias: Some(bias),
            requant: None,
            stride,
            padding,
            activation,
        };
        let shape = conv
            .output_shape(self.tensor(x).shape, &self.tensor(weight))
            .ok_or_else(|| self.misfit(name, x))?;
        let output = Tensor::activation(shape, DType::F32, Quant::None);
        self.node(name, Op::Conv2d(conv), x, output)
    }

    /// A dense layer in int8.
    pub fn dense_i8(
        &mut self,
        name: &str,
        x: TensorId,
        layer: &Int8Layer,
    ) -> Result<TensorId, BuildError> {
        let (weight, bias, requant) = self.int8_parameters(layer)?;
        let op = Op::Dense(Dense {
            weight,
            bias: Some(bias),
            requant: Some(requant),
            activation: layer.activation,
        });
        let shape = checked_shape(&[layer.bias.len()], 0)?;
        self.node(
            name,
            op,
            x,
            Tensor::activation(shape, DType::I8, layer.output),
        )
    }

    /// A convolution in int8.
    pub fn conv2d_i8(
        &mut self,
        name: &str,
        x: TensorId,
        layer: &Int8Layer,
        stride: [u8; 2],
        padding: [u8; 4],
    ) -> Result<TensorId, BuildError> {
        let (weight, bias, requant) = self.int8_parameters(layer)?;
        let conv = Conv2d {
            weight,
            bias: Some(bias),
            requant: Some(requant),
            stride,
            padding,
            activation: layer.activation,
        };
        let shape = conv
            .output_shape(self.tensor(x).shape, &self.tensor(weight))
            .ok_or_else(|| self.misfit(name, x))?;
        let output = Tensor::activation(shape, DType::I8, layer.output);
        self.node(name, Op::Conv2d(conv), x, output)
    }

    fn int8_parameters(
        &mut self,
        layer: &Int8Layer,
    ) -> Result<(TensorId, TensorId, TensorId), BuildError> {
        let channels = layer.bias.len();
        let scales = self.weight_f32(&[channels], &layer.scales)?;
        let weight = self.weight(
            &layer.shape,
            DType::I8,
            Quant::PerChannel { scales },
            bytemuck::cast_slice(&layer.weight),
        )?;
        let bias = self.weight(
            &[channels],
            DType::I32,
            Quant::None,
            bytemuck::cast_slice(&layer.bias),
        )?;
        let table = [&layer.multipliers[..], &layer.shifts[..]].concat();
        let requant = self.weight(
            &[2, channels],
            DType::I32,
            Quant::None,
            bytemuck::cast_slice(&table),
        )?;
        Ok((weight, bias, requant))
    }

    /// A max pooling.
    pub fn max_pool2d(
        &mut self,
        name: &str,
        x: TensorId,
        pool: Pool2d,
    ) -> Result<TensorId, BuildError> {
        self.pool(name, x, pool, Op::MaxPool2d(pool))
    }

    /// An average pooling.
    pub fn avg_pool2d(
        &mut self,
        name: &str,
        x: TensorId,
        pool: Pool2d,
    ) -> Result<TensorId, BuildError> {
        self.pool(name, x, pool, Op::AvgPool2d(pool))
    }

    fn pool(
        &mut self,
        name: &str,
        x: TensorId,
        pool: Pool2d,
        op: Op,
    ) -> Result<TensorId, BuildError> {
        let input = self.tensor(x);
        let shape = pool
            .output_shape(input.shape)
            .ok_or_else(|| self.misfit(name, x))?;
        self.node(
            name,
            op,
            x,
            Tensor::activation(shape, input.dtype, input.quant),
        )
    }

    /// The same numbers as a vector.
    pub fn flatten(&mut self, name: &str, x: TensorId) -> Result<TensorId, BuildError> {
        let input = self.tensor(x);
        let shape = checked_shape(&[input.elements()], 0)?;
        self.node(
            name,
            Op::Flatten,
            x,
            Tensor::activation(shape, input.dtype, input.quant),
        )
    }

    /// An operator whose output is like its input: ReLU, and sigmoid, tanh, softmax in f32.
    pub fn same(&mut self, name: &str, op: Op, x: TensorId) -> Result<TensorId, BuildError> {
        let input = self.tensor(x);
        self.node(
            name,
            op,
            x,
            Tensor::activation(input.shape, input.dtype, input.quant),
        )
    }

    /// An operator whose output has its input's shape, and this type: quantize, dequantize, int8 functions.
    pub fn convert(
        &mut self,
        name: &str,
        op: Op,
        x: TensorId,
        dtype: DType,
        quant: Quant,
    ) -> Result<TensorId, BuildError> {
        let shape = self.tensor(x).shape;
        self.node(name, op, x, Tensor::activation(shape, dtype, quant))
    }

    /// Any operator.
    pub fn node(
        &mut self,
        name: &str,
        op: Op,
        x: TensorId,
        output: Tensor,
    ) -> Result<TensorId, BuildError> {
        let y = self.push(output)?;
        self.nodes.push((name.to_owned(), op, x, y));
        Ok(y)
    }

    fn push(&mut self, tensor: Tensor) -> Result<TensorId, BuildError> {
        let id = TensorId::try_from(self.tensors.len()).map_err(|_| BuildError::TooMany)?;
        self.tensors.push(tensor);
        Ok(id)
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
            .map(|(name, op, x, y)| Node {
                name,
                op: *op,
                inputs: Ids::one(*x),
                output: *y,
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
        // Generous: a tensor takes at most 40 bytes, a node 60 and its name.
        let names: usize = self.nodes.iter().map(|(name, ..)| name.len()).sum();
        let graph_len = 256 + self.name.len() + names + 64 * (self.tensors.len() + nodes.len());
        let mut blob = AlignedBytes::zeroed(graph_len + self.weights.len());
        let mut table = vec![Buffer::default(); table_bound(self.tensors.len(), nodes.len())];
        let len = encode(&graph, &self.weights, blob.as_mut_slice(), &mut table)?;
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
