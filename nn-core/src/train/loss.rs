//! Losses and their gradients.

use serde::{Deserialize, Serialize};

use crate::ops::Activation;
use crate::scalar::ln;
use crate::train::TrainError;

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    /// −Σ t · ln p over the softmax that is the last node. Its gradient is formed at the softmax's input: p − t.
    CrossEntropy,
    /// Mean squared error, (1/n) Σ (y − t)².
    MeanSquaredError,
}

/// What the output should have been.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target<'t> {
    /// A class: 1 there, 0 elsewhere.
    Class(u16),
    /// A value for each output.
    Values(&'t [f32]),
}

impl Target<'_> {
    /// Whether it fits `outputs` outputs.
    pub(crate) fn check(&self, outputs: usize) -> Result<(), TrainError> {
        match self {
            Self::Class(class) if usize::from(*class) >= outputs => Err(TrainError::Class {
                wanted: outputs,
                found: usize::from(*class),
            }),
            Self::Values(values)
                if values.len() != outputs || values.iter().any(|v| !v.is_finite()) =>
            {
                Err(TrainError::Values {
                    wanted: outputs,
                    found: values.len(),
                })
            }
            _ => Ok(()),
        }
    }

    fn at(&self, index: usize) -> f32 {
        match self {
            Self::Class(class) => {
                if usize::from(*class) == index {
                    1.0
                } else {
                    0.0
                }
            }
            Self::Values(values) => values.get(index).copied().unwrap_or(0.0),
        }
    }
}

impl Loss {
    /// The loss of `output`.
    pub(crate) fn value(self, output: &[f32], target: &Target) -> f32 {
        match self {
            Self::CrossEntropy => {
                let mut sum = 0.0;
                for (index, p) in output.iter().enumerate() {
                    let t = target.at(index);
                    if t != 0.0 {
                        // A probability that vanished would give −∞.
                        let p = if *p > f32::MIN_POSITIVE {
                            *p
                        } else {
                            f32::MIN_POSITIVE
                        };
                        sum -= t * ln(p);
                    }
                }
                sum
            }
            Self::MeanSquaredError => {
                let mut sum = 0.0;
                for (index, y) in output.iter().enumerate() {
                    let error = y - target.at(index);
                    sum += error * error;
                }
                sum / output.len().max(1) as f32
            }
        }
    }

    /// Overwrites `output` by the gradient. `activation` made the output, and its derivative is due here.
    pub(crate) fn gradient(self, output: &mut [f32], target: &Target, activation: Activation) {
        match self {
            Self::CrossEntropy => {
                // With targets that sum to 1; for others Σt · p − t.
                let total = match target {
                    Target::Class(_) => 1.0,
                    Target::Values(values) => values.iter().fold(0.0, |sum, t| sum + t),
                };
                for (index, p) in output.iter_mut().enumerate() {
                    *p = total * *p - target.at(index);
                }
            }
            Self::MeanSquaredError => {
                let share = 2.0 / output.len().max(1) as f32;
                for (index, y) in output.iter_mut().enumerate() {
                    *y = activation.derivative(share * (*y - target.at(index)), *y);
                }
            }
        }
    }
}
