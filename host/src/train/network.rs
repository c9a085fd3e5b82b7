//! A recipe's layers in libtorch.
//!
//! Images are NCHW here, as libtorch wants them; sequences are `[N, steps, features]`. Layers for which the order of
//! axes matters work on images in the device's order, NHWC: `flatten` puts them in HWC order, so the rows of a dense
//! layer's weight after it are in HWC order as well.

mod initial;
mod layers;
mod recurrent;

use std::collections::BTreeMap;
use std::sync::Arc;

use tch::{Device, Tensor};

use super::TrainError;
use super::values::from_values;
use crate::checkpoint::{Checkpoint, Values};
use crate::data::Stream;
use crate::recipe::{Activation, Feed, LayerKind, Loss, Recipe, ResolvedLayer};
use layers::{activate, device_order, libtorch_order};

/// A weight, a bias, or a statistic.
pub(super) struct Parameter {
    /// `conv2d_1.weight`.
    pub(super) name: Arc<str>,
    /// On the training device.
    pub(super) tensor: Tensor,
}

/// The layers and their parameters: those of each layer that has any, in order.
pub(super) struct Network {
    /// The shape of a sample.
    input: Arc<[usize]>,
    layers: Arc<[ResolvedLayer]>,
    /// The heads' layers, and whether each is wanted before its softmax or sigmoid.
    heads: Arc<[(usize, bool)]>,
    pub(super) parameters: Vec<Parameter>,
    /// Means and variances of batch normalizations, by turns.
    pub(super) statistics: Vec<Parameter>,
    /// What the recipe keeps as it is, of both kinds.
    pub(super) frozen: Vec<Parameter>,
    /// For each layer, its tensors.
    slots: Arc<[Vec<Slot>]>,
    device: Device,
    /// How many layers samples have gone through already, and the shape that they have there, as libtorch has it.
    begun: Option<(usize, Arc<[i64]>)>,
}

/// Where a layer's tensor is.
#[derive(Clone, Copy)]
enum Slot {
    Parameter(usize),
    Statistic(usize),
    Frozen(usize),
}

/// What a network gives.
pub(super) struct Outputs {
    /// Of each head, `[N, …]`: before the softmax it ends with, or the sigmoid that its loss takes in; logits.
    pub(super) heads: Vec<Tensor>,
    /// In training, mean and variance that each batch normalization met.
    pub(super) statistics: Vec<Tensor>,
}

/// What the layers up to some of a network give.
struct Given {
    /// Of each layer.
    values: Vec<Tensor>,
    /// Of each head, where its layer is among them.
    heads: Vec<Option<Tensor>>,
    /// As [`Outputs::statistics`].
    statistics: Vec<Tensor>,
}

/// Dropout's chance: a stream for each layer and shard in each step.
#[derive(Clone, Copy)]
pub(super) struct Chance {
    pub(super) seed: u64,
    pub(super) step: u64,
    /// Which part of the batch, from 0.
    pub(super) shard: u32,
}

fn size(value: usize) -> i64 {
    // Sizes come from a recipe, which keeps them far below 2^63.
    value as i64
}

impl Network {
    /// New weights, as the recipe says.
    pub(super) fn new(recipe: &Recipe, seed: u64, device: Device) -> Result<Self, TrainError> {
        Self::with(recipe, device, |index, layer| {
            let activations = readers(recipe, index).map(|layer| layer.kind.activation());
            let mut activations = activations.chain([layer.kind.activation()]);
            let mut stream = Stream::new(seed, Stream::INIT, 0, index as u64);
            Ok(initial::tensors(
                layer,
                activations.any(is_rectifier),
                &mut stream,
            ))
        })
    }

    /// New weights, but those that are `given` by name.
    pub(super) fn start(
        recipe: &Recipe,
        seed: u64,
        device: Device,
        given: &BTreeMap<String, Values>,
    ) -> Result<Self, TrainError> {
        let mut network = Self::new(recipe, seed, device)?;
        for Parameter { name, tensor } in &mut network.parameters {
            if let Some(values) = given.get(&**name) {
                *tensor = parameter(values, device)?;
            }
        }
        let others = network.statistics.iter_mut().chain(&mut network.frozen);
        for Parameter { name, tensor } in others {
            if let Some(values) = given.get(&**name) {
                *tensor = from_values(values, device)?;
            }
        }
        Ok(network)
    }

    /// The weights of a checkpoint.
    pub(super) fn restore(
        recipe: &Recipe,
        checkpoint: &Checkpoint,
        device: Device,
    ) -> Result<Self, TrainError> {
        Self::with(recipe, device, |_, layer| {
            let tensors = layer.tensors().into_iter();
            let values = tensors.map(|tensor| {
                let name = format!("{}.{}", layer.name, tensor.name);
                Ok(checkpoint.tensor(&name, &tensor.shape)?.clone())
            });
            values.collect()
        })
    }

