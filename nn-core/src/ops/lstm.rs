//! Long short-term memory: c_t = f · c_{t−1} + i · g, h_t = o · tanh c_t.
//!
//! The gates i, f, o = sigmoid z and g = tanh z lie in the order i, f, g, o, as in PyTorch and Keras, in
//! z = x_t · W + h_{t−1} · U + b: W is `[inputs, 4 · units]`, U `[units, 4 · units]`, b `[4 · units]`; PyTorch's two
//! biases are one here, their sum. No peepholes, no projection. The state is h, then c. Sequences, backward and the
//! order of sums: see [`recurrent`]. Sources: S. Hochreiter and J. Schmidhuber, "Long short-term
//! memory", Neural Computation 9 (8), 1997; F. Gers and others, "Learning to forget", Neural Computation 12 (10), 2000.
//!
//! Training keeps steps · 5 · units + 2 · units numbers: gates and cells, which backward overwrites by dz and h.
//! Besides, it needs the state's 2 · units forward and as many backward.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Learns, Sizes};
use crate::memory::Memory;
use crate::ops::recurrent::int8::{self, CellI8, LstmI8};
use crate::ops::recurrent::{self, Cell, Parameters, Recurrent, RecurrentStep, gate_sums};
use crate::ops::{
    Activation, Check, Facts, Needs, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::DType;

/// Parameters of an LSTM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lstm {
    /// With 4 gates: i, f, g, o.
    pub layer: Recurrent,
}

impl Lstm {
    pub(super) fn facts(&self) -> Facts {
        self.layer.facts::<LstmCell>(None)
    }

    fn step(&self, check: &Check) -> Result<RecurrentStep, NodeFault> {
        self.layer.step::<LstmCell>(check, None)
    }
}

impl<K: OpSet> Operator<K> for Lstm {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        self.step(check).map(|_| ())
    }

    fn needs(&self, check: &Check) -> Needs {
        let step = self.step(check);
        step.map_or(Needs::default(), |step| match check.x.dtype {
            DType::I8 => int8::needs::<LstmI8>(&step),
            _ => step.needs::<LstmCell>(),
        })
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let step = self.step(check).ok()?;
        let sizes = Sizes::Lstm(step);
        let forward = code::<K>(check.x.dtype)?;
        Some((forward, sizes))
    }

    fn macs(&self, check: &Check) -> u64 {
        self.step(check).map_or(0, |step| step.macs::<LstmCell>())
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
    let Sizes::Lstm(step) = frame.step.sizes else {
        return None;
    };
    recurrent::run::<S, _>(LstmCell, &step, frame, memory)
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Lstm(step) = frame.step.sizes else {
        return None;
    };
    int8::run(LstmI8, &step, frame, memory)
}

fn run_backward<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Lstm(step) = frame.step.sizes else {
        return None;
    };
    recurrent::run_backward::<S, _>(LstmCell, &step, frame, back, learning, memory)
}

/// The cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LstmCell;

impl<S: Scalar> Cell<S> for LstmCell {
    const GATES: usize = 4;
    const STATES: usize = 2;
    const KEPT_STATE: usize = 1;
    const KEPT_GATES: usize = 4;
    const GRADIENTS: usize = 4;
    const REQUANT_I8: usize = <LstmI8 as CellI8>::REQUANT;

    fn step(&self, x: &[S], parameters: &Parameters<'_, S>, state: &mut [S], gates: &mut [S]) {
        let units = state.len() / 2;
        let (h, c) = state.split_at_mut_checked(units).unwrap_or_default();
        gate_sums(x, h, parameters, 4 * units, 0, gates);
        let gates = Gates::of(gates).into_iter();
        for ((gates, h), c) in gates.zip(h).zip(c) {
            let [i, f, g, o] = gates;
            *i = i.sigmoid();
            *f = f.sigmoid();
            *g = g.tanh();
            *o = o.sigmoid();
            // One rounding in fixed point: f · c, then + i · g.
            *c = S::narrow(S::mul_acc(S::mul_acc(S::ZERO_ACC, *f, *c), *i, *g));
            *h = o.mul(c.tanh());
        }
    }

    /// With s = tanh c: δc += (δh · o) · (1 − s²); then dz of i, f, g, o is (δc · g) · i(1 − i), (δc · c_{t−1}) · f(1 − f),
    /// (δc · i) · (1 − g²), (δh · s) · o(1 − o); then δc ← δc · f, and c ← o · s, which is h.
    fn step_back(&self, _: &[S], delta: &mut [S], gates: &mut [S], before: &[S], after: &mut [S]) {
        let units = delta.len() / 2;
        let (delta_h, delta_c) = delta.split_at_mut_checked(units).unwrap_or_default();
        let gates = Gates::of(gates).into_iter();
        let states = before.iter().zip(after);
        for (((gates, dh), dc), (before, c)) in gates.zip(delta_h).zip(delta_c).zip(states) {
            let [i, f, g, o] = gates;
            let s = c.tanh();
            *c = o.mul(s);
            *dc = dc.add(Activation::Tanh.derivative(dh.mul(*o), s));
            *o = Activation::Sigmoid.derivative(dh.mul(s), *o);
            let dz_i = Activation::Sigmoid.derivative(dc.mul(*g), *i);
            *g = Activation::Tanh.derivative(dc.mul(*i), *g);
            *i = dz_i;
            let dz_f = Activation::Sigmoid.derivative(dc.mul(*before), *f);
            *dc = dc.mul(*f);
            *f = dz_f;
            *dh = S::ZERO;
        }
    }
}

/// The gates of all units.
struct Gates<'g, S>([&'g mut [S]; 4]);

impl<'g, S> Gates<'g, S> {
    fn of(gates: &'g mut [S]) -> Self {
        let units = gates.len() / 4;
        let (inward, outward) = gates.split_at_mut_checked(2 * units).unwrap_or_default();
        let (i, f) = inward.split_at_mut_checked(units).unwrap_or_default();
        let (g, o) = outward.split_at_mut_checked(units).unwrap_or_default();
        Self([i, f, g, o])
    }

    /// i, f, g, o of each unit in turn.
    fn into_iter(self) -> impl Iterator<Item = [&'g mut S; 4]> {
        let [i, f, g, o] = self.0;
        let pairs = i.iter_mut().zip(f).zip(g.iter_mut().zip(o));
        pairs.map(|((i, f), (g, o))| [i, f, g, o])
    }
}
