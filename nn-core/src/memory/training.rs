//! Which nodes learn, and from where on the gradient flows.

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
}

impl Training {
    /// Whether node `index` learns.
    pub(crate) fn learns(&self, model: &Model, index: usize, op: &Op) -> bool {
        model.is_trainable(op) && self.spec.trainable.names(model, index)
    }

    pub(crate) fn new(model: &Model) -> Result<Self, PlanError> {
        let spec = model.train_spec().ok_or(PlanError::NoTrainSpec)?;
        let mut training = Self {
            spec,
            first: usize::MAX,
            weights: 0,
        };
        for (index, node) in model.nodes().iter().enumerate() {
            if training.learns(model, index, &node.op) {
                training.first = training.first.min(index);
                let (weight, bias) = node.op.parameters().ok_or(PlanError::NothingToTrain)?;
                for id in [Some(weight), bias].into_iter().flatten() {
                    let bytes = model.tensor(id).map_or(0, |tensor| tensor.bytes());
                    training.weights = u32::try_from(bytes)
                        .ok()
                        .and_then(|bytes| training.weights.checked_add(bytes))
                        .ok_or(PlanError::TooLarge)?;
                }
            }
        }
        if training.first == usize::MAX {
            return Err(PlanError::NothingToTrain);
        }
        training.check_chain(model)?;
        Ok(training)
    }

    fn check_chain(&self, model: &Model) -> Result<(), PlanError> {
        let mut before: Option<TensorId> = None;
        let mut last = None;
        for (index, node) in model.nodes().iter().enumerate().skip(self.first) {
            let input = node.inputs.first();
            if before.is_some() && input != before {
                return Err(PlanError::NotAChain { node: index });
            }
            let readers = model
                .nodes()
                .iter()
                .filter(|reader| reader.inputs.as_slice().contains(&node.output))
                .count();
            if readers > 1 {
                return Err(PlanError::NotAChain { node: index });
            }
            for id in [input, Some(node.output)].into_iter().flatten() {
                if model.tensor(id).is_none_or(|t| t.dtype != DType::F32) {
                    return Err(PlanError::NotDifferentiable { node: index });
                }
            }
            before = Some(node.output);
            last = Some((index, node.op));
        }
        let (index, op) = last.ok_or(PlanError::NothingToTrain)?;
        if model.outputs().as_slice() != before.as_slice() {
            return Err(PlanError::NotAChain { node: index });
        }
        if self.spec.loss == Loss::CrossEntropy && !matches!(op, Op::Softmax(_)) {
            return Err(PlanError::Loss);
        }
        Ok(())
    }
}

impl Trainable {
    /// Whether it names node `index`, which has f32 weights.
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
