//! Training with libtorch: from a recipe to a checkpoint, a history and a picture of it.
//!
//! The same recipe and seed give the same checkpoint, byte for byte, on the same machine, with
//! any number of threads. All chance (first weights, order, augmentation, dropout) comes from
//! [`crate::data::Stream`]s keyed by seed, epoch, step and sample; none from libtorch. So a training that was
//! stopped between any two batches goes on as if it had not been.

mod batch;
mod device;
mod error;
mod evaluate;
mod network;
mod optimizer;
mod pseudo;
mod stem;
mod training;
mod transfer;
mod values;
mod workers;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tch::Device;

pub use device::{DeviceChoice, physical_cores};
pub use error::TrainError;
use evaluate::Objective;
pub use evaluate::{Measures, Score};
use network::Network;
pub use pseudo::Labelled;
use training::Training;
pub use transfer::{NotTaken, Transfer};
use workers::Workers;

use crate::checkpoint::{Progress, Running};
use crate::data::{DataSet, Part, Split};
use crate::history::EpochRow;
use crate::paths;
use crate::recipe::Recipe;

/// What a training may be told besides its recipe.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where to compute.
    pub device: DeviceChoice,
    /// Folder for checkpoint, history and picture.
    pub directory: PathBuf,
    /// Folder of the data sets, when not the usual one.
    pub data: Option<PathBuf>,
    /// Instead of the recipe's epochs.
    pub epochs: Option<usize>,
    /// Instead of the recipe's seed.
    pub seed: Option<u64>,
    /// Learn from so many samples only.
    pub limit: Option<usize>,
    /// Threads that share a batch on the CPU; else as many as there are physical cores.
    pub threads: Option<usize>,
    /// Begin with the weights of another run (its folder), or of a safetensors file; instead of the recipe's `start`.
    pub start: Option<PathBuf>,
    /// Leave the test set alone.
    pub without_test: bool,
    /// Go on from the checkpoint in `directory`, with its epochs, seed and limit.
    pub resume: bool,
}

/// What is about to happen.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Epochs in all.
    pub epochs: usize,
    /// Epochs done before, when resumed.
    pub epoch: usize,
    /// Batches done before in the epoch under way, when resumed.
    pub batch: usize,
    /// Batches of an epoch.
    pub batches: usize,
    /// Samples learnt from, and samples held out.
    pub samples: [usize; 2],
    /// Whether samples are read rightly or not.
    pub has_accuracy: bool,
    /// Weights and biases.
    pub parameters: usize,
    /// How many of them stay as they are.
    pub frozen: usize,
    /// What was taken from another training.
    pub transfer: Option<Transfer>,
    /// What a sample of each class counts in the loss; empty where all count alike.
    pub class_weights: Vec<f64>,
    /// `cpu, 2 threads` or `cuda`.
    pub device: String,
}

/// Watches a training, and may stop it.
pub trait Observer {
    /// Before the first batch.
    fn begin(&mut self, _plan: &Plan) {}

    /// After each batch; `Break` saves a checkpoint and stops.
    fn batch(&mut self, _epoch: usize, _running: &Running) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// After each epoch.
    fn epoch(&mut self, _row: &EpochRow) {}

    /// Before each round that learns from pseudo-labels.
    fn labelled(&mut self, _count: &Labelled) {}
}

/// Watches nothing.
impl Observer for () {}

/// What a training leaves behind.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How far it came.
    pub progress: Progress,
    /// Whether it came to its end, and was not stopped before.
    pub finished: bool,
    /// How well the weights that stay read the samples held out, when there are any and training came to its end.
    pub validation: Option<Score>,
    /// How well they read the test set, when it is to be read and training came to its end.
    pub test: Option<Score>,
    /// Both, more closely.
    pub measures: BothMeasures,
    /// How well it is read by what learnt from the known labels alone, where there are pseudo-labels.
    pub alone: Option<Score>,
    /// What each round with pseudo-labels learnt from.
    pub labelled: Vec<Labelled>,
    /// Weights and biases.
    pub parameters: usize,
    /// What was taken from another training; nothing is when this one is resumed.
    pub transfer: Option<Transfer>,
    /// One row for each epoch, also of the runs before this one was resumed.
    pub history: Vec<EpochRow>,
    /// How long this run took.
    pub seconds: f64,
    /// The files written.
    pub files: Files,
}

/// How well the weights that stay read the samples held out, and those to test on.
#[derive(Debug, Clone, PartialEq)]
pub struct BothMeasures {
    /// On the samples held out.
    pub validation: Option<Measures>,
    /// On the test set.
    pub test: Option<Measures>,
}

/// The files of a training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Weights, and all that training needs to go on.
    pub checkpoint: PathBuf,
    /// One row an epoch.
    pub history: PathBuf,
    /// The history as a picture.
    pub picture: PathBuf,
    /// The history as TensorBoard reads it.
    pub events: PathBuf,
}

