//! Training with libtorch: from a recipe to a checkpoint, a history and a picture of it.
//!
//! The same recipe and seed give the same checkpoint, byte for byte, on the same machine with the
//! same number of threads. All chance (first weights, order, augmentation, dropout) comes from
//! [`Stream`]s keyed by seed, epoch, step and sample; none from libtorch. So a training that was
//! stopped between any two batches goes on as if it had not been.

mod batch;
mod device;
mod error;
mod evaluate;
mod network;
mod optimizer;
mod values;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tch::Device;

use batch::Loader;
pub use device::{DeviceChoice, physical_cores};
pub use error::TrainError;
pub use evaluate::Score;
use network::{Chance, Network};
use optimizer::Optimizer;
use values::to_values;

use crate::checkpoint::{Checkpoint, Progress, Running};
use crate::data::{Augmenter, DataSet, Part, Split, Stream};
use crate::history::{self, EpochRow};
use crate::recipe::{Activation, Loss, Recipe};
use crate::report;

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
    /// Threads of libtorch; else as many as there are physical cores.
    pub threads: Option<usize>,
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
    /// Weights and biases.
    pub parameters: usize,
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
    /// How well the test set is read; `None` when training was stopped before its end.
    pub test: Option<Score>,
    /// Weights and biases.
    pub parameters: usize,
    /// One row for each epoch, also of the runs before this one was resumed.
    pub history: Vec<EpochRow>,
    /// How long this run took.
    pub seconds: f64,
    /// The files written.
    pub files: Files,
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
}

impl Files {
    /// The files of a training in `directory`.
    pub fn of(directory: &Path) -> Self {
        Self {
            checkpoint: directory.join("checkpoint.safetensors"),
            history: directory.join("history.csv"),
            picture: directory.join("history.png"),
        }
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
    let (device, device_name) = options.device.resolve(options.threads)?;
    let set = recipe.set().load(options.data.as_deref(), Part::Train)?;

    let mut training = Training::begin(recipe, options, &files, &set, device)?;
    observer.begin(&training.plan(device_name));
    let finished = training.run(&files, observer)?.is_continue();

    let test = if finished {
        let set = recipe.set().load(options.data.as_deref(), Part::Test)?;
        let all: Vec<usize> = (0..set.len()).collect();
        let how = training.how();
        Some(evaluate::evaluate(
            &training.network,
            &set,
            &all,
            how,
            device,
        )?)
    } else {
        None
    };
    Ok(Outcome {
        progress: training.progress,
        test,
        parameters: recipe.parameters(),
        history: training.history,
        seconds: started.elapsed().as_secs_f64(),
        files,
    })
}

/// A training under way.
struct Training<'t> {
    recipe: &'t Recipe,
    set: &'t DataSet,
    split: Split,
    device: Device,
    network: Network,
    optimizer: Optimizer,
    progress: Progress,
    history: Vec<EpochRow>,
}

impl<'t> Training<'t> {
    fn begin(
        recipe: &'t Recipe,
        options: &Options,
        files: &Files,
        set: &'t DataSet,
        device: Device,
    ) -> Result<Self, TrainError> {
        let (network, optimizer, progress, history);
        if options.resume {
            let checkpoint = Checkpoint::load(&files.checkpoint)?;
            if checkpoint.progress.recipe != recipe.text {
                return Err(TrainError::OtherRecipe {
                    path: files.checkpoint.clone(),
                });
            }
            network = Network::restore(recipe, &checkpoint, device)?;
            let kind = &recipe.train.optimizer;
            optimizer = Optimizer::restore(kind, &network.parameters, &checkpoint)?;
            let mut rows = history::read(&files.history)?;
            rows.retain(|row| row.epoch <= checkpoint.progress.epoch);
            history = rows;
            progress = checkpoint.progress;
        } else {
            let seed = options.seed.unwrap_or(recipe.train.seed);
            network = Network::new(recipe, seed, device)?;
            optimizer = Optimizer::new(&recipe.train.optimizer, &network.parameters)?;
            history = Vec::new();
            progress = Progress {
                recipe: recipe.text.clone(),
                seed,
                epochs: options.epochs.unwrap_or(recipe.train.epochs),
                limit: options.limit,
                epoch: 0,
                batch: 0,
                step: 0,
                running: Running::default(),
                best_accuracy: None,
            };
        }
        let mut split = set.split(recipe.data.validation, progress.seed);
        if let Some(limit) = progress.limit {
            split.training.truncate(limit);
        }
        if split.training.is_empty() {
            return Err(TrainError::NoSamples);
        }
        Ok(Self {
            recipe,
            set,
            split,
            device,
            network,
            optimizer,
            progress,
            history,
        })
    }

    fn plan(&self, device: String) -> Plan {
        Plan {
            epochs: self.progress.epochs,
            epoch: self.progress.epoch,
            batch: self.progress.batch,
            batches: self.batches(),
            samples: [self.split.training.len(), self.split.validation.len()],
            parameters: self.recipe.parameters(),
            device,
        }
    }

