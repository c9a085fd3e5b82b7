//! Functions of each vector along the last axis, in place: what softmax and log-softmax share.
//!
//! Backward they need their output, which its delta overwrites: they keep a copy of it.

use bytemuck::Pod;

use crate::engine::{BackFrame, Frame, Learning, hand_down};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::dense::length;
use crate::ops::{Check, Facts, Needs, Output};
use crate::scalar::Scalar;

pub(super) const FACTS: Facts = Facts {
    output: Output::InPlace,
    needs_x: false,
    ..Facts::PLAIN
};

/// A copy of the output.
pub(super) fn needs(check: &Check) -> Needs {
    Needs {
        saved: check.y.bytes(),
        ..Needs::default()
    }
}

/// `forward(vector)` for each of `rows`.
#[inline(always)]
pub(super) fn run<T: Pod>(
    frame: &Frame,
    memory: &mut Memory,
    rows: u32,
    mut forward: impl FnMut(&mut [T]),
) -> Option<()> {
    frame.map_in_place(memory, |values: &mut [T]| {
        for row in values.chunks_exact_mut(length(values, rows)) {
            forward(row);
        }
    })?;
    frame.save_output(memory)
}

/// `backward(delta, y)` for each of `rows`: `delta` is overwritten by the gradient at the input.
#[inline(always)]
pub(super) fn run_backward<S: Scalar>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
    rows: u32,
    mut backward: impl FnMut(&mut [S], &[S]),
) -> Option<()> {
    // Without a saved output the loss has already formed the gradient at the input.
    if !back.saved().is_empty() {
        let ([saved], [delta]) = memory.borrow([back.saved()], [back.delta()])?;
        let (saved, delta): (&[S], &mut [S]) = (numbers(saved)?, numbers_mut(delta)?);
        let length = length(delta, rows);
        let each = delta.chunks_exact_mut(length);
        for (delta, y) in each.zip(saved.chunks_exact(length)) {
            backward(delta, y);
        }
    }
    hand_down::<S>(frame, back, learning, memory)
}
