//! How the engine runs a recurrent layer.
//!
//! | input | output | the layer |
//! |---|---|---|
//! | `[steps, features]` | `[steps, units]` | sequence to sequence |
//! | `[steps, features]` | `[units]` | sequence to one: the last h |
//! | `[features]` | `[steps, units]` | one to sequence: it reads the same row at each step |
//! | `[features]` | `[units]` | one step |
//!
//! Further inputs, `[units]` each, are the state at which a run begins: h, and for an LSTM then c.

use serde::{Deserialize, Serialize};

use super::{
    Buffers, Cell, Operation, Parameters, Saved, Walk, backward, backward_bias, backward_input,
    copy, forward, saved_len,
};
use crate::engine::{BackFrame, Frame, Learning, Learns, Operands};
use crate::kernels::part;
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::dense::Weights;
use crate::ops::{Check, Facts, Needs, NodeFault};
use crate::scalar::Scalar;
use crate::tensor::{DType, Shape, TensorId};

/// The parameters that all recurrent layers have. The shapes of input and output say what the layer reads and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurrent {
    /// W, `[features, gates · units]`.
    pub kernel: TensorId,
    /// U, `[units, gates · units]`.
    pub recurrent: TensorId,
    /// b, `[gates · units]`.
    pub bias: Option<TensorId>,
    /// Whether it goes from the last time to the first. A sequence that it gives keeps the input's time.
    pub reverse: bool,
    /// Whether a run begins in the state in which the last one ended; else it begins at 0, or at the state that
    /// further inputs give.
    pub stateful: bool,
    /// Backward, no gradient passes from one chunk of so many steps to the one before, counted from the last step
    /// walked; 0: it passes through the whole sequence. It never passes to the run before.
    pub truncate: u16,
    /// int8: the table of factors, int32; see [`int8`](super::int8).
    pub requant: Option<TensorId>,
}

/// The sizes of a recurrent layer, resolved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecurrentStep {
    steps: u16,
    inputs: u16,
    units: u16,
    truncate: u16,
    repeat: bool,
    reverse: bool,
    whole: bool,
    pub(crate) stateful: bool,
    /// int8: the zero points of x and of h.
    pub(crate) zeros: [i8; 2],
}

crate::stored::stored!(RecurrentStep {
    steps: u16,
    inputs: u16,
    units: u16,
    truncate: u16,
    repeat: bool,
    reverse: bool,
    whole: bool,
    stateful: bool,
    zeros: [i8; 2],
});

impl RecurrentStep {
    /// The sizes that the shapes of input and output tell of.
    pub(crate) fn of(
        check: &Check,
        reverse: bool,
        stateful: bool,
        truncate: u16,
    ) -> Result<Self, NodeFault> {
        let (x, y) = (check.x.shape, check.y.shape);
        let (steps, inputs, units) = match (x.dims(), y.dims()) {
            (&[inputs], &[units]) => (1, inputs, units),
            (&[inputs], &[steps, units]) => (steps, inputs, units),
            (&[steps, inputs], &[units]) => (steps, inputs, units),
            (&[steps, inputs], &[rows, units]) if rows == steps => (steps, inputs, units),
            (&[_] | &[_, _], _) => return Err(NodeFault::Shape(check.y_id)),
            _ => return Err(NodeFault::Shape(check.x_id)),
        };
        let narrow = |size: u32, id| u16::try_from(size).map_err(|_| NodeFault::Shape(id));
        Ok(Self {
            steps: narrow(steps, check.x_id)?,
            inputs: narrow(inputs, check.x_id)?,
            units: narrow(units, check.y_id)?,
            truncate,
            repeat: x.rank() == 1 && y.rank() == 2,
            reverse,
            whole: y.rank() == 2,
            stateful,
            // Checked when the model was loaded.
            zeros: [check.x, check.y].map(|tensor| tensor.zero_point() as i8),
        })
    }

