//! What the recurrent layers share: the walk over a sequence, and backpropagation through time.
//!
//! With the kernel W `[inputs, gates · units]`, the recurrent kernel U `[units, gates · units]` and the state h, a
//! layer forms at each step z = x_t · W + h · U + b, and its cell makes the gates and the next state of z. The
//! input is `[steps, inputs]` (or one row that is read at each step), the output `[steps, units]` or the last h.
//! In reverse the walk begins at the last time; a whole output keeps the input's time.
//!
//! Backward needs no copy of the weights' gradients. It goes back in time and overwrites the kept gates by dz, the
//! gradient at the sums z; each weight then learns once, from Σ_t x_t\[k\] · dz_t\[c\] or Σ_t h_{t−1}\[j\] · dz_t\[c\].
//! What is kept, in numbers: see `saved_len`. Source: P. Werbos, "Backpropagation through time: what it does and
//! how to do it", Proceedings of the IEEE 78 (10), 1990.
//!
//! Order: z sums the bias, then the products of x, then those of h. Sums over time run from the first step walked to
//! the last. The gradient at h is what comes directly, then Σ_c U\[j, c\] · dz\[c\], then the output's delta.

pub mod int8;
mod learning;
mod node;
#[cfg(test)]
mod tests;

pub(crate) use learning::{Rows, backward_bias, backward_input};
pub use node::Recurrent;
pub(crate) use node::{RecurrentStep, run, run_backward};

use crate::kernels::{BLOCK, accumulate, part};
use crate::scalar::Scalar;
use crate::train::Update;

/// Rows that are summed side by side.
const ROWS: usize = 4;

/// How a layer goes through its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    /// How many steps.
    pub steps: usize,
    /// Features of the input at each step.
    pub inputs: usize,
    /// Numbers of h.
    pub units: usize,
    /// The input is one row, read at each step.
    pub repeat: bool,
    /// From the last time to the first.
    pub reverse: bool,
    /// The output is h after each step, not only after the last.
    pub whole: bool,
    /// Backward, no gradient passes from one chunk of so many steps to the one before. Chunks are counted from the
    /// last step walked, so that the last output reaches so many steps back. 0: it passes everywhere.
    pub truncate: usize,
}

impl Walk {
    /// The time at which the walk is after `step` steps.
    #[inline]
    fn time(&self, step: usize) -> usize {
        if self.reverse {
            self.steps.saturating_sub(step).saturating_sub(1)
        } else {
            step
        }
    }

    /// The place of feature `k` of the input at `step`.
    #[inline]
    pub(crate) fn x_at(&self, step: usize, k: usize) -> usize {
        if self.repeat {
            k
        } else {
            self.time(step) * self.inputs + k
        }
    }

    /// The place in the output of h after `step`; `None` where it is no output.
    #[inline]
    pub(crate) fn y_at(&self, step: usize) -> Option<usize> {
        if self.whole {
            Some(self.time(step) * self.units)
        } else {
            (step + 1 == self.steps).then_some(0)
        }
    }

    /// Whether no gradient passes from `step` to the one before.
    fn is_cut(&self, step: usize) -> bool {
        step > 0 && self.steps.saturating_sub(step).checked_rem(self.truncate) == Some(0)
    }
}

/// The weights of a layer, to be read. Empty biases count as 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameters<'w, S> {
    /// W, `[inputs, gates · units]`.
    pub(crate) kernel: &'w [S],
    /// U, `[units, gates · units]`.
    pub(crate) recurrent: &'w [S],
    /// b, `[gates · units]`.
    pub(crate) bias: &'w [S],
    /// A bias of h · U alone, where the cell has one, `[gates · units]`.
    pub(crate) recurrent_bias: &'w [S],
}

