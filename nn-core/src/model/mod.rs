//! The blob: header, graph, weights.
//!
//! ```text
//! header (32 bytes) | graph (postcard) | padding | weights (16-byte aligned)
//! ```
//!
//! [`Model::load`] checks everything once: magic, version, lengths, CRC-32, alignment, every offset, every shape,
//! every operator's rules. After that nothing can panic or read out of bounds.
//! A model holds no memory: the graph is decoded in place from the blob. `docs/format.md` specifies every field.

mod encode;
mod error;
mod header;
mod load;
mod node;

pub use crate::ops::NodeFault;
pub use crate::seq::{Ids, MAX_NODE_INPUTS, Seq};
pub use encode::{EncodeError, Graph, encode, reseal};
pub use error::{LoadError, TensorFault};
pub(crate) use header::checksum;
pub use header::{HEADER_LEN, Header, MAGIC, VERSION, layout};
pub use node::{Cost, Node, cost};

use core::ops::Range;

use crate::memory::Training;
use crate::ops::{AllOps, Op, OpSet};
use crate::tensor::{DType, Source, Tensor, TensorId};
use crate::train::{PlanView, TrainSpec};

/// A model whose blob has passed every check. Cheap to copy: it borrows the blob.
#[derive(Debug, Clone, Copy)]
pub struct Model<'m> {
    header: Header,
    name: &'m str,
    tensors: Seq<'m, Tensor>,
    nodes: Seq<'m, Node<'m>>,
    inputs: Ids,
    outputs: Ids,
    train: Option<PlanView<'m>>,
    weights: &'m [u8],
    /// Whether any parameter is of real numbers.
    has_real: bool,
}

impl<'m> Model<'m> {
    /// Checks `bytes` and borrows them.
    ///
    /// `bytes` begins on a 16-byte boundary (see [`Aligned`](crate::memory::Aligned) and
    /// [`include_model!`](crate::include_model)).
    pub fn load(bytes: &'m [u8]) -> Result<Self, LoadError> {
        load::load::<AllOps>(bytes)
    }

    /// As [`load`](Self::load), for an image that holds only the operators of `K`: others are refused.
    pub fn load_with<K: OpSet>(bytes: &'m [u8]) -> Result<Self, LoadError> {
        load::load::<K>(bytes)
    }

    /// The model's name.
    pub fn name(&self) -> &'m str {
        self.name
    }

    /// The blob's header.
    pub fn header(&self) -> Header {
        self.header
    }

    /// Bytes of arena that a [`Session`](crate::session::Session) needs, as the header states it.
    pub fn arena_infer(&self) -> usize {
        self.header.arena_infer as usize
    }

    /// Bytes of arena that a [`Trainer`](crate::train::Trainer) needs; 0 where the model has no training plan.
    pub fn arena_train(&self) -> usize {
        self.header.arena_train as usize
    }

    /// The tensors, in the order of their ids.
    pub fn tensors(&self) -> Seq<'m, Tensor> {
        self.tensors
    }

    /// The nodes, in the order in which they run.
    pub fn nodes(&self) -> Seq<'m, Node<'m>> {
        self.nodes
    }

    /// Tensor `id`. Decodes all before it: for setting up, not for a loop.
    pub fn tensor(&self, id: TensorId) -> Option<Tensor> {
        self.tensors.nth(usize::from(id))
    }

    /// Ids of the graph's inputs.
    pub fn inputs(&self) -> Ids {
        self.inputs
    }

    /// Ids of the graph's outputs.
    pub fn outputs(&self) -> Ids {
        self.outputs
    }

    /// The `index`th input.
    pub fn input(&self, index: usize) -> Option<Tensor> {
        self.tensor(*self.inputs.as_slice().get(index)?)
    }

    /// The `index`th output.
    pub fn output(&self, index: usize) -> Option<Tensor> {
        self.tensor(*self.outputs.as_slice().get(index)?)
    }

    /// What a device may train, and how; `None` for a model that only runs.
    ///
    /// Decodes it from the blob, into hundreds of bytes: for the host.
    pub fn train_spec(&self) -> Option<TrainSpec> {
        self.train?.spec()
    }

    /// The training plan, read in place.
    pub(crate) fn plan(&self) -> Option<PlanView<'m>> {
        self.train
    }

    /// Whether it has a training plan.
    pub fn learns(&self) -> bool {
        self.train.is_some()
    }

    /// The same model with another training plan, to see what it would cost. The header still states the arena of the
    /// blob's own plan, so a trainer takes the model only where both are of one size.
    #[must_use]
    pub fn with_train_spec(mut self, train: Option<&'m TrainSpec>) -> Self {
        self.train = train.map(PlanView::of);
        self.has_real = self
            .nodes
            .iter()
            .any(|node| self.has_real_parameters(&node.op));
        self
    }

    /// Whether a plan that names no node by its index means this operator: it has parameters of real numbers, or, where
    /// no operator of the graph has such, it learns in int8.
    #[inline(always)]
    pub fn is_trainable(&self, op: &Op) -> bool {
        self.has_real_parameters(op) || !self.has_real && self.learns_in_int8(op)
    }

    /// Whether an operator has int8 weights that can learn.
    #[inline(never)]
    pub fn learns_in_int8(&self, op: &Op) -> bool {
        let weight = op.weight_in_int8().and_then(|id| self.tensor(id));
        weight.is_some_and(|weight| weight.dtype == DType::I8)
    }

    #[inline(never)]
    fn has_real_parameters(&self, op: &Op) -> bool {
        let facts = op.facts();
        let mut parameters = facts.parameters();
        parameters.any(|(_, id)| {
            let dtype = self.tensor(id).map(|tensor| tensor.dtype);
            matches!(dtype, Some(DType::F32 | DType::Q16))
        })
    }

    /// The weights section.
    pub fn weights(&self) -> &'m [u8] {
        self.weights
    }

    /// Where the weights that learn lie in [`weights`](Self::weights), in the order of
    /// [`Trainer::weights`](crate::train::Trainer::weights): node by node, each weight before its bias, and one that
    /// serves at several nodes only once. Empty without a training plan.
    pub fn learnt(&self) -> impl Iterator<Item = Range<usize>> + use<'m> {
        let model = *self;
        let training = Training::new(&model).ok();
        (0..).map_while(move |index| {
            let (id, ..) = training.as_ref()?.learnt(&model).nth(index)?;
            let tensor = model.tensor(id)?;
            match tensor.source {
                Source::Weight { offset } => {
                    let start = offset as usize;
                    Some(start..start.saturating_add(tensor.bytes()))
                }
                Source::Activation => None,
            }
        })
    }

    /// The bytes of a weight tensor; empty for an activation.
    pub fn weight_bytes(&self, tensor: &Tensor) -> &'m [u8] {
        match tensor.source {
            Source::Activation => &[],
            Source::Weight { offset } => {
                let start = offset as usize;
                self.weights
                    .get(start..start.saturating_add(tensor.bytes()))
                    .unwrap_or(&[])
            }
        }
    }
}
