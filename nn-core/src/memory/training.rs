//! Which weights learn, and from which node on the gradient is wanted.

use crate::engine::MAX_TOP_CHANNELS;
use crate::memory::{PlanError, derivative_of};
use crate::model::{Model, Node};
use crate::ops::{Activation, MAX_PARAMETERS, Op};
use crate::tensor::{DType, TensorId};
use crate::train::{Channels, Ending, Head, Loss, MAX_HEADS, Selection, SpecError};

/// Learnt tensors lie side by side, each on a boundary of so many bytes.
pub(crate) const LEARNT_ALIGN: usize = 4;

/// Why a plan in int8 sums gradients that does not say so.
const SHARED: &str = "a weight that serves at several places";

/// What the backward pass of a model is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Training {
    /// The first node that learns: no gradient passes below.
    pub(crate) first: usize,
    /// Bytes of all learnt weights.
    pub(crate) weights: u32,
    /// How many numbers are kept for each learnt weight besides itself.
    pub(crate) copies: u8,
    /// Whether gradients are summed first, and the optimizer steps later.
    pub(crate) accumulates: bool,
    /// The outputs at which a loss is formed.
    heads: [Option<TensorId>; MAX_HEADS],
    /// Bit i: the loss of head i forms the gradient at the input of the softmax that makes the output.
    fused: u8,
    /// Whether weights in int8 learn.
    pub(crate) int8: bool,
}

impl Training {
    #[inline(never)]
    pub(crate) fn new(model: &Model) -> Result<Self, PlanError> {
        let plan = model.plan().ok_or(PlanError::NoTrainSpec)?;
        plan.check().map_err(PlanError::Spec)?;
        let rates = plan.rates().ok_or(PlanError::NoTrainSpec)?;
        let mut training = Self {
            first: usize::MAX,
            weights: 0,
            copies: rates.copies() as u8,
            accumulates: rates.accumulates(),
            heads: [None; MAX_HEADS],
            fused: 0,
            int8: false,
        };
        for (index, (place, head)) in training.heads.iter_mut().zip(plan.heads()).enumerate() {
            let id = check_head(model, &head)?;
            *place = Some(id);
            if head.loss == Loss::CrossEntropy {
                training.fused |= 1 << index;
            }
        }
        for (index, node) in model.nodes().iter().enumerate() {
            if training.node_learns(model, &node.op) {
                training.first = training.first.min(index);
            }
            check_channels(model, index, &node)?;
        }
        training.measure(model)?;
        if training.int8 {
            let fault = rates
                .beyond_plain()
                .or(training.accumulates.then_some(SHARED));
            if let Some(setting) = fault {
                return Err(PlanError::Int8 { setting });
            }
        }
        if training.first == usize::MAX {
            return Err(PlanError::NothingToTrain);
        }
        // Sums of several samples, of several choices of channels, would belong to no choice.
        if training.accumulates {
            for node in 0..model.nodes().len() {
                if selection(model, node).unwrap_or_default().picks_top() {
                    return Err(PlanError::Channels { node });
                }
            }
        }
        Ok(training)
    }

    /// Finds the bytes of what learns, and whether a weight that serves at two places has its gradient summed before
    /// it learns.
    #[inline(never)]
    fn measure(&mut self, model: &Model) -> Result<(), PlanError> {
        let (mut weights, mut is_shared, mut int8) = (Some(0u32), false, false);
        for (id, offset, bytes) in self.learnt(model) {
            weights = offset.checked_add(bytes.next_multiple_of(LEARNT_ALIGN as u32));
            is_shared |= is_shared_weight(model, id);
            int8 |= is_integer(model, id);
        }
        self.int8 = int8;
        self.weights = weights
            .filter(|end| *end <= i32::MAX as u32)
            .ok_or(PlanError::TooLarge)?;
        if is_shared && !self.accumulates {
            self.accumulates = true;
            self.copies += 1;
        }
        Ok(())
    }

