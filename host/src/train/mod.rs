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
use training::Training;
pub use transfer::{NotTaken, Transfer};
use workers::Workers;

use crate::checkpoint::{Progress, Running};
use crate::data::Part;
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
    let files = Files::of(&options.directory);
    let device = options.device.resolve()?;
    let threads = options.threads.unwrap_or_else(physical_cores).max(1);
    let workers = Workers::new(device, threads)?;
    let set = recipe.load_data(options.data.as_deref(), Part::Train)?;

    let mut training = Training::begin(recipe, options, &files, &set, &workers, device)?;
    let device_name = match (device, threads) {
        (Device::Cpu, 1) => "cpu, 1 thread".to_owned(),
        (Device::Cpu, threads) => format!("cpu, {threads} threads"),
        _ => "cuda".to_owned(),
    };
    observer.begin(&training.plan(device_name));
    let finished = training.run(&files, observer)?.is_continue();

    let validation = if finished { training.validate()? } else { None };
    let test = if finished && !options.without_test {
        let set = recipe.load_data(options.data.as_deref(), Part::Test)?;
        let all: Vec<usize> = (0..set.len()).collect();
        let objective = Objective::of(recipe);
        let (score, answers) = workers.answer(&training.network, &set, &all, &objective)?;
        Some((score, answers.measure(&set)))
    } else {
        None
    };
    Ok(Outcome {
        progress: training.progress,
        finished,
        validation: validation.as_ref().map(|both| both.0),
        test: test.as_ref().map(|both| both.0),
        measures: BothMeasures {
            validation: validation.map(|both| both.1),
            test: test.map(|both| both.1),
        },
        parameters: recipe.parameters(),
        transfer: training.transfer,
        history: training.history,
        seconds: started.elapsed().as_secs_f64(),
        files,
    })
}

#[cfg(test)]
mod parity;
#[cfg(test)]
mod tests;
