//! What a backward pass updates with.

use crate::engine::{BackFrame, Frame};
use crate::memory::{Span, numbers, numbers_mut};
use crate::ops::dense::Weights;
use crate::scalar::{Q16, Scalar};
use crate::train::{Rule, Update};

/// The most numbers kept for each weight that learns: moments, and the sum of gradients.
pub(crate) const MAX_COPIES: usize = 3;

/// The rates of a step, and where the copies of the weights lie.
#[derive(Debug)]
pub(crate) struct Learning {
    pub(crate) f32: Rule<f32>,
    pub(crate) q16: Rule<Q16>,
    /// Bytes of all learnt weights: from a weight to its first copy, and from copy to copy.
    pub(crate) stride: u32,
    /// How many copies there are.
    pub(crate) copies: u8,
}

/// A number format in which weights learn.
pub(crate) trait Learns: Scalar {
    /// The rates in this format.
    fn rule(learning: &mut Learning) -> &mut Rule<Self>;
}

impl Learns for f32 {
    fn rule(learning: &mut Learning) -> &mut Rule<f32> {
        &mut learning.f32
    }
}

impl Learns for Q16 {
    fn rule(learning: &mut Learning) -> &mut Rule<Q16> {
        &mut learning.q16
    }
}

/// Where a parameter and its copies lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    /// To be read, where it stays.
    pub(crate) frozen: Span,
    /// To be written, where it learns: the weights, then their copies.
    pub(crate) learning: [Span; 1 + MAX_COPIES],
}

impl Parameter {
    /// Whether it learns.
    pub(crate) fn learns(&self) -> bool {
        let [weight, ..] = self.learning;
        !weight.is_empty()
    }
}

impl Learning {
    /// Parameter `index` of a step.
    pub(crate) fn parameter(&self, frame: &Frame, back: &BackFrame, index: usize) -> Parameter {
        let span = frame.parameter(index);
        if !back.back.learns(index) {
            return Parameter {
                frozen: span,
                learning: [Span::NOTHING; 1 + MAX_COPIES],
            };
        }
        let mut learning = [Span::NOTHING; 1 + MAX_COPIES];
        let mut next = span;
        for place in learning.iter_mut().take(1 + usize::from(self.copies)) {
            *place = next;
            next = next.after(self.stride);
        }
        Parameter {
            frozen: Span::NOTHING,
            learning,
        }
    }

    /// The weights of a parameter, borrowed: `frozen` and `learning` are the bytes of its spans.
    pub(crate) fn weights<'w, S: Learns>(
        &'w mut self,
        frozen: &'w [u8],
        learning: [&'w mut [u8]; 1 + MAX_COPIES],
    ) -> Option<Weights<'w, S>> {
        let [weight, ..] = &learning;
        if weight.is_empty() {
            return Some(Weights::Frozen(numbers(frozen)?));
        }
        let [weight, buffer, ..] = learning;
        Some(Weights::Learning(Update::new(
            numbers_mut(weight)?,
            numbers_mut(buffer)?,
            S::rule(self),
        )))
    }
}
