//! An int8 LSTM over packed weights: [`Lstm`](super::Lstm) in layout 1 or 2 of the blob, with the same outputs.
//!
//! See [`kernels::packed`](crate::kernels::packed::lstm) and `docs/int8-kernels.md`.

use serde::{Deserialize, Serialize};

use crate::engine::{Forward, Frame, Sizes};
use crate::kernels::packed::Layout;
use crate::kernels::packed::lstm::{self, TABLE};
use crate::kernels::part;
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::lstm::LstmCell;
use crate::ops::recurrent::{RecurrentStep, part_mut};
use crate::ops::{Check, Facts, Needs, NodeFault, OpSet, Operator};
use crate::tensor::{DType, Shape, TensorId};

/// Parameters of a packed LSTM. The shapes of input and output say what it reads and gives, as of all recurrent layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedLstm {
    /// The words of [`lstm::pack`]: int32 in layout 1, their bytes in layout 2.
    pub weight: TensorId,
    /// int32, the table of [`lstm::pack`].
    pub table: TensorId,
    /// Whether it goes from the last time to the first.
    pub reverse: bool,
    /// Whether a run begins in the state in which the last one ended.
    pub stateful: bool,
}

impl PackedLstm {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            constants: [Some(self.weight), Some(self.table)],
            ..Facts::PLAIN
        }
    }

    fn step(&self, check: &Check) -> Result<RecurrentStep, NodeFault> {
        RecurrentStep::of(check, self.reverse, self.stateful, 0)
    }

    /// Layout 1 where its weights have the type of none, which is refused.
    fn layout(&self, check: &Check) -> Layout {
        check.layout(self.weight).unwrap_or(Layout::Armv7em)
    }
}

/// Bytes of scratch, and of the state: c in 16 bits, then h less its zero point, so that 0 is where a state begins.
fn lengths(layout: Layout, step: &RecurrentStep) -> [usize; 2] {
    let walk = step.walk();
    let [_, scratch] = lstm::sizes(layout, walk.inputs, walk.units);
    [scratch.saturating_mul(size_of::<i32>()), 3 * walk.units]
}

impl<K: OpSet> Operator<K> for PackedLstm {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.x_dtype(DType::I8)?;
        check.same_dtype()?;
        let walk = self.step(check)?.walk();
        let [words, _] = lstm::sizes(self.layout(check), walk.inputs, walk.units);
        check.packed_words(self.weight, words)?;
        // 47 numbers.
        check.parameter(self.table, DType::I32, Shape::vector(TABLE as u32))?;
        Ok(())
    }

    fn needs(&self, check: &Check) -> Needs {
        self.step(check).map_or(Needs::default(), |step| {
            let [scratch, state] = lengths(self.layout(check), &step);
            let cell = if self.stateful {
                0
            } else {
                2 * step.walk().units
            };
            Needs {
                scratch: scratch.saturating_add(cell),
                state: if self.stateful { state } else { 0 },
                ..Needs::default()
            }
        })
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let step = self.step(check).ok()?;
        let layout = check.layout(self.weight)?;
        Some((code::<K>()?, Sizes::PackedLstm { layout, step }))
    }

    fn packed(&self, check: &Check) -> u64 {
        self.step(check).map_or(0, |step| {
            let walk = step.walk();
            (walk.inputs as u64 + walk.units as u64 + 1) * 4 * walk.units as u64
        })
    }

    fn macs(&self, check: &Check) -> u64 {
        self.step(check).map_or(0, |step| step.macs::<LstmCell>())
    }
}

/// The function that runs it forward.
pub(super) const fn code<K: OpSet>() -> Option<Forward> {
    if K::I8 { Some(run) } else { None }
}

fn run(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::PackedLstm { layout, step } = frame.step.sizes else {
        return None;
    };
    let walk = step.walk();
    let reads = [frame.x(), frame.constant(0), frame.constant(1)];
    let writes = [frame.y(), frame.scratch(), frame.state()];
    let ([x, weights, table], [y, scratch, state]) = memory.borrow(reads, writes)?;
    let (x, y): (&[i8], &mut [i8]) = (numbers(x)?, numbers_mut(y)?);
    let [scratch_len, _] = lengths(layout, &step);
    let (scratch, rest) = scratch.split_at_mut_checked(scratch_len)?;
    let (cell, hidden) = if step.stateful {
        state.split_at_mut_checked(2 * walk.units)?
    } else {
        rest.fill(0);
        (rest, &mut [][..])
    };
    let layer = lstm::Layer {
        layout,
        weights: numbers(weights)?,
        table: numbers(table)?.first_chunk()?,
        inputs: walk.inputs,
        units: walk.units,
    };
    let [_, zero] = step.zeros;
    let cell = numbers_mut(cell)?.get_mut(..walk.units)?;
    let hidden: &mut [i8] = numbers_mut(hidden)?;
    let mut lstm = lstm::Lstm::new(layer, zero, numbers_mut(scratch)?, cell)?;
    for (wide, h) in lstm.hidden().iter_mut().zip(hidden.iter()) {
        *wide = i16::from(h.wrapping_add(zero));
    }
    for index in 0..walk.steps {
        lstm.step(part(x, walk.x_at(index, 0), walk.inputs));
        if let Some(at) = walk.y_at(index) {
            narrow(part_mut(y, at, walk.units), lstm.hidden(), 0);
        }
    }
    narrow(hidden, lstm.hidden(), zero);
    Some(())
}

/// h less `zero`, in 8 bits, which hold it.
fn narrow(to: &mut [i8], hidden: &[i16], zero: i8) {
    for (to, h) in to.iter_mut().zip(hidden) {
        *to = (*h as i8).wrapping_sub(zero);
    }
}
