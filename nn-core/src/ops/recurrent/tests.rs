//! The recurrent layers, held to naive loops in f64, to central differences of them, and to libtorch.

mod golden;
mod gradients;
mod learning;
mod order;
mod outputs;
mod reference;

use std::vec::Vec;
use std::{format, vec};

use super::*;
use crate::ops::Activation;
use crate::ops::dense::Weights;
use crate::ops::gru::GruCell;
use crate::ops::lstm::LstmCell;
use crate::ops::rnn::RnnCell;
use crate::scalar::{Rounder, XorShift32};
use crate::train::Rule;

/// Which cell.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Rnn(Activation),
    Lstm,
    Gru { reset_after: bool },
}

const KINDS: [Kind; 5] = [
    Kind::Rnn(Activation::Tanh),
    Kind::Rnn(Activation::Relu),
    Kind::Lstm,
    Kind::Gru { reset_after: true },
    Kind::Gru { reset_after: false },
];

impl Kind {
    fn gates(self) -> usize {
        match self {
            Self::Rnn(_) => 1,
            Self::Lstm => 4,
            Self::Gru { .. } => 3,
        }
    }

    fn states(self) -> usize {
        if self == Self::Lstm { 2 } else { 1 }
    }

    fn has_recurrent_bias(self) -> bool {
        self == Self::Gru { reset_after: true }
    }
}

/// Calls a generic function with the cell of a kind.
macro_rules! with_cell {
    ($kind:expr, $cell:ident => $body:expr) => {
        match $kind {
            Kind::Rnn(activation) => {
                let $cell = RnnCell(activation);
                $body
            }
            Kind::Lstm => {
                let $cell = LstmCell;
                $body
            }
            Kind::Gru { reset_after } => {
                let $cell = GruCell { reset_after };
                $body
            }
        }
    };
}
use with_cell;

/// All numbers of a layer: its input, its weights, the state before the first step. Or their gradients.
#[derive(Debug, Clone, PartialEq)]
struct Numbers<S> {
    x: Vec<S>,
    kernel: Vec<S>,
    recurrent: Vec<S>,
    bias: Vec<S>,
    recurrent_bias: Vec<S>,
    state: Vec<S>,
}

impl<S: Copy> Numbers<S> {
    fn map<T>(&self, f: impl Fn(S) -> T) -> Numbers<T> {
        let map = |values: &[S]| values.iter().map(|v| f(*v)).collect();
        Numbers {
            x: map(&self.x),
            kernel: map(&self.kernel),
            recurrent: map(&self.recurrent),
            bias: map(&self.bias),
            recurrent_bias: map(&self.recurrent_bias),
            state: map(&self.state),
        }
    }

    fn parts(&self) -> [(&'static str, &[S]); 6] {
        [
            ("x", &self.x),
            ("kernel", &self.kernel),
            ("recurrent", &self.recurrent),
            ("bias", &self.bias),
            ("recurrent bias", &self.recurrent_bias),
            ("state", &self.state),
        ]
    }

    fn parts_mut(&mut self) -> [&mut Vec<S>; 6] {
        [
            &mut self.x,
            &mut self.kernel,
            &mut self.recurrent,
            &mut self.bias,
            &mut self.recurrent_bias,
            &mut self.state,
        ]
    }

    fn parameters(&self) -> Parameters<'_, S> {
        Parameters {
            kernel: &self.kernel,
            recurrent: &self.recurrent,
            bias: &self.bias,
            recurrent_bias: &self.recurrent_bias,
        }
    }
}

/// Numbers in ±1, all of the same sequence.
struct Draw(XorShift32);

impl Draw {
    fn new(seed: u32) -> Self {
        Self(XorShift32::new(seed))
    }

    fn values(&mut self, count: usize, scale: f64) -> Vec<f64> {
        let mut value = || (f64::from(self.0.draw()) / f64::from(u32::MAX) * 2.0 - 1.0) * scale;
        // As an f32 holds them.
        (0..count).map(|_| f64::from(value() as f32)).collect()
    }

    fn layer(&mut self, kind: Kind, walk: &Walk) -> Numbers<f64> {
        let columns = kind.gates() * walk.units;
        Numbers {
            x: self.values(walk.x_len(), 1.0),
            kernel: self.values(walk.inputs * columns, 0.8),
            recurrent: self.values(walk.units * columns, 0.8),
            bias: self.values(columns, 0.4),
            recurrent_bias: self.values(
                if kind.has_recurrent_bias() {
                    columns
                } else {
                    0
                },
                0.4,
            ),
            state: self.values(kind.states() * walk.units, 0.7),
        }
    }
}

impl Walk {
    /// Numbers of the input.
    fn x_len(&self) -> usize {
        if self.repeat {
            self.inputs
        } else {
            self.steps * self.inputs
        }
    }

    /// Numbers of the output.
    fn y_len(&self) -> usize {
        if self.whole {
            self.steps * self.units
        } else {
            self.units
        }
    }
}

const PLAIN: Walk = Walk {
    steps: 6,
    inputs: 3,
    units: 5,
    repeat: false,
    reverse: false,
    whole: true,
    truncate: 0,
};

