//! What the int8 recurrent layers share: the sums of the gates in 16 bits, the walk, and the node.
//!
//! With int8 x, h and weights, and for each gate two factors, each row of a gate is
//!
//! z = sat(sat(rescale(Σ W · (x − zero_x) + b)) + sat(rescale(Σ U · (h − zero_h) + b′)))
//!
//! where sat holds a number to 16 bits. z has 12 fractional bits, but for a layer with ReLU. Weights are output-major,
//! gate after gate: W `[gates · units, inputs]`, U `[gates · units, units]`, each gate's with one scale and zero point
//! 0; biases are int32. The factors lie in one int32 tensor, see the cells. Source: TensorFlow Lite, the integer LSTM.

mod gru;
mod lstm;
mod rnn;
#[cfg(test)]
mod tests;

pub use gru::GruI8;
pub use lstm::LstmI8;
pub use rnn::RnnI8;

use super::{RecurrentStep, Walk, copy, part_mut};
use crate::engine::Frame;
use crate::fixed_point::Rescale;
#[cfg(mote_helium)]
use crate::kernels::helium::gates as helium;
#[cfg(not(mote_helium))]
use crate::kernels::{ROWS_I8, dot_rows_i8};
use crate::kernels::{part, saturate_i16};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::Needs;

/// The weights of an int8 layer. Empty biases count as 0.
#[derive(Debug, Clone, Copy)]
pub struct WeightsI8<'w> {
    /// W, `[gates · units, inputs]`.
    pub kernel: &'w [i8],
    /// U, `[gates · units, units]`.
    pub recurrent: &'w [i8],
    /// b, `[gates · units]`, in steps of scale_x · the scale of the gate's W.
    pub bias: &'w [i32],
    /// b′, `[gates · units]`, in steps of scale_h · the scale of the gate's U.
    pub recurrent_bias: &'w [i32],
    /// The factors: see the cells.
    pub requant: &'w [i32],
    /// The zero points of x and of h.
    pub zeros: [i8; 2],
}

/// The state of an int8 layer, which a run takes on. It begins with h at its zero point and the rest at 0.
#[derive(Debug)]
pub struct StateI8<'s> {
    /// h, `[units]`.
    pub hidden: &'s mut [i8],
    /// What the cell keeps in 16 bits: `CellI8::WIDE` vectors of `units` numbers.
    pub wide: &'s mut [i16],
}

/// One step of an int8 recurrent layer.
pub trait CellI8: Copy {
    /// Gates, each of `units` rows of the weights.
    const GATES: usize;
    /// Vectors of the state in 16 bits.
    const WIDE: usize;
    /// Vectors of `units` 16-bit numbers that a step works on.
    const SCRATCH: usize;
    /// Length of the table of factors.
    const REQUANT: usize;

    /// Takes the state one step on.
    fn step(&self, x: &[i8], weights: &WeightsI8<'_>, state: &mut StateI8<'_>, scratch: &mut [i16]);

    /// Whether the table has its length, and each number its range.
    fn check(requant: &[i32]) -> bool {
        requant.len() == Self::REQUANT && are_factors(requant)
    }
}

/// Runs the walk: y is h after each step, or after the last. `scratch` is of `C::SCRATCH` · units numbers.
///
/// Step by step, with the state kept by the caller, gives the bits of a run over the whole sequence.
pub fn forward<C: CellI8>(
    cell: C,
    walk: &Walk,
    x: &[i8],
    weights: &WeightsI8<'_>,
    state: &mut StateI8<'_>,
    scratch: &mut [i16],
    y: &mut [i8],
) {
    for step in 0..walk.steps {
        let x = part(x, walk.x_at(step, 0), walk.inputs);
        cell.step(x, weights, state, scratch);
        if let Some(at) = walk.y_at(step) {
            copy(part_mut(y, at, walk.units), state.hidden);
        }
    }
}

/// Multipliers in [2³⁰, 2³¹) or 0, each followed by a shift in −31..=30.
fn are_factors(table: &[i32]) -> bool {
    let in_range = |pair: &[i32]| match *pair {
        [multiplier, shift] => {
            (multiplier == 0 || multiplier >= 1 << 30) && (-31..=30).contains(&shift)
        }
        _ => false,
    };
    table.chunks(2).all(in_range)
}

/// The factor number `index` of a table.
fn factor(table: &[i32], index: usize) -> Rescale {
    match *part(table, 2 * index, 2) {
        [multiplier, shift] => Rescale {
            multiplier,
            // Of 8 bits; in range where the table was checked.
            shift: shift.clamp(-31, 30) as i8,
        },
        _ => Rescale {
            multiplier: 0,
            shift: 0,
        },
    }
}

/// z += sat(rescale(Σ weight · (x − zero) + bias)) for the rows from `first`, held to 16 bits.
fn add_product(
    x: &[i8],
    zero: i8,
    weight: &[i8],
    bias: &[i32],
    first: usize,
    factor: Rescale,
    z: &mut [i16],
) {
    let inputs = x.len().max(1);
    let weight = weight.get(first * inputs..).unwrap_or(&[]);
    let bias = bias.get(first..).unwrap_or(&[]);
    #[cfg(mote_helium)]
    helium::add_product(x, zero, weight, bias, factor, z);
    #[cfg(not(mote_helium))]
    add_rows(x, zero, weight, bias, factor, z);
}

