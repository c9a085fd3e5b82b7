//! Layers of real numbers: in f32 or Q16, as what they read.

use nn_core::ops::{
    Activation, Add, AvgPool2d, Concat, Conv2d, Dense, Embedding, Mul, Op, Pad, Pool2d, Prelu,
    Transpose,
};
use nn_core::tensor::{DType, Quant, Shape, Tensor, TensorId};

use super::{BuildError, Builder, checked_shape};

impl Builder {
    /// A dense layer: `weight` is `[in, out]`. It is applied along the last axis.
    pub fn dense(
        &mut self,
        name: &str,
        x: TensorId,
        weight: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Result<TensorId, BuildError> {
        let inputs = self.last_dim(name, x)?;
        let weight = self.weight_like(x, &[inputs, bias.len()], weight)?;
        let bias = self.weight_like(x, &[bias.len()], bias)?;
        self.dense_of(name, x, weight, Some(bias), activation)
    }

    /// A dense layer with weights that are there already, and may serve elsewhere too.
    pub fn dense_of(
        &mut self,
        name: &str,
        x: TensorId,
        weight: TensorId,
        bias: Option<TensorId>,
        activation: Activation,
    ) -> Result<TensorId, BuildError> {
        let shape = match self.tensor(weight).shape.dims() {
            &[inputs, outputs] => self.tensor(x).shape.with_last(inputs, outputs),
            _ => None,
        };
        let shape = shape.ok_or_else(|| self.misfit(name, x))?;
        let op = Op::Dense(Dense {
            weight,
            bias,
            requant: None,
            activation,
        });
        self.real(name, op, &[x], shape)
    }

    /// A convolution: `weight` is `[kernel_h, kernel_w, in, out]` with the shape `kernel`.
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
        stride: [u16; 2],
        padding: [u8; 4],
        activation: Activation,
    ) -> Result<TensorId, BuildError> {
        let weight = self.weight_like(x, &kernel, weight)?;
        let bias = self.weight_like(x, &[bias.len()], bias)?;
        let conv = Conv2d {
            weight,
            bias: Some(bias),
            requant: None,
            stride,
            padding,
            dilation: [1, 1],
            groups: 1,
            activation,
        };
        self.conv2d_of(name, x, conv)
    }

    /// A convolution with weights that are there already, and may serve elsewhere too.
    pub fn conv2d_of(
        &mut self,
        name: &str,
        x: TensorId,
        conv: Conv2d,
    ) -> Result<TensorId, BuildError> {
        let shape = conv
            .output_shape(self.tensor(x).shape, &self.tensor(conv.weight))
            .ok_or_else(|| self.misfit(name, x))?;
        self.real(name, Op::Conv2d(conv), &[x], shape)
    }

    /// A max pooling, of any number type.
    pub fn max_pool2d(
        &mut self,
        name: &str,
        x: TensorId,
        pool: Pool2d,
    ) -> Result<TensorId, BuildError> {
        self.pool(name, x, pool, Op::MaxPool2d(pool))
    }

    /// An average pooling, of any number type: of a [`Pool2d`], padding is not counted.
    pub fn avg_pool2d(
        &mut self,
        name: &str,
        x: TensorId,
        pool: impl Into<AvgPool2d>,
    ) -> Result<TensorId, BuildError> {
        let pool = pool.into();
        self.pool(name, x, pool.window, Op::AvgPool2d(pool))
    }

    fn pool(
        &mut self,
        name: &str,
        x: TensorId,
        pool: Pool2d,
        op: Op,
    ) -> Result<TensorId, BuildError> {
        let shape = pool.output_shape(self.tensor(x).shape);
        let shape = shape.ok_or_else(|| self.misfit(name, x))?;
        self.keeping(name, op, &[x], shape)
    }

    /// The same numbers as a vector, of any number type.
    pub fn flatten(&mut self, name: &str, x: TensorId) -> Result<TensorId, BuildError> {
        let shape = checked_shape(&[self.tensor(x).elements()], 0)?;
        self.keeping(name, Op::Flatten, &[x], shape)
    }

    /// An operator whose output is like its input: ReLU, dropout, and in real numbers activations and softmax.
    pub fn same(&mut self, name: &str, op: Op, x: TensorId) -> Result<TensorId, BuildError> {
        let shape = self.tensor(x).shape;
        self.keeping(name, op, &[x], shape)
    }

