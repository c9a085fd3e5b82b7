//! Layers in int8.

use nn_core::ops::{self, Op};
use nn_core::tensor::{DType, Quant, TensorId};

use super::walk::Lowering;
use crate::export::ExportError;
use crate::export::network::{Conv2d, Dense, Kind, Layer};
use crate::export::quantization::{Affine, Parameters, input_rescale, quantize_layer};
use crate::recipe::Activation;

impl Lowering<'_> {
    /// `output` is the quantization of what the layer gives, with its activation.
    pub(super) fn add_i8(
        &mut self,
        layer: &Layer,
        inputs: &[TensorId],
        activation: ops::Activation,
        output: Option<Affine>,
    ) -> Result<TensorId, ExportError> {
        let name = &layer.name;
        let x = inputs[0];
        let tensor = self.builder.tensor(x);
        let input = Affine {
            scale: tensor.scale(),
            zero_point: tensor.zero_point(),
        };
        let output = || {
            output.ok_or_else(|| ExportError::Uncalibrated {
                layer: name.clone(),
            })
        };
        let rescale = |integer_bits| {
            input_rescale(input.scale, integer_bits)
                .map(Some)
                .ok_or_else(|| ExportError::Scale {
                    layer: name.clone(),
                    scale: input.scale,
                })
        };
        let (op, (scale, zero_point)) = match &layer.kind {
            Kind::Conv2d(conv) => {
                return self.conv2d_i8(layer, conv, x, input, output()?, activation);
            }
            Kind::Dense(Dense {
                weight,
                shape,
                bias,
            }) => {
                let parameters = Parameters {
                    layer: name,
                    weight,
                    shape,
                    bias,
                };
                let layer = quantize_layer(parameters, input, output()?, activation)?;
                return Ok(self.builder.dense_i8(name, x, &layer)?);
            }
            Kind::MaxPool2d(_) | Kind::AvgPool2d(_) | Kind::Reshape => {
                return self.add_keeping(layer, inputs);
            }
            Kind::Activation(Activation::Relu) => {
                return Ok(self.builder.same(name, Op::Relu, x)?);
            }
            Kind::Activation(Activation::Sigmoid) => {
                let rescale = rescale(ops::sigmoid::INPUT_INTEGER_BITS)?;
                (Op::Sigmoid(rescale), ops::sigmoid::OUTPUT_I8)
            }
            Kind::Activation(Activation::Tanh) => {
                let rescale = rescale(ops::tanh::INPUT_INTEGER_BITS)?;
                (Op::Tanh(rescale), ops::tanh::OUTPUT_I8)
            }
            Kind::Activation(Activation::Softmax) => {
                let rescale = rescale(ops::softmax::INPUT_INTEGER_BITS)?;
                (Op::Softmax(rescale), ops::softmax::OUTPUT_I8)
            }
            _ => {
                return Err(ExportError::NoInt8 {
                    layer: name.clone(),
                    operator: layer.kind.name(),
                });
            }
        };
        let quant = Quant::PerTensor { scale, zero_point };
        Ok(self.builder.convert(name, op, x, DType::I8, quant)?)
    }

    fn conv2d_i8(
        &mut self,
        layer: &Layer,
        conv: &Conv2d,
        x: TensorId,
        input: Affine,
        output: Affine,
        activation: ops::Activation,
    ) -> Result<TensorId, ExportError> {
        let parameters = Parameters {
            layer: &layer.name,
            weight: &conv.weight,
            shape: &conv.shape,
            bias: &conv.bias,
        };
        let mut quantized = quantize_layer(parameters, input, output, activation)?;
        let [out, height, width, group] = conv.shape;
        if group == 1 && conv.groups > 1 {
            // A depthwise kernel has its channels last.
            let taps = height * width;
            let at = |tap: usize, channel: usize| quantized.weight[channel * taps + tap];
            let weight = (0..taps).flat_map(|tap| (0..out).map(move |channel| (tap, channel)));
            quantized.weight = weight.map(|(tap, channel)| at(tap, channel)).collect();
            quantized.shape = vec![1, height, width, out];
        }
        let geometry = ops::Conv2d {
            weight: 0,
            bias: None,
            requant: None,
            stride: conv.stride,
            padding: conv.padding,
            dilation: conv.dilation,
            groups: conv.groups,
            activation,
        };
        Ok(self
            .builder
            .conv2d_i8_of(&layer.name, x, &quantized, geometry)?)
    }
}
