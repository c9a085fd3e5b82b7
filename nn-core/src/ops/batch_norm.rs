//! Batch normalization with frozen statistics, over the last axis: y = γ·x̂ + β, x̂ = (x − μ)·r, r = 1 / √(σ² + ε).
//!
//! γ and β can learn; the mean μ and r are constants, taken from the statistics by whoever writes the model. A model
//! that does not train them is better without this operator: folded into the layer below (W of output channel o
//! becomes γ·r·W, its bias γ·r·(b − μ) + β; see [`fold`]) it costs nothing.
//!
//! Backward: dγ = Σ δ·x̂ and dβ = Σ δ over the vectors along the last axis, δx = γ·r·δ.
//! Source: S. Ioffe, C. Szegedy, "Batch Normalization", 2015; PyTorch's `BatchNorm2d` in evaluation mode.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Learns, Operands, Sizes};
use crate::kernels::{BLOCK, part};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::dense::{Weights, run_backward_bias};
use crate::ops::{
    Activation, Check, Facts, NodeFault, OpSet, Operator, Output, backward_by_scalar, by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::{DType, Shape, TensorId};

/// Parameters of a batch normalization, each `[channels]` and of the input's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchNorm {
    /// The factor γ.
    pub gamma: TensorId,
    /// The shift β.
    pub beta: TensorId,
    /// The mean μ.
    pub mean: TensorId,
    /// r = 1 / √(σ² + ε).
    pub scale: TensorId,
}

/// γ and β together with the statistics as one factor and one shift: y = factor·x + shift.
///
/// ```
/// use nn_core::ops::batch_norm::fold;
/// // γ 3, β 1, mean 5, variance 4, no ε.
/// assert_eq!(fold(3.0, 1.0, 5.0, 4.0, 0.0), (1.5, 1.0 - 5.0 * 1.5));
/// ```
pub fn fold(gamma: f64, beta: f64, mean: f64, variance: f64, epsilon: f64) -> (f64, f64) {
    let factor = gamma / libm::sqrt(variance + epsilon);
    (factor, beta - mean * factor)
}

impl BatchNorm {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            parameters: [Some(self.gamma), Some(self.beta), None, None],
            biases: 1 << 1,
            constants: [Some(self.mean), Some(self.scale)],
            output: Output::InPlace,
            ..Facts::PLAIN
        }
    }
}

impl<K: OpSet> Operator<K> for BatchNorm {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        let dtype = check.real_dtype()?;
        check.y_shape(check.x.shape)?;
        let channels = check.x.shape.dims().last().copied();
        let channels = Shape::vector(channels.ok_or(NodeFault::Shape(check.x_id))?);
        for id in [self.gamma, self.beta, self.mean, self.scale] {
            check.parameter(id, dtype, channels)?;
        }
        Ok(())
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        Some((code::<K>(check.x.dtype)?, Sizes::None))
    }

    fn macs(&self, check: &Check) -> u64 {
        // Fits 31 bits.
        check.x.elements() as u64
    }
}

/// The function that runs it forward in numbers of this type.
pub(super) const fn code<K: OpSet>(dtype: DType) -> Option<Forward> {
    by_scalar!(K, dtype, run)
}

/// The function that runs it backward in numbers of this type.
pub(super) const fn backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    backward_by_scalar!(K, dtype, run_backward)
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    memory.copy(frame.x(), frame.y())?;
    let [gamma, beta] = [frame.parameter(0), frame.parameter(1)];
    let [mean, scale] = [frame.constant(0), frame.constant(1)];
    let ([gamma, beta, mean, scale], [y]) =
        memory.borrow([gamma, beta, mean, scale], [frame.y()])?;
    let statistics = Statistics {
        mean: numbers(mean)?,
        scale: numbers(scale)?,
    };
    forward::<S>(numbers_mut(y)?, numbers(gamma)?, numbers(beta)?, statistics);
    Some(())
}

fn run_backward<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    run_backward_gamma::<S>(frame, back, learning, memory)?;
    // β learns as a bias does.
    run_backward_bias::<S>(frame, back, learning, memory)
}

#[inline(never)]
fn run_backward_gamma<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let (mean, scale) = (frame.constant(0), frame.constant(1));
    let (reads, writes) = ([back.delta(), mean, scale], [back.values(frame, 0)]);
    let mut operands = learning.borrow::<S>(frame, back, 0, memory, &reads, &writes);
    let Operands {
        weights,
        reads: [delta, mean, scale],
        writes: [x, ..],
    } = operands.as_mut()?;
    let statistics = Statistics {
        mean: numbers(mean)?,
        scale: numbers(scale)?,
    };
    let below = back.slot(0).below;
    backward(
        numbers_mut(x)?,
        below,
        weights,
        &statistics,
        numbers(delta)?,
    );
    Some(())
}