    /// The network whose layers' tensors `values` gives.
    fn with(
        recipe: &Recipe,
        device: Device,
        values: impl Fn(usize, &ResolvedLayer) -> Result<Vec<Values>, TrainError>,
    ) -> Result<Self, TrainError> {
        let (mut parameters, mut statistics, mut frozen) = (Vec::new(), Vec::new(), Vec::new());
        let mut slots: Vec<Vec<Slot>> = Vec::new();
        for (index, layer) in recipe.layers().iter().enumerate() {
            if let Some(owner) = layer.shares {
                slots.push(slots[owner].clone());
                continue;
            }
            let mut own = Vec::new();
            for (tensor, values) in layer.tensors().into_iter().zip(values(index, layer)?) {
                let name = format!("{}.{}", layer.name, tensor.name).into();
                if layer.frozen {
                    own.push(Slot::Frozen(frozen.len()));
                    let tensor = from_values(&values, device)?;
                    frozen.push(Parameter { name, tensor });
                } else if tensor.role.learns() {
                    own.push(Slot::Parameter(parameters.len()));
                    let tensor = parameter(&values, device)?;
                    parameters.push(Parameter { name, tensor });
                } else {
                    own.push(Slot::Statistic(statistics.len()));
                    let tensor = from_values(&values, device)?;
                    statistics.push(Parameter { name, tensor });
                }
            }
            slots.push(own);
        }
        let heads = recipe.train.heads.iter().map(|head| {
            let before = match recipe.layers()[head.layer].kind.activation() {
                Activation::Softmax | Activation::LogSoftmax => true,
                Activation::Sigmoid => head.loss == Loss::BinaryCrossEntropy,
                _ => false,
            };
            (head.layer, before)
        });
        Ok(Self {
            input: recipe.sample_shape().into(),
            layers: recipe.layers().into(),
            heads: heads.collect(),
            parameters,
            statistics,
            frozen,
            slots: slots.into(),
            device,
            begun: None,
        })
    }

    /// The same network, on the same weights, for another thread.
    pub(super) fn share(&self) -> Self {
        let share = |parameter: &Parameter| Parameter {
            name: Arc::clone(&parameter.name),
            tensor: parameter.tensor.shallow_clone(),
        };
        Self {
            input: Arc::clone(&self.input),
            layers: Arc::clone(&self.layers),
            heads: Arc::clone(&self.heads),
            parameters: self.parameters.iter().map(share).collect(),
            statistics: self.statistics.iter().map(share).collect(),
            frozen: self.frozen.iter().map(share).collect(),
            slots: Arc::clone(&self.slots),
            device: self.device,
            begun: self.begun.clone(),
        }
    }

    /// Samples are from now on what the first `layers` give, of this shape, as libtorch has it.
    pub(super) fn begin_above(&mut self, layers: usize, shape: &[i64]) {
        self.begun = Some((layers, shape.into()));
    }

    /// Samples are images again.
    pub(super) fn begin_below(&mut self) {
        self.begun = None;
    }

    /// The shape of what the first `layers` give.
    pub(super) fn shape_of(&self, layers: usize) -> &[usize] {
        let last = layers.checked_sub(1).and_then(|last| self.layers.get(last));
        last.map_or(&self.input, |last| &last.output_shape)
    }

    /// What the first `layers` give for `images`, as libtorch has it.
    pub(super) fn features(&self, images: &Tensor, layers: usize) -> Result<Tensor, TrainError> {
        let mut values = self.values(images, None, layers)?.values;
        let missing = || TrainError::NoParameter("a layer".to_owned());
        values.pop().ok_or_else(missing)
    }

    /// What the heads give for `images`, which are `[N, H, W, C]`; rows of a table `[N, 1, 1, C]`. With `chance`, dropout is at work, and batches are
    /// normalized by themselves.
    pub(super) fn forward(
        &self,
        images: &Tensor,
        chance: Option<Chance>,
    ) -> Result<Outputs, TrainError> {
        let given = self.values(images, chance, self.layers.len())?;
        Ok(Outputs {
            heads: given.heads.into_iter().flatten().collect(),
            statistics: given.statistics,
        })
    }

    /// What the first `layers` give, the heads among them, and what their batch normalizations met.
    fn values(
        &self,
        images: &Tensor,
        chance: Option<Chance>,
        layers: usize,
    ) -> Result<Given, TrainError> {
        let (done, image) = match (&self.begun, &self.input[..]) {
            (Some((layers, shape)), _) => {
                let shape: Vec<i64> = [-1].into_iter().chain(shape.iter().copied()).collect();
                (*layers, images.f_reshape(shape)?)
            }
            (None, [_]) => (0, images.f_flatten(1, -1)?),
            (None, _) => (0, libtorch_order(images)?),
        };
        let mut values: Vec<Tensor> = Vec::with_capacity(self.layers.len());
        let mut heads: Vec<Option<Tensor>> = self.heads.iter().map(|_| None).collect();
        let mut statistics = Vec::new();
        for (index, layer) in self.layers.iter().enumerate().take(layers) {
            // Only the last of those done is read.
            if index < done {
                values.push(image.shallow_clone());
                continue;
            }
            let inputs = layer.inputs.iter().map(|feed| match *feed {
                Feed::Image => &image,
                Feed::Layer(index) => &values[index],
            });
            let inputs: Vec<&Tensor> = inputs.collect();
            let before = self.layer(index, layer, &inputs, chance, &mut statistics)?;
            let value = activate(&before, layer.kind.activation())?;
            for (head, &(place, wanted_before)) in heads.iter_mut().zip(self.heads.iter()) {
                if place == index {
                    let value = if wanted_before { &before } else { &value };
                    *head = Some(device_order(value)?);
                }
            }
            values.push(value);
        }
        Ok(Given {
            values,
            heads,
            statistics,
        })
    }

