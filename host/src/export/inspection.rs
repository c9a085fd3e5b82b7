//! What a blob holds and costs: one row a layer, and the totals.

mod kernels;

use nn_core::digest::Fnv1a;
use nn_core::model::{Ids, Model, cost};
use nn_core::scalar::MATH;
use nn_core::tensor::Tensor;
use nn_core::train::{Loss, Method, Rounding, Selection};
use serde::Serialize;

use crate::bench::Cost;
use crate::blob::Blob;

/// A blob, described. Serializes to what `mote inspect --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The model's name.
    pub name: String,
    /// Version of the blob format.
    pub format_version: u16,
    /// The header's CRC-32, 8 hex digits.
    pub crc32: String,
    /// FNV-1a 64 over the whole blob, 16 hex digits.
    pub digest: String,
    /// The functions of f32 that run it here, [`MATH`].
    pub math: &'static str,
    /// The first input.
    pub input: Endpoint,
    /// The first output.
    pub output: Endpoint,
    /// All inputs.
    pub inputs: Vec<Endpoint>,
    /// All outputs.
    pub outputs: Vec<Endpoint>,
    /// The nodes, in the order in which they run.
    pub layers: Vec<LayerCost>,
    /// Bytes of the blob.
    pub flash: u64,
    /// Bytes of arena for inference.
    pub arena_infer: u64,
    /// Bytes of arena for the training plan; 0 without one.
    pub arena_train: u64,
    /// Weights and biases.
    pub parameters: u64,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// The layout of the weights: `plain`, or the family of kernels that they are packed for.
    pub layout: &'static str,
    /// Where instructions were measured.
    pub board: Option<&'static str>,
    /// Instructions of one inference there.
    pub instructions: Option<u64>,
    /// Cycles there, as modelled for a Cortex-M4; none on another core.
    pub cycles: Option<u64>,
    /// What learns on the device.
    pub train: Option<TrainPlan>,
}

/// What goes into a model, or comes out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Endpoint {
    /// Its dimensions, without the batch.
    pub shape: Vec<u32>,
    /// The type of one number.
    pub dtype: &'static str,
    /// The real value of one step of an int8; none for other types.
    pub scale: Option<f32>,
    /// The int8 that stands for 0; none for other types.
    pub zero_point: Option<i32>,
}

/// What one layer is and costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerCost {
    /// Its place in the graph.
    pub index: usize,
    /// The recipe's name for it.
    pub name: String,
    /// What it computes.
    pub op: &'static str,
    /// The type of its output.
    pub dtype: &'static str,
    /// The dimensions of its output.
    pub output_shape: Vec<u32>,
    /// Weights and biases.
    pub parameters: u64,
    /// Bytes of weights, biases, multipliers and scales.
    pub flash: u64,
    /// Bytes of its output.
    pub ram: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// `packed`, `plain` or `none`: how its int8 weights lie; `none` where it has none.
    pub kernel: &'static str,
    /// Of a plain layer of int8 weights: why it is not packed.
    pub reason: Option<String>,
    /// Instructions on [`Inspection::board`]; none where nothing was measured.
    pub instructions: Option<u64>,
    /// Cycles there, as modelled for a Cortex-M4; none on another core.
    pub cycles: Option<u64>,
}

/// What learns on the device, and how.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainPlan {
    /// The names of the layers that learn.
    pub trainable: Vec<String>,
    /// `cross_entropy`, `binary_cross_entropy`, `mse`, `mae` or `huber`: that of the first head.
    pub loss: &'static str,
    /// The losses, output by output.
    pub heads: Vec<HeadPlan>,
    /// `sgd`, `adam`, `adamw` or `rmsprop`.
    pub optimizer: &'static str,
    /// Samples whose gradients make one step.
    pub accumulate: u16,
    /// `stochastic` or `nearest`: how fixed point rounds what it stores.
    pub rounding: &'static str,
    /// Step along the gradient.
    pub learning_rate: f32,
    /// Share of the last step that is taken again.
    pub momentum: f32,
    /// Share of the weight added to its gradient.
    pub weight_decay: f32,
}

/// A loss at an output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadPlan {
    /// Which output, from 0.
    pub output: u8,
    /// As [`TrainPlan::loss`].
    pub loss: &'static str,
    /// What it is multiplied by.
    pub weight: f32,
}

impl Inspection {
    /// Describes a blob.
    pub fn of(blob: &Blob) -> Self {
        let model = blob.model();
        let header = model.header();
        let mut digest = Fnv1a::new();
        digest.update(blob.bytes());
        let layers = layers(&model);
        Self {
            name: model.name().to_owned(),
            format_version: header.version,
            crc32: format!("{:08x}", header.crc),
            digest: format!("{:016x}", digest.finish()),
            math: MATH,
            input: endpoint(model.input(0)),
            output: endpoint(model.output(0)),
            inputs: endpoints(&model, model.inputs()),
            outputs: endpoints(&model, model.outputs()),
            flash: blob.bytes().len() as u64,
            arena_infer: u64::from(header.arena_infer),
            arena_train: u64::from(header.arena_train),
            parameters: layers.iter().map(|layer| layer.parameters).sum(),
            macs: layers.iter().map(|layer| layer.macs).sum(),
            layers,
            layout: kernels::layout_name(header.layout),
            board: None,
            instructions: None,
            cycles: None,
            train: train_plan(&model),
        }
    }

