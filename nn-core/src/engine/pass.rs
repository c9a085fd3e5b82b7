//! One pass over the steps, forward or backward.

use crate::engine::{BackFrame, BackStep, Frame, Learning, Pick, Slot, Step};
use crate::memory::{Memory, Span, numbers, numbers_mut};
use crate::ops::Activation;
use crate::scalar::{Q16, Scalar, hash};
use crate::tensor::DType;

/// The planned steps of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passes<'a> {
    pub(crate) steps: &'a [Step],
    pub(crate) operands: &'a [Span],
    /// From the first node that learns on.
    pub(crate) back_steps: &'a [BackStep],
    pub(crate) slots: &'a [Slot],
    pub(crate) picks: &'a [Pick],
}

impl<'a> Passes<'a> {
    /// Runs all steps. `seed` is there when training; `observe` sees each step's number and frame when it has run.
    pub(crate) fn forward(
        &self,
        memory: &mut Memory,
        seed: Option<u32>,
        mut observe: impl FnMut(usize, &Frame, &Memory),
    ) -> Option<()> {
        let first = self.steps.len().saturating_sub(self.back_steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            let mut frame = Frame::new(step, self.operands)?;
            if let Some(seed) = seed {
                let back = index.checked_sub(first);
                let back = back.and_then(|index| self.back_steps.get(index));
                frame.saved = back.map_or(Span::NOTHING, |back| back.saved);
                // No graph has 2^32 nodes.
                frame.seed = Some(hash(seed, index as u32));
            }
            (step.forward.0)(&frame, memory)?;
            observe(index, &frame, memory);
        }
        Some(())
    }

    /// Whether there are steps below the first that learns.
    #[inline]
    pub(crate) fn has_nodes_below(&self) -> bool {
        self.steps.len() > self.back_steps.len()
    }

    /// The steps below the first that learns.
    pub(crate) fn below(&self) -> Self {
        let first = self.steps.len().saturating_sub(self.back_steps.len());
        Self {
            steps: self.steps.get(..first).unwrap_or(&[]),
            back_steps: &[],
            ..*self
        }
    }

    /// Runs backward from the last step to the first that learns; none, too, where the guard stops it.
    #[inline]
    pub(crate) fn backward(
        &self,
        memory: &mut Memory,
        learning: &mut Learning,
        seed: u32,
    ) -> Option<()> {
        let first = self.steps.len().saturating_sub(self.back_steps.len());
        for number in (0..self.back_steps.len()).rev() {
            let back = self.back_steps.get(number)?;
            if !back.runs {
                continue;
            }
            let index = first + number;
            let mut frame = Frame::new(self.steps.get(index)?, self.operands)?;
            frame.saved = back.saved;
            // No graph has 2^32 nodes.
            frame.seed = Some(hash(seed, index as u32));
            let back = BackFrame::new(back, self.slots, self.picks)?;
            if let Some(pick) = back.pick {
                learning.pick(pick, back.delta(), memory)?;
            }
            prepare(&frame, &back, learning, memory)?;
            (back.back.backward.0)(&frame, &back, learning, memory)?;
            add_shares(&back, memory)?;
        }
        Some(())
    }

    /// Where the state of a node lies.
    pub(crate) fn state(&self, node: usize) -> core::ops::Range<usize> {
        let frame = self.steps.get(node);
        let frame = frame.and_then(|step| Frame::new(step, self.operands));
        frame.map_or(0..0, |frame| frame.state().range())
    }

    /// Zeroes what the steps keep from run to run.
    pub(crate) fn clear_state(&self, memory: &mut Memory) {
        for step in self.steps {
            if let Some(frame) = Frame::new(step, self.operands) {
                memory.clear(frame.state());
            }
        }
    }

    /// Zeroes the running norms by which output channels are chosen.
    pub(crate) fn clear_norms(&self, memory: &mut Memory) {
        for pick in self.picks {
            memory.clear(pick.norms);
        }
    }
}

/// Asks the guard, and copies the inputs' values to where the gradients at them are to overwrite them.
#[inline(never)]
fn prepare(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    if learning.guard.has_looked() && back.back.flags != 0 {
        learning.guard.allows(frame, back, memory)?;
    }
    for (input, slot) in back.slots.iter().enumerate() {
        if slot.copy {
            memory.copy(frame.input(input), slot.at)?;
        }
    }
    Some(())
}

/// Adds the node's shares to the gradients at tensors that several nodes read.
#[inline(never)]
fn add_shares(back: &BackFrame, memory: &mut Memory) -> Option<()> {
    for slot in back.slots {
        if !slot.into.is_empty() {
            match slot.dtype {
                DType::Q16 => add_to::<Q16>(memory, slot.at, slot.into)?,
                _ => add_to::<f32>(memory, slot.at, slot.into)?,
            }
        }
    }
    Some(())
}

/// Adds one gradient to another, number by number.
#[inline(never)]
fn add_to<S: Scalar>(memory: &mut Memory, share: Span, sum: Span) -> Option<()> {
    let ([share], [sum]) = memory.borrow([share], [sum])?;
    for (sum, share) in numbers_mut::<S>(sum)?.iter_mut().zip(numbers::<S>(share)?) {
        *sum = sum.add(*share);
    }
    Some(())
}

/// As [`hand_down`], of an int8 tensor: whoever read what lies above has seen to the derivative.
pub(crate) fn hand_down_i8(
    _: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let slot = back.slot(0);
    if slot.below.is_none() {
        return Some(());
    }
    let ([delta], [x]) = memory.borrow([back.delta()], [slot.at])?;
    for (x, delta) in x.iter_mut().zip(delta) {
        *x = *delta;
    }
    Some(())
}

/// Backward of an operator that moves numbers one to one: the delta at x from the delta at y, times the derivative of
/// what made x. Nothing where the two share a buffer.
pub(crate) fn hand_down<S: Scalar>(
    _: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let slot = back.slot(0);
    let below = match slot.below {
        Some(below) if slot.at != back.delta() => below,
        _ => return Some(()),
    };
    let ([delta], [x]) = memory.borrow([back.delta()], [slot.at])?;
    for (x, delta) in numbers_mut::<S>(x)?.iter_mut().zip(numbers::<S>(delta)?) {
        *x = Activation::derivative(below, *delta, *x);
    }
    Some(())
}
