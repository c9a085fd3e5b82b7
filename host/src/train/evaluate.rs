//! Loss and accuracy: what training makes small, and what counts in the end.

use serde::Serialize;
use tch::{Kind, Reduction, Tensor};

use super::TrainError;
use super::batch::Batch;
use super::network::Outputs;
use crate::recipe::{Activation, Aim, Loss, Recipe};

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

/// What training makes small: the weighted sum of the heads' losses.
#[derive(Debug, Clone)]
pub(super) struct Objective {
    heads: Vec<Criterion>,
}

/// One head's.
#[derive(Debug, Clone, Copy)]
struct Criterion {
    loss: Loss,
    weight: f64,
    target: Aim,
    /// What the head ends with.
    ending: Activation,
}

impl Objective {
    pub(super) fn of(recipe: &Recipe) -> Self {
        let heads = recipe.train.heads.iter().map(|head| Criterion {
            loss: head.loss,
            weight: head.weight,
            target: head.target,
            ending: recipe.layers()[head.layer].kind.activation(),
        });
        Self {
            heads: heads.collect(),
        }
    }

    /// The loss of a batch, summed over its samples.
    pub(super) fn sum(&self, outputs: &Outputs, batch: &Batch) -> Result<Tensor, TrainError> {
        let mut sum: Option<Tensor> = None;
        for (criterion, output) in self.heads.iter().zip(&outputs.heads) {
            let mut loss = criterion.sum(output, batch)?;
            if criterion.weight != 1.0 {
                loss = loss.f_mul_scalar(criterion.weight)?;
            }
            sum = Some(match sum {
                None => loss,
                Some(sum) => sum.f_add(&loss)?,
            });
        }
        sum.ok_or_else(|| TrainError::NoParameter("a head".to_owned()))
    }
}

impl Criterion {
    /// `output` is what comes before the softmax, or the sigmoid that binary cross-entropy takes in.
    fn sum(&self, output: &Tensor, batch: &Batch) -> Result<Tensor, TrainError> {
        if self.loss == Loss::CrossEntropy {
            let weight: Option<&Tensor> = None;
            return Ok(output.f_cross_entropy_loss(
                &batch.labels,
                weight,
                Reduction::Sum,
                -100,
                0.0,
            )?);
        }
        let output = output.f_flatten(1, -1)?;
        let outputs = output.size().last().copied().unwrap_or(1);
        let wanted = match self.target {
            Aim::Class => batch.labels.f_one_hot(outputs)?.f_to_kind(Kind::Float)?,
            Aim::Image => batch.images.f_flatten(1, -1)?,
            Aim::Value => batch.values()?.shallow_clone(),
        };
        let output = match self.ending {
            Activation::Softmax => output.f_softmax(-1, None)?,
            Activation::LogSoftmax => output.f_log_softmax(-1, None)?,
            _ => output,
        };
        let sum = match self.loss {
            Loss::BinaryCrossEntropy => output.f_binary_cross_entropy_with_logits::<Tensor>(
                &wanted,
                None,
                None,
                Reduction::Sum,
            )?,
            Loss::Mae => output.f_l1_loss(&wanted, Reduction::Sum)?,
            Loss::Huber => output.f_huber_loss(&wanted, Reduction::Sum, 1.0)?,
            Loss::Mse | Loss::CrossEntropy => output.f_mse_loss(&wanted, Reduction::Sum)?,
        };
        Ok(sum.f_mul_scalar(1.0 / outputs as f64)?)
    }
}

/// How many samples of a batch the first head reads rightly: their class, or whether the next number is higher or lower
/// than the last that it saw.
pub(super) fn correct(outputs: &Outputs, batch: &Batch) -> Result<u64, TrainError> {
    let Some(scores) = outputs.heads.first() else {
        return Ok(0);
    };
    if let Some(wanted) = &batch.values {
        let last = batch.images.f_flatten(1, -1)?.f_slice(1, -1, None, 1)?;
        let sides = scores.f_sub(&last)?.f_mul(&wanted.f_sub(&last)?)?;
        let count = sides.f_gt(0.0)?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
        return Ok(count.unsigned_abs());
    }
    let right = scores.f_argmax(-1, false)?.f_eq_tensor(&batch.labels)?;
    let count = right.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    // A count: never negative.
    Ok(count.unsigned_abs())
}
