//! Where gradients pass, how long what they need lives, and which have a buffer of their own.

use crate::memory::buffer::{APART, FLOWS, REACHED};
use crate::memory::plan::{Plan, channels, derivative_of, needs};
use crate::memory::training::selection;
use crate::memory::{Kind, PlanError, Training};
use crate::model::{Model, Node};
use crate::ops::{Activation, Check, OpSet, backward_code};
use crate::tensor::{DType, TensorId};
use crate::train::int8::gradient_bytes;

impl<K: OpSet> Plan<'_, K> {
    /// Marks the tensors through which a gradient passes.
    #[inline(never)]
    pub(super) fn trace_gradient(
        &mut self,
        model: &Model,
        training: &Training,
    ) -> Result<(), PlanError> {
        for node in model.nodes() {
            let mut inputs = node.inputs.as_slice().iter();
            if training.node_learns(model, &node.op)
                || inputs.any(|&id| self.activation_is(id, FLOWS))
            {
                self.set(node.output, FLOWS);
            }
        }
        for id in training.heads() {
            if self.activation_is(id, FLOWS) {
                self.set(id, REACHED);
            }
        }
        for back in 1..=self.nodes {
            let index = usize::from(self.nodes - back);
            let Some(node) = model.nodes().nth(index) else {
                break;
            };
            if !self.is_reached(node.output) {
                if training.node_learns(model, &node.op) {
                    return Err(PlanError::Unreached { node: index });
                }
                continue;
            }
            let fault = PlanError::NotDifferentiable { node: index };
            let check = Check::new(model.tensors(), &node.inputs, node.output);
            let check = check.map_err(|_| fault)?;
            backward_code::<K>(node.op.number(), check.x.dtype, check.y.dtype).ok_or(fault)?;
            for &id in node.inputs.as_slice() {
                if self.activation_is(id, FLOWS) {
                    self.set(id, REACHED);
                }
            }
        }
        self.check_sums(model)
    }

    /// Gradients at an int8 tensor are not added: nobody but one may read it.
    #[inline(never)]
    fn check_sums(&self, model: &Model) -> Result<(), PlanError> {
        for (node, entry) in model.nodes().iter().enumerate() {
            let id = entry.output;
            let is_int8 = model
                .tensor(id)
                .is_some_and(|tensor| tensor.dtype == DType::I8);
            if is_int8 && self.is_reached(id) && self.contributions(model, id) > 1 {
                return Err(PlanError::NotDifferentiable { node });
            }
        }
        Ok(())
    }

    /// How many gradients meet at a tensor: from nodes that read it, and from losses.
    pub(super) fn contributions(&self, model: &Model, id: TensorId) -> usize {
        let heads = usize::from(self.is_head(id));
        let nodes = model.nodes().iter();
        let readers = nodes.filter(|node| self.is_reached(node.output));
        let inputs = readers.map(|node| {
            let inputs = node.inputs.as_slice().iter();
            inputs.filter(|input| **input == id).count()
        });
        heads + inputs.sum::<usize>()
    }

    /// Whether a loss is formed at a tensor.
    pub(super) fn is_head(&self, id: TensorId) -> bool {
        self.training().is_some_and(|training| training.is_head(id))
    }

    #[inline(never)]
    pub(super) fn backward_lifetimes(&mut self, model: &Model) -> Result<(), PlanError> {
        for (index, node) in (0u16..).zip(model.nodes()) {
            if !self.is_reached(node.output) {
                continue;
            }
            let backward = self.backward_step(index);
            self.place_delta(model, node.output, backward)?;
            let facts = node.op.facts();
            for &id in node.inputs.as_slice() {
                let due = self.activation_is(id, FLOWS)
                    && !facts.selects
                    && derivative_of(model, id) != Activation::None;
                let is_int8 = || {
                    let tensor = model.tensor(id);
                    tensor.is_some_and(|tensor| tensor.dtype == DType::I8)
                };
                let in_int8 = facts.needs_x_in_int8 && self.activation_is(id, FLOWS) && is_int8();
                if facts.needs_x || due || in_int8 {
                    self.live_until(id, backward);
                }
            }
            let needs = needs::<K>(model, &node);
            let fused = self
                .training()
                .is_some_and(|training| training.is_fused(node.output));
            if needs.saved > 0 && !fused {
                self.add(Kind::Saved, index, needs.saved, index, backward)?;
            }
            if picks_top(model, index) {
                let channels = channels(model, &node);
                let bytes = channels * size_of::<f32>();
                self.add(Kind::Norms, index, bytes, 0, u16::MAX)?;
            }
            let mut inputs = node.inputs.as_slice().iter();
            let passes_on = inputs.any(|&id| self.activation_is(id, FLOWS));
            let scratch = needs.back_scratch + if passes_on { needs.input_scratch } else { 0 };
            if scratch > 0 {
                self.add(Kind::BackScratch, index, scratch, backward, backward)?;
            }
        }
        Ok(())
    }

    /// Decides where the gradient of `id` lies; its producer reads it at step `until`.
    #[inline(never)]
    fn place_delta(&mut self, model: &Model, id: TensorId, until: u16) -> Result<(), PlanError> {
        let mut bytes = model.tensor(id).map_or(0, |tensor| tensor.bytes());
        let is_head = self.is_head(id);
        let single = self.contributions(model, id) <= 1;
        let mut born = self.nodes;
        let mut apart = !single;
        if !is_head {
            // The last node that reads it runs backward first.
            let mut last = None;
            for (index, node) in (0u16..).zip(model.nodes()) {
                let reads = node.inputs.as_slice().contains(&id);
                if reads && self.is_reached(node.output) {
                    last = Some((index, node));
                }
            }
            let Some((index, node)) = last else {
                return Ok(());
            };
            born = self.backward_step(index);
            let facts = node.op.facts();
            let lies_over = self.root(id) == self.root(node.output);
            let unread =
                facts.selects || (!facts.needs_x && derivative_of(model, id) == Activation::None);
            apart |= unread && !lies_over;
            if let Some(int8) = int8_gradient::<K>(model, id, &node) {
                (apart, bytes) = (true, int8);
            }
        }
        if !apart {
            self.live_until(id, until);
            return Ok(());
        }
        self.set(id, APART);
        self.add(Kind::Delta, id, bytes, born, until)?;
        if single {
            return Ok(());
        }
        for (index, node) in (0u16..).zip(model.nodes()) {
            if !self.is_reached(node.output) {
                continue;
            }
            for (input, &read) in (0u16..).zip(node.inputs.as_slice()) {
                if read == id && !self.is_first(model, id, index, input) {
                    let step = self.backward_step(index);
                    self.add(Kind::Share, 4 * index + input, bytes, step, step)?;
                }
            }
        }
        Ok(())
    }

    /// Whether of all that adds to the gradient of `id` this node's input comes first.
    pub(crate) fn is_first(&self, model: &Model, id: TensorId, index: u16, input: u16) -> bool {
        let is_head = self.is_head(id);
        let later = (0u16..).zip(model.nodes()).any(|(other, node)| {
            let mut inputs = (0u16..).zip(node.inputs.as_slice());
            let before = |place: u16| other > index || (other == index && place < input);
            self.is_reached(node.output) && inputs.any(|(place, read)| *read == id && before(place))
        });
        !is_head && !later
    }
}

/// Bytes of the gradient at an int8 tensor that `node` forms; `None` at another.
#[inline(never)]
fn int8_gradient<K: OpSet>(model: &Model, id: TensorId, node: &Node) -> Option<usize> {
    let tensor = model
        .tensor(id)
        .filter(|tensor| tensor.dtype == DType::I8)?;
    Some(gradient_bytes(
        tensor.elements(),
        needs::<K>(model, node).sums,
    ))
}

/// Whether node `index` learns in the channels of the largest gradients.
fn picks_top(model: &Model, index: u16) -> bool {
    let selection = selection(model, usize::from(index)).unwrap_or_default();
    selection.picks_top()
}
