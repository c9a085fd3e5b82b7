//! Refuses a step that would ruin weights.
//!
//! What learns is updated in place: there is no copy to go back to. So where a step may be absurd, by its rate or its
//! loss, each layer is looked at before it learns.

use crate::engine::{BackFrame, Frame};
use crate::memory::{Memory, Span, numbers};
use crate::tensor::DType;

/// Above these a step is looked at layer by layer.
const RATE: f32 = 1.0;
const LOSS: f32 = 65536.0;
const INPUT: f32 = 65536.0;

/// The most by which a weight may move in one step.
const LIMIT: f32 = 1048576.0;

/// The guard of one step in f32. Fixed point and int8 saturate, and need none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Guard {
    rate: f32,
    large_input: bool,
    /// Whether the layers are to be looked at.
    looks: bool,
    stopped: bool,
}

impl Guard {
    /// Whether a step of this loss, which is not below 0, may be small; told from its bits.
    #[inline(always)]
    pub(crate) fn is_small(loss: f32) -> bool {
        loss.to_bits() <= LOSS.to_bits()
    }

    /// Whether a step at this rate, which is not below 0, may be small; told from its bits.
    #[inline(always)]
    pub(crate) fn is_slow(rate: f32) -> bool {
        rate.to_bits() <= RATE.to_bits()
    }

    /// Before a step, with whether its input is large.
    #[inline]
    pub(crate) fn of_input(large_input: bool) -> Self {
        Self {
            rate: 0.0,
            large_input,
            looks: false,
            stopped: false,
        }
    }

    /// With the rate and the loss of the step.
    #[inline]
    pub(crate) fn set(&mut self, rate: f32, loss: f32) {
        // At a rate of 0, too: 0 times an input that is no number is none.
        self.looks = rate > RATE || loss > LOSS || self.large_input;
        self.rate = rate;
    }

    /// Whether the layers of the step were looked at.
    #[inline]
    pub(crate) fn has_looked(&self) -> bool {
        self.looks
    }

    /// Whether a layer was not allowed to learn.
    #[inline]
    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether a layer may learn.
    #[inline(never)]
    pub(crate) fn allows(
        &mut self,
        frame: &Frame,
        back: &BackFrame,
        memory: &mut Memory,
    ) -> Option<()> {
        if !self.is_bounded(frame, back, memory) {
            self.stopped = true;
            return None;
        }
        Some(())
    }

    /// Whether a step of a layer is not absurd: rate · max(|x|, 1) · Σ|δ| is at most 2²⁰. No weight of a dense layer, of a
    /// convolution or of their biases moves by more than that.
    fn is_bounded(&self, frame: &Frame, back: &BackFrame, memory: &mut Memory) -> bool {
        // What saturates needs no guard, and its gradient is no f32.
        if back.back.dtype != DType::F32 {
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

/// The highest bit of the exponent is that of numbers from 2 on: most inputs have none.
const FROM_TWO: u32 = 1 << 30;

/// [`is_large`] of few numbers.
#[inline(always)]
pub(crate) fn is_large_few(input: &[f32]) -> bool {
    let bits = input.iter().fold(0, |bits, x| bits | x.to_bits());
    bits & FROM_TWO != 0 && reaches_far(input)
}

/// Whether a number is larger than 2¹⁶, or not finite.
#[inline(never)]
pub(crate) fn is_large(input: &[f32]) -> bool {
    let (fours, rest) = input.as_chunks::<4>();
    let mut bits = 0;
    for [a, b, c, d] in fours {
        bits |= a.to_bits() | b.to_bits() | c.to_bits() | d.to_bits();
    }
    for x in rest {
        bits |= x.to_bits();
    }
    bits & FROM_TWO != 0 && reaches_far(input)
}

#[inline(never)]
fn reaches_far(input: &[f32]) -> bool {
    !input.iter().all(|x| x.abs() <= INPUT)
}
