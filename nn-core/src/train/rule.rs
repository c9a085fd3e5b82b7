//! The rule by which a weight learns from a finished gradient.
//!
//! The formulas are in `optimizer.rs`; here are the orders. With g a weight's gradient, each operation rounding:
//!
//! 1. clipping by value: g within ± limit
//! 2. a decoupled decay: w ← w − (rate · decay) · w; else g ← g + w · decay; g ← g ± l1 by the sign of w
//! 3. the method's step
//!
//! Fixed point: each sum is exact in the accumulator, and whatever is stored (a weight, a velocity) is rounded at random
//! with the odds of its remainder, one draw for each number stored, in order. Adam and RMSprop compute in f32: their
//! state is the bits of an f32 in each 4-byte cell, the gradient is the accumulator's nearest f32, and the step, kept to
//! 15 bits, is subtracted with stochastic rounding.

use crate::scalar::{Scalar, XorShift32};
use crate::train::schedule::power;
use crate::train::{ChannelMask, Clip, Method, Optimizer};

/// How fast a step goes, and which it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The learning rate of the step.
    pub(crate) rate: f32,
    /// Which step of the optimizer it is, from 1.
    pub(crate) step: u32,
}

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
    pub(super) rng: XorShift32,
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
        rng: XorShift32,
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
            rng,
        }
    }

    /// Plain gradient descent.
    #[cfg(test)]
    pub(crate) fn plain(rate: f32, rng: XorShift32) -> Self {
        Self::new(&Optimizer::SGD, Clip::None, false, Pace::first(rate), rng)
    }

    /// Where its random numbers stand: the next rule goes on from there.
    pub(crate) fn rng(&self) -> XorShift32 {
        self.rng
    }
}

/// Some weights from `at`, and their state.
pub(super) struct Run<'r, S> {
    pub(super) at: usize,
    pub(super) weight: &'r mut [S],
    pub(super) state: [&'r mut [S]; 2],
    pub(super) decays: bool,
    pub(super) channels: Option<(usize, ChannelMask<'r>)>,
}

impl<S: Scalar> Rule<S> {
    /// The weights of `run` learn from `gradients`.
    pub(super) fn descend(&mut self, run: Run<'_, S>, gradients: &[S::Acc]) {
        let Run {
            at,
            weight,
            state: [first, second],
            decays,
            channels,
        } = run;
        let weight = weight.get_mut(at..).unwrap_or(&mut []);
        let mut first = first.get_mut(at..).unwrap_or(&mut []).iter_mut();
        let mut second = second.get_mut(at..).unwrap_or(&mut []).iter_mut();
        for (index, (weight, gradient)) in weight.iter_mut().zip(gradients).enumerate() {
            let (first, second) = (first.next(), second.next());
            if !learns(channels, at + index) {
                continue;
            }
            if let (Some(shrink), true) = (self.shrink, decays) {
                *weight = weight.descend(shrink, weight.widen(), &mut self.rng);
            }
            let gradient = self.penalized(*weight, *gradient, decays);
            *weight = self.stepped(*weight, gradient, first, second);
        }
    }

    #[inline]
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

    #[inline]
    fn stepped(
        &mut self,
        weight: S,
        gradient: S::Acc,
        first: Option<&mut S>,
        second: Option<&mut S>,
    ) -> S {
        match self.step {
            Step::Sgd { momentum, nesterov } => {
                let mut gradient = gradient;
                if let Some(velocity) = first {
                    let sum = S::add_scaled(gradient, *velocity, momentum);
                    *velocity = S::narrow_stochastic(sum, &mut self.rng);
                    gradient = if nesterov {
                        S::add_scaled(gradient, *velocity, momentum)
                    } else {
                        velocity.widen()
                    };
                }
                weight.descend(self.learning_rate, gradient, &mut self.rng)
            }
            Step::Adam {
                first: share,
                beta2,
                second: square_share,
                root,
                epsilon,
                rate,
            } => {
                let gradient = S::acc_to_f32(gradient);
                let mean = read(&first);
                let mean = mean + share * (gradient - mean);
                let square = beta2 * read(&second) + square_share * gradient * gradient;
                write(first, mean);
                write(second, square);
                let step = rate * mean / (Scalar::sqrt(square) * root + epsilon);
                self.subtract(weight, step)
            }
            Step::RmsProp {
                alpha,
                second: square_share,
                epsilon,
                rate,
            } => {
                let gradient = S::acc_to_f32(gradient);
                let square = alpha * read(&first) + square_share * gradient * gradient;
                write(first, square);
                let step = rate * gradient / (Scalar::sqrt(square) + epsilon);
                self.subtract(weight, step)
            }
        }
    }

    fn subtract(&mut self, weight: S, step: f32) -> S {
        weight.descend_product(S::rate(step), S::ONE, S::ONE, &mut self.rng)
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
