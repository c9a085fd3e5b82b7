//! Where everything lies in a model's arena, and what training it costs.
//!
//! The numbers come from the planner that lays out a session's or a trainer's arena
//! ([`nn_core::ArenaReport`]): [`PlanReport::of`] adds names, the lower bound and what other options would cost.

mod spec;

pub use spec::{SpecError, SpecRequest};

use nn_core::memory::{Buffer, Kind, PlanError, lower_bound, table_len};
use nn_core::model::Model;
use nn_core::tensor::TensorId;
use nn_core::train::TrainSpec;
use nn_core::{ArenaParts, ArenaReport};
use serde::Serialize;

use crate::export::{AlignedBytes, BuildError, Builder, TrainPlan};

/// A model's memory. Serializes to what `mote plan --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanReport {
    /// The model's name.
    pub name: String,
    /// How many nodes it has: node i runs forward at step i, the loss is formed at step `nodes`, and node i runs
    /// backward at step 2 · `nodes` − i.
    pub nodes: usize,
    /// The arena that running it takes.
    pub inference: ArenaPlan,
    /// The arena that training it takes; none without a training plan.
    pub training: Option<TrainingPlan>,
}

/// One arena.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArenaPlan {
    /// Its bytes.
    pub total: usize,
    /// What the blob's header states; none where the plan is not the blob's own.
    pub header: Option<usize>,
    /// Its parts, which sum up to `total`.
    pub parts: PartBytes,
    /// The most bytes of buffers that live at one step: no placement takes fewer.
    pub lower_bound: usize,
    /// What the buffers take, as a multiple of `lower_bound`.
    pub ratio: f64,
    /// The buffers: those of activations first, in the order of the tensors.
    pub buffers: Vec<PlannedBuffer>,
}

/// The parts of an arena, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PartBytes {
    /// A resolved step for each node.
    pub steps: usize,
    /// Where each node's inputs, outputs and weights lie.
    pub operands: usize,
    /// A resolved backward step for each node from the first that learns on.
    pub back_steps: usize,
    /// Where the gradients at their inputs go.
    pub slots: usize,
    /// The losses.
    pub heads: usize,
    /// The output channels that learn, of layers that do not learn in all.
    pub picks: usize,
    /// The tensors that learn, where gradients are summed first.
    pub learnt: usize,
    /// The weights that learn.
    pub weights: usize,
    /// Their copies: velocity, moments, sums of gradients.
    pub copies: usize,
    /// The buffers together.
    pub buffers: usize,
    /// Room for the planner's own table, beyond what lies in its place later.
    pub table: usize,
    /// Between parts, and at the end.
    pub padding: usize,
}

/// A buffer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedBuffer {
    /// `activation`, `delta`, `saved`, `scratch`, `state`, `backward scratch`, `share of a delta`.
    pub kind: &'static str,
    /// The layer whose output it holds, or that needs it; `input 0` for the graph's first input.
    pub owner: String,
    /// Its bytes, a multiple of 8; 0 for an activation that lies in another's buffer.
    pub bytes: usize,
    /// First step at which it lives.
    pub first: u16,
    /// Last step at which it lives; 65,535 for state, which lives from run to run.
    pub last: u16,
    /// Its place, from the start of the buffers; none where it lies in another's.
    pub offset: Option<usize>,
    /// The owner of the buffer in which it lies, where it is not its own.
    pub shares: Option<String>,
}

/// The arena for training, and what it is spent on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainingPlan {
    /// What learns, and how.
    pub plan: TrainPlan,
    /// The arena.
    pub arena: ArenaPlan,
    /// The weights that learn, in their order in the arena.
    pub learnt: Vec<Learnt>,
    /// Numbers kept for each weight that learns besides itself.
    pub copies: usize,
    /// What other options would cost.
    pub options: Vec<OptionCost>,
}

/// A weight that learns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Learnt {
    /// `dense_1.weight`.
    pub name: String,
    /// Its bytes, without its copies.
    pub bytes: usize,
}

/// What an option would cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OptionCost {
    /// As `--train` takes it.
    pub option: String,
    /// Bytes of arena that it takes more than the plan shown, or fewer.
    pub difference: i64,
}

/// The model as something can be learnt towards its outputs: those in int8 are dequantized.
///
/// # Errors
/// [`BuildError`], of a model that grows too large.
pub fn with_real_outputs(model: &Model<'_>) -> Result<AlignedBytes, BuildError> {
    let (mut builder, mut outputs) = Builder::of(model);
    builder.real_outputs(&mut outputs)?;
    builder.finish(&outputs, model.train_spec())
}

