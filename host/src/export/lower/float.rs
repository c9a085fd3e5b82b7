//! Layers in f32.

use nn_core::ops::{self, Op};
use nn_core::tensor::TensorId;

use super::walk::Lowering;
use crate::export::network::{Kind, Layer};
use crate::export::read::transpose;
use crate::export::{Builder, ExportError};
use crate::recipe::Activation;

/// An activation as nn-core's function of one number; `None` for what takes several together.
pub(super) fn function(activation: Activation) -> Option<ops::Activation> {
    Some(match activation {
        Activation::None => ops::Activation::None,
        Activation::Relu => ops::Activation::Relu,
        Activation::Relu6 => ops::Activation::Relu6,
        Activation::LeakyRelu(slope) => ops::Activation::LeakyRelu(slope),
        Activation::Sigmoid => ops::Activation::Sigmoid,
        Activation::HardSigmoid => ops::Activation::HardSigmoid,
        Activation::Tanh => ops::Activation::Tanh,
        Activation::Step => ops::Activation::Step,
        Activation::Softmax | Activation::LogSoftmax => return None,
    })
}

impl Lowering<'_> {
    pub(super) fn add_float(
        &mut self,
        layer: &Layer,
        inputs: &[TensorId],
        activation: ops::Activation,
    ) -> Result<TensorId, ExportError> {
        let name = &layer.name;
        let x = inputs[0];
        Ok(match &layer.kind {
            Kind::Conv2d(conv) => {
                let [out, height, width, group] = conv.shape;
                let ids = self.weights(layer, |builder| {
                    let weight = transpose(&conv.weight, out);
                    Ok(vec![
                        builder.weight_f32(&[height, width, group, out], &weight)?,
                        builder.weight_f32(&[out], &conv.bias)?,
                    ])
                })?;
                let conv = ops::Conv2d {
                    weight: ids[0],
                    bias: Some(ids[1]),
                    requant: None,
                    stride: conv.stride,
                    padding: conv.padding,
                    dilation: conv.dilation,
                    groups: conv.groups,
                    activation,
                };
                self.builder.conv2d_of(name, x, conv)?
            }
            Kind::Dense(dense) => {
                let [out, features] = dense.shape;
                let ids = self.weights(layer, |builder| {
                    let weight = transpose(&dense.weight, out);
                    Ok(vec![
                        builder.weight_f32(&[features, out], &weight)?,
                        builder.weight_f32(&[out], &dense.bias)?,
                    ])
                })?;
                self.builder
                    .dense_of(name, x, ids[0], Some(ids[1]), activation)?
            }
            Kind::BatchNorm(norm) => {
                let ids = self.weights(layer, |builder| {
                    let channels = [norm.channels()];
                    let all = [&norm.gamma, &norm.beta, &norm.mean, &norm.scale()];
                    let all = all.map(|values| builder.weight_f32(&channels, values));
                    Ok(all.into_iter().collect::<Result<_, _>>()?)
                })?;
                let norm = ops::BatchNorm {
                    gamma: ids[0],
                    beta: ids[1],
                    mean: ids[2],
                    scale: ids[3],
                };
                self.builder.same(name, Op::BatchNorm(norm), x)?
            }
            Kind::Recurrent(recurrent) => self.recurrent(layer, recurrent, x)?,
            Kind::Add | Kind::Mul => {
                let is_sum = matches!(layer.kind, Kind::Add);
                let mut y = x;
                for (node, &other) in inputs.iter().skip(1).enumerate() {
                    let (name, activation) = layer.merged(node, inputs.len(), activation);
                    y = if is_sum {
                        self.builder.add(&name, [y, other], activation)?
                    } else {
                        self.builder.mul(&name, [y, other], activation)?
                    };
                }
                y
            }
            Kind::GlobalAvgPool => self.builder.global_avg_pool(name, x)?,
            Kind::Prelu(slope) => {
                let ids = self.weights(layer, |builder| {
                    Ok(vec![builder.weight_f32(&[slope.len()], slope)?])
                })?;
                self.builder.prelu(name, x, ids[0])?
            }
            Kind::Embedding(table, shape) => {
                let ids =
                    self.weights(layer, |builder| Ok(vec![builder.weight_f32(shape, table)?]))?;
                self.builder.embedding(name, x, ids[0])?
            }
            Kind::OneHot => {
                let classes = layer.output_shape[1];
                let place = |at: usize| f32::from(u8::from(at / classes == at % classes));
                let table: Vec<f32> = (0..classes * classes).map(place).collect();
                let table = self.builder.weight_f32(&[classes, classes], &table)?;
                self.builder.embedding(name, x, table)?
            }
            Kind::Rrelu(rrelu) => self.builder.same(name, Op::Rrelu(*rrelu), x)?,
            Kind::Activation(activation) => match (function(*activation), *activation) {
                (Some(function), _) => self.builder.activation(name, function, x)?,
                (None, Activation::Softmax) => self.builder.same(name, Op::Softmax(None), x)?,
                (None, _) => self.builder.same(name, Op::LogSoftmax(None), x)?,
            },
            _ => self.add_keeping(layer, inputs)?,
        })
    }

    /// The weights of a layer: those that it shares, where they are there already.
    pub(super) fn weights(
        &mut self,
        layer: &Layer,
        make: impl FnOnce(&mut Builder) -> Result<Vec<TensorId>, ExportError>,
    ) -> Result<Vec<TensorId>, ExportError> {
        if let Some(known) = layer.shared.and_then(|number| self.shared.get(&number)) {
            return Ok(known.clone());
        }
        let ids = make(&mut self.builder)?;
        if let Some(number) = layer.shared {
            self.shared.insert(number, ids.clone());
        }
        Ok(ids)
    }

    /// A vector `steps` times, by concatenations of up to four.
    fn repeat(&mut self, layer: &Layer, x: TensorId) -> Result<TensorId, ExportError> {
        let name = &layer.name;
        let (steps, features) = (layer.output_shape[0], layer.output_shape[1]);
        let mut block = self.builder.reshape(name, x, &[1, features])?;
        // Of the rows of `block`, `size` each, those that are left over.
        let (mut size, mut left, mut parts) = (1, steps, Vec::new());
        while left > 0 {
            for _ in 0..(left / size) % 4 {
                parts.push(block);
                left -= size;
            }
            if left > 0 {
                let name = format!("{name}.x{}", 4 * size);
                block = self.builder.concat(&name, &[block; 4], 0)?;
                size *= 4;
            }
        }
        // Equal rows: their order does not matter.
        while parts.len() > 1 {
            let count = parts.len().min(4);
            let some: Vec<TensorId> = parts.drain(..count).collect();
            let name = format!("{name}.{}", parts.len() + 1);
            parts.push(self.builder.concat(&name, &some, 0)?);
        }
        Ok(parts[0])
    }

    /// Layers whose output is of the type and the quantization of their input.
    pub(super) fn add_keeping(
        &mut self,
        layer: &Layer,
        inputs: &[TensorId],
    ) -> Result<TensorId, ExportError> {
        let name = &layer.name;
        let x = inputs[0];
        Ok(match &layer.kind {
            Kind::MaxPool2d(pool) => self.builder.max_pool2d(name, x, *pool)?,
            Kind::AvgPool2d(pool) => self.builder.avg_pool2d(name, x, *pool)?,
            Kind::GlobalMaxPool => self.builder.global_max_pool(name, x)?,
            Kind::Transpose(axes) => self.builder.transpose(name, x, axes)?,
            Kind::Pad(pad) => self.builder.pad(name, x, *pad)?,
            Kind::Concat(axis) => self.builder.concat(name, inputs, *axis)?,
            Kind::Repeat => self.repeat(layer, x)?,
            _ if layer.output_shape.len() == 1 => self.builder.flatten(name, x)?,
            _ => self.builder.reshape(name, x, &layer.output_shape)?,
        })
    }
}