    /// Whether a weight tensor learns: the plan names it at a node of which it is a parameter.
    #[inline(never)]
    pub(crate) fn learns(&self, model: &Model, id: TensorId) -> bool {
        let dtype = model.tensor(id).map(|tensor| tensor.dtype);
        let Some(dtype) = dtype else { return false };
        let is_int8 = matches!(dtype, DType::I8 | DType::I32);
        for (index, node) in model.nodes().iter().enumerate() {
            let [weights, biases] = uses(&node.op, id);
            if weights + biases > 0 {
                if is_int8 && !model.learns_in_int8(&node.op) {
                    return false;
                }
                let selection = selection(model, index).unwrap_or_default();
                let named = weights > 0 && selection.weight.is_some();
                if named || (biases > 0 && selection.bias.is_some()) {
                    return true;
                }
            }
        }
        false
    }

    /// Whether a parameter of this operator learns.
    #[inline(never)]
    pub(crate) fn node_learns(&self, model: &Model, op: &Op) -> bool {
        let facts = op.facts();
        let mut parameters = facts.parameters();
        parameters.any(|(_, id)| self.learns(model, id))
    }

    /// The tensors that learn, each once, in the order of the graph: (id, offset, bytes).
    pub(crate) fn learnt<'a>(&'a self, model: &'a Model<'a>) -> LearntTensors<'a> {
        LearntTensors {
            training: self,
            model,
            node: 0,
            place: 0,
            end: 0,
        }
    }

    /// The outputs at which a loss is formed.
    pub(crate) fn heads(&self) -> impl Iterator<Item = TensorId> {
        self.heads.into_iter().flatten()
    }

    /// Whether a loss is formed at this tensor.
    pub(crate) fn is_head(&self, id: TensorId) -> bool {
        self.heads().any(|head| head == id)
    }

    /// Whether the loss at this output forms the gradient at the input of the softmax that makes it.
    pub(crate) fn is_fused(&self, id: TensorId) -> bool {
        let heads = self.heads.iter().enumerate();
        let mut fused = heads.filter(|(index, _)| self.fused >> index & 1 == 1);
        fused.any(|(_, head)| *head == Some(id))
    }
}

/// What of node `index` the plan names.
#[inline(never)]
pub(crate) fn selection(model: &Model, index: usize) -> Result<Selection, SpecError> {
    let Some(plan) = model.plan() else {
        return Ok(Selection::default());
    };
    let mut later = Some(0);
    for (other, node) in model.nodes().iter().enumerate() {
        if other > index && model.is_trainable(&node.op) {
            later = later.map(|later| later + 1);
        } else if other == index && model.learns_in_int8(&node.op) && !model.is_trainable(&node.op)
        {
            later = None;
        }
    }
    plan.selection(index, later)
}

/// The output at which a loss is to be formed.
#[inline(never)]
fn check_head(model: &Model, head: &Head) -> Result<TensorId, PlanError> {
    let fault = PlanError::Loss {
        output: head.output,
    };
    let outputs = model.outputs();
    let id = outputs.as_slice().get(usize::from(head.output)).copied();
    let id = id.ok_or(fault)?;
    let output = model.tensor(id).ok_or(fault)?;
    let is_real = matches!(output.dtype, DType::F32 | DType::Q16);
    if !is_real || !head.loss.accepts(ending(model, id)) {
        return Err(fault);
    }
    // The gradient is formed below the softmax: nobody else may add to it above.
    let mut nodes = model.nodes().iter();
    if head.loss == Loss::CrossEntropy && nodes.any(|node| node.inputs.as_slice().contains(&id)) {
        return Err(fault);
    }
    if let Some(weights) = head.class_weights {
        let weights = model.tensor(weights).ok_or(fault)?;
        let classes = output.shape.dims().last().copied();
        let fits = weights.dtype == DType::F32
            && weights.is_weight()
            && weights.shape.rank() == 1
            && weights.shape.dims().last().copied() == classes;
        let (values, _) = model.weight_bytes(&weights).as_chunks::<4>();
        let mut values = values.iter().map(|bytes| f32::from_le_bytes(*bytes));
        if !fits || !values.all(|value| value.is_finite() && value >= 0.0) {
            return Err(fault);
        }
    }
    Ok(id)
}

/// What makes an output.
#[inline(never)]
pub(crate) fn ending(model: &Model, id: TensorId) -> Ending {
    let producer = model.nodes().iter().find(|node| node.output == id);
    match producer.map(|node| node.op) {
        Some(Op::Softmax(None)) => Ending::Softmax,
        Some(Op::LogSoftmax(None)) => Ending::LogSoftmax,
        _ if derivative_of(model, id) == Activation::Sigmoid => Ending::Sigmoid,
        _ => Ending::Other,
    }
}

