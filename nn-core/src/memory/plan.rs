//! The planners: lifetimes of all buffers, then a place for each.
//!
//! Time runs in steps: node i of n runs forward at i, the loss is formed at n, node i runs backward at 2n − i.
//! Inference ends at n. A buffer lives from the step that first writes it to the last that reads it; a layer's delta
//! overwrites its activation, so an activation that is trained through lives on to its producer's backward step.
//! A max-pooling's input dies with its forward step, and its delta is born in its backward step: two buffers.
//!
//! Places: the largest buffer first, at the lowest address where no buffer that lives at the same time lies.

use core::ops::Range;

use crate::memory::{PlanError, Training, round_up};
use crate::model::{Model, Node};
use crate::ops::{Activation, Op};
use crate::tensor::{Source, TensorId};
use crate::train::Loss;

/// Alignment of a buffer inside the shared part.
const BUFFER_ALIGN: usize = 4;
const UNPLACED: u32 = u32::MAX;

/// One entry of the planner's table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buffer {
    /// Bytes.
    pub size: u32,
    /// Place, from the start of the shared part.
    pub offset: u32,
    /// First step at which it lives.
    pub first: u16,
    /// Last step at which it lives.
    pub last: u16,
    /// The buffer that it shares with (itself where it does not).
    alias: u16,
    /// How many nodes read it.
    uses: u8,
    /// Whether its delta lies in a buffer of its own.
    delta_apart: bool,
}

/// Part of the shared memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

impl Span {
    pub(crate) fn range(self) -> Range<usize> {
        // An empty part anywhere overlaps nothing when it lies at 0.
        let offset = if self.len == 0 {
            0
        } else {
            self.offset as usize
        };
        offset..offset.saturating_add(self.len as usize)
    }
}

/// How many entries the planner's table needs for `model`, for inference or for its training plan.
pub fn table_len(model: &Model, train: bool) -> usize {
    Plan::table_len(model, train)
}

/// A model's buffers, each with its place.
#[derive(Debug)]
pub(crate) struct Plan<'b> {
    buffers: &'b mut [Buffer],
    tensors: usize,
    nodes: usize,
    /// Bytes of the shared part.
    pub(crate) shared: usize,
    pub(crate) training: Option<Training>,
}

impl<'b> Plan<'b> {
    /// How many entries the planner's table needs.
    pub(crate) fn table_len(model: &Model, train: bool) -> usize {
        let (tensors, nodes) = (model.tensors().len(), model.nodes().len());
        // Activations; for training also deltas, saved values and scratch.
        if train {
            2 * tensors + 2 * nodes
        } else {
            tensors
        }
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
        let training = train.then(|| Training::new(model)).transpose()?;
        let mut plan = Self {
            buffers,
            tensors: model.tensors().len(),
            nodes: model.nodes().len(),
            shared: 0,
            training,
        };
        plan.forward_lifetimes(model)?;
        if let Some(training) = training {
            plan.backward_lifetimes(model, &training)?;
        }
        plan.place()?;
        Ok(plan)
    }

    fn entry(&mut self, index: usize) -> Option<&mut Buffer> {
        self.buffers.get_mut(index)
    }

    fn root(&self, id: TensorId) -> usize {
        let mut index = usize::from(id);
        // An alias always points to an earlier root: one step would do.
        while let Some(buffer) = self.buffers.get(index) {
            let next = usize::from(buffer.alias);
            if next == index {
                break;
            }
            index = next;
        }
        index
    }

    fn live_until(&mut self, index: usize, step: usize) {
        let step = u16::try_from(step).unwrap_or(u16::MAX);
        if let Some(buffer) = self.entry(index) {
            buffer.last = buffer.last.max(step);
        }
    }

    fn live(
        &mut self,
        index: usize,
        bytes: usize,
        first: usize,
        last: usize,
    ) -> Result<(), PlanError> {
        let buffer = Buffer {
            size: u32::try_from(round_up(bytes, BUFFER_ALIGN)).map_err(|_| PlanError::TooLarge)?,
            offset: UNPLACED,
            first: u16::try_from(first).map_err(|_| PlanError::TooLarge)?,
            last: u16::try_from(last).map_err(|_| PlanError::TooLarge)?,
            ..self.buffers.get(index).copied().unwrap_or_default()
        };
        if let Some(entry) = self.entry(index) {
            *entry = buffer;
        }
        Ok(())
    }

