//! Refuses a step that would ruin weights.
//!
//! What learns is updated in place: there is no copy to go back to. So where a step may be absurd, by its rate or its
//! loss, each layer is looked at before it learns.

use crate::engine::{BackFrame, Frame};
use crate::memory::{Memory, Span, Training, numbers};
use crate::model::Model;
use crate::tensor::DType;

/// Above these a step is looked at layer by layer.
const RATE: f32 = 1.0;
const LOSS: f32 = 65536.0;
const INPUT: f32 = 65536.0;

/// The most by which a weight may move in one step.
const LIMIT: f32 = 1048576.0;

/// The guard of one step in f32. Fixed point saturates, and needs none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard {
    rate: f32,
}

impl Guard {
    /// None where rate, loss and inputs are those of sane learning.
    #[inline]
    pub(crate) fn of(rate: f32, loss: f32, large_input: bool) -> Option<Self> {
        (rate > RATE || loss > LOSS || large_input).then_some(Self { rate })
    }

    /// Whether a layer may learn: rate · max(|x|, 1) · Σ|δ| is at most 2²⁰. No weight of a dense layer, of a convolution or
    /// of their biases moves by more than that.
    #[inline(never)]
    pub(crate) fn allows(&self, frame: &Frame, back: &BackFrame, memory: &mut Memory) -> bool {
        if back
            .slots
            .first()
            .is_none_or(|slot| slot.dtype != DType::F32)
        {
            return true;
        }
        let no_writes: [Span; 0] = [];
        let Some(([x, delta], _)) = memory.borrow([frame.input(0), back.delta()], no_writes) else {
            return true;
        };
        // What is not of f32, such as the ids of an embedding, is as 1.
        let x: &[f32] = numbers(x).unwrap_or(&[]);
        let delta: &[f32] = numbers(delta).unwrap_or(&[]);
        let x = x
            .iter()
            .fold(1.0, |most, x| if x.abs() > most { x.abs() } else { most });
        let delta = delta.iter().fold(0.0, |sum, delta| sum + delta.abs());
        // False where it is not a number.
        self.rate * x * delta <= LIMIT
    }
}

/// Whether a number is larger than 2¹⁶, or not finite.
#[inline(never)]
pub(crate) fn is_large(input: &[f32]) -> bool {
    // The highest bit of the exponent is that of numbers from 2 on: most inputs have none.
    const FROM_TWO: u32 = 1 << 30;
    let (fours, rest) = input.as_chunks::<4>();
    let mut bits = rest.iter().fold(0, |bits, x| bits | x.to_bits());
    for [a, b, c, d] in fours {
        bits |= a.to_bits() | b.to_bits() | c.to_bits() | d.to_bits();
    }
    bits & FROM_TWO != 0 && !input.iter().all(|x| x.abs() <= INPUT)
}

/// Puts the blob's number in the place of each learnt one in `memory` that is not finite; whether there was one.
#[inline(never)]
pub(crate) fn mend(model: &Model, memory: &mut [u8]) -> bool {
    let mut mended = false;
    let Ok(training) = Training::new(model) else {
        return false;
    };
    for (id, first, len) in training.learnt(model) {
        let Some(tensor) = model.tensor(id).filter(|tensor| tensor.dtype == DType::F32) else {
            continue;
        };
        let first = first as usize;
        let learnt = memory.get_mut(first..first.saturating_add(len as usize));
        let (learnt, _) = learnt.unwrap_or(&mut []).as_chunks_mut::<4>();
        let (own, _) = model.weight_bytes(&tensor).as_chunks::<4>();
        for (learnt, own) in learnt.iter_mut().zip(own) {
            if !f32::from_le_bytes(*learnt).is_finite() {
                *learnt = *own;
                mended = true;
            }
        }
    }
    mended
}
