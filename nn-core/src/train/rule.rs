//! The rule by which a weight learns from a finished gradient.
//!
//! The formulas are in `optimizer.rs`; here are the orders. With g a weight's gradient, each operation rounding:
//!
//! 1. clipping by value: g within ± limit
//! 2. a decoupled decay: w ← w − (rate · decay) · w; else g ← g + w · decay; g ← g ± l1 by the sign of w
//! 3. the method's step
//!
//! Fixed point: each sum is exact in the accumulator, and whatever is stored (a weight, a velocity) is rounded as the plan
//! says: at random with the odds of its remainder, one draw for each number stored, in order, or to nearest. Adam and RMSprop compute in f32: their
//! state is the bits of an f32 in each 4-byte cell, the gradient is the accumulator's nearest f32, and the step, kept to
//! 15 bits, is subtracted with stochastic rounding.

use crate::scalar::{Rounder, Scalar};
use crate::train::schedule::power;
use crate::train::{ChannelMask, Clip, Method, Optimizer, Update};

/// How fast a step goes, and which it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The learning rate of the step.
    pub(crate) rate: f32,
    /// Which step of the optimizer it is, from 1.
    pub(crate) step: u32,
}

#[cfg(test)]
impl Pace {
    /// The first step.
    pub(crate) const fn first(rate: f32) -> Self {
        Self { rate, step: 1 }
    }
}

/// The rates of a step, in the numbers of the weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule<S: Scalar> {
    pub(super) learning_rate: S::Rate,
    /// Whether a weight without state learns by w ← w − rate · g and nothing else.
    pub(super) plain: bool,
    /// Whether gradients are only summed.
    pub(super) accumulate: bool,
    /// Whether the penalties take biases.
    pub(super) decay_bias: bool,
    /// Each gradient is held within ± this.
    clip: Option<S>,
    /// L2 penalty, `None` for none.
    weight_decay: Option<S::Rate>,
    /// Rate times a decoupled weight decay, `None` for none.
    shrink: Option<S::Rate>,
    /// L1 penalty, `None` for none.
    l1: Option<S::Rate>,
    step: Step<S>,
    pub(super) rounder: Rounder,
}

/// The last part of a rule.
#[derive(Debug, Clone, Copy)]
enum Step<S: Scalar> {
    Sgd {
        momentum: S::Rate,
        nesterov: bool,
    },
    Adam {
        /// 1 − β₁.
        first: f32,
        beta2: f32,
        /// 1 − β₂.
        second: f32,
        /// 1 / √(1 − β₂ᵗ).
        root: f32,
        epsilon: f32,
        /// rate / (1 − β₁ᵗ).
        rate: f32,
    },
    RmsProp {
        alpha: f32,
        /// 1 − α.
        second: f32,
        epsilon: f32,
        rate: f32,
    },
}

impl<S: Scalar> Rule<S> {
    /// The rule of `optimizer` for one step.
    pub(crate) fn new(
        optimizer: &Optimizer,
        clip: Clip,
        accumulate: bool,
        pace: Pace,
        rounder: Rounder,
    ) -> Self {
        let Pace { rate, step } = pace;
        let some = |rate: f32| (rate != 0.0).then(|| S::rate(rate));
        let clip = match clip {
            Clip::Value(limit) => Some(S::from_f32(limit)),
            _ => None,
        };
        let decay = optimizer.weight_decay;
        let decoupled = matches!(
            optimizer.method,
            Method::Adam {
                decoupled: true,
                ..
            }
        );
        Self {
            learning_rate: S::rate(rate),
            plain: optimizer.copies() == 0
                && decay == 0.0
                && optimizer.l1 == 0.0
                && clip.is_none()
                && !accumulate,
            accumulate,
            decay_bias: optimizer.decay_bias,
            clip,
            weight_decay: some(if decoupled { 0.0 } else { decay }),
            shrink: some(if decoupled { rate * decay } else { 0.0 }),
            l1: some(optimizer.l1),
            step: match optimizer.method {
                Method::Sgd { momentum, nesterov } => Step::Sgd {
                    momentum: S::rate(momentum),
                    nesterov,
                },
                Method::Adam {
                    beta1,
                    beta2,
                    epsilon,
                    ..
                } => Step::Adam {
                    first: 1.0 - beta1,
                    beta2,
                    second: 1.0 - beta2,
                    root: 1.0 / Scalar::sqrt(1.0 - power(beta2, step)),
                    epsilon,
                    rate: rate / (1.0 - power(beta1, step)),
                },
                Method::RmsProp { alpha, epsilon } => Step::RmsProp {
                    alpha,
                    second: 1.0 - alpha,
                    epsilon,
                    rate,
                },
            },
            rounder,
        }
    }

    /// Plain gradient descent at a rate of 0, with random numbers from `seed`.
    pub(crate) fn at_rest(seed: u32) -> Self {
        let nothing = S::rate(0.0);
        Self {
            learning_rate: nothing,
            plain: true,
            accumulate: false,
            decay_bias: false,
            clip: None,
            weight_decay: None,
            shrink: None,
            l1: None,
            step: Step::Sgd {
                momentum: nothing,
                nesterov: false,
            },
            rounder: Rounder::stochastic(seed),
        }
    }

    /// Plain gradient descent.
    #[cfg(test)]
    pub(crate) fn plain(rate: f32, rounder: Rounder) -> Self {
        Self::new(
            &Optimizer::SGD,
            Clip::None,
            false,
            Pace::first(rate),
            rounder,
        )
    }

    /// Whether a weight without state learns by w ← w − rate · g and nothing else.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    pub(crate) fn learning_rate(&self) -> S::Rate {
        self.learning_rate
    }

    /// How it rounds, and where its random numbers stand: the next rule goes on from there.
    pub(crate) fn rounder(&self) -> Rounder {
        self.rounder
    }
}