/// The frozen statistics of each channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statistics<'s, S> {
    pub(crate) mean: &'s [S],
    pub(crate) scale: &'s [S],
}

impl<S: Scalar> Statistics<'_, S> {
    /// x̂ of one channel: the difference and then the product, each rounded.
    #[inline(always)]
    fn normalize(&self, channel: usize, x: S) -> S {
        let mean = self.mean.get(channel).copied().unwrap_or(S::ZERO);
        let scale = self.scale.get(channel).copied().unwrap_or(S::ZERO);
        x.sub(mean).mul(scale)
    }
}

/// Forward, in place: x̂ rounded, then β + γ·x̂.
pub(crate) fn forward<S: Scalar>(
    values: &mut [S],
    gamma: &[S],
    beta: &[S],
    statistics: Statistics<S>,
) {
    for pixel in values.chunks_exact_mut(gamma.len().max(1)) {
        for (channel, ((value, gamma), beta)) in pixel.iter_mut().zip(gamma).zip(beta).enumerate() {
            let x = statistics.normalize(channel, *value);
            *value = S::narrow(S::mul_acc(beta.widen(), *gamma, x));
        }
    }
}

/// Backward and update in place, a block of channels after the other.
///
/// γ learns from Σ δ·x̂ over the vectors in order from 0; each x is overwritten by (γ·r)·δ, γ from before the update
/// and γ·r rounded first, times the derivative of `below`. Without `below` x keeps its values.
#[inline(never)]
pub(crate) fn backward<S: Scalar>(
    x: &mut [S],
    below: Option<Activation>,
    gamma: &mut Weights<'_, S>,
    statistics: &Statistics<S>,
    delta: &[S],
) {
    let channels = statistics.mean.len();
    for first in (0..channels).step_by(BLOCK) {
        let len = (channels - first).min(BLOCK);
        let values = match &*gamma {
            Weights::Frozen(gamma) => part(gamma, first, len),
            Weights::Learning(gamma) => gamma.values(first, len),
        };
        let mut sums = [S::ZERO_ACC; BLOCK];
        block_backward(x, below, values, first, statistics, delta, &mut sums);
        if let Weights::Learning(gamma) = gamma {
            gamma.step(first, sums.get(..len).unwrap_or(&[]));
        }
    }
}

