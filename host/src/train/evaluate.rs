//! Loss and accuracy of a network.

use serde::Serialize;
use tch::{Device, Kind, Reduction, Tensor};

use super::TrainError;
use super::batch::{Batch, Loader};
use super::network::Network;
use crate::data::{Augmenter, DataSet};
use crate::recipe::Loss;

/// Samples read at once when nothing is learnt.
const BATCH: usize = 500;

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

/// The mean loss of a batch, and how many of its samples are read rightly.
pub(super) fn loss(
    logits: &Tensor,
    batch: &Batch,
    loss: Loss,
    softmax: bool,
) -> Result<(Tensor, i64), TrainError> {
    let value = match loss {
        Loss::CrossEntropy => {
            let none: Option<&Tensor> = None;
            logits.f_cross_entropy_loss(&batch.labels, none, Reduction::Mean, -100, 0.0)?
        }
        Loss::Mse => {
            let output = if softmax {
                logits.f_softmax(-1, None)?
            } else {
                logits.shallow_clone()
            };
            let classes = logits.size().last().copied().unwrap_or(0);
            let wanted = batch.labels.f_one_hot(classes)?.f_to_kind(Kind::Float)?;
            output.f_mse_loss(&wanted, Reduction::Mean)?
        }
    };
    let right = logits
        .f_argmax(-1, false)?
        .f_eq_tensor(&batch.labels)?
        .f_sum(Kind::Int64)?;
    Ok((value, right.f_int64_value(&[])?))
}

/// Reads the samples at `indices`, unchanged.
pub(super) fn evaluate(
    network: &Network,
    set: &DataSet,
    indices: &[usize],
    how: (Loss, bool),
    device: Device,
) -> Result<Score, TrainError> {
    let _no_grad = tch::no_grad_guard();
    let mut loader = Loader::new(set, device);
    let plain = Augmenter::new(set.shape, 0, 0.0, 0);
    let (mut total, mut correct) = (0.0, 0);
    for chunk in indices.chunks(BATCH) {
        let batch = loader.load(chunk, &plain, 0)?;
        let logits = network.forward(&batch.images, None)?;
        let (mean, right) = loss(&logits, &batch, how.0, how.1)?;
        total += mean.f_double_value(&[])? * chunk.len() as f64;
        correct += usize::try_from(right).unwrap_or(0);
    }
    let samples = indices.len();
    let count = samples.max(1) as f64;
    Ok(Score {
        samples,
        correct,
        loss: total / count,
        accuracy: correct as f64 / count,
    })
}
