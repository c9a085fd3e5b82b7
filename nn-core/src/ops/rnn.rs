//! Simple recurrent layer (Elman): h_t = act(x_t · W + h_{t−1} · U + b).
//!
//! W is `[inputs, units]`, U `[units, units]`, b `[units]`; PyTorch's two biases are one here, their sum. Sequences,
//! backward and the order of sums: see [`recurrent`]. Source: J. Elman, "Finding structure in
//! time", Cognitive Science 14 (2), 1990.
//!
//! Training keeps (steps + 1) · units numbers; backward needs steps · units more, for dz.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Learns, Sizes};
use crate::memory::Memory;
use crate::ops::recurrent::int8::{self, CellI8, RnnI8};
use crate::ops::recurrent::{self, Cell, Parameters, Recurrent, RecurrentStep, gate_sums};
use crate::ops::{
    Activation, Check, Facts, Needs, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::DType;

/// Parameters of a simple recurrent layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rnn {
    /// With one gate: h itself.
    pub layer: Recurrent,
    /// act; its derivative is told from its output.
    pub activation: Activation,
}

impl Rnn {
    pub(super) fn facts(&self) -> Facts {
        self.layer.facts::<RnnCell>(None)
    }

    fn step(&self, check: &Check) -> Result<RecurrentStep, NodeFault> {
        self.layer.step::<RnnCell>(check, None)
    }
}

impl<K: OpSet> Operator<K> for Rnn {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        if !self.activation.is_valid() {
            return Err(NodeFault::Activation);
        }
        let in_int8 = matches!(self.activation, Activation::Tanh | Activation::Relu);
        if check.x.dtype == DType::I8 && !in_int8 {
            return Err(NodeFault::Activation);
        }
        self.step(check).map(|_| ())
    }

    fn needs(&self, check: &Check) -> Needs {
        let step = self.step(check);
        step.map_or(Needs::default(), |step| match check.x.dtype {
            DType::I8 => int8::needs::<RnnI8>(&step),
            _ => step.needs::<RnnCell>(),
        })
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let step = self.step(check).ok()?;
        let activation = self.activation;
        let sizes = Sizes::Rnn { step, activation };
        let forward = code::<K>(check.x.dtype)?;
        Some((forward, sizes))
    }

    fn macs(&self, check: &Check) -> u64 {
        self.step(check).map_or(0, |step| step.macs::<RnnCell>())
    }
}

/// The function that runs it forward in numbers of this type.
pub(super) const fn code<K: OpSet>(dtype: DType) -> Option<Forward> {
    match dtype {
        DType::I8 if K::I8 => Some(run_i8),
        dtype => by_scalar!(K, dtype, run),
    }
}

/// The function that runs it backward in numbers of this type.
pub(super) const fn backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    backward_by_scalar!(K, dtype, run_backward)
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Rnn { step, activation } = frame.step.sizes else {
        return None;
    };
    recurrent::run::<S, _>(RnnCell(activation), &step, frame, memory)
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Rnn { step, activation } = frame.step.sizes else {
        return None;
    };
    int8::run(
        RnnI8 {
            relu: activation == Activation::Relu,
        },
        &step,
        frame,
        memory,
    )
}

fn run_backward<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Rnn { step, activation } = frame.step.sizes else {
        return None;
    };
    recurrent::run_backward::<S, _>(RnnCell(activation), &step, frame, back, learning, memory)
}

/// The cell: its activation, whose derivative is told from its output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RnnCell(pub(crate) Activation);

impl<S: Scalar> Cell<S> for RnnCell {
    const GATES: usize = 1;
    const STATES: usize = 1;
    const KEPT_GATES: usize = 0;
    const GRADIENTS: usize = 1;
    const REQUANT_I8: usize = <RnnI8 as CellI8>::REQUANT;

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
