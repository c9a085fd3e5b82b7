//! A recipe's layers with a checkpoint's weights, as they run: without dropout, each activation
//! apart, batch normalization folded into the layer below it where that can be.

use std::collections::HashSet;

use nn_core::ops::{Pad, Pool2d, Rrelu};

use super::ExportError;
use super::fold::BatchNorm;
use super::read::Reader;
use crate::checkpoint::Checkpoint;
use crate::recipe::{Activation, Feed, Gives, LayerKind, Recipe, ResolvedLayer, TrainableLayers};

/// A trained network.
#[derive(Debug, Clone)]
pub struct Network {
    pub(super) name: String,
    /// Height, width and channels of the image that it reads.
    pub(super) input: Vec<usize>,
    pub(super) layers: Vec<Layer>,
    /// What it gives, head by head.
    pub(super) outputs: Vec<Feed>,
}

/// One step of a network.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// The recipe's name for it; for the activation of a layer, that layer's name and the
    /// activation's.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// What it reads; indices are those of [`Network::layers`].
    pub(super) inputs: Vec<Feed>,
    /// The number of its weights, where other layers have the same.
    pub(super) shared: Option<usize>,
    pub(super) output_shape: Vec<usize>,
}

/// What a layer computes.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Conv2d(Conv2d),
    Dense(Dense),
    MaxPool2d(Pool2d),
    AvgPool2d(Pool2d),
    GlobalMaxPool,
    GlobalAvgPool,
    /// The same numbers in the output's shape.
    Reshape,
    Transpose(Vec<u8>),
    Pad(Pad),
    Concat(u8),
    Add,
    Mul,
    Repeat,
    BatchNorm(BatchNorm),
    Prelu(Vec<f32>),
    Rrelu(Rrelu),
    /// `[vocabulary, units]`.
    Embedding(Vec<f32>, [usize; 2]),
    OneHot,
    Recurrent(Recurrent),
    Activation(Activation),
}

impl Kind {
    /// What it is called in messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Conv2d(_) => "conv2d",
            Self::Dense(_) => "dense",
            Self::MaxPool2d(_) => "max_pool2d",
            Self::AvgPool2d(_) => "avg_pool2d",
            Self::GlobalMaxPool => "global_max_pool",
            Self::GlobalAvgPool => "global_avg_pool",
            Self::Reshape => "reshape",
            Self::Transpose(_) => "transpose",
            Self::Pad(_) => "pad",
            Self::Concat(_) => "concat",
            Self::Add => "add",
            Self::Mul => "mul",
            Self::Repeat => "repeat",
            Self::BatchNorm(_) => "batch_norm",
            Self::Prelu(_) => "prelu",
            Self::Rrelu(_) => "rrelu",
            Self::Embedding(..) => "embedding",
            Self::OneHot => "one_hot",
            Self::Recurrent(recurrent) => match recurrent.cell {
                Cell::Rnn(_) => "rnn",
                Cell::Lstm => "lstm",
                Cell::Gru => "gru",
            },
            Self::Activation(activation) => activation.name(),
        }
    }
}

/// A convolution.
#[derive(Debug, Clone)]
pub(super) struct Conv2d {
    /// `[out, kernel_h, kernel_w, in / groups]`.
    pub(super) weight: Vec<f32>,
    /// Its shape.
    pub(super) shape: [usize; 4],
    pub(super) bias: Vec<f32>,
    pub(super) stride: [u16; 2],
    pub(super) padding: [u8; 4],
    pub(super) dilation: [u8; 2],
    pub(super) groups: u16,
}

/// A dense layer.
#[derive(Debug, Clone)]
pub(super) struct Dense {
    /// `[out, in]`.
    pub(super) weight: Vec<f32>,
    /// Its shape.
    pub(super) shape: [usize; 2],
    pub(super) bias: Vec<f32>,
}

/// A recurrent layer.
#[derive(Debug, Clone)]
pub(super) struct Recurrent {
    pub(super) cell: Cell,
    /// Forward, and backward where it is bidirectional.
    pub(super) directions: Vec<RecurrentWeights>,
    pub(super) gives: Gives,
    pub(super) stateful: bool,
    pub(super) truncate: u16,
}

/// Which recurrent layer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell {
    Rnn(nn_core::ops::Activation),
    Lstm,
    Gru,
}

