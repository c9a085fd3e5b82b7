//! A recipe's layers in libtorch.
//!
//! Images are NCHW here, as libtorch wants them. `flatten` puts them in HWC order, as the device
//! lays them out, so the rows of a dense layer's weight after it are in HWC order as well.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use super::TrainError;
use super::values::from_values;
use crate::checkpoint::{Checkpoint, Values};
use crate::data::Stream;
use crate::recipe::{Activation, Conv2d, LayerKind, Padding, Pool2d, Recipe, ResolvedLayer};

/// A weight or a bias.
pub(super) struct Parameter {
    /// `conv2d_1.weight`.
    pub(super) name: Arc<str>,
    /// On the training device.
    pub(super) tensor: Tensor,
}

/// The layers and their parameters: the weight and the bias of each layer that has any, in order.
pub(super) struct Network {
    layers: Arc<[ResolvedLayer]>,
    pub(super) parameters: Vec<Parameter>,
    device: Device,
}

/// Dropout's chance: a stream for each layer and shard in each step.
#[derive(Clone, Copy)]
pub(super) struct Chance {
    pub(super) seed: u64,
    pub(super) step: u64,
    /// Which part of the batch, from 0.
    pub(super) shard: u32,
}

/// Shapes of a layer's weight and bias in libtorch's layout; `None` when it has no parameters.
fn parameter_shapes(layer: &ResolvedLayer) -> Option<[Vec<usize>; 2]> {
    match &layer.kind {
        LayerKind::Conv2d(conv) => {
            let filters = conv.filters.get();
            let inputs = layer.input_shape.last().copied().unwrap_or(0);
            let weight = vec![filters, inputs, conv.kernel.height(), conv.kernel.width()];
            Some([weight, vec![filters]])
        }
        LayerKind::Dense(dense) => {
            let units = dense.units.get();
            let inputs = layer.input_shape.iter().product();
            Some([vec![units, inputs], vec![units]])
        }
        _ => None,
    }
}

fn size(value: usize) -> i64 {
    // Sizes come from a recipe, which keeps them far below 2^63.
    value as i64
}

impl Network {
    /// New weights: He's uniform initialization before ReLU, Glorot's elsewhere; biases 0.
    ///
    /// Sources: He et al. 2015, equation 10; Glorot and Bengio 2010, equation 16.
    pub(super) fn new(recipe: &Recipe, seed: u64, device: Device) -> Result<Self, TrainError> {
        let mut parameters = Vec::new();
        for (index, layer) in recipe.layers().iter().enumerate() {
            let Some([weight, bias]) = parameter_shapes(layer) else {
                continue;
            };
            let window: usize = weight[2..].iter().product();
            let (fan_in, fan_out) = (weight[1] * window, weight[0] * window);
            let next = recipe
                .layers()
                .get(index + 1)
                .map(|layer| layer.kind.activation());
            let relu = [Some(layer.kind.activation()), next].contains(&Some(Activation::Relu));
            let variance = if relu {
                2.0 / fan_in as f32
            } else {
                2.0 / (fan_in + fan_out) as f32
            };
            let bound = (3.0 * variance).sqrt();
            let mut stream = Stream::new(seed, Stream::INIT, 0, index as u64);
            let count: usize = weight.iter().product();
            let values = (0..count).map(|_| stream.uniform(-bound, bound)).collect();
            let zeros = vec![0.0; bias[0]];
            for (kind, shape, values) in [("weight", weight, values), ("bias", bias, zeros)] {
                let name = format!("{}.{kind}", layer.name).into();
                let tensor = parameter(&Values { shape, values }, device)?;
                parameters.push(Parameter { name, tensor });
            }
        }
        Ok(Self {
            layers: recipe.layers().into(),
            parameters,
            device,
        })
    }

