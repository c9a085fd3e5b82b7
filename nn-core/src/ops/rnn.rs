//! Simple recurrent layer (Elman): h_t = act(x_t · W + h_{t−1} · U + b).
//!
//! W is `[inputs, units]`, U `[units, units]`, b `[units]`; PyTorch's two biases are one here, their sum. Sequences,
//! backward and the order of sums: see [`recurrent`](super::recurrent). Source: J. Elman, "Finding structure in
//! time", Cognitive Science 14 (2), 1990.
//!
//! Training keeps (steps + 1) · units numbers; backward needs steps · units more, for dz.

use crate::ops::Activation;
use crate::ops::recurrent::{Cell, Parameters, gate_sums};
use crate::scalar::Scalar;

/// The cell: its activation, whose derivative is told from its output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RnnCell(pub(crate) Activation);

impl<S: Scalar> Cell<S> for RnnCell {
    const GATES: usize = 1;
    const STATES: usize = 1;
    const KEPT_GATES: usize = 0;
    const GRADIENTS: usize = 1;

    fn step(&self, x: &[S], parameters: &Parameters<'_, S>, state: &mut [S], gates: &mut [S]) {
        gate_sums(x, state, parameters, state.len(), 0, gates);
        for (h, z) in state.iter_mut().zip(gates.iter()) {
            *h = self.0.apply(*z);
        }
    }

    /// dz = δh · act′.
    fn step_back(&self, _: &[S], delta: &mut [S], gates: &mut [S], _: &[S], after: &mut [S]) {
        for ((dz, delta), h) in gates.iter_mut().zip(delta).zip(after) {
            *dz = self.0.derivative(*delta, *h);
            *delta = S::ZERO;
        }
    }
}
