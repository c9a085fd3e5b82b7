//! A node, resolved: all that running it takes, without looking at the graph again.

use crate::engine::{Learning, Pick, Sizes};
use crate::memory::{Memory, Span};
use crate::ops::{Activation, Facts};
use crate::stored::{Reader, Writer, stored};
use crate::tensor::{DType, TensorId};
use crate::train::int8::Clamp;

/// Runs a node forward. `None` where the memory does not hold what the step names: a checked model and a planned
/// arena never get there.
pub(crate) type Forward = fn(&Frame, &mut Memory) -> Option<()>;

/// Runs a node backward: its weights learn, and the gradient at its inputs is written.
pub(crate) type Backward = fn(&Frame, &BackFrame, &mut Learning, &mut Memory) -> Option<()>;

/// A function, of the same size on every machine: the arena's sums count it.
#[derive(Debug, Clone, Copy)]
#[repr(align(8))]
pub(crate) struct Code<F>(pub(crate) F);

/// One node, ready to run.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub(crate) forward: Code<Forward>,
    pub(crate) sizes: Sizes,
    /// Where its operands begin in the table of operands: inputs, output, parameters, constants, scratch, state.
    pub(crate) operands: u16,
    pub(crate) inputs: u8,
    /// How many parameters, four bits, and constants, four bits.
    pub(crate) weights: u8,
}

impl Step {
    /// What a table of steps is filled with before each is resolved.
    pub(crate) const NOTHING: Self = Self {
        forward: Code(|_, _| None),
        sizes: Sizes::None,
        operands: 0,
        inputs: 0,
        weights: 0,
    };

    /// How many operands a node of `inputs` inputs has, by what its operator tells of itself.
    pub(crate) fn operands_of(inputs: usize, facts: &Facts) -> usize {
        inputs + 3 + slots_of(&facts.parameters) + slots_of(&facts.constants)
    }

    fn parameters(&self) -> usize {
        usize::from(self.weights & 15)
    }

    fn constants(&self) -> usize {
        usize::from(self.weights >> 4)
    }

    /// How many operands.
    pub(crate) fn operands(&self) -> usize {
        usize::from(self.inputs) + 3 + self.parameters() + self.constants()
    }

    pub(crate) fn pack_weights(parameters: usize, constants: usize) -> u8 {
        // At most 4 and 2.
        (parameters as u8 & 15) | (constants as u8) << 4
    }
}

/// How many places a list of optional tensors takes: up to the last that is there.
pub(crate) fn slots_of(ids: &[Option<TensorId>]) -> usize {
    ids.iter()
        .rposition(Option::is_some)
        .map_or(0, |last| last + 1)
}

/// A step with what it runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'s> {
    pub(crate) step: &'s Step,
    /// Its own operands.
    pub(crate) operands: &'s [Span],
    /// Where it keeps what its backward step needs; nothing when it only infers.
    pub(crate) saved: Span,
    /// When training: what random masks depend on, different for each node and each sample.
    pub(crate) seed: Option<u32>,
}

impl<'s> Frame<'s> {
    pub(crate) fn new(step: &'s Step, operands: &'s [Span]) -> Option<Self> {
        let at = usize::from(step.operands);
        Some(Self {
            step,
            operands: operands.get(at..)?.get(..step.operands())?,
            saved: Span::NOTHING,
            seed: None,
        })
    }

    #[inline]
    fn operand(&self, index: usize) -> Span {
        self.operands.get(index).copied().unwrap_or(Span::NOTHING)
    }

    /// The first input.
    #[inline]
    pub(crate) fn x(&self) -> Span {
        self.operand(0)
    }

    /// The input at `index`.
    #[inline]
    pub(crate) fn input(&self, index: usize) -> Span {
        if index < usize::from(self.step.inputs) {
            self.operand(index)
        } else {
            Span::NOTHING
        }
    }

    /// The output.
    #[inline]
    pub(crate) fn y(&self) -> Span {
        self.operand(usize::from(self.step.inputs))
    }

    /// The parameter at `index`, in flash or in RAM; nothing where the node has none there.
    #[inline]
    pub(crate) fn parameter(&self, index: usize) -> Span {
        if index < self.step.parameters() {
            self.operand(usize::from(self.step.inputs) + 1 + index)
        } else {
            Span::NOTHING
        }
    }

    /// The constant at `index`, in flash.
    #[inline]
    pub(crate) fn constant(&self, index: usize) -> Span {
        if index < self.step.constants() {
            let before = usize::from(self.step.inputs) + 1 + self.step.parameters();
            self.operand(before + index)
        } else {
            Span::NOTHING
        }
    }

    /// Keeps a copy of the output for the backward step, where there is one.
    #[inline]
    pub(crate) fn save_output(&self, memory: &mut Memory) -> Option<()> {
        memory.copy(self.y(), self.saved.truncated(self.y().len))
    }

    /// Memory for the forward step.
    #[inline]
    pub(crate) fn scratch(&self) -> Span {
        self.operand(self.step.operands().wrapping_sub(2))
    }

    /// Memory that lasts from one run to the next.
    #[inline]
    pub(crate) fn state(&self) -> Span {
        self.operand(self.step.operands().wrapping_sub(1))
    }
}

