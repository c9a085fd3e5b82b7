//! Which weights learn, and from which node on the gradient is wanted.

use crate::memory::PlanError;
use crate::model::Model;
use crate::ops::Op;
use crate::tensor::{DType, TensorId};
use crate::train::{Loss, TrainSpec, Trainable};

/// What the backward pass of a model is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Training {
    pub(crate) spec: TrainSpec,
    /// The first node that learns: no gradient passes below.
    pub(crate) first: usize,
    /// Bytes of all learnt weights.
    pub(crate) weights: u32,
    /// Whether a learnt weight serves at two places of the graph, so that its gradient must be summed before it learns.
    pub(crate) shared: bool,
}

impl Training {
    pub(crate) fn new(model: &Model) -> Result<Self, PlanError> {
        let spec = model.train_spec().ok_or(PlanError::NoTrainSpec)?;
        let mut training = Self {
            spec,
            first: usize::MAX,
            weights: 0,
            shared: false,
        };
        for (index, node) in model.nodes().iter().enumerate() {
            if training.node_learns(model, &node.op) {
                training.first = training.first.min(index);
            }
        }
        let end = |(_, offset, bytes): (TensorId, u32, u32)| offset.checked_add(bytes);
        let end = training.learnt(model).map(end).last().unwrap_or(Some(0));
        training.weights = end
            .filter(|end| *end <= i32::MAX as u32)
            .ok_or(PlanError::TooLarge)?;
        if training.first == usize::MAX {
            return Err(PlanError::NothingToTrain);
        }
        let shared = |(id, ..): (TensorId, u32, u32)| uses(model, id).count() > 1;
        let shared = training.learnt(model).any(shared);
        training.shared = shared;
        training.check(model)?;
        Ok(training)
    }

    /// Checks what the blob alone can tell of the losses.
    fn check(&self, model: &Model) -> Result<(), PlanError> {
        self.check_heads(model, |id| {
            let nodes = model.nodes().iter();
            let reads = nodes.filter(|node| node.inputs.as_slice().contains(&id));
            1 + reads.count()
        })
    }

    /// Whether a weight tensor learns: the plan names a node of which it is a parameter.
    pub(crate) fn learns(&self, model: &Model, id: TensorId) -> bool {
        let is_real = |id| {
            let dtype = model.tensor(id).map(|tensor| tensor.dtype);
            matches!(dtype, Some(DType::F32 | DType::Q16))
        };
        let mut named = uses(model, id).filter(|(node, _)| self.spec.trainable.names(model, *node));
        named.next().is_some() && is_real(id)
    }

    /// Whether a parameter of this operator learns.
    pub(crate) fn node_learns(&self, model: &Model, op: &Op) -> bool {
        let facts = op.facts();
        let mut parameters = facts.parameters();
        parameters.any(|(_, id)| self.learns(model, id))
    }

    /// The tensors that learn, each once, in the order of the graph: (id, offset, bytes).
    pub(crate) fn learnt<'a>(
        &'a self,
        model: &'a Model,
    ) -> impl Iterator<Item = (TensorId, u32, u32)> + 'a {
        let tensors = model.nodes().iter().enumerate().flat_map(|(index, node)| {
            let facts = node.op.facts();
            let parameters = facts.parameters.into_iter().enumerate();
            parameters.filter_map(move |(place, id)| Some((index, place, id?)))
        });
        let learnt = tensors.filter(move |&(index, place, id)| {
            uses(model, id).next() == Some((index, place)) && self.learns(model, id)
        });
        learnt.scan(0u32, move |end, (_, _, id)| {
            let bytes = model.tensor(id).map_or(0, |tensor| tensor.bytes());
            let offset = *end;
            // A tensor has less than 2^31 bytes; too many of them are found by `new`.
            *end = end.saturating_add(bytes as u32);
            Some((id, offset, bytes as u32))
        })
    }
}

impl Training {
    /// How many numbers are kept for each learnt weight besides itself.
    pub(crate) fn copies(&self) -> usize {
        usize::from(self.spec.sgd.momentum != 0.0 || self.shared)
    }

    /// The outputs at which a loss is formed.
    pub(crate) fn heads(&self, model: &Model) -> impl Iterator<Item = TensorId> {
        model.outputs().first().into_iter()
    }

    /// Whether the loss at this output forms the gradient at the input of the node that writes it.
    pub(crate) fn is_fused(&self, model: &Model, id: TensorId) -> bool {
        self.spec.loss == Loss::CrossEntropy && self.heads(model).any(|head| head == id)
    }

    /// Checks that each loss fits its output, at which `contributions` gradients meet.
    pub(crate) fn check_heads(
        &self,
        model: &Model,
        contributions: impl Fn(TensorId) -> usize,
    ) -> Result<(), PlanError> {
        for id in self.heads(model) {
            let producer = model.nodes().iter().find(|node| node.output == id);
            let is_softmax =
                producer.is_some_and(|node| matches!(node.op, Op::Softmax(_) | Op::LogSoftmax));
            if self.is_fused(model, id) && (!is_softmax || contributions(id) != 1) {
                return Err(PlanError::Loss);
            }
        }
        Ok(())
    }
}

/// The places where a weight serves as a parameter: (node, parameter).
fn uses<'a>(model: &'a Model, id: TensorId) -> impl Iterator<Item = (usize, usize)> + 'a {
    model
        .nodes()
        .iter()
        .enumerate()
        .flat_map(move |(index, node)| {
            let parameters = node.op.facts().parameters.into_iter().enumerate();
            parameters.filter_map(move |(place, parameter)| {
                (parameter == Some(id)).then_some((index, place))
            })
        })
}

impl Trainable {
    /// Whether it names node `index`, which has weights that can learn.
    fn names(&self, model: &Model, index: usize) -> bool {
        match *self {
            Self::All => true,
            Self::Last(count) => {
                let after = model
                    .nodes()
                    .iter()
                    .skip(index.saturating_add(1))
                    .filter(|node| model.is_trainable(&node.op))
                    .count();
                after < usize::from(count)
            }
            Self::Nodes(mask) => index < 64 && (mask >> index) & 1 == 1,
        }
    }
}