/// Output channels can be chosen where the weight's last dimension is the output's, or holds it once for each gate.
#[inline(never)]
fn check_channels(model: &Model, index: usize, node: &Node) -> Result<(), PlanError> {
    let selection = selection(model, index).map_err(PlanError::Spec)?;
    let parts = [selection.weight, selection.bias];
    let mut chosen = parts.iter().flatten().filter(|c| **c != Channels::All);
    if chosen.next().is_none() || !model.is_trainable(&node.op) {
        return Ok(());
    }
    let last = |id: TensorId| {
        let tensor = model.tensor(id)?;
        tensor.shape.dims().last().copied()
    };
    let facts = node.op.facts();
    let mut parameters = facts.parameters();
    if model.learns_in_int8(&node.op) {
        return Err(PlanError::Channels { node: index });
    }
    let few = !selection.picks_top() || last(node.output) <= Some(MAX_TOP_CHANNELS as u32);
    let columns = last(node.output).and_then(|last| last.checked_mul(u32::from(facts.gates)));
    if few && parameters.all(|(_, id)| last(id) == columns) {
        Ok(())
    } else {
        Err(PlanError::Channels { node: index })
    }
}

/// Walks the tensors that learn: (id, offset, bytes).
///
/// Written out, as a chain of iterators takes a frame for each link.
#[derive(Debug)]
pub(crate) struct LearntTensors<'a> {
    training: &'a Training,
    model: &'a Model<'a>,
    node: usize,
    place: usize,
    end: u32,
}

impl Iterator for LearntTensors<'_> {
    type Item = (TensorId, u32, u32);

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        let model = self.model;
        loop {
            let (node, place) = (self.node, self.place);
            let parameters = parameters(model, node)?;
            let Some(&parameter) = parameters.get(place) else {
                (self.node, self.place) = (node + 1, 0);
                continue;
            };
            self.place += 1;
            let Some(id) = parameter else { continue };
            if first_use(model, id) != Some((node, place)) || !self.training.learns(model, id) {
                continue;
            }
            // A tensor has less than 2^31 bytes; too many of them are found by `Training::new`.
            let bytes = model.tensor(id).map_or(0, |tensor| tensor.bytes()) as u32;
            let offset = self.end;
            self.end = offset.saturating_add(bytes.next_multiple_of(LEARNT_ALIGN as u32));
            return Some((id, offset, bytes));
        }
    }
}

/// The parameters of node `index`.
#[inline(never)]
fn parameters(model: &Model, index: usize) -> Option<[Option<TensorId>; MAX_PARAMETERS]> {
    let node = model.nodes().nth(index)?;
    Some(node.op.facts().parameters)
}

/// The first place where a weight serves as a parameter: (node, parameter).
#[inline(never)]
fn first_use(model: &Model, id: TensorId) -> Option<(usize, usize)> {
    for (index, node) in model.nodes().iter().enumerate() {
        let mut parameters = node.op.facts().parameters.into_iter();
        if let Some(place) = parameters.position(|parameter| parameter == Some(id)) {
            return Some((index, place));
        }
    }
    None
}

/// Whether a weight is of int8, or a bias of such.
#[inline(never)]
fn is_integer(model: &Model, id: TensorId) -> bool {
    let tensor = model.tensor(id);
    tensor.is_some_and(|tensor| matches!(tensor.dtype, DType::I8 | DType::I32))
}

/// Whether a weight serves at several places.
#[inline(never)]
fn is_shared_weight(model: &Model, id: TensorId) -> bool {
    let mut count = 0;
    for node in model.nodes() {
        let [weights, biases] = uses(&node.op, id);
        count += weights + biases;
    }
    count > 1
}

/// How often a weight serves an operator as a weight, and as a bias.
#[inline(never)]
fn uses(op: &Op, id: TensorId) -> [usize; 2] {
    let facts = op.facts();
    let (mut weights, mut biases) = (0, 0);
    for (place, parameter) in facts.parameters() {
        if parameter == id {
            if facts.is_bias(place) {
                biases += 1;
            } else {
                weights += 1;
            }
        }
    }
    [weights, biases]
}
