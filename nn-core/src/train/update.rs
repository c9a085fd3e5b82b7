//! The update of weights while their gradient is formed, or from its sum over several samples.
//!
//! The formulas are in `optimizer.rs`; here are the orders. With g a weight's gradient, each operation rounding:
//!
//! 1. clipping by value: g within ± limit
//! 2. g ← g + w · decay; g ← g ± l1 by the sign of w (a decoupled decay instead: w ← w − (rate · decay) · w)
//! 3. the method's step
//!
//! Plain descent (nothing of 1 and 2, no state) is a path of its own without a question for each weight. Everything
//! else is decided once for a run of up to [`RUN`] weights.
//!
//! Fixed point: each sum is exact in the accumulator, and whatever is stored (a weight, a velocity, a sum of
//! gradients) is rounded at random with the odds of its remainder, one draw for each number stored, in order. Adam and
//! RMSprop compute in f32: their state is the bits of an f32 in each 4-byte cell, the gradient is the accumulator's
//! nearest f32, and the step, kept to 15 bits, is subtracted with stochastic rounding.

use crate::kernels::part;
use crate::scalar::{Scalar, XorShift32};
use crate::train::schedule::power;
use crate::train::{ChannelMask, Clip, Method, Optimizer};

/// The most numbers kept for each weight besides itself.
pub(crate) const MAX_COPIES: usize = 3;

/// Weights of a run: the size of an array on the stack.
const RUN: usize = 8;

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
    learning_rate: S::Rate,
    /// Whether a weight without state learns by w ← w − rate · g and nothing else.
    plain: bool,
    /// Whether gradients are only summed.
    accumulate: bool,
    /// Whether the penalties take biases.
    decay_bias: bool,
    /// Each gradient is held within ± this.
    clip: Option<S>,
    /// L2 penalty, `None` for none.
    weight_decay: Option<S::Rate>,
    /// Rate times a decoupled weight decay, `None` for none.
    shrink: Option<S::Rate>,
    /// L1 penalty, `None` for none.
    l1: Option<S::Rate>,
    step: Step<S>,
    rng: XorShift32,
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

