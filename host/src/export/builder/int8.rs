//! Layers in int8.

use nn_core::ops::{Activation, Conv2d, Dense, Op};
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
