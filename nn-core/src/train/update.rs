//! The update of weights while their gradient is formed.

use crate::kernels::part;
use crate::train::Sgd;

/// Weights that learn, their velocities (none without momentum), and the rates.
#[derive(Debug)]
pub(crate) struct Update<'w> {
    weight: &'w mut [f32],
    velocity: &'w mut [f32],
    sgd: Sgd,
}

impl<'w> Update<'w> {
    pub(crate) fn new(weight: &'w mut [f32], velocity: &'w mut [f32], sgd: Sgd) -> Self {
        Self {
            weight,
            velocity,
            sgd,
        }
    }

    /// `len` weights from `at`.
    #[inline]
    pub(crate) fn values(&self, at: usize, len: usize) -> &[f32] {
        part(self.weight, at, len)
    }

    /// The weights from `at` learn from the gradients x · delta\[i\].
    ///
    /// Without momentum and decay: w ← w − (learning_rate · x) · delta\[i\], left out where x is 0.
    #[inline]
    pub(crate) fn outer(&mut self, at: usize, x: f32, delta: &[f32]) {
        if self.velocity.is_empty() && self.sgd.weight_decay == 0.0 {
            if x != 0.0 {
                let rate = self.sgd.learning_rate * x;
                let weight = self.weight.get_mut(at..).unwrap_or(&mut []);
                for (weight, delta) in weight.iter_mut().zip(delta) {
                    *weight -= rate * delta;
                }
            }
        } else {
            self.each(at, delta.iter().map(|delta| x * delta));
        }
    }

    /// The weights from `at` learn from `gradients`.
    #[inline]
    pub(crate) fn step(&mut self, at: usize, gradients: &[f32]) {
        self.each(at, gradients.iter().copied());
    }

    fn each(&mut self, at: usize, gradients: impl Iterator<Item = f32>) {
        let Sgd {
            learning_rate,
            momentum,
            weight_decay,
        } = self.sgd;
        let weight = self.weight.get_mut(at..).unwrap_or(&mut []);
        let mut velocity = self.velocity.get_mut(at..).unwrap_or(&mut []).iter_mut();
        for (weight, mut gradient) in weight.iter_mut().zip(gradients) {
            if weight_decay != 0.0 {
                gradient += weight_decay * *weight;
            }
            if let Some(velocity) = velocity.next() {
                *velocity = momentum * *velocity + gradient;
                gradient = *velocity;
            }
            *weight -= learning_rate * gradient;
        }
    }
}