/// The same of the first rows.
#[cfg(not(mote_helium))]
#[inline(always)]
fn add_rows(x: &[i8], zero: i8, weight: &[i8], bias: &[i32], factor: Rescale, z: &mut [i16]) {
    let inputs = x.len().max(1);
    let mut biases = bias.iter();
    let mut rows = weight.chunks_exact(inputs);
    for z in z.chunks_mut(ROWS_I8) {
        let mut sums = core::array::from_fn(|_| biases.next().copied().unwrap_or(0));
        let block = core::array::from_fn(|_| rows.next().unwrap_or(&[]));
        dot_rows_i8(x, block, i32::from(zero), &mut sums);
        for (z, &sum) in z.iter_mut().zip(&sums) {
            *z = z.saturating_add(saturate_i16(factor.apply(sum)));
        }
    }
}

/// z of the gate number `gate`.
fn gate_sums(x: &[i8], h: &[i8], weights: &WeightsI8<'_>, gate: usize, z: &mut [i16]) {
    z.fill(0);
    input_product(x, weights, gate, z);
    hidden_product(h, weights, gate, z);
}

/// z += W · x + b of a gate.
fn input_product(x: &[i8], weights: &WeightsI8<'_>, gate: usize, z: &mut [i16]) {
    let [zero, _] = weights.zeros;
    let (first, factor) = (gate * z.len(), factor(weights.requant, 2 * gate));
    add_product(x, zero, weights.kernel, weights.bias, first, factor, z);
}

/// z += U · h + b′ of a gate.
fn hidden_product(h: &[i8], weights: &WeightsI8<'_>, gate: usize, z: &mut [i16]) {
    let [_, zero] = weights.zeros;
    let (first, factor) = (gate * z.len(), factor(weights.requant, 2 * gate + 1));
    let bias = weights.recurrent_bias;
    add_product(h, zero, weights.recurrent, bias, first, factor, z);
}

/// Bytes of the state: 16-bit vectors, then h less its zero point, so that 0 is where a state begins.
const fn state_len<C: CellI8>(units: usize) -> usize {
    (2 * C::WIDE + 1) * units
}

/// The memory that a node needs.
pub(crate) fn needs<C: CellI8>(step: &RecurrentStep) -> Needs {
    let units = step.walk().units;
    let (scratch, state) = (2 * C::SCRATCH * units, state_len::<C>(units));
    Needs {
        scratch: scratch + if step.stateful { 0 } else { state },
        state: if step.stateful { state } else { 0 },
        ..Needs::default()
    }
}

/// Runs a node.
pub(crate) fn run<C: CellI8>(
    cell: C,
    step: &RecurrentStep,
    frame: &Frame,
    memory: &mut Memory,
) -> Option<()> {
    let mut operation = Operation::borrow(cell, step, frame, memory);
    let Operation {
        x,
        weights,
        state,
        scratch,
        y,
    } = operation.as_mut()?;
    let [_, zero] = step.zeros;
    for h in state.hidden.iter_mut() {
        *h = h.wrapping_add(zero);
    }
    forward(cell, &step.walk(), x, weights, state, scratch, y);
    for h in state.hidden.iter_mut() {
        *h = h.wrapping_sub(zero);
    }
    Some(())
}

/// What a node works on.
struct Operation<'m> {
    x: &'m [i8],
    weights: WeightsI8<'m>,
    state: StateI8<'m>,
    scratch: &'m mut [i16],
    y: &'m mut [i8],
}

impl<'m> Operation<'m> {
    /// Borrows it. A function of its own, whose stack is free again when the layer runs.
    #[inline(never)]
    fn borrow<C: CellI8>(
        _: C,
        step: &RecurrentStep,
        frame: &Frame,
        memory: &'m mut Memory,
    ) -> Option<Self> {
        let units = step.walk().units;
        let reads = [
            frame.x(),
            frame.parameter(0),
            frame.parameter(1),
            frame.parameter(2),
            frame.parameter(3),
            frame.constant(0),
        ];
        let writes = [frame.y(), frame.scratch(), frame.state()];
        let ([x, kernel, recurrent, bias, recurrent_bias, requant], [y, scratch, state]) =
            memory.borrow(reads, writes)?;
        let (scratch, rest) = scratch.split_at_mut_checked(2 * C::SCRATCH * units)?;
        let state = if step.stateful {
            state
        } else {
            rest.fill(0);
            rest
        };
        let state = state.get_mut(..state_len::<C>(units))?;
        let (wide, hidden) = state.split_at_mut_checked(2 * C::WIDE * units)?;
        Some(Self {
            x: numbers(x)?,
            weights: WeightsI8 {
                kernel: numbers(kernel)?,
                recurrent: numbers(recurrent)?,
                bias: numbers(bias)?,
                recurrent_bias: numbers(recurrent_bias)?,
                requant: numbers(requant)?,
                zeros: step.zeros,
            },
            state: StateI8 {
                hidden: numbers_mut(hidden)?,
                wide: numbers_mut(wide)?,
            },
            scratch: numbers_mut(scratch)?,
            y: numbers_mut(y)?,
        })
    }
}