/// One step of a recurrent layer. States and gates are vectors of `units` numbers, one after the other.
pub(crate) trait Cell<S: Scalar>: Copy {
    /// Columns of the kernels for each unit.
    const GATES: usize;
    /// Vectors of the state; h is the first.
    const STATES: usize;
    /// The vector of the state that is kept after each step.
    const KEPT_STATE: usize = 0;
    /// Vectors of gates kept from each step; 0 where backward needs no more than the kept state.
    const KEPT_GATES: usize;
    /// Vectors of gradients that a step leaves for the weights: over the gates that were kept, or, with none kept,
    /// in memory that backward is given.
    const GRADIENTS: usize;
    /// Length of the table of factors of the int8 layer.
    const REQUANT_I8: usize;

    /// Takes the state one step on. `gates` is scratch of `GATES` vectors, or the `KEPT_GATES` that are kept.
    fn step(&self, x: &[S], parameters: &Parameters<'_, S>, state: &mut [S], gates: &mut [S]);

    /// Takes the gradient of the state one step back, but for what passes through U.
    ///
    /// `gates` holds what was kept and receives the gradients; `before` and `after` are the kept state before and
    /// after the step, and `after` becomes h. `delta` is the gradient of the state after the step, and becomes the
    /// direct part of that before it.
    fn step_back(
        &self,
        recurrent: &[S],
        delta: &mut [S],
        gates: &mut [S],
        before: &[S],
        after: &mut [S],
    );

    /// The columns of U through which the gradient of h passes, as (the first, how many, the first of their gradients),
    /// in the order in which they are summed. The last may be none.
    #[inline]
    fn through(&self, units: usize) -> [(usize, usize, usize); 2] {
        [(0, Self::GATES * units, 0), (0, 0, 0)]
    }

    /// U learns from the gradients of all steps and the h before each.
    #[inline(never)]
    fn learn_recurrent(
        &self,
        walk: &Walk,
        recurrent: &mut Update<'_, S>,
        gradients: &[S],
        hidden: &[S],
    ) {
        let (units, columns) = (walk.units, Self::GATES * walk.units);
        let gradients = Rows::new(gradients, Self::GRADIENTS * units, 0..columns);
        for unit in 0..units {
            let h = |step: usize| number(hidden, step * units + unit);
            gradients.learn(recurrent, unit * columns, h);
        }
    }

    /// The bias of h · U learns, where the cell has one.
    fn learn_recurrent_bias(&self, _: &Walk, _: &mut Update<'_, S>, _: &[S]) {}
}

/// Numbers kept from forward to backward: `KEPT_GATES` vectors for each step, one state for each step and the one
/// before the first, and the other states before the first.
pub(crate) const fn saved_len<S: Scalar, C: Cell<S>>(steps: usize, units: usize) -> usize {
    let vectors = steps.saturating_mul(C::KEPT_GATES + 1);
    vectors.saturating_add(C::STATES).saturating_mul(units)
}

/// What is kept from forward to backward, in its parts.
#[derive(Debug)]
pub(crate) struct Saved<'s, S> {
    /// `[steps, KEPT_GATES · units]`; backward: the gradients `[steps, GRADIENTS · units]`.
    pub(crate) gates: &'s mut [S],
    /// `[steps + 1, units]`: the kept state before the first step and after each; after backward, h.
    pub(crate) states: &'s mut [S],
    /// h before the first step, where another state is kept.
    pub(crate) first: &'s mut [S],
}

impl<'s, S: Scalar> Saved<'s, S> {
    /// The parts of [`saved_len`] numbers or more.
    pub(crate) fn new<C: Cell<S>>(walk: &Walk, saved: &'s mut [S]) -> Self {
        let gates = walk.steps * C::KEPT_GATES * walk.units;
        let (gates, rest) = saved.split_at_mut_checked(gates).unwrap_or_default();
        let states = (walk.steps + 1) * walk.units;
        let (states, rest) = rest.split_at_mut_checked(states).unwrap_or_default();
        // What is given may be longer, as buffers are.
        let first = part_mut(rest, 0, (C::STATES - 1) * walk.units);
        Self {
            gates,
            states,
            first,
        }
    }
}

/// What a walk works on.
#[derive(Debug)]
pub(crate) struct Buffers<'b, S> {
    /// `STATES` vectors: the state from which the walk begins, and in the end that where it ended.
    pub(crate) state: &'b mut [S],
    /// `GATES` vectors; not needed where gates are kept.
    pub(crate) scratch: &'b mut [S],
    /// Where it keeps what backward needs, when it is to be trained.
    pub(crate) saved: Option<Saved<'b, S>>,
}