    fn forward_lifetimes(&mut self, model: &Model) -> Result<(), PlanError> {
        for (index, buffer) in self.buffers.iter_mut().enumerate() {
            *buffer = Buffer {
                alias: u16::try_from(index).map_err(|_| PlanError::TooLarge)?,
                ..Buffer::default()
            };
        }
        for (index, tensor) in model.tensors().iter().enumerate() {
            if tensor.source == Source::Activation {
                self.live(index, tensor.bytes(), 0, 0)?;
            }
        }
        for node in model.nodes() {
            for &id in node.inputs.as_slice() {
                if let Some(buffer) = self.entry(usize::from(id)) {
                    buffer.uses = buffer.uses.saturating_add(1);
                }
            }
        }
        for (step, node) in model.nodes().iter().enumerate() {
            let output = usize::from(node.output);
            for &id in node.inputs.as_slice() {
                self.live_until(self.root(id), step);
            }
            match node.inputs.first() {
                Some(input) if self.shares(model, step, &node, input) => {
                    let root = self.root(input);
                    if let Some(buffer) = self.entry(output) {
                        buffer.alias = root as u16;
                        buffer.size = 0;
                    }
                }
                _ => {
                    if let Some(buffer) = self.entry(output) {
                        buffer.first = step as u16;
                        buffer.last = step as u16;
                    }
                }
            }
        }
        for &id in model.outputs().as_slice() {
            self.live_until(self.root(id), self.nodes);
        }
        Ok(())
    }

    /// Whether the output of `node` may lie where its input lies.
    fn shares(&self, model: &Model, step: usize, node: &Node, input: TensorId) -> bool {
        if !node.op.works_in_place() {
            return false;
        }
        if matches!(node.op, Op::Flatten) {
            return true;
        }
        // Nobody else may want the input: neither another node nor the caller.
        let mut index = input;
        loop {
            if self.uses(index) != 1 || model.outputs().as_slice().contains(&index) {
                return false;
            }
            let producer = model.nodes().iter().find(|node| node.output == index);
            match producer {
                Some(producer) if self.root(index) != usize::from(index) => {
                    let Some(source) = producer.inputs.first() else {
                        return false;
                    };
                    index = source;
                }
                _ => break,
            }
        }
        // Backward tells a derivative from the output; one buffer holds only one activation's output.
        match self.training {
            Some(training) if step >= training.first => {
                derivative_of(model, input) == Activation::None
            }
            _ => true,
        }
    }

    fn uses(&self, id: TensorId) -> u8 {
        self.buffers.get(usize::from(id)).map_or(0, |b| b.uses)
    }

    fn backward_lifetimes(&mut self, model: &Model, training: &Training) -> Result<(), PlanError> {
        for index in (training.first..self.nodes).rev() {
            let Some(node) = model.nodes().nth(index) else {
                break;
            };
            let backward = 2 * self.nodes - index;
            let passes_on = index > training.first;
            let Some(x) = node.inputs.first() else { break };
            let (x_root, y_root) = (self.root(x), self.root(node.output));
            if self.buffers.get(y_root).is_some_and(|b| b.delta_apart) {
                self.live_until(self.tensors + y_root, backward);
            } else {
                self.live_until(y_root, backward);
            }
            let x_tensor = model.tensor(x);
            match node.op {
                Op::MaxPool2d(_) if passes_on => {
                    let bytes = x_tensor.map_or(0, |t| t.bytes());
                    self.live(self.tensors + x_root, bytes, backward, backward)?;
                    if let Some(buffer) = self.entry(x_root) {
                        buffer.delta_apart = true;
                    }
                    let argmax = model.tensor(node.output).map_or(0, |t| t.elements());
                    self.live(2 * self.tensors + index, argmax, index, backward)?;
                }
                Op::MaxPool2d(_) => {}
                _ => self.live_until(x_root, backward),
            }
            if self.keeps_output(training, index, &node.op) {
                let bytes = model.tensor(node.output).map_or(0, |t| t.bytes());
                self.live(2 * self.tensors + index, bytes, index, backward)?;
            }
            if let (Op::Conv2d(_), true) = (node.op, passes_on) {
                let plane = x_tensor
                    .and_then(|t| t.shape.as_map())
                    .map_or(0, |[height, width, _]| height as usize * width as usize * 4);
                let scratch = 2 * self.tensors + self.nodes + index;
                self.live(scratch, plane, backward, backward)?;
            }
        }
        Ok(())
    }

