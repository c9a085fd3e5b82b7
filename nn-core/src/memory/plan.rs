//! The planner: which buffer lives when, and where it lies.
//!
//! Time runs in steps. Node i of n runs forward at step i; the loss is formed at step n; node i runs backward at
//! step 2n − i. `docs/memory.md` gives the lifetimes, and the sums that follow from them.

mod backward;

use core::marker::PhantomData;

use crate::memory::buffer::{APART, REACHED};
use crate::memory::{Buffer, Kind, PlanError, Span, Training, place};
use crate::model::{Model, Node};
use crate::ops::{Activation, AllOps, Check, Needs, OpSet, Output};
use crate::tensor::{DType, Source, TensorId};

/// How many entries the planner's table needs for `model`, for inference or for its training plan.
pub fn table_len(model: &Model, train: bool) -> usize {
    Plan::<AllOps>::table_len(model, train)
}

/// A bound of [`table_len`] for any model of so many tensors and nodes.
pub const fn table_bound(tensors: usize, nodes: usize) -> usize {
    // A node: a gradient apart, norms, scratch, state, saved values, backward scratch, and four shares.
    tensors.saturating_add(nodes.saturating_mul(10))
}

/// A model's buffers, each with its place.
#[derive(Debug)]
pub(crate) struct Plan<'b, K> {
    /// First the activations, by their ids; then all others.
    buffers: &'b mut [Buffer],
    activations: usize,
    /// How many entries are in use.
    len: usize,
    nodes: u16,
    /// Bytes of the shared part.
    pub(crate) shared: usize,
    training: Option<Training>,
    kernels: PhantomData<K>,
}

impl<'b, K: OpSet> Plan<'b, K> {
    /// How many entries the planner's table needs.
    pub(crate) fn table_len(model: &Model, train: bool) -> usize {
        let is_activation = |id: TensorId| {
            let tensor = model.tensor(id);
            tensor.is_some_and(|tensor| tensor.source == Source::Activation)
        };
        let activations = model.tensors().iter();
        let activations = activations.filter(|tensor| tensor.source == Source::Activation);
        let mut entries = activations.count();
        if K::TRAIN && train {
            // Gradients that may lie apart, each in one buffer and its shares in others.
            entries += model.nodes().len();
        }
        for node in model.nodes() {
            let needs = needs::<K>(model, &node);
            entries += usize::from(needs.scratch > 0) + usize::from(needs.state > 0);
            if K::TRAIN && train {
                // Norms of channels.
                entries += 1;
                entries += usize::from(needs.saved > 0);
                entries += usize::from(needs.back_scratch + needs.input_scratch > 0);
                let inputs = node.inputs.as_slice().iter();
                let shared = inputs.filter(|&&id| is_activation(id) && readers(model, id) > 1);
                entries += shared.count();
            }
        }
        entries
    }

    /// Plans inference, or the model's training plan.
    pub(crate) fn new(
        model: &Model,
        train: bool,
        buffers: &'b mut [Buffer],
    ) -> Result<Self, PlanError> {
        let wanted = Self::table_len(model, train);
        let found = buffers.len();
        let buffers = buffers
            .get_mut(..wanted)
            .ok_or(PlanError::Table { wanted, found })?;
        buffers.fill(Buffer::default());
        let nodes = u16::try_from(model.nodes().len()).map_err(|_| PlanError::TooLarge)?;
        let mut plan = Self {
            buffers,
            activations: 0,
            len: 0,
            nodes,
            shared: 0,
            training: None,
            kernels: PhantomData,
        };
        if K::TRAIN && train {
            plan.training = Some(Training::new(model)?);
        }
        for (id, tensor) in (0..).zip(model.tensors()) {
            if tensor.source == Source::Activation {
                plan.add(Kind::Activation, id, tensor.bytes(), 0, 0)?;
            }
        }
        plan.activations = plan.len;
        if let Some(training) = plan.training().copied() {
            plan.trace_gradient(model, &training)?;
        }
        plan.forward_lifetimes(model)?;
        if plan.training().is_some() {
            plan.backward_lifetimes(model)?;
        }
        plan.shared = place::place(plan.buffers)?;
        Ok(plan)
    }