/// A layer's weights, and what it reads and writes.
#[derive(Debug)]
pub(crate) struct Operation<'b, S> {
    pub(crate) x: &'b [S],
    pub(crate) parameters: Parameters<'b, S>,
    pub(crate) buffers: Buffers<'b, S>,
    pub(crate) y: &'b mut [S],
}

/// Runs the walk.
///
/// Step by step, with the state kept by the caller, gives the bits of a run over the whole sequence.
pub(crate) fn forward<S: Scalar, C: Cell<S>>(
    cell: C,
    walk: &Walk,
    operation: &mut Operation<'_, S>,
) {
    let units = walk.units;
    let Operation {
        x,
        parameters,
        buffers: Buffers {
            state,
            scratch,
            saved,
        },
        y,
    } = operation;
    if let Some(saved) = saved {
        copy(saved.states, part(state, C::KEPT_STATE * units, units));
        copy(saved.first, state);
    }
    for step in 0..walk.steps {
        let x = part(x, walk.x_at(step, 0), walk.inputs);
        let gates = match saved {
            Some(saved) if C::KEPT_GATES > 0 => {
                let kept = C::KEPT_GATES * units;
                part_mut(saved.gates, step * kept, kept)
            }
            _ => &mut **scratch,
        };
        cell.step(x, parameters, state, gates);
        if let Some(saved) = saved {
            let kept = part(state, C::KEPT_STATE * units, units);
            copy(part_mut(saved.states, (step + 1) * units, units), kept);
        }
        if let Some(at) = walk.y_at(step) {
            copy(part_mut(y, at, units), state);
        }
    }
}

/// Goes back in time: `saved.gates` becomes the gradients, `saved.states` the h before the first step and after each.
///
/// `delta` is the gradient at the output. `carry` is of `STATES` vectors; with `initial` it ends as the gradient of
/// the state before the first step, and without it as nothing of use.
pub(crate) fn backward<S: Scalar, C: Cell<S>>(
    cell: C,
    walk: &Walk,
    recurrent: &[S],
    delta: &[S],
    saved: &mut Saved<'_, S>,
    carry: &mut [S],
    initial: bool,
) {
    let units = walk.units;
    let columns = C::GATES * units;
    carry.fill(S::ZERO);
    for step in (0..walk.steps).rev() {
        if let Some(at) = walk.y_at(step) {
            for (carry, delta) in carry.iter_mut().zip(part(delta, at, units)) {
                *carry = carry.add(*delta);
            }
        }
        let gradients = C::GRADIENTS * units;
        let gates = part_mut(saved.gates, step * gradients, gradients);
        let states = part_mut(saved.states, step * units, 2 * units);
        let (before, after) = states.split_at_mut_checked(units).unwrap_or_default();
        cell.step_back(recurrent, carry, gates, before, after);
        if walk.is_cut(step) || (step == 0 && !initial) {
            carry.fill(S::ZERO);
            continue;
        }
        let rows = recurrent.chunks(ROWS * columns.max(1));
        let hidden = part_mut(carry, 0, units);
        for (deltas, rows) in hidden.chunks_mut(ROWS).zip(rows) {
            let mut sums = [S::ZERO_ACC; ROWS];
            for (sum, delta) in sums.iter_mut().zip(deltas.iter()) {
                *sum = delta.widen();
            }
            for (column, len, gradient) in cell.through(units) {
                let row = |r: usize| part(rows, r * columns + column, len);
                add_dots(&mut sums, part(gates, gradient, len), row);
            }
            for (delta, &sum) in deltas.iter_mut().zip(&sums) {
                *delta = S::narrow(sum);
            }
        }
    }
    // An h that is kept lies there already; a cell that keeps another state leaves its own before the first step.
    copy(saved.states, saved.first);
}