    fn batches(&self) -> usize {
        self.split.training.len().div_ceil(self.recipe.train.batch)
    }

    /// The loss, and whether outputs go through a softmax.
    fn how(&self) -> (Loss, bool) {
        let last = self
            .recipe
            .layers()
            .last()
            .map(|layer| layer.kind.activation());
        (self.recipe.train.loss, last == Some(Activation::Softmax))
    }

    /// All epochs that are left; `Break` when the observer stopped them.
    fn run(
        &mut self,
        files: &Files,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>, TrainError> {
        while self.progress.epoch < self.progress.epochs {
            let started = Instant::now();
            let Some(learning_rate) = self.epoch(observer)? else {
                self.checkpoint()?.save(&files.checkpoint)?;
                return Ok(ControlFlow::Break(()));
            };
            let row = self.close_epoch(learning_rate, started)?;
            self.checkpoint()?.save(&files.checkpoint)?;
            history::write(&files.history, &self.history)?;
            observer.epoch(&row);
        }
        report::training_curve(&files.picture, &self.recipe.name, &self.history)?;
        Ok(ControlFlow::Continue(()))
    }

    /// The batches of this epoch that are left; gives the last learning rate, or `None` when the
    /// observer stopped it.
    fn epoch(&mut self, observer: &mut dyn Observer) -> Result<Option<f64>, TrainError> {
        let Progress {
            seed,
            epoch,
            epochs,
            ..
        } = self.progress;
        let augment = &self.recipe.data.augment;
        let augmenter = Augmenter::new(self.set.shape, augment.shift, augment.rotate, seed);
        let mut order = self.split.training.clone();
        Stream::new(seed, Stream::ORDER, epoch as u64, 0).shuffle(&mut order);

        let mut loader = Loader::new(self.set, self.device);
        let batches = self.batches() as u64;
        let rate = |step| {
            let factor = self
                .recipe
                .train
                .schedule
                .factor(step, batches * epochs as u64, batches);
            self.recipe.train.optimizer.learning_rate() * factor
        };
        let mut learning_rate = rate(self.progress.step.saturating_sub(1));
        for chunk in order
            .chunks(self.recipe.train.batch)
            .skip(self.progress.batch)
        {
            let batch = loader.load(chunk, &augmenter, epoch as u64)?;
            let chance = Chance {
                seed,
                step: self.progress.step,
            };
            let logits = self.network.forward(&batch.images, Some(chance))?;
            let (loss, softmax) = self.how();
            let (loss, right) = evaluate::loss(&logits, &batch, loss, softmax)?;
            learning_rate = rate(self.progress.step);
            let value = loss.f_double_value(&[])?;
            if !value.is_finite() {
                let (epoch, batch) = (epoch + 1, self.progress.batch + 1);
                return Err(TrainError::Diverged {
                    loss: value,
                    epoch,
                    batch,
                    learning_rate,
                });
            }
            loss.f_backward()?;
            self.optimizer
                .step(&mut self.network.parameters, learning_rate)?;

            let running = &mut self.progress.running;
            running.samples += chunk.len() as u64;
            running.correct += u64::try_from(right).unwrap_or(0);
            running.loss += value * chunk.len() as f64;
            self.progress.batch += 1;
            self.progress.step = self.optimizer.step;
            if observer.batch(epoch + 1, &self.progress.running).is_break() {
                return Ok(None);
            }
        }
        Ok(Some(learning_rate))
    }

    /// Measures what the epoch brought, and begins the next.
    fn close_epoch(
        &mut self,
        learning_rate: f64,
        started: Instant,
    ) -> Result<EpochRow, TrainError> {
        let held_out = &self.split.validation;
        let score = if held_out.is_empty() {
            None
        } else {
            Some(evaluate::evaluate(
                &self.network,
                self.set,
                held_out,
                self.how(),
                self.device,
            )?)
        };
        let running = std::mem::take(&mut self.progress.running);
        let samples = running.samples.max(1) as f64;
        self.progress.epoch += 1;
        self.progress.batch = 0;
        if let Some(score) = score {
            let best = self.progress.best_accuracy.unwrap_or(0.0);
            self.progress.best_accuracy = Some(best.max(score.accuracy));
        }
        let row = EpochRow {
            epoch: self.progress.epoch,
            train_loss: running.loss / samples,
            train_accuracy: running.correct as f64 / samples,
            val_loss: score.map(|score| score.loss),
            val_accuracy: score.map(|score| score.accuracy),
            learning_rate,
            seconds: started.elapsed().as_secs_f64(),
        };
        self.history.push(row);
        Ok(row)
    }

    fn checkpoint(&self) -> Result<Checkpoint, TrainError> {
        let mut tensors = BTreeMap::new();
        for parameter in &self.network.parameters {
            tensors.insert(parameter.name.clone(), to_values(&parameter.tensor)?);
        }
        tensors.extend(self.optimizer.moments(&self.network.parameters)?);
        Ok(Checkpoint {
            progress: self.progress.clone(),
            tensors,
        })
    }
}

#[cfg(test)]
mod tests;
