//! From a node and the plan to a step.

use crate::engine::step::slots_of;
use crate::engine::{BackStep, Code, HeadStep, Learnt, Pick, Slot, Step};
use crate::memory::{Kind, Plan, Span, channels, derivative_of, selection};
use crate::model::{Ids, MAX_NODE_INPUTS, Model, Node};
use crate::ops::{Activation, Check, OpSet, backward_code};
use crate::tensor::{DType, Source, TensorId};
use crate::train::Channels;

/// Resolves the nodes of a planned model.
pub(crate) struct Resolver<'r, 'm, K> {
    pub(crate) model: &'r Model<'m>,
    pub(crate) plan: &'r Plan<'r, K>,
    /// Where the shared part begins.
    pub(crate) base: u32,
}

impl<K: OpSet> Resolver<'_, '_, K> {
    /// The step of node `index`. Its operands, which begin at `at` in their table, are written to `operands`.
    #[inline(never)]
    pub(crate) fn step(
        &self,
        index: usize,
        node: &Node,
        at: usize,
        operands: &mut [Span],
    ) -> Option<Step> {
        let model = self.model;
        let check = Check::new(model.tensors(), &node.inputs, node.output).ok()?;
        let kernel = node.op.kernel::<K>()?;
        let (forward, sizes) = kernel.resolve(&check)?;
        let facts = node.op.facts();
        let inputs = node.inputs.as_slice();
        let parameters = slots_of(&facts.parameters);
        let constants = slots_of(&facts.constants);
        let index = u16::try_from(index).ok()?;
        let mut places = operands.iter_mut();
        let mut put = |span: Span| {
            if let Some(place) = places.next() {
                *place = span;
            }
        };
        for &id in inputs {
            put(self.activation(id));
        }
        put(self.activation(node.output));
        for id in facts.parameters.into_iter().take(parameters) {
            put(self.weight(id));
        }
        for id in facts.constants.into_iter().take(constants) {
            put(self.weight(id));
        }
        put(self.plan.extra(Kind::Scratch, index).after(self.base));
        // A caller may look at the state, which is not as long as its buffer. A buffer has less than 2^31 bytes.
        let state = self.plan.extra(Kind::State, index).after(self.base);
        put(state.truncated(kernel.needs(&check).state as u32));
        Some(Step {
            forward: Code(forward),
            sizes,
            operands: u16::try_from(at).ok()?,
            // At most four.
            inputs: inputs.len() as u8,
            weights: Step::pack_weights(parameters, constants),
        })
    }

    /// The backward step of node `index`. Its slots, which begin at `at` in their table, are written to `slots`.
    #[inline(never)]
    pub(crate) fn back_step(
        &self,
        index: usize,
        node: &Node,
        at: usize,
        slots: &mut [Slot],
    ) -> Option<BackStep> {
        let (model, plan) = (self.model, self.plan);
        let mut back = BackStep {
            slots: u16::try_from(at).ok()?,
            // At most four.
            inputs: node.inputs.as_slice().len() as u8,
            ..BackStep::NOTHING
        };
        if !plan.is_reached(node.output) {
            return Some(back);
        }
        let index = u16::try_from(index).ok()?;
        let check = Check::new(model.tensors(), &node.inputs, node.output).ok()?;
        back.backward = Code(backward_code::<K>(
            node.op.number(),
            check.x.dtype,
            check.y.dtype,
        )?);
        back.delta = plan.delta(model, node.output).after(self.base);
        back.saved = plan.extra(Kind::Saved, index).after(self.base);
        back.scratch = plan.extra(Kind::BackScratch, index).after(self.base);
        back.runs = true;
        back.dtype = check.y.dtype;
        let facts = node.op.facts();
        for (parameter, id) in facts.parameters() {
            if plan
                .training()
                .is_some_and(|training| training.learns(model, id))
            {
                back.set_learns(parameter, facts.is_bias(parameter));
            }
        }
        for ((input, slot), &id) in (0u16..).zip(slots).zip(node.inputs.as_slice()) {
            if !plan.is_reached(id) {
                continue;
            }
            let below = if facts.selects {
                Activation::None
            } else {
                derivative_of(model, id)
            };
            let range = self.range(id, below);
            let delta = plan.delta(model, id).after(self.base);
            let first = plan.is_first(model, id, index, input);
            let share = plan.extra(Kind::Share, 4 * index + input);
            *slot = Slot {
                at: if first { delta } else { share.after(self.base) },
                into: if first { Span::NOTHING } else { delta },
                below: Some(below),
                copy: plan.is_apart(id)
                    && range.is_none()
                    && !facts.selects
                    && (facts.needs_x || below != Activation::None),
                dtype: model.tensor(id)?.dtype,
                range: range.unwrap_or(Slot::NOTHING.range),
            };
            // A share is as long as what it is added to, not as its buffer.
            slot.at = slot.at.truncated(delta.len);
        }
        Some(back)
    }