    pub(crate) fn walk(&self) -> Walk {
        Walk {
            steps: usize::from(self.steps),
            inputs: usize::from(self.inputs),
            units: usize::from(self.units),
            repeat: self.repeat,
            reverse: self.reverse,
            whole: self.whole,
            truncate: usize::from(self.truncate),
        }
    }
}

impl Recurrent {
    /// The facts of a layer whose h · U has a bias of its own, or none.
    pub(crate) fn facts<C: Cell<f32>>(&self, recurrent_bias: Option<TensorId>) -> Facts {
        Facts {
            parameters: [
                Some(self.kernel),
                Some(self.recurrent),
                self.bias,
                recurrent_bias,
            ],
            biases: 1 << 2 | 1 << 3,
            // At most 4.
            gates: C::GATES as u8,
            constants: [self.requant, None],
            ..Facts::PLAIN
        }
    }

    /// Checks the rules, and finds the sizes.
    pub(crate) fn step<C: Cell<f32>>(
        &self,
        check: &Check,
        recurrent_bias: Option<TensorId>,
    ) -> Result<RecurrentStep, NodeFault> {
        let dtype = check.same_dtype()?;
        let int8 = dtype == DType::I8;
        let step = RecurrentStep::of(check, self.reverse, self.stateful, self.truncate)?;
        let [inputs, units] = [step.inputs, step.units].map(u32::from);
        // At most 4 · 65,535.
        let columns = C::GATES as u32 * units;
        let matrix = |rows: u32| match int8 {
            true => Shape::new(&[columns as usize, rows as usize]),
            false => Shape::new(&[rows as usize, columns as usize]),
        };
        let (kernel, recurrent) = matrix(inputs)
            .zip(matrix(units))
            .ok_or(NodeFault::Parameter)?;
        check.parameter(self.kernel, dtype, kernel)?;
        check.parameter(self.recurrent, dtype, recurrent)?;
        for bias in [self.bias, recurrent_bias].into_iter().flatten() {
            let dtype = if int8 { DType::I32 } else { dtype };
            check.parameter(bias, dtype, Shape::vector(columns))?;
        }
        match self.requant {
            Some(requant) if int8 => {
                // At most 20.
                let table = Shape::vector(C::REQUANT_I8 as u32);
                check.parameter(requant, DType::I32, table)?;
            }
            None if !int8 => {}
            _ => return Err(NodeFault::Parameter),
        }
        // An int8 layer begins at 0: states are wider than its output.
        let begins_at_zero = self.stateful || int8;
        let wanted = if begins_at_zero { 1 } else { 1 + C::STATES };
        if check.inputs() > wanted {
            let found = check.inputs();
            return Err(NodeFault::Arity { wanted, found });
        }
        for index in 1..check.inputs() {
            let (id, state) = check.input(index)?;
            if state.dtype != dtype {
                let found = state.dtype;
                let wanted = dtype;
                return Err(NodeFault::DType { id, wanted, found });
            }
            if state.shape != Shape::vector(units) {
                return Err(NodeFault::Shape(id));
            }
        }
        Ok(step)
    }
}

impl RecurrentStep {
    /// The memory that the layer needs.
    pub(crate) fn needs<C: Cell<f32>>(&self) -> Needs {
        let walk = self.walk();
        let (steps, units) = (walk.steps, walk.units);
        let bytes = |numbers: usize| numbers.saturating_mul(size_of::<f32>());
        let state = C::STATES * units;
        let gradients = match C::KEPT_GATES {
            0 => C::GRADIENTS.saturating_mul(steps).saturating_mul(units),
            _ => 0,
        };
        Needs {
            scratch: bytes(C::GATES * units + if self.stateful { 0 } else { state }),
            state: bytes(if self.stateful { state } else { 0 }),
            saved: bytes(saved_len::<f32, C>(steps, units)),
            back_scratch: bytes(state.saturating_add(gradients)),
            input_scratch: bytes(if self.repeat { 1 } else { steps }),
            sums: false,
        }
    }

