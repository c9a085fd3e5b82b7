//! What came of the runs of a search: a line of `search.csv` each, and a summary of each combination.

use std::cmp::Ordering;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Combination, SearchError};
use crate::paths;
use crate::recipe::{Aim, Recipe};
use crate::train::Outcome;

/// What came of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The fields that make the combination.
    pub fields: String,
    /// The seed.
    pub seed: u64,
    /// The loss on the samples held out, of the weights that stayed; none where training diverged.
    pub val_loss: Option<f64>,
    /// The accuracy there, from 0 to 1; none where numbers are wanted.
    pub val_accuracy: Option<f64>,
    /// Epochs trained.
    pub epochs: usize,
    /// The epoch whose weights stayed, where training stops early.
    pub best_epoch: Option<usize>,
    /// Weights and biases.
    pub parameters: usize,
    /// How long it took.
    pub seconds: f64,
    /// The combination's folder below `search`.
    pub key: String,
}

/// What a combination is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The loss on the samples held out.
    ValLoss,
    /// The accuracy on the samples held out.
    ValAccuracy,
}

impl Metric {
    /// What recipes call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ValLoss => "val_loss",
            Self::ValAccuracy => "val_accuracy",
        }
    }

    /// What decides where the user does not say: accuracy of classes, the loss of numbers.
    pub fn of_recipe(recipe: &Recipe) -> Self {
        match recipe.train.heads.first().map(|head| head.target) {
            Some(Aim::Class) => Self::ValAccuracy,
            _ => Self::ValLoss,
        }
    }

    fn of(self, record: &Record) -> Option<f64> {
        let value = match self {
            Self::ValLoss => record.val_loss,
            Self::ValAccuracy => record.val_accuracy,
        };
        value.filter(|value| value.is_finite())
    }

    /// The better first; what there is none of comes last.
    fn order(self, one: Option<f64>, other: Option<f64>) -> Ordering {
        match (one, other, self) {
            (Some(one), Some(other), Self::ValLoss) => one.total_cmp(&other),
            (Some(one), Some(other), Self::ValAccuracy) => other.total_cmp(&one),
            (Some(_), None, _) => Ordering::Less,
            (None, Some(_), _) => Ordering::Greater,
            (None, None, _) => Ordering::Equal,
        }
    }
}

/// A number over the runs of a combination.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Over the runs that did not diverge.
    pub mean: f64,
    /// The standard deviation of a sample (divided by runs − 1); none of fewer than two.
    pub deviation: Option<f64>,
    /// The best of them.
    pub best: f64,
}

impl Summary {
    /// Of these runs; `None` where all diverged, or have no such number.
    pub fn of(metric: Metric, runs: &[Record]) -> Option<Self> {
        let values: Vec<f64> = runs.iter().filter_map(|run| metric.of(run)).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>();
        let best = values
            .iter()
            .copied()
            .min_by(|&a, &b| metric.order(Some(a), Some(b)))?;
        Some(Self {
            mean,
            deviation: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
            best,
        })
    }
}

/// The combinations in the order of their means, the best first; of equal ones that with the lower loss.
///
/// # Errors
/// [`SearchError::AllDiverged`], when there is no best.
pub fn ranked(metric: Metric, runs: &[Vec<Record>]) -> Result<Vec<usize>, SearchError> {
    let mean = |metric, index: usize| Summary::of(metric, &runs[index]).map(|summary| summary.mean);
    // A run that diverged makes a combination worse than all whose runs did not.
    let diverged = |index: usize| {
        runs[index]
            .iter()
            .filter(|run| run.val_loss.is_none())
            .count()
    };
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_by(|&a, &b| {
        let by = |metric: Metric| metric.order(mean(metric, a), mean(metric, b));
        let first = diverged(a).cmp(&diverged(b)).then_with(|| by(metric));
        first.then_with(|| by(Metric::ValLoss))
    });
    match order.first().and_then(|&best| mean(metric, best)) {
        Some(_) => Ok(order),
        None => Err(SearchError::AllDiverged),
    }
}

impl Record {
    pub(super) fn new(combination: &Combination, seed: u64, outcome: Option<&Outcome>) -> Self {
        let score = outcome.and_then(|outcome| outcome.validation);
        let progress = outcome.map(|outcome| &outcome.progress);
        Self {
            fields: combination.label(),
            seed,
            val_loss: score.map(|score| score.loss),
            val_accuracy: score.and_then(|score| score.accuracy),
            epochs: progress.map_or(0, |progress| progress.epoch),
            best_epoch: progress.and_then(|progress| Some(progress.best?.epoch)),
            parameters: combination.recipe.parameters(),
            seconds: outcome.map_or(0.0, |outcome| outcome.seconds),
            key: combination.key.clone(),
        }
    }

    /// The best of the runs of a combination; `None` where all diverged.
    pub fn best(metric: Metric, runs: &[Self]) -> Option<&Self> {
        let runs = runs.iter().filter(|run| metric.of(run).is_some());
        runs.min_by(|a, b| metric.order(metric.of(a), metric.of(b)))
    }
}

/// The records kept so far; none without a file.
pub(super) fn read(path: &Path) -> Result<Vec<Record>, SearchError> {
    let table = |source| SearchError::Table {
        path: path.to_owned(),
        source,
    };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(SearchError::File {
                path: path.to_owned(),
                source,
            });
        }
    };
    let mut reader = csv::Reader::from_reader(text.as_slice());
    reader
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(table)
}

/// Writes all records, whole or not at all.
pub(super) fn write(path: &Path, records: &[Record]) -> Result<(), SearchError> {
    let table = |source| SearchError::Table {
        path: path.to_owned(),
        source,
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in records {
        writer.serialize(record).map_err(table)?;
    }
    let text = writer
        .into_inner()
        .map_err(|error| table(error.into_error().into()))?;
    paths::write_whole(path, &text).map_err(|source| SearchError::File {
        path: path.to_owned(),
        source,
    })
}