impl PlanReport {
    /// Plans `model`: for inference, and for the training plan `train` where there is one.
    ///
    /// # Errors
    /// What keeps the model from being planned.
    pub fn of(model: &Model<'_>, train: Option<TrainSpec>) -> Result<Self, PlanError> {
        let own = model.train_spec() == train;
        let header = model.header();
        let model = model.with_train_spec(train.as_ref());
        let plan = |train: bool, header: Option<u32>| {
            let mut table = vec![Buffer::default(); table_len(&model, train)];
            let report = ArenaReport::new(&model, train, &mut table)?;
            let learnt = report.learnt(&model).collect::<Vec<_>>();
            let arena = ArenaPlan::new(&model, &report, header.map(|bytes| bytes as usize));
            Ok((arena, report.parts().copies, learnt))
        };
        let (inference, ..) = plan(false, Some(header.arena_infer))?;
        let training = match train {
            None => None,
            Some(spec) => {
                let (arena, copies, learnt) = plan(true, own.then_some(header.arena_train))?;
                let total = arena.total;
                let name = |(id, bytes)| Learnt {
                    name: parameter_name(&model, id),
                    bytes,
                };
                Some(TrainingPlan {
                    plan: TrainPlan::of(&model).ok_or(PlanError::NoTrainSpec)?,
                    arena,
                    learnt: learnt.into_iter().map(name).collect(),
                    copies,
                    options: options(&model, spec, total),
                })
            }
        };
        Ok(Self {
            name: model.name().to_owned(),
            nodes: model.nodes().len(),
            inference,
            training,
        })
    }
}

/// What each option that costs memory would change.
fn options(model: &Model<'_>, spec: TrainSpec, total: usize) -> Vec<OptionCost> {
    let cost = |(option, spec): (String, TrainSpec)| {
        let model = model.with_train_spec(Some(&spec));
        let mut table = vec![Buffer::default(); table_len(&model, true)];
        let bytes = nn_core::arena_len(&model, true, &mut table).ok()?;
        // Arenas are below 2^31 bytes.
        let difference = bytes as i64 - total as i64;
        Some(OptionCost { option, difference })
    };
    let variants = spec::variants(spec).into_iter();
    variants.filter_map(cost).collect()
}

impl ArenaPlan {
    fn new(model: &Model<'_>, report: &ArenaReport<'_>, header: Option<usize>) -> Self {
        let parts = report.parts();
        let bound = lower_bound(report.buffers());
        let buffers = report.buffers().iter().enumerate();
        let buffers = buffers.map(|(index, buffer)| PlannedBuffer {
            kind: buffer.kind().name(),
            owner: owner(model, buffer),
            bytes: buffer.size as usize,
            first: buffer.first,
            last: buffer.last,
            offset: (buffer.size > 0).then_some(buffer.offset as usize),
            shares: report.shares(index).map(|id| tensor_name(model, id)),
        });
        Self {
            total: parts.total(),
            header,
            parts: parts.into(),
            lower_bound: bound,
            ratio: if bound == 0 {
                1.0
            } else {
                parts.buffers as f64 / bound as f64
            },
            buffers: buffers.collect(),
        }
    }
}

impl From<ArenaParts> for PartBytes {
    fn from(parts: ArenaParts) -> Self {
        Self {
            steps: parts.steps,
            operands: parts.operands,
            back_steps: parts.back_steps,
            slots: parts.slots,
            heads: parts.heads,
            picks: parts.picks,
            learnt: parts.learnt,
            weights: parts.weights,
            copies: parts.weights * parts.copies,
            buffers: parts.buffers,
            table: parts.table,
            padding: parts.padding,
        }
    }
}

impl PartBytes {
    /// Each part's name and bytes.
    pub fn named(&self) -> [(&'static str, usize); 12] {
        [
            ("steps", self.steps),
            ("operands", self.operands),
            ("backward steps", self.back_steps),
            ("slots", self.slots),
            ("losses", self.heads),
            ("chosen channels", self.picks),
            ("learnt tensors", self.learnt),
            ("learnt weights", self.weights),
            ("their copies", self.copies),
            ("buffers", self.buffers),
            ("planner's table", self.table),
            ("padding", self.padding),
        ]
    }
}

/// Whose buffer it is.
fn owner(model: &Model<'_>, buffer: &Buffer) -> String {
    let node = |index: u16| {
        let node = model.nodes().nth(usize::from(index));
        node.map_or_else(|| format!("node {index}"), |node| node.name.to_owned())
    };
    match buffer.kind() {
        Kind::Activation | Kind::Delta => tensor_name(model, buffer.owner),
        Kind::Share => format!("{}, input {}", node(buffer.owner / 4), buffer.owner % 4),
        Kind::Saved | Kind::Scratch | Kind::State | Kind::BackScratch | Kind::Norms => {
            node(buffer.owner)
        }
    }
}

/// The name of the layer that writes an activation, or `input N`.
fn tensor_name(model: &Model<'_>, id: TensorId) -> String {
    let producer = model.nodes().iter().find(|node| node.output == id);
    let input = || {
        let inputs = model.inputs();
        let index = inputs.as_slice().iter().position(|input| *input == id);
        index.map_or_else(|| format!("tensor {id}"), |index| format!("input {index}"))
    };
    producer.map_or_else(input, |node| node.name.to_owned())
}

/// `dense_1.weight`: the first layer of which a tensor is a parameter, and which one.
fn parameter_name(model: &Model<'_>, id: TensorId) -> String {
    for node in model.nodes() {
        let Some(place) = node.op.parameters().position(|parameter| parameter == id) else {
            continue;
        };
        let names: &[&str] = match node.op.name() {
            "rnn" | "lstm" | "gru" => &["kernel", "recurrent_kernel", "bias", "recurrent_bias"],
            _ => &["weight", "bias"],
        };
        return match names.get(place) {
            Some(name) => format!("{}.{name}", node.name),
            None => format!("{}.{place}", node.name),
        };
    }
    format!("tensor {id}")
}

#[cfg(test)]
mod tests;