    /// What a layer gives before its activation.
    fn layer(
        &self,
        index: usize,
        layer: &ResolvedLayer,
        inputs: &[&Tensor],
        chance: Option<Chance>,
        statistics: &mut Vec<Tensor>,
    ) -> Result<Tensor, TrainError> {
        let tensors = self.slots[index].iter().map(|slot| match *slot {
            Slot::Parameter(index) => &self.parameters[index].tensor,
            Slot::Statistic(index) => &self.statistics[index].tensor,
            Slot::Frozen(index) => &self.frozen[index].tensor,
        });
        let tensors: Vec<&Tensor> = tensors.collect();
        match &layer.kind {
            LayerKind::Dropout(dropout) => match chance {
                Some(chance) => self.dropout(inputs[0], dropout.rate, chance, index),
                None => Ok(inputs[0].shallow_clone()),
            },
            LayerKind::Rrelu(rrelu) => {
                let (lower, upper) = (rrelu.lower, rrelu.upper);
                self.rrelu(inputs[0], [lower, upper], chance, index)
            }
            LayerKind::BatchNorm(norm) => match chance {
                Some(_) if !layer.frozen => {
                    layers::normalize_batch(inputs[0], &tensors, norm.epsilon, statistics)
                }
                _ => layers::normalize(inputs[0], &tensors, norm.epsilon),
            },
            kind if kind.recurrent().is_some() => recurrent::run(kind, inputs[0], &tensors),
            _ => layers::run(layer, inputs, &tensors),
        }
    }

    /// Takes over what the batch normalizations met, shard by shard.
    pub(super) fn observe(&mut self, shards: &[Vec<Tensor>]) -> Result<(), TrainError> {
        let norms = self.layers.iter().filter_map(|layer| match &layer.kind {
            LayerKind::BatchNorm(norm) if !layer.frozen => Some([norm.momentum; 2]),
            _ => None,
        });
        let shares: Vec<f64> = norms.flatten().collect();
        for met in shards {
            for ((statistic, met), share) in self.statistics.iter_mut().zip(met).zip(&shares) {
                statistic.tensor = statistic.tensor.f_lerp(met, *share)?;
            }
        }
        Ok(())
    }

    fn dropout(
        &self,
        values: &Tensor,
        rate: f64,
        chance: Chance,
        layer: usize,
    ) -> Result<Tensor, TrainError> {
        let (rate, kept) = (rate as f32, (1.0 / (1.0 - rate)) as f32);
        let mask = self.draw(values, chance, layer, |stream| {
            if stream.uniform(0.0, 1.0) < rate {
                0.0
            } else {
                kept
            }
        })?;
        Ok(values.f_mul(&mask)?)
    }

    fn rrelu(
        &self,
        values: &Tensor,
        [lower, upper]: [f32; 2],
        chance: Option<Chance>,
        layer: usize,
    ) -> Result<Tensor, TrainError> {
        let below = match chance {
            None => values.f_mul_scalar(f64::from(lower + upper) / 2.0)?,
            Some(chance) => {
                let draw = |stream: &mut Stream| stream.uniform(lower, upper);
                values.f_mul(&self.draw(values, chance, layer, draw)?)?
            }
        };
        Ok(values.f_where_self(&values.f_ge(0.0)?, &below)?)
    }

    /// A number by chance for each value.
    fn draw(
        &self,
        values: &Tensor,
        chance: Chance,
        layer: usize,
        number: impl Fn(&mut Stream) -> f32,
    ) -> Result<Tensor, TrainError> {
        let place = (layer as u64) << 32 | u64::from(chance.shard);
        let mut stream = Stream::new(chance.seed, Stream::DROPOUT, chance.step, place);
        let drawn: Vec<f32> = (0..values.numel()).map(|_| number(&mut stream)).collect();
        Ok(Tensor::f_from_slice(&drawn)?
            .f_reshape(values.size())?
            .f_to(self.device)?)
    }
}

/// The layers that read layer `index`.
fn readers(recipe: &Recipe, index: usize) -> impl Iterator<Item = &ResolvedLayer> {
    let layers = recipe.layers().iter();
    layers.filter(move |layer| layer.inputs.contains(&Feed::Layer(index)))
}

fn is_rectifier(activation: Activation) -> bool {
    use Activation::{LeakyRelu, Relu, Relu6};
    matches!(activation, Relu | Relu6 | LeakyRelu(_))
}

fn parameter(values: &Values, device: Device) -> Result<Tensor, TrainError> {
    Ok(from_values(values, device)?.f_set_requires_grad(true)?)
}

#[cfg(test)]
mod tests;
