//! Layers in int8.

use nn_core::ops::{Activation, Conv2d, Dense, Lookup, Op, Prelu, PreluRequant};
use nn_core::tensor::{DType, Quant, Tensor, TensorId};

use super::{BuildError, Builder, checked_shape};

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

impl Builder {
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
        let shape = match layer.shape[..] {
            [outputs, inputs] => u32::try_from(inputs)
                .ok()
                .zip(u32::try_from(outputs).ok())
                .and_then(|(inputs, outputs)| self.tensor(x).shape.with_last(inputs, outputs)),
            _ => None,
        };
        let shape = shape.ok_or_else(|| self.misfit(name, x))?;
        let output = Tensor::activation(shape, DType::I8, layer.output);
        self.node(name, op, x, output)
    }

    /// A convolution in int8.
    pub fn conv2d_i8(
        &mut self,
        name: &str,
        x: TensorId,
        layer: &Int8Layer,
        stride: [u16; 2],
        padding: [u8; 4],
    ) -> Result<TensorId, BuildError> {
        let conv = Conv2d {
            weight: 0,
            bias: None,
            requant: None,
            stride,
            padding,
            dilation: [1, 1],
            groups: 1,
            activation: layer.activation,
        };
        self.conv2d_i8_of(name, x, layer, conv)
    }

    /// A convolution in int8 with the stride, padding, dilation and groups of `geometry`; a depthwise one has weights
    /// `[1, kernel_h, kernel_w, out]`.
    pub fn conv2d_i8_of(
        &mut self,
        name: &str,
        x: TensorId,
        layer: &Int8Layer,
        geometry: Conv2d,
    ) -> Result<TensorId, BuildError> {
        let (weight, bias, requant) = self.int8_parameters(layer)?;
        let conv = Conv2d {
            weight,
            bias: Some(bias),
            requant: Some(requant),
            activation: layer.activation,
            ..geometry
        };
        let shape = conv
            .output_shape(self.tensor(x).shape, &self.tensor(weight))
            .ok_or_else(|| self.misfit(name, x))?;
        let output = Tensor::activation(shape, DType::I8, layer.output);
        self.node(name, Op::Conv2d(conv), x, output)
    }

    /// An int8 operator that gives one number for each channel.
    pub fn reduced_i8(
        &mut self,
        name: &str,
        op: Op,
        x: TensorId,
        shape: &[usize],
        quant: Quant,
    ) -> Result<TensorId, BuildError> {
        let shape = checked_shape(shape, 0)?;
        self.node(name, op, x, Tensor::activation(shape, DType::I8, quant))
    }

    /// A function of each int8, given its 256 results.
    pub fn lookup_i8(
        &mut self,
        name: &str,
        x: TensorId,
        table: &[i8],
        quant: Quant,
    ) -> Result<TensorId, BuildError> {
        let table = self.weight(&[256], DType::I8, quant, bytemuck::cast_slice(table))?;
        let op = Op::Lookup(Lookup { table });
        self.convert(name, op, x, DType::I8, quant)
    }

    /// A leaky ReLU in int8 with slopes of this scale, one for each channel or one for all.
    pub fn prelu_i8(
        &mut self,
        name: &str,
        x: TensorId,
        scale: f32,
        slopes: &[i8],
        requant: PreluRequant,
        quant: Quant,
    ) -> Result<TensorId, BuildError> {
        let own = Quant::PerTensor {
            scale,
            zero_point: 0,
        };
        let bytes = bytemuck::cast_slice(slopes);
        let slope = self.weight(&[slopes.len()], DType::I8, own, bytes)?;
        let requant = Some(requant);
        let op = Op::Prelu(Prelu { slope, requant });
        self.convert(name, op, x, DType::I8, quant)
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
}