/// z\[i\] = b\[c\] + x · W\[·, c\] + h · U\[·, c\] for the columns c = `first` + i of `columns`. A bias of h · U alone
/// is added after b.
#[inline(never)]
pub(crate) fn gate_sums<S: Scalar>(
    x: &[S],
    h: &[S],
    parameters: &Parameters<'_, S>,
    columns: usize,
    first: usize,
    z: &mut [S],
) {
    for (block, z) in z.chunks_mut(BLOCK).enumerate() {
        let first = first + block * BLOCK;
        let mut sums = [S::ZERO_ACC; BLOCK];
        set_biases(parameters.bias, first, &mut sums);
        let biases = parameters.recurrent_bias.get(first..).unwrap_or(&[]);
        for (sum, bias) in sums.iter_mut().zip(biases) {
            *sum = S::add_acc(*sum, *bias);
        }
        add_products(x, parameters.kernel, columns, first, &mut sums);
        add_products(h, parameters.recurrent, columns, first, &mut sums);
        for (z, &sum) in z.iter_mut().zip(&sums) {
            *z = S::narrow(sum);
        }
    }
}

/// sums\[i\] = bias\[first + i\] for as many as there are: the start of sums, in their place.
#[inline(never)]
pub(crate) fn set_biases<S: Scalar>(bias: &[S], first: usize, sums: &mut [S::Acc; BLOCK]) {
    for (sum, bias) in sums.iter_mut().zip(bias.get(first..).unwrap_or(&[])) {
        *sum = bias.widen();
    }
}

/// [`accumulate`], once for all that need it: in their own frames it would take more stack.
#[inline(never)]
pub(crate) fn add_products<S: Scalar>(
    x: &[S],
    weight: &[S],
    columns: usize,
    first: usize,
    sums: &mut [S::Acc; BLOCK],
) {
    accumulate(x, weight, columns, first, sums);
}

/// `sum` + Σ a\[i\] · b\[i\], in order.
#[inline]
pub(crate) fn add_dot<S: Scalar>(sum: S::Acc, a: &[S], b: &[S]) -> S::Acc {
    let mut sum = sum;
    for (a, b) in a.iter().zip(b) {
        sum = S::mul_acc(sum, *a, *b);
    }
    sum
}

/// sums\[r\] + Σ a\[i\] · row(r)\[i\] for rows side by side, each in order; a row that is not there is left out.
#[inline]
pub(crate) fn add_dots<'r, S: Scalar>(
    sums: &mut [S::Acc; ROWS],
    a: &[S],
    row: impl Fn(usize) -> &'r [S],
) {
    let rows: [&[S]; ROWS] = core::array::from_fn(row);
    let [b, c, d, e] = rows;
    if e.len() == a.len() {
        let [mut first, mut second, mut third, mut fourth] = *sums;
        for ((((a, b), c), d), e) in a.iter().zip(b).zip(c).zip(d).zip(e) {
            first = S::mul_acc(first, *a, *b);
            second = S::mul_acc(second, *a, *c);
            third = S::mul_acc(third, *a, *d);
            fourth = S::mul_acc(fourth, *a, *e);
        }
        *sums = [first, second, third, fourth];
    } else {
        for (sum, row) in sums.iter_mut().zip(rows) {
            *sum = add_dot::<S>(*sum, a, row);
        }
    }
}

/// As many numbers as there are in both.
fn copy<S: Copy>(to: &mut [S], from: &[S]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

#[inline(always)]
pub(crate) fn number<S: Scalar>(values: &[S], at: usize) -> S {
    values.get(at).copied().unwrap_or(S::ZERO)
}

/// `len` values from `at`, or none where they are not all there (which a checked model never asks for).
#[inline(always)]
pub(crate) fn part_mut<T>(values: &mut [T], at: usize, len: usize) -> &mut [T] {
    values
        .get_mut(at..)
        .and_then(|tail| tail.get_mut(..len))
        .unwrap_or(&mut [])
}
