//! Loss and accuracy: what training makes small, and what counts in the end.

use std::ops::Range;

use serde::Serialize;
use tch::{Kind, Reduction, Tensor};

use super::TrainError;
use super::batch::Batch;
use super::network::Outputs;
use super::values::to_values;
use crate::checkpoint::Values;
use crate::data::DataSet;
use crate::evaluate::{ColumnFit, fits};
use crate::metrics::{Metrics, Told};
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
    /// What a sample of each class counts; none counts more than another when empty.
    class_weights: Vec<f32>,
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
            class_weights: Vec::new(),
        }
    }

    /// The same, with samples counted by their classes: for training.
    pub(super) fn weighted(self, class_weights: Vec<f32>) -> Self {
        Self {
            class_weights,
            ..self
        }
    }

    /// The loss of a batch, summed over its samples.
    pub(super) fn sum(&self, outputs: &Outputs, batch: &Batch) -> Result<Tensor, TrainError> {
        let mut sum: Option<Tensor> = None;
        let class_weights = match self.class_weights.as_slice() {
            [] => None,
            weights => Some(Tensor::f_from_slice(weights)?.f_to(batch.labels.device())?),
        };
        for (criterion, output) in self.heads.iter().zip(&outputs.heads) {
            let weights = class_weights
                .as_ref()
                .filter(|_| criterion.target == Aim::Class);
            let mut loss = criterion.sum(output, batch, weights)?;
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

/// What the heads give for samples, as the network's outputs are in the end.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Of the head that tells the class, `width` numbers for each sample.
    pub(super) scores: Vec<f32>,
    pub(super) width: usize,
    /// Of each sample, the numbers of the heads that aim at numbers.
    pub(super) numbers: Vec<Vec<f32>>,
}

impl Answers {
    /// Adds those of the samples that come next.
    pub(super) fn extend(&mut self, more: Self) {
        self.width = more.width;
        self.scores.extend(more.scores);
        self.numbers.extend(more.numbers);
    }

    /// How well the samples of `set` are answered.
    pub(super) fn measure(&self, set: &DataSet) -> Measures {
        let labels: Vec<usize> = set.labels.iter().map(|&label| label.into()).collect();
        let told = Told {
            labels: &labels,
            scores: &self.scores,
            width: self.width,
        };
        Measures {
            metrics: (self.width > 0).then(|| told.metrics(None)),
            fits: fits(set, &self.numbers),
        }
    }
}

/// How well samples are read, besides their [`Score`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measures {
    /// How well classes are told apart, where there are classes.
    pub metrics: Option<Metrics>,
    /// How near each number comes that a sample wants, in the unit of its column.
    pub fits: Vec<ColumnFit>,
}