    /// Multiply-accumulates of one run.
    pub(crate) fn macs<C: Cell<f32>>(&self) -> u64 {
        let rows = u64::from(self.inputs) + u64::from(self.units);
        u64::from(self.steps) * rows * C::GATES as u64 * u64::from(self.units)
    }
}

/// Runs the layer forward.
pub(crate) fn run<S: Scalar, C: Cell<S>>(
    cell: C,
    step: &RecurrentStep,
    frame: &Frame,
    memory: &mut Memory,
) -> Option<()> {
    let mut operands = Operation::<S>::borrow(cell, step, frame, memory);
    forward(cell, &step.walk(), operands.as_mut()?);
    Some(())
}

impl<'m, S: Scalar> Operation<'m, S> {
    /// Borrows what a layer runs on; its state is set to that from which the walk begins.
    ///
    /// A function of its own, whose stack is free again when the layer runs.
    #[inline(never)]
    fn borrow<C: Cell<S>>(
        _: C,
        step: &RecurrentStep,
        frame: &Frame,
        memory: &'m mut Memory,
    ) -> Option<Self> {
        let walk = step.walk();
        let reads = [
            frame.x(),
            frame.parameter(0),
            frame.parameter(1),
            frame.parameter(2),
            frame.parameter(3),
            frame.input(1),
            frame.input(2),
        ];
        let writes = [frame.y(), frame.scratch(), frame.state(), frame.saved];
        let (reads, [y, scratch, state, saved]) = memory.borrow(reads, writes)?;
        let [
            x,
            kernel,
            recurrent,
            bias,
            recurrent_bias,
            hidden,
            cell_state,
        ] = reads;
        let states = C::STATES * walk.units;
        let mut scratch = numbers_mut(scratch)?;
        let mut state = numbers_mut(state)?;
        if !step.stateful {
            (state, scratch) = scratch.split_at_mut_checked(states)?;
            state.fill(S::ZERO);
            copy(state, numbers(hidden)?);
            copy(state.get_mut(walk.units..)?, numbers(cell_state)?);
        }
        Some(Self {
            x: numbers(x)?,
            parameters: Parameters {
                kernel: numbers(kernel)?,
                recurrent: numbers(recurrent)?,
                bias: numbers(bias)?,
                recurrent_bias: numbers(recurrent_bias)?,
            },
            buffers: Buffers {
                state: state.get_mut(..states)?,
                scratch: scratch.get_mut(..C::GATES * walk.units)?,
                saved: match numbers_mut(saved)? {
                    [] => None,
                    saved => Some(Saved::new::<C>(&walk, saved)),
                },
            },
            y: numbers_mut(y)?,
        })
    }
}

/// Runs the layer backward: through time, then the state at which it began, then W with x, U, and the biases.
pub(crate) fn run_backward<S: Learns, C: Cell<S>>(
    cell: C,
    step: &RecurrentStep,
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    through_time(cell, step, frame, back, memory)?;
    initial_state::<S>(step, back, memory)?;
    learn_kernel(cell, step, frame, back, learning, memory)?;
    for index in 1..4 {
        if back.back.learns(index) {
            learn_at(cell, index, step, frame, back, learning, memory)?;
        }
    }
    Some(())
}

/// Backward through time: what was kept becomes the gradients.
#[inline(never)]
fn through_time<S: Learns, C: Cell<S>>(
    cell: C,
    step: &RecurrentStep,
    frame: &Frame,
    back: &BackFrame,
    memory: &mut Memory,
) -> Option<()> {
    let walk = step.walk();
    let reads = [back.delta(), frame.parameter(1)];
    let ([delta, recurrent], [saved, scratch]) =
        memory.borrow(reads, [back.saved(), back.scratch()])?;
    let initial = back.slots.iter().skip(1).any(|slot| slot.below.is_some());
    let mut kept = Kept::new::<C>(&walk, numbers_mut(saved)?, numbers_mut(scratch)?)?;
    let (recurrent, delta) = (numbers(recurrent)?, numbers(delta)?);
    let (saved, carry) = (&mut kept.saved, &mut *kept.carry);
    backward(cell, &walk, recurrent, delta, saved, carry, initial);
    Some(())
}

