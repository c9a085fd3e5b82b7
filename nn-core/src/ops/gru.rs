//! Gated recurrent unit: h_t = (1 − z) · n + z · h_{t−1}.
//!
//! The gates r, z = sigmoid(x_t · W + h_{t−1} · U + b) and the candidate n lie in the order r, z, n, as in PyTorch
//! (Keras stores z, r, n): W is `[inputs, 3 · units]`, U `[units, 3 · units]`. The reset gate works in one of two ways:
//!
//! - after the product, as in PyTorch and in Keras since version 2: n = tanh(x · W + b + r · (h · U + b′)). A bias of
//!   h · U, b′ `[3 · units]`, stands beside b; in r and z both are added.
//! - before it, as in the paper and in Keras 1: n = tanh(x · W + (r · h) · U + b).
//!
//! Sequences, backward and the order of sums: see [`recurrent`]. Source: K. Cho and others,
//! "Learning phrase representations using RNN encoder-decoder", EMNLP 2014.
//!
//! Training keeps steps · 5 · units + units numbers: of each step r, z, n, and h · U + b′ of n or r · h, which backward
//! overwrites by the gradients at the sums of r, z, n, and that at h · U + b′ of n (r · h stays), and h.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Learns, Sizes};
use crate::kernels::{BLOCK, part};
use crate::memory::Memory;
use crate::ops::recurrent::int8::{self, CellI8, GruI8};
use crate::ops::recurrent::{
    self, Cell, Parameters, Recurrent, RecurrentStep, Rows, Walk, add_dot, add_products, gate_sums,
    number, set_biases,
};
use crate::ops::{
    Activation, Check, Facts, Needs, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::{DType, TensorId};
use crate::train::Update;

/// Parameters of a GRU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gru {
    /// With 3 gates: r, z, n.
    pub layer: Recurrent,
    /// Whether the reset gate multiplies after the product with U.
    pub reset_after: bool,
    /// b′, `[3 · units]`; only reset after.
    pub recurrent_bias: Option<TensorId>,
}

impl Gru {
    pub(super) fn facts(&self) -> Facts {
        self.layer.facts::<GruCell>(self.recurrent_bias)
    }

    fn step(&self, check: &Check) -> Result<RecurrentStep, NodeFault> {
        if self.recurrent_bias.is_some() && !self.reset_after {
            return Err(NodeFault::Parameter);
        }
        if check.x.dtype == DType::I8 && !self.reset_after {
            return Err(NodeFault::Parameter);
        }
        self.layer.step::<GruCell>(check, self.recurrent_bias)
    }
}

impl<K: OpSet> Operator<K> for Gru {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        self.step(check).map(|_| ())
    }

    fn needs(&self, check: &Check) -> Needs {
        let step = self.step(check);
        step.map_or(Needs::default(), |step| match check.x.dtype {
            DType::I8 => int8::needs::<GruI8>(&step),
            _ => step.needs::<GruCell>(),
        })
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let step = self.step(check).ok()?;
        let reset_after = self.reset_after;
        let sizes = Sizes::Gru { step, reset_after };
        let forward = code::<K>(check.x.dtype)?;
        Some((forward, sizes))
    }

    fn macs(&self, check: &Check) -> u64 {
        self.step(check).map_or(0, |step| step.macs::<GruCell>())
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
    let Sizes::Gru { step, reset_after } = frame.step.sizes else {
        return None;
    };
    recurrent::run::<S, _>(GruCell { reset_after }, &step, frame, memory)
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Gru { step, .. } = frame.step.sizes else {
        return None;
    };
    int8::run(GruI8, &step, frame, memory)
}

fn run_backward<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Gru { step, reset_after } = frame.step.sizes else {
        return None;
    };
    let cell = GruCell { reset_after };
    recurrent::run_backward::<S, _>(cell, &step, frame, back, learning, memory)
}

