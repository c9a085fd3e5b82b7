//! The update of weights while their gradient is formed, or from its sum over several samples.
//!
//! Plain descent (no penalty, no clipping, no state) is a path of its own without a question for each weight.
//! Everything else is decided once for a run of up to [`RUN`] weights: see `rule.rs`.
//!
//! A sum of gradients is one number for each weight: sum ← gradient + sum; fixed point rounds it as the
//! plan says.

use crate::kernels::part;
use crate::scalar::{Rounder, Scalar};
use crate::train::rule::{Rule, learns};
use crate::train::{ChannelMask, Clip};

/// The most numbers kept for each weight besides itself.
pub(crate) const MAX_COPIES: usize = 3;

/// Weights of a run: the size of an array on the stack.
const RUN: usize = 8;

/// Some weights, what is kept for them, and the rule by which they learn.
#[derive(Debug)]
pub(crate) struct Update<'w, S: Scalar> {
    pub(super) weight: &'w mut [S],
    /// What is kept for each weight, empty where nothing is: the sum of its gradients if the plan accumulates; then
    /// the velocity, Adam's moments m and v, or RMSprop's mean square.
    pub(super) copies: [&'w mut [S]; MAX_COPIES],
    pub(super) rule: &'w mut Rule<S>,
    /// Whether the rule is plain, and so are these weights.
    plain: bool,
    /// Whether the penalties take these weights.
    pub(super) decays: bool,
    /// How many channels a row has, and which of them learn.
    pub(super) channels: Option<(usize, ChannelMask<'w>)>,
}

impl<'w, S: Scalar> Update<'w, S> {
    /// Weights with at most one number kept for each.
    #[cfg(test)]
    pub(crate) fn new(weight: &'w mut [S], buffer: &'w mut [S], rule: &'w mut Rule<S>) -> Self {
        Self::with_copies(weight, [buffer, &mut [], &mut []], rule)
    }

    /// Weights with `copies` as the plan counts them: see [`TrainSpec::copies`](super::spec::TrainSpec::copies).
    #[cfg(test)]
    pub(crate) fn with_copies(
        weight: &'w mut [S],
        copies: [&'w mut [S]; MAX_COPIES],
        rule: &'w mut Rule<S>,
    ) -> Self {
        Self::of(weight, copies, rule, false, None)
    }

    /// Weights, or biases, of which all learn or some output channels: rows of so many.
    ///
    /// Made at once where it is returned: it is too large for copies on a device's stack.
    #[inline(always)]
    pub(crate) fn of(
        weight: &'w mut [S],
        copies: [&'w mut [S]; MAX_COPIES],
        rule: &'w mut Rule<S>,
        is_bias: bool,
        channels: Option<(usize, ChannelMask<'w>)>,
    ) -> Self {
        let [first, ..] = &copies;
        Self {
            plain: rule.plain && first.is_empty() && channels.is_none(),
            decays: !is_bias || rule.decay_bias,
            weight,
            copies,
            rule,
            channels,
        }
    }

    /// The same weights as biases.
    #[cfg(test)]
    pub(crate) fn biases(mut self) -> Self {
        self.decays = self.rule.decay_bias;
        self
    }

    /// The same weights, of which only some output channels learn: rows of `count`.
    #[cfg(test)]
    pub(crate) fn only(mut self, count: usize, mask: ChannelMask<'w>) -> Self {
        self.plain = false;
        self.channels = Some((count, mask));
        self
    }

    /// How many weights.
    pub(crate) fn len(&self) -> usize {
        self.weight.len()
    }

    /// Whether a weight whose gradient is 0 stays as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// `len` weights from `at`.
    #[inline]
    pub(crate) fn values(&self, at: usize, len: usize) -> &[S] {
        part(self.weight, at, len)
    }

    /// The weights from `at` learn from the gradients x · delta\[i\]; where x is 0 and nothing but the gradient
    /// moves them, they stay.
    ///
    /// Plain descent: w ← w − (rate · x) · delta\[i\], the product rate · x rounded first.
    #[inline]
    pub(crate) fn outer(&mut self, at: usize, x: S, delta: &[S]) {
        if !self.plain {
            self.outer_in_runs(at, x, delta);
        } else if x != S::ZERO {
            self.outer_plainly(at, x, delta);
        }
    }

    /// All weights, the rate and what rounds, where [`outer`](Self::outer) is plain descent: for whoever learns
    /// row by row, and asks only once.
    #[inline]
    pub(crate) fn plainly(&mut self) -> Option<(&mut [S], S::Rate, &mut Rounder)> {
        let Rule {
            learning_rate,
            rounder,
            ..
        } = &mut *self.rule;
        self.plain
            .then_some((&mut *self.weight, *learning_rate, rounder))
    }

    #[inline(never)]
    fn outer_plainly(&mut self, at: usize, x: S, delta: &[S]) {
        // In locals, as the compiler cannot tell that no weight is a rate.
        let (rate, mut rounder) = (self.rule.learning_rate, self.rule.rounder);
        let weight = self.weight.get_mut(at..).unwrap_or(&mut []);
        S::descend_row(weight, rate, x, delta, &mut rounder);
        self.rule.rounder = rounder;
    }

    /// The weights from `at` learn from `gradients`.
    #[inline]
    pub(crate) fn step(&mut self, at: usize, gradients: &[S::Acc]) {
        if self.plain {
            self.descend_plainly(at, gradients);
        } else {
            self.run(at, gradients);
        }
    }

    /// As [`step`](Self::step), of every `stride`th weight from `at` on.
    #[inline(never)]
    pub(crate) fn step_every(&mut self, at: usize, stride: usize, gradients: &[S::Acc]) {
        if self.plain {
            self.descend_every_plainly(at, stride, gradients);
            return;
        }
        for (index, gradient) in gradients.iter().enumerate() {
            self.run(at + index * stride, core::slice::from_ref(gradient));
        }
    }

    #[inline(never)]
    fn descend_every_plainly(&mut self, at: usize, stride: usize, gradients: &[S::Acc]) {
        let (rate, mut rounder) = (self.rule.learning_rate, self.rule.rounder);
        let weight = self.weight.get_mut(at..).unwrap_or(&mut []);
        let weight = weight.iter_mut().step_by(stride.max(1));
        for (weight, gradient) in weight.zip(gradients) {
            *weight = weight.descend(rate, *gradient, &mut rounder);
        }
        self.rule.rounder = rounder;
    }

    #[inline(never)]
    fn descend_plainly(&mut self, at: usize, gradients: &[S::Acc]) {
        let (rate, mut rounder) = (self.rule.learning_rate, self.rule.rounder);
        let weight = self.weight.get_mut(at..).unwrap_or(&mut []);
        for (weight, gradient) in weight.iter_mut().zip(gradients) {
            *weight = weight.descend(rate, *gradient, &mut rounder);
        }
        self.rule.rounder = rounder;
    }

    #[inline(never)]
    fn outer_in_runs(&mut self, at: usize, x: S, delta: &[S]) {
        let [first, ..] = &self.copies;
        let without_state = self.rule.plain && first.is_empty();
        if x == S::ZERO && (without_state || self.rule.accumulate) {
            return;
        }
        if without_state {
            // Some channels only, and each as if all learnt.
            let rule = &mut *self.rule;
            let weight = self.weight.get_mut(at..).unwrap_or(&mut []);
            for (index, (weight, delta)) in weight.iter_mut().zip(delta).enumerate() {
                if learns(self.channels, at + index) {
                    *weight =
                        weight.descend_product(rule.learning_rate, x, *delta, &mut rule.rounder);
                }
            }
            return;
        }
        let mut at = at;
        for delta in delta.chunks(RUN) {
            let mut gradients = [S::ZERO_ACC; RUN];
            for (gradient, delta) in gradients.iter_mut().zip(delta) {
                *gradient = S::mul_acc(S::ZERO_ACC, x, *delta);
            }
            self.run(at, part(&gradients, 0, delta.len()));
            at += delta.len();
        }
    }

    /// The weights from `at` learn from `gradients`, or sum them.
    #[inline(never)]
    fn run(&mut self, at: usize, gradients: &[S::Acc]) {
        if self.rule.accumulate {
            self.sum(at, gradients);
        } else {
            self.descend(at, gradients);
        }
    }

    #[inline(never)]
    fn sum(&mut self, at: usize, gradients: &[S::Acc]) {
        let [sums, ..] = &mut self.copies;
        let sums = sums.get_mut(at..).unwrap_or(&mut []);
        for (index, (sum, gradient)) in sums.iter_mut().zip(gradients).enumerate() {
            if learns(self.channels, at + index) {
                let gradient = S::add_acc(*gradient, *sum);
                *sum = S::narrow_by(gradient, &mut self.rule.rounder);
            }
        }
    }

    /// The optimizer's step from the sums of gradients, which become 0: g ← sum · factor, then as from any gradient.
    ///
    /// `factor` is [`Sums::factor`].
    pub(crate) fn step_from_sums(&mut self, factor: f32) {
        let factor = S::rate(factor);
        for at in (0..self.weight.len()).step_by(RUN) {
            let mut gradients = [S::ZERO_ACC; RUN];
            let [sums, ..] = &mut self.copies;
            let sums = sums.get_mut(at..).unwrap_or(&mut []);
            let mut len = 0;
            for (gradient, sum) in gradients.iter_mut().zip(sums) {
                *gradient = S::add_scaled(S::ZERO_ACC, *sum, factor);
                *sum = S::ZERO;
                len += 1;
            }
            self.descend(at, part(&gradients, 0, len));
        }
    }
}

/// The gradients summed over some samples, as a whole.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    squares: f32,
}

impl Sums {
    /// Takes one tensor's sums in: their squares are summed in f32 over all tensors in the order of the graph.
    pub(crate) fn add<S: Scalar>(&mut self, sums: &[S]) {
        for sum in sums {
            let sum = sum.to_f32();
            self.squares += sum * sum;
        }
    }

    /// What each sum over `samples` is multiplied by: 1/samples for the mean, and less where the mean's norm is above
    /// the limit of [`Clip::Norm`], min(1, limit / (norm + 10⁻⁶)).
    ///
    /// [`add`](Self::add) is needed for a [`Clip::Norm`] only.
    pub(crate) fn factor(&self, samples: u16, clip: Clip) -> f32 {
        let share = 1.0 / f32::from(samples.max(1));
        match clip {
            Clip::Norm(limit) => {
                let norm = Scalar::sqrt(self.squares) * share;
                let scale = limit / (norm + 1e-6);
                if scale < 1.0 { share * scale } else { share }
            }
            _ => share,
        }
    }
}
