//! The walk over a network's layers, from its input to its outputs.

use std::collections::HashMap;

use nn_core::kernels::packed::Layout;
use nn_core::ops::{self, Op};
use nn_core::tensor::{DType, Quant, TensorId};
use nn_core::train::TrainSpec;

use super::{Fusion, Lowered, Numbers};
use crate::export::network::{Kind, Layer};
use crate::export::quantization::Affine;
use crate::export::{Builder, ExportError, Network};
use crate::recipe::Feed;

/// A graph under way.
pub(super) struct Lowering<'n> {
    network: &'n Network,
    numbers: Numbers<'n>,
    fusion: Fusion,
    pub(super) builder: Builder,
    image: TensorId,
    /// Where each layer's output is.
    values: Vec<Option<TensorId>>,
    /// What was dequantized, and to what.
    dequantized: HashMap<TensorId, TensorId>,
    /// The weights that several layers have, by their number.
    pub(super) shared: HashMap<usize, Vec<TensorId>>,
    outputs: Vec<usize>,
    /// The nodes that learn, each with its layer's name.
    learning: Vec<(usize, String)>,
}

/// A finished graph.
pub(super) struct Graph {
    pub(super) builder: Builder,
    heads: Vec<TensorId>,
    outputs: Vec<usize>,
    learning: Vec<(usize, String)>,
}

impl Graph {
    /// The nodes that learn, as bits.
    pub(super) fn mask(&self) -> Result<u64, ExportError> {
        self.learning.iter().try_fold(0, |mask, (node, layer)| {
            let bit = u32::try_from(*node).ok();
            let bit = bit.and_then(|node| 1u64.checked_shl(node));
            Ok(mask
                | bit.ok_or_else(|| ExportError::TrainPlan {
                    layer: layer.clone(),
                    node: *node,
                })?)
        })
    }

    /// Whether what learns are the last `count` nodes with weights that can.
    pub(super) fn last(&self, count: usize) -> bool {
        let nodes = (0..self.builder.nodes()).rev();
        let learnable = nodes.filter(|&node| self.builder.learns(node));
        let learning = self.learning.iter().rev().map(|(node, _)| *node);
        learnable.take(count).eq(learning)
    }

    /// Whether output number `output` is in real numbers.
    pub(super) fn is_real(&self, output: u8) -> bool {
        let head = self.heads.get(usize::from(output));
        head.is_some_and(|&id| self.builder.tensor(id).dtype != DType::I8)
    }

    /// The graph with outputs in f32, towards which int8 learns.
    pub(super) fn with_real_outputs(mut self) -> Result<Self, ExportError> {
        let stands_for = self.builder.real_outputs(&mut self.heads)?;
        for (node, _) in &mut self.learning {
            let place = stands_for.iter().position(|old| old == node);
            *node = place.unwrap_or(*node);
        }
        let outputs = stands_for.iter().map(|&old| self.outputs[old]);
        self.outputs = outputs.collect();
        Ok(self)
    }

    /// The graph in a packed layout, but for int8 that learns.
    pub(super) fn into_packed(self, layout: Layout) -> Result<Self, ExportError> {
        let learning: Vec<usize> = self.learning.iter().map(|(node, _)| *node).collect();
        let packed = self.builder.to_packed_but(layout, &self.heads, &learning)?;
        let new = |old: usize| packed.node_of(old);
        let learning = self.learning.into_iter();
        let learning = learning.filter_map(|(node, layer)| Some((new(node)?, layer)));
        Ok(Self {
            learning: learning.collect(),
            outputs: packed.nodes.iter().map(|&n| self.outputs[n]).collect(),
            builder: packed.builder,
            heads: packed.outputs,
        })
    }

    pub(super) fn finish(self, train: Option<TrainSpec>) -> Result<Lowered, ExportError> {
        let bytes = self.builder.finish(&self.heads, train)?;
        let outputs = self.outputs;
        Ok(Lowered { bytes, outputs })
    }
}

impl<'n> Lowering<'n> {
    pub(super) fn new(
        network: &'n Network,
        numbers: Numbers<'n>,
        fusion: Fusion,
        name: &str,
    ) -> Result<Self, ExportError> {
        let (dtype, quant) = match numbers {
            Numbers::F32 => (DType::F32, Quant::None),
            Numbers::Int8 { ranges, .. } => (DType::I8, Affine::covering(ranges.input()).quant()),
        };
        let mut builder = Builder::new(name);
        let image = builder.input(&network.input, dtype, quant)?;
        Ok(Self {
            network,
            numbers,
            fusion,
            builder,
            image,
            values: vec![None; network.layers.len()],
            dequantized: HashMap::new(),
            shared: HashMap::new(),
            outputs: Vec::new(),
            learning: Vec::new(),
        })
    }