/// The weights of one direction of a recurrent layer.
#[derive(Debug, Clone)]
pub(super) struct RecurrentWeights {
    /// `[features, gates · units]`.
    pub(super) kernel: Vec<f32>,
    /// `[units, gates · units]`.
    pub(super) recurrent: Vec<f32>,
    /// `[gates · units]`.
    pub(super) bias: Vec<f32>,
    /// GRU: `[3 · units]`, of the recurrent kernel alone.
    pub(super) recurrent_bias: Option<Vec<f32>>,
}

impl Layer {
    /// The name of node `node` of a sum or product of so many inputs, which takes two at a time, and what it applies to
    /// its output: the last is the layer's own.
    pub(super) fn merged(
        &self,
        node: usize,
        inputs: usize,
        activation: nn_core::ops::Activation,
    ) -> (String, nn_core::ops::Activation) {
        if node + 2 == inputs {
            (self.name.clone(), activation)
        } else {
            let name = format!("{}.{}", self.name, node + 1);
            (name, nn_core::ops::Activation::None)
        }
    }
}

impl Recurrent {
    /// What the node of one of its directions is called.
    pub(super) fn node_name(&self, layer: &str, direction: usize) -> String {
        match direction {
            0 if self.directions.len() > 1 => format!("{layer}.forward"),
            0 => layer.to_owned(),
            _ => format!("{layer}.backward"),
        }
    }
}

impl RecurrentWeights {
    /// As the functions that quantize take them.
    pub(super) fn borrow<'w>(&'w self, layer: &'w str) -> super::RecurrentWeights<'w> {
        super::RecurrentWeights {
            layer,
            kernel: &self.kernel,
            recurrent: &self.recurrent,
            bias: &self.bias,
            recurrent_bias: self.recurrent_bias.as_deref().unwrap_or_default(),
        }
    }
}

impl Network {
    /// The layers of `recipe` with the weights of `checkpoint`.
    ///
    /// # Errors
    /// A parameter that is missing, too many, of another shape, or not finite; a window that the
    /// blob format cannot hold.
    pub fn new(recipe: &Recipe, checkpoint: &Checkpoint) -> Result<Self, ExportError> {
        check_known(recipe, checkpoint)?;
        let mut network = Self {
            name: recipe.name.clone(),
            input: recipe.sample_shape(),
            layers: Vec::new(),
            outputs: Vec::new(),
        };
        let shared: HashSet<usize> = recipe.layers().iter().filter_map(|l| l.shares).collect();
        // Where the output of each layer of the recipe is.
        let mut places: Vec<Feed> = Vec::new();
        for (index, layer) in recipe.layers().iter().enumerate() {
            let inputs = layer.inputs.iter().map(|feed| match *feed {
                Feed::Image => Feed::Image,
                Feed::Layer(index) => places[index],
            });
            let inputs: Vec<Feed> = inputs.collect();
            let owner = layer.shares.unwrap_or(index);
            let reader = Reader {
                layer,
                owner: &recipe.layers()[owner].name,
                checkpoint,
            };
            let shared = shared.contains(&owner).then_some(owner);
            let place = network.add(layer, inputs, shared, &reader, recipe)?;
            places.push(place);
        }
        let heads = recipe.train.heads.iter();
        network.outputs = heads.map(|head| places[head.layer]).collect();
        Ok(network)
    }

    /// Adds a layer of the recipe; tells where its output is.
    fn add(
        &mut self,
        layer: &ResolvedLayer,
        inputs: Vec<Feed>,
        shared: Option<usize>,
        reader: &Reader<'_>,
        recipe: &Recipe,
    ) -> Result<Feed, ExportError> {
        let below = inputs[0];
        let kind = match &layer.kind {
            LayerKind::Activation(Activation::None) | LayerKind::Dropout(_) => return Ok(below),
            LayerKind::BatchNorm(norm) => {
                let norm = reader.batch_norm(norm.epsilon)?;
                let sole = reads(recipe, layer.inputs[0]) == 1;
                if sole && !is_named(recipe, &layer.name) && self.fold(below, &norm) {
                    return Ok(below);
                }
                Kind::BatchNorm(norm)
            }
            kind => reader.kind(kind)?,
        };
        let has_own = !matches!(kind, Kind::Activation(_));
        let shape = || layer.output_shape.clone();
        let mut place = self.push(layer.name.clone(), kind, inputs, shared, shape());
        let activation = layer.kind.activation();
        if has_own && activation != Activation::None {
            let name = format!("{}.{}", layer.name, activation.name());
            let kind = Kind::Activation(activation);
            let before = vec![place];
            place = self.push(name, kind, before, None, shape());
        }
        Ok(place)
    }