/// The cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GruCell {
    /// Whether the reset gate multiplies after the product with U.
    pub(crate) reset_after: bool,
}

impl<S: Scalar> Cell<S> for GruCell {
    const GATES: usize = 3;
    const STATES: usize = 1;
    const KEPT_GATES: usize = 4;
    const GRADIENTS: usize = 4;
    const REQUANT_I8: usize = <GruI8 as CellI8>::REQUANT;

    fn step(&self, x: &[S], parameters: &Parameters<'_, S>, state: &mut [S], gates: &mut [S]) {
        let units = state.len();
        let (columns, first) = (3 * units, 2 * units);
        let (rz, rest) = gates.split_at_mut_checked(first).unwrap_or_default();
        // Without training there is no fourth vector.
        let (n, extra) = rest.split_at_mut_checked(units).unwrap_or_default();
        gate_sums(x, state, parameters, columns, 0, rz);
        for gate in rz.iter_mut() {
            *gate = gate.sigmoid();
        }
        let (r, z) = rz.split_at_mut_checked(units).unwrap_or_default();
        if self.reset_after {
            candidates(x, parameters, state, r, n, extra);
        } else {
            // Nothing but r · h needs r from here on, unless it is kept.
            let reset = if extra.is_empty() {
                for (r, h) in r.iter_mut().zip(state.iter()) {
                    *r = r.mul(*h);
                }
                r
            } else {
                for ((reset, r), h) in extra.iter_mut().zip(r).zip(state.iter()) {
                    *reset = r.mul(*h);
                }
                extra
            };
            gate_sums(x, reset, parameters, columns, first, n);
            for n in n.iter_mut() {
                *n = n.tanh();
            }
        }
        for ((h, z), n) in state.iter_mut().zip(z).zip(n) {
            // One rounding in fixed point: (1 − z) · n, then + z · h.
            let sum = S::mul_acc(S::ZERO_ACC, S::ONE.sub(*z), *n);
            *h = S::narrow(S::mul_acc(sum, *z, *h));
        }
    }

    /// dz of z is (δh · (h_{t−1} − n)) · z(1 − z), that of n (δh · (1 − z)) · (1 − n²), and δh ← δh · z.
    ///
    /// Reset after: dz of r is (dn · inner) · r(1 − r), and dn · r is the gradient at inner = h · U + b′. Reset before:
    /// with ρ = Σ_c U\[j, c\] · dn\[c\], dz of r is (ρ · h_{t−1}) · r(1 − r), and δh takes ρ · r besides.
    fn step_back(
        &self,
        recurrent: &[S],
        delta: &mut [S],
        gates: &mut [S],
        before: &[S],
        _: &mut [S],
    ) {
        let units = delta.len();
        let (rz, rest) = gates.split_at_mut_checked(2 * units).unwrap_or_default();
        let (r, z) = rz.split_at_mut_checked(units).unwrap_or_default();
        let (n, extra) = rest.split_at_mut_checked(units).unwrap_or_default();
        let units_of = z.iter_mut().zip(n.iter_mut());
        for (((z, n), delta), h) in units_of.zip(delta.iter_mut()).zip(before) {
            let dz = Activation::Sigmoid.derivative(delta.mul(h.sub(*n)), *z);
            *n = Activation::Tanh.derivative(delta.mul(S::ONE.sub(*z)), *n);
            *delta = delta.mul(*z);
            *z = dz;
        }
        if self.reset_after {
            for ((r, dn), inner) in r.iter_mut().zip(n).zip(extra) {
                let dr = Activation::Sigmoid.derivative(dn.mul(*inner), *r);
                *inner = dn.mul(*r);
                *r = dr;
            }
        } else {
            let rows = recurrent.chunks_exact((3 * units).max(1));
            let units_of = r.iter_mut().zip(delta).zip(before).zip(rows);
            for (((r, delta), h), row) in units_of {
                let row = part(row, 2 * units, units);
                let rho = S::narrow(add_dot::<S>(S::ZERO_ACC, row, n));
                *delta = delta.add(rho.mul(*r));
                *r = Activation::Sigmoid.derivative(rho.mul(*h), *r);
            }
        }
    }