    /// What the backward pass is about, where one is planned.
    pub(crate) fn training(&self) -> Option<&Training> {
        // What does not learn holds no code for it.
        self.training.as_ref().filter(|_| K::TRAIN)
    }

    /// The buffers.
    pub(crate) fn buffers(&self) -> &[Buffer] {
        self.buffers.get(..self.len).unwrap_or(&[])
    }

    fn add(
        &mut self,
        kind: Kind,
        owner: u16,
        bytes: usize,
        first: u16,
        last: u16,
    ) -> Result<(), PlanError> {
        let buffer = Buffer::new(kind, owner, bytes, first, last).ok_or(PlanError::TooLarge)?;
        let (wanted, found) = (self.len + 1, self.buffers.len());
        let entry = self.buffers.get_mut(self.len);
        *entry.ok_or(PlanError::Table { wanted, found })? = buffer;
        self.len += 1;
        Ok(())
    }

    /// The entry of an activation.
    fn index(&self, id: TensorId) -> Option<usize> {
        let activations = self.buffers.get(..self.activations)?;
        activations.binary_search_by_key(&id, |b| b.owner).ok()
    }

    /// The entry whose buffer an activation shares, or its own.
    fn root(&self, id: TensorId) -> Option<usize> {
        let index = self.index(id)?;
        let buffer = self.buffers.get(index)?;
        if buffer.follows() {
            return Some(index);
        }
        index.checked_sub(buffer.shares_back())
    }

    fn activation_is(&self, id: TensorId, flag: u16) -> bool {
        let buffer = self.index(id).and_then(|index| self.buffers.get(index));
        buffer.is_some_and(|buffer| buffer.is(flag))
    }

    fn set(&mut self, id: TensorId, flag: u16) {
        if let Some(buffer) = self.index(id).and_then(|index| self.buffers.get_mut(index)) {
            buffer.set(flag);
        }
    }

    fn live_until(&mut self, id: TensorId, step: u16) {
        if let Some(buffer) = self.root(id).and_then(|index| self.buffers.get_mut(index)) {
            buffer.live_until(step);
        }
    }

    /// The step at which node `index` runs backward.
    fn backward_step(&self, index: u16) -> u16 {
        (2 * self.nodes).saturating_sub(index)
    }

    #[inline(never)]
    fn forward_lifetimes(&mut self, model: &Model) -> Result<(), PlanError> {
        for (step, node) in (0u16..).zip(model.nodes()) {
            for &id in node.inputs.as_slice() {
                self.live_until(id, step);
            }
            let shares = node
                .inputs
                .first()
                .filter(|&x| self.shares(model, &node, x));
            let under = shares.and_then(|x| {
                let (root, output) = (self.root(x)?, self.index(node.output)?);
                Some((*self.buffers.get(root)?, output.checked_sub(root)?))
            });
            if let Some(buffer) = self
                .index(node.output)
                .and_then(|index| self.buffers.get_mut(index))
            {
                let own = match under {
                    // What is shorter leaves the rest of the buffer to others as soon as it is there.
                    Some((root, distance)) if buffer.size < root.size => {
                        let follows = buffer.follow(distance + root.shares_back());
                        Some(step.saturating_add(u16::from(follows)))
                    }
                    Some((_, distance)) if buffer.share(distance) => None,
                    _ => Some(step),
                };
                if let Some(own) = own {
                    (buffer.first, buffer.last) = (own, own);
                }
            }
            let needs = needs::<K>(model, &node);
            if needs.scratch > 0 {
                self.add(Kind::Scratch, step, needs.scratch, step, step)?;
            }
            if needs.state > 0 {
                self.add(Kind::State, step, needs.state, 0, u16::MAX)?;
            }
        }
        for &id in model.outputs().as_slice() {
            self.live_until(id, self.nodes);
        }
        Ok(())
    }