impl Objective {
    /// What a batch is answered with.
    pub(super) fn answers(&self, outputs: &Outputs) -> Result<Answers, TrainError> {
        let mut answers = Answers::default();
        for (criterion, output) in self.heads.iter().zip(&outputs.heads) {
            if criterion.target == Aim::Image {
                continue;
            }
            let output = match (criterion.ending, criterion.loss) {
                (Activation::Softmax, _) => output.f_softmax(-1, None)?,
                (Activation::LogSoftmax, _) => output.f_log_softmax(-1, None)?,
                (Activation::Sigmoid, Loss::BinaryCrossEntropy) => output.f_sigmoid()?,
                _ => output.shallow_clone(),
            };
            let Values { shape, values } = to_values(&output)?;
            let width = shape.iter().skip(1).product::<usize>().max(1);
            match criterion.target {
                Aim::Class if answers.width == 0 => {
                    (answers.scores, answers.width) = (values, width);
                }
                Aim::Value => {
                    answers.numbers.resize(values.len() / width, Vec::new());
                    let rows = answers.numbers.iter_mut().zip(values.chunks(width));
                    rows.for_each(|(numbers, more)| numbers.extend(more));
                }
                Aim::Class | Aim::Image => {}
            }
        }
        Ok(answers)
    }

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
    /// `output` is what comes before the softmax, or the sigmoid that binary cross-entropy takes in; `class_weights` are
    /// what a sample of each class counts.
    fn sum(
        &self,
        output: &Tensor,
        batch: &Batch,
        class_weights: Option<&Tensor>,
    ) -> Result<Tensor, TrainError> {
        if self.loss == Loss::CrossEntropy {
            return Ok(output.f_cross_entropy_loss(
                &batch.labels,
                class_weights,
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
        let reduction = match class_weights {
            None => Reduction::Sum,
            Some(_) => Reduction::None,
        };
        let loss = match self.loss {
            Loss::BinaryCrossEntropy => output
                .f_binary_cross_entropy_with_logits::<Tensor>(&wanted, None, None, reduction)?,
            Loss::Mae => output.f_l1_loss(&wanted, reduction)?,
            Loss::Huber => output.f_huber_loss(&wanted, reduction, 1.0)?,
            Loss::Mse | Loss::CrossEntropy => output.f_mse_loss(&wanted, reduction)?,
        };
        let sum = match class_weights {
            None => loss,
            Some(weights) => {
                let weights = weights.f_index_select(0, &batch.labels)?.f_unsqueeze(-1)?;
                loss.f_mul(&weights)?.f_sum(Kind::Float)?
            }
        };
        Ok(sum.f_mul_scalar(1.0 / outputs as f64)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use tch::Device;

    /// A head's loss of two samples of classes 2 and 0, weighted, is the sum of each sample's times its weight.
    #[test]
    fn a_sample_counts_as_its_class_does() {
        let scores = Tensor::from_slice(&[0.5f32, -1.0, 2.0, 0.25, 1.5, -0.5]).reshape([2, 3]);
        let batch = |indices: &[i64]| Batch {
            images: Tensor::zeros([indices.len() as i64, 1, 1, 1], (Kind::Float, Device::Cpu)),
            labels: Tensor::from_slice(&[2i64, 0]).index_select(0, &Tensor::from_slice(indices)),
            values: None,
            series: false,
        };
        let sum = |criterion: &Criterion, indices: &[i64], weights: Option<&Tensor>| {
            let scores = scores.index_select(0, &Tensor::from_slice(indices));
            let sum = criterion.sum(&scores, &batch(indices), weights).unwrap();
            sum.double_value(&[])
        };
        let weights = Tensor::from_slice(&[3.0f32, 7.0, 0.5]);
        for (loss, ending) in [
            (Loss::CrossEntropy, Activation::Softmax),
            (Loss::BinaryCrossEntropy, Activation::Sigmoid),
            (Loss::Mse, Activation::Softmax),
            (Loss::Mae, Activation::None),
            (Loss::Huber, Activation::None),
        ] {
            let criterion = Criterion {
                loss,
                weight: 1.0,
                target: Aim::Class,
                values: 0..0,
                ending,
            };
            let found = sum(&criterion, &[0, 1], Some(&weights));
            let wanted = 0.5 * sum(&criterion, &[0], None) + 3.0 * sum(&criterion, &[1], None);
            // Three sums of a few f32 each.
            assert!(
                (found - wanted).abs() < 1e-6 * wanted,
                "{loss:?}: {found}, {wanted}"
            );
        }
    }

    /// Two classes that one output tells apart have two weights.
    #[test]
    fn one_output_for_two_classes_is_weighted_by_both() {
        let scores = Tensor::from_slice(&[0.5f32, -1.0]).reshape([2, 1]);
        let batch = Batch {
            images: Tensor::zeros([2, 1, 1, 1], (Kind::Float, Device::Cpu)),
            labels: Tensor::from_slice(&[1i64, 0]),
            values: None,
            series: false,
        };
        let criterion = Criterion {
            loss: Loss::BinaryCrossEntropy,
            weight: 1.0,
            target: Aim::Class,
            values: 0..0,
            ending: Activation::Sigmoid,
        };
        let weights = Tensor::from_slice(&[3.0f32, 0.5]);
        let found = criterion.sum(&scores, &batch, Some(&weights)).unwrap();
        // −ln σ(0.5) = ln(1 + e^−0.5), −ln(1 − σ(−1)) = ln(1 + e^−1).
        let wanted = 0.5 * (-0.5f64).exp().ln_1p() + 3.0 * (-1.0f64).exp().ln_1p();
        assert!((found.double_value(&[]) - wanted).abs() < 1e-6, "{wanted}");
    }

    /// Heads that want no class count all samples alike.
    #[test]
    fn weights_are_of_classes_alone() {
        let text = "name = \"t\"\n[data]\nset = \"mnist\"\n[[layer]]\ntype = \"flatten\"\n[[layer]]\nname = \"c\"\n\
            type = \"dense\"\nunits = 10\nactivation = \"softmax\"\n[[layer]]\nname = \"i\"\ntype = \"dense\"\n\
            inputs = [\"flatten_1\"]\nunits = 784\n[train]\nepochs = 1\nbatch = 1\nseed = 1\n\
            optimizer = { type = \"sgd\", learning_rate = 0.1 }\n[[train.head]]\nlayer = \"c\"\nloss = \"mse\"\n\
            [[train.head]]\nlayer = \"i\"\nloss = \"mse\"\ntarget = \"image\"";
        let recipe = Recipe::parse(text, Path::new("t.toml")).unwrap();
        let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        let outputs = Outputs {
            heads: vec![ones(&[1, 10]), ones(&[1, 28, 28, 1]) * 3.0],
            statistics: Vec::new(),
        };
        let batch = Batch {
            images: ones(&[1, 28, 28, 1]),
            labels: Tensor::from_slice(&[4i64]),
            values: None,
            series: false,
        };
        let loss = |weight: f32| {
            let objective = Objective::of(&recipe).weighted(vec![weight; 10]);
            objective.sum(&outputs, &batch).unwrap().double_value(&[])
        };
        // The picture's: 4 at each pixel.
        assert_eq!(loss(0.0), 4.0);
        assert!(loss(2.0) > 4.0);
    }
}
