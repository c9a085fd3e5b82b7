//! Loss and accuracy: what training makes small, and what counts in the end.

use serde::Serialize;
use tch::{Kind, Reduction, Tensor};

use super::TrainError;
use super::batch::Batch;
use crate::recipe::{Activation, Loss, Recipe};

/// How well a network reads samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// How many samples were read.
    pub samples: usize,
    /// How many of them rightly.
    pub correct: usize,
    /// The mean loss.
    pub loss: f64,
    /// Share read rightly, from 0 to 1.
    pub accuracy: f64,
}

/// What training makes small.
#[derive(Debug, Clone, Copy)]
pub(super) struct Objective {
    loss: Loss,
    /// Whether the network ends with a softmax.
    softmax: bool,
}

impl Objective {
    pub(super) fn of(recipe: &Recipe) -> Self {
        let last = recipe.layers().last().map(|layer| layer.kind.activation());
        Self {
            loss: recipe.train.loss,
            softmax: last == Some(Activation::Softmax),
        }
    }

    /// The loss of a batch, summed over its samples.
    pub(super) fn sum(&self, logits: &Tensor, batch: &Batch) -> Result<Tensor, TrainError> {
        Ok(match self.loss {
            Loss::CrossEntropy => {
                let weight: Option<&Tensor> = None;
                logits.f_cross_entropy_loss(&batch.labels, weight, Reduction::Sum, -100, 0.0)?
            }
            Loss::Mse => {
                let classes = logits.size().last().copied().unwrap_or(1);
                let wanted = batch.labels.f_one_hot(classes)?.f_to_kind(Kind::Float)?;
                let output = match self.softmax {
                    true => logits.f_softmax(-1, None)?,
                    false => logits.shallow_clone(),
                };
                let squares = output.f_mse_loss(&wanted, Reduction::Sum)?;
                squares.f_mul_scalar(1.0 / classes as f64)?
            }
        })
    }
}

/// How many samples of a batch are read rightly.
pub(super) fn correct(logits: &Tensor, batch: &Batch) -> Result<u64, TrainError> {
    let right = logits.f_argmax(-1, false)?.f_eq_tensor(&batch.labels)?;
    let count = right.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    // A count: never negative.
    Ok(count.unsigned_abs())
}