    /// The columns of r and z; reset after, then those of n with the gradient at h · U + b′ (reset before, these are
    /// in the direct part).
    #[inline]
    fn through(&self, units: usize) -> [(usize, usize, usize); 2] {
        let n = if self.reset_after { units } else { 0 };
        [(0, 2 * units, 0), (2 * units, n, 3 * units)]
    }

    #[inline(never)]
    fn learn_recurrent(
        &self,
        walk: &Walk,
        recurrent: &mut Update<'_, S>,
        gradients: &[S],
        hidden: &[S],
    ) {
        let units = walk.units;
        let stride = 4 * units;
        let rz = Rows::new(gradients, stride, 0..2 * units);
        let n = if self.reset_after {
            3 * units
        } else {
            2 * units
        };
        let n = Rows::new(gradients, stride, n..n + units);
        for unit in 0..units {
            let at = 3 * units * unit;
            let h = |step: usize| number(hidden, step * units + unit);
            rz.learn(recurrent, at, h);
            if self.reset_after {
                n.learn(recurrent, at + 2 * units, h);
            } else {
                let reset = |step: usize| number(gradients, step * stride + 3 * units + unit);
                n.learn(recurrent, at + 2 * units, reset);
            }
        }
    }

    /// Reset after: from Σ_t dz_t of r and z, and of h · U + b′ of n.
    #[inline(never)]
    fn learn_recurrent_bias(&self, walk: &Walk, bias: &mut Update<'_, S>, gradients: &[S]) {
        let units = walk.units;
        Rows::new(gradients, 4 * units, 0..2 * units).learn_bias(bias, 0);
        Rows::new(gradients, 4 * units, 3 * units..4 * units).learn_bias(bias, 2 * units);
    }
}

/// n of a GRU that resets after U: tanh(b + x · W + r ∘ (c + h · U)). The inner sums go to `kept` where it has room.
///
/// A function of its own: its sums are off the stack again when the step goes on.
#[inline(never)]
fn candidates<S: Scalar>(
    x: &[S],
    parameters: &Parameters<'_, S>,
    state: &[S],
    r: &[S],
    n: &mut [S],
    kept: &mut [S],
) {
    let (columns, first) = (3 * state.len(), 2 * state.len());
    for ((block, n), r) in n.chunks_mut(BLOCK).enumerate().zip(r.chunks(BLOCK)) {
        let kept = kept.get_mut(block * BLOCK..).unwrap_or(&mut []);
        let first = first + block * BLOCK;
        // n takes the inner sums first.
        let mut sums = [S::ZERO_ACC; BLOCK];
        set_biases(parameters.recurrent_bias, first, &mut sums);
        add_products(state, parameters.recurrent, columns, first, &mut sums);
        for (n, sum) in n.iter_mut().zip(&sums) {
            *n = S::narrow(*sum);
        }
        sums = [S::ZERO_ACC; BLOCK];
        set_biases(parameters.bias, first, &mut sums);
        add_products(x, parameters.kernel, columns, first, &mut sums);
        reset_after(&sums, r, n, kept);
    }
}

/// n = tanh(sum + r ∘ n) of a block, where n is the inner sum.
#[inline(never)]
fn reset_after<S: Scalar>(sums: &[S::Acc; BLOCK], r: &[S], n: &mut [S], kept: &mut [S]) {
    let mut kept = kept.iter_mut();
    for ((n, r), &sum) in n.iter_mut().zip(r).zip(sums) {
        let inner = *n;
        *n = S::narrow(S::mul_acc(sum, *r, inner)).tanh();
        if let Some(kept) = kept.next() {
            *kept = inner;
        }
    }
}
