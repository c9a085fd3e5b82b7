//! From layers to a blob's graph: in f32, Q16, int8, or in int8 with a head of f32 or Q16.

use nn_core::ops::{self, Op};
use nn_core::tensor::{DType, Quant, TensorId};
use nn_core::train::{Loss, Sgd, TrainSpec, Trainable};

use super::network::{Conv2d, Dense, Kind, Layer};
use super::quantization::{Affine, Parameters, input_rescale, quantize_layer};
use super::{AlignedBytes, Builder, ExportError, Network, Ranges};
use crate::recipe::{self, Activation, DeviceTraining, Format, Recipe, TrainableLayers};

/// A network's blob.
#[derive(Debug, Clone)]
pub struct Lowered {
    /// The blob.
    pub bytes: AlignedBytes,
    /// For each node, the layer whose output it gives.
    pub(super) outputs: Vec<usize>,
}

/// In which numbers the layers compute.
#[derive(Debug, Clone, Copy)]
pub(super) enum Numbers<'r> {
    /// All in f32.
    F32,
    /// int8 up to layer `until`, from there on f32.
    Int8 {
        /// The ranges that scales come from.
        ranges: &'r Ranges,
        /// The first layer in f32; the count of layers where all compute in int8.
        until: usize,
    },
}

/// Which activations a dense layer or convolution applies to its own output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fusion {
    /// ReLU, sigmoid, tanh.
    Float,
    /// ReLU.
    Int8,
}

impl Fusion {
    fn of(self, activation: Activation) -> Option<ops::Activation> {
        match (activation, self) {
            (Activation::Relu, _) => Some(ops::Activation::Relu),
            (Activation::Sigmoid, Self::Float) => Some(ops::Activation::Sigmoid),
            (Activation::Tanh, Self::Float) => Some(ops::Activation::Tanh),
            _ => None,
        }
    }
}

impl Network {
    /// The blob of `recipe` in `format`, named `<recipe>-<format>`.
    ///
    /// All but the int8 blob carry the recipe's training plan, where it has one.
    ///
    /// # Errors
    /// What int8, Q16 or the blob format cannot hold; `head` without a training plan.
    pub fn lower(
        &self,
        recipe: &Recipe,
        ranges: &Ranges,
        format: Format,
    ) -> Result<Lowered, ExportError> {
        let name = format!("{}-{format}", self.name);
        let train = recipe.export.train.as_ref();
        let learning: Vec<&str> =
            train.map_or(Vec::new(), |train| train.layers.select(recipe.layers()));
        let plan = train.map(|train| (train, &learning[..]));
        let numbers = match format {
            Format::F32 | Format::Q16 => Numbers::F32,
            Format::I8 => {
                let until = self.layers.len();
                let numbers = Numbers::Int8 { ranges, until };
                return self.lower_as(numbers, Fusion::Float, &name, None);
            }
            Format::Head | Format::HeadQ16 => {
                let first = |layer: &Layer| learning.contains(&layer.name.as_str());
                let until = self.layers.iter().position(first);
                let until = until.ok_or(ExportError::NoTrainPlan { format })?;
                Numbers::Int8 { ranges, until }
            }
        };
        let mut graph = self.graph(numbers, Fusion::Float, &name, plan)?;
        if matches!(format, Format::Q16 | Format::HeadQ16) {
            graph.builder = graph.builder.to_q16().exact()?;
        }
        graph.finish()
    }

    /// The blob called `name`; `train` is the training plan and the names of the layers that learn.
    pub(super) fn lower_as(
        &self,
        numbers: Numbers<'_>,
        fusion: Fusion,
        name: &str,
        train: Option<(&DeviceTraining, &[&str])>,
    ) -> Result<Lowered, ExportError> {
        self.graph(numbers, fusion, name, train)?.finish()
    }

    fn graph(
        &self,
        numbers: Numbers<'_>,
        fusion: Fusion,
        name: &str,
        train: Option<(&DeviceTraining, &[&str])>,
    ) -> Result<Lowering, ExportError> {
        let (dtype, quant) = match numbers {
            Numbers::F32 => (DType::F32, Quant::None),
            Numbers::Int8 { .. } => (DType::I8, Affine::PIXELS.quant()),
        };
        let mut builder = Builder::new(name);
        let mut x = builder.input(&self.input, dtype, quant)?;
        let mut outputs = Vec::new();
        let mut mask = 0u64;
        let mut index = 0;
        while let Some(layer) = self.layers.get(index) {
            let mut ranges = None;
            if let Numbers::Int8 { ranges: all, until } = numbers {
                if index < until {
                    ranges = Some(all);
                } else if index == until {
                    let op = Op::Dequantize;
                    x = builder.convert("dequantize", op, x, DType::F32, Quant::None)?;
                    // What it gives is what the layer before gave; the first layer has none.
                    outputs.push(index.saturating_sub(1));
                }
            }
            if let Some((_, learning)) = train
                && learning.contains(&layer.name.as_str())
            {
                mask |= node_bit(train, layer, outputs.len())?;
            }
            let fusion = if ranges.is_some() {
                Fusion::Int8
            } else {
                fusion
            };
            let activation = match self.layers.get(index + 1).map(|next| &next.kind) {
                Some(Kind::Activation(activation)) if layer.has_parameters() => {
                    fusion.of(*activation)
                }
                _ => None,
            };
            index += usize::from(activation.is_some());
            let activation = activation.unwrap_or_default();
            x = match ranges {
                Some(ranges) => {
                    let output = ranges.of(index).map(Affine::covering);
                    add_i8(&mut builder, layer, x, activation, output)?
                }
                None => add_f32(&mut builder, layer, x, activation)?,
            };
            outputs.push(index);
            index += 1;
        }
        Ok(Lowering {
            builder,
            output: x,
            outputs,
            train: train.map(|(train, _)| spec(train, mask)),
        })
    }
}