    /// A function of each number.
    pub fn activation(
        &mut self,
        name: &str,
        activation: Activation,
        x: TensorId,
    ) -> Result<TensorId, BuildError> {
        let op = match activation {
            Activation::Relu => Op::Relu,
            Activation::Sigmoid => Op::Sigmoid(None),
            Activation::Tanh => Op::Tanh(None),
            other => Op::Activation(other),
        };
        self.same(name, op, x)
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

    /// x0 + x1, in real numbers; x1 may be repeated along the leading axes of x0.
    pub fn add(
        &mut self,
        name: &str,
        inputs: [TensorId; 2],
        activation: Activation,
    ) -> Result<TensorId, BuildError> {
        let requant = None;
        let sum = Add {
            requant,
            activation,
        };
        self.real(name, Op::Add(sum), &inputs, self.tensor(inputs[0]).shape)
    }

    /// x0 · x1, in real numbers; x1 may be repeated along the leading axes of x0.
    pub fn mul(
        &mut self,
        name: &str,
        inputs: [TensorId; 2],
        activation: Activation,
    ) -> Result<TensorId, BuildError> {
        let requant = None;
        let product = Mul {
            requant,
            activation,
        };
        self.real(
            name,
            Op::Mul(product),
            &inputs,
            self.tensor(inputs[0]).shape,
        )
    }

    /// Two to four tensors behind each other along an axis; of any number type, quantized alike.
    pub fn concat(
        &mut self,
        name: &str,
        inputs: &[TensorId],
        axis: u8,
    ) -> Result<TensorId, BuildError> {
        let shapes: Vec<Shape> = inputs.iter().map(|&id| self.tensor(id).shape).collect();
        let concat = Concat { axis };
        let x = self.first(inputs)?;
        let shape = concat.output_shape(&shapes);
        let shape = shape.ok_or_else(|| self.misfit(name, x))?;
        self.keeping(name, Op::Concat(concat), inputs, shape)
    }

    /// Zeros before and after each axis, of any number type.
    pub fn pad(&mut self, name: &str, x: TensorId, pad: Pad) -> Result<TensorId, BuildError> {
        let shape = pad.output_shape(&self.tensor(x).shape);
        let shape = shape.ok_or_else(|| self.misfit(name, x))?;
        self.keeping(name, Op::Pad(pad), &[x], shape)
    }

    /// Axis i of the output is axis `axes[i]` of the input; of any number type.
    pub fn transpose(
        &mut self,
        name: &str,
        x: TensorId,
        axes: &[u8],
    ) -> Result<TensorId, BuildError> {
        let mut all = [0, 1, 2, 3];
        for (to, from) in all.iter_mut().zip(axes) {
            *to = *from;
        }
        let transpose = Transpose { axes: all };
        let shape = transpose.output_shape(&self.tensor(x).shape);
        let shape = shape.ok_or_else(|| self.misfit(name, x))?;
        self.keeping(name, Op::Transpose(transpose), &[x], shape)
    }

    /// The same numbers in another shape, of any number type.
    pub fn reshape(
        &mut self,
        name: &str,
        x: TensorId,
        shape: &[usize],
    ) -> Result<TensorId, BuildError> {
        let shape = checked_shape(shape, self.tensor(x).elements())?;
        self.keeping(name, Op::Reshape, &[x], shape)
    }

    /// The mean of each channel, in real numbers.
    pub fn global_avg_pool(&mut self, name: &str, x: TensorId) -> Result<TensorId, BuildError> {
        let shape = checked_shape(&[self.last_dim(name, x)?], 0)?;
        self.real(name, Op::GlobalAvgPool(None), &[x], shape)
    }

    /// The largest number of each channel, of any number type.
    pub fn global_max_pool(&mut self, name: &str, x: TensorId) -> Result<TensorId, BuildError> {
        let shape = checked_shape(&[self.last_dim(name, x)?], 0)?;
        self.keeping(name, Op::GlobalMaxPool, &[x], shape)
    }

    /// Leaky ReLU with slopes that can learn, in real numbers: one for each channel, or one for all.
    pub fn prelu(
        &mut self,
        name: &str,
        x: TensorId,
        slope: TensorId,
    ) -> Result<TensorId, BuildError> {
        let requant = None;
        self.same(name, Op::Prelu(Prelu { slope, requant }), x)
    }

    /// A row of `table`, `[entries, features]`, for each number of the vector `x`.
    pub fn embedding(
        &mut self,
        name: &str,
        x: TensorId,
        table: TensorId,
    ) -> Result<TensorId, BuildError> {
        let entries = self.tensor(table);
        let features = entries.shape.dims().last().copied().unwrap_or(0) as usize;
        let shape = checked_shape(&[self.tensor(x).elements(), features], 0)?;
        let output = Tensor::activation(shape, entries.dtype, entries.quant);
        self.node(name, Op::Embedding(Embedding { table }), x, output)
    }

    /// An operator of real numbers, in the type of its first input.
    pub fn real(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[TensorId],
        shape: Shape,
    ) -> Result<TensorId, BuildError> {
        let dtype = self.tensor(self.first(inputs)?).dtype;
        let output = Tensor::activation(shape, dtype, Quant::None);
        self.node_of(name, op, inputs, output)
    }

    /// An operator whose output has the type and the quantization of its first input.
    pub fn keeping(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[TensorId],
        shape: Shape,
    ) -> Result<TensorId, BuildError> {
        let input = self.tensor(self.first(inputs)?);
        let output = Tensor::activation(shape, input.dtype, input.quant);
        self.node_of(name, op, inputs, output)
    }

    pub(super) fn first(&self, inputs: &[TensorId]) -> Result<TensorId, BuildError> {
        inputs.first().copied().ok_or(BuildError::TooMany)
    }

    pub(super) fn last_dim(&self, name: &str, x: TensorId) -> Result<usize, BuildError> {
        let shape = self.tensor(x).shape;
        let last = shape.dims().last().map(|&dim| dim as usize);
        last.ok_or_else(|| self.misfit(name, x))
    }
}