/// Some weights, what is kept for them, and the rule by which they learn.
#[derive(Debug)]
pub(crate) struct Update<'w, S: Scalar> {
    weight: &'w mut [S],
    /// What is kept for each weight, empty where nothing is: the sum of its gradients if the plan accumulates; then
    /// the velocity, Adam's moments m and v, or RMSprop's mean square.
    copies: [&'w mut [S]; MAX_COPIES],
    rule: &'w mut Rule<S>,
    /// Whether the rule is plain, and so are these weights.
    plain: bool,
    /// Whether the penalties take these weights.
    decays: bool,
    /// How many channels a row has, and which of them learn.
    channels: Option<(usize, ChannelMask<'w>)>,
}

impl<'w, S: Scalar> Update<'w, S> {
    /// Weights with at most one number kept for each.
    #[cfg(test)]
    pub(crate) fn new(weight: &'w mut [S], buffer: &'w mut [S], rule: &'w mut Rule<S>) -> Self {
        Self::with_copies(weight, [buffer, &mut [], &mut []], rule)
    }

    /// Weights with `copies` as the plan counts them: see [`TrainSpec::copies`](super::spec::TrainSpec::copies).
    pub(crate) fn with_copies(
        weight: &'w mut [S],
        copies: [&'w mut [S]; MAX_COPIES],
        rule: &'w mut Rule<S>,
    ) -> Self {
        let [first, ..] = &copies;
        Self {
            plain: rule.plain && first.is_empty(),
            weight,
            copies,
            rule,
            decays: true,
            channels: None,
        }
    }

    /// The same weights as biases.
    pub(crate) fn biases(mut self) -> Self {
        self.decays = self.rule.decay_bias;
        self
    }

    /// The same weights, of which only some output channels learn: rows of `count`.
    pub(crate) fn only(mut self, count: usize, mask: ChannelMask<'w>) -> Self {
        self.plain = false;
        self.channels = Some((count, mask));
        self
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
        if self.plain {
            if x != S::ZERO {
                // In locals, as the compiler cannot tell that no weight is a rate.
                let (rate, mut rng) = (self.rule.learning_rate, self.rule.rng);
                let weight = self.weight.get_mut(at..).unwrap_or(&mut []);
                let mut learn = |weight: &mut [S], delta: &[S]| {
                    for (weight, delta) in weight.iter_mut().zip(delta) {
                        *weight = weight.descend_product(rate, x, *delta, &mut rng);
                    }
                };
                let (mut weight, mut delta) = (weight, delta);
                if size_of::<S::Acc>() == size_of::<f32>() && delta.len() >= RUN {
                    // Unrolled: a float's loop costs as much as its arithmetic.
                    let whole = delta.len().min(weight.len()) / RUN * RUN;
                    let (weights, rest) = weight.split_at_mut_checked(whole).unwrap_or_default();
                    let (deltas, delta_rest) = delta.split_at_checked(whole).unwrap_or_default();
                    let chunks = weights.as_chunks_mut::<RUN>().0.iter_mut();
                    for (weight, delta) in chunks.zip(deltas.as_chunks::<RUN>().0) {
                        learn(weight, delta);
                    }
                    (weight, delta) = (rest, delta_rest);
                }
                learn(weight, delta);
                self.rule.rng = rng;
            }
        } else {
            self.outer_in_runs(at, x, delta);
        }
    }

    /// The weights from `at` learn from `gradients`.
    #[inline]
    pub(crate) fn step(&mut self, at: usize, gradients: &[S::Acc]) {
        if self.plain {
            let (rate, mut rng) = (self.rule.learning_rate, self.rule.rng);
            let weight = self.weight.get_mut(at..).unwrap_or(&mut []);
            for (weight, gradient) in weight.iter_mut().zip(gradients) {
                *weight = weight.descend(rate, *gradient, &mut rng);
            }
            self.rule.rng = rng;
        } else {
            self.run(at, gradients);
        }
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
                    *weight = weight.descend_product(rule.learning_rate, x, *delta, &mut rule.rng);
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

    #[inline(never)]
    fn run(&mut self, at: usize, gradients: &[S::Acc]) {
        let [first, second, _] = &mut self.copies;
        if self.rule.accumulate {
            let sums = first.get_mut(at..).unwrap_or(&mut []);
            for (index, (sum, gradient)) in sums.iter_mut().zip(gradients).enumerate() {
                if learns(self.channels, at + index) {
                    let gradient = S::add_acc(*gradient, *sum);
                    *sum = S::narrow_stochastic(gradient, &mut self.rule.rng);
                }
            }
            return;
        }
        let run = Run {
            at,
            weight: self.weight,
            state: [first, second],
            decays: self.decays,
            channels: self.channels,
        };
        self.rule.descend(run, gradients);
    }

    /// The optimizer's step from the sums of gradients, which become 0: g ← sum · factor, then as from any gradient.
    ///
    /// `factor` is [`Sums::factor`].
    pub(crate) fn step_from_sums(&mut self, factor: f32) {
        let factor = S::rate(factor);
        let mut at = 0;
        let [sums, first, second] = &mut self.copies;
        for sums in sums.chunks_mut(RUN) {
            let mut gradients = [S::ZERO_ACC; RUN];
            for (gradient, sum) in gradients.iter_mut().zip(sums.iter_mut()) {
                *gradient = S::add_scaled(S::ZERO_ACC, *sum, factor);
                *sum = S::ZERO;
            }
            let run = Run {
                at,
                weight: self.weight,
                state: [first, second],
                decays: self.decays,
                channels: self.channels,
            };
            self.rule.descend(run, part(&gradients, 0, sums.len()));
            at += sums.len();
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

/// Some weights from `at`, and their state.
struct Run<'r, S> {
    at: usize,
    weight: &'r mut [S],
    state: [&'r mut [S]; 2],
    decays: bool,
    channels: Option<(usize, ChannelMask<'r>)>,
}

impl<S: Scalar> Rule<S> {
    fn descend(&mut self, run: Run<'_, S>, gradients: &[S::Acc]) {
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
fn learns(channels: Option<(usize, ChannelMask)>, at: usize) -> bool {
    match channels {
        Some((count, mask)) => mask.holds(at.checked_rem(count).unwrap_or(at)),
        None => true,
    }
}