/// A network's graph, before it is written.
struct Lowering {
    builder: Builder,
    output: TensorId,
    outputs: Vec<usize>,
    train: Option<TrainSpec>,
}

impl Lowering {
    fn finish(self) -> Result<Lowered, ExportError> {
        let bytes = self.builder.finish(&[self.output], self.train)?;
        let outputs = self.outputs;
        Ok(Lowered { bytes, outputs })
    }
}

/// The bit of node `node` in a plan that names nodes; no bit where the plan needs none.
fn node_bit(
    train: Option<(&DeviceTraining, &[&str])>,
    layer: &Layer,
    node: usize,
) -> Result<u64, ExportError> {
    let named = train.is_some_and(|(train, _)| by_node(&train.layers));
    match u32::try_from(node)
        .ok()
        .and_then(|node| 1u64.checked_shl(node))
    {
        Some(bit) => Ok(bit),
        None if named => Err(ExportError::TrainPlan {
            layer: layer.name.clone(),
            node,
        }),
        None => Ok(0),
    }
}

/// Whether a blob's training plan has to name the nodes that learn.
fn by_node(layers: &TrainableLayers) -> bool {
    match layers {
        TrainableLayers::All => false,
        TrainableLayers::Last(count) => *count > usize::from(u8::MAX),
        TrainableLayers::Named(_) => true,
    }
}

fn spec(train: &DeviceTraining, mask: u64) -> TrainSpec {
    let trainable = match &train.layers {
        TrainableLayers::All => Trainable::All,
        TrainableLayers::Last(count) => {
            u8::try_from(*count).map_or(Trainable::Nodes(mask), Trainable::Last)
        }
        TrainableLayers::Named(_) => Trainable::Nodes(mask),
    };
    TrainSpec::with_rates(
        trainable,
        match train.loss {
            recipe::Loss::CrossEntropy => Loss::CrossEntropy,
            recipe::Loss::Mse => Loss::MeanSquaredError,
        },
        Sgd {
            learning_rate: train.learning_rate,
            momentum: train.momentum,
            weight_decay: train.weight_decay,
        },
    )
}

impl Layer {
    fn has_parameters(&self) -> bool {
        matches!(self.kind, Kind::Conv2d(_) | Kind::Dense(_))
    }
}

fn add_f32(
    builder: &mut Builder,
    layer: &Layer,
    x: TensorId,
    activation: ops::Activation,
) -> Result<TensorId, ExportError> {
    let name = &layer.name;
    Ok(match &layer.kind {
        Kind::Conv2d(conv) => {
            let [out, height, width, inputs] = conv.shape;
            let weight = transpose(&conv.weight, out);
            let kernel = [height, width, inputs, out];
            let (stride, padding) = (conv.stride, conv.padding);
            builder.conv2d(
                name, x, kernel, &weight, &conv.bias, stride, padding, activation,
            )?
        }
        Kind::Dense(dense) => {
            let weight = transpose(&dense.weight, dense.shape[0]);
            builder.dense(name, x, &weight, &dense.bias, activation)?
        }
        Kind::Activation(activation) => match activation {
            Activation::None => x,
            Activation::Relu => builder.same(name, Op::Relu, x)?,
            Activation::Sigmoid => builder.same(name, Op::Sigmoid(None), x)?,
            Activation::Tanh => builder.same(name, Op::Tanh(None), x)?,
            Activation::Softmax => builder.same(name, Op::Softmax(None), x)?,
        },
        Kind::MaxPool2d(_) | Kind::AvgPool2d(_) | Kind::Flatten => add_keeping(builder, layer, x)?,
    })
}

/// `output` is the quantization of what the layer gives, with its activation.
fn add_i8(
    builder: &mut Builder,
    layer: &Layer,
    x: TensorId,
    activation: ops::Activation,
    output: Option<Affine>,
) -> Result<TensorId, ExportError> {
    let name = &layer.name;
    let tensor = builder.tensor(x);
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
        Kind::Conv2d(Conv2d {
            weight,
            shape,
            bias,
            stride,
            padding,
        }) => {
            let parameters = Parameters {
                layer: name,
                weight,
                shape,
                bias,
            };
            let layer = quantize_layer(parameters, input, output()?, activation)?;
            return Ok(builder.conv2d_i8(name, x, &layer, *stride, *padding)?);
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
            return Ok(builder.dense_i8(name, x, &layer)?);
        }
        Kind::MaxPool2d(_) | Kind::AvgPool2d(_) | Kind::Flatten => {
            return add_keeping(builder, layer, x);
        }
        Kind::Activation(Activation::None) => return Ok(x),
        Kind::Activation(Activation::Relu) => return Ok(builder.same(name, Op::Relu, x)?),
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
    };
    let quant = Quant::PerTensor { scale, zero_point };
    Ok(builder.convert(name, op, x, DType::I8, quant)?)
}

/// Layers whose output is quantized as their input is.
fn add_keeping(builder: &mut Builder, layer: &Layer, x: TensorId) -> Result<TensorId, ExportError> {
    let name = &layer.name;
    Ok(match layer.kind {
        Kind::MaxPool2d(pool) => builder.max_pool2d(name, x, pool)?,
        Kind::AvgPool2d(pool) => builder.avg_pool2d(name, x, pool)?,
        _ => builder.flatten(name, x)?,
    })
}

/// `[rows, …]` to `[…, rows]`: from output-major to input-major.
fn transpose(weight: &[f32], rows: usize) -> Vec<f32> {
    let columns = weight.len() / rows.max(1);
    (0..columns)
        .flat_map(|column| weight.iter().skip(column).step_by(columns.max(1)).copied())
        .collect()
}