    /// With what was measured of it.
    pub fn measured(mut self, cost: &Cost) -> Self {
        self.board = Some(cost.board);
        self.instructions = Some(cost.instructions);
        self.cycles = cost.cycles;
        for (layer, cost) in self.layers.iter_mut().zip(&cost.layers) {
            layer.instructions = Some(cost.instructions);
            layer.cycles = cost.cycles;
        }
        self
    }

    /// The layers whose int8 weights stay plain, and why.
    pub fn plain(&self) -> impl Iterator<Item = (&str, &str)> {
        let plain = self.layers.iter();
        plain.filter_map(|layer| Some((layer.name.as_str(), layer.reason.as_deref()?)))
    }
}

fn layers(model: &Model) -> Vec<LayerCost> {
    let nodes = model.nodes().iter().enumerate();
    let unpacked = kernels::unpacked(model);
    nodes
        .map(|(index, node)| {
            let cost = cost(model, &node);
            let (kernel, reason) = kernels::of(model, &node, &unpacked);
            let output = model.tensor(node.output);
            LayerCost {
                index,
                name: node.name.to_owned(),
                op: node.op.name(),
                dtype: output.map_or("none", |output| output.dtype.name()),
                output_shape: output.map_or(Vec::new(), |output| output.shape.dims().to_vec()),
                parameters: cost.parameters,
                flash: cost.flash,
                ram: output.map_or(0, |output| output.bytes() as u64),
                macs: cost.macs,
                kernel,
                reason,
                instructions: None,
                cycles: None,
            }
        })
        .collect()
}

fn endpoints(model: &Model, ids: Ids) -> Vec<Endpoint> {
    let ids = ids.as_slice().iter();
    ids.map(|id| endpoint(model.tensor(*id))).collect()
}

/// A checked model has at least one input and one output.
fn endpoint(tensor: Option<Tensor>) -> Endpoint {
    let quantized = tensor.filter(|tensor| tensor.quant != nn_core::tensor::Quant::None);
    Endpoint {
        shape: tensor.map_or(Vec::new(), |tensor| tensor.shape.dims().to_vec()),
        dtype: tensor.map_or("none", |tensor| tensor.dtype.name()),
        scale: quantized.map(|tensor| tensor.scale()),
        zero_point: quantized.map(|tensor| tensor.zero_point()),
    }
}

impl TrainPlan {
    /// In one line: what learns, towards what, and how.
    pub fn line(&self) -> String {
        let losses: Vec<String> = match &self.heads[..] {
            [_] => vec![self.loss.to_owned()],
            heads => {
                let of = |head: &HeadPlan| {
                    format!("{} x {} at output {}", head.weight, head.loss, head.output)
                };
                heads.iter().map(of).collect()
            }
        };
        let mut line = format!(
            "{}; {}, {}, learning rate {}",
            self.trainable.join(", "),
            losses.join(" + "),
            self.optimizer,
            self.learning_rate
        );
        if self.optimizer == "sgd" {
            line += &format!(", momentum {}", self.momentum);
        }
        line += &format!(", weight decay {}", self.weight_decay);
        if self.rounding != "stochastic" {
            line += &format!(", rounding to {}", self.rounding);
        }
        if self.accumulate > 1 {
            line += &format!(", {} samples a step", self.accumulate);
        }
        line
    }

    /// The training plan of a model; none where it has none.
    pub fn of(model: &Model) -> Option<Self> {
        train_plan(model)
    }
}

fn train_plan(model: &Model) -> Option<TrainPlan> {
    let spec = model.train_spec()?;
    let learnable: Vec<(usize, &str, bool)> = model
        .nodes()
        .iter()
        .enumerate()
        .filter(|(_, node)| model.is_trainable(&node.op) || model.learns_in_int8(&node.op))
        .map(|(index, node)| (index, node.name, model.is_trainable(&node.op)))
        .collect();
    let meant = learnable.iter().filter(|(.., is_meant)| *is_meant);
    let mut later = meant.count();
    let mut trainable = Vec::new();
    for &(node, name, is_meant) in &learnable {
        later -= usize::from(is_meant);
        let selection = spec.selection(node, is_meant.then_some(later));
        if selection.is_ok_and(|selection| selection != Selection::default()) {
            trainable.push(name.to_owned());
        }
    }
    Some(TrainPlan {
        trainable,
        loss: loss_name(spec.loss()),
        heads: spec
            .heads
            .iter()
            .map(|head| HeadPlan {
                output: head.output,
                loss: loss_name(head.loss),
                weight: head.weight,
            })
            .collect(),
        optimizer: match spec.optimizer.method {
            Method::Sgd { .. } => "sgd",
            Method::Adam {
                decoupled: false, ..
            } => "adam",
            Method::Adam { .. } => "adamw",
            Method::RmsProp { .. } => "rmsprop",
        },
        accumulate: spec.accumulate,
        rounding: match spec.optimizer.rounding {
            Rounding::Stochastic => "stochastic",
            Rounding::Nearest => "nearest",
        },
        learning_rate: spec.rates().learning_rate,
        momentum: spec.rates().momentum,
        weight_decay: spec.rates().weight_decay,
    })
}

fn loss_name(loss: Loss) -> &'static str {
    match loss {
        Loss::CrossEntropy => "cross_entropy",
        Loss::MeanSquaredError => "mse",
        Loss::BinaryCrossEntropy => "binary_cross_entropy",
        Loss::MeanAbsoluteError => "mae",
        Loss::Huber { .. } => "huber",
    }
}
