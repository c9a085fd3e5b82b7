//! A batch normalization folded into the convolution or dense layer below it, where there is no activation between
//! them.
//!
//! With factor = γ / √(σ² + ε) for each output channel, W becomes factor · W and the bias β + factor · (b − μ): the
//! layer gives the same numbers, and the normalization costs nothing. In f64, rounded once to f32.

use nn_core::ops::batch_norm::fold;

/// What a checkpoint holds of a batch normalization, each with a number for each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm {
    /// The factor γ: PyTorch's `weight`.
    pub gamma: Vec<f32>,
    /// The shift β: PyTorch's `bias`.
    pub beta: Vec<f32>,
    /// The mean μ: PyTorch's `running_mean`.
    pub mean: Vec<f32>,
    /// The variance σ²: PyTorch's `running_var`.
    pub variance: Vec<f32>,
    /// What keeps the root from 0: PyTorch's default is 1e-5.
    pub epsilon: f64,
}

impl BatchNorm {
    /// How many channels.
    pub fn channels(&self) -> usize {
        self.gamma.len()
    }

    /// Factor and shift of each channel: y = factor · x + shift.
    fn factors(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        (0..self.channels()).map(|channel| {
            let of = |values: &[f32]| f64::from(values[channel]);
            let (gamma, beta) = (of(&self.gamma), of(&self.beta));
            fold(
                gamma,
                beta,
                of(&self.mean),
                of(&self.variance),
                self.epsilon,
            )
        })
    }

    /// Folds it into a layer whose output channels it normalizes: `weight` holds the weights of one output channel
    /// behind those of the other (`[out, in]`, OHWI, or libtorch's OIHW), `bias` is one for each.
    ///
    /// # Panics
    /// Where the channels do not agree, which whoever resolves the layers has to check.
    pub fn fold_into(&self, weight: &mut [f32], bias: &mut [f32]) {
        let channels = self.channels();
        assert!(bias.len() == channels && weight.len().is_multiple_of(channels.max(1)));
        let filters = weight.chunks_exact_mut((weight.len() / channels.max(1)).max(1));
        for ((filter, bias), (factor, shift)) in filters.zip(bias).zip(self.factors()) {
            for weight in filter {
                *weight = (f64::from(*weight) * factor) as f32;
            }
            *bias = (f64::from(*bias) * factor + shift) as f32;
        }
    }

    /// 1 / √(σ² + ε) of each channel: what [`nn_core::ops::BatchNorm`] keeps where it stays a layer of its own.
    pub fn scale(&self) -> Vec<f32> {
        let of = |variance: &f32| 1.0 / (f64::from(*variance) + self.epsilon).sqrt();
        self.variance.iter().map(|v| of(v) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn norm() -> BatchNorm {
        BatchNorm {
            gamma: vec![1.5, -0.5, 2.0],
            beta: vec![0.25, 1.0, -3.0],
            mean: vec![0.5, -2.0, 7.0],
            variance: vec![4.0, 0.01, 0.0],
            epsilon: 1e-5,
        }
    }

    /// A folded dense layer gives what the layer and then the formula give; three roundings of f32 lie between.
    #[test]
    fn a_folded_layer_gives_the_same_numbers() {
        let norm = norm();
        let weight = [0.5f32, -1.25, 2.0, 0.75, 0.001, -0.002];
        let bias = [0.1f32, -0.2, 7.003];
        let x = [1.5f64, -0.7];
        let (mut folded, mut shifted) = (weight, bias);
        norm.fold_into(&mut folded, &mut shifted);
        for channel in 0..3 {
            let layer = |weight: &[f32], bias: &[f32]| {
                let products = x.iter().zip(&weight[2 * channel..]);
                let sum: f64 = products.map(|(x, w)| x * f64::from(*w)).sum();
                sum + f64::from(bias[channel])
            };
            let deviation = (f64::from(norm.variance[channel]) + norm.epsilon).sqrt();
            let hat = (layer(&weight, &bias) - f64::from(norm.mean[channel])) / deviation;
            let wanted = f64::from(norm.gamma[channel]) * hat + f64::from(norm.beta[channel]);
            let found = layer(&folded, &shifted);
            // The factor of the last channel is 632: what it multiplies loses 2^−24 of itself.
            let size = f64::from(norm.gamma[channel]).abs() / deviation * 10.0;
            assert!((found - wanted).abs() < size * 2f64.powi(-22), "{channel}");
        }
    }

    #[test]
    fn the_layer_of_its_own_keeps_the_reciprocal_root() {
        let wanted = [
            1.0 / 4.00001f64.sqrt(),
            1.0 / 0.01001f64.sqrt(),
            1.0 / 1e-5f64.sqrt(),
        ];
        for (found, wanted) in norm().scale().iter().zip(wanted) {
            // variance 0.01 is not exact in f32.
            assert!((f64::from(*found) / wanted - 1.0).abs() < 1e-7);
        }
    }
}