    /// The weights of a checkpoint.
    pub(super) fn restore(
        recipe: &Recipe,
        checkpoint: &Checkpoint,
        device: Device,
    ) -> Result<Self, TrainError> {
        let mut parameters = Vec::new();
        for layer in recipe.layers() {
            let Some(shapes) = parameter_shapes(layer) else {
                continue;
            };
            for (kind, shape) in ["weight", "bias"].into_iter().zip(shapes) {
                let name = format!("{}.{kind}", layer.name);
                let tensor = parameter(checkpoint.tensor(&name, &shape)?, device)?;
                parameters.push(Parameter {
                    name: name.into(),
                    tensor,
                });
            }
        }
        Ok(Self {
            layers: recipe.layers().into(),
            parameters,
            device,
        })
    }

    /// The same network, on the same weights, for another thread.
    pub(super) fn share(&self) -> Self {
        let share = |parameter: &Parameter| Parameter {
            name: Arc::clone(&parameter.name),
            tensor: parameter.tensor.shallow_clone(),
        };
        Self {
            layers: Arc::clone(&self.layers),
            parameters: self.parameters.iter().map(share).collect(),
            device: self.device,
        }
    }

    /// What the last layer gives before its softmax, if it ends with one: logits, `[N, classes]`.
    ///
    /// `images` are `[N, H, W, C]`. With `chance`, dropout is at work.
    pub(super) fn forward(
        &self,
        images: &Tensor,
        chance: Option<Chance>,
    ) -> Result<Tensor, TrainError> {
        let mut parameters = self.parameters.iter();
        let mut values = images.f_permute([0, 3, 1, 2])?;
        for (index, layer) in self.layers.iter().enumerate() {
            let mut learnt = || {
                let name = || format!("{}.weight", layer.name);
                let weight = parameters
                    .next()
                    .ok_or_else(|| TrainError::NoParameter(name()))?;
                let bias = parameters
                    .next()
                    .ok_or_else(|| TrainError::NoParameter(name()))?;
                Ok::<_, TrainError>((&weight.tensor, &bias.tensor))
            };
            values = match &layer.kind {
                LayerKind::Conv2d(conv) => {
                    let (weight, bias) = learnt()?;
                    convolve(&values, weight, bias, conv, layer)?
                }
                LayerKind::Dense(_) => {
                    let (weight, bias) = learnt()?;
                    values.f_linear(weight, Some(bias))?
                }
                LayerKind::MaxPool2d(pool) => max_pool(&values, pool, layer)?,
                LayerKind::AvgPool2d(pool) => avg_pool(&values, pool, layer)?,
                LayerKind::Flatten if values.dim() == 4 => {
                    values.f_permute([0, 2, 3, 1])?.f_flatten(1, -1)?
                }
                LayerKind::Flatten | LayerKind::Activation(_) => values,
                LayerKind::Dropout(dropout) => match chance {
                    Some(chance) => self.dropout(&values, dropout.rate, chance, index)?,
                    None => values,
                },
            };
            values = match layer.kind.activation() {
                Activation::None => values,
                Activation::Relu => values.f_relu()?,
                Activation::Sigmoid => values.f_sigmoid()?,
                Activation::Tanh => values.f_tanh()?,
                // Only ever the last: the loss takes logits.
                Activation::Softmax => return Ok(values),
            };
        }
        Ok(values)
    }

    fn dropout(
        &self,
        values: &Tensor,
        rate: f64,
        chance: Chance,
        layer: usize,
    ) -> Result<Tensor, TrainError> {
        let place = (layer as u64) << 32 | u64::from(chance.shard);
        let mut stream = Stream::new(chance.seed, Stream::DROPOUT, chance.step, place);
        let (rate, kept) = (rate as f32, (1.0 / (1.0 - rate)) as f32);
        let mask: Vec<f32> = (0..values.numel())
            .map(|_| {
                if stream.uniform(0.0, 1.0) < rate {
                    0.0
                } else {
                    kept
                }
            })
            .collect();
        let mask = Tensor::f_from_slice(&mask)?
            .f_reshape(values.size())?
            .f_to(self.device)?;
        Ok(values.f_mul(&mask)?)
    }
}