/// Every way to walk; `units` on both sides of the block of the kernels.
fn walks() -> Vec<Walk> {
    let mut walks = vec![
        Walk { steps: 1, ..PLAIN },
        Walk {
            units: 1,
            inputs: 1,
            ..PLAIN
        },
        Walk { units: 8, ..PLAIN },
        Walk {
            units: 19,
            inputs: 11,
            steps: 4,
            ..PLAIN
        },
    ];
    for flags in 0..8 {
        walks.push(Walk {
            repeat: flags & 1 != 0,
            reverse: flags & 2 != 0,
            whole: flags & 4 != 0,
            ..PLAIN
        });
    }
    walks
}

/// The layer's output and the state after it, with the weights untouched.
fn infer<S: Scalar>(kind: Kind, walk: &Walk, numbers: &Numbers<S>) -> (Vec<S>, Vec<S>) {
    let mut state = numbers.state.clone();
    // What scratch holds before must not matter.
    let mut scratch = vec![S::from_f32(7.5); kind.gates() * walk.units];
    let mut y = vec![S::from_f32(7.5); walk.y_len()];
    let buffers = Buffers {
        state: &mut state,
        scratch: &mut scratch,
        saved: None,
    };
    let mut operation = Operation {
        x: &numbers.x,
        parameters: numbers.parameters(),
        buffers,
        y: &mut y,
    };
    with_cell!(kind, cell => forward(cell, walk, &mut operation));
    (y, state)
}

/// What of a layer learns.
#[derive(Debug, Clone, Copy)]
struct Learns {
    kernel: bool,
    recurrent: bool,
    bias: bool,
}

const ALL: Learns = Learns {
    kernel: true,
    recurrent: true,
    bias: true,
};

/// Forward and backward with plain descent of this rate: the output, and the numbers afterwards, with the gradients
/// of the input and of the first state in the places of these.
fn train<S: Scalar>(
    kind: Kind,
    walk: &Walk,
    numbers: &Numbers<S>,
    delta: &[S],
    below: Option<Activation>,
    learns: Learns,
    rate: f32,
) -> (Vec<S>, Numbers<S>) {
    with_cell!(kind, cell => train_cell(cell, kind, walk, numbers, delta, below, learns, rate))
}

#[allow(clippy::too_many_arguments)]
fn train_cell<S: Scalar, C: Cell<S>>(
    cell: C,
    kind: Kind,
    walk: &Walk,
    numbers: &Numbers<S>,
    delta: &[S],
    below: Option<Activation>,
    learns: Learns,
    rate: f32,
) -> (Vec<S>, Numbers<S>) {
    let junk = S::from_f32(7.5);
    let mut new = numbers.clone();
    let mut scratch = vec![junk; C::GATES * walk.units];
    let mut y = vec![junk; walk.y_len()];
    // Buffers are rounded up.
    let mut saved = vec![junk; saved_len::<S, C>(walk.steps, walk.units) + 1];
    let buffers = Buffers {
        state: &mut new.state,
        scratch: &mut scratch,
        saved: Some(Saved::new::<C>(walk, &mut saved)),
    };
    let mut operation = Operation {
        x: &numbers.x,
        parameters: numbers.parameters(),
        buffers,
        y: &mut y,
    };
    forward(cell, walk, &mut operation);
    let mut saved = Saved::new::<C>(walk, &mut saved);
    let mut gradients = vec![junk; walk.steps * walk.units];
    if C::KEPT_GATES == 0 {
        saved.gates = &mut gradients;
    }
    let mut carry = vec![junk; C::STATES * walk.units];
    backward(
        cell,
        walk,
        &numbers.recurrent,
        delta,
        &mut saved,
        &mut carry,
        true,
    );
    new.state = carry;

    let mut rule = Rule::plain(rate, Rounder::stochastic(3));
    let mut kernel = if learns.kernel {
        Weights::Learning(Update::new(&mut new.kernel, &mut [], &mut rule))
    } else {
        Weights::Frozen(&numbers.kernel)
    };
    let mut column = vec![junk; if walk.repeat { 1 } else { walk.steps }];
    let (gates, hidden) = (&*saved.gates, &*saved.states);
    backward_input::<S, C>(walk, &mut new.x, below, &mut kernel, gates, &mut column);
    if learns.recurrent {
        let mut update = Update::new(&mut new.recurrent, &mut [], &mut rule);
        cell.learn_recurrent(walk, &mut update, gates, hidden);
    }
    if learns.bias {
        let mut update = Update::new(&mut new.bias, &mut [], &mut rule);
        backward_bias::<S, C>(walk, &mut update, gates);
        if kind.has_recurrent_bias() {
            let mut update = Update::new(&mut new.recurrent_bias, &mut [], &mut rule);
            cell.learn_recurrent_bias(walk, &mut update, gates);
        }
    }
    (y, new)
}

#[track_caller]
fn assert_close(found: &[f64], wanted: &[f64], tolerance: f64, context: &str) {
    assert_eq!(found.len(), wanted.len(), "{context}");
    for (index, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(
            (found - wanted).abs() <= tolerance * wanted.abs().max(1.0),
            "{context}: number {index} is {found} instead of {wanted}"
        );
    }
}

fn wide<S: Scalar>(values: &[S]) -> Vec<f64> {
    values.iter().map(|v| f64::from(v.to_f32())).collect()
}