impl Files {
    /// The files of a training in `directory`.
    pub fn of(directory: &Path) -> Self {
        Self {
            checkpoint: directory.join(paths::CHECKPOINT),
            history: directory.join("history.csv"),
            picture: directory.join("history.png"),
            events: directory.join("events.out.tfevents.mote"),
        }
    }

    /// The checkpoint that is kept of an epoch, from 1.
    pub fn kept(&self, epoch: usize) -> PathBuf {
        self.checkpoint
            .with_file_name(format!("epoch-{epoch:04}.safetensors"))
    }
}

/// Trains `recipe` as `options` say.
///
/// # Errors
/// Data that are missing, files that cannot be written, a loss that is no number any more.
pub fn train(
    recipe: &Recipe,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let started = Instant::now();
    let device = options.device.resolve()?;
    let threads = options.threads.unwrap_or_else(physical_cores).max(1);
    let workers = Workers::new(device, threads)?;
    let set = recipe.load_data(options.data.as_deref(), Part::Train)?;
    let task = Task {
        recipe,
        options,
        workers: &workers,
        device,
        device_name: match (device, threads) {
            (Device::Cpu, 1) => "cpu, 1 thread".to_owned(),
            (Device::Cpu, threads) => format!("cpu, {threads} threads"),
            _ => "cuda".to_owned(),
        },
    };
    let (learnt, alone, labelled) = match &recipe.train.pseudo {
        None => {
            let split = |progress: &Progress| task.split(&set, progress);
            let learnt = task.learn(options, &set, &split, observer)?;
            (learnt, None, Vec::new())
        }
        Some(pseudo) => {
            let rounds = pseudo::train(&task, pseudo, set, observer)?;
            (rounds.learnt, rounds.alone, rounds.labelled)
        }
    };

    let (mut test, mut test_alone) = (None, None);
    if learnt.finished && !options.without_test {
        let set = recipe.load_data(options.data.as_deref(), Part::Test)?;
        let all: Vec<usize> = (0..set.len()).collect();
        let objective = Objective::of(recipe);
        let (score, answers) = workers.answer(&learnt.network, &set, &all, &objective)?;
        test = Some((score, answers.measure(&set)));
        let score = |network: &Network| workers.evaluate(network, &set, &all, &objective);
        test_alone = alone.as_ref().map(score).transpose()?;
    }
    let validation = learnt.validation;
    Ok(Outcome {
        progress: learnt.progress,
        finished: learnt.finished,
        validation: validation.as_ref().map(|both| both.0),
        test: test.as_ref().map(|both| both.0),
        measures: BothMeasures {
            validation: validation.map(|both| both.1),
            test: test.map(|both| both.1),
        },
        alone: test_alone,
        labelled,
        parameters: recipe.parameters(),
        transfer: learnt.transfer,
        history: learnt.history,
        seconds: started.elapsed().as_secs_f64(),
        files: Files::of(&options.directory),
    })
}

/// What is trained, and where.
struct Task<'t> {
    recipe: &'t Recipe,
    options: &'t Options,
    workers: &'t Workers,
    device: Device,
    device_name: String,
}

/// What a training came to.
struct Learnt {
    network: Network,
    progress: Progress,
    history: Vec<EpochRow>,
    transfer: Option<Transfer>,
    /// How well it reads the samples held out.
    validation: Option<(Score, Measures)>,
    /// Whether it came to its end.
    finished: bool,
}

impl Task<'_> {
    /// Trains from new weights, or goes on, as `options` say, which may be another round's.
    fn learn(
        &self,
        options: &Options,
        set: &DataSet,
        split: &dyn Fn(&Progress) -> Result<Split, TrainError>,
        observer: &mut dyn Observer,
    ) -> Result<Learnt, TrainError> {
        let files = Files::of(&options.directory);
        let mut training = Training::begin(
            self.recipe,
            options,
            &files,
            set,
            split,
            self.workers,
            self.device,
        )?;
        observer.begin(&training.plan(self.device_name.clone()));
        let finished = training.run(&files, observer)?.is_continue();
        let validation = match finished {
            true => training.validate()?,
            false => None,
        };
        Ok(Learnt {
            validation,
            network: training.network,
            progress: training.progress,
            history: training.history,
            transfer: training.transfer,
            finished,
        })
    }

    /// The samples to learn from, and those held out.
    fn split(&self, set: &DataSet, progress: &Progress) -> Result<Split, TrainError> {
        let mut split = set.split(self.recipe.data.validation, progress.seed);
        if let Some(limit) = progress.limit.or(self.recipe.data.limit()) {
            split.training.truncate(limit);
        }
        match split.training.is_empty() {
            true => Err(TrainError::NoSamples),
            false => Ok(split),
        }
    }
}

#[cfg(test)]
mod parity;
#[cfg(test)]
mod tests;