/// [`backward`] of the channels from `first`, of which `gamma` has γ; adds Σ δ·x̂ to `sums`.
#[inline(never)]
fn block_backward<S: Scalar>(
    x: &mut [S],
    below: Option<Activation>,
    gamma: &[S],
    first: usize,
    statistics: &Statistics<S>,
    delta: &[S],
    sums: &mut [S::Acc; BLOCK],
) {
    let (channels, len) = (statistics.mean.len().max(1), gamma.len());
    let mut factors = [S::ZERO; BLOCK];
    let scale = part(statistics.scale, first, len);
    for ((factor, gamma), scale) in factors.iter_mut().zip(gamma).zip(scale) {
        *factor = gamma.mul(*scale);
    }
    let pixels = x.chunks_exact_mut(channels);
    for (pixel, delta) in pixels.zip(delta.chunks_exact(channels)) {
        let pixel = pixel.get_mut(first..).unwrap_or(&mut []);
        let delta = part(delta, first, len);
        for (index, (((x, delta), factor), sum)) in pixel
            .iter_mut()
            .zip(delta)
            .zip(&factors)
            .zip(&mut *sums)
            .enumerate()
        {
            *sum = S::mul_acc(*sum, *delta, statistics.normalize(first + index, *x));
            if let Some(below) = below {
                *x = below.derivative(factor.mul(*delta), *x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::ops::dense::backward_bias;
    use crate::ops::draw::{Draw, wide};
    use crate::scalar::{Q16, Rounder};
    use crate::train::{Rule, Update};

    /// What one layer holds, and what a step with a learning rate of 1 makes of it.
    struct Case<S> {
        x: Vec<S>,
        delta: Vec<S>,
        gamma: Vec<S>,
        beta: Vec<S>,
        mean: Vec<S>,
        scale: Vec<S>,
    }

    impl<S: Scalar> Case<S> {
        fn draw(seed: u32) -> Self {
            let mut draw = Draw::new(seed);
            let (pixels, channels) = (draw.size(1, 9), draw.size(1, 11));
            Self {
                x: draw.values(pixels * channels),
                delta: draw.values(pixels * channels),
                gamma: draw.values(channels),
                beta: draw.values(channels),
                mean: draw.values(channels),
                scale: draw.values(channels),
            }
        }

        fn statistics(&self) -> Statistics<'_, S> {
            Statistics {
                mean: &self.mean,
                scale: &self.scale,
            }
        }

        fn forward(&self) -> Vec<S> {
            let mut y = self.x.clone();
            forward(&mut y, &self.gamma, &self.beta, self.statistics());
            y
        }

        /// (x, γ, β) afterwards.
        fn step(&self, below: Option<Activation>) -> (Vec<S>, Vec<S>, Vec<S>) {
            let mut rule = Rule::plain(1.0, Rounder::stochastic(3));
            let (mut x, mut gamma) = (self.x.clone(), self.gamma.clone());
            let mut beta = self.beta.clone();
            let mut weights = Weights::Learning(Update::new(&mut gamma, &mut [], &mut rule));
            backward(&mut x, below, &mut weights, &self.statistics(), &self.delta);
            let mut update = Update::new(&mut beta, &mut [], &mut rule);
            backward_bias(&mut update, &self.delta);
            (x, gamma, beta)
        }
    }

    #[test]
    fn f32_is_the_documented_order_to_the_bit() {
        for seed in 0..100 {
            let case = Case::<f32>::draw(seed);
            let channels = case.mean.len();
            let (x, gamma, beta) = case.step(Some(Activation::Relu));
            let (mut delta_gamma, mut delta_beta) = (vec![0.0; channels], vec![0.0; channels]);
            for (index, y) in case.forward().into_iter().enumerate() {
                let c = index % channels;
                let hat = (case.x[index] - case.mean[c]) * case.scale[c];
                assert_eq!(y, case.beta[c] + case.gamma[c] * hat);
                delta_gamma[c] += case.delta[index] * hat;
                delta_beta[c] += case.delta[index];
                let gradient = (case.gamma[c] * case.scale[c]) * case.delta[index];
                let wanted = if case.x[index] > 0.0 { gradient } else { 0.0 };
                assert_eq!(x[index], wanted);
            }
            for c in 0..channels {
                assert_eq!(gamma[c], case.gamma[c] - delta_gamma[c]);
                assert_eq!(beta[c], case.beta[c] - delta_beta[c]);
            }
            assert_eq!(case.step(None).0, case.x);
        }
    }

    /// Central differences of Σ δ·y, linear in each of x, γ and β; f32 rounds a few numbers of size 1 to 2^−24.
    #[test]
    fn gradients_are_finite_differences() {
        for seed in 0..50 {
            let case = Case::<f32>::draw(seed);
            let channels = case.mean.len();
            let (delta, mean, scale) = (wide(&case.delta), wide(&case.mean), wide(&case.scale));
            let loss = |x: &[f64], gamma: &[f64], beta: &[f64]| -> f64 {
                let y = x.iter().enumerate().map(|(index, x)| {
                    let c = index % channels;
                    gamma[c] * (x - mean[c]) * scale[c] + beta[c]
                });
                y.zip(&delta).map(|(y, delta)| y * delta).sum()
            };
            let (x, gamma, beta) = (wide(&case.x), wide(&case.gamma), wide(&case.beta));
            let slope = |values: &[f64], index: usize, loss: &dyn Fn(&[f64]) -> f64| {
                let mut moved = values.to_vec();
                moved[index] += 0.5;
                let above = loss(&moved);
                moved[index] -= 1.0;
                above - loss(&moved)
            };
            let found = case.step(Some(Activation::None));
            for (index, found) in found.0.iter().enumerate() {
                let wanted = slope(&x, index, &|x| loss(x, &gamma, &beta));
                assert!((f64::from(*found) - wanted).abs() < 1e-5);
            }
            for c in 0..channels {
                let wanted = gamma[c] - slope(&gamma, c, &|gamma| loss(&x, gamma, &beta));
                assert!((f64::from(found.1[c]) - wanted).abs() < 1e-5);
                let wanted = beta[c] - slope(&beta, c, &|beta| loss(&x, &gamma, beta));
                assert!((f64::from(found.2[c]) - wanted).abs() < 1e-5);
            }
        }
    }

    /// x̂ and y round once each, γ·r and δx too; what |γ|, |δ| ≤ 1 multiply is half a unit in the last place.
    #[test]
    fn q16_rounds_twice() {
        const UNIT: f64 = 1.0 / 65536.0;
        for seed in 0..100 {
            let case = Case::<Q16>::draw(seed);
            let channels = case.mean.len();
            let (x, delta, gamma) = (wide(&case.x), wide(&case.delta), wide(&case.gamma));
            let (beta, mean, scale) = (wide(&case.beta), wide(&case.mean), wide(&case.scale));
            let found = case.step(Some(Activation::None));
            for (index, y) in case.forward().into_iter().enumerate() {
                let c = index % channels;
                let wanted = gamma[c] * (x[index] - mean[c]) * scale[c] + beta[c];
                assert!((y.to_num::<f64>() - wanted).abs() <= UNIT);
                let wanted = gamma[c] * scale[c] * delta[index];
                assert!((found.0[index].to_num::<f64>() - wanted).abs() <= UNIT);
            }
        }
    }
}
