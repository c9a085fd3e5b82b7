//! Loss and accuracy: what training makes small, and what counts in the end.

use std::ops::Range;

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
    /// Share read rightly, from 0 to 1; `None` where numbers are wanted that follow no others.
    pub accuracy: Option<f64>,
}

/// What training makes small: the weighted sum of the heads' losses.
#[derive(Debug, Clone)]
pub(super) struct Objective {
    heads: Vec<Criterion>,
}

/// One head's.
#[derive(Debug, Clone)]
struct Criterion {
    loss: Loss,
    weight: f64,
    target: Aim,
    /// The numbers that it gives, among those of a batch.
    values: Range<usize>,
    /// What the head ends with.
    ending: Activation,
}

impl Objective {
    pub(super) fn of(recipe: &Recipe) -> Self {
        let mut next = 0;
        let heads = recipe.train.heads.iter().map(|head| {
            let first = next;
            next += head.outputs.len();
            Criterion {
                loss: head.loss,
                weight: head.weight,
                target: head.target,
                values: first..next,
                ending: recipe.layers()[head.layer].kind.activation(),
            }
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

impl Objective {
    /// How many samples of a batch the first head reads rightly: their class, or whether the next number of a series is
    /// higher or lower than the last that it saw.
    pub(super) fn correct(&self, outputs: &Outputs, batch: &Batch) -> Result<u64, TrainError> {
        let (Some(scores), Some(head)) = (outputs.heads.first(), self.heads.first()) else {
            return Ok(0);
        };
        let right = match head.target {
            Aim::Class if scores.size().last() == Some(&1) => {
                // Binary cross-entropy takes the sigmoid in: its scores are those before.
                let middle = match head.loss {
                    Loss::BinaryCrossEntropy => 0.0,
                    _ => 0.5,
                };
                let told = scores.f_flatten(0, -1)?.f_gt(middle)?;
                told.f_eq_tensor(&batch.labels.f_to_kind(Kind::Bool)?)?
            }
            Aim::Class => scores.f_argmax(-1, false)?.f_eq_tensor(&batch.labels)?,
            _ if !batch.series => return Ok(0),
            _ => {
                let last = batch.images.f_flatten(1, -1)?.f_slice(1, -1, None, 1)?;
                let rise = batch.values()?.f_sub(&last)?;
                scores.f_sub(&last)?.f_mul(&rise)?.f_gt(0.0)?
            }
        };
        // A count: never negative.
        Ok(right.f_sum(Kind::Int64)?.f_int64_value(&[])?.unsigned_abs())
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
            // Two classes that one output tells apart.
            Aim::Class if outputs == 1 => {
                let labels = batch.labels.f_reshape([-1, 1])?;
                labels.f_to_kind(Kind::Float)?
            }
            Aim::Class => batch.labels.f_one_hot(outputs)?.f_to_kind(Kind::Float)?,
            Aim::Image => batch.images.f_flatten(1, -1)?,
            Aim::Value => {
                // Places in a recipe's list of columns.
                let [first, end] = [self.values.start, self.values.end].map(|at| at as i64);
                batch.values()?.f_slice(1, first, end, 1)?
            }
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