fn parameter(values: &Values, device: Device) -> Result<Tensor, TrainError> {
    Ok(from_values(values, device)?.f_set_requires_grad(true)?)
}

/// Padding of an image, libtorch's way round: columns first.
struct Edges {
    /// The padding of rows and columns, when it is the same before and after.
    even: Option<[i64; 2]>,
    /// Left, right, top, bottom.
    all: [i64; 4],
}

fn edges(padding: Padding, layer: &ResolvedLayer, kernel: [usize; 2], stride: [usize; 2]) -> Edges {
    let along = |axis: usize| {
        let input = layer.input_shape.get(axis).copied().unwrap_or(0);
        // The recipe has checked that windows fit.
        padding
            .windows(input, kernel[axis], stride[axis])
            .map_or((0, 0), |w| (w.before, w.after))
    };
    let ((top, bottom), (left, right)) = (along(0), along(1));
    let even = (top == bottom && left == right).then_some([size(top), size(left)]);
    Edges {
        even,
        all: [size(left), size(right), size(top), size(bottom)],
    }
}

fn convolve(
    values: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    conv: &Conv2d,
    layer: &ResolvedLayer,
) -> Result<Tensor, TrainError> {
    let kernel = [conv.kernel.height(), conv.kernel.width()];
    let stride = [conv.stride.height(), conv.stride.width()];
    let edges = edges(conv.padding, layer, kernel, stride);
    let stride = stride.map(size);
    Ok(match edges.even {
        Some(even) => values.f_conv2d(weight, Some(bias), stride, even, [1, 1], 1)?,
        None => {
            let padded = values.f_constant_pad_nd(edges.all)?;
            padded.f_conv2d(weight, Some(bias), stride, [0, 0], [1, 1], 1)?
        }
    })
}

fn pool_windows(pool: &Pool2d) -> ([usize; 2], [usize; 2]) {
    let stride = pool.stride();
    (
        [pool.size.height(), pool.size.width()],
        [stride.height(), stride.width()],
    )
}

fn max_pool(values: &Tensor, pool: &Pool2d, layer: &ResolvedLayer) -> Result<Tensor, TrainError> {
    let (kernel, stride) = pool_windows(pool);
    let edges = edges(pool.padding, layer, kernel, stride);
    let (kernel, stride) = (kernel.map(size), stride.map(size));
    Ok(match edges.even {
        Some(even) => values.f_max_pool2d(kernel, stride, even, [1, 1], false)?,
        None => values
            .f_pad(edges.all, "constant", f64::NEG_INFINITY)?
            .f_max_pool2d(kernel, stride, [0, 0], [1, 1], false)?,
    })
}

fn avg_pool(values: &Tensor, pool: &Pool2d, layer: &ResolvedLayer) -> Result<Tensor, TrainError> {
    let (kernel, stride) = pool_windows(pool);
    let edges = edges(pool.padding, layer, kernel, stride);
    let (kernel, stride) = (kernel.map(size), stride.map(size));
    if let Some(even) = edges.even {
        return Ok(values.f_avg_pool2d(kernel, stride, even, false, false, None)?);
    }
    // The mean over what is no padding: sums, divided by how many values each window holds.
    let sums = |values: &Tensor| {
        values.f_constant_pad_nd(edges.all)?.f_avg_pool2d(
            kernel,
            stride,
            [0, 0],
            false,
            true,
            Some(1),
        )
    };
    let one = Tensor::f_ones(&values.size()[2..], (Kind::Float, values.device()))?
        .f_unsqueeze(0)?
        .f_unsqueeze(0)?;
    Ok(sums(values)?.f_div(&sums(&one)?)?)
}

#[cfg(test)]
mod tests;
