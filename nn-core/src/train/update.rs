//! The update of weights while their gradient is formed.

use crate::kernels::part;
use crate::scalar::{Scalar, XorShift32};

/// How a gradient becomes a new weight.
///
/// PyTorch's rule of stochastic gradient descent: g ← g + weight_decay · w; v ← momentum · v + g; g ← v (Nesterov:
/// g + momentum · v); w ← w − learning_rate · g. With an L1 penalty g also takes l1 · sign w.
#[derive(Debug)]
pub(crate) struct Update<'w, S: Scalar> {
    weight: &'w mut [S],
    /// The velocities, or the sums of gradients where the step comes later; empty with neither.
    buffer: &'w mut [S],
    rule: &'w mut Rule<S>,
}

/// The rates of a step, in the numbers of the weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule<S: Scalar> {
    pub(crate) learning_rate: S::Rate,
    /// `None` for plain gradient descent.
    pub(crate) momentum: Option<S::Rate>,
    pub(crate) nesterov: bool,
    /// L2 penalty, `None` for none.
    pub(crate) weight_decay: Option<S::Rate>,
    /// L1 penalty, `None` for none.
    pub(crate) l1: Option<S>,
    /// Each gradient is held within ± this.
    pub(crate) clip: Option<S>,
    /// Whether gradients are only summed into the buffer.
    pub(crate) accumulate: bool,
    pub(crate) rng: XorShift32,
}

impl<S: Scalar> Rule<S> {
    /// Plain gradient descent.
    pub(crate) fn plain(learning_rate: f32, rng: XorShift32) -> Self {
        Self {
            learning_rate: S::rate(learning_rate),
            momentum: None,
            nesterov: false,
            weight_decay: None,
            l1: None,
            clip: None,
            accumulate: false,
            rng,
        }
    }

    fn is_plain(&self) -> bool {
        self.momentum.is_none()
            && self.weight_decay.is_none()
            && self.l1.is_none()
            && self.clip.is_none()
            && !self.accumulate
    }
}

impl<'w, S: Scalar> Update<'w, S> {
    pub(crate) fn new(weight: &'w mut [S], buffer: &'w mut [S], rule: &'w mut Rule<S>) -> Self {
        Self {
            weight,
            buffer,
            rule,
        }
    }

    /// `len` weights from `at`.
    #[inline]
    pub(crate) fn values(&self, at: usize, len: usize) -> &[S] {
        part(self.weight, at, len)
    }

    /// The weights from `at` learn from the gradients x · delta\[i\]; where x is 0 and nothing but the gradient
    /// moves them, they stay.
    #[inline]
    pub(crate) fn outer(&mut self, at: usize, x: S, delta: &[S]) {
        if self.rule.is_plain() {
            if x != S::ZERO {
                let rule = &mut *self.rule;
                let weight = self.weight.get_mut(at..).unwrap_or(&mut []);
                for (weight, delta) in weight.iter_mut().zip(delta) {
                    *weight = weight.descend_product(rule.learning_rate, x, *delta, &mut rule.rng);
                }
            }
        } else {
            let gradients = delta.iter().map(|delta| S::mul_acc(S::ZERO_ACC, x, *delta));
            self.each(at, gradients);
        }
    }

    /// The weights from `at` learn from `gradients`.
    #[inline]
    pub(crate) fn step(&mut self, at: usize, gradients: &[S::Acc]) {
        self.each(at, gradients.iter().copied());
    }

    fn each(&mut self, at: usize, gradients: impl Iterator<Item = S::Acc>) {
        let rule = &mut *self.rule;
        let weight = self.weight.get_mut(at..).unwrap_or(&mut []);
        let mut buffer = self.buffer.get_mut(at..).unwrap_or(&mut []).iter_mut();
        for (weight, gradient) in weight.iter_mut().zip(gradients) {
            if rule.accumulate {
                if let Some(sum) = buffer.next() {
                    let gradient = S::narrow_stochastic(gradient, &mut rule.rng);
                    *sum = sum.add(gradient);
                }
                continue;
            }
            *weight = rule.apply(*weight, gradient, buffer.next());
        }
    }
}

impl<S: Scalar> Rule<S> {
    /// The new value of a weight; `velocity` is there where there is a momentum.
    #[inline]
    pub(crate) fn apply(&mut self, weight: S, gradient: S::Acc, velocity: Option<&mut S>) -> S {
        let mut gradient = gradient;
        if let Some(clip) = self.clip {
            let held = S::narrow(gradient);
            let low = S::ZERO.sub(clip);
            if held > clip {
                gradient = clip.widen();
            } else if held < low {
                gradient = low.widen();
            }
        }
        if let Some(decay) = self.weight_decay {
            gradient = S::add_acc(gradient, weight.scale(decay));
        }
        if let Some(l1) = self.l1 {
            if weight > S::ZERO {
                gradient = S::add_acc(gradient, l1);
            } else if weight < S::ZERO {
                gradient = S::add_acc(gradient, S::ZERO.sub(l1));
            }
        }
        let momentum = self.momentum.or(velocity.is_some().then(|| S::rate(0.0)));
        if let (Some(momentum), Some(velocity)) = (momentum, velocity) {
            let sum = S::add_acc(gradient, velocity.scale(momentum));
            *velocity = S::narrow_stochastic(sum, &mut self.rng);
            gradient = if self.nesterov {
                S::add_acc(gradient, velocity.scale(momentum))
            } else {
                velocity.widen()
            };
        }
        weight.descend(self.learning_rate, gradient, &mut self.rng)
    }
}