/// The gradient of the state at which the run began, where further inputs gave it.
#[inline(never)]
fn initial_state<S: Learns>(
    step: &RecurrentStep,
    back: &BackFrame,
    memory: &mut Memory,
) -> Option<()> {
    let units = usize::from(step.units);
    for (index, slot) in back.slots.iter().skip(1).enumerate() {
        if let Some(below) = slot.below {
            let ([scratch], [values]) = memory.borrow([back.scratch()], [slot.at])?;
            let gradients = part(numbers::<S>(scratch)?, index * units, units);
            for (value, gradient) in numbers_mut(values)?.iter_mut().zip(gradients) {
                *value = below.derivative(*gradient, *value);
            }
        }
    }
    Some(())
}

/// W learns, and the gradient at x is formed.
#[inline(never)]
fn learn_kernel<S: Learns, C: Cell<S>>(
    _: C,
    step: &RecurrentStep,
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let below = back.slot(0).below;
    if !back.back.learns(0) && below.is_none() {
        return Some(());
    }
    let walk = step.walk();
    let writes = [back.saved(), back.scratch(), back.values(frame, 0)];
    let mut operands = learning.borrow::<S>(frame, back, 0, memory, &[], &writes);
    let Operands {
        weights,
        writes: [saved, scratch, x],
        ..
    } = operands.as_mut()?;
    let kept = Kept::new::<C>(&walk, numbers_mut(saved)?, numbers_mut(scratch)?)?;
    let (gates, column) = (&*kept.saved.gates, kept.column);
    backward_input::<S, C>(&walk, numbers_mut(x)?, below, weights, gates, column);
    Some(())
}

/// U or a bias learns.
#[inline(never)]
fn learn_at<S: Learns, C: Cell<S>>(
    cell: C,
    index: usize,
    step: &RecurrentStep,
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let walk = step.walk();
    let writes = [back.saved(), back.scratch()];
    let mut operands = learning.borrow::<S>(frame, back, index, memory, &[], &writes);
    let Operands {
        weights,
        writes: [saved, scratch, _],
        ..
    } = operands.as_mut()?;
    let kept = Kept::new::<C>(&walk, numbers_mut(saved)?, numbers_mut(scratch)?)?;
    let (gates, hidden) = (&*kept.saved.gates, &*kept.saved.states);
    if let Weights::Learning(update) = weights {
        match index {
            1 => cell.learn_recurrent(&walk, update, gates, hidden),
            2 => backward_bias::<S, C>(&walk, update, gates),
            _ => cell.learn_recurrent_bias(&walk, update, gates),
        }
    }
    Some(())
}

/// What a backward step works on, in its parts.
struct Kept<'k, S> {
    saved: Saved<'k, S>,
    /// The gradient of the state.
    carry: &'k mut [S],
    /// For the gradient of the input.
    column: &'k mut [S],
}

impl<'k, S: Scalar> Kept<'k, S> {
    fn new<C: Cell<S>>(walk: &Walk, saved: &'k mut [S], scratch: &'k mut [S]) -> Option<Self> {
        let mut saved = Saved::new::<C>(walk, saved);
        let (carry, rest) = scratch.split_at_mut_checked(C::STATES * walk.units)?;
        let mut column = rest;
        if C::KEPT_GATES == 0 {
            let gradients = walk.steps * C::GRADIENTS * walk.units;
            (saved.gates, column) = column.split_at_mut_checked(gradients)?;
        }
        Some(Self {
            saved,
            carry,
            column,
        })
    }
}
