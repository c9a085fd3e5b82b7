//! How the weights of a recurrent layer learn from the gradients of all steps, and what its input gets.

use core::ops::Range;

use super::{Cell, ROWS, Walk, add_dot, add_dots, copy, number};
use crate::kernels::{BLOCK, part};
use crate::ops::Activation;
use crate::ops::dense::Weights;
use crate::scalar::Scalar;
use crate::train::Update;

/// W learns, and x is overwritten by its gradient times the derivative of `below`, the activation that made it.
///
/// For each feature k: δx_t\[k\] = Σ_c W\[k, c\] · dz_t\[c\] with the weights from before the update (for a repeated row
/// summed over the steps), then W\[k\] learns, then x. Without `below` no δx is formed and x stays. `scratch` is of as
/// many numbers as x has rows.
#[inline(always)]
pub(crate) fn backward_input<S: Scalar, C: Cell<S>>(
    walk: &Walk,
    x: &mut [S],
    below: Option<Activation>,
    kernel: &mut Weights<'_, S>,
    gradients: &[S],
    scratch: &mut [S],
) {
    let columns = C::GATES * walk.units;
    let gradients = Rows::new(gradients, C::GRADIENTS * walk.units, 0..columns);
    for k in 0..walk.inputs {
        if below.is_some() {
            let row = match &*kernel {
                Weights::Frozen(kernel) => part(kernel, k * columns, columns),
                Weights::Learning(kernel) => kernel.values(k * columns, columns),
            };
            input_gradient(walk.repeat, row, &gradients, scratch);
        }
        if let Weights::Learning(kernel) = kernel {
            learn_feature(walk, k, x, &gradients, kernel);
        }
        if let Some(below) = below {
            overwrite(walk, k, below, x, scratch);
        }
    }
}

/// The weights of feature `k` learn.
#[inline(never)]
fn learn_feature<S: Scalar>(
    walk: &Walk,
    k: usize,
    x: &[S],
    gradients: &Rows<'_, S>,
    kernel: &mut Update<'_, S>,
) {
    let at = k * gradients.columns.len();
    gradients.learn(kernel, at, |step| number(x, walk.x_at(step, k)));
}

/// δx of a feature at each step, or summed over the steps, where `row` has the feature's weights.
#[inline(never)]
fn input_gradient<S: Scalar>(repeat: bool, row: &[S], gradients: &Rows<'_, S>, deltas: &mut [S]) {
    if repeat {
        let sum = gradients
            .iter()
            .fold(S::ZERO_ACC, |sum, dz| add_dot::<S>(sum, row, dz));
        copy(deltas, &[S::narrow(sum)]);
        return;
    }
    for (block, deltas) in deltas.chunks_mut(ROWS).enumerate() {
        let mut sums = [S::ZERO_ACC; ROWS];
        add_dots(&mut sums, row, |r| gradients.row(block * ROWS + r));
        for (delta, &sum) in deltas.iter_mut().zip(&sums) {
            *delta = S::narrow(sum);
        }
    }
}

/// Feature `k` of x is overwritten by the gradient at it.
#[inline(never)]
fn overwrite<S: Scalar>(walk: &Walk, k: usize, below: Activation, x: &mut [S], deltas: &[S]) {
    let rows = if walk.repeat { 1 } else { walk.steps };
    for (step, delta) in deltas.iter().enumerate().take(rows) {
        if let Some(x) = x.get_mut(walk.x_at(step, k)) {
            *x = below.derivative(*delta, *x);
        }
    }
}

/// b learns from Σ_t dz_t.
#[inline(never)]
pub(crate) fn backward_bias<S: Scalar, C: Cell<S>>(
    walk: &Walk,
    bias: &mut Update<'_, S>,
    gradients: &[S],
) {
    let columns = C::GATES * walk.units;
    Rows::new(gradients, C::GRADIENTS * walk.units, 0..columns).learn_bias(bias, 0);
}

/// Some columns of the gradients of all steps.
#[derive(Debug, Clone)]
pub(crate) struct Rows<'g, S> {
    gradients: &'g [S],
    stride: usize,
    columns: Range<usize>,
}

impl<'g, S: Scalar> Rows<'g, S> {
    /// `columns` of rows of `stride` numbers.
    pub(crate) fn new(gradients: &'g [S], stride: usize, columns: Range<usize>) -> Self {
        Self {
            gradients,
            stride: stride.max(1),
            columns,
        }
    }

    /// The columns of a step.
    fn row(&self, step: usize) -> &'g [S] {
        let at = step * self.stride + self.columns.start;
        part(self.gradients, at, self.columns.len())
    }

    /// The columns of each step in turn.
    fn iter(&self) -> impl Iterator<Item = &'g [S]> {
        let columns = self.columns.clone();
        self.gradients
            .chunks_exact(self.stride)
            .map(move |row| part(row, columns.start, columns.len()))
    }

    /// The weights from `at` learn from Σ_t factor(t) · dz_t.
    #[inline]
    pub(crate) fn learn(&self, update: &mut Update<'_, S>, at: usize, factor: impl Fn(usize) -> S) {
        self.blocks(update, at, |step, sums, gradients| {
            let factor = factor(step);
            for (sum, gradient) in sums.iter_mut().zip(gradients) {
                *sum = S::mul_acc(*sum, factor, *gradient);
            }
        });
    }

    /// The biases from `at` learn from Σ_t dz_t.
    pub(crate) fn learn_bias(&self, update: &mut Update<'_, S>, at: usize) {
        self.blocks(update, at, |_, sums, gradients| {
            for (sum, gradient) in sums.iter_mut().zip(gradients) {
                *sum = S::add_acc(*sum, *gradient);
            }
        });
    }

    #[inline(always)]
    fn blocks(
        &self,
        update: &mut Update<'_, S>,
        at: usize,
        add: impl Fn(usize, &mut [S::Acc; BLOCK], &[S]),
    ) {
        let len = self.columns.len();
        for first in (0..len).step_by(BLOCK) {
            let count = (len - first).min(BLOCK);
            let mut sums = [S::ZERO_ACC; BLOCK];
            for (step, row) in self.iter().enumerate() {
                add(step, &mut sums, part(row, first, count));
            }
            update.step(at + first, sums.get(..count).unwrap_or(&[]));
        }
    }
}