    fn push(
        &mut self,
        name: String,
        kind: Kind,
        inputs: Vec<Feed>,
        shared: Option<usize>,
        output_shape: Vec<usize>,
    ) -> Feed {
        self.layers.push(Layer {
            name,
            kind,
            inputs,
            shared,
            output_shape,
        });
        Feed::Layer(self.layers.len() - 1)
    }

    /// Folds a batch normalization into the layer below it; `false` where that is none with weights
    /// of its own.
    fn fold(&mut self, below: Feed, norm: &BatchNorm) -> bool {
        let Feed::Layer(index) = below else {
            return false;
        };
        let layer = &mut self.layers[index];
        let (weight, bias) = match &mut layer.kind {
            _ if layer.shared.is_some() => return false,
            Kind::Conv2d(conv) => (&mut conv.weight, &mut conv.bias),
            Kind::Dense(dense) => (&mut dense.weight, &mut dense.bias),
            _ => return false,
        };
        norm.fold_into(weight, bias);
        true
    }

    /// How often something is read: by layers, and as an output.
    pub(super) fn reads(&self, feed: Feed) -> usize {
        let inputs = self.layers.iter().flat_map(|layer| &layer.inputs);
        let all = inputs.chain(&self.outputs);
        all.filter(|read| **read == feed).count()
    }

    /// For each layer, whether one of these names lies below it, or is its own.
    pub(super) fn above(&self, names: &[&str]) -> Vec<bool> {
        let mut above: Vec<bool> = Vec::new();
        for layer in &self.layers {
            let from_below = layer.inputs.iter().any(|feed| match *feed {
                Feed::Image => false,
                Feed::Layer(index) => above[index],
            });
            above.push(from_below || names.contains(&layer.name.as_str()));
        }
        above
    }
}

/// Whether a device learns this very layer.
fn is_named(recipe: &Recipe, layer: &str) -> bool {
    let train = recipe.export.train.as_ref();
    match train.map(|train| &train.layers) {
        Some(TrainableLayers::Named(names)) => names.iter().any(|name| name == layer),
        _ => false,
    }
}

/// How often the recipe's layers and heads read something.
fn reads(recipe: &Recipe, feed: Feed) -> usize {
    let inputs = recipe.layers().iter().flat_map(|layer| &layer.inputs);
    let heads = recipe.train.heads.iter();
    let heads = heads.filter(|head| Feed::Layer(head.layer) == feed);
    inputs.filter(|read| **read == feed).count() + heads.count()
}

/// Whether the checkpoint has no parameter that the recipe has no layer for.
fn check_known(recipe: &Recipe, checkpoint: &Checkpoint) -> Result<(), ExportError> {
    let tensors = recipe.layers().iter().flat_map(|layer| {
        let tensors = layer.tensors().into_iter();
        tensors.map(move |tensor| format!("{}.{}", layer.name, tensor.name))
    });
    let known: HashSet<String> = tensors.collect();
    let unknown: Vec<&str> = checkpoint
        .parameters()
        .map(|(name, _)| name)
        .filter(|name| !known.contains(*name))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let found = unknown.join(", ");
    Err(ExportError::Unknown { found })
}

impl BatchNorm {
    /// The same as a depthwise convolution of one cell.
    pub(super) fn as_convolution(&self) -> Conv2d {
        let channels = self.channels();
        let (mut weight, mut bias) = (vec![1.0; channels], vec![0.0; channels]);
        self.fold_into(&mut weight, &mut bias);
        Conv2d {
            weight,
            shape: [channels, 1, 1, 1],
            bias,
            stride: [1; 2],
            padding: [0; 4],
            dilation: [1; 2],
            // Below 2^16, as every size of a recipe.
            groups: u16::try_from(channels).unwrap_or(u16::MAX),
        }
    }
}