/// Where the gradient at one input of a node is written.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// Where the operator writes it: over the input's values, or over a copy of them.
    pub(crate) at: Span,
    /// The gradient that it is then added to; nothing where `at` is that gradient.
    pub(crate) into: Span,
    /// The derivative due there: what made the input. `None` where no gradient is wanted.
    pub(crate) below: Option<Activation>,
    /// Whether the operator finds the input's values in it, copied.
    pub(crate) copy: bool,
    pub(crate) dtype: DType,
    /// The range of what made an int8 input.
    pub(crate) range: [i8; 2],
}

stored!(Slot {
    at: Span,
    into: Span,
    below: (option Activation),
    copy: bool,
    dtype: DType,
    range: [i8; 2],
});

impl Slot {
    pub(crate) const NOTHING: Self = Self {
        at: Span::NOTHING,
        into: Span::NOTHING,
        below: None,
        copy: false,
        dtype: DType::F32,
        range: [i8::MIN, i8::MAX],
    };

    /// Where an int8 input ends, for the gradient there.
    pub(crate) fn clamp(&self) -> Clamp {
        Clamp::new(self.below.unwrap_or(Activation::None), self.range)
    }
}

/// How a step runs backward.
#[derive(Debug, Clone, Copy)]
pub struct BackStep {
    /// Nothing where no gradient arrives.
    pub(crate) backward: Code<Backward>,
    pub(crate) delta: Span,
    pub(crate) saved: Span,
    pub(crate) scratch: Span,
    /// Where its slots begin in the table of slots.
    pub(crate) slots: u16,
    pub(crate) inputs: u8,
    /// Bit i: parameter i learns. Bit 4 + i: it is a bias.
    pub(crate) flags: u8,
    /// Its place in the table of picks, from 1; 0 where it learns in all channels.
    pub(crate) pick: u8,
    pub(crate) runs: bool,
    /// The type of its output.
    pub(crate) dtype: DType,
}

impl BackStep {
    /// All but its function, stored.
    pub(crate) fn write(&self, to: &mut Writer) {
        for span in [self.delta, self.saved, self.scratch] {
            span.write(to);
        }
        to.u16(self.slots);
        for number in [self.inputs, self.flags, self.pick] {
            to.u8(number);
        }
        to.bool(self.runs);
        self.dtype.write(to);
    }

    /// What [`write`](Self::write) wrote, with its function.
    pub(crate) const fn read(from: &mut Reader, backward: Backward) -> Self {
        Self {
            backward: Code(backward),
            delta: Span::read(from),
            saved: Span::read(from),
            scratch: Span::read(from),
            slots: from.u16(),
            inputs: from.u8(),
            flags: from.u8(),
            pick: from.u8(),
            runs: from.bool(),
            dtype: DType::read(from),
        }
    }

    /// What a table of backward steps is filled with before each is resolved.
    pub(crate) const NOTHING: Self = Self {
        backward: Code(|_, _, _, _| None),
        delta: Span::NOTHING,
        saved: Span::NOTHING,
        scratch: Span::NOTHING,
        slots: 0,
        inputs: 0,
        flags: 0,
        pick: 0,
        runs: false,
        dtype: DType::F32,
    };

    pub(crate) fn set_learns(&mut self, parameter: usize, is_bias: bool) {
        // At most four parameters.
        self.flags |= 1 << (parameter & 3) | u8::from(is_bias) << (4 + (parameter & 3));
    }

    pub(crate) fn is_bias(&self, parameter: usize) -> bool {
        self.flags >> (4 + (parameter & 3)) & 1 == 1
    }

    pub(crate) fn learns(&self, parameter: usize) -> bool {
        self.flags >> (parameter & 3) & 1 == 1
    }
}

/// A backward step with what it runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackFrame<'s> {
    pub(crate) back: &'s BackStep,
    /// Its own slots, one for each input.
    pub(crate) slots: &'s [Slot],
    /// The channels in which it learns, where not in all.
    pub(crate) pick: Option<&'s Pick>,
}

impl<'s> BackFrame<'s> {
    pub(crate) fn new(back: &'s BackStep, slots: &'s [Slot], picks: &'s [Pick]) -> Option<Self> {
        let at = usize::from(back.slots);
        let slots = slots.get(at..)?.get(..usize::from(back.inputs))?;
        let pick = usize::from(back.pick).checked_sub(1);
        let pick = pick.and_then(|pick| picks.get(pick));
        Some(Self { back, slots, pick })
    }

    /// The gradient at the output.
    #[inline]
    pub(crate) fn delta(&self) -> Span {
        self.back.delta
    }

    /// What the forward step kept.
    #[inline]
    pub(crate) fn saved(&self) -> Span {
        self.back.saved
    }

    /// Memory for the backward step.
    #[inline]
    pub(crate) fn scratch(&self) -> Span {
        self.back.scratch
    }

    /// The values of the input `index`: where the gradient is to overwrite them, or where they lie where no gradient
    /// is wanted.
    #[inline]
    pub(crate) fn values(&self, frame: &Frame, index: usize) -> Span {
        let slot = self.slot(index);
        if slot.below.is_some() {
            slot.at
        } else {
            frame.input(index)
        }
    }

    /// Where the gradient at the input `index` goes.
    #[inline]
    pub(crate) fn slot(&self, index: usize) -> Slot {
        self.slots.get(index).copied().unwrap_or(Slot::NOTHING)
    }
}