impl<S: Scalar> Update<'_, S> {
    /// The weights from `at` learn from `gradients`.
    #[inline]
    pub(super) fn descend(&mut self, at: usize, gradients: &[S::Acc]) {
        match self.rule.step {
            Step::Sgd { .. } => self.descend_sgd(at, gradients),
            Step::Adam { .. } => self.descend_adam(at, gradients),
            Step::RmsProp { .. } => self.descend_rms_prop(at, gradients),
        }
    }

    #[inline(never)]
    fn descend_sgd(&mut self, at: usize, gradients: &[S::Acc]) {
        self.each(at, gradients, |rule, weight, gradient, first, _| {
            let Step::Sgd { momentum, nesterov } = rule.step else {
                return;
            };
            let mut gradient = gradient;
            if let Some(velocity) = first {
                let sum = S::add_scaled(gradient, *velocity, momentum);
                *velocity = S::narrow_by(sum, &mut rule.rounder);
                gradient = if nesterov {
                    S::add_scaled(gradient, *velocity, momentum)
                } else {
                    velocity.widen()
                };
            }
            *weight = weight.descend(rule.learning_rate, gradient, &mut rule.rounder);
        });
    }

    #[inline(never)]
    fn descend_adam(&mut self, at: usize, gradients: &[S::Acc]) {
        self.each(at, gradients, |rule, weight, gradient, m, v| {
            let Step::Adam {
                first,
                beta2,
                second,
                root,
                epsilon,
                rate,
            } = rule.step
            else {
                return;
            };
            let gradient = S::acc_to_f32(gradient);
            let mean = read(&m);
            let mean = mean + first * (gradient - mean);
            let square = beta2 * read(&v) + second * gradient * gradient;
            write(m, mean);
            write(v, square);
            let step = rate * mean / (Scalar::sqrt(square) * root + epsilon);
            rule.subtract(weight, step);
        });
    }

    #[inline(never)]
    fn descend_rms_prop(&mut self, at: usize, gradients: &[S::Acc]) {
        self.each(at, gradients, |rule, weight, gradient, mean, _| {
            let Step::RmsProp {
                alpha,
                second,
                epsilon,
                rate,
            } = rule.step
            else {
                return;
            };
            let gradient = S::acc_to_f32(gradient);
            let square = alpha * read(&mean) + second * gradient * gradient;
            write(mean, square);
            let step = rate * gradient / (Scalar::sqrt(square) + epsilon);
            rule.subtract(weight, step);
        });
    }

    /// Calls `step` with each weight that learns, its gradient with all penalties, and its state.
    #[inline(always)]
    fn each(
        &mut self,
        at: usize,
        gradients: &[S::Acc],
        step: impl Fn(&mut Rule<S>, &mut S, S::Acc, Option<&mut S>, Option<&mut S>),
    ) {
        let (decays, channels) = (self.decays, self.channels);
        let rule = &mut *self.rule;
        let penalizes = rule.clip.is_some() || rule.weight_decay.is_some() || rule.l1.is_some();
        let weight = self.weight.get_mut(at..).unwrap_or(&mut []);
        // Where gradients are summed, the first copy is the sum.
        let states = self.copies.iter_mut().skip(rule.accumulate.into());
        let mut states = states.map(|state| {
            let state = state.get_mut(at..);
            state.unwrap_or(&mut []).iter_mut()
        });
        let mut first = states.next().unwrap_or_default();
        let mut second = states.next().unwrap_or_default();
        for (index, (weight, gradient)) in weight.iter_mut().zip(gradients).enumerate() {
            let (first, second) = (first.next(), second.next());
            if !learns(channels, at + index) {
                continue;
            }
            if let (Some(shrink), true) = (rule.shrink, decays) {
                *weight = weight.descend(shrink, weight.widen(), &mut rule.rounder);
            }
            let mut gradient = *gradient;
            if penalizes {
                gradient = rule.penalized(*weight, gradient, decays);
            }
            step(rule, weight, gradient, first, second);
        }
    }
}

impl<S: Scalar> Rule<S> {
    /// A gradient within its limits, with the penalties.
    #[inline(never)]
    fn penalized(&self, weight: S, gradient: S::Acc, decays: bool) -> S::Acc {
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
        if decays {
            if let Some(decay) = self.weight_decay {
                gradient = S::add_scaled(gradient, weight, decay);
            }
            if let Some(l1) = self.l1 {
                if weight > S::ZERO {
                    gradient = S::add_scaled(gradient, S::ONE, l1);
                } else if weight < S::ZERO {
                    gradient = S::add_scaled(gradient, S::ZERO.sub(S::ONE), l1);
                }
            }
        }
        gradient
    }

    fn subtract(&mut self, weight: &mut S, step: f32) {
        *weight = weight.descend_product(S::rate(step), S::ONE, S::ONE, &mut self.rounder);
    }
}

/// The f32 that a cell of state holds; 0 where there is no cell, or it has not 4 bytes (a check refuses that before).
fn read<S: Scalar>(cell: &Option<&mut S>) -> f32 {
    match cell {
        Some(cell) => bytemuck::try_cast(**cell).unwrap_or(0.0),
        None => 0.0,
    }
}

fn write<S: Scalar>(cell: Option<&mut S>, value: f32) {
    if let (Some(cell), Ok(bits)) = (cell, bytemuck::try_cast(value)) {
        *cell = bits;
    }
}

/// Whether the weight at this place learns.
#[inline]
pub(super) fn learns(channels: Option<(usize, ChannelMask)>, at: usize) -> bool {
    match channels {
        Some((count, mask)) => mask.holds(at.checked_rem(count).unwrap_or(at)),
        None => true,
    }
}