    /// A softmax whose gradient is not formed together with the loss needs its output beside its delta.
    fn keeps_output(&self, training: &Training, index: usize, op: &Op) -> bool {
        let with_loss = index + 1 == self.nodes && training.spec.loss == Loss::CrossEntropy;
        matches!(op, Op::Softmax(_)) && !with_loss
    }

    fn place(&mut self) -> Result<(), PlanError> {
        while let Some(index) = self.largest_unplaced() {
            let Some(&buffer) = self.buffers.get(index) else {
                break;
            };
            let offset = self.lowest_gap(&buffer).ok_or(PlanError::TooLarge)?;
            if let Some(entry) = self.entry(index) {
                entry.offset = offset;
            }
            let end = offset.checked_add(buffer.size).ok_or(PlanError::TooLarge)?;
            self.shared = self.shared.max(end as usize);
        }
        Ok(())
    }

    fn largest_unplaced(&self) -> Option<usize> {
        let mut best: Option<(usize, &Buffer)> = None;
        for (index, buffer) in self.buffers.iter().enumerate() {
            let waits = buffer.size > 0 && buffer.offset == UNPLACED;
            if waits && best.is_none_or(|(_, best)| buffer.size > best.size) {
                best = Some((index, buffer));
            }
        }
        best.map(|(index, _)| index)
    }

    /// The lowest offset at which `buffer` meets no placed buffer that lives at the same time.
    fn lowest_gap(&self, buffer: &Buffer) -> Option<u32> {
        let mut offset = 0u32;
        loop {
            let end = offset.checked_add(buffer.size)?;
            let clash = self.buffers.iter().find(|other| {
                other.size > 0
                    && other.offset != UNPLACED
                    && other.first <= buffer.last
                    && buffer.first <= other.last
                    && other.offset < end
                    && offset < other.offset.saturating_add(other.size)
            });
            match clash {
                // Always further on: the clashing buffer ends after `offset`.
                Some(other) => offset = other.offset.checked_add(other.size)?,
                None => return Some(offset),
            }
        }
    }

    fn span(&self, index: usize, bytes: usize) -> Span {
        match self.buffers.get(index) {
            Some(buffer) if buffer.offset != UNPLACED => Span {
                offset: buffer.offset,
                // No buffer is larger than 2^31 bytes.
                len: bytes as u32,
            },
            _ => Span::default(),
        }
    }

    /// Where an activation lies.
    pub(crate) fn activation(&self, model: &Model, id: TensorId) -> Span {
        let bytes = model.tensor(id).map_or(0, |tensor| tensor.bytes());
        self.span(self.root(id), bytes)
    }

    /// Where the gradient of an activation lies.
    pub(crate) fn delta(&self, model: &Model, id: TensorId) -> Span {
        let bytes = model.tensor(id).map_or(0, |tensor| tensor.bytes());
        let root = self.root(id);
        match self.buffers.get(root) {
            Some(buffer) if buffer.delta_apart => self.span(self.tensors + root, bytes),
            _ => self.span(root, bytes),
        }
    }

    /// What node `index` keeps from its forward to its backward step.
    pub(crate) fn saved(&self, model: &Model, index: usize, node: &Node) -> Span {
        let entry = 2 * self.tensors + index;
        let output = model.tensor(node.output);
        let bytes = match node.op {
            Op::MaxPool2d(_) => output.map_or(0, |tensor| tensor.elements()),
            _ => output.map_or(0, |tensor| tensor.bytes()),
        };
        match self.buffers.get(entry) {
            Some(buffer) if buffer.size > 0 => self.span(entry, bytes),
            _ => Span::default(),
        }
    }

    /// What node `index` needs during its backward step only.
    pub(crate) fn scratch(&self, index: usize) -> Span {
        let entry = 2 * self.tensors + self.nodes + index;
        match self.buffers.get(entry) {
            Some(buffer) if buffer.size > 0 => self.span(entry, buffer.size as usize),
            _ => Span::default(),
        }
    }
}

/// The derivative that is due when the gradient at tensor `id` is written over it: its producer's activation.
/// Flatten hands its input's on, and so does max-pooling, whose output is one of its inputs.
pub(crate) fn derivative_of(model: &Model, id: TensorId) -> Activation {
    let mut id = id;
    // A path upwards visits no node twice.
    for _ in 0..model.nodes().len() {
        let Some(producer) = model.nodes().iter().find(|node| node.output == id) else {
            return Activation::None;
        };
        match (producer.op, producer.inputs.first()) {
            (Op::Flatten | Op::MaxPool2d(_), Some(input)) => id = input,
            (op, _) => return op.own_activation(),
        }
    }
    Activation::None
}