    /// Whether the output of `node` may lie where its input `x` lies.
    #[inline(never)]
    fn shares(&self, model: &Model, node: &Node, x: TensorId) -> bool {
        let facts = node.op.facts();
        let trained = self.is_reached(node.output);
        match facts.output {
            Output::Apart => return false,
            // Its delta would overwrite what others still read.
            Output::View => return !trained || self.contributions(model, x) <= 1,
            Output::InPlace => {}
        }
        // Nobody else may want the input: neither another node nor the caller.
        let mut id = x;
        loop {
            if readers(model, id) != 1 || model.outputs().as_slice().contains(&id) {
                return false;
            }
            if self.root(id) == self.index(id) {
                break;
            }
            let producer = model.nodes().iter().find(|node| node.output == id);
            match producer.and_then(|producer| producer.inputs.first()) {
                Some(source) => id = source,
                None => return false,
            }
        }
        // Backward tells a derivative from the output; one buffer holds only one activation's output.
        !trained || (derivative_of(model, x) == Activation::None && !facts.needs_x)
    }

    fn find(&self, kind: Kind, owner: u16) -> Option<&Buffer> {
        let others = self.buffers().get(self.activations..)?;
        others
            .iter()
            .find(|buffer| buffer.owner == owner && buffer.kind() == kind)
    }

    /// Where a node's buffer of this kind lies, whole; nothing where there is none.
    pub(crate) fn extra(&self, kind: Kind, owner: u16) -> Span {
        self.find(kind, owner)
            .map_or(Span::NOTHING, |buffer| buffer.span(usize::MAX))
    }

    /// Where an activation lies.
    pub(crate) fn activation(&self, model: &Model, id: TensorId) -> Span {
        let bytes = model.tensor(id).map_or(0, |tensor| tensor.bytes());
        let buffer = self.root(id).and_then(|index| self.buffers.get(index));
        buffer.map_or(Span::NOTHING, |buffer| buffer.span(bytes))
    }

    /// Where the gradient of an activation lies.
    pub(crate) fn delta(&self, model: &Model, id: TensorId) -> Span {
        if !self.is_apart(id) {
            return self.activation(model, id);
        }
        let tensor = model.tensor(id);
        // That of an int8 tensor is of another form than the tensor.
        let is_int8 = tensor.is_some_and(|tensor| tensor.dtype == DType::I8);
        let bytes = tensor
            .filter(|_| !is_int8)
            .map_or(usize::MAX, |tensor| tensor.bytes());
        let buffer = self.find(Kind::Delta, id);
        buffer.map_or(Span::NOTHING, |buffer| buffer.span(bytes))
    }

    /// Whether a gradient arrives at this activation.
    pub(crate) fn is_reached(&self, id: TensorId) -> bool {
        K::TRAIN && self.activation_is(id, REACHED)
    }

    /// Whether the gradient of this activation has a buffer of its own.
    pub(crate) fn is_apart(&self, id: TensorId) -> bool {
        K::TRAIN && self.activation_is(id, APART)
    }
}

/// How many channels the output of a node has.
pub(crate) fn channels(model: &Model, node: &Node) -> usize {
    let output = model.tensor(node.output);
    let last = output.and_then(|output| output.shape.dims().last().copied());
    last.unwrap_or(0) as usize
}

/// How many nodes read a tensor, each as often as it reads it.
fn readers(model: &Model, id: TensorId) -> usize {
    let nodes = model.nodes().iter();
    let inputs = nodes.map(|node| {
        let inputs = node.inputs.as_slice().iter();
        inputs.filter(|input| **input == id).count()
    });
    inputs.sum()
}

#[inline(never)]
fn needs<K: OpSet>(model: &Model, node: &Node) -> Needs {
    let check = Check::new(model.tensors(), &node.inputs, node.output);
    match (check, node.op.kernel::<K>()) {
        (Ok(check), Some(kernel)) => kernel.needs(&check),
        _ => Needs::default(),
    }
}

/// The derivative that is due when the gradient at tensor `id` is written over it: its producer's activation.
/// An operator that selects hands its input's on, since its output's numbers are its input's.
pub(crate) fn derivative_of(model: &Model, id: TensorId) -> Activation {
    let mut id = id;
    // A path upwards visits no node twice.
    for _ in 0..model.nodes().len() {
        let Some(producer) = model.nodes().iter().find(|node| node.output == id) else {
            return Activation::None;
        };
        let facts = producer.op.facts();
        match producer.inputs.first() {
            Some(input) if facts.selects => id = input,
            _ => return facts.activation,
        }
    }
    Activation::None
}
