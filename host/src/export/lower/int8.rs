//! Layers in int8.

use nn_core::ops::{self, Add, Mul, Op, Requantize};
use nn_core::tensor::{DType, Quant, Tensor, TensorId};

use super::walk::Lowering;
use crate::export::ExportError;
use crate::export::network::{Conv2d, Dense, Kind, Layer};
use crate::export::quantization::{Affine, Parameters, input_rescale, operators, quantize_layer};
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
        let input = Affine::of(&tensor);
        let output = || {
            output.ok_or_else(|| ExportError::Uncalibrated {
                layer: name.clone(),
            })
        };
        let no_int8 = || ExportError::NoInt8 {
            layer: name.clone(),
            operator: layer.kind.name(),
        };
        let unfit = || out_of_range(name, input.scale);
        let rescale = |integer_bits| {
            let rescale = input_rescale(input.scale, integer_bits);
            rescale.map(Some).ok_or_else(unfit)
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
                    room: self.weight_room(),
                };
                let layer = quantize_layer(parameters, input, output()?, activation)?;
                return Ok(self.builder.dense_i8(name, x, &layer)?);
            }
            Kind::MaxPool2d(_)
            | Kind::AvgPool2d(_)
            | Kind::GlobalMaxPool
            | Kind::Reshape
            | Kind::Transpose(_)
            | Kind::Pad(_)
            | Kind::Repeat => return self.add_keeping(layer, inputs),
            Kind::Concat(_) => {
                let output = output()?;
                let alike = inputs.iter().enumerate().map(|(place, &x)| {
                    let name = format!("{name}.input{place}");
                    self.requantize(&name, x, output)
                });
                let alike = alike.collect::<Result<Vec<_>, _>>()?;
                return self.add_keeping(layer, &alike);
            }
            Kind::GlobalAvgPool => {
                let output = output()?;
                // Of less than 2^31 numbers.
                let cells = (tensor.elements() / layer.output_shape[0].max(1)) as u32;
                let rescale = operators::mean_rescale(input.scale, output.scale, cells);
                let op = Op::GlobalAvgPool(Some(rescale.ok_or_else(unfit)?));
                let shape = &layer.output_shape;
                return Ok(self
                    .builder
                    .reduced_i8(name, op, x, shape, output.quant())?);
            }
            Kind::BatchNorm(norm) => {
                // A depthwise convolution of one cell.
                let conv = norm.as_convolution();
                let output = output()?;
                if tensor.shape.dims().len() > 1 {
                    return self.conv2d_i8(layer, &conv, x, input, output, activation);
                }
                let map = [1, 1, norm.channels()];
                let map = self.builder.reshape(&format!("{name}.map"), x, &map)?;
                let y = self.conv2d_i8(layer, &conv, map, input, output, activation)?;
                return Ok(self.builder.flatten(&format!("{name}.vector"), y)?);
            }
            Kind::Prelu(slope) => {
                let output = output()?;
                let largest = slope
                    .iter()
                    .fold(f32::MIN_POSITIVE, |most, s| most.max(s.abs()));
                let scale = largest / 127.0;
                // Within ±127.
                let steps = slope.iter().map(|s| (s / scale).round() as i8);
                let steps: Vec<i8> = steps.collect();
                let requant = operators::prelu_requant(input.scale, scale, output.scale);
                let requant = requant.ok_or_else(unfit)?;
                let quant = output.quant();
                return Ok(self
                    .builder
                    .prelu_i8(name, x, scale, &steps, requant, quant)?);
            }
            Kind::Rrelu(rrelu) => {
                let slope = 0.5 * (rrelu.lower + rrelu.upper);
                return self.leaky_i8(name, x, input, slope, output()?);
            }
            Kind::Activation(Activation::LeakyRelu(slope)) => {
                return self.leaky_i8(name, x, input, *slope, output()?);
            }
            Kind::Activation(Activation::Relu6) => {
                let output = output()?;
                let rescale = operators::relu_rescale(input.scale, output.scale);
                let op = Op::Requantize(Requantize {
                    rescale: rescale.ok_or_else(unfit)?,
                    activation: ops::Activation::Relu6,
                });
                return Ok(self
                    .builder
                    .convert(name, op, x, DType::I8, output.quant())?);
            }
            Kind::Activation(Activation::HardSigmoid) => {
                let output = output()?;
                let function = |x: f64| (x / 6.0 + 0.5).clamp(0.0, 1.0);
                let table = operators::lookup_table(input, output, function);
                return Ok(self.builder.lookup_i8(name, x, &table, output.quant())?);
            }
            Kind::Activation(Activation::Step) => {
                let output = output()?;
                let function = |x: f64| f64::from(u8::from(x >= 0.0));
                let table = operators::lookup_table(input, output, function);
                return Ok(self.builder.lookup_i8(name, x, &table, output.quant())?);
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
            Kind::Activation(Activation::LogSoftmax) => {
                let rescale = operators::log_softmax_rescale(input.scale);
                let rescale = Some(rescale.ok_or_else(unfit)?);
                (Op::LogSoftmax(rescale), ops::log_softmax::OUTPUT_I8)
            }
            _ => return Err(no_int8()),
        };
        let quant = Quant::PerTensor { scale, zero_point };
        Ok(self.builder.convert(name, op, x, DType::I8, quant)?)
    }

    /// The same numbers in another quantization; nothing where it is theirs.
    fn requantize(
        &mut self,
        name: &str,
        x: TensorId,
        output: Affine,
    ) -> Result<TensorId, ExportError> {
        let tensor = self.builder.tensor(x);
        if tensor.quant == output.quant() {
            return Ok(x);
        }
        let rescale = operators::requantize_rescale(tensor.scale(), output.scale);
        let op = Op::Requantize(Requantize {
            rescale: rescale.ok_or_else(|| out_of_range(name, tensor.scale()))?,
            activation: ops::Activation::None,
        });
        Ok(self
            .builder
            .convert(name, op, x, DType::I8, output.quant())?)
    }

    /// A sum or a product, two at a time; `output` is the quantization of each of its nodes.
    pub(super) fn merge_i8(
        &mut self,
        layer: &Layer,
        inputs: &[TensorId],
        activation: ops::Activation,
        output: impl Fn(usize) -> Option<Affine>,
    ) -> Result<TensorId, ExportError> {
        let mut y = inputs[0];
        for (node, &other) in inputs.iter().skip(1).enumerate() {
            let output = output(node).ok_or_else(|| ExportError::Uncalibrated {
                layer: layer.name.clone(),
            })?;
            let (name, activation) = layer.merged(node, inputs.len(), activation);
            let [a, b] = [y, other].map(|id| self.builder.tensor(id).scale());
            let unfit = || out_of_range(&layer.name, a.max(b));
            let op = if matches!(layer.kind, Kind::Add) {
                let requant = operators::add_requant(a, b, output.scale);
                Op::Add(Add {
                    requant: Some(requant.ok_or_else(unfit)?),
                    activation,
                })
            } else {
                let requant = operators::mul_rescale(a, b, output.scale);
                Op::Mul(Mul {
                    requant: Some(requant.ok_or_else(unfit)?),
                    activation,
                })
            };
            let shape = self.builder.tensor(y).shape;
            let output = Tensor::activation(shape, DType::I8, output.quant());
            y = self.builder.node_of(&name, op, &[y, other], output)?;
        }
        Ok(y)
    }

    /// A leaky ReLU: TensorFlow Lite's rule, as a table.
    fn leaky_i8(
        &mut self,
        name: &str,
        x: TensorId,
        input: Affine,
        slope: f32,
        output: Affine,
    ) -> Result<TensorId, ExportError> {
        let table = operators::leaky_relu_table(input, slope, output);
        let table = table.ok_or_else(|| out_of_range(name, input.scale))?;
        Ok(self.builder.lookup_i8(name, x, &table, output.quant())?)
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
            room: self.weight_room(),
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

/// A layer whose factors its kernel cannot take.
fn out_of_range(layer: &str, scale: f32) -> ExportError {
    let layer = layer.to_owned();
    ExportError::Scale { layer, scale }
}