    /// How many times the weights of an int8 channel its range is.
    pub(super) fn weight_room(&self) -> f32 {
        match self.numbers {
            Numbers::Int8 { room, .. } => room,
            Numbers::F32 => 1.0,
        }
    }

    /// Walks all layers; those named are to learn.
    pub(super) fn run(mut self, learning: &[&str]) -> Result<Graph, ExportError> {
        let network = self.network;
        for (index, layer) in network.layers.iter().enumerate() {
            if self.values[index].is_some() {
                continue;
            }
            let ranges = match self.numbers {
                Numbers::Int8 { ranges, float, .. } if !float[index] => Some(ranges),
                _ => None,
            };
            let fusion = if ranges.is_some() {
                Fusion::Int8
            } else {
                self.fusion
            };
            let fused = self.fused(index, fusion);
            let (last, activation) = fused.unwrap_or((index, ops::Activation::None));
            let inputs = self.inputs(layer, ranges.is_none())?;
            let before = self.builder.nodes();
            let y = match ranges {
                Some(ranges) => match &layer.kind {
                    Kind::Recurrent(recurrent) => {
                        let input = Affine::of(&self.builder.tensor(inputs[0]));
                        let states = ranges.states(index);
                        self.recurrent_i8(layer, recurrent, inputs[0], input, states)?
                    }
                    Kind::Add | Kind::Mul => {
                        let output = |node| ranges.of_node(last, node).map(Affine::covering);
                        self.merge_i8(layer, &inputs, activation, output)?
                    }
                    _ => {
                        let output = ranges.of(last).map(Affine::covering);
                        self.add_i8(layer, &inputs, activation, output)?
                    }
                },
                None => self.add_float(layer, &inputs, activation)?,
            };
            self.values[index] = Some(y);
            self.values[last] = Some(y);
            self.outputs.resize(self.builder.nodes(), last);
            if learning.contains(&layer.name.as_str()) {
                let nodes = before..self.builder.nodes();
                let learnt = nodes.filter(|&node| self.builder.learns(node));
                self.learning
                    .extend(learnt.map(|node| (node, layer.name.clone())));
            }
        }
        let heads: Option<Vec<TensorId>> = network
            .outputs
            .iter()
            .map(|feed| match *feed {
                Feed::Image => Some(self.image),
                Feed::Layer(index) => self.values[index],
            })
            .collect();
        Ok(Graph {
            builder: self.builder,
            // The walk has seen every layer.
            heads: heads.unwrap_or_default(),
            outputs: self.outputs,
            learning: self.learning,
        })
    }

    /// The activation that a layer can apply to its own output, and the layer that it is.
    fn fused(&self, index: usize, fusion: Fusion) -> Option<(usize, ops::Activation)> {
        let layer = &self.network.layers[index];
        let place = Feed::Layer(index);
        let applies = matches!(
            layer.kind,
            Kind::Conv2d(_) | Kind::Dense(_) | Kind::Add | Kind::Mul
        );
        if !applies || self.network.reads(place) != 1 {
            return None;
        }
        let layers = self.network.layers.iter().enumerate();
        let mut layers = layers.filter(|(_, layer)| layer.inputs.contains(&place));
        let (reader, layer) = layers.next()?;
        match layer.kind {
            Kind::Activation(activation) => Some((reader, fusion.of(activation)?)),
            _ => None,
        }
    }

    /// What a layer reads: dequantized for one in real numbers.
    fn inputs(&mut self, layer: &Layer, real: bool) -> Result<Vec<TensorId>, ExportError> {
        let mut inputs = Vec::new();
        for feed in &layer.inputs {
            let (id, from) = match *feed {
                Feed::Image => (Some(self.image), 0),
                Feed::Layer(index) => (self.values[index], index),
            };
            // Layers read those before them only.
            let id = id.unwrap_or(self.image);
            let id = if real && self.builder.tensor(id).dtype == DType::I8 {
                self.dequantize(id, from)?
            } else {
                id
            };
            inputs.push(id);
        }
        Ok(inputs)
    }

    /// What layer `from` gives, in f32.
    fn dequantize(&mut self, id: TensorId, from: usize) -> Result<TensorId, ExportError> {
        if let Some(&known) = self.dequantized.get(&id) {
            return Ok(known);
        }
        let name = match self.dequantized.len() {
            0 => "dequantize".to_owned(),
            others => format!("dequantize_{}", others + 1),
        };
        let op = Op::Dequantize;
        let real = self
            .builder
            .convert(&name, op, id, DType::F32, Quant::None)?;
        self.dequantized.insert(id, real);
        self.outputs.resize(self.builder.nodes(), from);
        Ok(real)
    }
}