    /// The range of an int8 tensor that `below` made; `None` for another.
    #[inline(never)]
    fn range(&self, id: TensorId, below: Activation) -> Option<[i8; 2]> {
        let tensor = self.model.tensor(id)?;
        // Checked when the model was loaded.
        let zero = tensor.zero_point() as i8;
        (tensor.dtype == DType::I8).then(|| below.range_i8(tensor.scale(), zero))
    }

    /// The channels in which node `index` learns; `None` where it learns in all.
    #[inline(never)]
    pub(crate) fn pick(&self, index: usize, node: &Node) -> Option<Pick> {
        let selection = selection(self.model, index).ok()?;
        let all = |part: Option<Channels>| part.unwrap_or(Channels::All);
        let (weight, bias) = (all(selection.weight), all(selection.bias));
        if weight == Channels::All && bias == Channels::All {
            return None;
        }
        let norms = self.plan.extra(Kind::Norms, u16::try_from(index).ok()?);
        let channels = channels(self.model, node);
        Some(Pick {
            weight,
            bias,
            // Buffers are rounded up; norms are one for each channel.
            norms: norms
                .after(self.base)
                .truncated(4 * u32::try_from(channels).ok()?),
            channels: u16::try_from(channels).ok()?,
            dtype: self.model.tensor(node.output)?.dtype,
        })
    }

    /// The tensors that learn, each once, in the order of the graph.
    #[inline(never)]
    pub(crate) fn learnt(&self, table: &mut [Learnt]) {
        let Some(training) = self.plan.training() else {
            return;
        };
        for (place, (id, offset, bytes)) in table.iter_mut().zip(training.learnt(self.model)) {
            let nodes = self.model.nodes().iter().enumerate();
            let mut uses = nodes.filter_map(|(index, node)| {
                let facts = node.op.facts();
                let mut parameters = facts.parameters();
                let (place, _) = parameters.find(|(_, parameter)| *parameter == id)?;
                let is_bias = facts.is_bias(place);
                let pick = self.pick(index, &node);
                let channels = pick.map(|pick| {
                    let part = if is_bias { pick.bias } else { pick.weight };
                    (part, pick.channels)
                });
                Some((is_bias, channels))
            });
            let (is_bias, channels) = uses.next().unwrap_or((false, None));
            let (channels, count) = channels.unwrap_or((Channels::All, 0));
            *place = Learnt {
                span: Span::ram(offset, bytes),
                dtype: self
                    .model
                    .tensor(id)
                    .map_or(DType::F32, |tensor| tensor.dtype),
                is_bias,
                channels,
                count,
            };
        }
    }

    /// Where the losses are formed. `None` where an output is missing.
    #[inline(never)]
    pub(crate) fn heads(&self, table: &mut [HeadStep]) -> Option<()> {
        let (model, plan) = (self.model, self.plan);
        for (step, head) in table.iter_mut().zip(model.plan()?.heads()) {
            let ids = model.outputs();
            let id = *ids.as_slice().get(usize::from(head.output))?;
            let delta = plan.delta(model, id).after(self.base);
            *step = HeadStep::new(model, &head, self.activation(id), delta)?;
        }
        Some(())
    }

    /// Where the graph's inputs or outputs lie.
    #[inline(never)]
    pub(crate) fn endpoints(&self, ids: Ids) -> [Span; MAX_NODE_INPUTS] {
        let mut spans = [Span::NOTHING; MAX_NODE_INPUTS];
        for (span, &id) in spans.iter_mut().zip(ids.as_slice()) {
            *span = self.activation(id);
        }
        spans
    }

    fn activation(&self, id: TensorId) -> Span {
        self.plan.activation(self.model, id).after(self.base)
    }

    /// Where a weight lies: in the arena where it learns, else in flash.
    #[inline(never)]
    fn weight(&self, id: Option<TensorId>) -> Span {
        let Some(id) = id else {
            return Span::NOTHING;
        };
        let training = self.plan.training();
        let learnt = training.and_then(|training| {
            let mut learnt = training.learnt(self.model);
            learnt.find(|(learnt, ..)| *learnt == id)
        });
        if let Some((_, offset, bytes)) = learnt {
            return Span::ram(offset, bytes);
        }
        match self.model.tensor(id) {
            Some(tensor) => match tensor.source {
                // A weights section is smaller than 2^31 bytes: see `load`.
                Source::Weight { offset } => Span::flash(offset, tensor.bytes() as u32),
                Source::Activation => Span::NOTHING,
            },
            None => Span::NOTHING,
        }
    }
}
